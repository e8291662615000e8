//! What the provider and the phone see of an adapter.

use crate::sip::uri_of;
use crate::town::{DOMAIN, Town, server};

#[test]
fn the_provider_sees_one_ordinary_phone() {
    let mut town = Town::new();
    let alice = town.registered(0, 1, "alice");
    let extra = [
        ("Authorization", "Digest username=\"alice\", uri=\"sip:x\", response=\"00\""),
        ("X-Odd", "a;b=\"c, d\"  e"),
        ("User-Agent", "Phone/1"),
    ];
    let uri = format!("sip:+4930123@{DOMAIN};user=phone");
    let sdp = crate::sip::sdp(alice.media());
    let sent = alice.request(("INVITE", &uri), "one", 7, &extra, &sdp);
    town.say(&alice, sent);
    let invite = town.world.expect(server(), "INVITE", 100);
    assert_eq!(invite.uri(), uri, "the Request-URI stays as the phone wrote it");
    assert_eq!(invite.from, town.routers[0].outside());
    assert!(invite.one("Via").starts_with("SIP/2.0/UDP 203.0.113.1:5062;branch=z9hG4bK"));
    assert!(!invite.has("Record-Route"));
    assert_eq!(invite.contact(), "sip:alice@203.0.113.1:5062");
    assert_eq!(invite.one("From"), format!("\"alice\" <sip:alice@{DOMAIN}>;tag=talice"));
    assert_eq!(invite.one("To"), format!("<{uri}>"));
    assert_eq!((invite.one("Call-ID"), invite.one("CSeq")), ("one", "7 INVITE"));
    for (name, value) in extra {
        assert_eq!(invite.one(name), value);
    }
    town.reply(&invite, 404, "srv", &[]);
    town.refused(&alice, "404", &uri, 100);
    town.finish();
}

#[test]
fn the_phone_s_contact_parameters_and_foreign_contacts_stay() {
    let mut town = Town::new();
    let mut alice = town.phone(0, 1, "alice");
    alice.params = ";+sip.instance=\"<urn:uuid:1>\";reg-id=1;q=0.5".into();
    town.world.autos.clear();
    town.register(&mut alice, 3600);
    let register = town.world.expect(server(), "REGISTER", 100);
    let value = format!("<sip:alice@203.0.113.1:5062>{};expires=3600", alice.params);
    assert_eq!(register.one("Contact"), value);
    let foreign = "<sip:alice@192.0.2.77:5060>;expires=777";
    let extra = [
        ("Contact", value.as_str()),
        ("Contact", foreign),
        ("Service-Route", "<sip:route.example.net;lr>"),
        ("Path", "<sip:path.example.net;lr>"),
        ("P-Associated-URI", "<sip:+4930123@example.net>"),
    ];
    town.reply(&register, 200, "srv", &extra);
    let answer = town.world.expect(alice.at, "200 REGISTER", 100);
    let contacts = answer.all("Contact");
    assert_eq!(uri_of(contacts[0]), alice.contact(), "ours is turned back");
    assert!(contacts[0].contains("expires=120"), "at most phone_expires_s: {contacts:?}");
    assert_eq!(contacts[1], foreign);
    for (name, value) in &extra[2..] {
        assert_eq!(answer.one(name), *value);
    }
    town.finish();
}
