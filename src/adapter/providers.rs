//! The providers' servers: where they are, whether they answer, and the way to them.

use super::call::CallId;
use super::inbound::Source;
use super::registrar::{Binding, FOREIGN};
use super::server::{Reason, Sent, ServerState, State};
use super::targets::{Target, TargetList};
use super::ways::Way;
use super::{Adapter, ClientOwner, Wish};
use crate::config::{Config, Mode, Provider, Server};
use crate::limits::{LOCATE_AGAIN, PROVIDER_SOURCES_MAX};
use crate::net::Request;
use crate::rng::Rng;
use crate::sip::locate::{Query, Targets, Transport};
use crate::sip::transaction::{ClientId, TransactionError};
use crate::time::{Instant, earlier};
use std::net::{IpAddr, SocketAddr};

/// One provider's server as it is now.
pub(crate) struct ProviderState {
    /// The verdict on it.
    pub(crate) state: ServerState,
    /// Where it is.
    pub(crate) targets: TargetList,
    /// The target of the last probe, until that is answered.
    pub(crate) probed: Option<SocketAddr>,
    /// Further sources that answered a REGISTER.
    pub(crate) sources: heapless::Deque<IpAddr, PROVIDER_SOURCES_MAX>,
    locate_at: Option<Instant>,
    /// When its keep-alives are due.
    pub(crate) keepalive_at: Option<Instant>,
}

impl ProviderState {
    /// One for each section, not located yet.
    pub(crate) fn all(config: &Config, rng: &mut Rng, now: Instant) -> Vec<Self> {
        let one = |provider: &Provider| Self {
            state: ServerState::new(now, provider, rng),
            targets: TargetList::default(),
            probed: None,
            sources: heapless::Deque::new(),
            locate_at: (config.adapter.mode != Mode::Overlay).then_some(now),
            keepalive_at: None,
        };
        config.providers.iter().map(one).collect()
    }

    /// Whether new calls wait for it.
    pub(crate) fn is_up(&self) -> bool {
        self.state.state() == State::Up
    }

    /// When it wants to be looked after.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.state.poll_timeout(), self.locate_at)
    }

    /// Its names are resolved at this instant; never: it is not asked any more.
    pub(crate) fn locate_again(&mut self, at: Option<Instant>) {
        self.locate_at = at;
        if at.is_none() {
            self.targets.clear();
        }
    }
}

impl Adapter {
    /// Passes on what the locator asks and takes what it found.
    pub(crate) fn pump_locator(&mut self, now: Instant) {
        while let Some(question) = self.locator.poll_question() {
            let request = Request::Resolve { name: question.name, kind: question.kind };
            self.wish(Wish::Locate(question.id), request);
        }
        while let Some((user, found)) = self.locator.poll_found() {
            match ClientOwner::decode(user) {
                ClientOwner::Locate(at, server) => {
                    self.provider_located(now, (at, server), found.ok());
                }
                ClientOwner::Gateway(at) => self.gateway_located(at, found.ok()),
                ClientOwner::Bootstrap(at) => {
                    let targets = found.unwrap_or_default();
                    self.bootstrap_located(now, usize::from(at), &targets);
                }
                owner => {
                    let to = found.ok().and_then(|targets| targets.first().copied());
                    let phone = self.phone_of_owner(owner);
                    let way = to.map_or(Way::None(None), |t| {
                        self.way_to(t.addr, t.transport == Transport::Tcp, phone, owner)
                    });
                    self.resume(now, owner, way);
                }
            }
        }
    }

    fn provider_located(&mut self, now: Instant, (at, server): (u8, u8), found: Option<Targets>) {
        let (Some(provider), Some(options)) =
            (self.providers.get_mut(usize::from(at)), self.config.providers.get(usize::from(at)))
        else {
            return;
        };
        match found {
            Some(targets) if !targets.is_empty() => {
                let named = server_of(options, server);
                let decided = named.is_none_or(|named| named.transport.is_some());
                provider.targets.locate(usize::from(server), &targets, decided);
                provider.state.set_targets(provider.targets.all().len() as u8);
            }
            _ => {
                let name = server_of(options, server).map_or(&options.domain, |s| &s.host);
                log::warn!("provider {}: {name} has no address now", options.domain);
            }
        }
        if self.config.adapter.mode != Mode::Overlay {
            provider.locate_at = Some(now + LOCATE_AGAIN);
        }
    }

    /// Whether a source on the WAN side speaks for anybody's provider (CALLS §1.5).
    pub(crate) fn is_provider(&self, from: SocketAddr) -> bool {
        let foreign =
            |binding: &Binding| binding.provider == FOREIGN && self.speaks_for(from, binding);
        (0..self.providers.len()).any(|at| self.is_source_of(at as u8, from.ip()))
            || self.registrar.iter().any(|(_, binding)| foreign(binding))
    }

    /// Whether a source on the WAN side speaks for the provider of this phone. Whoever has
    /// accepted a phone of no configured provider speaks for whom it has accepted, and for no
    /// other: any guest can have itself accepted by any host.
    pub(crate) fn speaks_for(&self, from: SocketAddr, phone: &Binding) -> bool {
        match phone.provider {
            FOREIGN => phone.accepted_by.is_some_and(|server| server.ip() == from.ip()),
            provider => self.is_source_of(provider, from.ip()),
        }
    }

    /// Whether it is one of the provider's targets, has answered a REGISTER for it, or is in its
    /// `server_net`.
    fn is_source_of(&self, provider: u8, ip: IpAddr) -> bool {
        let at = usize::from(provider);
        let state = self.providers.get(at);
        let options = self.config.providers.get(at);
        state.is_some_and(|p| p.targets.all().iter().any(|target| target.addr.ip() == ip))
            || state.is_some_and(|p| p.sources.iter().any(|known| *known == ip))
            || options.is_some_and(|p| p.server_net.iter().any(|net| net.contains(ip)))
    }

    /// A request went to one of the server's targets. What goes elsewhere, by Route or Contact,
    /// says nothing about them.
    pub(crate) fn server_asked(
        &mut self,
        now: Instant,
        provider: Option<u8>,
        to: SocketAddr,
        key: u32,
    ) {
        let provider = provider.and_then(|at| self.providers.get_mut(usize::from(at)));
        if let Some(provider) = provider.filter(|p| p.targets.number(to).is_some()) {
            provider.state.on_request_sent(now, key, Sent::Request);
        }
    }

    /// A response came from the WAN side.
    pub(crate) fn server_spoke(
        &mut self,
        now: Instant,
        (owner, client): (ClientOwner, ClientId),
        source: Source,
    ) {
        let from = source.flow.to;
        if !self.is_running(owner, client) {
            return self.server_lives(now, from);
        }
        let registers = self.is_registering(owner);
        let target = self.target_of_owner(owner);
        if let Some(at) = self.provider_of_owner(owner) {
            if let Some(provider) = self.providers.get_mut(usize::from(at)) {
                provider.state.on_response(now, owner.encode());
                let known = provider.targets.number(from).is_some();
                provider.targets.answered(if known { from } else { target.unwrap_or(from) });
                provider.probed = provider.probed.filter(|_| owner != ClientOwner::Probe(at));
                if registers {
                    note_source(&mut provider.sources, from.ip());
                }
            }
            self.note_change(now, at);
        }
    }

    /// A sign of life that answers nothing that is waited for.
    fn server_lives(&mut self, now: Instant, from: SocketAddr) {
        for at in 0..self.providers.len() {
            let Some(provider) = self.providers.get_mut(at) else { return };
            if provider.targets.number(from).is_some() {
                provider.state.on_heard(now);
                provider.targets.answered(from);
                self.note_change(now, at as u8);
            }
        }
    }

    /// A connection to a server was refused, or nobody answered.
    pub(crate) fn connect_failed(&mut self, now: Instant, to: SocketAddr) {
        for at in 0..self.providers.len() {
            let Some(provider) = self.providers.get_mut(at) else { return };
            if let Some(number) = provider.targets.number(to) {
                provider.state.on_transport_error(now, ClientOwner::Quiet.encode(), number);
                self.target_silent(now, Some(at as u8), to);
                self.note_change(now, at as u8);
            }
        }
    }

    /// A transaction with the server failed.
    pub(crate) fn server_failed(
        &mut self,
        now: Instant,
        (owner, client): (ClientOwner, ClientId),
        error: TransactionError,
    ) {
        if !self.is_running(owner, client) {
            return;
        }
        let Some(at) = self.provider_of_owner(owner) else { return };
        let target = self.target_of_owner(owner);
        let Some(provider) = self.providers.get_mut(usize::from(at)) else { return };
        if self.own_link_failed {
            provider.state.own_link_failed();
        } else if let Some(target) = target
            && let Some(number) = provider.targets.number(target)
        {
            if error == TransactionError::Transport {
                provider.state.on_transport_error(now, owner.encode(), number);
            }
            self.target_silent(now, Some(at), target);
        }
        self.note_change(now, at);
    }

    /// A target gave no answer in the time that was granted to it: the next one is tried.
    pub(crate) fn target_silent(&mut self, now: Instant, provider: Option<u8>, to: SocketAddr) {
        if let Some(provider) = provider.and_then(|at| self.providers.get_mut(usize::from(at))) {
            provider.targets.failed(now, to);
            if !provider.targets.serves(now, to) {
                self.registrar.target_lost(now, to);
            }
        }
    }

    /// The target that a phone which `accepted` has registered is to try next, beside those that
    /// were `tried`.
    pub(crate) fn next_target(
        &self,
        now: Instant,
        provider: u8,
        accepted: Option<SocketAddr>,
        tried: &[SocketAddr],
    ) -> Option<Target> {
        let provider = self.providers.get(usize::from(provider))?;
        let order = provider.targets.order(now, accepted);
        order.into_iter().find(|target| !tried.contains(&target.addr))
    }

    fn note_change(&mut self, now: Instant, at: u8) {
        let Some(provider) = self.providers.get_mut(usize::from(at)) else { return };
        let Some(state) = provider.state.poll_change() else { return };
        let reason = provider.state.reason();
        let domain = self.config.providers.get(usize::from(at)).map_or("?", |p| &p.domain);
        log::warn!("server of {domain} is {}: {reason}", state.as_str());
        // A suspicion that ended was no outage: the server knows its phones.
        if reason == Reason::Recovered {
            self.registrar.spread_refreshes(now, at, &mut self.rng);
        }
        let waiting: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| call.provider == Some(at) && call.winner.is_none())
            .map(|(id, _)| id)
            .collect();
        for id in waiting {
            self.advance(now, id);
        }
        let running: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| call.provider == Some(at) && call.winner.is_some())
            .map(|(id, _)| id)
            .collect();
        for id in running {
            self.watch_media(now, id);
        }
    }

    /// Looks after every provider whose time has come.
    pub(crate) fn providers_due(&mut self, now: Instant) {
        for at in 0..self.providers.len() {
            self.locate_due(now, at);
            let Some(provider) = self.providers.get_mut(at) else { return };
            provider.state.handle_timeout(now);
            if provider.state.probe_due(now) {
                self.probe(now, at as u8);
            }
            self.note_change(now, at as u8);
        }
        self.pump_locator(now);
    }

    fn locate_due(&mut self, now: Instant, at: usize) {
        let (Some(provider), Some(options)) =
            (self.providers.get_mut(at), self.config.providers.get(at))
        else {
            return;
        };
        if provider.locate_at.is_none_or(|due| now < due) {
            return;
        }
        provider.locate_at = Some(now + LOCATE_AGAIN);
        for server in 0..=options.fallback_server.len() {
            let query = match server_of(options, server as u8) {
                Some(server) => query_of(server),
                None => Query {
                    host: &options.domain,
                    port: None,
                    transport: None,
                    preferred: Transport::Udp,
                },
            };
            let owner = ClientOwner::Locate(at as u8, server as u8).encode();
            if let Err(error) = self.locator.start(now, &query, owner) {
                log::warn!("provider {}: {error}", options.domain);
            }
        }
    }
}

/// Notes who answered a REGISTER; the oldest makes room.
fn note_source<const N: usize>(sources: &mut heapless::Deque<IpAddr, N>, ip: IpAddr) {
    if sources.iter().any(|known| *known == ip) {
        return;
    }
    if sources.is_full() {
        sources.pop_front();
    }
    let _ = sources.push_back(ip);
}

/// The question where a server is.
pub(super) fn query_of(server: &Server) -> Query<'_> {
    let transport = server.transport.map(|transport| match transport {
        crate::config::Transport::Udp => Transport::Udp,
        crate::config::Transport::Tcp => Transport::Tcp,
    });
    Query { host: &server.host, port: server.port, transport, preferred: Transport::Udp }
}

/// Server number `at` of a section; none where the domain's own records say where it is.
fn server_of(options: &Provider, at: u8) -> Option<&Server> {
    match usize::from(at).checked_sub(1) {
        None => options.server.as_ref(),
        Some(fallback) => options.fallback_server.get(fallback),
    }
}
