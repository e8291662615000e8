//! What is so, as the simulator knows it: who has published what since when, and where he is.
//!
//! A change counts from the moment when the overlay calls it published, and at the latest after
//! [`SPREAD`]: until then the old answer is as good as the new one.

use super::address::Home;
use super::queue::Act;
use crate::net::NodeId;
use core::time::Duration;
use std::net::SocketAddr;

/// AORs of one router.
pub(in crate::lab) const AORS: u32 = 3;
/// How long a change may take to be known everywhere.
const SPREAD: Duration = Duration::from_secs(10);
/// AORs from this number on are nobody's.
pub(in crate::lab) const NOBODYS: u32 = 1 << 31;

/// What an AOR is called.
pub(super) fn name(aor: u32) -> String {
    format!("sip:{aor}@example.net")
}

/// One thing that an AOR was bound to.
#[derive(Clone, Copy)]
struct Bound {
    /// When its router wanted that.
    wanted: u64,
    /// From when on nothing older is right.
    counts: u64,
    generation: u32,
}

/// What is known of one router.
#[derive(Default)]
pub(super) struct Truth {
    bound: [Vec<Bound>; AORS as usize],
    homes: Vec<(u64, Home)>,
}

impl Truth {
    /// The number of the contact that an AOR gets next.
    pub(super) fn next_generation(&self, place: u8) -> u32 {
        self.bound[usize::from(place)].last().map_or(0, |bound| bound.generation + 1)
    }

    /// Its router publishes an AOR with a contact of this number.
    pub(super) fn publishes(&mut self, now: u64, place: u8, generation: u32) {
        let counts = now + SPREAD.as_micros() as u64;
        self.bound[usize::from(place)].push(Bound { wanted: now, counts, generation });
    }

    /// The overlay says that it is published.
    pub(super) fn published(&mut self, now: u64, place: u8) {
        if let Some(bound) = self.bound[usize::from(place)].last_mut() {
            bound.counts = bound.counts.min(now);
        }
    }

    pub(super) fn moves_to(&mut self, now: u64, home: Home) {
        self.homes.push((now, home));
    }

    /// Whether `generation` was the newest at some moment from `asked` to `answered`.
    pub(super) fn is_newest(&self, place: u8, generation: u32, asked: u64, answered: u64) -> bool {
        let bound = &self.bound[usize::from(place)];
        let outdated = bound.iter().any(|b| b.generation > generation && b.counts <= asked);
        !outdated && bound.iter().any(|b| b.generation == generation && b.wanted <= answered)
    }

    /// Where it was at `now`.
    pub(super) fn home_at(&self, now: u64) -> Option<Home> {
        let before = self.homes.iter().rev().find(|(since, _)| *since <= now);
        before.map(|(_, home)| *home)
    }

    /// Forgets all but the newest.
    pub(super) fn forget_the_past(&mut self) {
        for bound in &mut self.bound {
            bound.drain(..bound.len().saturating_sub(1));
        }
        let homes = self.homes.len();
        self.homes.drain(..homes.saturating_sub(1));
    }
}

/// What a look-up found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// When.
    pub(super) at: u64,
    pub(super) owner: NodeId,
    pub(super) seq: u64,
    pub(super) generation: u32,
    /// Members asked one after another until it came.
    pub(super) hops: u8,
    /// Where the owner is said to be.
    pub(super) address: Option<SocketAddr>,
}

/// See [`Asked::over`].
pub(super) const ENDLESS: u64 = u64::MAX;

/// A look-up of a user.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) at: u64,
    pub(super) act: Act,
    /// The newest record that came.
    pub(super) answer: Option<Answer>,
    /// When it was over; 0 where its router lost power before, [`ENDLESS`] where it never was.
    pub(super) over: u64,
    /// Whether its callee is to be met before it can be called.
    pub(super) meets: bool,
    /// When it was; 0 where it was not.
    pub(super) met: u64,
}

impl Asked {
    pub(super) fn new(at: u64, act: Act) -> Self {
        Self { at, act, answer: None, over: 0, meets: false, met: 0 }
    }
}
