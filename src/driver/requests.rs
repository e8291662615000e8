//! What a core asks for, done: sockets, connections, names, files, replies.

use super::control::{self, Reply};
use super::files::put_out;
use super::folders::Folders;
use super::intercept::Interceptor;
use super::lines::LineSource;
use super::neighbours::{self, Found};
use super::network::Networks;
use super::poll::Key;
use super::reactor::{Reactor, Source, start};
use super::resolver::{self, Resolver};
use super::sessions;
use super::settings::load_secret;
use super::signals::Signals;
use super::sockets::{Sockets, failure};
use super::streams::{self, Listening, Streams};
use super::{Counters, Options, logger};
use crate::limits::CLOCK_CHECK;
use crate::map::Map;
use crate::net::{
    Answer, ConnId, Failure, Interception, Mac, Record, Request, SocketId, SocketKind, Ticket,
    Transmit, Via,
};
use crate::time::Instant;
use smol::LocalExecutor;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::SystemTime;

/// The topmost bit of a [`SocketId`] marks a listener.
const LISTENER: u32 = 1 << 31;

/// The topmost bit of a [`Ticket`] marks a command, so that it never looks like a request.
const COMMAND: u32 = 1 << 31;

/// An answer that waits for its turn.
pub(super) enum Owned {
    Bound(SocketId, SocketAddr),
    Connected(ConnId, SocketAddr),
    Resolved(Vec<Record>, u32),
    Loaded(Vec<u8>),
    Neighbour(Mac),
    Intercepting(Box<Interception>),
    Done,
}

impl Owned {
    /// The answer as the core takes it.
    pub(super) fn borrow(&self) -> Answer<'_> {
        match self {
            Self::Bound(id, local) => Answer::Bound(*id, *local),
            Self::Connected(id, local) => Answer::Connected(*id, *local),
            Self::Resolved(records, ttl_s) => Answer::Resolved(records, *ttl_s),
            Self::Loaded(data) => Answer::Loaded(data),
            Self::Neighbour(mac) => Answer::Neighbour(*mac),
            Self::Intercepting(now) => Answer::Intercepting(now),
            Self::Done => Answer::Done,
        }
    }
}

/// Everything outside of the core.
pub(super) struct Io {
    pub(super) reactor: Rc<Reactor>,
    pub(super) executor: Rc<LocalExecutor<'static>>,
    pub(super) sockets: Sockets,
    pub(super) streams: Streams,
    pub(super) networks: Networks,
    pub(super) signals: Option<Signals>,
    pub(super) lines: Option<LineSource>,
    pub(super) settings: Option<PathBuf>,
    pub(super) can_be_disabled: bool,
    pub(super) answers: VecDeque<(Ticket, Result<Owned, Failure>)>,
    /// Until when a stop under way may take.
    pub(super) stop_at: Option<Instant>,
    pub(super) stopped: bool,
    folders: Option<Folders>,
    secrets: Option<PathBuf>,
    resolver: Rc<Resolver>,
    pub(super) interceptor: Interceptor,
    listeners: Map<SocketId, Listening>,
    listener_count: u32,
    /// Where replies go; `None`: standard output.
    replies: Map<Ticket, Option<Reply>>,
    command_count: u32,
    /// Wall-clock seconds at the driver's start, and when that was checked last.
    epoch: (u64, Instant),
}

impl Io {
    /// Opens what the options name.
    pub(super) fn new(options: Options) -> io::Result<Self> {
        let reactor = Reactor::new()?;
        let executor = Rc::new(LocalExecutor::new());
        let signals = if options.signals { Some(Signals::open()?) } else { None };
        if let Some(signals) = &signals {
            reactor.poll().add_level(signals, Key::Signals)?;
        }
        if let Some(folders) = &options.folders {
            folders.create()?;
            let listener = Source::new(&reactor, control::open(&folders.control_socket())?)?;
            let accept = |from: &UnixListener| from.accept().map(|(stream, _)| stream);
            let sessions = Rc::downgrade(&executor);
            let serve =
                sessions::serve(reactor.clone(), sessions, listener, accept, control::answer);
            start(&executor, serve).detach();
        }
        #[cfg(feature = "server")]
        if let Some(address) = options.metrics {
            let listener = Source::new(&reactor, super::scrape::open(address)?)?;
            let accept = |from: &TcpListener| from.accept().map(|(stream, _)| stream);
            let (sessions, answer) = (Rc::downgrade(&executor), super::scrape::answer);
            let serve = sessions::serve(reactor.clone(), sessions, listener, accept, answer);
            start(&executor, serve).detach();
        }
        let handed_over = options.folders.as_ref().and_then(Folders::resolv_conf);
        let resolv_conf = handed_over.unwrap_or(options.resolv_conf);
        let names = options.folders.as_ref().map(|folders| folders.run.join("networks"));
        let networks = Networks::new(reactor.poll(), &options.lan, &options.wan, names);
        Ok(Self {
            executor,
            sockets: Sockets::new(),
            streams: Streams::new(),
            networks,
            signals,
            lines: None,
            settings: options.settings,
            can_be_disabled: options.can_be_disabled,
            answers: VecDeque::new(),
            stop_at: None,
            stopped: false,
            folders: options.folders,
            secrets: options.secrets,
            resolver: Rc::new(Resolver::new(resolv_conf, options.hosts)),
            interceptor: Interceptor::default(),
            listeners: Map::new(),
            listener_count: 0,
            replies: Map::new(),
            command_count: 0,
            epoch: (0, Instant::ZERO),
            reactor,
        })
    }

    /// Leaves no control socket behind that nobody answers.
    pub(super) fn remove_control_socket(&self) {
        if let Some(folders) = &self.folders {
            let _ = std::fs::remove_file(folders.control_socket());
        }
    }

    /// Whether the run is over.
    pub(super) fn finished(&self) -> bool {
        self.stopped
    }

    /// Sends what a core wants sent.
    pub(super) fn send(&mut self, transmit: Transmit, data: &[u8]) {
        match transmit.via {
            via @ Via::Udp(id) => self.sockets.send(id, via, transmit.to, transmit.tos, data),
            via @ Via::Intercepted(name) => match self.interceptor.speaker(name) {
                Some(id) => self.sockets.send(id, via, transmit.to, transmit.tos, data),
                None => self.sockets.count_unsent(),
            },
            Via::Stream(id) => self.streams.send(id, transmit.tos, data),
            Via::Peer(_) => debug_assert!(false, "the channel's transmissions stay in the core"),
        }
    }

    /// Does what a core asks for; what takes time answers later.
    pub(super) fn serve(&mut self, ticket: Ticket, request: Request) {
        let answer = match request {
            Request::Bind { kind: SocketKind::SipListener, local } => {
                let listening = self.listen(streams::listen(local, false));
                if let Err(error) = &listening {
                    log::debug!("cannot listen on {local}: {error}");
                }
                listening
                    .map(|(id, local)| Owned::Bound(id, local))
                    .map_err(|error| failure(&error))
            }
            Request::Bind { kind, local } => {
                let bound = self.sockets.bind(self.reactor.poll(), kind, local);
                bound.map(|(id, local)| Owned::Bound(id, local))
            }
            Request::Connect { from, to } => {
                let task = streams::connect_to(self.reactor.clone(), ticket, from, to);
                return start(&self.executor, task).detach();
            }
            Request::CloseSocket(id) => {
                if self.close_socket(id) {
                    Ok(Owned::Done)
                } else {
                    Err(Failure::Absent)
                }
            }
            Request::CloseConn(id) => {
                if self.streams.close(id) {
                    Ok(Owned::Done)
                } else {
                    Err(Failure::Absent)
                }
            }
            Request::Resolve { name, kind } => {
                let (reactor, resolver) = (self.reactor.clone(), self.resolver.clone());
                let task = resolver::resolve(reactor, resolver, ticket, name, kind);
                return start(&self.executor, task).detach();
            }
            Request::Load(file) => match &self.folders {
                Some(folders) => folders.load(file).map(Owned::Loaded),
                None => Err(Failure::Absent),
            },
            Request::Save(file, data) => match &self.folders {
                Some(folders) => folders.save(file, &data).map(|()| Owned::Done),
                None => Ok(Owned::Done),
            },
            Request::Secrets => match &self.secrets {
                Some(path) => load_secret(path).map(Owned::Loaded),
                None => Err(Failure::Absent),
            },
            Request::Neighbour(host) => match neighbours::find(host) {
                Found::Known(mac) => Ok(Owned::Neighbour(mac)),
                Found::Elsewhere => Err(Failure::Absent),
                Found::Unknown => {
                    let task = neighbours::look_for(self.reactor.clone(), ticket, host);
                    return start(&self.executor, task).detach();
                }
            },
            Request::Rules(rules) => Ok(Owned::Intercepting(self.apply(rules).into())),
            // Taken out before by the run loop; it is not answered.
            Request::Reply(data) => return self.reply(ticket, data),
        };
        self.answers.push_back((ticket, answer));
    }

    /// Accepts on a listening socket from now on.
    pub(super) fn listen(
        &mut self,
        opened: io::Result<TcpListener>,
    ) -> io::Result<(SocketId, SocketAddr)> {
        let opened = opened?;
        let local = opened.local_addr()?;
        self.listener_count = self.listener_count.wrapping_add(1);
        let id = SocketId(LISTENER | self.listener_count);
        let listening = Listening::start(&self.executor, &self.reactor, id, opened)?;
        self.listeners.insert(id, listening);
        Ok((id, local))
    }

    /// Closes a socket or a listener. False where there is none of this name.
    pub(super) fn close_socket(&mut self, id: SocketId) -> bool {
        self.sockets.close(id) || self.listeners.remove(&id).is_some()
    }

    /// Takes over a connection that the core had asked for.
    pub(super) fn connected(
        &mut self,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> Result<Owned, Failure> {
        let local = stream.local_addr().map_err(|error| failure(&error))?;
        let conn = self.streams.add(&self.reactor, stream, remote)?;
        let id = conn.id;
        start(&self.executor, streams::serve(self.reactor.clone(), conn, false)).detach();
        Ok(Owned::Connected(id, local))
    }

    /// A ticket for a command whose reply goes to `to`, or to standard output.
    pub(super) fn expect_reply(&mut self, to: Option<Reply>) -> Ticket {
        // Sessions that ended without a reply leave nothing behind.
        self.replies.retain(|to| !to.as_ref().is_some_and(Reply::is_unwanted));
        self.command_count = self.command_count.wrapping_add(1) & !COMMAND;
        let ticket = Ticket(COMMAND | self.command_count);
        self.replies.insert(ticket, to);
        ticket
    }

    /// Passes a reply on to who asked.
    pub(super) fn reply(&mut self, ticket: Ticket, mut reply: Vec<u8>) {
        match self.replies.remove(&ticket) {
            Some(Some(session)) => session.send(reply),
            Some(None) => {
                if !reply.ends_with(b"\n") {
                    reply.push(b'\n');
                }
                put_out(&reply);
            }
            None => {}
        }
    }

    /// How many lines of the line source wait for their replies.
    pub(super) fn lines_open(&self) -> usize {
        self.replies.values().filter(|to| to.is_none()).count()
    }

    /// Wall-clock seconds since 1970.
    pub(super) fn wall_clock(&mut self, now: Instant) -> u64 {
        let seconds = unix_seconds();
        self.epoch = (seconds.saturating_sub(now.millis() / 1000), now);
        seconds
    }

    /// Whether the wall clock was set since it was told last. Looked at now and then only.
    pub(super) fn clock_was_set(&mut self, now: Instant) -> bool {
        if now.since(self.epoch.1) < CLOCK_CHECK {
            return false;
        }
        self.epoch.1 = now;
        let epoch = unix_seconds().saturating_sub(now.millis() / 1000);
        epoch.abs_diff(self.epoch.0) > 2
    }

    /// What happened so far.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            sockets: self.sockets.counters,
            streams: self.streams.counters,
            log_lines_lost: logger::lost(),
        }
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
