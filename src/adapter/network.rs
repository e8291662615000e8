//! The adapter's surroundings: addresses, sockets, connections, the clock, settings, the end.

use super::sockets::Facing;
use super::{Adapter, Wish};
use crate::config::{Config, Mode};
use crate::limits::{ADDRESSES_A_SIDE_MAX, PORTMAP_STOP, STOP_PATIENCE};
use crate::net::{Answer, Event, Failure, Network, Request, SocketKind, Ticket, is_global};
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

/// A clock that shows less was never set.
pub(super) const YEAR_2024_S: u64 = 1_704_067_200;

/// Ports that `wan_sip_port 0` chooses from: above the well-known ones, below the kernel's own.
const WAN_PORT_MIN: u16 = 10_000;
const WAN_PORT_SPAN: u32 = 20_000;

/// Ports that are tried before the next regular care.
const WAN_PORT_TRIES_MAX: u8 = 16;

/// What the last reload of the settings has left to be told.
#[derive(Default)]
pub(super) struct Reloaded {
    /// Why the settings before are in force still.
    pub(super) error: Option<crate::config::Error>,
    /// Options that count from the next start on.
    pub(super) restart_pending: Vec<&'static str>,
}

impl Adapter {
    /// The router's addresses changed.
    pub(super) fn handle_network(&mut self, now: Instant, network: &Network) {
        if self.network == *network {
            return;
        }
        let wan_changed = self.network.wan != network.wan;
        self.network = network.clone();
        let beyond = |all: &[IpAddr]| all.len().saturating_sub(ADDRESSES_A_SIDE_MAX) as u64;
        self.counters.addresses_dropped += beyond(&network.lan) + beyond(&network.wan);
        if wan_changed {
            // What others saw of the old address says nothing about the new one.
            self.outside.forget_seen();
            let families = |v4: bool| network.wan.iter().any(|ip| ip.is_ipv4() == v4);
            self.locator.set_families(families(true), families(false));
            self.locate_providers(now);
        }
        if self.restoring.asked {
            self.want_sockets();
        } else {
            self.restoring.asked = true;
            self.load_files();
        }
        self.want_rules();
        self.media.set_addresses(&network.lan, &network.wan, self.outside.address());
        self.look_in_front(now);
        for provider in self.providers.iter_mut() {
            if network.wan_up {
                provider.state.link_up(now);
            } else {
                provider.state.link_down();
            }
        }
        if wan_changed {
            log::info!("WAN addresses: {:?}", self.network.wan);
            self.address_changed(now);
        }
    }

    /// The address that providers see of us is another one: phones are registered anew, and what
    /// was asked from the old one will not be answered.
    pub(super) fn address_changed(&mut self, now: Instant) {
        for provider in self.providers.iter_mut() {
            provider.state.own_link_failed();
        }
        self.forget_renewals();
        self.registrar.address_changed(now);
    }

    /// Closes sockets that have no place any more and asks for those that are missing.
    pub(super) fn want_sockets(&mut self) {
        let lan: Vec<IpAddr> =
            self.network.lan.iter().take(ADDRESSES_A_SIDE_MAX).copied().collect();
        let wan: Vec<IpAddr> =
            self.network.wan.iter().take(ADDRESSES_A_SIDE_MAX).copied().collect();
        let gone = self.sockets.retain(|socket| {
            let side = if socket.facing == Facing::Lan { &lan } else { &wan };
            side.contains(&socket.wanted.ip())
        });
        for socket in gone {
            self.wish(Wish::Nothing, Request::CloseSocket(socket));
        }
        let sip = self.config.adapter.sip_port;
        for ip in lan {
            self.sockets.want(Facing::Lan, SocketKind::Sip, (ip, sip).into());
            self.sockets.want(Facing::Lan, SocketKind::SipListener, (ip, sip).into());
        }
        if self.wan_sip_port == 0 {
            self.wan_sip_port = WAN_PORT_MIN + self.rng.below(WAN_PORT_SPAN) as u16;
        }
        for ip in wan {
            self.sockets.want(Facing::Wan, SocketKind::Sip, (ip, self.wan_sip_port).into());
            if self.overlay.is_some() {
                let overlay = (ip, self.config.overlay.port).into();
                self.sockets.want(Facing::Wan, SocketKind::Overlay, overlay);
                self.sockets.want(Facing::Wan, SocketKind::Overlay, (ip, 0).into());
            }
        }
        self.bind_missing();
    }

    /// Asks for sockets that are wanted and not bound.
    fn bind_missing(&mut self) {
        while let Some((kind, local)) = self.sockets.next_unbound() {
            self.wish(Wish::Bind(kind, local), Request::Bind { kind, local });
        }
    }

    /// Takes the driver's answer to a wish.
    pub(super) fn handle_answer(
        &mut self,
        now: Instant,
        ticket: Ticket,
        answer: Result<Answer<'_>, Failure>,
    ) {
        match (self.wishes.remove(&ticket), answer) {
            (Some(Wish::Bind(kind, wanted)), answer) => self.bound(now, (kind, wanted), answer),
            (Some(Wish::Media(ticket)), answer) => self.media.handle_answer(now, ticket, answer),
            (Some(Wish::Portmap(ticket)), answer) => {
                self.portmap.handle_answer(now, ticket, answer);
            }
            (Some(Wish::Connect(opening)), Ok(Answer::Connected(id, local))) => {
                self.opened(now, opening, Some((id, local)));
            }
            (Some(Wish::Connect(opening)), failure) => {
                if let Err(Failure::Refused | Failure::TimedOut) = failure {
                    self.connect_failed(now, opening.to);
                }
                self.opened(now, opening, None);
            }
            (Some(Wish::Locate(id)), answer) => {
                let records = match answer {
                    Ok(Answer::Resolved(records, ttl_s)) => Ok((records, ttl_s)),
                    Ok(_) => Err(Failure::System),
                    Err(failure) => Err(failure),
                };
                self.locator.on_answer(now, id, records);
                self.pump_locator(now);
            }
            (Some(Wish::Neighbour(server, source)), answer) => {
                let mac = match answer {
                    Ok(Answer::Neighbour(mac)) => Some(mac),
                    _ => None,
                };
                self.register_neighbour(now, server, source, mac);
            }
            (Some(Wish::Rules), answer) => self.rules_answered(answer),
            (Some(Wish::Load(file)), Ok(Answer::Loaded(data))) => {
                self.loaded(now, file, Some(data));
            }
            (Some(Wish::Load(file)), _) => self.loaded(now, file, None),
            (Some(Wish::Secrets), Ok(Answer::Loaded(text))) => {
                self.secrets_read(now, text);
            }
            (Some(Wish::Secrets), _) => self.secrets_unread(),
            _ => {}
        }
    }

    fn bound(
        &mut self,
        now: Instant,
        wanted: (SocketKind, SocketAddr),
        answer: Result<Answer<'_>, Failure>,
    ) {
        let bound = match answer {
            Ok(Answer::Bound(id, local)) => Some((id, local)),
            _ => None,
        };
        if !self.sockets.answered(wanted, bound) {
            if let Some((id, _)) = bound {
                self.wish(Wish::Nothing, Request::CloseSocket(id));
            }
            return;
        }
        match (bound, answer) {
            (None, Err(Failure::Address)) if self.choose_other_port(wanted) => {}
            (None, Err(failure)) => {
                log::error!("cannot listen on {}: {failure}; trying again", wanted.1);
            }
            _ if wanted.0 == SocketKind::Overlay && wanted.1.port() != 0 => self.overlay_bound(now),
            _ => {}
        }
        self.want_mappings(now);
        if self.sockets.settled(Facing::Lan, SocketKind::Sip) {
            self.restore_phones(now);
        }
    }

    /// The WAN port that was chosen is taken by somebody else: another is chosen.
    fn choose_other_port(&mut self, (kind, local): (SocketKind, SocketAddr)) -> bool {
        let chosen = self.config.adapter.wan_sip_port == 0 && local.port() == self.wan_sip_port;
        if kind != SocketKind::Sip || !chosen || self.wan_port_tries == WAN_PORT_TRIES_MAX {
            return false;
        }
        self.wan_port_tries += 1;
        self.wan_sip_port = 0;
        let gone = self.sockets.retain(|s| (s.facing, s.kind) != (Facing::Wan, SocketKind::Sip));
        for socket in gone {
            self.wish(Wish::Nothing, Request::CloseSocket(socket));
        }
        self.want_sockets();
        true
    }

    pub(super) fn overlay_bound(&mut self, now: Instant) {
        let mut local = self.sockets.addresses(Facing::Wan, SocketKind::Overlay);
        if let Some(public) = self.outside.given() {
            for address in &mut local {
                if address.is_ipv4() == public.is_ipv4() {
                    address.set_ip(public);
                }
            }
        }
        let (global, private): (Vec<_>, Vec<_>) =
            local.into_iter().partition(|address| self.counts_as_global(address.ip()));
        if let Some(overlay) = &mut self.overlay {
            overlay.set_local(now, &global, &private);
        }
        if let Some(channel) = &mut self.channel {
            channel.tell_new_address(now);
        }
        self.locate_bootstrap(now);
    }

    /// Whether an address of ours needs nobody's word: one that is global, or that the operator
    /// wrote down.
    fn counts_as_global(&self, ip: IpAddr) -> bool {
        is_global(ip) || self.is_written_down(ip)
    }

    /// Whether the operator wrote an address down.
    pub(super) fn is_written_down(&self, ip: IpAddr) -> bool {
        let adapter = &self.config.adapter;
        adapter.wan.iter().any(|wan| wan.parse() == Ok(ip)) || adapter.public_address == Some(ip)
    }

    /// The wall clock is known, or was set.
    pub(super) fn handle_clock(&mut self, now: Instant, unix_s: u64) {
        // A router starts in 1970: what was noted before the clock was set moves with it.
        let jump_s = unix_s.saturating_sub(self.unix_now(now));
        if !self.knows_time() && unix_s >= YEAR_2024_S {
            self.registrar.clock_set(jump_s, YEAR_2024_S);
        }
        self.unix_s = Some(unix_s);
        self.clock_at = now;
        self.tell_time(now);
    }

    /// Whether a clock was told that was set.
    pub(super) fn knows_time(&self) -> bool {
        self.unix_s.is_some_and(|unix_s| unix_s >= YEAR_2024_S)
    }

    /// Seconds since 1970, or since our start where no clock was told.
    pub(super) fn unix_now(&self, now: Instant) -> u64 {
        self.unix_s.unwrap_or(0) + now.since(self.clock_at).as_secs()
    }

    /// New settings: what applies live does, the rest is named and waits for a restart.
    pub(super) fn handle_config(&mut self, now: Instant, config: &Config) {
        let pending = Config::restart_needed(&self.config, config);
        if !pending.is_empty() {
            log::warn!("these settings apply after a restart: {}", pending.join(", "));
        }
        let merged = self.config.reloaded(config);
        let old = core::mem::replace(&mut self.config, merged);
        self.reloaded.restart_pending = pending;
        self.reloaded.error = None;
        self.contacts.clear();
        self.look_in_front(now);
        self.providers.configure(&self.config.providers);
        if old.adapter.mode != self.config.adapter.mode {
            log::info!("mode {}", self.config.adapter.mode.as_str());
            self.locate_providers(now);
        }
        self.want_rules();
        self.publish_as_configured(now);
        self.wish(Wish::Secrets, Request::Secrets);
        self.trust_changed(now);
        self.load_certificates();
        if old.emergency.route != self.config.emergency.route {
            self.gateways_changed(now);
        }
        if old.overlay.bootstrap != self.config.overlay.bootstrap {
            self.bootstrap_changed(now);
        }
    }

    /// Resolves the servers' names anew; in mode `overlay` there is no server.
    fn locate_providers(&mut self, now: Instant) {
        let wanted = self.config.adapter.mode != Mode::Overlay;
        for provider in self.providers.iter_mut() {
            provider.locate_again(wanted.then_some(now));
        }
    }

    /// A clean stop: what was published is withdrawn, what was learned is saved.
    pub(super) fn handle_stop(&mut self, now: Instant) {
        if self.stopping.is_some() {
            return;
        }
        self.stopping = Some(now);
        self.want_rules();
        self.portmap.stop(now);
        let published: Vec<String> =
            self.registrar.iter().flat_map(|(_, b)| b.addresses().map(str::to_owned)).collect();
        #[cfg(feature = "server")]
        let published: Vec<String> = published.into_iter().chain(self.desk_aor()).collect();
        if let Some(overlay) = &mut self.overlay {
            for aor in &published {
                overlay.withdraw(now, aor);
            }
        }
        self.save_all(now);
    }

    /// When what was withdrawn had time to be acknowledged, and the process may end.
    pub(super) fn stop_at(&self) -> Option<Instant> {
        let patience = if self.portmap.is_idle() { STOP_PATIENCE } else { PORTMAP_STOP };
        self.stopping.map(|since| since + patience)
    }

    /// The process may end.
    pub(super) fn stop_due(&mut self, now: Instant) {
        if self.stop_at().is_some_and(|at| now >= at) {
            self.stopping = None;
            self.events.push_back(Event::Stopped);
        }
    }

    /// Every own address that a Route of ours may name.
    pub(crate) fn own_addresses(&self) -> Vec<SocketAddr> {
        let mut own = self.sockets.addresses(Facing::Lan, SocketKind::Sip);
        for local in self.sockets.addresses(Facing::Wan, SocketKind::Sip) {
            own.push(local);
            if self.outside.of(local) != local {
                own.push(self.outside.of(local));
            }
        }
        own
    }

    /// Regular care: sockets that could not be bound, notices that came to nothing.
    pub(super) fn maintain(&mut self, now: Instant) {
        self.wan_port_tries = 0;
        self.log_shortages(now);
        self.save_time(now);
        // A certificate that lists what it is under is no use without the secret.
        self.save_secrets();
        self.save_certificates(now);
        self.save_list(now);
        self.review_secrets(now);
        self.review_certificates(now);
        self.bind_missing();
        self.want_rules();
        self.look_in_front(now);
        self.drop_idle_connections(now);
        self.forget_old_notices(now);
        if let Some(channel) = &mut self.channel {
            channel.review(now);
        }
        self.forget_old_referrals(now);
        if self.knows_time() {
            let unix_s = self.unix_now(now);
            self.registrar.forget_old(unix_s, self.config.adapter.survive_days);
        }
        let joined = self.overlay.as_ref().is_some_and(|overlay| overlay.status().joined);
        if self.config.adapter.mode != Mode::Server && !joined {
            self.locate_bootstrap(now);
        }
    }
}
