//! Which addresses something went to, or came from, lately.
//!
//! A small table in which addresses share places, at random: then one of them waits a little
//! longer, is sent to a second time, or is forgotten early. Exactness would cost memory for every
//! address that anybody cares to name.

use crate::rng::Rng;
use std::net::{IpAddr, SocketAddr};

/// Addresses and when something happened to them.
pub(super) struct Recent {
    places: Vec<(u32, u32)>,
    key: u64,
    seconds: u32,
}

impl Recent {
    /// Nothing happened yet. `places` are kept, each for so many `seconds`.
    pub(super) fn new(rng: &mut Rng, places: usize, seconds: u32) -> Self {
        Self { places: vec![(0, 0); places], key: rng.next_u64() | 1, seconds }
    }

    /// Whether `address` was asked about lately; from now on it was. An address whose place is
    /// another's is not noted.
    pub(super) fn is_recent(&mut self, address: &SocketAddr, now_s: u32) -> bool {
        let (at, print) = self.place(address);
        let Some(place) = self.places.get_mut(at) else { return true };
        if *place != (0, 0) && now_s.saturating_sub(place.1) < self.seconds {
            return place.0 == print;
        }
        *place = (print, now_s);
        false
    }

    /// Whether nothing happened lately at the place of `address`, be it another's; from now on
    /// something did.
    pub(super) fn is_free(&mut self, address: &SocketAddr, now_s: u32) -> bool {
        let (at, print) = self.place(address);
        let Some(place) = self.places.get_mut(at) else { return false };
        if *place != (0, 0) && now_s.saturating_sub(place.1) < self.seconds {
            return false;
        }
        *place = (print, now_s);
        true
    }

    /// Notes `address`; another one at its place is forgotten.
    pub(super) fn note(&mut self, address: &SocketAddr, now_s: u32) {
        let (at, print) = self.place(address);
        if let Some(place) = self.places.get_mut(at) {
            *place = (print, now_s);
        }
    }

    /// Whether `address` was noted lately.
    pub(super) fn contains(&self, address: &SocketAddr, now_s: u32) -> bool {
        let (at, print) = self.place(address);
        self.places.get(at).is_some_and(|(known, since_s)| {
            *known == print && now_s.saturating_sub(*since_s) < self.seconds
        })
    }

    fn place(&self, address: &SocketAddr) -> (usize, u32) {
        let ip = match address.ip() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let parts = [ip as u64, (ip >> 64) as u64, u64::from(address.port())];
        let mixed = parts
            .into_iter()
            .fold(self.key, |at, part| (at ^ part).wrapping_mul(self.key).rotate_left(29));
        ((mixed >> 32) as usize % self.places.len().max(1), mixed as u32 | 1)
    }
}
