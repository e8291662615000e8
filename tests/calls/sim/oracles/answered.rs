//! Every CANCEL and every BYE that reached somebody was answered there, and who sent it heard so.

use crate::sim::evidence::{Evidence, Seen};
use std::collections::BTreeSet;

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let asked = |seen: &&Seen| !seen.lost && (seen.msg.is("CANCEL") || seen.msg.is("BYE"));
    let mut faults = BTreeSet::new();
    for request in evidence.seen.iter().filter(asked) {
        let answers = |seen: &&Seen| {
            seen.msg.status() >= 200
                && (seen.from, seen.to) == (request.to, request.from)
                && seen.msg.method() == request.msg.method()
                && seen.branch() == request.branch()
        };
        let answers: Vec<&Seen> = evidence.seen.iter().filter(answers).collect();
        let heard = answers.iter().any(|answer| !answer.lost);
        // Who has failed hears nothing, and says nothing.
        let server = [request.from, request.to].contains(&evidence.server);
        let excused = server && evidence.failed.is_some();
        if !heard && !(excused && (!answers.is_empty() || request.to == evidence.server)) {
            let (from, to, line) = (request.from, request.to, request.msg.line());
            faults.insert(format!("{from} to {to}: {line}, {} answers", answers.len()));
        }
    }
    faults.into_iter().collect()
}
