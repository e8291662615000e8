//! The WAN side: silence to strangers, service to the provider and to known dialogs.

use crate::acts::gateway;
use crate::net::{Fate, Packet};
use crate::provider::registrar;
use crate::sip::{Dialog, Msg, answer};
use crate::town::{DOMAIN, Phone, Router, Town, at, server, two, two_and_proxy};
use cosip::net::{Input, Network};
use std::net::SocketAddr;

#[test]
fn a_stranger_gets_no_byte_for_any_datagram() {
    let (mut town, _, bob) = two();
    let stranger = at("198.51.100.66:5060");
    let outside = town.routers[1].outside();
    let mut other = bob.clone();
    (other.at, other.user) = (stranger, "mallory".into());
    let body = crate::sip::sdp(stranger);
    for method in ["INVITE", "OPTIONS", "REGISTER", "MESSAGE", "NOTIFY", "BYE", "CANCEL", "ACK"] {
        for target in ["sip:bob@203.0.113.2:5062", "sip:203.0.113.2", "sip:nobody@example.net"] {
            let text = other.request((method, target), &format!("m{method}"), 1, &[], &body);
            town.world.send(stranger, outside, text);
        }
    }
    let broken = ["", "\r\n\r\n", "x", "INVITE sip:bob SIP/2.0\r\n\r\n", "SIP/2.0 200 OK\r\n\r\n"];
    for bytes in broken {
        for port in [5062, 5070, 30_000, 30_001] {
            town.world.send(stranger, (outside.ip(), port).into(), bytes);
        }
    }
    let junk: Vec<u8> = (0..=255).collect();
    town.world.send(stranger, outside, junk);
    town.world.nothing(bob.at, "INVITE", 2_000);
    let heard = |packet: &Packet| packet.to == stranger;
    assert!(!town.world.log.iter().any(heard), "silence");
    town.finish();
}

#[test]
fn the_provider_is_served_in_any_method() {
    let (mut town, _, bob) = two();
    let gateway = gateway(town.routers[1].outside());
    for method in ["OPTIONS", "MESSAGE", "NOTIFY", "INVITE"] {
        let target = (method, "sip:bob@203.0.113.2:5062");
        town.say(&gateway, gateway.request(target, method, 1, &[], ""));
        let heard = town.world.expect(bob.at, method, 100);
        assert_eq!(heard.uri(), bob.contact());
        if ["NOTIFY", "INVITE"].contains(&method) {
            assert_eq!(heard.all("Record-Route")[0], "<sip:192.168.2.1:5060;lr>");
        }
        town.reply(&heard, 486, "b", &[]);
        let back = town.world.expect(server(), &format!("486 {method}"), 100);
        assert!(!back.has("Record-Route"));
    }
    for (method, code) in [("OPTIONS", "200"), ("INVITE", "404"), ("MESSAGE", "404")] {
        let target = (method, "sip:nobody@203.0.113.2:5062");
        town.say(&gateway, gateway.request(target, "x", 1, &[], ""));
        town.world.expect(server(), &format!("{code} {method}"), 100);
    }
    town.finish();
}

/// A guest may have itself accepted by any host, and that host wants the other phones.
#[test]
fn a_host_that_a_guest_registers_at_speaks_for_that_guest_alone() {
    let (mut town, _, bob) = two();
    let elsewhere = at("192.0.2.66:5060");
    town.world.autos.insert(elsewhere, Box::new(registrar));
    let mut guest = town.phone(1, 7, "guest");
    register_at(&mut town, &mut guest, elsewhere);
    town.world.expect(guest.at, "200 REGISTER", 100);
    let host = Phone { at: elsewhere, ..gateway(town.routers[1].outside()) };
    let called = format!("<{}>", bob.aor());
    for method in ["INVITE", "MESSAGE", "NOTIFY"] {
        let target = (method, "sip:bob@203.0.113.2:5062");
        let extra = [("P-Called-Party-ID", called.as_str())];
        town.say(&host, host.request(target, &format!("m{method}"), 1, &extra, ""));
        town.world.expect(elsewhere, &format!("404 {method}"), 100);
        town.world.nothing(bob.at, method, 200);
    }
    let target = ("INVITE", "sip:guest@203.0.113.2:5062");
    town.say(&host, host.request(target, "g1", 1, &[], ""));
    let heard = town.world.expect(guest.at, "INVITE", 100);
    town.reply(&heard, 486, "g", &[]);
    town.world.expect(elsewhere, "486", 100);
    town.finish();
}

#[test]
fn a_host_that_has_accepted_nobody_stays_a_stranger() {
    let (mut town, ..) = two();
    let elsewhere = at("192.0.2.66:5060");
    let refuse = |m: &Msg| m.is_request().then(|| vec![(m.from, answer(m, 401, "s", &[], ""))]);
    town.world.autos.insert(elsewhere, Box::new(refuse));
    let mut guest = town.phone(1, 7, "guest");
    register_at(&mut town, &mut guest, elsewhere);
    town.world.expect(guest.at, "401 REGISTER", 100);
    let host = Phone { at: elsewhere, ..gateway(town.routers[1].outside()) };
    let target = ("OPTIONS", "sip:nobody@203.0.113.2:5062");
    town.say(&host, host.request(target, "o1", 1, &[], ""));
    town.world.nothing(elsewhere, "200", 500);
    town.finish();
}

/// A REGISTER at a host of no provider.
fn register_at(town: &mut Town, phone: &mut Phone, host: SocketAddr) {
    let text = String::from_utf8(Town::register_text(phone, 3600, &[])).unwrap();
    town.say(phone, text.replace(DOMAIN, &host.ip().to_string()).into_bytes());
}

/// The callee's router has addresses of both families, the caller's of one.
#[test]
fn a_datagram_that_no_socket_can_send_holds_back_none_behind_it() {
    let (mut town, alice, bob) = two();
    let Router { place, lan, wan, .. } = town.routers[1];
    let wan = vec!["2a00:1450::2".parse().unwrap(), wan];
    let network = Network { lan: vec![lan], wan, wan_up: true, ..Network::default() };
    town.world.input(place, Input::Network(&network));
    town.world.run_ms(5_000);
    town.server_is(Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    let is_its = |packet: &&Packet| packet.from == at("203.0.113.1:5070");
    let sent = |town: &Town| town.world.log.iter().filter(is_its).count();
    for _ in 0..600 {
        town.world.run_ms(1);
        let before = sent(&town);
        town.status(0);
        assert_eq!(sent(&town), before, "it waited for the next input");
    }
    assert_ne!(town.status(0)["counters"]["overlay_unsent"], 0);
    let heard = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&heard, 486, "b", &[]);
    town.world.expect(alice.at, "486", 100);
    town.finish();
}

#[test]
fn an_unknown_user_part_is_resolved_from_p_called_party_id_then_to() {
    let (mut town, _, bob) = two();
    let gateway = gateway(town.routers[1].outside());
    let called = [("P-Called-Party-ID", format!("<sip:bob@{DOMAIN}>"))];
    let called: Vec<(&str, &str)> = called.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let target = ("INVITE", "sip:line1@203.0.113.2:5062");
    town.say(&gateway, gateway.request(target, "p1", 1, &called, ""));
    let heard = town.world.expect(bob.at, "INVITE", 100);
    assert_eq!(heard.uri(), bob.contact());
    town.reply(&heard, 486, "b", &[]);
    town.world.expect(server(), "486", 100);
    let text = gateway.request(target, "p2", 1, &[], "");
    let text = String::from_utf8(text).unwrap();
    let text = text.replace("To: <sip:line1@203.0.113.2:5062>", &format!("To: <{}>", bob.aor()));
    town.say(&gateway, text.into_bytes());
    let heard = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&heard, 486, "b", &[]);
    town.world.expect(server(), "486", 100);
    town.finish();
}

#[test]
fn a_known_dialog_is_served_from_any_source() {
    let (mut town, alice, bob) = two_and_proxy();
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 300);
    let mut callee = town.accept(&invite, "b", &bob.contact());
    let caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    let elsewhere = at("192.0.2.200:5060");
    let mut moved = Dialog { at: elsewhere, routes: Vec::new(), ..callee.clone() };
    moved.target = "sip:alice@203.0.113.1:5062".into();
    let info = moved.request("INFO", &[], "");
    town.world.send(elsewhere, town.routers[0].outside(), info);
    let heard = town.world.expect(alice.at, "INFO", 100);
    town.world.send(alice.at, alice.proxy, answer(&heard, 200, "", &[], ""));
    town.world.expect(elsewhere, "200 INFO", 100);
    let mut forged = Dialog { local: "<sip:bob@example.net>;tag=wrong".into(), ..moved };
    let info = forged.request("INFO", &[], "");
    town.world.send(elsewhere, town.routers[0].outside(), info);
    town.world.nothing(alice.at, "INFO", 500);
    town.world.nothing(elsewhere, "481", 500);
    callee.cseq = 200;
    town.bye(&mut callee, alice.at);
    drop(caller);
    town.finish();
}
