//! Requests under way: what an answer is matched with, and when to wait no longer.
//!
//! A request has two deadlines. At the first, drawn from the peer's round-trip times, it is
//! *late*: its user turns to somebody else. At the second it is over. An answer between the two
//! still counts, and teaches the slower round-trip time. The id of a request is random beyond its
//! slot, so an answer proves that the answerer reads what is sent to that address.

use super::dial::{Dial, Errand};
use super::lookup::Lookup;
use super::publication::Publication;
use crate::limits::OVERLAY_REQUESTS_MAX;
use crate::net::NodeId;
use crate::rng::Rng;
use crate::table::{Id, Table};
use crate::time::{Duration, Instant};
use crate::timer::Timers;
use std::net::SocketAddr;

const OVER_MIN: Duration = Duration::from_millis(900);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To see whether a member or suspect is still there.
    Check,
    /// To prove an address where somebody is said to be.
    Probe,
    /// To prove our own address to a member that is wrong about us.
    Introduce,
    /// To be dialled back, and to hear what came of it.
    Judge,
    /// To learn what a member knows of a node that wants to be listed; true where our address was
    /// proven.
    Vouch(Id<Dial>, bool),
    /// To try such a node from our second port.
    SecondPort(Id<Dial>),
    /// To try such a node for another member; true: from our second port.
    Errand(Id<Errand>, bool),
    /// To have our flow kept; true where the address was proven.
    Keep(bool),
    /// To see whether a client is still where its flow is kept, while it is heard elsewhere.
    Held,
    /// To be introduced to this node; true where the address was proven, and true where the first
    /// wish or its answer was lost.
    Meet(NodeId, bool, bool),
    /// To open a hole.
    Punch,
    /// To join through an address of which no id is known.
    Join,
    /// A step of a look-up; true where one owner's record was asked for.
    Lookup(Id<Lookup>, bool),
    /// To store or touch a published record.
    Publish(Id<Publication>),
    /// To tell our addresses, in the list of this number.
    Announce(u64),
    /// To prove a contact for the hints of this bit; the number of the attempt.
    Contact(u8, u8),
    /// To spread hints; the same.
    Spread(u8, u8),
    /// To see the credentials of a node that is to be listed.
    Who,
    /// To be told where this node is.
    Seek(NodeId),
    /// To be told of members everywhere, in this part of the search.
    Harvest(u8),
    /// To see whether a holder keeps a record; the place of what is looked for.
    Spot(u8),
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    id: u64,
    /// Where it went.
    pub(super) to: SocketAddr,
    /// Who should answer, where known.
    pub(super) node: Option<NodeId>,
    /// What it is for.
    pub(super) purpose: Purpose,
    /// When it was sent.
    pub(super) sent: Instant,
    /// Whether it was told that the answer is late.
    pub(super) late: bool,
    timeout: Duration,
}

/// A deadline that came.
#[derive(Clone, Copy, Debug)]
pub(super) enum Missed {
    /// No answer in the time that the peer usually takes.
    Late(Pending),
    /// No answer at all; told after it was late.
    Over(Pending),
}

/// All requests under way.
pub(super) struct Requests {
    table: Table<Pending>,
    timers: Timers,
}

impl Requests {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            table: Table::with_capacity(OVERLAY_REQUESTS_MAX),
            timers: Timers::with_capacity(OVERLAY_REQUESTS_MAX),
        }
    }

    /// See [`crate::queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        self.table.fit();
        self.timers.fit();
    }

    /// Notes a request and returns its id; `None` where too many are under way.
    pub(super) fn start(
        &mut self,
        now: Instant,
        rng: &mut Rng,
        to: SocketAddr,
        node: Option<NodeId>,
        purpose: Purpose,
        timeout: Duration,
    ) -> Option<u64> {
        let pending = Pending { id: 0, to, node, purpose, sent: now, late: false, timeout };
        let slot = self.table.insert(pending).ok()?;
        let id = rng.next_u64() << 16 | u64::from(slot.slot());
        if let Some(pending) = self.table.get_mut(slot) {
            pending.id = id;
        }
        self.timers.set(slot.slot(), now + timeout);
        Some(id)
    }

    /// Ends the request that an answer from `from` with `id` belongs to.
    pub(super) fn finish(&mut self, id: u64, from: SocketAddr) -> Option<Pending> {
        let slot = self.table.id_at((id & 0xffff) as u32)?;
        let pending = *self.table.get(slot)?;
        if pending.id != id || pending.to != from {
            return None;
        }
        self.timers.stop(slot.slot());
        self.table.remove(slot)
    }

    /// The next deadline that is due.
    pub(super) fn next_missed(&mut self, now: Instant) -> Option<Missed> {
        let slot = self.table.id_at(self.timers.pop_due(now)?)?;
        let pending = self.table.get_mut(slot)?;
        if pending.late {
            return self.table.remove(slot).map(Missed::Over);
        }
        pending.late = true;
        let pending = *pending;
        let over = pending.sent + (pending.timeout * 3).max(OVER_MIN);
        self.timers.set(slot.slot(), over.max(now));
        Some(Missed::Late(pending))
    }

    /// Makes the requests to `to` due now: the network says that it is not there.
    pub(super) fn fail(&mut self, now: Instant, to: SocketAddr) {
        for (id, pending) in self.table.iter() {
            if pending.to == to {
                self.timers.set(id.slot(), now);
            }
        }
    }

    /// Whether something was asked there, and is not over.
    pub(super) fn is_asked(&self, to: &SocketAddr) -> bool {
        self.table.iter().any(|(_, pending)| pending.to == *to)
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Instant> {
        self.timers.next()
    }
}
