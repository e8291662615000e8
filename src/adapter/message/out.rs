//! A text that a phone here writes: its copies, and the answer that the phone gets.

use super::super::exchange::{Exchange, ExchangeId, Patience, Purpose};
use super::super::inbound::Source;
use super::super::names::{Local, Path, peer_flow};
use super::super::server::State;
use super::super::{Adapter, Asker, ClientOwner, spelling};
use super::{OverlayCopy, ServerCopy, Step, View, decide};
use crate::adapter::call::PhoneEnd;
use crate::adapter::providers::ProviderId;
use crate::config::Mode;
use crate::limits::CALL_LEGS_MAX;
use crate::net::NodeId;
use crate::overlay::{Found, LookupId};
use crate::sip::Message;
use crate::sip::transaction::{ClientId, Flow, ServerId};
use crate::time::Instant;

/// A text on its way out.
#[derive(Debug)]
pub(crate) struct Outgoing {
    /// Who wrote it.
    pub(crate) phone: PhoneEnd,
    /// Whom it is for, as spelled for look-ups.
    callee: String,
    /// When it came.
    started: Instant,
    /// The server was down then.
    server_down: bool,
    server: ServerCopy,
    overlay: OverlayCopy,
    /// Its look-up, while that runs.
    lookup: Option<LookupId>,
    /// Adapters that have the callee; the first ones were tried.
    found: heapless::Vec<NodeId, CALL_LEGS_MAX>,
    tried: usize,
    /// The copy that is out over the overlay.
    crossing: Option<(ClientId, NodeId)>,
    /// What the last copy over the overlay came to, if none was taken.
    crossed: Option<u16>,
    /// The server's refusal, and the overlay's.
    refusals: [Vec<u8>; 2],
    /// How the server's refusal came.
    refused_on: Option<(Path, Flow)>,
}

impl Adapter {
    /// A MESSAGE outside dialogs from a phone.
    pub(crate) fn message_out(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        let binding = self.binding_of_sender(message, source.flow);
        let provider = self.provider_for_phone(binding, message, source.flow);
        if provider.is_none() {
            return self.forward(now, server, message, source);
        }
        let caller = self.caller_aor(binding, provider, message);
        let callee = self.spell(provider, message.request_uri()).unwrap_or_default();
        let asked = self.is_looked_up(provider, (&caller, &callee), message.request_uri());
        let absent = self.config.adapter.mode == Mode::Overlay;
        let outgoing = Outgoing {
            phone: self.phone_end(binding, message, source),
            callee,
            started: now,
            server_down: self.providers.state_of(provider) == State::Down,
            server: if absent { ServerCopy::Absent } else { ServerCopy::Unsent },
            overlay: if asked { OverlayCopy::Unasked } else { OverlayCopy::Barred },
            lookup: None,
            found: heapless::Vec::new(),
            tried: 0,
            crossing: None,
            crossed: None,
            refusals: [Vec::new(), Vec::new()],
            refused_on: None,
        };
        let purpose = Purpose::Message(Box::new(outgoing));
        let mut exchange = Exchange::new(purpose, server, source, message);
        exchange.provider = provider;
        exchange.accepted_by = self.accepted_by(binding);
        match self.insert_exchange(exchange) {
            Some(id) => self.advance_message(now, id),
            None => self.refuse(now, server, 503),
        }
        self.pump_locator(now);
    }

    fn outgoing(&mut self, id: ExchangeId) -> Option<&mut Outgoing> {
        match &mut self.exchanges.get_mut(id)?.purpose {
            Purpose::Message(outgoing) => Some(outgoing),
            _ => None,
        }
    }

    /// Takes the next step of a text, until one has to wait.
    pub(crate) fn advance_message(&mut self, now: Instant, id: ExchangeId) {
        loop {
            let Some(exchange) = self.exchanges.get(id) else { return };
            let Purpose::Message(outgoing) = &exchange.purpose else { return };
            match self.message_step(now, exchange.provider, outgoing) {
                Step::Wait(Some(at)) => return self.set_patience(id, at, Patience::Message),
                Step::Wait(None) => return self.exchange_timers.stop(id.slot()),
                Step::AskServer => self.ask_server(now, id),
                Step::LookUp => self.look_up_recipient(now, id),
                Step::OpenOverlay => self.send_over_overlay(now, id),
                Step::AnswerServer => return self.answer_message(now, id, 0),
                Step::AnswerOverlay => return self.answer_message(now, id, 1),
                Step::AnswerStatus(code) => return self.refuse_exchange(now, id, code),
            }
        }
    }

    fn message_step(
        &self,
        now: Instant,
        provider: Option<ProviderId>,
        outgoing: &Outgoing,
    ) -> Step {
        decide(&View {
            now,
            started: outgoing.started,
            server: outgoing.server,
            overlay: outgoing.overlay,
            server_down: outgoing.server_down,
            recovering: self.providers.get(provider).is_some_and(|p| p.state.is_recovering(now)),
            failover_codes: &self.providers.options(provider).failover_code,
        })
    }

    fn ask_server(&mut self, now: Instant, id: ExchangeId) {
        if let Some(outgoing) = self.outgoing(id) {
            outgoing.server = ServerCopy::Silent;
        }
        let Some(request) = self.exchanges.get(id).map(|e| e.request.clone()) else { return };
        if let Ok(message) = Message::parse(&request) {
            self.send_out(now, id, &message);
        }
    }

    fn look_up_recipient(&mut self, now: Instant, id: ExchangeId) {
        let Some(callee) = self.outgoing(id).map(|outgoing| outgoing.callee.clone()) else {
            return;
        };
        let lookup = self.overlay.as_mut().map(|overlay| overlay.lookup(now, &callee));
        if let Some(lookup) = lookup {
            self.note_asker(lookup, Asker::Message(id));
        }
        if let Some(outgoing) = self.outgoing(id) {
            outgoing.lookup = lookup;
            outgoing.overlay =
                if lookup.is_some() { OverlayCopy::Looking } else { OverlayCopy::Missing };
        }
    }

    /// The overlay names an adapter that has the recipient.
    pub(crate) fn recipient_found(&mut self, now: Instant, id: ExchangeId, found: &Found) {
        if found.owner != self.id {
            self.open_to(now, found);
        }
        let Some(outgoing) = self.outgoing(id) else { return };
        if !outgoing.found.contains(&found.owner) && outgoing.found.push(found.owner).is_ok() {
            if outgoing.crossing.is_none() {
                outgoing.overlay = OverlayCopy::Found;
            }
            self.advance_message(now, id);
        }
    }

    /// The look-up has ended.
    pub(crate) fn recipient_lookup_done(&mut self, now: Instant, id: ExchangeId) {
        let Some(outgoing) = self.outgoing(id) else { return };
        outgoing.lookup = None;
        if outgoing.overlay == OverlayCopy::Looking {
            // Whoever was found first may have refused it before the look-up was over.
            outgoing.overlay = outgoing.crossed.map_or(OverlayCopy::Missing, OverlayCopy::Refused);
        }
        self.advance_message(now, id);
    }

    /// Sends the text to the next adapter that has the recipient.
    fn send_over_overlay(&mut self, now: Instant, id: ExchangeId) {
        let Some(outgoing) = self.outgoing(id) else { return };
        let Some(node) = outgoing.found.get(outgoing.tried).copied() else {
            outgoing.overlay = OverlayCopy::Missing;
            return;
        };
        outgoing.tried += 1;
        let (phone, uri) = (outgoing.phone.clone(), spelling::uri(&outgoing.callee));
        let Some(request) = self.exchanges.get(id).map(|e| e.request.clone()) else { return };
        let Ok(message) = Message::parse(&request) else { return };
        let crossing = self.crossing(&phone, (Path::Peer(node), Local::Overlay(self.id)), true, "");
        let branch = self.transactions.branch();
        let bytes = crossing.request(&message, &uri, &branch, 0, message.body());
        let owner = ClientOwner::Exchange(id.slot()).encode();
        let client = bytes.and_then(|bytes| {
            self.transactions.send_request(now, peer_flow(node), &bytes, owner).ok()
        });
        match client {
            Some(client) => {
                if let Some(outgoing) = self.outgoing(id) {
                    outgoing.crossing = Some((client, node));
                    outgoing.overlay = OverlayCopy::Open;
                }
            }
            None => self.crossing_ended(id, 480),
        }
    }

    /// The copy that was out over the overlay was not taken: the next adapter's turn.
    fn crossing_ended(&mut self, id: ExchangeId, code: u16) {
        let Some(outgoing) = self.outgoing(id) else { return };
        (outgoing.crossing, outgoing.crossed) = (None, Some(code));
        outgoing.overlay = if outgoing.tried < outgoing.found.len() {
            OverlayCopy::Found
        } else if outgoing.lookup.is_some() {
            OverlayCopy::Looking
        } else {
            OverlayCopy::Refused(code)
        };
    }

    /// A response to one of the copies.
    pub(crate) fn message_answered(
        &mut self,
        now: Instant,
        id: ExchangeId,
        client: ClientId,
        message: &Message<'_>,
    ) {
        let Some(exchange) = self.exchanges.get(id).filter(|_| message.status() >= 200) else {
            return;
        };
        let (of_server, sent_to) = (exchange.client == Some(client), exchange.sent_to);
        let Some(outgoing) = self.outgoing(id) else { return };
        let crossed = outgoing.crossing.filter(|(crossing, _)| *crossing == client);
        let way = match crossed {
            Some((_, node)) => Some((Path::Peer(node), peer_flow(node))),
            None => sent_to.filter(|_| of_server),
        };
        let (Some(way), code) = (way, message.status()) else { return };
        if code < 300 {
            self.counters.messages_by_overlay += u64::from(crossed.is_some());
            self.relay_response_from(now, id, message, way);
            return self.end_exchange(now, id);
        }
        outgoing.refusals[usize::from(crossed.is_some())] = message.raw().to_vec();
        if crossed.is_some() {
            self.crossing_ended(id, code);
        } else {
            outgoing.server = ServerCopy::Refused(code);
            outgoing.refused_on = Some(way);
        }
        self.advance_message(now, id);
    }

    /// The copy over the overlay failed, if it was that: nobody answered.
    pub(crate) fn crossing_failed(&mut self, now: Instant, id: ExchangeId, client: ClientId) {
        let Some(outgoing) = self.outgoing(id) else { return };
        if outgoing.crossing.is_some_and(|(crossing, _)| crossing == client) {
            self.crossing_ended(id, 480);
        }
        self.advance_message(now, id);
    }

    /// The server's copy is lost: there is no way, or nobody answered.
    pub(crate) fn server_copy_failed(&mut self, now: Instant, id: ExchangeId) {
        if let Some(outgoing) = self.outgoing(id) {
            outgoing.server = ServerCopy::Failed;
        }
        self.advance_message(now, id);
    }

    /// Passes a refusal, and ends it. `of`: the server's, or the overlay's.
    fn answer_message(&mut self, now: Instant, id: ExchangeId, of: usize) {
        let Some(outgoing) = self.outgoing(id) else { return };
        let refusal = core::mem::take(&mut outgoing.refusals[of]);
        let last = outgoing.tried.checked_sub(1).and_then(|at| outgoing.found.get(at)).copied();
        let crossed = last.map(|node| (Path::Peer(node), peer_flow(node)));
        let way = if of == 0 { outgoing.refused_on } else { crossed };
        let relayed = Message::parse(&refusal).ok().zip(way);
        match relayed {
            Some((message, way)) => self.relay_response_from(now, id, &message, way),
            None => return self.refuse_exchange(now, id, 480),
        }
        self.end_exchange(now, id);
    }

    /// Nothing more is asked for a text that is over.
    pub(crate) fn message_over(&mut self, id: ExchangeId) {
        let Some(client) = self.exchanges.get(id).map(|exchange| exchange.client) else { return };
        let Some(outgoing) = self.outgoing(id) else { return };
        let (lookup, crossing) = (outgoing.lookup.take(), outgoing.crossing.take());
        for client in client.into_iter().chain(crossing.map(|(client, _)| client)) {
            self.transactions.stop_retransmitting(client);
        }
        if let (Some(lookup), Some(overlay)) = (lookup, &mut self.overlay) {
            overlay.cancel_lookup(lookup);
            self.askers.remove(&lookup);
        }
    }
}
