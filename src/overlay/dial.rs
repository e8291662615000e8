//! Dial-backs: who is listed, because somebody whom it had not contacted reached it.
//!
//! Behind a router that translates addresses, or behind a firewall, a node hears whomever it sent
//! to and nobody else. So its answers prove nothing to those whom it contacted. A member that is
//! asked to list a node asks others about it, at most three: whoever has not heard from it within
//! the life of a NAT's binding and gets an answer from it, says yes. Where all were contacted, as
//! in a small network, they try it from a second port: such a node is listed as *near*, and keeps
//! flows too if it is told nothing better, because routers exist that let a whole address in.
//! Nobody's word is taken for what it knew before: firewalls come and go. For another member, an
//! address is pinged once a minute, whatever its port; who was reached then was reached for
//! everybody who asks within that minute. One no of several is a datagram lost, most likely: then
//! two more are asked.

use super::Overlay;
use super::answer::Asker;
use super::id::Node;
use super::request::Purpose;
use super::wire::{Hello, NO_TOKEN, Standing, Token, Verdict};
use super::wire_out::Encoder;
use crate::limits::{DIALS_MAX, ERRANDS_MAX};
use crate::net::NodeId;
use crate::table::{Id, Table};
use crate::time::Instant;
use std::net::SocketAddr;

/// Members asked about a node, and where one of them says no: the ping may have been lost.
const ASKED: usize = 3;
const ASKED_MAX: usize = 5;
/// So many say no: one may have lost a datagram.
const NOES: u8 = 2;
/// So many reached it from a second port: others need not be asked.
const NEARS: u8 = 2;
/// So often it is tried from a second port: datagrams are lost.
const TRIES_MAX: u8 = 2;
/// So long a refusal stands, or that an address is crowded. Who asks for more has proven its
/// address, and those whom it is sent to do not go there more often for that. Not much longer, for
/// the router in front of it may be about to open its port: it has just started, as we saw.
const REFUSED_S: u32 = 5;
/// Members among which those asked are drawn.
const CHOICE: usize = 8;
/// Nodes reached for others that are remembered, and for how long.
const REACHED_MAX: usize = 16;
const REACHED_S: u32 = 60;

/// A node that wants to be listed.
pub(super) struct Dial {
    node: Node,
    asked: heapless::Vec<NodeId, ASKED_MAX>,
    noes: u8,
    nears: u8,
    /// How often it was tried from our second port.
    tries: u8,
    /// What came of it, and when; none while others are being asked.
    over: Option<(Standing, u32)>,
}

/// A dial-back for another member.
pub(super) struct Errand {
    node: Node,
    asker: Asker,
}

/// All of both.
pub(super) struct Dials {
    wishes: Table<Dial>,
    errands: Table<Errand>,
    /// Who was reached for others lately, how, and when: newest last.
    reached: heapless::Deque<(Node, Verdict, u32), REACHED_MAX>,
}

impl Dials {
    pub(super) fn new() -> Self {
        Self {
            wishes: Table::with_capacity(DIALS_MAX),
            errands: Table::with_capacity(ERRANDS_MAX),
            reached: heapless::Deque::new(),
        }
    }

    /// See [`crate::queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        self.wishes.fit();
        self.errands.fit();
    }

    fn note_reached(&mut self, node: &Node, verdict: Verdict, now_s: u32) {
        if self.reached.is_full() {
            self.reached.pop_front();
        }
        let noted = self.reached.push_back((*node, verdict, now_s));
        debug_assert!(noted.is_ok(), "room was made");
    }

    fn was_reached(&self, node: &Node, now_s: u32) -> Option<Verdict> {
        let recent = |since_s: u32| now_s.saturating_sub(since_s) < REACHED_S;
        let found = self.reached.iter().rev().find(|(known, ..)| known == node);
        found.filter(|(.., since_s)| recent(*since_s)).map(|(_, verdict, _)| *verdict)
    }

    fn of(&self, node: &Node) -> Option<(Id<Dial>, &Dial)> {
        self.wishes.iter().find(|(_, dial)| dial.node == *node)
    }

    /// Makes room by the oldest that is over. False where everybody is still being asked about.
    fn make_room(&mut self) -> bool {
        if !self.wishes.is_full() {
            return true;
        }
        let over = self.wishes.iter().filter_map(|(id, dial)| Some((dial.over?.1, id)));
        let oldest = over.min_by_key(|(since_s, _)| *since_s).map(|(_, id)| id);
        oldest.and_then(|id| self.wishes.remove(id)).is_some()
    }
}

impl Overlay {
    /// What `node` is to us.
    pub(super) fn standing(&self, node: &Node) -> Standing {
        let member = self.members.get(&node.id).filter(|m| m.address() == node.address);
        match (self.dials.of(node).map(|(_, dial)| dial.over), member) {
            // Who has the other family alone is a client.
            _ if !self.is_ours(&node.address) => Standing::Unreachable,
            (Some(None), _) => Standing::Asking,
            (Some(Some((standing, _))), _) => standing,
            (None, Some(member)) if member.near => Standing::Near,
            (None, Some(_)) => Standing::Listed,
            (None, None) if self.credentials.awaits(node) => Standing::Asking,
            // It is alive, and did not hear us.
            (None, None) if self.suspects.contains(node) => Standing::Unreachable,
            (None, None) if !self.is_small() && !self.is_neighbour(node) => Standing::Unwanted,
            (None, None) if self.members.is_crowded(node) => Standing::Unwanted,
            (None, None) => Standing::Stranger,
        }
    }

    /// `node` proved its address and wants to be listed: others are asked whether they reach it.
    pub(super) fn want_listed(&mut self, now: Instant, node: &Node) {
        let now_s = self.seconds(now);
        if !self.is_ours(&node.address) || self.credentials.awaits(node) {
            return;
        }
        if let Some((id, dial)) = self.dials.of(node) {
            let over = |since_s: u32| now_s.saturating_sub(since_s) >= REFUSED_S;
            if !dial.over.is_some_and(|(_, since_s)| over(since_s)) {
                return;
            }
            self.dials.wishes.remove(id);
        }
        if !self.dials.make_room() {
            self.counters.dials_full += 1;
            return;
        }
        let asked = heapless::Vec::new();
        let dial = Dial { node: *node, asked, noes: 0, nears: 0, tries: 0, over: None };
        if let Ok(id) = self.dials.wishes.insert(dial) {
            self.dial_on(now, id);
        }
    }

    /// Asks the next member about a node, or ends where nobody is left.
    fn dial_on(&mut self, now: Instant, id: Id<Dial>) {
        let place = self.rng.bytes();
        let Some(dial) = self.dials.wishes.get_mut(id) else { return };
        let node = dial.node;
        let apart = |at: SocketAddr| at.ip().is_loopback() || at.ip() != node.address.ip();
        let chosen = self.members.closest::<CHOICE>(&place, |member| {
            let fit = member.missed == 0 && member.id != node.id && apart(member.address());
            fit && !dial.asked.contains(&member.id)
        });
        let enough = if dial.noes == 0 { ASKED } else { ASKED_MAX };
        if let Some(witness) = chosen.first().filter(|_| dial.asked.len() < enough) {
            let pushed = dial.asked.push(witness.id);
            debug_assert!(pushed.is_ok(), "not full");
            let witness = *witness;
            self.ask_to_vouch(now, id, &witness, &NO_TOKEN);
        } else if dial.noes > dial.nears {
            self.refuse(now, id);
        } else if dial.nears > 0 {
            self.reached(now, id, true);
        } else {
            self.try_second_port(now, id);
        }
    }

    /// Asks a member what it knows of a node that wants to be listed.
    fn ask_to_vouch(&mut self, now: Instant, id: Id<Dial>, witness: &Node, token: &Token) {
        let Some(node) = self.dials.wishes.get(id).map(|dial| dial.node) else { return };
        let purpose = Purpose::Vouch(id, *token != NO_TOKEN);
        let (to, who) = (witness.address, Some(witness.id));
        let asked = self
            .ask(now, to, who, purpose, 0, |me, request| Encoder::dial(me, request, token, &node));
        self.keep_if(id, asked);
    }

    fn try_second_port(&mut self, now: Instant, id: Id<Dial>) {
        let Some(dial) = self.dials.wishes.get_mut(id) else { return };
        let (to, claim) = (dial.node.address, self.judge.claim());
        dial.tries += 1;
        let asked = self.ping(now, to, None, Purpose::SecondPort(id), &NO_TOKEN, claim);
        self.keep_if(id, asked);
    }

    /// A wish that could not be looked into is forgotten: no answer would end it.
    fn keep_if(&mut self, id: Id<Dial>, asked: bool) {
        if !asked {
            self.dials.wishes.remove(id);
        }
    }

    fn refuse(&mut self, now: Instant, id: Id<Dial>) {
        let now_s = self.seconds(now);
        let Some(dial) = self.dials.wishes.get_mut(id) else { return };
        self.counters.members_refused += u64::from(dial.over.is_none());
        dial.over = Some((Standing::Unreachable, now_s));
        let node = dial.node;
        self.strike_off(now, &node);
    }

    /// A member says what it knows of a node, if it has looked: whoever does not know us wants the
    /// proof of our address first.
    pub(super) fn verdict_heard(
        &mut self,
        now: Instant,
        (id, proven): (Id<Dial>, bool),
        witness: &Node,
        hello: &Hello,
        verdict: Verdict,
    ) {
        if verdict == Verdict::Unsure && !proven {
            self.ask_to_vouch(now, id, witness, &hello.token);
        } else {
            self.vouched(now, id, verdict);
        }
    }

    /// A member says what it knows of a node.
    pub(super) fn vouched(&mut self, now: Instant, id: Id<Dial>, verdict: Verdict) {
        let Some(dial) = self.dials.wishes.get_mut(id) else { return };
        match verdict {
            Verdict::Yes => return self.reached(now, id, false),
            Verdict::No => dial.noes += 1,
            Verdict::Near => dial.nears += 1,
            Verdict::Unsure => {}
        }
        if dial.noes >= NOES {
            self.refuse(now, id);
        } else if dial.nears >= NEARS {
            self.reached(now, id, true);
        } else {
            self.dial_on(now, id);
        }
    }

    /// A node is reachable after all.
    fn reached(&mut self, now: Instant, id: Id<Dial>, near: bool) {
        let now_s = self.seconds(now);
        let Some(dial) = self.dials.wishes.get_mut(id) else { return };
        let node = dial.node;
        if self.members.is_crowded(&node) {
            self.counters.address_limit += 1;
            dial.over = Some((Standing::Crowded, now_s));
            return;
        }
        self.dials.wishes.remove(id);
        if self.address_of(node.id).is_some_and(|known| known != node.address) {
            // An id has one place: the old one has to be silent first.
            self.heard_at(now, &node);
        } else {
            self.list(now, &node, near);
        }
    }

    /// A node answered to our second port, or somebody else did.
    pub(super) fn second_port_answered(&mut self, now: Instant, id: Id<Dial>, from: NodeId) {
        let same = self.dials.wishes.get(id).is_some_and(|dial| dial.node.id == from);
        if same { self.reached(now, id, true) } else { self.refuse(now, id) }
    }

    /// No answer to our second port, in time or at all.
    pub(super) fn second_port_missed(&mut self, now: Instant, id: Id<Dial>, over: bool) {
        let tries = self.dials.wishes.get(id).map_or(0, |dial| dial.tries);
        if !over && tries < TRIES_MAX {
            self.try_second_port(now, id);
        } else if over && tries >= TRIES_MAX {
            self.refuse(now, id);
        }
    }

    /// A member wants to know whether we reach `node`.
    pub(super) fn answer_dial(&mut self, now: Instant, asker: &Asker, node: &Node) {
        let now_s = self.seconds(now);
        let member = self.address_of(asker.node.id) == Some(asker.node.address);
        let target = contact(&node.address);
        // Nothing is sent there for that, so no proof of address is wanted.
        if let Some(verdict) = self.dials.was_reached(node, now_s) {
            return self.answer_dialed(now, asker, verdict);
        }
        if !(member || asker.proven) || !self.upkeep.errands.is_free(&target, now_s) {
            return self.answer_dialed(now, asker, Verdict::Unsure);
        }
        let second = self.upkeep.contacts.contains(&target, now_s);
        let errand = Errand { node: *node, asker: *asker };
        match self.dials.errands.insert(errand) {
            Ok(id) => self.run_errand(now, id, second),
            Err(_) => self.answer_dialed(now, asker, Verdict::Unsure),
        }
    }

    fn run_errand(&mut self, now: Instant, id: Id<Errand>, second: bool) {
        let Some(errand) = self.dials.errands.get(id) else { return };
        let to = errand.node.address;
        let claim = self.judge.claim();
        if !self.ping(now, to, None, Purpose::Errand(id, second), &NO_TOKEN, claim) {
            self.end_errand(now, id, Verdict::Unsure);
        }
    }

    /// Somebody answered where a node should be.
    pub(super) fn errand_answered(
        &mut self,
        now: Instant,
        id: Id<Errand>,
        from: NodeId,
        second: bool,
    ) {
        let same = self.dials.errands.get(id).is_some_and(|errand| errand.node.id == from);
        let verdict = match (same, second) {
            (true, false) => Verdict::Yes,
            (true, true) => Verdict::Near,
            (false, _) => Verdict::No,
        };
        if let Some(errand) = self.dials.errands.get(id).filter(|_| same) {
            let (node, now_s) = (errand.node, self.seconds(now));
            self.dials.note_reached(&node, verdict, now_s);
        }
        self.end_errand(now, id, verdict);
    }

    /// Nobody answered where a node should be.
    pub(super) fn errand_missed(&mut self, now: Instant, id: Id<Errand>) {
        self.end_errand(now, id, Verdict::No);
    }

    fn end_errand(&mut self, now: Instant, id: Id<Errand>, verdict: Verdict) {
        if let Some(errand) = self.dials.errands.remove(id) {
            self.answer_dialed(now, &errand.asker, verdict);
        }
    }

    fn answer_dialed(&mut self, now: Instant, asker: &Asker, verdict: Verdict) {
        let hello = self.hello(now, &asker.node);
        let answer = Encoder::dialed(self.me, asker.request, &hello, verdict);
        self.reply(asker.node.address, asker.limit(), 0, answer);
    }
}

/// What a NAT's filter may go by: the address without the port; on loopback each port is a node.
pub(super) fn contact(address: &SocketAddr) -> SocketAddr {
    let port = if address.ip().is_loopback() { address.port() } else { 0 };
    SocketAddr::new(address.ip(), port)
}
