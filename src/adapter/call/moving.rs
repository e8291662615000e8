//! Media moves: a running call's speech takes the direct path where the provider's anchor has
//! failed with its server (CALLS §4.1).
//!
//! Most providers send speech through a machine of their own. When that dies, both routers stop
//! hearing it at once. While the server is not up, each looks every second whether the far end of
//! a linked call is silent though both descriptions say that speech flows, and then tells the
//! other adapter over the channel what its phone takes, and where. Who is told, and is silent too,
//! aims its phone's speech there and answers with the same. Where the phone could not be
//! understood (another codec, another payload type, another key), it is asked first, by a
//! re-INVITE with the other phone's description.
//!
//! Both notice at once: who called leads. Its adapter does not hear the other's wish while its own
//! is out; the called one answers it and forgets its own. The channel may lose any of this, so it
//! is told again every second until speech is heard, [`MEDIA_MOVES_MAX`] times. Speech that flows
//! is never moved, nor held speech; what cannot be moved is left to the rule of dead media.

use super::dialog::DialogAt;
use super::own::Why;
use super::{CallId, Role};
use crate::adapter::Adapter;
use crate::adapter::names::Path;
use crate::channel::{MediaMove, Payload};
use crate::limits::{MEDIA_MOVE_INTERVAL, MEDIA_MOVES_MAX, MEDIA_SILENCE};
use crate::media::sdp::fit::{Fit, fit};
use crate::media::sdp::{Description, Direction};
use crate::media::{SessionId, Side, multipart};
use crate::net::NodeId;
use crate::sip::{Message, Method, Name};
use crate::time::{Duration, Instant};
use std::net::{IpAddr, Ipv4Addr};

const SDP: &str = "application/sdp";

/// How far the media of a call have moved.
#[derive(Debug, Default)]
pub(crate) struct Moving {
    /// When its far end is listened for again.
    pub(super) due: Option<Instant>,
    /// How often in a row the other adapter was told where media go.
    told: u8,
}

/// A call whose media may move now.
struct Movable {
    at: DialogAt,
    media: SessionId,
    /// The media side of its far end.
    side: u8,
    /// The adapter at the other end.
    node: NodeId,
}

impl Adapter {
    /// From now on the far end of a call is listened for, until the server is up.
    pub(crate) fn watch_media(&mut self, now: Instant, id: CallId) {
        if let Some(call) = self.calls.get_mut(id) {
            call.moving.due.get_or_insert(now + MEDIA_MOVE_INTERVAL);
            self.arm(id);
        }
    }

    /// Listens for the far end of a call.
    pub(super) fn media_due(&mut self, now: Instant, id: CallId) {
        let down = self.server_is_down(id);
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.moving.due.take_if(|at| now >= *at).is_none() {
            return;
        }
        call.moving.due = down.then_some(now + MEDIA_MOVE_INTERVAL);
        let movable = self.movable(now, id, MEDIA_SILENCE).filter(|_| down);
        let Some(call) = self.calls.get_mut(id) else { return };
        match movable {
            None => call.moving.told = 0,
            Some(movable) if call.moving.told < MEDIA_MOVES_MAX => {
                call.moving.told += 1;
                self.trace_note(now, id, "silence: media to the direct path");
                self.tell_media(now, &movable, false);
            }
            Some(_) => {}
        }
    }

    /// Whether the media of a call may move: it is linked, answered, carried by the server, and its
    /// far end silent for as long, though both descriptions let speech flow.
    fn movable(&self, now: Instant, id: CallId, silence: Duration) -> Option<Movable> {
        let call = self.calls.get(id)?;
        let runs = |dialog: &super::dialogs::Dialog| {
            dialog.confirmed && !dialog.ending && dialog.far().path == Path::Server
        };
        let at = (id, call.dialogs.iter().position(runs)?);
        let (media, side) = (call.media?, call.dialogs.get(at.1)?.far().side);
        let node = self.direct_path(at)?;
        call.described.agreed()?;
        let silent = self.media.silent_since(media)? + silence <= now;
        silent.then_some(Movable { at, media, side, node })
    }

    /// Tells the other adapter where the phone here takes media, and which.
    fn tell_media(&mut self, now: Instant, movable: &Movable, answers: bool) {
        let Movable { at, media, side, node } = *movable;
        let Some(call) = self.calls.get(at.0) else { return };
        let (Some(pair), Some(dialog)) = (call.described.agreed(), call.dialogs.get(at.1)) else {
            return;
        };
        let (said, phone) = (pair.said.clone(), dialog.phone.flow.to.ip());
        let (key, of_caller) = (call.key, call.role == Role::Caller);
        let mut description = Vec::with_capacity(said.len() + 64);
        let sides = (Side::Phone, Side::Far(side));
        let written =
            self.media.rewrite(now, media, sides.0, sides.1, phone, SDP, &said, &mut description);
        if let Err(error) = written {
            self.counters.sdp_refused += 1;
            return log::info!("media stay where they are: {error}");
        }
        let moved = MediaMove { call: key, of_caller, answers, description: &description };
        self.tell_peer(now, node, &Payload::Media(moved));
    }

    /// Another adapter tells where its phone takes media.
    pub(crate) fn media_told(&mut self, now: Instant, peer: NodeId, moved: &MediaMove<'_>) {
        let sender = if moved.of_caller { Role::Caller } else { Role::Callee };
        let Some(id) = self.linked_call(peer, (sender, moved.call)) else {
            self.counters.media_moves_refused += 1;
            return;
        };
        let told = self.calls.get(id).map_or(0, |call| call.moving.told);
        if sender == Role::Callee && !moved.answers && told > 0 {
            return;
        }
        // The other adapter heard the anchor a moment longer, or shorter.
        let movable = self.movable(now, id, MEDIA_SILENCE / 2).filter(|it| it.node == peer);
        let awaited = !moved.answers || told > 0;
        let guessed = self.is_guessed(id) && !self.server_is_down(id);
        let taken = match movable.filter(|_| awaited && !guessed && flows(moved.description)) {
            Some(movable) => self.take_media(now, &movable, moved),
            None => false,
        };
        if !taken {
            self.counters.media_moves_refused += 1;
            self.trace_note(now, id, "refused: media stay where they are");
        }
    }

    /// Aims the phone's media at the other phone's place, once the phone means the same by them.
    fn take_media(&mut self, now: Instant, movable: &Movable, moved: &MediaMove<'_>) -> bool {
        let Movable { at, media, side, node } = *movable;
        let there = moved.description;
        let Some(call) = self.calls.get(at.0) else { return false };
        let Some(pair) = call.described.agreed() else { return false };
        if call.dialogs.get(at.1).is_some_and(super::dialogs::Dialog::is_asked) {
            return true;
        }
        let source = self.peer_address(node).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        match fit(&pair.said, &pair.told, there) {
            Fit::Never => false,
            Fit::Same => {
                if self.media.aim(now, media, Side::Far(side), source, there).is_err() {
                    return false;
                }
                if let Some(call) = self.calls.get_mut(at.0) {
                    call.described.moved(source, there);
                }
                self.media_moved(now, movable, !moved.answers);
                true
            }
            Fit::Other => self.offer_media(now, movable, moved, source),
        }
    }

    fn offer_media(
        &mut self,
        now: Instant,
        movable: &Movable,
        moved: &MediaMove<'_>,
        source: IpAddr,
    ) -> bool {
        let Movable { at, media, side, .. } = *movable;
        let sides = (Side::Far(side), Side::Phone);
        let mut body = Vec::with_capacity(moved.description.len() + 64);
        let there = moved.description;
        if self.media.rewrite(now, media, sides.0, sides.1, source, SDP, there, &mut body).is_err()
        {
            return false;
        }
        let body = self.note_description(at.0, sides, (SDP, there), body, (true, source));
        let why = Why::Media { told: !moved.answers };
        self.trace_note(now, at.0, "other codecs: the phone is asked");
        self.ask_phone(now, at, Method::Invite, (Vec::new(), &body), why)
    }

    /// The phone has answered the other phone's offer.
    pub(super) fn offer_answered(
        &mut self,
        now: Instant,
        at: DialogAt,
        told: bool,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get_mut(at.0) else { return };
        let kind = message.header(Name::ContentType).unwrap_or_default();
        let text = multipart::find(kind, message.body()).and_then(|f| message.body().get(f.text));
        let (Some(text), 200..300) = (text, message.status()) else {
            self.trace_note(now, at.0, "the phone refuses: media stay where they are");
            return self.offer_refused(now, at);
        };
        call.described.answer(text);
        let (Some(media), Some(dialog)) = (call.media, call.dialogs.get(at.1)) else { return };
        let side = dialog.far().side;
        let Some(node) = self.direct_path(at) else { return };
        self.media_moved(now, &Movable { at, media, side, node }, told);
    }

    /// The phone has not taken the other phone's offer.
    pub(super) fn offer_refused(&mut self, now: Instant, (id, at): DialogAt) {
        self.counters.media_moves_refused += 1;
        let dialog = self.calls.get(id).and_then(|call| call.dialogs.get(at));
        if let Some(side) = dialog.map(|dialog| dialog.far().side) {
            self.aim_back(now, id, (Side::Phone, Side::Far(side)));
        }
    }

    fn media_moved(&mut self, now: Instant, movable: &Movable, told: bool) {
        self.counters.media_moved += 1;
        self.trace_note(now, movable.at.0, "media take the direct path");
        if told {
            self.tell_media(now, movable, true);
        }
    }
}

/// Whether a description lets speech flow both ways somewhere.
fn flows(description: &[u8]) -> bool {
    let lines = Description::read(description, Ipv4Addr::UNSPECIFIED.into()).lines;
    let open = |address: std::net::SocketAddr| !address.ip().is_unspecified();
    lines
        .iter()
        .flatten()
        .any(|line| line.direction == Direction::SendRecv && line.rtp.is_some_and(open))
}
