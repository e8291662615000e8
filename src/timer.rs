//! Deadlines of a table's entries: an indexed heap, one deadline a slot.
//!
//! Setting, moving and stopping a deadline cost O(log n) and no allocation; nothing stale is
//! ever left in the heap. Equal deadlines fall due in slot order, so a run is reproducible.

#[cfg(feature = "lab")]
use crate::queue;
use crate::time::Instant;

const ABSENT: u32 = u32::MAX;

/// At most one deadline for each slot from 0 to the capacity - 1.
pub struct Timers {
    heap: Vec<(Instant, u32)>,
    position: Vec<u32>,
}

impl Timers {
    /// No deadlines, with room for one each for `capacity` slots.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { heap: Vec::with_capacity(capacity), position: Vec::with_capacity(capacity) }
    }

    /// See [`queue::fit`].
    #[cfg(feature = "lab")]
    pub fn fit(&mut self) {
        queue::fit_list(&mut self.heap);
        queue::fit_list(&mut self.position);
    }

    /// Sets or moves the deadline of `slot`.
    pub fn set(&mut self, slot: u32, at: Instant) {
        if self.position.len() <= slot as usize {
            self.position.resize(slot as usize + 1, ABSENT);
        }
        let position = self.position[slot as usize];
        if position == ABSENT {
            self.heap.push((at, slot));
            self.position[slot as usize] = self.heap.len() as u32 - 1;
            self.rise(self.heap.len() - 1);
        } else {
            self.heap[position as usize].0 = at;
            self.settle(position as usize);
        }
    }

    /// Takes the deadline of `slot` away, if it has one.
    pub fn stop(&mut self, slot: u32) {
        let Some(&position) = self.position.get(slot as usize) else { return };
        if position == ABSENT {
            return;
        }
        self.position[slot as usize] = ABSENT;
        let last = self.heap.len() - 1;
        self.heap.swap_remove(position as usize);
        if position as usize != last {
            self.position[self.heap[position as usize].1 as usize] = position;
            self.settle(position as usize);
        }
    }

    /// The deadline of `slot`.
    pub fn get(&self, slot: u32) -> Option<Instant> {
        let position = *self.position.get(slot as usize)?;
        if position == ABSENT { None } else { Some(self.heap[position as usize].0) }
    }

    /// The earliest deadline of all.
    pub fn next(&self) -> Option<Instant> {
        self.heap.first().map(|(at, _)| *at)
    }

    /// Takes one deadline that is due at `now` and returns its slot.
    pub fn pop_due(&mut self, now: Instant) -> Option<u32> {
        let (at, slot) = *self.heap.first()?;
        if at > now {
            return None;
        }
        self.stop(slot);
        Some(slot)
    }

    fn settle(&mut self, at: usize) {
        if at > 0 && self.heap[at] < self.heap[(at - 1) / 2] {
            self.rise(at);
        } else {
            self.sink(at);
        }
    }

    fn rise(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 2;
            if self.heap[parent] <= self.heap[at] {
                return;
            }
            self.swap(at, parent);
            at = parent;
        }
    }

    fn sink(&mut self, mut at: usize) {
        loop {
            let mut least = at;
            for child in [2 * at + 1, 2 * at + 2] {
                if child < self.heap.len() && self.heap[child] < self.heap[least] {
                    least = child;
                }
            }
            if least == at {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.position[self.heap[a].1 as usize] = a as u32;
        self.position[self.heap[b].1 as usize] = b as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn deadlines_fall_due_in_order_under_random_changes() {
        let mut rng = Rng::new([9; 32]);
        let mut timers = Timers::with_capacity(32);
        let mut model: [Option<Instant>; 32] = [None; 32];
        for _ in 0..20_000 {
            let slot = rng.below(32);
            let at = Instant::from_micros(u64::from(rng.below(100)));
            match rng.below(3) {
                0 => {
                    timers.stop(slot);
                    model[slot as usize] = None;
                }
                1 => {
                    timers.set(slot, at);
                    model[slot as usize] = Some(at);
                }
                _ => {
                    let due = timers.pop_due(at);
                    let first = (0..32u32)
                        .filter_map(|s| model[s as usize].map(|t| (t, s)))
                        .min()
                        .filter(|(t, _)| *t <= at);
                    assert_eq!(due, first.map(|(_, s)| s));
                    if let Some(s) = due {
                        model[s as usize] = None;
                    }
                }
            }
            assert_eq!(timers.next(), model.iter().flatten().min().copied());
            assert_eq!(timers.get(slot), model[slot as usize]);
        }
    }
}
