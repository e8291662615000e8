//! Who vouches for peers: what a certificate has to say of one, and the signatures under it.

use super::proof::Proof;
use crate::identity::chain::Link;
use crate::identity::key::{self, Identity};
use crate::identity::trust::{Clock, Trust};
use crate::identity::Certificate;
use crate::limits::CHANNEL_VOUCHED_MAX;
use crate::net::NodeId;
use std::sync::Arc;

/// What verifying one signature led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vouched {
    /// Every signature holds.
    All,
    /// Another one has to be verified.
    More,
    /// Not by this anchor; another may bear its name.
    NotBy,
    /// By none of the anchors.
    ByNobody,
}

/// Whose word counts, and the signatures that were verified already.
pub(super) struct Vouching {
    pub(super) trust: Arc<Trust>,
    pub(super) clock: Clock,
    key: [u8; 32],
    remembered: heapless::HistoryBuf<u64, CHANNEL_VOUCHED_MAX>,
}

impl Vouching {
    /// Nobody's word is asked for.
    pub(super) fn new(key: [u8; 32]) -> Self {
        let clock = Clock { unix_s: None, floor_s: 0 };
        Self { trust: Arc::default(), clock, key, remembered: heapless::HistoryBuf::new() }
    }

    /// Whether only the certified may talk to us.
    pub(super) fn is_required(&self) -> bool {
        self.trust.is_required()
    }

    /// Whether the key that was shown has its place where `peer` is wanted.
    pub(super) fn places(&self, proof: &Proof, peer: NodeId) -> bool {
        match &proof.certificate {
            Some(certificate) => (certificate.key(), certificate.place()) == (proof.public, peer),
            None => key::node_id(&proof.public) == peer || self.is_required(),
        }
    }

    /// Whether a certificate comes along where one is asked for, and counts now.
    pub(super) fn trusts(&self, proof: &Proof) -> bool {
        !self.is_required() || proof.certificate.as_ref().is_some_and(|it| self.counts(it))
    }

    /// Whether a certificate whose signatures hold counts now.
    pub(super) fn counts(&self, certificate: &Certificate) -> bool {
        self.trust.check(self.clock, certificate).is_ok()
    }

    /// The certificate that we show: one of an anchor of ours, for the others have the same; of
    /// those the one that lasts longest.
    pub(super) fn shown<'i>(&self, identity: &'i Identity) -> Option<&'i Certificate> {
        let known = |it: &&Certificate| !it.links(&self.trust.anchors, 0).is_empty();
        let certificates = identity.certificates().iter();
        certificates.max_by_key(|it| (known(it), it.validity().until_s))
    }

    /// Verifies the first signature of the chain from the `nth` anchor of that name that is not
    /// known to hold. At most one public-key operation.
    pub(super) fn verify_one(
        &mut self,
        certificate: &Certificate,
        nth: usize,
        network: &[u8; 16],
    ) -> Vouched {
        let links = certificate.links(&self.trust.anchors, nth);
        if links.is_empty() {
            return Vouched::ByNobody;
        }
        let mut unknown = links.iter().filter(|link| !self.knows(link));
        let Some(link) = unknown.next() else { return Vouched::All };
        let last = unknown.next().is_none();
        if !link.verify(network) {
            return Vouched::NotBy;
        }
        self.remembered.write(self.print(link));
        if last { Vouched::All } else { Vouched::More }
    }

    fn knows(&self, link: &Link<'_>) -> bool {
        let print = self.print(link);
        self.remembered.iter().any(|known| *known == print)
    }

    /// What stands for a signature, who made it, and what it covers.
    fn print(&self, link: &Link<'_>) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&link.signer);
        hasher.update(link.bytes);
        hasher.finalize().as_bytes().first_chunk().map_or(0, |it| u64::from_be_bytes(*it))
    }
}
