//! Texts: the server's, unless it fails; then the overlay's; and never twice.

use crate::net::{Fate, Packet};
use crate::sip::{Msg, answer, uri_of};
use crate::town::{DOMAIN, Phone, Town, server, two, two_with};
use cosip::config::Mode;

/// Alice writes to `uri`.
fn write(town: &mut Town, alice: &Phone, uri: &str, call_id: &str, body: &str) {
    let extra = [("Authorization", "Digest username=\"alice\""), ("Accept-Language", "de")];
    let message = alice.request(("MESSAGE", uri), call_id, 1, &extra, body);
    town.say(alice, message);
}

/// Bob's phone takes the text, and Alice's is told.
fn taken(town: &mut Town, alice: &Phone, text: &Msg) {
    town.reply(text, 200, "b", &[]);
    town.world.expect(alice.at, "200 MESSAGE", 200);
}

/// How often a text was sent to the server.
fn asked(town: &Town, call_id: &str) -> usize {
    let sent = |packet: &&Packet| {
        let text = String::from_utf8_lossy(&packet.data);
        packet.to == server() && text.contains(&format!("Call-ID: {call_id}\r\n"))
    };
    town.world.log.iter().filter(sent).count()
}

/// The text on its way from the server to a phone's router.
fn by_server(town: &mut Town, bob: &Phone, call_id: &str, from: &str, body: &str) {
    let text = bob.request(("MESSAGE", "sip:bob@203.0.113.2:5062"), call_id, 1, &[], body);
    let own = format!("\"bob\" <{}>;tag=tbob", bob.aor());
    let text = String::from_utf8(text).unwrap().replace(&own, &format!("<{from}>;tag=x"));
    let text = text.replace(&bob.at.to_string(), &server().to_string());
    town.world.send(server(), town.routers[1].outside(), text);
}

#[test]
fn a_server_that_answers_has_the_text_alone() {
    let (mut town, alice, bob) = two();
    write(&mut town, &alice, &bob.aor(), "m1", "hello");
    let text = town.world.expect(server(), "MESSAGE", 50);
    town.reply(&text, 202, "s", &[]);
    town.world.expect(alice.at, "202 MESSAGE", 50);
    town.world.nothing(bob.at, "MESSAGE", 10_000);
    for code in [403, 404, 486, 603] {
        write(&mut town, &alice, &bob.aor(), &format!("m{code}"), "hello");
        let text = town.world.expect(server(), "MESSAGE", 50);
        town.reply(&text, code, "s", &[]);
        town.world.expect(alice.at, &format!("{code} MESSAGE"), 50);
        town.world.nothing(bob.at, "MESSAGE", 5_000);
    }
    town.finish();
}

#[test]
fn a_silent_server_is_granted_four_seconds() {
    let (mut town, alice, bob) = two();
    write(&mut town, &alice, &bob.aor(), "m1", "hello");
    let at_server = town.world.expect(server(), "MESSAGE", 50);
    town.world.nothing(bob.at, "MESSAGE", 3_900);
    let text = town.world.expect(bob.at, "MESSAGE", 500);
    assert_eq!((text.body(), text.one("Accept-Language")), ("hello", "de"));
    assert_eq!((text.uri(), text.from), (bob.contact().as_str(), bob.proxy));
    assert_eq!(uri_of(text.one("From")), alice.aor());
    assert!(!text.has("Authorization"), "credentials never cross");
    taken(&mut town, &alice, &text);
    // The server wakes, and delivers its copy too: answered, but not shown.
    let before = asked(&town, "m1");
    by_server(&mut town, &bob, "renamed", &alice.aor(), "hello");
    town.world.expect(server(), "200 MESSAGE", 100);
    town.world.nothing(bob.at, "MESSAGE", 2_000);
    town.reply(&at_server, 200, "s", &[]);
    town.world.run_ms(10_000);
    assert_eq!(asked(&town, "m1"), before, "what was delivered is not sent again");
    let counters = town.status(1)["counters"].clone();
    assert_eq!(counters["message_copies_dropped"], 1, "{counters}");
    assert_eq!(town.status(0)["counters"]["messages_by_overlay"], 1);
    town.finish();
}

#[test]
fn a_server_that_fails_is_not_waited_for() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Refuse);
    write(&mut town, &alice, &bob.aor(), "m0", "hello");
    let text = town.world.expect(bob.at, "MESSAGE", 300);
    taken(&mut town, &alice, &text);
    town.world.fates.clear();
    town.world.run_ms(60_000);
    for code in [408, 500, 503] {
        write(&mut town, &alice, &bob.aor(), &format!("m{code}"), "hello");
        let text = town.world.expect(server(), "MESSAGE", 100);
        town.reply(&text, code, "s", &[("Retry-After", "3600")]);
        let text = town.world.expect(bob.at, "MESSAGE", 300);
        taken(&mut town, &alice, &text);
    }
    town.finish();
}

#[test]
fn a_server_known_down_is_asked_only_where_the_overlay_does_not_help() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Drop);
    town.dial(&alice, &format!("sip:+4930@{DOMAIN}"), "c1");
    town.world.run_ms(3_000);
    assert_eq!(town.verdict(0), "down");
    write(&mut town, &alice, &bob.aor(), "m1", "hello");
    let text = town.world.expect(bob.at, "MESSAGE", 200);
    taken(&mut town, &alice, &text);
    assert_eq!(asked(&town, "m1"), 0);
    write(&mut town, &alice, &format!("sip:nobody@{DOMAIN}"), "m2", "hello");
    town.world.run_ms(2_000);
    assert!(asked(&town, "m2") > 0);
    town.finish();
}

#[test]
fn what_the_callee_s_phone_says_goes_back_to_the_writer() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Refuse);
    for code in [415, 486, 603] {
        let body = format!("hello {code}");
        write(&mut town, &alice, &bob.aor(), &format!("m{code}"), &body);
        let text = town.world.expect(bob.at, "MESSAGE", 300);
        town.reply(&text, code, "b", &[("Warning", "399 b \"not now\"")]);
        let refusal = town.world.expect(alice.at, &format!("{code} MESSAGE"), 100);
        assert_eq!(refusal.one("Warning"), "399 b \"not now\"");
        // What it has refused, it may have by the other path.
        town.world.fates.clear();
        by_server(&mut town, &bob, &format!("m{code}"), &alice.aor(), &body);
        let text = town.world.expect(bob.at, "MESSAGE", 100);
        town.reply(&text, 200, "b", &[]);
        town.server_is(Fate::Refuse);
    }
    write(&mut town, &alice, &format!("sip:nobody@{DOMAIN}"), "m1", "hello");
    let refusal = town.world.expect(alice.at, "503 MESSAGE", 3_000);
    assert!(!refusal.has("Retry-After"));
    town.finish();
}

#[test]
fn long_texts_pass_on_every_path() {
    let (mut town, alice, bob) = two();
    let body = "lorem ipsum ".repeat(1_200);
    write(&mut town, &alice, &bob.aor(), "m1", &body);
    let text = town.world.expect(server(), "MESSAGE", 100);
    assert_eq!(text.body(), body);
    town.reply(&text, 503, "s", &[]);
    let text = town.world.expect(bob.at, "MESSAGE", 300);
    assert_eq!(text.body(), body);
    let reply = "dolor ".repeat(200);
    let bytes = answer(&text, 200, "b", &[("User-Agent", &reply)], "");
    town.world.send(bob.at, bob.proxy, bytes);
    let success = town.world.expect(alice.at, "200 MESSAGE", 100);
    assert_eq!(success.one("User-Agent"), reply.trim());
    town.finish();
}

#[test]
fn a_long_text_takes_tcp_only_where_a_connection_stands() {
    let mut town = Town::with(1, |config| {
        // The server's transport is the phone's.
        config.providers[0].server.as_mut().unwrap().transport = None;
    });
    town.world.listening.insert(server());
    let mut alice = town.phone(0, 1, "alice");
    alice.tcp = true;
    alice.at.set_port(40_123);
    town.world.connect(alice.at, alice.proxy);
    town.register(&mut alice, 3600);
    assert!(town.world.expect(alice.at, "200 REGISTER", 100).tcp);
    let bob = town.registered(0, 2, "bob");
    for (phone, tcp) in [(&alice, true), (&bob, false)] {
        let uri = format!("sip:carol@{DOMAIN}");
        write(&mut town, phone, &uri, &phone.user, &"long ".repeat(600));
        let text = town.world.expect(server(), "MESSAGE", 100);
        assert_eq!(text.tcp, tcp);
        town.reply(&text, 200, "s", &[]);
        town.world.expect(phone.at, "200 MESSAGE", 100);
    }
    town.finish();
}

#[test]
fn all_phones_of_an_address_get_the_text_and_one_that_takes_it_is_enough() {
    let (mut town, alice, bob) = two();
    let other = town.registered(1, 2, "bob");
    town.server_is(Fate::Refuse);
    write(&mut town, &alice, &bob.aor(), "m1", "hello");
    let text = town.world.expect(bob.at, "MESSAGE", 300);
    town.reply(&text, 480, "b", &[]);
    let text = town.world.expect(other.at, "MESSAGE", 100);
    town.world.nothing(alice.at, "480", 500);
    town.reply(&text, 200, "o", &[]);
    town.world.expect(alice.at, "200 MESSAGE", 100);
    write(&mut town, &alice, &bob.aor(), "m2", "hello again");
    for phone in [&bob, &other] {
        let text = town.world.expect(phone.at, "MESSAGE", 300);
        town.reply(&text, 486, "b", &[]);
    }
    town.world.expect(alice.at, "486 MESSAGE", 100);
    town.finish();
}

#[test]
fn what_is_not_looked_up_for_calls_is_not_for_texts() {
    let (mut town, alice, _) = two();
    town.server_is(Fate::Refuse);
    let uris = [
        format!("sip:*21@{DOMAIN}"),
        format!("sip:112@{DOMAIN}"),
        alice.aor(),
        "sip:bob@elsewhere.example".into(),
    ];
    for (number, uri) in uris.iter().enumerate() {
        write(&mut town, &alice, uri, &format!("m{number}"), "hello");
        town.world.expect(alice.at, "503 MESSAGE", 50);
    }
    town.finish();
}

#[test]
fn texts_within_one_router_and_in_mode_server() {
    let (mut town, alice, _) = two();
    let carol = town.registered(0, 2, "carol");
    town.server_is(Fate::Refuse);
    write(&mut town, &alice, &carol.aor(), "m1", "hello");
    let text = town.world.expect(carol.at, "MESSAGE", 100);
    taken(&mut town, &alice, &text);
    town.finish();
    let (mut town, alice, bob) = two_with(|config| config.adapter.mode = Mode::Server);
    town.server_is(Fate::Refuse);
    write(&mut town, &alice, &bob.aor(), "m1", "hello");
    town.world.expect(alice.at, "503 MESSAGE", 50);
    town.finish();
}

#[test]
fn an_adapter_that_takes_nobody_s_calls_takes_nobody_s_texts() {
    let (mut town, alice, bob) =
        two_with(|config| config.identity.accept = cosip::config::Accept::Nobody);
    town.server_is(Fate::Refuse);
    write(&mut town, &alice, &bob.aor(), "m1", "hello");
    town.world.expect(alice.at, "403 MESSAGE", 500);
    town.world.nothing(bob.at, "MESSAGE", 100);
    town.finish();
}
