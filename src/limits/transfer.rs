//! What transfers and redirections over the overlay may take.

use core::time::Duration;

/// How often an adapter follows redirections of one call.
pub const REDIRECTS_MAX: u8 = 3;

/// REFERs of other adapters that wait for their look-up, and transfers that phones were told of.
pub const TRANSFERS_MAX: usize = 16;

/// How long after a REFER of another adapter its phone's call is that transfer.
pub const TRANSFER_LIFE: Duration = Duration::from_secs(64);
