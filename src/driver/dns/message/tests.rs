//! Questions and answers as another implementation has them, and bytes that are none.

use super::*;
use simple_dns::rdata::{CNAME, RData, SRV, TXT};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QTYPE, RCODE, ResourceRecord, TYPE};
use std::net::{Ipv4Addr, Ipv6Addr};

const NAME: &str = "_sip._udp.example.net";

#[test]
fn another_implementation_reads_the_question() {
    let bytes = question(0x1234, NAME, Kind::Srv, 1232).unwrap();
    let packet = Packet::parse(&bytes).unwrap();
    assert_eq!(packet.id(), 0x1234);
    assert!(packet.has_flags(PacketFlag::RECURSION_DESIRED));
    assert!(!packet.has_flags(PacketFlag::RESPONSE));
    let [asked] = packet.questions.as_slice() else { panic!("one question") };
    assert_eq!(asked.qname.to_string(), NAME);
    assert_eq!((asked.qtype, asked.qclass), (QTYPE::TYPE(TYPE::SRV), CLASS::IN.into()));
    assert_eq!(packet.opt().unwrap().udp_packet_size, 1232);
}

#[test]
fn what_is_no_name_is_not_asked_for() {
    let long = ["a".repeat(63).as_str(); 4].join(".");
    let label = "a".repeat(64);
    for name in ["", ".", "a..b", ".a", label.as_str(), long.as_str()] {
        assert_eq!(question(1, name, Kind::A, 512), None, "{name}");
    }
    assert!(question(1, &long[..253], Kind::A, 512).is_some());
}

/// An answer to the question for `name`, as another implementation writes it.
fn answer(name: &str, kind: Kind, code: RCODE, records: Vec<(&str, RData<'_>)>) -> Vec<u8> {
    let question = question(7, name, kind, 1232).unwrap();
    let asked = Packet::parse(&question).unwrap();
    let mut packet = Packet::new_reply(7);
    *packet.rcode_mut() = code;
    packet.questions = asked.questions.clone();
    for (name, data) in records {
        let name = Name::new(name).unwrap();
        packet.answers.push(ResourceRecord::new(name, CLASS::IN, 300, data));
    }
    packet.build_bytes_vec_compressed().unwrap()
}

#[test]
fn records_of_another_implementation_are_read() {
    let name = |name| Name::new(name).unwrap();
    let v6: Ipv6Addr = "2001:db8::5".parse().unwrap();
    let records = vec![
        (NAME, RData::CNAME(CNAME(name("sip.example.net")))),
        ("sip.example.net", RData::A(Ipv4Addr::new(192, 0, 2, 5).into())),
        ("sip.example.net", RData::AAAA(v6.into())),
        ("sip.example.net", RData::TXT(TXT::new().with_string("no address").unwrap())),
        (
            "sip.example.net",
            RData::SRV(SRV { priority: 1, weight: 2, port: 5060, target: name("a.example.net") }),
        ),
    ];
    let bytes = answer(NAME, Kind::Srv, RCODE::NoError, records);
    let found = read(&bytes, 7, &NAME.to_uppercase(), Kind::Srv).unwrap();
    assert_eq!((found.code, found.cut), (0, false));
    let said: Vec<Data> = found.records.iter().map(|record| record.data.clone()).collect();
    let target = "a.example.net".to_owned();
    let expected = [
        Data::Alias("sip.example.net".to_owned()),
        Data::Address([192, 0, 2, 5].into()),
        Data::Address(v6.into()),
        Data::Other,
        Data::Service { priority: 1, weight: 2, port: 5060, target },
    ];
    assert_eq!(said, expected);
    assert!(found.records.iter().all(|record| record.ttl_s == 300));
    assert_eq!(found.records[1].name, "sip.example.net");
    // Of a part, nothing is believed.
    for len in 0..bytes.len() {
        assert_eq!(read(&bytes[..len], 7, NAME, Kind::Srv), None, "{len} bytes");
    }
}

#[test]
fn only_an_answer_to_the_question_is_one() {
    let bytes = answer(NAME, Kind::Srv, RCODE::NameError, Vec::new());
    assert_eq!(read(&bytes, 7, NAME, Kind::Srv).unwrap().code, 3);
    assert_eq!(read(&bytes, 8, NAME, Kind::Srv), None);
    assert_eq!(read(&bytes, 7, "example.net", Kind::Srv), None);
    assert_eq!(read(&bytes, 7, NAME, Kind::A), None);
    let asked = question(7, NAME, Kind::Srv, 1232).unwrap();
    assert_eq!(read(&asked, 7, NAME, Kind::Srv), None, "a question is no answer");
}

#[test]
fn names_that_lead_in_circles_or_ahead_are_none() {
    let mut bytes = answer("a.b", Kind::A, RCODE::NoError, Vec::new());
    let name = 12..17;
    for pointer in [12, 14, 17, 0x3fff_u16] {
        let mut circle = bytes.clone();
        circle.splice(name.clone(), (0xc000 | pointer).to_be_bytes());
        assert_eq!(read(&circle, 7, "a.b", Kind::A), None, "{pointer}");
    }
    // The upper bits 01 and 10 mean nothing.
    for len in [0x41, 0x81] {
        bytes[12] = len;
        assert_eq!(read(&bytes, 7, "a.b", Kind::A), None);
    }
}

proptest::proptest! {
    #![proptest_config(crate::properties::cases(400))]

    #[test]
    fn bytes_that_were_tampered_with_are_read_or_not(
        changes in proptest::collection::vec((0usize..200, proptest::prelude::any::<u8>()), 1..8),
    ) {
        let target = Name::new("a.example.net").unwrap();
        let service = RData::SRV(SRV { priority: 1, weight: 2, port: 5060, target });
        let mut bytes = answer(NAME, Kind::Srv, RCODE::NoError, vec![(NAME, service)]);
        for (at, byte) in changes {
            let at = at % bytes.len();
            bytes[at] = byte;
        }
        let found = read(&bytes, 7, NAME, Kind::Srv);
        proptest::prop_assert!(found.is_none_or(|found| found.records.len() <= bytes.len() / 11));
    }
}
