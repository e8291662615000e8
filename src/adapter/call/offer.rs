//! A phone that could not be understood where its media move is asked first: by a re-INVITE with
//! the other phone's description.
//!
//! Nothing changes before it agrees: no media are aimed, and its last agreement holds where it
//! refuses, or does not answer. What it refuses it is not asked again. Where it describes itself
//! anew in its answer, the other adapter is told, once in a move.

use super::described::text_of;
use super::dialog::DialogAt;
use super::moving::{Movable, Taken};
use super::own::Why;
use crate::adapter::Adapter;
use crate::channel::MediaMove;
use crate::media::Side;
use crate::net::NodeId;
use crate::sip::{Message, Method};
use crate::time::Instant;

/// An offer of another adapter's phone that the phone here has not answered.
#[derive(Debug)]
pub(super) struct Asked {
    /// The adapter.
    node: NodeId,
    /// Its phone's description.
    there: Vec<u8>,
    /// The adapter waits for an answer.
    owes_answer: bool,
}

impl Adapter {
    /// Asks the phone to take the other phone's media. They move when it does.
    pub(super) fn offer_media(
        &mut self,
        now: Instant,
        movable: &Movable,
        moved: &MediaMove<'_>,
    ) -> Taken {
        let Movable { at, media, node, .. } = *movable;
        let there = moved.description;
        let source = self.address_of_peer(node);
        let Ok(text) = self.media.offer(now, media, Side::Phone, source, there) else {
            return Taken::Refused;
        };
        let Some(call) = self.calls.get_mut(at.0) else { return Taken::Refused };
        let session = call.dialogs.get(at.1).and_then(|dialog| dialog.session);
        let headers = session.map(|session| session.headers()).unwrap_or_default();
        let body = call.described.offer(&text, true);
        if !self.ask_phone(now, at, Method::Invite, (headers, &body), Why::Media) {
            if let Some(call) = self.calls.get_mut(at.0) {
                call.described.withdraw();
            }
            return Taken::NotNow;
        }
        self.trace_note(now, at.0, "other codecs: the phone is asked");
        if let Some(call) = self.calls.get_mut(at.0) {
            let (there, owes_answer) = (there.to_vec(), !moved.answers);
            call.moving.asked = Some(Asked { node, there, owes_answer });
        }
        Taken::Yes
    }

    /// The phone has answered the other phone's offer, or has not.
    pub(super) fn offer_answered(
        &mut self,
        now: Instant,
        at: DialogAt,
        message: Option<&Message<'_>>,
    ) {
        let Some(call) = self.calls.get_mut(at.0) else { return };
        let (asked, media) = (call.moving.asked.take(), call.media);
        let Some((asked, media)) = asked.zip(media) else { return };
        let accepted = message.filter(|message| (200..300).contains(&message.status()));
        let Some((success, text)) = accepted.and_then(|m| Some((m, text_of(m)?))) else {
            call.described.withdraw();
            match message.map(Message::status) {
                Some(491 | 422) | None => {}
                Some(_) => call.moving.refused = Some(asked.there),
            }
            if let Some(refusal) = message {
                self.note_interval(at, refusal);
            }
            self.counters.media_moves_refused += 1;
            return self.trace_note(now, at.0, "the phone refuses: media stay where they are");
        };
        self.session_goes_on(now, at, success);
        let Some(side) = self.far_side(at) else { return };
        let source = self.address_of_peer(asked.node);
        let _ = self.media.aim(now, media, Side::Far(side), source, &asked.there);
        if let Some(call) = self.calls.get_mut(at.0) {
            call.described.moved(source, &asked.there);
        }
        let movable = Movable { at, media, side, node: asked.node };
        self.media_moved(now, &movable, (true, false));
        if asked.owes_answer {
            self.describe_phone(now, at, text);
            self.tell_media(now, &movable, true);
        } else {
            self.phone_describes(now, at, text);
        }
    }

    /// The phone has described itself to the adapter: it gets its media there. Whether it says
    /// anything new.
    fn describe_phone(&mut self, now: Instant, at: DialogAt, text: &[u8]) -> bool {
        let Some(call) = self.calls.get_mut(at.0) else { return false };
        let new = call.described.answer(text);
        let (Some(media), Some(dialog)) = (call.media, call.dialogs.get(at.1)) else { return new };
        let phone = dialog.phone.flow.to.ip();
        let _ = self.media.aim(now, media, Side::Phone, phone, text);
        new
    }

    /// As [`Self::describe_phone`]; who sends there is told, once.
    pub(super) fn phone_describes(&mut self, now: Instant, at: DialogAt, text: &[u8]) {
        let new = self.describe_phone(now, at, text);
        let Some(side) = self.far_side(at) else { return };
        let Some(call) = self.calls.get_mut(at.0) else { return };
        let (Some(media), Some(moved)) = (call.media, call.moving.moved) else { return };
        if new && !core::mem::replace(&mut call.moving.corrected, true) {
            let movable = Movable { at, media, side, node: moved.to };
            self.tell_media(now, &movable, true);
        }
    }

    /// The media side of the far end of a dialog.
    fn far_side(&self, (id, at): DialogAt) -> Option<u8> {
        Some(self.calls.get(id)?.dialogs.get(at)?.far().side)
    }
}
