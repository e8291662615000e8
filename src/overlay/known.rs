//! Whom this node knows: proven members and hints together, and what moves from one to the other.
//!
//! A hint is probed where the member that it names is wanted proven: everybody in a small network,
//! in a large one the neighbours; others when they are asked something. A proven address stands
//! until it fails, whatever hints say. A proven member that gives way to another becomes a hint.

use super::Overlay;
use super::announce::NEIGHBOURS;
use super::id::{Named, Node, Place, closer, common_bits, same};
use super::reader::Nodes;
use super::table::Member;
use crate::limits::OVERLAY_MEMBERS_MAX;
use crate::net::NodeId;
use crate::time::Instant;
use core::cmp::Ordering;
use heapless::VecView;
use std::net::SocketAddr;

impl Overlay {
    /// Where a member was heard last.
    pub(super) fn address_of(&self, id: NodeId) -> Option<SocketAddr> {
        self.members.get(&id).map(Member::address)
    }

    /// Where a member is, as far as is known: proven, or told of by others.
    #[cfg(feature = "server")]
    pub fn whereabouts(&self, now: Instant, id: NodeId) -> Option<SocketAddr> {
        let nearest = self.closest_known::<1>(now, &id.0, true);
        nearest.first().filter(|named| same(&named.node.id, &id)).map(|named| named.node.address)
    }

    /// Minutes since the start, as hints count them.
    pub(super) fn minute(&self, now: Instant) -> u16 {
        (self.seconds(now) / 60) as u16
    }

    /// The at most `N` closest to `target`, closest first: proven members that have not missed an
    /// answer (or all, where `doubtful`), and hints of others.
    pub(super) fn closest_known<const N: usize>(
        &self,
        now: Instant,
        target: &Place,
        doubtful: bool,
    ) -> heapless::Vec<Named, N> {
        let mut best = heapless::Vec::new();
        self.closest_known_into(now, target, doubtful, best.as_mut_view());
        best
    }

    pub(super) fn closest_known_into(
        &self,
        now: Instant,
        target: &Place,
        doubtful: bool,
        best: &mut VecView<Named>,
    ) {
        // Hints first: of many members only the few that are nearer than those are looked at.
        let mut members = self.members.among();
        let (minute, six) = (self.minute(now), self.hints.six);
        self.hints.closest_into(target, minute, six, &mut |id| members.has(id), best);
        self.members.closest_into(target, &|m| doubtful || m.missed == 0, best);
    }

    /// Whether everybody is to be proven.
    pub(super) fn is_small(&self) -> bool {
        self.hints.len() <= OVERLAY_MEMBERS_MAX
    }

    /// Somebody named members, in an answer, or by gossip with this level of the tree: what is news
    /// then is passed on.
    pub(super) fn hear_hints(&mut self, now: Instant, hints: Nodes<'_>, level: Option<u8>) {
        let near = self.nearest();
        for named in hints.iter() {
            let news = self.hear_hint(now, &named, near.as_ref(), level.is_some());
            if let Some(level) = level.filter(|_| news) {
                self.counters.hints_heard += 1;
                self.gossip.push(level, &named);
            }
        }
    }

    /// One of those. `near` is the farthest of our neighbours, see [`Self::nearest`].
    fn hear_hint(
        &mut self,
        now: Instant,
        named: &Named,
        near: Option<&NodeId>,
        gossip: bool,
    ) -> bool {
        let node = &named.node;
        if same(&node.id, &self.me) {
            return false;
        }
        let (news, crowded) = self.hints.learn(named, self.minute(now), gossip);
        self.counters.address_limit += crowded;
        if !self.is_ours(&node.address) {
            return news;
        }
        if news && self.suspects.get(&node.id).is_some_and(|there| there != node.address) {
            // It has not died, it has moved.
            self.suspects.remove(&node.id);
        }
        let wanted = self.is_small() || self.is_nearer(&node.id, near);
        if wanted || self.members.get(&node.id).is_some() {
            self.consider(now, node);
        }
        news
    }

    /// The farthest of those neighbours whom we want proven; none while there are too few.
    fn nearest(&self) -> Option<NodeId> {
        let nearest = self.members.closest::<NEIGHBOURS>(&self.me.0, |m| m.missed == 0);
        nearest.last().filter(|_| nearest.is_full()).map(|last| last.id)
    }

    /// Whether `id` is no farther than `near`, where that is known.
    fn is_nearer(&self, id: &NodeId, near: Option<&NodeId>) -> bool {
        near.is_none_or(|near| closer(&self.me.0, &id.0, &near.0) != Ordering::Greater)
    }

    /// Whether a node belongs to those nearest to us, whom we want proven.
    pub(super) fn is_neighbour(&self, node: &Node) -> bool {
        // Whoever shares more bits with us is nearer: most nodes need no closer look.
        let bits = common_bits(&self.me, &node.id) + 1;
        let nearer = self.members.within(&self.me.0, bits).iter().filter(|m| m.missed == 0);
        nearer.take(NEIGHBOURS).count() < NEIGHBOURS
            && self.is_nearer(&node.id, self.nearest().as_ref())
    }

    /// Makes room for a proven member. The one that gives way becomes a hint.
    pub(super) fn make_room(&mut self, now: Instant) {
        if !self.members.is_full() {
            return;
        }
        let neighbours = self.members.closest::<NEIGHBOURS>(&self.me.0, |_| true);
        let oldest = self.members.oldest(&|member| {
            let id = &member.id;
            !(member.checking
                || neighbours.iter().any(|near| near.id == *id)
                || self.gossip.is_contact(id)
                || self.rendezvous.token_of(id).is_some()
                || self.publications.iter().any(|(_, p)| p.is_holder(id))
                || self.requests.is_asked(&member.address()))
        });
        let Some(node) = oldest else { return };
        let heard_s = self.members.remove(&node.id).map_or(0, |member| member.heard_s);
        let age_h = self.seconds(now).saturating_sub(heard_s).div_ceil(3600).min(255) as u8;
        self.counters.members_demoted += 1;
        let (_, crowded) = self.hints.learn(&Named { node, age_h }, self.minute(now), false);
        self.counters.address_limit += crowded;
    }
}
