//! Harvest: a node that has joined a large network asks for hints of all of it.
//!
//! Gossip tells of everybody within a day; a look-up wants them now. So the place is walked through
//! from four points at once, each second a step at each of them: somebody, another each time, is
//! asked who is closest to the point, by a question as large as its answer. What surely lies within
//! the answer is passed, and the next point is behind it. At 30,000 nodes a table is filled in a
//! minute and a half, for 400 kB in each direction.

use super::Overlay;
use super::id::{Named, prefix};
use super::reader::Nodes;
use super::request::Purpose;
use super::wire::{GET_BYTES, NO_TOKEN};
use super::wire_out::Encoder;
use crate::time::Instant;

const PARTS: usize = 4;
const STEPS_MAX: u16 = 2000;

/// One part of the search: where it is, and whether an answer is awaited.
#[derive(Clone, Copy, Default)]
struct Part {
    at: Option<u64>,
    waits: bool,
}

/// How far the search has come.
#[derive(Default)]
pub(super) struct Harvest {
    parts: [Part; PARTS],
    steps: u16,
}

impl Harvest {
    /// Begins at all points.
    pub(super) fn begin(&mut self) {
        *self = Self::default();
        for (number, part) in self.parts.iter_mut().enumerate() {
            part.at = Some((number as u64) << 62);
        }
    }

    /// Whether more is to be asked for.
    pub(super) fn is_on(&self) -> bool {
        self.steps < STEPS_MAX && self.parts.iter().any(|part| part.at.is_some())
    }
}

impl Overlay {
    /// Takes a step at each point.
    pub(super) fn harvest_tick(&mut self, now: Instant) {
        for number in 0..PARTS {
            let Some(part) = self.harvest.parts.get_mut(number).filter(|part| !part.waits) else {
                continue;
            };
            let Some(at) = part.at.filter(|_| self.harvest.steps < STEPS_MAX) else { continue };
            let anywhere = self.rng.bytes();
            // Hints, too: those who come back together would ask the few whom all know.
            let chosen = self.closest_known::<1>(now, &anywhere, false);
            let Some(Named { node, .. }) = chosen.first() else { return };
            let now_s = self.seconds(now);
            if node.is_hint() && self.upkeep.probed.is_recent(&node.address, now_s) {
                continue;
            }
            let mut place = [0; 16];
            place[..8].copy_from_slice(&at.to_be_bytes());
            let purpose = Purpose::Harvest(number as u8);
            let (to, who) = (node.address, Some(node.id));
            let asked = self.ask(now, to, who, purpose, GET_BYTES, |me, request| {
                Encoder::find(me, request, &NO_TOKEN, &place)
            });
            self.harvest.steps += 1;
            self.harvest.parts[number].waits = asked;
        }
    }

    /// Somebody told whom it knows around a point.
    pub(super) fn harvested(&mut self, now: Instant, number: u8, nodes: Nodes<'_>) {
        self.hear_hints(now, nodes, None);
        let Some(part) = self.harvest.parts.get_mut(usize::from(number)) else { return };
        part.waits = false;
        let Some(at) = part.at else { return };
        let farthest = nodes.iter().map(|named| prefix(&named.node.id) ^ at).max().unwrap_or(0);
        // All places that share one bit more with the point are nearer than the farthest named.
        let passed = u64::MAX.checked_shr(farthest.leading_zeros() + 1).unwrap_or(0);
        let next = (at | passed).checked_add(1);
        part.at = next.filter(|next| next >> 62 == u64::from(number));
    }

    /// Nobody answered: somebody else is asked.
    pub(super) fn harvest_missed(&mut self, number: u8) {
        let part = self.harvest.parts.get_mut(usize::from(number));
        part.into_iter().for_each(|part| part.waits = false);
    }
}
