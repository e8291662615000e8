//! The way from here to a server, to a phone or to where a request says: found, or opened first.
//!
//! UDP needs no opening. A TCP connection, or a name that has to be resolved, takes a turn of the
//! driver: whoever waits for it goes on in [`Adapter::resume`] or [`Adapter::dialed`].

use super::call::{CallId, LegState, Role};
use super::names::Local;
use super::sockets::Facing;
use super::targets::Target;
use super::{Adapter, ClientOwner, Wish, crossing};
use crate::limits::SIP_DATAGRAM_BYTES;
use crate::net::{ConnId, Request, SocketKind, Via};
use crate::sip::locate::{Query, Transport};
use crate::sip::proxy::Routed;
use crate::sip::transaction::Flow;
use crate::sip::{Message, Uri};
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

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
    /// To an end whose place is not known.
    pub(crate) fn nowhere() -> Self {
        let (flow, local) = unopened(unknown_place());
        Self::None(flow, local)
    }

    /// To an end whose place is being asked for.
    fn being_found() -> Self {
        let (flow, local) = unopened(unknown_place());
        Self::Dialing(flow, local)
    }

    /// Its flow, our own end, and how a leg on it begins.
    pub(crate) fn parts(self) -> (Flow, Local, LegState) {
        match self {
            Self::Ready(flow, local) => (flow, local, LegState::Silent),
            Self::Dialing(flow, local) => (flow, local, LegState::Dialing),
            Self::None(flow, local) => (flow, local, LegState::Failed),
        }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Hop {
    /// To this target of the phone's provider, if there is one.
    Target(Option<Target>),
    /// To where the request says (RFC 3261 s16.6).
    Named,
}

/// A flow that does not stand yet; `to` is where it will lead.
fn unopened(to: SocketAddr) -> (Flow, Local) {
    let flow = Flow { via: Via::Stream(ConnId(u32::MAX)), to };
    (flow, Local::Socket { address: to, tcp: true })
}

fn unknown_place() -> SocketAddr {
    (std::net::Ipv4Addr::UNSPECIFIED, 0).into()
}

/// `flow`, turned to the address that a URI names. A name, or a connection, leads where it led.
pub(crate) fn turned(mut flow: Flow, uri: &str) -> Flow {
    if flow.via.is_datagram()
        && let Ok(uri) = Uri::parse(uri)
        && let Some(ip) = super::names::literal(uri.host)
        && ip.is_ipv4() == flow.to.is_ipv4()
    {
        flow.to = (ip, uri.port.unwrap_or(5060)).into();
    }
    flow
}

impl Adapter {
    /// The way from `phone` to the server. `owner` is told when a way that is being opened stands.
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
        let (to, tcp) = match hop {
            Hop::Target(Some(target)) => (target.addr, target.tcp.unwrap_or(tcp_phone)),
            Hop::Target(None) => return Way::nowhere(),
            // A phone that is intercepted went to where the request says.
            Hop::Named => match chosen.or_else(|| self.literal_next_hop(message)) {
                Some(to) => (to, tcp_phone),
                None => return self.locate_next_hop(now, owner, message),
            },
        };
        let phone = phone.map(|flow| flow.to);
        let tcp = tcp || self.is_long_for(to, phone, message);
        self.way_to(to, tcp, phone)
    }

    /// Whether a request takes TCP for its size (RFC 3261 s18.1.1): only where a connection to
    /// that end stands (CALLS §1.1).
    fn is_long_for(
        &self,
        to: SocketAddr,
        phone: Option<SocketAddr>,
        message: &Message<'_>,
    ) -> bool {
        message.raw().len() > SIP_DATAGRAM_BYTES && self.sockets.connection_to(to, phone).is_some()
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
        let Ok(uri) = Uri::parse(self.next_hop_uri(message)) else { return Way::nowhere() };
        let preferred = Transport::Udp;
        let query = Query { host: uri.host, port: uri.port, transport: None, preferred };
        match self.locator.start(now, &query, owner.encode()) {
            Ok(()) => Way::being_found(),
            Err(_) => Way::nowhere(),
        }
    }

    /// A way that was being opened stands, or will not: whoever waits for it goes on.
    pub(crate) fn resume(&mut self, now: Instant, owner: ClientOwner, way: Option<Way>) {
        let way = way.unwrap_or_else(Way::nowhere);
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
        if state == LegState::Silent {
            self.send_invite(now, id, at);
        } else if call_role == Role::Callee {
            self.phone_unreachable(now, id, at);
        }
        self.advance(now, id);
    }

    /// A connection that was asked for stands, or was refused.
    pub(crate) fn dialed(
        &mut self,
        now: Instant,
        (to, phone): (SocketAddr, Option<SocketAddr>),
        way: Way,
    ) {
        let legs: Vec<(CallId, usize)> = self
            .calls
            .iter()
            .filter(|(_, call)| call.phone.as_ref().map(|p| p.flow.to) == phone)
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
            .filter(|(_, e)| Some(e.source.flow.to) == phone)
            .map(|(id, _)| id)
            .collect();
        for id in exchanges {
            self.exchange_way_found(now, id, way);
        }
    }
}
