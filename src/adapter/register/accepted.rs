//! What a provider's 200 to a REGISTER changes: the phone is registered, or is so no more.

use crate::adapter::Adapter;
use crate::adapter::exchange::{ExchangeId, Purpose};
use crate::adapter::inbound::Source;
use crate::adapter::registrar::{FOREIGN, Registered};
use crate::limits::REGISTER_ANSWER_BYTES_MAX;
use crate::sip::{Message, Name, NameAddr};
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// The provider's 200 to a phone's REGISTER.
    pub(super) fn registration_accepted(
        &mut self,
        now: Instant,
        id: ExchangeId,
        message: &Message<'_>,
        source: Source,
        accepted_by: Option<SocketAddr>,
    ) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Purpose::Register(registration) = &exchange.purpose else { return };
        if registration.query {
            return;
        }
        let provider = registration.provider.unwrap_or(FOREIGN);
        let granted = registration.granted_s(message);
        if registration.wildcard || granted.is_none() {
            let everything = registration.wildcard || registration.expires_s == 0;
            let gone = self.bindings_ended_by(registration);
            return self.registrations_gone(now, &gone, everything);
        }
        let granted_s = granted.unwrap_or(0);
        let phone_s = match provider {
            FOREIGN => granted_s,
            _ => self.phone_expires_s(granted_s, registration.expires_s),
        };
        let (answer, template) = match Message::parse(&exchange.request) {
            Ok(request) => (
                self.phone_answer(&request, source.flow.to, registration, message),
                self.template_of(registration, &request),
            ),
            Err(_) => return,
        };
        let answer = answer.filter(|answer| answer.len() <= REGISTER_ANSWER_BYTES_MAX);
        let registered = Registered {
            aor: registration.aor.clone(),
            known: registration.binding,
            provider,
            contact: registration.contact.clone(),
            wan_user: registration.wan_user.clone(),
            flow: source.flow,
            instance: registration.instance.clone(),
            mac: registration.mac,
            call_id: registration.call_id.clone(),
            cseq: registration.cseq,
            granted_s,
            phone_s,
            accepted_by,
            aliases: self.aliases_in(provider, message, &registration.aor),
            answer: answer.unwrap_or_default(),
            template,
        };
        let unix_s = self.unix_now(now);
        match self.registrar.register(now, unix_s, registered) {
            Ok((binding, new)) => {
                self.renew_by_ourselves(binding);
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
}
