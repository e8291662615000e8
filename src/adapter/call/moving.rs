//! Media moves: a running call's speech takes the direct path where the provider's anchor has
//! failed with its server (CALLS §4.1).
//!
//! Most providers send speech through a machine of their own. When that dies, both routers stop
//! hearing it at once. Each looks every second whether the far end of a linked call is silent
//! though both descriptions say that speech flows. Where the server is up, it is then asked by a
//! probe, once in that silence; where it is not, the adapter tells the other one over the channel
//! what its phone takes, and where. Who is told, and is silent too, aims its phone's speech there
//! and answers with the same. Where the phone could not be understood (another codec, another
//! payload type, another key), it is asked first, by a re-INVITE with the other phone's
//! description.
//!
//! Both notice at once: who called leads, and the called one waits a little longer. The caller's
//! adapter does not hear the other's wish while its own is out; the called one answers it and
//! forgets its own. The channel may lose any of this, so it is told again every second until
//! speech is heard, [`MEDIA_MOVES_MAX`] times. Speech that flows is never moved, nor held speech;
//! what cannot be moved is left to the rule of dead media. Nor does an adapter move what its own
//! server may carry.
//!
//! A server that comes back finds speech elsewhere. Its machine's old description changes nothing
//! (see `media::moved`); a new one brings speech back, and as it may do so at one end alone, both
//! listen on until the machine is heard.

use super::described::text_of;
use super::dialog::DialogAt;
use super::dialogs::Dialog;
use super::offer::Asked;
use super::{CallId, Role};
use crate::adapter::Adapter;
use crate::adapter::names::Path;
use crate::channel::{MediaMove, Payload};
use crate::limits::{MEDIA_MOVE_INTERVAL, MEDIA_MOVES_MAX, MEDIA_SILENCE, MEDIA_SILENCE_CALLED};
use crate::media::sdp::fit::{Fit, fit};
use crate::media::sdp::{Description, Direction};
use crate::media::{SessionId, Side};
use crate::net::{NodeId, Via};
use crate::sip::Message;
use crate::sip::transaction::Flow;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, Ipv4Addr};

/// How far the media of a call have moved.
#[derive(Debug, Default)]
pub(crate) struct Moving {
    /// When its far end is listened for again.
    pub(super) due: Option<Instant>,
    /// How often in a row the other adapter was told where media go.
    wishes_sent: u8,
    /// They have.
    pub(super) moved: Option<Moved>,
    /// What the phone is asked to take.
    pub(super) asked: Option<Asked>,
    /// What it has refused: it is not asked that again.
    pub(super) refused: Option<Vec<u8>>,
    /// Since when the far end was silent when the server was last asked whether it lives.
    doubted: Option<Instant>,
    /// The other adapter was told that the phone describes itself anew: once in a move.
    pub(super) corrected: bool,
}

/// Media that have left the provider's machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    /// For this adapter.
    pub(super) to: NodeId,
    /// The far end signalled the direct path itself.
    signalled: bool,
    /// Since when they are sent to the machine again.
    back: Option<Instant>,
}

/// A call whose media may move now.
pub(super) struct Movable {
    pub(super) at: DialogAt,
    pub(super) media: SessionId,
    /// The media side of its far end.
    pub(super) side: u8,
    /// The adapter at the other end.
    pub(super) node: NodeId,
}

/// What becomes of another adapter's wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Media move, or the phone is asked.
    Yes,
    /// It may be repeated.
    NotNow,
    /// It is not for this call.
    Refused,
}

impl Adapter {
    /// From now on the far end of a call is listened for, until the server is up and the media
    /// are where it has them.
    pub(crate) fn watch_media(&mut self, now: Instant, id: CallId) {
        if let Some(call) = self.calls.get_mut(id) {
            call.moving.due.get_or_insert(now + MEDIA_MOVE_INTERVAL);
            self.arm(id);
        }
    }

    /// Listens for the far end of a call.
    pub(super) fn media_due(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(id) else { return };
        if call.moving.due.take_if(|at| now >= *at).is_none() {
            return;
        }
        self.look_at_anchor(now, id);
        let may_move = self.may_move(id);
        let movable = self.movable(now, id, MEDIA_SILENCE);
        if let Some(movable) = movable.as_ref().filter(|_| !may_move) {
            self.doubt_server(now, movable, false);
        }
        let Some(call) = self.calls.get_mut(id) else { return };
        let by_server = |dialog: &Dialog| dialog.confirmed && dialog.far().path == Path::Server;
        // The called one's adapter leaves it to the other for a while.
        let patience = match call.role {
            Role::Caller => MEDIA_SILENCE,
            Role::Callee => MEDIA_SILENCE_CALLED,
        };
        let listens = may_move || call.dialogs.iter().any(by_server);
        call.moving.due = listens.then_some(now + MEDIA_MOVE_INTERVAL);
        let movable = self.movable(now, id, patience).filter(|_| may_move);
        let Some(call) = self.calls.get_mut(id) else { return };
        match movable {
            None => call.moving.wishes_sent = 0,
            Some(movable) if call.moving.wishes_sent < MEDIA_MOVES_MAX => {
                if call.moving.wishes_sent == 0 {
                    call.moving.corrected = false;
                }
                call.moving.wishes_sent += 1;
                self.trace_note(now, id, "silence: media to the direct path");
                self.tell_media(now, &movable, false);
            }
            Some(_) => {}
        }
    }

    /// Whether the server does not carry the media of a call: it is not up, or has come back to a
    /// call that goes on without it.
    fn may_move(&self, id: CallId) -> bool {
        let moved = self.calls.get(id).and_then(|call| call.moving.moved);
        self.server_is_not_up(id) || moved.is_some()
    }

    /// Notes when media that had moved are with the provider's machine again, and heard from there.
    fn look_at_anchor(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(id) else { return };
        let (Some(mut moved), Some(media)) = (call.moving.moved, call.media) else { return };
        let side = call.dialogs.iter().find(|dialog| dialog.confirmed).map(|d| d.far().side);
        let Some(side) = side.map(Side::Far) else { return };
        let left = moved.signalled || self.media.has_left(media, side, None);
        moved.back = if left { None } else { moved.back.or(Some(now)) };
        let heard = self.media.heard_at(media, side);
        let is_heard = moved.back.is_some_and(|back| heard.is_some_and(|at| at > back));
        if let Some(call) = self.calls.get_mut(id) {
            call.moving.moved = Some(moved).filter(|_| !is_heard);
        }
    }

    /// Whether a message brings the description of a machine that media have left: it stays so.
    /// Where the phone wants something else, its answer is news all the same.
    pub(super) fn is_left(&mut self, id: CallId, from: Side, message: &Message<'_>) -> bool {
        let Some(call) = self.calls.get(id) else { return false };
        let (Some(media), Some(text)) = (call.media, text_of(message)) else { return false };
        let repeated = message.is_request() || !call.described.is_changing();
        if repeated && self.media.has_left(media, from, Some(text)) {
            return true;
        }
        self.media.come_back(media, from);
        false
    }

    /// A far end of a call that the server carries has described itself, by the server or directly.
    pub(super) fn note_anchor(
        &mut self,
        now: Instant,
        id: CallId,
        from: Side,
        source: Flow,
        message: &Message<'_>,
    ) {
        let Some(call) = self.calls.get_mut(id).filter(|_| text_of(message).is_some()) else {
            return;
        };
        let by_server =
            |d: &Dialog| d.far().path == Path::Server && from == Side::Far(d.far().side);
        if !call.dialogs.iter().any(|dialog| dialog.confirmed && by_server(dialog)) {
            return;
        }
        match (source.via, &mut call.moving.moved) {
            (Via::Peer(to), moved) => {
                *moved = Some(Moved { to, signalled: true, back: None });
                self.watch_media(now, id);
            }
            (_, Some(moved)) => moved.signalled = false,
            (_, None) => {}
        }
    }

    /// Whether the media of a call may move: it is linked, answered, carried by the server, and its
    /// far end silent for as long, though both descriptions let speech flow.
    fn movable(&self, now: Instant, id: CallId, silence: Duration) -> Option<Movable> {
        let call = self.calls.get(id)?;
        let runs = |dialog: &Dialog| {
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
    pub(super) fn tell_media(&mut self, now: Instant, movable: &Movable, answers: bool) {
        let Movable { at, media, side, node } = *movable;
        let Some(call) = self.calls.get(at.0) else { return };
        let (Some(pair), Some(dialog)) = (call.described.agreed(), call.dialogs.get(at.1)) else {
            return;
        };
        let (said, phone) = (pair.said.clone(), dialog.phone.flow.to.ip());
        let (key, of_caller) = (call.key, call.role == Role::Caller);
        let description = match self.media.offer(now, media, Side::Far(side), phone, &said) {
            Ok(description) => description,
            Err(error) => {
                self.counters.sdp_refused += 1;
                return log::info!("media stay where they are: {error}");
            }
        };
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
        let wishes_sent = self.calls.get(id).map_or(0, |call| call.moving.wishes_sent);
        if sender == Role::Callee && !moved.answers && wishes_sent > 0 {
            return;
        }
        if self.weigh_wish(now, id, peer, moved) == Taken::Refused {
            self.counters.media_moves_refused += 1;
            self.trace_note(now, id, "refused: media stay where they are");
        }
    }

    /// Whether a wish is one that may be taken, and if so takes it.
    fn weigh_wish(
        &mut self,
        now: Instant,
        id: CallId,
        peer: NodeId,
        moved: &MediaMove<'_>,
    ) -> Taken {
        let Some(call) = self.calls.get(id) else { return Taken::Refused };
        // Whom media have moved to may say that its phone is elsewhere now.
        let is_there = |it: Moved| it.to == peer && it.back.is_none();
        let corrects = moved.answers && call.moving.moved.is_some_and(is_there);
        let awaited = corrects || !moved.answers || call.moving.wishes_sent > 0;
        // The other adapter heard the anchor a moment longer, or shorter.
        let silence = if corrects { Duration::ZERO } else { MEDIA_SILENCE / 2 };
        let movable = self.movable(now, id, silence).filter(|it| it.node == peer);
        match movable.filter(|_| awaited && flows(moved.description)) {
            None => Taken::Refused,
            Some(movable) if self.may_move(id) => {
                let taken = self.take_media(now, &movable, moved, corrects);
                if let Some(call) = self.calls.get_mut(id).filter(|_| taken == Taken::Yes) {
                    // Speech has that long to come.
                    call.moving.due = Some(now + MEDIA_MOVE_INTERVAL);
                    self.arm(id);
                }
                taken
            }
            Some(movable) => self.doubt_server(now, &movable, true),
        }
    }

    /// The far end of a call whose server is up here is silent, and perhaps another adapter wants
    /// its media. Unless the server has given a sign since, it is asked, once in that silence: at
    /// once for a `wish`, else where that is not too often. The verdict decides what comes of it.
    fn doubt_server(&mut self, now: Instant, movable: &Movable, wish: bool) -> Taken {
        let silent_since = self.media.silent_since(movable.media);
        let Some(call) = self.calls.get_mut(movable.at.0) else { return Taken::Refused };
        let Some(at) = call.provider else { return Taken::Refused };
        let Some(provider) = self.providers.get_mut(Some(at)) else { return Taken::Refused };
        if Some(provider.state.last_sign()) >= silent_since {
            return Taken::Refused;
        }
        let asked = call.moving.doubted == silent_since;
        if !asked && (wish || provider.state.may_look_early(now)) {
            call.moving.doubted = silent_since;
            self.probe(now, at);
        }
        Taken::NotNow
    }

    /// Aims the phone's media at the other phone's place, once the phone means the same by them.
    fn take_media(
        &mut self,
        now: Instant,
        movable: &Movable,
        moved: &MediaMove<'_>,
        corrects: bool,
    ) -> Taken {
        let Movable { at, media, side, node } = *movable;
        let there = moved.description;
        let Some(call) = self.calls.get_mut(at.0) else { return Taken::Refused };
        let Some(pair) = call.described.agreed() else { return Taken::Refused };
        if call.dialogs.get(at.1).is_some_and(Dialog::is_asked) {
            return Taken::NotNow;
        }
        match fit(&pair.said, &pair.shown, there) {
            Fit::Never => Taken::Refused,
            Fit::Other if call.moving.refused.as_deref() == Some(there) => Taken::Refused,
            Fit::Other => self.offer_media(now, movable, moved),
            Fit::Same => {
                let source = self.address_of_peer(node);
                if self.media.aim(now, media, Side::Far(side), source, there).is_err() {
                    return Taken::Refused;
                }
                if let Some(call) = self.calls.get_mut(at.0) {
                    call.described.moved(source, there);
                }
                self.media_moved(now, movable, (!corrects, !moved.answers));
                Taken::Yes
            }
        }
    }

    pub(super) fn address_of_peer(&self, node: NodeId) -> IpAddr {
        self.peer_address(node).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// Media of a call have moved; `first`: not only to another place of the same phone.
    pub(super) fn media_moved(
        &mut self,
        now: Instant,
        movable: &Movable,
        (first, owes_answer): (bool, bool),
    ) {
        let id = movable.at.0;
        if let Some(call) = self.calls.get_mut(id) {
            call.moving.moved = Some(Moved { to: movable.node, signalled: false, back: None });
        }
        self.watch_media(now, id);
        self.counters.media_moved += u64::from(first);
        self.trace_note(now, id, "media take the direct path");
        if owes_answer {
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
