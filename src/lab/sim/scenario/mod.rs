//! What the routers are put through: what each phase is called, how long it lasts, and what has to
//! be right in it.

mod plan;

pub(super) use plan::plan;

/// What can be played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Routers get other addresses as at the busiest hour of a night.
    Steady,
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
    /// Half of them vanish at once, and each of the others looks somebody up.
    HalfLost,
}

/// What a scenario is by.
struct Traits {
    name: &'static str,
    minutes: u64,
    /// From which second on its look-ups count: before, the world is still changing.
    counts_from_s: u64,
    /// Which share of its look-ups has to be answered right, in millionths.
    right_ppm: u64,
}

impl Scenario {
    /// Those of a whole run, in order.
    pub const WHOLE: [Self; 6] = [
        Self::Steady,
        Self::Renumber,
        Self::Restart,
        Self::Avalanche,
        Self::Partition,
        Self::HalfLost,
    ];

    /// All that can be played, in an order in which one leaves the world fit for the next.
    pub const ALL: [Self; 9] = [
        Self::Steady,
        Self::Renumber,
        Self::Slow,
        Self::BadRegion,
        Self::Peak,
        Self::Restart,
        Self::Avalanche,
        Self::Partition,
        Self::HalfLost,
    ];

    const fn traits(self) -> Traits {
        let (name, minutes, counts_from_s, right_ppm) = match self {
            Self::Steady => ("steady", 60, 0, 999_900),
            Self::Renumber => ("renumber", 60, 0, 999_900),
            Self::Slow => ("slow", 10, 0, 999_000),
            Self::BadRegion => ("bad-region", 10, 0, 999_000),
            Self::Peak => ("peak", 10, 0, 999_000),
            // A minute of change, and a minute to mend it.
            Self::Restart => ("restart", 10, 120, 999_000),
            Self::Avalanche => ("avalanche", 10, 240, 999_000),
            // Only what is asked after the healing.
            Self::Partition => ("partition", 15, 660, 999_000),
            Self::HalfLost => ("half-lost", 10, 0, 999_000),
        };
        Traits { name, minutes, counts_from_s, right_ppm }
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
        let of = |name| Self::ALL.into_iter().find(|scenario| scenario.name() == name);
        words.split(',').map(of).collect()
    }

    /// How many minutes it lasts.
    pub fn minutes(self) -> u64 {
        self.traits().minutes
    }

    pub(super) fn counts_from_s(self) -> u64 {
        self.traits().counts_from_s
    }

    pub(super) fn right_ppm(self) -> u64 {
        self.traits().right_ppm
    }
}
