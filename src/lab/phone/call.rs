//! One call of a phone: its dialog, its sound, and what there is to tell about it.

use crate::lab::dialog::Dialog;
use crate::lab::repeat::{Repeat, Wish};
use crate::lab::rtp::{Heard, PACKET_BYTES, PACKET_INTERVAL, Sink, Source};
use crate::lab::sdp;
use crate::sip::transaction::{ClientId, ServerId};
use crate::time::{Duration, Instant, earlier};
use std::collections::VecDeque;
use std::net::SocketAddr;

/// Sound may overtake the answer that tells of it by so much. What is older came from somebody
/// whose own answer was lost.
const EARLY: Duration = Duration::from_secs(1);
const EARLY_PACKETS_MAX: usize = 50;

/// How sound fared in one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sound {
    /// Packets that this phone sent.
    pub sent: u32,
    /// Packets of the far end that arrived, each counted once, from where SDP said.
    pub received: u32,
    /// Packets from anywhere else.
    pub foreign: u32,
    /// Packets whose payload did not belong to their sequence number.
    pub corrupt: u32,
    /// Packets that had come before.
    pub repeated: u32,
    /// The time on the way of each packet received, in microseconds. Of use where both phones
    /// share a clock.
    pub delays_us: Vec<u32>,
}

/// What a phone knows of one call.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The Call-ID.
    pub call_id: String,
    /// Whether this phone called.
    pub caller: bool,
    /// The number that names this end of the call in its session descriptions: whoever hears it
    /// knows whom it was connected with.
    pub session: u32,
    /// When the INVITE was first sent, or came.
    pub invited: Instant,
    /// When the first 18x came, or was sent.
    pub alerted: Option<Instant>,
    /// When the 200 came, or was sent.
    pub answered: Option<Instant>,
    /// When the dialog stood on this side: the ACK was sent, or came.
    pub confirmed: Option<Instant>,
    /// When the call ended or failed.
    pub ended: Option<Instant>,
    /// The status of the final answer, 0 before it.
    pub status: u16,
    /// The way that the INVITE or its 200 named in Record-Route, top first.
    pub record_routes: Vec<String>,
    /// How the sound fared.
    pub sound: Sound,
}

impl Report {
    /// Time from the INVITE to its 200.
    pub fn setup(&self) -> Option<Duration> {
        Some(self.answered?.since(self.invited))
    }

    /// Time from the INVITE to the first 18x.
    pub fn alerting(&self) -> Option<Duration> {
        Some(self.alerted?.since(self.invited))
    }
}

/// What is due in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Answer,
    /// The 2xx, or the reliable 18x, again.
    Repeat,
    GiveUp,
    Packet,
}

/// One call.
pub(super) struct Call {
    pub(super) dialog: Dialog,
    pub(super) report: Report,
    /// The INVITE that we sent.
    pub(super) client: Option<ClientId>,
    /// The INVITE that we have not answered for good.
    pub(super) server: Option<ServerId>,
    pub(super) offer: Vec<u8>,
    pub(super) answer_at: Option<Instant>,
    /// A 2xx without its ACK, or a reliable 18x without its PRACK.
    pub(super) unacknowledged: Option<Repeat>,
    /// The number of the reliable 18x that came last, or was sent (RFC 3262).
    pub(super) rseq: u32,
    pub(super) invite_cseq: u32,
    /// How often the INVITE has been sent again with credentials.
    pub(super) challenges: u32,
    /// Where SDP wants our sound, and where the other's comes from.
    remote: Option<SocketAddr>,
    /// The session that the other's description names.
    other: Option<u32>,
    /// Sound that overtook the answer that will say where it comes from (RFC 3264 s5.1).
    early: VecDeque<(Instant, SocketAddr, Vec<u8>)>,
    source: Source,
    sink: Sink,
    packet_at: Option<Instant>,
}

impl Call {
    pub(super) fn new(now: Instant, dialog: Dialog, caller: bool, source: Source) -> Self {
        let call_id = dialog.call_id.clone();
        Self {
            dialog,
            report: Report {
                call_id,
                caller,
                session: source.ssrc(),
                invited: now,
                ..Report::default()
            },
            client: None,
            server: None,
            offer: Vec::new(),
            answer_at: None,
            unacknowledged: None,
            rseq: 0,
            invite_cseq: 0,
            challenges: 0,
            remote: None,
            other: None,
            early: VecDeque::new(),
            sink: Sink::new(source.ssrc()),
            source,
            packet_at: None,
        }
    }

    pub(super) fn is_live(&self) -> bool {
        self.report.ended.is_none()
    }

    /// Starts to speak, one packet every 20 ms; the first has to be filled first.
    pub(super) fn speak(&mut self, now: Instant) {
        self.packet_at.get_or_insert(now + PACKET_INTERVAL);
    }

    /// Stops to speak; the ear stays open.
    pub(super) fn fall_silent(&mut self) {
        self.packet_at = None;
    }

    /// The call is over, with this status.
    pub(super) fn end(&mut self, now: Instant, status: u16) {
        self.fall_silent();
        self.answer_at = None;
        self.unacknowledged = None;
        self.server = None;
        self.report.ended.get_or_insert(now);
        if self.report.status == 0 {
            self.report.status = status;
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        let repeat = self.unacknowledged.as_ref().map(Repeat::next_due);
        earlier(earlier(self.answer_at, repeat), self.packet_at)
    }

    /// One thing that is due, and its timer set anew.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let is_due = |at: &Instant| *at <= now;
        if self.answer_at.take_if(|at| is_due(at)).is_some() {
            return Some(Due::Answer);
        }
        match self.unacknowledged.as_mut().and_then(|repeat| repeat.take_due(now)) {
            Some(Wish::Again) => return Some(Due::Repeat),
            Some(Wish::GiveUp) => {
                self.unacknowledged = None;
                return Some(Due::GiveUp);
            }
            None => {}
        }
        if let Some(at) = self.packet_at.filter(is_due) {
            // A speaker who was held up does not catch up: sound has no hurry.
            let next = at + PACKET_INTERVAL;
            self.packet_at = Some(if is_due(&next) { now + PACKET_INTERVAL } else { next });
            return Some(Due::Packet);
        }
        None
    }

    /// The next packet to send, and where to.
    pub(super) fn packet(&mut self, now: Instant) -> Option<(SocketAddr, [u8; PACKET_BYTES])> {
        let remote = self.remote?;
        let packet = self.source.next(now);
        self.report.sound.sent = self.source.sent();
        Some((remote, packet))
    }

    /// Takes a session description; a body without one changes nothing.
    pub(super) fn describe(&mut self, now: Instant, body: &[u8]) {
        let Some(remote) = sdp::media_address(body) else { return };
        if self.remote.is_some_and(|old| old != remote) || self.other != sdp::session(body) {
            // Somebody else, or from elsewhere: another source of sound.
            self.sink = Sink::new(self.source.ssrc());
        }
        (self.remote, self.other) = (Some(remote), sdp::session(body));
        let early = core::mem::take(&mut self.early);
        for (at, from, data) in early.into_iter().filter(|(at, ..)| now.since(*at) <= EARLY) {
            self.receive(at, from, &data);
        }
    }

    /// Whether sound from `from` may be meant for this call.
    pub(super) fn expects(&self, from: SocketAddr) -> bool {
        self.is_live() && self.remote.is_none_or(|remote| remote == from)
    }

    /// Takes sound. Only what comes from where SDP said counts.
    pub(super) fn receive(&mut self, now: Instant, from: SocketAddr, data: &[u8]) {
        match self.remote {
            Some(remote) if remote == from => self.hear(now, data),
            None => {
                if self.early.len() == EARLY_PACKETS_MAX {
                    self.early.pop_front();
                }
                self.early.push_back((now, from, data.to_vec()));
            }
            _ => self.report.sound.foreign += 1,
        }
    }

    /// Counts a packet that came from where SDP said.
    fn hear(&mut self, now: Instant, data: &[u8]) {
        let sound = &mut self.report.sound;
        match self.sink.hear(now, data) {
            Heard::Sound(delay) => {
                sound.received += 1;
                sound.delays_us.push(u32::try_from(delay.as_micros()).unwrap_or(u32::MAX));
            }
            Heard::Repeated => sound.repeated += 1,
            Heard::Corrupt => sound.corrupt += 1,
        }
    }
}
