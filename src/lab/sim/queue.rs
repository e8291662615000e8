//! What happens when: a timing wheel over virtual time, with a heap for its own slot.
//!
//! Nearly everything happens within seconds: ticks of the routers and datagrams on their way. A
//! heap of all that would be deep and cold; slots of a millisecond cost an append, and only the
//! slot of now is ordered. Events of the same microsecond are ordered by who caused them and the
//! how-manieth that was for it, never by when they were put in: so the order is the same however
//! the routers are shared out among threads.

use super::attack::Attack;
use crate::overlay::LookupId;
use core::cmp::Reverse;
use std::collections::BinaryHeap;

const SLOT_BITS: u32 = 10;
const SLOTS: usize = 1 << 12;

/// Something that happens to a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Event {
    /// When, in microseconds.
    pub(super) at: u64,
    /// Who caused it, and its how-manieth event this is.
    pub(super) order: (u32, u32),
    /// To whom: a router's number, or a pool's for what is still on its way to one.
    pub(super) whom: u32,
    /// What.
    pub(super) what: What,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    /// A deadline of its adapter.
    Wake,
    /// The packet in this place reached the edge of the pool's network.
    Edge(u32),
    /// The packet in this place reached the router.
    Arrive(u32),
    /// It does something.
    Act(Act),
}

/// What a router, or its user, does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Act {
    /// Looks up what a user calls: an AOR's number, or one that nobody has.
    Ask(u32),
    /// The same, in order to see whether a new address is known.
    Probe(u32),
    /// The same, where liars make a callee vanish.
    AskVictim(u32),
    /// Comes back with another key, next to this AOR's record if it can choose.
    MoveNextTo(u32),
    /// Spreads hints of a member that is not there.
    Invent,
    /// Gets another address.
    Renumber,
    /// Publishes its AOR of this place, with another contact.
    Publish(u8),
    /// Loses power.
    Die,
    /// Boots, with what it saved, and publishes what it has.
    Boot,
    /// Its adapter is replaced by a newer one.
    Upgrade,
    /// Knocks at the callee of this look-up.
    Knock(LookupId),
    /// Throws something at others.
    Attack(Attack),
    /// Boots, with what it saved; its phones are still off.
    Start,
}

impl Act {
    /// The AOR that is looked up.
    pub(super) fn callee(self) -> Option<u32> {
        match self {
            Self::Ask(aor) | Self::Probe(aor) | Self::AskVictim(aor) => Some(aor),
            _ => None,
        }
    }
}

const _: () = assert!(size_of::<Event>() <= 32);

/// All events to come.
pub(super) struct Queue {
    /// The slot of now, counted from the start of time.
    slot: u64,
    current: BinaryHeap<Reverse<Event>>,
    slots: Vec<Vec<Event>>,
    far: BinaryHeap<Reverse<Event>>,
}

impl Queue {
    /// Nothing, from `now` on.
    pub(super) fn new(now: u64) -> Self {
        Self {
            slot: now >> SLOT_BITS,
            current: BinaryHeap::new(),
            slots: vec![Vec::new(); SLOTS],
            far: BinaryHeap::new(),
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        let slot = event.at >> SLOT_BITS;
        if slot <= self.slot {
            self.current.push(Reverse(event));
        } else if slot < self.slot + SLOTS as u64 {
            self.slots[slot as usize % SLOTS].push(event);
        } else {
            self.far.push(Reverse(event));
        }
    }

    /// The next event before `end`.
    pub(super) fn pop_before(&mut self, end: u64) -> Option<Event> {
        loop {
            if let Some(Reverse(event)) = self.current.peek() {
                return if event.at < end { self.current.pop().map(|next| next.0) } else { None };
            }
            if (self.slot + 1) << SLOT_BITS >= end {
                return None;
            }
            self.slot += 1;
            let due = self.slots[self.slot as usize % SLOTS].drain(..);
            self.current.extend(due.map(Reverse));
            let last = self.slot + SLOTS as u64 - 1;
            while self.far.peek().is_some_and(|Reverse(event)| event.at >> SLOT_BITS <= last) {
                let Some(Reverse(event)) = self.far.pop() else { break };
                self.push(event);
            }
        }
    }
}
