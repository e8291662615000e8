//! The phone's answer crosses another one, which the caller has heard, and the server dies before
//! it can send the phone away.

use crate::acts::gateway;
use crate::b2bua::{Shows, two_renamed};
use crate::net::Fate;
use crate::sip::{Dialog, Msg, answer, sdp};
use crate::town::{Phone, Town, server};
use std::net::SocketAddr;

/// A description of a session with this id.
fn session(id: &str, media: SocketAddr) -> String {
    sdp(media).replace("o=- 1 ", &format!("o=- {id} "))
}

fn accept(town: &mut Town, invite: &Msg, id: &str, contact: &str) {
    let contact = [("Contact", contact)];
    let success = answer(invite, 200, "b", &contact, &session(id, (invite.at.ip(), 4000).into()));
    town.world.send(invite.at, invite.from, success);
}

/// Alice offers session 773310 and hears an answer of session 884412 by the server, which offers
/// `offered` to Bob. He has answered as session 662201, and nobody acknowledges that.
fn answered_twice(offered: &str) -> (Town, Phone, Phone, Dialog) {
    let (mut town, alice, bob) = two_renamed(Shows::From);
    town.world.autos.remove(&server());
    let body = session("773310", alice.media());
    let invite = alice.request(("INVITE", &bob.aor()), "c1", 1, &[], &body);
    town.say(&alice, invite);
    let asked = town.world.expect(server(), "INVITE", 100);
    town.reply(&asked, 100, "", &[]);
    let door = town.routers[1].outside();
    let gateway = Phone { user: alice.user.clone(), ..gateway(door) };
    let body = session(offered, (town.routers[0].wan, 4000).into());
    let invite = gateway.request(("INVITE", "sip:bob@203.0.113.2:5062"), "g1", 1, &[], &body);
    town.say(&gateway, invite);
    let at_bob = town.world.expect(bob.at, "INVITE", 100);
    town.reply(&at_bob, 180, "b", &[]);
    town.world.run_ms(200);
    accept(&mut town, &at_bob, "662201", &format!("<{}>", bob.contact()));
    accept(&mut town, &asked, "884412", "<sip:gw@198.51.100.1>");
    town.world.run_ms(10);
    town.server_is(Fate::Drop);
    let caller = town.confirm(&alice, 100);
    (town, alice, bob, caller)
}

#[test]
fn a_phone_whose_answer_crossed_another_one_is_sent_away_though_the_server_is_dead() {
    let (mut town, alice, bob, mut caller) = answered_twice("773310");
    town.world.expect(bob.at, "ACK", 1_200);
    let bye = town.world.expect(bob.at, "BYE", 50);
    town.reply(&bye, 200, "", &[]);
    town.world.nothing(alice.at, "BYE", 5_000);
    town.server_is(Fate::Deliver);
    town.bye(&mut caller, server());
    town.finish();
}

#[test]
fn an_answer_that_the_server_describes_anew_is_the_phones_own() {
    let (mut town, _, bob, mut caller) = answered_twice("991827");
    town.world.expect(bob.at, "ACK", 1_200);
    town.world.nothing(bob.at, "BYE", 5_000);
    town.bye(&mut caller, bob.at);
    town.finish();
}
