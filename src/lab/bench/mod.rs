//! What adapters cost, and what they save: the figures of `make bench`.
//!
//! `calls` compares three ways of the same calls, `failures` measures the first call after
//! the server failed, [`renumber`] how soon a home is reached again whose address changed, and
//! `lookups` the overlay alone. All on one machine and real processes: the figures compare
//! ways, not machines, and the network adds no delay.

mod calls;
mod failures;
mod lookups;
pub mod renumber;
pub(in crate::lab) mod talk;

use super::demo::{Error, Interrupt, Options, Scratch};
use crate::time::Duration;
use calls::Row;
use failures::FirstCalls;
use lookups::Lookups;
use renumber::Renumbered;
use serde_json::json;
use std::fmt::Write;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Calls made one after the other, for the set-up time.
    pub calls: u32,
    /// Phones in each home; at most 64.
    pub phones: u8,
    /// Calls at the same time, for the sound; no more than phones.
    pub pairs: u8,
    /// How long they speak.
    pub talk: Duration,
    /// How often the server fails in each way, and an address changes.
    pub rounds: u8,
    /// Members of the overlay whose look-ups are timed; at most 250.
    pub members: u8,
}

/// All figures.
pub struct Results {
    load: Load,
    rows: Vec<Row>,
    first_calls: FirstCalls,
    renumbered: Result<Renumbered, String>,
    lookups: Lookups,
}

/// Measures everything and writes `summary.json`.
///
/// # Errors
/// [`Error`] where something cannot be set up.
pub fn run(options: &Options, load: Load) -> Result<Results, Error> {
    let scratch = Scratch::make(options)?;
    let interrupt = Interrupt::new()?;
    let folder = scratch.path();
    let results = Results {
        load,
        rows: calls::measure(options, &interrupt, folder, load)?,
        first_calls: failures::measure(options, &interrupt, folder, load.rounds)?,
        renumbered: renumber::measure_enclosed(options, &interrupt, load.rounds)?,
        lookups: lookups::measure(options, &interrupt, folder, load.members)?,
    };
    options.write("summary.json", &results.json())?;
    Ok(results)
}

impl Results {
    /// How many calls and look-ups failed.
    pub fn failed(&self) -> u32 {
        let calls: u32 = self.rows.iter().map(Row::calls_failed).sum();
        let renumbered = self.renumbered.as_ref().map_or(0, Renumbered::failed);
        calls + self.first_calls.failed() + renumbered + self.lookups.failed()
    }

    /// `summary.json`.
    pub fn json(&self) -> String {
        let load = self.load;
        let value = json!({
            "failed": self.failed(),
            "phones_per_home": load.phones,
            "calls_at_a_time": load.pairs,
            "ways": self.rows.iter().map(Row::json).collect::<Vec<_>>(),
            "first_call_ms": self.first_calls.json(),
            "renumbered": match &self.renumbered {
                Ok(renumbered) => renumbered.json(),
                Err(why) => json!({ "left_out": why }),
            },
            "overlay": self.lookups.json(),
        });
        format!("{value:#}\n")
    }

    /// The figures as tables.
    pub fn table(&self) -> String {
        let mut text = calls::table(&self.rows, self.load);
        // Writing to a String does not fail.
        let _ = write!(text, "\n{}", self.first_calls.table());
        match &self.renumbered {
            Ok(renumbered) => text += &renumbered.table(),
            Err(why) => {
                let _ = writeln!(text, "{:<42}left out: {why}", "reached after a new WAN address");
            }
        }
        let _ = write!(text, "\n{}", self.lookups.table());
        let failed = self.failed();
        if failed > 0 {
            let _ = writeln!(text, "\n{failed} calls or look-ups failed");
        }
        text
    }
}

/// The quantile of sorted values, 0 where there are none.
pub(super) fn quantile<T: Copy + Default>(sorted: &[T], percent: usize) -> T {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or_default()
}

/// Values of a list, apart by spaces.
fn listed(values: &[f64], unit: &str) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:.1}")).collect();
    if values.is_empty() { "none".to_owned() } else { format!("{} {unit}", values.join("  ")) }
}

#[cfg(test)]
mod tests;
