//! The UPnP device that opens ports, and what its answers mean.

use super::exchange::What;
use super::http::Url;
use super::report::Tried;
use super::upnp::{self, Outcome, Service};
use super::{Portmap, Protocol, Stage};
use crate::limits::{PORTMAP_CONFLICTS_MAX, PORTMAP_LIFETIME_S, PORTMAP_LIFETIME_S_MAX};
use crate::net::Rejected;
use crate::time::Instant;
use std::net::SocketAddr;

/// Ports to choose from where the wanted one is another's: above the well-known ones.
const OTHER_PORT_MIN: u16 = 20_000;
const OTHER_PORT_SPAN: u32 = 40_000;

/// Refusals that an action of this device cannot be carried out (UPnP Device Architecture 1.1
/// table 3-3, WANIPConnection:2 s2.5.17): now, or at all.
const ACTION_FAILED: u16 = 501;
const INVALID_ACTION: [u16; 2] = [401, 602];

/// A device, as far as known.
#[derive(Debug, Default)]
pub(super) struct Device {
    pub(super) description: Option<Url>,
    services: heapless::Vec<Service, { crate::limits::PORTMAP_SERVICES_MAX }>,
    /// The WAN connection that is used.
    at: usize,
    /// It has only leases without an end.
    pub(super) only_permanent: bool,
    /// It says that it finds ports by itself, and does not.
    finds_none: bool,
}

impl Device {
    /// Where a question goes.
    pub(super) fn host(&self, what: What) -> Option<SocketAddr> {
        match what {
            What::Describe => self.description.as_ref().map(|url| url.host),
            _ => self.service().map(|service| service.control.host),
        }
    }

    /// The WAN connection that takes orders.
    pub(super) fn service(&self) -> Option<&Service> {
        self.services.get(self.at)
    }

    /// Whether it is asked for any port rather than for one.
    pub(super) fn finds_port(&self) -> bool {
        !self.finds_none && self.service().is_some_and(Service::finds_port)
    }
}

impl Portmap {
    /// Takes bytes of the connection in, or its end.
    pub(super) fn streamed(
        &mut self,
        now: Instant,
        data: &[u8],
        closed: bool,
    ) -> Result<(), Rejected> {
        let Some(exchange) = &mut self.exchange else { return Err(Rejected::Unknown) };
        if closed {
            exchange.connection = None;
        }
        let what = exchange.what;
        let understood = match exchange.reader.read(data, closed) {
            Ok(None) => return Ok(()),
            Ok(Some((status, body))) if what == What::Describe => {
                self.described(now, status, &body)
            }
            Ok(Some((status, body))) => match upnp::outcome(status, &body) {
                Some(outcome) => {
                    self.device_answered(now, what, outcome);
                    true
                }
                None => false,
            },
            Err(_) => false,
        };
        if !understood {
            self.unanswered(now);
            return Err(Rejected::Malformed);
        }
        Ok(())
    }

    fn described(&mut self, now: Instant, status: u16, body: &str) -> bool {
        let Some(from) = self.device.description.as_ref().filter(|_| status == 200) else {
            return false;
        };
        match upnp::services(body, from) {
            Ok(services) if !services.is_empty() => {
                self.device.services = services;
                self.end_exchange();
                self.ask(now, What::Check);
                true
            }
            _ => false,
        }
    }

    fn device_answered(&mut self, now: Instant, what: What, outcome: Outcome) {
        match (what, outcome) {
            (What::Check, outcome) => self.device_checked(now, outcome),
            (What::Map(port), Outcome::Done { port: found, .. }) => {
                self.end_exchange();
                let (Some(address), Some(mapping)) = (self.external, self.mappings.get(port))
                else {
                    return;
                };
                let external = SocketAddr::new(address, found.unwrap_or(mapping.hint));
                let permanent = self.device.only_permanent;
                let lifetime_s =
                    if permanent { PORTMAP_LIFETIME_S_MAX } else { PORTMAP_LIFETIME_S };
                self.granted(now, port, external, lifetime_s);
            }
            (What::Map(port), Outcome::Refused(code)) => self.map_refused(now, port, code),
            (What::Entry(_), Outcome::Refused(upnp::NO_SUCH_ENTRY)) => {
                self.end_exchange();
                self.gateway_restarted(now);
            }
            (What::Withdraw(port), _) => {
                self.end_exchange();
                self.mappings.withdrawn(now, port);
            }
            _ => _ = self.end_exchange(),
        }
    }

    /// Whether the WAN connection has an address; where not, the device's next one is tried.
    fn device_checked(&mut self, now: Instant, outcome: Outcome) {
        self.end_exchange();
        let address = match outcome {
            Outcome::Done { address, .. } => address.filter(|address| !address.is_unspecified()),
            Outcome::Refused(_) => None,
        };
        let probing = self.stage == Stage::Probing(Protocol::Upnp);
        match address {
            Some(address) => {
                self.external_is(now, address);
                if probing {
                    self.serve(now, Protocol::Upnp);
                }
                self.checked(now, Protocol::Upnp);
                if let Some(port) = self.mappings.first_held() {
                    self.ask(now, What::Entry(port));
                }
            }
            None if probing && self.device.at + 1 < self.device.services.len() => {
                self.device.at += 1;
                self.ask(now, What::Check);
            }
            None if probing => self.try_next(now, Tried::Refused),
            None => {
                self.external = None;
                self.checked(now, Protocol::Upnp);
            }
        }
    }

    fn map_refused(&mut self, now: Instant, port: u16, code: u16) {
        let other = OTHER_PORT_MIN + self.rng.below(OTHER_PORT_SPAN) as u16;
        let device = &mut self.device;
        let Some(mapping) = self.mappings.get_mut(port) else { return };
        let again = if code == upnp::ONLY_PERMANENT && !device.only_permanent {
            device.only_permanent = true;
            true
        } else if INVALID_ACTION.contains(&code) && !device.finds_none {
            device.finds_none = true;
            true
        } else if code == upnp::CONFLICT && mapping.conflicts < PORTMAP_CONFLICTS_MAX {
            mapping.conflicts += 1;
            mapping.hint = other;
            true
        } else {
            false
        };
        if again {
            mapping.at = now;
            self.end_exchange();
        } else {
            self.refused(now, code == ACTION_FAILED || code == upnp::CONFLICT);
        }
    }
}
