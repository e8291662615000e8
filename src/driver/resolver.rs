//! DNS: A, AAAA and SRV questions to the servers of resolv.conf, one task a question.
//!
//! A stub resolver (RFC 1035 s7, RFC 2782, RFC 6891): each server is asked [`DNS_TRIES`] times,
//! from a fresh port with a random id, over UDP. An answer counts only from the server asked, to
//! the question asked. Names are absolute, search lists are not used. The caches are the cores'.

use super::reactor::{Happening, Reactor, Source};
use crate::limits::{
    DNS_QUESTIONS_MAX, DNS_RECORDS_MAX, DNS_SERVERS_MAX, DNS_TRIES, DNS_TRY, DNS_TTL_S_MAX,
};
use crate::net::{Failure, Record, RecordKind, Ticket};
use simple_dns::rdata::{OPT, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, Question, RCODE, TYPE};
use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::rc::Rc;

/// The largest answer over UDP: what survives every path unfragmented (RFC 9715).
const ANSWER_BYTES_MAX: u16 = 1232;
/// Seconds that an entry of the hosts file, or a literal address, is good for.
const LOCAL_TTL_S: u32 = 60;
const DNS_PORT: u16 = 53;
/// Aliases followed within one answer.
const ALIASES_MAX: usize = 8;

/// Where names are looked up.
pub(super) struct Resolver {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    open: Cell<usize>,
}

type Outcome = Result<(Vec<Record>, u32), Failure>;

impl Resolver {
    /// A resolver that reads these two files anew for each question.
    pub(super) fn new(resolv_conf: PathBuf, hosts: PathBuf) -> Self {
        Self { resolv_conf, hosts, open: Cell::new(0) }
    }
}

/// Answers one question, and reports it under `ticket`.
pub(super) async fn resolve(
    reactor: Rc<Reactor>,
    resolver: Rc<Resolver>,
    ticket: Ticket,
    name: String,
    kind: RecordKind,
) {
    let outcome = if resolver.open.get() >= DNS_QUESTIONS_MAX {
        Err(Failure::System)
    } else {
        resolver.open.set(resolver.open.get() + 1);
        let outcome = look_up(&reactor, &resolver, &name, kind).await;
        resolver.open.set(resolver.open.get() - 1);
        outcome
    };
    reactor.report(Happening::Resolved(ticket, outcome));
}

async fn look_up(
    reactor: &Rc<Reactor>,
    resolver: &Resolver,
    name: &str,
    kind: RecordKind,
) -> Outcome {
    let name = name.trim_end_matches('.');
    if kind == RecordKind::Address {
        let literal = name.trim_start_matches('[').trim_end_matches(']').parse();
        if let Ok(address) = literal {
            return Ok((vec![Record::Address(address)], LOCAL_TTL_S));
        }
        let hosts = std::fs::read_to_string(&resolver.hosts).unwrap_or_default();
        let known = in_hosts(&hosts, name);
        if !known.is_empty() {
            return Ok((known, LOCAL_TTL_S));
        }
    }
    let servers = servers(&std::fs::read_to_string(&resolver.resolv_conf).unwrap_or_default());
    match kind {
        RecordKind::Service => ask(reactor, &servers, name, TYPE::SRV).await,
        RecordKind::Address => {
            let v4 = ask(reactor, &servers, name, TYPE::A);
            let v6 = ask(reactor, &servers, name, TYPE::AAAA);
            match smol::future::zip(v4, v6).await {
                (Ok((mut records, ttl)), Ok((more, other_ttl))) => {
                    records.extend(more);
                    Ok((records, ttl.min(other_ttl)))
                }
                (Ok(found), Err(_)) | (Err(_), Ok(found)) => Ok(found),
                // One family that has no answer says nothing about the other.
                (Err(Failure::Absent), Err(error)) | (Err(error), Err(_)) => Err(error),
            }
        }
    }
}

/// Asks the servers in their order until one answers.
async fn ask(reactor: &Rc<Reactor>, servers: &[SocketAddr], name: &str, kind: TYPE) -> Outcome {
    let mut outcome = Err(Failure::TimedOut);
    for _ in 0..DNS_TRIES {
        for server in servers {
            let answer = reactor.within(DNS_TRY, ask_once(reactor, *server, name, kind)).await;
            match answer {
                Some(answer @ (Ok(_) | Err(Failure::Absent))) => return answer,
                Some(Err(error)) => outcome = Err(error),
                None => {}
            }
        }
    }
    outcome
}

async fn ask_once(reactor: &Rc<Reactor>, server: SocketAddr, name: &str, kind: TYPE) -> Outcome {
    let mut id = [0; 2];
    getrandom::fill(&mut id).map_err(|_| Failure::System)?;
    let id = u16::from_be_bytes(id);
    let question = question(id, name, kind).ok_or(Failure::Absent)?;
    let source = open(reactor, server).map_err(|error| super::sockets::failure(&error))?;
    source.get().send(&question).map_err(|error| super::sockets::failure(&error))?;
    let mut buf = [0; ANSWER_BYTES_MAX as usize];
    loop {
        let len = source.done(|socket| socket.recv(&mut buf)).await;
        let len = len.map_err(|error| super::sockets::failure(&error))?;
        if let Some(outcome) = read(buf.get(..len).unwrap_or_default(), id, name, kind) {
            return outcome;
        }
        // Not the answer to this question: a late or a forged one. The real one may follow.
    }
}

/// A socket that hears only `server`; its port is one that the kernel draws.
fn open(reactor: &Rc<Reactor>, server: SocketAddr) -> io::Result<Source<UdpSocket>> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.set_nonblocking(true)?;
    socket.connect(server)?;
    Source::new(reactor, socket)
}

fn question(id: u16, name: &str, kind: TYPE) -> Option<Vec<u8>> {
    let mut packet = Packet::new_query(id);
    packet.set_flags(PacketFlag::RECURSION_DESIRED);
    let name = Name::new(name).ok()?;
    packet.questions.push(Question::new(name, kind.into(), CLASS::IN.into(), false));
    *packet.opt_mut() =
        Some(OPT { opt_codes: Vec::new(), udp_packet_size: ANSWER_BYTES_MAX, version: 0 });
    packet.build_bytes_vec().ok()
}

/// What a packet answers; `None` where it is not an answer to this question.
fn read(packet: &[u8], id: u16, name: &str, kind: TYPE) -> Option<Outcome> {
    let packet = Packet::parse(packet).ok()?;
    let [asked] = packet.questions.as_slice() else { return None };
    let same = same_name(&asked.qname, name)
        && asked.qtype == kind.into()
        && asked.qclass == CLASS::IN.into();
    if packet.id() != id || !packet.has_flags(PacketFlag::RESPONSE) || !same {
        return None;
    }
    match packet.rcode() {
        RCODE::NoError => {}
        RCODE::NameError => return Some(Err(Failure::Absent)),
        _ => return Some(Err(Failure::Refused)),
    }
    let (records, ttl) = collect(&packet, name, kind);
    Some(if records.is_empty() {
        // A cut-off answer without a usable record is no proof that there is none.
        let cut = packet.has_flags(PacketFlag::TRUNCATION);
        Err(if cut { Failure::Refused } else { Failure::Absent })
    } else {
        Ok((records, ttl))
    })
}

/// The records of `name` or of what it is an alias of, and how long all of that is good.
fn collect(packet: &Packet<'_>, name: &str, kind: TYPE) -> (Vec<Record>, u32) {
    let (mut owner, mut ttl) = (name.to_owned(), DNS_TTL_S_MAX);
    for _ in 0..ALIASES_MAX {
        let alias = packet.answers.iter().find_map(|record| match &record.rdata {
            RData::CNAME(target) if same_name(&record.name, &owner) => {
                Some((target.0.to_string(), record.ttl))
            }
            _ => None,
        });
        let Some((target, alias_ttl)) = alias else { break };
        (owner, ttl) = (target, ttl.min(alias_ttl));
    }
    let mut records = Vec::new();
    let answers = packet.answers.iter().filter(|record| same_name(&record.name, &owner));
    for record in answers.take(DNS_RECORDS_MAX) {
        let found = match (&record.rdata, kind) {
            (RData::A(a), TYPE::A) => Record::Address(Ipv4Addr::from(a.address).into()),
            (RData::AAAA(a), TYPE::AAAA) => Record::Address(Ipv6Addr::from(a.address).into()),
            (RData::SRV(srv), TYPE::SRV) => {
                let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
                let target = srv.target.to_string();
                // The root as the target: decidedly no such service (RFC 2782).
                if target.trim_end_matches('.').is_empty() {
                    continue;
                }
                Record::Service { priority, weight, port, target }
            }
            _ => continue,
        };
        ttl = ttl.min(record.ttl);
        records.push(found);
    }
    (records, ttl)
}

fn same_name(name: &Name<'_>, text: &str) -> bool {
    name.to_string().trim_end_matches('.').eq_ignore_ascii_case(text.trim_end_matches('.'))
}

/// The name servers of a resolv.conf. `address#port` names a port, as dnsmasq writes it.
fn servers(text: &str) -> Vec<SocketAddr> {
    let entries = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|word| *word == "nameserver")?;
        let entry = words.next()?;
        let (address, port) = match entry.split_once('#') {
            Some((address, port)) => (address, port.parse().ok()?),
            None => (entry, DNS_PORT),
        };
        Some(SocketAddr::new(address.parse().ok()?, port))
    });
    let mut servers: Vec<SocketAddr> = entries.take(DNS_SERVERS_MAX).collect();
    if servers.is_empty() {
        // What resolv.conf(5) says of an empty file.
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), DNS_PORT));
    }
    servers
}

fn in_hosts(text: &str, name: &str) -> Vec<Record> {
    let lines = text.lines().filter_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        let address: IpAddr = words.next()?.parse().ok()?;
        words.any(|word| word.eq_ignore_ascii_case(name)).then_some(Record::Address(address))
    });
    lines.take(DNS_RECORDS_MAX).collect()
}
