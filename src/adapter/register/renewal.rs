//! With the credentials of an account the adapter registers a known phone by itself: at the
//! provider's half-life, and at once where address, connection or target changed (CALLS §2.2).
//!
//! What it sends is the phone's last REGISTER over again, so that the provider sees the same one
//! ordinary phone, but under a Call-ID of its own and with credentials of its own. Where the
//! provider does not take these, the phone's next REGISTER is forwarded as without an account.

mod write;

use super::Registration;
use crate::adapter::credentials::secret;
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::adapter::providers::ProviderId;
use crate::adapter::registrar::{BindingId, Renewed};
use crate::adapter::server::State;
use crate::adapter::ways::{Hop, Way};
use crate::adapter::{Adapter, ClientOwner, crossing};
use crate::config::{Account, Mode};
use crate::limits::{
    REGISTER_ANSWER_BYTES_MAX, REGISTER_TEMPLATE_BYTES_MAX, RENEWAL_CHALLENGES_MAX,
    RENEWAL_FAILURES_MAX, RENEWAL_WAIT, SERVER_TARGETS_MAX,
};
use crate::map::Map;
use crate::rng::Rng;
use crate::sip::digest::Session;
use crate::sip::transaction::{ClientId, TransactionError};
use crate::sip::{Message, Name, delta_seconds};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;
use write::{Own, write_own};

/// A REGISTER of our own on its way.
#[derive(Debug)]
pub(crate) struct Renewal {
    client: ClientId,
    binding: BindingId,
    pub(in crate::adapter) registration: Registration,
    /// The targets that it went to; the last one is being waited for.
    tried: heapless::Vec<SocketAddr, SERVER_TARGETS_MAX>,
    /// Challenges that were answered.
    challenges: u8,
}

/// All REGISTERs of our own.
pub(crate) struct Renewals {
    /// By the slot of the phone's registration.
    pub(in crate::adapter) running: Map<u32, Renewal>,
    /// What our Call-IDs are made from.
    key: [u8; 32],
}

impl Renewals {
    /// None on its way.
    pub(crate) fn new(rng: &mut Rng) -> Self {
        Self { running: Map::new(), key: rng.bytes() }
    }

    /// Whether this transaction is the one for this phone.
    pub(crate) fn is_running(&self, slot: u32, client: ClientId) -> bool {
        self.running.get(&slot).is_some_and(|renewal| renewal.client == client)
    }

    /// The provider that the one for this phone goes to, and its target.
    pub(crate) fn way(&self, slot: u32) -> (Option<ProviderId>, Option<SocketAddr>) {
        let renewal = self.running.get(&slot);
        let provider = renewal.and_then(|renewal| renewal.registration.provider);
        (provider, renewal.and_then(|renewal| renewal.tried.last().copied()))
    }
}

impl Adapter {
    /// What the adapter needs to repeat this REGISTER; empty where no account is for it.
    pub(super) fn template_of(
        &self,
        registration: &Registration,
        request: &Message<'_>,
    ) -> Vec<u8> {
        let serves = self.config.adapter.mode != Mode::Overlay
            && request.raw().len() <= REGISTER_TEMPLATE_BYTES_MAX
            && self.account_of(registration.provider, &registration.aor).is_some();
        if serves { request.raw().to_vec() } else { Vec::new() }
    }

    /// From here on the phone is registered without it, where an account is for it.
    pub(super) fn renew_by_ourselves(&mut self, id: BindingId) {
        if let Some(binding) = self.registrar.get(id).filter(|binding| binding.own.works()) {
            let at = binding.forward_at;
            self.registrar.renew_at(id, at);
        }
    }

    /// Our address changed: what is on its way will not be answered.
    pub(crate) fn forget_renewals(&mut self) {
        for renewal in core::mem::take(&mut self.renewals.running).values() {
            self.transactions.forget(renewal.client);
        }
    }

    /// Registers the phones whose time has come.
    pub(crate) fn renewals_due(&mut self, now: Instant) {
        while let Some(id) = self.registrar.pop_renewal(now) {
            match self.renewals.running.get(&id.slot()) {
                Some(running) if running.binding == id => self.renewal_silent(now, id),
                _ => self.renew(now, id, heapless::Vec::new()),
            }
        }
    }

    /// Sends a REGISTER to a target that was not tried.
    fn renew(
        &mut self,
        now: Instant,
        id: BindingId,
        tried: heapless::Vec<SocketAddr, SERVER_TARGETS_MAX>,
    ) {
        self.renewals.running.remove(&id.slot());
        let usable = self.config.adapter.mode != Mode::Overlay;
        let Some(binding) = self.registrar.get(id).filter(|b| usable && b.registered) else {
            return;
        };
        let template = binding.own.template.clone();
        let (aor, flow, accepted) = (binding.aor.clone(), binding.flow, binding.accepted_by);
        let (Some(provider), wan_user) = (binding.provider, binding.wan_user.clone()) else {
            return;
        };
        let Some(account) = self.account_of(Some(provider), &aor).cloned() else { return };
        let Ok(message) = Message::parse(&template) else { return };
        let state = self.providers.get_mut(provider).map(|p| &mut p.state);
        if state.is_some_and(|state| state.state() != State::Up && !state.may_ask(now)) {
            return self.renew_later(now, id);
        }
        let next = self.target_for(now, provider, (flow, accepted), &tried);
        let owner = ClientOwner::Renewal(id.slot());
        let way = self.way_to_server(now, owner, Hop::Target(next), Some(flow), &message);
        let (Way::Ready(wan, local), Some(target)) = (way, next) else {
            return match way {
                // It stands by then.
                Way::Dialing(_) => self.registrar.renew_at(id, now + RENEWAL_WAIT),
                _ => {
                    self.renewal_failed(id);
                    self.renew_later(now, id);
                }
            };
        };
        let lan = self.local_of(flow).unwrap_or(local);
        let source = Source { path: Path::Lan, flow, local: lan };
        let mut registration = self.read_registration(now, &message, &source, None);
        (registration.local, registration.binding) = (Some(local), Some(id));
        registration.wan_user = wan_user;
        let Some(bytes) = self.write_renewal(id, &mut registration, &account, &message) else {
            return;
        };
        let Ok(client) = self.transactions.send_request(now, wan, &bytes, owner.encode()) else {
            return self.renew_later(now, id);
        };
        if self.providers.state_of(provider) != State::Up {
            self.transactions.stop_retransmitting(client);
        }
        self.server_asked(now, Some(provider), target.addr, owner.encode());
        self.counters.registrations_renewed += 1;
        let mut renewal = Renewal { client, binding: id, registration, tried, challenges: 0 };
        let _ = renewal.tried.push(target.addr);
        if let Some(at) = self.next_target_due(now, provider, (flow, accepted), &renewal.tried) {
            self.registrar.renew_at(id, at);
        }
        self.renewals.running.insert(id.slot(), renewal);
    }

    /// Writes the REGISTER, with credentials where a challenge was seen before.
    fn write_renewal(
        &mut self,
        id: BindingId,
        registration: &mut Registration,
        account: &Account,
        template: &Message<'_>,
    ) -> Option<Vec<u8>> {
        let cnonce = format!("{:08x}", self.rng.next_u32());
        let call_id = self.own_call_id(&registration.aor, &registration.instance);
        let own = &mut self.registrar.get_mut(id)?.own;
        own.cseq += 1;
        registration.expires_s = registration.expires_s.max(own.expires_min_s);
        let (secret, uri) = (secret(account), template.request_uri());
        let credentials = own
            .session
            .as_mut()
            .and_then(|session| session.credentials(&secret, "REGISTER", uri, &cnonce));
        let expires_s = registration.expires_s;
        let own = Own { call_id: &call_id, cseq: own.cseq, expires_s, credentials };
        let bytes = crossing::write(|out| write_own(template, &registration.contact, &own, out))?;
        let source = self.registrar.get(id)?.flow.to.ip();
        let message = Message::parse(&bytes).ok()?;
        self.write_register(&message, registration, registration.local?, source)
    }

    /// The Call-ID of our REGISTERs for a phone: the same as long as this process runs, so that
    /// their numbers count up; another one after that.
    fn own_call_id(&self, aor: &str, instance: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.renewals.key);
        hasher.update(aor.as_bytes()).update(&[0]).update(instance.as_bytes());
        let [a, b, c, d, e, f, g, h, ..] = *hasher.finalize().as_bytes();
        format!("{:016x}", u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }

    /// A response to a REGISTER of our own.
    pub(crate) fn renewal_answered(
        &mut self,
        now: Instant,
        slot: u32,
        client: ClientId,
        message: &Message<'_>,
    ) {
        let status = message.status();
        if status < 200 || self.renewals.running.get(&slot).is_none_or(|r| r.client != client) {
            return;
        }
        let Some(renewal) = self.renewals.running.remove(&slot) else { return };
        let id = renewal.binding;
        match status {
            200..=299 => self.renewal_accepted(now, renewal, message),
            401 | 407 => self.renewal_challenged(now, renewal, message),
            423 => match message.header(Name::MinExpires).and_then(delta_seconds) {
                Some(min_s) if self.asks_too_little(id, min_s) => self.renew_again(now, renewal),
                _ => self.renewal_refused(now, id, status),
            },
            500..=599 => {
                let (provider, last) =
                    (renewal.registration.provider, renewal.tried.last().copied());
                if self.another_target(now, &renewal) {
                    if let Some(last) = last {
                        self.target_silent(now, provider, last);
                    }
                    return self.renew(now, id, renewal.tried);
                }
                let at = self.asked_again_at(now, message);
                self.renewal_failed(id);
                self.registrar.renew_at(id, at);
            }
            _ => self.renewal_refused(now, id, status),
        }
    }

    fn renewal_accepted(&mut self, now: Instant, renewal: Renewal, message: &Message<'_>) {
        let (id, registration) = (renewal.binding, &renewal.registration);
        let Some(granted_s) = registration.granted_s(message) else {
            return self.renewal_refused(now, id, message.status());
        };
        let Some(binding) = self.registrar.get_mut(id) else { return };
        if let Some(session) = &mut binding.own.session {
            session.accepted(message);
        }
        let (template, source) = (binding.own.template.clone(), binding.flow.to);
        let answer = Message::parse(&template)
            .ok()
            .and_then(|request| self.phone_answer(&request, source, registration, message))
            .filter(|answer| answer.len() <= REGISTER_ANSWER_BYTES_MAX);
        let (accepted_by, answer) = (renewal.tried.last().copied(), answer.unwrap_or_default());
        let unix_s = self.unix_now(now);
        let renewed = Renewed { granted_s, accepted_by, answer };
        self.registrar.renewed(now, unix_s, id, renewed);
        self.persist.bindings_changed(now, false);
    }

    fn renewal_challenged(&mut self, now: Instant, renewal: Renewal, message: &Message<'_>) {
        let (id, provider) = (renewal.binding, renewal.registration.provider);
        let Some(account) = self.account_of(provider, &renewal.registration.aor).cloned() else {
            return;
        };
        let Some(own) = self.registrar.get_mut(id).map(|binding| &mut binding.own) else { return };
        let challenged = Session::challenged(message, &secret(&account));
        let wrong = match (&own.session, &challenged) {
            (Some(before), Some(session)) => before.is_same(session),
            _ => challenged.is_none(),
        };
        own.session = challenged;
        if wrong || renewal.challenges >= RENEWAL_CHALLENGES_MAX {
            own.session = None;
            return self.renewal_refused(now, id, message.status());
        }
        let again = Renewal { challenges: renewal.challenges + 1, ..renewal };
        self.renew_again(now, again);
    }

    /// Sends the REGISTER to the same target again, under the next number.
    fn renew_again(&mut self, now: Instant, mut renewal: Renewal) {
        let (id, challenges) = (renewal.binding, renewal.challenges);
        renewal.tried.pop();
        self.renew(now, id, renewal.tried);
        if let Some(running) = self.renewals.running.get_mut(&id.slot()) {
            running.challenges = challenges;
        }
    }

    /// The provider does not take what the account says, or what the phone asks for: its own
    /// REGISTER is forwarded next, and hears why.
    fn renewal_refused(&mut self, now: Instant, id: BindingId, status: u16) {
        self.counters.accounts_refused += 1;
        let Some(binding) = self.registrar.get_mut(id) else { return };
        log::warn!("account {}: the provider answers {status}", binding.aor);
        binding.own.refused = true;
        binding.forward_at = now;
    }

    /// Whether the provider's shortest time is longer than what was asked for; if so, it is noted.
    fn asks_too_little(&mut self, id: BindingId, min_s: u32) -> bool {
        let Some(own) = self.registrar.get_mut(id).map(|binding| &mut binding.own) else {
            return false;
        };
        let less = own.expires_min_s < min_s;
        own.expires_min_s = min_s;
        less
    }

    /// The transaction of a REGISTER of our own failed.
    pub(crate) fn renewal_transport(
        &mut self,
        now: Instant,
        slot: u32,
        client: ClientId,
        error: TransactionError,
    ) {
        if self.renewals.running.get(&slot).is_none_or(|renewal| renewal.client != client) {
            return;
        }
        let Some(renewal) = self.renewals.running.remove(&slot) else { return };
        let id = renewal.binding;
        self.renewal_failed(id);
        if error == TransactionError::Transport && self.another_target(now, &renewal) {
            return self.renew(now, id, renewal.tried);
        }
        self.renew_later(now, id);
    }

    /// The target of a REGISTER of our own is silent, and there is another one.
    fn renewal_silent(&mut self, now: Instant, id: BindingId) {
        let Some(renewal) = self.renewals.running.remove(&id.slot()) else { return };
        self.transactions.stop_retransmitting(renewal.client);
        if let Some(last) = renewal.tried.last() {
            self.target_silent(now, renewal.registration.provider, *last);
        }
        self.renewal_failed(id);
        self.renew(now, id, renewal.tried);
    }

    fn another_target(&self, now: Instant, renewal: &Renewal) -> bool {
        let registration = &renewal.registration;
        let next = |provider| self.next_target(now, provider, None, &renewal.tried);
        registration.provider.and_then(next).is_some()
    }

    fn renewal_failed(&mut self, id: BindingId) {
        if let Some(binding) = self.registrar.get_mut(id) {
            binding.own.failures = (binding.own.failures + 1).min(RENEWAL_FAILURES_MAX);
        }
    }

    /// Tries again at 1, 2, 4 … s.
    fn renew_later(&mut self, now: Instant, id: BindingId) {
        let failures = self.registrar.get(id).map_or(0, |binding| binding.own.failures);
        let wait = RENEWAL_WAIT * 2_u32.pow(failures.into());
        let at = now + wait + self.rng.jitter(wait) - Duration::from_millis(500);
        self.registrar.renew_at(id, at);
    }
}
