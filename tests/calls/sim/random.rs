//! Calls of which nothing is known but their seed.

use super::plan::Plan;
use super::{faults, fresh, number, replay, report};

/// How many are played where nobody says otherwise, beside those that were wrong once: the same in
/// each run, so that a change is blamed for its own faults. `make calls` plays as many as it is
/// told, with seeds that no run had before.
const CALLS: u64 = 860;
const FIRST: u64 = 1_000_000;

/// Seeds that have found something wrong.
const ONCE_WRONG: [u64; 50] = [
    1243, 1705, 2016, 2351, 2360, 3066, 3390, 3530, 3895, 4232, 4852, 421758275, 421758411,
    421759039, 421759208, 635269859, 635269874, 635270397, 635270618, 635271208, 635271680,
    635271731, 635272046, 635273136, 635274015, 635274109, 635274137, 635274320, 4057831421,
    4057831587, 4057831864, 4057832546, 4057832791, 4057833153, 4057833523, 4057834076, 4057834577,
    2205689484, 635273239, 1746414786, 3284219447, 3921044580, 3920045860, 1859800201, 222991019,
    1897717163, 1693171480, 2877315643, 2914054472, 415149000,
];

#[test]
fn calls_with_random_legs_ring_once_and_reach_whom_they_are_for() {
    if let Some(seed) = number("COSIP_SEED") {
        return replay(&Plan::random(seed));
    }
    let (first, new) = match number("COSIP_CALLS") {
        Some(calls) => (fresh(), calls),
        None => (FIRST, CALLS),
    };
    let mut failed = Vec::new();
    for seed in ONCE_WRONG.into_iter().chain(first..first + new) {
        let plan = Plan::random(seed);
        let faults = faults(&plan);
        if !faults.is_empty() {
            failed.push((plan, faults));
        }
    }
    report("random_legs", ONCE_WRONG.len() as u64 + new, &failed);
}
