//! When a text takes which way, row by row; and what is a copy of what.

use super::OverlayCopy::{Barred, Found, Looking, Missing, Open, Unasked};
use super::ServerCopy::{Absent, Failed, Silent, Unsent};
use super::seen::{Seen, Text};
use super::*;
use crate::adapter::call::PhoneEnd;
use crate::adapter::names::{Local, Path};
use crate::limits::{MESSAGE_COPY_LIFE, MESSAGES_SEEN_MAX};
use crate::net::{NodeId, SocketId, Via};
use crate::sip::Message;
use crate::sip::transaction::Flow;
use crate::time::Duration;

fn at(ms: u64) -> Instant {
    Instant::from_micros(1_000_000 + ms * 1_000)
}

fn step(now_ms: u64, server: ServerCopy, overlay: OverlayCopy) -> Step {
    step_when(now_ms, server, overlay, (false, false))
}

fn step_when(
    now_ms: u64,
    server: ServerCopy,
    overlay: OverlayCopy,
    (server_down, recovering): (bool, bool),
) -> Step {
    let (now, started, failover_codes) = (at(now_ms), at(0), &[500, 503][..]);
    decide(&View { now, started, server, overlay, server_down, recovering, failover_codes })
}

#[test]
fn a_text_goes_to_the_server_and_is_not_hedged() {
    let wait = Step::Wait(None);
    let patience = Step::Wait(Some(at(4_000)));
    let refused = OverlayCopy::Refused;
    for (now_ms, server, overlay, expected) in [
        (0, Unsent, Unasked, Step::AskServer),
        (0, Unsent, Barred, Step::AskServer),
        (10, Silent, Unasked, patience),
        (3_999, Silent, Unasked, patience),
        (4_000, Silent, Unasked, Step::LookUp),
        (4_000, Silent, Barred, wait),
        (4_100, Silent, Looking, wait),
        (4_100, Silent, Found, Step::OpenOverlay),
        (4_100, Silent, Open, wait),
        (4_100, Silent, Missing, wait),
        (4_100, Silent, refused(480), wait),
        (4_100, Silent, refused(603), Step::AnswerOverlay),
        (4_100, Silent, refused(415), Step::AnswerOverlay),
    ] {
        assert_eq!(step(now_ms, server, overlay), expected, "{server:?} {overlay:?}");
    }
}

#[test]
fn a_server_that_is_down_or_fails_is_not_waited_for() {
    let wait = Step::Wait(None);
    let refused = OverlayCopy::Refused;
    for server in [Failed, ServerCopy::Refused(500), ServerCopy::Refused(408)] {
        for (overlay, expected) in [
            (Unasked, Step::LookUp),
            (Looking, wait),
            (Found, Step::OpenOverlay),
            (Open, wait),
            (refused(603), Step::AnswerOverlay),
        ] {
            assert_eq!(step(10, server, overlay), expected, "{server:?} {overlay:?}");
        }
        let own = if server == Failed { Step::AnswerStatus(503) } else { Step::AnswerServer };
        assert_eq!(step(10, server, Barred), own);
        assert_eq!(step(10, server, Missing), own);
        let other = if server == Failed { Step::AnswerOverlay } else { Step::AnswerServer };
        assert_eq!(step(10, server, refused(404)), other);
    }
    for code in [400, 401, 403, 404, 407, 413, 415, 480, 486, 600, 603] {
        let refusal = ServerCopy::Refused(code);
        assert_eq!(step(10, refusal, Unasked), Step::AnswerServer, "{code}");
        let after_outage = step_when(10, refusal, Unasked, (false, true));
        let lost = matches!(code, 404 | 410 | 480);
        assert_eq!(after_outage, if lost { Step::LookUp } else { Step::AnswerServer }, "{code}");
    }
    for (overlay, expected) in [
        (Unasked, Step::LookUp),
        (Looking, wait),
        (Found, Step::OpenOverlay),
        (Open, wait),
        (Missing, Step::AskServer),
        (Barred, Step::AskServer),
        (refused(404), Step::AskServer),
        (refused(486), Step::AnswerOverlay),
    ] {
        assert_eq!(step_when(0, Unsent, overlay, (true, false)), expected, "{overlay:?}");
    }
    for (overlay, expected) in [
        (Unasked, Step::LookUp),
        (Missing, Step::AnswerStatus(404)),
        (Barred, Step::AnswerStatus(404)),
        (refused(480), Step::AnswerOverlay),
    ] {
        assert_eq!(step(0, Absent, overlay), expected, "{overlay:?}");
    }
}

fn phone(user: &str) -> PhoneEnd {
    let to = "192.168.1.10:5060".parse().unwrap();
    let local = Local::Socket { address: to, tcp: false };
    let flow = Flow { via: Via::Udp(SocketId(1)), to };
    PhoneEnd { flow, local, contact: String::new(), user: user.into(), withheld: false }
}

const NOBODY: &str = "sip:anonymous@anonymous.invalid";
const OVERLAY: Path = Path::Peer(NodeId([7; 16]));

fn text(path: Path, call_id: &str, from: &str, body: &str) -> Text {
    text_for("bob", path, (call_id, from, ""), body)
}

fn text_for(
    user: &str,
    path: Path,
    (call_id, from, extra): (&str, &str, &str),
    body: &str,
) -> Text {
    let length = body.len();
    let message = format!(
        "MESSAGE sip:bob@b SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
         From: <{from}>;tag=1\r\nTo: <sip:bob@b>\r\nCall-ID: {call_id}\r\nCSeq: 1 MESSAGE\r\n\
         {extra}Content-Length: {length}\r\n\r\n{body}"
    );
    Text::new(&phone(user), path, &Message::parse(message.as_bytes()).unwrap())
}

/// Whether the second is dropped after the first.
fn dropped(first: Text, second: Text, after: Duration) -> bool {
    let mut seen = Seen::default();
    assert!(!seen.is_copy(at(0), first, &mut 0));
    seen.is_copy(at(0) + after, second, &mut 0)
}

#[test]
fn a_copy_is_the_same_text_for_the_same_phone_by_the_other_path() {
    let (server, alice, short) = (Path::Server, "sip:+4989123456@a", Duration::from_secs(1));
    let first = || text(server, "one", alice, "hello");
    for (what, second, expected) in [
        ("the same", text(OVERLAY, "one", alice, "hello"), true),
        ("the same path", text(server, "one", alice, "hello"), false),
        ("renamed by a B2BUA", text(OVERLAY, "two", "sip:089123456@b", "hello"), true),
        ("withheld over the overlay", text(OVERLAY, "two", NOBODY, "hello"), false),
        ("withheld, by Call-ID", text(OVERLAY, "one", NOBODY, "hello"), true),
        ("somebody else", text(OVERLAY, "two", "sip:+4989999999@a", "hello"), false),
        ("another text", text(OVERLAY, "one", alice, "hello!"), false),
        ("another phone", text_for("eve", OVERLAY, ("one", alice, ""), "hello"), false),
        (
            "asserted by the provider",
            text_for(
                "bob",
                OVERLAY,
                ("two", "sip:x@a", "P-Asserted-Identity: <tel:+4989123456>\r\n"),
                "hello",
            ),
            true,
        ),
    ] {
        assert_eq!(dropped(first(), second, short), expected, "{what}");
    }
    let again = text(OVERLAY, "one", alice, "hello");
    assert!(!dropped(first(), again.clone(), MESSAGE_COPY_LIFE));
    assert!(dropped(first(), again, MESSAGE_COPY_LIFE - Duration::from_millis(1)));
}

#[test]
fn a_provider_may_withhold_who_writes_and_a_member_may_not_stand_for_another() {
    let (server, alice, short) = (Path::Server, "sip:alice@a", Duration::from_secs(1));
    for (by_server, over_overlay, expected) in
        [(NOBODY, alice, true), (NOBODY, NOBODY, true), (alice, NOBODY, false)]
    {
        let texts =
            || [text(server, "one", by_server, "ok"), text(OVERLAY, "two", over_overlay, "ok")];
        let [first, second] = texts();
        assert_eq!(dropped(first, second, short), expected, "{by_server} {over_overlay}");
        let [second, first] = texts();
        assert_eq!(dropped(first, second, short), expected, "{by_server} {over_overlay}");
    }
}

#[test]
fn each_text_stands_for_one_copy_and_one_that_was_refused_for_none() {
    let mut seen = Seen::default();
    let mut copy = |path: Path, call_id: &str| {
        seen.is_copy(at(0), text(path, call_id, "sip:alice@a", "yes"), &mut 0)
    };
    assert!(!copy(Path::Server, "one") && !copy(Path::Server, "two"), "yes, yes");
    assert!(copy(OVERLAY, "one") && copy(OVERLAY, "two"));
    assert!(!copy(OVERLAY, "three"), "yes again");
    let mut seen = Seen::default();
    let first = text(Path::Server, "one", "sip:alice@a", "yes");
    assert!(!seen.is_copy(at(0), first.clone(), &mut 0));
    seen.forget(&first);
    assert!(!seen.is_copy(at(0), text(OVERLAY, "one", "sip:alice@a", "yes"), &mut 0));
}

#[test]
fn no_flood_of_texts_grows_what_is_remembered() {
    let (mut seen, mut forgotten) = (Seen::default(), 0);
    for number in 0..2 * MESSAGES_SEEN_MAX {
        let text = text(Path::Server, &number.to_string(), "sip:alice@a", "yes");
        assert!(!seen.is_copy(at(0), text, &mut forgotten));
    }
    assert_eq!(forgotten as usize, MESSAGES_SEEN_MAX);
}
