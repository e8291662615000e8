//! Addresses of a provider's pools: who has one, who gets the next, who shares one.
//!
//! Routers of one pool are neighbours in the network: same region, same IPv4 /24, same IPv6 /32.
//! There are not many more addresses than routers, so whoever loses one soon sees it given to
//! somebody else, as with real providers. Behind some addresses the provider translates for many
//! (RFC 6888), one carrier of each kind in a pool. All routers of a pool, and its addresses,
//! belong to one shard.

use super::dice::Dice;
use crate::lab::nat::{Filter, Nat};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Routers of one pool, where it is not said how many pools there are.
pub(super) const POOL: u32 = 64;
/// Most routers of one pool: each can still have another address than before.
pub(super) const POOL_MAX: u32 = CARRIERS_FROM as u32 - 2;
/// All addresses of a pool are in one /24; from here on they are the carriers'.
const CARRIERS_FROM: u16 = 252;
/// The overlay's port; the one beside it is its second.
pub(super) const PORT: u16 = 5070;
const NOBODY: u32 = u32::MAX;
/// The first of the networks that the pools have, outside those that are nobody's.
const FIRST: u32 = 11;
const FIRST_V6: u16 = 0x2a00;
/// What carriers give to those behind them (RFC 6598), four to each.
const SHARED: u32 = 100 << 24 | 64 << 16;
/// How carriers translate: whom they let in, and whether each peer sees another port.
const CARRIERS: [(Filter, bool); 4] =
    [(Filter::Open, false), (Filter::Address, false), (Filter::Port, false), (Filter::Port, true)];
/// How long a carrier remembers: less than the two minutes of RFC 4787 s4.3, as many do.
pub(super) const CARRIER_LIFE_S: u64 = 40;

/// What kind of addresses a router has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// IPv4 alone.
    V4,
    /// Both families.
    Both,
    /// IPv6 alone.
    V6,
    /// IPv4 behind a carrier's.
    Shared,
}

/// Where a router is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Home {
    access: Access,
    host: u16,
    v4: Option<SocketAddr>,
    v6: Option<SocketAddr>,
}

impl Home {
    pub(super) fn is_shared(&self) -> bool {
        self.access == Access::Shared
    }

    /// All its addresses, the one that others are told first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        self.v6.into_iter().chain(self.v4)
    }

    /// The same, IPv4 first.
    pub(super) fn by_family(&self) -> [Option<SocketAddr>; 2] {
        [self.v4, self.v6]
    }

    /// What it sends from towards `to`; none where it has no address of that family.
    pub(super) fn towards(&self, to: &SocketAddr) -> Option<SocketAddr> {
        if to.is_ipv4() { self.v4 } else { self.v6 }
    }

    /// Whether `address` is its own, with either port.
    pub(super) fn owns(&self, address: &SocketAddr) -> bool {
        self.addresses().any(|own| own.ip() == address.ip())
            && [PORT, PORT + 1].contains(&address.port())
    }
}

/// The addresses of one pool.
pub(super) struct Pool {
    number: u32,
    holders: Vec<u32>,
    carriers: Vec<Nat>,
}

impl Pool {
    /// A pool of so many routers, with twice the addresses where there are as many. Its carriers,
    /// if it needs any, remember for so many seconds.
    pub(super) fn new(number: u32, routers: u32, carrier_life_s: u64) -> Self {
        let carrier = |(at, (filter, symmetric)): (u16, (Filter, bool))| {
            Nat::new(v4(number, CARRIERS_FROM + at).ip(), filter, symmetric, carrier_life_s)
        };
        Self {
            number,
            holders: vec![NOBODY; (2 * routers).min(CARRIERS_FROM.into()) as usize],
            carriers: (0..).zip(CARRIERS).map(carrier).collect(),
        }
    }

    /// Gives `router` an address that is free, and another than it had.
    pub(super) fn give(
        &mut self,
        router: u32,
        access: Access,
        before: Option<&Home>,
        dice: &mut Dice,
    ) -> Home {
        if access == Access::Shared {
            return self.share(router, before, dice);
        }
        let hosts = self.holders.len() as u16;
        let mut host = dice.below(u64::from(hosts)) as u16;
        while self.holders[usize::from(host)] != NOBODY || before.is_some_and(|b| b.host == host) {
            host = (host + 1) % hosts;
        }
        if let Some(before) = before {
            self.take(before);
        }
        let (v4, v6) = (v4(self.number, host), v6(self.number, host));
        let home = Home {
            access,
            host,
            v4: (access != Access::V6).then_some(v4),
            v6: (access != Access::V4).then_some(v6),
        };
        self.give_back(router, &home);
        home
    }

    fn share(&self, router: u32, before: Option<&Home>, dice: &mut Dice) -> Home {
        let host = CARRIERS_FROM + dice.below(self.carriers.len() as u64) as u16;
        let last = before.and_then(|home| home.v4).map_or(3, |inside| bits(&inside) & 3);
        let ip = Ipv4Addr::from(SHARED | router << 2 | (last + 1) & 3);
        let inside = SocketAddr::new(IpAddr::V4(ip), PORT);
        Home { access: Access::Shared, host, v4: Some(inside), v6: None }
    }

    /// Gives `router` what it had before, which nobody else is given.
    pub(super) fn give_back(&mut self, router: u32, home: &Home) {
        if let Some(holder) = self.holders.get_mut(usize::from(home.host)) {
            *holder = router;
        }
    }

    /// Takes an address back.
    pub(super) fn take(&mut self, home: &Home) {
        self.give_back(NOBODY, home);
    }

    /// What others see a packet come from that leaves from `from`, an address of `home`.
    pub(super) fn leave(
        &mut self,
        now: u64,
        home: &Home,
        from: SocketAddr,
        to: SocketAddr,
    ) -> SocketAddr {
        match self.carrier(home.host) {
            Some(carrier) => carrier.leave(now / 1000, from, to),
            None => from,
        }
    }

    /// Who gets a packet for `to`, at `host`, and at which of its addresses.
    pub(super) fn enter(
        &mut self,
        now: u64,
        from: SocketAddr,
        to: SocketAddr,
        host: u16,
    ) -> Option<(u32, SocketAddr)> {
        if let Some(carrier) = self.carrier(host) {
            let inside = carrier.enter(now / 1000, from, to)?;
            return Some(((bits(&inside) & !SHARED) >> 2, inside));
        }
        let holder = self.holders.get(usize::from(host)).copied();
        holder.filter(|router| *router != NOBODY).map(|router| (router, to))
    }

    fn carrier(&mut self, host: u16) -> Option<&mut Nat> {
        self.carriers.get_mut(usize::from(host.checked_sub(CARRIERS_FROM)?))
    }
}

fn v4(pool: u32, host: u16) -> SocketAddr {
    let network = (FIRST << 8) + pool;
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from((network << 16) + u32::from(host))), PORT)
}

fn v6(pool: u32, host: u16) -> SocketAddr {
    let ip = Ipv6Addr::from([FIRST_V6, pool as u16, host, 0, 0, 0, 0, 1]);
    SocketAddr::new(IpAddr::V6(ip), PORT)
}

fn bits(address: &SocketAddr) -> u32 {
    match address.ip() {
        IpAddr::V4(ip) => u32::from(ip),
        IpAddr::V6(_) => 0,
    }
}

/// The pool and the host that `address` belongs to.
pub(super) fn place(address: &SocketAddr) -> Option<(u32, u16)> {
    let (pool, host) = match address.ip() {
        IpAddr::V4(ip) => {
            let bits = u32::from(ip);
            ((bits >> 16).checked_sub(FIRST << 8)?, bits as u16)
        }
        IpAddr::V6(ip) => match ip.segments() {
            [FIRST_V6, pool, host, 0, 0, 0, 0, 1] => (u32::from(pool), host),
            _ => return None,
        },
    };
    let reached = host >= CARRIERS_FROM || [PORT, PORT + 1].contains(&address.port());
    reached.then_some((pool, host))
}

/// An address in one number: the same for both ports of a router.
pub(super) fn key(address: &SocketAddr) -> u64 {
    let Some((pool, host)) = place(address) else { return 0 };
    let port = if host < CARRIERS_FROM { 0 } else { u64::from(address.port()) };
    port << 48 | u64::from(pool) << 16 | u64::from(host)
}
