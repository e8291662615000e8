//! The adapter's Ed25519 key pair (RFC 8032) and the place in the overlay that follows from it.
//!
//! An uncertified adapter's id is the start of the blake3 hash of its public key: whoever proves
//! the key proves the id. Signing and verifying cost milliseconds on a router, so callers queue
//! them; nothing here is called for a datagram that has not passed the network's tag.

use super::certificate::Certificate;
use super::record::Key;
#[cfg(feature = "lab")]
use super::stand_in;
use crate::limits::CERTIFICATES_MAX;
use crate::net::NodeId;
use core::fmt;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

/// Bytes of a public key.
pub const PUBLIC_KEY_BYTES: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;
/// An Ed25519 public key.
pub type PublicKey = [u8; PUBLIC_KEY_BYTES];
/// An Ed25519 signature.
pub type Signature = [u8; SIGNATURE_BYTES];

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// The file does not hold 64 hexadecimal digits and nothing else.
    Syntax,
    /// The seed is all zeros: a file that was never filled.
    Zero,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "key file: not 64 hexadecimal digits",
            Self::Zero => "key file: the key is all zeros",
        })
    }
}

impl core::error::Error for KeyError {}

/// A key pair, the id that it proves, and what others vouch for.
#[derive(Clone)]
pub struct Identity {
    key: SigningKey,
    public: PublicKey,
    id: NodeId,
    certificates: Vec<Certificate>,
}

impl Identity {
    /// The identity of a 32-byte secret seed.
    ///
    /// # Errors
    /// [`KeyError::Zero`] for a seed of zeros.
    pub fn from_seed(seed: [u8; 32]) -> Result<Self, KeyError> {
        if seed == [0; 32] {
            return Err(KeyError::Zero);
        }
        let key = SigningKey::from_bytes(&seed);
        let public = key.verifying_key().to_bytes();
        Ok(Self { key, public, id: node_id(&public), certificates: Vec::new() })
    }

    /// This key pair with the certificates that it has now: its id is where they place it. Those of
    /// another key, and those that place it elsewhere than the first one, are left out.
    pub fn certified(mut self, certificates: &[Certificate]) -> Self {
        let own = certificates.iter().filter(|certificate| certificate.key() == self.public);
        let place = own.clone().next().map(Certificate::place);
        let here = own.filter(|certificate| Some(certificate.place()) == place);
        self.certificates = here.take(CERTIFICATES_MAX).cloned().collect();
        self.id = place.unwrap_or_else(|| node_id(&self.public));
        self
    }

    /// Whether anybody vouches for it.
    pub fn is_certified(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// What others vouch for.
    pub fn certificates(&self) -> &[Certificate] {
        &self.certificates
    }

    /// The certificate that covers an AOR, the one that lasts longest.
    pub fn certificate_for(&self, key: &Key) -> Option<&Certificate> {
        let covering = self.certificates.iter().filter(|certificate| certificate.covers(key));
        covering.max_by_key(|certificate| certificate.validity().until_s)
    }

    /// Reads the key file: the seed as 64 hexadecimal digits, white space around it allowed.
    ///
    /// # Errors
    /// [`KeyError`] where the file holds something else.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        Self::from_seed(parse_hex(text.trim()).ok_or(KeyError::Syntax)?)
    }

    /// What the key file of this identity holds: secret, for the owner's eyes only.
    pub fn to_text(&self) -> String {
        let mut text: String = self.key.as_bytes().iter().map(|b| format!("{b:02x}")).collect();
        text.push('\n');
        text
    }

    /// This key pair, claiming another's id, and its public key too where `with_key`.
    #[cfg(test)]
    pub(crate) fn claiming(&self, other: &Self, with_key: bool) -> Self {
        let public = if with_key { other.public } else { self.public };
        Self { public, id: other.id, ..self.clone() }
    }

    /// This key pair, showing what may be another's certificate, and claiming its place.
    #[cfg(test)]
    pub(crate) fn showing(self, certificate: &Certificate) -> Self {
        Self { id: certificate.place(), certificates: vec![certificate.clone()], ..self }
    }

    /// The id that the public key gives.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The public key.
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// A secret for one use, named by `context`: the same after every start.
    pub fn derive(&self, context: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        hasher.update(self.key.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// The same, signing by a keyed hash that stands in for signatures.
    #[cfg(feature = "lab")]
    pub fn standing_in(self) -> Self {
        let public = stand_in::public(&self.public);
        Self { public, id: node_id(&public), ..self }
    }

    /// Signs `message`. Deterministic, as in RFC 8032.
    pub fn sign(&self, message: &[u8]) -> Signature {
        #[cfg(feature = "lab")]
        if stand_in::is(&self.public) {
            return stand_in::sign(&self.public, message);
        }
        self.key.sign(message).to_bytes()
    }
}

impl fmt::Debug for Identity {
    /// The id alone: the seed never reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", self.id)
    }
}

/// Whether `signature` over `message` was made with the secret half of `public`. A key of small
/// order or in a non-canonical encoding proves nothing.
pub fn verify(public: &PublicKey, message: &[u8], signature: &Signature) -> bool {
    #[cfg(feature = "lab")]
    if stand_in::is(public) {
        return stand_in::sign(public, message) == *signature;
    }
    let Ok(key) = VerifyingKey::from_bytes(public) else { return false };
    is_canonical(public) && key.verify_strict(message, &signature.into()).is_ok()
}

/// Whether somebody may have this key: most that are mistyped are no point of the curve.
#[cfg(feature = "server")]
pub fn is_usable(public: &PublicKey) -> bool {
    let key = VerifyingKey::from_bytes(public);
    is_canonical(public) && key.is_ok_and(|key| !key.is_weak())
}

/// Whether the coordinate of an encoded point is below 2^255 - 19 (RFC 8032 s5.1.3, step 1): the
/// few that are not would give one key two encodings, and so two ids.
pub(super) fn is_canonical(public: &PublicKey) -> bool {
    let [lowest, middle @ .., highest] = public;
    *lowest < 0xed || highest & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

/// The id of an uncertified adapter: the first 16 bytes of the blake3 hash of its public key.
pub fn node_id(public: &PublicKey) -> NodeId {
    let mut id = [0; 16];
    id.copy_from_slice(&blake3::hash(public).as_bytes()[..16]);
    NodeId(id)
}

/// Reads 32 bytes from exactly 64 hexadecimal digits of either case.
pub(super) fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = hex_digit(high)? << 4 | hex_digit(low)?;
    }
    Some(out)
}

fn hex_digit(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
