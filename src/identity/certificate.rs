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
//! version 1 | delegations 1 (0 or 1) | length of the rest 2
//! delegation   anchor 4 | serial 8 | issuing key 32 | from 4 | until 4 | signature 64
//! certificate  issuer 4 | serial 8 | key 32 | place 16 | from 4 | until 4
//!              | count 1 | overlay keys 16 each | extensions | signature 64
//! ```
//!
//! Anchor and issuer are the first bytes of the public key that signed. Times are seconds of Unix
//! time. An extension is kind 1, length 1, data; unknown ones are skipped. What is signed is a
//! label, the network, and the bytes from the signer's name to the signature, so no signature fits
//! another purpose or another network.

use super::key::{self, PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, Signature};
use super::record::Key;
use crate::limits::TRUST_ANCHORS_MAX;
use crate::net::NodeId;
use core::fmt;

/// Bytes of a certificate with the delegation that it needs.
pub const CERTIFICATE_BYTES_MAX: usize = 400;
/// Overlay keys in one certificate: while a secret is exchanged, four AORs under both.
pub const CERTIFIED_KEYS_MAX: usize = 8;

pub(super) const VERSION: u8 = 1;
pub(super) const HEAD_BYTES: usize = 4;
const NAME_BYTES: usize = 4;
/// From the name of the anchor to the signature.
pub(super) const DELEGATION_BYTES: usize = NAME_BYTES + 8 + PUBLIC_KEY_BYTES + 4 + 4;
/// From the name of the issuer to the count.
const FIXED_BYTES: usize = NAME_BYTES + 8 + PUBLIC_KEY_BYTES + 16 + 4 + 4;
const KEY_BYTES: usize = 16;
pub(super) const LABEL_BYTES: usize = 16;
pub(super) const LABEL_DELEGATION: &[u8; LABEL_BYTES] = b"cosip delegate 1";
pub(super) const LABEL_CERTIFICATE: &[u8; LABEL_BYTES] = b"cosip certify 1\0";

const _: () = assert!(
    HEAD_BYTES
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

/// From when until when something is valid, in seconds of Unix time, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub from_s: u32,
    /// The last one.
    pub until_s: u32,
}

impl Validity {
    /// Whether `unix_s` lies within.
    pub fn covers(self, unix_s: u64) -> bool {
        (u64::from(self.from_s)..=u64::from(self.until_s)).contains(&unix_s)
    }
}

/// The public keys of those whose word counts.
pub type TrustAnchors = heapless::Vec<PublicKey, TRUST_ANCHORS_MAX>;

/// One signature of a certificate: who made it, and over what.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The anchor, or the issuing key that the link before names.
    pub signer: PublicKey,
    /// What is signed with the signature behind it: stands for this link where it is remembered.
    pub bytes: &'a [u8],
    label: &'static [u8; LABEL_BYTES],
}

impl Link<'_> {
    /// Whether the signature holds for this network. One public-key operation.
    pub fn verify(&self, network: &[u8; 16]) -> bool {
        let Some((signed, signature)) = self.bytes.split_last_chunk::<SIGNATURE_BYTES>() else {
            return false;
        };
        let signature: &Signature = signature;
        with_message(self.label, network, signed, |message| {
            key::verify(&self.signer, message, signature)
        })
    }
}

/// A certificate, as bytes whose shape has been checked.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate(heapless::Vec<u8, CERTIFICATE_BYTES_MAX>);

impl Certificate {
    /// Checks the shape of `data`, not the signatures.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn parse(data: &[u8]) -> Result<Self, CertificateError> {
        let &[version, delegations, high, low, ref rest @ ..] = data else {
            return Err(CertificateError::Length);
        };
        if version != VERSION || delegations > 1 {
            return Err(CertificateError::Unknown);
        }
        if rest.len() != usize::from(u16::from_be_bytes([high, low])) {
            return Err(CertificateError::Length);
        }
        let bytes = heapless::Vec::from_slice(data).map_err(|_| CertificateError::Length)?;
        let certificate = Self(bytes);
        let own = certificate.own().split_last_chunk::<SIGNATURE_BYTES>();
        let (signed, _) = own.ok_or(CertificateError::Length)?;
        let rest = signed.get(FIXED_BYTES..).ok_or(CertificateError::Length)?;
        let (count, rest) = rest.split_first().ok_or(CertificateError::Length)?;
        let keys = usize::from(*count);
        if keys > CERTIFIED_KEYS_MAX {
            return Err(CertificateError::Length);
        }
        let mut rest = rest.get(keys * KEY_BYTES..).ok_or(CertificateError::Length)?;
        while let [_kind, len, tail @ ..] = rest {
            rest = tail.get(usize::from(*len)..).ok_or(CertificateError::Length)?;
        }
        let validity = [Some(certificate.own_validity()), certificate.delegated_validity()];
        if validity.into_iter().flatten().any(|it| it.from_s > it.until_s) {
            return Err(CertificateError::Validity);
        }
        if rest.is_empty() { Ok(certificate) } else { Err(CertificateError::Length) }
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
        u64::from_be_bytes(self.own_field(NAME_BYTES))
    }

    /// The number under which the delegation can be revoked, where there is one.
    pub fn delegation_serial(&self) -> Option<u64> {
        let delegation = self.delegation()?;
        Some(u64::from_be_bytes(field(delegation, NAME_BYTES)))
    }

    /// The adapter's key.
    pub fn key(&self) -> PublicKey {
        self.own_field(NAME_BYTES + 8)
    }

    /// The adapter's id in the overlay.
    pub fn place(&self) -> NodeId {
        NodeId(self.own_field(NAME_BYTES + 8 + PUBLIC_KEY_BYTES))
    }

    /// When the certificate is valid: as long as the delegation is, too.
    pub fn validity(&self) -> Validity {
        let own = self.own_validity();
        self.delegated_validity().map_or(own, |delegated| Validity {
            from_s: own.from_s.max(delegated.from_s),
            until_s: own.until_s.min(delegated.until_s),
        })
    }

    /// The overlay keys of the AORs for which the adapter may publish and call.
    pub fn keys(&self) -> impl Iterator<Item = Key> + '_ {
        let own = self.own();
        let count = usize::from(own.get(FIXED_BYTES).copied().unwrap_or(0));
        let keys = own.get(FIXED_BYTES + 1..).unwrap_or_default();
        let (keys, _) = keys.as_chunks::<KEY_BYTES>();
        keys.iter().take(count).map(|key| Key(*key))
    }

    /// Whether it lists the overlay key of an AOR.
    pub fn covers(&self, key: &Key) -> bool {
        self.keys().any(|listed| listed == *key)
    }

    /// The signatures by which one of `anchors` vouches for it, the anchor's first: each has to
    /// be verified. Empty where none of them is named. Several anchors may share a name, so there
    /// may be another chain from each; `nth_anchor` counts those that do.
    pub fn links(&self, anchors: &[PublicKey], nth_anchor: usize) -> heapless::Vec<Link<'_>, 2> {
        let mut links = heapless::Vec::new();
        let first = self.delegation().unwrap_or_else(|| self.own());
        let named = anchors.iter().filter(|anchor| first.starts_with(&anchor[..NAME_BYTES]));
        let Some(mut signer) = named.copied().nth(nth_anchor) else { return links };
        if let Some(bytes) = self.delegation() {
            let link = Link { signer, bytes, label: LABEL_DELEGATION };
            links.extend(Some(link));
            signer = field(bytes, NAME_BYTES + 8);
        }
        if self.own().starts_with(&signer[..NAME_BYTES]) {
            links.extend(Some(Link { signer, bytes: self.own(), label: LABEL_CERTIFICATE }));
        } else {
            links.clear();
        }
        links
    }

    /// Whether one of `anchors` vouches for it in this network, at any time. Up to two public-key
    /// operations for each anchor that bears the name: for tools and tests; an adapter verifies
    /// [`Self::links`] in their turn.
    pub fn verify(&self, anchors: &[PublicKey], network: &[u8; 16]) -> bool {
        (0..anchors.len()).any(|nth| {
            let links = self.links(anchors, nth);
            !links.is_empty() && links.iter().all(|link| link.verify(network))
        })
    }

    fn own_validity(&self) -> Validity {
        let at = NAME_BYTES + 8 + PUBLIC_KEY_BYTES + 16;
        Validity {
            from_s: u32::from_be_bytes(self.own_field(at)),
            until_s: u32::from_be_bytes(self.own_field(at + 4)),
        }
    }

    fn delegated_validity(&self) -> Option<Validity> {
        let delegation = self.delegation()?;
        let at = NAME_BYTES + 8 + PUBLIC_KEY_BYTES;
        Some(Validity {
            from_s: u32::from_be_bytes(field(delegation, at)),
            until_s: u32::from_be_bytes(field(delegation, at + 4)),
        })
    }

    /// The delegation with its signature.
    fn delegation(&self) -> Option<&[u8]> {
        let delegated = self.0.get(1).is_some_and(|count| *count == 1);
        let bytes = self.0.get(HEAD_BYTES..)?.get(..DELEGATION_BYTES + SIGNATURE_BYTES);
        bytes.filter(|_| delegated)
    }

    /// What follows the delegation, with its signature.
    fn own(&self) -> &[u8] {
        let delegated = self.0.get(1).is_some_and(|count| *count == 1);
        let before = if delegated { DELEGATION_BYTES + SIGNATURE_BYTES } else { 0 };
        self.0.get(HEAD_BYTES + before..).unwrap_or_default()
    }

    fn own_field<const N: usize>(&self, at: usize) -> [u8; N] {
        field(self.own(), at)
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({:x} of {})", self.serial(), self.place())
    }
}

/// `N` bytes at a position that the shape promises; zeros beyond it.
fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Hands what a signature covers to `then`.
pub(super) fn with_message<R>(
    label: &[u8; LABEL_BYTES],
    network: &[u8; 16],
    signed: &[u8],
    then: impl FnOnce(&[u8]) -> R,
) -> R {
    let mut message = heapless::Vec::<u8, { 32 + CERTIFICATE_BYTES_MAX }>::new();
    let put = [label.as_slice(), network, signed]
        .into_iter()
        .try_for_each(|part| message.extend_from_slice(part));
    debug_assert!(put.is_ok(), "a certificate is never longer than its limit");
    then(&message)
}

#[cfg(test)]
mod tests;
