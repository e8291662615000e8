//! One call: where its sides want media, what may come from them, and what is silent.
//!
//! A [`Session`] has one end for the phone and one for each leg; an end has a wire for each
//! relayed media line: a port pair, what its SDP said, and the pinning of RTP and RTCP. The
//! phone's end talks with the end of the leg that is carried, line by line by index.

use super::Side;
use super::pinning::Pin;
use super::ports::{Component, PairId};
use super::sdp::{Description, Direction};
use crate::limits::{LEGS_MAX, MEDIA_LINES_MAX};
use crate::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

/// Ends of a session: the phone's, and one for each leg.
const ENDS: usize = 1 + LEGS_MAX;
const PHONE: usize = 0;

/// What one direction of a session has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    /// Datagrams.
    pub packets: u64,
    /// Bytes of their payload.
    pub bytes: u64,
}

/// What a session has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// From the phone to the leg that hears it.
    pub to_far: Flow,
    /// From the leg that is heard to the phone.
    pub to_phone: Flow,
    /// Datagrams that the pinning dropped.
    pub foreign: u64,
}

/// Why a datagram went nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// Its source may not send.
    Foreign,
    /// The other side wants no media, or has not said where.
    Unwanted,
    /// It came from a leg that the phone does not hear, or no leg is carried.
    Unheard,
}

/// Where a datagram goes next.
#[derive(Clone, Copy, Debug)]
pub struct Hop {
    /// The pair that it leaves from.
    pub pair: PairId,
    /// Whether that is on a far side.
    pub far: bool,
    /// The address that it goes to.
    pub target: SocketAddr,
}

/// One media line of one end.
#[derive(Clone, Copy, Default)]
struct Wire {
    pair: Option<PairId>,
    /// What the end's SDP said; `None` where it has not named the line, or rejected it.
    direction: Option<Direction>,
    /// The SDP's address means hold.
    held: bool,
    pins: [Pin; 2],
}

impl Wire {
    /// Whether media must flow between this wire and `other`, as both descriptions say. Where
    /// either lets it flow one way only it is held: with music, or without (RFC 3264 s8.4).
    fn flows(&self, other: &Self) -> bool {
        let open = |wire: &Self| wire.direction == Some(Direction::SendRecv) && !wire.held;
        open(self) && open(other)
    }
}

/// Tells one description from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// All of it.
    pub whole: u64,
    /// All but `o=`: what media have to do with.
    pub content: u64,
}

/// One side of a session.
#[derive(Clone, Copy, Default)]
struct End {
    signalling: Option<IpAddr>,
    /// Fingerprint of the last SDP: the same again is a repetition, not news.
    seen: Option<Fingerprint>,
    /// Content of the description of who was left for another far end (see `moved`).
    left: Option<u64>,
    heard_at: Option<Instant>,
    wires: [Wire; MEDIA_LINES_MAX],
}

/// The media of one call.
#[derive(Default)]
pub struct Session {
    ends: [End; ENDS],
    carried: Option<u8>,
    /// It may take the last ports.
    urgent: bool,
    /// Since when SDP says that media flow, from the phone and to it.
    flowing: Option<Instant>,
    stats: Stats,
}

/// 4,096 calls, the most that the configuration allows, have 20 MB.
const _: () = assert!(size_of::<Session>() <= 5120);

/// Names one wire of a session in [`super::ports::Owner::place`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    end: usize,
    line: usize,
}

impl Place {
    /// The wire for the media line with index `line` of `side`, if there is such a leg.
    pub fn new(side: Side, line: usize) -> Option<Self> {
        let end = match side {
            Side::Phone => PHONE,
            Side::Far(leg) => 1 + usize::from(leg),
        };
        (end < ENDS && line < MEDIA_LINES_MAX).then_some(Self { end, line })
    }

    /// The number that stands for it.
    pub fn number(self) -> u8 {
        (self.end * MEDIA_LINES_MAX + self.line) as u8
    }

    /// The wire that `number` stands for.
    pub fn from_number(number: u8) -> Self {
        let number = usize::from(number);
        let end = (number / MEDIA_LINES_MAX).min(ENDS - 1);
        Self { end, line: number % MEDIA_LINES_MAX }
    }

    /// Whether it belongs to a far side.
    pub fn is_far(self) -> bool {
        self.end != PHONE
    }
}

impl Session {
    /// A session that may take the last ports.
    pub fn urgent() -> Self {
        Self { urgent: true, ..Self::default() }
    }

    /// Whether it may take the last ports.
    pub fn is_urgent(&self) -> bool {
        self.urgent
    }

    /// Tells where the signalling of a side comes from.
    pub fn set_signalling(&mut self, at: Place, address: IpAddr) {
        self.ends[at.end].signalling = Some(address.to_canonical());
    }

    /// Takes what the SDP of a side says.
    pub fn describe(&mut self, now: Instant, at: Place, said: &Description, seen: Fingerprint) {
        let end = &mut self.ends[at.end];
        end.left = None;
        if end.seen.replace(seen) == Some(seen) {
            return;
        }
        for (wire, line) in end.wires.iter_mut().zip(&said.lines) {
            let Some(line) = line else {
                *wire = Wire { pair: wire.pair, ..Wire::default() };
                continue;
            };
            wire.direction = Some(line.direction);
            wire.held = line.rtp.is_none();
            for (pin, address) in wire.pins.iter_mut().zip([line.rtp, line.rtcp]) {
                // Hold keeps the address, so that resuming at it finds the source known.
                let address = if wire.held { pin.signalled() } else { address.filter(usable) };
                pin.signal(now, address);
            }
        }
    }

    /// Content of the description of who media leave where they go elsewhere; a phone is never
    /// left.
    pub fn left_by(&self, at: Place) -> Option<u64> {
        let end = &self.ends[at.end];
        end.left.or_else(|| end.seen.map(|seen| seen.content)).filter(|_| at.is_far())
    }

    /// Media of a side have left who describes itself so.
    pub fn leave(&mut self, at: Place, content: Option<u64>) {
        self.ends[at.end].left = content;
    }

    /// Whether media have left somebody, and where `seen` is given, who describes itself so.
    pub fn has_left(&self, at: Place, seen: Option<Fingerprint>) -> bool {
        let left = self.ends[at.end].left;
        left.is_some() && seen.is_none_or(|seen| left == Some(seen.content))
    }

    /// The pair of a wire.
    pub fn pair(&self, at: Place) -> Option<PairId> {
        self.ends[at.end].wires[at.line].pair
    }

    /// Gives a wire its pair and returns the one it had.
    pub fn set_pair(&mut self, at: Place, pair: PairId) -> Option<PairId> {
        self.ends[at.end].wires[at.line].pair.replace(pair)
    }

    /// An address that shows the family and the network that a wire's own side uses.
    pub fn reference(&self, at: Place) -> Option<IpAddr> {
        let end = &self.ends[at.end];
        let media = end.wires[at.line].pins[0].signalled().map(|address| address.ip());
        match (media, end.signalling) {
            (Some(media), Some(signalling)) if media.is_ipv4() != signalling.is_ipv4() => {
                Some(media)
            }
            (media, signalling) => signalling.or(media),
        }
    }

    /// The pairs of one side, or of all.
    pub fn pairs(&self, side: Option<Place>) -> impl Iterator<Item = PairId> + '_ {
        let ends = self.ends.iter().enumerate();
        ends.filter(move |(end, _)| side.is_none_or(|side| side.end == *end))
            .flat_map(|(_, end)| end.wires.iter().filter_map(|wire| wire.pair))
    }

    /// Forgets a leg.
    pub fn drop_leg(&mut self, now: Instant, at: Place) {
        self.ends[at.end] = End::default();
        if self.carried_end() == Some(at.end) {
            self.carried = None;
        }
        self.update_flowing(now);
    }

    /// From now on the phone hears `leg`, and it the phone.
    pub fn carry(&mut self, now: Instant, leg: u8) {
        if self.carried != Some(leg) {
            self.carried = Some(leg);
            self.flowing = None;
        }
        self.update_flowing(now);
    }

    /// The leg that the phone hears.
    pub fn carried(&self) -> Option<u8> {
        self.carried
    }

    /// What has been carried.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// When the last packet of a side came.
    pub fn heard_at(&self, at: Place) -> Option<Instant> {
        self.ends[at.end].heard_at
    }

    fn carried_end(&self) -> Option<usize> {
        self.carried.map(|leg| 1 + usize::from(leg)).filter(|end| *end < ENDS)
    }

    /// Notes whether media flow, after a change.
    pub fn update_flowing(&mut self, now: Instant) {
        let flow = self.carried_end().is_some_and(|far| {
            let mut wires = self.ends[PHONE].wires.iter().zip(&self.ends[far].wires);
            wires.any(|(phone, far)| phone.flows(far))
        });
        self.flowing = if flow { self.flowing.or(Some(now)) } else { None };
    }

    /// When the media will be dead if nothing more is heard. `None`: nothing has to flow.
    pub fn dead_at(&self, timeout: Duration) -> Option<Instant> {
        let since = self.flowing?;
        let ends = [Some(PHONE), self.carried_end()];
        let heard = ends.iter().filter_map(|end| self.ends.get((*end)?));
        let last = heard.map(|end| end.heard_at.map_or(since, |at| at.max(since)));
        last.min().map(|last| last + timeout)
    }

    /// Since when the leg that is heard is silent. `None`: nothing has to flow.
    pub fn silent_since(&self) -> Option<Instant> {
        let since = self.flowing?;
        let heard = self.ends.get(self.carried_end()?)?.heard_at;
        Some(heard.map_or(since, |at| at.max(since)))
    }

    /// Decides where a datagram goes that came to `at`; `None` where it only kept a port of a
    /// NAT open (RFC 6263 s4.1).
    ///
    /// # Errors
    /// Why it goes nowhere.
    #[inline]
    pub fn route(
        &mut self,
        now: Instant,
        at: Place,
        component: Component,
        from: SocketAddr,
        len: usize,
    ) -> Result<Option<Hop>, Dropped> {
        let carried = self.carried_end();
        let end = &mut self.ends[at.end];
        let pin = &mut end.wires[at.line].pins[component as usize];
        if !pin.admit(now, from, end.signalling) {
            self.stats.foreign += 1;
            return Err(Dropped::Foreign);
        }
        if len == 0 {
            return Ok(None);
        }
        end.heard_at = Some(now);
        let other = match (at.end, carried) {
            (PHONE, Some(far)) => far,
            (end, Some(far)) if end == far => PHONE,
            _ => return Err(Dropped::Unheard),
        };
        let wire = &self.ends[other].wires[at.line];
        let target = wire.pins[component as usize].target().filter(|_| !wire.held);
        let (Some(pair), Some(target)) = (wire.pair, target) else {
            return Err(Dropped::Unwanted);
        };
        let flow = if other == PHONE { &mut self.stats.to_phone } else { &mut self.stats.to_far };
        flow.packets += 1;
        flow.bytes += len as u64;
        Ok(Some(Hop { pair, far: other != PHONE, target }))
    }
}

/// Whether packets may be sent to a signalled address at all.
fn usable(address: &SocketAddr) -> bool {
    let broadcast = address.ip() == IpAddr::V4(std::net::Ipv4Addr::BROADCAST);
    address.port() != 0 && !address.ip().is_multicast() && !broadcast
}
