//! The server fails between the answer of the phone and its ACK.

use crate::net::Fate;
use crate::provider::Proxy;
use crate::sip::{Dialog, Msg};
use crate::town::{Phone, Town, at, server, two};

/// Alice calls Bob by the server; Bob rings, and Alice hears it. What server and Bob got.
fn ringing() -> (Town, Phone, Phone, Msg, Msg) {
    let (mut town, alice, bob) = two();
    town.dial(&alice, &bob.aor(), "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.pass_on(&at_server, "sip:bob@203.0.113.2:5062");
    let at_bob = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&at_bob, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
    back(&mut town, "180");
    town.world.expect(alice.at, "180", 100);
    town.world.run_ms(3_000);
    (town, alice, bob, at_server, at_bob)
}

/// The server passes a response back.
fn back(town: &mut Town, what: &str) {
    let response = town.world.expect(server(), what, 100);
    town.pass_back(&response);
}

#[test]
fn an_answer_that_the_server_loses_comes_over_the_overlay_after_1_s() {
    let (mut town, alice, bob, _, at_bob) = ringing();
    town.server_is(Fate::Drop);
    town.accept(&at_bob, "b", &bob.contact());
    town.world.nothing(alice.at, "200", 950);
    let mut caller = town.confirm(&alice, 200);
    town.world.expect(bob.at, "ACK", 100);
    town.world.nothing(bob.at, "INVITE", 100);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_ack_that_the_server_loses_takes_the_direct_path() {
    let (mut town, alice, bob, _, at_bob) = ringing();
    let mut callee = town.accept(&at_bob, "b", &bob.contact());
    back(&mut town, "200 INVITE");
    town.world.run_ms(4);
    town.server_is(Fate::Drop);
    let mut caller = town.confirm(&alice, 100);
    let ack = town.world.expect(bob.at, "ACK", 1_200);
    assert_eq!((ack.uri(), ack.cseq()), (bob.contact().as_str(), 1));
    town.world.nothing(bob.at, "INVITE", 3_000);
    let heard = town.bye(&mut callee, alice.at);
    assert_eq!(heard.tag("To"), "talice");
    caller.cseq += 1;
    town.finish();
}

#[test]
fn a_server_that_wakes_with_the_lost_answer_does_not_end_the_call() {
    let (mut town, alice, bob, _, at_bob) = ringing();
    let mut callee = town.accept(&at_bob, "b", &bob.contact());
    let late = town.world.expect(server(), "200 INVITE", 100);
    let mut caller = town.confirm(&alice, 1_300);
    town.world.expect(bob.at, "ACK", 100);
    town.world.clear(server());
    town.pass_back(&late);
    for method in ["ACK", "BYE"] {
        let request = town.world.expect(server(), method, 100);
        town.pass_on(&request, request.uri());
    }
    town.world.expect(server(), "200 BYE", 100);
    town.world.nothing(bob.at, "BYE", 2_000);
    for (dialog, other) in [(&mut caller, &bob), (&mut callee, &alice)] {
        town.ask(dialog, other, "INFO", 100);
    }
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn a_call_within_one_router_is_answered_though_the_server_loses_the_answer() {
    let mut town = Town::new();
    let alice = town.registered(0, 1, "alice");
    let bob = town.registered(0, 2, "bob");
    town.dial(&alice, &bob.aor(), "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.pass_on(&at_server, "sip:bob@203.0.113.1:5062");
    let at_bob = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&at_bob, 180, "b", &[]);
    back(&mut town, "180");
    town.world.expect(alice.at, "180", 100);
    town.server_is(Fate::Drop);
    town.accept(&at_bob, "b", &bob.contact());
    let success = town.world.expect(alice.at, "200 INVITE", 1_200);
    let mut caller = Dialog::of_answer(&success, &alice.contact());
    town.say(&alice, caller.ack(1));
    town.world.expect(bob.at, "ACK", 100);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_answer_that_is_lost_at_home_is_repeated_though_the_server_is_dead() {
    let (mut town, alice, bob, _, at_bob) = ringing();
    town.accept(&at_bob, "b", &bob.contact());
    back(&mut town, "200 INVITE");
    town.server_is(Fate::Drop);
    town.world.fates.insert(alice.at, Fate::Drop);
    town.world.run_ms(300);
    town.world.fates.remove(&alice.at);
    let mut caller = town.confirm(&alice, 1_000);
    town.world.expect(bob.at, "ACK", 2_000);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_answer_that_comes_by_both_legs_is_carried_by_the_one_that_the_caller_heard_first() {
    let (mut town, alice, bob, _, at_bob) = ringing();
    town.accept(&at_bob, "b", &bob.contact());
    let late = town.world.expect(server(), "200 INVITE", 100);
    // The overlay leg is asked for after a second, and answered 15 ms later.
    town.world.run_ms(985);
    town.pass_back(&late);
    let mut caller = town.confirm(&alice, 100);
    town.world.run_ms(200);
    let mut paths = Vec::new();
    for router in 0..2 {
        paths.push(town.status(router)["calls"][0]["path"].as_str().unwrap().to_owned());
    }
    assert_eq!(paths[0], paths[1], "both ends carry it by the same leg");
    town.world.expect(bob.at, "ACK", 100);
    town.world.nothing(bob.at, "BYE", 1_000);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_ack_that_takes_the_direct_path_goes_by_the_server_too() {
    let (mut town, alice, bob, _, at_bob) = ringing();
    town.accept(&at_bob, "b", &bob.contact());
    town.world.fates.insert(alice.at, Fate::Drop);
    back(&mut town, "200 INVITE");
    town.world.run_ms(300);
    town.world.fates.remove(&alice.at);
    let mut caller = town.confirm(&alice, 1_000);
    town.world.expect(bob.at, "ACK", 100);
    let ack = town.world.expect(server(), "ACK", 100);
    assert_eq!((ack.tag("To"), ack.cseq()), ("b", 1));
    town.server_is(Fate::Drop);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_answer_given_over_the_overlay_too_leaves_the_call_where_its_caller_heard_it() {
    let (mut town, alice, bob, _, at_bob) = ringing();
    let mut callee = town.accept(&at_bob, "b", &bob.contact());
    let late = town.world.expect(server(), "200 INVITE", 100);
    // The server acknowledges by itself, and what it tells the caller is lost for a while.
    let mut own = Dialog::of_answer(&late, "sip:gw@198.51.100.1:5060");
    (own.at, own.hop) = (server(), late.from);
    town.world.send(server(), late.from, own.ack(late.cseq()));
    town.world.expect(bob.at, "ACK", 100);
    // So does the overlay, once Alice's router has opened the leg that Bob's asked for.
    town.world.run_ms(990);
    let from = at("203.0.113.2:5070");
    town.world.rule = Some(Box::new(move |packet| match packet.from == from {
        true => Fate::Drop,
        false => Fate::Deliver,
    }));
    town.world.run_ms(100);
    town.pass_back(&late);
    let mut caller = town.confirm(&alice, 100);
    town.world.run_ms(200);
    town.world.rule = None;
    assert_eq!(town.status(1)["calls"][0]["path"], "server");
    let mut proxy = Proxy::default();
    town.world.autos.insert(server(), Box::new(move |message| proxy.act(message)));
    town.ask(&mut callee, &alice, "INFO", 100);
    town.ask(&mut caller, &bob, "INFO", 100);
    town.bye(&mut callee, alice.at);
    town.finish();
}
