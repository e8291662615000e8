//! What a REGISTER asks for, and what of it its 200 grants.

use super::{Further, Registration};
use crate::adapter::Adapter;
use crate::adapter::inbound::Source;
use crate::adapter::names::{Local, uri_address};
use crate::adapter::providers::ProviderId;
use crate::adapter::registrar::{Applicant, Asked};
use crate::limits::CONTACTS_FURTHER_MAX;
use crate::net::Mac;
use crate::sip::{Message, Name, NameAddr, Uri, delta_seconds};
use crate::time::Instant;

/// Our Contact for this user part, at our end of the way to the provider.
pub(crate) fn wan_contact(user: &str, local: Local) -> String {
    let at = if user.is_empty() { "" } else { "@" };
    format!("sip:{user}{at}{}{}", local.host(), local.parameter())
}

/// What a phone that names no time is given at most (RFC 3261 s10.2).
const EXPIRES_DEFAULT_S: u32 = 3600;

impl Adapter {
    /// `mac` is the phone's hardware address, where that was looked up and found.
    pub(super) fn read_registration(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        source: &Source,
        mac: Option<Mac>,
    ) -> Registration {
        let to = message.to().map(|to| to.uri).unwrap_or_default();
        let meant = |id: &ProviderId| self.is_meant_for(*id, source.flow);
        let provider = self.provider_of_uri(to).filter(meant);
        let aor = match provider {
            Some(_) => self.spell(provider, to).unwrap_or_default(),
            None => to.to_ascii_lowercase(),
        };
        let wildcard = message.values(Name::Contact).any(|value| value.trim() == "*");
        let contact = primary(message).filter(|_| !wildcard);
        let query = contact.is_none() && !wildcard;
        let expires_s = asked_s(message, contact.as_ref());
        let instance = contact.as_ref().and_then(|c| c.params.get("+sip.instance"));
        let instance = instance.unwrap_or_default().to_owned();
        let contact = contact.map_or_else(String::new, |c| c.uri.to_owned());
        let mut vouched_by = None;
        let binding = if query {
            self.registrar.find(source.flow, Some(&aor))
        } else {
            let (aor, instance, contact) = (&aor, &instance, &contact);
            let (call_id, flow) = (message.call_id(), source.flow);
            let applicant = Applicant { aor, instance, mac, contact, call_id, flow };
            let stays = expires_s > 0 && !contact.is_empty();
            vouched_by = self.registrar.vouches_for(&applicant).filter(|_| stays);
            self.registrar
                .same_phone(&applicant)
                .or_else(|| taken_back(message).find_map(|c| self.registrar.by_contact(aor, c)))
        };
        let contact = match binding.and_then(|id| self.registrar.get(id)) {
            Some(known) if query => known.contact.clone(),
            _ => contact,
        };
        let wan_user = match binding.and_then(|id| self.registrar.get(id)) {
            Some(known) => known.wan_user.clone(),
            None => self.registrar.wan_user((&aor, &instance), &contact, source.flow, |_| false),
        };
        let mut registration = Registration {
            aor,
            provider,
            contact,
            wildcard,
            query,
            instance,
            mac,
            expires_s,
            wan_user,
            further: heapless::Vec::new(),
            call_id: message.call_id().to_owned(),
            asked: Asked { at: now, cseq: message.cseq().map_or(0, |(number, _)| number) },
            binding: binding.filter(|_| !query),
            vouched_by: vouched_by.filter(|_| binding.is_none()),
            local: None,
            shield_at: None,
        };
        if !query && !wildcard {
            let (further, dropped) = self.further_contacts(message, source, &registration);
            registration.further = further;
            self.counters.contacts_dropped += dropped;
        }
        registration
    }

    /// The Contacts at the phone's own host beside the first that are bindings, or become some,
    /// and how many of them find no room: those stay out of the REGISTER.
    fn further_contacts(
        &self,
        message: &Message<'_>,
        source: &Source,
        first: &Registration,
    ) -> (heapless::Vec<Further, CONTACTS_FURTHER_MAX>, u64) {
        let mut dropped = 0;
        let mut further: heapless::Vec<Further, CONTACTS_FURTHER_MAX> = heapless::Vec::new();
        let hosts = [Some(source.flow.to.ip()), uri_address(&first.contact)];
        for parsed in message.contacts() {
            let contact = parsed.uri;
            let seen = first.contact == contact || further.iter().any(|f| f.contact == contact);
            let at = uri_address(contact);
            let binding = self.registrar.by_contact(&first.aor, contact);
            let expires_s = asked_s(message, Some(&parsed));
            // One that the first takes the place of, or that nobody knows, is gone already.
            let replaced = binding.is_some() && binding == first.binding;
            let unknown = binding.is_none() && expires_s == 0;
            if seen || at.is_none() || !hosts.contains(&at) || replaced || unknown {
                continue;
            }
            let wan_user = match binding.and_then(|id| self.registrar.get(id)) {
                Some(binding) => binding.wan_user.clone(),
                None => {
                    let taken = |user: &str| {
                        first.wan_user == user || further.iter().any(|f| f.wan_user == user)
                    };
                    let (aor, instance) = (&first.aor, &first.instance);
                    self.registrar.wan_user((aor, instance), contact, source.flow, taken)
                }
            };
            let contact = contact.to_owned();
            let found = Further { contact, wan_user, expires_s, binding };
            dropped += u64::from(further.push(found).is_err());
        }
        (further, dropped)
    }
}

/// The seconds that a REGISTER asks for one of its Contacts.
fn asked_s(message: &Message<'_>, contact: Option<&NameAddr<'_>>) -> u32 {
    let header = message.header(Name::Expires).and_then(delta_seconds);
    let parameter = contact.and_then(|contact| contact.params.get("expires"));
    parameter.and_then(delta_seconds).or(header).unwrap_or(EXPIRES_DEFAULT_S)
}

/// Whether a REGISTER names the phone that it is from.
pub(super) fn names_instance(message: &Message<'_>) -> bool {
    primary(message).is_some_and(|contact| contact.params.get("+sip.instance").is_some())
}

/// The Contact that a REGISTER is about: the first that stays, where a phone takes back another
/// one of its own (RFC 3261 s10.2.2) in the same request.
fn primary<'m>(message: &Message<'m>) -> Option<NameAddr<'m>> {
    let stays = |contact: &NameAddr<'_>| {
        contact.params.get("expires").and_then(delta_seconds).is_none_or(|seconds| seconds > 0)
    };
    message.contacts().find(stays).or_else(|| message.contacts().next())
}

/// Contacts that the phone takes back.
fn taken_back<'m>(message: &Message<'m>) -> impl Iterator<Item = &'m str> {
    let contacts = message.contacts();
    contacts.filter(|c| c.params.get("expires").and_then(delta_seconds) == Some(0)).map(|c| c.uri)
}

impl Registration {
    /// Whether a provider has accepted the phone before (CALLS §2.4).
    pub(super) fn is_known(&self) -> bool {
        self.binding.or(self.vouched_by).is_some()
    }

    /// The phone's Contacts, each with the user part that stands for it at the provider.
    pub(super) fn named(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = (self.contact.as_str(), self.wan_user.as_str());
        let further = self.further.iter().map(|f| (f.contact.as_str(), f.wan_user.as_str()));
        core::iter::once(first).chain(further)
    }

    /// The user part of a URI at our own end of the way to the provider.
    pub(super) fn user_at_ours<'u>(&self, uri: &'u str) -> Option<&'u str> {
        let ours = wan_contact(&self.wan_user, self.local?);
        let (uri, ours) = (Uri::parse(uri).ok()?, Uri::parse(&ours).ok()?);
        let at_ours = uri.host.eq_ignore_ascii_case(ours.host)
            && uri.port.unwrap_or(5060) == ours.port.unwrap_or(5060);
        at_ours.then_some(uri.user)
    }

    /// The seconds that the provider granted our first Contact; none where it does not list it.
    pub(super) fn granted_s(&self, message: &Message<'_>) -> Option<u32> {
        self.granted_to(&self.wan_user, self.expires_s, message)
    }

    /// The seconds that the provider granted our Contact with this user part.
    pub(super) fn granted_to(
        &self,
        wan_user: &str,
        asked_s: u32,
        message: &Message<'_>,
    ) -> Option<u32> {
        let header = message.header(Name::Expires).and_then(delta_seconds);
        let ours =
            message.contacts().find(|contact| self.user_at_ours(contact.uri) == Some(wan_user))?;
        let parameter = ours.params.get("expires").and_then(delta_seconds);
        let granted = parameter.or(header).unwrap_or(asked_s);
        (granted > 0).then_some(granted)
    }
}
