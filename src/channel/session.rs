//! One session with one peer: keys of both directions, the replay window, where the peer is.
//!
//! A session is kept until 64 others have been used since: two adapters that met before talk
//! at once. After a minute of silence the sender steps its ratchet; the epoch is the high half of
//! the packet counter, so the receiver follows by itself and the window discards what is older.

use super::SessionStatus;
use super::backlog::Backlog;
use super::crypto::{self, AEAD_TAG_BYTES, Key, Ratchet};
use super::wire::{DATA_HEAD_BYTES, DataHead, SessionId};
use crate::identity::{Certificate, PublicKey};
use crate::limits::{
    CHANNEL_ADDRESSES_MAX, CHANNEL_DATAGRAM_BYTES_MAX, CHANNEL_EPOCHS_AHEAD_MAX,
    CHANNEL_RATCHET_IDLE,
};
use crate::net::{NodeId, Rejected};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// The addresses at which a peer may be.
pub(super) type Addresses = heapless::Vec<SocketAddr, CHANNEL_ADDRESSES_MAX>;

/// Adds `address` unless it is there; the oldest makes room.
pub(super) fn remember(addresses: &mut Addresses, address: SocketAddr) {
    if addresses.contains(&address) {
        return;
    }
    if addresses.is_full() {
        addresses.remove(0);
    }
    let _has_room = addresses.push(address);
}

/// Which of the last 64 packet counters were seen (RFC 4303 s3.4.3).
#[derive(Default)]
pub(super) struct Window {
    /// The highest counter seen, plus one; 0 before any.
    next: u64,
    /// Bit n: counter `next - 1 - n` was seen.
    seen: u64,
}

impl Window {
    /// Whether `counter` is neither seen nor too old to tell.
    pub(super) fn is_new(&self, counter: u64) -> bool {
        match self.next.checked_sub(counter) {
            None | Some(0) => counter < u64::MAX,
            Some(back) => back <= 64 && self.seen >> (back - 1) & 1 == 0,
        }
    }

    /// Notes that `counter` was seen. Only for a counter that [`Self::is_new`].
    pub(super) fn note(&mut self, counter: u64) {
        match self.next.checked_sub(counter) {
            None | Some(0) => {
                let ahead = counter - self.next + 1;
                self.seen = if ahead < 64 { self.seen << ahead } else { 0 } | 1;
                self.next = counter + 1;
            }
            Some(back) => self.seen |= 1 << (back - 1),
        }
    }
}

/// A question that the peer is to echo from where it was asked.
#[derive(Clone, Copy)]
pub(super) struct Challenge {
    pub(super) token: u64,
    pub(super) address: SocketAddr,
    pub(super) sent: Instant,
}

/// Doubt whether the peer still holds the session: it is asked, twice, then a handshake decides.
pub(super) struct Doubt {
    pub(super) token: u64,
    pub(super) asked: u8,
    pub(super) sent: Instant,
    pub(super) deadline: Instant,
}

/// The keys and names with which a handshake ends.
pub(super) struct Agreed {
    pub(super) peer: NodeId,
    /// The key that the peer has proven.
    pub(super) key: PublicKey,
    pub(super) address: SocketAddr,
    pub(super) local: SessionId,
    pub(super) remote: SessionId,
    pub(super) opened_here: bool,
    pub(super) send: Key,
    pub(super) receive: Key,
    /// Hash of the Finish: recognises one heard again.
    pub(super) finish: [u8; 32],
    /// Who vouches for the peer, where that was asked for.
    pub(super) certificates: Vec<Certificate>,
}

/// A session.
pub(super) struct Session {
    pub(super) peer: NodeId,
    /// The key that the peer has proven.
    pub(super) key: PublicKey,
    pub(super) address: SocketAddr,
    /// Other addresses at which the peer may be.
    pub(super) others: Addresses,
    pub(super) local: SessionId,
    remote: SessionId,
    pub(super) opened_here: bool,
    pub(super) finish: [u8; 32],
    /// Who vouches for the peer, where that was asked for.
    pub(super) certificates: Vec<Certificate>,
    send: Ratchet,
    number: u32,
    receive: Ratchet,
    window: Window,
    pub(super) established: Instant,
    pub(super) used: Instant,
    pub(super) heard: Instant,
    /// When it was heard last from where it is, not from elsewhere.
    pub(super) heard_there: Instant,
    pub(super) sent: Instant,
    pub(super) rtt: Option<Duration>,
    /// Whether the peer is known to hold the session too.
    pub(super) confirmed: bool,
    /// Until when it only receives, because another session with the peer took over.
    pub(super) superseded: Option<Instant>,
    /// Whether it has carried a payload: one that never did is evicted first.
    pub(super) carried: bool,
    pub(super) challenge: Option<Challenge>,
    pub(super) doubt: Option<Doubt>,
    /// Whether somebody waits to be told that the peer answers.
    pub(super) announce: bool,
    /// What was sent while in doubt.
    pub(super) backlog: Backlog,
    pub(super) message: u32,
}

impl Session {
    /// A session that has just been agreed on.
    pub(super) fn new(now: Instant, agreed: Agreed) -> Self {
        Self {
            peer: agreed.peer,
            key: agreed.key,
            address: agreed.address,
            others: Addresses::new(),
            local: agreed.local,
            remote: agreed.remote,
            opened_here: agreed.opened_here,
            finish: agreed.finish,
            certificates: agreed.certificates,
            send: Ratchet::new(agreed.send),
            number: 0,
            receive: Ratchet::new(agreed.receive),
            window: Window::default(),
            established: now,
            used: now,
            heard: now,
            heard_there: now,
            sent: now,
            rtt: None,
            confirmed: false,
            superseded: None,
            carried: false,
            challenge: None,
            doubt: None,
            announce: false,
            backlog: Backlog::default(),
            message: 0,
        }
    }

    /// Whether payloads are sent on it.
    pub(super) fn is_current(&self) -> bool {
        self.confirmed && self.superseded.is_none()
    }

    /// What there is to tell of it.
    pub(super) fn status(&self) -> SessionStatus {
        SessionStatus {
            peer: self.peer,
            key: self.key,
            address: self.address,
            established: self.established,
            heard: self.heard,
            rtt: self.rtt,
        }
    }

    /// The peer's name for it.
    pub(super) fn remote(&self) -> &SessionId {
        &self.remote
    }

    /// When it wants to be looked at.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let doubt = self.doubt.as_ref().map(|doubt| doubt.deadline);
        crate::time::earlier(doubt, self.superseded)
    }

    /// Takes one measured round trip into the estimate (RFC 6298 s2, without the variance).
    pub(super) fn measure(&mut self, sample: Duration) {
        self.rtt = Some(match self.rtt {
            None => sample,
            Some(rtt) => (rtt * 7 + sample) / 8,
        });
    }

    /// Writes the data packet whose plaintext is `parts` in sequence into `out`; returns its
    /// length, or `None` where it does not fit.
    pub(super) fn seal(
        &mut self,
        now: Instant,
        key_id: u8,
        parts: &[&[u8]],
        out: &mut [u8; CHANNEL_DATAGRAM_BYTES_MAX],
    ) -> Option<usize> {
        let idle = now.since(self.sent) >= CHANNEL_RATCHET_IDLE;
        if idle || self.number == u32::MAX {
            self.send.step();
            self.number = 0;
        }
        let counter = u64::from(self.send.epoch()) << 32 | u64::from(self.number);
        let head = DataHead { session: self.remote, counter }.bytes(key_id);
        out[..DATA_HEAD_BYTES].copy_from_slice(&head);
        let mut len = DATA_HEAD_BYTES;
        for part in parts {
            out.get_mut(len..len + part.len())?.copy_from_slice(part);
            len += part.len();
        }
        let end = len + AEAD_TAG_BYTES;
        let (packet, tag) = out.get_mut(..end)?.split_at_mut(len);
        let sealed = packet.get_mut(DATA_HEAD_BYTES..)?;
        tag.copy_from_slice(&crypto::seal(self.send.key(), counter, &head, sealed));
        self.number += 1;
        self.sent = now;
        Some(end)
    }

    /// Decrypts `sealed` in place and returns the plaintext. A packet seen before, or of an epoch
    /// that is over, is refused before any decryption.
    ///
    /// # Errors
    /// [`Rejected::Malformed`], [`Rejected::Unknown`] for a replay, [`Rejected::Unauthorized`].
    pub(super) fn open<'a>(
        &mut self,
        counter: u64,
        head: &[u8],
        sealed: &'a mut [u8],
    ) -> Result<&'a [u8], Rejected> {
        let (plain, tag) =
            sealed.split_last_chunk_mut::<AEAD_TAG_BYTES>().ok_or(Rejected::Malformed)?;
        let epoch = (counter >> 32) as u32;
        let ahead = epoch.checked_sub(self.receive.epoch()).ok_or(Rejected::Unknown)?;
        if ahead > CHANNEL_EPOCHS_AHEAD_MAX || !self.window.is_new(counter) {
            return Err(Rejected::Unknown);
        }
        if ahead == 0 {
            if !crypto::open(self.receive.key(), counter, head, plain, tag) {
                return Err(Rejected::Unauthorized);
            }
        } else {
            let mut next = self.receive.clone();
            (0..ahead).for_each(|_| next.step());
            if !crypto::open(next.key(), counter, head, plain, tag) {
                return Err(Rejected::Unauthorized);
            }
            self.receive = next;
        }
        self.window.note(counter);
        Ok(plain)
    }
}
