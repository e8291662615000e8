//! Requests of the adapter's own inside a dialog: in the names, numbers and routes of the end that
//! they go to (RFC 3261 s12.2.1.1).
//!
//! BYE and ACK ask for nothing more (see `goodbye`). What a phone is asked and has to answer, a
//! session refresh or an offer, is an [`Inquiry`]: one at a time in a dialog, and the far end
//! never hears of it.

use super::dialog::DialogAt;
use super::dialogs::{Dialog, FarEnd, shifted};
use super::identity::{DialogId, Rename, direct_call_id};
use super::{Call, CallId, Upstream, UpstreamState};
use crate::adapter::exchange::Purpose;
use crate::adapter::names::{Local, Path, peer_flow};
use crate::adapter::own_request::OwnRequest;
use crate::adapter::ways::turned;
use crate::adapter::{Adapter, ClientOwner};
use crate::limits::INQUIRY_LIMIT;
use crate::net::NodeId;
use crate::sip::transaction::{ClientId, Flow};
use crate::sip::{Message, Method, Name, RouteSet};
use crate::time::Instant;

impl OwnRequest {
    /// To the phone, as from its far end.
    pub(super) fn to_phone(dialog: &Dialog, method: Method<'static>) -> Self {
        let (phone, name) = (&dialog.phone, dialog.id.rename(false));
        Self::new(method, phone.contact.clone(), (phone.flow, phone.local), name)
            .numbered(dialog.far_cseq.saturating_add(1))
    }

    /// To the far end that carries, as from the phone.
    pub(super) fn to_far_end(dialog: &Dialog, method: Method<'static>) -> Self {
        let far: &FarEnd = dialog.far();
        let routes = match far.path {
            Path::Peer(_) => Vec::new(),
            _ => far.routes.clone(),
        };
        let way = (far.flow_to(far.next_hop()), far.local);
        let number = shifted(dialog.phone_cseq, far.shift_out).saturating_add(1);
        let own = Self::new(method, far.contact.clone(), way, far.id.rename(true));
        Self { number, routes, ..own }
    }

    /// Inside the dialog that `answer` to our own `invite` made, as its caller (RFC 3261 s12.1.2):
    /// there is no call for it, and no dialog is kept. `on`: where the INVITE went from.
    pub(super) fn to_answerer(
        (invite, answer): (&Message<'_>, &Message<'_>),
        routes: &RouteSet<'_>,
        on: (Flow, Local),
        (method, number): (Method<'static>, u32),
    ) -> Self {
        let of = |message: &Message<'_>, name| message.header(name).unwrap_or_default().to_owned();
        let name = Rename {
            call_id: invite.call_id().to_owned(),
            from: of(invite, Name::From),
            to: of(answer, Name::To),
        };
        let way = (turned(on.0, routes.next_hop()), on.1);
        let own = Self::new(method, routes.request_uri().to_owned(), way, name);
        Self { number, routes: routes.routes().collect(), ..own }
    }

    /// The same on the direct path (CALLS §4.1), from adapter `own` to `node`.
    pub(super) fn directly(
        call: &Call,
        dialog: &Dialog,
        (own, node): (NodeId, NodeId),
        method: Method<'static>,
    ) -> Self {
        let call_id = direct_call_id(call.role, call.key);
        let name = DialogId { call_id, ..dialog.far().id.clone() }.rename(true);
        Self {
            flow: peer_flow(node),
            uri: format!("sip:{}", Local::Overlay(node).host()),
            local: Local::Overlay(own),
            routes: Vec::new(),
            name: if dialog.phone.withheld { name.withheld() } else { name },
            ..Self::to_far_end(dialog, method)
        }
    }
}

/// Why the adapter asks a phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The provider owes it a session refresh.
    Refresh,
    /// Its media move.
    Media,
    /// No media show that it is still there.
    Presence,
}

/// What a phone has been asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inquiry {
    /// The transaction.
    client: ClientId,
    /// Why it was asked.
    why: Why,
    /// It is an INVITE.
    invite: bool,
    /// When it is taken back; none once it has been.
    until: Option<Instant>,
    /// It has answered.
    answered: bool,
}

impl Dialog {
    fn open_inquiry(&self) -> Option<&Inquiry> {
        self.inquiry.as_ref().filter(|inquiry| !inquiry.answered)
    }

    /// Whether the phone still owes the adapter an answer.
    pub(super) fn is_asked(&self) -> bool {
        self.open_inquiry().is_some()
    }

    /// Whether that is the answer to an INVITE: until then there is no other (RFC 3261 s14.1).
    pub(super) fn is_invited(&self) -> bool {
        self.open_inquiry().is_some_and(|inquiry| inquiry.invite)
    }

    /// When a phone that does not answer is waited for no more.
    pub(super) fn inquiry_due(&self) -> Option<Instant> {
        self.open_inquiry()?.until
    }
}

impl Adapter {
    /// Asks the phone of a dialog, unless it has been asked already or an INVITE of either end is
    /// under way (RFC 3261 s14.1). Whether it was.
    pub(super) fn ask_phone(
        &mut self,
        now: Instant,
        (id, at): DialogAt,
        method: Method<'static>,
        (headers, body): (Vec<(Name, String)>, &[u8]),
        why: Why,
    ) -> bool {
        let Some(call) = self.calls.get(id) else { return false };
        let Some(dialog) = call.dialogs.get(at).filter(|dialog| !dialog.is_asked()) else {
            return false;
        };
        if method == Method::Invite && self.is_inviting((id, at)) {
            return false;
        }
        let contact = (Name::Contact, format!("<{}>", self.shown_to_phone(call, dialog)));
        let own =
            OwnRequest::to_phone(dialog, method).with(headers).with([contact]).describing(body);
        let (flow, number) = (own.flow, own.number);
        let bytes = self.write_own(&own);
        let owner = ClientOwner::Inquiry(id.slot()).encode();
        let sent = bytes.and_then(|b| self.transactions.send_request(now, flow, &b, owner).ok());
        let Some(client) = sent else { return false };
        self.trace_sent(now, id, Path::Lan, method.as_str());
        if let Some(dialog) = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at)) {
            dialog.far_cseq = number;
            let (invite, until) = (method == Method::Invite, Some(now + INQUIRY_LIMIT));
            dialog.inquiry = Some(Inquiry { client, why, invite, until, answered: false });
        }
        self.arm(id);
        true
    }

    /// The Contact by which a phone knows its far end.
    pub(super) fn shown_to_phone(&self, call: &Call, dialog: &Dialog) -> String {
        let far = dialog.far();
        let crossing = self.crossing(&dialog.phone, (far.path, far.local), false, &call.alias_user);
        dialog.stand_in().unwrap_or_else(|| crossing.contact_uri())
    }

    /// Whether an INVITE of either end waits for its answer, or for the ACK of that.
    fn is_inviting(&self, (id, at): DialogAt) -> bool {
        let Some(call) = self.calls.get(id) else { return false };
        let Some(dialog) = call.dialogs.get(at) else { return false };
        let accepted = |up: &Upstream| matches!(up.state, UpstreamState::Accepted { .. });
        if dialog.ack.is_none() || call.upstreams.iter().any(accepted) {
            return true;
        }
        self.exchanges.iter().filter(|(_, exchange)| exchange.invite).any(|(_, exchange)| {
            let Purpose::Dialog { call, outbound } = exchange.purpose else { return false };
            let number = Message::parse(&exchange.request).ok().and_then(|m| m.cseq());
            let acked = Some(dialog.acked[usize::from(outbound)]) == number.map(|(n, _)| n);
            call == id && !(exchange.answered && acked)
        })
    }

    /// The dialog that a response to such a request belongs to.
    fn dialog_answered(&self, slot: u32, message: &Message<'_>) -> Option<DialogAt> {
        let id = self.calls.id_at(slot)?;
        let name = DialogId::of(message, false);
        let at = self.calls.get(id)?.dialogs.iter().position(|d| d.id.is_same(&name))?;
        Some((id, at))
    }

    /// Ends the wait for a phone's answer to this transaction. What it was asked for.
    fn close_inquiry(&mut self, (id, at): DialogAt, client: ClientId) -> Option<Why> {
        let dialog = self.calls.get_mut(id)?.dialogs.get_mut(at)?;
        let inquiry = dialog.inquiry.as_mut().filter(|inquiry| inquiry.client == client)?;
        let open = !core::mem::replace(&mut inquiry.answered, true);
        open.then_some(inquiry.why)
    }

    /// A phone answers what the adapter asked. A 2xx that it repeats is acknowledged again.
    pub(crate) fn inquiry_answered(
        &mut self,
        now: Instant,
        (slot, client): (u32, ClientId),
        message: &Message<'_>,
    ) {
        let status = message.status();
        let Some(at) = self.dialog_answered(slot, message).filter(|_| status >= 200) else {
            return;
        };
        let why = self.close_inquiry(at, client);
        let contact = self.contact_of(message);
        let dialog = self.calls.get_mut(at.0).and_then(|call| call.dialogs.get_mut(at.1));
        if let (Some(dialog), 200..300) = (dialog, status) {
            if why.is_some() && !contact.is_empty() {
                dialog.phone.contact = contact;
            }
            if let (Method::Invite, Some((number, _))) = (message.method(), message.cseq()) {
                let ack = OwnRequest::to_phone(dialog, Method::Ack).numbered(number);
                self.send_own_ack(&ack);
            }
        }
        let Some(why) = why else { return };
        self.trace_received(now, at.0, Path::Lan, message);
        if matches!(status, 408 | 481) {
            return self.end_call(now, at.0, "its phone knows the call no more");
        }
        match why {
            Why::Refresh => self.refresh_answered(now, at, Some(message)),
            Why::Media => self.offer_answered(now, at, Some(message)),
            Why::Presence => {}
        }
        self.arm(at.0);
    }

    /// A phone does not answer.
    pub(crate) fn inquiry_failed(&mut self, now: Instant, slot: u32, client: ClientId) {
        let Some(id) = self.calls.id_at(slot) else { return };
        let count = self.calls.get(id).map_or(0, |call| call.dialogs.len());
        for at in (0..count).map(|at| (id, at)) {
            let Some(why) = self.close_inquiry(at, client) else { continue };
            self.trace_failed(now, id, Path::Lan);
            match why {
                Why::Refresh => self.refresh_answered(now, at, None),
                Why::Media => self.offer_answered(now, at, None),
                Why::Presence => return self.end_call(now, id, "its phone is gone"),
            }
        }
        self.arm(id);
    }

    /// Takes back what phones have not answered in time (RFC 3261 s9.1): a provisional response
    /// ends the transaction's own patience.
    pub(super) fn inquiries_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        for dialog in &mut call.dialogs {
            let Some(inquiry) = dialog.inquiry.as_mut().filter(|i| !i.answered) else { continue };
            if inquiry.until.take_if(|at| now >= *at).is_some() {
                self.transactions.cancel(now, inquiry.client);
            }
        }
    }

    /// Drops the dialogs of a call that are over, and what their phones are asked.
    pub(super) fn drop_dialogs(
        &mut self,
        now: Instant,
        id: CallId,
        over: impl Fn(&Dialog) -> bool,
    ) {
        let Some(call) = self.calls.get_mut(id) else { return };
        for inquiry in call.dialogs.iter().filter(|d| over(d)).filter_map(Dialog::open_inquiry) {
            self.transactions.cancel(now, inquiry.client);
        }
        call.dialogs.retain(|dialog| !over(dialog));
    }
}
