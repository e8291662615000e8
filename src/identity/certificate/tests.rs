//! Certificates: what they say, who has to have signed them, what is refused.

use super::*;
use crate::identity::authority::{Authority, Subject};
use crate::identity::key::Identity;

const NETWORK: [u8; 16] = [7; 16];
const PLACES: [u8; 32] = [5; 32];
const DAY_S: u32 = 86_400;

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32]).unwrap()
}

fn days(from: u32, until: u32) -> Validity {
    Validity { from_s: from * DAY_S, until_s: until * DAY_S }
}

fn anchor() -> Authority {
    Authority::anchor(identity(1), &NETWORK)
}

fn issuing() -> Authority {
    let delegation = anchor().delegate(3, &identity(2).public(), days(100, 190));
    Authority::issuing(identity(2), &NETWORK, delegation)
}

fn certify(authority: &Authority, keys: &[Key], validity: Validity) -> Certificate {
    let key = identity(9).public();
    let place = Authority::place(&PLACES, &key);
    authority.certify(&Subject { serial: 0x1_0000_0002, key, place, validity, keys })
}

fn keys(count: u8) -> Vec<Key> {
    (0..count).map(|n| Key([n; 16])).collect()
}

fn anchors() -> [PublicKey; 2] {
    [identity(8).public(), identity(1).public()]
}

#[test]
fn a_certificate_says_what_was_signed_and_fits_with_its_delegation() {
    let certificate = certify(&issuing(), &keys(8), days(120, 134));
    assert!(certificate.as_bytes().len() <= CERTIFICATE_BYTES_MAX);
    assert_eq!(certificate.as_bytes().len(), 381);
    assert_eq!(Certificate::parse(certificate.as_bytes()), Ok(certificate.clone()));
    assert_eq!(certificate.serial(), 0x1_0000_0002);
    assert_eq!(certificate.delegation_serial(), Some(3));
    assert_eq!(certificate.key(), identity(9).public());
    assert_eq!(certificate.place(), Authority::place(&PLACES, &identity(9).public()));
    assert_eq!(certificate.validity(), days(120, 134));
    assert_eq!(certificate.keys().collect::<Vec<_>>(), keys(8));
    assert!(certificate.covers(&Key([7; 16])) && !certificate.covers(&Key([8; 16])));
    assert!(certificate.verify(&anchors(), &NETWORK));
}

#[test]
fn a_file_has_a_certificate_a_line_and_names_the_line_that_is_none() {
    let all = [certify(&issuing(), &keys(2), days(120, 134)), certify(&anchor(), &[], days(1, 15))];
    let text = text::write(&all);
    assert_eq!(text.lines().map(str::len).collect::<Vec<_>>(), [2 * 285, 2 * 137]);
    assert_eq!(text::parse(&text), Ok(all.to_vec()));
    assert_eq!(text::parse(&format!("# mine\n\n {} \n", text.to_uppercase())), Ok(all.to_vec()));
    assert_eq!(text::parse(""), Ok(vec![]));
    let error = |text: &str| text::parse(text).unwrap_err();
    let cut = &text[..text.len() - 3];
    let length = text::FileError { line: 2, certificate: Some(CertificateError::Length) };
    assert_eq!(error(cut), length);
    for wrong in ["0", "0x", &"0".repeat(802), "ü"] {
        let text = format!("\n{wrong}");
        assert_eq!(error(&text), text::FileError { line: 2, certificate: None }, "{wrong}");
    }
}

#[test]
fn an_anchor_can_certify_itself_without_delegation() {
    let certificate = certify(&anchor(), &[], days(1, 15));
    assert_eq!((certificate.delegation_serial(), certificate.keys().count()), (None, 0));
    assert_eq!(certificate.links(&anchors()).len(), 1);
    assert!(certificate.verify(&anchors(), &NETWORK));
    assert_eq!(Certificate::parse(certificate.as_bytes()), Ok(certificate));
}

#[test]
fn a_place_stays_with_its_key_and_cannot_be_told_without_the_secret() {
    let (key, other) = (identity(9).public(), identity(10).public());
    assert_eq!(Authority::place(&PLACES, &key), Authority::place(&PLACES, &key));
    assert_ne!(Authority::place(&PLACES, &key), Authority::place(&PLACES, &other));
    assert_ne!(Authority::place(&PLACES, &key), Authority::place(&[6; 32], &key));
}

#[test]
fn it_is_valid_only_while_the_delegation_is_too() {
    let certificate = certify(&issuing(), &[], days(185, 199));
    assert_eq!(certificate.validity(), days(185, 190));
    let late = certificate.validity();
    assert!(late.covers(u64::from(190 * DAY_S)) && !late.covers(u64::from(190 * DAY_S) + 1));
    assert!(!late.covers(0), "a clock of 1970 proves nothing valid");
}

#[test]
fn strangers_other_networks_and_other_purposes_prove_nothing() {
    let certificate = certify(&issuing(), &keys(1), days(120, 134));
    assert!(!certificate.verify(&anchors(), &[8; 16]), "another network");
    assert!(!certificate.verify(&[identity(8).public()], &NETWORK), "another anchor");
    assert!(certificate.links(&[identity(8).public()]).is_empty());
    assert!(!certificate.verify(&[], &NETWORK));
    // An issuing key is no anchor for those whom it was not delegated by.
    let usurped = anchor().delegate(3, &identity(4).public(), days(100, 190));
    let forged = certify(&Authority::issuing(identity(2), &NETWORK, usurped), &[], days(1, 2));
    assert!(!forged.verify(&anchors(), &NETWORK), "delegated to another key");
    // A delegation by who has none to give.
    let given =
        Authority::anchor(identity(8), &NETWORK).delegate(3, &identity(2).public(), days(1, 9));
    let forged = certify(&Authority::issuing(identity(2), &NETWORK, given), &[], days(1, 2));
    assert!(!forged.verify(&[identity(1).public()], &NETWORK));
}

#[test]
fn a_signature_covers_every_byte() {
    for certificate in [
        certify(&issuing(), &keys(2), days(120, 134)),
        certify(&anchor(), &keys(2), days(120, 134)),
    ] {
        for at in 0..certificate.as_bytes().len() {
            let mut bytes = certificate.as_bytes().to_vec();
            bytes[at] ^= 1;
            let forged = Certificate::parse(&bytes);
            let holds = forged.is_ok_and(|forged| forged.verify(&anchors(), &NETWORK));
            assert!(!holds, "byte {at}");
        }
    }
}

#[test]
fn what_is_cut_lengthened_or_of_a_later_version_is_refused() {
    let bytes = certify(&issuing(), &keys(8), days(120, 134)).as_bytes().to_vec();
    for len in 0..bytes.len() {
        assert!(Certificate::parse(&bytes[..len]).is_err(), "{len}");
    }
    let longer = [&bytes[..], &[0]].concat();
    assert_eq!(Certificate::parse(&longer), Err(CertificateError::Length));
    assert_eq!(Certificate::parse(&[0; 1500]), Err(CertificateError::Unknown));
    let mut later = bytes.clone();
    later[0] = 2;
    assert_eq!(Certificate::parse(&later), Err(CertificateError::Unknown));
    let never = certify(&anchor(), &[], days(9, 8));
    assert_eq!(Certificate::parse(never.as_bytes()), Err(CertificateError::Validity));
}
