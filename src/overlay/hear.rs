//! Taking answers in, and what follows from one that does not come.

use super::candidate::Way;
use super::event::{Found, OverlayEvent};
use super::id::{Named, Node, same};
use super::lookup::{Goal, Lookup, REPLICAS, Word};
use super::publication::HOLDERS_MAX;
use super::reader::Nodes;
use super::request::{Missed, Pending, Purpose};
use super::table::Member;
use super::wire::{Body, Frame, Hello, Token, Value, Verdict};
use super::work::{Job, Reason, Subject};
use super::{Overlay, reject};
use crate::identity::record::{AddressRecord, Record};
use crate::net::{NodeId, Rejected};
use crate::table::Id;
use crate::time::Instant;
use std::net::SocketAddr;

impl Overlay {
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
        let of_lookup = matches!(frame.body, Body::Value(..));
        self.counters.lookup_bytes += if of_lookup { len as u64 } else { 0 };
        let node = Node { id: frame.sender, address: from };
        let shows = matches!(frame.body, Body::Value(_, Value { certificate: Some(_), .. }));
        self.credentials.came = shows.then_some(node);
        self.heard_answering(now, &node, &pending, hello);
        if let (Purpose::Lookup(id, named), Some(expected)) = (pending.purpose, pending.node)
            && !same(&expected, &node.id)
        {
            self.lookup_gone(now, id, expected, named, &frame.body);
            return Ok(());
        }
        match (pending.purpose, frame.body) {
            (_, Body::Pong(_)) => self.pong_heard(now, pending, &node, hello),
            (Purpose::Vouch(id, proven), Body::Dialed(_, verdict)) => {
                self.verdict_heard(now, (id, proven), &node, hello, verdict);
                Ok(())
            }
            (Purpose::Meet(peer, repeated, _), Body::Introduced(_, how)) => {
                self.introduced(now, (peer, repeated), from, hello, how);
                Ok(())
            }
            (Purpose::Join, Body::Nodes(_, nodes)) => {
                self.hear_hints(now, nodes, None);
                Ok(())
            }
            (Purpose::Harvest(part), Body::Nodes(_, nodes)) => {
                self.harvested(now, part, nodes);
                Ok(())
            }
            (Purpose::Seek(peer), Body::Nodes(_, nodes)) => {
                nodes.iter().for_each(|named| self.sought(peer, &named.node));
                Ok(())
            }
            (Purpose::Spread(bit, serial), Body::Stored(_, status, ..)) => {
                self.spread_answered(now, (bit, serial), &node, hello, Some(status));
                Ok(())
            }
            (Purpose::Lookup(id, _), Body::Nodes(_, nodes)) => {
                let way = self.lookup_answered(now, id, &node, hello, Word::Yes);
                self.lookup_learn(now, id, nodes, way);
                self.drive(now, id);
                Ok(())
            }
            (Purpose::Lookup(id, named), Body::Value(_, value)) => {
                let taken = self.value_answered(now, id, &node, hello, &value, named);
                self.drive(now, id);
                taken
            }
            (Purpose::Announce(seq), Body::Stored(_, status, ..)) => {
                self.announce_answered(now, &node, hello, status, seq);
                Ok(())
            }
            (Purpose::Who, Body::Credentials(_, it, list)) => self.hear_who(now, &node, it, list),
            (Purpose::List(it), Body::Piece(_, piece)) => self.piece_heard(now, it, hello, &piece),
            (_, body) => self.hear_holder(now, pending, &node, hello, body),
        }
    }

    /// What a holder says: that it has taken a record, or what it has of one.
    fn hear_holder(
        &mut self,
        now: Instant,
        pending: Pending,
        node: &Node,
        hello: &Hello,
        body: Body<'_>,
    ) -> Result<(), Rejected> {
        match (pending.purpose, body) {
            (Purpose::Spot(at), Body::Value(_, value)) => {
                self.spot_answered(now, at, node, hello, &value)
            }
            (Purpose::Publish(id), Body::Stored(_, status, newer, stated)) => {
                self.hear_receipt(id, node, stated.as_ref());
                self.publish_answered(now, id, node, hello, status, newer)
            }
            _ => Err(self.answered_amiss(now, pending)),
        }
    }

    /// It answered something else than it was asked: that is as good as no answer.
    fn answered_amiss(&mut self, now: Instant, pending: Pending) -> Rejected {
        if !pending.late {
            self.request_missed(now, Missed::Late(pending));
        }
        self.request_missed(now, Missed::Over(pending));
        self.malformed()
    }

    /// Somebody else lives where one who was asked was said to be: that is no word for who was to
    /// be asked, but may tell where that is.
    fn lookup_gone(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        expected: NodeId,
        named: bool,
        told: &Body<'_>,
    ) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        lookup.beside = lookup.beside.saturating_sub(u8::from(named));
        let way = lookup.drop(&expected);
        if let Body::Nodes(_, nodes) | Body::Value(_, Value { nodes, .. }) = *told {
            self.lookup_learn(now, id, nodes, way);
        }
        self.drive(now, id);
    }

    /// Acts on an answer that did not come.
    pub(super) fn request_missed(&mut self, now: Instant, missed: Missed) {
        let (pending, over) = match missed {
            Missed::Late(pending) => (pending, false),
            Missed::Over(pending) => (pending, true),
        };
        if over {
            self.score_silence(now, &pending);
        } else {
            self.counters.timeouts += 1;
        }
        let waits_for_others = matches!(pending.purpose, Purpose::Vouch(..) | Purpose::Punch);
        let may_return = waits_for_others || pending.purpose == Purpose::Probe;
        if !waits_for_others {
            self.peer_missed(now, &pending, over);
        }
        if let Some(id) = pending.node.filter(|_| over && !may_return)
            && self.address_of(id) != Some(pending.to)
        {
            self.hints.forget(&Node { id, address: pending.to });
        }
        match (pending.purpose, pending.node) {
            (Purpose::Lookup(id, named), Some(node)) => {
                if let Some(lookup) = self.lookups.get_mut(id) {
                    match (over, named) {
                        (true, _) => lookup.gone(&node),
                        (false, true) => lookup.beside = lookup.beside.saturating_sub(1),
                        (false, false) => lookup.late(&node),
                    }
                }
                self.drive(now, id);
            }
            (Purpose::Publish(id), Some(node)) => self.publish_missed(now, id, node, over),
            (Purpose::Announce(seq), Some(node)) => self.announce_missed(now, node, seq, over),
            (Purpose::Judge, Some(node)) => self.witness_missed(now, node, over),
            (Purpose::Held, Some(node)) if over => self.kept_missed(node),
            (Purpose::Meet(peer, _, false), _) if !over => {
                self.introduction_missed(now, peer, pending.to);
            }
            (Purpose::Keep(_), Some(node)) => self.keep_missed(now, node, over),
            (Purpose::Probe, Some(id)) if over => {
                self.probe_missed(now, &Node { id, address: pending.to });
            }
            (Purpose::Vouch(id, _), _) if !over => self.vouched(now, id, Verdict::Unsure),
            (Purpose::SecondPort(id), _) => self.second_port_missed(now, id, over),
            (Purpose::Errand(id, _), _) if over => self.errand_missed(now, id),
            (Purpose::Spread(bit, serial) | Purpose::Contact(bit, serial), _) => {
                self.spread_missed(now, (bit, serial), over);
            }
            (Purpose::Harvest(part), _) if !over => self.harvest_missed(part),
            (Purpose::Spot(at), _) if over => self.spot_missed(now, at),
            (Purpose::List(number), _) if !over => self.piece_missed(now, number),
            _ => {}
        }
    }

    /// Acts on the answer to a ping.
    fn pong_heard(
        &mut self,
        now: Instant,
        pending: Pending,
        node: &Node,
        hello: &Hello,
    ) -> Result<(), Rejected> {
        match pending.purpose {
            Purpose::Check | Purpose::Probe | Purpose::Introduce => {}
            Purpose::Judge => self.witness_answered(now, node, hello),
            Purpose::SecondPort(id) => self.second_port_answered(now, id, node.id),
            Purpose::Errand(id, second) => self.errand_answered(now, id, node.id, second),
            Purpose::Keep(proven) => self.keep_answered(now, node, hello, proven),
            Purpose::Punch => self.heard_met(now, node, true),
            Purpose::Held => self.kept_answered(now, node),
            Purpose::Contact(bit, serial) => {
                self.spread_answered(now, (bit, serial), node, hello, None);
            }
            _ => return Err(self.answered_amiss(now, pending)),
        }
        Ok(())
    }

    fn lookup_answered(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        node: &Node,
        hello: &Hello,
        word: Word,
    ) -> Way {
        let Some(lookup) = self.lookups.get_mut(id) else { return Way::default() };
        let way = lookup.answered(node.id, hello.token, word);
        if let Goal::Place(publication) = lookup.goal {
            let most = if lookup.parted { HOLDERS_MAX } else { REPLICAS };
            self.place_at(now, publication, *node, hello.token, most);
        }
        way
    }

    fn lookup_learn(&mut self, now: Instant, id: Id<Lookup>, nodes: Nodes<'_>, way: Way) {
        for Named { node, .. } in nodes.iter() {
            if same(&node.id, &self.me) || !self.is_ours(&node.address) {
                continue;
            }
            let proven = self.members.get(&node.id);
            let silent = proven.filter(|member| member.missed > 0);
            let doubtful = silent.is_some_and(|member| member.address() == node.address)
                || self.suspects.contains(&node)
                || self.is_passed_over(&node.id);
            // A hint never displaces the address that we proved, unless that is silent.
            let node = proven.filter(|member| member.missed == 0).map_or(node, Member::node);
            if let Some(lookup) = self.lookups.get_mut(id) {
                lookup.add(node, doubtful, way, || self.members.likely_rtt_us(&node.address));
            }
        }
        // Where liars may be among those who name others, the next look-up begins without theirs.
        if !self.vouching.is_required() {
            self.hear_hints(now, nodes, None);
        }
    }

    fn value_answered(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        node: &Node,
        hello: &Hello,
        value: &Value<'_>,
        named: bool,
    ) -> Result<(), Rejected> {
        let Some(lookup) = self.lookups.get_mut(id) else { return Ok(()) };
        if named {
            lookup.beside = lookup.beside.saturating_sub(1);
        }
        let record = value.record.map(|data| self.read_record(now, data));
        let counts = |record: &Result<Record, _>| matches!(record, Ok(it) if !it.is_withdrawal());
        let word = match &record {
            Some(record) if counts(record) => Word::Yes,
            Some(_) => Word::No,
            None if hello.young => Word::YoungNo,
            None => Word::No,
        };
        let way = self.lookup_answered(now, id, node, hello, word);
        self.lookup_learn(now, id, value.nodes, way);
        if record.is_none() {
            self.hear_no(now, id, node, value);
        }
        let told = match &record {
            Some(Ok(record)) => Some(self.owner_of(record)),
            _ => None,
        };
        let taken = record.map_or(Ok(()), |record| self.check_record(now, id, record?, value));
        // Who was asked for one owner's record has told of the others before.
        let others = value.others.iter().filter(|(owner, _)| !named && Some(*owner) != told);
        for (owner, seq) in others {
            self.ask_for_owner(now, id, node, hello.token, owner, seq);
        }
        taken
    }

    /// A record that somebody has given out, unless nobody vouches for it.
    fn read_record(&mut self, now: Instant, data: &[u8]) -> Result<Record, Rejected> {
        let record = Record::parse(data).map_err(|_| self.malformed())?;
        self.vouched_for(now, record.certificate().as_ref())?;
        Ok(record)
    }

    /// Sorts out what need not be verified, and queues the rest.
    fn check_record(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        record: Record,
        value: &Value<'_>,
    ) -> Result<(), Rejected> {
        let addresses = value.addresses.and_then(|data| AddressRecord::parse(data).ok());
        let addresses = addresses.filter(|list| list.owner() == record.owner());
        let owner = self.owner_of(&record);
        let Some(lookup) = self.lookups.get_mut(id) else { return Ok(()) };
        let Goal::Records(_, aor_key) = lookup.goal else { return Ok(()) };
        let sealed_for_another = !record.is_withdrawal() && record.open(&aor_key).is_none();
        if record.key().0 != lookup.target || sealed_for_another {
            return Err(self.malformed());
        }
        let Some(seen) = lookup.owner(owner) else { return Ok(()) };
        seen.told = seen.told.max(record.seq());
        let seen = *seen;
        if !record.is_withdrawal() {
            lookup.agree(record.seq(), seen.seq);
        }
        let address_seq = addresses.as_ref().map_or(0, AddressRecord::seq);
        let newer =
            record.seq() > seen.seq || (record.seq() == seen.seq && address_seq > seen.address_seq);
        if !newer || self.work.is_waiting(id, &record, addresses.as_ref()) {
            return Ok(());
        }
        lookup.verifying += 1;
        let (reason, subject) = (Reason::Found(id), Subject::Record(record));
        self.submit(now, Job { reason, subject, addresses })
    }

    fn ask_for_owner(
        &mut self,
        now: Instant,
        id: Id<Lookup>,
        holder: &Node,
        token: Token,
        owner: NodeId,
        seq: u64,
    ) {
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        let (goal, target) = (lookup.goal, lookup.target);
        if !lookup.names(owner, seq) {
            return;
        }
        if self.ask_step(now, id, goal, target, holder, &token, Some(owner))
            && let Some(lookup) = self.lookups.get_mut(id)
        {
            lookup.beside += 1;
        }
    }

    /// A record of a look-up is verified.
    pub(super) fn record_found(&mut self, now: Instant, id: Id<Lookup>, job: &Job) {
        self.take_record(id, job);
        self.drive(now, id);
    }

    pub(super) fn take_record(&mut self, id: Id<Lookup>, job: &Job) {
        let owner = job.record().map(|record| self.owner_of(record));
        let Some(lookup) = self.lookups.get_mut(id) else { return };
        lookup.verifying = lookup.verifying.saturating_sub(1);
        let Goal::Records(user, aor_key) = lookup.goal else { return };
        let (Some(record), Some(owner)) = (job.record(), owner) else { return };
        let address_seq = job.addresses.as_ref().map_or(0, AddressRecord::seq);
        if !lookup.verified(owner, (record.seq(), address_seq), record.is_withdrawal()) {
            return;
        }
        let Some(contact) = record.open(&aor_key) else { return };
        let hops = lookup.hops;
        let list = job.addresses.as_ref();
        let addresses = list.map(AddressRecord::addresses).unwrap_or_default();
        let rendezvous = list.map(AddressRecord::rendezvous).unwrap_or_default();
        let seq = record.seq();
        let found = Found { lookup: user, owner, seq, hops, contact, addresses, rendezvous };
        self.tell(OverlayEvent::Found(found));
    }

    /// A record of a look-up will not be verified.
    pub(super) fn record_dropped(&mut self, now: Instant, id: Id<Lookup>) {
        if let Some(lookup) = self.lookups.get_mut(id) {
            lookup.verifying = lookup.verifying.saturating_sub(1);
        }
        self.drive(now, id);
    }
}
