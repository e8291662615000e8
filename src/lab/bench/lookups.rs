//! The overlay alone: many members as processes of their own, and how long records take.
//!
//! The members are on addresses of 127.0.0.0/8, each in a /24 of its own. Nothing delays their
//! datagrams, so the times are those of the work, not of a network.

use super::{Figures, quantile};
use crate::lab::demo::addresses::Addresses;
use crate::lab::demo::process::Process;
use crate::lab::demo::{Error, Interrupt, Options};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::{Value, json};
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const PORT: u16 = 5070;
/// Records that are put by one member and got by another.
const RECORDS: u32 = 100;
const READY_MAX: Duration = Duration::from_secs(60);
/// Members that have just joined get to know more of the others.
const SETTLE: Duration = Duration::from_secs(10);
/// Longer than a member waits for an answer of its own.
const ANSWER_MAX_MS: u16 = 15_000;

/// What was measured. Times are milliseconds, sorted.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    members: u8,
    put_ms: Vec<f64>,
    get_ms: Vec<f64>,
    failed: u32,
    memory_kb: Vec<u64>,
}

impl Figures for Lookups {
    fn key(&self) -> &'static str {
        "overlay"
    }

    fn failed(&self) -> u32 {
        self.failed
    }

    fn json(&self) -> Value {
        json!({
            "members": self.members,
            "delay_ms": 0,
            "put_ms_p50": quantile(&self.put_ms, 50),
            "put_ms_p99": quantile(&self.put_ms, 99),
            "get_ms_p50": quantile(&self.get_ms, 50),
            "get_ms_p99": quantile(&self.get_ms, 99),
            "failed": self.failed,
            "member_memory_kb_p50": quantile(&self.memory_kb, 50),
        })
    }

    fn table(&self) -> String {
        let times = |sorted: &[f64]| {
            format!("{:.1} ms p50  {:.1} ms p99", quantile(sorted, 50), quantile(sorted, 99))
        };
        format!(
            "{:<42}{} members, no network delay, {} kB each\n{:<42}{}\n{:<42}{}\n",
            "overlay",
            self.members,
            quantile(&self.memory_kb, 50),
            "put",
            times(&self.put_ms),
            "look-up by another member",
            times(&self.get_ms),
        )
    }
}

/// A member that takes commands.
struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Client {
    fn start(mut command: Command) -> io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("no pipes"));
        };
        Ok(Self { child, stdin, stdout: BufReader::new(stdout) })
    }

    /// The next line that it says. It says one line for each that it is told.
    fn hear(&mut self) -> io::Result<String> {
        let mut polled = [PollFd::new(self.stdout.get_ref().as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, PollTimeout::from(ANSWER_MAX_MS))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        Ok(line)
    }

    /// Gives a command; how long it took in milliseconds, where it succeeded.
    fn ask(&mut self, command: &str) -> io::Result<Option<f64>> {
        writeln!(self.stdin, "{command}")?;
        let answer = self.hear()?;
        let words: Vec<&str> = answer.split_whitespace().collect();
        match words[..] {
            [_, _, "ok", ms] => Ok(ms.parse().ok()),
            _ => Ok(None),
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Failing means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the members, puts and gets.
pub(super) fn measure(
    options: &Options,
    interrupt: &Interrupt,
    folder: &Path,
    members: u8,
) -> Result<Lookups, Error> {
    println!("look-ups among {members} members of an overlay ...");
    let folder = folder.join("overlay");
    let failed = |error: io::Error| Error::new("the overlay's members".to_owned(), error);
    fs::create_dir_all(&folder).map_err(failed)?;
    let addresses = Addresses::find(std::process::id())?;
    let command = |number: u8| {
        let listen = |number| format!("{}:{PORT}", addresses.lan(number));
        let mut command = Command::new(&options.lab);
        command.args(["dht-client", "--listen", &listen(number)]);
        if number > 1 {
            command.args(["--bootstrap", &listen(1)]);
        }
        command
    };
    let log = |number: u8| folder.join(format!("{number}.log"));
    let plain = members.saturating_sub(2).max(1);
    let mut processes = Vec::new();
    for number in 1..=plain {
        let start = || Process::start("member", command(number).arg("--node"), &log(number));
        processes.push(interrupt.unblocked(start)?);
    }
    let logs: Vec<PathBuf> = (2..=plain).map(log).collect();
    await_ready(&logs, interrupt).map_err(failed)?;
    let client = |number| interrupt.unblocked(|| Client::start(command(number)));
    let (mut putter, mut getter) =
        (client(plain + 1).map_err(failed)?, client(plain + 2).map_err(failed)?);
    putter.hear().and_then(|_| getter.hear()).map_err(failed)?;
    pause(SETTLE, interrupt)?;
    let mut lookups = Lookups { members: plain + 2, ..Lookups::default() };
    for (client, word) in [(&mut putter, "put"), (&mut getter, "get")] {
        for number in 0..RECORDS {
            let value = if word == "put" { " there" } else { "" };
            let line = format!("{word} sip:user{number}@lab.example{value}");
            let times = if word == "put" { &mut lookups.put_ms } else { &mut lookups.get_ms };
            match client.ask(&line).map_err(failed)? {
                Some(ms) => times.push(ms),
                None => lookups.failed += 1,
            }
        }
    }
    lookups.put_ms.sort_by(f64::total_cmp);
    lookups.get_ms.sort_by(f64::total_cmp);
    lookups.memory_kb = processes.iter().map(|it| it.usage().memory_kb).collect();
    lookups.memory_kb.sort_unstable();
    Process::end_all(processes);
    Ok(lookups)
}

fn await_ready(logs: &[PathBuf], interrupt: &Interrupt) -> io::Result<()> {
    let end = Instant::now() + READY_MAX;
    let is_ready = |log: &PathBuf| fs::read_to_string(log).is_ok_and(|text| text.contains("ready"));
    while !logs.iter().all(is_ready) {
        if Instant::now() > end {
            return Err(io::Error::other("not all have joined in time"));
        }
        pause(Duration::from_millis(200), interrupt).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Does nothing for a while, unless a signal asks to stop.
fn pause(interval: Duration, interrupt: &Interrupt) -> Result<(), Error> {
    let end = Instant::now() + interval;
    while Instant::now() < end {
        interrupt.check()?;
        // Sleeps, with nothing to wait for.
        let _ = poll(&mut [], 50u8);
    }
    Ok(())
}
