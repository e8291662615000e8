//! A hash that stands in for Ed25519 where tens of thousands of adapters are simulated.
//!
//! Whoever knows the public key can sign: this costs what a signature costs to send and to store,
//! and proves nothing. A public key says itself that it is one of these, so real ones and
//! stand-ins live side by side and nothing has to be switched. Only the lab's programs know them
//! (feature `lab`); to a router's program such a key is a point that nobody has the secret of.

use super::key::{PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, Signature};

/// How such a public key begins. One real key in 2^128 does so, too.
const MARK: &[u8; 16] = b"cosip stand-in 1";

/// Whether `public` is one of these keys.
pub(super) fn is(public: &PublicKey) -> bool {
    public.starts_with(MARK)
}

/// The one that stands in for a real key.
pub(super) fn public(real: &PublicKey) -> PublicKey {
    let mut public = [0; PUBLIC_KEY_BYTES];
    let (mark, rest) = public.split_at_mut(MARK.len());
    mark.copy_from_slice(MARK);
    rest.copy_from_slice(&real[..PUBLIC_KEY_BYTES - MARK.len()]);
    public
}

/// What stands for a signature over `message`.
pub(super) fn sign(public: &PublicKey, message: &[u8]) -> Signature {
    let hash = blake3::keyed_hash(public, message);
    let mut signature = [0; SIGNATURE_BYTES];
    signature[..blake3::OUT_LEN].copy_from_slice(hash.as_bytes());
    signature
}
