//! What a provider's 200 to a REGISTER changes: the phone is registered, or is so no more.

use super::Registration;
use crate::adapter::Adapter;
use crate::adapter::exchange::{Exchange, ExchangeId, Purpose};
use crate::adapter::providers::ProviderId;
use crate::adapter::registrar::{Accepted, BindingId};
use crate::limits::REGISTER_ANSWER_BYTES_MAX;
use crate::sip::{Message, Name, NameAddr};
use crate::time::Instant;

/// One Contact of a REGISTER, with what the provider granted it.
struct Granted<'a> {
    contact: &'a str,
    wan_user: &'a str,
    known: Option<BindingId>,
    granted_s: u32,
    phone_s: u32,
}

impl Adapter {
    /// The provider's 200 to a phone's REGISTER. The first Contact takes the place that the phone
    /// had before its restart, and further ones stand beside it.
    pub(super) fn registration_accepted(
        &mut self,
        now: Instant,
        id: ExchangeId,
        message: &Message<'_>,
    ) {
        self.first_accepted(now, id, message);
        self.further_accepted(now, id, message);
    }

    fn first_accepted(&mut self, now: Instant, id: ExchangeId, message: &Message<'_>) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Purpose::Register(registration) = &exchange.purpose else { return };
        if registration.query {
            return;
        }
        let granted = registration.granted_s(message);
        if registration.wildcard || granted.is_none() {
            let everything = registration.wildcard || registration.expires_s == 0;
            let (phone, asked) = (registration.binding, registration.asked);
            let gone = self.bindings_ended_by(registration);
            self.registrations_gone(now, &gone, everything.then_some(asked));
            // The provider has forgotten what the phone has asked for since.
            let lost = phone.filter(|id| !gone.contains(id) && self.is_outdated(phone, asked));
            return self.registrations_gone(now, lost.as_slice(), None);
        }
        let first = Granted {
            contact: &registration.contact,
            wan_user: &registration.wan_user,
            known: registration.binding,
            granted_s: granted.unwrap_or(0),
            phone_s: self.given_s(registration, granted.unwrap_or(0), registration.expires_s),
        };
        let Some(accepted) = self.accepted(exchange, &first, message) else { return };
        self.take_in(now, accepted);
    }

    /// The same for the further Contacts of that REGISTER.
    fn further_accepted(&mut self, now: Instant, id: ExchangeId, message: &Message<'_>) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let asked = registration.asked;
        let (mut accepted, mut gone) = (Vec::new(), Vec::new());
        for further in &registration.further {
            let asked_s = further.expires_s;
            match registration.granted_to(&further.wan_user, asked_s, message) {
                Some(granted_s) if asked_s > 0 => {
                    let granted = Granted {
                        contact: &further.contact,
                        wan_user: &further.wan_user,
                        known: further.binding,
                        granted_s,
                        phone_s: self.given_s(registration, granted_s, asked_s),
                    };
                    accepted.extend(self.accepted(exchange, &granted, message));
                }
                _ => gone.extend(further.binding.map(|binding| (binding, asked_s == 0))),
            }
        }
        for (binding, wanted) in gone {
            let leave = wanted && !self.is_outdated(Some(binding), asked);
            self.registrations_gone(now, &[binding], leave.then_some(asked));
        }
        for further in accepted {
            self.take_in(now, further);
        }
    }

    /// Seconds that the phone is given.
    fn given_s(&self, registration: &Registration, granted_s: u32, asked_s: u32) -> u32 {
        match registration.provider {
            Some(_) => self.phone_expires_s(granted_s, asked_s),
            None => granted_s,
        }
    }

    /// What is kept of a Contact that the provider has accepted.
    fn accepted(
        &self,
        exchange: &Exchange,
        granted: &Granted<'_>,
        message: &Message<'_>,
    ) -> Option<Accepted> {
        let Purpose::Register(registration) = &exchange.purpose else { return None };
        let flow = exchange.source.flow;
        let request = Message::parse(&exchange.request).ok()?;
        let answer = self.phone_answer(&request, flow.to, registration, message);
        Some(Accepted {
            aor: registration.aor.clone(),
            known: granted.known,
            provider: registration.provider,
            contact: granted.contact.to_owned(),
            wan_user: granted.wan_user.to_owned(),
            flow,
            instance: registration.instance.clone(),
            mac: registration.mac,
            call_id: registration.call_id.clone(),
            asked: registration.asked,
            granted_s: granted.granted_s,
            phone_s: granted.phone_s,
            accepted_by: exchange.sent_to.map(|(_, flow)| flow.to),
            aliases: self.aliases_in(registration.provider, message, &registration.aor),
            answer: answer
                .filter(|answer| answer.len() <= REGISTER_ANSWER_BYTES_MAX)
                .unwrap_or_default(),
            template: self.template_of(registration, &request),
        })
    }

    /// Takes an accepted Contact in. Who had it before at this host and was another device is gone.
    /// False where there is no room.
    pub(super) fn take_in(&mut self, now: Instant, accepted: Accepted) -> bool {
        let phone = accepted.known.or_else(|| self.registrar.same_phone(&accepted.applicant()));
        let asked = accepted.asked;
        if self.is_outdated(phone, asked) {
            return true;
        }
        let Some(binding) = self.enter_phone(now, accepted) else { return false };
        self.renew_by_ourselves(binding);
        let displaced = self.registrar.displaced_by(binding);
        if !displaced.is_empty() {
            self.registrations_gone(now, &displaced, Some(asked));
        }
        true
    }

    /// Writes a phone down whose REGISTER was accepted, by its provider or here. None where there
    /// is no room.
    fn enter_phone(&mut self, now: Instant, accepted: Accepted) -> Option<BindingId> {
        let unix_s = self.unix_now(now);
        let phone = accepted.known.or_else(|| self.registrar.same_phone(&accepted.applicant()));
        let before = phone.and_then(|id| self.registrar.get(id));
        let was_here = before.is_some_and(|binding| binding.registered);
        let before: Vec<String> =
            before.iter().flat_map(|b| b.addresses()).map(str::to_owned).collect();
        let Ok((binding, new)) = self.registrar.enter(now, unix_s, accepted) else {
            self.counters.phones_refused_full += 1;
            return None;
        };
        self.phone_is_here(now, binding);
        if !was_here {
            self.look_soon_for_missing(now);
        }
        self.withdraw_unused(now, &before);
        self.persist.bindings_changed(now, new);
        Some(binding)
    }

    /// Addresses that the provider says are the phone's too: P-Associated-URI (RFC 3455).
    fn aliases_in(
        &self,
        provider: Option<ProviderId>,
        message: &Message<'_>,
        aor: &str,
    ) -> Vec<String> {
        let mut aliases: Vec<String> = message
            .values(Name::PAssociatedUri)
            .filter_map(|value| NameAddr::parse(value).ok())
            .filter_map(|uri| self.spell(provider, uri.uri))
            .filter(|alias| alias != aor)
            .collect();
        aliases.dedup();
        aliases.truncate(crate::limits::ALIASES_MAX - 1);
        aliases
    }
}
