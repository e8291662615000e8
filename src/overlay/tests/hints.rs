//! The table of hints against a plain list, and at its limits.

use super::super::hints::Hints;
use super::super::id::{Named, Node, closer, prefix};
use super::super::rows::LIFE_MIN;
use super::super::*;
use crate::identity::record::{ADDRESS_RECORD_BYTES_MAX, RECORD_BYTES_MAX};
use std::net::Ipv6Addr;

fn named(rng: &mut Rng, n: u32, six: bool) -> Named {
    let mut id = NodeId(rng.bytes());
    id.0[8..].fill(0);
    let ip: std::net::IpAddr = if six {
        Ipv6Addr::from((0x2001_0db8_u128 << 96) | u128::from(n) << 72 | 1).into()
    } else {
        [10, (n >> 16) as u8, (n >> 8) as u8, n as u8].into()
    };
    Named { node: Node { id, address: SocketAddr::new(ip, 5070) }, age_h: 0 }
}

fn closest<const N: usize>(hints: &Hints, target: &[u8; 16], minute: u16) -> Vec<Node> {
    let mut best = heapless::Vec::<Named, N>::new();
    hints.closest_into(target, minute, hints.six, &mut |_| false, best.as_mut_view());
    best.iter().map(|named| named.node).collect()
}

#[test]
fn it_agrees_with_a_list_under_news_moves_and_losses() {
    let mut rng = Rng::new([1; 32]);
    let mut hints = Hints::new(&NodeId([1; 16]), 64, &mut rng);
    let mut model: Vec<Node> = Vec::new();
    for step in 0..4000 {
        let minute = (step / 100) as u16;
        match rng.below(4) {
            0 if !model.is_empty() => {
                let at = rng.below(model.len() as u32) as usize;
                let gone = model.swap_remove(at);
                hints.forget(&gone);
            }
            1 if !model.is_empty() => {
                let at = rng.below(model.len() as u32) as usize;
                let moved = named(&mut rng, step, model[at].address.is_ipv6()).node.address;
                model[at].address = moved;
                assert!(hints.learn(&Named { node: model[at], age_h: 0 }, minute, true).0);
            }
            _ => {
                let new = named(&mut rng, step, step % 3 == 0);
                model.push(new.node);
                assert_eq!(hints.learn(&new, minute, true), (true, 0));
                assert_eq!(hints.learn(&new, minute, true), (false, 0));
            }
        }
        if step % 50 == 0 {
            let target = rng.bytes();
            model.sort_by(|a, b| closer(&target, &a.id.0, &b.id.0));
            let bits = rng.below(6);
            for six in [false, true] {
                hints.six = six;
                let of_family = || model.iter().filter(|node| node.address.is_ipv6() == six);
                let wanted: Vec<Node> = of_family().take(16).copied().collect();
                assert_eq!(closest::<16>(&hints, &target, minute), wanted, "{step}");
                let within = of_family().filter(|node| {
                    (prefix(&node.id) ^ prefix(&NodeId(target))).leading_zeros() >= bits
                });
                assert!(hints.count_within(&target, bits) >= within.count());
            }
        }
    }
}

#[test]
fn where_not_all_fit_a_stable_sample_stays_and_the_neighbourhood_is_whole() {
    let mut rng = Rng::new([2; 32]);
    let me = NodeId(rng.bytes());
    let mut hints = Hints::new(&me, 16, &mut rng);
    let all: Vec<Named> = (0..4000).map(|n| named(&mut rng, n, false)).collect();
    for named in &all {
        hints.learn(named, 1, false);
    }
    let first: Vec<bool> = all.iter().map(|n| hints.has_address(&n.node.address)).collect();
    assert!((700..=1280).contains(&hints.len()), "{}", hints.len());
    let mut near: Vec<Node> = all.iter().map(|named| named.node).collect();
    near.sort_by(|a, b| closer(&me.0, &a.id.0, &b.id.0));
    assert_eq!(closest::<32>(&hints, &me.0, 1), near[..32]);
    // The same again, in another order: mostly the same stay.
    for named in all.iter().rev() {
        hints.learn(named, 2, false);
    }
    let again = all.iter().zip(first).filter(|(n, was)| *was && hints.has_address(&n.node.address));
    assert!(again.count() > 650);
    assert!(hints.len() <= 1280);
}

#[test]
fn what_is_no_hint_any_more_goes_though_nobody_new_comes() {
    let mut rng = Rng::new([7; 32]);
    let mut hints = Hints::new(&NodeId([1; 16]), 64, &mut rng);
    let all: Vec<Named> = (0..512).map(|n| named(&mut rng, n, false)).collect();
    all.iter().for_each(|named| assert!(hints.learn(named, 1, true).0));
    let (gone, there) = all.split_at(100);
    gone.iter().for_each(|named| hints.forget(&named.node));
    for (n, named) in (1000..).zip(&there[..256]) {
        let address = SocketAddr::from(([10, 9, (n >> 8) as u8, n as u8], 5070));
        let moved = Node { address, ..named.node };
        assert!(hints.learn(&Named { node: moved, age_h: 0 }, 2, true).0);
    }
    assert_eq!(hints.len(), there.len());
}

#[test]
fn a_sample_becomes_larger_again_where_the_network_becomes_smaller() {
    let mut rng = Rng::new([8; 32]);
    let mut hints = Hints::new(&NodeId([1; 16]), 64, &mut rng);
    let mut all: Vec<Named> = (0..16_000).map(|n| named(&mut rng, n, false)).collect();
    all.iter().for_each(|named| assert!(hints.learn(named, 1, true).0));
    all.truncate(4000);
    let mut number = 16_000;
    for day in 1..=12 {
        for named in &mut all {
            number += 1;
            named
                .node
                .address
                .set_ip([11, (number >> 16) as u8, (number >> 8) as u8, number as u8].into());
            assert!(hints.learn(named, day * 24 * 60, true).0);
        }
    }
    let known = all.iter().filter(|named| hints.has_address(&named.node.address)).count();
    assert!(known > 2800, "{known} of 4000");
}

#[test]
fn an_address_named_for_two_ids_takes_no_third() {
    for six in [false, true] {
        let mut rng = Rng::new([3; 32]);
        let mut hints = Hints::new(&NodeId([1; 16]), 64, &mut rng);
        let mut crowded = 0;
        let mut learn =
            |hints: &mut Hints, count: u32, address: Option<SocketAddr>, minute: u32| {
                for n in 0..count {
                    let mut new = named(&mut rng, minute * 1000 + n, six);
                    new.node.address = address.unwrap_or(new.node.address);
                    crowded += hints.learn(&new, minute as u16, true).1;
                }
                crowded
            };
        let at = named(&mut Rng::new([4; 32]), 999_999, six).node.address;
        assert_eq!(learn(&mut hints, 1, Some(at), 1), 0);
        assert_eq!(learn(&mut hints, 511, None, 1), 0, "woven in");
        assert_eq!(learn(&mut hints, 5, Some(at), 2), 3, "news themselves are two at most");
        assert_eq!(learn(&mut hints, 254, None, 2), 4, "woven in: one more beside the first");
        let own = SocketAddr::from(([127, 0, 0, 1], 5070));
        assert_eq!(learn(&mut hints, 512, Some(own), 3), 4, "loopback is nobody's alone");
    }
}

#[test]
fn a_network_too_small_for_a_batch_knows_two_ids_at_an_address_too() {
    for (six, woven) in [(false, 0), (true, 0), (false, 256), (true, 256)] {
        let mut rng = Rng::new([9; 32]);
        let mut hints = Hints::new(&NodeId([1; 16]), 64, &mut rng);
        hints.six = six;
        let at = named(&mut rng, 999_999, six).node.address;
        let mut all: Vec<Named> = (0..5).map(|n| named(&mut rng, n, six)).collect();
        all.iter_mut().for_each(|named| named.node.address = at);
        assert_eq!(hints.learn(&all[0], 1, true), (true, 0));
        for n in 1..woven {
            hints.learn(&named(&mut rng, n, six), 1, true);
        }
        assert_eq!(hints.learn(&all[1], 1, true), (true, 0));
        for named in &all[2..] {
            assert_eq!(hints.learn(named, 1, true), (true, 1), "passed on, not kept");
        }
        assert_eq!(hints.learn(&Named { age_h: 0, ..all[0] }, 70, true), (true, 0), "itself");
        let there = |hints: &Hints| {
            let known = closest::<300>(hints, &[0; 16], 70);
            known.iter().filter(|node| node.address == at).count()
        };
        assert_eq!(there(&hints), 2);
        // Who has gone elsewhere, or is forgotten, makes room.
        let moved = named(&mut rng, 1000, six).node.address;
        let moved = Node { address: moved, ..all[0].node };
        assert_eq!(hints.learn(&Named { node: moved, age_h: 0 }, 71, true), (true, 0));
        assert_eq!(hints.learn(&all[2], 72, true), (true, 0));
        hints.forget(&all[1].node);
        assert_eq!(hints.learn(&all[3], 73, true), (true, 0));
        assert_eq!(hints.learn(&all[4], 74, true), (true, 1));
        assert_eq!(hints.learn(&all[4], 75 + LIFE_MIN, true), (true, 0));
    }
}

#[test]
fn a_hint_that_nobody_renews_is_forgotten_after_its_life_and_ages_on_its_way() {
    let mut rng = Rng::new([5; 32]);
    let mut hints = Hints::new(&NodeId([1; 16]), 64, &mut rng);
    let one = named(&mut rng, 1, false);
    hints.learn(&one, 100, true);
    assert_eq!(closest::<1>(&hints, &one.node.id.0, 100 + LIFE_MIN - 1), [one.node]);
    assert_eq!(closest::<1>(&hints, &one.node.id.0, 100 + LIFE_MIN), []);
    let mut hints = Hints::new(&NodeId([1; 16]), 64, &mut rng);
    // Old news does not make it younger, nor displaces what is newer.
    let old = Named { age_h: 30, ..named(&mut rng, 2, false) };
    hints.learn(&old, 200, false);
    assert_eq!(closest::<1>(&hints, &old.node.id.0, 200 + LIFE_MIN - 30 * 60), []);
    let moved = named(&mut rng, 3, false).node.address;
    let newer = Named { node: Node { address: moved, ..old.node }, age_h: 1 };
    hints.learn(&newer, 300, false);
    hints.learn(&old, 300, false);
    assert_eq!(closest::<1>(&hints, &old.node.id.0, 300), [newer.node]);
    let ancient = Named { age_h: (LIFE_MIN / 60) as u8, ..named(&mut rng, 4, false) };
    assert_eq!(hints.learn(&ancient, 400, true), (false, 0));
    // Where it said itself that it is, nobody who has not heard that displaces it.
    let late = named(&mut rng, 6, false);
    let before = Named { node: Node { address: moved, ..late.node }, age_h: 0 };
    assert_eq!(hints.learn(&before, 500, true), (true, 0));
    assert_eq!(hints.learn(&late, 510, true), (true, 0));
    let confirmed = Named { age_h: 0, ..late };
    for hearsay in [before, confirmed, before] {
        assert_eq!(hints.learn(&hearsay, 520, false), (false, 0));
    }
    assert_eq!(closest::<1>(&hints, &late.node.id.0, 511), [late.node]);
    assert_eq!(hints.learn(&before, 580, false), (true, 0));
    // Minutes wrap.
    let late = named(&mut rng, 5, false);
    hints.learn(&late, u16::MAX - 5, true);
    assert_eq!(closest::<1>(&hints, &late.node.id.0, 20), [late.node]);
}

#[test]
fn what_a_node_of_the_largest_network_keeps_at_default_settings_fits_into_640_kb() {
    let limits = Limits::default();
    let slot = |bytes: usize| bytes + 12;
    // Of 30,000 routers with three AORs each, twice its share of their twelve replicas.
    let (stored, published) = (72, 8);
    let longest = RECORD_BYTES_MAX + ADDRESS_RECORD_BYTES_MAX + 8;
    let records = (stored + published) * longest * shelf::GAPS_PART / (shelf::GAPS_PART - 1);
    let parts = [
        ("itself", size_of::<Overlay>()),
        ("hints", limits.table_kb as usize * 1024 + 256 * (16 + 28)),
        ("members", crate::limits::OVERLAY_MEMBERS_MAX * size_of::<table::Member>()),
        ("store", (stored + published) * (slot(size_of::<store::Entry>()) + 32)),
        ("records, the longest, and gaps between them", records),
        ("look-ups", limits.lookup_entries * slot(size_of::<lookup::Lookup>())),
        ("publications", published * slot(size_of::<publication::Publication>())),
        ("hints to be passed on", crate::limits::OVERLAY_GOSSIP_BYTES_MAX),
        ("probes", 128 * size_of::<id::Node>()),
        ("what happened lately", (2 * 256 + 3 * 1024 + 64) * 4),
        ("receipts", 24 * crate::identity::statement::STATEMENT_BYTES),
        ("members that are no use as holders", watch::SCORE_BYTES),
        ("signatures verified", crate::limits::OVERLAY_VERIFIED_MAX * 8),
    ];
    let sum: usize = parts.iter().map(|(_, bytes)| bytes).sum();
    assert!(sum <= 640 * 1024, "{sum}: {parts:?}");
}
