//! Running calls: both ways on both paths, and after the server has died.

use crate::net::Fate;
use crate::provider::{backward, forward};
use crate::sip::{Dialog, sdp};
use crate::town::{Phone, Town, server, two, two_and_proxy};
use cosip::time::Duration;

/// A call that the server carries.
fn by_server() -> (Town, Phone, Phone, Dialog, Dialog) {
    let (mut town, alice, bob) = two_and_proxy();
    let invite = alice.invite(&bob.aor(), "c1");
    town.say(&alice, invite);
    let invite = town.world.expect(bob.at, "INVITE", 300);
    let callee = town.accept(&invite, "b", &bob.contact());
    let caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.world.run_ms(1_000);
    let calls = &town.status(0)["calls"];
    assert_eq!((&calls[0]["path"], calls[1].is_null()), (&"server".into(), true));
    (town, alice, bob, caller, callee)
}

/// A call that the overlay carries.
fn by_overlay() -> (Town, Phone, Phone, Dialog, Dialog) {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Drop);
    let invite = alice.invite(&bob.aor(), "c1");
    town.say(&alice, invite);
    let invite = town.world.expect(bob.at, "INVITE", 1_000);
    let callee = town.accept(&invite, "b", &bob.contact());
    let caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    (town, alice, bob, caller, callee)
}

/// Sends a request in a dialog; it reaches the other end and is answered.
fn ask(town: &mut Town, dialog: &mut Dialog, other: &Phone, method: &str, ms: u64) {
    let offers = ["INVITE", "UPDATE"].contains(&method);
    let description = if offers { sdp((dialog.at.ip(), 4000).into()) } else { String::new() };
    let request = dialog.request(method, &[], &description);
    town.world.send(dialog.at, dialog.hop, request);
    let heard = town.world.expect(other.at, method, ms);
    assert_eq!(heard.uri(), other.contact());
    if offers {
        assert!(heard.body().contains(&format!("c=IN IP4 {}", other.proxy.ip())));
        let (contact, body) = (format!("<{}>", other.contact()), sdp(other.media()));
        let yes = crate::sip::answer(&heard, 200, "", &[("Contact", &contact)], &body);
        town.world.send(other.at, other.proxy, yes);
    } else {
        town.reply(&heard, 200, "", &[]);
    }
    let yes = town.world.expect(dialog.at, &format!("200 {method}"), ms);
    assert_eq!(yes.cseq(), dialog.cseq);
    if method == "INVITE" {
        town.world.send(dialog.at, dialog.hop, dialog.ack(yes.cseq()));
        assert_eq!(town.world.expect(other.at, "ACK", ms).cseq(), heard.cseq());
    }
}

#[test]
fn requests_inside_a_dialog_go_both_ways_by_the_server() {
    let (mut town, alice, bob, mut caller, mut callee) = by_server();
    for method in ["INFO", "UPDATE", "INVITE", "INVITE", "INFO"] {
        ask(&mut town, &mut caller, &bob, method, 200);
        ask(&mut town, &mut callee, &alice, method, 200);
    }
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn requests_inside_a_dialog_go_both_ways_over_the_overlay() {
    let (mut town, alice, bob, mut caller, mut callee) = by_overlay();
    for method in ["INFO", "UPDATE", "INVITE", "INVITE", "INFO"] {
        ask(&mut town, &mut caller, &bob, method, 200);
        ask(&mut town, &mut callee, &alice, method, 200);
    }
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn a_bye_is_answered_within_2_s_of_a_dead_server_and_reaches_the_other_phone() {
    for dies in [Fate::Drop, Fate::Refuse] {
        for calls in [true, false] {
            let (mut town, alice, bob, mut caller, mut callee) = by_server();
            town.server_is(dies);
            let (dialog, other) = if calls { (&mut caller, &bob) } else { (&mut callee, &alice) };
            let bye = dialog.request("BYE", &[], "");
            town.world.send(dialog.at, dialog.hop, bye);
            let heard = town.world.expect(other.at, "BYE", 300);
            assert_eq!(heard.one("Call-ID"), "c1");
            town.reply(&heard, 200, "", &[]);
            town.world.expect(dialog.at, "200 BYE", 2_050);
            town.finish();
        }
    }
}

#[test]
fn a_bye_while_it_rings_reaches_the_phone_once() {
    let (mut town, alice, bob) = two_and_proxy();
    let invite = alice.invite(&bob.aor(), "c1");
    town.say(&alice, invite);
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
    let refusal = town.world.expect(alice.at, "487 INVITE", 100);
    let ack = alice.ack_of_refusal(&refusal, &bob.aor());
    town.say(&alice, ack);
    town.finish();
}

#[test]
fn a_bye_with_the_server_known_down_is_answered_at_once() {
    let (mut town, alice, bob, mut caller, _) = by_server();
    let carol = town.registered(0, 2, "carol");
    town.server_is(Fate::Drop);
    let invite = carol.invite("sip:nobody@example.net", "c2");
    town.say(&carol, invite);
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
    ask(&mut town, &mut caller, &bob, "INFO", 2_300);
    assert!(town.world.now.since(began).as_millis() >= 2_000);
    ask(&mut town, &mut callee, &alice, "INFO", 2_300);
    ask(&mut town, &mut caller, &bob, "INVITE", 2_300);
    ask(&mut town, &mut callee, &alice, "INVITE", 2_300);
    let bye = caller.request("BYE", &[], "");
    town.say(&alice, bye);
    let heard = town.world.expect(bob.at, "BYE", 300);
    town.reply(&heard, 200, "", &[]);
    town.world.expect(alice.at, "200 BYE", 2_100);
    town.finish();
}

#[test]
fn a_dead_server_that_answers_late_does_not_disturb() {
    let (mut town, alice, bob, mut caller, _) = by_server();
    town.server_is(Fate::Delay(Duration::from_secs(5)));
    let bye = caller.request("BYE", &[], "");
    town.say(&alice, bye);
    let heard = town.world.expect(bob.at, "BYE", 300);
    town.reply(&heard, 200, "", &[]);
    town.world.expect(alice.at, "200 BYE", 2_100);
    town.world.nothing(bob.at, "BYE", 10_000);
    town.finish();
}

#[test]
fn a_prack_that_the_server_loses_takes_the_direct_path_though_it_came_before_the_notice() {
    let (mut town, alice, bob) = two();
    let invite = alice.invite(&bob.aor(), "c1");
    town.say(&alice, invite);
    let at_server = town.world.expect(server(), "INVITE", 100);
    let (to, bytes) = forward(&at_server, "sip:bob@203.0.113.2:5062");
    town.world.send(server(), to, bytes);
    let at_bob = town.world.expect(bob.at, "INVITE", 100);
    let contact = format!("<{}>", bob.contact());
    let reliable = [("Require", "100rel"), ("RSeq", "7"), ("Contact", contact.as_str())];
    town.reply(&at_bob, 183, "b", &reliable);
    let (to, bytes) = backward(&town.world.expect(server(), "183", 100)).unwrap();
    town.world.send(server(), to, bytes);
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
