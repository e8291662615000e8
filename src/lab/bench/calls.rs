//! What two adapters cost a call: set-up time, lost sound, delay, processor time, memory.
//!
//! The same phones make the same calls three ways: straight through the server, through two
//! adapters and the server, and through two adapters with the server known to be down. Phones
//! and clock are one process, so the delay of each packet is known.

use super::talk::Talk;
use super::{Figures, Load, quantile};
use crate::lab::demo::addresses::Addresses;
use crate::lab::demo::process::Usage;
use crate::lab::demo::router::Room;
use crate::lab::demo::town::{Size, Town};
use crate::lab::demo::{Error, Interrupt, Options};
use crate::lab::phone::{CallId, Phone, Report};
use crate::lab::report::Fault;
use crate::time::Duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

/// A call that is not answered by then has failed.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);
pub(super) const END_MAX: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);
const DOWN_MAX: Duration = Duration::from_secs(30);

/// By which way the calls go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Direct,
    Server,
    Overlay,
}

impl Way {
    fn as_str(self) -> &'static str {
        match self {
            Self::Direct => "no adapter",
            Self::Server => "adapters, server",
            Self::Overlay => "adapters, overlay",
        }
    }
}

/// What one way cost.
#[derive(Clone, Debug)]
struct Row {
    way: Way,
    calls: u32,
    /// Sorted, in microseconds.
    setups_us: Vec<u32>,
    /// How often a call failed, by its final status.
    failed: BTreeMap<u16, u32>,
    /// Processor time of one router: for one call with its set-up, some sound and its end.
    cpu_us_per_call: u64,
    /// Memory of a router before its phones came.
    memory_idle_kb: u64,
    /// With all phones, and calls of many of them.
    talk: Talk,
}

impl Row {
    fn new(way: Way) -> Self {
        Self {
            way,
            calls: 0,
            setups_us: Vec::new(),
            failed: BTreeMap::new(),
            cpu_us_per_call: 0,
            memory_idle_kb: 0,
            talk: Talk::default(),
        }
    }

    /// How many calls failed.
    fn calls_failed(&self) -> u32 {
        self.failed.values().sum()
    }

    /// One call failed with this status.
    fn note_failure(&mut self, status: u16) {
        *self.failed.entry(status).or_default() += 1;
    }

    /// The figures.
    fn json(&self) -> Value {
        // The direct way has no routers, and so no figures of theirs.
        let of_router = |figure: u64| (self.way != Way::Direct).then_some(figure);
        json!({
            "way": self.way.as_str(),
            "calls": self.calls,
            "calls_failed": self.calls_failed(),
            "setup_us_p50": quantile(&self.setups_us, 50),
            "setup_us_p99": quantile(&self.setups_us, 99),
            "rtp_packets": self.talk.packets_sent,
            "rtp_lost": self.packets_lost(),
            "rtp_delay_us_p50": quantile(&self.talk.delays_us, 50),
            "rtp_delay_us_p99": quantile(&self.talk.delays_us, 99),
            "router_cpu_us_per_call": of_router(self.cpu_us_per_call),
            "router_cpu_ns_per_rtp_packet": of_router(self.talk.cpu_ns_per_packet),
            "router_memory_kb_idle": of_router(self.memory_idle_kb),
            "router_memory_kb_loaded": of_router(memory_kb(&self.talk.usage)),
            "router_threads": of_router(threads(&self.talk.usage)),
        })
    }

    fn packets_lost(&self) -> u64 {
        self.talk.packets_sent.saturating_sub(self.talk.packets_heard)
    }
}

/// All ways.
pub(super) struct Ways {
    load: Load,
    rows: Vec<Row>,
}

impl Figures for Ways {
    fn key(&self) -> &'static str {
        "ways"
    }

    fn failed(&self) -> u32 {
        self.rows.iter().map(Row::calls_failed).sum()
    }

    fn json(&self) -> Value {
        self.rows.iter().map(Row::json).collect()
    }

    fn table(&self) -> String {
        table(&self.rows, self.load)
    }
}

/// Measures the three ways.
pub(super) fn measure(
    options: &Options,
    interrupt: &Interrupt,
    folder: &Path,
    load: Load,
) -> Result<Ways, Error> {
    let mut rows = Vec::new();
    for (start, way) in (std::process::id()..).zip([Way::Direct, Way::Server, Way::Overlay]) {
        println!("{} ...", way.as_str());
        let folder = folder.join(way.as_str().replace(", ", "-"));
        let addresses = Addresses::find(start)?;
        let room = Room { phones: load.phones, calls: load.pairs };
        let size = Size { room, routers: way != Way::Direct, certified: false };
        let mut town = Town::build(addresses, &folder, options, interrupt, size)?;
        let row = measure_way(&mut town, way, load);
        if row.is_err() {
            town.show_logs();
        }
        town.keep_ladders();
        rows.push(row?);
    }
    Ok(Ways { load, rows })
}

/// The rows as a table: a column each.
fn table(rows: &[Row], load: Load) -> String {
    type Figure = fn(&Row) -> String;
    let figures: [(&str, Figure); 11] = [
        ("set-up p50", |row| format!("{} us", quantile(&row.setups_us, 50))),
        ("set-up p99", |row| format!("{} us", quantile(&row.setups_us, 99))),
        ("RTP packets", |row| row.talk.packets_sent.to_string()),
        ("RTP packets lost", |row| row.packets_lost().to_string()),
        ("RTP delay p50", |row| format!("{} us", quantile(&row.talk.delays_us, 50))),
        ("RTP delay p99", |row| format!("{} us", quantile(&row.talk.delays_us, 99))),
        ("CPU of a router per call", |row| format!("{} us", row.cpu_us_per_call)),
        ("CPU of a router per RTP packet", |row| {
            let ns = row.talk.cpu_ns_per_packet;
            format!("{}.{} us", ns / 1000, ns / 100 % 10)
        }),
        ("memory of a router, idle", |row| format!("{} kB", row.memory_idle_kb)),
        ("with phones and calls", |row| format!("{} kB", memory_kb(&row.talk.usage))),
        ("threads of a router", |row| threads(&row.talk.usage).to_string()),
    ];
    let mut text = format!("{} phones in each home, {} calls at a time\n", load.phones, load.pairs);
    // Writing to a String does not fail.
    let _ = write!(text, "{:<32}", "");
    rows.iter().for_each(|row| text += &format!("{:>20}", row.way.as_str()));
    text.push('\n');
    for (number, (name, figure)) in figures.iter().enumerate() {
        let _ = write!(text, "{name:<32}");
        for row in rows {
            // The last ones are the routers', which the direct way has none of.
            let is_told = row.way != Way::Direct || number < 6;
            let _ = write!(text, "{:>20}", if is_told { figure(row) } else { "-".to_owned() });
        }
        text.push('\n');
    }
    if let [direct, adapters @ ..] = rows {
        let _ = write!(text, "{:<52}", "added to the set-up (p50)");
        let base = i64::from(quantile(&direct.setups_us, 50));
        for row in adapters {
            let added = i64::from(quantile(&row.setups_us, 50)) - base;
            let _ = write!(text, "{:>20}", format!("{added} us"));
        }
        let _ = write!(text, "\n{:<52}", "added to the RTP delay (p99)");
        let base = i64::from(quantile(&direct.talk.delays_us, 99));
        for row in adapters {
            let added = i64::from(quantile(&row.talk.delays_us, 99)) - base;
            let _ = write!(text, "{:>20}", format!("{added} us"));
        }
        text.push('\n');
    }
    for row in rows {
        for (status, count) in &row.failed {
            let calls = if *count == 1 { "call" } else { "calls" };
            let _ = writeln!(text, "{}: {count} {calls} failed with {status}", row.way.as_str());
        }
    }
    text
}

fn measure_way(town: &mut Town<'_>, way: Way, load: Load) -> Result<Row, Error> {
    let mut row = Row { calls: load.calls + u32::from(load.pairs), ..Row::new(way) };
    town.await_routers()?;
    row.memory_idle_kb = memory_kb(&town.usage());
    town.get_ready()?;
    if way == Way::Overlay {
        start_failing(town)?;
    }
    let before = homes_cpu(&town.usage());
    for number in 0..load.calls {
        match make_call(town, number as usize % usize::from(load.pairs), ANSWER_MAX) {
            Ok(setup) => row.setups_us.push(micros(setup)),
            Err(status) => row.note_failure(status),
        }
        town.check()?;
    }
    let cpu = homes_cpu(&town.usage()).saturating_sub(before);
    row.cpu_us_per_call = per(cpu.as_micros(), 2 * u64::from(load.calls));
    row.setups_us.sort_unstable();
    row.talk = Talk::hold(town, usize::from(load.pairs), load.talk);
    for status in row.talk.failed.clone() {
        row.note_failure(status);
    }
    Ok(row)
}

/// Kills the server, and waits until the callers' adapter knows.
pub(super) fn start_failing(town: &mut Town<'_>) -> Result<(), Error> {
    town.fail_server(Fault::Killed)?;
    // Somebody has to call for the adapter to notice; whether that call fails is not asked here.
    let _ = make_call(town, 0, ANSWER_MAX);
    town.await_verdict("down", DOWN_MAX)
}

/// One call of a pair, answered within `limit` and ended; its set-up time, or the status that it
/// failed with.
pub(super) fn make_call(
    town: &mut Town<'_>,
    pair: usize,
    limit: Duration,
) -> Result<Duration, u16> {
    let id = start_call(town, pair);
    let settled = |report: &Report| report.answered.is_some() || report.ended.is_some();
    town.stage.run_until(limit, |phones| settled(phones[pair].report(id)));
    // What is answered after its end is no success.
    let setup = town.stage.core(pair).report(id).setup();
    town.stage.order(pair, |phone, now| phone.hang_up(now, id));
    town.stage.run_until(END_MAX, |phones| !phones.iter().any(is_busy));
    town.stage.run_for(PAUSE);
    setup.ok_or_else(|| town.stage.core(pair).report(id).status)
}

/// Lets the caller of a pair call.
pub(super) fn start_call(town: &mut Town<'_>, pair: usize) -> CallId {
    let callee = town.stage.core(town.pairs() + pair).aor();
    town.stage.order(pair, |phone, now| phone.call(now, &callee))
}

pub(super) fn is_busy(phone: &Phone) -> bool {
    phone.reports().any(|report| report.ended.is_none())
}

/// The processor time that the two homes' routers have used.
pub(super) fn homes_cpu(usage: &[Usage]) -> Duration {
    homes(usage).map(|it| it.cpu).sum()
}

/// The memory of the larger of the two homes' routers.
fn memory_kb(usage: &[Usage]) -> u64 {
    homes(usage).map(|it| it.memory_kb).max().unwrap_or(0)
}

/// How many threads each of the two homes' routers has, the more of both.
fn threads(usage: &[Usage]) -> u64 {
    homes(usage).map(|it| it.threads).max().unwrap_or(0)
}

/// Of all routers those of the two homes, which come first.
fn homes(usage: &[Usage]) -> impl Iterator<Item = &Usage> {
    usage.iter().take(2)
}

fn micros(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}

/// Milliseconds, to the tenth.
pub(super) fn millis(interval: Duration) -> f64 {
    (interval.as_secs_f64() * 10_000.0).round() / 10.0
}

fn per(total: u128, parts: u64) -> u64 {
    total.checked_div(u128::from(parts)).map_or(0, |part| part as u64)
}

#[cfg(test)]
pub(super) mod tests;
