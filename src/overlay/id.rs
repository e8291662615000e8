//! Places in the overlay: ids of members and keys of records are one space of 128 bits.
//!
//! Distance is the exclusive or of two places, read as a number (Maymounkov and Mazières,
//! "Kademlia: A Peer-to-peer Information System Based on the XOR Metric", 2002): it is symmetric,
//! and for every place and distance there is exactly one other place.
//!
//! Others name a member by the first half of its id alone: no two ids share that unless somebody
//! has done 2^64 work. The second half is zeros until the member itself has answered.

use crate::net::NodeId;
use core::cmp::Ordering;
use core::ops::Range;
use heapless::VecView;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// A place: a member's id or a record's key.
pub(super) type Place = [u8; 16];

/// A member as far as others need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id, or the first half of it.
    pub id: NodeId,
    /// Its overlay address.
    pub address: SocketAddr,
}

/// An address in two thirds of the room: lists that are kept have hundreds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// Of IPv4 mapped into IPv6.
    pub(super) ip: [u8; 16],
    port: u16,
}

impl Packed {
    /// The address itself.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::new(Ipv6Addr::from(self.ip).to_canonical(), self.port)
    }
}

impl From<SocketAddr> for Packed {
    fn from(address: SocketAddr) -> Self {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: address.port() }
    }
}

/// A member that is told of, and for how many hours nothing newer was heard of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// Who, and where.
    pub(super) node: Node,
    /// How old that is.
    pub(super) age_h: u8,
}

impl Node {
    /// Whether only the first half of its id is known: it was named, and has not answered.
    pub(super) fn is_hint(&self) -> bool {
        self.id.0[8..] == [0; 8]
    }
}

/// The first half of an id, by which others name it.
pub(super) fn prefix(id: &NodeId) -> u64 {
    id.0.first_chunk().map_or(0, |half| u64::from_be_bytes(*half))
}

/// Whether both are one member, as far as is known.
pub(super) fn same(a: &NodeId, b: &NodeId) -> bool {
    prefix(a) == prefix(b)
}

/// Whether both are of one host, or of one line: of one IPv4 address, or IPv6 /56.
pub(super) fn same_line(a: &SocketAddr, b: &SocketAddr) -> bool {
    let [a, b] = [*a, *b].map(|it| SocketAddr::new(it.ip().to_canonical(), 0));
    let bytes = if a.is_ipv4() { 16 } else { 7 };
    a.is_ipv4() == b.is_ipv4() && Packed::from(a).ip[..bytes] == Packed::from(b).ip[..bytes]
}

/// How many leading bits two ids have in common, of their first half.
pub(super) fn common_bits(a: &NodeId, b: &NodeId) -> u32 {
    (prefix(a) ^ prefix(b)).leading_zeros()
}

/// The place that is `place` but for one bit.
pub(super) fn sibling(place: &Place, bit: u32) -> Place {
    (u128::from_be_bytes(*place) ^ (1 << 127) >> bit.min(127)).to_be_bytes()
}

/// Puts a member where it belongs in a list of the closest to `target`, if it does.
pub(super) fn insert_closest(best: &mut VecView<Named>, target: &Place, named: Named) {
    let key = distance(target, &named.node.id.0);
    if best.is_full() && best.last().is_some_and(|far| distance(target, &far.node.id.0) <= key) {
        return;
    }
    let at = best.partition_point(|other| distance(target, &other.node.id.0) < key);
    if best.is_full() {
        best.pop();
    }
    let inserted = best.insert(at, named);
    debug_assert!(inserted.is_ok(), "room was made");
}

/// How far `a` is from `b`.
pub(super) fn distance(a: &Place, b: &Place) -> u128 {
    u128::from_be_bytes(*a) ^ u128::from_be_bytes(*b)
}

/// Orders `a` and `b` by their distance to `target`, closest first.
pub(super) fn closer(target: &Place, a: &Place, b: &Place) -> Ordering {
    distance(target, a).cmp(&distance(target, b))
}

/// In a sorted list of `len` prefixes, of which `at` tells one: the first position whose prefix is
/// not less. Ids are as if drawn, so it is sought near where it should be: a table of hints is
/// larger than caches, and halving it reads a line of memory in each step.
pub(super) fn position(len: usize, prefix: u64, at: &dyn Fn(usize) -> u64) -> usize {
    let (mut low, mut high, mut step) = (0, len, 8);
    let mut probe = (((prefix >> 32) * len as u64) >> 32) as usize;
    while probe < high && probe >= low {
        if at(probe) < prefix {
            low = probe + 1;
            probe = low + step;
        } else {
            high = probe;
            probe = probe.wrapping_sub(step);
        }
        step *= 4;
    }
    while low < high {
        let middle = low.midpoint(high);
        if at(middle) < prefix { low = middle + 1 } else { high = middle }
    }
    low
}

/// The positions in such a list of those that share the first `bits` bits with `prefix`.
pub(super) fn positions_within(
    len: usize,
    prefix: u64,
    bits: u32,
    at: &dyn Fn(usize) -> u64,
) -> Range<usize> {
    let free = u64::MAX.checked_shr(bits).unwrap_or(0);
    let start = position(len, prefix & !free, at);
    let end = (prefix | free).checked_add(1).map_or(len, |next| position(len, next, at));
    start..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_a_search_that_halves() {
        let mut rng = crate::rng::Rng::new([6; 32]);
        for len in [0, 1, 2, 7, 100, 3000] {
            for crowded in [false, true] {
                let draw = |n: u64| if crowded { n >> 40 } else { n };
                let mut list: Vec<u64> = (0..len).map(|_| draw(rng.next_u64())).collect();
                list.sort_unstable();
                let at = |at: usize| list[at];
                let known: Vec<u64> = list.iter().map(|n| n.wrapping_add(1)).collect();
                let drawn = (0..100).map(|_| rng.next_u64());
                for wanted in list.iter().copied().chain(known).chain(drawn).chain([0, u64::MAX]) {
                    let expected = list.partition_point(|n| *n < wanted);
                    assert_eq!(position(list.len(), wanted, &at), expected);
                }
            }
        }
    }

    #[test]
    fn those_within_share_the_prefix_and_nobody_else_does() {
        let list: Vec<u64> = (0..=255).map(|n| n << 56 | 7).collect();
        let within = |place, bits| positions_within(256, place, bits, &|at| list[at]);
        assert_eq!(within(0xa5 << 56, 0), 0..256);
        assert_eq!(within(0xa5 << 56, 4), 0xa0..0xb0);
        assert_eq!(within(0xff << 56, 8), 0xff..0x100);
        assert_eq!(within(0xa5 << 56, 64), 0xa5..0xa5);
        assert_eq!(within(0xa5 << 56 | 7, 64), 0xa5..0xa6);
    }

    #[test]
    fn whoever_shares_a_longer_prefix_is_closer() {
        let target = [0; 16];
        let (mut near, mut far) = ([0; 16], [0; 16]);
        near[1] = 255;
        far[0] = 1;
        assert_eq!(closer(&target, &near, &far), Ordering::Less);
        assert_eq!(distance(&near, &far), distance(&far, &near));
    }
}
