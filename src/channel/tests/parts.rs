//! The parts alone: window, fragments, payloads.

use super::net::{Net, Seen};
use super::seconds;
use crate::channel::fragment::{CHUNK_BYTES, FRAGMENT_HEAD_BYTES, Reassembly, split};
use crate::channel::notice::{
    CallKey, CarryingPath, Notice, NoticeAnswer, SessionKey, Undecodable,
};
use crate::channel::session::Window;
use crate::channel::{
    EnrolAnswer, EnrolAsk, EnrolProof, EnrolRefusal, MediaMove, Payload, SendError, Statements,
    WatchAsk,
};
use crate::identity::rolling::NewSecret;
use crate::identity::statement::STATEMENT_BYTES;
use crate::limits::{
    CHANNEL_REASSEMBLIES_MAX, MEDIA_MOVE_BYTES_MAX, SIP_MESSAGE_BYTES_MAX, WATCH_STATEMENTS_MAX,
};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn messages_of_every_size_arrive_whole_and_the_largest_is_the_limit() {
    let mut net = Net::new(2, 1);
    net.connect(0, 1);
    let (a, b) = (net.id(0), net.id(1));
    let chunk = CHUNK_BYTES;
    let whole = chunk + FRAGMENT_HEAD_BYTES;
    let sizes = [1, whole - 1, whole, whole + 1, 2 * chunk - 1, 2 * chunk, 2 * chunk + 1];
    for size in sizes.into_iter().chain([SIP_MESSAGE_BYTES_MAX - 1, SIP_MESSAGE_BYTES_MAX]) {
        let mut message = vec![0; size];
        Rng::new([size as u8; 32]).fill(&mut message);
        let before = net.sent.len();
        net.send(0, 1, &Payload::Sip(&message));
        let datagrams = net.sent.len() - before;
        let expected = if size <= whole { 1 } else { size.div_ceil(chunk) };
        assert_eq!(datagrams, expected, "{size} bytes");
        net.run(seconds(1));
        assert_eq!(net.nodes[1].seen.last(), Some(&Seen::Sip(a, message)), "{size} bytes");
    }
    let large = vec![0; SIP_MESSAGE_BYTES_MAX + 1];
    let sent = net.nodes[0].channel.send(net.now, b, &Payload::Sip(&large));
    assert_eq!(sent, Err(SendError::TooLarge));
}

fn pieces(message: u32, len: usize) -> Vec<Vec<u8>> {
    let body: Vec<u8> = (0..len).map(|at| at as u8).collect();
    split(message, 0x10, &body).map(|(head, piece)| [&head, piece].concat()).collect()
}

#[test]
fn a_piece_that_contradicts_the_format_or_the_others_is_refused() {
    let mut reassembly = Reassembly::new();
    let now = Instant::from_micros(1);
    let good = pieces(1, 3000);
    assert_eq!(good.len(), 3);
    let mut add = |piece: &[u8]| reassembly.add(now, [1; 8], piece);
    assert_eq!(add(&good[0][..6]), Err(()), "a short head");
    assert_eq!(add(&good[0][..100]), Err(()), "a short piece that is not the last");
    for (at, value) in [(5, 3), (5, 200), (6, 0), (6, 1), (6, 255)] {
        let mut bad = good[0].clone();
        bad[at] = value;
        assert_eq!(add(&bad), Err(()), "byte {at} = {value}");
    }
    let mut reassembly = Reassembly::new();
    assert_eq!(reassembly.add(now, [1; 8], &good[0]), Ok(None));
    let mut other_kind = good[1].clone();
    other_kind[4] = 0x20;
    assert_eq!(reassembly.add(now, [1; 8], &other_kind), Err(()), "another kind");
    assert_eq!(reassembly.add(now, [1; 8], &good[0]), Ok(None), "the same again");
    assert_eq!(reassembly.add(now, [1; 8], &good[2]), Ok(None));
    let at = reassembly.add(now, [1; 8], &good[1]).unwrap().unwrap();
    assert_eq!(reassembly.take(at).1.len(), 3000);
}

#[test]
fn reassembly_is_bounded_in_number_in_time_and_for_each_peer() {
    let mut reassembly = Reassembly::new();
    let now = Instant::from_micros(1);
    let victim = pieces(7, 2000);
    assert_eq!(reassembly.add(now, [9; 8], &victim[0]), Ok(None));
    for message in 0..1000 {
        assert_eq!(reassembly.add(now, [1; 8], &pieces(message, 2000)[0]), Ok(None));
    }
    assert!(reassembly.add(now, [9; 8], &victim[1]).unwrap().is_some(), "others keep theirs");
    assert_eq!(reassembly.given_up(), 998);
    let late = now + Duration::from_secs(3);
    let old = pieces(999, 2000);
    assert_eq!(reassembly.add(late, [1; 8], &old[1]), Ok(None), "the first half is too old");
    for peer in 0..CHANNEL_REASSEMBLIES_MAX as u8 {
        assert_eq!(reassembly.add(late, [peer; 8], &victim[0]), Ok(None));
    }
    reassembly.forget([3; 8]);
    assert_eq!(reassembly.add(late, [3; 8], &victim[1]), Ok(None), "forgotten");
    assert!(reassembly.add(late, [4; 8], &victim[1]).unwrap().is_some());
}

fn round_trip(payload: &Payload<'_>) {
    let mut buf = [0; 2000];
    let (kind, len) = payload.encode(&mut buf).unwrap();
    assert_eq!(Payload::decode(kind, &buf[..len]).as_ref(), Ok(payload));
    let longer = &buf[..len + 1];
    let strict = !matches!(payload, Payload::Sip(_));
    assert!(!strict || Payload::decode(kind, longer) == Err(Undecodable::Malformed));
    assert!(!strict || Payload::decode(kind, &buf[..len - 1]) == Err(Undecodable::Malformed));
}

fn a_notice<'a>(aliases: &[&'a str], withheld: bool, callee: &'a str) -> Payload<'a> {
    let aliases = heapless::Vec::from_slice(aliases).unwrap();
    let call = CallKey::of("x");
    let session = Some(SessionKey::of("- 773310 192.0.2.1"));
    Payload::Notice(Notice { call, callee, aliases, withheld, session, age_ms: 300 })
}

#[test]
fn payloads_survive_the_wire_and_strict_decoding_refuses_what_is_not_exact() {
    let call = CallKey::of("843817637684230@998sdasdh09");
    round_trip(&Payload::Sip(b"INVITE sip:bob@example.net SIP/2.0\r\n\r\n"));
    round_trip(&a_notice(&["sip:a@b", "tel:+49", "sip:c@d", "sip:e@f"], false, "sip:bob@b"));
    round_trip(&a_notice(&[], true, "sip:bob@b"));
    for answer in [NoticeAnswer::Here, NoticeAnswer::NotHere] {
        round_trip(&Payload::NoticeAnswer { call, answer });
    }
    for path in [CarryingPath::Server, CarryingPath::Peer] {
        let answer = Some(SessionKey::of("o=- 773310"));
        round_trip(&Payload::Carrying { call, path, answer });
        round_trip(&Payload::Carrying { call, path, answer: None });
    }
    round_trip(&Payload::CancelCall { call });
    round_trip(&Payload::OpenLeg { call });
    for (of_caller, answers) in [(false, false), (true, false), (true, true)] {
        let description = b"v=0\r\n";
        round_trip(&Payload::Media(MediaMove { call, of_caller, answers, description }));
    }
    round_trip(&Payload::Enrol(EnrolAsk { number: 7, aors: ["alice@example.net", "b@c", "", ""] }));
    round_trip(&Payload::EnrolProof(EnrolProof { nonce: [1; 16], signature: [2; 64] }));
    let refused = EnrolAnswer::Refused { which: 2, why: EnrolRefusal::Unanswered, again_s: 3600 };
    let new = NewSecret { secret: [4; 32], sends_s: u32::MAX };
    let certified = [None, Some(new)].map(|new| EnrolAnswer::Certified(&[3; 377], new));
    for answer in [EnrolAnswer::Wait(30), refused].into_iter().chain(certified) {
        round_trip(&Payload::EnrolAnswer(7, answer));
    }
    round_trip(&Payload::EnrolReport([4; 16]));
    assert!(Payload::Enrol(EnrolAsk { number: 7, aors: [""; 4] }).encode(&mut [0; 64]).is_err());
    let long = [b'v'; MEDIA_MOVE_BYTES_MAX + 1];
    for (bytes, fits) in [(&long[..0], false), (&long[1..], true), (&long[..], false)] {
        let moved = MediaMove { call, of_caller: true, answers: false, description: bytes };
        let mut buf = [0; MEDIA_MOVE_BYTES_MAX + 64];
        let encoded = Payload::Media(moved).encode(&mut buf);
        let decoded = encoded.map(|(kind, len)| Payload::decode(kind, &buf[..len]).is_ok());
        assert_eq!(decoded == Ok(true), fits, "{} bytes", bytes.len());
    }
    assert_eq!(Payload::decode(0x7f, b""), Err(Undecodable::UnknownKind));
    assert_eq!(Payload::decode(0x10, b""), Err(Undecodable::Malformed), "empty SIP");
}

#[test]
fn questions_of_the_watch_and_their_answers_are_taken_whole_or_not_at_all() {
    let (key, owner, holder) = ([1; 16], [2; 16], [3; 16]);
    for address in ["192.0.2.1:5070", "[2001:db8::1]:5070"] {
        let address = address.parse().unwrap();
        round_trip(&Payload::Watch(300, WatchAsk::Get { key, owner, holder, address }));
    }
    round_trip(&Payload::Watch(0, WatchAsk::Receipts));
    // The bytes never change within a version.
    let mut buf = [0; 2000];
    let mut written = |payload: &Payload<'_>| {
        let (kind, len) = payload.encode(&mut buf).unwrap();
        [&[kind], &buf[..len]].concat()
    };
    let address = "192.0.2.1:5070".parse().unwrap();
    let get = written(&Payload::Watch(300, WatchAsk::Get { key, owner, holder, address }));
    let head: &[u8] = &[0x2b, 0xac, 2, 1];
    let places = [key, owner, holder];
    assert_eq!(get, [head, places.as_flattened(), &[0, 192, 0, 2, 1, 0xce, 0x27]].concat());
    assert_eq!(written(&Payload::Watch(0, WatchAsk::Receipts)), [0x2b, 0, 0]);
    let one = [4; STATEMENT_BYTES];
    let told = written(&Payload::Watched(7, Statements::of(&one).unwrap()));
    assert_eq!(told, [&[0x2c, 7, 0xa8, 1][..], &one].concat());
    let many = [4; STATEMENT_BYTES * (WATCH_STATEMENTS_MAX + 1)];
    for count in 0..=WATCH_STATEMENTS_MAX {
        let whole = Statements::of(&many[..count * STATEMENT_BYTES]).unwrap();
        assert_eq!(whole.iter().count(), count);
        round_trip(&Payload::Watched(7, whole));
        assert_eq!(Statements::of(&many[..=count * STATEMENT_BYTES]), None, "a byte too many");
    }
    assert_eq!(Statements::of(&many), None);
    // As a peer with bad intentions writes it.
    let (mut buf, bytes) = ([0; 2000], many.as_slice());
    let len = postcard::to_slice(&(7_u32, bytes), &mut buf).unwrap().len();
    assert_eq!(Payload::decode(0x2c, &buf[..len]), Err(Undecodable::Malformed));
}

#[test]
fn a_withheld_caller_is_never_named() {
    let mut buf = [0; 2000];
    let (_, len) = a_notice(&["sip:secret@b"], true, "sip:bob@b").encode(&mut buf).unwrap();
    assert!(!buf[..len].windows(6).any(|bytes| bytes == b"secret"));
    let (kind, len) = a_notice(&["sip:secret@b"], false, "sip:bob@b").encode(&mut buf).unwrap();
    // Behind it are the session, with the byte that says that there is one, and two bytes of age.
    let withheld = len - 17 - 2 - 1;
    assert_eq!(buf[withheld], 0);
    buf[withheld] = 1;
    let decoded = Payload::decode(kind, &buf[..len]);
    assert_eq!(decoded, Err(Undecodable::Malformed), "a peer that names it anyway");
}

#[test]
fn a_notice_is_bounded() {
    let mut buf = [0; 2000];
    let long = "x".repeat(129);
    for callee in ["", &long] {
        assert!(a_notice(&[], false, callee).encode(&mut buf).is_err());
    }
    assert!(a_notice(&[&long], false, "sip:bob@b").encode(&mut buf).is_err());
    let longest = "x".repeat(128);
    let aliases = [longest.as_str(); 4];
    let (_, len) = a_notice(&aliases, false, &longest).encode(&mut buf).unwrap();
    assert!(len < 1000, "it fits into one datagram");
}

#[test]
fn a_piece_of_more_pieces_than_a_message_has_is_refused() {
    let mut reassembly = Reassembly::new();
    let piece = |count: u8| {
        let mut piece = vec![0; FRAGMENT_HEAD_BYTES + CHUNK_BYTES];
        piece[FRAGMENT_HEAD_BYTES - 1] = count;
        piece
    };
    let most = SIP_MESSAGE_BYTES_MAX.div_ceil(CHUNK_BYTES) as u8;
    for count in most + 1..=255 {
        assert_eq!(
            reassembly.add(Instant::from_micros(1), Default::default(), &piece(count)),
            Err(())
        );
    }
    assert_eq!(reassembly.add(Instant::from_micros(1), Default::default(), &piece(most)), Ok(None));
}

#[test]
fn payloads_of_later_versions_are_skipped_and_counted() {
    let mut net = Net::new(2, 2);
    net.connect(0, 1);
    let peer = net.id(1);
    for (kind, body) in [(0x60, &b"later"[..]), (0x22, b"short"), (0x60, &[7; 3000])] {
        net.nodes[0].channel.dispatch(net.now, peer, kind, body).unwrap();
    }
    net.drain(0);
    net.send(0, 1, &Payload::Sip(b"x"));
    net.run(seconds(1));
    assert_eq!(net.nodes[1].seen, [Seen::Sip(net.id(0), b"x".to_vec())]);
    let counters = net.counters(1);
    assert_eq!((counters.unknown_kinds, counters.undecodable), (2, 1));
}

proptest! {
    #![proptest_config(crate::properties::cases(200))]

    #[test]
    fn the_window_agrees_with_a_set(steps in prop::collection::vec((0u64..4, 0u64..80), 1..300)) {
        let (mut window, mut seen, mut highest) = (Window::default(), BTreeSet::new(), None);
        let mut base = 0u64;
        for (advance, back) in steps {
            base += advance * advance * advance * 7;
            let counter = base.saturating_sub(back);
            let too_old = highest.is_some_and(|h: u64| h >= counter && h - counter >= 64);
            let expected = !too_old && !seen.contains(&counter);
            prop_assert_eq!(window.is_new(counter), expected);
            if expected {
                window.note(counter);
                seen.insert(counter);
                highest = highest.max(Some(counter));
            }
        }
    }

    #[test]
    fn decoding_never_panics(kind: u8, body: Vec<u8>) {
        let _any = Payload::decode(kind, &body);
    }
}

#[test]
fn the_window_ends_before_the_last_counter() {
    let mut window = Window::default();
    assert!(!window.is_new(u64::MAX));
    assert!(window.is_new(u64::MAX - 1));
    window.note(u64::MAX - 1);
    assert!(!window.is_new(u64::MAX - 1) && window.is_new(u64::MAX - 2));
    assert!(!window.is_new(0));
}
