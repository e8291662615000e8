//! What the channel tells its owner: events, counters, the state of sessions.

use super::notice::Payload;
use super::vouching::Unvouched;
use crate::identity::PublicKey;
use crate::limits::{CHANNEL_EVENTS_BYTES_MAX, CHANNEL_EVENTS_MAX};
use crate::net::NodeId;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Why a channel went down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownReason {
    /// No handshake in time: nobody there, or none that belongs to the network and proves the id.
    NoAnswer,
    /// Somebody answered, but only with proofs of other keys than the one wanted.
    WrongIdentity,
    /// Who answered is not certified by anybody whose word counts.
    Untrusted,
    /// The session made room for another one.
    Evicted,
}

/// Something that happened on the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelEvent<'b> {
    /// A session with the peer stands: a new one, or one that was asked for by
    /// [`super::Channel::open`] again and has just proven alive.
    Up {
        /// Who, proven.
        peer: NodeId,
    },
    /// There is no session with the peer any more, and what waited for it is lost.
    Down {
        /// Who.
        peer: NodeId,
        /// Why.
        reason: DownReason,
    },
    /// The peer was not heard for a while and is asked whether it is still there: it may have to be
    /// met anew.
    Asking {
        /// Who.
        peer: NodeId,
    },
    /// A payload came.
    Received {
        /// From whom, proven.
        peer: NodeId,
        /// What.
        payload: Payload<'b>,
    },
}

/// One session, for the status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStatus {
    /// With whom.
    pub peer: NodeId,
    /// The key that the peer has proven.
    pub key: PublicKey,
    /// At which address.
    pub address: SocketAddr,
    /// When the handshake was done.
    pub established: Instant,
    /// When the peer was last heard.
    pub heard: Instant,
    /// The smoothed round-trip time, where one was measured.
    pub rtt: Option<Duration>,
}

crate::observe::counters! {
    /// What happened since the start, counted.
    pub struct Counters {
        /// Datagrams given to the owner to send.
        datagrams_sent,
        /// Datagrams dropped because the outbox was full.
        datagrams_dropped,
        /// Datagrams taken from the owner.
        datagrams_received,
        /// Refused: not of the format, or of an unknown version.
        malformed,
        /// Refused: wrong tag, not decryptable, wrong cookie.
        unauthorized,
        /// Refused: replayed, late, or for nothing that lives.
        unknown,
        /// Refused: no room for another handshake, or for its work.
        full,
        /// Payloads and extensions of unknown kinds that were skipped.
        unknown_kinds,
        /// Payloads of known kinds whose body was wrong.
        undecodable,
        /// Received payloads dropped because the owner did not take them in time.
        payloads_dropped,
        /// Fragmented payloads that never became whole.
        reassemblies_given_up,
        /// Calls of `open`.
        opens,
        /// Cookies sent to strangers.
        cookies_sent,
        /// Public-key operations done.
        public_key_operations,
        /// Handshakes that ended with a session.
        handshakes_done,
        /// Handshakes that did not.
        handshakes_failed,
        /// Proofs of another key than the one wanted.
        wrong_identities,
        /// Proofs without a certificate of a trust anchor where one is needed.
        uncertified,
        /// Proofs with a certificate of another key, or of another place than the one wanted.
        foreign_certificates,
        /// Proofs with a certificate whose time, or its delegation's, is over or has not come.
        expired,
        /// Proofs with a certificate that was revoked, or whose delegation was.
        revoked,
        /// Proofs with a certificate that has a wrong signature, or is of another network.
        forged,
        /// Sessions whose peer was asked for another certificate: its own does not count any more.
        asked_anew,
        /// Peers told that we do not hold their session.
        unknown_sent,
        /// Peers that told us so.
        unknown_received,
        /// Sessions that made room for another.
        evicted,
        /// Peers that moved.
        moved,
    }
}

impl Counters {
    /// What counts proofs that nobody vouches for.
    pub(super) fn of(&mut self, why: Unvouched) -> &mut u64 {
        match why {
            Unvouched::Uncertified => &mut self.uncertified,
            Unvouched::Foreign => &mut self.foreign_certificates,
            Unvouched::Expired => &mut self.expired,
            Unvouched::Revoked => &mut self.revoked,
            Unvouched::Forged => &mut self.forged,
        }
    }
}

enum Head {
    Up,
    Down { reason: DownReason },
    Asking,
    Received { kind: u8, len: usize },
}

/// Events that wait to be polled. Payloads are bounded; of the others, an input makes few.
pub(super) struct EventQueue {
    heads: VecDeque<(NodeId, Head)>,
    bytes: VecDeque<u8>,
    payloads: usize,
    dropped: u64,
}

impl EventQueue {
    /// An empty queue, its memory reserved.
    pub(super) fn new() -> Self {
        Self {
            heads: VecDeque::with_capacity(2 * CHANNEL_EVENTS_MAX),
            bytes: VecDeque::with_capacity(CHANNEL_EVENTS_BYTES_MAX),
            payloads: 0,
            dropped: 0,
        }
    }

    pub(super) fn up(&mut self, peer: NodeId) {
        self.heads.push_back((peer, Head::Up));
    }

    pub(super) fn down(&mut self, peer: NodeId, reason: DownReason) {
        self.heads.push_back((peer, Head::Down { reason }));
    }

    pub(super) fn asking(&mut self, peer: NodeId) {
        self.heads.push_back((peer, Head::Asking));
    }

    /// Queues a payload that was seen to decode.
    pub(super) fn received(&mut self, peer: NodeId, kind: u8, body: &[u8]) {
        let room = CHANNEL_EVENTS_BYTES_MAX - self.bytes.len();
        if self.payloads == CHANNEL_EVENTS_MAX || body.len() > room {
            self.dropped += 1;
            return;
        }
        self.payloads += 1;
        self.bytes.extend(body);
        self.heads.push_back((peer, Head::Received { kind, len: body.len() }));
    }

    /// Payloads dropped.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Takes the oldest event.
    pub(super) fn pop<'b>(&mut self, buf: &'b mut [u8]) -> Option<ChannelEvent<'b>> {
        loop {
            let (peer, head) = self.heads.pop_front()?;
            let (kind, len) = match head {
                Head::Up => return Some(ChannelEvent::Up { peer }),
                Head::Down { reason } => return Some(ChannelEvent::Down { peer, reason }),
                Head::Asking => return Some(ChannelEvent::Asking { peer }),
                Head::Received { kind, len } => (kind, len),
            };
            self.payloads -= 1;
            let taken = self.bytes.drain(..len);
            if len > buf.len() {
                self.dropped += 1;
                continue;
            }
            buf.iter_mut().zip(taken).for_each(|(to, from)| *to = from);
            let body = buf.get(..len)?;
            let payload = Payload::decode(kind, body).ok()?;
            return Some(ChannelEvent::Received { peer, payload });
        }
    }
}
