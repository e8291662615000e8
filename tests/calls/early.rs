//! Before the answer: early dialogs, one at a time towards the phone, PRACK and UPDATE in them.

use crate::acts::raced;
use crate::net::Fate;
use crate::sip::{Dialog, Msg, answer, sdp};
use crate::town::{Phone, Town, server, two};

const GATEWAY: &str = "<sip:gw@198.51.100.1>";

/// The port of a description's only line.
fn port(message: &Msg) -> u16 {
    let line = message.body().lines().find(|l| l.starts_with("m=audio ")).expect("sound");
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Rings: a provisional response with a description.
fn ring(town: &mut Town, invite: &Msg, tag: &str, contact: &str, extra: &[(&str, &str)]) {
    let contact = contact.to_owned();
    let mut headers = vec![("Contact", contact.as_str())];
    headers.extend_from_slice(extra);
    let body = sdp((invite.at.ip(), 4000).into());
    town.world.send(invite.at, invite.from, answer(invite, 183, tag, &headers, &body));
}

fn contact_of(phone: &Phone) -> String {
    format!("<{}>", phone.contact())
}

#[test]
fn two_early_dialogs_are_never_shown_and_a_leg_that_takes_over_has_its_own_tag() {
    let (mut town, alice, bob, at_server, at_bob) = raced(&[]);
    ring(&mut town, &at_server, "s", GATEWAY, &[]);
    let first = town.world.expect(alice.at, "183", 100);
    assert_eq!(first.tag("To"), "s");
    ring(&mut town, &at_bob, "b", &contact_of(&bob), &[]);
    town.world.nothing(alice.at, "183", 2_000);
    town.reply(&at_server, 480, "s", &[]);
    let second = town.world.expect(alice.at, "183", 100);
    assert_eq!(second.tag("To"), "b", "Bob still rings: his ringing is heard now");
    assert_eq!(port(&second), port(&first), "the same port at home");
    assert_ne!(second.contact(), first.contact());
    let mut callee = town.accept(&at_bob, "b", &bob.contact());
    let success = town.world.expect(alice.at, "200 INVITE", 100);
    assert_eq!((success.tag("To"), port(&success)), ("b", port(&first)));
    let caller = Dialog::of_answer(&success, &alice.contact());
    town.say(&alice, caller.ack(1));
    town.world.expect(bob.at, "ACK", 100);
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn prack_follows_the_tag() {
    let reliable = [("Supported", "100rel")];
    let (mut town, alice, bob, at_server, at_bob) = raced(&reliable);
    assert_eq!(at_bob.one("Supported"), "100rel");
    let seq = |n: &'static str| [("Require", "100rel"), ("RSeq", n)];
    ring(&mut town, &at_server, "s", GATEWAY, &seq("1"));
    let first = town.world.expect(alice.at, "183", 100);
    let mut by_server = Dialog::of_answer(&first, &alice.contact());
    let prack = by_server.request("PRACK", &[("RAck", "1 1 INVITE")], "");
    town.say(&alice, prack);
    let prack = town.world.expect(server(), "PRACK", 100);
    assert_eq!((prack.one("RAck"), prack.tag("To")), ("1 1 INVITE", "s"));
    town.reply(&prack, 200, "", &[]);
    town.world.expect(alice.at, "200 PRACK", 100);
    ring(&mut town, &at_bob, "b", &contact_of(&bob), &seq("77"));
    town.reply(&at_server, 480, "s", &[]);
    let second = town.world.expect(alice.at, "183", 100);
    assert_eq!((second.tag("To"), second.one("RSeq")), ("b", "77"));
    let mut by_bob = Dialog::of_answer(&second, &alice.contact());
    by_bob.cseq = 10;
    let prack = by_bob.request("PRACK", &[("RAck", "77 1 INVITE")], "");
    town.say(&alice, prack);
    let prack = town.world.expect(bob.at, "PRACK", 100);
    assert_eq!((prack.one("RAck"), prack.tag("To")), ("77 1 INVITE", "b"));
    town.reply(&prack, 200, "", &[]);
    town.world.expect(alice.at, "200 PRACK", 100);
    let mut callee = town.accept(&at_bob, "b", &bob.contact());
    town.confirm(&alice, 100);
    town.world.expect(bob.at, "ACK", 100);
    town.bye(&mut callee, alice.at);
    town.finish();
}

/// UPDATE with another description, from one end of an early dialog to the other.
fn update(town: &mut Town, dialog: &mut Dialog, other: &Phone) {
    let body = sdp((dialog.at.ip(), 4010).into());
    let update = dialog.request("UPDATE", &[], &body);
    town.world.send(dialog.at, dialog.hop, update);
    let heard = town.world.expect(other.at, "UPDATE", 100);
    assert!(heard.body().contains(&format!("c=IN IP4 {}", other.proxy.ip())));
    let yes = answer(&heard, 200, "", &[("Contact", &contact_of(other))], &sdp(other.media()));
    town.world.send(other.at, other.proxy, yes);
    let heard = town.world.expect(dialog.at, "200 UPDATE", 100);
    assert!(heard.body().contains(&format!("c=IN IP4 {}", dialog.hop.ip())));
}

/// Rings reliably, PRACKs, updates both ways, answers, updates again and ends.
fn prack_and_update(town: &mut Town, alice: &Phone, bob: &Phone, at_bob: &Msg) {
    ring(town, at_bob, "b", &contact_of(bob), &[("Require", "100rel"), ("RSeq", "5")]);
    let rings = town.world.expect(alice.at, "183", 100);
    let mut caller = Dialog::of_answer(&rings, &alice.contact());
    let prack = caller.request("PRACK", &[("RAck", "5 1 INVITE")], "");
    town.say(alice, prack);
    let prack = town.world.expect(bob.at, "PRACK", 100);
    assert_eq!((prack.one("RAck"), prack.uri()), ("5 1 INVITE", &*bob.contact()));
    town.reply(&prack, 200, "", &[]);
    town.world.expect(alice.at, "200 PRACK", 100);
    let mut callee = Dialog::of_invite(at_bob, "b", &bob.contact());
    update(town, &mut caller, bob);
    update(town, &mut callee, alice);
    town.accept(at_bob, "b", &bob.contact());
    let success = town.world.expect(alice.at, "200 INVITE", 100);
    town.say(alice, caller.ack(success.cseq()));
    town.world.expect(bob.at, "ACK", 100);
    update(town, &mut caller, bob);
    update(town, &mut callee, alice);
    town.bye(&mut callee, alice.at);
}

fn reliable_invite(town: &mut Town, alice: &Phone, bob: &Phone) -> Msg {
    let extra = [("Supported", "100rel, timer")];
    let body = sdp(alice.media());
    let invite = alice.request(("INVITE", &bob.aor()), "c1", 1, &extra, &body);
    town.say(alice, invite);
    let invite = town.world.expect(bob.at, "INVITE", 1_000);
    assert_eq!(invite.one("Supported"), "100rel, timer");
    invite
}

#[test]
fn prack_and_update_pass_by_the_server() {
    let (mut town, alice, bob) = crate::town::two_and_proxy();
    let at_bob = reliable_invite(&mut town, &alice, &bob);
    prack_and_update(&mut town, &alice, &bob, &at_bob);
    town.finish();
}

#[test]
fn prack_and_update_pass_over_the_overlay() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Drop);
    let at_bob = reliable_invite(&mut town, &alice, &bob);
    prack_and_update(&mut town, &alice, &bob, &at_bob);
    town.finish();
}

#[test]
fn prack_and_update_pass_at_home() {
    let mut town = Town::new();
    let alice = town.registered(0, 1, "alice");
    let bob = town.registered(0, 2, "bob");
    town.server_is(Fate::Drop);
    let at_bob = reliable_invite(&mut town, &alice, &bob);
    prack_and_update(&mut town, &alice, &bob, &at_bob);
    town.finish();
}

#[test]
fn forks_of_the_server_pass_unchanged_and_so_does_every_2xx_of_the_winning_leg() {
    let (mut town, alice, bob) = two();
    town.dial(&alice, &bob.aor(), "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    for tag in ["s1", "s2"] {
        ring(&mut town, &at_server, tag, GATEWAY, &[]);
        assert_eq!(town.world.expect(alice.at, "183", 100).tag("To"), tag);
    }
    let mut dialogs = Vec::new();
    for (number, tag) in (0..).zip(["s2", "s1"]) {
        town.accept(&at_server, tag, "sip:gw@198.51.100.1");
        let success = town.world.expect(alice.at, "200 INVITE", 100);
        assert_eq!(success.tag("To"), tag);
        let mut dialog = Dialog::of_answer(&success, &alice.contact());
        town.say(&alice, dialog.ack(1));
        assert_eq!(town.world.expect(server(), "ACK", 100).tag("To"), tag);
        dialog.cseq = 10 * number + 10;
        dialogs.push(dialog);
    }
    for mut dialog in dialogs {
        town.bye(&mut dialog, server());
    }
    town.finish();
}

#[test]
fn the_next_phone_that_rings_is_heard_when_the_first_refuses() {
    let (mut town, alice, bob) = two();
    let bob2 = town.registered(1, 2, "bob");
    let bob3 = town.registered(2, 1, "bob");
    town.server_is(Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    let invites: Vec<(Msg, Phone)> = [bob, bob2, bob3]
        .into_iter()
        .map(|phone| (town.world.expect(phone.at, "INVITE", 1_000), phone))
        .collect();
    for (at, (invite, phone)) in invites.iter().enumerate() {
        ring(&mut town, invite, &format!("b{at}"), &contact_of(phone), &[]);
    }
    assert_eq!(town.world.expect(alice.at, "183", 100).tag("To"), "b0");
    town.world.nothing(alice.at, "183", 500);
    town.reply(&invites[0].0, 480, "b0", &[]);
    assert_eq!(town.world.expect(alice.at, "183", 100).tag("To"), "b1", "of the same router");
    town.reply(&invites[1].0, 486, "b1", &[]);
    assert_eq!(town.world.expect(alice.at, "183", 100).tag("To"), "b2", "of another router");
    town.reply(&invites[2].0, 404, "b2", &[]);
    town.world.expect(alice.at, "486", 100);
    town.finish();
}

#[test]
fn a_server_that_rings_for_three_minutes_is_not_taken_for_one_that_failed() {
    let (mut town, alice, bob) = two();
    // Bob is found, but his adapter is gone: nothing says that he rings elsewhere.
    town.world.fates.insert((town.routers[1].wan, 5070).into(), Fate::Drop);
    town.dial(&alice, &bob.aor(), "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 180, "s", &[("Contact", "<sip:gw@198.51.100.1:5060>")]);
    town.world.expect(alice.at, "180", 100);
    town.world.run_ms(179_000);
    let cancel = town.world.expect(server(), "CANCEL", 10_000);
    let refusal = town.refused(&alice, "408", &bob.aor(), 20);
    assert_eq!(town.invites(bob.at), 0, "{}", refusal.text);
    town.reply(&cancel, 200, "s", &[]);
    town.reply(&at_server, 487, "s", &[]);
    town.world.run_ms(33_000);
    town.finish();
}
