//! Writing what brings two together who cannot reach each other at first.

use super::Encoder;
use crate::limits::CHANNEL_DATAGRAM_BYTES_MAX;
use crate::net::NodeId;
use crate::overlay::id::Node;
use crate::overlay::wire::{Hello, INTRODUCE_PADDING, Introduced, Token, kind};

impl Encoder {
    /// The wish to be introduced to `wanted`.
    pub(in crate::overlay) fn introduce(
        sender: NodeId,
        request: u64,
        token: &Token,
        wanted: &NodeId,
    ) -> Self {
        let mut out = Self::new(kind::INTRODUCE, sender, request, usize::MAX);
        out.put(token);
        out.put(&wanted.0);
        out.put(&[0; INTRODUCE_PADDING]);
        out
    }

    /// What became of that wish.
    pub(in crate::overlay) fn introduced(
        sender: NodeId,
        request: u64,
        hello: &Hello,
        how: &Introduced,
    ) -> Self {
        let mut out = Self::new(kind::INTRODUCED, sender, request, usize::MAX);
        out.hello(hello);
        match how {
            Introduced::NotKept => out.put(&[0]),
            Introduced::NoToken => out.put(&[1]),
            Introduced::Busy => out.put(&[2]),
            Introduced::Told(at) => {
                out.put(&[3]);
                out.address(at);
            }
        }
        out
    }

    /// Who wants to be met.
    pub(in crate::overlay) fn introduction(sender: NodeId, guest: &Node) -> Self {
        let mut out = Self::new(kind::INTRODUCTION, sender, 0, usize::MAX);
        out.put(&guest.id.0);
        out.address(&guest.address);
        out
    }

    /// A datagram of the channel for `to`.
    pub(in crate::overlay) fn relay(
        sender: NodeId,
        token: &Token,
        to: &NodeId,
        data: &[u8],
    ) -> Self {
        let mut out = Self::new(kind::RELAY, sender, 0, usize::MAX);
        out.put(token);
        out.put(&to.0);
        out.put(data.get(..CHANNEL_DATAGRAM_BYTES_MAX).unwrap_or(data));
        out
    }

    /// A datagram of the channel that `from` handed over.
    pub(in crate::overlay) fn relayed(sender: NodeId, from: &NodeId, data: &[u8]) -> Self {
        let mut out = Self::new(kind::RELAYED, sender, 0, usize::MAX);
        out.put(&from.0);
        out.put(data.get(..CHANNEL_DATAGRAM_BYTES_MAX).unwrap_or(data));
        out
    }
}
