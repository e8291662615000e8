//! The processes of the demo: started with their output in files, ended whatever happens.

use super::Error;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a process has used so far; nothing where it is gone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::lab) struct Usage {
    /// The processor time of its first thread.
    pub(in crate::lab) cpu: Duration,
    /// The memory that it has in use, shared pages included.
    pub(in crate::lab) memory_kb: u64,
    /// Of this, what no file has behind it.
    pub(in crate::lab) anonymous_kb: u64,
    /// How many threads it has.
    pub(in crate::lab) threads: u64,
}

impl Usage {
    /// Takes it from the texts of `/proc/PID/schedstat` and `/proc/PID/status`.
    pub(in crate::lab) fn read(schedstat: &str, status: &str) -> Self {
        let nanos = schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok());
        let number = |name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        Self {
            cpu: Duration::from_nanos(nanos.unwrap_or(0)),
            memory_kb: number("VmRSS:"),
            anonymous_kb: number("RssAnon:"),
            threads: number("Threads:"),
        }
    }
}

/// A running process, which ends with this value.
pub(in crate::lab) struct Process {
    name: String,
    child: Child,
    /// Whether those that it starts belong to it.
    has_group: bool,
}

impl Process {
    /// Starts `command`, with its output added to `log`.
    pub(in crate::lab) fn start(
        name: &str,
        command: &mut Command,
        log: &Path,
    ) -> Result<Self, Error> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let start = || -> std::io::Result<Child> {
            command.stdin(Stdio::null()).stdout(open()?).stderr(open()?).spawn()
        };
        let mut start = start;
        let child = start().map_err(|error| Error::new(format!("cannot start {name}"), error))?;
        Ok(Self { name: name.to_owned(), child, has_group: false })
    }

    /// Starts `command` likewise; what is done to it is done to those that it starts, too.
    pub(in crate::lab) fn start_group(
        name: &str,
        command: &mut Command,
        log: &Path,
    ) -> Result<Self, Error> {
        let mut process = Self::start(name, command.process_group(0), log)?;
        process.has_group = true;
        Ok(process)
    }

    /// Sends a signal.
    pub(in crate::lab) fn signal(&self, signal: Signal) -> Result<(), Error> {
        self.send(signal).map_err(|error| Error::new(format!("cannot signal {}", self.name), error))
    }

    /// Fails where the process has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(Error::new(format!("{} ended", self.name), status)),
            _ => Ok(()),
        }
    }

    /// Ends the process at once, as a crash would.
    pub(in crate::lab) fn crash(mut self) {
        self.kill();
    }

    /// Its number.
    pub(in crate::lab) fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    pub(in crate::lab) fn usage(&self) -> Usage {
        let file = |name| {
            let path = format!("/proc/{}/{name}", self.child.id());
            std::fs::read_to_string(path).unwrap_or_default()
        };
        Usage::read(&file("schedstat"), &file("status"))
    }

    fn kill(&mut self) {
        // Failing means that it is gone already; some of its children may not be.
        let _ = self.send(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    fn send(&self, signal: Signal) -> nix::Result<()> {
        if self.has_group { killpg(self.pid(), signal) } else { kill(self.pid(), signal) }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Asks all to end, waits for them together, and kills who does not.
    pub(in crate::lab) fn end_all(mut processes: Vec<Self>) {
        for process in &processes {
            let _ = process.send(Signal::SIGCONT);
            let _ = process.send(Signal::SIGTERM);
        }
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            processes.retain_mut(|process| matches!(process.child.try_wait(), Ok(None)));
            if processes.is_empty() {
                return;
            }
            // Nothing else runs now, so a short sleep of the kernel's making is all there is.
            let _ = nix::poll::poll(&mut [], 20u8);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.kill();
        }
    }
}

#[cfg(test)]
mod tests;
