//! The way from here to a server, to a phone or to where a request says: found, or opened first.
//!
//! UDP needs no opening. A TCP connection, or a name that has to be resolved, takes a turn of the
//! driver: whoever waits for it is noted with the wish, and goes on in [`Adapter::resume`].

use super::call::{CallId, LegState, PhoneEnd, Role};
use super::names::Local;
use super::sockets::{Connection, Facing};
use super::targets::Target;
use super::{Adapter, ClientOwner, Wish, crossing};
use crate::limits::SIP_DATAGRAM_BYTES;
use crate::net::{ConnId, Request, SocketKind, Via};
use crate::sip::locate::{Query, Transport};
use crate::sip::proxy::Routed;
use crate::sip::transaction::Flow;
use crate::sip::{Message, Uri, host_ip};
use crate::time::Instant;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The way to a server, a phone, or where a request says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// It stands.
    Ready(Flow, Local),
    /// A connection is being opened to this address, or a name asked for.
    Dialing(Option<SocketAddr>),
    /// There is none, to this address or to any.
    None(Option<SocketAddr>),
}

impl Way {
    /// Its flow, our own end, and how a leg on it begins.
    pub(crate) fn parts(self) -> (Flow, Local, LegState) {
        let (to, state) = match self {
            Self::Ready(flow, local) => return (flow, local, LegState::Silent),
            Self::Dialing(to) => (to, LegState::Dialing),
            Self::None(to) => (to, LegState::Failed),
        };
        let to = to.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into());
        (unopened(to), Local::Socket { address: to, tcp: true }, state)
    }
}

/// A connection that is being opened.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// Which network it faces.
    pub(crate) facing: Facing,
    /// Where to.
    pub(crate) to: SocketAddr,
    /// The phone that it is for, where it leads to a server.
    pub(crate) phone: Option<SocketAddr>,
    /// Who goes on when it stands, or does not: each leg and exchange waits in one place at most.
    waiting: Vec<ClientOwner>,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hop {
    /// To this target of the phone's provider, if there is one.
    Target(Option<Target>),
    /// To where the request says (RFC 3261 s16.6).
    Named,
}

/// A connection that does not stand; `to` is where it would lead.
pub(crate) fn unopened(to: SocketAddr) -> Flow {
    Flow { via: Via::Stream(ConnId(u32::MAX)), to }
}

/// `flow`, turned to the address that a URI names. A name, or a connection, leads where it led.
pub(crate) fn turned(mut flow: Flow, uri: &str) -> Flow {
    if flow.via.is_datagram()
        && let Ok(uri) = Uri::parse(uri)
        && let Some(ip) = uri.host_ip()
        && ip.is_ipv4() == flow.to.is_ipv4()
    {
        flow.to = (ip, uri.port.unwrap_or(5060)).into();
    }
    flow
}

/// The address that a Contact names, where that is at this host.
pub(crate) fn named_address(contact: &str, host: IpAddr) -> Option<SocketAddr> {
    let uri = Uri::parse(contact).ok()?;
    let ip = uri.host_ip()?;
    (ip == host).then(|| (ip, uri.port.unwrap_or(5060)).into())
}

/// The host that a URI leads to (RFC 3263 s4).
fn target_host<'u>(uri: &Uri<'u>) -> &'u str {
    uri.params.get("maddr").unwrap_or(uri.host)
}

/// The transport that a URI asks for (RFC 3263 s4.1).
fn transport_of(uri: &Uri<'_>) -> Option<Transport> {
    let transport = uri.params.get("transport")?;
    let is = |name: &str| transport.eq_ignore_ascii_case(name);
    match () {
        () if is("udp") => Some(Transport::Udp),
        () if is("tcp") => Some(Transport::Tcp),
        () => None,
    }
}

impl Adapter {
    /// The way from `phone` to the server. `owner` goes on when a way that is being opened stands;
    /// what it waited for before, it waits for no more.
    pub(crate) fn way_to_server(
        &mut self,
        now: Instant,
        owner: ClientOwner,
        hop: Hop,
        phone: Option<Flow>,
        message: &Message<'_>,
    ) -> Way {
        let tcp_phone = phone.is_some_and(|flow| matches!(flow.via, Via::Stream(_)));
        let chosen = phone.and_then(|flow| self.chosen_by(flow));
        self.stop_waiting(owner);
        let (to, tcp) = match hop {
            Hop::Target(Some(target)) => (target.addr, target.tcp.unwrap_or(tcp_phone)),
            Hop::Target(None) => return Way::None(None),
            // A phone that is intercepted went to where the request says.
            Hop::Named => match (chosen, self.literal_next_hop(message)) {
                (Some(chosen), _) => (chosen, tcp_phone),
                (None, Some((to, tcp))) => (to, tcp.unwrap_or(tcp_phone)),
                (None, None) => return self.locate_next_hop(now, owner, message),
            },
        };
        let phone = phone.map(|flow| flow.to);
        let tcp = tcp || self.is_long_for(to, phone, message);
        self.way_to(to, tcp, phone, owner)
    }

    /// Whether a request takes TCP for its size (RFC 3261 s18.1.1): only where a connection to
    /// that end stands (CALLS §1.1).
    fn is_long_for(
        &self,
        to: SocketAddr,
        phone: Option<SocketAddr>,
        message: &Message<'_>,
    ) -> bool {
        message.raw().len() > SIP_DATAGRAM_BYTES && self.sockets.connections.to(to, phone).is_some()
    }

    /// The way to one address on the WAN side; over TCP `phone` has a connection of its own.
    pub(crate) fn way_to(
        &mut self,
        to: SocketAddr,
        tcp: bool,
        phone: Option<SocketAddr>,
        owner: ClientOwner,
    ) -> Way {
        if tcp {
            return self.connection_way(Facing::Wan, (to, phone), owner);
        }
        let socket = self.sockets.towards(Facing::Wan, SocketKind::Sip, to.ip());
        socket.map_or(Way::None(Some(to)), |(socket, _)| self.standing(Via::Udp(socket), to))
    }

    /// The way to a phone: the flow of its REGISTERs. Where that was a connection which is gone,
    /// one is opened to the address that its Contact names.
    pub(crate) fn way_to_phone(&mut self, phone: &PhoneEnd, owner: ClientOwner) -> Way {
        self.stop_waiting(owner);
        let flow = phone.flow;
        if let Some(local) = self.local_of(flow) {
            return Way::Ready(flow, local);
        }
        match named_address(&phone.contact, flow.to.ip()) {
            Some(to) if flow.is_reliable() => self.connection_way(Facing::Lan, (to, None), owner),
            _ => Way::None(Some(flow.to)),
        }
    }

    /// The way over TCP: the connection that stands, or one that is being opened.
    fn connection_way(
        &mut self,
        facing: Facing,
        (to, phone): (SocketAddr, Option<SocketAddr>),
        owner: ClientOwner,
    ) -> Way {
        if let Some(connection) = self.sockets.connections.to(to, phone) {
            return self.standing(Via::Stream(connection.id), to);
        }
        let under_way = self.wishes.values_mut().find_map(|wish| match wish {
            Wish::Connect(opening) if (opening.to, opening.phone) == (to, phone) => Some(opening),
            _ => None,
        });
        if let Some(opening) = under_way {
            opening.waiting.push(owner);
        } else {
            let from = self.sockets.towards(facing, SocketKind::Sip, to.ip());
            let from = from.map(|(_, local)| local.ip());
            let opening = Opening { facing, to, phone, waiting: vec![owner] };
            self.wish(Wish::Connect(opening), Request::Connect { from, to });
        }
        Way::Dialing(Some(to))
    }

    fn standing(&self, via: Via, to: SocketAddr) -> Way {
        let flow = Flow { via, to };
        self.local_of(flow).map_or(Way::None(Some(to)), |local| Way::Ready(flow, local))
    }

    /// Whoever this is waits for no way any more.
    pub(crate) fn stop_waiting(&mut self, owner: ClientOwner) {
        self.locator.forget(owner.encode());
        for wish in self.wishes.values_mut() {
            if let Wish::Connect(opening) = wish {
                opening.waiting.retain(|waiting| *waiting != owner);
            }
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
        hop.is_some_and(|(hop, _)| self.own_addresses().contains(&hop))
    }

    /// The address that says where a request goes next, and whether over TCP, where it says that.
    fn literal_next_hop(&self, message: &Message<'_>) -> Option<(SocketAddr, Option<bool>)> {
        let uri = Uri::parse(self.next_hop_uri(message)).ok()?;
        let ip = host_ip(target_host(&uri))?;
        let tcp = transport_of(&uri).map(|transport| transport == Transport::Tcp);
        Some(((ip, uri.port.unwrap_or(5060)).into(), tcp))
    }

    fn locate_next_hop(&mut self, now: Instant, owner: ClientOwner, message: &Message<'_>) -> Way {
        let Ok(uri) = Uri::parse(self.next_hop_uri(message)) else { return Way::None(None) };
        let (host, transport) = (target_host(&uri), transport_of(&uri));
        let query = Query { host, port: uri.port, transport, preferred: Transport::Udp };
        match self.locator.start(now, &query, owner.encode()) {
            Ok(()) => Way::Dialing(None),
            Err(_) => Way::None(None),
        }
    }

    /// A connection that was asked for stands, or was refused.
    pub(crate) fn opened(
        &mut self,
        now: Instant,
        opening: Opening,
        answer: Option<(ConnId, SocketAddr)>,
    ) {
        let Opening { facing, to, phone, waiting } = opening;
        let way = match answer {
            Some((id, local)) => {
                self.connected(Connection::dialed(now, id, facing, (local, to), phone));
                self.standing(Via::Stream(id), to)
            }
            None => Way::None(Some(to)),
        };
        for owner in waiting {
            self.resume(now, owner, way);
        }
    }

    /// A way that was being found or opened stands, or will not, or has its next step before it:
    /// whoever waits for it goes on.
    pub(crate) fn resume(&mut self, now: Instant, owner: ClientOwner, way: Way) {
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
            ClientOwner::Probe(_)
            | ClientOwner::Locate(..)
            | ClientOwner::Gateway(_)
            | ClientOwner::Bootstrap(_)
            | ClientOwner::Renewal(_)
            | ClientOwner::Inquiry(_)
            | ClientOwner::Quiet => {}
            #[cfg(feature = "server")]
            ClientOwner::Challenge(_) => {}
        }
    }

    fn leg_way_found(&mut self, now: Instant, id: CallId, at: usize, way: Way) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let call_role = call.role;
        let Some(leg) = call.legs.get_mut(at) else { return };
        if leg.state != LegState::Dialing {
            return;
        }
        (leg.flow, leg.local, leg.state) = way.parts();
        let state = leg.state;
        if let (Way::Ready(flow, local), Some(phone)) = (way, &mut leg.phone) {
            (phone.flow, phone.local) = (flow, local);
        }
        if state == LegState::Silent {
            self.send_invite(now, id, at);
        } else if state == LegState::Failed && call_role == Role::Callee {
            self.phone_unreachable(now, id, at);
        }
        self.advance(now, id);
    }
}
