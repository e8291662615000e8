//! Running calls: both ways on both paths, and after the server has died.

use crate::acts::by_overlay;
use crate::net::Fate;
use crate::sip::{Dialog, answer, sdp};
use crate::town::{Phone, Town, server, two, two_and_proxy};
use cosip::time::Duration;

/// A call that the server carries.
pub(crate) fn by_server() -> (Town, Phone, Phone, Dialog, Dialog) {
    let (mut town, alice, bob) = two_and_proxy();
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 300);
    let callee = town.accept(&invite, "b", &bob.contact());
    let caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.world.run_ms(1_000);
    let calls = &town.status(0)["calls"];
    assert_eq!((&calls[0]["path"], calls[1].is_null()), (&"server".into(), true));
    (town, alice, bob, caller, callee)
}

#[test]
fn requests_inside_a_dialog_go_both_ways_by_the_server_and_over_the_overlay() {
    for carried in [by_server, by_overlay] {
        let (mut town, alice, bob, mut caller, mut callee) = carried();
        for method in ["INFO", "UPDATE", "INVITE", "INVITE", "INFO"] {
            town.ask(&mut caller, &bob, method, 200);
            town.ask(&mut callee, &alice, method, 200);
        }
        town.bye(&mut callee, alice.at);
        town.finish();
    }
}

#[test]
fn a_bye_is_answered_within_2_s_of_a_dead_server_and_reaches_the_other_phone() {
    for dies in [Fate::Drop, Fate::Refuse] {
        for calls in [true, false] {
            let (mut town, alice, bob, mut caller, mut callee) = by_server();
            town.server_is(dies);
            let (dialog, other) = if calls { (&mut caller, &bob) } else { (&mut callee, &alice) };
            let heard = town.bye(dialog, other.at);
            assert_eq!(heard.one("Call-ID"), "c1");
            town.finish();
        }
    }
}

#[test]
fn a_bye_while_it_rings_reaches_the_phone_once() {
    let (mut town, alice, bob) = two_and_proxy();
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&invite, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
    let ringing = town.world.expect(alice.at, "180", 100);
    let mut early = Dialog::of_answer(&ringing, &alice.contact());
    // The copy by the server comes when the phone has answered the one by the direct path.
    town.server_is(Fate::Delay(Duration::from_millis(200)));
    let bye = early.request("BYE", &[], "");
    town.say(&alice, bye);
    let heard = town.world.expect(bob.at, "BYE", 100);
    town.reply(&heard, 200, "", &[]);
    town.world.nothing(bob.at, "BYE", 1_000);
    town.world.expect(alice.at, "200 BYE", 100);
    town.server_is(Fate::Deliver);
    town.reply(&invite, 487, "b", &[]);
    town.refused(&alice, "487", &bob.aor(), 100);
    town.finish();
}

#[test]
fn a_bye_that_overtakes_the_ack_by_the_server_leaves_no_call_behind() {
    let (mut town, alice, bob) = two_and_proxy();
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 100);
    town.accept(&invite, "b", &bob.contact());
    let answer = town.world.expect(alice.at, "200 INVITE", 100);
    let mut caller = Dialog::of_answer(&answer, &alice.contact());
    town.server_is(Fate::Delay(Duration::from_millis(200)));
    town.say(&alice, caller.ack(answer.cseq()));
    let bye = caller.request("BYE", &[], "");
    town.say(&alice, bye);
    let heard = town.world.expect(bob.at, "BYE", 100);
    town.reply(&heard, 200, "", &[]);
    // The phone repeats its answer until it is acknowledged, whatever ended the call since.
    town.world.expect(bob.at, "ACK", 400);
    town.world.run_ms(1_000);
    for router in 0..2 {
        assert!(town.status(router)["calls"][0].is_null(), "{}", town.status(router)["calls"]);
    }
    town.finish();
}

#[test]
fn a_bye_with_the_server_known_down_is_answered_at_once() {
    let (mut town, alice, bob, mut caller, _) = by_server();
    let carol = town.registered(0, 2, "carol");
    town.server_is(Fate::Drop);
    town.dial(&carol, "sip:nobody@example.net", "c2");
    town.world.run_ms(3_000);
    assert_eq!(town.verdict(0), "down");
    let bye = caller.request("BYE", &[], "");
    town.say(&alice, bye);
    town.world.expect(alice.at, "200 BYE", 50);
    let heard = town.world.expect(bob.at, "BYE", 100);
    town.reply(&heard, 200, "", &[]);
    town.finish();
}

#[test]
fn a_request_that_a_dead_server_does_not_answer_crosses_after_2_s() {
    let (mut town, alice, bob, mut caller, mut callee) = by_server();
    town.server_is(Fate::Drop);
    let began = town.world.now;
    town.ask(&mut caller, &bob, "INFO", 2_300);
    assert!(town.world.now.since(began).as_millis() >= 2_000);
    town.ask(&mut callee, &alice, "INFO", 2_300);
    town.ask(&mut caller, &bob, "INVITE", 2_300);
    town.ask(&mut callee, &alice, "INVITE", 2_300);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_dead_server_that_answers_late_does_not_disturb() {
    let (mut town, _, bob, mut caller, _) = by_server();
    town.server_is(Fate::Delay(Duration::from_secs(5)));
    town.bye(&mut caller, bob.at);
    town.world.nothing(bob.at, "BYE", 10_000);
    town.finish();
}

#[test]
fn a_prack_that_the_server_loses_takes_the_direct_path_though_it_came_before_the_notice() {
    let (mut town, alice, bob) = two();
    town.dial(&alice, &bob.aor(), "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.pass_on(&at_server, "sip:bob@203.0.113.2:5062");
    let at_bob = town.world.expect(bob.at, "INVITE", 100);
    let contact = format!("<{}>", bob.contact());
    let reliable = [("Require", "100rel"), ("RSeq", "7"), ("Contact", contact.as_str())];
    town.reply(&at_bob, 183, "b", &reliable);
    let progress = town.world.expect(server(), "183", 100);
    town.pass_back(&progress);
    let heard = town.world.expect(alice.at, "183", 100);
    town.server_is(Fate::Drop);
    let mut caller = Dialog::of_answer(&heard, &alice.contact());
    let prack = caller.request("PRACK", &[("RAck", "7 1 INVITE")], "");
    town.say(&alice, prack);
    town.world.nothing(bob.at, "PRACK", 1_900);
    let prack = town.world.expect(bob.at, "PRACK", 300);
    assert_eq!((prack.one("RAck"), prack.tag("To")), ("7 1 INVITE", "b"));
    town.reply(&prack, 200, "", &[]);
    town.world.expect(alice.at, "200 PRACK", 100);
    town.accept(&at_bob, "b", &bob.contact());
    town.confirm(&alice, 1_500);
    town.world.expect(bob.at, "ACK", 100);
    caller.cseq = 2;
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_suspicion_alone_does_not_answer_a_bye() {
    let (mut town, alice, bob, mut caller, _) = by_server();
    let carol = town.registered(0, 2, "carol");
    town.server_is(Fate::Drop);
    town.dial(&carol, "sip:nobody@example.net", "c2");
    while town.verdict(0) == "up" {
        town.world.run_ms(10);
    }
    assert_eq!(town.verdict(0), "suspect");
    let bye = caller.request("BYE", &[], "");
    town.say(&alice, bye);
    let heard = town.world.expect(bob.at, "BYE", 100);
    town.reply(&heard, 200, "", &[]);
    town.world.nothing(alice.at, "200 BYE", 1_000);
    town.world.expect(alice.at, "200 BYE", 1_100);
    town.world.run_ms(40_000);
}

#[test]
fn a_late_answer_to_an_invite_that_was_given_up_is_acknowledged() {
    let (mut town, alice, bob, mut caller, _) = by_server();
    let offer = sdp(alice.media());
    let invite = caller.request("INVITE", &[], &offer);
    town.world.send(caller.at, caller.hop, invite);
    let heard = town.world.expect(bob.at, "INVITE", 200);
    town.reply(&heard, 180, "", &[]);
    town.world.expect(alice.at, "180", 100);
    let cancel = town.world.expect(bob.at, "CANCEL", 200_000);
    town.reply(&cancel, 200, "", &[]);
    let refusal = town.world.expect(alice.at, "408 INVITE", 1_000);
    town.say(&alice, alice.ack_of_refusal(&refusal, &caller.target));
    let contact = format!("<{}>", bob.contact());
    let yes = answer(&heard, 200, "", &[("Contact", &contact)], &sdp(bob.media()));
    town.world.run_ms(5_000);
    town.world.send(heard.at, heard.from, yes);
    let ack = town.world.expect(bob.at, "ACK", 300);
    assert_eq!((ack.cseq(), ack.uri()), (heard.cseq(), &*bob.contact()));
    town.bye(&mut caller, bob.at);
    town.finish();
}
