//! Where this node is: its own addresses, and what others see.
//!
//! An address that the operator gave counts. Else the address is what three members in different
//! networks report, or all of them where fewer are known. Behind another router, an address that
//! this router opened for us is listed too. A member is a dial-back away from being believed by
//! strangers; that check has its place here.

use super::event::Reachability;
use crate::identity::record::{ADDRESSES_MAX, AddressList};
use std::net::{IpAddr, SocketAddr};

const VOTES_MAX: usize = 16;
const AGREEING: usize = 3;

/// Own addresses, told and observed.
#[derive(Default)]
pub(super) struct Reach {
    local: AddressList,
    /// One for each family, IPv4 first.
    public: [Option<SocketAddr>; 2],
    /// The address at which the router in front opened our port.
    mapped: Option<SocketAddr>,
    votes: heapless::Deque<(IpAddr, SocketAddr), VOTES_MAX>,
}

impl Reach {
    /// Takes the addresses that the operator or the system gave. True where they changed; then
    /// what others saw before is forgotten.
    pub(super) fn set_local(&mut self, listen: &[SocketAddr]) -> bool {
        let usable = listen.iter().filter(|a| !a.ip().is_unspecified() && a.port() != 0);
        let local: AddressList = usable.take(ADDRESSES_MAX).copied().collect();
        if local == self.local {
            return false;
        }
        self.local = local;
        self.public = [None; 2];
        self.votes.clear();
        true
    }

    /// Takes the address at which the router in front opened our port, or that it no longer does.
    /// True where that changed.
    pub(super) fn set_mapped(&mut self, mapped: Option<SocketAddr>) -> bool {
        core::mem::replace(&mut self.mapped, mapped) != mapped
    }

    /// Takes in how `voter` sees us, with `members` known. `Some` where that settles a new
    /// address.
    pub(super) fn observe(
        &mut self,
        voter: SocketAddr,
        seen: SocketAddr,
        members: usize,
    ) -> Option<SocketAddr> {
        let network = network_of(voter.ip());
        let stale = self.votes.iter().position(|(from, _)| *from == network);
        if let Some(at) = stale {
            let len = self.votes.len();
            for position in 0..len {
                let vote = self.votes.pop_front()?;
                if position != at {
                    let kept = self.votes.push_back(vote);
                    debug_assert!(kept.is_ok(), "as many as were there");
                }
            }
        } else if self.votes.is_full() {
            self.votes.pop_front();
        }
        let voted = self.votes.push_back((network, seen));
        debug_assert!(voted.is_ok(), "room was made");
        let public = &mut self.public[usize::from(seen.is_ipv6())];
        if *public == Some(seen) {
            return None;
        }
        let agreeing = self.votes.iter().filter(|(_, vote)| *vote == seen).count();
        if agreeing < AGREEING.min(members.max(1)) {
            return None;
        }
        *public = Some(seen);
        Some(seen)
    }

    /// Our address as others see it.
    pub(super) fn public(&self) -> Option<SocketAddr> {
        self.public.iter().flatten().next().copied()
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

    /// How others reach us, as far as known.
    pub(super) fn reachability(&self) -> Reachability {
        match self.public() {
            _ if self.mapped.is_some() => Reachability::Mapped,
            None => Reachability::Unknown,
            Some(public) if self.local.contains(&public) => Reachability::Direct,
            Some(_) => Reachability::Mapped,
        }
    }
}

/// What counts as one network: an IPv4 /16 or an IPv6 /32; of addresses that are nobody's alone,
/// as in a laboratory, each.
fn network_of(ip: IpAddr) -> IpAddr {
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
