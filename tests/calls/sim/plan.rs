//! What is to happen in one simulated call: drawn from a seed, printed when something goes wrong.

use cosip::lab::phone::{Habits, Manner};
use cosip::lab::server::b2bua::Presentation;
use cosip::rng::Rng;
use cosip::time::Duration;

/// How the server fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// Nothing comes back any more.
    Silent,
    /// Its host refuses (ICMP).
    Refusing,
    /// It hangs, and then goes on with all that waited.
    Frozen(Duration),
    /// It is gone, and comes back after this time with nothing in its memory.
    Restarted(Duration),
}

/// When the server fails: after so many messages of the call have reached or left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fails {
    pub(super) how: Failure,
    pub(super) after: u32,
    /// Silent or refusing, it is back when the call is over.
    pub(super) returns: bool,
}

/// What becomes of calls that are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Diverts {
    Never,
    ToMailbox,
    ToCarol,
}

/// What kind of house the provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum House {
    /// A proxy that leaves calls as they are.
    Proxy,
    /// A back-to-back user agent that renames everything.
    B2bua {
        presentation: Presentation,
        pace: Duration,
        dialling: Duration,
        reliable: bool,
        hasty: bool,
        diverts: Diverts,
        patience: Duration,
    },
}

/// One who calls Bob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// Which of the phones.
    pub(super) phone: usize,
    /// When it calls.
    pub(super) at: Duration,
    /// How long it lets it ring; none: as long as it takes.
    pub(super) patience: Option<Duration>,
    /// It dials the number in national spelling.
    pub(super) national: bool,
}

/// The phones: their users are numbers that end in different digits.
pub(super) const USERS: [&str; 3] = ["+498920001", "+498930002", "+498940003"];
pub(super) const ALICE: usize = 0;
pub(super) const BOB: usize = 1;
pub(super) const CAROL: usize = 2;

/// How many houses of a hundred are proxies.
const PROXIES: u32 = 25;
/// How many callers of a hundred have Bob's router.
const NEIGHBOURS: u32 = 10;

/// See the module's text.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) house: House,
    pub(super) challenges: bool,
    /// Which router each phone is at.
    pub(super) homes: [usize; 3],
    pub(super) habits: [Habits; 3],
    pub(super) bob: Manner,
    pub(super) ring: Duration,
    pub(super) callers: Vec<Caller>,
    /// Who hangs up first: the callers, or Bob.
    pub(super) bob_hangs_up: bool,
    /// Further time to the server and back, each way.
    pub(super) lag: Duration,
    pub(super) jitter: Duration,
    pub(super) loss_percent: u32,
    pub(super) repeat_percent: u32,
    pub(super) fails: Option<Fails>,
}

struct Draw(Rng);

impl Draw {
    fn new(seed: u64) -> Self {
        let mut bytes = [11; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self(Rng::new(bytes))
    }

    fn ms(&mut self, from: u32, to: u32) -> Duration {
        Duration::from_millis(u64::from(from + self.0.below(to - from + 1)))
    }

    /// True in so many of a hundred cases.
    fn percent(&mut self, chance: u32) -> bool {
        self.0.below(100) < chance
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.below(from.len() as u32) as usize]
    }

    fn b2bua(&mut self, diverts: Diverts) -> House {
        use Presentation::{Asserted, National, Own, Withheld};
        House::B2bua {
            presentation: self.one_of(&[Own, Withheld, National, Asserted]),
            pace: self.ms(0, 150),
            dialling: if self.percent(25) { self.ms(0, 6_000) } else { Duration::ZERO },
            reliable: self.percent(30),
            hasty: self.percent(50),
            diverts,
            patience: self.ms(5_000, 15_000),
        }
    }

    fn habits(&mut self) -> Habits {
        let early = self.percent(25);
        Habits {
            early,
            // Not both: a phone whose description in a reliable 18x is not acknowledged may not
            // answer (RFC 3262 s3), and where the server loses its PRACK nobody else sends one.
            reliable: self.percent(30) && !early,
            lines: if self.percent(30) { 1 } else { 8 },
            tcp: self.percent(20),
        }
    }

    fn failure(&mut self) -> Failure {
        match self.0.below(4) {
            0 => Failure::Silent,
            1 => Failure::Refusing,
            2 => Failure::Frozen(self.ms(1_000, 10_000)),
            _ => Failure::Restarted(self.ms(100, 8_000)),
        }
    }
}

impl Plan {
    /// A plain call, which Bob takes.
    pub(super) fn plain(seed: u64, house: House) -> Self {
        Self {
            seed,
            house,
            challenges: false,
            homes: [0, 1, 2],
            habits: [Habits::default(); 3],
            bob: Manner::Answer,
            ring: Duration::from_millis(800),
            callers: vec![Caller {
                phone: ALICE,
                at: Duration::ZERO,
                patience: None,
                national: false,
            }],
            bob_hangs_up: false,
            lag: Duration::ZERO,
            jitter: Duration::ZERO,
            loss_percent: 0,
            repeat_percent: 0,
            fails: None,
        }
    }

    /// A call that Bob takes, and a server that fails at a given message of it. Everything else
    /// follows from the seed.
    pub(super) fn failing(seed: u64, how: Failure, after: u32) -> Self {
        let mut draw = Draw::new(seed);
        let house = if draw.percent(PROXIES) { House::Proxy } else { draw.b2bua(Diverts::Never) };
        let mut plan = Self::plain(seed, house);
        draw.circumstances(&mut plan);
        plan.ring = draw.ms(0, 2_500);
        plan.fails = Some(Fails { how, after, returns: draw.percent(50) });
        plan
    }

    /// A call of which nothing is known but the seed.
    pub(super) fn random(seed: u64) -> Self {
        let mut draw = Draw::new(seed);
        let diverts = draw.one_of(&[Diverts::Never, Diverts::ToMailbox, Diverts::ToCarol]);
        let house = if draw.percent(PROXIES) { House::Proxy } else { draw.b2bua(diverts) };
        let mut plan = Self::plain(seed, house);
        draw.circumstances(&mut plan);
        plan.lag = match draw.0.below(3) {
            0 => draw.ms(0, 1_200),
            _ => Duration::ZERO,
        };
        plan.ring = draw.ms(0, 8_000);
        let refuses = [486, 480, 603, 404, 500, 488];
        plan.bob = match draw.0.below(10) {
            0..=5 => Manner::Answer,
            6 | 7 => Manner::Refuse(draw.one_of(&refuses)),
            8 => Manner::Ring,
            _ => Manner::Silent,
        };
        let leaves = draw.percent(25) || plan.bob == Manner::Ring;
        plan.callers[0].patience = leaves.then(|| draw.ms(0, 20_000));
        if diverts != Diverts::ToCarol && draw.percent(40) {
            let at = if draw.percent(50) { draw.ms(0, 200) } else { draw.ms(0, 9_000) };
            let national = draw.percent(50);
            let patience = (plan.bob == Manner::Ring).then(|| draw.ms(0, 20_000));
            plan.callers.push(Caller { phone: CAROL, at, patience, national });
        }
        if draw.percent(30) {
            let (how, after) = (draw.failure(), draw.0.below(24));
            plan.fails = Some(Fails { how, after, returns: draw.percent(50) });
        }
        plan
    }
}

impl Draw {
    /// What phones and network are like.
    fn circumstances(&mut self, plan: &mut Plan) {
        plan.challenges = self.percent(30);
        plan.habits = core::array::from_fn(|_| self.habits());
        if self.percent(NEIGHBOURS) {
            plan.homes = [1, 1, 2];
        }
        plan.callers[0].national = self.percent(50);
        plan.bob_hangs_up = self.percent(50);
        plan.jitter = self.ms(0, 30);
        if self.percent(30) {
            plan.loss_percent = 1 + self.0.below(3);
            plan.repeat_percent = self.0.below(3);
        }
    }
}
