//! One phone's registration: what is kept of it.

use super::{Applicant, BindingId};
use crate::adapter::providers::ProviderId;
use crate::adapter::ways::named_address;
use crate::net::Mac;
use crate::sip::digest::Session;
use crate::sip::transaction::Flow;
use crate::time::Instant;
use std::net::SocketAddr;

/// The place of a REGISTER among those of its phone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// When it came.
    pub at: Instant,
    /// Number of its CSeq.
    pub cseq: u32,
}

/// A registered phone, or one that was.
#[derive(Clone, Debug)]
pub struct Binding {
    /// Address of record, as spelled for look-ups.
    pub aor: String,
    /// Further addresses of the same phone.
    pub aliases: Vec<String>,
    /// Its provider. Phones whose domain no section names have none: they are passed on and found
    /// again, but neither shielded nor put into the overlay.
    pub provider: Option<ProviderId>,
    /// The Contact URI, exactly as registered.
    pub contact: String,
    /// User part of our Contact that stands for it on the WAN side.
    pub wan_user: String,
    /// Where its REGISTERs come from.
    pub flow: Flow,
    /// `+sip.instance`, empty where it has none.
    pub instance: String,
    /// Its hardware address, where it has no instance and is on one of our links.
    pub mac: Option<Mac>,
    /// Call-ID of its REGISTERs.
    pub call_id: String,
    /// The last of its REGISTERs that were answered 200, also where it took leave.
    pub asked: Asked,
    /// When the time that it was given is over.
    pub expires_at: Instant,
    /// When the time that the provider granted is over.
    pub granted_until: Instant,
    /// How long that was, in seconds.
    pub granted_s: u32,
    /// From when on a refresh is forwarded: the provider's half-life, or a change of address.
    pub forward_at: Instant,
    /// The server that the phone itself meant, where it is intercepted; noted with its flow.
    pub chosen: Option<SocketAddr>,
    /// The target that accepted it.
    pub accepted_by: Option<SocketAddr>,
    /// Seconds since 1970 when the provider accepted it last.
    pub known_since_s: u64,
    /// It answered nothing when it was called.
    pub silent: bool,
    /// Whether its registration has not run out.
    pub registered: bool,
    pub(super) refused_at: Option<Instant>,
    /// The provider's last 200, as the phone sees it; empty where there is none.
    pub answer: Box<[u8]>,
    /// What the adapter needs to register it by itself.
    pub own: Own,
}

/// What the adapter needs to register a phone by itself (CALLS §2.2).
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// The phone's last REGISTER that was accepted; empty where no account serves its address.
    pub template: Box<[u8]>,
    /// The challenge that is being answered.
    pub session: Option<Session>,
    /// Number of our last CSeq.
    pub cseq: u32,
    /// The shortest registration that the provider takes, where it said so.
    pub expires_min_s: u32,
    /// Failures since the last success.
    pub failures: u8,
    /// The provider does not take our credentials.
    pub refused: bool,
}

impl Own {
    /// Whether the adapter can register the phone by itself.
    pub fn works(&self) -> bool {
        !self.template.is_empty() && !self.refused
    }

    /// After a REGISTER of the phone: what was agreed with the provider before stays.
    pub(super) fn goes_on(&mut self, before: Self) {
        *self = Self { template: core::mem::take(&mut self.template), refused: false, ..before };
    }
}

/// What a REGISTER that was accepted says.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Address of record, as spelled for look-ups.
    pub aor: String,
    /// The phone that it is from, where that was known when it came.
    pub known: Option<BindingId>,
    /// Its provider. Phones whose domain no section names have none: they are passed on and found
    /// again, but neither shielded nor put into the overlay.
    pub provider: Option<ProviderId>,
    /// The Contact URI, exactly.
    pub contact: String,
    /// User part of our Contact towards the provider.
    pub wan_user: String,
    /// Where the REGISTER came from.
    pub flow: Flow,
    /// `+sip.instance`, or empty.
    pub instance: String,
    /// Its hardware address, where it has no instance and is on one of our links.
    pub mac: Option<Mac>,
    /// Its Call-ID.
    pub call_id: String,
    /// Its place among the phone's REGISTERs.
    pub asked: Asked,
    /// Seconds that the provider granted.
    pub granted_s: u32,
    /// Seconds that the phone was given.
    pub phone_s: u32,
    /// The target that accepted it.
    pub accepted_by: Option<SocketAddr>,
    /// Further addresses.
    pub aliases: Vec<String>,
    /// The provider's 200, as the phone sees it; empty where there is none.
    pub answer: Vec<u8>,
    /// The REGISTER itself, where the adapter can repeat it by itself.
    pub template: Vec<u8>,
}

impl Accepted {
    /// What it says about the phone that it is from.
    pub fn applicant(&self) -> Applicant<'_> {
        Applicant {
            aor: &self.aor,
            instance: &self.instance,
            mac: self.mac,
            contact: &self.contact,
            call_id: &self.call_id,
            flow: self.flow,
        }
    }
}

impl Binding {
    /// Every address under which the phone is found: its AOR and the aliases.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        core::iter::once(self.aor.as_str()).chain(self.aliases.iter().map(String::as_str))
    }

    /// The address that the Contact names, where that is the host that REGISTERs come from: else
    /// something translates, and only the flow leads to the phone.
    pub fn contact_address(&self) -> Option<SocketAddr> {
        named_address(&self.contact, self.flow.to.ip())
    }

    /// Whether the adapter keeps it registered by itself, and the provider has granted that.
    pub fn is_renewed(&self, now: Instant) -> bool {
        self.own.works() && self.own.failures == 0 && now < self.granted_until
    }

    /// Whether what comes on this flow is from this phone.
    pub fn sends_on(&self, flow: Flow) -> bool {
        if flow.via.is_datagram() && self.flow.via.is_datagram() {
            return flow.to == self.flow.to || Some(flow.to) == self.contact_address();
        }
        flow.via == self.flow.via
    }

    /// Whether a REGISTER repeats the last one: same source, Call-ID and Contact (CALLS §2.2).
    pub fn is_refresh(&self, flow: Flow, call_id: &str, contact: &str) -> bool {
        self.registered && self.flow == flow && self.call_id == call_id && self.contact == contact
    }

    /// Whether the phone's last word came after this REGISTER: what a server answers to that one
    /// is outdated. Call-ID and CSeq do not tell: both are new where the phone has started anew.
    pub fn has_asked_since(&self, asked: Asked) -> bool {
        self.asked.at > asked.at
    }

    /// A phone that was written down by an earlier run.
    pub fn restored(aor: String, provider: ProviderId, flow: Flow, expires_at: Instant) -> Self {
        Self {
            aor,
            aliases: Vec::new(),
            provider: Some(provider),
            contact: String::new(),
            wan_user: String::new(),
            flow,
            instance: String::new(),
            mac: None,
            call_id: String::new(),
            asked: Asked::default(),
            expires_at,
            granted_until: expires_at,
            granted_s: 0,
            forward_at: Instant::ZERO,
            chosen: None,
            accepted_by: None,
            known_since_s: 0,
            silent: false,
            registered: false,
            refused_at: None,
            answer: Box::default(),
            own: Own::default(),
        }
    }
}
