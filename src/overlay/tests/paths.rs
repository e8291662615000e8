//! Look-ups among members that somebody has invented, and the size of the network.

use super::super::candidate::Way;
use super::super::id::{Named, Node};
use super::super::lookup::Word;
use super::super::wire::NO_TOKEN;
use super::super::wire_out::{Content, Encoder};
use super::super::*;
use super::certified::certified;
use super::closest::{asked, look_up_with};
use super::net::{Net, address, aor, contact};
use crate::identity::record::Key;

const NODES: usize = 60;
/// Where those live who answer as invented members.
const LAIRS: usize = 300;

#[test]
fn who_shows_no_certificate_does_not_say_that_there_is_nothing() {
    let mut lookup = look_up_with(true, &[1; 14]);
    let id = |n: u8| NodeId([n; 16]);
    let mut said = 0;
    while let Some((node, _)) = lookup.next() {
        lookup.answered(node.id, NO_TOKEN, Word::No);
        said += 1;
        if said < 4 {
            lookup.unmask(&node.id);
        }
        assert!(!lookup.denied());
    }
    assert_eq!(said, 14, "two of those who are no liars take their places");
    [103, 104, 105].iter().for_each(|n| lookup.prove(&id(*n)));
    assert!(!lookup.denied(), "the liars' word does not count");
    lookup.prove(&id(106));
    assert!(lookup.denied() && lookup.is_done());
}

#[test]
fn three_have_to_agree_on_a_record_where_others_have_none_or_an_older_one() {
    let mut lookup = look_up_with(true, &[1; 12]);
    assert_eq!(asked(&mut lookup), [100, 101, 102]);
    let id = |n: u8| NodeId([n; 16]);
    let tell = |lookup: &mut lookup::Lookup, n: u8, seq: u64| {
        lookup.answered(id(n), NO_TOKEN, if seq > 0 { Word::Yes } else { Word::No });
        let known = lookup.owner(id(9)).unwrap().seq;
        if seq > 0 {
            lookup.agree(seq, known);
            lookup.verified(id(9), (seq, 0), false);
        }
    };
    tell(&mut lookup, 100, 5);
    tell(&mut lookup, 101, 0);
    assert_eq!(asked(&mut lookup), [103], "one more for the one that has none");
    tell(&mut lookup, 102, 7);
    assert_eq!(asked(&mut lookup), [104], "and for the older one");
    tell(&mut lookup, 103, 7);
    assert!(asked(&mut lookup).is_empty() && !lookup.is_done());
    tell(&mut lookup, 104, 7);
    assert!(asked(&mut lookup).is_empty() && lookup.is_done());
}

#[test]
fn numbers_that_are_not_verified_keep_nobody_from_agreeing() {
    let mut lookup = look_up_with(true, &[1; 12]);
    let id = |n: u8| NodeId([n; 16]);
    let mut tell = |n: u8, seq: u64, signed: bool| {
        assert!(asked(&mut lookup).contains(&n) || lookup.knows(&id(n)));
        lookup.answered(id(n), NO_TOKEN, Word::Yes);
        let known = lookup.owner(id(9)).unwrap().seq;
        lookup.agree(seq, known);
        if signed {
            lookup.verified(id(9), (seq, 0), false);
        }
        lookup.agreeing()
    };
    assert_eq!(tell(100, 5, true), 1);
    assert_eq!(tell(101, 99, false), 1, "anybody can say so");
    assert_eq!(tell(102, 5, true), 2);
    assert_eq!(tell(103, 99, false), 2);
    assert_eq!(tell(104, 5, true), 3);
    assert_eq!(tell(105, 7, true), 1, "what is verified counts");
}

#[test]
fn four_of_the_twelve_who_lie_do_not_keep_the_others_from_being_heard() {
    let mut lookup = look_up_with(true, &[1; 14]);
    let id = |n: u8| NodeId([n; 16]);
    let deny = |lookup: &mut lookup::Lookup, n: u8| {
        lookup.answered(id(n), NO_TOKEN, Word::No);
        lookup.prove(&id(n));
    };
    assert_eq!(asked(&mut lookup), [100, 101, 102]);
    deny(&mut lookup, 100);
    deny(&mut lookup, 101);
    assert_eq!(asked(&mut lookup), (103..112).collect::<Vec<_>>(), "all at once");
    (102..111).for_each(|n| deny(&mut lookup, n));
    assert!(lookup.denied() && !lookup.is_done(), "one of them may have it");
    lookup.late(&id(111));
    assert!(lookup.is_done(), "who is late keeps nobody waiting");
}

#[test]
fn paths_are_asked_beside_one_another_and_nobody_on_two() {
    let mut lookup = look_up_with(true, &[1; 12]);
    let node = |n: u8| Node { id: NodeId([n; 16]), address: address(n.into()) };
    for (n, path) in [(150, 1), (151, 1), (160, 2), (150, 3), (170, 3)] {
        lookup.add(node(n), false, Way { hops: 0, path }, || 1);
    }
    lookup.parted = true;
    let now = asked(&mut lookup);
    assert_eq!(now[..3], [150, 160, 170], "the first of each path");
    assert!(!now.contains(&151));
    lookup.answered(node(150).id, NO_TOKEN, Word::No);
    assert!(asked(&mut lookup).contains(&151));
    // Each names four next to the key: three of them are kept, and those of others stay.
    for path in [2, 3] {
        (1..5).for_each(|n| {
            lookup.add(node(10 * path + n), false, Way { hops: 1, path }, || 1);
        });
    }
    lookup.answered(node(160).id, NO_TOKEN, Word::No);
    lookup.answered(node(170).id, NO_TOKEN, Word::No);
    let named = |c: &&candidate::Candidate| c.way.hops == 2;
    assert_eq!(lookup.candidates.iter().filter(named).count(), 6);
    assert!(!lookup.is_done(), "they are heard before there is nothing");
}

/// A certified network in which an AOR is published, and more members are invented next to its key
/// and to that of another than there are closest ones.
fn haunted(seed: u8) -> Net {
    let mut net = certified(seed, NODES);
    net.publish(1, &aor(1), &contact(1));
    net.run_ms(5_000);
    let now = net.now;
    for n in 0..NODES {
        net.with(n, |node| node.measure_size(now));
    }
    net
}

fn invented(key: &Key, n: usize) -> NodeId {
    let mut id = NodeId(key.0);
    id.0[7] ^= n as u8 + 1;
    id.0[8..].fill(0);
    id
}

fn invent(net: &mut Net, at: usize, of: usize) {
    let key = Key::of(&net.keys.aor_key(&aor(of)));
    for n in 0..16 {
        let id = invented(&key, n);
        let named = Named { node: Node { id, address: address(LAIRS + n) }, age_h: 0 };
        net.with(at, |node| node.hints.learn(&named, 0, true));
    }
}

/// Those who were invented say that there is nothing.
fn deny(net: &mut Net, at: usize) -> usize {
    let (now, keys) = (net.now, net.keys.clone());
    let mut denied = 0;
    for (to, data) in core::mem::take(&mut net.peers[at].keep) {
        let Ok(frame) = Frame::parse(&data, &keys) else { continue };
        let (Body::Get(_, key, _), true) = (frame.body, lair(&to)) else { continue };
        let asker = Node { id: net.peers[at].node.me, address: net.peers[at].address };
        let lair = (0..16).find(|n| address(LAIRS + n) == to).unwrap();
        let mut id = invented(&key, lair);
        id.0[8..].fill(7);
        let hello = net.peers[0].node.hello(now, &asker);
        let content = Content::Nothing;
        let answer = Encoder::value(id, frame.request, &hello, &content, &[], &[], wire::GET_BYTES);
        let answer = { answer }.finish(&keys, wire::GET_BYTES).to_vec();
        net.with(at, |node| node.handle_datagram(now, to, &answer)).unwrap();
        denied += 1;
    }
    denied
}

fn lair(to: &SocketAddr) -> bool {
    (LAIRS..LAIRS + 16).any(|n| address(n) == *to)
}

/// Node 5 looks somebody up. Returns how many were found, after how long, and how many of those
/// that were invented had said by then that there is nothing.
fn look_up(net: &mut Net, of: usize) -> (u8, Duration, usize) {
    let (now, mut denied, until) = (net.now, 0, net.peers[5].done.len());
    net.record = true;
    net.with(5, |node| node.lookup(now, &aor(of)));
    while net.peers[5].done.len() == until {
        denied += deny(net, 5);
        net.run_ms(5);
    }
    let (at, _, found) = *net.peers[5].done.last().unwrap();
    (found, at.since(now), denied)
}

#[test]
fn a_callee_whose_key_is_hidden_behind_invented_members_is_found_as_soon_by_other_paths() {
    let mut net = haunted(61);
    invent(&mut net, 5, 1);
    let (found, took, denied) = look_up(&mut net, 1);
    assert_eq!((found, net.peers[5].found[0].1.contact.clone()), (1, contact(1)));
    assert!(took < Duration::from_millis(90), "a round trip, and one to hear more: {took:?}");
    let counters = net.peers[5].node.counters();
    assert_eq!((counters.lookups_crowded, counters.unmasked), (1, denied as u64));
}

#[test]
fn invented_members_that_seem_no_crowd_are_found_out_when_they_say_that_there_is_nothing() {
    let mut net = haunted(65);
    invent(&mut net, 5, 1);
    net.with(5, |node| node.size = size::Size::default());
    let (found, took, denied) = look_up(&mut net, 1);
    assert!(found == 1 && denied >= 3, "{found}, {denied}");
    assert!(took < Duration::from_millis(200), "{took:?}");
    let counters = net.peers[5].node.counters();
    assert_eq!((counters.lookups_crowded, counters.unmasked), (0, denied as u64));
    let (_, _, again) = look_up(&mut net, 1);
    assert!(again <= 16 - denied, "who was found out is asked no more");
}

#[test]
fn that_nobody_has_an_aor_is_known_as_soon_though_members_are_invented() {
    let mut net = haunted(62);
    let (found, took, _) = look_up(&mut net, 77);
    assert!(found == 0 && took < Duration::from_millis(90), "two round trips: {took:?}");
    invent(&mut net, 5, 77);
    let (found, took, _) = look_up(&mut net, 77);
    assert!(found == 0 && took < Duration::from_millis(300), "{took:?}");
}

#[test]
fn a_record_goes_to_proven_members_whoever_is_invented_next_to_its_key() {
    let mut net = haunted(63);
    invent(&mut net, 9, 9);
    net.publish(9, &aor(9), &contact(9));
    net.run_ms(20_000);
    assert!(net.peers[9].node.is_published(&aor(9)).unwrap() >= 12);
    let holders: Vec<Node> = net.peers[9].node.holders().collect();
    assert!(holders.iter().all(|holder| !lair(&holder.address)), "{holders:?}");
    let reader = (9 + NODES / 2) % NODES;
    assert_eq!(net.resolve(reader, &aor(9)).0.len(), 1);
}

#[test]
fn how_many_members_there_are_follows_from_how_dense_they_are_and_what_hints_add_is_noticed() {
    let mut net = haunted(64);
    let status = net.peers[1].node.status();
    let estimate = status.size_estimate.unwrap();
    assert!((NODES / 2..NODES * 2).contains(&estimate), "{estimate}");
    assert!(!status.size_doubt);
    // Others tell of three times as many, everywhere.
    let mut rng = Rng::new([3; 32]);
    for n in 0..3 * NODES {
        let mut id = NodeId(rng.bytes());
        id.0[8..].fill(0);
        let named = Named { node: Node { id, address: address(LAIRS + n) }, age_h: 0 };
        net.with(1, |node| node.hints.learn(&named, 0, true));
    }
    for day in 0..2 {
        let now = net.now;
        net.with(1, |node| node.measure_size(now));
        net.with(1, |node| node.measure_size(now));
        assert!(net.peers[1].node.status().size_doubt);
        assert_eq!(net.peers[1].node.counters().size_doubts, day + 1, "once a day");
        net.now += Duration::from_secs(24 * 3600);
    }
}
