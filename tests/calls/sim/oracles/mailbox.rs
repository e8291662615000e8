//! Nobody reaches a mailbox while the phone rings, nor after it was answered. The house may give
//! up on a phone that rings for too long; then the phone stops.

use crate::sim::evidence::{Evidence, Seen};
use crate::sim::plan::BOB;
use cosip::time::{Duration, Instant};

/// A phone that is told at the same time is told so within this.
const RACE: Duration = Duration::from_millis(3_000);

/// What a phone does with a caller's session at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phone {
    Quiet,
    Rings,
    Answered(Instant),
}

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut faults = Vec::new();
    for caller in &evidence.plan.callers {
        let Some(call) = evidence.call(caller.phone) else { continue };
        let at = evidence.ends[caller.phone].ip;
        let mailbox = |seen: &&Seen| {
            let session = seen.session();
            seen.is_success()
                && seen.msg.one("Call-ID") == call.call_id
                && evidence.mailboxes.iter().any(|(own, _)| Some(*own) == session)
        };
        let Some(reached) = evidence.reached(at).find(mailbox) else { continue };
        let session = reached.session();
        let known = evidence.mailboxes.iter().find(|(own, _)| Some(*own) == session);
        let why = known.map_or("", |(_, why)| why.as_str());
        let then = phone(evidence, call.session, reached.at);
        let later = phone(evidence, call.session, reached.at + RACE);
        let gave_up = why == "no answer";
        let wrong = match (then, later) {
            (Phone::Answered(since), _) => !(gave_up && reached.at.since(since) < RACE),
            (_, Phone::Answered(_)) => !gave_up,
            (Phone::Rings, Phone::Rings) => true,
            (Phone::Rings, Phone::Quiet) => !gave_up,
            (Phone::Quiet, _) => false,
        };
        if wrong {
            let call = call.session;
            faults.push(format!("session {call} got one ({why}) while the phone: {then:?}"));
        }
    }
    faults
}

/// What Bob's phone does with the session at this instant.
fn phone(evidence: &Evidence, session: u32, now: Instant) -> Phone {
    let bob = evidence.ends[BOB].ip;
    let mut state = Phone::Quiet;
    let mut call = None;
    for seen in evidence.seen.iter().take_while(|seen| seen.at <= now) {
        if seen.to.ip() == bob
            && !seen.lost
            && seen.is_first_invite()
            && seen.session() == Some(session)
        {
            call = Some(seen.call());
        }
        if seen.from.ip() != bob || Some(seen.call()) != call || seen.msg.method() != "INVITE" {
            continue;
        }
        state = match (seen.msg.status(), state) {
            (101..=199, Phone::Quiet) => Phone::Rings,
            (200..=299, Phone::Quiet | Phone::Rings) => Phone::Answered(seen.at),
            (300..=699, _) => Phone::Quiet,
            _ => state,
        };
    }
    state
}
