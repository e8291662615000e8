//! Sessions over time: resumed, ratcheted, moved, evicted, lost by one end.

use super::net::{Net, Seen, notice};
use super::seconds;
use crate::channel::{CallKey, ChannelEvent, DownReason, Payload};
use crate::limits::SIP_MESSAGE_BYTES_MAX;
use crate::time::Duration;
use std::net::SocketAddr;

fn epoch(net: &Net, node: usize) -> u64 {
    let to = net.nodes[1 - node].address;
    let last = net.sent.iter().rfind(|d| d.to == to && d.bytes[2] == 0x44).unwrap();
    u64::from(u32::from_be_bytes(last.bytes[11..15].try_into().unwrap()))
}

#[test]
fn adapters_that_met_before_talk_at_once() {
    let mut net = Net::new(2, 1);
    net.connect(0, 1);
    net.run(seconds(3600));
    let work = net.counters(0).public_key_operations + net.counters(1).public_key_operations;
    net.open(0, 1);
    net.send(0, 1, &notice("again"));
    net.run(Duration::from_millis(41));
    let expected = Seen::Notice(net.id(0), CallKey::of("again"));
    assert_eq!(net.nodes[1].seen, [expected], "after one way, not a round trip");
    net.run(seconds(5));
    assert_eq!(net.nodes[0].seen, [Seen::Up(net.id(1))], "open is answered");
    assert_eq!(epoch(&net, 0), 1, "the sender has stepped its ratchet");
    assert_eq!(epoch(&net, 1), 1, "and so has the other end");
    let after = net.counters(0).public_key_operations + net.counters(1).public_key_operations;
    assert_eq!(after, work, "no public-key operation");
}

#[test]
fn a_ratchet_out_of_step_by_lost_packets_falls_in_again() {
    let mut net = Net::new(2, 2);
    net.connect(0, 1);
    for _ in 0..5 {
        net.run(seconds(61));
        net.loss_percent = 100;
        net.send(0, 1, &Payload::Sip(b"lost"));
        net.run(Duration::from_millis(100));
        net.loss_percent = 0;
        net.run(Duration::from_millis(1));
    }
    net.send(0, 1, &Payload::Sip(b"heard"));
    net.run(seconds(1));
    assert!(net.nodes[1].seen.contains(&Seen::Sip(net.id(0), b"heard".to_vec())));
    assert!(epoch(&net, 0) >= 1);
}

#[test]
fn open_with_a_live_session_is_answered_at_once() {
    let mut net = Net::new(2, 3);
    net.connect(0, 1);
    let sent = net.sent.len();
    net.open(0, 1);
    assert_eq!(net.nodes[0].seen, [Seen::Up(net.id(1))]);
    assert_eq!(net.sent.len(), sent, "nothing had to be sent");
}

#[test]
fn a_peer_that_forgot_the_session_says_so_and_loses_nothing() {
    let mut net = Net::new(2, 4);
    net.connect(0, 1);
    net.restart(1);
    net.run(seconds(60));
    net.open(0, 1);
    net.send(0, 1, &notice("after its restart"));
    net.run(seconds(1));
    let (a, key) = (net.id(0), CallKey::of("after its restart"));
    assert_eq!(net.nodes[1].seen, [Seen::Up(a), Seen::Notice(a, key)]);
    assert_eq!(net.counters(1).unknown_sent, 2, "one for each datagram");
    assert_eq!(net.counters(0).unknown_received, 1);
    net.run(seconds(15));
    assert_eq!(net.nodes[0].channel.sessions.len(), 1, "the old session is gone");
}

#[test]
fn a_peer_that_forgot_the_session_is_met_again_from_its_side() {
    let mut net = Net::new(2, 5);
    net.connect(0, 1);
    net.restart(1);
    net.open(1, 0);
    net.run(seconds(1));
    net.send(0, 1, &Payload::Sip(b"x"));
    net.run(seconds(1));
    assert!(net.nodes[1].seen.contains(&Seen::Sip(net.id(0), b"x".to_vec())));
}

#[test]
fn a_peer_that_vanished_is_down_after_three_seconds() {
    let mut net = Net::new(2, 6);
    net.connect(0, 1);
    net.run(seconds(40));
    net.loss_percent = 100;
    net.send(0, 1, &Payload::Sip(b"x"));
    assert!(!net.nodes[0].channel.is_up(net.id(1)), "it is in doubt");
    net.run(seconds(3));
    assert_eq!(net.nodes[0].seen, [Seen::Down(net.id(1), DownReason::NoAnswer)]);
    assert_eq!(net.nodes[0].channel.sessions().count(), 0);
    assert_eq!(net.nodes[0].channel.poll_timeout(), None);
}

#[test]
fn one_lost_question_does_not_cost_a_handshake() {
    let mut net = Net::new(2, 7);
    net.connect(0, 1);
    net.run(seconds(40));
    net.loss_percent = 100;
    net.send(0, 1, &Payload::Sip(b"x"));
    net.loss_percent = 0;
    let work = net.counters(0).public_key_operations;
    net.run(seconds(3));
    assert!(net.nodes[0].channel.is_up(net.id(1)));
    assert_eq!(net.counters(0).public_key_operations, work);
}

#[test]
fn a_peer_heard_from_a_new_address_is_challenged_there_before_it_moves() {
    let mut net = Net::new(2, 8);
    net.connect(0, 1);
    let (a, new) = (net.id(0), SocketAddr::from(([198, 51, 100, 7], 6000)));
    net.nodes[0].address = new;
    net.send(0, 1, &Payload::Sip(b"from a new address"));
    net.run(Duration::from_millis(41));
    assert_eq!(net.nodes[1].seen, [Seen::Sip(a, b"from a new address".to_vec())]);
    net.run(seconds(1));
    assert_eq!((net.nodes[1].seen.len(), net.whereabouts(1, a)), (1, Some(new)));
    assert_eq!(net.counters(1).moved, 1);
    net.send(1, 0, &Payload::Sip(b"to the new address"));
    net.run(seconds(1));
    assert_eq!(net.nodes[0].seen, [Seen::Sip(net.id(1), b"to the new address".to_vec())]);
}

#[test]
fn peers_follow_an_adapter_that_tells_its_new_address() {
    let mut net = Net::new(2, 13);
    net.connect(0, 1);
    let (a, new) = (net.id(0), SocketAddr::from(([198, 51, 100, 7], 6000)));
    net.nodes[0].address = new;
    let now = net.now;
    net.nodes[0].channel.tell_new_address(now);
    net.drain(0);
    net.run(seconds(1));
    assert_eq!((net.nodes[1].seen.len(), net.whereabouts(1, a)), (0, Some(new)));
    assert_eq!(net.counters(1).moved, 1);
    net.send(1, 0, &Payload::Sip(b"to the new address"));
    net.run(seconds(1));
    assert_eq!(net.nodes[0].seen, [Seen::Sip(net.id(1), b"to the new address".to_vec())]);
}

#[test]
fn a_session_is_not_dragged_to_an_address_where_the_peer_is_not() {
    let mut net = Net::new(2, 9);
    net.connect(0, 1);
    net.loss_percent = 100;
    net.send(0, 1, &Payload::Sip(b"caught on the way"));
    net.loss_percent = 0;
    let mut caught = net.sent.last().unwrap().clone();
    caught.from = SocketAddr::from(([203, 0, 113, 66], 6666));
    let before = net.sent.len();
    assert!(net.deliver(&caught));
    let answers = &net.sent[before..];
    assert_eq!(answers.len(), 1, "the challenge");
    assert!(answers[0].bytes.len() <= caught.bytes.len());
    net.run(seconds(1));
    net.send(1, 0, &Payload::Sip(b"to the peer"));
    net.run(seconds(1));
    assert!(net.nodes[0].seen.contains(&Seen::Sip(net.id(1), b"to the peer".to_vec())));
}

#[test]
fn a_peer_that_moved_while_silent_is_found_through_open() {
    let mut net = Net::new(2, 10);
    net.connect(0, 1);
    net.run(seconds(3600));
    net.nodes[1].address = SocketAddr::from(([198, 51, 100, 9], 6000));
    let work = net.counters(0).public_key_operations;
    net.open(0, 1);
    net.run(seconds(1));
    let (b, new) = (net.id(1), net.nodes[1].address);
    assert_eq!((&net.nodes[0].seen[..], net.whereabouts(0, b)), (&[Seen::Up(b)][..], Some(new)));
    assert_eq!(net.counters(0).moved, 1);
    assert_eq!(net.counters(0).public_key_operations, work, "by the session alone");
}

#[test]
fn the_least_recently_used_session_makes_room() {
    let mut net = Net::with_sessions(6, 11, 4);
    for peer in 1..5 {
        net.connect(0, peer);
        net.send(0, peer, &Payload::Sip(b"x"));
        net.run(seconds(1));
    }
    net.send(0, 1, &Payload::Sip(b"1 is used again"));
    net.run(seconds(1));
    net.open(0, 5);
    net.run(seconds(1));
    let (second, fifth) = (net.id(2), net.id(5));
    assert_eq!(net.nodes[0].seen[..], [Seen::Down(second, DownReason::Evicted), Seen::Up(fifth)]);
    assert!(net.nodes[0].channel.is_up(net.id(1)));
    assert_eq!(net.nodes[0].channel.sessions().count(), 4);
    net.nodes[2].seen.clear();
    for _ in 0..3 {
        // What meets the lost session tells its sender; what follows waits for the new one.
        net.send(2, 0, &Payload::Sip(b"y"));
        net.run(seconds(1));
    }
    assert!(net.nodes[0].seen.contains(&Seen::Sip(second, b"y".to_vec())));
}

#[test]
fn strangers_cannot_push_out_a_session_in_use() {
    let mut net = Net::with_sessions(8, 12, 3);
    net.connect(0, 1);
    net.send(0, 1, &Payload::Sip(b"in use"));
    net.run(seconds(1));
    for stranger in 2..8 {
        net.open(stranger, 0);
        net.run(seconds(1));
    }
    assert!(net.nodes[0].channel.is_up(net.id(1)));
    assert_eq!(net.counters(0).evicted, 4);
}

#[test]
fn an_incoming_session_tells_who_and_where() {
    let mut net = Net::new(2, 13);
    let (a, at) = (net.id(0), net.nodes[0].address);
    net.open(0, 1);
    while net.nodes[1].channel.sessions().count() == 0 {
        // Before each step the buffer is drained, so the event is looked at by the status.
        net.run(Duration::from_millis(1));
    }
    let status = net.nodes[1].channel.sessions().next().unwrap();
    assert_eq!((status.peer, status.address), (a, at));
    let mut buf = vec![0; SIP_MESSAGE_BYTES_MAX];
    net.nodes[1].channel.open(net.now, a, &[]).unwrap();
    let event = net.nodes[1].channel.poll_event(&mut buf);
    assert_eq!(event, Some(ChannelEvent::Up { peer: a }));
}
