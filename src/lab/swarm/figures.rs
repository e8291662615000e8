//! What a swarm showed, real or simulated, and how far the two are from each other.

use crate::lab::sim::LOOKUP_KINDS;

/// Look-ups, and how they went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::lab) struct Answers {
    pub(in crate::lab) asked: u32,
    pub(in crate::lab) right: u32,
    /// How long it took until a record came, in microseconds.
    pub(in crate::lab) found_us: Vec<u32>,
    /// How long it took to know that there is none.
    pub(in crate::lab) absent_us: Vec<u32>,
}

impl Answers {
    /// Takes in a look-up: when a record came that names the owner, and when it was over.
    pub(in crate::lab) fn take(&mut self, (is_right, found): (bool, Option<u32>), took_us: u32) {
        self.asked += 1;
        self.right += u32::from(is_right);
        match found {
            Some(after_us) => self.found_us.push(after_us),
            None if is_right => self.absent_us.push(took_us),
            None => {}
        }
    }

    /// Milliseconds that so many of a hundred records took at most.
    pub(super) fn found_ms(&self, percent: usize) -> f64 {
        quantile_ms(&self.found_us, percent)
    }

    /// The same of knowing that there is none.
    pub(super) fn absent_ms(&self, percent: usize) -> f64 {
        quantile_ms(&self.absent_us, percent)
    }

    /// The share that was right, in percent.
    pub(super) fn right_percent(&self) -> f64 {
        100.0 * f64::from(self.right) / f64::from(self.asked.max(1))
    }
}

/// The quantile of microseconds in any order, in milliseconds; 0 where there are none.
pub(super) fn quantile_ms(micros: &[u32], percent: usize) -> f64 {
    let mut sorted = micros.to_vec();
    sorted.sort_unstable();
    let at = sorted.len().saturating_sub(1) * percent / 100;
    f64::from(sorted.get(at).copied().unwrap_or(0)) / 1000.0
}

/// Bytes that routers sent in a while, IP and UDP headers counted, by the kind of datagram.
#[derive(Clone, Debug, Default)]
pub(in crate::lab) struct Sent {
    pub(in crate::lab) seconds: f64,
    pub(in crate::lab) datagrams: u64,
    pub(in crate::lab) kinds: Vec<(&'static str, u64)>,
}

impl Sent {
    /// All of them.
    pub(super) fn bytes(&self) -> u64 {
        self.kinds.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Those of gets and of their answers.
    pub(super) fn lookup_bytes(&self) -> u64 {
        let of_lookups = self.kinds.iter().filter(|(kind, _)| LOOKUP_KINDS.contains(kind));
        of_lookups.map(|(_, bytes)| bytes).sum()
    }
}

/// All that a swarm showed.
#[derive(Clone, Debug, Default)]
pub(in crate::lab) struct Figures {
    /// From the first start until it had settled: joining, and publishing what phones register.
    pub(in crate::lab) joining: Sent,
    /// While it was left alone.
    pub(in crate::lab) idle: Sent,
    /// While users asked.
    pub(in crate::lab) asking: Sent,
    pub(in crate::lab) settled: Answers,
    /// After half had vanished.
    pub(in crate::lab) halved: Answers,
    /// What the adapters had counted before that, all together.
    pub(in crate::lab) counters: Vec<(String, u64)>,
}
