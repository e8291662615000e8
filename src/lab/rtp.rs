//! RTP as a telephone sends it: G.711, 20 ms a packet, 172 bytes (RFC 3550 s5.1, RFC 3551).
//!
//! The payload is no sound: it names the instant of sending and a pattern that follows from
//! source and sequence number. So the far end knows of each packet whether it is what was sent,
//! whether it came twice, and how long it took where both ends share a clock.

use crate::time::{Duration, Instant};

/// Bytes of one packet: 12 of header and 20 ms of G.711.
pub const PACKET_BYTES: usize = 172;
/// The time between two packets.
pub const PACKET_INTERVAL: Duration = Duration::from_millis(20);
const HEADER_BYTES: usize = 12;
const STAMP_BYTES: usize = 8;
const SAMPLES: u32 = 160;
/// Packets of one source, after which nobody else is heard.
const PROBATION: u8 = 3;
/// How far behind the newest a packet may be and still be told from a repetition.
const WINDOW: u16 = 64;

/// One direction of sound, as its sender sees it.
#[derive(Clone, Debug)]
pub struct Source {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    sent: u32,
}

impl Source {
    /// A source that starts at the sequence number and time stamp drawn by its owner.
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self { ssrc, sequence, timestamp, sent: 0 }
    }

    /// The synchronization source identifier.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// How many packets were made.
    pub fn sent(&self) -> u32 {
        self.sent
    }

    /// Makes the next packet.
    pub fn next(&mut self, now: Instant) -> [u8; PACKET_BYTES] {
        let mut packet = [0; PACKET_BYTES];
        packet[0] = 0x80;
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[HEADER_BYTES..HEADER_BYTES + STAMP_BYTES]
            .copy_from_slice(&now.micros().to_be_bytes());
        pattern(self.ssrc, self.sequence, &mut packet[HEADER_BYTES + STAMP_BYTES..]);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(SAMPLES);
        self.sent += 1;
        packet
    }
}

/// What became of one received packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Sound, and how long it was on its way.
    Sound(Duration),
    /// A packet that had come before.
    Repeated,
    /// Not what any phone of the lab sent, or what this phone sent itself.
    Corrupt,
}

/// One direction of sound, as its receiver sees it.
#[derive(Clone, Debug, Default)]
pub struct Sink {
    own_ssrc: u32,
    ssrc: Option<u32>,
    /// How many packets of that source came, until it is the only one (RFC 3550 A.1).
    probation: u8,
    newest: u16,
    seen: u64,
}

impl Sink {
    /// A sink that takes one source, but not `own_ssrc`: the first that it hears for
    /// `PROBATION` packets, for what a former source has sent may still be on its way.
    pub fn new(own_ssrc: u32) -> Self {
        Self { own_ssrc, ..Self::default() }
    }

    /// Judges one packet.
    pub fn hear(&mut self, now: Instant, data: &[u8]) -> Heard {
        let Ok(packet) = <&[u8; PACKET_BYTES]>::try_from(data) else { return Heard::Corrupt };
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let ssrc = u32::from_be_bytes([packet[8], packet[9], packet[10], packet[11]]);
        let mut expected = [0; PACKET_BYTES - HEADER_BYTES - STAMP_BYTES];
        pattern(ssrc, sequence, &mut expected);
        let known = self.ssrc == Some(ssrc);
        if packet[0] != 0x80
            || packet[1] & 0x7f != 0
            || ssrc == self.own_ssrc
            || !known && self.probation == PROBATION
            || packet[HEADER_BYTES + STAMP_BYTES..] != expected
        {
            return Heard::Corrupt;
        }
        if !known {
            *self = Self { ssrc: Some(ssrc), ..Self::new(self.own_ssrc) };
        }
        self.probation = PROBATION.min(self.probation + 1);
        if !self.is_new(sequence) {
            return Heard::Repeated;
        }
        let mut stamp = [0; STAMP_BYTES];
        stamp.copy_from_slice(&packet[HEADER_BYTES..HEADER_BYTES + STAMP_BYTES]);
        Heard::Sound(now.since(Instant::from_micros(u64::from_be_bytes(stamp))))
    }

    /// Notes `sequence` and says whether it is the first of its number (RFC 3711's window).
    fn is_new(&mut self, sequence: u16) -> bool {
        let ahead = sequence.wrapping_sub(self.newest);
        if self.seen == 0 || ahead < 0x8000 && ahead != 0 {
            let shift = if self.seen == 0 { WINDOW } else { ahead };
            self.seen = if shift >= WINDOW { 1 } else { self.seen << shift | 1 };
            self.newest = sequence;
            return true;
        }
        let behind = self.newest.wrapping_sub(sequence);
        if behind >= WINDOW || self.seen >> behind & 1 == 1 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

fn pattern(ssrc: u32, sequence: u16, out: &mut [u8]) {
    let mut state = ssrc ^ u32::from(sequence).wrapping_mul(0x9e37_79b9) | 1;
    for chunk in out.chunks_mut(4) {
        // xorshift32: cheap, and one changed bit of the input changes the whole packet.
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        chunk.copy_from_slice(&state.to_be_bytes()[..chunk.len()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Source, Sink) {
        (Source::new(7, 65_530, 0), Sink::new(9))
    }

    #[test]
    fn each_packet_counts_once_also_out_of_order_and_across_the_wrap() {
        let (mut source, mut sink) = pair();
        let sent = Instant::from_micros(1_000);
        let now = Instant::from_micros(3_000);
        let mut packets: Vec<_> = (0..20).map(|_| source.next(sent)).collect();
        packets.swap(4, 9);
        for packet in &packets {
            assert_eq!(sink.hear(now, packet), Heard::Sound(Duration::from_micros(2_000)));
        }
        assert!(packets.iter().all(|packet| sink.hear(now, packet) == Heard::Repeated));
        assert_eq!(source.sent(), 20);
    }

    #[test]
    fn what_a_former_source_still_sends_takes_nobodys_place() {
        let (mut source, mut sink) = pair();
        let mut other = Source::new(8, 1, 0);
        let mut hears = |source: &mut Source| {
            matches!(sink.hear(Instant::ZERO, &source.next(Instant::ZERO)), Heard::Sound(_))
        };
        for _ in 0..2 {
            assert!(hears(&mut source));
        }
        for _ in 0..3 {
            assert!(hears(&mut other));
        }
        assert!(!hears(&mut source), "one source");
        assert!(hears(&mut other));
    }

    #[test]
    fn a_changed_shortened_strange_or_own_packet_is_no_sound() {
        let (mut source, mut sink) = pair();
        let packet = source.next(Instant::ZERO);
        assert!(matches!(sink.hear(Instant::ZERO, &packet), Heard::Sound(_)));
        let next = source.next(Instant::ZERO);
        for (at, bit) in [(3, 1), (9, 4), (40, 1), (171, 0x80), (0, 0x40), (1, 3)] {
            let mut changed = next;
            changed[at] ^= bit;
            assert_eq!(sink.hear(Instant::ZERO, &changed), Heard::Corrupt, "byte {at}");
        }
        assert_eq!(sink.hear(Instant::ZERO, &next[..171]), Heard::Corrupt);
        let mut own = Sink::new(7);
        assert_eq!(own.hear(Instant::ZERO, &next), Heard::Corrupt);
    }
}
