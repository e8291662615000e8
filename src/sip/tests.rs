//! Tests of the message layer.

use super::*;

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
