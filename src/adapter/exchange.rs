//! One request passed on and its responses passed back: everything that is no call set-up.
//!
//! In-dialog requests, REGISTER and whatever else a phone or its provider sends. Where silence
//! must not be passed on, the exchange is answered from here first and the late response is only
//! taken note of.

use super::call::{CallId, PhoneEnd};
use super::crossing::Crossing;
use super::inbound::Source;
use super::names::Path;
use super::register::Registration;
use super::{Adapter, ClientOwner};
use crate::net::NodeId;
use crate::sip::transaction::{ClientId, Flow, ServerId};
use crate::sip::{Message, Method};
use crate::table::Id;
use crate::time::Instant;

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
    /// Where the request came from.
    pub(crate) source: Source,
    /// The way that the request took, for its responses; none before it was sent.
    pub(crate) sent_to: Option<(Path, Flow)>,
    /// The transactions that answer it.
    pub(crate) client: Option<ClientId>,
    /// A final answer went back.
    pub(crate) answered: bool,
    /// The provider whose server it goes to.
    pub(crate) provider: Option<u8>,
    /// The way that it waits for.
    pub(crate) dialing: Option<Flow>,
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
    /// It takes the direct path to this adapter.
    Divert(NodeId),
    /// The registration is answered from what is known.
    Shield,
}

impl Exchange {
    /// An exchange about to be sent.
    pub(crate) fn new(purpose: Purpose, server: ServerId, source: Source) -> Self {
        Self {
            purpose,
            server,
            source,
            sent_to: None,
            client: None,
            answered: false,
            provider: None,
            dialing: None,
            patience: Patience::Endless,
        }
    }
}

impl Adapter {
    /// Takes an exchange in. None where the table is full: the caller answers 503.
    pub(crate) fn insert_exchange(&mut self, exchange: Exchange) -> Option<ExchangeId> {
        let id = self.exchanges.insert(exchange).ok();
        if id.is_none() {
            self.counters.exchanges_refused_full += 1;
        }
        id
    }

    /// Sends the exchange's request.
    pub(crate) fn send_exchange(&mut self, now: Instant, id: ExchangeId, flow: Flow, bytes: &[u8]) {
        let owner = ClientOwner::Exchange(id.slot()).encode();
        let Ok(client) = self.transactions.send_request(now, flow, bytes, owner) else {
            return self.refuse_exchange(now, id, 503);
        };
        let path = self.path_of(flow);
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
    pub(crate) fn divert_exchange_at(&mut self, id: ExchangeId, at: Instant, node: NodeId) {
        self.set_patience(id, at, Patience::Divert(node));
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
            let server = exchange.server;
            self.refuse(now, server, code);
        }
        self.end_exchange(now, id);
    }

    /// A response to the exchange's request.
    pub(crate) fn exchange_answered(
        &mut self,
        now: Instant,
        id: ExchangeId,
        client: ClientId,
        message: &Message<'_>,
    ) {
        let Some(exchange) = self.exchanges.get(id).filter(|e| e.client == Some(client)) else {
            return;
        };
        let status = message.status();
        if matches!(exchange.purpose, Purpose::Register(_)) {
            return self.register_answered(now, id, message);
        }
        if status == 100 {
            return;
        }
        if !exchange.answered {
            self.relay_exchange_response(now, id, message);
        }
        if status >= 200 {
            self.exchange_timers.stop(id.slot());
            let again = self.transactions.client_request(client).is_some_and(is_invite);
            if let Some(exchange) = self.exchanges.get_mut(id) {
                exchange.answered = true;
            }
            if !(again && status < 300) {
                self.end_exchange(now, id);
            }
        }
    }

    fn relay_exchange_response(&mut self, now: Instant, id: ExchangeId, message: &Message<'_>) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (server, source) = (exchange.server, exchange.source);
        let Some(request) = self.transactions.request(server).map(<[u8]>::to_vec) else { return };
        let Ok(request) = Message::parse(&request) else { return };
        let body = self.exchange_body(now, id, message);
        let Some(crossing) = self.exchange_crossing(id) else { return };
        if let Some(bytes) = crossing.response(message, &request, source.flow.to, &body) {
            self.transactions.respond(now, server, &bytes);
        }
        self.learn_exchange_contact(id, message);
    }

    /// The way back of a response: the request's, turned round.
    fn exchange_crossing(&self, id: ExchangeId) -> Option<Crossing> {
        let exchange = self.exchanges.get(id)?;
        let (path, flow) = exchange.sent_to?;
        let local = self.local_of(flow)?;
        let (phone, outbound, alias) = match &exchange.purpose {
            Purpose::Dialog { call, outbound } => {
                let call = self.calls.get(*call)?;
                let phone = &call.dialogs.first()?.phone;
                (phone.clone(), *outbound, call.alias_user.clone())
            }
            Purpose::Other { phone, outbound } => (phone.clone(), *outbound, String::new()),
            Purpose::Register(_) => return None,
        };
        let far =
            if outbound { (path, local) } else { (exchange.source.path, exchange.source.local) };
        Some(self.crossing(&phone, far, !outbound, &alias))
    }

    fn exchange_body(&mut self, now: Instant, id: ExchangeId, message: &Message<'_>) -> Vec<u8> {
        let Some(exchange) = self.exchanges.get(id) else { return Vec::new() };
        let Purpose::Dialog { call, outbound } = exchange.purpose else {
            return message.body().to_vec();
        };
        let Some(flow) = exchange.sent_to.map(|(_, flow)| flow) else { return Vec::new() };
        let Some(call) = self.calls.get(call) else { return message.body().to_vec() };
        let side = call.dialogs.first().map_or(0, |dialog| dialog.far.side);
        let media = call.media;
        self.relay_body(now, media, super::call::leg::sides(!outbound, side), flow, message)
    }

    fn learn_exchange_contact(&mut self, id: ExchangeId, message: &Message<'_>) {
        let contact = self.contact_of(message);
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Purpose::Dialog { call, outbound } = exchange.purpose else { return };
        if contact.is_empty() || !(200..300).contains(&message.status()) {
            return;
        }
        let Some(dialog) = self.calls.get_mut(call).and_then(|call| call.dialogs.first_mut())
        else {
            return;
        };
        if outbound {
            dialog.far.contact = contact;
        } else {
            dialog.phone.contact = contact;
        }
    }

    /// The exchange's transaction failed.
    pub(crate) fn exchange_failed(&mut self, now: Instant, id: ExchangeId, client: ClientId) {
        let Some(exchange) = self.exchanges.get_mut(id).filter(|e| e.client == Some(client)) else {
            return;
        };
        exchange.client = None;
        match exchange.patience {
            _ if exchange.answered => self.end_exchange(now, id),
            Patience::Endless => self.refuse_exchange(now, id, 408),
            _ => self.exchange_due(now, id),
        }
    }

    /// Silence has lasted long enough.
    pub(crate) fn exchange_due(&mut self, now: Instant, id: ExchangeId) {
        self.exchange_timers.stop(id.slot());
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let server = exchange.server;
        match core::mem::replace(&mut exchange.patience, Patience::Endless) {
            Patience::Endless => {}
            Patience::Answer => {
                exchange.answered = true;
                self.reply(now, server, 200, None);
                self.end_dialog_of(now, id);
            }
            Patience::Divert(node) => self.divert_exchange(now, id, node),
            Patience::Shield => self.register_due(now, id),
        }
    }

    fn divert_exchange(&mut self, now: Instant, id: ExchangeId, node: NodeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (server, source) = (exchange.server, exchange.source);
        let Purpose::Dialog { call, .. } = exchange.purpose else { return };
        if let Some(client) = exchange.client {
            self.transactions.stop_retransmitting(client);
        }
        let Some(request) = self.transactions.request(server).map(<[u8]>::to_vec) else { return };
        let Ok(message) = Message::parse(&request) else { return };
        let Some(at) = self.dialog_of(&message, source.path).filter(|at| at.0 == call) else {
            return;
        };
        self.trace_note(now, call, "direct path");
        if let Some((flow, bytes)) = self.compose_in_dialog(now, at, &message, &source, Some(node))
        {
            self.send_exchange(now, id, flow, &bytes);
        }
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

fn is_invite(request: &[u8]) -> bool {
    Message::parse(request).is_ok_and(|message| message.method() == Method::Invite)
}
