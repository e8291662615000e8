//! A text for a phone here, from the provider or from another adapter.

use super::super::Adapter;
use super::super::call::PhoneEnd;
use super::super::exchange::{Exchange, ExchangeId, Purpose};
use super::super::inbound::Source;
use super::super::names::Path;
use super::super::registrar::BindingId;
use super::seen::Text;
use crate::limits::CALL_LEGS_MAX;
use crate::sip::transaction::ServerId;
use crate::sip::{Message, Method};
use crate::time::Instant;

impl Adapter {
    /// A MESSAGE outside dialogs for a phone here: to the one that the provider names, or to all
    /// phones of the address over the overlay.
    pub(crate) fn message_in(
        &mut self,
        now: Instant,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        let phones: heapless::Vec<BindingId, CALL_LEGS_MAX> = match source.path {
            Path::Peer(_) => self.bindings_for_peers(message.request_uri()),
            _ => self.binding_named(message, source.flow.to).into_iter().collect(),
        };
        if phones.is_empty() {
            return self.refuse(now, server, 404);
        }
        let (mut copies, mut delivered) = (0, 0);
        for phone in phones {
            let Some(phone) = self.phone_of_binding(phone) else { continue };
            let text = Text::new(&phone, source.path, message);
            if self.messages_seen.is_copy(now, text, &mut self.counters.messages_forgotten) {
                copies += 1;
            } else if self.deliver(now, server, phone, message, source) {
                delivered += 1;
            }
        }
        self.counters.message_copies_dropped += copies;
        match (delivered, copies) {
            (0, 0) => self.refuse(now, server, 480),
            (0, _) => self.reply(now, server, 200, None),
            _ => {}
        }
    }

    /// Sends a text on to one phone. False where there is no room.
    fn deliver(
        &mut self,
        now: Instant,
        server: ServerId,
        phone: PhoneEnd,
        message: &Message<'_>,
        source: Source,
    ) -> bool {
        let purpose = Purpose::Other { phone: phone.clone(), outbound: false };
        let Some(id) = self.insert_exchange(Exchange::new(purpose, server, source, message)) else {
            self.messages_seen.forget(&Text::new(&phone, source.path, message));
            return false;
        };
        self.send_in(now, id, &phone, message);
        true
    }

    /// A text was not taken by its phone. True where another phone may still take it: then its
    /// sender hears nothing of this one.
    pub(crate) fn text_refused(&mut self, id: ExchangeId) -> bool {
        let Some(exchange) = self.exchanges.get(id) else { return false };
        let Purpose::Other { phone, outbound: false } = &exchange.purpose else { return false };
        let Ok(message) = Message::parse(&exchange.request) else { return false };
        if message.method() != Method::Message {
            return false;
        }
        self.messages_seen.forget(&Text::new(phone, exchange.source.path, &message));
        let server = exchange.server;
        self.exchanges.iter().any(|(other, e)| other != id && e.server == server && !e.answered)
    }
}
