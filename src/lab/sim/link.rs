//! The Internet between the routers: how long a packet takes, and whether it arrives.
//!
//! A packet crosses the sender's access line, the way between two pools, and the receiver's line.
//! Regions and lines are drawn so that round-trip times spread as those measured between hosts
//! of PlanetLab and between name servers (King; Gummadi, Saroiu and Gribble, IMW 2002): the
//! median near 80 ms, one in a hundred above 400 ms. Lines lose packets in bursts (Gilbert 1960,
//! Elliott 1963). Jitter overtakes: packets of one moment arrive in another order.

use super::dice::{Dice, mix};

/// No packet is faster between two pools: shards may run so far ahead of one another.
pub(super) const LEAST_US: u64 = 4000;
/// One way over an access line, at each tenth of the lines.
const LINES_US: [u32; 11] =
    [500, 1500, 2500, 3500, 4500, 6000, 8000, 10_500, 15_000, 26_000, 90_000];
/// How much longer than straight a way is, in percent, at each tenth of the ways.
const DETOURS: [u32; 11] = [100, 105, 110, 118, 126, 136, 150, 170, 200, 260, 600];
/// Where the regions lie, in units of a millisecond one way.
const REGIONS: [(i32, i32); 8] =
    [(0, 0), (3, 1), (6, -2), (2, 5), (14, 3), (19, 0), (45, 24), (-34, 18)];
/// How many of 16 pools are in each region.
const PEOPLE: [usize; 16] = [0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 4, 5, 6, 7];
/// Jitter of a packet, at each tenth; the last tenth is a queue that stands for a moment.
const JITTER_US: [u32; 11] = [0, 50, 100, 150, 250, 400, 600, 900, 1500, 3000, 12_000];
/// How long a machine takes for a packet on an even link, on average, at either end.
const HANDLING_US: u64 = 150;
/// How long a line is good, and bad, on average.
const GOOD_US: u64 = 12_000_000;
const BAD_US: u64 = 200_000;
/// What a line loses of a million packets, good and bad: one in 200, and with the other end's one
/// in a hundred.
const LOST_GOOD: u32 = 600;
const LOST_BAD: u32 = 270_000;
/// The same for lines of a region that is in trouble.
const LOST_TROUBLED: u32 = 40_000;
/// Packets of a million that arrive twice, and that a detour holds up.
const TWICE: u32 = 1000;
const HELD_UP: u32 = 1000;
const HELD_UP_US: u64 = 60_000;

/// What is between the routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// What the head of this module tells.
    Internet,
    /// Every packet takes as long as any other, and each arrives once. Machines take a moment for
    /// it: without one, answers would come at the very microsecond at which they are expected.
    Even {
        /// How long, from one router to another.
        one_way_us: u64,
    },
}

impl Links {
    /// Even links of so many milliseconds one way; shards need some.
    pub fn even_ms(ms: u64) -> Self {
        Self::Even { one_way_us: (ms * 1000).max(LEAST_US) }
    }

    /// A router's access line.
    pub(super) fn line(self, dice: &mut Dice) -> Line {
        match self {
            Self::Internet => Line::new(dice),
            Self::Even { .. } => Line { even: true, delay_us: 0, ..Line::new(dice) },
        }
    }

    /// One way between two pools, without the lines at both ends.
    pub(super) fn way_us(self, seed: u64, a: (u32, usize), b: (u32, usize)) -> u64 {
        match self {
            Self::Internet => way_us(seed, a, b),
            Self::Even { one_way_us } => one_way_us,
        }
    }

    /// What the way does to one packet besides: how much later it comes, and whether twice.
    pub(super) fn mishap(self, dice: &mut Dice) -> (u64, bool) {
        if self == Self::Internet { mishap(dice) } else { (0, false) }
    }
}

/// One router's access line.
pub(super) struct Line {
    delay_us: u64,
    /// Whether it loses nothing, and every packet takes as long as any other.
    even: bool,
    /// How long its processor takes for a packet: nearly nothing, but for slow ones.
    pub(super) slow_us: u64,
    pub(super) troubled: bool,
    bad: bool,
    changes_at: u64,
}

impl Line {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let delay_us = dice.of(&LINES_US);
        Self { delay_us, even: false, slow_us: 0, troubled: false, bad: false, changes_at: 0 }
    }

    /// How long a packet takes over it; `None` where it is lost there.
    pub(super) fn cross(&mut self, now: u64, dice: &mut Dice) -> Option<u64> {
        if self.even {
            return Some(dice.wait(HANDLING_US) + self.handling_us(dice));
        }
        while self.changes_at <= now {
            self.bad = self.changes_at > 0 && !self.bad;
            // A line that nobody used for long is in any state.
            let from = self.changes_at.max(now.saturating_sub(GOOD_US));
            self.changes_at = from + 1 + dice.wait(if self.bad { BAD_US } else { GOOD_US });
        }
        let trouble = if self.troubled { LOST_TROUBLED } else { 0 };
        let lost = trouble + if self.bad { LOST_BAD } else { LOST_GOOD };
        if dice.chance(lost) {
            return None;
        }
        let slow_us = self.handling_us(dice);
        Some(self.delay_us + dice.of(&JITTER_US) + slow_us)
    }

    fn handling_us(&self, dice: &mut Dice) -> u64 {
        if self.slow_us > 0 { dice.wait(self.slow_us) } else { 0 }
    }
}

/// Which region a pool is in.
pub(super) fn region(seed: u64, pool: u32) -> usize {
    PEOPLE[Dice::new(seed, "region", u64::from(pool)).below(PEOPLE.len() as u64) as usize]
}

/// The same on the Internet, and in both directions.
pub(super) fn way_us(seed: u64, a: (u32, usize), b: (u32, usize)) -> u64 {
    let ((ax, ay), (bx, by)) = (REGIONS[a.1], REGIONS[b.1]);
    let (dx, dy) = (u64::from(ax.abs_diff(bx)), u64::from(ay.abs_diff(by)));
    let straight_us = ((dx * dx + dy * dy) * 1_000_000).isqrt();
    let pair = u64::from(a.0.min(b.0)) << 32 | u64::from(a.0.max(b.0));
    let detour = Dice::new(seed ^ mix(pair), "way", 0).of(&DETOURS);
    LEAST_US + straight_us * detour / 100
}

fn mishap(dice: &mut Dice) -> (u64, bool) {
    let late_us = if dice.chance(HELD_UP) { dice.wait(HELD_UP_US) } else { 0 };
    (late_us, dice.chance(TWICE))
}

/// The round-trip time between a line and most others.
pub(super) fn usual_rtt_us(way_us: u64, line: &Line) -> u64 {
    2 * (way_us + line.delay_us + u64::from(LINES_US[LINES_US.len() / 2]))
}

/// The round-trip time between two lines when nothing comes between.
pub(super) fn rtt_us(way_us: u64, a: &Line, b: &Line) -> u64 {
    2 * (way_us + a.delay_us + b.delay_us)
}
