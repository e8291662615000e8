//! From where a router was reached: what the simulator knows of proven addresses. Who was reached
//! has what proves its address, and that stays a proof wherever its giver moves.

use super::address::key;
use super::dice::mix;
use std::net::SocketAddr;

const WORDS: usize = 128;
/// A proof of an address is one for so long at most.
const PROVEN_US: u64 = 2 * 3600 * 1_000_000;

/// Addresses. Now and then it errs, and says that one is in it which is not.
struct Addresses(Box<[u64; WORDS]>);

impl Addresses {
    fn none() -> Self {
        Self(Box::new([0; WORDS]))
    }

    fn add(&mut self, address: &SocketAddr) {
        let (word, bit) = place(address);
        self.0[word] |= bit;
    }

    fn contains(&self, address: &SocketAddr) -> bool {
        let (word, bit) = place(address);
        self.0[word] & bit != 0
    }
}

fn place(address: &SocketAddr) -> (usize, u64) {
    let hash = mix(key(address));
    (hash as usize % WORDS, 1 << (hash >> 58))
}

/// From where a router was reached.
pub(super) struct Reached {
    /// Since it has its address.
    here: Addresses,
    /// At addresses that it had before, since it started; none where it has not moved.
    before: Option<Addresses>,
    moved: u64,
}

impl Reached {
    pub(super) fn new() -> Self {
        Self { here: Addresses::none(), before: None, moved: 0 }
    }

    /// A datagram from `from` arrived.
    pub(super) fn by(&mut self, from: &SocketAddr) {
        self.here.add(from);
    }

    /// It has another address, which nobody has reached.
    pub(super) fn moves(&mut self, now: u64) {
        if now - self.moved >= PROVEN_US {
            self.before = None;
        }
        self.moved = now;
        let here = core::mem::replace(&mut self.here, Addresses::none());
        let before = self.before.get_or_insert_with(Addresses::none);
        before.0.iter_mut().zip(here.0.iter()).for_each(|(before, here)| *before |= here);
    }

    /// It starts anew: it has no proofs any more, and those that it gave are none.
    pub(super) fn starts(&mut self) {
        (self.here, self.before) = (Addresses::none(), None);
    }

    /// Whether it may have been proven to `to` that it is where it is now.
    pub(super) fn is_here_by(&self, to: &SocketAddr) -> bool {
        self.here.contains(to)
    }

    /// Whether `from` may have got a proof of its address before this router moved.
    pub(super) fn knew(&self, now: u64, from: &SocketAddr) -> bool {
        let before = self.before.as_ref().filter(|_| now - self.moved < PROVEN_US);
        before.is_some_and(|before| before.contains(from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proofs_go_with_who_gave_them_until_it_starts_anew() {
        let [one, other] = [1, 2].map(|host| SocketAddr::from(([11, 0, 0, host], 5070)));
        let mut reached = Reached::new();
        reached.by(&one);
        assert!(reached.is_here_by(&one) && !reached.is_here_by(&other));
        assert!(!reached.knew(1, &one), "it has not moved");
        reached.moves(1);
        assert!(!reached.is_here_by(&one), "it has not proven its new address");
        assert!(reached.knew(1, &one) && !reached.knew(1, &other));
        assert!(reached.knew(PROVEN_US, &one) && !reached.knew(PROVEN_US + 1, &one));
        reached.by(&other);
        reached.moves(2);
        assert!(reached.knew(2, &one) && reached.knew(2, &other));
        reached.by(&one);
        reached.starts();
        assert!(!reached.is_here_by(&one) && !reached.knew(2, &other));
        reached.moves(3);
        assert!(!reached.knew(3, &one), "that was before the start");
    }
}
