//! Hints: where others say that members are, 16 bytes each, which makes look-ups one hop.
//!
//! A hint is the first eight bytes of an id, an address, and when that was news. Nobody signs it
//! and nobody here has proven it: it is asked, never believed. Both families have a sorted list,
//! and a member may be in both; this node deals with those of one (see [`super::family`]), and
//! keeps the other for those who ask in it. A list is reserved once and touched as it fills; what
//! is news waits in a small one beside it, and is entered all at once, because a single insertion
//! would move 128 kB, and to see that an address has two other ids already takes a look at all of
//! them. That sees, too, which are older than 54 hours (every router announces itself about daily),
//! and those go. Whether two of the news are at an address is seen at once. Who has moved keeps its
//! place.
//!
//! Where not all fit, a stable sample stays (see [`super::sample`]).

use super::id::{Named, Node, Place, insert_closest, prefix};
use super::rows::{
    LIFE_MIN, PORT, ROW_BYTES, Rows, address_of, age_of, is_alive, is_by_gossip, kill, network_of,
    prefix_of, read, write,
};
use super::sample::Sample;
use crate::net::NodeId;
use crate::rng::Rng;
use heapless::VecView;
use std::net::SocketAddr;

/// Hints that are woven in at once.
const BATCH: usize = 256;
/// What came by gossip and comes so again is no news for so many minutes.
const NEWS_MIN: u16 = 60;
/// Where others believe somebody is may be old by so many minutes, whatever age they name: nearer
/// than that, what was spread from its origin stays.
const SAID_MIN: u16 = 60;
/// Ids that may be at one IPv4 address, or in one IPv6 /56.
const IDS_PER_ADDRESS_MAX: u8 = 2;
/// So many of the closest are kept, whatever the sample.
const NEAR: usize = 64;

/// All hints.
pub(super) struct Hints {
    /// Whether this node deals with those of IPv6; else with those of IPv4.
    pub(super) six: bool,
    sample: Sample,
    /// IPv4 first.
    sorted: [Rows; 2],
    news: [Rows; 2],
    bytes_max: usize,
}

impl Hints {
    /// None yet, with room for what fits into `table_kb`.
    pub(super) fn new(me: &NodeId, table_kb: u32, rng: &mut Rng) -> Self {
        let bytes_max = table_kb as usize * 1024;
        let rows = |capacity: usize, row| Rows { bytes: Vec::with_capacity(capacity), row };
        let news = ROW_BYTES.map(|row| rows(BATCH * row, row));
        // Few networks need room for both families: that of IPv6 is reserved when it is first used.
        let sorted = [rows(bytes_max, ROW_BYTES[0]), rows(0, ROW_BYTES[1])];
        let (me, key) = (prefix(me), rng.next_u64());
        let sample = Sample { me, key, threshold: u32::MAX, near_bits: u64::BITS };
        Self { six: false, sample, sorted, news, bytes_max }
    }

    /// How many there are of our family.
    pub(super) fn len(&self) -> usize {
        self.rows(self.six).map(Rows::len).sum()
    }

    /// About how many members are heard of in each family, beside one another.
    pub(super) fn counts(&self) -> [usize; 2] {
        [false, true].map(|six| {
            let kept: usize = self.rows(six).map(Rows::len).sum();
            kept << self.sample.shift(six == self.six)
        })
    }

    /// About how many members there are of our family, of which these are a sample.
    pub(super) fn everybody(&self) -> usize {
        (((self.len() as u64) << 32) / (u64::from(self.sample.threshold) + 1)) as usize
    }

    /// What they take.
    pub(super) fn used_bytes(&self) -> usize {
        self.sorted.iter().chain(&self.news).map(|rows| rows.bytes.len()).sum()
    }

    /// Takes in that `named` was said at `minute`: whether that is to be passed on, where it came
    /// by gossip, and how many hints were not entered because their address has its ids already.
    pub(super) fn learn(&mut self, named: &Named, minute: u16, gossip: bool) -> (bool, u64) {
        let node = &named.node;
        let age_min = u16::from(named.age_h) * 60;
        let (prefix, family) = (prefix(&node.id), usize::from(node.address.is_ipv6()));
        if age_min >= LIFE_MIN || prefix == self.sample.me {
            return (false, 0);
        }
        let mut row = [0; ROW_BYTES[1]];
        let row = write(&mut row, node, minute.wrapping_sub(age_min), gossip);
        // News first: what is sorted was replaced by them.
        for known in [&mut self.news[family], &mut self.sorted[family]] {
            let Some(known) = known.find(prefix).filter(|row| is_alive(row, minute)) else {
                continue;
            };
            let known_min = age_of(known, minute);
            let hearsay = !gossip && is_by_gossip(known);
            if hearsay && known_min < age_min.saturating_add(SAID_MIN) {
                return (false, 0);
            }
            if known[PORT..] == row[PORT..] {
                let old = known_min > age_min.saturating_add(NEWS_MIN);
                let news = old || gossip && !is_by_gossip(known);
                if known_min > age_min || news {
                    known.copy_from_slice(row);
                }
                return (news, 0);
            }
            if known_min < age_min {
                return (false, 0);
            }
            break;
        }
        let mut crowded = 0;
        if self.sample.wants(prefix, (family == 1) == self.six) {
            if self.is_crowded(row, family, minute) {
                return (true, 1);
            }
            self.news[family].put(row);
            if self.news[family].len() >= BATCH {
                crowded = self.merge(minute);
            }
        }
        (true, crowded)
    }

    /// Enters what is sorted by id, of `count` members in all, in place of what is known.
    #[cfg(feature = "lab")]
    pub(super) fn fill(
        &mut self,
        hints: impl Iterator<Item = Named> + Clone,
        count: usize,
        minute: u16,
    ) {
        // As after the sample was made smaller: what is drawn never fills it to the brim.
        let room = self.bytes_max / 16 * 15;
        let row = |named: Named| ROW_BYTES[usize::from(named.node.address.is_ipv6())];
        let wanted: usize = hints.clone().map(row).sum();
        if wanted > room {
            self.sample.threshold = (((room as u64) << 32) / wanted as u64) as u32;
            self.sample.near_bits = (count / NEAR).checked_ilog2().unwrap_or(0);
        }
        for rows in self.sorted.iter_mut().chain(&mut self.news) {
            rows.bytes.clear();
        }
        for Named { node, age_h } in hints {
            let six = node.address.is_ipv6();
            if !self.sample.wants(prefix(&node.id), six == self.six) {
                continue;
            }
            let mut row = [0; ROW_BYTES[1]];
            let minute = minute.wrapping_sub(u16::from(age_h) * 60);
            let rows = &mut self.sorted[usize::from(six)];
            if rows.bytes.is_empty() {
                rows.bytes.reserve_exact(self.bytes_max);
            }
            rows.bytes.extend_from_slice(write(&mut row, &node, minute, true));
        }
    }

    /// Forgets that `node` is where it did not answer.
    pub(super) fn forget(&mut self, node: &Node) {
        // News first: what they replaced goes with them.
        let mut replaced = false;
        let family = usize::from(node.address.is_ipv6());
        for known in [&mut self.news[family], &mut self.sorted[family]] {
            let row = known.find(prefix(&node.id));
            let there = |row: &&mut [u8]| replaced || address_of(row) == Some(node.address);
            if let Some(row) = row.filter(there) {
                kill(row);
                replaced = true;
            }
        }
    }

    /// Where a member is said to be in the other family.
    pub(super) fn elsewhere(&self, id: &NodeId, minute: u16) -> Option<Named> {
        let other = usize::from(!self.six);
        let mut rows = [&self.news[other], &self.sorted[other]].into_iter();
        rows.find_map(|rows| read(rows.get(prefix(id))?, minute))
    }

    /// Puts the closest of a family to `target` into `best`, but for those that `skip` names, which
    /// is asked in the order of ids for the most part.
    pub(super) fn closest_into(
        &self,
        target: &Place,
        minute: u16,
        six: bool,
        skip: &mut dyn FnMut(&NodeId) -> bool,
        best: &mut VecView<Named>,
    ) {
        let wanted = best.capacity();
        let at = prefix(&NodeId(*target));
        for rows in self.rows(six) {
            // Twice as many as wanted, for some are skipped. What was forgotten does not count.
            let mut bits = (rows.len() / (2 * wanted).max(1)).checked_ilog2().unwrap_or(0);
            let alive = |bits| {
                let rows = rows.within(at, bits).chunks_exact(rows.row);
                rows.filter(|row| is_alive(row, minute)).count()
            };
            while bits > 0 && alive(bits) < 2 * wanted {
                bits -= 1;
            }
            for row in rows.within(at, bits).chunks_exact(rows.row) {
                let farther = |far: &Named| prefix_of(row) ^ at > prefix(&far.node.id) ^ at;
                if best.is_full() && best.last().is_some_and(farther) {
                    continue;
                }
                let Some(named) = read(row, minute) else { continue };
                // What is in both was replaced.
                let known = best.iter_mut().find(|known| known.node.id == named.node.id);
                match known {
                    Some(known) => *known = named,
                    None if skip(&named.node.id) => {}
                    None => insert_closest(best, target, named),
                }
            }
        }
    }

    /// Whether a hint names this address.
    pub(super) fn has_address(&self, address: &SocketAddr) -> bool {
        let of = |rows: &Rows| (0..rows.len()).any(|at| address_of(rows.at(at)) == Some(*address));
        self.rows(address.is_ipv6()).any(of)
    }

    /// Whether anybody shares so many bits with `place`.
    pub(super) fn is_anybody_within(&self, place: &Place, bits: u32, minute: u16) -> bool {
        let at = prefix(&NodeId(*place));
        let mut rows = self.rows(self.six).flat_map(|it| it.within(at, bits).chunks_exact(it.row));
        rows.any(|row| is_alive(row, minute))
    }

    /// How many share so many bits with `place`; some are no hints any more.
    pub(super) fn count_within(&self, place: &Place, bits: u32) -> usize {
        let at = prefix(&NodeId(*place));
        self.rows(self.six).map(|rows| rows.within(at, bits).len() / rows.row).sum()
    }

    /// One of those, by its number.
    pub(super) fn nth_within(
        &self,
        place: &Place,
        bits: u32,
        mut number: usize,
        minute: u16,
    ) -> Option<Node> {
        let at = prefix(&NodeId(*place));
        for rows in self.rows(self.six) {
            let mut within = rows.within(at, bits).chunks_exact(rows.row);
            if number < within.len() {
                return read(within.nth(number)?, minute).map(|named| named.node);
            }
            number -= within.len();
        }
        None
    }

    fn rows(&self, six: bool) -> impl Iterator<Item = &Rows> {
        let family = usize::from(six);
        [&self.sorted[family], &self.news[family]].into_iter()
    }

    /// Whether the address of `row` has its ids: among the news, and in what is sorted while that
    /// is no more. The rest of it is looked at when the news are entered.
    fn is_crowded(&self, row: &[u8], family: usize, minute: u16) -> bool {
        let Some(network) = network_of(row) else { return false };
        let (news, sorted) = (&self.news[family], &self.sorted[family]);
        let beside = |known: &&[u8]| {
            network_of(known) == Some(network)
                && prefix_of(known) != prefix_of(row)
                && is_alive(known, minute)
        };
        let few = sorted.bytes.chunks_exact(sorted.row).take_while(|_| sorted.len() <= BATCH);
        let few = few.filter(beside).filter(|it| news.get(prefix_of(it)).is_none());
        let news = news.bytes.chunks_exact(news.row).filter(beside);
        news.chain(few).nth(usize::from(IDS_PER_ADDRESS_MAX) - 1).is_some()
    }

    /// Enters the news. Returns how many of them were not, for want of room at their address.
    fn merge(&mut self, minute: u16) -> u64 {
        let (crowded, dead) = self.drop_crowded(minute);
        for (sorted, news) in self.sorted.iter_mut().zip(&mut self.news) {
            news.retain(&mut |row| {
                let known = sorted.find(prefix_of(row));
                known.map(|known| known.copy_from_slice(row)).is_none()
            });
        }
        if dead {
            for rows in &mut self.sorted {
                rows.retain(&mut |row| is_alive(row, minute));
            }
        }
        loop {
            let used = self.used_bytes();
            if used <= self.bytes_max {
                if used < self.bytes_max / 4 * 3 {
                    let threshold = &mut self.sample.threshold;
                    *threshold = threshold.saturating_add(*threshold / 16);
                }
                break;
            }
            self.sample.threshold -= self.sample.threshold / 16;
            self.sample.near_bits = (self.everybody() / NEAR).checked_ilog2().unwrap_or(0);
            let (sample, six) = (self.sample, self.six);
            for rows in self.sorted.iter_mut().chain(&mut self.news) {
                let ours = (rows.row == ROW_BYTES[1]) == six;
                rows.retain(&mut |row| sample.wants(prefix_of(row), ours));
            }
        }
        for (rows, news) in self.sorted.iter_mut().zip(&mut self.news) {
            if rows.bytes.capacity() == 0 && !news.bytes.is_empty() {
                rows.bytes.reserve_exact(self.bytes_max);
            }
            rows.weave(news);
        }
        crowded
    }

    /// Drops from the news what is no hint any more, and each third id at an address. Returns how
    /// many of those there were, and whether anything sorted is no hint any more.
    fn drop_crowded(&mut self, minute: u16) -> (u64, bool) {
        // How many ids are at each network of the news, which are few: most rows are passed by a
        // look at one bit.
        let mut counts = heapless::Vec::<(u64, u8), { 2 * BATCH }>::new();
        let mut marks = [0u64; 256];
        let mark = |network: u64| {
            let hash = (network.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 50) as usize;
            (hash / 64, 1u64 << (hash % 64))
        };
        for rows in &self.news {
            for network in (0..rows.len()).filter_map(|at| network_of(rows.at(at))) {
                let (word, bit) = mark(network);
                marks[word] |= bit;
                if !counts.iter().any(|(known, _)| *known == network) {
                    let pushed = counts.push((network, 0));
                    debug_assert!(pushed.is_ok(), "as many as there are news");
                }
            }
        }
        let mut dead = false;
        for (rows, news) in self.sorted.iter().zip(&self.news) {
            for at in 0..rows.len() {
                if !is_alive(rows.at(at), minute) {
                    dead = true;
                    continue;
                }
                let Some(network) = network_of(rows.at(at)) else { continue };
                let (word, bit) = mark(network);
                if marks[word] & bit == 0 {
                    continue;
                }
                let known = counts.iter_mut().find(|(known, _)| *known == network);
                let replaced = || news.get(prefix_of(rows.at(at))).is_some();
                if let Some((_, count)) = known.filter(|_| !replaced()) {
                    *count = count.saturating_add(1);
                }
            }
        }
        let mut dropped = 0;
        for rows in &mut self.news {
            rows.retain(&mut |row| {
                let network = network_of(row);
                let known = counts.iter_mut().find(|(known, _)| Some(*known) == network);
                let Some((_, count)) = known else { return address_of(row).is_some() };
                *count += 1;
                let fits = *count <= IDS_PER_ADDRESS_MAX;
                dropped += u64::from(!fits);
                fits
            });
        }
        (dropped, dead)
    }
}
