//! One router alone: calls at home, full tables, modes, a restart, TCP.

use crate::acts::gateway;
use crate::net::{Fate, Packet};
use crate::sip::{Msg, sdp};
use crate::town::{DOMAIN, Phone, Town, at, server, two, two_over_tcp, two_with};
use cosip::config::{Account, Config, Mode};
use cosip::net::Input;
use cosip::sip::Message;
use cosip::sip::digest::{Secret, Session};

const NO_SECRET: Secret<'_> =
    Secret { user: "", realm: "", password: None, ha1: None, ha1_sha256: None };

#[test]
fn phones_of_one_router_call_each_other_with_the_server_down() {
    let mut town = Town::new();
    let alice = town.registered(0, 1, "alice");
    let bob = town.registered(0, 2, "bob");
    town.server_is(Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    let heard = town.world.expect(bob.at, "INVITE", 600);
    assert_eq!((heard.uri(), heard.from), (bob.contact().as_str(), bob.proxy));
    town.reply(&heard, 180, "b", &[]);
    town.world.expect(alice.at, "180", 50);
    let mut callee = town.accept(&heard, "b", &bob.contact());
    let mut caller = town.confirm(&alice, 50);
    town.world.expect(bob.at, "ACK", 50);
    for _ in 0..2 {
        let body = sdp(alice.media());
        let again = caller.request("INVITE", &[], &body);
        town.say(&alice, again);
        let heard = town.world.expect(bob.at, "INVITE", 50);
        town.accept(&heard, "", &bob.contact());
        let answer = town.world.expect(alice.at, "200 INVITE", 50);
        town.say(&alice, caller.ack(answer.cseq()));
        town.world.expect(bob.at, "ACK", 50);
    }
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn emergency_numbers_go_to_the_server_alone() {
    let (mut town, alice, _) = two();
    let mut other = town.phone(1, 2, "112");
    town.register(&mut other, 600);
    town.world.expect(other.at, "200 REGISTER", 100);
    town.world.run_ms(2_000);
    for (number, uri) in [format!("sip:112@{DOMAIN}"), "urn:service:sos".into()].iter().enumerate()
    {
        let call_id = format!("e{number}");
        town.dial(&alice, uri, &call_id);
        let heard = town.world.expect(server(), "INVITE", 100);
        assert_eq!(heard.uri(), uri);
        town.reply(&heard, 100, "", &[]);
        town.world.nothing(other.at, "INVITE", 5_000);
        town.reply(&heard, 486, "s", &[]);
        town.world.expect(alice.at, "486", 100);
    }
    town.finish();
}

#[test]
fn feature_codes_the_own_address_and_foreign_domains_are_not_looked_up() {
    let (mut town, alice, _) = two();
    let before = crossed(&town);
    let uris = [format!("sip:*21@{DOMAIN}"), alice.aor(), "sip:bob@elsewhere.example".into()];
    for (number, uri) in uris.iter().enumerate() {
        let call_id = format!("f{number}");
        town.dial(&alice, uri, &call_id);
        let heard = town.world.expect(server(), "INVITE", 100);
        town.reply(&heard, 404, "s", &[]);
        town.world.expect(alice.at, "404", 50);
    }
    assert!(crossed(&town) < before + 12, "no look-up, no notice");
    town.finish();
}

/// Overlay datagrams of the first router.
fn crossed(town: &Town) -> usize {
    let sent = |packet: &&Packet| packet.from == at("203.0.113.1:5070");
    town.world.log.iter().filter(sent).count()
}

#[test]
fn calls_beyond_max_calls_are_refused_with_503_but_not_emergency_calls() {
    let (mut town, alice, _) = two_with(|config| config.adapter.max_calls = 2);
    let mut legs = Vec::new();
    for number in 0..2 {
        let call_id = format!("c{number}");
        town.dial(&alice, &format!("sip:+4930{number}@{DOMAIN}"), &call_id);
        legs.push(town.world.expect(server(), "INVITE", 100));
    }
    town.dial(&alice, &format!("sip:+49307@{DOMAIN}"), "c7");
    let refusal = town.world.expect(alice.at, "503", 50);
    assert!(!refusal.has("Retry-After"));
    town.dial(&alice, &format!("sip:112@{DOMAIN}"), "c8");
    legs.push(town.world.expect(server(), "INVITE", 100));
    for leg in legs {
        town.reply(&leg, 404, "s", &[]);
        town.world.expect(alice.at, "404", 100);
    }
    town.finish();
}

#[test]
fn phones_beyond_max_phones_are_refused_with_503() {
    let mut town = Town::with(1, |config| config.adapter.max_phones = 2);
    town.registered(0, 1, "alice");
    town.registered(0, 2, "bob");
    let mut carol = town.phone(0, 3, "carol");
    town.register(&mut carol, 600);
    town.world.expect(carol.at, "503", 50);
    town.finish();
}

fn overlay_mode() -> Town {
    Town::with(1, |config| {
        config.adapter.mode = Mode::Overlay;
        config.providers[0].server = None;
        config.accounts = vec![Account {
            aor: format!("sip:alice@{DOMAIN}"),
            user: "alice".into(),
            realm: DOMAIN.into(),
            password: Some(cosip::config::Secret::new("open")),
            ..Account::default()
        }];
    })
}

#[test]
fn in_mode_overlay_register_is_challenged_and_nobody_without_account_gets_in() {
    let mut town = overlay_mode();
    let mut bob = town.phone(0, 2, "bob");
    town.register(&mut bob, 600);
    town.world.expect(bob.at, "403 REGISTER", 50);
    let mut alice = town.phone(0, 1, "alice");
    town.register(&mut alice, 600);
    let challenge = town.world.expect(alice.at, "401 REGISTER", 50);
    let offers = challenge.all("WWW-Authenticate");
    assert!(offers[0].contains("MD5") && offers.len() == 1, "{offers:?}");
    assert!(offers[0].contains(&format!("realm=\"{DOMAIN}\"")));
    let wrong = format!(
        "{}, username=\"alice\", uri=\"sip:{DOMAIN}\", response=\"{}\"",
        offers[0],
        "0".repeat(32)
    );
    let bytes = Town::register_text(&mut alice, 600, &[("Authorization", &wrong)]);
    town.say(&alice, bytes);
    town.world.expect(alice.at, "401 REGISTER", 50);
    assert!(town.world.log.iter().all(|packet| packet.to != server()));
    town.finish();
}

/// Sends a REGISTER with the credentials that its challenge asks for. The answer.
fn proven(town: &mut Town, phone: &mut Phone, contact: Option<&str>) -> Msg {
    let ask = |town: &mut Town, phone: &mut Phone, extra: &[(&str, &str)]| {
        let text = String::from_utf8(Town::register_text(phone, 600, extra)).unwrap();
        let stays = |line: &&str| contact.is_some() || !line.starts_with("Contact:");
        let lines: Vec<&str> = text.split("\r\n").filter(stays).collect();
        town.say(phone, lines.join("\r\n").into_bytes());
    };
    ask(town, phone, &[]);
    let challenge = town.world.expect(phone.at, "401 REGISTER", 50);
    let secret = Secret { user: "alice", realm: DOMAIN, password: Some("open"), ..NO_SECRET };
    let message = Message::parse(challenge.text.as_bytes()).unwrap();
    let mut session = Session::challenged(&message, &secret).unwrap();
    let uri = format!("sip:{DOMAIN}");
    let (_, credentials) = session.credentials(&secret, "REGISTER", &uri, "c").unwrap();
    ask(town, phone, &[("Authorization", &credentials)]);
    town.world.expect(phone.at, "200 REGISTER", 50)
}

#[test]
fn in_mode_overlay_a_register_without_contact_asks_and_changes_nothing() {
    let mut town = overlay_mode();
    let mut alice = town.phone(0, 1, "alice");
    assert!(!proven(&mut town, &mut alice, None).has("Contact"), "nobody is registered");
    let contact = alice.contact();
    proven(&mut town, &mut alice, Some(&contact));
    town.world.run_ms(60_000);
    let listed = proven(&mut town, &mut alice, None).one("Contact").to_owned();
    assert_eq!(listed, format!("<{contact}>;expires=59"));
    town.world.run_ms(66_000);
    assert_eq!(town.status(0)["phones"][0]["registered"], false, "the question extends nothing");
    town.finish();
}

#[test]
fn a_reload_of_the_mode_keeps_a_running_call() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    let heard = town.world.expect(bob.at, "INVITE", 1_000);
    let mut callee = town.accept(&heard, "b", &bob.contact());
    let mut caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    let mut config = town.routers[0].config.clone();
    config.adapter.mode = Mode::Server;
    let place = town.routers[0].place;
    town.world.input(place, Input::Config(&config));
    town.world.run_ms(2_000);
    assert_eq!(town.finds(1, &alice.aor()), 0, "withdrawn");
    town.ask(&mut callee, &alice, "INFO", 100);
    town.bye(&mut caller, bob.at);
    town.dial(&alice, &bob.aor(), "c2");
    town.world.nothing(bob.at, "INVITE", 7_900);
    town.world.expect(alice.at, "503", 300);
    town.world.input(place, Input::Config(&town.routers[0].config.clone()));
    town.world.run_ms(2_000);
    assert_eq!(town.finds(1, &alice.aor()), 1, "published again");
    town.finish();
}

/// Whether by its option or with its section, and though two phones share the address.
#[test]
fn a_provider_that_leaves_the_overlay_takes_its_records_along_and_brings_them_back() {
    let leave: [fn(&mut Config); 2] =
        [|config| config.providers[0].overlay = false, |config| config.providers.clear()];
    for leave in leave {
        let (mut town, alice, _) = two();
        town.registered(0, 2, "alice");
        let (place, running) = (town.routers[0].place, town.routers[0].config.clone());
        let mut config = running.clone();
        leave(&mut config);
        for _ in 0..2 {
            town.world.input(place, Input::Config(&config));
            town.world.run_ms(1_000);
            assert_eq!(town.finds(1, &alice.aor()), 0, "withdrawn");
            let mut latecomer = town.phone(0, 3, "alice");
            town.register(&mut latecomer, 3600);
            town.world.run_ms(1_000);
            assert_eq!(town.finds(1, &alice.aor()), 0, "and stays so");
            town.world.input(place, Input::Config(&running));
            town.world.run_ms(1_000);
            assert_eq!(town.finds(1, &alice.aor()), 1, "published again");
        }
        town.finish();
    }
}

#[test]
fn an_address_of_two_phones_leaves_the_overlay_with_the_mode() {
    let mut town = Town::new();
    let alice = town.registered(0, 1, "alice");
    town.registered(0, 2, "alice");
    assert_eq!(town.finds(1, &alice.aor()), 1);
    let mut config = town.routers[0].config.clone();
    config.adapter.mode = Mode::Server;
    town.world.input(town.routers[0].place, Input::Config(&config));
    town.world.run_ms(2_000);
    assert_eq!(town.finds(1, &alice.aor()), 0);
    town.finish();
}

#[test]
fn bindings_outlive_a_restart_and_dialogs_are_routed_though_unknown() {
    let (mut town, alice, bob) = two();
    let gateway = gateway(town.routers[1].outside());
    town.dial(&gateway, "sip:bob@203.0.113.2:5062", "g1");
    let heard = town.world.expect(bob.at, "INVITE", 100);
    let mut callee = town.accept(&heard, "b", &bob.contact());
    town.confirm(&gateway, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.restart(1);
    town.world.run_ms(10_000);
    assert_eq!(town.status(1)["phones"][0]["registered"], true);
    assert_eq!(town.finds(0, &bob.aor()), 1);
    let info = callee.request("INFO", &[], "");
    town.world.send(bob.at, bob.proxy, info);
    let heard = town.world.expect(server(), "INFO", 100);
    assert_eq!(heard.one("Call-ID"), "g1");
    town.reply(&heard, 200, "", &[]);
    town.world.expect(bob.at, "200 INFO", 100);
    town.bye(&mut callee, server());
    town.server_is(Fate::Drop);
    town.dial(&alice, &bob.aor(), "c2");
    let heard = town.world.expect(bob.at, "INVITE", 800);
    town.reply(&heard, 603, "b", &[]);
    town.world.expect(alice.at, "603", 100);
    town.finish();
}

#[test]
fn a_request_of_the_provider_in_a_dialog_unknown_after_a_restart_reaches_the_phone() {
    let (mut town, _, bob) = two();
    let gateway = gateway(town.routers[1].outside());
    town.dial(&gateway, "sip:bob@203.0.113.2:5062", "g1");
    let heard = town.world.expect(bob.at, "INVITE", 100);
    town.accept(&heard, "b", &bob.contact());
    let mut caller = town.confirm(&gateway, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.restart(1);
    town.world.run_ms(10_000);
    let heard = town.bye(&mut caller, bob.at);
    assert_eq!(heard.one("Call-ID"), "g1");
    town.finish();
}

#[test]
fn a_tcp_phone_keeps_its_connection_and_the_server_stays_on_udp() {
    let mut town = Town::new();
    let mut alice = town.phone(0, 1, "alice");
    alice.tcp = true;
    alice.at.set_port(40_123);
    town.world.connect(alice.at, alice.proxy);
    town.register(&mut alice, 3600);
    let success = town.world.expect(alice.at, "200 REGISTER", 100);
    assert!(success.tcp);
    let registered = town.world.log.iter().find(|p| p.to == server()).unwrap();
    assert!(!registered.tcp, "the settings name the server's transport");
    town.world.run_ms(2_000);
    let gateway = gateway(town.routers[0].outside());
    town.dial(&gateway, "sip:alice@203.0.113.1:5062", "g1");
    let heard = town.world.expect(alice.at, "INVITE", 100);
    assert!(heard.tcp && heard.one("Via").starts_with("SIP/2.0/TCP 192.168.1.1:5060"));
    assert_eq!(heard.all("Record-Route")[0], "<sip:192.168.1.1:5060;transport=tcp;lr>");
    let mut callee = town.accept(&heard, "a", &alice.contact());
    town.confirm(&gateway, 100);
    town.world.expect(alice.at, "ACK", 100);
    town.bye(&mut callee, server());
    town.finish();
}

#[test]
fn a_tcp_server_has_a_connection_for_each_phone_and_refusal_is_an_error() {
    let (mut town, alice, bob) = two_over_tcp();
    let sent: Vec<&Packet> = town.world.log.iter().filter(|p| p.to == server()).collect();
    assert!(sent.len() >= 2 && sent.iter().all(|packet| packet.tcp));
    let text = String::from_utf8(sent[0].data.clone()).unwrap();
    let own = sent[0].from;
    assert!(text.contains(&format!("Via: SIP/2.0/TCP {own}")), "{text}");
    assert!(text.contains(&format!("<sip:alice@{own};transport=tcp>")), "{text}");
    let gateway = gateway(own);
    town.dial(&gateway, &format!("sip:alice@{own};transport=tcp"), "g1");
    let heard = town.world.expect(alice.at, "INVITE", 100);
    assert!(!heard.tcp);
    town.reply(&heard, 486, "a", &[]);
    assert!(town.world.expect(server(), "486", 100).tcp);
    town.world.disconnect(server());
    town.server_is(Fate::Refuse);
    town.dial(&alice, &bob.aor(), "c1");
    let heard = town.world.expect(bob.at, "INVITE", 200);
    town.reply(&heard, 603, "b", &[]);
    town.world.expect(alice.at, "603", 100);
    town.finish();
}

fn md5(text: &str) -> String {
    use md5::Digest;
    md5::Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn in_mode_overlay_the_right_password_registers_and_calls_are_404_or_480() {
    let mut town = overlay_mode();
    let mut alice = town.phone(0, 1, "alice");
    town.register(&mut alice, 600);
    let challenge = town.world.expect(alice.at, "401 REGISTER", 50);
    let offer = challenge.one("WWW-Authenticate");
    let nonce = offer.split("nonce=\"").nth(1).unwrap().split('"').next().unwrap();
    let uri = format!("sip:{DOMAIN}");
    let (ha1, ha2) = (md5(&format!("alice:{DOMAIN}:open")), md5(&format!("REGISTER:{uri}")));
    let response = md5(&format!("{ha1}:{nonce}:00000001:c:auth:{ha2}"));
    let credentials = format!(
        "Digest username=\"alice\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         algorithm=MD5, qop=auth, nc=00000001, cnonce=\"c\", response=\"{response}\""
    );
    let bytes = Town::register_text(&mut alice, 600, &[("Authorization", &credentials)]);
    town.say(&alice, bytes);
    let success = town.world.expect(alice.at, "200 REGISTER", 50);
    assert_eq!(crate::sip::uri_of(success.one("Contact")), alice.contact());
    town.world.run_ms(2_000);
    assert_eq!(town.finds(1, &alice.aor()), 1);
    town.dial(&alice, &format!("sip:nobody@{DOMAIN}"), "c1");
    town.world.expect(alice.at, "404", 2_500);
    assert!(town.world.log.iter().all(|packet| packet.to != server()), "there is no server");
    town.finish();
}

#[test]
fn message_and_subscribe_simply_pass() {
    let (mut town, alice, bob) = two();
    for method in ["MESSAGE", "SUBSCRIBE", "PUBLISH"] {
        let request = alice.request((method, &bob.aor()), method, 1, &[], "hello");
        town.say(&alice, request);
        let heard = town.world.expect(server(), method, 100);
        assert_eq!(heard.body(), "hello");
        assert_eq!(heard.contact(), "sip:alice@203.0.113.1:5062");
        town.reply(&heard, 202, "s", &[]);
        town.world.expect(alice.at, &format!("202 {method}"), 100);
        town.world.nothing(bob.at, method, 500);
    }
    town.finish();
}
