//! Legs: sending the INVITE on, what comes back, and what becomes of those that lose.

use super::caller::retry_deadline;
use super::{Call, CallId, Dialog, FarEnd, LegState, PhoneEnd, Role, UpstreamState};
use crate::adapter::crossing::Crossing;
use crate::adapter::names::{Local, Path};
use crate::adapter::{Adapter, ClientOwner};
use crate::media::Side;
use crate::sip::Message;
use crate::sip::Name;
use crate::sip::reason_phrase;
use crate::sip::transaction::{ClientId, Flow};
use crate::time::Instant;

/// A leg with the upstream that it is joined to, in terms of phone and far end.
struct Joint {
    phone: PhoneEnd,
    far: (Path, Flow, Local),
    far_contact: String,
    /// The media side of the far end.
    side: u8,
    alias_user: String,
}

impl Joint {
    /// `at`: the leg; `up`: the upstream.
    fn of(call: &Call, at: usize, up: usize) -> Option<Self> {
        let leg = call.legs.get(at)?;
        let upstream = call.upstreams.get(up)?;
        let (phone, far, far_contact, side) = match call.role {
            Role::Caller => {
                let far = (leg.path, leg.flow, leg.local);
                (call.phone.clone()?, far, String::new(), at)
            }
            Role::Callee => {
                let far = (upstream.path, upstream.flow, upstream.local);
                (leg.phone.clone()?, far, upstream.contact.clone(), up)
            }
        };
        let alias_user = call.alias_user.clone();
        Some(Self { phone, far, far_contact, side: side as u8, alias_user })
    }
}

impl Adapter {
    /// The crossing between a phone and a far end.
    pub(crate) fn crossing(
        &self,
        phone: &PhoneEnd,
        (path, local): (Path, Local),
        outbound: bool,
        alias_user: &str,
    ) -> Crossing {
        let mut phone_hosts = heapless::Vec::new();
        let _ = phone_hosts.push(phone.flow.to.ip());
        if let Some(ip) = crate::adapter::names::uri_address(&phone.contact) {
            let _ = phone_hosts.push(ip);
        }
        let own = self.own_addresses();
        if outbound {
            Crossing {
                from: Path::Lan,
                from_local: phone.local,
                to: path,
                to_local: local,
                user: phone.user.clone(),
                phone_hosts,
                stand_in: None,
                own,
                loops: self.loops.clone(),
            }
        } else {
            Crossing {
                from: path,
                from_local: local,
                to: Path::Lan,
                to_local: phone.local,
                user: alias_user.to_owned(),
                phone_hosts,
                stand_in: None,
                own,
                loops: self.loops.clone(),
            }
        }
    }

    /// Sends the call's INVITE on leg `at`, whose flow stands.
    pub(crate) fn send_invite(&mut self, now: Instant, id: CallId, at: usize) {
        let Some(call) = self.calls.get(id) else { return };
        let Some(joint) = Joint::of(call, at, 0) else { return };
        let (role, media, provider) = (call.role, call.media, call.provider);
        let leg = &call.legs[at];
        let (target, flow, path) = (leg.target.clone(), leg.flow, leg.path);
        let invite = call.invite().to_vec();
        let Ok(message) = Message::parse(&invite) else { return };
        let outbound = role == Role::Caller;
        let far = (joint.far.0, joint.far.2);
        let crossing = self.crossing(&joint.phone, far, outbound, &joint.alias_user);
        let sides = sides(outbound, joint.side);
        let source = if outbound { joint.phone.flow } else { joint.far.1 };
        self.expect_media(media, &joint);
        let body = self.relay_body(now, media, sides, source, &message);
        let branch = self.transactions.branch();
        let sent = crossing.request(&message, &target, &branch, 0, &body).and_then(|bytes| {
            let owner = ClientOwner::Leg(id.slot(), at as u8).encode();
            self.transactions.send_request(now, flow, &bytes, owner).ok()
        });
        if path == Path::Server && sent.is_some() {
            self.server_asked(now, provider, ClientOwner::Leg(id.slot(), at as u8).encode());
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

    /// Tells the relay where the signalling of both ends comes from: media that overtakes the SDP
    /// of its sender is heard from there already.
    fn expect_media(&mut self, media: Option<crate::media::SessionId>, joint: &Joint) {
        let Some(media) = media else { return };
        self.media.set_peer(media, Side::Phone, joint.phone.flow.to.ip());
        let far = match joint.far.0 {
            Path::Peer(node) => self.peer_address(node),
            _ => Some(joint.far.1.to.ip()),
        };
        if let Some(far) = far {
            self.media.set_peer(media, Side::Far(joint.side), far);
        }
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
        match status {
            100 => {
                if leg.state == LegState::Silent {
                    leg.state = LegState::Trying(now);
                }
            }
            101..=199 => {
                if leg.state.is_open() {
                    leg.state = LegState::Ringing;
                    self.leg_rings(now, id, at, message);
                }
            }
            200..=299 => self.leg_accepted(now, id, at, message),
            _ => {
                let rang = leg.state == LegState::Ringing;
                leg.state = LegState::Refused { code: status, rang };
                leg.refusal = message.raw().to_vec();
                match role {
                    Role::Caller => self.leg_refused(now, id, at, message),
                    Role::Callee => self.phone_refused(now, id, at, message),
                }
            }
        }
        self.advance(now, id);
        self.reap(now, id);
    }

    fn leg_rings(&mut self, now: Instant, id: CallId, at: usize, message: &Message<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let heard_is_open = call
            .heard
            .is_some_and(|h| call.legs.get(usize::from(h)).is_some_and(|l| l.state.is_open()));
        if heard_is_open && call.heard != Some(at as u8) {
            return;
        }
        call.heard = Some(at as u8);
        if let (Role::Caller, Some(media)) = (call.role, call.media) {
            self.media.carry(media, at as u8);
        }
        for up in self.carrying_upstreams(id) {
            self.note_dialog(id, at, up, message, false);
            self.relay_response(now, id, at, up, message);
        }
    }

    fn leg_accepted(&mut self, now: Instant, id: CallId, at: usize, message: &Message<'_>) {
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
            self.lose_others(now, id, at);
        }
        match self.calls.get(id).map(|call| call.role) {
            Some(Role::Caller) => {
                self.note_dialog(id, at, 0, message, true);
                self.relay_response(now, id, at, 0, message);
                self.finish_upstream(id, 0);
            }
            Some(Role::Callee) => self.phone_accepted(now, id, at, first, message),
            None => {}
        }
    }

    /// A refusal at the caller's adapter: challenges go to the phone at once (CALLS §3.5).
    fn leg_refused(&mut self, now: Instant, id: CallId, at: usize, message: &Message<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let from_server = call.legs[at].path == Path::Server;
        let unheard = call.heard.is_none();
        if from_server && unheard && matches!(message.status(), 401 | 407) {
            call.retry_until = Some(retry_deadline(now));
            self.relay_response(now, id, at, 0, message);
            self.finish_upstream(id, 0);
        }
    }

    /// Passes the server's refusal, or the best of the overlay's, and ends the set-up.
    pub(crate) fn answer_refusal(&mut self, now: Instant, id: CallId, of_server: bool) {
        let Some(call) = self.calls.get(id) else { return };
        let best = call
            .legs
            .iter()
            .enumerate()
            .filter(|(_, leg)| (leg.path == Path::Server) == of_server)
            .filter_map(|(at, leg)| match leg.state {
                LegState::Refused { code, .. } => Some((code < 600, code, at)),
                _ => None,
            })
            .min();
        let Some((_, code, at)) = best else { return self.end_unanswered(now, id, 480) };
        if !of_server && (300..400).contains(&code) {
            return self.end_unanswered(now, id, 480);
        }
        let refusal = call.legs[at].refusal.clone();
        if let Ok(message) = Message::parse(&refusal) {
            self.relay_response(now, id, at, 0, &message);
        }
        self.finish_upstream(id, 0);
        self.lose_others(now, id, usize::MAX);
        self.reap(now, id);
    }

    /// Ends the set-up with a status of our own.
    pub(crate) fn end_unanswered(&mut self, now: Instant, id: CallId, code: u16) {
        let Some(call) = self.calls.get(id) else { return };
        let waiting: heapless::Vec<_, { crate::limits::CALL_UPSTREAMS_MAX }> = call
            .upstreams
            .iter()
            .enumerate()
            .filter(|(_, up)| up.state != UpstreamState::Done)
            .map(|(at, up)| (at, up.server))
            .collect();
        for (at, server) in waiting {
            self.refuse(now, server, code);
            self.finish_upstream(id, at);
        }
        self.trace_note(now, id, reason_phrase(code));
        self.lose_others(now, id, usize::MAX);
        self.reap(now, id);
    }

    /// Every open leg but `winner` loses: CALLS §3.7.
    pub(crate) fn lose_others(&mut self, now: Instant, id: CallId, winner: usize) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let mut losers = heapless::Vec::<_, { crate::limits::CALL_LEGS_MAX }>::new();
        for (at, leg) in call.legs.iter_mut().enumerate() {
            if at != winner && leg.state.is_open() {
                leg.state = LegState::Lost;
                let _ = losers.push((at, leg.path, leg.client));
            }
        }
        for (at, path, client) in losers {
            let Some(client) = client else { continue };
            if self.transactions.had_provisional(client) {
                self.transactions.cancel(now, client);
                self.trace_sent(now, id, path, "CANCEL");
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
            200..=299 => {
                let ends = !self.is_twin(client, message);
                self.acknowledge_late(now, client, message, ends);
            }
            _ => {}
        }
    }

    /// Whether a 2xx over the channel is the answer that the server leg brought too: the same
    /// phone's, under the same tag. A BYE to it would end the call.
    fn is_twin(&self, client: ClientId, message: &Message<'_>) -> bool {
        let flow = self.transactions.client_flow(client);
        let crossed = flow.is_some_and(|flow| matches!(flow.via, crate::net::Via::Peer(_)));
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        let same = |call: &Call| {
            let mut dialogs = call.dialogs.iter();
            call.role == Role::Caller && dialogs.any(|d| d.confirmed && d.far_tag == tag)
        };
        crossed && self.find_call(message.call_id(), same).is_some()
    }

    /// The transaction of leg `at` failed: nobody answered, or the transport refused.
    pub(crate) fn leg_failed(&mut self, now: Instant, id: CallId, at: usize, client: ClientId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let role = call.role;
        let Some(leg) = call.legs.get_mut(at).filter(|leg| leg.client == Some(client)) else {
            return;
        };
        let path = leg.path;
        leg.client = None;
        if leg.state.is_open() {
            leg.state = LegState::Failed;
            self.trace_failed(now, id, path);
            if role == Role::Callee {
                self.phone_unreachable(now, id, at);
            }
        }
        self.advance(now, id);
        self.reap(now, id);
    }

    /// Sends a leg's response up to `upstreams[up]`.
    pub(crate) fn relay_response(
        &mut self,
        now: Instant,
        id: CallId,
        at: usize,
        up: usize,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get(id) else { return };
        let Some(joint) = Joint::of(call, at, up) else { return };
        let (role, media) = (call.role, call.media);
        let upstream = &call.upstreams[up];
        let (server, source, path) = (upstream.server, upstream.flow.to, upstream.path);
        let request = upstream.request.clone();
        let Ok(request) = Message::parse(&request) else { return };
        let outbound = role == Role::Callee;
        let far = (joint.far.0, joint.far.2);
        let crossing = self.crossing(&joint.phone, far, outbound, &joint.alias_user);
        let source_flow = if outbound { joint.phone.flow } else { joint.far.1 };
        let body = self.relay_body(now, media, sides(outbound, joint.side), source_flow, message);
        if let Some(bytes) = crossing.response(message, &request, source, &body) {
            self.transactions.respond(now, server, &bytes);
            self.trace_status(now, id, path, message.status());
        }
    }

    /// Notes the dialog that a response to leg `at` forms or confirms.
    pub(crate) fn note_dialog(
        &mut self,
        id: CallId,
        at: usize,
        up: usize,
        message: &Message<'_>,
        confirmed: bool,
    ) {
        let Some(tag) = message.to().and_then(|to| to.tag()) else { return };
        let answerer = self.contact_of(message);
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(joint) = Joint::of(call, at, up) else { return };
        let (phone_tag, far_tag) = match call.role {
            Role::Caller => (call.from_tag.as_str(), tag),
            Role::Callee => (tag, call.from_tag.as_str()),
        };
        let mut phone = joint.phone;
        let mut far_contact = joint.far_contact;
        if !answerer.is_empty() {
            match call.role {
                Role::Caller => far_contact = answerer,
                Role::Callee => phone.contact = answerer,
            }
        }
        let far = FarEnd {
            path: joint.far.0,
            flow: joint.far.1,
            local: joint.far.2,
            contact: far_contact,
            side: joint.side,
        };
        if let Some(known) = call.dialog(phone_tag, far_tag) {
            let dialog = &mut call.dialogs[known];
            dialog.confirmed |= confirmed;
            if !far.contact.is_empty() {
                dialog.far = far;
            }
            dialog.phone = phone;
            return;
        }
        let upstream_cseq = call.upstreams.get(up).map_or(1, |u| u.cseq);
        let leg_cseq = call.legs.get(at).map_or(1, |l| l.cseq);
        let cseq_shift = match call.role {
            Role::Caller => i64::from(leg_cseq) - i64::from(upstream_cseq),
            Role::Callee => 0,
        };
        let (phone_tag, far_tag) = (phone_tag.to_owned(), far_tag.to_owned());
        let (phone_cseq, far_cseq) = match call.role {
            Role::Caller => (upstream_cseq, 0),
            Role::Callee => (0, upstream_cseq),
        };
        let dialog = Dialog {
            phone_tag,
            far_tag,
            phone,
            far,
            cseq_shift,
            phone_cseq,
            far_cseq,
            confirmed,
            ending: false,
            ack: Vec::new(),
            ack_over: None,
        };
        if call.dialogs.push(dialog).is_err() {
            self.counters.dialogs_dropped += 1;
        }
    }

    /// Rewrites a body for the other side of a call, or copies it where no media is relayed.
    pub(crate) fn relay_body(
        &mut self,
        now: Instant,
        media: Option<crate::media::SessionId>,
        (from, to): (Side, Side),
        source: Flow,
        message: &Message<'_>,
    ) -> Vec<u8> {
        let content_type = message.header(Name::ContentType).unwrap_or_default();
        let Some(media) = media.filter(|_| !message.body().is_empty()) else {
            return message.body().to_vec();
        };
        let mut out = Vec::with_capacity(message.body().len() + 64);
        let source = match source.via {
            crate::net::Via::Peer(node) => match self.peer_address(node) {
                Some(ip) => ip,
                None => source.to.ip(),
            },
            _ => source.to.ip(),
        };
        match self.media.rewrite(
            now,
            media,
            from,
            to,
            source,
            content_type,
            message.body(),
            &mut out,
        ) {
            Ok(()) => out,
            Err(error) => {
                self.counters.sdp_refused += 1;
                log::info!("SDP passed unchanged: {error}");
                message.body().to_vec()
            }
        }
    }
}

/// Media sides of a body that goes from the phone outward, or inward to it.
pub(crate) fn sides(outbound: bool, side: u8) -> (Side, Side) {
    if outbound { (Side::Phone, Side::Far(side)) } else { (Side::Far(side), Side::Phone) }
}
