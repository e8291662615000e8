//! The first call after the server failed, which nobody expects to fail.

use super::calls::{ANSWER_MAX, make_call, millis};
use super::{Figures, listed};
use crate::lab::demo::addresses::Addresses;
use crate::lab::demo::town::{Size, Town};
use crate::lab::demo::{Error, Interrupt, Options};
use crate::lab::report::Fault;
use crate::time::Duration;
use serde_json::{Value, json};
use std::path::Path;

const UP_MAX: Duration = Duration::from_secs(60);

/// Set-up times, in milliseconds.
#[derive(Debug, Default)]
pub(super) struct FirstCalls {
    refused_ms: Vec<f64>,
    silent_ms: Vec<f64>,
    failed: u32,
}

impl Figures for FirstCalls {
    fn key(&self) -> &'static str {
        "first_call_ms"
    }

    fn failed(&self) -> u32 {
        self.failed
    }

    fn json(&self) -> Value {
        json!({ "refused": self.refused_ms, "silent": self.silent_ms, "failed": self.failed })
    }

    fn table(&self) -> String {
        format!(
            "{:<42}{}\n{:<42}{}\n",
            "first call after the server refused",
            listed(&self.refused_ms, "ms"),
            "first call after it fell silent",
            listed(&self.silent_ms, "ms"),
        )
    }
}

/// Lets the server fail in both ways, `rounds` times each.
pub(super) fn measure(
    options: &Options,
    interrupt: &Interrupt,
    folder: &Path,
    rounds: u8,
) -> Result<FirstCalls, Error> {
    let mut first = FirstCalls::default();
    for round in 1..=rounds {
        // Adapters without a past: with each fall they wait twice as long before they trust again.
        let folder = folder.join(format!("failures-{round}"));
        let addresses = Addresses::find(std::process::id())?;
        let mut town = Town::build(addresses, &folder, options, interrupt, Size::SMALL)?;
        town.get_ready()?;
        for fault in [Fault::Killed, Fault::Stopped] {
            println!("first call after failure, round {round} of {rounds}: {}", fault.name());
            town.await_verdict("up", UP_MAX)?;
            town.fail_server(fault)?;
            let times = match fault {
                Fault::Killed => &mut first.refused_ms,
                Fault::Stopped => &mut first.silent_ms,
            };
            match make_call(&mut town, 0, ANSWER_MAX) {
                Ok(setup) => times.push(millis(setup)),
                Err(_) => first.failed += 1,
            }
            town.await_verdict("down", UP_MAX)?;
            town.recover_server(fault)?;
        }
    }
    Ok(first)
}
