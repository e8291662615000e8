//! Client transactions.

use super::*;

const INVITE_TIMES: [u64; 7] = [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500];
const OTHER_TIMES: [u64; 11] =
    [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500];
const LONG: Duration = Duration::from_secs(1_000);

#[test]
fn silence_is_met_by_timers_a_and_b_or_e_and_f() {
    for (method, flow, expected) in [
        ("INVITE", udp(), &INVITE_TIMES[..]),
        ("INVITE", peer(), &INVITE_TIMES[..]),
        ("MESSAGE", udp(), &OTHER_TIMES[..]),
        ("INVITE", tcp(), &[0]),
        ("MESSAGE", tcp(), &[0]),
    ] {
        let mut bench = Bench::new();
        let start = bench.now;
        let data = request(method, "z9hG4bKone");
        let id = bench.send(&data, flow);
        assert_eq!(bench.sending_times(LONG), expected, "{method}");
        assert_eq!(bench.now.since(start), ms(32_000));
        let invite = method == "INVITE";
        let error = TransactionError::TimedOut;
        let event = TransactionEvent::Failed { id, user: 42, invite, error };
        assert_eq!(bench.layer.poll_event(), Some(event));
        assert_eq!(bench.layer.client_request(id), Some(&data[..]));
        assert_eq!(bench.layer.poll_event(), None);
        bench.assert_empty();
    }
}

#[test]
fn a_provisional_response_quiets_an_invite_and_slows_the_others() {
    let mut bench = Bench::new();
    let data = request("INVITE", "z9hG4bKone");
    let id = bench.send(&data, udp());
    assert!(!bench.layer.had_provisional(id));
    assert_eq!(bench.hear(&reply(&data, 100), udp()), Some((id, 42)));
    assert!(bench.layer.had_provisional(id));
    assert_eq!(bench.layer.poll_timeout(), None);
    assert_eq!(bench.hear(&reply(&data, 180), udp()), Some((id, 42)));

    let mut bench = Bench::new();
    let data = request("REGISTER", "z9hG4bKtwo");
    let id = bench.send(&data, udp());
    assert_eq!(bench.hear(&reply(&data, 100), udp()), Some((id, 42)));
    let expected = [0, 500, 4_500, 8_500, 12_500, 16_500, 20_500, 24_500, 28_500];
    assert_eq!(bench.sending_times(LONG), expected);
    assert!(matches!(bench.layer.poll_event(), Some(TransactionEvent::Failed { .. })));
    bench.assert_empty();
}

#[test]
fn a_refusal_is_acknowledged_each_time_and_reported_once() {
    for (flow, life) in [(udp(), ms(32_000)), (tcp(), Duration::ZERO)] {
        let mut bench = Bench::new();
        let data = request("INVITE", "z9hG4bKone");
        let id = bench.send(&data, flow);
        bench.sent();
        assert_eq!(bench.hear(&reply(&data, 486), flow), Some((id, 42)));
        assert_eq!(bench.layer.client_request(id), Some(&data[..]));
        let sent = bench.sent();
        assert_eq!((sent.len(), sent[0].0), (1, flow));
        let ack = Message::parse(&sent[0].1).unwrap();
        ack.check().unwrap();
        assert_eq!(start_line(ack.raw()), "ACK sip:bob@example.net SIP/2.0");
        assert_eq!(ack.cseq().map(|(number, method)| (number, method.as_str())), Some((7, "ACK")));
        assert_eq!(ack.to().unwrap().tag(), Some("b"));
        assert_eq!(ack.from().unwrap().tag(), Some("a"));
        assert_eq!(ack.header(Name::Route), Some("<sip:192.0.2.1;lr>"));
        assert_eq!(ack.via().unwrap().branch(), Some("z9hG4bKone"));
        assert_eq!(ack.values(Name::Via).count(), 1);
        assert!(ack.body().is_empty());
        let again = usize::from(!life.is_zero());
        assert_eq!(bench.hear(&reply(&data, 486), flow), None);
        assert_eq!(bench.lines().len(), again, "the ACK is sent again");
        assert_eq!(bench.hear(&reply(&data, 200), flow), None);
        assert_eq!(bench.hear(&reply(&data, 180), flow), None);
        assert_eq!(bench.lines().len(), 0);
        bench.wait(life);
        assert_eq!(bench.layer.poll_event(), None);
        bench.assert_empty();
    }
}

#[test]
fn every_2xx_of_an_invite_is_passed_on_until_timer_m() {
    for flow in [udp(), tcp()] {
        let mut bench = Bench::new();
        let data = request("INVITE", "z9hG4bKone");
        let id = bench.send(&data, flow);
        bench.sent();
        for _ in 0..3 {
            assert_eq!(bench.hear(&reply(&data, 200), flow), Some((id, 42)));
            assert_eq!(bench.layer.client_request(id), Some(&data[..]));
            assert_eq!(bench.hear(&reply(&data, 486), flow), None);
            bench.wait(ms(10_000));
        }
        assert!(bench.lines().is_empty(), "the user makes the ACK");
        bench.wait(ms(2_000));
        assert_eq!(bench.hear(&reply(&data, 200), flow), None);
        assert_eq!(bench.layer.counters().strays, 1);
        bench.assert_empty();
    }
}

#[test]
fn another_final_response_is_reported_once_and_waits_for_timer_k() {
    for (flow, life) in [(udp(), ms(5_000)), (tcp(), Duration::ZERO)] {
        let mut bench = Bench::new();
        let data = request("BYE", "z9hG4bKone");
        let id = bench.send(&data, flow);
        assert_eq!(bench.hear(&reply(&data, 401), flow), Some((id, 42)));
        assert_eq!(bench.layer.client_request(id), Some(&data[..]));
        assert_eq!(bench.hear(&reply(&data, 200), flow), None);
        assert_eq!(bench.layer.live(), (0, 0));
        assert_eq!(bench.sending_times(LONG), [0]);
        bench.wait(life);
        bench.assert_empty();
    }
}

#[test]
fn a_cancel_waits_for_a_provisional_response() {
    let mut bench = Bench::new();
    let data = request("INVITE", "z9hG4bKone");
    let id = bench.send(&data, udp());
    bench.sent();
    assert!(bench.layer.cancel(bench.now, id));
    bench.wait(ms(3_000));
    assert!(bench.lines().is_empty(), "neither CANCEL nor INVITE again");
    assert_eq!(bench.hear(&reply(&data, 100), udp()), Some((id, 42)));
    assert!(bench.layer.cancel(bench.now, id));
    let sent = bench.sent();
    assert_eq!(sent.len(), 1);
    let cancel = Message::parse(&sent[0].1).unwrap();
    cancel.check().unwrap();
    assert_eq!(start_line(cancel.raw()), "CANCEL sip:bob@example.net SIP/2.0");
    assert_eq!(cancel.via().unwrap().branch(), Some("z9hG4bKone"));
    assert_eq!((cancel.values(Name::Via).count(), cancel.cseq().unwrap().0), (1, 7));
    assert_eq!(cancel.to().unwrap().tag(), None);
    assert_eq!(bench.hear(&reply(&sent[0].1, 200), udp()), None);
    assert_eq!(bench.layer.counters().strays, 0);
    assert_eq!(bench.hear(&reply(&data, 487), udp()), Some((id, 42)));
    assert_eq!(bench.lines(), ["ACK sip:bob@example.net SIP/2.0"]);
    assert!(!bench.layer.cancel(bench.now, id));
    bench.wait(ms(32_000));
    bench.assert_empty();
    assert_eq!(bench.layer.poll_event(), None);
}

#[test]
fn a_cancelled_invite_without_final_response_ends_after_64_t1() {
    for answered in [false, true] {
        let mut bench = Bench::new();
        let data = request("INVITE", "z9hG4bKone");
        let id = bench.send(&data, udp());
        bench.hear(&reply(&data, 180), udp());
        bench.wait(ms(100_000));
        bench.sent();
        let start = bench.now;
        assert!(bench.layer.cancel(bench.now, id));
        if answered {
            bench.hear(&reply(&request("CANCEL", "z9hG4bKone"), 200), udp());
            bench.hear(&reply(&data, 180), udp());
            assert_eq!(bench.sending_times(LONG), [0]);
        } else {
            assert_eq!(bench.sending_times(LONG), OTHER_TIMES);
        }
        assert_eq!(bench.now.since(start), ms(32_000));
        let error = TransactionError::TimedOut;
        let event = TransactionEvent::Failed { id, user: 42, invite: true, error };
        assert_eq!(bench.layer.poll_event(), Some(event));
        assert_eq!(bench.layer.poll_event(), None);
        bench.assert_empty();
    }
    let mut bench = Bench::new();
    let id = bench.send(&request("BYE", "z9hG4bKtwo"), udp());
    assert!(!bench.layer.cancel(bench.now, id), "only an INVITE is cancelled");
}

#[test]
fn a_request_that_is_sent_no_more_still_hears_and_still_ends() {
    let mut bench = Bench::new();
    let data = request("INVITE", "z9hG4bKone");
    let id = bench.send(&data, udp());
    bench.wait(ms(500));
    assert_eq!(bench.lines().len(), 2);
    bench.layer.stop_retransmitting(id);
    bench.wait(ms(31_000));
    assert!(bench.lines().is_empty());
    let mut late = Bench::new();
    let other = late.send(&data, udp());
    late.layer.stop_retransmitting(other);
    late.wait(ms(31_000));
    assert_eq!(late.hear(&reply(&data, 200), udp()), Some((other, 42)));
    bench.wait(ms(500));
    assert!(matches!(bench.layer.poll_event(), Some(TransactionEvent::Failed { .. })));
    bench.assert_empty();
}

#[test]
fn forgotten_means_no_event_and_no_response() {
    let mut bench = Bench::new();
    let data = request("MESSAGE", "z9hG4bKone");
    let id = bench.send(&data, udp());
    bench.layer.forget(id);
    bench.layer.forget(id);
    assert_eq!(bench.hear(&reply(&data, 200), udp()), None);
    bench.assert_empty();
    assert_eq!(bench.layer.client_request(id), None);
}

#[test]
fn a_transport_error_ends_what_lives_on_that_flow_only() {
    let elsewhere = Flow { to: SocketAddr::from(([192, 0, 2, 9], 5060)), ..udp() };
    let mut bench = Bench::new();
    let data: Vec<_> =
        (0..6).map(|n| request(["INVITE", "BYE"][n % 2], &format!("z9hG4bK{n}"))).collect();
    let flows = [udp(), udp(), elsewhere, tcp(), peer(), udp()];
    let ids: Vec<_> = (0..6).map(|n| bench.send(&data[n], flows[n])).collect();
    bench.hear(&reply(&data[0], 180), udp());
    bench.hear(&reply(&data[5], 200), udp());
    bench.layer.transport_failed(bench.now, udp());
    let mut failed = Vec::new();
    while let Some(event) = bench.layer.poll_event() {
        let TransactionEvent::Failed { id, error: TransactionError::Transport, .. } = event else {
            panic!("{event:?}");
        };
        failed.push(ids.iter().position(|other| *other == id).unwrap());
        assert_eq!(bench.layer.client_request(id), Some(&data[*failed.last().unwrap()][..]));
    }
    assert_eq!(failed, [0, 1]);
    assert_eq!(bench.layer.live().1, 4, "the INVITE stays for what comes of it");
    bench.layer.transport_failed(bench.now, Flow { to: elsewhere.to, ..tcp() });
    bench.layer.transport_failed(bench.now, Flow { to: elsewhere.to, ..peer() });
    let count = core::iter::from_fn(|| bench.layer.poll_event()).count();
    assert_eq!((count, bench.layer.live().1), (2, 2));
    assert_eq!(bench.layer.counters().transport_errors, 4);
}

#[test]
fn an_invite_that_the_network_refused_is_heard_cancelled_and_acknowledged_all_the_same() {
    let mut bench = Bench::new();
    let rings = request("INVITE", "z9hG4bKrings");
    let answers = request("INVITE", "z9hG4bKanswers");
    let (ringing, answering) = (bench.send(&rings, udp()), bench.send(&answers, udp()));
    for _ in 0..2 {
        bench.layer.transport_failed(bench.now, udp());
    }
    assert_eq!(core::iter::from_fn(|| bench.layer.poll_event()).count(), 2, "told once each");
    bench.sent();
    bench.wait(ms(20_000));
    assert!(bench.sent().is_empty(), "sent no more");
    assert_eq!(bench.hear(&reply(&rings, 180), udp()), Some((ringing, 42)));
    assert!(bench.layer.cancel(bench.now, ringing));
    assert_eq!(bench.sent().len(), 1, "the CANCEL");
    assert_eq!(bench.hear(&reply(&answers, 200), udp()), Some((answering, 42)));
    assert_eq!(bench.layer.client_request(answering), Some(&answers[..]));
    bench.wait(ms(100_000));
    let Some(TransactionEvent::Failed { id, error, .. }) = bench.layer.poll_event() else {
        panic!("the one that rang after all has failed since");
    };
    assert_eq!((id, error), (ringing, TransactionError::TimedOut));
    assert!(bench.layer.poll_event().is_none(), "the other one was answered");
    bench.assert_empty();
}

#[test]
fn a_cancel_that_the_network_refuses_is_sent_until_the_far_end_is_back() {
    let mut bench = Bench::new();
    let invite = request("INVITE", "z9hG4bKone");
    let id = bench.send(&invite, udp());
    bench.hear(&reply(&invite, 100), udp());
    bench.layer.transport_failed(bench.now, udp());
    assert!(bench.layer.poll_event().is_some(), "the INVITE failed");
    bench.wait(ms(20_000));
    bench.sent();
    assert!(bench.layer.cancel(bench.now, id));
    let mut refused = 0;
    for _ in 0..10 {
        bench.wait(ms(1_000));
        let sent = bench.sent();
        assert!(sent.iter().all(|(_, data)| data.starts_with(b"CANCEL ")));
        refused += sent.len();
        bench.layer.transport_failed(bench.now, udp());
    }
    assert!((3..8).contains(&refused), "{refused} in 10 s");
    assert_eq!(bench.hear(&reply(&invite, 487), udp()), Some((id, 42)));
    bench.wait(ms(100_000));
    assert!(bench.layer.poll_event().is_none(), "nobody asked for the CANCEL's end");
    bench.assert_empty();
}

#[test]
fn an_invite_that_is_worked_on_after_an_error_may_ring_for_long_and_fail_anew() {
    let mut bench = Bench::new();
    let invite = request("INVITE", "z9hG4bKone");
    bench.send(&invite, udp());
    bench.hear(&reply(&invite, 100), udp());
    for error in 0..2 {
        bench.layer.transport_failed(bench.now, udp());
        assert!(bench.layer.poll_event().is_some(), "{error}");
        assert!(bench.hear(&reply(&invite, 180), udp()).is_some());
        bench.wait(ms(100_000));
    }
    assert!(bench.hear(&reply(&invite, 200), udp()).is_some(), "it is still known");
}

#[test]
fn responses_match_by_branch_and_method_and_never_from_another_kind_of_path() {
    let mut bench = Bench::new();
    let data = request("INVITE", "z9hG4bKone");
    let id = bench.send(&data, udp());
    for (other, flow) in [
        (request("BYE", "z9hG4bKone"), udp()),
        (request("INVITE", "z9hG4bKonf"), udp()),
        (data.clone(), peer()),
        (data.clone(), tcp()),
    ] {
        assert_eq!(bench.hear(&reply(&other, 200), flow), None);
    }
    assert_eq!(bench.layer.counters().strays, 4);
    let mut elsewhere = udp();
    elsewhere.to.set_port(9);
    assert_eq!(bench.hear(&reply(&data, 200), elsewhere), Some((id, 42)));
}

#[test]
fn what_cannot_be_a_transaction_is_refused() {
    let mut bench = Bench::sized(1, 1);
    let no_branch = request_with("BYE", "SIP/2.0/UDP 192.0.2.1", "");
    let long = [request("BYE", "z9hG4bKone"), vec![b'x'; 20_000]].concat();
    let invite = request("INVITE", "z9hG4bKone");
    let bad = [request("ACK", "z9hG4bKone"), no_branch, long, b"x".to_vec(), reply(&invite, 200)];
    for data in bad {
        let result = bench.layer.send_request(bench.now, udp(), &data, 1);
        assert_eq!(result, Err(SendError::Malformed));
    }
    bench.assert_empty();
    let id = bench.send(&request("BYE", "z9hG4bKone"), udp());
    let result = bench.layer.send_request(bench.now, udp(), &request("BYE", "z9hG4bKtwo"), 1);
    assert_eq!((result, bench.layer.counters().full), (Err(SendError::Full), 1));
    bench.layer.forget(id);
    bench.send(&request("BYE", "z9hG4bKtwo"), udp());
}

#[test]
fn what_the_outbox_cannot_take_follows_after_the_draining() {
    let mut bench = Bench::sized(1_000, 1_000);
    let count = limits::SIP_OUTBOX_MESSAGES_MAX + 50;
    for flow in [udp(), tcp()] {
        for n in 0..count {
            bench.send(&request("BYE", &format!("z9hG4bK{n}{}", flow.is_reliable())), flow);
        }
        assert_eq!(bench.lines().len(), limits::SIP_OUTBOX_MESSAGES_MAX);
        assert_eq!(bench.layer.poll_timeout(), Some(bench.now));
        bench.wait(Duration::ZERO);
        assert_eq!(bench.lines().len(), 50);
        while let Some(client) = bench.layer.clients.pop_due(bench.now + LIFE) {
            bench.layer.forget(ClientId(client));
        }
    }
    bench.assert_empty();
}
