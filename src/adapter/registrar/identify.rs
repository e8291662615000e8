//! Which phone a REGISTER is from.
//!
//! A phone is known by its address of record and by `+sip.instance` or, where it names none, by
//! its hardware address (CALLS §2.4). Where neither is known (a host behind another router, the
//! loopback interface), by its Contact and the host that it registers from.
//!
//! A phone can have several Contacts, each of which is a binding (RFC 3261 s10.2.1) and looks like
//! a phone of its own here. So what matters is whether another Contact takes the place of the one
//! before or stays beside it: [`Binding::stays_beside`].

use super::{Binding, BindingId, Registrar};
use crate::net::{Mac, Via};
use crate::sip::Uri;
use crate::sip::transaction::Flow;

/// What a REGISTER says about the phone that it is from.
#[derive(Clone, Copy, Debug)]
pub struct Applicant<'a> {
    /// Address of record, as spelled for look-ups.
    pub aor: &'a str,
    /// `+sip.instance`, or empty.
    pub instance: &'a str,
    /// Hardware address, where that was looked up and found.
    pub mac: Option<Mac>,
    /// The Contact URI, exactly.
    pub contact: &'a str,
    /// Call-ID.
    pub call_id: &'a str,
    /// Where it came from.
    pub flow: Flow,
}

/// How far a phone seems to be the one that registers; the most counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// It was at the same host, and no hardware address tells.
    Host,
    /// It has the same hardware address and was elsewhere: it was renumbered.
    Renumbered,
    /// It has the same hardware address and was at the same host.
    Device,
    /// It has the same instance.
    Instance,
    /// It has the same Contact.
    Contact,
}

impl Registrar {
    /// The phone, registered or known, that a REGISTER comes from.
    pub fn same_phone(&self, applicant: &Applicant<'_>) -> Option<BindingId> {
        let mut best = None;
        for slot in self.by_aor.find(applicant.aor) {
            let Some(id) = self.table.id_at(slot) else { continue };
            let Some(binding) = self.table.get(id).filter(|b| b.aor == applicant.aor) else {
                continue;
            };
            let likeness = binding.likeness(applicant);
            if likeness.is_some() && best.is_none_or(|(most, _)| likeness > most) {
                best = Some((likeness, id));
            }
        }
        best.map(|(_, id)| id)
    }

    /// A phone that is known, where this one is not, and has its address and its hardware address,
    /// but is registered elsewhere. Either it has been renumbered, or both are behind one repeater
    /// in the Wi-Fi: it is no stranger, and takes nobody's place (CALLS §2.4).
    pub fn vouches_for(&self, applicant: &Applicant<'_>) -> Option<BindingId> {
        let mac = applicant.mac?;
        self.by_aor.find(applicant.aor).find_map(|slot| {
            let id = self.table.id_at(slot)?;
            let known = self.table.get(id)?;
            let same = (known.aor.as_str(), known.instance.as_str(), known.mac)
                == (applicant.aor, applicant.instance, Some(mac));
            same.then_some(id)
        })
    }

    /// Phones whose Contact at this host another one has taken over with their address.
    pub fn displaced_by(&self, id: BindingId) -> Vec<BindingId> {
        let Some(new) = self.table.get(id) else { return Vec::new() };
        let is_displaced = |old: &Binding| {
            old.contact == new.contact && old.flow.to.ip() == new.flow.to.ip() && old.mac != new.mac
        };
        let others = self.by_aor(&new.aor).filter(|other| *other != id);
        others.filter(|other| self.table.get(*other).is_some_and(is_displaced)).collect()
    }

    /// The phone, registered or known, that has this Contact.
    pub fn by_contact(&self, aor: &str, contact: &str) -> Option<BindingId> {
        self.by_aor.find(aor).find_map(|slot| {
            let id = self.table.id_at(slot)?;
            let binding = self.table.get(id)?;
            (binding.aor == aor && binding.contact == contact).then_some(id)
        })
    }
}

impl Binding {
    fn likeness(&self, applicant: &Applicant<'_>) -> Option<Likeness> {
        if self.instance != applicant.instance || self.stays_beside(applicant) {
            return None;
        }
        if let (Some(own), Some(mac)) = (self.mac, applicant.mac)
            && own != mac
        {
            return None;
        }
        if self.contact == applicant.contact {
            return Some(Likeness::Contact);
        }
        if !self.instance.is_empty() {
            return Some(Likeness::Instance);
        }
        let here = self.flow.to.ip() == applicant.flow.to.ip();
        match (self.mac, applicant.mac) {
            (Some(_), Some(_)) if !here => {
                self.may_have_moved(applicant.call_id).then_some(Likeness::Renumbered)
            }
            _ if !here || !self.may_return_on(applicant.flow) => None,
            (Some(_), Some(_)) => Some(Likeness::Device),
            _ => Some(Likeness::Host),
        }
    }

    /// Whether a REGISTER names a further Contact of a phone whose first one stays. It comes from
    /// where the first came from, else the phone has moved. After a restart a phone names the same
    /// place in other words, and has another Call-ID.
    fn stays_beside(&self, applicant: &Applicant<'_>) -> bool {
        let same_run = self.call_id == applicant.call_id;
        self.registered
            && self.flow == applicant.flow
            && !applicant.contact.is_empty()
            && self.contact != applicant.contact
            && (same_run || !same_place(&self.contact, applicant.contact))
    }

    /// Whether a phone without an instance that registers from this one's host may be this one.
    /// Two phones behind one address differ by port while both are registered. Over TCP, and once
    /// the registration has run out, another port is the same phone after its own restart.
    fn may_return_on(&self, flow: Flow) -> bool {
        let same_port = self.flow.to.port() == flow.to.port();
        matches!(flow.via, Via::Stream(_)) || same_port || !self.registered
    }

    /// Whether a phone with this one's hardware address may be this one at another address. A
    /// repeater in the Wi-Fi lends its own to all phones behind it, so of two that are registered
    /// each goes on by its own Call-ID, which a phone keeps until its restart (RFC 3261 s10.2).
    fn may_have_moved(&self, call_id: &str) -> bool {
        !self.registered || self.call_id == call_id
    }
}

/// Whether two Contacts name the same host, port and transport.
fn same_place(one: &str, other: &str) -> bool {
    let place = |uri| {
        let uri = Uri::parse(uri).ok()?;
        let transport = uri.params.get("transport").unwrap_or("udp").to_ascii_lowercase();
        Some((uri.host.to_ascii_lowercase(), uri.port.unwrap_or(5060), transport))
    };
    place(one) == place(other)
}
