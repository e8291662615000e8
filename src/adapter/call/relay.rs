//! From one leg to the other: headers by [`Crossing`], bodies by the relay, and the dialogs that
//! responses form on the way.

use super::{Call, CallId, Dialog, FarEnd, PhoneEnd, Role};
use crate::adapter::Adapter;
use crate::adapter::crossing::Crossing;
use crate::adapter::names::{Local, Path};
use crate::media::Side;
use crate::sip::transaction::Flow;
use crate::sip::{Message, Name};
use crate::time::Instant;

/// A leg with the upstream that it is joined to, in terms of phone and far end.
pub(crate) struct Joint {
    pub(crate) phone: PhoneEnd,
    pub(crate) far: (Path, Flow, Local),
    pub(crate) far_contact: String,
    /// The media side of the far end.
    pub(crate) side: u8,
    pub(crate) alias_user: String,
}

impl Joint {
    /// `at`: the leg; `up`: the upstream.
    pub(crate) fn of(call: &Call, at: usize, up: usize) -> Option<Self> {
        let leg = call.legs.get(at)?;
        let upstream = call.upstreams.get(up)?;
        let (phone, far, far_contact, side) = match call.role {
            Role::Caller => {
                let far = (leg.path, leg.flow, leg.local);
                (call.phone.clone()?, far, String::new(), at)
            }
            Role::Callee => {
                let far = (upstream.path, upstream.flow, upstream.local);
                (leg.phone.clone()?, far, upstream.contact.clone(), up)
            }
        };
        let alias_user = call.alias_user.clone();
        Some(Self { phone, far, far_contact, side: side as u8, alias_user })
    }
}

impl Adapter {
    /// The crossing between a phone and a far end.
    pub(crate) fn crossing(
        &self,
        phone: &PhoneEnd,
        (path, local): (Path, Local),
        outbound: bool,
        alias_user: &str,
    ) -> Crossing {
        let mut phone_hosts = heapless::Vec::new();
        let _ = phone_hosts.push(phone.flow.to.ip());
        if let Some(ip) = crate::adapter::names::uri_address(&phone.contact) {
            let _ = phone_hosts.push(ip);
        }
        let own = self.own_addresses();
        if outbound {
            Crossing {
                from: Path::Lan,
                from_local: phone.local,
                to: path,
                to_local: local,
                user: phone.user.clone(),
                phone_hosts,
                stand_in: None,
                detour: None,
                own,
                loops: self.loops.clone(),
            }
        } else {
            Crossing {
                from: path,
                from_local: local,
                to: Path::Lan,
                to_local: phone.local,
                user: alias_user.to_owned(),
                phone_hosts,
                stand_in: None,
                detour: None,
                own,
                loops: self.loops.clone(),
            }
        }
    }

    /// Tells the relay where the signalling of both ends comes from: media that overtakes the SDP
    /// of its sender is heard from there already.
    pub(crate) fn expect_media(&mut self, media: Option<crate::media::SessionId>, joint: &Joint) {
        let Some(media) = media else { return };
        self.media.set_peer(media, Side::Phone, joint.phone.flow.to.ip());
        let far = match joint.far.0 {
            Path::Peer(node) => self.peer_address(node),
            _ => Some(joint.far.1.to.ip()),
        };
        if let Some(far) = far {
            self.media.set_peer(media, Side::Far(joint.side), far);
        }
    }

    /// Sends a leg's response up to `upstreams[up]`.
    pub(crate) fn relay_response(
        &mut self,
        now: Instant,
        id: CallId,
        at: usize,
        up: usize,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get(id) else { return };
        let Some(joint) = Joint::of(call, at, up) else { return };
        let (role, media) = (call.role, call.media);
        let upstream = &call.upstreams[up];
        let (server, source, path) = (upstream.server, upstream.flow.to, upstream.path);
        let request = upstream.request.clone();
        let Ok(request) = Message::parse(&request) else { return };
        let outbound = role == Role::Callee;
        let far = (joint.far.0, joint.far.2);
        let crossing = self.crossing(&joint.phone, far, outbound, &joint.alias_user);
        let source_flow = if outbound { joint.phone.flow } else { joint.far.1 };
        let body = self.relay_body(now, media, sides(outbound, joint.side), source_flow, message);
        if let Some(bytes) = crossing.response(message, &request, source, &body) {
            self.transactions.respond(now, server, &bytes);
            self.trace_status(now, id, path, message.status());
        }
    }

    /// Notes the dialog that a response to leg `at` forms or confirms.
    pub(crate) fn note_dialog(
        &mut self,
        id: CallId,
        at: usize,
        up: usize,
        message: &Message<'_>,
        confirmed: bool,
    ) {
        let Some(tag) = message.to().and_then(|to| to.tag()) else { return };
        let answerer = self.contact_of(message);
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(joint) = Joint::of(call, at, up) else { return };
        let (phone_tag, far_tag) = match call.role {
            Role::Caller => (call.from_tag.as_str(), tag),
            Role::Callee => (tag, call.from_tag.as_str()),
        };
        let mut phone = joint.phone;
        let mut far_contact = joint.far_contact;
        if !answerer.is_empty() {
            match call.role {
                Role::Caller => far_contact = answerer,
                Role::Callee => phone.contact = answerer,
            }
        }
        let far = FarEnd {
            path: joint.far.0,
            flow: joint.far.1,
            local: joint.far.2,
            contact: far_contact,
            side: joint.side,
        };
        if let Some(known) = call.dialog(phone_tag, far_tag) {
            let dialog = &mut call.dialogs[known];
            dialog.confirmed |= confirmed;
            if !far.contact.is_empty() {
                dialog.far = far;
            }
            dialog.phone = phone;
            return;
        }
        let upstream_cseq = call.upstreams.get(up).map_or(1, |u| u.cseq);
        let leg_cseq = call.legs.get(at).map_or(1, |l| l.cseq);
        let cseq_shift = match call.role {
            Role::Caller => i64::from(leg_cseq) - i64::from(upstream_cseq),
            Role::Callee => 0,
        };
        let (phone_tag, far_tag) = (phone_tag.to_owned(), far_tag.to_owned());
        let (phone_cseq, far_cseq) = match call.role {
            Role::Caller => (upstream_cseq, 0),
            Role::Callee => (0, upstream_cseq),
        };
        let dialog = Dialog {
            phone_tag,
            far_tag,
            phone,
            far,
            cseq_shift,
            phone_cseq,
            far_cseq,
            confirmed,
            ending: false,
            success: Vec::new(),
            ack: None,
            ack_over: None,
        };
        if call.dialogs.push(dialog).is_err() {
            self.counters.dialogs_dropped += 1;
        }
    }

    /// Rewrites a body for the other side of a call, or copies it where no media is relayed.
    pub(crate) fn relay_body(
        &mut self,
        now: Instant,
        media: Option<crate::media::SessionId>,
        (from, to): (Side, Side),
        source: Flow,
        message: &Message<'_>,
    ) -> Vec<u8> {
        let content_type = message.header(Name::ContentType).unwrap_or_default();
        let Some(media) = media.filter(|_| !message.body().is_empty()) else {
            return message.body().to_vec();
        };
        let mut out = Vec::with_capacity(message.body().len() + 64);
        let source = match source.via {
            crate::net::Via::Peer(node) => match self.peer_address(node) {
                Some(ip) => ip,
                None => source.to.ip(),
            },
            _ => source.to.ip(),
        };
        match self.media.rewrite(
            now,
            media,
            from,
            to,
            source,
            content_type,
            message.body(),
            &mut out,
        ) {
            Ok(()) => out,
            Err(error) => {
                self.counters.sdp_refused += 1;
                log::info!("SDP passed unchanged: {error}");
                message.body().to_vec()
            }
        }
    }
}

/// Media sides of a body that goes from the phone outward, or inward to it.
pub(crate) fn sides(outbound: bool, side: u8) -> (Side, Side) {
    if outbound { (Side::Phone, Side::Far(side)) } else { (Side::Far(side), Side::Phone) }
}
