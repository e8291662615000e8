//! Whom a node takes for closest, whom of those it asks, and which answers are none.

use super::super::candidate::Way;
use super::super::id::{Named, Node, closer, insert_closest};
use super::super::lookup::{Goal, Lookup, Word};
use super::super::table::Members;
use super::super::wire::NO_TOKEN;
use super::super::wire_out::Encoder;
use super::super::*;
use super::net::{Net, address, aor, contact};
use crate::identity::record::Key;

fn drawn(rng: &mut Rng, n: usize) -> Node {
    Node { id: NodeId(rng.bytes()), address: address(n) }
}

#[test]
fn members_join_those_known_already_as_in_one_list() {
    let mut rng = Rng::new([7; 32]);
    for round in 0..200 {
        let mut members = Members::new(64);
        let mut all: Vec<Node> = (0..round).map(|n| drawn(&mut rng, n)).collect();
        all.iter().for_each(|node| assert!(members.prove(node, 1).is_ok()));
        let target: [u8; 16] = rng.bytes();
        let mut best = heapless::Vec::<Named, 12>::new();
        for n in 0..round % 15 {
            let node = drawn(&mut rng, 300 + n);
            insert_closest(best.as_mut_view(), &target, Named { node, age_h: 0 });
            all.push(node);
        }
        members.closest_into(&target, &|_| true, best.as_mut_view());
        all.sort_by(|a, b| closer(&target, &a.id.0, &b.id.0));
        let found: Vec<Node> = best.iter().map(|named| named.node).collect();
        assert_eq!(found[..], all[..all.len().min(12)], "{round}");
    }
}

/// Named by somebody so far away.
pub(super) fn way(hops: u8) -> Way {
    Way { hops, path: 0 }
}

fn look_up(rtts_us: &[u32]) -> Lookup {
    look_up_with(false, rtts_us)
}

pub(super) fn look_up_with(wary: bool, rtts_us: &[u32]) -> Lookup {
    let goal = Goal::Records(LookupId(1), [0; 32]);
    let hedge = (Duration::from_secs(1), wary);
    let mut lookup = Lookup::new(goal, [0; 16], Instant::from_micros(1), hedge);
    for (n, rtt_us) in (100..).zip(rtts_us) {
        lookup.add(Node { id: NodeId([n; 16]), address: address(n.into()) }, false, way(0), || {
            *rtt_us
        });
    }
    lookup
}

pub(super) fn asked(lookup: &mut Lookup) -> Vec<u8> {
    core::iter::from_fn(|| lookup.next()).map(|(node, _)| node.id.0[0]).collect()
}

#[test]
fn of_the_closest_those_are_asked_whose_answers_take_the_shortest_way() {
    let mut lookup = look_up(&[70, 20, 90, 30, 80, 10, 1, 1, 1, 1, 1, 1]);
    assert_eq!(asked(&mut lookup), [101, 103, 100], "none of those who may be no replicas");
}

#[test]
fn noes_of_those_who_are_not_among_the_closest_any_more_keep_nobody_from_being_asked() {
    let mut lookup = look_up(&[1; 4]);
    let first = asked(&mut lookup);
    first.iter().for_each(|n| _ = lookup.answered(NodeId([*n; 16]), NO_TOKEN, Word::No));
    for n in 1..=12 {
        lookup.add(Node { id: NodeId([n; 16]), address: address(n.into()) }, false, way(1), || 1);
    }
    assert!(!lookup.is_done());
    assert_eq!(asked(&mut lookup), [1, 2, 3]);
}

/// Where there are certificates, so that a liar cannot be close to a key by itself.
#[test]
fn members_that_a_liar_names_take_nobodys_place_and_do_not_say_that_there_is_nothing() {
    let mut lookup = look_up_with(true, &[1; 12]);
    let first = asked(&mut lookup);
    assert_eq!(first, [100, 101, 102]);
    lookup.answered(NodeId([100; 16]), NO_TOKEN, Word::No);
    for n in 1..=20 {
        lookup.add(Node { id: NodeId([n; 16]), address: address(n.into()) }, false, way(1), || 1);
    }
    let mut named = 0;
    while let Some((node, _)) = lookup.next() {
        named += usize::from(node.id.0[0] <= 20);
        let word = if node.id.0[0] == 103 { Word::Yes } else { Word::No };
        lookup.answered(node.id, NO_TOKEN, word);
        if node.id.0[0] == 103 {
            lookup.owner(NodeId([9; 16])).unwrap().seq = 1;
        }
        assert!(node.id.0[0] == 103 || !lookup.is_done(), "the liars' word is not enough");
    }
    assert!(lookup.found() == 1 && named <= 8, "{named} of those named");
}

#[test]
fn who_held_it_before_others_came_nearer_is_not_believed_alone() {
    let mut lookup = look_up(&[1; 3]);
    let first = asked(&mut lookup);
    first.iter().for_each(|n| _ = lookup.answered(NodeId([*n; 16]), NO_TOKEN, Word::Yes));
    lookup.owner(NodeId([9; 16])).unwrap().seq = 1;
    assert!(lookup.is_done());
    for n in 1..=15 {
        lookup.add(Node { id: NodeId([n; 16]), address: address(n.into()) }, false, way(1), || 1);
    }
    assert_eq!(asked(&mut lookup), [1, 2, 3], "they may have a newer one");
    (1..=3).for_each(|n| lookup.late(&NodeId([n; 16])));
    assert_eq!(asked(&mut lookup)[..3], [4, 5, 6], "nobody waits for who is silent");
}

#[test]
fn that_the_closest_are_not_where_they_were_said_to_be_is_no_word_for_there_being_nothing() {
    let mut lookup = look_up(&[1; 20]);
    let mut all = Vec::new();
    while !all.contains(&111) {
        let now = asked(&mut lookup);
        now.iter().filter(|n| **n < 111).for_each(|n| _ = lookup.drop(&NodeId([*n; 16])));
        all.extend(now);
    }
    lookup.answered(NodeId([111; 16]), NO_TOKEN, Word::No);
    assert!(!lookup.is_done(), "one of the twelve closest has said so");
    lookup.add(Node { id: NodeId([101; 16]), address: address(1) }, false, way(1), || 1);
    assert!(!lookup.is_done());
    assert!(asked(&mut lookup).contains(&101), "it may be elsewhere");
}

#[test]
fn who_has_moved_is_asked_at_newer_addresses_though_others_believe_in_older_ones() {
    let mut lookup = look_up(&[1]);
    let mut tried = 0;
    for n in 1..20 {
        let Some((node, _)) = lookup.next() else { break };
        tried += 1;
        lookup.drop(&node.id);
        lookup.add(Node { address: address(n), ..node }, false, way(1), || 1);
    }
    assert_eq!(tried, 8);
}

const NODES: usize = 40;

/// A network in which an AOR is published, and one more node that knows nobody.
fn published(seed: u8) -> Net {
    let mut net = Net::joined(seed, NODES);
    let now = net.now;
    net.with(1, |node| node.publish(now, &aor(1), &contact(1)).unwrap());
    net.run_ms(5_000);
    net.add(NODES, &[]);
    net
}

/// As after a night in which all addresses were given to others.
#[test]
fn those_who_live_where_the_closest_were_said_to_be_tell_where_they_are() {
    let mut net = published(32);
    for n in 0..NODES {
        let node = Node { id: net.peers[n].node.me, address: address((n + 7) % NODES) };
        net.with(NODES, |asker| asker.hints.learn(&Named { node, age_h: 0 }, 0, true));
    }
    let now = net.now;
    net.with(NODES, |asker| asker.lookup(now, &aor(1)));
    net.run_ms(2_000);
    assert_eq!(net.peers[NODES].found.len(), 1);
}

/// As where all of them have moved, and nobody lives where they were.
#[test]
fn where_none_of_the_closest_answers_those_are_asked_who_were_heard_just_now() {
    let mut net = published(35);
    let (now, key) = (net.now, Key::of(&net.keys.aor_key(&aor(1))));
    let id = |net: &Net, n: usize| net.peers[n].node.me;
    let far = |a: &usize, b: &usize| closer(&key.0, &id(&net, *a).0, &id(&net, *b).0);
    let farthest = (0..NODES).max_by(far).unwrap();
    for n in (0..NODES).filter(|n| *n != farthest) {
        let node = Node { id: id(&net, n), address: address(100 + n) };
        net.with(NODES, |asker| asker.hints.learn(&Named { node, age_h: 0 }, 0, true));
    }
    let there = Node { id: id(&net, farthest), address: address(farthest) };
    net.with(NODES, |asker| asker.members.prove(&there, asker.seconds(now)).is_ok());
    net.with(NODES, |asker| asker.lookup(now, &aor(1)));
    net.run_ms(2_000);
    assert_eq!(net.peers[NODES].found.len(), 1);
}

#[test]
fn how_far_away_a_stranger_is_tell_members_of_its_network() {
    let mut rng = Rng::new([8; 32]);
    let mut members = Members::new(64);
    let at = |text: &str| text.parse::<SocketAddr>().unwrap();
    let mut prove = |members: &mut Members, address: &str, ms: u64| {
        let node = Node { id: NodeId(rng.bytes()), address: at(address) };
        assert!(members.prove(&node, 1).is_ok());
        members.measure(&node.id, Duration::from_millis(ms));
    };
    prove(&mut members, "192.0.2.1:1", 300);
    prove(&mut members, "192.0.7.1:1", 40);
    prove(&mut members, "[2001:db8:1::1]:1", 90);
    for _ in 0..50 {
        prove(&mut members, "127.0.0.1:1", 5);
    }
    let ms = |address: &str| members.likely_rtt_us(&at(address)) / 1000;
    assert_eq!(ms("192.0.2.9:5"), 300, "the same /24, though slower than most");
    assert_eq!(ms("192.0.9.9:5"), 40, "the fastest of the same /16");
    assert_eq!(ms("[2001:db8:9::1]:5"), 90);
    assert!(ms("198.51.100.1:5") < 20, "like anybody");
}

#[test]
fn an_answer_of_another_kind_keeps_no_search_waiting() {
    let mut net = Net::joined(31, 6);
    net.peers.iter_mut().skip(1).for_each(|peer| peer.alive = false);
    net.record = true;
    let now = net.now;
    net.with(0, |node| {
        node.harvest.begin();
        node.harvest_tick(now);
    });
    let asked = core::mem::take(&mut net.peers[0].keep);
    assert_eq!(asked.len(), 4);
    for (to, data) in asked {
        let request = Frame::parse(&data, &net.keys).unwrap().request;
        let liar = net.peers.iter().find(|peer| peer.address == to).unwrap();
        let asker = Node { id: net.peers[0].node.me, address: net.peers[0].address };
        let hello = liar.node.hello(now, &asker);
        let answer = { Encoder::pong(liar.node.me, request, &hello) }.finish(&net.keys, 0).to_vec();
        let heard = net.with(0, |node| node.handle_datagram(now, to, &answer));
        assert_eq!(heard, Err(Rejected::Malformed));
    }
    net.peers[0].keep.clear();
    net.with(0, |node| node.harvest_tick(now));
    let finds = |(_, data): &&(SocketAddr, Vec<u8>)| {
        matches!(Frame::parse(data, &net.keys).unwrap().body, Body::Find(..))
    };
    assert_eq!(net.peers[0].keep.iter().filter(finds).count(), 4, "it asks others");
}
