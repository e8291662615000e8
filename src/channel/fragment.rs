//! Payloads larger than a datagram: cut into pieces, and put together in a few fixed buffers.
//!
//! All pieces but the last have one size, so a piece's place follows from its number and nothing
//! overlaps. Nothing is asked for again: SIP repeats the whole message (RFC 3261 s17), and pieces
//! of a message that never became whole make room after two seconds, or for a newer one.

use super::wire::{DATA_OVERHEAD_BYTES, SessionId, take};
use crate::limits::{
    CHANNEL_DATAGRAM_BYTES_MAX, CHANNEL_REASSEMBLIES_MAX, CHANNEL_REASSEMBLIES_PER_PEER_MAX,
    CHANNEL_REASSEMBLY_TIMEOUT, SIP_MESSAGE_BYTES_MAX,
};
use crate::time::Instant;

/// What precedes a piece: message 4, kind of the payload 1, number 1, count 1.
pub(super) const FRAGMENT_HEAD_BYTES: usize = 7;
/// Bytes of every piece but the last.
pub(super) const CHUNK_BYTES: usize =
    CHANNEL_DATAGRAM_BYTES_MAX - DATA_OVERHEAD_BYTES - 1 - FRAGMENT_HEAD_BYTES;
const FRAGMENTS_MAX: usize = SIP_MESSAGE_BYTES_MAX.div_ceil(CHUNK_BYTES);
const _: () = assert!(FRAGMENTS_MAX <= 32, "the pieces seen are bits of a u32");

/// The head and the bytes of each piece of `body`.
pub(super) fn split(
    message: u32,
    kind: u8,
    body: &[u8],
) -> impl Iterator<Item = ([u8; FRAGMENT_HEAD_BYTES], &[u8])> {
    let count = body.len().div_ceil(CHUNK_BYTES) as u8;
    (0..count).zip(body.chunks(CHUNK_BYTES)).map(move |(number, piece)| {
        let [a, b, c, d] = message.to_be_bytes();
        ([a, b, c, d, kind, number, count], piece)
    })
}

struct Partial {
    session: SessionId,
    message: u32,
    kind: u8,
    count: u8,
    seen: u32,
    len: usize,
    started: Instant,
    in_use: bool,
    bytes: Vec<u8>,
}

/// The messages that have arrived in part.
pub(super) struct Reassembly {
    partials: Vec<Partial>,
    given_up: u64,
}

impl Reassembly {
    /// No messages; address space for their buffers is reserved, memory is touched as they fill.
    pub(super) fn new() -> Self {
        let partial = || Partial {
            session: SessionId::default(),
            message: 0,
            kind: 0,
            count: 0,
            seen: 0,
            len: 0,
            started: Instant::ZERO,
            in_use: false,
            bytes: Vec::with_capacity(FRAGMENTS_MAX * CHUNK_BYTES),
        };
        let partials = (0..CHANNEL_REASSEMBLIES_MAX).map(|_| partial()).collect();
        Self { partials, given_up: 0 }
    }

    /// Messages given up unfinished.
    pub(super) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Takes a piece that came on `session`. `Ok(Some(buffer))` where it was the last one missing:
    /// [`Self::take`] follows. `Ok(None)` where others are.
    ///
    /// # Errors
    /// Where the piece contradicts the format, or what came before.
    pub(super) fn add(
        &mut self,
        now: Instant,
        session: SessionId,
        mut piece: &[u8],
    ) -> Result<Option<usize>, ()> {
        let message = u32::from_be_bytes(take(&mut piece).ok_or(())?);
        let [kind, number, count] = take(&mut piece).ok_or(())?;
        let last = number.checked_add(1) == Some(count);
        let offset = usize::from(number) * CHUNK_BYTES;
        let size_fits = if last {
            (1..=CHUNK_BYTES).contains(&piece.len())
        } else {
            number < count && piece.len() == CHUNK_BYTES
        };
        let count_fits = (2..=FRAGMENTS_MAX).contains(&usize::from(count));
        if !count_fits || !size_fits || offset + piece.len() > SIP_MESSAGE_BYTES_MAX {
            return Err(());
        }
        let at = match self.find(now, session, message) {
            Some(at) => at,
            None => self.start(now, session, message, kind, count),
        };
        let partial = self.partials.get_mut(at).ok_or(())?;
        if (partial.kind, partial.count) != (kind, count) {
            return Err(());
        }
        partial.seen |= 1 << number;
        if last {
            partial.len = offset + piece.len();
        }
        partial.bytes.get_mut(offset..offset + piece.len()).ok_or(())?.copy_from_slice(piece);
        if partial.seen.count_ones() < u32::from(count) {
            return Ok(None);
        }
        partial.in_use = false;
        partial.bytes.truncate(partial.len);
        Ok(Some(at))
    }

    /// Kind and body of the message in buffer `at`, which is whole. The body is to be given back.
    pub(super) fn take(&mut self, at: usize) -> (u8, Vec<u8>) {
        let partial = self.partials.get_mut(at);
        partial.map_or_else(Default::default, |p| (p.kind, core::mem::take(&mut p.bytes)))
    }

    /// Gives the memory of a body back to its buffer.
    pub(super) fn give_back(&mut self, at: usize, body: Vec<u8>) {
        if let Some(partial) = self.partials.get_mut(at) {
            partial.bytes = body;
        }
    }

    /// Forgets what came on `session`.
    pub(super) fn forget(&mut self, session: SessionId) {
        for partial in &mut self.partials {
            partial.in_use &= partial.session != session;
        }
    }

    fn find(&self, now: Instant, session: SessionId, message: u32) -> Option<usize> {
        self.partials.iter().position(|partial| {
            partial.in_use
                && (partial.session, partial.message) == (session, message)
                && now.since(partial.started) < CHANNEL_REASSEMBLY_TIMEOUT
        })
    }

    /// A buffer for a new message: a peer with its share in use loses its own oldest, otherwise
    /// the free and the oldest of all go first.
    fn start(
        &mut self,
        now: Instant,
        session: SessionId,
        message: u32,
        kind: u8,
        count: u8,
    ) -> usize {
        let own = |partial: &Partial| partial.in_use && partial.session == session;
        let all_own = self.partials.iter().filter(|partial| own(partial)).count();
        let crowded = all_own >= CHANNEL_REASSEMBLIES_PER_PEER_MAX;
        let candidates = self.partials.iter().enumerate();
        let candidates = candidates.filter(|(_, partial)| !crowded || own(partial));
        let oldest = candidates.min_by_key(|(_, partial)| (partial.in_use, partial.started));
        let at = oldest.map_or(0, |(at, _)| at);
        if let Some(partial) = self.partials.get_mut(at) {
            self.given_up += u64::from(partial.in_use);
            partial.bytes.resize(usize::from(count) * CHUNK_BYTES, 0);
            partial.in_use = true;
            (partial.session, partial.message) = (session, message);
            (partial.kind, partial.count) = (kind, count);
            (partial.seen, partial.len, partial.started) = (0, 0, now);
        }
        at
    }
}
