//! Ten thousand routers that all come for their certificates in one moment, after an outage:
//! through handshakes, of which a server has so many at a time, to the desk, and through the SIP
//! server.

use super::*;
use crate::budget::{Budget, Wanted};
use crate::limits::ENROL_REPEAT;
use crate::limits::{CHANNEL_GIVE_UP, DESK_HANDSHAKES_MAX, DESK_SESSIONS_MAX, DESK_WORK_PIECE};
use std::collections::HashSet;

/// What a handshake waits for: a round trip, and 60 ms in which a router computes.
const ROUND_TRIP_MS: u64 = 80;
const COMPUTING_MS: u64 = 60;

/// Where routers come in: each has a session for a while, or needs a handshake.
struct Door {
    budget: Budget,
    under_way: VecDeque<(Instant, u32)>,
    sessions: VecDeque<u32>,
    known: HashSet<u32>,
    agreed: u64,
    turned_away: u64,
}

impl Door {
    fn new(now: Instant) -> Self {
        Self {
            budget: Budget::of_pieces(now, DESK_WORK_PIECE),
            under_way: VecDeque::new(),
            sessions: VecDeque::new(),
            known: HashSet::new(),
            agreed: 0,
            turned_away: 0,
        }
    }

    /// Ends the handshakes that are over.
    fn pass(&mut self, now: Instant) {
        while self.under_way.front().is_some_and(|(ends, _)| *ends <= now) {
            let Some((_, router)) = self.under_way.pop_front() else { return };
            self.agreed += 1;
            self.known.insert(router);
            self.sessions.push_back(router);
            if self.sessions.len() > DESK_SESSIONS_MAX {
                let oldest = self.sessions.pop_front().unwrap();
                self.known.remove(&oldest);
            }
        }
    }

    /// Whether a router has a session; where not, it begins a handshake, if there is room.
    fn lets_in(&mut self, now: Instant, router: u32) -> bool {
        if self.known.contains(&router) {
            return true;
        }
        if self.under_way.iter().any(|(_, other)| *other == router) {
            return false;
        }
        let has_room = self.under_way.len() < DESK_HANDSHAKES_MAX;
        if has_room && self.budget.pay(now, Wanted::CertifiedHandshake) {
            let ends = now + Duration::from_millis(ROUND_TRIP_MS + COMPUTING_MS);
            self.under_way.push_back((ends, router));
        } else {
            self.turned_away += 1;
        }
        false
    }
}

/// What a router does about its certificate: it asks, comes again when it is told to, and answers
/// challenges half a second later.
struct Router {
    asks_at: Option<Instant>,
    /// Since when it tries to come in.
    knocks_since: Option<Instant>,
    done_at: Option<Instant>,
}

impl Router {
    /// It is not let in yet: it repeats itself, gives up after a while, and tries anew.
    fn waits(&mut self, now: Instant, rng: &mut Rng) {
        let since = *self.knocks_since.get_or_insert(now);
        let pause = if now.since(since) < CHANNEL_GIVE_UP {
            Duration::from_millis(200 + u64::from(rng.below(200)))
        } else {
            self.knocks_since = None;
            ENROL_REPEAT
        };
        self.asks_at = Some(now + pause);
    }

    fn hear(&mut self, now: Instant, answer: &Answer, rng: &mut Rng) {
        match answer {
            Answer::Wait(seconds) => {
                let wait_ms = u64::from(*seconds) * 1_000 + u64::from(rng.below(2_000));
                self.asks_at = Some(now + Duration::from_millis(wait_ms));
            }
            Answer::Certified(..) => {
                self.asks_at = None;
                self.done_at = self.done_at.or(Some(now));
            }
            // It keeps what it has got, and asks for the rest later.
            Answer::Refused { .. } => self.asks_at = None,
        }
    }
}

/// How many of these moments lie within one second, at most.
fn fullest_second(moments: &[Instant]) -> usize {
    let within = moments.iter().enumerate().map(|(at, first)| {
        let end = *first + Duration::from_secs(1);
        moments[at..].iter().take_while(|other| **other < end).count()
    });
    within.max().unwrap_or(0)
}

/// The AORs of a router's phones.
fn users(number: u32) -> [String; 3] {
    [0, 1, 2].map(|phone| format!("u{number}p{phone}"))
}

/// All of it.
struct Outage {
    world: World,
    routers: Vec<Router>,
    door: Door,
    /// Answers to challenges: when they come, of which router, for which phone.
    proofs: VecDeque<(Instant, u32, String, Nonce)>,
    rng: Rng,
}

impl Outage {
    /// Whose time it is asks, if it is let in.
    fn ask(&mut self) {
        let Self { world, routers, door, rng, .. } = self;
        door.pass(world.now);
        for (number, router) in (0..).zip(routers) {
            if router.asks_at.is_none_or(|at| at > world.now) {
                continue;
            }
            if !door.lets_in(world.now, number) {
                router.waits(world.now, rng);
                continue;
            }
            router.knocks_since = None;
            // What is lost on the way is sent again after a while.
            router.asks_at = Some(world.now + Duration::from_secs(60));
            if rng.below(50) > 0 {
                let aors: Vec<String> = users(number).iter().map(|user| aor(user)).collect();
                let (moment, asker) = (world.moment(), asker(number));
                let ask = (&asker, 1, aors.as_slice());
                world.desk.ask(world.now, moment, &mut world.office, ask).unwrap();
            }
        }
    }

    /// Who has seen a challenge answers it; whose session is gone needs another one first.
    fn prove(&mut self) {
        let now = self.world.now;
        for (at, number, user, nonce) in std::mem::take(&mut self.proofs) {
            if at > now {
                self.proofs.push_back((at, number, user, nonce));
            } else if self.door.lets_in(now, number) {
                self.world.prove(number, &user, nonce);
            } else {
                let again = now + Duration::from_millis(300);
                self.proofs.push_back((again, number, user, nonce));
            }
        }
    }

    /// Tells how it went, and holds it to what is wanted.
    fn tell(&self, start: Instant, sent: &[Instant]) {
        let fullest = fullest_second(sent);
        let took = |router: &Router| router.done_at.unwrap().since(start).as_secs();
        let mut took: Vec<u64> = self.routers.iter().map(took).collect();
        took.sort_unstable();
        let counters = self.world.desk.counters();
        println!(
            "10,000 routers with 3 AORs: half after {} s, 99 % after {} s, all after {} s; \
             {} challenges, {fullest} in the fullest second; {} asks, {} told to wait; \
             {} handshakes, {} turned away",
            took[took.len() / 2],
            took[took.len() * 99 / 100],
            took.last().unwrap(),
            sent.len(),
            counters.asks,
            counters.waits,
            self.door.agreed,
            self.door.turned_away,
        );
        assert!(fullest <= 50, "{fullest} challenges in a second");
        assert!(*took.last().unwrap() <= 900, "{:?} s", took.last());
    }
}

#[test]
fn ten_thousand_routers_with_three_phones_each_are_certified_in_fifteen_minutes() {
    const ROUTERS: u32 = 10_000;
    let mut world = World::new("outage");
    world.office.keys = world.office.keys.clone().standing_in();
    let (start, rng) = (world.now, Rng::new([5; 32]));
    let router = |_| Router { asks_at: Some(start), knocks_since: None, done_at: None };
    let routers = (0..ROUTERS).map(router).collect();
    let (door, proofs) = (Door::new(start), VecDeque::new());
    let mut all = Outage { world, routers, door, proofs, rng };
    let numbers: HashMap<NodeId, u32> =
        (0..ROUTERS).map(|number| (identity(number).id(), number)).collect();
    let key_of: HashMap<[u8; 16], u32> =
        (0..ROUTERS).map(|number| (key_hash(&identity(number).public()), number)).collect();
    let mut sent: Vec<Instant> = Vec::new();
    while all.routers.iter().any(|router| router.done_at.is_none()) {
        assert!(all.world.now.since(start) < Duration::from_secs(3_600), "not within an hour");
        all.ask();
        all.prove();
        all.world.pass(Duration::from_millis(20));
        let now = all.world.now;
        for (at, _, aor, challenge) in std::mem::take(&mut all.world.seen) {
            sent.push(at);
            // Some are lost on their way to the phone.
            if all.rng.below(200) > 0 {
                let user = aor.split('@').next().unwrap().to_owned();
                let answered = at.max(now) + Duration::from_millis(500);
                let number = key_of[&challenge.key_hash];
                all.proofs.push_back((answered, number, user, challenge.nonce));
            }
        }
        for (peer, _, answer) in std::mem::take(&mut all.world.heard) {
            let number = numbers[&peer];
            // Whose session has made room hears nothing, and asks again.
            if all.door.known.contains(&number) {
                all.routers[number as usize].hear(now, &answer, &mut all.rng);
            }
        }
    }
    all.tell(start, &sent);
    let now_s = all.world.moment().now_s;
    let counts = all.world.office.books().counts(now_s).unwrap();
    assert_eq!(counts.adapters, u64::from(ROUTERS));
}
