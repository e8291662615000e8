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
use crate::time::{Duration, Instant};
use core::fmt;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

#[cfg(test)]
mod tests;

const SIP_PORT: u16 = 5060;
/// The longest name that DNS can carry (RFC 1035 s2.3.4), in text.
const NAME_BYTES_MAX: usize = 253;
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

/// What is known about one question.
struct Known {
    name: String,
    kind: RecordKind,
    /// The question's number while DNS is asked.
    asked: Option<u32>,
    /// Good until then; what a search that began earlier has seen stays good for it.
    until: Instant,
    records: Vec<Record>,
    /// DNS failed, and nothing was known from before.
    silent: bool,
}

struct Search {
    user: u32,
    host: String,
    port: Option<u16>,
    transport: Option<Transport>,
    preferred: Transport,
    started: Instant,
    questions_left: u8,
}

/// What a step of a search came to.
enum Step {
    Wait,
    Found(Targets),
    Failed(LocateError),
}

/// Finds servers; keeps answers.
pub struct Locator {
    known: Vec<Known>,
    searches: Vec<Search>,
    questions: VecDeque<Question>,
    found: VecDeque<(u32, Result<Targets, LocateError>)>,
    next_id: u32,
    /// Address families that the network has: IPv4, IPv6.
    families: (bool, bool),
    rng: Rng,
}

impl Locator {
    /// Nothing known, nothing sought.
    pub fn new(rng: &mut Rng) -> Self {
        Self {
            known: Vec::with_capacity(limits::LOCATE_ANSWERS_MAX),
            searches: Vec::with_capacity(limits::LOCATE_SEARCHES_MAX),
            questions: VecDeque::new(),
            found: VecDeque::new(),
            next_id: 0,
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
        if !is_host(query.host) {
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
        let Some(known) = self.known.iter_mut().find(|known| known.asked == Some(id)) else {
            return;
        };
        known.asked = None;
        let (seconds, silent) = match answer {
            Ok((records, ttl)) => {
                known.records.clear();
                known.records.extend(records.iter().take(limits::LOCATE_RECORDS_MAX).cloned());
                (ttl.clamp(limits::LOCATE_TTL_S.0, limits::LOCATE_TTL_S.1), false)
            }
            Err(Failure::Absent) => {
                known.records.clear();
                (limits::LOCATE_RETRY_S, false)
            }
            Err(_) => (limits::LOCATE_RETRY_S, known.records.is_empty()),
        };
        known.silent = silent;
        known.until = now + Duration::from_secs(u64::from(seconds));
        self.advance(now);
    }

    /// The next question to ask.
    pub fn poll_question(&mut self) -> Option<Question> {
        self.questions.pop_front()
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
                Step::Wait => return true,
                Step::Found(targets) if targets.is_empty() => Err(LocateError::Absent),
                Step::Found(targets) => Ok(targets),
                Step::Failed(error) => Err(error),
            };
            self.found.push_back((search.user, result));
            false
        });
        self.searches = searches;
    }

    fn step(&mut self, now: Instant, search: &mut Search) -> Step {
        let transport = search.transport.unwrap_or(search.preferred);
        if search.port.is_some() || ip_of(&search.host).is_some() {
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
                Err(error) => return Step::Failed(error),
            }
        }
        if waits {
            return Step::Wait;
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
        match self.look_up(now, search, &host, RecordKind::Address) {
            Ok(Some(records)) => self.add(&mut targets, &records, port, transport),
            Ok(None) => return Step::Wait,
            Err(error) => return Step::Failed(error),
        }
        Step::Found(targets)
    }

    /// The addresses of the hosts that SRV records name, in the order of RFC 2782.
    fn step_services(
        &mut self,
        now: Instant,
        search: &mut Search,
        services: Vec<(Transport, Vec<Record>)>,
    ) -> Step {
        let mut waits = false;
        let mut hosts = Vec::new();
        for (transport, records) in services {
            for (priority, weight, port, name) in first_services(records) {
                match self.look_up(now, search, &name, RecordKind::Address) {
                    Ok(Some(records)) => hosts.push((transport, priority, weight, port, records)),
                    Ok(None) => waits = true,
                    Err(LocateError::Silent) => {}
                    Err(error) => return Step::Failed(error),
                }
            }
        }
        if waits {
            return Step::Wait;
        }
        let mut targets = Targets::new();
        while let Some(first) = hosts.first() {
            let (transport, priority) = (first.0, first.1);
            let group = hosts.iter().take_while(|host| (host.0, host.1) == (transport, priority));
            let at = pick(&mut self.rng, group.map(|host| host.2));
            let (_, _, _, port, records) = hosts.remove(at);
            self.add(&mut targets, &records, port, transport);
        }
        Step::Found(targets)
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
        if let Some(ip) = ip_of(name) {
            return Ok(Some(vec![Record::Address(ip)]));
        }
        let at = self.known.iter().position(|known| known.name == name && known.kind == kind);
        if let Some(known) = at.and_then(|at| self.known.get_mut(at)) {
            if known.asked.is_some() {
                return Ok(None);
            }
            if known.until >= search.started {
                let silent = known.silent;
                return if silent {
                    Err(LocateError::Silent)
                } else {
                    Ok(Some(known.records.clone()))
                };
            }
        }
        search.questions_left = search.questions_left.checked_sub(1).ok_or(LocateError::Full)?;
        self.ask(now, at, name, kind).map(|()| None)
    }

    fn ask(
        &mut self,
        now: Instant,
        at: Option<usize>,
        name: &str,
        kind: RecordKind,
    ) -> Result<(), LocateError> {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        if let Some(known) = at.and_then(|at| self.known.get_mut(at)) {
            known.asked = Some(id);
        } else {
            if self.known.len() >= limits::LOCATE_ANSWERS_MAX {
                let kept = self.known.iter().enumerate().filter(|(_, known)| known.asked.is_none());
                let oldest = kept.min_by_key(|(_, known)| known.until).map(|(at, _)| at);
                self.known.swap_remove(oldest.ok_or(LocateError::Full)?);
            }
            let name = name.into();
            let (records, asked) = (Vec::new(), Some(id));
            self.known.push(Known { name, kind, asked, until: now, records, silent: false });
        }
        self.questions.push_back(Question { id, name: name.into(), kind });
        Ok(())
    }
}

/// The SRV records that are worth resolving, by priority. A target of "." says that the service is
/// decidedly not offered.
fn first_services(records: Vec<Record>) -> Vec<(u16, u16, u16, String)> {
    let mut services: Vec<_> = records
        .into_iter()
        .filter_map(|record| match record {
            Record::Service { priority, weight, port, target } => {
                let name = target.trim_end_matches('.').to_ascii_lowercase();
                (port != 0 && is_host(&name)).then_some((priority, weight, port, name))
            }
            Record::Address(_) => None,
        })
        .collect();
    services.sort_by(|a, b| (a.0, b.1, &a.3, a.2).cmp(&(b.0, a.1, &b.3, b.2)));
    services.truncate(limits::LOCATE_TARGETS_MAX);
    services
}

/// Chooses by weight, as RFC 2782 says: weight 0 has a small chance of its own.
fn pick(rng: &mut Rng, weights: impl Iterator<Item = u16> + Clone) -> usize {
    let share = |weight: u16| if weight == 0 { 1 } else { 100 * u32::from(weight) };
    let total = weights.clone().map(share).sum();
    let mut chosen = rng.below(total);
    for (at, weight) in weights.enumerate() {
        match chosen.checked_sub(share(weight)) {
            Some(rest) => chosen = rest,
            None => return at,
        }
    }
    0
}

fn ip_of(host: &str) -> Option<IpAddr> {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

fn is_host(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let name_fits = !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(fits);
    let no_empty_label = !name.trim_end_matches('.').split('.').any(|label| label.is_empty());
    ip_of(name).is_some() || (name_fits && no_empty_label)
}
