//! Keys, tags and blinded AOR keys, against published and committed values.

use super::key::{self, Identity, KeyError};
use super::network::{NetworkKeys, SecretError};

const SECRET_A: &str = "0101010101010101010101010101010101010101010101010101010101010101";
const SECRET_B: &str = "0202020202020202020202020202020202020202020202020202020202020202";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_first_test_of_rfc_8032_signs_and_verifies() {
    let text = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n";
    let identity = Identity::parse(text).unwrap();
    assert_eq!(
        hex(&identity.public()),
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    );
    let signature = identity.sign(b"");
    assert!(
        hex(&signature).starts_with("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065")
    );
    assert!(key::verify(&identity.public(), b"", &signature));
    assert!(!key::verify(&identity.public(), b"x", &signature));
    assert!(!key::verify(&[0; 32], b"", &signature), "a key of small order proves nothing");
    assert_eq!(identity.to_text(), text);
    assert_eq!(identity.id(), key::node_id(&identity.public()));
    assert_eq!(format!("{identity:?}"), format!("Identity({})", identity.id()));
}

#[test]
fn a_key_has_one_encoding() {
    let encoding = |lowest: u8, highest: u8| {
        let mut key = [0xff; 32];
        (key[0], key[31]) = (lowest, highest);
        key
    };
    for sign in [0, 0x80] {
        assert!(key::is_canonical(&encoding(0xec, 0x7f | sign)), "2^255 - 20");
        assert!(!key::is_canonical(&encoding(0xed, 0x7f | sign)), "2^255 - 19, which is 0");
        assert!(!key::is_canonical(&encoding(0xff, 0x7f | sign)));
        assert!(key::is_canonical(&encoding(0xff, 0x7e | sign)));
    }
    let mut smaller = encoding(0xed, 0x7f);
    smaller[30] = 0xfe;
    assert!(key::is_canonical(&smaller));
}

#[test]
fn a_key_file_holds_one_key_and_nothing_else() {
    let upper = SECRET_A.replace("01", "AB");
    assert!(Identity::parse(&format!("  {upper}\r\n")).is_ok());
    for text in ["", "01", &SECRET_A[1..], &format!("{SECRET_A} {SECRET_A}"), &"+1".repeat(32)] {
        assert_eq!(Identity::parse(text).unwrap_err(), KeyError::Syntax, "{text:?}");
    }
    assert_eq!(Identity::parse(&"0".repeat(64)).unwrap_err(), KeyError::Zero);
}

#[test]
fn all_secrets_are_heard_and_the_first_sends() {
    let old = NetworkKeys::parse(SECRET_A, "net").unwrap();
    let both = NetworkKeys::parse(&format!("# new\n{SECRET_B}\n\n{SECRET_A}\n"), "net").unwrap();
    let new = NetworkKeys::parse(SECRET_B, "net").unwrap();
    assert_ne!(old.key_id(), new.key_id());
    assert_eq!(both.key_id(), new.key_id());
    assert_eq!(both.tag(b"data"), new.tag(b"data"));
    assert_eq!(both.matching(old.key_id(), b"data", &old.tag(b"data")), Some(1));
    assert_eq!(both.matching(new.key_id(), b"data", &new.tag(b"data")), Some(0));
    assert_eq!(both.channel_key(1), old.channel_key(0));
    assert_eq!(both.channel_key(2), None);
    assert_eq!(both.aor_keys("sip:a@b").last(), Some(old.aor_key("sip:a@b")));
    assert!(!old.check(new.key_id(), b"data", &new.tag(b"data")));
    assert!(!both.check(new.key_id(), b"data", &old.tag(b"data")), "the id names the secret");
}

#[test]
fn a_tag_covers_every_byte_and_the_name_of_the_network() {
    let keys = NetworkKeys::parse(SECRET_A, "net").unwrap();
    let other = NetworkKeys::parse(SECRET_A, "another").unwrap();
    let tag = keys.tag(b"data");
    assert!(keys.check(keys.key_id(), b"data", &tag));
    assert!(!keys.check(keys.key_id(), b"datb", &tag));
    assert!(!keys.check(keys.key_id(), b"data", &tag[..15]), "a short tag is no tag");
    for at in 0..tag.len() {
        let mut wrong = tag;
        wrong[at] ^= 1;
        assert!(!keys.check(keys.key_id(), b"data", &wrong));
    }
    assert_ne!(other.tag(b"data"), tag);
    assert_ne!(other.aor_key("sip:a@b"), keys.aor_key("sip:a@b"));
    assert_ne!(other.channel_key(0), keys.channel_key(0));
}

#[test]
fn derived_keys_never_change_within_wire_version_1() {
    let keys = NetworkKeys::parse(SECRET_A, "example").unwrap();
    assert_eq!(keys.key_id(), KEY_ID);
    assert_eq!(hex(&keys.tag(b"cosip")), TAG);
    assert_eq!(hex(&keys.aor_key("sip:alice@example.net")), AOR);
    assert_eq!(hex(keys.channel_key(0).unwrap()), CHANNEL);
}

// Computed with another implementation (blake3's Python binding).
const KEY_ID: u8 = 86;
const TAG: &str = "322ec9353273182e994ebecd04c7784d";
const AOR: &str = "8427d9440532d0fa06bcbda2507fd326ec5eb554ca9ed952e1f50031106ad3cc";
const CHANNEL: &str = "9892b0d3b2e9c1780ddc1ea3b06ebca1c1ab8945deda2b2de14b79a01ecc97ce";

#[test]
fn a_faulty_secret_file_is_refused_with_the_line() {
    let parse = |text: &str| NetworkKeys::parse(text, "net").unwrap_err();
    assert_eq!(parse("\n# none\n"), SecretError::Empty);
    assert_eq!(parse(&format!("{SECRET_A}\nxyz\n")), SecretError::Syntax { line: 2 });
    assert_eq!(parse(&"0".repeat(64)), SecretError::Zero { line: 1 });
    let five: Vec<String> = (1..6).map(|n| format!("{n:064x}")).collect();
    assert_eq!(parse(&five.join("\n")), SecretError::TooMany { line: 5 });
    assert!(NetworkKeys::parse(&five[..4].join("\n"), "net").is_ok());
    assert_eq!(parse("xyz").to_string(), "secret file, line 1: not 64 hexadecimal digits");
}

#[cfg(feature = "lab")]
#[test]
fn a_stand_in_signs_for_itself_alone_and_no_real_key_is_one() {
    let identity = |seed| Identity::from_seed([seed; 32]).unwrap();
    let (a, b, real) = (identity(1).standing_in(), identity(2).standing_in(), identity(1));
    let signature = a.sign(b"message");
    assert!(key::verify(&a.public(), b"message", &signature));
    assert!(!key::verify(&a.public(), b"massage", &signature));
    assert!(!key::verify(&b.public(), b"message", &signature));
    assert!(!key::verify(&a.public(), b"message", &real.sign(b"message")));
    assert!(!key::verify(&real.public(), b"message", &signature));
    assert_eq!(real.id(), key::node_id(&real.public()));
    assert!(a.id() != b.id() && a.id() != real.id());
}

#[test]
fn the_fuzzers_seeds_are_what_they_are_called() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/seeds/identity/");
    let seed = |name: &str| std::fs::read(format!("{folder}{name}")).unwrap_or_default();
    let text = |name: &str| String::from_utf8(seed(name)).unwrap();
    assert!(super::Certificate::parse(&seed("certificate")).is_ok());
    assert!(super::revocation::RevocationHead::parse(&seed("revocations")).is_ok());
    assert_eq!(super::certificate::text::parse(&text("certificates")).unwrap().len(), 2);
    assert!(super::enrolment::Challenge::parse(&text("challenge")).is_some());
    assert!(NetworkKeys::parse(&text("secrets"), "fuzz").is_ok());
}
