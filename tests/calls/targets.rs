//! A provider with several targets: a phone stays where it was accepted, and moves where that
//! fails; one target that is dead is no outage.

use crate::net::Fate;
use crate::provider::registrar;
use crate::sip::{answer, uri_of};
use crate::town::{DOMAIN, Phone, Town, at, server};
use cosip::config::{Config, Server, Transport};
use cosip::net::{Record, RecordKind};
use std::net::SocketAddr;

fn second() -> SocketAddr {
    at("198.51.100.2:5060")
}

fn fallback(config: &mut Config) {
    config.providers[0].fallback_server = vec![Server {
        host: second().ip().to_string(),
        port: Some(second().port()),
        transport: Some(Transport::Udp),
    }];
}

/// A town whose provider has two servers, which both register everybody.
fn town() -> Town {
    let mut town = Town::with(1, fallback);
    town.world.autos.insert(second(), Box::new(registrar));
    town
}

fn registered(town: &mut Town, phone: &mut Phone, ms: u64) {
    town.register(phone, 3600);
    town.world.expect(phone.at, "200 REGISTER", ms);
}

fn never_down(town: &mut Town) {
    let history = town.status(0)["servers"][0]["history"].clone();
    let down = |change: &&serde_json::Value| change["state"] == "down";
    assert_eq!(history.as_array().unwrap().iter().find(down), None, "{history}");
}

#[test]
fn a_phone_moves_after_a_hedge_of_silence_and_stays_where_it_was_accepted() {
    let mut town = town();
    let mut alice = town.registered(0, 1, "alice");
    assert_eq!(town.packets(second(), "REGISTER"), 0);
    town.world.run_ms(1_801_000);
    town.world.fates.insert(server(), Fate::Drop);
    registered(&mut town, &mut alice, 540);
    assert_eq!(town.packets(second(), "REGISTER"), 1);
    town.world.fates.clear();
    let before = town.packets(server(), "REGISTER");
    for _ in 0..40 {
        town.world.run_ms(55_000);
        registered(&mut town, &mut alice, 20);
    }
    assert_eq!(town.packets(server(), "REGISTER"), before);
    assert_eq!(town.packets(second(), "REGISTER"), 2, "at the half-life");
    never_down(&mut town);
    town.finish();
}

#[test]
fn a_phone_moves_at_once_where_the_transport_or_the_server_fails() {
    for failure in [Some(Fate::Refuse), None] {
        let mut town = town();
        let mut alice = town.registered(0, 1, "alice");
        town.world.run_ms(1_801_000);
        match failure {
            Some(fate) => town.server_is(fate),
            None => {
                let refuse = |m: &crate::sip::Msg| {
                    m.is_request().then(|| vec![(m.from, answer(m, 503, "s", &[], ""))])
                };
                town.world.autos.insert(server(), Box::new(refuse));
            }
        }
        registered(&mut town, &mut alice, 50);
        assert_eq!(town.packets(second(), "REGISTER"), 1);
        let shielded = &town.status(0)["counters"]["registrations_shielded"];
        assert_eq!(shielded, 0, "the second target accepted it");
        never_down(&mut town);
        town.finish();
    }
}

#[test]
fn a_stranger_is_registered_at_the_next_target_too() {
    let mut town = town();
    town.world.fates.insert(server(), Fate::Drop);
    let mut alice = town.phone(0, 1, "alice");
    registered(&mut town, &mut alice, 540);
    town.finish();
}

#[test]
fn an_invite_tries_the_next_target_and_the_overlay_together() {
    for refusal in [403, 404, 480] {
        let mut town = town();
        let alice = town.registered(0, 1, "alice");
        let bob = town.registered(1, 1, "bob");
        town.world.fates.insert(server(), Fate::Drop);
        town.dial(&alice, &bob.aor(), "c1");
        town.world.nothing(second(), "INVITE", 490);
        let heard = town.world.expect(second(), "INVITE", 50);
        let ringing = town.world.expect(bob.at, "INVITE", 50);
        town.reply(&heard, refusal, "s", &[]);
        town.world.nothing(alice.at, &refusal.to_string(), 1_000);
        let mut callee = town.accept(&ringing, "b", &bob.contact());
        let _caller = town.confirm(&alice, 100);
        town.world.expect(bob.at, "ACK", 100);
        town.bye(&mut callee, alice.at);
        never_down(&mut town);
        town.finish();
    }
}

#[test]
fn the_next_target_carries_the_call_where_the_callee_is_not_in_the_overlay() {
    let mut town = town();
    let alice = town.registered(0, 1, "alice");
    town.world.fates.insert(server(), Fate::Refuse);
    let uri = format!("sip:+4930123@{DOMAIN}");
    town.dial(&alice, &uri, "c1");
    let heard = town.world.expect(second(), "INVITE", 50);
    assert_eq!(uri_of(heard.one("Contact")), "sip:alice@203.0.113.1:5062");
    town.reply(&heard, 407, "s", &[("Proxy-Authenticate", "Digest realm=\"x\", nonce=\"n\"")]);
    town.refused(&alice, "407", &uri, 50);
    let extra = [("Proxy-Authorization", "Digest username=\"alice\", response=\"0\"")];
    let body = crate::sip::sdp(alice.media());
    let again = alice.request(("INVITE", &uri), "c1", 2, &extra, &body);
    town.say(&alice, again);
    let heard = town.world.expect(second(), "INVITE", 50);
    assert_eq!(heard.cseq(), 2, "the retry goes to the target that asked");
    town.reply(&heard, 486, "s", &[]);
    town.world.expect(alice.at, "486", 50);
    town.finish();
}

#[test]
fn one_dead_target_is_no_outage_and_two_are() {
    let mut town = town();
    let mut alice = town.registered(0, 1, "alice");
    town.world.fates.insert(server(), Fate::Drop);
    for _ in 0..60 {
        town.world.run_ms(50_000);
        registered(&mut town, &mut alice, 600);
    }
    never_down(&mut town);
    assert_eq!(town.verdict(0), "up");
    let refuse = [(server(), Fate::Refuse), (second(), Fate::Refuse)];
    town.world.fates.extend(refuse);
    town.dial(&alice, &format!("sip:nobody@{DOMAIN}"), "c1");
    town.world.expect(alice.at, "503", 500);
    let server = town.status(0)["servers"][0].clone();
    assert_eq!(server["state"], "down");
    assert_eq!(server["reason"], "transport errors on all targets");
    town.world.run_ms(32_000);
    town.finish();
}

/// Two SRV targets, of which only the one that registered a phone takes its calls.
#[test]
fn of_two_srv_targets_the_registered_one_is_asked_first() {
    let mut town = Town::with(1, |config| config.providers[0].server = None);
    let service = |priority, target: &str| Record::Service {
        priority,
        weight: 0,
        port: 5060,
        target: target.into(),
    };
    let records = vec![service(1, "a.example.net"), service(2, "b.example.net")];
    town.world.names.push((format!("_sip._udp.{DOMAIN}"), RecordKind::Service, records));
    for (name, target) in [("a.example.net", server()), ("b.example.net", second())] {
        let records = vec![Record::Address(target.ip())];
        town.world.names.push((name.into(), RecordKind::Address, records));
    }
    town.world.autos.insert(second(), Box::new(registrar));
    town.world.run_ms(61_000);
    town.world.fates.insert(server(), Fate::Drop);
    let alice = town.registered(0, 1, "alice");
    town.world.fates.clear();
    town.dial(&alice, &format!("sip:+4930123@{DOMAIN}"), "c1");
    let heard = town.world.expect(second(), "INVITE", 50);
    town.reply(&heard, 404, "s", &[]);
    town.world.expect(alice.at, "404", 50);
    assert_eq!(town.packets(server(), "INVITE"), 0);
    town.finish();
}
