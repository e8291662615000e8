//! Secrets of the network that change while it runs.

use super::net::*;
use crate::identity::NetworkKeys;

/// The keys of a file with these secrets.
fn keys(secrets: &[u8]) -> NetworkKeys {
    let lines: Vec<String> = secrets.iter().map(|secret| format!("{secret:064x}")).collect();
    NetworkKeys::parse(&lines.join("\n"), "test").unwrap()
}

#[test]
fn members_that_send_under_different_secrets_find_each_others_records() {
    let mut net = Net::new(15, 20);
    for i in 0..16 {
        let (first, second) = if i % 2 == 0 { (1, 2) } else { (2, 1) };
        net.keys = keys(&[first, second]);
        net.add(i, &[address(0)]);
    }
    net.run_ms(5000);
    net.publish(4, &aor(4), &contact(4));
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(2000);
    for (reader, n) in [(7, 4), (8, 4), (7, 5), (8, 5)] {
        assert_eq!(net.resolve(reader, &aor(n)).0[0].contact, contact(n));
        assert_eq!(net.peers[reader].done.last().unwrap().2, 1);
    }
    assert_eq!(net.resolve(7, &aor(9)).0, []);
}

/// Everybody takes other secrets, one after the other, and is found all the while.
fn roll(net: &mut Net, secrets: &[u8], published: &[usize]) {
    for i in 0..net.peers.len() {
        let changed = net.with(i, |node| node.set_network(&keys(secrets)));
        assert!(changed, "they were others");
        if published.contains(&i) {
            let now = net.now;
            net.with(i, |node| node.publish(now, &aor(i), &contact(i))).unwrap();
        }
        net.run_ms(700);
        for &n in published {
            let reader = (n + i + 1) % net.peers.len();
            let (found, _) = net.resolve(reader, &aor(n));
            assert_eq!(
                found.first().map(|f| f.contact.clone()),
                Some(contact(n)),
                "{i} {secrets:?}"
            );
        }
    }
}

#[test]
fn a_secret_is_exchanged_in_three_reloads_without_a_record_lost() {
    let mut net = Net::new(16, 20);
    net.keys = keys(&[1]);
    for i in 0..16 {
        net.add(i, &[address(0)]);
    }
    net.run_ms(5000);
    let published = [4, 9];
    for n in published {
        net.publish(n, &aor(n), &contact(n));
    }
    net.run_ms(2000);
    roll(&mut net, &[1, 2], &published);
    // Heard on arrival: one who sends under the new secret before all others.
    net.keys = keys(&[2, 1]);
    let late = net.add(16, &[address(0)]);
    net.run_ms(5000);
    for n in published {
        assert_eq!(net.resolve(late, &aor(n)).0[0].contact, contact(n));
    }
    net.with(late, |node| node.set_network(&keys(&[1, 2])));
    roll(&mut net, &[2, 1], &published);
    roll(&mut net, &[2], &published);
    // One record each is left: under the old secret they were withdrawn.
    net.run_ms(10_000);
    for n in published {
        let kept = net.peers[n].node.publications.len();
        assert_eq!(kept, 1);
    }
    // Who has only the old secret is a stranger now.
    net.keys = keys(&[1]);
    let stranger = net.add(17, &[address(0)]);
    net.run_ms(5000);
    assert!(!net.peers[stranger].node.status().joined);
    // The same secrets once more change nothing.
    assert!(!net.with(4, |node| node.set_network(&keys(&[2]))));
}
