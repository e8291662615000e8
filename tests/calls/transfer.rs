//! Transfers: REFER, what it makes a phone dial, and Replaces, on every way.

use crate::net::Fate;
use crate::sip::{Dialog, Msg, sdp};
use crate::town::{Phone, Town, server, two, two_and_proxy};

/// A call that stands.
fn talk(town: &mut Town, alice: &Phone, bob: &Phone, call_id: &str) -> (Dialog, Dialog) {
    town.dial(alice, &bob.aor(), call_id);
    let invite = town.world.expect(bob.at, "INVITE", 1_000);
    let callee = town.accept(&invite, &format!("b{call_id}"), &bob.contact());
    let caller = town.confirm(alice, 300);
    town.world.expect(bob.at, "ACK", 300);
    (caller, callee)
}

/// Alice, Bob and Carol, each behind a router of their own, and no server.
fn three() -> (Town, Phone, Phone, Phone) {
    let (mut town, alice, bob) = two();
    let carol = town.registered(2, 1, "carol");
    town.server_is(Fate::Drop);
    (town, alice, bob, carol)
}

fn refer(town: &mut Town, caller: &mut Dialog, target: &str) {
    let headers = [("Refer-To", target), ("Referred-By", "<sip:alice@example.net>")];
    let refer = caller.request("REFER", &headers, "");
    town.world.send(caller.at, caller.hop, refer);
}

/// Accepts a REFER and reports its success; returns what the other side hears of it.
fn report(town: &mut Town, refer: &Msg, callee: &mut Dialog, to: &Phone) -> Msg {
    town.reply(refer, 202, "", &[]);
    town.world.expect(to.at, "202 REFER", 300);
    let headers = [
        ("Event", "refer"),
        ("Subscription-State", "terminated;reason=noresource"),
        ("Content-Type", "message/sipfrag;version=2.0"),
    ];
    let notify = callee.request("NOTIFY", &headers, "SIP/2.0 200 OK\r\n");
    town.world.send(callee.at, callee.hop, notify);
    let notify = town.world.expect(to.at, "NOTIFY", 300);
    assert_eq!((notify.one("Event"), notify.body()), ("refer", "SIP/2.0 200 OK\r\n"));
    assert_eq!(notify.one("Content-Type"), headers[2].1);
    town.reply(&notify, 200, "", &[]);
    town.world.expect(callee.at, "200 NOTIFY", 300);
    notify
}

/// What Bob dials for a REFER is taken by Carol.
fn dialled(town: &mut Town, bob: &Phone, carol: &Phone, extra: &[(&str, &str)]) -> Msg {
    let body = sdp(bob.media());
    let call_id = format!("t-{}", bob.user);
    let invite = bob.request(("INVITE", &carol.aor()), &call_id, 1, extra, &body);
    town.say(bob, invite);
    let heard = town.world.expect(carol.at, "INVITE", 1_000);
    town.reply(&heard, 603, "c", &[]);
    town.refused(bob, "603", &carol.aor(), 300);
    heard
}

#[test]
fn over_the_overlay_a_phone_dials_only_whom_the_overlay_resolves_and_over_it_alone() {
    let (mut town, alice, bob, carol) = three();
    let (mut caller, mut callee) = talk(&mut town, &alice, &bob, "c1");
    town.server_is(Fate::Deliver);
    town.world.clear(server());
    refer(
        &mut town,
        &mut caller,
        "<sip:carol@example.net;method=BYE?Call-Info=x&Route=%3Csip:y%3E>",
    );
    let heard = town.world.expect(bob.at, "REFER", 1_500);
    assert_eq!(heard.one("Refer-To"), "<sip:carol@example.net>", "the address and nothing else");
    assert_eq!(heard.one("Referred-By"), "<sip:alice@example.net>");
    report(&mut town, &heard, &mut callee, &alice);
    town.bye(&mut caller, bob.at);
    dialled(&mut town, &bob, &carol, &[]);
    town.world.nothing(server(), "INVITE", 1_000);
    town.finish();
}

#[test]
fn no_peer_makes_a_phone_dial_what_is_not_in_the_overlay() {
    let (mut town, alice, bob, _) = three();
    let (mut caller, _) = talk(&mut town, &alice, &bob, "c1");
    let targets = [
        "<sip:+4990012345@example.net>",
        "<sip:112@example.net>",
        "<sip:*21*0900@example.net>",
        "<sip:carol@elsewhere.example>",
        "<tel:+4990012345>",
        "<http://example.net>",
        "<sip:bob@example.net>",
    ];
    for target in targets {
        refer(&mut town, &mut caller, target);
        town.world.expect(alice.at, "403 REFER", 5_000);
    }
    town.world.nothing(bob.at, "REFER", 1_000);
    let refused = town.status(1)["counters"]["peer_requests_refused"].as_u64();
    assert_eq!(refused, Some(targets.len() as u64));
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn by_the_server_transfers_pass_as_they_are() {
    let (mut town, alice, bob) = two_and_proxy();
    let carol = town.registered(2, 1, "carol");
    let (mut caller, mut callee) = talk(&mut town, &alice, &bob, "c1");
    let target = "<sip:+49900123@example.net?Replaces=c2%3Bto-tag%3Dx%3Bfrom-tag%3Dy>";
    refer(&mut town, &mut caller, target);
    let heard = town.world.expect(bob.at, "REFER", 300);
    assert_eq!(heard.one("Refer-To"), target);
    report(&mut town, &heard, &mut callee, &alice);
    let replaces = ("Replaces", "c2;to-tag=x;from-tag=y");
    let heard = dialled(&mut town, &bob, &carol, &[replaces]);
    assert_eq!(heard.one("Replaces"), replaces.1);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn within_a_home_transfers_pass_as_they_are() {
    let (mut town, alice, _, _) = three();
    town.server_is(Fate::Deliver);
    let amy = town.registered(0, 2, "amy");
    town.server_is(Fate::Drop);
    let (mut caller, mut callee) = talk(&mut town, &alice, &amy, "c1");
    let target = "<sip:+49900123@example.net>";
    refer(&mut town, &mut caller, target);
    let heard = town.world.expect(amy.at, "REFER", 300);
    assert_eq!(heard.one("Refer-To"), target);
    report(&mut town, &heard, &mut callee, &alice);
    town.bye(&mut caller, amy.at);
    town.finish();
}

#[test]
fn an_attended_transfer_names_the_far_end_and_replaces_only_what_the_two_adapters_share() {
    let (mut town, alice, bob, carol) = three();
    town.server_is(Fate::Deliver);
    let amy = town.registered(0, 2, "amy");
    town.server_is(Fate::Drop);
    let (mut to_carol, _) = talk(&mut town, &alice, &carol, "c2");
    let replaces = "c2;to-tag=bc2;from-tag=talice";
    let escaped = replaces.replace(';', "%3B").replace('=', "%3D");
    let target = format!("<{}?Replaces={escaped}>", to_carol.target);
    for (number, (other, shared)) in [(&bob, false), (&amy, true)].into_iter().enumerate() {
        let call_id = format!("x{number}");
        let (mut caller, mut callee) = talk(&mut town, &alice, other, &call_id);
        refer(&mut town, &mut caller, &target);
        let heard = town.world.expect(other.at, "REFER", 1_500);
        let wanted = format!("<sip:carol@example.net?Replaces={escaped}>");
        assert_eq!(heard.one("Refer-To"), wanted);
        report(&mut town, &heard, &mut callee, &alice);
        let heard = dialled(&mut town, other, &carol, &[("Replaces", replaces)]);
        assert_eq!(heard.has("Replaces"), shared, "{}", other.user);
        town.bye(&mut caller, other.at);
        town.world.run_ms(40_000);
    }
    town.bye(&mut to_carol, carol.at);
    town.finish();
}

#[test]
fn a_referral_is_one_however_late_the_phone_dials_and_whatever_is_asked_meanwhile() {
    let (mut town, alice, mut bob, mut carol) = three();
    let (mut caller, _) = talk(&mut town, &alice, &bob, "c1");
    town.server_is(Fate::Deliver);
    for number in 0..5 {
        let mut other = town.phone(0, 20 + number, &format!("other{number}"));
        town.register(&mut other, 3600);
        town.world.expect(other.at, "200 REGISTER", 3_000);
    }
    town.world.run_ms(2_000);
    refer(&mut town, &mut caller, "<sip:carol@example.net>");
    let heard = town.world.expect(bob.at, "REFER", 1_500);
    town.reply(&heard, 202, "", &[]);
    for number in 0..5 {
        refer(&mut town, &mut caller, &format!("<sip:other{number}@example.net>"));
        let full = number >= 3;
        if !full {
            let heard = town.world.expect(bob.at, "REFER", 1_500);
            town.reply(&heard, 202, "", &[]);
        }
        town.world.expect(alice.at, if full { "503 REFER" } else { "202 REFER" }, 1_500);
    }
    assert_eq!(town.status(1)["counters"]["transfers_refused_full"], 2);
    town.world.run_ms(100_000);
    town.bye(&mut caller, bob.at);
    town.world.run_ms(100_000);
    for phone in [&mut bob, &mut carol] {
        town.register(phone, 3600);
        town.world.expect(phone.at, "200 REGISTER", 3_000);
    }
    town.world.run_ms(2_000);
    town.world.clear(server());
    dialled(&mut town, &bob, &carol, &[]);
    town.world.nothing(server(), "INVITE", 1_000);
    town.finish();
}
