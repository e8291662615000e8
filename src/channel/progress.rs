//! Time: repeats and ends of handshakes, and one public-key operation at a time.
//!
//! A handshake that somebody else opened waits apart until the budget pays for all of it; once
//! begun it is as good as our own.

use super::Channel;
use super::OpenError;
use super::backlog::Backlog;
use super::event::DownReason;
use super::handshake::{Handshake, Role, Stage, Step};
use super::notice::Payload;
use super::session::{Session, remember};
use super::wire::{Cookie, EXTENSION_CERTIFICATE, EXTENSION_PAYLOAD};
use crate::budget::{Budget, Wanted};
use crate::limits::{
    CHANNEL_GIVE_UP, CHANNEL_HANDSHAKES_MAX, CHANNEL_REPEAT_INTERVAL, CHANNEL_REPEAT_INTERVAL_MAX,
};
use crate::net::NodeId;
use crate::table::Id;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// A handshake has so many times [`CHANNEL_GIVE_UP`] in all, however it progresses.
const GIVE_UPS_MAX: u32 = 3;

impl Channel {
    /// Does what is due at `now`.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(slot) = self.session_timers.pop_due(now) {
            self.session_due(now, slot);
        }
        while let Some(slot) = self.handshake_timers.pop_due(now) {
            self.handshake_due(now, slot);
        }
    }

    /// Begins a handshake with `peer` at `addresses`.
    pub(super) fn start_handshake(
        &mut self,
        now: Instant,
        peer: NodeId,
        addresses: &[SocketAddr],
    ) -> Result<(), OpenError> {
        if self.count(Role::Opener) >= CHANNEL_HANDSHAKES_MAX {
            return Err(OpenError::Full);
        }
        let mut handshake = Handshake::new(now, Role::Opener, peer, self.new_session_id());
        handshake.network = *self.network.channel_key(0).ok_or(OpenError::Full)?;
        for address in addresses.iter().take(handshake.addresses.capacity()) {
            remember(&mut handshake.addresses, *address);
        }
        let id = self.handshakes.insert(handshake).map_err(|_| OpenError::Full)?;
        self.enqueue(id);
        self.arm_handshake(id);
        Ok(())
    }

    /// The peer can be heard at this address: where it has not answered yet, it is asked there.
    pub(super) fn try_address(&mut self, id: Id<Handshake>, address: SocketAddr) {
        let Some(handshake) = self.handshakes.get_mut(id) else { return };
        remember(&mut handshake.addresses, address);
        if handshake.stage == Stage::Await && handshake.address.is_none() {
            let hello = handshake.hello_packet(self.identity.id(), &self.network, &[0; 16]);
            self.transmit(address, hello.bytes());
        }
    }

    /// Further addresses for a handshake that we opened.
    pub(super) fn add_addresses(&mut self, id: Id<Handshake>, addresses: &[SocketAddr]) {
        let Some(handshake) = self.handshakes.get_mut(id) else { return };
        let known = handshake.addresses.clone();
        for address in addresses.iter().filter(|address| !known.contains(address)) {
            remember(&mut handshake.addresses, *address);
        }
        if handshake.stage == Stage::Await && handshake.address.is_none() {
            let hello = handshake.hello_packet(self.identity.id(), &self.network, &[0; 16]);
            for address in addresses.iter().filter(|address| !known.contains(address)).take(4) {
                self.transmit(*address, hello.bytes());
            }
        }
    }

    /// How many handshakes of a role are under way.
    pub(super) fn count(&self, role: Role) -> usize {
        self.handshakes.iter().filter(|(_, handshake)| handshake.role == role).count()
    }

    /// Puts a handshake into the queue for public-key operations. False where that is full.
    pub(super) fn enqueue(&mut self, id: Id<Handshake>) -> bool {
        let waits = self.work.iter().any(|waiting| *waiting == id);
        waits || !self.is_busy() && self.work.push_back(id).is_ok()
    }

    /// Whether as many handshakes wait for a public-key operation as may.
    pub(super) fn is_busy(&self) -> bool {
        self.work.len() >= self.responders_max
    }

    /// Does one public-key operation. False where none waits, or only such as the budget does not
    /// pay for yet.
    pub fn work(&mut self, now: Instant, budget: &mut Budget) -> bool {
        while let Some(id) = self.next_work(now, budget) {
            let Some(handshake) = self.handshakes.get_mut(id) else { continue };
            self.counters.public_key_operations += 1;
            let step = handshake.step(
                now,
                &self.identity,
                &self.network,
                &mut self.vouching,
                &mut self.rng,
            );
            self.after_step(now, id, step);
            return true;
        }
        false
    }

    fn next_work(&mut self, now: Instant, budget: &mut Budget) -> Option<Id<Handshake>> {
        if let Some(id) = self.work.pop_front() {
            return Some(id);
        }
        self.knocking.retain(|id| self.handshakes.get(*id).is_some());
        if self.knocking.is_empty() || !budget.pay(now, self.price()) {
            return None;
        }
        Some(self.knocking.remove(0))
    }

    /// When [`Self::work`] is wanted: in the past where something waits that is paid for.
    pub fn work_at(&self, budget: &Budget) -> Option<Instant> {
        if !self.work.is_empty() {
            return Some(Instant::ZERO);
        }
        let knocks = self.knocking.iter().any(|id| self.handshakes.get(*id).is_some());
        knocks.then(|| budget.enough_at(self.price()))
    }

    /// What a handshake costs that somebody else opens.
    fn price(&self) -> Wanted {
        if self.vouching.is_asked() { Wanted::CertifiedHandshake } else { Wanted::Handshake }
    }

    fn after_step(&mut self, now: Instant, id: Id<Handshake>, step: Step) {
        let Some(handshake) = self.handshakes.get_mut(id) else { return };
        match (step, handshake.role) {
            (Step::Again, _) => {
                let queued = self.enqueue(id);
                debug_assert!(queued, "the place that it came from is free");
            }
            (Step::Send, Role::Opener) => self.send_hello(now, id),
            (Step::Send, Role::Responder) => self.send_packet(now, id),
            (Step::Done, Role::Opener) => self.finish_opening(now, id),
            (Step::Done, Role::Responder) => self.accept(now, id),
            (Step::Refused, Role::Opener) => self.counters.unauthorized += 1,
            (Step::WrongIdentity, Role::Opener) => {
                self.counters.wrong_identities += 1;
                handshake.wrong_identity = true;
            }
            (Step::WrongIdentity, Role::Responder) => {
                self.counters.wrong_identities += 1;
                self.fail_handshake(id);
            }
            (Step::Untrusted(why), role) => {
                *self.counters.of(why) += 1;
                handshake.untrusted = true;
                if role == Role::Responder {
                    self.fail_handshake(id);
                }
            }
            (Step::Refused, Role::Responder) | (Step::Failed, _) => self.fail_handshake(id),
        }
    }

    /// Sends the Hello: with its cookie to where the peer answered from, unless that led
    /// nowhere; otherwise to all addresses.
    pub(super) fn send_hello(&mut self, now: Instant, id: Id<Handshake>) {
        let Some(handshake) = self.handshakes.get_mut(id) else { return };
        handshake.sent = now;
        let own = self.identity.id();
        let proven = handshake.address.map(|address| {
            (address, handshake.hello_packet(own, &self.network, &handshake.cookie))
        });
        let everywhere = proven.is_none() || handshake.repeated;
        let others = handshake.addresses.clone();
        let plain = handshake.hello_packet(own, &self.network, &Cookie::default());
        self.arm_handshake(id);
        if let Some((address, packet)) = &proven {
            self.transmit(*address, packet.bytes());
        }
        let proven = proven.map(|(address, _)| address);
        for address in others.iter().filter(|at| everywhere && Some(**at) != proven) {
            self.transmit(*address, plain.bytes());
        }
    }

    /// Sends the message that the handshake keeps: a responder's Reply, an opener's Finish.
    pub(super) fn send_packet(&mut self, now: Instant, id: Id<Handshake>) {
        let Some(handshake) = self.handshakes.get_mut(id) else { return };
        handshake.sent = now;
        let Some(to) = handshake.address else { return };
        let packet = handshake.packet.clone();
        self.arm_handshake(id);
        self.transmit(to, packet.bytes());
    }

    /// Opener: the peer has proven itself and our proof is ready.
    fn finish_opening(&mut self, now: Instant, id: Id<Handshake>) {
        let Some(handshake) = self.handshakes.get_mut(id) else { return };
        handshake.progress = now;
        handshake.interval = repeat_interval(handshake.rtt);
        handshake.repeated = false;
        let rtt = handshake.rtt;
        let mut others = handshake.addresses.clone();
        let Some(agreed) = handshake.agreed() else { return };
        others.retain(|address| *address != agreed.address);
        let Some(session_id) = self.insert_session(now, agreed) else { return };
        if let Some(session) = self.sessions.get_mut(session_id) {
            session.rtt = rtt;
            session.others = others;
        }
        if let Some(handshake) = self.handshakes.get_mut(id) {
            handshake.session = Some(session_id);
        }
        self.send_packet(now, id);
    }

    /// Responder: the opener has proven itself.
    fn accept(&mut self, now: Instant, id: Id<Handshake>) {
        let Some(handshake) = self.handshakes.remove(id) else { return };
        self.handshake_timers.stop(id.slot());
        let Some(agreed) = handshake.agreed() else { return };
        let (peer, address) = (agreed.peer, agreed.address);
        let Some(session_id) = self.insert_session(now, agreed) else { return };
        if let Some(session) = self.sessions.get_mut(session_id) {
            session.confirmed = true;
        }
        self.counters.handshakes_done += 1;
        // The control packet tells the opener that its Finish arrived.
        self.send_control(now, session_id, address, 0, 0);
        self.install(now, session_id);
        for (kind, value) in handshake.extensions() {
            match value.split_first() {
                Some((payload, body)) if kind == EXTENSION_PAYLOAD => {
                    self.deliver_whole(peer, *payload, body);
                }
                _ if kind == EXTENSION_CERTIFICATE => {}
                _ => self.counters.unknown_kinds += 1,
            }
        }
    }

    /// Gives a payload to the owner, if it is one.
    pub(super) fn deliver_whole(&mut self, peer: NodeId, kind: u8, body: &[u8]) -> bool {
        match Payload::decode(kind, body) {
            Ok(_) => {
                self.events.received(peer, kind, body);
                return true;
            }
            Err(super::notice::Undecodable::UnknownKind) => self.counters.unknown_kinds += 1,
            Err(super::notice::Undecodable::Malformed) => self.counters.undecodable += 1,
        }
        false
    }

    /// A handshake's deadline has come.
    fn handshake_due(&mut self, now: Instant, slot: u32) {
        let Some(id) = self.handshakes.id_at(slot) else { return };
        let Some(handshake) = self.handshakes.get_mut(id) else { return };
        if gives_up(handshake) <= now {
            self.fail_handshake(id);
            return;
        }
        if handshake.role == Role::Opener && repeats(handshake) <= now {
            handshake.interval = (handshake.interval * 2).min(CHANNEL_REPEAT_INTERVAL_MAX);
            handshake.repeated = true;
            handshake.sent = now;
            match handshake.stage {
                Stage::Generate => {
                    // Where the queue is still full, the next repeat tries again.
                    self.enqueue(id);
                }
                Stage::Await => self.send_hello(now, id),
                Stage::Confirm => self.send_packet(now, id),
                Stage::Agree | Stage::Verify | Stage::Vouch | Stage::Sign => {}
            }
        }
        self.arm_handshake(id);
    }

    /// A handshake has failed. Where it was ours and nothing else says that the peer is alive,
    /// the channel is down.
    fn fail_handshake(&mut self, id: Id<Handshake>) {
        let Some(handshake) = self.handshakes.remove(id) else { return };
        self.handshake_timers.stop(id.slot());
        self.counters.handshakes_failed += 1;
        if handshake.role == Role::Responder {
            return;
        }
        if let Some(session) = handshake.session {
            self.remove_session(session);
        }
        let alive = |session: &Session| session.heard > handshake.started;
        match self.current(handshake.peer) {
            Some(session) if self.sessions.get(session).is_some_and(alive) => {}
            stale => {
                if let Some(session) = stale {
                    self.remove_session(session);
                }
                let reason = match (handshake.untrusted, handshake.wrong_identity) {
                    (true, _) => DownReason::Untrusted,
                    (_, true) => DownReason::WrongIdentity,
                    _ => DownReason::NoAnswer,
                };
                self.events.down(handshake.peer, reason);
            }
        }
    }

    /// Ends a handshake that is done or needless; returns what waited for it.
    pub(super) fn remove_handshake(&mut self, id: Id<Handshake>) -> Option<Backlog> {
        self.handshake_timers.stop(id.slot());
        let handshake = self.handshakes.remove(id)?;
        self.counters.handshakes_done += u64::from(handshake.stage == Stage::Confirm);
        Some(handshake.backlog)
    }

    pub(super) fn arm_handshake(&mut self, id: Id<Handshake>) {
        let Some(handshake) = self.handshakes.get(id) else { return };
        let end = gives_up(handshake);
        let repeats_itself = handshake.role == Role::Opener;
        let next = if repeats_itself { repeats(handshake).min(end) } else { end };
        self.handshake_timers.set(id.slot(), next);
    }
}

fn gives_up(handshake: &Handshake) -> Instant {
    let latest = handshake.started + CHANNEL_GIVE_UP * GIVE_UPS_MAX;
    (handshake.progress + CHANNEL_GIVE_UP).min(latest)
}

fn repeats(handshake: &Handshake) -> Instant {
    handshake.sent + handshake.interval
}

/// The first interval between repeats where the round trip is known: two of them and what slow
/// routers need for their public-key operations.
pub(super) fn repeat_interval(rtt: Option<Duration>) -> Duration {
    let measured = rtt.map(|rtt| rtt * 2 + CHANNEL_REPEAT_INTERVAL / 2);
    measured.map_or(CHANNEL_REPEAT_INTERVAL, |at| at.min(CHANNEL_REPEAT_INTERVAL_MAX))
}
