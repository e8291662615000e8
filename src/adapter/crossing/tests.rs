//! Which addresses are our own, and what a withheld caller shows.

use super::{Crossing, is_own};
use crate::adapter::call::identity::Rename;
use crate::adapter::names::{Local, Path};
use crate::net::NodeId;
use crate::sip::proxy::LoopDetector;
use crate::sip::{Message, Name, Uri};

const FROM: &str = "\"Alice\" <sip:alice@example.net>;tag=ta";
const NOBODY: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=ta";

/// Alice's phone hangs up on a peer.
fn bye(withheld: bool, rename: Option<Rename>) -> String {
    let from_local = Local::Socket { address: "192.168.1.1:5060".parse().unwrap(), tcp: false };
    let crossing = Crossing {
        from: Path::Lan,
        from_local,
        to: Path::Peer(NodeId([1; 16])),
        to_local: Local::Overlay(NodeId([2; 16])),
        user: "alice".into(),
        contact_parameter: "",
        phone_hosts: heapless::Vec::new(),
        stand_in: None,
        next_hop: None,
        rename,
        withheld,
        own: Vec::new(),
        loops: LoopDetector::new([3; 16]),
    };
    let bye = format!(
        "BYE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: {FROM}\r\n\
         To: <sip:bob@example.net>;tag=tb\r\nCall-ID: c1\r\nCSeq: 2 BYE\r\n\
         Contact: <sip:alice@192.168.1.11>\r\nReferred-By: <sip:alice@example.net>\r\n\
         Content-Length: 0\r\n\r\n"
    );
    let message = Message::parse(bye.as_bytes()).unwrap();
    let bytes = crossing.request(&message, "sip:bob@x", &"z9hG4bK2", 0, &[]).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_withheld_caller_is_nobody_to_other_adapters_by_whatever_name_the_dialog_goes() {
    let direct = Rename { call_id: "direct".into(), from: FROM.into(), to: "<sip:b@x>".into() };
    for (rename, call_id) in [(None, "c1"), (Some(direct), "direct")] {
        let text = bye(true, rename.clone());
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.header(Name::From), Some(NOBODY));
        assert_eq!(message.call_id(), call_id);
        let contact = message.header(Name::Contact).unwrap();
        assert!(contact.starts_with("<sip:anonymous@0202"), "{contact}");
        assert!(!text.contains("lice"), "{text}");
        let text = bye(false, rename);
        let message = Message::parse(text.as_bytes()).unwrap();
        assert_eq!(message.header(Name::From), Some(FROM));
        assert!(text.contains("Referred-By") && text.contains("<sip:alice@0202"), "{text}");
    }
}

#[test]
fn our_record_route_is_ours_and_a_phones_contact_at_our_address_is_not() {
    let own = ["203.0.113.21:5062".parse().unwrap(), "192.168.1.1:5060".parse().unwrap()];
    for (uri, expected) in [
        ("sip:192.168.1.1;lr", true),
        ("sip:192.168.1.1:5060;transport=tcp;lr", true),
        ("sip:203.0.113.21:5062;lr", true),
        ("sip:carol@203.0.113.21:5062", false),
        ("sip:203.0.113.21;lr", false),
        ("sip:203.0.113.10;lr", false),
    ] {
        assert_eq!(is_own(&Uri::parse(uri).unwrap(), &own), expected, "{uri}");
    }
}
