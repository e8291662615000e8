//! Which answers were right, and what else may never be: by what the simulator knows.

use super::network::Network;
use super::router::Router;
use super::truth::{AORS, Asked, ENDLESS, NOBODYS};
use crate::net::NodeId;
use crate::time::Duration;
use std::collections::HashMap;

/// After so long a look-up is over (what [`crate::overlay::Overlay::lookup`] promises, and a
/// packet's time).
pub(super) const LOOKUP_MAX: Duration = Duration::from_millis(1600);

/// Hints that wait to be woven in, of both families.
const NEWS_KB: usize = 256 * (16 + 28) / 1024;

/// How a look-up ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The newest record, or that there is none.
    Right,
    /// Nothing, though there is a record.
    Missing,
    /// A record that is not the newest, or not the owner's.
    Stale,
    /// A record, where there is none.
    Invented,
    /// It did not end.
    Endless,
}

/// What became of a look-up; whose router lost power meanwhile, does not count, nor whose callee
/// was revoked.
pub(super) fn judge(network: &Network, asked: &Asked) -> Option<Verdict> {
    if matches!(asked.over, 0 | ENDLESS) {
        return (asked.over == ENDLESS).then_some(Verdict::Endless);
    }
    let aor = asked.act.callee()?;
    if aor < NOBODYS && network.router(aor / AORS).revoked {
        return None;
    }
    Some(match asked.answer {
        None if aor >= NOBODYS => Verdict::Right,
        None => Verdict::Missing,
        Some(_) if aor >= NOBODYS => Verdict::Invented,
        Some(answer) => {
            let owner = network.router(aor / AORS);
            let place = (aor % AORS) as u8;
            let newest = owner.truth.is_newest(place, answer.generation, asked.at, asked.over);
            // Nobody asks for who has left that place, but some did before.
            let own = owner.displaced || owner.id() == answer.owner;
            if newest && own { Verdict::Right } else { Verdict::Stale }
        }
    })
}

/// Whether a look-up found where its callee is.
pub(super) fn knows_address(network: &Network, asked: &Asked) -> bool {
    let Some(aor) = asked.act.callee() else { return false };
    let there = network.router(aor / AORS).truth.home_at(asked.at);
    let told = asked.answer.and_then(|answer| answer.address);
    told.zip(there).is_some_and(|(told, there)| there.owns(&told))
}

/// How many others list each router that is to be a member, at an address that it has; sorted.
pub(super) fn listings(network: &Network) -> Vec<u32> {
    let population = network.world.common.population;
    let routers = || (0..network.routers).map(|number| network.router(number));
    let members = routers().filter(|it| it.overlay.is_some() && population.is_member(it.access));
    let mut listed: HashMap<NodeId, (&Router, u32)> =
        members.map(|router| (router.id(), (router, 0))).collect();
    for (id, address) in routers().filter_map(|it| it.overlay.as_ref()).flat_map(|it| it.listed()) {
        if let Some((router, by)) = listed.get_mut(&id) {
            *by += u32::from(router.home.owns(&address));
        }
    }
    let mut by: Vec<u32> = listed.into_values().map(|(_, by)| by).collect();
    by.sort_unstable();
    by
}

/// What of the adapters' state is more than it may be; empty where nothing is.
pub(super) fn broken_limits(network: &Network) -> Vec<String> {
    let limits = network.world.common.limits;
    let mut broken = Vec::new();
    for number in 0..network.routers {
        let Some(overlay) = &network.router(number).overlay else { continue };
        let (status, counters) = (overlay.status(), overlay.counters());
        let within = [
            ("store_entries", status.stored, limits.store_entries),
            ("publish_entries", status.published, limits.publish_entries),
            ("lookup_entries", status.lookups, limits.lookup_entries),
            // What is news waits beside it.
            ("table_kb", overlay.table_bytes()[0] / 1024, limits.table_kb as usize + NEWS_KB),
        ];
        for (what, is, may) in within {
            if is > may {
                broken.push(format!("router {number}: {what} {is} of {may}"));
            }
        }
        let unless_betrayed = |count| if network.world.betrayed { 0 } else { count };
        let never = [
            ("bad_signature", unless_betrayed(counters.bad_signature)),
            ("foreign_record", unless_betrayed(counters.foreign_record)),
            ("uncertified", unless_betrayed(counters.uncertified)),
            ("expired", unless_betrayed(counters.expired)),
            ("revoked", unless_betrayed(counters.revoked)),
            ("events_full", counters.events_full),
            ("unauthentic", if network.world.attacked { 0 } else { counters.unauthentic }),
        ];
        let never = never.into_iter().filter(|(_, count)| *count > 0);
        broken.extend(never.map(|(what, count)| format!("router {number}: {what} {count}")));
    }
    broken
}
