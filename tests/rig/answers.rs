//! Calls that nobody takes, that the caller gives up, and that several phones are offered.

use crate::router::Settings;
use crate::sipp::Sipp;
use crate::town::{FIRST, SECOND, Town};
use crate::wait;
use crate::world::inside;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Longer than an adapter takes to see that the server is gone.
const SOON: Duration = Duration::from_secs(15);

const CALL_BOB: (&str, &str) = ("CALLEE", "bob");

#[test]
fn refusals_reach_the_caller_as_they_are() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let mut alice = Sipp::start(&town, &town.socket(1, FIRST), "alice");
        let mut bob = Sipp::start(&town, &town.socket(2, FIRST), "bob");
        town.await_record(1, "bob");
        for server in [true, false] {
            if !server {
                town.provider.kill();
            }
            for answer in ["486 Busy Here", "603 Decline"] {
                let refusing = bob.follow("refuse", &[("ANSWER", answer)]);
                let status = [CALL_BOB, ("STATUS", &answer[..3])];
                alice.follow("call-refused", &status).succeed();
                refusing.succeed();
            }
            let nobody = [("CALLEE", "nobody"), ("STATUS", if server { "404" } else { "503" })];
            alice.follow("call-refused", &nobody).succeed();
            // The adapter and its phone are none the worse for it.
            let answering = bob.follow("answer", &[]);
            alice.follow("call", &[CALL_BOB]).succeed();
            answering.succeed();
        }
    });
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let mut alice = Sipp::start(&town, &town.socket(1, FIRST), "alice");
        let mut bob = Sipp::start(&town, &town.socket(2, FIRST), "bob");
        town.await_record(1, "bob");
        for (before, ringing) in [
            ("cancel-early", "cancel-ringing"),
            ("cancel-early-directly", "cancel-ringing-directly"),
        ] {
            let waiting = bob.follow("silent-until-cancel", &[]);
            alice.follow(before, &[CALL_BOB]).succeed();
            waiting.succeed();
            let waiting = bob.follow("ring-until-cancel", &[]);
            alice.follow(ringing, &[CALL_BOB]).succeed();
            waiting.succeed();
            if before == "cancel-early" {
                town.provider.kill();
            }
        }
    });
}

#[test]
fn phones_of_one_address_at_two_routers_all_ring_and_one_answers() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let mut alice = Sipp::start(&town, &town.socket(1, FIRST), "alice");
        let mut bob = Sipp::start(&town, &town.socket(2, FIRST), "bob");
        let mut twin = Sipp::start(&town, &town.socket(3, SECOND), "bob");
        wait::until("two records", SOON, || town.router(1).finds("bob") == 2);
        for server in [true, false] {
            if !server {
                town.provider.kill();
            }
            let ringing = twin.follow("ring-until-cancel", &[]);
            let answering = bob.follow("answer-late", &[]);
            alice.follow("call", &[CALL_BOB]).succeed();
            answering.succeed();
            ringing.succeed();
        }
    });
}
