//! What outlives a restart: known phones, our WAN port, peers of the overlay; and the time, see
//! `vouching`, and secrets, see `secrets`.
//!
//! Under `--run` every change is written at once, those that follow within a second together;
//! under `--state`, which is flash, at most hourly, on a new address and at a stop, and never while
//! media is relayed (DESIGN §2); peers once soon after a start, then daily.

use super::Adapter;
use super::network::YEAR_2024_S;
use super::registrar::Binding;
use super::ways::unopened;
use crate::limits::{
    BINDINGS_FILE_INTERVAL, BINDINGS_FILE_VERSION, PEERS_FILE_INTERVAL, RENEWAL_WAIT,
    STATE_FILE_PAUSE, VOLATILE_FILE_DELAY, VOLATILE_FILE_INTERVAL,
};
use crate::net::{File, Mac, Request, SocketId, SocketKind, Via};
use crate::sip::transaction::Flow;
use crate::time::{Duration, Instant, earlier};
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// When which file is due.
pub(super) struct Persist {
    volatile_at: Option<Instant>,
    /// Not written again before this.
    volatile_next: Instant,
    bindings_at: Option<Instant>,
    bindings_written: Instant,
    peers_at: Option<Instant>,
    /// Whether peers were written since the start.
    peers_saved: bool,
}

/// How far the files of the last run are taken in.
#[derive(Default)]
pub(super) struct Restoring {
    /// They were asked for.
    pub(super) asked: bool,
    /// They are in: what is saved now does not wipe them.
    pub(super) read: bool,
    /// Phones of the last run, until they can be reached; from the volatile file or from flash.
    pub(super) phones: Option<(bool, Vec<u8>)>,
}

impl Persist {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            volatile_at: None,
            volatile_next: now,
            bindings_at: None,
            bindings_written: now,
            peers_at: Some(now + PEERS_FILE_INTERVAL),
            peers_saved: false,
        }
    }

    /// A registration changed; `new`: an address that was not known before.
    pub(super) fn bindings_changed(&mut self, now: Instant, new: bool) {
        let soon = (now + VOLATILE_FILE_DELAY).max(self.volatile_next);
        self.volatile_at = earlier(self.volatile_at, Some(soon));
        let hourly = self.bindings_written + BINDINGS_FILE_INTERVAL;
        let at = if new { now + VOLATILE_FILE_DELAY } else { hourly.max(now) };
        self.bindings_at = earlier(self.bindings_at, Some(at));
    }

    /// Whether the volatile file is due; if so, its time is taken as used.
    fn take_volatile(&mut self, now: Instant) -> bool {
        let due = self.volatile_at.is_some_and(|at| now >= at);
        if due {
            self.volatile_at = None;
            self.volatile_next = now + VOLATILE_FILE_INTERVAL;
        }
        due
    }

    /// What is due on flash waits: that takes long, and somebody's speech would wait for it.
    fn put_off(&mut self, now: Instant) {
        for at in [&mut self.bindings_at, &mut self.peers_at] {
            *at = at.map(|at| if now >= at { now + STATE_FILE_PAUSE } else { at });
        }
    }

    /// The overlay was joined: its members are worth remembering soon, but for those of whom the
    /// flash knows since this start: each outage of the line has it joined again.
    pub(super) fn peers_changed(&mut self, now: Instant) {
        if !self.peers_saved {
            self.peers_at = earlier(self.peers_at, Some(now + STATE_FILE_PAUSE));
        }
    }

    /// It was the peers' turn, and they were written if there were any.
    fn peers_done(&mut self, now: Instant, saved: bool) {
        self.peers_at = Some(now + PEERS_FILE_INTERVAL);
        self.peers_saved |= saved;
    }

    /// When the next file is due.
    pub(super) fn due(&self) -> Option<Instant> {
        earlier(earlier(self.volatile_at, self.bindings_at), self.peers_at)
    }
}

/// One phone in the file.
#[derive(Serialize, Deserialize)]
struct Saved<'a> {
    aor: &'a str,
    aliases: Vec<&'a str>,
    domain: &'a str,
    contact: &'a str,
    wan_user: &'a str,
    instance: &'a str,
    mac: Option<Mac>,
    call_id: &'a str,
    cseq: u32,
    address: SocketAddr,
    tcp: bool,
    chosen: Option<SocketAddr>,
    expires_s: u32,
    /// Seconds that the provider granted, and what was left of them.
    granted_s: u32,
    granted_left_s: u32,
    accepted_by: Option<SocketAddr>,
    known_since_s: u64,
    /// The phone's REGISTER, where an account repeats it.
    template: &'a [u8],
}

/// Where a file is written to, string by string; postcard's own goes byte by byte.
struct Bytes(Vec<u8>);

impl Flavor for Bytes {
    type Output = Vec<u8>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

#[derive(Serialize, Deserialize)]
struct Head {
    version: u8,
    unix_s: u64,
    wan_sip_port: u16,
    phones: u16,
}

impl Adapter {
    /// Asks for the files of the last run: this boot's first, else what flash keeps.
    pub(super) fn load_files(&mut self) {
        self.wish(super::Wish::Load(File::Volatile), Request::Load(File::Volatile));
        self.wish(super::Wish::Load(File::Peers), Request::Load(File::Peers));
        self.wish(super::Wish::Load(File::Time), Request::Load(File::Time));
        self.wish(super::Wish::Load(File::Secrets), Request::Load(File::Secrets));
        self.load_certificates();
        // At the place that these give.
        self.wish(super::Wish::Load(File::Revocations), Request::Load(File::Revocations));
    }

    /// Asks for what others vouch for: at the start, and after a reload.
    pub(super) fn load_certificates(&mut self) {
        self.wish(super::Wish::Load(File::Certificates), Request::Load(File::Certificates));
    }

    /// Takes a file of the last run, or that there is none.
    pub(super) fn loaded(&mut self, now: Instant, file: File, data: Option<&[u8]>) {
        match (file, data) {
            (File::Volatile, None) => {
                self.wish(super::Wish::Load(File::Bindings), Request::Load(File::Bindings));
            }
            (File::Volatile | File::Bindings, data) => {
                let data = data.unwrap_or_default();
                if let Ok((head, _)) = postcard::take_from_bytes::<Head>(data)
                    && head.version == BINDINGS_FILE_VERSION
                    && self.wan_sip_port == 0
                {
                    self.wan_sip_port = head.wan_sip_port;
                }
                self.restoring.phones = Some((file == File::Volatile, data.to_vec()));
                self.want_sockets();
            }
            (File::Peers, Some(data)) => {
                if let Some(overlay) = &mut self.overlay {
                    overlay.load_peers(now, data);
                }
            }
            (File::Certificates, data) => self.certificates_read(now, data),
            (File::Time, data) => self.time_read(now, data),
            (File::Revocations, Some(data)) => self.list_read(now, data, "file of revocations"),
            (File::Secrets, Some(data)) => self.brought_read(now, data),
            (File::Peers | File::Revocations | File::Secrets, None) => {}
        }
    }

    /// Once phones can be reached: those of the last run are put back.
    pub(super) fn restore_phones(&mut self, now: Instant) {
        let Some((volatile, data)) = self.restoring.phones.take() else { return };
        self.restoring.read = true;
        if !data.is_empty() && self.read_bindings(now, &data, volatile).is_none() {
            log::warn!("the file of learned phones cannot be read; they are learned anew");
        }
    }

    /// Writes the files that are due.
    pub(super) fn save_due(&mut self, now: Instant) {
        if self.persist.take_volatile(now) {
            self.save_bindings(now, File::Volatile);
        }
        if self.calls.iter().any(|(_, call)| call.media.is_some()) {
            self.persist.put_off(now);
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if is_due(self.persist.bindings_at) {
            self.persist.bindings_at = None;
            self.persist.bindings_written = now;
            self.save_bindings(now, File::Bindings);
        }
        if is_due(self.persist.peers_at) {
            let saved = self.save_peers();
            self.persist.peers_done(now, saved);
        }
    }

    /// Writes everything: a clean stop.
    pub(super) fn save_all(&mut self, now: Instant) {
        self.save_bindings(now, File::Volatile);
        self.save_bindings(now, File::Bindings);
        self.save_peers();
        self.save_secrets_now();
        self.save_certificates_now();
        self.save_list_now(now);
        self.persist.volatile_at = None;
        self.persist.bindings_at = None;
    }

    /// Whether there are any.
    fn save_peers(&mut self) -> bool {
        let Some(overlay) = &self.overlay else { return false };
        let status = overlay.status();
        let any = status.peers + status.suspects > 0;
        if any {
            let data = overlay.save_peers();
            self.wish(super::Wish::Nothing, Request::Save(File::Peers, data));
        }
        any
    }

    fn save_bindings(&mut self, now: Instant, file: File) {
        if !self.restoring.read {
            return;
        }
        let phones: Vec<&Binding> = self.registrar.known().map(|(_, binding)| binding).collect();
        let head = Head {
            version: BINDINGS_FILE_VERSION,
            unix_s: self.unix_now(now),
            wan_sip_port: self.wan_sip_port,
            phones: phones.len() as u16,
        };
        let Ok(mut data) = postcard::serialize_with_flavor(&head, Bytes(Vec::new())) else {
            return;
        };
        for binding in phones {
            let provider = self.providers.get(binding.provider);
            let seconds = |at: Instant| at.since(now).as_secs() as u32;
            let saved = Saved {
                aor: &binding.aor,
                aliases: binding.aliases.iter().map(String::as_str).collect(),
                domain: provider.map_or("", |provider| &provider.options.domain),
                contact: &binding.contact,
                wan_user: &binding.wan_user,
                instance: &binding.instance,
                mac: binding.mac,
                call_id: &binding.call_id,
                cseq: binding.asked.cseq,
                address: binding.flow.to,
                tcp: matches!(binding.flow.via, Via::Stream(_)),
                chosen: binding.chosen,
                expires_s: if binding.registered { seconds(binding.expires_at) } else { 0 },
                granted_s: binding.granted_s,
                granted_left_s: seconds(binding.granted_until),
                accepted_by: binding.accepted_by,
                known_since_s: binding.known_since_s,
                template: &binding.own.template,
            };
            match postcard::serialize_with_flavor(&saved, Bytes(data)) {
                Ok(extended) => data = extended,
                Err(_) => return,
            }
        }
        self.wish(super::Wish::Nothing, Request::Save(file, data));
    }

    fn read_bindings(&mut self, now: Instant, data: &[u8], volatile: bool) -> Option<()> {
        let (head, mut rest) = postcard::take_from_bytes::<Head>(data).ok()?;
        if head.version != BINDINGS_FILE_VERSION {
            return None;
        }
        let since_s = match self.unix_s {
            Some(_) => self.unix_now(now).saturating_sub(head.unix_s),
            None => 0,
        };
        // Written before the clock was set: for how long we were away nobody knows, and what was
        // noted on that clock was noted so much later on this one.
        let unset = self.knows_time() && head.unix_s < YEAR_2024_S;
        let (away_s, later_s) = if unset { (0, since_s) } else { (since_s, 0) };
        for _ in 0..head.phones.min(self.config.adapter.max_phones) {
            let (saved, left) = postcard::take_from_bytes::<Saved<'_>>(rest).ok()?;
            rest = left;
            self.restore_phone(now, &saved, (away_s, later_s), volatile);
        }
        Some(())
    }

    /// A phone of the last run: still registered where its time is not over, else only known.
    fn restore_phone(
        &mut self,
        now: Instant,
        saved: &Saved<'_>,
        (away_s, later_s): (u64, u64),
        volatile: bool,
    ) {
        let domain = saved.domain;
        let Some(provider) = self.providers.find(|p| p.options.domain == domain) else {
            return;
        };
        let Some(socket) = self.lan_socket(saved.address.ip()) else { return };
        let left =
            |seconds: u32| now + Duration::from_secs(u64::from(seconds).saturating_sub(away_s));
        let flow = match (saved.tcp, saved.chosen) {
            (true, _) => unopened(saved.address),
            (false, Some(chosen)) => Flow { via: Via::Intercepted(chosen), to: saved.address },
            (false, None) => Flow { via: Via::Udp(socket), to: saved.address },
        };
        let expires_at = left(saved.expires_s);
        let mut binding = Binding::restored(saved.aor.to_owned(), provider, flow, expires_at);
        binding.aliases = saved
            .aliases
            .iter()
            .take(crate::limits::ALIASES_MAX - 1)
            .map(|alias| (*alias).to_owned())
            .collect();
        binding.contact = saved.contact.to_owned();
        binding.wan_user = saved.wan_user.to_owned();
        binding.instance = saved.instance.to_owned();
        binding.mac = saved.mac;
        binding.call_id = saved.call_id.to_owned();
        binding.asked.cseq = saved.cseq;
        binding.granted_s = saved.granted_s;
        (binding.chosen, binding.accepted_by) = (saved.chosen, saved.accepted_by);
        self.adopt_again(provider, saved.chosen);
        binding.known_since_s = saved.known_since_s;
        if saved.known_since_s < YEAR_2024_S {
            binding.known_since_s += later_s;
        }
        binding.own.template = saved.template.into();
        binding.registered = volatile && expires_at > now;
        // What was granted to a phone that is only known, perhaps at another address, is over: it
        // is not one that is kept registered without it.
        let granted = binding.registered.then_some(saved.granted_left_s);
        binding.granted_until = granted.map_or(now, left);
        if let Some(id) = self.registrar.restore(binding)
            && self.registrar.get(id).is_some_and(|b| b.registered)
        {
            self.publish(now, id);
            self.registrar.renew_at(id, now + RENEWAL_WAIT);
        }
    }

    /// Our own socket towards a phone.
    pub(super) fn lan_socket(&self, phone: IpAddr) -> Option<SocketId> {
        let facing = super::sockets::Facing::Lan;
        self.sockets.towards(facing, SocketKind::Sip, phone).map(|(socket, _)| socket)
    }
}

#[cfg(test)]
mod tests;
