//! One member of the overlay as a process of its own, with a line protocol for measurements.
//!
//! In: `put KEY VALUE`, `get KEY`. Out: `ready` once it has joined, then `put KEY ok|fail MS` when
//! the record is stored and acknowledged, `get KEY ok|fail MS` with the first value seen. Keys
//! stand for AORs, values for the user part of a contact. It names no address of its own, so
//! that it works behind the address translation of a test network: members tell it.

use super::stage::Stage;
use crate::identity::record::Contact;
use crate::identity::{Identity, NetworkKeys};
use crate::net::{
    Answer, Core, Event, Input, Rejected, Request, SocketId, SocketKind, Ticket, Transmit, Via,
};
use crate::overlay::{Limits, LookupId, Overlay, OverlayEvent, PublishId};
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use core::fmt;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::AsFd;

/// The secret of the lab's network: known to everybody, and so no secret.
const LAB_SECRET: &[u8; 32] = b"cosip lab network, not a secret!";
/// The name of the lab's network.
pub const LAB_NETWORK: &str = "lab";
/// A put that nobody acknowledged by then has failed.
const PUT_MAX: Duration = Duration::from_secs(10);
/// Room for the keys and questions of a measurement.
const ENTRIES: usize = 1024;
const LINE_BYTES_MAX: usize = 64 * 1024;
const TICKET: Ticket = Ticket(0);

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

/// Something that was asked for and is not answered yet.
struct Waiting {
    key: String,
    since: Instant,
}

/// A member of the overlay that answers lines.
pub struct Node {
    overlay: Overlay,
    socket: Option<SocketId>,
    bootstrap: Option<SocketAddr>,
    events: VecDeque<Event>,
    puts: BTreeMap<PublishId, Waiting>,
    gets: BTreeMap<LookupId, Waiting>,
    lines: VecDeque<String>,
    joined: bool,
}

impl Node {
    /// A member with a new identity that follows from `seed`.
    ///
    /// # Errors
    /// What is wrong with the secret.
    pub fn new(options: &Options, seed: [u8; 32], now: Instant) -> Result<Self, String> {
        let keys = match &options.secret {
            Some(text) => NetworkKeys::parse(text, LAB_NETWORK).map_err(|e| e.to_string())?,
            None => NetworkKeys::new(LAB_SECRET, LAB_NETWORK),
        };
        let mut rng = Rng::new(seed);
        let identity = Identity::from_seed(rng.bytes()).map_err(|error| error.to_string())?;
        let limits =
            Limits { publish_entries: ENTRIES, lookup_entries: ENTRIES, ..Limits::default() };
        let overlay = Overlay::new(&identity, &keys, limits, 1, rng.bytes(), now);
        let bind = Request::Bind { kind: SocketKind::Overlay, local: options.listen };
        Ok(Self {
            overlay,
            socket: None,
            bootstrap: options.bootstrap,
            events: VecDeque::from([Event::Request(TICKET, bind)]),
            puts: BTreeMap::new(),
            gets: BTreeMap::new(),
            lines: VecDeque::new(),
            joined: false,
        })
    }

    /// Takes one line. A line that is none of the protocol is answered `error`.
    pub fn command(&mut self, now: Instant, line: &str) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("put"), Some(key), Some(value)) => self.put(now, key, value),
            (Some("get"), Some(key), None) => {
                let lookup = self.overlay.lookup(now, key);
                self.gets.insert(lookup, Waiting { key: key.to_owned(), since: now });
            }
            (None, ..) => {}
            _ => self.lines.push_back("error".to_owned()),
        }
    }

    /// The next line to print.
    pub fn poll_line(&mut self) -> Option<String> {
        self.lines.pop_front()
    }

    fn put(&mut self, now: Instant, key: &str, value: &str) {
        let waiting = Waiting { key: key.to_owned(), since: now };
        let contact = Contact::new(value);
        match contact.and_then(|contact| self.overlay.publish(now, key, &contact).ok()) {
            Some(publish) => {
                self.puts.insert(publish, waiting);
            }
            None => self.answer(now, "put", &waiting, false),
        }
    }

    fn answer(&mut self, now: Instant, word: &str, waiting: &Waiting, ok: bool) {
        let micros = now.since(waiting.since).as_micros();
        let result = if ok { "ok" } else { "fail" };
        let (ms, rest) = (micros / 1000, micros % 1000);
        self.lines.push_back(format!("{word} {} {result} {ms}.{rest:03}", waiting.key));
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.overlay.poll_event() {
            match event {
                OverlayEvent::Joined if !self.joined => {
                    self.joined = true;
                    self.lines.push_back("ready".to_owned());
                }
                OverlayEvent::Found(found) => {
                    if let Some(waiting) = self.gets.remove(&found.lookup) {
                        self.answer(now, "get", &waiting, true);
                    }
                }
                OverlayEvent::Done { lookup, .. } => {
                    if let Some(waiting) = self.gets.remove(&lookup) {
                        self.answer(now, "get", &waiting, false);
                    }
                }
                OverlayEvent::Published { publish, replicas } => {
                    if let Some(waiting) = self.puts.remove(&publish) {
                        self.answer(now, "put", &waiting, replicas > 0);
                    }
                }
                _ => {}
            }
        }
    }

    fn give_up(&mut self, now: Instant) {
        while let Some(entry) = self.puts.first_entry() {
            if entry.get().since + PUT_MAX > now {
                return;
            }
            let waiting = entry.remove();
            self.answer(now, "put", &waiting, false);
        }
    }
}

impl Core for Node {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        let result = match input {
            Input::Datagram { from, data, .. } => self.overlay.handle_datagram(now, from, data),
            Input::SendFailed { to, .. } => {
                self.overlay.send_failed(now, to);
                Ok(())
            }
            Input::Answer(_, Ok(Answer::Bound(socket, _))) => {
                self.socket = Some(socket);
                self.overlay.set_local(now, &[]);
                self.overlay.set_bootstrap(now, self.bootstrap.as_slice());
                Ok(())
            }
            Input::Timeout => {
                self.overlay.handle_timeout(now);
                self.give_up(now);
                Ok(())
            }
            _ => Ok(()),
        };
        self.take_events(now);
        result
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let socket = self.socket?;
        let (to, len) = self.overlay.poll_transmit(buf)?;
        Some(Transmit { via: Via::Udp(socket), to, tos: 0, len })
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let put = self.puts.values().next().map(|waiting| waiting.since + PUT_MAX);
        earlier(put, self.overlay.poll_timeout())
    }
}

/// Why the process cannot work.
#[derive(Debug)]
pub struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Failed {}

/// Runs a member until its standard input ends, or for ever where it is a plain node.
///
/// # Errors
/// [`Failed`] where the socket is not to be had, the secret is faulty, or no seed.
pub fn run(options: &Options) -> Result<(), Failed> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| Failed(error.to_string()))?;
    let mut stage = Stage::new();
    let node = Node::new(options, seed, stage.now()).map_err(Failed)?;
    let place = stage.add(node);
    if stage.core(place).socket.is_none() {
        return Err(Failed(format!("cannot bind {}", options.listen)));
    }
    if options.node {
        loop {
            stage.run_for(Duration::from_secs(3600));
        }
    }
    let stdin = std::io::stdin();
    let mut input = Vec::new();
    loop {
        let readable = stage.run_until_readable(stdin.as_fd(), |nodes| {
            let mut out = std::io::stdout().lock();
            for line in core::iter::from_fn(|| nodes[place].poll_line()) {
                // A reader that has gone shows as the end of the input.
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
            }
        });
        let mut chunk = [0; 4096];
        let len = match readable {
            true => nix::unistd::read(stdin.as_fd(), &mut chunk).unwrap_or(0),
            false => continue,
        };
        if len == 0 || input.len() > LINE_BYTES_MAX {
            return Ok(());
        }
        input.extend_from_slice(&chunk[..len]);
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = input.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line);
            stage.order(place, |node, now| node.command(now, &line));
        }
    }
}
