//! How an adapter gets a certificate for its phones' AORs: through the provider's SIP server, which
//! has authenticated each phone.
//!
//! The adapter asks a CoSIP server over the channel. For each AOR that server has the SIP server
//! pass on an OPTIONS with a header ([`HEADER`]): a number that is good for [`CHALLENGE_LIFE`] and
//! once, and the hash of the key that asks. It reaches the adapter at which the phone is
//! registered, which keeps it from the phone. Only where it asks for this AOR with this very key
//! does it sign ([`sign`]) and send that over the channel, past the SIP server: an OPTIONS that
//! is forked gets one answer, and several adapters may have to be heard.
//!
//! A CoSIP server is found as callees are: it has a record under [`SERVER_AOR`], which its
//! certificate covers. Whoever runs or reads the SIP path can obtain any AOR's certificate.

use super::chain::{LABEL_BYTES, Label, with_message};
use super::key::{Identity, PublicKey, Signature};
use crate::time::Duration;

/// The AOR of CoSIP servers in the overlay. No provider has it.
pub const SERVER_AOR: &str = "server@cosip.invalid";
/// The header of an OPTIONS that is a challenge.
pub const HEADER: &str = "CoSIP-Challenge";
/// How long a challenge may be answered.
pub const CHALLENGE_LIFE: Duration = Duration::from_secs(10);
/// What a challenge and its answer have in common.
pub const NONCE_BYTES: usize = 16;

const LABEL: &Label = b"cosip enrolment1";
const CONTEXT_KEY: &str = "cosip 2026 enrolling key v1";
const _: () = assert!(LABEL.len() == LABEL_BYTES);

/// Names one challenge.
pub type Nonce = [u8; NONCE_BYTES];

/// A challenge, as it stands in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Its name, known to nobody who does not see the request.
    pub nonce: Nonce,
    /// Whose key asks: see [`key_hash`].
    pub key_hash: [u8; 16],
}

impl Challenge {
    /// The header's value: 32 hexadecimal digits, `;key=`, and 32 again.
    pub fn to_text(&self) -> String {
        let hex = |bytes: &[u8; 16]| format!("{:032x}", u128::from_be_bytes(*bytes));
        format!("{};key={}", hex(&self.nonce), hex(&self.key_hash))
    }

    /// Reads the header's value. None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (nonce, key_hash) = text.trim().split_once(";key=")?;
        let read = |digits: &str| {
            let hex = digits.len() == 32 && digits.bytes().all(|it| it.is_ascii_hexdigit());
            hex.then(|| u128::from_str_radix(digits, 16).ok().map(u128::to_be_bytes)).flatten()
        };
        Some(Self { nonce: read(nonce)?, key_hash: read(key_hash)? })
    }
}

/// How a challenge names a key: one way, so the SIP path does not learn who somebody is in the
/// overlay.
pub fn key_hash(key: &PublicKey) -> [u8; 16] {
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::derive_key(CONTEXT_KEY, key)[..16]);
    hash
}

/// The answer to a challenge for `aor`, in its one spelling, in this network
/// ([`super::NetworkKeys::network`]). One public-key operation.
pub fn sign(identity: &Identity, network: &[u8; 16], aor: &str, nonce: &Nonce) -> Signature {
    with_message(LABEL, network, &signed(aor, nonce), |message| identity.sign(message))
}

/// Whether the owner of `key` has answered this challenge. One public-key operation.
#[cfg(any(feature = "server", test))]
pub fn verify(
    key: &PublicKey,
    network: &[u8; 16],
    (aor, nonce): (&str, &Nonce),
    signature: &Signature,
) -> bool {
    let signed = signed(aor, nonce);
    with_message(LABEL, network, &signed, |message| super::key::verify(key, message, signature))
}

/// The nonce and the hash of the AOR: both of one length.
fn signed(aor: &str, nonce: &Nonce) -> [u8; NONCE_BYTES + 32] {
    let mut signed = [0; NONCE_BYTES + 32];
    signed[..NONCE_BYTES].copy_from_slice(nonce);
    signed[NONCE_BYTES..].copy_from_slice(blake3::hash(aor.as_bytes()).as_bytes());
    signed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32]).unwrap()
    }

    #[test]
    fn a_challenge_is_read_as_it_was_written_and_nothing_else_is() {
        let challenge = Challenge { nonce: [0x0a; 16], key_hash: key_hash(&identity(1).public()) };
        let text = challenge.to_text();
        assert_eq!(Challenge::parse(&text), Some(challenge));
        assert_eq!(Challenge::parse(&format!(" {text}\t")), Some(challenge));
        let plus = format!("+{}", &text[1..]);
        for wrong in ["", ";key=", &text[1..], &text[..68], &text.replace("key", "kex"), &plus] {
            assert_eq!(Challenge::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn an_answer_is_good_for_one_key_network_aor_and_challenge() {
        let (one, other) = (identity(1), identity(2));
        let (aor, nonce) = ("alice@example.net", [7; NONCE_BYTES]);
        let signature = sign(&one, &[3; 16], aor, &nonce);
        assert!(verify(&one.public(), &[3; 16], (aor, &nonce), &signature));
        assert!(!verify(&other.public(), &[3; 16], (aor, &nonce), &signature));
        assert!(!verify(&one.public(), &[4; 16], (aor, &nonce), &signature));
        assert!(!verify(&one.public(), &[3; 16], ("bob@example.net", &nonce), &signature));
        assert!(!verify(&one.public(), &[3; 16], (aor, &[8; NONCE_BYTES]), &signature));
    }
}
