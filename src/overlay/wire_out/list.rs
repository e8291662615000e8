//! Writing what spreads lists of revocations.

use super::Encoder;
use crate::identity::network::TAG_BYTES;
use crate::identity::revocation::Revocations;
use crate::limits::OVERLAY_DATAGRAM_BYTES_MAX;
use crate::net::NodeId;
use crate::overlay::wire::{Hello, LIST_PADDING, Token, kind};

impl Encoder {
    /// The question what was added behind the list of this number, from a serial on.
    pub(in crate::overlay) fn list(
        sender: NodeId,
        request: u64,
        token: &Token,
        number: u32,
        from: u64,
    ) -> Self {
        let mut out = Self::new(kind::LIST, sender, request, usize::MAX);
        out.put(token);
        out.put(&number.to_be_bytes());
        out.put(&from.to_be_bytes());
        out.put(&[0; LIST_PADDING]);
        out
    }

    /// The answer: what fits of it, or nothing of it where there is no `list` to tell of.
    pub(in crate::overlay) fn piece(
        sender: NodeId,
        request: u64,
        hello: &Hello,
        list: Option<&Revocations>,
        (number, from): (u32, u64),
    ) -> Self {
        let mut out = Self::new(kind::PIECE, sender, request, usize::MAX);
        out.hello(hello);
        let Some(list) = list else {
            out.put(&[0, 0, 0]);
            return out;
        };
        let head = list.head().filter(|_| from == 0);
        out.block(head.map(|head| head.as_bytes()));
        // What is before stays free, so that the rest fits.
        let mut entries = heapless::Vec::<u8, OVERLAY_DATAGRAM_BYTES_MAX>::new();
        let taken = out.len + 1 + TAG_BYTES;
        let resized = entries.resize_default(taken);
        debug_assert!(resized.is_ok(), "a head leaves room");
        let more = list.encode(number, from.checked_sub(1), entries.as_mut_view());
        out.put(&[u8::from(more.is_some())]);
        out.put(entries.get(taken..).unwrap_or_default());
        out
    }
}
