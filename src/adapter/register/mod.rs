//! REGISTER: to the provider and back, answered from here where that spares or saves something.
//!
//! Three ways (CALLS §2): forwarded, with the phone's Contact replaced by ours; answered from the
//! last 200, while the provider's half-life is not due; and, where the server is silent, answered
//! for phones that it has accepted before. In mode `overlay` the registrar is here: [`local`].

mod accepted;
mod answer;
mod end;
mod local;
mod moves;
mod read;
mod renewal;

pub(crate) use read::wan_contact;
pub(crate) use renewal::Renewals;

use super::exchange::{Exchange, ExchangeId, Purpose};
use super::inbound::Source;
use super::names::Local;
use super::providers::ProviderId;
use super::registrar::{Asked, BindingId};
use super::rewrite::{Contacts, RequestPlan, Routes};
use super::server::State;
use super::{Adapter, Wish, crossing, rewrite};
use crate::config::Mode;
use crate::limits::{
    CONTACTS_FURTHER_MAX, REGISTER_PATIENCE, RETRY_AFTER_MAX, SERVER_FAILED_PATIENCE,
};
use crate::net::{Mac, Request};
use crate::sip::Name;
use crate::sip::proxy::Routed;
use crate::sip::transaction::ServerId;
use crate::sip::{Message, delta_seconds};
use crate::time::{Duration, Instant};
use std::net::IpAddr;

/// A REGISTER on its way to the provider.
#[derive(Clone, Debug)]
pub(crate) struct Registration {
    /// The address of record, as spelled for look-ups.
    pub(crate) aor: String,
    /// The provider that it is for; none: passed on, and forgotten.
    pub(crate) provider: Option<ProviderId>,
    /// The phone's Contact URI, exactly; empty for `*`.
    pub(crate) contact: String,
    /// `Contact: *`.
    pub(crate) wildcard: bool,
    /// No Contact: the phone asks what is registered, and changes nothing.
    pub(crate) query: bool,
    /// `+sip.instance`, if the phone has one.
    pub(crate) instance: String,
    /// Its hardware address, where it has no instance and is on one of our links.
    pub(crate) mac: Option<Mac>,
    /// What the phone asks for, in seconds.
    pub(crate) expires_s: u32,
    /// User part of our Contact towards the provider.
    pub(crate) wan_user: String,
    /// Call-ID of the phone.
    pub(crate) call_id: String,
    /// Its place among the phone's REGISTERs.
    pub(crate) asked: Asked,
    /// The phone's registration, where it has one.
    pub(crate) binding: Option<BindingId>,
    /// Where it has none: a registration that shows that the phone is no stranger.
    pub(crate) vouched_by: Option<BindingId>,
    /// Further Contacts of the same phone that it names, with what it wants for each.
    pub(crate) further: heapless::Vec<Further, CONTACTS_FURTHER_MAX>,
    /// Our end of the way to the provider.
    pub(crate) local: Option<Local>,
    /// A known phone is answered from here then.
    pub(crate) shield_at: Option<Instant>,
}

/// A Contact beside the first in a REGISTER: a binding of its own.
#[derive(Clone, Debug)]
pub(crate) struct Further {
    /// The URI, exactly.
    pub(crate) contact: String,
    /// User part of our Contact towards the provider.
    pub(crate) wan_user: String,
    /// What the phone asks for, in seconds.
    pub(crate) expires_s: u32,
    /// The registration that it has.
    pub(crate) binding: Option<BindingId>,
}

impl Adapter {
    /// A REGISTER from a phone. One that names no instance is known by its hardware address,
    /// which the driver is asked for first.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        if read::names_instance(message) {
            return self.register_from(now, server, message, source, None);
        }
        let host = source.flow.to.ip();
        self.wish(Wish::Neighbour(server, source), Request::Neighbour(host));
    }

    /// The driver has looked up the hardware address of the phone that a REGISTER is from.
    pub(crate) fn register_neighbour(
        &mut self,
        now: Instant,
        server: ServerId,
        source: Source,
        mac: Option<Mac>,
    ) {
        let request = self.transactions.request(server).map(<[u8]>::to_vec);
        let request = request.unwrap_or_default();
        if let Ok(message) = Message::parse(&request) {
            self.register_from(now, server, &message, source, mac);
        }
    }

    fn register_from(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
        mac: Option<Mac>,
    ) {
        let mut registration = self.read_registration(now, message, &source, mac);
        if let Some(id) = registration.binding {
            self.phone_spoke(now, id);
        }
        if registration.provider.is_some() && self.config.adapter.mode == Mode::Overlay {
            return self.register_here(now, server, message, source, registration);
        }
        let known = registration.provider.is_some() && registration.is_known();
        let state = self.providers.state_of(registration.provider);
        let up = state == State::Up;
        // While the server is not up, what known phones send is answered at once, and is its best
        // probe: as much of it is forwarded as probes would go (CALLS §2.4). A goodbye always is.
        let held =
            known && !up && registration.expires_s > 0 && !self.may_ask(now, registration.provider);
        // A further Contact is not ours to answer for.
        let alone = message.values(Name::Contact).count() == 1;
        let fresh =
            registration.binding.filter(|id| self.is_fresh(now, *id, &registration, &source));
        if let Some(id) = fresh.filter(|_| alone && (up || held)) {
            self.counters.registrations_refreshed += 1;
            return self.answer_refresh(now, server, id, &registration);
        }
        if held && let Some(id) = self.place_of(now, &registration, source.flow) {
            return self.shield(now, server, id, (&registration, source.flow), now);
        }
        if registration.provider.is_some() && !known && state == State::Down {
            return self.refuse(now, server, 503);
        }
        if self.finds_no_room(&registration) {
            return self.refuse(now, server, 503);
        }
        let patience = if up { REGISTER_PATIENCE } else { Duration::ZERO };
        registration.shield_at = known.then_some(now + patience);
        let provider = registration.provider;
        let accepted_by = self.accepted_by(registration.binding);
        let purpose = Purpose::Register(Box::new(registration));
        let mut exchange = Exchange::new(purpose, server, source, message);
        exchange.provider = provider;
        exchange.accepted_by = accepted_by;
        let Some(id) = self.insert_exchange(exchange) else {
            return self.refuse(now, server, 503);
        };
        self.send_out(now, id, message);
        if known && !up {
            self.send_once(id);
        }
        self.wait_for_target(now, id);
        self.pump_locator(now);
    }

    /// What probes a server that is not up is not sent again: the next one repeats it.
    fn send_once(&mut self, id: ExchangeId) {
        if let Some(client) = self.exchanges.get(id).and_then(|exchange| exchange.client) {
            self.transactions.stop_retransmitting(client);
        }
    }

    fn may_ask(&mut self, now: Instant, provider: Option<ProviderId>) -> bool {
        self.providers.get_mut(provider).is_some_and(|provider| provider.state.may_ask(now))
    }

    fn finds_no_room(&mut self, registration: &Registration) -> bool {
        let full = registration.binding.is_none()
            && registration.expires_s > 0
            && self.registrar.is_full();
        if full {
            self.counters.phones_refused_full += 1;
        }
        full
    }

    /// Whether the last 200 still answers this refresh (CALLS §2.2).
    fn is_fresh(
        &self,
        now: Instant,
        id: BindingId,
        registration: &Registration,
        source: &Source,
    ) -> bool {
        let Some(binding) = self.registrar.get(id) else { return false };
        let target = binding.accepted_by.filter(|target| {
            let provider = self.providers.get(binding.provider);
            provider.is_some_and(|provider| provider.targets.serves(now, *target))
        });
        registration.expires_s > 0
            && !registration.contact.is_empty()
            && binding.is_refresh(source.flow, &registration.call_id, &registration.contact)
            && (now < binding.forward_at || binding.is_renewed(now))
            && target.is_some()
    }

    /// Writes the REGISTER for the provider.
    pub(crate) fn compose_register(
        &mut self,
        id: ExchangeId,
        message: &Message<'_>,
        local: Local,
    ) -> Option<Vec<u8>> {
        let exchange = self.exchanges.get_mut(id)?;
        let source = exchange.source.flow.to.ip();
        let Purpose::Register(registration) = &mut exchange.purpose else { return None };
        registration.local = Some(local);
        let registration = registration.clone();
        self.write_register(message, &registration, local, source)
    }

    /// Writes a REGISTER with our Contact in place of the phone's.
    fn write_register(
        &mut self,
        message: &Message<'_>,
        registration: &Registration,
        local: Local,
        source: IpAddr,
    ) -> Option<Vec<u8>> {
        let branch = self.transactions.branch();
        let own = self.own_addresses();
        let mut hosts: heapless::Vec<_, 2> = heapless::Vec::new();
        let _ = hosts.push(source);
        if let Some(ip) = super::names::uri_address(&registration.contact) {
            let _ = hosts.push(ip);
        }
        let named: heapless::Vec<(&str, String), { 1 + CONTACTS_FURTHER_MAX }> = registration
            .named()
            .map(|(contact, user)| (contact, wan_contact(user, local)))
            .collect();
        let routed = Routed::new(message, |uri| crossing::is_own(uri, &own));
        let plan = RequestPlan {
            uri: message.request_uri(),
            local,
            branch: &branch,
            routes: Routes::Routed(&routed),
            record_route: None,
            keep_record_routes: true,
            contacts: Contacts::Named { hosts: &hosts, named: &named },
            rename: None,
            withheld: false,
            cseq_shift: 0,
            allow_list: false,
            body: message.body(),
        };
        crossing::write(|out| rewrite::request(message, &plan, out))
    }

    /// A response of the provider to a REGISTER.
    pub(crate) fn register_answered(
        &mut self,
        now: Instant,
        id: ExchangeId,
        message: &Message<'_>,
    ) {
        let status = message.status();
        if status < 200 {
            return;
        }
        let Some(exchange) = self.exchanges.get(id) else { return };
        let answered = exchange.answered;
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let known = registration.is_known();
        match status {
            200..=299 => {
                self.registration_accepted(now, id, message);
            }
            500..=599 if self.leave_target(now, id) => return,
            500..=599 if known => {
                let again_at = self.asked_again_at(now, message);
                self.register_due(now, id, again_at);
                return self.end_exchange(now, id);
            }
            403 | 404 => self.registration_refused(now, id),
            _ => {}
        }
        if !answered {
            self.pass_register_response(now, id, message);
        }
        self.end_exchange(now, id);
    }

    /// When a server that failed is asked again: when it says, and not soon (Retry-After).
    fn asked_again_at(&mut self, now: Instant, message: &Message<'_>) -> Instant {
        let wanted = message.header(Name::RetryAfter).and_then(delta_seconds).unwrap_or(0);
        let wanted = Duration::from_secs(u64::from(wanted)).min(RETRY_AFTER_MAX);
        now + wanted + self.rng.jitter(SERVER_FAILED_PATIENCE)
    }

    /// What the phone is given: at most `phone_expires_s` and what the provider grants.
    fn phone_expires_s(&self, granted_s: u32, asked_s: u32) -> u32 {
        let limit = self.config.adapter.phone_expires.as_secs() as u32;
        granted_s.min(asked_s).min(limit)
    }

    /// Registrations whose time is over.
    pub(crate) fn bindings_due(&mut self, now: Instant) {
        while let Some(id) = self.registrar.pop_expired(now) {
            if let Some(aor) = self.registrar.get(id).map(|b| b.aor.clone()) {
                log::info!("phone {aor}: its registration has run out");
            }
            self.unpublish(now, id);
            self.registrar.expire(id);
            self.persist.bindings_changed(now, false);
        }
    }
}
