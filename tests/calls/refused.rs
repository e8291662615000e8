//! Session refreshes of the adapter's own that a phone refuses, or wants otherwise.

use crate::lasting::{ALICE, BOB, Call, House, INTERVAL_S};
use crate::sip::{answer, sdp};

#[test]
fn a_refused_refresh_is_not_repeated_every_second_and_not_for_ever() {
    for (code, least_ms) in [(500, 1_900), (491, 2_100)] {
        let mut call = Call::new(House::B2bua, true, "UPDATE", "uac");
        call.dies();
        let bob = call.phones[BOB].clone();
        let heard = call.town.world.expect(bob.at, "UPDATE", INTERVAL_S * 1_000);
        call.town.reply(&heard, code, "", &[]);
        call.town.world.nothing(bob.at, "UPDATE", least_ms);
        let heard = call.town.world.expect(bob.at, "UPDATE", 2_200);
        call.town.reply(&heard, code, "", &[]);
        if code == 500 {
            call.town.world.nothing(bob.at, "UPDATE", 3_900);
            let heard = call.town.world.expect(bob.at, "UPDATE", 300);
            call.town.reply(&heard, code, "", &[]);
            call.town.world.nothing(bob.at, "UPDATE", 100_000);
        }
        call.end("a refused refresh");
    }
}

#[test]
fn a_phone_that_takes_neither_method_is_left_alone() {
    let mut call = Call::new(House::B2bua, true, "UPDATE", "uac");
    call.dies();
    let bob = call.phones[BOB].clone();
    let heard = call.town.world.expect(bob.at, "UPDATE", INTERVAL_S * 1_000);
    call.town.reply(&heard, 405, "", &[]);
    let heard = call.town.world.expect(bob.at, "INVITE", 1_000);
    call.town.reply(&heard, 501, "", &[]);
    call.town.world.expect(bob.at, "ACK", 100);
    call.town.world.nothing(bob.at, "INVITE", 50_000);
    call.town.world.nothing(bob.at, "UPDATE", 50_000);
    call.end("neither method");
}

#[test]
fn a_phone_s_interval_is_demanded_from_then_on_and_has_a_limit() {
    let mut call = Call::new(House::B2bua, true, "UPDATE", "uac");
    call.dies();
    let bob = call.phones[BOB].clone();
    let heard = call.town.world.expect(bob.at, "UPDATE", INTERVAL_S * 1_000);
    call.town.reply(&heard, 422, "", &[("Min-SE", "4000000000")]);
    let heard = call.town.world.expect(bob.at, "UPDATE", 2_000);
    assert_eq!(heard.one("Session-Expires"), "86400;refresher=uac");
    assert_eq!(heard.one("Min-SE"), "86400");
    call.town.reply(&heard, 200, "", &[]);
    call.end("an interval without measure");
}

#[test]
fn who_refreshes_is_as_the_phone_wants_it() {
    let mut call = Call::new(House::Proxy, false, "UPDATE", "uac");
    call.dies();
    let expires = format!("{INTERVAL_S};refresher=uas");
    let timer = [("Supported", "timer"), ("Session-Expires", expires.as_str())];
    let yes = call.ask(ALICE, "UPDATE", &timer, 50);
    assert_eq!(yes.one("Session-Expires"), expires);
    call.refreshed(ALICE, "UPDATE", INTERVAL_S);
    call.end("who refreshes");
}

#[test]
fn a_far_end_that_asks_while_the_phone_is_asked_is_told_to_wait() {
    let mut call = Call::new(House::Proxy, true, "INVITE", "uac");
    call.dies();
    let (alice, bob) = (call.phones[ALICE].clone(), call.phones[BOB].clone());
    let heard = call.town.world.expect(bob.at, "INVITE", INTERVAL_S * 1_000);
    let hold = sdp(alice.media()) + "a=sendonly\r\n";
    let invite = call.dialogs[ALICE].request("INVITE", &[], &hold);
    call.town.say(&alice, invite);
    let glare = call.town.world.expect(alice.at, "491 INVITE", 2_500);
    let ack = alice.ack_of_refusal(&glare, &call.dialogs[ALICE].target);
    call.town.say(&alice, ack);
    let contact = format!("<{}>", bob.contact());
    let yes = answer(&heard, 200, "", &[("Contact", &contact)], &sdp(bob.media()));
    call.town.say(&bob, yes);
    call.town.world.expect(bob.at, "ACK", 100);
    call.end("asked from both ends");
}
