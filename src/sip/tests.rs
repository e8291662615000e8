//! Tests of the message layer.

use super::*;
use crate::limits::{SIP_HEADERS_MAX, SIP_URI_PARTS_MAX};

const INVITE: &str = "INVITE sip:bob@example.net SIP/2.0\r\n\
    v: SIP/2.0/UDP 192.0.2.9:5070;rport;branch=z9hG4bKabc, SIP/2.0/TCP [2001:db8::1];branch=z9\r\n\
    Max-Forwards: 70\r\n\
    f: \"Al, \\\"the\\\" X\" <sip:al@example.net;transport=udp>;tag=a1\r\n\
    To: sip:bob@example.net;tag=b2\r\n\
    i : 77@192.0.2.9\r\n\
    CSeq:\r\n 4711\r\n\tINVITE\r\n\
    m: <sip:al@192.0.2.9:5070;ob>;+sip.instance=\"<urn:uuid:1,2>\";q=0.5, <tel:+4989>\r\n\
    Content-Length: 4\r\n\r\nbodytrailing";

#[test]
fn the_parts_of_a_message_are_found_in_every_spelling() {
    let message = Message::parse(INVITE.as_bytes()).unwrap();
    assert_eq!(message.check(), Ok(()));
    assert!(message.is_request());
    assert_eq!(message.method(), Method::Invite);
    assert_eq!(message.request_uri(), "sip:bob@example.net");
    assert_eq!(message.cseq(), Some((4711, Method::Invite)));
    assert_eq!(message.call_id(), "77@192.0.2.9");
    assert_eq!(message.body(), b"body");
    assert!(message.raw().ends_with(b"\r\nbody"));
    let via = message.via().unwrap();
    assert_eq!((via.transport, via.host, via.port), ("UDP", "192.0.2.9", Some(5070)));
    assert_eq!((via.branch(), via.rport()), (Some("z9hG4bKabc"), Some("")));
    assert_eq!(message.values(Name::Via).count(), 2);
    let from = message.from().unwrap();
    assert_eq!(from.display, "Al, \\\"the\\\" X");
    assert_eq!((from.uri, from.tag()), ("sip:al@example.net;transport=udp", Some("a1")));
    let to = message.to().unwrap();
    assert_eq!((to.uri, to.tag()), ("sip:bob@example.net", Some("b2")));
    let contacts: Vec<_> = message.values(Name::Contact).collect();
    let first = NameAddr::parse(contacts[0]).unwrap();
    assert_eq!(first.params.get("+SIP.instance"), Some("<urn:uuid:1,2>"));
    assert_eq!(contacts[1], "<tel:+4989>");
}

fn invalid(from: &str, to: &str) -> Option<Invalid> {
    assert!(INVITE.contains(from), "{from}");
    let text = INVITE.replace(from, to);
    Message::parse(text.as_bytes()).unwrap().check().err()
}

#[test]
fn every_fault_is_named() {
    use Invalid::*;
    let cases = [
        ("sip:bob@example.net SIP/2.0", "sip:bob@example.net SIP/3.0", Version),
        ("INVITE sip", "INVITE  sip", RequestLine),
        ("sip:bob@example.net SIP", "sip:bob@example.net?a=b SIP", RequestUri),
        ("sip:bob@example.net SIP", "bob SIP", RequestUri),
        ("v: ", "X-V: ", Missing(Name::Via)),
        ("f: ", "X-F: ", Missing(Name::From)),
        ("To: ", "X-To: ", Missing(Name::To)),
        ("i : ", "X-I: ", Missing(Name::CallId)),
        ("CSeq:", "X-CSeq:", Missing(Name::CSeq)),
        ("To: ", "To: <sip:a@b>\r\nTo: ", Repeated(Name::To)),
        ("Max-Forwards", "f: <sip:a@b>\r\nMax-Forwards", Repeated(Name::From)),
        ("Max-Forwards: 70", "Max-Forwards: 256", Malformed(Name::MaxForwards)),
        ("Max-Forwards: 70", "Max-Forwards: +7", Malformed(Name::MaxForwards)),
        ("Max-Forwards: 70", "Max-Forwards:", Malformed(Name::MaxForwards)),
        ("4711\r\n\tINVITE", "4711 BYE", MethodMismatch),
        ("4711\r\n\tINVITE", "4711 invite", MethodMismatch),
        ("4711\r\n\tINVITE", "2147483648 INVITE", Malformed(Name::CSeq)),
        ("4711\r\n\tINVITE", "4711", Malformed(Name::CSeq)),
        ("77@192.0.2.9", "77 78", Malformed(Name::CallId)),
        ("77@192.0.2.9", "", Malformed(Name::CallId)),
        ("2001:db8::1", "2001:db8::g", Malformed(Name::Via)),
        ("z9hG4bKabc", "z9hG4bK", Malformed(Name::Via)),
        (":5070;rport", ":65536;rport", Malformed(Name::Via)),
        (", SIP/2.0/TCP", ",, SIP/2.0/TCP", Malformed(Name::Via)),
        ("SIP/2.0/TCP [", "SIP/2.0/TCP[", Malformed(Name::Via)),
        ("<sip:al@example.net;transport=udp>", "<al>", Malformed(Name::From)),
        ("example.net;tag=b2", "example.net;tag=", Malformed(Name::To)),
        ("<tel:+4989>", "*", Malformed(Name::Contact)),
        ("<tel:+4989>", "<sip:a@b>;", Malformed(Name::Contact)),
        ("Max-Forwards", "Route: sip:a\r\nMax-Forwards", Malformed(Name::Route)),
        ("Max-Forwards", "Record-Route: <tel:1>\r\nMax-Forwards", Malformed(Name::RecordRoute)),
        ("Content-Length: 4", "Content-Length: 4x", Malformed(Name::ContentLength)),
        ("Content-Length: 4", "Content-Length: 4\r\nl: 4", Repeated(Name::ContentLength)),
        ("Content-Length: 4", "Content-Length: 99", BodyCut),
    ];
    for (from, to, fault) in cases {
        assert_eq!(invalid(from, to), Some(fault), "{to}");
    }
    for harmless in ["Max-Forwards: 070", "Subject:", "Supported: a,,b,", "X: \u{fc}"] {
        assert_eq!(invalid("Max-Forwards: 70", harmless), None, "{harmless}");
    }
}

#[test]
fn a_star_is_a_contact_of_register_alone() {
    let check = |contact: &str, method: &str| {
        let text = format!(
            "{method} sip:example.net SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@b>;tag=1\r\n\
             To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n{contact}\r\n"
        );
        Message::parse(text.as_bytes()).unwrap().check()
    };
    let malformed = Err(Invalid::Malformed(Name::Contact));
    assert_eq!(check("Contact: *\r\nExpires: 0\r\n", "REGISTER"), Ok(()));
    assert_eq!(check("Contact: *\r\nContact: <sip:a@b>\r\n", "REGISTER"), malformed);
    assert_eq!(check("Contact: *, *\r\n", "REGISTER"), malformed);
    assert_eq!(check("Contact: *\r\n", "INVITE"), malformed);
}

#[test]
fn what_has_no_structure_is_not_sip() {
    let head = "OPTIONS sip:a SIP/2.0\r\n";
    let many = |count: usize| format!("{head}{}\r\n", "A: b\r\n".repeat(count));
    let cases: [(&[u8], ParseError); 13] = [
        (b"", ParseError::Empty),
        (b"\r\n\r\n", ParseError::Empty),
        (b"\0\0\0\0", ParseError::NoBlankLine),
        (b"OPTIONS sip:a SIP/2.0\r\nTo: x\r\n", ParseError::NoBlankLine),
        (b"OPTIONS sip:a SIP/2.0\r\nTo: x\r\n\r", ParseError::NoBlankLine),
        (b"OPTIONS sip:a SIP/2.0\nTo: x\n\n", ParseError::LineEnd),
        (b"OPTIONS sip:a SIP/2.0\r\nTo: x\rFrom: y\r\n\r\n", ParseError::LineEnd),
        (b"OPTIONS sip:a SIP/2.0\r\nTo: \xff\r\n\r\n", ParseError::NotUtf8),
        (b"GET / HTTP/1.1\r\n\r\n", ParseError::StartLine),
        (b"SIP/2.0 0200 OK\r\n\r\n", ParseError::StartLine),
        (b"SIP/2.0 099 OK\r\n\r\n", ParseError::StartLine),
        (b"OPTIONS sip:a SIP/2.0\r\nTo: x\r\nno name\r\n\r\n", ParseError::HeaderLine(2)),
        (b"OPTIONS sip:a SIP/2.0\r\n folded: x\r\n\r\n", ParseError::HeaderLine(1)),
    ];
    for (bytes, error) in cases {
        assert_eq!(Message::parse(bytes).err(), Some(error));
    }
    assert!(Message::parse(many(SIP_HEADERS_MAX).as_bytes()).is_ok());
    let error = Message::parse(many(SIP_HEADERS_MAX + 1).as_bytes()).err();
    assert_eq!(error, Some(ParseError::TooManyHeaders));
    let bare = Message::parse(b"\r\n\r\nSIP/2.0 100\r\n\r\nrest").unwrap();
    assert_eq!((bare.status(), bare.reason(), bare.body()), (100, "", &b"rest"[..]));
    assert_eq!(bare.method(), Method::Other(""));
}

#[test]
fn lists_are_split_and_single_values_are_not() {
    let text = "SIP/2.0 401 No\r\nk: a, b ,,c\r\nSupported:\r\nSupported: d,\r\n\
        WWW-Authenticate: Digest realm=\"a,b\", nonce=\"c\"\r\n\
        Contact: \"a,\\\",b\" <sip:x@y,z?h=1,2>;p=\"1,2\",<sip:c@d>\r\nX-Other: 1, 2\r\n\r\n";
    let message = Message::parse(text.as_bytes()).unwrap();
    let values = |name| message.values(name).collect::<Vec<_>>();
    assert_eq!(values(Name::Supported), ["a", "b", "c", "d"]);
    assert_eq!(values(Name::WwwAuthenticate), ["Digest realm=\"a,b\", nonce=\"c\""]);
    let contacts = ["\"a,\\\",b\" <sip:x@y,z?h=1,2>;p=\"1,2\"", "<sip:c@d>"];
    assert_eq!(values(Name::Contact), contacts);
    assert_eq!(values(Name::Other), ["1, 2"]);
}

#[test]
fn names_and_methods_are_read_as_they_are_written() {
    assert_eq!(Name::parse("cALL-iD"), Name::CallId);
    assert_eq!([Name::parse("x"), Name::parse("O")], [Name::SessionExpires, Name::Event]);
    assert_eq!([Name::parse("q"), Name::parse("\0"), Name::parse("")], [Name::Other; 3]);
    assert_eq!(Method::parse("PRACK").as_str(), "PRACK");
    assert_eq!(Method::parse("Invite"), Method::Other("Invite"));
}

#[test]
fn seconds_are_read_up_to_the_largest() {
    assert_eq!(delta_seconds("3600"), Some(3600));
    assert_eq!(delta_seconds("1800;refresher=uac"), Some(1800));
    assert_eq!(delta_seconds("99999999999999999999"), Some(u32::MAX));
    assert_eq!([delta_seconds(""), delta_seconds("-1"), delta_seconds("x")], [None; 3]);
}

#[test]
fn uris_are_taken_apart_and_put_together() {
    let text = "sip:al%69ce:pw@[2001:db8::7]:5061;transport=tcp;lr?Subject=a%20b";
    let uri = Uri::parse(text).unwrap();
    assert_eq!((uri.scheme, uri.user, uri.password), (Scheme::Sip, "al%69ce", "pw"));
    assert_eq!((uri.host, uri.port), ("[2001:db8::7]", Some(5061)));
    assert_eq!(uri.host_ip(), Some("2001:db8::7".parse().unwrap()));
    assert_eq!(host_ip("2001:db8::7"), uri.host_ip());
    for name in ["", "[2001:db8::7", "[192.0.2.1]", "192.0.2", "example.net"] {
        assert_eq!(host_ip(name), None, "{name}");
    }
    assert_eq!((uri.params.get("Transport"), uri.params.get("lr")), (Some("tcp"), Some("")));
    assert_eq!(uri.headers, "Subject=a%20b");
    assert_eq!(uri.to_string(), text);
    assert_eq!(
        Uri { host: "h", port: None, ..uri }.to_string().get(..17),
        Some("sip:al%69ce:pw@h;")
    );
    assert_eq!(Uri::parse("SIPS:h").unwrap().scheme, Scheme::Sips);
    assert_eq!(Uri::parse("sip:*21#@h").unwrap().user, "*21#");
    let tel = Uri::parse("tel:+49-89-12;phone-context=a.b").unwrap();
    assert_eq!((tel.user, tel.host), ("+49-89-12", ""));
    assert_eq!(tel.params.get("phone-context"), Some("a.b"));
    assert_eq!(tel.to_string(), "tel:+49-89-12;phone-context=a.b");
    let urn = Uri::parse("urn:service:sos").unwrap();
    assert_eq!((urn.scheme, urn.user), (Scheme::Other("urn"), "service:sos"));
    assert_eq!(urn.to_string(), "urn:service:sos");
    assert_eq!(Uri::parse("sip:%ff@h").unwrap().user_unescaped(), None);
    for bad in [
        "",
        "sip",
        "sip:",
        "sip:@h",
        "sip::p@h",
        "sip:a@b@c",
        "sip:a b@h",
        "sip:a%4@h",
        "sip:a%zz@h",
        "sip:h:",
        "sip:h:x",
        "sip:h:99999",
        "sip:h;",
        "sip:h;;a",
        "sip:h;=b",
        "sip:[::1",
        "sip:[1]",
        "sip:h?a b",
        "<sip:h>",
        "1sip:h",
        "tel:",
        "tel:+",
        "tel:12;",
        "tel:1 2",
        "urn:",
        "urn:a b",
        "sip:h :5060",
        "sip:a\u{fc}@h",
        "sip:::1",
    ] {
        assert_eq!(Uri::parse(bad), Err(ParseError::Uri), "{bad}");
    }
}

#[test]
fn a_uri_has_no_more_parts_than_can_be_compared() {
    let many = |count: usize| format!("sip:h{}", ";a".repeat(count));
    assert!(Uri::parse(&many(SIP_URI_PARTS_MAX)).is_ok());
    assert_eq!(Uri::parse(&many(SIP_URI_PARTS_MAX + 1)), Err(ParseError::Uri));
    let many = format!("sip:h?{}", "a=b&".repeat(SIP_URI_PARTS_MAX));
    assert_eq!(Uri::parse(&many), Err(ParseError::Uri));
}

#[test]
fn equality_of_uris_is_that_of_the_rfc() {
    let equal = |a: &str, b: &str| {
        let (a, b) = (Uri::parse(a).unwrap(), Uri::parse(b).unwrap());
        assert_eq!(a.equivalent(&b), b.equivalent(&a));
        a.equivalent(&b)
    };
    for (a, b) in [
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        (
            "sip:alice@atlanta.com?subject=project%20x&priority=urgent",
            "sip:alice@atlanta.com?priority=urgent&subject=project%20x",
        ),
        ("tel:+49-89-12", "TEL:+498912"),
        ("urn:service:sos", "URN:service:sos"),
    ] {
        assert!(equal(a, b), "{a} {b}");
    }
    for (a, b) in [
        ("SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com:6000;transport=tcp", "sip:bob@biloxi.com"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@c.com;security=on", "sip:carol@c.com;security=off"),
        ("sip:a%40b@c.com", "sip:a+b@c.com"),
        ("sip:a%3Bb@c.com", "sip:a;b@c.com"),
        ("sip:a@b", "sips:a@b"),
        ("tel:12", "tel:12;phone-context=x"),
    ] {
        assert!(!equal(a, b), "{a} {b}");
    }
}

#[test]
fn addresses_come_in_many_forms() {
    let parse = |text| {
        NameAddr::parse(text)
            .map(|address| (address.display, address.uri, address.tag().unwrap_or("")))
    };
    assert_eq!(parse("sip:a@b;tag=1"), Ok(("", "sip:a@b", "1")));
    assert_eq!(parse("<sip:a@b;x=y>;tag=1"), Ok(("", "sip:a@b;x=y", "1")));
    assert_eq!(parse("A. B\t<sip:a@b> ; tag = \"q;\""), Ok(("A. B", "sip:a@b", "q;")));
    assert_eq!(parse("\"<sip:x>\"<sip:a@b>"), Ok(("<sip:x>", "sip:a@b", "")));
    assert_eq!(
        parse("M\u{fc}ller (B\u{fc}ro) <tel:1>"),
        Ok(("M\u{fc}ller (B\u{fc}ro)", "tel:1", ""))
    );
    let written = NameAddr::parse("A B <sip:a@b>;tag=1; q").unwrap().to_string();
    assert_eq!(written, "\"A B\" <sip:a@b>;tag=1;q");
    for bad in [
        "",
        "*",
        "<>",
        "<sip:a@b",
        "sip:a@b>",
        "\"a <sip:a@b>",
        "\"a\" sip:a@b",
        "a,b <sip:a@b>",
        "< sip:a@b>",
        "<sip:a@b>x",
        "<sip:a@b>;",
        "<sip:a@b>;;a",
        "<sip:a@b>;a=",
        "sip:a@b?c=d",
        "sip:a@b,c",
        "<sip:a@b>;a=\"b",
        "<sip:a@b>;a=b c",
        "nocolon",
        "sip:a b",
    ] {
        assert_eq!(parse(bad), Err(ParseError::NameAddr), "{bad}");
    }
}

#[test]
fn nothing_written_breaks_out_of_its_line() {
    let mut buf = [0; 400];
    let mut writer = Writer::new(&mut buf);
    writer.request("OPTIONS", "sip:a@b\r\nX: y");
    writer.header(Name::Subject, "a\r\nEvil: 1\n\n b");
    let value = "x\r\n \t y";
    writer.copy(&Header { name: Name::Other, raw_name: "X-Fold", value });
    writer.copy(&Header { name: Name::ContentLength, raw_name: "l", value: "9" });
    writer.header(Name::ContentLength, 9);
    let len = writer.finish(b"12").unwrap();
    let text = core::str::from_utf8(&buf[..len]).unwrap();
    let expected = "OPTIONS sip:a@b X: y SIP/2.0\r\nSubject: a Evil: 1 b\r\nX-Fold: x y\r\n\
        Content-Length: 2\r\n\r\n12";
    assert_eq!(text, expected);
}

#[test]
fn too_little_room_is_told_at_the_end() {
    let mut room = [0; 100];
    let whole = {
        let mut writer = Writer::new(&mut room);
        writer.status(200, reason_phrase(200));
        writer.header(Name::UserAgent, "x");
        writer.finish(b"body").unwrap()
    };
    for size in 0..whole + 2 {
        let mut room = vec![0; size];
        let mut writer = Writer::new(&mut room);
        writer.status(200, reason_phrase(200));
        writer.header(Name::UserAgent, "x");
        assert_eq!(writer.finish(b"body").is_ok(), size >= whole, "{size}");
    }
}

mod properties {
    use super::super::{fuzz, *};
    use proptest::prelude::*;

    const ADDRESSES: &str =
        "(\"[ a-c]{0,5}\" ?)?<?(sip|tel):[ab1%40;@:.=?<>+]{0,12}>?[;=a\"b ]{0,8}";

    fn part() -> impl Strategy<Value = String> {
        let pieces = [
            "SIP/2.0",
            "/UDP ",
            "sip:",
            "a@b",
            "<",
            ">",
            "\"",
            "\\",
            ",",
            ";",
            "=",
            ":",
            "\r\n",
            " ",
            "\t",
            "Via",
            "v: ",
            "To: ",
            "f: ",
            "CSeq: 1 ",
            "INVITE",
            "Contact: ",
            "*",
            "l: ",
            "3",
            "[::1]",
            "%41",
            "%",
            "?",
            "\u{fc}",
            "\u{1f600}",
            "\0",
            "tag",
            "branch=z9hG4bK",
        ];
        prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40)
            .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(crate::properties::cases(400))]

        #[test]
        fn no_bytes_break_the_reader(data in prop::collection::vec(any::<u8>(), 0..300)) {
            fuzz::fuzz(&data);
        }

        #[test]
        fn no_text_breaks_the_reader(start in part(), lines in part(), body in part()) {
            fuzz::fuzz(format!("{start}\r\n{lines}\r\n\r\n{body}").as_bytes());
            fuzz::fuzz(format!("INVITE {start} SIP/2.0\r\nVia: {lines}\r\n\r\n{body}").as_bytes());
            for text in [start, lines, body] {
                let _ = (Via::parse(&text), NameAddr::parse(&text), Uri::parse(&text));
            }
        }

        #[test]
        fn what_is_written_again_reads_the_same(
            values in prop::collection::vec("[!-~\u{e4}]([ -~\u{e4}]{0,20}[!-~])?", 0..20),
            folds in prop::collection::vec(any::<bool>(), 20),
            body in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let mut text = String::from("MESSAGE sip:a@b SIP/2.0\r\n");
            for (value, fold) in values.iter().zip(folds) {
                let value = if fold { value.replace(' ', "\r\n  ") } else { value.clone() };
                text.push_str(&format!("X-Any :{value}  \r\n"));
            }
            let data = [text.as_bytes(), b"\r\n", &body].concat();
            let message = Message::parse(&data).unwrap();
            let mut buf = [0; 4000];
            let len = fuzz::rewrite(&message, &mut buf).unwrap();
            let again = Message::parse(&buf[..len]).unwrap();
            prop_assert_eq!(again.body(), &body[..]);
            prop_assert_eq!(again.request_uri(), message.request_uri());
            let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let read: Vec<_> = again.values(Name::Other).map(squeeze).collect();
            let meant: Vec<_> = values.iter().map(|value| squeeze(value)).collect();
            prop_assert_eq!(read, meant);
        }

        #[test]
        fn every_view_reads_what_it_writes(text in ADDRESSES) {
            if let Ok(address) = NameAddr::parse(&text) {
                let written = address.to_string();
                let again = NameAddr::parse(&written).unwrap();
                prop_assert_eq!((again.display, again.uri), (address.display, address.uri));
                prop_assert!(again.params.iter().eq(address.params.iter()));
            }
            if let Ok(uri) = Uri::parse(&text) {
                let written = uri.to_string();
                prop_assert!(Uri::parse(&written).unwrap().equivalent(&uri));
            }
        }
    }
}
