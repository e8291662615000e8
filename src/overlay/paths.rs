//! Look-ups that meet liars go on over several paths, whose members are disjoint (Baumgart and
//! Mies, "S/Kademlia: A Practicable Approach Towards Secure Key-Based Routing", ICPADS 2007).
//!
//! A liar that names its like, or that has spread hints of them, leads a look-up to them alone. So
//! where somebody was found out, or is late before anything is found, where it would be over
//! without an answer, or more seem close to the key than chance puts there, members are asked in
//! each of three parts of the space around it, next to one another and all within the distance of
//! those who may keep the record: whoever wants to be asked there has to have ids there. Whom they
//! name is asked on their path, and nobody on two. Ordinary look-ups never come to that.

use super::Overlay;
use super::candidate::{Candidate, State, Way};
use super::id::{Named, Place};
use super::lookup::{Goal, Lookup, REPLICAS};
use super::size::PATHS;
use super::table::Member;
use crate::net::NodeId;
use crate::table::Id;
use crate::time::Instant;

/// Members asked in a part, proven ones first.
pub(super) const PART: usize = 4;
/// The denial of who is farther than so many members are to be expected does not count: the twelve
/// closest are nearer but for one key in four hundred.
const REACH: usize = 2 * REPLICAS;

impl Lookup {
    /// Whether it needs other paths: it has found nothing, and would be over, or met a liar.
    fn wants_paths(&self, over: bool) -> bool {
        let open = matches!(self.goal, Goal::Records(..)) && !self.parted && !self.has_found();
        open && (self.astray || over && !self.denied())
    }

    /// The next to ask on a path on which nobody is being asked.
    pub(super) fn next_on_path(&self) -> Option<usize> {
        let of = |path| self.candidates.iter().filter(move |c| c.way.path == path);
        let idle = |path: &u8| !of(*path).any(|c| c.state == State::Asked);
        (1..=PATHS).filter(|_| self.parted).filter(idle).find_map(|path| {
            let next = |c: &Candidate| c.way.path == path && c.state == State::New;
            self.candidates.iter().position(next)
        })
    }

    /// It is not who it says. What it has answered does not count.
    pub(super) fn unmask(&mut self, id: &NodeId) {
        if let Some(candidate) = self.candidate(id) {
            candidate.unmask();
            self.astray = true;
        }
    }

    /// It has shown that it is who it says.
    pub(super) fn prove(&mut self, id: &NodeId) {
        self.candidate(id).into_iter().for_each(|candidate| candidate.proven = true);
    }

    /// A record came in an answer, with this number where the newest verified is `known`. Numbers
    /// that nobody has verified count once they are: anybody can tell of a higher one.
    pub(super) fn agree(&mut self, seq: u64, known: u64) {
        if seq == known {
            self.agreeing = self.agreeing.saturating_add(1);
        } else if seq > known {
            let before = if self.claimed == seq as u32 { self.claims } else { 0 };
            (self.claimed, self.claims) = (seq as u32, before.saturating_add(1));
        }
    }

    /// How many agree, if what is being verified holds.
    pub(super) fn agreeing(&self) -> u8 {
        if self.verifying > 0 { self.agreeing.max(self.claims) } else { self.agreeing }
    }
}

impl Overlay {
    /// Has a look-up go on over several paths where it has to. True where it did not before.
    pub(super) fn part_ways(&mut self, now: Instant, id: Id<Lookup>, over: bool) -> bool {
        let Some(lookup) = self.lookups.get(id).filter(|it| it.wants_paths(over)) else {
            return false;
        };
        let target = lookup.target;
        self.enter_parts(now, id, target);
        true
    }

    /// Begins the paths.
    pub(super) fn enter_parts(&mut self, now: Instant, id: Id<Lookup>, target: Place) {
        self.counters.lookups_parted += 1;
        self.lookups.get_mut(id).into_iter().for_each(|lookup| lookup.parted = true);
        for (path, place) in self.size.parts(&target) {
            let fits = |m: &Member| m.missed == 0 && !self.is_passed_over(&m.id);
            let proven = self.members.closest::<{ PART / 2 }>(&place, fits);
            let others = self.closest_known::<PART>(now, &place, false);
            let others = others.iter().map(|named| named.node);
            let way = Way { hops: 0, path };
            for node in proven.into_iter().chain(others).take(PART) {
                let is_proven = !self.is_unproven(&node);
                let passed = self.is_passed_over(&node.id);
                let Some(lookup) = self.lookups.get_mut(id) else { return };
                lookup.add(node, passed, way, || self.members.likely_rtt_us(&node.address));
                if is_proven {
                    lookup.prove(&node.id);
                }
            }
        }
    }

    /// Whom one look-up begins with: those known who are closest, and others where more of them are
    /// than chance puts there.
    pub(super) fn fill_lookup(&mut self, now: Instant, id: Id<Lookup>, closest: &[Named]) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let (goal, target) = (lookup.goal, lookup.target);
        lookup.reach = self.size.reach(REACH);
        for Named { node, .. } in closest {
            let member = self.members.get(&node.id);
            let passed = self.is_passed_over(&node.id);
            let doubtful = member.is_some_and(|member| member.missed > 0) || passed;
            let way = Way::default();
            let Some(lookup) = self.lookups.get_mut(id) else { return };
            lookup.add(*node, doubtful, way, || self.members.likely_rtt_us(&node.address));
            if member.is_some_and(|member| member.address() == node.address) {
                lookup.prove(&node.id);
            }
        }
        if goal != Goal::Members && self.size.is_crowded(&target, closest) {
            self.counters.lookups_crowded += 1;
            self.enter_parts(now, id, target);
        }
    }

    /// A node has shown that it is who it says: what it has answered counts.
    pub(super) fn lookups_prove(&mut self, now: Instant, id: &NodeId) {
        for slot in 0..self.lookups.capacity() as u32 {
            let Some(lookup_id) = self.lookups.id_at(slot) else { continue };
            let Some(lookup) = self.lookups.get_mut(lookup_id).filter(|it| it.knows(id)) else {
                continue;
            };
            lookup.prove(id);
            self.drive(now, lookup_id);
        }
    }
}
