//! NAT bindings towards servers are held open.

use crate::net::Packet;
use crate::town::{DOMAIN, Town, at, over_tcp, server};
use std::net::SocketAddr;

/// Instants, in ms, of the keep-alives from `from` to `to`.
fn kept(town: &Town, from: SocketAddr, to: SocketAddr) -> Vec<u64> {
    let is = |p: &&Packet| (p.from, p.to, p.data.as_slice()) == (from, to, b"\r\n\r\n");
    town.world.log.iter().filter(is).map(|packet| packet.at.millis()).collect()
}

fn open(times: &[u64], minutes: u64) {
    let gaps: Vec<u64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| (5_000..=20_000).contains(gap)), "{gaps:?}");
    assert!(times.len() as u64 >= 3 * minutes, "{times:?}");
}

#[test]
fn one_flow_of_several_phones_is_kept_open_once() {
    let mut town = Town::new();
    town.registered(0, 1, "alice");
    town.registered(0, 2, "bob");
    town.world.run_ms(115_000);
    open(&kept(&town, town.routers[0].outside(), server()), 2);
    assert!(kept(&town, town.routers[1].outside(), server()).is_empty(), "nobody registered");
    town.finish();
}

#[test]
fn over_tcp_the_connection_of_each_phone_is_kept_open() {
    let mut town = over_tcp();
    for (number, user) in [(1, "alice"), (2, "bob")] {
        town.registered(0, number, user);
    }
    town.world.run_ms(115_000);
    let to_server = |p: &&Packet| p.to == server() && p.data.starts_with(b"REGISTER");
    let ends: Vec<SocketAddr> =
        town.world.log.iter().filter(to_server).map(|packet| packet.from).collect();
    assert_eq!(ends.len(), 2);
    for end in ends {
        open(&kept(&town, end, server()), 2);
    }
    // What the server sends to the same end is taken in silence.
    let before = town.world.log.len();
    let end = town.world.log.iter().find(to_server).unwrap().from;
    town.world.send(server(), end, "\r\n\r\n");
    town.world.run_ms(100);
    let answered = |packet: &Packet| packet.to == server() && packet.data == b"\r\n";
    assert!(!town.world.log[before..].iter().any(answered));
    town.finish();
}

#[test]
fn phones_of_no_configured_provider_are_kept_reachable_too() {
    let mut town = Town::new();
    let other = at("198.51.100.9:5060");
    town.world.autos.insert(other, Box::new(crate::provider::registrar));
    let mut phone = town.phone(0, 1, "carol");
    let text = String::from_utf8(Town::register_text(&mut phone, 3600, &[])).unwrap();
    let text = text.replace(&format!("REGISTER sip:{DOMAIN}"), "REGISTER sip:198.51.100.9");
    town.say(&phone, text.replace(DOMAIN, "example.org").into_bytes());
    town.world.expect(phone.at, "200 REGISTER", 100);
    town.world.run_ms(115_000);
    open(&kept(&town, town.routers[0].outside(), other), 2);
    town.finish();
}
