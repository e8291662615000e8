//! The providers: their sections, who speaks for them, and whether their servers answer. Where
//! those are, `locate` finds.

pub(crate) mod locate;

use super::call::{Call, CallId};
use super::inbound::Source;
use super::registrar::Binding;
use super::server::{Reason, Sent, ServerState, State};
use super::targets::{Target, TargetList};
use super::{Adapter, ClientOwner};
use crate::config::{Config, Mode, Provider};
use crate::limits::PROVIDER_SOURCES_MAX;
use crate::rng::Rng;
use crate::sip::transaction::{ClientId, TransactionError};
use crate::time::{Instant, earlier};
use std::net::{IpAddr, SocketAddr};

/// Names a provider: a section of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProviderId(pub(crate) u8);

/// One provider, and its server as that is now.
pub(crate) struct ProviderState {
    /// The options of its section.
    pub(crate) options: Provider,
    /// The verdict on its server.
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
    /// Whether new calls wait for it.
    pub(crate) fn is_up(&self) -> bool {
        self.state.state() == State::Up
    }

    /// When it wants to be looked after.
    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.state.poll_timeout(), self.locate_at)
    }

    /// Takes a server that a phone chose by itself. False where there is no room for it.
    pub(crate) fn adopt(&mut self, addr: SocketAddr) -> bool {
        self.targets.adopt(addr);
        let all = self.targets.all();
        self.state.set_targets(all.len() as u8);
        all.iter().any(|target| target.addr == addr)
    }

    /// Its names are resolved at this instant; never: it is not asked any more.
    pub(crate) fn locate_again(&mut self, at: Option<Instant>) {
        self.locate_at = at;
        if at.is_none() {
            self.targets.clear();
        }
    }

    /// Whether a host is one of its targets, has answered a REGISTER for it, or is in its
    /// `server_net`.
    fn has_source(&self, ip: IpAddr) -> bool {
        self.targets.all().iter().any(|target| target.addr.ip() == ip)
            || self.sources.iter().any(|known| *known == ip)
            || self.options.server_net.iter().any(|net| net.contains(ip))
    }
}

/// All providers of the settings. None that is asked for has none of it.
pub(crate) struct Providers {
    all: Vec<ProviderState>,
    /// What holds for phones of no configured provider.
    pub(crate) defaults: Provider,
}

impl Providers {
    /// One for each section, not located yet.
    pub(crate) fn new(config: &Config, rng: &mut Rng, now: Instant) -> Self {
        let one = |options: &Provider| ProviderState {
            options: options.clone(),
            state: ServerState::new(now, options, rng),
            targets: TargetList::default(),
            probed: None,
            sources: heapless::Deque::new(),
            locate_at: (config.adapter.mode != Mode::Overlay).then_some(now),
            keepalive_at: None,
        };
        Self { all: config.providers.iter().map(one).collect(), defaults: Provider::default() }
    }

    /// Takes the options of a reload, which adds and drops no section.
    pub(crate) fn configure(&mut self, sections: &[Provider]) {
        for (provider, options) in self.all.iter_mut().zip(sections) {
            provider.state.configure(options);
            provider.options = options.clone();
        }
    }

    /// The one of this name.
    pub(crate) fn get(&self, id: impl Into<Option<ProviderId>>) -> Option<&ProviderState> {
        self.all.get(usize::from(id.into()?.0))
    }

    /// The one of this name.
    pub(crate) fn get_mut(
        &mut self,
        id: impl Into<Option<ProviderId>>,
    ) -> Option<&mut ProviderState> {
        self.all.get_mut(usize::from(id.into()?.0))
    }

    /// The options of one; the defaults, where there is none.
    pub(crate) fn options(&self, id: impl Into<Option<ProviderId>>) -> &Provider {
        self.get(id).map_or(&self.defaults, |provider| &provider.options)
    }

    /// What is thought of its server; of none that is configured, nothing bad.
    pub(crate) fn state_of(&self, id: impl Into<Option<ProviderId>>) -> State {
        self.get(id).map_or(State::Up, |provider| provider.state.state())
    }

    /// All names. They stay what they are.
    pub(crate) fn ids(&self) -> impl Iterator<Item = ProviderId> + use<> {
        (0..self.all.len()).map(|at| ProviderId(at as u8))
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProviderId, &ProviderState)> {
        self.ids().zip(&self.all)
    }

    /// All of them, to change.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut ProviderState> {
        self.all.iter_mut()
    }

    /// The first that is as wanted.
    pub(crate) fn find(&self, is: impl Fn(&ProviderState) -> bool) -> Option<ProviderId> {
        self.iter().find(|(_, provider)| is(provider)).map(|(id, _)| id)
    }
}

impl Adapter {
    /// Whether a source on the WAN side speaks for anybody's provider (CALLS §1.5).
    pub(crate) fn is_provider(&self, from: SocketAddr) -> bool {
        let foreign =
            |binding: &Binding| binding.provider.is_none() && self.speaks_for(from, binding);
        self.providers.iter().any(|(_, provider)| provider.has_source(from.ip()))
            || self.registrar.iter().any(|(_, binding)| foreign(binding))
    }

    /// Whether a source on the WAN side speaks for the provider of this phone. Whoever has
    /// accepted a phone of no configured provider speaks for whom it has accepted, and for no
    /// other: any guest can have itself accepted by any host.
    pub(crate) fn speaks_for(&self, from: SocketAddr, phone: &Binding) -> bool {
        match phone.provider {
            None => phone.accepted_by.is_some_and(|server| server.ip() == from.ip()),
            id => self.providers.get(id).is_some_and(|provider| provider.has_source(from.ip())),
        }
    }

    /// A request went to one of the server's targets. What goes elsewhere, by Route or Contact,
    /// says nothing about them.
    pub(crate) fn server_asked(
        &mut self,
        now: Instant,
        provider: Option<ProviderId>,
        to: SocketAddr,
        key: u32,
    ) {
        let provider = self.providers.get_mut(provider);
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
        if let Some(id) = self.provider_of_owner(owner) {
            if let Some(provider) = self.providers.get_mut(id) {
                provider.state.on_response(now, owner.encode());
                let known = provider.targets.number(from).is_some();
                provider.targets.answered(if known { from } else { target.unwrap_or(from) });
                provider.probed = provider.probed.filter(|_| owner != ClientOwner::Probe(id));
                if registers {
                    note_source(&mut provider.sources, from.ip());
                }
            }
            self.note_change(now, id);
        } else {
            self.server_lives(now, from);
        }
    }

    /// A sign of life that answers nothing that is waited for.
    fn server_lives(&mut self, now: Instant, from: SocketAddr) {
        for id in self.providers.ids() {
            let Some(provider) = self.providers.get_mut(id) else { return };
            if provider.targets.number(from).is_some() {
                provider.state.on_heard(now);
                provider.targets.answered(from);
                self.note_change(now, id);
            }
        }
    }

    /// A connection to a server was refused, or nobody answered.
    pub(crate) fn connect_failed(&mut self, now: Instant, to: SocketAddr) {
        for id in self.providers.ids() {
            let Some(provider) = self.providers.get_mut(id) else { return };
            if let Some(number) = provider.targets.number(to) {
                provider.state.on_transport_error(now, ClientOwner::Quiet.encode(), number);
                self.target_silent(now, Some(id), to);
                self.note_change(now, id);
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
        let timed_out = error == TransactionError::TimedOut;
        if !self.is_running(owner, client) || timed_out && !self.is_owed_by_server(owner) {
            return;
        }
        let Some(id) = self.provider_of_owner(owner) else { return };
        let target = self.target_of_owner(owner);
        let Some(provider) = self.providers.get_mut(id) else { return };
        if self.own_link_failed {
            provider.state.own_link_failed();
        } else if let Some(target) = target
            && let Some(number) = provider.targets.number(target)
        {
            if error == TransactionError::Transport {
                provider.state.on_transport_error(now, owner.encode(), number);
            }
            self.target_silent(now, Some(id), target);
        }
        self.note_change(now, id);
    }

    /// A target gave no answer in the time that was granted to it: the next one is tried.
    pub(crate) fn target_silent(
        &mut self,
        now: Instant,
        provider: Option<ProviderId>,
        to: SocketAddr,
    ) {
        if let Some(provider) = self.providers.get_mut(provider) {
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
        provider: ProviderId,
        accepted: Option<SocketAddr>,
        tried: &[SocketAddr],
    ) -> Option<Target> {
        let order = self.providers.get(provider)?.targets.order(now, accepted);
        order.into_iter().find(|target| !tried.contains(&target.addr))
    }

    fn note_change(&mut self, now: Instant, id: ProviderId) {
        let Some(provider) = self.providers.get_mut(id) else { return };
        let Some(state) = provider.state.poll_change() else { return };
        let reason = provider.state.reason();
        log::warn!("server of {} is {}: {reason}", provider.options.domain, state.as_str());
        // A suspicion that ended was no outage: the server knows its phones.
        if reason == Reason::Recovered {
            self.registrar.spread_refreshes(now, id, &mut self.rng);
        }
        let of_it = |call: &Call| call.provider == Some(id);
        let waiting: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| of_it(call) && call.winner.is_none())
            .map(|(id, _)| id)
            .collect();
        for id in waiting {
            self.advance(now, id);
        }
        let running: Vec<CallId> = self
            .calls
            .iter()
            .filter(|(_, call)| of_it(call) && call.winner.is_some())
            .map(|(id, _)| id)
            .collect();
        for id in running {
            self.watch_media(now, id);
        }
    }

    /// Looks after every provider whose time has come.
    pub(crate) fn providers_due(&mut self, now: Instant) {
        for id in self.providers.ids() {
            self.locate_due(now, id);
            let Some(provider) = self.providers.get_mut(id) else { return };
            provider.state.handle_timeout(now);
            if provider.state.probe_due(now) {
                self.probe(now, id);
            }
            self.note_change(now, id);
        }
        self.pump_locator(now);
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
