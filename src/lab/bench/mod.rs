//! What adapters cost, and what they save: the figures of `make bench`.
//!
//! `calls` compares three ways of the same calls, `failures` measures the first call after
//! the server failed, [`renumber`] how soon a home is reached again whose address changed,
//! `lookups` the overlay alone. With certificates: `setups` measures what the first call between
//! two homes takes, `floods` and `puts` what others can do to calls (`shots` throws), `desk` what
//! enrolment takes of a CoSIP server. All on one machine, and but for `desk` real processes: the
//! figures compare ways, not machines, and the network adds no delay.

mod calls;
mod desk;
mod failures;
mod floods;
mod lookups;
mod puts;
pub mod renumber;
mod setups;
mod shots;
pub(in crate::lab) mod talk;

use super::demo::{Error, Interrupt, Options, Scratch};
use crate::time::Duration;
use serde_json::{Map, Value, json};

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
    /// Datagrams of a flood.
    pub flood_per_s: u32,
}

/// A part of what is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Three ways of the same calls.
    Calls,
    /// The first call after the server failed.
    Failures,
    /// A new address.
    Renumber,
    /// The overlay alone.
    Lookups,
    /// The first call of certified routers, and later ones.
    Setups,
    /// Calls in floods.
    Floods,
    /// Sound while members put.
    Puts,
    /// A CoSIP server.
    Desk,
}

impl Part {
    /// All, by their names.
    pub const ALL: [(&str, Self); 8] = [
        ("calls", Self::Calls),
        ("failures", Self::Failures),
        ("renumber", Self::Renumber),
        ("lookups", Self::Lookups),
        ("setups", Self::Setups),
        ("floods", Self::Floods),
        ("puts", Self::Puts),
        ("desk", Self::Desk),
    ];

    /// Those that `words` names, parted by commas.
    pub fn parse(words: &str) -> Option<Vec<Self>> {
        let of = |word| Self::ALL.into_iter().find(|(name, _)| *name == word).map(|it| it.1);
        words.split(',').map(of).collect()
    }

    fn measure(
        self,
        options: &Options,
        interrupt: &Interrupt,
        scratch: &Scratch,
        load: Load,
    ) -> Result<Box<dyn Figures>, Error> {
        let folder = scratch.path();
        let Load { rounds, members, .. } = load;
        Ok(match self {
            Self::Calls => Box::new(calls::measure(options, interrupt, folder, load)?),
            Self::Failures => Box::new(failures::measure(options, interrupt, folder, rounds)?),
            Self::Renumber => Box::new(renumber::measure_enclosed(options, interrupt, rounds)?),
            Self::Lookups => Box::new(lookups::measure(options, interrupt, folder, members)?),
            Self::Setups => Box::new(setups::measure(options, interrupt, folder, rounds)?),
            Self::Floods => Box::new(floods::measure(options, interrupt, folder, load)?),
            Self::Puts => Box::new(puts::measure(options, interrupt, folder, load)?),
            Self::Desk => Box::new(desk::measure()?),
        })
    }
}

/// What one part has measured.
trait Figures {
    /// Its name in `summary.json`.
    fn key(&self) -> &'static str;
    /// How many calls, look-ups and the like failed.
    fn failed(&self) -> u32;
    /// The figures for programs.
    fn json(&self) -> Value;
    /// For people: whole lines.
    fn table(&self) -> String;
}

/// All figures.
pub struct Results {
    load: Load,
    figures: Vec<Box<dyn Figures>>,
}

/// Measures these parts and writes `summary.json`.
///
/// # Errors
/// [`Error`] where something cannot be set up.
pub fn run(options: &Options, load: Load, parts: &[Part]) -> Result<Results, Error> {
    let scratch = Scratch::make(options)?;
    let interrupt = Interrupt::new()?;
    let measured = parts.iter().map(|part| part.measure(options, &interrupt, &scratch, load));
    let results = Results { load, figures: measured.collect::<Result<_, _>>()? };
    options.write("summary.json", &results.json())?;
    Ok(results)
}

impl Results {
    /// How many calls and look-ups failed.
    pub fn failed(&self) -> u32 {
        self.figures.iter().map(|it| it.failed()).sum()
    }

    /// `summary.json`.
    pub fn json(&self) -> String {
        let mut values = Map::from_iter([
            ("failed".to_owned(), json!(self.failed())),
            ("phones_per_home".to_owned(), json!(self.load.phones)),
            ("calls_at_a_time".to_owned(), json!(self.load.pairs)),
        ]);
        values.extend(self.figures.iter().map(|it| (it.key().to_owned(), it.json())));
        format!("{:#}\n", Value::Object(values))
    }

    /// The figures as tables.
    pub fn table(&self) -> String {
        let tables: Vec<_> = self.figures.iter().map(|it| it.table()).collect();
        let mut text = tables.join("\n");
        let failed = self.failed();
        if failed > 0 {
            text += &format!("\n{failed} calls or look-ups failed\n");
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
