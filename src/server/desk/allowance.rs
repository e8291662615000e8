//! How often an AOR is challenged, a key asks, and an address.
//!
//! Challenges are bounded for the SIP server's sake and the phones'. Asks are, too, for most of
//! them end without a challenge, and each is looked up in the books on the one thread that there
//! is.
//!
//! For each what it has used up is kept as the moment at which all of it will be there again
//! (GCRA): before that it is remembered, after that it is forgotten. What is sent is bounded, and
//! so is what is remembered.

use crate::identity::PublicKey;
use crate::time::{Duration, Instant};
use std::collections::HashMap;
use std::net::IpAddr;

/// Entries of each kind: more than challenges can be sent before the first is forgotten again.
const ENTRIES_MAX: usize = 200_000;

/// One challenge may be sent, or one ask looked at, each interval, and so many at once.
struct Rule {
    interval: Duration,
    burst: u32,
}

/// A phone hears each challenge whose adapter does not keep it from it: ten an hour.
const OF_AOR: Rule = Rule { interval: Duration::from_secs(360), burst: 6 };
/// All phones of the largest router, and some repeats.
const OF_KEY: Rule = Rule { interval: Duration::from_secs(10), burst: 256 };
/// A tenth of all, so that no place keeps others from being served; hundreds of routers may share
/// an address of IPv4.
const OF_ADDRESS: Rule = Rule { interval: Duration::from_millis(200), burst: 300 };

/// An adapter has one question at a time, and waits for five seconds before it repeats it.
const ASKS_OF_KEY: Rule = Rule { interval: Duration::from_secs(10), burst: 32 };
/// Twice as often as challenges: one that is not challenged yet comes again.
const ASKS_OF_ADDRESS: Rule = Rule { interval: Duration::from_millis(100), burst: 300 };

/// Whose limit was met, and when there will be room again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limited {
    Aor(Duration),
    Key(Duration),
    Address(Duration),
}

/// Bytes that stand for an address: those of IPv4, or the network that one customer has.
pub(super) type Place = [u8; 7];

/// Everybody behind an IPv4 address, or in a /56 of IPv6, is one.
pub(super) fn place_of(address: IpAddr) -> Place {
    let mut place = [0; 7];
    match address.to_canonical() {
        // No /56 that is in use begins with a zero.
        IpAddr::V4(ip) => place[3..].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => place.copy_from_slice(&ip.octets()[..7]),
    }
    place
}

#[derive(Default)]
pub(super) struct Allowances {
    aors: Used<[u8; 16]>,
    keys: Used<PublicKey>,
    addresses: Used<Place>,
    asking_keys: Used<PublicKey>,
    asking_addresses: Used<Place>,
}

impl Allowances {
    /// Takes an ask of key and address, where both have one left; else nothing.
    pub(super) fn take_ask(
        &mut self,
        now: Instant,
        (key, address): (&PublicKey, IpAddr),
    ) -> Result<(), Limited> {
        let place = place_of(address);
        let addresses = &mut self.asking_addresses;
        addresses.check(now, &ASKS_OF_ADDRESS, &place, 1).map_err(Limited::Address)?;
        self.asking_keys.check(now, &ASKS_OF_KEY, key, 1).map_err(Limited::Key)?;
        addresses.take(now, &ASKS_OF_ADDRESS, place, 1);
        self.asking_keys.take(now, &ASKS_OF_KEY, *key, 1);
        Ok(())
    }

    /// Takes a challenge for each of `aors`, where key and address have them left, too; else
    /// nothing.
    pub(super) fn take(
        &mut self,
        now: Instant,
        (key, address): (&PublicKey, IpAddr),
        aors: &[&str],
    ) -> Result<(), Limited> {
        let (place, count) = (place_of(address), aors.len() as u32);
        self.addresses.check(now, &OF_ADDRESS, &place, count).map_err(Limited::Address)?;
        self.keys.check(now, &OF_KEY, key, count).map_err(Limited::Key)?;
        let names: Vec<[u8; 16]> = aors.iter().map(|aor| name(aor)).collect();
        let mut each = names.iter();
        each.try_for_each(|aor| self.aors.check(now, &OF_AOR, aor, 1)).map_err(Limited::Aor)?;
        self.addresses.take(now, &OF_ADDRESS, place, count);
        self.keys.take(now, &OF_KEY, *key, count);
        names.into_iter().for_each(|aor| self.aors.take(now, &OF_AOR, aor, 1));
        Ok(())
    }
}

fn name(aor: &str) -> [u8; 16] {
    let mut name = [0; 16];
    name.copy_from_slice(&blake3::hash(aor.as_bytes()).as_bytes()[..16]);
    name
}

/// When which of them has all of it again.
struct Used<K>(HashMap<K, Instant>);

impl<K> Default for Used<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + std::hash::Hash> Used<K> {
    /// How long it takes until `count` are there, where they are not.
    fn check(&mut self, now: Instant, rule: &Rule, who: &K, count: u32) -> Result<(), Duration> {
        if self.0.len() >= ENTRIES_MAX && !self.0.contains_key(who) {
            self.0.retain(|_, full| *full > now);
            if self.0.len() >= ENTRIES_MAX {
                return Err(rule.interval);
            }
        }
        let full = self.0.get(who).copied().unwrap_or(now).max(now) + rule.interval * count;
        let over = full.since(now).saturating_sub(rule.interval * rule.burst);
        if over.is_zero() { Ok(()) } else { Err(over) }
    }

    fn take(&mut self, now: Instant, rule: &Rule, who: K, count: u32) {
        let full = self.0.entry(who).or_insert(now);
        *full = (*full).max(now) + rule.interval * count;
    }
}
