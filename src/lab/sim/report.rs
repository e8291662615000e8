//! What a simulation found: `summary.json` for programs, a table for people.

use super::measure::{Measured, percentile};
use super::plot;
use super::watch::Watched;
use serde_json::{Value, json};
use std::path::Path;
use std::{fs, io};

/// Of so many kinds of datagrams it is told what they take.
const KINDS_TOLD: usize = 8;

/// All that a simulation found.
#[derive(Clone, Debug)]
pub struct Summary {
    /// How many routers.
    pub routers: u32,
    /// What decided everything.
    pub seed: u64,
    /// Memory for each table of members.
    pub table_kb: u32,
    /// All that happened, in one number.
    pub event_hash: u64,
    /// What each phase showed.
    pub phases: Vec<Measured>,
    /// Memory of the process, for each router.
    pub memory_per_router: u64,
}

impl Summary {
    /// What is wrong, in words; empty where nothing is.
    pub fn faults(&self) -> Vec<String> {
        let of = |phase: &Measured| {
            let name = phase.scenario.name();
            phase.faults.iter().map(move |fault| format!("{name}: {fault}")).collect::<Vec<_>>()
        };
        self.phases.iter().flat_map(of).collect()
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(folder.join("summary.json"), self.json())?;
        fs::write(folder.join("latency.svg"), plot::latencies(self))?;
        fs::write(folder.join("success.svg"), plot::success(self))
    }

    /// `summary.json`.
    pub fn json(&self) -> String {
        let value = json!({
            "routers": self.routers,
            "seed": self.seed,
            "table_kb": self.table_kb,
            "event_hash": format!("{:016x}", self.event_hash),
            "ok": self.faults().is_empty(),
            "memory_bytes_per_router": self.memory_per_router,
            "phases": self.phases.iter().map(Measured::json).collect::<Vec<_>>(),
            "faults": self.faults(),
        });
        format!("{value:#}\n")
    }
}

/// Writes `summary.json` and the pictures into a folder; of several simulations, each into a folder
/// of its own there, and a picture of what they took.
///
/// # Errors
/// Those of the file system.
pub fn write(summaries: &[Summary], folder: &Path) -> io::Result<()> {
    if let [summary] = summaries {
        return summary.write(folder);
    }
    for summary in summaries {
        summary.write(&folder.join(summary.routers.to_string()))?;
    }
    fs::write(folder.join("traffic.svg"), plot::traffic(summaries))
}

impl Measured {
    fn json(&self) -> Value {
        let ms = |sorted: &[u32], percent| hundredths(f64::from(percentile(sorted, percent)) / 1e3);
        let (score, latencies) = (&self.score, &self.latencies_us);
        let rtt_ms = self.rtt_us as f64 / 1e3;
        json!({
            "name": self.scenario.name(),
            "minutes": self.minutes,
            "lookups": score.asked,
            "right": score.right,
            "success": score.success(),
            "missing": score.missing,
            "stale": score.stale,
            "invented": score.invented,
            "endless": score.endless,
            "success_first_minute": self.first_minute.success(),
            "success_before_it_counts": (self.during.asked > 0).then(|| self.during.success()),
            "hops_p50": percentile(&self.hops, 50),
            "hops_p99": percentile(&self.hops, 99),
            "latency_ms_p50": ms(latencies, 50),
            "latency_ms_p99": ms(latencies, 99),
            "latency_rtts_p50": hundredths(ms(latencies, 50) / rtt_ms),
            "latency_rtts_p99": hundredths(ms(latencies, 99) / rtt_ms),
            "absent_ms_p50": ms(&self.absent_us, 50),
            "absent_ms_p99": ms(&self.absent_us, 99),
            "link_rtt_ms_p50": hundredths(rtt_ms),
            "callees_met": self.meetings.1,
            "callees_to_meet": self.meetings.0,
            "meeting_ms_p50": ms(&self.meetings_us, 50),
            "meeting_ms_p99": ms(&self.meetings_us, 99),
            "busiest_datagrams_per_s": self.busiest,
            "new_address_known": self.moved.1,
            "new_address_asked": self.moved.0,
            "members": self.membership(),
            "victim_found": self.victim.1,
            "victim_asked": self.victim.0,
            "watched": self.watched.map(Watched::json),
            "bytes_per_s": hundredths(self.bytes_per_s),
            "lookup_bytes_per_s": hundredths(self.lookup_bytes_per_s),
            "bytes_per_s_by_kind": self.by_kind(),
            "counters": self.counters.iter().map(|&(name, count)| (name.to_owned(), json!(count)))
                .collect::<Value>(),
            "table_bytes": self.table_bytes,
            "datagrams": self.datagrams,
            "wakes": self.wakes,
            "cpu_s": hundredths(self.cpu_s),
            "virtual_minutes_per_cpu_s": hundredths(self.minutes as f64 / self.cpu_s),
        })
    }

    fn membership(&self) -> Value {
        let by = |percent| percentile(&self.listed_by, percent);
        let (all, listed) = self.members();
        json!({ "all": all, "listed": listed, "by_others_p1": by(1), "by_others_p50": by(50) })
    }

    fn by_kind(&self) -> Value {
        let rates = self.kinds.iter();
        rates.map(|(kind, rate)| ((*kind).to_owned(), json!(hundredths(*rate)))).collect()
    }

    /// In one line, for people.
    pub fn line(&self) -> String {
        let (score, rtt_us) = (&self.score, self.rtt_us as f64);
        let rtts = |percent| f64::from(percentile(&self.latencies_us, percent)) / rtt_us;
        let mut text = format!(
            "{:<10} {} of {} look-ups right ({:.3} %; missing {}, stale {}, invented {}), {:.2} / \
             {:.2} RTT of {:.0} ms (p50 / p99), {:.1} B/s + {:.1} of look-ups, new address known \
             {} of {}, {:.1} CPU s",
            self.scenario.name(),
            score.right,
            score.asked,
            score.success() * 100.0,
            score.missing,
            score.stale,
            score.invented,
            rtts(50),
            rtts(99),
            rtt_us / 1e3,
            self.bytes_per_s,
            self.lookup_bytes_per_s,
            self.moved.1,
            self.moved.0,
            self.cpu_s,
        );
        if self.meetings.0 > 0 {
            text += &format!(
                "\n  behind NATs met {} of {}, {} / {} ms (p50 / p99)",
                self.meetings.1,
                self.meetings.0,
                percentile(&self.meetings_us, 50) / 1000,
                percentile(&self.meetings_us, 99) / 1000,
            );
        }
        if self.victim.0 > 0 {
            let (asked, right) = self.victim;
            text += &format!("\n  whom liars make vanish found {right} of {asked}");
        }
        if let Some(seen) = &self.watched {
            text += &format!(
                "\n  revoked {} of {} who deny what they promised, unused {} of {} who are silent, \
                 falsely revoked {} ({} lost power), passed over falsely {}; {} pairs, {} gets, {} \
                 statements",
                seen.revoked,
                seen.deniers,
                seen.unused,
                seen.droppers,
                seen.falsely,
                seen.power_cuts,
                seen.passed_over,
                seen.pairs,
                seen.gets,
                seen.statements,
            );
        }
        let (members, listed) = self.members();
        text += &format!(
            "\n  members {members}, listed where they are {listed}, by {} / {} others (p1 / p50)",
            percentile(&self.listed_by, 1),
            percentile(&self.listed_by, 50),
        );
        text += &format!("\n  busiest router {} datagrams/s; bytes/s:", self.busiest);
        for (kind, rate) in self.kinds.iter().take(KINDS_TOLD) {
            text += &format!(" {kind} {rate:.1}");
        }
        for fault in &self.faults {
            text += &format!("\n  <- {fault}");
        }
        text
    }
}

impl Watched {
    fn json(self) -> Value {
        json!({
            "deniers": self.deniers,
            "deniers_revoked": self.revoked,
            "droppers": self.droppers,
            "droppers_unused": self.unused,
            "power_cuts": self.power_cuts,
            "falsely_revoked": self.falsely,
            "falsely_passed_over": self.passed_over,
            "pairs": self.pairs,
            "gets": self.gets,
            "statements": self.statements,
        })
    }
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}
