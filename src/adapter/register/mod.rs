//! REGISTER: to the provider and back, answered from here where that spares or saves something.
//!
//! Three ways (CALLS §2): forwarded, with the phone's Contact replaced by ours; answered from the
//! last 200, while the provider's half-life is not due; and, where the server is silent, answered
//! for phones that it has accepted before. In mode `overlay` the registrar is here: [`local`].

mod answer;
mod end;
mod local;
mod moves;

use super::exchange::{Exchange, ExchangeId, Purpose};
use super::inbound::Source;
use super::names::Local;
use super::registrar::{Binding, BindingId, FOREIGN, Registered};
use super::rewrite::{Contacts, RequestPlan, Routes};
use super::{Adapter, crossing, rewrite};
use crate::config::Mode;
use crate::limits::REGISTER_PATIENCE;
use crate::sip::Name;
use crate::sip::NameAddr;
use crate::sip::proxy::Routed;
use crate::sip::transaction::ServerId;
use crate::sip::{Message, delta_seconds};
use crate::time::Instant;

/// A REGISTER on its way to the provider.
#[derive(Debug)]
pub(crate) struct Registration {
    /// The address of record, as spelled for look-ups.
    pub(crate) aor: String,
    /// The provider that it is for; none: passed on, and forgotten.
    pub(crate) provider: Option<u8>,
    /// The phone's Contact URI, exactly; empty for a query and for `*`.
    pub(crate) contact: String,
    /// `Contact: *`.
    pub(crate) wildcard: bool,
    /// `+sip.instance`, if the phone has one.
    pub(crate) instance: String,
    /// What the phone asks for, in seconds.
    pub(crate) expires_s: u32,
    /// User part of our Contact towards the provider.
    pub(crate) wan_user: String,
    /// Call-ID and CSeq of the phone.
    pub(crate) call_id: String,
    /// Number of the CSeq.
    pub(crate) cseq: u32,
    /// The phone's registration, where it has one.
    pub(crate) binding: Option<BindingId>,
    /// Our end of the way to the provider.
    pub(crate) local: Option<Local>,
    /// A known phone is answered from here then.
    pub(crate) shield_at: Option<Instant>,
}

/// What a phone that names no time is given at most (RFC 3261 s10.2).
const EXPIRES_DEFAULT_S: u32 = 3600;

impl Adapter {
    /// A REGISTER from a phone.
    pub(crate) fn register(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        let mut registration = self.read_registration(message, &source);
        if let Some(id) = registration.binding {
            self.phone_spoke(now, id);
        }
        if registration.provider.is_some() && self.config.adapter.mode == Mode::Overlay {
            return self.register_here(now, server, message, source, registration);
        }
        // A further Contact is not ours to answer for.
        let alone = message.values(Name::Contact).count() == 1;
        if let Some(id) = registration
            .binding
            .filter(|id| alone && self.is_fresh(now, *id, &registration, &source))
        {
            self.counters.registrations_refreshed += 1;
            return self.answer_refresh(now, server, id, &registration);
        }
        let full = registration.binding.is_none()
            && registration.expires_s > 0
            && self.registrar.is_full();
        if full {
            self.counters.phones_refused_full += 1;
            log::warn!("phone {} refused: max_phones are registered", registration.aor);
            return self.refuse(now, server, 503);
        }
        let known = registration.binding.is_some() && registration.provider.is_some();
        let down = registration
            .provider
            .and_then(|at| self.providers.get(usize::from(at)))
            .is_some_and(|provider| !provider.is_up());
        if down && !known && self.known_down(registration.provider) {
            return self.refuse(now, server, 503);
        }
        if known {
            registration.shield_at = Some(if down { now } else { now + REGISTER_PATIENCE });
        }
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
        self.wait_for_target(now, id);
        self.pump_locator(now);
    }

    fn known_down(&self, provider: Option<u8>) -> bool {
        provider
            .and_then(|at| self.providers.get(usize::from(at)))
            .is_some_and(|provider| provider.state.state() == super::server::State::Down)
    }

    fn read_registration(&self, message: &Message<'_>, source: &Source) -> Registration {
        let to = message.to().map(|to| to.uri).unwrap_or_default();
        let provider = self.provider_of_uri(to);
        let aor = match provider {
            Some(_) => self.spell(provider, to).unwrap_or_default(),
            None => to.to_ascii_lowercase(),
        };
        let first = message.values(Name::Contact).next().unwrap_or_default();
        let wildcard = first.trim() == "*";
        let contact = NameAddr::parse(first).ok().filter(|_| !wildcard);
        let header = message.header(Name::Expires).and_then(delta_seconds);
        let parameter = contact.as_ref().and_then(|c| c.params.get("expires"));
        let expires_s = parameter.and_then(delta_seconds).or(header).unwrap_or(EXPIRES_DEFAULT_S);
        let instance = contact.as_ref().and_then(|c| c.params.get("+sip.instance"));
        let instance = instance.unwrap_or_default().to_owned();
        let contact = contact.map_or_else(String::new, |c| c.uri.to_owned());
        let binding = match contact.is_empty() && !wildcard {
            // A query (RFC 3261 s10.2.3) comes from where the phone registered.
            true => self.registrar.find(source.flow, Some(&aor)),
            false => self.registrar.same_phone(&aor, &instance, &contact, source.flow),
        };
        let wan_user = match binding.and_then(|id| self.registrar.get(id)) {
            Some(known) => known.wan_user.clone(),
            None => self.registrar.wan_user(&aor, &instance, &contact, source.flow),
        };
        Registration {
            aor,
            provider,
            contact,
            wildcard,
            instance,
            expires_s,
            wan_user,
            call_id: message.call_id().to_owned(),
            cseq: message.cseq().map_or(0, |(number, _)| number),
            binding,
            local: None,
            shield_at: None,
        }
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
            let provider = self.providers.get(usize::from(binding.provider));
            provider.is_some_and(|provider| provider.targets.serves(now, *target))
        });
        registration.expires_s > 0
            && !registration.contact.is_empty()
            && binding.is_refresh(source.flow, &registration.call_id, &registration.contact)
            && now < binding.forward_at
            && target.is_some()
    }

    /// Writes the REGISTER for the provider.
    pub(crate) fn compose_register(
        &mut self,
        id: ExchangeId,
        message: &Message<'_>,
        local: Local,
    ) -> Option<Vec<u8>> {
        let branch = self.transactions.branch();
        let own = self.own_addresses();
        let exchange = self.exchanges.get_mut(id)?;
        let source = exchange.source.flow.to.ip();
        let Purpose::Register(registration) = &mut exchange.purpose else { return None };
        registration.local = Some(local);
        let mut hosts: heapless::Vec<_, 2> = heapless::Vec::new();
        let _ = hosts.push(source);
        if let Some(ip) = super::names::uri_address(&registration.contact) {
            let _ = hosts.push(ip);
        }
        let uri = registration.wan_contact(local);
        let routed = Routed::new(message, |uri| crossing::is_own(uri, &own));
        let plan = RequestPlan {
            uri: message.request_uri(),
            local,
            branch: &branch,
            routes: Routes::Routed(&routed),
            record_route: None,
            keep_record_routes: true,
            contacts: Contacts::Replace { hosts: &hosts, uri: &uri },
            rename: None,
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
        let (answered, source) = (exchange.answered, exchange.source);
        let accepted_by = exchange.sent_to.map(|(_, flow)| flow.to);
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let known = registration.binding.is_some();
        match status {
            200..=299 => {
                self.registration_accepted(now, id, message, source, accepted_by);
            }
            500..=599 if self.leave_target(now, id) => return,
            500..=599 if known => {
                if !answered {
                    self.register_due(now, id);
                }
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

    fn registration_accepted(
        &mut self,
        now: Instant,
        id: ExchangeId,
        message: &Message<'_>,
        source: Source,
        accepted_by: Option<std::net::SocketAddr>,
    ) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let provider = registration.provider.unwrap_or(FOREIGN);
        let granted = registration.granted_s(message);
        if registration.wildcard || granted.is_none() {
            let everything = registration.wildcard || registration.expires_s == 0;
            let gone = self.bindings_ended_by(registration);
            return self.registrations_gone(now, &gone, everything);
        }
        if registration.contact.is_empty() {
            return;
        }
        let granted_s = granted.unwrap_or(0);
        let phone_s = match provider {
            FOREIGN => granted_s,
            _ => self.phone_expires_s(granted_s, registration.expires_s),
        };
        let registered = Registered {
            aor: registration.aor.clone(),
            provider,
            contact: registration.contact.clone(),
            wan_user: registration.wan_user.clone(),
            flow: source.flow,
            instance: registration.instance.clone(),
            call_id: registration.call_id.clone(),
            cseq: registration.cseq,
            granted_s,
            phone_s,
            accepted_by,
            aliases: self.aliases_in(provider, message, &registration.aor),
        };
        let unix_s = self.unix_now(now);
        match self.registrar.register(now, unix_s, registered) {
            Ok((binding, new)) => {
                self.publish(now, binding);
                self.persist.bindings_changed(now, new);
            }
            Err(_) => self.counters.phones_refused_full += 1,
        }
    }

    /// Addresses that the provider says are the phone's too: P-Associated-URI (RFC 3455).
    fn aliases_in(&self, provider: u8, message: &Message<'_>, aor: &str) -> Vec<String> {
        let mut aliases: Vec<String> = message
            .values(Name::PAssociatedUri)
            .filter_map(|value| NameAddr::parse(value).ok())
            .filter_map(|uri| self.spell(Some(provider), uri.uri))
            .filter(|alias| alias != aor)
            .collect();
        aliases.dedup();
        aliases.truncate(crate::limits::ALIASES_MAX - 1);
        aliases
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

impl Registration {
    /// Our Contact towards the provider.
    pub(crate) fn wan_contact(&self, local: Local) -> String {
        let at = if self.wan_user.is_empty() { "" } else { "@" };
        format!("sip:{}{at}{}{}", self.wan_user, local.host(), local.parameter())
    }

    /// Whether a Contact of the provider's 200 is the one that we gave it.
    pub(crate) fn is_ours(&self, uri: &str) -> bool {
        let Some(local) = self.local else { return false };
        let ours = self.wan_contact(local);
        match (crate::sip::Uri::parse(uri), crate::sip::Uri::parse(&ours)) {
            (Ok(a), Ok(b)) => {
                a.user == b.user
                    && a.host.eq_ignore_ascii_case(b.host)
                    && a.port.unwrap_or(5060) == b.port.unwrap_or(5060)
            }
            _ => false,
        }
    }

    /// The seconds that the provider granted our Contact; none where it lists none of ours.
    fn granted_s(&self, message: &Message<'_>) -> Option<u32> {
        let header = message.header(Name::Expires).and_then(delta_seconds);
        let ours = message
            .values(Name::Contact)
            .filter_map(|value| NameAddr::parse(value).ok())
            .find(|contact| self.is_ours(contact.uri))?;
        let parameter = ours.params.get("expires").and_then(delta_seconds);
        let granted = parameter.or(header).unwrap_or(self.expires_s);
        (granted > 0).then_some(granted)
    }
}

impl Binding {
    /// Every address under which the phone is found: its AOR and the aliases.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        core::iter::once(self.aor.as_str()).chain(self.aliases.iter().map(String::as_str))
    }
}
