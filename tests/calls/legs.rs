//! What becomes of legs: losers, CANCEL, two phones of one address.

use crate::acts::raced;
use crate::net::Fate;
use crate::sip::{answer, sdp, uri_of};
use crate::town::{server, two};

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
