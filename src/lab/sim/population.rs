//! Who is in a network, and what kind of addresses they have.

use super::address::Access;
use super::dice::Dice;
use super::network::OPERATORS;

/// Who is in a network when the first of its scenarios begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Population {
    /// Routers that others reach, over IPv4, and that have known one another for hours.
    Members,
    /// As those, over IPv6.
    Ipv6Members,
    /// As the first, but a third of them are behind carriers: clients, which have just joined.
    Clients,
    /// Half of them have both families, half IPv6 alone.
    Families,
    /// One router, alone; the others have never been switched on.
    Nobody,
}

impl Population {
    /// What kind of addresses a router has.
    pub(super) fn access(self, seed: u64, router: u32) -> Access {
        let one_of = |n: u64| Dice::new(seed, "access", u64::from(router)).below(n) == 0;
        let operators = router < OPERATORS;
        match self {
            Self::Clients if !operators && one_of(3) => Access::Shared,
            Self::Families if operators || one_of(2) => Access::Both,
            Self::Families | Self::Ipv6Members => Access::V6,
            Self::Members | Self::Clients | Self::Nobody => Access::V4,
        }
    }
}
