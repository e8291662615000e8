//! Server location: where the requests for a host or domain go (RFC 3263, without NAPTR and TLS).
//!
//! A numeric host is its own target. A host with a port is looked up as A and AAAA. A domain is
//! asked for `_sip._udp` and `_sip._tcp`, and where it has neither, for its own addresses. The
//! transport that the URI names leaves the other out; the transport that the caller prefers comes
//! first, and is used where nothing decides.
//!
//! A pure state machine: [`Locator::poll_question`] says what to ask DNS, [`Locator::on_answer`]
//! takes what it said. Every step looks only at the answers kept, so several searches share one
//! question. When DNS fails, answers that were good before are used on: an outage of the provider
//! often takes its name servers along (RFC 8767). All sizes are in [`crate::limits`].

use crate::limits;
use crate::net::{Failure, Record, RecordKind};
use crate::rng::Rng;
use crate::sip::host_ip;
use crate::time::Instant;
use answers::{Answers, Lookup};
use core::fmt;
use records::{can_be_found, first_services, pick};
use std::collections::VecDeque;
use std::net::SocketAddr;

mod answers;
mod records;
#[cfg(test)]
mod tests;

const SIP_PORT: u16 = 5060;
/// Questions that one search may cause, repeats of forgotten answers included.
const QUESTIONS_MAX: u8 = 24;

/// A transport that a target is reached by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A stream.
    Tcp,
}

impl Transport {
    fn other(self) -> Self {
        match self {
            Self::Udp => Self::Tcp,
            Self::Tcp => Self::Udp,
        }
    }

    fn service(self, domain: &str) -> String {
        match self {
            Self::Udp => format!("_sip._udp.{domain}"),
            Self::Tcp => format!("_sip._tcp.{domain}"),
        }
    }
}

/// Where to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// The address.
    pub addr: SocketAddr,
    /// And how.
    pub transport: Transport,
}

/// Targets in the order in which they are to be tried.
pub type Targets = heapless::Vec<Target, { limits::LOCATE_TARGETS_MAX }>;

/// What a search starts from.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// A host name, a domain, or an address; IPv6 with brackets or without.
    pub host: &'a str,
    /// The port, if the URI names one.
    pub port: Option<u16>,
    /// The transport, if the URI names one.
    pub transport: Option<Transport>,
    /// The transport to use where nothing decides, and to try first.
    pub preferred: Transport,
}

/// A question for DNS: [`crate::net::Request::Resolve`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// To be given back to [`Locator::on_answer`].
    pub id: u32,
    /// The name.
    pub name: String,
    /// Which records.
    pub kind: RecordKind,
}

/// Why a search found nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocateError {
    /// Too many searches run.
    Full,
    /// Not a host name.
    Name,
    /// DNS says that there is no such host or service.
    Absent,
    /// DNS did not answer, and had not before.
    Silent,
}

impl fmt::Display for LocateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "too many look-ups of servers at once",
            Self::Name => "not a host name",
            Self::Absent => "no such server in DNS",
            Self::Silent => "no answer from DNS",
        })
    }
}

impl core::error::Error for LocateError {}

struct Search {
    user: u32,
    host: String,
    port: Option<u16>,
    transport: Option<Transport>,
    preferred: Transport,
    started: Instant,
    questions_left: u8,
}

/// What a step of a search came to; None while it waits for DNS.
type Step = Result<Option<Targets>, LocateError>;

/// Finds servers; keeps answers.
pub struct Locator {
    answers: Answers,
    searches: Vec<Search>,
    found: VecDeque<(u32, Result<Targets, LocateError>)>,
    /// Address families that the network has: IPv4, IPv6.
    families: (bool, bool),
    rng: Rng,
}

impl Locator {
    /// Nothing known, nothing sought.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            answers: Answers::new(),
            searches: Vec::with_capacity(limits::LOCATE_SEARCHES_MAX),
            found: VecDeque::new(),
            families: (true, true),
            rng: rng.fork("locate"),
        }
    }

    /// Which address families targets may have; both at first.
    pub fn set_families(&mut self, ipv4: bool, ipv6: bool) {
        self.families = (ipv4, ipv6);
    }

    /// Starts a search; [`Self::poll_found`] brings `user` back, at once where nothing need be
    /// asked.
    ///
    /// # Errors
    /// [`LocateError::Full`] and [`LocateError::Name`]; then nothing is brought back.
    pub fn start(&mut self, now: Instant, query: &Query<'_>, user: u32) -> Result<(), LocateError> {
        let waiting = self.searches.len() + self.found.len();
        if waiting >= limits::LOCATE_SEARCHES_MAX {
            return Err(LocateError::Full);
        }
        if !can_be_found(query.host) {
            return Err(LocateError::Name);
        }
        self.searches.push(Search {
            user,
            host: query.host.trim_end_matches('.').to_ascii_lowercase(),
            port: query.port.filter(|port| *port != 0),
            transport: query.transport,
            preferred: query.preferred,
            started: now,
            questions_left: QUESTIONS_MAX,
        });
        self.advance(now);
        Ok(())
    }

    /// Ends the searches of `user`; their answers are still kept.
    pub fn forget(&mut self, user: u32) {
        self.searches.retain(|search| search.user != user);
        self.found.retain(|(found, _)| *found != user);
    }

    /// Takes the answer to a question: records with the seconds that they may be kept, or why
    /// there are none. An answer to nothing is ignored.
    pub fn on_answer(&mut self, now: Instant, id: u32, answer: Result<(&[Record], u32), Failure>) {
        if self.answers.on_answer(now, id, answer) {
            self.advance(now);
        }
    }

    /// The next question to ask.
    pub fn poll_question(&mut self) -> Option<Question> {
        self.answers.poll_question()
    }

    /// The next search that has come to its end, with the number of its user.
    pub fn poll_found(&mut self) -> Option<(u32, Result<Targets, LocateError>)> {
        self.found.pop_front()
    }

    /// Takes every search as far as the answers go.
    fn advance(&mut self, now: Instant) {
        let mut searches = core::mem::take(&mut self.searches);
        searches.retain_mut(|search| {
            let result = match self.step(now, search) {
                Ok(None) => return true,
                Ok(Some(targets)) if targets.is_empty() => Err(LocateError::Absent),
                Ok(Some(targets)) => Ok(targets),
                Err(error) => Err(error),
            };
            self.found.push_back((search.user, result));
            false
        });
        self.searches = searches;
    }

    fn step(&mut self, now: Instant, search: &mut Search) -> Step {
        let transport = search.transport.unwrap_or(search.preferred);
        if search.port.is_some() || host_ip(&search.host).is_some() {
            return self.step_host(now, search, transport);
        }
        let mut services = Vec::new();
        let mut waits = false;
        for candidate in [transport, transport.other()] {
            if search.transport.is_some_and(|only| only != candidate) {
                continue;
            }
            let name = candidate.service(&search.host);
            match self.look_up(now, search, &name, RecordKind::Service) {
                Ok(Some(records)) => services.push((candidate, records)),
                Ok(None) => waits = true,
                Err(LocateError::Silent) => {}
                Err(error) => return Err(error),
            }
        }
        if waits {
            return Ok(None);
        }
        if services.iter().all(|(_, records)| records.is_empty()) {
            return self.step_host(now, search, transport);
        }
        self.step_services(now, search, services)
    }

    /// The addresses of the host itself.
    fn step_host(&mut self, now: Instant, search: &mut Search, transport: Transport) -> Step {
        let host = search.host.clone();
        let port = search.port.unwrap_or(SIP_PORT);
        let mut targets = Targets::new();
        let Some(records) = self.look_up(now, search, &host, RecordKind::Address)? else {
            return Ok(None);
        };
        self.add(&mut targets, &records, port, transport);
        Ok(Some(targets))
    }

    /// The addresses of the hosts that SRV records name, in the order of RFC 2782.
    fn step_services(
        &mut self,
        now: Instant,
        search: &mut Search,
        services: Vec<(Transport, Vec<Record>)>,
    ) -> Step {
        let (mut waits, mut silent) = (false, false);
        let mut hosts = Vec::new();
        for (transport, records) in services {
            for (priority, weight, port, name) in first_services(records) {
                match self.look_up(now, search, &name, RecordKind::Address) {
                    Ok(Some(records)) => hosts.push((transport, priority, weight, port, records)),
                    Ok(None) => waits = true,
                    Err(LocateError::Silent) => silent = true,
                    Err(error) => return Err(error),
                }
            }
        }
        if waits {
            return Ok(None);
        }
        let mut targets = Targets::new();
        while let Some(first) = hosts.first() {
            let (transport, priority) = (first.0, first.1);
            let group = hosts.iter().take_while(|host| (host.0, host.1) == (transport, priority));
            let at = pick(&mut self.rng, group.map(|host| host.2));
            let (_, _, _, port, records) = hosts.remove(at);
            self.add(&mut targets, &records, port, transport);
        }
        if silent && targets.is_empty() {
            return Err(LocateError::Silent);
        }
        Ok(Some(targets))
    }

    fn add(&self, targets: &mut Targets, records: &[Record], port: u16, transport: Transport) {
        for record in records {
            let Record::Address(ip) = *record else { continue };
            let served = if ip.is_ipv4() { self.families.0 } else { self.families.1 };
            let target = Target { addr: SocketAddr::new(ip, port), transport };
            if served && !targets.contains(&target) && targets.push(target).is_err() {
                return;
            }
        }
    }

    /// The records of a name; None while DNS is being asked.
    fn look_up(
        &mut self,
        now: Instant,
        search: &mut Search,
        name: &str,
        kind: RecordKind,
    ) -> Result<Option<Vec<Record>>, LocateError> {
        if let Some(ip) = host_ip(name) {
            return Ok(Some(vec![Record::Address(ip)]));
        }
        match self.answers.look_up(search.started, name, kind) {
            Lookup::Records(records) => return Ok(Some(records)),
            Lookup::Silent => return Err(LocateError::Silent),
            Lookup::Asked => return Ok(None),
            Lookup::Unknown => {}
        }
        search.questions_left = search.questions_left.checked_sub(1).ok_or(LocateError::Full)?;
        self.answers.ask(now, name, kind).map(|()| None)
    }
}
