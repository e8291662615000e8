//! Spellings of a number, pair by pair.

use super::*;
use proptest::prelude::*;

fn munich() -> Provider {
    Provider {
        domain: "example.net".into(),
        alias_domain: vec!["sip.example.net".into(), "2001:db8::5".into()],
        server: "sip:203.0.113.10:5060".parse().ok(),
        country_code: "49".into(),
        area_code: "89".into(),
        ..Provider::default()
    }
}

fn spelt(text: &str, provider: &Provider) -> String {
    key(text, provider).map_or_else(|| "-".into(), |aor| aor.to_string())
}

#[test]
fn one_phone_has_one_key_however_it_is_written() {
    let provider = munich();
    for (text, expected) in [
        // Form of the URI.
        ("sip:alice@example.net", "alice@example.net"),
        ("sips:alice@example.net", "alice@example.net"),
        ("SIP:alice@EXAMPLE.Net", "alice@example.net"),
        ("sip:Alice@example.net", "Alice@example.net"),
        ("sip:alice@example.net.", "alice@example.net"),
        ("sip:alice@example.net:5062;transport=tcp;lr", "alice@example.net"),
        ("sip:alice@example.net?Subject=hello", "alice@example.net"),
        ("sip:alice:secret@example.net", "alice@example.net"),
        ("<sip:alice@example.net>;tag=1", "alice@example.net"),
        ("\"A, \\\"<b>\\\" \" <sip:alice@example.net;x=y>;tag=1", "alice@example.net"),
        ("sip:alice@example.net;tag=1", "alice@example.net"),
        ("  Alice <sip:alice@example.net>  ", "alice@example.net"),
        ("sip:%61lice%2B@example.net", "alice+@example.net"),
        ("sip:j%c3%b6rg@example.net", "jörg@example.net"),
        ("sip:a%40b@example.net", "a@b@example.net"),
        // The provider's names and addresses.
        ("sip:alice@sip.example.net", "alice@example.net"),
        ("sip:alice@SIP.example.net:5060", "alice@example.net"),
        ("sip:alice@203.0.113.10", "alice@example.net"),
        ("sip:alice@203.0.113.10:5060;user=ip", "alice@example.net"),
        ("sip:alice@[2001:DB8:0::5]:5060", "alice@example.net"),
        ("sip:alice@[::ffff:203.0.113.10]", "alice@example.net"),
        ("sip:alice@other.example.net", "alice@other.example.net"),
        // Numbers.
        ("sip:+4989123456@example.net", "+4989123456@example.net"),
        ("sip:+49-89-12.34.56@example.net;user=phone", "+4989123456@example.net"),
        ("sip:+49%20(0)89%20123456@example.net", "+4989123456@example.net"),
        ("sip:004989123456@example.net", "+4989123456@example.net"),
        ("sip:089123456@example.net", "+4989123456@example.net"),
        ("sip:089/123-456@example.net", "+4989123456@example.net"),
        ("sip:123456@example.net", "+4989123456@example.net"),
        ("sip:4989123456@example.net", "+4989123456@example.net"),
        ("sip:+4989123456;phone-context=x@example.net", "+4989123456@example.net"),
        ("tel:+49-89-123456", "+4989123456@example.net"),
        ("<tel:+4989123456>", "+4989123456@example.net"),
        ("tel:089123456;isub=1", "+4989123456@example.net"),
        ("tel:123456;phone-context=+4989", "+4989123456@example.net"),
        ("tel:123456;phone-context=example.net", "+4989123456@example.net"),
        ("sip:01712345678@example.net", "+491712345678@example.net"),
        ("sip:0033123456789@example.net", "+33123456789@example.net"),
        ("sip:030123456@203.0.113.10", "+4930123456@example.net"),
        // What must stay as it is.
        ("sip:200@example.net", "200@example.net"),
        ("sip:110@example.net", "110@example.net"),
        ("sip:*21*123456#@example.net", "*21*123456#@example.net"),
        ("sip:1234567e0@example.net", "1234567e0@example.net"),
        ("sip:a.b-c@example.net", "a.b-c@example.net"),
        ("sip:1.2@example.net", "1.2@example.net"),
        ("sip:089123456@other.test", "089123456@other.test"),
    ] {
        assert_eq!(spelt(text, &provider), expected, "{text}");
    }
}

#[test]
fn what_names_no_user_has_no_key() {
    for text in [
        "",
        "alice",
        "alice@example.net",
        "sip:example.net",
        "sip:@example.net",
        "sip:alice@",
        "sip:al%0dice@example.net",
        "sip:al%zzice@example.net",
        "sip:al%ffice@example.net",
        "sip:alice%",
        "sip:alice@exa mple.net",
        "http://alice@example.net",
        "tel:",
        "\"alice <sip:alice@example.net>",
        "<sip:alice@example.net",
    ] {
        assert_eq!(spelt(text, &munich()), "-", "{text}");
    }
    let long = format!("sip:{}@example.net", "a".repeat(AOR_BYTES_MAX));
    assert_eq!(spelt(&long, &munich()), "-");
}

#[test]
fn each_country_has_its_rules() {
    let country = |cc: &str, area: &str, international: &str, trunk: &str| Provider {
        country_code: cc.into(),
        area_code: area.into(),
        international_prefix: international.into(),
        trunk_prefix: trunk.into(),
        ..munich()
    };
    let usa = country("1", "212", "011", "1");
    let denmark = country("45", "", "00", "");
    let italy = country("39", "", "00", "");
    let unknown_area = country("49", "", "00", "0");
    let unconfigured = country("", "", "00", "0");
    for (provider, dialled, expected) in [
        (&usa, "5551234", "+12125551234"),
        (&usa, "2125551234", "+12125551234"),
        (&usa, "12125551234", "+12125551234"),
        (&usa, "011498912345", "+498912345"),
        (&denmark, "12345678", "+4512345678"),
        (&denmark, "004512345678", "+4512345678"),
        (&denmark, "4512345678", "+4512345678"),
        (&italy, "0612345678", "+390612345678"),
        (&unknown_area, "123456", "123456"),
        (&unknown_area, "089123456", "+4989123456"),
        (&unconfigured, "089-123456", "089123456"),
        (&unconfigured, "+49 89 123456", "+4989123456"),
        (&unconfigured, "004989123456", "004989123456"),
    ] {
        let text = format!("sip:{}@example.net", dialled.replace(' ', "%20"));
        let expected = format!("{expected}@example.net");
        assert_eq!(spelt(&text, provider), expected, "{dialled}");
    }
}

#[test]
fn seven_digits_make_two_numbers_one_caller() {
    for (a, b, same) in [
        ("+4989123456", "089123456", true),
        ("sip:+4989123456@a.test", "\"x\" <sip:0089123456;x=y@b.test>;tag=1", true),
        ("+4989123456", "+4989123457", false),
        ("+49891234567", "1234567", true),
        ("234567", "1234567", false),
        ("200", "200", true),
        ("sip:alice@a.test", "alice", true),
        ("alice", "bob", false),
        ("alice1234567", "bob1234567", false),
        ("", "", false),
        ("tel:+49-89-123456", "sip:089123456@x", true),
    ] {
        assert_eq!(same_number(a, b), same, "{a} {b}");
        assert_eq!(same_number(b, a), same, "{b} {a}");
    }
}

#[test]
fn a_key_is_read_back_as_it_was_written() {
    let aor = key("sip:+4989123456@example.net", &munich()).unwrap();
    assert_eq!((aor.user(), aor.domain()), ("+4989123456", "example.net"));
    assert_eq!(Aor::from_key(aor.as_str()), Some(aor));
    for text in ["", "@", "a@", "@b", "ab", "a\r@b", "a@b c"] {
        assert_eq!(Aor::from_key(text), None, "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_text_is_spelt_once_and_for_all(text in "(sip:|tel:)?[ -~ö%]{0,80}") {
        if let Some(aor) = key(&text, &munich()) {
            prop_assert!(!aor.user().is_empty() && !aor.domain().is_empty());
            let mut escaped = heapless::String::<1024>::new();
            for byte in aor.user().bytes() {
                fmt::Write::write_fmt(&mut escaped, format_args!("%{byte:02x}")).unwrap();
            }
            let host = aor.domain();
            let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
            let again = key(&format!("sip:{escaped}@{host}"), &munich());
            prop_assert_eq!(again, Some(aor), "{}", text);
        }
        same_number(&text, "sip:1@b");
    }
}
