//! Where a call stands, both ends hear each other.

use crate::sim::evidence::{End, Evidence};

/// What arrives of a hundred packets where each is lost with some chance, twice over.
const SHARE_PERCENT: u32 = 75;

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, end) in evidence.ends.iter().enumerate() {
        for (call, early, late) in standing(end) {
            let (session, sent) = (late.0, late.1 - early.1);
            let heard = late.2 - early.2;
            let alone = evidence.mailbox_listens(number, call)
                || evidence.is_with_cut_off(number, &end.over[call]);
            if !alone && heard < sent * SHARE_PERCENT / 100 {
                let ip = end.ip;
                faults.push(format!("{ip} hears {heard} packets and says {sent} in {session}"));
            }
            if sent == 0 {
                faults.push(format!("{} says nothing in {session}", end.ip));
            }
        }
    }
    faults
}

/// Calls that stood before and after a while: which, and session, packets sent and received.
fn standing(end: &End) -> impl Iterator<Item = (usize, (u32, u32, u32), (u32, u32, u32))> {
    let figures = |r: &cosip::lab::phone::Report| (r.session, r.sound.sent, r.sound.received);
    let both = end.first.iter().zip(&end.talking).enumerate();
    both.filter(|(_, (first, late))| first.confirmed.is_some() && late.ended.is_none())
        .map(move |(call, (first, late))| (call, figures(first), figures(late)))
}
