//! Records: what they prove, whom they open for, what is refused.

use super::bytes::with_message;
use super::*;
use crate::identity::NetworkKeys;
use crate::identity::authority::{Authority, Subject};
use crate::identity::chain::Validity;

const NETWORK: [u8; 16] = [7; 16];
const AOR_KEY: [u8; 32] = [8; 32];

fn me() -> Identity {
    Identity::from_seed([9; 32]).unwrap()
}

fn record(seq: u64, user: &str) -> Record {
    Record::sign(&me(), &NETWORK, &AOR_KEY, seq, Contact::new(user).as_ref())
}

#[test]
fn a_record_opens_for_who_knows_the_aor_and_for_nobody_else() {
    let record = record(5, "alice");
    assert!(record.verify(&NETWORK));
    assert_eq!((record.seq(), record.owner_id(false)), (5, me().id()));
    assert_eq!((record.key(), record.owner()), (Key::of(&AOR_KEY), me().public()));
    assert_eq!(record.open(&AOR_KEY), Contact::new("alice"));
    assert_eq!(record.open(&[1; 32]), None);
    let bytes = record.as_bytes();
    assert!(!bytes.windows(5).any(|window| window == b"alice"), "sealed");
    assert_eq!(Record::parse(bytes), Ok(record.clone()));
}

fn met() -> RendezvousList {
    ["192.0.2.7:5070", "[2001:db8::7]:5071"].into_iter().map(|a| a.parse().unwrap()).collect()
}

#[test]
fn a_signature_covers_every_byte_and_the_network() {
    let (record, list) = (record(5, "a"), AddressList::new());
    let addresses = AddressRecord::sign(&me(), &NETWORK, 6, &list, &met());
    assert!(!record.verify(&[8; 16]) && !addresses.verify(&[8; 16]));
    for at in 0..record.as_bytes().len() {
        let mut bytes = record.as_bytes().to_vec();
        bytes[at] ^= 1;
        let forged = Record::parse(&bytes);
        assert!(forged.is_err() || !forged.unwrap().verify(&NETWORK), "byte {at}");
    }
    for at in 0..addresses.as_bytes().len() {
        let mut bytes = addresses.as_bytes().to_vec();
        bytes[at] ^= 1;
        let forged = AddressRecord::parse(&bytes);
        assert!(forged.is_err() || !forged.unwrap().verify(&NETWORK), "byte {at}");
    }
    assert!(Record::parse(addresses.as_bytes()).is_err(), "one kind is not the other");
    assert!(AddressRecord::parse(record.as_bytes()).is_err());
}

#[test]
fn what_is_cut_or_lengthened_is_refused() {
    let record = record(5, "a");
    for len in 0..record.as_bytes().len() {
        assert!(Record::parse(&record.as_bytes()[..len]).is_err());
    }
    let mut longer = record.as_bytes().to_vec();
    longer.push(0);
    assert_eq!(Record::parse(&longer), Err(RecordError::Length));
    longer.resize(RECORD_BYTES_MAX + 1, 0);
    let len = (longer.len() - HEAD_BYTES - SIGNATURE_BYTES) as u16;
    longer[2..4].copy_from_slice(&len.to_be_bytes());
    assert_eq!(Record::parse(&longer), Err(RecordError::Length));
}

#[test]
fn an_extension_of_a_later_version_is_kept_and_covered() {
    let plain = record(5, "alice");
    let mut bytes = plain.as_bytes()[..plain.as_bytes().len() - SIGNATURE_BYTES].to_vec();
    bytes.extend([9, 0, 3, 1, 2, 3]);
    let len = (bytes.len() - HEAD_BYTES) as u16;
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    let signature = with_message(&NETWORK, &bytes, |message| me().sign(message));
    bytes.extend(signature);
    let later = Record::parse(&bytes).unwrap();
    assert!(later.verify(&NETWORK));
    assert_eq!(later.open(&AOR_KEY), Contact::new("alice"));
    bytes.truncate(bytes.len() - SIGNATURE_BYTES);
    bytes[len as usize + HEAD_BYTES - 4] = 4;
    bytes.extend(signature);
    assert_eq!(Record::parse(&bytes), Err(RecordError::Length), "longer than what there is");
}

const PLACE: NodeId = NodeId([0x5a; 16]);

fn certificate(key: &Identity, keys: &[Key]) -> Certificate {
    let anchor = Authority::anchor(Identity::from_seed([1; 32]).unwrap(), &NETWORK);
    let issuing = Identity::from_seed([2; 32]).unwrap();
    let validity = Validity { from_s: 100, until_s: 200 };
    let delegation = anchor.delegate(1, &issuing.public(), validity);
    let subject = Subject { serial: 2, key: key.public(), place: PLACE, validity, keys };
    Authority::issuing(issuing, &NETWORK, delegation).certify(&subject)
}

#[test]
fn a_certified_record_brings_its_certificate_and_the_place_of_its_owner() {
    let keys = [Key([3; 16]), Key::of(&AOR_KEY), Key([4; 16])];
    let certified = me().certified(&[certificate(&me(), &keys)]);
    assert_eq!(certified.id(), PLACE);
    let user = "u".repeat(CONTACT_USER_BYTES_MAX);
    let record = Record::sign(&certified, &NETWORK, &AOR_KEY, 5, Contact::new(&user).as_ref());
    let read = Record::parse(record.as_bytes()).unwrap();
    assert!(read.verify(&NETWORK) && read == record);
    assert_eq!((read.owner_id(true), read.owner()), (PLACE, me().public()));
    assert_eq!(read.open(&AOR_KEY), Contact::new(&user));
    let anchors = [Identity::from_seed([1; 32]).unwrap().public()];
    assert!(read.certificate().unwrap().verify(&anchors, &NETWORK));
    let list = AddressList::new();
    let addresses = AddressRecord::sign(&certified, &NETWORK, 6, &list, &met());
    let read = AddressRecord::parse(addresses.as_bytes()).unwrap();
    assert_eq!((read.owner_id(true), read.owner()), (PLACE, me().public()));
    // An AOR that no certificate covers goes without one, under the id of the key.
    let other = Record::sign(&certified, &NETWORK, &[1; 32], 5, None);
    assert_eq!((other.certificate(), other.owner_id(true)), (None, me().id()));
}

#[test]
fn a_certificate_of_another_key_or_aor_is_refused_with_the_record() {
    let keys = [Key::of(&AOR_KEY)];
    let signed = |certificate: &Certificate| {
        let mut writer = Writer::<RECORD_BYTES_MAX>::new(KIND_BINDING, &me().public(), 5);
        writer.put(&keys[0].0);
        writer.put(&[0, 0]);
        writer.extend(EXTENSION_CERTIFICATE, certificate.as_bytes());
        Record::parse(&writer.finish(&me(), &NETWORK)).map(|_| ())
    };
    let other = Identity::from_seed([8; 32]).unwrap();
    assert_eq!(signed(&certificate(&me(), &keys)), Ok(()));
    assert_eq!(signed(&certificate(&other, &keys)), Err(RecordError::Certificate));
    assert_eq!(signed(&certificate(&me(), &[Key([3; 16])])), Err(RecordError::Certificate));
}

#[test]
fn certificates_of_other_keys_and_places_are_left_out() {
    let other = Identity::from_seed([8; 32]).unwrap();
    assert!(!me().certified(&[certificate(&other, &[])]).is_certified());
    assert_eq!(me().certified(&[]).id(), me().id());
    let both = [certificate(&me(), &[Key([1; 16])]), certificate(&me(), &[Key([2; 16])])];
    let certified = me().certified(&both);
    assert_eq!(certified.certificate_for(&Key([2; 16])), Some(&both[1]));
    assert_eq!(certified.certificate_for(&Key([3; 16])), None);
}

#[test]
fn the_longest_contact_and_the_longest_list_fit() {
    let user = "u".repeat(CONTACT_USER_BYTES_MAX);
    let record = record(u64::MAX, &user);
    assert_eq!(record.open(&AOR_KEY), Contact::new(&user));
    assert_eq!(Contact::new(&"u".repeat(CONTACT_USER_BYTES_MAX + 1)), None);
    let address: SocketAddr = "[2001:db8::1]:5070".parse().unwrap();
    let list: AddressList = core::iter::repeat_n(address, ADDRESSES_MAX).collect();
    let (two, met) = (AddressList::from_slice(&list[..2]).unwrap(), met());
    for (own, met) in [(&list, &RendezvousList::new()), (&two, &met)] {
        let addresses = AddressRecord::sign(&me(), &NETWORK, 1, own, met);
        assert!(addresses.as_bytes().len() <= ADDRESS_RECORD_BYTES_MAX);
        let read = AddressRecord::parse(addresses.as_bytes()).unwrap();
        assert_eq!((&read.addresses(), &read.rendezvous()), (own, met));
    }
    let addresses = AddressRecord::sign(&me(), &NETWORK, 1, &list, &met);
    let read = AddressRecord::parse(addresses.as_bytes()).unwrap();
    assert_eq!((read.addresses(), read.rendezvous().len()), (list, 0), "four at most");
}

#[test]
fn a_withdrawal_is_signed_and_empty() {
    let record = Record::sign(&me(), &NETWORK, &AOR_KEY, 6, None);
    assert!(record.is_withdrawal() && record.verify(&NETWORK));
    assert_eq!(record.open(&AOR_KEY), None);
    assert!(!self::record(5, "").is_withdrawal());
}

#[test]
fn one_number_used_twice_still_seals_under_two_nonces() {
    let (a, b) = (record(5, "alice"), record(5, "bobby"));
    assert_ne!(a.sealed()[..NONCE_BYTES], b.sealed()[..NONCE_BYTES]);
    assert_eq!(a, record(5, "alice"), "sealing is deterministic");
}

#[test]
fn records_never_change_within_version_1() {
    let keys = NetworkKeys::new(&[1; 32], "example");
    let aor_key = keys.aor_key("sip:alice@example.net");
    let contact = Contact::new("alice");
    let record = Record::sign(&me(), keys.network(), &aor_key, 1 << 32 | 2, contact.as_ref());
    let list = ["192.0.2.1:5070", "[2001:db8::1]:5070"].map(|a| a.parse().unwrap());
    let list: AddressList = list.into_iter().collect();
    let addresses = AddressRecord::sign(&me(), keys.network(), 1 << 32 | 1, &list, &met());
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let committed = include_str!("../../../tests/data/overlay/records.txt");
    let made = format!("{}\n{}\n", hex(record.as_bytes()), hex(addresses.as_bytes()));
    assert_eq!(made, committed);
}
