//! A core, its driver's hands, and the gateway at the other end of a cable.

use super::super::{Place, Portmap, PortmapTicket};
use super::gateway::{self, Gateway};
use crate::net::{Answer, ConnId, Failure, Request, SocketId, StreamEvent, Via};
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use std::collections::VecDeque;
use std::net::SocketAddr;

pub(super) const MAIN: SocketId = SocketId(1);
pub(super) const LISTENER: SocketId = SocketId(2);
const DELAY: Duration = Duration::from_millis(1);

/// What reaches the core.
enum Arrival {
    Datagram(SocketAddr, Vec<u8>),
    Connected(PortmapTicket),
    Stream(ConnId, String),
    Closed(ConnId),
    Returned(SocketAddr),
}

pub(super) struct Bench {
    pub(super) core: Portmap,
    pub(super) gateway: Gateway,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    /// Datagrams of both directions that get lost, in percent.
    pub(super) loss_percent: u32,
    /// Nothing is answered any more.
    pub(super) deaf: bool,
    /// Nobody listens at the gateway: ICMP says so.
    pub(super) closed_port: bool,
    /// So many more sockets cannot be bound.
    pub(super) unbindable: u32,
    /// What was sent, and when.
    pub(super) sent: Vec<(Instant, SocketAddr, Vec<u8>)>,
    pub(super) closed: Vec<Request>,
    arrivals: VecDeque<(Instant, Arrival)>,
    connections: u32,
}

pub(super) fn place() -> Place {
    Place { local: [192, 168, 178, 20].into(), gateway: gateway::ADDRESS.into() }
}

impl Bench {
    pub(super) fn new(gateway: Gateway) -> Self {
        let mut rng = Rng::new([3; 32]);
        let mut bench = Self {
            core: Portmap::new(&mut rng),
            gateway,
            now: Instant::from_micros(1_000_000),
            rng,
            loss_percent: 0,
            deaf: false,
            closed_port: false,
            unbindable: 0,
            sent: Vec::new(),
            closed: Vec::new(),
            arrivals: VecDeque::new(),
            connections: 0,
        };
        bench.core.set_place(bench.now, Some(place()));
        bench
    }

    pub(super) fn want(&mut self, ports: &[u16]) {
        self.core.want(self.now, ports.iter().copied());
        self.drain();
    }

    pub(super) fn mapped(&self, port: u16) -> Option<String> {
        let mut opened = self.core.opened();
        opened.find(|(own, _)| own.port() == port).map(|(_, outside)| outside.to_string())
    }

    /// Hands in a datagram, and tells whether it was taken.
    pub(super) fn inject(&mut self, socket: SocketId, from: SocketAddr, data: &[u8]) -> bool {
        let taken = self.core.handle_datagram(self.now, socket, from, data).is_ok();
        self.drain();
        taken
    }

    pub(super) fn run_ms(&mut self, ms: u64) {
        self.drain();
        let end = self.now + Duration::from_millis(ms);
        for _ in 0..100_000 {
            let arrival = self.arrivals.front().map(|(at, _)| *at);
            match earlier(arrival, self.core.poll_timeout()).filter(|at| *at <= end) {
                None => {
                    self.now = end;
                    return;
                }
                Some(at) => self.now = self.now.max(at),
            }
            match arrival.filter(|at| *at <= self.now) {
                Some(_) => self.arrive(),
                None => self.core.handle_timeout(self.now),
            }
            self.drain();
        }
        panic!("the core rests");
    }

    fn arrive(&mut self) {
        let Some((_, arrival)) = self.arrivals.pop_front() else { return };
        let now = self.now;
        match arrival {
            Arrival::Datagram(from, data) => {
                let _ = self.core.handle_datagram(now, MAIN, from, &data);
            }
            Arrival::Connected(ticket) => {
                self.connections += 1;
                let id = ConnId(self.connections);
                let local = SocketAddr::new(place().local, 40_000);
                let up = self.gateway.upnp.is_some() && !self.deaf;
                let answer =
                    if up { Ok(Answer::Connected(id, local)) } else { Err(Failure::Refused) };
                self.core.handle_answer(now, ticket, answer);
            }
            Arrival::Stream(id, text) => {
                // In two pieces: streams have no boundaries.
                for piece in text.as_bytes().chunks(text.len() / 2 + 1) {
                    if self.core.owns_connection(id) {
                        let _ = self.core.handle_stream(now, id, StreamEvent::Data(piece));
                    }
                }
            }
            Arrival::Closed(id) if self.core.owns_connection(id) => {
                let _ = self.core.handle_stream(now, id, StreamEvent::Closed);
            }
            Arrival::Closed(_) => {}
            Arrival::Returned(to) => self.core.handle_send_failed(now, to),
        }
    }

    fn later(&mut self, arrival: Arrival) {
        self.arrivals.push_back((self.now + DELAY, arrival));
    }

    fn drain(&mut self) {
        let mut buf = [0; crate::limits::TRANSMIT_BYTES_MAX];
        loop {
            while let Some(transmit) = self.core.poll_transmit(&mut buf) {
                let data = buf[..transmit.len].to_vec();
                self.sent.push((self.now, transmit.to, data.clone()));
                self.carry(transmit.via, transmit.to, &data);
            }
            let Some((ticket, request)) = self.core.poll_request() else { return };
            match request {
                Request::Bind { local, .. } => {
                    let socket = if local.ip().is_multicast() { LISTENER } else { MAIN };
                    let answer = match self.unbindable.checked_sub(1) {
                        Some(left) => {
                            self.unbindable = left;
                            Err(Failure::NotOurs)
                        }
                        None => Ok(Answer::Bound(socket, local)),
                    };
                    self.core.handle_answer(self.now, ticket, answer);
                }
                Request::Connect { to, .. } => {
                    assert_eq!(to.ip(), place().gateway, "only the gateway is talked to");
                    self.later(Arrival::Connected(ticket));
                }
                other => self.closed.push(other),
            }
        }
    }

    fn carry(&mut self, via: Via, to: SocketAddr, data: &[u8]) {
        if self.deaf {
            return;
        }
        if let Via::Stream(id) = via {
            let answer = self.gateway.http(self.now, core::str::from_utf8(data).unwrap());
            self.later(Arrival::Stream(id, answer));
            return self.later(Arrival::Closed(id));
        }
        if self.closed_port && to.port() == 5351 {
            return self.later(Arrival::Returned(to));
        }
        if self.rng.below(100) < self.loss_percent {
            return;
        }
        for answer in self.gateway.datagram(self.now, to, data) {
            if self.rng.below(100) >= self.loss_percent {
                self.later(Arrival::Datagram(gateway::source(to), answer));
            }
        }
    }
}
