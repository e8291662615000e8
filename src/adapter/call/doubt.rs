//! A server's answer in doubt: nobody has rung for it, and the callee's phone rings all the same.
//!
//! A person who answers has been rung, and the caller was told so. A 2xx without any 18x before is
//! a machine's: a server that was restarted has forgotten where the callee is, and its mailbox
//! answers at once. Where an overlay leg rings a phone meanwhile, that is waited for: whoever gave
//! the 2xx repeats it for 64·T1. If the phone does not take the call, the mailbox has it. An
//! overlay leg that is held proves the server's: its phone rings by that.

use super::{Call, CallId, Leg, LegState, Role};
use crate::adapter::Adapter;
use crate::adapter::names::Path;
use crate::limits::DOUBT_LIMIT;
use crate::sip::Message;
use crate::time::{Instant, earlier};

impl Call {
    /// Whether a phone rings over the overlay.
    fn rings_over_the_overlay(&self) -> bool {
        let rings = |leg: &Leg| leg.state == LegState::Ringing && !leg.held;
        self.legs.iter().any(|leg| matches!(leg.path, Path::Peer(_)) && rings(leg))
    }

    /// Until when an answer is doubted.
    pub(super) fn doubt_due(&self) -> Option<Instant> {
        self.legs.iter().fold(None, |at, leg| match leg.state {
            LegState::Doubted { until } => earlier(at, Some(until)),
            _ => at,
        })
    }
}

impl Adapter {
    /// Whether the 2xx on leg `at` has to wait for a phone that rings; if so it is kept.
    pub(super) fn doubts(
        &mut self,
        now: Instant,
        id: CallId,
        at: usize,
        message: &Message<'_>,
    ) -> bool {
        let Some(call) = self.calls.get_mut(id) else { return false };
        let rings = call.rings_over_the_overlay() && call.winner.is_none();
        let by_caller = call.role == Role::Caller && call.emergency.is_none();
        let leg = &mut call.legs[at];
        let unrung = matches!(leg.state, LegState::Silent | LegState::Trying(_) | LegState::Failed);
        let doubted = matches!(leg.state, LegState::Doubted { .. });
        if rings && by_caller && unrung && leg.path == Path::Server {
            leg.state = LegState::Doubted { until: now + DOUBT_LIMIT };
            leg.answer = message.raw().to_vec();
            self.trace_note(now, id, "answered, but nobody rang there: waits for the phone");
            return true;
        }
        doubted
    }

    /// No phone rings any more, or for too long: who answered is heard now.
    pub(super) fn settle_doubt(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id).filter(|call| call.winner.is_none()) else { return };
        let rings = call.rings_over_the_overlay();
        let over = |leg: &Leg| match leg.state {
            LegState::Doubted { until } => !rings || now >= until,
            _ => false,
        };
        let Some(at) = call.legs.iter().position(over) else { return };
        let answer = call.legs[at].answer.clone();
        if let Ok(message) = Message::parse(&answer) {
            self.take_answer(now, id, at, &message);
        }
    }
}
