//! One call through the house: the caller's dialog, the callees' legs, and who gets it.

use super::{B2bua, Diversion, End, NOBODY, Owner, Presentation, Work};
use crate::lab::dialog::{Dialog, address};
use crate::lab::repeat::Repeat;
use crate::lab::sdp;
use crate::lab::server::registrar;
use crate::sip::transaction::{ClientId, ServerId};
use crate::sip::{Message, Method, Name, Uri};
use crate::time::{Duration, Instant, earlier};

/// How long a session is kept after its end, for what comes late: 64*T1 and some more.
const LINGER: Duration = Duration::from_secs(40);
const ANONYMOUS: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>";

/// Who answered the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    By(usize),
    ByMailbox,
}

/// One callee.
pub(super) struct Leg {
    pub(super) dialog: Dialog,
    pub(super) client: Option<ClientId>,
    pub(super) invite_cseq: u32,
    pub(super) state: LegState,
    rseq: u32,
    /// Its 2xx was acknowledged.
    pub(super) acknowledged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LegState {
    Open,
    Refused(u16),
    Answered,
    Over,
}

/// See the module's text.
pub(super) struct Session {
    pub(super) invite: ServerId,
    /// The caller's INVITE.
    request: Vec<u8>,
    pub(super) caller: Dialog,
    pub(super) legs: Vec<Leg>,
    /// Callees that are about to be called.
    dialling: usize,
    pub(super) answered: Option<Answered>,
    /// What the caller has not acknowledged, and the transaction that it belongs to.
    pub(super) unacknowledged: Option<Repeat>,
    pub(super) asked: ServerId,
    pub(super) rseq: u32,
    pub(super) divert_at: Option<Instant>,
    diverted: bool,
    pub(super) busy_until: Instant,
    pub(super) forget_at: Option<Instant>,
}

impl Session {
    pub(super) fn new(now: Instant, invite: ServerId, message: &Message<'_>, tag: u32) -> Self {
        Self {
            invite,
            request: message.raw().to_vec(),
            caller: Dialog::of_request(message, tag),
            legs: Vec::new(),
            dialling: 0,
            answered: None,
            unacknowledged: None,
            asked: invite,
            rseq: 0,
            divert_at: None,
            diverted: false,
            busy_until: now,
            forget_at: None,
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let repeat = self.unacknowledged.as_ref().map(Repeat::next_due);
        earlier(earlier(repeat, self.divert_at), self.forget_at)
    }

    /// Whether somebody may still answer the caller.
    pub(super) fn is_open(&self) -> bool {
        self.answered.is_none() && self.forget_at.is_none()
    }

    /// The best refusal, once nobody is left who may answer.
    fn refused(&self) -> Option<u16> {
        let statuses = self.legs.iter().map(|leg| match leg.state {
            LegState::Refused(status) => Some(status),
            LegState::Over => Some(487),
            LegState::Open | LegState::Answered => None,
        });
        let all: Option<Vec<u16>> = statuses.collect();
        all.filter(|_| self.dialling == 0)?.into_iter().min()
    }
}

impl B2bua {
    pub(super) fn work(&mut self, now: Instant, number: u32, work: Work) {
        match work {
            Work::Begin => self.begin(now, number),
            Work::Dial(target) => self.dial(now, number, &target),
            Work::Response(leg, response) => {
                if let Ok(message) = Message::parse(&response) {
                    self.leg_answered(now, number, leg, &message);
                }
            }
            Work::Failed(leg) => self.leg_refused(now, number, leg, 408),
            Work::Cancelled => self.cancelled(now, number),
            Work::Acknowledged => self.acknowledged(now, number),
            Work::Request(end, id, request) => self.inside(now, (number, end), id, &request),
        }
    }

    fn begin(&mut self, now: Instant, number: u32) {
        let Some(session) = self.sessions.get(&number).filter(|s| s.is_open()) else { return };
        let (invite, request) = (session.invite, session.request.clone());
        self.reply(now, invite, &request, 100);
        let Ok(message) = Message::parse(&request) else { return };
        self.call(now, number, message.request_uri());
        if self.sessions.get(&number).is_some_and(|s| s.dialling == 0) {
            self.divert(now, number, 404, "absent");
        }
    }

    /// Calls all phones of `uri`.
    fn call(&mut self, now: Instant, number: u32, uri: &str) {
        for target in self.registrar.targets(now, uri).unwrap_or_default() {
            let wait = self.draw(self.settings.dialling);
            self.schedule(now, number, wait, Work::Dial(target));
            if let Some(session) = self.sessions.get_mut(&number) {
                session.dialling += 1;
            }
        }
    }

    fn dial(&mut self, now: Instant, number: u32, target: &str) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.dialling -= 1;
        if !session.is_open() {
            return;
        }
        let request = session.request.clone();
        let Ok(invite) = Message::parse(&request) else { return };
        let (from, asserted) = self.present(&invite);
        let dialog = Dialog {
            call_id: format!("{:016x}", self.rng.next_u64()),
            local: format!("{from};tag={:08x}", self.rng.next_u32()),
            remote: format!("<{}>", invite.request_uri()),
            target: target.to_owned(),
            cseq: 1 + self.rng.below(1 << 20),
            ..Dialog::default()
        };
        let reliable = (Name::Supported, "100rel".to_owned());
        let reliable = self.settings.reliable.then_some(reliable);
        let extra: Vec<_> = asserted.into_iter().chain(reliable).collect();
        let (via, contact) = (self.via(), self.contact());
        let body = self.described(number, End::Caller, invite.body());
        let bytes = dialog.write(Method::Invite, dialog.cseq, &via, &contact, &extra, &body);
        let user = self.number();
        let flow = address(target).and_then(|to| self.flow(to));
        let client =
            flow.and_then(|flow| self.transactions.send_request(now, flow, &bytes, user).ok());
        let Some(session) = self.sessions.get_mut(&number) else { return };
        let leg = session.legs.len();
        session.legs.push(Leg {
            client,
            invite_cseq: dialog.cseq,
            dialog,
            state: LegState::Open,
            rseq: 0,
            acknowledged: false,
        });
        self.owners.insert(user, Owner::Leg { session: number, leg });
        if client.is_none() {
            self.leg_refused(now, number, leg, 480);
        }
    }

    /// From, without its tag, and what else tells who calls.
    fn present(&self, invite: &Message<'_>) -> (String, Option<(Name, String)>) {
        let caller = invite.from().map_or("", |from| from.uri);
        let Ok(uri) = Uri::parse(caller) else { return (ANONYMOUS.to_owned(), None) };
        match self.settings.presentation {
            Presentation::Own => (format!("<{caller}>"), None),
            Presentation::Withheld => (ANONYMOUS.to_owned(), None),
            Presentation::National => {
                (format!("<sip:{}@{}>", registrar::national(uri.user), uri.host), None)
            }
            Presentation::Asserted => {
                let asserted = (Name::PAssertedIdentity, format!("<{caller}>"));
                (ANONYMOUS.to_owned(), Some(asserted))
            }
        }
    }

    fn leg_answered(&mut self, now: Instant, number: u32, at: usize, message: &Message<'_>) {
        let status = message.status();
        match status {
            100 => {}
            101..=199 => self.leg_rings(now, number, at, message),
            200..=299 => self.leg_accepted(now, number, at, message),
            _ => self.leg_refused(now, number, at, status),
        }
    }

    fn leg_rings(&mut self, now: Instant, number: u32, at: usize, message: &Message<'_>) {
        self.acknowledge_ringing(now, number, at, message);
        let (patience, own) = (self.settings.patience, self.settings.reliable);
        let diverts = self.settings.diversion != Diversion::None;
        let rseq = 1 + self.rng.below(1 << 16);
        let Some(session) = self.sessions.get_mut(&number).filter(|s| s.is_open()) else { return };
        if diverts && !session.diverted {
            session.divert_at.get_or_insert(now + patience);
        }
        if session.unacknowledged.is_some() {
            // One reliable 18x at a time (RFC 3262 s3).
            return;
        }
        let wants = Message::parse(&session.request).is_ok_and(|invite| {
            invite.values(Name::Supported).any(|tag| tag.eq_ignore_ascii_case("100rel"))
        });
        let mut extra = Vec::new();
        if own && wants && session.rseq == 0 {
            session.rseq = rseq;
            extra.push((Name::Require, "100rel".to_owned()));
            extra.push((Name::RSeq, rseq.to_string()));
        }
        let body = self.described(number, End::Callee(at), message.body());
        let response = self.answer_caller(now, number, message.status(), &extra, &body);
        if let Some(session) = self.sessions.get_mut(&number).filter(|_| !extra.is_empty()) {
            session.unacknowledged = Some(Repeat::provisional(now, response));
        }
    }

    /// PRACK to a callee whose ringing is reliable.
    fn acknowledge_ringing(&mut self, now: Instant, number: u32, at: usize, message: &Message<'_>) {
        let Some(rseq) = message.header(Name::RSeq).and_then(|value| value.parse().ok()) else {
            return;
        };
        let (via, contact) = (self.via(), self.contact());
        let Some(session) = self.sessions.get_mut(&number) else { return };
        let leg = &mut session.legs[at];
        if leg.rseq == rseq || leg.state != LegState::Open {
            return;
        }
        leg.rseq = rseq;
        leg.dialog.learn_response(message);
        leg.dialog.cseq += 1;
        let rack = (Name::RAck, format!("{rseq} {} INVITE", leg.invite_cseq));
        let dialog = &leg.dialog;
        let bytes = dialog.write(Method::Prack, dialog.cseq, &via, &contact, &[rack], "");
        if let Some(flow) = dialog.next_hop().and_then(|to| self.flow(to)) {
            // No room for it: the 18x comes again.
            let _ = self.transactions.send_request(now, flow, &bytes, NOBODY);
        }
    }

    fn leg_accepted(&mut self, now: Instant, number: u32, at: usize, message: &Message<'_>) {
        let hasty = self.settings.hasty;
        let Some(session) = self.sessions.get_mut(&number) else { return };
        let open = session.is_open();
        let leg = &mut session.legs[at];
        if leg.state == LegState::Answered {
            if leg.acknowledged {
                self.acknowledge_leg(number, at);
            }
            return;
        }
        leg.state = LegState::Answered;
        leg.dialog.learn_response(message);
        if !open {
            self.acknowledge_leg(number, at);
            return self.send_bye(now, number, End::Callee(at));
        }
        session.answered = Some(Answered::By(at));
        session.divert_at = None;
        if hasty {
            self.acknowledge_leg(number, at);
        }
        let body = self.described(number, End::Callee(at), message.body());
        self.accept_caller(now, number, &body);
        self.cancel_legs(now, number);
    }

    fn leg_refused(&mut self, now: Instant, number: u32, at: usize, status: u16) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        let leg = &mut session.legs[at];
        if leg.state == LegState::Open {
            leg.state = LegState::Refused(status);
        }
        if let Some(best) = session.refused().filter(|_| session.is_open()) {
            self.divert(now, number, best, "refused");
        }
    }

    /// The callees have rung for long enough.
    pub(super) fn out_of_patience(&mut self, now: Instant, number: u32) {
        if self.sessions.get(&number).is_some_and(Session::is_open) {
            self.cancel_legs(now, number);
            self.divert(now, number, 480, "no answer");
        }
    }

    /// Nobody takes the call: somebody else does, or the caller is told.
    fn divert(&mut self, now: Instant, number: u32, status: u16, why: &str) {
        let mailbox = self.rng.next_u32();
        let Some(session) = self.sessions.get_mut(&number).filter(|s| s.is_open()) else { return };
        let first = !core::mem::replace(&mut session.diverted, true);
        session.divert_at = None;
        match self.settings.diversion.clone() {
            Diversion::Mailbox(media) if first => {
                session.answered = Some(Answered::ByMailbox);
                self.log.push_back(format!("mailbox {mailbox} {why}"));
                self.accept_caller(now, number, &sdp::write(media, mailbox, 0));
            }
            Diversion::Forward(uri) if first => {
                self.log.push_back(format!("forward {why}"));
                self.call(now, number, &uri);
                if self.sessions.get(&number).is_some_and(|session| session.dialling == 0) {
                    self.refuse_caller(now, number, status);
                }
            }
            _ => self.refuse_caller(now, number, status),
        }
    }

    fn cancel_legs(&mut self, now: Instant, number: u32) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        for leg in session.legs.iter_mut().filter(|leg| leg.state == LegState::Open) {
            leg.state = LegState::Over;
            if let Some(client) = leg.client {
                self.transactions.cancel(now, client);
            }
        }
    }

    /// The caller hung up before an answer.
    fn cancelled(&mut self, now: Instant, number: u32) {
        if self.sessions.get(&number).is_some_and(Session::is_open) {
            self.refuse_caller(now, number, 487);
            self.cancel_legs(now, number);
        }
    }

    fn accept_caller(&mut self, now: Instant, number: u32, body: &str) {
        let response = self.answer_caller(now, number, 200, &[], body);
        if let Some(session) = self.sessions.get_mut(&number) {
            session.unacknowledged = Some(Repeat::success(now, response));
        }
    }

    fn refuse_caller(&mut self, now: Instant, number: u32, status: u16) {
        self.answer_caller(now, number, status, &[], "");
        if let Some(session) = self.sessions.get_mut(&number) {
            session.close(now);
        }
    }

    /// Answers the caller's INVITE under the session's own tag.
    fn answer_caller(
        &mut self,
        now: Instant,
        number: u32,
        status: u16,
        extra: &[(Name, String)],
        body: &str,
    ) -> Vec<u8> {
        let Some(session) = self.sessions.get(&number) else { return Vec::new() };
        let (invite, request) = (session.invite, session.request.clone());
        let tag = session.caller.local_tag().to_owned();
        let Ok(message) = Message::parse(&request) else { return Vec::new() };
        let seen = self.transactions.server_flow(invite).map(|flow| flow.to);
        let contact = (Name::Contact, self.contact());
        let extra: Vec<_> = core::iter::once(contact).chain(extra.iter().cloned()).collect();
        let response = registrar::answer(&message, status, &tag, seen, &extra, body);
        self.transactions.respond(now, invite, &response);
        response
    }
}

impl Session {
    /// Ends the session; what comes late still finds it.
    pub(super) fn close(&mut self, now: Instant) {
        self.forget_at.get_or_insert(now + LINGER);
        self.unacknowledged = None;
        self.divert_at = None;
    }
}
