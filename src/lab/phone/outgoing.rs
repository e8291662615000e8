//! What a phone asks for: REGISTER, INVITE, ACK, CANCEL, BYE, and the answers to them.

use super::call::Call;
use super::credentials::Credentials;
use super::{CallId, Phone, REGISTRATION};
use crate::lab::dialog::{Dialog, tag, written};
use crate::lab::sdp;
use crate::sip::{Message, Method, Name};
use crate::time::{Duration, Instant};

/// How long a phone waits before it repeats a REGISTER that failed.
const RETRY: Duration = Duration::from_secs(4);

/// How often an INVITE is sent again with credentials: a server that was restarted knows nothing
/// of the nonce that it gave before.
const CHALLENGES_MAX: u32 = 2;

impl Phone {
    /// Sends REGISTER, now and again before each expiry.
    pub fn register(&mut self, now: Instant) {
        self.registration.leaving = false;
        self.send_first_register(now);
    }

    /// Ends its binding, and registers no more.
    pub fn sign_off(&mut self, now: Instant) {
        self.registration.leaving = true;
        self.send_first_register(now);
    }

    /// Sends REGISTER as it stands, without credentials.
    pub(super) fn send_first_register(&mut self, now: Instant) {
        self.registration.challenged = false;
        self.send_register(now, None);
    }

    fn send_register(&mut self, now: Instant, credentials: Option<Credentials>) {
        self.registration.cseq += 1;
        let (aor, contact, via) = (self.aor(), self.contact(), self.via());
        let (own, settings) = (&self.registration, &self.settings);
        let expires = if own.leaving { Duration::ZERO } else { settings.expires };
        let request = written(b"", |writer| {
            writer.request("REGISTER", &format!("sip:{}", settings.domain));
            writer.header(Name::Via, &via);
            writer.header(Name::MaxForwards, 70);
            writer.header(Name::From, format_args!("<{aor}>;tag={:08x}", own.tag));
            writer.header(Name::To, format_args!("<{aor}>"));
            writer.header(Name::CallId, &own.call_id);
            writer.header(Name::CSeq, format_args!("{} REGISTER", own.cseq));
            writer.header(Name::Contact, &contact);
            writer.header(Name::Expires, expires.as_secs());
            if let Some((name, value)) = &credentials {
                writer.header(*name, value);
            }
        });
        let sent = self.flow(self.settings.proxy).is_some_and(|flow| {
            self.transactions.send_request(now, flow, &request, REGISTRATION).is_ok()
        });
        self.registration.refresh_at = if sent { None } else { Some(now + RETRY) };
    }

    /// Calls `aor`. The call is there at once, and its report tells how it goes.
    pub fn call(&mut self, now: Instant, aor: &str) -> CallId {
        let dialog = Dialog {
            call_id: format!("{:016x}@{}", self.rng.next_u64(), self.settings.sip.ip()),
            local: format!("<{}>;tag={:08x}", self.aor(), self.rng.next_u32()),
            remote: format!("<{aor}>"),
            target: aor.to_owned(),
            cseq: self.rng.below(1000),
            ..Dialog::default()
        };
        let source = self.source();
        self.calls.push(Call::new(now, dialog, true, source));
        let number = self.calls.len() - 1;
        self.send_invite(now, number, None);
        CallId(number as u32)
    }

    fn send_invite(&mut self, now: Instant, number: usize, credentials: Option<Credentials>) {
        let (via, contact) = (self.via(), self.contact());
        let call = &mut self.calls[number];
        let offer = sdp::write(self.settings.media, call.report.session, 0);
        let supported = (Name::Supported, "100rel".to_owned());
        let reliable = self.settings.habits.reliable.then_some(supported);
        let extra: Vec<_> = credentials.into_iter().chain(reliable).collect();
        call.dialog.cseq += 1;
        call.invite_cseq = call.dialog.cseq;
        let dialog = &call.dialog;
        let request = dialog.write(Method::Invite, dialog.cseq, &via, &contact, &extra, &offer);
        let sent = self.flow(self.settings.proxy).and_then(|flow| {
            self.transactions.send_request(now, flow, &request, number as u32).ok()
        });
        let call = &mut self.calls[number];
        call.client = sent;
        if sent.is_none() {
            call.end(now, 503);
        }
    }

    /// Ends a call in whatever state it is: CANCEL, 486 or BYE.
    pub fn hang_up(&mut self, now: Instant, call: CallId) {
        let number = call.0 as usize;
        let call = &self.calls[number];
        if !call.is_live() {
            return;
        }
        match (call.report.answered, call.server, call.client) {
            (Some(_), ..) => self.say_bye(now, number),
            (None, Some(server), _) => self.refuse(now, number, server, 486),
            (None, None, Some(client)) => {
                self.transactions.cancel(now, client);
            }
            (None, None, None) => self.calls[number].end(now, 487),
        }
    }

    /// Ends every live call.
    pub fn hang_up_all(&mut self, now: Instant) {
        (0..self.calls.len()).for_each(|number| self.hang_up(now, CallId(number as u32)));
    }

    /// Sends BYE; the call is over at once.
    pub(super) fn say_bye(&mut self, now: Instant, number: usize) {
        let mut dialog = self.calls[number].dialog.clone();
        self.send_bye(now, &mut dialog);
        self.calls[number].dialog = dialog;
        self.calls[number].end(now, 200);
    }

    fn send_bye(&mut self, now: Instant, dialog: &mut Dialog) {
        let (via, contact) = (self.via(), self.contact());
        dialog.cseq += 1;
        let bye = dialog.write(Method::Bye, dialog.cseq, &via, &contact, &[], "");
        if let Some(flow) = dialog.next_hop().and_then(|to| self.flow(to)) {
            // No room for a BYE: the far end's own BYE or its relay's time-out ends the call.
            let _ = self.transactions.send_request(now, flow, &bye, REGISTRATION);
        }
    }

    fn send_ack(&mut self, dialog: &Dialog, cseq: u32) {
        let (via, contact) = (self.via(), self.contact());
        let ack = dialog.write(Method::Ack, cseq, &via, &contact, &[], "");
        if let Some(flow) = dialog.next_hop().and_then(|to| self.flow(to)) {
            // A lost ACK is sent again when the 200 is.
            let _ = self.transactions.send_stateless(flow, &ack);
        }
    }

    /// Takes a response that the transactions passed up.
    pub(super) fn receive_response(&mut self, now: Instant, user: u32, message: &Message<'_>) {
        match message.method() {
            Method::Register => self.receive_register_response(now, message),
            Method::Invite => self.receive_invite_response(now, user as usize, message),
            _ => {}
        }
    }

    fn receive_register_response(&mut self, now: Instant, message: &Message<'_>) {
        let status = message.status();
        if status < 200 {
            return;
        }
        if !self.registration.challenged {
            let uri = format!("sip:{}", self.settings.domain);
            if let Some(credentials) = self.credentials(message, "REGISTER", &uri) {
                self.registration.challenged = true;
                return self.send_register(now, Some(credentials));
            }
        }
        self.registration.status = status;
        let success = status < 300;
        let wait = if success { self.granted(message) / 2 } else { RETRY };
        let signed_off = success && self.registration.leaving;
        self.registration.refresh_at = (!signed_off).then_some(now + wait);
    }

    /// The lifetime that the registrar granted to our Contact.
    fn granted(&self, message: &Message<'_>) -> Duration {
        let own = self.settings.sip.to_string();
        let contact = message
            .values(Name::Contact)
            .filter(|value| value.contains(&own))
            .find_map(|value| value.split_once("expires=")?.1.split(';').next()?.parse().ok());
        let header = || message.header(Name::Expires)?.parse().ok();
        contact.or_else(header).map_or(self.settings.expires, Duration::from_secs)
    }

    fn receive_invite_response(&mut self, now: Instant, number: usize, message: &Message<'_>) {
        let Some(call) = self.calls.get_mut(number) else { return };
        let status = message.status();
        match status {
            100 => {}
            101..=199 => {
                call.report.alerted.get_or_insert(now);
                call.describe(now, message.body());
                self.acknowledge_ringing(now, number, message);
            }
            200..=299 => self.receive_success(now, number, message),
            401 | 407 if call.challenges < CHALLENGES_MAX => {
                call.challenges += 1;
                let uri = call.dialog.target.clone();
                match self.credentials(message, "INVITE", &uri) {
                    Some(credentials) => self.send_invite(now, number, Some(credentials)),
                    None => self.calls[number].end(now, status),
                }
            }
            _ if call.report.answered.is_none() => call.end(now, status),
            _ => {}
        }
    }

    /// Acknowledges a reliable 18x by PRACK (RFC 3262 s4).
    fn acknowledge_ringing(&mut self, now: Instant, number: usize, message: &Message<'_>) {
        let rseq = message.header(Name::RSeq).and_then(|value| value.parse().ok());
        let Some(rseq) = rseq else { return };
        let (via, contact) = (self.via(), self.contact());
        let call = &mut self.calls[number];
        if call.rseq == rseq || !call.is_live() {
            return;
        }
        call.rseq = rseq;
        call.dialog.cseq += 1;
        let mut dialog = call.dialog.clone();
        dialog.learn_response(message);
        let rack = (Name::RAck, format!("{rseq} {} INVITE", call.invite_cseq));
        let prack = dialog.write(Method::Prack, dialog.cseq, &via, &contact, &[rack], "");
        if let Some(flow) = dialog.next_hop().and_then(|to| self.flow(to)) {
            // No room for it: the 18x comes again, and with it the next try.
            let _ = self.transactions.send_request(now, flow, &prack, REGISTRATION);
        }
    }

    /// Takes a 2xx: the first makes the call, its repetition wants its ACK again, and one of
    /// another branch gets ACK and BYE (RFC 3261 s13.2.2.4).
    fn receive_success(&mut self, now: Instant, number: usize, message: &Message<'_>) {
        let call = &mut self.calls[number];
        let cseq = message.cseq().map_or(call.invite_cseq, |(cseq, _)| cseq);
        let to_tag = message.header(Name::To).map_or("", tag);
        let mut dialog = call.dialog.clone();
        if call.report.answered.is_some() && to_tag == dialog.remote_tag() {
            return self.send_ack(&dialog, cseq);
        }
        dialog.learn_response(message);
        self.send_ack(&dialog, cseq);
        let call = &mut self.calls[number];
        if call.report.answered.is_some() || !call.is_live() {
            return self.send_bye(now, &mut dialog);
        }
        call.report.record_routes = crate::lab::dialog::record_routes(message);
        call.report.answered = Some(now);
        call.report.confirmed = Some(now);
        call.report.status = message.status();
        call.describe(now, message.body());
        call.dialog = dialog;
        call.speak(now);
    }

    /// A request of ours ended without an answer.
    pub(super) fn request_failed(&mut self, now: Instant, user: u32) {
        if user == REGISTRATION {
            self.registration.status = 0;
            self.registration.refresh_at.get_or_insert(now + RETRY);
        } else if let Some(call) = self.calls.get_mut(user as usize)
            && call.report.answered.is_none()
        {
            call.end(now, 408);
        }
    }
}
