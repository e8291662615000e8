//! How the outside sees us: under which address each of our WAN sockets is reached.
//!
//! What the operator wrote down wins. Else a port that the router in front opened has its address
//! there, and everything else the address that other adapters agree on.

use super::alg::Alg;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What is known of ourselves as seen from outside.
#[derive(Default)]
pub(crate) struct Outside {
    given: Option<IpAddr>,
    seen: Option<IpAddr>,
    /// Our own address, and the one that the router in front opened for it.
    mapped: Vec<(SocketAddr, SocketAddr)>,
    /// Whether somebody on the way rewrites what we say.
    pub(crate) alg: Alg,
}

impl Outside {
    /// With the address that the operator wrote down.
    pub(crate) fn new(given: Option<IpAddr>) -> Self {
        Self { given, ..Self::default() }
    }

    /// What others saw says nothing any more.
    pub(crate) fn forget_seen(&mut self) {
        self.seen = None;
    }

    /// Others agree on our address.
    pub(crate) fn see(&mut self, address: IpAddr) {
        self.seen = Some(address);
    }

    /// What others agree on.
    pub(crate) fn seen(&self) -> Option<IpAddr> {
        self.seen
    }

    /// What the operator wrote down.
    pub(crate) fn given(&self) -> Option<IpAddr> {
        self.given
    }

    /// What the router in front opened; it replaces what it had opened before.
    pub(crate) fn set_mapped(&mut self, mapped: Vec<(SocketAddr, SocketAddr)>) {
        self.mapped = mapped;
    }

    /// The ports that the router in front opened and that count: not where its own address is a
    /// private one and others see us under another.
    pub(crate) fn mapped(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        let counts = |external: IpAddr| {
            let other = self.seen.is_some_and(|seen| seen != external);
            self.given.is_none() && !(other && is_private(external))
        };
        self.mapped.iter().copied().filter(move |(_, external)| counts(external.ip()))
    }

    /// Our address, where it is not the WAN's own.
    pub(crate) fn address(&self) -> Option<IpAddr> {
        let mapped = self.mapped().next().map(|(_, external)| external.ip());
        self.given.or(mapped).or(self.seen)
    }

    /// Where one of our own addresses on the WAN side is reached.
    pub(crate) fn of(&self, local: SocketAddr) -> SocketAddr {
        let mapped = self.mapped().find(|(own, _)| *own == local).map(|(_, external)| external);
        mapped.unwrap_or_else(|| SocketAddr::new(self.ip_of(local.ip()), local.port()))
    }

    /// The same for what has a port of its own everywhere: connections.
    pub(crate) fn ip_of(&self, local: IpAddr) -> IpAddr {
        self.address().filter(|outside| outside.is_ipv4() == local.is_ipv4()).unwrap_or(local)
    }
}

/// Whether an address is one of a home (RFC 1918) or of a carrier's NAT (RFC 6598).
pub(crate) fn is_private(address: IpAddr) -> bool {
    let IpAddr::V4(v4) = address else { return false };
    v4.is_private() || v4.is_link_local() || u32::from(v4) >> 22 == u32::from(SHARED) >> 22
}

/// 100.64.0.0/10.
const SHARED: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);

#[cfg(test)]
mod tests;
