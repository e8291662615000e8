//! Providers as they are: deaf to probes, short of breath, forgetful, particular about proxies.

use crate::calls::{call, end, two_phones};
use crate::provider::{ADDRESS, Provider, SECOND_ADDRESS};
use crate::router::Settings;
use crate::script::Step::*;
use crate::script::{CALL, answer};
use crate::sipp::{Sipp, header};
use crate::town::{FIRST, Socket, Town};
use crate::transport::Transport;
use crate::wait;
use crate::world::inside;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// How long the adapters may take to trust a server again.
const TRUST_AGAIN: Duration = Duration::from_secs(40);

/// Alice calls Bob once, whose phone rings once, and this counter of her router counts the call.
fn converse(town: &Town, (alice, bob): (&mut Sipp, &mut Sipp), counter: &str) {
    let before = town.router(1).counter(counter);
    let answering = bob.follow(&answer(300));
    alice.call("bob", &CALL).succeed();
    assert_eq!(answering.succeed().rings(), 1);
    wait::until(counter, Duration::from_secs(5), || town.router(1).counter(counter) == before + 1);
}

#[test]
fn a_server_that_asks_for_outbound_sees_a_phone_and_no_proxy() {
    const OUTBOUND: &str = ";reg-id=1;+sip.instance=\"<urn:uuid:00000000-0000-1000-8000-0>\"\n\
                            Supported: path, outbound";
    inside(LIMIT, |folder| {
        let settings = Settings { server: &["OUTBOUND"], ..Settings::default() };
        let town = Town::build(folder, &settings);
        let mut alice = Sipp::plug_in(&town, &town.socket(1, FIRST), "alice");
        let mut bob = Sipp::plug_in(&town, &town.socket(2, FIRST), "bob");
        for phone in [&mut alice, &mut bob] {
            phone.follow(&[Register(OUTBOUND, "200")]).succeed();
        }
        let answering = bob.follow(&answer(0));
        alice.call("bob", &CALL).succeed();
        answering.succeed();

        // This server does refuse what came by a proxy that knows nothing of outbound.
        let host = town.router(3).host.clone();
        let carol = Sipp::plug_in(&town, &Socket { host, address: "203.0.113.23" }, "carol");
        let proxied = format!("{OUTBOUND}\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1");
        carol.with_proxy(ADDRESS).follow(&[Register(&proxied, "439")]).succeed();
    });
}

#[test]
fn a_server_that_is_deaf_to_probes_is_up_until_calls_say_otherwise() {
    inside(LIMIT, |folder| {
        let settings =
            Settings { server: &["DEAF"], provider: &[("probe_s", "5")], ..Settings::default() };
        let mut town = Town::build(folder, &settings);
        let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
        wait::until("two probes", Duration::from_secs(20), || {
            town.provider.log().matches("heard no OPTIONS").count() >= 4
        });
        assert_eq!(town.router(1).server(), "up");
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "server");
        end(&mut alice, &mut bob);
        town.provider.kill();
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "overlay");
        town.provider.start();
        end(&mut bob, &mut alice);
        // Its answers to calls are what the adapter goes by, and calls go on meanwhile.
        wait::until("trust in the server", TRUST_AGAIN, || {
            call(&mut alice, &mut bob);
            end(&mut alice, &mut bob);
            town.router(1).server() == "up"
        });
    });
}

#[test]
fn a_server_out_of_breath_is_helped_out_and_its_patience_is_not_the_phones() {
    inside(LIMIT, |folder| {
        let settings = Settings { server: &["BUSY"], ..Settings::default() };
        let town = Town::build(folder, &settings);
        let (mut alice, mut bob) = Sipp::alice_and_bob(&town);
        for _ in 0..3 {
            let answering = bob.follow(&answer(0));
            alice.call("bob", &CALL).succeed();
            assert_eq!(answering.succeed().rings(), 1);
        }
        assert!(town.router(1).counter("calls_by_overlay") >= 2);
        let refused = alice.call("nobody", &[Dial("503"), AckRefusal]).succeed();
        let refusal = refused.received().find(|message| message.starts_with("SIP/2.0 503"));
        assert_eq!(refusal.and_then(|message| header(message, "Retry-After")), None);
        assert_eq!(town.router(1).server(), "up");
    });
}

#[test]
fn a_server_that_is_gone_makes_phones_move_to_the_next_and_costs_no_call() {
    inside(LIMIT, |folder| {
        let settings = Settings { named: true, ..Settings::default() };
        let mut town = Town::build_without_server(folder, &settings);
        let place = (Town::add_host("provider-2", "203.0.113.11"), SECOND_ADDRESS);
        let mut second = Provider::new(place, folder, &[]);
        town.provider.start();
        second.start();
        let (mut alice, mut bob) = Sipp::alice_and_bob(&town);
        converse(&town, (&mut alice, &mut bob), "calls_by_server");
        assert_eq!(second.log().matches("asked: bob").count(), 0);
        // The second one knows neither of the two yet.
        town.provider.kill();
        converse(&town, (&mut alice, &mut bob), "calls_by_overlay");
        alice.follow(&[Register("", "200")]).succeed();
        bob.follow(&[Register("", "200")]).succeed();
        converse(&town, (&mut alice, &mut bob), "calls_by_server");
        assert!(second.log().contains("asked: bob"));
    });
}

#[test]
fn a_server_that_forgot_its_phones_loses_no_call() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = Sipp::alice_and_bob(&town);
        town.await_record(2, "alice");
        let converse = |town: &Town, alice: &mut Sipp, bob: &mut Sipp| {
            converse(town, (alice, bob), "calls_by_overlay");
        };
        // So quickly that nobody has missed it.
        town.provider.kill();
        town.provider.start();
        assert_eq!(town.router(1).server(), "up");
        converse(&town, &mut alice, &mut bob);
        // After an outage that was seen.
        town.provider.kill();
        converse(&town, &mut alice, &mut bob);
        town.provider.start();
        town.router(1).await_server("up", TRUST_AGAIN);
        converse(&town, &mut alice, &mut bob);
        // Nor does it make up somebody whom nobody knows.
        alice.call("nobody", &[Dial("404"), AckRefusal]).succeed();
    });
}
