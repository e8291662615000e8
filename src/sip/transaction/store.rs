//! Where transactions live: a table, found by key, by deadline and by flow.
//!
//! Live entries hold messages and are limited, so that a flood costs bounded memory. Finished ones
//! (final response through, absorbing repeats) stand in a ring of their own size: the oldest
//! gives way. Both share one table, so that an id stays good from one to the other. All capacity
//! is reserved at start.

use super::key::Key;
use super::{Flow, Room};
use crate::rng::Rng;
use crate::table::{Id, Index, Table};
use crate::time::{Duration, Instant, earlier};
use crate::timer::Timers;
use core::hash::{Hash, Hasher};
use siphasher::sip::SipHasher13;
use std::collections::VecDeque;

/// One transaction: what both sides have, and `inner` for the rest.
pub(super) struct Entry<T> {
    key: Key,
    pub(super) flow: Flow,
    /// Timer A, E or G, and the interval that led to it.
    pub(super) retransmit_at: Option<Instant>,
    pub(super) interval: Duration,
    /// Timer B, D, F, H, I, J, K, L or M.
    pub(super) ends_at: Option<Instant>,
    /// The transport has failed: ends at once.
    pub(super) failed: bool,
    /// Where it found room.
    pub(super) room: Room,
    finished: bool,
    live_at: u32,
    pub(super) inner: T,
}

/// A live entry as [`Store::fail`] finds it: without touching the table.
struct Live {
    flow_hash: u32,
    slot: u32,
}

/// The transactions of one side.
pub(super) struct Store<T> {
    table: Table<Entry<T>>,
    index: Index,
    timers: Timers,
    live: Vec<Live>,
    live_max: usize,
    /// Live ones beyond `live_max`, in [`Room::Reserved`].
    reserved: usize,
    finished: VecDeque<Id<Entry<T>>>,
    finished_max: usize,
    secret: (u64, u64),
}

impl<T> Store<T> {
    pub(super) fn new(
        (live_max, reserved): (usize, usize),
        finished_max: usize,
        rng: &mut Rng,
    ) -> Self {
        let all = live_max + reserved + finished_max;
        Self {
            table: Table::with_capacity(all),
            index: Index::with_capacity(all, rng),
            timers: Timers::with_capacity(all),
            live: Vec::with_capacity(live_max + reserved),
            live_max,
            reserved,
            finished: VecDeque::with_capacity(finished_max),
            finished_max,
            secret: (rng.next_u64(), rng.next_u64()),
        }
    }

    pub(super) fn live_len(&self) -> usize {
        self.live.len()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.len()
    }

    pub(super) fn is_full(&self, room: Room) -> bool {
        let reserved = if room == Room::Reserved { self.reserved } else { 0 };
        self.live.len() >= self.live_max + reserved
    }

    /// Adds a live entry without deadlines, unless the limit is reached.
    pub(super) fn insert(
        &mut self,
        key: Key,
        flow: Flow,
        room: Room,
        inner: T,
    ) -> Option<Id<Entry<T>>> {
        if self.is_full(room) {
            return None;
        }
        let entry = Entry {
            key,
            flow,
            retransmit_at: None,
            interval: Duration::ZERO,
            ends_at: None,
            failed: false,
            room,
            finished: false,
            live_at: self.live.len() as u32,
            inner,
        };
        let id = self.table.insert(entry).ok()?;
        self.index.insert(&key, id.slot());
        self.live.push(Live { flow_hash: self.flow_hash(flow), slot: id.slot() });
        Some(id)
    }

    pub(super) fn find(&self, key: Key) -> Option<Id<Entry<T>>> {
        let candidates = self.index.find(&key).filter_map(|slot| self.table.id_at(slot));
        candidates.into_iter().find(|id| self.table.get(*id).is_some_and(|e| e.key == key))
    }

    pub(super) fn get(&self, id: Id<Entry<T>>) -> Option<&Entry<T>> {
        self.table.get(id)
    }

    pub(super) fn get_mut(&mut self, id: Id<Entry<T>>) -> Option<&mut Entry<T>> {
        self.table.get_mut(id)
    }

    pub(super) fn is_finished(&self, id: Id<Entry<T>>) -> bool {
        self.table.get(id).is_none_or(|entry| entry.finished)
    }

    /// Takes over the deadlines that the caller wrote into the entry.
    pub(super) fn arm(&mut self, id: Id<Entry<T>>) {
        let Some(entry) = self.table.get(id) else { return };
        match earlier(entry.retransmit_at, entry.ends_at) {
            Some(at) => self.timers.set(id.slot(), at),
            None => self.timers.stop(id.slot()),
        }
    }

    /// Moves a live entry into the ring for `rest`, or removes it where that is zero. True where
    /// an older one had to give way before its time.
    pub(super) fn finish(&mut self, id: Id<Entry<T>>, now: Instant, rest: Duration) -> bool {
        if rest.is_zero() || self.finished_max == 0 {
            self.remove(id);
            return false;
        }
        self.leave_live(id);
        let Some(entry) = self.table.get_mut(id) else { return false };
        if entry.finished {
            return false;
        }
        entry.finished = true;
        entry.retransmit_at = None;
        entry.ends_at = Some(now + rest);
        self.arm(id);
        let mut evicted = false;
        if self.finished.len() == self.finished_max
            && let Some(oldest) = self.finished.pop_front()
        {
            evicted = self.remove(oldest).is_some();
        }
        self.finished.push_back(id);
        evicted
    }

    pub(super) fn remove(&mut self, id: Id<Entry<T>>) -> Option<T> {
        self.leave_live(id);
        let entry = self.table.remove(id)?;
        self.index.remove(&entry.key, id.slot());
        self.timers.stop(id.slot());
        Some(entry.inner)
    }

    fn leave_live(&mut self, id: Id<Entry<T>>) {
        let Some(entry) = self.table.get(id) else { return };
        if entry.finished {
            return;
        }
        let at = entry.live_at as usize;
        self.live.swap_remove(at);
        let Some(moved) = self.live.get(at) else { return };
        if let Some(moved) = self.table.id_at(moved.slot)
            && let Some(entry) = self.table.get_mut(moved)
        {
            entry.live_at = at as u32;
        }
    }

    /// Marks every live entry on `flow` as failed and due. One pass over 8 bytes an entry.
    pub(super) fn fail(&mut self, now: Instant, flow: Flow) {
        let flow_hash = self.flow_hash(flow);
        for live in self.live.iter().filter(|live| live.flow_hash == flow_hash) {
            let Some(id) = self.table.id_at(live.slot) else { continue };
            let Some(entry) = self.table.get_mut(id) else { continue };
            if entry.flow.is_same_path(flow) {
                entry.failed = true;
                self.timers.set(live.slot, now);
            }
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Takes one deadline that is due; the caller arms the entry again or removes it.
    pub(super) fn pop_due(&mut self, now: Instant) -> Option<Id<Entry<T>>> {
        let slot = self.timers.pop_due(now)?;
        self.table.id_at(slot)
    }

    fn flow_hash(&self, flow: Flow) -> u32 {
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        flow.via.hash(&mut hasher);
        if flow.via.is_datagram() {
            flow.to.hash(&mut hasher);
        }
        hasher.finish() as u32
    }
}
