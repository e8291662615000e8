//! Challenges as the SIP server sees them, and what the desk hears of its answers.

use super::*;
use crate::config::{self, Config};
use crate::identity::{Identity, NetworkKeys};
use crate::net::{Answer, Core, Event, Failure, Input, Network, Request};
use crate::time::Duration;
use std::net::SocketAddr;

const SETTINGS: &str = "\
config adapter 'adapter'
	option enabled '1'
	list wan '203.0.113.9'
	option wan_sip_port '5080'
config provider 'example'
	option domain 'example.net'
	option server 'sip:192.0.2.1:5060'
	list fallback_server 'sip:192.0.2.2:5060'
config account 'own'
	option aor 'sip:cosip@example.net'
	option user 'cosip'
	option password 'open sesame'
";
const SERVER: &str = "192.0.2.1:5060";
const FALLBACK: &str = "192.0.2.2:5060";

struct World {
    now: Instant,
    adapter: Adapter,
    sockets: Vec<(crate::net::SocketId, SocketAddr)>,
}

impl World {
    fn new() -> Self {
        let (mut config, _): (Config, _) = config::parse(SETTINGS, "test").unwrap();
        config.adapter.lan.clear();
        let now = Instant::from_micros(1_000_000);
        let identity = Identity::from_seed([1; 32]).unwrap();
        let keys = NetworkKeys::new(&[2; 32], "example.net");
        let mut adapter = Adapter::new(&config, &identity, Some(&keys), 1, [3; 32], now);
        adapter.open_desk(now);
        let mut world = Self { now, adapter, sockets: Vec::new() };
        world.feed(Input::Clock(1_796_000_000));
        let wan = vec!["203.0.113.9".parse().unwrap()];
        world.feed(Input::Network(&Network { wan, wan_up: true, ..Network::default() }));
        world.pass(Duration::from_secs(1));
        world.sent();
        world
    }

    fn feed(&mut self, input: Input<'_>) {
        let _ = self.adapter.handle_input(self.now, input);
        while let Some(event) = self.adapter.poll_event() {
            let Event::Request(ticket, request) = event else { continue };
            let answer = match request {
                Request::Bind { local, .. } => {
                    let id = crate::net::SocketId(self.sockets.len() as u32 + 1);
                    self.sockets.push((id, local));
                    Ok(Answer::Bound(id, local))
                }
                _ => Err(Failure::Absent),
            };
            let _ = self.adapter.handle_input(self.now, Input::Answer(ticket, answer));
        }
    }

    fn pass(&mut self, interval: Duration) {
        let end = self.now + interval;
        while let Some(at) = self.adapter.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.feed(Input::Timeout);
        }
        self.now = end;
    }

    /// What goes to the SIP server now.
    fn sent(&mut self) -> Vec<String> {
        self.sent_to(SERVER)
    }

    fn sent_to(&mut self, server: &str) -> Vec<String> {
        let mut buf = vec![0; 65_536];
        let mut sent = Vec::new();
        while let Some(transmit) = self.adapter.poll_transmit(self.now, &mut buf) {
            if transmit.to == server.parse().unwrap() {
                sent.push(String::from_utf8(buf[..transmit.len].to_vec()).unwrap());
            }
        }
        sent
    }

    fn challenge(&mut self, number: u32, aor: &str) -> Sent {
        let challenge = Challenge { nonce: [4; 16], key_hash: [5; 16] };
        self.adapter.send_challenge(self.now, number, aor, &challenge)
    }

    /// The SIP server answers a request.
    fn respond(&mut self, request: &str, status: &str, extra: &str) {
        let copied = ["Via: ", "From: ", "To: ", "Call-ID: ", "CSeq: "];
        let lines = request.lines().filter(|line| copied.iter().any(|it| line.starts_with(it)));
        let headers: String = lines.map(|line| format!("{line}\r\n")).collect();
        let text = format!("SIP/2.0 {status}\r\n{headers}{extra}Content-Length: 0\r\n\r\n");
        let wanted: SocketAddr = "203.0.113.9:5080".parse().unwrap();
        let (socket, to) = *self.sockets.iter().find(|(_, local)| *local == wanted).unwrap();
        let (from, data) = (SERVER.parse().unwrap(), text.as_bytes());
        self.feed(Input::Datagram { socket, from, to, tos: 0, data });
    }
}

fn header<'t>(text: &'t str, name: &str) -> &'t str {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn a_challenge_is_an_options_of_the_servers_account_and_is_sent_with_its_credentials() {
    let mut world = World::new();
    assert_eq!(world.challenge(7, "alice@example.net"), Sent::Yes);
    let sent = world.sent();
    let [first] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(first.starts_with("OPTIONS sip:alice@example.net SIP/2.0\r\n"), "{first}");
    assert_eq!(header(first, "To"), "<sip:alice@example.net>");
    assert!(header(first, "From").starts_with("<sip:cosip@example.net>;tag="));
    let value = Challenge { nonce: [4; 16], key_hash: [5; 16] }.to_text();
    assert_eq!(header(first, crate::identity::enrolment::HEADER), value);
    let asked = "Proxy-Authenticate: Digest realm=\"example.net\", nonce=\"abc\"\r\n";
    world.respond(first, "407 Proxy Authentication Required", asked);
    assert_eq!(world.adapter.poll_desk(), None);
    let sent = world.sent();
    let [second] = sent.as_slice() else { panic!("{sent:?}") };
    assert!(header(second, "Proxy-Authorization").contains("username=\"cosip\""), "{second}");
    assert_eq!(header(second, crate::identity::enrolment::HEADER), value);
    assert_eq!(header(second, "CSeq"), "2 OPTIONS");
    world.respond(second, "100 Trying", "");
    assert_eq!(world.adapter.poll_desk(), None);
    world.respond(second, "480 Temporarily Unavailable", "");
    assert_eq!(world.adapter.poll_desk(), Some(DeskEvent::Answered(7, Some(480))));
    // Who wants other credentials gets none, and the desk is told.
    world.challenge(8, "bob@example.net");
    let first = world.sent().remove(0);
    world.respond(&first, "407 Proxy Authentication Required", asked);
    let second = world.sent().remove(0);
    world.respond(&second, "407 Proxy Authentication Required", asked);
    assert!(world.sent().is_empty());
    assert_eq!(world.adapter.poll_desk(), Some(DeskEvent::Answered(8, Some(407))));
}

#[test]
fn a_sip_server_that_is_silent_is_told_of_and_a_foreign_aor_goes_nowhere() {
    let mut world = World::new();
    assert_eq!(world.challenge(1, "alice@example.org"), Sent::No);
    assert_eq!(world.challenge(2, "alice@example.net"), Sent::Yes);
    world.pass(Duration::from_secs(31));
    assert_eq!(world.adapter.poll_desk(), None);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.adapter.poll_desk(), Some(DeskEvent::Answered(2, None)));
    world.adapter.config.accounts.clear();
    assert_eq!(world.challenge(3, "alice@example.net"), Sent::No);
}

#[test]
fn a_silent_phone_is_not_its_servers_and_an_error_of_the_network_is() {
    let mut world = World::new();
    let first = |text: &str| text.starts_with("OPTIONS sip:alice@example.net");
    world.challenge(1, "alice@example.net");
    // The server answers what it is asked itself, as each probe, and nothing for the phone.
    let end = world.now + Duration::from_secs(33);
    while world.now < end {
        for probe in world.sent().iter().filter(|text| !first(text)) {
            world.respond(probe, "200 OK", "");
        }
        world.pass(Duration::from_millis(100));
    }
    assert_eq!(world.adapter.poll_desk(), Some(DeskEvent::Answered(1, None)));
    world.sent();
    world.challenge(2, "alice@example.net");
    assert!(world.sent().iter().any(|text| first(text)), "the same server is asked");
    let (to, error) = (SERVER.parse().unwrap(), Failure::Refused);
    let wanted: SocketAddr = "203.0.113.9:5080".parse().unwrap();
    let (socket, _) = *world.sockets.iter().find(|(_, local)| *local == wanted).unwrap();
    world.feed(Input::SendFailed { via: crate::net::Via::Udp(socket), to, error });
    world.pass(Duration::from_millis(1));
    assert_eq!(world.adapter.poll_desk(), Some(DeskEvent::Answered(2, None)));
    world.challenge(3, "alice@example.net");
    assert!(world.sent_to(FALLBACK).iter().any(|text| first(text)), "another one is asked");
}

#[test]
fn what_strangers_send_is_not_heard_and_what_is_not_looked_at_is_bounded() {
    let mut world = World::new();
    let ask = EnrolAsk { number: 1, aors: ["alice@example.net", "", "", ""] };
    world.adapter.certificate_wanted(NodeId([9; 16]), &ask);
    assert_eq!(world.adapter.poll_desk(), None, "no session has proven its key");
    let desk = world.adapter.enrolment.desk.as_mut().unwrap();
    (0..300).for_each(|number| desk.hear(DeskEvent::Answered(number, None)));
    let looked = std::iter::from_fn(|| world.adapter.poll_desk()).count();
    assert_eq!((looked, world.adapter.desk_dropped()), (DESK_EVENTS_MAX, 300 - 256));
}
