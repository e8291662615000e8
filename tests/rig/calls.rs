//! Calls between homes, with sound: while the server serves, and while it dies.

use crate::baresip::{Baresip, Transport};
use crate::router::Settings;
use crate::town::{FIRST, Town};
use crate::world::inside;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(90);

fn two_phones(town: &Town, transport: Transport) -> (Baresip, Baresip) {
    let alice = Baresip::start(town, &town.socket(1, FIRST), ("alice", 400), transport);
    let bob = Baresip::start(town, &town.socket(2, FIRST), ("bob", 700), transport);
    (alice, bob)
}

/// Waits until each of two phones hears the other, and nothing else.
fn await_sound_both_ways(one: &Baresip, other: &Baresip) {
    one.await_sound(other.tone, 400);
    other.await_sound(one.tone, 400);
}

#[test]
fn phones_hear_each_other_through_the_server_and_without_it() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
        town.await_record(1, "bob");

        alice.dial("bob");
        alice.await_event("CALL_ESTABLISHED");
        await_sound_both_ways(&alice, &bob);
        assert_eq!(town.router(1).call_path(), "server");

        // The call outlives the server, and either side can end it.
        town.provider.kill();
        await_sound_both_ways(&alice, &bob);
        alice.hang_up();
        alice.await_event("CALL_CLOSED");
        bob.await_event("CALL_CLOSED");
    });
}
