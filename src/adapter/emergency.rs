//! Emergency calls: CALLS §6. Who dials one, and which way it takes next.
//!
//! The provider's server first, then the routes of section `emergency`, one after another, never
//! two at once from the start and never the overlay. [`decide`] is pure, as
//! [`super::call::decide`] is for other calls: what the ways tried so far have said goes in, one
//! step comes out. The legs, losers and dialogs are those of every call.

mod answer;
mod gateways;
#[cfg(test)]
mod tests;

pub(crate) use gateways::{Gateway, Gateways};

use super::Adapter;
use super::call::{Call, Leg, LegState};
use super::names::Path;
use super::spelling;
use crate::limits::{CALL_LEGS_MAX, EMERGENCY_TRYING};
use crate::sip::transaction::Room;
use crate::sip::{Message, Method};
use crate::text;
use crate::time::{Duration, Instant, earlier};

/// What an emergency call has tried, beside its legs.
#[derive(Debug, Default)]
pub(crate) struct Emergency {
    /// The phone has registered: it can answer a challenge.
    pub(crate) registered: bool,
    /// The routes, as they were when it was dialled.
    pub(crate) gateways: Vec<Gateway>,
    /// How many of them were opened.
    pub(crate) routes_tried: u8,
    /// Legs whose challenge went to the phone; the last one is its next INVITE's.
    challenged: heapless::Vec<u8, CALL_LEGS_MAX>,
}

impl Emergency {
    /// Nothing is tried yet.
    pub(crate) fn new(gateways: &[Gateway]) -> Self {
        Self { gateways: gateways.to_vec(), ..Self::default() }
    }

    /// Whether a 401 or 407 on leg `at` goes to the phone: to one that has registered, and once
    /// on each way, unless only the nonce was stale. Else it is a refusal, and the next way waits.
    pub(crate) fn passes_challenge(&mut self, at: usize, challenge: &Message<'_>) -> bool {
        let at = at as u8;
        let again = self.challenged.contains(&at);
        if !self.registered || (again && !is_stale(challenge)) {
            return false;
        }
        self.challenged.retain(|known| *known != at);
        self.challenged.push(at).is_ok()
    }

    /// The leg that the phone's next INVITE belongs to.
    fn challenged_leg(&self) -> Option<usize> {
        self.challenged.last().map(|at| usize::from(*at))
    }
}

/// Whether a challenge only wants a fresh nonce (RFC 7616 s3.3).
fn is_stale(challenge: &Message<'_>) -> bool {
    use crate::sip::Name::{ProxyAuthenticate, WwwAuthenticate};
    let challenges = challenge.headers().iter();
    challenges.filter(|h| matches!(h.name, ProxyAuthenticate | WwwAuthenticate)).any(|h| {
        let value = h.value.to_ascii_lowercase();
        text::has(&value, "stale=true") || text::has(&value, "stale=\"true\"")
    })
}

/// One way that was tried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tried {
    /// When the INVITE went there.
    pub(crate) since: Instant,
    /// What came of it.
    pub(crate) state: LegState,
}

/// All that the next step of an emergency call depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Now.
    pub(crate) now: Instant,
    /// The ways tried so far.
    pub(crate) tried: &'a [Tried],
    /// Whether another one is left.
    pub(crate) untried: bool,
    /// When the server's next target is asked too, where it has one (CALLS §2.1).
    pub(crate) next_target: Option<Instant>,
    /// `try_ms`.
    pub(crate) try_for: Duration,
}

/// The next step of an emergency call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before the next event, or before this instant.
    Wait(Option<Instant>),
    /// The server is asked at its next target: still the same way.
    OpenTarget,
    /// The next route is taken; the ways before stay open, and the first 200 wins.
    OpenRoute,
    /// No way has taken it: it is refused, with the reason.
    GiveUp,
}

/// Decides the next step.
///
/// A way that rings is waited for. While others are left, each has `try_ms`; the last ones have
/// the same, but for those that said 100: they work at it, and nothing else is left to do.
pub(crate) fn decide(view: &View<'_>) -> Step {
    let ringing = |way: &Tried| matches!(way.state, LegState::Ringing | LegState::Won);
    if view.tried.iter().any(ringing) {
        return Step::Wait(None);
    }
    let until = if view.untried {
        let newest = view.tried.iter().max_by_key(|way| way.since);
        newest.filter(|way| way.state.is_open()).map(|way| way.since + view.try_for)
    } else {
        let open = view.tried.iter().filter(|way| way.state.is_open());
        open.map(|way| match way.state {
            LegState::Trying(_) => way.since + EMERGENCY_TRYING.max(view.try_for),
            _ => way.since + view.try_for,
        })
        .max()
    };
    match (view.next_target, until.filter(|at| view.now < *at)) {
        (Some(target), _) if view.now >= target => Step::OpenTarget,
        (target, Some(at)) => Step::Wait(earlier(target, Some(at))),
        _ if view.untried => Step::OpenRoute,
        _ => Step::GiveUp,
    }
}

/// Whether a Request-URI names an emergency service: one of `numbers` as it is dialled, at
/// whatever domain, or a service of RFC 5031.
pub(crate) fn is_emergency(uri: &str, numbers: &[String]) -> bool {
    let service = uri.trim_start().get(..SERVICE.len());
    if service.is_some_and(|start| start.eq_ignore_ascii_case(SERVICE)) {
        return true;
    }
    let Some(dialled) = spelling::dialled(uri) else { return false };
    numbers.iter().any(|number| {
        number.eq_ignore_ascii_case(&dialled)
            || spelling::bare_number(number).is_some_and(|number| number == dialled)
    })
}

/// What the names of all emergency services begin with (RFC 5031 s4.2).
const SERVICE: &str = "urn:service:sos";

impl Call {
    /// The room that its transactions may take.
    pub(crate) fn room(&self) -> Room {
        if self.emergency.is_some() { Room::Reserved } else { Room::Usual }
    }
}

impl Adapter {
    /// Whether a number is an emergency number: never looked up, never refused for capacity.
    pub(crate) fn is_emergency(&self, uri: &str) -> bool {
        is_emergency(uri, &self.config.emergency.number)
    }

    /// The room that a request may take: an emergency call's, or one that belongs to such a
    /// call, what is kept for it.
    pub(crate) fn room_for(&self, request: &Message<'_>, path: Path) -> Room {
        if !self.transactions.is_crowded() {
            return Room::Usual;
        }
        let opens = path == Path::Lan && request.method() == Method::Invite;
        let urgent = (opens && self.is_emergency(request.request_uri()))
            || self.find_call(request.call_id(), |call| call.emergency.is_some()).is_some();
        if urgent { Room::Reserved } else { Room::Usual }
    }

    /// The next step of this call.
    fn emergency_step(&self, now: Instant, call: &Call, emergency: &Emergency) -> Step {
        // All targets of the server are one way, and have its time together.
        let server_since = call.server_legs().next().map(|leg| leg.sent);
        let since = |leg: &Leg| server_since.filter(|_| leg.route.is_none()).unwrap_or(leg.sent);
        let tried: heapless::Vec<Tried, CALL_LEGS_MAX> =
            call.legs.iter().map(|leg| Tried { since: since(leg), state: leg.state }).collect();
        let routes_left =
            emergency.gateways.len().saturating_sub(usize::from(emergency.routes_tried));
        // No target takes the leg of a route.
        let room = call.legs.len() + routes_left < CALL_LEGS_MAX;
        let next_target = self.next_target_at(now, call).filter(|_| room);
        let try_for = self.config.emergency.try_for;
        decide(&View { now, tried: &tried, untried: routes_left > 0, next_target, try_for })
    }
}
