//! Thousands of routers in one process: the very [`crate::overlay::Overlay`] that runs on each,
//! over virtual time and an Internet that delays, loses, repeats and reorders.
//!
//! One seed decides everything. Events of the same microsecond are ordered by who caused them, so
//! the number of threads changes nothing, and neither does what else runs: the hash over all
//! events ([`Summary::event_hash`]) is the same for the same seed. A router is woken at its own
//! deadlines only. The network begins warm, as after hours; then come the phases of [`Scenario`].
//! What is right is judged by what the simulator itself knows, never by what an adapter says.
//!
//! | module | what it holds |
//! |---|---|
//! | `dice` | chance, a stream for each router and purpose |
//! | `queue` | what happens when |
//! | `address`, `link`, `packet` | the Internet: pools, delays and losses, datagrams |
//! | `router`, `truth` | one router; what is so, as its user knows it |
//! | `reached` | to whom it may have proven its address |
//! | `shard`, `carry`, `acts`, `told` | a thread's routers: what they meet, send, do and tell |
//! | `network`, `population`, `provider` | all of them; who they are, who certifies them |
//! | `scenario` | what they are put through |
//! | `meet`, `dialect` | callees behind NATs; two wire versions |
//! | `attack`, `liar` | hostile routers; members that lie |
//! | `watch` | the CoSIP server that finds liars out |
//! | `fault` | what may be wrong, to see the oracles notice |
//! | `verdict`, `tally`, `measure` | which answers were right; counts; figures of a phase |
//! | `rehearsal` | what real processes are put through, too |
//! | `report`, `plot`, `progress` | what is written and shown |

mod acts;
mod address;
mod attack;
mod carry;
mod dialect;
mod dice;
mod fault;
mod liar;
mod link;
mod measure;
mod meet;
mod network;
mod packet;
mod plot;
mod population;
mod progress;
mod provider;
mod queue;
mod reached;
mod rehearsal;
mod report;
mod router;
mod scenario;
mod shard;
mod tally;
#[cfg(test)]
mod tests;
mod told;
mod truth;
mod verdict;
mod watch;

pub use fault::Fault;
pub use link::Links;
pub use measure::{Measured, Score};
pub(in crate::lab) use packet::{LOOKUP_KINDS, kind_name};
pub use population::Population;
pub(in crate::lab) use rehearsal::rehearse;
pub use report::{Summary, write};
pub use scenario::Scenario;
pub(in crate::lab) use truth::{AORS, NOBODYS};
pub use watch::Watched;

use crate::time::Duration;
use network::{Network, PUBLISHING_US};
use progress::Progress;
use std::path::PathBuf;
use watch::Watch;

const MINUTE_US: u64 = 60_000_000;
/// After publishing, and after each phase, so much time passes before the next: look-ups end.
const REST_US: u64 = 10_000_000;

/// How long clients, all at once, have for joining.
const JOINING_US: u64 = 3 * MINUTE_US;

/// What is to be simulated.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many routers.
    pub routers: u32,
    /// What decides everything.
    pub seed: u64,
    /// In how many /24s of IPv4 they are, as many in each. A usual one has room for twice
    /// its routers.
    pub nets: Option<u32>,
    /// What is between them.
    pub links: Links,
    /// The phases, in order.
    pub scenarios: Vec<Scenario>,
    /// Whether each begins in a network of its own, as after hours; else one follows the other in
    /// the same one, whatever state that is in.
    pub fresh: bool,
    /// How long each lasts, where not as long as usual.
    pub minutes: Option<u64>,
    /// Whether members have IPv6 alone, who have IPv4 alone otherwise; in scenarios with networks
    /// of their own that is as ever.
    pub ipv6: bool,
    /// Memory for each table of members.
    pub table_kb: u32,
    /// Whether a hash stands in for signatures, and one for the many that blind an AOR, as it does
    /// for thirty thousand routers and more.
    pub stand_in: bool,
    /// Whether a provider certifies all routers, and its certificates are asked for.
    pub certified: bool,
    /// Threads.
    pub threads: u32,
    /// Where the results go.
    pub out: PathBuf,
    /// What is wrong with the world.
    pub fault: Option<Fault>,
    /// Whether each minute is told.
    pub tell: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            routers: 1000,
            seed: 1,
            nets: None,
            links: Links::Internet,
            scenarios: Vec::from(Scenario::WHOLE),
            fresh: false,
            minutes: None,
            ipv6: false,
            table_kb: 256,
            stand_in: false,
            certified: false,
            threads: 2,
            out: PathBuf::from("target/sim"),
            fault: None,
            tell: true,
        }
    }
}

/// Simulates.
pub fn run(options: &Options) -> Summary {
    let mut progress = Progress::new(options.tell);
    progress.say(&format!("{} routers, SEED={}", options.routers, options.seed));
    let (mut phases, mut event_hash, mut memory) = (Vec::new(), 0, 0);
    let of = |scenario: &Scenario| match scenario.population() {
        Population::Members if options.ipv6 => Population::Ipv6Members,
        population => population,
    };
    let follows = |one: &Scenario, next: &Scenario| !options.fresh && of(one) == of(next);
    for scenarios in options.scenarios.chunk_by(follows) {
        let mut network = ready(options, of(&scenarios[0]), &mut progress);
        for scenario in scenarios {
            let minutes = options.minutes.unwrap_or_else(|| scenario.minutes());
            phases.push(play(&mut network, *scenario, minutes * MINUTE_US, &mut progress));
        }
        event_hash = dice::mix(event_hash ^ network.event_hash());
        memory = progress::resident_bytes().max(memory);
    }
    progress.end();
    Summary {
        routers: options.routers,
        seed: options.seed,
        table_kb: options.table_kb,
        event_hash,
        phases,
        memory_per_router: memory / u64::from(options.routers),
    }
}

/// A network in which all have joined and published what they have.
fn ready(options: &Options, population: Population, progress: &mut Progress) -> Network {
    let mut network = Network::new(options, population);
    if matches!(population, Population::Clients | Population::Families) {
        progress.say("clients join");
        network.run_until(network.now + JOINING_US);
    }
    progress.say("all publish what they have");
    network.plan_publishing();
    network.run_until(network.now + PUBLISHING_US + REST_US);
    network.take_tally();
    network.take_busiest();
    network
}

fn play(
    network: &mut Network,
    scenario: Scenario,
    length: u64,
    progress: &mut Progress,
) -> Measured {
    let (from, cpu, counted) = (network.now, progress::cpu(), network.counters());
    network.forget_the_past();
    scenario::plan(network, scenario, length);
    let end = from + length;
    let mut watch = (scenario == Scenario::Watched).then(|| Watch::new(network));
    while network.now < end {
        let next = (network.now + MINUTE_US).min(end);
        while let Some(watch) = watch.as_mut().filter(|_| network.now < next) {
            watch.step(network);
            network.run_until((network.now + watch::PACE_US).min(next));
        }
        network.run_until(next);
        let done = Duration::from_micros(next - from);
        progress.minute(network, scenario, done, Duration::from_micros(length), cpu);
    }
    let watched = watch.map(|watch| watch.figures(network));
    network.calm();
    network.run_until(end + REST_US);
    let cpu_s = (progress::cpu() - cpu).as_secs_f64();
    let mut measured = Measured::of(network, scenario, (from, length), &counted, cpu_s);
    measured.take_watched(watched);
    progress.say(&measured.line());
    measured
}
