//! Reading the fields of the datagrams of [`super::wire`], one after the other.

use super::id::{Named, Node};
use super::wire::{Hello, Introduced, NAMED_IPV6, OTHERS_MAX, Standing};
use crate::identity::statement::Stated;
use crate::net::{NodeId, is_detour};
use std::net::{IpAddr, SocketAddr};

/// A checked list of members, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nodes<'a>(&'a [u8]);

impl Nodes<'_> {
    /// The members.
    pub(super) fn iter(&self) -> impl Iterator<Item = Named> + '_ {
        let mut reader = Reader(self.0);
        core::iter::from_fn(move || reader.named())
    }
}

/// A checked list of owners and sequence numbers, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Others<'a>(&'a [u8]);

impl Others<'_> {
    /// Owners and the sequence numbers of their records.
    pub(super) fn iter(&self) -> impl Iterator<Item = (NodeId, u64)> + '_ {
        let mut reader = Reader(self.0);
        core::iter::from_fn(move || Some((reader.id()?, reader.u64()?)))
    }
}

/// What is left of a datagram.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    /// The next `len` bytes.
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// A byte.
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    /// A number.
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// An id.
    pub(super) fn id(&mut self) -> Option<NodeId> {
        self.array().map(NodeId)
    }

    /// An address that can be sent to.
    pub(super) fn address(&mut self) -> Option<SocketAddr> {
        match self.u8()? {
            4 => self.address_of(false),
            6 => self.address_of(true),
            _ => None,
        }
    }

    /// The same, of a family that is known.
    fn address_of(&mut self, six: bool) -> Option<SocketAddr> {
        let ip =
            if six { IpAddr::from(self.array::<16>()?) } else { IpAddr::from(self.array::<4>()?) };
        let port = u16::from_be_bytes(self.array()?);
        let address = SocketAddr::new(ip, port);
        let one = !ip.is_unspecified() && !ip.is_multicast() && !is_detour(&address);
        (port != 0 && one).then_some(address)
    }

    /// Id and address.
    pub(super) fn node(&mut self) -> Option<Node> {
        Some(Node { id: self.id()?, address: self.address()? })
    }

    /// A hint: age and family, half an id, address.
    pub(super) fn named(&mut self) -> Option<Named> {
        let flags = self.u8()?;
        let mut id = NodeId([0; 16]);
        id.0[..8].copy_from_slice(self.take(8)?);
        let address = self.address_of(flags & NAMED_IPV6 != 0)?;
        Some(Named { node: Node { id, address }, age_h: flags & !NAMED_IPV6 })
    }

    /// What every answer begins with.
    pub(super) fn hello(&mut self) -> Option<Hello> {
        let token = self.array()?;
        let flags = self.u8()?;
        let [young, kept, six] = [1, 2, 1 << 5].map(|bit| flags & bit != 0);
        let (standing, start) = (Standing::parse((flags & !(1 << 5)) >> 2)?, self.u8()?);
        Some(Hello { token, young, standing, kept, six, start, observed: self.address()? })
    }

    /// How an introduction went.
    pub(super) fn introduced(&mut self) -> Option<Introduced> {
        Some(match self.u8()? {
            0 => Introduced::NotKept,
            1 => Introduced::NoToken,
            2 => Introduced::Busy,
            3 => Introduced::Told(self.address()?),
            _ => return None,
        })
    }

    /// All that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.0)
    }

    /// Zeros up to the end, at most `max`.
    pub(super) fn padding(&mut self, max: usize) -> Option<()> {
        let padding = self.rest();
        (padding.len() <= max && padding.iter().all(|byte| *byte == 0)).then_some(())
    }

    /// Outer `None`: malformed. Inner `None`: not there.
    #[expect(clippy::option_option, reason = "the two have different meanings")]
    pub(super) fn block(&mut self) -> Option<Option<&'a [u8]>> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        let block = self.take(len)?;
        Some((len > 0).then_some(block))
    }

    /// A statement at the end, where there is one. Outer `None`: malformed.
    #[expect(clippy::option_option, reason = "the two have different meanings")]
    pub(super) fn stated(&mut self) -> Option<Option<Stated>> {
        if self.0.is_empty() { Some(None) } else { self.array().map(Some) }
    }

    /// A checked list of members.
    pub(super) fn nodes(&mut self) -> Option<Nodes<'a>> {
        let (count, start) = (self.u8()?, self.0);
        for _ in 0..count {
            self.named()?;
        }
        Some(Nodes(start.get(..start.len() - self.0.len())?))
    }

    /// A checked list of owners.
    pub(super) fn others(&mut self) -> Option<Others<'a>> {
        let count = usize::from(self.u8()?);
        if count > OTHERS_MAX {
            return None;
        }
        self.take(count * 24).map(Others)
    }
}
