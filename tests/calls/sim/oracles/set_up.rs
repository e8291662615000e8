//! A call that can be answered is answered, in time; one that cannot ends with a reason.

use crate::sim::evidence::Evidence;
use crate::sim::plan::{BOB, Caller, Diverts, House, Plan};
use cosip::lab::phone::{Manner, Report};
use cosip::time::Duration;

/// What an adapter needs at most beyond what people, houses and losses take: the silence of a
/// server that is not known to be down, look-up, handshake, the wait for an ACK.
const OVERHEAD: Duration = Duration::from_millis(6_500);

pub(super) fn judge(evidence: &Evidence) -> Vec<String> {
    let mut faults = Vec::new();
    for caller in &evidence.plan.callers {
        let Some(call) = evidence.call(caller.phone) else {
            faults.push(format!("phone {} has no call", caller.phone));
            continue;
        };
        if let Some(fault) = one(evidence, caller, call) {
            faults.push(format!("session {}: {fault}", call.session));
        }
    }
    faults
}

fn one(evidence: &Evidence, caller: &Caller, call: &Report) -> Option<String> {
    let plan = &evidence.plan;
    let limit = limit(plan);
    let stays = caller.patience.is_none_or(|patience| patience > limit);
    let Some(setup) = call.setup() else {
        let why = match (plan.bob, call.ended) {
            // Once the server has said 100, a refusal by another way never beats it (CALLS §3.6):
            // the caller waits for a server that died, or hangs up.
            (Manner::Refuse(_) | Manner::Silent, None) if evidence.failed.is_some() => return None,
            _ if evidence.is_given_up(call.session) => return None,
            (_, None) if evidence.is_unsent(call.session) => return None,
            (_, None) => "neither answered nor ended",
            _ if evidence.is_unheard(call.session) => return None,
            (Manner::Answer, _) if stays && !may_be_refused(evidence) => "not answered",
            _ => return None,
        };
        return Some(format!("{why}: {}", call.status));
    };
    let late = setup > limit && diverts_at(plan).is_none();
    late.then(|| format!("answered after {setup:?}, over {limit:?}"))
}

/// When the house stops waiting for Bob.
fn diverts_at(plan: &Plan) -> Option<Duration> {
    match plan.house {
        House::B2bua { diverts, patience, .. } if diverts != Diverts::Never => Some(patience),
        _ => None,
    }
}

fn limit(plan: &Plan) -> Duration {
    let house = match plan.house {
        House::Proxy => Duration::ZERO,
        House::B2bua { pace, dialling, .. } => pace * 8 + dialling.min(Duration::from_secs(4)),
    };
    let challenge = if plan.challenges { OVERHEAD / 4 } else { Duration::ZERO };
    let losses = Duration::from_secs(1) * plan.loss_percent;
    plan.ring + OVERHEAD + house + challenge + losses + plan.lag * 8
}

/// Bob's phone has one line only, and somebody else is on it.
fn may_be_refused(evidence: &Evidence) -> bool {
    evidence.plan.habits[BOB].lines == 1 && evidence.ends[BOB].over.len() > 1
}
