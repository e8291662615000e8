//! The routers that one thread runs, and what happens to them.
//!
//! A shard has whole pools of addresses. Whatever crosses to another shard takes at least
//! [`super::link::LEAST_US`], so shards run that long without looking at one another.

use super::address::{POOL, Pool, place};
use super::link::{self, mishap};
use super::packet::{Packet, Packets, answers, request};
use super::queue::{Act, Event, Queue, What};
use super::router::{Common, Router};
use super::tally::Tally;
use super::truth::{Answer, Asked, ENDLESS, name};
use crate::limits::OVERLAY_DATAGRAM_BYTES_MAX;
use crate::net::Transmit;
use crate::overlay::{Found, LookupId, OverlayEvent, Port};
use std::net::SocketAddr;

/// A packet that goes to another shard.
pub(super) type Mail = (Event, Packet);

/// What is wrong with the world, so that the oracles can be seen to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Records that are asked for do not arrive.
    LosesValues,
    /// Answers are longer than what they answer.
    GrowsAnswers,
    /// What an AOR was bound to first is all that is ever told.
    TellsTheOld,
    /// Nobody hears how a look-up ended.
    ForgetsToEnd,
}

/// What holds for all shards while a phase runs.
pub(super) struct World {
    pub(super) common: Common,
    pub(super) shards: u32,
    /// The region of each pool.
    pub(super) regions: Vec<usize>,
    /// From when to when the halves do not hear each other.
    pub(super) parted: (u64, u64),
    pub(super) fault: Option<Fault>,
}

impl World {
    /// The half of a partition that a router is in.
    fn side(&self, router: u32) -> bool {
        super::dice::mix(self.common.seed ^ u64::from(router)) & 1 == 1
    }

    pub(super) fn is_apart(&self, now: u64, a: u32, b: u32) -> bool {
        (self.parted.0..self.parted.1).contains(&now) && self.side(a) != self.side(b)
    }
}

/// A request that is being handled, to compare its answer with.
struct Handling {
    from: SocketAddr,
    request: [u8; 8],
    len: usize,
}

/// The routers of one thread.
pub(super) struct Shard {
    pub(super) number: u32,
    pub(super) pools: Vec<Pool>,
    pub(super) routers: Vec<Router>,
    pub(super) queue: Queue,
    pub(super) tally: Tally,
    pub(super) log: Vec<Asked>,
    /// Packets for the other shards.
    pub(super) mail: Vec<Vec<Mail>>,
    packets: Packets,
    buffer: Box<[u8; OVERLAY_DATAGRAM_BYTES_MAX]>,
    handling: Option<Handling>,
    alive: u64,
    /// Until when it is counted how long routers lived.
    counted_at: u64,
}

impl Shard {
    pub(super) fn new(number: u32, shards: u32, now: u64) -> Self {
        Self {
            number,
            pools: Vec::new(),
            routers: Vec::new(),
            queue: Queue::new(now),
            tally: Tally::default(),
            log: Vec::new(),
            mail: (0..shards).map(|_| Vec::new()).collect(),
            packets: Packets::default(),
            buffer: Box::new([0; OVERLAY_DATAGRAM_BYTES_MAX]),
            handling: None,
            alive: 0,
            counted_at: now,
        }
    }

    /// Takes a packet that another shard sent.
    pub(super) fn accept(&mut self, (mut event, packet): Mail) {
        event.what = What::Edge(self.packets.put(packet));
        self.queue.push(event);
    }

    /// Lets happen what happens before `end`.
    pub(super) fn run(&mut self, world: &World, end: u64) {
        while let Some(event) = self.queue.pop_before(end) {
            let now = event.at;
            match event.what {
                What::Edge(packet) => self.reach_edge(world, now, event.whom, packet),
                What::Arrive(packet) => self.arrive(world, now, event.whom, packet),
                What::Wake => self.wake(world, now, event.whom),
                What::Act(act) => self.act(world, now, event.whom, act),
            }
        }
    }

    /// Takes the look-ups since the last time; those under way are given up.
    pub(super) fn take_log(&mut self) -> Vec<Asked> {
        for (_, place) in self.routers.iter_mut().flat_map(|router| router.asking.drain(..)) {
            self.log[place as usize].over = ENDLESS;
        }
        core::mem::take(&mut self.log)
    }

    /// Where a router of this shard is kept.
    pub(super) fn index(&self, world: &World, router: u32) -> usize {
        let (pool, at) = (router / POOL / world.shards, router % POOL);
        (pool * POOL + at) as usize
    }

    fn reach_edge(&mut self, world: &World, now: u64, pool: u32, at: u32) {
        let arrives = self.cross_last_line(world, now, pool, at);
        let Some((index, delay_us)) = arrives else {
            if let Some(packet) = self.packets.take(at) {
                self.packets.recycle(packet);
            }
            return;
        };
        let router = &mut self.routers[index];
        let (order, whom) = (router.next_order(), router.number);
        self.queue.push(Event { at: now + delay_us, order, whom, what: What::Arrive(at) });
    }

    /// Who gets the packet and when; nobody where it is lost.
    fn cross_last_line(
        &mut self,
        world: &World,
        now: u64,
        pool: u32,
        at: u32,
    ) -> Option<(usize, u64)> {
        let packet = self.packets.get(at)?;
        let (_, host) = place(&packet.to)?;
        let holder = self.pools.get((pool / world.shards) as usize)?.holder(host)?;
        if world.is_apart(now, packet.sender, holder) {
            return None;
        }
        let index = self.index(world, holder);
        let router = &mut self.routers[index];
        let delay_us = router.line.cross(now, &mut router.dice)?;
        Some((index, delay_us))
    }

    fn arrive(&mut self, world: &World, now: u64, router: u32, at: u32) {
        let Some(packet) = self.packets.take(at) else { return };
        let index = self.index(world, router);
        self.hear(now, index, &packet);
        self.settle(world, now, index);
        self.handling = None;
        self.packets.recycle(packet);
    }

    fn hear(&mut self, now: u64, index: usize, packet: &Packet) {
        let router = &mut self.routers[index];
        let here = SocketAddr::new(router.address.ip(), packet.to.port()) == packet.to;
        let time = router.time(now);
        let Some(overlay) = router.overlay.as_mut().filter(|_| here) else { return };
        self.tally.datagrams += 1;
        self.tally.carry(&packet.from, &packet.data);
        if !packet.met && answers(&packet.data).is_none() {
            let (from, len) = (packet.from, packet.data.len());
            self.handling = request(&packet.data).map(|request| Handling { from, request, len });
        }
        let heard = overlay.handle_datagram(time, packet.from, &packet.data);
        self.tally.rejected += u64::from(heard.is_err());
        router.reached_by(&packet.from);
        let from =
            place(&packet.from).map_or(0, |(pool, host)| u64::from(pool) << 16 | u64::from(host));
        router.note(now, from, &packet.data);
    }

    fn wake(&mut self, world: &World, now: u64, router: u32) {
        let index = self.index(world, router);
        let router = &mut self.routers[index];
        if !router.woken(now) {
            return;
        }
        let time = router.time(now);
        if let Some(overlay) = &mut router.overlay {
            self.tally.wakes += 1;
            overlay.handle_timeout(time);
            overlay.work(time, &mut router.budget);
        }
        router.note(now, u64::MAX, &[]);
        self.settle(world, now, index);
    }

    fn act(&mut self, world: &World, now: u64, number: u32, act: Act) {
        let index = self.index(world, number);
        match act {
            Act::Ask(_) | Act::Probe(_) => self.ask(now, index, act),
            Act::Renumber => self.renumber(now, index),
            Act::Publish(place) => self.routers[index].publish(now, place),
            Act::Die => self.die(now, index),
            Act::Boot => self.boot(world, now, index),
        }
        self.settle(world, now, index);
    }

    fn ask(&mut self, now: u64, index: usize, act: Act) {
        let router = &mut self.routers[index];
        let time = router.time(now);
        let (Act::Ask(aor) | Act::Probe(aor)) = act else { return };
        let Some(overlay) = &mut router.overlay else { return };
        let id = overlay.lookup(time, &name(aor));
        router.asking.push((id, self.log.len() as u32));
        self.log.push(Asked { at: now, act, answer: None, over: 0 });
    }

    /// The pool of a router, by its place among the routers.
    fn pool(&mut self, index: usize) -> &mut Pool {
        &mut self.pools[index / POOL as usize]
    }

    fn renumber(&mut self, now: u64, index: usize) {
        let pool = &mut self.pools[index / POOL as usize];
        let router = &mut self.routers[index];
        if router.overlay.is_some() {
            let host = pool.give(router.number, Some(router.host), &mut router.dice);
            router.move_to(now, host, pool.v4(host));
        }
    }

    fn die(&mut self, now: u64, index: usize) {
        let (alive, host) = (self.routers[index].overlay.is_some(), self.routers[index].host);
        if alive {
            self.routers[index].die();
            self.pool(index).take(host);
            self.live(now, -1);
        }
    }

    fn boot(&mut self, world: &World, now: u64, index: usize) {
        let pool = &mut self.pools[index / POOL as usize];
        let router = &mut self.routers[index];
        if router.overlay.is_some() {
            return;
        }
        let host = pool.give(router.number, None, &mut router.dice);
        router.move_to(now, host, pool.v4(host));
        router.start(now, &world.common);
        for place in 0..super::truth::AORS as u8 {
            router.publish(now, place);
        }
        self.live(now, 1);
    }

    /// More routers live from `now` on, or fewer.
    pub(super) fn live(&mut self, now: u64, more: i64) {
        self.tally.lived_us += u128::from(self.alive) * u128::from(now - self.counted_at);
        self.counted_at = now;
        self.alive = self.alive.saturating_add_signed(more);
    }

    /// Sends what a router wants to send, takes in what it tells, and sets its alarm.
    pub(super) fn settle(&mut self, world: &World, now: u64, index: usize) {
        while let Some(Transmit { via, to, len, .. }) =
            self.routers[index].overlay.as_mut().and_then(|o| o.poll_transmit(&mut self.buffer[..]))
        {
            self.send(world, now, index, via, to, len);
        }
        let router = &mut self.routers[index];
        while let Some(event) = router.overlay.as_mut().and_then(|o| o.poll_event()) {
            told(router, &mut self.log, world.fault, now, event);
        }
        if let Some(at) = router.arm(now) {
            let (order, whom) = (router.next_order(), router.number);
            self.queue.push(Event { at, order, whom, what: What::Wake });
        }
    }

    fn send(
        &mut self,
        world: &World,
        now: u64,
        index: usize,
        via: Port,
        to: SocketAddr,
        len: usize,
    ) {
        let mut data = self.packets.buffer(&self.buffer[..len]);
        spoil(world.fault, &mut data);
        let amplified = self.handling.as_ref().is_some_and(|handling| {
            handling.from == to
                && answers(&data) == Some(handling.request)
                && data.len() > handling.len
        });
        self.tally.amplified += u64::from(amplified);
        self.tally.carry(&to, &data);
        let router = &mut self.routers[index];
        let met = router.was_reached_by(&to);
        let mut from = router.address;
        from.set_port(from.port() + u16::from(via == Port::Second));
        let sender = router.number;
        let mut copy = None;
        let way = place(&to).filter(|(pool, _)| world.regions.len() > *pool as usize);
        if let (Some((pool, _)), Some(line_us)) = (way, router.line.cross(now, &mut router.dice)) {
            let ends = [sender / POOL, pool].map(|pool| (pool, world.regions[pool as usize]));
            let (late_us, twice) = mishap(&mut router.dice);
            let at = now + line_us + late_us + link::way_us(world.common.seed, ends[0], ends[1]);
            let event = |at, order| Event { at, order, whom: pool, what: What::Wake };
            let first = event(at, router.next_order());
            copy = twice.then(|| (event(at + 1500, router.next_order()), data.clone()));
            self.post(world, first, Packet { from, to, sender, met, data });
        }
        if let Some((event, data)) = copy {
            self.post(world, event, Packet { from, to, sender, met, data });
        }
    }

    /// Sends a packet to the pool that its event names.
    fn post(&mut self, world: &World, event: Event, packet: Packet) {
        let shard = event.whom % world.shards;
        if shard == self.number {
            self.accept((event, packet));
        } else {
            self.mail[shard as usize].push((event, packet));
        }
    }
}

/// Takes in what an adapter tells.
fn told(
    router: &mut Router,
    log: &mut [Asked],
    fault: Option<Fault>,
    now: u64,
    event: OverlayEvent,
) {
    let at = |router: &Router, id: LookupId| router.asking.iter().position(|(of, _)| *of == id);
    match event {
        OverlayEvent::Found(found) => {
            let Some(at) = at(router, found.lookup) else { return };
            let asked = &mut log[router.asking[at].1 as usize];
            let newer = asked.answer.is_none_or(|answer| answer.seq < found.seq);
            if newer && !(fault == Some(Fault::TellsTheOld) && asked.answer.is_some()) {
                asked.answer = answer(now, &found, fault);
            }
        }
        OverlayEvent::Done { lookup, .. } if fault != Some(Fault::ForgetsToEnd) => {
            let Some(at) = at(router, lookup) else { return };
            let (_, place) = router.asking.swap_remove(at);
            log[place as usize].over = now;
        }
        OverlayEvent::Published { publish, .. } => {
            let place = router.published.iter().position(|known| *known == Some(publish));
            if let Some(place) = place {
                router.truth.published(now, place as u8);
            }
        }
        _ => {}
    }
}

fn answer(now: u64, found: &Found, fault: Option<Fault>) -> Option<Answer> {
    let generation = found.contact.user.parse().ok()?;
    Some(Answer {
        at: now,
        owner: found.owner,
        seq: found.seq,
        generation: if fault == Some(Fault::TellsTheOld) { 0 } else { generation },
        address: found.addresses.first().copied(),
    })
}

/// What a broken world does to a datagram that leaves.
fn spoil(fault: Option<Fault>, data: &mut Vec<u8>) {
    match fault {
        Some(Fault::LosesValues) if super::packet::kind(data) == super::packet::VALUE => {
            data.clear();
        }
        Some(Fault::GrowsAnswers) if answers(data).is_some() => data.push(0),
        _ => {}
    }
}
