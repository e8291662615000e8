//! What a REGISTER's answer becomes, here and now and at the refreshes that it serves.

use crate::net::{Fate, Packet};
use crate::sip::{Msg, answer, uri_of};
use crate::town::{DOMAIN, Phone, Town, server, two};

fn forwarded(town: &Town) -> Vec<Msg> {
    let is = |p: &&Packet| p.to == server() && p.data.starts_with(b"REGISTER");
    town.world.log.iter().filter(is).map(|packet| Msg::parse(packet).unwrap()).collect()
}

/// A REGISTER with these Contact lines.
fn with_contacts(phone: &mut Phone, contacts: &[&str]) -> Vec<u8> {
    let headers: Vec<(&str, &str)> = contacts.iter().map(|value| ("Contact", *value)).collect();
    phone.cseq += 1;
    let uri = format!("sip:{DOMAIN}");
    let text = phone.request(("REGISTER", &uri), &phone.call_id, phone.cseq, &headers, "");
    let text = String::from_utf8(text).unwrap();
    text.replace(&format!("To: <{uri}>"), &format!("To: <{}>", phone.aor())).into_bytes()
}

#[test]
fn a_refresh_gets_all_that_the_last_200_said() {
    let mut town = Town::new();
    town.world.autos.clear();
    let mut alice = town.phone(0, 1, "alice");
    town.register(&mut alice, 3600);
    let register = town.world.expect(server(), "REGISTER", 100);
    let ours = "<sip:alice@203.0.113.1:5062>;pub-gruu=\"sip:alice@example.net;gr=1\"";
    let foreign = "<sip:alice@192.0.2.77:5060>;expires=777";
    let extra = [
        ("Contact", ours),
        ("Contact", foreign),
        ("Expires", "3600"),
        ("Service-Route", "<sip:route.example.net;lr>"),
        ("P-Associated-URI", "<sip:+4930123@example.net>"),
    ];
    town.reply(&register, 200, "srv", &extra);
    let first = town.world.expect(alice.at, "200 REGISTER", 100);
    town.world.run_ms(50_000);
    town.register(&mut alice, 3600);
    let again = town.world.expect(alice.at, "200 REGISTER", 20);
    assert_eq!(forwarded(&town).len(), 1);
    for answer in [&first, &again] {
        let own = answer.all("Contact")[0];
        assert_eq!(uri_of(own), alice.contact());
        assert!(own.contains(";pub-gruu=\"sip:alice@example.net;gr=1\""), "{own}");
        assert!(own.ends_with(";expires=120"), "the time is named: {own}");
        assert_eq!(answer.all("Contact")[1], foreign);
        assert_eq!(answer.one("Expires"), "120");
        assert_eq!(answer.one("Service-Route"), "<sip:route.example.net;lr>");
        assert_eq!(answer.one("P-Associated-URI"), "<sip:+4930123@example.net>");
    }
    assert_eq!(again.cseq(), alice.cseq);
    town.finish();
}

#[test]
fn a_query_changes_nothing_and_shows_the_phone_its_own_contact() {
    let (mut town, mut alice, _) = two();
    let text = String::from_utf8(with_contacts(&mut alice, &[])).unwrap();
    let contact = format!("Contact: <{}>\r\n", alice.contact());
    town.say(&alice, text.replace(&contact, "").into_bytes());
    town.world.autos.clear();
    let query = town.world.expect(server(), "REGISTER", 100);
    assert!(!query.has("Contact"));
    let ours = ("Contact", "<sip:alice@203.0.113.1:5062>;expires=1234");
    town.reply(&query, 200, "srv", &[ours]);
    let shown = town.world.expect(alice.at, "200 REGISTER", 100);
    assert_eq!(uri_of(shown.one("Contact")), alice.contact());
    let phone = town.status(0)["phones"][0].clone();
    assert_eq!((&phone["contact"], &phone["registered"]), (&alice.contact().into(), &true.into()));
    town.finish();
}

#[test]
fn a_contact_that_a_phone_takes_back_beside_its_new_one_does_not_reach_the_provider() {
    let (mut town, mut alice, _) = two();
    let old = format!("<{}>;expires=0", alice.contact());
    let before = alice.contact();
    alice.at.set_port(5070);
    let new = format!("<{}>;expires=3600", alice.contact());
    for contacts in [[old.as_str(), &new], [new.as_str(), &old]] {
        let text = with_contacts(&mut alice, &contacts);
        town.say(&alice, text);
        let shown = town.world.expect(alice.at, "200 REGISTER", 100);
        assert_eq!(uri_of(shown.one("Contact")), alice.contact());
    }
    let sent = forwarded(&town).pop().unwrap();
    assert!(sent.one("Contact").starts_with("<sip:alice@203.0.113.1:5062>;expires=3600"));
    let phones = town.status(0)["phones"].clone();
    assert_eq!(phones.as_array().unwrap().len(), 1, "{before} is the same phone: {phones}");
    town.finish();
}

#[test]
fn the_contacts_of_all_phones_here_are_turned_back() {
    let mut town = Town::new();
    let first = town.registered(0, 1, "alice");
    town.world.autos.clear();
    let mut second = town.phone(0, 2, "alice");
    town.register(&mut second, 3600);
    let register = town.world.expect(server(), "REGISTER", 100);
    let own = register.one("Contact").to_owned();
    let other = "<sip:alice@203.0.113.1:5062>;expires=1000";
    town.reply(&register, 200, "srv", &[("Contact", &own), ("Contact", other)]);
    let shown = town.world.expect(second.at, "200 REGISTER", 100);
    let contacts = shown.all("Contact");
    assert_eq!(uri_of(contacts[0]), second.contact());
    assert_eq!(contacts[1], format!("<{}>;expires=1000", first.contact()));
    town.finish();
}

#[test]
fn refusals_pass_with_what_they_carry() {
    let refusals =
        [(423, "Min-Expires", "600"), (439, "Supported", "path"), (430, "Warning", "399 x \"y\"")];
    for (code, name, value) in refusals {
        let mut town = Town::new();
        town.world.autos.clear();
        let mut alice = town.phone(0, 1, "alice");
        alice.params = ";+sip.instance=\"<urn:uuid:1>\";reg-id=1".into();
        let bytes = Town::register_text(&mut alice, 60, &[("Supported", "path, outbound")]);
        town.say(&alice, bytes);
        let register = town.world.expect(server(), "REGISTER", 100);
        assert_eq!(register.one("Supported"), "path, outbound");
        assert!(register.one("Contact").contains(";reg-id=1"));
        town.reply(&register, code, "srv", &[(name, value)]);
        let refusal = town.world.expect(alice.at, &format!("{code} REGISTER"), 100);
        assert_eq!(refusal.one(name), value);
        town.finish();
    }
}

#[test]
fn a_server_that_asks_for_patience_gets_it_and_the_phone_hears_nothing_of_it() {
    let (mut town, mut alice, _) = two();
    town.world.run_ms(1_801_000);
    let auto = town.world.autos.remove(&server()).unwrap();
    let busy = |m: &Msg| {
        let refusal = || vec![(m.from, answer(m, 503, "s", &[("Retry-After", "300")], ""))];
        m.is_request().then(refusal)
    };
    town.world.autos.insert(server(), Box::new(busy));
    let before = forwarded(&town).len();
    let mut given = Vec::<u32>::new();
    for _ in 0..5 {
        town.register(&mut alice, 3600);
        let answer = town.world.expect(alice.at, "200 REGISTER", 50);
        given.push(answer.one("Contact").rsplit_once("expires=").unwrap().1.parse().unwrap());
        town.world.run_ms(55_000);
    }
    // It alone has been asked: whom else the server refused does not come back with it.
    assert!((60..120).contains(&given[0]) && given[1..] == [120; 4], "{given:?}");
    assert_eq!(forwarded(&town).len(), before + 1, "once in 5 minutes");
    // A stranger gets the refusal, without the time.
    let mut stranger = town.phone(0, 7, "stranger");
    town.register(&mut stranger, 3600);
    assert!(!town.world.expect(stranger.at, "503 REGISTER", 50).has("Retry-After"));
    town.world.autos.insert(server(), auto);
    for _ in 0..4 {
        town.world.run_ms(55_000);
        town.register(&mut alice, 3600);
        town.world.expect(alice.at, "200 REGISTER", 50);
    }
    assert!(forwarded(&town).len() >= before + 3, "and is asked again");
    let granted = town.status(0)["phones"][0]["provider_expires_s"].as_u64().unwrap();
    assert!(granted > 3_000, "{granted}");
    town.finish();
}

#[test]
fn a_200_without_our_contact_voids_what_is_stored_of_its_address() {
    let mut town = Town::new();
    let mut first = town.registered(0, 1, "alice");
    let mut second = town.registered(0, 2, "alice");
    town.world.run_ms(1_801_000);
    let auto = town.world.autos.remove(&server()).unwrap();
    town.register(&mut first, 3600);
    let register = town.world.expect(server(), "REGISTER", 100);
    town.reply(&register, 200, "s", &[]);
    town.world.expect(first.at, "200 REGISTER", 100);
    town.world.autos.insert(server(), auto);
    for phone in [&mut first, &mut second] {
        let before = forwarded(&town).len();
        town.register(phone, 3600);
        town.world.expect(phone.at, "200 REGISTER", 100);
        assert_eq!(forwarded(&town).len(), before + 1);
    }
    town.finish();
}

/// CALLS §2.6: whatever a silent phone says, it speaks again.
#[test]
fn a_phone_gone_silent_is_found_again_as_soon_as_it_says_anything() {
    let (mut town, alice, bob) = two();
    let invite = alice.invite(&bob.aor(), "c1");
    town.server_is(Fate::Drop);
    town.say(&alice, invite);
    town.world.expect(bob.at, "INVITE", 1_000);
    town.world.expect(alice.at, "480", 9_000);
    town.world.run_ms(35_000);
    assert_eq!(town.finds(0, &bob.aor()), 0);
    let options = bob.request(("OPTIONS", "sip:192.168.2.1"), "o1", 1, &[], "");
    town.say(&bob, options);
    town.world.expect(bob.at, "200 OPTIONS", 50);
    town.world.run_ms(2_000);
    assert_eq!(town.finds(0, &bob.aor()), 1);
    town.world.run_ms(32_000);
    town.finish();
}
