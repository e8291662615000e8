//! Calls of which nothing is known but their seed.

use super::plan::Plan;
use super::{faults, fresh, number, replay, report};

/// How many are played where nobody says otherwise: the same in each run. `make calls` plays more,
/// half of them with seeds that no run had before.
const CALLS: u64 = 900;

#[test]
fn calls_with_random_legs_ring_once_and_reach_whom_they_are_for() {
    if let Some(seed) = number("COSIP_SEED") {
        return replay(&Plan::random(seed));
    }
    let (known, new) = match number("COSIP_CALLS") {
        Some(calls) => (calls / 2, calls.div_ceil(2)),
        None => (CALLS, 0),
    };
    let first = fresh();
    let (mut failed, mut ambiguous) = (Vec::new(), 0);
    for seed in (0..known).chain(first..first + new) {
        let plan = Plan::random(seed);
        let mut faults = faults(&plan);
        if plan.is_ambiguous() {
            // Counted apart, and what follows of it: two legs of one call are two answers.
            let twice = |fault: &String| fault.starts_with("one ring");
            ambiguous += u32::from(faults.iter().any(twice));
            if faults.iter().any(twice) {
                faults.clear();
            }
        }
        if !faults.is_empty() {
            failed.push((format!("{plan:?}"), faults));
        }
    }
    eprintln!("{ambiguous} of {} calls: several withheld callers rang twice", known + new);
    report((known + new) as usize, &failed);
}
