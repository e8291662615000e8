//! When all is over, nobody holds anything of it: no call, exchange, port, look-up, transaction.

use crate::sim::evidence::Evidence;

/// A probe or a REGISTER to the server, and the last copy of one.
const UPKEEP: u64 = 2;

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut faults = Vec::new();
    for (what, count) in &evidence.held {
        let allowed = if what.ends_with("transactions") { UPKEEP } else { 0 };
        if *count > allowed {
            faults.push(format!("{what}: {count}"));
        }
    }
    faults
}
