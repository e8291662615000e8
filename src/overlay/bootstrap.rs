//! Joining: from bootstrap addresses or remembered peers to a place among the members.
//!
//! Three of them are asked at a time, at growing intervals. What they answer is merged with the
//! node's own search for its place and for random places, so that no single bootstrap peer
//! decides whom it knows. A node that has lost everybody begins again.

use super::Overlay;
use super::event::OverlayEvent;
use super::id::Node;
use super::lookup::Goal;
use super::reader::Reader;
use super::request::Purpose;
use super::wire::{FIND_BYTES, GET_BYTES, NO_TOKEN};
use super::wire_out::Encoder;
use crate::limits::{BOOTSTRAP_ADDRESSES_MAX, OVERLAY_MEMBERS_MAX};
use crate::order::order;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

/// Peers remembered over a restart.
const PEERS_MAX: usize = 256;
/// Bytes of the file with remembered peers.
const PEERS_BYTES_MAX: usize = 8192;
const PEERS_VERSION: u8 = 1;
const AT_ONCE: usize = 3;
/// Addresses among which an attempt chooses.
const CHOICE_MAX: usize = 128;
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Seconds in which members everywhere are asked whom they know, after the search for the own
/// place: at least so many, and as long as somebody new becomes known, up to so many.
const SWEEPS_MIN: u8 = 4;
const SWEEPS_MAX: u8 = 12;
const SWEEPS_AT_ONCE: usize = 2;
/// Attempts that spare the bootstrap peers.
const MIXED_ATTEMPTS: usize = 3;
/// Who has heard of more than so many by then asks for all: sweeps find no more than twice that.
const HARVEST_MIN: usize = OVERLAY_MEMBERS_MAX / 2;

/// How far joining has come.
pub(super) struct Join {
    bootstrap: heapless::Vec<SocketAddr, BOOTSTRAP_ADDRESSES_MAX>,
    saved: Vec<Node>,
    attempts: u32,
    next: Instant,
    searching: bool,
    joined: bool,
    sweeps: u8,
    swept: bool,
    /// Members known, or heard of, before the last search.
    known: usize,
}

impl Join {
    pub(super) fn new() -> Self {
        Self {
            bootstrap: heapless::Vec::new(),
            saved: Vec::new(),
            attempts: 0,
            next: Instant::ZERO,
            searching: false,
            joined: false,
            sweeps: 0,
            swept: false,
            known: 0,
        }
    }

    /// Joined, long ago.
    #[cfg(any(test, feature = "lab"))]
    pub(super) fn over() -> Self {
        Self { joined: true, swept: true, ..Self::new() }
    }

    /// Where another joined is where this one joins.
    pub(super) fn take_bootstrap(&mut self, other: Self) {
        self.bootstrap = other.bootstrap;
    }

    pub(super) fn joined(&self) -> bool {
        self.joined
    }

    pub(super) fn is_bootstrap(&self, address: &SocketAddr) -> bool {
        self.bootstrap.contains(address)
    }
}

impl Overlay {
    /// Where to join; names have been resolved by the caller. Replaces the earlier list; of more
    /// than [`BOOTSTRAP_ADDRESSES_MAX`] addresses the rest is left out.
    pub fn set_bootstrap(&mut self, now: Instant, addresses: &[SocketAddr]) {
        self.join.bootstrap = addresses.iter().take(BOOTSTRAP_ADDRESSES_MAX).copied().collect();
        if self.members.is_empty() {
            (self.join.attempts, self.join.next) = (0, now);
            self.upkeep.wake(now);
        }
    }

    /// Takes what [`Self::save_peers`] gave before the restart. From the first faulty byte on it
    /// is ignored.
    pub fn load_peers(&mut self, now: Instant, data: &[u8]) {
        let Some((&PEERS_VERSION, peers)) = data.split_first() else { return };
        let mut peers = Reader(peers);
        self.join.saved.clear();
        while self.join.saved.len() < PEERS_MAX
            && let Some(node) = peers.node()
        {
            if node.id != self.me {
                self.join.saved.push(node);
            }
        }
        if self.members.is_empty() {
            (self.join.attempts, self.join.next) = (0, now);
            self.upkeep.wake(now);
        }
    }

    /// Peers worth remembering over a restart, longest-unchanged addresses first: at most
    /// 256 and 8,192 bytes. Where nobody was met, the ones loaded.
    pub fn save_peers(&self) -> Vec<u8> {
        let mut peers: Vec<(u32, Node)> =
            self.members.iter().map(|member| (member.since_s, member.node())).collect();
        order(&mut peers, |(since_s, node)| (*since_s, node.id));
        if peers.is_empty() {
            peers.extend(self.join.saved.iter().map(|node| (0, *node)));
        }
        let mut out = vec![PEERS_VERSION];
        for (_, node) in peers.iter().take(PEERS_MAX) {
            if out.len() + 16 + 1 + 16 + 2 > PEERS_BYTES_MAX {
                break;
            }
            out.extend(node.id.0);
            match node.address.ip() {
                IpAddr::V4(ip) => {
                    out.push(4);
                    out.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.push(6);
                    out.extend(ip.octets());
                }
            }
            out.extend(node.address.port().to_be_bytes());
        }
        out
    }

    /// A new member was proven.
    pub(super) fn member_entered(&mut self, now: Instant) {
        self.first_member(now);
        if !self.join.joined && !self.join.searching && !self.judge.holds(now) {
            self.search_place(now);
        }
    }

    /// A search for the own place or a random one is over.
    pub(super) fn members_looked_up(&mut self, now: Instant) {
        self.join.searching = false;
        if self.members.is_empty() {
            return;
        }
        if !self.join.joined {
            self.join.joined = true;
            (self.join.sweeps, self.join.swept) = (0, false);
            self.upkeep.wake(now);
            self.tell(OverlayEvent::Joined);
            self.publications_now(now);
        }
    }

    /// Looks for members anywhere, until nobody new is heard of; in a large network everywhere.
    fn sweep(&mut self, now: Instant) {
        let known = self.members.len() + self.upkeep.waiting();
        let more = self.join.sweeps < SWEEPS_MIN || known > self.join.known;
        if !more || self.join.sweeps >= SWEEPS_MAX || !self.is_small() {
            self.join.swept = true;
            if self.hints.len() > HARVEST_MIN {
                self.harvest.begin();
            }
            return;
        }
        self.join.known = known;
        self.join.sweeps += 1;
        for _ in 0..SWEEPS_AT_ONCE {
            let place = self.rng.bytes();
            if let Some(node) = self.members.closest::<1>(&place, |m| m.missed == 0).first() {
                self.ask_for_view(now, node, place, GET_BYTES);
            }
        }
    }

    /// Nobody is left.
    pub(super) fn all_lost(&mut self, now: Instant) {
        (self.join.joined, self.join.attempts, self.join.next) = (false, 0, now);
        self.upkeep.wake(now);
        self.forget_judgement();
    }

    pub(super) fn join_tick(&mut self, now: Instant) {
        if !self.members.is_empty() {
            self.member_entered(now);
            if self.join.joined && !self.join.swept {
                self.sweep(now);
            }
            self.harvest_tick(now);
        } else if now >= self.join.next {
            self.join_attempt(now);
        }
    }

    /// When joining wants its next turn.
    pub(super) fn join_next(&self, now: Instant) -> Option<Instant> {
        if self.members.is_empty() {
            return Some(self.join.next);
        }
        let on = !self.join.joined || !self.join.swept || self.harvest.is_on();
        on.then_some(now)
    }

    fn search_place(&mut self, now: Instant) {
        let me = self.me.0;
        if let Some(id) = self.start_lookup(now, Goal::Members, me) {
            self.join.searching = true;
            self.drive(now, id);
        }
    }

    fn join_attempt(&mut self, now: Instant) {
        let backoff = (BACKOFF_MIN * (1 << self.join.attempts.min(6))).min(BACKOFF_MAX);
        self.join.next = now + self.rng.jitter(backoff);
        let ours = self.reach.addresses();
        let is_other = |to: &&SocketAddr| !ours.contains(to) && self.reach.has(to.is_ipv6());
        let bootstrap = self.join.bootstrap.iter().filter(is_other);
        let saved = self.join.saved.iter().map(|node| node.address);
        let others = saved.chain(self.suspects.addresses());
        let mut usable = heapless::Vec::<SocketAddr, CHOICE_MAX>::new();
        usable.extend(bootstrap.copied());
        let firsts = usable.len();
        usable.extend(others.filter(|it| is_other(&it)).take(CHOICE_MAX - firsts));
        // At first one bootstrap peer and two others: those who come back together would crush the
        // few whom all know. Then all in turn, and every second time bootstrap peers alone.
        let attempts = self.join.attempts as usize;
        let turn = usize::from(self.me.0[15]) + attempts;
        let others = usable.len() - firsts;
        let mixed = firsts > 0 && others >= 2 && attempts < MIXED_ATTEMPTS;
        let choice = if firsts > 0 && attempts % 2 == 1 { firsts } else { usable.len() };
        self.join.attempts = self.join.attempts.saturating_add(1);
        for number in 0..AT_ONCE.min(if mixed { AT_ONCE } else { choice }) {
            let at = match number {
                0 if mixed => turn % firsts,
                _ if mixed => firsts + (2 * turn + number) % others,
                _ => (AT_ONCE * turn + number) % choice,
            };
            if let Some(to) = usable.get(at).copied() {
                self.ask_to_join(now, to);
            }
        }
    }

    fn ask_to_join(&mut self, now: Instant, to: SocketAddr) {
        let place = self.me.0;
        self.ask(now, to, None, Purpose::Join, FIND_BYTES, |me, request| {
            Encoder::find(me, request, &NO_TOKEN, &place)
        });
    }

    /// Asks a bootstrap address that is no member's: islands that started apart find each other.
    pub(super) fn ask_absent_bootstrap(&mut self, now: Instant) {
        let (ours, six) = (self.reach.addresses(), self.hints.six);
        let absent = |to: &&SocketAddr| {
            let member = self.members.iter().any(|member| member.address() == **to);
            to.is_ipv6() == six && !(ours.contains(to) || member || self.hints.has_address(to))
        };
        let count = self.join.bootstrap.iter().filter(absent).count();
        let at = self.rng.below(count as u32) as usize;
        let chosen = self.join.bootstrap.iter().filter(absent).nth(at).copied();
        if let Some(to) = chosen {
            self.ask_to_join(now, to);
        }
    }
}
