//! Phones that answer at awkward moments, twice, or not at all, and trust their server alone.

use crate::host::Host;
use crate::router::Settings;
use crate::script::Step::*;
use crate::script::{CALL, CANCEL_RINGING, Step, answer};
use crate::sipp::Sipp;
use crate::town::{FIRST, Town};
use crate::wait;
use crate::world::inside;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// Lets Alice call Bob, who hears nobody but his router's SIP port: with the server, then without.
fn with_and_without_server(folder: &Path, test: impl Fn(&Town, &mut Sipp, &mut Sipp)) {
    let mut town = Town::build(folder, &Settings::default());
    let (mut alice, mut bob) = Sipp::alice_and_bob(&town);
    town.socket(2, FIRST).host.nft(
        "add table ip picky; \
         add chain ip picky input { type filter hook input priority 0; policy accept; }; \
         add rule ip picky input ip saddr 192.168.1.1 udp sport 5060 accept; \
         add rule ip picky input udp dport 5060 drop",
    );
    test(&town, &mut alice, &mut bob);
    town.provider.kill();
    test(&town, &mut alice, &mut bob);
}

/// Loses every ACK that comes to a phone.
fn lose_acks(host: &Host) {
    host.nft(
        "add table ip lossy; \
         add chain ip lossy input { type filter hook input priority 0; policy accept; }; \
         add rule ip lossy input udp dport 5060 @th,64,24 0x41434b drop",
    );
}

#[test]
fn a_phone_that_answers_the_call_just_given_up_is_let_go() {
    const RING: [Step<'_>; 4] = [Await("INVITE"), Reply("180 Ringing"), Await("CANCEL"), Confirm];
    const GO: [Step<'_>; 4] = [Accept, Await("ACK"), Await("BYE"), Confirm];
    inside(LIMIT, |folder| {
        with_and_without_server(folder, |town, alice, bob| {
            let answering = bob.follow(&[&RING[..], &GO].concat());
            alice.call("bob", &CANCEL_RINGING).succeed();
            answering.succeed();

            // To refuse first and to answer then is no answer, and no harm.
            let absorbed = town.router(2).counter("sip_absorbed");
            let refuse = [Reply("487 Request Terminated"), Await("ACK"), Accept, Pause(200)];
            let answering = bob.follow(&[&RING[..], &refuse].concat());
            alice.call("bob", &CANCEL_RINGING).succeed();
            answering.succeed();
            assert!(town.router(2).counter("sip_absorbed") > absorbed);
        });
    });
}

#[test]
fn a_phone_that_rings_on_after_its_answer_disturbs_no_call() {
    inside(LIMIT, |folder| {
        with_and_without_server(folder, |_, alice, bob| {
            let ring = Reply("180 Ringing");
            let late = [Await("INVITE"), ring, Accept, Await("ACK"), ring, Pause(100), ring];
            let answering = bob.follow(&[&late[..], &[Await("BYE"), Confirm]].concat());
            alice.call("bob", &CALL).succeed();
            answering.succeed();
        });
    });
}

#[test]
fn an_answer_whose_ack_is_lost_is_acknowledged_again() {
    inside(LIMIT, |folder| {
        with_and_without_server(folder, |town, alice, bob| {
            let host = town.socket(2, FIRST).host;
            lose_acks(&host);
            // The router does its part, and the caller's ACK comes as well.
            let acked = [Accept, Await("ACK"), Allow("ACK"), Await("BYE"), Confirm];
            let ring = [Await("INVITE"), Reply("180 Ringing")];
            let answering = bob.follow(&[&ring[..], &acked].concat());
            let long = [Dial("200"), AckAnswer, Pause(4000), HangUp, Expect("200")];
            let mut calling = alice.call("bob", &long);
            calling.await_received("SIP/2.0 200");
            wait::pause(Duration::from_millis(900));
            host.nft("delete table ip lossy");
            calling.succeed();
            answering.succeed();
        });
    });
}

#[test]
fn a_caller_who_hangs_up_with_bye_while_it_rings_stops_the_ringing() {
    inside(LIMIT, |folder| {
        with_and_without_server(folder, |_, alice, bob| {
            let ringing = bob.follow(&[
                Await("INVITE"),
                Reply("180 Ringing"),
                Await("BYE"),
                Confirm,
                Reply("487 Request Terminated"),
                Await("ACK"),
            ]);
            let steps = [Dial("180"), HangUp, Expect("200"), Expect("487"), AckRefusal];
            alice.call("bob", &steps).succeed();
            ringing.succeed();
        });
    });
}

#[test]
fn a_phone_that_says_nothing_is_unavailable_until_it_speaks_again() {
    inside(LIMIT, |folder| {
        with_and_without_server(folder, |town, alice, bob| {
            let silent = bob.follow(&[Await("INVITE"), Pause(3500)]);
            alice.call("bob", &[Dial("480"), AckRefusal]).succeed();
            silent.succeed();
            wait::until("Bob's record to go", Duration::from_secs(10), || {
                town.router(1).finds("bob") == 0
            });
            bob.follow(&[Register("", "200")]).succeed();
            town.await_record(1, "bob");
            let answering = bob.follow(&answer(0));
            alice.call("bob", &CALL).succeed();
            answering.succeed();
        });
    });
}
