//! Knowing who is there: probing addresses, noticing silence.
//!
//! Neighbours are heard every few minutes, whichever side asks first; all others hourly. A member
//! that misses an answer is pinged at doubling time-outs and lost after four.

use super::Overlay;
use super::announce::NEIGHBOURS;
use super::id::{Node, Place};
use super::recent::Recent;
use super::request::{Pending, Purpose};
use super::wire::{FIND_BYTES, NO_TOKEN};
use super::wire_out::Encoder;
use crate::net::NodeId;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};

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
const RECENT: usize = 256;
const RECENT_S: u32 = 60;
/// Longer than NATs keep a binding that nobody uses: five minutes (RFC 4787 s4.3).
const CONTACTS_S: u32 = 330;
const CONTACTS: usize = 2048;
const DOUBTS_MAX: u8 = 4;
const DOUBT_ASKED: usize = 3;

/// What upkeep remembers.
pub(super) struct Upkeep {
    tick_at: Instant,
    cursor: usize,
    view_s: u32,
    probes: heapless::Deque<Node, PROBES_MAX>,
    probe_at: Option<Instant>,
    probed: Recent,
    pub(super) introduced: Recent,
    /// Whose requests were heard, so that their answers prove nothing.
    pub(super) contacts: Recent,
    /// Who was asked something, and so can get in at a NAT of ours.
    pub(super) sent: Recent,
    /// Who was dialled back for others.
    pub(super) errands: Recent,
    /// Rounds in which members are asked whether our address is still the one that they reported.
    doubts: u8,
    pub(super) moves: heapless::Vec<Node, MOVES_MAX>,
    pub(super) told_own_id_s: u32,
}

impl Upkeep {
    pub(super) fn new(now: Instant, rng: &mut Rng) -> Self {
        Self {
            tick_at: now,
            cursor: 0,
            view_s: VIEW_S / 2 + rng.below(VIEW_S / 2),
            probes: heapless::Deque::new(),
            probe_at: None,
            probed: Recent::new(rng, RECENT, RECENT_S),
            introduced: Recent::new(rng, RECENT, RECENT_S),
            contacts: Recent::new(rng, CONTACTS, CONTACTS_S),
            sent: Recent::new(rng, CONTACTS, CONTACTS_S),
            errands: Recent::new(rng, CONTACTS, RECENT_S),
            doubts: 0,
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

    pub(super) fn take_move(&mut self, id: &NodeId) -> Option<Node> {
        let at = self.moves.iter().position(|node| node.id == *id)?;
        Some(self.moves.swap_remove(at))
    }
}

impl Overlay {
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
        let claim = self.judge.claim();
        self.ping(now, node.address, Some(node.id), Purpose::Check, &NO_TOKEN, claim);
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
            return self.moved(now, &moved);
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
        let forgotten = self.suspects.add(*node, self.seconds(now));
        self.counters.suspects_forgotten += u64::from(forgotten);
        self.rendezvous_lost(now, &node.id);
        if self.members.is_empty() {
            self.all_lost(now);
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
        self.keeper.expire(now_s);
        self.rendezvous_tick(now);
        self.join_tick(now);
        if let Some(suspect) = self.suspects.next(now_s) {
            self.check(now, suspect);
        }
        self.check_neighbour(now, now_s);
        self.check_member(now, now_s);
        self.check_address(now);
        if now_s >= self.upkeep.view_s {
            self.upkeep.view_s = now_s + VIEW_S / 2 + self.rng.below(VIEW_S / 2);
            self.ask_for_views(now);
        }
    }

    /// Those who waited for the first witness may be contacted.
    pub(super) fn hold_over(&mut self, now: Instant) {
        if !self.upkeep.probes.is_empty() {
            self.upkeep.probe_at = Some(now);
        }
        if !self.members.is_empty() {
            self.member_entered(now);
        }
    }

    fn send_probes(&mut self, now: Instant) {
        if self.judge.holds(now) {
            self.upkeep.probe_at = Some(now + TICK);
            return;
        }
        let large = self.members.len() >= LARGE;
        for _ in 0..if large { 1 } else { PROBES_AT_ONCE } {
            let Some(Node { address: to, .. }) = self.upkeep.probes.pop_front() else { break };
            let claim = self.judge.claim();
            self.ping(now, to, None, Purpose::Check, &NO_TOKEN, claim);
        }
        let pause = if large { PROBE_PAUSE_LARGE } else { PROBE_PAUSE };
        self.upkeep.probe_at = (!self.upkeep.probes.is_empty()).then(|| now + pause);
    }

    /// Somebody sees us elsewhere than others did: they are asked, a few times.
    fn check_address(&mut self, now: Instant) {
        if !self.reach.is_doubtful() {
            self.upkeep.doubts = 0;
        } else if self.upkeep.doubts < DOUBTS_MAX {
            self.upkeep.doubts += 1;
            let place = self.rng.bytes();
            for node in self.members.closest::<DOUBT_ASKED>(&place, |m| m.missed == 0) {
                self.check(now, node);
            }
        }
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
