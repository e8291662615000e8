//! What an adapter tells, and what becomes of it.

use super::fault::Fault;
use super::meet::Meeting;
use super::router::Router;
use super::truth::{Answer, Asked};
use crate::overlay::{Found, LookupId, OverlayEvent};

/// Takes in what an adapter tells. Returns the look-up whose callee is to be met.
pub(super) fn told(
    router: &mut Router,
    log: &mut [Asked],
    fault: Option<Fault>,
    now: u64,
    event: OverlayEvent,
) -> Option<LookupId> {
    let at = |router: &Router, id: LookupId| router.asking.iter().position(|(of, _)| *of == id);
    match event {
        OverlayEvent::Found(found) => {
            let place = router.asking[at(router, found.lookup)?].1;
            let asked = &mut log[place as usize];
            let first = asked.answer.is_none();
            // The same record again: its owner has another address.
            let same = asked.answer.filter(|answer| answer.seq == found.seq);
            let newer = asked.answer.is_none_or(|answer| answer.seq <= found.seq);
            if newer && (first || fault != Some(Fault::TellsTheOld)) {
                asked.answer = answer(same.map_or(now, |answer| answer.at), &found, fault);
            }
            // Who has no family in common with those who keep the callee's flow cannot ask them.
            let home = router.home;
            let asks = found.rendezvous.iter().any(|peer| home.towards(peer).is_some());
            return (first && asks).then(|| meet(router, asked, now, &found, place)).flatten();
        }
        OverlayEvent::Done { lookup, .. } if fault != Some(Fault::ForgetsToEnd) => {
            let (_, place) = router.asking.swap_remove(at(router, lookup)?);
            log[place as usize].over = now;
        }
        OverlayEvent::Published { publish, .. } => {
            let place = router.published.iter().position(|known| *known == Some(publish))?;
            router.truth.published(now, place as u8);
        }
        OverlayEvent::SpotGot { statement, .. } => router.spotted.extend(statement),
        OverlayEvent::Joined => router.joined(now),
        OverlayEvent::Reached { peer, address } => {
            let meeting = router.meetings.iter_mut().find(|meeting| meeting.is_with(peer))?;
            meeting.reached(address);
        }
        _ => {}
    }
    None
}

fn meet(
    router: &mut Router,
    asked: &mut Asked,
    now: u64,
    found: &Found,
    place: u32,
) -> Option<LookupId> {
    let time = router.time(now);
    let overlay = router.overlay.as_mut()?;
    let meeting = Meeting::new(time, overlay, found, place);
    router.meetings.push(meeting);
    asked.meets = true;
    Some(found.lookup)
}

fn answer(now: u64, found: &Found, fault: Option<Fault>) -> Option<Answer> {
    let generation = found.contact.user.parse().ok()?;
    Some(Answer {
        at: now,
        owner: found.owner,
        seq: found.seq,
        generation: if fault == Some(Fault::TellsTheOld) { 0 } else { generation },
        hops: found.hops,
        address: found.addresses.first().copied(),
    })
}
