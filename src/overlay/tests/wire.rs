//! The wire format against committed bytes, and against bytes that are not of it.

use super::super::fuzz;
use super::super::id::{Named, Node};
use super::super::port::Datagram;
use super::super::wire::{
    Body, Claim, FIND_BYTES, Frame, FrameError, GET_BYTES, Hello, Introduced, Piece, Standing,
    Status, Token, Touch, Value, Verdict, WHO_BYTES, kind,
};
use super::super::wire_out::{Content, Encoder, named_bytes};
use super::net::{address, identity};
use crate::identity::NetworkKeys;
use crate::identity::authority::Authority;
use crate::identity::record::{AddressRecord, Contact, Key, Record};
use crate::identity::revocation::{Pieces, Revocations, Revoked};
use crate::identity::statement::STATED_BYTES;
use crate::net::NodeId;
use proptest::prelude::*;

const VECTORS: &str = include_str!("../../../tests/data/overlay/frames.txt");
const ME: NodeId = NodeId([0xa1; 16]);
const REQUEST: u64 = 0x0102_0304_0506_0708;
const TOKEN: Token = [0xb1, 0xb2, 0xb3, 0xb4, 0xb5, 0xb6, 0xb7, 0xb8];
const KEY: Key = Key([0xc1; 16]);

fn keys() -> NetworkKeys {
    NetworkKeys::new(&[1; 32], "example")
}

pub(super) fn hello() -> Hello {
    let observed = "[2001:db8::1]:5070".parse().unwrap();
    let standing = Standing::Near;
    Hello {
        token: TOKEN,
        young: true,
        standing,
        kept: true,
        six: false,
        start: 142,
        list: 0x0a0b_0c0d,
        observed,
    }
}

fn record() -> Record {
    let aor_key = keys().aor_key("sip:alice@example.net");
    let contact = Contact::new("alice").unwrap();
    Record::sign(&identity(1), keys().network(), &aor_key, 0x0000_0001_0000_0002, Some(&contact))
}

fn addresses() -> AddressRecord {
    let list = [address(1), "[2001:db8::2]:5070".parse().unwrap()].into_iter().collect();
    AddressRecord::sign(
        &identity(1),
        keys().network(),
        0x0000_0001_0000_0001,
        &list,
        &[address(9)].into_iter().collect(),
    )
}

/// List 7, on which one stood before.
fn list() -> Revocations {
    let revoked = |serial, number| Revoked { serial, ends_day: 20_610, number };
    let entries = [revoked(0x0102_0203, 6), revoked(0x0102_0303, 7), revoked(0x0102_0403, 7)];
    let anchor = Authority::anchor(identity(2), keys().network());
    let head = anchor.revoke(7, 20_600 * 86_400, &entries);
    Revocations::default().updated(&head, &entries, 100).unwrap()
}

fn nodes() -> [Node; 2] {
    [
        Node { id: NodeId([0xd1; 16]), address: address(7) },
        Node { id: NodeId([0xd2; 16]), address: "[2001:db8::3]:5071".parse().unwrap() },
    ]
}

/// The same, as others name them.
fn named() -> [Named; 2] {
    let [mut one, mut two] = nodes();
    one.id.0[8..].fill(0);
    two.id.0[8..].fill(0);
    [Named { node: one, age_h: 0 }, Named { node: two, age_h: 47 }]
}

/// Every kind once, by name.
pub(super) fn frames() -> Vec<(&'static str, Vec<u8>)> {
    let (record, addresses, nodes, named) = (record(), addresses(), nodes(), named());
    let touch = Touch { record: (KEY, 9), address_seq: 8, addresses: None, certificate: None };
    let told = Touch { addresses: Some(addresses.as_bytes()), ..touch };
    let proven = Touch { certificate: Some(&[0xf1; 9]), ..told };
    let found = Content::Record(record.as_bytes(), Some(addresses.as_bytes()));
    let others = [(NodeId([0xe1; 16]), 77)];
    let (r, a) = (record.as_bytes(), addresses.as_bytes());
    let owner = Some(NodeId([0xe1; 16]));
    let hello = hello();
    let mut out = Vec::new();
    let mut add = |name, mut encoder: Encoder, pad| {
        out.push((name, encoder.finish(&keys(), pad).to_vec()));
    };
    add("ping", Encoder::ping(ME, REQUEST, &TOKEN, 142, Claim::Keep, &address(1)), 0);
    add("pong", Encoder::pong(ME, REQUEST, &hello), 0);
    add("find", Encoder::find(ME, REQUEST, &TOKEN, &KEY.0), FIND_BYTES);
    add("nodes", Encoder::nodes(ME, REQUEST, &hello, &named, 1200), 0);
    add("get", Encoder::get(ME, REQUEST, &TOKEN, &KEY, None), GET_BYTES);
    add("get-owner", Encoder::get(ME, REQUEST, &TOKEN, &KEY, owner), GET_BYTES);
    let value = Encoder::value(ME, REQUEST, &hello, &found, &others, &named, GET_BYTES);
    add("value", value, GET_BYTES);
    let (stated, room) = (core::array::from_fn(|at| at as u8), GET_BYTES - STATED_BYTES);
    let value = Encoder::value(ME, REQUEST, &hello, &found, &others, &named, room);
    add("value-stated", value.with(Some(&stated)), GET_BYTES);
    let none = Encoder::value(ME, REQUEST, &hello, &Content::Nothing, &[], &[], GET_BYTES);
    add("value-none", none, GET_BYTES);
    let denial = Content::Denial(&[0xf1; 9], a);
    let denial = Encoder::value(ME, REQUEST, &hello, &denial, &[], &named, GET_BYTES);
    add("value-denial", denial, GET_BYTES);
    add("put", Encoder::put_record(ME, REQUEST, &TOKEN, r, Some(a)), 0);
    add("stored", Encoder::stored(ME, REQUEST, &hello, Status::Stored, None), 0);
    let stored = Encoder::stored(ME, REQUEST, &hello, Status::Stored, None);
    add("stored-stated", stored.with(Some(&stated)), 0);
    add("stored-newer", Encoder::stored(ME, REQUEST, &hello, Status::Newer, Some(r)), 0);
    add("touch", Encoder::touch(ME, REQUEST, &TOKEN, &touch), 0);
    add("touch-addresses", Encoder::touch(ME, REQUEST, &TOKEN, &told), 0);
    add("touch-certificate", Encoder::touch(ME, REQUEST, &TOKEN, &proven), 0);
    add("dial", Encoder::dial(ME, REQUEST, &TOKEN, &nodes[0]), 0);
    add("dialed", Encoder::dialed(ME, REQUEST, &hello, Verdict::Unsure), 0);
    add("introduce", Encoder::introduce(ME, REQUEST, &TOKEN, &nodes[1].id), 0);
    let busy = Encoder::introduced(ME, REQUEST, &hello, &Introduced::Busy);
    add("introduced-busy", busy, 0);
    let met = Introduced::Told(nodes[1].address);
    add("introduced", Encoder::introduced(ME, REQUEST, &hello, &met), 0);
    add("introduction", Encoder::introduction(ME, &nodes[1]), 0);
    add("relay", Encoder::relay(ME, &TOKEN, &nodes[1].id, b"of the channel"), 0);
    add("relayed", Encoder::relayed(ME, &nodes[1].id, b"of the channel"), 0);
    let mut hints = Vec::new();
    for named in &named {
        let mut bytes = heapless::Vec::new();
        named_bytes(named, &mut bytes);
        hints.extend(bytes);
    }
    let four = Encoder::hints(ME, REQUEST, &TOKEN, 9, (2, &hints), &address(1));
    add("hints", four, 0);
    let six = Encoder::hints(ME, REQUEST, &TOKEN, 9, (1, &hints[..15]), &nodes[1].address);
    add("hints-6", six, 0);
    add("who", Encoder::who(ME, REQUEST, &TOKEN), WHO_BYTES);
    add("credentials", Encoder::credentials(ME, REQUEST, &hello, &[0xf1; 9], a), 0);
    let (list, since) = (list(), (6, 0));
    add("list", Encoder::list(ME, REQUEST, &TOKEN, 6, 0x0102_0304), 0);
    add("piece", Encoder::piece(ME, REQUEST, &hello, Some(&list), since), 0);
    add("piece-next", Encoder::piece(ME, REQUEST, &hello, Some(&list), (6, 0x0102_0304)), 0);
    add("piece-none", Encoder::piece(ME, REQUEST, &hello, None, since), 0);
    out
}

fn hex(data: &[u8]) -> String {
    data.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Zeros at the end are left out of the file: padding.
fn vectors() -> Vec<(String, String)> {
    let lines = VECTORS.lines().filter(|line| !line.starts_with('#'));
    let split = |line: &str| {
        let mut words = line.split(' ');
        let (name, len) = (words.next().unwrap(), words.next().unwrap());
        let mut data = words.next().unwrap().to_owned();
        data.extend(std::iter::repeat_n('0', 2 * len.parse::<usize>().unwrap() - data.len()));
        (name.to_owned(), data)
    };
    lines.map(split).collect()
}

#[test]
fn the_format_is_what_was_committed() {
    let made: Vec<(String, String)> =
        frames().into_iter().map(|(name, data)| (name.to_owned(), hex(&data))).collect();
    for ((name, data), committed) in made.iter().zip(vectors()) {
        let shown = data.trim_end_matches("00");
        let line = format!("{name} {} {shown}", data.len() / 2);
        assert_eq!((name, data), (&committed.0, &committed.1), "{line}");
    }
    assert_eq!(made.len(), vectors().len());
}

fn check_value(name: &str, value: &Value<'_>) {
    let list = || value.addresses.map(AddressRecord::parse);
    assert_eq!(value.stated.is_some(), name == "value-stated");
    match name {
        "value" | "value-stated" => {
            assert_eq!(value.record.map(Record::parse), Some(Ok(record())));
            assert!(value.others.iter().eq([(NodeId([0xe1; 16]), 77)]));
            assert!(value.nodes.iter().eq(named()));
        }
        "value-denial" => {
            assert_eq!((value.certificate, list()), (Some(&[0xf1; 9][..]), Some(Ok(addresses()))));
            assert!(value.record.is_none() && value.nodes.iter().eq(named()));
        }
        _ => assert_eq!((value.record, value.addresses), (None, None)),
    }
}

#[test]
fn what_was_written_is_read_back() {
    let (record, addresses) = (record(), addresses());
    for (name, data) in frames() {
        assert!(data.len() <= 1200 && data[2] < 0x40, "{name}");
        let frame = Frame::parse(&data, &keys()).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        let request = if matches!(data[2], 14..=16) { 0 } else { REQUEST };
        assert_eq!((frame.sender, frame.request), (ME, request), "{name}");
        match frame.body {
            Body::Ping(token, start, claim) => {
                assert_eq!((token, start, claim), (TOKEN, 142, Claim::Keep));
            }
            Body::Find(token, place) => assert_eq!((token, place), (TOKEN, KEY.0)),
            Body::Get(token, key, owner) => {
                assert_eq!((token, key), (TOKEN, KEY));
                assert_eq!(owner.is_some(), name == "get-owner");
            }
            Body::Put(token, bytes, list) => {
                assert_eq!((token, Record::parse(bytes)), (TOKEN, Ok(record.clone())));
                assert_eq!(list.map(AddressRecord::parse), Some(Ok(addresses.clone())));
            }
            Body::Touch(token, touch) => check_touch(name, token, &touch),
            Body::Pong(seen) => assert_eq!(seen, hello()),
            Body::Nodes(seen, list) => {
                assert_eq!(seen, hello());
                assert!(list.iter().eq(named()));
            }
            Body::Stored(seen, status, newer, stated) => {
                assert_eq!(seen, hello());
                assert_eq!(status == Status::Newer, newer.is_some());
                assert_eq!(stated.is_some(), name == "stored-stated");
            }
            Body::Value(_, value) => check_value(name, &value),
            Body::Dial(token, node) => assert_eq!((token, node), (TOKEN, nodes()[0])),
            Body::Dialed(seen, verdict) => assert_eq!((seen, verdict), (hello(), Verdict::Unsure)),
            Body::Introduce(token, id) => assert_eq!((token, id), (TOKEN, nodes()[1].id)),
            Body::Introduced(_, Introduced::Busy) => assert_eq!(name, "introduced-busy"),
            Body::Introduced(seen, how) => {
                assert_eq!((seen, how), (hello(), Introduced::Told(nodes()[1].address)));
            }
            Body::Introduction(node) => assert_eq!(node, nodes()[1]),
            Body::Relay(token, id, data) => {
                assert_eq!((token, id, data), (TOKEN, nodes()[1].id, &b"of the channel"[..]));
            }
            Body::Hints(token, level, hints) => {
                assert_eq!((token, level), (TOKEN, 9));
                let count = if name == "hints" { 2 } else { 1 };
                assert!(hints.iter().eq(named().into_iter().take(count)));
            }
            Body::Who(token) => assert_eq!(token, TOKEN),
            Body::Credentials(seen, certificate, list) => {
                assert_eq!((seen, certificate), (hello(), &[0xf1; 9][..]));
                assert_eq!(AddressRecord::parse(list), Ok(addresses.clone()));
            }
            Body::List(token, number, from) => {
                assert_eq!((token, number, from), (TOKEN, 6, 0x0102_0304));
            }
            Body::Piece(seen, piece) => {
                assert_eq!((seen, piece.more), (hello(), false));
                check_piece(name, &piece);
            }
            Body::Relayed(id, data) => {
                assert_eq!((id, data), (nodes()[1].id, &b"of the channel"[..]));
            }
        }
    }
}

fn check_touch(name: &str, token: Token, touch: &Touch<'_>) {
    assert_eq!((token, touch.record, touch.address_seq), (TOKEN, (KEY, 9), 8));
    assert_eq!(touch.addresses.is_some(), name != "touch");
    let certificate = (name == "touch-certificate").then_some(&[0xf1; 9][..]);
    assert_eq!(touch.certificate, certificate);
}

fn check_piece(name: &str, piece: &Piece<'_>) {
    let list = list();
    let head = list.head().unwrap();
    assert_eq!(piece.head, (name == "piece").then_some(head.as_bytes()));
    let mut pieces = Pieces::new(head.clone());
    pieces.take(piece.entries).unwrap();
    let serials: Vec<u64> = pieces.entries().iter().map(|it| it.serial).collect();
    let told: &[u64] = match name {
        "piece" => &[0x0102_0303, 0x0102_0403],
        // The first step is from the serial that was named.
        "piece-next" => &[0x100],
        _ => &[],
    };
    assert_eq!(serials, told);
}

#[test]
fn gets_and_their_answers_look_alike_from_outside() {
    for (name, data) in frames() {
        let len = match name {
            "get" | "get-owner" | "value" | "value-stated" | "value-none" => 1100,
            "find" => 404,
            "who" => 704,
            _ => continue,
        };
        assert_eq!(data.len(), len, "{name}");
    }
}

#[test]
fn a_frame_that_was_touched_is_refused() {
    for (name, data) in frames() {
        for at in 0..data.len() {
            let mut wrong = data.clone();
            wrong[at] ^= 1;
            assert!(Frame::parse(&wrong, &keys()).is_err(), "{name} byte {at}");
            // Of the padding less may arrive, of everything else nothing.
            if data[at..].iter().any(|byte| *byte != 0) {
                let cut = Frame::parse(&data[..at], &keys());
                assert!(cut.is_err(), "{name} cut at {at}");
            }
        }
        let mut other = data.clone();
        other[0] = 2;
        assert_eq!(Frame::parse(&other, &keys()), Err(FrameError::Version));
        let mut longer = data.clone();
        longer.push(1);
        assert!(Frame::parse(&longer, &keys()).is_err(), "{name} with more behind it");
    }
    assert_eq!(Frame::parse(&[], &keys()), Err(FrameError::Format));
}

/// Cuts the tag off, changes the body, tags again: what only a member can send.
fn retagged(data: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let padded = matches!(data[2], 3 | 5 | 6 | 18);
    let end = if padded {
        5 + usize::from(u16::from_be_bytes([data[3], data[4]]))
    } else {
        data.len() - 16
    };
    let mut body = data[..end].to_vec();
    change(&mut body);
    if padded {
        let len = (body.len() - 5) as u16;
        body[3..5].copy_from_slice(&len.to_be_bytes());
    }
    let tag = keys().tag(&body);
    body.extend(tag);
    body
}

#[test]
fn a_body_that_is_too_long_or_too_short_is_refused_under_a_good_tag() {
    for (name, data) in frames() {
        assert!(Frame::parse(&retagged(&data, |_| {}), &keys()).is_ok(), "{name}");
        // What is relayed has any length, and padding ends where it ends.
        let carries = name.starts_with("relay") || name.starts_with("piece");
        let longer = retagged(&data, |body| body.push(1));
        assert_eq!(Frame::parse(&longer, &keys()).is_ok(), carries, "{name}");
        let shorter = retagged(&data, |body| body.truncate(body.len() - 1));
        if !carries && !["ping", "dial", "introduce", "hints-6", "list"].contains(&name) {
            assert_eq!(Frame::parse(&shorter, &keys()), Err(FrameError::Format), "{name}");
        }
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(48))]

    #[test]
    fn hostile_bytes_neither_panic_nor_are_answered_with_more(
        kind in 0u8..23,
        body in proptest::collection::vec(any::<u8>(), 0..400),
    ) {
        let mut data = vec![1, 0, kind];
        data.extend(body);
        fuzz::fuzz(&data);
    }

    #[test]
    fn frames_changed_under_a_good_tag_neither_panic_nor_are_answered_with_more(
        which in 0usize..32,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let (_, data) = frames().swap_remove(which);
        let changed = retagged(&data, |body| {
            let at = 3 + at.index(body.len() - 3);
            body[at] = byte;
        });
        fuzz::fuzz(&changed[..changed.len() - 16]);
    }
}

#[test]
fn whose_a_datagram_is_says_its_third_byte() {
    let of = |third: u8| Datagram::of(&[1, 0, third, 9]);
    assert_eq!(of(kind::RELAYED), Datagram::Relayed);
    assert!((0x40..=0x7f).all(|third| of(third) == Datagram::Channel));
    let others = (0..=255).filter(|third| *third != kind::RELAYED && !(0x40..0x80).contains(third));
    assert!({ others }.all(|third| of(third) == Datagram::Overlay));
    assert_eq!(Datagram::of(&[1, 0]), Datagram::Overlay);
}
