//! What a REGISTER asks for, and what of it its 200 grants.

use super::Registration;
use crate::adapter::Adapter;
use crate::adapter::inbound::Source;
use crate::adapter::names::Local;
use crate::adapter::registrar::Applicant;
use crate::net::Mac;
use crate::sip::{Message, Name, NameAddr, Uri, delta_seconds};

/// What a phone that names no time is given at most (RFC 3261 s10.2).
const EXPIRES_DEFAULT_S: u32 = 3600;

impl Adapter {
    /// `mac` is the phone's hardware address, where that was looked up and found.
    pub(super) fn read_registration(
        &self,
        message: &Message<'_>,
        source: &Source,
        mac: Option<Mac>,
    ) -> Registration {
        let to = message.to().map(|to| to.uri).unwrap_or_default();
        let provider = self.provider_of_uri(to);
        let aor = match provider {
            Some(_) => self.spell(provider, to).unwrap_or_default(),
            None => to.to_ascii_lowercase(),
        };
        let wildcard = message.values(Name::Contact).any(|value| value.trim() == "*");
        let contact = primary(message).filter(|_| !wildcard);
        let query = contact.is_none() && !wildcard;
        let header = message.header(Name::Expires).and_then(delta_seconds);
        let parameter = contact.as_ref().and_then(|c| c.params.get("expires"));
        let expires_s = parameter.and_then(delta_seconds).or(header).unwrap_or(EXPIRES_DEFAULT_S);
        let instance = contact.as_ref().and_then(|c| c.params.get("+sip.instance"));
        let instance = instance.unwrap_or_default().to_owned();
        let contact = contact.map_or_else(String::new, |c| c.uri.to_owned());
        let binding = if query {
            self.registrar.find(source.flow, Some(&aor))
        } else {
            let (aor, instance, contact) = (&aor, &instance, &contact);
            let (call_id, flow) = (message.call_id(), source.flow);
            self.registrar
                .same_phone(&Applicant { aor, instance, mac, contact, call_id, flow })
                .or_else(|| taken_back(message).find_map(|c| self.registrar.by_contact(aor, c)))
        };
        let contact = match binding.and_then(|id| self.registrar.get(id)) {
            Some(known) if query => known.contact.clone(),
            _ => contact,
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
            query,
            instance,
            mac,
            expires_s,
            wan_user,
            call_id: message.call_id().to_owned(),
            cseq: message.cseq().map_or(0, |(number, _)| number),
            binding: binding.filter(|_| !query),
            local: None,
            shield_at: None,
        }
    }
}

/// Whether a REGISTER names the phone that it is from.
pub(super) fn names_instance(message: &Message<'_>) -> bool {
    primary(message).is_some_and(|contact| contact.params.get("+sip.instance").is_some())
}

/// The Contact that a REGISTER is about: the first that stays, where a phone takes back another
/// one of its own (RFC 3261 s10.2.2) in the same request.
fn primary<'m>(message: &Message<'m>) -> Option<NameAddr<'m>> {
    let contacts = || message.values(Name::Contact).filter_map(|v| NameAddr::parse(v).ok());
    let stays = |contact: &NameAddr<'_>| {
        contact.params.get("expires").and_then(delta_seconds).is_none_or(|seconds| seconds > 0)
    };
    contacts().find(stays).or_else(|| contacts().next())
}

/// Contacts that the phone takes back.
fn taken_back<'m>(message: &Message<'m>) -> impl Iterator<Item = &'m str> {
    let contacts = message.values(Name::Contact).filter_map(|v| NameAddr::parse(v).ok());
    contacts.filter(|c| c.params.get("expires").and_then(delta_seconds) == Some(0)).map(|c| c.uri)
}

impl Registration {
    /// Our Contact towards the provider.
    pub(crate) fn wan_contact(&self, local: Local) -> String {
        let at = if self.wan_user.is_empty() { "" } else { "@" };
        format!("sip:{}{at}{}{}", self.wan_user, local.host(), local.parameter())
    }

    /// Whether a Contact of the provider's 200 is the one that we gave it.
    pub(crate) fn is_ours(&self, uri: &str) -> bool {
        self.user_at_ours(uri) == Some(&self.wan_user)
    }

    /// The user part of a URI at our own end of the way to the provider.
    pub(super) fn user_at_ours<'u>(&self, uri: &'u str) -> Option<&'u str> {
        let ours = self.wan_contact(self.local?);
        let (uri, ours) = (Uri::parse(uri).ok()?, Uri::parse(&ours).ok()?);
        let at_ours = uri.host.eq_ignore_ascii_case(ours.host)
            && uri.port.unwrap_or(5060) == ours.port.unwrap_or(5060);
        at_ours.then_some(uri.user)
    }

    /// The seconds that the provider granted our Contact; none where it lists none of ours.
    pub(super) fn granted_s(&self, message: &Message<'_>) -> Option<u32> {
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
