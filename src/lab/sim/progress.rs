//! How far a simulation is: a line each virtual minute, and a bar on a terminal.

use super::network::Network;
use super::scenario::Scenario;
use crate::time::Duration;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use std::fs;
use std::io::{IsTerminal as _, Write as _, stderr};

const BAR: usize = 30;

/// Tells how far it is.
pub(super) struct Progress {
    tells: bool,
    bar: bool,
}

impl Progress {
    pub(super) fn new(tells: bool) -> Self {
        Self { tells, bar: tells && stderr().is_terminal() }
    }

    /// Tells something that is so once.
    pub(super) fn say(&mut self, words: &str) {
        if self.tells {
            self.end();
            println!("{words}");
        }
    }

    /// A virtual minute of a phase is over; `cpu` is what the process had used when it began.
    pub(super) fn minute(
        &mut self,
        network: &Network,
        scenario: Scenario,
        done: Duration,
        of: Duration,
        cpu: Duration,
    ) {
        if !self.tells {
            return;
        }
        let minutes = done.as_secs() / 60;
        let logs = network.shards.iter().flat_map(|shard| &shard.log);
        let (asked, found) = logs
            .fold((0, 0), |(asked, found), it| (asked + 1, found + u64::from(it.answer.is_some())));
        let datagrams: u64 = network.shards.iter().map(|shard| shard.tally.datagrams).sum();
        let rate = minutes as f64 / (self::cpu() - cpu).as_secs_f64().max(0.001);
        self.end();
        println!(
            "{:<10} {minutes:>3} min  {asked:>7} look-ups, {found:>7} found  {datagrams:>9} \
             datagrams  {rate:.2} virtual min per CPU s",
            scenario.name()
        );
        if self.bar {
            let full = BAR * done.as_secs() as usize / of.as_secs().max(1) as usize;
            let (full, left) = ("#".repeat(full), "-".repeat(BAR - full.min(BAR)));
            eprint!("[{full}{left}] {}", scenario.name());
            // A bar that cannot be shown is missed by nobody.
            let _ = stderr().flush();
        }
    }

    /// Takes the bar away.
    pub(super) fn end(&mut self) {
        if self.bar {
            eprint!("\r\x1b[K");
        }
    }
}

/// Time of the processors that this process has used.
pub(super) fn cpu() -> Duration {
    let time =
        |of: TimeVal| Duration::from_micros(of.tv_sec() as u64 * 1_000_000 + of.tv_usec() as u64);
    getrusage(UsageWho::RUSAGE_SELF)
        .map(|used| time(used.user_time()) + time(used.system_time()))
        .unwrap_or_default()
}

/// Memory of this process; 0 where the system does not tell.
pub(super) fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kb = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kb.unwrap_or(0) * 1024
}
