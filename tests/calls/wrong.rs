//! Against the rules: what phones, the provider and peers send wrong is refused with the right
//! code, or survived and counted, and a call's ladder shows it as what it was.

use crate::acts::by_overlay;
use crate::net::Fate;
use crate::sip::{Dialog, Msg};
use crate::town::{Phone, Town, server, two};

/// A request of a dialog, with something changed in its text.
fn changed(dialog: &mut Dialog, method: &str, old: &str, new: &str) -> String {
    let text = String::from_utf8(dialog.request(method, &[], "")).unwrap();
    assert!(text.contains(old), "{text}");
    text.replace(old, new)
}

fn ladder(town: &mut Town, router: usize) -> String {
    let place = town.routers[router].place;
    town.world.ask(place, &["trace"])
}

fn counted(town: &mut Town, router: usize, counter: &str) -> u64 {
    town.status(router)["counters"][counter].as_u64().unwrap_or_else(|| panic!("{counter}"))
}

/// Alice sends `text`; it is answered with `code` and reaches nobody.
fn refused(town: &mut Town, alice: &Phone, bob: &Phone, text: &str, code: &str) -> Msg {
    town.say(alice, text.as_bytes().to_vec());
    let refusal = town.world.expect(alice.at, code, 300);
    let method = text.split(' ').next().unwrap();
    town.world.nothing(bob.at, method, 300);
    refusal
}

#[test]
fn programs_get_the_ladder_as_json_with_the_path_of_the_call() {
    let (mut town, _, bob, mut caller, _) = by_overlay();
    let place = town.routers[0].place;
    let told = |town: &mut Town| {
        let told = town.world.ask(place, &["trace", "json"]);
        serde_json::from_str::<serde_json::Value>(&told).unwrap()[0].clone()
    };
    let call = told(&mut town);
    assert_eq!((&call["path"], &call["running"]), (&"overlay".into(), &true.into()));
    assert_eq!(call["entries"][0]["text"], "INVITE");
    town.bye(&mut caller, bob.at);
    town.world.run_ms(40_000);
    let call = told(&mut town);
    assert_eq!((&call["path"], &call["running"]), (&"overlay".into(), &false.into()));
    town.finish();
}

#[test]
fn malformed_requests_of_a_call_are_refused_with_a_reason_and_stand_in_its_ladder() {
    let (mut town, alice, bob, mut caller, _) = by_overlay();
    let before = counted(&mut town, 0, "sip_malformed");
    let cases = [
        ("CSeq: 2 INFO", "CSeq: x INFO", "Malformed CSeq"),
        ("CSeq: 3 INFO", "CSeq: 4294967296 INFO", "Malformed CSeq"),
        ("CSeq: 4 INFO", "CSeq: 4 BYE", "CSeq Method Mismatch"),
        ("Content-Length: 0", "Content-Length: 77", "Content-Length Beyond Message"),
        ("Content-Length: 0", "Content-Length: -1", "Malformed Content-Length"),
        ("Max-Forwards: 70", "Max-Forwards: many", "Malformed Max-Forwards"),
        ("\r\nTo: ", "\r\nX-To: ", "Missing To"),
        ("From: ", "To: <sip:x@y>\r\nFrom: ", "Repeated To"),
    ];
    for (old, new, reason) in cases {
        let text = changed(&mut caller, "INFO", old, new);
        let refusal = refused(&mut town, &alice, &bob, &text, "400");
        assert!(refusal.line().ends_with(reason), "{}", refusal.line());
    }
    assert_eq!(counted(&mut town, 0, "sip_malformed"), before + cases.len() as u64);
    let ladder = ladder(&mut town, 0);
    assert!(ladder.contains("Malformed CSeq") && ladder.contains("Missing To"), "{ladder}");
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_wrong_tag_is_no_dialog_and_a_wrong_number_is_out_of_order() {
    let (mut town, alice, bob, mut caller, mut callee) = by_overlay();
    let text = changed(&mut caller, "INFO", ";tag=b", ";tag=other");
    refused(&mut town, &alice, &bob, &text, "481");
    let text = changed(&mut caller, "INFO", ";tag=talice", ";tag=other");
    refused(&mut town, &alice, &bob, &text, "481");
    caller.cseq = 50;
    let info = caller.request("INFO", &[], "");
    town.say(&alice, info);
    let info = town.world.expect(bob.at, "INFO", 100);
    town.reply(&info, 200, "", &[]);
    town.world.expect(alice.at, "200 INFO", 100);
    caller.cseq = 20;
    let late = caller.request("INFO", &[], "");
    town.say(&alice, late);
    town.world.expect(alice.at, "500 INFO", 300);
    town.world.nothing(bob.at, "INFO", 300);
    let shown = ladder(&mut town, 0);
    assert!(shown.contains("CSeq out of order"), "{shown}");
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn a_cancel_of_what_is_answered_changes_nothing_and_one_of_nothing_is_refused() {
    let (mut town, alice, bob, mut caller, _) = by_overlay();
    town.cancel(&alice, &bob.aor(), "c1");
    town.world.expect(alice.at, "200 CANCEL", 100);
    town.world.nothing(bob.at, "CANCEL", 500);
    town.world.nothing(bob.at, "BYE", 500);
    town.cancel(&alice, &bob.aor(), "c9");
    town.world.expect(alice.at, "481 CANCEL", 100);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn an_ack_with_a_wrong_number_and_repeated_requests_do_no_harm() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Drop);
    let invite = alice.invite(&bob.aor(), "c1");
    town.say(&alice, invite.clone());
    town.say(&alice, invite);
    let at_bob = town.world.expect(bob.at, "INVITE", 1_000);
    town.accept(&at_bob, "b", &bob.contact());
    let success = town.world.expect(alice.at, "200 INVITE", 100);
    let mut caller = Dialog::of_answer(&success, &alice.contact());
    town.say(&alice, caller.ack(9));
    town.world.run_ms(200);
    assert_eq!(counted(&mut town, 0, "acks_of_nothing"), 1);
    town.say(&alice, caller.ack(1));
    town.say(&alice, caller.ack(1));
    assert!(town.world.expect(bob.at, "ACK", 100).cseq() == 1);
    let info = caller.request("INFO", &[], "");
    for _ in 0..3 {
        town.say(&alice, info.clone());
    }
    let heard = town.world.expect(bob.at, "INFO", 100);
    town.reply(&heard, 200, "", &[]);
    town.world.expect(alice.at, "200 INFO", 100);
    town.say(&alice, info);
    town.world.run_ms(300);
    assert_eq!(town.packets(bob.at, "INFO"), 1);
    town.bye(&mut caller, bob.at);
    town.finish();
}

#[test]
fn a_second_copy_of_an_invite_under_another_branch_is_merged() {
    let (mut town, alice, bob) = two();
    let invite = alice.invite(&bob.aor(), "c1");
    town.say(&alice, invite.clone());
    let at_server = town.world.expect(server(), "INVITE", 100);
    let copy = String::from_utf8(invite).unwrap().replace("branch=z9hG4bK", "branch=z9hG4bKcopy");
    town.say(&alice, copy.into_bytes());
    town.world.expect(alice.at, "482", 100);
    town.reply(&at_server, 486, "s", &[]);
    town.refused(&alice, "486", &bob.aor(), 100);
    town.finish();
}

#[test]
fn a_prack_of_nothing_is_refused_by_who_knows_and_absurd_descriptions_pass_or_are_refused() {
    let (mut town, alice, bob, mut caller, _) = by_overlay();
    let prack = caller.request("PRACK", &[("RAck", "4711 1 INVITE")], "");
    town.say(&alice, prack);
    let prack = town.world.expect(bob.at, "PRACK", 100);
    town.reply(&prack, 481, "", &[]);
    town.world.expect(alice.at, "481 PRACK", 100);
    let absurd = [
        "v=0\r\nm=\r\nm=audio\r\nc=\r\nm=audio 99999999 RTP/AVP\r\na=rtcp:0\r\n".to_owned(),
        "m=audio 1 RTP/AVP 0\r\n".repeat(300),
        "\0\u{1}=\r\n\r\nc=IN IP4 256.1.1.1\r\no=a b\r\n".to_owned(),
    ];
    for body in absurd {
        let offer = caller.request("INVITE", &[], &body);
        town.say(&alice, offer);
        let heard = town.world.expect(bob.at, "INVITE", 100);
        assert!(!heard.body().contains("192.168.1."), "{}", heard.text);
        town.reply(&heard, 488, "", &[]);
        let refusal = town.world.expect(alice.at, "488", 100);
        town.say(&alice, {
            let text = String::from_utf8(caller.ack(refusal.cseq())).unwrap();
            let of = format!("branch=z9hG4bKc1INVITE{}", refusal.cseq());
            text.replace(&format!("branch=z9hG4bKc1ACK{}", refusal.cseq()), &of).into_bytes()
        });
    }
    town.bye(&mut caller, bob.at);
    town.finish();
}
