//! Who is listed and who is not, and that neither costs the others more than a few datagrams.

use super::super::judge::Judged;
use super::super::*;
use super::net::nat::{Filter, Nat};
use super::net::{Net, address};
use std::net::IpAddr;

fn sum(net: &Net, of: impl Fn(&Counters) -> u64) -> u64 {
    net.peers.iter().map(|peer| of(peer.node.counters())).sum()
}

#[test]
fn of_many_behind_one_open_nat_two_are_listed_and_the_others_ask_for_nothing() {
    for seed in 0..10 {
        let mut net = Net::joined(20 + seed, 8);
        net.nats.push(Nat::new(IpAddr::from([100, 64, 7, 1]), Filter::Open, false, 120));
        for n in 100..106 {
            let inside = SocketAddr::from(([10, 0, 0, n as u8], 5070));
            let i = net.add_at(n, inside, Some(0));
            let now = net.now;
            net.with(i, |node| {
                node.set_local(now, &[], &[inside]);
                node.set_bootstrap(now, &[address(0)]);
            });
        }
        net.run_ms(120_000);
        for peer in &net.peers[..8] {
            assert_eq!(peer.node.status().peers, 9);
        }
        for peer in &net.peers[8..] {
            assert_eq!(peer.node.status().reachable, Reachability::Mapped);
        }
        let before = sum(&net, |c| c.datagrams_out);
        net.run_ms(600_000);
        let each = (sum(&net, |c| c.datagrams_out) - before) / 14;
        assert!(each < 200, "{each} datagrams of each in ten minutes");
    }
}

#[test]
fn a_member_that_only_those_reach_whom_it_asked_stays_one() {
    for seed in 0..10 {
        let mut net = Net::joined(40 + seed, 8);
        net.run_ms(60_000);
        let signed = sum(&net, |c| c.signed);
        let is_member = |net: &Net, i: &usize| net.peers[*i].node.judge.judged() == Judged::Member;
        let members: Vec<usize> = (0..8).filter(|i| is_member(&net, i)).collect();
        assert!(members.len() >= 4, "{members:?}");
        for i in members {
            let now = net.now;
            net.with(i, |node| node.judge_again(now));
            for _ in 0..100 {
                net.run_ms(100);
                assert!(is_member(&net, &i));
            }
        }
        assert_eq!(sum(&net, |c| c.signed), signed);
    }
}

#[test]
fn one_lost_ping_has_nobody_refused() {
    let mut refused = 0;
    for seed in 0..10 {
        let mut net = Net::joined(80 + seed, 20);
        net.loss_percent = 3;
        for n in 20..40 {
            net.add(n, &[address(0)]);
        }
        net.run_ms(30_000);
        refused += sum(&net, |c| c.members_refused);
    }
    assert!(refused < 20, "{refused} of some 8,000");
}
