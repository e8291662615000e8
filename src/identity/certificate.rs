//! Certificates: who vouches for an adapter's key, its place in the overlay and its AORs.
//!
//! A provider's anchor signs them, or an issuing key to which the anchor has delegated that for a
//! while, so that the anchor can stay offline. A certificate travels with the delegation that it
//! needs, and verifies with nothing else at hand than the anchor's public key and the time: the
//! provider may be dead for days. It says nothing of numbers or names: an AOR is listed by the
//! overlay key under which its records are kept.
//!
//! Layout, in network byte order:
//!
//! ```text
//! version 1 | length of the rest 2 | delegation as in [`super::chain`] | issuer 4 | serial 8
//! | key 32 | place 16 | from 4 | until 4 | count 1 | overlay keys 16 each | extensions
//! | signature 64
//! ```
//!
//! For extensions see [`super::record`]; none is known yet.

pub mod text;

use super::chain::{Chain, DELEGATION_BYTES, Label, Link, NAME_BYTES, Validity, field};
use super::extension;
use super::key::{PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES};
use super::record::Key;
use crate::net::NodeId;
use core::fmt;

/// Bytes of a certificate with the delegation that it needs.
pub const CERTIFICATE_BYTES_MAX: usize = 400;
/// Overlay keys in one certificate: while a secret is exchanged, four AORs under both.
pub const CERTIFIED_KEYS_MAX: usize = 8;

pub(super) const VERSION: u8 = 1;
const HEAD_BYTES: usize = 3;
/// From the name of the issuer to the count.
const FIXED_BYTES: usize = NAME_BYTES + 8 + PUBLIC_KEY_BYTES + 16 + 4 + 4;
const KEY_BYTES: usize = 16;
/// No extension is of this kind.
const NO_KIND: u8 = 0;
pub(super) const LABEL: &Label = b"cosip certify 1\0";

const _: () = assert!(
    HEAD_BYTES
        + 1
        + DELEGATION_BYTES
        + FIXED_BYTES
        + 1
        + CERTIFIED_KEYS_MAX * KEY_BYTES
        + 2 * SIGNATURE_BYTES
        <= CERTIFICATE_BYTES_MAX
);

/// Why bytes are no certificate. Nothing about signatures: see [`Certificate::links`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// Shorter or longer than its own fields say, or than a certificate may be.
    Length,
    /// A version that this program does not know.
    Unknown,
    /// It would never be valid.
    Validity,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "certificate: length does not match its fields",
            Self::Unknown => "certificate: unknown version",
            Self::Validity => "certificate: it ends before it begins",
        })
    }
}

impl core::error::Error for CertificateError {}

/// A certificate, as bytes whose shape has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate(heapless::Vec<u8, CERTIFICATE_BYTES_MAX>);

impl Certificate {
    /// Checks the shape of `data`, not the signatures.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn parse(data: &[u8]) -> Result<Self, CertificateError> {
        let &[version, high, low, ref rest @ ..] = data else {
            return Err(CertificateError::Length);
        };
        if version != VERSION {
            return Err(CertificateError::Unknown);
        }
        if rest.len() != usize::from(u16::from_be_bytes([high, low])) {
            return Err(CertificateError::Length);
        }
        let chain = Chain::split(rest, LABEL).ok_or(CertificateError::Length)?;
        let rest = chain.signed().get(FIXED_BYTES..).ok_or(CertificateError::Length)?;
        let (count, rest) = rest.split_first().ok_or(CertificateError::Length)?;
        let keys = usize::from(*count);
        if keys > CERTIFIED_KEYS_MAX {
            return Err(CertificateError::Length);
        }
        let rest = rest.get(keys * KEY_BYTES..).ok_or(CertificateError::Length)?;
        extension::find(rest, NO_KIND).ok_or(CertificateError::Length)?;
        let bytes = heapless::Vec::from_slice(data).map_err(|_| CertificateError::Length)?;
        let certificate = Self(bytes);
        let validity = [Some(certificate.own_validity()), chain.delegated()];
        if validity.into_iter().flatten().any(|it| it.from_s > it.until_s) {
            return Err(CertificateError::Validity);
        }
        Ok(certificate)
    }

    /// What an authority has just put together.
    #[cfg(any(feature = "server", feature = "lab", test))]
    pub(super) fn of(bytes: heapless::Vec<u8, CERTIFICATE_BYTES_MAX>) -> Self {
        Self(bytes)
    }

    /// The bytes, with the delegation and all signatures.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The number under which it can be revoked.
    pub fn serial(&self) -> u64 {
        u64::from_be_bytes(self.field(NAME_BYTES))
    }

    /// The number under which the delegation can be revoked, where there is one.
    pub fn delegation_serial(&self) -> Option<u64> {
        self.chain()?.delegation_serial()
    }

    /// The adapter's key.
    pub fn key(&self) -> PublicKey {
        self.field(NAME_BYTES + 8)
    }

    /// The adapter's id in the overlay.
    pub fn place(&self) -> NodeId {
        NodeId(self.field(NAME_BYTES + 8 + PUBLIC_KEY_BYTES))
    }

    /// When the certificate is valid: as long as the delegation is, too.
    pub fn validity(&self) -> Validity {
        let delegated = self.chain().and_then(|chain| chain.delegated());
        let own = self.own_validity();
        delegated.map_or(own, |delegated| own.both(delegated))
    }

    /// The overlay keys of the AORs for which the adapter may publish and call.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let signed = self.signed();
        let count = usize::from(signed.get(FIXED_BYTES).copied().unwrap_or(0));
        let (keys, _) = signed.get(FIXED_BYTES + 1..).unwrap_or_default().as_chunks::<KEY_BYTES>();
        keys.iter().take(count).map(|key| Key(*key))
    }

    /// Whether it lists the overlay key of an AOR.
    pub fn covers(&self, key: &Key) -> bool {
        self.keys().any(|listed| listed == *key)
    }

    /// The signatures by which one of `anchors` vouches for it, the anchor's first: each has to
    /// be verified. Empty where none of them is named. No two anchors share a name: settings with
    /// such ones are refused.
    pub fn links(&self, anchors: &[PublicKey]) -> heapless::Vec<Link<'_>, 2> {
        self.chain().map(|chain| chain.links(anchors)).unwrap_or_default()
    }

    /// Whether one of `anchors` vouches for it in this network, at any time. Up to two public-key
    /// operations for each anchor that bears the name: for tools and tests; an adapter verifies
    /// [`Self::links`] in their turn.
    pub fn verify(&self, anchors: &[PublicKey], network: &[u8; 16]) -> bool {
        self.chain().is_some_and(|chain| chain.verify(anchors, network))
    }

    fn own_validity(&self) -> Validity {
        let at = NAME_BYTES + 8 + PUBLIC_KEY_BYTES + 16;
        Validity {
            from_s: u32::from_be_bytes(self.field(at)),
            until_s: u32::from_be_bytes(self.field(at + 4)),
        }
    }

    fn chain(&self) -> Option<Chain<'_>> {
        Chain::split(self.0.get(HEAD_BYTES..)?, LABEL)
    }

    fn signed(&self) -> &[u8] {
        self.chain().map(|chain| chain.signed()).unwrap_or_default()
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        field(self.signed(), at)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({:x} of {})", self.serial(), self.place())
    }
}

#[cfg(test)]
mod tests;
