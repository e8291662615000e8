//! New secrets of the network: taken at a reload, without a restart and without a record lost.
//!
//! The first secret of the file sends and all are heard, so a secret is exchanged in three
//! reloads: everybody hears the new one, everybody sends it, the old one is forgotten.

use super::Adapter;
use crate::config::Mode;
use crate::identity::NetworkKeys;
use crate::time::Instant;

impl Adapter {
    /// The secret file was read again.
    pub(super) fn secrets_read(&mut self, text: &[u8]) {
        let text = core::str::from_utf8(text).unwrap_or_default();
        let keys = match NetworkKeys::parse(text, self.config.network_name()) {
            Ok(keys) => keys,
            Err(error) => return log::error!("{error}; the running secrets stay"),
        };
        let (Some(overlay), Some(channel)) = (&mut self.overlay, &mut self.channel) else {
            if self.config.adapter.mode != Mode::Server {
                log::warn!("the network's secret is there now: a restart starts the overlay");
            }
            return;
        };
        if !overlay.set_network(&keys) {
            return;
        }
        channel.set_network(&keys);
        let published = self.registrar.iter().flat_map(|(_, binding)| binding.addresses());
        self.unblinded = published.map(str::to_owned).collect();
        log::info!("the network's secrets changed: {keys:?}");
    }

    /// The secret file cannot be read.
    pub(super) fn secrets_unread(&self) {
        if self.overlay.is_some() {
            log::error!("the secret file cannot be read; the running secrets stay");
        }
    }

    /// Publishes one address under new secrets: blinding it takes long, and calls do not wait.
    pub(super) fn publish_one_anew(&mut self, now: Instant) {
        let Some(aor) = self.unblinded.pop_front() else { return };
        let Some(overlay) = &mut self.overlay else { return };
        if let Err(full) = overlay.publish_anew(now, &aor) {
            log::warn!("{aor} is not in the overlay under every secret: {full}");
        }
    }
}
