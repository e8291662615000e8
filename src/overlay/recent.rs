//! Which addresses something was sent to within the last minute.
//!
//! A small table in which addresses share places, at random: then one of them waits a little
//! longer, or is sent to a second time. Exactness would cost memory for every address that
//! anybody cares to name.

use crate::rng::Rng;
use std::net::{IpAddr, SocketAddr};

const PLACES: usize = 256;
const MINUTE_S: u32 = 60;

/// Addresses and when something was sent to them.
pub(super) struct Recent {
    places: Vec<(u32, u32)>,
    key: u64,
}

impl Recent {
    /// Nothing was sent anywhere.
    pub(super) fn new(rng: &mut Rng) -> Self {
        Self { places: vec![(0, 0); PLACES], key: rng.next_u64() | 1 }
    }

    /// Whether `address` was asked about within a minute; from now on it was.
    pub(super) fn is_recent(&mut self, address: &SocketAddr, now_s: u32) -> bool {
        let ip = match address.ip() {
            IpAddr::V4(ip) => u128::from(ip.to_bits()),
            IpAddr::V6(ip) => ip.to_bits(),
        };
        let parts = [ip as u64, (ip >> 64) as u64, u64::from(address.port())];
        let mixed = parts
            .into_iter()
            .fold(self.key, |at, part| (at ^ part).wrapping_mul(self.key).rotate_left(29));
        let print = mixed as u32 | 1;
        let Some(place) = self.places.get_mut((mixed >> 32) as usize % PLACES) else {
            return true;
        };
        if *place != (0, 0) && now_s.saturating_sub(place.1) < MINUTE_S {
            return place.0 == print;
        }
        *place = (print, now_s);
        false
    }
}
