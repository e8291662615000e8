//! The fuzzer's seeds with certificates: they are what they say, and get as far as they can.

use super::super::fuzz::{ANCHOR, FROM, NOW_S, keys, node, tagged};
use super::super::wire_out::Encoder;
use super::super::*;
use super::wire::hello;
use crate::budget::Budget;
use crate::identity::authority::{Authority, Subject};
use crate::identity::chain::Validity;
use crate::identity::network::TAG_BYTES;
use crate::identity::record::{AddressRecord, Contact, Key, Record};
use crate::overlay::wire::Touch;

const AOR: &str = "sip:seed@example.net";

/// Name, the datagram without its tag, and what a node with a trust anchor counts of it.
fn seeds() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let keys = keys();
    let anchor = Authority::anchor(Identity::from_seed(ANCHOR).unwrap(), keys.network());
    let issuing = Identity::from_seed([11; 32]).unwrap();
    let days = |n: u32| Validity { from_s: NOW_S - 86_400, until_s: NOW_S + n * 86_400 };
    let delegation = anchor.delegate(1, &issuing.public(), days(90));
    let issuing = Authority::issuing(issuing, keys.network(), delegation);
    let identity = Identity::from_seed([12; 32]).unwrap();
    let aor_key = keys.aor_key(AOR);
    let (key, listed) = (identity.public(), [Key::of(&aor_key)]);
    let place = Authority::place(&[13; 32], &key);
    let subject = Subject { serial: 7, key, place, validity: days(14), keys: &listed };
    let identity = identity.certified(&[issuing.certify(&subject)]);
    let certificate = identity.certificates()[0].as_bytes();
    let contact = Contact::new("seed").unwrap();
    let record = Record::sign(&identity, keys.network(), &aor_key, 1, Some(&contact));
    let none = Default::default();
    let at = [FROM].into_iter().collect();
    let list = AddressRecord::sign(&identity, keys.network(), 1, &at, &none);
    let token = node(Instant::from_micros(1), true).unwrap().guard.token(&FROM);
    let (me, addresses) = (identity.id(), list.as_bytes());
    let touch = Touch {
        record: (listed[0], 1),
        address_seq: 1,
        addresses: Some(addresses),
        certificate: Some(certificate),
    };
    let put = Encoder::put_record(me, 1, &token, record.as_bytes(), Some(addresses));
    let made = [
        ("frame-put-certified", put, "verified"),
        ("frame-touch-certified", Encoder::touch(me, 1, &token, &touch), ""),
        ("frame-credentials", Encoder::credentials(me, 1, &hello(), certificate, addresses), ""),
        ("frame-who", Encoder::who(me, 1, &token), ""),
    ];
    let without_tag = |mut encoder: Encoder| {
        let bytes = encoder.finish(&keys, 0);
        bytes[..bytes.len() - TAG_BYTES].to_vec()
    };
    made.into_iter().map(|(name, encoder, counts)| (name, without_tag(encoder), counts)).collect()
}

#[test]
fn seeds_with_certificates_are_taken() {
    for (name, datagram, counts) in seeds() {
        let path = format!("{}/fuzz/seeds/overlay_datagram/{name}", env!("CARGO_MANIFEST_DIR"));
        assert!(std::fs::read(path).is_ok_and(|seed| seed == datagram), "{name}: {datagram:02x?}");
        let now = Instant::from_micros(1);
        let mut node = node(now, true).unwrap();
        let _ = node.handle_datagram(now, FROM, &tagged(&datagram, &keys()));
        let mut budget = Budget::new(now);
        while node.work_at(&budget).is_some_and(|at| at <= now) {
            node.work(now, &mut budget);
        }
        let of = |name| node.counters().iter().find(|it| it.0 == name).map_or(0, |it| it.1);
        assert_eq!([of("malformed"), of("bad_signature"), of("unauthentic")], [0; 3], "{name}");
        assert!(counts.is_empty() || of(counts) >= 3, "{name}: {} verified", of("verified"));
    }
}
