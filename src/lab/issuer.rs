//! A provider that certifies the lab's routers.

use crate::identity::authority::{Authority, Subject};
use crate::identity::chain::Validity;
use crate::identity::record::Key;
use crate::identity::revocation::{Revocations, Revoked};
use crate::identity::trust::Trust;
use crate::identity::{Certificate, Identity, NetworkKeys, PublicKey, TrustAnchors};

const DAY_S: u32 = 86_400;
const LIFE_DAYS: u32 = 14;
const SEEDS: [[u8; 32]; 3] = [[21; 32], [22; 32], [23; 32]];

/// An anchor, and the issuing key that it has delegated to.
pub(in crate::lab) struct Issuer {
    anchor: PublicKey,
    offline: Authority,
    issuing: Authority,
    begin_s: u32,
}

impl Issuer {
    /// One of this network, at this second of Unix time. Keys that stand in sign for it where they
    /// do for routers.
    pub(in crate::lab) fn new(keys: &NetworkKeys, begin_s: u32, stand_in: bool) -> Option<Self> {
        let key = |seed: [u8; 32]| {
            let identity = Identity::from_seed(seed).ok()?;
            Some(if stand_in { identity.standing_in() } else { identity })
        };
        let (anchor, issuing) = (key(SEEDS[0])?, key(SEEDS[1])?);
        let (public, network) = (anchor.public(), keys.network());
        let validity = validity(begin_s, 90);
        let offline = Authority::anchor(anchor, network);
        let delegation = offline.delegate(0, &issuing.public(), validity);
        let issuing = Authority::issuing(issuing, network, delegation);
        Some(Self { anchor: public, offline, issuing, begin_s })
    }

    /// The key that vouches for it.
    pub(in crate::lab) fn anchor(&self) -> PublicKey {
        self.anchor
    }

    /// Whose certificates count where this provider's do.
    pub(in crate::lab) fn trust(&self) -> Trust {
        let anchors: TrustAnchors = [self.anchor].into_iter().collect();
        Trust { anchors, ..Trust::default() }
    }

    /// The list of this number, of certificates that the anchor revokes at this second: as many in
    /// a day as need be.
    pub(in crate::lab) fn revoke(
        &self,
        number: u32,
        now_s: u32,
        serials: impl Iterator<Item = (u64, u32)>,
    ) -> Revocations {
        let ends_day = (validity(self.begin_s, LIFE_DAYS).until_s / DAY_S) as u16;
        let entry = |(serial, number)| Revoked { serial, ends_day, number };
        let mut entries: Vec<Revoked> = serials.map(entry).collect();
        entries.sort_unstable();
        let head = self.offline.revoke(number, now_s, &entries);
        let list = Revocations::default().updated(&head, &entries, usize::MAX);
        debug_assert!(list.is_ok(), "{list:?}");
        list.unwrap_or_default()
    }

    /// A certificate for a key and the AORs that are known under these.
    pub(in crate::lab) fn certify(
        &self,
        serial: u64,
        identity: &Identity,
        keys: &[Key],
    ) -> Certificate {
        let key = identity.public();
        let place = Authority::place(&SEEDS[2], &key);
        let validity = validity(self.begin_s, LIFE_DAYS);
        self.issuing.certify(&Subject { serial, key, place, validity, keys })
    }
}

fn validity(begin_s: u32, days: u32) -> Validity {
    Validity { from_s: begin_s - DAY_S, until_s: begin_s + days * DAY_S }
}
