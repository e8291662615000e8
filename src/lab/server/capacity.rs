//! How many REGISTERs a server answers in a second, and what it does with those beyond.

use crate::time::Instant;

/// What becomes of a REGISTER that is one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// It is refused: 503, with so many seconds in Retry-After.
    Refused(u32),
    /// Nobody answers it, as where a queue is full.
    Unheard,
}

/// What a server can bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// REGISTERs that it answers in each second; one that is sent again is one more.
    pub registers_per_s: u32,
    /// What becomes of the others.
    pub beyond: Beyond,
}

/// What has come in this second.
#[derive(Debug, Default)]
pub(super) struct Load {
    pub(super) capacity: Option<Capacity>,
    second: u64,
    came: u32,
}

impl Load {
    /// One more comes. What becomes of it where it is one too many.
    pub(super) fn beyond(&mut self, now: Instant) -> Option<Beyond> {
        let second = now.millis() / 1000;
        if second != self.second {
            (self.second, self.came) = (second, 0);
        }
        self.came += 1;
        let capacity = self.capacity.filter(|it| self.came > it.registers_per_s)?;
        Some(capacity.beyond)
    }
}
