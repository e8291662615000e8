//! When the overlay leg starts, and whose answer counts.

use crate::net::Fate;
use crate::sip::{Msg, answer};
use crate::town::{DOMAIN, Phone, Town, server, two, two_with};
use cosip::config::{Mode, Prefer};

/// Alice calls Bob.
fn call(town: &mut Town, alice: &Phone, bob: &Phone, call_id: &str) {
    town.dial(alice, &bob.aor(), call_id);
}

/// Bob is called over the overlay: not before `from_ms`, and by `to_ms`.
fn rings(town: &mut Town, bob: &Phone, from_ms: u64, to_ms: u64) -> Msg {
    if from_ms > 0 {
        town.world.nothing(bob.at, "INVITE", from_ms);
    }
    town.world.expect(bob.at, "INVITE", to_ms - from_ms)
}

/// Bob takes the call, Alice hears it, and hangs up.
fn carried(town: &mut Town, alice: &Phone, bob: &Phone, invite: &Msg) {
    town.reply(invite, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
    town.world.expect(alice.at, "180", 200);
    let dialog = town.accept(invite, "b", &bob.contact());
    let mut caller = town.confirm(alice, 200);
    let ack = town.world.expect(bob.at, "ACK", 200);
    assert_eq!(ack.uri(), bob.contact());
    assert_eq!(caller.call_id, dialog.call_id);
    town.bye(&mut caller, bob.at);
}

#[test]
fn silence_of_the_server_starts_the_overlay_leg_after_hedge_ms() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Drop);
    call(&mut town, &alice, &bob, "c1");
    town.world.expect(alice.at, "100", 20);
    let invite = rings(&mut town, &bob, 500, 600);
    carried(&mut town, &alice, &bob, &invite);
    town.finish();
}

#[test]
fn an_icmp_error_starts_it_at_once() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Refuse);
    call(&mut town, &alice, &bob, "c1");
    let invite = rings(&mut town, &bob, 0, 150);
    carried(&mut town, &alice, &bob, &invite);
    town.finish();
}

#[test]
fn a_phone_on_a_connection_just_opened_anew_is_helped_out_too() {
    let mut town = Town::new();
    let mut alice = town.registered_over(true, 0, 1, "alice");
    let bob = town.registered(1, 1, "bob");
    town.server_is(Fate::Refuse);
    alice.at.set_port(40_124);
    town.world.connect(alice.at, alice.proxy);
    call(&mut town, &alice, &bob, "c1");
    let invite = rings(&mut town, &bob, 0, 150);
    carried(&mut town, &alice, &bob, &invite);
    town.finish();
}

#[test]
fn a_suspect_and_a_down_server_are_not_waited_for() {
    let (mut town, alice, bob) = two();
    let carol = town.registered(0, 2, "carol");
    town.server_is(Fate::Drop);
    call(&mut town, &alice, &bob, "c1");
    let invite = rings(&mut town, &bob, 500, 600);
    assert_eq!(town.verdict(0), "suspect");
    carried(&mut town, &alice, &bob, &invite);
    call(&mut town, &carol, &bob, "c2");
    let invite = rings(&mut town, &bob, 0, 100);
    carried(&mut town, &carol, &bob, &invite);
    town.world.run_ms(2_000);
    assert_eq!(town.verdict(0), "down");
    call(&mut town, &alice, &bob, "c3");
    let invite = rings(&mut town, &bob, 0, 100);
    carried(&mut town, &alice, &bob, &invite);
    assert_eq!(town.invites(server()), 3, "in every state the server leg is still sent");
    town.finish();
}

#[test]
fn a_100_alone_is_granted_hedge_trying_ms() {
    let (mut town, alice, bob) = two();
    call(&mut town, &alice, &bob, "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 100, "", &[]);
    let invite = rings(&mut town, &bob, 3_980, 4_100);
    town.reply(&invite, 180, "b", &[]);
    town.world.expect(alice.at, "180", 100);
    town.accept(&invite, "b", &bob.contact());
    let cancel = town.world.expect(server(), "CANCEL", 100);
    assert_eq!(cancel.one("Via"), at_server.one("Via"));
    town.reply(&cancel, 200, "s", &[]);
    town.reply(&at_server, 487, "s", &[]);
    town.world.expect(server(), "ACK", 100);
    let mut caller = town.confirm(&alice, 100);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_server_that_rings_is_not_hedged() {
    let (mut town, alice, bob) = two();
    call(&mut town, &alice, &bob, "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 180, "s", &[("Contact", "<sip:gw@198.51.100.1>")]);
    town.world.expect(alice.at, "180", 100);
    town.world.nothing(bob.at, "INVITE", 20_000);
    town.accept(&at_server, "s", "sip:gw@198.51.100.1");
    let mut caller = town.confirm(&alice, 100);
    town.world.expect(server(), "ACK", 100);
    town.bye(&mut caller, server());
    town.finish();
}

#[test]
fn prefer_fastest_starts_it_with_the_acknowledged_notice() {
    let (mut town, alice, bob) = two_with(|config| config.providers[0].prefer = Prefer::Fastest);
    call(&mut town, &alice, &bob, "c1");
    let invite = rings(&mut town, &bob, 0, 200);
    carried(&mut town, &alice, &bob, &invite);
    town.finish();
}

#[test]
fn mode_server_never_starts_it() {
    let (mut town, alice, bob) = two_with(|config| config.adapter.mode = Mode::Server);
    town.server_is(Fate::Drop);
    call(&mut town, &alice, &bob, "c1");
    town.world.nothing(bob.at, "INVITE", 7_800);
    town.refused(&alice, "503", &bob.aor(), 400);
    town.finish();
}

#[test]
fn silence_everywhere_is_a_503_after_8_s() {
    let (mut town, alice, _) = two();
    town.server_is(Fate::Drop);
    let uri = format!("sip:nobody@{DOMAIN}");
    town.dial(&alice, &uri, "c1");
    town.world.nothing(alice.at, "503", 7_950);
    town.refused(&alice, "503", &uri, 100);
    town.finish();
}

#[test]
fn failover_codes_before_an_18x_go_on_over_the_overlay() {
    for code in [408, 500, 502, 503, 504] {
        let (mut town, alice, bob) = two();
        call(&mut town, &alice, &bob, "c1");
        let at_server = town.world.expect(server(), "INVITE", 100);
        town.reply(&at_server, code, "s", &[("Retry-After", "3600")]);
        town.world.expect(server(), "ACK", 100);
        let invite = rings(&mut town, &bob, 0, 300);
        carried(&mut town, &alice, &bob, &invite);
        town.finish();
    }
}

#[test]
fn failover_codes_after_an_18x_are_final() {
    let (mut town, alice, bob) = two();
    call(&mut town, &alice, &bob, "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 180, "s", &[("Contact", "<sip:gw@198.51.100.1>")]);
    town.world.expect(alice.at, "180", 100);
    town.reply(&at_server, 503, "s", &[("Retry-After", "3600")]);
    town.world.expect(server(), "ACK", 100);
    let refusal = town.world.expect(alice.at, "503", 100);
    assert!(!refusal.has("Retry-After"));
    let ack = alice.ack_of_refusal(&refusal, &bob.aor());
    town.say(&alice, ack);
    town.world.nothing(bob.at, "INVITE", 1_000);
    town.finish();
}

#[test]
fn a_failover_code_reaches_the_phone_where_the_overlay_has_no_record() {
    let (mut town, alice, _) = two();
    let uri = format!("sip:nobody@{DOMAIN}");
    town.dial(&alice, &uri, "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 503, "s", &[("Retry-After", "3600")]);
    town.world.expect(server(), "ACK", 100);
    let refusal = town.world.expect(alice.at, "503", 2_000);
    assert!(!refusal.has("Retry-After"));
    let ack = alice.ack_of_refusal(&refusal, &uri);
    town.say(&alice, ack);
    town.finish();
}

#[test]
fn other_answers_of_the_server_are_final() {
    for code in [302, 403, 486, 600, 603] {
        let (mut town, alice, bob) = two();
        call(&mut town, &alice, &bob, "c1");
        let at_server = town.world.expect(server(), "INVITE", 100);
        town.reply(&at_server, code, "s", &[]);
        town.world.expect(server(), "ACK", 100);
        let refusal = town.world.expect(alice.at, &code.to_string(), 100);
        let ack = alice.ack_of_refusal(&refusal, &bob.aor());
        town.say(&alice, ack);
        town.world.nothing(bob.at, "INVITE", 1_000);
        town.finish();
    }
}

#[test]
fn not_found_is_not_believed_where_the_callee_s_adapter_knows_the_callee() {
    for code in [404, 408, 410, 480] {
        let (mut town, alice, bob) = two();
        call(&mut town, &alice, &bob, "c1");
        let at_server = town.world.expect(server(), "INVITE", 100);
        town.world.run_ms(150);
        town.reply(&at_server, code, "s", &[]);
        let invite = rings(&mut town, &bob, 0, 300);
        carried(&mut town, &alice, &bob, &invite);
        town.finish();
    }
}

#[test]
fn not_found_that_overtakes_the_notice_waits_for_it() {
    let (mut town, alice, bob) = two();
    call(&mut town, &alice, &bob, "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 404, "s", &[]);
    let invite = rings(&mut town, &bob, 0, 400);
    // That Bob is busy is more than the server knows.
    town.reply(&invite, 486, "b", &[]);
    town.world.expect(bob.at, "ACK", 100);
    town.refused(&alice, "486", &bob.aor(), 100);
    town.finish();
}

#[test]
fn a_server_that_is_back_but_not_up_yet_ends_no_call_with_its_empty_table() {
    let (mut town, alice, bob) = two();
    let carol = town.registered(0, 2, "carol");
    town.server_is(Fate::Drop);
    town.dial(&carol, "sip:nobody@example.net", "c0");
    town.world.run_ms(3_000);
    assert_eq!(town.verdict(0), "down");
    town.server_is(Fate::Deliver);
    call(&mut town, &alice, &bob, "c1");
    loop {
        let at_server = town.world.expect(server(), "INVITE", 100);
        town.reply(&at_server, 404, "s", &[]);
        if at_server.one("Call-ID") == "c1" {
            break;
        }
    }
    let invite = rings(&mut town, &bob, 0, 400);
    carried(&mut town, &alice, &bob, &invite);
    town.finish();
}

#[test]
fn busy_and_declined_over_the_overlay_are_final_where_the_server_is_silent() {
    for code in [486, 600, 603] {
        let (mut town, alice, bob) = two();
        town.server_is(Fate::Drop);
        call(&mut town, &alice, &bob, "c1");
        let invite = rings(&mut town, &bob, 400, 600);
        town.reply(&invite, code, "b", &[]);
        town.world.expect(bob.at, "ACK", 100);
        let refusal = town.world.expect(alice.at, &code.to_string(), 200);
        let ack = alice.ack_of_refusal(&refusal, &bob.aor());
        town.say(&alice, ack);
        town.finish();
    }
}

#[test]
fn other_refusals_over_the_overlay_wait_for_the_server() {
    let (mut town, alice, bob) = two();
    town.world.rule = Some(Box::new(slow_server));
    call(&mut town, &alice, &bob, "c1");
    let invite = rings(&mut town, &bob, 400, 600);
    town.reply(&invite, 404, "b", &[]);
    let at_server = town.world.expect(server(), "INVITE", 3_000);
    town.accept(&at_server, "s", "sip:gw@198.51.100.1");
    let mut caller = town.confirm(&alice, 3_000);
    town.world.expect(server(), "ACK", 3_000);
    town.world.rule = None;
    town.bye(&mut caller, server());
    town.finish();
}

/// The server says 100 alone, and Bob refuses over the overlay. What the server got.
fn refused_while_the_server_tries() -> (Town, Phone, Phone, Msg) {
    let (mut town, alice, bob) = two();
    call(&mut town, &alice, &bob, "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 100, "", &[]);
    let invite = rings(&mut town, &bob, 3_900, 4_100);
    town.reply(&invite, 486, "b", &[]);
    (town, alice, bob, at_server)
}

#[test]
fn a_refusal_of_the_overlay_does_not_beat_a_server_that_has_responded() {
    let (mut town, alice, _, at_server) = refused_while_the_server_tries();
    town.world.nothing(alice.at, "486", 3_000);
    let body = crate::sip::sdp(server());
    let success = answer(&at_server, 200, "s", &[("Contact", "<sip:gw@198.51.100.1>")], &body);
    town.world.send(at_server.at, at_server.from, success);
    let mut caller = town.confirm(&alice, 100);
    town.world.expect(server(), "ACK", 100);
    town.bye(&mut caller, server());
    town.finish();
}

#[test]
fn a_refusal_of_the_overlay_is_heard_when_the_server_has_said_100_alone_for_16_s() {
    let (mut town, alice, bob, _) = refused_while_the_server_tries();
    town.world.nothing(alice.at, "486", 11_500);
    town.refused(&alice, "486", &bob.aor(), 1_000);
    let cancel = town.world.expect(server(), "CANCEL", 100);
    town.reply(&cancel, 481, "s", &[]);
    town.finish();
}

/// The server gets everything a second late.
fn slow_server(packet: &crate::net::Packet) -> Fate {
    match packet.to == server() {
        true => Fate::Delay(cosip::time::Duration::from_millis(1000)),
        false => Fate::Deliver,
    }
}
