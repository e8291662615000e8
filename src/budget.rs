//! What public-key work for others may cost: one budget for all the cores of an adapter.
//!
//! A public-key operation takes milliseconds on a router, whose processor relays speech as well. So
//! a turn of the run loop does one at most, and what others ask for has a fifth of the processor in
//! the long run, whether they open handshakes or put records. Cores have no clock to measure with:
//! each operation is charged as what it takes on the slowest router, or on a server's processor.
//! Half of what may be used at once is left for handshakes and callers, for calls come with them:
//! records that are put can wait.

use crate::limits::{WORK_FOR_OTHERS_BURST, WORK_FOR_OTHERS_PERCENT, WORK_PIECE};
use crate::time::{Duration, Instant};

/// What others ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A handshake of the channel, all of it: make a key, agree, sign, verify.
    Handshake,
    /// The same where certificates are asked for: four more signatures, where there are two of
    /// other providers.
    CertifiedHandshake,
    /// To blind the address of a caller.
    Caller,
    /// To verify one signature of a record or of a list of addresses.
    Verification,
    /// To sign what is kept for others: nobody waits for that, so it has what else is left.
    Statement,
}

impl Wanted {
    /// What it costs where one operation takes a `piece`.
    fn price(self, piece: Duration) -> Duration {
        match self {
            Self::Handshake => 4 * piece,
            Self::CertifiedHandshake => 8 * piece,
            Self::Caller | Self::Verification | Self::Statement => piece,
        }
    }

    /// What has to be there: the price, and what is left for others.
    fn needed(self, piece: Duration) -> Duration {
        match self {
            Self::Handshake | Self::CertifiedHandshake => self.price(piece),
            // Else callers would take each piece before there is enough for a handshake.
            Self::Caller => Self::CertifiedHandshake.price(piece),
            Self::Verification => self.price(piece) + WORK_FOR_OTHERS_BURST / 2,
            Self::Statement => self.price(piece) + WORK_FOR_OTHERS_BURST * 3 / 4,
        }
    }
}

/// Time of the processor that work for others may take.
pub struct Budget {
    piece: Duration,
    left: Duration,
    at: Instant,
}

impl Budget {
    /// A full one, for a router.
    pub fn new(now: Instant) -> Self {
        Self::of_pieces(now, WORK_PIECE)
    }

    /// A full one, for a processor on which one operation takes a `piece` at most.
    pub fn of_pieces(now: Instant, piece: Duration) -> Self {
        Self { piece, left: WORK_FOR_OTHERS_BURST, at: now }
    }

    /// Pays for what is `wanted`. False where it has to wait.
    pub fn pay(&mut self, now: Instant, wanted: Wanted) -> bool {
        let filled = now.since(self.at) * WORK_FOR_OTHERS_PERCENT / 100;
        self.left = (self.left + filled).min(WORK_FOR_OTHERS_BURST);
        self.at = self.at.max(now);
        let enough = self.left >= wanted.needed(self.piece);
        if enough {
            self.left -= wanted.price(self.piece);
        }
        enough
    }

    /// When there is enough for what is `wanted`; in the past where there is now.
    pub fn enough_at(&self, wanted: Wanted) -> Instant {
        let missing = wanted.needed(self.piece).saturating_sub(self.left);
        if missing.is_zero() {
            return Instant::ZERO;
        }
        self.at + missing * 100 / WORK_FOR_OTHERS_PERCENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::DESK_WORK_PIECE;

    #[test]
    fn a_fifth_of_the_time_is_for_others_and_handshakes_find_half_of_it_left() {
        let mut now = Instant::from_micros(1);
        let mut budget = Budget::new(now);
        let verified = (0..1000).filter(|_| budget.pay(now, Wanted::Verification)).count();
        assert_eq!(WORK_PIECE * verified as u32, WORK_FOR_OTHERS_BURST / 2);
        let agreed = (0..1000).filter(|_| budget.pay(now, Wanted::Handshake)).count();
        assert_eq!(4 * WORK_PIECE * agreed as u32, WORK_FOR_OTHERS_BURST / 2);
        for wanted in [Wanted::Handshake, Wanted::Verification, Wanted::Verification] {
            let at = budget.enough_at(wanted);
            assert!(at > now && !budget.pay(now, wanted));
            now = at;
            assert!(budget.pay(now, wanted) && !budget.pay(now, wanted));
        }
        let (start, mut done) = (now, 0);
        while now.since(start) < Duration::from_secs(100) {
            now += Duration::from_millis(7);
            done += u32::from(budget.pay(now, Wanted::Verification));
        }
        assert!((1990..=2001).contains(&done), "{done} of 10 ms in 100 s");
        assert_eq!(Budget::new(now).enough_at(Wanted::Verification), Instant::ZERO);
    }

    #[test]
    fn a_server_agrees_with_ten_thousand_routers_twice_in_five_minutes() {
        let mut now = Instant::from_micros(1);
        let mut budget = Budget::of_pieces(now, DESK_WORK_PIECE);
        let at_once = (0..10_000).filter(|_| budget.pay(now, Wanted::CertifiedHandshake)).count();
        assert_eq!(at_once, 2_500);
        let (start, mut done) = (now, 0);
        while now.since(start) < Duration::from_secs(300) {
            now += Duration::from_millis(1);
            done += u32::from(budget.pay(now, Wanted::CertifiedHandshake));
        }
        assert!(done >= 2 * 10_000, "{done}");
    }
}
