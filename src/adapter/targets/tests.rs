//! The order in which targets are tried.

use super::*;
use crate::sip::locate::Target as Located;

fn addr(last: u8) -> SocketAddr {
    ([198, 51, 100, last], 5060).into()
}

fn list(servers: &[&[u8]]) -> TargetList {
    let mut list = TargetList::default();
    for (at, server) in servers.iter().enumerate() {
        let found: Targets = server
            .iter()
            .map(|last| Located { addr: addr(*last), transport: Transport::Udp })
            .collect();
        list.locate(at, &found, true);
    }
    list
}

fn order(list: &TargetList, seconds: u64, accepted: Option<u8>) -> Vec<SocketAddr> {
    let now = Instant::from_micros(seconds * 1_000_000);
    list.order(now, accepted.map(addr)).iter().map(|target| target.addr).collect()
}

fn fail(list: &mut TargetList, seconds: u64, last: u8) {
    list.failed(Instant::from_micros(seconds * 1_000_000), addr(last));
}

#[test]
fn the_target_that_accepted_comes_first_and_those_that_failed_last() {
    let mut list = list(&[&[1, 2], &[3, 1]]);
    assert_eq!(order(&list, 0, None), [addr(1), addr(2), addr(3)], "each once");
    assert_eq!(order(&list, 0, Some(3)), [addr(3), addr(1), addr(2)]);
    assert_eq!(order(&list, 0, Some(9)), [addr(1), addr(2), addr(3)], "no target any more");
    fail(&mut list, 1, 3);
    assert_eq!(order(&list, 1, Some(3)), [addr(1), addr(2), addr(3)]);
    fail(&mut list, 2, 1);
    fail(&mut list, 3, 2);
    assert_eq!(order(&list, 3, Some(2)), [addr(3), addr(1), addr(2)], "all: oldest failure");
    fail(&mut list, 4, 3);
    assert_eq!(order(&list, 4, None), [addr(1), addr(2), addr(3)], "so each in its turn");
    list.answered(addr(2));
    assert_eq!(order(&list, 4, None), [addr(2), addr(1), addr(3)]);
}

#[test]
fn a_failure_is_forgotten_after_a_while() {
    let mut list = list(&[&[1, 2]]);
    fail(&mut list, 10, 1);
    let later = 10 + TARGET_FAILED.as_secs();
    assert_eq!(order(&list, later - 1, None), [addr(2), addr(1)]);
    assert_eq!(order(&list, later, None), [addr(1), addr(2)]);
}

#[test]
fn more_targets_than_fit_are_not_used() {
    let full: Vec<u8> = (1..=8).collect();
    let list = list(&[&full, &[9]]);
    assert_eq!(list.all().len(), SERVER_TARGETS_MAX);
    assert_eq!((list.number(addr(9)), list.number(addr(2))), (None, Some(1)));
}
