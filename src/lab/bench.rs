//! What two adapters cost a call: set-up time, lost sound, delay, processor time, memory.
//!
//! The same phones make the same calls three ways: straight through the server, through two
//! adapters and the server, and through two adapters with the server known to be down. Phones
//! and clock are one process, so the delay of each packet is known. Limits: one machine carries
//! everything, so the figures compare ways, not machines.

use super::demo::addresses::Addresses;
use super::demo::router::{Room, Status};
use super::demo::town::{Size, Town};
use super::demo::{Error, Interrupt, Options, Scratch};
use super::phone::{CallId, Phone, Report, Sound};
use super::report::Fault;
use crate::time::Duration;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

const ANSWER_MAX: Duration = Duration::from_secs(10);
const END_MAX: Duration = Duration::from_secs(5);
const SETTLE: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(20);
const DOWN_MAX: Duration = Duration::from_secs(30);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Calls made one after the other, for the set-up time.
    pub calls: u32,
    /// Calls at the same time, for the sound; at most 64.
    pub pairs: u8,
    /// How long they speak.
    pub talk: Duration,
}

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
pub struct Row {
    way: Way,
    /// Sorted, in microseconds.
    setups_us: Vec<u32>,
    /// Sorted, in microseconds.
    delays_us: Vec<u32>,
    /// How often a call failed, by its final status.
    failed: BTreeMap<u16, u32>,
    packets_sent: u64,
    packets_heard: u64,
    /// Of the two routers together, in thousandths of a processor while they relayed.
    cpu_permille: u64,
    /// Of the larger of the two, after the load.
    memory_kb: u64,
}

impl Row {
    fn json(&self) -> Value {
        let permille_lost = self.packets_lost_permille();
        json!({
            "way": self.way.as_str(),
            "calls_failed": self.failed.values().sum::<u32>(),
            "setup_us_p50": quantile(&self.setups_us, 50),
            "setup_us_p99": quantile(&self.setups_us, 99),
            "rtp_packets": self.packets_sent,
            "rtp_lost_permille": permille_lost,
            "rtp_delay_us_p50": quantile(&self.delays_us, 50),
            "rtp_delay_us_p99": quantile(&self.delays_us, 99),
            "routers_cpu_permille": self.cpu_permille,
            "router_memory_kb": self.memory_kb,
        })
    }

    fn packets_lost_permille(&self) -> u64 {
        let lost = self.packets_sent.saturating_sub(self.packets_heard);
        (lost * 1000).checked_div(self.packets_sent).unwrap_or(0)
    }
}

/// Measures the three ways and writes `calls.json`.
///
/// # Errors
/// [`Error`] where a way cannot be set up.
pub fn run(options: &Options, load: Load) -> Result<Vec<Row>, Error> {
    let scratch = Scratch::make(options)?;
    let interrupt = Interrupt::new()?;
    let mut rows = Vec::new();
    for (start, way) in (std::process::id()..).zip([Way::Direct, Way::Server, Way::Overlay]) {
        println!("{} ...", way.as_str());
        let folder = scratch.path().join(way.as_str().replace(", ", "-"));
        let addresses = Addresses::find(start)?;
        let room = Room { phones: load.pairs, calls: load.pairs };
        let size = Size { room, routers: way != Way::Direct };
        let mut town = Town::build(addresses, &folder, options, &interrupt, size)?;
        let row = measure(&mut town, way, load);
        if row.is_err() {
            town.show_logs();
        }
        town.keep_ladders();
        rows.push(row?);
    }
    let path = options.out.join("calls.json");
    let value: Vec<Value> = rows.iter().map(Row::json).collect();
    let text = format!("{:#}\n", json!({ "pairs": load.pairs, "ways": value }));
    fs::write(&path, text)
        .map_err(|error| Error::new(format!("cannot write {}", path.display()), error))?;
    Ok(rows)
}

/// The rows as a table.
pub fn table(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<18} {:>12} {:>12} {:>8} {:>12} {:>12} {:>9} {:>9}\n",
        "way", "set-up p50", "set-up p99", "RTP lost", "delay p50", "delay p99", "CPU", "memory"
    );
    for row in rows {
        let lost = row.packets_lost_permille();
        text += &format!(
            "{:<18} {:>9} us {:>9} us {:>4}.{} % {:>9} us {:>9} us {:>5}.{} % {:>6} kB\n",
            row.way.as_str(),
            quantile(&row.setups_us, 50),
            quantile(&row.setups_us, 99),
            lost / 10,
            lost % 10,
            quantile(&row.delays_us, 50),
            quantile(&row.delays_us, 99),
            row.cpu_permille / 10,
            row.cpu_permille % 10,
            row.memory_kb,
        );
        for (status, count) in &row.failed {
            text += &format!("{:<18} {count} calls failed with {status}\n", "");
        }
    }
    text
}

fn measure(town: &mut Town<'_>, way: Way, load: Load) -> Result<Row, Error> {
    town.get_ready()?;
    if way == Way::Overlay {
        town.fail_server(Fault::Killed)?;
        // Somebody has to call for the adapter to notice.
        let _ = make_call(town, 0);
        town.await_that("the callers' adapter to find the server down", DOWN_MAX, |town| {
            town.routers[0].status().is_some_and(|it: Status| it.server() == "down")
        })?;
    }
    let mut row = Row {
        way,
        setups_us: Vec::new(),
        delays_us: Vec::new(),
        failed: BTreeMap::new(),
        packets_sent: 0,
        packets_heard: 0,
        cpu_permille: 0,
        memory_kb: 0,
    };
    for number in 0..load.calls {
        match make_call(town, number as usize % town.pairs()) {
            Ok(setup) => row.setups_us.push(micros(setup)),
            Err(status) => *row.failed.entry(status).or_default() += 1,
        }
        town.check()?;
    }
    row.setups_us.sort_unstable();
    talk(town, load, &mut row);
    row.delays_us.sort_unstable();
    Ok(row)
}

/// One call of a pair, answered and ended; its set-up time, or the status that it failed with.
fn make_call(town: &mut Town<'_>, pair: usize) -> Result<Duration, u16> {
    let id = start_call(town, pair);
    let settled = |report: &Report| report.answered.is_some() || report.ended.is_some();
    town.stage.run_until(ANSWER_MAX, |phones| settled(phones[pair].report(id)));
    town.stage.order(pair, |phone, now| phone.hang_up(now, id));
    town.stage.run_until(END_MAX, |phones| !phones.iter().any(is_busy));
    town.stage.run_for(PAUSE);
    let report = town.stage.core(pair).report(id);
    report.setup().ok_or(report.status)
}

fn start_call(town: &mut Town<'_>, pair: usize) -> CallId {
    let callee = town.stage.core(town.pairs() + pair).aor();
    town.stage.order(pair, |phone, now| phone.call(now, &callee))
}

fn is_busy(phone: &Phone) -> bool {
    phone.reports().any(|report| report.ended.is_none())
}

/// All pairs speak at the same time.
fn talk(town: &mut Town<'_>, load: Load, row: &mut Row) {
    for pair in 0..town.pairs() {
        start_call(town, pair);
        town.stage.run_for(Duration::from_millis(7));
    }
    let places = town.stage.len();
    let answered = |phone: &Phone| phone.reports().last().is_some_and(|it| it.answered.is_some());
    town.stage.run_until(ANSWER_MAX, |phones| phones.iter().all(answered));
    let (before, since) = (town.routers_cpu(), town.stage.now());
    town.stage.run_for(load.talk);
    let wall = town.stage.now().since(since).as_millis().max(1) as u64;
    row.cpu_permille = town.routers_cpu().saturating_sub(before).as_millis() as u64 * 1000 / wall;
    row.memory_kb = town.routers_memory_kb();
    (0..places).for_each(|place| town.stage.order(place, |phone, _| phone.fall_silent()));
    town.stage.run_for(SETTLE);
    for place in 0..places {
        match town.stage.core(place).reports().last() {
            Some(report) if report.answered.is_some() => add_sound(row, &report.sound),
            Some(report) => *row.failed.entry(report.status).or_default() += 1,
            None => *row.failed.entry(0).or_default() += 1,
        }
        town.stage.order(place, Phone::hang_up_all);
    }
    town.stage.run_until(END_MAX, |phones| !phones.iter().any(is_busy));
}

fn add_sound(row: &mut Row, sound: &Sound) {
    row.packets_sent += u64::from(sound.sent);
    row.packets_heard += u64::from(sound.received);
    row.delays_us.extend_from_slice(&sound.delays_us);
}

fn micros(interval: Duration) -> u32 {
    u32::try_from(interval.as_micros()).unwrap_or(u32::MAX)
}

/// The quantile of sorted values, 0 where there are none.
fn quantile(sorted: &[u32], percent: usize) -> u32 {
    sorted.get(sorted.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0)
}
