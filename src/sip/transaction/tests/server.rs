//! Server transactions, and how requests find them.

use super::*;

#[test]
fn an_invite_repeats_its_last_provisional_response_only() {
    let mut bench = Bench::new();
    let data = request("INVITE", "z9hG4bKone");
    let id = bench.new_request(&data, udp());
    assert_eq!(bench.layer.request(id), Some(&data[..]));
    assert_eq!(bench.receive(&data, udp()), Ok(Incoming::Repeated));
    assert!(bench.lines().is_empty());
    assert!(bench.answer(id, &data, 100) && bench.answer(id, &data, 180));
    assert_eq!(bench.lines().len(), 2);
    assert_eq!(bench.receive(&data, udp()), Ok(Incoming::Repeated));
    assert_eq!(bench.lines(), ["SIP/2.0 180 Whatever"]);
    assert_eq!(bench.layer.poll_timeout(), None);
    assert_eq!(bench.layer.counters().requests_absorbed, 2);
}

#[test]
fn a_refusal_is_repeated_by_timer_g_until_timer_h() {
    for (flow, expected) in [
        (udp(), &[0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500][..]),
        (tcp(), &[0]),
    ] {
        let mut bench = Bench::new();
        let start = bench.now;
        let data = request("INVITE", "z9hG4bKone");
        let id = bench.new_request(&data, flow);
        assert!(bench.answer(id, &data, 486));
        assert_eq!(bench.layer.request(id), None);
        assert!(!bench.answer(id, &data, 486) && !bench.answer(id, &data, 200));
        assert_eq!(bench.sending_times(ms(100_000)), expected);
        assert_eq!(bench.now.since(start), ms(32_000));
        assert_eq!(bench.layer.poll_event(), Some(TransactionEvent::ServerGone { id }));
        assert_eq!((bench.layer.poll_event(), bench.layer.counters().timeouts), (None, 1));
        bench.assert_empty();
    }
}

#[test]
fn an_ack_ends_the_repeats_and_its_own_repeats_are_absorbed() {
    for (flow, life) in [(udp(), ms(5_000)), (tcp(), Duration::ZERO)] {
        let mut bench = Bench::new();
        let data = request("INVITE", "z9hG4bKone");
        let id = bench.new_request(&data, flow);
        let ack =
            request_with("ACK", "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKone;rport", ";tag=b");
        assert_eq!(bench.receive(&ack, flow), Ok(Incoming::Ack), "too early: nobody's");
        assert!(bench.answer(id, &data, 603));
        bench.sent();
        assert_eq!(bench.receive(&data, flow), Ok(Incoming::Repeated));
        assert_eq!(bench.lines(), ["SIP/2.0 603 Whatever"]);
        assert_eq!(bench.receive(&ack, flow), Ok(Incoming::Ack));
        if !life.is_zero() {
            assert_eq!(bench.receive(&ack, flow), Ok(Incoming::Ack));
            assert_eq!(bench.receive(&data, flow), Ok(Incoming::Repeated));
        }
        assert!(bench.sending_times(life).is_empty());
        assert_eq!(bench.layer.poll_event(), None);
        bench.assert_empty();
        assert_eq!(bench.receive(&ack, flow), Ok(Incoming::AckOfSuccess));
    }
}

#[test]
fn after_a_2xx_only_further_2xx_pass_until_timer_l() {
    for flow in [udp(), tcp()] {
        let mut bench = Bench::new();
        let data = request("INVITE", "z9hG4bKone");
        let id = bench.new_request(&data, flow);
        assert!(bench.answer(id, &data, 200));
        assert_eq!(bench.layer.live(), (0, 0));
        bench.sent();
        bench.wait(ms(31_999));
        assert_eq!(bench.receive(&data, flow), Ok(Incoming::Repeated));
        assert!(bench.lines().is_empty());
        assert!(bench.answer(id, &data, 200));
        assert!(!bench.answer(id, &data, 486) && !bench.answer(id, &data, 180));
        assert_eq!(bench.lines(), ["SIP/2.0 200 Whatever"]);
        assert_eq!(bench.receive(&request("ACK", "z9hG4bKone"), flow), Ok(Incoming::AckOfSuccess));
        bench.wait(ms(1));
        assert!(!bench.answer(id, &data, 200));
        assert_eq!(bench.layer.poll_event(), None);
        bench.assert_empty();
    }
}

#[test]
fn other_requests_get_their_final_response_again_until_timer_j() {
    for (flow, life) in [(udp(), ms(32_000)), (tcp(), Duration::ZERO)] {
        let mut bench = Bench::new();
        let data = request("OPTIONS", "z9hG4bKone");
        let id = bench.new_request(&data, flow);
        assert_eq!(bench.receive(&data, flow), Ok(Incoming::Repeated));
        assert!(bench.lines().is_empty());
        assert!(bench.answer(id, &data, 200) && !bench.answer(id, &data, 404));
        assert_eq!((bench.lines().len(), bench.layer.request(id)), (1, None));
        if !life.is_zero() {
            assert_eq!(bench.receive(&data, flow), Ok(Incoming::Repeated));
            assert_eq!(bench.lines(), ["SIP/2.0 200 Whatever"]);
        }
        assert!(bench.sending_times(life).is_empty());
        bench.assert_empty();
    }
}

#[test]
fn rfc_4320_holds_back_what_other_requests_must_not_get() {
    let mut bench = Bench::new();
    let data = request("MESSAGE", "z9hG4bKone");
    let id = bench.new_request(&data, udp());
    bench.wait(ms(3_499));
    assert!(!bench.answer(id, &data, 100) && !bench.answer(id, &data, 183));
    assert!(!bench.answer(id, &data, 408));
    bench.wait(ms(1));
    assert!(bench.answer(id, &data, 100));
    assert_eq!(bench.receive(&data, udp()), Ok(Incoming::Repeated));
    assert_eq!(bench.lines(), ["SIP/2.0 100 Whatever", "SIP/2.0 100 Whatever"]);
    bench.wait(ms(28_500));
    assert!(!bench.answer(id, &data, 200), "its client has given up");
    assert_eq!((bench.lines().len(), bench.layer.poll_event()), (0, None));
    bench.assert_empty();
    let id = bench.new_request(&data, tcp());
    assert!(bench.answer(id, &data, 100), "a stream may carry it at once");
    for junk in ["", "SIP/2.0 ", "SIP/2.0 +20 x", "SIP/2.0 999 x", "INVITE sip:a SIP/2.0"] {
        assert!(!bench.layer.respond(bench.now, id, junk.as_bytes()));
    }
}

#[test]
fn a_cancel_is_its_own_transaction_and_finds_its_invite() {
    let mut bench = Bench::new();
    let data = request("INVITE", "z9hG4bKone");
    let invite = bench.new_request(&data, udp());
    let cancel = request("CANCEL", "z9hG4bKone");
    let Ok(Incoming::Cancel { id, invite: found }) = bench.receive(&cancel, udp()) else {
        panic!();
    };
    assert_eq!(found, Some(invite));
    assert!(bench.answer(id, &cancel, 200));
    bench.sent();
    assert_eq!(bench.receive(&cancel, udp()), Ok(Incoming::Repeated));
    assert_eq!(bench.lines(), ["SIP/2.0 200 Whatever"]);
    assert!(bench.answer(invite, &data, 487));
    let stray = request("CANCEL", "z9hG4bKtwo");
    let result = bench.receive(&stray, udp());
    assert!(matches!(result, Ok(Incoming::Cancel { invite: None, .. })));
}

#[test]
fn requests_match_by_branch_sent_by_and_method() {
    let mut bench = Bench::sized(20, 20);
    let base = "SIP/2.0/UDP Phone.example.net:5062;branch=z9hG4bKone";
    bench.new_request(&request_with("INVITE", base, ""), udp());
    for via in [base, "SIP/2.0/UDP phone.EXAMPLE.net:5062;rport;branch=z9hG4bKone"] {
        let data = request_with("INVITE", via, ";tag=c");
        assert_eq!(bench.receive(&data, udp()), Ok(Incoming::Repeated), "{via}");
    }
    for (method, via) in [
        ("BYE", base),
        ("INVITE", "SIP/2.0/UDP phone.example.net:5063;branch=z9hG4bKone"),
        ("INVITE", "SIP/2.0/UDP phone.example.net;branch=z9hG4bKone"),
        ("INVITE", "SIP/2.0/UDP phonf.example.net:5062;branch=z9hG4bKone"),
        ("INVITE", "SIP/2.0/UDP phone.example.net:5062;branch=z9hG4bKonE"),
    ] {
        bench.new_request(&request_with(method, via, ""), udp());
    }
}

#[test]
fn without_the_cookie_requests_match_as_in_rfc_2543() {
    for via in ["SIP/2.0/UDP 192.0.2.5:5060;branch=1", "SIP/2.0/UDP 192.0.2.5:5060"] {
        let mut bench = Bench::new();
        let data = request_with("INVITE", via, "");
        let id = bench.new_request(&data, udp());
        assert_eq!(bench.receive(&data, udp()), Ok(Incoming::Repeated));
        let cancel = bench.receive(&request_with("CANCEL", via, ""), udp());
        assert!(matches!(cancel, Ok(Incoming::Cancel { invite: Some(found), .. }) if found == id));
        bench.answer(id, &data, 487);
        let ack = request_with("ACK", via, ";tag=b");
        assert_eq!(bench.receive(&ack, udp()), Ok(Incoming::Ack));
        let later = String::from_utf8(data).unwrap().replace("CSeq: 7", "CSeq: 8");
        bench.new_request(later.as_bytes(), udp());
        let ack = String::from_utf8(ack).unwrap().replace("tag=a", "tag=x");
        assert_eq!(bench.receive(ack.as_bytes(), udp()), Ok(Incoming::AckOfSuccess));
    }
}

#[test]
fn responses_go_where_the_via_and_rfc_3581_say() {
    let from = SocketAddr::from(([198, 51, 100, 7], 40_000));
    let sent_by = SocketAddr::from(([198, 51, 100, 7], 5062));
    let default = SocketAddr::from(([198, 51, 100, 7], 5060));
    for (base, parameters, expected) in [
        (udp(), ":5062;rport", from),
        (udp(), ":5062", sent_by),
        (udp(), "", default),
        (tcp(), ":5062", from),
        (peer(), ":5062", from),
    ] {
        let mut bench = Bench::new();
        let via = format!("SIP/2.0/UDP 10.0.0.9{parameters};branch=z9hG4bKone");
        let data = request_with("BYE", &via, "");
        let id = bench.new_request(&data, Flow { to: from, ..base });
        let flow = Flow { to: expected, ..base };
        assert_eq!(bench.layer.server_flow(id), Some(flow));
        assert!(bench.answer(id, &data, 200));
        assert_eq!(bench.sent()[0].0, flow);
    }
}

#[test]
fn a_repeat_on_a_new_connection_is_answered_there() {
    let mut bench = Bench::new();
    let data = request("INVITE", "z9hG4bKone");
    let id = bench.new_request(&data, tcp());
    bench.answer(id, &data, 180);
    bench.sent();
    let again = Flow { via: Via::Stream(ConnId(8)), ..tcp() };
    assert_eq!(bench.receive(&data, again), Ok(Incoming::Repeated));
    assert_eq!(bench.sent()[0].0, again);
    let mut moved = udp();
    moved.to.set_port(1);
    let data = request("INVITE", "z9hG4bKtwo");
    let id = bench.new_request(&data, udp());
    bench.answer(id, &data, 180);
    bench.sent();
    assert_eq!(bench.receive(&data, moved), Ok(Incoming::Repeated));
    assert_eq!(bench.sent()[0].0, udp(), "a datagram's source may be forged");
}

#[test]
fn a_lost_connection_ends_its_invites_and_an_icmp_error_does_not() {
    let mut bench = Bench::new();
    let data: Vec<_> = (0..4).map(|n| request("INVITE", &format!("z9hG4bK{n}"))).collect();
    let on_tcp = bench.new_request(&data[0], tcp());
    let on_peer = bench.new_request(&data[1], peer());
    let on_udp = bench.new_request(&data[2], udp());
    let accepted = bench.new_request(&data[3], tcp());
    let bye = bench.new_request(&request("BYE", "z9hG4bKbye"), tcp());
    bench.answer(accepted, &data[3], 200);
    for flow in [udp(), tcp(), peer()] {
        bench.layer.transport_failed(bench.now, flow);
    }
    let gone: Vec<_> = core::iter::from_fn(|| bench.layer.poll_event()).collect();
    let expected = [on_tcp, on_peer].map(|id| TransactionEvent::ServerGone { id });
    assert_eq!(gone, expected);
    assert!(bench.layer.request(on_udp).is_some() && bench.layer.request(bye).is_none());
    assert_eq!(bench.receive(&data[3], tcp()), Ok(Incoming::Repeated));
}

#[test]
fn a_full_table_refuses_and_a_full_ring_forgets_the_oldest() {
    let mut bench = Bench::sized(2, 2);
    let data: Vec<_> = (0..5).map(|n| request("BYE", &format!("z9hG4bK{n}"))).collect();
    let first = bench.new_request(&data[0], udp());
    let second = bench.new_request(&data[1], udp());
    assert_eq!(bench.receive(&data[2], udp()), Err(Full));
    assert_eq!(bench.receive(&data[0], udp()), Ok(Incoming::Repeated));
    assert_eq!(bench.receive(&request("ACK", "z9hG4bK9"), udp()), Ok(Incoming::AckOfSuccess));
    bench.answer(second, &data[1], 200);
    assert_eq!(bench.layer.live(), (1, 0));
    bench.answer(first, &data[0], 200);
    for data in &data[2..4] {
        let id = bench.new_request(data, udp());
        bench.answer(id, data, 200);
    }
    assert_eq!((bench.layer.counters().full, bench.layer.counters().evicted), (1, 2));
    assert_eq!(bench.receive(&data[2], udp()), Ok(Incoming::Repeated));
    assert!(matches!(bench.receive(&data[0], udp()), Ok(Incoming::New(_))), "forgotten");
    bench.wait(ms(32_000));
    bench.assert_empty();
}

#[test]
fn what_is_urgent_finds_room_in_a_full_table_and_so_does_its_cancel() {
    let mut rng = Rng::new([1; 32]);
    let mut bench = Bench { layer: Transactions::with_reserve(1, 2, 4, &mut rng), ..Bench::new() };
    let receive = |bench: &mut Bench, room, branch: &str| {
        let data = request("INVITE", branch);
        let message = Message::parse(&data).unwrap();
        bench.layer.receive_request_in(room, bench.now, &message, udp()).is_ok()
    };
    assert!(!bench.layer.is_crowded());
    for (room, branch, taken) in [
        (Room::Usual, "z9hG4bK1", true),
        (Room::Usual, "z9hG4bK2", false),
        (Room::Reserved, "z9hG4bK3", true),
        (Room::Reserved, "z9hG4bK4", true),
        (Room::Reserved, "z9hG4bK5", false),
    ] {
        assert_eq!(receive(&mut bench, room, branch), taken, "{branch}");
        assert!(bench.layer.is_crowded());
    }
    let send = |bench: &mut Bench, room, branch: &str| {
        let data = request("INVITE", branch);
        bench.layer.send_request_in(room, bench.now, udp(), &data, 1)
    };
    assert!(send(&mut bench, Room::Usual, "z9hG4bKa").is_ok());
    assert_eq!(send(&mut bench, Room::Usual, "z9hG4bKb"), Err(SendError::Full));
    let urgent = send(&mut bench, Room::Reserved, "z9hG4bKc").unwrap();
    assert_eq!(bench.layer.client_room(urgent), Room::Reserved);
    bench.sent();
    let trying = reply(&request("INVITE", "z9hG4bKc"), 100);
    bench.layer.receive_response(bench.now, &Message::parse(&trying).unwrap(), udp());
    assert!(bench.layer.cancel(bench.now, urgent));
    assert!(bench.lines()[0].starts_with("CANCEL "));
    assert_eq!(bench.layer.live(), (3, 3));
}

#[test]
fn a_response_that_the_outbox_cannot_take_follows_after_the_draining() {
    for (flow, method, status) in
        [(tcp(), "BYE", 200), (udp(), "BYE", 200), (tcp(), "INVITE", 486), (udp(), "INVITE", 180)]
    {
        let mut bench = Bench::new();
        let data = request(method, "z9hG4bKone");
        let id = bench.new_request(&data, flow);
        while bench.layer.send_stateless(udp(), b"\r\n\r\n") {}
        assert!(bench.answer(id, &data, status));
        assert_eq!(bench.lines().len(), limits::SIP_OUTBOX_MESSAGES_MAX);
        bench.wait(Duration::ZERO);
        assert_eq!(bench.lines(), [format!("SIP/2.0 {status} Whatever")]);
        assert_ne!(bench.layer.poll_timeout(), Some(bench.now));
    }
}
