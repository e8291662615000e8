//! What becomes of records whose holders start anew elsewhere, and what hostile ones may do.

use super::super::holders::REFRESH_PAUSE;
use super::super::id::{Node, distance};
use super::super::lookup::{Goal, Lookup, OWNERS_MAX, REPLICAS};
use super::super::wire::{Body, Frame, Hello, Standing};
use super::super::wire_out::{Content, Encoder};
use super::super::*;
use super::net::{Net, SECRET, address, aor, contact, identity};
use crate::identity::record::{Key, Record};

#[test]
fn a_holder_that_names_ever_newer_records_is_asked_for_few_of_them() {
    let mut net = Net::joined(70, 2);
    let keys = NetworkKeys::new(&SECRET, "test");
    let (now, holder) = (net.now, net.peers[1].node.id());
    let aor_key = keys.aor_keys(&aor(9)).next().unwrap();
    let record = Record::sign(&identity(50), keys.network(), &aor_key, 1, None);
    let hello = Hello {
        token: [1; 8],
        young: false,
        standing: Standing::Listed,
        kept: false,
        six: false,
        start: 0,
        list: 0,
        observed: address(0),
    };
    net.peers[1].alive = false;
    net.record = true;
    net.lookup(0, &aor(9));
    let (mut asked, mut seq) = (0, 1);
    for _ in 0..8 {
        for (_, data) in core::mem::take(&mut net.peers[0].keep) {
            let frame = Frame::parse(&data, &keys).unwrap();
            let Body::Get(..) = frame.body else { continue };
            (asked, seq) = (asked + 1, seq + 1);
            let others: Vec<(NodeId, u64)> = (1..8).map(|n| (NodeId([n; 16]), seq)).collect();
            let found = Content::Record(record.as_bytes(), None);
            let request = frame.request;
            let answer = Encoder::value(holder, request, &hello, &found, &others, &[], 1200);
            let answer = { answer }.finish(&keys, data.len()).to_vec();
            let _ = net.with(0, |node| node.handle_datagram(now, address(1), &answer));
        }
    }
    assert!((2..=1 + OWNERS_MAX).contains(&asked), "{asked}");
    assert_eq!(net.peers[0].node.counters().requests_full, 0);
}

#[test]
fn owners_that_a_holder_made_up_make_room_for_one_whose_record_came() {
    let goal = Goal::Records(LookupId(1), [0; 32]);
    let mut lookup =
        Lookup::new(goal, [0; 16], Instant::from_micros(1), (Duration::from_secs(1), false));
    let made_up = |n: usize| Node { id: NodeId([n as u8; 16]), address: address(n) }.id;
    for n in 0..OWNERS_MAX {
        assert!(lookup.names(made_up(n), u64::MAX));
    }
    assert!(!lookup.names(made_up(99), u64::MAX));
    let real = identity(3).id();
    lookup.owner(real).unwrap().seq = 7;
    assert_eq!(lookup.found(), 1);
    for n in 20..40 {
        lookup.owner(made_up(n));
    }
    assert_eq!(lookup.found(), 1, "what was verified stays");
}

#[test]
fn who_was_touched_just_before_others_vanish_is_touched_again_soon() {
    let mut net = Net::joined(37, 20);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3_000);
    let now = net.now;
    let next = |net: &Net| {
        let (_, publication) = net.peers[5].node.publications.iter().next().unwrap();
        publication.refresh_at.since(now)
    };
    assert!(next(&net) > REFRESH_PAUSE * 3, "hourly");
    for _ in 0..2 {
        net.peers[5].node.refresh_early(now);
        assert!(next(&net) <= REFRESH_PAUSE, "soon, though it was touched just now");
        assert!(next(&net) > REFRESH_PAUSE / 2, "not again within the pause");
    }
    let refreshed = |net: &Net| {
        let (_, publication) = net.peers[5].node.publications.iter().next().unwrap();
        net.now.since(publication.refreshed_at)
    };
    net.run_ms(360_000);
    assert!(refreshed(&net) < Duration::from_secs(120));
}

/// As where lines come back one after another: who has booted tells nobody that it holds nothing,
/// but where it is.
#[test]
fn holders_that_boot_and_get_another_address_are_given_the_record_again() {
    const NODES: usize = 20;
    let mut net = Net::joined(36, NODES);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3_000);
    for i in (7..NODES).rev() {
        net.peers[i].address = address(1000 + i);
        net.restart(i, &[], &[address(0), address(6)]);
        net.run_ms(3_000);
    }
    net.run_ms(60_000);
    assert_closest_hold(&net, 5, &closest_to_record_of(&net, 5));
}

/// An owner need not know who is closest by now: readers ask those.
#[test]
fn where_holders_vanish_the_record_goes_to_whoever_is_closest_then() {
    let mut net = Net::joined(38, 100);
    net.publish(5, &aor(5), &contact(5));
    // Who has started lately searches anyway.
    net.run_ms(900_000);
    let closest = closest_to_record_of(&net, 5);
    let next: Vec<Node> = closest[REPLICAS..REPLICAS * 2]
        .iter()
        .map(|i| Node { id: net.peers[*i].node.id(), address: net.peers[*i].address })
        .collect();
    for vanished in &closest[..REPLICAS / 3] {
        net.peers[*vanished].alive = false;
    }
    let now = net.now;
    net.with(5, |owner| {
        for node in &next {
            owner.members.remove(&node.id);
            owner.hints.forget(node);
        }
        owner.refresh_early(now);
    });
    net.run_ms(240_000);
    assert_closest_hold(&net, 5, &closest[REPLICAS / 3..]);
}

/// All nodes but the owner, those first that are closest to the AOR that it publishes.
fn closest_to_record_of(net: &Net, owner: usize) -> Vec<usize> {
    let key = Key::of(&net.keys.aor_key(&aor(owner)));
    let mut closest: Vec<usize> = (0..net.peers.len()).filter(|i| *i != owner).collect();
    closest.sort_by_key(|i| distance(&key.0, &net.peers[*i].node.me.0));
    closest
}

fn assert_closest_hold(net: &Net, owner: usize, closest: &[usize]) {
    let key = Key::of(&net.keys.aor_key(&aor(owner)));
    let lacks = |i: &&usize| net.peers[**i].node.store.set(&key).next().is_none();
    let without: Vec<_> = closest.iter().take(REPLICAS).filter(lacks).collect();
    assert!(without.is_empty(), "{without:?}");
}
