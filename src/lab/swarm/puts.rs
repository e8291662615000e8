//! Puts: one more member of the swarm, a process that takes orders, publishes keys one after
//! another, as one node of OpenDHT does. It stays until the end, for whoever vanishes is missed:
//! one router more than are simulated.

use super::figures::Answers;
use super::member::{OVERLAY_PORT, wan};
use crate::lab::demo::{Error, Interrupt};
use nix::poll::{PollFd, PollFlags, poll};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Keys that are put.
const PUTS: u32 = 100;
/// Longer than it waits for members that acknowledge.
const ANSWER_MAX_MS: u16 = 20_000;

/// The member; it stays until it is dropped.
pub(super) struct Putter {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Putter {
    /// Joins as the router of this number would, by the first of the swarm.
    pub(super) fn join(number: u32, secret: &Path, interrupt: &Interrupt) -> Result<Self, Error> {
        let failed = |error| Error::new("the member that puts".to_owned(), error);
        let start = || Self::start(number, secret);
        let mut putter = interrupt.unblocked(start).map_err(failed)?;
        putter.line().map_err(failed)?;
        Ok(putter)
    }

    fn start(number: u32, secret: &Path) -> io::Result<Self> {
        let [own, first] = [number, 0].map(|of| format!("{}:{OVERLAY_PORT}", wan(of)));
        let mut child = Command::new(std::env::current_exe()?)
            .args(["dht-client", "--listen", &own, "--bootstrap", &first])
            .arg("--secret")
            .arg(secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("no pipes"));
        };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// Puts one key after another. A put that is not acknowledged within seconds has failed.
    pub(super) fn put_all(&mut self, interrupt: &Interrupt) -> Result<Answers, Error> {
        let failed = |error| Error::new("the member that puts".to_owned(), error);
        let mut answers = Answers::default();
        for key in 0..PUTS {
            interrupt.check()?;
            writeln!(self.stdin, "put sip:put-{key}@swarm.example put-{key}").map_err(failed)?;
            let took_us = took_us(&self.line().map_err(failed)?);
            answers.take((took_us.is_some(), took_us), took_us.unwrap_or(0));
        }
        Ok(answers)
    }

    /// What it says next.
    fn line(&mut self) -> io::Result<String> {
        let mut polled = [PollFd::new(self.stdout.get_ref().as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, ANSWER_MAX_MS)? == 0 {
            return Err(io::Error::other("it says nothing"));
        }
        let mut line = String::new();
        match self.stdout.read_line(&mut line)? {
            0 => Err(io::Error::other("it ended")),
            _ => Ok(line),
        }
    }
}

impl Drop for Putter {
    fn drop(&mut self) {
        // Failing means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Microseconds of `put KEY ok MILLISECONDS`; none where it failed.
fn took_us(line: &str) -> Option<u32> {
    let mut words = line.split_whitespace().skip(2);
    let (result, ms) = (words.next()?, words.next()?.parse::<f64>().ok()?);
    (result == "ok").then_some((ms * 1000.0) as u32)
}
