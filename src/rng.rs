//! Seeded randomness: blake3 with a key, over a counter.
//!
//! A core is given 32 bytes once; all that it draws follows from them, so one seed decides a
//! whole simulation. The daemon's seed comes from the kernel, and nobody who sees branches, tags
//! and ports can compute the next ones (blake3's output is a keyed pseudo-random function).

const BLOCK_BYTES: usize = blake3::OUT_LEN;

/// A generator of unpredictable bytes.
#[derive(Clone)]
pub struct Rng {
    key: [u8; 32],
    block: [u8; BLOCK_BYTES],
    used: usize,
    counter: u64,
}

impl Rng {
    /// A generator whose whole output follows from `seed`.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { key: seed, block: [0; BLOCK_BYTES], used: BLOCK_BYTES, counter: 0 }
    }

    /// An independent generator for one purpose; drawing from one does not shift the other.
    pub fn fork(&mut self, purpose: &str) -> Self {
        let mut label = [0; 32];
        self.fill(&mut label);
        let mut hasher = blake3::Hasher::new_keyed(&label);
        hasher.update(purpose.as_bytes());
        Self::new(*hasher.finalize().as_bytes())
    }

    /// Fills `out` with random bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        for byte in out {
            if self.used == BLOCK_BYTES {
                self.refill();
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    /// A random 32-bit number.
    pub fn next_u32(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes())
    }

    /// A random 64-bit number.
    pub fn next_u64(&mut self) -> u64 {
        u64::from_le_bytes(self.bytes())
    }

    /// A number from 0 to `bound` - 1, or 0 where `bound` is 0. The bias is below 2^-32 · bound.
    pub fn below(&mut self, bound: u32) -> u32 {
        let wide = u64::from(self.next_u32()) * u64::from(bound);
        (wide >> 32) as u32
    }

    /// A duration between half of `interval` and all of it: jitter that keeps the order of
    /// magnitude (RFC 5626 s4.5 uses the same range).
    pub fn jitter(&mut self, interval: core::time::Duration) -> core::time::Duration {
        let half = interval / 2;
        half + half * self.below(1 << 16) / (1 << 16)
    }

    fn refill(&mut self) {
        self.block = blake3::keyed_hash(&self.key, &self.counter.to_le_bytes()).into();
        self.counter += 1;
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_decides_everything_and_forks_are_independent() {
        let mut a = Rng::new([7; 32]);
        let mut b = Rng::new([7; 32]);
        assert_eq!(a.bytes::<100>(), b.bytes::<100>());
        let (mut x, mut y) = (a.fork("x"), b.fork("y"));
        assert_ne!(x.next_u64(), y.next_u64());
    }

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        let mut rng = Rng::new([1; 32]);
        let seen: Vec<u32> = (0..200).map(|_| rng.below(3)).collect();
        assert!(seen.contains(&0) && seen.contains(&2) && seen.iter().all(|n| *n < 3));
        assert_eq!(rng.below(0), 0);
    }
}
