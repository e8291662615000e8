//! A 2xx that the caller's phone has not acknowledged (RFC 3261 s13.3.1.4).
//!
//! Whoever gave it repeats it until the ACK, and each repeat passes. Not always is somebody there
//! to do so: a B2BUA acknowledges the callee's answer by itself, and dies before the caller has
//! it. So this end takes over where a repeat is overdue: it waits twice as long as the answerer
//! would, and each repeat that passes begins the wait anew. A live answerer is never doubled.

use super::dialog::DialogAt;
use super::dialogs::Dialog;
use super::{Call, CallId};
use crate::adapter::Adapter;
use crate::limits::{ACK_LIMIT, SIP_T1_MS, SIP_T2_MS};
use crate::sip::Message;
use crate::time::{Duration, Instant, earlier};

/// The first wait for a repeat, and the longest: twice those of the answerer.
const WAIT_FIRST: Duration = Duration::from_millis(2 * SIP_T1_MS);
const WAIT_MAX: Duration = Duration::from_millis(2 * SIP_T2_MS);

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Success {
    /// The 2xx, as the winning leg brought it.
    response: Vec<u8>,
    first: Instant,
    wait: Duration,
    due: Instant,
}

impl Success {
    fn new(now: Instant, message: &Message<'_>) -> Self {
        let response = message.raw().to_vec();
        Self { response, first: now, wait: WAIT_FIRST, due: now + WAIT_FIRST }
    }

    /// It was repeated: the next time is later.
    fn repeated(&mut self, now: Instant) {
        self.wait = (self.wait * 2).min(WAIT_MAX);
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
            None => dialog.success = Some(Success::new(now, message)),
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
        if let Ok(message) = Message::parse(&response) {
            self.relay_response(now, id, leg, 0, &message);
        }
    }
}
