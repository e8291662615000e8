//! What counts as flat, and what does not.

use super::memory::Memory;
use crate::time::Duration;

/// How much one router grew, whose memory was these kB, one second after the other.
fn growth(kb: &[u64]) -> i64 {
    let mut memory = Memory::new(1);
    for (second, kb) in (0..).zip(kb) {
        memory.note(Duration::from_secs(second), vec![*kb]);
    }
    memory.growth(Duration::from_secs(4))[0].per_mille()
}

#[test]
fn memory_is_judged_after_the_warm_up_by_its_medians() {
    assert_eq!(growth(&[100, 500, 800, 900, 1000, 1000, 1000, 1000]), 0);
    assert_eq!(growth(&[0, 0, 0, 0, 1000, 1000, 1000, 1010, 1010, 1030, 1030, 1030]), 30);
    let spike =
        [0, 0, 0, 0, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 5000, 1000, 1000, 1000, 1000];
    assert_eq!(growth(&spike), 0);
    assert_eq!(growth(&[]), 0);
}
