//! Behaviour of the channel, end to end, in virtual time.

mod net;

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
    let rtt = net.nodes[0].channel.rtt(b).unwrap();
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
