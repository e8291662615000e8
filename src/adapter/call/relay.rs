//! From one leg to the other: headers by [`Crossing`], bodies by the relay, and the dialogs that
//! responses form on the way.

use super::dialogs::{Dialog, FarEnd};
use super::identity::{DialogId, tag_of, with_tag};
use super::{Call, CallId, PhoneEnd, Role};
use crate::adapter::Adapter;
use crate::adapter::crossing::Crossing;
use crate::adapter::names::{Local, Path};
use crate::limits::ROUTES_MAX;
use crate::media::Side;
use crate::net::Via;
use crate::sip::transaction::Flow;
use crate::sip::{Message, Name};
use crate::time::Instant;
use std::net::IpAddr;

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
        let (from, from_local, to, to_local, user) = if outbound {
            (Path::Lan, phone.local, path, local, phone.user.as_str())
        } else {
            (path, local, Path::Lan, phone.local, alias_user)
        };
        Crossing {
            from,
            from_local,
            to,
            to_local,
            user: user.to_owned(),
            contact_parameter: "",
            phone_hosts,
            stand_in: None,
            next_hop: None,
            rename: None,
            withheld: outbound && phone.withheld && matches!(path, Path::Peer(_)),
            own: self.own_addresses(),
            loops: self.loops.clone(),
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
        let role = call.role;
        let upstream = &call.upstreams[up];
        let (server, source, path) = (upstream.server, upstream.flow.to, upstream.path);
        let request = upstream.request.clone();
        let Ok(request) = Message::parse(&request) else { return };
        let outbound = role == Role::Callee;
        let far = (joint.far.0, joint.far.2);
        let mut crossing = self.crossing(&joint.phone, far, outbound, &joint.alias_user);
        crossing.rename = upstream_name(call, up, message).map(|id| id.rename(!outbound));
        let source_flow = if outbound { joint.phone.flow } else { joint.far.1 };
        let body = self.translate_body(now, id, sides(outbound, joint.side), source_flow, message);
        if let Some(bytes) = crossing.response(message, &request, source, &body) {
            self.transactions.respond(now, server, &bytes);
            self.trace_status(now, id, path, message.status());
        }
    }

    /// Notes the dialog that a response to leg `at` forms or confirms.
    pub(crate) fn note_dialog(
        &mut self,
        now: Instant,
        (id, at, up): (CallId, usize, usize),
        message: &Message<'_>,
        confirmed: bool,
    ) {
        if message.to().is_none_or(|to| to.tag().is_none()) {
            return;
        }
        let answerer = self.contact_of(message);
        let Some(call) = self.calls.get_mut(id) else { return };
        let Some(joint) = Joint::of(call, at, up) else { return };
        let Some(far) = far_end_of(call, &joint, (at, up), message, &answerer) else { return };
        let name = phone_name(call, up, message);
        let mut phone = joint.phone;
        if call.role == Role::Callee && !answerer.is_empty() {
            phone.contact = answerer;
        }
        let ids = [name.call_id.clone(), far.id.call_id.clone()];
        let caller = call.role == Role::Caller;
        let updates = match call.upstreams.get(up).filter(|_| caller) {
            Some(up) => Message::parse(&up.request).is_ok_and(|invite| allows_update(&invite)),
            None => allows_update(message),
        };
        let known = call.dialogs.iter().position(|dialog| dialog.id.is_same(&name));
        let place = known.unwrap_or_else(|| call.dialogs.len());
        if known.is_some() {
            let dialog = &mut call.dialogs[place];
            dialog.confirmed |= confirmed;
            dialog.phone = phone;
            if let Some(end) = dialog.learn(far) {
                dialog.carry_by(end);
            }
        } else {
            let (upstream, leg) = (call.upstreams.get(up), call.legs.get(at));
            let mut dialog = Dialog::new(name, phone, far);
            dialog.confirmed = confirmed;
            match call.role {
                Role::Caller => {
                    dialog.phone_cseq = upstream.map_or(1, |up| up.cseq);
                    dialog.phone_invite = dialog.phone_cseq;
                }
                Role::Callee => {
                    dialog.far_cseq = leg.map_or(1, |leg| leg.cseq);
                    dialog.invited = dialog.far_cseq;
                }
            }
            if call.dialogs.push(dialog).is_err() {
                self.counters.dialogs_dropped += 1;
            }
        }
        if let Some(dialog) = call.dialogs.get_mut(place).filter(|_| confirmed) {
            dialog.takes_update = updates;
            let path = dialog.far().path;
            self.trace_carried(id, path);
            self.note_session(now, (id, place), caller, message);
            self.watch_unheard(now, (id, place));
        }
        for call_id in ids {
            self.index_call(id, &call_id);
        }
    }

    /// The host that a description came from, which may send media too.
    pub(super) fn media_source(&self, flow: Flow) -> IpAddr {
        let peer = match flow.via {
            Via::Peer(node) => self.peer_address(node),
            _ => None,
        };
        peer.unwrap_or_else(|| flow.to.ip())
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
        let source = self.media_source(source);
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

/// Whether the sender of a message takes UPDATE (RFC 3311 s4).
fn allows_update(message: &Message<'_>) -> bool {
    message.values(Name::Allow).any(|method| method.eq_ignore_ascii_case("UPDATE"))
}

/// Media sides of a body that goes from the phone outward, or inward to it.
pub(crate) fn sides(outbound: bool, side: u8) -> (Side, Side) {
    if outbound { (Side::Phone, Side::Far(side)) } else { (Side::Far(side), Side::Phone) }
}

/// What the phone calls the dialog that `message` is in: its own response, or one to its INVITE,
/// which over the overlay may have had another From.
fn phone_name(call: &Call, up: usize, message: &Message<'_>) -> DialogId {
    let name = DialogId::of(message, call.role == Role::Caller);
    let upstream = call.upstreams.get(up).filter(|_| call.role == Role::Caller);
    let invite = upstream.and_then(|up| Message::parse(&up.request).ok());
    match invite.as_ref().and_then(|invite| invite.header(Name::From)) {
        Some(phone) => DialogId { phone: phone.to_owned(), ..name },
        None => name,
    }
}

/// What upstream `up` calls the dialog that a phone's response is in.
fn upstream_name(call: &Call, up: usize, response: &Message<'_>) -> Option<DialogId> {
    let upstream = call.upstreams.get(up).filter(|_| call.role == Role::Callee)?;
    let request = Message::parse(&upstream.request).ok()?;
    let mut id = DialogId::of(&request, false);
    let tag = upstream.to_tag.as_deref().or_else(|| response.to()?.tag());
    if let Some(tag) = tag.filter(|_| tag_of(&id.phone).is_empty()) {
        id.phone = with_tag(&id.phone, tag);
    }
    Some(id)
}

/// The far end of the dialog that a response to leg `at` forms with upstream `up`.
fn far_end_of(
    call: &Call,
    joint: &Joint,
    (at, up): (usize, usize),
    message: &Message<'_>,
    answerer: &str,
) -> Option<FarEnd> {
    let (path, flow, local) = joint.far;
    let (leg, upstream) = (call.legs.get(at)?, call.upstreams.get(up)?);
    let mut end = FarEnd {
        path,
        flow,
        local,
        contact: joint.far_contact.clone(),
        side: joint.side,
        id: DialogId::of(message, true),
        routes: routes_of(message),
        native: true,
        direct: false,
        shift_out: i64::from(leg.cseq) - i64::from(upstream.cseq),
        shift_in: 0,
        heard: 0,
        invited: (0, 0),
        over: false,
    };
    match call.role {
        Role::Caller => {
            end.routes.reverse();
            end.contact = answerer.to_owned();
        }
        Role::Callee => {
            end.id = upstream_name(call, up, message)?;
            end.routes = Message::parse(&upstream.request).map(|m| routes_of(&m)).ok()?;
            end.native = up == 0;
            end.shift_out = 0;
            (end.heard, end.invited) = (upstream.cseq, (upstream.cseq, leg.cseq));
        }
    }
    Some(end)
}

/// The values of Record-Route, in order.
fn routes_of(message: &Message<'_>) -> Vec<String> {
    let routes = message.values(Name::RecordRoute).take(ROUTES_MAX);
    routes.map(str::to_owned).collect()
}
