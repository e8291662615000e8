//! Driving look-ups: starting, asking, taking answers in, ending.

use super::event::{Found, LookupId, OverlayEvent};
use super::id::{Node, Place};
use super::lookup::{Goal, Lookup, OWNERS_MAX, REPLICAS};
use super::request::{Missed, Pending, Purpose};
use super::wire::{Body, FIND_BYTES, Frame, GET_BYTES, Hello, Token, Value};
use super::wire_out::Encoder;
use super::work::{Job, Reason};
use super::{Overlay, reject};
use crate::identity::NetworkKeys;
use crate::identity::record::{AddressRecord, Key, Record};
use crate::limits::NETWORK_SECRETS_MAX;
use crate::net::{NodeId, Rejected};
use crate::rng::Rng;
use crate::table::Id;
use crate::time::Instant;
use std::net::SocketAddr;

/// Blinded AORs kept: computing one costs thousands of hashes.
const AOR_KEYS_MAX: usize = 128;

/// The blinded keys of one AOR, under every secret of the network.
pub(super) type Blinded = heapless::Vec<[u8; 32], NETWORK_SECRETS_MAX>;

/// Blinded AORs computed before, by a keyed hash of the AOR; the oldest makes room.
pub(super) struct AorKeys {
    known: heapless::Deque<([u8; 16], Blinded), AOR_KEYS_MAX>,
    key: [u8; 32],
}

impl AorKeys {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { known: heapless::Deque::new(), key: rng.bytes() }
    }

    /// What stands for `aor` inside this node.
    pub(super) fn name(&self, aor: &str) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.key, aor.as_bytes());
        let mut name = [0; 16];
        name.copy_from_slice(&hash.as_bytes()[..16]);
        name
    }

    pub(super) fn get(&mut self, keys: &NetworkKeys, aor: &str) -> Blinded {
        let name = self.name(aor);
        if let Some((_, blinded)) = self.known.iter().find(|(known, _)| *known == name) {
            return blinded.clone();
        }
        let blinded: Blinded = keys.aor_keys(aor).take(NETWORK_SECRETS_MAX).collect();
        if self.known.is_full() {
            self.known.pop_front();
        }
        let kept = self.known.push_back((name, blinded.clone()));
        debug_assert!(kept.is_ok(), "room was made");
        blinded
    }
}

impl Overlay {
    /// Looks `aor` up. [`OverlayEvent::Found`] follows for each owner, then
    /// [`OverlayEvent::Done`]; the latter within 1.5 s.
    pub fn lookup(&mut self, now: Instant, aor: &str) -> LookupId {
        self.lookup_count = self.lookup_count.wrapping_add(1);
        let user = LookupId(self.lookup_count);
        let mut started = false;
        for aor_key in self.aor_keys.get(&self.keys, aor) {
            let key = Key::of(&aor_key);
            let goal = Goal::Records(user, aor_key);
            let Some(id) = self.start_lookup(now, goal, key.0) else { continue };
            started = true;
            self.find_at_home(id, key);
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
        let mut lookup = Lookup::new(goal, target, now);
        for node in self.members.closest::<{ REPLICAS + 4 }>(&target, |_| true) {
            let doubtful = self.members.get(&node.id).is_some_and(|member| member.missed > 0);
            lookup.add(node, doubtful);
        }
        let deadline = lookup.deadline;
        let id = self.lookups.insert(lookup).ok()?;
        self.lookup_timers.set(id.slot(), deadline);
        Some(id)
    }

    fn find_at_home(&mut self, id: Id<Lookup>, key: Key) {
        let held: heapless::Vec<Job, OWNERS_MAX> = self
            .store
            .set(&key)
            .take(OWNERS_MAX)
            .map(|held| Job {
                reason: Reason::Found(id),
                record: Some(held.record.clone()),
                addresses: held.addresses.clone(),
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
        while let Some(lookup) = self.lookups.get_mut(id) {
            let Some((node, token)) = lookup.next() else { break };
            let (goal, target) = (lookup.goal, lookup.target);
            if !self.ask_step(now, id, goal, target, &node, &token, None) {
                break;
            }
        }
        if self.lookups.get(id).is_some_and(Lookup::is_done) {
            self.end_lookup(now, id);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "one question has that many parts")]
    fn ask_step(
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

    /// Takes an answer in.
    pub(super) fn handle_answer(
        &mut self,
        now: Instant,
        from: SocketAddr,
        frame: &Frame<'_>,
        hello: &Hello,
        len: usize,
    ) -> Result<(), Rejected> {
        let Some(pending) = self.requests.finish(frame.request, from) else {
            return Err(reject(&mut self.counters.unexpected_answer, Rejected::Unknown));
        };
        if matches!(frame.body, Body::Value(..)) {
            self.counters.lookup_bytes += len as u64;
        }
        let node = Node { id: frame.sender, address: from };
        self.heard_answering(now, &node, &pending, hello);
        match (pending.purpose, frame.body) {
            (Purpose::Check, Body::Pong(_)) => Ok(()),
            (Purpose::Join, Body::Nodes(_, nodes)) => {
                nodes.iter().for_each(|node| self.consider(now, &node));
                Ok(())
            }
            (Purpose::Lookup(id, _), Body::Nodes(_, nodes)) => {
                self.lookup_answered(now, id, &pending, hello, false);
                self.lookup_learn(now, id, nodes.iter());
                self.drive(now, id);
                Ok(())
            }
            (Purpose::Lookup(id, named), Body::Value(_, value)) => {
                let taken = self.value_answered(now, id, &pending, hello, &value, named);
                self.drive(now, id);
                taken
            }
            (Purpose::Publish(id), Body::Stored(_, status, newer)) => {
                self.publish_answered(now, id, &node, hello, status, newer)
            }
            (Purpose::Announce, Body::Stored(_, status, _)) => {
                self.announce_answered(now, &node, hello, status);
                Ok(())
            }
            _ => Err(self.malformed()),
        }
    }

    fn lookup_answered(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        pending: &Pending,
        hello: &Hello,
        no: bool,
    ) {
        let Some(node) = pending.node else { return };
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        lookup.answered(&node, hello.token, no);
        if let Goal::Place(publication) = lookup.goal {
            let holder = Node { id: node, address: pending.to };
            self.place_at(now, publication, holder, hello.token);
        }
    }

    fn lookup_learn(&mut self, now: Instant, id: Id<Lookup>, nodes: impl Iterator<Item = Node>) {
        for node in nodes {
            if node.id == self.me {
                continue;
            }
            let proven = self.members.get(&node.id);
            let doubtful =
                proven.is_some_and(|member| member.missed > 0) || self.suspects.contains(&node);
            // A hint never displaces the address that we proved.
            let node = proven.map_or(node, |member| member.node());
            if let Some(lookup) = self.lookups.get_mut(id) {
                lookup.add(node, doubtful);
            }
            self.consider(now, &node);
        }
    }

    fn value_answered(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        pending: &Pending,
        hello: &Hello,
        value: &Value<'_>,
        named: bool,
    ) -> Result<(), Rejected> {
        let Some(lookup) = self.lookups.get_mut(id) else { return Ok(()) };
        if named {
            lookup.naming = lookup.naming.saturating_sub(1);
        }
        let record = match value.record {
            Some(data) => Some(Record::parse(data).map_err(|_| self.malformed())),
            None => None,
        };
        let withdrawn = matches!(&record, Some(Ok(record)) if record.is_withdrawal());
        let no = (value.record.is_none() && !hello.young) || withdrawn;
        self.lookup_answered(now, id, pending, hello, no);
        self.lookup_learn(now, id, value.nodes.iter());
        let Some(record) = record.transpose()? else { return Ok(()) };
        let addresses = value.addresses.and_then(|data| AddressRecord::parse(data).ok());
        let addresses = addresses.filter(|list| list.owner() == record.owner());
        let told = record.owner_id();
        let taken = self.check_record(now, id, record, addresses);
        for (owner, seq) in value.others.iter().filter(|(owner, _)| *owner != told) {
            self.ask_for_owner(now, id, pending, hello.token, owner, seq);
        }
        taken
    }

    /// Sorts out what need not be verified, and queues the rest.
    fn check_record(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        record: Record,
        addresses: Option<AddressRecord>,
    ) -> Result<(), Rejected> {
        let Some(lookup) = self.lookups.get_mut(id) else { return Ok(()) };
        let Goal::Records(_, aor_key) = lookup.goal else { return Ok(()) };
        let sealed_for_another = !record.is_withdrawal() && record.open(&aor_key).is_none();
        if record.key().0 != lookup.target || sealed_for_another {
            return Err(self.malformed());
        }
        let Some(seen) = lookup.owner(record.owner_id()) else { return Ok(()) };
        seen.told = seen.told.max(record.seq());
        let address_seq = addresses.as_ref().map_or(0, AddressRecord::seq);
        let newer =
            record.seq() > seen.seq || (record.seq() == seen.seq && address_seq > seen.address_seq);
        if !newer || self.work.is_waiting(id, &record, addresses.as_ref()) {
            return Ok(());
        }
        lookup.verifying += 1;
        let reason = Reason::Found(id);
        self.submit(now, Job { reason, record: Some(record), addresses })
    }

    fn ask_for_owner(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        pending: &Pending,
        token: Token,
        owner: NodeId,
        seq: u64,
    ) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let (goal, target) = (lookup.goal, lookup.target);
        let Some(seen) = lookup.owner(owner) else { return };
        if seen.told >= seq {
            return;
        }
        seen.told = seq;
        let Some(holder) = pending.node else { return };
        let node = Node { id: holder, address: pending.to };
        if self.ask_step(now, id, goal, target, &node, &token, Some(owner))
            && let Some(lookup) = self.lookups.get_mut(id)
        {
            lookup.naming += 1;
        }
    }

    /// A record of a look-up is verified.
    pub(super) fn record_found(&mut self, now: Instant, id: Id<Lookup>, job: &Job) {
        self.take_record(id, job);
        self.drive(now, id);
    }

    fn take_record(&mut self, id: Id<Lookup>, job: &Job) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        lookup.verifying = lookup.verifying.saturating_sub(1);
        let Goal::Records(user, aor_key) = lookup.goal else { return };
        let Some(record) = &job.record else { return };
        let owner = record.owner_id();
        let Some(seen) = lookup.owner(owner) else { return };
        let address_seq = job.addresses.as_ref().map_or(0, AddressRecord::seq);
        if (record.seq(), address_seq) <= (seen.seq, seen.address_seq) && seen.seq > 0 {
            return;
        }
        seen.seq = record.seq();
        seen.told = seen.told.max(record.seq());
        seen.address_seq = address_seq;
        seen.withdrawn = record.is_withdrawal();
        let Some(contact) = record.open(&aor_key) else { return };
        let addresses = job.addresses.as_ref().map(AddressRecord::addresses).unwrap_or_default();
        let (public, seq) = (record.owner(), record.seq());
        let found = Found { lookup: user, owner, public, seq, contact, addresses };
        self.tell(OverlayEvent::Found(found));
    }

    /// A record of a look-up will not be verified.
    pub(super) fn record_dropped(&mut self, now: Instant, id: Id<Lookup>) {
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.verifying = lookup.verifying.saturating_sub(1);
        }
        self.drive(now, id);
    }

    fn end_lookup(&mut self, now: Instant, id: Id<Lookup>) {
        self.lookup_timers.stop(id.slot());
        let Some(lookup) = self.lookups.remove(id) else { return };
        self.counters.lookups_done += 1;
        match lookup.goal {
            Goal::Records(user, _) => {
                let mut found = lookup.found();
                for (_, sibling) in self.lookups.iter_mut() {
                    if matches!(sibling.goal, Goal::Records(of, _) if of == user) {
                        sibling.found_before += found;
                        return;
                    }
                }
                found += lookup.found_before;
                self.tell(OverlayEvent::Done { lookup: user, found });
            }
            Goal::Place(publication) => self.placed(now, publication, &lookup),
            Goal::Members => self.members_looked_up(now),
        }
    }

    /// Ends the look-ups whose time is over.
    pub(super) fn lookups_timeout(&mut self, now: Instant) {
        while let Some(slot) = self.lookup_timers.pop_due(now) {
            if let Some(id) = self.lookups.id_at(slot) {
                self.end_lookup(now, id);
            }
        }
    }

    /// Acts on an answer that did not come.
    pub(super) fn request_missed(&mut self, now: Instant, missed: Missed) {
        let (pending, over) = match missed {
            Missed::Late(pending) => (pending, false),
            Missed::Over(pending) => (pending, true),
        };
        if !over {
            self.counters.timeouts += 1;
        }
        self.peer_missed(now, &pending, over);
        match (pending.purpose, pending.node) {
            (Purpose::Lookup(id, named), Some(node)) => {
                if let Some(lookup) = self.lookups.get_mut(id) {
                    match (over, named) {
                        (true, _) => lookup.gone(&node),
                        (false, true) => lookup.naming = lookup.naming.saturating_sub(1),
                        (false, false) => lookup.late(&node),
                    }
                }
                self.drive(now, id);
            }
            (Purpose::Publish(id), Some(node)) => self.publish_missed(now, id, node, over),
            (Purpose::Announce, Some(node)) => self.announce_missed(now, node, over),
            _ => {}
        }
    }
}
