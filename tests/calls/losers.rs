//! Legs that lost and are answered all the same: ACK and BYE, by the route of their dialog.

use crate::net::Fate;
use crate::sip::{Msg, answer, sdp};
use crate::town::{Phone, Town, at, server, two};

/// A call that the overlay carries while the server has been silent; the INVITE at the server.
fn lost(offer: bool) -> (Town, Phone, Phone, crate::sip::Dialog, Msg) {
    let (mut town, alice, bob) = two();
    let body = if offer { sdp(alice.media()) } else { String::new() };
    let invite = alice.request(("INVITE", &bob.aor()), "c1", 1, &[], &body);
    town.say(&alice, invite);
    let at_server = town.world.expect(server(), "INVITE", 100);
    let at_bob = town.world.expect(bob.at, "INVITE", 1_000);
    town.accept(&at_bob, "b", &bob.contact());
    let caller = town.confirm(&alice, 100);
    (town, alice, bob, caller, at_server)
}

/// Answers an INVITE with routes of its own.
fn accept_late(town: &mut Town, invite: &Msg, routes: &[&str]) {
    let mut headers = vec![("Contact", "<sip:gw@198.51.100.9:5080>")];
    headers.extend(routes.iter().map(|route| ("Record-Route", *route)));
    town.world.send(server(), invite.from, answer(invite, 200, "s", &headers, &sdp(server())));
}

#[test]
fn its_ack_and_bye_take_the_route_of_its_dialog() {
    let (mut town, _, bob, mut caller, at_server) = lost(true);
    let far = ["<sip:198.51.100.8:5070;lr>", "<sip:198.51.100.7;lr>, <sip:198.51.100.6;lr>"];
    accept_late(&mut town, &at_server, &far);
    let first = at("198.51.100.6:5060");
    for method in ["ACK", "BYE"] {
        let heard = town.world.expect(first, method, 100);
        let routes = ["<sip:198.51.100.6;lr>", "<sip:198.51.100.7;lr>", far[0]];
        assert_eq!(heard.all("Route"), routes);
        assert_eq!((heard.uri(), heard.tag("To")), ("sip:gw@198.51.100.9:5080", "s"));
        if method == "BYE" {
            town.reply(&heard, 200, "", &[]);
        }
    }
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_strict_router_gets_its_own_address_as_request_uri() {
    let (mut town, _, bob, mut caller, at_server) = lost(true);
    accept_late(&mut town, &at_server, &["<sip:198.51.100.7;lr>", "<sip:old@198.51.100.6>"]);
    let bye = town.world.expect(at("198.51.100.6:5060"), "BYE", 100);
    assert_eq!(bye.uri(), "sip:old@198.51.100.6");
    assert_eq!(bye.all("Route"), ["<sip:198.51.100.7;lr>", "<sip:gw@198.51.100.9:5080>"]);
    town.reply(&bye, 200, "", &[]);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn without_a_route_they_go_to_the_contact() {
    let (mut town, _, bob, mut caller, at_server) = lost(true);
    accept_late(&mut town, &at_server, &[]);
    let gateway = at("198.51.100.9:5080");
    town.world.expect(gateway, "ACK", 100);
    let bye = town.world.expect(gateway, "BYE", 100);
    assert!(!bye.has("Route"));
    town.reply(&bye, 200, "", &[]);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_offer_in_its_answer_is_answered_with_ports_0() {
    for multipart in [false, true] {
        let (mut town, _, bob, mut caller, at_server) = lost(false);
        let contact = ("Contact", "<sip:gw@198.51.100.1>");
        let mut offer = sdp(server());
        let mut headers = vec![contact];
        if multipart {
            let head = "Content-Type: text/plain\r\n\r\nm=1 2 3\r\n--x\r\nContent-Type: ";
            offer = format!("--x\r\n{head}application/sdp\r\n\r\n{offer}\r\n--x--\r\n");
            headers.push(("Content-Type", "multipart/mixed;boundary=x"));
        }
        let late = answer(&at_server, 200, "s", &headers, &offer);
        town.world.send(server(), at_server.from, late);
        let ack = town.world.expect(server(), "ACK", 100);
        assert_eq!(ack.one("Content-Type"), "application/sdp");
        assert!(ack.body().starts_with("v=0\r\n"), "{}", ack.text);
        assert!(ack.body().contains("m=audio 0 RTP/AVP 0\r\n"), "{}", ack.text);
        assert!(!ack.body().contains("--x"), "{}", ack.text);
        let bye = town.world.expect(server(), "BYE", 100);
        town.reply(&bye, 200, "", &[]);
        town.bye(&mut caller, bob.at);
        town.finish();
    }
}

#[test]
fn a_leg_without_a_provisional_lives_32_s_and_is_never_cancelled_unheard() {
    for (after_ms, heard) in [(30_000, true), (33_000, false)] {
        let (mut town, _, bob, mut caller, at_server) = lost(true);
        town.world.nothing(server(), "CANCEL", after_ms);
        accept_late(&mut town, &at_server, &[]);
        let gateway = at("198.51.100.9:5080");
        if heard {
            town.world.expect(gateway, "ACK", 100);
            let bye = town.world.expect(gateway, "BYE", 100);
            town.reply(&bye, 200, "", &[]);
        } else {
            town.world.nothing(gateway, "ACK", 1_000);
        }
        town.bye(&mut caller, bob.at);
        town.finish();
    }
}

#[test]
fn a_phone_that_answers_too_late_is_ended_without_our_own_route() {
    let (mut town, alice, bob) = two();
    let bob2 = town.registered(1, 2, "bob");
    town.server_is(Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    let first = town.world.expect(bob.at, "INVITE", 1_000);
    let second = town.world.expect(bob2.at, "INVITE", 1_000);
    town.accept(&first, "b1", &bob.contact());
    town.accept(&second, "b2", &bob2.contact());
    let mut caller = town.confirm(&alice, 100);
    for method in ["ACK", "BYE"] {
        let heard = town.world.expect(bob2.at, method, 100);
        assert!(!heard.has("Route"), "{}", heard.text);
        assert_eq!((heard.uri(), heard.tag("To")), (&*bob2.contact(), "b2"));
        if method == "BYE" {
            town.reply(&heard, 200, "", &[]);
        }
    }
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_answer_that_its_giver_repeats_is_acknowledged_each_time_and_ended_once() {
    let (mut town, _, bob, mut caller, at_server) = lost(true);
    let gateway = at("198.51.100.9:5080");
    for round in 0..5 {
        accept_late(&mut town, &at_server, &[]);
        town.world.expect(gateway, "ACK", 100);
        if round == 0 {
            let bye = town.world.expect(gateway, "BYE", 100);
            town.reply(&bye, 200, "", &[]);
        } else {
            town.world.nothing(gateway, "BYE", 3_000);
        }
    }
    // A fork of the server's that answers too is ended by a BYE of its own.
    let contact = [("Contact", "<sip:gw@198.51.100.9:5080>")];
    town.world.send(server(), at_server.from, answer(&at_server, 200, "f", &contact, ""));
    town.world.expect(gateway, "ACK", 100);
    let bye = town.world.expect(gateway, "BYE", 100);
    assert_eq!(bye.tag("To"), "f");
    town.reply(&bye, 200, "", &[]);
    town.bye(&mut caller, bob.at);
    town.finish();
}
