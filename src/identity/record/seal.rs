//! What only those read who know the AOR: the contact, sealed under a key that follows from it.

use super::bytes::array;
use super::{CONTEXT_SEAL, Contact, NONCE_BYTES, SEAL_TAG_BYTES, SEALED_BYTES_MAX};
use crate::identity::key::PublicKey;
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key as SealKey, Nonce, Tag};

fn seal_key(aor_key: &[u8; 32], owner: &PublicKey, seq: u64) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new_derive_key(CONTEXT_SEAL);
    hasher.update(aor_key);
    hasher.update(owner);
    hasher.update(&seq.to_be_bytes());
    hasher
}

fn cipher(aor_key: &[u8; 32], owner: &PublicKey, seq: u64) -> ChaCha20Poly1305 {
    let key: [u8; 32] = *seal_key(aor_key, owner, seq).finalize().as_bytes();
    ChaCha20Poly1305::new(&SealKey::from(key))
}

/// The key is used once as long as numbers never go back. The nonce follows from the contents,
/// so that a number used twice after a lost file still never seals two texts under one nonce.
pub(super) fn seal(
    aor_key: &[u8; 32],
    owner: &PublicKey,
    seq: u64,
    contact: &Contact,
    out: &mut heapless::Vec<u8, SEALED_BYTES_MAX>,
) {
    let mut text = [0; SEALED_BYTES_MAX];
    let Some(len) = contact.encode(&mut text) else { return };
    let hash = seal_key(aor_key, owner, seq).update(&text[..len]).finalize();
    let nonce = array::<NONCE_BYTES>(hash.as_bytes(), 0);
    let tag = cipher(aor_key, owner, seq).encrypt_inout_detached(
        &Nonce::from(nonce),
        &[],
        (&mut text[..len]).into(),
    );
    let Ok(tag) = tag else { return };
    let put = [&nonce[..], &text[..len], tag.as_slice()]
        .into_iter()
        .try_for_each(|part| out.extend_from_slice(part));
    debug_assert!(put.is_ok(), "a contact is bounded by its user part");
}

/// Opens what [`seal`] sealed. `None` where it was sealed under another key, or is of a later
/// version.
pub(super) fn open(
    aor_key: &[u8; 32],
    owner: &PublicKey,
    seq: u64,
    sealed: &[u8],
) -> Option<Contact> {
    let (nonce, rest) = sealed.split_at_checked(NONCE_BYTES)?;
    let (text, tag) = rest.split_at_checked(rest.len().checked_sub(SEAL_TAG_BYTES)?)?;
    let mut text = heapless::Vec::<u8, SEALED_BYTES_MAX>::from_slice(text).ok()?;
    let nonce = Nonce::try_from(nonce).ok()?;
    let tag = Tag::try_from(tag).ok()?;
    cipher(aor_key, owner, seq)
        .decrypt_inout_detached(&nonce, &[], text.as_mut_slice().into(), &tag)
        .ok()?;
    Contact::decode(&text)
}
