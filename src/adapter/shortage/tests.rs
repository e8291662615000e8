//! When a limit is spoken of.

use super::Told;
use crate::limits::SHORTAGE_LOG_INTERVAL;
use crate::time::{Duration, Instant};

#[test]
fn a_limit_is_told_at_once_and_then_once_in_a_while_with_all_that_came_meanwhile() {
    let mut told = Told::default();
    let start = Instant::ZERO;
    assert_eq!(told.risen(start, 0), None, "nothing happened");
    assert_eq!(told.risen(start, 3), Some(3));
    for second in 1..60 {
        assert_eq!(told.risen(start + Duration::from_secs(second), 3 + second), None);
    }
    let later = start + SHORTAGE_LOG_INTERVAL;
    assert_eq!(told.risen(later, 62), Some(59));
    assert_eq!(told.risen(later + SHORTAGE_LOG_INTERVAL, 62), None, "nothing new");
}
