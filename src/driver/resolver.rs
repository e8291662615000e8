//! DNS: A, AAAA and SRV questions to the servers of resolv.conf, one task a question.
//!
//! A stub resolver (RFC 1035 s7): each server is asked [`DNS_TRIES`] times, from a fresh port with
//! a random id, over UDP, and over TCP where the answer was too long for that. An answer counts
//! only from the server asked, to the question asked. Names are absolute, search lists are not
//! used. The caches are the cores'.

use super::dns::{Kind, Outcome, Question, Reading, UDP_BYTES_MAX};
use super::reactor::{Happening, Reactor, Source};
use super::sockets::failure;
use super::streams;
use crate::limits::{
    DNS_OTHER_FAMILY, DNS_QUESTIONS_MAX, DNS_RECORDS_MAX, DNS_SERVERS_MAX, DNS_TCP_BYTES_MAX,
    DNS_TRIES, DNS_TRY,
};
use crate::net::{Failure, Record, RecordKind, Ticket};
use smol::future::or;
use std::cell::Cell;
use std::future::Future;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::pin::pin;
use std::rc::Rc;

/// Seconds that an entry of the hosts file, or a literal address, is good for.
const LOCAL_TTL_S: u32 = 60;
const DNS_PORT: u16 = 53;

/// Where names are looked up.
pub(super) struct Resolver {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    open: Cell<usize>,
}

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
        RecordKind::Service => ask(reactor, &servers, name, Kind::Srv).await,
        RecordKind::Address => {
            let v4 = ask(reactor, &servers, name, Kind::A);
            let v6 = ask(reactor, &servers, name, Kind::Aaaa);
            match both(reactor, v4, v6).await {
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

/// What both give. Once one has addresses the other has no more than [`DNS_OTHER_FAMILY`]: there
/// are name servers that never answer for IPv6 (RFC 4074 s4.1).
async fn both(
    reactor: &Rc<Reactor>,
    v4: impl Future<Output = Outcome>,
    v6: impl Future<Output = Outcome>,
) -> (Outcome, Outcome) {
    let (mut v4, mut v6) = (pin!(v4), pin!(v6));
    let first = async { (Some(v4.as_mut().await), None) };
    match or(first, async { (None, Some(v6.as_mut().await)) }).await {
        (Some(found), _) => {
            let other = rest_of(reactor, found.is_ok(), v6).await;
            (found, other)
        }
        (None, found) => {
            let found = found.unwrap_or(Err(Failure::System));
            (rest_of(reactor, found.is_ok(), v4).await, found)
        }
    }
}

async fn rest_of(
    reactor: &Rc<Reactor>,
    hurried: bool,
    other: impl Future<Output = Outcome>,
) -> Outcome {
    if hurried {
        reactor.within(DNS_OTHER_FAMILY, other).await.unwrap_or(Err(Failure::TimedOut))
    } else {
        other.await
    }
}

/// Asks the servers in their order until one answers.
async fn ask(reactor: &Rc<Reactor>, servers: &[SocketAddr], name: &str, kind: Kind) -> Outcome {
    let mut outcome = Err(Failure::TimedOut);
    for _ in 0..DNS_TRIES {
        for server in servers {
            match ask_once(reactor, *server, name, kind).await {
                answer @ (Ok(_) | Err(Failure::Absent)) => return answer,
                Err(Failure::TimedOut) => {}
                Err(error) => outcome = Err(error),
            }
        }
    }
    outcome
}

async fn ask_once(reactor: &Rc<Reactor>, server: SocketAddr, name: &str, kind: Kind) -> Outcome {
    let question = Question::new(name, kind)?;
    let bytes = question.bytes().ok_or(Failure::Absent)?;
    let by_udp = reactor.within(DNS_TRY, by_udp(reactor, server, &question, &bytes)).await;
    let read = by_udp.ok_or(Failure::TimedOut)?.map_err(|error| failure(&error))?;
    if !read.cut {
        return read.outcome;
    }
    match reactor.within(DNS_TRY, Box::pin(by_tcp(reactor, server, &bytes))).await {
        Some(Ok(answer)) => question.read(&answer).map_or(read.outcome, |whole| whole.outcome),
        // What fitted is better than nothing.
        Some(Err(_)) | None => read.outcome,
    }
}

async fn by_udp(
    reactor: &Rc<Reactor>,
    server: SocketAddr,
    question: &Question<'_>,
    bytes: &[u8],
) -> io::Result<Reading> {
    let source = open(reactor, server)?;
    source.get().send(bytes)?;
    let mut buf = [0; UDP_BYTES_MAX as usize];
    loop {
        let len = source.done(|socket| socket.recv(&mut buf)).await?;
        if let Some(read) = question.read(buf.get(..len).unwrap_or_default()) {
            return Ok(read);
        }
        // Not the answer to this question: a late or a forged one. The real one may follow.
    }
}

/// One exchange, each message behind its length (RFC 1035 s4.2.2).
async fn by_tcp(reactor: &Rc<Reactor>, server: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let source = Source::new(reactor, streams::connecting(reactor, None, server).await?)?;
    let mut message = (bytes.len() as u16).to_be_bytes().to_vec();
    message.extend(bytes);
    let mut rest = message.as_slice();
    while !rest.is_empty() {
        let len = source.done(|mut stream| stream.write(rest)).await?;
        rest = rest.get(len..).filter(|_| len > 0).ok_or(io::ErrorKind::WriteZero)?;
    }
    let mut length = [0; 2];
    fill(&source, &mut length).await?;
    let length = usize::from(u16::from_be_bytes(length));
    if length > DNS_TCP_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; length];
    fill(&source, &mut answer).await?;
    Ok(answer)
}

async fn fill(source: &Source<TcpStream>, mut buf: &mut [u8]) -> io::Result<()> {
    while !buf.is_empty() {
        let len = source.done(|mut stream| stream.read(buf)).await?;
        buf = buf.get_mut(len..).filter(|_| len > 0).ok_or(io::ErrorKind::UnexpectedEof)?;
    }
    Ok(())
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
