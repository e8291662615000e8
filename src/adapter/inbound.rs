//! A SIP message that arrived: who may send it, what it belongs to, who handles it.
//!
//! The LAN is served; the WAN is silent to everything that is neither the provider's nor part of
//! a transaction or of a known dialog (CALLS §1.5); peers come through the channel.

use super::callers::shown;
use super::crossing::is_own;
use super::enrolment::is_challenge;
use super::names::{Local, Path};
use super::{Adapter, ClientOwner};
use crate::config::{Accept, Mode};
use crate::net::{self, Rejected};
use crate::sip::Name;
use crate::sip::proxy;
use crate::sip::transaction::{ClientId, Flow, Incoming, ServerId};
use crate::sip::{Message, Method, Via, reason_phrase};
use crate::time::Instant;

/// Where a message came from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    /// Which side.
    pub(crate) path: Path,
    /// The way back.
    pub(crate) flow: Flow,
    /// Our own end of it.
    pub(crate) local: Local,
}

/// What phones and their provider may ask.
const METHODS: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, MESSAGE, NOTIFY, SUBSCRIBE, \
                       INFO, UPDATE, PRACK, REFER, PUBLISH";

/// What other adapters may ask outside dialogs.
const PEER_METHODS: &str = "INVITE, ACK, CANCEL, MESSAGE";

impl Adapter {
    /// A datagram on a socket for SIP; those that hold the way open say nothing.
    pub(super) fn handle_sip_datagram(
        &mut self,
        now: Instant,
        flow: Flow,
        data: &[u8],
    ) -> Result<(), Rejected> {
        if data.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
            return Ok(());
        }
        let Some(local) = self.local_of(flow) else { return Err(Rejected::Unknown) };
        self.handle_sip(now, Source { path: self.path_of(flow), flow, local }, data)
    }

    /// Takes one SIP message.
    pub(crate) fn handle_sip(
        &mut self,
        now: Instant,
        source: Source,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let Ok(message) = Message::parse(data) else {
            self.counters.sip_malformed += 1;
            return Err(Rejected::Malformed);
        };
        if source.path == Path::Lan {
            self.flow_spoke(now, source.flow);
        }
        if message.is_request() {
            self.handle_request(now, source, &message)
        } else {
            self.handle_response(now, source, &message)
        }
    }

    fn handle_response(
        &mut self,
        now: Instant,
        source: Source,
        message: &Message<'_>,
    ) -> Result<(), Rejected> {
        if let Err(invalid) = message.check() {
            self.trace_wrong(now, source.path, message, &invalid);
            self.counters.sip_malformed += 1;
            return Err(Rejected::Malformed);
        }
        let received = self.transactions.receive_response(now, message, source.flow);
        let Some((client, user)) = received else { return Ok(()) };
        let shown = self
            .is_of_others(source.path)
            .then(|| shown::response(message, self.transactions.client_request(client)?));
        match shown.flatten().as_deref().map(Message::parse) {
            None => self.take_response(now, source, (client, user), message),
            Some(Ok(message)) => self.take_response(now, source, (client, user), &message),
            Some(Err(_)) => return Err(Rejected::Malformed),
        }
        Ok(())
    }

    fn take_response(
        &mut self,
        now: Instant,
        source: Source,
        (client, user): (ClientId, u32),
        message: &Message<'_>,
    ) {
        let owner = ClientOwner::decode(user);
        if source.path == Path::Server {
            self.look_for_alg(owner, source, message);
            self.server_spoke(now, (owner, client), source);
        }
        match owner {
            ClientOwner::Leg(slot, at) => match self.calls.id_at(slot) {
                Some(call) => self.leg_answered(now, (call, usize::from(at)), client, message),
                None => self.loser_answered(now, client, message),
            },
            ClientOwner::Exchange(slot) => match self.exchanges.id_at(slot) {
                Some(id) => self.exchange_answered(now, id, client, message),
                None => self.acknowledge_unawaited(client, message),
            },
            ClientOwner::Renewal(slot) => self.renewal_answered(now, slot, client, message),
            ClientOwner::Inquiry(slot) => self.inquiry_answered(now, (slot, client), message),
            ClientOwner::Quiet => {
                self.answer_challenge(now, (owner, client), message);
            }
            #[cfg(feature = "server")]
            ClientOwner::Challenge(number) => self.challenge_answered(now, number, client, message),
            ClientOwner::Probe(_)
            | ClientOwner::Locate(..)
            | ClientOwner::Gateway(_)
            | ClientOwner::Bootstrap(_) => {}
        }
    }

    fn handle_request(
        &mut self,
        now: Instant,
        source: Source,
        message: &Message<'_>,
    ) -> Result<(), Rejected> {
        if source.path == Path::Server
            && !self.is_provider(source.flow.to)
            && self.dialog_of(message, source.path).is_none()
        {
            self.counters.wan_unauthorized += 1;
            return Err(Rejected::Unauthorized);
        }
        if let Err(invalid) = message.check() {
            self.counters.sip_malformed += 1;
            self.trace_wrong(now, source.path, message, &invalid);
            if message.method() != Method::Ack {
                let refusal = (invalid.status(), invalid.to_string());
                self.refuse_stateless(source, message, (refusal.0, &refusal.1));
            }
            return Err(Rejected::Malformed);
        }
        if self.waits_for_hole(now, source.path, message) {
            // As if it were lost on the way: it is sent again.
            self.counters.invites_postponed += 1;
            return Ok(());
        }
        let shown = self.is_of_others(source.path).then(|| shown::request(message)).flatten();
        match shown.as_deref().map(Message::parse) {
            None => self.take_request(now, source, message),
            Some(Ok(message)) => self.take_request(now, source, &message),
            Some(Err(_)) => Err(Rejected::Malformed),
        }
    }

    fn take_request(
        &mut self,
        now: Instant,
        source: Source,
        message: &Message<'_>,
    ) -> Result<(), Rejected> {
        let ack = message.method() == Method::Ack;
        let room = self.room_for(message, source.path);
        match self.transactions.receive_request_in(room, now, message, source.flow) {
            Ok(Incoming::Repeated | Incoming::Ack) => {}
            Ok(Incoming::AckOfSuccess) => self.acknowledge(now, message, &source),
            Ok(Incoming::Cancel { id, invite }) => self.cancelled(now, id, invite),
            Ok(Incoming::New(id)) => self.dispatch(now, id, message, source),
            Err(_) => {
                self.counters.transactions_full += 1;
                if self.ends_call_here(message, &source) {
                    self.hang_up_statelessly(now, message, &source);
                } else if !ack {
                    self.refuse_stateless(source, message, (503, "Service Unavailable"));
                }
                return Err(Rejected::Full);
            }
        }
        Ok(())
    }

    fn cancelled(&mut self, now: Instant, id: ServerId, invite: Option<ServerId>) {
        let Some(invite) = invite else { return self.refuse(now, id, 481) };
        self.reply(now, id, 200, None);
        let owner = self.calls.iter().find_map(|(call, state)| {
            let up = state.upstreams.iter().position(|up| up.is_served_by(invite))?;
            Some((call, up))
        });
        if let Some((call, up)) = owner {
            return self.call_cancelled(now, call, up);
        }
        let exchange = self.exchanges.iter().find(|(_, e)| e.server == invite).map(|(id, _)| id);
        if let Some(exchange) = exchange {
            self.exchange_cancelled(now, exchange);
        }
    }

    fn dispatch(&mut self, now: Instant, id: ServerId, message: &Message<'_>, source: Source) {
        if let Err(refusal) = proxy::validate(message)
            && !(message.method() == Method::Register)
        {
            self.trace_wrong(now, source.path, message, &reason_phrase(refusal.status));
            return self.refuse_invalid(now, id, &refusal, message);
        }
        if source.path != Path::Peer(self.id)
            && self.loops.is_loop(message, |via| self.is_our_via(via))
        {
            self.counters.loops += 1;
            return self.refuse(now, id, 482);
        }
        let in_dialog = message.to().is_some_and(|to| to.tag().is_some());
        if self.is_of_others(source.path) && !self.takes_from_peers(message, in_dialog) {
            self.counters.peer_requests_refused += 1;
            return self.refuse(now, id, 403);
        }
        if let Path::Peer(node) = source.path
            && let Some(why) = self.turns_away(now, node, message)
        {
            return self.refuse_caller(now, id, why);
        }
        if is_challenge(message, source.path) {
            return self.challenged(now, id, message, &source);
        }
        if in_dialog {
            return match self.dialog_of(message, source.path) {
                Some(at) if self.is_out_of_order(at, message, &source) => {
                    self.trace_wrong(now, source.path, message, &"CSeq out of order");
                    self.refuse(now, id, 500);
                }
                Some(at) if message.method() == Method::Refer => {
                    self.refer(now, id, at, message, source);
                }
                Some(at) => self.in_dialog(now, id, at, message, source),
                // The other end's, or a copy of it by the other path, came first.
                None if message.method() == Method::Bye
                    && self.ended_calls.knows(now, message.call_id()) =>
                {
                    self.reply(now, id, 200, None);
                }
                None => self.forward(now, id, message, source),
            };
        }
        match (source.path, message.method()) {
            (Path::Lan, Method::Register) => self.register(now, id, message, source),
            (Path::Lan, Method::Invite) => self.call_out(now, id, message, source),
            (Path::Lan, Method::Options) if self.names_us(message) => self.options(now, id),
            (Path::Lan, Method::Message) => self.message_out(now, id, message, source),
            (_, Method::Message) => self.message_in(now, id, message, source),
            (Path::Lan, _) => self.forward(now, id, message, source),
            (_, Method::Register) => self.refuse(now, id, 403),
            (Path::Peer(node), Method::Invite) if self.is_out_of_earshot(now, node, message) => {
                self.refuse_unheard(now, id, node);
            }
            (_, Method::Invite) => self.call_in(now, id, message, source),
            (Path::Server, Method::Options)
                if self.binding_named(message, source.flow.to).is_none() =>
            {
                self.options(now, id);
            }
            (Path::Server, _) => self.forward(now, id, message, source),
            // RFC 3261 s21.4.6.
            (Path::Peer(_), _) => self.reply_with(now, id, 405, &[(Name::Allow, &PEER_METHODS)]),
        }
    }

    /// Whether another adapter's messages come on this path.
    fn is_of_others(&self, path: Path) -> bool {
        matches!(path, Path::Peer(node) if node != self.id)
    }

    /// What other adapters may ask: calls and texts, where those are taken, and what belongs to
    /// calls.
    fn takes_from_peers(&self, message: &Message<'_>, in_dialog: bool) -> bool {
        let calls = self.config.identity.accept != Accept::Nobody
            && self.config.adapter.mode != Mode::Server;
        let mut events = message.headers().iter().filter(|header| header.name == Name::Event);
        match message.method() {
            Method::Refer => in_dialog && calls,
            // Others tell of other calls, or have a phone answer by itself.
            Method::Notify | Method::Subscribe => {
                !in_dialog || events.all(|event| is_refer(event.value))
            }
            Method::Invite | Method::Message => in_dialog || calls,
            _ => true,
        }
    }

    fn is_our_via(&self, via: &Via<'_>) -> bool {
        let port = via.port.unwrap_or(5060);
        let ip = crate::sip::host_ip(via.host);
        super::names::node_of_host(via.host) == Some(self.id)
            || self.own_addresses().iter().any(|a| Some(a.ip()) == ip && a.port() == port)
    }

    /// Answers OPTIONS from here.
    pub(super) fn options(&mut self, now: Instant, id: ServerId) {
        self.reply_with(now, id, 200, &[(Name::Allow, &METHODS)]);
    }

    /// Whether the Request-URI names the adapter itself.
    fn names_us(&self, message: &Message<'_>) -> bool {
        let Ok(uri) = crate::sip::Uri::parse(message.request_uri()) else { return false };
        is_own(&uri, &self.own_addresses())
    }

    /// The side and the local end of a flow.
    pub(crate) fn path_of(&self, flow: Flow) -> Path {
        use super::sockets::Facing;
        let facing = match flow.via {
            net::Via::Peer(node) => return Path::Peer(node),
            net::Via::Udp(id) => self.sockets.get(id).map(|s| s.facing),
            net::Via::Intercepted(..) => return Path::Lan,
            net::Via::Stream(id) => self.sockets.connections.get(id).map(|c| c.facing),
        };
        if facing == Some(Facing::Wan) { Path::Server } else { Path::Lan }
    }

    /// Our own end of a flow.
    pub(crate) fn local_of(&self, flow: Flow) -> Option<Local> {
        match flow.via {
            net::Via::Peer(_) => Some(Local::Overlay(self.id)),
            _ => self.sockets.local(flow, &self.outside),
        }
    }
}

/// Whether an event is that of a transfer (RFC 3515 s3).
fn is_refer(event: &str) -> bool {
    event.split(';').next().is_some_and(|event| event.trim().eq_ignore_ascii_case("refer"))
}
