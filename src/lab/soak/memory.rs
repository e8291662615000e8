//! The routers' memory over the run, and whether it is flat.

use crate::time::Duration;

/// Samples of every router.
pub(super) struct Memory {
    samples: Vec<(Duration, Vec<u64>)>,
    routers: usize,
}

/// How one router's memory went, in kB.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// The median of the first quarter after the warm-up.
    pub(super) warm_kb: u64,
    /// That of the last quarter.
    pub(super) end_kb: u64,
}

impl Growth {
    /// By how much it grew, in thousandths of what it was.
    pub(super) fn per_mille(self) -> i64 {
        let (warm, end) = (self.warm_kb as i64, self.end_kb as i64);
        (end - warm) * 1000 / warm.max(1)
    }
}

impl Memory {
    pub(super) fn new(routers: usize) -> Self {
        Self { samples: Vec::new(), routers }
    }

    /// Notes what every router has in use.
    pub(super) fn note(&mut self, at: Duration, kb: Vec<u64>) {
        self.samples.push((at, kb));
    }

    /// What was noted last.
    pub(super) fn newest(&self) -> &[u64] {
        self.samples.last().map_or(&[], |(_, kb)| kb)
    }

    /// How each router's memory went after `warm_up`.
    pub(super) fn growth(&self, warm_up: Duration) -> Vec<Growth> {
        let cold = self.samples.iter().take_while(|(at, _)| *at < warm_up).count();
        let warm = &self.samples[cold..];
        let quarter = warm.len().div_ceil(4);
        let (first, last) = (&warm[..quarter], &warm[warm.len() - quarter..]);
        (0..self.routers)
            .map(|router| Growth { warm_kb: median(first, router), end_kb: median(last, router) })
            .collect()
    }
}

fn median(samples: &[(Duration, Vec<u64>)], router: usize) -> u64 {
    let mut kb: Vec<u64> = samples.iter().filter_map(|(_, kb)| kb.get(router).copied()).collect();
    kb.sort_unstable();
    kb.get(kb.len() / 2).copied().unwrap_or(0)
}
