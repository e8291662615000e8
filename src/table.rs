//! The one bounded table: slots reserved once, handed out by id, never grown.
//!
//! UCI sizes tables (phones, calls, transactions), so their capacity is known only at start. The
//! slots are reserved then and touched as they fill: an idle adapter with room for 4,096 calls
//! costs address space, not memory. An [`Id`] names a slot and the generation that it had, so an
//! id kept too long finds nothing instead of a stranger.

#[cfg(feature = "lab")]
use crate::queue;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;
use core::num::NonZeroU32;
use siphasher::sip::SipHasher13;

/// Names one entry of a `Table<T>`.
pub struct Id<T> {
    slot: u32,
    /// Never zero: an id that there may not be takes no room more.
    generation: NonZeroU32,
    kind: PhantomData<fn() -> T>,
}

impl<T> Id<T> {
    /// The slot's number, from 0 to the capacity - 1: the key for a [`crate::timer::Timers`].
    pub fn slot(self) -> u32 {
        self.slot
    }
}

impl<T> Clone for Id<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Id<T> {}
impl<T> PartialEq for Id<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.slot, self.generation) == (other.slot, other.generation)
    }
}
impl<T> Eq for Id<T> {}
impl<T> Hash for Id<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.slot, self.generation).hash(state);
    }
}
impl<T> fmt::Debug for Id<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.slot, self.generation)
    }
}

struct Slot<T> {
    generation: NonZeroU32,
    value: Option<T>,
}

/// A table of at most `capacity` values.
pub struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    capacity: usize,
    len: usize,
}

impl<T> Table<T> {
    /// An empty table; memory for `capacity` entries is reserved here and never again.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            slots: Vec::with_capacity(capacity),
            free: Vec::with_capacity(capacity),
            capacity,
            len: 0,
        }
    }

    /// See [`queue::fit`].
    #[cfg(feature = "lab")]
    pub fn fit(&mut self) {
        queue::fit_list(&mut self.slots);
        queue::fit_list(&mut self.free);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether the next insertion will be refused.
    pub fn is_full(&self) -> bool {
        self.len == self.capacity
    }

    /// The number of entries that fit.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Adds `value`. A full table gives it back: the caller has a policy for that.
    pub fn insert(&mut self, value: T) -> Result<Id<T>, T> {
        if self.is_full() {
            return Err(value);
        }
        self.len += 1;
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.slots[slot as usize];
            entry.value = Some(value);
            return Ok(Id { slot, generation: entry.generation, kind: PhantomData });
        }
        let slot = self.slots.len() as u32;
        let generation = NonZeroU32::MIN;
        self.slots.push(Slot { generation, value: Some(value) });
        Ok(Id { slot, generation, kind: PhantomData })
    }

    /// Removes the entry that `id` names and returns it.
    pub fn remove(&mut self, id: Id<T>) -> Option<T> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = entry.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
        self.free.push(id.slot);
        self.len -= 1;
        Some(value)
    }

    /// The entry that `id` names, unless it is gone.
    pub fn get(&self, id: Id<T>) -> Option<&T> {
        let entry = self.slots.get(id.slot as usize)?;
        if entry.generation == id.generation { entry.value.as_ref() } else { None }
    }

    /// The entry that `id` names, to change it.
    pub fn get_mut(&mut self, id: Id<T>) -> Option<&mut T> {
        let entry = self.slots.get_mut(id.slot as usize)?;
        if entry.generation == id.generation { entry.value.as_mut() } else { None }
    }

    /// The id of the entry now in `slot`.
    pub fn id_at(&self, slot: u32) -> Option<Id<T>> {
        let entry = self.slots.get(slot as usize)?;
        entry.value.as_ref()?;
        Some(Id { slot, generation: entry.generation, kind: PhantomData })
    }

    /// All entries, by slot.
    pub fn iter(&self) -> impl Iterator<Item = (Id<T>, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, entry)| {
            let id = Id { slot: slot as u32, generation: entry.generation, kind: PhantomData };
            entry.value.as_ref().map(|value| (id, value))
        })
    }

    /// All entries, by slot, to change them.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (Id<T>, &mut T)> {
        self.slots.iter_mut().enumerate().filter_map(|(slot, entry)| {
            let id = Id { slot: slot as u32, generation: entry.generation, kind: PhantomData };
            entry.value.as_mut().map(|value| (id, value))
        })
    }
}

/// Finds the entries of a [`Table`] by a key that they hold: open addressing over slot numbers.
///
/// The hash is keyed by a random secret, so that nobody on the wire can choose keys that collide
/// (siphash-1-3, as in the standard library's maps). It stores 4 bytes an entry, twice over.
pub struct Index {
    /// Zero: empty; else the slot + 1 in the low bits, as many as number the buckets, and in the
    /// others what fits of the hash. Plain numbers, so that fresh pages come from the kernel as
    /// they are and stay untouched.
    buckets: Vec<u32>,
    keys: (u64, u64),
    len: usize,
}

impl Index {
    /// An index for a table of `capacity` entries: half full at most.
    pub fn with_capacity(capacity: usize, rng: &mut crate::rng::Rng) -> Self {
        let size = (capacity.max(4) * 2).next_power_of_two();
        Self { buckets: vec![0; size], keys: (rng.next_u64(), rng.next_u64()), len: 0 }
    }

    /// Notes that the entry in `slot` has `key`. Keys need not be unique.
    ///
    /// # Panics
    /// Where more keys are noted than it has room for, nearly twice its capacity at least, or one
    /// of a slot that is not below that room: a programming error.
    pub fn insert<K: Hash + ?Sized>(&mut self, key: &K, slot: u32) {
        let room = self.len < self.buckets.len() - 1 && (slot as usize) < self.buckets.len() - 1;
        assert!(room, "an index has room for its keys, and for its slots");
        let hash = self.hash(key);
        let mut at = self.home(hash);
        while self.buckets[at] != 0 {
            at = self.next(at);
        }
        self.buckets[at] = hash | (slot + 1);
        self.len += 1;
    }

    /// Forgets that the entry in `slot` has `key`.
    pub fn remove<K: Hash + ?Sized>(&mut self, key: &K, slot: u32) {
        let hash = self.hash(key);
        let mut at = self.home(hash);
        while self.buckets[at] != hash | (slot + 1) {
            if self.buckets[at] == 0 {
                return;
            }
            at = self.next(at);
        }
        self.len -= 1;
        self.close_gap(at);
    }

    /// The slots whose key may be `key`, for the caller to compare.
    pub fn find<K: Hash + ?Sized>(&self, key: &K) -> Slots<'_> {
        let hash = self.hash(key);
        Slots { index: self, hash, at: self.home(hash) }
    }

    /// Moves later entries of the probe sequence back, so that no tombstone is needed.
    fn close_gap(&mut self, mut gap: usize) {
        let mut at = gap;
        loop {
            at = self.next(at);
            let bucket = self.buckets[at];
            if bucket == 0 {
                break;
            }
            let mask = self.buckets.len() - 1;
            let distance_home = at.wrapping_sub(self.home(bucket)) & mask;
            let distance_gap = at.wrapping_sub(gap) & mask;
            if distance_home >= distance_gap {
                self.buckets[gap] = bucket;
                gap = at;
            }
        }
        self.buckets[gap] = 0;
    }

    /// The bits of a bucket that hold a slot.
    fn slots(&self) -> u32 {
        self.buckets.len() as u32 - 1
    }

    /// The other bits of a bucket.
    fn hash<K: Hash + ?Sized>(&self, key: &K) -> u32 {
        let mut hasher = self.hasher();
        key.hash(&mut hasher);
        hasher.finish() as u32 & !self.slots()
    }

    fn hasher(&self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.keys.0, self.keys.1)
    }

    /// Where a hash belongs: its upper bits say so. Of more than 65,536 buckets it has too few bits
    /// to name each: then only every second one is a home, or every fourth, and so on.
    fn home(&self, hash: u32) -> usize {
        ((u64::from(hash & !self.slots()) * self.buckets.len() as u64) >> 32) as usize
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }
}

/// The slots whose key may be the one looked for.
pub struct Slots<'a> {
    index: &'a Index,
    hash: u32,
    at: usize,
}

impl Iterator for Slots<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        loop {
            let bucket = self.index.buckets[self.at];
            if bucket == 0 {
                return None;
            }
            self.at = self.index.next(self.at);
            if bucket & !self.index.slots() == self.hash {
                return Some((bucket & self.index.slots()) - 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn a_full_table_gives_the_value_back_and_a_stale_id_finds_nothing() {
        let mut table = Table::with_capacity(1);
        let first = table.insert('a').unwrap();
        assert_eq!(table.insert('b'), Err('b'));
        assert_eq!(table.remove(first), Some('a'));
        let second = table.insert('c').unwrap();
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get(second), Some(&'c'));
        assert_eq!(table.id_at(second.slot()), Some(second));
    }

    #[test]
    fn an_index_agrees_with_a_map_under_random_insertions_and_removals() {
        let mut rng = Rng::new([3; 32]);
        let mut index = Index::with_capacity(64, &mut rng);
        let mut model: Vec<Option<u32>> = vec![None; 64];
        for _ in 0..20_000 {
            let slot = rng.below(64);
            let key = rng.below(16);
            match model[slot as usize].take() {
                Some(old) => index.remove(&old, slot),
                None => {
                    index.insert(&key, slot);
                    model[slot as usize] = Some(key);
                }
            }
            let mut found: Vec<u32> = index.find(&key).collect();
            found.retain(|s| model[*s as usize] == Some(key));
            found.sort_unstable();
            let expected: Vec<u32> = (0..64).filter(|s| model[*s as usize] == Some(key)).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn an_index_larger_than_its_hashes_finds_each_of_its_keys() {
        let mut rng = Rng::new([4; 32]);
        let mut index = Index::with_capacity(100_000, &mut rng);
        (0..100_000).for_each(|slot| index.insert(&slot, slot));
        for slot in (0..100_000).step_by(97) {
            assert!(index.find(&slot).any(|found| found == slot));
            index.remove(&slot, slot);
            assert!(!index.find(&slot).any(|found| found == slot));
        }
    }
}
