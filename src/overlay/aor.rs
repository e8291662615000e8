//! AORs as the overlay knows them: blinded, and kept, because blinding is slow on purpose.

use crate::identity::NetworkKeys;
use crate::limits::NETWORK_SECRETS_MAX;
use crate::rng::Rng;

/// Blinded AORs kept: computing one costs thousands of hashes.
const AOR_KEYS_MAX: usize = 128;

/// The blinded keys of one AOR, under every secret of the network.
pub(super) type Blinded = heapless::Vec<[u8; 32], NETWORK_SECRETS_MAX>;

/// Blinded AORs computed before, by a keyed hash of the AOR; the oldest makes room.
pub(super) struct AorKeys {
    known: heapless::Deque<([u8; 16], Blinded), AOR_KEYS_MAX>,
    key: [u8; 32],
}

impl AorKeys {
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { known: heapless::Deque::new(), key: rng.bytes() }
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
    }

    pub(super) fn get(&mut self, keys: &NetworkKeys, aor: &str) -> Blinded {
        let name = self.name(aor);
        if let Some((_, blinded)) = self.known.iter().find(|(known, _)| *known == name) {
            return blinded.clone();
        }
        let blinded: Blinded = keys.aor_keys(aor).take(NETWORK_SECRETS_MAX).collect();
        if self.known.is_full() {
            self.known.pop_front();
        }
        let kept = self.known.push_back((name, blinded.clone()));
        debug_assert!(kept.is_ok(), "room was made");
        blinded
    }
}
