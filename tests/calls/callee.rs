//! One ring: a call that reaches its phone by the server and by the overlay.

use crate::acts::gateway;
use crate::net::Fate;
use crate::provider::forward;
use crate::sip::{Dialog, Msg, answer};
use crate::town::{Phone, Town, server, two, two_over_tcp};

/// The Contact of Bob that the server knows.
const BOB: &str = "sip:bob@203.0.113.2:5062";

/// Alice calls Bob; what the server got.
fn call(town: &mut Town, alice: &Phone, bob: &Phone) -> Msg {
    town.dial(alice, &bob.aor(), "c1");
    town.world.expect(server(), "INVITE", 100)
}

/// The server cancels what it passed on.
fn pass_on_cancel(town: &mut Town, invite: &Msg) {
    let (to, bytes) = forward(invite, BOB);
    let text = String::from_utf8(bytes).unwrap().replace("1 INVITE", "1 CANCEL");
    town.world.send(server(), to, text.replacen("INVITE sip:", "CANCEL sip:", 1));
}

/// The server passes an INVITE on once more, as another branch.
fn pass_on_fork(town: &mut Town, invite: &Msg, branch: &str) {
    let (to, bytes) = forward(invite, BOB);
    let text = String::from_utf8(bytes).unwrap();
    town.world.send(server(), to, text.replace("z9hG4bKp", &format!("z9hG4bK{branch}")));
}

/// Both ends are in the same dialog: each hears the other's request.
fn talk(town: &mut Town, caller: &mut Dialog, callee: &mut Dialog) {
    for (from, to) in [(caller.clone(), callee.at), (callee.clone(), caller.at)] {
        let mut from = from;
        let info = from.request("INFO", &[], "");
        town.world.send(from.at, from.hop, info);
        let heard = town.world.expect(to, "INFO", 200);
        town.reply(&heard, 200, "", &[]);
        town.world.expect(from.at, "200 INFO", 200);
    }
    caller.cseq += 1;
    callee.cseq += 1;
}

#[test]
fn the_phone_sees_its_provider_s_call_with_our_record_route_first() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    town.pass_on(&at_server, BOB);
    let invite = town.world.expect(bob.at, "INVITE", 100);
    assert_eq!(invite.uri(), bob.contact(), "its exact registered Contact");
    assert_eq!(invite.from, bob.proxy, "from the address that its REGISTERs use");
    assert_eq!(invite.all("Via").len(), 1);
    let routes = invite.all("Record-Route");
    assert_eq!(routes, ["<sip:192.168.2.1:5060;lr>", "<sip:198.51.100.1:5060;lr>"]);
    assert_eq!(invite.contact(), "sip:alice@203.0.113.1:5062", "the provider's stays");
    let mut callee = town.accept(&invite, "b", &bob.contact());
    let success = town.world.expect(server(), "200 INVITE", 100);
    assert_eq!(success.all("Record-Route"), ["<sip:198.51.100.1:5060;lr>"]);
    assert_eq!(success.contact(), BOB);
    town.pass_back(&success);
    let heard = town.world.expect(alice.at, "200 INVITE", 100);
    let routes = heard.all("Record-Route");
    assert_eq!(routes, ["<sip:198.51.100.1:5060;lr>", "<sip:192.168.1.1:5060;lr>"]);
    assert_eq!(heard.contact(), BOB, "the provider's stays");
    let caller = Dialog::of_answer(&heard, &alice.contact());
    town.say(&alice, caller.ack(1));
    let ack = town.world.expect(server(), "ACK", 100);
    assert_eq!(ack.all("Route"), ["<sip:198.51.100.1:5060;lr>"], "ours is taken off");
    town.pass_on(&ack, ack.uri());
    town.world.expect(bob.at, "ACK", 100);
    let bye = callee.request("BYE", &[], "");
    town.world.send(bob.at, bob.proxy, bye);
    let bye = town.world.expect(server(), "BYE", 100);
    town.pass_on(&bye, bye.uri());
    let bye = town.world.expect(alice.at, "BYE", 100);
    town.reply(&bye, 200, "", &[]);
    let ok = town.world.expect(server(), "200 BYE", 100);
    town.pass_back(&ok);
    town.world.expect(bob.at, "200 BYE", 100);
    town.finish();
}

#[test]
fn the_phone_sees_a_call_of_the_overlay_as_its_provider_s() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Drop);
    let secrets = [
        ("Authorization", "Digest secret"),
        ("P-Asserted-Identity", "<sip:boss@example.net>"),
        ("Alert-Info", "<http://x>;info=alert-autoanswer"),
        ("Call-Info", "<sip:x>;answer-after=0"),
        ("Route", "<sip:192.168.1.1;lr>"),
        ("X-Private", "1"),
        ("Replaces", "other;to-tag=1;from-tag=2"),
    ];
    let body = crate::sip::sdp(alice.media());
    let text = alice.request(("INVITE", &bob.aor()), "c1", 1, &secrets, &body);
    town.say(&alice, text);
    let invite = town.world.expect(bob.at, "INVITE", 1_000);
    assert_eq!((invite.uri(), invite.from), (bob.contact().as_str(), bob.proxy));
    assert_eq!(invite.all("Record-Route"), ["<sip:192.168.2.1:5060;lr>"]);
    assert!(invite.contact().ends_with("@192.168.2.1:5060"), "{}", invite.contact());
    for (name, _) in secrets {
        assert!(!invite.has(name), "{name} does not cross");
    }
    assert!(!invite.body().contains("192.168.1."), "sound goes through the relay");
    let mut callee = town.accept(&invite, "b", &bob.contact());
    let heard = town.world.expect(alice.at, "200 INVITE", 100);
    assert_eq!(heard.all("Record-Route"), ["<sip:192.168.1.1:5060;lr>"]);
    assert!(heard.contact().ends_with("@192.168.1.1:5060"), "{}", heard.contact());
    let mut caller = Dialog::of_answer(&heard, &alice.contact());
    town.say(&alice, caller.ack(1));
    town.world.expect(bob.at, "ACK", 100);
    talk(&mut town, &mut caller, &mut callee);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_server_leg_whose_answer_is_not_acknowledged_makes_way_for_the_held_one() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    town.pass_on(&at_server, BOB);
    let invite = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&invite, 180, "b", &[]);
    town.world.expect(server(), "180", 100);
    let held = town.world.expect(alice.at, "180", 1_000);
    assert!(!held.has("Content-Type"), "180 without SDP");
    town.server_is(Fate::Drop);
    let mut callee = town.accept(&invite, "b", &bob.contact());
    town.world.nothing(alice.at, "200", 950);
    let mut caller = town.confirm(&alice, 200);
    town.world.expect(bob.at, "ACK", 200);
    assert_eq!(town.invites(bob.at), 1);
    talk(&mut town, &mut caller, &mut callee);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn the_overlay_leg_that_waited_gets_482_once_the_server_s_is_acknowledged() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    town.pass_on(&at_server, BOB);
    let invite = town.world.expect(bob.at, "INVITE", 100);
    town.world.expect(alice.at, "180", 1_000);
    let mut callee = town.accept(&invite, "b", &bob.contact());
    let success = town.world.expect(server(), "200 INVITE", 100);
    town.pass_back(&success);
    let caller = town.confirm(&alice, 100);
    let ack = town.world.expect(server(), "ACK", 100);
    town.pass_on(&ack, ack.uri());
    town.world.expect(bob.at, "ACK", 100);
    assert_eq!(town.invites(bob.at), 1);
    let bye = callee.request("BYE", &[], "");
    town.world.send(bob.at, bob.proxy, bye);
    let bye = town.world.expect(server(), "BYE", 100);
    town.pass_on(&bye, bye.uri());
    let bye = town.world.expect(alice.at, "BYE", 100);
    assert_eq!(bye.one("Call-ID"), caller.call_id);
    town.reply(&bye, 200, "", &[]);
    town.world.expect(bob.at, "200 BYE", 3_000);
    town.finish();
}

#[test]
fn a_server_leg_that_comes_second_is_held_and_gets_480_4_s_after_the_answer() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    let invite = town.world.expect(bob.at, "INVITE", 1_000);
    town.pass_on(&at_server, BOB);
    let held = town.world.expect(server(), "180", 100);
    assert!(held.body().is_empty());
    town.accept(&invite, "b", &bob.contact());
    let mut caller = town.confirm(&alice, 100);
    town.world.nothing(server(), "480", 3_900);
    town.world.expect(server(), "480", 200);
    assert_eq!(town.invites(bob.at), 1);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_held_server_leg_that_is_cancelled_in_time_gets_487() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    let invite = town.world.expect(bob.at, "INVITE", 1_000);
    town.pass_on(&at_server, BOB);
    town.world.expect(server(), "180", 100);
    town.accept(&invite, "b", &bob.contact());
    let mut caller = town.confirm(&alice, 100);
    pass_on_cancel(&mut town, &at_server);
    town.world.expect(server(), "200 CANCEL", 100);
    town.world.expect(server(), "487", 100);
    town.world.nothing(bob.at, "CANCEL", 500);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_server_leg_that_comes_after_the_answer_hears_100_so_that_it_can_be_cancelled() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    let invite = town.world.expect(bob.at, "INVITE", 1_000);
    town.accept(&invite, "b", &bob.contact());
    let mut caller = town.confirm(&alice, 100);
    town.pass_on(&at_server, BOB);
    town.world.expect(server(), "100", 100);
    pass_on_cancel(&mut town, &at_server);
    town.world.expect(server(), "487", 100);
    assert_eq!(town.invites(bob.at), 1);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_refusal_of_the_phone_answers_all_legs_and_one_that_comes_later() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    town.pass_on(&at_server, BOB);
    let invite = town.world.expect(bob.at, "INVITE", 100);
    town.world.expect(alice.at, "180", 1_000);
    town.reply(&invite, 486, "b", &[]);
    town.world.expect(server(), "486", 100);
    town.refused(&alice, "486", &bob.aor(), 8_500);
    pass_on_fork(&mut town, &at_server, "q");
    town.world.nothing(bob.at, "INVITE", 5_000);
    town.finish();
}

#[test]
fn a_phone_that_says_nothing_for_2_s_is_withdrawn_until_it_speaks() {
    let (mut town, alice, mut bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    town.reply(&at_server, 503, "s", &[]);
    town.world.expect(bob.at, "INVITE", 300);
    town.world.expect(alice.at, "503", 2_500);
    town.world.run_ms(2_000);
    assert_eq!(town.finds(0, &bob.aor()), 0, "its record is withdrawn");
    town.register(&mut bob, 3600);
    town.world.expect(bob.at, "200 REGISTER", 100);
    town.world.run_ms(2_000);
    assert_eq!(town.finds(0, &bob.aor()), 1, "it speaks again");
    town.finish();
}

#[test]
fn a_call_of_the_server_is_answered_without_any_overlay() {
    let (mut town, _, bob) = two();
    let gateway = gateway(town.routers[1].outside());
    town.dial(&gateway, BOB, "gw1");
    let at_bob = town.world.expect(bob.at, "INVITE", 100);
    let bytes = answer(&at_bob, 302, "b", &[("Contact", "<sip:other@192.0.2.9>")], "");
    town.world.send(bob.at, bob.proxy, bytes);
    let moved = town.world.expect(server(), "302", 100);
    assert_eq!(moved.contact(), "sip:other@192.0.2.9", "never rewritten in a 3xx");
    town.finish();
}

#[test]
fn a_phone_that_was_silent_is_not_waited_for_again_by_the_other_leg() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    town.pass_on(&at_server, BOB);
    town.world.expect(bob.at, "INVITE", 100);
    let gone = town.world.expect(server(), "480", 2_200);
    town.pass_back(&gone);
    town.refused(&alice, "480", &bob.aor(), 300);
    town.finish();
}

#[test]
fn a_held_leg_hears_180_each_minute_and_rings_as_a_new_call_when_the_first_leg_dies() {
    let (mut town, alice, bob) = two_over_tcp();
    let own = town
        .world
        .log
        .iter()
        .rev()
        .find(|p| p.to == server() && p.tcp && p.from.ip() == town.routers[1].wan);
    let own = own.unwrap().from;
    let at_server = call(&mut town, &alice, &bob);
    let (_, bytes) = forward(&at_server, &format!("sip:bob@{own};transport=tcp"));
    town.world.send(server(), own, bytes);
    let first = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&first, 180, "b", &[]);
    town.world.expect(server(), "180", 100);
    let held = town.world.expect(alice.at, "180", 1_000);
    town.world.run_ms(60_000);
    assert_eq!(town.packets(alice.at, "SIP/2.0 180"), 2, "and under the same tag");
    town.world.disconnect(server());
    town.cancelled(&first, "b", 100);
    let second = town.world.expect(bob.at, "INVITE", 100);
    assert_ne!(second.one("Call-ID"), first.one("Call-ID"));
    assert_ne!(second.tag("From"), first.tag("From"));
    let mut callee = town.accept(&second, "b2", &bob.contact());
    let mut caller = town.confirm(&alice, 100);
    assert!(caller.remote.ends_with(held.tag("To")), "under the tag of our 180");
    let ack = town.world.expect(bob.at, "ACK", 100);
    assert_eq!((ack.one("Call-ID"), ack.tag("To")), (second.one("Call-ID"), "b2"));
    talk(&mut town, &mut caller, &mut callee);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_leg_that_comes_when_the_caller_has_hung_up_is_held_for_its_own_cancel_and_no_longer() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    town.pass_on(&at_server, BOB);
    let invite = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&invite, 180, "b", &[]);
    let held = town.world.expect(alice.at, "180", 1_000);
    assert!(held.body().is_empty());
    pass_on_cancel(&mut town, &at_server);
    town.world.expect(server(), "487", 100);
    town.cancelled(&invite, "b", 100);
    town.world.clear(server());
    pass_on_fork(&mut town, &at_server, "q");
    town.world.nothing(server(), "180", 3_900);
    town.world.expect(server(), "480", 300);
    assert_eq!(town.invites(bob.at), 1);
    town.reply(&at_server, 487, "s", &[]);
    town.finish();
}

#[test]
fn no_leg_of_the_server_is_ever_told_of_a_loop() {
    let (mut town, alice, bob) = two();
    let at_server = call(&mut town, &alice, &bob);
    town.pass_on(&at_server, BOB);
    let invite = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&invite, 180, "b", &[]);
    for number in 0..6 {
        pass_on_fork(&mut town, &at_server, &format!("f{number}"));
    }
    town.world.nothing(server(), "482", 6_000);
    assert_eq!(town.invites(bob.at), 1);
    town.reply(&invite, 486, "b", &[]);
    town.world.expect(server(), "486", 100);
    town.reply(&at_server, 486, "s", &[]);
    town.finish();
}
