//! Behaviour of nodes together, over virtual time with real keys.

mod abuse;
mod certified;
mod closest;
mod families;
mod gossip;
mod hints;
mod holders;
mod hostile;
mod listed;
mod meeting;
mod net;
mod paths;
mod proofless;
mod reach;
mod scale;
mod secrets;
mod seeds;
mod store;
mod wire;

use super::*;
use net::{Net, address, aor, contact};

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

#[test]
fn every_registered_aor_resolves_from_anywhere_in_one_round_trip() {
    let mut net = Net::joined(1, 60);
    for i in 0..60 {
        assert!(net.peers[i].node.status().peers >= 57, "node {i} knows all");
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(3000);
    for i in 0..60 {
        assert!(net.peers[i].node.is_published(&aor(i)).unwrap() >= 12, "node {i}");
    }
    let mut times = Vec::new();
    for i in 0..60 {
        let reader = net.rng.below(60) as usize;
        let (found, took) = net.resolve(reader, &aor(i));
        assert_eq!(found[0].contact, contact(i));
        assert_eq!(found[0].owner, net.peers[i].node.id());
        assert_eq!(found[0].addresses[..], [address(i)]);
        times.push(took);
    }
    assert!(percentile(&mut times, 99) < Duration::from_millis(85), "{times:?}");
}

#[test]
fn half_the_network_vanishes_and_every_record_is_still_found() {
    let mut net = Net::joined(2, 60);
    for i in 0..60 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(15_000);
    for i in (1..60).step_by(2) {
        net.peers[i].alive = false;
    }
    let (start, mut ids) = (net.now, Vec::new());
    for i in 0..60 {
        let reader = net.rng.below(30) as usize * 2;
        ids.push((reader, net.lookup(reader, &aor(i))));
        net.run_ms(20);
    }
    net.run_ms(1600);
    let mut times: Vec<Duration> = Vec::new();
    for (n, (reader, id)) in ids.into_iter().enumerate() {
        let found = net.peers[reader].found.iter().find(|(_, found)| found.lookup == id);
        let began = start + Duration::from_millis(20 * n as u64);
        times.push(found.unwrap_or_else(|| panic!("{n} is found")).0.since(began));
    }
    let (p50, p99) = (percentile(&mut times.clone(), 50), percentile(&mut times, 99));
    assert!(p50 < Duration::from_millis(250) && p99 < Duration::from_millis(600), "{times:?}");
}

#[test]
fn the_newest_answer_wins_and_the_withdrawn_is_absent() {
    let mut net = Net::joined(3, 20);
    net.publish(4, &aor(1), &contact(1));
    net.run_ms(1000);
    net.publish(4, &aor(1), &contact(2));
    net.run_ms(1000);
    let (found, _) = net.resolve(9, &aor(1));
    assert_eq!(found.last().unwrap().contact, contact(2));
    let now = net.now;
    net.with(4, |node| node.withdraw(now, &aor(1)));
    net.run_ms(1000);
    for reader in [4, 9, 17] {
        assert_eq!(net.resolve(reader, &aor(1)).0, []);
        assert_eq!(net.peers[reader].done.last().unwrap().2, 0);
    }
    assert_eq!(net.peers[4].node.is_published(&aor(1)), None);
    net.publish(4, &aor(1), &contact(3));
    net.run_ms(1000);
    assert_eq!(net.resolve(9, &aor(1)).0[0].contact, contact(3));
}

#[test]
fn all_owners_of_an_aor_are_found_and_each_for_itself() {
    let mut net = Net::joined(4, 20);
    for owner in [3, 7, 11] {
        net.publish(owner, &aor(1), &contact(owner));
    }
    net.run_ms(1500);
    let (found, _) = net.resolve(15, &aor(1));
    let mut users: Vec<_> = found.iter().map(|found| found.contact.user.as_str()).collect();
    users.sort_unstable();
    users.dedup();
    assert_eq!(users, ["c11", "c3", "c7"]);
    assert_eq!(net.peers[15].done.last().unwrap().2, 3);
}

#[test]
fn two_routers_are_a_network_and_one_answers_itself() {
    let mut net = Net::new(5, 20);
    net.add(0, &[address(1)]);
    net.run_ms(3000);
    net.publish(0, &aor(0), &contact(0));
    net.run_ms(100);
    let (found, took) = net.resolve(0, &aor(0));
    assert_eq!((found[0].contact.clone(), took), (contact(0), Duration::ZERO));
    assert_eq!(net.resolve(0, &aor(9)).0, []);
    assert_eq!(net.peers[0].node.is_published(&aor(0)), Some(0));
    net.add(1, &[address(0)]);
    net.run_ms(4000);
    assert!(net.peers.iter().all(|peer| peer.node.status().joined));
    assert_eq!(net.peers[0].node.is_published(&aor(0)), Some(1));
    let (found, took) = net.resolve(1, &aor(0));
    assert_eq!(found[0].addresses[..], [address(0)]);
    assert!(took < Duration::from_millis(60), "{took:?}");
    let start = net.now;
    let absent = net.lookup(1, &aor(9));
    net.run_ms(1600);
    let (at, id, count) = *net.peers[1].done.last().unwrap();
    assert_eq!((id, count), (absent, 0));
    assert!(at.since(start) < Duration::from_millis(100), "one of one says so");
}

#[test]
fn a_router_with_a_dead_bootstrap_joins_from_what_it_saved() {
    let mut net = Net::joined(6, 12);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(2000);
    let saved = net.peers[3].node.save_peers();
    assert!(saved.len() > 11 * 20 && saved.len() <= 8192);
    net.peers[0].alive = false;
    net.peers[3].alive = false;
    net.run_ms(60_000);
    net.restart(3, &saved, &[address(0)]);
    net.run_ms(3000);
    assert!(net.peers[3].events.contains(&OverlayEvent::Joined));
    assert_eq!(net.resolve(3, &aor(5)).0[0].contact, contact(5));
}

#[test]
fn a_new_address_is_known_to_readers_within_five_seconds() {
    let mut net = Net::joined(7, 30);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    net.move_to(5, address(500));
    net.run_ms(5000);
    for reader in [1, 12, 29] {
        let (found, _) = net.resolve(reader, &aor(5));
        assert_eq!(found.last().unwrap().addresses[..], [address(500)]);
    }
    let id = net.peers[5].node.id();
    let moved = net.peers.iter().filter(|p| p.node.address_of(id) == Some(address(500))).count();
    assert!(moved >= 16, "neighbours know: {moved}");
}

#[test]
fn whoever_does_not_know_the_secret_is_not_heard() {
    let mut net = Net::joined(8, 3);
    net.keys = NetworkKeys::new(&[6; 32], "test");
    let stranger = net.add(9, &[address(0)]);
    net.run_ms(10_000);
    assert!(!net.peers[stranger].node.status().joined);
    assert_eq!(net.peers[0].node.status().peers, 2);
    assert!(net.peers[0].node.counters().unauthentic > 2);
}

#[test]
fn a_partition_heals_and_what_was_published_in_it_is_found() {
    let mut net = Net::joined(9, 30);
    (15..30).for_each(|i| net.peers[i].side = 1);
    net.run_ms(400_000);
    net.publish(3, &aor(3), &contact(3));
    net.publish(20, &aor(20), &contact(20));
    net.run_ms(200_000);
    assert_eq!(net.resolve(25, &aor(3)).0, []);
    (15..30).for_each(|i| net.peers[i].side = 0);
    net.run_ms(120_000);
    for (reader, n) in [(25, 3), (2, 20), (29, 3), (14, 20)] {
        assert_eq!(net.resolve(reader, &aor(n)).0[0].contact, contact(n));
    }
}

#[test]
fn holders_that_lost_their_store_are_given_the_record_again() {
    let mut net = Net::joined(10, 20);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    for i in (0..20).filter(|i| *i != 5 && *i != 6) {
        net.restart(i, &[], &[address(0), address(6)]);
        net.run_ms(100);
    }
    net.run_ms(400_000);
    net.peers[5].alive = false;
    let holding = net.peers.iter().filter(|p| p.node.status().stored > 0).count();
    assert!(holding >= 12, "{holding}");
    assert_eq!(net.resolve(6, &aor(5)).0[0].contact, contact(5));
}

#[test]
fn an_owner_that_lost_its_count_of_starts_continues_above_its_old_records() {
    let mut net = Net::joined(11, 15);
    for _ in 0..3 {
        net.restart(5, &[], &[address(0)]);
        net.run_ms(3000);
    }
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(2000);
    net.peers[5].starts = 0;
    net.restart(5, &[], &[address(0)]);
    net.run_ms(3000);
    net.publish(5, &aor(5), &contact(6));
    net.run_ms(20_000);
    let (found, _) = net.resolve(9, &aor(5));
    assert_eq!(found.last().unwrap().contact, contact(6));
}

#[test]
fn an_owner_that_lost_its_count_of_starts_continues_above_all_of_its_old_records() {
    let mut net = Net::joined(11, 15);
    net.peers[5].starts = 9;
    net.restart(5, &[], &[address(0)]);
    net.run_ms(3000);
    for n in 0..4 {
        net.publish(5, &aor(n), &contact(5));
    }
    net.run_ms(2000);
    net.peers[5].starts = 0;
    net.restart(5, &[], &[address(0)]);
    net.run_ms(3000);
    for n in 0..4 {
        net.publish(5, &aor(n), &contact(6));
    }
    net.run_ms(20_000);
    for n in 0..4 {
        assert_eq!(net.resolve(9, &aor(n)).0.last().unwrap().contact, contact(6), "{n}");
    }
}

#[test]
fn records_outlive_hours_by_touches_and_end_three_hours_after_their_owner() {
    let mut net = Net::joined(12, 15);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(4 * 3600 * 1000);
    assert_eq!(net.resolve(9, &aor(5)).0[0].contact, contact(5));
    let touched: u64 = net.peers.iter().map(|p| p.node.counters().verified).sum();
    assert!(touched < 15 * 14, "touches verify nothing anew: {touched}");
    net.peers[5].alive = false;
    net.run_ms(3 * 3600 * 1000 + 60_000);
    assert_eq!(net.resolve(9, &aor(5)).0, []);
    assert!(net.peers.iter().filter(|p| p.alive).all(|p| p.node.status().stored == 0));
}

#[test]
fn an_idle_node_sends_and_receives_less_than_forty_bytes_a_second() {
    let mut net = Net::joined(13, 40);
    for i in 0..40 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(600_000);
    let bytes = |net: &Net| -> u64 {
        let headers = |c: &Counters| 28 * (c.datagrams_in + c.datagrams_out);
        let of = |p: &net::Peer| {
            let c = p.node.counters();
            c.bytes_in + c.bytes_out + headers(c)
        };
        net.peers.iter().map(of).sum()
    };
    let before = bytes(&net);
    net.run_ms(7_200_000);
    let per_node = (bytes(&net) - before) / 40 / 7200;
    assert!(per_node < 40, "{per_node} B/s");
}

#[test]
fn lost_datagrams_cost_time_but_no_answer() {
    let mut net = Net::joined(14, 30);
    net.loss_percent = 10;
    for i in 0..30 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(30_000);
    for i in 0..30 {
        let reader = net.rng.below(30) as usize;
        assert_eq!(net.resolve(reader, &aor(i)).0[0].contact, contact(i));
    }
    let lost: u64 = net.peers.iter().map(|p| p.node.counters().members_lost).sum();
    assert!(lost < 30, "{lost} members taken for dead");
}

#[test]
fn absence_is_known_after_two_round_trips_and_costs_less_once_members_are_old() {
    let mut net = Net::joined(25, 30);
    for (hours, limit_ms) in [(0, 90), (2, 90)] {
        net.run_ms(hours * 3_600_000);
        let (start, sent) = (net.now, net.peers[3].node.counters().bytes_out);
        let id = net.lookup(3, &aor(77));
        net.run_ms(1600);
        let (at, ..) = *net.peers[3].done.iter().find(|(_, done, _)| *done == id).unwrap();
        assert!(at.since(start) < Duration::from_millis(limit_ms), "{:?}", at.since(start));
        let asked = (net.peers[3].node.counters().bytes_out - sent) / 1100;
        assert!(if hours == 0 { asked == 12 } else { (4..8).contains(&asked) }, "{asked}");
    }
}

#[test]
fn an_unreachable_holder_delays_a_look_up_by_nothing() {
    let mut net = Net::joined(16, 20);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    (0..20).filter(|i| *i > 11).for_each(|i| net.peers[i].alive = false);
    let start = net.now;
    let id = net.lookup(6, &aor(5));
    net.run_ms(1);
    let now = net.now;
    for i in 12..20 {
        net.with(6, |node| {
            node.send_failed(now, address(i));
            node.handle_timeout(now);
        });
    }
    net.run_ms(1500);
    let (at, _) = net.peers[6].found.iter().find(|(_, found)| found.lookup == id).unwrap();
    assert!(at.since(start) < Duration::from_millis(50));
}

#[test]
fn what_others_see_becomes_the_address_where_none_was_given() {
    let mut net = Net::joined(17, 6);
    let i = net.add(6, &[address(0)]);
    let now = net.now;
    let unspecified = [SocketAddr::from(([0, 0, 0, 0], 5070))];
    net.with(i, |node| node.set_local(now, &unspecified, &[]));
    net.run_ms(5000);
    net.publish(i, &aor(6), &contact(6));
    net.run_ms(1000);
    assert!(net.peers[i].events.contains(&OverlayEvent::PublicAddress(address(6))));
    assert_eq!(net.resolve(2, &aor(6)).0[0].addresses[..], [address(6)]);
    assert_eq!(net.peers[i].node.status().reachable, Reachability::Mapped);
    assert_eq!(net.peers[2].node.status().reachable, Reachability::Direct);
}

#[test]
fn an_address_that_the_router_in_front_opened_is_told_and_withdrawn() {
    let mut net = Net::joined(17, 6);
    net.publish(3, &aor(3), &contact(3));
    net.run_ms(1000);
    let outside = SocketAddr::from(([203, 0, 113, 9], 15_070));
    for (mapped, reachable) in [(Some(outside), Reachability::Mapped), (None, Reachability::Direct)]
    {
        let now = net.now;
        net.with(3, |node| node.set_mapped(now, mapped));
        net.run_ms(2000);
        let listed: Vec<_> = [address(3)].into_iter().chain(mapped).collect();
        assert_eq!(net.resolve(1, &aor(3)).0.last().unwrap().addresses[..], listed);
        assert_eq!(net.peers[3].node.status().reachable, reachable);
    }
}

#[test]
fn half_of_the_routers_change_their_address_in_one_minute() {
    let mut net = Net::joined(18, 40);
    for i in 0..40 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(10_000);
    for i in (0..40).step_by(2) {
        net.move_to(i, address(1000 + i));
        net.run_ms(3000);
    }
    net.run_ms(5000);
    for i in 0..40 {
        let reader = net.rng.below(40) as usize;
        let (found, took) = net.resolve(reader, &aor(i));
        assert_eq!(found.last().unwrap().addresses[..], [net.peers[i].address]);
        assert!(took < Duration::from_millis(400), "{took:?}");
    }
    let lost: u64 = net.peers.iter().map(|p| p.node.counters().members_lost).sum();
    assert!(lost < 80, "{lost}");
}

#[test]
fn one_seed_decides_a_whole_network() {
    let run = || {
        let mut net = Net::joined(19, 10);
        net.publish(1, &aor(1), &contact(1));
        net.resolve(2, &aor(1));
        net.peers.iter().map(|p| *p.node.counters()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
