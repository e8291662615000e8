//! The driver on real sockets of the loopback interface, around a core that does as it is told.
#![allow(clippy::disallowed_methods, reason = "the test is the far end, on a thread of its own")]

use cosip::driver::{Driver, Folders, Options, ask};
use cosip::net::{
    Answer, Core, Event, Failure, File, Input, Network, Record, RecordKind, Rejected, Request,
    SocketKind, StreamEvent, Ticket, Transmit, Via,
};
use cosip::outbox::Outbox;
use cosip::time::{Duration, Instant};
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Far more than anything here takes: a test that gets here has failed.
const LIMIT: Duration = Duration::from_secs(20);

/// What the core saw, for the test.
#[derive(Clone, Debug, PartialEq)]
enum Seen {
    Bound(Ticket, SocketAddr),
    Connected(Ticket),
    Resolved(Ticket, Vec<Record>, u32),
    Loaded(Vec<u8>),
    Done(Ticket),
    Failed(Ticket, Failure),
    Datagram(Vec<u8>, u8, IpAddr),
    Opened(SocketAddr),
    Data(usize),
    Closed,
    SendFailed(SocketAddr, Failure),
    Network(Network),
    Clock(u64),
    Timeout,
    Stop,
}

/// Echoes datagrams and streams; a datagram that starts with `!` is an order.
struct Puppet {
    seen: Sender<Seen>,
    events: VecDeque<Event>,
    out: Outbox,
    timeout: Option<Instant>,
    tickets: u32,
    commands: u32,
}

impl Puppet {
    fn new(seen: Sender<Seen>, requests: &[Request]) -> Self {
        let out = Outbox::with_capacity(64, 1 << 20);
        let mut puppet =
            Self { seen, events: VecDeque::new(), out, timeout: None, tickets: 0, commands: 0 };
        requests.iter().for_each(|request| puppet.request(request.clone()));
        puppet
    }

    fn request(&mut self, request: Request) {
        self.tickets += 1;
        self.events.push_back(Event::Request(Ticket(self.tickets), request));
    }

    fn order(&mut self, now: Instant, via: Via, order: &str) {
        let words: Vec<&str> = order.split(' ').collect();
        match *words.as_slice() {
            ["!stop"] => self.events.push_back(Event::Stopped),
            ["!send", to] => {
                assert!(self.out.push(via, to.parse().unwrap(), 0, b"to nobody"));
            }
            ["!connect", to] => {
                let from = Some([127, 0, 0, 1].into());
                self.request(Request::Connect { from, to: to.parse().unwrap() });
            }
            ["!service", name] => {
                self.request(Request::Resolve { name: name.into(), kind: RecordKind::Service });
            }
            ["!address", name] => {
                self.request(Request::Resolve { name: name.into(), kind: RecordKind::Address });
            }
            ["!save", text] => self.request(Request::Save(File::Bindings, text.into())),
            ["!load"] => self.request(Request::Load(File::Bindings)),
            ["!timeout"] => self.timeout = Some(now + Duration::from_millis(30)),
            _ => panic!("unknown order {order}"),
        }
    }

    fn datagram(&mut self, now: Instant, via: Via, from: SocketAddr, tos: u8, data: &[u8]) {
        match std::str::from_utf8(data) {
            Ok(order) if order.starts_with('!') => self.order(now, via, order),
            _ => assert!(self.out.push(via, from, tos, data)),
        }
    }

    fn stream(&mut self, via: Via, data: &[u8]) {
        let to = SocketAddr::from(([0, 0, 0, 0], 0));
        match data {
            b"flood" => (0..20).for_each(|_| assert!(self.out.push(via, to, 0, &[7; 16_000]))),
            b"bye" => {
                let Via::Stream(id) = via else { return };
                assert!(self.out.push(via, to, 0, b"farewell"));
                self.request(Request::CloseConn(id));
            }
            _ => assert!(self.out.push(via, to, 0x68, data)),
        }
    }

    fn answer(ticket: Ticket, answer: Result<Answer<'_>, Failure>) -> Seen {
        match answer {
            Ok(Answer::Bound(_, local)) => Seen::Bound(ticket, local),
            Ok(Answer::Connected(..)) => Seen::Connected(ticket),
            Ok(Answer::Resolved(records, ttl)) => Seen::Resolved(ticket, records.to_vec(), ttl),
            Ok(Answer::Loaded(data)) => Seen::Loaded(data.to_vec()),
            Ok(Answer::Done) => Seen::Done(ticket),
            Err(error) => Seen::Failed(ticket, error),
        }
    }
}

impl Core for Puppet {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        let seen = match input {
            Input::Datagram { socket, from, to, tos, data } => {
                self.datagram(now, Via::Udp(socket), from, tos, data);
                Seen::Datagram(data.to_vec(), tos, to)
            }
            Input::Stream(_, StreamEvent::Opened { remote, .. }) => Seen::Opened(remote),
            Input::Stream(id, StreamEvent::Data(data)) => {
                self.stream(Via::Stream(id), data);
                Seen::Data(data.len())
            }
            Input::Stream(_, StreamEvent::Closed) => Seen::Closed,
            Input::SendFailed { to, error, .. } => Seen::SendFailed(to, error),
            Input::Answer(ticket, answer) => {
                if let Ok(Answer::Connected(id, _)) = answer {
                    self.stream(Via::Stream(id), b"first words");
                }
                Self::answer(ticket, answer)
            }
            Input::Network(network) => Seen::Network(network.clone()),
            Input::Clock(seconds) => Seen::Clock(seconds),
            Input::Timeout => {
                self.timeout = None;
                Seen::Timeout
            }
            Input::Command(ticket, words) => {
                self.commands += 1;
                let reply = format!("{}!", words.join("/")).into_bytes();
                self.events.push_back(Event::Request(ticket, Request::Reply(reply)));
                return Ok(());
            }
            Input::Stop => {
                self.events.push_back(Event::Stopped);
                Seen::Stop
            }
            Input::Config(_) | Input::ConfigError(_) => return Ok(()),
        };
        let _ = self.seen.send(seen);
        Ok(())
    }

    fn poll_transmit(&mut self, _: Instant, buf: &mut [u8]) -> Option<Transmit> {
        self.out.pop(buf)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.timeout
    }
}

/// A driver on its own thread, and what its core sees.
struct Rig {
    seen: Receiver<Seen>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Our end towards the puppet's first socket.
    socket: UdpSocket,
    puppet: SocketAddr,
}

impl Rig {
    fn start(options: Options, requests: &[Request]) -> Self {
        let mut all = vec![bind(SocketKind::Sip)];
        all.extend_from_slice(requests);
        let (sender, seen) = channel();
        let thread = std::thread::spawn(move || {
            let mut puppet = Puppet::new(sender, &all);
            Driver::new(options).unwrap().run(&mut puppet).unwrap();
        });
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let mut rig = Self { seen, thread: Some(thread), socket, puppet: ([0; 4], 0).into() };
        rig.puppet = rig.bound(1);
        rig
    }

    fn tell(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.puppet).unwrap();
    }

    /// Waits for what `wanted` picks out of what the core sees.
    fn wait<T>(&self, mut wanted: impl FnMut(Seen) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.seen.recv_timeout(LIMIT).expect("never seen")) {
                return found;
            }
        }
    }

    fn wait_for(&self, wanted: &Seen) {
        self.wait(|seen| (seen == *wanted).then_some(()));
    }

    fn bound(&self, ticket: u32) -> SocketAddr {
        self.wait(|seen| match seen {
            Seen::Bound(Ticket(bound), local) if bound == ticket => Some(local),
            _ => None,
        })
    }

    fn echo(&self, data: &[u8]) -> Vec<u8> {
        self.socket.send_to(data, self.puppet).unwrap();
        let mut buf = [0; 2048];
        let (len, from) = self.socket.recv_from(&mut buf).unwrap();
        assert_eq!(from, self.puppet);
        buf[..len].to_vec()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.tell("!stop");
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

fn bind(kind: SocketKind) -> Request {
    Request::Bind { kind, local: ([127, 0, 0, 1], 0).into() }
}

/// A folder of its own for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cosip-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn folders(&self) -> Folders {
        Folders { state: self.0.join("state"), run: self.0.join("run") }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn datagrams_of_every_kind_of_socket_come_back_with_their_type_of_service() {
    let kinds = [SocketKind::Media, SocketKind::Overlay].map(bind);
    let mut rig = Rig::start(Options::default(), &kinds);
    let addresses = [rig.puppet, rig.bound(2), rig.bound(3)];
    nix::sys::socket::setsockopt(&rig.socket, nix::sys::socket::sockopt::Ipv4Tos, &0xb8).unwrap();
    for address in addresses {
        rig.puppet = address;
        assert_eq!(rig.echo(b"hello"), b"hello");
        rig.wait_for(&Seen::Datagram(b"hello".to_vec(), 0xb8, address.ip()));
    }
    rig.puppet = addresses[0];
}

#[test]
fn a_closed_port_is_reported_with_its_address_and_others_still_get_through() {
    let rig = Rig::start(Options::default(), &[]);
    let closed = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    rig.tell(&format!("!send {closed}"));
    rig.wait_for(&Seen::SendFailed(closed, Failure::Refused));
    assert_eq!(rig.echo(b"still here"), b"still here");
}

#[test]
fn a_timeout_comes_and_comes_once() {
    let rig = Rig::start(Options::default(), &[]);
    rig.tell("!timeout");
    rig.wait_for(&Seen::Timeout);
    assert_eq!(rig.echo(b"x"), b"x");
    rig.wait(|seen| match seen {
        Seen::Timeout => panic!("twice"),
        Seen::Datagram(data, ..) => (data == b"x").then_some(()),
        _ => None,
    });
}

#[test]
fn a_connection_echoes_what_is_larger_than_any_buffer_and_closes_when_all_has_left() {
    let listener =
        Request::Bind { kind: SocketKind::SipListener, local: ([127, 0, 0, 1], 0).into() };
    let rig = Rig::start(Options::default(), &[listener]);
    let mut stream = TcpStream::connect(rig.bound(2)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    rig.wait_for(&Seen::Opened(stream.local_addr().unwrap()));
    let sent: Vec<u8> = (0..60_000u32).map(|n| n as u8).collect();
    stream.write_all(&sent).unwrap();
    let mut echoed = vec![0; sent.len()];
    stream.read_exact(&mut echoed).unwrap();
    assert!(echoed == sent);
    stream.write_all(b"bye").unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"farewell");
}

#[test]
fn a_far_end_that_does_not_read_loses_its_connection_and_one_that_leaves_is_reported() {
    let listener =
        Request::Bind { kind: SocketKind::SipListener, local: ([127, 0, 0, 1], 0).into() };
    let rig = Rig::start(Options::default(), &[listener]);
    let address = rig.bound(2);
    let mut deaf = TcpStream::connect(address).unwrap();
    // The kernel's own buffers take some floods before the queue has to.
    let mut closed = false;
    for _ in 0..200 {
        if closed || deaf.write_all(b"flood").is_err() {
            break;
        }
        closed = rig.wait(|seen| match seen {
            Seen::Data(_) => Some(false),
            Seen::Closed => Some(true),
            _ => None,
        });
    }
    if !closed {
        rig.wait_for(&Seen::Closed);
    }
    drop(TcpStream::connect(address).unwrap());
    rig.wait_for(&Seen::Closed);
}

#[test]
fn connecting_works_is_refused_and_is_told() {
    let rig = Rig::start(Options::default(), &[]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    rig.tell(&format!("!connect {address}"));
    rig.wait_for(&Seen::Connected(Ticket(2)));
    let (mut stream, _) = listener.accept().unwrap();
    let mut buf = [0; 11];
    stream.read_exact(&mut buf).unwrap();
    assert_eq!(&buf, b"first words");
    drop((stream, listener));
    rig.wait_for(&Seen::Closed);
    rig.tell(&format!("!connect {address}"));
    rig.wait_for(&Seen::Failed(Ticket(3), Failure::Refused));
}

#[test]
fn files_and_the_control_socket_live_in_their_folders() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new("files");
    let folders = scratch.folders();
    let options = Options { folders: Some(folders.clone()), ..Options::default() };
    let rig = Rig::start(options.clone(), &[]);
    rig.tell("!load");
    rig.wait_for(&Seen::Failed(Ticket(2), Failure::Absent));
    rig.tell("!save remember");
    rig.wait_for(&Seen::Done(Ticket(3)));
    rig.tell("!load");
    rig.wait_for(&Seen::Loaded(b"remember".to_vec()));
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folders.control_socket()), 0o600);
    assert_eq!(mode(folders.state.join("bindings")), 0o600);
    assert_eq!(mode(folders.state.clone()), 0o700);
    assert_eq!(ask(&folders, &["look up", "sip:a@b"]).unwrap(), b"look up/sip:a@b!");
    let counters: serde_json::Value =
        serde_json::from_slice(&ask(&folders, &["driver"]).unwrap()).unwrap();
    assert_eq!(counters["bind_failed"], 0);
    assert!(Driver::new(options).is_err(), "two daemons in one folder");
}

#[test]
fn literal_networks_and_the_clock_are_told_at_the_start() {
    let options = Options {
        lan: vec!["127.0.0.3".into()],
        wan: vec!["127.0.0.2".into(), "203.0.113.9".into()],
        ..Options::default()
    };
    let (sender, seen) = channel();
    let mut puppet = Puppet::new(sender, &[]);
    puppet.events.push_back(Event::Stopped);
    Driver::new(options).unwrap().run(&mut puppet).unwrap();
    let seen: Vec<Seen> = seen.try_iter().collect();
    let network = Network {
        lan: vec![[127, 0, 0, 3].into()],
        wan: vec![[127, 0, 0, 2].into()],
        wan_up: true,
    };
    assert!(seen.contains(&Seen::Network(network)));
    assert!(seen.iter().any(|seen| matches!(seen, Seen::Clock(1_700_000_000..))));
}

#[test]
fn lines_are_commands_and_the_driver_stops_when_they_end() {
    let scratch = Scratch::new("lines");
    let file = scratch.file("lines", "put a b\n\nget a");
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"put a b\nget ").unwrap();
    drop(writer);
    let pipe = std::os::fd::OwnedFd::from(reader);
    for source in [std::fs::File::open(file).unwrap(), pipe.into()] {
        let (sender, seen) = channel();
        let mut puppet = Puppet::new(sender, &[]);
        let mut driver = Driver::new(Options::default()).unwrap();
        driver.add_line_source(source).unwrap();
        driver.run(&mut puppet).unwrap();
        assert_eq!(puppet.commands, 2);
        assert!(seen.try_iter().any(|seen| seen == Seen::Stop));
    }
}

/// Answers one question as a name server, with these records; a forged answer goes ahead.
fn answer_question(server: &UdpSocket, records: &[(&str, simple_dns::rdata::RData<'_>)]) {
    use simple_dns::{CLASS, Name, Packet, RCODE, ResourceRecord};
    let mut buf = [0; 1500];
    let (len, from) = server.recv_from(&mut buf).unwrap();
    let question = Packet::parse(&buf[..len]).unwrap();
    let mut answer = Packet::new_reply(question.id());
    answer.questions = question.questions.clone();
    let kind = question.questions[0].qtype;
    for (name, data) in records {
        let name = Name::new(name).unwrap();
        answer.answers.push(ResourceRecord::new(name, CLASS::IN, 300, data.clone()));
    }
    let wanted = answer.answers.iter().any(|r| kind == r.rdata.type_code().into());
    if !wanted {
        *answer.rcode_mut() = RCODE::NameError;
    }
    answer.set_id(question.id() ^ 1);
    server.send_to(&answer.build_bytes_vec().unwrap(), from).unwrap();
    server.send_to(b"nonsense", from).unwrap();
    answer.set_id(question.id());
    server.send_to(&answer.build_bytes_vec().unwrap(), from).unwrap();
}

#[test]
fn names_come_from_the_hosts_file_and_the_name_server() {
    use simple_dns::{Name, rdata};
    let scratch = Scratch::new("names");
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let port = server.local_addr().unwrap().port();
    let options = Options {
        resolv_conf: scratch.file("resolv.conf", &format!("nameserver 127.0.0.1#{port}\n")),
        hosts: scratch.file("hosts", "192.0.2.7 phone # a comment\n"),
        ..Options::default()
    };
    let rig = Rig::start(options, &[]);
    rig.tell("!address PHONE");
    rig.wait_for(&Seen::Resolved(Ticket(2), vec![Record::Address([192, 0, 2, 7].into())], 60));
    rig.tell("!address sip.example.net");
    let alias = rdata::RData::CNAME(rdata::CNAME(Name::new("Real.example.net").unwrap()));
    let address = rdata::RData::A(rdata::A { address: 0xc633_6401 });
    let stray = rdata::RData::A(rdata::A { address: 1 });
    let records =
        [("sip.example.net", alias), ("real.example.net", address), ("other.example.net", stray)];
    answer_question(&server, &records);
    answer_question(&server, &records);
    rig.wait_for(&Seen::Resolved(Ticket(3), vec![Record::Address([198, 51, 100, 1].into())], 300));
    rig.tell("!service _sip._udp.example.net");
    let target = Name::new("sip.example.net").unwrap();
    let service = rdata::RData::SRV(rdata::SRV { priority: 1, weight: 2, port: 5062, target });
    answer_question(&server, &[("_sip._udp.example.net", service)]);
    let target = "sip.example.net".to_owned();
    let service = Record::Service { priority: 1, weight: 2, port: 5062, target };
    rig.wait_for(&Seen::Resolved(Ticket(4), vec![service], 300));
    rig.tell("!service _sip._tcp.example.net");
    answer_question(&server, &[]);
    rig.wait_for(&Seen::Failed(Ticket(5), Failure::Absent));
}

#[test]
fn a_dead_name_server_is_asked_twice_and_then_given_up() {
    let scratch = Scratch::new("deadname");
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server.set_read_timeout(Some(LIMIT)).unwrap();
    let port = server.local_addr().unwrap().port();
    let options = Options {
        resolv_conf: scratch.file("resolv.conf", &format!("nameserver 127.0.0.1#{port}\n")),
        ..Options::default()
    };
    let rig = Rig::start(options, &[]);
    rig.tell("!service _sip._udp.example.net");
    let mut buf = [0; 1500];
    let first = server.recv_from(&mut buf).unwrap();
    let second = server.recv_from(&mut buf).unwrap();
    assert_ne!(first.1, second.1, "a fresh port each time");
    rig.wait_for(&Seen::Failed(Ticket(2), Failure::TimedOut));
}
