//! Keeping own records in the overlay.
//!
//! A published record goes to the twelve members closest to its key, with one search for them
//! first. From then on each publication compares, in steps of its own timer, who should hold it
//! by the table with who has acknowledged it, and mends the difference: periodic repair costs the
//! same in calm and in churn, where repair in reaction to each loss feeds on itself. A small touch
//! extends the lifetime hourly; a holder that does not know the record asks for it. Holders are
//! searched for again after twice as long as the node has been up: after a power cut for many it
//! does not know yet where those are who have the older record. They are, too, once others have
//! taken the places of a quarter of them.

use super::event::OverlayEvent;
use super::id::{Named, Node, Place, distance};
use super::lookup::{Goal, Lookup, REPLICAS};
use super::paths::PART;
use super::publication::{HOLDERS_MAX, Holder, Publication, State};
use super::request::Purpose;
use super::table::Member;
use super::wire::{Hello, NO_TOKEN, Status, Token, Touch};
use super::wire_out::Encoder;
use super::work::{Job, Reason, Subject};
use super::{Overlay, YOUNG};
use crate::identity::record::{AddressRecord, Record};
use crate::net::{NodeId, Rejected};
use crate::table::Id;
use crate::time::{Duration, Instant};

const TRIES_MAX: u8 = 4;
/// Where so many have taken the places of holders since those were searched for, they are again:
/// not everybody is known here, and readers ask who is closest.
const REPLACED_MAX: u8 = REPLICAS as u8 / 4;
const PLACING_MAX: u8 = 8;
const PLACE_AGAIN: Duration = Duration::from_millis(100);
/// How often the holders are compared with the table, at the start and later.
pub(super) const REPAIR_EARLY: Duration = Duration::from_secs(10);
const REPAIR: Duration = Duration::from_secs(60);
const EARLY: Duration = Duration::from_secs(120);
/// Touches are due hourly; the jitter makes it 50 to 60 minutes.
const REFRESH: Duration = Duration::from_secs(3600);
/// After so long a node compares holders with its table, whatever that has become.
const SETTLED: Duration = Duration::from_secs(300);

const _: () = assert!(REFRESH.as_secs() < YOUNG.as_secs());

impl Overlay {
    /// Makes one signature, if one is wanted. Addresses first: records are put with them.
    pub(super) fn sign_one(&mut self, now: Instant) -> bool {
        if self.addresses_unsigned {
            self.sign_addresses(now);
            return true;
        }
        let Some(id) = self.unsigned.pop_front() else { return false };
        let Some(publication) = self.publications.get_mut(id) else { return false };
        let (network, aor_key, seq) = (self.keys.network(), &publication.aor_key, publication.seq);
        let contact = publication.contact.as_ref();
        let record = Record::sign(&self.identity, network, aor_key, seq, contact);
        self.counters.signed += 1;
        self.work.remember(record.as_bytes());
        let kept = self.store.put(now, &record, self.addresses.as_ref(), true);
        debug_assert!(kept != Status::Full || contact.is_none(), "own records have their room");
        if contact.is_none() {
            self.store.disown(publication.key);
        }
        publication.record = Some(record);
        (publication.refreshed_at, publication.refresh_at) = (now, now + REFRESH);
        publication.told = false;
        publication.place_wanted = publication.contact.is_some();
        for holder in &mut publication.holders {
            (holder.state, holder.touch, holder.tries) = (State::Failed, false, 0);
        }
        let known: heapless::Vec<NodeId, HOLDERS_MAX> =
            publication.holders.iter().map(|h| h.node.id).collect();
        for node in &known {
            self.put_to(now, id, node);
        }
        self.place(now, id);
        true
    }

    /// Searches for holders, or waits for its turn to.
    fn place(&mut self, now: Instant, id: Id<Publication>) {
        let Some(publication) = self.publications.get_mut(id) else { return };
        // Others would refuse what nobody vouches for.
        publication.place_wanted &= publication.counts(now, &self.vouching);
        if !publication.place_wanted || publication.placing {
            return self.tell_published(id);
        }
        let target = publication.key.0;
        let started = if self.placing < PLACING_MAX {
            self.start_lookup(now, Goal::Place(id), target)
        } else {
            None
        };
        let Some(publication) = self.publications.get_mut(id) else { return };
        let Some(lookup) = started else {
            self.publication_timers.set(id.slot(), now + PLACE_AGAIN);
            return;
        };
        publication.placing = true;
        publication.place_wanted = false;
        self.placing += 1;
        self.drive(now, lookup);
    }

    /// One of the closest answered a search: it gets the record at once.
    /// There are no more than so many closer to it.
    pub(super) fn place_at(
        &mut self,
        now: Instant,
        id: Id<Publication>,
        node: Node,
        token: Token,
        most: usize,
    ) {
        let (unproven, passed) = (self.is_unproven(&node), self.is_passed_over(&node.id));
        let Some(publication) = self.publications.get_mut(id).filter(|_| !passed) else { return };
        let key = publication.key.0;
        let closer = |h: &&Holder| {
            h.state != State::Failed && distance(&key, &h.node.id.0) < distance(&key, &node.id.0)
        };
        if publication.holders.iter().filter(closer).count() >= most {
            return;
        }
        if unproven {
            return self.ask_holder(now, &node);
        }
        let Some(holder) = publication.entry(node) else { return };
        (holder.node, holder.token) = (node, token);
        if holder.state == State::Failed {
            holder.tries = 0;
            self.put_to(now, id, &node.id);
        }
    }

    /// A search for holders is over.
    pub(super) fn placed(&mut self, now: Instant, id: Id<Publication>, lookup: &Lookup) {
        self.placing = self.placing.saturating_sub(1);
        let Some(publication) = self.publications.get_mut(id) else { return };
        publication.placing = false;
        publication.search_at = now + (2 * now.since(self.started)).max(REPAIR_EARLY);
        publication.replaced = 0;
        let most = if lookup.parted { HOLDERS_MAX } else { REPLICAS };
        for placement in lookup.holders() {
            self.place_at(now, id, placement.node, placement.token, most);
        }
        self.tell_published(id);
    }

    /// Somebody that answered a search has proven who it is: it gets what it is close to.
    pub(super) fn holder_proven(&mut self, now: Instant, node: &Node) {
        for slot in 0..self.publications.capacity() as u32 {
            let Some(id) = self.publications.id_at(slot) else { continue };
            if self.publications.get(id).is_some_and(Publication::is_stored) {
                self.place_at(now, id, *node, NO_TOKEN, REPLICAS);
            }
        }
    }

    /// Who should hold what is under `key`, as far as we know: the closest that are proven,
    /// whatever hints say; where more are close than can be, others besides.
    fn holders_wanted(&mut self, now: Instant, key: &Place) -> heapless::Vec<Node, HOLDERS_MAX> {
        let known = self.closest_known::<{ 2 * REPLICAS }>(now, key, false);
        let crowded = self.size.is_crowded(key, known.get(..REPLICAS).unwrap_or(&known));
        let fit = known.into_iter().filter(|named| !self.is_passed_over(&named.node.id));
        let known: heapless::Vec<Named, REPLICAS> = fit.take(REPLICAS).collect();
        let last = known.last().map_or(u128::MAX, |named| distance(key, &named.node.id.0));
        let reach = self.size.reach(REPLICAS).max(last);
        let near = |node: &Node| distance(key, &node.id.0) <= reach;
        let fits = |m: &Member| m.missed == 0 && !self.is_passed_over(&m.id);
        let closest = self.members.closest::<REPLICAS>(key, fits);
        let mut wanted: heapless::Vec<Node, HOLDERS_MAX> =
            closest.into_iter().filter(near).collect();
        for (_, place) in self.size.parts(key).filter(|_| crowded) {
            for node in self.members.closest::<PART>(&place, fits) {
                if !wanted.contains(&node) {
                    wanted.extend((!wanted.is_full()).then_some(node));
                }
            }
        }
        for Named { node, .. } in known.iter().filter(|named| named.node.is_hint()) {
            // It gets the record once it is proven.
            self.consider(now, node);
        }
        wanted
    }

    /// Puts or touches at one holder.
    fn put_to(&mut self, now: Instant, id: Id<Publication>, node: &NodeId) {
        let Some(publication) = self.publications.get_mut(id) else { return };
        let (key, seq) = (publication.key, publication.seq);
        let Some(record) = publication.record.clone() else { return };
        let counts = publication.counts(now, &self.vouching);
        let Some(holder) = publication.holder(node) else { return };
        if holder.tries >= TRIES_MAX || !counts {
            holder.state = State::Failed;
            return;
        }
        let addresses = self.addresses.clone();
        let address_seq = addresses.as_ref().map_or(0, AddressRecord::seq);
        holder.tries += 1;
        (holder.state, holder.sent_seq) = (State::Asked, address_seq);
        let (to, token, touch) = (holder.node.address, holder.token, holder.touch);
        let purpose = Purpose::Publish(id);
        let asked = self.ask(now, to, Some(*node), purpose, 0, |me, request| {
            let addresses = addresses.as_ref().map(AddressRecord::as_bytes);
            if touch {
                // The list itself follows where it is wanted: most know it.
                let (record, certificate) = ((key, seq), None);
                let touch = Touch { record, address_seq, addresses: None, certificate };
                Encoder::touch(me, request, &token, &touch)
            } else {
                Encoder::put_record(me, request, &token, record.as_bytes(), addresses)
            }
        });
        if !asked && let Some(publication) = self.publications.get_mut(id) {
            publication.holder(node).into_iter().for_each(|h| h.state = State::Failed);
        }
    }

    /// A holder answered a put or touch.
    pub(super) fn publish_answered(
        &mut self,
        now: Instant,
        id: Id<Publication>,
        node: &Node,
        hello: &Hello,
        status: Status,
        newer: Option<&[u8]>,
    ) -> Result<(), Rejected> {
        let Some(publication) = self.publications.get_mut(id) else { return Ok(()) };
        let unsigned = publication.record.is_none();
        let Some(holder) = publication.holder(&node.id) else { return Ok(()) };
        holder.token = hello.token;
        if unsigned {
            // It acknowledges an older record; the newer one follows once signed.
            return Ok(());
        }
        match status {
            Status::Stored => {
                (holder.state, holder.touch) = (State::Acknowledged, true);
                holder.start = hello.start;
                holder.address_seq = holder.address_seq.max(holder.sent_seq);
            }
            Status::Full => holder.state = State::Failed,
            Status::Refused => {
                holder.state = State::Failed;
                self.counters.puts_refused += 1;
            }
            Status::NoToken => self.put_to(now, id, &node.id),
            Status::Unknown | Status::AddressUnknown => {
                holder.touch = false;
                self.put_to(now, id, &node.id);
            }
            Status::Newer => {
                holder.state = State::Failed;
                if let Some(data) = newer {
                    let record = Record::parse(data).map_err(|_| self.malformed())?;
                    let reason = Reason::Own(id);
                    let subject = Subject::Record(record);
                    self.submit(now, Job { reason, subject, addresses: None })?;
                }
            }
        }
        self.tell_published(id);
        Ok(())
    }

    /// A holder has a record of ours, verified, that is newer than the one we publish: the count of
    /// starts was lost. Numbers never go back, so we continue above it, and above all others.
    pub(super) fn own_record_found(&mut self, now: Instant, id: Id<Publication>, job: &Job) {
        let Some(record) = job.record() else { return };
        let newer = self.publications.get(id).is_some_and(|p| record.seq() > p.seq);
        if record.owner() != self.identity.public() || !newer {
            return;
        }
        self.seq = self.seq.max(record.seq());
        let seq = self.next_seq();
        let Some(publication) = self.publications.get_mut(id) else { return };
        publication.seq = seq;
        publication.record = None;
        self.unsigned.push_back(id);
        self.publication_timers.set(id.slot(), now + REPAIR_EARLY);
    }

    /// A holder did not answer.
    pub(super) fn publish_missed(
        &mut self,
        now: Instant,
        id: Id<Publication>,
        node: NodeId,
        over: bool,
    ) {
        let Some(publication) = self.publications.get_mut(id) else { return };
        let Some(holder) = publication.holder(&node) else { return };
        if !over && holder.state == State::Asked {
            self.put_to(now, id, &node);
            self.tell_published(id);
        }
    }

    /// The first members are known: what waits for holders finds them now.
    pub(super) fn publications_now(&mut self, now: Instant) {
        for (id, publication) in self.publications.iter_mut() {
            publication.place_wanted = publication.contact.is_some();
            self.publication_timers.set(id.slot(), now);
        }
    }

    /// Mends the publications whose turn it is.
    pub(super) fn publications_timeout(&mut self, now: Instant) {
        while let Some(slot) = self.publication_timers.pop_due(now) {
            let Some(id) = self.publications.id_at(slot) else { continue };
            let Some(publication) = self.publications.get_mut(id) else { continue };
            let due = publication.search_at <= now && !publication.placing;
            publication.place_wanted |= due && publication.is_stored();
            let over = publication.contact.is_none() && publication.record.is_some();
            if over && publication.is_settled() {
                self.publications.remove(id);
                continue;
            }
            let early = now.since(self.started) < EARLY;
            let pace = if early { REPAIR_EARLY } else { REPAIR };
            self.publication_timers.set(slot, now + self.rng.jitter(pace));
            if publication.record.is_some() {
                // Who does not know the network yet would put at whom it knows: it searches.
                if self.join_next(now).is_none() || now.since(self.started) > SETTLED {
                    self.mend(now, id);
                }
                self.place(now, id);
            }
        }
    }

    fn mend(&mut self, now: Instant, id: Id<Publication>) {
        let Some(publication) = self.publications.get_mut(id) else { return };
        let refresh = now >= publication.refresh_at;
        let key = publication.key.0;
        let wanted = self.holders_wanted(now, &key);
        let Some(publication) = self.publications.get_mut(id) else { return };
        if refresh {
            let minutes = Duration::from_secs(u64::from(self.rng.below(600)));
            (publication.refreshed_at, publication.refresh_at) = (now, now + REFRESH - minutes);
            publication.holders.retain(|h| wanted.iter().any(|w| w.id == h.node.id));
        }
        let address_seq = self.addresses.as_ref().map_or(0, AddressRecord::seq);
        for node in &wanted {
            let Some(publication) = self.publications.get_mut(id) else { return };
            let new = publication.holder(&node.id).is_none();
            let Some(holder) = publication.entry(*node) else { continue };
            holder.node = *node;
            let due = match holder.state {
                State::Asked => false,
                State::Acknowledged => refresh || holder.address_seq < address_seq,
                State::Failed => true,
            };
            if due {
                holder.tries = 0;
                publication.replaced = publication.replaced.saturating_add(new.into());
                self.put_to(now, id, &node.id);
            }
        }
        if refresh {
            self.spot_own(now, id);
        }
        if let Some(publication) = self.publications.get_mut(id) {
            let many = publication.replaced >= REPLACED_MAX && !publication.placing;
            publication.place_wanted |= many && publication.is_stored();
        }
    }

    fn tell_published(&mut self, id: Id<Publication>) {
        let awaits = self.credentials.awaits_holders();
        let Some(publication) = self.publications.get_mut(id) else { return };
        if publication.told || publication.contact.is_none() || publication.record.is_none() {
            return;
        }
        let acknowledged = publication.acknowledged();
        let most = acknowledged > 0 && acknowledged * 2 > publication.holders.len();
        if most || publication.is_settled() && !awaits {
            publication.told = true;
            let (publish, replicas) = (publication.id, acknowledged as u8);
            self.tell(OverlayEvent::Published { publish, replicas });
        }
    }
}
