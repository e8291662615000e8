//! MESSAGE outside dialogs (RFC 3428): CALLS §3.9.
//!
//! A text is not hedged: it goes to the server, and over the overlay only where the server is down
//! or failing, or has been silent for [`MESSAGE_PATIENCE`]. So a text may arrive twice, and the
//! callee's adapter drops the copy ([`seen`]). [`decide`] is pure; `out` sends what a phone here
//! writes, `deliver` what is for a phone here.

mod deliver;
mod out;
pub(crate) mod seen;
#[cfg(test)]
mod tests;

pub(crate) use out::Outgoing;

use crate::limits::MESSAGE_PATIENCE;
use crate::time::Instant;

/// The copy that goes to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ServerCopy {
    /// None, and none will be: mode `overlay`.
    Absent,
    /// Not sent yet.
    Unsent,
    /// Sent, and not answered.
    Silent,
    /// Refused with this status.
    Refused(u16),
    /// The transport refused, or nobody answered.
    Failed,
}

/// The copies that go over the overlay, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OverlayCopy {
    /// Not for this text: what is not looked up for a call is not for a text either.
    Barred,
    /// Nobody has looked yet.
    Unasked,
    /// The look-up runs.
    Looking,
    /// It found nothing.
    Missing,
    /// Found; nothing sent yet.
    Found,
    /// Sent, and not answered.
    Open,
    /// Refused; the best status.
    Refused(u16),
}

/// All that a decision depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    /// Now.
    pub(crate) now: Instant,
    /// When the text came.
    pub(crate) started: Instant,
    /// The server's copy.
    pub(crate) server: ServerCopy,
    /// The overlay's.
    pub(crate) overlay: OverlayCopy,
    /// The verdict on the server, when the text came: down.
    pub(crate) server_down: bool,
    /// An outage ended less than `recover_grace_s` ago.
    pub(crate) recovering: bool,
    /// `failover_code`.
    pub(crate) failover_codes: &'a [u16],
}

/// The next step of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before the next event, or before this instant.
    Wait(Option<Instant>),
    /// It is sent to the server.
    AskServer,
    /// The callee is looked up.
    LookUp,
    /// It is sent over the overlay.
    OpenOverlay,
    /// The phone gets the server's refusal.
    AnswerServer,
    /// The phone gets the overlay's refusal.
    AnswerOverlay,
    /// The phone gets a refusal of our own.
    AnswerStatus(u16),
}

/// Decides the next step. A 2xx of any copy has ended it before.
pub(crate) fn decide(view: &View<'_>) -> Step {
    match view.server {
        ServerCopy::Absent => by_overlay(view, Step::AnswerStatus(404)),
        ServerCopy::Unsent if view.server_down => by_overlay(view, Step::AskServer),
        ServerCopy::Unsent => Step::AskServer,
        ServerCopy::Failed => by_overlay(view, Step::AnswerStatus(503)),
        ServerCopy::Refused(code) if is_failure(view, code) => by_overlay(view, Step::AnswerServer),
        ServerCopy::Refused(_) => Step::AnswerServer,
        ServerCopy::Silent => {
            let patience = view.started + MESSAGE_PATIENCE;
            match view.overlay {
                OverlayCopy::Unasked if view.now < patience => Step::Wait(Some(patience)),
                _ => by_overlay(view, Step::Wait(None)),
            }
        }
    }
}

/// The overlay's turn; `otherwise`: it cannot help, or its answer is not the last word.
fn by_overlay(view: &View<'_>, otherwise: Step) -> Step {
    match view.overlay {
        OverlayCopy::Unasked => Step::LookUp,
        OverlayCopy::Looking | OverlayCopy::Open => Step::Wait(None),
        OverlayCopy::Found => Step::OpenOverlay,
        OverlayCopy::Refused(code) if is_last_word(code) => Step::AnswerOverlay,
        OverlayCopy::Refused(_) if matches!(otherwise, Step::AnswerStatus(_)) => {
            Step::AnswerOverlay
        }
        OverlayCopy::Barred | OverlayCopy::Missing | OverlayCopy::Refused(_) => otherwise,
    }
}

/// Whether a refusal of the server says more about the server than about the text: CALLS §3.5,
/// as for calls.
fn is_failure(view: &View<'_>, code: u16) -> bool {
    let lost_location = view.recovering && matches!(code, 404 | 410 | 480);
    matches!(code, 408 | 500..=599) || view.failover_codes.contains(&code) || lost_location
}

/// Whether a refusal over the overlay is the callee's own: it took notice of the text.
fn is_last_word(code: u16) -> bool {
    matches!(code, 413 | 415 | 486 | 488 | 493 | 600 | 603 | 606)
}
