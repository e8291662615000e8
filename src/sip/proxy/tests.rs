//! Tests of the proxy's rules.

use super::*;

fn request(uri: &str, headers: &str) -> String {
    format!(
        "INVITE {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\r\n\
         From: <sip:a@example.net>;tag=1\r\nTo: <sip:b@example.net>\r\nCall-ID: c\r\n\
         CSeq: 1 INVITE\r\n{headers}\r\n"
    )
}

fn parse(text: &str) -> Message<'_> {
    let message = Message::parse(text.as_bytes()).unwrap();
    assert_eq!(message.check(), Ok(()));
    message
}

fn is_ours(uri: &Uri<'_>) -> bool {
    uri.host == "router.example"
}

fn routed(uri: &str, headers: &str) -> (String, String, Vec<String>) {
    let text = request(uri, headers);
    let message = parse(&text);
    let routed = Routed::new(&message, is_ours);
    let mut buf = [0; 2000];
    let mut writer = Writer::new(&mut buf);
    writer.status(200, "OK");
    routed.write_routes(&mut writer);
    let len = writer.finish(b"").unwrap();
    let written = Message::parse(&buf[..len]).unwrap();
    let routes = written.values(Name::Route).map(str::to_owned).collect();
    (routed.request_uri.to_owned(), routed.next_hop().to_owned(), routes)
}

#[test]
fn hops_run_out_and_are_given_where_none_are_named() {
    let check = |headers: &str| {
        let text = request("sip:b@example.net", headers);
        let message = parse(&text);
        (max_forwards(&message), validate(&message).map_err(|refusal| refusal.status))
    };
    assert_eq!(check(""), (Some(70), Ok(())));
    assert_eq!(check("Max-Forwards: 1\r\n"), (Some(0), Ok(())));
    assert_eq!(check("Max-Forwards: 0\r\n"), (None, Err(483)));
}

#[test]
fn unknown_options_are_named_all_together() {
    let text = request(
        "sip:b@example.net",
        "Proxy-Require: foo, Privacy\r\nRequire: 100rel\r\nProxy-Require: bar\r\n",
    );
    let message = parse(&text);
    let refusal = Refusal { status: 420, header: Some(Name::Unsupported) };
    assert_eq!(validate(&message), Err(refusal));
    assert_eq!(unsupported(&message).to_string(), "foo, bar");
    let text = request("sip:b@example.net", "Proxy-Require: privacy\r\n");
    assert_eq!(validate(&parse(&text)), Ok(()));
}

#[test]
fn schemes_that_lead_nowhere_are_refused() {
    for (uri, status) in [
        ("tel:+4989", Ok(())),
        ("sips:b@example.net", Ok(())),
        ("urn:service:sos.fire", Ok(())),
        ("http://example.net", Err(416)),
    ] {
        let text = request(uri, "");
        assert_eq!(validate(&parse(&text)).map_err(|refusal| refusal.status), status, "{uri}");
    }
}

#[test]
fn our_own_route_is_taken_off_and_the_next_one_says_where_to_go() {
    let uri = "sip:b@192.0.2.7";
    assert_eq!(routed(uri, ""), (uri.into(), uri.into(), vec![]));
    let own = "Route: <sip:router.example;lr>\r\n";
    assert_eq!(routed(uri, own), (uri.into(), uri.into(), vec![]));
    let next = "Route: <sip:router.example;lr>, <sip:router.example;transport=tcp;lr>\r\n\
                Route: <sip:p.example;lr>, <sip:router.example;lr>\r\n";
    let kept = vec!["<sip:p.example;lr>".into(), "<sip:router.example;lr>".into()];
    assert_eq!(routed(uri, next), (uri.into(), "sip:p.example;lr".into(), kept));
}

#[test]
fn strict_routers_on_either_side_are_mended() {
    let before = "Route: <sip:p.example;lr>, <sip:b@192.0.2.7>\r\n";
    assert_eq!(
        routed("sip:router.example;lr", before),
        ("sip:b@192.0.2.7".into(), "sip:p.example;lr".into(), vec!["<sip:p.example;lr>".into()])
    );
    assert_eq!(
        routed("sip:router.example;lr", "Route: <sip:b@192.0.2.7>\r\n"),
        ("sip:b@192.0.2.7".into(), "sip:b@192.0.2.7".into(), vec![])
    );
    let behind = "Route: <sip:strict.example>, <sip:q.example;lr>\r\n";
    let routes = vec!["<sip:q.example;lr>".into(), "<sip:b@192.0.2.7>".into()];
    assert_eq!(
        routed("sip:b@192.0.2.7", behind),
        ("sip:strict.example".into(), "sip:strict.example".into(), routes)
    );
}

#[test]
fn a_loop_is_told_from_a_spiral() {
    let detector = LoopDetector::new([3; 16]);
    let first = request("sip:b@example.net", "Max-Forwards: 9\r\n");
    let value = detector.value(&parse(&first));
    let again = |uri: &str, host: &str, value: &str| {
        let via = format!("Via: SIP/2.0/UDP {host};branch=z9hG4bKrandom-{value}\r\n");
        let text = request(uri, &via);
        let ours = |via: &Via<'_>| via.host == "router.example";
        detector.is_loop(&parse(&text), ours)
    };
    let value = value.to_string();
    assert!(again("sip:b@example.net", "router.example", &value));
    assert!(!again("sip:other@example.net", "router.example", &value), "a spiral");
    assert!(!again("sip:b@example.net", "elsewhere.example", &value), "not ours");
    assert!(!again("sip:b@example.net", "router.example", "00"));
    let foreign = LoopDetector::new([4; 16]).value(&parse(&first)).to_string();
    assert!(!again("sip:b@example.net", "router.example", &foreign), "keys differ");
}

#[test]
fn values_cover_what_routing_looks_at() {
    let detector = LoopDetector::new([3; 16]);
    let value = |text: &str| detector.value(&parse(text));
    let plain = value(&request("sip:b@example.net", ""));
    let cancel = request("sip:b@example.net", "").replace("INVITE", "CANCEL");
    assert_eq!(value(&cancel), plain);
    let other_via = request("sip:b@example.net", "").replace("192.0.2.9", "192.0.2.8");
    assert_eq!(value(&other_via), plain);
    for changed in [
        request("sip:b@example.net", "Route: <sip:a;lr>\r\n"),
        request("sip:b@example.net", "Proxy-Authorization: Digest a=\"b\"\r\n"),
        request("sip:b@example.net", "").replace("CSeq: 1", "CSeq: 2"),
        request("sip:b@example.net", "").replace("tag=1", "tag=2"),
        request("sip:b@example.net", "").replace("Call-ID: c", "Call-ID: d"),
    ] {
        assert_ne!(value(&changed), plain, "{changed}");
    }
}

#[test]
fn the_best_refusal_is_the_one_that_helps_the_caller_most() {
    let best = |statuses: &[u16]| statuses.iter().copied().min_by_key(|status| rank(*status));
    assert_eq!(best(&[404, 603, 302]), Some(603));
    assert_eq!(best(&[500, 404]), Some(404));
    assert_eq!(best(&[486, 302]), Some(302));
    assert_eq!(best(&[486, 407, 480]), Some(407));
    assert_eq!(best(&[404, 486, 480]), Some(486), "somebody is there");
    assert_eq!(best(&[404, 480]), Some(404), "the first of equals");
    assert_eq!(best(&[503, 500]), Some(500));
    assert_eq!(best(&[408, 480]), Some(480));
    for other in [408, 486, 500, 503, 603] {
        assert_eq!(best(&[482, other]), Some(other), "a merged request never wins");
    }
}

#[test]
fn responses_carry_all_vias_and_go_where_the_request_came_from() {
    let copied = |via: &str, from: &str| {
        let text = request("sip:b@example.net", "v: SIP/2.0/TCP below;branch=z9hG4bKb\r\n");
        let text = text.replace("192.0.2.9;branch=z9hG4bKx", via);
        let message = parse(&text);
        let from = from.parse().unwrap();
        let mut buf = [0; 2000];
        let mut writer = Writer::new(&mut buf);
        writer.status(200, "OK");
        copy_vias(&mut writer, &message, from);
        let len = writer.finish(b"").unwrap();
        let written = Message::parse(&buf[..len]).unwrap();
        let vias: Vec<_> = written.values(Name::Via).collect();
        assert_eq!(vias[1..], ["SIP/2.0/TCP below;branch=z9hG4bKb"]);
        let target = response_target(&message.via().unwrap(), from).to_string();
        (vias[0].strip_prefix("SIP/2.0/UDP ").unwrap().to_owned(), target)
    };
    let same = copied("192.0.2.9;branch=z", "192.0.2.9:7000");
    assert_eq!(same, ("192.0.2.9;branch=z".into(), "192.0.2.9:5060".into()));
    let moved = copied("phone:5070;branch=z;received=9.9.9.9", "192.0.2.9:7000");
    assert_eq!(moved, ("phone:5070;branch=z;received=192.0.2.9".into(), "192.0.2.9:5070".into()));
    let asks = copied("192.0.2.9;rport;branch=z", "192.0.2.9:7000");
    let expected = "192.0.2.9;branch=z;received=192.0.2.9;rport=7000";
    assert_eq!(asks, (expected.into(), "192.0.2.9:7000".into()));
    let six = copied("[2001:db8::1];branch=z;rport", "[2001:db8::1]:7000");
    let expected = "[2001:db8::1];branch=z;received=2001:db8::1;rport=7000";
    assert_eq!(six, (expected.into(), "[2001:db8::1]:7000".into()));
    let mapped = copied("192.0.2.9;branch=z", "[::ffff:192.0.2.9]:7000");
    assert_eq!(mapped.0, "192.0.2.9;branch=z");
}
