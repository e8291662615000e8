//! ACK and BYE of the adapter's own: to both ends of a call that ends here, and to legs that lost.
//!
//! See `own` for how they are written.

use super::dialog::DialogAt;
use super::dialogs::Dialog;
use super::identity::Rename;
use super::{CallId, UpstreamState};
use crate::adapter::names::Path;
use crate::adapter::own_request::OwnRequest;
use crate::adapter::{Adapter, crossing};
use crate::media::multipart;
use crate::sip::transaction::ClientId;
use crate::sip::{Message, Method, Name, RouteSet, Uri};
use crate::time::Instant;

/// The reason of a BYE to a leg whose call goes on by another (RFC 3326).
const COMPLETED_ELSEWHERE: &str = "SIP;cause=200;text=\"Call completed elsewhere\"";

/// Whether a BYE only ends a leg, and not the call.
pub(super) fn is_completed_elsewhere(bye: &Message<'_>) -> bool {
    let protocol = |value: &str| value.get(..3).is_some_and(|p| p.eq_ignore_ascii_case("SIP"));
    let cause = |value: &str| value.split(';').any(|part| part.trim() == "cause=200");
    bye.values(Name::Reason).any(|value| protocol(value) && cause(value))
}

impl Adapter {
    /// Ends a dialog from here: BYE to both ends, to the far one on both paths (CALLS §4.1).
    pub(crate) fn send_byes(&mut self, now: Instant, at: DialogAt) {
        self.end_leg(now, at);
        self.end_directly(now, at);
    }

    /// Ends the far end of a dialog from here, on both paths.
    pub(crate) fn send_byes_onward(&mut self, now: Instant, (id, at): DialogAt) {
        let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
        if let Some(far) = dialog.map(|dialog| OwnRequest::to_far_end(dialog, Method::Bye)) {
            self.send_own(now, &far);
        }
        self.end_directly(now, (id, at));
    }

    fn end_directly(&mut self, now: Instant, (id, at): DialogAt) {
        let Some(node) = self.direct_path((id, at)) else { return };
        let Some(call) = self.calls.get(id) else { return };
        let Some(dialog) = call.dialogs.get(at) else { return };
        let crossing = OwnRequest::directly(call, dialog, (self.id, node), Method::Bye);
        self.send_own(now, &crossing);
        self.trace_sent(now, id, Path::Peer(node), "BYE");
    }

    /// Ends a dialog from here, and nothing else of its call: BYE to the phone, and to the far end
    /// on the path that the dialog has.
    pub(super) fn end_leg(&mut self, now: Instant, (id, at): DialogAt) {
        let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
        let Some(dialog) = dialog else { return };
        let far = OwnRequest::to_far_end(dialog, Method::Bye);
        let phone = OwnRequest::to_phone(dialog, Method::Bye);
        for bye in [phone, far] {
            self.send_own(now, &bye);
        }
    }

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
        self.acknowledge_ended(id);
        let sets_up = self.calls.get(id).is_some_and(super::Call::is_setting_up);
        self.drop_dialogs(now, id, |d| d.ending && (d.confirmed || !sets_up));
        self.reap(now, id);
    }

    /// Acknowledges the answer of a phone here in the name of a caller that does not.
    pub(super) fn acknowledge_phone(&mut self, id: CallId, at: usize) {
        let Some(dialog) = self.calls.get(id).and_then(|call| call.dialogs.get(at)) else { return };
        let ack = OwnRequest::to_phone(dialog, Method::Ack).numbered(dialog.invited);
        self.send_own_ack(&ack);
    }

    /// Acknowledges the 2xx of a leg that lost, and ends its dialog (RFC 3261 s16.7, s13.2.2.4).
    /// Whoever repeats it has not had the ACK; the BYE repeats itself.
    pub(super) fn acknowledge_late(
        &mut self,
        now: Instant,
        client: ClientId,
        response: &Message<'_>,
    ) {
        let Some(invite) = self.transactions.client_request(client).map(<[u8]>::to_vec) else {
            return;
        };
        let Some(flow) = self.transactions.client_flow(client) else { return };
        let room = self.transactions.client_room(client);
        let Some(local) = self.local_of(flow) else { return };
        let Ok(invite) = Message::parse(&invite) else { return };
        let own = self.own_addresses();
        let is_ours = |uri: &Uri<'_>| crossing::is_own(uri, &own);
        let routes = RouteSet::of_caller(response, invite.request_uri(), is_ours);
        let number = response.cseq().map_or(1, |(number, _)| number);
        let own = |method, number| {
            OwnRequest::to_answerer((&invite, response), &routes, (flow, local), (method, number))
        };
        let refusal = refusal_of_offer(&invite, response);
        self.send_own_ack(&own(Method::Ack, number).describing(&refusal));
        let tag = response.to().and_then(|to| to.tag()).unwrap_or_default();
        if self.transactions.note_answerer(client, tag) {
            let reason = (Name::Reason, COMPLETED_ELSEWHERE.to_owned());
            let bye = own(Method::Bye, number.saturating_add(1)).with([reason]);
            self.send_own(now, &bye.roomed(room));
        }
    }

    /// Acknowledges the 2xx to an INVITE inside a dialog, for which nobody waits any more: its
    /// giver would end the call (RFC 3261 s13.3.1.4). The ACK goes the way of the INVITE.
    pub(crate) fn acknowledge_unawaited(&mut self, client: ClientId, response: &Message<'_>) {
        let accepted = (200..300).contains(&response.status());
        if response.method() != Method::Invite || !accepted {
            return;
        }
        let invite = self.transactions.client_request(client).map(<[u8]>::to_vec);
        let (Some(invite), Some(flow)) = (invite, self.transactions.client_flow(client)) else {
            return;
        };
        let Some(local) = self.local_of(flow) else { return };
        let Ok(invite) = Message::parse(&invite) else { return };
        let name = Rename {
            call_id: invite.call_id().to_owned(),
            from: invite.header(Name::From).unwrap_or_default().to_owned(),
            to: response.header(Name::To).unwrap_or_default().to_owned(),
        };
        let contact = response.contacts().next();
        let uri = contact.map_or_else(|| invite.request_uri(), |contact| contact.uri).to_owned();
        let number = response.cseq().map_or(1, |(number, _)| number);
        let mut ack = OwnRequest::new(Method::Ack, uri, (flow, local), name).numbered(number);
        ack.routes = invite.values(Name::Route).map(str::to_owned).collect();
        self.send_own_ack(&ack.describing(&refusal_of_offer(&invite, response)));
    }
}

/// What answers the offer in a 2xx that counts no more: nothing of it is taken (RFC 3264, CALLS
/// §3.7). Empty where there is none.
fn refusal_of_offer(invite: &Message<'_>, response: &Message<'_>) -> Vec<u8> {
    let kind = response.header(Name::ContentType).unwrap_or_default();
    let offer = multipart::find(kind, response.body()).filter(|_| invite.body().is_empty());
    let offer = offer.and_then(|offer| response.body().get(offer.text));
    offer.map(crate::media::sdp::write::refusal).unwrap_or_default()
}
