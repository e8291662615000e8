//! The overlay: a distributed hash table of adapters, in which every adapter finds the others.

pub mod event;

pub use event::{
    Counters, Found, Full, Limits, LookupId, OverlayEvent, OverlayStatus, PublishId, Reachability,
};

use crate::identity::record::Contact;
use crate::identity::{Identity, NetworkKeys};
use crate::net::{NodeId, Rejected};
use crate::time::Instant;
use std::net::SocketAddr;

/// One node of the overlay, without input and output of its own.
pub struct Overlay {
    identity: Identity,
    counters: Counters,
    next: u32,
}

impl Overlay {
    /// A node. `start_count` is the high part of its sequence numbers: it must rise with every
    /// start of the same identity. Everything random follows from `seed`.
    pub fn new(
        identity: &Identity,
        _keys: &NetworkKeys,
        _limits: Limits,
        _start_count: u32,
        _seed: [u8; 32],
        _now: Instant,
    ) -> Self {
        Self { identity: identity.clone(), counters: Counters::default(), next: 0 }
    }

    /// Our id.
    pub fn id(&self) -> NodeId {
        self.identity.id()
    }

    /// Where to join; names have been resolved by the caller. Replaces the earlier list.
    pub fn set_bootstrap(&mut self, _now: Instant, _addresses: &[SocketAddr]) {}

    /// Takes what [`Self::save_peers`] gave before the restart. Faulty bytes are ignored.
    pub fn load_peers(&mut self, _now: Instant, _data: &[u8]) {}

    /// Peers worth remembering over a restart, longest-unchanged addresses first: at most
    /// 256 and 8,192 bytes. The only method that allocates each time.
    pub fn save_peers(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Our own overlay addresses. An unspecified address (0.0.0.0) counts as none: then what
    /// members see is used. A change is told to holders and neighbours at once.
    pub fn set_local(&mut self, _now: Instant, _listen: &[SocketAddr]) {}

    /// Keeps `aor` in the overlay until [`Self::withdraw`]; again with another contact replaces
    /// it. `aor` is hashed as it is, so spell it one way.
    ///
    /// # Errors
    /// [`Full`] beyond `publish_entries`.
    pub fn publish(
        &mut self,
        _now: Instant,
        _aor: &str,
        _contact: &Contact,
    ) -> Result<PublishId, Full> {
        self.next += 1;
        Ok(PublishId(self.next))
    }

    /// Takes `aor` out of the overlay: a newer, empty record replaces the published one.
    pub fn withdraw(&mut self, _now: Instant, _aor: &str) {}

    /// How many holders have acknowledged the newest record of `aor`; `None` where it is not
    /// published.
    pub fn is_published(&self, _aor: &str) -> Option<usize> {
        None
    }

    /// Looks `aor` up. [`OverlayEvent::Found`] follows for each owner, then
    /// [`OverlayEvent::Done`]; the latter within 1.5 s.
    pub fn lookup(&mut self, _now: Instant, _aor: &str) -> LookupId {
        self.next += 1;
        LookupId(self.next)
    }

    /// Forgets a look-up: no more events of it.
    pub fn cancel_lookup(&mut self, _lookup: LookupId) {}

    /// Where a member was heard last.
    pub fn address_of(&self, _id: NodeId) -> Option<SocketAddr> {
        None
    }

    /// Takes one datagram of a kind below 0x40.
    ///
    /// # Errors
    /// [`Rejected`] where it was dropped and counted.
    pub fn handle_datagram(
        &mut self,
        _now: Instant,
        _from: SocketAddr,
        _data: &[u8],
    ) -> Result<(), Rejected> {
        Err(Rejected::Unknown)
    }

    /// Does what is due, and at most one public-key operation of those that wait.
    pub fn handle_timeout(&mut self, _now: Instant) {}

    /// When [`Self::handle_timeout`] is wanted next. In the past while public-key work waits.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    /// Writes the next datagram into `buf` (room for
    /// [`crate::limits::OVERLAY_DATAGRAM_BYTES_MAX`]): where to, and its length.
    pub fn poll_transmit(&mut self, _buf: &mut [u8]) -> Option<(SocketAddr, usize)> {
        None
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<OverlayEvent> {
        None
    }

    /// The network said that `to` cannot be reached: requests to it fail now.
    pub fn send_failed(&mut self, _now: Instant, _to: SocketAddr) {}

    /// The state, for people.
    pub fn status(&self) -> OverlayStatus {
        OverlayStatus {
            id: self.id(),
            joined: false,
            peers: 0,
            suspects: 0,
            stored: 0,
            published: 0,
            lookups: 0,
            reachable: Reachability::Unknown,
            public_address: None,
        }
    }

    /// What was done and what was dropped.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
