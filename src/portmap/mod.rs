//! Port mapping: asking the router in front to let through what comes for our UDP ports.
//!
//! A router behind another one cannot be reached from outside, unless that one opens ports. Three
//! protocols ask for it, tried in this order: PCP (RFC 6887), NAT-PMP (RFC 6886) and UPnP-IGD. The
//! first that answers is used. What is wanted is a set of ports; [`Portmap`] opens what is
//! missing, renews at half of the lifetime, withdraws what is no longer wanted, and opens all
//! anew where the router in front was restarted or got another address.
//!
//! One question is under way at a time, as NAT-PMP has it; what is missing goes before what is to
//! be withdrawn or renewed. Only the gateway is believed, and of UPnP only a device at the
//! gateway's own address: its description and its control too.
//!
//! | module | what it holds |
//! |---|---|
//! | `pcp`, `natpmp`, `epoch` | datagrams; whether a gateway was restarted |
//! | `upnp`, `http`, `xml` | searches, descriptions and actions; what they travel in |
//! | `mapping` | the ports: wanted, held, when to ask |
//! | `exchange` | the question under way, its repetition and its end |
//! | `answers`, `device` | what PCP and NAT-PMP answer; what a UPnP device answers |
//! | `report` | the state and the counters, for people |
//!
//! Pure, and driven like [`crate::media`]: sockets and connections are wished for by
//! [`Portmap::poll_request`]. Limits are those of [`crate::limits`], and 64 ports.

mod answers;
mod device;
mod epoch;
mod exchange;
pub mod fuzz;
mod http;
mod mapping;
mod natpmp;
mod pcp;
mod report;
#[cfg(test)]
mod tests;
mod upnp;
mod xml;

pub use report::{Counters, Protocol};

use crate::limits::{
    PORTMAP_DATAGRAM_BYTES_MAX, PORTMAP_MAPPINGS_MAX, PORTMAP_RENEW_MIN, PORTMAP_RETRY,
};
use crate::net::{
    Answer, ConnId, Failure, Rejected, Request, SocketId, SocketKind, StreamEvent, Transmit,
};
use crate::outbox::Outbox;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use device::Device;
use epoch::Epoch;
use exchange::Exchange;
use mapping::Mappings;
use report::Tried;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Names one request of this core to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortmapTicket(pub u32);

/// Transmissions between two drainings: the largest of an exchange, or all withdrawals.
const OUTBOX_MESSAGES: usize = PORTMAP_MAPPINGS_MAX;
const OUTBOX_BYTES: usize = 8 * PORTMAP_DATAGRAM_BYTES_MAX;

/// All clients of a gateway hear its announcement: each asks after a random time up to this, in
/// milliseconds.
const CHECK_SPREAD_MS: u32 = 500;

/// How often a clean stop withdraws what is open.
const WITHDRAWALS_MAX: u8 = 2;

/// Where we are behind another router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Our own address, to which ports are mapped.
    pub local: IpAddr,
    /// The router in front.
    pub gateway: IpAddr,
}

/// How far asking has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// There is nobody to ask.
    Off,
    /// The sockets are being bound.
    Opening,
    /// Whether the gateway speaks this is being found out.
    Probing(Protocol),
    /// It does.
    Serving(Protocol),
    /// It opened nothing, by no protocol: until the next attempt.
    Resting(Instant),
}

/// See the module's text.
pub struct Portmap {
    rng: Rng,
    place: Option<Place>,
    /// The socket towards the gateway, and the one that hears its announcements.
    sockets: [Option<SocketId>; 2],
    binding: [Option<u32>; 2],
    stage: Stage,
    tried: [Tried; 3],
    /// Attempts in a row that opened nothing.
    fruitless: u8,
    mappings: Mappings,
    exchange: Option<Exchange>,
    epoch: Option<Epoch>,
    /// The gateway's own outer address, where its protocol tells it apart from mappings.
    external: Option<IpAddr>,
    device: Device,
    check_at: Instant,
    /// When the gateway was asked last whether it is still the same.
    checked_at: Instant,
    /// When the next restart may be acted upon.
    restart_at: Instant,
    /// The gateway fell silent: it is left alone until then.
    quiet_until: Instant,
    stopping: bool,
    /// At a stop: when what is still open is withdrawn, and how often it will be.
    withdrawal: Option<(Instant, u8)>,
    next_ticket: u32,
    requests: VecDeque<(PortmapTicket, Request)>,
    outbox: Outbox,
    changed: bool,
    counters: Counters,
}

impl Portmap {
    /// Asks nobody before it has a place.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            rng: rng.fork("port mapping"),
            place: None,
            sockets: [None; 2],
            binding: [None; 2],
            stage: Stage::Off,
            tried: [Tried::NotYet; 3],
            fruitless: 0,
            mappings: Mappings::default(),
            exchange: None,
            epoch: None,
            external: None,
            device: Device::default(),
            check_at: Instant::ZERO,
            checked_at: Instant::ZERO,
            restart_at: Instant::ZERO,
            quiet_until: Instant::ZERO,
            stopping: false,
            withdrawal: None,
            next_ticket: 0,
            requests: VecDeque::new(),
            outbox: Outbox::with_capacity(OUTBOX_MESSAGES, OUTBOX_BYTES),
            changed: false,
            counters: Counters::default(),
        }
    }

    /// Where we are now; `None`: behind nobody. What was open elsewhere is forgotten.
    pub fn set_place(&mut self, now: Instant, place: Option<Place>) {
        if self.place == place {
            return;
        }
        self.end_exchange();
        for socket in core::mem::take(&mut self.sockets).into_iter().flatten() {
            self.request(Request::CloseSocket(socket));
        }
        (self.binding, self.place) = ([None; 2], place);
        self.fruitless = 0;
        self.forget_gateway(now);
        self.stage = Stage::Off;
        self.open_sockets();
    }

    /// Asks for the sockets that are missing.
    fn open_sockets(&mut self) {
        let Some(place) = self.place else { return };
        self.stage = Stage::Opening;
        let main = SocketAddr::new(place.local, 0);
        let listener = SocketAddr::from((Ipv4Addr::new(224, 0, 0, 1), pcp::CLIENT_PORT));
        for (at, local) in [main, listener].into_iter().enumerate() {
            let missing = self.sockets[at].is_none() && self.binding[at].is_none();
            if missing && (at == 0 || place.local.is_ipv4()) {
                let bind = Request::Bind { kind: SocketKind::Portmap, local };
                self.binding[at] = Some(self.request(bind));
            }
        }
    }

    /// From now on these UDP ports are wanted, the most important first, and no others; none any
    /// more after [`Portmap::stop`].
    pub fn want(&mut self, now: Instant, ports: impl Iterator<Item = u16> + Clone) {
        if self.stopping {
            return;
        }
        let without = self.mappings.want(now, ports, &mut self.rng);
        self.counters.full += without as u64;
        self.drive(now);
    }

    /// Every port of ours that the gateway has opened: our own address, and the one outside.
    pub fn opened(&self) -> impl Iterator<Item = (SocketAddr, SocketAddr)> {
        let local = self.place.map(|place| place.local);
        let open = self.mappings.iter().filter(|mapping| mapping.wanted);
        open.filter_map(move |m| Some((SocketAddr::new(local?, m.port), m.external?)))
    }

    /// Where we are behind another router.
    pub fn place(&self) -> Option<Place> {
        self.place
    }

    /// Whether a mapping changed since this was asked last.
    pub fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// Somebody saw us under another address, or an announcement says that the gateway changed:
    /// it is asked soon, and not often.
    pub fn check(&mut self, now: Instant) {
        let spread = Duration::from_millis(self.rng.below(CHECK_SPREAD_MS).into());
        let soon = (now + spread).max(self.checked_at + PORTMAP_RENEW_MIN);
        self.check_at = self.check_at.min(soon);
        self.drive(now);
    }

    /// Withdraws everything; [`Portmap::is_idle`] tells when that is done.
    pub fn stop(&mut self, now: Instant) {
        self.stopping = true;
        self.withdrawal = Some((now, WITHDRAWALS_MAX));
        self.end_exchange();
        self.mappings.want(now, core::iter::empty(), &mut self.rng);
        self.drive(now);
    }

    /// Whether nothing is open or asked for.
    pub fn is_idle(&self) -> bool {
        self.mappings.is_empty()
    }

    /// Whether this socket is one of ours.
    pub fn owns_socket(&self, id: SocketId) -> bool {
        self.sockets.contains(&Some(id))
    }

    /// Whether this connection is ours.
    pub fn owns_connection(&self, id: ConnId) -> bool {
        self.exchange.as_ref().is_some_and(|exchange| exchange.connection == Some(id))
    }

    /// Takes the driver's answer to a request.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        ticket: PortmapTicket,
        answer: Result<Answer<'_>, Failure>,
    ) {
        let bound = self.binding.iter().position(|waiting| *waiting == Some(ticket.0));
        let dialed = self.exchange.as_ref().is_some_and(|it| it.ticket == Some(ticket.0));
        match (answer, bound) {
            (Ok(Answer::Bound(id, _)), Some(at)) => {
                (self.sockets[at], self.binding[at]) = (Some(id), None);
            }
            // Announcements are missed then, and found out at the next check.
            (Err(_), Some(1)) => self.binding[1] = None,
            (Err(failure), Some(_)) => {
                log::warn!("no socket for port mapping: {failure}");
                self.binding[0] = None;
                self.rest(now, PORTMAP_RETRY);
            }
            (Ok(Answer::Connected(id, _)), _) if dialed => self.connected(id),
            (Err(_), None) if dialed => self.unanswered(now),
            // Of a place that was left meanwhile.
            (Ok(Answer::Bound(id, _)), None) => _ = self.request(Request::CloseSocket(id)),
            (Ok(Answer::Connected(id, _)), _) => _ = self.request(Request::CloseConn(id)),
            _ => {}
        }
        if self.stage == Stage::Opening && self.binding == [None; 2] {
            self.stage = Stage::Probing(Protocol::Pcp);
        }
        self.drive(now);
    }

    /// Takes a datagram of one of our sockets.
    ///
    /// # Errors
    /// [`Rejected`] where it was dropped and counted.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        socket: SocketId,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let announced = self.sockets[1] == Some(socket);
        let result = self.heard(now, from, announced, data);
        self.count(result)?;
        self.drive(now);
        Ok(())
    }

    /// Takes what happened to our connection.
    ///
    /// # Errors
    /// [`Rejected`] where its far end sent what is no answer; that was counted.
    pub fn handle_stream(
        &mut self,
        now: Instant,
        id: ConnId,
        event: StreamEvent<'_>,
    ) -> Result<(), Rejected> {
        if !self.owns_connection(id) {
            return self.count(Err(Rejected::Unknown));
        }
        let result = match event {
            StreamEvent::Opened { .. } => Ok(()),
            StreamEvent::Data(data) => self.streamed(now, data, false),
            StreamEvent::Closed => self.streamed(now, &[], true),
        };
        self.drive(now);
        self.count(result)
    }

    fn count(&mut self, result: Result<(), Rejected>) -> Result<(), Rejected> {
        let counter = match result {
            Ok(()) => return Ok(()),
            Err(Rejected::Unauthorized) => &mut self.counters.foreign,
            Err(Rejected::Malformed) => &mut self.counters.malformed,
            Err(_) => &mut self.counters.unexpected,
        };
        *counter += 1;
        result
    }

    /// What we sent to `to` came back: nobody listens there.
    pub fn handle_send_failed(&mut self, now: Instant, to: SocketAddr) {
        let asked = self.exchange.as_ref().is_some_and(|exchange| exchange.asked_by_datagram(to));
        if asked {
            // PCP and NAT-PMP share the port.
            if self.stage == Stage::Probing(Protocol::Pcp) {
                self.tried[Protocol::Pcp as usize] = Tried::Unanswered;
                self.stage = Stage::Probing(Protocol::NatPmp);
            }
            self.unanswered(now);
            self.drive(now);
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.changed |= self.mappings.expire(now);
        if self.exchange.as_ref().is_some_and(|exchange| exchange.due <= now) {
            self.exchange_due(now);
        }
        self.drive(now);
    }

    /// When [`Portmap::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let ends = self.mappings.next_end();
        let next = match (&self.exchange, self.stage) {
            (Some(exchange), _) => Some(exchange.due),
            (None, Stage::Resting(until)) if !self.mappings.is_empty() => Some(until),
            (None, Stage::Serving(Protocol::Pcp | Protocol::NatPmp)) if self.stopping => {
                self.withdrawal.map(|(at, _)| at)
            }
            (None, Stage::Serving(protocol)) => self.next_question(protocol),
            _ => None,
        };
        earlier(ends, next)
    }

    /// The next datagram, or bytes of the connection.
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        self.outbox.pop(buf)
    }

    /// The next thing that the driver shall do.
    pub fn poll_request(&mut self) -> Option<(PortmapTicket, Request)> {
        self.requests.pop_front()
    }

    /// What happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn request(&mut self, request: Request) -> u32 {
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.requests.push_back((PortmapTicket(self.next_ticket), request));
        self.next_ticket
    }
}
