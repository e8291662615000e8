//! Nothing that arrives over the overlay reaches a provider, or anybody else but the phones here
//! and whoever sent it: no member calls at another's expense (toll fraud).

use crate::callers::{Mallory, by_server, certify, is_busy};
use crate::sip::{Dialog, Msg, answer};
use crate::town::{DOMAIN, Phone, Town, server, two_with};
use cosip::config::{Account, Secret};
use std::net::SocketAddr;

/// Where a call costs, or means something else than a phone here.
const TARGETS: [&str; 16] = [
    "sip:+4990012345@example.net",
    "sip:+4990012345@example.net;user=phone",
    "sip:0900%2012345@example.net",
    "sip:+4990012345@198.51.100.1:5060",
    "sip:+4990012345@203.0.113.2:5062",
    "sip:*21*0900@example.net",
    "tel:+4990012345",
    "tel:0900;phone-context=example.net",
    "sip:112@example.net",
    "urn:service:sos",
    "sip:alice@example.net",
    "sip:carol@elsewhere.example",
    "sip:198.51.100.1",
    "sip:203.0.113.2:5062;lr",
    "sips:+4990012345@example.net",
    "sip:bob%40example.net@elsewhere.example",
];

const AOR: &str = "sip:bob@example.net";

const METHODS: [&str; 14] = [
    "INVITE",
    "MESSAGE",
    "REFER",
    "OPTIONS",
    "REGISTER",
    "SUBSCRIBE",
    "NOTIFY",
    "PUBLISH",
    "INFO",
    "UPDATE",
    "PRACK",
    "BYE",
    "CANCEL",
    "ACK",
];

/// Ways to have a proxy pass a request on.
const ROUTES: [(&str, &str); 4] = [
    ("Route", "<sip:198.51.100.1;lr>"),
    ("Route", "<sip:203.0.113.2:5062;lr>, <sip:198.51.100.1;lr>"),
    ("Record-Route", "<sip:198.51.100.1;lr>"),
    ("P-Called-Party-ID", "<sip:+4990012345@example.net>"),
];

/// Bob, whose password his router knows, and a member that is certified.
fn with_account() -> (Town, Phone, Mallory) {
    let (mut town, _, bob) = two_with(|config| {
        config.accounts.push(Account {
            aor: "sip:bob@example.net".into(),
            user: "bob".into(),
            realm: DOMAIN.into(),
            password: Some(Secret::new("secret")),
            ..Account::default()
        });
    });
    certify(&mut town, 1, &["bob"]);
    let mallory = Mallory::new(&mut town);
    (town, bob, mallory)
}

/// A request of Mallory to this URI.
fn to(
    mallory: &Mallory,
    (method, uri): (&str, &str),
    call_id: &str,
    more: &[(&str, &str)],
) -> String {
    let text = String::from_utf8(mallory.request(method, "mallory", call_id, more)).unwrap();
    let line = format!("{method} sip:bob@{DOMAIN} SIP/2.0");
    text.replacen(&line, &format!("{method} {uri} SIP/2.0"), 1)
}

/// What Bob's router has sent since then: not to his phone, nor on the overlay, and neither to
/// register him nor to hold a way open.
fn outside(town: &Town, bob: &Phone, since: usize) -> Vec<Msg> {
    let overlay = |to: &SocketAddr| to.port() == 5070;
    let sent = town.world.log[since..].iter().filter(|p| town.routers[1].owns(p.from));
    let sent = sent.filter(|p| p.to != bob.at && !overlay(&p.to)).filter_map(Msg::parse);
    let own = |m: &Msg| {
        let own = m.is_request() && ["REGISTER", "OPTIONS"].contains(&m.method());
        own && !m.text.contains("mallory") && !m.text.contains("0900")
    };
    sent.filter(|message| !own(message)).collect()
}

fn nothing_outside(town: &Town, bob: &Phone, since: usize, what: &str) {
    let sent: Vec<String> = outside(town, bob, since).into_iter().map(|m| m.text).collect();
    assert!(sent.is_empty(), "{what}: {sent:?}");
}

#[test]
fn whatever_a_member_asks_of_whom_reaches_no_provider() {
    let (mut town, bob, mallory) = with_account();
    let mut number = 0;
    for method in METHODS {
        for uri in TARGETS {
            for tag in ["", ";tag=x"] {
                let since = town.world.log.len();
                let (route, who) = (ROUTES[number % ROUTES.len()], format!("<{uri}>{tag}"));
                let request =
                    to(&mallory, (method, uri), &format!("t{number}"), &[route, ("To", &who)]);
                number += 1;
                mallory.sends(&mut town, request.as_bytes());
                town.world.run_ms(50);
                nothing_outside(&town, &bob, since, &request);
            }
        }
        assert!(town.world.take(bob.at, method).is_none(), "{method} reached a phone");
    }
    assert_eq!(mallory.heard(&mut town, "SIP/2.0 2"), 0);
    // All but ACK, which nobody answers, and URIs that are none.
    let refused = mallory.heard(&mut town, "SIP/2.0 4");
    assert!(refused > number * 3 / 4, "{refused} of {number} were heard");
    let since = town.world.log.len();
    town.world.run_ms(40_000);
    nothing_outside(&town, &bob, since, "late");
    town.finish();
}

#[test]
fn a_call_goes_to_the_phone_and_nowhere_else_whatever_its_routes_and_its_uri_say() {
    let (mut town, bob, mallory) = with_account();
    let uris = [
        "sip:bob@example.net;maddr=198.51.100.1",
        "sip:bob@example.net:5060;transport=tcp",
        "sip:bob@198.51.100.1",
        "sip:bob:password@example.net;lr",
        "sip:%62ob@example.net;method=REGISTER",
    ];
    for (number, uri) in uris.into_iter().enumerate() {
        let since = town.world.log.len();
        let call_id = format!("t{number}");
        let request = to(&mallory, ("INVITE", uri), &call_id, &[ROUTES[number % ROUTES.len()]]);
        mallory.sends(&mut town, request.as_bytes());
        town.world.run_ms(500);
        let heard = town.world.take(bob.at, "INVITE").expect(uri);
        assert_eq!(heard.uri(), bob.contact());
        assert!(!heard.has("Route") && heard.all("Record-Route").len() == 1, "{}", heard.text);
        assert!(!heard.text.contains("198.51.100.1"), "{}", heard.text);
        is_busy(&mut town, &heard);
        town.world.run_ms(1_000);
        nothing_outside(&town, &bob, since, uri);
    }
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn a_phone_that_forwards_its_calls_has_none_dialled_for_a_member() {
    let (mut town, bob, mallory) = with_account();
    for (number, code) in [302, 305, 380].into_iter().enumerate() {
        let since = town.world.log.len();
        let call_id = format!("t{number}");
        mallory.sends(&mut town, &mallory.request("INVITE", "mallory", &call_id, &[]));
        let heard = town.world.expect(bob.at, "INVITE", 500);
        let contacts = [
            ("Contact", "<sip:+4990012345@example.net>"),
            ("Contact", "<sip:112@198.51.100.1>;q=0.2"),
            ("Diversion", "<sip:bob@example.net>;reason=unconditional"),
        ];
        town.reply(&heard, code, "b", &contacts);
        town.world.expect(bob.at, "ACK", 100);
        town.world.run_ms(40_000);
        nothing_outside(&town, &bob, since, &format!("{code}"));
        assert_eq!(mallory.heard(&mut town, &format!("SIP/2.0 {code}")), 1);
    }
    town.finish();
}

/// A request of Mallory inside the call of [`speaking`].
fn inside(
    mallory: &Mallory,
    number: u32,
    (method, uri): (&str, &str),
    more: &[(&str, &str)],
) -> String {
    let who = format!("<sip:bob@{DOMAIN}>;tag=b");
    let mut all = vec![("To", who.as_str())];
    all.extend_from_slice(more);
    let text = to(mallory, (method, uri), "c1", &all);
    let text = text.replace("CSeq: 1 ", &format!("CSeq: {number} "));
    text.replace("z9hG4bK", &format!("z9hG4bK{number}"))
}

/// Mallory and Bob speak.
fn speaking(town: &mut Town, bob: &Phone, mallory: &Mallory) {
    mallory.sends(town, &mallory.request("INVITE", "mallory", "c1", &[]));
    let invite = town.world.expect(bob.at, "INVITE", 500);
    town.accept(&invite, "b", &bob.contact());
    town.world.run_ms(100);
    mallory.sends(town, inside(mallory, 1, ("ACK", AOR), &[]).as_bytes());
    town.world.expect(bob.at, "ACK", 500);
}

#[test]
fn inside_a_call_requests_end_at_its_phone_and_transfers_to_what_costs_are_refused() {
    let (mut town, bob, mallory) = with_account();
    speaking(&mut town, &bob, &mallory);
    let (since, mut number, mut heard) = (town.world.log.len(), 1, 0);
    for method in ["INFO", "OPTIONS", "UPDATE", "MESSAGE"] {
        for uri in TARGETS {
            number += 1;
            let route = ROUTES[number as usize % ROUTES.len()];
            let request = inside(&mallory, number, (method, uri), &[route]);
            mallory.sends(&mut town, request.as_bytes());
            town.world.run_ms(50);
            if let Some(request) = town.world.take(bob.at, method) {
                assert_eq!(request.uri(), bob.contact());
                town.reply(&request, 200, "", &[]);
                heard += 1;
            }
        }
    }
    assert!(heard >= 40, "{heard}");
    for uri in TARGETS.into_iter().filter(|uri| *uri != "sip:alice@example.net") {
        for target in [format!("<{uri}>"), format!("<{uri}?Replaces=x%3Bto-tag%3Dy>")] {
            number += 1;
            let more = [("Refer-To", target.as_str()), ("Refer-Sub", "false")];
            let request = inside(&mallory, number, ("REFER", AOR), &more);
            mallory.sends(&mut town, request.as_bytes());
            town.world.nothing(bob.at, "REFER", 2_000);
        }
    }
    nothing_outside(&town, &bob, since, "inside the call");
    mallory.sends(&mut town, inside(&mallory, 900, ("BYE", AOR), &[]).as_bytes());
    let bye = town.world.expect(bob.at, "BYE", 2_500);
    town.reply(&bye, 200, "b", &[]);
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn no_member_takes_the_place_of_a_call_by_the_server() {
    let (mut town, bob, mallory) = with_account();
    by_server(&mut town, "gateway", "s1");
    let invite = town.world.expect(bob.at, "INVITE", 500);
    let mut callee = town.accept(&invite, "b", &bob.contact());
    let success = town.world.expect(server(), "200 INVITE", 500);
    let ack = Dialog::of_answer(&success, "sip:gw@198.51.100.1").ack(1);
    town.world.send(server(), town.routers[1].outside(), ack);
    town.world.expect(bob.at, "ACK", 500);
    let replaces = [("Replaces", "s1;to-tag=b;from-tag=s"), ("Require", "replaces")];
    mallory.sends(&mut town, &mallory.request("INVITE", "mallory", "c1", &replaces));
    let heard = town.world.expect(bob.at, "INVITE", 500);
    assert!(!heard.has("Replaces"), "{}", heard.text);
    is_busy(&mut town, &heard);
    let bye = callee.request("BYE", &[], "");
    town.world.send(bob.at, bob.proxy, bye);
    let bye = town.world.expect(server(), "BYE", 500);
    town.reply(&bye, 200, "", &[]);
    town.world.run_ms(40_000);
    town.finish();
}

#[test]
fn no_member_has_the_passwords_of_a_provider_hashed_for_it() {
    let (mut town, bob, mallory) = with_account();
    mallory.tells(&mut town, "c1", &["mallory"]);
    town.world.run_ms(1_000);
    by_server(&mut town, "mallory", "s1");
    let invite = town.world.expect(bob.at, "INVITE", 500);
    let mut callee = town.accept(&invite, "b", &bob.contact());
    let success = town.world.expect(server(), "200 INVITE", 500);
    let ack = Dialog::of_answer(&success, "sip:gw@198.51.100.1").ack(1);
    town.world.send(server(), town.routers[1].outside(), ack);
    town.world.expect(bob.at, "ACK", 500);
    let bye = callee.request("BYE", &[], "");
    town.world.send(bob.at, bob.proxy, bye);
    let bye = town.world.expect(server(), "BYE", 500);
    town.reply(&bye, 200, "", &[]);
    town.world.run_ms(100);
    let heard = town.world.order(mallory.place, |node, _| node.liar().heard.clone());
    let copies: Vec<&String> = heard.iter().filter(|text| text.starts_with("BYE ")).collect();
    assert!(!copies.is_empty(), "the goodbye takes the direct path too: {heard:?}");
    let challenge = "Digest realm=\"example.net\", nonce=\"chosen\", qop=\"auth\", algorithm=MD5";
    for copy in copies {
        let bye = Msg { at: bob.at, from: bob.proxy, tcp: false, text: copy.clone() };
        let bytes = answer(&bye, 401, "m", &[("WWW-Authenticate", challenge)], "");
        mallory.sends(&mut town, &bytes);
    }
    town.world.run_ms(40_000);
    let heard = town.world.order(mallory.place, |node, _| node.liar().heard.clone());
    assert!(heard.iter().all(|text| !text.contains("Authorization")), "{heard:?}");
    town.finish();
}
