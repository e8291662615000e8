//! The house's own machine for sound: both phones of a call speak to it, and it to both.
//!
//! What most providers have (a session border controller): a description on its way names the
//! house instead of the phone, each end of a session has a port of its own here, and what comes to
//! the one leaves by the other. It lives and dies with the house. Limits: IPv4, no RTCP.

use crate::lab::sdp;
use crate::net::{Request, SocketId, SocketKind, Transmit, Via};
use crate::outbox::Outbox;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Ports that it has; of more sessions than half of them the sound stays between the phones.
const PORTS: u16 = 32;
const OUTBOX_PACKETS_MAX: usize = 64;

/// The end of a session that a description comes from, or a packet.
pub(super) const CALLER: usize = 0;
pub(super) const CALLEE: usize = 1;

/// Where the two phones of a session want their sound.
#[derive(Default)]
struct Stream {
    first_port: u16,
    phones: [Option<SocketAddr>; 2],
}

/// See the module's text.
pub(super) struct Anchor {
    /// The first of its addresses, two ports apart.
    base: SocketAddr,
    sockets: BTreeMap<SocketId, u16>,
    streams: BTreeMap<u32, Stream>,
    outbox: Outbox,
}

impl Anchor {
    pub(super) fn new(base: SocketAddr) -> Self {
        let bytes = OUTBOX_PACKETS_MAX * 172;
        let outbox = Outbox::with_capacity(OUTBOX_PACKETS_MAX, bytes);
        Self { base, sockets: BTreeMap::new(), streams: BTreeMap::new(), outbox }
    }

    /// The sockets that it wants.
    pub(super) fn requests(&self) -> impl Iterator<Item = Request> + '_ {
        let address = |number| Request::Bind { kind: SocketKind::Media, local: self.at(number) };
        (0..PORTS).map(address)
    }

    fn at(&self, number: u16) -> SocketAddr {
        SocketAddr::new(self.base.ip(), self.base.port() + 2 * number)
    }

    /// A socket is open; whether it is one of these.
    pub(super) fn bound(&mut self, socket: SocketId, local: SocketAddr) -> bool {
        let number = (0..PORTS).find(|number| self.at(*number) == local);
        number.is_some_and(|number| self.sockets.insert(socket, number).is_none())
    }

    /// A description of one end of a session as the other end reads it.
    pub(super) fn describe(&mut self, session: u32, end: usize, body: &str) -> String {
        let Some(phone) = sdp::media_address(body.as_bytes()) else { return body.to_owned() };
        let free = |number: &u16| !self.streams.values().any(|s| s.first_port == *number);
        let Some(first_port) = (0..PORTS).step_by(2).find(free) else { return body.to_owned() };
        let stream = Stream { first_port, ..Stream::default() };
        let stream = self.streams.entry(session).or_insert(stream);
        stream.phones[end] = Some(phone);
        let place = stream.first_port + u16::from(end == CALLER);
        let own = self.at(place);
        let (host, port) = (phone.ip().to_string(), format!("m=audio {} ", phone.port()));
        let body = body.replace(&host, &own.ip().to_string());
        body.replace(&port, &format!("m=audio {} ", own.port()))
    }

    /// A session is over.
    pub(super) fn forget(&mut self, session: u32) {
        self.streams.remove(&session);
    }

    /// Takes a packet; whether it was for this machine.
    pub(super) fn relay(&mut self, socket: SocketId, data: &[u8]) -> bool {
        let Some(number) = self.sockets.get(&socket).copied() else { return false };
        let of = |stream: &&Stream| stream.first_port == number & !1;
        let Some(stream) = self.streams.values().find(of) else { return true };
        // The caller speaks to the first port, which was named to it for the callee.
        let to = if number & 1 == 0 { CALLEE } else { CALLER };
        let twin = self.sockets.iter().find(|(_, other)| **other == number ^ 1);
        if let (Some(target), Some((twin, _))) = (stream.phones[to], twin) {
            // A full outbox loses a packet, as a busy machine does.
            let _ = self.outbox.push(Via::Udp(*twin), target, 0, data);
        }
        true
    }

    pub(super) fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        self.outbox.pop(buf)
    }
}
