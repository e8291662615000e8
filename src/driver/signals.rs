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

/// The signals that the daemon listens to, blocked for ordinary delivery.
pub(super) struct Signals {
    fd: SignalFd,
}

impl Signals {
    /// Takes the signals of this thread, which must be the only one.
    pub(super) fn open() -> io::Result<Self> {
        let mask: SigSet = [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
        mask.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self { fd: SignalFd::with_flags(&mask, flags)? })
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
