//! What an adapter and a CoSIP server say to each other about a certificate; see
//! [`crate::identity::enrolment`].

use crate::identity::certificate::CERTIFICATE_BYTES_MAX;
use crate::identity::enrolment::{NONCE_BYTES, Nonce};
use crate::identity::rolling::NewSecret;
use crate::identity::{Signature, key::SIGNATURE_BYTES};
use crate::limits::AOR_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// AORs in one certificate: twice as many overlay keys while a secret is exchanged.
pub const CERTIFIED_AORS_MAX: usize = 4;

/// From an adapter: it wants one certificate for these AORs. Sent again until it is answered with
/// anything but [`EnrolAnswer::Wait`]; the server knows it by who asks and by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolAsk<'a> {
    /// The asker's number for it.
    pub number: u32,
    /// The AORs in their one spelling, each of at most [`AOR_BYTES_MAX`] bytes; unused ones are
    /// empty.
    #[serde(borrow)]
    pub aors: [&'a str; CERTIFIED_AORS_MAX],
}

impl EnrolAsk<'_> {
    /// Whether it may be sent, and may be looked at.
    pub(super) fn is_within_bounds(&self) -> bool {
        self.aors.iter().any(|aor| !aor.is_empty())
            && self.aors.iter().all(|aor| aor.len() <= AOR_BYTES_MAX)
    }
}

/// From an adapter: it has seen the challenge, at the phone that it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EnrolProof {
    /// The challenge.
    pub nonce: Nonce,
    /// See [`crate::identity::enrolment::sign`].
    pub signature: Signature,
}

impl EnrolProof {
    pub(super) const BYTES: usize = NONCE_BYTES + SIGNATURE_BYTES;

    pub(super) fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..NONCE_BYTES].copy_from_slice(&self.nonce);
        bytes[NONCE_BYTES..].copy_from_slice(&self.signature);
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (nonce, signature) = bytes.split_first_chunk()?;
        Some(Self { nonce: *nonce, signature: signature.try_into().ok()? })
    }
}

/// Why a CoSIP server certifies something not, or not yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EnrolRefusal {
    /// No adapter with this key has answered for the AOR: the phone is registered elsewhere, or
    /// the SIP server does not pass the challenge on.
    Unanswered,
    /// The SIP server answered the challenge with an error.
    Server,
    /// It is no AOR of the provider.
    Foreign,
    /// As many adapters have the AOR as may.
    Crowded,
    /// The key was revoked.
    Blocked,
}

/// From a CoSIP server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EnrolAnswer<'a> {
    /// It is being worked on, or has to wait for its turn: to be asked again after so many seconds.
    /// A second adapter with an AOR waits for hours.
    Wait(u32),
    /// These AORs (bit 0: the first) are not certified, for this reason; another try makes sense
    /// after so many seconds. Those not named are certified where a certificate follows.
    Refused {
        /// Which.
        which: u8,
        /// Why the first of them.
        why: EnrolRefusal,
        /// When to try again.
        again_s: u32,
    },
    /// The certificate, for all that were not refused; and the newest secret of the network, where
    /// one takes over or has done so.
    Certified(#[serde(borrow)] &'a [u8], Option<NewSecret>),
}

impl EnrolAnswer<'_> {
    pub(super) fn is_within_bounds(&self) -> bool {
        !matches!(self, Self::Certified(bytes, _) if bytes.len() > CERTIFICATE_BYTES_MAX)
    }
}
