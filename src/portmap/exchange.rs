//! The one question under way: what is asked next, sent again, given up.

use super::http::{self, Reader};
use super::report::Tried;
use super::upnp::{self, Action};
use super::{Portmap, Protocol, Stage, natpmp, pcp};
use crate::limits::{
    PORTMAP_AGAIN, PORTMAP_CHECK, PORTMAP_CHECK_UPNP, PORTMAP_HTTP, PORTMAP_LIFETIME_S,
    PORTMAP_RETRY, PORTMAP_STOP, PORTMAP_WITHDRAWAL,
};
use crate::net::{ConnId, Request, Via};
use crate::time::{Duration, Instant, earlier};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Which UPnP device there is.
    Search,
    /// What the device says of itself.
    Describe,
    /// Whether the gateway is there, and is still the same.
    Check,
    /// Whether a UPnP device still has the mapping of this port.
    Entry(u16),
    /// A mapping of this port.
    Map(u16),
    /// The end of the mapping of this port.
    Withdraw(u16),
}

/// A question and how often it was sent.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) what: What,
    /// When to send again, or to give up.
    pub(super) due: Instant,
    /// The connection that is being opened for it, and the one that stands.
    pub(super) ticket: Option<u32>,
    pub(super) connection: Option<ConnId>,
    pub(super) reader: Reader,
    /// Where datagrams went.
    sent_to: Option<SocketAddr>,
    sent: u8,
    interval: Duration,
}

impl Exchange {
    /// Whether datagrams of this question went to `to`.
    pub(super) fn asked_by_datagram(&self, to: SocketAddr) -> bool {
        self.sent_to.is_some_and(|sent| (sent.ip(), sent.port()) == (to.ip(), to.port()))
    }
}

impl Portmap {
    /// Asks what is to be asked next, if anything.
    pub(super) fn drive(&mut self, now: Instant) {
        if self.exchange.is_some() {
            return;
        }
        if let Stage::Resting(until) = self.stage
            && now >= until
        {
            self.forget_gateway(now);
            if self.sockets[0].is_none() {
                return self.open_sockets();
            }
            self.stage = Stage::Probing(Protocol::Pcp);
        }
        match self.stage {
            Stage::Probing(_) if self.mappings.is_empty() => {}
            Stage::Probing(Protocol::Upnp) => self.ask(now, What::Search),
            Stage::Probing(_) => self.ask(now, What::Check),
            Stage::Serving(Protocol::Pcp | Protocol::NatPmp) if self.stopping => {
                self.withdraw_all(now);
            }
            Stage::Serving(protocol)
                if self.next_question(protocol).is_some_and(|at| at <= now) =>
            {
                let what = self.question(now);
                self.ask(now, what);
            }
            _ => {}
        }
    }

    /// A clean stop waits for no answer before the next withdrawal: the gateway goes on with them
    /// while this process ends.
    fn withdraw_all(&mut self, now: Instant) {
        let Some((_, left)) = self.withdrawal.filter(|(at, _)| *at <= now) else { return };
        self.withdrawal = (left > 1).then_some((now + PORTMAP_WITHDRAWAL, left - 1));
        let (Some(place), stage) = (self.place, self.stage) else { return };
        let ports: Vec<u16> = self.mappings.iter().map(|mapping| mapping.port).collect();
        for what in ports.into_iter().map(What::Withdraw) {
            match stage {
                Stage::Serving(Protocol::Pcp) => self.send_pcp(place.local, what),
                _ => self.send_nat_pmp(what),
            }
        }
    }

    /// What a gateway that serves is asked next.
    fn question(&self, now: Instant) -> What {
        match self.mappings.next_due(now).filter(|_| self.may_map()) {
            Some(mapping) if mapping.wanted => What::Map(mapping.port),
            Some(mapping) => What::Withdraw(mapping.port),
            None => What::Check,
        }
    }

    /// When a gateway that serves is asked next.
    pub(super) fn next_question(&self, protocol: Protocol) -> Option<Instant> {
        let mappings = self.mappings.next_question().filter(|_| self.may_map());
        let checked = !self.mappings.is_empty() && !self.stopping;
        let next = earlier(mappings, checked.then_some(self.check_at));
        debug_assert!(self.stage == Stage::Serving(protocol), "only who serves is asked");
        next.map(|at| if self.stopping { at } else { at.max(self.quiet_until) })
    }

    /// PCP tells the external address with each mapping, the others apart and before.
    pub(super) fn may_map(&self) -> bool {
        self.stage == Stage::Serving(Protocol::Pcp) || self.external.is_some()
    }

    pub(super) fn ask(&mut self, now: Instant, what: What) {
        let interval = match self.stage {
            Stage::Probing(Protocol::Pcp) | Stage::Serving(Protocol::Pcp) => pcp::FIRST_INTERVAL,
            Stage::Probing(Protocol::NatPmp) | Stage::Serving(Protocol::NatPmp) => {
                natpmp::FIRST_INTERVAL
            }
            _ => upnp::FIRST_INTERVAL,
        };
        if what == What::Check {
            self.checked_at = now;
        }
        self.exchange = Some(Exchange {
            what,
            due: now,
            ticket: None,
            connection: None,
            reader: Reader::default(),
            sent_to: None,
            sent: 0,
            interval,
        });
        self.send(now);
    }

    /// Ends the question under way.
    pub(super) fn end_exchange(&mut self) -> Option<What> {
        let exchange = self.exchange.take()?;
        if let Some(connection) = exchange.connection {
            self.request(Request::CloseConn(connection));
        }
        Some(exchange.what)
    }

    /// No answer so far: the question is repeated, or given up.
    pub(super) fn exchange_due(&mut self, now: Instant) {
        let Some(exchange) = &self.exchange else { return };
        let most = match (self.stage, exchange.what) {
            (Stage::Probing(Protocol::Pcp), _) | (_, What::Search) => 2,
            (Stage::Probing(Protocol::NatPmp), _) => 4,
            (Stage::Serving(Protocol::Pcp), _) => 3,
            (Stage::Serving(Protocol::NatPmp), _) => 6,
            // TCP repeats by itself.
            _ => 1,
        };
        if exchange.sent < most { self.send(now) } else { self.unanswered(now) }
    }

    fn send(&mut self, now: Instant) {
        let (Some(place), Some(exchange)) = (self.place, &mut self.exchange) else { return };
        exchange.sent += 1;
        let interval = exchange.interval;
        // PCP wants each interval to vary by a tenth (RFC 6887 s8.1.1); it harms none.
        let tenth = u32::try_from(interval.as_micros() as u64 / 10).unwrap_or(u32::MAX);
        let vary = Duration::from_micros(self.rng.below(2 * tenth).into());
        exchange.due = now + interval - Duration::from_micros(tenth.into()) + vary;
        exchange.interval = interval * 2;
        let what = exchange.what;
        match self.stage {
            Stage::Probing(Protocol::Pcp) | Stage::Serving(Protocol::Pcp) => {
                self.send_pcp(place.local, what);
            }
            Stage::Probing(Protocol::NatPmp) | Stage::Serving(Protocol::NatPmp) => {
                self.send_nat_pmp(what);
            }
            _ if what == What::Search => {
                // The gateway alone too: its answer passes a firewall of ours.
                let gateway = SocketAddr::new(place.gateway, upnp::PORT);
                self.send_datagram(gateway, upnp::search(gateway).as_bytes());
                self.send_datagram(upnp::MULTICAST, upnp::search(upnp::MULTICAST).as_bytes());
            }
            _ => self.dial(now, place.local),
        }
    }

    fn send_datagram(&mut self, to: SocketAddr, data: &[u8]) {
        let Some(socket) = self.sockets[0] else { return };
        if let Some(exchange) = &mut self.exchange {
            exchange.sent_to.get_or_insert(to);
        }
        let queued = self.outbox.push(Via::Udp(socket), to, 0, data);
        debug_assert!(queued, "the outbox is drained after each input");
    }

    fn gateway(&self) -> Option<SocketAddr> {
        self.place.map(|place| SocketAddr::new(place.gateway, pcp::SERVER_PORT))
    }

    fn send_pcp(&mut self, local: IpAddr, what: What) {
        let Some(gateway) = self.gateway() else { return };
        let (port, lifetime_s) = match what {
            What::Map(port) => (port, PORTMAP_LIFETIME_S),
            What::Withdraw(port) => (port, 0),
            _ => return self.send_datagram(gateway, &pcp::announce(local)),
        };
        let Some(mapping) = self.mappings.get_mut(port) else { return };
        mapping.asked = true;
        let any = if local.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { local };
        let request = pcp::Map {
            nonce: mapping.nonce,
            lifetime_s,
            internal_port: port,
            external_port: mapping.hint,
            external: mapping.external.map_or(any, |external| external.ip()),
        };
        self.send_datagram(gateway, &pcp::map(local, &request));
    }

    fn send_nat_pmp(&mut self, what: What) {
        let Some(gateway) = self.gateway() else { return };
        match what {
            What::Map(port) => {
                let Some(mapping) = self.mappings.get_mut(port) else { return };
                mapping.asked = true;
                let request = natpmp::map(port, mapping.hint, PORTMAP_LIFETIME_S);
                self.send_datagram(gateway, &request);
            }
            What::Withdraw(port) => self.send_datagram(gateway, &natpmp::map(port, 0, 0)),
            _ => self.send_datagram(gateway, &natpmp::address()),
        }
    }

    /// Asks for the connection that an HTTP request goes over.
    fn dial(&mut self, now: Instant, local: IpAddr) {
        let Some(what) = self.exchange.as_ref().map(|exchange| exchange.what) else { return };
        let Some(host) = self.device.host(what) else { return };
        let ticket = self.request(Request::Connect { from: Some(local), to: host });
        let patience = if self.stopping { PORTMAP_STOP } else { PORTMAP_HTTP };
        if let Some(exchange) = &mut self.exchange {
            (exchange.ticket, exchange.due) = (Some(ticket), now + patience);
        }
    }

    /// The connection stands: the request goes out on it.
    pub(super) fn connected(&mut self, id: ConnId) {
        let Some(exchange) = &mut self.exchange else { return };
        (exchange.ticket, exchange.connection) = (None, Some(id));
        let what = exchange.what;
        let Some(to) = self.device.host(what) else { return };
        let request = match (what, self.action(what)) {
            (What::Describe, _) => self.device.description.as_ref().map(http::get),
            (_, Some(action)) => self.device.service().map(|service| action.write(service)),
            _ => None,
        };
        if let What::Map(port) = what
            && let Some(mapping) = self.mappings.get_mut(port)
        {
            mapping.asked = true;
        }
        let request = request.unwrap_or_default();
        let queued = self.outbox.push(Via::Stream(id), to, 0, request.as_bytes());
        debug_assert!(queued, "the outbox is drained after each input");
    }

    fn action(&self, what: What) -> Option<Action> {
        let of = |port: u16| self.mappings.get(port);
        match what {
            What::Search | What::Describe => None,
            What::Check => Some(Action::ExternalAddress),
            What::Entry(port) => of(port).map(|m| Action::Entry { external_port: m.hint }),
            What::Withdraw(port) => of(port).map(|m| Action::Delete { external_port: m.hint }),
            What::Map(port) => {
                let (mapping, place) = (of(port)?, self.place?);
                let IpAddr::V4(local) = place.local else { return None };
                let any = mapping.external.is_none() && self.device.finds_port();
                let lease_s = if self.device.only_permanent { 0 } else { PORTMAP_LIFETIME_S };
                let (external_port, internal) = (mapping.hint, (local, port));
                Some(Action::Add { any, external_port, internal, lease_s })
            }
        }
    }

    /// The question under way has no answer, and will have none.
    pub(super) fn unanswered(&mut self, now: Instant) {
        let Some(what) = self.end_exchange() else { return };
        self.counters.unanswered += 1;
        let Stage::Serving(protocol) = self.stage else {
            return self.try_next(now, Tried::Unanswered);
        };
        self.put_off(now, protocol, what, PORTMAP_RETRY);
        self.quiet_until = now + PORTMAP_RETRY;
        if !self.mappings.any_held() && !self.stopping {
            // There may be another router now, with another protocol.
            log::info!("the router in front fell silent: asking anew");
            self.forget_gateway(now);
            self.stage = Stage::Resting(self.quiet_until);
        }
    }

    /// The question under way was refused; `passing`: perhaps not the next time.
    pub(super) fn refused(&mut self, now: Instant, passing: bool) {
        let Some(what) = self.end_exchange() else { return };
        self.counters.refused += 1;
        let Stage::Serving(protocol) = self.stage else {
            return self.try_next(now, Tried::Refused);
        };
        let pause = if passing { PORTMAP_RETRY } else { PORTMAP_AGAIN };
        self.put_off(now, protocol, what, pause);
        if !passing && !self.mappings.any_held() {
            self.try_next(now, Tried::Refused);
        }
    }

    /// What came to nothing is asked again after a pause, but for withdrawals: lifetimes end too.
    fn put_off(&mut self, now: Instant, protocol: Protocol, what: What, pause: Duration) {
        match what {
            What::Map(port) => {
                if let Some(mapping) = self.mappings.get_mut(port) {
                    mapping.missed(now, pause, &mut self.rng);
                }
            }
            What::Withdraw(port) => self.mappings.withdrawn(now, port),
            _ => self.checked(now, protocol),
        }
    }

    /// When the gateway is asked again whether it is still the same.
    pub(super) fn checked(&mut self, now: Instant, protocol: Protocol) {
        let pause = match protocol {
            _ if self.external.is_none() && protocol != Protocol::Pcp => PORTMAP_RETRY,
            Protocol::Upnp => PORTMAP_CHECK_UPNP,
            Protocol::Pcp | Protocol::NatPmp => PORTMAP_CHECK,
        };
        self.check_at = now + pause;
    }

    /// The gateway speaks this protocol.
    pub(super) fn serve(&mut self, now: Instant, protocol: Protocol) {
        self.tried[protocol as usize] = Tried::Serves;
        self.fruitless = 0;
        self.stage = Stage::Serving(protocol);
        self.mappings.iter_mut().for_each(|mapping| mapping.at = now);
        self.quiet_until = now;
        self.checked(now, protocol);
    }

    /// The protocol that was tried does not help: the next one.
    pub(super) fn try_next(&mut self, now: Instant, result: Tried) {
        let (Stage::Probing(protocol) | Stage::Serving(protocol)) = self.stage else { return };
        self.tried[protocol as usize] = result;
        (self.epoch, self.external) = (None, None);
        self.changed |= self.mappings.forget_held(now);
        match protocol {
            Protocol::Pcp => self.stage = Stage::Probing(Protocol::NatPmp),
            Protocol::NatPmp => self.stage = Stage::Probing(Protocol::Upnp),
            Protocol::Upnp => {
                let pause = PORTMAP_RETRY * (1 << self.fruitless.min(7));
                self.fruitless = self.fruitless.saturating_add(1);
                self.rest(now, pause.min(PORTMAP_AGAIN));
            }
        }
    }

    /// Nothing helps for now.
    pub(super) fn rest(&mut self, now: Instant, pause: Duration) {
        self.changed |= self.mappings.forget_held(now);
        self.stage = Stage::Resting(now + pause);
        log::warn!("{}", self.report());
    }
}
