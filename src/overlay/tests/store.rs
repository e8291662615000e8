//! Records kept: whose gives way to whose, and for how long.

use super::super::store::Store;
use super::super::wire::Status;
use super::super::*;
use super::net::{contact, identity};
use crate::identity::record::{AddressRecord, Record};
use std::net::SocketAddr;

#[test]
fn a_full_store_keeps_what_belongs_to_it_and_its_own() {
    let keys = NetworkKeys::new(&[1; 32], "test");
    let me = identity(0);
    let mut store = Store::new(me.id(), 5, 1);
    let now = Instant::from_micros(1);
    let record = |owner: usize, n: u8, seq: u64| {
        Record::sign(&identity(owner), keys.network(), &[n; 32], seq, Some(&contact(0)))
    };
    assert_eq!(store.put(now, &record(0, 200, 1), None, true), Status::Stored);
    let mut others: Vec<Record> = (0..30).map(|n| record(1, n, 1)).collect();
    for record in &others {
        store.put(now, record, None, false);
    }
    others.sort_by_key(|record| id::distance(&me.id().0, &record.key().0));
    for (at, record) in others.iter().enumerate() {
        let held = store.get(record.key(), &identity(1).id()).is_some();
        assert_eq!(held, at < 5, "the closest stay");
    }
    assert!(store.get(record(0, 200, 1).key(), &me.id()).is_some());
}

#[test]
fn a_key_holds_eight_owners_and_only_newer_numbers_replace() {
    let keys = NetworkKeys::new(&[1; 32], "test");
    let mut store = Store::new(identity(0).id(), 49, 1);
    let mut now = Instant::from_micros(1);
    let record = |owner: usize, seq: u64, contact: Option<&crate::identity::record::Contact>| {
        Record::sign(&identity(owner), keys.network(), &[9; 32], seq, contact)
    };
    let contact = contact(1);
    for owner in 1..9 {
        let status = store.put(now, &record(owner, 5, Some(&contact)), None, false);
        assert_eq!(status, Status::Stored);
    }
    assert_eq!(store.put(now, &record(9, 5, Some(&contact)), None, false), Status::Full);
    assert_eq!(store.put(now, &record(3, 4, Some(&contact)), None, false), Status::Newer);
    assert_eq!(store.put(now, &record(3, 6, None), None, false), Status::Stored);
    assert_eq!(store.put(now, &record(9, 5, Some(&contact)), None, false), Status::Stored);
    let key = record(1, 5, None).key();
    assert!(store.get(key, &identity(3).id()).is_none(), "the withdrawn made room");
    now += Duration::from_secs(2 * 3600);
    assert_eq!(store.touch(now, key, &identity(1).id(), 5, 0), Status::Stored);
    assert_eq!(store.touch(now, key, &identity(1).id(), 7, 0), Status::Unknown);
    assert_eq!(store.touch(now, key, &identity(1).id(), 3, 0), Status::Newer);
    assert_eq!(store.touch(now, key, &identity(1).id(), 5, 2), Status::AddressUnknown);
    now += Duration::from_secs(2 * 3600);
    while store.expire_one(now) {}
    assert_eq!(store.len(), 1, "only the touched one outlives three hours");
}

#[test]
fn own_records_have_room_of_their_own_whatever_others_put() {
    let keys = NetworkKeys::new(&[1; 32], "test");
    let now = Instant::from_micros(1);
    let record = |owner: usize, aor: [u8; 32], seq: u64| {
        Record::sign(&identity(owner), keys.network(), &aor, seq, Some(&contact(0)))
    };
    // Eight others were there first, under the number of the own phone.
    let mut store = Store::new(identity(0).id(), 50, 4);
    for owner in 1..9 {
        assert_eq!(store.put(now, &record(owner, [9; 32], 5), None, false), Status::Stored);
    }
    let own = record(0, [9; 32], 1);
    assert_eq!(store.put(now, &own, None, true), Status::Stored);
    assert_eq!(store.set(&own.key()).count(), 8);
    assert!(store.get(own.key(), &identity(0).id()).is_some());
    // As many others as there is room for, all of them nearer than the own ones.
    let mut all: Vec<Record> = (0..60).map(|n| record(1, [n; 32], 1)).collect();
    all.sort_by_key(|record| id::distance(&identity(0).id().0, &record.key().0));
    let mut store = Store::new(identity(0).id(), 10, 4);
    for record in &all {
        store.put(now, record, None, false);
    }
    assert_eq!(store.len(), 10, "others stop where the room for own ones begins");
    for n in 100..104 {
        assert_eq!(store.put(now, &record(0, [n; 32], 1), None, true), Status::Stored);
    }
    assert_eq!(store.len(), 14);
    // What is withdrawn is as another's, and gives way like one.
    store.disown(record(0, [100; 32], 1).key());
    assert_eq!(store.put(now, &record(0, [104; 32], 1), None, true), Status::Stored);
    assert_eq!(store.len(), 14);
    let held = |n: u8| store.get(record(0, [n; 32], 1).key(), &identity(0).id()).is_some();
    assert!((101..105).all(held));
}

#[test]
fn what_is_held_stays_what_it_is_while_others_come_go_and_grow() {
    let keys = NetworkKeys::new(&[1; 32], "test");
    let mut rng = Rng::new([4; 32]);
    let mut store = Store::new(identity(0).id(), 40, 1);
    let mut known = std::collections::BTreeMap::<(u8, usize), Record>::new();
    let mut lists: [Option<AddressRecord>; 4] = Default::default();
    let now = Instant::from_micros(1);
    for seq in 1..2000_u64 {
        let owner = 1 + rng.below(4) as usize;
        let aor = rng.below(8) as u8;
        let wanted = (rng.below(4) > 0).then(|| contact(rng.below(3) as usize));
        let sign = |aor: u8, contact: Option<&_>| {
            Record::sign(&identity(owner), keys.network(), &[aor; 32], seq, contact)
        };
        let told = rng.below(3) == 0;
        if told {
            let many = 1 + rng.below(4) as u16;
            let addresses = (0..many).map(|n| SocketAddr::from(([192, 0, 2, 1], 5070 + n)));
            let none = Default::default();
            let list = addresses.collect();
            let network = keys.network();
            lists[owner - 1] =
                Some(AddressRecord::sign(&identity(owner), network, seq, &list, &none));
        }
        let list = lists[owner - 1].as_ref().filter(|_| told);
        let record = sign(aor, wanted.as_ref());
        assert_eq!(store.put(now, &record, list, false), Status::Stored);
        known.insert((aor, owner), record);
        for ((_, owner), record) in &known {
            let held = store.get(record.key(), &identity(*owner).id()).unwrap();
            assert_eq!(held.record.as_bytes(), record.as_bytes());
            let list = held.addresses.as_ref().map(|list| list.as_bytes());
            // What came since without a list has none.
            if let (Some(newest), Some(list)) = (&lists[owner - 1], list) {
                assert_eq!(list, newest.as_bytes());
            }
        }
    }
    assert_eq!(store.len(), known.len());
}
