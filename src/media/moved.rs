//! Media of a running call that leave the machine which describes itself as the far end.
//!
//! That machine may be heard of again: a server that comes back refreshes its session, often at
//! one end only, with the description that it gave before. That is no news, and media stay where
//! they are. Any other description is: they go where it says.

use super::relay::Place;
use super::sdp::{Description, SdpError};
use super::{Media, SessionId, Side};
use crate::time::Instant;
use std::net::IpAddr;

impl Media {
    /// What `text`, another far end's description, is for side `to`: as [`Media::rewrite`], but
    /// media stay where they are.
    ///
    /// # Errors
    /// [`SdpError`] where no port is free, or no such session is open.
    pub fn offer(
        &mut self,
        now: Instant,
        session: SessionId,
        to: Side,
        source: IpAddr,
        text: &[u8],
    ) -> Result<Vec<u8>, SdpError> {
        self.now = now;
        let description = Description::read(text, source.to_canonical());
        let mut out = Vec::with_capacity(text.len() + 64);
        self.place(session, to, &description, source)?.write(text, &mut out)?;
        Ok(out)
    }

    /// As [`Media::rewrite`], where nobody is told: from now on the media of a side go where
    /// `text` says. A far side that did not say so itself is left.
    ///
    /// # Errors
    /// [`SdpError::NoSession`] where no such session or leg is open.
    pub fn aim(
        &mut self,
        now: Instant,
        session: SessionId,
        from: Side,
        source: IpAddr,
        text: &[u8],
    ) -> Result<(), SdpError> {
        self.now = now;
        let place = Place::new(from, 0).ok_or(SdpError::NoSession)?;
        let left = self.sessions.get(session).and_then(|entry| entry.left_by(place));
        self.describe(now, session, from, source, text)?;
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.leave(place, left);
            entry.update_flowing(now);
        }
        self.arm(session);
        Ok(())
    }

    /// Whether the media of a far side have left who described itself there, and where `text` is
    /// given, whether that is this description once more.
    pub fn has_left(&self, session: SessionId, side: Side, text: Option<&[u8]>) -> bool {
        let seen = text.map(|text| self.fingerprint(text));
        let place = Place::new(side, 0);
        let entry = self.sessions.get(session);
        entry.zip(place).is_some_and(|(entry, place)| entry.has_left(place, seen))
    }

    /// What a far side says next is news, also where its media have left it.
    pub fn come_back(&mut self, session: SessionId, side: Side) {
        let place = Place::new(side, 0);
        if let (Some(entry), Some(place)) = (self.sessions.get_mut(session), place) {
            entry.leave(place, None);
        }
    }

    /// Since when the side that is heard is silent though SDP says that media flow both ways.
    /// `None`: nothing has to flow.
    pub fn silent_since(&self, session: SessionId) -> Option<Instant> {
        self.sessions.get(session)?.silent_since()
    }
}
