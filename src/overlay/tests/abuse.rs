//! What strangers may do to those who introduce, relay, dial back and keep flows: bounded, and
//! never more than they sent.

use super::super::id::Node;
use super::super::wire_out::Encoder;
use super::super::*;
use super::net::nat::Filter;
use super::net::{Net, address};
use super::reach::{Behind, CLOSED, add_behind, town};
use crate::limits::INTRODUCTIONS_PER_CLIENT_MAX;
use std::net::IpAddr;

/// What a node counts, and how much it was sent and sends in a moment.
fn given(net: &mut Net, i: usize, from: SocketAddr, data: &[u8]) -> (usize, usize) {
    let (now, mut buf) = (net.now, [0; 1200]);
    let node = &mut net.peers[i].node;
    let _ = node.handle_datagram(now, from, data);
    let (mut back, mut elsewhere) = (0, 0);
    while let Some(Transmit { to, len, .. }) = node.poll_transmit(&mut buf) {
        *(if to == from { &mut back } else { &mut elsewhere }) += len;
    }
    (back, elsewhere)
}

#[test]
fn introductions_are_refused_unproven_and_bounded_for_the_proven() {
    for seed in 0..20 {
        let (mut net, client) = town(40 + seed, 8, CLOSED[usize::from(seed) % CLOSED.len()]);
        let id = net.peers[client].node.id();
        let keeper = net.peers.iter().position(|p| p.node.keeper.address_of(&id).is_some());
        let keeper = keeper.unwrap();
        let keys = NetworkKeys::new(&super::net::SECRET, "test");
        let stranger = NodeId([seed; 16]);
        let ask = |token: &Token, wanted: &NodeId| {
            Encoder::introduce(stranger, 7, token, wanted).finish(&keys, 0).to_vec()
        };
        let from = SocketAddr::from(([198, 51, 100, 1], 999));
        let plain = ask(&wire::NO_TOKEN, &id);
        let (back, elsewhere) = given(&mut net, keeper, from, &plain);
        assert!(back <= plain.len() && elsewhere == 0, "{back} {elsewhere}");
        // Proven: one a second for one caller, however many callers there are.
        let mut told = 0;
        for n in 0..200u16 {
            let from = SocketAddr::from(([198, 51, 100, (n % 50) as u8], 1000 + n));
            let token = net.peers[keeper].node.guard.token(&from);
            let (back, elsewhere) = given(&mut net, keeper, from, &ask(&token, &id));
            assert!(back > 0 && elsewhere <= plain.len());
            told += usize::from(elsewhere > 0);
        }
        assert!((5..=10).contains(&told), "{told} of one target");
        let counters = *net.peers[keeper].node.counters();
        assert_eq!(counters.introductions_refused, 200 - told as u64);
        let token = net.peers[keeper].node.guard.token(&from);
        let (_, elsewhere) = given(&mut net, keeper, from, &ask(&token, &NodeId([0xee; 16])));
        assert_eq!(elsewhere, 0, "a stranger's flow is not kept");
    }
}

#[test]
fn many_callers_of_one_client_leave_room_for_those_of_another() {
    let (mut net, first) = town(63, 1, Behind::Nat(Filter::Port, false));
    let second = add_behind(&mut net, 201, Behind::Nat(Filter::Port, false));
    net.run_ms(30_000);
    let keys = NetworkKeys::new(&super::net::SECRET, "test");
    let clients = [first, second].map(|client| net.peers[client].node.id());
    let meet = |net: &mut Net, n: u8, wanted: &NodeId| {
        let from = SocketAddr::from(([198, 51, 100, n / 8], 1000 + u16::from(n)));
        let token = net.peers[0].node.guard.token(&from);
        let ask = Encoder::introduce(NodeId([n; 16]), 7, &token, wanted).finish(&keys, 0).to_vec();
        given(net, 0, from, &ask).1 > 0
    };
    // In a minute, some hundred could be introduced by the rate alone.
    let mut told = 0;
    for n in 0..100 {
        net.run_ms(500);
        told += usize::from(meet(&mut net, n, &clients[0]));
    }
    assert_eq!(told, INTRODUCTIONS_PER_CLIENT_MAX);
    // Who is refused for the rate takes no room either.
    let told = (100..200).filter(|n| meet(&mut net, *n, &clients[1])).count();
    assert!((5..=10).contains(&told), "{told} at once");
    net.run_ms(5_000);
    assert!(meet(&mut net, 240, &clients[1]), "another is met when its turn comes");
}

#[test]
fn nothing_is_relayed_but_for_those_who_were_introduced() {
    let (mut net, client) = town(61, 8, Behind::Nat(Filter::Port, true));
    let id = net.peers[client].node.id();
    let keeper = net.peers.iter().position(|p| p.node.keeper.address_of(&id).is_some()).unwrap();
    let keys = NetworkKeys::new(&super::net::SECRET, "test");
    let from = SocketAddr::from(([198, 51, 100, 1], 999));
    let (me, data) = (NodeId([9; 16]), [7; 1000]);
    let token = net.peers[keeper].node.guard.token(&from);
    let relay = Encoder::relay(me, &token, &id, &data).finish(&keys, 0).to_vec();
    assert_eq!(given(&mut net, keeper, from, &relay), (0, 0), "not introduced");
    let introduce = Encoder::introduce(me, 7, &token, &id).finish(&keys, 0).to_vec();
    assert!(given(&mut net, keeper, from, &introduce).1 > 0);
    let unproven = Encoder::relay(me, &wire::NO_TOKEN, &id, &data).finish(&keys, 0).to_vec();
    assert_eq!(given(&mut net, keeper, from, &unproven), (0, 0), "not proven");
    let moved = SocketAddr::from(([198, 51, 100, 1], 998));
    let token = net.peers[keeper].node.guard.token(&moved);
    let stolen = Encoder::relay(me, &token, &id, &data).finish(&keys, 0).to_vec();
    assert_eq!(given(&mut net, keeper, moved, &stolen), (0, 0), "introduced from elsewhere");
    let sent = (0..200).filter(|_| given(&mut net, keeper, from, &relay).1 > 0).count();
    assert!((60..=66).contains(&sent), "{sent} kB at once");
    let counters = net.peers[keeper].node.counters();
    assert_eq!((counters.relayed, counters.relay_refused), (sent as u64, 203 - sent as u64));
    // Whoever does not keep our flow introduces nobody to us.
    let guest = Node { id: me, address: from };
    let told = Encoder::introduction(me, &guest).finish(&keys, 0).to_vec();
    assert_eq!(given(&mut net, client, from, &told), (0, 0));
    assert_eq!(net.peers[client].node.counters().introductions_refused, 1);
}

#[test]
fn dialling_for_others_is_bounded_and_sends_no_more_than_was_asked_for() {
    let mut net = Net::joined(62, 4);
    let keys = NetworkKeys::new(&super::net::SECRET, "test");
    let asker = net.peers[1].node.id();
    let mut pings = 0;
    for n in 0..200u32 {
        let target = SocketAddr::from(([203, 0, (n >> 8) as u8, n as u8], 5070));
        let node = Node { id: NodeId([3; 16]), address: target };
        let dial = Encoder::dial(asker, u64::from(n), &wire::NO_TOKEN, &node);
        let dial = { dial }.finish(&keys, 0).to_vec();
        let (back, elsewhere) = given(&mut net, 0, address(1), &dial);
        assert!(back + elsewhere <= dial.len(), "{back} {elsewhere} for {}", dial.len());
        pings += usize::from(elsewhere > 0);
    }
    assert_eq!(pings, crate::limits::ERRANDS_MAX);
}

#[test]
fn flows_are_kept_for_so_many_and_given_up_when_nobody_refreshes_them() {
    let mut net = Net::joined(63, 4);
    let keys = NetworkKeys::new(&super::net::SECRET, "test");
    let before = net.peers[0].node.status().clients;
    for n in 0..100u8 {
        let from = SocketAddr::from(([198, 51, 100, n], 999));
        let token = net.peers[0].node.guard.token(&from);
        let claim = wire::Claim::Keep;
        let ping = Encoder::ping(NodeId([n + 1; 16]), 1, &token, 0, claim, &from);
        let ping = { ping }.finish(&keys, 0).to_vec();
        given(&mut net, 0, from, &ping);
    }
    let status = net.peers[0].node.status();
    assert_eq!(status.clients, crate::limits::CLIENTS_MAX);
    let refused = 100 + before - status.clients;
    assert_eq!(net.peers[0].node.counters().clients_full, refused as u64);
    net.run_ms(100_000);
    assert_eq!(net.peers[0].node.status().clients, before);
}

#[test]
fn who_says_a_clients_id_does_not_get_its_introductions() {
    for seed in 0..20 {
        let (mut net, client) = town(110 + seed, 8, CLOSED[usize::from(seed) % CLOSED.len()]);
        let id = net.peers[client].node.id();
        let keys = NetworkKeys::new(&super::net::SECRET, "test");
        let mallory = SocketAddr::from(([198, 51, 100, 66], 666));
        let of = |net: &Net, i: usize| net.peers[i].node.keeper.address_of(&id);
        let before: Vec<_> = (0..8).map(|i| of(&net, i)).collect();
        assert_eq!(before.iter().flatten().count(), 2);
        for _ in 0..30 {
            for i in (0..8).filter(|i| before[*i].is_some()) {
                let token = net.peers[i].node.guard.token(&mallory);
                let claim = wire::Claim::Keep;
                let ping = Encoder::ping(id, 1, &token, 0, claim, &mallory);
                let ping = { ping }.finish(&keys, 0).to_vec();
                let now = net.now;
                let _ = net.with(i, |node| node.handle_datagram(now, mallory, &ping));
            }
            net.run_ms(4000);
            let after: Vec<_> = (0..8).map(|i| of(&net, i)).collect();
            assert_eq!(before, after);
        }
    }
}

#[test]
fn an_address_is_dialled_for_others_once_a_minute_whatever_its_port() {
    let mut net = Net::joined(64, 4);
    let keys = NetworkKeys::new(&super::net::SECRET, "test");
    let asker = net.peers[1].node.id();
    let dial = |net: &mut Net| {
        let mut sent = 0;
        for port in 1..100 {
            let target = SocketAddr::from(([203, 0, 113, 1], port));
            let node = Node { id: NodeId([3; 16]), address: target };
            let dial = Encoder::dial(asker, u64::from(port), &wire::NO_TOKEN, &node);
            let dial = { dial }.finish(&keys, 0).to_vec();
            sent += usize::from(given(net, 0, address(1), &dial).1 > 0);
        }
        sent
    };
    assert_eq!(dial(&mut net), 1);
    net.record = true;
    net.run_ms(30_000);
    net.record = false;
    let victim = |(to, _): &&(SocketAddr, Vec<u8>)| to.ip() == IpAddr::from([203, 0, 113, 1]);
    assert_eq!(net.peers[0].keep.iter().filter(victim).count(), 0, "not once more by itself");
    assert_eq!(dial(&mut net), 0);
    net.run_ms(31_000);
    assert_eq!(dial(&mut net), 1);
}

#[test]
fn a_wish_to_be_listed_that_cannot_be_looked_into_is_not_kept_for_ever() {
    let mut net = Net::joined(65, 4);
    let keys = NetworkKeys::new(&super::net::SECRET, "test");
    let now = net.now;
    let nowhere = SocketAddr::from(([203, 0, 113, 1], 9));
    let wait = Duration::from_secs(1);
    let purpose = request::Purpose::Check;
    let node = &mut net.peers[0].node;
    while node.requests.start(now, &mut node.rng, nowhere, None, purpose, wait).is_some() {}
    for n in 0..100u8 {
        let from = SocketAddr::from(([198, 51, 100, n], 999));
        let token = net.peers[0].node.guard.token(&from);
        let claim = wire::Claim::Member;
        let ping = Encoder::ping(NodeId([n + 1; 16]), 1, &token, 0, claim, &from);
        let ping = { ping }.finish(&keys, 0).to_vec();
        given(&mut net, 0, from, &ping);
    }
    assert_eq!(net.peers[0].node.counters().dials_full, 0);
    net.run_ms(10_000);
    let late = net.add(9, &[address(0)]);
    net.run_ms(10_000);
    let id = net.peers[late].node.id();
    assert!(net.peers[0].node.address_of(id).is_some());
}
