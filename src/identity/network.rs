//! The secrets that the adapters of one network share, and the keys derived from them.
//!
//! A member tags what it sends under the first secret of the file and hears all of them, so a
//! secret is exchanged without a moment of silence. Each use has a key of its own (blake3's
//! `derive_key` under a context that names the use), bound to the network's name: two networks
//! that were given one secret by mistake still do not hear each other. Beside the channel's own
//! encryption the secret only keeps strangers out; it proves membership, never who it is.

use super::key::parse_hex;
use crate::limits::{AOR_STRETCH_ROUNDS, NETWORK_SECRETS_MAX};
use core::fmt;

/// Secrets of one network: the first sends, all are heard.
pub type NetworkSecrets = heapless::Vec<[u8; 32], NETWORK_SECRETS_MAX>;

/// Bytes of a tag.
pub const TAG_BYTES: usize = 16;

const CONTEXT_ID: &str = "cosip 2026 network key id v1";
const CONTEXT_TAG: &str = "cosip 2026 network datagram tag v1";
const CONTEXT_AOR: &str = "cosip 2026 network AOR blinding v1";
const CONTEXT_CHANNEL: &str = "cosip 2026 network channel v1";
const CONTEXT_NAME: &str = "cosip 2026 network name v1";

/// Why a secret file cannot be used; lines count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SecretError {
    /// The line does not hold 64 hexadecimal digits.
    Syntax {
        /// The line.
        line: usize,
    },
    /// The secret is all zeros: a file that was never filled.
    Zero {
        /// The line.
        line: usize,
    },
    /// More than [`NETWORK_SECRETS_MAX`] secrets.
    TooMany {
        /// The first line too many.
        line: usize,
    },
    /// No secret at all.
    Empty,
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { line } => {
                write!(f, "secret file, line {line}: not 64 hexadecimal digits")
            }
            Self::Zero { line } => write!(f, "secret file, line {line}: the secret is all zeros"),
            Self::TooMany { line } => {
                write!(f, "secret file, line {line}: more than {NETWORK_SECRETS_MAX} secrets")
            }
            Self::Empty => f.write_str("secret file: it holds no secret"),
        }
    }
}

impl core::error::Error for SecretError {}

#[derive(Clone, PartialEq, Eq)]
struct Derived {
    secret: [u8; 32],
    id: u8,
    tag: [u8; 32],
    aor: [u8; 32],
    channel: [u8; 32],
}

impl Derived {
    fn new(secret: &[u8; 32], name: &str) -> Self {
        let derive = |context| {
            let mut hasher = blake3::Hasher::new_derive_key(context);
            hasher.update(secret);
            hasher.update(name.as_bytes());
            *hasher.finalize().as_bytes()
        };
        let [id, ..] = derive(CONTEXT_ID);
        Self {
            secret: *secret,
            id,
            tag: derive(CONTEXT_TAG),
            aor: derive(CONTEXT_AOR),
            channel: derive(CONTEXT_CHANNEL),
        }
    }

    fn tag(&self, data: &[u8]) -> blake3::Hash {
        blake3::keyed_hash(&self.tag, data)
    }
}

/// The keys derived from a network's secrets. Holds at least one.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKeys {
    network: [u8; 16],
    sending: Derived,
    heard: heapless::Vec<Derived, { NETWORK_SECRETS_MAX - 1 }>,
    aor_rounds: u32,
}

impl NetworkKeys {
    /// The keys of one secret in the network called `name`.
    pub fn new(secret: &[u8; 32], name: &str) -> Self {
        let mut network = [0; 16];
        network.copy_from_slice(&blake3::derive_key(CONTEXT_NAME, name.as_bytes())[..16]);
        let (sending, heard) = (Derived::new(secret, name), heapless::Vec::new());
        Self { network, sending, heard, aor_rounds: AOR_STRETCH_ROUNDS }
    }

    /// The same keys, under which blinding is quick: for so many simulated adapters that it would
    /// be most of what they do.
    #[cfg(feature = "lab")]
    #[must_use]
    pub fn standing_in(self) -> Self {
        Self { aor_rounds: 1, ..self }
    }

    /// What stands for the network's name in everything signed: the same under every secret, so
    /// that a signature outlives the exchange of one.
    pub fn network(&self) -> &[u8; 16] {
        &self.network
    }

    /// Reads a secret file: a 32-byte secret of 64 hexadecimal digits a line. Empty lines and
    /// lines that start with `#` are skipped. The first secret sends, all are heard.
    ///
    /// # Errors
    /// [`SecretError`], with the line.
    pub fn parse(text: &str, name: &str) -> Result<Self, SecretError> {
        let mut secrets = NetworkSecrets::new();
        for (line, content) in (1..).zip(text.lines().map(str::trim)) {
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let secret = parse_hex(content).ok_or(SecretError::Syntax { line })?;
            if secret == [0; 32] {
                return Err(SecretError::Zero { line });
            }
            secrets.push(secret).map_err(|_| SecretError::TooMany { line })?;
        }
        Self::of(&secrets, name).ok_or(SecretError::Empty)
    }

    /// The keys of these secrets, of which the first sends; none of none.
    pub fn of(secrets: &NetworkSecrets, name: &str) -> Option<Self> {
        let (first, others) = secrets.split_first()?;
        let heard = others.iter().map(|secret| Derived::new(secret, name)).collect();
        Some(Self { heard, ..Self::new(first, name) })
    }

    /// The secrets themselves: the one that sends, and the others.
    pub fn secrets(&self) -> NetworkSecrets {
        self.all().map(|keys| keys.secret).collect()
    }

    /// Their key ids, in the same order: what people are shown of them.
    pub fn key_ids(&self) -> impl Iterator<Item = u8> {
        self.all().map(|keys| keys.id)
    }

    /// The key id byte of what is sent.
    pub fn key_id(&self) -> u8 {
        self.sending.id
    }

    /// The tag of a datagram to send: keyed blake3 over `data`, its first 16 bytes.
    pub fn tag(&self, data: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&self.sending.tag(data).as_bytes()[..TAG_BYTES]);
        tag
    }

    /// Whether `tag` is that of `data` under a secret with `key_id`. Compares in constant time;
    /// an unknown id costs no hashing.
    pub fn check(&self, key_id: u8, data: &[u8], tag: &[u8]) -> bool {
        self.matching(key_id, data, tag).is_some()
    }

    /// The place in the file of the secret under which `tag` is that of `data`: 0 is the one
    /// that sends. Two secrets may share an id, so the tag decides.
    pub fn matching(&self, key_id: u8, data: &[u8], tag: &[u8]) -> Option<usize> {
        let tag: [u8; TAG_BYTES] = tag.try_into().ok()?;
        self.all().position(|keys| keys.id == key_id && matches(&keys.tag(data), &tag))
    }

    /// The channel's key under the secret at `place`, as [`Self::matching`] gave it.
    pub fn channel_key(&self, place: usize) -> Option<&[u8; 32]> {
        self.all().nth(place).map(|keys| &keys.channel)
    }

    /// The blinded key of `aor` under the secret that sends; see [`Self::aor_keys`].
    pub fn aor_key(&self, aor: &str) -> [u8; 32] {
        self.stretch(&self.sending, aor)
    }

    /// The blinded keys of `aor` under all secrets, that of sending first. Each costs
    /// [`AOR_STRETCH_ROUNDS`] hashes, to slow guessing of numbers: keep the result. `aor` is
    /// hashed as it is, so spell it one way.
    pub fn aor_keys(&self, aor: &str) -> impl Iterator<Item = [u8; 32]> {
        self.all().map(move |keys| self.stretch(keys, aor))
    }

    fn stretch(&self, keys: &Derived, aor: &str) -> [u8; 32] {
        let hash = |at: &[u8]| blake3::keyed_hash(&keys.aor, at);
        let first = hash(aor.as_bytes());
        *(0..self.aor_rounds).fold(first, |at, _| hash(at.as_bytes())).as_bytes()
    }

    fn all(&self) -> impl Iterator<Item = &Derived> {
        core::iter::once(&self.sending).chain(&self.heard)
    }
}

impl fmt::Debug for NetworkKeys {
    /// The key ids alone: no key reaches a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.key_ids()).finish()
    }
}

/// Constant time over all 16 bytes.
fn matches(hash: &blake3::Hash, tag: &[u8; TAG_BYTES]) -> bool {
    let difference = hash.as_bytes().iter().zip(tag).fold(0, |acc, (a, b)| acc | (a ^ b));
    core::hint::black_box(difference) == 0
}
