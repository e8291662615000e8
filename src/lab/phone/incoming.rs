//! What a phone is asked for: INVITE, ACK, CANCEL, BYE, OPTIONS.

use super::call::Call;
use super::{Manner, Phone};
use crate::lab::dialog::{Dialog, written};
use crate::lab::repeat::Repeat;
use crate::lab::sdp;
use crate::net::Rejected;
use crate::sip::transaction::{Flow, Incoming, ServerId};
use crate::sip::{Message, Method, Name, reason_phrase};
use crate::time::{Duration, Instant};

/// How long somebody who picks up waits for the PRACK of the ringing.
const PRACK_WAIT: Duration = Duration::from_millis(50);

impl Phone {
    /// Takes a request from the wire.
    pub(super) fn receive_request(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        flow: Flow,
    ) -> Result<(), Rejected> {
        let incoming =
            self.transactions.receive_request(now, message, flow).map_err(|_| Rejected::Full)?;
        match incoming {
            Incoming::New(id) => self.receive_new(now, id, message),
            Incoming::AckOfSuccess => self.receive_ack(now, message),
            Incoming::Cancel { id, invite } => self.receive_cancel(now, id, invite, message),
            Incoming::Repeated | Incoming::Ack => {}
        }
        Ok(())
    }

    fn receive_new(&mut self, now: Instant, id: ServerId, message: &Message<'_>) {
        let known = self.calls.iter().position(|call| call.dialog.has_request(message));
        let in_dialog = message.to().is_some_and(|to| to.tag().is_some());
        match (message.method(), known) {
            (Method::Invite, Some(number)) => self.receive_reinvite(now, id, number, message),
            (Method::Bye, Some(number)) => {
                self.reply(now, id, message, 200);
                self.calls[number].end(now, 200);
            }
            (Method::Prack, Some(number)) => self.receive_prack(now, id, number, message),
            (Method::Bye | Method::Invite | Method::Update | Method::Prack, None) if in_dialog => {
                self.reply(now, id, message, 481);
            }
            (Method::Invite, None) => self.receive_invite(now, id, message),
            (Method::Options | Method::Notify | Method::Info | Method::Message, _) => {
                self.reply(now, id, message, 200);
            }
            _ => self.reply(now, id, message, 501),
        }
    }

    fn receive_invite(&mut self, now: Instant, id: ServerId, message: &Message<'_>) {
        let tag = self.rng.next_u32();
        let dialog = Dialog::of_request(message, tag);
        let source = self.source();
        let mut call = Call::new(now, dialog, false, source);
        call.server = Some(id);
        call.offer = message.body().to_vec();
        call.describe(now, message.body());
        call.report.record_routes = crate::lab::dialog::record_routes(message);
        self.calls.push(call);
        let number = self.calls.len() - 1;
        let live = self.calls.iter().filter(|call| call.is_live()).count();
        match self.manner {
            Manner::Silent => {}
            _ if live > self.settings.habits.lines => self.refuse(now, number, id, 486),
            Manner::Refuse(status) => self.refuse(now, number, id, status),
            Manner::Answer | Manner::Ring => self.ring(now, number, id, message),
        }
    }

    /// Rings: 180, or 183 with early sound; reliable where both ends want that (RFC 3262).
    fn ring(&mut self, now: Instant, number: usize, id: ServerId, invite: &Message<'_>) {
        let habits = self.settings.habits;
        let (status, body) = match habits.early {
            true => (183, sdp::write(self.settings.media, self.calls[number].report.session, 0)),
            false => (180, String::new()),
        };
        let reliable = habits.reliable && supports_reliable(invite);
        let rseq = if reliable { 1 + self.rng.below(1 << 16) } else { 0 };
        let extra = [(Name::Require, "100rel".to_owned()), (Name::RSeq, rseq.to_string())];
        let extra = if reliable { &extra[..] } else { &[] };
        let ringing = self.write_answer(number, invite, status, extra, &body);
        self.transactions.respond(now, id, &ringing);
        let call = &mut self.calls[number];
        call.report.alerted = Some(now);
        call.rseq = rseq;
        call.unacknowledged = reliable.then(|| Repeat::provisional(now, ringing));
        if habits.early {
            call.speak(now);
        }
        if self.manner == Manner::Answer {
            call.answer_at = Some(now + self.settings.ring);
        }
    }

    /// Somebody picks up.
    pub(super) fn answer(&mut self, now: Instant, number: usize) {
        let Some(id) = self.calls[number].server else { return };
        if self.settings.habits.early && self.calls[number].unacknowledged.is_some() {
            // A description in the 18x has to be acknowledged first (RFC 3262 s3).
            self.calls[number].answer_at = Some(now + PRACK_WAIT);
            return;
        }
        let Some(request) = self.transactions.request(id).map(<[u8]>::to_vec) else { return };
        let Ok(invite) = Message::parse(&request) else { return };
        let answer = sdp::write(self.settings.media, self.calls[number].report.session, 0);
        let response = self.write_answer(number, &invite, 200, &[], &answer);
        self.transactions.respond(now, id, &response);
        let call = &mut self.calls[number];
        call.unacknowledged = Some(Repeat::success(now, response));
        call.report.answered = Some(now);
        call.report.status = 200;
        call.speak(now);
    }

    fn receive_reinvite(
        &mut self,
        now: Instant,
        id: ServerId,
        number: usize,
        message: &Message<'_>,
    ) {
        let answer = sdp::write(self.settings.media, self.calls[number].report.session, 1);
        let response = self.write_answer(number, message, 200, &[], &answer);
        self.transactions.respond(now, id, &response);
        let call = &mut self.calls[number];
        call.dialog.learn_target(message);
        call.describe(now, message.body());
        call.server = Some(id);
        call.unacknowledged = Some(Repeat::success(now, response));
    }

    fn receive_ack(&mut self, now: Instant, message: &Message<'_>) {
        let known = self.calls.iter_mut().find(|call| call.dialog.has_request(message));
        let Some(call) = known else { return };
        call.unacknowledged = None;
        call.server = None;
        call.report.confirmed.get_or_insert(now);
        if call.offer.is_empty() {
            call.describe(now, message.body());
        }
    }

    fn receive_prack(&mut self, now: Instant, id: ServerId, number: usize, message: &Message<'_>) {
        let named = message.header(Name::RAck).and_then(|value| value.split(' ').next());
        let call = &mut self.calls[number];
        let known = named == Some(call.rseq.to_string().as_str());
        if known && call.report.answered.is_none() {
            call.unacknowledged = None;
        }
        self.reply(now, id, message, if known { 200 } else { 481 });
    }

    fn receive_cancel(
        &mut self,
        now: Instant,
        id: ServerId,
        invite: Option<ServerId>,
        message: &Message<'_>,
    ) {
        let call = invite.and_then(|invite| {
            self.calls.iter().position(|call| call.server == Some(invite) && call.is_live())
        });
        self.reply(now, id, message, if invite.is_some() { 200 } else { 481 });
        if let (Some(number), Some(invite)) = (call, invite)
            && self.calls[number].report.answered.is_none()
        {
            self.refuse(now, number, invite, 487);
        }
    }

    /// Answers an INVITE with a refusal; the call is over.
    pub(super) fn refuse(&mut self, now: Instant, number: usize, id: ServerId, status: u16) {
        let request = self.transactions.request(id).map(<[u8]>::to_vec).unwrap_or_default();
        if let Ok(invite) = Message::parse(&request) {
            let response = self.write_answer(number, &invite, status, &[], "");
            self.transactions.respond(now, id, &response);
        }
        self.calls[number].end(now, status);
    }

    /// Answers a request that belongs to no call, or needs no body.
    fn reply(&mut self, now: Instant, id: ServerId, message: &Message<'_>, status: u16) {
        let tag = self.rng.next_u32();
        let has_tag = message.to().is_some_and(|to| to.tag().is_some());
        let response = written(b"", |writer| {
            writer.status(status, reason_phrase(status));
            for header in message.headers() {
                match header.name {
                    Name::Via | Name::From | Name::CallId | Name::CSeq => writer.copy(header),
                    Name::To if has_tag => writer.copy(header),
                    Name::To => {
                        writer.header(Name::To, format_args!("{};tag={tag:08x}", header.value));
                    }
                    _ => {}
                }
            }
        });
        self.transactions.respond(now, id, &response);
    }

    /// Writes an answer to an INVITE, with our tag, route set and Contact (RFC 3261 s12.1.1).
    fn write_answer(
        &self,
        number: usize,
        message: &Message<'_>,
        status: u16,
        extra: &[(Name, String)],
        body: &str,
    ) -> Vec<u8> {
        let (local, contact) = (&self.calls[number].dialog.local, self.contact());
        written(body.as_bytes(), |writer| {
            writer.status(status, reason_phrase(status));
            for header in message.headers() {
                match header.name {
                    Name::Via | Name::From | Name::CallId | Name::CSeq => writer.copy(header),
                    Name::RecordRoute if status < 300 => writer.copy(header),
                    Name::To => writer.header(Name::To, local),
                    _ => {}
                }
            }
            if status < 300 {
                writer.header(Name::Contact, &contact);
            }
            extra.iter().for_each(|(name, value)| writer.header(*name, value));
            if !body.is_empty() {
                writer.header(Name::ContentType, "application/sdp");
            }
        })
    }
}

/// Whether the caller understands reliable provisional responses.
fn supports_reliable(invite: &Message<'_>) -> bool {
    let mut tags = invite.values(Name::Supported).chain(invite.values(Name::Require));
    tags.any(|tag| tag.eq_ignore_ascii_case("100rel"))
}
