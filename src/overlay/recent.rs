//! Which addresses something went to, or came from, lately.
//!
//! A small table in which addresses share a few places, at random. Where more of them are needed
//! than there are, one waits a little longer, is sent to a second time, or is forgotten early.
//! Exactness would cost memory for every address that anybody cares to name.

use crate::rng::Rng;
use std::net::{IpAddr, SocketAddr};

/// Places that an address may have.
const WAYS: usize = 4;

/// Addresses and when something happened to them.
pub(super) struct Recent {
    /// What stands for an address, zero for none, and the low half of the second: each eighteen
    /// hours what happened long ago seems to have happened lately, until its place is taken.
    places: Vec<(u16, u16)>,
    key: u64,
    seconds: u16,
}

impl Recent {
    /// Nothing happened yet. `places` are kept, each for so many `seconds`.
    pub(super) fn new(rng: &mut Rng, places: usize, seconds: u16) -> Self {
        Self { places: vec![(0, 0); places], key: rng.next_u64() | 1, seconds }
    }

    /// Whether `address` was asked about lately; from now on it was. Where all its places are
    /// others', it is not noted.
    pub(super) fn is_recent(&mut self, address: &SocketAddr, now_s: u32) -> bool {
        let known = self.contains(address, now_s);
        if !known {
            self.take(address, now_s, false);
        }
        known
    }

    /// Whether nothing happened lately to `address`, and there is a place to note that from now on
    /// something did.
    pub(super) fn is_free(&mut self, address: &SocketAddr, now_s: u32) -> bool {
        !self.contains(address, now_s) && self.take(address, now_s, false)
    }

    /// Notes `address`; where all its places are others', the oldest is forgotten.
    pub(super) fn note(&mut self, address: &SocketAddr, now_s: u32) {
        self.take(address, now_s, true);
    }

    /// Whether `address` was noted lately.
    pub(super) fn contains(&self, address: &SocketAddr, now_s: u32) -> bool {
        let (at, print) = self.place(address);
        let mut places = self.places.iter().skip(at).take(WAYS);
        places.any(|(known, since_s)| *known == print && age_s(*since_s, now_s) < self.seconds)
    }

    /// Notes `address` in its place, or that of one that is over, or of the oldest where that is to
    /// yield to it. False where there is none.
    fn take(&mut self, address: &SocketAddr, now_s: u32, yields: bool) -> bool {
        let (at, print) = self.place(address);
        let seconds = self.seconds;
        let is_over =
            |(print, since_s): &(u16, u16)| *print == 0 || age_s(*since_s, now_s) >= seconds;
        let places = self.places.iter_mut().skip(at).take(WAYS);
        let best = places.min_by_key(|place| {
            (place.0 != print, !is_over(place), u16::MAX - age_s(place.1, now_s))
        });
        let Some(best) = best.filter(|best| yields || best.0 == print || is_over(best)) else {
            return false;
        };
        *best = (print, now_s as u16);
        true
    }

    fn place(&self, address: &SocketAddr) -> (usize, u16) {
        let ip = match address.ip() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let parts = [ip as u64, (ip >> 64) as u64, u64::from(address.port())];
        let mixed = parts
            .into_iter()
            .fold(self.key, |at, part| (at ^ part).wrapping_mul(self.key).rotate_left(29));
        let groups = (self.places.len() / WAYS).max(1);
        ((mixed >> 32) as usize % groups * WAYS, mixed as u16 | 1)
    }
}

fn age_s(since_s: u16, now_s: u32) -> u16 {
    (now_s as u16).wrapping_sub(since_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> SocketAddr {
        SocketAddr::from((n.to_be_bytes(), 5070))
    }

    #[test]
    fn what_happened_is_lately_for_so_many_seconds_over_the_turn_of_the_clock_too() {
        let mut recent = Recent::new(&mut Rng::new([1; 32]), 16, 60);
        recent.note(&address(1), 65_530);
        for (now_s, lately) in [(65_530, true), (65_540, true), (65_589, true), (65_590, false)] {
            assert_eq!(recent.contains(&address(1), now_s), lately, "{now_s}");
        }
        assert!(!recent.contains(&address(2), 65_540));
    }

    #[test]
    fn where_all_places_are_taken_the_oldest_yields_and_only_to_what_is_noted() {
        let mut recent = Recent::new(&mut Rng::new([2; 32]), WAYS, 60);
        // Before the turn of the clock, and behind it.
        for (n, now_s) in (1..).zip([65_520, 65_535, 65_538, 65_550]) {
            assert!(recent.is_free(&address(n), now_s));
        }
        assert!(!recent.is_free(&address(5), 65_551));
        recent.note(&address(6), 65_552);
        let known: Vec<u32> = (1..=6).filter(|n| recent.contains(&address(*n), 65_553)).collect();
        assert_eq!(known, [2, 3, 4, 6]);
    }
}
