//! When a gateway lost its mappings: it tells the seconds since then in every answer.

use crate::time::Instant;

/// What a gateway told last, and when.
#[derive(Clone, Copy, Debug)]
pub(super) struct Epoch {
    pub(super) told_s: u32,
    pub(super) at: Instant,
}

/// Takes in what a gateway answered. True where `was_restarted` finds that it began anew.
pub(super) fn hear(
    last: &mut Option<Epoch>,
    now: Instant,
    told_s: u32,
    was_restarted: fn(&Epoch, Instant, u32) -> bool,
) -> bool {
    let restarted = last.is_some_and(|last| was_restarted(&last, now, told_s));
    *last = Some(Epoch { told_s, at: now });
    restarted
}
