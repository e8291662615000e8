//! The port pairs of one address: bound and free, resting, unbound, each in its order.

use super::{HOLD_OFF, PairId, READY_PAIRS};
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::IpAddr;

/// One local address and its ports.
pub(super) struct Pool {
    pub(super) address: IpAddr,
    /// The address is the router's now; else the pool waits for its last pair.
    pub(super) active: bool,
    /// Even ports, longest-freed first.
    pub(super) free: VecDeque<u16>,
    pub(super) ready: VecDeque<PairId>,
    /// Pairs that came back, longest-freed first, and when.
    pub(super) held: VecDeque<(Instant, PairId)>,
    /// Pairs that are being bound.
    pub(super) binding: usize,
    pub(super) failures: u32,
    pub(super) rests_until: Option<Instant>,
}

impl Pool {
    /// How many pairs are nobody's.
    pub(super) fn left(&self) -> usize {
        self.free.len() + self.binding + self.ready.len() + self.held.len()
    }

    /// The pair held longest, where it came back at least `rest` ago.
    pub(super) fn pop_held(&mut self, now: Instant, rest: Duration) -> Option<PairId> {
        let (since, id) = *self.held.front()?;
        if now < since + rest {
            return None;
        }
        self.held.pop_front();
        Some(id)
    }

    /// The pairs in the order in which calls get them.
    pub(super) fn in_turn(&self) -> impl Iterator<Item = PairId> {
        self.ready.iter().copied().chain(self.held.iter().map(|(_, id)| *id))
    }

    /// The pair for the next call.
    pub(super) fn pop_ready(&mut self, now: Instant) -> Option<PairId> {
        let rested = self.ready.pop_front().or_else(|| self.pop_held(now, HOLD_OFF));
        // Rather a port that was freed just now than none.
        let next = rested.or_else(|| self.pop_held(now, Duration::ZERO))?;
        while self.ready.len() < READY_PAIRS
            && let Some(held) = self.pop_held(now, HOLD_OFF)
        {
            self.ready.push_back(held);
        }
        Some(next)
    }
}
