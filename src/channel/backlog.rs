//! Payloads that wait for a session: few, and not large together.

use crate::limits::{CHANNEL_BACKLOG_BYTES_MAX, CHANNEL_BACKLOG_MAX};

/// A bounded queue of payloads, each its kind and its body.
#[derive(Default)]
pub(super) struct Backlog {
    entries: heapless::Deque<(u8, Vec<u8>), CHANNEL_BACKLOG_MAX>,
    bytes: usize,
}

impl Backlog {
    /// Appends a payload. False where it does not fit.
    #[must_use]
    pub(super) fn push(&mut self, kind: u8, body: &[u8]) -> bool {
        if self.entries.is_full() || self.bytes + body.len() > CHANNEL_BACKLOG_BYTES_MAX {
            return false;
        }
        self.bytes += body.len();
        self.entries.push_back((kind, body.to_vec())).is_ok()
    }

    /// The oldest payload.
    pub(super) fn front(&self) -> Option<(u8, &[u8])> {
        self.entries.front().map(|(kind, body)| (*kind, body.as_slice()))
    }

    /// Takes the oldest payload.
    pub(super) fn pop(&mut self) -> Option<(u8, Vec<u8>)> {
        let (kind, body) = self.entries.pop_front()?;
        self.bytes -= body.len();
        Some((kind, body))
    }

    /// Takes all payloads.
    pub(super) fn take(&mut self) -> Self {
        core::mem::take(self)
    }
}
