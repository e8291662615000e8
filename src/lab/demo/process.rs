//! The processes of the demo: started with their output in files, ended whatever happens.

use super::Error;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, SysconfVar, sysconf};
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

    /// The processor time that it has used, in steps of the kernel's clock tick.
    pub(super) fn cpu(&self) -> Duration {
        let stat = self.proc_file("stat");
        // The name in brackets may hold spaces; times are the 14th and 15th field.
        let fields = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
        let ticks_per_s = sysconf(SysconfVar::CLK_TCK).ok().flatten().unwrap_or(100);
        Duration::from_millis(ticks * 1000 / ticks_per_s.unsigned_abs().max(1))
    }

    /// The memory that it has in use, shared pages included.
    pub(super) fn memory_kb(&self) -> u64 {
        let status = self.proc_file("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    fn proc_file(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.child.id());
        std::fs::read_to_string(path).unwrap_or_default()
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
