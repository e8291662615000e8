//! What becomes of legs: losers, CANCEL, two phones of one address.

use crate::acts::raced;
use crate::net::Fate;
use crate::sip::{Msg, answer, sdp, uri_of};
use crate::town::{Phone, Town, server, two};

const GATEWAY: &str = "sip:gw@198.51.100.1";

#[test]
fn a_silent_server_leg_that_lost_is_cancelled_when_it_wakes() {
    let (mut town, alice, bob, at_server, at_bob) = raced(&[]);
    town.accept(&at_bob, "b", &bob.contact());
    let mut caller = town.confirm(&alice, 100);
    let before = town.packets(server(), "INVITE");
    town.world.run_ms(10_000);
    assert_eq!(town.packets(server(), "INVITE"), before, "it stops retransmitting");
    town.reply(&at_server, 180, "s", &[]);
    town.cancelled(&at_server, "s", 100);
    town.world.nothing(alice.at, "180", 500);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_server_leg_that_lost_and_answers_gets_ack_and_bye() {
    let (mut town, alice, bob, at_server, at_bob) = raced(&[]);
    town.accept(&at_bob, "b", &bob.contact());
    let mut caller = town.confirm(&alice, 100);
    let routes = [("Record-Route", "<sip:198.51.100.1;lr>"), ("Contact", "<sip:gw@198.51.100.1>")];
    let success = answer(&at_server, 200, "s", &routes, &sdp(server()));
    town.world.send(server(), at_server.from, success);
    let ack = town.world.expect(server(), "ACK", 100);
    assert_eq!((ack.uri(), ack.cseq()), (GATEWAY, 1));
    let bye = town.world.expect(server(), "BYE", 100);
    assert_eq!((bye.uri(), bye.cseq(), bye.tag("To")), (GATEWAY, 2, "s"));
    town.reply(&bye, 200, "", &[]);
    town.world.nothing(alice.at, "BYE", 1_000);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_cancel_before_ringing_is_answered_at_once_and_ends_all_legs() {
    let (mut town, alice, bob) = two();
    town.dial(&alice, &bob.aor(), "c1");
    town.world.expect(server(), "INVITE", 100);
    town.gives_up(&alice, &bob.aor(), "c1");
    town.world.nothing(bob.at, "INVITE", 6_000);
    town.finish();
}

#[test]
fn a_cancel_while_two_legs_ring_ends_both() {
    let (mut town, alice, bob, at_server, at_bob) = raced(&[]);
    town.reply(&at_bob, 180, "b", &[]);
    town.world.expect(alice.at, "180", 100);
    town.reply(&at_server, 180, "s", &[("Contact", "<sip:gw@198.51.100.1>")]);
    town.world.nothing(alice.at, "180", 500);
    town.gives_up(&alice, &bob.aor(), "c1");
    for (invite, tag) in [(&at_server, "s"), (&at_bob, "b")] {
        town.cancelled(invite, tag, 100);
    }
    town.finish();
}

#[test]
fn two_phones_of_one_address_ring_and_the_first_answer_wins() {
    let (mut town, alice, bob) = two();
    let bob2 = town.registered(2, 1, "bob");
    assert_eq!(town.finds(0, &bob.aor()), 2);
    town.server_is(Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    let first = town.world.expect(bob.at, "INVITE", 1_000);
    let second = town.world.expect(bob2.at, "INVITE", 1_000);
    assert_eq!((uri_of(first.uri()), second.uri()), (bob.contact().as_str(), &*bob2.contact()));
    town.reply(&first, 180, "b1", &[]);
    town.reply(&second, 180, "b2", &[]);
    town.world.expect(alice.at, "180", 100);
    town.world.nothing(alice.at, "180", 500);
    town.accept(&second, "b2", &bob2.contact());
    town.cancelled(&first, "b1", 100);
    let mut caller = town.confirm(&alice, 100);
    town.world.expect(bob2.at, "ACK", 100);
    town.bye(&mut caller, bob2.at);
    town.finish();
}

/// The server says 100 and rings Bob, of which Alice's router hears nothing, so that it asks over
/// the overlay too; then the server's host refuses until something was sent there. What server and
/// Bob got.
fn refused_while_it_rings() -> (Town, Phone, Phone, Msg, Msg) {
    let (mut town, alice, bob) = two();
    town.dial(&alice, &bob.aor(), "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 100, "", &[]);
    town.pass_on(&at_server, "sip:bob@203.0.113.2:5062");
    let at_bob = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&at_bob, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
    town.world.expect(alice.at, "180", 4_200);
    town.server_is(Fate::Refuse);
    town.world.run_ms(21_000);
    town.server_is(Fate::Deliver);
    (town, alice, bob, at_server, at_bob)
}

#[test]
fn a_server_leg_whose_host_refused_for_a_moment_carries_all_the_same() {
    let (mut town, alice, bob, at_server, at_bob) = refused_while_it_rings();
    let rings = town.world.expect(server(), "180", 10);
    town.pass_back(&rings);
    town.world.nothing(server(), "CANCEL", 1_000);
    town.accept(&at_bob, "b", &bob.contact());
    let success = town.world.expect(server(), "200 INVITE", 100);
    town.pass_back(&success);
    let mut caller = town.confirm(&alice, 100);
    let ack = town.world.expect(server(), "ACK", 100);
    assert_eq!(ack.cseq(), at_server.cseq());
    town.pass_on(&ack, ack.uri());
    town.world.expect(bob.at, "ACK", 100);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_server_that_refuses_while_the_caller_hangs_up_is_told_when_it_is_back() {
    for answers in [false, true] {
        let (mut town, alice, bob, at_server, at_bob) = refused_while_it_rings();
        town.server_is(Fate::Refuse);
        town.gives_up(&alice, &bob.aor(), "c1");
        town.cancelled(&at_bob, "b", 1_100);
        town.world.run_ms(15_000);
        town.server_is(Fate::Deliver);
        town.world.expect(server(), "CANCEL", 5_000);
        if answers {
            let contact = [("Contact", GATEWAY)];
            let late = answer(&at_server, 200, "s", &contact, &sdp(server()));
            town.world.send(server(), at_server.from, late);
            town.world.expect(server(), "ACK", 100);
            let bye = town.world.expect(server(), "BYE", 100);
            town.reply(&bye, 200, "", &[]);
        } else {
            town.reply(&at_server, 487, "s", &[]);
            town.world.expect(server(), "ACK", 100);
        }
        town.world.run_ms(10_000);
        town.finish();
    }
}
