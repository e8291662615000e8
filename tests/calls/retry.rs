//! Challenges of the server while another leg is under way (CALLS §3.5).

use crate::acts::raced;
use crate::sip::{Msg, sdp};
use crate::town::{Phone, Town, server, two};

const CHALLENGE: (&str, &str) = ("Proxy-Authenticate", "Digest realm=\"x\", nonce=\"y\"");

/// Alice's INVITE is challenged while Bob has it already.
fn challenged() -> (Town, Phone, Phone, Msg) {
    let (mut town, alice, bob, at_server, at_bob) = raced(&[("Supported", "100rel")]);
    town.reply(&at_server, 407, "s", &[CHALLENGE]);
    town.refused(&alice, "407", &bob.aor(), 100);
    (town, alice, bob, at_bob)
}

fn retry(town: &mut Town, alice: &Phone, bob: &Phone) -> Msg {
    let extra = [("Proxy-Authorization", "Digest response=\"1\""), ("Supported", "100rel")];
    let body = sdp(alice.media());
    let again = alice.request(("INVITE", &bob.aor()), "c1", 5, &extra, &body);
    town.say(alice, again);
    town.world.expect(server(), "INVITE", 100)
}

#[test]
fn the_server_s_challenge_passes_and_the_overlay_leg_stays_for_the_retry() {
    let (mut town, alice, bob, at_server, at_bob) = raced(&[]);
    town.reply(&at_server, 407, "s", &[CHALLENGE]);
    let refusal = town.refused(&alice, "407", &bob.aor(), 100);
    assert_eq!(refusal.one(CHALLENGE.0), CHALLENGE.1);
    let credentials = ("Proxy-Authorization", "Digest username=\"alice\", response=\"1\"");
    let body = sdp(alice.media());
    let retry = alice.request(("INVITE", &bob.aor()), "c1", 2, &[credentials], &body);
    town.say(&alice, retry);
    let again = town.world.expect(server(), "INVITE", 100);
    assert_eq!((again.cseq(), again.one(credentials.0)), (2, credentials.1));
    assert_eq!(town.packets(bob.at, "INVITE"), 1);
    town.reply(&at_bob, 180, "b", &[]);
    town.world.expect(alice.at, "180", 100);
    let mut callee = town.accept(&at_bob, "b", &bob.contact());
    let mut caller = town.confirm(&alice, 100);
    assert_eq!(caller.cseq, 2, "Alice's INVITE had that number");
    let ack = town.world.expect(bob.at, "ACK", 100);
    assert_eq!(ack.cseq(), 1, "Bob's had this one");
    let info = town.ask(&mut caller, &bob, "INFO", 100);
    assert_eq!((info.cseq(), caller.cseq), (2, 3), "the next after Bob's INVITE and Alice's");
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn an_overlay_leg_whose_retry_never_comes_is_cancelled_after_4_s() {
    let (mut town, alice, bob, _, at_bob) = raced(&[]);
    town.reply(&at_bob, 180, "b", &[]);
    town.world.expect(alice.at, "180", 100);
    town.cancel(&alice, &bob.aor(), "c1");
    town.cancelled(&at_bob, "b", 100);
    town.dial(&alice, &bob.aor(), "c2");
    let at_server = town.world.expect(server(), "INVITE", 100);
    let at_bob = town.world.expect(bob.at, "INVITE", 1_000);
    town.reply(&at_server, 401, "s", &[]);
    town.world.expect(alice.at, "401", 100);
    town.world.nothing(bob.at, "CANCEL", 3_900);
    town.reply(&at_bob, 180, "b", &[]);
    town.cancelled(&at_bob, "b", 300);
    town.finish();
}

#[test]
fn ringing_that_came_before_the_retry_is_heard_with_it_and_its_prack_is_mapped() {
    let (mut town, alice, bob, at_bob) = challenged();
    let contact = format!("<{}>", bob.contact());
    let extra = [("Contact", contact.as_str()), ("Require", "100rel"), ("RSeq", "9")];
    town.reply(&at_bob, 180, "b", &extra);
    town.world.nothing(alice.at, "180", 300);
    retry(&mut town, &alice, &bob);
    let rings = town.world.expect(alice.at, "180", 100);
    assert_eq!(rings.cseq(), 5);
    let mut caller = crate::sip::Dialog::of_answer(&rings, &alice.contact());
    let prack = caller.request("PRACK", &[("RAck", "9 5 INVITE")], "");
    town.say(&alice, prack);
    let prack = town.world.expect(bob.at, "PRACK", 100);
    assert_eq!((prack.one("RAck"), prack.cseq()), ("9 1 INVITE", 2));
    town.reply(&prack, 200, "", &[]);
    assert_eq!(town.world.expect(alice.at, "200 PRACK", 100).cseq(), 6);
    town.accept(&at_bob, "b", &bob.contact());
    let success = town.world.expect(alice.at, "200 INVITE", 100);
    town.say(&alice, caller.ack(success.cseq()));
    assert_eq!(town.world.expect(bob.at, "ACK", 100).cseq(), 1);
    assert_eq!(town.packets(bob.at, "INVITE"), 1);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_answer_that_came_before_the_retry_answers_it() {
    let (mut town, alice, bob, at_bob) = challenged();
    let mut callee = town.accept(&at_bob, "b", &bob.contact());
    town.world.nothing(alice.at, "200 INVITE", 200);
    let extra = [("Proxy-Authorization", "Digest response=\"1\"")];
    let body = sdp(alice.media());
    let again = alice.request(("INVITE", &bob.aor()), "c1", 5, &extra, &body);
    town.say(&alice, again);
    let caller = town.confirm(&alice, 100);
    assert_eq!(caller.cseq, 5);
    assert_eq!(town.world.expect(bob.at, "ACK", 100).cseq(), 1);
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn an_answer_whose_retry_never_comes_is_acknowledged_and_ended() {
    let (mut town, _, bob, at_bob) = challenged();
    town.accept(&at_bob, "b", &bob.contact());
    town.world.nothing(bob.at, "BYE", 3_000);
    town.world.expect(bob.at, "ACK", 2_000);
    let bye = town.world.expect(bob.at, "BYE", 100);
    assert_eq!(bye.cseq(), 2);
    town.reply(&bye, 200, "", &[]);
    town.finish();
}

#[test]
fn each_retry_has_its_own_hedge_timer_and_the_same_look_up() {
    let (mut town, alice, bob) = two();
    town.dial(&alice, &bob.aor(), "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.world.run_ms(350);
    town.reply(&at_server, 407, "s", &[CHALLENGE]);
    town.refused(&alice, "407", &bob.aor(), 100);
    town.world.nothing(bob.at, "INVITE", 2_000);
    retry(&mut town, &alice, &bob);
    town.world.nothing(bob.at, "INVITE", 450);
    let at_bob = town.world.expect(bob.at, "INVITE", 100);
    assert_eq!(at_bob.cseq(), 5);
    town.reply(&at_bob, 603, "b", &[]);
    town.world.expect(alice.at, "603", 100);
    town.finish();
}

#[test]
fn a_challenge_after_an_18x_waits_like_any_refusal() {
    let (mut town, alice, _, at_server, at_bob) = raced(&[]);
    town.reply(&at_bob, 180, "b", &[]);
    town.world.expect(alice.at, "180", 100);
    town.reply(&at_server, 407, "s", &[CHALLENGE]);
    town.world.nothing(alice.at, "407", 3_000);
    town.reply(&at_bob, 486, "b", &[]);
    let refusal = town.world.expect(alice.at, "407", 100);
    assert_eq!(refusal.one(CHALLENGE.0), CHALLENGE.1);
    town.finish();
}
