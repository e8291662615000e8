//! What transfers and redirections over the overlay may take.

use core::time::Duration;

/// How often an adapter follows redirections of one call.
pub const REDIRECTS_MAX: u8 = 3;

/// REFERs of other adapters that wait for their look-up, and those that phones may still follow.
pub const TRANSFERS_MAX: usize = 64;

/// Whom a phone may be told to call in one call.
pub const TRANSFERS_A_CALL_MAX: usize = 4;

/// How long after the call in which a phone was told to call somebody it may do so: longer than
/// any phone asks its user.
pub const TRANSFER_LIFE: Duration = Duration::from_secs(600);
