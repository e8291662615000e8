//! Time as an argument: a monotonic instant that a test or a simulator can make.
//!
//! The cores never read a clock. The driver measures microseconds since its own start; the
//! simulator counts them. Intervals are [`core::time::Duration`].

use core::fmt;
use core::num::NonZeroU64;
use core::ops::{Add, AddAssign, Sub};
pub use core::time::Duration;

/// A point of monotonic time, in microseconds since an arbitrary start.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant {
    /// One more than the microseconds: a deadline that there may not be takes no room more.
    count: NonZeroU64,
}

impl Instant {
    /// The start of time: earlier than every instant that an input can carry.
    pub const ZERO: Self = Self { count: NonZeroU64::MIN };

    /// The instant `micros` microseconds after the start.
    pub const fn from_micros(micros: u64) -> Self {
        Self { count: NonZeroU64::MIN.saturating_add(micros) }
    }

    /// Microseconds since the start.
    pub const fn micros(self) -> u64 {
        self.count.get() - 1
    }

    /// Milliseconds since the start, rounded down.
    pub const fn millis(self) -> u64 {
        self.micros() / 1000
    }

    /// Time since `earlier`, or zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.count.get().saturating_sub(earlier.count.get()))
    }
}

impl Default for Instant {
    fn default() -> Self {
        Self::ZERO
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us", self.micros())
    }
}

impl Add<Duration> for Instant {
    type Output = Self;
    fn add(self, interval: Duration) -> Self {
        Self { count: self.count.saturating_add(whole_micros(interval)) }
    }
}

impl AddAssign<Duration> for Instant {
    fn add_assign(&mut self, interval: Duration) {
        *self = *self + interval;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;
    fn sub(self, interval: Duration) -> Self {
        Self::from_micros(self.micros().saturating_sub(whole_micros(interval)))
    }
}

/// The microseconds of an interval, rounded down, or as many as there can be.
fn whole_micros(interval: Duration) -> u64 {
    let seconds = interval.as_secs().saturating_mul(1_000_000);
    seconds.saturating_add(interval.subsec_micros().into())
}

/// The earlier of two optional deadlines.
pub fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) | (None, one) => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates_instead_of_wrapping() {
        let t = Instant::from_micros(5);
        assert_eq!(t - Duration::from_secs(1), Instant::ZERO);
        assert_eq!(t.since(t + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(t + Duration::MAX, Instant::from_micros(u64::MAX));
    }

    #[test]
    fn the_earlier_deadline_wins_and_none_means_never() {
        let (a, b) = (Instant::from_micros(1), Instant::from_micros(2));
        assert_eq!(earlier(Some(b), Some(a)), Some(a));
        assert_eq!(earlier(None, Some(b)), Some(b));
        assert_eq!(earlier(None, None), None);
    }
}
