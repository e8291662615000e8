//! Time-outs of servers: when they are down, up again, and waited for no longer.

use core::time::Duration;

/// Silence on every leg ends a call after this (CALLS §3.6).
pub const CALL_SILENCE: Duration = Duration::from_secs(8);

/// A server that has said nothing but 100 for this long has lost the call: what the callee's phone
/// has refused over the overlay is refused then.
pub const CALL_TRYING: Duration = Duration::from_secs(16);

/// Silence of one request that is an outage (CALLS §5).
pub const SERVER_DOWN_AFTER: Duration = Duration::from_secs(2);

/// Silent requests that are an outage, however short their silence (CALLS §5).
pub const SERVER_DOWN_REQUESTS: u8 = 2;

/// The time over which the answers of a recovery must be spread, at first (CALLS §5).
pub const SERVER_HOLD_MIN: Duration = Duration::from_secs(5);

/// The same at most.
pub const SERVER_HOLD_MAX: Duration = Duration::from_secs(300);

/// A server that falls again this soon after it rose is held longer (CALLS §5).
pub const SERVER_FLAPPING: Duration = Duration::from_secs(600);

/// Round trips that are remembered.
pub const SERVER_RTT_SAMPLES: usize = 7;
