//! Which way an emergency call takes next, row by row; and who dials one.

use super::*;
use crate::adapter::call::LegState::{Dialing, Failed, Lost, Ringing, Silent, Trying};

const TRY_MS: u64 = 1_500;

fn at(ms: u64) -> Instant {
    Instant::from_micros(1_000_000 + ms * 1_000)
}

fn refused(code: u16) -> LegState {
    LegState::Refused { code, rang: false }
}

/// What is done at `now_ms` after ways that were taken at these times and are in these states.
fn step(now_ms: u64, tried: &[(u64, LegState)], untried: bool) -> Step {
    let tried: Vec<Tried> =
        tried.iter().map(|(ms, state)| Tried { since: at(*ms), state: *state }).collect();
    let try_for = Duration::from_millis(TRY_MS);
    decide(&View { now: at(now_ms), tried: &tried, untried, next_target: None, try_for })
}

fn until(ms: u64) -> Step {
    Step::Wait(Some(at(ms)))
}

/// What it is, now, what was tried, and what is done.
type Row<'a> = (&'a str, u64, &'a [(u64, LegState)], Step);

fn check(untried: bool, rows: &[Row<'_>]) {
    for (what, now_ms, tried, expected) in rows {
        assert_eq!(step(*now_ms, tried, untried), *expected, "{what}");
    }
}

#[test]
fn one_way_after_another() {
    let (open, wait) = (Step::OpenRoute, Step::Wait(None));
    let trying = Trying(at(10));
    let rang = LegState::Refused { code: 480, rang: true };
    check(
        true,
        &[
            ("no server in this mode: the first route at once", 0, &[], open),
            ("silence is granted try_ms", 0, &[(0, Silent)], until(1_500)),
            ("and not more", 1_500, &[(0, Silent)], open),
            ("a connection that is being opened too", 100, &[(0, Dialing)], until(1_500)),
            ("it does not stand in time", 1_500, &[(0, Dialing)], open),
            ("100 alone is no answer", 1_499, &[(0, trying)], until(1_500)),
            ("100 alone is no answer, later", 1_500, &[(0, trying)], open),
            ("a refusal", 20, &[(0, refused(486))], open),
            ("a refusal for all", 20, &[(0, refused(603))], open),
            ("a redirection", 20, &[(0, refused(302))], open),
            ("a challenge that nobody can answer", 20, &[(0, refused(401))], open),
            ("a transport error", 20, &[(0, Failed)], open),
            ("a ringing server", 9_000, &[(0, Ringing)], wait),
            ("a ringing route", 60_000, &[(0, Silent), (1_500, Ringing)], wait),
            ("a server that rings late", 60_000, &[(0, Ringing), (1_500, Silent)], wait),
            ("it rings, another refuses", 2_000, &[(0, Ringing), (1_500, refused(486))], wait),
            ("it rang and refused", 9_000, &[(0, rang)], open),
            ("the second way's own time", 1_600, &[(0, Silent), (1_500, Silent)], until(3_000)),
            ("and not more of that", 3_000, &[(0, Silent), (1_500, Silent)], open),
            ("the second refuses", 1_700, &[(0, trying), (1_500, refused(404))], open),
            ("the first refuses", 1_700, &[(0, refused(503)), (1_500, Silent)], until(3_000)),
            ("the first was taken again", 2_000, &[(1_900, Silent), (1_500, Silent)], until(3_400)),
        ],
    );
}

#[test]
fn the_last_way_decides() {
    let (give_up, wait) = (Step::GiveUp, Step::Wait(None));
    let trying = Trying(at(10));
    check(
        false,
        &[
            ("no way at all", 0, &[], give_up),
            ("all refuse", 50, &[(0, refused(503)), (20, refused(486))], give_up),
            ("all fail", 50, &[(0, Failed), (20, Failed)], give_up),
            ("the last one rings", 60_000, &[(0, refused(503)), (9, Ringing)], wait),
            ("the last has its time", 1_600, &[(0, Silent), (1_500, Silent)], until(3_000)),
            ("the last stays silent", 3_000, &[(0, Silent), (1_500, Silent)], give_up),
            ("the last refuses", 1_600, &[(0, Silent), (1_500, refused(404))], give_up),
            ("the server alone is silent", 1_500, &[(0, Silent)], give_up),
            ("it works at it", 1_500, &[(0, trying)], until(10_000)),
            ("the last is silent", 3_000, &[(0, trying), (1_500, Silent)], until(10_000)),
            ("for ever", 10_000, &[(0, trying), (1_500, Silent)], give_up),
            ("what lost is no way", 10, &[(0, Lost), (0, refused(486))], give_up),
        ],
    );
}

#[test]
fn the_server_s_targets_are_one_way() {
    let step = |now_ms: u64, target_ms: u64, state: LegState, untried: bool| {
        let tried = [Tried { since: at(0), state }];
        let next_target = Some(at(target_ms));
        let try_for = Duration::from_millis(TRY_MS);
        decide(&View { now: at(now_ms), tried: &tried, untried, next_target, try_for })
    };
    for untried in [false, true] {
        assert_eq!(step(100, 500, Silent, untried), until(500));
        assert_eq!(step(500, 500, Silent, untried), Step::OpenTarget);
        assert_eq!(step(20, 20, Failed, untried), Step::OpenTarget);
        assert_eq!(step(700, 500, Ringing, untried), Step::Wait(None));
    }
}

#[test]
fn a_number_is_known_however_it_is_dialled() {
    let numbers = ["112".to_owned(), "911".into(), "+49112".into(), "1-9-2".into(), "sos".into()];
    for uri in [
        "sip:112@example.net",
        "sip:112@elsewhere.example",
        "SIP:112@EXAMPLE.net:5062;user=phone;transport=tcp",
        "sips:112@example.net",
        "sip:112@192.168.1.1",
        "sip:112@[2001:db8::1]:5060",
        "sip:112:secret@example.net",
        "sip:112;phone-context=+49@example.net;user=phone",
        "sip:112;phone-context=example.net@example.net",
        "sip:1-1-2@example.net",
        "sip:1.1.2@example.net",
        "sip:%31%31%32@example.net",
        "sip:112%3Bphone-context=+49@example.net",
        "sip:112@example.net?Subject=help",
        "tel:112",
        "TEL:112",
        "tel:112;phone-context=+49",
        "tel:112;phone-context=example.net",
        "tel:1-1-2;isub=1",
        "<sip:112@example.net>",
        "sip:+49112@example.net",
        "sip:+49-112@example.net",
        "tel:+49112",
        "sip:192@example.net",
        "sip:SOS@example.net",
        "urn:service:sos",
        "URN:Service:SOS",
        "urn:service:sos.police",
        "urn:service:sos.fire",
        "urn:service:sos.ecall.manual",
    ] {
        assert!(is_emergency(uri, &numbers), "{uri}");
    }
    for uri in [
        "",
        "112",
        "sip:112",
        "sip:example.net",
        "sip:1120@example.net",
        "sip:0112@example.net",
        "sip:00112@example.net",
        "sip:+112@example.net",
        "sip:+1911@example.net",
        "sip:alice@112",
        "sip:112x@example.net",
        "sip:*112@example.net",
        "tel:+112",
        "tel:",
        "urn:service:counseling",
        "urn:service:test.sos",
        "urn:service:so",
        "http://112@example.net",
    ] {
        assert!(!is_emergency(uri, &numbers), "{uri}");
    }
}

#[test]
fn a_challenge_goes_to_a_phone_that_can_answer_it_and_once() {
    let challenge = |parameters: &str| {
        format!(
            "SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\n\
             From: <sip:a@b>;tag=1\r\nTo: <sip:112@b>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\n\
             WWW-Authenticate: Digest realm=\"b\", nonce=\"1\"{parameters}\r\n\r\n"
        )
    };
    let (fresh, stale) = (challenge(""), challenge(", stale=TRUE"));
    let fresh = Message::parse(fresh.as_bytes()).unwrap();
    let stale = Message::parse(stale.as_bytes()).unwrap();
    let mut stranger = Emergency::default();
    assert!(!stranger.passes_challenge(0, &fresh));
    let mut known = Emergency { registered: true, ..Emergency::default() };
    assert!(known.passes_challenge(0, &fresh));
    assert_eq!(known.challenged_leg(), Some(0));
    assert!(known.passes_challenge(1, &fresh), "each way may ask");
    assert_eq!(known.challenged_leg(), Some(1));
    assert!(!known.passes_challenge(0, &fresh), "the credentials are not good");
    assert!(known.passes_challenge(0, &stale), "they were too old");
    assert_eq!(known.challenged_leg(), Some(0));
}
