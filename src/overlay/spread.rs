//! Spreading hints along the tree of [`super::gossip`]: announcing this node, sending what waits to
//! a contact for each bit, and taking in what others bring.

use super::Overlay;
use super::answer::Asker;
use super::gossip::{ANNOUNCE, BITS, ROUND};
use super::id::{Named, Node, common_bits, sibling};
use super::judge::Judged;
use super::reader::Nodes;
use super::request::Purpose;
use super::wire::{Hello, NO_TOKEN, Status, Token};
use super::wire_out::Encoder;
use crate::limits::{OVERLAY_GOSSIP_BURST_BYTES, OVERLAY_GOSSIP_BYTES_PER_S};
use crate::net::Rejected;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

const ROUND_JITTER_MS: u32 = 60_000;
const ANNOUNCE_JITTER_S: u32 = 2 * 3600;
/// Headers of IP and UDP, and all of a datagram but its hints.
const HEADER_BYTES: usize = 28 + 53;
/// How often a datagram is sent, to the same contact and then to others: where four of five are
/// gone, or have moved, one that is there is found all but surely.
const TRIES_MAX: u8 = 16;
const TRIES_SAME: u8 = 2;
/// As so many tries counts one that waits for the next round.
const TRIES_WAITED: u8 = 4;
/// Hints of a part of the tree that are tried where nobody there is proven.
const CHOICES: usize = 8;

impl Overlay {
    /// Announces this node where that is due, and begins the next round.
    pub(super) fn gossip_timeout(&mut self, now: Instant) {
        if self.gossip.announce_at.is_some_and(|at| at <= now) {
            self.announce_self(now);
        }
        if self.gossip.next > now {
            return;
        }
        let jitter = u64::from(self.rng.below(ROUND_JITTER_MS));
        self.gossip.next = now + ROUND + Duration::from_millis(jitter);
        let passed_s = now.since(self.gossip.begun).as_secs() as usize;
        let earned = self.gossip.budget + passed_s * OVERLAY_GOSSIP_BYTES_PER_S;
        self.gossip.budget = earned.min(OVERLAY_GOSSIP_BURST_BYTES);
        self.gossip.begun = now;
        if self.gossip.round == 0 {
            self.gossip.round = self.gossip.queue.len();
        }
        let (me, minute) = (self.me, self.minute(now));
        // Where nobody is any more, nobody is behind that either.
        let is_end = |bit: &u32| {
            let members = self.members.within(&me.0, *bit);
            members.is_empty() && !self.hints.is_anybody_within(&me.0, *bit, minute)
        };
        let depth = (0..BITS as u32).find(is_end).map_or(BITS, |bit| bit as usize);
        self.gossip.depth = depth;
        let round = self.gossip.round as u32;
        self.gossip.branches.iter_mut().skip(depth).for_each(|branch| branch.done = round);
        for bit in 0..depth {
            self.spread(now, bit as u8);
        }
        self.gossip.end_round();
    }

    /// Our address is another, or we are a member now: everybody is to hear of that.
    pub(super) fn address_is_news(&mut self, now: Instant) {
        let own = self.told_addresses();
        if own != [None; 2] && own != self.gossip.announced {
            self.gossip.announce_at = Some(now);
        }
    }

    /// Where others are told that we are, IPv4 first; nowhere unless we are reached in our family.
    pub(super) fn told_addresses(&self) -> [Option<SocketAddr>; 2] {
        let own = self.reach.own();
        let open =
            self.judge.judged() == Judged::Member && own[usize::from(self.hints.six)].is_some();
        if open { own } else { [None; 2] }
    }

    fn announce_self(&mut self, now: Instant) {
        let jitter = u64::from(self.rng.below(ANNOUNCE_JITTER_S));
        self.gossip.announce_at = Some(now + ANNOUNCE + Duration::from_secs(jitter));
        let own = self.told_addresses();
        if own == [None; 2] {
            return;
        }
        if self.gossip.has_room(own.len()) {
            self.gossip.announced = own;
            for address in own.into_iter().flatten() {
                let node = Node { id: self.me, address };
                self.gossip.push(0, &Named { node, age_h: 0 });
            }
            self.gossip.hurry(now, self.hints.len());
        } else {
            self.gossip.announce_at = Some(now + ROUND);
        }
    }

    /// Sends the next hints for a bit, if there are any and the round's budget allows it.
    fn spread(&mut self, now: Instant, bit: u8) {
        let at = usize::from(bit);
        if self.gossip.branches.get(at).is_none_or(|branch| branch.waits) {
            return;
        }
        let (end, count, hints) = self.gossip.pick(at);
        let cost = HEADER_BYTES + hints.len();
        let contact = if count == 0 {
            None
        } else if self.gossip.budget < cost {
            self.counters.gossip_waited += 1;
            return;
        } else {
            self.contact(now, bit)
        };
        let over = contact.is_none() && (count == 0 || !self.is_anybody_at(now, bit));
        let Some(branch) = self.gossip.branches.get_mut(at) else { return };
        branch.end = end as u32;
        let Some((node, token)) = contact else {
            if over {
                branch.done = end as u32;
                return self.gossip.end_round();
            }
            // Who is there may be proven until the next round.
            return self.spread_failed(bit, true, TRIES_WAITED);
        };
        branch.serial = branch.serial.wrapping_add(1);
        let serial = branch.serial;
        let (to, who) = (node.address, Some(node.id));
        let asked = if token == NO_TOKEN {
            let claim = self.judge.claim();
            self.ping(now, to, who, Purpose::Contact(bit, serial), &NO_TOKEN, claim)
        } else {
            self.gossip.budget -= cost;
            self.ask(now, to, who, Purpose::Spread(bit, serial), 0, |me, request| {
                Encoder::hints(me, request, &token, bit + 1, (count, &hints), &to)
            })
        };
        self.gossip.branches.get_mut(at).into_iter().for_each(|branch| branch.waits = asked);
    }

    /// Whether anybody is known who differs from us in this bit first.
    fn is_anybody_at(&self, now: Instant, bit: u8) -> bool {
        let (place, bits) = (sibling(&self.me.0, u32::from(bit)), u32::from(bit) + 1);
        !self.members.within(&place, bits).is_empty()
            || self.hints.is_anybody_within(&place, bits, self.minute(now))
    }

    /// Who is asked to spread what is for those who differ from us in this bit first.
    fn contact(&mut self, now: Instant, bit: u8) -> Option<(Node, Token)> {
        let (now_s, minute) = (self.seconds(now), self.minute(now));
        let branch = self.gossip.branches.get_mut(usize::from(bit))?;
        if let Some(node) = branch.contact {
            match self.members.get(&node.id) {
                Some(member) if member.missed > 0 => {}
                Some(member) if member.address() == node.address => {
                    return Some((node, branch.token));
                }
                None if branch.token != NO_TOKEN => return Some((node, branch.token)),
                _ => {}
            }
        }
        let (place, bits) = (sibling(&self.me.0, u32::from(bit)), u32::from(bit) + 1);
        let fit = || self.members.within(&place, bits).iter().filter(|member| member.missed == 0);
        let chosen = self.rng.below(fit().count() as u32) as usize;
        let mut chosen = fit().nth(chosen).map(|member| member.node());
        let hints = self.hints.count_within(&place, bits) as u32;
        let first = self.rng.below(hints) as usize;
        if chosen.is_none() {
            let nth = |number| self.hints.nth_within(&place, bits, number % hints as usize, minute);
            let mut some = (first..first + hints as usize).filter_map(nth).take(CHOICES);
            chosen = some.find(|node| !self.upkeep.probed.is_recent(&node.address, now_s));
        }
        (branch.contact, branch.token) = (chosen, NO_TOKEN);
        chosen.map(|node| (node, NO_TOKEN))
    }

    /// A contact answered.
    pub(super) fn spread_answered(
        &mut self,
        now: Instant,
        (bit, serial): (u8, u8),
        node: &Node,
        hello: &Hello,
        status: Option<Status>,
    ) {
        let Some(branch) = self.gossip.branches.get_mut(usize::from(bit)) else { return };
        if !branch.waits || branch.serial != serial {
            return;
        }
        (branch.waits, branch.contact, branch.token) = (false, Some(*node), hello.token);
        match status {
            None => {}
            Some(Status::Stored) => {
                (branch.done, branch.tries) = (branch.end, 0);
                self.gossip.end_round();
            }
            Some(Status::NoToken) => self.spread_failed(bit, false, 1),
            // It has too many already: they wait for the next round.
            Some(_) => return self.spread_failed(bit, true, TRIES_WAITED),
        }
        self.spread(now, bit);
    }

    /// A contact did not answer.
    pub(super) fn spread_missed(&mut self, now: Instant, (bit, serial): (u8, u8), over: bool) {
        let Some(branch) = self.gossip.branches.get_mut(usize::from(bit)) else { return };
        if over || !branch.waits || branch.serial != serial {
            return;
        }
        branch.waits = false;
        let other = branch.tries + 1 >= TRIES_SAME || branch.token == NO_TOKEN;
        self.spread_failed(bit, other, 1);
        self.spread(now, bit);
    }

    fn spread_failed(&mut self, bit: u8, other: bool, tries: u8) {
        let Some(branch) = self.gossip.branches.get_mut(usize::from(bit)) else { return };
        branch.tries += tries;
        if other {
            branch.contact = None;
        }
        if branch.tries >= TRIES_MAX {
            (branch.tries, branch.done) = (0, branch.end);
            self.counters.gossip_failed += 1;
            self.gossip.end_round();
        }
    }

    /// Somebody brings hints: they are taken, and wait to be passed on.
    pub(super) fn answer_hints(
        &mut self,
        now: Instant,
        asker: &Asker,
        level: u8,
        hints: Nodes<'_>,
    ) -> Result<(), Rejected> {
        if !asker.proven {
            self.counters.token_missing += 1;
            self.answer_stored(now, asker, Status::NoToken, None);
            return Ok(());
        }
        if u32::from(level) != common_bits(&asker.node.id, &self.me) + 1 {
            return Err(self.malformed());
        }
        let (now_s, count) = (self.seconds(now), hints.iter().count());
        let fits = self.gossip.has_room(count);
        if !fits || !self.gossip.charge(&asker.node.address, now_s, level, count) {
            self.counters.hints_refused += 1;
            self.answer_stored(now, asker, Status::Full, None);
            return Ok(());
        }
        self.hear_hints(now, hints, Some(level));
        self.gossip.hurry(now, self.hints.len());
        self.answer_stored(now, asker, Status::Stored, None);
        Ok(())
    }
}
