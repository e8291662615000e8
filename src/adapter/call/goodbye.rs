//! ACK and BYE of the adapter's own: to both ends of a call that ends here, and to legs that lost.
//!
//! They carry the names and the route set of the dialog on their side (RFC 3261 s12.2.1.1).

use super::caller::peer_flow;
use super::dialog::DialogAt;
use super::dialogs::{Dialog, FarEnd, shifted};
use super::identity::{DialogId, Rename, direct_call_id};
use super::{CallId, UpstreamState};
use crate::adapter::names::{Local, Path};
use crate::adapter::rewrite::write_via;
use crate::adapter::{Adapter, ClientOwner, crossing};
use crate::sip::transaction::Flow;
use crate::sip::{Message, Name, TooLong, Writer};
use crate::time::Instant;
use core::fmt;

/// The reason of a BYE to a leg whose call goes on by another (RFC 3326).
pub(crate) const COMPLETED_ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Whether a BYE only ends a leg, and not the call.
pub(super) fn is_completed_elsewhere(bye: &Message<'_>) -> bool {
    let protocol = |value: &str| value.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("SIP"));
    let cause = |value: &str| value.split(';').any(|part| part.trim() == "cause=200");
    bye.values(Name::Reason).any(|value| protocol(value) && cause(value))
}

/// What such a request says.
struct Own<'a> {
    method: &'a str,
    uri: &'a str,
    local: Local,
    routes: &'a [String],
    name: Rename,
    number: u32,
}

impl Adapter {
    /// Ends a dialog from here: BYE to both ends, and to the far one by the direct path too where
    /// the server carries it (CALLS §4.1).
    pub(crate) fn send_byes(&mut self, now: Instant, at: DialogAt) {
        let direct = self.direct_path(at);
        let Some(call) = self.calls.get(at.0) else { return };
        let Some(dialog) = call.dialogs.get(at.1) else { return };
        let far = dialog.far();
        let mut byes = heapless::Vec::<(Flow, Vec<u8>), 3>::new();
        let mut write = |flow, bye: Own<'_>| {
            let branch = self.transactions.branch();
            if let Some(bytes) = crossing::write(|out| bye.write(&branch, out)) {
                let _ = byes.push((flow, bytes));
            }
        };
        write(dialog.phone.flow, bye_to_phone(dialog));
        write(far.flow_to(far.next_hop()), bye_to_far_end(dialog));
        if let Some(node) = direct {
            let uri = format!("sip:{}", Local::Overlay(node).host());
            let call_id = direct_call_id(call.role, call.key);
            let name = DialogId { call_id, ..far.id.clone() }.rename(true);
            let local = Local::Overlay(self.id);
            let bye = Own { uri: &uri, local, routes: &[], name, ..bye_to_far_end(dialog) };
            write(peer_flow(node), bye);
        }
        let owner = ClientOwner::Quiet.encode();
        for (flow, bytes) in byes {
            let _ = self.transactions.send_request(now, flow, &bytes, owner);
        }
    }
}

impl Adapter {
    /// A BYE came by the faster path than the ACK: it shows as well that the answer was heard, so
    /// that nothing waits for that ACK, neither the phone nor a place among the calls.
    pub(super) fn acknowledge_ended(&mut self, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        let ended = |dialog: &Dialog| dialog.ending && dialog.confirmed;
        if !call.dialogs.iter().filter(|dialog| dialog.confirmed).all(ended) {
            return;
        }
        let mut waited = false;
        for upstream in &mut call.upstreams {
            if matches!(upstream.state, UpstreamState::Accepted { .. }) {
                upstream.state = UpstreamState::Done;
                waited = true;
            }
        }
        for at in (0..call.dialogs.len()).filter(|_| waited) {
            let unheard = |dialog: &Dialog| ended(dialog) && dialog.ack.is_none();
            let call = self.calls.get(id);
            if call.and_then(|call| call.dialogs.get(at)).is_some_and(unheard) {
                self.acknowledge_phone(id, at);
            }
        }
    }

    /// Acknowledges the answer of a phone here in the name of a caller that does not.
    pub(super) fn acknowledge_phone(&mut self, id: CallId, at: usize) {
        let branch = self.transactions.branch();
        let Some(dialog) = self.calls.get(id).and_then(|call| call.dialogs.get(at)) else { return };
        let ack = Own { method: "ACK", number: dialog.invited, ..bye_to_phone(dialog) };
        let flow = dialog.phone.flow;
        if let Some(bytes) = crossing::write(|out| ack.write(&branch, out)) {
            self.send(flow, &bytes);
        }
    }
}

fn bye_to_phone(dialog: &Dialog) -> Own<'_> {
    Own {
        method: "BYE",
        uri: &dialog.phone.contact,
        local: dialog.phone.local,
        routes: &[],
        name: dialog.id.rename(false),
        number: dialog.far_cseq.saturating_add(1),
    }
}

fn bye_to_far_end(dialog: &Dialog) -> Own<'_> {
    let far: &FarEnd = dialog.far();
    let routes: &[String] = match far.path {
        Path::Peer(_) => &[],
        _ => &far.routes,
    };
    let number = shifted(dialog.phone_cseq, far.shift_out).saturating_add(1);
    let name = far.id.rename(true);
    Own { method: "BYE", uri: &far.contact, local: far.local, routes, name, number }
}

impl Own<'_> {
    fn write(&self, branch: &dyn fmt::Display, out: &mut [u8]) -> Result<usize, TooLong> {
        let mut writer = Writer::new(out);
        writer.request(self.method, self.uri);
        write_via(&mut writer, self.local, branch);
        for route in self.routes {
            writer.header(Name::Route, route);
        }
        writer.header(Name::MaxForwards, 70);
        writer.header(Name::From, &self.name.from);
        writer.header(Name::To, &self.name.to);
        writer.header(Name::CallId, &self.name.call_id);
        writer.header(Name::CSeq, format_args!("{} {}", self.number, self.method));
        writer.finish(&[])
    }
}
