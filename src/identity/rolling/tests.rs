//! Which secret is sent and which are heard, from its arrival to the end of the one before.

use super::*;

const DAY_S: u64 = 86_400;
/// When the secret B is sent.
const B_S: u64 = 1_000 * DAY_S;
/// And the secret C after it.
const C_S: u64 = B_S + 40 * DAY_S;
const A: [u8; 32] = [0xa; 32];
const B: [u8; 32] = [0xb; 32];
const C: [u8; 32] = [0xc; 32];
const D: [u8; 32] = [0xd; 32];

fn file(secrets: &[[u8; 32]]) -> NetworkSecrets {
    NetworkSecrets::from_slice(secrets).unwrap()
}

fn new(secret: [u8; 32], sends_s: u64) -> NewSecret {
    NewSecret { secret, sends_s: sends_s as u32 }
}

/// What a router with this file was brought, one after the other.
fn brought(secrets: &[[u8; 32]], all: &[NewSecret]) -> Rolled {
    let mut rolled = Rolled::default();
    all.iter().for_each(|it| assert!(rolled.take(&file(secrets), *it)));
    rolled
}

#[test]
fn a_new_secret_is_heard_at_once_sent_from_its_moment_and_the_old_one_heard_two_weeks_more() {
    let own = file(&[A]);
    assert_eq!(Rolled::default().at(B_S, &own), own);
    let rolled = brought(&[A], &[new(B, B_S)]);
    let ends_s = B_S + 14 * DAY_S;
    for (now_s, heard) in [
        (0, &[A, B][..]),
        (B_S - 1, &[A, B]),
        (B_S, &[B, A]),
        (ends_s - 1, &[B, A]),
        (ends_s, &[B]),
        (ends_s + 1_000 * DAY_S, &[B]),
    ] {
        assert_eq!(rolled.at(now_s, &own), heard, "{now_s}");
    }
    // A clock that was set back says what it said then.
    assert_eq!(rolled.at(B_S - 1, &own), [A, B]);
    assert_eq!(rolled.sends_s(&B), Some(B_S));
}

#[test]
fn whether_the_file_has_it_too_makes_no_difference() {
    // The image was made before the new one was sent, or after.
    let before = brought(&[A, B], &[new(B, B_S)]);
    for (now_s, heard) in [(B_S - 1, &[A, B][..]), (B_S, &[B, A]), (B_S + 14 * DAY_S, &[B])] {
        assert_eq!(before.at(now_s, &file(&[A, B])), heard);
    }
    let after = brought(&[B, A], &[new(B, B_S)]);
    for (now_s, heard) in [(B_S, &[B, A][..]), (B_S + 14 * DAY_S, &[B])] {
        assert_eq!(after.at(now_s, &file(&[B, A])), heard);
    }
    // Where nobody knows the time, the file's first word is sent.
    assert_eq!(after.at(0, &file(&[B, A])), [B, A]);
    // The owner of the file brings an old one back, or the image that it was: nothing changes.
    assert_eq!(before.at(B_S + 14 * DAY_S, &file(&[A])), [B]);
}

#[test]
fn one_after_the_other_takes_over_and_what_the_file_has_stays_over() {
    let own = file(&[A]);
    let rolled = brought(&[A], &[new(B, B_S), new(C, C_S)]);
    for (now_s, heard) in [
        (C_S - 1, &[B, C][..]),
        (C_S, &[C, B]),
        (C_S + 14 * DAY_S, &[C]),
        // It was away for long and heard of both at once.
        (B_S, &[B, C, A]),
    ] {
        assert_eq!(rolled.at(now_s, &own), heard, "{now_s}");
    }
    // Many later, the file is still known to be over.
    let mut many = rolled;
    for number in 0..10 {
        assert!(many.take(&own, new([0x20 + number; 32], C_S + u64::from(number) * 40 * DAY_S)));
        assert_eq!(Rolled::parse(&many.to_text()).as_ref(), Some(&many));
    }
    assert_eq!(many.at(C_S + 1_000 * DAY_S, &own), [[0x29; 32]]);
}

#[test]
fn what_is_known_older_or_no_secret_is_not_taken() {
    let mut rolled = brought(&[A], &[new(B, B_S)]);
    let before = rolled.clone();
    for other in [new(B, B_S), new(B, B_S + 1), new(C, B_S - 1), new(A, C_S), new([0; 32], C_S)] {
        assert!(!rolled.take(&file(&[A]), other), "{other:?}");
        assert_eq!(rolled, before);
    }
}

#[test]
fn whoever_writes_another_secret_into_the_file_has_the_word() {
    let mut rolled = brought(&[A], &[new(B, B_S)]);
    let own = file(&[D, B]);
    assert_eq!(rolled.at(B_S + DAY_S, &own), [D, B]);
    assert_eq!(rolled.at(B_S - DAY_S, &file(&[D])), [D, B], "what is to come is heard");
    // Until a CoSIP server brings the next one.
    assert!(rolled.take(&own, new(C, C_S)));
    for (now_s, heard) in [(C_S - 1, &[D, C][..]), (C_S, &[C, D]), (C_S + 14 * DAY_S, &[C])] {
        assert_eq!(rolled.at(now_s, &file(&[D])), heard, "{now_s}");
    }
}

#[test]
fn the_file_is_read_as_it_was_written_and_refused_where_it_was_not() {
    let rolled = brought(&[A], &[new(B, B_S)]);
    let text = rolled.to_text();
    let (a, b) = ("0a".repeat(32), "0b".repeat(32));
    assert_eq!(text, format!("{a} 0\n{b} {B_S}\n"));
    assert_eq!(Rolled::parse(&text), Some(rolled.clone()));
    assert_eq!(Rolled::parse(""), Some(Rolled::default()));
    let zero = "00".repeat(32);
    let many = text.repeat(3);
    for wrong in [
        &text[..80],
        &format!("{b} {B_S}\n{a} 0\n"),
        &format!("{b}\n"),
        &format!("{b} soon\n"),
        &format!("{b} 4294967296\n"),
        &format!("{zero} 7\n"),
        &many,
        "\n",
    ] {
        assert_eq!(Rolled::parse(wrong), None, "{wrong:?}");
    }
    let shown = format!("{rolled:?}");
    assert!(!shown.contains("11, 11") && !shown.contains("0b0b"), "{shown}");
}
