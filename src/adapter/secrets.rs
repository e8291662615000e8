//! New secrets of the network: taken at a reload, without a restart and without a record lost.
//!
//! The first secret of the file sends and all are heard, so a secret is exchanged in three
//! reloads: everybody hears the new one, everybody sends it, the old one is forgotten.

use super::Adapter;
use crate::config::Mode;
use crate::identity::NetworkKeys;

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
        self.callers.forget();
        self.publish_all();
        log::info!("the network's secrets changed: {keys:?}");
    }

    /// The secret file cannot be read.
    pub(super) fn secrets_unread(&self) {
        if self.overlay.is_some() {
            log::error!("the secret file cannot be read; the running secrets stay");
        }
    }
}
