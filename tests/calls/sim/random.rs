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
    let mut failed = Vec::new();
    for seed in (0..known).chain(first..first + new) {
        let plan = Plan::random(seed);
        let faults = faults(&plan);
        if !faults.is_empty() {
            failed.push((plan, faults));
        }
    }
    report("random_legs", known + new, &failed);
}
