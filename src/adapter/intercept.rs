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
use crate::json::{Value, json};
use crate::net::{
    Answer, Capture, Failure, Interception, Rejected, Request, Rules, SocketId, SocketKind, Via,
    without_zone,
};
use crate::sip::transaction::Flow;
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

/// What is known of the rules that were wished for.
#[derive(Default)]
pub(crate) struct Intercepting {
    now: Interception,
    /// A wish is under way.
    asked: bool,
    /// Whether the last wish was for rules. None: nothing was wished for, and an earlier run may
    /// have left some.
    wanted: Option<bool>,
}

impl Intercepting {
    /// Whether a socket gets datagrams that are meant for others.
    pub(crate) fn has_socket(&self, id: SocketId) -> bool {
        self.now.sockets.iter().any(|capturing| capturing.socket == id)
    }

    /// Whether what is meant for a server is taken, so that its name can be spoken in.
    fn takes(&self, chosen: SocketAddr) -> bool {
        let meant = (chosen.port(), chosen.is_ipv4());
        self.now.sockets.iter().any(|it| (it.port, it.ipv4) == meant)
    }

    /// Whether a listener gets connections that are meant for others.
    pub(crate) fn has_listener(&self, id: SocketId) -> bool {
        self.now.listeners.contains(&id)
    }

    /// Hosts of the LAN that talk to SIP servers over TLS.
    pub(crate) fn over_tls(&self) -> &[IpAddr] {
        &self.now.beside.over_tls
    }
}

impl Adapter {
    /// Wishes for the rules, or for none; as long as they are wanted again and again, so that what
    /// a restart of the firewall has undone is mended.
    pub(super) fn want_rules(&mut self) {
        let wanted = self.wants_rules();
        let known = &mut self.sockets.intercepting;
        if known.asked || !(wanted || known.wanted != Some(false)) {
            return;
        }
        (known.asked, known.wanted) = (true, Some(wanted));
        let ports = self.config.adapter.intercept_port.clone();
        let overlay_port = self.overlay.as_ref().map(|_| self.config.overlay.port);
        let rules = Rules { ports, overlay_port };
        self.wish(Wish::Rules, Request::Rules(wanted.then_some(rules)));
    }

    fn wants_rules(&self) -> bool {
        let wanted = self.config.adapter.intercept && !self.network.lan.is_empty();
        wanted && self.stopping.is_none()
    }

    /// What the driver made of the rules.
    pub(super) fn rules_answered(&mut self, answer: Result<Answer<'_>, Failure>) {
        let known = &mut self.sockets.intercepting;
        known.asked = false;
        let before = core::mem::take(&mut known.now).beside.over_tls_untold;
        if let Ok(Answer::Intercepting(now)) = answer {
            known.now = now.clone();
        }
        let untold = known.now.beside.over_tls_untold.saturating_sub(before);
        self.counters.tls_hosts_dropped += u64::from(untold);
        if self.sockets.intercepting.wanted != Some(self.wants_rules()) {
            // The settings changed meanwhile, or the end has come.
            self.want_rules();
        }
    }

    /// A datagram that a phone had meant for `to`; where that is not known any more, for the server
    /// that the phone chose before.
    pub(super) fn handle_intercepted(
        &mut self,
        now: Instant,
        (from, to): (SocketAddr, SocketAddr),
        data: &[u8],
    ) -> Result<(), Rejected> {
        let meant = if self.is_ours(to.ip()) { self.known_choice(from) } else { Some(to) };
        let Some(chosen) = meant else {
            self.counters.intercepted_strays += 1;
            return Err(Rejected::Unauthorized);
        };
        let flow = Flow { via: Via::Intercepted(chosen), to: from };
        self.handle_sip_datagram(now, flow, data)
    }

    /// Whether an address is this router's own, as far as it is known here.
    pub(super) fn is_ours(&self, ip: IpAddr) -> bool {
        let link_local = match ip {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        let own = self.network.lan.contains(&ip) || self.network.wan.contains(&ip);
        ip.is_loopback() || link_local || own
    }

    /// The server that the phone which sends from here chose.
    fn known_choice(&self, from: SocketAddr) -> Option<SocketAddr> {
        let mut phones = self.registrar.known().map(|(_, binding)| binding);
        let taken = |via| matches!(via, Via::Intercepted(..));
        phones.find(|binding| taken(binding.flow.via) && binding.flow.to == from)?.chosen
    }

    /// How a datagram leaves: to a phone that was intercepted and is not any more, from our own
    /// address. None: there is none.
    pub(super) fn via_now(&self, via: Via, to: SocketAddr) -> Option<Via> {
        match via {
            Via::Intercepted(chosen) if !self.sockets.intercepting.takes(chosen) => {
                self.lan_socket(to.ip()).map(Via::Udp)
            }
            via => Some(via),
        }
    }

    /// The server that the phone at the other end of a flow meant.
    pub(crate) fn chosen_by(&self, flow: Flow) -> Option<SocketAddr> {
        match flow.via {
            Via::Intercepted(chosen) => Some(chosen),
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
            self.counters.chosen_servers_dropped += u64::from(!state.adopt(target.addr));
        }
    }

    /// The server that a phone of the last run chose is one of its provider's, as it was then.
    pub(super) fn adopt_again(&mut self, provider: ProviderId, chosen: Option<SocketAddr>) {
        let asked = self.config.adapter.mode != Mode::Overlay;
        if let (Some(addr), Some(state)) = (chosen, self.providers.get_mut(provider))
            && asked
            && state.options.server.is_none()
        {
            self.counters.chosen_servers_dropped += u64::from(!state.adopt(addr));
        }
    }

    /// How interception stands.
    pub(super) fn interception_status(&self) -> Value {
        let now = &self.sockets.intercepting.now;
        let method = now.method.map_or("none", Capture::as_str);
        let helper = now.beside.helper.then(|| {
            "the kernel's SIP helper rewrites signalling on this router: unload nf_conntrack_sip"
                .to_owned()
        });
        let shut_out = self.network.shut_out.iter().map(|name| without_zone(name));
        let warnings: Vec<String> = helper.into_iter().chain(shut_out).collect();
        let warning = (!warnings.is_empty()).then(|| warnings.join("; "));
        let reason = match (self.config.adapter.intercept, &now.problem) {
            (false, _) => Some("option intercept is 0".to_owned()),
            (true, problem) => problem.clone(),
        };
        json!({ "method": method, "reason": reason, "warning": warning })
    }
}
