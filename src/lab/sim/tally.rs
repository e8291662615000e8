//! What is counted while a shard runs.

use super::packet::{KINDS, header_bytes, is_lookup, kind};
use std::net::SocketAddr;

/// Counts since the last phase began.
#[derive(Clone, Copy, Default)]
pub(super) struct Tally {
    /// IP, UDP and overlay bytes, sent and received, without gets and their answers.
    pub(super) bytes: u64,
    /// The same of gets and their answers.
    pub(super) lookup_bytes: u64,
    /// The bytes of both, by the kind of datagram.
    pub(super) kind_bytes: [u64; KINDS.len()],
    /// Datagrams delivered.
    pub(super) datagrams: u64,
    /// Wake-ups of adapters.
    pub(super) wakes: u64,
    /// Microseconds that routers lived, all together.
    pub(super) lived_us: u128,
    /// Answers larger than their requests to addresses that had proven nothing.
    pub(super) amplified: u64,
    /// Datagrams that an adapter refused.
    pub(super) rejected: u64,
    /// Datagrams that an adapter took and should have refused.
    pub(super) swallowed: u64,
}

impl Tally {
    /// A router sends or receives a datagram.
    pub(super) fn carry(&mut self, far: &SocketAddr, data: &[u8]) {
        let bytes = header_bytes(far) + data.len() as u64;
        self.kind_bytes[usize::from(kind(data)).min(KINDS.len() - 1)] += bytes;
        *(if is_lookup(data) { &mut self.lookup_bytes } else { &mut self.bytes }) += bytes;
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.lookup_bytes += other.lookup_bytes;
        let kinds = self.kind_bytes.iter_mut().zip(other.kind_bytes);
        kinds.for_each(|(sum, bytes)| *sum += bytes);
        self.datagrams += other.datagrams;
        self.wakes += other.wakes;
        self.lived_us += other.lived_us;
        self.amplified += other.amplified;
        self.rejected += other.rejected;
        self.swallowed += other.swallowed;
    }
}

/// How many datagrams one router gets in its busiest second.
#[derive(Clone, Copy, Default)]
pub(super) struct Load {
    second: u64,
    count: u32,
    most: u32,
}

impl Load {
    pub(super) fn note(&mut self, now: u64) {
        let second = now / 1_000_000;
        if second != self.second {
            (self.second, self.count) = (second, 0);
        }
        self.count += 1;
        self.most = self.most.max(self.count);
    }

    /// Takes the most since the last time.
    pub(super) fn take_most(&mut self) -> u32 {
        core::mem::take(&mut self.most)
    }
}
