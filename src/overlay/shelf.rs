//! Bytes of records, side by side in one piece of memory that is reserved once.
//!
//! Records differ in length by a factor of four, and there may be hundreds: each takes what it
//! needs. What is removed leaves a gap; where gaps come to be more than a third of it, or the end
//! is reached, those that stay move together.

/// Bytes before the two parts: the slot (4), and how long each part is (2 each).
const HEAD_BYTES: usize = 8;
/// In place of the slot: nobody's any more.
const GAP: u32 = u32::MAX;
/// Gaps of fewer bytes are not worth moving anything.
const GAPS_MIN: usize = 1024;

/// Pieces of two parts, the second perhaps empty; each belongs to a slot of its owner's table.
pub(super) struct Shelf {
    bytes: Vec<u8>,
    bytes_max: usize,
    gaps: usize,
}

impl Shelf {
    /// Room for `pieces`, whose parts are so long together.
    pub(super) fn with_capacity(pieces: usize, parts_bytes: usize) -> Self {
        // With a quarter more, each move frees as much, however long all pieces are.
        let bytes_max = pieces * (HEAD_BYTES + parts_bytes) * 5 / 4;
        Self { bytes: Vec::with_capacity(bytes_max), bytes_max, gaps: 0 }
    }

    /// See [`crate::queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        crate::queue::fit_list(&mut self.bytes);
    }

    /// The parts of the piece at `at`.
    pub(super) fn get(&self, at: u32) -> (&[u8], &[u8]) {
        let (_, first, second) = self.head(at as usize);
        let parts = self.bytes.get(at as usize + HEAD_BYTES..).unwrap_or_default();
        let (one, rest) = parts.split_at_checked(first).unwrap_or_default();
        (one, rest.get(..second).unwrap_or_default())
    }

    /// Adds a piece that belongs to `slot`, and returns where it is. `None`: first the others have
    /// to [`Self::move_together`].
    pub(super) fn put(&mut self, slot: u32, one: &[u8], other: &[u8]) -> Option<u32> {
        let bytes = HEAD_BYTES + one.len() + other.len();
        let wasteful = self.gaps >= GAPS_MIN && self.gaps > self.bytes.len() / 3;
        if wasteful || self.bytes.len() + bytes > self.bytes_max {
            return None;
        }
        let at = self.bytes.len() as u32;
        self.bytes.extend_from_slice(&slot.to_be_bytes());
        for part in [one, other] {
            self.bytes.extend_from_slice(&(part.len() as u16).to_be_bytes());
        }
        self.bytes.extend_from_slice(one);
        self.bytes.extend_from_slice(other);
        Some(at)
    }

    /// Writes other parts over those of the piece at `at`. False where they are of another length.
    pub(super) fn replace(&mut self, at: u32, one: &[u8], other: &[u8]) -> bool {
        let (at, (_, first, second)) = (at as usize, self.head(at as usize));
        if (first, second) != (one.len(), other.len()) {
            return false;
        }
        let parts = self.bytes.get_mut(at + HEAD_BYTES..).and_then(|b| b.get_mut(..first + second));
        let Some((known, rest)) = parts.map(|parts| parts.split_at_mut(first)) else {
            return false;
        };
        known.copy_from_slice(one);
        rest.copy_from_slice(other);
        true
    }

    /// Takes the piece at `at` away.
    pub(super) fn remove(&mut self, at: u32) {
        let (_, first, second) = self.head(at as usize);
        if let Some(slot) = self.bytes.get_mut(at as usize..).and_then(|rest| rest.get_mut(..4)) {
            slot.copy_from_slice(&GAP.to_be_bytes());
            self.gaps += HEAD_BYTES + first + second;
        }
    }

    /// Closes all gaps, and tells for each slot that has a piece where that is now.
    pub(super) fn move_together(&mut self, moved: &mut dyn FnMut(u32, u32)) {
        let (mut from, mut to) = (0, 0);
        while from < self.bytes.len() {
            let (slot, first, second) = self.head(from);
            let bytes = HEAD_BYTES + first + second;
            if slot != GAP {
                self.bytes.copy_within(from..from + bytes, to);
                moved(slot, to as u32);
                to += bytes;
            }
            from += bytes;
        }
        self.bytes.truncate(to);
        self.gaps = 0;
    }

    fn head(&self, at: usize) -> (u32, usize, usize) {
        let head = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<HEAD_BYTES>());
        let [a, b, c, d, e, f, g, h] = *head.unwrap_or(&[0; HEAD_BYTES]);
        let len = |high, low| usize::from(u16::from_be_bytes([high, low]));
        (u32::from_be_bytes([a, b, c, d]), len(e, f), len(g, h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn pieces_of_any_length_stay_what_they_are_and_as_many_fit_as_there_is_room_for() {
        const PIECES: usize = 20;
        let mut rng = Rng::new([1; 32]);
        let mut shelf = Shelf::with_capacity(PIECES, 200);
        let reserved = shelf.bytes.as_ptr();
        type Piece = (u32, Vec<u8>, Vec<u8>);
        let mut known: [Option<Piece>; PIECES] = Default::default();
        let mut moves = 0;
        for round in 0..5000_u32 {
            let slot = rng.below(PIECES as u32) as usize;
            let part = |rng: &mut Rng| vec![round as u8; 10 * rng.below(11) as usize];
            let (one, other) = (part(&mut rng), part(&mut rng));
            if let Some((at, ..)) = known[slot].take() {
                if shelf.replace(at, &one, &other) {
                    known[slot] = Some((at, one, other));
                    continue;
                }
                shelf.remove(at);
                if rng.below(3) == 0 {
                    continue;
                }
            }
            let at = shelf.put(slot as u32, &one, &other).unwrap_or_else(|| {
                moves += 1;
                shelf.move_together(&mut |slot, at| {
                    known[slot as usize].as_mut().unwrap().0 = at;
                });
                shelf.put(slot as u32, &one, &other).unwrap()
            });
            known[slot] = Some((at, one, other));
            for (at, one, other) in known.iter().flatten() {
                assert_eq!(shelf.get(*at), (one.as_slice(), other.as_slice()));
            }
        }
        assert!(moves > 100, "{moves}");
        // The longest, in all slots.
        known.iter().flatten().for_each(|(at, ..)| shelf.remove(*at));
        shelf.move_together(&mut |slot, _| panic!("{slot} has nothing any more"));
        for slot in 0..PIECES as u32 {
            assert!(shelf.put(slot, &[1; 100], &[2; 100]).is_some(), "{slot}");
        }
        assert_eq!(shelf.bytes.as_ptr(), reserved);
    }
}
