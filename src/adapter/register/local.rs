//! Mode `overlay`: there is no server, the registrar is here (CALLS §2.5).

use super::{Adapter, Further, Registration};
use crate::adapter::credentials::secret;
use crate::adapter::inbound::Source;
use crate::adapter::providers::ProviderId;
use crate::adapter::registrar::{Accepted, BindingId};
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
        if registration.query {
            return self.list_contacts(now, server, &registration.aor);
        }
        self.end_further(now, &registration);
        let first = registration.contact.as_str();
        if registration.expires_s == 0 || registration.wildcard || first.is_empty() {
            if registration.expires_s == 0 || registration.wildcard {
                let gone = self.bindings_ended_by(&registration);
                self.registrations_gone(now, &gone, Some(registration.asked));
            }
            return self.accept_registration(now, server, "", 0);
        }
        let first = Further {
            contact: registration.contact.clone(),
            wan_user: registration.wan_user.clone(),
            expires_s: registration.expires_s,
            binding: registration.binding,
        };
        let further = registration.further.iter().filter(|f| f.expires_s > 0);
        let mut contacts = Vec::new();
        for contact in core::iter::once(&first).chain(further) {
            let phone_s = self.phone_expires_s(u32::MAX, contact.expires_s);
            contacts.push(format!("<{}>;expires={phone_s}", contact.contact));
            let accepted = local_registration(&registration, contact, phone_s, source);
            let aliases = self.aliases_of_account(accepted.provider, &account);
            let accepted = Accepted { aliases, ..accepted };
            if !self.take_in(now, accepted) {
                return self.refuse(now, server, 503);
            }
        }
        self.reply_with(now, server, 200, &[(Name::Contact, &contacts.join(", "))]);
    }

    /// Tells what is registered under an address (RFC 3261 s10.2.3).
    fn list_contacts(&mut self, now: Instant, server: ServerId, aor: &str) {
        let bindings = self.registrar.by_aor(aor).filter_map(|id| self.registrar.get(id));
        let contacts: Vec<String> = bindings
            .filter(|binding| binding.aor == aor)
            .map(|b| format!("<{}>;expires={}", b.contact, b.expires_at.since(now).as_secs()))
            .collect();
        let contacts = contacts.join(", ");
        let header: (Name, &dyn core::fmt::Display) = (Name::Contact, &contacts);
        let headers = [header];
        self.reply_with(now, server, 200, if contacts.is_empty() { &[] } else { &headers });
    }

    /// Further Contacts that the phone takes back.
    fn end_further(&mut self, now: Instant, registration: &Registration) {
        let gone = registration.further.iter().filter(|f| f.expires_s == 0);
        let gone: Vec<BindingId> = gone.filter_map(|f| f.binding).collect();
        self.registrations_gone(now, &gone, Some(registration.asked));
    }

    fn aliases_of_account(&self, provider: Option<ProviderId>, account: &Account) -> Vec<String> {
        let spelled = account.alias.iter().filter_map(|alias| self.spell(provider, alias));
        spelled.take(crate::limits::ALIASES_MAX - 1).collect()
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

/// What is kept of a Contact that nobody but this adapter has accepted.
fn local_registration(
    registration: &Registration,
    contact: &Further,
    phone_s: u32,
    source: Source,
) -> Accepted {
    Accepted {
        aor: registration.aor.clone(),
        known: contact.binding,
        provider: registration.provider,
        contact: contact.contact.clone(),
        wan_user: contact.wan_user.clone(),
        flow: source.flow,
        instance: registration.instance.clone(),
        mac: registration.mac,
        call_id: registration.call_id.clone(),
        asked: registration.asked,
        granted_s: phone_s,
        phone_s,
        accepted_by: None,
        aliases: Vec::new(),
        answer: Vec::new(),
        template: Vec::new(),
    }
}
