//! The transaction layer of RFC 3261 s17, with the corrections of RFC 4320 and RFC 6026.
//!
//! All four machines, without input and output of their own. Messages of the wire go into
//! [`Transactions::receive_request`] and [`Transactions::receive_response`], which say whether the
//! transaction user has to act; its own go into [`Transactions::respond`] and
//! [`Transactions::send_request`]. Repeats are absorbed and answered here, losses mended by
//! retransmission, and an ACK to a refusal is made here. Nothing else is automatic: the user sends
//! 100, runs Timer C, and judges merged requests.
//!
//! UDP and the channel are unreliable; on a stream the timers of retransmission and of waiting for
//! repeats are zero. Limits: `capacity` live transactions a side (more are refused by [`Full`];
//! a few more have [`Room::Reserved`]), `finished_capacity` finished ones a side (the oldest is
//! forgotten), the outbox of [`crate::limits`]. What does not fit into the outbox is sent as soon
//! as there is room.

mod client;
mod key;
mod make;
mod server;
mod store;
#[cfg(test)]
mod tests;

pub use key::Branch;

use crate::limits;
use crate::net::{Transmit, Via};
use crate::outbox::Outbox;
use crate::rng::Rng;
use crate::table::Id;
use crate::time::{Duration, Instant, earlier};
use client::Client;
use core::fmt;
use key::Keyer;
use server::Server;
use std::collections::VecDeque;
use std::net::SocketAddr;
use store::{Entry, Store};

const T1: Duration = Duration::from_millis(limits::SIP_T1_MS);
const T2: Duration = Duration::from_millis(limits::SIP_T2_MS);
const T4: Duration = Duration::from_millis(limits::SIP_T4_MS);
/// 64·T1: how long a request can matter to anyone (Timers B, F, H, J, L, M).
const LIFE: Duration = Duration::from_millis(64 * limits::SIP_T1_MS);

/// A way to send to and hear from one far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flow {
    /// The socket, connection or channel.
    pub via: Via,
    /// The far end's address. On a stream or a channel it plays no part in comparisons.
    pub to: SocketAddr,
}

impl Flow {
    /// Whether the transport repeats what it loses: streams do, datagrams and the channel do not.
    pub fn is_reliable(self) -> bool {
        matches!(self.via, Via::Stream(_))
    }

    /// Whether what fails on one fails on the other.
    fn is_same_path(self, other: Self) -> bool {
        let by_address = self.via.is_datagram();
        self.via == other.via && (!by_address || self.to == other.to)
    }

    /// Whether a response on `self` may belong to a request that left on `sent`. A server may
    /// answer from another address or connection; a peer never answers for anyone else.
    fn may_answer(self, sent: Self) -> bool {
        match (self.via, sent.via) {
            (Via::Stream(_), Via::Stream(_)) => true,
            // A phone answers whom the request names, or whom it seems to come from.
            (got, Via::Intercepted(..)) => got.is_datagram(),
            (Via::Intercepted(..), sent) => sent.is_datagram(),
            (got, sent) => got == sent,
        }
    }
}

/// Which room a live transaction may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// What there is for everybody.
    #[default]
    Usual,
    /// Beyond that, what is kept for emergency calls.
    Reserved,
}

/// Names a server transaction, until its last timer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServerId(Id<Entry<Server>>);

/// Names a client transaction, until its last timer ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(Id<Entry<Client>>);

/// No room for another live transaction. The user answers 503, statelessly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the table of live SIP transactions is full")
    }
}

impl core::error::Error for Full {}

/// Why a request of ours was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError {
    /// No room for another live transaction.
    Full,
    /// Not a request that a transaction can have: no branch in its first Via, an ACK, or too long.
    Malformed,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => Full.fmt(f),
            Self::Malformed => f.write_str("not a request that a SIP transaction can carry"),
        }
    }
}

impl core::error::Error for SendError {}

/// What a received request is to the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    /// A new request: act on it, and [`Transactions::respond`].
    New(ServerId),
    /// A retransmission. The last response, if any, has been sent again.
    Repeated,
    /// An ACK of a refusal, or one that comes too early: nothing to do.
    Ack,
    /// An ACK that belongs to no refusal here: the dialog's.
    AckOfSuccess,
    /// A new CANCEL, to be answered under `id` like any request.
    Cancel {
        /// The transaction of the CANCEL itself.
        id: ServerId,
        /// The INVITE that it names, if it is still known; it may have its final response already,
        /// and then [`Transactions::respond`] refuses another.
        invite: Option<ServerId>,
    },
}

/// Why a client transaction ended without a final response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionError {
    /// Nothing came in 64·T1 (Timer B or F), or no final response that long after a CANCEL.
    TimedOut,
    /// The transport reported an error.
    Transport,
}

impl fmt::Display for TransactionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "no final response in time",
            Self::Transport => "transport error",
        })
    }
}

/// What happens without a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransactionEvent {
    /// A client transaction failed: to the user as good as a 408 or 503 (RFC 3261 s8.1.3.1). Of an
    /// INVITE that a transport error hit on datagrams, responses may still come after it.
    Failed {
        /// The transaction; until the next event is polled, its request can still be read.
        id: ClientId,
        /// What the user gave to [`Transactions::send_request`].
        user: u32,
        /// Whether it was an INVITE.
        invite: bool,
        /// Why.
        error: TransactionError,
    },
    /// An INVITE server transaction ended badly: its refusal was never acknowledged (Timer H), or
    /// its connection or channel is gone.
    ServerGone {
        /// The transaction.
        id: ServerId,
    },
}

/// What has happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransactionCounters {
    /// Requests sent again (Timers A and E).
    pub requests_retransmitted: u64,
    /// Responses sent again: Timer G, or because the request came again.
    pub responses_retransmitted: u64,
    /// Requests that came again.
    pub requests_absorbed: u64,
    /// Final responses that came again and were not passed on.
    pub responses_absorbed: u64,
    /// Timers B, F and H that ended a transaction.
    pub timeouts: u64,
    /// Client transactions ended by a transport error.
    pub transport_errors: u64,
    /// Responses that match nothing.
    pub strays: u64,
    /// Transactions refused because the table was full.
    pub full: u64,
    /// Messages that did not fit into the outbox at once.
    pub outbox_full: u64,
    /// Finished transactions forgotten before their timer ended.
    pub evicted: u64,
}

/// The way out: separate from the tables, so that what they store can be sent from where it is.
struct Wire {
    outbox: Outbox,
    counters: TransactionCounters,
}

impl Wire {
    fn send(&mut self, flow: Flow, data: &[u8]) -> bool {
        let sent = self.outbox.push(flow.via, flow.to, limits::SIP_TOS, data);
        if !sent {
            self.counters.outbox_full += 1;
        }
        sent
    }
}

/// An event that waits, with the request that it ends.
struct Pending {
    event: TransactionEvent,
    request: Option<(ClientId, Box<[u8]>)>,
}

/// All SIP transactions of an adapter.
pub struct Transactions {
    clients: Store<Client>,
    servers: Store<Server>,
    keyer: Keyer,
    rng: Rng,
    wire: Wire,
    events: VecDeque<Pending>,
    events_max: usize,
    /// The request whose final response or failure the user is looking at.
    spent: Option<(ClientId, Box<[u8]>)>,
    /// Where ACK and CANCEL are written.
    scratch: Box<[u8]>,
}

impl Transactions {
    /// No transactions, with room for `capacity` live ones and `finished_capacity` finished ones
    /// on each side.
    pub fn new(capacity: usize, finished_capacity: usize, rng: &mut Rng) -> Self {
        Self::with_reserve(capacity, 0, finished_capacity, rng)
    }

    /// As [`Self::new`], with room for `reserved` more live ones in [`Room::Reserved`].
    pub fn with_reserve(
        capacity: usize,
        reserved: usize,
        finished_capacity: usize,
        rng: &mut Rng,
    ) -> Self {
        let mut rng = rng.fork("sip transactions");
        let events_max = 2 * (capacity + reserved);
        let outbox =
            Outbox::with_capacity(limits::SIP_OUTBOX_MESSAGES_MAX, limits::SIP_OUTBOX_BYTES_MAX);
        Self {
            clients: Store::new((capacity, reserved), finished_capacity, &mut rng),
            servers: Store::new((capacity, reserved), finished_capacity, &mut rng),
            keyer: Keyer::new(&mut rng),
            rng,
            wire: Wire { outbox, counters: TransactionCounters::default() },
            events: VecDeque::with_capacity(events_max),
            events_max,
            spent: None,
            scratch: vec![0; limits::SIP_MESSAGE_BYTES_MAX].into(),
        }
    }

    /// A branch for a request's Via: unique, and unguessable for those who have not seen it.
    pub fn branch(&mut self) -> Branch {
        Branch::new(&mut self.rng)
    }

    /// How many transactions live: server side, client side. Finished ones do not count.
    pub fn live(&self) -> (usize, usize) {
        (self.servers.live_len(), self.clients.live_len())
    }

    /// Whether a new request would find no usual room.
    pub fn is_crowded(&self) -> bool {
        self.servers.is_full(Room::Usual)
    }

    /// What has happened so far.
    pub fn counters(&self) -> TransactionCounters {
        self.wire.counters
    }

    /// Sends what no transaction stands for: the ACK of a 2xx, a keep-alive, a stateless refusal.
    /// False where the outbox has no room: nothing was sent.
    pub fn send_stateless(&mut self, flow: Flow, data: &[u8]) -> bool {
        self.wire.send(flow, data)
    }

    /// The transport lost `flow`: an ICMP error came, the connection or the channel is gone.
    ///
    /// Every live client transaction on it fails. On a connection or channel the server
    /// transactions end too; on UDP they stay, for an ICMP error may be about anything.
    pub fn transport_failed(&mut self, now: Instant, flow: Flow) {
        self.clients.fail(now, flow);
        if !flow.via.is_datagram() {
            self.servers.fail(now, flow);
        }
        self.handle_timeout(now);
    }

    /// Retransmits and ends what is due. Stops early where the outbox is full; then
    /// [`Self::poll_timeout`] is due at once, and the rest follows after the draining.
    pub fn handle_timeout(&mut self, now: Instant) {
        while self.events.len() < self.events_max {
            let Some(id) = self.servers.pop_due(now) else { break };
            if !self.on_server_due(now, id) {
                return;
            }
        }
        while self.events.len() < self.events_max {
            let Some(id) = self.clients.pop_due(now) else { break };
            if !self.on_client_due(now, id) {
                return;
            }
        }
    }

    /// When [`Self::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.servers.next_deadline(), self.clients.next_deadline())
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<TransactionEvent> {
        let Pending { event, request } = self.events.pop_front()?;
        self.spent = request;
        Some(event)
    }

    /// Moves the next message to send into `buf`, which has room for
    /// [`limits::SIP_MESSAGE_BYTES_MAX`].
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        self.wire.outbox.pop(buf)
    }
}
