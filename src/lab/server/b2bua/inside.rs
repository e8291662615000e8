//! Inside a call: what one end asks is asked of the other in a request of our own.

use super::session::Answered;
use super::{B2bua, End, NOBODY, Owner};
use crate::lab::dialog::Dialog;
use crate::lab::repeat::Repeat;
use crate::lab::server::registrar;
use crate::sip::transaction::ServerId;
use crate::sip::{Message, Method, Name};
use crate::time::Instant;

impl B2bua {
    /// The caller has acknowledged what it was sent.
    pub(super) fn acknowledged(&mut self, _now: Instant, number: u32) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.unacknowledged = None;
        if let Some(Answered::By(leg)) = session.answered
            && !session.legs[leg].acknowledged
        {
            self.acknowledge_leg(number, leg);
        }
    }

    /// Sends the ACK of a callee's 2xx.
    pub(super) fn acknowledge_leg(&mut self, number: u32, at: usize) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        session.legs[at].acknowledged = true;
        let cseq = session.legs[at].invite_cseq;
        self.send_ack(number, End::Callee(at), cseq);
    }

    fn send_ack(&mut self, number: u32, end: End, cseq: u32) {
        let (via, contact) = (self.via(), self.contact());
        let Some(dialog) = self.dialog(number, end) else { return };
        let ack = dialog.write(Method::Ack, cseq, &via, &contact, &[], "");
        if let Some(flow) = dialog.next_hop().and_then(|to| self.flow(to)) {
            // A lost ACK is sent again when the 2xx is.
            let _ = self.transactions.send_stateless(flow, &ack);
        }
    }

    fn dialog(&mut self, number: u32, end: End) -> Option<&mut Dialog> {
        let session = self.sessions.get_mut(&number)?;
        Some(match end {
            End::Caller => &mut session.caller,
            End::Callee(at) => &mut session.legs.get_mut(at)?.dialog,
        })
    }

    /// Sends a request inside a dialog.
    fn ask(
        &mut self,
        now: Instant,
        (number, end): (u32, End),
        method: Method<'_>,
        body: &str,
        owner: Option<Owner>,
    ) -> Option<()> {
        let (via, contact) = (self.via(), self.contact());
        let dialog = self.dialog(number, end)?;
        dialog.cseq += 1;
        let bytes = dialog.write(method, dialog.cseq, &via, &contact, &[], body);
        let flow = dialog.next_hop().and_then(|to| self.flow(to))?;
        let user = if owner.is_some() { self.number() } else { NOBODY };
        self.transactions.send_request(now, flow, &bytes, user).ok()?;
        if let Some(owner) = owner {
            self.owners.insert(user, owner);
        }
        Some(())
    }

    pub(super) fn send_bye(&mut self, now: Instant, number: u32, end: End) {
        // Where it finds no room, the far end hears nothing more and ends the call itself.
        let _ = self.ask(now, (number, end), Method::Bye, "", None);
    }

    /// Ends the call: BYE to every end that is in it, but for the one that said so.
    pub(super) fn end(&mut self, now: Instant, number: u32, but: Option<End>) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if session.forget_at.is_some() {
            return;
        }
        session.close(now);
        let mut ends = Vec::new();
        match session.answered {
            Some(Answered::By(leg)) => ends.extend([End::Caller, End::Callee(leg)]),
            Some(Answered::ByMailbox) => ends.push(End::Caller),
            None => {}
        }
        for end in ends.into_iter().filter(|end| Some(*end) != but) {
            self.send_bye(now, number, end);
        }
    }

    /// The end that hears what `end` says; none where a mailbox listens, or nobody yet.
    fn other(&self, number: u32, end: End) -> Option<End> {
        match (end, self.sessions.get(&number)?.answered?) {
            (End::Caller, Answered::By(leg)) => Some(End::Callee(leg)),
            (End::Callee(leg), Answered::By(winner)) if leg == winner => Some(End::Caller),
            _ => None,
        }
    }

    /// A request inside a dialog.
    pub(super) fn inside(
        &mut self,
        now: Instant,
        (number, end): (u32, End),
        id: ServerId,
        request: &[u8],
    ) {
        let Ok(message) = Message::parse(request) else { return };
        match message.method() {
            Method::Bye => {
                self.reply(now, id, request, 200);
                self.end(now, number, Some(end));
            }
            Method::Prack => {
                let named = message.header(Name::RAck).and_then(|value| value.split(' ').next());
                if let Some(session) = self.sessions.get_mut(&number)
                    && named == Some(session.rseq.to_string().as_str())
                    && session.is_open()
                {
                    session.unacknowledged = None;
                }
                self.reply(now, id, request, 200);
            }
            method => {
                let Some(other) = self.other(number, end) else {
                    return self.reply(now, id, request, 488);
                };
                let body = self.described(number, end, message.body());
                let owner = Owner::Passed { session: number, from: end, server: id };
                if self.ask(now, (number, other), method, &body, Some(owner)).is_none() {
                    self.reply(now, id, request, 503);
                }
            }
        }
    }

    /// The answer to a request that was passed on goes back to who asked.
    pub(super) fn pass_back(
        &mut self,
        now: Instant,
        (number, from): (u32, End),
        server: ServerId,
        message: &Message<'_>,
    ) {
        let status = message.status();
        let invite = message.method() == Method::Invite;
        if invite && (200..300).contains(&status) {
            let cseq = message.cseq().map_or(0, |(cseq, _)| cseq);
            if let Some(other) = self.other(number, from) {
                self.send_ack(number, other, cseq);
            }
        }
        let Some(request) = self.transactions.request(server).map(<[u8]>::to_vec) else { return };
        let Ok(request) = Message::parse(&request) else { return };
        let other = self.other(number, from).unwrap_or(End::Caller);
        let body = self.described(number, other, message.body());
        let extra = [(Name::Contact, self.contact())];
        let response = registrar::answer(&request, status, "", None, &extra, &body);
        self.transactions.respond(now, server, &response);
        if let Some(session) = self.sessions.get_mut(&number)
            && invite
            && (200..300).contains(&status)
            && session.forget_at.is_none()
        {
            session.asked = server;
            session.unacknowledged = Some(Repeat::success(now, response));
        }
    }

    pub(super) fn pass_failed(&mut self, now: Instant, number: u32, server: ServerId) {
        if let Some(request) = self.transactions.request(server).map(<[u8]>::to_vec) {
            self.reply(now, server, &request, 408);
        }
        self.end(now, number, None);
    }

    /// The caller has not acknowledged: what it was sent is sent again.
    pub(super) fn answer_again(&mut self, now: Instant, number: u32) {
        let Some(session) = self.sessions.get(&number) else { return };
        if let Some(repeat) = &session.unacknowledged {
            self.transactions.respond(now, session.asked, &repeat.response);
        }
    }
}
