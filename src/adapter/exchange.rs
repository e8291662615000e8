//! One request passed on and its responses passed back: everything that is no call set-up.
//!
//! In-dialog requests, REGISTER and whatever else a phone or its provider sends. Where silence
//! must not be passed on, the exchange is answered from here first and the late response is only
//! taken note of. What an answer or a failure means is said by the purpose: for a REGISTER in
//! `register`, for a text in `message`, for all that is only passed on in [`relay`].

mod divert;
mod relay;

use super::call::{Call, CallId, PhoneEnd};
use super::hangup::hangs_up;
use super::inbound::Source;
use super::message::Outgoing;
use super::names::Path;
use super::providers::ProviderId;
use super::register::Registration;
use super::{Adapter, ClientOwner};
use crate::limits::{ACK_LIMIT, BYE_PATIENCE, EXCHANGES_EMERGENCY, SERVER_TARGETS_MAX};
use crate::sip::transaction::{ClientId, Flow, Room, ServerId, TransactionError};
use crate::sip::{Message, Method};
use crate::table::Id;
use crate::time::Instant;
use std::net::SocketAddr;

/// Names an exchange.
pub(crate) type ExchangeId = Id<Exchange>;

/// What an exchange is about.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// A request inside a dialog; `outbound`: from the phone.
    Dialog {
        /// The call.
        call: CallId,
        /// From the phone to the far end.
        outbound: bool,
    },
    /// A REGISTER.
    Register(Box<Registration>),
    /// A MESSAGE of a phone, outside dialogs.
    Message(Box<Outgoing>),
    /// Anything else, between this phone and this far end.
    Other {
        /// The phone.
        phone: PhoneEnd,
        /// From the phone to the far end.
        outbound: bool,
    },
}

/// A request passed on.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// What it is about.
    pub(crate) purpose: Purpose,
    /// The transaction that it answers.
    pub(crate) server: ServerId,
    /// The request as it came.
    pub(crate) request: Vec<u8>,
    /// It is an INVITE.
    pub(crate) invite: bool,
    /// It is the BYE of a phone, which is never refused from here (CALLS §4.1).
    pub(crate) hangs_up: bool,
    /// Where the request came from.
    pub(crate) source: Source,
    /// The way that the request took, for its responses; none before it was sent.
    pub(crate) sent_to: Option<(Path, Flow)>,
    /// The transaction that answers it.
    pub(crate) client: Option<ClientId>,
    /// Whoever got the request has said 100: it works on it.
    pub(super) trying: bool,
    /// A final answer went back.
    pub(crate) answered: bool,
    /// The provider whose server it goes to.
    pub(crate) provider: Option<ProviderId>,
    /// The target that has accepted its phone's REGISTER.
    pub(crate) accepted_by: Option<SocketAddr>,
    /// The targets that it was sent to.
    pub(crate) tried: heapless::Vec<SocketAddr, SERVER_TARGETS_MAX>,
    /// It waits for its way.
    pub(crate) dialing: bool,
    /// What happens when the deadline comes.
    pub(crate) patience: Patience,
}

/// What is done about silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Nothing: the transaction's own time-out is passed on.
    Endless,
    /// It is answered 200 from here.
    Answer,
    /// It takes the direct path, as soon as one is known.
    Divert,
    /// The registration is answered from what is known.
    Shield,
    /// A text takes its next step.
    Message,
    /// It goes to the server's next target.
    NextTarget,
    /// It is forgotten: nothing can come any more.
    Linger,
    /// An INVITE that rang too long is cancelled (Timer C of RFC 3261 s16.6).
    TimerC,
}

impl Exchange {
    /// An exchange about to be sent.
    pub(crate) fn new(
        purpose: Purpose,
        server: ServerId,
        source: Source,
        message: &Message<'_>,
    ) -> Self {
        Self {
            purpose,
            server,
            request: message.raw().to_vec(),
            invite: message.method() == Method::Invite,
            hangs_up: hangs_up(message, &source),
            source,
            sent_to: None,
            client: None,
            trying: false,
            answered: false,
            provider: None,
            accepted_by: None,
            tried: heapless::Vec::new(),
            dialing: false,
            patience: Patience::Endless,
        }
    }

    /// Whether the server itself owes it a response. Inside a dialog it says 100 to an INVITE;
    /// all else is for the far phone to answer (RFC 4320), whose silence says nothing of the
    /// server.
    pub(super) fn is_owed_by_server(&self) -> bool {
        self.invite || !matches!(self.purpose, Purpose::Dialog { .. })
    }
}

impl Adapter {
    /// Takes an exchange in. None where the table is full: the caller answers 503.
    pub(crate) fn insert_exchange(&mut self, exchange: Exchange) -> Option<ExchangeId> {
        let usual = self.exchanges.capacity() - EXCHANGES_EMERGENCY;
        let room = self.exchange_room(&exchange) == Room::Reserved || self.exchanges.len() < usual;
        let id = if room { self.exchanges.insert(exchange).ok() } else { None };
        if id.is_none() {
            self.counters.exchanges_refused_full += 1;
        }
        id
    }

    fn exchange_room(&self, exchange: &Exchange) -> Room {
        match exchange.purpose {
            Purpose::Dialog { call, .. } => self.calls.get(call).map(Call::room),
            _ => None,
        }
        .unwrap_or_default()
    }

    /// Sends the exchange's request.
    pub(crate) fn send_exchange(&mut self, now: Instant, id: ExchangeId, flow: Flow, bytes: &[u8]) {
        let owner = ClientOwner::Exchange(id.slot()).encode();
        let room = self.exchanges.get(id).map(|e| self.exchange_room(e)).unwrap_or_default();
        let Ok(client) = self.transactions.send_request_in(room, now, flow, bytes, owner) else {
            if self.exchanges.get(id).is_some_and(|exchange| exchange.hangs_up) {
                self.send(flow, bytes);
            }
            return self.refuse_exchange(now, id, 503);
        };
        let path = self.path_of(flow);
        let provider = self.exchanges.get(id).and_then(|exchange| exchange.provider);
        let owes = self.exchanges.get(id).is_some_and(Exchange::is_owed_by_server);
        if path == Path::Server && owes {
            self.server_asked(now, provider, flow.to, owner);
        }
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.client = Some(client);
            exchange.sent_to = Some((path, flow));
        }
    }

    /// Answers the exchange 200 from here when silence has lasted until `at`.
    pub(crate) fn answer_exchange_at(&mut self, id: ExchangeId, at: Instant) {
        self.set_patience(id, at, Patience::Answer);
    }

    /// Sends the exchange's request over the direct path when silence has lasted until `at`.
    pub(crate) fn divert_exchange_at(&mut self, id: ExchangeId, at: Instant) {
        self.set_patience(id, at, Patience::Divert);
    }

    /// Sets what is done about silence, and when.
    pub(crate) fn set_patience(&mut self, id: ExchangeId, at: Instant, patience: Patience) {
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.patience = patience;
            self.exchange_timers.set(id.slot(), at);
        }
    }

    /// Refuses the exchange's request and forgets it.
    pub(crate) fn refuse_exchange(&mut self, now: Instant, id: ExchangeId, code: u16) {
        if let Some(exchange) = self.exchanges.get(id)
            && !exchange.answered
        {
            let code = if exchange.hangs_up { 200 } else { code };
            let server = exchange.server;
            self.refuse(now, server, code);
        }
        self.end_exchange(now, id);
    }

    /// A response to the exchange's request, or to a copy of it.
    pub(crate) fn exchange_answered(
        &mut self,
        now: Instant,
        id: ExchangeId,
        client: ClientId,
        message: &Message<'_>,
    ) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        match exchange.purpose {
            Purpose::Message(_) => self.message_answered(now, id, client, message),
            // One that has lost: its answer changes nothing.
            _ if exchange.client != Some(client) => self.acknowledge_unawaited(client, message),
            Purpose::Register(_) => self.register_answered(now, id, message),
            Purpose::Dialog { .. } | Purpose::Other { .. } => self.relay_answered(now, id, message),
        }
    }

    /// The exchange's transaction failed, or that of a copy.
    pub(crate) fn exchange_failed(
        &mut self,
        now: Instant,
        id: ExchangeId,
        client: ClientId,
        error: TransactionError,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        if exchange.client != Some(client) {
            return self.crossing_failed(now, id, client);
        }
        exchange.client = None;
        if error == TransactionError::Transport && self.try_next_target(now, id) {
            return;
        }
        let Some(exchange) = self.exchanges.get(id) else { return };
        match exchange.purpose {
            _ if exchange.answered => self.end_exchange(now, id),
            Purpose::Message(_) => self.server_copy_failed(now, id),
            _ if exchange.patience == Patience::Endless => self.give_exchange_up(now, id, 408),
            _ => {
                self.exchange_due(now, id);
                self.end_if_nothing_runs(now, id);
            }
        }
    }

    /// No way leads to where the request goes.
    pub(super) fn exchange_without_way(&mut self, now: Instant, id: ExchangeId) {
        if self.try_next_target(now, id) {
            return;
        }
        let Some(exchange) = self.exchanges.get(id) else { return };
        match exchange.purpose {
            Purpose::Message(_) => self.server_copy_failed(now, id),
            Purpose::Register(_) => {
                self.register_due(now, id, now);
                self.refuse_exchange(now, id, 503);
            }
            Purpose::Dialog { outbound, .. } | Purpose::Other { outbound, .. } => {
                self.give_exchange_up(now, id, if outbound { 503 } else { 480 });
            }
        }
    }

    /// Nobody answers: the request is refused, unless its sender may hear another phone yet.
    fn give_exchange_up(&mut self, now: Instant, id: ExchangeId, code: u16) {
        match self.text_refused(id) {
            true => self.end_exchange(now, id),
            false => self.refuse_exchange(now, id, code),
        }
    }

    /// After a failure nothing comes back to an exchange that took no other way.
    fn end_if_nothing_runs(&mut self, now: Instant, id: ExchangeId) {
        match self.exchanges.get(id) {
            Some(exchange) if exchange.client.is_some() => {}
            Some(exchange) if exchange.answered => self.end_exchange(now, id),
            _ => self.refuse_exchange(now, id, 503),
        }
    }

    /// Silence has lasted long enough.
    pub(crate) fn exchange_due(&mut self, now: Instant, id: ExchangeId) {
        self.exchange_timers.stop(id.slot());
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let server = exchange.server;
        let patience = core::mem::replace(&mut exchange.patience, Patience::Endless);
        if matches!(patience, Patience::Answer | Patience::Divert) {
            self.look_at_server(now, id);
        }
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        match patience {
            Patience::Endless => {}
            Patience::Answer => {
                exchange.answered = true;
                self.reply(now, server, 200, None);
                self.end_dialog_of(now, id);
            }
            Patience::Divert if self.is_worked_on(id) => {
                self.divert_exchange_at(id, now + BYE_PATIENCE);
            }
            Patience::Divert => self.divert_exchange(now, id),
            Patience::Shield => {
                self.register_due(now, id, now);
                self.wait_for_target(now, id);
            }
            Patience::Message => self.advance_message(now, id),
            Patience::NextTarget => self.register_moves(now, id),
            Patience::Linger => self.end_exchange(now, id),
            Patience::TimerC => {
                self.exchange_cancelled(now, id);
                self.refuse_exchange(now, id, 408);
            }
        }
    }

    /// Silence that may be the far phone's alone is looked into by a probe of the server (CALLS
    /// §5).
    fn look_at_server(&mut self, now: Instant, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let asked = exchange.sent_to.filter(|(path, _)| *path == Path::Server);
        let Some(at) = exchange.provider.filter(|_| asked.is_some()) else { return };
        let Some(provider) = self.providers.get_mut(at) else { return };
        if provider.is_up() && provider.state.may_look_early(now) {
            self.probe(now, at);
        }
    }

    /// An exchange was answered from here.
    pub(crate) fn exchange_is_answered(&mut self, now: Instant, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        exchange.answered = true;
        if let Some(client) = exchange.client {
            self.transactions.stop_retransmitting(client);
        }
        self.set_patience(id, now + ACK_LIMIT, Patience::Linger);
    }

    fn end_dialog_of(&mut self, now: Instant, id: ExchangeId) {
        if let Some(Purpose::Dialog { call, .. }) = self.exchanges.get(id).map(|e| &e.purpose) {
            let call = *call;
            self.dialog_ended(now, call);
        }
    }

    /// Forgets an exchange; a dialog that it was to end is over.
    pub(crate) fn end_exchange(&mut self, now: Instant, id: ExchangeId) {
        self.exchange_timers.stop(id.slot());
        self.stop_waiting(ClientOwner::Exchange(id.slot()));
        self.message_over(id);
        self.end_dialog_of(now, id);
        self.exchanges.remove(id);
    }

    /// A CANCEL for an exchange: a re-INVITE that is taken back.
    pub(crate) fn exchange_cancelled(&mut self, now: Instant, id: ExchangeId) {
        if let Some(client) = self.exchanges.get(id).and_then(|exchange| exchange.client) {
            self.transactions.cancel(now, client);
        }
    }
}
