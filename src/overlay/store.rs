//! Records kept for others, and this node's own.
//!
//! A key holds a set: one record per owner, at most eight. Only a newer number replaces what is
//! held. Lifetimes run on this node's monotonic clock, whatever the owner's clock says. Where
//! others fill their part of the store, it gives up the record farthest from its own id, if the
//! new one is closer: so a flood of records cannot push out those that belong here. Own records
//! have a part that nobody else fills, and the first claim to a place under their key: the phones
//! of this router are found here whatever others publish.

use super::id::{Node, distance};
use super::lookup::OWNERS_MAX;
use super::shelf::Shelf;
use super::slots::SlotsById;
use super::wire::Status;
use crate::identity::record::{
    ADDRESS_RECORD_BYTES_MAX, AddressRecord, KeptAddresses, KeptRecord, Key, RECORD_BYTES_MAX,
    Record,
};
use crate::net::NodeId;
use crate::table::{Id, Table};
use crate::time::{Duration, Instant};
use crate::timer::Timers;

/// How long a record lives without a touch.
const LIFETIME: Duration = Duration::from_secs(3 * 3600);

/// A record that is kept. Its signature has been verified.
pub(super) struct Held<'a> {
    /// The record.
    pub(super) record: KeptRecord<'a>,
    /// The owner's addresses, newest list.
    pub(super) addresses: Option<KeptAddresses<'a>>,
    /// The owner's id.
    pub(super) owner: NodeId,
    own: bool,
}

/// What the table knows of it.
pub(super) struct Entry {
    /// Where its bytes are.
    at: u32,
    owner: NodeId,
    own: bool,
}

/// The records of this node.
pub(super) struct Store {
    me: NodeId,
    others_max: usize,
    /// Whether ids are the places that certificates name.
    certified: bool,
    table: Table<Entry>,
    shelf: Shelf,
    by_key: SlotsById,
    by_owner: SlotsById,
    timers: Timers,
    /// Whether a record of others was dropped before its time.
    forgotten: bool,
}

impl Store {
    /// An empty store for `others` records of others, and `own` ones of this node.
    pub(super) fn new(me: NodeId, others: usize, own: usize) -> Self {
        let entries = others + own;
        Self {
            me,
            others_max: others,
            certified: false,
            table: Table::with_capacity(entries),
            shelf: Shelf::with_capacity(entries, RECORD_BYTES_MAX + ADDRESS_RECORD_BYTES_MAX),
            by_key: SlotsById::with_capacity(entries),
            by_owner: SlotsById::with_capacity(entries),
            timers: Timers::with_capacity(entries),
            forgotten: false,
        }
    }

    /// Whether, since it was asked the last time, a record was dropped before its time.
    pub(super) fn take_forgotten(&mut self) -> bool {
        core::mem::take(&mut self.forgotten)
    }

    /// When the life of another's record ends.
    pub(super) fn ends(&self, key: Key, owner: &NodeId) -> Option<Instant> {
        let id = self.find(&key, owner)?;
        self.table.get(id).filter(|entry| !entry.own).and_then(|_| self.timers.get(id.slot()))
    }

    /// See [`crate::queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        self.table.fit();
        self.shelf.fit();
        self.by_key.fit();
        self.by_owner.fit();
        self.timers.fit();
    }

    /// Ids are the places that certificates name from now on, or no longer: others are known by
    /// other ids than before, and put their records anew.
    pub(super) fn set_certified(&mut self, certified: bool) {
        self.certified = certified;
        self.drop_revoked(true, |_| true);
    }

    /// Drops those of others that were revoked. Nobody is accused of not keeping what it promised
    /// their owners, where whoever compares knows of all that is revoked; else what was promised
    /// `ends`.
    pub(super) fn drop_revoked(
        &mut self,
        ends: bool,
        is_revoked: impl Fn(&KeptRecord<'_>) -> bool,
    ) {
        for slot in 0..self.table.capacity() as u32 {
            let id = self.table.id_at(slot);
            let held = |id| self.table.get(id).map(|entry| self.held(entry));
            if let Some(id) =
                id.filter(|id| held(*id).is_some_and(|it| !it.own && is_revoked(&it.record)))
            {
                self.forgotten |= ends;
                self.take_out(id);
            }
        }
    }

    /// Drops those of others under `key` that do not count.
    pub(super) fn drop_under(&mut self, key: &Key, counts: impl Fn(&KeptRecord<'_>) -> bool) {
        let mut worthless = heapless::Vec::<_, OWNERS_MAX>::new();
        let under = self.under(key).filter(|(_, held)| !held.own && !counts(&held.record));
        worthless.extend(under.map(|(id, _)| id).take(OWNERS_MAX));
        worthless.into_iter().for_each(|id| self.remove(id));
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// All records under `key`.
    pub(super) fn set<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = Held<'a>> {
        self.under(key).map(|(_, held)| held)
    }

    /// The record of `owner` under `key`.
    pub(super) fn get(&self, key: Key, owner: &NodeId) -> Option<Held<'_>> {
        Some(self.held(self.table.get(self.find(&key, owner)?)?))
    }

    /// Keeps a verified record. [`Status::Newer`] where a newer one is held already.
    pub(super) fn put(
        &mut self,
        now: Instant,
        record: &Record,
        addresses: Option<&AddressRecord>,
        own: bool,
    ) -> Status {
        let owner = if own { self.me } else { record.owner_id(self.certified) };
        let key = record.key();
        let known = self.find(&key, &owner);
        let id = match known {
            Some(id) => id,
            None => {
                if !(self.make_room_under(&key, own) && self.make_room(&key, own)) {
                    return Status::Full;
                }
                let entry = Entry { at: 0, owner, own };
                let Ok(id) = self.table.insert(entry) else { return Status::Full };
                self.by_key.insert(&key.0, id.slot());
                self.by_owner.insert(&owner.0, id.slot());
                id
            }
        };
        let Some(entry) = self.table.get_mut(id) else { return Status::Full };
        let at = known.map(|_| entry.at);
        let seq = at.map(|at| KeptRecord::of_kept(self.shelf.get(at).0).seq());
        if seq.is_some_and(|seq| seq > record.seq()) {
            return Status::Newer;
        }
        entry.own |= own;
        if seq.is_none_or(|seq| seq < record.seq()) {
            let known = at.map(|at| self.shelf.get(at).1).unwrap_or_default();
            let newest = addresses.map(AddressRecord::as_bytes).filter(|told| {
                known.is_empty()
                    || KeptAddresses::of_kept(known).seq() < KeptAddresses::of_kept(told).seq()
            });
            let list: heapless::Vec<u8, ADDRESS_RECORD_BYTES_MAX> =
                heapless::Vec::from_slice(newest.unwrap_or(known)).unwrap_or_default();
            self.write(id, at, record.as_bytes(), &list);
        }
        self.timers.set(id.slot(), now + LIFETIME);
        if let Some(addresses) = addresses {
            self.set_addresses(&owner, addresses);
        }
        Status::Stored
    }

    /// Extends the lifetime of a record, if this version of it is held with addresses as new as
    /// `address_seq`.
    pub(super) fn touch(
        &mut self,
        now: Instant,
        key: Key,
        owner: &NodeId,
        seq: u64,
        address_seq: u64,
    ) -> Status {
        let Some(id) = self.find(&key, owner) else { return Status::Unknown };
        let Some(held) = self.table.get(id).map(|entry| self.held(entry)) else {
            return Status::Unknown;
        };
        if held.record.seq() != seq {
            return if held.record.seq() > seq { Status::Newer } else { Status::Unknown };
        }
        let known = held.addresses.as_ref().map_or(0, KeptAddresses::seq);
        self.timers.set(id.slot(), now + LIFETIME);
        if known < address_seq { Status::AddressUnknown } else { Status::Stored }
    }

    /// Gives all records of `owner` a newer, verified list of addresses.
    pub(super) fn set_addresses(&mut self, owner: &NodeId, addresses: &AddressRecord) {
        let mut next = 0;
        while let Some(id) = self.of_owner(owner, next) {
            next = id.slot() + 1;
            let Some(entry) = self.table.get(id) else { continue };
            let (at, held) = (entry.at, self.held(entry));
            if held.addresses.is_none_or(|known| known.seq() < addresses.seq()) {
                let record: Record = held.record.copied();
                self.write(id, Some(at), record.as_bytes(), addresses.as_bytes());
            }
        }
    }

    /// Where the others are whose records are kept, as far as they have told.
    pub(super) fn owners(&self) -> impl Iterator<Item = Node> + '_ {
        let held = self.table.iter().map(|(_, entry)| self.held(entry));
        held.filter(|held| !held.own).filter_map(|held| {
            let address = *held.addresses?.addresses().first()?;
            Some(Node { id: held.owner, address })
        })
    }

    /// The records of `owner`.
    pub(super) fn records_of<'a>(
        &'a self,
        owner: &'a NodeId,
    ) -> impl Iterator<Item = KeptRecord<'a>> {
        let ids = self.by_owner.find(&owner.0).filter_map(|slot| self.table.id_at(slot));
        let entries = ids.filter_map(|id| self.table.get(id));
        entries.filter(move |entry| entry.owner == *owner).map(|entry| self.held(entry).record)
    }

    /// The newest list of addresses known of `owner`.
    pub(super) fn addresses_of(&self, owner: &NodeId) -> Option<KeptAddresses<'_>> {
        self.by_owner
            .find(&owner.0)
            .filter_map(|slot| self.table.get(self.table.id_at(slot)?))
            .filter(|entry| entry.owner == *owner)
            .filter_map(|entry| self.held(entry).addresses)
            .max_by_key(KeptAddresses::seq)
    }

    /// Drops one record whose lifetime is over; own ones live on. True where one was due.
    pub(super) fn expire_one(&mut self, now: Instant) -> bool {
        let Some(slot) = self.timers.pop_due(now) else { return false };
        if let Some(id) = self.table.id_at(slot) {
            if self.table.get(id).is_some_and(|entry| entry.own) {
                self.timers.set(slot, now + LIFETIME);
            } else {
                self.take_out(id);
            }
        }
        true
    }

    /// Lets an own record end with its lifetime, as if it were another's.
    pub(super) fn disown(&mut self, key: Key) {
        let me = self.me;
        if let Some(entry) = self.find(&key, &me).and_then(|id| self.table.get_mut(id)) {
            entry.own = false;
        }
    }

    /// When a lifetime ends next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn held(&self, entry: &Entry) -> Held<'_> {
        let (record, addresses) = self.shelf.get(entry.at);
        let addresses = (!addresses.is_empty()).then(|| KeptAddresses::of_kept(addresses));
        let record = KeptRecord::of_kept(record);
        Held { record, addresses, owner: entry.owner, own: entry.own }
    }

    fn under<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = (Id<Entry>, Held<'a>)> {
        let ids = self.by_key.find(&key.0).filter_map(|slot| self.table.id_at(slot));
        let held = ids.filter_map(|id| Some((id, self.held(self.table.get(id)?))));
        held.filter(move |(_, held)| held.record.key() == *key)
    }

    fn find(&self, key: &Key, owner: &NodeId) -> Option<Id<Entry>> {
        self.under(key).find(|(_, held)| held.owner == *owner).map(|(id, _)| id)
    }

    /// The first entry of `owner` from this slot on.
    fn of_owner(&self, owner: &NodeId, from: u32) -> Option<Id<Entry>> {
        let slots = self.by_owner.find_from(&owner.0, from);
        let mut ids = slots.filter_map(|slot| self.table.id_at(slot));
        ids.find(|id| self.table.get(*id).is_some_and(|entry| entry.owner == *owner))
    }

    /// Writes what an entry holds, in place of what is `at` where it has held something.
    fn write(&mut self, id: Id<Entry>, at: Option<u32>, record: &[u8], addresses: &[u8]) {
        let Self { table, shelf, .. } = self;
        if let Some(at) = at {
            if shelf.replace(at, record, addresses) {
                return;
            }
            shelf.remove(at);
        }
        let at = shelf.put(id.slot(), record, addresses).or_else(|| {
            shelf.move_together(&mut |slot, at| {
                if let Some(entry) = table.id_at(slot).and_then(|id| table.get_mut(id)) {
                    entry.at = at;
                }
            });
            shelf.put(id.slot(), record, addresses)
        });
        debug_assert!(at.is_some(), "each entry has room for the longest");
        if let (Some(entry), Some(at)) = (table.get_mut(id), at) {
            entry.at = at;
        }
    }

    /// Makes room in the set of `key`: a withdrawn record gives way to any other, and to an own one
    /// that of another which would end first.
    fn make_room_under(&mut self, key: &Key, own: bool) -> bool {
        if self.set(key).count() < OWNERS_MAX {
            return true;
        }
        let yields = |held: &Held<'_>| !held.own && (own || held.record.is_withdrawal());
        let first = self
            .under(key)
            .filter(|(_, held)| yields(held))
            .min_by_key(|(id, held)| (!held.record.is_withdrawal(), self.timers.get(id.slot())));
        let Some(id) = first.map(|(id, _)| id) else { return false };
        self.remove(id);
        true
    }

    /// Makes room in the table. Only others give way; to a record of another only what is farther.
    fn make_room(&mut self, key: &Key, own: bool) -> bool {
        let others = || self.table.iter().filter(|(_, entry)| !entry.own);
        let has_room = if own { !self.table.is_full() } else { others().count() < self.others_max };
        if has_room {
            return true;
        }
        let me = self.me.0;
        let far = |entry: &Entry| distance(&me, &self.held(entry).record.key().0);
        let farthest = others().map(|(id, entry)| (far(entry), id)).max_by_key(|(far, _)| *far);
        let Some((farthest, id)) = farthest else { return false };
        if !own && farthest <= distance(&me, &key.0) {
            return false;
        }
        self.remove(id);
        true
    }

    /// Drops a record before its time.
    fn remove(&mut self, id: Id<Entry>) {
        self.forgotten = true;
        self.take_out(id);
    }

    fn take_out(&mut self, id: Id<Entry>) {
        self.timers.stop(id.slot());
        if let Some(entry) = self.table.remove(id) {
            let key = self.held(&entry).record.key();
            self.by_key.remove(&key.0, id.slot());
            self.by_owner.remove(&entry.owner.0, id.slot());
            self.shelf.remove(entry.at);
        }
    }
}
