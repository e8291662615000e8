//! Knowing who is there: probing addresses, noticing silence.
//!
//! Neighbours are heard every few minutes, whichever side asks first; the others of a small network
//! about hourly, of a large one now and then, for most of what they do comes by gossip. A member
//! that misses an answer is pinged at doubling time-outs and lost after four.
//!
//! All of that is looked at when something of it is due, or has changed a second ago: an idle node
//! sleeps for most of a minute.

use super::Overlay;
use super::announce::NEIGHBOURS;
use super::id::{Named, Node, Place};
use super::recent::Recent;
use super::request::{Pending, Purpose};
use super::table::Member;
use super::wire::{FIND_BYTES, NO_TOKEN};
use super::wire_out::Encoder;
use crate::net::NodeId;
use crate::order::order;
use crate::queue;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use std::collections::VecDeque;

const TICK: Duration = Duration::from_secs(1);
const PROBES_MAX: usize = 128;
/// Probes that leave at the same moment, and the pause between such moments.
const PROBES_AT_ONCE: usize = 4;
const PROBE_PAUSE: Duration = Duration::from_millis(100);
const MISSES_MAX: u8 = 4;
/// Each pair has one of the two ask: whoever draws the shorter patience.
const NEIGHBOUR_SILENT_S: u32 = 240;
const NEIGHBOUR_JITTER_S: u32 = 60;
const MEMBER_SILENT_S: u32 = 3600;
/// The pause between pings of other members, in a small network and in a large one.
const MEMBER_PAUSE_S: [u32; 2] = [30, 240];
/// How often a neighbour and somebody anywhere are asked whom they know.
const VIEW_S: [u32; 2] = [600, 1800];
const MOVES_MAX: usize = 16;
const RECENT: usize = 256;
const RECENT_S: u16 = 60;
/// Longer than NATs keep a binding that nobody uses: five minutes (RFC 4787 s4.3).
const CONTACTS_S: u16 = 330;
const CONTACTS: usize = 1024;
const DOUBTS_MAX: u8 = 4;
const DOUBT_ASKED: usize = 3;

/// What upkeep remembers.
pub(super) struct Upkeep {
    tick_at: Instant,
    neighbour_s: u32,
    member_s: u32,
    view_s: u32,
    probes: VecDeque<Node>,
    probe_at: Option<Instant>,
    pub(super) probed: Recent,
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
            neighbour_s: 0,
            member_s: 0,
            view_s: VIEW_S[0] / 2 + rng.below(VIEW_S[0] / 2),
            probes: VecDeque::with_capacity(PROBES_MAX),
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

    /// See [`crate::queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        queue::fit(&mut self.probes);
    }

    /// Addresses waiting to be probed.
    pub(super) fn waiting(&self) -> usize {
        self.probes.len()
    }

    pub(super) fn next(&self) -> Option<Instant> {
        earlier(Some(self.tick_at), self.probe_at)
    }

    /// Something has changed: what is due is looked at anew.
    pub(super) fn wake(&mut self, now: Instant) {
        self.tick_at = self.tick_at.min(now + TICK);
    }

    pub(super) fn take_move(&mut self, id: &NodeId) -> Option<Node> {
        let at = self.moves.iter().position(|node| node.id == *id)?;
        Some(self.moves.swap_remove(at))
    }
}

impl Overlay {
    /// This node is wanted proven. It is probed, not believed.
    pub(super) fn consider(&mut self, now: Instant, node: &Node) {
        let known = self.members.get(&node.id).is_some_and(|m| m.address() == node.address)
            || self.suspects.contains(node);
        if known || node.id == self.me || self.upkeep.probes.len() >= PROBES_MAX {
            return;
        }
        let now_s = self.seconds(now);
        if self.upkeep.probed.is_recent(&node.address, now_s) {
            return;
        }
        self.upkeep.probes.push_back(*node);
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
        self.suspect(now, node);
        self.leave(now, node);
    }

    /// Asks now and then whether somebody is back.
    pub(super) fn suspect(&mut self, now: Instant, node: &Node) {
        let forgotten = self.suspects.add(*node, self.seconds(now));
        self.counters.suspects_forgotten += u64::from(forgotten);
        self.upkeep.wake(now);
    }

    /// A member is one no longer.
    pub(super) fn leave(&mut self, now: Instant, node: &Node) {
        self.members.remove(&node.id);
        self.hints.forget(node);
        self.holder_lost(&node.id);
        self.refresh_early(now);
        self.upkeep.wake(now);
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
        let now_s = self.seconds(now);
        self.guard.handle_timeout(&mut self.rng, now);
        self.choose_family(now);
        self.keeper.expire(now_s);
        self.credentials.expire(now_s);
        self.expire_score(now_s);
        self.rendezvous_tick(now);
        self.join_tick(now);
        if let Some(suspect) = self.suspects.next(now_s) {
            self.check(now, suspect);
        }
        if now_s >= self.upkeep.neighbour_s {
            self.measure_size(now);
            self.check_neighbour(now, now_s);
        }
        if now_s >= self.upkeep.member_s {
            self.check_member(now, now_s);
        }
        self.check_address(now);
        if now_s >= self.upkeep.view_s {
            let pause_s = VIEW_S[usize::from(!self.is_small())] / 2;
            self.upkeep.view_s = now_s + pause_s + self.rng.below(pause_s);
            self.ask_for_views(now);
        }
        self.upkeep.tick_at = self.next_tick(now, now_s);
    }

    /// When something is due next, in a second at the earliest.
    fn next_tick(&self, now: Instant, now_s: u32) -> Instant {
        let busy = self.keeper.len() > 0
            || self.lacks_rendezvous()
            || self.reach.is_doubtful() && self.upkeep.doubts < DOUBTS_MAX;
        let seconds = [self.upkeep.neighbour_s, self.upkeep.member_s, self.upkeep.view_s];
        let next_s = seconds.into_iter().chain(self.suspects.next_s()).min().unwrap_or(now_s);
        let pause = if busy { 1 } else { next_s.saturating_sub(now_s).max(1) };
        let due = (now + TICK * pause).min(self.guard.next());
        self.join_next(now).map_or(due, |at| at.min(due)).max(now + TICK)
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
        for _ in 0..PROBES_AT_ONCE {
            let Some(node) = queue::pop(&mut self.upkeep.probes) else { break };
            let (to, who, claim) = (node.address, Some(node.id), self.judge.claim());
            self.ping(now, to, who, Purpose::Probe, &NO_TOKEN, claim);
        }
        self.upkeep.probe_at = (!self.upkeep.probes.is_empty()).then(|| now + PROBE_PAUSE);
    }

    /// Nobody answered where this node is said to be. That may be a datagram lost: where it was
    /// proven elsewhere, it is asked there before the hint is given up.
    pub(super) fn probe_missed(&mut self, now: Instant, node: &Node) {
        match self.members.get(&node.id).map(Member::node) {
            Some(there) if there.address == node.address => {}
            Some(there) => self.check(now, there),
            None => self.hints.forget(node),
        }
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

    /// Asks the neighbour that has been silent for longest, and proves those that are only named.
    fn check_neighbour(&mut self, now: Instant, now_s: u32) {
        for Named { node, .. } in self.closest_known::<NEIGHBOURS>(now, &self.me.0, false) {
            if node.is_hint() {
                self.consider(now, &node);
            }
        }
        let mut heard = heapless::Vec::<(u32, Node), NEIGHBOURS>::new();
        for node in self.members.closest::<NEIGHBOURS>(&self.me.0, |m| !m.checking) {
            let heard_s = self.members.get(&node.id).map_or(now_s, |m| m.heard_s);
            heard.extend([(heard_s, node)]);
        }
        order(&mut heard, |(heard_s, node)| (*heard_s, node.id));
        let mut heard = heard.iter().peekable();
        let silent = |(heard_s, _): &&(u32, Node)| now_s - heard_s >= NEIGHBOUR_SILENT_S;
        if let Some((_, node)) = heard.next_if(|first| silent(first)) {
            self.check(now, *node);
        }
        let next_s = heard.next().map_or(now_s, |(heard_s, _)| *heard_s) + NEIGHBOUR_SILENT_S;
        self.upkeep.neighbour_s = (next_s + self.rng.below(NEIGHBOUR_JITTER_S)).max(now_s + 1);
    }

    fn check_member(&mut self, now: Instant, now_s: u32) {
        self.upkeep.member_s = now_s + MEMBER_PAUSE_S[usize::from(!self.is_small())];
        let silent = |member: &Member| {
            let patience_s = MEMBER_SILENT_S - u32::from(member.id.0[15]);
            !member.checking && now_s.saturating_sub(member.heard_s) >= patience_s
        };
        if let Some(node) = self.members.oldest(&silent) {
            self.check(now, node);
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
