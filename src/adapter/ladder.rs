//! What the adapter writes into the ladder of a call.

use super::Adapter;
use super::call::CallId;
use super::names::Path;
use crate::observe::trace::Lane;
use crate::sip::Message;
use crate::sip::reason_phrase;
use crate::time::Instant;

/// Longer URIs are cut in the title of a ladder.
const TITLE_URI_CHARS_MAX: usize = 64;

fn lane(path: Path) -> Lane {
    match path {
        Path::Lan => Lane::Phone,
        Path::Server => Lane::Server,
        Path::Peer(_) => Lane::Peer,
    }
}

impl Adapter {
    /// A call begins with this INVITE.
    pub(crate) fn trace_begin(
        &mut self,
        now: Instant,
        id: CallId,
        message: &Message<'_>,
        from: Path,
    ) {
        let caller = message.from().map(|from| from.uri).unwrap_or_default();
        let called = message.to().map(|to| to.uri).unwrap_or_default();
        let short = |uri: &str| uri.chars().take(TITLE_URI_CHARS_MAX).collect::<String>();
        let title = format!("{} calls {}", short(caller), short(called));
        self.trace.begin(now, id.slot(), title);
        self.trace.add(now, id.slot(), lane(from), Lane::Adapter, format_args!("INVITE"));
    }

    /// The call was answered, and goes this way.
    pub(crate) fn trace_carried(&mut self, id: CallId, path: Path) {
        self.trace.carried(id.slot(), lane(path));
    }

    /// A request of the call left.
    pub(crate) fn trace_sent(&mut self, now: Instant, id: CallId, to: Path, what: &str) {
        self.trace.add(now, id.slot(), Lane::Adapter, lane(to), format_args!("{what}"));
    }

    /// A response of the call left.
    pub(crate) fn trace_status(&mut self, now: Instant, id: CallId, to: Path, code: u16) {
        let what = format_args!("{code} {}", reason_phrase(code));
        self.trace.add(now, id.slot(), Lane::Adapter, lane(to), what);
    }

    /// A message of the call came.
    pub(crate) fn trace_received(
        &mut self,
        now: Instant,
        id: CallId,
        from: Path,
        message: &Message<'_>,
    ) {
        let (slot, from) = (id.slot(), lane(from));
        if message.is_request() {
            let what = format_args!("{}", message.method().as_str());
            self.trace.add(now, slot, from, Lane::Adapter, what);
        } else {
            let what = format_args!("{} {}", message.status(), message.reason());
            self.trace.add(now, slot, from, Lane::Adapter, what);
        }
    }

    /// A message against the rules, where it names a call: what is wrong with it.
    pub(crate) fn trace_wrong(
        &mut self,
        now: Instant,
        from: Path,
        message: &Message<'_>,
        what: &dyn core::fmt::Display,
    ) {
        let Some(id) = self.find_call(message.call_id(), |_| true) else { return };
        self.trace_received(now, id, from, message);
        let wrong = format_args!("refused: {what}");
        self.trace.add(now, id.slot(), Lane::Adapter, Lane::Adapter, wrong);
    }

    /// A remark.
    pub(crate) fn trace_note(&mut self, now: Instant, id: CallId, what: &str) {
        let slot = id.slot();
        self.trace.add(now, slot, Lane::Adapter, Lane::Adapter, format_args!("{what}"));
    }

    /// Nobody answered on a leg.
    pub(crate) fn trace_failed(&mut self, now: Instant, id: CallId, path: Path) {
        let what = match path {
            Path::Lan => "phone unreachable",
            Path::Server => "server unreachable",
            Path::Peer(_) => "other adapter unreachable",
        };
        self.trace_note(now, id, what);
    }
}
