//! The providers' servers: where they are, whether they answer, and the way to them.

use super::call::CallId;
use super::exchange::Purpose;
use super::sockets::Facing;
use super::{Adapter, ClientOwner, Wish, crossing, rewrite};
use crate::config::{Config, Mode, Provider};
use crate::limits::{LOCATE_AGAIN, PROVIDER_SOURCES_MAX};
use crate::net::{Request, SocketKind, Via};
use crate::rng::Rng;
use crate::sip::Name;
use crate::sip::Writer;
use crate::sip::locate::{Query, Targets, Transport};
use crate::sip::transaction::{Flow, TransactionError};
use crate::time::{Instant, earlier};
use std::net::{IpAddr, SocketAddr};

use super::inbound::Source;
use super::server::{Sent, ServerState, State};
use super::ways::Way;

/// One provider's server as it is now.
pub(crate) struct ProviderState {
    /// The verdict on it.
    pub(crate) state: ServerState,
    /// Where it is, best first.
    pub(crate) targets: Targets,
    /// Further sources that answered a REGISTER.
    pub(crate) sources: heapless::Deque<IpAddr, PROVIDER_SOURCES_MAX>,
    locate_at: Option<Instant>,
    keepalive_at: Option<Instant>,
}

impl ProviderState {
    /// One for each section, not located yet.
    pub(crate) fn all(config: &Config, rng: &mut Rng, now: Instant) -> Vec<Self> {
        let one = |provider: &Provider| Self {
            state: ServerState::new(now, provider, rng),
            targets: Targets::new(),
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
        earlier(earlier(self.state.poll_timeout(), self.locate_at), self.keepalive_at)
    }

    /// Its names are resolved at this instant; never: it is not asked any more.
    pub(crate) fn locate_again(&mut self, at: Option<Instant>) {
        self.locate_at = at;
        if at.is_none() {
            self.targets.clear();
        }
    }

    fn note_source(&mut self, ip: IpAddr) {
        if self.sources.iter().any(|known| *known == ip) {
            return;
        }
        if self.sources.is_full() {
            self.sources.pop_front();
        }
        let _ = self.sources.push_back(ip);
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
                ClientOwner::Probe(at) => self.provider_located(now, at, found.ok()),
                ClientOwner::Gateway(at) => self.gateway_located(at, found.ok()),
                ClientOwner::Quiet => {
                    let targets = found.unwrap_or_default();
                    self.bootstrap_located(now, user as usize, &targets);
                }
                owner => {
                    let to = found.ok().and_then(|targets| targets.first().copied());
                    let way = to.map(|t| self.way_to(t.addr, t.transport == Transport::Tcp, None));
                    self.resume(now, owner, way);
                }
            }
        }
    }

    fn provider_located(&mut self, now: Instant, at: u8, found: Option<Targets>) {
        let Some(provider) = self.providers.get_mut(usize::from(at)) else { return };
        match found {
            Some(targets) if !targets.is_empty() => {
                // Only the best is used so far, and its errors alone speak for the server.
                provider.state.set_targets(1);
                provider.targets = targets;
            }
            _ => {
                let domain = self.config.providers.get(usize::from(at)).map(|p| p.domain.as_str());
                log::warn!("provider {}: its server has no address now", domain.unwrap_or("?"));
            }
        }
        if self.config.adapter.mode != Mode::Overlay {
            provider.locate_at = Some(now + LOCATE_AGAIN);
        }
    }

    /// Whether a source on the WAN side is one of the providers' (CALLS §1.5).
    pub(crate) fn is_provider(&self, from: SocketAddr) -> bool {
        let ip = from.ip();
        let by_state = self.providers.iter().any(|provider| {
            provider.targets.iter().any(|t| t.addr.ip() == ip)
                || provider.sources.iter().any(|known| *known == ip)
        });
        let by_config = || {
            self.config.providers.iter().any(|p| p.server_net.iter().any(|net| net.contains(ip)))
        };
        by_state || by_config() || self.foreign_sources.iter().any(|known| *known == ip)
    }

    /// A request went to the server.
    pub(crate) fn server_asked(&mut self, now: Instant, provider: Option<u8>, key: u32) {
        if let Some(provider) = provider.and_then(|at| self.providers.get_mut(usize::from(at))) {
            provider.state.on_request_sent(now, key, Sent::Request);
        }
    }

    /// A response came from the WAN side.
    pub(crate) fn server_spoke(&mut self, now: Instant, owner: ClientOwner, source: Source) {
        let from = source.flow.to;
        let registers = self.is_registering(owner);
        if let Some(at) = self.provider_of_owner(owner) {
            if let Some(provider) = self.providers.get_mut(usize::from(at)) {
                provider.state.on_response(now, owner.encode());
                if registers {
                    provider.note_source(from.ip());
                }
            }
            self.note_change(now, at);
        } else if registers && !self.foreign_sources.iter().any(|known| *known == from.ip()) {
            if self.foreign_sources.is_full() {
                self.foreign_sources.pop_front();
            }
            let _ = self.foreign_sources.push_back(from.ip());
        }
    }

    /// Whether an answer to this request makes its sender known as a server: a REGISTER's or a
    /// probe's (CALLS §1.5).
    fn is_registering(&self, owner: ClientOwner) -> bool {
        match owner {
            ClientOwner::Probe(_) => true,
            ClientOwner::Exchange(slot) => {
                let exchange = self.exchanges.id_at(slot).and_then(|id| self.exchanges.get(id));
                exchange.is_some_and(|e| matches!(e.purpose, Purpose::Register(_)))
            }
            ClientOwner::Leg(..) | ClientOwner::Gateway(_) | ClientOwner::Quiet => false,
        }
    }

    /// A connection to a server was refused, or nobody answered.
    pub(crate) fn connect_failed(&mut self, now: Instant, to: SocketAddr) {
        for at in 0..self.providers.len() {
            let Some(provider) = self.providers.get_mut(at) else { return };
            if provider.targets.iter().any(|target| target.addr == to) {
                provider.state.on_transport_error(now, ClientOwner::Quiet.encode(), 0);
                self.note_change(now, at as u8);
            }
        }
    }

    /// A transaction with the server failed.
    pub(crate) fn server_failed(
        &mut self,
        now: Instant,
        owner: ClientOwner,
        error: TransactionError,
    ) {
        let Some(at) = self.provider_of_owner(owner) else { return };
        if let (Some(provider), TransactionError::Transport, false) =
            (self.providers.get_mut(usize::from(at)), error, self.own_link_failed)
        {
            provider.state.on_transport_error(now, owner.encode(), 0);
        }
        self.note_change(now, at);
    }

    fn provider_of_owner(&self, owner: ClientOwner) -> Option<u8> {
        match owner {
            ClientOwner::Probe(at) => Some(at),
            ClientOwner::Leg(slot, at) => {
                let call = self.calls.get(self.calls.id_at(slot)?)?;
                let leg = call.legs.get(usize::from(at))?;
                let asked = leg.path == super::names::Path::Server && leg.route.is_none();
                asked.then_some(call.provider)?
            }
            ClientOwner::Exchange(slot) => {
                self.exchanges.get(self.exchanges.id_at(slot)?)?.provider
            }
            ClientOwner::Gateway(_) | ClientOwner::Quiet => None,
        }
    }

    fn note_change(&mut self, now: Instant, at: u8) {
        let Some(provider) = self.providers.get_mut(usize::from(at)) else { return };
        let Some(state) = provider.state.poll_change() else { return };
        let reason = provider.state.reason();
        let domain = self.config.providers.get(usize::from(at)).map_or("?", |p| &p.domain);
        log::warn!("server of {domain} is {}: {reason}", state.as_str());
        if state == State::Up {
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
            self.keepalive_due(now, at);
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
        let query = match &options.server {
            Some(server) => Query {
                host: &server.host,
                port: server.port,
                transport: server.transport.map(|t| match t {
                    crate::config::Transport::Udp => Transport::Udp,
                    crate::config::Transport::Tcp => Transport::Tcp,
                }),
                preferred: Transport::Udp,
            },
            None => Query {
                host: &options.domain,
                port: None,
                transport: None,
                preferred: Transport::Udp,
            },
        };
        let owner = ClientOwner::Probe(at as u8).encode();
        if let Err(error) = self.locator.start(now, &query, owner) {
            log::warn!("provider {}: {error}", options.domain);
        }
    }

    /// CRLF towards the server holds the NAT's binding open (CALLS §2.1).
    fn keepalive_due(&mut self, now: Instant, at: usize) {
        let registered = self.registrar.iter().any(|(_, b)| usize::from(b.provider) == at);
        let (Some(provider), Some(options)) =
            (self.providers.get_mut(at), self.config.providers.get(at))
        else {
            return;
        };
        if !registered || provider.targets.is_empty() {
            provider.keepalive_at = None;
            return;
        }
        if provider.keepalive_at.is_some_and(|due| now < due) {
            return;
        }
        provider.keepalive_at = Some(now + self.rng.jitter(options.keepalive));
        let Some(target) = provider.targets.first().copied() else { return };
        if target.transport == Transport::Udp
            && let Some((socket, _)) =
                self.sockets.towards(Facing::Wan, SocketKind::Sip, target.addr.ip())
        {
            self.keep_alive(Flow { via: Via::Udp(socket), to: target.addr });
        }
    }

    /// OPTIONS from a registered AOR.
    fn probe(&mut self, now: Instant, at: u8) {
        let Some(aor) = self
            .registrar
            .iter()
            .find(|(_, binding)| binding.provider == at)
            .map(|(_, binding)| (binding.aor.as_str().to_owned(), binding.wan_user.clone()))
        else {
            return;
        };
        let Some(target) = self.providers.get(usize::from(at)).and_then(|p| p.targets.first())
        else {
            return;
        };
        let (to, tcp) = (target.addr, target.transport == Transport::Tcp);
        let Some(options) = self.config.providers.get(usize::from(at)) else { return };
        let domain = options.domain.clone();
        let Way::Ready(flow, local) = self.way_to(to, tcp, None) else { return };
        let (branch, tag, call) =
            (self.transactions.branch(), self.rng.next_u32(), self.rng.next_u64());
        let bytes = crossing::write(|out| {
            let mut writer = Writer::new(out);
            writer.request("OPTIONS", &format!("sip:{domain}"));
            rewrite::write_via(&mut writer, local, &branch);
            writer.header(Name::MaxForwards, 70);
            writer.header(Name::From, format_args!("<sip:{}>;tag={tag:08x}", aor.0));
            writer.header(Name::To, format_args!("<sip:{domain}>"));
            writer.header(Name::CallId, format_args!("{call:016x}"));
            writer.header(Name::CSeq, "1 OPTIONS");
            writer.header(Name::Contact, format_args!("<sip:{}@{}>", aor.1, local.host()));
            writer.finish(&[])
        });
        let owner = ClientOwner::Probe(at).encode();
        let Some(bytes) = bytes else { return };
        if self.transactions.send_request(now, flow, &bytes, owner).is_ok()
            && let Some(provider) = self.providers.get_mut(usize::from(at))
        {
            provider.state.on_request_sent(now, owner, Sent::Probe);
        }
    }
}
