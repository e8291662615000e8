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
fn the_uri_of_a_key_has_that_key_in_every_town() {
    let berlin = Provider { area_code: "30".into(), ..munich() };
    for (key, expected) in [
        ("+49897654321@example.net", "sip:+49897654321@example.net"),
        ("alice@example.net", "sip:alice@example.net"),
        ("*21#@example.net", "sip:*21%23@example.net"),
        ("a@b@example.net", "sip:a%40b@example.net"),
        ("j\u{f6}rg <x?y;z>%@example.net", "sip:j%C3%B6rg%20%3Cx%3Fy%3Bz%3E%25@example.net"),
    ] {
        assert_eq!(uri(key), expected);
        for provider in [&munich(), &berlin] {
            assert_eq!(spelt(expected, provider), key);
        }
    }
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

/// A place: country code, area code, international and trunk prefix.
type Place = [&'static str; 4];

const USA: Place = ["1", "212", "011", "1"];
const BERLIN: Place = ["49", "30", "00", "0"];
const GERMANY: Place = ["49", "", "00", "0"];
const LONDON: Place = ["44", "20", "00", "0"];
const FRANCE: Place = ["33", "", "00", "0"];
const ITALY: Place = ["39", "", "00", ""];
const DENMARK: Place = ["45", "", "00", ""];
const STOCKHOLM: Place = ["46", "8", "00", "0"];
const BUDAPEST: Place = ["36", "1", "00", "06"];
const MOSCOW: Place = ["7", "495", "810", "8"];
const DELHI: Place = ["91", "11", "00", "0"];
const BEIJING: Place = ["86", "10", "00", "0"];
const SYDNEY: Place = ["61", "2", "0011", "0"];
const NOWHERE: Place = ["", "", "00", "0"];

const PLACES: [Place; 14] = [
    USA, BERLIN, GERMANY, LONDON, FRANCE, ITALY, DENMARK, STOCKHOLM, BUDAPEST, MOSCOW, DELHI,
    BEIJING, SYDNEY, NOWHERE,
];

fn at(place: Place) -> Provider {
    let [country_code, area_code, international_prefix, trunk_prefix] = place.map(str::to_owned);
    Provider { country_code, area_code, international_prefix, trunk_prefix, ..munich() }
}

/// Numbers as they are dialled in a place, in a SIP and in a tel URI.
fn check(rows: &[(Place, &str, &str)]) {
    for (place, dialled, expected) in rows {
        let text = format!("sip:{}@example.net", dialled.replace(' ', "%20"));
        let expected = format!("{expected}@example.net");
        assert_eq!(spelt(&text, &at(*place)), expected, "{dialled} in {place:?}");
        let tel = format!("tel:{}", dialled.replace(' ', "-"));
        assert_eq!(spelt(&tel, &at(*place)), expected, "{tel} in {place:?}");
    }
}

#[test]
fn a_national_number_does_not_begin_with_the_trunk_prefix() {
    check(&[(SYDNEY, "000001", "000001"), (SYDNEY, "0298765432", "+61298765432")]);
}

#[test]
fn area_codes_and_trunk_prefixes_have_their_rules() {
    check(&[
        // North America: ten digits are whole, seven local, nothing else is a number.
        (USA, "5551234", "+12125551234"),
        (USA, "(212) 555-1234", "+12125551234"),
        (USA, "1-212-555-1234", "+12125551234"),
        (USA, "+1 (212) 555.1234", "+12125551234"),
        (USA, "011498912345", "+498912345"),
        (USA, "55512", "55512"),
        (USA, "555123", "555123"),
        (USA, "121255512", "121255512"),
        (["1", "", "011", "1"], "5551234", "5551234"),
        (["1", "212", "011", "0"], "12125551234", "+12125551234"),
        // Area codes and a trunk 0.
        (BERLIN, "123456", "+4930123456"),
        (BERLIN, "030 123456", "+4930123456"),
        (BERLIN, "+49 (0)30 123456", "+4930123456"),
        (BERLIN, "0049 (0) 30 123456", "+4930123456"),
        (BERLIN, "0049(0)30/123456", "+4930123456"),
        (BERLIN, "+49 030 123456", "+4930123456"),
        (BERLIN, "004930123456", "+4930123456"),
        (BERLIN, "4930123456", "+4930123456"),
        (BERLIN, "490301234567", "+49301234567"),
        (BERLIN, "08001234567", "+498001234567"),
        (BERLIN, "+49 30 12(0)34", "+493012034"),
        (BERLIN, "+39 06 698 12345", "+390669812345"),
        (BERLIN, "+39 (0)6 698 12345", "+390669812345"),
        (GERMANY, "123456", "123456"),
        (GERMANY, "089123456", "+4989123456"),
        (LONDON, "020 7946 0123", "+442079460123"),
        (LONDON, "79460123", "+442079460123"),
        (LONDON, "+44 (0)20 7946 0123", "+442079460123"),
        (FRANCE, "01 23 45 67 89", "+33123456789"),
        (FRANCE, "123456789", "123456789"),
        (STOCKHOLM, "08-123 456 78", "+46812345678"),
        (SYDNEY, "02 9876 5432", "+61298765432"),
        (SYDNEY, "98765432", "+61298765432"),
        (SYDNEY, "0011 49 30 123456", "+4930123456"),
        (SYDNEY, "1300 123 456", "+611300123456"),
        (SYDNEY, "13 12 34", "+61131234"),
        // Other trunk prefixes.
        (BUDAPEST, "06 1 234 5678", "+3612345678"),
        (BUDAPEST, "2345678", "+3612345678"),
        (MOSCOW, "8 812 123-45-67", "+78121234567"),
        (MOSCOW, "1234567", "+74951234567"),
        (MOSCOW, "9161234567", "+79161234567"),
        (MOSCOW, "79161234567", "+79161234567"),
        (MOSCOW, "8 10 49 30 123456", "+4930123456"),
        (MOSCOW, "+7 (812) 123-45-67", "+78121234567"),
    ]);
}

#[test]
fn so_have_countries_without_them() {
    check(&[
        // Numbers that are whole without a trunk prefix.
        (DELHI, "9123456789", "+919123456789"),
        (DELHI, "919123456789", "+919123456789"),
        (DELHI, "23456789", "+911123456789"),
        (DELHI, "011 23456789", "+911123456789"),
        (BEIJING, "13812345678", "+8613812345678"),
        (BEIJING, "8613812345678", "+8613812345678"),
        (BEIJING, "12345678", "+861012345678"),
        // No trunk prefix; a 0 that belongs to the number.
        (ITALY, "06 698 12345", "+390669812345"),
        (ITALY, "+39 (0)6 698 12345", "+390669812345"),
        (ITALY, "0039 06 698 12345", "+390669812345"),
        (ITALY, "392 1234567", "+393921234567"),
        (ITALY, "393921234567", "+393921234567"),
        (["39", "06", "00", "0"], "0669812345", "+390669812345"),
        (["225", "", "00", "0"], "0123456789", "+2250123456789"),
        (DENMARK, "12 34 56 78", "+4512345678"),
        (DENMARK, "004512345678", "+4512345678"),
        (DENMARK, "4512345678", "+4512345678"),
        (DENMARK, "45123456", "+4545123456"),
        (NOWHERE, "089-123456", "089123456"),
        (NOWHERE, "+49 89 123456", "+4989123456"),
        (NOWHERE, "004989123456", "004989123456"),
    ]);
}

#[test]
fn codes_services_and_what_is_in_doubt_stay_as_they_were_dialled() {
    for (place, dialled) in [
        (BERLIN, "112"),
        (BERLIN, "110"),
        (BERLIN, "115"),
        (BERLIN, "116117"),
        (BERLIN, "11833"),
        (BERLIN, "118000"),
        (BERLIN, "200"),
        (BERLIN, "0"),
        (BERLIN, "00"),
        (BERLIN, "0123"),
        (BERLIN, "01234"),
        (BERLIN, "00112"),
        (BERLIN, "0011"),
        (BERLIN, "000498912345"),
        (BERLIN, "1234567890123456"),
        (BERLIN, "00491234567890123456"),
        (FRANCE, "3631"),
        (FRANCE, "118218"),
        (STOCKHOLM, "11414"),
        (STOCKHOLM, "118118"),
        (LONDON, "118500"),
        (USA, "911"),
        (USA, "411"),
        (USA, "1911"),
        (ITALY, "113"),
        (ITALY, "43210"),
        (ITALY, "116117"),
        (DENMARK, "1414"),
        (DENMARK, "02800"),
        (NOWHERE, "123456"),
        (BERLIN, "*43"),
        (BERLIN, "*21*030123456#"),
        (BERLIN, "#31#030123456"),
        (BERLIN, "+"),
        (BERLIN, "+49"),
        (BERLIN, "+4900"),
    ] {
        let text = format!("sip:{dialled}@example.net");
        assert_eq!(spelt(&text, &at(place)), format!("{dialled}@example.net"), "{place:?}");
    }
}

#[test]
fn a_number_of_another_context_is_not_dialled_here() {
    for (text, expected) in [
        ("tel:030123456;phone-context=+49", "+4930123456@example.net"),
        ("tel:123456;phone-context=+49-30", "+4930123456@example.net"),
        ("tel:123456;PHONE-CONTEXT=%2B4930", "+4930123456@example.net"),
        ("tel:123456;isub=1;phone-context=+4930;ext=2", "+4930123456@example.net"),
        ("tel:123456;phone-context=Example.NET", "+4989123456@example.net"),
        ("tel:123456;phone-context=sip.example.net", "+4989123456@example.net"),
        ("tel:123-456;phone-context=pbx.test", "123456@pbx.test"),
        ("tel:+4989123456;phone-context=pbx.test", "+4989123456@example.net"),
        ("sip:123456;phone-context=+4930@example.net;user=phone", "+4930123456@example.net"),
        ("sip:123456;phone-context=example.net@example.net", "+4989123456@example.net"),
        ("sip:123456;phone-context=pbx.test@example.net", "-"),
        ("sip:123456;phone-context=pbx.test@pbx.test", "123456@pbx.test"),
        ("sip:123456;phone-context=+4930@pbx.test", "+4930123456@pbx.test"),
    ] {
        assert_eq!(spelt(text, &munich()), expected, "{text}");
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
    #![proptest_config(crate::properties::cases(400))]
    #[test]
    fn any_text_is_spelt_once_and_for_all(
        text in "(sip:|tel:)?[ -~ö%]{0,80}",
        number in "\\+?[0-9 ()./-]{1,20}",
        place in 0..PLACES.len(),
    ) {
        let provider = at(PLACES[place]);
        for text in [text, format!("sip:{number}@example.net"), format!("tel:{number}")] {
            if let Some(aor) = key(&text, &provider) {
                prop_assert!(!aor.user().is_empty() && !aor.domain().is_empty());
                let mut escaped = heapless::String::<1024>::new();
                for byte in aor.user().bytes() {
                    fmt::Write::write_fmt(&mut escaped, format_args!("%{byte:02x}")).unwrap();
                }
                let host = aor.domain();
                let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
                let again = key(&format!("sip:{escaped}@{host}"), &provider);
                prop_assert_eq!(again, Some(aor), "{}", text);
            }
            same_number(&text, "sip:1@b");
            dialled(&text);
        }
    }
}
