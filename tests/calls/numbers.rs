//! A number that each end writes in its own way: what crosses the overlay is spelled for both.

use crate::acts::gateway;
use crate::net::Fate;
use crate::sip::sdp;
use crate::town::{DOMAIN, Phone, Town, server};

const BOB: &str = "+49307654321";

/// Alice dials by the rules of Berlin; the router that Bob is at has those of Munich.
fn two_towns() -> (Town, Phone, Phone) {
    let mut town = Town::with(1, |config| {
        config.providers[0].country_code = "49".into();
        config.providers[0].area_code = "30".into();
    });
    town.routers[1].config.providers[0].area_code = "89".into();
    town.restart(1);
    town.world.run_ms(8_000);
    let alice = town.registered(0, 1, "+49301234567");
    let bob = town.registered(1, 1, BOB);
    (town, alice, bob)
}

#[test]
fn a_number_reaches_its_phone_over_the_overlay_however_it_is_dialled() {
    let (mut town, alice, bob) = two_towns();
    town.server_is(Fate::Drop);
    let local = format!("sip:7654321@{DOMAIN}");
    let national = format!("sip:030-7654321@{DOMAIN};user=phone");
    let uris = ["tel:+49-30-7654321", "tel:7654321", &local, &national];
    for (number, uri) in uris.into_iter().enumerate() {
        town.dial(&alice, uri, &format!("c{number}"));
        let heard = town.world.expect(bob.at, "INVITE", 2_000);
        assert_eq!(heard.uri(), bob.contact(), "{uri}");
        town.accept(&heard, "b", &bob.contact());
        let mut caller = town.confirm(&alice, 100);
        town.world.expect(bob.at, "ACK", 100);
        town.bye(&mut caller, bob.at);
        let text = alice.request(("MESSAGE", uri), &format!("m{number}"), 1, &[], uri);
        town.say(&alice, text);
        let text = town.world.expect(bob.at, "MESSAGE", 5_000);
        assert_eq!((text.uri(), text.body()), (bob.contact().as_str(), uri));
        town.reply(&text, 200, "b", &[]);
        town.world.expect(alice.at, "200 MESSAGE", 100);
    }
    town.finish();
}

#[test]
fn a_provider_may_name_the_called_phone_by_its_number_alone() {
    let (mut town, _, bob) = two_towns();
    let gateway = gateway(town.routers[1].outside());
    let line = "sip:line7@203.0.113.2:5062";
    let tel = format!("<tel:{BOB}>");
    let called = [("P-Called-Party-ID", tel.as_str())];
    let named = gateway.request(("INVITE", line), "g1", 1, &called, &sdp(server()));
    let dialled = String::from_utf8(gateway.invite(line, "g2")).unwrap();
    let dialled = dialled.replace(&format!("To: <{line}>"), &format!("To: {tel}"));
    for invite in [named, dialled.into_bytes()] {
        town.say(&gateway, invite);
        let heard = town.world.expect(bob.at, "INVITE", 100);
        assert_eq!(heard.uri(), bob.contact());
        town.reply(&heard, 486, "b", &[]);
        town.world.expect(server(), "486", 100);
    }
    town.finish();
}
