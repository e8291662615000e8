//! Names in RTCP: phones say in its source descriptions who they are (RFC 3550 s6.5), many of them
//! with their AOR, and for all on the way to read. What leaves for a far side has other letters
//! there, as many, and the same each time, for what belongs to one source is found by them (RFC
//! 7022). Encrypted RTCP has no such shape, and goes as it is.

use super::Media;
use crate::limits::MEDIA_PACKET_BYTES_MAX;
use crate::net::Via;
use core::ops::{Range, RangeInclusive};
use std::net::SocketAddr;

/// The packet types of RTCP that have one (RFC 3550 s12.1, RFC 4585, RFC 3611).
const RTCP: RangeInclusive<u8> = 200..=207;
const SOURCE_DESCRIPTION: u8 = 202;
/// What of it may name somebody: CNAME, NAME, EMAIL, PHONE, LOC, NOTE; of TOOL it is a program.
const NAMES: [u8; 6] = [1, 2, 3, 4, 5, 7];

/// Whether a packet is of RTCP, by its first bytes (RFC 5761 s4).
#[inline]
pub(super) fn may_be_in(packet: &[u8]) -> bool {
    matches!(packet, [first, kind, ..] if first >> 6 == 2 && RTCP.contains(kind))
}

impl Media {
    /// Queues a datagram. False where there is no room.
    #[inline]
    pub(super) fn push(&mut self, (via, to, tos): (Via, SocketAddr, u8), data: &[u8]) -> bool {
        self.outbox.push(via, to, tos, data)
    }

    /// The same, without the names in it.
    #[cold]
    pub(super) fn push_unnamed(&mut self, to: (Via, SocketAddr, u8), data: &[u8]) -> bool {
        let mut unnamed = [0; MEDIA_PACKET_BYTES_MAX];
        let Some(unnamed) = unnamed.get_mut(..data.len()) else { return false };
        unnamed.copy_from_slice(data);
        Names::new(self.fingerprint_keys).withhold(unnamed);
        self.push(to, unnamed)
    }
}

/// Replaces names.
struct Names {
    key: [u8; 32],
}

impl Names {
    /// By a secret of this start.
    fn new((a, b): (u64, u64)) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&a.to_be_bytes());
        key[8..16].copy_from_slice(&b.to_be_bytes());
        Self { key }
    }

    /// Replaces the names in a compound packet; one that is none as a whole is left alone.
    fn withhold(&self, compound: &mut [u8]) {
        let whole = packets(compound).try_fold(0, |_, packet| packet.map(|packet| packet.end));
        if whole != Some(compound.len()) {
            return;
        }
        let mut rest = compound;
        loop {
            let Some(Some(packet)) = packets(rest).next() else { return };
            let (description, behind) = core::mem::take(&mut rest).split_at_mut(packet.end);
            if description[1] == SOURCE_DESCRIPTION {
                self.replace(description);
            }
            rest = behind;
        }
    }

    /// Replaces the names in the chunks of a source description.
    fn replace(&self, description: &mut [u8]) {
        let chunks = description[0] & 0x1f;
        let mut at = 4;
        for _ in 0..chunks {
            // The source, then items up to one without a type, then zeros to whole words.
            at += 4;
            while let Some(&[kind, len]) =
                description.get(at..at + 2).and_then(|it| it.first_chunk())
                && kind != 0
            {
                let text = at + 2..at + 2 + usize::from(len);
                at = text.end;
                if let Some(text) = description.get_mut(text).filter(|_| NAMES.contains(&kind)) {
                    self.write_over(kind, text);
                }
            }
            at = (at + 1).next_multiple_of(4);
        }
    }

    fn write_over(&self, kind: u8, text: &mut [u8]) {
        let hash = blake3::keyed_hash(&self.key, text);
        for (byte, other) in text.iter_mut().zip(hash.as_bytes().iter().cycle()) {
            *byte = b'a' + (*other ^ kind) % 26;
        }
    }
}

/// Where the packets of a compound are; `None` for what is none, at its end.
fn packets(compound: &[u8]) -> impl Iterator<Item = Option<Range<usize>>> + '_ {
    let mut at = Some(0);
    core::iter::from_fn(move || {
        let start = at.take()?;
        let rest = compound.get(start..).filter(|rest| !rest.is_empty())?;
        let &[first, kind, high, low, ..] = rest else { return Some(None) };
        let end = start + 4 + 4 * usize::from(u16::from_be_bytes([high, low]));
        if first >> 6 != 2 || !RTCP.contains(&kind) || end > compound.len() {
            return Some(None);
        }
        at = Some(end);
        Some(Some(start..end))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A receiver report without a report, and a description of one source with these items.
    fn compound(items: &[(u8, &str)]) -> Vec<u8> {
        let mut chunk = vec![1, 2, 3, 4];
        for (kind, text) in items {
            chunk.extend([*kind, text.len() as u8]);
            chunk.extend(text.as_bytes());
        }
        chunk.push(0);
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        let words = chunk.len() as u8 / 4;
        let mut bytes = vec![0x80, 201, 0, 1, 1, 2, 3, 4, 0x81, 202, 0, words];
        bytes.extend(chunk);
        bytes
    }

    fn withheld(packet: &[u8]) -> Vec<u8> {
        let mut copy = packet.to_vec();
        Names::new((1, 2)).withhold(&mut copy);
        copy
    }

    #[test]
    fn nobody_is_named_and_all_else_is_as_it_was() {
        let name = "sip:+4989123456002@town.example";
        let packet = compound(&[(1, name), (6, "phone 1.0"), (2, "Bob"), (7, "")]);
        assert!(may_be_in(&packet));
        let other = withheld(&packet);
        let text = String::from_utf8_lossy(&other).into_owned();
        assert!(!text.contains("4989") && !text.contains("Bob"), "{text}");
        assert!(text.contains("phone 1.0"));
        let at = packet.windows(name.len()).position(|it| it == name.as_bytes()).unwrap();
        assert_eq!((&other[..at], other.len()), (&packet[..at], packet.len()));
        assert_eq!(withheld(&packet), other, "what belongs to one source does so still");
        assert_ne!(withheld(&compound(&[(1, &name.replace('2', "3"))]))[at..], other[at..]);
    }

    #[test]
    fn what_has_not_the_shape_of_rtcp_is_left_alone() {
        let packet = compound(&[(1, "alice@example.net")]);
        // Encrypted, it has an index and a tag behind; cut short; of another version.
        let mut encrypted = packet.clone();
        encrypted.extend([0x80, 0, 0, 1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
        let mut other_version = packet.clone();
        other_version[8] = 0x41;
        let cut = packet[..packet.len() - 1].to_vec();
        for packet in [encrypted, other_version, cut, Vec::new(), vec![0x80; 3]] {
            assert_eq!(withheld(&packet), packet);
        }
        assert!(!may_be_in(b"\x80\x08\x00\x01some sound"));
    }

    #[test]
    fn lengths_that_lead_nowhere_do_no_harm() {
        for at in 0..40 {
            for value in [0, 1, 31, 0x9f, 0xff] {
                let mut packet = compound(&[(1, "alice@example.net"), (2, "Alice")]);
                packet[at % 36] = value;
                let len = packet.len();
                assert_eq!(withheld(&packet).len(), len);
            }
        }
    }
}
