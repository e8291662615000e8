//! What the soak found: `summary.json` for programs, a table for people.

use super::Load;
use super::calls::{Finished, Kind};
use super::memory::Growth;
use crate::lab::bench::quantile;
use serde_json::{Value, json};
use std::fmt::Write;

/// How much a router's memory may grow after the warm-up, in thousandths.
const GROWTH_MAX_PER_MILLE: i64 = 20;

/// All that the run found.
pub struct Results {
    pub(super) load: Load,
    pub(super) calls: Vec<Finished>,
    /// What went wrong, in words, one call a line.
    pub(super) faults: Vec<String>,
    pub(super) memory: Vec<Growth>,
    pub(super) deaths: u32,
    pub(super) moves: u32,
}

impl Results {
    /// All that is wrong, in words; empty where nothing is.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.faults.clone();
        for (number, growth) in (1..).zip(&self.memory) {
            if growth.per_mille() > GROWTH_MAX_PER_MILLE {
                let Growth { warm_kb, end_kb } = growth;
                faults.push(format!("router {number} grew from {warm_kb} kB to {end_kb} kB"));
            }
        }
        if self.calls.is_empty() {
            faults.push("no call was made".to_owned());
        }
        faults
    }

    /// `summary.json`.
    pub fn json(&self) -> String {
        let faults = self.faults();
        let setups = self.setups();
        let kinds: serde_json::Map<String, Value> = Kind::ALL
            .iter()
            .map(|kind| (kind.name().to_owned(), self.count(*kind).into()))
            .collect();
        let memory: Vec<Value> = self
            .memory
            .iter()
            .map(|growth| {
                json!({
                    "warm_kb": growth.warm_kb,
                    "end_kb": growth.end_kb,
                    "growth_per_mille": growth.per_mille(),
                })
            })
            .collect();
        let value = json!({
            "ok": faults.is_empty(),
            "seconds": self.load.length.as_secs(),
            "calls": self.calls.len(),
            "calls_wrong": self.faults.len(),
            "kinds": kinds,
            "setup_ms_p50": quantile(&setups, 50),
            "setup_ms_p99": quantile(&setups, 99),
            "server_deaths": self.deaths,
            "phones_moved": self.moves,
            "routers_memory": memory,
            "faults": faults,
        });
        format!("{value:#}\n")
    }

    /// A table.
    pub fn table(&self) -> String {
        let (seconds, calls) = (self.load.length.as_secs(), self.calls.len());
        let mut text = format!("{calls} calls in {seconds} s, {} wrong\n", self.faults.len());
        // Writing to a String does not fail.
        for kind in Kind::ALL {
            let _ = writeln!(text, "  {:<34}{:>8}", kind.in_words(), self.count(kind));
        }
        let setups = self.setups();
        let (half, most) = (quantile(&setups, 50), quantile(&setups, 99));
        let _ = writeln!(text, "INVITE to ringing, p50 and p99     {half:>7} ms {most:>7} ms");
        let _ = writeln!(text, "deaths of the server               {:>7}", self.deaths);
        let _ = writeln!(text, "phones that left or came back      {:>7}", self.moves);
        for (number, growth) in (1..).zip(&self.memory) {
            let _ = writeln!(
                text,
                "memory of router {number}, warm and at the end {:>6} kB {:>6} kB",
                growth.warm_kb, growth.end_kb
            );
        }
        text
    }

    fn count(&self, kind: Kind) -> usize {
        self.calls.iter().filter(|call| call.kind == kind).count()
    }

    /// Sorted, in milliseconds.
    fn setups(&self) -> Vec<u64> {
        let mut setups: Vec<u64> = self.calls.iter().filter_map(|call| call.alerted_ms).collect();
        setups.sort_unstable();
        setups
    }
}
