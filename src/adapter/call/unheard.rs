//! Calls whose media nobody hears here: without relay ports, their end is not to be seen by that.
//!
//! Such a call dies with its session interval (RFC 4028 s10). Where none was agreed on its phone
//! is asked every `timeout_s` whether it is still there: a phone that has lost its power, or its
//! call, ends it. The far end has an adapter or a server of its own to look after that phone.

use super::dialog::DialogAt;
use super::dialogs::Dialog;
use super::own::Why;
use super::{Call, CallId};
use crate::adapter::Adapter;
use crate::limits::CALL_DIALOGS_MAX;
use crate::sip::Method;
use crate::time::Instant;

impl Call {
    /// When something is due in a dialog because no media are heard.
    pub(super) fn unheard_due(&self, dialog: &Dialog) -> Option<Instant> {
        let watched = self.media.is_none() && dialog.confirmed && !dialog.ending;
        let due = dialog.session.map(|session| session.ends()).or(dialog.asked_at);
        due.filter(|_| watched)
    }
}

impl Adapter {
    /// From now on a dialog is looked after, where its call has no relay ports.
    pub(super) fn watch_unheard(&mut self, now: Instant, (id, at): DialogAt) {
        let due = now + self.config.media.timeout;
        let Some(call) = self.calls.get_mut(id).filter(|call| call.media.is_none()) else { return };
        if let Some(dialog) = call.dialogs.get_mut(at) {
            dialog.asked_at.get_or_insert(due);
            self.arm(id);
        }
    }

    /// Ends what has ended at its phone, and asks where that is not known.
    pub(super) fn unheard_due(&mut self, now: Instant, id: CallId) {
        let again = now + self.config.media.timeout;
        let Some(call) = self.calls.get(id) else { return };
        let is_due = |dialog: &Dialog| call.unheard_due(dialog).is_some_and(|at| now >= at);
        if call.dialogs.iter().any(|dialog| is_due(dialog) && dialog.session.is_some()) {
            return self.end_call(now, id, "its session was not refreshed");
        }
        let dialogs = call.dialogs.iter().enumerate();
        let due: heapless::Vec<usize, CALL_DIALOGS_MAX> =
            dialogs.filter(|(_, dialog)| is_due(dialog)).map(|(at, _)| at).collect();
        for at in due {
            self.ask_phone(now, (id, at), Method::Options, (Vec::new(), &[]), Why::Presence);
            let dialog = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at));
            if let Some(dialog) = dialog {
                dialog.asked_at = Some(again);
            }
        }
    }
}
