//! Both ends agree: who is connected with whom, that they are, and that it is over.

use crate::sim::evidence::{End, Evidence};
use cosip::lab::phone::Report;

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let plan = &evidence.plan;
    if (0..evidence.ends.len()).any(|phone| evidence.is_cut_off(phone)) {
        return Vec::new();
    }
    let mut faults = Vec::new();
    let talking = |end: &End| standing(&end.talking);
    let callers: usize = plan.callers.iter().map(|c| talking(&evidence.ends[c.phone])).sum();
    let mailboxes = evidence.ends.iter().enumerate();
    let mailboxes: usize = mailboxes.map(|(phone, _)| with_mailbox(evidence, phone)).sum();
    let all: usize = evidence.ends.iter().map(talking).sum();
    // Each phone that talks talks with another one, or with the mailbox.
    if all != 2 * callers - mailboxes.min(callers) {
        faults
            .push(format!("{callers} callers, {mailboxes} of them in a mailbox, talk with {all}"));
    }
    for (phone, end) in evidence.ends.iter().enumerate() {
        let left = standing(&end.over);
        let excused = plan.bob_hangs_up && with_mailbox(evidence, phone) > 0;
        if left > 0 && !excused && !with_another(evidence) {
            faults.push(format!("{} still talks when all is over", end.ip));
        }
    }
    faults
}

/// How many calls stand.
fn standing(reports: &[Report]) -> usize {
    reports.iter().filter(|r| r.confirmed.is_some() && r.ended.is_none()).count()
}

/// How many calls of a phone are with a mailbox.
fn with_mailbox(evidence: &Evidence, phone: usize) -> usize {
    let calls = evidence.ends[phone].talking.iter().enumerate();
    calls
        .filter(|(_, r)| r.confirmed.is_some() && r.ended.is_none())
        .filter(|(call, _)| evidence.mailbox_listens(phone, *call))
        .count()
}

/// Who hangs up is Bob, and the caller was forwarded to somebody else.
fn with_another(evidence: &Evidence) -> bool {
    evidence.plan.bob_hangs_up && !evidence.forwards.is_empty()
}
