//! Calls that nobody takes, that the caller gives up, and that several phones are offered.

use crate::router::Settings;
use crate::script::Step::*;
use crate::script::{CALL, CANCEL_RINGING, RING_UNTIL_CANCEL, Step, answer};
use crate::sipp::Sipp;
use crate::town::{FIRST, SECOND, Town};
use crate::wait;
use crate::world::inside;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Longer than an adapter takes to see that the server is gone.
const SOON: Duration = Duration::from_secs(15);

#[test]
fn refusals_reach_the_caller_as_they_are() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = Sipp::alice_and_bob(&town);
        for server in [true, false] {
            if !server {
                town.provider.kill();
            }
            for answer in ["486 Busy Here", "603 Decline"] {
                let refusing = bob.follow(&[Await("INVITE"), Reply(answer), Await("ACK")]);
                alice.call("bob", &[Dial(&answer[..3]), AckRefusal]).succeed();
                refusing.succeed();
            }
            let status = if server { "404" } else { "503" };
            alice.call("nobody", &[Dial(status), AckRefusal]).succeed();
            // The adapter and its phone are none the worse for it.
            let answering = bob.follow(&answer(0));
            alice.call("bob", &CALL).succeed();
            answering.succeed();
        }
    });
}

#[test]
fn a_caller_who_gives_up_stops_the_ringing() {
    const TRYING: [Step<'_>; 6] = [
        Await("INVITE"),
        Reply("100 Trying"),
        Await("CANCEL"),
        Confirm,
        Reply("487 Request Terminated"),
        Await("ACK"),
    ];
    const GIVE_UP: [Step<'_>; 7] =
        [Expect("100"), Pause(300), Cancel, Allow("180"), Expect("200"), Expect("487"), AckRefusal];
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = Sipp::alice_and_bob(&town);
        for server in [true, false] {
            if !server {
                town.provider.kill();
            }
            let waiting = bob.follow(&TRYING);
            let begin: &[Step<'_>] = if server { &[Invite, Challenged, Again] } else { &[Invite] };
            alice.call("bob", &[begin, &GIVE_UP].concat()).succeed();
            waiting.succeed();
            let waiting = bob.follow(&RING_UNTIL_CANCEL);
            alice.call("bob", &CANCEL_RINGING).succeed();
            waiting.succeed();
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
            let ringing = twin.follow(&RING_UNTIL_CANCEL);
            let answering = bob.follow(&answer(500));
            alice.call("bob", &CALL).succeed();
            answering.succeed();
            ringing.succeed();
        }
    });
}
