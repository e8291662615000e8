//! Emergency calls: which way they take, when, and that nothing refuses them but all ways.

use crate::net::Fate;
use crate::sip::{Msg, answer, sdp};
use crate::town::{DOMAIN, Phone, Town, at, server, two_with};
use cosip::config::{Config, Mode};
use cosip::net::{Input, Record, RecordKind};
use std::net::SocketAddr;

pub(crate) fn gateway() -> SocketAddr {
    at("198.51.100.9:5060")
}

fn second() -> SocketAddr {
    at("198.51.100.10:5060")
}

pub(crate) fn uri() -> String {
    format!("sip:112@{DOMAIN}")
}

/// Settings with these routes.
pub(crate) fn routes(routes: &'static [&'static str]) -> impl Fn(&mut Config) {
    move |config| {
        config.emergency.route = routes.iter().map(|route| route.parse().unwrap()).collect();
    }
}

pub(crate) const ONE: &[&str] = &["sip:198.51.100.9"];
const TWO: &[&str] = &["sip:198.51.100.9", "sip:psap@198.51.100.10;transport=udp"];

/// A registered phone calls 112.
pub(crate) fn dial(town: &mut Town, phone: &Phone, call_id: &str) {
    town.dial(phone, &uri(), call_id);
}

/// The gateway takes the call, the phone hears it and hangs up.
pub(crate) fn carried(town: &mut Town, phone: &Phone, invite: &Msg) {
    let contact = format!("sip:gw@{}", invite.at);
    town.reply(invite, 180, "g", &[("Contact", &format!("<{contact}>"))]);
    town.world.expect(phone.at, "180", 100);
    town.accept(invite, "g", &contact);
    let mut caller = town.confirm(phone, 100);
    let ack = town.world.expect(invite.at, "ACK", 100);
    assert_eq!(ack.uri(), contact);
    town.bye(&mut caller, invite.at);
}

/// The phone is refused within `ms`, and told why.
fn refused(town: &mut Town, phone: &Phone, code: &str, ms: u64) -> String {
    let refusal = town.refused(phone, code, &uri(), ms);
    assert!(!refusal.has("Retry-After"));
    let warning = refusal.one("Warning").to_owned();
    assert!(warning.starts_with("399 192.168.1.1:5060 \"emergency call failed: "), "{warning}");
    warning
}

#[test]
fn a_dead_server_costs_an_emergency_call_less_than_two_seconds() {
    let (mut town, alice, bob) = two_with(routes(ONE));
    town.server_is(Fate::Drop);
    let start = town.world.now;
    dial(&mut town, &alice, "e1");
    town.world.nothing(gateway(), "INVITE", 1_490);
    let invite = town.world.expect(gateway(), "INVITE", 50);
    assert_eq!(invite.uri(), "sip:112@198.51.100.9", "the gateway is asked for what was dialled");
    assert_eq!(invite.one("To"), format!("<{}>", uri()));
    assert_eq!(invite.from, town.routers[0].outside());
    town.accept(&invite, "g", "sip:gw@198.51.100.9");
    let mut caller = town.confirm(&alice, 100);
    assert!(town.world.now.since(start).as_millis() < 2_000);
    town.world.expect(gateway(), "ACK", 100);
    town.bye(&mut caller, gateway());
    town.world.nothing(bob.at, "INVITE", 10);
    town.finish();
}

#[test]
fn a_server_known_down_is_still_asked_first_and_never_raced() {
    let (mut town, alice, _) = two_with(routes(ONE));
    town.server_is(Fate::Drop);
    town.dial(&alice, &format!("sip:+4930@{DOMAIN}"), "c1");
    town.world.run_ms(3_000);
    assert_eq!(town.verdict(0), "down");
    town.world.fates.clear();
    dial(&mut town, &alice, "e1");
    let invite = town.world.expect(server(), "INVITE", 100);
    assert_eq!((invite.uri(), invite.one("Call-ID")), (uri().as_str(), "e1"));
    town.world.nothing(gateway(), "INVITE", 1_400);
    carried(&mut town, &alice, &invite);
    town.world.nothing(gateway(), "INVITE", 3_000);
    town.finish();
}

#[test]
fn the_routes_own_answers_say_nothing_about_the_server() {
    let (mut town, alice, _) = two_with(routes(ONE));
    town.world.fates.insert(gateway(), Fate::Refuse);
    dial(&mut town, &alice, "e1");
    let invite = town.world.expect(server(), "INVITE", 100);
    town.reply(&invite, 503, "s", &[("Retry-After", "3600")]);
    let why = refused(&mut town, &alice, "503", 100);
    assert!(
        why.contains("server: 503 Service Unavailable; sip:198.51.100.9: unreachable"),
        "{why}"
    );
    assert_eq!(town.verdict(0), "up");
    town.finish();
}

#[test]
fn without_a_route_a_dead_server_is_told_within_a_second_of_its_time() {
    let (mut town, alice, _) = two_with(routes(&[]));
    town.server_is(Fate::Drop);
    dial(&mut town, &alice, "e1");
    town.world.nothing(alice.at, "503", 1_490);
    let why = refused(&mut town, &alice, "503", 1_000);
    assert!(why.contains("server: no answer"), "{why}");
    town.server_is(Fate::Refuse);
    dial(&mut town, &alice, "e2");
    let why = refused(&mut town, &alice, "503", 100);
    assert!(why.contains("server: unreachable"), "{why}");
    town.finish();
}

#[test]
fn refusals_and_transport_errors_take_the_next_way_at_once() {
    let (mut town, alice, _) = two_with(routes(TWO));
    dial(&mut town, &alice, "e1");
    let invite = town.world.expect(server(), "INVITE", 100);
    town.reply(&invite, 486, "s", &[]);
    town.world.expect(server(), "ACK", 50);
    let invite = town.world.expect(gateway(), "INVITE", 50);
    town.reply(&invite, 404, "g", &[]);
    let invite = town.world.expect(second(), "INVITE", 50);
    assert_eq!(invite.uri(), "sip:psap@198.51.100.10;transport=udp", "the route names whom");
    carried(&mut town, &alice, &invite);
    town.server_is(Fate::Refuse);
    town.world.fates.insert(gateway(), Fate::Refuse);
    dial(&mut town, &alice, "e2");
    let invite = town.world.expect(second(), "INVITE", 100);
    town.reply(&invite, 486, "g", &[]);
    let why = refused(&mut town, &alice, "486", 50);
    assert!(why.ends_with("sip:psap@198.51.100.10;transport=udp: 486 Busy Here\""), "{why}");
    town.finish();
}

#[test]
fn each_silent_way_is_granted_try_ms_and_the_first_200_wins() {
    let (mut town, alice, _) = two_with(routes(TWO));
    dial(&mut town, &alice, "e1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 100, "", &[]);
    let at_gateway = town.world.expect(gateway(), "INVITE", 1_600);
    town.world.nothing(second(), "INVITE", 1_450);
    let at_second = town.world.expect(second(), "INVITE", 100);
    let success = |invite: &Msg, tag: &str| {
        let contact = format!("<sip:gw@{}>", invite.at);
        answer(invite, 200, tag, &[("Contact", &contact)], &sdp(invite.at))
    };
    town.world.send(gateway(), at_gateway.from, success(&at_gateway, "g"));
    let mut caller = town.confirm(&alice, 100);
    assert_eq!(caller.target, "sip:gw@198.51.100.9:5060");
    town.world.expect(gateway(), "ACK", 100);
    // The server said 100: it is cancelled. The other route said nothing, and answers too late.
    let cancel = town.world.expect(server(), "CANCEL", 50);
    town.reply(&cancel, 200, "s", &[]);
    town.reply(&at_server, 487, "s", &[]);
    town.world.expect(server(), "ACK", 50);
    town.world.send(second(), at_second.from, success(&at_second, "h"));
    town.world.expect(second(), "ACK", 100);
    let bye = town.world.expect(second(), "BYE", 100);
    town.reply(&bye, 200, "", &[]);
    town.bye(&mut caller, gateway());
    town.finish();
}

#[test]
fn a_way_that_rings_is_waited_for() {
    let (mut town, alice, _) = two_with(routes(TWO));
    dial(&mut town, &alice, "e1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    let at_gateway = town.world.expect(gateway(), "INVITE", 1_600);
    town.reply(&at_server, 183, "s", &[("Contact", "<sip:s@198.51.100.1>")]);
    town.world.expect(alice.at, "183", 50);
    town.reply(&at_gateway, 486, "g", &[]);
    town.world.nothing(second(), "INVITE", 60_000);
    town.reply(&at_server, 480, "s", &[]);
    let invite = town.world.expect(second(), "INVITE", 50);
    carried(&mut town, &alice, &invite);
    town.finish();
}

#[test]
fn a_server_that_works_at_it_is_not_given_up_where_nothing_else_is_left() {
    let (mut town, alice, _) = two_with(routes(ONE));
    dial(&mut town, &alice, "e1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 100, "", &[]);
    town.world.expect(gateway(), "INVITE", 1_600);
    town.world.nothing(alice.at, "503", 5_000);
    carried(&mut town, &alice, &at_server);
    town.finish();
}

#[test]
fn a_phone_that_gives_up_is_not_called_for_elsewhere() {
    let (mut town, alice, _) = two_with(routes(ONE));
    town.server_is(Fate::Drop);
    dial(&mut town, &alice, "e1");
    town.world.run_ms(500);
    town.cancel(&alice, &uri(), "e1");
    town.refused(&alice, "487", &uri(), 20);
    town.world.nothing(gateway(), "INVITE", 5_000);
    town.finish();
}

#[test]
fn every_phone_in_every_mode_reaches_a_route() {
    for mode in [Mode::Cooperative, Mode::Overlay, Mode::Server] {
        let mut town = Town::with(1, |config| {
            routes(ONE)(config);
            config.adapter.mode = mode;
        });
        town.server_is(Fate::Drop);
        let stranger = town.phone(0, 7, "nobody");
        let uris = ["sip:112@192.168.1.1", "tel:1-1-2;phone-context=+49", "urn:service:sos.fire"];
        for (number, uri) in uris.into_iter().enumerate() {
            town.dial(&stranger, uri, &format!("e{number}"));
            let patience = if mode == Mode::Overlay { 50 } else { 1_600 };
            let invite = town.world.expect(gateway(), "INVITE", patience);
            assert_eq!(invite.uri(), "sip:112@198.51.100.9");
            carried(&mut town, &stranger, &invite);
        }
        town.finish();
    }
}

#[test]
fn a_phone_that_never_registered_is_served_by_the_provider_first() {
    let mut town = Town::with(1, routes(ONE));
    let stranger = town.phone(0, 7, "nobody");
    for (number, uri) in ["sip:112@192.168.1.1", "urn:service:sos"].into_iter().enumerate() {
        let invite = stranger.invite(uri, &format!("e{number}"));
        let invite = String::from_utf8(invite).unwrap();
        let anonymous = format!("\"nobody\" <{}>", stranger.aor());
        let invite = invite.replace(&anonymous, "<sip:anonymous@anonymous.invalid>");
        town.say(&stranger, invite.into_bytes());
        let invite = town.world.expect(server(), "INVITE", 100);
        assert_eq!(invite.uri(), uri);
        carried(&mut town, &stranger, &invite);
    }
    town.finish();
}

const CHALLENGE: (&str, &str) = ("Proxy-Authenticate", "Digest realm=\"g\", nonce=\"y\"");

/// The server fails, and the first route wants credentials: the phone is told.
fn challenged(town: &mut Town, phone: &Phone) {
    dial(town, phone, "e1");
    let invite = town.world.expect(server(), "INVITE", 100);
    town.reply(&invite, 503, "s", &[]);
    let invite = town.world.expect(gateway(), "INVITE", 50);
    town.reply(&invite, 407, "g", &[CHALLENGE]);
    let refusal = town.refused(phone, "407", &uri(), 50);
    assert_eq!(refusal.one(CHALLENGE.0), CHALLENGE.1);
}

#[test]
fn a_challenge_goes_to_a_registered_phone_and_its_retry_continues_the_same_way() {
    let (mut town, alice, _) = two_with(routes(TWO));
    challenged(&mut town, &alice);
    let credentials = ("Proxy-Authorization", "Digest username=\"alice\", response=\"1\"");
    let body = sdp(alice.media());
    let retry = alice.request(("INVITE", &uri()), "e1", 2, &[credentials], &body);
    town.say(&alice, retry);
    let again = town.world.expect(gateway(), "INVITE", 50);
    assert_eq!((again.cseq(), again.one(credentials.0)), (2, credentials.1));
    // Not good enough: a refusal, and the next way.
    town.reply(&again, 407, "h", &[CHALLENGE]);
    let invite = town.world.expect(second(), "INVITE", 50);
    carried(&mut town, &alice, &invite);
    town.world.nothing(server(), "INVITE", 100);
    town.finish();
}

#[test]
fn new_settings_are_for_the_next_call() {
    let (mut town, alice, _) = two_with(routes(ONE));
    challenged(&mut town, &alice);
    let mut config = town.routers[0].config.clone();
    routes(&["sip:198.51.100.10"])(&mut config);
    town.world.input(town.routers[0].place, Input::Config(&config));
    town.world.run_ms(1_000);
    let body = sdp(alice.media());
    let retry = alice.request(("INVITE", &uri()), "e1", 2, &[], &body);
    town.say(&alice, retry);
    town.world.nothing(second(), "INVITE", 50);
    let invite = town.world.expect(gateway(), "INVITE", 50);
    assert_eq!(invite.uri(), "sip:112@198.51.100.9");
    town.reply(&invite, 486, "g", &[]);
    let why = refused(&mut town, &alice, "486", 100);
    assert!(why.contains("sip:198.51.100.9: 486 Busy Here"), "{why}");
    dial(&mut town, &alice, "e2");
    let invite = town.world.expect(server(), "INVITE", 100);
    town.reply(&invite, 503, "s", &[]);
    let invite = town.world.expect(second(), "INVITE", 50);
    carried(&mut town, &alice, &invite);
    town.finish();
}

#[test]
fn a_challenge_to_a_phone_that_never_registered_is_a_refusal() {
    let mut town = Town::with(1, routes(ONE));
    let stranger = town.phone(0, 7, "nobody");
    let challenge = ("WWW-Authenticate", "Digest realm=\"s\", nonce=\"y\"");
    dial(&mut town, &stranger, "e1");
    let invite = town.world.expect(server(), "INVITE", 100);
    town.reply(&invite, 401, "s", &[challenge]);
    let invite = town.world.expect(gateway(), "INVITE", 50);
    town.world.nothing(stranger.at, "401", 10);
    carried(&mut town, &stranger, &invite);
    town.finish();
}

#[test]
fn a_route_may_be_a_name_over_tcp_or_a_proxy() {
    const ROUTES: &[&str] =
        &["sip:gw.example.net:5070;transport=tcp", "sip:esrp.example.net:5060;lr"];
    let mut town = Town::with(1, |config| {
        routes(ROUTES)(config);
        config.emergency.try_for = cosip::time::Duration::from_millis(700);
    });
    let gateway = at("198.51.100.9:5070");
    for (name, address) in [("gw.example.net", gateway), ("esrp.example.net", second())] {
        let records = vec![Record::Address(address.ip())];
        town.world.names.push((name.into(), RecordKind::Address, records));
    }
    town.world.run_ms(61_000);
    town.world.names.clear();
    town.world.listening.insert(gateway);
    town.server_is(Fate::Drop);
    let stranger = town.phone(0, 7, "nobody");
    dial(&mut town, &stranger, "e1");
    let invite = town.world.expect(gateway, "INVITE", 750);
    assert!(invite.tcp && invite.one("Via").starts_with("SIP/2.0/TCP 203.0.113.1:"));
    assert_eq!(invite.uri(), "sip:112@gw.example.net:5070;transport=tcp");
    let invite = town.world.expect(second(), "INVITE", 750);
    assert_eq!(invite.uri(), uri(), "a proxy gets what the phone wrote");
    assert_eq!(invite.all("Route"), ["<sip:esrp.example.net:5060;lr>"]);
    carried(&mut town, &stranger, &invite);
    town.finish();
}

#[test]
fn a_server_with_two_dead_targets_costs_no_more_than_one() {
    let (mut town, alice, _) = two_with(|config| {
        routes(ONE)(config);
        let another = cosip::config::Server {
            host: "198.51.100.2".into(),
            port: Some(5060),
            transport: Some(cosip::config::Transport::Udp),
        };
        config.providers[0].fallback_server = vec![another];
    });
    let fallback = at("198.51.100.2:5060");
    town.server_is(Fate::Drop);
    dial(&mut town, &alice, "e1");
    town.world.expect(fallback, "INVITE", 550);
    town.world.nothing(gateway(), "INVITE", 900);
    let invite = town.world.expect(gateway(), "INVITE", 100);
    carried(&mut town, &alice, &invite);
    town.finish();
}
