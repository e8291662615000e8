//! AORs as the overlay knows them: blinded, and kept, because blinding is slow on purpose.

use super::event::Counters;
use crate::identity::NetworkKeys;
use crate::limits::{AOR_KEYS_MAX, NETWORK_SECRETS_MAX};
use crate::rng::Rng;
use std::collections::VecDeque;

/// The blinded keys of one AOR, under every secret of the network.
pub(super) type Blinded = heapless::Vec<[u8; 32], NETWORK_SECRETS_MAX>;

/// Blinded AORs computed before, by a keyed hash of the AOR; the oldest makes room.
pub(super) struct AorKeys {
    known: VecDeque<([u8; 16], Blinded)>,
    key: [u8; 32],
    /// How often the network's secrets changed.
    secrets: u32,
}

impl AorKeys {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { known: VecDeque::with_capacity(AOR_KEYS_MAX), key: rng.bytes(), secrets: 0 }
    }

    /// See [`crate::queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        crate::queue::fit(&mut self.known);
    }

    /// What stands for `aor` inside this node.
    pub(super) fn name(&self, aor: &str) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.key, aor.as_bytes());
        let mut name = [0; 16];
        name.copy_from_slice(&hash.as_bytes()[..16]);
        name
    }

    /// Forgets all: they are blinded under secrets that are no longer those of the network.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.secrets = self.secrets.wrapping_add(1);
    }

    /// Names the secrets of now: after each change another number.
    pub(super) fn secrets(&self) -> u32 {
        self.secrets
    }

    /// `aor` under every secret that there is.
    pub(super) fn get(
        &mut self,
        keys: &NetworkKeys,
        aor: &str,
        counters: &mut Counters,
    ) -> Blinded {
        let name = self.name(aor);
        if let Some((_, blinded)) = self.known.iter().find(|(known, _)| *known == name) {
            return blinded.clone();
        }
        let blinded: Blinded = keys.aor_keys(aor).take(NETWORK_SECRETS_MAX).collect();
        counters.blinded += 1;
        if self.known.len() >= AOR_KEYS_MAX {
            self.known.pop_front();
        }
        self.known.push_back((name, blinded.clone()));
        blinded
    }
}
