//! The datagrams of the overlay: version 1 of the wire format.
//!
//! Every datagram is version (1), key id (1), kind (1), sender's id (16), request id (8), body,
//! tag (16). The tag is a keyed blake3 under the network's secret over all before it. A find, a
//! get and a get's answer have the length of their body (2) after the kind and zeros after the
//! tag: padding, so that an answer is never larger than its request and needs no proof of
//! address. Numbers are in network byte order; an address is family (1: 4 or 6), IP, port (2); an
//! optional record is its length (2), 0 for none, and its bytes. Parsing is strict: what is left
//! over, a padding that is not zero, an unknown family refuse the datagram.

use super::id::{Node, Place};
use crate::identity::NetworkKeys;
use crate::identity::network::TAG_BYTES;
use crate::identity::record::Key;
use crate::limits::OVERLAY_DATAGRAM_BYTES_MAX;
use crate::net::NodeId;
use std::net::{IpAddr, SocketAddr};

/// The version of the wire format.
pub(super) const VERSION: u8 = 1;
/// The size of a get and its answer.
pub(super) const GET_BYTES: usize = 1100;
/// The size of a find: room for 16 IPv4 members in the answer.
pub(super) const FIND_BYTES: usize = 448;
/// What of a key's set an answer can name besides the record that it carries.
pub(super) const OTHERS_MAX: usize = 7;

/// What the first byte after version and key id says.
pub(super) mod kind {
    /// Asks for nothing but an answer.
    pub(in crate::overlay) const PING: u8 = 1;
    /// Answers a ping.
    pub(in crate::overlay) const PONG: u8 = 2;
    /// Asks for the members closest to a place.
    pub(in crate::overlay) const FIND: u8 = 3;
    /// Answers a find.
    pub(in crate::overlay) const NODES: u8 = 4;
    /// Asks for the records of a key.
    pub(in crate::overlay) const GET: u8 = 5;
    /// Answers a get.
    pub(in crate::overlay) const VALUE: u8 = 6;
    /// Stores a record.
    pub(in crate::overlay) const PUT: u8 = 7;
    /// Answers a put or a touch.
    pub(in crate::overlay) const STORED: u8 = 8;
    /// Extends a record's lifetime, or tells an address.
    pub(in crate::overlay) const TOUCH: u8 = 9;
    /// The first kind that is not the overlay's.
    pub(in crate::overlay) const END: u8 = 0x40;
}

/// A stateless proof of address, made by who checks it; all zeros is none.
pub(super) type Token = [u8; 8];
/// No proof.
pub(super) const NO_TOKEN: Token = [0; 8];

/// Why a datagram is no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameError {
    /// Of another version.
    Version,
    /// Its tag is not of this network.
    Tag,
    /// Not of the format.
    Format,
}

/// What every answer begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    /// Proves the asker's address to the answerer from now on.
    pub(super) token: Token,
    /// Whether the answerer has been up for less than a refresh interval, so that it may lack
    /// records that it should hold.
    pub(super) young: bool,
    /// Whether the asker is not a member that the answerer knows: it may introduce itself, by a
    /// ping with the token.
    pub(super) stranger: bool,
    /// Six bits drawn at the answerer's start: when they change, its store was lost.
    pub(super) start: u8,
    /// The asker's address as the answerer sees it.
    pub(super) observed: SocketAddr,
}

/// How a put or touch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Status {
    /// Held, and its lifetime begins anew.
    Stored = 0,
    /// Not held in this version: put it.
    Unknown = 1,
    /// Held, but with an older list of addresses: touch with the list.
    AddressUnknown = 2,
    /// A newer one is held; it comes along.
    Newer = 3,
    /// The address is not proven; repeat with the token that comes along.
    NoToken = 4,
    /// No room.
    Full = 5,
}

impl Status {
    fn parse(byte: u8) -> Option<Self> {
        [Self::Stored, Self::Unknown, Self::AddressUnknown, Self::Newer, Self::NoToken, Self::Full]
            .into_iter()
            .find(|status| *status as u8 == byte)
    }
}

/// A checked list of members, still as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Nodes<'a>(&'a [u8]);

impl Nodes<'_> {
    /// The members.
    pub(super) fn iter(&self) -> impl Iterator<Item = Node> + '_ {
        let mut reader = Reader(self.0);
        core::iter::from_fn(move || reader.node())
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

/// What a datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// Are you there? With the six bits of the asker's start, see [`Hello`].
    Ping(Token, u8),
    /// I am.
    Pong(Hello),
    /// Who is closest to this place?
    Find(Token, Place),
    /// These are.
    Nodes(Hello, Nodes<'a>),
    /// What is under this key, or of this owner under it?
    Get(Token, Key, Option<NodeId>),
    /// This record with its owner's addresses, further owners, and who is closest.
    Value(Hello, Value<'a>),
    /// Keep this record and its owner's addresses.
    Put(Token, &'a [u8], Option<&'a [u8]>),
    /// How that went; with a record only where a newer one is held.
    Stored(Hello, Status, Option<&'a [u8]>),
    /// Keep what you have of me.
    Touch(Token, Touch<'a>),
}

/// The answer to a get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    /// A record.
    pub(super) record: Option<&'a [u8]>,
    /// Its owner's addresses.
    pub(super) addresses: Option<&'a [u8]>,
    /// Owners of further records.
    pub(super) others: Others<'a>,
    /// The members closest to the key.
    pub(super) nodes: Nodes<'a>,
}

/// What a touch is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Touch<'a> {
    /// The key and the sequence number of the sender's record; number 0 for none: then the touch
    /// tells addresses only.
    pub(super) record: (Key, u64),
    /// The sequence number of the sender's list of addresses.
    pub(super) address_seq: u64,
    /// The list itself.
    pub(super) addresses: Option<&'a [u8]>,
}

/// A datagram, checked and taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Who says that it sent it.
    pub(super) sender: NodeId,
    /// Which request this is or answers.
    pub(super) request: u64,
    /// What it says.
    pub(super) body: Body<'a>,
}

impl<'a> Frame<'a> {
    /// Takes a datagram apart.
    ///
    /// # Errors
    /// [`FrameError`].
    pub(super) fn parse(data: &'a [u8], keys: &NetworkKeys) -> Result<Self, FrameError> {
        let &[version, key_id, kind, ref rest @ ..] = data else { return Err(FrameError::Format) };
        if version != VERSION {
            return Err(FrameError::Version);
        }
        if data.len() > OVERLAY_DATAGRAM_BYTES_MAX {
            return Err(FrameError::Format);
        }
        let end = if is_padded(kind) {
            let len = rest.first_chunk().ok_or(FrameError::Format)?;
            5 + usize::from(u16::from_be_bytes(*len))
        } else {
            data.len().checked_sub(TAG_BYTES).ok_or(FrameError::Format)?
        };
        let (covered, rest) = data.split_at_checked(end).ok_or(FrameError::Format)?;
        let (tag, padding) = rest.split_at_checked(TAG_BYTES).ok_or(FrameError::Format)?;
        if !keys.check(key_id, covered, tag) {
            return Err(FrameError::Tag);
        }
        let body = covered.get(if is_padded(kind) { 5 } else { 3 }..);
        if padding.iter().any(|byte| *byte != 0) {
            return Err(FrameError::Format);
        }
        Self::parse_body(kind, Reader(body.unwrap_or_default())).ok_or(FrameError::Format)
    }

    fn parse_body(kind: u8, mut r: Reader<'a>) -> Option<Self> {
        let (sender, request) = (r.id()?, r.u64()?);
        let body = match kind {
            kind::PING => {
                let (token, start) = (r.array()?, r.u8()?);
                let padding = core::mem::take(&mut r.0);
                if start > 63 || padding.len() > 19 || padding.iter().any(|byte| *byte != 0) {
                    return None;
                }
                Body::Ping(token, start)
            }
            kind::PONG => Body::Pong(r.hello()?),
            kind::FIND => Body::Find(r.array()?, r.array()?),
            kind::NODES => Body::Nodes(r.hello()?, r.nodes()?),
            kind::GET => {
                let (token, key) = (r.array()?, Key(r.array()?));
                let owner = match r.u8()? {
                    0 => None,
                    1 => Some(r.id()?),
                    _ => return None,
                };
                Body::Get(token, key, owner)
            }
            kind::VALUE => Body::Value(
                r.hello()?,
                Value {
                    record: r.block()?,
                    addresses: r.block()?,
                    others: r.others()?,
                    nodes: r.nodes()?,
                },
            ),
            kind::PUT => Body::Put(r.array()?, r.block()??, r.block()?),
            kind::STORED => Body::Stored(r.hello()?, Status::parse(r.u8()?)?, r.block()?),
            kind::TOUCH => Body::Touch(
                r.array()?,
                Touch {
                    record: (Key(r.array()?), r.u64()?),
                    address_seq: r.u64()?,
                    addresses: r.block()?,
                },
            ),
            _ => return None,
        };
        if r.0.is_empty() { Some(Self { sender, request, body }) } else { None }
    }
}

fn is_padded(kind: u8) -> bool {
    matches!(kind, kind::FIND | kind::GET | kind::VALUE)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (front, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(front)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    fn id(&mut self) -> Option<NodeId> {
        self.array().map(NodeId)
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let ip = match self.u8()? {
            4 => IpAddr::from(self.array::<4>()?),
            6 => IpAddr::from(self.array::<16>()?),
            _ => return None,
        };
        let port = u16::from_be_bytes(self.array()?);
        let usable = port != 0 && !ip.is_unspecified() && !ip.is_multicast();
        usable.then(|| SocketAddr::new(ip, port))
    }

    fn node(&mut self) -> Option<Node> {
        Some(Node { id: self.id()?, address: self.address()? })
    }

    fn hello(&mut self) -> Option<Hello> {
        let token = self.array()?;
        let flags = self.u8()?;
        let (young, stranger, start) = (flags & 1 != 0, flags & 2 != 0, flags >> 2);
        Some(Hello { token, young, stranger, start, observed: self.address()? })
    }

    /// Outer `None`: malformed. Inner `None`: not there.
    #[expect(clippy::option_option, reason = "the two have different meanings")]
    fn block(&mut self) -> Option<Option<&'a [u8]>> {
        let len = usize::from(u16::from_be_bytes(self.array()?));
        let block = self.take(len)?;
        Some((len > 0).then_some(block))
    }

    fn nodes(&mut self) -> Option<Nodes<'a>> {
        let (count, start) = (self.u8()?, self.0);
        for _ in 0..count {
            self.node()?;
        }
        Some(Nodes(start.get(..start.len() - self.0.len())?))
    }

    fn others(&mut self) -> Option<Others<'a>> {
        let count = usize::from(self.u8()?);
        if count > OTHERS_MAX {
            return None;
        }
        self.take(count * 24).map(Others)
    }
}
