//! What the gateway's datagrams mean: PCP, NAT-PMP, and the answer to a search.

use super::exchange::What;
use super::report::Tried;
use super::{Device, Portmap, Protocol, Stage, epoch, natpmp, pcp, upnp};
use crate::limits::{PORTMAP_CHECK, PORTMAP_DATAGRAM_BYTES_MAX};
use crate::net::Rejected;
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

impl Portmap {
    /// Who answers next may be another: nothing that the last one said holds.
    pub(super) fn forget_gateway(&mut self, now: Instant) {
        self.changed |= self.mappings.forget_held(now);
        self.tried = [Tried::NotYet; 3];
        (self.epoch, self.external) = (None, None);
        self.device = Device::default();
    }

    /// Takes a datagram; `announced`: it came by multicast.
    pub(super) fn heard(
        &mut self,
        now: Instant,
        from: SocketAddr,
        announced: bool,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let gateway = self.place.ok_or(Rejected::Unknown)?.gateway;
        if from.ip().to_canonical() != gateway {
            return Err(Rejected::Unauthorized);
        }
        if data.len() > PORTMAP_DATAGRAM_BYTES_MAX {
            return Err(Rejected::Malformed);
        }
        let searching = self.exchange.as_ref().is_some_and(|it| it.what == What::Search);
        if searching && !announced && from.port() != pcp::SERVER_PORT {
            let location = upnp::location(data).ok_or(Rejected::Malformed)?;
            if location.host.ip() != gateway {
                return Err(Rejected::Unauthorized);
            }
            self.end_exchange();
            self.device.description = Some(location);
            self.ask(now, What::Describe);
            return Ok(());
        }
        if from.port() != pcp::SERVER_PORT {
            return Err(Rejected::Unknown);
        }
        match self.stage {
            Stage::Probing(Protocol::Pcp) | Stage::Serving(Protocol::Pcp) => {
                self.heard_pcp(now, announced, data)
            }
            Stage::Probing(Protocol::NatPmp) | Stage::Serving(Protocol::NatPmp) => {
                self.heard_nat_pmp(now, announced, data)
            }
            _ => Err(Rejected::Unknown),
        }
    }

    fn heard_pcp(&mut self, now: Instant, announced: bool, data: &[u8]) -> Result<(), Rejected> {
        let probing = self.stage == Stage::Probing(Protocol::Pcp);
        // A gateway that speaks NAT-PMP alone says so in its own version (RFC 6887 s9).
        if probing && !announced && natpmp::parse(data).is_some() {
            self.end_exchange();
            self.try_next(now, Tried::Unanswered);
            return Ok(());
        }
        let response = pcp::parse(data).ok_or(Rejected::Malformed)?;
        if announced {
            let last = self.epoch.filter(|_| !probing && response.map.is_none());
            let last = last.ok_or(Rejected::Unknown)?;
            // Anybody on the link can forge it: the gateway itself is asked.
            if pcp::was_restarted(&last, now, response.epoch_s) {
                self.check(now);
            }
            return Ok(());
        }
        if response.result == pcp::ResultCode::UNSUPPORTED_VERSION {
            self.exchange.as_ref().ok_or(Rejected::Unknown)?;
            self.refused(now, false);
            return Ok(());
        }
        let waits = self.exchange.as_ref().map(|exchange| exchange.what);
        // Ours are known by their nonces; others must answer a question to be heard.
        match (response.map, waits) {
            (Some(map), _) => self.heard_map(now, &response, &map)?,
            (None, Some(What::Check)) => {
                self.end_exchange();
                if probing {
                    self.serve(now, Protocol::Pcp);
                }
                self.checked(now, Protocol::Pcp);
            }
            // Too short to tell the mapping: the request was not understood.
            (None, Some(_)) if response.result != pcp::ResultCode::SUCCESS => {
                self.refused(now, response.result.is_passing());
            }
            (None, _) => return Err(Rejected::Unknown),
        }
        if epoch::hear(&mut self.epoch, now, response.epoch_s, pcp::was_restarted) {
            self.gateway_restarted(now);
        }
        Ok(())
    }

    /// An answer to MAP, or an update that the gateway sends by itself (RFC 6887 s14.2).
    fn heard_map(
        &mut self,
        now: Instant,
        response: &pcp::Response,
        map: &pcp::Map,
    ) -> Result<(), Rejected> {
        let port = map.internal_port;
        let known = self.mappings.get(port).filter(|mapping| mapping.nonce == map.nonce);
        let wanted = known.ok_or(Rejected::Unknown)?.wanted;
        if self.stopping {
            self.mappings.withdrawn(now, port);
            return Ok(());
        }
        let waits = self.exchange.as_ref().map(|exchange| exchange.what);
        if response.result != pcp::ResultCode::SUCCESS {
            if ![Some(What::Map(port)), Some(What::Withdraw(port))].contains(&waits) {
                return Err(Rejected::Unknown);
            }
            self.refused(now, response.result.is_passing());
        } else if map.lifetime_s == 0 {
            if waits != Some(What::Withdraw(port)) {
                return Err(Rejected::Unknown);
            }
            self.end_exchange();
            self.mappings.withdrawn(now, port);
        } else {
            if waits == Some(What::Map(port)) {
                self.end_exchange();
            } else if !wanted {
                return Err(Rejected::Unknown);
            }
            let external = SocketAddr::new(map.external, map.external_port);
            self.granted(now, port, external, map.lifetime_s);
        }
        Ok(())
    }

    fn heard_nat_pmp(
        &mut self,
        now: Instant,
        announced: bool,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let response = natpmp::parse(data).ok_or(Rejected::Malformed)?;
        let waits = self.exchange.as_ref().map(|exchange| exchange.what);
        match (response.body, waits) {
            (natpmp::Body::Address(address), _) if announced => {
                let last = self.epoch.ok_or(Rejected::Unknown)?;
                let moved = self.external != Some(address.into());
                // Anybody on the link can forge it: the gateway itself is asked.
                if moved || natpmp::was_restarted(&last, now, response.epoch_s) {
                    self.check(now);
                }
                return Ok(());
            }
            _ if announced => return Err(Rejected::Unknown),
            (natpmp::Body::Map { internal_port, lifetime_s: 0, .. }, _) if self.stopping => {
                self.mappings.withdrawn(now, internal_port);
            }
            (_, None) => return Err(Rejected::Unknown),
            (natpmp::Body::Address(address), Some(What::Check)) => {
                self.end_exchange();
                self.external_is(now, address.into());
                self.nat_pmp_checked(now);
            }
            (natpmp::Body::Map { internal_port, external_port, lifetime_s }, Some(what)) => {
                let port = internal_port;
                match what {
                    What::Map(asked) if asked == port && lifetime_s > 0 => {
                        let external = self.external.ok_or(Rejected::Unknown)?;
                        self.end_exchange();
                        let external = SocketAddr::new(external, external_port);
                        self.granted(now, port, external, lifetime_s);
                    }
                    What::Withdraw(asked) if asked == port && lifetime_s == 0 => {
                        self.end_exchange();
                        self.mappings.withdrawn(now, port);
                    }
                    _ => return Err(Rejected::Unknown),
                }
            }
            (natpmp::Body::Refusal { of }, Some(What::Map(port) | What::Withdraw(port)))
                if of.is_some_and(|of| of != port) =>
            {
                return Err(Rejected::Unknown);
            }
            // It is there, but has no address now.
            (natpmp::Body::Refusal { .. }, Some(What::Check)) if response.result.is_passing() => {
                self.end_exchange();
                self.external = None;
                self.nat_pmp_checked(now);
            }
            (natpmp::Body::Refusal { .. }, Some(_)) => {
                self.refused(now, response.result.is_passing());
            }
            _ => return Err(Rejected::Unknown),
        }
        if epoch::hear(&mut self.epoch, now, response.epoch_s, natpmp::was_restarted) {
            self.gateway_restarted(now);
        }
        Ok(())
    }

    fn nat_pmp_checked(&mut self, now: Instant) {
        if self.stage == Stage::Probing(Protocol::NatPmp) {
            self.serve(now, Protocol::NatPmp);
        }
        self.checked(now, Protocol::NatPmp);
    }

    /// The gateway's address on the outside.
    pub(super) fn external_is(&mut self, now: Instant, address: IpAddr) {
        if address.is_unspecified() || address.is_multicast() {
            self.external = None;
            return;
        }
        self.external = Some(address);
        for mapping in self.mappings.iter_mut() {
            self.changed |= mapping.moved(now, address);
        }
    }

    /// The gateway has opened a port.
    pub(super) fn granted(
        &mut self,
        now: Instant,
        port: u16,
        external: SocketAddr,
        lifetime_s: u32,
    ) {
        let Some(mapping) = self.mappings.get_mut(port) else { return };
        if external.port() == 0 || external.ip().is_unspecified() || external.ip().is_multicast() {
            self.counters.refused += 1;
            mapping.missed(now, crate::limits::PORTMAP_AGAIN, &mut self.rng);
            return;
        }
        self.counters.granted += 1;
        if mapping.granted(now, external, lifetime_s, &mut self.rng) {
            log::info!("the router in front opens {external} for port {port}");
            self.changed = true;
        }
    }

    /// The gateway lost its mappings: all are asked for anew, and count until that is answered.
    /// Once a minute at most, the next time being put off: one whose clock is wrong says so in each
    /// answer.
    pub(super) fn gateway_restarted(&mut self, now: Instant) {
        self.counters.restarts += 1;
        if self.restart_at > now + PORTMAP_CHECK {
            return;
        }
        let at = now.max(self.restart_at);
        self.restart_at = at + PORTMAP_CHECK;
        log::info!("the router in front was restarted: ports are opened anew");
        self.mappings.iter_mut().for_each(|mapping| mapping.at = mapping.at.min(at));
        self.quiet_until = now;
    }
}
