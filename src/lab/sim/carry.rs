//! How datagrams get from one router to another: over the sender's line, through carriers, over
//! the way between two pools, and over the receiver's line.

use super::address::place;
use super::attack::Shot;
use super::dialect::{Versions, renew};
use super::fault::{spoil, times};
use super::liar::Said;
use super::packet::{Made, Packet, answers};
use super::queue::{Event, What};
use super::shard::{Shard, World};
use crate::overlay::Port;
use std::net::SocketAddr;

impl Shard {
    pub(super) fn reach_edge(&mut self, world: &World, now: u64, pool: u32, at: u32) {
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
        let packet = self.packets.get_mut(at)?;
        let (_, host) = place(&packet.to)?;
        let pool = self.pools.get_mut((pool / world.shards) as usize)?;
        let (holder, inside) = pool.enter(now, packet.from, packet.to, host)?;
        if world.is_apart(now, packet.sender, holder) {
            return None;
        }
        packet.to = inside;
        let index = self.index(world, holder);
        let router = &mut self.routers[index];
        let delay_us = router.line.cross(now, &mut router.dice)?;
        Some((index, delay_us))
    }

    /// An adapter sends what is in the buffer.
    pub(super) fn send(
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
        let router = &self.routers[index];
        if let Some(liar) = &router.liar {
            let shown = router.overlay.as_ref().and_then(|overlay| overlay.shown());
            match liar.say(&router.identity, shown.as_ref(), &data, &world.common.keys) {
                Said::Honestly => {}
                Said::Falsely(told) => data = told,
                Said::Nothing => return,
            }
        }
        let amplified = self.handling.as_ref().is_some_and(|handling| {
            handling.from == to
                && answers(&data) == Some(handling.request)
                && data.len() > handling.len
        });
        self.tally.amplified += u64::from(amplified);
        let router = &mut self.routers[index];
        if let Some(villain) = &mut router.villain {
            villain.overhear(to, &data);
        }
        let dialect = router.dialect.as_ref();
        let versions = dialect.map_or(Versions::Old, |it| it.towards(world.fault, now, &to, &data));
        if versions == Versions::Both {
            let mut twin = self.packets.buffer(&data);
            renew(&mut twin);
            self.launch(world, now, index, via, to, twin);
        } else if versions == Versions::New {
            renew(&mut data);
        }
        for _ in 1..times(world.fault, self.routers[index].number, &data) {
            let again = self.packets.buffer(&data);
            self.launch(world, now, index, via, to, again);
        }
        self.launch(world, now, index, via, to, data);
    }

    /// A datagram leaves a router by its own address.
    pub(super) fn launch(
        &mut self,
        world: &World,
        now: u64,
        index: usize,
        via: Port,
        to: SocketAddr,
        data: Vec<u8>,
    ) {
        let router = &self.routers[index];
        let Some(mut from) = router.home.towards(&to) else {
            let time = router.time(now);
            if let Some(overlay) = &mut self.routers[index].overlay {
                overlay.send_failed(time, to);
            }
            return;
        };
        self.tally.carry(&to, &data);
        let (met, sender) = (router.reached.is_here_by(&to), router.number);
        from.set_port(from.port() + u16::from(via == Port::Second));
        let router = &self.routers[index];
        let home = router.home;
        let from = self.pool_of(index).leave(now, &home, from, to);
        self.cross(world, now, index, Packet { from, to, sender, met, made: Made::Honestly, data });
    }

    /// A hostile router sends something.
    pub(super) fn shoot(&mut self, world: &World, now: u64, index: usize, shot: Shot) {
        let router = &self.routers[index];
        let Some(own) = router.home.towards(&shot.to) else { return };
        let met = shot.from.is_none() && router.reached.is_here_by(&shot.to);
        let made = if shot.spurious { Made::Spuriously } else { Made::Hostilely };
        let (from, sender) = (shot.from.unwrap_or(own), router.number);
        let packet = Packet { from, to: shot.to, sender, met, made, data: shot.data };
        self.cross(world, now, index, packet);
    }

    /// A packet crosses its sender's line, and the way to its receiver's pool.
    fn cross(&mut self, world: &World, now: u64, index: usize, packet: Packet) {
        let router = &mut self.routers[index];
        let way = place(&packet.to).filter(|(pool, _)| world.regions.len() > *pool as usize);
        let line_us = way.and_then(|_| router.line.cross(now, &mut router.dice));
        let (Some((pool, _)), Some(line_us)) = (way, line_us) else {
            self.packets.recycle(packet);
            return;
        };
        let ends = [packet.sender / world.common.pool, pool]
            .map(|pool| (pool, world.regions[pool as usize]));
        let links = world.common.links;
        let (late_us, twice) = links.mishap(&mut router.dice);
        let at = now + line_us + late_us + links.way_us(world.common.seed, ends[0], ends[1]);
        let event = |at, order| Event { at, order, whom: pool, what: What::Wake };
        let first = event(at, router.next_order());
        if twice {
            let again = event(at + 1500, router.next_order());
            let copy = Packet { data: self.packets.buffer(&packet.data), ..packet };
            self.post(world, again, copy);
        }
        self.post(world, first, packet);
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
