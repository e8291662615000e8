//! Chance for everything that is not an adapter: one stream for each router and purpose.
//!
//! SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA
//! 2014). A stream follows from the seed and its own numbers alone, so that another router, or
//! another draw of one, shifts nobody else's.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// One stream of draws.
#[derive(Clone)]
pub(super) struct Dice(u64);

/// Mixes a number so that each bit of it changes half of the result's.
pub(super) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Dice {
    /// The stream of `purpose` number `n`.
    pub(super) fn new(seed: u64, purpose: &str, n: u64) -> Self {
        let name = purpose.bytes().fold(seed, |acc, byte| mix(acc ^ u64::from(byte)));
        Self(mix(name ^ mix(n.wrapping_add(GOLDEN))))
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// A number below `bound`, or 0 where that is 0.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True once in a million times `per_million`.
    pub(super) fn chance(&mut self, per_million: u32) -> bool {
        self.below(1_000_000) < u64::from(per_million)
    }

    /// The time until something happens that happens every `mean` on average.
    pub(super) fn wait(&mut self, mean: u64) -> u64 {
        // 53 bits of chance, never 0.
        let share = ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64;
        (-share.ln() * mean as f64) as u64
    }

    /// Of a distribution given by its quantiles, at equal distances, the lowest first.
    pub(super) fn of(&mut self, quantiles: &[u32]) -> u64 {
        let steps = quantiles.len() as u64 - 1;
        let at = self.below(steps << 16);
        let (step, part) = ((at >> 16) as usize, at & 0xffff);
        let (low, high) = (u64::from(quantiles[step]), u64::from(quantiles[step + 1]));
        low + (((high - low) * part) >> 16)
    }

    /// 32 bytes for whoever makes more of them.
    pub(super) fn seed(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for part in seed.chunks_exact_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes());
        }
        seed
    }
}
