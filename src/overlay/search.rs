//! Driving look-ups: starting, asking, taking answers in, ending.

use super::Overlay;
use super::event::{LookupId, OverlayEvent};
use super::id::{Named, Node, Place, same};
use super::lookup::{CANDIDATES_MAX, Goal, Lookup, OWNERS_MAX};
use super::request::Purpose;
use super::table::Member;
use super::wire::{FIND_BYTES, GET_BYTES, NO_TOKEN, Token};
use super::wire_out::Encoder;
use super::work::{Job, Reason, Subject};
use crate::identity::record::Key;
use crate::net::{NodeId, is_detour};
use crate::table::Id;
use crate::time::Instant;

/// Members asked where somebody is, or one less where it is known here.
const SOUGHT_MAX: usize = 3;
/// Members asked that are surely there, where nobody of the closest answers.
const THERE_MAX: usize = 3;
/// Whoever was heard within so many seconds is there.
const THERE_S: u32 = 120;
/// The size of a find that wants one address: room for 4 hints of IPv4, or 2 of IPv6.
const SEEK_BYTES: usize = 128;

impl Overlay {
    /// Looks `aor` up. [`OverlayEvent::Found`] follows for each owner, then
    /// [`OverlayEvent::Done`]; the latter within 1.5 s.
    pub fn lookup(&mut self, now: Instant, aor: &str) -> LookupId {
        self.lookup_count = self.lookup_count.wrapping_add(1);
        let user = LookupId(self.lookup_count);
        let mut started = false;
        for aor_key in self.aor_keys.get(&self.keys, aor, &mut self.counters) {
            let key = Key::of(&aor_key);
            let goal = Goal::Records(user, aor_key);
            let Some(id) = self.start_lookup(now, goal, key.0) else { continue };
            started = true;
            self.find_at_home(now, id, key);
        }
        // Only now: one that ends at once must not end before its sibling has begun.
        for slot in 0..self.lookups.capacity() as u32 {
            if let Some(id) = self.lookups.id_at(slot)
                && self.is_of(id, user)
            {
                self.drive(now, id);
            }
        }
        if !started {
            self.counters.lookups_full += 1;
            self.tell(OverlayEvent::Done { lookup: user, found: 0 });
        }
        user
    }

    /// Forgets a look-up: no more events of it.
    pub fn cancel_lookup(&mut self, lookup: LookupId) {
        for slot in 0..self.lookups.capacity() as u32 {
            if let Some(id) = self.lookups.id_at(slot)
                && self.is_of(id, lookup)
            {
                self.lookups.remove(id);
                self.lookup_timers.stop(slot);
            }
        }
    }

    /// Asks who is closest to `peer` where it is: neighbours hear of a new address at once.
    /// [`OverlayEvent::Reached`] follows for each address that they name, and for the one known
    /// here.
    pub fn seek(&mut self, now: Instant, peer: NodeId) {
        for Named { node, .. } in self.closest_known::<SOUGHT_MAX>(now, &peer.0, false) {
            if same(&node.id, &peer) {
                self.sought(peer, &node);
                continue;
            }
            let purpose = Purpose::Seek(peer);
            let asked =
                self.ask(now, node.address, Some(node.id), purpose, SEEK_BYTES, |me, request| {
                    Encoder::find(me, request, &NO_TOKEN, &peer.0)
                });
            self.counters.neighbours_asked += u64::from(asked);
        }
    }

    /// Somebody is said to be `peer`.
    pub(super) fn sought(&mut self, peer: NodeId, named: &Node) {
        if same(&named.id, &peer) && !is_detour(&named.address) {
            self.tell(OverlayEvent::Reached { peer, address: named.address });
        }
    }

    fn is_of(&self, id: Id<Lookup>, user: LookupId) -> bool {
        let goal = self.lookups.get(id).map(|lookup| lookup.goal);
        matches!(goal, Some(Goal::Records(of, _)) if of == user)
    }

    /// Starts a look-up among the members known; [`Self::drive`] sends its first questions.
    pub(super) fn start_lookup(
        &mut self,
        now: Instant,
        goal: Goal,
        target: Place,
    ) -> Option<Id<Lookup>> {
        let hedge = (self.members.usual(), self.vouching.is_required());
        let lookup = Lookup::new(goal, target, now, hedge);
        let at = lookup.next_at();
        let id = self.lookups.insert(lookup).ok()?;
        self.lookup_timers.set(id.slot(), at);
        let closest = self.closest_known::<CANDIDATES_MAX>(now, &target, true);
        self.fill_lookup(now, id, &closest);
        Some(id)
    }

    fn find_at_home(&mut self, now: Instant, id: Id<Lookup>, key: Key) {
        let held: heapless::Vec<Job, OWNERS_MAX> = self
            .store
            .set(&key)
            .filter(|held| held.owner == self.me || self.vouching.counts(now, &held.record))
            .take(OWNERS_MAX)
            .map(|held| Job {
                reason: Reason::Found(id),
                subject: Subject::Record(held.record.copied()),
                addresses: held.addresses.map(|addresses| addresses.copied()),
            })
            .collect();
        for job in &held {
            if let Some(lookup) = self.lookups.get_mut(id) {
                lookup.verifying += 1;
            }
            self.take_record(id, job);
        }
    }

    /// Asks whom the look-up wants asked, and ends it when it is done.
    pub(super) fn drive(&mut self, now: Instant, id: Id<Lookup>) {
        self.part_ways(now, id, false);
        self.ask_next(now, id);
        if self.lookups.get(id).is_some_and(Lookup::is_done) && self.part_ways(now, id, true) {
            self.ask_next(now, id);
        }
        if self.lookups.get(id).is_some_and(Lookup::is_done) {
            self.end_lookup(now, id);
        }
    }

    fn ask_next(&mut self, now: Instant, id: Id<Lookup>) {
        while let Some(lookup) = self.lookups.get_mut(id) {
            let Some((node, token)) = lookup.next() else { break };
            let (goal, target) = (lookup.goal, lookup.target);
            if !self.ask_step(now, id, goal, target, &node, &token, None) {
                break;
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one question has that many parts")]
    pub(super) fn ask_step(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        goal: Goal,
        target: Place,
        node: &Node,
        token: &Token,
        owner: Option<NodeId>,
    ) -> bool {
        let purpose = Purpose::Lookup(id, owner.is_some());
        let (to, who) = (node.address, Some(node.id));
        if let Goal::Records(..) = goal {
            self.ask(now, to, who, purpose, GET_BYTES, |me, request| {
                Encoder::get(me, request, token, &Key(target), owner)
            })
        } else {
            self.ask(now, to, who, purpose, FIND_BYTES, |me, request| {
                Encoder::find(me, request, token, &target)
            })
        }
    }

    /// Nobody of the closest has answered: perhaps all have moved. Who was heard just now is there,
    /// however far away, and knows others.
    fn ask_those_there(&mut self, now: Instant, id: Id<Lookup>) {
        let now_s = self.seconds(now);
        let Some(lookup) = self.lookups.get(id) else { return };
        let (Goal::Records(..), target) = (lookup.goal, lookup.target) else { return };
        let mut there = heapless::Vec::<Named, THERE_MAX>::new();
        let accept = |member: &Member| {
            let lately = now_s.saturating_sub(member.heard_s) < THERE_S;
            lately && member.missed == 0 && !lookup.knows(&member.id)
        };
        self.members.closest_into(&target, &accept, there.as_mut_view());
        for Named { node, .. } in there {
            let (to, purpose) = (node.address, Purpose::Lookup(id, true));
            let asked = self.ask(now, to, Some(node.id), purpose, GET_BYTES, |me, request| {
                Encoder::get(me, request, &NO_TOKEN, &Key(target), None)
            });
            if let Some(lookup) = self.lookups.get_mut(id).filter(|_| asked) {
                lookup.beside += 1;
            }
        }
    }

    pub(super) fn end_lookup(&mut self, now: Instant, id: Id<Lookup>) {
        self.lookup_timers.stop(id.slot());
        let Some(lookup) = self.lookups.remove(id) else { return };
        self.counters.lookups_done += 1;
        match lookup.goal {
            Goal::Records(user, _) => {
                // An owner publishes under every secret that it has: no sum.
                let found = lookup.found().max(lookup.found_before);
                for (_, sibling) in self.lookups.iter_mut() {
                    if matches!(sibling.goal, Goal::Records(of, _) if of == user) {
                        sibling.found_before = sibling.found_before.max(found);
                        return;
                    }
                }
                self.tell(OverlayEvent::Done { lookup: user, found });
            }
            Goal::Place(publication) => self.placed(now, publication, &lookup),
            Goal::Members => self.members_looked_up(now),
        }
    }

    /// Widens the look-ups that nobody answers, and ends those whose time is over.
    pub(super) fn lookups_timeout(&mut self, now: Instant) {
        let usual = self.members.usual();
        while let Some(slot) = self.lookup_timers.pop_due(now) {
            let Some(id) = self.lookups.id_at(slot) else { continue };
            let Some(lookup) = self.lookups.get_mut(id) else { continue };
            if lookup.deadline <= now {
                self.end_lookup(now, id);
                continue;
            }
            let silent = lookup.widen(now, usual);
            self.lookup_timers.set(slot, lookup.next_at());
            if silent {
                self.ask_those_there(now, id);
            }
            self.drive(now, id);
        }
    }
}
