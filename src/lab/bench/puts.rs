//! Speech while members put records at the routers that carry it: each put is verified.
//!
//! What one public-key operation takes is measured in the same run: what the router's processor
//! does more while records come, divided by the operations that it counts. It includes what comes
//! with them: receiving, comparing, answering.

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

/// Puts that come each second.
const PER_S: u32 = 50;
/// How long it is looked at what an operation takes.
const LOOK: Duration = Duration::from_secs(5);
/// Of a thousand packets this one is told.
const WORST: usize = 999;

/// What was measured.
#[derive(Debug, Default)]
pub(super) struct Puts {
    quiet: Talk,
    busy: Talk,
    thrown: Thrown,
    /// Operations for the puts of a second.
    per_s: f64,
    /// What one takes.
    operation_us: f64,
}

/// Lets pairs speak with and without puts.
pub(super) fn measure(
    options: &Options,
    interrupt: &Interrupt,
    folder: &Path,
    load: Load,
) -> Result<Puts, Error> {
    println!("speech while members put {PER_S} records/s ...");
    let addresses = Addresses::find(std::process::id())?;
    let room = Room { phones: load.pairs, calls: load.pairs };
    let size = Size { room, routers: true, certified: true };
    let mut town = Town::build(addresses, &folder.join("puts"), options, interrupt, size)?;
    town.get_ready()?;
    let pairs = usize::from(load.pairs);
    let mut shots = Shots::new(addresses, CALLEES, What::Puts, PER_S)?;
    let (idle, _) = look(&mut town);
    let ((used, operations), _) = shots.during(|| look(&mut town));
    let more = used.saturating_sub(idle).as_secs_f64() * 1e6;
    let quiet = Talk::hold(&mut town, pairs, load.talk);
    let (busy, thrown) = shots.during(|| Talk::hold(&mut town, pairs, load.talk));
    town.keep_ladders();
    Ok(Puts {
        quiet,
        busy,
        thrown,
        per_s: operations as f64 / LOOK.as_secs_f64(),
        operation_us: more / operations.max(1) as f64,
    })
}

/// The processor time and the operations of the router that is put at, over a while.
fn look(town: &mut Town<'_>) -> (Duration, u64) {
    let router = usize::from(CALLEES) - 1;
    let counted = |town: &Town<'_>| {
        let status = town.routers[router].status();
        status.map_or(0, |status| status.counter("overlay_verified"))
    };
    let operations = counted(town);
    let cpu = town.usage()[router].cpu;
    town.stage.run_for(LOOK);
    let used = town.usage()[router].cpu.saturating_sub(cpu);
    (used, counted(town) - operations)
}

impl Puts {
    /// How much later one packet in a thousand comes, in microseconds.
    fn later_us(&self) -> i64 {
        i64::from(worst(&self.busy)) - i64::from(worst(&self.quiet))
    }
}

fn worst(talk: &Talk) -> u32 {
    let last = talk.delays_us.len().saturating_sub(1);
    talk.delays_us.get(last * WORST / 1000).copied().unwrap_or_default()
}

impl Figures for Puts {
    fn key(&self) -> &'static str {
        "puts"
    }

    fn failed(&self) -> u32 {
        (self.quiet.failed.len() + self.busy.failed.len()) as u32
    }

    fn json(&self) -> Value {
        let side = |talk: &Talk| {
            json!({
                "rtp_packets": talk.packets_sent,
                "rtp_heard": talk.packets_heard,
                "rtp_delay_us_p50": quantile(&talk.delays_us, 50),
                "rtp_delay_us_p99": quantile(&talk.delays_us, 99),
                "rtp_delay_us_p999": worst(talk),
                "rtp_delay_us_max": quantile(&talk.delays_us, 100),
            })
        };
        json!({
            "puts_per_s": self.thrown.per_s().round(),
            "puts": self.thrown.sent,
            "stored": self.thrown.stored,
            "without": side(&self.quiet),
            "with": side(&self.busy),
            "operations_per_s": (self.per_s * 10.0).round() / 10.0,
            "operation_us": self.operation_us.round(),
            "rtp_later_us_p999": self.later_us(),
        })
    }

    fn table(&self) -> String {
        let side = |talk: &Talk| {
            format!(
                "{} / {} / {} / {} us (p50 / p99 / p99.9 / most), {} of {} packets heard",
                quantile(&talk.delays_us, 50),
                quantile(&talk.delays_us, 99),
                worst(talk),
                quantile(&talk.delays_us, 100),
                talk.packets_heard,
                talk.packets_sent,
            )
        };
        format!(
            "sound while members put {:.0} records/s, {} of {} stored\n  without: {}\n  \
             with:    {}\n  one packet in a thousand later by {} us; an operation takes {:.0} us, \
             {:.1} of them a second\n",
            self.thrown.per_s(),
            self.thrown.stored,
            self.thrown.sent,
            side(&self.quiet),
            side(&self.busy),
            self.later_us(),
            self.operation_us,
            self.per_s,
        )
    }
}
