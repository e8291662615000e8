//! Where this node is: its own addresses, and what others see.
//!
//! An address that is global, or that the operator gave, counts. Else the address is what three
//! members in three different networks report, or as many as there are. Behind another
//! router, an address that this router opened for us is listed too. Where three reports differ in
//! the port alone, the router in front has a port for each peer: then there is no address to
//! tell, but the IP is known.

use super::event::{Reachability, Reason};
use super::judge::Judged;
use crate::identity::record::{ADDRESSES_MAX, AddressList};
use std::net::{IpAddr, SocketAddr};

const VOTES_MAX: usize = 16;
/// So many members have to agree, in so many networks, or all where there are fewer.
pub(super) const AGREEING: usize = 3;

/// Own addresses, told and observed.
#[derive(Default)]
pub(super) struct Reach {
    local: AddressList,
    private: AddressList,
    /// One for each family, IPv4 first.
    public: [Option<SocketAddr>; 2],
    /// The same, without the port.
    public_ip: [Option<IpAddr>; 2],
    /// The address at which the router in front opened our port.
    mapped: Option<SocketAddr>,
    /// Newest last, one of each voter.
    votes: heapless::Deque<(SocketAddr, SocketAddr), VOTES_MAX>,
}

/// What a report of our address led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Voted {
    /// Another IP address is settled.
    pub(super) ip: Option<SocketAddr>,
    /// Another address is settled, or none any more.
    pub(super) changed: bool,
}

impl Reach {
    /// Takes the addresses that the operator or the system gave: those that count, and private
    /// ones. True where they changed; then what others saw before is forgotten.
    pub(super) fn set_local(&mut self, global: &[SocketAddr], private: &[SocketAddr]) -> bool {
        let usable = |list: &[SocketAddr]| -> AddressList {
            let usable = list.iter().filter(|a| !a.ip().is_unspecified() && a.port() != 0);
            usable.take(ADDRESSES_MAX).copied().collect()
        };
        let (local, private) = (usable(global), usable(private));
        if local == self.local && private == self.private {
            return false;
        }
        let mapped = self.mapped;
        *self = Self { local, private, mapped, ..Self::default() };
        true
    }

    /// Takes the address at which the router in front opened our port, or that it no longer does.
    /// True where that changed.
    pub(super) fn set_mapped(&mut self, mapped: Option<SocketAddr>) -> bool {
        core::mem::replace(&mut self.mapped, mapped) != mapped
    }

    /// Whether the router in front opened our port.
    pub(super) fn is_mapped(&self) -> bool {
        self.mapped.is_some()
    }

    /// Takes in how `voter` sees us. `wanted` voters have to agree, in so many networks.
    pub(super) fn observe(
        &mut self,
        voter: SocketAddr,
        seen: SocketAddr,
        wanted: (usize, usize),
    ) -> Voted {
        self.vote(voter, seen);
        let family = usize::from(seen.is_ipv6());
        let agree = |like: &dyn Fn(&SocketAddr) -> bool| {
            let mut networks = heapless::Vec::<IpAddr, VOTES_MAX>::new();
            let agreeing = self.votes.iter().filter(|(_, vote)| like(vote));
            let count = agreeing.map(|(from, _)| {
                let network = network_of(from.ip());
                if !networks.contains(&network) {
                    networks.extend([network]);
                }
            });
            count.count() >= wanted.0 && networks.len() >= wanted.1
        };
        let same_address = agree(&|vote| *vote == seen);
        let same_ip = agree(&|vote| vote.ip() == seen.ip());
        let mut voted = Voted::default();
        if same_ip && self.public_ip[family] != Some(seen.ip()) {
            self.public_ip[family] = Some(seen.ip());
            voted.ip = Some(seen);
        }
        let settled = if same_address {
            Some(seen)
        } else {
            // One that differs is a mistake, or the first to see the next address; as many as
            // agree are a NAT that has a port for each peer.
            self.public[family].filter(|public| self.most_see(*public))
        };
        voted.changed = self.public[family] != settled;
        self.public[family] = settled;
        voted
    }

    fn vote(&mut self, voter: SocketAddr, seen: SocketAddr) {
        for _ in 0..self.votes.len() {
            let Some(vote) = self.votes.pop_front() else { break };
            if vote.0 != voter || vote.1.is_ipv6() != seen.is_ipv6() {
                let kept = self.votes.push_back(vote);
                debug_assert!(kept.is_ok(), "as many as were there");
            }
        }
        if self.votes.is_full() {
            self.votes.pop_front();
        }
        let voted = self.votes.push_back((voter, seen));
        debug_assert!(voted.is_ok(), "room was made");
    }

    /// Whether more reports of its family speak for an address than against it.
    fn most_see(&self, address: SocketAddr) -> bool {
        let of_family = self.votes.iter().filter(|(_, vote)| vote.is_ipv6() == address.is_ipv6());
        let balance: i32 = of_family.map(|(_, vote)| if *vote == address { 1 } else { -1 }).sum();
        balance > 0
    }

    /// Whether the newest report is not what is settled: then others are asked.
    pub(super) fn is_doubtful(&self) -> bool {
        let newest = self.votes.iter().next_back();
        newest.is_some_and(|(_, vote)| self.public[usize::from(vote.is_ipv6())] != Some(*vote))
    }

    /// Our address as others see it.
    pub(super) fn public(&self) -> Option<SocketAddr> {
        self.public.iter().flatten().next().copied()
    }

    /// Whether others see another port than ours, or agree on our IP address and on no port.
    pub(super) fn shows_other_ports(&self) -> bool {
        let own = |port: u16| self.local.iter().chain(&self.private).any(|own| own.port() == port);
        match self.public() {
            Some(public) => !own(public.port()),
            None => self.public_ip.iter().any(Option::is_some),
        }
    }

    /// What our address record lists: own addresses first, then the mapped one, then the one that
    /// others see.
    pub(super) fn addresses(&self) -> AddressList {
        let mut list = self.local.clone();
        for outer in self.mapped.into_iter().chain(self.public.into_iter().flatten()) {
            if !list.contains(&outer) && !list.is_full() {
                list.extend([outer]);
            }
        }
        list
    }

    /// The first of those of each family, IPv4 first.
    pub(super) fn own(&self) -> [Option<SocketAddr>; 2] {
        let list = self.addresses();
        [false, true].map(|six| list.iter().find(|own| own.is_ipv6() == six).copied())
    }

    /// Whether we have an address of a family; both may be, where none is known.
    pub(super) fn has(&self, six: bool) -> bool {
        let of = |six| self.local.iter().chain(&self.private).any(|own| own.is_ipv6() == six);
        of(six) || !of(!six)
    }

    /// How a node that others reach is reached.
    pub(super) fn reachability(&self, judged: Judged) -> (Reachability, Reason) {
        let public = self.public();
        let own = public
            .is_none_or(|public| self.local.contains(&public) || self.private.contains(&public));
        let how = if own { Reachability::Direct } else { Reachability::Mapped };
        match (judged, how) {
            _ if self.mapped.is_some() => (Reachability::Mapped, Reason::OpenedPort),
            (Judged::Near, how) => (how, Reason::SecondPort),
            (_, Reachability::Direct) => (how, Reason::OwnAddress),
            (_, how) => (how, Reason::SeenAddress),
        }
    }
}

/// What counts as one network: an IPv4 /16 or an IPv6 /32; of addresses that are nobody's alone,
/// as in a laboratory, each.
pub(super) fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        _ if ip.is_loopback() => ip,
        IpAddr::V4(private) if private.is_private() => ip,
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            IpAddr::from([a, b, 0, 0])
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            IpAddr::from([a, b, 0, 0, 0, 0, 0, 0])
        }
    }
}
