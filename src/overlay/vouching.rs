//! Whose word counts: certificates, judged by our trust anchors and the time.
//!
//! Without an anchor nobody needs a certificate, none is looked at, and an id follows from a key.
//! With one, records of the certified alone are kept and read, an id is the place that a
//! certificate names, and who tells where a member is has to sign that with the key that is bound
//! to its place. What a certificate costs in public-key operations is done in `work`.

use super::work::Subject;
use super::{Overlay, reject};
use crate::identity::record::{AddressRecord, KeptRecord, Record};
use crate::identity::revocation::{RevocationHead, Revocations};
use crate::identity::trust::{Clock, Trust, Untrusted};
use crate::identity::{Certificate, Identity, NetworkKeys, PublicKey};
use crate::net::{NodeId, Rejected};
use crate::time::{Duration, Instant};

/// Trust anchors, what they have revoked, and the time.
pub(super) struct Vouching {
    trust: Trust,
    clock: Clock,
    /// When the clock showed that.
    told: Instant,
}

impl Vouching {
    /// Nobody's word is asked for.
    pub(super) fn new(now: Instant) -> Self {
        let clock = Clock { unix_s: None, floor_s: 0 };
        Self { trust: Trust::default(), clock, told: now }
    }

    /// Whether only the certified count.
    pub(super) fn is_required(&self) -> bool {
        self.trust.is_required()
    }

    /// Whose word counts.
    pub(super) fn anchors(&self) -> &[PublicKey] {
        &self.trust.anchors
    }

    /// The number of the list of revocations that we go by; 0 where there is none.
    pub(super) fn list_number(&self) -> u32 {
        if self.is_required() { self.trust.revocations.number() } else { 0 }
    }

    /// Whose word counts, and what counts no longer.
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Whether this moment is over.
    pub(super) fn has_ended(&self, now: Instant, until_s: u32) -> bool {
        self.clock(now).now_s() > u64::from(until_s)
    }

    /// Whether the head of such a list counts now, where its signatures hold: one of `our own` has
    /// counted before, when we may have known better how late it is.
    pub(super) fn check_head(
        &self,
        now: Instant,
        head: &RevocationHead,
        own: bool,
    ) -> Result<(), Untrusted> {
        let mut clock = self.clock(now);
        if own && clock.unix_s.is_none() {
            clock.raise(head.issued_s());
        }
        self.trust.check_head(clock, head)
    }

    /// Whether a certificate counts now, where its signatures hold.
    fn check(&self, now: Instant, certificate: &Certificate) -> Result<(), Untrusted> {
        self.trust.check(self.clock(now), certificate)
    }

    /// Whether a record counts now, where its signatures hold.
    pub(super) fn counts(&self, now: Instant, record: &KeptRecord<'_>) -> bool {
        let certified = || {
            record.certificate().is_some_and(|certificate| self.check(now, &certificate).is_ok())
        };
        !self.is_required() || certified()
    }

    /// For how many seconds a record will count, surely: none where the time is not known.
    pub(super) fn counts_for_s(&self, now: Instant, record: &KeptRecord<'_>) -> u32 {
        let clock = self.clock(now);
        let until_s = record.certificate().map_or(0, |it| it.validity().until_s);
        let now_s = clock.unix_s.map(|_| clock.now_s());
        now_s.map_or(0, |now_s| u64::from(until_s).saturating_sub(now_s) as u32)
    }

    /// What was issued at that moment is verified: it is not earlier now.
    pub(super) fn raise(&mut self, now: Instant, issued_s: u32) {
        if u64::from(issued_s) > self.clock(now).floor_s {
            self.advance(now);
            self.clock.raise(issued_s);
        }
    }

    fn clock(&self, now: Instant) -> Clock {
        let passed_s = now.since(self.told).as_secs();
        let Clock { unix_s, floor_s } = self.clock;
        Clock { unix_s: unix_s.map(|unix_s| unix_s + passed_s), floor_s: floor_s + passed_s }
    }

    fn advance(&mut self, now: Instant) {
        self.clock = self.clock(now);
        self.told += Duration::from_secs(now.since(self.told).as_secs());
    }
}

impl Overlay {
    /// Whose certificates count, and which of them no longer.
    pub fn trust(&self) -> &Trust {
        &self.vouching.trust
    }

    /// Replaces them. Without an anchor nobody needs one; where that changes, others
    /// have to put their records here anew. A list that none of the anchors vouches for goes: it
    /// may be newer than all that are still to come.
    pub fn set_trust(&mut self, now: Instant, trust: &Trust) {
        let before = self.vouching.list_number();
        if self.vouching.is_required() != trust.is_required() {
            self.store.set_certified(trust.is_required());
        }
        let others = self.vouching.trust.anchors != trust.anchors;
        self.vouching.trust = trust.clone();
        let head = trust.revocations.head();
        if head.is_some_and(|head| head.links(&trust.anchors).is_empty()) {
            self.vouching.trust.revocations = Revocations::default();
        }
        if others {
            self.publications_now(now);
        }
        if self.vouching.list_number() != before {
            self.drop_revoked(now);
        }
    }

    /// Whether a certificate counts now, where its signatures hold.
    ///
    /// # Errors
    /// [`Untrusted`].
    pub fn judge(&self, now: Instant, certificate: &Certificate) -> Result<(), Untrusted> {
        self.vouching.check(now, certificate)
    }

    /// What time it is. A floor stays where it was higher.
    pub fn set_clock(&mut self, now: Instant, clock: Clock) {
        let floor_s = clock.floor_s.max(self.time_floor_s(now));
        self.vouching.clock = Clock { floor_s, ..clock };
        self.vouching.told = now;
    }

    /// The moment, in seconds of Unix time, than which it is certainly not earlier.
    pub fn time_floor_s(&self, now: Instant) -> u64 {
        self.vouching.clock(now).floor_s
    }

    /// The network's keys.
    pub fn keys(&self) -> &NetworkKeys {
        &self.keys
    }

    /// What others vouch for from now on: a renewed certificate goes out with each record that it
    /// covers, while its holders keep the one before. False where our place would be another:
    /// then nothing has changed, see [`Self::take_place`].
    pub fn set_certificates(&mut self, now: Instant, certificates: &[Certificate]) -> bool {
        let identity = self.identity.clone().certified(certificates);
        if identity.id() != self.me {
            return false;
        }
        let before = core::mem::replace(&mut self.identity, identity.clone());
        self.sign_again(now, |publication| {
            let key = &publication.key;
            let changed = before.certificate_for(key) != identity.certificate_for(key);
            changed && publication.contact.is_some()
        });
        true
    }

    /// Begins anew at the place of `identity`, whose key is ours: with the peers that are known,
    /// and with nothing published. Look-ups end; addresses have to be set again.
    pub fn take_place(&mut self, now: Instant, identity: &Identity) {
        for slot in 0..self.lookups.capacity() as u32 {
            if let Some(id) = self.lookups.id_at(slot) {
                self.end_lookup(now, id);
            }
        }
        let (peers, seed) = (self.save_peers(), self.rng.bytes());
        let start_count = (self.seq >> 32) as u32;
        let mut new = Self::new(identity, &self.keys, self.limits, start_count, seed, now);
        core::mem::swap(self, &mut new);
        // Numbers and names that were given out are not given out again.
        (self.start, self.seq) = (new.start, new.seq);
        self.lookup_count = new.lookup_count;
        self.publication_count = new.publication_count;
        (self.counters, self.events) = (new.counters, new.events);
        self.store.set_certified(new.vouching.is_required());
        self.vouching = new.vouching;
        self.join.take_bootstrap(new.join);
        self.load_peers(now, &peers);
    }

    /// Counts what keeps a certificate, or that there is none, from counting.
    pub(super) fn vouched_for(
        &mut self,
        now: Instant,
        certificate: Option<&Certificate>,
    ) -> Result<(), Rejected> {
        if !self.vouching.is_required() {
            return Ok(());
        }
        let checked = match certificate {
            Some(certificate) => self.vouching.check(now, certificate),
            None => Err(Untrusted::Stranger),
        };
        let counters = &mut self.counters;
        let counter = match checked {
            Ok(()) => return Ok(()),
            Err(Untrusted::Stranger) => &mut counters.uncertified,
            Err(Untrusted::Expired | Untrusted::Early) => &mut counters.expired,
            Err(Untrusted::Revoked) => &mut counters.revoked,
        };
        Err(reject(counter, Rejected::Unauthorized))
    }

    /// What proves, once it is verified, that whoever signed these addresses may say where `id` is:
    /// nothing more than that signature where an id follows from a key, or the key of this id is
    /// known from a record; else the certificate that came along.
    pub(super) fn proof_of_place(
        &mut self,
        now: Instant,
        id: &NodeId,
        addresses: &AddressRecord,
        certificate: Option<&[u8]>,
    ) -> Result<Subject, Rejected> {
        if !self.vouching.is_required() {
            return Ok(Subject::Nothing);
        }
        let known = self.key_of(now, id);
        if known.is_some_and(|key| key != addresses.owner()) {
            return Err(reject(&mut self.counters.foreign_record, Rejected::Unauthorized));
        }
        if known.is_some() {
            return Ok(Subject::Nothing);
        }
        let certificate = certificate.map(Certificate::parse).transpose();
        let certificate = certificate.map_err(|_| self.malformed())?;
        self.vouched_for(now, certificate.as_ref())?;
        let own = |it: &Certificate| it.place() == *id && it.key() == addresses.owner();
        match certificate.filter(own) {
            Some(certificate) => Ok(Subject::Certificate(certificate)),
            None => Err(reject(&mut self.counters.foreign_record, Rejected::Unauthorized)),
        }
    }

    /// The id of a record's owner: of our own ours, certified or not.
    pub(super) fn owner_of(&self, record: &Record) -> NodeId {
        let own = record.owner() == self.identity.public();
        if own { self.me } else { record.owner_id(self.vouching.is_required()) }
    }

    /// The key that is bound to a place, as far as a record held here tells.
    pub(super) fn key_of(&self, now: Instant, id: &NodeId) -> Option<PublicKey> {
        let mut held = self.store.records_of(id);
        held.find(|record| self.vouching.counts(now, record)).map(|record| record.owner())
    }

    /// What an announcement of our addresses is proven by.
    pub(super) fn own_certificate(&self) -> Option<Certificate> {
        let all = self.identity.certificates().iter();
        all.max_by_key(|certificate| certificate.validity().until_s).cloned()
    }
}
