//! Records of the overlay: signed by their owner, sealed for those who know the AOR.
//!
//! A [`Record`] binds a key of the overlay (the blinded AOR) to a [`Contact`]; an
//! [`AddressRecord`] says where its owner is. Both are kept as the bytes that were received,
//! and the signature covers exactly those, so a field of a later version survives being stored
//! and passed on. A storing node sees the owner and how new a record is, never AOR or contact:
//! these are sealed with ChaCha20-Poly1305 (RFC 8439) under a key that only follows from the AOR.
//!
//! Layout, in network byte order: version (1), kind (1), length of the rest before the signature
//! (2), owner's public key (32), sequence number (8), then for a binding the overlay key (16) and
//! the sealed contact (2 + n), for an address list the count (1) and per address family (1), IP
//! (4 or 16), port (2), where the family's highest bit marks a rendezvous peer's; then extensions
//! (kind 1, length 2, data), of which unknown ones are skipped: a binding's 1, the certificate that
//! lists its overlay key, and a list's 2, the place that its owner's certificate names (16); then
//! the signature (64).

mod addresses;
mod bytes;
mod seal;

use super::certificate::{CERTIFICATE_BYTES_MAX, Certificate};
use super::extension;
use super::key::{self, Identity, PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES};
use crate::net::NodeId;
use bytes::{Writer, array, check_head, owner, parse_addresses, verify};
use core::fmt;
use seal::seal;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Bytes of a contact's user part.
pub const CONTACT_USER_BYTES_MAX: usize = 128;
/// Addresses in an address record: IPv6, IPv4, mapped, rendezvous.
pub const ADDRESSES_MAX: usize = 4;
/// Bytes of a record with its certificate and its signature.
pub const RECORD_BYTES_MAX: usize = HEAD_BYTES
    + PUBLIC_KEY_BYTES
    + 8
    + KEY_BYTES
    + 2
    + SEALED_BYTES_MAX
    + EXTENSION_HEAD_BYTES
    + CERTIFICATE_BYTES_MAX
    + SIGNATURE_BYTES;
/// Bytes of an address record with its place and its signature.
pub const ADDRESS_RECORD_BYTES_MAX: usize = HEAD_BYTES
    + PUBLIC_KEY_BYTES
    + 8
    + 1
    + ADDRESSES_MAX * (1 + 16 + 2)
    + EXTENSION_HEAD_BYTES
    + KEY_BYTES
    + SIGNATURE_BYTES;

const VERSION: u8 = 1;
const KIND_BINDING: u8 = 1;
const KIND_ADDRESSES: u8 = 2;
const HEAD_BYTES: usize = 4;
const KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const SEAL_TAG_BYTES: usize = 16;
const SEALED_BYTES_MAX: usize = 168;
const EXTENSION_HEAD_BYTES: usize = 3;
const EXTENSION_CERTIFICATE: u8 = 1;
const EXTENSION_PLACE: u8 = 2;
const LABEL: &[u8; 16] = b"cosip record v1\0";
const CONTEXT_KEY: &str = "cosip 2026 overlay key v1";
const CONTEXT_SEAL: &str = "cosip 2026 record seal v1";
const CONTACT_VERSION: u8 = 1;

const _: () =
    assert!(2 + 1 + CONTACT_USER_BYTES_MAX + NONCE_BYTES + SEAL_TAG_BYTES <= SEALED_BYTES_MAX);

/// Where a record is kept: 128 bits that follow from the blinded AOR and do not lead back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub [u8; KEY_BYTES]);

impl Key {
    /// The key under which records of a blinded AOR ([`super::NetworkKeys::aor_key`]) are kept.
    pub fn of(aor_key: &[u8; 32]) -> Self {
        let hash = blake3::derive_key(CONTEXT_KEY, aor_key);
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(&hash[..KEY_BYTES]);
        Self(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&NodeId(self.0), f)
    }
}

/// Addresses of one adapter, best first.
pub type AddressList = heapless::Vec<SocketAddr, ADDRESSES_MAX>;

/// Rendezvous peers in an address record.
pub const RENDEZVOUS_MAX: usize = 2;
const FAMILY_RENDEZVOUS: u8 = 0x80;

/// Addresses of members that keep a flow to one adapter and introduce others to it.
pub type RendezvousList = heapless::Vec<SocketAddr, RENDEZVOUS_MAX>;

/// What an owner publishes for an AOR: whom to ask for at its adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contact {
    /// User part of the contact at the owner's adapter.
    pub user: heapless::String<CONTACT_USER_BYTES_MAX>,
}

#[derive(Serialize, Deserialize)]
struct ContactBody<'a> {
    user: &'a str,
}

impl Contact {
    /// A contact with this user part. `None` where it is longer than
    /// [`CONTACT_USER_BYTES_MAX`].
    pub fn new(user: &str) -> Option<Self> {
        heapless::String::try_from(user).ok().map(|user| Self { user })
    }

    fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let (version, rest) = out.split_first_mut()?;
        *version = CONTACT_VERSION;
        let body = ContactBody { user: &self.user };
        Some(1 + postcard::to_slice(&body, rest).ok()?.len())
    }

    fn decode(data: &[u8]) -> Option<Self> {
        let (version, rest) = data.split_first()?;
        if *version != CONTACT_VERSION {
            return None;
        }
        let (body, _later) = postcard::take_from_bytes::<ContactBody<'_>>(rest).ok()?;
        Self::new(body.user)
    }
}

/// Why bytes are no record. Nothing about signatures: see [`Signed::verify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// Shorter or longer than its own fields say, or than a record may be.
    Length,
    /// A version or kind that this program does not know.
    Unknown,
    /// An address of no known family, or with port 0.
    Address,
    /// A certificate that is none, of another key, or not for this AOR.
    Certificate,
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "record: length does not match its fields",
            Self::Unknown => "record: unknown version or kind",
            Self::Address => "record: unusable address",
            Self::Certificate => "record: its certificate does not cover it",
        })
    }
}

impl core::error::Error for RecordError {}

/// A signed record of one kind, as bytes whose shape has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed<const KIND: u8, B>(B);

/// A signed binding.
pub type Record = Signed<KIND_BINDING, heapless::Vec<u8, RECORD_BYTES_MAX>>;

/// A signed list of addresses.
pub type AddressRecord = Signed<KIND_ADDRESSES, heapless::Vec<u8, ADDRESS_RECORD_BYTES_MAX>>;

/// A [`Record`] that is kept elsewhere, in no more memory than it needs.
pub type KeptRecord<'a> = Signed<KIND_BINDING, &'a [u8]>;

/// An [`AddressRecord`] that is kept elsewhere.
pub type KeptAddresses<'a> = Signed<KIND_ADDRESSES, &'a [u8]>;

impl<const KIND: u8, B: AsRef<[u8]>> Signed<KIND, B> {
    /// The bytes, with the signature.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_ref()
    }

    /// The owner's public key.
    pub fn owner(&self) -> PublicKey {
        owner(self.as_bytes())
    }

    /// The place that it names for its owner: a binding by its certificate, which has to be
    /// verified, a list of addresses by its owner's own word, which others have to bear out.
    pub fn place(&self) -> Option<NodeId> {
        if KIND == KIND_BINDING {
            let certificate = Certificate::parse(self.extension(EXTENSION_CERTIFICATE)?).ok()?;
            return Some(certificate.place());
        }
        self.extension(EXTENSION_PLACE).and_then(|data| data.try_into().ok()).map(NodeId)
    }

    /// The owner's id: where members are `certified` the place that it names, if it names any,
    /// else what follows from the key.
    pub fn owner_id(&self, certified: bool) -> NodeId {
        let place = if certified { self.place() } else { None };
        place.unwrap_or_else(|| key::node_id(&self.owner()))
    }

    fn extension(&self, kind: u8) -> Option<&[u8]> {
        let fixed = HEAD_BYTES + PUBLIC_KEY_BYTES + 8;
        let bytes = self.as_bytes();
        let body = bytes.get(fixed..bytes.len().saturating_sub(SIGNATURE_BYTES))?;
        let rest = if KIND == KIND_BINDING {
            let (_, rest) = split_sealed(body).ok()?;
            rest
        } else {
            let (_, _, rest) = parse_addresses(body).ok()?;
            rest
        };
        extension::find(rest, kind)?
    }

    /// The sequence number: higher is newer.
    pub fn seq(&self) -> u64 {
        u64::from_be_bytes(array(self.as_bytes(), HEAD_BYTES + PUBLIC_KEY_BYTES))
    }

    /// Whether the owner signed these bytes for this network. One public-key operation.
    pub fn verify(&self, network: &[u8; 16]) -> bool {
        verify(self.as_bytes(), network)
    }
}

impl<'a, const KIND: u8> Signed<KIND, &'a [u8]> {
    /// What was a record when its bytes were kept.
    pub(crate) fn of_kept(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A copy.
    pub fn copied<const MAX: usize>(&self) -> Signed<KIND, heapless::Vec<u8, MAX>> {
        let bytes = heapless::Vec::from_slice(self.0);
        debug_assert!(bytes.is_ok(), "what is kept was no longer when it came");
        Signed(bytes.unwrap_or_default())
    }
}

impl Record {
    /// Seals and signs `contact`; `None` withdraws what was published under lower numbers.
    /// `network` is [`super::NetworkKeys::network`]. One public-key operation.
    pub fn sign(
        identity: &Identity,
        network: &[u8; 16],
        aor_key: &[u8; 32],
        seq: u64,
        contact: Option<&Contact>,
    ) -> Self {
        let mut sealed = heapless::Vec::<u8, SEALED_BYTES_MAX>::new();
        if let Some(contact) = contact {
            seal(aor_key, &identity.public(), seq, contact, &mut sealed);
        }
        let mut out = Writer::<RECORD_BYTES_MAX>::new(KIND_BINDING, &identity.public(), seq);
        let key = Key::of(aor_key);
        out.put(&key.0);
        out.put(&(sealed.len() as u16).to_be_bytes());
        out.put(&sealed);
        if let Some(certificate) = identity.certificate_for(&key) {
            out.extend(EXTENSION_CERTIFICATE, certificate.as_bytes());
        }
        Self(out.finish(identity, network))
    }

    /// Checks the shape of `data`, not the signature.
    ///
    /// # Errors
    /// [`RecordError`].
    pub fn parse(data: &[u8]) -> Result<Self, RecordError> {
        let body = check_head(data, KIND_BINDING)?;
        let (_, rest) = split_sealed(body)?;
        let known = extension::find(rest, EXTENSION_CERTIFICATE).ok_or(RecordError::Length)?;
        let bytes = heapless::Vec::from_slice(data).map_err(|_| RecordError::Length)?;
        let record = Self(bytes);
        if let Some(data) = known {
            let certificate = Certificate::parse(data).map_err(|_| RecordError::Certificate)?;
            if certificate.key() != record.owner() || !certificate.covers(&record.key()) {
                return Err(RecordError::Certificate);
            }
        }
        Ok(record)
    }
}

impl<B: AsRef<[u8]>> Signed<KIND_BINDING, B> {
    /// The certificate by which the owner may publish it. Its signatures prove themselves
    /// ([`Certificate::links`]), whether it counts tells [`super::trust::Trust::check`].
    pub fn certificate(&self) -> Option<Certificate> {
        Certificate::parse(self.extension(EXTENSION_CERTIFICATE)?).ok()
    }

    /// The key that it is kept under.
    pub fn key(&self) -> Key {
        Key(array(self.as_bytes(), HEAD_BYTES + PUBLIC_KEY_BYTES + 8))
    }

    /// Whether this is the empty record that withdraws older ones.
    pub fn is_withdrawal(&self) -> bool {
        self.sealed().is_empty()
    }

    /// The contact, for who knows the blinded AOR. `None` for a withdrawal, and where it was
    /// sealed under another key or is of a later version.
    pub fn open(&self, aor_key: &[u8; 32]) -> Option<Contact> {
        seal::open(aor_key, &self.owner(), self.seq(), self.sealed())
    }

    fn sealed(&self) -> &[u8] {
        let body = self.as_bytes().get(HEAD_BYTES + PUBLIC_KEY_BYTES + 8..).unwrap_or_default();
        split_sealed(body).map(|(sealed, _)| sealed).unwrap_or_default()
    }
}

/// What is sealed in a binding, of which `body` begins with the overlay key; and what follows.
fn split_sealed(body: &[u8]) -> Result<(&[u8], &[u8]), RecordError> {
    let rest = body.get(KEY_BYTES..).ok_or(RecordError::Length)?;
    let &[high, low, ref rest @ ..] = rest else { return Err(RecordError::Length) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len > SEALED_BYTES_MAX {
        return Err(RecordError::Length);
    }
    rest.split_at_checked(len).ok_or(RecordError::Length)
}

impl<B: AsRef<[u8]>> fmt::Debug for Signed<KIND_BINDING, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:?} of {} seq {:x})", self.key(), self.owner_id(true), self.seq())
    }
}

#[cfg(test)]
mod tests;
