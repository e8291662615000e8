//! One simulated router: the adapter's overlay, its line, its clock, and its user's truth.

use super::address::{Access, Home, Pool};
use super::attack::Villain;
use super::dialect::Dialect;
use super::dice::{Dice, mix};
use super::liar::{Liar, grind};
use super::link::{Line, Links};
use super::meet::Meeting;
use super::population::Population;
use super::provider::Provider;
use super::reached::Reached;
use super::tally::Load;
use super::truth::{AORS, Truth};
use crate::budget::Budget;
use crate::identity::record::{Contact, Key};
use crate::identity::{Identity, NetworkKeys, PublicKey, Statement};
use crate::limits::{PEERS_FILE_INTERVAL, STATE_FILE_PAUSE};
use crate::net::NodeId;
use crate::overlay::{Limits, LookupId, Overlay, PublishId};
use crate::time::Instant;
use std::net::SocketAddr;

/// How far clocks are from one another when they start, and how fast they drift, in microseconds
/// a second.
const CLOCKS_APART_US: u64 = 3_600_000_000;
const DRIFT: u64 = 100;

/// A router's own time.
#[derive(Clone, Copy)]
struct Clock {
    ahead_us: u64,
    drift: u64,
}

impl Clock {
    fn new(dice: &mut Dice) -> Self {
        Self { ahead_us: dice.below(CLOCKS_APART_US), drift: dice.below(DRIFT) }
    }

    fn at(self, now: u64) -> Instant {
        Instant::from_micros(now + self.ahead_us + now * self.drift / 1_000_000)
    }

    /// The first moment at which it shows `at`.
    fn when(self, at: Instant) -> u64 {
        let own = u128::from(at.micros().saturating_sub(self.ahead_us));
        let when = own * 1_000_000 / (1_000_000 + u128::from(self.drift));
        when as u64 + 1
    }
}

/// What all routers have in common.
pub(super) struct Common {
    pub(super) seed: u64,
    pub(super) keys: NetworkKeys,
    pub(super) limits: Limits,
    pub(super) stand_in: bool,
    pub(super) provider: Option<Provider>,
    pub(super) population: Population,
    /// Routers of each pool of addresses.
    pub(super) pool: u32,
    pub(super) links: Links,
    /// Addresses that never change: the operator's own.
    pub(super) bootstrap: Vec<SocketAddr>,
}

/// One router.
pub(super) struct Router {
    pub(super) number: u32,
    pub(super) access: Access,
    pub(super) home: Home,
    /// None while it has no power.
    pub(super) overlay: Option<Box<Overlay>>,
    pub(super) budget: Budget,
    pub(super) line: Line,
    pub(super) dice: Dice,
    pub(super) truth: Truth,
    pub(super) published: [Option<PublishId>; AORS as usize],
    /// Look-ups of its user under way, and their places in the log.
    pub(super) asking: Vec<(LookupId, u32)>,
    /// Callees that are to be met.
    pub(super) meetings: Vec<Meeting>,
    /// Where it speaks two versions.
    pub(super) dialect: Option<Dialect>,
    /// Where it is hostile.
    pub(super) villain: Option<Box<Villain>>,
    /// Where it betrays the network.
    pub(super) liar: Option<Box<Liar>>,
    /// What holders have said, of whom the watch had it ask.
    pub(super) spotted: Vec<Statement>,
    /// Whether its certificate was revoked.
    pub(super) revoked: bool,
    /// Whether it has left the place at which it had published.
    pub(super) displaced: bool,
    /// Whether it has lost power.
    pub(super) cut: bool,
    pub(super) load: Load,
    /// All that happened to it, in one number.
    pub(super) hash: u64,
    pub(super) identity: Identity,
    clock: Clock,
    armed: u64,
    events: u32,
    starts: u32,
    /// Its file of peers, when it is written next, and whether it was since the start.
    saved: Box<[u8]>,
    save_at: u64,
    has_saved: bool,
    /// What its adapters that were switched off had counted.
    counted: Vec<u64>,
    pub(super) reached: Reached,
}

impl Router {
    /// A router that has been switched on at `now`, at a free address of its pool.
    pub(super) fn new(number: u32, pool: &mut Pool, common: &Common, now: u64) -> Self {
        let mut dice = Dice::new(common.seed, "router", u64::from(number));
        let identity = identity(&mut dice, common.stand_in);
        let identity = match &common.provider {
            Some(provider) => provider.certified(number, identity, &common.keys),
            None => identity,
        };
        let access = common.population.access(common.seed, number);
        let home = pool.give(number, access, None, &mut dice);
        let mut router = Self {
            number,
            access,
            home,
            overlay: None,
            budget: Budget::new(Instant::ZERO),
            line: common.links.line(&mut dice),
            truth: Truth::default(),
            published: [None; AORS as usize],
            asking: Vec::new(),
            meetings: Vec::new(),
            dialect: None,
            villain: None,
            liar: None,
            spotted: Vec::new(),
            revoked: false,
            displaced: false,
            cut: false,
            load: Load::default(),
            hash: u64::from(number),
            identity,
            clock: Clock::new(&mut dice),
            armed: 0,
            events: 0,
            starts: 0,
            saved: Box::default(),
            save_at: 0,
            has_saved: false,
            counted: Vec::new(),
            reached: Reached::new(),
            dice,
        };
        router.truth.moves_to(now, home);
        router.start(now, common);
        router
    }

    /// Takes another key, whose place is as close to that of a record as it can be.
    pub(super) fn move_next_to(&mut self, key: &Key, common: &Common) {
        self.identity = match &common.provider {
            // Nobody finds out where a provider will place a key.
            Some(provider) => {
                let identity = identity(&mut self.dice, common.stand_in);
                provider.certified(self.number, identity, &common.keys)
            }
            None => grind(key, &mut self.dice, |dice| identity(dice, common.stand_in)),
        };
        (self.saved, self.displaced) = (Box::default(), true);
    }

    /// Its place in the overlay.
    pub(super) fn id(&self) -> NodeId {
        self.identity.id()
    }

    /// Its public key.
    pub(super) fn key(&self) -> PublicKey {
        self.identity.public()
    }

    /// The adapter starts.
    pub(super) fn start(&mut self, now: u64, common: &Common) {
        let at = self.clock.at(now);
        self.starts += 1;
        self.reached.starts();
        self.published = [None; AORS as usize];
        self.budget = Budget::new(at);
        let (keys, seed) = (&common.keys, self.dice.seed());
        let overlay = Overlay::new(&self.identity, keys, common.limits, self.starts, seed, at);
        let overlay = self.overlay.insert(Box::new(overlay));
        if let Some(provider) = &common.provider {
            provider.instruct(overlay, at, now);
        }
        set_local(overlay, at, &self.home);
        overlay.set_bootstrap(at, &common.bootstrap);
        overlay.load_peers(at, &self.saved);
        // The next router's tables take the room that this one's only reserved.
        overlay.fit();
        (self.save_at, self.has_saved) = (now + PEERS_FILE_INTERVAL.as_micros() as u64, false);
    }

    /// It has joined, and writes its file of peers as the daemon does: after a minute, once, and
    /// then daily.
    pub(super) fn joined(&mut self, now: u64) {
        if !self.has_saved {
            self.save_at = self.save_at.min(now + STATE_FILE_PAUSE.as_micros() as u64);
        }
    }

    /// Writes its file of peers, if it is time for that.
    pub(super) fn save_due(&mut self, now: u64) {
        if now >= self.save_at {
            self.save(now, PEERS_FILE_INTERVAL.as_micros() as u64);
        }
    }

    /// Writes its file of peers, and the next time after so long.
    pub(super) fn save(&mut self, now: u64, next_us: u64) {
        self.save_at = now + next_us;
        let Some(overlay) = &self.overlay else { return };
        let status = overlay.status();
        if status.peers + status.suspects > 0 {
            (self.saved, self.has_saved) = (overlay.save_peers().into(), true);
        }
    }

    /// The power is gone.
    pub(super) fn die(&mut self) {
        if let Some(overlay) = self.overlay.take() {
            let last = counts(&overlay);
            let before = self.counted.iter().copied().chain(core::iter::repeat(0));
            self.counted = last.zip(before).map(|(last, before)| last + before).collect();
        }
        self.cut = true;
        self.asking.clear();
        self.meetings.clear();
        self.armed = 0;
    }

    /// Adds what it has counted since it was first switched on.
    pub(super) fn count_into(&self, sums: &mut [(&'static str, u64)]) {
        add_counts(sums, self.counted.iter().copied());
        if let Some(overlay) = &self.overlay {
            add_counts(sums, counts(overlay));
        }
    }

    /// Its own time at `now`.
    pub(super) fn time(&self, now: u64) -> Instant {
        self.clock.at(now)
    }

    /// It has another address.
    pub(super) fn move_to(&mut self, now: u64, home: Home) {
        self.home = home;
        self.reached.moves(now);
        self.truth.moves_to(now, home);
        let at = self.clock.at(now);
        if let Some(overlay) = &mut self.overlay {
            set_local(overlay, at, &home);
        }
    }

    /// Publishes its AOR at `place` with another contact.
    pub(super) fn publish(&mut self, now: u64, place: u8) {
        let at = self.clock.at(now);
        let aor = self.number * AORS + u32::from(place);
        let generation = self.truth.next_generation(place);
        let Some(overlay) = &mut self.overlay else { return };
        let Some(contact) = Contact::new(&generation.to_string()) else { return };
        if let Ok(id) = overlay.publish(at, &super::truth::name(aor), &contact) {
            self.published[usize::from(place)] = Some(id);
            self.truth.publishes(now, place, generation);
        }
    }

    /// Whether it waits for this wake-up; then it does no longer.
    pub(super) fn woken(&mut self, at: u64) -> bool {
        let awaited = self.armed == at;
        if awaited {
            self.armed = 0;
        }
        awaited
    }

    /// When to wake it, where it does not know yet.
    pub(super) fn arm(&mut self, now: u64) -> Option<u64> {
        let overlay = self.overlay.as_ref()?;
        let work = overlay.work_at(&self.budget);
        let at = crate::time::earlier(overlay.poll_timeout(), work)?;
        let at = self.clock.when(at).max(now + 1);
        if self.armed != 0 && self.armed <= at && self.armed > now {
            return None;
        }
        self.armed = at;
        Some(at)
    }

    /// The number of the next event that it causes.
    pub(super) fn next_order(&mut self) -> (u32, u32) {
        self.events = self.events.wrapping_add(1);
        (self.number, self.events)
    }

    /// Takes what happens into [`Self::hash`].
    pub(super) fn note(&mut self, now: u64, from: u64, data: &[u8]) {
        let mut hash = mix(self.hash ^ now ^ from.rotate_left(32));
        let (words, rest) = data.as_chunks::<8>();
        for word in words {
            hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9fb2_1c65_1e98_df25);
            hash ^= hash >> 29;
        }
        self.hash = rest.iter().fold(hash, |acc, byte| mix(acc ^ u64::from(*byte)));
    }
}

fn set_local(overlay: &mut Overlay, at: Instant, home: &Home) {
    let own: Vec<_> = home.addresses().collect();
    if home.is_shared() {
        overlay.set_local(at, &[], &own);
    } else {
        overlay.set_local(at, &own, &[]);
    }
}

fn identity(dice: &mut Dice, stand_in: bool) -> Identity {
    loop {
        if let Ok(identity) = Identity::from_seed(dice.seed()) {
            return if stand_in { identity.standing_in() } else { identity };
        }
    }
}

/// What an adapter has counted, in one order.
fn counts(overlay: &Overlay) -> impl Iterator<Item = u64> {
    overlay.counters().iter().map(|(_, count)| count)
}

/// Adds counts in the order of the sums.
fn add_counts(sums: &mut [(&'static str, u64)], counts: impl Iterator<Item = u64>) {
    sums.iter_mut().zip(counts).for_each(|((_, sum), count)| *sum += count);
}
