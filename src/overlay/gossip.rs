//! Gossip: hints of new addresses, spread along a tree so that each node gets each once.
//!
//! The tree is that of the ids' bits. A hint of level l is the receiver's to spread among those who
//! share its first l bits: for each bit from there on it goes to one contact who differs in that
//! bit first, with the level behind it. So whatever the contact, every part of the network hears it
//! from outside once; a random push would cost nearly five copies. What waits is spread every five
//! minutes, or each minute while there is much, in one datagram a bit. That is acknowledged: at
//! each level everything behind a lost one would be lost. Who does not answer is asked again, then
//! another contact of the same part is. What a round may cost is bounded, and what does not fit
//! waits for the next.
//!
//! Only a node itself begins to spread its hint: when its address is new, and where it has stayed
//! for 25 hours. Whoever passes hints on has proven its address, is where the level says, and
//! brings no more than a share of what there may be: the nearer to the root a hint is said to be,
//! the more of the share it takes.

use super::id::{Named, Node};
use super::wire::{NAMED_IPV6, NO_TOKEN, Token};
use super::wire_out::{NAMED_BYTES_MAX, named_bytes};
use crate::limits::OVERLAY_GOSSIP_BYTES_MAX;
use crate::net::NodeId;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use std::net::{IpAddr, SocketAddr};

pub(super) const ROUND: Duration = Duration::from_secs(270);
const ROUND_MIN: Duration = Duration::from_secs(60);
/// A node announces itself anew where its address has stayed for so long: more than a day, for most
/// providers change it daily, and that is an announcement.
pub(super) const ANNOUNCE: Duration = Duration::from_secs(25 * 3600);
#[cfg(any(test, feature = "lab"))]
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Levels of the tree: no two ids share more bits by chance.
pub(super) const BITS: usize = 40;
/// Bytes of hints in a datagram.
const HINTS_BYTES: usize = 1100;
/// Senders share so many places at random, each with so much weight within so many seconds.
const SENDERS: usize = 128;
const SENDER_S: u32 = 600;
const SENDER_WEIGHT: u32 = 1 << 16;

/// Where the hints go that are for those who differ from us in one bit first.
#[derive(Clone, Copy)]
pub(super) struct Branch {
    pub(super) contact: Option<Node>,
    pub(super) token: Token,
    /// Up to where the round's hints were spread here, and will be by the datagram under way.
    pub(super) done: u32,
    pub(super) end: u32,
    pub(super) tries: u8,
    /// Numbers what is sent: an answer to something older does not count.
    pub(super) serial: u8,
    pub(super) waits: bool,
}

/// What is spread, and by whom.
pub(super) struct Gossip {
    /// Hints, oldest first: level (1), then as on the wire.
    pub(super) queue: Vec<u8>,
    /// How much of that is spread in the round under way.
    pub(super) round: usize,
    pub(super) budget: usize,
    pub(super) next: Instant,
    pub(super) begun: Instant,
    pub(super) branches: Vec<Branch>,
    /// From this bit on nobody else is there.
    pub(super) depth: usize,
    /// Addresses of which everybody was told, IPv4 first.
    pub(super) announced: [Option<SocketAddr>; 2],
    pub(super) announce_at: Option<Instant>,
    senders: [u32; SENDERS],
    senders_s: u32,
    key: u64,
}

impl Gossip {
    pub(super) fn new(now: Instant, rng: &mut Rng) -> Self {
        let none = Branch {
            contact: None,
            token: NO_TOKEN,
            done: 0,
            end: 0,
            tries: 0,
            serial: 0,
            waits: false,
        };
        Self {
            queue: Vec::with_capacity(OVERLAY_GOSSIP_BYTES_MAX),
            round: 0,
            budget: 0,
            // Each node has a phase of its own.
            begun: now,
            next: now + ROUND * rng.below(1 << 16) / (1 << 16),
            branches: vec![none; BITS],
            depth: BITS,
            announced: [None; 2],
            announce_at: None,
            senders: [0; SENDERS],
            senders_s: 0,
            key: rng.next_u64() | 1,
        }
    }

    pub(super) fn next(&self) -> Option<Instant> {
        earlier(Some(self.next), self.announce_at)
    }

    /// Everybody has been told of these addresses within the last day.
    #[cfg(any(test, feature = "lab"))]
    pub(super) fn announced(now: Instant, own: [Option<SocketAddr>; 2], rng: &mut Rng) -> Self {
        let again = ANNOUNCE - DAY * rng.below(1 << 16) / (1 << 16);
        Self { announced: own, announce_at: Some(now + again), ..Self::new(now, rng) }
    }

    /// Whether hints are spread through this node.
    pub(super) fn is_contact(&self, id: &NodeId) -> bool {
        self.branches.iter().any(|branch| branch.contact.is_some_and(|contact| contact.id == *id))
    }

    /// Begins the next round early where a datagram would be full, or where as many wait as would
    /// leave others wrong about one in 64 of the `known`.
    pub(super) fn hurry(&mut self, now: Instant, known: usize) {
        if self.queue.len() - self.round > HINTS_BYTES.min(known / 4) {
            self.next = self.next.min(self.begun + ROUND_MIN).max(now);
        }
    }

    /// Whether so many hints can be queued.
    pub(super) fn has_room(&self, count: usize) -> bool {
        self.queue.len() + count * (1 + NAMED_BYTES_MAX) <= OVERLAY_GOSSIP_BYTES_MAX
    }

    /// Queues a hint, where there is somebody to pass it on to.
    pub(super) fn push(&mut self, level: u8, named: &Named) {
        if usize::from(level) >= self.depth {
            return;
        }
        let mut bytes = heapless::Vec::new();
        named_bytes(named, &mut bytes);
        self.queue.push(level);
        self.queue.extend_from_slice(&bytes);
    }

    /// The next hints for a bit: where they end, how many they are, and they.
    pub(super) fn pick(&self, bit: usize) -> (usize, u8, heapless::Vec<u8, HINTS_BYTES>) {
        let (mut hints, mut count) = (heapless::Vec::new(), 0);
        let mut at = self.branches.get(bit).map_or(0, |branch| branch.done as usize);
        while at < self.round {
            let Some(&[level, flags]) = self.queue.get(at..).and_then(|rest| rest.first_chunk())
            else {
                break;
            };
            let end = at + if flags & NAMED_IPV6 == 0 { 16 } else { 28 };
            if usize::from(level) <= bit {
                let Some(named) = self.queue.get(at + 1..end) else { break };
                if hints.extend_from_slice(named).is_err() {
                    break;
                }
                count += 1;
            }
            at = end;
        }
        (at, count, hints)
    }

    /// Ends the round where everything of it is spread.
    pub(super) fn end_round(&mut self) {
        if self.branches.iter().all(|b| b.done as usize >= self.round && !b.waits) {
            self.queue.drain(..self.round);
            self.round = 0;
            self.branches.iter_mut().for_each(|branch| branch.done = 0);
        }
    }

    /// Charges a sender for its hints; false where it has brought too many.
    pub(super) fn charge(
        &mut self,
        from: &SocketAddr,
        now_s: u32,
        level: u8,
        count: usize,
    ) -> bool {
        if now_s >= self.senders_s {
            (self.senders, self.senders_s) = ([0; SENDERS], now_s + SENDER_S);
        }
        let bits = match from.ip() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            IpAddr::V6(ip) => (ip.to_bits() >> 72) as u64,
        };
        let place = (bits ^ self.key).wrapping_mul(self.key) >> 57;
        let weight = ((1 << 13) >> u32::from(level).min(10)) * count as u32;
        let Some(sum) = self.senders.get_mut(place as usize) else { return false };
        let fits = *sum + weight <= SENDER_WEIGHT;
        *sum += if fits { weight } else { 0 };
        fits
    }
}
