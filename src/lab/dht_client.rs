//! One member of the overlay as a process of its own, with a line protocol for measurements.
//!
//! In: `put KEY VALUE`, `get KEY`. Out: `ready` once it has joined, then `put KEY ok|fail MS` when
//! the record is stored and acknowledged, `get KEY ok|fail MS` with the first value seen. Keys
//! stand for AORs, values for the user part of a contact. It names no address of its own, so
//! that it works behind the address translation of a test network: members tell it.

use crate::budget::Budget;
use crate::driver::{self, Driver, start};
use crate::identity::record::Contact;
use crate::identity::{Identity, NetworkKeys};
use crate::net::{
    Answer, Core, Event, Input, Rejected, Request, SocketId, SocketKind, Ticket, Transmit, Via,
};
use crate::overlay::{Limits, LookupId, Overlay, OverlayEvent, PublishId};
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// The secret of the lab's network: known to everybody, and so no secret.
const LAB_SECRET: &[u8; 32] = b"cosip lab network, not a secret!";
/// The name of the lab's network.
pub(super) const LAB_NETWORK: &str = "lab";
/// A put that nobody acknowledged by then has failed.
const PUT_MAX: Duration = Duration::from_secs(10);
/// Room for the keys and questions of a measurement.
const ENTRIES: usize = 1024;
const SOCKET_TICKET: Ticket = Ticket(0);

/// What the process is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address and port of its socket.
    pub listen: SocketAddr,
    /// A member to join by.
    pub bootstrap: Option<SocketAddr>,
    /// The text of a secret file, instead of the lab's own secret.
    pub secret: Option<String>,
    /// Only take part: no commands.
    pub node: bool,
}

/// A command that is not answered yet.
struct Waiting {
    ticket: Ticket,
    /// The command and its key.
    what: String,
    since: Instant,
}

/// A member of the overlay that answers commands.
pub struct Node {
    overlay: Overlay,
    budget: Budget,
    socket: Option<SocketId>,
    failed: bool,
    joined: bool,
    bootstrap: Option<SocketAddr>,
    events: VecDeque<Event>,
    puts: BTreeMap<PublishId, Waiting>,
    gets: BTreeMap<LookupId, Waiting>,
}

impl Node {
    /// A member with a new identity that follows from `seed`.
    ///
    /// # Errors
    /// What is wrong with the secret.
    pub fn new(options: &Options, seed: [u8; 32], now: Instant) -> io::Result<Self> {
        let faulty = |error: &dyn core::fmt::Display| io::Error::other(error.to_string());
        let keys = match &options.secret {
            Some(text) => NetworkKeys::parse(text, LAB_NETWORK).map_err(|error| faulty(&error))?,
            None => NetworkKeys::new(LAB_SECRET, LAB_NETWORK),
        };
        let mut rng = Rng::new(seed);
        let identity = Identity::from_seed(rng.bytes()).map_err(|error| faulty(&error))?;
        let limits =
            Limits { publish_entries: ENTRIES, lookup_entries: ENTRIES, ..Limits::default() };
        let bind = Request::Bind { kind: SocketKind::Overlay, local: options.listen };
        Ok(Self {
            overlay: Overlay::new(&identity, &keys, limits, 1, rng.bytes(), now),
            budget: Budget::new(now),
            socket: None,
            failed: false,
            joined: false,
            bootstrap: options.bootstrap,
            events: VecDeque::from([Event::Request(SOCKET_TICKET, bind)]),
            puts: BTreeMap::new(),
            gets: BTreeMap::new(),
        })
    }

    /// Whether it has met another member.
    pub fn has_joined(&self) -> bool {
        self.joined
    }

    fn command(&mut self, now: Instant, ticket: Ticket, words: &[&str]) {
        let waiting = |what| Waiting { ticket, what, since: now };
        match *words {
            ["put", key, value] => {
                let waiting = waiting(format!("put {key}"));
                let contact = Contact::new(value);
                match contact.and_then(|it| self.overlay.publish(now, key, &it).ok()) {
                    Some(publish) => drop(self.puts.insert(publish, waiting)),
                    None => self.answer(now, &waiting, false),
                }
            }
            ["get", key] => {
                let lookup = self.overlay.lookup(now, key);
                self.gets.insert(lookup, waiting(format!("get {key}")));
            }
            _ => self.reply(ticket, "error: put KEY VALUE, get KEY".to_owned()),
        }
    }

    fn answer(&mut self, now: Instant, waiting: &Waiting, ok: bool) {
        let micros = now.since(waiting.since).as_micros();
        let result = if ok { "ok" } else { "fail" };
        let (what, ms, rest) = (&waiting.what, micros / 1000, micros % 1000);
        self.reply(waiting.ticket, format!("{what} {result} {ms}.{rest:03}"));
    }

    fn reply(&mut self, ticket: Ticket, line: String) {
        self.events.push_back(Event::Request(ticket, Request::Reply(line.into_bytes())));
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.overlay.poll_event() {
            let (waiting, ok) = match event {
                OverlayEvent::Joined => {
                    self.joined = true;
                    continue;
                }
                OverlayEvent::Found(found) => (self.gets.remove(&found.lookup), true),
                OverlayEvent::Done { lookup, .. } => (self.gets.remove(&lookup), false),
                OverlayEvent::Published { publish, replicas } => {
                    (self.puts.remove(&publish), replicas > 0)
                }
                _ => continue,
            };
            if let Some(waiting) = waiting {
                self.answer(now, &waiting, ok);
            }
        }
    }

    fn give_up(&mut self, now: Instant) {
        while let Some(entry) = self.puts.first_entry() {
            if entry.get().since + PUT_MAX > now {
                return;
            }
            let waiting = entry.remove();
            self.answer(now, &waiting, false);
        }
    }
}

impl Core for Node {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        let mut result = Ok(());
        match input {
            Input::Datagram { from, data, .. } => {
                result = self.overlay.handle_datagram(now, from, data);
            }
            Input::SendFailed { to, .. } => self.overlay.send_failed(now, to),
            Input::Answer(SOCKET_TICKET, Ok(Answer::Bound(socket, _))) => {
                self.socket = Some(socket);
                self.overlay.set_local(now, &[], &[]);
                self.overlay.set_bootstrap(now, self.bootstrap.as_slice());
            }
            Input::Answer(SOCKET_TICKET, _) => {
                self.failed = true;
                self.events.push_back(Event::Stopped);
            }
            Input::Command(ticket, words) => self.command(now, ticket, words),
            Input::Timeout => {
                self.overlay.handle_timeout(now);
                self.overlay.work(now, &mut self.budget);
                self.give_up(now);
            }
            Input::Stop => self.events.push_back(Event::Stopped),
            _ => {}
        }
        self.take_events(now);
        result
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let socket = self.socket?;
        // On loopback one socket is as good as two.
        let Transmit { to, tos, len, .. } = self.overlay.poll_transmit(buf)?;
        Some(Transmit { via: Via::Udp(socket), to, tos, len })
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let put = self.puts.values().next().map(|waiting| waiting.since + PUT_MAX);
        let overlay = earlier(self.overlay.poll_timeout(), self.overlay.work_at(&self.budget));
        earlier(put, overlay)
    }
}

/// A member that says on standard output when it has joined.
struct Announced {
    node: Node,
    said: bool,
}

impl Core for Announced {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        let result = self.node.handle_input(now, input);
        if self.node.has_joined() && !self.said {
            self.said = true;
            // Without a reader there is nobody to tell.
            let mut out = io::stdout().lock();
            let _ = writeln!(out, "ready").and_then(|()| out.flush());
        }
        result
    }

    fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        self.node.poll_transmit(now, buf)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.node.poll_event()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.node.poll_timeout()
    }
}

/// Runs a member until its standard input ends, or for ever where it is a plain node.
///
/// # Errors
/// Where the socket is not to be had or the secret is faulty; what the system says.
pub fn run(options: &Options) -> io::Result<()> {
    let node = Node::new(options, start::random_seed()?, Instant::ZERO)?;
    let mut driver = Driver::new(driver::Options::default())?;
    if !options.node {
        driver.add_line_source(File::from(io::stdin().as_fd().try_clone_to_owned()?))?;
    }
    let mut core = Announced { node, said: false };
    driver.run(&mut core)?;
    if core.node.failed {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            format!("cannot bind {}", options.listen),
        ));
    }
    Ok(())
}
