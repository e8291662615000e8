//! Calls between homes, with sound: while the server serves, while it dies, without it.

use crate::baresip::Baresip;
use crate::router::Settings;
use crate::town::{FIRST, SECOND, Town};
use crate::transport::Transport;
use crate::world::inside;
use std::time::Duration;

/// A test's time, of which most is in reserve for a machine that has other work.
const LIMIT: Duration = Duration::from_secs(120);
/// How long the adapters may take to trust a server again.
const TRUST_AGAIN: Duration = Duration::from_secs(40);

/// One phone in each of homes 1 and 2, which find each other through server and overlay.
pub(crate) fn two_phones(town: &Town, transport: Transport) -> (Baresip, Baresip) {
    let alice = Baresip::start(town, &town.socket(1, FIRST), ("alice", 400), transport);
    let bob = Baresip::start(town, &town.socket(2, FIRST), ("bob", 700), transport);
    town.await_record(1, "bob");
    town.await_record(2, "alice");
    (alice, bob)
}

/// Calls, and waits until each of the two hears the other and nothing else.
pub(crate) fn call(caller: &mut Baresip, callee: &mut Baresip) {
    caller.dial(&callee.user);
    caller.await_event("CALL_ESTABLISHED");
    callee.await_event("CALL_ESTABLISHED");
    await_sound(caller, callee);
}

/// Phones of homes 1 and 2 call each other in turn, with nobody to help.
pub(crate) fn call_both_ways_over_the_overlay(town: &Town, alice: &mut Baresip, bob: &mut Baresip) {
    call(alice, bob);
    assert_eq!(town.router(1).call_path(), "overlay");
    end(bob, alice);
    call(bob, alice);
    assert_eq!(town.router(2).call_path(), "overlay");
    end(bob, alice);
}

/// Waits until each of two phones hears the other, and nothing else.
pub(crate) fn await_sound(one: &Baresip, other: &Baresip) {
    one.await_sound(other.tone, 400);
    other.await_sound(one.tone, 400);
}

/// Hangs up, and waits until both phones know.
pub(crate) fn end(first: &mut Baresip, other: &mut Baresip) {
    first.hang_up();
    first.await_event("CALL_CLOSED");
    other.await_event("CALL_CLOSED");
}

#[test]
fn a_killed_server_ends_no_call_and_prevents_none() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "server");
        town.provider.kill();
        await_sound(&alice, &bob);
        end(&mut alice, &mut bob);

        call(&mut bob, &mut alice);
        assert_eq!(town.router(2).call_path(), "overlay");
        end(&mut bob, &mut alice);
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "overlay");

        // The server comes back and knows nobody: calls go on working.
        town.provider.start();
        town.router(1).await_server("up", TRUST_AGAIN);
        await_sound(&alice, &bob);
        end(&mut bob, &mut alice);
        call(&mut alice, &mut bob);
        end(&mut alice, &mut bob);
    });
}

#[test]
fn a_silent_server_ends_no_call_and_prevents_none() {
    inside(LIMIT, |folder| {
        let town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "server");
        town.provider.host.fall_silent();
        await_sound(&alice, &bob);
        end(&mut bob, &mut alice);

        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "overlay");
        end(&mut alice, &mut bob);
        town.router(1).await_server("down", TRUST_AGAIN);
        call(&mut alice, &mut bob);
        end(&mut bob, &mut alice);

        town.provider.host.speak_again();
        town.router(1).await_server("up", TRUST_AGAIN);
        town.router(2).await_server("up", TRUST_AGAIN);
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "server");
        end(&mut alice, &mut bob);
    });
}

/// One call by the server, which dies during it, and one more.
pub(crate) fn call_with_and_without_server(
    town: &mut Town,
    alice: &mut Baresip,
    bob: &mut Baresip,
) {
    call(alice, bob);
    assert_eq!(town.router(1).call_path(), "server");
    town.provider.kill();
    end(bob, alice);
    call(alice, bob);
    assert_eq!(town.router(1).call_path(), "overlay");
    end(alice, bob);
}

#[test]
fn phones_on_tcp_call_with_the_server_and_without_it() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = two_phones(&town, Transport::Tcp);
        call_with_and_without_server(&mut town, &mut alice, &mut bob);
    });
}

#[test]
fn phones_of_one_home_call_each_other_with_the_server_and_without_it() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let plug = |place, who| Baresip::start(&town, &town.socket(1, place), who, Transport::Udp);
        let mut alice = plug(FIRST, ("alice", 400));
        let mut carol = plug(SECOND, ("carol", 1100));
        call(&mut alice, &mut carol);
        end(&mut carol, &mut alice);
        town.provider.kill();
        call(&mut carol, &mut alice);
        end(&mut carol, &mut alice);
    });
}

#[test]
fn a_town_without_any_server_calls_by_its_own_accounts() {
    inside(LIMIT, |folder| {
        let account = |user: &str| {
            format!(
                "\nconfig account\n\toption aor 'sip:{user}@town.example'\n\toption user \
                 '{user}'\n\toption realm 'town.example'\n\toption password 'secret'\n"
            )
        };
        let sections = account("alice") + &account("bob");
        let settings = Settings { mode: "overlay", sections, ..Settings::default() };
        let town = Town::build_without_server(folder, &settings);
        let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "overlay");
        end(&mut bob, &mut alice);
    });
}
