//! A phase, planned from the seed before it runs.

use super::Scenario;
use crate::identity::record::Key;
use crate::lab::sim::attack::Attack;
use crate::lab::sim::dice::Dice;
use crate::lab::sim::liar::{Liar, Lie};
use crate::lab::sim::network::{Network, OPERATORS};
use crate::lab::sim::queue::Act;
use crate::lab::sim::truth::{AORS, NOBODYS, name};
use core::net::SocketAddr;
use std::sync::Arc;

const SECOND: u64 = 1_000_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
/// A user calls so often, on average: twelve times an hour.
const ASKS_EVERY: u64 = HOUR / 12;
/// One call in so many is for somebody who is not there.
const ABSENT_OF: u64 = 5;
/// Look-ups that see whether a new address is known, so long after it was given.
const PROBE_AFTER: u64 = 2 * SECOND;
/// One router in so many is slow, and handles a packet after this time, on average.
const SLOW_OF: u64 = 10;
const SLOW_US: u64 = SECOND / 3;
/// Whoever joins, or comes back, is there for the others after this time.
const SETTLED: u64 = 30 * SECOND;
/// One router in so many attacks, so often on average.
const HOSTILE_OF: u64 = 50;
const ATTACKS_EVERY: u64 = SECOND;
/// A liar spreads what it has invented so often.
const INVENTS_EVERY: u64 = 4 * MINUTE;
/// A user's phone gets another contact once in this time.
const CONTACT_LIFE: u64 = DAY;

/// A phase as it is planned.
pub(super) struct Plan<'n> {
    network: &'n mut Network,
    dice: Dice,
    from: u64,
    until: u64,
    /// When each router is without power, from and until.
    down: Vec<(u64, u64)>,
    /// Who calls and is called has had power for so long.
    settled: u64,
}

/// Plans a phase of `length` that begins now.
pub(in crate::lab::sim) fn plan(network: &mut Network, scenario: Scenario, length: u64) {
    let (from, seed) = (network.now, network.world.common.seed);
    let mut plan = Plan {
        dice: Dice::new(seed ^ from, scenario.name(), 0),
        from,
        until: from + length,
        settled: match scenario {
            Scenario::Growth | Scenario::Families => SETTLED,
            _ => 0,
        },
        down: (0..network.routers).map(|number| lives(network, number)).collect(),
        network,
    };
    match scenario {
        Scenario::Steady => plan.renumber_all(DAY),
        // One in ten.
        Scenario::Night => plan.renumber_all(10 * length),
        Scenario::Slow => plan.slow_down(),
        Scenario::BadRegion => plan.trouble_a_region(),
        Scenario::Peak => plan.everybody_calls(),
        Scenario::Renumber => plan.renumber_all(length),
        Scenario::HalfLost => plan.lose(50, (0, u64::MAX), false),
        Scenario::Restart => plan.restart(),
        Scenario::Partition => plan.part(),
        Scenario::Upgrade => plan.upgrade(length * 2 / 3),
        Scenario::Hostile => plan.attack(),
        Scenario::Liars => plan.betray(10),
        Scenario::ManyLiars => plan.betray(25),
        Scenario::Watched => plan.perjure(),
        Scenario::Clients => plan.renumber_all(2 * HOUR),
        Scenario::Families => {
            plan.renumber_all(2 * HOUR);
            plan.lose(10, (2 * MINUTE, 3 * MINUTE), true);
        }
        Scenario::Growth => plan.grow(length * 9 / 10),
        Scenario::Avalanche => plan.lose(30, (MINUTE, 2 * MINUTE), true),
    }
    plan.users();
    if scenario == Scenario::HalfLost {
        plan.everybody_asks();
    }
    plan.contacts();
}

fn lives(network: &Network, number: u32) -> (u64, u64) {
    let router = network.router(number);
    // What it has published elsewhere is not its own any more.
    let lives = router.overlay.is_some() && !router.displaced;
    if lives { (u64::MAX, 0) } else { (0, u64::MAX) }
}

impl Plan<'_> {
    fn is_up(&self, router: u32, at: u64) -> bool {
        let (from, until) = self.down[router as usize];
        !(from..until).contains(&at)
    }

    /// Whether its users call at `at`, and are registered.
    fn is_registered(&self, router: u32, at: u64) -> bool {
        let (_, since) = self.down[router as usize];
        self.is_up(router, at) && (at < since || at - since >= self.settled)
    }

    fn draw(&mut self) -> u32 {
        self.dice.below(u64::from(self.network.routers)) as u32
    }

    fn draw_live(&mut self, at: u64) -> u32 {
        loop {
            let router = self.draw();
            if self.is_registered(router, at) {
                return router;
            }
        }
    }

    fn callee(&mut self, at: u64) -> u32 {
        if self.dice.below(ABSENT_OF) == 0 {
            return NOBODYS + self.dice.below(1 << 24) as u32;
        }
        loop {
            let router = self.draw();
            if self.is_registered(router, at) {
                return router * AORS + self.dice.below(u64::from(AORS)) as u32;
            }
        }
    }

    /// The users of all routers call, at random.
    fn users(&mut self) {
        for router in 0..self.network.routers {
            if self.network.router(router).liar.is_some() {
                continue;
            }
            let mut at = self.from + self.dice.wait(ASKS_EVERY);
            while at < self.until {
                if self.is_registered(router, at) {
                    let callee = self.callee(at);
                    self.network.plan(at, router, Act::Ask(callee));
                }
                at += self.dice.wait(ASKS_EVERY);
            }
        }
    }

    /// Each looks somebody up within the first minute.
    fn everybody_asks(&mut self) {
        for router in 0..self.network.routers {
            let at = self.from + 1 + self.dice.below(MINUTE);
            if self.is_up(router, at) {
                let callee = self.callee(at);
                self.network.plan(at, router, Act::Ask(callee));
            }
        }
    }

    /// Every phone in the network calls within the first two minutes.
    fn everybody_calls(&mut self) {
        for router in 0..self.network.routers {
            for _ in 0..AORS {
                let at = self.from + 1 + self.dice.below(2 * MINUTE);
                let callee = self.callee(at);
                self.network.plan(at, router, Act::Ask(callee));
            }
        }
    }

    /// One router in ten is slow.
    fn slow_down(&mut self) {
        for router in OPERATORS..self.network.routers {
            if self.dice.below(SLOW_OF) == 0 {
                self.network.router_mut(router).line.slow_us = SLOW_US;
            }
        }
    }

    /// All lines of one region lose more.
    fn trouble_a_region(&mut self) {
        let (regions, size) = (&self.network.world.regions, self.network.world.common.pool);
        let Some(&bad) = regions.last() else { return };
        for router in 0..self.network.routers {
            let troubled = self.network.world.regions[(router / size) as usize] == bad;
            self.network.router_mut(router).line.troubled = troubled;
        }
    }

    /// The adapters of all routers are replaced within `within`.
    fn upgrade(&mut self, within: u64) {
        for router in 0..self.network.routers {
            let at = self.from + 1 + self.dice.below(within);
            self.network.plan(at, router, Act::Upgrade);
        }
    }

    /// Some attack once a second.
    fn attack(&mut self) {
        self.network.world.attacked = true;
        for router in OPERATORS..self.network.routers {
            if self.dice.below(HOSTILE_OF) > 0 && router > OPERATORS {
                continue;
            }
            self.network.router_mut(router).villain = Some(Box::default());
            let mut at = self.from + self.dice.wait(ATTACKS_EVERY);
            while at < self.until {
                let attack = Attack::ALL[self.dice.below(Attack::ALL.len() as u64) as usize];
                self.network.plan(at, router, Act::Attack(attack));
                at += self.dice.wait(ATTACKS_EVERY);
            }
        }
    }

    /// So many of a hundred lie from now on. Some take other places at once, to make one callee
    /// vanish, and later all others look for that.
    fn betray(&mut self, percent: u64) {
        self.network.world.betrayed = true;
        let victim = OPERATORS * AORS;
        let key = Key::of(&self.network.world.common.keys.aor_key(&name(victim)));
        let candidates = OPERATORS + 1..self.network.routers;
        let liars: Vec<u32> = candidates.filter(|_| self.dice.below(100) < percent).collect();
        let lies: Vec<Lie> = liars
            .iter()
            .map(|_| Lie::ALL[self.dice.below(Lie::ALL.len() as u64) as usize])
            .collect();
        let all = || liars.iter().copied().zip(lies.iter().copied());
        let stay = all().filter(|(_, lie)| *lie != Lie::Eclipse);
        let homes = stay.filter_map(|(liar, _)| self.network.router(liar).home.addresses().next());
        let others: Arc<Vec<SocketAddr>> = Arc::new(homes.collect());
        let (mut places, mut eclipsing) = (0.., others.len()..);
        for (number, lie) in all() {
            let places = if lie == Lie::Eclipse { &mut eclipsing } else { &mut places };
            let place = places.next().unwrap_or(0);
            let liar = Liar::new(lie, &others, place, key);
            self.network.router_mut(number).liar = Some(Box::new(liar));
            if lie == Lie::Eclipse {
                let at = self.from + 1 + self.dice.below(MINUTE);
                self.network.plan(at, number, Act::MoveNextTo(victim));
                self.down[number as usize] = (at, u64::MAX);
            }
            let mut at = self.from + 2 * MINUTE + self.dice.below(MINUTE);
            while at < self.until {
                self.network.plan(at, number, Act::Invent);
                at += INVENTS_EVERY;
            }
        }
        for router in 0..self.network.routers {
            if self.network.router(router).liar.is_some() {
                continue;
            }
            // The second time it may believe what liars told at the first.
            let first = self.until - 2 * MINUTE + self.dice.below(MINUTE);
            let second = first + 10 * SECOND + self.dice.below(MINUTE - 10 * SECOND);
            for at in [first, second] {
                self.network.plan(at, router, Act::AskVictim(victim));
            }
        }
    }

    /// One in ten lies in a way that can be found out; of the others one in twenty loses power for
    /// some minutes, and all get another address once a day.
    fn perjure(&mut self) {
        self.network.world.betrayed = true;
        let nobody = (Arc::default(), Key([0; 16]));
        for router in OPERATORS..self.network.routers {
            let draw = self.dice.below(200);
            if draw < 20 {
                let lie = Lie::WATCHED[draw as usize % Lie::WATCHED.len()];
                let liar = Liar::new(lie, &nobody.0, 0, nobody.1);
                self.network.router_mut(router).liar = Some(Box::new(liar));
            } else if draw < 29 {
                let within = (self.until - self.from).saturating_sub(10 * MINUTE).max(1);
                let at = self.from + 1 + self.dice.below(within);
                let boots = at + MINUTE + self.dice.below(4 * MINUTE);
                self.network.plan(at, router, Act::Die);
                self.network.plan(boots, router, Act::Boot);
                self.down[router as usize] = (at, boots);
            }
        }
        self.renumber_all(DAY);
    }

    /// All but the first are switched on, one after another, within `within`.
    fn grow(&mut self, within: u64) {
        for router in 1..self.network.routers {
            let boots = self.from + 1 + self.dice.below(within);
            self.network.plan(boots, router, Act::Boot);
            self.down[router as usize] = (0, boots);
        }
    }

    /// Phones get other contacts.
    fn contacts(&mut self) {
        for router in 0..self.network.routers {
            let at = self.from + self.dice.wait(CONTACT_LIFE);
            if at < self.until && self.is_up(router, at) {
                let place = self.dice.below(u64::from(AORS)) as u8;
                self.network.plan(at, router, Act::Publish(place));
            }
        }
    }

    /// Everybody gets another address within `within`, as far as that lies in the phase.
    fn renumber_all(&mut self, within: u64) {
        for router in OPERATORS..self.network.routers {
            let at = self.from + 1 + self.dice.below(within);
            if at < self.until && self.is_up(router, at) {
                self.renumber(at, router);
            }
        }
    }

    /// A router gets another address, and soon somebody looks up where it is.
    fn renumber(&mut self, at: u64, router: u32) {
        self.network.plan(at, router, Act::Renumber);
        let later = at + PROBE_AFTER;
        if later < self.until && !self.network.router(router).home.is_shared() {
            let asker = self.draw_live(later);
            let callee = router * AORS + self.dice.below(u64::from(AORS)) as u32;
            self.network.plan(later, asker, Act::Probe(callee));
        }
    }

    /// So many of a hundred lose power from and until then; then all boot `together`, within two
    /// minutes.
    fn lose(&mut self, percent: u64, (from, until): (u64, u64), together: bool) {
        for router in OPERATORS..self.network.routers {
            if self.dice.below(100) < percent && self.is_up(router, self.from) {
                let from = self.from + from + 1;
                let boots = self.from.saturating_add(until);
                let boots = if together { boots + self.dice.below(2 * MINUTE) } else { boots };
                self.network.plan(from, router, Act::Die);
                if boots < self.until {
                    self.network.plan(boots, router, Act::Boot);
                }
                self.down[router as usize] = (from, boots);
            }
        }
    }

    fn restart(&mut self) {
        for router in OPERATORS..self.network.routers {
            if self.dice.below(10) >= 8 || !self.is_up(router, self.from) {
                continue;
            }
            let at = self.from + 1 + self.dice.below(MINUTE);
            if self.dice.below(2) == 0 {
                self.renumber(at, router);
            } else {
                let boots = at + 20 * SECOND + self.dice.below(20 * SECOND);
                self.network.plan(at, router, Act::Die);
                self.network.plan(boots, router, Act::Boot);
                self.down[router as usize] = (at, boots);
            }
        }
    }

    fn part(&mut self) {
        self.network.world.parted = (self.from, self.from + 10 * MINUTE);
    }
}
