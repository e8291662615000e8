//! The port that overlay and channel share: whose a datagram is, and the port beside it.

use super::wire::kind;

/// The kind bytes of the channel's datagrams.
const CHANNEL_KINDS: core::ops::RangeInclusive<u8> = 0x40..=0x7f;

/// Whose a datagram on the port is. Says nothing about its being valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// The overlay's: for [`super::Overlay::handle_datagram`]. So is what is nobody's; it counts
    /// that.
    Overlay,
    /// One of the channel's that came through another member: for
    /// [`super::Overlay::take_relayed`].
    Relayed,
    /// The channel's.
    Channel,
}

impl Datagram {
    /// By the third byte, which overlay and channel have in common.
    pub fn of(data: &[u8]) -> Self {
        match data.get(2) {
            Some(&kind::RELAYED) => Self::Relayed,
            Some(kind) if CHANNEL_KINDS.contains(kind) => Self::Channel,
            _ => Self::Overlay,
        }
    }
}

/// From which socket a datagram leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// That of overlay and channel.
    First,
    /// Another one, to try whether somebody can be reached from where it sent nothing to.
    Second,
}
