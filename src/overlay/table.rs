//! The members that this node has proven: who answered at which address, and how fast.
//!
//! One sorted list of few. Whoever is closest to a place by exclusive or shares the longest prefix
//! with it, so the closest of a sorted list lie in one range. Entries get here by an exchange only.
//! Each carries its own estimate of the round-trip time (RFC 6298 s2, in integers), because a
//! time-out drawn from a peer's own times is what keeps look-ups short when half of the members
//! are gone (Rhea et al., "Handling Churn in a DHT", USENIX 2004).
//!
//! A small network is here as a whole. In a large one those are whom this node deals with; of the
//! others it has [`super::hints`], and the one not heard for longest goes back to them.

use super::id::{
    Named, Node, Packed, Place, common_bits, insert_closest, position, positions_within, prefix,
};
use crate::identity::Certificate;
use crate::limits::{OVERLAY_MEMBERS_MAX, OVERLAY_PEER_BURST};
use crate::net::NodeId;
use crate::time::Duration;
use heapless::VecView;
use std::net::SocketAddr;

/// The shortest time-out of a request: below it, a busy peer looks dead.
const RTO_MIN: Duration = Duration::from_millis(60);
/// The longest first time-out of a request.
const RTO_MAX: Duration = Duration::from_millis(1000);
/// Within so many microseconds three of four answers come, before any has been measured.
const USUAL_INITIAL_US: u32 = 150_000;
/// So long it takes at least: answers of neighbours in the same rack say nothing.
const USUAL_MIN: Duration = Duration::from_millis(20);
/// How fast that is learned.
const USUAL_SHIFT: u32 = 6;
/// The time-out before any answer has been measured.
const RTO_INITIAL: Duration = Duration::from_millis(400);

/// Smoothed round-trip time and its variation, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rtt {
    smoothed_us: u32,
    variation_us: u32,
}

impl Rtt {
    /// Takes a measurement in (RFC 6298 s2.2 and s2.3).
    pub(super) fn measure(&mut self, rtt: Duration) {
        let rtt_us = u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX).clamp(1, 60_000_000);
        if self.smoothed_us == 0 {
            *self = Self { smoothed_us: rtt_us, variation_us: rtt_us / 2 };
            return;
        }
        let error = self.smoothed_us.abs_diff(rtt_us);
        self.variation_us = self.variation_us - self.variation_us / 4 + error / 4;
        self.smoothed_us = self.smoothed_us - self.smoothed_us / 8 + rtt_us / 8;
    }

    /// When to expect an answer no longer; `None` before the first measurement.
    pub(super) fn timeout(&self) -> Option<Duration> {
        if self.smoothed_us == 0 {
            return None;
        }
        let us = u64::from(self.smoothed_us) + 4 * u64::from(self.variation_us);
        Some(Duration::from_micros(us).clamp(RTO_MIN, RTO_MAX))
    }
}

/// A proven member.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Its id.
    pub(super) id: NodeId,
    packed: Packed,
    /// Datagrams that it may send us now, and the lower half of when that was reckoned.
    pub(super) credit: u16,
    /// See `credit`.
    pub(super) credit_s: u16,
    /// Requests in a row without an answer.
    pub(super) missed: u8,
    /// What its answers said of its start; see [`super::wire::Hello`].
    pub(super) start: Option<u8>,
    /// Whether it was reached from our second port only.
    pub(super) near: bool,
    /// Whether a ping is under way to find out whether it is still there.
    pub(super) checking: bool,
    /// The second when it was heard last.
    pub(super) heard_s: u32,
    /// The second since when it has had this address.
    pub(super) since_s: u32,
    /// Its round-trip time.
    pub(super) rtt: Rtt,
    /// The number of the certificate that it has shown and that ends last, xor its anchor's realm.
    pub(super) serial: u64,
    /// See `serial`.
    pub(super) until_s: u32,
}

impl Member {
    fn new(node: &Node, now_s: u32) -> Self {
        Self {
            id: node.id,
            packed: node.address.into(),
            credit: OVERLAY_PEER_BURST,
            credit_s: now_s as u16,
            missed: 0,
            start: None,
            near: false,
            checking: false,
            heard_s: now_s,
            since_s: now_s,
            rtt: Rtt::default(),
            serial: 0,
            until_s: 0,
        }
    }

    /// Its address.
    pub(super) fn address(&self) -> SocketAddr {
        self.packed.address()
    }

    /// Id and address.
    pub(super) fn node(&self) -> Node {
        Node { id: self.id, address: self.address() }
    }
}

const _: () = assert!(size_of::<Member>() <= 72);

/// Of addresses that share so many bytes, one likely is as far away as another: an IPv4 /16, whose
/// address is mapped into IPv6, and an IPv6 /32, as providers get them.
const ALIKE_IPV4: usize = 14;
const ALIKE_IPV6: usize = 4;
/// Ids listed at one IPv4 address, or in one IPv6 /56.
const IDS_PER_ADDRESS_MAX: usize = 2;

/// Why a member was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NotEntered {
    /// The table is full.
    Full,
    /// Two ids live at this address already.
    Address,
}

/// Tells which of others are members: quickly, where it is asked in the order of their ids.
pub(super) struct Among<'a> {
    members: &'a [Member],
    at: usize,
    last: u64,
}

impl Among<'_> {
    pub(super) fn has(&mut self, id: &NodeId) -> bool {
        let wanted = prefix(id);
        let of = |at: usize| self.members.get(at).map_or(u64::MAX, |member| prefix(&member.id));
        if wanted < self.last {
            self.at = position(self.members.len(), wanted, &of);
        }
        while of(self.at) < wanted {
            self.at += 1;
        }
        self.last = wanted;
        self.at < self.members.len() && of(self.at) == wanted
    }
}

/// The proven members, sorted by id.
pub(super) struct Members {
    sorted: Vec<Member>,
    capacity: usize,
    overall: Rtt,
    /// Within so many microseconds three of four answers come.
    usual_us: u32,
}

impl Members {
    /// No members, with room for as many as fit into `table_kb`.
    pub(super) fn new(table_kb: u32) -> Self {
        let fitting = table_kb as usize * 1024 / size_of::<Member>();
        let capacity = fitting.clamp(32, OVERLAY_MEMBERS_MAX);
        let sorted = Vec::with_capacity(capacity);
        Self { sorted, capacity, overall: Rtt::default(), usual_us: USUAL_INITIAL_US }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// Whether nobody is known.
    pub(super) fn is_empty(&self) -> bool {
        self.sorted.is_empty()
    }

    /// Whether another one would be refused.
    pub(super) fn is_full(&self) -> bool {
        self.sorted.len() >= self.capacity
    }

    /// The member called `id`, by whatever is known of its id.
    pub(super) fn get(&self, id: &NodeId) -> Option<&Member> {
        self.find(id).ok().map(|at| &self.sorted[at])
    }

    /// The member called `id`, to change it.
    pub(super) fn get_mut(&mut self, id: &NodeId) -> Option<&mut Member> {
        self.find(id).ok().map(|at| &mut self.sorted[at])
    }

    /// The member at `position` of the sorted list.
    pub(super) fn at(&self, position: usize) -> Option<&Member> {
        self.sorted.get(position)
    }

    /// All members, sorted by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.sorted.iter()
    }

    /// Notes that `node` was proven at `now_s`; a known one moves to the address. True where it
    /// is new.
    ///
    /// # Errors
    /// [`NotEntered`]: it is not listed, and not any more where it was.
    pub(super) fn prove(&mut self, node: &Node, now_s: u32) -> Result<bool, NotEntered> {
        let found = self.find(&node.id);
        let stays = found.is_ok_and(|at| self.sorted[at].address() == node.address);
        if !stays && self.is_crowded(node) {
            if let Ok(at) = found {
                self.sorted.remove(at);
            }
            return Err(NotEntered::Address);
        }
        match found {
            Ok(at) => {
                let member = &mut self.sorted[at];
                if member.address() != node.address {
                    member.packed = node.address.into();
                    member.since_s = now_s;
                }
                member.heard_s = now_s;
                member.missed = 0;
                Ok(false)
            }
            Err(at) => {
                if self.is_full() {
                    return Err(NotEntered::Full);
                }
                self.sorted.insert(at, Member::new(node, now_s));
                Ok(true)
            }
        }
    }

    /// Enters nodes that nobody has to prove, heard at different times of the last hour and so far
    /// away, in place of all that are known.
    #[cfg(feature = "lab")]
    pub(super) fn fill(
        &mut self,
        sorted: impl Iterator<Item = Node>,
        now_s: u32,
        rtt: &dyn Fn(&SocketAddr) -> Duration,
    ) {
        self.sorted.clear();
        for node in sorted.take(self.capacity) {
            let mut member = Member::new(&node, now_s);
            let ago_s = u32::from(u16::from_be_bytes([node.id.0[14], node.id.0[15]])) % 3300;
            member.heard_s = now_s.saturating_sub(ago_s);
            member.rtt.measure(rtt(&node.address));
            self.overall.measure(rtt(&node.address));
            self.sorted.push(member);
        }
    }

    /// Somebody has proven to have this certificate.
    pub(super) fn certified(&mut self, certificate: &Certificate, realm: u64) {
        let until_s = certificate.validity().until_s;
        if let Some(member) = self.get_mut(&certificate.place())
            && until_s >= member.until_s
        {
            (member.serial, member.until_s) = (certificate.serial() ^ realm, until_s);
        }
    }

    /// Forgets a member.
    pub(super) fn remove(&mut self, id: &NodeId) -> Option<Member> {
        self.find(id).ok().map(|at| self.sorted.remove(at))
    }

    /// Takes the round-trip time of an answer in.
    pub(super) fn measure(&mut self, id: &NodeId, rtt: Duration) {
        self.overall.measure(rtt);
        let step = self.usual_us >> USUAL_SHIFT;
        if rtt.as_micros() > u128::from(self.usual_us) {
            self.usual_us += 3 * step;
        } else {
            self.usual_us -= step;
        }
        if let Some(member) = self.get_mut(id) {
            member.rtt.measure(rtt);
        }
    }

    /// When to expect an answer of `id` (or of somebody unknown) no longer.
    pub(super) fn timeout(&self, id: Option<&NodeId>) -> Duration {
        let own = id.and_then(|id| self.get(id)).and_then(|member| member.rtt.timeout());
        own.or_else(|| self.overall.timeout()).unwrap_or(RTO_INITIAL)
    }

    /// How many microseconds an answer from `address` is likely to take: as long as from the member
    /// whose address is most like it, or as from anybody.
    pub(super) fn likely_rtt_us(&self, address: &SocketAddr) -> u32 {
        let Packed { ip, .. } = (*address).into();
        let least = if address.is_ipv4() { ALIKE_IPV4 } else { ALIKE_IPV6 };
        let mut best = (least, u32::MAX);
        for member in self.sorted.iter().filter(|member| member.rtt.smoothed_us > 0) {
            let alike = member.packed.ip.iter().zip(&ip).take_while(|(a, b)| a == b).count();
            if alike > best.0 || alike == best.0 && member.rtt.smoothed_us < best.1 {
                best = (alike, member.rtt.smoothed_us);
            }
        }
        if best.1 < u32::MAX { best.1 } else { self.overall.smoothed_us }
    }

    /// Three of four answers come within this time: of several, the first does.
    pub(super) fn usual(&self) -> Duration {
        Duration::from_micros(u64::from(self.usual_us)).clamp(USUAL_MIN, RTO_MAX)
    }

    /// The at most `N` members closest to `target` that `accept` lets pass, closest first.
    pub(super) fn closest<const N: usize>(
        &self,
        target: &Place,
        accept: impl Fn(&Member) -> bool,
    ) -> heapless::Vec<Node, N> {
        let mut best = heapless::Vec::<Named, N>::new();
        self.closest_into(target, &accept, best.as_mut_view());
        best.iter().map(|named| named.node).collect()
    }

    /// The same, into a list of others.
    pub(super) fn closest_into(
        &self,
        target: &Place,
        accept: &dyn Fn(&Member) -> bool,
        best: &mut VecView<Named>,
    ) {
        let wanted = best.capacity();
        let fit = |bits| self.within(target, bits).iter().filter(|member| accept(member));
        let mut bits = (self.sorted.len() / wanted.max(1)).checked_ilog2().unwrap_or(0);
        if let Some(last) = best.last().filter(|_| best.is_full()) {
            bits = common_bits(&NodeId(*target), &last.node.id);
        } else {
            while bits > 0 && fit(bits).take(wanted).count() < wanted {
                bits -= 1;
            }
        }
        for member in fit(bits) {
            insert_closest(best, target, Named { node: member.node(), age_h: 0 });
        }
    }

    /// The one not heard for longest of those that may `go`.
    pub(super) fn oldest(&self, go: &dyn Fn(&Member) -> bool) -> Option<Node> {
        let mut oldest: Option<&Member> = None;
        for member in &self.sorted {
            if oldest.is_none_or(|oldest| member.heard_s < oldest.heard_s) && go(member) {
                oldest = Some(member);
            }
        }
        oldest.map(Member::node)
    }

    /// Those that share so many bits with `target`.
    pub(super) fn within(&self, target: &Place, bits: u32) -> &[Member] {
        let at = |at: usize| self.sorted.get(at).map_or(0, |member| prefix(&member.id));
        let place = prefix(&NodeId(*target));
        self.sorted.get(positions_within(self.len(), place, bits, &at)).unwrap_or_default()
    }

    /// Whether as many others as may share the node's IPv4 address, or its IPv6 /56.
    pub(super) fn is_crowded(&self, node: &Node) -> bool {
        let ip = node.address.ip();
        let prefix_bytes = if ip.is_ipv4() { 16 } else { 7 };
        let Packed { ip: octets, .. } = node.address.into();
        let near = |member: &&Member| {
            member.packed.ip[..prefix_bytes] == octets[..prefix_bytes] && member.id != node.id
        };
        !ip.is_loopback() && self.sorted.iter().filter(near).count() >= IDS_PER_ADDRESS_MAX
    }

    /// Who of others is a member.
    pub(super) fn among(&self) -> Among<'_> {
        Among { members: &self.sorted, at: 0, last: u64::MAX }
    }

    fn find(&self, id: &NodeId) -> Result<usize, usize> {
        let at = |at: usize| self.sorted.get(at).map_or(0, |member| prefix(&member.id));
        let found = position(self.len(), prefix(id), &at);
        if found < self.len() && at(found) == prefix(id) { Ok(found) } else { Err(found) }
    }
}
