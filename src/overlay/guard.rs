//! What strangers and floods may cost: tokens that prove an address, and buckets that limit rates.
//!
//! A token is a keyed hash of an address under a secret that lives for two periods, so that
//! nothing is kept for whoever has not proven where it is. Buckets are charged only after the
//! network's tag was checked: what is not tagged charges nobody.

use super::table::Member;
use super::wire::{NO_TOKEN, Token};
use crate::limits::{
    OVERLAY_PEER_BURST, OVERLAY_PEER_PER_S, OVERLAY_STRANGER_BURST, OVERLAY_STRANGER_PER_S,
};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, SocketAddr};

/// So a token outlives the hour until its holder is touched again.
const TOKEN_PERIOD: Duration = Duration::from_secs(3600);

/// A token bucket: `burst` at once, `per_s` in the long run.
pub(super) struct Bucket {
    burst: u32,
    per_s: u32,
    level_millis: u64,
    at: Instant,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(burst: u32, per_s: u32, now: Instant) -> Self {
        Self { burst, per_s, level_millis: u64::from(burst) * 1000, at: now }
    }

    /// Takes one out; false where it is empty.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        self.take_many(now, 1)
    }

    /// Takes `count` out, or nothing where there are fewer.
    pub(super) fn take_many(&mut self, now: Instant, count: u32) -> bool {
        self.take_leaving(now, count, 0)
    }

    /// Takes one out, unless it is half empty.
    pub(super) fn take_of_upper_half(&mut self, now: Instant) -> bool {
        self.take_leaving(now, 1, self.burst / 2)
    }

    fn take_leaving(&mut self, now: Instant, count: u32, left: u32) -> bool {
        let wanted = u64::from(count) * 1000;
        let elapsed_ms = now.millis().saturating_sub(self.at.millis());
        if elapsed_ms > 0 {
            let filled = elapsed_ms.saturating_mul(u64::from(self.per_s));
            let full = u64::from(self.burst) * 1000;
            self.level_millis = self.level_millis.saturating_add(filled).min(full);
            self.at = now;
        }
        let enough = self.level_millis >= wanted + u64::from(left) * 1000;
        if enough {
            self.level_millis -= wanted;
        }
        enough
    }
}

/// Takes one datagram out of a member's bucket; false where it is empty. The lower half is for
/// datagrams that are `proven` to be the member's: others may bear its name.
pub(super) fn charge_member(member: &mut Member, now_s: u32, proven: bool) -> bool {
    // Its seconds wrap after 18 hours, and it is full after four: seldom is a little less filled.
    let passed_s = (now_s as u16).wrapping_sub(member.credit_s);
    let filled = u32::from(passed_s).saturating_mul(OVERLAY_PEER_PER_S);
    member.credit_s = now_s as u16;
    let level = u32::from(member.credit).saturating_add(filled).min(u32::from(OVERLAY_PEER_BURST));
    let left = if proven { 0 } else { u32::from(OVERLAY_PEER_BURST) / 2 };
    let allowed = level > left;
    member.credit = (level - u32::from(allowed)) as u16;
    allowed
}

/// The tokens that this node hands out, and the buckets that are not a member's.
pub(super) struct Guard {
    secrets: [[u8; 32]; 2],
    renewed: Instant,
    strangers: Bucket,
}

impl Guard {
    /// Fresh secrets and full buckets.
    pub(super) fn new(rng: &mut Rng, now: Instant) -> Self {
        Self {
            secrets: [rng.bytes(), rng.bytes()],
            renewed: now,
            strangers: Bucket::new(OVERLAY_STRANGER_BURST, OVERLAY_STRANGER_PER_S, now),
        }
    }

    /// Renews the secret where its period is over.
    pub(super) fn handle_timeout(&mut self, rng: &mut Rng, now: Instant) {
        if now >= self.renewed + TOKEN_PERIOD {
            self.secrets = [rng.bytes(), self.secrets[0]];
            self.renewed = now;
        }
    }

    /// When the secret is renewed next.
    pub(super) fn next(&self) -> Instant {
        self.renewed + TOKEN_PERIOD
    }

    /// What proves `address` to us.
    pub(super) fn token(&self, address: &SocketAddr) -> Token {
        token(&self.secrets[0], address)
    }

    /// Whether `given` proves `address`.
    pub(super) fn proves(&self, given: &Token, address: &SocketAddr) -> bool {
        *given != NO_TOKEN
            && self.secrets.iter().any(|secret| {
                let made = token(secret, address);
                made.iter().zip(given).fold(0, |acc, (a, b)| acc | (a ^ b)) == 0
            })
    }

    /// Takes one datagram out of the bucket that all strangers share.
    pub(super) fn charge_stranger(&mut self, now: Instant) -> bool {
        self.strangers.take(now)
    }
}

fn token(secret: &[u8; 32], address: &SocketAddr) -> Token {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => hasher.update(&ip.octets()),
        IpAddr::V6(ip) => hasher.update(&ip.octets()),
    };
    hasher.update(&address.port().to_be_bytes());
    let hash = hasher.finalize();
    let mut token = NO_TOKEN;
    token.copy_from_slice(&hash.as_bytes()[..NO_TOKEN.len()]);
    token
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_proves_one_address_for_two_periods() {
        let mut rng = Rng::new([1; 32]);
        let mut now = Instant::from_micros(1);
        let mut guard = Guard::new(&mut rng, now);
        let here = SocketAddr::from(([192, 0, 2, 1], 5070));
        let elsewhere = SocketAddr::from(([192, 0, 2, 1], 5071));
        let token = guard.token(&here);
        assert!(guard.proves(&token, &here) && !guard.proves(&token, &elsewhere));
        assert!(!guard.proves(&NO_TOKEN, &here));
        for proven in [true, false] {
            now += TOKEN_PERIOD;
            guard.handle_timeout(&mut rng, now);
            assert_eq!(guard.proves(&token, &here), proven);
        }
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let mut now = Instant::from_micros(5_000_000);
        let mut bucket = Bucket::new(5, 2, now);
        assert_eq!((0..10).filter(|_| bucket.take(now)).count(), 5);
        now += Duration::from_millis(400);
        assert!(!bucket.take(now));
        now += Duration::from_millis(100);
        assert!(bucket.take(now) && !bucket.take(now));
        now += Duration::from_secs(3600);
        assert_eq!((0..10).filter(|_| bucket.take(now)).count(), 5);
    }
}
