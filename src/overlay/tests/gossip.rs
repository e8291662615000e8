//! Hints in networks of more members than a node proves: they reach everybody, once, and cost what
//! was reckoned; what a liar says of others is asked, and believed by nobody.

use super::super::id::{Named, Node, closer, same};
use super::super::judge::Judged;
use super::super::wire_out::{Encoder, named_bytes};
use super::super::*;
use super::net::{Net, address, aor, contact};
use crate::limits::OVERLAY_MEMBERS_MAX;

/// A network of `n` members, each of whom has hints of all and has proven its neighbours and some
/// others.
pub(super) fn converged(seed: u8, n: usize) -> Net {
    let mut net = Net::new(seed, 20);
    for i in 0..n {
        net.add(i, &[]);
    }
    let all: Vec<Node> =
        net.peers.iter().map(|p| Node { id: p.node.id(), address: p.address }).collect();
    let now = net.now;
    for i in 0..n {
        let node = &mut net.peers[i].node;
        let mut nearest: Vec<Node> = all.iter().filter(|n| n.id != node.me).copied().collect();
        for other in &nearest {
            node.hints.learn(&hint(other.id, other.address), 0, false);
        }
        nearest.sort_by(|a, b| closer(&node.me.0, &a.id.0, &b.id.0));
        for other in nearest.iter().take(20).chain(nearest.iter().step_by(n / 30)) {
            node.members.prove(other, 1).unwrap();
        }
        node.judge.pretend(now, Judged::Member);
        node.join = bootstrap::Join::over();
        node.gossip = gossip::Gossip::announced(now, [Some(address(i)), None], &mut node.rng);
        net.after(i);
    }
    net.run_ms(300_000);
    net
}

fn hint(mut id: NodeId, address: SocketAddr) -> Named {
    id.0[8..].fill(0);
    Named { node: Node { id, address }, age_h: 0 }
}

/// How many hints of nodes that moved were sent; how many datagrams with hints, and the bytes of
/// all that is no hint in them.
fn spread(net: &mut Net) -> (usize, usize, usize) {
    let (mut hints, mut datagrams, mut bytes) = (0, 0, 0);
    let keys = net.keys.clone();
    for (_, data) in net.peers.iter_mut().flat_map(|peer| core::mem::take(&mut peer.keep)) {
        let Body::Hints(_, _, named) = Frame::parse(&data, &keys).unwrap().body else { continue };
        let of_moved = |n: &Named| n.node.address.ip() >= address(2000).ip();
        hints += named.iter().filter(of_moved).count();
        datagrams += 1;
        bytes += data.len() + 28 - 15 * named.iter().count();
    }
    (hints, datagrams, bytes)
}

/// How many nodes know that node `i` is at `at`.
fn knowing(net: &Net, i: usize, at: SocketAddr) -> usize {
    let id = net.peers[i].node.id();
    let knows = |p: &&super::net::Peer| {
        let known = p.node.closest_known::<1>(net.now, &id.0, true);
        p.address == at || known[0].node.address == at && same(&known[0].node.id, &id)
    };
    net.peers.iter().filter(knows).count()
}

#[test]
fn a_new_address_reaches_each_node_once_and_costs_what_was_reckoned() {
    const N: usize = 700;
    let mut net = converged(1, N);
    net.record = true;
    let moved: Vec<usize> = (0..N).step_by(14).collect();
    for i in &moved {
        net.move_to(*i, address(2000 + i));
        net.run_ms(500);
    }
    net.run_ms(3_300_000);
    net.record = false;
    let (hints, datagrams, bytes) = spread(&mut net);
    for i in &moved {
        assert_eq!(knowing(&net, *i, address(2000 + i)), N, "{i}");
    }
    assert_eq!(hints, moved.len() * (N - 1));
    assert_eq!(bytes, 81 * datagrams);
    // Within an hour, some eight a round.
    assert!(datagrams < N * 12 * 8, "{datagrams} for {hints} hints");
    let failed: u64 = net.peers.iter().map(|p| p.node.counters().gossip_failed).sum();
    assert_eq!(failed, 0);
}

#[test]
fn lost_datagrams_lose_no_hint() {
    const N: usize = 600;
    let mut net = converged(2, N);
    net.loss_percent = 1;
    let moved: Vec<usize> = (0..N).step_by(30).collect();
    for i in &moved {
        net.move_to(*i, address(2000 + i));
        net.run_ms(1000);
    }
    net.run_ms(3_300_000);
    let known: usize = moved.iter().map(|i| knowing(&net, *i, address(2000 + i))).sum();
    let wanted = moved.len() * N;
    assert!(known >= wanted * 999 / 1000, "{known} of {wanted}");
}

/// As when a district loses power: most of those whom anybody would ask to spread are gone.
#[test]
fn where_most_are_gone_the_tree_finds_those_who_are_left() {
    const N: usize = 600;
    let mut net = converged(11, N);
    (0..N).filter(|i| i % 6 > 0).for_each(|i| net.peers[i].alive = false);
    let moved: Vec<usize> = (0..N).step_by(60).collect();
    for i in &moved {
        net.move_to(*i, address(2000 + i));
        net.run_ms(1000);
    }
    net.run_ms(1_800_000);
    let known: usize = moved.iter().map(|i| knowing(&net, *i, address(2000 + i))).sum();
    // The dead know nothing new.
    let wanted = moved.len() * N / 6;
    assert!(known >= wanted * 9 / 10, "{known} of {wanted}");
}

#[test]
fn an_idle_member_of_a_large_network_costs_less_than_its_neighbours_budget() {
    const N: usize = 600;
    let mut net = converged(3, N);
    let bytes = |net: &Net| -> u64 {
        let of = |c: &Counters| c.bytes_in + c.bytes_out + 28 * (c.datagrams_in + c.datagrams_out);
        net.peers.iter().map(|p| of(p.node.counters())).sum()
    };
    let before = bytes(&net);
    net.run_ms(1_800_000);
    let per_s = (bytes(&net) - before) / N as u64 / 1800;
    assert!(per_s < 18, "{per_s} B/s");
}

#[test]
fn a_look_up_is_one_question_with_hints_and_needs_none() {
    const N: usize = 600;
    let mut net = converged(4, N);
    for i in 0..10 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(20_000);
    for i in 0..10 {
        let reader = 300 + i;
        let (found, took) = net.resolve(reader, &aor(i));
        assert_eq!(found[0].contact, contact(i));
        assert!(took < Duration::from_millis(45), "{took:?}");
        // The same without a single hint at the reader, and without proven members near the key.
        let node = &mut net.peers[reader].node;
        node.hints = hints::Hints::new(&node.me, 64, &mut node.rng);
        let (found, took) = net.resolve(reader, &aor(i));
        assert_eq!(found[0].contact, contact(i));
        assert!(took < Duration::from_millis(400), "{took:?}");
    }
}

#[test]
fn who_joins_a_large_network_has_hints_of_it_within_two_minutes() {
    const N: usize = 900;
    let mut net = converged(5, N);
    let joiner = net.add(N, &[address(3)]);
    net.run_ms(120_000);
    let node = &net.peers[joiner].node;
    assert!(node.status().joined && node.hints.len() > N * 95 / 100, "{}", node.hints.len());
    let c = node.counters();
    assert!(c.bytes_in + c.bytes_out < 400_000, "{}", c.bytes_in + c.bytes_out);
    // And the network has heard of it.
    net.run_ms(3_300_000);
    assert_eq!(knowing(&net, joiner, address(N)), N + 1);
}

#[test]
fn proven_members_are_bounded_and_those_who_matter_stay() {
    let mut net = converged(6, 700);
    let me = net.peers[0].node.me;
    let nearest = net.peers[0].node.members.closest::<16>(&me.0, |_| true);
    let now = net.now;
    for i in 1..700 {
        let other = Node { id: net.peers[i].node.id(), address: address(i) };
        net.with(0, |node| node.list(now, &other, false));
        net.run_ms(100);
    }
    let node = &net.peers[0].node;
    assert_eq!(node.status().peers, OVERLAY_MEMBERS_MAX);
    assert!(node.counters().members_demoted > 100 && node.counters().table_full == 0);
    assert_eq!(node.members.closest::<16>(&me.0, |_| true), nearest);
    assert_eq!(node.hints.len(), 699, "who gave way is known by a hint");
}

/// A member of the network that says what it likes: sends hints to node `to`.
fn lie(net: &mut Net, liar: usize, to: usize, hints: &[Named]) {
    let keys = net.keys.clone();
    let (me, from) = (net.peers[liar].node.id(), net.peers[liar].address);
    let level = id::common_bits(&me, &net.peers[to].node.me) as u8 + 1;
    let token = net.peers[to].node.guard.token(&from);
    for some in hints.chunks(40) {
        let mut bytes = Vec::new();
        for named in some {
            let mut one = heapless::Vec::new();
            named_bytes(named, &mut one);
            bytes.extend(one);
        }
        let count = some.len() as u8;
        let frame = Encoder::hints(me, 9, &token, level, (count, &bytes), &from);
        let data = { frame }.finish(&keys, 0).to_vec();
        let now = net.now;
        let _ = net.with(to, |node| node.handle_datagram(now, from, &data));
    }
}

#[test]
fn a_hint_does_not_displace_a_proven_address_until_that_fails() {
    let mut net = Net::joined(7, 6);
    let id = net.peers[2].node.id();
    net.record = true;
    for _ in 0..20 {
        lie(&mut net, 1, 0, &[hint(id, address(66))]);
        net.run_ms(1000);
    }
    net.record = false;
    assert_eq!(net.peers[0].node.address_of(id), Some(address(2)));
    let probes = net.peers[0].keep.iter().filter(|(to, _)| *to == address(66)).count();
    assert!(probes <= 1, "{probes} in 20 s");
    // It has moved, and cannot tell: then the hint leads there.
    net.peers[2].address = address(77);
    lie(&mut net, 1, 0, &[hint(id, address(77))]);
    net.run_ms(30_000);
    assert_eq!(net.peers[0].node.address_of(id), Some(address(77)));
}

#[test]
fn hints_are_taken_from_who_proved_its_address_and_from_its_place_in_the_tree() {
    let mut net = Net::joined(8, 6);
    let keys = net.keys.clone();
    let (me, now) = (net.peers[1].node.id(), net.now);
    let level = id::common_bits(&me, &net.peers[0].node.me) as u8 + 1;
    let mut bytes = heapless::Vec::new();
    named_bytes(&hint(NodeId([9; 16]), address(99)), &mut bytes);
    let mut give = |level: u8, token: &Token| {
        let frame = Encoder::hints(me, 9, token, level, (1, &bytes), &address(1));
        let data = { frame }.finish(&keys, 0).to_vec();
        let node = &mut net.peers[0].node;
        let given = node.handle_datagram(now, address(1), &data);
        let mut buf = [0; 1200];
        while let Some(Transmit { to, len, .. }) = node.poll_transmit(&mut buf) {
            assert!(to != address(1) || len <= data.len(), "{len} for {}", data.len());
        }
        (given, node.hints.count_within(&[9; 16], 64))
    };
    assert_eq!(give(level, &wire::NO_TOKEN), (Ok(()), 0));
    let token = net.peers[0].node.guard.token(&address(1));
    let mut give = |level: u8| {
        let frame = Encoder::hints(me, 9, &token, level, (1, &bytes), &address(1));
        let data = { frame }.finish(&keys, 0).to_vec();
        let node = &mut net.peers[0].node;
        (node.handle_datagram(now, address(1), &data), node.hints.count_within(&[9; 16], 64))
    };
    assert_eq!(give(level + 1), (Err(Rejected::Malformed), 0));
    assert_eq!(give(level), (Ok(()), 1));
}

#[test]
fn one_liar_cannot_flood_the_tree() {
    let mut net = converged(9, 600);
    let far = |i: &usize| id::common_bits(&net.peers[*i].node.me, &net.peers[0].node.me) == 0;
    let liar = (1..600).find(far).unwrap();
    let lies: Vec<Named> = (0..4000u32)
        .map(|n| {
            let mut id = [7; 16];
            id[..4].copy_from_slice(&(n << 18).to_be_bytes());
            hint(NodeId(id), SocketAddr::from(([203, (n >> 8) as u8, n as u8, 1], 9)))
        })
        .collect();
    lie(&mut net, liar, 0, &lies);
    let counters = net.peers[0].node.counters();
    assert!(counters.hints_heard <= 16 && counters.hints_refused > 90, "{counters:?}");
    let honest = (1..600).rev().find(|i| *i != liar && far_of(&net, *i)).unwrap();
    lie(&mut net, honest, 0, &lies[..1]);
    assert!(net.peers[0].node.counters().hints_heard >= 1, "others are heard");
}

fn far_of(net: &Net, i: usize) -> bool {
    id::common_bits(&net.peers[i].node.me, &net.peers[0].node.me) == 0
}

#[test]
fn a_hint_that_does_not_answer_is_dropped() {
    let mut net = converged(10, 600);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(5000);
    let holders: Vec<usize> = (0..600).filter(|i| net.peers[*i].node.status().stored > 0).collect();
    let reader = (0..600).find(|i| !holders.contains(i) && *i != 5).unwrap();
    let dead: Vec<usize> = holders.iter().copied().take(6).collect();
    dead.iter().for_each(|i| net.peers[*i].alive = false);
    assert_eq!(net.resolve(reader, &aor(5)).0[0].contact, contact(5));
    net.run_ms(5000);
    let node = &net.peers[reader].node;
    let known = |i: &&usize| node.hints.has_address(&address(**i));
    let left = dead.iter().filter(known).count();
    assert!(left < dead.len(), "{left}");
    assert!(holders.iter().skip(6).all(|i| node.hints.has_address(&address(*i))));
}
