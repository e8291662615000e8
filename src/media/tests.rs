//! Calls through the relay, in virtual time, with sockets that only exist here.

use super::*;
use crate::limits::TRANSMIT_BYTES_MAX;
use crate::media::sdp::Description;
use std::collections::{BTreeMap, BTreeSet};

mod addresses;
mod parsers;

const SDP: &str = "application/sdp";

/// A relay and the sockets that it has bound.
struct Bench {
    media: Media,
    now: Instant,
    sockets: BTreeMap<SocketAddr, SocketId>,
    /// Ports that someone else holds.
    taken: BTreeSet<u16>,
    bound_count: u32,
    refused_count: u32,
}

impl Bench {
    fn new(config: &MediaConfig, lan: &[&str], wan: &[&str], public: Option<&str>) -> Self {
        let ips = |texts: &[&str]| texts.iter().map(|t| ip(t)).collect::<Vec<_>>();
        let mut bench = Self {
            media: Media::new(config, 16, &mut Rng::new([5; 32])),
            now: Instant::from_micros(1),
            sockets: BTreeMap::new(),
            taken: BTreeSet::new(),
            bound_count: 0,
            refused_count: 0,
        };
        bench.media.set_addresses(&ips(lan), &ips(wan), public.map(ip));
        bench.serve();
        bench
    }

    fn usual() -> Self {
        Self::new(&MediaConfig::default(), &["192.168.1.1"], &["198.51.100.1"], None)
    }

    /// Answers all requests, as a driver does.
    fn serve(&mut self) {
        while let Some((ticket, request)) = self.media.poll_request() {
            let answer = match request {
                Request::Bind { kind, local } => {
                    assert_eq!(kind, crate::net::SocketKind::Media);
                    if self.taken.contains(&local.port()) {
                        self.refused_count += 1;
                        Err(Failure::Address)
                    } else {
                        self.bound_count += 1;
                        let id = SocketId(self.bound_count);
                        assert_eq!(self.sockets.insert(local, id), None, "{local} bound twice");
                        Ok(Answer::Bound(id, local))
                    }
                }
                Request::CloseSocket(id) => {
                    self.sockets.retain(|_, other| *other != id);
                    Ok(Answer::Done)
                }
                other => panic!("{other:?}"),
            };
            self.media.handle_answer(self.now, ticket, answer);
        }
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        while self.media.poll_timeout().is_some_and(|at| at <= self.now) {
            self.media.handle_timeout(self.now);
            self.serve();
        }
    }

    /// Passes a body on and returns what the other side sees.
    fn pass(
        &mut self,
        session: SessionId,
        (from, to): (Side, Side),
        source: &str,
        body: &str,
    ) -> Result<String, SdpError> {
        let mut out = b"rest of the last message".to_vec();
        let result = self.media.rewrite(
            self.now,
            session,
            from,
            to,
            ip(source),
            SDP,
            body.as_bytes(),
            &mut out,
        );
        self.serve();
        result.map(|()| String::from_utf8(out).unwrap())
    }

    /// A datagram arrives at a local address; what leaves: from where, to where, with which mark.
    fn datagram(&mut self, from: &str, to: SocketAddr, tos: u8, data: &[u8]) -> Option<Left> {
        let socket = *self.sockets.get(&to).unwrap_or_else(|| panic!("{to} is not bound"));
        let result = self.media.handle_datagram(self.now, socket, addr(from), tos, data);
        let mut buf = [0; TRANSMIT_BYTES_MAX];
        let left = self.media.poll_transmit(&mut buf);
        assert!(self.media.poll_transmit(&mut buf).is_none(), "one packet makes at most one");
        let left = left?;
        assert_eq!(result, Ok(()));
        assert_eq!(&buf[..left.len], data, "the payload stays as it is");
        let Via::Udp(id) = left.via else { panic!("{left:?}") };
        let (local, _) = self.sockets.iter().find(|(_, other)| **other == id).unwrap();
        Some((*local, left.to, left.tos))
    }

    /// An unmarked RTP packet; where it leaves from and to.
    fn rtp(&mut self, from: &str, to: SocketAddr) -> Option<(SocketAddr, SocketAddr)> {
        let packet = [0x80, 0, 0, 1, 0, 0, 0, 160, 1, 2, 3, 4, 0xff, 0xff];
        self.datagram(from, to, 0, &packet).map(|(local, to, _)| (local, to))
    }
}

type Left = (SocketAddr, SocketAddr, u8);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const OUT: (Side, Side) = (Side::Phone, Side::Far(0));
const IN: (Side, Side) = (Side::Far(0), Side::Phone);

/// A description with one audio line; `more` goes after it.
fn offer(address: &str, port: u16, more: &str) -> String {
    let family = if address.contains(':') { 6 } else { 4 };
    format!(
        "v=0\r\no=- 1 1 IN IP{family} {address}\r\ns=-\r\nc=IN IP{family} {address}\r\nt=0 0\r\n\
         m=audio {port} RTP/AVP 0\r\n{more}"
    )
}

/// Where a description wants RTP for its first line, or another.
fn wanted(body: &str, line: usize) -> SocketAddr {
    let description = Description::read(body.as_bytes(), ip("0.0.0.0"));
    description.lines[line].unwrap().rtp.unwrap()
}

fn plus(address: SocketAddr, offset: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port() + offset)
}

const PHONE: &str = "192.168.1.20";
const SERVER: &str = "203.0.113.10";

/// A call with audio both ways: session, the port that the far side sends to, and the phone's.
fn call(bench: &mut Bench) -> (SessionId, SocketAddr, SocketAddr) {
    let session = bench.media.open(bench.now).unwrap();
    call_as(bench, session)
}

/// A call that may take the last ports.
fn urgent_call(bench: &mut Bench) -> (SessionId, SocketAddr, SocketAddr) {
    let session = bench.media.open_urgent(bench.now).unwrap();
    call_as(bench, session)
}

/// A call in a session that is open.
fn call_as(bench: &mut Bench, session: SessionId) -> (SessionId, SocketAddr, SocketAddr) {
    let sent = bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
    let answer = bench.pass(session, IN, SERVER, &offer(SERVER, 6000, "")).unwrap();
    (session, wanted(&sent, 0), wanted(&answer, 0))
}

#[test]
fn a_call_flows_both_ways_rtp_and_rtcp_with_its_marks() {
    let mut bench = Bench::usual();
    let (session, far, near) = call(&mut bench);
    assert_eq!((far.ip(), near.ip()), (ip("198.51.100.1"), ip("192.168.1.1")));
    let (phone, server) = (addr("192.168.1.20:5004"), addr("203.0.113.10:6000"));
    // (from, to, type of service) -> (from, to, type of service)
    let table = [
        (phone, near, 0, far, server, 0xb8),
        (server, far, 0x68, near, phone, 0x68),
        (server, far, 0x01, near, phone, 0xb9),
        (plus(phone, 1), plus(near, 1), 0x20, plus(far, 1), plus(server, 1), 0x20),
        (plus(server, 1), plus(far, 1), 0, plus(near, 1), plus(phone, 1), 0xb8),
    ];
    for (from, to, tos, left, target, mark) in table {
        let result = bench.datagram(&from.to_string(), to, tos, b"\x80some packet");
        assert_eq!(result, Some((left, target, mark)), "{from} -> {to}");
    }
    let stats = bench.media.stats(session).unwrap();
    assert_eq!((stats.to_far.packets, stats.to_phone.packets), (2, 3));
    assert_eq!(stats.to_far.bytes, 24);
    assert_eq!(bench.media.counters().relayed, 5);
}

#[test]
fn who_the_phone_is_stays_here_and_who_the_far_side_is_comes_in() {
    let mut bench = Bench::usual();
    let (_, far, near) = call(&mut bench);
    let names = b"\x80\xc9\0\x01abcd\x81\xca\0\x07abcd\x01\x11alice@example.net\0\0\0\0\0";
    let left = |bench: &mut Bench, from: &str, to| {
        let (from, socket) = (addr(from), bench.sockets[&plus(to, 1)]);
        let mut buf = [0; 100];
        bench.media.handle_datagram(bench.now, socket, plus(from, 1), 0, names).unwrap();
        let len = bench.media.poll_transmit(&mut buf).unwrap().len;
        buf[..len].to_vec()
    };
    let out = left(&mut bench, "192.168.1.20:5004", near);
    assert_eq!((out.len(), &out[..18]), (names.len(), &names[..18]));
    assert!(!String::from_utf8_lossy(&out).contains("alice"));
    assert_eq!(left(&mut bench, "203.0.113.10:6000", far), names);
}

#[test]
fn strangers_neither_speak_nor_hear() {
    let mut bench = Bench::usual();
    let (session, far, near) = call(&mut bench);
    // Before the first packet of the far side: only its network and its signalling source count.
    assert_eq!(bench.rtp("192.0.2.66:6000", far), None);
    assert_eq!(bench.rtp("192.168.1.20:5004", near).unwrap().1, addr("203.0.113.10:6000"));
    assert!(bench.rtp("203.0.113.10:6000", far).is_some());
    // After it: nobody else, neither from the same network nor the same host.
    for stranger in ["192.0.2.66:6000", "203.0.113.11:6000", "203.0.113.10:6002"] {
        for _ in 0..100 {
            assert_eq!(bench.rtp(stranger, far), None, "{stranger}");
        }
    }
    assert_eq!(bench.rtp("192.168.1.66:5004", near), None, "nor on the LAN");
    let to_far = bench.rtp("192.168.1.20:5004", near).unwrap().1;
    assert_eq!(to_far, addr("203.0.113.10:6000"), "and no stranger's packet moved the stream");
    assert_eq!(bench.media.counters().foreign, 302);
    assert_eq!(bench.media.stats(session).unwrap().foreign, 302);
}

#[test]
fn new_sdp_opens_the_window_and_a_repetition_does_not() {
    let mut bench = Bench::usual();
    let (session, far, _) = call(&mut bench);
    assert!(bench.rtp("203.0.113.10:6000", far).is_some());
    bench.pass(session, IN, SERVER, &offer(SERVER, 6000, "")).unwrap();
    assert_eq!(bench.rtp("203.0.113.11:6000", far), None);
    let next = offer(SERVER, 6000, "").replace("o=- 1 1", "o=- 1 2");
    bench.pass(session, IN, SERVER, &next).unwrap();
    assert!(bench.rtp("203.0.113.11:6000", far).is_some());
    assert_eq!(bench.rtp("203.0.113.10:6000", far), None);
}

#[test]
fn a_far_side_behind_nat_is_answered_at_its_source() {
    let mut bench = Bench::usual();
    let session = bench.media.open(bench.now).unwrap();
    bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
    let far = bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
    let near = bench.pass(session, IN, "203.0.113.77", &offer("10.1.1.1", 6000, "")).unwrap();
    let (far, near) = (wanted(&far, 0), wanted(&near, 0));
    assert_eq!(bench.rtp("192.168.1.20:5004", near).unwrap().1, addr("10.1.1.1:6000"));
    assert!(bench.rtp("203.0.113.77:50123", far).is_some());
    assert_eq!(bench.rtp("192.168.1.20:5004", near).unwrap().1, addr("203.0.113.77:50123"));
    // RFC 6263: an empty packet opens the way, but is nothing to relay.
    assert_eq!(bench.datagram("203.0.113.77:50124", plus(far, 1), 0, b""), None);
    let report = bench.datagram("192.168.1.20:5005", plus(near, 1), 0, b"\x80\xc8").unwrap();
    assert_eq!(report.1, addr("203.0.113.77:50124"));
}

#[test]
fn the_same_line_of_the_same_leg_always_gets_the_same_ports() {
    let mut bench = Bench::usual();
    let session = bench.media.open(bench.now).unwrap();
    let body = offer(PHONE, 5004, "m=video 5006 RTP/AVP 31\r\n");
    let first = bench.pass(session, OUT, PHONE, &body).unwrap();
    assert_eq!(bench.pass(session, OUT, PHONE, &body).unwrap(), first);
    let moved = bench.pass(session, OUT, PHONE, &body.replace("5004", "5008")).unwrap();
    assert_eq!(moved, first, "only the phone's own port has changed");
    // By index: the answer swaps its lines, and each still belongs to its place.
    let answer =
        "v=0\r\nc=IN IP4 203.0.113.10\r\nm=video 7000 RTP/AVP 31\r\nm=audio 7002 RTP/AVP 0\r\n";
    let near = bench.pass(session, IN, SERVER, answer).unwrap();
    let left = bench.rtp("203.0.113.10:7000", wanted(&first, 0)).unwrap();
    assert_eq!(left, (wanted(&near, 0), addr("192.168.1.20:5008")));
    let left = bench.rtp("203.0.113.10:7002", wanted(&first, 1)).unwrap();
    assert_eq!(left, (wanted(&near, 1), addr("192.168.1.20:5006")));
}

#[test]
fn legs_share_the_phones_ports_and_only_the_carried_one_is_heard() {
    let mut bench = Bench::usual();
    let session = bench.media.open(bench.now).unwrap();
    let body = offer(PHONE, 5004, "");
    let far0 = wanted(&bench.pass(session, OUT, PHONE, &body).unwrap(), 0);
    let leg1 = (Side::Phone, Side::Far(1));
    let far1 = wanted(&bench.pass(session, leg1, PHONE, &body).unwrap(), 0);
    assert_ne!(far0, far1);
    let near0 = wanted(&bench.pass(session, IN, SERVER, &offer(SERVER, 6000, "")).unwrap(), 0);
    let back1 = (Side::Far(1), Side::Phone);
    let peer = offer("192.0.2.7", 7000, "");
    let near1 = wanted(&bench.pass(session, back1, "192.0.2.7", &peer).unwrap(), 0);
    assert_eq!(near0, near1, "the phone notices nothing");

    assert!(bench.rtp("203.0.113.10:6000", far0).is_some());
    assert_eq!(bench.rtp("192.0.2.7:7000", far1), None);
    assert_eq!(bench.media.counters().unheard, 1);
    bench.media.carry(session, 1);
    assert_eq!(bench.rtp("203.0.113.10:6000", far0), None);
    assert_eq!(bench.rtp("192.0.2.7:7000", far1).unwrap(), (near0, addr("192.168.1.20:5004")));
    assert_eq!(bench.rtp("192.168.1.20:5004", near0).unwrap(), (far1, addr("192.0.2.7:7000")));

    bench.media.drop_leg(bench.now, session, 0);
    bench.serve();
    assert_eq!(bench.rtp("203.0.113.10:6000", far0), None, "its ports are nobody's");
    bench.wait(10_000);
    assert!(!bench.sockets.contains_key(&far0), "and free when nobody wanted them");
    assert!(bench.rtp("192.0.2.7:7000", far1).is_some());
    bench.media.drop_leg(bench.now, session, 1);
    bench.serve();
    assert_eq!(bench.rtp("192.168.1.20:5004", near0), None);
    assert_eq!(bench.media.drop_leg(bench.now, session, 200), ());
    let nowhere = bench.pass(session, (Side::Phone, Side::Far(4)), PHONE, &body);
    assert_eq!(nowhere, Err(SdpError::NoSession));
}

#[test]
fn a_re_invite_moves_the_far_side_to_another_address() {
    let mut bench = Bench::usual();
    let (session, far, near) = call(&mut bench);
    assert!(bench.rtp("203.0.113.10:6000", far).is_some());
    bench.wait(10_000);
    bench.pass(session, IN, SERVER, &offer("192.0.2.30", 9000, "")).unwrap();
    assert_eq!(bench.rtp("192.168.1.20:5004", near).unwrap().1, addr("192.0.2.30:9000"));
    assert!(bench.rtp("203.0.113.10:6000", far).is_some(), "what trails is not lost");
    assert!(bench.rtp("192.0.2.30:9000", far).is_some());
    assert_eq!(bench.rtp("203.0.113.10:6000", far), None);
}

#[test]
fn hold_and_silence_by_agreement_are_never_dead() {
    let inactive = "a=inactive\r\n";
    let holds = [
        (inactive, inactive),
        ("a=sendonly\r\n", inactive),
        ("a=sendonly\r\n", "a=recvonly\r\n"),
        ("c=IN IP4 0.0.0.0\r\n", "c=IN IP4 0.0.0.0\r\n"),
    ];
    for (hold, answer) in holds {
        let mut bench = Bench::usual();
        let (session, _, near) = call(&mut bench);
        bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, hold)).unwrap();
        bench.pass(session, IN, SERVER, &offer(SERVER, 6000, answer)).unwrap();
        bench.wait(3_600_000);
        assert_eq!(bench.media.poll_event(), None, "{hold}");
        assert_eq!(bench.media.poll_timeout(), None);
        // Off hold: what the far side sent before is still where it sends.
        bench.pass(session, OUT, PHONE, &offer(PHONE, 5004, "")).unwrap();
        bench.pass(session, IN, SERVER, &offer(SERVER, 6000, "")).unwrap();
        assert!(bench.rtp("192.168.1.20:5004", near).is_some());
        bench.wait(301_000);
        assert_eq!(bench.media.poll_event(), Some(MediaEvent::Dead { session }), "{hold}");
    }
}

#[test]
fn nothing_is_sent_to_a_side_on_hold() {
    let mut bench = Bench::usual();
    let (session, far, _) = call(&mut bench);
    let hold = offer("0.0.0.0", 5004, "");
    let passed = bench.pass(session, OUT, PHONE, &hold).unwrap();
    assert!(passed.contains("c=IN IP4 0.0.0.0\r\n"), "the far side must see the hold");
    assert!(passed.contains("o=- 1 1 IN IP4 198.51.100.1\r\n"));
    assert_eq!(bench.rtp("203.0.113.10:6000", far), None);
    assert_eq!(bench.media.counters().unwanted, 1);
}

#[test]
fn resuming_at_the_same_address_still_knows_the_source_behind_nat() {
    let mut bench = Bench::usual();
    let (session, far, near) = call(&mut bench);
    let hidden = |version: u8, address: &str| {
        let body = offer(SERVER, 6000, "").replace("o=- 1 1", &format!("o=- 1 {version}"));
        body.replace(&format!("c=IN IP4 {SERVER}"), &format!("c=IN IP4 {address}"))
    };
    bench.pass(session, IN, SERVER, &hidden(2, "10.1.1.1")).unwrap();
    assert!(bench.rtp("203.0.113.10:50123", far).is_some());
    bench.pass(session, IN, SERVER, &hidden(3, "0.0.0.0")).unwrap();
    assert_eq!(bench.rtp("192.168.1.20:5004", near), None);
    bench.pass(session, IN, SERVER, &hidden(4, "10.1.1.1")).unwrap();
    let left = bench.rtp("192.168.1.20:5004", near).unwrap();
    assert_eq!(left.1, addr("203.0.113.10:50123"));
}

#[test]
fn a_direction_that_should_flow_and_does_not_is_dead() {
    let mut bench = Bench::usual();
    let (session, far, near) = call(&mut bench);
    let dead = Some(MediaEvent::Dead { session });
    for _ in 0..100 {
        bench.wait(10_000);
        assert!(bench.rtp("192.168.1.20:5004", near).is_some());
        assert!(bench.datagram("203.0.113.10:6001", plus(far, 1), 0, b"\x80\xc8").is_some());
        assert_eq!(bench.media.poll_event(), None, "RTCP is a sign of life");
    }
    // The far side falls silent; a repeated SDP does not help it.
    for step in 1..30 {
        bench.wait(10_000);
        assert!(bench.rtp("192.168.1.20:5004", near).is_some());
        bench.pass(session, IN, SERVER, &offer(SERVER, 6000, "")).unwrap();
        assert_eq!(bench.media.poll_event(), None, "{step}");
    }
    bench.wait(10_000);
    assert_eq!(bench.media.poll_event(), dead);
    assert_eq!(bench.media.poll_event(), None);
    bench.wait(300_000);
    assert_eq!(bench.media.poll_event(), dead, "told again");
    bench.wait(300_000);
    bench.media.close(bench.now, session);
    assert_eq!(bench.media.poll_event(), None);
    bench.wait(10_000);
    assert_eq!((bench.media.poll_event(), bench.media.poll_timeout()), (None, None));
}

#[test]
fn ports_run_out_and_the_longest_freed_comes_back_first() {
    let config = MediaConfig { port_min: 40_001, port_max: 40_020, ..MediaConfig::default() };
    let mut bench = Bench::new(&config, &["192.168.1.1"], &["198.51.100.1"], None);
    let pairs = 9; // 40002/40003 to 40018/40019; 40020 has no neighbour.
    let mut calls = Vec::new();
    for _ in 0..pairs {
        calls.push(urgent_call(&mut bench));
    }
    let ports: BTreeSet<u16> = calls.iter().map(|(_, far, _)| far.port()).collect();
    assert_eq!(ports, (40_002..40_020).step_by(2).collect());
    let session = bench.media.open(bench.now).unwrap();
    let body = offer(PHONE, 5004, "");
    assert_eq!(bench.pass(session, OUT, PHONE, &body), Err(SdpError::NoPort));
    for index in [5, 2, 7] {
        bench.media.close(bench.now, calls[index].0);
        bench.serve();
    }
    for index in [5, 2, 7] {
        let (_, far, _) = urgent_call(&mut bench);
        assert_eq!(far.port(), calls[index].1.port());
    }
    assert_eq!(bench.pass(session, OUT, PHONE, &body), Err(SdpError::NoPort));
}

#[test]
fn sessions_run_out_at_max_calls() {
    let mut bench = Bench::usual();
    let sessions: Vec<_> = (0..16).map(|_| bench.media.open(bench.now).unwrap()).collect();
    assert_eq!(bench.media.open(bench.now), Err(MediaFull));
    bench.media.close(bench.now, sessions[3]);
    let body = offer(PHONE, 5004, "");
    assert_eq!(bench.pass(sessions[3], OUT, PHONE, &body), Err(SdpError::NoSession));
    assert!(bench.media.open(bench.now).is_ok());
    assert!(bench.media.stats(sessions[3]).is_none());
}

#[test]
fn ports_that_someone_else_holds_are_skipped_and_a_lost_address_is_not_hammered() {
    let mut bench = Bench::usual();
    bench.media.set_addresses(&[], &[], None);
    bench.serve();
    assert!(bench.sockets.is_empty(), "addresses that are gone have no sockets");
    bench.taken = (30_000..30_150).collect();
    bench.media.set_addresses(&[ip("192.168.1.1")], &[ip("198.51.100.1")], None);
    bench.serve();
    while bench.sockets.len() < 4 * ports::READY_PAIRS {
        let at = bench.media.poll_timeout().unwrap();
        bench.wait(at.since(bench.now).as_millis() as u64 + 1);
    }
    assert!(bench.sockets.keys().all(|local| local.port() >= 30_150));
    let (session, _, _) = call(&mut bench);
    bench.media.close(bench.now, session);

    let mut bench = Bench::usual();
    bench.taken = (30_000..30_200).collect();
    bench.media.set_addresses(&[], &[ip("198.51.100.2")], None);
    bench.serve();
    let before = bench.refused_count;
    bench.wait(60_000);
    assert!(before > 0 && before < 100, "{before}");
    assert!(bench.refused_count < 100 + 12 * 60, "{}", bench.refused_count);
    bench.taken.clear();
    bench.wait(6_000);
    assert_eq!(bench.sockets.len(), 2 * ports::READY_PAIRS);
}
