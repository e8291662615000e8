//! Nodes that nobody can reach first, behind every kind of NAT: they find, are found and are met.

use super::super::judge::Judged;
use super::super::*;
use super::net::nat::{Filter, Nat};
use super::net::{Net, address, aor, contact};
use std::net::IpAddr;

/// What a node is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    Nothing,
    Nat(Filter, bool),
    Firewall,
}

const LIFE_S: u64 = 30;
/// What lets nobody in unasked.
pub(super) const CLOSED: [Behind; 5] = [
    Behind::Nat(Filter::Address, false),
    Behind::Nat(Filter::Port, false),
    Behind::Nat(Filter::Address, true),
    Behind::Nat(Filter::Port, true),
    Behind::Firewall,
];

/// Adds a node behind something; `n` is the last byte of its addresses.
pub(super) fn add_behind(net: &mut Net, n: usize, behind: Behind) -> usize {
    let outside = IpAddr::from([100, 64, 7, n as u8]);
    let inside = SocketAddr::from(([10, 0, 0, n as u8], 5070));
    let (address, nat, global) = match behind {
        Behind::Nothing => return net.add(n, &[address(0)]),
        Behind::Nat(filter, symmetric) => {
            (inside, Nat::new(outside, filter, symmetric, LIFE_S), false)
        }
        Behind::Firewall => ((outside, 5070).into(), Nat::firewall(outside, LIFE_S), true),
    };
    net.nats.push(if n.is_multiple_of(2) { nat } else { nat.preserving() });
    let i = net.add_at(n, address, Some(net.nats.len() - 1));
    let now = net.now;
    net.with(i, |node| {
        let list = [address];
        let (own, private) = if global { (&list[..], &[][..]) } else { (&[][..], &list[..]) };
        node.set_local(now, own, private);
        node.set_bootstrap(now, &[super::net::address(0)]);
    });
    i
}

pub(super) fn town(seed: u8, n: usize, behind: Behind) -> (Net, usize) {
    let mut net = Net::joined(seed, n);
    let client = add_behind(&mut net, 200, behind);
    net.run_ms(30_000);
    (net, client)
}

#[test]
fn whoever_is_behind_a_nat_is_a_client_with_two_flows_and_is_found_and_finds() {
    for seed in 0..20 {
        let behind = CLOSED[usize::from(seed) % CLOSED.len()];
        let (mut net, client) = town(100 + seed, 8, behind);
        let status = net.peers[client].node.status();
        let symmetric = matches!(behind, Behind::Nat(_, true));
        let reachable = if symmetric { Reachability::Relayed } else { Reachability::Punched };
        assert_eq!((status.reachable, status.rendezvous), (reachable, 2), "{behind:?}");
        assert!(net.peers[..8].iter().all(|p| p.node.status().peers == 7), "{behind:?}");
        net.publish(client, &aor(1), &contact(1));
        net.publish(3, &aor(3), &contact(3));
        net.run_ms(2000);
        let found = net.resolve(5, &aor(1)).0;
        assert_eq!(found[0].contact, contact(1));
        assert_eq!(found[0].rendezvous.len(), 2, "{behind:?}");
        assert_eq!(found[0].addresses.is_empty(), symmetric, "{behind:?}");
        assert_eq!(net.resolve(client, &aor(3)).0[0].contact, contact(3));
        assert_eq!(net.peers[client].node.status().stored, 0);
    }
}

#[test]
fn an_open_nat_is_no_obstacle() {
    for seed in 0..20 {
        let (mut net, node) = town(120 + seed, 8, Behind::Nat(Filter::Open, false));
        let status = net.peers[node].node.status();
        assert_eq!((status.reachable, status.reason), (Reachability::Mapped, Reason::SeenAddress));
        assert!(net.peers[..8].iter().all(|p| p.node.status().peers == 8));
        net.run_ms(1000);
    }
}

#[test]
fn a_port_that_is_opened_at_the_address_that_was_refused_makes_a_member_soon() {
    for seed in 0..10 {
        let mut net = Net::joined(160 + seed, 8);
        // An odd number: its NAT keeps port numbers.
        let node = add_behind(&mut net, 201, Behind::Nat(Filter::Port, false));
        // Soon after its start, or later.
        let before_ms = [3_000, 5_000, 8_000, 30_000][seed as usize % 4];
        net.run_ms(before_ms);
        let status = net.peers[node].node.status();
        assert_ne!(status.reachable, Reachability::Mapped);
        let outside = net.nats[0].open_port(net.peers[node].address, 5070);
        assert_eq!(Some(outside), status.public_address);
        let now = net.now;
        net.with(node, |node| node.set_mapped(now, Some(outside)));
        net.run_ms(10_000);
        let status = net.peers[node].node.status();
        assert_eq!((status.reachable, status.reason), (Reachability::Mapped, Reason::OpenedPort));
    }
}

/// Two members and one behind a NAT that opens its port late: for how long it is still a client.
fn late_port(seed: u8, after_ms: u64, remembers: bool) -> u64 {
    let mut net = Net::joined(seed, 2);
    let node = add_behind(&mut net, 201, Behind::Nat(Filter::Port, false));
    if remembers {
        let outside = IpAddr::from([100, 64, 7, 201]);
        net.nats[0] = Nat::new(outside, Filter::Port, false, LIFE_S).preserving();
        net.nats[0].remembers = true;
    }
    // Both are asked at the start, so that both have knocked from both their ports.
    let (now, both) = (net.now, [0, 1].map(address));
    net.with(node, |node| node.set_bootstrap(now, &both));
    net.run_ms(after_ms);
    assert_ne!(net.peers[node].node.status().reachable, Reachability::Mapped);
    let outside = net.nats[0].open_port(net.peers[node].address, 5070);
    let now = net.now;
    net.with(node, |node| node.set_mapped(now, Some(outside)));
    for waited_ms in (0..120_000).step_by(500) {
        if net.peers[node].node.status().reachable == Reachability::Mapped {
            return waited_ms;
        }
        net.run_ms(500);
    }
    panic!("still {:?} after two minutes", net.peers[node].node.status());
}

#[test]
fn in_a_town_of_three_a_port_that_is_opened_late_is_soon_found_open() {
    let mut slowest = [0; 2];
    for seed in 0..10 {
        for after_ms in [4_000, 9_000, 20_000, 45_000, 300_000] {
            for remembers in [false, true] {
                let waited_ms = late_port(170 + seed, after_ms, remembers);
                // Where the NAT remembers who knocked, half a minute more from the last knock.
                let limit_ms = if remembers { 50_000 } else { 10_000 };
                assert!(waited_ms < limit_ms, "{waited_ms} ms, opened after {after_ms} ms");
                let slowest = &mut slowest[usize::from(remembers)];
                *slowest = waited_ms.max(*slowest);
            }
        }
    }
    println!("found within {} ms, by those who are remembered {} ms", slowest[0], slowest[1]);
}

#[test]
fn two_routers_one_behind_a_nat_are_a_network() {
    for (seed, behind) in CLOSED.into_iter().enumerate() {
        let mut net = Net::new(140 + seed as u8, 20);
        net.add(0, &[address(1)]);
        net.run_ms(3000);
        let client = add_behind(&mut net, 200, behind);
        net.run_ms(20_000);
        let status = net.peers[client].node.status();
        assert_eq!(status.rendezvous, 1, "{behind:?} {status:?}");
        net.publish(client, &aor(1), &contact(1));
        net.publish(0, &aor(0), &contact(0));
        net.run_ms(600_000);
        assert_eq!(net.resolve(0, &aor(1)).0[0].rendezvous[..], [address(0)], "{behind:?}");
        assert_eq!(net.resolve(client, &aor(0)).0[0].contact, contact(0));
    }
}

#[test]
fn who_only_claims_to_be_reachable_is_not_listed() {
    for seed in 0..20 {
        // A NAT that lets whole addresses in and is kept open to everybody is open to everybody.
        let behind = [Behind::Nat(Filter::Port, seed % 4 == 0), Behind::Firewall];
        let (mut net, liar) = town(150 + seed, 8, behind[usize::from(seed) % 2]);
        for _ in 0..10 {
            let now = net.now;
            net.with(liar, |node| node.judge.pretend(now, Judged::Member));
            net.run_ms(60_000);
            let id = net.peers[liar].node.id();
            let listed = net.peers[..8].iter().filter(|p| p.node.address_of(id).is_some());
            assert_eq!(listed.count(), 0);
        }
        let refused: u64 = net.peers.iter().map(|p| p.node.counters().members_refused).sum();
        assert!(refused > 0);
    }
}

/// Has `a` meet `b`; the addresses at which each can hear the other, detours among them.
pub(super) fn meet(net: &mut Net, a: usize, b: usize) -> [Vec<SocketAddr>; 2] {
    let name = aor(b);
    net.publish(b, &name, &contact(b));
    net.run_ms(2000);
    let found = net.resolve(a, &name).0.pop().unwrap();
    net.peers.iter_mut().for_each(|peer| peer.events.clear());
    let now = net.now;
    net.with(a, |node| node.introduce(now, found.owner, &found.rendezvous));
    net.run_ms(3000);
    [(a, b), (b, a)].map(|(at, of)| {
        let of = net.peers[of].node.id();
        let reached = net.peers[at].events.iter().filter_map(|event| match event {
            OverlayEvent::Reached { peer, address } if *peer == of => Some(*address),
            _ => None,
        });
        reached.collect()
    })
}

#[test]
fn two_that_are_introduced_meet_in_a_hole_or_at_the_relay() {
    let sides = [&[Behind::Nothing][..], &CLOSED].concat();
    let mut seed = 0;
    for caller in sides {
        for callee in CLOSED {
            for _ in 0..2 {
                seed += 1;
                let mut net = Net::joined(seed, 6);
                let a = add_behind(&mut net, 200, caller);
                let b = add_behind(&mut net, 201, callee);
                net.run_ms(30_000);
                let reached = meet(&mut net, a, b);
                let is_port = |b| matches!(b, Behind::Nat(Filter::Port, _) | Behind::Firewall);
                let is_symmetric = |b| matches!(b, Behind::Nat(_, true));
                let blocked = is_symmetric(caller) && is_symmetric(callee)
                    || is_symmetric(caller) && is_port(callee)
                    || is_symmetric(callee) && is_port(caller);
                let direct = |list: &[SocketAddr]| list.iter().any(|at| !crate::net::is_detour(at));
                let open = reached.each_ref().map(|list| direct(list));
                assert_eq!(open, [!blocked; 2], "{caller:?} {callee:?} {reached:?}");
                relays(&mut net, a, b, &reached[0]);
            }
        }
    }
}

/// A datagram goes through a rendezvous peer, and its answer back.
fn relays(net: &mut Net, a: usize, b: usize, ways: &[SocketAddr]) {
    let way = *ways.iter().find(|at| crate::net::is_detour(at)).expect("a detour");
    let now = net.now;
    assert!(net.with(a, |node| node.send_relayed(now, way, b"question")));
    net.run_ms(200);
    let (back, data) = net.peers[b].relayed.pop().expect("the question");
    assert_eq!(data, b"question");
    let now = net.now;
    assert!(net.with(b, |node| node.send_relayed(now, back, b"answer")));
    net.run_ms(200);
    assert_eq!(net.peers[a].relayed.pop().expect("the answer"), (way, b"answer".to_vec()));
}

#[test]
fn a_dead_rendezvous_peer_is_replaced_within_half_a_minute_and_the_record_says_so() {
    for seed in 0..20 {
        let (mut net, client) = town(170 + seed, 10, CLOSED[usize::from(seed) % CLOSED.len()]);
        net.publish(client, &aor(1), &contact(1));
        net.run_ms(2000);
        let before = net.resolve(0, &aor(1)).0[0].rendezvous.clone();
        let dead = net.peers.iter().position(|p| p.address == before[0]).unwrap();
        net.peers[dead].alive = false;
        net.run_ms(32_000);
        let reader = if dead == 9 { 8 } else { 9 };
        let after = net.resolve(reader, &aor(1)).0.last().unwrap().rendezvous.clone();
        assert!(!after.contains(&before[0]) && after.len() == 2, "{before:?} {after:?}");
        let caller = if dead == 0 { 1 } else { 0 };
        let reached = meet(&mut net, caller, client);
        assert!(reached[0].iter().any(|at| !crate::net::is_detour(at)), "{reached:?}");
    }
}

#[test]
fn a_client_that_moves_is_met_where_it_is_within_seconds() {
    for seed in 0..20 {
        let (mut net, client) = town(150 + seed, 10, CLOSED[usize::from(seed) % 4]);
        let outside = IpAddr::from([100, 64, 8, 1]);
        let inside = SocketAddr::from(([10, 0, 1, 2], 5070));
        net.nats.push(Nat::new(outside, Filter::Port, seed % 2 == 0, LIFE_S));
        (net.peers[client].address, net.peers[client].nat) = (inside, Some(1));
        let now = net.now;
        net.with(client, |node| node.set_local(now, &[], &[inside]));
        assert_eq!(net.peers[client].node.status().rendezvous, 0);
        net.run_ms(4000);
        assert_eq!(net.peers[client].node.status().rendezvous, 2);
        let reached = meet(&mut net, 4, client);
        assert!(reached.iter().all(|ways| !ways.is_empty()), "{reached:?}");
        assert!(reached[0].iter().any(|at| at.ip() == outside), "{reached:?}");
    }
}

#[test]
fn who_keeps_a_clients_flow_needs_nobody_to_meet_it() {
    for seed in 0..10 {
        let (mut net, client) = town(240 + seed, 2, CLOSED[usize::from(seed) % 5]);
        let asked = net.peers[1].node.counters().introductions;
        let (now, id) = (net.now, net.peers[client].node.id());
        let keepers = net.peers[client].node.rendezvous();
        let ways = net.with(0, |node| node.introduce(now, id, &keepers));
        assert_eq!(ways[0].ip(), IpAddr::from([100, 64, 7, 200]), "{ways:?}");
        net.run_ms(2000);
        assert_eq!(net.peers[1].node.counters().introductions, asked + 1);
        assert_eq!(net.peers[0].node.counters().own_id, 0);
    }
}

#[test]
fn a_nat_that_starts_anew_changes_the_record_within_a_minute() {
    for seed in 0..20 {
        let behind = CLOSED[usize::from(seed) % 2];
        let (mut net, client) = town(190 + seed, 10, behind);
        net.publish(client, &aor(1), &contact(1));
        net.run_ms(2000);
        let before = net.resolve(0, &aor(1)).0[0].clone();
        net.nats[0].restart();
        net.run_ms(60_000);
        let after = net.resolve(0, &aor(1)).0.pop().unwrap();
        assert_ne!(before.addresses, after.addresses);
        assert_eq!((after.addresses.len(), after.rendezvous.len()), (1, 2));
        let reached = meet(&mut net, 4, client);
        assert!(reached[0].contains(&after.addresses[0]), "{reached:?} {after:?}");
    }
}

#[test]
fn who_becomes_unreachable_leaves_the_tables_and_comes_back() {
    for seed in 0..20 {
        let mut net = Net::joined(210 + seed, 10);
        net.publish(4, &aor(4), &contact(4));
        net.run_ms(2000);
        let (id, at) = (net.peers[4].node.id(), net.peers[4].address);
        net.nats.push(Nat::firewall(at.ip(), LIFE_S));
        net.peers[4].nat = Some(0);
        let listed = |net: &Net| {
            let others = net.peers.iter().filter(|p| p.node.address_of(id).is_some());
            others.count()
        };
        net.run_ms(1_200_000);
        assert_eq!(listed(&net), 0);
        assert_eq!(net.peers[4].node.status().reachable, Reachability::Punched);
        assert_eq!(net.resolve(2, &aor(4)).0.last().unwrap().rendezvous.len(), 2);
        (net.peers[4].nat, net.nats) = (None, Vec::new());
        net.run_ms(900_000);
        assert_eq!(listed(&net), 9);
        assert_eq!(net.peers[4].node.status().reachable, Reachability::Direct);
    }
}

#[test]
fn an_idle_client_stays_below_forty_bytes_a_second() {
    let (mut net, client) = town(230, 40, Behind::Nat(Filter::Port, false));
    net.publish(client, &aor(1), &contact(1));
    net.run_ms(600_000);
    let bytes = |net: &Net| {
        let c = net.peers[client].node.counters();
        c.bytes_in + c.bytes_out + 28 * (c.datagrams_in + c.datagrams_out)
    };
    let before = bytes(&net);
    net.run_ms(7_200_000);
    let per_s = (bytes(&net) - before) / 7200;
    assert!(per_s < 40, "{per_s} B/s");
}

#[test]
fn a_port_that_the_router_in_front_opened_makes_a_member() {
    for seed in 0..20 {
        let (mut net, node) = town(64 + seed, 8, Behind::Nat(Filter::Port, false));
        net.publish(node, &aor(1), &contact(1));
        assert_eq!(net.peers[node].node.status().reachable, Reachability::Punched);
        let outside = net.nats[0].open_port(net.peers[node].address, 5070);
        let now = net.now;
        net.with(node, |n| n.set_mapped(now, Some(outside)));
        net.run_ms(90_000);
        let status = net.peers[node].node.status();
        assert_eq!((status.reachable, status.reason), (Reachability::Mapped, Reason::OpenedPort));
        assert!(net.peers[..8].iter().all(|p| p.node.status().peers == 8));
        let found = net.resolve(2, &aor(1)).0.pop().unwrap();
        assert!(found.addresses.contains(&outside), "{found:?}");
    }
}

#[test]
fn who_moves_behind_a_nat_is_a_client_there() {
    for seed in 0..20 {
        let mut net = Net::joined(84 + seed, 4);
        net.publish(3, &aor(3), &contact(3));
        net.run_ms(2000);
        let outside = IpAddr::from([100, 64, 7, 3]);
        net.nats.push(Nat::new(outside, Filter::Port, seed % 2 == 0, LIFE_S));
        let inside = SocketAddr::from(([10, 0, 0, 3], 5070));
        (net.peers[3].address, net.peers[3].nat) = (inside, Some(0));
        let now = net.now;
        net.with(3, |node| node.set_local(now, &[], &[inside]));
        net.run_ms(30_000);
        let status = net.peers[3].node.status();
        assert_eq!(status.rendezvous, 2, "{status:?}");
        let id = net.peers[3].node.id();
        net.run_ms(900_000);
        assert!(net.peers[..3].iter().all(|p| p.node.address_of(id).is_none()));
        let found = net.resolve(1, &aor(3)).0.pop().unwrap();
        assert_eq!(found.rendezvous.len(), 2);
    }
}
