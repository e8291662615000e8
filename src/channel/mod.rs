//! The channel between two adapters: SIP and notices, encrypted, in datagrams.
//!
//! Both ends prove their Ed25519 keys under the network's secret, and agree on keys that a thief of
//! either router cannot recompute. It is an unreliable transport: what is lost is not sent
//! again, because SIP repeats itself (CALLS §1.4); only the handshake repeats its own messages.
//! A stranger costs nothing until it has echoed a cookie: no memory, no public-key operation, and
//! never an answer larger than its question. Adapters that met before talk at once, as long as
//! both still hold the session; where one does not, it says so and a handshake follows.
//!
//! [`Channel::work`] does one public-key operation, where one waits: for what is ours first, and
//! within a budget for handshakes that others opened. Parts: `wire` (bytes), `crypto` (keys),
//! `session` and `handshake` with `proof` (one each), `vouching` (whose word counts), `receive` and
//! `inside` (datagrams), `progress` (time), `peers` (which session carries what), `moving` (where a
//! peer is), `notice` (payloads), `fragment`, `backlog`, `event`.
//!
//! Not here: finding peers and their addresses (the overlay), what a notice means (the adapter).

mod backlog;
mod crypto;
mod enrol;
mod event;
mod fragment;
pub mod fuzz;
mod handshake;
mod inside;
mod moving;
mod notice;
mod peers;
mod progress;
mod proof;
mod receive;
mod session;
#[cfg(test)]
mod tests;
mod vouching;
mod watch;
mod wire;

pub use enrol::{CERTIFIED_AORS_MAX, EnrolAnswer, EnrolAsk, EnrolProof, EnrolRefusal};
pub use event::{ChannelEvent, Counters, DownReason, SessionStatus};
pub use notice::{CallKey, CarryingPath, MediaMove, Notice, NoticeAnswer, Payload, SessionKey};
pub use watch::{Statements, WatchAsk};

use crate::identity::{Identity, NetworkKeys};
use crate::limits::{
    CHANNEL_ANSWERED_MAX, CHANNEL_BACKLOG_BYTES_MAX, CHANNEL_DATAGRAM_BYTES_MAX,
    CHANNEL_HANDSHAKES_MAX, CHANNEL_OUTBOX_BYTES_MAX, CHANNEL_OUTBOX_MAX, CHANNEL_SESSIONS_MAX,
    DESK_HANDSHAKES_MAX, SIP_MESSAGE_BYTES_MAX,
};
use crate::net::NodeId;
use crate::outbox::Outbox;
use crate::rng::Rng;
use crate::table::{Id, Table};
use crate::time::{Instant, earlier};
use crate::timer::Timers;
use core::fmt;
use event::EventQueue;
use fragment::Reassembly;
use handshake::Handshake;
use session::Session;
use std::net::SocketAddr;
use vouching::Vouching;

/// Handshakes that others opened: what a program has room for that can be a CoSIP server.
const RESPONDERS_MAX: usize =
    if cfg!(feature = "server") { DESK_HANDSHAKES_MAX } else { CHANNEL_HANDSHAKES_MAX };
/// For so many sessions there is room for one of those.
const SESSIONS_PER_HANDSHAKE: usize = CHANNEL_SESSIONS_MAX / CHANNEL_HANDSHAKES_MAX;

const _: () = assert!(CHANNEL_BACKLOG_BYTES_MAX >= SIP_MESSAGE_BYTES_MAX);

/// Why a channel cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// The peer is this adapter.
    Own,
    /// There is neither a session nor an address to try.
    NoAddress,
    /// As many handshakes are under way as there may be.
    Full,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Own => "channel: the peer is this adapter",
            Self::NoAddress => "channel: no address of the peer is known",
            Self::Full => "channel: too many handshakes under way",
        })
    }
}

impl core::error::Error for OpenError {}

/// Why a payload was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// Neither open nor opening: call [`Channel::open`] first.
    NotOpen,
    /// As many payloads wait for the session, or to be sent, as may.
    Full,
    /// The payload exceeds its bounds.
    TooLarge,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotOpen => "channel: not open",
            Self::Full => "channel: too much waits to be sent",
            Self::TooLarge => "channel: payload too large",
        })
    }
}

impl core::error::Error for SendError {}

/// All channels of one adapter.
pub struct Channel {
    identity: Identity,
    network: NetworkKeys,
    vouching: Vouching,
    rng: Rng,
    cookie_key: [u8; 32],
    /// Recognises session ids of our own making, also after a restart.
    session_key: [u8; 32],
    sessions: Table<Session>,
    session_timers: Timers,
    handshakes: Table<Handshake>,
    handshake_timers: Timers,
    /// How many handshakes may be under way that others opened.
    responders_max: usize,
    work: heapless::Deque<Id<Handshake>, RESPONDERS_MAX>,
    /// Handshakes that others opened and that nothing was done for yet.
    knocking: heapless::Vec<Id<Handshake>, RESPONDERS_MAX>,
    /// The starts of the ephemeral keys of Hellos that were answered lately: a cookie is good
    /// for a while, but for one handshake only.
    answered: heapless::HistoryBuf<[u8; 8], CHANNEL_ANSWERED_MAX>,
    reassembly: Reassembly,
    outbox: Outbox<()>,
    events: EventQueue,
    /// A datagram being opened.
    opened: Vec<u8>,
    /// A datagram being sealed.
    datagram: Box<[u8; CHANNEL_DATAGRAM_BYTES_MAX]>,
    /// A payload being encoded.
    body: Vec<u8>,
    counters: Counters,
}

impl Channel {
    /// A channel for `identity` in the network of `network`, with room for `sessions_max` sessions
    /// ([`crate::limits::CHANNEL_SESSIONS_MAX`] on a router), and for so many more handshakes that
    /// others open as it is larger. All memory is reserved here, except for payloads that wait for
    /// a session and the certificates of peers.
    pub fn new(
        identity: &Identity,
        network: &NetworkKeys,
        rng: &mut Rng,
        sessions_max: usize,
    ) -> Self {
        let mut rng = rng.fork("channel");
        let responders_max =
            (sessions_max / SESSIONS_PER_HANDSHAKE).clamp(CHANNEL_HANDSHAKES_MAX, RESPONDERS_MAX);
        let handshakes_max = CHANNEL_HANDSHAKES_MAX + responders_max;
        Self {
            identity: identity.clone(),
            network: network.clone(),
            vouching: Vouching::new(rng.bytes()),
            cookie_key: rng.bytes(),
            session_key: identity.derive("cosip 2026 channel session ids v1"),
            rng,
            sessions: Table::with_capacity(sessions_max.max(1)),
            session_timers: Timers::with_capacity(sessions_max.max(1)),
            handshakes: Table::with_capacity(handshakes_max),
            handshake_timers: Timers::with_capacity(handshakes_max),
            responders_max,
            work: heapless::Deque::new(),
            knocking: heapless::Vec::new(),
            answered: heapless::HistoryBuf::new(),
            reassembly: Reassembly::new(),
            outbox: Outbox::with_capacity(CHANNEL_OUTBOX_MAX, CHANNEL_OUTBOX_BYTES_MAX),
            events: EventQueue::new(),
            opened: Vec::with_capacity(CHANNEL_DATAGRAM_BYTES_MAX),
            datagram: Box::new([0; CHANNEL_DATAGRAM_BYTES_MAX]),
            body: vec![0; SIP_MESSAGE_BYTES_MAX],
            counters: Counters::default(),
        }
    }

    /// How many sessions it has room for.
    pub fn sessions_max(&self) -> usize {
        self.sessions.capacity()
    }

    /// The id that this end proves.
    pub fn id(&self) -> NodeId {
        self.identity.id()
    }

    /// Replaces the network's keys, after the secret file changed. Sessions stay.
    pub fn set_network(&mut self, network: &NetworkKeys) {
        self.network = network.clone();
    }

    /// Makes sure that a session with `peer` stands, trying `addresses` (the first four) at once.
    /// [`ChannelEvent::Up`] or [`ChannelEvent::Down`] follows: at once where the peer was heard
    /// lately, after one round trip where both still hold a session, after three otherwise. Calling
    /// it again adds addresses.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was begun then.
    pub fn open(
        &mut self,
        now: Instant,
        peer: NodeId,
        addresses: &[SocketAddr],
    ) -> Result<(), OpenError> {
        if peer == self.id() {
            return Err(OpenError::Own);
        }
        self.counters.opens += 1;
        match self.route(peer) {
            Route::Session(id) => {
                self.open_again(now, id, addresses);
                Ok(())
            }
            Route::Handshake(id) => {
                self.add_addresses(id, addresses);
                Ok(())
            }
            Route::None if addresses.is_empty() => Err(OpenError::NoAddress),
            Route::None => self.start_handshake(now, peer, addresses),
        }
    }

    /// Sends `payload` to `peer`; while the session is not there yet, it waits for it, and is
    /// dropped where [`ChannelEvent::Down`] comes instead.
    ///
    /// # Errors
    /// [`SendError`]; the payload was not taken.
    pub fn send(
        &mut self,
        now: Instant,
        peer: NodeId,
        payload: &Payload<'_>,
    ) -> Result<(), SendError> {
        let mut body = core::mem::take(&mut self.body);
        let sent = match payload.encode(&mut body) {
            Ok((kind, len)) => {
                let bytes = body.get(..len).unwrap_or_default();
                self.dispatch(now, peer, kind, bytes)
            }
            Err(notice::TooLarge) => Err(SendError::TooLarge),
        };
        self.body = body;
        sent
    }

    /// Writes the next datagram to send into `buf`; returns where it goes and its length. It is
    /// to leave from the overlay's socket.
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<(SocketAddr, usize)> {
        let transmit = self.outbox.pop(buf)?;
        self.counters.datagrams_sent += 1;
        Some((transmit.to, transmit.len))
    }

    /// The next event. A received payload is written into `buf`, which has room for
    /// [`SIP_MESSAGE_BYTES_MAX`]; one that does not fit is dropped.
    pub fn poll_event<'b>(&mut self, buf: &'b mut [u8]) -> Option<ChannelEvent<'b>> {
        self.events.pop(buf)
    }

    /// When [`Self::handle_timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.session_timers.next(), self.handshake_timers.next())
    }

    /// What was counted since the start.
    pub fn counters(&self) -> Counters {
        let mut counters = self.counters;
        counters.reassemblies_given_up += self.reassembly.given_up();
        counters.payloads_dropped += self.events.dropped();
        counters
    }

    /// Counts on from where the adapter's channel before this one has ended.
    pub fn count_on(&mut self, before: &Self) {
        self.counters = before.counters();
    }

    /// The sessions that stand.
    pub fn sessions(&self) -> impl Iterator<Item = SessionStatus> {
        let standing = self.sessions.iter().filter(|(_, session)| session.is_current());
        standing.map(|(_, session)| session.status())
    }

    /// The session with `peer`, where one stands.
    pub fn session_with(&self, peer: NodeId) -> Option<SessionStatus> {
        self.sessions.get(self.current(peer)?).map(Session::status)
    }

    /// Queues a datagram.
    fn transmit(&mut self, to: SocketAddr, datagram: &[u8]) {
        if !self.outbox.push((), to, 0, datagram) {
            self.counters.datagrams_dropped += 1;
        }
    }
}

/// What carries a payload to a peer now.
#[derive(Clone, Copy)]
enum Route {
    Session(Id<Session>),
    Handshake(Id<Handshake>),
    None,
}

/// The first entry of `table` that `matches`. Tables here have tens of entries.
fn find<T>(table: &Table<T>, matches: impl Fn(&T) -> bool) -> Option<Id<T>> {
    table.iter().find(|(_, entry)| matches(entry)).map(|(id, _)| id)
}
