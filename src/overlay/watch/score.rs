//! Members that are no use as holders: they answer pings, but neither gets nor puts; or they deny
//! what they have taken.
//!
//! One that is silent twice in a row and answers others meanwhile, or denies once what it has
//! acknowledged in the same start, is passed over for a day: the next closest takes its place, and
//! look-ups ask it only where others are late. That is a judgement of this node alone, of which
//! nobody hears: lines lose datagrams, and nobody is accused for that.

use super::super::Overlay;
use super::super::id::same;
use super::super::request::{Pending, Purpose};
use crate::net::NodeId;
use crate::time::Instant;

/// Members that are remembered.
const SCORED_MAX: usize = 40;
/// What they take.
#[cfg(test)]
pub(in crate::overlay) const SCORE_BYTES: usize = SCORED_MAX * size_of::<Scored>();
/// Whoever is silent so often in a row is no use.
const SILENT: u8 = 2;
const KEPT_S: u32 = 24 * 3600;

/// What was asked: who hides what it keeps may still seem to take it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Get,
    Put,
}

impl Kind {
    fn of(purpose: Purpose) -> Option<Self> {
        match purpose {
            Purpose::Lookup(..) | Purpose::Spot(_) => Some(Self::Get),
            Purpose::Publish(_) => Some(Self::Put),
            _ => None,
        }
    }
}

struct Scored {
    id: NodeId,
    /// How often it was silent in a row to each kind, and when the last time was over.
    silent: [u8; 2],
    at: Instant,
    /// Since when it is passed over.
    passed_s: Option<u32>,
}

/// All of those, of whom was heard last the last.
pub(super) struct Score(Vec<Scored>);

impl Score {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(SCORED_MAX))
    }

    fn find(&self, id: &NodeId) -> Option<usize> {
        self.0.iter().position(|it| it.id == *id)
    }

    /// The entry of `id`; the first of those makes room that are not passed over, or of all.
    fn entry(&mut self, id: &NodeId) -> Option<&mut Scored> {
        let at = match self.find(id) {
            Some(at) => at,
            None => {
                if self.0.len() >= SCORED_MAX {
                    let free = self.0.iter().position(|it| it.passed_s.is_none());
                    self.0.remove(free.unwrap_or(0));
                }
                self.0.push(Scored { id: *id, silent: [0; 2], at: Instant::ZERO, passed_s: None });
                self.0.len() - 1
            }
        };
        self.0.get_mut(at)
    }
}

impl Overlay {
    /// Whether a member is no use as a holder.
    pub(in crate::overlay) fn is_passed_over(&self, id: &NodeId) -> bool {
        self.watch.score.0.iter().any(|it| it.passed_s.is_some() && same(&it.id, id))
    }

    /// The members that are no use as holders.
    pub fn passed_over(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.watch.score.0.iter().filter(|it| it.passed_s.is_some()).map(|it| it.id)
    }

    /// After a day each gets another chance.
    pub(in crate::overlay) fn expire_score(&mut self, now_s: u32) {
        let over = |since_s: u32| now_s.saturating_sub(since_s) >= KEPT_S;
        self.watch.score.0.retain(|it| !it.passed_s.is_some_and(over));
    }

    /// Somebody answered.
    pub(in crate::overlay) fn score_answer(&mut self, pending: &Pending, id: &NodeId) {
        if let Some(kind) = Kind::of(pending.purpose)
            && let Some(at) = self.watch.score.find(id)
        {
            let scored = &mut self.watch.score.0[at];
            scored.silent[kind as usize] = 0;
            if scored.silent == [0; 2] && scored.passed_s.is_none() {
                self.watch.score.0.remove(at);
            }
        }
    }

    /// Somebody did not, and the time for that is over.
    pub(in crate::overlay) fn score_silence(&mut self, now: Instant, pending: &Pending) {
        let (Some(kind), Some(id)) = (Kind::of(pending.purpose), pending.node) else { return };
        // It was asked since whether it is there, and has said so.
        let there = self.members.get(&id).filter(|it| it.missed == 0);
        if !self.vouching.is_required() || there.is_none_or(|it| it.address() != pending.to) {
            return;
        }
        let Some(scored) = self.watch.score.entry(&id) else { return };
        // What was asked at the same time is one silence.
        if scored.passed_s.is_some() || pending.sent < scored.at {
            return;
        }
        scored.at = now;
        scored.silent[kind as usize] += 1;
        if scored.silent[kind as usize] >= SILENT {
            self.pass_over(now, &id);
        }
    }

    /// A member is no use as a holder for a day: others take its place.
    pub(super) fn pass_over(&mut self, now: Instant, id: &NodeId) {
        let now_s = self.seconds(now);
        if let Some(scored) = self.watch.score.entry(id)
            && scored.passed_s.is_none()
        {
            scored.passed_s = Some(now_s);
            self.counters.holders_unused += 1;
            log::debug!("{id} is no use as a holder of records");
            self.holder_unused(now, id);
        }
    }
}
