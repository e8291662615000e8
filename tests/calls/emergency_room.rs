//! An emergency call is never refused for want of room: each table is filled, one by one.

use crate::emergency::{ONE, carried, dial, gateway, routes};
use crate::net::Fate;
use crate::sip::{Msg, sdp};
use crate::town::{DOMAIN, Phone, Town, server};
use cosip::config::Config;

/// A small router with a registered phone and a route.
fn small(change: impl Fn(&mut Config)) -> (Town, Phone) {
    let mut town = Town::with(1, |config| {
        routes(ONE)(config);
        config.adapter.max_calls = 2;
        config.adapter.max_phones = 1;
        change(config);
    });
    let alice = town.registered(0, 1, "alice");
    (town, alice)
}

/// Calls of a registered phone that ring at the server.
fn busy(town: &mut Town, phone: &Phone, count: u32) -> Vec<Msg> {
    let call = |number| {
        town.dial(phone, &format!("sip:+4930{number}@{DOMAIN}"), &format!("c{number}"));
        let invite = town.world.expect(server(), "INVITE", 100);
        town.reply(&invite, 180, "s", &[("Contact", "<sip:gw@198.51.100.1>")]);
        invite
    };
    (0..count).map(call).collect()
}

/// The sound of a call comes by way of the router.
fn relayed(invite: &Msg) -> bool {
    invite.body().contains("c=IN IP4 203.0.113.1\r\n")
}

/// A phone that nobody knows reaches the gateway, talks, holds and hangs up.
fn helped(town: &mut Town, phone: &Phone, call_id: &str) {
    dial(town, phone, call_id);
    let invite = town.world.expect(gateway(), "INVITE", 1_600);
    assert!(relayed(&invite), "{}", invite.text);
    let contact = "sip:gw@198.51.100.9";
    town.accept(&invite, "g", contact);
    let mut caller = town.confirm(phone, 100);
    town.world.expect(gateway(), "ACK", 100);
    let again = caller.request("INVITE", &[], &sdp(phone.media()));
    town.say(phone, again);
    let again = town.world.expect(gateway(), "INVITE", 100);
    town.accept(&again, "", contact);
    let answer = town.world.expect(phone.at, "200 INVITE", 100);
    town.say(phone, caller.ack(answer.cseq()));
    town.world.expect(gateway(), "ACK", 100);
    town.bye(&mut caller, gateway());
}

#[test]
fn where_all_calls_and_all_phones_are_taken() {
    let (mut town, alice) = small(|_| {});
    let mut stranger = town.phone(0, 2, "bob");
    town.register(&mut stranger, 600);
    town.world.expect(stranger.at, "503 REGISTER", 50);
    busy(&mut town, &alice, 2);
    town.dial(&alice, &format!("sip:+49307@{DOMAIN}"), "c7");
    town.world.expect(alice.at, "503", 50);
    town.server_is(Fate::Refuse);
    for number in 0..4 {
        dial(&mut town, &stranger, &format!("e{number}"));
        let invite = town.world.expect(gateway(), "INVITE", 100);
        assert!(relayed(&invite));
        if number == 3 {
            carried(&mut town, &stranger, &invite);
        }
    }
    town.finish();
}

#[test]
fn where_another_router_rings_the_number_of_the_emergency_service() {
    // The room of emergency calls is for those who dial here, not for those who call in.
    let mut town = Town::with(1, |config| config.adapter.max_calls = 2);
    let odd = town.registered(0, 1, "112");
    for number in 0..3 {
        let mut peer = odd.clone();
        (peer.at, peer.user) = (server(), "gw".into());
        let invite = peer.invite("sip:112@203.0.113.1:5062", &format!("g{number}"));
        town.world.send(server(), town.routers[0].outside(), invite);
        match number {
            2 => drop(town.world.expect(server(), "503", 50)),
            _ => drop(town.world.expect(odd.at, "INVITE", 50)),
        }
    }
    town.finish();
}

#[test]
fn where_all_transactions_and_all_exchanges_are_taken() {
    let (mut town, alice) = small(|_| {});
    let calls = busy(&mut town, &alice, 2);
    town.server_is(Fate::Drop);
    // Messages that the server does not answer, then calls whose refusal is not acknowledged.
    for (method, refused) in
        [("MESSAGE", "exchanges_refused_full"), ("INVITE", "transactions_full")]
    {
        for number in 0..150 {
            let uri = format!("sip:+49{number}@{DOMAIN}");
            let call_id = format!("{method}{number}");
            let request = alice.request((method, &uri), &call_id, 1, &[], "");
            town.say(&alice, request);
            town.world.run_ms(11);
        }
        let counters = town.status(0)["counters"].clone();
        assert!(counters[refused].as_u64().unwrap() > 0, "{counters}");
    }
    let stranger = town.phone(0, 7, "nobody");
    helped(&mut town, &stranger, "e1");
    let again = alice.request(("OPTIONS", &format!("sip:a@{DOMAIN}")), "o", 1, &[], "");
    town.say(&alice, again);
    town.world.expect(alice.at, "503 OPTIONS", 50);
    town.world.fates.clear();
    for call in &calls {
        town.reply(call, 486, "s", &[]);
    }
    town.finish();
}

#[test]
fn where_all_media_ports_are_taken() {
    let (mut town, alice) = small(|config| {
        config.adapter.max_calls = 16;
        (config.media.port_min, config.media.port_max) = (30_000, 30_007);
    });
    // What finds no port passes as the phone wrote it.
    town.media_off = true;
    let calls = busy(&mut town, &alice, 4);
    assert!(calls[..3].iter().all(relayed), "a fourth of the ports is kept");
    assert!(!relayed(&calls[3]), "no port is left for others");
    town.server_is(Fate::Refuse);
    let stranger = town.phone(0, 7, "nobody");
    helped(&mut town, &stranger, "e1");
    town.finish();
}
