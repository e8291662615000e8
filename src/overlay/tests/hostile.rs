//! What strangers and faulty members may do: cost a bounded amount, and change nothing.

use super::super::id::Node;
use super::super::table::{Members, NotEntered};
use super::super::wire_out::Encoder;
use super::super::*;
use super::net::{Net, SECRET, address, aor, contact, identity};
use crate::budget::Budget;
use crate::identity::record::Record;
use crate::limits::{
    OVERLAY_PEER_BURST, WORK_FOR_OTHERS_BURST, WORK_FOR_OTHERS_PERCENT, WORK_PIECE,
};
use crate::net::Transmit;

#[test]
fn a_replayed_datagram_is_answered_with_no_more_than_itself_and_changes_nothing() {
    let mut net = Net::joined(20, 12);
    net.record = true;
    for i in 0..12 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(2000);
    let now = net.now;
    net.with(3, |node| node.withdraw(now, &aor(3)));
    net.resolve(5, &aor(4));
    net.run_ms(70_000);
    net.record = false;
    let kept: Vec<_> = net.peers.iter_mut().flat_map(|p| core::mem::take(&mut p.keep)).collect();
    assert!(kept.len() > 200);
    let spoofed = SocketAddr::from(([198, 51, 100, 1], 9));
    let mut buf = [0; 1200];
    for (to, data) in kept {
        let Some(at) = net.peers.iter().position(|p| p.address == to) else { continue };
        let node = &mut net.peers[at].node;
        let before = node.status();
        let _ = node.handle_datagram(now, spoofed, &data);
        let mut answered = 0;
        while let Some(Transmit { to, len, .. }) = node.poll_transmit(&mut buf) {
            answered += if to == spoofed { len } else { 0 };
        }
        assert!(answered <= data.len(), "{answered} for {}", data.len());
        assert_eq!((node.status().peers, node.status().stored), (before.peers, before.stored));
        net.after(at);
    }
    net.run_ms(3000);
    assert_eq!(net.resolve(6, &aor(3)).0, []);
    assert_eq!(net.resolve(6, &aor(4)).0[0].contact, contact(4));
    assert!(net.peers.iter().all(|p| p.node.status().peers == 11));
}

#[test]
fn strangers_share_one_bucket_and_members_keep_theirs() {
    let mut net = Net::joined(21, 3);
    net.record = true;
    let first = Node { id: net.peers[0].node.id(), address: address(0) };
    net.peers[1].node.check(net.now, first);
    net.after(1);
    let (_, ping) = net.peers[1].keep.pop().unwrap();
    net.run_ms(5000);
    let (now, node) = (net.now, &mut net.peers[0].node);
    let mut refused = 0;
    for port in 1..2000 {
        let from = SocketAddr::from(([198, 51, 100, 1], port));
        refused += usize::from(node.handle_datagram(now, from, &ping) == Err(Rejected::Full));
        while node.poll_transmit(&mut [0; 1200]).is_some() {}
    }
    assert!((1300..1900).contains(&refused), "{refused}");
    assert_eq!(node.counters().strangers_over_rate, refused as u64);
    assert_eq!(node.handle_datagram(now, address(1), &ping), Ok(()));
    let beyond = (0..u32::from(OVERLAY_PEER_BURST) + 200)
        .filter(|_| node.handle_datagram(now, address(1), &ping).is_err())
        .count();
    assert!(beyond > 100 && node.counters().peer_over_rate == beyond as u64);
    let mut garbage = ping.clone();
    garbage[20] ^= 1;
    assert_eq!(node.handle_datagram(now, address(2), &garbage), Err(Rejected::Unauthorized));
    assert_eq!(node.counters().unauthentic, 1, "what is not tagged charges nobody");
}

#[test]
fn an_ipv4_address_holds_two_ids_and_loopback_any_number() {
    let mut members = Members::new(64);
    let node = |n: u8, ip: [u8; 4]| Node {
        id: NodeId([n; 16]),
        address: SocketAddr::from((ip, 1000 + u16::from(n))),
    };
    assert_eq!(members.prove(&node(1, [203, 0, 113, 1]), 1), Ok(true));
    assert_eq!(members.prove(&node(2, [203, 0, 113, 1]), 1), Ok(true));
    assert_eq!(members.prove(&node(3, [203, 0, 113, 1]), 1), Err(NotEntered::Address));
    assert_eq!(members.prove(&node(2, [203, 0, 113, 1]), 1), Ok(false));
    assert_eq!(members.prove(&node(3, [203, 0, 113, 2]), 1), Ok(true));
    for n in 10..40 {
        assert_eq!(members.prove(&node(n, [127, 0, 0, 1]), 1), Ok(true));
    }
}

#[test]
fn whoever_moves_to_an_address_that_has_its_two_ids_is_listed_no_longer() {
    let mut members = Members::new(64);
    let node = |n: u8, ip: [u8; 4], port: u16| Node {
        id: NodeId([n; 16]),
        address: SocketAddr::from((ip, port)),
    };
    let (crowded, elsewhere) = ([203, 0, 113, 1], [203, 0, 113, 2]);
    for (n, ip) in [(1, crowded), (2, crowded), (3, elsewhere), (4, elsewhere)] {
        assert_eq!(members.prove(&node(n, ip, 1000 + u16::from(n)), 1), Ok(true));
    }
    assert_eq!(members.prove(&node(2, crowded, 2000), 2), Ok(false), "another port is no move");
    assert_eq!(members.prove(&node(3, crowded, 3000), 2), Err(NotEntered::Address));
    assert!(members.get(&NodeId([3; 16])).is_none());
    assert_eq!(members.prove(&node(5, elsewhere, 5000), 2), Ok(true), "its place is free");
}

#[test]
fn a_forged_sender_leaves_the_member_that_it_names_enough_to_be_heard() {
    let mut net = Net::joined(25, 3);
    let keys = NetworkKeys::new(&SECRET, "test");
    let (now, id) = (net.now, net.peers[1].node.id());
    let node = &mut net.peers[0].node;
    let ping = |token: &Token| {
        Encoder::ping(id, 1, token, 0, wire::Claim::Member, &address(0)).finish(&keys, 0).to_vec()
    };
    let forged = ping(&wire::NO_TOKEN);
    let refused = (0..2000).filter(|_| node.handle_datagram(now, address(1), &forged).is_err());
    assert!(refused.count() > 1000);
    let proven = ping(&node.guard.token(&address(1)));
    for n in 0..OVERLAY_PEER_BURST / 2 {
        while node.poll_transmit(&mut [0; 1200]).is_some() {}
        assert_eq!(node.handle_datagram(now, address(1), &proven), Ok(()), "{n}");
    }
}

#[test]
fn the_table_is_bounded_and_knows_the_closest_exactly() {
    let mut members = Members::new(8);
    let mut rng = Rng::new([4; 32]);
    let mut all = Vec::new();
    loop {
        let node = Node { id: NodeId(rng.bytes()), address: address(all.len()) };
        match members.prove(&node, 1) {
            Ok(_) => all.push(node),
            Err(error) => {
                assert_eq!(error, NotEntered::Full);
                break;
            }
        }
    }
    assert!(all.len() > 100 && all.len() * size_of::<table::Member>() <= 8192);
    for _ in 0..100 {
        let target: [u8; 16] = rng.bytes();
        let found = members.closest::<16>(&target, |m| m.id.0[15] & 1 == 0);
        let mut expected: Vec<Node> = all.iter().filter(|n| n.id.0[15] & 1 == 0).copied().collect();
        expected.sort_by(|a, b| id::closer(&target, &a.id.0, &b.id.0));
        assert_eq!(found[..], expected[..16]);
    }
}

#[test]
fn public_key_work_is_bounded_and_done_one_at_a_time() {
    let mut net = Net::joined(22, 8);
    for i in 0..8 {
        for n in 0..12 {
            net.publish(i, &aor(100 * i + n), &contact(n));
        }
    }
    let mut busiest = 0;
    for _ in 0..2000 {
        let before: Vec<u64> = net.peers.iter().map(|p| p.node.counters().verified).collect();
        net.run_ms(1);
        let after = net.peers.iter().zip(before);
        busiest = after.map(|(p, b)| p.node.counters().verified - b).max().unwrap().max(busiest);
    }
    assert!(busiest > 1, "work was waiting");
    let now = net.now;
    net.peers[0].due(now);
    let verified = net.peers[0].node.counters().verified;
    net.peers[0].due(now);
    assert!(net.peers[0].node.counters().verified <= verified + 1);
    net.run_ms(60_000);
    for i in 0..8 {
        for n in 0..12 {
            assert_eq!(net.peers[i].node.is_published(&aor(100 * i + n)), Some(7));
        }
    }
}

#[test]
fn a_member_that_puts_ever_new_records_takes_a_fifth_of_the_time() {
    let mut net = Net::joined(26, 2);
    let keys = NetworkKeys::new(&SECRET, "test");
    let (start, before) = (net.now, net.peers[0].node.counters().verified);
    let sender = net.peers[1].node.id();
    for n in 0..1000u64 {
        let token = net.peers[0].node.guard.token(&address(1));
        let aor_key = [n as u8; 32];
        let record = Record::sign(&identity(1), keys.network(), &aor_key, n, Some(&contact(1)));
        let put = Encoder::put_record(sender, n, &token, record.as_bytes(), None);
        let (now, put) = (net.now, { put }.finish(&keys, 0).to_vec());
        let _ = net.with(0, |node| node.handle_datagram(now, address(1), &put));
        net.run_ms(20);
    }
    let allowed = WORK_FOR_OTHERS_BURST / 2 + net.now.since(start) * WORK_FOR_OTHERS_PERCENT / 100;
    let most = u64::from((allowed.as_millis() / WORK_PIECE.as_millis()) as u32);
    let counters = net.peers[0].node.counters();
    let done = counters.verified - before;
    assert!((most * 9 / 10..=most).contains(&done), "{done} of {most}");
    assert!(counters.work_full > 0);
}

#[test]
fn who_puts_where_too_much_waits_is_told_so_and_tries_later() {
    let mut net = Net::joined(27, 2);
    let keys = NetworkKeys::new(&SECRET, "test");
    let (now, sender) = (net.now, net.peers[1].node.id());
    let token = net.peers[0].node.guard.token(&address(1));
    net.record = true;
    let mut least = usize::MAX;
    for n in 0..80u64 {
        let aor_key = [n as u8; 32];
        let record = Record::sign(&identity(1), keys.network(), &aor_key, n, Some(&contact(1)));
        let put = Encoder::put_record(sender, n, &token, record.as_bytes(), None);
        let put = { put }.finish(&keys, 0).to_vec();
        least = least.min(put.len());
        let _ = net.with(0, |node| node.handle_datagram(now, address(1), &put));
    }
    assert_eq!(net.peers[0].node.counters().work_full, 16);
    let mut refused = Vec::new();
    for (to, data) in core::mem::take(&mut net.peers[0].keep) {
        let frame = Frame::parse(&data, &keys).unwrap();
        if let Body::Stored(_, wire::Status::Full, None, None) = frame.body {
            assert!(to == address(1) && data.len() < least, "{} of {least}", data.len());
            refused.push(frame.request);
        }
    }
    assert_eq!(refused, (64..80).collect::<Vec<_>>());
    // An owner waits for its next turn.
    net.publish(1, &aor(1), &contact(1));
    net.run_ms(1000);
    let puts = |net: &mut Net| {
        let kept = core::mem::take(&mut net.peers[1].keep).into_iter();
        let bodies = kept.filter(|(_, data)| {
            matches!(Frame::parse(data, &keys).map(|frame| frame.body), Ok(Body::Put(..)))
        });
        bodies.count()
    };
    assert!(puts(&mut net) <= 2, "one without proof, one with it");
    net.run_ms(120_000);
    assert_eq!(net.peers[1].node.is_published(&aor(1)), Some(1));
}

#[test]
fn our_own_id_from_elsewhere_is_told_once_and_not_heard() {
    let mut net = Net::joined(23, 4);
    let mut twin = net.fresh(2, 9);
    let mut budget = Budget::new(net.now);
    twin.set_bootstrap(net.now, &[address(2)]);
    let mut buf = [0; 1200];
    for _ in 0..20 {
        net.now += Duration::from_millis(500);
        let now = net.now;
        twin.handle_timeout(now);
        twin.work(now, &mut budget);
        while let Some(Transmit { len, .. }) = twin.poll_transmit(&mut buf) {
            let refused = net.peers[2].node.handle_datagram(now, address(77), &buf[..len]);
            assert_eq!(refused, Err(Rejected::Unauthorized));
            net.after(2);
        }
    }
    let told = |event: &&OverlayEvent| matches!(event, OverlayEvent::IdInUse(_));
    assert_eq!(net.peers[2].events.iter().filter(told).count(), 1);
}

#[test]
fn saved_peers_that_were_damaged_are_read_as_far_as_they_go() {
    let net = Net::joined(24, 6);
    let saved = net.peers[1].node.save_peers();
    for cut in 0..saved.len() {
        let mut node = Net::new(24, 20).fresh(40, 1);
        node.load_peers(net.now, &saved[..cut]);
        let again = node.save_peers();
        assert!(again.len() <= saved.len() && saved.starts_with(&again));
    }
    let mut node = Net::new(24, 20).fresh(40, 1);
    node.load_peers(net.now, &[9; 500]);
    assert_eq!(node.save_peers(), [1]);
}
