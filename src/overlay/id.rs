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
use heapless::VecView;
use std::net::SocketAddr;

/// A place: a member's id or a record's key.
pub(super) type Place = [u8; 16];

/// A member as far as others need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Its id, or the first half of it.
    pub(super) id: NodeId,
    /// Its overlay address.
    pub(super) address: SocketAddr,
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
    let at = best.partition_point(|other| distance(target, &other.node.id.0) < key);
    if best.is_full() && at < best.len() {
        best.pop();
    }
    // What is farther than all is left out.
    let _ = best.insert(at, named);
}

/// How far `a` is from `b`.
pub(super) fn distance(a: &Place, b: &Place) -> u128 {
    u128::from_be_bytes(*a) ^ u128::from_be_bytes(*b)
}

/// Orders `a` and `b` by their distance to `target`, closest first.
pub(super) fn closer(target: &Place, a: &Place, b: &Place) -> Ordering {
    distance(target, a).cmp(&distance(target, b))
}

/// The smallest and the largest place that share the first `bits` bits with `place`.
pub(super) fn range(place: &Place, bits: u32) -> (Place, Place) {
    let free = u128::MAX.checked_shr(bits).unwrap_or(0);
    let place = u128::from_be_bytes(*place);
    ((place & !free).to_be_bytes(), (place | free).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_holds_what_shares_the_prefix_and_nothing_else() {
        let place = [0xa5; 16];
        assert_eq!(range(&place, 0), ([0; 16], [255; 16]));
        assert_eq!(range(&place, 128), (place, place));
        let (low, high) = range(&place, 4);
        assert_eq!((low[0], low[1], high[0], high[1]), (0xa0, 0, 0xaf, 255));
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
