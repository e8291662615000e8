//! Answers that are lost on their last stretch: repeated by whoever is there to do so.

use crate::b2bua::{Shows, two_renamed};
use crate::net::{Fate, Packet};
use crate::sip::{Dialog, Msg};
use crate::town::{Phone, Town, server};
use cosip::time::Instant;

/// Alice calls Bob by a B2BUA, and hears him ring. What he got.
fn ringing() -> (Town, Phone, Phone, Msg) {
    let (mut town, alice, bob) = two_renamed(Shows::From);
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 300);
    town.reply(&invite, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
    town.world.expect(alice.at, "180", 100);
    town.world.run_ms(1_000);
    (town, alice, bob, invite)
}

/// The server acknowledges Bob's answer by itself, and passes it on; then it is dead.
fn answered_by_a_hasty_server() -> (Town, Phone, Phone, Dialog) {
    let (mut town, alice, bob, invite) = ringing();
    town.world.fates.insert(alice.at, Fate::Drop);
    let callee = town.accept(&invite, "b", &bob.contact());
    town.world.run_ms(12);
    let passed = |packet: &&Packet| is_success(packet) && packet.to == town.routers[0].outside();
    assert_eq!(town.world.log.iter().filter(passed).count(), 1, "passed on to the caller's end");
    let success = town.world.log.iter().find(|p| is_success(p) && p.to == server()).unwrap();
    let success = Msg::parse(success).unwrap();
    let own = Dialog::of_answer(&success, "sip:b2b@198.51.100.1:5060");
    town.world.send(server(), town.routers[1].outside(), own.ack(success.cseq()));
    town.world.expect(bob.at, "ACK", 100);
    town.server_is(Fate::Drop);
    (town, alice, bob, callee)
}

fn is_success(packet: &Packet) -> bool {
    packet.data.starts_with(b"SIP/2.0 200") && Msg::parse(packet).unwrap().method() == "INVITE"
}

/// When answers were sent to a phone, in milliseconds since the first.
fn answers(town: &Town, phone: &Phone) -> Vec<u64> {
    let sent = |packet: &&Packet| packet.to == phone.at && is_success(packet);
    let at: Vec<Instant> = town.world.log.iter().filter(sent).map(|packet| packet.at).collect();
    at.iter().map(|now| now.since(at[0]).as_millis() as u64).collect()
}

#[test]
fn an_answer_that_is_lost_at_home_is_repeated_though_nobody_else_repeats_it() {
    let (mut town, alice, bob, mut callee) = answered_by_a_hasty_server();
    town.world.run_ms(2_000);
    town.world.fates.remove(&alice.at);
    town.confirm(&alice, 1_100);
    town.world.run_ms(2_000);
    town.world.nothing(alice.at, "200 INVITE", 10_000);
    town.ask(&mut callee, &alice, "INFO", 2_500);
    assert_eq!(town.invites(bob.at), 1);
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn an_ack_that_takes_the_direct_path_and_is_lost_at_home_is_repeated() {
    let (mut town, alice, bob, invite) = ringing();
    let mut callee = town.accept(&invite, "b", &bob.contact());
    let success = town.world.expect(alice.at, "200 INVITE", 100);
    town.server_is(Fate::Drop);
    let mut caller = Dialog::of_answer(&success, &alice.contact());
    town.say(&alice, caller.ack(1));
    town.world.fates.insert(bob.at, Fate::Drop);
    town.world.run_ms(1_500);
    town.world.fates.remove(&bob.at);
    town.accept(&invite, "b", &bob.contact());
    assert_eq!(town.world.expect(bob.at, "ACK", 100).cseq(), invite.cseq());
    town.ask(&mut caller, &bob, "INVITE", 2_500);
    town.ask(&mut callee, &alice, "INFO", 2_500);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_answer_that_is_never_acknowledged_ends_after_32_s() {
    let (mut town, alice, bob, _) = answered_by_a_hasty_server();
    let bye = town.world.expect(bob.at, "BYE", 33_000);
    town.reply(&bye, 200, "", &[]);
    assert_eq!(answers(&town, &alice), [0, 1_000, 3_000, 7_000, 15_000, 23_000, 31_000]);
    town.world.fates.remove(&alice.at);
    let bye = town.world.expect(alice.at, "BYE", 5_000);
    town.reply(&bye, 200, "", &[]);
    town.finish();
}

#[test]
fn an_answer_that_its_giver_repeats_is_not_repeated_twice() {
    let mut town = Town::new();
    let alice = town.registered(0, 1, "alice");
    town.dial(&alice, "sip:4711@example.net", "c1");
    let invite = town.world.expect(server(), "INVITE", 100);
    let gateway = "sip:gw@198.51.100.1:5060";
    let mut at = 0;
    for gap in [0, 500, 1_000, 2_000, 4_000, 4_000, 4_000, 4_000] {
        town.world.run_ms(gap);
        at += gap;
        town.accept(&invite, "s", gateway);
    }
    town.world.run_ms(100);
    assert_eq!(answers(&town, &alice), [0, 500, 1_500, 3_500, 7_500, 11_500, 15_500, at]);
    let success = town.world.expect(alice.at, "200 INVITE", 1);
    town.world.clear(alice.at);
    let mut caller = Dialog::of_answer(&success, &alice.contact());
    town.say(&alice, caller.ack(1));
    town.world.expect(server(), "ACK", 100);
    town.world.nothing(alice.at, "200 INVITE", 20_000);
    town.bye(&mut caller, server());
    town.finish();
}
