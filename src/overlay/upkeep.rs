//! Knowing who is there: proving addresses, noticing silence, hearing of moves.
//!
//! Neighbours are heard every few minutes, whichever side asks first; all others hourly. A member
//! that misses an answer is pinged at doubling time-outs and lost after four. A known id at a new
//! address moves there once its old address stays silent, or at once with its signature.

use super::Overlay;
use super::announce::NEIGHBOURS;
use super::event::OverlayEvent;
use super::id::{Node, Place};
use super::recent::Recent;
use super::request::{Pending, Purpose};
use super::table::NotEntered;
use super::wire::{FIND_BYTES, Hello, NO_TOKEN, Token};
use super::wire_out::Encoder;
use crate::net::NodeId;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use std::net::SocketAddr;

const TICK: Duration = Duration::from_secs(1);
const PROBES_MAX: usize = 128;
/// Probes that leave at the same moment, and the pause between such moments.
const PROBES_AT_ONCE: usize = 4;
const PROBE_PAUSE: Duration = Duration::from_millis(100);
/// The pause once so many members are known that one more is nothing new.
const PROBE_PAUSE_LARGE: Duration = Duration::from_secs(4);
const LARGE: usize = 512;
const MISSES_MAX: u8 = 4;
const NEIGHBOUR_SILENT_S: u32 = 270;
const MEMBER_SILENT_S: u32 = 3600;
const SCANNED_A_TICK: usize = 32;
/// How often a neighbour and somebody anywhere are asked whom they know.
const VIEW_S: u32 = 600;
const MOVES_MAX: usize = 16;

/// What upkeep remembers.
pub(super) struct Upkeep {
    tick_at: Instant,
    cursor: usize,
    view_s: u32,
    probes: heapless::Deque<Node, PROBES_MAX>,
    probe_at: Option<Instant>,
    probed: Recent,
    introduced: Recent,
    moves: heapless::Vec<Node, MOVES_MAX>,
    told_own_id_s: u32,
}

impl Upkeep {
    pub(super) fn new(now: Instant, rng: &mut Rng) -> Self {
        Self {
            tick_at: now,
            cursor: 0,
            view_s: VIEW_S / 2 + rng.below(VIEW_S / 2),
            probes: heapless::Deque::new(),
            probe_at: None,
            probed: Recent::new(rng),
            introduced: Recent::new(rng),
            moves: heapless::Vec::new(),
            told_own_id_s: 0,
        }
    }

    /// Addresses waiting to be probed.
    pub(super) fn waiting(&self) -> usize {
        self.probes.len()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        earlier(Some(self.tick_at), self.probe_at)
    }

    fn take_move(&mut self, id: &NodeId) -> Option<Node> {
        let at = self.moves.iter().position(|node| node.id == *id)?;
        Some(self.moves.swap_remove(at))
    }
}

impl Overlay {
    /// Somebody of this id asked something from this address.
    pub(super) fn heard_asking(
        &mut self,
        now: Instant,
        node: &Node,
        proven: bool,
        start: Option<u8>,
    ) {
        let now_s = self.seconds(now);
        let known = self.members.get_mut(&node.id);
        if let Some(member) = known.filter(|member| member.address() == node.address) {
            member.heard_s = now_s;
            if let Some(start) = start {
                let before = member.start.replace(start);
                if before.is_some_and(|before| before != start) {
                    self.holder_returned(now, &node.id, true);
                }
            }
            return;
        }
        // Nobody is probed for having asked: the answer, no larger than the question, invites
        // strangers to prove where they are.
        if proven {
            self.heard_at(now, node);
        }
    }

    /// Somebody of this id answered from where we asked.
    pub(super) fn heard_answering(
        &mut self,
        now: Instant,
        node: &Node,
        pending: &Pending,
        hello: &Hello,
    ) {
        if let Some(expected) = pending.node.filter(|expected| *expected != node.id) {
            let there = self.members.get(&expected).map(|member| member.address());
            if there == Some(node.address) {
                self.members.remove(&expected);
            }
        }
        self.heard_at(now, node);
        self.members.measure(&node.id, now.since(pending.sent));
        let known = self.members.get_mut(&node.id);
        if let Some(member) = known.filter(|member| member.address() == node.address) {
            member.checking &= pending.purpose != Purpose::Check;
            let before = member.start.replace(hello.start);
            if self.upkeep.take_move(&node.id).is_some() {
                self.counters.two_addresses += 1;
            }
            if before.is_some_and(|before| before != hello.start) {
                self.holder_returned(now, &node.id, true);
            }
        }
        if hello.stranger && pending.purpose != Purpose::Introduce {
            self.introduce(now, node, &hello.token);
        }
        self.observed(now, node.address, hello.observed);
    }

    /// Shows `node`, which does not know us, that we are where we say.
    fn introduce(&mut self, now: Instant, node: &Node, token: &Token) {
        let now_s = self.seconds(now);
        if self.upkeep.introduced.is_recent(&node.address, now_s) {
            return;
        }
        let (to, start) = (node.address, self.start);
        self.ask(now, to, Some(node.id), Purpose::Introduce, 0, |me, request| {
            Encoder::ping(me, request, token, start, &to)
        });
    }

    /// This id proved that it reads what is sent to this address.
    fn heard_at(&mut self, now: Instant, node: &Node) {
        let elsewhere = self.members.get(&node.id).filter(|m| m.address() != node.address);
        let Some(member) = elsewhere.map(|member| (member.node(), member.missed)) else {
            return self.heard_signed(now, node);
        };
        let (old, missed) = member;
        if missed > 0 {
            return self.heard_signed(now, node);
        }
        let waiting = self.upkeep.moves.iter().any(|known| known.id == node.id);
        if !waiting && self.upkeep.moves.push(*node).is_ok() {
            self.check(now, old);
        }
    }

    /// This id is at this address, beyond doubt or without a rival.
    pub(super) fn heard_signed(&mut self, now: Instant, node: &Node) {
        let now_s = self.seconds(now);
        match self.members.prove(node, now_s) {
            Ok(false) => {}
            Ok(true) => {
                if self.suspects.remove(&node.id) {
                    self.suspects.hurry(now_s);
                    self.holder_returned(now, &node.id, false);
                }
                self.member_entered(now);
            }
            Err(NotEntered::Full) => self.counters.table_full += 1,
            Err(NotEntered::Address) => self.counters.address_limit += 1,
        }
    }

    /// Somebody named this node. It is probed, not believed.
    pub(super) fn consider(&mut self, now: Instant, node: &Node) {
        let known = self.members.get(&node.id).is_some_and(|m| m.address() == node.address)
            || self.suspects.contains(node);
        if known || node.id == self.me || self.upkeep.probes.is_full() {
            return;
        }
        let now_s = self.seconds(now);
        if self.members.is_full() || self.upkeep.probed.is_recent(&node.address, now_s) {
            return;
        }
        let queued = self.upkeep.probes.push_back(*node);
        debug_assert!(queued.is_ok(), "not full");
        if self.upkeep.probe_at.is_none() {
            self.upkeep.probe_at = Some(now);
        }
    }

    pub(super) fn check(&mut self, now: Instant, node: Node) {
        if let Some(member) = self.members.get_mut(&node.id) {
            member.checking = true;
        }
        let (to, who) = (node.address, Some(node.id));
        let start = self.start;
        self.ask(now, to, who, Purpose::Check, 0, |me, request| {
            Encoder::ping(me, request, &NO_TOKEN, start, &to)
        });
    }

    /// A request to a member is late.
    pub(super) fn peer_missed(&mut self, now: Instant, pending: &Pending, over: bool) {
        let Some(id) = pending.node.filter(|_| !over) else { return };
        let found = self.members.get_mut(&id).filter(|m| m.address() == pending.to);
        let Some(member) = found else { return };
        let checked = pending.purpose == Purpose::Check;
        member.missed =
            if checked { member.missed.saturating_add(1) } else { member.missed.max(1) };
        let (node, missed) = (member.node(), member.missed);
        let again = checked || !member.checking;
        if let Some(moved) = self.upkeep.take_move(&id) {
            return self.heard_signed(now, &moved);
        }
        if missed >= MISSES_MAX {
            self.lose(now, &node);
        } else if again {
            self.check(now, node);
        }
    }

    fn lose(&mut self, now: Instant, node: &Node) {
        self.counters.members_lost += 1;
        self.members.remove(&node.id);
        self.suspects.add(*node, self.seconds(now));
        if self.members.is_empty() {
            self.all_lost(now);
        }
    }

    /// Somebody else speaks under our id.
    pub(super) fn hear_own_id(&mut self, from: SocketAddr) {
        let ours = self.reach.addresses().contains(&from) || self.join.is_bootstrap(&from);
        if !ours && self.upkeep.told_own_id_s == 0 {
            self.upkeep.told_own_id_s = 1;
            self.tell(OverlayEvent::IdInUse(from));
        }
    }

    pub(super) fn upkeep_timeout(&mut self, now: Instant) {
        if self.upkeep.probe_at.is_some_and(|at| at <= now) {
            self.send_probes(now);
        }
        if self.upkeep.tick_at > now {
            return;
        }
        self.upkeep.tick_at = now + TICK;
        let now_s = self.seconds(now);
        self.guard.handle_timeout(&mut self.rng, now);
        self.join_tick(now);
        if let Some(suspect) = self.suspects.next(now_s) {
            self.check(now, suspect);
        }
        self.check_neighbour(now, now_s);
        self.check_member(now, now_s);
        if now_s >= self.upkeep.view_s {
            self.upkeep.view_s = now_s + VIEW_S / 2 + self.rng.below(VIEW_S / 2);
            self.ask_for_views(now);
        }
    }

    fn send_probes(&mut self, now: Instant) {
        let large = self.members.len() >= LARGE;
        for _ in 0..if large { 1 } else { PROBES_AT_ONCE } {
            let Some(Node { address: to, .. }) = self.upkeep.probes.pop_front() else { break };
            let start = self.start;
            self.ask(now, to, None, Purpose::Check, 0, |me, request| {
                Encoder::ping(me, request, &NO_TOKEN, start, &to)
            });
        }
        let pause = if large { PROBE_PAUSE_LARGE } else { PROBE_PAUSE };
        self.upkeep.probe_at = (!self.upkeep.probes.is_empty()).then(|| now + pause);
    }

    fn check_neighbour(&mut self, now: Instant, now_s: u32) {
        let mut longest: Option<(u32, Node)> = None;
        for node in self.members.closest::<NEIGHBOURS>(&self.me.0, |m| !m.checking) {
            let heard_s = self.members.get(&node.id).map_or(now_s, |m| m.heard_s);
            if longest.is_none_or(|(s, _)| heard_s < s) {
                longest = Some((heard_s, node));
            }
        }
        // Each pair has one of the two ask: whoever draws the shorter patience.
        let patience_s = NEIGHBOUR_SILENT_S - self.rng.below(60);
        if let Some((_, node)) = longest.filter(|(s, _)| now_s.saturating_sub(*s) >= patience_s) {
            self.check(now, node);
        }
    }

    fn check_member(&mut self, now: Instant, now_s: u32) {
        for _ in 0..SCANNED_A_TICK.min(self.members.len()) {
            self.upkeep.cursor = (self.upkeep.cursor + 1) % self.members.len();
            let Some(member) = self.members.at(self.upkeep.cursor) else { return };
            let patience_s = MEMBER_SILENT_S - u32::from(member.id.0[15]);
            if !member.checking && now_s.saturating_sub(member.heard_s) >= patience_s {
                return self.check(now, member.node());
            }
        }
    }

    fn ask_for_views(&mut self, now: Instant) {
        let neighbours = self.members.closest::<NEIGHBOURS>(&self.me.0, |m| m.missed == 0);
        let place = self.rng.bytes();
        let anybody = self.members.closest::<1>(&place, |m| m.missed == 0);
        let neighbour = neighbours.get(self.rng.below(neighbours.len() as u32) as usize);
        let asked = [(neighbour, self.me.0), (anybody.first(), place)];
        for (node, target) in asked {
            if let Some(node) = node {
                self.ask_for_view(now, node, target, FIND_BYTES);
            }
        }
        self.ask_absent_bootstrap(now);
    }

    pub(super) fn ask_for_view(&mut self, now: Instant, node: &Node, place: Place, bytes: usize) {
        let (to, who) = (node.address, Some(node.id));
        self.ask(now, to, who, Purpose::Join, bytes, |me, request| {
            Encoder::find(me, request, &NO_TOKEN, &place)
        });
    }
}
