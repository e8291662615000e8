//! Programs that run beside a test: output in a file, ended with the value.

use crate::wait;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running program, and whatever it starts.
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    /// How much of the log was there before this start.
    log_start: usize,
}

impl Process {
    /// Starts `command` with its output added to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        Self::spawn(name, command.stdin(Stdio::null()), log)
    }

    /// As [`Self::start`], for a program that reads commands: what is written goes to it.
    pub(crate) fn start_for_commands(
        name: &str,
        command: &mut Command,
        log: &Path,
    ) -> (Self, ChildStdin) {
        let mut process = Self::spawn(name, command.stdin(Stdio::piped()), log);
        let input = process.child.stdin.take().expect("a pipe");
        (process, input)
    }

    fn spawn(name: &str, command: &mut Command, log: &Path) -> Self {
        let open = || OpenOptions::new().create(true).append(true).open(log).unwrap();
        let log_start = fs::read(log).map_or(0, |text| text.len());
        command.stdout(open()).stderr(open()).process_group(0);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Self { name: name.to_owned(), child, log: log.to_owned(), log_start }
    }

    /// Kills it, and whatever it started, as a crash would.
    pub(crate) fn crash(mut self) {
        self.kill_all();
    }

    /// Sends a signal to the program and whatever it started.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(-self.child.id().cast_signed()), signal);
    }

    fn kill_all(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
    }

    /// What it has written so far.
    pub(crate) fn log(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(text.get(self.log_start..).unwrap_or_default()).into_owned()
    }

    /// Waits until it has written `text`.
    pub(crate) fn await_log(&mut self, text: &str, limit: Duration) {
        let what = format!("{text:?} of {}", self.name);
        wait::until(&what, limit, || {
            let found = self.log().contains(text);
            assert!(found || self.is_running(), "{} ended: {}", self.name, self.log());
            found
        });
    }

    /// Whether it runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end.
    pub(crate) fn await_end(&mut self, limit: Duration) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        wait::for_some(&what, limit, || self.child.try_wait().unwrap())
    }

    /// Its memory in use, in kB.
    pub(crate) fn memory_kb(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kb| kb.parse().ok()).unwrap_or(0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_all();
    }
}
