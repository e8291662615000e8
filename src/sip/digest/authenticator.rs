//! The server's side: challenges, and the judgement of answers.
//!
//! A nonce is its own record: the second it was made in, a serial number, and a keyed hash over
//! both and the realm. So a flood of requests without credentials costs no memory. Only answers
//! that were right are remembered, in a fixed array of replay windows: where two nonces meet in one
//! place, the older one is stale from then on, which costs its phone one more round trip.

use super::{Algorithm, Credentials, Hex, Secret, response};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use core::fmt;

/// Hexadecimal digits of a nonce: second (8), serial number (8), keyed hash (32).
const NONCE_DIGITS: usize = 48;

/// What credentials are worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Right, and not seen before.
    Accepted,
    /// Right, but the nonce is too old, not ours, or used up: challenge again with `stale`.
    Stale,
    /// Wrong user, realm or password.
    Denied,
}

/// A challenge of ours, to be written by `Display` into WWW- or Proxy-Authenticate.
pub struct Offer<'a> {
    realm: &'a str,
    nonce: Hex48,
    algorithm: Algorithm,
    stale: bool,
}

/// The digits of one nonce.
struct Hex48([u8; NONCE_DIGITS]);

impl Hex48 {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Offer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (realm, nonce, algorithm) = (self.realm, self.nonce.as_str(), self.algorithm.as_str());
        write!(f, "Digest realm=\"{realm}\", nonce=\"{nonce}\", ")?;
        write!(f, "algorithm={algorithm}, qop=\"auth\"")?;
        if self.stale { f.write_str(", stale=true") } else { Ok(()) }
    }
}

/// Which counts of one nonce have been used.
#[derive(Clone, Copy, Default)]
struct Window {
    serial: u32,
    highest: u32,
    /// Bit n: `highest` - n has been used.
    used: u64,
}

/// Challenges and judges; keeps no record of challenges.
pub struct Authenticator {
    key: [u8; 32],
    serial: u32,
    lifetime: Duration,
    windows: Vec<Window>,
}

impl Authenticator {
    /// An authenticator that remembers `capacity` nonces in use, each good for `lifetime`.
    pub fn new(capacity: usize, lifetime: Duration, rng: &mut Rng) -> Self {
        let windows = vec![Window::default(); capacity.max(1)];
        Self { key: rng.bytes(), serial: 0, lifetime, windows }
    }

    /// A fresh challenge. `stale` after [`Verdict::Stale`].
    pub fn challenge<'a>(
        &mut self,
        now: Instant,
        realm: &'a str,
        algorithm: Algorithm,
        stale: bool,
    ) -> Offer<'a> {
        self.serial = self.serial.wrapping_add(1).max(1);
        let nonce = self.nonce(second_of(now), self.serial, realm);
        Offer { realm, nonce, algorithm, stale }
    }

    /// Judges the credentials of a request of `method`. A right answer is used up by this.
    ///
    /// Their `uri` is not compared with the Request-URI: outbound proxies change that. Replays are
    /// held off by the nonce count; a client without qop may use a nonce once.
    pub fn verify(
        &mut self,
        now: Instant,
        credentials: &Credentials<'_>,
        method: &str,
        secret: &Secret<'_>,
    ) -> Verdict {
        let Credentials { realm, nonce, uri, algorithm, quality, .. } = *credentials;
        if realm != secret.realm || !credentials.is_user(secret.user) {
            return Verdict::Denied;
        }
        let Some(ha1) = secret.ha1(algorithm, realm) else { return Verdict::Denied };
        let expected = response(algorithm, &ha1, nonce, quality, method, uri);
        if !expected.is_equal(credentials.response) {
            return Verdict::Denied;
        }
        let Some(serial) = self.serial_of(now, nonce, realm) else { return Verdict::Stale };
        let count = if quality.is_none() { Some(1) } else { credentials.count() };
        match count {
            Some(count) if self.use_up(serial, count) => Verdict::Accepted,
            _ => Verdict::Stale,
        }
    }

    fn nonce(&self, second: u32, serial: u32, realm: &str) -> Hex48 {
        let mut head = [0; 8];
        head[..4].copy_from_slice(&second.to_be_bytes());
        head[4..].copy_from_slice(&serial.to_be_bytes());
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        let tag = *hasher.update(&head).update(realm.as_bytes()).finalize().as_bytes();
        let mut digits = [0; NONCE_DIGITS];
        digits[..16].copy_from_slice(Hex::new(&head).as_str().as_bytes());
        digits[16..].copy_from_slice(Hex::new(&tag[..16]).as_str().as_bytes());
        Hex48(digits)
    }

    /// The serial number of a nonce that is ours, for this realm, and not too old.
    fn serial_of(&self, now: Instant, nonce: &str, realm: &str) -> Option<u32> {
        let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
        let second = number(nonce.get(..8)?)?;
        let serial = number(nonce.get(8..16)?)?;
        let made = self.nonce(second, serial, realm);
        let pairs = made.0.iter().zip(nonce.bytes());
        let difference = pairs.fold(0, |sum, (a, b)| sum | (a ^ b));
        if core::hint::black_box(difference) != 0 || nonce.len() != NONCE_DIGITS {
            return None;
        }
        let age = u64::from(second_of(now).wrapping_sub(second));
        (age <= self.lifetime.as_secs()).then_some(serial)
    }

    /// Marks a count as used. False where it was used before, is too old for the window, or a later
    /// nonce has taken the window.
    fn use_up(&mut self, serial: u32, count: u32) -> bool {
        let at = serial as usize % self.windows.len();
        let Some(window) = self.windows.get_mut(at) else { return false };
        if window.serial > serial || count == 0 {
            return false;
        }
        if window.serial < serial {
            *window = Window { serial, highest: count, used: 1 };
            return true;
        }
        if count > window.highest {
            let shift = count - window.highest;
            window.used = window.used.checked_shl(shift).unwrap_or(0) | 1;
            window.highest = count;
            return true;
        }
        let bit = 1u64.checked_shl(window.highest - count).unwrap_or(0);
        let fresh = bit != 0 && window.used & bit == 0;
        window.used |= bit;
        fresh
    }
}

fn second_of(now: Instant) -> u32 {
    (now.millis() / 1000) as u32
}
