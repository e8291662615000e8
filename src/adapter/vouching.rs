//! Who vouches for us and for others: certificates, trust anchors, what is revoked, and the time,
//! taken at the start and at a reload, without a restart and without a record lost.

use super::call::Call;
use super::names::Path;
use super::{Adapter, Wish, parts};
use crate::config::{Accept, Anchor};
use crate::identity::certificate::text;
use crate::identity::record::Key;
use crate::identity::trust::{Clock, Trust, Untrusted};
use crate::identity::{Certificate, Identity, PublicKey, TrustAnchors};
use crate::json::{Value, json};
use crate::limits::{BINDINGS_FILE_INTERVAL, BUILT_UNIX_S, CHANNEL_SESSIONS_MAX, STATE_FILE_PAUSE};
use crate::net::{File, Request};
use crate::overlay::Overlay;
use crate::time::Instant;
use std::sync::Arc;

const DAY_S: u64 = 86_400;

/// Whose key this is, and what is known of the time without a clock.
pub(super) struct Vouched {
    /// The adapter's key with the certificates of its file.
    identity: Identity,
    /// How many of them count, and are shown.
    shown: usize,
    /// The newest moment that the file of the time names, as far as it is known.
    saved_s: Option<u64>,
    /// Since when a certificate is not in its file yet.
    unsaved: Option<Instant>,
    /// The number of the list of revocations that is in its file, and when that was written.
    saved_list: (u32, Option<Instant>),
}

impl Vouched {
    pub(super) fn new(identity: &Identity) -> Self {
        Self {
            identity: identity.clone(),
            shown: 0,
            saved_s: None,
            unsaved: None,
            saved_list: (0, None),
        }
    }

    /// The adapter's key with its certificates, trusted or not.
    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The certificates that count now.
    fn counting(&self, now: Instant, overlay: &Overlay) -> Vec<Certificate> {
        let all = self.identity.certificates().iter();
        let required = overlay.trust().is_required();
        all.filter(|it| required && overlay.judge(now, it).is_ok()).cloned().collect()
    }

    /// The adapter's public key.
    pub(super) fn key(&self) -> PublicKey {
        self.identity.public()
    }
}

impl Adapter {
    /// The file of certificates was read, or there is none.
    pub(super) fn certificates_read(&mut self, now: Instant, data: Option<&[u8]>) {
        if self.vouched.unsaved.is_some() {
            return log::info!(
                "the certificates are newer than their file, which is still to come"
            );
        }
        let data = core::str::from_utf8(data.unwrap_or_default()).unwrap_or("\u{fffd}");
        let certificates = match text::parse(data) {
            Ok(certificates) => certificates,
            Err(error) => return log::error!("{error}; the running certificates stay"),
        };
        let certified = self.vouched.identity.clone().certified(&certificates);
        let strange = certificates.len() - certified.certificates().len();
        if strange > 0 {
            log::warn!("certificate file: {strange} of another key or place, or too many");
        }
        self.vouched.identity = certified;
        self.trust_changed(now);
    }

    /// A certificate has come that holds. Those stay with it that count and cover something for
    /// longer than all others.
    pub(super) fn certificate_taken(&mut self, now: Instant, certificate: &Certificate) {
        let Some(overlay) = &self.overlay else { return };
        let before = self.vouched.identity.certificates().iter();
        let counting = before.filter(|it| overlay.judge(now, it).is_ok());
        let all: Vec<&Certificate> = core::iter::once(certificate).chain(counting).collect();
        let lasts_longest = |of: &Certificate, key: &Key| {
            let rivals = all.iter().filter(|it| it.covers(key));
            rivals.map(|it| it.validity().until_s).max() == Some(of.validity().until_s)
        };
        let needed = |of: &Certificate| of.keys().any(|key| lasts_longest(of, &key));
        let mut kept: Vec<Certificate> =
            all.iter().filter(|it| needed(it)).map(|it| (*it).clone()).collect();
        kept.sort_by_key(|it| core::cmp::Reverse(it.validity().until_s));
        self.vouched.identity = self.vouched.identity.clone().certified(&kept);
        self.vouched.unsaved.get_or_insert(now);
        self.trust_changed(now);
    }

    /// Writes new certificates down once no further one is on its way, while nobody speaks.
    pub(super) fn save_certificates(&mut self, now: Instant) {
        let speaks = self.calls.iter().any(|(_, call)| call.media.is_some());
        let settled = |since| self.enrolment.is_quiet() || now >= since + STATE_FILE_PAUSE;
        if self.vouched.unsaved.is_some_and(settled) && !speaks {
            self.save_certificates_now();
        }
    }

    /// Writes new certificates down.
    pub(super) fn save_certificates_now(&mut self) {
        if self.vouched.unsaved.take().is_some() {
            let text = text::write(self.vouched.identity.certificates());
            self.wish(Wish::Nothing, Request::Save(File::Certificates, text.into_bytes()));
        }
    }

    /// A certificate may have ended, or begun.
    pub(super) fn review_certificates(&mut self, now: Instant) {
        let Some(overlay) = &self.overlay else { return };
        if self.vouched.counting(now, overlay).len() != self.vouched.shown {
            self.trust_changed(now);
        }
    }

    /// Trust anchors or certificates may be others than before.
    pub(super) fn trust_changed(&mut self, now: Instant) {
        let Some(overlay) = &mut self.overlay else { return };
        let anchors: TrustAnchors =
            self.config.identity.trust_anchor.iter().map(|Anchor(key)| *key).collect();
        let revocations = overlay.trust().revocations.clone();
        overlay.set_trust(now, &Trust { anchors, revocations });
        // Nobody would know us by a place for which nobody vouches any more, and nobody certify us.
        let counting = self.vouched.counting(now, overlay);
        self.vouched.shown = counting.len();
        let identity = self.vouched.identity.clone().certified(&counting);
        if overlay.set_certificates(now, identity.certificates()) {
            return self.instruct_channel(now, &identity);
        }
        log::info!("adapter {} is adapter {} from now on", self.id, identity.id());
        overlay.take_place(now, &identity);
        self.id = identity.id();
        let room = self.channel.as_ref().map_or(CHANNEL_SESSIONS_MAX, |it| it.sessions_max());
        let mut channel = parts::channel(&identity, Some(overlay.keys()), room, &mut self.rng);
        if let (Some(channel), Some(before)) = (&mut channel, &self.channel) {
            channel.count_on(before);
        }
        self.channel = channel;
        self.instruct_channel(now, &identity);
        self.contacts.clear();
        self.overlay_bound(now);
        self.publish_all();
    }

    /// Our own side has a list of revocations, in its file or its books.
    pub(super) fn list_read(&mut self, now: Instant, data: &[u8], place: &str) {
        let Some(overlay) = &mut self.overlay else { return };
        if overlay.offer_list(now, data).is_err() {
            log::warn!("{place}: no list of revocations that counts");
        }
    }

    /// Another list of revocations counts; whether it is the one that our own side has.
    pub(super) fn list_taken(&mut self, now: Instant, own: bool) {
        let Some(overlay) = &self.overlay else { return };
        let list = &overlay.trust().revocations;
        if own {
            self.vouched.saved_list.0 = list.number();
        }
        log::info!("list of revocations {}, {} on it", list.number(), list.len());
        self.end_revoked_calls(now);
        self.trust_changed(now);
    }

    /// Calls over the overlay end with those who are revoked, and all of them where we are.
    fn end_revoked_calls(&mut self, now: Instant) {
        let (Some(overlay), Some(channel)) = (&self.overlay, &self.channel) else { return };
        let is_revoked = |all: &[Certificate]| {
            let mut judged = all.iter().map(|it| overlay.judge(now, it));
            judged.any(|it| it == Err(Untrusted::Revoked))
                && all.iter().all(|it| overlay.judge(now, it).is_err())
        };
        let own = is_revoked(self.vouched.identity.certificates());
        let ends = |call: &Call| {
            call.dialogs.iter().any(|dialog| match dialog.far().path {
                Path::Peer(peer) if peer != self.id => {
                    own || is_revoked(channel.certificates_of(peer))
                }
                _ => false,
            })
        };
        let over = self.calls.iter().filter(|(_, call)| ends(call)).map(|(id, _)| id);
        for id in over.collect::<Vec<_>>() {
            self.end_call(now, id, "an adapter's certificate was revoked");
        }
    }

    /// Writes a newer list down, while nobody speaks.
    pub(super) fn save_list(&mut self, now: Instant) {
        let speaks = self.calls.iter().any(|(_, call)| call.media.is_some());
        let (_, written) = self.vouched.saved_list;
        if !speaks && written.is_none_or(|at| now >= at + BINDINGS_FILE_INTERVAL) {
            self.save_list_now(now);
        }
    }

    /// Writes a newer list down.
    pub(super) fn save_list_now(&mut self, now: Instant) {
        let Some(overlay) = &self.overlay else { return };
        let list = &overlay.trust().revocations;
        if list.number() > self.vouched.saved_list.0 {
            self.vouched.saved_list = (list.number(), Some(now));
            let file = Request::Save(File::Revocations, list.to_bytes());
            self.wish(Wish::Nothing, file);
        }
    }

    /// What people are told of it.
    pub(super) fn list_status(&self) -> Value {
        let list = self.overlay.as_ref().map(|overlay| &overlay.trust().revocations);
        let [number, entries] =
            list.map_or([0; 2], |list| [u64::from(list.number()), list.len() as u64]);
        json!({ "number": number, "entries": entries })
    }

    /// The channel hears what others vouch for, and whose word about others counts: of nobody
    /// where there are no trust anchors.
    fn instruct_channel(&mut self, now: Instant, identity: &Identity) {
        let clock = self.channel_clock(now);
        let takes_uncertified = self.takes_uncertified();
        let (Some(overlay), Some(channel)) = (&self.overlay, &mut self.channel) else { return };
        channel.set_identity(identity);
        channel.take_uncertified(takes_uncertified);
        channel.set_trust(now, Arc::new(overlay.trust().clone()), clock);
    }

    /// Whether those may talk to us for whom nobody vouches: callers, or who comes for a
    /// certificate.
    fn takes_uncertified(&self) -> bool {
        #[cfg(feature = "server")]
        if self.enrolment.desk.is_some() {
            return true;
        }
        self.config.identity.accept == Accept::Network
    }

    /// What time it is, for the channel.
    pub(super) fn channel_clock(&self, now: Instant) -> Clock {
        let floor_s = self.overlay.as_ref().map_or(0, |overlay| overlay.time_floor_s(now));
        Clock { unix_s: self.knows_time().then(|| self.unix_now(now)), floor_s }
    }

    /// The overlay hears what time it is.
    pub(super) fn tell_time(&mut self, now: Instant) {
        let unix_s = self.knows_time().then(|| self.unix_now(now));
        let floor_s = self.vouched.saved_s.unwrap_or(0).max(BUILT_UNIX_S);
        if let Some(overlay) = &mut self.overlay {
            overlay.set_clock(now, Clock { unix_s, floor_s });
        }
        let clock = self.channel_clock(now);
        if let Some(channel) = &mut self.channel {
            channel.set_clock(now, clock);
        }
    }

    /// The file of the time was read, or there is none.
    pub(super) fn time_read(&mut self, now: Instant, data: Option<&[u8]>) {
        let text = core::str::from_utf8(data.unwrap_or_default()).unwrap_or_default();
        self.vouched.saved_s = Some(text.trim().parse().unwrap_or(0));
        self.tell_time(now);
    }

    /// Writes down what time it is at least, once a day: the next start may be in 1970.
    pub(super) fn save_time(&mut self, now: Instant) {
        let (Some(overlay), Some(saved_s)) = (&self.overlay, self.vouched.saved_s) else { return };
        let floor_s = overlay.time_floor_s(now);
        let speaks = self.calls.iter().any(|(_, call)| call.media.is_some());
        let required = overlay.trust().is_required();
        if required && !speaks && floor_s >= saved_s + DAY_S {
            self.vouched.saved_s = Some(floor_s);
            let file = Request::Save(File::Time, format!("{floor_s}\n").into_bytes());
            self.wish(Wish::Nothing, file);
        }
    }
}
