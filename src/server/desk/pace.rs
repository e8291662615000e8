//! How many challenges the SIP server sees: one at a time, evenly, and who has to come again when.
//!
//! Few wait here for their turn. Who finds no place is given a turn later, after those who were
//! turned away before: thousands that come at once, after an outage, come back one after the other,
//! as fast as the SIP server may be asked, and none of them waits in memory. One that does not come
//! leaves its turn unused.

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// For so long challenges wait here, at most.
const QUEUE: Duration = Duration::from_secs(10);
/// And so long others are told to wait.
const BOOKED_MAX: Duration = Duration::from_secs(900);

pub(super) struct Pace {
    interval: Duration,
    /// Before this none is sent.
    next: Instant,
    /// Until here turns were given.
    booked: Instant,
}

impl Pace {
    pub(super) fn new(now: Instant, per_s: u32) -> Self {
        Self { interval: Duration::from_secs(1) / per_s, next: now, booked: now }
    }

    /// When the next challenge may be sent.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Takes the turn, where one may be sent now.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let may = now >= self.next;
        if may {
            self.next = now + self.interval;
        }
        may
    }

    /// Sends none before `until`.
    pub(super) fn pause(&mut self, until: Instant) {
        self.next = self.next.max(until);
    }

    /// Whether `more` may wait behind those that are `queued`.
    pub(super) fn has_room(&self, queued: usize, more: usize) -> bool {
        self.interval * (queued + more) as u32 <= QUEUE
    }

    /// How long so many challenges take to be sent.
    pub(super) fn time_of(&self, queued: usize) -> Duration {
        self.interval * queued as u32
    }

    /// Gives `more` challenges a turn behind all others: in how many seconds.
    pub(super) fn book(&mut self, now: Instant, queued: usize, more: usize, rng: &mut Rng) -> u32 {
        let first = self.booked.max(now + self.time_of(queued));
        if first.since(now) > BOOKED_MAX {
            return rng.jitter(BOOKED_MAX).as_secs() as u32;
        }
        self.booked = first + self.time_of(more);
        first.since(now).as_secs() as u32 + 1
    }
}
