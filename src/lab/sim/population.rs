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
    /// Half of them have IPv6 alone, a third are behind carriers with IPv4 alone, and the others,
    /// who have both families, are all the members that there are.
    Families,
    /// One router, alone; the others have never been switched on.
    Nobody,
}

impl Population {
    /// What kind of addresses a router has.
    pub(super) fn access(self, seed: u64, router: u32) -> Access {
        let draw = |n: u64| Dice::new(seed, "access", u64::from(router)).below(n);
        let operators = router < OPERATORS;
        match self {
            Self::Clients if !operators && draw(3) == 0 => Access::Shared,
            Self::Families if operators => Access::Both,
            Self::Families => match draw(6) {
                0..=2 => Access::V6,
                3 | 4 => Access::Shared,
                _ => Access::Both,
            },
            Self::Ipv6Members => Access::V6,
            Self::Members | Self::Clients | Self::Nobody => Access::V4,
        }
    }

    /// Whether those with such addresses are members; else they are clients, which join first.
    pub(super) fn is_member(self, access: Access) -> bool {
        access != Access::Shared && (self, access) != (Self::Families, Access::V6)
    }
}
