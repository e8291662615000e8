//! How often callers may have phones here ring, or send them texts, over the overlay.
//!
//! Each caller that is certified, and each adapter, has an allowance of so many an hour, which may
//! be used up at once and comes back evenly. What is kept of each is when it will have all of it
//! again. Whoever is nearest to that makes room, so that a crowd that calls once each has nobody's
//! debts forgotten.

use crate::limits::{ALLOWANCE_PERIOD, ALLOWANCES_MAX};
use crate::time::{Duration, Instant};

/// What is allowed: a call, or a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Call,
    Text,
}

/// A caller, hashed, or an adapter.
pub(super) type Who = [u8; 16];

/// What is known of one of them: when it may do again as much as if it had done nothing.
struct Known {
    who: Who,
    whole: [Instant; 2],
}

/// See the module's text.
#[derive(Default)]
pub(super) struct Allowances(Vec<Known>);

impl Allowances {
    /// How long to wait for one more, where `per_hour` are allowed; 0: as many as there are.
    pub(super) fn wait(&self, now: Instant, who: Who, kind: Kind, per_hour: u32) -> Duration {
        if per_hour == 0 {
            return Duration::ZERO;
        }
        let known = self.0.iter().find(|known| known.who == who);
        let whole = known.map_or(now, |known| known.whole[kind as usize].max(now));
        (whole + ALLOWANCE_PERIOD / per_hour).since(now + ALLOWANCE_PERIOD)
    }

    /// Takes one.
    pub(super) fn take(&mut self, now: Instant, who: Who, kind: Kind, per_hour: u32) {
        if per_hour == 0 {
            return;
        }
        let at = self.0.iter().position(|known| known.who == who).unwrap_or_else(|| {
            let nearest = |(_, known): &(usize, &Known)| known.whole[0].max(known.whole[1]);
            if self.0.len() >= ALLOWANCES_MAX
                && let Some((at, _)) = self.0.iter().enumerate().min_by_key(nearest)
            {
                self.0.swap_remove(at);
            }
            self.0.push(Known { who, whole: [now; 2] });
            self.0.len() - 1
        });
        let whole = &mut self.0[at].whole[kind as usize];
        *whole = (*whole).max(now) + ALLOWANCE_PERIOD / per_hour;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_micros(1_000_000);
    const ANN: Who = [1; 16];

    fn taken(all: &mut Allowances, now: Instant, who: Who, kind: Kind, per_hour: u32) -> u32 {
        let mut count = 0;
        while count < 1_000 && all.wait(now, who, kind, per_hour).is_zero() {
            all.take(now, who, kind, per_hour);
            count += 1;
        }
        count
    }

    #[test]
    fn an_hour_s_worth_may_be_used_at_once_and_comes_back_evenly() {
        let mut all = Allowances::default();
        assert_eq!(taken(&mut all, NOW, ANN, Kind::Call, 60), 60);
        assert_eq!(taken(&mut all, NOW, ANN, Kind::Text, 7), 7, "texts are counted apart");
        assert_eq!(all.wait(NOW, ANN, Kind::Call, 60), Duration::from_secs(60));
        let later = |s| NOW + Duration::from_secs(s);
        assert_eq!(taken(&mut all, later(59), ANN, Kind::Call, 60), 0);
        assert_eq!(taken(&mut all, later(60), ANN, Kind::Call, 60), 1);
        assert_eq!(taken(&mut all, later(660), ANN, Kind::Call, 60), 10);
        assert_eq!(taken(&mut all, later(9_000), ANN, Kind::Call, 60), 60);
        assert_eq!(taken(&mut all, NOW, ANN, Kind::Call, 0), 1_000, "0 is no limit");
        assert_eq!(taken(&mut all, NOW, [2; 16], Kind::Call, 1), 1, "others have their own");
    }

    #[test]
    fn a_crowd_has_nobody_s_calls_forgotten_and_takes_no_more_room() {
        let mut all = Allowances::default();
        taken(&mut all, NOW, ANN, Kind::Call, 60);
        for number in 0..10_000_u32 {
            let mut who = [9; 16];
            who[..4].copy_from_slice(&number.to_be_bytes());
            all.take(NOW, who, Kind::Call, 60);
        }
        assert_eq!(all.0.len(), ALLOWANCES_MAX);
        assert!(!all.wait(NOW, ANN, Kind::Call, 60).is_zero());
    }
}
