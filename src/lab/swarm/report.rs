//! What a swarm showed: `summary.json` for programs, a table for people.

use super::figures::{Answers, Figures, Sent, quantile_ms};
use super::opendht::Beside;
use super::{Costs, Load};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// How far apart simulation and reality may be, in percent.
const APART_MAX_PERCENT: f64 = 20.0;

/// Fewer packets do not show what idle routers send.
const IDLE_PACKETS_MIN: u64 = 500;

/// All figures.
pub struct Results {
    pub(super) load: Load,
    pub(super) simulated: Figures,
    pub(super) real: Figures,
    pub(super) costs: Costs,
    pub(super) beside: Option<Beside>,
}

/// A figure that both have.
struct Row {
    name: &'static str,
    unit: &'static str,
    of: fn(&Figures, routers: f64) -> f64,
    /// Whether the two have to agree.
    agrees: bool,
}

const fn row(
    name: &'static str,
    unit: &'static str,
    agrees: bool,
    of: fn(&Figures, f64) -> f64,
) -> Row {
    Row { name, unit, of, agrees }
}

/// What a router sends each second.
fn rate(sent: &Sent, bytes: u64, routers: f64) -> f64 {
    bytes as f64 / sent.seconds.max(f64::EPSILON) / routers
}

const IDLE: &str = "idle_bytes_per_s";
const ROWS: [Row; 15] = [
    row("found_ms_p50", "ms", true, |it, _| it.settled.found_ms(50)),
    row("found_ms_p90", "ms", false, |it, _| it.settled.found_ms(90)),
    row("found_ms_p99", "ms", true, |it, _| it.settled.found_ms(99)),
    row("absent_ms_p50", "ms", true, |it, _| it.settled.absent_ms(50)),
    row("absent_ms_p99", "ms", false, |it, _| it.settled.absent_ms(99)),
    row("right_percent", "%", false, |it, _| it.settled.right_percent()),
    row("halved_found_ms_p50", "ms", true, |it, _| it.halved.found_ms(50)),
    row("halved_found_ms_p90", "ms", false, |it, _| it.halved.found_ms(90)),
    row("halved_found_ms_p99", "ms", false, |it, _| it.halved.found_ms(99)),
    row("halved_absent_ms_p50", "ms", false, |it, _| it.halved.absent_ms(50)),
    row("halved_right_percent", "%", false, |it, _| it.halved.right_percent()),
    row("joining_bytes", "B", true, |it, n| it.joining.bytes() as f64 / n),
    row(IDLE, "B/s", true, |it, n| rate(&it.idle, it.idle.bytes(), n)),
    row("idle_packets_per_s", "/s", false, |it, n| rate(&it.idle, it.idle.datagrams, n)),
    row("lookup_bytes", "B", true, |it, _| {
        it.asking.lookup_bytes() as f64 / f64::from(it.settled.asked.max(1))
    }),
];

impl Results {
    /// What is wrong, in words; empty where nothing is.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for row in ROWS.iter().filter(|row| self.is_judged(row)) {
            let (simulated, real) = self.both(row);
            if ((real / simulated - 1.0) * 100.0).abs() > APART_MAX_PERCENT {
                faults.push(format!(
                    "{}: {real:.1} {unit} real, {simulated:.1} {unit} simulated",
                    row.name,
                    unit = row.unit
                ));
            }
        }
        for (which, wanted, answers) in [
            ("look-ups", 99.9, &self.real.settled),
            ("look-ups after half vanished", 99.0, &self.real.halved),
        ] {
            let Answers { asked, right, .. } = answers;
            if answers.right_percent() < wanted {
                faults.push(format!("{right} of {asked} {which} right"));
            }
        }
        if self.costs.lost > 0 {
            faults.push(format!("the wire had no room for {} packets", self.costs.lost));
        }
        faults
    }

    /// Whether simulation and reality have to agree here.
    fn is_judged(&self, row: &Row) -> bool {
        let packets = self.simulated.idle.datagrams.min(self.real.idle.datagrams);
        row.agrees && (row.name != IDLE || packets >= IDLE_PACKETS_MIN)
    }

    fn both(&self, row: &Row) -> (f64, f64) {
        let routers = f64::from(self.load.size.routers);
        ((row.of)(&self.simulated, routers), (row.of)(&self.real, routers))
    }

    /// `summary.json`.
    pub fn json(&self) -> String {
        let column = |of: fn((f64, f64)) -> f64| -> Value {
            ROWS.iter()
                .map(|row| (row.name.to_owned(), json!(rounded(of(self.both(row))))))
                .collect()
        };
        let (size, memory) = (self.load.size, self.costs.memory);
        let value = json!({
            "ok": self.faults().is_empty(),
            "routers": size.routers,
            "delay_ms": self.load.delay_ms,
            "seed": self.load.seed,
            "settle_s": size.settle.as_secs(),
            "idle_s": size.idle.as_secs(),
            "lookups": self.real.settled.asked,
            "lookups_after_half_vanished": self.real.halved.asked,
            "simulated": column(|(simulated, _)| simulated),
            "real": column(|(_, real)| real),
            "ratio": column(|(simulated, real)| real / simulated),
            "process": {
                "rss_kb": memory.rss_kb, "pss_kb": memory.pss_kb, "uss_kb": memory.uss_kb,
                "idle_cpu_ms_per_s": rounded(self.costs.idle_cpu_ms_per_s),
                "busiest_bytes_per_s": rounded(self.costs.busiest_bytes_per_s),
                "command_ms_p50": quantile_ms(&self.costs.commands_us, 50),
                "command_ms_p99": quantile_ms(&self.costs.commands_us, 99),
                "put_ms_p50": self.costs.puts.found_ms(50),
                "put_ms_p99": self.costs.puts.found_ms(99),
                "puts": self.costs.puts.asked,
                "put_percent": self.costs.puts.right_percent(),
            },
            "joining_bytes_per_s_by_kind": self.by_kind(|figures| &figures.joining),
            "idle_bytes_per_s_by_kind": self.by_kind(|figures| &figures.idle),
            "asking_bytes_per_s_by_kind": self.by_kind(|figures| &figures.asking),
            "opendht": self.beside.as_ref().map(|beside| self.beside_json(beside)),
            "counters": self.counters_of_both(),
            "faults": self.faults(),
        });
        format!("{value:#}\n")
    }

    fn by_kind(&self, of: fn(&Figures) -> &Sent) -> Value {
        let routers = f64::from(self.load.size.routers);
        let mut kinds: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
        for (place, figures) in [&self.simulated, &self.real].into_iter().enumerate() {
            let sent = of(figures);
            for (kind, bytes) in sent.kinds.iter().filter(|(_, bytes)| *bytes > 0) {
                kinds.entry(kind).or_default()[place] = rounded(rate(sent, *bytes, routers));
            }
        }
        kinds.into_iter().map(|(kind, both)| (kind.to_owned(), pair(both))).collect()
    }

    fn counters_of_both(&self) -> Value {
        let mut counters: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
        for (place, figures) in [&self.simulated, &self.real].into_iter().enumerate() {
            for (name, count) in figures.counters.iter().filter(|(_, count)| *count > 0) {
                counters.entry(name).or_default()[place] = *count;
            }
        }
        counters.into_iter().map(|(name, both)| (name.to_owned(), pair(both))).collect()
    }

    /// The figures as a table.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{:<26}{:>12}{:>12}{:>8}    = has to agree\n",
            "", "simulated", "real", "ratio"
        );
        // Writing to a String does not fail.
        for row in &ROWS {
            let (simulated, real) = self.both(row);
            let mark = if self.is_judged(row) { " =" } else { "" };
            let _ = writeln!(
                text,
                "{:<26}{simulated:>12.2}{real:>12.2}{:>8.2} {}{mark}",
                row.name,
                real / simulated,
                row.unit,
            );
        }
        let (memory, costs) = (self.costs.memory, &self.costs);
        let _ = writeln!(
            text,
            "of a process: {} kB alone, {} kB shared out, {} kB in use; {:.3} ms of CPU a second; \
             busiest {:.1} B/s sent and received; a command {:.1} / {:.1} ms (p50 / p99); {} of {} \
             puts, {:.1} / {:.1} ms",
            memory.uss_kb,
            memory.pss_kb,
            memory.rss_kb,
            costs.idle_cpu_ms_per_s,
            costs.busiest_bytes_per_s,
            quantile_ms(&costs.commands_us, 50),
            quantile_ms(&costs.commands_us, 99),
            costs.puts.right,
            costs.puts.asked,
            costs.puts.found_ms(50),
            costs.puts.found_ms(99),
        );
        if let Some(beside) = &self.beside {
            text += &self.beside_table(beside);
        }
        text
    }

    /// What OpenDHT shows, and what we do: where less is better.
    fn against(&self, beside: &Beside) -> [(&'static str, f64, f64); 11] {
        let routers = f64::from(self.load.size.routers);
        let (real, costs) = (&self.real, &self.costs);
        let ours = |of: &Sent| rate(of, of.bytes(), routers);
        [
            ("found_ms_p50", beside.settled.found_ms(50), real.settled.found_ms(50)),
            ("found_ms_p99", beside.settled.found_ms(99), real.settled.found_ms(99)),
            ("absent_ms_p50", beside.settled.absent_ms(50), real.settled.absent_ms(50)),
            ("halved_found_ms_p50", beside.halved.found_ms(50), real.halved.found_ms(50)),
            ("halved_found_ms_p90", beside.halved.found_ms(90), real.halved.found_ms(90)),
            ("halved_found_ms_p99", beside.halved.found_ms(99), real.halved.found_ms(99)),
            ("put_ms_p50", beside.put.found_ms(50), costs.puts.found_ms(50)),
            ("put_ms_p99", beside.put.found_ms(99), costs.puts.found_ms(99)),
            (IDLE, ours(&beside.idle), ours(&real.idle)),
            ("uss_kb", beside.memory.uss_kb as f64, costs.memory.uss_kb as f64),
            ("rss_kb", beside.memory.rss_kb as f64, costs.memory.rss_kb as f64),
        ]
    }

    fn beside_json(&self, beside: &Beside) -> Value {
        let against = self.against(beside);
        let figures =
            against.iter().map(|(name, theirs, _)| ((*name).to_owned(), rounded(*theirs)));
        let ratios =
            against.iter().map(|(name, theirs, ours)| ((*name).to_owned(), rounded(ours / theirs)));
        json!({
            "figures": figures.collect::<BTreeMap<_, _>>(),
            "ours_to_theirs": ratios.collect::<BTreeMap<_, _>>(),
            "puts": beside.put.asked,
            "put_percent": beside.put.right_percent(),
            "gets": beside.settled.asked,
            "right_percent": beside.settled.right_percent(),
            "halved_gets": beside.halved.asked,
            "halved_right_percent": beside.halved.right_percent(),
        })
    }

    fn beside_table(&self, beside: &Beside) -> String {
        let mut text = format!("\n{:<26}{:>12}{:>12}{:>8}\n", "", "OpenDHT", "cosip", "ratio");
        // Writing to a String does not fail.
        for (name, theirs, ours) in self.against(beside) {
            let _ = writeln!(text, "{name:<26}{theirs:>12.2}{ours:>12.2}{:>8.2}", ours / theirs);
        }
        for (what, theirs, ours) in [
            ("put", &beside.put, &self.costs.puts),
            ("right", &beside.settled, &self.real.settled),
            ("right after half vanished", &beside.halved, &self.real.halved),
        ] {
            let share = |it: &Answers| format!("{}/{}", it.right, it.asked);
            let _ = writeln!(text, "{what:<26}{:>12}{:>12}", share(theirs), share(ours));
        }
        text
    }
}

/// The figures of one of the two in one line.
pub(super) fn line(figures: &Figures, routers: u32) -> String {
    let told = ROWS.iter().filter(|row| row.agrees);
    let told: Vec<String> = told
        .map(|row| format!("{} {:.1}", row.name, (row.of)(figures, f64::from(routers))))
        .collect();
    told.join(", ")
}

/// What adapters have counted in the overlay, all together, from their status.
pub(super) fn counters(statuses: impl Iterator<Item = Value>) -> Vec<(String, u64)> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for status in statuses {
        for (name, count) in status["counters"].as_object().into_iter().flatten() {
            if let Some(name) = name.strip_prefix("overlay_") {
                *sums.entry(name.to_owned()).or_default() += count.as_u64().unwrap_or(0);
            }
        }
    }
    sums.into_iter().collect()
}

fn pair<T: Into<Value>>([simulated, real]: [T; 2]) -> Value {
    json!({ "simulated": simulated.into(), "real": real.into() })
}

fn rounded(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}
