//! Whose call a withheld leg is, where the server leaves alone what it offers: the session says it
//! (CALLS §3.8).

use crate::b2bua::{Shows, two_renamed};
use crate::net::{Fate, Packet};
use crate::sip::{Msg, sdp};
use crate::town::{Phone, Town, server};
use cosip::time::Duration;
use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// What goes from one address to the other takes longer from now on.
fn slow(town: &mut Town, from: IpAddr, to: IpAddr) {
    town.world.rule = Some(Box::new(move |packet: &Packet| {
        match (packet.from.ip(), packet.to.ip()) == (from, to) {
            true => Fate::Delay(Duration::from_millis(200)),
            false => Fate::Deliver,
        }
    }));
}

/// An INVITE to Bob that offers a session with this id.
fn offer(town: &mut Town, caller: &Phone, bob: &Phone, call_id: &str, session: &str) {
    let body = sdp(caller.media()).replace("o=- 1 ", &format!("o=- {session} "));
    let invite = caller.request(("INVITE", &bob.aor()), call_id, 1, &[], &body);
    town.say(caller, invite);
}

#[test]
fn of_two_withheld_callers_each_gets_the_answer_to_its_own_call_though_the_server_dies() {
    let (mut town, alice, bob) = two_renamed(Shows::Nobody);
    let carol = town.registered(2, 1, "carol");
    let callers = [(&alice, "c1", "773310"), (&carol, "k1", "884421")];
    // Both notices are there before either leg is.
    let to = town.routers[1].wan;
    slow(&mut town, server().ip(), to);
    for (caller, call_id, session) in callers {
        offer(&mut town, caller, &bob, call_id, session);
    }
    let mut invites = Vec::new();
    for (caller, call_id, _) in callers {
        let invite = town.world.expect(bob.at, "INVITE", 300);
        town.reply(&invite, 180, call_id, &[("Contact", &format!("<{}>", bob.contact()))]);
        town.world.expect(caller.at, "180", 300);
        invites.push(invite);
    }
    town.server_is(Fate::Drop);
    let mut ends = Vec::new();
    for ((caller, call_id, _), invite) in callers.into_iter().zip(&invites).rev() {
        let callee = town.accept(invite, call_id, &bob.contact());
        let end = town.confirm(caller, 1_300);
        let ack = town.world.expect(bob.at, "ACK", 300);
        assert_eq!(ack.one("Call-ID"), format!("b2b-{call_id}"));
        ends.push((caller, end, callee));
    }
    assert_eq!(town.invites(bob.at), 2, "each rings once");
    for (caller, mut end, mut callee) in ends {
        town.ask(&mut end, &bob, "INFO", 200);
        town.ask(&mut callee, caller, "INFO", 200);
        town.bye(&mut end, bob.at);
    }
    town.finish();
}

#[test]
fn of_two_phones_of_one_house_that_name_all_their_sessions_alike_none_is_merged_away() {
    let (mut town, alice, bob) = two_renamed(Shows::Nobody);
    let carol = town.registered(0, 2, "carol");
    let callers = [(&alice, "c1"), (&carol, "k1")];
    let to = town.routers[1].wan;
    slow(&mut town, server().ip(), to);
    for (caller, call_id) in callers {
        offer(&mut town, caller, &bob, call_id, "773310");
    }
    for tag in ["b1", "b2"] {
        let invite = town.world.expect(bob.at, "INVITE", 500);
        town.reply(&invite, 486, tag, &[]);
        town.world.expect(bob.at, "ACK", 100);
    }
    for (caller, _) in callers {
        town.refused(caller, "486", &bob.aor(), 500);
    }
    town.finish();
}

#[test]
fn a_withheld_call_that_was_refused_before_its_notice_came_does_not_ring_again() {
    let (mut town, alice, bob) = two_renamed(Shows::Nobody);
    let [from, to] = [0, 1].map(|router: usize| town.routers[router].wan);
    slow(&mut town, from, to);
    offer(&mut town, &alice, &bob, "c1", "773310");
    let invite = town.world.expect(bob.at, "INVITE", 100);
    town.server_is(Fate::Drop);
    town.reply(&invite, 603, "b", &[]);
    town.world.expect(bob.at, "ACK", 300);
    // The server has said 100, and stalls: hedge_trying_ms.
    town.world.run_ms(6_000);
    assert_eq!(town.invites(bob.at), 1);
    town.gives_up(&alice, &bob.aor(), "c1");
    town.finish();
}

/// Alice's leg by the server is lost, and that of Carol, who calls later, comes before her notice,
/// which the overlay loses until the switch is off: Alice's is the only one open. The INVITE that
/// rings at Bob's; the server is dead then.
fn taken_for_another(later_ms: u64) -> (Town, [Phone; 3], Msg, Rc<Cell<bool>>) {
    let (mut town, alice, bob) = two_renamed(Shows::Nobody);
    let carol = town.registered(2, 1, "carol");
    let door = town.routers[1].outside();
    let overlay = SocketAddr::new(town.routers[2].wan, 5070);
    let loses = Rc::new(Cell::new(true));
    let switch = Rc::clone(&loses);
    town.world.rule = Some(Box::new(move |packet: &Packet| {
        let invite = packet.to == door && packet.data.starts_with(b"INVITE");
        let of_alice = String::from_utf8_lossy(&packet.data).contains("773310");
        match invite && of_alice || packet.from == overlay && switch.get() {
            true => Fate::Drop,
            false => Fate::Deliver,
        }
    }));
    offer(&mut town, &alice, &bob, "c1", "773310");
    town.world.run_ms(later_ms);
    offer(&mut town, &carol, &bob, "k1", "884421");
    let invite = town.world.expect(bob.at, "INVITE", 300);
    assert_eq!(invite.one("Call-ID"), "b2b-k1");
    town.reply(&invite, 180, "k", &[("Contact", &format!("<{}>", bob.contact()))]);
    town.world.expect(carol.at, "180", 300);
    town.server_is(Fate::Drop);
    (town, [alice, bob, carol], invite, loses)
}

/// Bob takes both calls, Alice's by her adapter's leg over the overlay, and each goes on.
fn both_are_answered(mut town: Town, [alice, bob, carol]: [Phone; 3], first: &Msg, second: &Msg) {
    let mut callee = town.accept(second, "c", &bob.contact());
    let mut end = town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.ask(&mut end, &bob, "INFO", 200);
    town.ask(&mut callee, &alice, "INFO", 200);
    let mut callee = town.accept(first, "k", &bob.contact());
    let mut other = town.confirm(&carol, 1_300);
    assert_eq!(town.world.expect(bob.at, "ACK", 100).one("Call-ID"), "b2b-k1");
    town.ask(&mut other, &bob, "INFO", 200);
    town.ask(&mut callee, &carol, "INFO", 200);
    town.bye(&mut end, bob.at);
    town.bye(&mut other, bob.at);
    assert_eq!(town.invites(bob.at), 2, "each rings once");
    town.finish();
}

#[test]
fn a_withheld_leg_that_was_taken_for_another_call_is_its_own_when_its_notice_comes() {
    let (mut town, phones, first, loses) = taken_for_another(200);
    loses.set(false);
    // Alice's adapter gives up on the server that has said 100 alone.
    let second = town.world.expect(phones[1].at, "INVITE", 4_300);
    assert_eq!(second.one("Call-ID"), "c1");
    both_are_answered(town, phones, &first, &second);
}

#[test]
fn a_leg_that_was_held_under_another_call_rings_when_the_other_notice_comes() {
    let (mut town, phones, first, loses) = taken_for_another(3_000);
    town.world.run_ms(1_300);
    assert_eq!(town.invites(phones[1].at), 1, "taken for one call");
    loses.set(false);
    let second = town.world.expect(phones[1].at, "INVITE", 4_000);
    assert!(!["c1", "b2b-k1"].contains(&second.one("Call-ID")));
    both_are_answered(town, phones, &first, &second);
}

#[test]
fn withheld_legs_that_a_server_brings_late_belong_to_the_calls_that_are_over() {
    let (mut town, alice, bob) = two_renamed(Shows::Nobody);
    let carol = town.registered(2, 1, "carol");
    let door = town.routers[1].outside();
    town.world.rule = Some(Box::new(move |packet: &Packet| {
        match packet.to == door && packet.data.starts_with(b"INVITE") {
            true => Fate::Delay(Duration::from_secs(15)),
            false => Fate::Deliver,
        }
    }));
    offer(&mut town, &alice, &bob, "c1", "773310");
    offer(&mut town, &carol, &bob, "k1", "884421");
    town.world.run_ms(150);
    town.server_is(Fate::Drop);
    town.gives_up(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 4_300);
    assert_eq!(invite.one("Call-ID"), "k1");
    let mut callee = town.accept(&invite, "k", &bob.contact());
    town.confirm(&carol, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.bye(&mut callee, carol.at);
    town.world.run_ms(25_000);
    assert_eq!(town.invites(bob.at), 1);
    town.finish();
}
