//! Which addresses are offered: families, several networks, renumbering, calls among ourselves.

use super::*;

#[test]
fn ipv4_phones_talk_with_ipv6_far_sides() {
    let lan = ["192.168.1.1", "fd00::1"];
    let wan = ["198.51.100.1", "2001:db8:a::1"];
    let mut bench = Bench::new(&MediaConfig::default(), &lan, &wan, None);
    let session = bench.media.open(bench.now).unwrap();
    bench.media.set_peer(session, Side::Far(0), ip("2001:db8:b::7"));
    let sent = bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
    assert!(sent.contains("c=IN IP6 2001:db8:a::1\r\n"), "{sent}");
    let answer = offer("2001:db8:b::7", 6000, "");
    let near = bench.pass(session, IN, "2001:db8:b::7", &answer).unwrap();
    assert!(near.contains("c=IN IP4 192.168.1.1\r\n"), "{near}");
    let (far, near) = (wanted(&sent, 0), wanted(&near, 0));
    let left = bench.rtp("[2001:db8:b::7]:6000", far).unwrap();
    assert_eq!(left, (near, addr("192.168.1.20:5004")));
    assert_eq!(bench.rtp("192.168.1.20:5004", near).unwrap().1, addr("[2001:db8:b::7]:6000"));
    // A dual-stack socket may tell an IPv4 source in IPv6 form.
    let left = bench.rtp("[::ffff:192.168.1.20]:5004", near).unwrap();
    assert_eq!(left.1, addr("[2001:db8:b::7]:6000"));
}

#[test]
fn an_answer_in_a_family_that_was_not_offered_is_not_sent_to() {
    let mut bench = Bench::usual();
    let session = bench.media.open(bench.now).unwrap();
    bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
    let near = bench.pass(session, IN, SERVER, &offer("2001:db8:b::7", 6000, "")).unwrap();
    assert_eq!(bench.rtp("192.168.1.20:5004", wanted(&near, 0)), None);
    assert_eq!(bench.media.counters().unwanted, 1);
}

#[test]
fn each_phone_gets_the_address_of_its_own_network() {
    let lan = ["10.0.0.1", "192.168.7.1", "192.168.1.1"];
    let mut bench = Bench::new(&MediaConfig::default(), &lan, &["198.51.100.1"], None);
    for (phone, own) in
        [("192.168.1.20", "192.168.1.1"), ("192.168.7.9", "192.168.7.1"), ("10.3.2.1", "10.0.0.1")]
    {
        let session = bench.media.open(bench.now).unwrap();
        bench.media.set_peer(session, Side::Phone, ip(phone));
        let near = bench.pass(session, IN, SERVER, &offer(SERVER, 6000, "")).unwrap();
        assert_eq!(wanted(&near, 0).ip(), ip(own), "{phone}");
    }
}

#[test]
fn without_an_address_there_is_nothing_to_offer() {
    let mut bench = Bench::new(&MediaConfig::default(), &["192.168.1.1"], &[], None);
    let session = bench.media.open(bench.now).unwrap();
    let body = offer(PHONE, 5004, "");
    assert_eq!(bench.pass(session, OUT, PHONE, &body), Err(SdpError::NoAddress));
    let rejected = "v=0\r\nc=IN IP4 192.168.1.20\r\nm=audio 0 RTP/AVP 0\r\n";
    assert_eq!(bench.pass(session, OUT, PHONE, rejected), Err(SdpError::NoAddress));
    let near = bench.pass(session, IN, SERVER, rejected).unwrap();
    assert_eq!(near, rejected.replace(PHONE, "192.168.1.1"));
}

#[test]
fn a_new_wan_address_gets_new_ports_and_the_call_goes_on() {
    let mut bench = Bench::usual();
    let (session, far, near) = call(&mut bench);
    assert!(bench.rtp("203.0.113.10:6000", far).is_some());
    bench.media.set_addresses(&[ip("192.168.1.1")], &[ip("198.51.100.222")], None);
    bench.serve();
    assert!(bench.rtp("192.168.1.20:5004", near).is_some(), "until SDP passes nothing changes");
    let again = bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
    let moved = wanted(&again, 0);
    assert_eq!(moved.ip(), ip("198.51.100.222"));
    assert!(!bench.sockets.contains_key(&far));
    assert_eq!(bench.rtp("192.168.1.20:5004", near).unwrap().0, moved);
    assert!(bench.rtp("203.0.113.10:6000", moved).is_some());
}

#[test]
fn no_packet_reaches_the_routers_own_services() {
    let mut bench = Bench::usual();
    for target in ["127.0.0.1", "224.0.0.251", "255.255.255.255", "ff02::1", "::1"] {
        let session = bench.media.open(bench.now).unwrap();
        bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
        let near = bench.pass(session, IN, SERVER, &offer(target, 53, "")).unwrap();
        assert_eq!(bench.rtp("192.168.1.20:5004", wanted(&near, 0)), None, "{target}");
    }
}

/// Two phones behind this router, each with its own call to a server that lets media pass.
fn calls_among_ourselves(mut bench: Bench, phones: [&str; 2], server: &str, public: &str) {
    let a = bench.media.open(bench.now).unwrap();
    let b = bench.media.open(bench.now).unwrap();
    let offered = bench.pass(a, OUT, phones[0], &offer(phones[0], 5004, "")).unwrap();
    assert_eq!(wanted(&offered, 0).ip(), ip(public));
    let at_b = bench.pass(b, IN, server, &offered).unwrap();
    let answered = bench.pass(b, OUT, phones[1], &offer(phones[1], 5062, "")).unwrap();
    let at_a = bench.pass(a, IN, server, &answered).unwrap();
    let (at_a, at_b) = (wanted(&at_a, 0), wanted(&at_b, 0));
    let (phone_a, phone_b) = (format!("{}:5004", phones[0]), format!("{}:5062", phones[1]));
    for _ in 0..3 {
        assert_eq!(bench.rtp(&phone_a, at_a).unwrap(), (at_b, addr(&phone_b)));
        assert_eq!(bench.rtp(&phone_b, at_b).unwrap(), (at_a, addr(&phone_a)));
    }
    let report = format!("{}:5063", phones[1]);
    let left = bench.datagram(&report, plus(at_b, 1), 0x20, b"\x80\xc8").unwrap();
    assert_eq!(left, (plus(at_a, 1), plus(addr(&phone_a), 1), 0x20));
    assert_eq!(bench.media.counters().joined, 7);
    assert_eq!(bench.media.counters().relayed, 7);
    // The inner way is pinned like any other: the port is no open door to the other call.
    let far_b = SocketAddr::new(ip("198.51.100.1"), wanted(&answered, 0).port());
    if let Some(far_b) = bench.sockets.contains_key(&far_b).then_some(far_b) {
        assert_eq!(bench.rtp("203.0.113.99:4000", far_b), None);
    }
    bench.media.close(bench.now, b);
    bench.serve();
    let left = bench.rtp(&phone_a, at_a);
    assert!(left.is_none_or(|(_, to)| to.ip() == ip(public)), "no other session is reached");
}

#[test]
fn sdp_that_names_our_own_ports_is_joined_inside() {
    let config = MediaConfig::default();
    let phones = ["192.168.1.20", "192.168.1.21"];
    let wan = ["198.51.100.1"];
    let bench = Bench::new(&config, &["192.168.1.1"], &wan, None);
    calls_among_ourselves(bench, phones, SERVER, "198.51.100.1");
    let bench = Bench::new(&config, &["192.168.1.1"], &wan, Some("203.0.113.200"));
    calls_among_ourselves(bench, phones, SERVER, "203.0.113.200");
    // Everything on loopback, one address for both sides.
    for lan in ["127.0.0.1", "127.1.2.3"] {
        let bench = Bench::new(&config, &[lan], &["127.0.0.1"], None);
        calls_among_ourselves(bench, ["127.0.0.1", "127.0.0.9"], "127.0.0.5", "127.0.0.1");
    }
}

#[test]
fn only_far_sides_are_joined_never_a_phones_port() {
    let lan_and_wan = ["127.0.0.1"];
    let mut bench = Bench::new(&MediaConfig::default(), &lan_and_wan, &lan_and_wan, None);
    let victim = bench.media.open(bench.now).unwrap();
    bench.pass(victim, OUT, "127.0.0.2", &offer("127.0.0.2", 5004, "")).unwrap();
    let near = bench.pass(victim, IN, "127.0.0.5", &offer("127.0.0.5", 6000, "")).unwrap();
    let session = bench.media.open(bench.now).unwrap();
    bench.pass(session, OUT, "127.0.0.3", &offer("127.0.0.3", 5004, "")).unwrap();
    let back = bench.pass(session, IN, "127.0.0.6", &near).unwrap();
    let left = bench.rtp("127.0.0.3:5004", wanted(&back, 0)).unwrap();
    assert_eq!(left.1, wanted(&near, 0), "by the kernel, where the phone's pinning judges it");
    assert_eq!(bench.media.counters().joined, 0);
}

#[test]
fn a_session_that_names_itself_is_an_echo_not_a_loop() {
    let mut bench = Bench::usual();
    let session = bench.media.open(bench.now).unwrap();
    let sent = bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
    let near = wanted(&bench.pass(session, IN, SERVER, &sent).unwrap(), 0);
    let left = bench.rtp("192.168.1.20:5004", near).unwrap();
    assert_eq!(left, (near, addr("192.168.1.20:5004")));
}

#[test]
fn with_path_off_bodies_pass_and_nothing_is_bound() {
    let config = MediaConfig { path: MediaPath::Off, ..MediaConfig::default() };
    let mut bench = Bench::new(&config, &["192.168.1.1"], &["198.51.100.1"], None);
    assert!(bench.sockets.is_empty());
    let session = bench.media.open(bench.now).unwrap();
    let body = offer(PHONE, 5004, "a=candidate:1 1 UDP 1 192.168.1.20 5004 typ host\r\n");
    assert_eq!(bench.pass(session, OUT, PHONE, &body).unwrap(), body);
}

#[test]
fn ports_that_a_router_in_front_opened_are_named_and_joined() {
    let (wan, outside) = ("192.168.178.20", "203.0.113.9");
    let mut bench = Bench::new(&MediaConfig::default(), &["192.168.1.1"], &[wan], None);
    assert!(bench.media.take_ports_changed() && !bench.media.take_ports_changed());
    assert_eq!(bench.media.open_ports(ip(wan), 4).count(), 8);
    let ports: Vec<u16> = bench.media.open_ports(ip(wan), 99).collect();
    assert_eq!(ports.len(), 2 * ports::READY_PAIRS);
    // Upside down: RTCP is not at the port after RTP's.
    let open = |port: u16| (SocketAddr::new(ip(wan), port), SocketAddr::new(ip(outside), !port));
    bench.media.set_addresses(&[ip("192.168.1.1")], &[ip(wan)], Some(ip(outside)));
    bench.media.set_mapped(ports.iter().copied().map(open).collect());

    let caller = bench.media.open(bench.now).unwrap();
    let sent = bench.pass(caller, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
    let named = wanted(&sent, 0);
    assert_eq!(named.ip(), ip(outside));
    assert!(ports.contains(&!named.port()), "{sent}");
    assert!(sent.ends_with(&format!("a=rtcp:{}\r\n", !(!named.port() + 1))), "{sent}");
    assert_eq!(bench.media.open_ports(ip(wan), 0).next(), Some(!named.port()), "calls come first");

    // The same description comes back to another phone here.
    let other = "192.168.1.21";
    let callee = bench.media.open(bench.now).unwrap();
    let near = wanted(&bench.pass(callee, IN, SERVER, &sent).unwrap(), 0);
    let answer = bench.pass(callee, OUT, other, &offer(other, 5004, "")).unwrap();
    let back = wanted(&bench.pass(caller, IN, SERVER, &answer).unwrap(), 0);
    assert_eq!(bench.rtp("192.168.1.21:5004", near), Some((back, addr("192.168.1.20:5004"))));
    assert_eq!(bench.rtp("192.168.1.20:5004", back), Some((near, addr("192.168.1.21:5004"))));
    assert_eq!(bench.media.counters().joined, 2);

    // One that is not open is named as it is.
    bench.media.set_mapped(Vec::new());
    let sent = bench.pass(caller, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
    assert_eq!(wanted(&sent, 0), SocketAddr::new(ip(outside), !named.port()));
    assert!(!sent.contains("a=rtcp"), "{sent}");
}
