//! The rig: a driver on its own thread, a core that does as it is told, and what that core saw.

use cosip::driver::{Driver, Folders, Options};
use cosip::net::{
    Answer, Core, Event, Failure, File, Input, Mac, Network, Record, RecordKind, Rejected, Request,
    SocketKind, StreamEvent, Ticket, Transmit, Via,
};
use cosip::outbox::Outbox;
use cosip::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Far more than anything here takes: a test that gets here has failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// What the core saw, for the test.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Seen {
    Bound(Ticket, SocketAddr),
    Connected(Ticket),
    Resolved(Ticket, Vec<Record>, u32),
    Loaded(Vec<u8>),
    Neighbour(Mac),
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
pub(crate) struct Puppet {
    seen: Sender<Seen>,
    pub(crate) events: VecDeque<Event>,
    out: Outbox,
    timeout: Option<Instant>,
    tickets: u32,
    pub(crate) commands: u32,
}

impl Puppet {
    pub(crate) fn new(seen: Sender<Seen>, requests: &[Request]) -> Self {
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
            ["!neighbour", host] => self.request(Request::Neighbour(host.parse().unwrap())),
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
            Ok(Answer::Neighbour(mac)) => Seen::Neighbour(mac),
            Ok(Answer::Done | Answer::Intercepting(_)) => Seen::Done(ticket),
            Err(error) => Seen::Failed(ticket, error),
        }
    }
}

impl Core for Puppet {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        let seen = match input {
            Input::Datagram { socket, from, to, tos, data } => {
                self.datagram(now, Via::Udp(socket), from, tos, data);
                Seen::Datagram(data.to_vec(), tos, to.ip())
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
pub(crate) struct Rig {
    pub(crate) seen: Receiver<Seen>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Our end towards the puppet's first socket.
    pub(crate) socket: UdpSocket,
    pub(crate) puppet: SocketAddr,
}

impl Rig {
    pub(crate) fn start(options: Options, requests: &[Request]) -> Self {
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

    pub(crate) fn tell(&self, text: &str) {
        self.socket.send_to(text.as_bytes(), self.puppet).unwrap();
    }

    /// Waits for what `wanted` picks out of what the core sees.
    pub(crate) fn wait<T>(&self, mut wanted: impl FnMut(Seen) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.seen.recv_timeout(LIMIT).expect("never seen")) {
                return found;
            }
        }
    }

    pub(crate) fn wait_for(&self, wanted: &Seen) {
        self.wait(|seen| (seen == *wanted).then_some(()));
    }

    pub(crate) fn bound(&self, ticket: u32) -> SocketAddr {
        self.wait(|seen| match seen {
            Seen::Bound(Ticket(bound), local) if bound == ticket => Some(local),
            _ => None,
        })
    }

    pub(crate) fn echo(&self, data: &[u8]) -> Vec<u8> {
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

pub(crate) fn bind(kind: SocketKind) -> Request {
    Request::Bind { kind, local: ([127, 0, 0, 1], 0).into() }
}

/// A folder of its own for one test, gone with it.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cosip-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn folders(&self) -> Folders {
        Folders::new(self.0.join("state"), self.0.join("run"))
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
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
