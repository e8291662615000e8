//! TCP connections: connecting, accepting, reading, and a bounded queue for what is to be sent.
//!
//! One task a connection. It reports what arrives to the run loop and empties the queue when the
//! far end takes more. A connection whose queue overflows is closed: whoever does not read has
//! lost the thread of a SIP dialogue anyway. A quiet, dead far end is found by the kernel's
//! keep-alives, and by unacknowledged data after `UNACKNOWLEDGED_MS`.

use super::reactor::{Happening, Reactor, Source, start};
use super::sockets::{failure, set_tos};
use crate::limits::{
    STREAM_CONNECT, STREAM_FIRST_BYTE, STREAM_IDLE, STREAM_LINGER, STREAM_QUEUE_BYTES_MAX,
    STREAMS_MAX,
};
use crate::map::Map;
use crate::net::{ConnId, Failure, SocketId, Ticket};
use crate::time::Duration;
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, Shutdown, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt,
    shutdown, socket, sockopt,
};
use smol::LocalExecutor;
use smol::future::{poll_fn, yield_now};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};

/// How long sent data may stay unacknowledged, in milliseconds (TCP_USER_TIMEOUT).
const UNACKNOWLEDGED_MS: u32 = 20_000;
/// Quiet time before the kernel's first keep-alive, seconds between them, and how many.
const KEEPALIVE: (u32, u32, u32) = (60, 15, 4);
const READ_BYTES: usize = 4096;
const LISTEN_BACKLOG: i32 = 64;

/// What happened to TCP connections, for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Connections closed because their far end did not read.
    pub overflowed: u32,
    /// Connections turned away: there are too many.
    pub turned_away: u32,
    /// Messages for connections that are gone.
    pub gone: u32,
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The core wants it closed once the queue is empty.
    Closing,
    /// It failed, or its queue overflowed.
    Broken,
}

/// One connection.
pub(super) struct Conn {
    pub(super) id: ConnId,
    source: Source<TcpStream>,
    remote: SocketAddr,
    tos: Cell<u8>,
    queue: RefCell<VecDeque<u8>>,
    state: Cell<State>,
}

/// What the task of an open connection goes on with.
enum Step {
    Data(Vec<u8>),
    Closing,
    End,
}

impl Conn {
    fn step(&self, context: &Context<'_>) -> Poll<Step> {
        if self.state.get() == State::Broken || self.flush().is_err() {
            return Poll::Ready(Step::End);
        }
        if self.state.get() == State::Closing {
            return Poll::Ready(Step::Closing);
        }
        let mut buf = [0; READ_BYTES];
        match self.source.attempt(context, |mut stream| stream.read(&mut buf)) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(len)) if len > 0 => {
                Poll::Ready(Step::Data(buf.get(..len).unwrap_or_default().to_vec()))
            }
            Poll::Ready(_) => Poll::Ready(Step::End),
        }
    }

    /// Sends what is queued, ends our direction, and waits for the far end to end its own.
    fn linger(&self, context: &Context<'_>) -> Poll<()> {
        if self.flush().is_err() {
            return Poll::Ready(());
        }
        if self.queue.borrow().is_empty() {
            let _ = self.source.get().shutdown(std::net::Shutdown::Write);
        }
        let mut buf = [0; READ_BYTES];
        loop {
            match self.source.attempt(context, |mut stream| stream.read(&mut buf)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(len)) if len > 0 => {}
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    }

    /// Hands as much of the queue to the kernel as it takes.
    fn flush(&self) -> io::Result<()> {
        let mut queue = self.queue.borrow_mut();
        while !queue.is_empty() {
            match self.source.get().write(queue.as_slices().0) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(len) => drop(queue.drain(..len)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn give_up(&self) {
        self.state.set(State::Broken);
        self.source.wake();
    }
}

/// The connections that stand.
pub(super) struct Streams {
    open: Map<ConnId, Rc<Conn>>,
    next: u32,
    pub(super) counters: StreamCounters,
}

impl Streams {
    /// No connections.
    pub(super) fn new() -> Self {
        Self { open: Map::new(), next: 0, counters: StreamCounters::default() }
    }

    /// Takes over a connection; the caller runs [`serve`] on it.
    pub(super) fn add(
        &mut self,
        reactor: &Rc<Reactor>,
        stream: TcpStream,
        remote: SocketAddr,
    ) -> Result<Rc<Conn>, Failure> {
        if self.open.len() >= STREAMS_MAX {
            self.counters.turned_away = self.counters.turned_away.wrapping_add(1);
            return Err(Failure::System);
        }
        prepare(&stream).map_err(|error| failure(&error))?;
        let source = Source::new(reactor, stream).map_err(|error| failure(&error))?;
        self.next = self.next.wrapping_add(1);
        let id = ConnId(self.next);
        let (tos, queue, state) = (Cell::new(0), RefCell::default(), Cell::new(State::Open));
        let conn = Rc::new(Conn { id, source, remote, tos, queue, state });
        self.open.insert(id, conn.clone());
        Ok(conn)
    }

    /// Sends on a connection: what the kernel does not take now is queued.
    pub(super) fn send(&mut self, id: ConnId, tos: u8, data: &[u8]) {
        let Some(conn) = self.open.get(&id).filter(|conn| conn.state.get() == State::Open) else {
            self.counters.gone = self.counters.gone.wrapping_add(1);
            return;
        };
        let fits = conn.queue.borrow().len() + data.len() <= STREAM_QUEUE_BYTES_MAX;
        if !fits {
            self.counters.overflowed = self.counters.overflowed.wrapping_add(1);
            log::debug!("{} does not read: connection closed", conn.remote);
            return conn.give_up();
        }
        if conn.tos.get() != tos && set_tos(conn.source.get(), conn.remote, tos) {
            conn.tos.set(tos);
        }
        conn.queue.borrow_mut().extend(data);
        if conn.flush().is_err() {
            conn.give_up();
        }
    }

    /// Closes a connection once what is queued has left. False where there is none.
    pub(super) fn close(&mut self, id: ConnId) -> bool {
        let Some(conn) = self.open.remove(&id) else { return false };
        if conn.state.get() == State::Open {
            conn.state.set(State::Closing);
            conn.source.wake();
        }
        true
    }

    /// Whether the core knows the connection as open.
    pub(super) fn is_open(&self, id: ConnId) -> bool {
        self.open.get(&id).is_some()
    }

    /// Forgets a connection that ended. Whether the core knew it as open.
    pub(super) fn ended(&mut self, id: ConnId) -> bool {
        self.open.remove(&id).is_some()
    }
}

/// Serves one connection until it ends.
pub(super) async fn serve(reactor: Rc<Reactor>, conn: Rc<Conn>, accepted: bool) {
    let mut idle = if accepted { STREAM_FIRST_BYTE } else { STREAM_IDLE };
    loop {
        let step = poll_fn(|context| conn.step(context));
        match reactor.within(idle, step).await {
            Some(Step::Data(data)) => {
                idle = STREAM_IDLE;
                reactor.report(Happening::Data(conn.id, data));
                yield_now().await;
            }
            Some(Step::Closing) => {
                let linger = poll_fn(|context| conn.linger(context));
                let _ = reactor.within(STREAM_LINGER, linger).await;
                break;
            }
            Some(Step::End) | None => break,
        }
    }
    reactor.report(Happening::Ended(conn.id));
}

/// Connects, and reports the outcome under `ticket`.
pub(super) async fn connect_to(
    reactor: Rc<Reactor>,
    ticket: Ticket,
    from: Option<IpAddr>,
    to: SocketAddr,
) {
    let outcome = reactor.within(STREAM_CONNECT, connecting(&reactor, from, to)).await;
    let outcome = match outcome {
        Some(Ok(stream)) => Ok(stream),
        Some(Err(error)) => Err(failure(&error)),
        None => Err(Failure::TimedOut),
    };
    reactor.report(Happening::Connected(ticket, outcome, to));
}

/// A connection, once it stands.
pub(super) async fn connecting(
    reactor: &Rc<Reactor>,
    from: Option<IpAddr>,
    to: SocketAddr,
) -> io::Result<TcpStream> {
    let fd = stream_socket(to)?;
    if let Some(from) = from {
        bind(fd.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(from, 0)))?;
    }
    match connect(fd.as_raw_fd(), &SockaddrStorage::from(to)) {
        Ok(()) | Err(Errno::EINPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let source = Source::new(reactor, TcpStream::from(fd))?;
    source
        .done(|stream| match stream.take_error()? {
            Some(error) => Err(error),
            None => match stream.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    Err(io::ErrorKind::WouldBlock.into())
                }
                other => other,
            },
        })
        .await?;
    // The registration ends with the source; the connection's own descriptor goes on.
    source.get().try_clone()
}

/// Opens a listening socket; a `transparent` one takes connections that are meant for others.
pub(super) fn listen(local: SocketAddr, transparent: bool) -> io::Result<TcpListener> {
    let fd = stream_socket(local)?;
    setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    if transparent {
        setsockopt(&fd, sockopt::IpTransparent, &true)?;
    }
    if local.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(local))?;
    nix::sys::socket::listen(&fd, nix::sys::socket::Backlog::new(LISTEN_BACKLOG)?)?;
    Ok(TcpListener::from(fd))
}

/// A listening socket, and the task that accepts on it.
///
/// The socket itself goes with the task, at a later step of the executor. Its port is free as soon
/// as this is dropped: who puts up another socket in its place does so at once.
pub(super) struct Listening {
    listener: Rc<Source<TcpListener>>,
    _task: smol::Task<()>,
}

impl Listening {
    /// Accepts on `listener` from now on.
    pub(super) fn start(
        executor: &LocalExecutor<'static>,
        reactor: &Rc<Reactor>,
        on: SocketId,
        listener: TcpListener,
    ) -> io::Result<Self> {
        let listener = Rc::new(Source::new(reactor, listener)?);
        let task = start(executor, accept(reactor.clone(), on, listener.clone()));
        Ok(Self { listener, _task: task })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // What is shut down listens no more (tcp(7)); with SO_REUSEADDR its port is free.
        let _ = shutdown(self.listener.get().as_raw_fd(), Shutdown::Both);
    }
}

/// Accepts on a listening socket for as long as the task lives.
async fn accept(reactor: Rc<Reactor>, on: SocketId, listener: Rc<Source<TcpListener>>) {
    loop {
        match listener.done(TcpListener::accept).await {
            Ok((stream, remote)) => {
                reactor.report(Happening::Accepted(on, stream, remote));
                yield_now().await;
            }
            // It left again before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => yield_now().await,
            // Out of descriptors or memory: what waits is accepted when some are free again.
            Err(_) => reactor.sleep(Duration::from_secs(1)).await,
        }
    }
}

fn stream_socket(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    Ok(socket(family, SockType::Stream, flags, None)?)
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    stream.set_nodelay(true)?;
    let (idle, interval, count) = KEEPALIVE;
    setsockopt(stream, sockopt::KeepAlive, &true)?;
    setsockopt(stream, sockopt::TcpKeepIdle, &idle)?;
    setsockopt(stream, sockopt::TcpKeepInterval, &interval)?;
    setsockopt(stream, sockopt::TcpKeepCount, &count)?;
    setsockopt(stream, sockopt::TcpUserTimeout, &UNACKNOWLEDGED_MS)?;
    Ok(())
}
