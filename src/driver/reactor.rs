//! Tasks on the one thread: descriptors and deadlines that wake them, and what they report.
//!
//! smol's `LocalExecutor` runs the tasks, but smol's own descriptors and timers would start a
//! helper thread; these do not. A [`Source`] tries the operation first and waits for the
//! descriptor only where it would block; one task waits on one source. What a task has for the
//! core goes into the inbox, which the run loop empties between turns, so that a core is entered
//! from the run loop alone.

use super::control::Reply;
use super::poll::{Key, Poll};
use crate::map::Map;
use crate::net::{ConnId, Failure, Mac, Record, SocketId, Ticket};
use crate::time::{Duration, Instant};
use smol::future::{or, poll_fn};
use smol::{LocalExecutor, Task};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll as Progress, Waker};

/// The monotonic clock: microseconds since the driver's start.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    start: std::time::Instant,
}

impl Clock {
    /// A clock that starts now.
    pub(super) fn new() -> Self {
        Self { start: std::time::Instant::now() }
    }

    /// The time now.
    pub(super) fn now(self) -> Instant {
        Instant::ZERO + self.start.elapsed()
    }
}

/// What a task reports to the run loop.
pub(super) enum Happening {
    /// A far end connected to this listener.
    Accepted(SocketId, TcpStream, SocketAddr),
    /// A connection that the core asked for stands, or not.
    Connected(Ticket, Result<TcpStream, Failure>, SocketAddr),
    /// Bytes arrived.
    Data(ConnId, Vec<u8>),
    /// A connection ended.
    Ended(ConnId),
    /// DNS answered.
    Resolved(Ticket, Result<(Vec<Record>, u32), Failure>),
    /// The kernel has looked for a neighbour.
    Neighbour(Ticket, Option<Mac>),
    /// A command of the control socket, and where its reply goes.
    Command(Vec<String>, Reply),
}

/// Starts a task. To the executor all tasks are of one type: each further type would bring a copy
/// of all that runs it.
pub(super) fn start(
    executor: &LocalExecutor<'static>,
    task: impl Future<Output = ()> + 'static,
) -> Task<()> {
    let task: Pin<Box<dyn Future<Output = ()>>> = Box::pin(task);
    executor.spawn(task)
}

/// What tasks share with the run loop.
pub(super) struct Reactor {
    poll: Poll,
    clock: Clock,
    wakers: RefCell<Vec<Place>>,
    deadlines: RefCell<Map<(Instant, u32), Waker>>,
    deadline_count: Cell<u32>,
    inbox: RefCell<VecDeque<Happening>>,
}

/// One place in the table of descriptors.
enum Place {
    Free,
    Idle,
    Waiting(Waker),
}

impl Reactor {
    /// A reactor without tasks.
    pub(super) fn new() -> io::Result<Rc<Self>> {
        Ok(Rc::new(Self {
            poll: Poll::new()?,
            clock: Clock::new(),
            wakers: RefCell::default(),
            deadlines: RefCell::default(),
            deadline_count: Cell::new(0),
            inbox: RefCell::default(),
        }))
    }

    /// The time now.
    pub(super) fn now(&self) -> Instant {
        self.clock.now()
    }

    /// The descriptors waited for.
    pub(super) fn poll(&self) -> &Poll {
        &self.poll
    }

    /// Queues something for the run loop.
    pub(super) fn report(&self, happening: Happening) {
        self.inbox.borrow_mut().push_back(happening);
    }

    /// The oldest report.
    pub(super) fn next_report(&self) -> Option<Happening> {
        self.inbox.borrow_mut().pop_front()
    }

    /// Wakes the task behind a ready descriptor.
    pub(super) fn wake(&self, place: u32) {
        let mut wakers = self.wakers.borrow_mut();
        if let Some(place @ Place::Waiting(_)) = wakers.get_mut(place as usize)
            && let Place::Waiting(waker) = std::mem::replace(place, Place::Idle)
        {
            waker.wake();
        }
    }

    /// Wakes the tasks whose deadline has come.
    pub(super) fn wake_due(&self, now: Instant) {
        let mut deadlines = self.deadlines.borrow_mut();
        while let Some(key) = deadlines.first().copied().filter(|(at, _)| *at <= now) {
            if let Some(waker) = deadlines.remove(&key) {
                waker.wake();
            }
        }
    }

    /// The next deadline of a task.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadlines.borrow().first().map(|(at, _)| *at)
    }

    /// Ends after `interval`.
    pub(super) async fn sleep(self: &Rc<Self>, interval: Duration) {
        let id = self.deadline_count.get();
        self.deadline_count.set(id.wrapping_add(1));
        let key = (self.now() + interval, id);
        let timer = Timer { reactor: self.clone(), key };
        poll_fn(|context| timer.check(context)).await;
    }

    /// What `work` gives, or `None` where it takes longer than `limit`.
    pub(super) async fn within<T>(
        self: &Rc<Self>,
        limit: Duration,
        work: impl Future<Output = T>,
    ) -> Option<T> {
        or(async { Some(work.await) }, async {
            self.sleep(limit).await;
            None
        })
        .await
    }

    fn register(&self, io: impl AsFd) -> io::Result<u32> {
        let mut wakers = self.wakers.borrow_mut();
        let free = wakers.iter().position(|place| matches!(place, Place::Free));
        let place = free.unwrap_or(wakers.len());
        let key = u32::try_from(place).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.poll.add_edge(io, Key::Task(key))?;
        match wakers.get_mut(place) {
            Some(slot) => *slot = Place::Idle,
            None => wakers.push(Place::Idle),
        }
        Ok(key)
    }

    fn set(&self, place: u32, state: Place) {
        if let Some(slot) = self.wakers.borrow_mut().get_mut(place as usize) {
            *slot = state;
        }
    }
}

/// One deadline; forgotten when dropped.
struct Timer {
    reactor: Rc<Reactor>,
    key: (Instant, u32),
}

impl Timer {
    fn check(&self, context: &Context<'_>) -> Progress<()> {
        if self.reactor.now() >= self.key.0 {
            return Progress::Ready(());
        }
        self.reactor.deadlines.borrow_mut().insert(self.key, context.waker().clone());
        Progress::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.reactor.deadlines.borrow_mut().remove(&self.key);
    }
}

/// A non-blocking descriptor of a task; taken out of the reactor when dropped.
pub(super) struct Source<T: AsFd> {
    io: T,
    place: u32,
    reactor: Rc<Reactor>,
}

impl<T: AsFd> Source<T> {
    /// Puts `io`, which must be non-blocking, under the reactor.
    pub(super) fn new(reactor: &Rc<Reactor>, io: T) -> io::Result<Self> {
        let place = reactor.register(io.as_fd())?;
        Ok(Self { io, place, reactor: reactor.clone() })
    }

    /// The descriptor's owner.
    pub(super) fn get(&self) -> &T {
        &self.io
    }

    /// Wakes the task that waits on this source.
    pub(super) fn wake(&self) {
        self.reactor.wake(self.place);
    }

    /// Tries `operation`; where it would block, the task is woken when the descriptor changes.
    pub(super) fn attempt<R>(
        &self,
        context: &Context<'_>,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> Progress<io::Result<R>> {
        loop {
            match operation(&self.io) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.wait(context);
                    return Progress::Pending;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return Progress::Ready(result),
            }
        }
    }

    /// Has the task woken when the descriptor changes.
    pub(super) fn wait(&self, context: &Context<'_>) {
        self.reactor.set(self.place, Place::Waiting(context.waker().clone()));
    }

    /// Repeats `operation` until it no longer would block.
    pub(super) async fn done<R>(
        &self,
        mut operation: impl FnMut(&T) -> io::Result<R>,
    ) -> io::Result<R> {
        poll_fn(|context| self.attempt(context, &mut operation)).await
    }
}

impl<T: AsFd> Drop for Source<T> {
    fn drop(&mut self) {
        self.reactor.poll.delete(self.io.as_fd());
        self.reactor.set(self.place, Place::Free);
    }
}
