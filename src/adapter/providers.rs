//! The providers' servers: where they are, whether they answer, and the way to them.

use super::call::{CallId, LegState};
use super::names::Local;
use super::sockets::Facing;
use super::{Adapter, ClientOwner, Wish, crossing, rewrite};
use crate::config::{Config, Mode, Provider};
use crate::limits::{LOCATE_AGAIN, PROVIDER_SOURCES_MAX};
use crate::net::{ConnId, Request, SocketKind, Via};
use crate::rng::Rng;
use crate::sip::Message;
use crate::sip::Name;
use crate::sip::Uri;
use crate::sip::Writer;
use crate::sip::locate::{Query, Targets, Transport};
use crate::sip::proxy::Routed;
use crate::sip::transaction::{Flow, TransactionError};
use crate::time::{Instant, earlier};
use std::net::{IpAddr, SocketAddr};

use super::inbound::Source;
use super::server::{Sent, ServerState, State};

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

    /// Its names are resolved at once.
    pub(crate) fn locate_again(&mut self, now: Instant) {
        self.locate_at = Some(now);
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

/// The way to a server.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// It stands.
    Ready(Flow, Local),
    /// A connection is being opened, or a name asked for.
    Dialing(Flow, Local),
    /// There is none.
    None(Flow, Local),
}

impl Way {
    /// Its flow, our own end, and how a leg on it begins.
    pub(crate) fn parts(self) -> (Flow, Local, LegState) {
        match self {
            Self::Ready(flow, local) => (flow, local, LegState::Silent),
            Self::Dialing(flow, local) => (flow, local, LegState::Dialing),
            Self::None(flow, local) => (flow, local, LegState::Failed),
        }
    }
}

/// A flow that does not stand yet; `to` is where it will lead.
fn unopened(to: SocketAddr) -> (Flow, Local) {
    let flow = Flow { via: Via::Stream(ConnId(u32::MAX)), to };
    (flow, Local::Socket { address: to, tcp: true })
}

fn nowhere() -> SocketAddr {
    (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
}

impl Adapter {
    /// The way from `phone` to its provider's server, or for phones of no provider to where the
    /// request says (RFC 3261 s16.6). `owner` is told when a way that is being opened stands.
    pub(crate) fn way_to_server(
        &mut self,
        now: Instant,
        owner: ClientOwner,
        provider: Option<u8>,
        phone: Option<Flow>,
        message: &Message<'_>,
    ) -> Way {
        let tcp_phone = phone.is_some_and(|flow| matches!(flow.via, Via::Stream(_)));
        let target = match provider {
            Some(at) => {
                let configured =
                    self.config.providers.get(usize::from(at)).and_then(|p| p.server.as_ref());
                let decided = configured.is_none_or(|s| s.transport.is_some());
                let target = self.providers.get(usize::from(at)).and_then(|p| p.targets.first());
                target.map(|t| {
                    (t.addr, if decided { t.transport == Transport::Tcp } else { tcp_phone })
                })
            }
            None => match self.literal_next_hop(message) {
                Some(to) => Some((to, tcp_phone)),
                None => return self.locate_next_hop(now, owner, message),
            },
        };
        match target {
            Some((to, tcp)) => self.way_to(to, tcp, phone.map(|flow| flow.to)),
            None => {
                let (flow, local) = unopened(nowhere());
                Way::None(flow, local)
            }
        }
    }

    /// The way to one address on the WAN side.
    pub(crate) fn way_to(&mut self, to: SocketAddr, tcp: bool, phone: Option<SocketAddr>) -> Way {
        let (flow, local) = unopened(to);
        if !tcp {
            let Some((socket, _)) = self.sockets.towards(Facing::Wan, SocketKind::Sip, to.ip())
            else {
                return Way::None(flow, local);
            };
            let flow = Flow { via: Via::Udp(socket), to };
            return match self.local_of(flow) {
                Some(local) => Way::Ready(flow, local),
                None => Way::None(flow, local),
            };
        }
        if let Some(connection) = self.sockets.connection_to(to, phone) {
            let flow = Flow { via: Via::Stream(connection.id), to };
            return match self.local_of(flow) {
                Some(local) => Way::Ready(flow, local),
                None => Way::None(flow, local),
            };
        }
        let from = self.sockets.towards(Facing::Wan, SocketKind::Sip, to.ip());
        let from = from.map(|(_, local)| local.ip());
        self.dial(Facing::Wan, from, to, phone);
        Way::Dialing(flow, local)
    }

    /// Asks for a connection, unless one to the same end is being opened already.
    pub(crate) fn dial(
        &mut self,
        facing: Facing,
        from: Option<IpAddr>,
        to: SocketAddr,
        phone: Option<SocketAddr>,
    ) {
        let under_way = self.wishes.values().any(
            |wish| matches!(wish, Wish::Connect { to: t, phone: p, .. } if (*t, *p) == (to, phone)),
        );
        if !under_way {
            self.wish(Wish::Connect { facing, to, phone }, Request::Connect { from, to });
        }
    }

    /// The URI that says where a request goes next: Route, else the Request-URI.
    pub(crate) fn next_hop_uri<'m>(&self, message: &Message<'m>) -> &'m str {
        let own = self.own_addresses();
        Routed::new(message, |uri| crossing::is_own(uri, &own)).next_hop()
    }

    /// Whether a request would come back to us: a dialog over the overlay that a restart lost.
    pub(crate) fn leads_back(&self, message: &Message<'_>) -> bool {
        let hop = self.literal_next_hop(message);
        hop.is_some_and(|hop| self.own_addresses().contains(&hop))
    }

    fn literal_next_hop(&self, message: &Message<'_>) -> Option<SocketAddr> {
        let uri = Uri::parse(self.next_hop_uri(message)).ok()?;
        let ip = super::names::literal(uri.host)?;
        Some((ip, uri.port.unwrap_or(5060)).into())
    }

    fn locate_next_hop(&mut self, now: Instant, owner: ClientOwner, message: &Message<'_>) -> Way {
        let (flow, local) = unopened(nowhere());
        let Ok(uri) = Uri::parse(self.next_hop_uri(message)) else {
            return Way::None(flow, local);
        };
        let preferred = Transport::Udp;
        let query = Query { host: uri.host, port: uri.port, transport: None, preferred };
        match self.locator.start(now, &query, owner.encode()) {
            Ok(()) => Way::Dialing(flow, local),
            Err(_) => Way::None(flow, local),
        }
    }

    /// Passes on what the locator asks and takes what it found.
    pub(crate) fn pump_locator(&mut self, now: Instant) {
        while let Some(question) = self.locator.poll_question() {
            let request = Request::Resolve { name: question.name, kind: question.kind };
            self.wish(Wish::Locate(question.id), request);
        }
        while let Some((user, found)) = self.locator.poll_found() {
            match ClientOwner::decode(user) {
                ClientOwner::Probe(at) => self.provider_located(now, at, found.ok()),
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
                // Only the best is used; the others take their turn with the next answer of DNS.
                provider.state.set_targets(1);
                provider.targets = targets;
            }
            _ => {
                let domain = self.config.providers.get(usize::from(at)).map(|p| p.domain.as_str());
                log::warn!("provider {}: its server has no address now", domain.unwrap_or("?"));
            }
        }
        provider.locate_at = Some(now + LOCATE_AGAIN);
    }

    /// A way that was being opened stands, or will not: whoever waits for it goes on.
    fn resume(&mut self, now: Instant, owner: ClientOwner, way: Option<Way>) {
        let way = way.unwrap_or_else(|| {
            let (flow, local) = unopened(nowhere());
            Way::None(flow, local)
        });
        match owner {
            ClientOwner::Leg(slot, at) => {
                if let Some(id) = self.calls.id_at(slot) {
                    self.leg_way_found(now, id, usize::from(at), way);
                }
            }
            ClientOwner::Exchange(slot) => {
                if let Some(id) = self.exchanges.id_at(slot) {
                    self.exchange_way_found(now, id, way);
                }
            }
            ClientOwner::Probe(_) | ClientOwner::Quiet => {}
        }
    }

    fn leg_way_found(&mut self, now: Instant, id: CallId, at: usize, way: Way) {
        let Some(leg) = self.calls.get_mut(id).and_then(|call| call.legs.get_mut(at)) else {
            return;
        };
        if leg.state != LegState::Dialing {
            return;
        }
        (leg.flow, leg.local, leg.state) = way.parts();
        if leg.state == LegState::Silent {
            self.send_invite(now, id, at);
        }
        self.advance(now, id);
    }

    /// A connection that was asked for stands, or was refused.
    pub(crate) fn dialed(&mut self, now: Instant, to: SocketAddr, way: Way) {
        let legs: Vec<(CallId, usize)> = self
            .calls
            .iter()
            .flat_map(|(id, call)| call.legs.iter().enumerate().map(move |(at, leg)| (id, at, leg)))
            .filter(|(_, _, leg)| leg.state == LegState::Dialing && leg.flow.to == to)
            .map(|(id, at, _)| (id, at))
            .collect();
        for (id, at) in legs {
            if let Some(leg) = self.calls.get_mut(id).and_then(|call| call.legs.get_mut(at))
                && let (Way::Ready(flow, local), Some(phone)) = (way, &mut leg.phone)
            {
                (phone.flow, phone.local) = (flow, local);
            }
            self.leg_way_found(now, id, at, way);
        }
        let exchanges: Vec<_> = self
            .exchanges
            .iter()
            .filter(|(_, e)| e.dialing.is_some_and(|flow| flow.to == to))
            .map(|(id, _)| id)
            .collect();
        for id in exchanges {
            self.exchange_way_found(now, id, way);
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
        if let Some(at) = self.provider_of_owner(owner) {
            if let Some(provider) = self.providers.get_mut(usize::from(at)) {
                provider.state.on_response(now, owner.encode());
                provider.note_source(from.ip());
            }
            self.note_change(now, at);
        } else if !self.foreign_sources.iter().any(|known| *known == from.ip()) {
            if self.foreign_sources.is_full() {
                self.foreign_sources.pop_front();
            }
            let _ = self.foreign_sources.push_back(from.ip());
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
                (leg.path == super::names::Path::Server).then_some(call.provider)?
            }
            ClientOwner::Exchange(slot) => {
                self.exchanges.get(self.exchanges.id_at(slot)?)?.provider
            }
            ClientOwner::Quiet => None,
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
        if !registered {
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
