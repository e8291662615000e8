//! The direct path inside a dialog (CALLS §4.1): when a request takes it, and what becomes of it at
//! the other end, where the first copy may have arrived already.

use super::{Exchange, ExchangeId, Purpose};
use crate::adapter::Adapter;
use crate::adapter::call::CallId;
use crate::adapter::inbound::Source;
use crate::limits::BYE_PATIENCE;
use crate::sip::transaction::ServerId;
use crate::sip::{Message, Method};
use crate::time::Instant;

impl Adapter {
    /// Whether a server that lives, as its answers to probes show, has the request: it is the far
    /// phone, or who holds it, that takes its time.
    pub(super) fn is_worked_on(&self, id: ExchangeId) -> bool {
        let exchange = self.exchanges.get(id).filter(|exchange| exchange.trying);
        let provider = exchange.and_then(|exchange| exchange.provider);
        let provider = provider.and_then(|provider| self.providers.get(provider));
        provider.is_some_and(|provider| provider.is_up() && provider.state.answers_probes())
    }

    /// Sends the exchange's request over the direct path, as soon as one is known.
    pub(super) fn divert_exchange(&mut self, now: Instant, id: ExchangeId) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (source, client) = (exchange.source, exchange.client);
        let Purpose::Dialog { call, .. } = exchange.purpose else { return };
        let request = exchange.request.clone();
        let Ok(message) = Message::parse(&request) else { return };
        let Some(at) = self.dialog_of(&message, source.path).filter(|at| at.0 == call) else {
            return;
        };
        let Some(node) = self.direct_path(at) else {
            if self.answer_for_server(now, id, at, &message) {
                return;
            }
            // The notice may still be under way: a PRACK comes soon after its INVITE.
            return self.divert_exchange_at(id, now + BYE_PATIENCE);
        };
        if let Some(client) = client {
            self.transactions.stop_retransmitting(client);
        }
        self.trace_note(now, call, "direct path");
        if message.method() == Method::Invite
            && let Some(dialog) = self.calls.get_mut(at.0).and_then(|c| c.dialogs.get_mut(at.1))
        {
            dialog.ack_over = Some(node);
        }
        if let Some((flow, bytes)) = self.compose_in_dialog(now, at, &message, &source, Some(node))
        {
            self.send_exchange(now, id, flow, &bytes);
        }
    }

    /// A request that its phone has already, or is not to have. Where it came by another path,
    /// since nobody answers on the first, the phone's answer goes back by the new one.
    pub(crate) fn asked_again(
        &mut self,
        now: Instant,
        call: CallId,
        server: ServerId,
        message: &Message<'_>,
        source: Source,
    ) {
        if message.method() == Method::Bye {
            return self.refuse(now, server, 200);
        }
        let same = |exchange: &Exchange| {
            let inbound = matches!(exchange.purpose, Purpose::Dialog { call: of, outbound: false }
                if of == call);
            let method = Message::parse(&exchange.request).map(|request| request.method());
            inbound && exchange.source.path != source.path && method == Ok(message.method())
        };
        let found = self.exchanges.iter_mut().map(|(_, exchange)| exchange).find(|e| same(e));
        let Some(exchange) = found else { return self.refuse(now, server, 482) };
        exchange.request = message.raw().to_vec();
        (exchange.server, exchange.source) = (server, source);
    }
}
