//! Session refreshes that the provider owes (RFC 4028, CALLS §4.1).
//!
//! Phones that agreed on a session timer end a call that is not refreshed. With a server that is a
//! B2BUA, or whose far phone it cuts off, nobody does that any more once it has failed. So the
//! adapter asks its phone in the server's place, a while after the refresh was due, and keeps the
//! answer for itself. A phone that refreshes by itself is answered by the other adapter's phone
//! (see `dialog`), or where none is known from here, with what was agreed on last.

use super::CallId;
use super::described::text_of;
use super::dialog::DialogAt;
use super::own::Why;
use crate::adapter::Adapter;
use crate::adapter::exchange::ExchangeId;
use crate::adapter::names::Path;
use crate::adapter::reply::Extra;
use crate::limits::{
    CALL_DIALOGS_MAX, SESSION_INTERVAL_MAX_S, SESSION_INTERVAL_MIN_S, SESSION_TRIES_MAX,
};
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
    /// The phone refreshes the session, and not its far end.
    by_phone: bool,
    /// When the phone's far end owes it a refresh; none: it owes none, waits for the answer to
    /// one, or has given up.
    pub(super) due: Option<Instant>,
    /// The shortest interval that the phone takes, in seconds, where it said so.
    least_s: Option<u32>,
    /// How often it refused a refresh since.
    refusals: u8,
}

impl SessionTimer {
    /// What a message with this Session-Expires agrees on; `asked`: the phone asked for it
    /// (RFC 4028 s9).
    fn read(now: Instant, value: &str, asked: bool) -> Option<Self> {
        let mut parts = value.split(';').map(str::trim);
        let seconds: u32 = parts.next()?.parse().ok()?;
        let by_uas = parts.any(|part| part.eq_ignore_ascii_case("refresher=uas"));
        let seconds = seconds.clamp(SESSION_INTERVAL_MIN_S, SESSION_INTERVAL_MAX_S);
        Some(Self::new(now, Duration::from_secs(seconds.into()), asked != by_uas))
    }

    fn agreed(now: Instant, success: &Message<'_>, asked: bool) -> Option<Self> {
        Self::read(now, success.header(Name::SessionExpires)?, asked)
    }

    fn new(now: Instant, interval: Duration, by_phone: bool) -> Self {
        // Half of the interval is the refresher's time (s7.2), the last third and at least 32 s
        // the phone's to end the call (s10): shortly after the one, before the other.
        let due = (!by_phone).then_some(now + interval / 2 + interval / 16);
        Self { interval, since: now, by_phone, due, least_s: None, refusals: 0 }
    }

    /// What a request to the phone says of it: without, its 2xx would end the timer (RFC 4028 s9).
    pub(super) fn headers(&self) -> Vec<(Name, String)> {
        let refresher = if self.by_phone { "uas" } else { "uac" };
        let expires = format!("{};refresher={refresher}", self.interval.as_secs());
        let mut headers =
            vec![(Name::Supported, "timer".to_owned()), (Name::SessionExpires, expires)];
        headers.extend(self.least_s.map(|least| (Name::MinSe, least.to_string())));
        headers
    }

    /// When both ends have given the session up, unless it is refreshed before (s10).
    pub(super) fn ends(&self) -> Instant {
        self.since + self.interval
    }

    /// The phone wants a longer interval (s7.3).
    fn lengthen(&mut self, least: Option<u32>) {
        let least = least.unwrap_or(SESSION_INTERVAL_MIN_S);
        let least = least.clamp(SESSION_INTERVAL_MIN_S, SESSION_INTERVAL_MAX_S);
        self.interval = self.interval.max(Duration::from_secs(least.into()));
        self.least_s = Some(least);
    }

    /// The phone has refused a refresh: it is asked again after this time, if at all.
    fn ask_again(&mut self, now: Instant, wait: Option<Duration>) {
        let tries = self.refusals < SESSION_TRIES_MAX;
        let due = wait.filter(|_| tries).map(|wait| now + wait);
        self.due = due.filter(|at| *at < self.since + self.interval);
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
                session.ask_again(now, Some(LOOK_AGAIN));
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
        let provider = self.providers.get(call.provider);
        match (session, provider) {
            (Some(session), Some(provider)) => {
                let due = session.since + session.interval / 2;
                !provider.is_up() || provider.state.last_sign() < due
            }
            _ => false,
        }
    }

    fn refresh_phone(&mut self, now: Instant, at: DialogAt) {
        let Some(call) = self.calls.get_mut(at.0) else { return };
        let Some(dialog) = call.dialogs.get(at.1) else { return };
        let Some(session) = dialog.session else { return };
        let described = match dialog.takes_update {
            true => None,
            false => call.described.offer_again(),
        };
        let (method, body) = match described {
            Some(shown) => (Method::Invite, shown),
            None => (Method::Update, Vec::new()),
        };
        if !self.ask_phone(now, at, method, (session.headers(), &body), Why::Refresh) {
            return;
        }
        self.counters.sessions_refreshed += 1;
        self.trace_note(now, at.0, "refreshed in the server's place");
        let dialog = self.calls.get_mut(at.0).and_then(|call| call.dialogs.get_mut(at.1));
        if let Some(session) = dialog.and_then(|dialog| dialog.session.as_mut()) {
            session.due = None;
        }
    }

    /// The phone answers a refresh, or does not.
    pub(super) fn refresh_answered(
        &mut self,
        now: Instant,
        at: DialogAt,
        message: Option<&Message<'_>>,
    ) {
        let accepted = message.filter(|message| (200..300).contains(&message.status()));
        if let Some(text) = accepted.and_then(text_of) {
            self.phone_describes(now, at, text);
        }
        match accepted {
            Some(success) => self.session_goes_on(now, at, success),
            None => self.refresh_refused(now, at, message),
        }
    }

    /// The phone takes a request that says who refreshes its session.
    pub(super) fn session_goes_on(&mut self, now: Instant, at: DialogAt, success: &Message<'_>) {
        let dialog = self.calls.get_mut(at.0).and_then(|call| call.dialogs.get_mut(at.1));
        let Some(dialog) = dialog else { return };
        let Some(session) = dialog.session else { return };
        let same = SessionTimer::new(now, session.interval, false);
        dialog.session = Some(SessionTimer::agreed(now, success, false).unwrap_or(same));
    }

    /// The phone wants a longer interval, if that is what it says.
    pub(super) fn note_interval(&mut self, at: DialogAt, refusal: &Message<'_>) {
        let dialog = self.calls.get_mut(at.0).and_then(|call| call.dialogs.get_mut(at.1));
        let session = dialog.and_then(|dialog| dialog.session.as_mut());
        if let Some(session) = session.filter(|_| refusal.status() == 422) {
            let least = refusal.header(Name::MinSe).and_then(|value| value.split(';').next());
            session.lengthen(least.and_then(|value| value.trim().parse().ok()));
        }
    }

    fn refresh_refused(&mut self, now: Instant, at: DialogAt, refusal: Option<&Message<'_>>) {
        if let Some(refusal) = refusal {
            self.note_interval(at, refusal);
        }
        let glare = Duration::from_millis((2_100 + self.rng.below(1_900)).into());
        let Some(call) = self.calls.get_mut(at.0) else { return };
        call.described.withdraw();
        let described = call.described.agreed().is_some();
        let Some(dialog) = call.dialogs.get_mut(at.1) else { return };
        let Some(mut session) = dialog.session else { return };
        let wait = match refusal.map(Message::status) {
            // Its own INVITE crossed ours (RFC 3261 s14.1).
            Some(491) => Some(glare),
            Some(405 | 501) if dialog.takes_update && described => {
                dialog.takes_update = false;
                Some(Duration::ZERO)
            }
            Some(405 | 501) => None,
            status => {
                session.refusals += 1;
                let longer = LOOK_AGAIN * (1 << session.refusals.min(SESSION_TRIES_MAX));
                Some(if status == Some(422) { Duration::ZERO } else { longer })
            }
        };
        session.ask_again(now, wait);
        dialog.session = Some(session);
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
        let contact = format!("<{}>", self.shown_to_phone(call, dialog));
        let asked = message.header(Name::SessionExpires);
        let session = asked.and_then(|value| SessionTimer::read(now, value, true));
        let seconds = asked.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
        let refresher = if session.is_some_and(|it| it.by_phone) { "uac" } else { "uas" };
        let expires = format!("{seconds};refresher={refresher}");
        let described = message.method() == Method::Invite || !message.body().is_empty();
        let Some(call) = self.calls.get_mut(id) else { return false };
        if let Some(dialog) = call.dialogs.get_mut(at) {
            dialog.session = session;
        }
        let shown = if described { call.described.shown_again() } else { None };
        let shown = shown.unwrap_or_default();
        let mut extra: heapless::Vec<Extra<'_>, 4> = heapless::Vec::new();
        let _ = extra.push((Name::Contact, &contact));
        if session.is_some() {
            let _ = extra.push((Name::Require, &"timer"));
            let _ = extra.push((Name::SessionExpires, &expires));
        }
        if !shown.is_empty() {
            let _ = extra.push((Name::ContentType, &"application/sdp"));
        }
        let answer = self.reply_described(now, server, &extra, &shown);
        self.counters.sessions_refreshed += 1;
        self.trace_note(now, id, "its refresh is answered in the server's place");
        if let Some(call) = self.calls.get_mut(id) {
            call.described.settle(true);
        }
        if let Some(answer) = answer.filter(|_| message.method() == Method::Invite) {
            self.keep_own_success(now, (id, at), (server, answer));
        }
        self.arm(id);
        self.exchange_is_answered(now, exchange);
        true
    }
}
