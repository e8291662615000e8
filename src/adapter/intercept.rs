//! Interception: phones that were set up with the provider's own name or address.
//!
//! The driver takes what they send and says whom it was meant for: the server that the phone
//! *chose*. Towards such a phone the adapter speaks in that server's name; what it writes into
//! messages is the same as for phones that know of it. The provider is asked where the phone
//! chose to ask it, unless `server` says otherwise (CALLS §2.1); phones of no configured provider
//! are proxied to where they were going.

use super::providers::ProviderId;
use super::sockets::Facing;
use super::targets::Target;
use super::{Adapter, Wish};
use crate::config::Mode;
use crate::limits::INTERCEPT_PORTS_MAX;
use crate::net::{
    Answer, Capture, Failure, Interception, Rejected, Request, Rules, SocketId, SocketKind, Via,
};
use crate::sip::transaction::Flow;
use crate::time::Instant;
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

/// What is known of the rules that were wished for.
#[derive(Default)]
pub(crate) struct Intercepting {
    now: Interception,
    /// A wish is under way.
    asked: bool,
    /// Rules were wished for and not taken back.
    wanted: bool,
}

impl Intercepting {
    /// Whether a socket gets datagrams that are meant for others.
    pub(crate) fn has_socket(&self, id: SocketId) -> bool {
        self.now.sockets.contains(&id)
    }

    /// Whether a listener gets connections that are meant for others.
    pub(crate) fn has_listener(&self, id: SocketId) -> bool {
        self.now.listeners.contains(&id)
    }

    /// Hosts of the LAN that talk to SIP servers over TLS.
    pub(crate) fn over_tls(&self) -> &[IpAddr] {
        &self.now.over_tls
    }
}

impl Adapter {
    /// Wishes for the rules, or for none; as long as they are wanted again and again, so that what
    /// a restart of the firewall has undone is mended.
    pub(super) fn want_rules(&mut self) {
        let adapter = &self.config.adapter;
        let wanted = adapter.intercept && self.stopping.is_none() && !self.network.lan.is_empty();
        if self.sockets.intercepting.asked || !(wanted || self.sockets.intercepting.wanted) {
            return;
        }
        let ports = adapter.intercept_port.iter().copied().take(INTERCEPT_PORTS_MAX).collect();
        let rules = wanted.then_some(Rules { ports });
        (self.sockets.intercepting.asked, self.sockets.intercepting.wanted) = (true, wanted);
        self.wish(Wish::Rules, Request::Rules(rules));
    }

    /// What the driver made of the rules.
    pub(super) fn rules_answered(&mut self, answer: Result<Answer<'_>, Failure>) {
        self.sockets.intercepting.asked = false;
        self.sockets.intercepting.now = match answer {
            Ok(Answer::Intercepting(now)) => now.clone(),
            _ => Interception::default(),
        };
    }

    /// A datagram that a phone had meant for `to`.
    pub(super) fn handle_intercepted(
        &mut self,
        now: Instant,
        (socket, from, to): (SocketId, SocketAddr, SocketAddr),
        data: &[u8],
    ) -> Result<(), Rejected> {
        if self.is_ours(to.ip()) {
            self.counters.intercepted_strays += 1;
            return Err(Rejected::Unauthorized);
        }
        self.handle_sip_datagram(now, Flow { via: Via::Intercepted(socket, to), to: from }, data)
    }

    /// Whether an address is this router's own, as far as it is known here.
    fn is_ours(&self, ip: IpAddr) -> bool {
        let network = &self.network;
        ip.is_loopback() || network.lan.contains(&ip) || network.wan.contains(&ip)
    }

    /// The server that the phone at the other end of a flow meant.
    pub(crate) fn chosen_by(&self, flow: Flow) -> Option<SocketAddr> {
        match flow.via {
            Via::Intercepted(_, chosen) => Some(chosen),
            Via::Stream(id) => self.sockets.connections.get(id)?.chosen,
            Via::Udp(_) | Via::Peer(_) => None,
        }
    }

    /// Our own address towards a phone that is intercepted: the one that it finds us by in Routes.
    pub(super) fn lan_address(&self, phone: IpAddr) -> Option<SocketAddr> {
        self.sockets.towards(Facing::Lan, SocketKind::Sip, phone).map(|(_, local)| local)
    }

    /// Whether what comes on a flow is a provider's, whose domain it names: always where the phone
    /// knows of us, and where the phone chose one of the provider's servers. What anybody else
    /// accepts says nothing about the provider's addresses.
    pub(crate) fn is_meant_for(&self, provider: ProviderId, flow: Flow) -> bool {
        let Some(chosen) = self.chosen_by(flow) else { return true };
        let Some(state) = self.providers.get(provider) else { return false };
        let options = &state.options;
        let accepted = || {
            let mut phones = self.registrar.known().filter(|(_, b)| b.provider == Some(provider));
            phones.any(|(_, binding)| binding.accepted_by == Some(chosen))
        };
        options.server.is_some()
            || self.config.adapter.mode == Mode::Overlay
            || state.targets.all().iter().any(|target| target.addr.ip() == chosen.ip())
            || options.server_net.iter().any(|net| net.contains(chosen.ip()))
            || accepted()
    }

    /// The target that the phone chose, over its own transport; none where `server` names one.
    pub(crate) fn chosen_target(&self, provider: ProviderId, phone: Flow) -> Option<Target> {
        let named = self.providers.get(provider)?.options.server.is_some();
        let addr = self.chosen_by(phone).filter(|_| !named)?;
        Some(Target { addr, tcp: Some(phone.is_reliable()) })
    }

    /// The target that a phone on this flow is to try next: the one that it chose, then as for all
    /// others.
    pub(crate) fn target_for(
        &self,
        now: Instant,
        provider: ProviderId,
        (phone, accepted): (Flow, Option<SocketAddr>),
        tried: &[SocketAddr],
    ) -> Option<Target> {
        let state = self.providers.get(provider)?;
        let chosen = self.chosen_target(provider, phone).filter(|target| {
            !tried.contains(&target.addr) && !state.targets.fails(now, target.addr)
        });
        chosen.or_else(|| self.next_target(now, provider, accepted, tried))
    }

    /// A server that a phone chose is one of its provider's from now on.
    pub(crate) fn adopt_chosen(
        &mut self,
        provider: Option<ProviderId>,
        phone: Flow,
        target: Target,
    ) {
        let Some(at) = provider else { return };
        let chosen = self.chosen_target(at, phone) == Some(target);
        if let Some(state) = self.providers.get_mut(at).filter(|_| chosen) {
            state.targets.adopt(target.addr);
            state.state.set_targets(state.targets.all().len() as u8);
        }
    }

    /// How interception stands.
    pub(super) fn interception_status(&self) -> Value {
        let now = &self.sockets.intercepting.now;
        let method = match now.method {
            Some(Capture::Tproxy) => "tproxy",
            Some(Capture::Redirect) => "redirect",
            None => "none",
        };
        let helper = now.helper.then_some(
            "the kernel's SIP helper rewrites signalling on this router: unload nf_conntrack_sip",
        );
        let reason = match (self.config.adapter.intercept, &now.problem) {
            (false, _) => Some("option intercept is 0".to_owned()),
            (true, problem) => problem.clone(),
        };
        json!({ "method": method, "reason": reason, "warning": helper })
    }
}
