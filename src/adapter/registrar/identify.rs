//! Which phone a REGISTER is from.
//!
//! A phone is known by its address of record and by `+sip.instance` or, where it names none, by
//! its hardware address (CALLS §2.4). Where neither is known (a host behind another router, the
//! loopback interface), by its Contact and the host that it registers from.

use super::{Binding, BindingId, Registrar};
use crate::net::{Mac, Via};
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

/// How far a phone without an instance seems to be the one that registers; the most counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    /// It was at the same host, and no hardware address tells.
    Host,
    /// It has the same hardware address and was elsewhere: it was renumbered.
    Renumbered,
    /// It has the same hardware address and was at the same host.
    Device,
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
            let instance = applicant.instance;
            if !instance.is_empty() && binding.instance == instance {
                return Some(id);
            }
            if !instance.is_empty() || !binding.instance.is_empty() {
                continue;
            }
            let likeness = binding.likeness(applicant);
            if likeness.is_some() && best.is_none_or(|(most, _)| likeness > most) {
                best = Some((likeness, id));
            }
        }
        best.map(|(_, id)| id)
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
        if self.contact == applicant.contact {
            return Some(Likeness::Contact);
        }
        let here = self.flow.to.ip() == applicant.flow.to.ip();
        match (self.mac, applicant.mac) {
            (Some(own), Some(mac)) if own != mac => None,
            (Some(_), Some(_)) if !here => {
                self.may_have_moved(applicant.call_id).then_some(Likeness::Renumbered)
            }
            _ if !here || !self.may_return_on(applicant.flow) => None,
            (Some(_), Some(_)) => Some(Likeness::Device),
            _ => Some(Likeness::Host),
        }
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
