//! The provider that certifies simulated routers, in networks where it does.

use super::truth::{AORS, name};
use crate::identity::record::Key;
use crate::identity::trust::{Clock, Trust};
use crate::identity::{Identity, NetworkKeys};
use crate::lab::issuer::Issuer;
use crate::overlay::Overlay;
use crate::time::Instant;

/// When the simulation's first second is, in seconds of Unix time.
const BEGIN_S: u32 = 1_800_000_000;

/// Who certifies, and what routers are told of it.
pub(super) struct Provider {
    issuer: Issuer,
    trust: Trust,
    /// The numbers of certificates that count no longer, in this order.
    revoked: Vec<u64>,
}

impl Provider {
    /// One of the simulated network. Keys that stand in sign for it where they do for routers.
    pub(super) fn new(keys: &NetworkKeys, stand_in: bool) -> Option<Self> {
        let issuer = Issuer::new(keys, BEGIN_S, stand_in)?;
        let trust = issuer.trust();
        Some(Self { issuer, trust, revoked: Vec::new() })
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
        let certificate = self.issuer.certify(u64::from(number) + 1, &identity, &listed);
        identity.certified(&[certificate])
    }

    /// Whose certificates count.
    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Revokes a router's certificate. The anchor signs that: many may be revoked in a day.
    pub(super) fn revoke(&mut self, number: u32, now_us: u64) {
        let issued_s = BEGIN_S + (now_us / 1_000_000) as u32;
        self.revoked.push(u64::from(number) + 1);
        let serials = self.revoked.iter().copied().zip(1..);
        let list = self.revoked.len() as u32;
        self.trust.revocations = self.issuer.revoke(list, issued_s, serials);
    }

    /// Tells an adapter that starts now whose certificates count, and what time it is.
    pub(super) fn instruct(&self, overlay: &mut Overlay, at: Instant, now_us: u64) {
        let unix_s = Some(u64::from(BEGIN_S) + now_us / 1_000_000);
        overlay.set_clock(at, Clock { unix_s, floor_s: BEGIN_S.into() });
        overlay.set_trust(at, &self.trust);
    }
}
