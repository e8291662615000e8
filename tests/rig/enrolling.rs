//! Routers that are certified by a CoSIP server, through a SIP server that knows nothing of it.

use crate::baresip::Baresip;
use crate::calls::{call, call_both_ways_over_the_overlay};
use crate::capture::{Capture, Packet};
use crate::clerk;
use crate::provider::{self, DOMAIN};
use crate::router::{Settings, configuration};
use crate::script::Step::*;
use crate::script::{CALL, answer};
use crate::sipp::Sipp;
use crate::town::{FIRST, SECOND, Socket, Town};
use crate::transport::Transport::Udp;
use crate::wait;
use crate::world::{inside, inside_with};
use serde_json::Value;
use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
/// 20 s until a router looks, a challenge that is open for 10 s, and a new place in the overlay.
const CERTIFIED: Duration = Duration::from_secs(60);
const BOB: &str = "+4989123456002";

fn aor(user: &str) -> String {
    format!("{user}@{DOMAIN}")
}

fn identity(town: &Town, home: u8) -> Value {
    town.router(home).status()["identity"].clone()
}

/// The addresses that a router is certified for.
fn certified(town: &Town, home: u8) -> Vec<String> {
    let identity = identity(town, home);
    let all = identity["certificates"].as_array().map_or(&[][..], Vec::as_slice);
    let valid = all.iter().filter(|certificate| certificate["valid"] == true);
    let aors = valid.flat_map(|certificate| certificate["aors"].as_array().unwrap());
    aors.map(|aor| aor.as_str().unwrap().to_owned()).collect()
}

fn await_certified(town: &Town, home: u8, user: &str) {
    let what = format!("router {home} to be certified for {user}");
    wait::until(&what, CERTIFIED, || certified(town, home).contains(&aor(user)));
}

/// What went between adapters, and between adapters and the SIP server.
fn sorted(seen: &[Packet]) -> (Vec<&Packet>, Vec<&Packet>) {
    let routers = [1, 2, 3].map(|home| Ipv4Addr::new(203, 0, 113, 20 + home));
    let is_adapter =
        |address: &Ipv4Addr| routers.contains(address) || address.to_string() == clerk::ADDRESS;
    let is_server = |address: &Ipv4Addr| provider::ADDRESS.starts_with(&format!("{address}:"));
    let between = seen.iter().filter(|it| is_adapter(&it.from) && is_adapter(&it.to));
    let server = seen.iter().filter(|it| is_server(&it.from) || is_server(&it.to));
    (between.collect(), server.collect())
}

#[test]
fn routers_are_certified_by_themselves_and_call_when_all_servers_are_dead() {
    inside_with(&["tshark"], LIMIT, |folder| {
        let (mut town, mut clerk) = Town::build_enrolling(folder, &Settings::default());
        let internet = Capture::of_internet(&town);
        let cable = Capture::of_host(&town, &town.socket(1, FIRST).host);
        let mut alice = Baresip::start(&town, &town.socket(1, FIRST), ("alice", 400), Udp);
        let mut bob = Baresip::start(&town, &town.socket(2, FIRST), (BOB, 700), Udp);
        await_certified(&town, 1, "alice");
        await_certified(&town, 2, BOB);
        assert_eq!(["certified", "proofs"].map(|name| clerk.counter(name)), [2, 2]);
        town.await_record(1, BOB);
        town.await_record(2, "alice");

        town.provider.kill();
        clerk.kill();
        call_both_ways_over_the_overlay(&town, &mut alice, &mut bob);
        for home in [1, 2] {
            let status = town.router(home).status();
            assert_eq!(status["counters"]["enrolment_proofs"], 1);
        }

        // The phone was asked nothing that it had not been asked without a CoSIP server.
        let heard = cable.end();
        let phone = town.socket(1, FIRST).address;
        let to_phone = || heard.iter().filter(|packet| packet.to.to_string() == phone);
        assert!(to_phone().any(|packet| packet.payload.starts_with(b"INVITE ")));
        assert!(!to_phone().any(|packet| packet.payload.starts_with(b"OPTIONS ")));
        nobody_is_named(&internet.end());
    });
}

/// Who looks up and calls whom does not stand in clear in what adapters send each other.
fn nobody_is_named(seen: &[Packet]) {
    let (between, server) = sorted(seen);
    let of_channel = between.iter().filter(|packet| {
        packet.payload.len() > 2
            && packet.payload[0] == 1
            && (0x40..0x80).contains(&packet.payload[2])
    });
    assert!(of_channel.count() > 20, "{}", between.len());
    for name in ["alice", &BOB[1..], &BOB[3..], &BOB[5..], DOMAIN, "cosip.invalid", "sip:"] {
        let clear = between.iter().find(|packet| packet.names(name));
        let clear = clear.map(|it| String::from_utf8_lossy(&it.payload).into_owned());
        assert_eq!(clear, None, "{name}");
    }
    // The same look finds the same names where they are.
    for name in ["alice", &BOB[1..], DOMAIN, "CoSIP-Challenge: "] {
        assert!(server.iter().any(|packet| packet.names(name)), "{name}");
    }
}

#[test]
fn who_has_no_certificate_reaches_no_phone_of_a_certified_router() {
    inside(LIMIT, |folder| {
        let settings = Settings::default();
        let (mut town, mut clerk) = Town::build_enrolling(folder, &settings);
        let mut alice = Sipp::start(&town, &town.socket(1, FIRST), "alice");
        let mut bob = Sipp::start(&town, &town.socket(2, FIRST), "bob");
        await_certified(&town, 1, "alice");
        await_certified(&town, 2, "bob");
        // It comes too late to be certified.
        clerk.kill();
        let mut dave = Sipp::start(&town, &town.socket(3, FIRST), "dave");
        town.provider.kill();
        let waiting = alice.follow(&answer(0));
        let refused = |dave: &mut Sipp, town: &Town| {
            town.await_record(3, "alice");
            dave.call("alice", &[Dial("480"), AckRefusal]).succeed();
            assert_eq!(certified(town, 3), [""; 0]);
        };
        let before = town.router(1).counter("channel_uncertified");
        refused(&mut dave, &town);
        assert!(town.router(1).counter("channel_uncertified") > before);
        // Nor does it help to believe everybody: it meets nobody at the place that a key gives.
        town.router_mut(3).stop();
        let config = town.folder().join("router-3").join("config");
        fs::write(config, configuration(&settings)).unwrap();
        town.router_mut(3).start();
        refused(&mut dave, &town);

        town.await_record(2, "alice");
        bob.call("alice", &CALL).succeed();
        assert_eq!(waiting.succeed().rings(), 1, "Bob's");
    });
}

/// A minute until the server lists it, and as long until every router has heard.
const REVOKED: Duration = Duration::from_secs(120);

#[test]
fn a_router_that_is_revoked_while_it_calls_is_out_within_two_minutes() {
    inside(Duration::from_secs(300), |folder| {
        let (mut town, clerk) = Town::build_enrolling(folder, &Settings::default());
        let mut alice = Baresip::start(&town, &town.socket(1, FIRST), ("alice", 400), Udp);
        let mut bob = Baresip::start(&town, &town.socket(2, FIRST), (BOB, 700), Udp);
        let mut carol = Sipp::start(&town, &town.socket(3, FIRST), "carol");
        for (home, user) in [(1, "alice"), (2, BOB), (3, "carol")] {
            await_certified(&town, home, user);
        }
        for (home, user) in [(1, BOB), (2, "alice"), (3, BOB), (2, "carol")] {
            town.await_record(home, user);
        }
        town.provider.kill();
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "overlay");

        let key = town.router(1).status()["overlay"]["key"].as_str().unwrap().to_owned();
        clerk.revoke(&key);
        let entries = |home| identity(&town, home)["revocations"]["entries"].as_u64();
        wait::until("every router to hear of it", REVOKED, || {
            (1..=3).all(|home| entries(home) == Some(1))
        });
        alice.await_event("CALL_CLOSED");
        bob.await_event("CALL_CLOSED");
        // It is out, and so are the calls for it; the others go on.
        wait::until("router 1 to be nobody", CERTIFIED, || certified(&town, 1).is_empty());
        alice.dial(BOB);
        alice.await_event("CALL_CLOSED");
        carol.call("alice", &[Dial("503"), AckRefusal]).succeed();
        let peers = |home: u8| town.router(home).status()["overlay"]["peers"].as_u64();
        assert_eq!([2, 3].map(peers), [Some(2); 2], "it is no member of theirs");
        carol.call(BOB, &CALL).succeed();
        bob.await_event("CALL_CLOSED");
        // It is kept over a restart.
        let before = identity(&town, 2)["revocations"]["number"].clone();
        town.router_mut(2).stop();
        town.router_mut(2).start();
        wait::until("the list of the file", CERTIFIED, || {
            identity(&town, 2)["revocations"]["number"] == before
        });
    });
}

#[test]
fn call_forwarding_moves_no_challenge_and_a_second_router_waits() {
    inside(LIMIT, |folder| {
        let settings = Settings { server: &["FORWARDING"], ..Settings::default() };
        let (town, clerk) = Town::build_enrolling(folder, &settings);
        let _bob = Sipp::start(&town, &town.socket(1, FIRST), "bob");
        let mut carol = Sipp::start(&town, &town.socket(2, FIRST), "carol");
        let mut alice = Sipp::start(&town, &town.socket(3, FIRST), "alice");
        for (home, user) in [(1, "bob"), (2, "carol"), (3, "alice")] {
            await_certified(&town, home, user);
        }
        let answering = carol.follow(&answer(0));
        alice.call("bob", &CALL).succeed();
        assert_eq!(answering.succeed().rings(), 1, "calls for Bob are forwarded");
        let strange = ["enrolment_foreign", "enrolment_unasked", "enrolment_malformed"];
        assert_eq!([1, 2, 3].map(|home| town.router(home).counters(&strange)), [0; 3]);

        let _twin = Sipp::start(&town, &town.socket(3, SECOND), "bob");
        wait::until("a second challenge to be put off", CERTIFIED, || {
            clerk.counter("seconds_begun") == 1
        });
        wait::until("router 3 to wait", CERTIFIED, || identity(&town, 3)["enrolment"] == "waiting");
        assert_eq!(certified(&town, 3), [aor("alice")]);
        assert_eq!(identity(&town, 1)["foreign_keys"][0]["aor"], aor("bob"));
        assert_eq!(town.router(2).counters(&strange), 0);
        assert_eq!([clerk.certified("bob"), clerk.certified("alice")], [1, 1]);
    });
}

#[test]
fn nobody_is_certified_for_a_phone_without_an_adapter() {
    inside(LIMIT, |folder| {
        let settings = Settings { server: &["SINGLE"], ..Settings::default() };
        let (town, clerk) = Town::build_enrolling(folder, &settings);
        // Router 3 goes on claiming what the SIP server has given to another phone since.
        let _former = Sipp::start(&town, &town.socket(3, FIRST), "erin");
        let host = Town::add_host("flat", "203.0.113.60");
        let flat = Socket { host, address: "203.0.113.60" };
        let mut erin = Sipp::start_to(&town, &flat, "erin", (Udp, provider::ADDRESS));
        wait::until("a challenge", CERTIFIED, || clerk.counter("challenges") == 1);
        let messages = erin.follow(&[Await("OPTIONS"), Confirm]).succeed();
        assert!(messages.received().any(|message| message.contains("CoSIP-Challenge: ")));
        wait::until("a refusal", CERTIFIED, || {
            identity(&town, 3)["refused"][0]["why"] == "unanswered"
        });
        assert_eq!(certified(&town, 3), [""; 0]);
        assert_eq!(["proofs", "certified"].map(|name| clerk.counter(name)), [0, 0]);
        assert_eq!(clerk.certified("erin"), 0);
    });
}
