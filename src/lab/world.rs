//! Plays cores in virtual time: a network with one fixed delay, and nothing else.
//!
//! The same interface as [`super::stage::Stage`], for tests: seconds of telephony in
//! milliseconds, and the same result each time. Datagrams to an address that nobody has are
//! lost.

use crate::limits::TRANSMIT_BYTES_MAX;
use crate::net::{Answer, Core, Event, Failure, Input, Request, SocketId, Ticket, Via};
use crate::time::{Duration, Instant, earlier};
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

struct Packet {
    at: Instant,
    from: SocketAddr,
    to: SocketAddr,
    data: Vec<u8>,
}

/// Some cores and the network between them.
pub struct World<C> {
    cores: Vec<C>,
    deaf: Vec<bool>,
    sockets: BTreeMap<SocketAddr, (usize, SocketId)>,
    packets: VecDeque<Packet>,
    delay: Duration,
    now: Instant,
    next_socket: u32,
}

impl<C: Core> World<C> {
    /// An empty world whose datagrams take `delay`.
    pub fn new(delay: Duration) -> Self {
        Self {
            cores: Vec::new(),
            deaf: Vec::new(),
            sockets: BTreeMap::new(),
            packets: VecDeque::new(),
            delay,
            now: Instant::from_micros(1_000_000),
            next_socket: 0,
        }
    }

    /// The time that the cores are told.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Puts a core into the world and returns its place.
    pub fn add(&mut self, core: C) -> usize {
        self.cores.push(core);
        self.deaf.push(false);
        let place = self.cores.len() - 1;
        self.drain(place);
        place
    }

    /// Lets the core at a place hear nothing and do nothing, or live again.
    pub fn set_deaf(&mut self, place: usize, deaf: bool) {
        self.deaf[place] = deaf;
    }

    /// The core at a place.
    pub fn core(&self, place: usize) -> &C {
        &self.cores[place]
    }

    /// Gives the core at a place an order, and takes what it has to send.
    pub fn order<T>(&mut self, place: usize, order: impl FnOnce(&mut C, Instant) -> T) -> T {
        let result = order(&mut self.cores[place], self.now);
        self.drain(place);
        result
    }

    /// Plays on for `interval`.
    pub fn run_for(&mut self, interval: Duration) {
        let end = self.now + interval;
        while let Some(at) = self.next().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
    }

    fn next(&self) -> Option<Instant> {
        let timers = self.cores.iter().zip(&self.deaf).filter(|(_, deaf)| !**deaf);
        let timer = timers.fold(None, |due, (core, _)| earlier(due, core.poll_timeout()));
        earlier(self.packets.front().map(|packet| packet.at), timer)
    }

    fn step(&mut self) {
        if self.packets.front().is_some_and(|packet| packet.at <= self.now) {
            let Some(Packet { from, to, data, .. }) = self.packets.pop_front() else { return };
            if let Some((place, socket)) = self.sockets.get(&to).copied()
                && !self.deaf[place]
            {
                let data = data.as_slice();
                self.input(place, Input::Datagram { socket, from, to, tos: 0, data });
            }
            return;
        }
        for place in 0..self.cores.len() {
            let due = self.cores[place].poll_timeout().is_some_and(|at| at <= self.now);
            if due && !self.deaf[place] {
                self.input(place, Input::Timeout);
            }
        }
    }

    fn input(&mut self, place: usize, input: Input<'_>) {
        // What a core refuses it has counted.
        let _ = self.cores[place].handle_input(self.now, input);
        self.drain(place);
    }

    fn drain(&mut self, place: usize) {
        let mut buffer = [0; TRANSMIT_BYTES_MAX];
        loop {
            while let Some(transmit) = self.cores[place].poll_transmit(self.now, &mut buffer) {
                let Via::Udp(socket) = transmit.via else { continue };
                let Some(from) = self.address_of(socket) else { continue };
                let data = buffer[..transmit.len].to_vec();
                let at = self.now + self.delay;
                self.packets.push_back(Packet { at, from, to: transmit.to, data });
            }
            match self.cores[place].poll_event() {
                None => return,
                Some(Event::Stopped) => {}
                Some(Event::Request(ticket, Request::Bind { local, .. })) => {
                    let socket = SocketId(self.next_socket);
                    self.next_socket += 1;
                    self.sockets.insert(local, (place, socket));
                    self.answer(place, ticket, Ok(Answer::Bound(socket, local)));
                }
                Some(Event::Request(ticket, _)) => {
                    self.answer(place, ticket, Err(Failure::System));
                }
            }
        }
    }

    fn answer(&mut self, place: usize, ticket: Ticket, answer: Result<Answer<'_>, Failure>) {
        let _ = self.cores[place].handle_input(self.now, Input::Answer(ticket, answer));
    }

    fn address_of(&self, socket: SocketId) -> Option<SocketAddr> {
        self.sockets.iter().find(|(_, (_, id))| *id == socket).map(|(address, _)| *address)
    }
}
