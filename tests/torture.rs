//! The torture messages of RFC 4475: each is taken, or refused for the one reason it is wrong.

use cosip::sip::proxy::{Refusal, validate};
use cosip::sip::{Header, Invalid, Message, Method, Name, NameAddr, ParseError, Uri, Via, fuzz};
use std::path::PathBuf;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/rfc4475")
}

fn load(name: &str) -> Vec<u8> {
    let path = directory().join(name).with_extension("dat");
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn names() -> Vec<String> {
    let files = std::fs::read_dir(directory()).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> =
        names.filter_map(|name| name.strip_suffix(".dat").map(str::to_owned)).collect();
    names.sort();
    names
}

/// Status and reason phrase of the message layer's refusal; 200 where it takes the message,
/// 0 where the bytes are no SIP and get silence.
fn verdict(data: &[u8]) -> (u16, String) {
    let message = match Message::parse(data) {
        Ok(message) => message,
        Err(error) => return (0, error.to_string()),
    };
    match message.check() {
        Err(invalid) => (invalid.status(), invalid.to_string()),
        Ok(()) => (200, String::new()),
    }
}

/// Sections 3.1.1, 3.3 and 3.4, and what 3.1.2 allows to repair by looking away.
const TAKEN: [&str; 27] = [
    "baddate",
    "bcast",
    "bext01",
    "cparam01",
    "cparam02",
    "dblreq",
    "esc01",
    "esc02",
    "escnull",
    "intmeth",
    "inv2543",
    "invut",
    "longreq",
    "lwsdisp",
    "mpart01",
    "noreason",
    "novelsc",
    "regaut01",
    "regescrt",
    "sdp01",
    "semiuri",
    "transports",
    "unkscm",
    "unksm2",
    "unreason",
    "wsinv",
    "zeromf",
];

const REFUSED: [(&str, u16, &str); 22] = [
    ("badaspec", 400, "Malformed To"),
    ("badbranch", 400, "Malformed Via"),
    ("baddn", 0, "no blank line behind the headers"),
    ("badinv01", 400, "Malformed Via"),
    ("badvers", 505, "Version Not Supported"),
    ("bigcode", 0, "start line is neither request line nor status line"),
    ("clerr", 400, "Content-Length Beyond Message"),
    ("escruri", 400, "Malformed Request-URI"),
    ("insuf", 400, "Missing From"),
    ("ltgtruri", 400, "Malformed Request-URI"),
    ("lwsruri", 400, "Malformed Request-URI"),
    ("lwsstart", 400, "Malformed Request-Line"),
    ("mcl01", 400, "Repeated Content-Length"),
    ("mismatch01", 400, "CSeq Method Mismatch"),
    ("mismatch02", 400, "CSeq Method Mismatch"),
    ("multi01", 400, "Repeated Max-Forwards"),
    ("ncl", 400, "Malformed Content-Length"),
    ("quotbal", 400, "Malformed To"),
    ("regbadct", 400, "Malformed Contact"),
    ("scalar02", 400, "Malformed CSeq"),
    ("scalarlg", 400, "Malformed CSeq"),
    ("trws", 400, "Malformed Request-Line"),
];

#[test]
fn every_message_is_taken_or_refused_for_its_own_fault() {
    for name in TAKEN {
        assert_eq!(verdict(&load(name)), (200, String::new()), "{name}");
    }
    for (name, status, reason) in REFUSED {
        assert_eq!(verdict(&load(name)), (status, reason.to_owned()), "{name}");
    }
    let judged = TAKEN.into_iter().chain(REFUSED.map(|(name, ..)| name));
    let mut judged: Vec<_> = judged.map(str::to_owned).collect();
    judged.sort();
    assert_eq!(judged, names());
}

#[test]
fn unquoted_commas_in_display_names_are_the_fault_of_baddn() {
    let mut data = load("baddn");
    data.extend_from_slice(b"\r\n");
    assert_eq!(verdict(&data), (400, "Malformed From".to_owned()));
}

#[test]
fn what_is_well_formed_and_not_for_a_proxy_is_refused_by_its_rules() {
    let refusals = [
        ("unkscm", 416, None),
        ("novelsc", 416, None),
        ("bext01", 420, Some(Name::Unsupported)),
        ("zeromf", 483, None),
    ];
    for (name, status, header) in refusals {
        let data = load(name);
        let message = Message::parse(&data).unwrap();
        assert_eq!(validate(&message), Err(Refusal { status, header }), "{name}");
    }
    let data = load("inv2543");
    assert_eq!(validate(&Message::parse(&data).unwrap()), Ok(()));
}

#[test]
fn folded_and_spaced_headers_mean_what_they_say() {
    let data = load("wsinv");
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.method(), Method::Invite);
    assert_eq!(message.cseq(), Some((9, Method::Invite)));
    assert_eq!(message.header(Name::Subject), Some(""));
    let to = message.to().unwrap();
    assert_eq!((to.uri, to.tag()), ("sip:vivekg@chair-dnrc.example.com", Some("1918181833n")));
    let from = message.from().unwrap();
    assert_eq!((from.display, from.tag()), (r#"J Rosenberg \\\""#, Some("98asjd8")));
    let vias: Vec<_> = message.values(Name::Via).map(|via| Via::parse(via).unwrap()).collect();
    let seen: Vec<_> = vias.iter().map(|via| (via.transport, via.host, via.branch())).collect();
    assert_eq!(
        seen,
        [
            ("UDP", "192.0.2.2", Some("390skdjuw")),
            ("TCP", "spindle.example.com", Some("z9hG4bK9ikj8")),
            ("UDP", "192.168.255.111", Some("z9hG4bK30239")),
        ]
    );
    let unique: Vec<_> = vias.iter().map(Via::is_branch_unique).collect();
    assert_eq!(unique, [false, true, true]);
    let contact = NameAddr::parse(message.header(Name::Contact).unwrap()).unwrap();
    let params: Vec<_> = contact.params.iter().collect();
    assert_eq!(params, [("newparam", "newvalue"), ("secondparam", ""), ("q", "0.33")]);
    assert_eq!(message.body().len(), 150);
}

#[test]
fn escapes_are_looked_through_in_uris_and_nowhere_else() {
    let data = load("esc01");
    let message = Message::parse(&data).unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!((uri.user, uri.host), ("sips%3Auser%40example.com", "example.net"));
    assert_eq!(uri.user_unescaped().unwrap(), "sips:user@example.com");
    let to = Uri::parse(message.to().unwrap().uri).unwrap();
    assert!(to.equivalent(&Uri::parse("sip:user@EXAMPLE.com").unwrap()));

    let data = load("esc02");
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.method(), Method::Other("RE%47IST%45R"));
    assert_eq!(message.values(Name::Contact).count(), 2);
    let spelled = |header: &&Header<'_>| header.raw_name.eq_ignore_ascii_case("C%6fntact");
    let escaped = message.headers().iter().find(spelled);
    assert_eq!(escaped.map(|header| header.value), Some("<sip:alias2@host2.example.com>"));

    let data = load("escnull");
    let message = Message::parse(&data).unwrap();
    let contacts: Vec<_> = message.values(Name::Contact).collect();
    let uris = [0, 1].map(|at| Uri::parse(NameAddr::parse(contacts[at]).unwrap().uri).unwrap());
    assert_eq!(uris[1].user_unescaped().unwrap(), "\0\0");
    assert!(!uris[0].equivalent(&uris[1]));
}

#[test]
fn odd_uris_and_long_lists_are_read_to_their_end() {
    let data = load("semiuri");
    let message = Message::parse(&data).unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!((uri.user, uri.host), ("user;par=u%40example.net", "example.com"));
    assert!(uri.params.is_empty());
    assert_eq!(message.values(Name::Accept).count(), 6);

    let data = load("intmeth");
    let message = Message::parse(&data).unwrap();
    let uri = Uri::parse(message.request_uri()).unwrap();
    assert_eq!(uri.password, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)");
    assert_eq!(message.call_id(), "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{");

    let data = load("longreq");
    let message = Message::parse(&data).unwrap();
    assert_eq!(message.values(Name::Via).count(), 34);
    assert_eq!(message.via().unwrap().host, "sip33.example.com");

    let data = load("dblreq");
    let message = Message::parse(&data).unwrap();
    assert_eq!((message.method(), message.body()), (Method::Register, &b""[..]));
    assert!(message.raw().ends_with(b"Content-Length: 0\r\n\r\n"));
}

#[test]
fn parameters_belong_to_the_header_where_no_brackets_say_otherwise() {
    let params = |name: &str| {
        let data = load(name);
        let message = Message::parse(&data).unwrap();
        let contact = NameAddr::parse(message.header(Name::Contact).unwrap()).unwrap();
        let uri = Uri::parse(contact.uri).unwrap();
        (contact.params.get("unknownparam").is_some(), uri.params.get("unknownparam").is_some())
    };
    assert_eq!(params("cparam01"), (true, false));
    assert_eq!(params("cparam02"), (false, true));
}

#[test]
fn truncated_messages_are_never_taken_for_whole_ones() {
    for name in names() {
        let data = load(&name);
        let head = data.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap_or(data.len());
        for end in 0..data.len() {
            let cut = &data[..end];
            fuzz::fuzz(cut);
            let parsed = Message::parse(cut);
            assert_eq!(parsed.is_ok(), end >= head + 4 && verdict(&data).0 != 0, "{name} {end}");
            if let Ok(message) = parsed
                && message.body().len() < Message::parse(&data).unwrap().body().len()
                && !matches!(name.as_str(), "inv2543" | "clerr" | "ncl" | "mcl01")
            {
                assert!(message.check().is_err(), "{name} {end}");
            }
        }
    }
    assert_eq!(Message::parse(b"\r\n\r\n").err(), Some(ParseError::Empty));
}

#[test]
fn flipped_bits_never_break_the_reader() {
    let mut state = 0x2545_f491_u32;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        usize::try_from(state).unwrap()
    };
    let mut refused = 0;
    for name in names() {
        for _ in 0..300 {
            let mut data = load(&name);
            for _ in 0..=random() % 4 {
                let at = random() % data.len();
                data[at] = u8::try_from(random() & 0xff).unwrap();
            }
            fuzz::fuzz(&data);
            let parsed = Message::parse(&data);
            refused += u32::from(parsed.is_err_and(|error| error != ParseError::StartLine));
        }
    }
    assert!(refused > 100, "flips must reach the head: {refused}");
}

#[test]
fn a_refusal_says_which_header_is_wrong() {
    assert_eq!(Invalid::Malformed(Name::CSeq).to_string(), "Malformed CSeq");
    assert_eq!(Invalid::Missing(Name::CallId).to_string(), "Missing Call-ID");
    assert_eq!(Invalid::Version.status(), 505);
}
