//! The overlay: a distributed hash table of adapters, in which every adapter finds the others.
//!
//! A member's id and a record's key are places in one space of 128 bits; the twelve members
//! closest to a key keep its records. Every member has hints of all others while `table_kb` has
//! room, 16,384 in its 256 kB, so a look-up is one question to three of the closest at once, and an
//! iterative search where the table knows too few (Maymounkov and Mazières 2002; Gupta, Liskov and
//! Rodrigues, "One Hop Lookups for Peer-to-Peer Overlays", HotOS 2003). Hints are spread along a
//! tree; no look-up needs them, for the proven members alone lead to every place. Records are
//! repaired periodically, never in reaction to a loss (Rhea et al., "Handling Churn in a DHT",
//! USENIX 2004).
//!
//! [`Overlay`] has no input and output of its own: one call of a `handle_` method or of
//! [`Overlay::work`], then [`Overlay::poll_transmit`] and [`Overlay::poll_event`] until both are
//! `None`, then waiting until [`Overlay::poll_timeout`] or [`Overlay::work_at`]. Nothing is
//! allocated for a datagram. Limits are those of [`Limits`], of [`crate::limits`] and of the
//! modules; what does not fit is counted in [`Counters`].
//!
//! | module | what it holds |
//! |---|---|
//! | `port` | whose a datagram is |
//! | `wire`, `reader`, `wire_out`, `send` | the datagrams: format, read, written, sent |
//! | `table`, `suspects` | members proven, members lost |
//! | `hints`, `rows`, `sample`, `known` | members named by others; both kinds together |
//! | `family` | whether it deals in IPv4 or in IPv6 |
//! | `gossip`, `spread` | how that is told along a tree |
//! | `request` | requests under way |
//! | `lookup`, `search`, `hear` | one look-up; how look-ups are driven; answers |
//! | `paths`, `owners`, `size` | look-ups among liars; whose records; the network's size |
//! | `store`, `shelf`, `slots` | records kept, their bytes, and where they are |
//! | `answer` | answers to others' requests |
//! | `publication`, `repair`, `holders`, `announce` | own records kept alive; a new address told |
//! | `bootstrap`, `harvest` | joining |
//! | `upkeep`, `presence` | knowing who is still there |
//! | `dial`, `judge`, `reach` | who can be reached: others, this node, and where |
//! | `rendezvous`, `introduce`, `relay` | flows kept open for the others, and their use |
//! | `guard`, `recent`, `work` | rates and tokens; public-key work |
//! | `vouching`, `credentials` | certificates, and whose count; members that show theirs |
//! | `watch` | what holders say, signed; who is no use as one |
//! | `revoked` | lists of revocations, passed from member to member |
//! | `status` | what people are told of all that |
//! | `warm` | a network that has been there for hours, for the lab |
//! | `id`, `aor` | places and distances; blinded AORs |

mod announce;
mod answer;
mod aor;
mod bootstrap;
mod candidate;
mod credentials;
mod dial;
pub mod event;
mod family;
mod gossip;
mod guard;
mod harvest;
mod hear;
mod hints;
mod holders;
mod id;
mod introduce;
mod judge;
mod known;
mod lookup;
mod owners;
mod paths;
mod port;
mod presence;
mod publication;
mod reach;
mod reader;
mod recent;
mod relay;
mod rendezvous;
mod repair;
mod request;
mod revoked;
mod rows;
mod sample;
mod search;
mod send;
mod shelf;
mod size;
mod slots;
mod spread;
mod status;
mod store;
mod suspects;
mod table;
mod upkeep;
mod vouching;
#[cfg(feature = "lab")]
mod warm;
mod watch;
mod wire;
mod wire_out;
mod work;

pub mod fuzz;
#[cfg(test)]
mod tests;

pub use event::{
    Counters, Found, Full, Limits, LookupId, OverlayEvent, OverlayStatus, Ports, PublishId,
    Reachability, Reason,
};
pub use id::Node;
pub use port::{Datagram, Port};

use crate::identity::record::AddressRecord;
use crate::identity::{Identity, NetworkKeys};
use crate::limits::{OVERLAY_EVENTS_MAX, OVERLAY_OUTBOX_BYTES_MAX, OVERLAY_OUTBOX_MAX};
use crate::net::{NodeId, Rejected, Transmit};
use crate::outbox::Outbox;
use crate::queue;
use crate::rng::Rng;
use crate::table::Table;
use crate::time::{Duration, Instant, earlier};
use crate::timer::Timers;
use request::Requests;
use std::collections::VecDeque;
use std::net::SocketAddr;
use wire::{Body, Frame, FrameError, Token};

/// A node younger than this may lack records that it should hold: owners touch hourly.
const YOUNG: Duration = Duration::from_secs(65 * 60);

/// A member that may keep a record, with what proves our address to it.
#[derive(Clone, Copy, Debug)]
struct Placement {
    node: Node,
    token: Token,
}

/// One node of the overlay, without input and output of its own.
pub struct Overlay {
    identity: Identity,
    keys: NetworkKeys,
    limits: Limits,
    me: NodeId,
    started: Instant,
    /// See [`Hello`].
    start: u8,
    seq: u64,
    rng: Rng,
    counters: Counters,
    guard: guard::Guard,
    members: table::Members,
    hints: hints::Hints,
    gossip: gossip::Gossip,
    suspects: suspects::Suspects,
    requests: Requests,
    lookups: Table<lookup::Lookup>,
    lookup_timers: Timers,
    lookup_count: u32,
    publications: Table<publication::Publication>,
    publication_timers: Timers,
    publication_count: u32,
    placing: u8,
    unsigned: VecDeque<crate::table::Id<publication::Publication>>,
    store: store::Store,
    work: work::Work,
    vouching: vouching::Vouching,
    credentials: credentials::Credentials,
    revoked: revoked::Revoked,
    size: size::Size,
    reach: reach::Reach,
    dials: dial::Dials,
    judge: judge::Judge,
    rendezvous: rendezvous::Rendezvous,
    keeper: rendezvous::Keeper,
    punches: introduce::Punches,
    pairs: relay::Pairs,
    detours: relay::Detours,
    addresses: Option<AddressRecord>,
    addresses_unsigned: bool,
    announcing: Vec<announce::Announcement>,
    join: bootstrap::Join,
    harvest: harvest::Harvest,
    watch: watch::Watch,
    upkeep: upkeep::Upkeep,
    aor_keys: aor::AorKeys,
    outbox: Outbox<Port>,
    events: VecDeque<OverlayEvent>,
}

impl Overlay {
    /// A node. `start_count` is the high part of its sequence numbers: it must rise with every
    /// start of the same identity. Everything random follows from `seed`.
    pub fn new(
        identity: &Identity,
        keys: &NetworkKeys,
        limits: Limits,
        start_count: u32,
        seed: [u8; 32],
        now: Instant,
    ) -> Self {
        let mut rng = Rng::new(seed).fork("overlay");
        Self {
            identity: identity.clone(),
            keys: keys.clone(),
            limits,
            me: identity.id(),
            started: now,
            start: start_count as u8,
            seq: u64::from(start_count) << 32,
            counters: Counters::default(),
            guard: guard::Guard::new(&mut rng, now),
            members: table::Members::new(limits.table_kb),
            hints: hints::Hints::new(&identity.id(), limits.table_kb, &mut rng),
            gossip: gossip::Gossip::new(now, &mut rng),
            suspects: suspects::Suspects::new(),
            requests: Requests::new(),
            lookups: Table::with_capacity(limits.lookup_entries),
            lookup_timers: Timers::with_capacity(limits.lookup_entries),
            lookup_count: 0,
            publications: Table::with_capacity(limits.publish_entries),
            publication_timers: Timers::with_capacity(limits.publish_entries),
            publication_count: 0,
            placing: 0,
            unsigned: VecDeque::with_capacity(limits.publish_entries),
            store: store::Store::new(identity.id(), limits.store_entries, limits.publish_entries),
            work: work::Work::new(keys.network(), &mut rng),
            vouching: vouching::Vouching::new(now),
            credentials: credentials::Credentials::new(),
            revoked: revoked::Revoked::new(now, &mut Rng::new(seed).fork("lists")),
            size: size::Size::default(),
            reach: reach::Reach::default(),
            dials: dial::Dials::new(),
            judge: judge::Judge::new(),
            rendezvous: rendezvous::Rendezvous::new(&mut rng),
            keeper: rendezvous::Keeper::new(),
            punches: introduce::Punches::new(),
            pairs: relay::Pairs::new(),
            detours: relay::Detours::new(),
            addresses: None,
            addresses_unsigned: false,
            announcing: Vec::with_capacity(announce::ANNOUNCEMENTS_MAX),
            join: bootstrap::Join::new(),
            harvest: harvest::Harvest::default(),
            watch: watch::Watch::new(start_count, seed),
            upkeep: upkeep::Upkeep::new(now, &mut rng),
            aor_keys: aor::AorKeys::new(&mut rng),
            outbox: Outbox::with_capacity(OVERLAY_OUTBOX_MAX, OVERLAY_OUTBOX_BYTES_MAX),
            events: VecDeque::with_capacity(OVERLAY_EVENTS_MAX),
            rng,
        }
    }

    /// Our id.
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// Takes a [`Datagram::Overlay`].
    ///
    /// # Errors
    /// [`Rejected`] where it was dropped and counted.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let frame = self.take_frame(from, data)?;
        match frame.body {
            Body::Ping(token, ..)
            | Body::Find(token, _)
            | Body::Get(token, ..)
            | Body::Put(token, ..)
            | Body::Touch(token, _)
            | Body::Dial(token, _)
            | Body::Introduce(token, _)
            | Body::Relay(token, ..)
            | Body::Who(token)
            | Body::List(token, ..)
            | Body::Hints(token, ..) => self.handle_request(now, from, &frame, token, data.len()),
            Body::Pong(hello)
            | Body::Nodes(hello, _)
            | Body::Value(hello, _)
            | Body::Stored(hello, ..)
            | Body::Dialed(hello, _)
            | Body::Introduced(hello, _)
            | Body::Credentials(hello, ..)
            | Body::Piece(hello, ..) => self.handle_answer(now, from, &frame, &hello, data.len()),
            Body::Introduction(guest) => self.hear_introduction(now, from, &guest),
            Body::Relayed(..) => Err(self.malformed()),
        }
    }

    /// Counts a datagram and takes it apart.
    fn take_frame<'a>(&mut self, from: SocketAddr, data: &'a [u8]) -> Result<Frame<'a>, Rejected> {
        self.counters.datagrams_in += 1;
        self.counters.bytes_in += data.len() as u64;
        let frame = Frame::parse(data, &self.keys).map_err(|error| match error {
            FrameError::Version => reject(&mut self.counters.unknown_version, Rejected::Unknown),
            FrameError::Tag => reject(&mut self.counters.unauthentic, Rejected::Unauthorized),
            FrameError::Format => reject(&mut self.counters.malformed, Rejected::Malformed),
        })?;
        if frame.sender == self.me {
            self.hear_own_id(from);
            return Err(reject(&mut self.counters.own_id, Rejected::Unauthorized));
        }
        Ok(frame)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(missed) = self.requests.next_missed(now) {
            self.request_missed(now, missed);
        }
        self.lookups_timeout(now);
        self.publications_timeout(now);
        while self.store.expire_one(now) {}
        self.upkeep_timeout(now);
        self.gossip_timeout(now);
        self.judge_timeout(now);
        self.rendezvous_timeout(now);
        self.punches_timeout(now);
        self.stated_timeout(now);
        self.revoked_timeout(now);
    }

    /// When [`Self::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.requests.next(),
            self.lookup_timers.next(),
            self.publication_timers.next(),
            self.store.next(),
            self.upkeep.next(),
            self.gossip.next(),
            self.judge.next(),
            self.rendezvous.next(),
            self.punches.next(),
            self.next_stated(),
            self.revoked.next(),
        ]
        .into_iter()
        .fold(None, earlier)
    }

    /// Writes the next datagram into `buf` (room for
    /// [`crate::limits::OVERLAY_DATAGRAM_BYTES_MAX`]).
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit<Port>> {
        let transmit = self.outbox.pop(buf)?;
        self.counters.datagrams_out += 1;
        self.counters.bytes_out += transmit.len as u64;
        Some(transmit)
    }

    /// The next thing to tell.
    pub fn poll_event(&mut self) -> Option<OverlayEvent> {
        queue::pop(&mut self.events)
    }

    /// Seconds since the start, and one more: 0 is never a time.
    fn seconds(&self, now: Instant) -> u32 {
        u32::try_from(now.since(self.started).as_secs()).unwrap_or(u32::MAX - 1) + 1
    }

    fn tell(&mut self, event: OverlayEvent) {
        if self.events.len() < OVERLAY_EVENTS_MAX {
            self.events.push_back(event);
        } else {
            self.counters.events_full += 1;
        }
    }
}

fn reject(counter: &mut u64, why: Rejected) -> Rejected {
    *counter += 1;
    why
}
