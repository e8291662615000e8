//! Inside a dialog: requests of the phone and of the far end, each in the other's terms.
//!
//! A dialog is found by Call-ID and both tags, from any source: that is what proves a request on
//! the WAN side to belong to a call (CALLS §1.5). Running calls outlive the server: where it is
//! known down or silent, the request takes the direct path to the other adapter as well.

use super::caller::peer_flow;
use super::relay::sides;
use super::{Call, CallId, Dialog, Role};
use crate::adapter::exchange::{Exchange, Purpose};
use crate::adapter::inbound::Source;
use crate::adapter::names::{Local, Path};
use crate::adapter::{Adapter, ClientOwner, crossing};
use crate::limits::BYE_PATIENCE;
use crate::net::NodeId;
use crate::sip::Name;
use crate::sip::Uri;
use crate::sip::transaction::{Flow, ServerId};
use crate::sip::{Message, Method};
use crate::sip::{TooLong, Writer};
use crate::time::Instant;

/// One dialog of one call.
pub(crate) type DialogAt = (CallId, usize);

impl Adapter {
    /// The dialog that a request belongs to, and whether it comes from its phone.
    pub(crate) fn dialog_of(&self, message: &Message<'_>, path: Path) -> Option<DialogAt> {
        let from = message.from()?.tag()?;
        let to = message.to()?.tag()?;
        let (phone_tag, far_tag) = if path == Path::Lan { (from, to) } else { (to, from) };
        let id =
            self.find_call(message.call_id(), |call| call.dialog(phone_tag, far_tag).is_some())?;
        let at = self.calls.get(id)?.dialog(phone_tag, far_tag)?;
        Some((id, at))
    }

    /// Whether a phone's request is older than one that it sent before (RFC 3261 s12.2.2).
    pub(crate) fn is_out_of_order(
        &self,
        (id, at): DialogAt,
        message: &Message<'_>,
        source: &Source,
    ) -> bool {
        let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
        let number = message.cseq().map_or(0, |(number, _)| number);
        source.path == Path::Lan && dialog.is_some_and(|dialog| number < dialog.phone_cseq)
    }

    /// A request inside a dialog that is known.
    pub(crate) fn in_dialog(
        &mut self,
        now: Instant,
        server: ServerId,
        (id, at): DialogAt,
        message: &Message<'_>,
        source: Source,
    ) {
        let invite = message.method() == Method::Invite;
        if invite {
            self.reply_trying(now, server, message);
        }
        let bye = message.method() == Method::Bye;
        self.trace_received(now, id, source.path, message);
        let outbound = source.path == Path::Lan;
        let number = message.cseq().map_or(0, |(number, _)| number);
        let callee = self.calls.get(id).is_some_and(|call| call.role == Role::Callee);
        if let Some(dialog) = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at)) {
            // The same request by the other path: the phone has it already (CALLS §4.1). And a
            // BYE on the server leg of what the overlay carries is not for the phone (§3.8).
            let lost = callee && dialog.is_lost_leg(source.path);
            if !outbound && (dialog.is_copy(number) || bye && (dialog.ending || lost)) {
                return self.refuse(now, server, if bye { 200 } else { 482 });
            }
            dialog.ending |= bye;
            dialog.ack_over = dialog.ack_over.filter(|_| !(outbound && invite));
            let highest = if outbound { &mut dialog.phone_cseq } else { &mut dialog.far_cseq };
            *highest = number.max(*highest);
        }
        self.learn_contact((id, at), message, &source);
        let exchange =
            Exchange::new(Purpose::Dialog { call: id, outbound }, server, source, message);
        let Some(exchange) = self.insert_exchange(exchange) else {
            return self.refuse(now, server, 503);
        };
        let down = outbound && self.far_is_down((id, at));
        let Some((flow, bytes)) = self.compose_in_dialog(now, (id, at), message, &source, None)
        else {
            return self.refuse_exchange(now, exchange, 513);
        };
        self.send_exchange(now, exchange, flow, &bytes);
        if outbound && bye {
            if let Some(node) = self.direct_path((id, at)) {
                self.send_copy_of_bye(now, (id, at), message, &source, node);
            }
            let patience = if down { now } else { now + BYE_PATIENCE };
            self.answer_exchange_at(exchange, patience);
        } else if outbound && self.is_by_server((id, at)) {
            let patience = if down { now } else { now + BYE_PATIENCE };
            self.divert_exchange_at(exchange, patience);
        }
    }

    /// Writes a request of one end in terms of the other. `direct`: over the channel to this
    /// adapter, whatever path carries the dialog.
    pub(crate) fn compose_in_dialog(
        &mut self,
        now: Instant,
        (id, at): DialogAt,
        message: &Message<'_>,
        source: &Source,
        direct: Option<NodeId>,
    ) -> Option<(Flow, Vec<u8>)> {
        let call = self.calls.get(id)?;
        let dialog = call.dialogs.get(at)?;
        let outbound = source.path == Path::Lan;
        let (phone, media, alias) = (dialog.phone.clone(), call.media, call.alias_user.clone());
        let far = match direct {
            Some(node) => (Path::Peer(node), Local::Overlay(self.id)),
            None if outbound => (dialog.far.path, dialog.far.local),
            None => (source.path, source.local),
        };
        let stand_in = dialog.stand_in(source.path);
        let side = dialog.far.side;
        let (flow, uri, shift) = if outbound {
            let (flow, uri) = self.next_hop_in_dialog(dialog, message, far.0);
            (flow, uri, dialog.cseq_shift)
        } else {
            (phone.flow, phone.contact.clone(), 0)
        };
        let mut crossing = self.crossing(&phone, far, outbound, &alias);
        crossing.stand_in = stand_in;
        let body = self.relay_body(now, media, sides(outbound, side), source.flow, message);
        let branch = self.transactions.branch();
        let bytes = crossing.request(message, &uri, &branch, shift, &body)?;
        Some((flow, bytes))
    }

    /// Where a request of the phone goes inside a dialog: next Route, else the Request-URI where
    /// that is an address, else where the dialog came from (CALLS §1.3).
    fn next_hop_in_dialog(
        &self,
        dialog: &Dialog,
        message: &Message<'_>,
        path: Path,
    ) -> (Flow, String) {
        if let Path::Peer(node) = path {
            let contact = &dialog.far.contact;
            let named = crate::adapter::names::uri_node(contact).is_some();
            let uri = if named {
                contact.clone()
            } else {
                format!("sip:{}", Local::Overlay(node).host())
            };
            return (peer_flow(node), uri);
        }
        let hop = self.next_hop_uri(message);
        let mut flow = dialog.far.flow;
        if let (crate::net::Via::Udp(_), Ok(uri)) = (flow.via, Uri::parse(hop))
            && let Some(ip) = crate::adapter::names::literal(uri.host)
            && ip.is_ipv4() == flow.to.is_ipv4()
        {
            flow.to = (ip, uri.port.unwrap_or(5060)).into();
        }
        (flow, message.request_uri().to_owned())
    }

    /// The adapter at the other end, where one is known for this call.
    pub(crate) fn direct_path(&self, (id, at): DialogAt) -> Option<NodeId> {
        let call = self.calls.get(id)?;
        if matches!(call.dialogs.get(at)?.far.path, Path::Peer(_)) {
            return None;
        }
        call.callees.iter().find(|c| c.acknowledged).map(|c| c.node)
    }

    /// Whether the server carries this dialog.
    fn is_by_server(&self, (id, at): DialogAt) -> bool {
        let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
        dialog.is_some_and(|dialog| dialog.far.path == Path::Server)
    }

    fn far_is_down(&self, (id, at): DialogAt) -> bool {
        let Some(call) = self.calls.get(id) else { return false };
        let provider = call.provider.and_then(|at| self.providers.get(usize::from(at)));
        self.is_by_server((id, at)) && provider.is_some_and(|provider| !provider.is_up())
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
        let Some(call) = self.calls.get(id) else { return message.body().to_vec() };
        let side = call.dialogs.get(at).map_or(0, |dialog| dialog.far.side);
        let media = call.media;
        self.relay_body(now, media, sides(outbound, side), flow, message)
    }

    /// The target refresh by a 2xx to a request of the other end.
    pub(crate) fn learn_answered_contact(
        &mut self,
        (id, at): DialogAt,
        (outbound, path): (bool, Path),
        message: &Message<'_>,
    ) {
        let contact = self.contact_of(message);
        if contact.is_empty() || !(200..300).contains(&message.status()) {
            return;
        }
        let dialog = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at));
        match dialog {
            Some(dialog) if !outbound => dialog.phone.contact = contact,
            Some(dialog) if path == dialog.far.path => dialog.far.contact = contact,
            _ => {}
        }
    }

    /// See [`Dialog::stand_in`].
    pub(crate) fn stand_in(&self, (id, at): DialogAt, path: Path) -> Option<String> {
        self.calls.get(id)?.dialogs.get(at)?.stand_in(path)
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
        match source.path {
            Path::Lan => dialog.phone.contact = contact,
            path if path == dialog.far.path => dialog.far.contact = contact,
            _ => {}
        }
    }

    /// An ACK to a 2xx: no transaction, straight to the other end.
    pub(crate) fn acknowledge(&mut self, now: Instant, message: &Message<'_>, source: &Source) {
        let Some((id, at)) = self.dialog_of(message, source.path) else {
            return self.route_stray(now, message, source);
        };
        let role = self.calls.get(id).map(|call| call.role);
        if role == Some(Role::Callee) && source.path != Path::Lan {
            self.acknowledged(now, id, source.path);
        }
        let mut over = None;
        if let Some(dialog) = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at)) {
            over = dialog.ack_over.filter(|_| source.path == Path::Lan);
            dialog.ack = Some((*source, message.raw().to_vec()));
            dialog.success = Vec::new();
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

    /// Ends a dialog from here: BYE to both ends.
    pub(crate) fn send_byes(&mut self, now: Instant, (id, at): DialogAt) {
        for to_phone in [true, false] {
            let branch = self.transactions.branch();
            let Some(call) = self.calls.get(id) else { return };
            let Some(dialog) = call.dialogs.get(at) else { return };
            let flow = if to_phone { dialog.phone.flow } else { dialog.far.flow };
            let bytes = crossing::write(|out| write_bye(call, dialog, to_phone, &branch, out));
            if let Some(bytes) = bytes {
                let owner = ClientOwner::Quiet.encode();
                let _ = self.transactions.send_request(now, flow, &bytes, owner);
            }
        }
    }

    /// A BYE was challenged: its dialog waits for the next one.
    pub(crate) fn dialog_goes_on(&mut self, bye: &Message<'_>, path: Path) {
        let Some((id, at)) = self.dialog_of(bye, path) else { return };
        if let Some(dialog) = self.calls.get_mut(id).and_then(|call| call.dialogs.get_mut(at)) {
            dialog.ending = false;
        }
    }

    /// A BYE has been answered: the dialog is over. An early one is kept until its INVITE is
    /// refused too, so that the BYE's copy by the other path is known for what it is.
    pub(crate) fn dialog_ended(&mut self, now: Instant, id: CallId) {
        if let Some(call) = self.calls.get_mut(id) {
            let sets_up = call.is_setting_up();
            call.dialogs.retain(|dialog| !dialog.ending || (sets_up && !dialog.confirmed));
        }
        self.reap(now, id);
    }
}

/// Writes a BYE of our own, in the name of the end that does not get it.
fn write_bye(
    call: &Call,
    dialog: &Dialog,
    to_phone: bool,
    branch: &dyn core::fmt::Display,
    out: &mut [u8],
) -> Result<usize, TooLong> {
    let invite = Message::parse(call.invite()).ok();
    let name = |name| invite.as_ref().and_then(|m| m.header(name)).unwrap_or_default();
    let caller = name(Name::From);
    let callee = name(Name::To);
    let phone_calls = call.role == Role::Caller;
    let (uri, local, number) = if to_phone {
        (&dialog.phone.contact, dialog.phone.local, dialog.far_cseq)
    } else {
        let shifted = i64::from(dialog.phone_cseq) + dialog.cseq_shift;
        (&dialog.far.contact, dialog.far.local, u32::try_from(shifted).unwrap_or(0))
    };
    let callee_tag = if phone_calls { &dialog.far_tag } else { &dialog.phone_tag };
    let mut writer = Writer::new(out);
    writer.request("BYE", uri);
    crate::adapter::rewrite::write_via(&mut writer, local, branch);
    writer.header(Name::MaxForwards, 70);
    if phone_calls == to_phone {
        writer.header(Name::From, format_args!("{callee};tag={callee_tag}"));
        writer.header(Name::To, caller);
    } else {
        writer.header(Name::From, caller);
        writer.header(Name::To, format_args!("{callee};tag={callee_tag}"));
    }
    writer.header(Name::CallId, &call.call_id);
    writer.header(Name::CSeq, format_args!("{} BYE", number.saturating_add(1)));
    writer.finish(&[])
}
