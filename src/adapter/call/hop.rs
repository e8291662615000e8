//! Where a request inside a dialog goes, and by what names, numbers and routes: RFC 3261 s12.2.
//!
//! To the phone under the names that it knows, whoever of the far ends asks. To the far end that
//! carries: as the phone wrote it where the phone knows that far end, else by its own names and
//! route set. On the direct path under the call's name between adapters (CALLS §4.1).

use super::Call;
use super::dialog::DialogAt;
use super::dialogs::{Dialog, FarEnd};
use super::identity::{DialogId, direct_call_id, read_direct};
use super::relay::sides;
use crate::adapter::Adapter;
use crate::adapter::crossing::{Crossing, NextHop};
use crate::adapter::inbound::Source;
use crate::adapter::names::{Local, Path, peer_flow};
use crate::adapter::ways::turned;
use crate::net::NodeId;
use crate::sip::transaction::Flow;
use crate::sip::{Message, Method, NameAddr};
use crate::time::Instant;

/// A request on its way: where to, and what becomes of it.
struct Hop {
    flow: Flow,
    uri: String,
    shift: i64,
    crossing: Crossing,
}

impl Adapter {
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
        let outbound = source.path == Path::Lan;
        let end = match outbound {
            true => None,
            false => Some(self.sending_end((id, at), message, source)?),
        };
        let call = self.calls.get(id)?;
        let dialog = call.dialogs.get(at)?;
        let Hop { flow, uri, shift, crossing } = match end {
            Some(end) => self.hop_inward(call, dialog, end, message, source),
            None => self.hop_outward(call, dialog, message, direct),
        };
        let side = dialog.far().side;
        let body = self.translate_body(now, id, sides(outbound, side), source.flow, message);
        let branch = self.transactions.branch();
        let bytes = crossing.request(message, &uri, &branch, shift, &body)?;
        Some((flow, bytes))
    }

    /// The phone of a dialog, where the connection that it had is gone.
    pub(super) fn phone_cut_off(&self, at: DialogAt) -> Option<super::PhoneEnd> {
        self.phone_of_dialog(at).filter(|phone| self.local_of(phone.flow).is_none())
    }

    /// Writes a request of the far end to its phone, whose way stands again.
    pub(crate) fn compose_to_phone(
        &mut self,
        now: Instant,
        (flow, local): (Flow, Local),
        message: &Message<'_>,
        source: &Source,
    ) -> Option<Vec<u8>> {
        let at = self.dialog_of(message, source.path)?;
        let phone = &mut self.calls.get_mut(at.0)?.dialogs.get_mut(at.1)?.phone;
        (phone.flow, phone.local) = (flow, local);
        self.compose_in_dialog(now, at, message, source, None).map(|(_, bytes)| bytes)
    }

    /// From a far end to the phone.
    fn hop_inward(
        &self,
        call: &Call,
        dialog: &Dialog,
        end: usize,
        message: &Message<'_>,
        source: &Source,
    ) -> Hop {
        let far = (source.path, source.local);
        let mut crossing = self.crossing(&dialog.phone, far, false, &call.alias_user);
        crossing.stand_in = self.shown_contact(dialog, end, &crossing);
        let known = dialog.end(end).is_some_and(|end| end.id.is_same(&dialog.id));
        let direct = read_direct(message.call_id()).is_some();
        // Inside its call nobody becomes somebody whom no certificate lists.
        let certified = matches!(source.path, Path::Peer(node) if self.asks_who_calls(node));
        if direct || !known || dialog.phone.withheld || certified {
            crossing.rename = Some(dialog.id.rename(false));
        }
        let number = message.cseq().map_or(0, |(number, _)| number);
        let shift = match message.method() {
            Method::Ack => dialog.ack_shift(end, number),
            _ => dialog.end(end).map_or(0, |end| end.shift_in),
        };
        Hop { flow: dialog.phone.flow, uri: dialog.phone.contact.clone(), shift, crossing }
    }

    /// The Contact that a message of this far end shows to the phone, where it is not its own.
    fn shown_contact(&self, dialog: &Dialog, end: usize, crossing: &Crossing) -> Option<String> {
        let unknown = dialog.end(end).is_none_or(|end| !end.native);
        let crossed = matches!(crossing.from, Path::Peer(_));
        let by_server = dialog.stand_in();
        match by_server {
            Some(contact) if unknown || crossed => Some(contact),
            None if unknown => Some(crossing.contact_uri()),
            _ => None,
        }
    }

    /// From the phone to the far end that carries, or on the direct path to `direct`.
    fn hop_outward(
        &self,
        call: &Call,
        dialog: &Dialog,
        message: &Message<'_>,
        direct: Option<NodeId>,
    ) -> Hop {
        let far = dialog.far();
        let shift = far.shift_out;
        if let Some(node) = direct {
            let local = Local::Overlay(self.id);
            let end = (Path::Peer(node), local);
            let mut crossing = self.crossing(&dialog.phone, end, true, &call.alias_user);
            let call_id = direct_call_id(call.role, call.key);
            crossing.rename = Some(DialogId { call_id, ..far.id.clone() }.rename(true));
            let uri = format!("sip:{}", Local::Overlay(node).host());
            return Hop { flow: peer_flow(node), uri, shift, crossing };
        }
        let end = (far.path, far.local);
        let mut crossing = self.crossing(&dialog.phone, end, true, &call.alias_user);
        if !far.id.is_same(&dialog.id) {
            crossing.rename = Some(far.id.rename(true));
        }
        let (flow, uri) = match far.path {
            Path::Peer(node) => (far.flow, far.overlay_target(node)),
            _ if far.native => {
                let hop = self.next_hop_uri(message);
                (far.flow_to(hop), message.request_uri().to_owned())
            }
            _ => {
                let (uri, routes) = (far.contact.clone(), far.routes.clone());
                crossing.next_hop = Some(NextHop { uri, routes });
                (far.flow_to(far.next_hop()), far.contact.clone())
            }
        };
        Hop { flow, uri, shift, crossing }
    }

    /// The Contact that the far end shows to the phone in a response that came on `path`, where it
    /// is not its own.
    pub(crate) fn response_contact(
        &self,
        (id, at): DialogAt,
        path: Path,
        crossing: &Crossing,
    ) -> Option<String> {
        let dialog = self.calls.get(id)?.dialogs.get(at)?;
        let carrying = dialog.end_of_side(dialog.far().side)?;
        debug_assert!(matches!(crossing.to, Path::Lan) && crossing.from == path);
        self.shown_contact(dialog, carrying, crossing)
    }
}

impl FarEnd {
    /// The URI that says where to send to, by route set and Contact.
    pub(super) fn next_hop(&self) -> &str {
        let first = self.routes.first().and_then(|route| NameAddr::parse(route).ok());
        first.map_or(self.contact.as_str(), |route| route.uri)
    }

    /// The way to the address that a URI names.
    pub(super) fn flow_to(&self, hop: &str) -> Flow {
        turned(self.flow, hop)
    }

    /// The Request-URI towards another adapter.
    fn overlay_target(&self, node: NodeId) -> String {
        if crate::adapter::names::uri_node(&self.contact).is_some() {
            return self.contact.clone();
        }
        format!("sip:{}", Local::Overlay(node).host())
    }
}
