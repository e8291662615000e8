//! A 2xx that the caller's phone has not acknowledged (RFC 3261 s13.3.1.4).
//!
//! Whoever gave it repeats it until the ACK, and each repeat passes. Not always is somebody there
//! to do so: a B2BUA acknowledges the callee's answer by itself, and dies before the caller has
//! it. So this end takes over where a repeat is overdue: it waits twice as long as the answerer
//! would, and each repeat that passes begins the wait anew. A live answerer is never doubled. An
//! answer of our own, to a session refresh in the server's place, nobody else repeats.

use super::dialog::DialogAt;
use super::dialogs::Dialog;
use super::{Call, CallId};
use crate::adapter::Adapter;
use crate::limits::{ACK_LIMIT, SIP_T1_MS, SIP_T2_MS};
use crate::sip::Message;
use crate::sip::transaction::ServerId;
use crate::time::{Duration, Instant, earlier};

/// The first wait for a repeat, and the longest, of who gives an answer (RFC 3261 s13.3.1.4).
const ANSWERER_WAITS: (Duration, Duration) =
    (Duration::from_millis(SIP_T1_MS), Duration::from_millis(SIP_T2_MS));

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Success {
    /// The 2xx: as the winning leg brought it, or our own.
    response: Vec<u8>,
    /// The transaction that ours answers.
    own: Option<ServerId>,
    first: Instant,
    wait: Duration,
    wait_max: Duration,
    due: Instant,
}

impl Success {
    fn new(now: Instant, response: Vec<u8>, own: Option<ServerId>) -> Self {
        let patience = if own.is_some() { 1 } else { 2 };
        let (wait, wait_max) = (ANSWERER_WAITS.0 * patience, ANSWERER_WAITS.1 * patience);
        Self { response, own, first: now, wait, wait_max, due: now + wait }
    }

    /// It was repeated: the next time is later.
    fn repeated(&mut self, now: Instant) {
        self.wait = (self.wait * 2).min(self.wait_max);
        self.due = (now + self.wait).min(self.first + ACK_LIMIT);
    }
}

impl Call {
    /// When a 2xx is repeated from here.
    pub(super) fn success_due(&self) -> Option<Instant> {
        let due = |at, success: &Success| earlier(at, Some(success.due));
        self.dialogs.iter().filter_map(|dialog| dialog.success.as_ref()).fold(None, due)
    }
}

impl Adapter {
    /// A 2xx on its way to the phone here: kept until the phone acknowledges it.
    pub(super) fn keep_success(&mut self, now: Instant, id: CallId, message: &Message<'_>) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let tag = message.to().and_then(|to| to.tag()).unwrap_or_default();
        let waits = |d: &&mut Dialog| d.ack.is_none();
        let dialog = call.dialogs.iter_mut().filter(waits).find(|d| d.id.far_tag() == tag);
        let Some(dialog) = dialog else { return };
        match &mut dialog.success {
            Some(success) => success.repeated(now),
            None => dialog.success = Some(Success::new(now, message.raw().to_vec(), None)),
        }
    }

    /// A 2xx of our own to a phone's INVITE: kept until the phone acknowledges it.
    pub(super) fn keep_own_success(
        &mut self,
        now: Instant,
        (id, at): DialogAt,
        (server, response): (ServerId, Vec<u8>),
    ) {
        let dialog = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at));
        if let Some(dialog) = dialog {
            dialog.success = Some(Success::new(now, response, Some(server)));
            self.arm(id);
        }
    }

    /// Repeats each 2xx whose repeat is overdue, and ends dialogs that were never acknowledged.
    pub(super) fn repeat_successes(&mut self, now: Instant, id: CallId) {
        let count = self.calls.get(id).map_or(0, |call| call.dialogs.len());
        for at in (0..count).rev() {
            let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
            let success = dialog.and_then(|dialog| dialog.success.as_ref());
            let Some(success) = success.filter(|success| now >= success.due) else { continue };
            if now < success.first + ACK_LIMIT {
                self.repeat_success(now, (id, at));
                continue;
            }
            self.trace_note(now, id, "never acknowledged");
            self.send_byes(now, (id, at));
            if let Some(call) = self.calls.get_mut(id) {
                call.dialogs.remove(at);
            }
        }
    }

    /// Tells the phone again that it was answered, where it has not acknowledged that.
    pub(super) fn repeat_success(&mut self, now: Instant, (id, at): DialogAt) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(leg) = call.winner.map(usize::from) else { return };
        let Some(success) = call.dialogs.get_mut(at).and_then(|d| d.success.as_mut()) else {
            return;
        };
        success.repeated(now);
        let response = success.response.clone();
        if let Some(server) = success.own {
            self.transactions.respond(now, server, &response);
        } else if let Ok(message) = Message::parse(&response) {
            self.relay_response(now, id, leg, 0, &message);
        }
    }
}
