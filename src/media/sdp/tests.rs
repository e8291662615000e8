//! Descriptions read and written.

use super::write::{Place, Rewrite};
use super::*;
use crate::limits::SIP_MESSAGE_BYTES_MAX;
use proptest::prelude::*;

const RELAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));
const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 99));

/// Rewrites with the relay's port 40000 + 2 · index for the line with that index.
fn rewrite_to(address: IpAddr, body: &[u8]) -> Result<Vec<u8>, SdpError> {
    let description = Description::read(body, SOURCE);
    let mut places = [None; MEDIA_LINES_MAX];
    for (index, place) in places.iter_mut().enumerate() {
        let port = 40_000 + 2 * index as u16;
        *place = description.lines[index].map(|_| Place { address, port, rtcp: port + 1 });
    }
    let mut out = Vec::new();
    Rewrite { description: &description, address, places }.write(body, &mut out)?;
    Ok(out)
}

fn rewrite(body: &str) -> String {
    String::from_utf8(rewrite_to(RELAY, body.as_bytes()).unwrap()).unwrap()
}

macro_rules! pair {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("../../../tests/data/sdp/", $name, ".in.sdp")),
            include_str!(concat!("../../../tests/data/sdp/", $name, ".out.sdp")),
        )
    };
}

#[test]
fn descriptions_are_rewritten_as_the_table_says_whatever_their_line_ends() {
    for (name, given, wanted) in
        [pair!("audio"), pair!("lines"), pair!("hold"), pair!("own-addresses")]
    {
        let wanted = wanted.replace('\n', "\r\n");
        assert_eq!(rewrite(&given.replace('\n', "\r\n")), wanted, "{name}");
        // Inserted lines always end in CRLF, all others as they were.
        assert_eq!(rewrite(given).replace('\r', ""), wanted.replace('\r', ""), "{name}, bare LF");
    }
}

fn read(body: &str) -> [Option<Line>; MEDIA_LINES_MAX] {
    Description::read(body.as_bytes(), SOURCE).lines
}

fn at(text: &str) -> Option<SocketAddr> {
    Some(text.parse().unwrap())
}

#[test]
fn lines_tell_where_their_sender_wants_rtp_and_rtcp() {
    let lines = read(include_str!("../../../tests/data/sdp/lines.in.sdp"));
    let audio = lines[0].unwrap();
    assert_eq!(audio.rtp, at("192.168.1.20:5004"));
    assert_eq!(audio.rtcp, at("192.168.1.21:5010"));
    assert_eq!(audio.direction, Direction::RecvOnly);
    assert_eq!((lines[1], lines[2]), (None, None), "rejected, and on TCP");
    let fax = lines[3].unwrap();
    assert_eq!(fax.rtp, at("[2001:db8:5::20]:5020"));
    assert_eq!(fax.rtcp, at("[2001:db8:5::20]:5021"));
    assert_eq!(fax.direction, Direction::SendOnly, "the session's");

    let lines = read(include_str!("../../../tests/data/sdp/own-addresses.in.sdp"));
    assert_eq!(lines[0].unwrap().rtp, at("203.0.113.99:49170"), "a name: the signalling source");
    assert_eq!(lines[0].unwrap().rtcp, at("203.0.113.99:49170"));
    assert_eq!(lines[1].unwrap().rtcp, at("203.0.113.99:49190"));
}

#[test]
fn hold_is_read_in_every_spelling() {
    for (connection, held) in [
        ("IN IP4 0.0.0.0", true),
        ("IN IP6 ::", true),
        ("IN IP6 anonymous.invalid", true),
        ("IN IP4 0.0.0.1", false),
    ] {
        let line = read(&format!("v=0\nc={connection}\nm=audio 5004 RTP/AVP 0\n"))[0].unwrap();
        assert_eq!(line.rtp.is_none(), held, "{connection}");
        assert_eq!(line.rtcp.is_none(), held, "{connection}");
    }
}

#[test]
fn media_lines_that_are_not_understood_are_copied_and_keep_their_index() {
    let body = "v=0\r\nc=IN IP4 10.0.0.1\r\nm=audio\r\nm=audio x RTP/AVP 0\r\n\
                m=audio 70000 RTP/AVP 0\r\nm=  audio   5004   RTP/AVP  0 \r\n";
    let wanted = "v=0\r\nc=IN IP4 198.51.100.1\r\nm=audio\r\nm=audio x RTP/AVP 0\r\n\
                  m=audio 70000 RTP/AVP 0\r\nm=  audio   40006   RTP/AVP  0 \r\n";
    assert_eq!(rewrite(body), wanted);
}

#[test]
fn the_relay_may_have_the_other_family() {
    let relay: IpAddr = "2001:db8::1".parse().unwrap();
    let body = b"v=0\no=- 1 1 IN IP4 10.0.0.1\nc=IN IP4 10.0.0.1\nm=audio 5004 RTP/AVP 0\n\
                 a=rtcp:5005 IN IP4 10.0.0.1\n";
    let wanted = "v=0\no=- 1 1 IN IP6 2001:db8::1\nc=IN IP6 2001:db8::1\n\
                  m=audio 40000 RTP/AVP 0\na=rtcp:40001 IN IP6 2001:db8::1\n";
    assert_eq!(String::from_utf8(rewrite_to(relay, body).unwrap()).unwrap(), wanted);
}

#[test]
fn lines_may_have_relay_addresses_of_their_own() {
    let body = b"v=0\nc=IN IP4 10.0.0.1\nm=audio 5004 RTP/AVP 0\nm=video 5006 RTP/AVP 31\n";
    let description = Description::read(body, SOURCE);
    let other = "2001:db8::1".parse().unwrap();
    let places = [
        Some(Place { address: RELAY, port: 40_000, rtcp: 40_001 }),
        Some(Place { address: other, port: 40_002, rtcp: 40_003 }),
        None,
        None,
    ];
    let mut out = Vec::new();
    Rewrite { description: &description, address: RELAY, places }.write(body, &mut out).unwrap();
    let wanted = "v=0\nc=IN IP4 198.51.100.1\nm=audio 40000 RTP/AVP 0\n\
                  m=video 40002 RTP/AVP 31\nc=IN IP6 2001:db8::1\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), wanted);
}

#[test]
fn a_small_body_cannot_become_a_large_one() {
    let mut body = format!("v=0\nc=IN IP4 10.0.0.1/{}\n", "x".repeat(4000));
    for _ in 0..100 {
        body.push_str("m=a 1 tcp\n");
    }
    assert_eq!(rewrite_to(RELAY, body.as_bytes()), Err(SdpError::TooLong));
    assert!(body.len() < SIP_MESSAGE_BYTES_MAX);
}

fn any_line() -> impl Strategy<Value = String> {
    prop_oneof![
        "m=(audio|video|image) [0-9]{1,6}(/[0-9])? (RTP/AVP|TCP/MSRP|udptl|RTP/SAVP) [0-9 ]{0,9}",
        "c=IN IP[46] ([0-9.]{1,15}|[0-9a-f:]{1,20}|[a-z.]{1,20})(/127)?",
        "o=[a-z -]{1,5} 1 1 IN IP4 [0-9.]{1,12}",
        "a=rtcp:[0-9]{1,6}( IN IP4 10\\.0\\.0\\.1)?",
        "a=(candidate:|ice-ufrag:|sendonly|recvonly|inactive|rtcp-mux)[a-z0-9]{0,8}",
        "i=[a-z]{0,5}",
        "\\PC{0,30}",
    ]
}

/// Whether the rewriting may change or drop a line.
fn may_change(line: &str) -> bool {
    let bypass = ["a=candidate:", "a=remote-candidates:", "a=end-of-c", "a=ice-", "a=altc:"];
    let known = ["m=", "c=", "o=", "a=rtcp:"];
    known.iter().chain(&bypass).any(|start| line.starts_with(start))
}

proptest! {
    #![proptest_config(crate::properties::cases(400))]

    #[test]
    fn any_bytes_are_taken_without_panic(body in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = rewrite_to(RELAY, &body);
    }

    #[test]
    fn unknown_lines_stay_as_they_are_and_in_their_order(
        body in proptest::collection::vec(any_line(), 0..20)
    ) {
        let text = body.join("\r\n");
        let out = rewrite_to(RELAY, text.as_bytes()).unwrap();
        let out = String::from_utf8(out).unwrap();
        let kept = |text: &str| -> Vec<String> {
            text.split("\r\n").filter(|l| !may_change(l)).map(str::to_owned).collect()
        };
        prop_assert_eq!(kept(&out).concat(), kept(&text).concat());
        let count = |text: &str| text.split("\r\n").filter(|l| l.starts_with("m=")).count();
        prop_assert_eq!(count(&out), count(&text));
    }

    #[test]
    fn what_comes_out_names_the_relay_alone(
        body in proptest::collection::vec(any_line(), 0..20)
    ) {
        let text = body.join("\r\n");
        let out = rewrite_to(RELAY, text.as_bytes()).unwrap();
        let description = Description::read(&out, SOURCE);
        for (index, line) in description.lines.iter().enumerate() {
            let Some(line) = line else { continue };
            let port = 40_000 + 2 * index as u16;
            prop_assert!(line.rtp.is_none_or(|rtp| rtp == SocketAddr::new(RELAY, port)));
            let rtcp = line.rtcp.is_none_or(|rtcp| rtcp.ip() == RELAY && rtcp.port() & !1 == port);
            prop_assert!(rtcp);
        }
    }
}

#[test]
fn a_refused_offer_keeps_its_lines_with_port_0() {
    let offer = b"v=0\r\nm=audio 4000/2 RTP/AVP 8 0\r\na=sendrecv\r\nm=video 5000 RTP/AVP 96\r\n";
    let answer = b"v=0\r\nm=audio 0 RTP/AVP 8 0\r\na=sendrecv\r\nm=video 0 RTP/AVP 96\r\n";
    assert_eq!(write::refusal(offer), answer);
}

#[test]
fn rtcp_at_another_port_than_the_next_is_told() {
    let rewritten = |body: &str| {
        let description = Description::read(body.as_bytes(), SOURCE);
        let place = Some(Place { address: RELAY, port: 40_000, rtcp: 50_000 });
        let places = [place; MEDIA_LINES_MAX];
        let mut out = Vec::new();
        let rewrite = Rewrite { description: &description, address: RELAY, places };
        rewrite.write(body.as_bytes(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    let session = "v=0\r\nc=IN IP4 10.0.0.1\r\n";
    let own = "v=0\r\nc=IN IP4 198.51.100.1\r\n";
    let audio = "m=audio 5004 RTP/AVP 0\r\n";
    let out = "m=audio 40000 RTP/AVP 0\r\n";
    let told = "a=rtcp:50000\r\n";
    let lines = format!("{session}{audio}a=sendrecv\r\n{audio}");
    assert_eq!(rewritten(&lines), format!("{own}{out}a=sendrecv\r\n{told}{out}{told}"));
    let line = format!("{session}{audio}a=rtcp:5009\r\na=x\r\n");
    assert_eq!(rewritten(&line), format!("{own}{out}{told}a=x\r\n"), "once");
    for untold in ["m=audio 0 RTP/AVP 0\r\n", "m=image 5004 udptl t38\r\n"] {
        assert!(!rewritten(&format!("{session}{untold}")).contains("rtcp"), "{untold}");
    }
    let description = Description::read(line.as_bytes(), SOURCE);
    let last = Some(Place { address: RELAY, port: 65_535, rtcp: 65_534 });
    let places = [last; MEDIA_LINES_MAX];
    let mut text = Vec::new();
    let rewrite = Rewrite { description: &description, address: RELAY, places };
    let bare = format!("{session}{audio}");
    rewrite.write(bare.as_bytes(), &mut text).unwrap();
    assert!(text.ends_with(b"a=rtcp:65534\r\n"), "there is no next port");
    let shared = format!("{session}{audio}a=rtcp-mux\r\na=rtcp:5004\r\n");
    assert!(rewritten(&shared).contains("a=rtcp:40000\r\n"));
    assert_eq!(
        rewritten(&format!("{session}m=audio 5004 RTP/AVP 0")),
        format!("{own}m=audio 40000 RTP/AVP 0\r\na=rtcp:50000")
    );
}
