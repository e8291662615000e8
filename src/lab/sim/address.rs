//! Addresses of a provider's pools: who has one, who gets the next.
//!
//! Routers of one pool are neighbours in the network: same region, same IPv4 /16. There are not
//! many more addresses than routers, so whoever loses one soon sees it given to somebody else, as
//! with real providers. All routers of a pool, and its addresses, belong to one shard.

use super::dice::Dice;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Routers of one pool.
pub(super) const POOL: u32 = 128;
/// Addresses of one pool.
const HOSTS: u32 = 2 * POOL;
/// The overlay's port; the one beside it is its second.
pub(super) const PORT: u16 = 5070;
const NOBODY: u32 = u32::MAX;
/// The first of the networks that the pools have, outside those that are nobody's.
const FIRST: u32 = 11;

/// The addresses of one pool.
pub(super) struct Pool {
    number: u32,
    holders: Vec<u32>,
}

impl Pool {
    pub(super) fn new(number: u32) -> Self {
        Self { number, holders: vec![NOBODY; HOSTS as usize] }
    }

    /// Gives `router` an address that is free, and another than it had.
    pub(super) fn give(&mut self, router: u32, before: Option<u16>, dice: &mut Dice) -> u16 {
        let mut host = dice.below(u64::from(HOSTS)) as u16;
        while self.holders[usize::from(host)] != NOBODY || before == Some(host) {
            host = (host + 1) % HOSTS as u16;
        }
        if let Some(before) = before {
            self.take(before);
        }
        self.holders[usize::from(host)] = router;
        host
    }

    /// Takes an address back.
    pub(super) fn take(&mut self, host: u16) {
        self.holders[usize::from(host)] = NOBODY;
    }

    /// Whose an address is.
    pub(super) fn holder(&self, host: u16) -> Option<u32> {
        let holder = self.holders.get(usize::from(host)).copied();
        holder.filter(|router| *router != NOBODY)
    }

    /// The IPv4 address called `host`.
    pub(super) fn v4(&self, host: u16) -> SocketAddr {
        let network = (FIRST << 8) + self.number;
        let ip = Ipv4Addr::from((network << 16) + u32::from(host));
        SocketAddr::new(IpAddr::V4(ip), PORT)
    }
}

/// The pool and the host that `address` belongs to.
pub(super) fn place(address: &SocketAddr) -> Option<(u32, u16)> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let bits = u32::from(ip);
    let pool = (bits >> 16).checked_sub(FIRST << 8)?;
    (address.port() == PORT || address.port() == PORT + 1).then_some((pool, bits as u16))
}
