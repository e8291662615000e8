//! Signals as a descriptor: SIGHUP reloads, SIGTERM and SIGINT stop.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Read the settings again.
    Reload,
    /// Stop cleanly.
    Stop,
}

/// Keeps the daemon's signals until its loop takes them, for a daemon that is still starting: a
/// reload that comes too early must not end it. The process must have one thread.
///
/// # Errors
/// What the system says.
pub fn hold() -> io::Result<()> {
    Ok(heard().thread_block()?)
}

fn heard() -> SigSet {
    [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT].into_iter().collect()
}

/// The signals that the daemon listens to, blocked for ordinary delivery.
pub(super) struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Takes the signals of this thread, which must be the only one.
    pub(super) fn open() -> io::Result<Self> {
        hold()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self { fd: SignalFd::with_flags(&heard(), flags)? })
    }

    /// The next signal that came.
    pub(super) fn next(&self) -> Option<Wish> {
        let info = self.fd.read_signal().ok().flatten()?;
        let number = i32::try_from(info.ssi_signo).ok()?;
        Some(if number == Signal::SIGHUP as i32 { Wish::Reload } else { Wish::Stop })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
