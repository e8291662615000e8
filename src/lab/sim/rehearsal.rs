//! The plan of a swarm of real processes, played by the simulator: what they should show.
//!
//! Links are even and lose nothing, all routers are new, and each does what the plan has for it
//! at the same moment as the real one.

use super::network::Network;
use super::packet::KINDS;
use super::population::Population;
use super::queue::Act;
use super::tally::Tally;
use super::truth::{AORS, Asked};
use super::verdict::{Verdict, judge};
use super::{Links, Options};
use crate::lab::swarm::figures::{Answers, Figures, Sent};
use crate::lab::swarm::plan::{Ask, Plan, aors_of};
use crate::time::Duration;

/// Plays a plan over links of so many milliseconds one way.
pub(in crate::lab) fn rehearse(plan: &Plan, delay_ms: u64, seed: u64) -> Figures {
    let options = Options {
        routers: plan.size.routers,
        seed,
        links: Links::even_ms(delay_ms),
        threads: 1,
        tell: false,
        ..Options::default()
    };
    let mut network = Network::new(&options, Population::Nobody);
    // The one router that there is has been there for hours: it begins anew with the others.
    network.plan(network.now, 0, Act::Die);
    let begin = network.now + 1;
    let when = |at: Duration| begin + at.as_micros() as u64;
    for router in 0..plan.size.routers {
        network.plan(when(plan.starts(router)), router, Act::Start);
        for aor in aors_of(router) {
            network.plan(when(plan.registers(router)), router, Act::Publish((aor % AORS) as u8));
        }
    }
    network.run_until(when(plan.idle_from()));
    let joining = sent(&network.take_tally(), plan.idle_from());
    network.run_until(when(plan.idle_until()));
    let idle = sent(&network.take_tally(), plan.size.idle);
    ask(&mut network, &plan.asks, when);
    network.run_until(when(plan.vanish_at()));
    let asking = sent(&network.take_tally(), plan.vanish_at() - plan.idle_until());
    let settled = answers(&mut network);
    let counters = network.counters().into_iter().map(|(name, n)| (name.to_owned(), n)).collect();
    for victim in &plan.victims {
        network.plan(network.now, *victim, Act::Die);
    }
    ask(&mut network, &plan.again, when);
    network.run_until(when(plan.ends()));
    Figures { joining, idle, asking, settled, halved: answers(&mut network), counters }
}

fn ask(network: &mut Network, asks: &[Ask], when: impl Fn(Duration) -> u64) {
    for ask in asks {
        network.plan(when(ask.at) + 1, ask.router, Act::Ask(ask.aor));
    }
}

/// What was sent: half of what was sent and received, for nothing is lost.
fn sent(tally: &Tally, length: Duration) -> Sent {
    let kinds = KINDS.iter().zip(tally.kind_bytes);
    Sent {
        seconds: length.as_secs_f64(),
        datagrams: tally.datagrams,
        kinds: kinds.map(|(name, bytes)| (*name, bytes / 2)).collect(),
    }
}

fn answers(network: &mut Network) -> Answers {
    let logs: Vec<Vec<Asked>> = network.shards.iter_mut().map(|it| it.take_log()).collect();
    let mut answers = Answers::default();
    for asked in logs.iter().flatten() {
        let Some(verdict) = judge(network, asked) else { continue };
        let found = asked.answer.map(|answer| (answer.at - asked.at) as u32);
        let took_us = asked.over.saturating_sub(asked.at) as u32;
        answers.take((verdict == Verdict::Right, found), took_us);
    }
    answers
}
