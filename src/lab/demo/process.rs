//! The processes of the demo: started with their output in files, ended whatever happens.

use super::Error;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::OpenOptions;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to end by itself before it is killed.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running process, which ends with this value.
pub(super) struct Process {
    name: String,
    child: Child,
}

impl Process {
    /// Starts `command`, with its output added to `log`.
    pub(super) fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self, Error> {
        let open = || OpenOptions::new().create(true).append(true).open(log);
        let start = || -> std::io::Result<Child> {
            command.stdin(Stdio::null()).stdout(open()?).stderr(open()?).spawn()
        };
        let mut start = start;
        let child = start().map_err(|error| Error::new(format!("cannot start {name}"), error))?;
        Ok(Self { name: name.to_owned(), child })
    }

    /// Sends a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<(), Error> {
        kill(self.pid(), signal)
            .map_err(|error| Error::new(format!("cannot signal {}", self.name), error))
    }

    /// Fails where the process has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match self.child.try_wait() {
            Ok(Some(status)) => Err(Error::new(format!("{} ended", self.name), status)),
            _ => Ok(()),
        }
    }

    /// Ends the process at once, as a crash would.
    pub(super) fn crash(mut self) {
        // Failing means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// Asks all to end, waits for them together, and kills who does not.
    pub(super) fn end_all(mut processes: Vec<Self>) {
        for process in &processes {
            let _ = kill(process.pid(), Signal::SIGCONT);
            let _ = kill(process.pid(), Signal::SIGTERM);
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
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
