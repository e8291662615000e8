//! The server fails at every message of a call, in every way: the call is set up, goes on and
//! ends all the same.

use super::plan::{Failure, Plan};
use super::{faults, fresh, number, replay, report};
use cosip::time::Duration;

/// More messages than any call has at the server; those beyond its last fail a call that is over.
const MESSAGES_MAX: u64 = 26;
const WAYS: u64 = 4;
/// How often all of it is played where nobody says otherwise: with the same seeds in each run, so
/// that a change is blamed for its own faults. `make calls` plays seeds that no run had before.
const ROUNDS: u64 = 8;

/// The ways to fail; how long the last two take is drawn from the seed.
fn ways(seed: u64) -> [Failure; WAYS as usize] {
    let ms = 100 + seed.wrapping_mul(7_919) % 8_000;
    let hang = Duration::from_millis(1_000 + ms);
    let gone = Duration::from_millis(ms);
    [Failure::Silent, Failure::Refusing, Failure::Frozen(hang), Failure::Restarted(gone)]
}

/// The plan of a seed, which names message and way.
fn plan(seed: u64) -> Plan {
    let (after, way) = (seed % 1_000 / 10, seed % 10);
    Plan::failing(seed, ways(seed / 1_000)[(way % WAYS) as usize], after as u32)
}

/// Seeds that no run had before.
fn unseen(count: u64) -> std::ops::Range<u64> {
    let first = fresh();
    first..first + count
}

/// Every message, every way, with each of these seeds.
fn sweep(seeds: impl Iterator<Item = u64>) {
    let mut failed = Vec::new();
    let mut played = 0;
    for seed in seeds {
        for seed in (0..MESSAGES_MAX * 10).map(|place| seed * 1_000 + place) {
            if seed % 10 >= WAYS {
                continue;
            }
            let plan = plan(seed);
            let faults = faults(&plan);
            played += 1;
            if !faults.is_empty() {
                failed.push((plan, faults));
            }
        }
    }
    report("whatever_message", played, &failed);
}

/// A hasty server acknowledges Bob's answer by itself and dies; the overlay then loses that answer.
#[test]
fn an_answer_that_the_overlay_loses_after_a_hasty_server_died_is_repeated() {
    let plan = plan(635_523_645_113);
    let faults = faults(&plan);
    assert!(faults.is_empty(), "{plan:?}\n{}", faults.join("\n"));
}

/// A hasty server tells the caller late, and the overlay that was asked instead tells it nothing.
#[test]
fn an_answer_that_comes_late_and_over_the_overlay_too_is_carried_by_one_way() {
    let plan = plan(3_026_217_529_190);
    let faults = faults(&plan);
    assert!(faults.is_empty(), "{plan:?}\n{}", faults.join("\n"));
}

#[test]
fn whatever_message_the_server_fails_at_no_call_is_lost() {
    match (number("COSIP_SEED"), number("COSIP_SWEEP")) {
        (Some(seed), _) => replay(&plan(seed)),
        (None, Some(rounds)) => sweep(unseen(rounds)),
        (None, None) => sweep(1..=ROUNDS),
    }
}
