//! Who vouches for peers: what a certificate has to say of one, and the signatures under it.
//!
//! Without a trust anchor nobody is asked for a certificate, none is looked at, and an id follows
//! from a key. With one, an id is the place that a certificate names, and a session lasts as long
//! as a certificate of its peer counts: then a handshake has to show another one. Where the
//! uncertified may talk to us as well, those whose id follows from their key may.

use super::Channel;
use super::handshake::{Role, Step};
use super::proof::{Proof, Shown};
use super::session::Session;
use super::wire::{CERTIFIED_BYTES_MAX, EXTENSION_HEAD_BYTES};
use crate::identity::chain::Link;
use crate::identity::key::{self, Identity};
use crate::identity::record::Key;
use crate::identity::trust::{Clock, Trust, Untrusted};
use crate::identity::{Certificate, NetworkKeys};
use crate::limits::{
    CERTIFICATES_MAX, CHANNEL_HANDSHAKES_MAX, CHANNEL_SUPERSEDED_LINGER, CHANNEL_VOUCHED_MAX,
};
use crate::net::NodeId;
use crate::table::Id;
use crate::time::{Duration, Instant};
use std::sync::Arc;

/// What speaks against a proof where certificates are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unvouched {
    /// There is no certificate, or none of an anchor of ours.
    Uncertified,
    /// It is of another key, or of another place.
    Foreign,
    /// Its time, or its delegation's, is over, or has not come.
    Expired,
    /// It was revoked, or its delegation was.
    Revoked,
    /// A signature under it does not hold in this network.
    Forged,
}

/// What verifying one signature led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vouched {
    /// Every signature holds.
    All,
    /// Another one has to be verified.
    More,
    /// By none of the anchors.
    ByNobody,
}

/// Whose word counts, what time it is, and the signatures that were verified already.
pub(super) struct Vouching {
    trust: Arc<Trust>,
    /// Whether those may talk to us, too, for whom nobody vouches.
    takes_uncertified: bool,
    clock: Clock,
    /// When the clock showed that.
    told: Instant,
    key: [u8; 32],
    remembered: heapless::HistoryBuf<u64, CHANNEL_VOUCHED_MAX>,
}

impl Vouching {
    /// Nobody's word is asked for.
    pub(super) fn new(key: [u8; 32]) -> Self {
        let clock = Clock { unix_s: None, floor_s: 0 };
        let remembered = heapless::HistoryBuf::new();
        let (trust, takes_uncertified) = (Arc::default(), false);
        Self { trust, takes_uncertified, clock, told: Instant::ZERO, key, remembered }
    }

    /// Whether anybody's word counts: then certificates are looked at.
    pub(super) fn is_asked(&self) -> bool {
        self.trust.is_required()
    }

    /// Whether only the certified may talk to us.
    fn is_required(&self) -> bool {
        self.is_asked() && !self.takes_uncertified
    }

    /// Whether what was shown may prove `peer`, where its signatures hold. Of several
    /// certificates those are left that may: nobody knows all providers.
    ///
    /// # Errors
    /// What to do with the handshake where none may.
    pub(super) fn admits(&self, now: Instant, proof: &mut Proof, peer: NodeId) -> Result<(), Step> {
        let is_keys = key::node_id(&proof.public) == peer;
        if is_keys && !self.is_required() {
            // As whoever has this key: what a certificate says of it is of another place.
            proof.certificates.clear();
            return Ok(());
        }
        if !self.is_asked() {
            return Err(Step::WrongIdentity);
        }
        let mut doubt = Unvouched::Uncertified;
        let Proof { public, certificates, .. } = proof;
        certificates.retain(|certificate| {
            let own = (certificate.key(), certificate.place()) == (*public, peer);
            doubt = match self.check(now, certificate) {
                _ if !own => Unvouched::Foreign,
                Ok(()) => return true,
                Err(Untrusted::Stranger) => Unvouched::Uncertified,
                Err(Untrusted::Expired | Untrusted::Early) => Unvouched::Expired,
                Err(Untrusted::Revoked) => Unvouched::Revoked,
            };
            false
        });
        if certificates.is_empty() { Err(Step::Untrusted(doubt)) } else { Ok(()) }
    }

    /// Whether a certificate counts now, where its signatures hold.
    fn check(&self, now: Instant, certificate: &Certificate) -> Result<(), Untrusted> {
        self.trust.check(self.clock(now), certificate)
    }

    /// The certificates that we show, as many as there is room for: those of our anchors first,
    /// for the others have the same, and of those the ones that last longest.
    pub(super) fn shown<'i>(&self, identity: &'i Identity) -> Shown<'i> {
        let mut shown: Shown<'i> = identity.certificates().iter().take(CERTIFICATES_MAX).collect();
        let known = |it: &Certificate| !it.links(&self.trust.anchors).is_empty();
        shown.sort_unstable_by_key(|it| core::cmp::Reverse((known(it), it.validity().until_s)));
        let mut room = CERTIFIED_BYTES_MAX;
        shown.retain(|it| {
            let bytes = EXTENSION_HEAD_BYTES + it.as_bytes().len();
            let fits = bytes <= room;
            room -= if fits { bytes } else { 0 };
            fits
        });
        shown
    }

    /// Verifies the first signature of the chain that is not known to hold. At most one public-key
    /// operation.
    pub(super) fn verify_one(
        &mut self,
        now: Instant,
        certificate: &Certificate,
        network: &[u8; 16],
    ) -> Vouched {
        let links = certificate.links(&self.trust.anchors);
        if links.is_empty() {
            return Vouched::ByNobody;
        }
        let mut unknown = links.iter().filter(|link| !self.knows(link));
        if let Some(link) = unknown.next() {
            let last = unknown.next().is_none();
            if !link.verify(network) {
                return Vouched::ByNobody;
            }
            self.remembered.write(self.print(link));
            if !last {
                return Vouched::More;
            }
        }
        // It is not earlier now than that was signed.
        self.clock = self.clock(now);
        self.told += Duration::from_secs(now.since(self.told).as_secs());
        self.clock.raise(certificate.validity().from_s);
        Vouched::All
    }

    /// What time it is.
    fn clock(&self, now: Instant) -> Clock {
        let passed_s = now.since(self.told).as_secs();
        let Clock { unix_s, floor_s } = self.clock;
        Clock { unix_s: unix_s.map(|unix_s| unix_s + passed_s), floor_s: floor_s + passed_s }
    }

    fn knows(&self, link: &Link<'_>) -> bool {
        self.remembered.contains(&self.print(link))
    }

    /// What stands for a signature, who made it, and what it covers.
    fn print(&self, link: &Link<'_>) -> u64 {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&link.signer);
        hasher.update(link.bytes);
        hasher.finalize().as_bytes().first_chunk().map_or(0, |it| u64::from_be_bytes(*it))
    }
}

impl Channel {
    /// Asks from now on for certificates of those whose word counts, by this clock; of nobody
    /// where there are none. A floor of the time stays where it was higher.
    pub fn set_trust(&mut self, now: Instant, trust: Arc<Trust>, clock: Clock) {
        self.vouching.trust = trust;
        self.set_clock(now, clock);
    }

    /// Goes by this clock from now on.
    pub fn set_clock(&mut self, now: Instant, clock: Clock) {
        let floor_s = clock.floor_s.max(self.vouching.clock(now).floor_s);
        self.vouching.clock = Clock { floor_s, ..clock };
        self.vouching.told = now;
        self.review(now);
    }

    /// Whether those may talk to us, too, for whom nobody vouches, by the id of their key.
    pub fn take_uncertified(&mut self, takes: bool) {
        self.vouching.takes_uncertified = takes;
    }

    /// Whether only the certified may talk to us.
    pub fn asks_for_certificates(&self) -> bool {
        self.vouching.is_required()
    }

    /// Takes the certificates that we show from now on; key and id are those that they were.
    pub fn set_identity(&mut self, identity: &Identity) {
        debug_assert_eq!(identity.id(), self.id(), "peers know our sessions by our id");
        self.identity = identity.clone();
    }

    /// The network's keys.
    pub fn network(&self) -> &NetworkKeys {
        &self.network
    }

    /// Whether somebody whose word counts says that the AOR of an overlay key is the peer's; of
    /// everything where no certificates are asked for.
    pub fn vouches(&self, now: Instant, peer: NodeId, key: &Key) -> bool {
        let session = || self.sessions.get(self.current(peer)?);
        let counts = |it: &Certificate| it.covers(key) && self.vouching.check(now, it).is_ok();
        !self.vouching.is_asked() || session().is_some_and(|it| it.certificates.iter().any(counts))
    }

    /// What the peer has shown that it talks to us by.
    pub fn certificates_of(&self, peer: NodeId) -> &[Certificate] {
        let session = self.current(peer).and_then(|id| self.sessions.get(id));
        session.map_or(&[], |session| &session.certificates)
    }

    /// Ends the sessions whose peers show nothing any more that counts. Each is asked for more by
    /// a handshake, of which there may be so many at a time; the others' turn comes with the next
    /// review.
    pub fn review(&mut self, now: Instant) {
        if !self.vouching.is_required() {
            return;
        }
        let counts = |it: &Certificate| self.vouching.check(now, it).is_ok();
        let room = CHANNEL_HANDSHAKES_MAX.saturating_sub(self.count(Role::Opener));
        let standing = self.sessions.iter().filter(|(_, session)| session.is_current());
        let over = standing.filter(|(_, session)| !session.certificates.iter().any(counts));
        let over: heapless::Vec<_, CHANNEL_HANDSHAKES_MAX> =
            over.map(|(id, _)| id).take(room).collect();
        for id in over {
            self.ask_anew(now, id);
        }
    }

    /// Lets a session only receive, and for a moment; a handshake decides what comes after it.
    fn ask_anew(&mut self, now: Instant, id: Id<Session>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.superseded = Some(now + CHANNEL_SUPERSEDED_LINGER);
        self.counters.asked_anew += 1;
        self.replace_session(now, id);
    }
}
