//! The symmetric half of the channel: ChaCha20-Poly1305 (RFC 8439), the keys that a handshake
//! gives, and the ratchet that forgets them.
//!
//! Every key here is 32 bytes out of keyed blake3 and has one use. A data key belongs to one
//! direction and one epoch; its nonce is the packet counter, so no pair of both ever repeats.

use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};

/// Bytes of an authentication tag.
pub(super) const AEAD_TAG_BYTES: usize = 16;
/// A secret key for one use.
pub(super) type Key = [u8; 32];

/// Encrypts `buffer` in place and returns the tag over it and `associated`.
pub(super) fn seal(
    key: &Key,
    counter: u64,
    associated: &[u8],
    buffer: &mut [u8],
) -> [u8; AEAD_TAG_BYTES] {
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let sealed = cipher.encrypt_inout_detached(&nonce(counter), associated, buffer.into());
    // It fails only beyond 256 GB; no receiver takes the packet then.
    sealed.map(Into::into).unwrap_or_default()
}

/// Decrypts `buffer` in place. False where the tag is wrong; `buffer` is of no use then.
pub(super) fn open(
    key: &Key,
    counter: u64,
    associated: &[u8],
    buffer: &mut [u8],
    tag: &[u8; AEAD_TAG_BYTES],
) -> bool {
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let tag = Tag::from(*tag);
    cipher.decrypt_inout_detached(&nonce(counter), associated, buffer.into(), &tag).is_ok()
}

fn nonce(counter: u64) -> Nonce {
    let mut bytes = [0; 12];
    bytes[4..].copy_from_slice(&counter.to_be_bytes());
    Nonce::from(bytes)
}

/// What both ends know after the key agreement of a handshake.
pub(super) struct Secrets {
    /// Hash of what was said so far, under the network's key: what the ends sign.
    pub(super) transcript: Key,
    /// Encrypts the responder's proof.
    pub(super) reply: Key,
    /// Encrypts the opener's proof.
    pub(super) finish: Key,
    /// Start of the data keys from the opener.
    pub(super) from_opener: Key,
    /// Start of the data keys from the responder.
    pub(super) from_responder: Key,
}

impl Secrets {
    /// The keys that follow from the network's channel key, the public parts of Hello and Reply,
    /// and the shared secret of the two ephemeral keys. All three enter every key: it takes a
    /// member to derive them, and an ephemeral secret that both ends have forgotten since.
    pub(super) fn new(network: &Key, hello: &[u8], reply: &[u8], shared: &Key) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(network);
        hasher.update(b"cosip channel transcript v1");
        hasher.update(hello);
        hasher.update(reply);
        let transcript = *hasher.finalize().as_bytes();
        let mixed = blake3::keyed_hash(&transcript, shared);
        let derive = |label: &[u8]| *blake3::keyed_hash(mixed.as_bytes(), label).as_bytes();
        Self {
            transcript,
            reply: derive(b"reply"),
            finish: derive(b"finish"),
            from_opener: derive(b"data from opener"),
            from_responder: derive(b"data from responder"),
        }
    }
}

/// The data key of one direction. Stepping replaces it by the next and forgets it: who takes a
/// router learns nothing about what was said before the last step.
#[derive(Clone)]
pub(super) struct Ratchet {
    chain: Key,
    key: Key,
    epoch: u32,
}

impl Ratchet {
    /// The ratchet at epoch 0.
    pub(super) fn new(chain: Key) -> Self {
        Self { key: message_key(&chain), chain, epoch: 0 }
    }

    /// The key of the current epoch.
    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// The current epoch: the high half of packet counters.
    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Goes on to the next epoch.
    pub(super) fn step(&mut self) {
        self.chain = *blake3::keyed_hash(&self.chain, b"next epoch").as_bytes();
        self.key = message_key(&self.chain);
        self.epoch = self.epoch.wrapping_add(1);
    }
}

fn message_key(chain: &Key) -> Key {
    *blake3::keyed_hash(chain, b"data").as_bytes()
}
