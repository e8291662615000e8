//! Plays cores on real sockets, one thread, a turn at a time.
//!
//! The daemon's driver runs one core for ever; a script wants several phones, and to go on where
//! something has happened. So a stage offers [`Stage::run_until`]. It serves datagram sockets
//! only: any other wish of a core is answered with a failure.

use super::hosts::Host;
use crate::limits::TRANSMIT_BYTES_MAX;
use crate::net::{Answer, Core, Event, Failure, Input, Request, SocketId, Ticket, Via};
use crate::time::{Duration, Instant, earlier};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;

/// Datagrams taken from one socket before the others get their turn.
const BURST: usize = 16;
/// No wait is longer, so that a condition which nothing announces is still seen.
const WAIT_MAX: Duration = Duration::from_millis(50);

struct Bound {
    socket: UdpSocket,
    core: usize,
    local: SocketAddr,
}

/// Some cores and their sockets.
pub struct Stage<C> {
    cores: Vec<C>,
    /// Where the sockets of each core are.
    hosts: Vec<Host>,
    sockets: Vec<Bound>,
    started: std::time::Instant,
    buffer: Vec<u8>,
}

impl<C: Core> Default for Stage<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Core> Stage<C> {
    /// An empty stage; its time starts now.
    pub fn new() -> Self {
        Self {
            cores: Vec::new(),
            hosts: Vec::new(),
            sockets: Vec::new(),
            started: std::time::Instant::now(),
            buffer: vec![0; TRANSMIT_BYTES_MAX],
        }
    }

    /// The time that the cores are told.
    pub fn now(&self) -> Instant {
        let micros = self.started.elapsed().as_micros();
        Instant::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
    }

    /// Puts a core on the stage and returns its place.
    pub fn add(&mut self, core: C) -> usize {
        self.add_on(Host::this(), core)
    }

    /// Puts a core on the stage whose sockets are on `host`, and returns its place.
    pub fn add_on(&mut self, host: Host, core: C) -> usize {
        self.cores.push(core);
        self.hosts.push(host);
        let place = self.cores.len() - 1;
        self.drain(place);
        place
    }

    /// How many cores are on the stage.
    pub fn len(&self) -> usize {
        self.cores.len()
    }

    /// Whether the stage is empty.
    pub fn is_empty(&self) -> bool {
        self.cores.is_empty()
    }

    /// The core at a place.
    ///
    /// # Panics
    /// Where there is none: places come from [`Stage::add`].
    pub fn core(&self, place: usize) -> &C {
        &self.cores[place]
    }

    /// Gives the core at a place an order, and takes what it has to send.
    ///
    /// # Panics
    /// Where there is none: places come from [`Stage::add`].
    pub fn order<T>(&mut self, place: usize, order: impl FnOnce(&mut C, Instant) -> T) -> T {
        let now = self.now();
        let result = order(&mut self.cores[place], now);
        self.drain(place);
        result
    }

    /// Plays on until `condition` holds or `limit` is over; whether it held.
    pub fn run_until(
        &mut self,
        limit: Duration,
        mut condition: impl FnMut(&mut [C]) -> bool,
    ) -> bool {
        let end = self.now() + limit;
        loop {
            if condition(&mut self.cores) {
                return true;
            }
            if self.now() >= end {
                return false;
            }
            self.turn(end);
        }
    }

    /// Plays on for `interval`.
    pub fn run_for(&mut self, interval: Duration) {
        self.run_until(interval, |_| false);
    }

    /// Waits for the next thing to happen, at most until `end`, and lets it happen.
    fn turn(&mut self, end: Instant) {
        let now = self.now();
        let due = self.cores.iter().fold(None, |due, core| earlier(due, core.poll_timeout()));
        let wake = earlier(due, Some(end)).unwrap_or(end).min(now + WAIT_MAX);
        let micros = wake.since(now).as_micros();
        let millis = u16::try_from(micros.div_ceil(1000)).unwrap_or(u16::MAX);
        let ready: Vec<usize> = {
            let mut polled: Vec<PollFd<'_>> = self
                .sockets
                .iter()
                .map(|bound| PollFd::new(bound.socket.as_fd(), PollFlags::POLLIN))
                .collect();
            // An interrupted wait is a short one.
            let _ = poll(&mut polled, PollTimeout::from(millis));
            (0..polled.len()).filter(|at| polled[*at].any().unwrap_or(false)).collect()
        };
        for at in ready {
            self.receive(at);
        }
        let now = self.now();
        for place in 0..self.cores.len() {
            if self.cores[place].poll_timeout().is_some_and(|due| due <= now) {
                self.input(place, Input::Timeout);
            }
        }
    }

    fn receive(&mut self, at: usize) {
        let mut data = [0; TRANSMIT_BYTES_MAX];
        for _ in 0..BURST {
            let bound = &self.sockets[at];
            // An error is no datagram: WouldBlock, or an ICMP message that the timers make up for.
            let Ok((len, from)) = bound.socket.recv_from(&mut data) else { return };
            let (socket, to) = (SocketId(at as u32), bound.local);
            let (place, data) = (bound.core, &data[..len]);
            self.input(place, Input::Datagram { socket, from, to, tos: 0, data });
        }
    }

    fn input(&mut self, place: usize, input: Input<'_>) {
        let now = self.now();
        // What a core refuses it has counted.
        let _ = self.cores[place].handle_input(now, input);
        self.drain(place);
    }

    fn drain(&mut self, place: usize) {
        loop {
            let now = self.now();
            while let Some(transmit) = self.cores[place].poll_transmit(now, &mut self.buffer) {
                let Via::Udp(SocketId(socket)) = transmit.via else { continue };
                if let Some(bound) = self.sockets.get(socket as usize) {
                    // A datagram that cannot leave is a lost one.
                    let _ = bound.socket.send_to(&self.buffer[..transmit.len], transmit.to);
                }
            }
            match self.cores[place].poll_event() {
                None => return,
                Some(Event::Stopped) => {}
                Some(Event::Request(ticket, request)) => self.serve(place, ticket, request),
            }
        }
    }

    fn serve(&mut self, place: usize, ticket: Ticket, request: Request) {
        let answer = match request {
            Request::Bind { local, .. } => match self.hosts[place].run(|| bind(local)) {
                Ok(Ok((socket, local))) => {
                    self.sockets.push(Bound { socket, core: place, local });
                    Ok(Answer::Bound(SocketId(self.sockets.len() as u32 - 1), local))
                }
                _ => Err(Failure::Address),
            },
            _ => Err(Failure::System),
        };
        let now = self.now();
        let _ = self.cores[place].handle_input(now, Input::Answer(ticket, answer));
    }
}

fn bind(local: SocketAddr) -> io::Result<(UdpSocket, SocketAddr)> {
    let socket = UdpSocket::bind(local)?;
    socket.set_nonblocking(true)?;
    let local = socket.local_addr()?;
    Ok((socket, local))
}

#[cfg(test)]
mod tests;
