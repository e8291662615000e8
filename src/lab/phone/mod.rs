//! A telephone as a core: registers, calls, rings, answers, speaks (RFC 3261, RFC 3264).
//!
//! It stands for the phones in people's homes: it knows its adapter as outbound proxy and
//! nothing else of it. It sends sound only to where SDP says and counts only what comes from
//! there, so that what it reports is evidence. Limits: literal addresses, one media socket, over
//! TCP one connection to the proxy for everything, no DTMF, no transfer.

mod call;
mod credentials;
mod incoming;
mod outgoing;
#[cfg(test)]
mod tests;

pub use call::{Report, Sound};

use super::rtp::Source;
use crate::net::{
    Answer, ConnId, Core, Event, Input, Rejected, Request, SocketId, SocketKind, StreamEvent,
    Ticket, Transmit, Via,
};
use crate::outbox::Outbox;
use crate::rng::Rng;
use crate::sip::Message;
use crate::sip::stream::{Frame, Framer};
use crate::sip::transaction::{Flow, TransactionEvent, Transactions};
use crate::time::{Duration, Instant, earlier};
use call::{Call, Due};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

const TRANSACTIONS_MAX: usize = 64;
const OUTBOX_PACKETS_MAX: usize = 64;
/// The type-of-service byte of sound: Expedited Forwarding (RFC 3246).
const TOS_SOUND: u8 = 0xb8;
const SIP_TICKET: Ticket = Ticket(0);
const MEDIA_TICKET: Ticket = Ticket(1);
/// The transaction user that stands for the registration; calls are numbered from 0.
const REGISTRATION: u32 = u32::MAX;

/// What a phone is told before it is plugged in.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The user part of its AOR.
    pub user: String,
    /// The domain of its AOR.
    pub domain: String,
    /// Its own address and port for SIP.
    pub sip: SocketAddr,
    /// Its own address and port for sound.
    pub media: SocketAddr,
    /// Where it sends what has no route: its adapter, or the provider's server.
    pub proxy: SocketAddr,
    /// The only host whose sound counts. None: whatever host SDP names.
    pub relay: Option<IpAddr>,
    /// Its password, where the server asks for one. The user name is the AOR's.
    pub password: Option<String>,
    /// How long it rings before somebody answers.
    pub ring: Duration,
    /// The lifetime of a binding that it asks for.
    pub expires: Duration,
    /// What it can do besides.
    pub habits: Habits,
}

/// What a phone does when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Rings, and is answered.
    Answer,
    /// Rings, and nobody comes.
    Ring,
    /// Refuses with this status.
    Refuse(u16),
    /// Says nothing at all.
    Silent,
}

/// What a phone can do besides, and does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Habits {
    /// It is heard before it is answered: 183 with a description, and sound.
    pub early: bool,
    /// Its ringing is acknowledged, where the caller can do that (RFC 3262).
    pub reliable: bool,
    /// How many calls it takes at a time; a further one is told 486.
    pub lines: usize,
    /// It speaks SIP over TCP, on one connection to its proxy.
    pub tcp: bool,
}

impl Default for Habits {
    fn default() -> Self {
        Self { early: false, reliable: false, lines: 8, tcp: false }
    }
}

/// Names a call of one phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CallId(u32);

/// The registration of a phone.
#[derive(Default)]
struct Registration {
    call_id: String,
    tag: u32,
    cseq: u32,
    challenged: bool,
    /// Whether it asks for the end of its binding.
    leaving: bool,
    /// The status of the last final answer, 0 where there was none in time.
    status: u16,
    refresh_at: Option<Instant>,
}

/// A telephone.
pub struct Phone {
    settings: Settings,
    manner: Manner,
    rng: Rng,
    transactions: Transactions,
    /// Its way to the proxy: a socket, or a connection.
    sip: Option<Via>,
    framer: Framer,
    media: Option<SocketId>,
    events: VecDeque<Event>,
    sound: Outbox,
    registration: Registration,
    calls: Vec<Call>,
    /// All calls before this one have ended, and nothing is due in them.
    first_live: usize,
}

impl Phone {
    /// A phone that has just been plugged in. It asks for its two sockets.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut rng = Rng::new(seed);
        let bind = |kind, local| Request::Bind { kind, local };
        let sip = match settings.habits.tcp {
            true => Request::Connect { from: Some(settings.sip.ip()), to: settings.proxy },
            false => bind(SocketKind::Sip, settings.sip),
        };
        let events = VecDeque::from([
            Event::Request(SIP_TICKET, sip),
            Event::Request(MEDIA_TICKET, bind(SocketKind::Media, settings.media)),
        ]);
        let registration = Registration {
            call_id: format!("{:016x}@{}", rng.next_u64(), settings.sip.ip()),
            tag: rng.next_u32(),
            cseq: rng.below(1000),
            ..Registration::default()
        };
        Self {
            manner: Manner::Answer,
            transactions: Transactions::new(TRANSACTIONS_MAX, TRANSACTIONS_MAX * 4, &mut rng),
            rng,
            sip: None,
            framer: Framer::new(),
            media: None,
            events,
            sound: Outbox::with_capacity(OUTBOX_PACKETS_MAX, OUTBOX_PACKETS_MAX * 172),
            registration,
            calls: Vec::new(),
            first_live: 0,
            settings,
        }
    }

    /// Its AOR.
    pub fn aor(&self) -> String {
        format!("sip:{}@{}", self.settings.user, self.settings.domain)
    }

    /// Whether its sockets, or its connection, are open.
    pub fn is_ready(&self) -> bool {
        self.sip.is_some() && self.media.is_some()
    }

    /// The status of its last REGISTER: 200 where it is registered, 0 where nobody answered.
    pub fn registration_status(&self) -> u16 {
        self.registration.status
    }

    /// Decides what it does when it is called next.
    pub fn set_manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// Decides how long it rings before somebody answers.
    pub fn set_ring(&mut self, ring: Duration) {
        self.settings.ring = ring;
    }

    /// All its calls, oldest first.
    pub fn reports(&self) -> impl Iterator<Item = &Report> {
        self.calls.iter().map(|call| &call.report)
    }

    /// What there is to tell of a call.
    ///
    /// # Panics
    /// Where the call is another phone's.
    pub fn report(&self, call: CallId) -> &Report {
        &self.calls[call.0 as usize].report
    }

    /// Stops to speak in all calls, so that what is on the way can arrive before they end.
    pub fn fall_silent(&mut self) {
        self.calls.iter_mut().for_each(Call::fall_silent);
    }

    fn contact(&self) -> String {
        let transport = if self.settings.habits.tcp { ";transport=tcp" } else { "" };
        format!("<sip:{}@{}{transport}>", self.settings.user, self.settings.sip)
    }

    fn via(&mut self) -> String {
        let branch = self.transactions.branch();
        let transport = if self.settings.habits.tcp { "TCP" } else { "UDP" };
        format!("SIP/2.0/{transport} {};branch={branch};rport", self.settings.sip)
    }

    fn source(&mut self) -> Source {
        let (ssrc, sequence) = (self.rng.next_u32(), self.rng.next_u32() as u16);
        Source::new(ssrc, sequence, self.rng.next_u32())
    }

    fn flow(&self, to: SocketAddr) -> Option<Flow> {
        Some(Flow { via: self.sip?, to })
    }

    fn receive_stream(
        &mut self,
        now: Instant,
        conn: ConnId,
        event: StreamEvent<'_>,
    ) -> Result<(), Rejected> {
        let StreamEvent::Data(data) = event else { return Ok(()) };
        self.framer.push(data).map_err(|_| Rejected::Malformed)?;
        let mut whole = Vec::new();
        while let Some(frame) = self.framer.next().map_err(|_| Rejected::Malformed)? {
            if let Frame::Message(message) = frame {
                whole.push(message.to_vec());
            }
        }
        let flow = Flow { via: Via::Stream(conn), to: self.settings.proxy };
        whole.iter().try_for_each(|message| self.receive_sip(now, flow, message))
    }

    fn receive_sip(&mut self, now: Instant, flow: Flow, data: &[u8]) -> Result<(), Rejected> {
        let message = Message::parse(data).map_err(|_| Rejected::Malformed)?;
        message.check().map_err(|_| Rejected::Malformed)?;
        if message.is_request() {
            return self.receive_request(now, &message, flow);
        }
        let (_, user) =
            self.transactions.receive_response(now, &message, flow).ok_or(Rejected::Unknown)?;
        self.receive_response(now, user, &message);
        Ok(())
    }

    fn receive_sound(&mut self, now: Instant, from: SocketAddr, data: &[u8]) {
        let relayed = self.settings.relay.is_none_or(|relay| relay == from.ip());
        let live = &mut self.calls[self.first_live..];
        let expected = live.iter_mut().find(|call| relayed && call.expects(from));
        match expected {
            Some(call) => call.receive(now, from, data),
            None => live
                .iter_mut()
                .filter(|call| call.is_live())
                .for_each(|call| call.report.sound.foreign += 1),
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        while let Some(event) = self.transactions.poll_event() {
            if let TransactionEvent::Failed { user, .. } = event {
                self.request_failed(now, user);
            }
        }
        if self.registration.refresh_at.take_if(|at| *at <= now).is_some() {
            self.send_first_register(now);
        }
        let over = |call: &Call| !call.is_live() && call.next_due().is_none();
        self.first_live += self.calls[self.first_live..].iter().take_while(|it| over(it)).count();
        for number in self.first_live..self.calls.len() {
            while let Some(due) = self.calls[number].take_due(now) {
                self.act(now, number, due);
            }
        }
    }

    fn act(&mut self, now: Instant, number: usize, due: Due) {
        match due {
            Due::Answer => self.answer(now, number),
            Due::GiveUp => match self.calls[number].server {
                Some(id) if self.calls[number].report.answered.is_none() => {
                    self.refuse(now, number, id, 504);
                }
                _ => self.say_bye(now, number),
            },
            Due::Repeat => {
                let call = &self.calls[number];
                if let (Some(repeat), Some(id)) = (&call.unacknowledged, call.server) {
                    self.transactions.respond(now, id, &repeat.response);
                }
            }
            Due::Packet => {
                let Some(media) = self.media else { return };
                if let Some((to, packet)) = self.calls[number].packet(now) {
                    // The outbox is drained each turn; a full one is a lost packet, and counted
                    // as one by the far end.
                    let _ = self.sound.push(Via::Udp(media), to, TOS_SOUND, &packet);
                }
            }
        }
    }
}

impl Core for Phone {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        match input {
            Input::Timeout => {
                self.handle_timeout(now);
                Ok(())
            }
            Input::Datagram { socket, from, data, .. } if Some(socket) == self.media => {
                self.receive_sound(now, from, data);
                Ok(())
            }
            Input::Datagram { socket, from, data, .. } => {
                self.receive_sip(now, Flow { via: Via::Udp(socket), to: from }, data)
            }
            Input::Stream(conn, event) => self.receive_stream(now, conn, event),
            Input::Answer(_, Ok(Answer::Connected(conn, _))) => {
                self.sip = Some(Via::Stream(conn));
                Ok(())
            }
            Input::Answer(ticket, Ok(Answer::Bound(socket, local))) => {
                if ticket == SIP_TICKET {
                    (self.sip, self.settings.sip) = (Some(Via::Udp(socket)), local);
                } else {
                    (self.media, self.settings.media) = (Some(socket), local);
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        self.sound.pop(buf).or_else(|| self.transactions.poll_transmit(buf))
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let live = &self.calls[self.first_live..];
        let calls = live.iter().fold(None, |due, call| earlier(due, call.next_due()));
        let own = earlier(self.registration.refresh_at, calls);
        earlier(own, self.transactions.poll_timeout())
    }
}
