//! Calls while others throw thousands of datagrams a second at the callees' router.
//!
//! The server is known to be down, so that everything goes through the overlay's port. Calls with
//! and without a flood take turns: the machine is the same for both.

use super::calls::{ANSWER_MAX, make_call, start_failing};
use super::shots::{Shots, Thrown, What};
use super::talk::Talk;
use super::{Figures, Load, quantile};
use crate::lab::demo::addresses::Addresses;
use crate::lab::demo::router::Room;
use crate::lab::demo::town::{CALLEES, Size, Town};
use crate::lab::demo::{Error, Interrupt, Options};
use crate::time::Duration;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Instant;

/// How often calls with and without a flood take turns.
const TURNS: u32 = 4;

/// Calls, and sound, on one side of the comparison.
#[derive(Debug, Default)]
struct Side {
    /// Sorted, in microseconds.
    setups_us: Vec<u32>,
    failed: u32,
    talk: Talk,
    /// What of a processor the callees' router took while calls were made.
    busy: f64,
}

/// One kind of flood.
#[derive(Debug)]
struct Flood {
    what: What,
    quiet: Side,
    flooded: Side,
    thrown: Thrown,
}

/// All kinds.
#[derive(Debug, Default)]
pub(super) struct Floods(Vec<Flood>);

/// Makes calls with and without each kind of flood.
pub(super) fn measure(
    options: &Options,
    interrupt: &Interrupt,
    folder: &Path,
    load: Load,
) -> Result<Floods, Error> {
    let mut floods = Floods::default();
    for what in [What::Untagged, What::Forged] {
        println!("calls while {} datagrams/s come: {} ...", load.flood_per_s, name(what));
        let folder = folder.join(format!("{what:?}"));
        let addresses = Addresses::find(std::process::id())?;
        let room = Room { phones: load.pairs, calls: load.pairs };
        let size = Size { room, routers: true, certified: true };
        let mut town = Town::build(addresses, &folder, options, interrupt, size)?;
        let flood = measure_one(&mut town, what, load);
        if flood.is_err() {
            town.show_logs();
        }
        town.keep_ladders();
        floods.0.push(flood?);
    }
    Ok(floods)
}

fn measure_one(town: &mut Town<'_>, what: What, load: Load) -> Result<Flood, Error> {
    town.get_ready()?;
    start_failing(town)?;
    let mut shots = Shots::new(town.addresses, CALLEES, what, load.flood_per_s)?;
    let (mut quiet, mut flooded) = (Side::default(), Side::default());
    let mut thrown = Thrown::default();
    let calls = load.calls.div_ceil(TURNS);
    for _ in 0..TURNS {
        quiet.make_calls(town, calls);
        let ((), more) = shots.during(|| flooded.make_calls(town, calls));
        thrown.add(&more);
        town.check()?;
    }
    quiet.talk = Talk::hold(town, usize::from(load.pairs), load.talk);
    let pairs = usize::from(load.pairs);
    let (talk, more) = shots.during(|| Talk::hold(town, pairs, load.talk));
    flooded.talk = talk;
    thrown.add(&more);
    for side in [&mut quiet, &mut flooded] {
        side.setups_us.sort_unstable();
        side.busy /= f64::from(TURNS);
        side.failed += side.talk.failed.len() as u32;
    }
    Ok(Flood { what, quiet, flooded, thrown })
}

impl Side {
    fn make_calls(&mut self, town: &mut Town<'_>, calls: u32) {
        let cpu = |town: &Town<'_>| town.usage()[usize::from(CALLEES) - 1].cpu;
        let (before, since) = (cpu(town), Instant::now());
        for number in 0..calls {
            match make_call(town, number as usize % town.pairs(), ANSWER_MAX) {
                Ok(setup) => self.setups_us.push(setup.as_micros() as u32),
                Err(_) => self.failed += 1,
            }
        }
        let used: Duration = cpu(town).saturating_sub(before);
        self.busy += used.as_secs_f64() / since.elapsed().as_secs_f64();
    }

    fn json(&self) -> Value {
        json!({
            "setup_us_p50": quantile(&self.setups_us, 50),
            "setup_us_p99": quantile(&self.setups_us, 99),
            "calls_failed": self.failed,
            "rtp_packets": self.talk.packets_sent,
            "rtp_heard": self.talk.packets_heard,
            "rtp_delay_us_p50": quantile(&self.talk.delays_us, 50),
            "rtp_delay_us_p99": quantile(&self.talk.delays_us, 99),
            "router_busy": (self.busy * 1000.0).round() / 1000.0,
        })
    }

    fn line(&self) -> String {
        let heard = self.talk.packets_heard as f64 * 100.0 / self.talk.packets_sent.max(1) as f64;
        format!(
            "set-up {} / {} us (p50 / p99), sound {heard:.2} % heard, {} / {} us; busy {:.0} %",
            quantile(&self.setups_us, 50),
            quantile(&self.setups_us, 99),
            quantile(&self.talk.delays_us, 50),
            quantile(&self.talk.delays_us, 99),
            self.busy * 100.0,
        )
    }
}

impl Flood {
    /// How many times as long a set-up takes.
    fn ratio(&self, percent: usize) -> f64 {
        let of = |side: &Side| f64::from(quantile(&side.setups_us, percent));
        (of(&self.flooded) / of(&self.quiet).max(1.0) * 100.0).round() / 100.0
    }

    fn json(&self) -> Value {
        json!({
            "what": name(self.what),
            "datagrams_per_s": self.thrown.per_s().round(),
            "answered": self.thrown.answered,
            "without": self.quiet.json(),
            "with": self.flooded.json(),
            "setup_ratio_p50": self.ratio(50),
            "setup_ratio_p99": self.ratio(99),
        })
    }
}

impl Figures for Floods {
    fn key(&self) -> &'static str {
        "floods"
    }

    fn failed(&self) -> u32 {
        self.0.iter().map(|flood| flood.quiet.failed + flood.flooded.failed).sum()
    }

    fn json(&self) -> Value {
        self.0.iter().map(Flood::json).collect()
    }

    fn table(&self) -> String {
        let of = |flood: &Flood| {
            let (per_s, answered) = (flood.thrown.per_s(), flood.thrown.answered);
            format!(
                "{}: {per_s:.0} datagrams/s, {answered} answered\n  without: {}\n  with:    {}\n  \
                 set-up takes {:.2} / {:.2} times as long (p50 / p99)\n",
                name(flood.what),
                flood.quiet.line(),
                flood.flooded.line(),
                flood.ratio(50),
                flood.ratio(99),
            )
        };
        self.0.iter().map(of).collect()
    }
}

fn name(what: What) -> &'static str {
    match what {
        What::Untagged => "strangers without the secret",
        What::Forged => "members who forge",
        What::Puts => "members who put",
    }
}
