//! Log lines about limits: what found no room, and what a person can do about it.
//!
//! Peers can raise a counter as fast as they send. A line is written where one has risen, with how
//! much, and not again about the same limit for a while.

use super::Adapter;
use crate::limits::SHORTAGE_LOG_INTERVAL;
use crate::time::Instant;

/// A limit that a person can do something about: its counter, and what is said.
type Limit = (fn(&Adapter) -> u64, &'static str);

const LIMITS: [Limit; 15] = [
    (|adapter| adapter.counters.calls_refused_full, "calls refused: max_calls are running"),
    (
        |adapter| adapter.counters.call_parts_dropped,
        "legs or adapters of a call left out: it has more of them than are kept",
    ),
    (
        |adapter| adapter.counters.transfers_refused_full,
        "transfers of other adapters refused: too many are under way",
    ),
    (
        |adapter| adapter.counters.callers_refused,
        "calls and texts of other adapters refused: their certificates do not list who calls",
    ),
    (
        |adapter| adapter.counters.connections_refused,
        "TCP connections refused or closed: too many, or they do not speak SIP",
    ),
    (
        |adapter| adapter.counters.phones_refused_full,
        "registrations refused: max_phones are registered",
    ),
    (
        |adapter| adapter.counters.contacts_dropped,
        "Contacts left out: a phone names more in one REGISTER than are kept of it; they are kept \
         where each is registered by itself",
    ),
    (
        |adapter| adapter.counters.exchanges_refused_full,
        "requests refused: too many are being passed on; max_calls and max_phones make room",
    ),
    (
        |adapter| adapter.counters.transactions_full,
        "requests refused: too many transactions live; max_calls and max_phones make room",
    ),
    (
        |adapter| adapter.counters.dialogs_dropped,
        "dialogs of a call left out: its server forks to more phones than are kept apart",
    ),
    (
        |adapter| adapter.counters.addresses_dropped,
        "own addresses not served: there are too many; options lan and wan choose",
    ),
    (
        |adapter| adapter.counters.bootstrap_dropped,
        "addresses of bootstrap entries not used: there are too many",
    ),
    (
        |adapter| adapter.counters.chosen_servers_dropped,
        "registrations at servers that their phones chose and that nobody else is sent to: a \
         provider has too many of them; option server names the right ones",
    ),
    (
        |adapter| adapter.counters.tls_hosts_dropped,
        "hosts that talk to SIP servers over TLS not shown: there are too many",
    ),
    (
        |adapter| adapter.overlay.as_ref().map_or(0, |overlay| overlay.counters().store_full),
        "records of other adapters refused: store_entries are held",
    ),
];

/// What was written of each limit.
#[derive(Default)]
pub(super) struct Shortages([Told; LIMITS.len()]);

#[derive(Clone, Copy, Default)]
struct Told {
    count: u64,
    not_before: Instant,
}

impl Told {
    /// How far the counter has risen, where it is time to say so.
    fn risen(&mut self, now: Instant, count: u64) -> Option<u64> {
        if count <= self.count || now < self.not_before {
            return None;
        }
        let risen = count - self.count;
        *self = Self { count, not_before: now + SHORTAGE_LOG_INTERVAL };
        Some(risen)
    }
}

impl Adapter {
    /// Writes what is to be said of limits.
    pub(super) fn log_shortages(&mut self, now: Instant) {
        for (at, (counter, what)) in LIMITS.iter().enumerate() {
            let count = counter(self);
            let told = self.shortages.0.get_mut(at);
            if let Some(risen) = told.and_then(|told| told.risen(now, count)) {
                log::warn!("{risen} {what}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
