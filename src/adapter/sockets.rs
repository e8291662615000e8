//! The adapter's own ends: sockets on LAN and WAN, and TCP connections on both.
//!
//! The driver binds; here is known what each socket and connection is for, and under which
//! address it appears. Addresses come and go with the router's networks; a socket that could not
//! be bound is tried again with the next change and every few seconds.

mod connections;

use super::intercept::Intercepting;
use super::names::Local;
use super::outside::Outside;
use crate::limits::ADDRESSES_A_SIDE_MAX;
use crate::net::{ConnId, SocketId, SocketKind, Via};
use crate::sip::stream::Framer;
use crate::sip::transaction::Flow;
use crate::time::Instant;
use connections::Connections;
use std::net::{IpAddr, SocketAddr};

/// Which network a socket faces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Facing {
    /// Phones.
    Lan,
    /// Provider and other adapters.
    Wan,
}

/// A socket that we want, bound or not yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Socket {
    /// Which network it faces.
    pub(crate) facing: Facing,
    /// What it is for.
    pub(crate) kind: SocketKind,
    /// The address that it should have.
    pub(crate) wanted: SocketAddr,
    /// Its name and address once it is bound.
    pub(crate) bound: Option<(SocketId, SocketAddr)>,
    /// A request to bind it is under way.
    pub(crate) asked: bool,
}

impl Socket {
    /// Whether it is the overlay's second: at any port, to look from elsewhere.
    fn is_second(&self) -> bool {
        self.kind == SocketKind::Overlay && self.wanted.port() == 0
    }
}

/// A TCP connection.
pub(crate) struct Connection {
    /// The driver's name for it.
    pub(crate) id: ConnId,
    /// Which network it faces.
    pub(crate) facing: Facing,
    /// Our address, which for one that is intercepted is that of our LAN side.
    pub(crate) local: SocketAddr,
    /// The far end's address.
    pub(crate) remote: SocketAddr,
    /// Whom the phone had meant it for, where it is intercepted.
    pub(crate) chosen: Option<SocketAddr>,
    /// The phone that this connection to the server is for: its flow's address.
    pub(crate) phone: Option<SocketAddr>,
    /// The far end has opened it.
    pub(crate) accepted: bool,
    /// When it was opened, or something came on it.
    pub(crate) heard: Instant,
    /// Cuts the stream into messages.
    pub(crate) framer: Framer,
}

impl Connection {
    /// One that we have opened; to a server, `phone` is the one that it is for.
    pub(crate) fn dialed(
        now: Instant,
        id: ConnId,
        facing: Facing,
        (local, remote): (SocketAddr, SocketAddr),
        phone: Option<SocketAddr>,
    ) -> Self {
        let accepted = Self::accepted(now, id, facing, local, remote);
        Self { phone, accepted: false, ..accepted }
    }

    /// One that the far end has opened.
    pub(crate) fn accepted(
        now: Instant,
        id: ConnId,
        facing: Facing,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Self {
        let framer = Framer::new();
        let (chosen, phone, accepted, heard) = (None, None, true, now);
        Self { id, facing, local, remote, chosen, phone, accepted, heard, framer }
    }
}

/// All sockets and connections.
pub(crate) struct Sockets {
    sockets: heapless::Vec<Socket, { ADDRESSES_A_SIDE_MAX * 6 }>,
    /// TCP connections.
    pub(crate) connections: Connections,
    /// Those that get what is meant for others.
    pub(crate) intercepting: Intercepting,
}

impl Sockets {
    /// None yet, for this many phones.
    pub(crate) fn new(max_phones: usize) -> Self {
        Self {
            sockets: heapless::Vec::new(),
            connections: Connections::new(max_phones),
            intercepting: Intercepting::default(),
        }
    }

    /// Notes that a socket is wanted. False where there is one already, or no room.
    pub(crate) fn want(&mut self, facing: Facing, kind: SocketKind, wanted: SocketAddr) -> bool {
        let known =
            self.sockets.iter().any(|s| (s.facing, s.kind, s.wanted) == (facing, kind, wanted));
        let socket = Socket { facing, kind, wanted, bound: None, asked: false };
        !known && self.sockets.push(socket).is_ok()
    }

    /// Forgets the sockets that `keep` does not keep, and names those that were bound.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Socket) -> bool) -> Vec<SocketId> {
        let gone =
            self.sockets.iter().filter(|s| !keep(s)).filter_map(|s| s.bound.map(|b| b.0)).collect();
        self.sockets.retain(|s| keep(s));
        gone
    }

    /// The next socket that nobody was asked to bind yet; marks it as asked for.
    pub(crate) fn next_unbound(&mut self) -> Option<(SocketKind, SocketAddr)> {
        let socket = self.sockets.iter_mut().find(|s| s.bound.is_none() && !s.asked)?;
        socket.asked = true;
        Some((socket.kind, socket.wanted))
    }

    /// Takes the driver's answer for the socket wanted at `wanted`.
    pub(crate) fn answered(
        &mut self,
        (kind, wanted): (SocketKind, SocketAddr),
        bound: Option<(SocketId, SocketAddr)>,
    ) -> bool {
        let mut sockets = self.sockets.iter_mut();
        let Some(socket) = sockets.find(|s| (s.kind, s.wanted) == (kind, wanted)) else {
            return false;
        };
        socket.bound = bound;
        socket.asked = bound.is_some();
        true
    }

    /// The socket of this name.
    pub(crate) fn get(&self, id: SocketId) -> Option<&Socket> {
        self.sockets.iter().find(|s| s.bound.is_some_and(|b| b.0 == id))
    }

    /// Whether one of this side and kind is bound, and none is still being bound.
    pub(crate) fn settled(&self, facing: Facing, kind: SocketKind) -> bool {
        let wanted = || self.sockets.iter().filter(|s| s.facing == facing && s.kind == kind);
        wanted().any(|s| s.bound.is_some()) && wanted().all(|s| s.bound.is_some() || !s.asked)
    }

    /// A bound socket that can reach `to`: same family.
    pub(crate) fn towards(
        &self,
        facing: Facing,
        kind: SocketKind,
        to: IpAddr,
    ) -> Option<(SocketId, SocketAddr)> {
        self.sockets
            .iter()
            .filter(|s| s.facing == facing && s.kind == kind && !s.is_second())
            .filter_map(|s| s.bound)
            .find(|(_, local)| local.is_ipv4() == to.is_ipv4())
    }

    /// The overlay's second socket towards `to`.
    pub(crate) fn second_towards(&self, to: IpAddr) -> Option<SocketId> {
        let second = self.sockets.iter().filter(|s| s.is_second()).filter_map(|s| s.bound);
        second.filter(|(_, local)| local.is_ipv4() == to.is_ipv4()).map(|(id, _)| id).next()
    }

    /// Addresses of all bound sockets of this side and kind.
    pub(crate) fn addresses(&self, facing: Facing, kind: SocketKind) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter(|s| s.facing == facing && s.kind == kind && !s.is_second())
            .filter_map(|s| s.bound.map(|b| b.1))
            .collect()
    }

    /// Our own end of a flow, towards the WAN as the outside sees it.
    pub(crate) fn local(&self, flow: Flow, outside: &Outside) -> Option<Local> {
        let (facing, mut address, tcp) = match flow.via {
            Via::Udp(id) => {
                let socket = self.get(id)?;
                (socket.facing, socket.bound?.1, false)
            }
            Via::Stream(id) => {
                let connection = self.connections.get(id)?;
                (connection.facing, connection.local, true)
            }
            Via::Intercepted(..) => {
                let (_, address) = self.towards(Facing::Lan, SocketKind::Sip, flow.to.ip())?;
                (Facing::Lan, address, false)
            }
            Via::Peer(_) => return None,
        };
        match facing {
            Facing::Lan => {}
            // A connection's port stands for itself alone.
            Facing::Wan if tcp => address.set_ip(outside.ip_of(address.ip())),
            Facing::Wan => address = outside.of(address),
        }
        Some(Local::Socket { address, tcp })
    }
}
