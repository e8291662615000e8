//! Writing the datagrams of [`super::wire`].
//!
//! An [`Encoder`] fills a buffer of its own with one datagram. Fields that do not fit are a
//! programming error for everything of fixed size; lists of members are cut to the room there is.

mod list;
mod meeting;

use super::id::{Named, Node, Place};
use super::wire::{
    Claim, DIAL_PADDING, HINTS_PADDING, Hello, NAMED_IPV6, PING_PADDING_MAX, Status, Token, Touch,
    VERSION, Verdict, is_padded, kind,
};
use crate::identity::NetworkKeys;
use crate::identity::network::TAG_BYTES;
use crate::identity::record::Key;
use crate::identity::statement::{STATED_BYTES, Stated};
use crate::limits::OVERLAY_DATAGRAM_BYTES_MAX;
use crate::net::NodeId;
use std::net::{IpAddr, SocketAddr};

/// What names a further owner: id and number.
const OTHER_BYTES: usize = 16 + 8;

/// What answers a get.
#[derive(Clone, Copy, Debug)]
pub(super) enum Content<'a> {
    /// There is none.
    Nothing,
    /// A record, and its owner's addresses.
    Record(&'a [u8], Option<&'a [u8]>),
    /// There is none, says who has this certificate and is at these addresses.
    Denial(&'a [u8], &'a [u8]),
}

/// One datagram in the making.
pub(super) struct Encoder {
    buf: [u8; OVERLAY_DATAGRAM_BYTES_MAX],
    len: usize,
    /// Where the length of the body goes, in a padded kind.
    padded: bool,
    /// The datagram must not become longer.
    limit: usize,
}

impl Encoder {
    fn new(kind: u8, sender: NodeId, request: u64, limit: usize) -> Self {
        let padded = is_padded(kind);
        let limit = limit.min(OVERLAY_DATAGRAM_BYTES_MAX);
        let mut out = Self { buf: [0; OVERLAY_DATAGRAM_BYTES_MAX], len: 0, padded, limit };
        out.put(&[VERSION, 0, kind]);
        if padded {
            out.put(&[0, 0]);
        }
        out.put(&sender.0);
        out.put(&request.to_be_bytes());
        out
    }

    /// A ping, padded by what the answer to an address of this family needs.
    pub(super) fn ping(
        sender: NodeId,
        request: u64,
        token: &Token,
        start: u8,
        claim: Claim,
        to: &SocketAddr,
    ) -> Self {
        let mut out = Self::new(kind::PING, sender, request, usize::MAX);
        out.put(token);
        out.put(&[start, claim as u8]);
        out.put(&[0; PING_PADDING_MAX][..if to.is_ipv4() { 11 } else { PING_PADDING_MAX }]);
        out
    }

    /// The answer to a ping.
    pub(super) fn pong(sender: NodeId, request: u64, hello: &Hello) -> Self {
        let mut out = Self::new(kind::PONG, sender, request, usize::MAX);
        out.hello(hello);
        out
    }

    /// A find.
    pub(super) fn find(sender: NodeId, request: u64, token: &Token, target: &Place) -> Self {
        let mut out = Self::new(kind::FIND, sender, request, usize::MAX);
        out.put(token);
        out.put(target);
        out
    }

    /// The answer to a find, of at most `limit` bytes.
    pub(super) fn nodes(
        sender: NodeId,
        request: u64,
        hello: &Hello,
        nodes: &[Named],
        limit: usize,
    ) -> Self {
        let mut out = Self::new(kind::NODES, sender, request, limit);
        out.hello(hello);
        out.node_list(nodes);
        out
    }

    /// A get.
    pub(super) fn get(
        sender: NodeId,
        request: u64,
        token: &Token,
        key: &Key,
        owner: Option<NodeId>,
    ) -> Self {
        let mut out = Self::new(kind::GET, sender, request, usize::MAX);
        out.put(token);
        out.put(&key.0);
        out.put(&[u8::from(owner.is_some())]);
        if let Some(owner) = owner {
            out.put(&owner.0);
        }
        out
    }

    /// The answer to a get, of at most `limit` bytes: a record with its owner's addresses, or what
    /// shows who says that there is none; others and hints as far as there is room.
    pub(super) fn value(
        sender: NodeId,
        request: u64,
        hello: &Hello,
        content: &Content<'_>,
        others: &[(NodeId, u64)],
        nodes: &[Named],
        limit: usize,
    ) -> Self {
        let mut out = Self::new(kind::VALUE, sender, request, limit);
        out.hello(hello);
        match *content {
            Content::Nothing => out.put(&[0; 4]),
            Content::Record(record, addresses) => {
                out.block(Some(record));
                out.block(addresses);
            }
            Content::Denial(certificate, addresses) => {
                out.block(None);
                out.block(Some(addresses));
                out.block(Some(certificate));
            }
        }
        // Behind them is room for the count of the hints.
        let named = others.len().min(out.room().saturating_sub(2) / OTHER_BYTES);
        out.put(&[named as u8]);
        for (owner, seq) in others.iter().take(named) {
            out.put(&owner.0);
            out.put(&seq.to_be_bytes());
        }
        out.node_list(nodes);
        out
    }

    /// A put.
    pub(super) fn put_record(
        sender: NodeId,
        request: u64,
        token: &Token,
        record: &[u8],
        addresses: Option<&[u8]>,
    ) -> Self {
        let mut out = Self::new(kind::PUT, sender, request, usize::MAX);
        out.put(token);
        out.block(Some(record));
        out.block(addresses);
        out
    }

    /// The answer to a put or touch.
    pub(super) fn stored(
        sender: NodeId,
        request: u64,
        hello: &Hello,
        status: Status,
        newer: Option<&[u8]>,
    ) -> Self {
        let mut out = Self::new(kind::STORED, sender, request, usize::MAX);
        out.hello(hello);
        out.put(&[status as u8]);
        out.block(newer);
        out
    }

    /// The same answer, to a get or a put, with a statement behind it: of one to a get the limit
    /// has to leave room for that.
    pub(super) fn with(mut self, stated: Option<&Stated>) -> Self {
        if let Some(stated) = stated {
            self.limit += STATED_BYTES;
            self.put(stated);
        }
        self
    }

    /// A touch.
    pub(super) fn touch(sender: NodeId, request: u64, token: &Token, touch: &Touch<'_>) -> Self {
        let mut out = Self::new(kind::TOUCH, sender, request, usize::MAX);
        out.put(token);
        out.put(&touch.record.0.0);
        out.put(&touch.record.1.to_be_bytes());
        out.put(&touch.address_seq.to_be_bytes());
        out.block(touch.addresses);
        if touch.certificate.is_some() {
            out.block(touch.certificate);
        }
        out
    }

    /// The question whether `node` can be reached.
    pub(super) fn dial(sender: NodeId, request: u64, token: &Token, node: &Node) -> Self {
        let mut out = Self::new(kind::DIAL, sender, request, usize::MAX);
        out.put(token);
        out.put(&node.id.0);
        out.address(&node.address);
        out.put(&[0; DIAL_PADDING]);
        out
    }

    /// The answer to a dial.
    pub(super) fn dialed(sender: NodeId, request: u64, hello: &Hello, verdict: Verdict) -> Self {
        let mut out = Self::new(kind::DIALED, sender, request, usize::MAX);
        out.hello(hello);
        out.put(&[verdict as u8]);
        out
    }

    /// So many hints, for those who share `level` leading bits with whom they go to.
    pub(super) fn hints(
        sender: NodeId,
        request: u64,
        token: &Token,
        level: u8,
        (count, hints): (u8, &[u8]),
        to: &SocketAddr,
    ) -> Self {
        let mut out = Self::new(kind::HINTS, sender, request, usize::MAX);
        out.put(token);
        out.put(&[level, count]);
        out.put(hints);
        out.put(&[0; HINTS_PADDING][..if to.is_ipv4() { 0 } else { HINTS_PADDING }]);
        out
    }

    /// The question who somebody is.
    pub(super) fn who(sender: NodeId, request: u64, token: &Token) -> Self {
        let mut out = Self::new(kind::WHO, sender, request, usize::MAX);
        out.put(token);
        out
    }

    /// The answer: a certificate, and the list of addresses that its key has signed.
    pub(super) fn credentials(
        sender: NodeId,
        request: u64,
        hello: &Hello,
        certificate: &[u8],
        addresses: &[u8],
    ) -> Self {
        let mut out = Self::new(kind::CREDENTIALS, sender, request, usize::MAX);
        out.hello(hello);
        out.block(Some(certificate));
        out.block(Some(addresses));
        out
    }

    /// Tags the datagram and pads it to `pad_to` bytes where its kind is padded.
    pub(super) fn finish(&mut self, keys: &NetworkKeys, pad_to: usize) -> &[u8] {
        self.buf[1] = keys.key_id();
        if self.padded {
            let len = (self.len - 5) as u16;
            self.buf[3..5].copy_from_slice(&len.to_be_bytes());
        }
        let tag = keys.tag(&self.buf[..self.len]);
        self.buf[self.len..self.len + TAG_BYTES].copy_from_slice(&tag);
        self.len += TAG_BYTES;
        if self.padded {
            self.len = self.len.max(pad_to.min(self.limit));
        }
        &self.buf[..self.len]
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.len + TAG_BYTES)
    }

    fn put(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        debug_assert!(end + TAG_BYTES <= self.buf.len(), "fixed fields fit into a datagram");
        self.buf[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    fn block(&mut self, bytes: Option<&[u8]>) {
        let bytes = bytes.unwrap_or_default();
        self.put(&(bytes.len() as u16).to_be_bytes());
        self.put(bytes);
    }

    fn address(&mut self, address: &SocketAddr) {
        match address.ip().to_canonical() {
            IpAddr::V4(ip) => {
                self.put(&[4]);
                self.put(&ip.octets());
            }
            IpAddr::V6(ip) => {
                self.put(&[6]);
                self.put(&ip.octets());
            }
        }
        self.put(&address.port().to_be_bytes());
    }

    fn hello(&mut self, hello: &Hello) {
        self.put(&hello.token);
        let flags = u8::from(hello.young) | u8::from(hello.kept) << 1 | u8::from(hello.six) << 5;
        let flags = flags | (hello.standing as u8) << 2;
        self.put(&[flags, hello.start]);
        self.put(&hello.list.to_be_bytes());
        self.address(&hello.observed);
    }

    fn node_list(&mut self, nodes: &[Named]) {
        let at = self.len;
        self.put(&[0]);
        for named in nodes.iter().take(255) {
            let mut bytes = heapless::Vec::new();
            named_bytes(named, &mut bytes);
            if self.room() < bytes.len() {
                break;
            }
            self.put(&bytes);
            self.buf[at] += 1;
        }
    }
}

/// The most bytes of a hint.
pub(super) const NAMED_BYTES_MAX: usize = 27;

/// A hint as it is written.
pub(super) fn named_bytes(named: &Named, out: &mut heapless::Vec<u8, NAMED_BYTES_MAX>) {
    let Node { id, address } = named.node;
    let six = address.is_ipv6();
    let age_h = named.age_h.min(!NAMED_IPV6);
    let mut put = |bytes: &[u8]| {
        let fits = out.extend_from_slice(bytes);
        debug_assert!(fits.is_ok(), "a hint is no longer than that");
    };
    put(&[if six { age_h | NAMED_IPV6 } else { age_h }]);
    put(&id.0[..8]);
    match address.ip() {
        IpAddr::V4(ip) => put(&ip.octets()),
        IpAddr::V6(ip) => put(&ip.octets()),
    }
    put(&address.port().to_be_bytes());
}
