//! The media relay: RTP, RTCP and T.38 between a phone and the far ends of its call.
//!
//! [`Media::rewrite`] turns the SDP of every message that passes, so that both sides send to
//! ports of the adapter; [`Media::handle_datagram`] carries what arrives there to where the other
//! side wants it. One session is one call: the phone's side has one port pair for each media line,
//! whichever leg is heard; every leg has pairs of its own towards the WAN.
//!
//! A far side that names our own WAN or public address and a relay port is another call of this
//! adapter: its packets are handed to that session at once ("joined inside"), without a way
//! through the kernel or a hairpin of the router in front.
//!
//! Limits: [`crate::limits::LEGS_MAX`] legs a session, [`crate::limits::MEDIA_LINES_MAX`] relayed
//! lines a description, the port range. Pure: [`Media::poll_request`] wishes for sockets.

pub mod fuzz;
mod mapped;
mod moved;
pub mod multipart;
mod names;
pub mod pinning;
mod place;
pub mod ports;
pub mod relay;
pub mod sdp;

use crate::config::{MediaConfig, MediaPath};
use crate::limits::MEDIA_PACKET_BYTES_MAX;
use crate::net::{Answer, Failure, Rejected, Request, SocketId, Transmit, Via};
use crate::outbox::Outbox;
use crate::rng::Rng;
use crate::table::Table;
use crate::time::{Duration, Instant, earlier};
use crate::timer::Timers;
use core::fmt;
pub use ports::MediaTicket;
use ports::Ports;
use relay::Place;
pub use relay::{Flow, Session, Stats};
pub use sdp::SdpError;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Packets that wait to be polled; one input makes at most one.
const OUTBOX_PACKETS: usize = 16;

/// Type of service of Expedited Forwarding (RFC 3246): what voice gets that came unmarked.
const TOS_EF: u8 = 0xb8;

/// Names one call's media.
pub type SessionId = crate::table::Id<Session>;

/// One of the sides that a session's media flow between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The phone on the LAN.
    Phone,
    /// The far end of leg 0 to [`crate::limits::LEGS_MAX`] - 1, on the WAN.
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
    /// Dropped: larger than [`MEDIA_PACKET_BYTES_MAX`].
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
pub struct Media {
    relays: bool,
    timeout: Duration,
    lan: Vec<IpAddr>,
    wan: Vec<IpAddr>,
    public: Option<IpAddr>,
    /// Ports that a router in front opened: inside, and outside.
    mapped: Vec<(SocketAddr, SocketAddr)>,
    ports: Ports,
    sessions: Table<Session>,
    timers: Timers,
    outbox: Outbox,
    events: VecDeque<MediaEvent>,
    counters: Counters,
    fingerprint_keys: (u64, u64),
    /// A rewritten description, before it goes back into its body.
    scratch: Vec<u8>,
    /// The time of the last input that carried one.
    now: Instant,
}

impl Media {
    /// A relay for `max_calls` sessions at a time. Nothing is bound before
    /// [`Media::set_addresses`]; with `path off` nothing ever is, and SDP passes unchanged.
    pub fn new(config: &MediaConfig, max_calls: usize, rng: &mut Rng) -> Self {
        Self {
            relays: config.path != MediaPath::Off,
            timeout: config.timeout.max(Duration::from_secs(1)),
            lan: Vec::new(),
            wan: Vec::new(),
            public: None,
            mapped: Vec::new(),
            ports: Ports::new(config.port_min, config.port_max, max_calls, rng),
            sessions: Table::with_capacity(max_calls),
            timers: Timers::with_capacity(max_calls),
            outbox: Outbox::with_capacity(OUTBOX_PACKETS, OUTBOX_PACKETS * MEDIA_PACKET_BYTES_MAX),
            events: VecDeque::with_capacity(max_calls),
            counters: Counters::default(),
            fingerprint_keys: (rng.next_u64(), rng.next_u64()),
            scratch: Vec::new(),
            now: Instant::ZERO,
        }
    }

    /// Tells the local addresses of both sides, best first. `public` goes into SDP towards far
    /// sides in place of a WAN address of its family. Ports in use at an address that is gone
    /// are replaced when SDP next passes.
    pub fn set_addresses(&mut self, lan: &[IpAddr], wan: &[IpAddr], public: Option<IpAddr>) {
        self.lan = lan.to_vec();
        self.wan = wan.to_vec();
        self.public = public;
        if self.relays {
            // WAN first: it has fewer addresses, and none of them can be done without.
            self.ports.set_addresses(wan.iter().chain(lan).copied());
        }
    }

    /// The next thing that the driver shall do.
    pub fn poll_request(&mut self) -> Option<(MediaTicket, Request)> {
        self.ports.poll_request()
    }

    /// Takes the driver's answer to a request.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        ticket: MediaTicket,
        answer: Result<Answer<'_>, Failure>,
    ) {
        self.now = now;
        self.ports.handle_answer(now, ticket, answer);
    }

    /// Opens the media of one call. Ports are taken as SDP names media.
    ///
    /// # Errors
    /// [`MediaFull`] where as many sessions are open as fit.
    pub fn open(&mut self, now: Instant) -> Result<SessionId, MediaFull> {
        self.now = now;
        self.sessions.insert(Session::default()).map_err(|_| MediaFull)
    }

    /// As [`Media::open`], for an emergency call: it may take the ports that others may not.
    ///
    /// # Errors
    /// [`MediaFull`] where as many sessions are open as fit.
    pub fn open_urgent(&mut self, now: Instant) -> Result<SessionId, MediaFull> {
        self.now = now;
        self.sessions.insert(Session::urgent()).map_err(|_| MediaFull)
    }

    /// Tells where the signalling of a side comes from, before its first SDP: decides the
    /// family and the local address of the ports offered to it.
    pub fn set_peer(&mut self, session: SessionId, side: Side, signalling: IpAddr) {
        if let (Some(session), Some(at)) = (self.sessions.get_mut(session), Place::new(side, 0)) {
            session.set_signalling(at, signalling);
        }
    }

    /// Rewrites the body of a message on its way from side `from` to side `to` into `out`, in
    /// place of what that holds. `source` is where the message came from, `content_type` its
    /// header's value. What has no SDP is copied. The same line of the same leg always gets the
    /// same ports. Until [`Media::carry`] says otherwise the first leg that SDP goes to or comes
    /// from is heard.
    ///
    /// # Errors
    /// [`SdpError`] where no port is free, or no such session is open. `out` is empty then.
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
        self.now = now;
        out.clear();
        let found = multipart::find(content_type, body).filter(|_| self.relays && !body.is_empty());
        let Some(found) = found else {
            out.extend_from_slice(body);
            return Ok(());
        };
        let text = body.get(found.text.clone()).unwrap_or_default();
        let description = self.describe(now, session, from, source, text)?;
        let rewrite = self.place(session, to, &description, source)?;
        self.scratch.clear();
        let mut scratch = core::mem::take(&mut self.scratch);
        let written = rewrite.write(text, &mut scratch);
        if written.is_ok() {
            multipart::replace(body, &found, &scratch, out);
        }
        self.scratch = scratch;
        written?;
        if let Some(entry) = self.sessions.get_mut(session) {
            if let (None, Side::Far(leg), _) | (None, _, Side::Far(leg)) =
                (entry.carried(), from, to)
            {
                entry.carry(now, leg);
            }
            entry.update_flowing(now);
        }
        self.arm(session);
        Ok(())
    }

    /// From now on the phone hears this leg, and this leg hears the phone.
    pub fn carry(&mut self, session: SessionId, leg: u8) {
        if let Some(entry) = self.sessions.get_mut(session) {
            entry.carry(self.now, leg);
            self.arm(session);
        }
    }

    /// Frees the ports of a leg.
    pub fn drop_leg(&mut self, now: Instant, session: SessionId, leg: u8) {
        self.now = now;
        let Some(entry) = self.sessions.get_mut(session) else { return };
        let Some(at) = Place::new(Side::Far(leg), 0) else { return };
        for pair in entry.pairs(Some(at)) {
            self.ports.release(now, pair);
        }
        entry.drop_leg(now, at);
        self.arm(session);
    }

    /// Frees all of a session.
    pub fn close(&mut self, now: Instant, session: SessionId) {
        self.now = now;
        let Some(entry) = self.sessions.remove(session) else { return };
        for pair in entry.pairs(None) {
            self.ports.release(now, pair);
        }
        self.timers.stop(session.slot());
        self.events.retain(|MediaEvent::Dead { session: dead }| *dead != session);
    }

    /// Takes a datagram from a media socket and queues what follows from it. No allocation.
    ///
    /// # Errors
    /// [`Rejected`] where it was dropped and counted.
    #[inline]
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        socket: SocketId,
        from: SocketAddr,
        tos: u8,
        data: &[u8],
    ) -> Result<(), Rejected> {
        self.now = now;
        if data.len() > MEDIA_PACKET_BYTES_MAX {
            self.counters.oversize += 1;
            return Err(Rejected::Malformed);
        }
        let Some((owner, component)) = self.ports.find(socket) else {
            self.counters.unowned += 1;
            return Err(Rejected::Unknown);
        };
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let Some(mut hop) = self.route(owner, component, from, data.len())? else {
            return Ok(());
        };
        let (mut local, mut socket) = self.leave(&hop, component)?;
        let joined = if hop.far { self.find_joined(hop.target) } else { None };
        if let Some((owner, to)) = joined {
            let source = self.shown_at(local, true);
            let Some(next) = self.route(owner, to, source, data.len())? else { return Ok(()) };
            hop = next;
            (local, socket) = self.leave(&hop, to)?;
            self.counters.joined += 1;
        }
        if hop.target.is_ipv4() != local.is_ipv4()
            || hop.target.ip().is_loopback() && !local.ip().is_loopback()
        {
            // The second: nobody talks to the router's own services by naming 127.0.0.1.
            self.counters.unwanted += 1;
            return Err(Rejected::Unknown);
        }
        let tos = if tos & 0xfc == 0 { TOS_EF | tos } else { tos };
        let to = (Via::Udp(socket), hop.target, tos);
        let names = hop.far && names::may_be_in(data);
        let pushed = if names { self.push_unnamed(to, data) } else { self.push(to, data) };
        if !pushed {
            self.counters.full += 1;
            return Err(Rejected::Full);
        }
        self.counters.relayed += 1;
        Ok(())
    }

    /// The next datagram to send.
    #[inline]
    pub fn poll_transmit(&mut self, buf: &mut [u8]) -> Option<Transmit> {
        self.outbox.pop(buf)
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.ports.handle_timeout(now);
        while let Some(slot) = self.timers.pop_due(now) {
            let Some(session) = self.sessions.id_at(slot) else { continue };
            let Some(dead_at) = self.sessions.get(session).and_then(|s| s.dead_at(self.timeout))
            else {
                continue;
            };
            if dead_at > now {
                self.timers.set(slot, dead_at);
                continue;
            }
            self.timers.set(slot, now + self.timeout);
            let event = MediaEvent::Dead { session };
            if !self.events.contains(&event) {
                self.events.push_back(event);
            }
        }
    }

    /// When [`Media::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.timers.next(), self.ports.poll_timeout())
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// What a session has carried.
    pub fn stats(&self, session: SessionId) -> Option<Stats> {
        self.sessions.get(session).map(Session::stats)
    }

    /// When the last RTP or RTCP of a side came.
    pub fn heard_at(&self, session: SessionId, side: Side) -> Option<Instant> {
        self.sessions.get(session)?.heard_at(Place::new(side, 0)?)
    }

    /// How many calls have relay ports.
    pub fn open_sessions(&self) -> usize {
        self.sessions.len()
    }

    /// What happened to datagrams since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }
}

#[cfg(test)]
mod tests;
