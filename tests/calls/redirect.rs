//! Redirections by the phone that is called (CALLS §1.4).

use crate::net::Fate;
use crate::sip::Dialog;
use crate::town::{Phone, Town, server, two, two_and_proxy};

/// Bob's phone answers Alice's call with 302.
fn redirected(contacts: &[(&str, &str)]) -> (Town, Phone, Phone, Phone) {
    let (mut town, alice, bob) = two();
    let carol = town.registered(2, 1, "carol");
    town.server_is(Fate::Refuse);
    town.dial(&alice, &bob.aor(), "c1");
    let heard = town.world.expect(bob.at, "INVITE", 1_000);
    town.reply(&heard, 302, "b", contacts);
    town.world.expect(bob.at, "ACK", 100);
    (town, alice, bob, carol)
}

const TO_CAROL: [(&str, &str); 2] =
    [("Contact", "<sip:bob@192.168.2.77>"), ("Contact", "<sip:carol@example.net>;q=0.5")];

#[test]
fn over_the_overlay_the_adapter_follows_it_to_whom_the_overlay_resolves() {
    let (mut town, alice, bob, carol) = redirected(&TO_CAROL);
    let heard = town.world.expect(carol.at, "INVITE", 2_000);
    assert_eq!((heard.uri(), heard.one("To")), (&*carol.contact(), "<sip:bob@example.net>"));
    town.reply(&heard, 180, "c", &[]);
    assert_eq!(town.world.expect(alice.at, "180", 100).tag("To"), "c");
    let mut callee = town.accept(&heard, "c", &carol.contact());
    let success = town.world.expect(alice.at, "200 INVITE", 100);
    let caller = Dialog::of_answer(&success, &alice.contact());
    town.say(&alice, caller.ack(1));
    town.world.expect(carol.at, "ACK", 100);
    town.world.nothing(bob.at, "INVITE", 500);
    town.bye(&mut callee, alice.at);
    town.finish();
}

#[test]
fn it_is_not_followed_to_anybody_else() {
    let targets = [
        "<sip:+4990012345@example.net>",
        "<sip:112@example.net>",
        "<sip:*72@example.net>",
        "<sip:carol@elsewhere.example>",
        "<tel:+4990012345>",
        "<sip:alice@example.net>",
    ];
    for target in targets {
        let (mut town, alice, _, carol) = redirected(&[("Contact", target)]);
        town.world.expect(alice.at, "480", 5_000);
        town.world.nothing(carol.at, "INVITE", 500);
        let asked = |p: &&crate::net::Packet| p.to == server() && p.data.starts_with(b"INVITE");
        let invites: Vec<_> = town.world.log.iter().filter(asked).collect();
        assert!(invites.iter().all(|p| p.data.starts_with(b"INVITE sip:bob@")), "{target}");
        town.finish();
    }
}

#[test]
fn two_phones_that_redirect_to_each_other_end() {
    let (mut town, alice, bob, carol) = redirected(&TO_CAROL);
    let heard = town.world.expect(carol.at, "INVITE", 2_000);
    town.reply(&heard, 302, "c", &[("Contact", "<sip:bob@example.net>")]);
    town.world.expect(alice.at, "480", 5_000);
    town.world.nothing(bob.at, "INVITE", 500);
    town.finish();
}

#[test]
fn by_the_server_it_passes_with_its_contacts() {
    let (mut town, alice, bob) = two_and_proxy();
    town.dial(&alice, &bob.aor(), "c1");
    let heard = town.world.expect(bob.at, "INVITE", 300);
    town.reply(&heard, 302, "b", &TO_CAROL);
    let refusal = town.world.expect(alice.at, "302", 300);
    assert_eq!(refusal.all("Contact"), [TO_CAROL[0].1, TO_CAROL[1].1]);
    let ack = alice.ack_of_refusal(&refusal, &bob.aor());
    town.say(&alice, ack);
    town.finish();
}
