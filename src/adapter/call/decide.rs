//! What a caller's adapter does next with a call that is being set up: CALLS §3.3 to §3.6.
//!
//! Pure: the state of the legs, the verdict on the server and the options go in, one step comes
//! out. Whatever changes a call (a response, a look-up, a timer) asks again. Timers are not
//! kept here either: [`Step::Wait`] names the instant at which the answer may differ.

use crate::limits::{CALL_SILENCE, CALL_TRYING};
use crate::time::{Duration, Instant};

/// The leg to the provider's server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerLeg {
    /// None, and none will be: mode `overlay`.
    Absent,
    /// Sent, and nothing came back.
    Silent,
    /// Answered by 100 alone, first at this instant.
    Trying(Instant),
    /// Answered by 101-199.
    Ringing,
    /// Refused with this status; `rang`: after a 101-199.
    Refused { code: u16, rang: bool },
    /// The transport refused (ICMP, TCP), or the transaction timed out.
    Failed,
}

/// The legs over the overlay, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverlayLeg {
    /// Not for this call: server-only number, own AOR, foreign domain, mode `server`.
    Barred,
    /// The look-up runs.
    Looking,
    /// The look-up found nothing.
    Missing,
    /// Found; no INVITE sent yet.
    Found,
    /// INVITEs are out; `ringing`: one of them was answered by 101-199.
    Open { ringing: bool },
    /// All refused; the best status.
    Refused(u16),
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Now.
    pub(crate) now: Instant,
    /// When the INVITE came.
    pub(crate) started: Instant,
    /// The server leg.
    pub(crate) server: ServerLeg,
    /// The overlay legs.
    pub(crate) overlay: OverlayLeg,
    /// The server counts as up (CALLS §5): neither suspect nor down.
    pub(crate) server_up: bool,
    /// Silence that the server is granted: `hedge_ms`, never under twice its round trip.
    pub(crate) hedge: Duration,
    /// 100 alone that the server is granted.
    pub(crate) hedge_trying: Duration,
    /// `prefer fastest`.
    pub(crate) fastest: bool,
    /// The callee's adapter acknowledged this call's notice.
    pub(crate) notice_acknowledged: bool,
    /// The target of the server leg has accepted this phone's REGISTER.
    pub(crate) registered_there: bool,
    /// An outage ended less than `recover_grace_s` ago.
    pub(crate) recovering: bool,
    /// `failover_code`.
    pub(crate) failover_codes: &'a [u16],
}

/// The next step of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before the next event, or before this instant.
    Wait(Option<Instant>),
    /// Send the INVITE over the overlay.
    OpenOverlay,
    /// Pass the server's refusal to the phone.
    AnswerServer,
    /// Pass the best refusal of the overlay legs to the phone.
    AnswerOverlay,
    /// Refuse with a status of our own.
    AnswerStatus(u16),
}

/// Decides the next step.
pub(crate) fn decide(view: &View<'_>) -> Step {
    match view.server {
        ServerLeg::Absent => without_server(view, 404),
        ServerLeg::Failed => without_server(view, 503),
        ServerLeg::Silent => while_silent(view),
        ServerLeg::Trying(since) => match view.overlay {
            OverlayLeg::Found => open_at(view, since + view.hedge_trying, None),
            OverlayLeg::Refused(486 | 600 | 603) => {
                let lost = since + CALL_TRYING;
                if view.now >= lost { Step::AnswerOverlay } else { Step::Wait(Some(lost)) }
            }
            _ => Step::Wait(None),
        },
        ServerLeg::Ringing => Step::Wait(None),
        ServerLeg::Refused { code, rang } => after_refusal(view, code, rang),
    }
}

fn without_server(view: &View<'_>, not_found: u16) -> Step {
    match view.overlay {
        OverlayLeg::Barred | OverlayLeg::Missing => Step::AnswerStatus(not_found),
        OverlayLeg::Looking | OverlayLeg::Open { .. } => Step::Wait(None),
        OverlayLeg::Found => Step::OpenOverlay,
        OverlayLeg::Refused(_) => Step::AnswerOverlay,
    }
}

fn while_silent(view: &View<'_>) -> Step {
    let give_up = view.started + CALL_SILENCE;
    let silent_for_good = view.now >= give_up;
    match view.overlay {
        OverlayLeg::Found if silent_for_good => Step::OpenOverlay,
        OverlayLeg::Found => open_at(view, view.started + view.hedge, Some(give_up)),
        OverlayLeg::Open { .. } => Step::Wait(None),
        OverlayLeg::Refused(486 | 600 | 603) => Step::AnswerOverlay,
        OverlayLeg::Refused(_) if silent_for_good => Step::AnswerOverlay,
        _ if silent_for_good => Step::AnswerStatus(503),
        _ => Step::Wait(Some(give_up)),
    }
}

/// Opens the overlay leg once `patience` is over, or at once where nothing speaks for waiting.
fn open_at(view: &View<'_>, patience: Instant, give_up: Option<Instant>) -> Step {
    let hurry = !view.server_up || (view.fastest && view.notice_acknowledged);
    if hurry || view.now >= patience {
        Step::OpenOverlay
    } else {
        Step::Wait(Some(give_up.map_or(patience, |at| at.min(patience))))
    }
}

fn after_refusal(view: &View<'_>, code: u16, rang: bool) -> Step {
    if !goes_on(view, code, rang) {
        let notice_may_come = view.started + view.hedge;
        return match view.overlay {
            OverlayLeg::Open { ringing: true } => Step::Wait(None),
            OverlayLeg::Looking | OverlayLeg::Found
                if is_lost_location(code) && !rang && view.now < notice_may_come =>
            {
                Step::Wait(Some(notice_may_come))
            }
            _ => Step::AnswerServer,
        };
    }
    match view.overlay {
        // Who is said not to be found has just refused: that the caller shall hear.
        OverlayLeg::Refused(486 | 600 | 603) if is_lost_location(code) => Step::AnswerOverlay,
        OverlayLeg::Looking | OverlayLeg::Open { .. } => Step::Wait(None),
        OverlayLeg::Found => Step::OpenOverlay,
        OverlayLeg::Barred | OverlayLeg::Missing | OverlayLeg::Refused(_) => Step::AnswerServer,
    }
}

/// Whether a refusal of the server is not the last word (CALLS §3.5). Where the callee's phone has
/// refused this very call, its adapter answers the overlay leg with that refusal at once.
fn goes_on(view: &View<'_>, code: u16, rang: bool) -> bool {
    let failed_over = !rang && view.failover_codes.contains(&code);
    let strange_target = !view.registered_there && matches!(code, 403 | 404 | 480);
    // One that is not up has no outage behind it yet: it is in the middle of one.
    let doubted = view.recovering || !view.server_up || view.notice_acknowledged;
    failed_over || strange_target || (doubted && is_lost_location(code))
}

/// What a server says that was restarted and has lost its location table.
fn is_lost_location(code: u16) -> bool {
    matches!(code, 404 | 408 | 410 | 480)
}

#[cfg(test)]
mod tests;
