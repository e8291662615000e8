//! Session refreshes that the provider owes (RFC 4028, CALLS §4.1).
//!
//! Phones that agreed on a session timer end a call that is not refreshed. With a server that is a
//! B2BUA, or whose far phone it cuts off, nobody does that any more once it has failed. So the
//! adapter asks its phone in the server's place, a while after the refresh was due, and keeps the
//! answer for itself. A phone that refreshes by itself is answered by the other adapter's phone
//! (see `dialog`), or where none is known from here, with what was agreed on last.

use super::CallId;
use super::dialog::DialogAt;
use super::own::Why;
use crate::adapter::Adapter;
use crate::adapter::exchange::ExchangeId;
use crate::adapter::names::Path;
use crate::adapter::reply::Extra;
use crate::limits::{CALL_DIALOGS_MAX, SESSION_INTERVAL_MIN_S};
use crate::sip::{Message, Method, Name};
use crate::time::{Duration, Instant};

/// Between two looks at a refresh that is late while the server is up.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// The session timer of a dialog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SessionTimer {
    /// The session interval.
    interval: Duration,
    /// When it was agreed on last.
    since: Instant,
    /// When the phone's far end owes it a refresh; none: the phone refreshes, or has given up.
    pub(super) due: Option<Instant>,
}

impl SessionTimer {
    /// What a 2xx agrees on; `asked`: it answers the phone's request (RFC 4028 s9).
    fn agreed(now: Instant, success: &Message<'_>, asked: bool) -> Option<Self> {
        let value = success.header(Name::SessionExpires)?;
        let mut parts = value.split(';').map(str::trim);
        let seconds: u32 = parts.next()?.parse().ok()?;
        let by_uas = parts.any(|part| part.eq_ignore_ascii_case("refresher=uas"));
        let seconds = seconds.max(SESSION_INTERVAL_MIN_S);
        Some(Self::new(now, Duration::from_secs(seconds.into()), asked != by_uas))
    }

    fn new(now: Instant, interval: Duration, by_phone: bool) -> Self {
        // Half of the interval is the refresher's time (s7.2), the last third and at least 32 s
        // the phone's to end the call (s10): shortly after the one, before the other.
        let due = now + interval / 2 + interval / 16;
        Self { interval, since: now, due: (!by_phone).then_some(due) }
    }
}

impl Adapter {
    /// What a 2xx in a dialog says of its session timer.
    pub(super) fn note_session(
        &mut self,
        now: Instant,
        (id, at): DialogAt,
        phone_asked: bool,
        success: &Message<'_>,
    ) {
        let refreshes = matches!(success.method(), Method::Invite | Method::Update);
        let dialog = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at));
        let Some(dialog) = dialog.filter(|_| refreshes) else { return };
        if (200..300).contains(&success.status()) {
            dialog.session = SessionTimer::agreed(now, success, phone_asked);
            self.arm(id);
        }
    }

    /// Sends what is owed.
    pub(super) fn refreshes_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let mut owed: heapless::Vec<usize, CALL_DIALOGS_MAX> = heapless::Vec::new();
        for (at, dialog) in call.dialogs.iter_mut().enumerate() {
            let runs = dialog.confirmed && !dialog.ending && dialog.far().path == Path::Server;
            let Some(session) = &mut dialog.session else { continue };
            if session.due.take_if(|due| now >= *due).is_some() && runs {
                let over = now >= session.since + session.interval;
                session.due = (!over).then_some(now + LOOK_AGAIN);
                let _ = owed.push(at);
            }
        }
        for at in owed {
            if self.server_owes((id, at)) {
                self.refresh_phone(now, (id, at));
            }
        }
    }

    /// Whether the refresh is missing because of the server: it is not up, or has given no sign
    /// since the refresh was due.
    fn server_owes(&self, (id, at): DialogAt) -> bool {
        let Some(call) = self.calls.get(id) else { return false };
        let session = call.dialogs.get(at).and_then(|dialog| dialog.session);
        let provider = call.provider.and_then(|at| self.providers.get(usize::from(at)));
        match (session, provider) {
            (Some(session), Some(provider)) => {
                let due = session.since + session.interval / 2;
                !provider.is_up() || provider.state.last_sign() < due
            }
            _ => false,
        }
    }

    fn refresh_phone(&mut self, now: Instant, at: DialogAt) {
        let Some(call) = self.calls.get(at.0) else { return };
        let Some(dialog) = call.dialogs.get(at.1) else { return };
        let Some(session) = dialog.session else { return };
        let told = call.described.agreed().map(|pair| pair.told.clone());
        let update = dialog.takes_update || told.is_none();
        let (method, body) = match told.filter(|_| !update) {
            Some(told) => (Method::Invite, told),
            None => (Method::Update, Vec::new()),
        };
        let expires = format!("{};refresher=uac", session.interval.as_secs());
        let headers = vec![(Name::Supported, "timer".to_owned()), (Name::SessionExpires, expires)];
        if self.ask_phone(now, at, method, (headers, &body), Why::Refresh) {
            self.counters.sessions_refreshed += 1;
            self.trace_note(now, at.0, "refreshed in the server's place");
        }
    }

    /// The phone answers a refresh.
    pub(super) fn refresh_answered(&mut self, now: Instant, at: DialogAt, message: &Message<'_>) {
        let dialog = self.calls.get_mut(at.0).and_then(|call| call.dialogs.get_mut(at.1));
        let Some(dialog) = dialog else { return };
        let Some(session) = dialog.session else { return };
        match message.status() {
            200..300 => {
                let agreed = SessionTimer::agreed(now, message, false);
                let same = SessionTimer::new(now, session.interval, false);
                dialog.session = Some(agreed.unwrap_or(same));
            }
            422 => {
                let least = message.header(Name::MinSe).and_then(|value| value.trim().parse().ok());
                let least = Duration::from_secs(least.unwrap_or(SESSION_INTERVAL_MIN_S).into());
                let interval = session.interval.max(least);
                dialog.session = Some(SessionTimer { interval, ..session });
            }
            405 | 501 => dialog.takes_update = false,
            _ => {}
        }
    }

    /// Answers a phone's own refresh from here: the server is silent, and no other adapter known.
    /// Whether it was one.
    pub(crate) fn answer_for_server(
        &mut self,
        now: Instant,
        exchange: ExchangeId,
        (id, at): DialogAt,
        message: &Message<'_>,
    ) -> bool {
        let server = self.exchanges.get(exchange).map(|exchange| exchange.server);
        let call = self.calls.get(id).filter(|call| call.described.is_refresh(message));
        let (Some(call), Some(server)) = (call, server) else { return false };
        let Some(dialog) = call.dialogs.get(at) else { return false };
        let described = message.method() == Method::Invite || !message.body().is_empty();
        let told = call.described.agreed().filter(|_| described);
        let told = told.map(|pair| pair.told.clone()).unwrap_or_default();
        let contact = format!("<{}>", self.shown_to_phone(call, dialog));
        let asked = message.header(Name::SessionExpires).and_then(|value| value.split(';').next());
        let expires = format!("{};refresher=uac", asked.unwrap_or_default().trim());
        let mut extra: heapless::Vec<Extra<'_>, 4> = heapless::Vec::new();
        let _ = extra.push((Name::Contact, &contact));
        if asked.is_some() {
            let _ = extra.push((Name::Require, &"timer"));
            let _ = extra.push((Name::SessionExpires, &expires));
        }
        if !told.is_empty() {
            let _ = extra.push((Name::ContentType, &"application/sdp"));
        }
        let answer = self.reply_described(now, server, &extra, &told);
        self.counters.sessions_refreshed += 1;
        self.trace_note(now, id, "its refresh is answered in the server's place");
        if let Some(call) = self.calls.get_mut(id) {
            call.described.settle();
        }
        if let Some(answer) = answer.filter(|_| message.method() == Method::Invite) {
            self.keep_own_success(now, (id, at), (server, answer));
        }
        self.exchange_is_answered(now, exchange);
        true
    }
}
