//! The provider that certifies simulated routers, in networks where it does.

use super::truth::{AORS, name};
use crate::identity::authority::{Authority, Subject};
use crate::identity::chain::Validity;
use crate::identity::record::Key;
use crate::identity::revocation::{Revocations, Revoked};
use crate::identity::trust::{Clock, Trust};
use crate::identity::{Identity, NetworkKeys, TrustAnchors};
use crate::overlay::Overlay;
use crate::time::Instant;

/// When the simulation's first second is, in seconds of Unix time.
const BEGIN_S: u32 = 1_800_000_000;
const DAY_S: u32 = 86_400;
const SEEDS: [[u8; 32]; 3] = [[21; 32], [22; 32], [23; 32]];

/// An anchor, and the issuing key that it has delegated to.
pub(super) struct Provider {
    anchor: Authority,
    issuing: Authority,
    trust: Trust,
    revoked: Vec<Revoked>,
}

impl Provider {
    /// One of the simulated network. Keys that stand in sign for it where they do for routers.
    pub(super) fn new(keys: &NetworkKeys, stand_in: bool) -> Option<Self> {
        let key = |seed: [u8; 32]| {
            let identity = Identity::from_seed(seed).ok()?;
            Some(if stand_in { identity.standing_in() } else { identity })
        };
        let (anchor, issuing) = (key(SEEDS[0])?, key(SEEDS[1])?);
        let anchors: TrustAnchors = [anchor.public()].into_iter().collect();
        let network = keys.network();
        let anchor = Authority::anchor(anchor, network);
        let delegation = anchor.delegate(0, &issuing.public(), validity(90));
        let issuing = Authority::issuing(issuing, network, delegation);
        let trust = Trust { anchors, ..Trust::default() };
        Some(Self { anchor, issuing, trust, revoked: Vec::new() })
    }

    /// A router's identity with a certificate for its AORs.
    pub(super) fn certified(
        &self,
        number: u32,
        identity: Identity,
        keys: &NetworkKeys,
    ) -> Identity {
        let of = |place: u32| Key::of(&keys.aor_key(&name(number * AORS + place)));
        let listed: Vec<Key> = (0..AORS).map(of).collect();
        let key = identity.public();
        let place = Authority::place(&SEEDS[2], &key);
        let (serial, validity) = (u64::from(number) + 1, validity(14));
        let certificate =
            self.issuing.certify(&Subject { serial, key, place, validity, keys: &listed });
        identity.certified(&[certificate])
    }

    /// Whose certificates count.
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Revokes a router's certificate. The anchor signs that: many may be revoked in a day.
    pub(super) fn revoke(&mut self, number: u32, now_us: u64) {
        let issued_s = BEGIN_S + (now_us / 1_000_000) as u32;
        let ends_day = (validity(14).until_s / DAY_S) as u16;
        let list = self.revoked.len() as u32 + 1;
        self.revoked.push(Revoked { serial: u64::from(number) + 1, ends_day, number: list });
        self.revoked.sort_unstable();
        let head = self.anchor.revoke(list, issued_s, &self.revoked);
        let updated = Revocations::default().updated(&head, &self.revoked, usize::MAX);
        debug_assert!(updated.is_ok(), "{updated:?}");
        self.trust.revocations = updated.unwrap_or_default();
    }

    /// Tells an adapter that starts now whose certificates count, and what time it is.
    pub(super) fn instruct(&self, overlay: &mut Overlay, at: Instant, now_us: u64) {
        let unix_s = Some(u64::from(BEGIN_S) + now_us / 1_000_000);
        overlay.set_clock(at, Clock { unix_s, floor_s: BEGIN_S.into() });
        overlay.set_trust(at, &self.trust);
    }
}

fn validity(days: u32) -> Validity {
    Validity { from_s: BEGIN_S - DAY_S, until_s: BEGIN_S + days * DAY_S }
}
