//! Which hints are kept where not all fit: a stable sample, what a keyed hash of the prefix puts
//! below a threshold, and whoever is close to this node; of the other family an eighth of those.
//! Each node has another sample, so that all of them together know everybody.

/// Of the other family one of 2^3 is kept then.
const OTHER_SHIFT: u32 = 3;

/// Which hints are kept where not all fit.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    /// Our own prefix.
    pub(super) me: u64,
    /// Of the hash: no two nodes have one.
    pub(super) key: u64,
    /// What a keyed hash of the prefix must not be above.
    pub(super) threshold: u32,
    /// Whoever shares so many bits with us is close.
    pub(super) near_bits: u32,
}

impl Sample {
    /// Whether a hint of our family, or of the other one, is kept.
    pub(super) fn wants(&self, prefix: u64, ours: bool) -> bool {
        let mixed = (prefix ^ self.key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 32) as u32 <= self.threshold >> self.shift(ours)
            || (prefix ^ self.me).leading_zeros() >= self.near_bits
    }

    /// How often what is kept of a family is to be doubled, to be as it is of the other.
    pub(super) fn shift(&self, ours: bool) -> u32 {
        if ours || self.threshold == u32::MAX { 0 } else { OTHER_SHIFT }
    }
}
