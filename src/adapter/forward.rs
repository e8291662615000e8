//! Requests that are neither calls nor registrations: passed on between a phone and its provider.
//!
//! Also requests inside dialogs of which nothing is known, after a restart: they are routed by
//! Route and Contact, never refused for it (CALLS §1.3).

use super::Adapter;
use super::call::PhoneEnd;
use super::call::identity::read_direct;
use super::exchange::{Exchange, ExchangeId, Purpose};
use super::inbound::Source;
use super::names::{Local, Path, uri_user};
use super::registrar::BindingId;
use super::server::State;
use super::ways::{Hop, Way};
use crate::limits::BYE_PATIENCE;
use crate::sip::transaction::{Flow, ServerId};
use crate::sip::{Message, Method};
use crate::time::Instant;

impl Adapter {
    /// Passes a request on.
    pub(crate) fn forward(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        if message.method() == Method::Invite {
            self.reply_trying(now, server, message);
        }
        match source.path {
            Path::Lan => self.forward_out(now, server, message, source),
            Path::Server => self.forward_in(now, server, message, source),
            Path::Peer(_) => match self.hung_up_by_peer(message) {
                Some(phone) => self.forward_to(now, server, phone, message, source),
                None => self.refuse(now, server, 481),
            },
        }
    }

    /// The phone here on which another adapter's hangs up, in the names that it has for the call:
    /// they are those of an overlay leg, where that rang first. All else that a peer may ask inside
    /// a dialog needs one that is known.
    fn hung_up_by_peer(&self, message: &Message<'_>) -> Option<BindingId> {
        let bye = message.method() == Method::Bye && read_direct(message.call_id()).is_none();
        let user = uri_user(message.request_uri());
        let phone = self.registrar.by_wan_user(user).filter(|_| bye);
        phone.filter(|phone| self.is_shared(*phone))
    }

    fn forward_out(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        let binding = self.binding_of_sender(message, source.flow);
        let provider = self.provider_for_phone(binding, message, source.flow);
        if provider.is_some() && self.config.adapter.mode == crate::config::Mode::Overlay {
            return self.refuse_phone(now, server, message, 501);
        }
        if self.leads_back(message) {
            return self.refuse_phone(now, server, message, 481);
        }
        let phone = self.phone_end(binding, message, source);
        let purpose = Purpose::Other { phone, outbound: true };
        let mut exchange = Exchange::new(purpose, server, source, message);
        exchange.provider = provider;
        exchange.accepted_by = self.accepted_by(binding);
        let hangs_up = exchange.hangs_up;
        let Some(id) = self.insert_exchange(exchange) else {
            if hangs_up {
                return self.hang_up_at_once(now, server, message, &source);
            }
            return self.refuse(now, server, 503);
        };
        if hangs_up {
            let down = self.providers.state_of(provider) == State::Down;
            self.answer_exchange_at(id, if down { now } else { now + BYE_PATIENCE });
        }
        self.send_out(now, id, message);
        self.pump_locator(now);
    }

    /// Sends an exchange's request towards the server, as soon as there is a way.
    pub(crate) fn send_out(&mut self, now: Instant, id: ExchangeId, message: &Message<'_>) {
        let owner = super::ClientOwner::Exchange(id.slot());
        let Some(exchange) = self.exchanges.get(id) else { return };
        let phone = Some(exchange.source.flow);
        let in_dialog = message.to().is_some_and(|to| to.tag().is_some());
        let hop = match exchange.provider.filter(|_| !in_dialog) {
            Some(provider) => {
                let asked = (exchange.source.flow, exchange.accepted_by);
                Hop::Target(self.target_for(now, provider, asked, &exchange.tried))
            }
            None => Hop::Named,
        };
        if let (Hop::Target(Some(target)), Some(exchange)) = (hop, self.exchanges.get_mut(id)) {
            let _ = exchange.tried.push(target.addr);
            let (provider, flow) = (exchange.provider, exchange.source.flow);
            self.adopt_chosen(provider, flow, target);
        }
        let way = self.way_to_server(now, owner, hop, phone, message);
        self.exchange_way(now, id, way, message);
    }

    /// Sends an exchange's request to the server's next target, where it went to one and there
    /// is another (RFC 3263 s4.3).
    pub(crate) fn try_next_target(&mut self, now: Instant, id: ExchangeId) -> bool {
        let Some(exchange) = self.exchanges.get(id).filter(|e| !e.tried.is_empty()) else {
            return false;
        };
        let Some(provider) = exchange.provider else { return false };
        let asked = (exchange.source.flow, exchange.accepted_by);
        let next = self.target_for(now, provider, asked, &exchange.tried);
        let request = exchange.request.clone();
        match (next, Message::parse(&request)) {
            (Some(_), Ok(message)) => self.send_out(now, id, &message),
            _ => return false,
        }
        true
    }

    /// The way that an exchange waited for stands, or will not.
    pub(crate) fn exchange_way_found(&mut self, now: Instant, id: ExchangeId, way: Way) {
        let Some(exchange) = self.exchanges.get(id).filter(|exchange| exchange.dialing) else {
            return;
        };
        let request = exchange.request.clone();
        if let Ok(message) = Message::parse(&request) {
            self.exchange_way(now, id, way, &message);
        }
    }

    fn exchange_way(&mut self, now: Instant, id: ExchangeId, way: Way, message: &Message<'_>) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        exchange.dialing = matches!(way, Way::Dialing(_));
        let source = exchange.source;
        let (flow, local) = match way {
            Way::Ready(flow, local) => (flow, local),
            Way::Dialing(_) => return,
            Way::None(_) => return self.exchange_without_way(now, id),
        };
        let bytes = match &mut exchange.purpose {
            Purpose::Register(_) => self.compose_register(id, message, local),
            Purpose::Other { phone, outbound: true } => {
                let phone = phone.clone();
                self.compose_out(&phone, message, local)
            }
            Purpose::Other { phone, outbound: false } => {
                (phone.flow, phone.local) = (flow, local);
                let phone = phone.clone();
                self.compose_in(&phone, message, &source)
            }
            Purpose::Message(outgoing) => {
                let phone = outgoing.phone.clone();
                self.compose_out(&phone, message, local)
            }
            Purpose::Dialog { .. } => self.compose_to_phone(now, (flow, local), message, &source),
        };
        match bytes {
            Some(bytes) => self.send_exchange(now, id, flow, &bytes),
            None => self.refuse_exchange(now, id, 513),
        }
    }

    fn compose_out(
        &mut self,
        phone: &PhoneEnd,
        message: &Message<'_>,
        local: Local,
    ) -> Option<Vec<u8>> {
        let crossing = self.crossing(phone, (Path::Server, local), true, "");
        let branch = self.transactions.branch();
        crossing.request(message, message.request_uri(), &branch, 0, message.body())
    }

    fn forward_in(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        let Some(binding) = self.binding_named(message, source.flow.to) else {
            return self.refuse(now, server, 404);
        };
        self.forward_to(now, server, binding, message, source);
    }

    fn forward_to(
        &mut self,
        now: Instant,
        server: ServerId,
        binding: BindingId,
        message: &Message<'_>,
        source: Source,
    ) {
        let Some(phone) = self.phone_of_binding(binding) else {
            return self.refuse(now, server, 480);
        };
        let purpose = Purpose::Other { phone: phone.clone(), outbound: false };
        let Some(id) = self.insert_exchange(Exchange::new(purpose, server, source, message)) else {
            return self.refuse(now, server, 503);
        };
        self.send_in(now, id, &phone, message);
    }

    /// Sends a request on to a phone, as soon as there is a way.
    pub(crate) fn send_in(
        &mut self,
        now: Instant,
        id: ExchangeId,
        phone: &PhoneEnd,
        message: &Message<'_>,
    ) {
        let way = self.way_to_phone(phone, super::ClientOwner::Exchange(id.slot()));
        self.exchange_way(now, id, way, message);
    }

    fn compose_in(
        &mut self,
        phone: &PhoneEnd,
        message: &Message<'_>,
        source: &Source,
    ) -> Option<Vec<u8>> {
        let crossing = self.crossing(phone, (source.path, source.local), false, "");
        let branch = self.transactions.branch();
        crossing.request(message, &phone.contact, &branch, 0, message.body())
    }

    /// An ACK of a dialog of which nothing is known.
    pub(crate) fn route_stray(&mut self, now: Instant, message: &Message<'_>, source: &Source) {
        let written = match source.path {
            Path::Lan => self.stray_out(now, message, source),
            Path::Server => self.stray_in(message, source),
            Path::Peer(_) => None,
        };
        if let Some((flow, bytes)) = written {
            self.send(flow, &bytes);
        }
    }

    fn stray_out(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        source: &Source,
    ) -> Option<(Flow, Vec<u8>)> {
        let binding = self.binding_of_sender(message, source.flow);
        if self.leads_back(message) {
            return None;
        }
        let owner = super::ClientOwner::Quiet;
        let way = self.way_to_server(now, owner, Hop::Named, Some(source.flow), message);
        let Way::Ready(flow, local) = way else { return None };
        let phone = self.phone_end(binding, message, *source);
        let crossing = self.crossing(&phone, (Path::Server, local), true, "");
        let branch = self.transactions.branch();
        let uri = message.request_uri();
        let bytes = crossing.request(message, uri, &branch, 0, message.body())?;
        Some((flow, bytes))
    }

    fn stray_in(&mut self, message: &Message<'_>, source: &Source) -> Option<(Flow, Vec<u8>)> {
        let phone = self.phone_of_binding(self.binding_named(message, source.flow.to)?)?;
        Some((phone.flow, self.compose_in(&phone, message, source)?))
    }
}
