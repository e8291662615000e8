//! Answers to REGISTER: the provider's, with our Contacts turned back, and our own.

use super::Registration;
use crate::adapter::exchange::{ExchangeId, Purpose};
use crate::adapter::registrar::{Accepted, BindingId, Shielded};
use crate::adapter::rewrite::split_list;
use crate::adapter::{Adapter, crossing};
use crate::sip::Name;
use crate::sip::NameAddr;
use crate::sip::proxy::copy_vias;
use crate::sip::transaction::{Flow, ServerId};
use crate::sip::{Message, delta_seconds};
use crate::sip::{TooLong, Writer};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

impl Adapter {
    /// The provider's response as the phone gets it: our Contact becomes the phone's, with the time
    /// that the phone is given; foreign ones pass, and so does everything else.
    pub(super) fn phone_answer(
        &self,
        request: &Message<'_>,
        source: SocketAddr,
        registration: &Registration,
        message: &Message<'_>,
    ) -> Option<Vec<u8>> {
        let granted = |user| registration.granted_to(user, registration.expires_s, message);
        let granted_s = registration.named().filter_map(|(_, user)| granted(user)).min();
        let granted_s = granted_s.unwrap_or(0);
        let given_s = match registration.provider {
            Some(_) => self.phone_expires_s(granted_s, registration.expires_s),
            None => granted_s,
        };
        let ours = |uri: &str| {
            let user = registration.user_at_ours(uri)?;
            registration.named().find(|(_, own)| *own == user).map(|(contact, _)| contact)
        };
        let other = |uri: &str| {
            let id = self.registrar.by_wan_user(registration.user_at_ours(uri)?)?;
            self.registrar.get(id).map(|binding| binding.contact.clone())
        };
        let own = Own { ours: &ours, other: &other, given_s };
        crossing::write(|out| write_response(message, request, source, &own, out))
    }

    /// Passes the provider's response on.
    pub(super) fn pass_register_response(
        &mut self,
        now: Instant,
        id: ExchangeId,
        message: &Message<'_>,
    ) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let (server, source) = (exchange.server, exchange.source.flow.to);
        exchange.answered = true;
        let Some(exchange) = self.exchanges.get(id) else { return };
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let Ok(request) = Message::parse(&exchange.request) else { return };
        if let Some(bytes) = self.phone_answer(&request, source, registration, message) {
            self.transactions.respond(now, server, &bytes);
        }
    }

    /// Answers a refresh from the last 200. Where the provider's time is over, the server was not
    /// there to grant more.
    pub(super) fn answer_refresh(
        &mut self,
        now: Instant,
        server: ServerId,
        id: BindingId,
        registration: &Registration,
    ) {
        let Some(binding) = self.registrar.get(id) else { return };
        let left_s = match binding.granted_until.since(now).as_secs() as u32 {
            0 => u32::MAX,
            left_s => left_s,
        };
        let given_s = self.phone_expires_s(left_s, registration.expires_s);
        self.registrar.refresh(now, id, given_s, registration.asked);
        self.answer_from_last(now, server, id, &registration.contact, given_s);
    }

    /// Answers a REGISTER as the provider answered the last one (RFC 3608 s5: a 200 without
    /// Service-Route would clear the phone's).
    fn answer_from_last(
        &mut self,
        now: Instant,
        server: ServerId,
        id: BindingId,
        contact: &str,
        given_s: u32,
    ) {
        let last = self.registrar.get(id).map_or(&[][..], |binding| &binding.answer);
        let request = self.transactions.request(server).unwrap_or_default();
        let flow = self.transactions.server_flow(server);
        let bytes = match (Message::parse(last), Message::parse(request), flow) {
            (Ok(last), Ok(request), Some(flow)) if given_s > 0 => {
                let ours = |uri: &str| (uri == contact).then_some(contact);
                let own = Own { ours: &ours, other: &|_| None, given_s };
                crossing::write(|out| write_response(&last, &request, flow.to, &own, out))
            }
            _ => None,
        };
        match bytes {
            Some(bytes) => {
                self.transactions.respond(now, server, &bytes);
            }
            None => self.accept_registration(now, server, contact, given_s),
        }
    }

    /// The server is silent or failed: a known phone is answered from here (CALLS §2.4). The server
    /// is asked again from `again_at` on.
    pub(crate) fn register_due(&mut self, now: Instant, id: ExchangeId, again_at: Instant) {
        let Some(exchange) = self.exchanges.get(id).filter(|e| !e.answered) else { return };
        let (server, flow) = (exchange.server, exchange.source.flow);
        let Purpose::Register(registration) = &exchange.purpose else { return };
        let registration = registration.clone();
        let Some(binding) = self.place_of(now, &registration, flow) else { return };
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.answered = true;
        }
        self.shield(now, server, binding, (&registration, flow), again_at);
    }

    /// The registration of a phone that is answered without its server. One that another vouches
    /// for gets a place beside that, until a server says who it is.
    pub(super) fn place_of(
        &mut self,
        now: Instant,
        registration: &Registration,
        flow: Flow,
    ) -> Option<BindingId> {
        if registration.binding.is_some() {
            return registration.binding;
        }
        let voucher = self.registrar.get(registration.vouched_by?)?;
        let known_since_s = voucher.known_since_s;
        let accepted = Accepted {
            aor: registration.aor.clone(),
            known: None,
            provider: voucher.provider,
            contact: registration.contact.clone(),
            wan_user: registration.wan_user.clone(),
            flow,
            instance: registration.instance.clone(),
            mac: registration.mac,
            call_id: registration.call_id.clone(),
            asked: registration.asked,
            granted_s: 0,
            phone_s: 0,
            accepted_by: voucher.accepted_by,
            aliases: voucher.aliases.clone(),
            answer: Vec::new(),
            template: Vec::new(),
        };
        let placed = self.registrar.enter(now, known_since_s, accepted);
        self.counters.phones_refused_full += u64::from(placed.is_err());
        Some(placed.ok()?.0)
    }

    /// Answers the REGISTER of a known phone without its server.
    pub(super) fn shield(
        &mut self,
        now: Instant,
        server: ServerId,
        binding: BindingId,
        (registration, flow): (&Registration, Flow),
        again_at: Instant,
    ) {
        // Phones that came together, after a power cut or an outage, do not come together again.
        let most_s = self.phone_expires_s(u32::MAX, registration.expires_s);
        let drawn_s = self.rng.jitter(Duration::from_secs(most_s.into())).as_secs() as u32;
        let given_s = drawn_s.max(most_s.min(1));
        let contact = registration.contact.as_str();
        self.counters.registrations_shielded += 1;
        self.shield_further(now, registration, flow, again_at);
        if given_s == 0 {
            // The phone says goodbye; the server hears it when it is back, or the time runs out.
            let gone = if registration.wildcard {
                self.bindings_ended_by(registration)
            } else {
                vec![binding]
            };
            self.registrations_gone(now, &gone, Some(registration.asked));
        } else if !contact.is_empty() {
            let (unix_s, asked) = (self.unix_now(now), registration.asked);
            let call_id = registration.call_id.as_str();
            let shielded = Shielded { flow, contact, call_id, given_s, asked };
            self.registrar.shield(now, unix_s, binding, &shielded, again_at);
            self.phone_is_here(now, binding);
            self.persist.bindings_changed(now, false);
        }
        self.answer_from_last(now, server, binding, contact, given_s);
    }

    /// The same for the further Contacts that were accepted before.
    fn shield_further(
        &mut self,
        now: Instant,
        registration: &Registration,
        flow: Flow,
        again_at: Instant,
    ) {
        let (unix_s, asked) = (self.unix_now(now), registration.asked);
        for further in &registration.further {
            let Some(binding) = further.binding else { continue };
            if further.expires_s == 0 {
                self.registrations_gone(now, &[binding], Some(asked));
                continue;
            }
            let given_s = self.phone_expires_s(u32::MAX, further.expires_s);
            let (contact, call_id) = (further.contact.as_str(), registration.call_id.as_str());
            let shielded = Shielded { flow, contact, call_id, given_s, asked };
            self.registrar.shield(now, unix_s, binding, &shielded, again_at);
            self.phone_is_here(now, binding);
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

/// Our own Contacts in a 200.
struct Own<'a> {
    /// What the phone calls this URI, where it is its own.
    ours: &'a dyn Fn(&str) -> Option<&'a str>,
    /// What another phone of ours calls this URI, where it is that one's.
    other: &'a dyn Fn(&str) -> Option<String>,
    /// Seconds that the phone is given.
    given_s: u32,
}

fn write_response(
    message: &Message<'_>,
    request: &Message<'_>,
    source: SocketAddr,
    own: &Own<'_>,
    out: &mut [u8],
) -> Result<usize, TooLong> {
    let mut writer = Writer::new(out);
    writer.status(message.status(), message.reason());
    copy_vias(&mut writer, request, source);
    for header in request.headers() {
        if matches!(header.name, Name::From | Name::CallId | Name::CSeq) {
            writer.copy(header);
        }
    }
    let accepted = message.status() < 300;
    for header in message.headers() {
        match header.name {
            Name::Via | Name::From | Name::CallId | Name::CSeq | Name::ContentLength => {}
            Name::RetryAfter if message.status() == 503 => {}
            Name::Expires if accepted => match delta_seconds(header.value) {
                Some(seconds) => writer.header(Name::Expires, seconds.min(own.given_s)),
                None => writer.copy(header),
            },
            Name::Contact => {
                for value in split_list(header.value) {
                    write_contact(&mut writer, value, own);
                }
            }
            _ => writer.copy(header),
        }
    }
    writer.finish(message.body())
}

/// The time is always written: where the 200 names none, the phone would take what it asked for.
fn write_contact(writer: &mut Writer<'_>, value: &str, own: &Own<'_>) {
    let Ok(contact) = NameAddr::parse(value) else { return writer.header(Name::Contact, value) };
    match ((own.ours)(contact.uri), (own.other)(contact.uri)) {
        (Some(uri), _) => write_timed_contact(writer, uri, &contact, own.given_s),
        (_, Some(uri)) => {
            writer.header(Name::Contact, format_args!("<{uri}>{}", contact.params));
        }
        (None, None) => writer.header(Name::Contact, value),
    }
}

/// Writes a Contact with the parameters of `like`, but another URI and time.
pub(super) fn write_timed_contact(
    writer: &mut Writer<'_>,
    uri: &str,
    like: &NameAddr<'_>,
    expires_s: u32,
) {
    let mut text = format!("<{uri}>");
    for (name, value) in like.params.pairs().filter(|(n, _)| !n.eq_ignore_ascii_case("expires")) {
        text.push(';');
        text.push_str(name);
        if let Some(value) = value {
            text.push('=');
            text.push_str(value);
        }
    }
    writer.header(Name::Contact, format_args!("{text};expires={expires_s}"));
}
