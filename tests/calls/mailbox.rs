//! A server's mailbox answers at once while the callee's phone rings over the overlay.

use crate::sip::{Msg, answer, sdp};
use crate::town::{Phone, Town, server, two};

/// The server is silent, so that Bob rings over the overlay. What the server and Bob got.
fn rings_over_the_overlay() -> (Town, Phone, Phone, Msg, Msg) {
    let (mut town, alice, bob) = two();
    town.dial(&alice, &bob.aor(), "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    let at_bob = town.world.expect(bob.at, "INVITE", 700);
    town.reply(&at_bob, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
    town.world.expect(alice.at, "180", 100);
    (town, alice, bob, at_server, at_bob)
}

/// As [`rings_over_the_overlay`]; then the server's mailbox answers, though it has rung nobody.
fn mailbox_answers() -> (Town, Phone, Phone, Msg, Msg) {
    let (mut town, alice, bob, at_server, at_bob) = rings_over_the_overlay();
    town.reply(&at_server, 100, "", &[]);
    accept(&mut town, &at_server);
    town.world.nothing(alice.at, "200", 2_000);
    (town, alice, bob, at_server, at_bob)
}

fn accept(town: &mut Town, at_server: &Msg) {
    let contact = [("Contact", "<sip:mailbox@198.51.100.1:5060>")];
    let success = answer(at_server, 200, "mailbox", &contact, &sdp(server()));
    town.world.send(at_server.at, at_server.from, success);
}

/// The mailbox is acknowledged and sent away.
fn sent_away(town: &mut Town) {
    town.world.expect(server(), "ACK", 100);
    let bye = town.world.expect(server(), "BYE", 100);
    town.reply(&bye, 200, "", &[]);
}

#[test]
fn the_phone_that_rings_is_waited_for() {
    let (mut town, alice, bob, at_server, at_bob) = mailbox_answers();
    town.world.nothing(server(), "ACK", 1);
    accept(&mut town, &at_server);
    town.world.nothing(alice.at, "200", 6_000);
    town.accept(&at_bob, "b", &bob.contact());
    let mut caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    sent_away(&mut town);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn the_mailbox_has_the_caller_when_the_phone_refuses() {
    let (mut town, alice, _, _, at_bob) = mailbox_answers();
    town.reply(&at_bob, 486, "b", &[]);
    let mut caller = town.confirm(&alice, 100);
    town.world.expect(server(), "ACK", 100);
    town.bye(&mut caller, server());
    town.finish();
}

#[test]
fn the_mailbox_has_the_caller_when_the_phone_rings_for_too_long() {
    let (mut town, alice, _, _, at_bob) = mailbox_answers();
    town.world.nothing(alice.at, "200", 27_500);
    let mut caller = town.confirm(&alice, 1_000);
    town.world.expect(server(), "ACK", 100);
    town.cancelled(&at_bob, "b", 100);
    town.bye(&mut caller, server());
    town.finish();
}

#[test]
fn a_caller_who_hangs_up_meanwhile_leaves_nobody_behind() {
    let (mut town, alice, bob, _, at_bob) = mailbox_answers();
    town.gives_up(&alice, &bob.aor(), "c1");
    sent_away(&mut town);
    town.cancelled(&at_bob, "b", 100);
    town.finish();
}

#[test]
fn an_answer_of_a_server_that_has_rung_somebody_is_heard_at_once() {
    let (mut town, alice, _, at_server, at_bob) = rings_over_the_overlay();
    town.reply(&at_server, 180, "s", &[]);
    town.world.run_ms(500);
    accept(&mut town, &at_server);
    let mut caller = town.confirm(&alice, 100);
    town.world.expect(server(), "ACK", 100);
    town.cancelled(&at_bob, "b", 100);
    town.bye(&mut caller, server());
    town.finish();
}
