//! A caller that withholds who calls: nothing that reaches the callee says it (CALLS §1.4).

use crate::net::Fate;
use crate::sip::{Dialog, Msg, sdp, uri_of};
use crate::town::{Phone, two};

const NOBODY: &str = "\"Anonymous\" <sip:anonymous@anonymous.invalid>;tag=talice";

/// What Bob's phone got says nothing of Alice, but for the tag of her phone.
fn is_nobody(message: &Msg) {
    assert_eq!(message.one("From"), NOBODY);
    let text = message.text.replace("talice", "");
    assert!(!text.contains("alice") && !text.contains("192.168.1."), "{text}");
}

fn own_name(alice: &Phone) -> String {
    format!("\"alice\" <{}>;tag=talice", alice.aor())
}

#[test]
fn a_call_over_the_overlay_stays_withheld_to_its_end() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Drop);
    for (number, privacy) in ["id", "user", "header;critical"].into_iter().enumerate() {
        let call_id = format!("c{number}");
        let extra = [("Privacy", privacy), ("Referred-By", "<sip:alice@example.net>")];
        let body = sdp(alice.media());
        let invite = alice.request(("INVITE", &bob.aor()), &call_id, 1, &extra, &body);
        town.say(&alice, invite);
        let heard = town.world.expect(bob.at, "INVITE", 2_000);
        is_nobody(&heard);
        let mut callee = town.accept(&heard, "b", &bob.contact());
        let success = town.world.expect(alice.at, "200 INVITE", 100);
        assert_eq!(success.one("From"), own_name(&alice), "her phone knows its call");
        let mut caller = Dialog::of_answer(&success, &alice.contact());
        town.say(&alice, caller.ack(success.cseq()));
        is_nobody(&town.world.expect(bob.at, "ACK", 100));
        let again = caller.request("INVITE", &[], &body);
        town.say(&alice, again);
        let again = town.world.expect(bob.at, "INVITE", 100);
        is_nobody(&again);
        town.accept(&again, "", &bob.contact());
        let success = town.world.expect(alice.at, "200 INVITE", 100);
        town.say(&alice, caller.ack(success.cseq()));
        town.world.expect(bob.at, "ACK", 100);
        let info = callee.request("INFO", &[], "");
        town.world.send(bob.at, bob.proxy, info);
        let info = town.world.expect(alice.at, "INFO", 100);
        assert_eq!(info.one("To"), own_name(&alice));
        town.reply(&info, 200, "", &[]);
        town.world.expect(bob.at, "200 INFO", 100);
        let bye = caller.request("BYE", &[], "");
        town.say(&alice, bye);
        let bye = town.world.expect(bob.at, "BYE", 100);
        is_nobody(&bye);
        town.reply(&bye, 200, "", &[]);
        town.world.expect(alice.at, "200 BYE", 100);
    }
    town.finish();
}

#[test]
fn a_text_over_the_overlay_stays_withheld() {
    let (mut town, alice, bob) = two();
    town.server_is(Fate::Refuse);
    for privacy in ["id", "user", "header"] {
        let extra = [("Privacy", privacy)];
        let text = alice.request(("MESSAGE", &bob.aor()), privacy, 1, &extra, "hello");
        town.say(&alice, text);
        let text = town.world.expect(bob.at, "MESSAGE", 300);
        is_nobody(&text);
        town.reply(&text, 200, "b", &[]);
        let taken = town.world.expect(alice.at, "200 MESSAGE", 100);
        assert_eq!(uri_of(taken.one("From")), alice.aor());
    }
    town.finish();
}
