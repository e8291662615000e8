//! Registrations that end before their time: where the provider holds no Contact of ours any more,
//! and where it refuses the phone (CALLS §2.2, §2.4).

use super::Registration;
use crate::adapter::Adapter;
use crate::adapter::exchange::{ExchangeId, Purpose};
use crate::adapter::registrar::{Asked, Binding, BindingId};
use crate::adapter::server::State;
use crate::limits::{LOST_PLACE_AGE, LOST_PLACE_SPREAD};
use crate::time::{Duration, Instant};

impl Adapter {
    /// The bindings that a REGISTER ends whose answer names none of our Contacts. An answer may be
    /// late: a phone that has registered again since goes on. So does one whose REGISTERs came in
    /// another order than they were sent (RFC 3261 s10.3, step 7).
    pub(super) fn bindings_ended_by(&self, registration: &Registration) -> Vec<BindingId> {
        let Registration { contact, call_id, asked, .. } = registration;
        // Where the phone wanted to stay, nothing of its address is known to be there.
        let all = contact.is_empty() || (!registration.wildcard && registration.expires_s > 0);
        let is_ended = |binding: &Binding| {
            let counted_on = binding.call_id == *call_id && binding.asked.cseq > asked.cseq;
            let renewed = counted_on || binding.has_asked_since(*asked);
            !renewed && (all || binding.contact == *contact)
        };
        let bindings = self.registrar.by_aor(&registration.aor);
        bindings.filter(|id| self.registrar.get(*id).is_some_and(is_ended)).collect()
    }

    /// Whether the phone has said something else since this REGISTER.
    pub(super) fn is_outdated(&self, phone: Option<BindingId>, asked: Asked) -> bool {
        let phone = phone.and_then(|id| self.registrar.get(id));
        phone.is_some_and(|binding| binding.has_asked_since(asked))
    }

    /// The provider holds no Contact of these phones any more. They are gone by the REGISTER that
    /// took leave; without one they have lost their place, and ask for it again.
    pub(super) fn registrations_gone(
        &mut self,
        now: Instant,
        gone: &[BindingId],
        leave: Option<Asked>,
    ) {
        for id in gone.iter().copied() {
            if let Some(asked) = leave {
                self.unpublish(now, id);
                self.registrar.leave(id, asked);
            } else if let Some(binding) = self.registrar.get_mut(id) {
                binding.forward_at = now;
                binding.answer = Box::default();
            }
        }
        self.persist.bindings_changed(now, false);
    }

    /// A live server acts as if it did not know a phone: perhaps it was restarted, too fast to be
    /// missed, and has lost its table. The phone is registered again, or its next REGISTER
    /// forwarded: once for each grant, so that what was a mistake costs little. Where it has
    /// granted nothing, it has nothing to lose, and is asked when it wants to be.
    pub(crate) fn registration_doubted(&mut self, now: Instant, id: BindingId) {
        let Some(binding) = self.registrar.get(id).filter(|b| b.registered) else { return };
        let granted_at = binding.granted_until - Duration::from_secs(binding.granted_s.into());
        let due = binding.forward_at <= now || binding.granted_until <= now;
        let up = self.providers.state_of(binding.provider) == State::Up;
        if due || !up || now < granted_at + LOST_PLACE_AGE {
            return;
        }
        let works = binding.own.works();
        if let Some(binding) = self.registrar.get_mut(id) {
            binding.forward_at = now;
        }
        if works {
            let at = now + self.rng.jitter(LOST_PLACE_SPREAD);
            self.registrar.renew_at(id, at);
        }
        self.counters.registrations_doubted += 1;
    }

    /// A 403 or 404 of a live provider, seen twice a minute apart, makes a phone forgotten.
    pub(super) fn registration_refused(&mut self, now: Instant, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let Some(binding) = registration.binding else { return };
        if self.registrar.refused(now, binding) {
            log::info!("phone {} forgotten: its provider refuses it", registration.aor);
            self.unpublish(now, binding);
            self.registrar.remove(binding);
            self.persist.bindings_changed(now, false);
        }
    }
}
