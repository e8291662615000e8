//! The media relay: RTP, RTCP and T.38 between a phone and the far ends of its call.
//!
//! [`Media::rewrite`] turns the SDP of every message that passes, so that both sides send to
//! ports of the adapter; [`Media::handle_datagram`] carries what arrives there to where the other
//! side wants it. One session is one call: the phone's side has one port pair for each media line,
//! whichever leg is heard; every leg has pairs of its own towards the WAN.
//!
//! Limits: [`LEGS_MAX`] legs a session, [`MEDIA_LINES_MAX`] relayed lines a description, and
//! the port range of the configuration. Pure: sockets are wished for by [`Media::poll_request`].

pub mod pinning;
pub mod ports;
pub mod relay;
pub mod sdp;

use crate::config::MediaConfig;
use crate::limits::{LEGS_MAX, MEDIA_LINES_MAX};
use crate::net::{Answer, Failure, Rejected, Request, SocketId, Transmit};
use crate::rng::Rng;
use crate::time::Instant;
use core::fmt;
pub use ports::MediaTicket;
pub use relay::{Flow, Session, Stats};
pub use sdp::SdpError;
use std::net::{IpAddr, SocketAddr};

/// Names one call's media.
pub type SessionId = crate::table::Id<Session>;

/// One of the sides that a session's media flow between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The phone on the LAN.
    Phone,
    /// The far end of leg 0 to [`LEGS_MAX`] - 1, on the WAN.
    Far(u8),
}

/// There is no room for a further session: `max_calls` are open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaFull;

impl fmt::Display for MediaFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("as many calls have media as max_calls allows")
    }
}

impl core::error::Error for MediaFull {}

/// What the relay tells the adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    /// A direction that SDP says flows had neither RTP nor RTCP for the configured time. Told
    /// again after the same time if the session stays open and silent.
    Dead {
        /// The call.
        session: SessionId,
    },
}

/// What happened to datagrams since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Passed on.
    pub relayed: u64,
    /// Of those, handed to another session of this adapter without leaving it.
    pub joined: u64,
    /// Dropped: from a source that the pinning does not allow.
    pub foreign: u64,
    /// Dropped: larger than [`crate::limits::MEDIA_PACKET_BYTES_MAX`].
    pub oversize: u64,
    /// Dropped: on a socket that no session has.
    pub unowned: u64,
    /// Dropped: the other side has not said where it wants media, or is held.
    pub unwanted: u64,
    /// Dropped: from a leg that the phone does not hear.
    pub unheard: u64,
    /// Dropped: the queue of transmissions was full.
    pub full: u64,
}

/// The media of all calls.
pub struct Media {}

#[allow(unused_variables)]
impl Media {
    /// A relay for `max_calls` sessions at a time. Nothing is bound before
    /// [`Media::set_addresses`].
    pub fn new(config: &MediaConfig, max_calls: usize, rng: &mut Rng) -> Self {
        Self {}
    }
    /// Tells the local addresses of both sides. `public` goes into SDP towards far sides in
    /// place of the WAN address of its family.
    pub fn set_addresses(&mut self, lan: &[IpAddr], wan: &[IpAddr], public: Option<IpAddr>) {}
    /// The next thing that the driver shall do.
    pub fn poll_request(&mut self) -> Option<(MediaTicket, Request)> {
        None
    }
    /// Takes the driver's answer.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        ticket: MediaTicket,
        answer: Result<Answer<'_>, Failure>,
    ) {
    }
    /// Opens the media of one call. Ports are taken as SDP names media.
    ///
    /// # Errors
    /// [`MediaFull`] where as many sessions are open as fit.
    pub fn open(&mut self, now: Instant) -> Result<SessionId, MediaFull> {
        Err(MediaFull)
    }
    /// Tells where the signalling of a side comes from, before its first SDP: decides the
    /// family and the local address of the ports offered to it.
    pub fn set_peer(&mut self, session: SessionId, side: Side, signalling: IpAddr) {}
    /// Rewrites the body of a message on its way from side `from` to side `to` into `out`.
    ///
    /// # Errors
    /// [`SdpError`] where no port is free, or no such session is open.
    #[allow(clippy::too_many_arguments)]
    pub fn rewrite(
        &mut self,
        now: Instant,
        session: SessionId,
        from: Side,
        to: Side,
        source: IpAddr,
        content_type: &str,
        body: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SdpError> {
        Ok(())
    }
    /// From now on the phone hears this leg, and this leg hears the phone.
    pub fn carry(&mut self, now: Instant, session: SessionId, leg: u8) {}
    /// Frees the ports of a leg.
    pub fn drop_leg(&mut self, now: Instant, session: SessionId, leg: u8) {}
    /// Frees all of a session.
    pub fn close(&mut self, now: Instant, session: SessionId) {}
    /// Takes a datagram from a media socket and queues what follows from it.
    ///
    /// # Errors
    /// [`Rejected`] where it was dropped and counted.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        socket: SocketId,
        from: SocketAddr,
        tos: u8,
        data: &[u8],
    ) -> Result<(), Rejected> {
        Ok(())
    }
    /// The next datagram to send.
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        None
    }
    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {}
    /// When [`Media::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }
    /// The next event.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        None
    }
    /// What a session has carried.
    pub fn stats(&self, session: SessionId) -> Option<Stats> {
        None
    }
    /// When the last RTP or RTCP of a side came.
    pub fn heard_at(&self, session: SessionId, side: Side) -> Option<Instant> {
        None
    }
    /// What happened to datagrams since the start.
    pub fn counters(&self) -> Counters {
        Counters::default()
    }
}
const _: () = assert!(LEGS_MAX * MEDIA_LINES_MAX < 256);
