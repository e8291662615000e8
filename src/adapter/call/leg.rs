//! Legs: sending the INVITE on, what comes back, and what becomes of those that lose.

use super::claim::session_of;
use super::relay::{Joint, sides};
use super::{CallId, Leg, LegState, Role, UpstreamState};
use crate::adapter::names::{Local, Path};
use crate::adapter::{Adapter, ClientOwner};
use crate::limits::{PHONE_SILENCE, SIP_TIMER_C};
use crate::sip::transaction::{ClientId, Flow};
use crate::sip::{Message, Method, Name, reason_phrase};
use crate::time::Instant;

impl Leg {
    /// A leg that is about to be sent.
    pub(crate) fn new(
        now: Instant,
        path: Path,
        (flow, local): (Flow, Local),
        state: LegState,
        target: String,
        cseq: Option<(u32, Method<'_>)>,
    ) -> Self {
        Self {
            path,
            flow,
            local,
            client: None,
            state,
            sent: now,
            heard: now,
            held: false,
            answer: Vec::new(),
            target,
            cseq: cseq.map_or(1, |(number, _)| number),
            phone: None,
            binding: None,
            route: None,
        }
    }

    /// When silence on it has lasted too long: Timer C (RFC 3261 s16.6), and at the callee's
    /// adapter 2 s without any answer of a phone (CALLS §2.6).
    pub(crate) fn deadline(&self, role: Role) -> Instant {
        match (role, self.state) {
            (Role::Callee, LegState::Silent) => self.sent + PHONE_SILENCE,
            _ => self.heard + SIP_TIMER_C,
        }
    }
}

impl Adapter {
    /// Leg `at` begins, perhaps in place of an older one: `message`, the call's INVITE, is sent as
    /// soon as its flow stands.
    pub(crate) fn open_leg(
        &mut self,
        now: Instant,
        (id, at): (CallId, usize),
        leg: Leg,
        message: &Message<'_>,
    ) {
        let stands = leg.state == LegState::Silent;
        let Some(call) = self.calls.get_mut(id) else { return };
        if let Some(old) = call.legs.get_mut(at) {
            *old = leg;
        } else if call.legs.push(leg).is_err() {
            return self.no_room_in_call("another leg");
        }
        if stands {
            self.send_invite_as(now, id, at, message);
        }
    }

    /// Sends the call's INVITE on leg `at`, whose flow stands.
    pub(crate) fn send_invite(&mut self, now: Instant, id: CallId, at: usize) {
        let Some(invite) = self.calls.get(id).map(|call| call.invite().to_vec()) else { return };
        if let Ok(message) = Message::parse(&invite) {
            self.send_invite_as(now, id, at, &message);
        }
    }

    /// Sends `message`, the call's INVITE, on leg `at`, whose flow stands.
    pub(crate) fn send_invite_as(
        &mut self,
        now: Instant,
        id: CallId,
        at: usize,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get(id) else { return };
        let Some(joint) = Joint::of(call, at, 0) else { return };
        if let Path::Peer(node) = joint.far.0
            && let Some(without) = self.without_foreign_replaces(message, node)
            && let Ok(message) = Message::parse(&without)
        {
            return self.send_invite_as(now, id, at, &message);
        }
        let (role, media, provider, room) = (call.role, call.media, call.provider, call.room());
        let leg = &call.legs[at];
        let (target, flow, path, route) = (leg.target.clone(), leg.flow, leg.path, leg.route);
        let outbound = role == Role::Caller;
        let far = (joint.far.0, joint.far.2);
        let mut crossing = self.crossing(&joint.phone, far, outbound, &joint.alias_user);
        crossing.next_hop = self.next_hop_of(call, route, message);
        crossing.rename = call.rename.clone();
        if matches!(path, Path::Peer(_)) {
            crossing.contact_parameter = self.ports_told();
        }
        let sides = sides(outbound, joint.side);
        let source = if outbound { joint.phone.flow } else { joint.far.1 };
        self.expect_media(media, &joint);
        let body = self.translate_body(now, id, sides, source, message);
        let branch = self.transactions.branch();
        let sent = crossing.request(message, &target, &branch, 0, &body).and_then(|bytes| {
            let owner = ClientOwner::Leg(id.slot(), at as u8).encode();
            self.transactions.send_request_in(room, now, flow, &bytes, owner).ok()
        });
        if path == Path::Server
            && let Some(call) = self.calls.get_mut(id)
        {
            let kind = message.header(Name::ContentType).unwrap_or_default();
            call.claim.session = session_of(kind, &body);
        }
        if path == Path::Server && route.is_none() && sent.is_some() {
            let owner = ClientOwner::Leg(id.slot(), at as u8).encode();
            self.server_asked(now, provider, flow.to, owner);
        }
        self.trace_sent(now, id, path, "INVITE");
        let Some(leg) = self.calls.get_mut(id).and_then(|call| call.legs.get_mut(at)) else {
            return;
        };
        leg.client = sent;
        leg.sent = now;
        leg.heard = now;
        leg.state = if sent.is_some() { LegState::Silent } else { LegState::Failed };
    }

    /// A response on leg `at`.
    pub(crate) fn leg_answered(
        &mut self,
        now: Instant,
        (id, at): (CallId, usize),
        client: ClientId,
        message: &Message<'_>,
    ) {
        let status = message.status();
        let Some(call) = self.calls.get_mut(id) else {
            return self.loser_answered(now, client, message);
        };
        let role = call.role;
        let Some(leg) = call.legs.get_mut(at).filter(|leg| leg.client == Some(client)) else {
            return self.loser_answered(now, client, message);
        };
        leg.heard = now;
        let (path, state) = (leg.path, leg.state);
        if status != 100 {
            self.trace_received(now, id, path, message);
        }
        if state == LegState::Lost {
            self.loser_answered(now, client, message);
            return self.reap(now, id);
        }
        let Some(leg) = self.calls.get_mut(id).and_then(|call| call.legs.get_mut(at)) else {
            return;
        };
        // A server whose host refused for a moment works on the call all the same.
        let revived = role == Role::Caller && leg.state == LegState::Failed;
        match status {
            100 => {
                if leg.state == LegState::Silent || revived {
                    leg.state = LegState::Trying(now);
                }
            }
            101..=199 => {
                if leg.state.is_open() || revived {
                    leg.state = LegState::Ringing;
                    self.leg_rings(now, id, at, message);
                }
            }
            200..=299 => self.leg_accepted(now, id, at, message),
            _ => {
                let rang = leg.state == LegState::Ringing;
                leg.state = LegState::Refused { code: status, rang };
                leg.answer = message.raw().to_vec();
                match role {
                    Role::Caller => self.leg_refused(now, id, at, message),
                    Role::Callee => self.phone_refused(now, id, at, message),
                }
            }
        }
        self.hear_next(now, id);
        self.advance(now, id);
        self.reap(now, id);
    }

    fn leg_accepted(&mut self, now: Instant, id: CallId, at: usize, message: &Message<'_>) {
        if !self.doubts(now, id, at, message) {
            self.take_answer(now, id, at, message);
        }
    }

    /// A 2xx counts: of the leg that wins, or of one that has lost.
    pub(super) fn take_answer(
        &mut self,
        now: Instant,
        id: CallId,
        at: usize,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.winner.is_some_and(|winner| usize::from(winner) != at) {
            let client = call.legs[at].client;
            call.legs[at].state = LegState::Lost;
            if let Some(client) = client {
                self.loser_answered(now, client, message);
            }
            return;
        }
        let first = call.winner.is_none();
        call.winner = Some(at as u8);
        call.legs[at].state = LegState::Won;
        if let (Role::Caller, Some(media)) = (call.role, call.media) {
            self.media.carry(media, at as u8);
        }
        if first {
            self.watch_media(now, id);
            self.lose_others(now, id, at);
        }
        match self.calls.get(id).map(|call| call.role) {
            Some(Role::Caller) => match self.calls.get_mut(id) {
                Some(call) if call.retry_until.is_some() => {
                    call.legs[at].answer = message.raw().to_vec();
                }
                _ => self.tell_acceptance(now, id, at, message),
            },
            Some(Role::Callee) => self.phone_accepted(now, id, at, first, message),
            None => {}
        }
        if first {
            self.name_carrier(now, id);
        }
    }

    /// Ends the set-up with a status of our own.
    pub(crate) fn end_unanswered(&mut self, now: Instant, id: CallId, code: u16) {
        let Some(call) = self.calls.get(id) else { return };
        let waiting: heapless::Vec<usize, { crate::limits::CALL_UPSTREAMS_MAX }> = call
            .upstreams
            .iter()
            .enumerate()
            .filter(|(_, up)| up.state != UpstreamState::Done)
            .map(|(at, _)| at)
            .collect();
        for at in waiting {
            self.refuse_upstream(now, id, at, code);
        }
        self.trace_note(now, id, reason_phrase(code));
        self.lose_others(now, id, usize::MAX);
        self.watch_unanswered(now, id, code);
        self.reap(now, id);
    }

    /// Every leg but `winner` that is open, or may be answered yet, loses: CALLS §3.7.
    pub(crate) fn lose_others(&mut self, now: Instant, id: CallId, winner: usize) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let mut losers = heapless::Vec::<_, { crate::limits::CALL_LEGS_MAX }>::new();
        for (at, leg) in call.legs.iter_mut().enumerate() {
            let doubted = matches!(leg.state, LegState::Doubted { .. });
            if at == winner {
                continue;
            } else if leg.state.is_open() || doubted {
                leg.state = LegState::Lost;
                let answer = if doubted { core::mem::take(&mut leg.answer) } else { Vec::new() };
                let _ = losers.push((at, leg.path, leg.client, answer));
            } else if leg.state == LegState::Failed {
                // Its INVITE may have arrived. What comes of that is none of this call's any more.
                let _ = losers.push((at, leg.path, leg.client.take(), Vec::new()));
            }
        }
        for (at, path, client, answer) in losers {
            let Some(client) = client else { continue };
            if let Ok(message) = Message::parse(&answer) {
                self.loser_answered(now, client, &message);
            } else if self.transactions.had_provisional(client) {
                if self.transactions.cancel(now, client) {
                    self.trace_sent(now, id, path, "CANCEL");
                }
            } else {
                self.transactions.stop_retransmitting(client);
            }
            let media = self.calls.get(id).filter(|c| c.role == Role::Caller).and_then(|c| c.media);
            if let Some(media) = media {
                self.media.drop_leg(now, media, at as u8);
            }
        }
    }

    /// An answer to an INVITE that no longer counts.
    pub(crate) fn loser_answered(&mut self, now: Instant, client: ClientId, message: &Message<'_>) {
        match message.status() {
            100..=199 => {
                self.transactions.cancel(now, client);
            }
            200..=299 => self.acknowledge_late(now, client, message),
            _ => {}
        }
    }

    /// The transaction of leg `at` failed: nobody answered, or the transport refused. Its copies
    /// may still be answered.
    pub(crate) fn leg_failed(&mut self, now: Instant, id: CallId, at: usize, client: ClientId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let role = call.role;
        let Some(leg) = call.legs.get_mut(at).filter(|leg| leg.client == Some(client)) else {
            return;
        };
        let path = leg.path;
        if leg.state.is_open() {
            leg.state = LegState::Failed;
            self.trace_failed(now, id, path);
            if role == Role::Callee {
                self.phone_unreachable(now, id, at);
            }
        }
        self.hear_next(now, id);
        self.advance(now, id);
        self.reap(now, id);
    }
}
