//! A response that is sent again until it is acknowledged: a 2xx until its ACK (RFC 3261
//! s13.3.1.4), a reliable provisional one until its PRACK (RFC 3262 s3).

use crate::time::{Duration, Instant};

const T1: Duration = Duration::from_millis(500);
const T2: Duration = Duration::from_secs(4);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Repeat {
    pub(super) response: Vec<u8>,
    next: Instant,
    interval: Duration,
    interval_max: Duration,
    end: Instant,
}

/// What a [`Repeat`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Send it again.
    Again,
    /// Nobody acknowledged it in 64*T1.
    GiveUp,
}

impl Repeat {
    /// A 2xx that was just sent.
    pub(super) fn success(now: Instant, response: Vec<u8>) -> Self {
        Self { response, next: now + T1, interval: T1, interval_max: T2, end: now + T1 * 64 }
    }

    /// A reliable provisional response that was just sent; its interval doubles without limit.
    pub(super) fn provisional(now: Instant, response: Vec<u8>) -> Self {
        Self { interval_max: T1 * 64, ..Self::success(now, response) }
    }

    pub(super) fn next_due(&self) -> Instant {
        self.next.min(self.end)
    }

    /// What is due, and the timer set anew.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Wish> {
        if now >= self.end {
            return Some(Wish::GiveUp);
        }
        if now < self.next {
            return None;
        }
        self.interval = (self.interval * 2).min(self.interval_max);
        self.next = now + self.interval;
        Some(Wish::Again)
    }
}
