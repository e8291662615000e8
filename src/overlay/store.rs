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
use super::wire::Status;
use crate::identity::record::{AddressRecord, Key, Record};
use crate::net::NodeId;
use crate::rng::Rng;
use crate::table::{Id, Index, Table};
use crate::time::{Duration, Instant};
use crate::timer::Timers;

/// How long a record lives without a touch.
const LIFETIME: Duration = Duration::from_secs(3 * 3600);

/// A record that is kept. Its signature has been verified.
pub(super) struct Held {
    /// The record.
    pub(super) record: Record,
    /// The owner's addresses, newest list.
    pub(super) addresses: Option<AddressRecord>,
    owner: NodeId,
    own: bool,
}

impl Held {
    /// The owner's id.
    pub(super) fn owner(&self) -> NodeId {
        self.owner
    }
}

/// The records of this node.
pub(super) struct Store {
    me: NodeId,
    others_max: usize,
    table: Table<Held>,
    by_key: Index,
    by_owner: Index,
    timers: Timers,
}

impl Store {
    /// An empty store for `others` records of others, and `own` ones of this node.
    pub(super) fn new(me: NodeId, others: usize, own: usize, rng: &mut Rng) -> Self {
        let entries = others + own;
        Self {
            me,
            others_max: others,
            table: Table::with_capacity(entries),
            by_key: Index::dense(entries, rng),
            by_owner: Index::dense(entries, rng),
            timers: Timers::with_capacity(entries),
        }
    }

    /// See [`crate::queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        self.table.fit();
        self.timers.fit();
    }

    /// How many records there are.
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    /// All records under `key`.
    pub(super) fn set<'a>(&'a self, key: &'a Key) -> impl Iterator<Item = &'a Held> {
        self.by_key
            .find(key)
            .filter_map(|slot| self.table.get(self.table.id_at(slot)?))
            .filter(move |held| held.record.key() == *key)
    }

    /// The record of `owner` under `key`.
    pub(super) fn get(&self, key: Key, owner: &NodeId) -> Option<&Held> {
        self.table.get(self.find(key, owner)?)
    }

    /// Keeps a verified record. [`Status::Newer`] where a newer one is held already.
    pub(super) fn put(
        &mut self,
        now: Instant,
        record: &Record,
        addresses: Option<&AddressRecord>,
        own: bool,
    ) -> Status {
        let (key, owner) = (record.key(), record.owner_id());
        if let Some(id) = self.find(key, &owner) {
            let Some(held) = self.table.get_mut(id) else { return Status::Full };
            if held.record.seq() > record.seq() {
                return Status::Newer;
            }
            if held.record.seq() < record.seq() {
                held.record.clone_from(record);
            }
            held.own |= own;
            self.timers.set(id.slot(), now + LIFETIME);
            if let Some(addresses) = addresses {
                self.set_addresses(&owner, addresses);
            }
            return Status::Stored;
        }
        if !(self.make_room_under(key, own) && self.make_room(key, own)) {
            return Status::Full;
        }
        let held = Held { record: record.clone(), addresses: addresses.cloned(), owner, own };
        let Ok(id) = self.table.insert(held) else { return Status::Full };
        self.by_key.insert(&key, id.slot());
        self.by_owner.insert(&owner, id.slot());
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
        let Some(id) = self.find(key, owner) else { return Status::Unknown };
        let Some(held) = self.table.get(id) else { return Status::Unknown };
        if held.record.seq() != seq {
            return if held.record.seq() > seq { Status::Newer } else { Status::Unknown };
        }
        let known = held.addresses.as_ref().map_or(0, AddressRecord::seq);
        self.timers.set(id.slot(), now + LIFETIME);
        if known < address_seq { Status::AddressUnknown } else { Status::Stored }
    }

    /// Gives all records of `owner` a newer, verified list of addresses.
    pub(super) fn set_addresses(&mut self, owner: &NodeId, addresses: &AddressRecord) {
        let Self { table, by_owner, .. } = self;
        for slot in by_owner.find(owner) {
            let Some(held) = table.id_at(slot).and_then(|id| table.get_mut(id)) else { continue };
            if held.owner != *owner {
                continue;
            }
            if held.addresses.as_ref().is_none_or(|known| known.seq() < addresses.seq()) {
                held.addresses = Some(addresses.clone());
            }
        }
    }

    /// Where the others are whose records are kept, as far as they have told.
    pub(super) fn owners(&self) -> impl Iterator<Item = Node> + '_ {
        let others = self.table.iter().filter(|(_, held)| !held.own);
        others.filter_map(|(_, held)| {
            let address = *held.addresses.as_ref()?.addresses().first()?;
            Some(Node { id: held.owner, address })
        })
    }

    /// The newest list of addresses known of `owner`.
    pub(super) fn addresses_of(&self, owner: &NodeId) -> Option<&AddressRecord> {
        self.by_owner
            .find(owner)
            .filter_map(|slot| self.table.get(self.table.id_at(slot)?))
            .filter(|held| held.owner == *owner)
            .filter_map(|held| held.addresses.as_ref())
            .max_by_key(|addresses| addresses.seq())
    }

    /// Drops one record whose lifetime is over; own ones live on. True where one was due.
    pub(super) fn expire_one(&mut self, now: Instant) -> bool {
        let Some(slot) = self.timers.pop_due(now) else { return false };
        if let Some(id) = self.table.id_at(slot) {
            if self.table.get(id).is_some_and(|held| held.own) {
                self.timers.set(slot, now + LIFETIME);
            } else {
                self.remove(id);
            }
        }
        true
    }

    /// Lets an own record end with its lifetime, as if it were another's.
    pub(super) fn disown(&mut self, key: Key) {
        let me = self.me;
        if let Some(held) = self.find(key, &me).and_then(|id| self.table.get_mut(id)) {
            held.own = false;
        }
    }

    /// When a lifetime ends next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn find(&self, key: Key, owner: &NodeId) -> Option<Id<Held>> {
        self.by_key.find(&key).filter_map(|slot| self.table.id_at(slot)).find(|id| {
            let held = self.table.get(*id);
            held.is_some_and(|held| held.record.key() == key && held.owner == *owner)
        })
    }

    /// Makes room in the set of `key`: a withdrawn record gives way to any other, and to an own one
    /// that of another which would end first.
    fn make_room_under(&mut self, key: Key, own: bool) -> bool {
        if self.set(&key).count() < OWNERS_MAX {
            return true;
        }
        let yields = |held: &&Held| !held.own && (own || held.record.is_withdrawal());
        let first = self.set(&key).filter(yields).min_by_key(|held| {
            let ends = self.find(key, &held.owner).and_then(|id| self.timers.get(id.slot()));
            (!held.record.is_withdrawal(), ends)
        });
        let Some(id) = first.and_then(|held| self.find(key, &held.owner)) else { return false };
        self.remove(id);
        true
    }

    /// Makes room in the table. Only others give way; to a record of another only what is farther.
    fn make_room(&mut self, key: Key, own: bool) -> bool {
        let others = || self.table.iter().filter(|(_, held)| !held.own);
        let has_room = if own { !self.table.is_full() } else { others().count() < self.others_max };
        if has_room {
            return true;
        }
        let me = self.me.0;
        let far = |held: &Held| distance(&me, &held.record.key().0);
        let Some((id, farthest)) = others().max_by_key(|(_, held)| far(held)) else { return false };
        if !own && far(farthest) <= distance(&me, &key.0) {
            return false;
        }
        self.remove(id);
        true
    }

    fn remove(&mut self, id: Id<Held>) {
        self.timers.stop(id.slot());
        if let Some(held) = self.table.remove(id) {
            self.by_key.remove(&held.record.key(), id.slot());
            self.by_owner.remove(&held.owner, id.slot());
        }
    }
}
