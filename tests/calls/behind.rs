//! A router behind another one, which opens ports when it is asked by PCP or NAT-PMP.

use crate::acts::gateway;
use crate::net::{Fate, Packet};
use crate::sip::Msg;
use crate::town::{DOMAIN, Phone, Town, at, server};
use cosip::net::Input;
use cosip::time::Instant;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

const WAN: [u8; 4] = [10, 0, 0, 20];
const GATEWAY: [u8; 4] = [10, 0, 0, 1];
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
/// Each port is opened under a number that is this much higher.
const HIGHER: u16 = 10_000;

/// The router in front: what it has opened, by our own ports.
struct Front {
    outside: Ipv4Addr,
    booted: Instant,
    open: BTreeMap<u16, u16>,
    /// Its version: PCP is 2, NAT-PMP 0.
    version: u8,
}

impl Front {
    fn new(version: u8) -> Rc<RefCell<Self>> {
        let (outside, open) = (OUTSIDE, BTreeMap::new());
        Rc::new(RefCell::new(Self { outside, booted: Instant::ZERO, open, version }))
    }

    fn map(&mut self, port: u16, lifetime: &[u8]) -> u16 {
        if lifetime == [0; 4] {
            return self.open.remove(&port).unwrap_or_default();
        }
        *self.open.entry(port).or_insert(port + HIGHER)
    }

    fn answer(&mut self, now: Instant, asked: &[u8]) -> Option<Vec<u8>> {
        let epoch = (now.since(self.booted).as_secs() as u32).to_be_bytes();
        let port = |at: usize| u16::from_be_bytes([asked[at], asked[at + 1]]);
        let mut out = asked.to_vec();
        match (asked[0] == self.version, asked[0], asked[1]) {
            (true, 2, opcode) => {
                out[1] |= 0x80;
                out[8..12].copy_from_slice(&epoch);
                out[12..24].fill(0);
                if opcode == 1 {
                    let external = self.map(port(40), &asked[4..8]);
                    out[42..44].copy_from_slice(&external.to_be_bytes());
                    out[44..60].copy_from_slice(&self.outside.to_ipv6_mapped().octets());
                }
            }
            (true, 0, 0) => {
                out = [&[0, 0x80, 0, 0][..], &epoch, &self.outside.octets()].concat();
            }
            (true, 0, _) => {
                let external = self.map(port(4), &asked[8..12]).to_be_bytes();
                out =
                    [&[0, 0x81, 0, 0][..], &epoch, &asked[4..6], &external, &asked[8..12]].concat();
            }
            // A gateway of version 0 says so.
            _ if self.version == 0 => out = [&[0, asked[1] | 0x80, 0, 1][..], &epoch].concat(),
            _ => return None,
        }
        Some(out)
    }
}

/// A town in which the first router is behind another one, and has had it open its ports.
fn town_behind(front: &Rc<RefCell<Front>>) -> Town {
    let mut town = Town::new();
    let front = front.clone();
    let other = move |now, asked: &[u8]| front.borrow_mut().answer(now, asked);
    town.world.others.insert((IpAddr::from(GATEWAY), 5351).into(), Box::new(other));
    town.put_behind(0, WAN.into(), GATEWAY.into());
    town.world.run_ms(5_000);
    town
}

/// The last SIP message of a method that the server was sent.
fn seen(town: &Town, method: &str) -> Msg {
    let to_server = |packet: &&Packet| packet.to == server();
    let mut messages = town.world.log.iter().rev().filter(to_server).filter_map(Msg::parse);
    messages.find(|message| message.is(method)).expect("the server was asked")
}

#[test]
fn what_the_provider_and_other_adapters_see_is_the_opened_port() {
    for version in [2, 0] {
        let front = Front::new(version);
        let mut town = town_behind(&front);
        let alice = town.registered(0, 1, "alice");
        let register = seen(&town, "REGISTER");
        assert!(register.one("Via").starts_with("SIP/2.0/UDP 203.0.113.9:15062;"));
        assert_eq!(register.contact(), "sip:alice@203.0.113.9:15062");
        let status = town.status(0);
        assert_eq!(status["network"]["public_address"], "203.0.113.9");
        let state = status["network"]["port_mapping"]["state"].as_str().unwrap();
        let spoken = if version == 2 { "PCP" } else { "NAT-PMP" };
        let wanted = format!("the router in front (10.0.0.1) opens ports by {spoken}");
        assert_eq!(state, wanted);
        assert_eq!(status["overlay"]["reachable"], "mapped");
        assert_eq!(status["overlay"]["reason"], wanted.as_str());
        let reply = town.world.ask(town.routers[1].place, &["lookup", &alice.aor()]);
        assert!(reply.contains("203.0.113.9:15070"), "{reply}");

        calls_out(&mut town, &front, &alice);
        calls_in(&mut town, &alice);
        town.world.input(town.routers[0].place, Input::Stop);
        town.world.run_ms(1_000);
        assert_eq!(front.borrow().open, BTreeMap::new(), "closed at the end");
        town.world.deaf.insert(town.routers[0].place);
        town.finish();
    }
}

/// The description that leaves names an opened port.
fn calls_out(town: &mut Town, front: &Rc<RefCell<Front>>, alice: &Phone) {
    let uri = format!("sip:4711@{DOMAIN}");
    town.dial(alice, &uri, "out");
    let invite = town.world.expect(server(), "INVITE", 50);
    assert_eq!(invite.contact(), "sip:alice@203.0.113.9:15062");
    assert!(invite.body().contains("c=IN IP4 203.0.113.9\r\n"), "{}", invite.text);
    let (_, line) = invite.body().split_once("m=audio ").unwrap();
    let port: u16 = line.split(' ').next().unwrap().parse().unwrap();
    assert_eq!(front.borrow().open.get(&(port - HIGHER)), Some(&port), "it is open");
    town.reply(&invite, 404, "srv", &[]);
    town.refused(alice, "404", &uri, 100);
}

/// A call to the Contact that the provider knows; the router in front has translated the address.
fn calls_in(town: &mut Town, alice: &Phone) {
    let gateway = gateway((IpAddr::from(WAN), 5062).into());
    let target = ("INVITE", "sip:alice@203.0.113.9:15062");
    let text = gateway.request(target, "in", 1, &[], &crate::sip::sdp(at("198.51.100.1:4000")));
    town.say(&gateway, text);
    let heard = town.world.expect(alice.at, "INVITE", 100);
    assert_eq!(heard.uri(), alice.contact());
    town.reply(&heard, 486, "b", &[]);
    town.world.expect(server(), "486", 100);
}

#[test]
fn another_address_in_front_is_told_to_the_provider() {
    let front = Front::new(0);
    let mut town = town_behind(&front);
    let mut alice = town.registered(0, 1, "alice");
    front.borrow_mut().outside = [203, 0, 113, 77].into();
    front.borrow_mut().booted = town.world.now;
    town.world.run_ms(65_000);
    town.register(&mut alice, 3600);
    town.world.expect(alice.at, "200 REGISTER", 3_000);
    assert_eq!(seen(&town, "REGISTER").contact(), "sip:alice@203.0.113.77:15062");
    let reply = town.world.ask(town.routers[1].place, &["lookup", &alice.aor()]);
    assert!(reply.contains("203.0.113.77:15070"), "{reply}");
    town.finish();
}

#[test]
fn a_router_in_front_that_opens_nothing_delays_nothing_and_is_named() {
    let mut town = Town::new();
    // It lets nobody in to the overlay's port.
    let port = (IpAddr::from(WAN), 5070).into();
    let rule = move |packet: &Packet| if packet.to == port { Fate::Drop } else { Fate::Deliver };
    town.world.rule = Some(Box::new(rule));
    town.put_behind(0, WAN.into(), GATEWAY.into());
    let alice = town.registered(0, 1, "alice");
    town.dial(&alice, &format!("sip:4711@{DOMAIN}"), "out");
    let invite = town.world.expect(server(), "INVITE", 50);
    town.reply(&invite, 404, "srv", &[]);
    town.refused(&alice, "404", invite.uri(), 100);
    town.world.run_ms(20_000);
    let status = town.status(0);
    let wanted = "the router in front (10.0.0.1) does not open ports: PCP, NAT-PMP and UPnP \
                  unanswered";
    assert_eq!(status["network"]["port_mapping"]["state"], wanted);
    let reason = status["overlay"]["reason"].as_str().unwrap();
    assert!(reason.ends_with(&format!("; {wanted}")), "{reason}");
    town.finish();
}

#[test]
fn the_option_is_obeyed_at_once_and_a_literal_address_needs_no_help() {
    let front = Front::new(2);
    let mut town = town_behind(&front);
    assert!(!front.borrow().open.is_empty());
    let mut config = town.routers[0].config.clone();
    config.adapter.port_mapping = false;
    town.world.input(town.routers[0].place, Input::Config(&config));
    town.world.run_ms(1_000);
    assert_eq!(front.borrow().open, BTreeMap::new());
    config.adapter.port_mapping = true;
    town.world.input(town.routers[0].place, Input::Config(&config));
    town.world.run_ms(1_000);
    assert!(!front.borrow().open.is_empty());
    town.finish();

    type Change = fn(&mut cosip::config::Config);
    let changes: [Change; 3] = [
        |config| config.adapter.wan = vec!["10.0.0.20".into()],
        |config| config.adapter.public_address = Some([203, 0, 113, 1].into()),
        |config| config.adapter.port_mapping = false,
    ];
    for change in changes {
        let mut town = Town::with(1, change);
        town.put_behind(0, WAN.into(), GATEWAY.into());
        town.world.run_ms(20_000);
        let asked = |packet: &Packet| packet.to.ip() == IpAddr::from(GATEWAY);
        assert!(!town.world.log.iter().any(asked));
        town.finish();
    }
}
