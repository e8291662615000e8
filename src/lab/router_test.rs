//! A router of another processor, with a kernel of its own, in a town where the server is killed.
//!
//! The callers' router is a machine that qemu plays (`demo/machine.rs`); the callees' and a third
//! one are processes here. The phones of its home are set up with the router's address, or, every
//! second one, with the server's. Told are the calls, the time from the daemon's start to the first
//! registration that is accepted, and its memory, as the machine's kernel counts it.

use super::bench::talk::Talk;
use super::demo::addresses::Addresses;
use super::demo::machine::Kind;
use super::demo::router::{Room, Router};
use super::demo::town::{ROUTERS, Size, Town};
use super::demo::{Error, Interrupt, Options, Scratch, script};
use super::phone::Phone;
use super::report::{Fault, Summary};
use crate::time::Duration;
use serde_json::{Value, json};
use std::fmt::Write;

/// Calls at a time: as many as the defaults have room for.
const CALLS: u8 = 16;
const TALK: Duration = Duration::from_secs(10);
/// The least share of the sound that counts as sound.
const SHARE_MIN: f64 = 0.95;
/// Between two phones that try to register while the daemon starts.
const APART: Duration = Duration::from_millis(50);
/// After this long the first registration counts as lost.
const ACCEPTED_MAX: Duration = Duration::from_secs(20);
const INTERCEPTING_MAX: Duration = Duration::from_secs(20);
const CALLS_END_MAX: Duration = Duration::from_secs(60);

/// What a router may need at most.
#[derive(Clone, Copy, Debug)]
struct Limits {
    accepted_ms: u64,
    idle_kb: u64,
    /// With [`CALLS`] that speak.
    talking_kb: u64,
}

impl Limits {
    fn of(kind: Kind) -> Self {
        let (idle_kb, talking_kb) = match kind {
            Kind::Malta => (3_000, 4_500),
            Kind::Virt => (4_000, 6_000),
        };
        Self { accepted_ms: 1_000, idle_kb, talking_kb }
    }
}

/// Calls at the same time.
#[derive(Debug)]
struct Load {
    by: &'static str,
    talk: Talk,
    memory_kb: u64,
}

/// What the test found.
#[derive(Debug)]
pub struct Results {
    limits: Limits,
    /// From the daemon's start to the first 200 for a REGISTER.
    accepted_ms: u64,
    /// Memory before any phone came, and of this what no file has behind it.
    empty_kb: (u64, u64),
    /// With all phones registered, likewise.
    idle_kb: (u64, u64),
    interception: String,
    calls: Summary,
    loads: Vec<Load>,
    /// The memory at the end by what it is of.
    mappings: String,
}

/// Plays it and writes `summary.json`. The program has to be enclosed ([`super::hosts`]).
///
/// # Errors
/// [`Error`] where it could not be played.
pub fn run(options: &Options, kind: Kind) -> Result<Results, Error> {
    let scratch = Scratch::make(options)?;
    let interrupt = Interrupt::new()?;
    let addresses = Addresses::make_hosts(&ROUTERS)?;
    let size = Size { room: Room { phones: CALLS, calls: CALLS }, routers: true, certified: false };
    let mut town = Town::build(addresses, scratch.path(), options, &interrupt, size)?;
    let played = play(&mut town, Limits::of(kind));
    if played.is_err() {
        town.show_logs();
    }
    town.keep_ladders();
    let results = played?;
    options.write("summary.json", &results.json())?;
    Ok(results)
}

fn play(town: &mut Town<'_>, limits: Limits) -> Result<Results, Error> {
    let accepted_ms = first_accepted(town)?;
    town.await_routers()?;
    let memory = |town: &Town<'_>| {
        let usage = town.usage()[0];
        (usage.memory_kb, usage.anonymous_kb)
    };
    let empty_kb = memory(town);
    let interception = await_interception(town)?;
    town.get_ready()?;
    let idle_kb = memory(town);
    let series = vec![script::play(Fault::Killed, town)?];
    let mut loads = vec![Load::hold(town, "the server")?];
    town.fail_server(Fault::Killed)?;
    loads.push(Load::hold(town, "the overlay")?);
    let mappings = town.routers[0].machine().map(|it| it.mappings()).unwrap_or_default();
    let calls = Summary { server: "embedded", series };
    Ok(Results { limits, accepted_ms, empty_kb, idle_kb, interception, calls, loads, mappings })
}

/// Lets the phones that know their router register, one after another and again; the time from the
/// daemon's start until the first one is accepted.
fn first_accepted(town: &mut Town<'_>) -> Result<u64, Error> {
    let trying: Vec<usize> = (0..town.pairs()).step_by(2).collect();
    let accepted = |phones: &mut [Phone]| {
        trying.iter().any(|place| phones[*place].registration_status() == 200)
    };
    let mut next = trying.iter().cycle();
    let end = town.stage.now() + ACCEPTED_MAX;
    while town.stage.now() < end {
        if let Some(place) = next.next() {
            town.stage.order(*place, Phone::register);
        }
        if town.stage.run_until(APART, accepted) {
            return Ok(town.started.elapsed().as_millis() as u64);
        }
    }
    Err(Error::new("waited for a registration".to_owned(), ACCEPTED_MAX.as_secs()))
}

fn await_interception(town: &mut Town<'_>) -> Result<String, Error> {
    let method = |router: &Router| Some(router.status()?.interception()?.to_owned());
    town.await_that("interception", INTERCEPTING_MAX, |town| method(&town.routers[0]).is_some())?;
    Ok(method(&town.routers[0]).unwrap_or_default())
}

impl Load {
    /// Lets all call at the same time, and waits until the router has forgotten their calls.
    fn hold(town: &mut Town<'_>, by: &'static str) -> Result<Self, Error> {
        println!("  {CALLS} calls by {by} ...");
        let talk = Talk::hold(town, usize::from(CALLS), TALK);
        town.await_that("the end of all calls", CALLS_END_MAX, |town| {
            town.routers[0].status().is_some_and(|status| status.calls() == Some(0))
        })?;
        let memory_kb = talk.usage[0].memory_kb;
        Ok(Self { by, talk, memory_kb })
    }

    fn share(&self) -> f64 {
        if self.talk.packets_sent == 0 {
            return 0.0;
        }
        self.talk.packets_heard as f64 / self.talk.packets_sent as f64
    }
}

impl Results {
    /// All that is wrong, in words.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.calls.faults();
        let mut check = |what: String, value: u64, most: u64, unit: &str| {
            if value == 0 || value > most {
                faults.push(format!("{what}: {value} {unit} instead of at most {most} {unit}"));
            }
        };
        let limits = self.limits;
        check("the first registration".into(), self.accepted_ms, limits.accepted_ms, "ms");
        check("memory, idle".into(), self.idle_kb.0, limits.idle_kb, "kB");
        for load in &self.loads {
            let what = format!("memory with {CALLS} calls by {}", load.by);
            check(what, load.memory_kb, limits.talking_kb, "kB");
        }
        for load in &self.loads {
            let failed = &load.talk.failed;
            if !failed.is_empty() {
                faults.push(format!("calls by {} failed with {failed:?}", load.by));
            }
            if load.share() < SHARE_MIN {
                let percent = load.share() * 100.0;
                faults.push(format!("{percent:.1} % of the sound arrived by {}", load.by));
            }
        }
        if self.interception != "tproxy" {
            faults.push(format!("phones are intercepted by {}", self.interception));
        }
        faults
    }

    /// `summary.json`.
    pub fn json(&self) -> String {
        let faults = self.faults();
        let load = |load: &Load| -> Value {
            json!({
                "by": load.by,
                "memory_kb": load.memory_kb,
                "calls_failed": load.talk.failed.len(),
                "rtp_packets": load.talk.packets_sent,
                "rtp_heard": load.talk.packets_heard,
            })
        };
        let value = json!({
            "ok": faults.is_empty(),
            "first_register_ms": self.accepted_ms,
            "memory_kb": { "no_phones": self.empty_kb.0, "idle": self.idle_kb.0 },
            "interception": self.interception,
            "calls": self.calls.value()["calls_server_killed"],
            "calls_at_a_time": CALLS,
            "loads": self.loads.iter().map(load).collect::<Vec<_>>(),
            "mappings": self.mappings.lines().collect::<Vec<_>>(),
            "faults": faults,
        });
        format!("{value:#}\n")
    }

    /// The figures as a table.
    pub fn table(&self) -> String {
        let Limits { accepted_ms, idle_kb, talking_kb } = self.limits;
        let mut text = String::new();
        let mut line = |name: &str, value: String, most: String| {
            // Writing to a String does not fail.
            let _ = writeln!(text, "{name:<44}{value:>28}{most:>20}");
        };
        let most = |value: u64, unit| format!("at most {value} {unit}");
        let of_files = |(all, anonymous): (u64, u64)| format!("{all} kB ({anonymous} of its own)");
        line(
            "from the daemon's start to the first 200",
            format!("{} ms", self.accepted_ms),
            most(accepted_ms, "ms"),
        );
        line("memory before any phone came", of_files(self.empty_kb), String::new());
        let name = format!("with {CALLS} phones");
        line(&name, of_files(self.idle_kb), most(idle_kb, "kB"));
        for load in &self.loads {
            let name = format!("with {CALLS} calls by {}", load.by);
            line(&name, format!("{} kB", load.memory_kb), most(talking_kb, "kB"));
            let (heard, sent) = (load.talk.packets_heard, load.talk.packets_sent);
            line("  packets of sound heard, of those sent", format!("{heard} / {sent}"), "".into());
        }
        line("phones that know the server alone, by", self.interception.clone(), String::new());
        text
    }
}

#[cfg(test)]
mod tests;
