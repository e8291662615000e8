//! The way back: a response in terms of the end that asked.

use super::super::Adapter;
use super::super::names::Path;
use super::{ExchangeId, Patience, Purpose};
use crate::limits::{ACK_LIMIT, SIP_TIMER_C};
use crate::sip::Message;
use crate::sip::transaction::Flow;
use crate::time::Instant;

impl Adapter {
    /// A response to a request that is passed on between a phone and a far end, and no more.
    pub(super) fn relay_answered(&mut self, now: Instant, id: ExchangeId, message: &Message<'_>) {
        let Some(exchange) = self.exchanges.get_mut(id) else { return };
        let (invite, answered) = (exchange.invite, exchange.answered);
        let (server, hangs_up) = (exchange.server, exchange.hangs_up);
        let status = message.status();
        let challenged = matches!(status, 401 | 407);
        let accepted = (200..300).contains(&status);
        if status == 100 {
            exchange.trying = true;
            return;
        }
        if status >= 300 && self.text_refused(id) {
            return self.end_exchange(now, id);
        }
        if hangs_up && !answered && status >= 300 && !challenged {
            // The other end knows the call no more: it is over all the same.
            self.reply(now, server, 200, None);
        } else if !answered || (invite && accepted) {
            self.relay_exchange_response(now, id, message);
        }
        if status < 200 {
            if invite {
                self.set_patience(id, now + SIP_TIMER_C, Patience::TimerC);
            }
            return;
        }
        if challenged {
            self.challenged_bye_goes_on(id);
        }
        if let Some(exchange) = self.exchanges.get_mut(id) {
            exchange.answered = true;
        }
        if invite && accepted {
            // Its 2xx may come again until the ACK is through (RFC 6026).
            self.set_patience(id, now + ACK_LIMIT, Patience::Linger);
        } else {
            self.end_exchange(now, id);
        }
    }

    /// Passes a response back that came by the way that the request took.
    fn relay_exchange_response(&mut self, now: Instant, id: ExchangeId, message: &Message<'_>) {
        if let Some(way) = self.exchanges.get(id).and_then(|exchange| exchange.sent_to) {
            self.relay_response_from(now, id, message, way);
        }
    }

    /// Passes a response back that came by this way.
    pub(crate) fn relay_response_from(
        &mut self,
        now: Instant,
        id: ExchangeId,
        message: &Message<'_>,
        (path, flow): (Path, Flow),
    ) {
        let Some(exchange) = self.exchanges.get(id) else { return };
        let (server, source) = (exchange.server, exchange.source);
        let request = exchange.request.clone();
        let Ok(request) = Message::parse(&request) else { return };
        let Some(local) = self.local_of(flow) else { return };
        let (phone, outbound, dialog) = match &exchange.purpose {
            Purpose::Dialog { outbound, .. } => {
                let dialog = self.dialog_of(&request, source.path);
                let outbound = *outbound;
                let Some(phone) = dialog.and_then(|at| self.phone_of_dialog(at)) else {
                    // The dialog ended meanwhile: nothing of it is left to translate by.
                    return self.reply(now, server, message.status(), None);
                };
                (phone, outbound, dialog)
            }
            Purpose::Message(outgoing) => (outgoing.phone.clone(), true, None),
            Purpose::Other { phone, outbound } => (phone.clone(), *outbound, None),
            Purpose::Register(_) => return,
        };
        let body = match dialog {
            Some(at) => self.dialog_body(now, at, !outbound, flow, message),
            None => message.body().to_vec(),
        };
        let alias = dialog.and_then(|at| self.calls.get(at.0)).map(|c| c.alias_user.clone());
        let far = if outbound { (path, local) } else { (source.path, source.local) };
        let mut crossing = self.crossing(&phone, far, !outbound, &alias.unwrap_or_default());
        crossing.stand_in =
            dialog.filter(|_| outbound).and_then(|at| self.response_contact(at, path, &crossing));
        if let Some(bytes) = crossing.response(message, &request, source.flow.to, &body) {
            self.transactions.respond(now, server, &bytes);
        }
        if let Some(at) = dialog {
            self.trace_status(now, at.0, source.path, message.status());
            self.learn_answered_contact(now, at, (outbound, path), message);
        }
    }
}
