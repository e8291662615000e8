//! One ring and no lost call behind a B2BUA: other Call-IDs, other tags, other numbers, and the
//! caller in national spelling or withheld.

use crate::acts::gateway;
use crate::b2bua::{Shows, two_renamed};
use crate::net::{Fate, Packet};
use crate::sip::{Dialog, Msg, sdp};
use crate::town::{Phone, Town, server};
use cosip::time::Duration;

const SHOWN: [Shows; 3] = [Shows::From, Shows::Nobody, Shows::Asserted("00493012345678")];

fn ringing(town: &mut Town, alice: &Phone, bob: &Phone) -> Msg {
    town.dial(alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 300);
    assert_eq!(invite.one("Call-ID"), "b2b-c1");
    town.reply(&invite, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
    town.world.expect(alice.at, "180", 100);
    invite
}

/// A call that a B2BUA carries.
fn by_b2bua(shows: Shows) -> (Town, Phone, Phone, Dialog, Dialog) {
    let (mut town, alice, bob) = two_renamed(shows);
    let invite = ringing(&mut town, &alice, &bob);
    let callee = town.accept(&invite, "b", &bob.contact());
    let caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.world.run_ms(1_000);
    (town, alice, bob, caller, callee)
}

#[test]
fn a_call_by_a_b2bua_whose_answer_is_lost_comes_over_the_overlay_and_rings_once() {
    for shows in SHOWN {
        let (mut town, alice, bob) = two_renamed(shows);
        let invite = ringing(&mut town, &alice, &bob);
        town.server_is(Fate::Drop);
        let mut callee = town.accept(&invite, "b", &bob.contact());
        town.world.nothing(alice.at, "200", 950);
        let mut caller = town.confirm(&alice, 200);
        let ack = town.world.expect(bob.at, "ACK", 200);
        assert_eq!((ack.one("Call-ID"), ack.cseq()), ("b2b-c1", 1001));
        assert_eq!(town.invites(bob.at), 1);
        for _ in 0..2 {
            town.ask(&mut caller, &bob, "INFO", 200);
            town.ask(&mut callee, &alice, "INFO", 200);
            town.ask(&mut caller, &bob, "INVITE", 200);
            town.ask(&mut callee, &alice, "INVITE", 200);
        }
        town.bye(&mut callee, alice.at);
        town.finish();
    }
}

#[test]
fn both_legs_behind_a_b2bua_are_one_call_in_either_order() {
    for shows in SHOWN {
        // The server stalls on its way to Bob, before it says 180: the overlay leg comes first.
        let (mut town, alice, bob) = two_renamed(shows);
        let mut late = None;
        town.world.rule = Some(Box::new(move |packet| {
            let invite = packet.from == server() && packet.data.starts_with(b"INVITE");
            match late {
                None if invite => {
                    late = Some(());
                    Fate::Delay(Duration::from_millis(6_000))
                }
                _ => Fate::Deliver,
            }
        }));
        town.dial(&alice, &bob.aor(), "c1");
        let at_bob = town.world.expect(bob.at, "INVITE", 4_300);
        assert_eq!(at_bob.one("Call-ID"), "c1");
        town.reply(&at_bob, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
        town.world.expect(alice.at, "180", 100);
        town.world.run_ms(2_500);
        assert_eq!(town.invites(bob.at), 1, "the server's leg is held");
        let mut callee = town.accept(&at_bob, "b", &bob.contact());
        let mut caller = town.confirm(&alice, 100);
        town.world.expect(bob.at, "ACK", 100);
        town.world.run_ms(6_000);
        assert_eq!(town.invites(bob.at), 1, "cancelled, not refused");
        town.ask(&mut caller, &bob, "INFO", 200);
        town.ask(&mut callee, &alice, "INFO", 200);
        town.bye(&mut caller, bob.at);
        town.finish();
    }
}

#[test]
fn in_dialog_requests_behind_a_dead_b2bua_take_the_direct_path() {
    for shows in SHOWN {
        let (mut town, alice, bob, mut caller, mut callee) = by_b2bua(shows);
        town.ask(&mut caller, &bob, "INFO", 200);
        town.ask(&mut callee, &alice, "INFO", 200);
        town.server_is(Fate::Drop);
        let mut last = 0;
        for method in ["INFO", "INVITE", "INFO"] {
            let heard = town.ask(&mut caller, &bob, method, 2_300);
            assert_eq!((heard.one("Call-ID"), heard.tag("To")), ("b2b-c1", "b"));
            assert!(heard.cseq() > last, "the next number of its dialog");
            last = heard.cseq();
            let heard = town.ask(&mut callee, &alice, method, 2_300);
            assert_eq!((heard.one("Call-ID"), heard.tag("From")), ("c1", "Ab"));
        }
        town.server_is(Fate::Deliver);
        town.world.run_ms(30_000);
        let heard = town.ask(&mut caller, &bob, "INFO", 300);
        assert!(heard.cseq() > last, "later numbers of the server are shifted");
        town.server_is(Fate::Drop);
        let heard = town.bye(&mut caller, bob.at);
        assert_eq!(heard.one("Call-ID"), "b2b-c1");
        town.finish();
    }
}

#[test]
fn two_callers_of_one_phone_are_never_merged() {
    for shows in SHOWN {
        let (mut town, alice, bob) = two_renamed(shows);
        let carol = town.registered(2, 1, "carol");
        let first = ringing(&mut town, &alice, &bob);
        town.dial(&carol, &bob.aor(), "k1");
        let second = town.world.expect(bob.at, "INVITE", 500);
        assert_eq!(second.one("Call-ID"), "b2b-k1");
        town.reply(&second, 486, "b2", &[]);
        town.refused(&carol, "486", &bob.aor(), 300);
        town.accept(&first, "b", &bob.contact());
        let mut caller = town.confirm(&alice, 100);
        town.world.expect(bob.at, "ACK", 100);
        town.bye(&mut caller, bob.at);
        town.finish();
    }
}

#[test]
fn a_refusal_by_a_b2bua_is_not_asked_again_over_the_overlay() {
    for shows in SHOWN {
        let (mut town, alice, bob) = two_renamed(shows);
        let invite = ringing(&mut town, &alice, &bob);
        town.reply(&invite, 480, "b", &[]);
        town.refused(&alice, "480", &bob.aor(), 500);
        town.world.run_ms(3_000);
        assert_eq!(town.invites(bob.at), 1);
        town.finish();
    }
}

#[test]
fn a_cancel_that_a_dead_server_does_not_pass_crosses_the_channel() {
    for shows in SHOWN {
        let (mut town, alice, bob) = two_renamed(shows);
        let invite = ringing(&mut town, &alice, &bob);
        town.server_is(Fate::Drop);
        town.gives_up(&alice, &bob.aor(), "c1");
        town.world.nothing(bob.at, "CANCEL", 950);
        town.cancelled(&invite, "b", 150);
        town.world.run_ms(10_000);
        assert_eq!(town.invites(bob.at), 1);
        town.finish();
    }
}

/// The server answers the caller itself, and says nothing more.
fn answered_by_the_server(town: &mut Town, alice: &Phone) -> Dialog {
    let asked = |packet: &&Packet| packet.to == server() && packet.data.starts_with(b"INVITE");
    let asked = Msg::parse(town.world.log.iter().find(asked).unwrap()).unwrap();
    town.world.autos.remove(&server());
    town.accept(&asked, "mailbox", "sip:mailbox@198.51.100.1:5060");
    let caller = town.confirm(alice, 100);
    town.world.expect(server(), "ACK", 100);
    caller
}

#[test]
fn a_phone_stops_ringing_when_a_mailbox_has_answered_though_the_server_dies() {
    let (mut town, alice, bob) = two_renamed(Shows::From);
    let invite = ringing(&mut town, &alice, &bob);
    town.world.run_ms(5_000);
    let mut caller = answered_by_the_server(&mut town, &alice);
    town.cancelled(&invite, "b", 100);
    town.bye(&mut caller, server());
    town.finish();
}

#[test]
fn a_phone_rings_on_whose_server_answers_the_caller_before_it_dials() {
    let (mut town, alice, bob) = two_renamed(Shows::From);
    let invite = ringing(&mut town, &alice, &bob);
    answered_by_the_server(&mut town, &alice);
    town.world.nothing(bob.at, "CANCEL", 5_000);
    town.accept(&invite, "b", &bob.contact());
    town.world.expect(server(), "200 INVITE", 100);
}

/// Bob answers, and the B2BUA acknowledges that by itself and passes nothing on.
fn answered_hastily(town: &mut Town, bob: &Phone, invite: &Msg) -> Dialog {
    town.world.autos.remove(&server());
    let callee = town.accept(invite, "b", &bob.contact());
    let success = town.world.expect(server(), "200 INVITE", 100);
    let own = Dialog::of_answer(&success, "sip:b2b@198.51.100.1:5060");
    town.world.send(server(), success.from, own.ack(success.cseq()));
    town.world.expect(bob.at, "ACK", 100);
    callee
}

#[test]
fn an_answer_that_a_b2bua_acknowledges_and_never_passes_on_comes_over_the_overlay() {
    let (mut town, alice, bob) = two_renamed(Shows::From);
    let invite = ringing(&mut town, &alice, &bob);
    let mut callee = answered_hastily(&mut town, &bob, &invite);
    town.server_is(Fate::Drop);
    let mut caller = town.confirm(&alice, 1_300);
    town.world.run_ms(100);
    town.ask(&mut caller, &bob, "INFO", 200);
    town.ask(&mut callee, &alice, "INFO", 200);
    assert_eq!(town.invites(bob.at), 1);
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn an_answer_that_comes_before_its_notice_and_is_never_passed_on_comes_over_the_overlay() {
    let (mut town, alice, bob) = two_renamed(Shows::From);
    town.world.rule = Some(Box::new(|packet| match packet.to.port() {
        5070 => Fate::Delay(Duration::from_millis(100)),
        _ => Fate::Deliver,
    }));
    let invite = ringing(&mut town, &alice, &bob);
    let mut callee = answered_hastily(&mut town, &bob, &invite);
    town.server_is(Fate::Drop);
    let mut caller = town.confirm(&alice, 2_000);
    town.world.rule = None;
    town.world.run_ms(1_000);
    town.ask(&mut caller, &bob, "INFO", 200);
    town.ask(&mut callee, &alice, "INFO", 200);
    assert_eq!(town.invites(bob.at), 1);
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn a_goodbye_within_one_router_reaches_the_other_phone_though_the_server_dies() {
    let (mut town, alice, _) = two_renamed(Shows::Nobody);
    let bob = town.registered(0, 2, "carol");
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 300);
    assert_eq!(invite.one("Call-ID"), "b2b-c1");
    let mut callee = town.accept(&invite, "b", &bob.contact());
    town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.server_is(Fate::Drop);
    let heard = town.bye(&mut callee, alice.at);
    assert_eq!(heard.one("Call-ID"), "c1");
    town.finish();
}

/// Alice calls over the overlay and Bob answers; then a withheld call comes by the server, and no
/// CANCEL of it. Alice's notice is the only one open: it may be hers.
fn answered_and_then_a_withheld_leg(session: &str) -> (Town, Phone, Phone, Dialog) {
    let (mut town, alice, bob) = two_renamed(Shows::Nobody);
    town.server_is(Fate::Drop);
    let session_of_alice = "773310";
    let body = sdp(alice.media()).replace("o=- 1 ", &format!("o=- {session_of_alice} "));
    let invite = alice.request(("INVITE", &bob.aor()), "c1", 1, &[], &body);
    town.say(&alice, invite);
    let at_bob = town.world.expect(bob.at, "INVITE", 700);
    town.accept(&at_bob, "b", &bob.contact());
    let caller = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.server_is(Fate::Deliver);
    let door = town.routers[1].outside();
    let gateway = Phone { user: "anonymous".into(), ..gateway(door) };
    let wan = std::net::SocketAddr::new(town.routers[0].wan, 4000);
    let body = sdp(wan).replace("o=- 1 ", &format!("o=- {session} "));
    let contact = "sip:bob@203.0.113.2:5062";
    let invite = gateway.request(("INVITE", contact), "g1", 1, &[], &body);
    town.world.autos.remove(&server());
    town.say(&gateway, invite);
    town.world.expect(server(), "100", 100);
    town.world.nothing(bob.at, "INVITE", 3_900);
    (town, alice, bob, caller)
}

#[test]
fn a_withheld_caller_who_was_taken_for_another_rings_as_a_new_call() {
    let (mut town, _, bob, mut caller) = answered_and_then_a_withheld_leg("991827");
    let invite = town.world.expect(bob.at, "INVITE", 200);
    town.reply(&invite, 486, "b2", &[]);
    town.world.expect(bob.at, "ACK", 100);
    town.world.expect(server(), "486", 100);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_withheld_leg_that_offers_the_same_session_is_the_same_call() {
    let (mut town, _, bob, mut caller) = answered_and_then_a_withheld_leg("773310");
    town.world.expect(server(), "480", 200);
    town.world.nothing(bob.at, "INVITE", 2_000);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn of_two_withheld_callers_at_once_none_is_merged_away() {
    let (mut town, alice, bob) = two_renamed(Shows::Nobody);
    let carol = town.registered(2, 1, "carol");
    let callers = [(&alice, "c1"), (&carol, "k1")];
    for (caller, call_id) in callers {
        town.dial(caller, &bob.aor(), call_id);
    }
    for tag in ["b1", "b2"] {
        let invite = town.world.expect(bob.at, "INVITE", 300);
        town.reply(&invite, 486, tag, &[]);
        town.world.expect(bob.at, "ACK", 100);
    }
    for (caller, _) in callers {
        town.refused(caller, "486", &bob.aor(), 300);
    }
    town.finish();
}

#[test]
fn a_withheld_call_that_rang_before_another_caller_began_is_not_that_caller_s() {
    let (mut town, alice, bob) = two_renamed(Shows::Nobody);
    town.world.autos.remove(&server());
    let gateway = Phone { user: "anonymous".into(), ..gateway(town.routers[1].outside()) };
    let wan = std::net::SocketAddr::new(town.routers[2].wan, 4000);
    let invite = gateway.request(("INVITE", "sip:bob@203.0.113.2:5062"), "g1", 1, &[], &sdp(wan));
    town.say(&gateway, invite);
    let first = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&first, 180, "b1", &[("Contact", &format!("<{}>", bob.contact()))]);
    town.world.run_ms(5_000);
    town.dial(&alice, &bob.aor(), "c1");
    let second = town.world.expect(bob.at, "INVITE", 2_000);
    town.reply(&second, 486, "b2", &[]);
    town.world.expect(bob.at, "ACK", 100);
    town.refused(&alice, "486", &bob.aor(), 300);
    town.reply(&first, 486, "b1", &[]);
    town.world.expect(bob.at, "ACK", 100);
    town.world.expect(server(), "486", 100);
    town.finish();
}

#[test]
fn who_is_linked_to_a_withheld_call_by_a_guess_changes_nothing_while_the_server_carries_it() {
    let (mut town, alice, bob, mut caller, _) = by_b2bua(Shows::Nobody);
    let (outside, to) = (town.routers[0].outside(), server());
    town.world.rule = Some(Box::new(move |packet| match (packet.from, packet.to) {
        (from, at) if (from, at) == (outside, to) => Fate::Drop,
        _ => Fate::Deliver,
    }));
    let again = caller.request("INVITE", &[], &sdp(alice.media()));
    town.say(&alice, again);
    town.world.expect(alice.at, "403 INVITE", 2_300);
    town.world.nothing(bob.at, "INVITE", 1_000);
    assert_eq!(town.status(1)["counters"]["peer_requests_refused"], 1);
    town.bye(&mut caller, bob.at);
    town.finish();
}
