//! The bytes of the channel's datagrams. All numbers are in network byte order.
//!
//! ```text
//! Hello   1 key 40 | opener's session 8 | opener 16 | wanted 16 | ephemeral 32
//!                  | cookie 16 | reserved 878 | tag 16
//! Cookie  1 key 41 | opener's session 8 | cookie 16 | tag 16
//! Reply   1 key 42 | opener's session 8 | responder's session 8 | ephemeral 32
//!                  | sealed { public key 32, signature 64, extensions } 112.. | tag 16
//! Finish  1 key 43 | responder's session 8
//!                  | sealed { public key 32, signature 64, extensions } 112.. | tag 16
//! Data    1 key 44 | receiver's session 8 | epoch 4, number 4 | sealed { kind 1, body }
//! Unknown 1 key 45 | receiver's session 8 | tag 16
//! ```
//! Hello is as large as Reply, so that no answer exceeds its question. Its reserved bytes are
//! sent as zeros and not looked at. An extension is kind 1, length 2, value; kind 1, in a Finish,
//! is a payload (kind 1, body), kind 2 a certificate of the public key, looked at where a trust
//! anchor is set: there may be several, of 806 bytes together, heads included. Unknown ones are
//! skipped. Tags are those of the network, see [`crate::identity::network`].

use crate::identity::NetworkKeys;
use crate::identity::certificate::CERTIFICATE_BYTES_MAX;
use crate::identity::network::TAG_BYTES;
use crate::limits::CHANNEL_DATAGRAM_BYTES_MAX;
use crate::net::{NodeId, Rejected};

/// The version byte that opens every datagram.
pub(super) const VERSION: u8 = 1;
pub(super) const HELLO: u8 = 0x40;
pub(super) const COOKIE: u8 = 0x41;
pub(super) const REPLY: u8 = 0x42;
pub(super) const FINISH: u8 = 0x43;
pub(super) const DATA: u8 = 0x44;
pub(super) const UNKNOWN: u8 = 0x45;

/// The extension of Finish that holds a payload.
pub(super) const EXTENSION_PAYLOAD: u8 = 1;
/// The extension that holds a certificate.
pub(super) const EXTENSION_CERTIFICATE: u8 = 2;
/// Kind and length of an extension.
pub(super) const EXTENSION_HEAD_BYTES: usize = 3;

/// Names a session at the end that chose it.
pub(super) type SessionId = [u8; 8];
/// Proves that the opener hears what is sent to its address.
pub(super) type Cookie = [u8; 16];

const HEAD_BYTES: usize = 3;
/// Public key and signature.
pub(super) const PROOF_BYTES: usize = 32 + 64;
const RESERVED_BYTES: usize = 72 + CERTIFIED_BYTES_MAX;
/// What certificates take in a proof: two with as many AORs as there may be, or more that have
/// fewer. Of two providers each has its own.
pub(super) const CERTIFIED_BYTES_MAX: usize = 2 * (EXTENSION_HEAD_BYTES + CERTIFICATE_BYTES_MAX);
/// The public part of a Hello that both ends hash.
const HELLO_CORE_BYTES: usize = 8 + 16 + 16 + 32;
/// The public part of a Reply that both ends hash.
const REPLY_CORE_BYTES: usize = 8 + 8 + 32;
const HELLO_BYTES: usize = HEAD_BYTES + HELLO_CORE_BYTES + 16 + RESERVED_BYTES + TAG_BYTES;
const REPLY_BYTES: usize =
    HEAD_BYTES + REPLY_CORE_BYTES + PROOF_BYTES + CERTIFIED_BYTES_MAX + 16 + TAG_BYTES;
const _: () = assert!(REPLY_BYTES <= HELLO_BYTES && HELLO_BYTES <= CHANNEL_DATAGRAM_BYTES_MAX);

/// What precedes the sealed part of a data packet: the associated data of its encryption.
pub(super) const DATA_HEAD_BYTES: usize = HEAD_BYTES + 8 + 8;
/// What a data packet adds to its plaintext.
pub(super) const DATA_OVERHEAD_BYTES: usize = DATA_HEAD_BYTES + super::crypto::AEAD_TAG_BYTES;
/// The longest sealed part of a Finish without its own tag.
pub(super) const FINISH_PLAIN_BYTES_MAX: usize =
    CHANNEL_DATAGRAM_BYTES_MAX - HEAD_BYTES - 8 - 16 - TAG_BYTES;

/// A datagram under construction, or one kept to be repeated.
#[derive(Clone, Default)]
pub(super) struct Packet(heapless::Vec<u8, CHANNEL_DATAGRAM_BYTES_MAX>);

impl Packet {
    /// A datagram that holds its first three bytes.
    pub(super) fn new(network: &NetworkKeys, kind: u8) -> Self {
        let mut packet = Self::default();
        packet.put(&[VERSION, network.key_id(), kind]);
        packet
    }

    /// Appends `bytes`; the caller has checked that they fit.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        let fits = self.0.extend_from_slice(bytes).is_ok();
        debug_assert!(fits, "a datagram of the channel has at most 1200 bytes");
    }

    /// Appends the network's tag over all that is there.
    pub(super) fn tag(mut self, network: &NetworkKeys) -> Self {
        let tag = network.tag(&self.0);
        self.put(&tag);
        self
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, to encrypt a part of them.
    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Makes it empty.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

/// The body of a tagged datagram and the place of the secret in the file.
pub(super) struct Tagged<'a> {
    pub(super) body: &'a [u8],
    pub(super) place: usize,
}

/// Checks the network's tag.
///
/// # Errors
/// [`Rejected::Malformed`] where it is too short, [`Rejected::Unauthorized`] for a wrong tag.
pub(super) fn check<'a>(network: &NetworkKeys, data: &'a [u8]) -> Result<Tagged<'a>, Rejected> {
    let (covered, tag) = data.split_last_chunk::<TAG_BYTES>().ok_or(Rejected::Malformed)?;
    let [_, key_id, _, body @ ..] = covered else { return Err(Rejected::Malformed) };
    let place = network.matching(*key_id, covered, tag).ok_or(Rejected::Unauthorized)?;
    Ok(Tagged { body, place })
}

/// Takes the first `N` bytes of `data`.
pub(super) fn take<const N: usize>(data: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = data.split_first_chunk::<N>()?;
    *data = rest;
    Some(*first)
}

/// The first message of a handshake.
pub(super) struct Hello {
    pub(super) session: SessionId,
    pub(super) opener: NodeId,
    pub(super) wanted: NodeId,
    pub(super) ephemeral: [u8; 32],
}

impl Hello {
    /// The fields and the cookie, from the body of a tagged datagram.
    pub(super) fn parse(mut body: &[u8]) -> Option<(Self, Cookie)> {
        let hello = Self {
            session: take(&mut body)?,
            opener: NodeId(take(&mut body)?),
            wanted: NodeId(take(&mut body)?),
            ephemeral: take(&mut body)?,
        };
        let cookie = take(&mut body)?;
        if body.len() < RESERVED_BYTES { None } else { Some((hello, cookie)) }
    }

    /// The part that both ends hash.
    pub(super) fn core(&self) -> [u8; HELLO_CORE_BYTES] {
        let mut core = [0; HELLO_CORE_BYTES];
        core[..8].copy_from_slice(&self.session);
        core[8..24].copy_from_slice(&self.opener.0);
        core[24..40].copy_from_slice(&self.wanted.0);
        core[40..].copy_from_slice(&self.ephemeral);
        core
    }

    /// The datagram.
    pub(super) fn packet(&self, network: &NetworkKeys, cookie: &Cookie) -> Packet {
        let mut packet = Packet::new(network, HELLO);
        packet.put(&self.core());
        packet.put(cookie);
        packet.put(&[0; RESERVED_BYTES]);
        packet.tag(network)
    }
}

/// The public part of a Reply.
#[derive(Clone, Copy)]
pub(super) struct ReplyHead {
    pub(super) opener_session: SessionId,
    pub(super) responder_session: SessionId,
    pub(super) ephemeral: [u8; 32],
}

impl ReplyHead {
    /// The fields; `body` is left at the sealed part.
    pub(super) fn take(body: &mut &[u8]) -> Option<Self> {
        Some(Self {
            opener_session: take(body)?,
            responder_session: take(body)?,
            ephemeral: take(body)?,
        })
    }

    /// The part that both ends hash.
    pub(super) fn core(&self) -> [u8; REPLY_CORE_BYTES] {
        let mut core = [0; REPLY_CORE_BYTES];
        core[..8].copy_from_slice(&self.opener_session);
        core[8..16].copy_from_slice(&self.responder_session);
        core[16..].copy_from_slice(&self.ephemeral);
        core
    }
}

/// The head of a data packet.
pub(super) struct DataHead {
    pub(super) session: SessionId,
    pub(super) counter: u64,
}

impl DataHead {
    /// The bytes that precede the sealed part.
    pub(super) fn bytes(&self, key_id: u8) -> [u8; DATA_HEAD_BYTES] {
        let mut head = [0; DATA_HEAD_BYTES];
        head[..HEAD_BYTES].copy_from_slice(&[VERSION, key_id, DATA]);
        head[HEAD_BYTES..11].copy_from_slice(&self.session);
        head[11..].copy_from_slice(&self.counter.to_be_bytes());
        head
    }

    /// Splits a data packet into its head and what is sealed.
    pub(super) fn parse(data: &[u8]) -> Option<(Self, &[u8])> {
        let mut rest = data.get(HEAD_BYTES..)?;
        let session = take(&mut rest)?;
        let counter = u64::from_be_bytes(take(&mut rest)?);
        Some((Self { session, counter }, rest))
    }
}
