//! What the routers are put through: what each phase is called, how long it lasts, and what has to
//! be right in it.

mod plan;

pub(super) use plan::plan;

use super::population::Population;

/// What can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Each router gets another address once a day, at any time of it.
    Steady,
    /// A tenth of the day's changes within minutes: when providers end the connections of the day.
    Night,
    /// All of them within an hour.
    Renumber,
    /// One router in ten is slow: what it handles waits a third of a second, on average.
    Slow,
    /// One of the regions loses far more than the others.
    BadRegion,
    /// Every phone in the network calls within two minutes.
    Peak,
    /// Eight of ten get another address within a minute; half of those boot.
    Restart,
    /// Three of ten lose power, and come back at the same moment.
    Avalanche,
    /// Halves that do not hear each other for ten minutes, and find together.
    Partition,
    /// Every router's adapter is replaced, one after another, by one that speaks a newer version of
    /// the wire format, too.
    Upgrade,
    /// One router in fifty attacks the others.
    Hostile,
    /// One member in ten lies, in one of many ways; some together about one key.
    Liars,
    /// One in four does.
    ManyLiars,
    /// One in ten lies in ways that a CoSIP server's watch, or each for itself, finds out; some of
    /// the others lose power.
    Watched,
    /// Half of them vanish at once, and each of the others looks somebody up.
    HalfLost,
    /// A third of the routers are behind carriers' NATs of all kinds.
    Clients,
    /// Half of the routers have IPv6 alone, a third IPv4 alone behind carriers, the others both
    /// families; some lose power meanwhile.
    Families,
    /// One router, and then more and more.
    Growth,
}

/// What a scenario is by.
struct Traits {
    name: &'static str,
    minutes: u64,
    /// From which second on its look-ups count: before, the world is still changing.
    counts_from_s: u64,
    /// Which share of its look-ups has to be answered right, in millionths.
    right_ppm: u64,
    population: Population,
}

impl Scenario {
    /// Those of a whole run, in order.
    pub const WHOLE: [Self; 6] = [
        Self::Steady,
        Self::Renumber,
        Self::Restart,
        Self::Partition,
        Self::Hostile,
        Self::HalfLost,
    ];

    /// All that can be played whoever certifies routers, in an order in which one leaves the world
    /// fit for the next; [`Self::Watched`] is for the certified.
    pub const ALL: [Self; 17] = [
        Self::Steady,
        Self::Night,
        Self::Renumber,
        Self::Slow,
        Self::BadRegion,
        Self::Peak,
        Self::Restart,
        Self::Avalanche,
        Self::Partition,
        Self::Upgrade,
        Self::Hostile,
        Self::HalfLost,
        Self::Clients,
        Self::Families,
        Self::Growth,
        Self::Liars,
        Self::ManyLiars,
    ];

    const fn traits(self) -> Traits {
        let (name, minutes, counts_from_s, right_ppm) = match self {
            Self::Steady => ("steady", 60, 0, 999_900),
            Self::Night => ("night", 10, 0, 999_900),
            Self::Renumber => ("renumber", 60, 0, 999_900),
            Self::Slow => ("slow", 10, 0, 999_000),
            Self::BadRegion => ("bad-region", 10, 0, 999_000),
            Self::Peak => ("peak", 10, 0, 999_000),
            // A minute of change, and a minute to mend it.
            Self::Restart => ("restart", 10, 120, 999_000),
            Self::Avalanche => ("avalanche", 10, 240, 999_000),
            // Only what is asked after the healing.
            Self::Partition => ("partition", 15, 660, 999_000),
            Self::Upgrade => ("upgrade", 30, 0, 999_000),
            Self::Hostile => ("hostile", 10, 0, 999_000),
            Self::HalfLost => ("half-lost", 10, 0, 999_000),
            Self::Liars => ("liars", 20, 0, 999_000),
            Self::ManyLiars => ("many-liars", 20, 0, 990_000),
            Self::Watched => ("watched", 360, 0, 999_000),
            Self::Clients => ("clients", 20, 0, 999_000),
            Self::Families => ("families", 20, 0, 999_000),
            Self::Growth => ("growth", 30, 0, 999_000),
        };
        let population = match self {
            Self::Clients => Population::Clients,
            Self::Families => Population::Families,
            Self::Growth => Population::Nobody,
            _ => Population::Members,
        };
        Traits { name, minutes, counts_from_s, right_ppm, population }
    }

    /// The name in `summary.json` and on the command line.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// The scenarios that `words` names, parted by commas; `all` names all.
    pub fn parse(words: &str) -> Option<Vec<Self>> {
        if words == "all" {
            return Some(Vec::from(Self::ALL));
        }
        let all = || Self::ALL.into_iter().chain([Self::Watched]);
        let of = |name| all().find(|scenario| scenario.name() == name);
        words.split(',').map(of).collect()
    }

    /// What a router may send and receive each second without look-ups, over IPv4 and over IPv6,
    /// where that is planned.
    pub(super) fn bytes_per_s_max(self) -> Option<[u16; 2]> {
        match self {
            Self::Steady => Some([40, 60]),
            Self::Renumber => Some([400, 700]),
            _ => None,
        }
    }

    /// How many minutes it lasts.
    pub fn minutes(self) -> u64 {
        self.traits().minutes
    }

    /// Who is in the network when it begins.
    pub(super) fn population(self) -> Population {
        self.traits().population
    }

    pub(super) fn counts_from_s(self) -> u64 {
        self.traits().counts_from_s
    }

    pub(super) fn right_ppm(self) -> u64 {
        self.traits().right_ppm
    }
}
