//! Places in the overlay: ids of members and keys of records are one space of 128 bits.
//!
//! Distance is the exclusive or of two places, read as a number (Maymounkov and Mazières,
//! "Kademlia: A Peer-to-peer Information System Based on the XOR Metric", 2002): it is symmetric,
//! and for every place and distance there is exactly one other place.

use crate::net::NodeId;
use core::cmp::Ordering;
use std::net::SocketAddr;

/// A place: a member's id or a record's key.
pub(super) type Place = [u8; 16];

/// A member as far as others need to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Its id.
    pub(super) id: NodeId,
    /// Its overlay address.
    pub(super) address: SocketAddr,
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
