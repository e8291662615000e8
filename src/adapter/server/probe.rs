//! When to ask a server for a sign of life with an OPTIONS.
//!
//! As rarely as can be: a server that answers phones is not probed at all, one that is silent
//! hears from each adapter at 1, 2, 4 … seconds and then at the normal rate. Twenty thousand
//! adapters ask the same server, so every interval is jittered.

use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// The first interval while a server is not up.
const BACKOFF_MIN: Duration = Duration::from_secs(1);

/// The least time from a probe to one that an operator asks for, or that goes early: the shortest
/// `probe_s`.
const GRANTED_AFTER: Duration = Duration::from_secs(5);

/// So many probes may go early, one soon after another.
const EARLY_MAX: u32 = 3;

pub(super) struct Prober {
    next: Instant,
    probe: Duration,
    /// The next interval while the server is not up.
    backoff: Duration,
    /// Whether the server is taken for up.
    quiet: bool,
    /// When the last probe went, and the last request in place of one.
    probed: Option<Instant>,
    asked: Option<Instant>,
    /// Until when the probes that went early make up for others.
    owed_until: Instant,
    /// Whether an OPTIONS has ever been answered: only then its silence says something.
    answered: bool,
    rng: Rng,
}

impl Prober {
    pub(super) fn new(now: Instant, probe: Duration, rng: &mut Rng) -> Self {
        let rng = rng.fork("probe");
        let mut prober = Self {
            next: now,
            probe,
            backoff: BACKOFF_MIN,
            quiet: true,
            probed: None,
            asked: None,
            owed_until: now,
            answered: false,
            rng,
        };
        prober.heard(now);
        prober
    }

    pub(super) fn configure(&mut self, probe: Duration) {
        self.probe = probe;
    }

    /// The instant of the next probe.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// A sign of life: while the server is up, the next probe moves a whole interval away.
    pub(super) fn heard(&mut self, now: Instant) {
        if self.quiet {
            self.next = now + self.interval();
        }
    }

    /// A probe was answered.
    pub(super) fn answered(&mut self) {
        self.answered = true;
    }

    /// Whether the silence of a probe counts.
    pub(super) fn silence_counts(&self) -> bool {
        self.answered
    }

    /// Begins anew: with the normal interval, or while the server is not up with the shortest.
    pub(super) fn restart(&mut self, now: Instant, failing: bool) {
        self.quiet = !failing;
        self.backoff = BACKOFF_MIN.min(self.probe);
        self.next = now + self.interval();
    }

    /// Whether the next probe is due; if so, the one after it is scheduled.
    pub(super) fn due(&mut self, now: Instant, failing: bool) -> bool {
        if now < self.next {
            return false;
        }
        self.probed = Some(now);
        if failing {
            self.backoff = (self.backoff * 2).min(self.probe);
        }
        self.next = now + self.interval();
        true
    }

    /// Whether another request may go in place of a probe while the server is not up: half an
    /// interval after the last one at the earliest. Where OPTIONS brings no answer anyway, it takes
    /// no turn away.
    pub(super) fn take_turn(&mut self, now: Instant) -> bool {
        let last = self.probed.filter(|_| self.answered).max(self.asked);
        if last.is_some_and(|last| now.since(last) < self.backoff / 2) {
            return false;
        }
        self.asked = Some(now);
        self.backoff = (self.backoff * 2).min(self.probe);
        if self.answered {
            self.next = now + self.interval();
        }
        true
    }

    /// Whether a probe may go that an operator asks for.
    pub(super) fn grant(&mut self, now: Instant) -> bool {
        let granted = self.probed.is_none_or(|last| now.since(last) >= GRANTED_AFTER);
        if granted {
            self.probed = Some(now);
        }
        granted
    }

    /// Whether a probe may go early: not right after another one, and in the long run no more
    /// often than others go.
    pub(super) fn look_early(&mut self, now: Instant) -> bool {
        let owed_until = self.owed_until.max(now);
        let just_asked = self.probed.is_some_and(|last| now.since(last) < GRANTED_AFTER);
        let granted = !just_asked && owed_until < now + self.probe * EARLY_MAX;
        if granted {
            (self.owed_until, self.probed) = (owed_until + self.probe, Some(now));
        }
        granted
    }

    /// Never less than `probe` while the server is up; the jitter spreads over a quarter more.
    fn interval(&mut self) -> Duration {
        if self.quiet {
            self.probe + self.rng.jitter(self.probe / 2) - self.probe / 4
        } else {
            self.rng.jitter(self.backoff)
        }
    }
}
