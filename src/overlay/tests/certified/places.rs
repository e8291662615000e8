//! Who says where somebody is: only whose key is bound to that place.

use super::super::super::id::Node;
use super::super::super::wire::Touch;
use super::*;
use crate::identity::record::{AddressList, AddressRecord, RendezvousList};

/// Tells a member addresses, from an address that is proven to it, in somebody's name.
fn tell(
    net: &mut Net,
    at: usize,
    (name, from): (NodeId, SocketAddr),
    addresses: &AddressRecord,
    certificate: Option<&Certificate>,
) {
    let keys = net.keys.clone();
    let token = net.peers[at].node.guard.token(&from);
    let certificate = certificate.map(Certificate::as_bytes);
    let (record, address_seq) = ((Key([0; 16]), 0), addresses.seq());
    let addresses = Some(addresses.as_bytes());
    let touch = Touch { record, address_seq, addresses, certificate };
    let (now, mut touch) = (net.now, Encoder::touch(name, 7, &token, &touch));
    let touch = touch.finish(&keys, 0).to_vec();
    let _ = net.with(at, |node| node.handle_datagram(now, from, &touch));
    net.run_ms(50);
}

fn list(identity: &Identity, network: &[u8; 16], at: SocketAddr) -> AddressRecord {
    numbered(identity, network, 1 << 40, at)
}

fn numbered(identity: &Identity, network: &[u8; 16], seq: u64, at: SocketAddr) -> AddressRecord {
    let own: AddressList = [at].into_iter().collect();
    AddressRecord::sign(identity, network, seq, &own, &RendezvousList::new())
}

#[test]
fn an_address_moves_only_by_the_key_that_is_bound_to_its_place() {
    let mut net = certified(90, 8);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    let keys = net.keys.clone();
    let victim = Provider::place(5);
    let provider = net.provider.as_ref().unwrap();
    let (own, thief) = (provider.identity(5, &keys), provider.identity(6, &keys));
    let [own_certificate, thiefs] = [5, 6].map(|n| provider.certificate(n, &keys));
    let hidden = SocketAddr::from(([127, 9, 9, 9], 5070));
    // Its own key, the victim's place.
    let claimed = list(&thief.claiming(&own, false), keys.network(), hidden);
    assert_eq!(claimed.place(), Some(victim));
    // The victim's key by name, another's signature.
    let forged = list(
        &thief.claiming(&own, true).certified(std::slice::from_ref(&own_certificate)),
        keys.network(),
        hidden,
    );
    let moved = |net: &Net| {
        let node = &net.peers[2].node;
        let listed = node.store.addresses_of(&victim).map(|list| list.addresses());
        (node.address_of(victim), listed.unwrap_or_default().contains(&hidden))
    };
    for is_held in [true, false] {
        if !is_held {
            // A member that has no record of the victim, only knows it.
            let now = net.now;
            net.with(2, |node| node.store.set_certified(true));
            net.with(2, |node| node.handle_timeout(now));
        }
        assert_eq!(held(&net, 2, 5), usize::from(is_held));
        for (n, certificate) in
            [None, Some(&thiefs), Some(&own_certificate)].into_iter().enumerate()
        {
            for (kind, addresses) in [(4, &claimed), (3, &forged)] {
                let before = refused(&net);
                tell(&mut net, 2, (victim, hidden), addresses, certificate);
                let after = refused(&net);
                assert_eq!(moved(&net), (Some(address(5)), false), "{is_held} {n} {kind}");
                let counted: u64 = (0..5).map(|at| after[at] - before[at]).sum();
                assert_eq!(counted, 1, "{is_held} {n} {kind}: {before:?} {after:?}");
            }
        }
    }
    // With its own key it moves at once; where no record tells which that is, by its certificate.
    let genuine = list(&own, keys.network(), hidden);
    tell(&mut net, 2, (victim, hidden), &genuine, None);
    assert_eq!(net.peers[2].node.address_of(victim), Some(address(5)), "nothing tells whose it is");
    tell(&mut net, 2, (victim, hidden), &genuine, Some(&own_certificate));
    assert_eq!(net.peers[2].node.address_of(victim), Some(hidden));
}

#[test]
fn who_has_got_an_address_that_a_member_had_before_is_not_taken_for_it() {
    let mut net = certified(95, 8);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    let keys = net.keys.clone();
    let (victim, own) = (Provider::place(5), net.provider.as_ref().unwrap().identity(5, &keys));
    let [left, there] = [8, 9].map(|n| SocketAddr::from(([127, 9, 9, n], 5070)));
    let older = numbered(&own, keys.network(), 1 << 40, left);
    let newer = numbered(&own, keys.network(), 1 << 41, there);
    for (list, from, believed) in [
        (&older, left, left),
        (&newer, there, there),
        (&older, left, there),
        (&newer, there, there),
    ] {
        tell(&mut net, 2, (victim, from), list, None);
        assert_eq!(net.peers[2].node.address_of(victim), Some(believed));
    }
}

#[test]
fn a_record_under_another_place_or_an_older_number_is_refused() {
    let mut net = certified(91, 8);
    let keys = net.keys.clone();
    let sign = |identity: &Identity, seq: u64| {
        Record::sign(identity, keys.network(), &aor_key(&keys, 5), seq, Some(&contact(5)))
    };
    let provider = net.provider.as_ref().unwrap();
    let own = provider.identity(5, &keys);
    let elsewhere = Provider::authority(1, keys.network()).certify(&Subject {
        serial: 5,
        key: identity(5).public(),
        place: NodeId([0x77; 16]),
        validity: provider.validity,
        keys: &[key(&keys, 5)],
    });
    let displaced = sign(&identity(5).certified(&[elsewhere]), 1 << 41);
    assert_eq!(put(&mut net, 2, 5, &sign(&own, 1 << 40)), Ok(()));
    assert_eq!(put(&mut net, 2, 5, &displaced), Err(Rejected::Unauthorized));
    assert_eq!(refused(&net), [0, 0, 0, 0, 1]);
    assert_eq!(put(&mut net, 2, 5, &sign(&own, 1 << 39)), Ok(()), "it is told the newer one");
    assert_eq!(net.peers[2].node.counters().stale_record, 1);
    let found = net.peers[2].node.store.get(key(&keys, 5), &Provider::place(5)).unwrap();
    assert_eq!(found.record.seq(), 1 << 40);
    // Another key that was certified for the same place, by mistake or by malice.
    let twin = Provider::authority(1, keys.network()).certify(&Subject {
        serial: 6,
        key: identity(6).public(),
        place: Provider::place(5),
        validity: Provider::new(1).validity,
        keys: &[key(&keys, 5)],
    });
    let twin = sign(&identity(6).certified(&[twin]), 1 << 41);
    let before = refused(&net);
    assert_eq!(put(&mut net, 2, 5, &twin), Err(Rejected::Unauthorized));
    assert_eq!(refused(&net)[4], before[4] + 1);
}

#[test]
fn neighbours_that_hold_nothing_hear_of_a_new_address_at_once() {
    let mut net = certified(92, 20);
    net.run_ms(2000);
    net.move_to(5, address(500));
    net.run_ms(300);
    let id = Provider::place(5);
    let moved = net.peers.iter().filter(|p| p.node.address_of(id) == Some(address(500))).count();
    assert!(moved >= 16, "{moved}");
    assert_eq!(refused(&net), [0; 5]);
    let member = net.peers[3].node.members.get(&id).unwrap().node();
    assert_eq!(member, Node { id, address: address(500) });
}

/// Has a member asked to list a node that shows this; whether it does.
fn lists(
    net: &mut Net,
    at: usize,
    node: Node,
    certificate: &Certificate,
    addresses: &AddressRecord,
) -> bool {
    let keys = net.keys.clone();
    // It is not asked again within five seconds.
    net.run_ms(6000);
    net.record = true;
    net.peers[at].keep.clear();
    let now = net.now;
    net.with(at, |member| member.list(now, &node, false));
    net.record = false;
    let kept = core::mem::take(&mut net.peers[at].keep);
    let asked = kept.iter().find_map(|(to, data)| {
        let frame = Frame::parse(data, &keys).ok()?;
        let asks = *to == node.address && matches!(frame.body, Body::Who(_));
        asks.then_some((frame.request, data.len()))
    });
    let (request, len) = asked.unwrap();
    let hello = net.peers[at].node.hello(now, &node);
    let (certificate, addresses) = (certificate.as_bytes(), addresses.as_bytes());
    let mut shown = Encoder::credentials(node.id, request, &hello, certificate, addresses);
    let shown = shown.finish(&keys, 0).to_vec();
    assert!(shown.len() <= len, "no larger than the question");
    let _ = net.with(at, |member| member.handle_datagram(now, node.address, &shown));
    net.run_ms(200);
    let listed = net.peers[at].node.members.get(&node.id);
    listed.is_some_and(|member| member.address() == node.address)
}

#[test]
fn who_repeats_what_another_has_shown_is_not_listed_in_its_place() {
    let mut net = certified(93, 8);
    let keys = net.keys.clone();
    let provider = Provider::new(1);
    let (own, other) = (provider.identity(50, &keys), provider.identity(51, &keys));
    let [certificate, others] = [50, 51].map(|n| provider.certificate(n, &keys));
    let network = keys.network();
    let node = Node { id: own.id(), address: address(70) };
    let elsewhere = list(&own, network, address(50));
    let claimed = list(&other.claiming(&own, false), network, address(70));
    let genuine = list(&own, network, address(70));
    let ended = Provider { validity: Validity { from_s: 5, until_s: 6 }, ..Provider::new(1) };
    let ended = ended.certificate(50, &keys);
    for (kind, certificate, addresses) in
        [(4, &others, &claimed), (4, &certificate, &claimed), (1, &ended, &genuine)]
    {
        let before = refused(&net);
        assert!(!lists(&mut net, 2, node, certificate, addresses), "{kind}");
        let after = refused(&net);
        assert_eq!(after[kind], before[kind] + 1, "{before:?} {after:?}");
    }
    assert!(!lists(&mut net, 2, node, &certificate, &elsewhere));
    assert_eq!(net.peers[2].node.counters().elsewhere, 1);
    let mut forged = genuine.as_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = AddressRecord::parse(&forged).unwrap();
    let before = refused(&net);
    assert!(!lists(&mut net, 2, node, &certificate, &forged));
    assert_eq!(refused(&net)[3], before[3] + 1);
    assert!(lists(&mut net, 2, node, &certificate, &genuine));
}

#[test]
fn who_says_an_id_that_it_cannot_show_is_listed_by_nobody() {
    let mut net = certified(94, 8);
    let keys = net.keys.clone();
    let provider = Provider::new(1);
    let wanted = provider.identity(50, &keys);
    // One without a certificate, and one with its own.
    for (n, liar) in [(60, identity(60)), (61, provider.identity(61, &keys))] {
        let i = net.add_at(n, address(n), None);
        let now = net.now;
        net.with(i, |node| {
            node.take_place(now, &liar.claiming(&wanted, false));
            node.set_local(now, &[address(n)], &[]);
            node.set_bootstrap(now, &[address(0)]);
        });
        net.run_ms(30_000);
        assert_eq!(net.peers[i].node.id(), wanted.id());
        assert!(net.peers[i].node.status().peers >= 7, "it can see the others");
        let listed = (0..8).filter(|at| net.peers[*at].node.members.get(&wanted.id()).is_some());
        assert_eq!(listed.count(), 0, "{n}");
        net.peers[i].alive = false;
    }
    assert!(refused(&net)[4] > 0);
    let honest = net.add(62, &[address(0)]);
    net.run_ms(30_000);
    let id = net.peers[honest].node.id();
    let listed = (0..8).filter(|at| net.peers[*at].node.members.get(&id).is_some());
    assert_eq!(listed.count(), 8);
}
