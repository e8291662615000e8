//! Who talks to whom where certificates are asked for, and for what they vouch.

use super::net::{Net, Seen, identity, network, notice};
use super::{DownReason, seconds};
use crate::identity::authority::{Authority, Subject};
use crate::identity::chain::Validity;
use crate::identity::record::Key;
use crate::identity::revocation::{Revocations, Revoked};
use crate::identity::trust::{Clock, Trust};
use crate::identity::{Certificate, Identity};
use std::sync::Arc;

const DAY_S: u32 = 86_400;
const TODAY: u32 = 100;

fn key_of(seed: u8) -> Identity {
    Identity::from_seed([seed; 32]).unwrap()
}

fn anchor(seed: u8, network: &[u8; 16]) -> Authority {
    Authority::anchor(key_of(seed), network)
}

/// What the provider's issuing key signs, in this network.
fn issued(node: usize, network: &[u8; 16]) -> Certificate {
    let validity = Validity { from_s: 0, until_s: 365 * DAY_S };
    let delegation = anchor(200, network).delegate(1, &key_of(201).public(), validity);
    let key = identity(node).public();
    Authority::issuing(key_of(201), network, delegation).certify(&Subject {
        serial: 10 + node as u64,
        key,
        place: Authority::place(&[5; 32], &key),
        validity: Validity { from_s: (TODAY - 1) * DAY_S, until_s: (TODAY + 13) * DAY_S },
        keys: &[Key([node as u8; 16])],
    })
}

fn trust(revoked: &[u64]) -> Arc<Trust> {
    let entry = |serial: &u64| Revoked { serial: *serial, ends_day: 200, number: 1 };
    let entries: Vec<Revoked> = revoked.iter().map(entry).collect();
    let head = anchor(200, network().network()).revoke(1, TODAY * DAY_S, &entries);
    let revocations = Revocations::default().updated(&head, &entries, 10).unwrap();
    Arc::new(Trust { anchors: [key_of(200).public()].into_iter().collect(), revocations })
}

fn on(day: u32) -> Clock {
    Clock { unix_s: Some(u64::from(day * DAY_S)), floor_s: 0 }
}

/// Nodes that ask for certificates; those of whom one is given show it.
fn town(shown: &[Option<Certificate>]) -> Net {
    let mut net = Net::new(shown.len(), 1);
    for (at, certificate) in shown.iter().enumerate() {
        let certificates: Vec<Certificate> = certificate.iter().cloned().collect();
        let channel = &mut net.nodes[at].channel;
        channel.set_identity(&identity(at).certified(&certificates));
        channel.set_trust(trust(&[]), on(TODAY));
    }
    net
}

fn own(node: usize) -> Option<Certificate> {
    Some(issued(node, network().network()))
}

#[test]
fn the_certified_talk_and_vouch_for_what_their_certificates_list() {
    let mut net = town(&[own(0), own(1), own(2)]);
    net.open(0, 1);
    net.send(0, 1, &notice("call-1"));
    net.run(seconds(1));
    let peers = [0, 1].map(|node| net.id(node));
    assert_eq!(net.nodes[0].seen, [Seen::Up(peers[1])]);
    assert_eq!(net.nodes[1].seen.len(), 2);
    for (here, there) in [(0, 1), (1, 0)] {
        let channel = &net.nodes[here].channel;
        assert!(channel.vouches(peers[there], &Key([there as u8; 16])));
        assert!(!channel.vouches(peers[there], &Key([9; 16])), "a foreign number");
    }
    // Two signatures vouch for a peer, and the provider's delegation is verified once.
    assert_eq!(net.counters(0).public_key_operations, 4 + 2);
    net.open(0, 2);
    net.run(seconds(1));
    assert_eq!(net.counters(0).public_key_operations, 6 + 4 + 1);
}

#[test]
fn whoever_shows_no_certificate_that_counts_is_refused_at_either_end() {
    let elsewhere = crate::identity::NetworkKeys::new(&[9; 32], "another");
    let foreign = issued(1, elsewhere.network());
    let mut forged = own(1).unwrap().as_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = Certificate::parse(&forged).unwrap();
    for shown in [None, Some(foreign), Some(forged)] {
        for (opener, responder) in [(0, 1), (1, 0)] {
            let mut net = town(&[own(0), shown.clone()]);
            let peer = net.id(responder);
            net.open(opener, responder);
            net.send(opener, responder, &notice("call-1"));
            net.run(seconds(8));
            assert!(net.counters(0).untrusted > 0, "{shown:?}");
            assert!(net.nodes[0].channel.sessions().next().is_none());
            assert!(!net.nodes[0].seen.iter().any(|seen| matches!(seen, Seen::Notice(..))));
            if opener == 0 {
                assert_eq!(net.nodes[0].seen, [Seen::Down(peer, DownReason::Untrusted)]);
            }
        }
    }
}

#[test]
fn a_certificate_of_anothers_key_or_place_proves_nothing() {
    let mut net = town(&[own(0), own(1), own(2)]);
    // The third one shows the second one's, and claims its place.
    let stolen = identity(1).certified(&[own(1).unwrap()]);
    net.nodes[2].channel.set_identity(&stolen.claiming(&identity(2), true));
    let victim = net.id(1);
    let impostor = net.nodes[2].address;
    net.nodes[0].channel.open(net.now, victim, &[impostor]).unwrap();
    net.drain(0);
    net.run(seconds(8));
    assert!(net.nodes[0].channel.sessions().next().is_none());
}

#[test]
fn what_expires_or_is_revoked_vouches_no_longer_and_opens_nothing_new() {
    for (trust, clock) in [(trust(&[]), on(TODAY + 14)), (trust(&[11]), on(TODAY))] {
        let mut net = town(&[own(0), own(1)]);
        let peer = net.id(1);
        net.open(0, 1);
        net.run(seconds(1));
        assert!(net.nodes[0].channel.vouches(peer, &Key([1; 16])));
        net.nodes[0].channel.set_trust(trust.clone(), clock);
        assert!(!net.nodes[0].channel.vouches(peer, &Key([1; 16])), "on a session that stands");
        net.restart(0);
        let channel = &mut net.nodes[0].channel;
        channel.set_identity(&identity(0).certified(&[own(0).unwrap()]));
        channel.set_trust(trust, clock);
        net.nodes[0].seen.clear();
        net.open(0, 1);
        net.run(seconds(8));
        assert_eq!(net.nodes[0].seen, [Seen::Down(peer, DownReason::Untrusted)]);
    }
}

#[test]
fn without_anchors_nobody_is_asked_for_a_certificate_and_everything_is_vouched_for() {
    let mut net = Net::new(2, 1);
    net.open(0, 1);
    net.run(seconds(1));
    let peer = net.id(1);
    assert_eq!(net.nodes[0].seen, [Seen::Up(peer)]);
    assert!(net.nodes[0].channel.vouches(peer, &Key([9; 16])));
}
