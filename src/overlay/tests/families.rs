//! Networks whose routers have IPv4, IPv6 or both: who is a member, and who finds whom.

use super::super::hints::Hints;
use super::super::id::{Named, Node};
use super::super::judge::Judged;
use super::super::*;
use super::net::{Net, address, address6, aor, contact};
use super::reach::{Behind, add_behind};

/// Adds a node with such addresses, that joins through node 0.
fn add(net: &mut Net, n: usize, four: bool, six: bool) -> usize {
    add_by(net, n, (four, six), &[address6(0), address(0)])
}

fn add_by(net: &mut Net, n: usize, (four, six): (bool, bool), by: &[SocketAddr]) -> usize {
    let own = six.then(|| address6(n)).into_iter().chain(four.then(|| address(n)));
    let own: Vec<_> = own.collect();
    let i = net.add_at(n, own[0], None);
    net.peers[i].other = own.get(1).copied();
    let now = net.now;
    net.with(i, |node| {
        node.set_local(now, &own, &[]);
        node.set_bootstrap(now, if n == 0 { &[] } else { by });
    });
    net.run_ms(200);
    i
}

fn judged(net: &Net, i: usize) -> (bool, Judged) {
    (net.peers[i].node.hints.six, net.peers[i].node.judge.judged())
}

fn everybody_finds_everybody(net: &mut Net) {
    let count = net.peers.len();
    (0..count).for_each(|i| net.publish(i, &aor(i), &contact(i)));
    net.run_ms(5_000);
    for i in 0..count {
        for n in [1, count / 3, count / 2, count - 1] {
            let callee = (i + n) % count;
            let (found, _) = net.resolve(i, &aor(callee));
            assert_eq!(found.first().map(|it| it.contact.clone()), Some(contact(callee)), "{i}");
        }
    }
}

#[test]
fn whoever_has_ipv6_alone_and_whoever_is_behind_a_nat_with_ipv4_find_each_other_by_those_of_both() {
    let mut net = Net::new(40, 20);
    (0..14).for_each(|n| _ = add(&mut net, n, true, true));
    let readers: Vec<_> = (14..40).map(|n| add(&mut net, n, false, true)).collect();
    let nat = Behind::Nat(super::net::nat::Filter::Port, false);
    (40..46).for_each(|n| _ = add_behind(&mut net, n, nat));
    net.run_ms(900_000);
    for i in 0..14 {
        assert_eq!(judged(&net, i), (false, Judged::Member), "{i}");
        let listed = |reader: &&usize| {
            let id = net.peers[**reader].node.me;
            net.peers[i].node.members.get(&id).is_some()
        };
        assert_eq!(readers.iter().filter(listed).count(), 0, "{i}");
    }
    readers.iter().for_each(|i| assert_eq!(judged(&net, *i), (true, Judged::Client), "{i}"));
    everybody_finds_everybody(&mut net);
    for (i, peer) in net.peers.iter().enumerate() {
        assert_eq!(peer.node.status().stored > 0, i < 14, "{i}");
    }
}

#[test]
fn where_few_have_ipv4_all_deal_in_ipv6() {
    let mut net = Net::new(41, 20);
    (0..16).for_each(|n| _ = add(&mut net, n, false, true));
    (16..19).for_each(|n| _ = add(&mut net, n, true, true));
    net.run_ms(900_000);
    for i in 0..19 {
        assert_eq!(judged(&net, i), (true, Judged::Member), "{i}");
    }
    everybody_finds_everybody(&mut net);
}

#[test]
fn a_network_of_both_is_one_of_ipv4_though_it_is_joined_by_ipv6() {
    let mut net = Net::new(42, 20);
    (0..12).for_each(|n| _ = add_by(&mut net, n, (true, true), &[address6(0)]));
    net.run_ms(60_000);
    for i in 0..12 {
        assert_eq!(judged(&net, i), (false, Judged::Member), "{i}");
        assert_eq!(net.peers[i].node.status().peers, 11, "{i}");
    }
    net.record = true;
    net.run_ms(1_500_000);
    let mut sent = net.peers.iter().flat_map(|peer| &peer.keep).peekable();
    assert!(sent.peek().is_some() && sent.all(|(to, _)| to.is_ipv4()), "nobody is asked twice");
}

#[test]
fn who_loses_the_family_that_it_dealt_in_deals_in_the_other() {
    let mut net = Net::new(43, 20);
    (0..12).for_each(|n| _ = add(&mut net, n, true, true));
    net.run_ms(900_000);
    let now = net.now;
    net.peers[5].other = None;
    net.with(5, |node| node.set_local(now, &[address6(5)], &[]));
    net.run_ms(120_000);
    assert_eq!(judged(&net, 5), (true, Judged::Client));
    everybody_finds_everybody(&mut net);
}

#[test]
fn a_member_may_be_in_both_lists_of_hints_and_is_looked_for_in_one() {
    let mut rng = Rng::new([9; 32]);
    let mut hints = Hints::new(&NodeId([1; 16]), 64, &mut rng);
    let mut id = NodeId(rng.bytes());
    id.0[8..].fill(0);
    let [four, six] = [address(7), address6(7)].map(|address| Node { id, address });
    for node in [four, six] {
        assert_eq!(hints.learn(&Named { node, age_h: 0 }, 1, true), (true, 0));
    }
    let closest = |hints: &Hints, six| {
        let mut best = heapless::Vec::<Named, 1>::new();
        hints.closest_into(&id.0, 2, six, &mut |_| false, best.as_mut_view());
        best.first().map(|named| named.node)
    };
    for others in [0, 300] {
        for n in 1000..1000 + others {
            let mut id = NodeId(rng.bytes());
            id.0[8..].fill(0);
            for address in [address(n), address6(n)] {
                hints.learn(&Named { node: Node { id, address }, age_h: 0 }, 1, true);
            }
        }
        assert_eq!((hints.len(), hints.counts()), (1 + others, [1 + others; 2]));
        assert_eq!([false, true].map(|six| closest(&hints, six)), [Some(four), Some(six)]);
        assert_eq!(hints.elsewhere(&id, 2).map(|it| it.node), Some(six));
    }
    hints.forget(&four);
    assert_eq!(hints.elsewhere(&id, 2).map(|it| it.node), Some(six), "where it was not asked");
    hints.six = true;
    assert_eq!(hints.elsewhere(&id, 2), None);
}
