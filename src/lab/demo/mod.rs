//! The demo: real routers, real phones, a server that fails, and calls that do not.
//!
//! Two homes with a router each, a third router that only serves the overlay, a provider, all
//! on addresses of 127.0.0.0/8, nothing privileged. The routers are `cosip run` processes, the
//! server is `cosip-lab server`. With Kamailio as server everybody is on a host of their own, and
//! that takes root. The phones are played here, so what they sent and heard is
//! known to the packet. Whatever happens, the processes are gone at the end.

pub(in crate::lab) mod addresses;
pub mod machine;
pub(in crate::lab) mod process;
mod provider;
pub(in crate::lab) mod router;
pub(in crate::lab) mod script;
pub(in crate::lab) mod town;

use super::hosts;
use super::report::{Fault, Summary};
use super::timeline;
use addresses::Addresses;
use core::fmt;
use machine::Image;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
pub use provider::ServerKind;
use std::fs;
use std::path::{Path, PathBuf};
use town::{Size, Town};

/// What the demo is asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where `summary.json` and `timeline.svg` go.
    pub out: PathBuf,
    /// The daemon.
    pub cosip: PathBuf,
    /// The second router's daemon, where it is another program.
    pub second: Option<PathBuf>,
    /// This program, for the server.
    pub lab: PathBuf,
    /// Which server; Kamailio only where the program is enclosed ([`super::hosts`]).
    pub server: ServerKind,
    /// The routers' `media.path`; with `off` the demo has to fail.
    pub media: String,
    /// The series to play, by the fault of the server.
    pub faults: Vec<Fault>,
    /// Whether configurations and logs of the run stay.
    pub keep: bool,
    /// The machine that the callers' router is, instead of a process here. It intercepts.
    pub image: Option<Image>,
}

impl Options {
    /// Writes one of the results.
    pub(in crate::lab) fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let path = self.out.join(name);
        fs::write(&path, text)
            .map_err(|error| Error::new(format!("cannot write {}", path.display()), error))
    }

    /// The machine that a router is, where it is one.
    fn image_of(&self, router: u8) -> Option<&Image> {
        self.image.as_ref().filter(|_| router == town::CALLERS)
    }
}

/// Why the demo could not be played. That calls failed is no error: the summary tells it.
#[derive(Debug)]
pub struct Error {
    what: String,
    why: String,
}

impl Error {
    pub(in crate::lab) fn new(what: String, why: impl fmt::Display) -> Self {
        Self { what, why: why.to_string() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.why)
    }
}

impl core::error::Error for Error {}

/// Notices SIGINT and SIGTERM, so that an interrupted demo still ends its processes.
pub(in crate::lab) struct Interrupt {
    signals: SigSet,
    pending: SignalFd,
}

impl Interrupt {
    pub(in crate::lab) fn new() -> Result<Self, Error> {
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGINT);
        signals.add(Signal::SIGTERM);
        let failed = |error| Error::new("cannot watch signals".to_owned(), error);
        signals.thread_block().map_err(failed)?;
        let pending =
            SignalFd::with_flags(&signals, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
                .map_err(failed)?;
        Ok(Self { signals, pending })
    }

    /// Runs `start` with the signals let through: a process inherits what is blocked.
    pub(in crate::lab) fn unblocked<T>(&self, start: impl FnOnce() -> T) -> T {
        // Both fail only on arguments that these are not.
        let _ = self.signals.thread_unblock();
        let result = start();
        let _ = self.signals.thread_block();
        result
    }

    /// Fails where a signal asked to stop.
    pub(in crate::lab) fn check(&self) -> Result<(), Error> {
        match self.pending.read_signal() {
            Ok(None) | Err(_) => Ok(()),
            Ok(Some(_)) => Err(Error::new("stopped".to_owned(), "by a signal")),
        }
    }
}

/// A folder of this run.
pub(in crate::lab) struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    /// Makes it, and the folder for the results.
    pub(in crate::lab) fn make(options: &Options) -> Result<Self, Error> {
        let path = std::env::temp_dir().join(format!("cosip-lab-{}", hosts::run_number()));
        for folder in [&options.out, &path] {
            fs::create_dir_all(folder)
                .map_err(|error| Error::new(format!("cannot make {}", folder.display()), error))?;
        }
        Ok(Self { path, keep: options.keep })
    }

    /// Its path.
    pub(in crate::lab) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            println!("configurations and logs: {}", self.path.display());
        } else {
            // What cannot be removed is small, and in the folder for such things.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// Plays the demo and writes what it found.
///
/// # Errors
/// [`Error`] where it could not be played: a program that does not start, files that cannot be
/// written, routers that are not ready in time.
pub fn run(options: &Options) -> Result<Summary, Error> {
    let scratch = Scratch::make(options)?;
    let interrupt = Interrupt::new()?;
    let mut summary = Summary { server: options.server.as_str(), series: Vec::new() };
    let hosts = match options.server {
        ServerKind::Embedded => None,
        ServerKind::Kamailio => Some(Addresses::make_hosts(&town::ROUTERS)?),
    };
    let starts = std::process::id()..;
    for (start, fault) in starts.zip(options.faults.iter().copied()) {
        println!("\n{}", fault.as_str());
        let addresses = match hosts {
            Some(hosts) => hosts,
            None => Addresses::find(start)?,
        };
        let folder = scratch.path.join(fault.name());
        let mut town = Town::build(addresses, &folder, options, &interrupt, Size::SMALL)?;
        let played = script::play(fault, &mut town);
        if played.is_err() {
            town.show_logs();
        }
        town.keep_ladders();
        summary.series.push(played?);
    }
    options.write("summary.json", &summary.json())?;
    options.write("timeline.svg", &timeline::svg(&summary))?;
    Ok(summary)
}
