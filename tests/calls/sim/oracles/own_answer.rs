//! No caller is merged away: each reaches the phone itself, and talks with the end that it called.

use crate::sim::evidence::{Evidence, Seen};
use crate::sim::plan::{BOB, CAROL};
use std::collections::BTreeMap;

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut faults = Vec::new();
    let mut taken: BTreeMap<u32, u32> = BTreeMap::new();
    for caller in &evidence.plan.callers {
        let Some(call) = evidence.call(caller.phone) else { continue };
        let own = |seen: &&Seen| seen.msg.one("Call-ID") == call.call_id;
        let at = evidence.ends[caller.phone].ip;
        for success in evidence.reached(at).filter(own).filter(|seen| seen.is_success()) {
            let Some(answer) = success.session() else {
                faults.push(format!("session {} is answered without sound", call.session));
                continue;
            };
            let mailbox = evidence.mailboxes.iter().any(|(own, _)| *own == answer);
            if !mailbox && offered(evidence, answer) != Some(call.session) {
                faults.push(format!("session {} gets the answer {answer}", call.session));
            }
            if taken.insert(answer, call.session).is_some_and(|other| other != call.session) {
                faults.push(format!("two callers share the answer {answer}"));
            }
        }
        // A refusal that says what the phone would say comes from the phone, but for the 480 of one
        // that none of its INVITEs reached in time.
        let unheard = call.status == 480 && evidence.is_unheard(call.session);
        let said = matches!(call.status, 480 | 482 | 486 | 603) && !unheard;
        if said && !reached_a_phone(evidence, call.session) {
            faults.push(format!("session {} hears {} from nobody", call.session, call.status));
        }
    }
    faults
}

/// The session that a phone answered with `answer`.
fn offered(evidence: &Evidence, answer: u32) -> Option<u32> {
    for phone in [BOB, CAROL] {
        let at = evidence.ends[phone].ip;
        let given = |seen: &&Seen| seen.is_success() && seen.session() == Some(answer);
        let Some(success) = evidence.sent(at).find(given) else { continue };
        let same = |seen: &&Seen| seen.is_first_invite() && seen.call() == success.call();
        return evidence.reached(at).find(same)?.session();
    }
    None
}

fn reached_a_phone(evidence: &Evidence, session: u32) -> bool {
    [BOB, CAROL].into_iter().any(|phone| {
        let mut invites = evidence.reached(evidence.ends[phone].ip);
        invites.any(|seen| seen.is_first_invite() && seen.session() == Some(session))
    })
}
