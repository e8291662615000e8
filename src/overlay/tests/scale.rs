//! What keeps look-ups short and records where they belong while many vanish or move: who is asked
//! when, whose "no" counts, who is told, and what is repaired early.

use super::super::event::Reason;
use super::super::id::Node;
use super::super::lookup::{Goal, Lookup, REPLICAS, Word};
use super::super::table::Members;
use super::super::wire::{Body, Frame, NO_TOKEN};
use super::super::*;
use super::closest::way;
use super::gossip::converged;
use super::net::{Net, address, aor, contact};

const LATER: Instant = Instant::from_micros(100_000);
const USUAL: Duration = Duration::from_millis(100);

fn id(n: usize) -> NodeId {
    NodeId([n as u8; 16])
}

/// A look-up of records that knows so many, whose ids are the closer the less they are.
fn lookup(known: usize) -> Lookup {
    let goal = Goal::Records(LookupId(1), [0; 32]);
    let mut lookup =
        Lookup::new(goal, [0; 16], Instant::from_micros(1), (Duration::from_secs(1), false));
    for n in (1..=known).rev() {
        lookup.add(Node { id: id(n), address: address(n) }, false, way(0), || 0);
    }
    lookup
}

fn asked(lookup: &mut Lookup) -> Vec<NodeId> {
    core::iter::from_fn(|| lookup.next()).map(|(node, _)| node.id).collect()
}

#[test]
fn three_are_asked_and_all_replicas_once_nobody_answers_for_as_long_as_most_take() {
    let mut silent = lookup(20);
    assert_eq!(asked(&mut silent), [1, 2, 3].map(id));
    silent.widen(LATER, USUAL);
    assert_eq!(asked(&mut silent), [4, 5, 6, 7, 8, 9, 10, 11, 12].map(id));
    silent.widen(LATER + USUAL, USUAL);
    let behind = [13, 14, 15, 16, 17, 18, 19, 20, 1, 2, 3, 4];
    assert_eq!(asked(&mut silent), behind.map(id), "those may know who is nearer");
    let mut answered = lookup(20);
    asked(&mut answered);
    answered.answered(id(2), NO_TOKEN, Word::No);
    answered.widen(LATER, USUAL);
    assert_eq!(asked(&mut answered), [id(4)], "who knows nothing is an answer");
}

#[test]
fn where_there_is_nothing_no_more_are_asked_than_have_to_say_so() {
    let mut lookup = lookup(20);
    assert_eq!(asked(&mut lookup), [1, 2, 3].map(id));
    lookup.answered(id(1), NO_TOKEN, Word::No);
    assert_eq!(asked(&mut lookup), [id(4)]);
    for n in [2, 3] {
        lookup.answered(id(n), NO_TOKEN, Word::No);
        assert_eq!(asked(&mut lookup), []);
    }
    // One is young: what it lacks says nothing, and another is asked for it.
    lookup.answered(id(4), NO_TOKEN, Word::YoungNo);
    assert_eq!(asked(&mut lookup), [id(5)]);
    assert!(!lookup.is_done());
    lookup.answered(id(5), NO_TOKEN, Word::No);
    assert!(lookup.is_done());
}

#[test]
fn who_is_late_keeps_nobody_behind_from_being_asked() {
    let mut lookup = lookup(20);
    asked(&mut lookup);
    lookup.widen(LATER, USUAL);
    asked(&mut lookup);
    (1..=REPLICAS).for_each(|n| lookup.late(&id(n)));
    let more = asked(&mut lookup);
    assert_eq!(more[..8], [13, 14, 15, 16, 17, 18, 19, 20].map(id));
    assert_eq!(more[8..], [1, 2, 3, 4].map(id), "and who is late once more");
}

#[test]
fn the_no_of_who_is_beyond_the_twelve_closest_is_no_word() {
    let mut lookup = lookup(20);
    asked(&mut lookup);
    lookup.widen(LATER, USUAL);
    asked(&mut lookup);
    (1..=REPLICAS).for_each(|n| lookup.late(&id(n)));
    asked(&mut lookup);
    for n in 13..=20 {
        lookup.answered(id(n), NO_TOKEN, Word::No);
        assert!(!lookup.is_done(), "{n}");
    }
    (1..=3).for_each(|n| _ = lookup.answered(id(n), NO_TOKEN, Word::No));
    assert!(!lookup.is_done());
    lookup.answered(id(4), NO_TOKEN, Word::No);
    assert!(lookup.is_done());
}

#[test]
fn a_find_is_as_far_away_as_whoever_named_its_holder_and_one_more() {
    let mut lookup = lookup(3);
    assert_eq!(lookup.answered(id(3), NO_TOKEN, Word::No), way(1));
    lookup.add(Node { id: id(0), address: address(0) }, false, way(1), || 0);
    assert_eq!(lookup.answered(id(0), NO_TOKEN, Word::Yes), way(2));
    assert_eq!(lookup.answered(id(1), NO_TOKEN, Word::Yes), way(1));
    assert_eq!(lookup.hops, 2, "what was found first counts");
}

#[test]
fn how_long_most_answers_take_is_learned_and_one_slow_answer_changes_little() {
    let mut members = Members::new(64);
    let mut rng = Rng::new([3; 32]);
    for _ in 0..4000 {
        members.measure(&id(1), Duration::from_millis(u64::from(rng.below(100))));
    }
    let usual = members.usual();
    let near = Duration::from_millis(60)..Duration::from_millis(90);
    assert!(near.contains(&usual), "{usual:?}");
    members.measure(&id(1), Duration::from_secs(20));
    assert!(members.usual() < usual + usual / 16);
}

#[test]
fn owners_hear_at_once_where_a_holder_of_theirs_is_now() {
    let mut net = converged(21, 600);
    net.publish(0, &aor(0), &contact(0));
    net.run_ms(5000);
    let me = net.peers[0].node.me;
    let near = net.peers[0].node.members.closest::<20>(&me.0, |_| true);
    let holds = |p: &super::net::Peer| p.node.status().stored > 0;
    let far = |p: &super::net::Peer| near.iter().all(|node| node.address != p.address);
    let holder = (1..600).find(|i| holds(&net.peers[*i]) && far(&net.peers[*i])).unwrap();
    net.move_to(holder, address(3000));
    net.run_ms(2000);
    let there = net.peers[0].node.address_of(net.peers[holder].node.me);
    assert_eq!(there, Some(address(3000)));
}

#[test]
fn members_that_do_not_know_the_witness_reach_who_moved_for_it() {
    const N: usize = 600;
    let mut net = converged(22, N);
    for i in (0..N).step_by(20) {
        net.move_to(i, address(3000 + i));
        net.run_ms(2000);
    }
    net.run_ms(60_000);
    for peer in &net.peers {
        assert_eq!(peer.node.status().reason, Reason::OwnAddress, "{}", peer.address);
    }
    let refused: u64 = net.peers.iter().map(|p| p.node.counters().members_refused).sum();
    assert_eq!(refused, 0);
}

#[test]
fn where_others_vanish_what_is_published_is_touched_early() {
    let mut net = Net::joined(23, 40);
    net.publish(0, &aor(0), &contact(0));
    let touches = |net: &mut Net| {
        let kept = core::mem::take(&mut net.peers[0].keep);
        let frames = kept.iter().filter_map(|(_, data)| Frame::parse(data, &net.keys).ok());
        frames.filter(|f| matches!(f.body, Body::Touch(_, touch) if touch.record.1 > 0)).count()
    };
    net.run_ms(600_000);
    net.record = true;
    net.run_ms(600_000);
    assert_eq!(touches(&mut net), 0, "nothing is due, and nobody is missing");
    let idle = |p: &&mut super::net::Peer| p.node.status().stored == 0;
    net.peers[1..].iter_mut().filter(idle).take(8).for_each(|p| p.alive = false);
    net.run_ms(1_200_000);
    let early = touches(&mut net);
    assert!((REPLICAS..=3 * REPLICAS).contains(&early), "{early}");
}
