//! Phones of different makes call each other.

use crate::baresip::Baresip;
use crate::linphone::Linphone;
use crate::router::Settings;
use crate::town::{FIRST, Town};
use crate::transport::Transport::{self, Tcp, Udp};
use crate::world::inside_with;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn linphone_and_baresip_hear_each_other_with_the_server_and_without_it() {
    inside_with(&["linphonec"], LIMIT, |folder| hear_each_other(folder, Udp, Udp));
}

#[test]
fn so_do_linphone_on_tcp_and_baresip() {
    inside_with(&["linphonec"], LIMIT, |folder| hear_each_other(folder, Tcp, Udp));
}

#[test]
fn so_do_both_on_tcp() {
    inside_with(&["linphonec"], LIMIT, |folder| hear_each_other(folder, Tcp, Tcp));
}

fn hear_each_other(folder: &Path, linphones: Transport, baresips: Transport) {
    let mut town = Town::build(folder, &Settings::default());
    let mut alice = Linphone::start(&town, &town.socket(1, FIRST), ("alice", 400), linphones);
    let mut bob = Baresip::start(&town, &town.socket(2, FIRST), ("bob", 700), baresips);
    town.await_record(1, "bob");
    town.await_record(2, "alice");
    for path in ["server", "overlay"] {
        if path == "overlay" {
            town.provider.kill();
        }
        alice.dial(&bob.user);
        alice.await_word("connected.");
        bob.await_event("CALL_ESTABLISHED");
        await_sound(&alice, &bob);
        assert_eq!(town.router(1).call_path(), path);
        alice.hang_up();
        alice.await_word("ended (No error).");
        bob.await_event("CALL_CLOSED");

        bob.dial(&alice.user);
        alice.await_word("Receiving new incoming call");
        bob.await_event("CALL_ESTABLISHED");
        alice.await_word("connected.");
        await_sound(&alice, &bob);
        assert_eq!(town.router(2).call_path(), path);
        bob.hang_up();
        bob.await_event("CALL_CLOSED");
        alice.await_word("ended (No error).");
    }
}

fn await_sound(one: &Linphone, other: &Baresip) {
    one.await_sound(other.tone, 400);
    other.await_sound(one.tone, 400);
}
