//! New secrets of the network: those of the secret file, taken at a reload, and those that a CoSIP
//! server brings with a certificate, which take over by themselves
//! ([`crate::identity::rolling`]); without a restart and without a record lost.
//!
//! By hand a secret is exchanged in three reloads: everybody hears the new one, everybody sends it,
//! the old one is forgotten. What was brought is written down before the certificate that came with
//! it, into a file of its own.

use super::{Adapter, Wish};
use crate::config::Mode;
use crate::identity::NetworkKeys;
use crate::identity::network::NetworkSecrets;
use crate::identity::rolling::{NewSecret, Rolled, Shown};
use crate::json::{Value, json};
use crate::limits::NETWORK_SECRET_AHEAD;
use crate::net::{File, Request};
use crate::time::Instant;

/// Where the secrets of now come from.
#[derive(Default)]
pub(super) struct Secrets {
    file: NetworkSecrets,
    brought: Rolled,
    /// What was brought is not in its file yet.
    unsaved: bool,
}

impl Secrets {
    pub(super) fn new(keys: Option<&NetworkKeys>) -> Self {
        Self { file: keys.map(NetworkKeys::secrets).unwrap_or_default(), ..Self::default() }
    }

    /// Those of a CoSIP server itself, which keeps them elsewhere.
    #[cfg(feature = "server")]
    pub(super) fn of_server(file: NetworkSecrets, brought: Rolled) -> Self {
        Self { file, brought, unsaved: false }
    }
}

impl Adapter {
    /// The secret file was read again.
    pub(super) fn secrets_read(&mut self, now: Instant, text: &[u8]) {
        let text = core::str::from_utf8(text).unwrap_or_default();
        let keys = match NetworkKeys::parse(text, self.config.network_name()) {
            Ok(keys) => keys,
            Err(error) => return log::error!("{error}; the running secrets stay"),
        };
        if self.overlay.is_none() {
            if self.config.adapter.mode != Mode::Server {
                log::warn!("the network's secret is there now: a restart starts the overlay");
            }
            return;
        }
        self.enrolment.secrets.file = keys.secrets();
        self.review_secrets(now);
    }

    /// The secret file cannot be read.
    pub(super) fn secrets_unread(&self) {
        if self.overlay.is_some() {
            log::error!("the secret file cannot be read; the running secrets stay");
        }
    }

    /// What was brought before this start was read.
    pub(super) fn brought_read(&mut self, now: Instant, data: &[u8]) {
        match core::str::from_utf8(data).ok().and_then(Rolled::parse) {
            Some(brought) => self.enrolment.secrets.brought = brought,
            None => log::error!("the file of new secrets cannot be read; the next renewal helps"),
        }
        self.review_secrets(now);
    }

    /// A CoSIP server has brought a secret, with a certificate that holds.
    pub(super) fn secret_came(&mut self, now: Instant, new: Option<NewSecret>, issued_s: u32) {
        let latest_s = u64::from(issued_s) + NETWORK_SECRET_AHEAD.as_secs();
        let Some(new) = new.filter(|new| u64::from(new.sends_s) <= latest_s) else { return };
        let left_s = u64::from(new.sends_s).saturating_sub(self.channel_clock(now).now_s());
        let Secrets { file, brought, unsaved } = &mut self.enrolment.secrets;
        if brought.take(file, new) {
            *unsaved = true;
            self.enrolment.counters.secrets += 1;
            log::info!("a CoSIP server has brought a secret, to be sent in {} h", left_s / 3600);
            self.review_secrets(now);
            // Certificates that came before list nothing under it.
            self.look_soon_for_missing(now);
        }
    }

    /// A secret may take over now, or be over.
    pub(super) fn review_secrets(&mut self, now: Instant) {
        let now_s = self.channel_clock(now).now_s();
        let (Some(overlay), Some(channel)) = (&mut self.overlay, &mut self.channel) else { return };
        let secrets = self.enrolment.secrets.brought.at(now_s, &self.enrolment.secrets.file);
        if overlay.keys().secrets() == secrets {
            return;
        }
        let Some(keys) = NetworkKeys::of(&secrets, self.config.network_name()) else { return };
        overlay.set_network(&keys);
        channel.set_network(&keys);
        self.callers.forget();
        self.publish_all();
        log::info!("the network's secrets changed: {keys:?}, of which the first is sent");
    }

    /// Writes down what was brought, while nobody speaks.
    pub(super) fn save_secrets(&mut self) {
        if !self.calls.iter().any(|(_, call)| call.media.is_some()) {
            self.save_secrets_now();
        }
    }

    /// Writes down what was brought.
    pub(super) fn save_secrets_now(&mut self) {
        if core::mem::take(&mut self.enrolment.secrets.unsaved) {
            let text = self.enrolment.secrets.brought.to_text();
            self.wish(Wish::Nothing, Request::Save(File::Secrets, text.into_bytes()));
        }
    }

    /// The secrets of now by their key ids, and when what is brought takes over.
    pub(super) fn secrets_status(&self, now: Instant) -> Value {
        let Some(overlay) = &self.overlay else { return Value::Array(Vec::new()) };
        let now_s = self.channel_clock(now).now_s();
        let shown = self.enrolment.secrets.brought.shown(now_s, overlay.keys());
        let one = |it: Shown| {
            json!({
                "key_id": format!("{:02x}", it.key_id),
                "state": it.state.as_str(),
                "from_s": it.from_s,
                "until_s": it.until_s,
            })
        };
        shown.map(one).collect::<Value>()
    }
}
