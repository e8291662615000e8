//! Inside a dialog: requests of the phone and of the far end, each in the other's terms.
//!
//! A dialog is found by Call-ID and both tags, from any source: that is what proves a request on
//! the WAN side to belong to a call (CALLS §1.5). Running calls outlive the server: where it is
//! known down or silent, the request takes the direct path to the other adapter as well.

use super::dialogs::{Dialog, FarEnd};
use super::goodbye::is_completed_elsewhere;
use super::identity::{DialogId, read_direct};
use super::relay::sides;
use super::{Call, CallId, Role};
use crate::adapter::exchange::{Exchange, Purpose};
use crate::adapter::inbound::Source;
use crate::adapter::names::Path;
use crate::adapter::{Adapter, ClientOwner};
use crate::channel::CallKey;
use crate::limits::BYE_PATIENCE;
use crate::net::NodeId;
use crate::sip::transaction::{Flow, ServerId};
use crate::sip::{Message, Method};
use crate::time::Instant;

/// One dialog of one call.
pub(crate) type DialogAt = (CallId, usize);

impl Adapter {
    /// The dialog that a request belongs to, and whether it comes from its phone.
    pub(crate) fn dialog_of(&self, message: &Message<'_>, path: Path) -> Option<DialogAt> {
        let from = message.from()?.tag()?;
        let to = message.to()?.tag()?;
        let call_id = message.call_id();
        if let (Path::Peer(node), Some(named)) = (path, read_direct(call_id)) {
            return self.dialog_direct(node, named, (to, from));
        }
        let is = |dialog: &Dialog| match path {
            Path::Lan => dialog.id.is(call_id, from, to),
            _ => dialog.end_named(path, (call_id, to, from)).is_some(),
        };
        let id = self.find_call(call_id, |call| call.dialogs.iter().any(is))?;
        let at = self.calls.get(id)?.dialogs.iter().position(is)?;
        Some((id, at))
    }

    /// The dialog of a request on the direct path: of the linked call, and where that forked, the
    /// one with these tags, if the server let them pass.
    fn dialog_direct(
        &self,
        node: NodeId,
        named: (Role, CallKey),
        (phone_tag, far_tag): (&str, &str),
    ) -> Option<DialogAt> {
        let id = self.linked_call(node, named)?;
        let dialogs = &self.calls.get(id)?.dialogs;
        let tagged = |d: &Dialog| d.end_tagged(phone_tag, far_tag).is_some();
        let at = dialogs.iter().position(tagged);
        let at = at.or_else(|| dialogs.iter().position(|d| d.confirmed));
        Some((id, at.unwrap_or(0)))
    }

    /// The running call that another adapter is linked to as `sender`, by its name for it.
    pub(super) fn linked_call(
        &self,
        node: NodeId,
        (sender, key): (Role, CallKey),
    ) -> Option<CallId> {
        let role = match sender {
            Role::Caller => Role::Callee,
            Role::Callee => Role::Caller,
        };
        let linked = |call: &Call| {
            let knows = |c: &super::Callee| c.node == node && (c.acknowledged || c.opened);
            call.callees.iter().any(knows) && !call.dialogs.is_empty()
        };
        self.find_keyed(role, key, linked)
    }

    /// Whether a call is linked by a guess alone: a notice was the only one open for a withheld
    /// caller.
    pub(super) fn is_guessed(&self, id: CallId) -> bool {
        let first = self.calls.get(id).and_then(|call| call.upstreams.first());
        first.is_some_and(|up| up.anonymous)
    }

    /// The far end that sends a request in this dialog. The direct path is one of its own where
    /// the server changes tags: there, it has its own numbers too.
    pub(super) fn sending_end(
        &mut self,
        (id, at): DialogAt,
        message: &Message<'_>,
        source: &Source,
    ) -> Option<usize> {
        let name = DialogId::of(message, false);
        let dialog = self.calls.get_mut(id)?.dialogs.get_mut(at)?;
        let (phone_tag, far_tag) = (name.phone_tag(), name.far_tag());
        if read_direct(&name.call_id).is_none() {
            return dialog.end_named(source.path, (&name.call_id, phone_tag, far_tag));
        }
        if let Some(end) = dialog.end_tagged(phone_tag, far_tag) {
            return Some(end);
        }
        let direct = FarEnd::direct(source, dialog.far().side, name);
        dialog.learn(direct)
    }

    /// The dialog of a request that comes from its phone, and the request's number.
    fn asked_by_phone(
        &self,
        (id, at): DialogAt,
        message: &Message<'_>,
        source: &Source,
    ) -> Option<(&Dialog, u32)> {
        let dialog = self.calls.get(id)?.dialogs.get(at).filter(|_| source.path == Path::Lan)?;
        Some((dialog, message.cseq().map_or(0, |(number, _)| number)))
    }

    /// Whether a phone's request is older than one that it sent before (RFC 3261 s12.2.2).
    pub(crate) fn is_out_of_order(&self, at: DialogAt, m: &Message<'_>, source: &Source) -> bool {
        let asked = self.asked_by_phone(at, m, source);
        asked.is_some_and(|(dialog, number)| number < dialog.phone_cseq)
    }

    /// Whether a phone acknowledges what it has never asked (RFC 3261 s13.2.2.4: the number of an
    /// ACK is its INVITE's).
    fn acknowledges_nothing(&self, at: DialogAt, ack: &Message<'_>, source: &Source) -> bool {
        let asked = self.asked_by_phone(at, ack, source);
        asked.is_some_and(|(dialog, number)| number > dialog.phone_invite)
    }

    /// A request inside a dialog that is known.
    pub(crate) fn in_dialog(
        &mut self,
        now: Instant,
        server: ServerId,
        at: DialogAt,
        message: &Message<'_>,
        source: Source,
    ) {
        let id = at.0;
        let (invite, bye) = (message.method() == Method::Invite, message.method() == Method::Bye);
        if invite {
            self.reply_trying(now, server, message);
        }
        self.trace_received(now, id, source.path, message);
        let outbound = source.path == Path::Lan;
        if self.oversteps(at, message, &source) {
            self.counters.peer_requests_refused += 1;
            self.trace_note(now, id, "refused: the server carries this call");
            return self.refuse(now, server, 403);
        }
        if invite && !outbound && self.is_invited(at) {
            return self.refuse(now, server, 491);
        }
        let taken = match outbound {
            true => self.phone_asks(at, message),
            false => self.far_end_asks(now, at, message, &source),
        };
        if !taken {
            return self.asked_again(now, id, server, message, source);
        }
        self.learn_contact(at, message, &source);
        let exchange =
            Exchange::new(Purpose::Dialog { call: id, outbound }, server, source, message);
        let Some(exchange) = self.insert_exchange(exchange) else {
            if bye {
                return self.hang_up_at_once(now, server, message, &source);
            }
            return self.refuse(now, server, 503);
        };
        let down = outbound && self.is_by_server(at) && self.server_is_down(at.0);
        if !outbound && let Some(phone) = self.phone_cut_off(at) {
            return self.send_in(now, exchange, &phone, message);
        }
        let Some((flow, bytes)) = self.compose_in_dialog(now, at, message, &source, None) else {
            if outbound && bye {
                self.send_byes_onward(now, at);
            }
            return self.refuse_exchange(now, exchange, 513);
        };
        if let Some(asked) = self.exchanges.get_mut(exchange) {
            asked.provider = self.calls.get(id).and_then(|call| call.provider).filter(|provider| {
                let targets = self.providers.get(*provider).map(|provider| &provider.targets);
                outbound && targets.is_some_and(|targets| targets.number(flow.to).is_some())
            });
        }
        self.send_exchange(now, exchange, flow, &bytes);
        let patience = if down { now } else { now + BYE_PATIENCE };
        if outbound && bye {
            if let Some(node) = self.direct_path(at) {
                self.send_copy_of_bye(now, at, message, &source, node);
            }
            self.answer_exchange_at(exchange, patience);
        } else if outbound && self.is_by_server(at) {
            self.divert_exchange_at(exchange, patience);
        }
    }

    /// Whether another adapter wants to change a call that it is linked to by a guess, while the
    /// server carries it well.
    fn oversteps(&self, (id, at): DialogAt, message: &Message<'_>, source: &Source) -> bool {
        let changes = matches!(message.method(), Method::Invite | Method::Update | Method::Refer);
        let direct = source.path != Path::Lan && read_direct(message.call_id()).is_some();
        let Some(call) = self.calls.get(id).filter(|_| direct && changes) else { return false };
        let name = DialogId::of(message, false);
        let known = call
            .dialogs
            .get(at)
            .and_then(|dialog| dialog.end_tagged(name.phone_tag(), name.far_tag()));
        self.is_guessed(id) && known.is_none() && !self.server_is_not_up(id)
    }

    /// Whether the phone is asked by an INVITE of the adapter's own (RFC 3261 s14.2).
    fn is_invited(&self, (id, at): DialogAt) -> bool {
        let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
        dialog.is_some_and(Dialog::is_invited)
    }

    /// Takes note of a request of the phone.
    pub(crate) fn phone_asks(&mut self, (id, at): DialogAt, message: &Message<'_>) -> bool {
        let number = message.cseq().map_or(0, |(number, _)| number);
        let dialog = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at));
        let Some(dialog) = dialog else { return false };
        dialog.ending |= message.method() == Method::Bye;
        dialog.ack_over = dialog.ack_over.filter(|_| message.method() != Method::Invite);
        dialog.phone_cseq = number.max(dialog.phone_cseq);
        if message.method() == Method::Invite {
            dialog.phone_invite = dialog.phone_cseq;
        }
        true
    }

    /// Whether a request of a far end is for the phone: no copy by another path of one that the
    /// phone has already (CALLS §4.1), and no goodbye on a leg that does not carry (§3.8).
    pub(crate) fn far_end_asks(
        &mut self,
        now: Instant,
        (id, at): DialogAt,
        message: &Message<'_>,
        source: &Source,
    ) -> bool {
        let Some(end) = self.sending_end((id, at), message, source) else { return false };
        let number = message.cseq().map_or(0, |(number, _)| number);
        let dialog = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at));
        let Some(dialog) = dialog else { return false };
        if message.method() == Method::Bye {
            if dialog.ending {
                return false;
            }
            let other = dialog.other_end(end).filter(|_| read_direct(message.call_id()).is_none());
            let elsewhere = is_completed_elsewhere(message);
            if let Some(other) = other.filter(|_| elsewhere || !dialog.carries(end)) {
                let side = dialog.end(other).map_or(0, |end| end.side);
                if let Some(end) = dialog.end_mut(end) {
                    end.over = true;
                }
                if dialog.carries(end) {
                    self.carry_by(now, id, usize::from(side));
                }
                return false;
            }
        }
        if dialog.take_number(end, number, message.method()).is_none() {
            return false;
        }
        dialog.ending |= message.method() == Method::Bye;
        true
    }

    /// The adapter at the other end, where one is known for this call.
    pub(crate) fn direct_path(&self, (id, at): DialogAt) -> Option<NodeId> {
        let call = self.calls.get(id)?;
        if matches!(call.dialogs.get(at)?.far().path, Path::Peer(_)) {
            return None;
        }
        call.callees.iter().find(|c| c.acknowledged).map(|c| c.node)
    }

    /// Whether the server carries this dialog.
    fn is_by_server(&self, (id, at): DialogAt) -> bool {
        let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
        dialog.is_some_and(|dialog| dialog.far().path == Path::Server)
    }

    fn send_copy_of_bye(
        &mut self,
        now: Instant,
        at: DialogAt,
        message: &Message<'_>,
        source: &Source,
        node: NodeId,
    ) {
        let copy = self.compose_in_dialog(now, at, message, source, Some(node));
        let Some((flow, bytes)) = copy else { return };
        let owner = ClientOwner::Quiet.encode();
        if self.transactions.send_request(now, flow, &bytes, owner).is_ok() {
            self.trace_sent(now, at.0, Path::Peer(node), "BYE");
        }
    }

    /// The phone of a dialog.
    pub(crate) fn phone_of_dialog(&self, (id, at): DialogAt) -> Option<super::PhoneEnd> {
        Some(self.calls.get(id)?.dialogs.get(at)?.phone.clone())
    }

    /// A body for the other end of a dialog, which came on `flow`.
    pub(crate) fn dialog_body(
        &mut self,
        now: Instant,
        (id, at): DialogAt,
        outbound: bool,
        flow: Flow,
        message: &Message<'_>,
    ) -> Vec<u8> {
        let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
        let side = dialog.map_or(0, |dialog| dialog.far().side);
        self.translate_body(now, id, sides(outbound, side), flow, message)
    }

    /// The target refresh by a 2xx to a request of the other end.
    pub(crate) fn learn_answered_contact(
        &mut self,
        now: Instant,
        (id, at): DialogAt,
        (outbound, path): (bool, Path),
        message: &Message<'_>,
    ) {
        self.note_session(now, (id, at), outbound, message);
        let contact = self.contact_of(message);
        if contact.is_empty() || !(200..300).contains(&message.status()) {
            return;
        }
        let dialog = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at));
        match dialog {
            Some(dialog) if !outbound => dialog.phone.contact = contact,
            Some(dialog) if path == dialog.far().path => dialog.refresh_target(contact),
            _ => {}
        }
    }

    /// The target refresh of RFC 3261 s12.2: the Contact that the sender gives now.
    fn learn_contact(&mut self, (id, at): DialogAt, message: &Message<'_>, source: &Source) {
        let contact = self.contact_of(message);
        let Some(dialog) = self.calls.get_mut(id).and_then(|c| c.dialogs.get_mut(at)) else {
            return;
        };
        if source.path == Path::Lan {
            dialog.phone.flow = source.flow;
            dialog.phone.local = source.local;
        }
        if contact.is_empty() {
            return;
        }
        let direct = read_direct(message.call_id()).is_some();
        match source.path {
            Path::Lan => dialog.phone.contact = contact,
            path if path == dialog.far().path && !direct => dialog.refresh_target(contact),
            _ => {}
        }
    }

    /// An ACK to a 2xx: no transaction, straight to the other end.
    pub(crate) fn acknowledge(&mut self, now: Instant, message: &Message<'_>, source: &Source) {
        let Some((id, at)) = self.dialog_of(message, source.path) else {
            return self.route_stray(now, message, source);
        };
        if self.acknowledges_nothing((id, at), message, source) {
            self.counters.acks_of_nothing += 1;
            return self.trace_wrong(now, source.path, message, &"no INVITE has this CSeq");
        }
        let role = self.calls.get(id).map(|call| call.role);
        if role == Some(Role::Callee) && source.path != Path::Lan {
            let end = self.sending_end((id, at), message, source);
            let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
            let side = dialog.and_then(|dialog| dialog.end(end?)).map(|end| end.side);
            match side {
                _ if read_direct(message.call_id()).is_some() => self.acknowledged_directly(id),
                Some(side) => self.acknowledged(now, id, usize::from(side)),
                None => {}
            }
        }
        let mut over = None;
        if let Some(dialog) = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at)) {
            over = dialog.ack_over.filter(|_| source.path == Path::Lan);
            dialog.ack = Some((*source, message.raw().to_vec()));
            let outbound = usize::from(source.path == Path::Lan);
            dialog.acked[outbound] = message.cseq().map_or(0, |(number, _)| number);
            dialog.success = None;
        }
        // One that takes the direct path goes by the server too: where that lives, it would end
        // a call whose ACK it never saw.
        for direct in core::iter::once(None).chain(over.map(Some)) {
            let composed = self.compose_in_dialog(now, (id, at), message, source, direct);
            if let Some((flow, bytes)) = composed {
                self.send(flow, &bytes);
            }
        }
        self.trace_received(now, id, source.path, message);
        self.arm(id);
    }
}
