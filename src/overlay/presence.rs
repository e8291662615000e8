//! Hearing others: who is there, at which address, and since when.
//!
//! Whoever answers where it was asked is there; whether it may be listed, `dial` finds out where
//! it had contacted us before. A known id at a new address moves there once its old address stays
//! silent, or at once with its signature.

use super::Overlay;
use super::dial::contact;
use super::event::OverlayEvent;
use super::id::{Node, same};
use super::request::{Pending, Purpose};
use super::table::NotEntered;
use super::wire::{Claim, Hello, Token};
use crate::net::NodeId;
use crate::time::Instant;
use std::net::SocketAddr;

impl Overlay {
    /// Somebody of this id asked something from this address.
    pub(super) fn heard_asking(
        &mut self,
        now: Instant,
        node: &Node,
        proven: bool,
        said: Option<(u8, Claim)>,
    ) {
        let now_s = self.seconds(now);
        self.upkeep.contacts.note(&contact(&node.address), now_s);
        self.heard_unasked(now, &node.address);
        let claim = said.filter(|_| proven).map(|(_, claim)| claim);
        match claim {
            Some(Claim::Keep) => self.keep_flow(now, node),
            Some(Claim::Client) => self.strike_off(now, node),
            _ => {}
        }
        if said.is_some() {
            self.heard_met(now, node, false);
        }
        let known = self.members.get_mut(&node.id);
        if let Some(member) = known.filter(|member| member.address() == node.address) {
            member.heard_s = now_s;
            if let Some((start, _)) = said {
                let before = member.start.replace(start);
                self.heard_start(now, &node.id, before, start);
            }
            if claim == Some(Claim::Member) {
                self.want_listed(now, node);
            }
            return;
        }
        // Nobody is probed for having asked: the answer, no larger than the question, invites
        // strangers to prove where they are.
        let client = matches!(claim, Some(Claim::Client | Claim::Keep));
        if proven && !client && self.members.get(&node.id).is_some() {
            self.heard_at(now, node);
        }
        // Whoever was reachable elsewhere need not be so here.
        if claim == Some(Claim::Member) {
            self.want_listed(now, node);
        }
    }

    /// A member says that nobody can reach it, or others found that out.
    pub(super) fn strike_off(&mut self, now: Instant, node: &Node) {
        if self.suspects.contains(node) {
            self.suspects.remove(&node.id);
        }
        if self.address_of(node.id) == Some(node.address) {
            self.counters.members_left += 1;
            self.members.remove(&node.id);
            self.upkeep.wake(now);
        }
    }

    /// Somebody of this id answered from where we asked.
    pub(super) fn heard_answering(
        &mut self,
        now: Instant,
        node: &Node,
        pending: &Pending,
        hello: &Hello,
    ) {
        if let Some(expected) = pending.node.filter(|expected| !same(expected, &node.id)) {
            let there = self.address_of(expected);
            if there == Some(node.address) {
                self.members.remove(&expected);
                self.upkeep.wake(now);
            }
            self.hints.forget(&Node { id: expected, address: node.address });
        }
        self.score_answer(pending, &node.id);
        self.follow_family(hello.six);
        if !self.is_ours(&node.address) {
            return;
        }
        // What leaves from the second port reaches whoever lets a whole address in.
        let second = matches!(pending.purpose, Purpose::SecondPort(_) | Purpose::Errand(_, true));
        if !matches!(pending.purpose, Purpose::Punch | Purpose::Held) && !second {
            self.heard_at(now, node);
        }
        self.members.measure(&node.id, now.since(pending.sent));
        let known = self.members.get_mut(&node.id);
        if let Some(member) = known.filter(|member| member.address() == node.address) {
            member.checking &= pending.purpose != Purpose::Check;
            let before = member.start.replace(hello.start);
            if self.upkeep.take_move(&node.id).is_some() {
                self.counters.two_addresses += 1;
            }
            self.heard_start(now, &node.id, before, hello.start);
        }
        if !matches!(pending.purpose, Purpose::Introduce | Purpose::Judge) {
            self.heard_standing(now, node, hello);
        }
        if !second {
            self.observed(now, node.address, hello.observed);
            // What proves our second port proves nothing of the first.
            self.seek_list(now, node, &hello.token, (hello.list, true));
        }
        if self.address_of(node.id) != Some(node.address) {
            // Its answer has opened the way for us at what may be in front of it.
            let now_s = self.seconds(now);
            self.upkeep.contacts.note(&contact(&node.address), now_s);
        }
    }

    /// A member says which start of it this is.
    fn heard_start(&mut self, now: Instant, id: &NodeId, before: Option<u8>, start: u8) {
        if before != Some(start) {
            self.holder_started(now, id, start);
        }
        if before.is_some_and(|before| before != start) {
            self.refresh_early(now);
        }
    }

    /// Shows `node`, which is wrong about us, that we are where we say.
    pub(super) fn introduce_self(&mut self, now: Instant, node: &Node, token: &Token) {
        let now_s = self.seconds(now);
        if self.upkeep.introduced.is_recent(&node.address, now_s) {
            return;
        }
        let claim = self.judge.claim();
        self.ping(now, node.address, Some(node.id), Purpose::Introduce, token, claim);
    }

    /// This id proved that it reads what is sent to this address.
    pub(super) fn heard_at(&mut self, now: Instant, node: &Node) {
        if !self.is_ours(&node.address) {
            return;
        }
        let Some(member) = self.members.get(&node.id) else {
            return self.heard_new(now, node);
        };
        let (old, missed) = (member.node(), member.missed);
        if old.address == node.address || missed > 0 {
            return self.moved(now, node);
        }
        let waiting = self.upkeep.moves.iter().any(|known| known.id == node.id);
        if !waiting && self.upkeep.moves.push(*node).is_ok() {
            self.check(now, old);
        }
    }

    /// Somebody new answered where we asked: it is reachable, unless it had contacted us before.
    fn heard_new(&mut self, now: Instant, node: &Node) {
        let now_s = self.seconds(now);
        if self.members.is_crowded(node) {
            self.counters.address_limit += 1;
        } else if self.upkeep.contacts.contains(&contact(&node.address), now_s) {
            self.want_listed(now, node);
        } else {
            self.list(now, node, false);
        }
    }

    /// A member is at this address, beyond doubt or without a rival.
    pub(super) fn moved(&mut self, now: Instant, node: &Node) {
        let Some(member) = self.members.get(&node.id) else { return };
        if self.is_unproven(node) {
            let near = member.near;
            return self.ask_who(now, node, near);
        }
        self.moved_surely(now, node);
    }

    /// A member is at this address, for it has signed so.
    pub(super) fn moved_surely(&mut self, now: Instant, node: &Node) {
        let Some(member) = self.members.get(&node.id) else { return };
        let (near, before) = (member.near, member.address());
        self.list_surely(now, node, near);
        if before != node.address && self.address_of(node.id) == Some(node.address) {
            self.holder_moved(now, node);
        }
    }

    /// This node is a member, at this address, if it is who it says.
    pub(super) fn list(&mut self, now: Instant, node: &Node, near: bool) {
        if self.is_unproven(node) {
            self.ask_who(now, node, near);
        } else {
            self.list_surely(now, node, near);
        }
    }

    /// This node is a member, at this address, and who it says.
    pub(super) fn list_surely(&mut self, now: Instant, node: &Node, near: bool) {
        let now_s = self.seconds(now);
        if !self.is_ours(&node.address) {
            return;
        }
        if self.members.get(&node.id).is_none() {
            self.make_room(now);
        }
        let proven = self.members.prove(node, now_s);
        self.members.get_mut(&node.id).into_iter().for_each(|member| member.near = near);
        match proven {
            Ok(false) => {}
            Ok(true) => {
                self.upkeep.wake(now);
                if self.suspects.remove(&node.id) {
                    self.suspects.hurry(now_s);
                    self.holder_returned(now, &node.id);
                }
                self.member_entered(now);
            }
            Err(NotEntered::Full) => self.counters.table_full += 1,
            Err(NotEntered::Address) => self.counters.address_limit += 1,
        }
    }

    /// Somebody else speaks under our id.
    pub(super) fn hear_own_id(&mut self, from: SocketAddr) {
        let ours = self.reach.addresses().contains(&from) || self.join.is_bootstrap(&from);
        if !ours && self.upkeep.told_own_id_s == 0 {
            self.upkeep.told_own_id_s = 1;
            self.tell(OverlayEvent::IdInUse(from));
        }
    }
}
