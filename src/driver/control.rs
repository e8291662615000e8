//! The control socket: one command a connection, its reply until the end of the stream.
//!
//! Only root, or the user that the daemon runs as, can open the socket. How a command is written
//! is in [`crate::control`].

use super::folders::Folders;
use super::reactor::{Happening, Reactor, Source};
use crate::control::{decode, encode};
use crate::limits::{CONTROL_COMMAND_BYTES_MAX, CONTROL_SESSION};
use smol::future::poll_fn;
use std::cell::Cell;
use std::fs::Permissions;
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// Asks the daemon whose folders these are, and waits for its reply. For the tools.
///
/// # Errors
/// What the system says: `NotFound` or `ConnectionRefused` where no daemon runs.
pub fn ask(folders: &Folders, words: &[&str]) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(folders.control_socket())?;
    stream.set_read_timeout(Some(CONTROL_SESSION))?;
    stream.write_all(encode(words).as_bytes())?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply)?;
    Ok(reply)
}

/// Opens the control socket. A daemon that runs already keeps it.
pub(super) fn open(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        let text = format!("{}: another daemon is running", path.display());
        return Err(io::Error::new(io::ErrorKind::AddrInUse, text));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    // The folder is its owner's alone, so nobody gets in between.
    std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// The reply to a command: the run loop sends it to the session, which waits for it.
#[derive(Clone, Default)]
pub(super) struct Reply(Rc<Awaited>);

#[derive(Default)]
struct Awaited {
    bytes: Cell<Option<Vec<u8>>>,
    session: Cell<Option<Waker>>,
}

impl Reply {
    /// Passes it on to the session.
    pub(super) fn send(self, bytes: Vec<u8>) {
        self.0.bytes.set(Some(bytes));
        if let Some(session) = self.0.session.take() {
            session.wake();
        }
    }

    /// Whether the session has ended, so that nobody waits.
    pub(super) fn is_unwanted(&self) -> bool {
        Rc::strong_count(&self.0) == 1
    }

    pub(super) async fn received(&self) -> Vec<u8> {
        poll_fn(|context| {
            self.0.session.set(Some(context.waker().clone()));
            self.0.bytes.take().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Answers the command of one connection.
pub(super) async fn answer(reactor: Rc<Reactor>, stream: UnixStream) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let source = Source::new(&reactor, stream)?;
    let mut command = Vec::new();
    let mut buf = [0; 512];
    while !command.contains(&b'\n') && command.len() <= CONTROL_COMMAND_BYTES_MAX {
        match source.done(|mut stream| stream.read(&mut buf)).await? {
            0 => break,
            len => command.extend(buf.get(..len).unwrap_or_default()),
        }
    }
    let Some(words) = decode(&command) else { return Ok(()) };
    let reply = Reply::default();
    reactor.report(Happening::Command(words, reply.clone()));
    let reply = reply.received().await;
    let mut rest = reply.as_slice();
    while !rest.is_empty() {
        let len = source.done(|mut stream| stream.write(rest)).await?;
        rest = rest.get(len..).unwrap_or_default();
    }
    Ok(())
}
