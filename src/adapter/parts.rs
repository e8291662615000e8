//! The parts of an adapter, as large as the options want them.

use crate::channel::Channel;
use crate::config::Config;
use crate::identity::{Identity, NetworkKeys};
use crate::limits;
use crate::overlay::{Limits, Overlay};
use crate::rng::Rng;
use crate::sip::digest::Authenticator;
use crate::sip::transaction::Transactions;
use crate::time::Instant;

/// SIP transactions for the calls and phones of the options, and for emergency calls beside them.
pub(super) fn transactions(config: &Config, rng: &mut Rng) -> Transactions {
    let finished = limits::finished_max(usize::from(config.adapter.max_calls));
    let reserved = limits::TRANSACTIONS_EMERGENCY;
    Transactions::with_reserve(transactions_live(config), reserved, finished, rng)
}

/// How many transactions may be open at a time.
pub(super) fn transactions_live(config: &Config) -> usize {
    let (calls, phones) = (config.adapter.max_calls, config.adapter.max_phones);
    limits::transactions_live_max(usize::from(calls), usize::from(phones))
}

/// How many requests may be passed on at a time.
pub(super) fn exchanges(config: &Config) -> usize {
    transactions_live(config) / 2 + limits::EXCHANGES_EMERGENCY
}

/// The overlay, where the network has a secret.
pub(super) fn overlay(
    config: &Config,
    identity: &Identity,
    keys: Option<&NetworkKeys>,
    start_count: u32,
    rng: &mut Rng,
    now: Instant,
) -> Option<Box<Overlay>> {
    let (keys, limits) = (keys?, overlay_limits(config));
    Some(Box::new(Overlay::new(identity, keys, limits, start_count, rng.bytes(), now)))
}

/// The channel, where the network has a secret, with room for so many sessions.
pub(super) fn channel(
    identity: &Identity,
    keys: Option<&NetworkKeys>,
    sessions_max: usize,
    rng: &mut Rng,
) -> Option<Box<Channel>> {
    Some(Box::new(Channel::new(identity, keys?, rng, sessions_max)))
}

/// Who challenges phones in mode `overlay`.
pub(super) fn authenticator(rng: &mut Rng) -> Authenticator {
    Authenticator::new(limits::DIGEST_NONCES_MAX, limits::DIGEST_NONCE_LIFE, rng)
}

/// What the overlay may hold: options, and room for every alias of every phone.
fn overlay_limits(config: &Config) -> Limits {
    Limits {
        table_kb: config.overlay.table_kb,
        store_entries: config.overlay.store_entries as usize,
        publish_entries: usize::from(config.adapter.max_phones) * limits::ALIASES_MAX,
        ..Limits::default()
    }
}
