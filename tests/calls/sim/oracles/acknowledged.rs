//! Every 2xx to an INVITE is acknowledged: by each phone that heard one, towards each phone that
//! gave one, and by each adapter that the server sent one.

use crate::sim::evidence::{Evidence, Seen};
use std::collections::BTreeSet;
use std::net::IpAddr;

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut faults = BTreeSet::new();
    let phones: Vec<IpAddr> = evidence.ends.iter().map(|end| end.ip).collect();
    for success in evidence.seen.iter().filter(|seen| seen.is_success()) {
        let giver = phones.iter().position(|phone| *phone == success.from.ip());
        if giver.is_some_and(|phone| evidence.is_cut_off(phone)) {
            continue;
        }
        let given = giver.is_some();
        let taken = !success.lost && success.to != evidence.server;
        let taken = taken && !evidence.is_forgotten(success);
        if given && !acknowledged(evidence, success, true) {
            faults.insert(format!("{} gets no ACK of {}", success.from, name(success)));
        }
        if taken && !given && !acknowledged(evidence, success, false) {
            faults.insert(format!("{} sends no ACK of {}", success.to, name(success)));
        }
    }
    faults.into_iter().collect()
}

fn name(success: &Seen) -> String {
    format!("{} {}", success.msg.one("Call-ID"), success.msg.one("CSeq"))
}

/// Whether the ACK of this 2xx was sent, and where `arrived` reached who gave it.
fn acknowledged(evidence: &Evidence, success: &Seen, arrived: bool) -> bool {
    let key = |seen: &Seen| {
        (seen.msg.one("Call-ID").to_owned(), seen.msg.tag("To").to_owned(), seen.msg.cseq())
    };
    let wanted = key(success);
    evidence.seen.iter().any(|seen| {
        let way = match arrived {
            true => seen.to.ip() == success.from.ip() && !seen.lost,
            false => seen.from == success.to,
        };
        seen.msg.is("ACK") && way && key(seen) == wanted
    })
}
