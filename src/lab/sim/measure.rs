//! What a phase showed, in figures.

use super::network::Network;
use super::packet::KINDS;
use super::population::Population;
use super::queue::Act;
use super::scenario::Scenario;
use super::shard::Shard;
use super::tally::Tally;
use super::truth::Asked;
use super::verdict::{LOOKUP_MAX, Verdict, broken_limits, judge, knows_address, listings};
use super::watch::Watched;

/// Faults that are told one by one.
const TOLD_MAX: usize = 20;
/// Whoever is not met within this time is not called.
const MEETING_MAX_US: u64 = 3_000_000;
/// Which share of those who are to be met has to be, in millionths: some move just then.
const MET_PPM: u64 = 990_000;
/// Of more datagrams in a second a small router would drop some.
const BUSIEST_MAX: u32 = 1000;
/// So many of a hundred liars have to be found out.
const FOUND_PERCENT: u64 = 95;
/// The length of a step of the curve of success over time.
const STEP_US: u64 = 10_000_000;

/// So many look-ups that may fail are sample enough to judge a share by.
const SAMPLE: u64 = 10;

/// How many of `asked` look-ups may fail where `wanted` of a million are to be right. A few hundred
/// do not show one failure in a thousand: where all twelve holders of a record vanish (once in
/// 4,096 if half of all do), everybody who asks for it in the same minute fails. Of a small
/// sample as many more may fail as four standard deviations.
pub(super) fn may_fail(asked: u64, wanted: u64) -> u64 {
    let expected = asked * (1_000_000 - wanted);
    let spread = (16 * expected * 1_000_000).isqrt();
    (if expected < SAMPLE * 1_000_000 { expected + spread } else { expected }) / 1_000_000
}

/// Look-ups, and how many of them went how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// All that count.
    pub asked: u64,
    /// Answered right.
    pub right: u64,
    /// Nothing found, though there is a record.
    pub missing: u64,
    /// An old record found.
    pub stale: u64,
    /// A record found where there is none.
    pub invented: u64,
    /// Without an end.
    pub endless: u64,
}

impl Score {
    fn count(&mut self, verdict: Verdict) {
        self.asked += 1;
        *match verdict {
            Verdict::Right => &mut self.right,
            Verdict::Missing => &mut self.missing,
            Verdict::Stale => &mut self.stale,
            Verdict::Invented => &mut self.invented,
            Verdict::Endless => &mut self.endless,
        } += 1;
    }

    /// The share that was answered right.
    pub fn success(&self) -> f64 {
        if self.asked == 0 { 0.0 } else { self.right as f64 / self.asked as f64 }
    }
}

/// What a phase showed.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Which.
    pub scenario: Scenario,
    /// How long it was, in minutes.
    pub minutes: u64,
    /// Its look-ups, from when on they count.
    pub score: Score,
    /// Those of before.
    pub during: Score,
    /// Those of the first minute.
    pub first_minute: Score,
    /// Right answers for each ten seconds: asked, right.
    pub curve: Vec<(u64, u64)>,
    /// How long records took that were found, in microseconds, sorted.
    pub latencies_us: Vec<u32>,
    /// Members asked one after another until they came, sorted.
    pub hops: Vec<u32>,
    /// How long it took to know that there is none, sorted.
    pub absent_us: Vec<u32>,
    /// Callees that had to be met before they could be called: all, and those that were.
    pub meetings: (u64, u64),
    /// How long meeting them took, in microseconds, sorted.
    pub meetings_us: Vec<u32>,
    /// Datagrams that the busiest router got in one second.
    pub busiest: u32,
    /// Probes of a new address: all, and those that found it.
    pub moved: (u64, u64),
    /// Look-ups of the one whom liars make vanish: all, and those that found him.
    pub victim: (u64, u64),
    /// What a CoSIP server's watch has brought, where there is one.
    pub watched: Option<Watched>,
    /// At the end: how many others list each member where it is, sorted.
    pub listed_by: Vec<u32>,
    /// The median round-trip time of links.
    pub rtt_us: u64,
    /// Sent and received by a router each second, headers counted, without look-ups.
    pub bytes_per_s: f64,
    /// The same of look-ups.
    pub lookup_bytes_per_s: f64,
    /// The bytes of both, by the kind of datagram, the most first.
    pub kinds: Vec<(&'static str, f64)>,
    /// What the adapters counted in it, all together, where that is not zero.
    pub counters: Vec<(&'static str, u64)>,
    /// What a router's hints and members take at the end, on average.
    pub table_bytes: u64,
    /// Datagrams that arrived.
    pub datagrams: u64,
    /// Wake-ups of adapters.
    pub wakes: u64,
    /// What may never be.
    pub faults: Vec<String>,
    /// Seconds of the processors that it took.
    pub cpu_s: f64,
}

impl Measured {
    /// Looks at a phase that began at `from` and is over; `before` is what was counted until then.
    pub(super) fn of(
        network: &mut Network,
        scenario: Scenario,
        (from, length): (u64, u64),
        before: &[(&'static str, u64)],
        cpu_s: f64,
    ) -> Self {
        let tally = network.take_tally();
        let lived_s = tally.lived_us as f64 / 1e6;
        let mut measured = Self {
            scenario,
            minutes: length / 60_000_000,
            score: Score::default(),
            during: Score::default(),
            first_minute: Score::default(),
            curve: vec![(0, 0); length.div_ceil(STEP_US) as usize],
            latencies_us: Vec::new(),
            hops: Vec::new(),
            absent_us: Vec::new(),
            meetings: (0, 0),
            meetings_us: Vec::new(),
            busiest: network.take_busiest(),
            moved: (0, 0),
            victim: (0, 0),
            watched: None,
            listed_by: listings(network),
            rtt_us: network.median_rtt_us(),
            bytes_per_s: tally.bytes as f64 / lived_s,
            lookup_bytes_per_s: tally.lookup_bytes as f64 / lived_s,
            kinds: kinds(&tally, lived_s),
            counters: since(before, network.counters()),
            table_bytes: network.table_bytes(),
            datagrams: tally.datagrams,
            wakes: tally.wakes,
            faults: Vec::new(),
            cpu_s,
        };
        let logs: Vec<Vec<Asked>> = network.shards.iter_mut().map(Shard::take_log).collect();
        for asked in logs.iter().flatten() {
            measured.take(network, asked, from);
        }
        measured.latencies_us.sort_unstable();
        measured.hops.sort_unstable();
        measured.absent_us.sort_unstable();
        measured.meetings_us.sort_unstable();
        measured.find_faults(network, &tally);
        measured
    }

    /// What a watch brought, and whether that is enough: of a whole phase, among enough liars.
    pub(super) fn take_watched(&mut self, watched: Option<Watched>) {
        self.watched = watched;
        let Some(seen) = watched else { return };
        if seen.falsely > 0 {
            self.fault(format!("{} honest members revoked", seen.falsely));
        }
        let whole = self.minutes >= self.scenario.minutes();
        let shares =
            [("revoked", seen.revoked, seen.deniers), ("unused", seen.unused, seen.droppers)];
        for (what, found, all) in shares {
            if whole && found * 100 < all * FOUND_PERCENT {
                self.fault(format!("{found} of {all} liars {what}"));
            }
        }
    }

    fn take(&mut self, network: &Network, asked: &Asked, from: u64) {
        let Some(verdict) = judge(network, asked) else { return };
        let took_us = asked.over - asked.at;
        if verdict != Verdict::Endless && took_us > LOOKUP_MAX.as_micros() as u64 {
            self.fault(format!("a look-up of {} ms", took_us / 1000));
        }
        if let Act::Probe(_) = asked.act {
            self.moved.0 += 1;
            self.moved.1 += u64::from(knows_address(network, asked));
            return;
        }
        if let Act::AskVictim(_) = asked.act {
            self.victim.0 += 1;
            self.victim.1 += u64::from(verdict == Verdict::Right);
            return;
        }
        let since_s = (asked.at - from) / 1_000_000;
        if since_s < 60 {
            self.first_minute.count(verdict);
        }
        if let Some((all, right)) = self.curve.get_mut(((asked.at - from) / STEP_US) as usize) {
            *all += 1;
            *right += u64::from(verdict == Verdict::Right);
        }
        if since_s < self.scenario.counts_from_s() {
            return self.during.count(verdict);
        }
        self.score.count(verdict);
        self.take_meeting(asked);
        match asked.answer {
            Some(answer) => {
                self.latencies_us.push((answer.at - asked.at) as u32);
                self.hops.push(u32::from(answer.hops));
            }
            None if verdict == Verdict::Right => self.absent_us.push(took_us as u32),
            None => {}
        }
    }

    fn take_meeting(&mut self, asked: &Asked) {
        if asked.meets {
            let took_us = asked.met.saturating_sub(asked.at);
            let met = asked.met > 0 && took_us <= MEETING_MAX_US;
            self.meetings.0 += 1;
            self.meetings.1 += u64::from(met);
            self.meetings_us.extend(met.then_some(took_us as u32));
        }
    }

    fn find_faults(&mut self, network: &Network, tally: &Tally) {
        if tally.amplified > 0 {
            let count = tally.amplified;
            self.fault(format!("{count} answers were larger than requests that proved nothing"));
        }
        if tally.swallowed > 0 {
            self.fault(format!("{} datagrams taken that should be refused", tally.swallowed));
        }
        if self.busiest > BUSIEST_MAX && self.scenario != Scenario::Hostile {
            self.fault(format!("{} datagrams for one router in a second", self.busiest));
        }
        let (wanted, met) = self.meetings;
        if wanted - met > may_fail(wanted, MET_PPM) {
            self.fault(format!("{met} of {wanted} callees behind NATs met"));
        }
        self.find_dear(network.world.common.population);
        self.find_idle();
        let Score { asked, right, endless, .. } = self.score;
        if endless + self.during.endless > 0 {
            self.fault(format!("{} look-ups did not end", endless + self.during.endless));
        }
        let wanted = self.scenario.right_ppm();
        if asked == 0 || asked - right > may_fail(asked, wanted) {
            self.fault(format!("{right} of {asked} look-ups right, {wanted} of a million wanted"));
        }
        let (asked, right) = self.victim;
        if asked - right > may_fail(asked, wanted) {
            self.fault(format!("{right} of {asked} found whom liars make vanish"));
        }
        for broken in broken_limits(network) {
            self.fault(broken);
        }
    }

    /// What a router sends and receives is more than is planned for it. What goes in waves of a
    /// minute, and what was begun before, shows in shorter phases alone.
    fn find_dear(&mut self, population: Population) {
        let six = usize::from(population == Population::Ipv6Members);
        let budget = self.scenario.bytes_per_s_max().map(|families| families[six]);
        let whole = self.minutes >= self.scenario.minutes();
        if let Some(budget) = budget.filter(|budget| whole && self.bytes_per_s > f64::from(*budget))
        {
            self.fault(format!("{:.1} B/s of a router, {budget} planned", self.bytes_per_s));
        }
    }

    /// What the scenario is for did not happen.
    fn find_idle(&mut self) {
        let counted = |what| self.counters.iter().any(|(name, _)| *name == what);
        let idle = match self.scenario {
            Scenario::Upgrade => !counted("unknown_version"),
            Scenario::Hostile => !counted("unauthentic"),
            Scenario::Clients | Scenario::Families => self.meetings.0 == 0,
            Scenario::Liars | Scenario::ManyLiars => self.victim.0 == 0,
            Scenario::Watched => !counted("stated"),
            _ => false,
        };
        if idle {
            self.fault("what the scenario is for did not happen".to_owned());
        }
    }

    fn fault(&mut self, what: String) {
        if self.faults.len() < TOLD_MAX {
            self.faults.push(what);
        }
    }
}

impl Measured {
    /// Members at the end, and those of them whom others list.
    pub fn members(&self) -> (usize, usize) {
        let alone = self.listed_by.partition_point(|by| *by == 0);
        (self.listed_by.len(), self.listed_by.len() - alone)
    }
}

/// What was counted since `before`.
fn since(
    before: &[(&'static str, u64)],
    now: Vec<(&'static str, u64)>,
) -> Vec<(&'static str, u64)> {
    let pairs = now.into_iter().zip(before);
    let more = pairs.map(|((name, now), (_, before))| (name, now - *before));
    more.filter(|(_, count)| *count > 0).collect()
}

fn kinds(tally: &Tally, lived_s: f64) -> Vec<(&'static str, f64)> {
    let rates = KINDS.iter().zip(tally.kind_bytes);
    let mut rates: Vec<_> = rates.map(|(name, bytes)| (*name, bytes as f64 / lived_s)).collect();
    rates.retain(|(_, rate)| *rate > 0.0);
    rates.sort_by(|a, b| b.1.total_cmp(&a.1));
    rates
}

/// The value below which `percent` of all are; 0 where there is none.
pub(super) fn percentile(sorted: &[u32], percent: usize) -> u32 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or(0)
}
