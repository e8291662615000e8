//! A second adapter for an AOR: a second challenge, at a time that nobody knows before.
//!
//! Whoever holds the phone's registration for a moment would answer the first challenge. So where
//! another adapter is certified for the AOR, the same key has to answer once more, within a day.
//! When, the adapter is not told: it asks again each hour or so.

use super::{Ask, Desk, Open, Purpose};
use crate::identity::PublicKey;
use crate::server::books::{Due, Held, Selector};
use crate::server::error::ServerError;
use crate::server::office::{ADAPTERS_PER_AOR_MAX, Office};
use crate::server::text::hex;
use crate::server::{DAY_S, Moment};
use crate::time::{Duration, Instant};

/// How often the books are asked whose time has come.
const LOOK: Duration = Duration::from_secs(30);
/// Second challenges for one key and AOR, until one is answered.
const TRIES_MAX: u64 = 3;
/// For how long they are tried, and one that was answered counts.
const KEPT_S: u64 = 3 * DAY_S;
/// Those that are to come, of all keys: beyond that none is begun.
const PENDING_MAX: u64 = 10_000;
/// Of those that are due, so many wait for their turn at once.
const DUE_MAX: u64 = 16;
/// An adapter that waits for its second challenge asks again within so many seconds.
const POLL_S: u32 = 5_400;

/// Second challenges to come.
pub(super) struct Seconds {
    due: Instant,
    /// How many there were lately, at all servers.
    pub(super) pending: u64,
}

impl Seconds {
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now, pending: 0 }
    }

    /// When the books are asked again.
    pub(super) fn due(&self) -> Instant {
        self.due
    }
}

/// What stands in the way of a key that wants an AOR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nobody else has it, or the key has it already.
    Free,
    /// As many have it as may.
    Crowded,
    /// Others have it: a second challenge is needed, is to come, or was answered.
    Taken(Option<bool>),
}

impl Desk {
    /// How `key`, which holds the certificates `own`, stands with an AOR.
    pub(super) fn standing(
        &self,
        moment: Moment<'_>,
        office: &mut Office,
        (key, own): (&PublicKey, &[Held]),
        aor: &str,
    ) -> Result<Standing, ServerError> {
        if own.iter().any(|held| held.aors.iter().any(|it| it == aor)) {
            return Ok(Standing::Free);
        }
        let now_s = moment.now_s;
        let books = office.books();
        let held = books.certificates(&Selector::Aor(aor.to_owned()), Some(now_s))?;
        let name = hex(key);
        let mut others: Vec<&str> = held.iter().map(|held| held.adapter.as_str()).collect();
        others.retain(|adapter| *adapter != name);
        others.sort_unstable();
        others.dedup();
        if others.is_empty() {
            return Ok(Standing::Free);
        }
        if others.len() >= ADAPTERS_PER_AOR_MAX {
            return Ok(Standing::Crowded);
        }
        let second = books.second(aor, key, now_s)?;
        if second.is_none() && self.seconds.pending >= PENDING_MAX {
            return Ok(Standing::Crowded);
        }
        Ok(Standing::Taken(second.map(|second| second.is_proven)))
    }

    /// The first challenge was answered: the second will come.
    pub(super) fn begin_second(
        &mut self,
        moment: Moment<'_>,
        office: &mut Office,
        (key, aor): (&PublicKey, &str),
    ) -> Result<(), ServerError> {
        let due =
            Due { aor: aor.to_owned(), adapter: *key, tries: 0, ends_s: moment.now_s + KEPT_S };
        let due_s = self.some_time(moment);
        office.books().set_second(&due, due_s, &self.server)?;
        self.counters.seconds_begun += 1;
        self.seconds.pending += 1;
        Ok(())
    }

    /// Some moment of the next day.
    fn some_time(&mut self, moment: Moment<'_>) -> u64 {
        moment.now_s + u64::from(self.rng.below(DAY_S as u32))
    }

    /// Sends those whose time has come. Each is put off first: one that is not answered, or that a
    /// restart has cut off, comes once more.
    pub(super) fn seconds_due(
        &mut self,
        now: Instant,
        moment: Moment<'_>,
        office: &mut Office,
    ) -> Result<(), ServerError> {
        if now < self.seconds.due {
            return Ok(());
        }
        self.seconds.due = now + LOOK;
        self.seconds.pending = office.books().sweep_seconds(moment.now_s)?;
        for due in office.books().seconds_due(&self.server, moment.now_s, DUE_MAX)? {
            if due.tries == TRIES_MAX {
                office.books().drop_second(&due.aor, &due.adapter)?;
                continue;
            }
            let later = Due { tries: due.tries + 1, ..due.clone() };
            let due_s = self.some_time(moment);
            office.books().set_second(&later, due_s, &self.server)?;
            let Due { aor, adapter: key, .. } = due;
            self.queue.push_back(Open { key, aor, purpose: Purpose::Second });
        }
        Ok(())
    }

    /// One was answered.
    pub(super) fn second_proven(
        &mut self,
        moment: Moment<'_>,
        office: &mut Office,
        open: &Open,
    ) -> Result<(), ServerError> {
        self.counters.seconds_proven += 1;
        let kept = (moment.now_s, moment.now_s + KEPT_S);
        office.books().prove_second(&open.aor, &open.key, kept)
    }

    /// An ask waits for a second challenge.
    pub(super) fn wait_for_second(&mut self, ask: &Ask) {
        let seconds = self.jittered(POLL_S);
        self.wait(&ask.asker, ask.number, seconds);
    }
}
