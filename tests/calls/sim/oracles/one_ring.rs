//! A phone rings once for one call: no second INVITE of the same caller's session reaches it.

use crate::sim::evidence::Evidence;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut faults = Vec::new();
    for end in &evidence.ends {
        let mut rings: BTreeMap<u32, BTreeSet<(&str, &str)>> = BTreeMap::new();
        for invite in evidence.reached(end.ip).filter(|seen| seen.is_first_invite()) {
            if let Some(session) = invite.session() {
                rings.entry(session).or_default().insert(invite.call());
            }
        }
        for (session, calls) in rings.iter().filter(|(_, calls)| calls.len() > 1) {
            faults.push(format!("{} rings for session {session} as {calls:?}", end.ip));
        }
    }
    faults
}
