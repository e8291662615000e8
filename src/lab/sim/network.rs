//! The whole network: made, warmed up, and run by as many threads as there are shards.
//!
//! Shards run side by side for as long as no packet could cross from one to another, then
//! exchange what they sent. What a router sees does not depend on how many shards there are.

use super::address::{CARRIER_LIFE_S, POOL, POOL_MAX, Pool, place};
use super::fault::Fault;
use super::link::{LEAST_US, region, rtt_us, usual_rtt_us};
use super::population::Population;
use super::provider::Provider;
use super::queue::{Act, Event, What};
use super::router::{Common, Router};
use super::shard::{Mail, Shard, World};
use super::tally::Tally;
use super::truth::AORS;
use super::{Options, dice::Dice};
use crate::identity::NetworkKeys;
use crate::net::NodeId;
use crate::overlay::{Counters, Limits};
use crate::time::Duration;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

/// When the routers were switched on, and when the simulation begins: hours later, so that nobody
/// is new any more.
const BOOTED_US: u64 = 1_000_000;
const BEGIN_US: u64 = BOOTED_US + 2 * 3600 * 1_000_000;
/// Within this time all publish what they have.
pub(super) const PUBLISHING_US: u64 = 120_000_000;
/// Routers of the operator: they keep their address, and others join through them.
pub(super) const OPERATORS: u32 = 3;
const DAY_US: u64 = 24 * 3600 * 1_000_000;
/// From so many routers on, a hash stands in for signatures, and for blinding.
const STAND_IN_FROM: u32 = 30_000;
/// Pairs of routers whose round-trip times are looked at.
const PAIRS: u64 = 20_000;

/// A network of routers.
pub(super) struct Network {
    pub(super) world: World,
    pub(super) shards: Vec<Shard>,
    pub(super) now: u64,
    pub(super) routers: u32,
}

impl Network {
    /// A network in which nothing is published; members have known the others for hours.
    pub(super) fn new(options: &Options, population: Population) -> Self {
        let of_each = |nets| options.routers.div_ceil(nets).clamp(1, POOL_MAX);
        let pool = options.nets.map_or(POOL, of_each);
        let pools = options.routers.div_ceil(pool);
        let shards = options.threads.clamp(1, pools);
        let stand_in = options.stand_in || options.routers >= STAND_IN_FROM;
        let keys = NetworkKeys::new(&[7; 32], "simulated");
        let keys = if stand_in { keys.standing_in() } else { keys };
        let provider = if options.certified { Provider::new(&keys, stand_in) } else { None };
        let common = Common {
            seed: options.seed,
            keys,
            limits: Limits { table_kb: options.table_kb, ..Limits::default() },
            stand_in,
            provider,
            population,
            pool,
            links: options.links,
            bootstrap: Vec::new(),
        };
        let regions = (0..pools).map(|pool| region(options.seed, pool)).collect();
        let (parted, fault) = ((0, 0), options.fault);
        let (attacked, betrayed) = (false, false);
        let world = World { common, shards, regions, parted, attacked, betrayed, fault };
        let mut network = Self {
            world,
            shards: (0..shards).map(|n| Shard::new(n, shards, pool, BEGIN_US)).collect(),
            now: BEGIN_US,
            routers: options.routers,
        };
        network.populate(pools);
        network
    }

    fn populate(&mut self, pools: u32) {
        let (routers, world) = (self.routers, &mut self.world);
        let mut members =
            each(&mut self.shards, |shard| populate(shard, world, pools, routers)).concat();
        // The operator's are the first ones; only now is it known where they are.
        let operators = self.shards[0].routers.iter().take(OPERATORS as usize);
        world.common.bootstrap = operators.flat_map(|router| router.home.addresses()).collect();
        members.sort_unstable_by_key(|(id, _)| *id);
        each(&mut self.shards, |shard| begin(shard, world, &members));
    }

    /// Has a router do something at `at`.
    pub(super) fn plan(&mut self, at: u64, router: u32, act: Act) {
        let shard = &mut self.shards[self.world.shard_of(router)];
        let index = shard.index(&self.world, router);
        let order = shard.routers[index].next_order();
        shard.queue.push(Event { at, order, whom: router, what: What::Act(act) });
    }

    /// Has everybody publish all AORs, one after another.
    pub(super) fn plan_publishing(&mut self) {
        for router in 0..self.routers {
            let mut dice = Dice::new(self.world.common.seed, "publishing", u64::from(router));
            for place in 0..AORS as u8 {
                let at = self.now + dice.below(PUBLISHING_US);
                self.plan(at, router, Act::Publish(place));
            }
        }
    }

    /// Lets happen what happens before `end`.
    pub(super) fn run_until(&mut self, end: u64) {
        let (world, from) = (&self.world, self.now);
        if let [shard] = &mut self.shards[..] {
            shard.run(world, end);
        } else {
            side_by_side(&mut self.shards, world, from, end);
        }
        self.now = end;
    }

    pub(super) fn router(&self, number: u32) -> &Router {
        let shard = &self.shards[self.world.shard_of(number)];
        &shard.routers[shard.index(&self.world, number)]
    }

    pub(super) fn router_mut(&mut self, number: u32) -> &mut Router {
        let shard = &mut self.shards[self.world.shard_of(number)];
        let index = shard.index(&self.world, number);
        &mut shard.routers[index]
    }

    /// Ends what a phase did to the links and routers.
    pub(super) fn calm(&mut self) {
        self.world.parted = (0, 0);
        for router in self.shards.iter_mut().flat_map(|shard| &mut shard.routers) {
            (router.line.slow_us, router.line.troubled) = (0, false);
            (router.villain, router.liar, router.dialect) = (None, None, None);
        }
    }

    /// How many datagrams the busiest router got in one second, since the last time.
    pub(super) fn take_busiest(&mut self) -> u32 {
        let routers = self.shards.iter_mut().flat_map(|shard| &mut shard.routers);
        routers.map(|router| router.load.take_most()).max().unwrap_or(0)
    }

    /// All that happened so far, in one number.
    pub(super) fn event_hash(&self) -> u64 {
        let all = (0..self.routers).map(|number| self.router(number).hash);
        all.fold(0, |acc: u64, hash| super::dice::mix(acc ^ hash))
    }

    /// The median round-trip time of links.
    pub(super) fn median_rtt_us(&self) -> u64 {
        let mut dice = Dice::new(self.world.common.seed, "pairs", 0);
        let mut draw = || dice.below(u64::from(self.routers)) as u32;
        let mut rtts: Vec<u64> = (0..PAIRS)
            .map(|_| {
                let [a, b] = [draw(), draw()].map(|number| self.router(number));
                let end = |router: &Router| {
                    let pool = router.number / self.world.common.pool;
                    (pool, self.world.regions[pool as usize])
                };
                let way_us = self.world.common.links.way_us(self.world.common.seed, end(a), end(b));
                rtt_us(way_us, &a.line, &b.line)
            })
            .collect();
        rtts.sort_unstable();
        rtts[rtts.len() / 2]
    }

    /// Takes what was counted since the last time.
    pub(super) fn take_tally(&mut self) -> Tally {
        let mut sum = Tally::default();
        for shard in &mut self.shards {
            shard.live(self.now, 0);
            sum.add(&core::mem::take(&mut shard.tally));
        }
        sum
    }

    /// What a router's hints and members take, on average.
    pub(super) fn table_bytes(&self) -> u64 {
        let routers = self.shards.iter().flat_map(|shard| &shard.routers);
        let overlays = routers.filter_map(|router| router.overlay.as_ref());
        let of_each = overlays.map(|overlay| overlay.table_bytes().iter().sum::<usize>() as u64);
        let (count, sum) = of_each.fold((0, 0), |(count, sum), bytes| (count + 1, sum + bytes));
        sum / u64::max(count, 1)
    }

    /// What all adapters have counted, all together.
    pub(super) fn counters(&self) -> Vec<(&'static str, u64)> {
        let routers = self.shards.iter().flat_map(|shard| &shard.routers);
        let mut sums: Vec<_> = Counters::default().iter().collect();
        routers.for_each(|router| router.count_into(&mut sums));
        sums
    }

    /// Forgets what is no longer so: what comes is judged by what comes.
    pub(super) fn forget_the_past(&mut self) {
        let routers = self.shards.iter_mut().flat_map(|shard| &mut shard.routers);
        routers.for_each(|router| router.truth.forget_the_past());
    }
}

/// Does something with each shard, one thread for each.
fn each<R: Send>(shards: &mut [Shard], act: impl Fn(&mut Shard) -> R + Sync) -> Vec<R> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> =
            shards.iter_mut().map(|shard| scope.spawn(move || act(shard))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

fn populate(
    shard: &mut Shard,
    world: &World,
    pools: u32,
    routers: u32,
) -> Vec<(NodeId, [Option<SocketAddr>; 2])> {
    let mut members = Vec::new();
    let life_s = if world.fault == Some(Fault::ForgetsFlows) { 3 } else { CARRIER_LIFE_S };
    for number in (shard.number..pools).step_by(world.shards as usize) {
        let size = world.common.pool;
        let mut pool = Pool::new(number, size, life_s);
        for router in number * size..((number + 1) * size).min(routers) {
            let router = Router::new(router, &mut pool, &world.common, BOOTED_US);
            if world.common.population.is_member(router.access) {
                members.push((router.id(), router.home.by_family()));
            }
            shard.routers.push(router);
        }
        shard.pools.push(pool);
    }
    members
}

/// What each router is when the simulation begins.
fn begin(shard: &mut Shard, world: &World, members: &[(NodeId, [Option<SocketAddr>; 2])]) {
    let alive = shard.routers.len() as i64;
    shard.live(BEGIN_US, alive);
    for index in 0..shard.routers.len() {
        let router = &mut shard.routers[index];
        if world.common.population == Population::Nobody && router.number > 0 {
            shard.die(BEGIN_US, index);
            continue;
        }
        // Ticks of different routers are not at the same moment.
        let tick_us = router.dice.below(1_000_000);
        let time = router.time(BEGIN_US + tick_us);
        let joins = !world.common.population.is_member(router.access);
        if joins {
            router.start(BEGIN_US + tick_us, &world.common);
        }
        let end = |pool: u32| (pool, world.regions[pool as usize]);
        let (links, seed) = (world.common.links, world.common.seed);
        let (own, line) = (end(router.number / world.common.pool), &router.line);
        let rtt = |address: &SocketAddr| {
            let there = place(address).map_or(own, |(pool, _)| end(pool));
            Duration::from_micros(usual_rtt_us(links.way_us(seed, own, there), line))
        };
        if let Some(overlay) = &mut router.overlay {
            if !joins && world.common.population != Population::Nobody {
                overlay.warm(time, members, &rtt);
            }
            overlay.set_bootstrap(time, &world.common.bootstrap);
            overlay.handle_timeout(time);
        }
        // Who was a member for days has written its file at any hour of the last; here, now.
        if !joins {
            let next_us = router.dice.below(DAY_US);
            router.save(BEGIN_US, next_us);
        }
        shard.settle(world, BEGIN_US + 1_000_000, index);
    }
}

fn side_by_side(shards: &mut [Shard], world: &World, from: u64, end: u64) {
    let boxes = || (0..world.shards).map(|_| Mutex::new(Vec::new())).collect();
    let mail: Vec<Vec<Mutex<Vec<Mail>>>> = (0..world.shards).map(|_| boxes()).collect();
    let meeting = Meeting::new(shards.len());
    std::thread::scope(|scope| {
        for shard in shards {
            let (mail, meeting) = (&mail, &meeting);
            scope.spawn(move || {
                let _leaving = Leaving(meeting);
                let mut now = from;
                while now < end {
                    now = (now + LEAST_US).min(end);
                    shard.run(world, now);
                    for (sent, to) in shard.mail.iter_mut().zip(mail) {
                        to[shard.number as usize]
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .append(sent);
                    }
                    meeting.wait();
                    for sent in &mail[shard.number as usize] {
                        let mut sent = sent.lock().unwrap_or_else(PoisonError::into_inner);
                        sent.drain(..).for_each(|mail| shard.accept(mail));
                    }
                }
            });
        }
    });
}

/// Where threads wait for one another, thousands of times a second: so they do not sleep.
struct Meeting {
    all: usize,
    /// Whether somebody will never come.
    missing: AtomicBool,
    came: AtomicUsize,
    round: AtomicUsize,
}

/// A thread that takes part: where it fails, the others do not wait for it for ever.
struct Leaving<'m>(&'m Meeting);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.missing.store(true, Ordering::Release);
        }
    }
}

/// So often a thread looks before it lets others run.
const LOOKS: u32 = 200;

impl Meeting {
    fn new(all: usize) -> Self {
        Self {
            all,
            missing: AtomicBool::new(false),
            came: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
        }
    }

    fn wait(&self) {
        let round = self.round.load(Ordering::Acquire);
        if self.came.fetch_add(1, Ordering::AcqRel) + 1 == self.all {
            self.came.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut looks = 0u32;
        while self.round.load(Ordering::Acquire) == round {
            looks += 1;
            if looks.is_multiple_of(LOOKS) {
                assert!(!self.missing.load(Ordering::Acquire), "another thread failed");
                std::thread::yield_now();
            } else {
                core::hint::spin_loop();
            }
        }
    }
}
