//! What a phone is asked for: INVITE, ACK, CANCEL, BYE, OPTIONS.

use super::call::{Call, Success};
use super::dialog::{Dialog, written};
use super::{Manner, Phone};
use crate::lab::sdp;
use crate::net::Rejected;
use crate::sip::transaction::{Flow, Incoming, ServerId};
use crate::sip::{Message, Method, Name, reason_phrase};
use crate::time::Instant;

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
            (Method::Bye | Method::Invite | Method::Update, None) if in_dialog => {
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
        call.describe(message.body());
        call.report.record_routes = super::dialog::record_routes(message);
        self.calls.push(call);
        let number = self.calls.len() - 1;
        match self.manner {
            Manner::Busy => self.refuse(now, number, id, 486),
            Manner::Decline => self.refuse(now, number, id, 603),
            Manner::Answer | Manner::Ring => {
                let ringing = self.write_answer(number, message, 180, "");
                self.transactions.respond(now, id, &ringing);
                let call = &mut self.calls[number];
                call.report.alerted = Some(now);
                if self.manner == Manner::Answer {
                    call.answer_at = Some(now + self.settings.ring);
                }
            }
        }
    }

    /// Somebody picks up.
    pub(super) fn answer(&mut self, now: Instant, number: usize) {
        let Some(id) = self.calls[number].server else { return };
        let Some(request) = self.transactions.request(id).map(<[u8]>::to_vec) else { return };
        let Ok(invite) = Message::parse(&request) else { return };
        let answer = sdp::write(self.settings.media, number as u32, 0);
        let response = self.write_answer(number, &invite, 200, &answer);
        self.transactions.respond(now, id, &response);
        let call = &mut self.calls[number];
        call.success = Some(Success::new(now, response));
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
        let answer = sdp::write(self.settings.media, number as u32, 1);
        let response = self.write_answer(number, message, 200, &answer);
        self.transactions.respond(now, id, &response);
        let call = &mut self.calls[number];
        call.dialog.learn_target(message);
        call.describe(message.body());
        call.server = Some(id);
        call.success = Some(Success::new(now, response));
    }

    fn receive_ack(&mut self, now: Instant, message: &Message<'_>) {
        let known = self.calls.iter_mut().find(|call| call.dialog.has_request(message));
        let Some(call) = known else { return };
        call.success = None;
        call.server = None;
        call.report.confirmed.get_or_insert(now);
        if call.offer.is_empty() {
            call.describe(message.body());
        }
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
            let response = self.write_answer(number, &invite, status, "");
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
            if !body.is_empty() {
                writer.header(Name::ContentType, "application/sdp");
            }
        })
    }
}
