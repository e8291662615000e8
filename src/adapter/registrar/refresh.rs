//! How registrations go on: refreshes answered from here, and when the server is asked again.

use super::{Asked, Binding, BindingId, Registrar};
use crate::adapter::providers::ProviderId;
use crate::limits::{
    PHONE_REFUSED_AGAIN, PHONE_REFUSED_FORGOTTEN, RECOVERY_SPREAD, REGISTRATION_GRACE, RENEWAL_GAP,
};
use crate::net::Via;
use crate::rng::Rng;
use crate::sip::transaction::Flow;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// What a provider granted to a REGISTER of the adapter's own.
#[derive(Clone, Debug)]
pub struct Renewed {
    /// Seconds that the provider granted.
    pub granted_s: u32,
    /// The target that accepted it.
    pub accepted_by: Option<SocketAddr>,
    /// The 200 as the phone would see it.
    pub answer: Vec<u8>,
}

/// A REGISTER of a known phone that was answered without its server.
#[derive(Clone, Copy, Debug)]
pub struct Shielded<'a> {
    /// Where it came from.
    pub flow: Flow,
    /// The Contact URI, exactly.
    pub contact: &'a str,
    /// Its Call-ID: another one, where the phone has started anew.
    pub call_id: &'a str,
    /// Seconds that the phone was given.
    pub given_s: u32,
    /// Its place among the phone's REGISTERs.
    pub asked: Asked,
}

impl Registrar {
    /// A refresh was answered from the last 200.
    pub fn refresh(&mut self, now: Instant, id: BindingId, given_s: u32, asked: Asked) {
        let Some(binding) = self.table.get_mut(id) else { return };
        binding.expires_at = now + Duration::from_secs(u64::from(given_s));
        binding.asked = asked;
        self.expiry.set(id.slot(), binding.expires_at + REGISTRATION_GRACE);
    }

    /// A known phone was answered without its server, which is asked again at `forward_at`.
    pub fn shield(
        &mut self,
        now: Instant,
        unix_s: u64,
        id: BindingId,
        shielded: &Shielded<'_>,
        forward_at: Instant,
    ) {
        self.unlink(id);
        if let Some(binding) = self.table.get_mut(id) {
            binding.flow = shielded.flow;
            binding.contact = shielded.contact.to_owned();
            binding.call_id = shielded.call_id.to_owned();
            binding.registered = true;
            binding.forward_at = forward_at;
            binding.known_since_s = unix_s.max(binding.known_since_s);
        }
        self.link(id);
        self.refresh(now, id, shielded.given_s, shielded.asked);
    }

    /// A phone took leave.
    pub fn leave(&mut self, id: BindingId, asked: Asked) {
        self.expire(id);
        if let Some(binding) = self.table.get_mut(id) {
            binding.asked = asked;
        }
    }

    /// A live provider refused the phone. True when that happened twice, a minute apart.
    pub fn refused(&mut self, now: Instant, id: BindingId) -> bool {
        let Some(binding) = self.table.get_mut(id) else { return false };
        match binding.refused_at {
            Some(first) if now.since(first) > PHONE_REFUSED_FORGOTTEN => {
                binding.refused_at = Some(now);
                false
            }
            Some(first) => now.since(first) >= PHONE_REFUSED_AGAIN,
            None => {
                binding.refused_at = Some(now);
                false
            }
        }
    }

    /// Forgets phones that no provider accepted for `survive_days`.
    pub fn forget_old(&mut self, unix_s: u64, survive_days: u16) {
        let limit_s = u64::from(survive_days) * 86_400;
        let old: Vec<BindingId> = self
            .table
            .iter()
            .filter(|(_, b)| !b.registered && unix_s > b.known_since_s.saturating_add(limit_s))
            .map(|(id, _)| id)
            .collect();
        for id in old {
            self.remove(id);
        }
    }

    /// The wall clock jumped forward when it was set: what was noted before `unset_s` was noted
    /// on the clock of 1970, and is no older for the jump.
    pub fn clock_set(&mut self, jump_s: u64, unset_s: u64) {
        for (_, binding) in self.table.iter_mut().filter(|(_, b)| b.known_since_s < unset_s) {
            binding.known_since_s = binding.known_since_s.saturating_add(jump_s);
        }
    }

    /// Our WAN address changed: the next refresh of every phone is forwarded, and who can be
    /// registered without its phone is, one shortly after another.
    pub fn address_changed(&mut self, now: Instant) {
        self.forward_all(now, |_| true);
    }

    /// The connection to a server that a phone's registration depends on is gone.
    pub fn connection_lost(&mut self, now: Instant, phone: SocketAddr, server: SocketAddr) {
        self.forward_all(now, |b| b.flow.to == phone && b.accepted_by == Some(server));
    }

    /// A target failed, and another one serves the phones that it had accepted.
    pub fn target_lost(&mut self, now: Instant, server: SocketAddr) {
        self.forward_all(now, |binding| binding.accepted_by == Some(server));
    }

    fn forward_all(&mut self, now: Instant, of: impl Fn(&Binding) -> bool) {
        let mut at = now;
        for (id, binding) in self.table.iter_mut().filter(|(_, binding)| of(binding)) {
            binding.forward_at = Instant::ZERO;
            if binding.registered && binding.own.works() {
                self.renewals.set(id.slot(), at);
                at += RENEWAL_GAP;
            }
        }
    }

    /// A server came back: the next REGISTER of each of its phones is forwarded, spread over time.
    /// What was due during the outage is no more urgent: all adapters would hurry at once. Nor are
    /// short registrations, which are renewed within their half-life anyway, kept from it, nor
    /// those that would run out meanwhile.
    pub fn spread_refreshes(&mut self, now: Instant, provider: ProviderId, rng: &mut Rng) {
        for (id, binding) in self.table.iter_mut().filter(|(_, b)| b.provider == Some(provider)) {
            let granted = Duration::from_secs(u64::from(binding.granted_s));
            let left = Some(binding.granted_until.since(now)).filter(|left| !left.is_zero());
            let span = RECOVERY_SPREAD.min(left.unwrap_or(granted) / 2);
            let span_ms = (span.as_millis() as u32).max(1);
            let at = now + Duration::from_millis(u64::from(rng.below(span_ms)));
            let due = binding.forward_at <= now;
            binding.forward_at = if due { at } else { binding.forward_at.min(at) };
            if binding.registered && binding.own.works() {
                self.renewals.set(id.slot(), binding.forward_at);
            }
        }
    }

    /// A phone does not answer.
    pub fn fell_silent(&mut self, id: BindingId) {
        if let Some(binding) = self.table.get_mut(id) {
            binding.silent = true;
            self.any_silent = true;
        }
    }

    /// A silent phone that sends on this flow.
    pub fn silent_on(&mut self, flow: Flow) -> Option<BindingId> {
        if !self.any_silent {
            return None;
        }
        let mut silent = self.table.iter().filter(|(_, binding)| binding.silent).peekable();
        self.any_silent = silent.peek().is_some();
        silent.find(|(_, binding)| binding.sends_on(flow)).map(|(id, _)| id)
    }

    /// The adapter registers this phone by itself at this instant.
    pub fn renew_at(&mut self, id: BindingId, at: Instant) {
        self.renewals.set(id.slot(), at);
    }

    /// A phone whose time has come to be registered without it.
    pub fn pop_renewal(&mut self, now: Instant) -> Option<BindingId> {
        let slot = self.renewals.pop_due(now)?;
        self.table.id_at(slot)
    }

    /// The provider accepted what the adapter registered by itself for this phone.
    pub fn renewed(&mut self, now: Instant, unix_s: u64, id: BindingId, renewed: Renewed) {
        let Some(binding) = self.table.get_mut(id) else { return };
        let granted = Duration::from_secs(u64::from(renewed.granted_s));
        binding.granted_s = renewed.granted_s;
        binding.granted_until = now + granted;
        binding.forward_at = now + granted / 2;
        binding.accepted_by = renewed.accepted_by;
        binding.answer = renewed.answer.into();
        binding.known_since_s = unix_s.max(binding.known_since_s);
        binding.refused_at = None;
        binding.own.failures = 0;
        self.renewals.set(id.slot(), binding.forward_at);
    }

    /// A connection to a phone stands again.
    pub fn reconnected(&mut self, to: SocketAddr, flow: Flow) {
        for (_, binding) in self.table.iter_mut() {
            if binding.contact_address() == Some(to) && matches!(binding.flow.via, Via::Stream(_)) {
                binding.flow = flow;
            }
        }
    }
}
