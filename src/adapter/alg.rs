//! A SIP ALG in a router in front: it rewrites what we send, and does not undo all of it in what
//! comes back.
//!
//! A response has the Via that its request had (RFC 3261 s8.2.6.2), and a 200 to a REGISTER names
//! our Contact as we wrote it. Where either names another host with our mark on it, somebody on
//! the way has written it.

use super::exchange::Purpose;
use super::inbound::Source;
use super::names::{Local, uri_address};
use super::{Adapter, ClientOwner};
use crate::sip::{Message, Method, host_ip};
use std::net::IpAddr;

/// What was seen of an ALG.
#[derive(Default)]
pub(crate) struct Alg(Option<&'static str>);

impl Alg {
    /// What says that there is one.
    pub(crate) fn evidence(&self) -> Option<&'static str> {
        self.0
    }
}

impl Adapter {
    /// Looks whether a response of the server was altered on the way.
    pub(super) fn look_for_alg(
        &mut self,
        owner: ClientOwner,
        source: Source,
        message: &Message<'_>,
    ) {
        let registers = message.cseq().is_some_and(|(_, method)| method == Method::Register);
        let granted = registers && message.status() / 100 == 2;
        let altered = if self.via_is_altered(source, message) {
            Some("ALG in front: it has changed our Via")
        } else if granted && self.contact_is_altered(owner, message) {
            Some("ALG in front: it has changed our Contact")
        } else {
            None
        };
        let told = self.outside.alg.0.is_some();
        match altered {
            Some(evidence) => {
                if !told {
                    log::warn!("{evidence}; switch it off in the router in front");
                }
                self.outside.alg.0 = Some(evidence);
            }
            // Others than REGISTERs may pass it untouched, and a refusal names no Contact.
            None if granted => self.outside.alg.0 = None,
            None => {}
        }
    }

    fn via_is_altered(&self, source: Source, message: &Message<'_>) -> bool {
        let Some(via) = message.via() else { return false };
        let Local::Socket { address, tcp } = source.local else { return false };
        let Some(ip) = host_ip(via.host) else { return true };
        let port = via.port.unwrap_or(5060);
        // Our public address may have been learned since the request left.
        !self.is_ours_outside(ip) || (!tcp && port != address.port() && !self.is_own_port(port))
    }

    /// Whether a 200 to a REGISTER has our Contact at another host alone. Another phone of the same
    /// address may have the same user part; then both are in it.
    fn contact_is_altered(&self, owner: ClientOwner, message: &Message<'_>) -> bool {
        let Some(ours) = self.contact_asked_for(owner) else { return false };
        let (mut altered, mut intact) = (false, false);
        for uri in message.contacts().map(|contact| contact.uri) {
            if ours == super::names::uri_user(uri) {
                let here = uri_address(uri).is_some_and(|ip| self.is_ours_outside(ip));
                (altered, intact) = (altered || !here, intact || here);
            }
        }
        altered && !intact
    }

    /// The user part of the Contact that a REGISTER of ours asked to have registered.
    fn contact_asked_for(&self, owner: ClientOwner) -> Option<&str> {
        let registration = match owner {
            ClientOwner::Renewal(slot) => &self.renewals.running.get(&slot)?.registration,
            ClientOwner::Exchange(slot) => {
                match &self.exchanges.get(self.exchanges.id_at(slot)?)?.purpose {
                    Purpose::Register(registration) => registration,
                    _ => return None,
                }
            }
            _ => return None,
        };
        let asks = registration.expires_s > 0 && !registration.wildcard && !registration.query;
        Some(registration.wan_user.as_str()).filter(|user| asks && !user.is_empty())
    }

    /// Whether servers know us under an address.
    fn is_ours_outside(&self, ip: IpAddr) -> bool {
        self.network.wan.contains(&ip)
            || self.outside.address() == Some(ip)
            || self.own_addresses().iter().any(|own| own.ip() == ip)
    }

    fn is_own_port(&self, port: u16) -> bool {
        self.own_addresses().iter().any(|own| own.port() == port)
    }
}
