//! How soon a home is reached again whose WAN address has changed, with no server to ask.
//!
//! It takes hosts of their own, and so root: only there can an address change as it does at a
//! provider that gives a new one every night. So it runs enclosed, as a process of its own.

use super::calls::{make_call, start_failing};
use super::{Figures, listed};
use crate::lab::demo::addresses::Addresses;
use crate::lab::demo::town::{CALLEES, ROUTERS, Size, Town};
use crate::lab::demo::{Error, Interrupt, Options, Scratch};
use crate::lab::hosts;
use crate::time::Duration;
use serde_json::{Value, json};
use std::process::Stdio;

/// What the enclosed process is told first.
pub const COMMAND: &str = "bench-renumber";
/// A call that nobody has answered by then is given up, and the next one made.
const CALL_MAX: Duration = Duration::from_secs(2);
/// After this long the home counts as lost.
const REACHED_MAX: Duration = Duration::from_secs(60);
/// Between two changes.
const SETTLE: Duration = Duration::from_secs(5);

/// What was measured.
#[derive(Debug)]
pub struct Renumbered(Value);

impl Renumbered {
    fn reached_s(&self) -> Vec<f64> {
        let list = self.0["reached_s"].as_array();
        list.into_iter().flatten().filter_map(Value::as_f64).collect()
    }

    fn failed(&self) -> u32 {
        self.0["failed"].as_u64().map_or(u32::MAX, |failed| failed as u32)
    }

    /// The figures: seconds from the change to the first call's answer.
    pub fn json(&self) -> Value {
        self.0.clone()
    }
}

/// The figures, or why there are none.
pub(super) struct Measured(pub(super) Result<Renumbered, String>);

impl Figures for Measured {
    fn key(&self) -> &'static str {
        "renumbered"
    }

    fn failed(&self) -> u32 {
        self.0.as_ref().map_or(0, Renumbered::failed)
    }

    fn json(&self) -> Value {
        match &self.0 {
            Ok(renumbered) => renumbered.json(),
            Err(why) => json!({ "left_out": why }),
        }
    }

    fn table(&self) -> String {
        let told = match &self.0 {
            Ok(renumbered) => listed(&renumbered.reached_s(), "s"),
            Err(why) => format!("left out: {why}"),
        };
        format!("{:<42}{told}\n", "reached after a new WAN address")
    }
}

/// Measures it in a process of its own; says why where this machine does not allow that.
pub(super) fn measure_enclosed(
    options: &Options,
    interrupt: &Interrupt,
    rounds: u8,
) -> Result<Measured, Error> {
    if let Some(words) = hosts::missing(&[]) {
        return Ok(Measured(Err(format!("needs {words}"))));
    }
    println!("a new WAN address, {rounds} times ...");
    let failed = |why: &dyn core::fmt::Display| Error::new("the change of address".to_owned(), why);
    let mut command = hosts::enclosed().map_err(|error| failed(&error))?;
    command.arg(COMMAND).arg("--rounds").arg(rounds.to_string());
    command.arg("--cosip").arg(&options.cosip).arg("--out").arg(&options.out);
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = interrupt.unblocked(|| command.output()).map_err(|error| failed(&error))?;
    if !output.status.success() {
        return Err(failed(&output.status));
    }
    let value = serde_json::from_slice(&output.stdout).map_err(|error| failed(&error))?;
    Ok(Measured(Ok(Renumbered(value))))
}

/// Measures it on hosts of their own; the program has to be enclosed.
///
/// # Errors
/// [`Error`] where something cannot be set up.
pub fn run(options: &Options, rounds: u8) -> Result<Renumbered, Error> {
    let scratch = Scratch::make(options)?;
    let interrupt = Interrupt::new()?;
    let addresses = Addresses::make_hosts(&ROUTERS)?;
    let mut town = Town::build(addresses, scratch.path(), options, &interrupt, Size::SMALL)?;
    town.get_ready()?;
    start_failing(&mut town)?;
    let (mut reached_s, mut failed) = (Vec::new(), 0);
    let mut address = addresses.wan(CALLEES).to_string();
    for round in 1..=rounds {
        town.stage.run_for(SETTLE);
        let next = addresses.wan(CALLEES + 20 * round).to_string();
        let lines = format!("address del {address}/24 dev wan\naddress add {next}/24 dev wan\n");
        let changed = addresses.router_host(CALLEES).ip(&lines);
        changed.map_err(|error| Error::new("cannot change an address".to_owned(), error))?;
        address = next;
        let since = town.stage.now();
        let mut reached = None;
        while reached.is_none() && town.stage.now() < since + REACHED_MAX {
            let called = town.stage.now();
            let setup = make_call(&mut town, 0, CALL_MAX).ok();
            reached = setup.map(|setup| called.since(since) + setup);
            town.check()?;
        }
        match reached {
            Some(time) => reached_s.push((time.as_secs_f64() * 1000.0).round() / 1000.0),
            None => failed += 1,
        }
    }
    Ok(Renumbered(json!({ "reached_s": reached_s, "failed": failed })))
}
