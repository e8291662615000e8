//! When files are written.

use super::*;

#[test]
fn a_change_is_written_at_once_and_many_together() {
    let mut now = Instant::from_micros(1);
    let mut persist = Persist::new(now);
    persist.peers_at = None;
    persist.bindings_changed(now, false);
    assert_eq!(persist.due(), Some(now + VOLATILE_FILE_DELAY));
    let mut written = Vec::new();
    for _ in 0..1000 {
        persist.bindings_changed(now, false);
        if persist.take_volatile(now) {
            written.push(now);
        }
        now += Duration::from_millis(10);
    }
    assert_eq!(written.len(), 10);
    assert!(written.windows(2).all(|pair| pair[1] >= pair[0] + VOLATILE_FILE_INTERVAL));
    now += Duration::from_secs(5);
    assert!(persist.take_volatile(now), "the last change too");
    persist.bindings_changed(now + Duration::from_secs(3), false);
    assert!(persist.take_volatile(now + Duration::from_secs(3) + VOLATILE_FILE_DELAY));
    assert!(!persist.take_volatile(now + Duration::from_secs(9)), "nothing changed since");
}

#[test]
fn flash_waits_while_somebody_speaks() {
    let now = Instant::from_micros(1);
    let mut persist = Persist::new(now);
    persist.bindings_changed(now, true);
    persist.peers_changed(now);
    let later = now + STATE_FILE_PAUSE;
    persist.put_off(later);
    let next = Some(later + STATE_FILE_PAUSE);
    assert_eq!((persist.bindings_at, persist.peers_at), (next, next));
    persist.put_off(later);
    assert_eq!((persist.bindings_at, persist.peers_at), (next, next), "not due, not moved");
    assert!(persist.take_volatile(later), "no flash, no wait");
}

#[test]
fn peers_are_written_soon_once_and_then_daily_however_often_everybody_is_lost() {
    let mut now = Instant::from_micros(1);
    let mut persist = Persist::new(now);
    persist.peers_changed(now);
    now += STATE_FILE_PAUSE;
    assert_eq!(persist.due(), Some(now));
    persist.peers_done(now, false);
    persist.peers_changed(now);
    assert_eq!(persist.due(), Some(now + STATE_FILE_PAUSE), "nobody was there");
    persist.peers_done(now, true);
    let daily = Some(now + PEERS_FILE_INTERVAL);
    for _ in 0..10 {
        now += Duration::from_secs(3600);
        persist.peers_changed(now);
        assert_eq!(persist.due(), daily, "joined again");
    }
}
