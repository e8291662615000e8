//! What fuzzers and property tests drive: hostile bytes into a node with members and records.

use super::Overlay;
use super::event::Limits;
use super::id::Node;
use super::wire::{Body, FIND_BYTES, Frame, GET_BYTES, NO_TOKEN, VERSION, WHO_BYTES, kind};
use crate::budget::Budget;
use crate::identity::record::{AddressRecord, Contact, Record};
use crate::identity::revocation::Pieces;
use crate::identity::trust::{Clock, Trust};
use crate::identity::{Identity, NetworkKeys, Statement};
use crate::net::{NodeId, Transmit};
use crate::time::{Duration, Instant};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Feeds `data` to every parser, and to nodes with and without a trust anchor: as it is, and under
/// a correct tag. Panics where a rule is broken: more bytes in answer than in the question, or a
/// node that never rests.
pub fn fuzz(data: &[u8]) {
    let keys = keys();
    let _ = Frame::parse(data, &keys);
    let _ = Record::parse(data).map(|record| record.open(&[1; 32]));
    let _ = AddressRecord::parse(data).map(|record| record.addresses());
    let _ = Pieces::parse(data).map(|pieces| pieces.after());
    if let Some(statement) = Statement::parse(data) {
        let said = statement.said();
        let about = (said.key, said.owner, said.seq);
        let again = Statement::completed(said.place, about, &statement.stated());
        assert_eq!(again, statement, "what is read is what was said");
        assert!(!statement.contradicts(&statement), "nobody denies what it says");
    }
    for anchored in [false, true] {
        let mut now = Instant::from_micros(1);
        let Some(mut node) = node(now, anchored) else { return };
        node.load_peers(now, data);
        let contact = Contact::default();
        let published = node.publish(now, "sip:a@example.net", &contact);
        assert!(published.is_ok(), "there is room for two");
        node.lookup(now, "sip:b@example.net");
        let mut budget = Budget::new(now);
        for input in [data, &tagged(data, &keys)] {
            drain(&mut node, &mut budget, now, None);
            let _ = node.handle_datagram(now, FROM, input);
            let _ = node.take_relayed(FROM, input);
            drain(&mut node, &mut budget, now, Some(input.len()));
            now += Duration::from_millis(300);
        }
        fuzz_list(data, &tagged(data, &keys), &mut node, now);
        drain(&mut node, &mut budget, now, None);
    }
}

/// The same as a list of revocations, and as a piece of one that was asked for.
fn fuzz_list(data: &[u8], tagged: &[u8], node: &mut Overlay, now: Instant) {
    let _ = node.offer_list(now, data);
    node.fetch_list(now, &Node { id: NodeId([9; 16]), address: FROM }, &NO_TOKEN, true);
    if let Ok(Frame { body: Body::Piece(hello, piece), .. }) = Frame::parse(tagged, &keys()) {
        let _ = node.piece_heard(now, 1, &hello, &piece);
    }
}

/// Where datagrams come from.
pub(super) const FROM: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 9)), 5070);

pub(super) fn keys() -> NetworkKeys {
    NetworkKeys::new(&[7; 32], "fuzz")
}

/// A node that has just started, perhaps one that asks for certificates of the key with the seed
/// [`ANCHOR`], at [`NOW_S`].
pub(super) fn node(now: Instant, anchored: bool) -> Option<Overlay> {
    let identity = Identity::from_seed([9; 32]).ok()?;
    let limits = Limits { table_kb: 4, store_entries: 8, publish_entries: 2, lookup_entries: 4 };
    let mut node = Overlay::new(&identity, &keys(), limits, 1, [3; 32], now);
    if anchored {
        let anchors = [Identity::from_seed(ANCHOR).ok()?.public()].into_iter().collect();
        node.set_clock(now, Clock { unix_s: Some(NOW_S.into()), floor_s: 0 });
        node.set_trust(now, &Trust { anchors, ..Trust::default() });
    }
    Some(node)
}

/// The seed of the anchor's key.
pub(super) const ANCHOR: [u8; 32] = [10; 32];
/// When it is.
pub(super) const NOW_S: u32 = 1_800_000_000;

/// `data` as a datagram of this network: with its tag, and as long as its kind is.
pub(super) fn tagged(data: &[u8], keys: &NetworkKeys) -> Vec<u8> {
    let mut tagged = data.to_vec();
    if let [version, key_id, ..] = tagged.as_mut_slice() {
        (*version, *key_id) = (VERSION, keys.key_id());
    }
    tagged.extend(keys.tag(&tagged));
    let least = match tagged.get(2) {
        Some(&kind::FIND) => FIND_BYTES,
        Some(&(kind::GET | kind::VALUE)) => GET_BYTES,
        Some(&kind::WHO) => WHO_BYTES,
        _ => 0,
    };
    tagged.resize(tagged.len().max(least), 0);
    tagged
}

/// Takes what a node sends until it rests; `asked` bytes came from where nobody has proven to be,
/// and more than that does not go there.
fn drain(node: &mut Overlay, budget: &mut Budget, now: Instant, asked: Option<usize>) {
    let mut buf = [0; crate::limits::OVERLAY_DATAGRAM_BYTES_MAX];
    let mut answered = 0;
    for _ in 0..1000 {
        while let Some(Transmit { to, len, .. }) = node.poll_transmit(&mut buf) {
            answered += if to == FROM { len } else { 0 };
        }
        let most = asked.unwrap_or(usize::MAX);
        assert!(answered <= most, "an answer is never larger than its question");
        while node.poll_event().is_some() {}
        let due = crate::time::earlier(node.poll_timeout(), node.work_at(budget));
        if due.is_none_or(|at| at > now) {
            return;
        }
        node.handle_timeout(now);
        node.work(now, budget);
    }
    panic!("a node rests once everything due is done");
}
