//! The datagrams of the overlay: version 1 of the wire format.
//!
//! Every datagram is version (1), key id (1), kind (1), sender's id (16), request id (8), body,
//! tag (16). The tag is a keyed blake3 under the network's secret over all before it. A find, a
//! get and its answer, and a who have the length of their body (2) after the kind and zeros after
//! the tag: padding, so that an answer is never larger than its request and needs no proof of
//! address. Numbers are in network byte order; an address is family (1: 4 or 6), IP, port (2); an
//! optional record is its length (2), 0 for none, and its bytes. Whom an answer names is named by
//! a hint: its age in hours, with the highest bit for IPv6 (1), the first half of the id (8), IP,
//! port (2). A relay carries a datagram of the channel in what is left of it. Parsing is strict:
//! what is left over, a padding that is not zero, an unknown family refuse the datagram.

pub(super) mod kind;
mod standing;

use super::id::{Node, Place};
use super::reader::{Nodes, Others, Reader};
use crate::identity::NetworkKeys;
use crate::identity::certificate::CERTIFICATE_BYTES_MAX;
use crate::identity::network::TAG_BYTES;
use crate::identity::record::{ADDRESS_RECORD_BYTES_MAX, Key, RECORD_BYTES_MAX};
use crate::identity::statement::{STATED_BYTES, Stated};
use crate::limits::OVERLAY_DATAGRAM_BYTES_MAX;
use crate::net::NodeId;
pub(super) use standing::Standing;
use std::net::SocketAddr;

/// The version of the wire format.
pub(super) const VERSION: u8 = 1;
/// The size of a get and its answer.
pub(super) const GET_BYTES: usize = 1100;
/// The size of a wish to see credentials: as large as they are.
pub(super) const WHO_BYTES: usize = 704;
/// The size of a find: room for 22 hints of IPv4 in the answer, or 12 of IPv6.
pub(super) const FIND_BYTES: usize = 404;
/// In the first byte of a hint.
pub(super) const NAMED_IPV6: u8 = 0x80;
/// Zeros behind hints: room for an IPv6 address in the answer.
pub(super) const HINTS_PADDING: usize = 11;
/// Zeros behind a ping, a dial, a wish to be introduced: room for the addresses in the answer.
pub(super) const PING_PADDING_MAX: usize = 23;
/// See [`PING_PADDING_MAX`].
pub(super) const DIAL_PADDING: usize = 12;
/// See [`PING_PADDING_MAX`].
pub(super) const INTRODUCE_PADDING: usize = 29;
/// See [`PING_PADDING_MAX`].
pub(super) const LIST_PADDING: usize = 16;
/// What of a key's set an answer can name besides the record that it carries.
pub(super) const OTHERS_MAX: usize = 7;

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
    /// What the asker is to the answerer.
    pub(super) standing: Standing,
    /// Whether the answerer keeps the asker's flow.
    pub(super) kept: bool,
    /// Whether the answerer deals in IPv6, see [`super::family`]; else in IPv4.
    pub(super) six: bool,
    /// The end of the answerer's count of starts: when it changes, its store was lost.
    pub(super) start: u8,
    /// The number of the list of revocations that the answerer goes by; 0 where it has none.
    pub(super) list: u32,
    /// The asker's address as the answerer sees it.
    pub(super) observed: SocketAddr,
}

/// What a ping says of its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Claim {
    /// It does not know yet whether it can be reached.
    Unknown = 0,
    /// It can, and wants to be listed: have it dialled.
    Member = 1,
    /// It cannot: it is no member.
    Client = 2,
    /// It cannot, and asks that the flow of this ping be kept.
    Keep = 3,
}

impl Claim {
    fn parse(byte: u8) -> Option<Self> {
        [Self::Unknown, Self::Member, Self::Client, Self::Keep]
            .into_iter()
            .find(|claim| *claim as u8 == byte)
    }
}

/// What somebody knows of another's being reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Verdict {
    /// It did not answer.
    No = 0,
    /// It answered, though it had not contacted whoever says so.
    Yes = 1,
    /// There is no time to look.
    Unsure = 2,
    /// It has contacted whoever says so, and answered to another port.
    Near = 3,
}

impl Verdict {
    fn parse(byte: u8) -> Option<Self> {
        [Self::No, Self::Yes, Self::Unsure, Self::Near]
            .into_iter()
            .find(|verdict| *verdict as u8 == byte)
    }
}

/// What became of a wish to be introduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Introduced {
    /// No flow to that node is kept here.
    NotKept,
    /// The address is not proven; repeat with the token that comes along.
    NoToken,
    /// Too many introductions.
    Busy,
    /// The node was told; so it looks from here.
    Told(SocketAddr),
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
    /// Nobody vouches for it, as far as the answerer can tell.
    Refused = 6,
}

impl Status {
    fn parse(byte: u8) -> Option<Self> {
        use Status::{AddressUnknown, Full, Newer, NoToken, Refused, Stored, Unknown};
        [Stored, Unknown, AddressUnknown, Newer, NoToken, Full, Refused]
            .into_iter()
            .find(|status| *status as u8 == byte)
    }
}

const _: () = assert!(
    // Head and hello, 29 and 33; lengths of record and addresses; no others, no hints.
    68 + RECORD_BYTES_MAX + ADDRESS_RECORD_BYTES_MAX + STATED_BYTES + TAG_BYTES <= GET_BYTES
);

const _: () = assert!(
    27 + 33 + 2 + CERTIFICATE_BYTES_MAX + 2 + ADDRESS_RECORD_BYTES_MAX + TAG_BYTES <= WHO_BYTES
);

/// What a datagram says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// Are you there? With the asker's start, see [`Hello`], and what it says of itself.
    Ping(Token, u8, Claim),
    /// I am.
    Pong(Hello),
    /// Who is closest to this place?
    Find(Token, Place),
    /// These are, as far as is known.
    Nodes(Hello, Nodes<'a>),
    /// What is under this key, or of this owner under it?
    Get(Token, Key, Option<NodeId>),
    /// This record with its owner's addresses, further owners, and who is closest.
    Value(Hello, Value<'a>),
    /// Keep this record and its owner's addresses.
    Put(Token, &'a [u8], Option<&'a [u8]>),
    /// How that went; with a record only where a newer one is held, with a receipt where it is
    /// held now and the answerer gives one.
    Stored(Hello, Status, Option<&'a [u8]>, Option<Stated>),
    /// Keep what you have of me.
    Touch(Token, Touch<'a>),
    /// Can you reach this node?
    Dial(Token, Node),
    /// So it is.
    Dialed(Hello, Verdict),
    /// Tell this node, whose flow you keep, that I want to meet it.
    Introduce(Token, NodeId),
    /// So it went.
    Introduced(Hello, Introduced),
    /// This node wants to meet you. No answer.
    Introduction(Node),
    /// Pass this datagram of the channel on to this node. No answer.
    Relay(Token, NodeId, &'a [u8]),
    /// This datagram of the channel is from this node. No answer.
    Relayed(NodeId, &'a [u8]),
    /// Spread these hints among those who share so many leading bits with you.
    Hints(Token, u8, Nodes<'a>),
    /// Who are you?
    Who(Token),
    /// This is my certificate, and these are my addresses, signed by its key.
    Credentials(Hello, &'a [u8], &'a [u8]),
    /// What is revoked that was not on the list of this number, from this serial on? Where that
    /// list is newer than the asked one's: I have it.
    List(Token, u32, u64),
    /// That is, as far as it fits.
    Piece(Hello, Piece<'a>),
}

/// The answer to a get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Value<'a> {
    /// A record.
    pub(super) record: Option<&'a [u8]>,
    /// Its owner's addresses; without a record the answerer's.
    pub(super) addresses: Option<&'a [u8]>,
    /// The certificate of whose addresses those are, where there is no record.
    pub(super) certificate: Option<&'a [u8]>,
    /// Owners of further records.
    pub(super) others: Others<'a>,
    /// The members closest to the key.
    pub(super) nodes: Nodes<'a>,
    /// The record that is held, signed; left out, it takes no room.
    pub(super) stated: Option<Stated>,
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
    /// What binds the key that signed it to the sender's id; left out, it takes no room.
    pub(super) certificate: Option<&'a [u8]>,
}

/// What comes of a list of revocations at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// The head, with the first of it.
    pub(super) head: Option<&'a [u8]>,
    /// Whether more follows.
    pub(super) more: bool,
    /// Entries as they travel.
    pub(super) entries: &'a [u8],
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
                let (token, start, claim) = (r.array()?, r.u8()?, Claim::parse(r.u8()?)?);
                r.padding(PING_PADDING_MAX)?;
                Body::Ping(token, start, claim)
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
            kind::VALUE => {
                let (hello, record, addresses) = (r.hello()?, r.block()?, r.block()?);
                let shows = record.is_none() && addresses.is_some();
                let certificate = if shows { Some(r.block()??) } else { None };
                let (others, nodes, stated) = (r.others()?, r.nodes()?, r.stated()?);
                Body::Value(hello, Value { record, addresses, certificate, others, nodes, stated })
            }
            kind::PUT => Body::Put(r.array()?, r.block()??, r.block()?),
            kind::STORED => {
                Body::Stored(r.hello()?, Status::parse(r.u8()?)?, r.block()?, r.stated()?)
            }
            kind::TOUCH => Body::Touch(
                r.array()?,
                Touch {
                    record: (Key(r.array()?), r.u64()?),
                    address_seq: r.u64()?,
                    addresses: r.block()?,
                    certificate: if r.0.is_empty() { None } else { Some(r.block()??) },
                },
            ),
            kind::DIAL => {
                let (token, node) = (r.array()?, r.node()?);
                r.padding(DIAL_PADDING)?;
                Body::Dial(token, node)
            }
            kind::DIALED => Body::Dialed(r.hello()?, Verdict::parse(r.u8()?)?),
            kind::INTRODUCE => {
                let (token, wanted) = (r.array()?, r.id()?);
                r.padding(INTRODUCE_PADDING)?;
                Body::Introduce(token, wanted)
            }
            kind::INTRODUCED => Body::Introduced(r.hello()?, r.introduced()?),
            kind::INTRODUCTION => Body::Introduction(r.node()?),
            kind::RELAY => Body::Relay(r.array()?, r.id()?, r.rest()),
            kind::RELAYED => Body::Relayed(r.id()?, r.rest()),
            kind::HINTS => {
                let (token, level, hints) = (r.array()?, r.u8()?, r.nodes()?);
                r.padding(HINTS_PADDING)?;
                Body::Hints(token, level, hints)
            }
            kind::WHO => Body::Who(r.array()?),
            kind::CREDENTIALS => Body::Credentials(r.hello()?, r.block()??, r.block()??),
            kind::LIST => Body::List(r.array()?, r.u32()?, r.padded(LIST_PADDING)?),
            kind::PIECE => Body::Piece(r.hello()?, r.piece()?),
            _ => return None,
        };
        if r.0.is_empty() { Some(Self { sender, request, body }) } else { None }
    }
}

pub(super) fn is_padded(kind: u8) -> bool {
    matches!(kind, kind::FIND | kind::GET | kind::VALUE | kind::WHO)
}
