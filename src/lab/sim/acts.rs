//! What routers and their users do, and what is done to them.

use super::attack::Attack;
use super::dialect::Dialect;
use super::meet::KNOCK_EVERY_US;
use super::network::OPERATORS;
use super::queue::{Act, Event, What};
use super::router::Router;
use super::shard::{Shard, World};
use super::truth::{AORS, Asked, name};
use crate::identity::record::Key;
use crate::net::is_detour;
use crate::overlay::{LookupId, Port};

impl Shard {
    pub(super) fn act(&mut self, world: &World, now: u64, number: u32, act: Act) {
        let index = self.index(world, number);
        match act {
            Act::Ask(_) | Act::Probe(_) | Act::AskVictim(_) => self.ask(now, index, act),
            Act::MoveNextTo(aor) => self.move_next_to(world, now, index, aor),
            Act::Invent => self.invent(index),
            Act::Renumber => self.renumber(now, index),
            Act::Publish(place) => self.routers[index].publish(now, place),
            Act::Die => self.die(now, index),
            Act::Boot => self.boot(world, now, index, true),
            Act::Start => self.boot(world, now, index, false),
            Act::Upgrade => self.upgrade(world, now, index),
            Act::Knock(lookup) => self.knock(world, now, index, lookup),
            Act::Attack(attack) => self.attack(world, now, index, attack),
        }
        self.settle(world, now, index);
    }

    fn ask(&mut self, now: u64, index: usize, act: Act) {
        let router = &mut self.routers[index];
        let time = router.time(now);
        let Some(aor) = act.callee() else { return };
        let Some(overlay) = &mut router.overlay else { return };
        let id = overlay.lookup(time, &name(aor));
        router.asking.push((id, self.log.len() as u32));
        self.log.push(Asked::new(now, act));
    }

    /// Knocks at a callee that is to be met, and does so again.
    pub(super) fn knock(&mut self, world: &World, now: u64, index: usize, lookup: LookupId) {
        let router = &mut self.routers[index];
        let Some(at) = router.meetings.iter().position(|meeting| meeting.lookup == lookup) else {
            return;
        };
        let mut said = Vec::new();
        if router.meetings[at].knock(&mut said) {
            let (order, whom) = (router.next_order(), router.number);
            let what = What::Act(Act::Knock(lookup));
            self.queue.push(Event { at: now + KNOCK_EVERY_US, order, whom, what });
        } else {
            router.meetings.swap_remove(at);
        }
        for (way, data) in said {
            self.say(world, now, index, way, data);
        }
    }

    /// Sends a datagram of the channel.
    pub(super) fn say(
        &mut self,
        world: &World,
        now: u64,
        index: usize,
        way: std::net::SocketAddr,
        data: Vec<u8>,
    ) {
        if !is_detour(&way) {
            return self.launch(world, now, index, Port::First, way, data);
        }
        let time = self.routers[index].time(now);
        if let Some(overlay) = &mut self.routers[index].overlay {
            // What finds no way is lost; it is said again.
            let _ = overlay.send_relayed(time, way, &data);
        }
    }

    fn renumber(&mut self, now: u64, index: usize) {
        let pool = &mut self.pools[index / self.pool_routers as usize];
        let router = &mut self.routers[index];
        if router.overlay.is_some() {
            let before = router.home;
            let home = pool.give(router.number, router.access, Some(&before), &mut router.dice);
            router.move_to(now, home);
        }
    }

    pub(super) fn die(&mut self, now: u64, index: usize) {
        let router = &mut self.routers[index];
        if router.overlay.is_some() {
            router.die();
            let home = router.home;
            self.pool_of(index).take(&home);
            self.live(now, -1);
        }
    }

    fn boot(&mut self, world: &World, now: u64, index: usize, publishes: bool) {
        let pool = &mut self.pools[index / self.pool_routers as usize];
        let router = &mut self.routers[index];
        if router.overlay.is_some() {
            return;
        }
        if router.number < OPERATORS {
            pool.give_back(router.number, &router.home);
        } else {
            let home = pool.give(router.number, router.access, None, &mut router.dice);
            router.move_to(now, home);
        }
        router.start(now, &world.common);
        for place in (0..AORS as u8).filter(|_| publishes) {
            router.publish(now, place);
        }
        self.live(now, 1);
    }

    /// A liar takes another place.
    fn move_next_to(&mut self, world: &World, now: u64, index: usize, aor: u32) {
        let key = Key::of(&world.common.keys.aor_key(&name(aor)));
        self.die(now, index);
        self.routers[index].move_next_to(&key, &world.common);
        self.boot(world, now, index, false);
    }

    /// A liar spreads that a member of its invention is where it is itself.
    fn invent(&mut self, index: usize) {
        let Router { liar, overlay, home, .. } = &mut self.routers[index];
        let rumour = liar.as_ref().and_then(|liar| liar.rumour());
        if let (Some(overlay), Some(id)) = (overlay, rumour) {
            home.addresses().for_each(|address| overlay.invent(id, address));
        }
    }

    /// The adapter is replaced by one that speaks a newer version, too.
    fn upgrade(&mut self, world: &World, now: u64, index: usize) {
        let router = &mut self.routers[index];
        if router.overlay.is_none() {
            return;
        }
        // A clean stop.
        router.save(now, 0);
        router.die();
        router.dialect = Some(Dialect::default());
        router.start(now, &world.common);
        for place in 0..AORS as u8 {
            router.publish(now, place);
        }
    }

    fn attack(&mut self, world: &World, now: u64, index: usize, attack: Attack) {
        let router = &mut self.routers[index];
        let time = router.time(now);
        let Some(villain) = &router.villain else { return };
        for shot in villain.shots(attack, time, &mut router.dice) {
            self.shoot(world, now, index, shot);
        }
    }
}
