//! Capacities and times of members whom a CoSIP server asks about others.

use core::time::Duration;

/// Receipts that are told of at once.
pub const WATCH_STATEMENTS_MAX: usize = 8;

/// A member answers CoSIP servers no more often than this.
pub const WATCH_PAUSE: Duration = Duration::from_secs(1);

/// Holders that are being asked for CoSIP servers; what comes beyond them is not asked.
pub const WATCH_GETS_MAX: usize = 4;

/// Whoever was not told by then what a holder says is told nothing: the overlay has started anew.
pub const WATCH_GET_LIFE: Duration = Duration::from_secs(60);
