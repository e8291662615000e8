//! What the status says of a server, how soon, and what it does not believe.

use crate::dialog::by_server;
use crate::net::{Fate, Packet};
use crate::town::{DOMAIN, Town, at, server, two};
use cosip::net::{Input, Network};

fn status(town: &mut Town) -> (String, String) {
    let server = town.status(0)["servers"][0].clone();
    let text = |name: &str| server[name].as_str().unwrap().to_owned();
    (text("state"), text("reason"))
}

#[test]
fn the_status_says_why_calls_take_the_overlay_within_2_s() {
    let reasons = [(Fate::Drop, "no answer"), (Fate::Refuse, "transport errors on all targets")];
    for (fate, reason) in reasons {
        let (mut town, alice, bob) = two();
        town.server_is(fate);
        let invite = alice.invite(&bob.aor(), "c1");
        let sign = town.world.now.millis();
        town.say(&alice, invite);
        let told = |town: &mut Town| status(town).1 == reason;
        while !told(&mut town) {
            town.world.run_ms(10);
            assert!(town.world.now.millis() - sign <= 2_000, "{:?}", status(&mut town));
        }
        println!("status says \"{reason}\" after {} ms", town.world.now.millis() - sign);
        let heard = town.world.expect(bob.at, "INVITE", 1_000);
        let why = town.status(0)["calls"][0]["reason"].clone();
        assert!(why.as_str().unwrap().starts_with("server "), "{why}");
        let history = town.status(0)["servers"][0]["history"].clone();
        assert!(!history.as_array().unwrap().is_empty());
        town.reply(&heard, 603, "b", &[]);
        town.world.expect(alice.at, "603", 200);
        town.world.run_ms(32_000);
        town.finish();
    }
}

#[test]
fn an_operator_may_ask_for_a_probe_every_five_seconds() {
    let (mut town, ..) = two();
    let place = town.routers[0].place;
    let probes = |town: &Town| {
        let is = |p: &&Packet| p.to == server() && p.data.starts_with(b"OPTIONS");
        town.world.log.iter().filter(is).count()
    };
    let asked = |town: &mut Town| town.world.ask(place, &["probe"]).contains(DOMAIN);
    assert!(asked(&mut town));
    for _ in 0..4 {
        town.world.run_ms(1_000);
        assert!(!asked(&mut town), "{}", town.world.now.millis());
    }
    assert_eq!(probes(&town), 1);
    town.world.run_ms(1_000);
    assert!(asked(&mut town));
    town.world.run_ms(100);
    assert_eq!(probes(&town), 2);
    // Without a phone there is nobody to ask for.
    let mut empty = Town::new();
    let place = empty.routers[0].place;
    assert_eq!(empty.world.ask(place, &["probe"]), r#"{"asked":[]}"#);
    town.finish();
}

#[test]
fn our_own_link_freezes_the_verdict_and_the_status_says_so() {
    let (mut town, mut alice, _) = two();
    let place = town.routers[0].place;
    let (lan, wan) = (town.routers[0].lan, town.routers[0].wan);
    let link = |up| Network { lan: vec![lan], wan: vec![wan], wan_up: up, ..Network::default() };
    town.world.input(place, Input::Network(&link(false)));
    town.server_is(Fate::Drop);
    for _ in 0..10 {
        town.world.run_ms(60_000);
        town.register(&mut alice, 3600);
        town.world.expect(alice.at, "200 REGISTER", 20);
    }
    let (state, reason) = status(&mut town);
    assert_eq!((state.as_str(), reason.starts_with("our own link is down")), ("up", true));
    town.world.fates.clear();
    town.world.input(place, Input::Network(&link(true)));
    town.world.run_ms(10_000);
    assert_eq!(town.verdict(0), "up");
    assert_eq!(town.status(0)["servers"][0]["history"].as_array().unwrap().len(), 0);
    town.finish();
}

#[test]
fn what_does_not_leave_this_router_says_nothing_of_the_server() {
    let (mut town, alice, _) = two();
    town.server_is(Fate::NoRoute);
    town.dial(&alice, &format!("sip:+4930123@{DOMAIN}"), "c1");
    town.world.expect(alice.at, "503", 9_000);
    town.world.run_ms(60_000);
    assert_eq!(status(&mut town), ("up".into(), "not asked yet".into()));
    town.finish();
}

/// What is left of a call may be answered when its place is another call's, at another server.
#[test]
fn a_late_answer_speaks_for_the_server_that_gave_it() {
    let other = at("198.51.100.2:5060");
    let mut town = Town::with(1, |config| {
        let mut second = config.providers[0].clone();
        second.domain = "example.org".into();
        second.server.as_mut().unwrap().host = other.ip().to_string();
        config.providers.push(second);
    });
    town.world.autos.insert(other, Box::new(crate::provider::registrar));
    let alice = town.registered(0, 1, "alice");
    let mut carol = town.phone(0, 2, "carol");
    let of_other =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(DOMAIN, "example.org");
    let register = of_other(Town::register_text(&mut carol, 3600, &[]));
    town.say(&carol, register.into_bytes());
    town.world.expect(carol.at, "200 REGISTER", 100);
    let uri = format!("sip:+4930123@{DOMAIN}");
    town.dial(&alice, &uri, "c1");
    let late = town.world.expect(server(), "INVITE", 100);
    town.cancel(&alice, &uri, "c1");
    town.refused(&alice, "487", &uri, 100);
    town.world.run_ms(200);
    let invite = of_other(carol.invite(&uri, "c2"));
    town.say(&carol, invite.into_bytes());
    town.world.expect(other, "INVITE", 100);
    town.world.run_ms(600);
    let states = |town: &mut Town| {
        let status = town.status(0);
        [0, 1].map(|at| status["servers"][at]["state"].as_str().unwrap().to_owned())
    };
    assert_eq!(states(&mut town)[1], "suspect");
    town.reply(&late, 487, "s", &[]);
    town.world.run_ms(20);
    assert_eq!(states(&mut town), ["up", "suspect"]);
    town.world.expect(carol.at, "503", 9_000);
    town.world.run_ms(32_000);
    town.finish();
}

/// Whose provider is not in the overlay is not called over it, whoever knows the adapter.
#[test]
fn overlay_0_keeps_other_adapters_away() {
    let (mut town, alice, bob) = two();
    let mut config = town.routers[1].config.clone();
    config.providers[0].overlay = false;
    town.world.input(town.routers[1].place, Input::Config(&config));
    town.server_is(Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    let text = alice.request(("MESSAGE", &bob.aor()), "m1", 1, &[], "hello");
    town.say(&alice, text);
    town.world.nothing(bob.at, "INVITE", 9_000);
    town.world.nothing(bob.at, "MESSAGE", 1_000);
    town.world.run_ms(32_000);
    town.finish();
}

/// An SBC that has never answered an OPTIONS is not down for its silence.
#[test]
fn a_server_deaf_to_options_is_up_while_it_answers_anything_else() {
    let (mut town, mut alice, _) = two();
    let mut auto = town.world.autos.remove(&server()).unwrap();
    let deaf = move |message: &crate::sip::Msg| match message.method() {
        "OPTIONS" => Some(Vec::new()),
        _ => auto(message),
    };
    town.world.autos.insert(server(), Box::new(deaf));
    for _ in 0..60 {
        town.world.run_ms(60_000);
        town.register(&mut alice, 3600);
        town.world.expect(alice.at, "200 REGISTER", 20);
    }
    assert_eq!(town.verdict(0), "up");
    let probes = town.packets(server(), "OPTIONS");
    assert!(probes <= 2 * 60, "{probes} in an hour of two routers: each goes once");
    town.finish();
}

#[test]
fn a_server_that_dies_during_a_call_is_known_by_what_the_call_asks_of_it() {
    for (method, state_ms) in [("INVITE", 2_100), ("BYE", 4_700)] {
        let (mut town, alice, _, mut caller, _) = by_server();
        town.world.run_ms(20_000);
        town.world.ask(town.routers[0].place, &["probe"]);
        // No probe follows right after another.
        town.world.run_ms(6_000);
        assert_eq!(town.verdict(0), "up");
        town.server_is(Fate::Drop);
        let request = caller.request(method, &[], "");
        town.world.send(caller.at, caller.hop, request);
        town.world.run_ms(state_ms);
        assert_eq!(town.verdict(0), "down", "{method}");
        drop(alice);
    }
}

#[test]
fn a_phone_that_dies_during_a_call_says_nothing_of_the_server() {
    let (mut town, _, bob, mut caller, _) = by_server();
    town.world.fates.insert(bob.at, Fate::Drop);
    for method in ["INFO", "BYE"] {
        let request = caller.request(method, &[], "");
        town.world.send(caller.at, caller.hop, request);
        town.world.run_ms(5_000);
        let servers = town.status(0)["servers"].clone();
        assert_eq!(servers[0]["history"].as_array().unwrap().len(), 0, "{method} {servers}");
    }
    town.world.run_ms(40_000);
    assert_eq!(town.verdict(0), "up");
}
