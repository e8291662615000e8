//! What fuzzers and property tests drive: hostile bytes into a node with members and records.

use super::Overlay;
use super::event::Limits;
use super::wire::Frame;
use crate::budget::Budget;
use crate::identity::record::{AddressRecord, Contact, Record};
use crate::identity::{Identity, NetworkKeys, Statement};
use crate::net::Transmit;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// Feeds `data` to every parser, and to a node: as it is, and under a correct tag. Panics where a
/// rule is broken: an answer larger than its question, or a node that never rests.
pub fn fuzz(data: &[u8]) {
    let keys = NetworkKeys::new(&[7; 32], "fuzz");
    let Ok(identity) = Identity::from_seed([9; 32]) else { return };
    let _ = Frame::parse(data, &keys);
    let _ = Record::parse(data).map(|record| record.open(&[1; 32]));
    let _ = AddressRecord::parse(data).map(|record| record.addresses());
    if let Some(statement) = Statement::parse(data) {
        let said = statement.said();
        let about = (said.key, said.owner, said.seq);
        let again = Statement::completed(said.place, about, &statement.stated());
        assert_eq!(again, statement, "what is read is what was said");
        assert!(!statement.contradicts(&statement), "nobody denies what it says");
    }
    let mut now = Instant::from_micros(1);
    let limits = Limits { table_kb: 4, store_entries: 8, publish_entries: 2, lookup_entries: 4 };
    let mut node = Overlay::new(&identity, &keys, limits, 1, [3; 32], now);
    node.load_peers(now, data);
    let contact = Contact::default();
    let published = node.publish(now, "sip:a@example.net", &contact);
    assert!(published.is_ok(), "there is room for two");
    node.lookup(now, "sip:b@example.net");
    let from = SocketAddr::from(([192, 0, 2, 9], 5070));
    let mut tagged = data.to_vec();
    if let [version, key_id, ..] = tagged.as_mut_slice() {
        (*version, *key_id) = (super::wire::VERSION, keys.key_id());
    }
    tagged.extend(keys.tag(&tagged));
    let mut budget = Budget::new(now);
    for input in [data, &tagged] {
        drain(&mut node, &mut budget, now, None);
        let _ = node.handle_datagram(now, from, input);
        let _ = node.take_relayed(from, input);
        drain(&mut node, &mut budget, now, Some((from, input.len())));
        now += Duration::from_millis(300);
    }
}

fn drain(
    node: &mut Overlay,
    budget: &mut Budget,
    now: Instant,
    question: Option<(SocketAddr, usize)>,
) {
    let mut buf = [0; crate::limits::OVERLAY_DATAGRAM_BYTES_MAX];
    while let Some(Transmit { to, len, .. }) = node.poll_transmit(&mut buf) {
        if let Some((from, asked)) = question {
            assert!(to != from || len <= asked, "an answer is never larger than its question");
        }
    }
    for _ in 0..1000 {
        while node.poll_event().is_some() {}
        let due = crate::time::earlier(node.poll_timeout(), node.work_at(budget));
        if due.is_none_or(|at| at > now) {
            return;
        }
        node.handle_timeout(now);
        node.work(now, budget);
        while node.poll_transmit(&mut buf).is_some() {}
    }
    panic!("a node rests once everything due is done");
}
