//! The channel's bytes on the wire, against a committed transcript: whoever changes one of them
//! changes the protocol.
//!
//! Keys, cookies and session ids follow from the seeds below, so the whole exchange is fixed. Each
//! line of the transcript is who sent it, what it is, and the datagram.

use cosip::budget::Budget;
use cosip::channel::{CallKey, Channel, Notice, Payload, SessionKey};
use cosip::identity::{Identity, NetworkKeys};
use cosip::limits::CHANNEL_SESSIONS_MAX;
use cosip::rng::Rng;
use cosip::time::{Duration, Instant, earlier};
use std::fmt::Write;
use std::net::SocketAddr;

const TRANSCRIPT: &str = include_str!("data/channel/transcript.txt");

fn channel(identity: u8, seed: u8) -> Channel {
    let identity = Identity::from_seed([identity; 32]).unwrap();
    let network = NetworkKeys::new(&[9; 32], "example");
    Channel::new(&identity, &network, &mut Rng::new([seed; 32]), CHANNEL_SESSIONS_MAX)
}

fn kind(datagram: &[u8]) -> &'static str {
    match datagram[2] {
        0x40 => "hello",
        0x41 => "cookie",
        0x42 => "reply",
        0x43 => "finish",
        0x44 => "data",
        _ => "unknown",
    }
}

/// Carries datagrams to and fro until both ends are quiet; writes down what was sent.
fn settle(now: Instant, ends: &mut [(Channel, SocketAddr, &str); 2], transcript: &mut String) {
    let mut buf = vec![0; 16 * 1024];
    let mut budgets = [Budget::new(now), Budget::new(now)];
    loop {
        let mut quiet = true;
        for at in [0, 1] {
            ends[at].0.handle_timeout(now);
            ends[at].0.work(now, &mut budgets[at]);
            while let Some((_, len)) = ends[at].0.poll_transmit(&mut buf) {
                let hex: String = buf[..len].iter().map(|byte| format!("{byte:02x}")).collect();
                writeln!(transcript, "{} {} {hex}", ends[at].2, kind(&buf)).unwrap();
                let from = ends[at].1;
                ends[1 - at].0.handle_datagram(now, from, &buf[..len]).unwrap();
                quiet = false;
            }
            let due = earlier(ends[at].0.poll_timeout(), ends[at].0.work_at(&budgets[at]));
            quiet &= due.is_none_or(|due| due > now);
        }
        if quiet {
            return;
        }
    }
}

fn transcript() -> String {
    let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 5070));
    let mut ends = [(channel(1, 3), address(1), "alice"), (channel(2, 4), address(2), "bob")];
    let (alice, bob) = (ends[0].0.id(), ends[1].0.id());
    let mut now = Instant::from_micros(1_000_000);
    let mut transcript = String::new();
    ends[0].0.open(now, bob, &[ends[1].1]).unwrap();
    let aliases = heapless::Vec::from_slice(&["sip:alice@example.net", "tel:+4930123"]).unwrap();
    let call = CallKey::of("a84b4c76e66710@pc33.example.net");
    let callee = "sip:bob@example.net";
    let session = Some(SessionKey::of("- 2890844526 192.0.2.1"));
    let notice = Notice { call, callee, aliases, withheld: false, session, age_ms: 20 };
    ends[0].0.send(now, bob, &Payload::Notice(notice)).unwrap();
    settle(now, &mut ends, &mut transcript);
    let message = b"OPTIONS sip:bob@example.net SIP/2.0\r\n\r\n".repeat(40);
    ends[0].0.send(now, bob, &Payload::Sip(&message)).unwrap();
    ends[1].0.send(now, alice, &Payload::CancelCall { call }).unwrap();
    settle(now, &mut ends, &mut transcript);
    // After a silence the ratchet has stepped, and the peer is asked whether it is there.
    now += Duration::from_secs(600);
    ends[0].0.send(now, bob, &Payload::Sip(b"resumed")).unwrap();
    settle(now, &mut ends, &mut transcript);
    // The peer has started anew: it does not know the session.
    ends[1].0 = channel(2, 5);
    now += Duration::from_secs(600);
    ends[0].0.send(now, bob, &Payload::Sip(b"anew")).unwrap();
    let mut buf = vec![0; 16 * 1024];
    let (_, len) = ends[0].0.poll_transmit(&mut buf).unwrap();
    ends[1].0.handle_datagram(now, ends[0].1, &buf[..len]).unwrap_err();
    let (_, len) = ends[1].0.poll_transmit(&mut buf).unwrap();
    let hex: String = buf[..len].iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(transcript, "bob {} {hex}", kind(&buf)).unwrap();
    transcript
}

#[test]
fn every_datagram_is_that_of_the_committed_transcript() {
    let ours = transcript();
    let committed = TRANSCRIPT.lines().filter(|line| !line.starts_with('#'));
    for (line, (ours, committed)) in (1..).zip(ours.lines().zip(committed.clone())) {
        assert_eq!(ours, committed, "datagram {line}");
    }
    assert_eq!(ours.lines().count(), committed.count(), "all of it:\n{ours}");
}
