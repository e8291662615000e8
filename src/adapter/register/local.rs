//! Mode `overlay`: there is no server, the registrar is here (CALLS §2.5).

use super::{Adapter, Registration};
use crate::adapter::credentials::secret;
use crate::adapter::inbound::Source;
use crate::adapter::registrar::Registered;
use crate::config::Account;
use crate::sip::Message;
use crate::sip::Name;
use crate::sip::digest::{Algorithm, Credentials, Verdict};
use crate::sip::transaction::ServerId;
use crate::time::Instant;

impl Adapter {
    /// Registers a phone that proves to know its account's password.
    pub(super) fn register_here(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
        registration: Registration,
    ) {
        let Some(account) = self.account_of(registration.provider, &registration.aor).cloned()
        else {
            return self.refuse(now, server, 403);
        };
        match self.verify(now, &account, message) {
            Verdict::Accepted => {}
            verdict => {
                let stale = matches!(verdict, Verdict::Stale);
                return self.challenge(now, server, &account, stale);
            }
        }
        let contact = registration.contact.clone();
        if registration.expires_s == 0 || registration.wildcard || contact.is_empty() {
            if registration.expires_s == 0 || registration.wildcard {
                let gone = self.bindings_ended_by(&registration);
                self.registrations_gone(now, &gone, true);
            }
            return self.accept_registration(now, server, "", 0);
        }
        let phone_s = self.phone_expires_s(u32::MAX, registration.expires_s);
        let provider = registration.provider.unwrap_or(0);
        let aliases = account
            .alias
            .iter()
            .filter_map(|alias| self.spell(Some(provider), alias))
            .take(crate::limits::ALIASES_MAX - 1)
            .collect();
        let registered = Registered {
            aor: registration.aor,
            known: registration.binding,
            provider,
            contact: registration.contact,
            wan_user: registration.wan_user,
            flow: source.flow,
            instance: registration.instance,
            mac: registration.mac,
            call_id: registration.call_id,
            cseq: registration.cseq,
            granted_s: phone_s,
            phone_s,
            accepted_by: None,
            aliases,
            answer: Vec::new(),
            template: Vec::new(),
        };
        let unix_s = self.unix_now(now);
        let Ok((binding, new)) = self.registrar.register(now, unix_s, registered) else {
            self.counters.phones_refused_full += 1;
            return self.refuse(now, server, 503);
        };
        self.publish(now, binding);
        self.persist.bindings_changed(now, new);
        self.accept_registration(now, server, &contact, phone_s);
    }

    fn verify(&mut self, now: Instant, account: &Account, message: &Message<'_>) -> Verdict {
        let given = message.values(Name::Authorization).find_map(|v| Credentials::parse(v).ok());
        match given {
            Some(credentials) => {
                let method = message.method().as_str();
                self.authenticator.verify(now, &credentials, method, &secret(account))
            }
            None => Verdict::Denied,
        }
    }

    /// SHA-256 is offered, before MD5, where the account names its hash: there are phones that give
    /// up at an algorithm that they do not know (libre before 2.0), though RFC 8760 has them look
    /// for the next.
    fn challenge(&mut self, now: Instant, server: ServerId, account: &Account, stale: bool) {
        let secret = secret(account);
        let mut offers: heapless::Vec<String, 2> = heapless::Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Md5] {
            let wanted = algorithm == Algorithm::Md5 || account.ha1_sha256.is_some();
            if wanted && secret.serves(algorithm) {
                let offer = self.authenticator.challenge(now, &account.realm, algorithm, stale);
                let _ = offers.push(offer.to_string());
            }
        }
        let extra: heapless::Vec<(Name, &dyn core::fmt::Display), 2> =
            offers.iter().map(|offer| (Name::WwwAuthenticate, offer as _)).collect();
        self.reply_with(now, server, 401, &extra);
    }
}
