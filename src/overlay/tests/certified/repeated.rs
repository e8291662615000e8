//! What others have kept of an owner, and repeat in its name.

use super::super::super::wire::Touch;
use super::super::net::Peer;
use super::*;
use crate::identity::record::AddressRecord;

const MINUTE_MS: u64 = 60_000;

/// A network in which node 5 has published, and its record and list as others keep them.
fn kept(seed: u8) -> (Net, Record, AddressRecord) {
    let mut net = certified(seed, 16);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    let (key, owner) = (key(&net.keys, 5), Provider::place(5));
    let of = |peer: &Peer| {
        let held = peer.node.store.get(key, &owner)?;
        Some((held.record.copied(), held.addresses?.copied()))
    };
    let others = net.peers.iter().enumerate().filter(|(n, _)| *n != 5);
    let (record, list) = others.filter_map(|(_, peer)| of(peer)).next().unwrap();
    (net, record, list)
}

fn holder(net: &Net) -> usize {
    (0..16).find(|n| ![5, 6].contains(n) && held(net, *n, 5) == 1).unwrap()
}

/// Somebody at an address that it has proven says something in the owner's name.
fn say(net: &mut Net, (at, from): (usize, SocketAddr), what: impl Fn(&[u8; 8]) -> Encoder) {
    let (now, keys) = (net.now, net.keys.clone());
    let token = net.peers[at].node.guard.token(&from);
    let said = { what(&token) }.finish(&keys, 0).to_vec();
    let _ = net.with(at, |node| node.handle_datagram(now, from, &said));
    net.run_ms(100);
}

#[test]
fn what_was_withdrawn_is_not_put_again_by_whoever_has_kept_it() {
    let (mut net, record, list) = kept(95);
    let (at, now, owner) = (holder(&net), net.now, Provider::place(5));
    net.with(5, |node| node.withdraw(now, &aor(5)));
    net.run_ms(3000);
    net.peers[5].alive = false;
    net.run_ms(200 * MINUTE_MS);
    assert_eq!(held(&net, at, 5), 0, "it was forgotten");
    let put = |token: &[u8; 8]| {
        Encoder::put_record(owner, 7, token, record.as_bytes(), Some(list.as_bytes()))
    };
    let bare = |token: &[u8; 8]| Encoder::put_record(owner, 7, token, record.as_bytes(), None);
    say(&mut net, (at, address(6)), put);
    say(&mut net, (at, address(6)), bare);
    assert_eq!((held(&net, at, 5), net.peers[at].node.counters().elsewhere), (0, 2));
    say(&mut net, (at, address(5)), put);
    assert_eq!(held(&net, at, 5), 1, "the owner itself may");
}

#[test]
fn a_record_lives_no_longer_for_touches_and_puts_of_others() {
    for (from, lives) in [(address(6), 0), (address(5), 1)] {
        let (mut net, record, list) = kept(96);
        let (at, owner, key) = (holder(&net), Provider::place(5), key(&net.keys, 5));
        net.peers[5].alive = false;
        for _ in 0..7 {
            net.run_ms(30 * MINUTE_MS);
            let (record_of, address_seq) = ((key, record.seq()), list.seq());
            say(&mut net, (at, from), |token| {
                let (addresses, certificate) = (None, None);
                let touch = Touch { record: record_of, address_seq, addresses, certificate };
                Encoder::touch(owner, 7, token, &touch)
            });
            say(&mut net, (at, from), |token| {
                Encoder::put_record(owner, 8, token, record.as_bytes(), Some(list.as_bytes()))
            });
        }
        assert_eq!(held(&net, at, 5), lives, "{from}");
    }
}
