//! The anchor's secret key in a file: encrypted under a passphrase.
//!
//! Argon2id (RFC 9106) makes a key of passphrase and salt, slowly and in much memory, so that
//! guessing costs that each time; ChaCha20-Poly1305 encrypts the 32 bytes under it, with all that
//! stands before them covered. The salt is new with each file, so no key is used twice and the
//! nonce may be constant.
//!
//! ```text
//! cosip anchor 1
//! public 64 hex digits
//! argon2id MEMORY_KB PASSES LANES
//! salt 32 hex digits
//! sealed 96 hex digits
//! ```

use super::error::{AnchorFault, PassphraseFault, ServerError};
use super::text::{array_from_hex, hex};
use crate::identity::{Identity, PublicKey};
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{AeadInOut, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Nonce, Tag};
use std::path::Path;
use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of the shortest passphrase that is taken.
pub const PASSPHRASE_BYTES_MIN: usize = 12;

const TITLE: &str = "cosip anchor 1";
/// RFC 9106 s4, second recommendation: 64 MB, three passes, four lanes.
const COST: Cost = Cost { memory_kb: 64 * 1024, passes: 3, lanes: 4 };
/// More than this no file may ask for: it is an accident, or somebody's trap.
const MEMORY_KB_MAX: u32 = 2 * 1024 * 1024;
const PASSES_MAX: u32 = 64;
const SALT_BYTES: usize = 16;
const SEED_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// What one guess costs.
#[derive(Clone, Copy)]
struct Cost {
    memory_kb: u32,
    passes: u32,
    lanes: u32,
}

/// What the file `path` of an anchor shall hold; `salt` is random.
///
/// # Errors
/// Where the passphrase is too short.
pub fn seal(
    path: &Path,
    anchor: &Identity,
    passphrase: &str,
    salt: [u8; SALT_BYTES],
) -> Result<String, ServerError> {
    if passphrase.len() < PASSPHRASE_BYTES_MIN {
        return Err(ServerError::Passphrase(PassphraseFault::Short));
    }
    let head = head(&anchor.public(), COST, &salt);
    let lacking = || ServerError::Anchor(path.to_owned(), AnchorFault::Memory);
    let key = stretch(passphrase, &salt, COST).ok_or_else(lacking)?;
    let mut text = anchor.to_text();
    let seed = array_from_hex::<SEED_BYTES>(text.trim());
    text.zeroize();
    let mut buffer = Zeroizing::new(seed.unwrap_or_default());
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let sealed = cipher.encrypt_inout_detached(
        &Nonce::default(),
        head.as_bytes(),
        buffer.as_mut_slice().into(),
    );
    let tag: [u8; TAG_BYTES] = sealed.map(Into::into).unwrap_or_default();
    Ok(format!("{head}sealed {}{}\n", hex(&*buffer), hex(&tag)))
}

/// The anchor in the file `path`, which holds `text`.
///
/// # Errors
/// What is wrong with the text, or with the passphrase.
pub fn open(path: &Path, text: &str, passphrase: &str) -> Result<Identity, ServerError> {
    let fault = |fault| ServerError::Anchor(path.to_owned(), fault);
    let parts = Parts::read(text).ok_or_else(|| fault(AnchorFault::Shape))?;
    let key = stretch(passphrase, &parts.salt, parts.cost);
    let key = key.ok_or_else(|| fault(AnchorFault::Memory))?;
    let mut buffer = Zeroizing::new(parts.sealed);
    let cipher = ChaCha20Poly1305::new(&(*key).into());
    let head = head(&parts.public, parts.cost, &parts.salt);
    let opened = cipher.decrypt_inout_detached(
        &Nonce::default(),
        head.as_bytes(),
        buffer.as_mut_slice().into(),
        &Tag::from(parts.tag),
    );
    opened.map_err(|_| fault(AnchorFault::Sealed))?;
    let anchor = Identity::from_seed(*buffer).map_err(|_| fault(AnchorFault::Shape))?;
    if anchor.public() == parts.public { Ok(anchor) } else { Err(fault(AnchorFault::Shape)) }
}

struct Parts {
    public: PublicKey,
    cost: Cost,
    salt: [u8; SALT_BYTES],
    sealed: [u8; SEED_BYTES],
    tag: [u8; TAG_BYTES],
}

impl Parts {
    fn read(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        if lines.next()? != TITLE {
            return None;
        }
        let mut field = |name: &str| lines.next()?.strip_prefix(name)?.strip_prefix(' ');
        let public = array_from_hex(field("public")?)?;
        let mut numbers = field("argon2id")?.split(' ').map(str::parse);
        let mut number = || numbers.next()?.ok();
        let cost = Cost { memory_kb: number()?, passes: number()?, lanes: number()? };
        let salt = array_from_hex(field("salt")?)?;
        let (sealed, tag) = field("sealed")?.split_at_checked(2 * SEED_BYTES)?;
        let bounded = cost.memory_kb <= MEMORY_KB_MAX && cost.passes <= PASSES_MAX;
        let (sealed, tag) = (array_from_hex(sealed)?, array_from_hex(tag)?);
        bounded.then_some(Self { public, cost, salt, sealed, tag })
    }
}

fn head(public: &PublicKey, cost: Cost, salt: &[u8]) -> String {
    let Cost { memory_kb, passes, lanes } = cost;
    let (public, salt) = (hex(public), hex(salt));
    format!("{TITLE}\npublic {public}\nargon2id {memory_kb} {passes} {lanes}\nsalt {salt}\n")
}

/// None where the cost is one that cannot be, or needs more memory than there is.
fn stretch(passphrase: &str, salt: &[u8], cost: Cost) -> Option<Zeroizing<[u8; 32]>> {
    let params = Params::new(cost.memory_kb, cost.passes, cost.lanes, Some(32)).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut key = Zeroizing::new([0; 32]);
    argon2.hash_password_into(passphrase.as_bytes(), salt, key.as_mut_slice()).ok()?;
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSPHRASE: &str = "correct horse battery";

    fn anchor() -> Identity {
        Identity::from_seed([1; 32]).unwrap()
    }

    fn fault(text: &str, passphrase: &str) -> AnchorFault {
        match open(Path::new("anchor.key"), text, passphrase) {
            Err(ServerError::Anchor(_, fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_anchor_comes_back_by_its_passphrase_alone() {
        let text = seal(Path::new("anchor.key"), &anchor(), PASSPHRASE, [2; 16]).unwrap();
        let opened = open(Path::new("anchor.key"), &text, PASSPHRASE).unwrap();
        assert_eq!(opened.to_text(), anchor().to_text());
        assert!(!text.contains(anchor().to_text().trim()), "the secret is not legible");
        assert_eq!(fault(&text, "correct horse batterx"), AnchorFault::Sealed);
        let short = seal(Path::new("anchor.key"), &anchor(), "eleven byte", [2; 16]);
        assert!(matches!(short, Err(ServerError::Passphrase(PassphraseFault::Short))));
    }

    #[test]
    fn every_line_of_the_file_is_covered_and_none_may_be_missing() {
        let text = seal(Path::new("anchor.key"), &anchor(), PASSPHRASE, [2; 16]).unwrap();
        let other = Identity::from_seed([3; 32]).unwrap();
        let swapped = text.replace(&hex(&anchor().public()), &hex(&other.public()));
        assert_eq!(fault(&swapped, PASSPHRASE), AnchorFault::Sealed);
        let saltier = text.replace("salt 02", "salt 03");
        assert_eq!(fault(&saltier, PASSPHRASE), AnchorFault::Sealed);
        for line in text.lines() {
            assert_eq!(fault(&text.replace(line, ""), PASSPHRASE), AnchorFault::Shape, "{line}");
        }
        let greedy = text.replace("argon2id 65536", "argon2id 65536000");
        assert_eq!(fault(&greedy, PASSPHRASE), AnchorFault::Shape);
    }
}
