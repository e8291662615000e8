//! Behaviour of the channel, end to end, in virtual time.

mod certified;
mod hostile;
mod keeping;
mod net;
mod parts;
mod proofless;

use super::{DownReason, Payload, SendError};
use crate::time::Duration;
use net::{Net, Seen, notice};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn two_strangers_open_a_channel_and_talk_both_ways() {
    let mut net = Net::new(2, 1);
    let (a, b) = (net.id(0), net.id(1));
    net.open(0, 1);
    net.send(0, 1, &notice("call-1"));
    net.send(0, 1, &Payload::Sip(b"INVITE"));
    net.run(seconds(1));
    let key = super::CallKey::of("call-1");
    assert_eq!(net.nodes[0].seen, [Seen::Up(b)]);
    let expected = [Seen::Up(a), Seen::Notice(a, key), Seen::Sip(a, b"INVITE".to_vec())];
    assert_eq!(net.nodes[1].seen, expected);
    net.send(1, 0, &Payload::Sip(b"SIP/2.0 180 Ringing"));
    net.run(seconds(1));
    assert_eq!(net.nodes[0].seen[1], Seen::Sip(b, b"SIP/2.0 180 Ringing".to_vec()));
    assert_eq!(net.counters(0).public_key_operations, 4);
    assert_eq!(net.counters(1).public_key_operations, 4);
    let rtt = net.nodes[0].channel.sessions().next().unwrap().rtt.unwrap();
    assert!((40..=80).contains(&rtt.as_millis()), "{rtt:?}");
    assert_eq!(net.nodes[0].channel.poll_timeout(), None, "a quiet session costs nothing");
    assert_eq!(net.nodes[1].channel.poll_timeout(), None);
}

#[test]
fn a_payload_before_open_is_refused() {
    let mut net = Net::new(2, 1);
    let peer = net.id(1);
    let sent = net.nodes[0].channel.send(net.now, peer, &Payload::Sip(b"x"));
    assert_eq!(sent, Err(SendError::NotOpen));
}

#[test]
fn nobody_there_is_down_after_two_seconds() {
    let mut net = Net::new(2, 1);
    net.loss_percent = 100;
    net.open(0, 1);
    net.run(Duration::from_millis(1900));
    assert_eq!(net.nodes[0].seen, []);
    net.run(Duration::from_millis(200));
    assert_eq!(net.nodes[0].seen, [Seen::Down(net.id(1), DownReason::NoAnswer)]);
    assert!(net.sent.len() <= 7, "{} Hellos", net.sent.len());
}

#[test]
fn a_fifth_of_the_datagrams_lost_delays_but_does_not_prevent() {
    let mut failed = 0;
    for seed in 0..100 {
        let mut net = Net::new(2, seed);
        net.loss_percent = 20;
        let a = net.id(0);
        net.open(0, 1);
        for _ in 0..8 {
            // SIP repeats itself; what the channel refuses after Down comes again after `open`.
            let peer = net.id(1);
            let message = Payload::Sip(b"INVITE");
            if net.nodes[0].channel.send(net.now, peer, &message) == Err(SendError::NotOpen) {
                failed += 1;
                net.open(0, 1);
            }
            net.drain(0);
            net.run(Duration::from_millis(500));
        }
        assert!(net.nodes[1].seen.contains(&Seen::Sip(a, b"INVITE".to_vec())), "seed {seed}");
    }
    assert!(failed <= 3, "{failed} of 100 handshakes failed at a loss of 20 %");
}

#[test]
fn what_waits_for_the_session_is_bounded_and_arrives_in_order() {
    let mut net = Net::new(2, 3);
    net.delay = Duration::ZERO;
    net.open(0, 1);
    let (a, peer) = (net.id(0), net.id(1));
    for n in 0..8u8 {
        net.send(0, 1, &Payload::Sip(&[b'0' + n]));
    }
    let ninth = net.nodes[0].channel.send(net.now, peer, &Payload::Sip(b"8"));
    assert_eq!(ninth, Err(SendError::Full));
    net.run(seconds(1));
    let expected: Vec<Seen> = (0..8u8).map(|n| Seen::Sip(a, vec![b'0' + n])).collect();
    assert_eq!(net.nodes[1].seen[1..], expected);
}

#[test]
fn both_open_at_once_and_end_with_one_session() {
    for seed in 0..60 {
        let mut net = Net::new(2, seed);
        net.loss_percent = if seed < 30 { 0 } else { 10 };
        let lead = Duration::from_millis(u64::from(seed % 30) * 20);
        net.open(0, 1);
        net.run(lead);
        net.open(1, 0);
        net.send(1, 0, &Payload::Sip(b"from 1"));
        net.run(seconds(4));
        let up = |net: &Net, n: usize| net.nodes[n].channel.is_up(net.id(1 - n));
        assert!(up(&net, 0) && up(&net, 1), "seed {seed}");
        let current = |net: &Net, n: usize| {
            let channel = &net.nodes[n].channel;
            let id = channel.current(net.id(1 - n)).unwrap();
            let session = channel.sessions.get(id).unwrap();
            (session.local, *session.remote())
        };
        let (here, there) = (current(&net, 0), current(&net, 1));
        assert_eq!((here.0, here.1), (there.1, there.0), "seed {seed}: one session");
        net.run(seconds(20));
        for n in [0, 1] {
            assert_eq!(net.nodes[n].channel.sessions.len(), 1, "the other one is forgotten");
            assert_eq!(net.nodes[n].channel.handshakes.len(), 0);
        }
        if seed < 30 {
            assert!(net.nodes[0].seen.contains(&Seen::Sip(net.id(1), b"from 1".to_vec())));
        }
    }
}

#[test]
fn many_open_to_one_and_wait_their_turn() {
    let mut net = Net::new(20, 5);
    net.delay = Duration::from_millis(5);
    for from in 1..20 {
        net.open(from, 0);
    }
    net.run(seconds(6));
    let up = (1..20).filter(|n| net.nodes[*n].channel.is_up(net.id(0))).count();
    assert_eq!(up, 19);
    assert!(net.counters(0).full > 0, "the queue was full in between");
}

#[test]
fn addresses_that_lead_nowhere_do_not_delay_the_good_one() {
    let mut net = Net::new(2, 6);
    let (peer, good) = (net.id(1), net.nodes[1].address);
    let bad = |n| std::net::SocketAddr::from(([203, 0, 113, n], 5070));
    net.nodes[0].channel.open(net.now, peer, &[bad(1), bad(2), bad(3), good, bad(4)]).unwrap();
    net.drain(0);
    net.run(Duration::from_millis(300));
    assert!(net.nodes[0].channel.is_up(peer));
}

#[test]
fn an_address_learned_later_is_tried_at_once() {
    let mut net = Net::new(2, 7);
    let (peer, good) = (net.id(1), net.nodes[1].address);
    let bad = std::net::SocketAddr::from(([203, 0, 113, 1], 5070));
    net.nodes[0].channel.open(net.now, peer, &[bad]).unwrap();
    net.run(seconds(1));
    net.nodes[0].channel.open(net.now, peer, &[good]).unwrap();
    net.drain(0);
    net.run(Duration::from_millis(300));
    assert!(net.nodes[0].channel.is_up(peer));
}

#[test]
fn one_seed_gives_one_run() {
    let run = || {
        let mut net = Net::new(2, 8);
        net.loss_percent = 20;
        net.open(0, 1);
        net.open(1, 0);
        net.run(seconds(3));
        net.sent.iter().map(|datagram| datagram.bytes.clone()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
