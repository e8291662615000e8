//! The formats, against what the RFCs and real devices write.

use super::super::http::{Reader, Url, header};
use super::super::upnp::{self, Outcome};
use super::super::xml::{self, Piece};
use super::super::{natpmp, pcp};
use super::gateway::description;
use std::net::IpAddr;

#[test]
fn pcp_as_rfc_6887_draws_it() {
    let map = pcp::Map {
        nonce: *b"0123456789ab",
        lifetime_s: 7200,
        internal_port: 5062,
        external_port: 15_062,
        external: IpAddr::from([0, 0, 0, 0]),
    };
    let mut wire = pcp::map([192, 168, 178, 20].into(), &map).to_vec();
    assert_eq!(wire[..8], [2, 1, 0, 0, 0, 0, 0x1c, 0x20]);
    assert_eq!(wire[8..24], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 168, 178, 20]);
    assert_eq!(wire[24..44], [&b"0123456789ab"[..], &[17, 0, 0, 0, 19, 198, 58, 214]].concat());
    assert_eq!(wire[44..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0]);
    assert_eq!(pcp::parse(&wire), None, "a request is no answer");
    wire[1] |= 0x80;
    wire[8..12].copy_from_slice(&77u32.to_be_bytes());
    let read = pcp::parse(&wire).unwrap();
    assert_eq!((read.result, read.epoch_s, read.map), (pcp::ResultCode::SUCCESS, 77, Some(map)));
    // Options follow in fours.
    assert!(pcp::parse(&[&wire[..], &[2, 0, 0, 0]].concat()).is_some());
    assert!(pcp::parse(&[&wire[..], &[2, 0]].concat()).is_none());
    assert!(pcp::parse(&[&wire[..], &[0; 1044]].concat()).is_none(), "over 1,100 bytes");
    wire[36] = 6;
    assert_eq!(pcp::parse(&wire), None, "TCP was not asked for");
}

#[test]
fn nat_pmp_as_rfc_6886_draws_it() {
    assert_eq!(natpmp::map(5062, 5062, 7200), [0, 1, 0, 0, 19, 198, 19, 198, 0, 0, 0x1c, 0x20]);
    let answer = [0, 0x81, 0, 0, 0, 0, 0, 9, 19, 198, 58, 214, 0, 0, 0x1c, 0x20];
    let body = natpmp::parse(&answer).unwrap().body;
    let (internal_port, external_port, lifetime_s) = (5062, 15_062, 7200);
    assert_eq!(body, natpmp::Body::Map { internal_port, external_port, lifetime_s });
    let address = [0, 0x80, 0, 0, 0, 0, 0, 9, 203, 0, 113, 9];
    assert_eq!(
        natpmp::parse(&address).unwrap().body,
        natpmp::Body::Address([203, 0, 113, 9].into())
    );
    assert_eq!(natpmp::parse(&address[..11]), None);
    assert_eq!(
        natpmp::parse(&[0, 0x81, 0, 2, 0, 0, 0, 9]).unwrap().body,
        natpmp::Body::Refusal { of: None }
    );
}

#[test]
fn urls_have_literal_hosts_and_no_tricks() {
    let url = Url::parse("http://192.168.178.1:49000/igddesc.xml").unwrap();
    assert_eq!((url.host.port(), url.path.as_str()), (49_000, "/igddesc.xml"));
    assert_eq!(Url::parse("HTTP://10.0.0.1").unwrap().path, "/");
    assert_eq!(Url::parse("http://10.0.0.1/x").unwrap().host.port(), 80);
    for bad in [
        "https://10.0.0.1/",
        "http://router.lan/x",
        "http://10.0.0.1@evil/x",
        "http://10.0.0.1/a b",
        "http://10.0.0.1/a\r\nX: y",
        "/relative",
        "http://10.0.0.1:99999/",
    ] {
        assert_eq!(Url::parse(bad), None, "{bad}");
    }
    let joined = |text| url.join(text).map(|url| format!("{}{}", url.host, url.path));
    assert_eq!(joined("/ctl").as_deref(), Some("192.168.178.1:49000/ctl"));
    assert_eq!(joined("ctl").as_deref(), Some("192.168.178.1:49000/ctl"));
    assert_eq!(joined("http://192.168.178.1:80/c").as_deref(), Some("192.168.178.1:80/c"));
    assert_eq!((joined(""), joined("a\r\nb"), joined(&"a".repeat(300))), (None, None, None));
}

#[test]
fn an_answer_ends_by_length_by_chunks_or_with_the_connection() {
    let read = |text: &str, closed| Reader::default().read(text.as_bytes(), closed);
    let whole = |body: &str| Ok(Some((200, body.to_owned())));
    let ok = "HTTP/1.1 200 OK\r\n";
    assert_eq!(read(&format!("{ok}content-length: 2\r\n\r\nabc"), false), whole("ab"));
    assert_eq!(read(&format!("{ok}Content-Length: 9\r\n\r\nabc"), false), Ok(None));
    assert!(read(&format!("{ok}Content-Length: 9\r\n\r\nabc"), true).is_err());
    assert_eq!(read(&format!("{ok}\r\nabc"), false), Ok(None));
    assert_eq!(read(&format!("{ok}\r\nabc"), true), whole("abc"));
    let chunked = format!("{ok}Transfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n1\r\nc\r\n");
    assert_eq!(read(&chunked, false), Ok(None));
    assert_eq!(read(&format!("{chunked}0\r\n\r\n"), false), whole("abc"));
    assert!(read(&format!("{ok}Transfer-Encoding: chunked\r\n\r\nfffffffff\r\n"), false).is_err());
    assert!(read(&format!("{ok}Content-Length: 99999999\r\n\r\n"), false).is_err());
    assert!(read("SIP/2.0 200 OK\r\n\r\n", false).is_err());
    let mut endless = Reader::default();
    assert!((0..9).any(|_| endless.read(&[b'x'; 4096], false).is_err()), "it is bounded");
    assert_eq!(header("HTTP/1.1 200 OK\r\nST: a:b\r\n", "st"), Some("a:b"));
}

#[test]
fn xml_is_read_as_far_as_needed() {
    let text =
        "<?xml version='1.0'?><!DOCTYPE x><a k='>' xmlns:u=\"/\"><u:b/>&lt;<![CDATA[<c>]]></a>";
    let pieces: Vec<_> = xml::Reader::new(text).map(Result::unwrap).collect();
    let wanted = [
        Piece::Start("a"),
        Piece::Start("b"),
        Piece::End("b"),
        Piece::Text("&lt;"),
        Piece::Text("<c>"),
        Piece::End("a"),
    ];
    assert_eq!(pieces, wanted);
    assert_eq!(xml::text_of("<a><b> 4&amp;2 </b></a>", "b").as_deref(), Some("4&2"));
    assert_eq!(xml::plain("&&lt;&amp;lt;&quot;&x; &"), "&<&lt;\"&x; &");
    let deep = "<a>".repeat(100);
    for bad in ["<a>", "</a>", "<a></b>", "<a", "<!DOCTYPE x [<!ENTITY a 'b'>]><x/>", "<>", &deep] {
        assert!(xml::Reader::new(bad).any(|piece| piece.is_err()), "{bad}");
    }
}

#[test]
fn devices_name_their_connections_best_first_and_only_at_home() {
    let from = Url::parse("http://192.168.178.1:49000/igddesc.xml").unwrap();
    let found = upnp::services(&description(2), &from).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].control.path, "/ctl/IPConn");
    assert!(found[0].finds_port());
    let service = |kind: &str, control: &str| {
        format!(
            "<service><controlURL>{control}</controlURL><serviceType>{kind}</serviceType></service>"
        )
    };
    let ppp = "urn:schemas-upnp-org:service:WANPPPConnection:1";
    let ip = "urn:schemas-upnp-org:service:WANIPConnection:1";
    let text = format!(
        "<root><URLBase>http://192.168.178.1:80/</URLBase>{}{}{}</root>",
        service(ppp, "ppp"),
        service(ip, "/ip"),
        service(ip, "http://203.0.113.66/away"),
    );
    let found = upnp::services(&text, &from).unwrap();
    let controls: Vec<String> =
        found.iter().map(|s| format!("{}{}", s.control.host, s.control.path)).collect();
    assert_eq!(controls, ["192.168.178.1:80/ip", "192.168.178.1:80/ppp"]);
}

#[test]
fn outcomes_are_read_and_nonsense_is_none() {
    let address = "<s:Envelope><s:Body><u:R><NewExternalIPAddress>203.0.113.9\
                   </NewExternalIPAddress></u:R></s:Body></s:Envelope>";
    let read = upnp::outcome(200, address);
    assert_eq!(read, Some(Outcome::Done { address: Some([203, 0, 113, 9].into()), port: None }));
    assert_eq!(
        upnp::outcome(500, "<a><errorCode>718</errorCode></a>"),
        Some(Outcome::Refused(718))
    );
    assert_eq!(upnp::outcome(500, "<a/>"), None);
    assert_eq!(upnp::outcome(200, "<html/>"), None);
}
