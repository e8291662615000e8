//! The routers that one thread runs, and what happens to them.
//!
//! A shard has whole pools of addresses. Whatever crosses to another shard takes at least
//! [`super::link::LEAST_US`], so shards run that long without looking at one another.

use super::address::{Pool, key};
use super::fault::Fault;
use super::meet;
use super::packet::{Made, Packet, Packets, answers, has_token, request};
use super::queue::{Act, Event, Queue, What};
use super::router::{Common, Router};
use super::tally::Tally;
use super::told::told;
use super::truth::{Asked, ENDLESS};
use crate::limits::OVERLAY_DATAGRAM_BYTES_MAX;
use crate::net::Transmit;
use crate::overlay::Datagram;
use std::net::SocketAddr;

/// After one event of so many an adapter gives back room that it no longer uses.
const FIT_ONE_IN: u64 = 16;

/// A packet that goes to another shard.
pub(super) type Mail = (Event, Packet);

/// What holds for all shards while a phase runs.
pub(super) struct World {
    pub(super) common: Common,
    pub(super) shards: u32,
    /// The region of each pool.
    pub(super) regions: Vec<usize>,
    /// From when to when the halves do not hear each other.
    pub(super) parted: (u64, u64),
    /// Whether there have been hostile routers.
    pub(super) attacked: bool,
    /// Whether there have been members that lied.
    pub(super) betrayed: bool,
    pub(super) fault: Option<Fault>,
}

impl World {
    /// The number of the shard that a router belongs to.
    pub(super) fn shard_of(&self, router: u32) -> usize {
        (router / self.common.pool % self.shards) as usize
    }

    /// The half of a partition that a router is in.
    fn side(&self, router: u32) -> bool {
        super::dice::mix(self.common.seed ^ u64::from(router)) & 1 == 1
    }

    pub(super) fn is_apart(&self, now: u64, a: u32, b: u32) -> bool {
        (self.parted.0..self.parted.1).contains(&now) && self.side(a) != self.side(b)
    }
}

/// A request that is being handled, to compare its answer with.
pub(super) struct Handling {
    pub(super) from: SocketAddr,
    pub(super) request: [u8; 8],
    pub(super) len: usize,
}

/// The routers of one thread.
pub(super) struct Shard {
    pub(super) number: u32,
    pub(super) pools: Vec<Pool>,
    /// Routers of each of them.
    pub(super) pool_routers: u32,
    pub(super) routers: Vec<Router>,
    pub(super) queue: Queue,
    pub(super) tally: Tally,
    pub(super) log: Vec<Asked>,
    /// Packets for the other shards.
    pub(super) mail: Vec<Vec<Mail>>,
    pub(super) packets: Packets,
    pub(super) buffer: Box<[u8; OVERLAY_DATAGRAM_BYTES_MAX]>,
    pub(super) handling: Option<Handling>,
    alive: u64,
    /// Until when it is counted how long routers lived.
    counted_at: u64,
}

impl Shard {
    pub(super) fn new(number: u32, shards: u32, pool_routers: u32, now: u64) -> Self {
        Self {
            number,
            pools: Vec::new(),
            pool_routers,
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
        self.routers.iter_mut().for_each(|router| router.meetings.clear());
        core::mem::take(&mut self.log)
    }

    /// Where a router of this shard is kept.
    pub(super) fn index(&self, world: &World, router: u32) -> usize {
        let size = self.pool_routers;
        let (pool, at) = (router / size / world.shards, router % size);
        (pool * size + at) as usize
    }

    /// The addresses that the router which is kept at `index` has one of.
    pub(super) fn pool_of(&mut self, index: usize) -> &mut Pool {
        &mut self.pools[index / self.pool_routers as usize]
    }

    fn arrive(&mut self, world: &World, now: u64, router: u32, at: u32) {
        let Some(mut packet) = self.packets.take(at) else { return };
        let index = self.index(world, router);
        let router = &mut self.routers[index];
        if router.overlay.is_some() && router.home.owns(&packet.to) {
            router.note(now, key(&packet.from), &packet.data);
            router.load.note(now);
            if let Some(dialect) = &mut router.dialect {
                dialect.hear(now, packet.from, &mut packet.data);
            }
            self.tally.datagrams += 1;
            self.tally.carry(&packet.from, &packet.data);
            match Datagram::of(&packet.data) {
                Datagram::Overlay => self.hear(world, now, index, &packet),
                Datagram::Relayed | Datagram::Channel => {
                    self.hear_channel(world, now, index, &packet);
                }
            }
            if packet.made == Made::Honestly {
                self.routers[index].reached.by(&packet.from);
            }
        }
        self.settle(world, now, index);
        self.handling = None;
        self.packets.recycle(packet);
    }

    fn hear(&mut self, world: &World, now: u64, index: usize, packet: &Packet) {
        let router = &mut self.routers[index];
        let time = router.time(now);
        let Some(overlay) = &mut router.overlay else { return };
        // A proof is good for its giver wherever that has moved, if it comes along.
        let known = || router.reached.knew(now, &packet.from);
        let proven = packet.met || has_token(&packet.data) && known();
        if !proven && answers(&packet.data).is_none() {
            let (from, len) = (packet.from, packet.data.len());
            self.handling = request(&packet.data).map(|request| Handling { from, request, len });
        }
        if let Some(liar) = &mut router.liar {
            if liar.ignores(&packet.data) {
                return;
            }
            liar.hear(&packet.data);
        }
        let heard = overlay.handle_datagram(time, packet.from, &packet.data);
        self.tally.rejected += u64::from(heard.is_err());
        let taken = heard.is_ok() || world.fault == Some(Fault::TakesAnything);
        self.tally.swallowed += u64::from(packet.made == Made::Spuriously && taken);
    }

    fn hear_channel(&mut self, world: &World, now: u64, index: usize, packet: &Packet) {
        let router = &mut self.routers[index];
        let Some(overlay) = &mut router.overlay else { return };
        let mut way = packet.from;
        let mut data = packet.data.as_slice();
        if Datagram::of(data) == Datagram::Relayed {
            let Ok(relayed) = overlay.take_relayed(way, data) else { return };
            (way, data) = relayed;
        }
        match meet::heard(router.id(), data) {
            Ok(answer) => self.say(world, now, index, way, answer),
            Err(Some(lookup)) => {
                let met = router.meetings.iter().position(|meeting| meeting.lookup == lookup);
                if let Some(at) = met {
                    let place = router.meetings.swap_remove(at).place;
                    self.log[place as usize].met = now;
                }
            }
            Err(None) => {}
        }
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
        router.save_due(now);
        router.note(now, u64::MAX, &[]);
        self.settle(world, now, index);
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
        while let Some(event) = self.routers[index].overlay.as_mut().and_then(|o| o.poll_event()) {
            let (router, log) = (&mut self.routers[index], &mut self.log);
            if let Some(lookup) = told(router, log, world.fault, now, event) {
                let (order, whom) = (router.next_order(), router.number);
                let what = What::Act(Act::Knock(lookup));
                self.queue.push(Event { at: now + 1, order, whom, what });
            }
        }
        let router = &mut self.routers[index];
        // What has grown may wait: to look at all that could have costs more than most events.
        if router.hash.is_multiple_of(FIT_ONE_IN) {
            router.overlay.iter_mut().for_each(|overlay| overlay.fit());
        }
        if let Some(at) = router.arm(now) {
            let (order, whom) = (router.next_order(), router.number);
            self.queue.push(Event { at, order, whom, what: What::Wake });
        }
    }
}
