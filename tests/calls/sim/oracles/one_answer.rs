//! One leg of a call is answered: the caller hears one answer, a phone gives one, and what else
//! the server accepted is ended.

use crate::sim::evidence::Evidence;
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    [heard(evidence), given(evidence), ended(evidence)].concat()
}

/// A caller's phone gets 2xx under one tag.
fn heard(evidence: &Evidence) -> Vec<String> {
    let mut faults = Vec::new();
    for end in &evidence.ends {
        let mut tags: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
        for success in evidence.reached(end.ip).filter(|seen| seen.is_success()) {
            tags.entry(success.call()).or_default().insert(success.msg.tag("To"));
        }
        for (call, tags) in tags.iter().filter(|(_, tags)| tags.len() > 1) {
            faults.push(format!("{} hears answers {tags:?} to {call:?}", end.ip));
        }
    }
    faults
}

/// A called phone answers one INVITE of a session.
fn given(evidence: &Evidence) -> Vec<String> {
    let mut faults = Vec::new();
    for end in &evidence.ends {
        let mut answered: BTreeMap<u32, BTreeSet<(&str, &str)>> = BTreeMap::new();
        for success in evidence.sent(end.ip).filter(|seen| seen.is_success()) {
            let invite = evidence
                .reached(end.ip)
                .find(|invite| invite.is_first_invite() && invite.call() == success.call());
            if let Some(session) = invite.and_then(|invite| invite.session()) {
                answered.entry(session).or_default().insert(success.call());
            }
        }
        for (session, calls) in answered.iter().filter(|(_, calls)| calls.len() > 1) {
            faults.push(format!("{} answers session {session} in {calls:?}", end.ip));
        }
    }
    faults
}

/// A 2xx of the server that no phone heard is followed by BYE.
fn ended(evidence: &Evidence) -> Vec<String> {
    let server = evidence.server;
    let mut faults = BTreeSet::new();
    for success in evidence.sent(server.ip()).filter(|seen| seen.is_success() && !seen.lost) {
        let dialog = (success.call().0, success.msg.tag("To"));
        let heard = evidence.ends.iter().any(|end| {
            let mut successes = evidence.reached(end.ip).filter(|seen| seen.is_success());
            successes.any(|seen| (seen.call().0, seen.msg.tag("To")) == dialog)
        });
        let bye = evidence.sent(success.to.ip()).any(|seen| {
            seen.msg.is("BYE") && (seen.msg.one("Call-ID"), seen.msg.tag("To")) == dialog
        });
        if !heard && !bye && !evidence.is_forgotten(success) {
            faults.insert(format!("{} leaves the server's answer {dialog:?} open", success.to));
        }
    }
    faults.into_iter().collect()
}
