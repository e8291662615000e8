//! Phones on UDP and on TCP, on IPv4 and on IPv6, call each other.

use crate::baresip::Baresip;
use crate::calls::{call, end, two_phones};
use crate::router::Settings;
use crate::script::{CALL, CANCEL_RINGING, RING_UNTIL_CANCEL, answer};
use crate::sipp::Sipp;
use crate::town::{FIRST, Town};
use crate::transport::Transport::{Tcp, Udp};
use crate::world::inside;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

#[test]
fn a_phone_on_udp_and_one_on_tcp_hear_each_other() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let mut alice = Baresip::start(&town, &town.socket(1, FIRST), ("alice", 400), Udp);
        let mut bob = Baresip::start(&town, &town.socket(2, FIRST), ("bob", 700), Tcp);
        town.await_record(1, "bob");
        town.await_record(2, "alice");
        for path in ["server", "overlay"] {
            if path == "overlay" {
                town.provider.kill();
            }
            call(&mut alice, &mut bob);
            assert_eq!(town.router(1).call_path(), path);
            end(&mut bob, &mut alice);
            call(&mut bob, &mut alice);
            assert_eq!(town.router(2).call_path(), path);
            end(&mut bob, &mut alice);
        }
    });
}

#[test]
fn on_ipv6_alone_phones_call_with_and_without_a_server() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings { ipv6: true, ..Settings::default() });
        let (mut alice, mut bob) = two_phones(&town, Udp);
        call(&mut alice, &mut bob);
        assert_eq!(town.router(1).call_path(), "server");
        town.provider.kill();
        end(&mut bob, &mut alice);
        call(&mut bob, &mut alice);
        assert_eq!(town.router(2).call_path(), "overlay");
        end(&mut bob, &mut alice);
    });
}

/// SIPp's phones end their connections after each script: the router opens one to Bob.
#[test]
fn a_phone_whose_connection_is_gone_is_called_over_a_new_one() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        let mut alice = Sipp::start_on(&town, &town.socket(1, FIRST), "alice", Tcp);
        let mut bob = Sipp::start_on(&town, &town.socket(2, FIRST), "bob", Tcp);
        town.await_record(1, "bob");
        for server in [true, false] {
            if !server {
                town.provider.kill();
            }
            let answering = bob.follow(&answer(300));
            alice.call("bob", &CALL).succeed();
            assert_eq!(answering.succeed().rings(), 1);
            let ringing = bob.follow(&RING_UNTIL_CANCEL);
            alice.call("bob", &CANCEL_RINGING).succeed();
            ringing.succeed();
        }
    });
}
