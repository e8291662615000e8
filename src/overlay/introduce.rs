//! Introductions: how a node meets another one that nobody can reach first.
//!
//! The caller asks the members that keep the other's flow. Such a member tells the other on that
//! flow who wants to meet it, and tells the caller how the other looks from there. Then both send
//! pings to each other, a few within a second: each opens the sender's own filter, and where the
//! address is another than expected, the ping that does arrive names it (Ford, Srisuresh and
//! Kegel, "Peer-to-Peer Communication Across Network Address Translators", USENIX 2005). Until a
//! hole is open, and where none opens, the member relays the channel's datagrams (`relay`).
//!
//! A caller is introduced only with a proven address, once a second to the same client; a client
//! is told of at most two callers a second. A client listens to those alone who keep its flow.

use super::answer::Asker;
use super::event::OverlayEvent;
use super::id::Node;
use super::request::Purpose;
use super::wire::{Hello, Introduced, NO_TOKEN, Token};
use super::wire_out::Encoder;
use super::{Overlay, reject};
use crate::identity::record::RendezvousList;
use crate::limits::PUNCHES_MAX;
use crate::net::{NodeId, Rejected, is_detour};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// Pauses between the pings that open a hole: the ends begin at different times.
const PUNCH_PAUSES_MS: [u64; 6] = [60, 60, 120, 200, 400, 400];
/// So long after an introduction it is known whether a hole has opened: the last ping is answered,
/// and the channel has asked there.
const PUNCHED_AFTER: Duration = Duration::from_millis(1400);
/// So long a hole stays open by itself, whatever the NAT.
const HOLE_LIFE: Duration = Duration::from_secs(20);
/// Rendezvous peers asked for one node.
const ASKED_MAX: usize = 2;

/// An address at which somebody may soon be heard.
struct Punch {
    peer: NodeId,
    address: SocketAddr,
    count: u8,
    at: Instant,
}

/// The holes being opened.
pub(super) struct Punches(Vec<Punch>);

impl Punches {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(PUNCHES_MAX))
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.0.iter().map(|punch| punch.at).min()
    }

    fn awaits(&self, peer: &NodeId) -> bool {
        self.0.iter().any(|punch| punch.peer == *peer)
    }

    fn end(&mut self, peer: &NodeId) {
        self.0.retain(|punch| punch.peer != *peer);
    }
}

impl Overlay {
    /// Meets `peer`, whose flows the members at `rendezvous` keep. [`OverlayEvent::Reached`]
    /// follows for each address at which it can be heard: at first one that stands for a way
    /// through a rendezvous peer (see [`crate::net::is_detour`]), then its own where a hole opens.
    /// Returns the addresses of those ways; where we keep a flow of it ourselves, that one's first.
    pub fn introduce(
        &mut self,
        now: Instant,
        peer: NodeId,
        rendezvous: &[SocketAddr],
    ) -> RendezvousList {
        let own = self.reach.addresses();
        let others = rendezvous.iter().filter(|at| !is_detour(at) && !own.contains(at));
        for via in others.take(ASKED_MAX) {
            let token = self.learn_detour(now, peer, *via, true);
            self.ask_to_introduce(now, peer, *via, &token, false);
        }
        let detours = rendezvous.iter().filter_map(|via| self.detours.address(peer, *via));
        self.keeper.address_of(&peer).into_iter().chain(detours).take(2).collect()
    }

    /// Meets a peer again that was met through rendezvous peers, or that named its own.
    pub fn introduce_again(&mut self, now: Instant, peer: NodeId) {
        let known: heapless::Vec<_, ASKED_MAX> = self.detours.of(peer).take(ASKED_MAX).collect();
        for (via, token) in known {
            self.ask_to_introduce(now, peer, via, &token, false);
        }
    }

    /// `peer` says where it can be met from now on.
    pub fn set_rendezvous(&mut self, now: Instant, peer: NodeId, rendezvous: &[SocketAddr]) {
        for via in rendezvous.iter().filter(|at| !is_detour(at)).take(ASKED_MAX) {
            self.learn_detour(now, peer, *via, true);
        }
    }

    /// Whether a hole towards `peer` may still open.
    pub fn is_meeting(&self, now: Instant, peer: NodeId) -> bool {
        self.detours.met(peer).is_some_and(|met| now < met + PUNCHED_AFTER)
    }

    /// Where a peer that was met lately can be heard itself.
    pub fn hole(&self, now: Instant, peer: NodeId) -> Option<SocketAddr> {
        self.detours.hole(peer, now - HOLE_LIFE)
    }

    fn ask_to_introduce(
        &mut self,
        now: Instant,
        peer: NodeId,
        via: SocketAddr,
        token: &Token,
        again: bool,
    ) {
        let purpose = Purpose::Meet(peer, *token != NO_TOKEN, again);
        self.ask(now, via, None, purpose, 0, |me, request| {
            Encoder::introduce(me, request, token, &peer)
        });
    }

    /// A rendezvous peer did not answer in time: it is asked once more, for a lost datagram would
    /// else be a peer that cannot be met.
    pub(super) fn introduction_missed(&mut self, now: Instant, peer: NodeId, via: SocketAddr) {
        let token = self.learn_detour(now, peer, via, true);
        self.ask_to_introduce(now, peer, via, &token, true);
    }

    /// A rendezvous peer says how an introduction went.
    pub(super) fn introduced(
        &mut self,
        now: Instant,
        (peer, repeated): (NodeId, bool),
        via: SocketAddr,
        hello: &Hello,
        how: Introduced,
    ) {
        self.detours.prove(peer, via, hello.token);
        match how {
            Introduced::NoToken if !repeated => {
                self.ask_to_introduce(now, peer, via, &hello.token, false);
            }
            Introduced::NoToken | Introduced::Busy | Introduced::NotKept => {
                self.counters.introductions_failed += 1;
            }
            Introduced::Told(address) => {
                self.detours.meet(now, peer, via);
                if let Some(detour) = self.detours.address(peer, via) {
                    self.tell(OverlayEvent::Reached { peer, address: detour });
                }
                self.punch(now, peer, address);
            }
        }
    }

    /// Somebody wants to meet a node.
    pub(super) fn answer_introduce(&mut self, now: Instant, asker: &Asker, wanted: &NodeId) {
        let how = self.introduction(now, asker, wanted);
        let hello = self.hello(now, &asker.node);
        let answer = Encoder::introduced(self.me, asker.request, &hello, &how);
        self.reply(asker.node.address, asker.limit(), 0, answer);
    }

    fn introduction(&mut self, now: Instant, asker: &Asker, wanted: &NodeId) -> Introduced {
        if !asker.proven {
            self.counters.token_missing += 1;
            return Introduced::NoToken;
        }
        let Some(address) = self.keeper.address_of(wanted) else { return Introduced::NotKept };
        if self.pairs.has_just_met(now, wanted, &asker.node) {
            // The answer was lost, most likely: it is told again, the client is not.
            return Introduced::Told(address);
        }
        let granted = self.pairs.may_meet(now, wanted, &asker.node)
            && self.keeper.charge_introduction(now, wanted);
        if !granted {
            self.counters.introductions_refused += 1;
            return Introduced::Busy;
        }
        self.pairs.meet(now, *wanted, &asker.node);
        self.counters.introductions += 1;
        let told = Encoder::introduction(self.me, &asker.node);
        self.send(address, told);
        Introduced::Told(address)
    }

    /// A member that keeps our flow says who wants to meet us.
    pub(super) fn hear_introduction(
        &mut self,
        now: Instant,
        from: SocketAddr,
        guest: &Node,
    ) -> Result<(), Rejected> {
        let Some(token) = self.rendezvous.token_at(&from) else {
            return Err(reject(&mut self.counters.introductions_refused, Rejected::Unauthorized));
        };
        self.learn_detour(now, guest.id, from, false);
        self.detours.prove(guest.id, from, token);
        self.detours.meet(now, guest.id, from);
        self.punch(now, guest.id, guest.address);
        Ok(())
    }

    /// Begins to send to an address, so that its answers pass our own filter.
    fn punch(&mut self, now: Instant, peer: NodeId, address: SocketAddr) {
        let known = self.punches.0.iter_mut().find(|p| (p.peer, p.address) == (peer, address));
        if let Some(punch) = known {
            (punch.count, punch.at) = (0, now);
        } else if self.punches.0.len() < PUNCHES_MAX {
            self.punches.0.push(Punch { peer, address, count: 0, at: now });
        } else {
            self.counters.punches_full += 1;
        }
    }

    /// Sends the pings that are due.
    pub(super) fn punches_timeout(&mut self, now: Instant) {
        let mut at = 0;
        while let Some(punch) = self.punches.0.get_mut(at) {
            if punch.at > now {
                at += 1;
                continue;
            }
            let Some(pause) = PUNCH_PAUSES_MS.get(usize::from(punch.count)) else {
                self.punches.0.swap_remove(at);
                continue;
            };
            punch.count += 1;
            punch.at = now + Duration::from_millis(*pause);
            let (to, who) = (punch.address, punch.peer);
            let claim = self.judge.claim();
            self.ping(now, to, Some(who), Purpose::Punch, &NO_TOKEN, claim);
            at += 1;
        }
    }

    /// Somebody is heard; where it is to be met, its address is told. It need not be the one that
    /// was expected: a NAT may have a port for each peer.
    pub(super) fn heard_met(&mut self, now: Instant, node: &Node, answered: bool) {
        if !self.punches.awaits(&node.id) {
            return;
        }
        if answered {
            self.punches.end(&node.id);
            self.detours.open_hole(node.id, node.address);
            self.counters.punched += 1;
            self.tell(OverlayEvent::Reached { peer: node.id, address: node.address });
        } else if !self.punches.0.iter().any(|punch| punch.address == node.address) {
            self.punch(now, node.id, node.address);
        }
    }
}
