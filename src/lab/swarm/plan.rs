//! What a swarm is put through, and when: planned from a seed before it runs.
//!
//! Real processes and the simulator play the same plan. Times count from when the first router
//! starts. Routers start one after another, then their phones register one after another; the
//! swarm settles; it is left alone for a while; then users ask, one after another; at last half of
//! the routers vanish at once, and everything is asked again by the others.

use crate::lab::sim::{AORS, NOBODYS};
use crate::rng::Rng;
use crate::time::Duration;

/// The pause between routers that start, and between routers whose phones register.
const PAUSE: Duration = Duration::from_millis(100);
/// From the last router's start to the first phone.
const BEFORE_PHONES: Duration = Duration::from_secs(5);
/// The longest pause between two users who ask, and half of it is the shortest.
const ASK_PAUSE: Duration = Duration::from_millis(60);
/// Within this time after half have vanished, all is asked again.
const AGAIN_WITHIN: Duration = Duration::from_secs(10);
/// The last look-ups end, and the last packets arrive.
const REST: Duration = Duration::from_secs(3);
/// One in so many who are asked for is nobody.
const ABSENT_OF: u32 = 5;
/// Routers that the others join by; they do not vanish.
pub(in crate::lab) const SEEDS: u32 = 3;

/// How large a swarm is, and how long things take.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many routers.
    pub routers: u32,
    /// From the last registration to the first measurement.
    pub settle: Duration,
    /// How long it is looked at what an idle router sends.
    pub idle: Duration,
    /// How many look-ups follow.
    pub asks: u32,
}

/// A user asks for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lab) struct Ask {
    pub(in crate::lab) at: Duration,
    /// Who asks: a router.
    pub(in crate::lab) router: u32,
    /// Whom: the number of an AOR, or of one that nobody has.
    pub(in crate::lab) aor: u32,
}

impl Ask {
    /// The router that the answer has to name; none where there is nobody.
    pub(in crate::lab) fn owner(&self) -> Option<u32> {
        (self.aor < NOBODYS).then_some(self.aor / AORS)
    }
}

/// A plan.
#[derive(Clone, Debug)]
pub(in crate::lab) struct Plan {
    pub(in crate::lab) size: Size,
    /// What users ask once the swarm has settled.
    pub(in crate::lab) asks: Vec<Ask>,
    /// Who vanishes.
    pub(in crate::lab) victims: Vec<u32>,
    /// What the others ask after that: every AOR that there is, and some that there are not.
    pub(in crate::lab) again: Vec<Ask>,
}

impl Plan {
    pub(in crate::lab) fn new(size: Size, seed: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        let mut rng = Rng::new(key);
        let mut plan = Self { size, asks: Vec::new(), victims: Vec::new(), again: Vec::new() };
        let mut at = plan.idle_until();
        for _ in 0..size.asks {
            at += rng.jitter(ASK_PAUSE);
            let router = rng.below(size.routers);
            let aor = some_aor(&mut rng, router, size.routers);
            plan.asks.push(Ask { at, router, aor });
        }
        let mut others: Vec<u32> = (SEEDS..size.routers).collect();
        for _ in 0..size.routers / 2 {
            let victim = rng.below(others.len() as u32);
            plan.victims.push(others.swap_remove(victim as usize));
        }
        others.extend(0..SEEDS);
        let mut aors: Vec<u32> = (0..size.routers).flat_map(aors_of).collect();
        let absent = aors.len() as u32 / (ABSENT_OF - 1);
        aors.extend((0..absent).map(|_| nobody(&mut rng)));
        let (from, step) = (plan.vanish_at(), AGAIN_WITHIN / aors.len() as u32);
        for turn in 0..aors.len() as u32 {
            let aor = aors.swap_remove(rng.below(aors.len() as u32) as usize);
            let router = others[rng.below(others.len() as u32) as usize];
            plan.again.push(Ask { at: from + step * turn, router, aor });
        }
        plan
    }

    /// When a router starts.
    pub(in crate::lab) fn starts(&self, router: u32) -> Duration {
        PAUSE * router
    }

    /// When its phones register.
    pub(in crate::lab) fn registers(&self, router: u32) -> Duration {
        self.starts(self.size.routers) + BEFORE_PHONES + PAUSE * router
    }

    /// When the idle swarm is looked at, from and until.
    pub(in crate::lab) fn idle_from(&self) -> Duration {
        self.registers(self.size.routers) + self.size.settle
    }

    pub(in crate::lab) fn idle_until(&self) -> Duration {
        self.idle_from() + self.size.idle
    }

    /// When the look-ups that follow have ended, and half of the routers vanish.
    pub(in crate::lab) fn vanish_at(&self) -> Duration {
        self.asks.last().map_or_else(|| self.idle_until(), |ask| ask.at) + REST
    }

    /// When all is over.
    pub(in crate::lab) fn ends(&self) -> Duration {
        self.vanish_at() + AGAIN_WITHIN + REST
    }
}

/// The AORs of a router: one, two or three.
pub(in crate::lab) fn aors_of(router: u32) -> impl Iterator<Item = u32> {
    (0..1 + router % AORS).map(move |place| router * AORS + place)
}

fn some_aor(rng: &mut Rng, asker: u32, routers: u32) -> u32 {
    if rng.below(ABSENT_OF) == 0 {
        return nobody(rng);
    }
    let other = (asker + 1 + rng.below(routers - 1)) % routers;
    other * AORS + rng.below(1 + other % AORS)
}

fn nobody(rng: &mut Rng) -> u32 {
    NOBODYS + rng.below(1 << 24)
}
