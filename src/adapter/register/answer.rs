//! Answers to REGISTER: the provider's, with our Contacts turned back, and our own.

use super::Registration;
use crate::adapter::exchange::{ExchangeId, Purpose};
use crate::adapter::registrar::BindingId;
use crate::adapter::rewrite::split_list;
use crate::adapter::{Adapter, crossing};
use crate::sip::Name;
use crate::sip::NameAddr;
use crate::sip::proxy::copy_vias;
use crate::sip::transaction::ServerId;
use crate::sip::{Message, delta_seconds};
use crate::sip::{TooLong, Writer};
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// Passes the provider's response on: our Contact becomes the phone's, with the time that
    /// the phone is given; foreign ones pass, and so does everything else.
    pub(super) fn pass_register_response(
        &mut self,
        now: Instant,
        id: ExchangeId,
        message: &Message<'_>,
    ) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (server, source) = (exchange.server, exchange.source.flow.to);
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let request = exchange.request.clone();
        let Ok(request) = Message::parse(&request) else { return };
        let limit_s = self.config.adapter.phone_expires.as_secs() as u32;
        let limit_s = if registration.provider.is_some() { limit_s } else { u32::MAX };
        // A query names no Contact: the phone has the one that it gave before.
        let known = registration.binding.and_then(|id| self.registrar.get(id));
        let contact = match (registration.contact.as_str(), known) {
            ("", Some(binding)) => binding.contact.as_str(),
            (own, _) => own,
        };
        let bytes = crossing::write(|out| {
            write_response(message, &request, source, (registration, contact), limit_s, out)
        });
        if let Some(bytes) = bytes {
            self.transactions.respond(now, server, &bytes);
        }
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.answered = true;
        }
    }

    /// Answers a refresh from the last 200.
    pub(super) fn answer_refresh(
        &mut self,
        now: Instant,
        server: ServerId,
        id: BindingId,
        registration: &Registration,
    ) {
        let Some(binding) = self.registrar.get(id) else { return };
        let left_s = binding.granted_until.since(now).as_secs() as u32;
        let given_s = self.phone_expires_s(left_s, registration.expires_s);
        self.registrar.refresh(now, id, given_s, registration.cseq);
        self.accept_registration(now, server, &registration.contact, given_s);
    }

    /// The server is silent or failed: a known phone is answered from here (CALLS §2.4).
    pub(crate) fn register_due(&mut self, now: Instant, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id).filter(|e| !e.answered) else { return };
        let server = exchange.server;
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let Some(binding) = registration.binding else { return };
        let limit_s = self.config.adapter.phone_expires.as_secs() as u32;
        let given_s = registration.expires_s.min(limit_s);
        let (contact, cseq) = (registration.contact.clone(), registration.cseq);
        self.counters.registrations_shielded += 1;
        if given_s > 0 && !contact.is_empty() {
            let flow = self.exchanges.get(id).map(|exchange| exchange.source.flow);
            if let Some(flow) = flow {
                let unix_s = self.unix_now(now);
                self.registrar.shield(now, unix_s, binding, flow, &contact, given_s, cseq);
                self.publish(now, binding);
                self.persist.bindings_changed(now, false);
            }
        }
        if given_s == 0 {
            // The phone says goodbye; the server hears it when it is back, or the time runs out.
            self.unpublish(now, binding);
            self.registrar.expire(binding);
            self.persist.bindings_changed(now, false);
        }
        self.accept_registration(now, server, &contact, given_s);
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.answered = true;
        }
    }

    /// Responds 200 with the phone's own Contact.
    pub(super) fn accept_registration(
        &mut self,
        now: Instant,
        server: ServerId,
        contact: &str,
        given_s: u32,
    ) {
        if contact.is_empty() || given_s == 0 {
            return self.reply(now, server, 200, None);
        }
        let contact = format_args!("<{contact}>;expires={given_s}").to_string();
        self.reply_with(now, server, 200, &[(Name::Contact, &contact)]);
    }
}

fn write_response(
    message: &Message<'_>,
    request: &Message<'_>,
    source: SocketAddr,
    phone: (&Registration, &str),
    limit_s: u32,
    out: &mut [u8],
) -> Result<usize, TooLong> {
    let mut writer = Writer::new(out);
    writer.status(message.status(), message.reason());
    copy_vias(&mut writer, request, source);
    for header in message.headers() {
        match header.name {
            Name::Via | Name::ContentLength => {}
            Name::RetryAfter if message.status() == 503 => {}
            Name::Expires => match delta_seconds(header.value) {
                Some(value) => writer.header(Name::Expires, value.min(limit_s)),
                None => writer.copy(header),
            },
            Name::Contact => {
                for value in split_list(header.value) {
                    write_contact(&mut writer, value, phone, limit_s);
                }
            }
            _ => writer.copy(header),
        }
    }
    writer.finish(message.body())
}

/// `phone`: its registration, and its Contact as it wrote it, if that is known.
fn write_contact(
    writer: &mut Writer<'_>,
    value: &str,
    (registration, own): (&Registration, &str),
    limit_s: u32,
) {
    let ours = |contact: &NameAddr<'_>| !own.is_empty() && registration.is_ours(contact.uri);
    let contact = NameAddr::parse(value).ok().filter(ours);
    let Some(contact) = contact else { return writer.header(Name::Contact, value) };
    let mut text = format!("<{own}>");
    for (name, value) in contact.params.iter() {
        let limited = match name.eq_ignore_ascii_case("expires").then(|| delta_seconds(value)) {
            Some(Some(seconds)) => seconds.min(limit_s).to_string(),
            _ => value.to_owned(),
        };
        text.push(';');
        text.push_str(name);
        if !limited.is_empty() {
            text.push('=');
            text.push_str(&limited);
        }
    }
    writer.header(Name::Contact, text);
}
