//! What ends, what is revoked, what is renewed, and what changes while a network runs.

use super::*;

#[test]
fn what_has_ended_is_given_out_by_nobody_and_read_by_nobody() {
    let mut net = certified(84, 20);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    let now = net.now;
    // The reader's clock alone is late: it gets the record, and does not take it.
    net.with(9, |node| node.set_clock(now, clock(now, 12)));
    assert_eq!(net.resolve(9, &aor(5)).0.len(), 1, "its last day is not over");
    net.with(9, |node| node.set_clock(now, clock(now, 14)));
    assert_eq!(net.resolve(9, &aor(5)).0, []);
    assert!(net.peers[9].node.counters().expired > 0);
    // All others' are: it is not given out.
    let reader = (0..20).find(|i| ![5, 9].contains(i) && held(&net, *i, 5) == 0).unwrap();
    for i in (0..20).filter(|i| *i != reader) {
        net.with(i, |node| node.set_clock(now, clock(now, 14)));
    }
    assert_eq!(net.resolve(reader, &aor(5)).0, []);
    assert_eq!(net.peers[reader].node.counters().expired, 0);
    // Its owner says so of a touch, and does not put it.
    let before = refused(&net);
    net.run_ms(2 * 3600 * 1000);
    assert_eq!(refused(&net), before);
    let keys = net.keys.clone();
    let identity = net.provider.as_ref().unwrap().identity(5, &keys);
    let record = Record::sign(&identity, keys.network(), &aor_key(&keys, 5), 1 << 40, None);
    assert!(put(&mut net, 2, 5, &record).is_err());
    assert_eq!(refused(&net)[1], before[1] + 1);
}

#[test]
fn what_is_revoked_is_gone_at_once_and_nobody_takes_it_again() {
    let mut net = certified(85, 14);
    for i in [5, 6] {
        net.publish(i, &aor(SHARED), &contact(i));
    }
    net.run_ms(3000);
    let (now, keys) = (net.now, net.keys.clone());
    let trust = net.provider.as_ref().unwrap().revoking(5, &keys);
    net.with(9, |node| node.set_trust(now, &trust));
    let (found, _) = net.resolve(9, &aor(SHARED));
    let users: Vec<_> = found.iter().map(|found| found.contact.clone()).collect();
    assert_eq!(users, [contact(6)]);
    assert!(net.peers[9].node.counters().revoked > 0);
    for i in 0..14 {
        net.with(i, |node| node.set_trust(now, &trust));
    }
    let (found, _) = net.resolve(3, &aor(SHARED));
    let users: Vec<_> = found.iter().map(|found| found.contact.clone()).collect();
    assert_eq!(users, [contact(6)]);
    assert_eq!(net.peers[3].node.counters().revoked, 0, "nobody gives it out");
    let identity = net.provider.as_ref().unwrap().identity(5, &keys);
    let record = Record::sign(
        &identity,
        keys.network(),
        &aor_key(&keys, SHARED),
        1 << 40,
        Some(&contact(5)),
    );
    let before = refused(&net);
    assert!(put(&mut net, 2, 5, &record).is_err());
    assert_eq!(refused(&net)[2], before[2] + 1);
}

#[test]
fn a_renewed_certificate_goes_out_with_every_record_and_nobody_misses_one() {
    let mut net = certified(86, 14);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    let keys = net.keys.clone();
    let mut renewed = Provider::new(1);
    renewed.validity = Validity { from_s: BEGIN_S + 7 * DAY_S, until_s: BEGIN_S + 21 * DAY_S };
    let certificates = [renewed.certificate(5, &keys), renewed.certificate(5, &keys)];
    for days in [7, 14] {
        let now = net.now;
        for i in 0..14 {
            net.with(i, |node| node.set_clock(now, clock(now, days)));
        }
        if days == 7 {
            assert!(net.with(5, |node| node.set_certificates(now, &certificates)));
        }
        for reader in [1, 4, 9, 12, 3, 8] {
            let id = net.lookup(reader, &aor(5));
            net.run_ms(120);
            let found = net.peers[reader].found.iter().any(|(_, found)| found.lookup == id);
            assert!(found, "day {days}, reader {reader}");
        }
        net.run_ms(3000);
    }
    assert!(net.peers[5].node.is_published(&aor(5)).unwrap() >= 12);
    assert_eq!(refused(&net), [0; 5]);
    let now = net.now;
    assert!(net.with(5, |node| node.set_certificates(now, &certificates)), "nothing is new");
    assert_eq!(net.peers[5].node.unsigned.len(), 0);
    let other = [Provider::new(1).certificate(6, &keys)];
    assert!(!net.with(5, |node| node.set_certificates(now, &other)), "it would be elsewhere");
}

#[test]
fn an_anchor_is_replaced_while_everything_goes_on() {
    let mut net = certified(87, 14);
    for i in 0..14 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(3000);
    let keys = net.keys.clone();
    let all_found = |net: &mut Net, step: &str| {
        for i in 0..14 {
            let reader = (i + 3) % 14;
            let id = net.lookup(reader, &aor(i));
            net.run_ms(150);
            let found = net.peers[reader].found.iter().any(|(_, found)| found.lookup == id);
            assert!(found, "{step}: {i}");
        }
    };
    let both = Provider { anchors: vec![1, 2], issuing: 2, ..Provider::new(1) };
    let new = Provider { anchors: vec![2], issuing: 2, ..Provider::new(1) };
    for (step, provider) in [("both are heard", &both), ("the old one is forgotten", &new)] {
        for i in 0..14 {
            let now = net.now;
            let trust = provider.trust();
            net.with(i, |node| node.set_trust(now, &trust));
            net.run_ms(200);
        }
        all_found(&mut net, step);
        for i in 0..14 {
            let now = net.now;
            let renewed = [provider.certificate(i, &keys)];
            assert!(net.with(i, |node| node.set_certificates(now, &renewed)), "the same place");
            net.run_ms(100);
        }
        all_found(&mut net, step);
        net.run_ms(5000);
        all_found(&mut net, step);
    }
    assert_eq!(refused(&net), [0; 5]);
}

#[test]
fn a_router_in_1970_learns_from_certificates_how_late_it_is() {
    let mut net = certified(88, 6);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(2000);
    let late = net.add(7, &[address(0)]);
    let now = net.now;
    let floor_s = u64::from(BEGIN_S - 20 * DAY_S);
    let unset = |floor_s: u64| Clock { unix_s: None, floor_s };
    net.peers[late].node.vouching = vouching::Vouching::new(now);
    let trust = net.provider.as_ref().unwrap().trust();
    net.with(late, |node| {
        node.set_trust(now, &trust);
        node.set_clock(now, unset(floor_s));
    });
    net.run_ms(5000);
    assert_eq!(net.resolve(late, &aor(5)).0.len(), 1, "what begins later counts");
    let now = net.now;
    let issued_s = u64::from(net.provider.as_ref().unwrap().validity.from_s);
    let floor_s = net.peers[late].node.time_floor_s(now);
    assert!((issued_s..issued_s + 10).contains(&floor_s), "{floor_s}");
    net.with(late, |node| node.set_clock(now, unset(5)));
    assert_eq!(net.peers[late].node.time_floor_s(now), floor_s, "it never goes back");
    // A day of being there is a day.
    net.with(late, |node| node.set_clock(now, unset(issued_s + 13 * u64::from(DAY_S))));
    assert_eq!(net.resolve(late, &aor(5)).0.len(), 1);
    net.run_ms(25 * 3600 * 1000);
    assert_eq!(net.resolve(late, &aor(5)).0, []);
    assert!(net.peers[late].node.counters().expired > 0);
}

#[test]
fn a_network_takes_certificates_up_while_it_runs() {
    let mut net = Net::joined(89, 14);
    for i in 0..14 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(3000);
    let keys = net.keys.clone();
    for i in 0..14 {
        let now = net.now;
        let provider = Provider::new(1);
        let identity = provider.identity(i, &keys);
        let ended = net.lookup(i, &aor(77));
        net.with(i, |node| {
            provider.instruct(node, now);
            assert!(!node.set_certificates(now, identity.certificates()));
            node.take_place(now, &identity);
            node.set_local(now, &[address(i)], &[]);
        });
        assert!(net.peers[i].done.iter().any(|(_, done, _)| *done == ended), "{i}");
        let contact: Contact = contact(i);
        net.publish(i, &aor(i), &contact);
        net.run_ms(500);
    }
    net.run_ms(120_000);
    for i in 0..14 {
        assert_eq!(net.peers[i].node.id(), Provider::place(i));
        assert!(net.peers[i].node.status().peers >= 13, "{i}");
        let (found, _) = net.resolve((i + 5) % 14, &aor(i));
        assert_eq!((found.len(), found[0].owner), (1, Provider::place(i)));
    }
}
