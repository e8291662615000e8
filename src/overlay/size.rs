//! How large the network is, by how far its members are from one another; and what follows from it.
//!
//! Ids are as if drawn, so members are as dense around one place as around another: around our own,
//! whose neighbours are proven, and around the keys of our records, whose holders have answered.
//! Where a few of those who are said to be closest to a key are nearer than chance puts them once
//! in a thousand keys, somebody has put them there, or has invented them: then others are asked
//! besides, out to where the twelve closest are to be expected.
//!
//! The same size follows from the hints, which come from everywhere. Where one is twice the other,
//! some of what this node knows is not so, or it knows a part alone: that is told, once a day.

use super::Overlay;
use super::announce::NEIGHBOURS;
use super::event::OverlayEvent;
use super::id::{Named, Place, distance, sibling};
use super::lookup::REPLICAS;
use super::publication::{HOLDERS_MAX, State};
use crate::order::order;
use crate::time::Instant;

/// So many closest are nearer than so many hundredths of the distance between two members once in a
/// thousand places.
const CROWDED: [(usize, u64); 3] = [(4, 43), (8, 197), (REPLICAS, 390)];
/// Paths on which a look-up goes on where answers disagree, or miss.
pub(super) const PATHS: u8 = 3;
/// A smaller sample would seem to be half or double by chance, for one router in a hundred.
const SAMPLE_MIN: u64 = 24;
/// Where members are so many times as dense as in the middle place, or as far apart, some are
/// invented or unknown: chance has eight that near or that far less than once in a hundred places.
const ODD: u64 = 3;
/// Places whose surroundings are looked at.
const SAMPLES_MAX: usize = 8;
/// So many holders are surely those who are closest.
const SURE: usize = 8;
/// Smaller networks are known as a whole.
const LARGE: usize = 64;
const DAY_S: u32 = 24 * 3600;

/// The size of the network, as far as it is known.
#[derive(Default)]
pub(super) struct Size {
    /// How far members are from one another, on average, in units of 2^64: divisions of 128 bits
    /// take 2 kB of program. 0 where that is not known.
    spacing: u64,
    doubt: bool,
    told_s: Option<u32>,
}

impl Size {
    /// How many members that are.
    pub(super) fn estimate(&self) -> Option<usize> {
        let count = u64::MAX.checked_div(self.spacing)?;
        Some(usize::try_from(count).unwrap_or(usize::MAX))
    }

    /// Whether hints tell of half as many, or of twice as many.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubt
    }

    /// The distance within which so many members are to be expected.
    pub(super) fn reach(&self, members: usize) -> u128 {
        let far = || u128::from(self.spacing.saturating_mul(members as u64)) << 64;
        if self.spacing == 0 { u128::MAX } else { far() }
    }

    /// Whether the closest to a place, closest first, are nearer than chance puts them.
    pub(super) fn is_crowded(&self, place: &Place, closest: &[Named]) -> bool {
        CROWDED.iter().any(|(count, hundredths)| {
            let last = closest.get(count - 1);
            let near = self.spacing / 100 * hundredths;
            last.is_some_and(|last| units(place, &last.node.id.0) < near)
        })
    }

    /// A place in each of three parts next to `place`, all of them within the distance of those who
    /// may keep what is there. None where the size is not known.
    pub(super) fn parts(&self, place: &Place) -> impl Iterator<Item = (u8, Place)> + use<> {
        let (place, first) = (*place, self.reach(REPLICAS).leading_zeros() + 1);
        let paths = if self.spacing == 0 { 0 } else { PATHS };
        (0..paths).map(move |path| (path + 1, sibling(&place, first + u32::from(path))))
    }
}

/// A distance in units of [`Size::spacing`].
fn units(a: &Place, b: &Place) -> u64 {
    (distance(a, b) >> 64) as u64
}

impl Overlay {
    /// Estimates the size anew.
    pub(super) fn measure_size(&mut self, now: Instant) {
        let me = self.me.0;
        let neighbours = self.members.closest::<NEIGHBOURS>(&me, |m| m.missed == 0);
        let Some(last) = neighbours.last().filter(|_| neighbours.is_full()) else {
            self.size.spacing = 0;
            return;
        };
        // How many are how near.
        let mut samples = heapless::Vec::<(u64, u64), SAMPLES_MAX>::new();
        samples.extend([(NEIGHBOURS as u64, units(&me, &last.id.0))]);
        for (_, publication) in self.publications.iter().filter(|(_, it)| it.is_settled()) {
            let key = publication.key.0;
            let held = publication.holders.iter().filter(|h| h.state == State::Acknowledged);
            let mut far: heapless::Vec<u64, HOLDERS_MAX> =
                held.map(|h| units(&key, &h.node.id.0)).collect();
            order(&mut far, |far| *far);
            // Some of the twelve may be missing.
            if let Some(last) = far.get(SURE - 1).filter(|_| far.len() >= REPLICAS) {
                samples.extend((!samples.is_full()).then_some((SURE as u64, *last)));
            }
        }
        // What is far from most others is a place that is crowded, or not known.
        order(&mut samples, |(count, far)| far / count);
        let middle = samples.get(samples.len() / 2).map_or(0, |(count, far)| far / count);
        let fit =
            |(count, far): &&(u64, u64)| (middle / ODD..=middle * ODD).contains(&(far / count));
        let sums = samples.iter().filter(fit).fold((0, 0_u64), |(counts, fars), (count, far)| {
            (counts + count, fars.saturating_add(*far))
        });
        let (count, sum) = sums;
        self.size.spacing = sum.checked_div(count).unwrap_or(0);
        let (own, told) = (self.size.estimate().unwrap_or(0), self.hints.everybody());
        let sure = count >= SAMPLE_MIN && told.max(own) >= LARGE && self.join_next(now).is_none();
        self.size.doubt = sure && (own > 2 * told || told > 2 * own);
        let now_s = self.seconds(now);
        let again = self.size.told_s.is_none_or(|told_s| now_s >= told_s + DAY_S);
        if self.size.doubt && again {
            self.size.told_s = Some(now_s);
            self.counters.size_doubts += 1;
            self.tell(OverlayEvent::SizeInDoubt { own, told });
        }
    }
}
