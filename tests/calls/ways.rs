//! The way to a place that is found or opened first: by name, over TCP, to a phone whose
//! connection is gone.

use crate::acts::gateway;
use crate::net::Fate;
use crate::provider::{Proxy, registrar};
use crate::sip::{Dialog, sdp};
use crate::town::{DOMAIN, Phone, Town, at, server, two};
use cosip::net::{Record, RecordKind};
use std::net::SocketAddr;

const ELSEWHERE: &str = "tcp.example";

fn elsewhere() -> SocketAddr {
    at("192.0.2.80:5060")
}

/// A domain of no provider here, which is reached over TCP alone.
fn with_a_domain_over_tcp() -> Town {
    let mut town = Town::new();
    let service =
        Record::Service { priority: 1, weight: 0, port: 5060, target: "host.tcp.example".into() };
    let names = &mut town.world.names;
    names.push((format!("_sip._tcp.{ELSEWHERE}"), RecordKind::Service, vec![service]));
    let address = vec![Record::Address(elsewhere().ip())];
    names.push(("host.tcp.example".into(), RecordKind::Address, address));
    town
}

/// A request of a phone of that domain.
fn asks(town: &mut Town, phone: &Phone, (method, uri): (&str, &str), call_id: &str) {
    let body = if method == "INVITE" { sdp(phone.media()) } else { String::new() };
    let text = phone.request((method, uri), call_id, 1, &[("Event", "presence")], &body);
    let text = String::from_utf8(text).unwrap().replace(DOMAIN, ELSEWHERE);
    town.say(phone, text.into_bytes());
}

#[test]
fn who_asks_a_name_that_leads_to_tcp_waits_for_the_connection() {
    let mut town = with_a_domain_over_tcp();
    town.world.listening.insert(elsewhere());
    let guest = town.phone(0, 7, "guest");
    for method in ["SUBSCRIBE", "INVITE"] {
        asks(&mut town, &guest, (method, "sip:news@tcp.example"), method);
        let heard = town.world.expect(elsewhere(), method, 200);
        assert!(heard.tcp, "{}", heard.text);
        town.reply(&heard, 486, "n", &[]);
        town.world.expect(guest.at, &format!("486 {method}"), 100);
    }
    town.finish();
}

#[test]
fn who_asks_a_name_whose_host_refuses_tcp_is_told_so() {
    let mut town = with_a_domain_over_tcp();
    let guest = town.phone(0, 7, "guest");
    asks(&mut town, &guest, ("SUBSCRIBE", "sip:news@tcp.example"), "s1");
    town.world.expect(guest.at, "503 SUBSCRIBE", 200);
    assert_eq!(town.status(0)["in_use"]["exchanges"], 0);
    town.finish();
}

#[test]
fn a_uri_says_over_which_transport_and_to_which_host_it_is_asked() {
    let mut town = Town::new();
    let guest = town.phone(0, 7, "guest");
    let (over_tcp, by_maddr) = (at("192.0.2.81:5062"), at("192.0.2.82:5060"));
    town.world.listening.insert(over_tcp);
    let uris = [
        ("sip:news@192.0.2.81:5062;transport=TCP", over_tcp, true),
        ("sip:news@192.0.2.81:5062;transport=udp", over_tcp, false),
        ("sip:news@192.0.2.81;maddr=192.0.2.82", by_maddr, false),
    ];
    for (number, (uri, to, tcp)) in uris.into_iter().enumerate() {
        asks(&mut town, &guest, ("SUBSCRIBE", uri), &format!("s{number}"));
        let heard = town.world.expect(to, "SUBSCRIBE", 100);
        assert_eq!((heard.uri(), heard.tcp), (uri, tcp));
        town.reply(&heard, 489, "n", &[]);
        town.world.expect(guest.at, "489", 100);
    }
    town.finish();
}

#[test]
fn any_request_to_a_phone_whose_connection_is_gone_opens_one() {
    let mut town = Town::new();
    let bob = town.registered_over(true, 1, 1, "bob");
    let gateway = gateway(town.routers[1].outside());
    for method in ["NOTIFY", "OPTIONS", "MESSAGE", "INVITE"] {
        town.world.disconnect(bob.at);
        let target = (method, "sip:bob@203.0.113.2:5062");
        town.say(&gateway, gateway.request(target, &format!("away{method}"), 1, &[], ""));
        town.world.expect(server(), &format!("480 {method}"), 100);
        town.world.listening.insert(bob.at);
        town.say(&gateway, gateway.request(target, &format!("here{method}"), 1, &[], ""));
        let heard = town.world.expect(bob.at, method, 100);
        assert!(heard.tcp);
        town.reply(&heard, 486, "b", &[]);
        town.world.expect(server(), &format!("486 {method}"), 100);
        town.world.listening.remove(&bob.at);
    }
    town.finish();
}

#[test]
fn a_connection_on_which_nobody_registers_is_closed_once_it_is_quiet() {
    let mut town = Town::new();
    let mut bob = town.registered_over(true, 1, 1, "bob");
    let (stranger, door) = (at("192.168.2.66:41000"), town.routers[1].proxy());
    town.world.connect(stranger, door);
    let idle = |town: &mut Town| town.status(1)["counters"]["connections_idle"].clone();
    for _ in 0..3 {
        town.world.send(stranger, door, "\r\n\r\n");
        town.register(&mut bob, 3600);
        town.world.run_ms(50_000);
        assert_eq!(idle(&mut town), 0);
    }
    town.world.run_ms(20_000);
    assert_eq!(idle(&mut town), 1);
    let gateway = gateway(town.routers[1].outside());
    let target = ("NOTIFY", "sip:bob@203.0.113.2:5062");
    town.say(&gateway, gateway.request(target, "n1", 1, &[], ""));
    let heard = town.world.expect(bob.at, "NOTIFY", 100);
    town.reply(&heard, 200, "b", &[]);
    town.world.expect(server(), "200 NOTIFY", 100);
    town.finish();
}

/// Alice calls Bob, whose phone speaks TCP, through the server.
fn a_call_over_tcp() -> (Town, Phone, Phone, Dialog) {
    let mut town = Town::new();
    let mut proxy = Proxy::default();
    town.world.autos.insert(server(), Box::new(move |message| proxy.act(message)));
    let alice = town.registered(0, 1, "alice");
    let bob = town.registered_over(true, 1, 1, "bob");
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 300);
    town.accept(&invite, "b", &bob.contact());
    let caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    (town, alice, bob, caller)
}

#[test]
fn a_goodbye_reaches_a_phone_whose_connection_broke_during_the_call() {
    let (mut town, _, bob, mut caller) = a_call_over_tcp();
    town.world.disconnect(bob.at);
    town.world.listening.insert(bob.at);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_call_follows_its_phone_to_the_connection_that_it_registers_on() {
    let (mut town, alice, mut bob, mut caller) = a_call_over_tcp();
    town.world.disconnect(bob.at);
    bob.at.set_port(40_900);
    town.world.connect(bob.at, bob.proxy);
    town.register(&mut bob, 3600);
    town.world.expect(bob.at, "200 REGISTER", 100);
    let info = caller.request("INFO", &[], "");
    town.say(&alice, info);
    let heard = town.world.expect(bob.at, "INFO", 100);
    town.reply(&heard, 200, "", &[]);
    town.world.expect(alice.at, "200 INFO", 100);
    town.bye(&mut caller, bob.at);
    town.finish();
}

/// Who keeps a phone's voice mail is another host, and off.
#[test]
fn silence_of_a_host_that_is_no_target_says_nothing_about_the_server() {
    let mailbox = at("192.0.2.90:5060");
    for fate in [Fate::Drop, Fate::Refuse] {
        let (mut town, alice, _) = two();
        town.world.autos.insert(server(), Box::new(registrar));
        town.world.fates.insert(mailbox, fate);
        let uri = format!("sip:mailbox@{mailbox}");
        let again = alice.request(("SUBSCRIBE", &uri), "w1", 2, &[("Event", "x")], "");
        let again = String::from_utf8(again).unwrap();
        let again = again.replace(&format!("To: <{uri}>"), &format!("To: <{uri}>;tag=m"));
        town.say(&alice, again.into_bytes());
        town.world.run_ms(5_000);
        assert!(town.packets(mailbox, "SUBSCRIBE") > 0);
        let server = town.status(0)["servers"][0].clone();
        assert_eq!((&server["state"], &server["history"]), (&"up".into(), &serde_json::json!([])));
        town.finish();
    }
}
