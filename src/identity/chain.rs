//! Who vouches for what a provider has signed: an anchor itself, or an issuing key to which an
//! anchor has delegated that for a while.
//!
//! Layout of both, in network byte order: delegations (1: 0 or 1), with one its bytes (anchor 4,
//! serial 8, issuing key 32, from 4, until 4, signature 64), then what is signed (its signer 4,
//! ..., signature 64). Anchor and signer are the first bytes of the public key that signed. Times
//! are seconds of Unix time. What is signed is a label, the network, and the bytes from the
//! signer's name to the signature, so no signature fits another purpose or another network.

use super::key::{self, PUBLIC_KEY_BYTES, PublicKey, SIGNATURE_BYTES, Signature};
use crate::limits::TRUST_ANCHORS_MAX;

/// The first bytes of a public key, which name it.
pub(super) const NAME_BYTES: usize = 4;
/// From the name of the anchor to the signature.
pub(super) const DELEGATION_BYTES: usize = NAME_BYTES + 8 + PUBLIC_KEY_BYTES + 4 + 4;
pub(super) const LABEL_BYTES: usize = 16;
/// Bytes that one signature covers, label and network included.
const MESSAGE_BYTES_MAX: usize = 432;

/// What a signature is for.
pub(super) type Label = [u8; LABEL_BYTES];
pub(super) const LABEL_DELEGATION: &Label = b"cosip delegate 1";

/// A delegation with its signature.
pub type Delegation = [u8; DELEGATION_BYTES + SIGNATURE_BYTES];

/// The public keys of those whose word counts.
pub type TrustAnchors = heapless::Vec<PublicKey, TRUST_ANCHORS_MAX>;

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

    /// When this is valid, and `other`, too.
    pub(super) fn both(self, other: Self) -> Self {
        Self { from_s: self.from_s.max(other.from_s), until_s: self.until_s.min(other.until_s) }
    }
}

/// One signature: who made it, and over what.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// The anchor, or the issuing key that the link before names.
    pub signer: PublicKey,
    /// What is signed with the signature behind it.
    pub bytes: &'a [u8],
    label: &'static Label,
}

impl Link<'_> {
    /// What stands for this link where it is remembered: what is signed, for what and by whom.
    pub fn parts(&self) -> [&[u8]; 3] {
        [self.label, &self.signer, self.bytes]
    }

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

/// What somebody has signed, and the delegation that lets them.
#[derive(Clone, Copy)]
pub(super) struct Chain<'a> {
    delegation: Option<&'a Delegation>,
    /// From the signer's name to the signature, and that.
    own: &'a [u8],
    label: &'static Label,
}

impl<'a> Chain<'a> {
    /// Takes apart what begins with the number of delegations. `None` where it is too short or has
    /// more of them than there may be.
    pub(super) fn split(data: &'a [u8], label: &'static Label) -> Option<Self> {
        let (delegation, own) = match data.split_first()? {
            (0, own) => (None, own),
            (1, rest) => {
                let (delegation, own) = rest.split_first_chunk()?;
                (Some(delegation), own)
            }
            _ => return None,
        };
        (own.len() >= NAME_BYTES + SIGNATURE_BYTES).then_some(Self { delegation, own, label })
    }

    /// What is signed, from the signer's name on.
    pub(super) fn signed(&self) -> &'a [u8] {
        let end = self.own.len().saturating_sub(SIGNATURE_BYTES);
        self.own.get(..end).unwrap_or_default()
    }

    /// Whether an anchor has signed it without anybody between.
    pub(super) fn is_direct(&self) -> bool {
        self.delegation.is_none()
    }

    /// The number under which the delegation can be revoked.
    pub(super) fn delegation_serial(&self) -> Option<u64> {
        self.delegation.map(serial)
    }

    /// When the delegation is valid.
    pub(super) fn delegated(&self) -> Option<Validity> {
        self.delegation.map(validity)
    }

    /// The signatures by which one of `anchors` vouches for it, the anchor's first: each has to
    /// be verified. Empty where none of them is named. No two anchors share a name: settings with
    /// such ones are refused.
    pub(super) fn links(&self, anchors: &[PublicKey]) -> heapless::Vec<Link<'a>, 2> {
        let mut links = heapless::Vec::new();
        let first = self.delegation.map_or(self.own, |it| it.as_slice());
        let named = anchors.iter().find(|anchor| first.starts_with(&anchor[..NAME_BYTES]));
        let Some(mut signer) = named.copied() else { return links };
        if let Some(delegation) = self.delegation {
            links.extend([Link { signer, bytes: delegation, label: LABEL_DELEGATION }]);
            signer = field(delegation, NAME_BYTES + 8);
        }
        if self.own.starts_with(&signer[..NAME_BYTES]) {
            links.extend([Link { signer, bytes: self.own, label: self.label }]);
        } else {
            links.clear();
        }
        links
    }

    /// Whether one of `anchors` vouches for it in this network, at any time. Up to two public-key
    /// operations.
    pub(super) fn verify(&self, anchors: &[PublicKey], network: &[u8; 16]) -> bool {
        let links = self.links(anchors);
        !links.is_empty() && links.iter().all(|link| link.verify(network))
    }
}

/// The number under which a delegation can be revoked.
pub(super) fn serial(delegation: &Delegation) -> u64 {
    u64::from_be_bytes(field(delegation, NAME_BYTES))
}

/// When it is valid.
pub(super) fn validity(delegation: &Delegation) -> Validity {
    let at = NAME_BYTES + 8 + PUBLIC_KEY_BYTES;
    Validity {
        from_s: u32::from_be_bytes(field(delegation, at)),
        until_s: u32::from_be_bytes(field(delegation, at + 4)),
    }
}

/// `N` bytes at a position that the shape promises; zeros beyond it.
pub(super) fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Hands what a signature covers to `then`.
pub(super) fn with_message<R>(
    label: &Label,
    network: &[u8; 16],
    signed: &[u8],
    then: impl FnOnce(&[u8]) -> R,
) -> R {
    let mut message = heapless::Vec::<u8, MESSAGE_BYTES_MAX>::new();
    let put = [label.as_slice(), network, signed]
        .into_iter()
        .try_for_each(|part| message.extend_from_slice(part));
    debug_assert!(put.is_ok(), "what is signed is never longer than its limit");
    then(&message)
}
