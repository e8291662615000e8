//! Waiting for what shows, never for time alone.

use std::time::{Duration, Instant};

const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Asks `look` again and again until it has something.
///
/// # Panics
/// After `limit`, naming `what` was waited for.
pub(crate) fn for_some<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {} s for {what}", limit.as_secs());
        pause(LOOK_AGAIN);
    }
}

/// Asks `look` again and again until it is true.
///
/// # Panics
/// After `limit`, naming `what` was waited for.
pub(crate) fn until(what: &str, limit: Duration, mut look: impl FnMut() -> bool) {
    for_some(what, limit, || look().then_some(()));
}

/// Lets `interval` pass.
pub(crate) fn pause(interval: Duration) {
    let interval = u16::try_from(interval.as_millis()).unwrap_or(u16::MAX);
    let _ = nix::poll::poll(&mut [], interval);
}
