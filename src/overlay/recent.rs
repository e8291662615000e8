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
    /// What stands for an address, zero for none, and the low half of the second: eighteen hours
    /// later what happened long ago seems to have happened lately, once more.
    places: Vec<(u16, u16)>,
    key: u64,
    seconds: u32,
}

impl Recent {
    /// Nothing happened yet. `places` are kept, each for so many `seconds`.
    pub(super) fn new(rng: &mut Rng, places: usize, seconds: u32) -> Self {
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
        let is_over = |(print, since_s): &(u16, u16)| {
            *print == 0 || age_s(*since_s, now_s) >= seconds
        };
        let places = self.places.iter_mut().skip(at).take(WAYS);
        let best = places.min_by_key(|place| {
            (place.0 != print, !is_over(place), u32::MAX - age_s(place.1, now_s))
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

fn age_s(since_s: u16, now_s: u32) -> u32 {
    u32::from((now_s as u16).wrapping_sub(since_s))
}
