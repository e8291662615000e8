//! The first call between two homes whose routers have never met, and later ones.
//!
//! The first one makes both routers agree on keys and verify each other's certificates. Each round
//! has three towns: in one the server serves, in one it is gone, in one it is silent.

use super::calls::{ANSWER_MAX, make_call, millis};
use super::{Figures, listed, quantile};
use crate::lab::demo::addresses::Addresses;
use crate::lab::demo::town::{Size, Town};
use crate::lab::demo::{Error, Interrupt, Options};
use crate::lab::report::Fault;
use crate::time::Duration;
use serde_json::{Value, json};
use std::path::Path;

/// Calls after the first one.
const LATER: u32 = 20;
/// Routers that have joined have work left, which is not the calls'.
const SETTLE: Duration = Duration::from_secs(3);
const DOWN_MAX: Duration = Duration::from_secs(30);
/// A silent server's turn ends after this (`hedge_ms`).
const HEDGE_MS: f64 = 500.0;

/// Set-up times, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct Setups {
    server_first: Vec<f64>,
    /// Sorted.
    server_later: Vec<f64>,
    overlay_first: Vec<f64>,
    /// Sorted.
    overlay_later: Vec<f64>,
    silent_first: Vec<f64>,
    failed: u32,
}

/// Lets the routers of new towns meet, `rounds` times in each way.
pub(super) fn measure(
    options: &Options,
    interrupt: &Interrupt,
    folder: &Path,
    rounds: u8,
) -> Result<Setups, Error> {
    let mut setups = Setups::default();
    for round in 1..=rounds {
        for fault in [None, Some(Fault::Killed), Some(Fault::Stopped)] {
            let of = fault.map_or("none", Fault::name);
            println!("first call between certified routers, round {round} of {rounds}: {of} ...");
            let folder = folder.join(format!("setups-{round}-{of}"));
            let addresses = Addresses::find(std::process::id())?;
            let size = Size { certified: true, ..Size::SMALL };
            let mut town = Town::build(addresses, &folder, options, interrupt, size)?;
            let measured = setups.measure_one(&mut town, fault);
            if measured.is_err() {
                town.show_logs();
            }
            town.keep_ladders();
            measured?;
        }
    }
    setups.server_later.sort_by(f64::total_cmp);
    setups.overlay_later.sort_by(f64::total_cmp);
    Ok(setups)
}

impl Setups {
    fn measure_one(&mut self, town: &mut Town<'_>, fault: Option<Fault>) -> Result<(), Error> {
        town.get_ready()?;
        town.stage.run_for(SETTLE);
        if let Some(fault) = fault {
            town.fail_server(fault)?;
        }
        let Self { failed, .. } = self;
        let mut call = |town: &mut Town<'_>, times: &mut Vec<f64>| {
            match make_call(town, 0, ANSWER_MAX) {
                Ok(setup) => times.push(millis(setup)),
                Err(_) => *failed += 1,
            }
            town.check()
        };
        let (first, later) = match fault {
            None => (&mut self.server_first, Some(&mut self.server_later)),
            Some(Fault::Killed) => (&mut self.overlay_first, Some(&mut self.overlay_later)),
            Some(Fault::Stopped) => (&mut self.silent_first, None),
        };
        call(town, first)?;
        let Some(later) = later else { return Ok(()) };
        if fault.is_some() {
            town.await_verdict("down", DOWN_MAX)?;
        }
        (0..LATER).try_for_each(|_| call(town, later))
    }

    /// What a call takes more than a later one through the server does.
    fn added(&self, times: &[f64]) -> f64 {
        tenths(median(times) - quantile(&self.server_later, 50))
    }
}

impl Figures for Setups {
    fn key(&self) -> &'static str {
        "setups_certified"
    }

    fn failed(&self) -> u32 {
        self.failed
    }

    fn json(&self) -> Value {
        json!({
            "server_first_ms": self.server_first,
            "server_later_ms_p50": quantile(&self.server_later, 50),
            "overlay_first_ms": self.overlay_first,
            "overlay_later_ms_p50": quantile(&self.overlay_later, 50),
            "overlay_later_ms_p99": quantile(&self.overlay_later, 99),
            "silent_first_ms": self.silent_first,
            "added_first_ms": self.added(&self.overlay_first),
            "added_later_ms": self.added(&self.overlay_later),
            "after_hedge_ms": tenths(median(&self.silent_first) - HEDGE_MS),
            "failed": self.failed,
        })
    }

    fn table(&self) -> String {
        let line = |name: &str, times: String| format!("{name:<42}{times}\n");
        let later = |sorted: &[f64]| {
            format!("{:.1} ms p50  {:.1} ms p99", quantile(sorted, 50), quantile(sorted, 99))
        };
        let mut text = String::from("certified routers\n");
        text += &line("first call through the server", listed(&self.server_first, "ms"));
        text += &line("later ones", later(&self.server_later));
        text += &line("first call over the overlay", listed(&self.overlay_first, "ms"));
        text += &line("later ones", later(&self.overlay_later));
        text += &line("first call where the server is silent", listed(&self.silent_first, "ms"));
        let [first, later] = [&self.overlay_first, &self.overlay_later].map(|it| self.added(it));
        let added = format!("{first:.1} ms, later ones {later:.1} ms");
        text += &line("added by the first over the overlay", added);
        let hedge = median(&self.silent_first) - HEDGE_MS;
        text + &line("where it is silent, after hedge_ms", format!("{hedge:.1} ms"))
    }
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    quantile(&sorted, 50)
}

fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}
