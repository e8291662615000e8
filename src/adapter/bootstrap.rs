//! Where the adapters are that the overlay is joined through.

use super::{Adapter, ClientOwner};
use crate::limits::BOOTSTRAP_ADDRESSES_MAX;
use crate::sip::locate::{Query, Targets, Transport};
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// The settings name others than before.
    pub(super) fn bootstrap_changed(&mut self, now: Instant) {
        self.bootstrap = vec![Vec::new(); self.config.overlay.bootstrap.len()];
        self.tell_bootstrap(now);
        self.locate_bootstrap(now);
    }

    /// Resolves the bootstrap entries; each answer goes to the overlay.
    pub(super) fn locate_bootstrap(&mut self, now: Instant) {
        for (at, entry) in self.config.overlay.bootstrap.iter().enumerate() {
            let query = Query {
                host: &entry.host,
                port: Some(entry.port),
                transport: Some(Transport::Udp),
                preferred: Transport::Udp,
            };
            let owner = ClientOwner::Bootstrap(at as u8).encode();
            if self.locator.start(now, &query, owner).is_err() {
                log::warn!("bootstrap {}: not located now", entry.host);
            }
        }
        self.pump_locator(now);
    }

    /// Where the bootstrap entry `at` is.
    pub(super) fn bootstrap_located(&mut self, now: Instant, at: usize, targets: &Targets) {
        let Some(known) = self.bootstrap.get_mut(at) else { return };
        if targets.is_empty() {
            return;
        }
        let located: Vec<SocketAddr> = targets.iter().map(|target| target.addr).collect();
        let changed = core::mem::replace(known, located) != *known;
        let count: usize = self.bootstrap.iter().map(Vec::len).sum();
        let beyond = count.saturating_sub(BOOTSTRAP_ADDRESSES_MAX);
        self.counters.bootstrap_dropped += if changed { beyond as u64 } else { 0 };
        self.tell_bootstrap(now);
    }

    /// Tells the overlay where its bootstrap peers are, as far as that is known.
    fn tell_bootstrap(&mut self, now: Instant) {
        let all: heapless::Vec<SocketAddr, BOOTSTRAP_ADDRESSES_MAX> =
            self.bootstrap.iter().flatten().copied().take(BOOTSTRAP_ADDRESSES_MAX).collect();
        if let Some(overlay) = &mut self.overlay {
            overlay.set_bootstrap(now, &all);
        }
    }
}
