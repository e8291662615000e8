//! Registrations: passed on, answered from the last 200, shielded from a failed server.

use crate::acts::gateway;
use crate::net::{Fate, Packet};
use crate::sip::{Msg, answer};
use crate::town::{DOMAIN, Phone, Town, server, two};

/// REGISTERs that the server was sent, each counted once.
fn registers(town: &Town) -> usize {
    let sent: std::collections::BTreeSet<_> =
        town.world.log.iter().filter(is_register).map(|packet| &packet.data).collect();
    sent.len()
}

/// REGISTER, and its answer within `ms`.
fn registered(town: &mut Town, phone: &mut Phone, code: &str, ms: u64) -> Msg {
    town.register(phone, 3600);
    town.world.expect(phone.at, &format!("{code} REGISTER"), ms)
}

#[test]
fn a_refresh_is_answered_from_the_last_200_until_the_half_life() {
    let (mut town, mut alice, _) = two();
    let before = registers(&town);
    for _ in 0..29 {
        town.world.run_ms(60_000);
        let answer = registered(&mut town, &mut alice, "200", 20);
        assert!(answer.one("Contact").ends_with(";expires=120"), "{}", answer.text);
    }
    assert_eq!(registers(&town), before, "the provider gave an hour");
    town.world.run_ms(120_000);
    registered(&mut town, &mut alice, "200", 100);
    assert_eq!(registers(&town), before + 1, "its half-life is over");
    town.finish();
}

#[test]
fn another_call_id_contact_or_source_is_forwarded() {
    let (mut town, mut alice, _) = two();
    let before = registers(&town);
    alice.call_id = "another".into();
    registered(&mut town, &mut alice, "200", 100);
    assert_eq!(registers(&town), before + 1);
    alice.user = "alice2".into();
    registered(&mut town, &mut alice, "200", 100);
    assert_eq!(registers(&town), before + 2);
    town.finish();
}

#[test]
fn a_401_passes_and_its_retry_is_forwarded_with_its_credentials() {
    let mut town = Town::new();
    town.world.autos.clear();
    let mut alice = town.phone(0, 1, "alice");
    town.register(&mut alice, 600);
    let register = town.world.expect(server(), "REGISTER", 100);
    let challenge = ("WWW-Authenticate", "Digest realm=\"x\", nonce=\"n\", qop=\"auth\"");
    town.reply(&register, 401, "s", &[challenge]);
    let refusal = town.world.expect(alice.at, "401 REGISTER", 100);
    assert_eq!(refusal.one(challenge.0), challenge.1);
    let credentials = ("Authorization", "Digest username=\"alice\", realm=\"x\", response=\"0\"");
    let bytes = Town::register_text(&mut alice, 600, &[credentials]);
    town.say(&alice, bytes);
    let register = town.world.expect(server(), "REGISTER", 100);
    assert_eq!(register.one(credentials.0), credentials.1);
    let contact = register.one("Contact").replace("expires=600", "expires=60");
    town.reply(&register, 200, "s", &[("Contact", &contact)]);
    let success = town.world.expect(alice.at, "200 REGISTER", 100);
    assert!(success.one("Contact").ends_with("expires=60"), "the provider's remaining time");
    town.finish();
}

#[test]
fn a_wildcard_and_a_200_without_our_contact_void_the_stored_answer() {
    let (mut town, mut alice, _) = two();
    let before = registers(&town);
    alice.cseq += 1;
    let target = ("REGISTER", format!("sip:{DOMAIN}"));
    let star = [("Contact", "*"), ("Expires", "0")];
    let text = alice.request((target.0, &target.1), &alice.call_id, alice.cseq, &star, "");
    let text = String::from_utf8(text).unwrap();
    let text = text.replace(&format!("To: <sip:{DOMAIN}>"), &format!("To: <{}>", alice.aor()));
    town.say(&alice, text.into_bytes());
    town.world.expect(alice.at, "200 REGISTER", 100);
    town.world.run_ms(1_500);
    assert_eq!(town.finds(1, &alice.aor()), 0, "and its record is gone");
    registered(&mut town, &mut alice, "200", 100);
    assert_eq!(registers(&town), before + 2);
    town.world.run_ms(1_900_000);
    let auto = town.world.autos.remove(&server()).unwrap();
    town.register(&mut alice, 3600);
    let register = town.world.expect(server(), "REGISTER", 100);
    let foreign = ("Contact", "<sip:alice@192.0.2.7>;expires=60");
    town.reply(&register, 200, "s", &[foreign]);
    town.world.expect(alice.at, "200 REGISTER", 100);
    town.world.autos.insert(server(), auto);
    let before = registers(&town);
    registered(&mut town, &mut alice, "200", 100);
    assert_eq!(registers(&town), before + 1);
    town.finish();
}

#[test]
fn an_alias_that_the_provider_names_no_more_leaves_the_overlay() {
    let mut town = Town::new();
    let alias = format!("sip:+4930999@{DOMAIN}");
    let own = format!("<sip:alice@{DOMAIN}>");
    let both = format!("{own}, <{alias}>");
    let mut alice = town.phone(0, 1, "alice");
    town.world.autos.clear();
    for (associated, found) in [(both.as_str(), 1), (own.as_str(), 0), (both.as_str(), 1)] {
        town.register(&mut alice, 3600);
        let register = town.world.expect(server(), "REGISTER", 100);
        let contact = register.one("Contact").to_owned();
        let extra = [("Contact", contact.as_str()), ("P-Associated-URI", associated)];
        town.reply(&register, 200, "s", &extra);
        town.world.expect(alice.at, "200 REGISTER", 100);
        town.world.run_ms(2_000);
        assert_eq!(town.finds(1, &alias), found, "{associated}");
        assert_eq!(town.finds(1, &alice.aor()), 1);
        alice.call_id += "x";
    }
    town.finish();
}

#[test]
fn a_known_phone_is_answered_after_2_s_of_silence_and_a_stranger_waits() {
    let (mut town, mut alice, _) = two();
    town.world.run_ms(1_801_000);
    town.server_is(Fate::Drop);
    let mut stranger = town.phone(0, 7, "stranger");
    town.register(&mut stranger, 3600);
    town.register(&mut alice, 3600);
    town.world.nothing(alice.at, "200", 400);
    let shielded = town.world.expect(alice.at, "200 REGISTER", 1_700);
    let given = shielded.one("Contact").rsplit_once("expires=").unwrap().1.parse().unwrap();
    assert!((60..=120).contains(&given), "{given}: phones do not come back together");
    town.world.nothing(stranger.at, "503", 500);
    town.world.run_ms(3_000);
    assert_eq!(town.verdict(0), "down");
    registered(&mut town, &mut alice, "200", 20);
    let mut other = town.phone(0, 8, "other");
    let refusal = registered(&mut town, &mut other, "503", 20);
    assert!(!refusal.has("Retry-After"));
    town.register(&mut alice, 0);
    town.world.expect(alice.at, "200 REGISTER", 20);
    town.world.run_ms(32_000);
    town.finish();
}

#[test]
fn a_known_phone_is_answered_where_the_server_fails() {
    for code in [500, 503, 504] {
        let (mut town, mut alice, _) = two();
        town.world.run_ms(1_801_000);
        town.world.autos.clear();
        town.register(&mut alice, 3600);
        let register = town.world.expect(server(), "REGISTER", 100);
        town.reply(&register, code, "s", &[("Retry-After", "600")]);
        town.world.expect(alice.at, "200 REGISTER", 20);
        town.finish();
    }
}

#[test]
fn a_known_phone_is_answered_at_once_where_the_transport_fails() {
    let (mut town, mut alice, _) = two();
    town.world.run_ms(1_801_000);
    town.server_is(Fate::Refuse);
    registered(&mut town, &mut alice, "200", 50);
    town.finish();
}

#[test]
fn a_403_passes_and_twice_a_minute_apart_makes_the_phone_forgotten() {
    let (mut town, mut alice, _) = two();
    town.world.run_ms(1_801_000);
    town.world.autos.insert(server(), Box::new(|message| refuse(message, 403)));
    registered(&mut town, &mut alice, "403", 50);
    registered(&mut town, &mut alice, "403", 50);
    town.world.run_ms(30_000);
    registered(&mut town, &mut alice, "403", 50);
    assert_eq!(town.status(0)["phones"].as_array().unwrap().len(), 1);
    town.world.run_ms(31_000);
    registered(&mut town, &mut alice, "403", 50);
    assert_eq!(town.status(0)["phones"].as_array().unwrap().len(), 0);
    town.server_is(Fate::Drop);
    town.register(&mut alice, 3600);
    town.world.nothing(alice.at, "200", 4_000);
    town.world.run_ms(32_000);
    town.finish();
}

fn refuse(message: &Msg, code: u16) -> Option<Vec<(std::net::SocketAddr, Vec<u8>)>> {
    message.is_request().then(|| vec![(message.from, answer(message, code, "s", &[], ""))])
}

#[test]
fn two_phones_that_share_a_user_part_get_contacts_of_their_own() {
    let mut town = Town::new();
    let mut contacts = Vec::new();
    for number in 1..=2 {
        let mut phone = town.phone(0, number, "alice");
        town.register(&mut phone, 600);
        town.world.expect(phone.at, "200 REGISTER", 100);
        let sent = town.world.log.iter().rev().find(is_register).unwrap();
        contacts.push(Msg::parse(sent).unwrap().contact().to_owned());
    }
    assert_eq!(contacts[0], "sip:alice@203.0.113.1:5062");
    let suffix = contacts[1].strip_prefix("sip:alice-").expect("a suffix");
    assert!(suffix.ends_with("@203.0.113.1:5062"), "{contacts:?}");
    let gateway = gateway(town.routers[0].outside());
    town.dial(&gateway, &contacts[1], "g1");
    let second = town.phone(0, 2, "alice");
    let heard = town.world.expect(second.at, "INVITE", 100);
    assert_eq!(heard.uri(), second.contact());
    town.reply(&heard, 486, "b", &[]);
    town.world.expect(server(), "486", 100);
    town.finish();
}

#[test]
fn aliases_of_the_provider_are_found_in_the_overlay_and_called() {
    let (mut town, alice, mut bob) = two();
    town.world.run_ms(1_801_000);
    town.world.autos.clear();
    town.register(&mut bob, 3600);
    let register = town.world.expect(server(), "REGISTER", 100);
    let alias = format!("sip:+4930123@{DOMAIN}");
    let associated = format!("<{}>, <{alias}>", bob.aor());
    let contact = register.one("Contact").to_owned();
    let extra = [("Contact", contact.as_str()), ("P-Associated-URI", associated.as_str())];
    town.reply(&register, 200, "s", &extra);
    town.world.expect(bob.at, "200 REGISTER", 100);
    town.world.run_ms(2_000);
    assert_eq!(town.finds(0, &alias), 1);
    assert_eq!(town.finds(0, &bob.aor()), 1);
    let mut alice = alice;
    town.server_is(Fate::Drop);
    registered(&mut town, &mut alice, "200", 2_100);
    town.dial(&alice, &alias, "c1");
    let heard = town.world.expect(bob.at, "INVITE", 700);
    assert_eq!(heard.uri(), bob.contact());
    town.reply(&heard, 603, "b", &[]);
    town.world.expect(alice.at, "603", 200);
    town.world.run_ms(32_000);
    town.finish();
}

fn is_register(packet: &&Packet) -> bool {
    packet.to == server() && packet.data.starts_with(b"REGISTER")
}

#[test]
fn a_late_answer_to_a_goodbye_does_not_end_the_registration_that_followed() {
    let (mut town, alice, mut bob) = two();
    town.world.autos.clear();
    town.register(&mut bob, 0);
    let goodbye = town.world.expect(server(), "REGISTER", 100);
    town.world.expect(bob.at, "200 REGISTER", 2_100);
    registered(&mut town, &mut bob, "200", 2_100);
    town.reply(&goodbye, 200, "s", &[]);
    town.world.run_ms(1_500);
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(bob.at, "INVITE", 1_000);
    town.reply(&invite, 486, "b", &[]);
    town.world.expect(alice.at, "486", 1_000);
}

#[test]
fn a_phone_without_instance_is_known_by_its_mac_at_another_address_after_a_power_cut() {
    let (mut town, _, bob) = two();
    let mac = cosip::net::Mac([2, 0, 0, 0, 0, 7]);
    let mut carol = town.phone(0, 7, "carol");
    town.world.macs.insert(carol.at.ip(), mac);
    registered(&mut town, &mut carol, "200", 100);
    assert_eq!(town.status(0)["phones"][1]["mac"], "02:00:00:00:00:07");
    town.world.run_ms(1_500);
    // What is in memory is lost; the server does not come back, and addresses are given out anew.
    town.world.files.retain(|(_, file, _)| *file != cosip::net::File::Volatile);
    town.server_is(Fate::Drop);
    town.restart(0);
    town.world.run_ms(3_000);
    let mut moved = town.phone(0, 8, "carol");
    moved.call_id = "after-its-start".into();
    town.world.macs.insert(moved.at.ip(), mac);
    let mut other = town.phone(0, 9, "carol");
    town.world.macs.insert(other.at.ip(), cosip::net::Mac([2, 0, 0, 0, 0, 9]));
    town.register(&mut other, 3600);
    registered(&mut town, &mut moved, "200", 2_100);
    town.world.nothing(other.at, "200", 1_000);
    town.world.run_ms(1_500);
    assert_eq!(town.finds(1, &carol.aor()), 1);
    let invite = bob.invite(&carol.aor(), "c1");
    town.say(&bob, invite);
    let heard = town.world.expect(moved.at, "INVITE", 1_000);
    town.reply(&heard, 486, "b", &[]);
    town.world.expect(bob.at, "486", 1_000);
}

#[test]
fn a_phone_that_is_renumbered_while_its_old_registration_runs_is_no_stranger() {
    let (mut town, mut alice, bob) = two();
    let mac = cosip::net::Mac([2, 0, 0, 0, 0, 7]);
    let mut carol = town.phone(0, 7, "carol");
    town.world.macs.insert(carol.at.ip(), mac);
    registered(&mut town, &mut carol, "200", 100);
    town.world.run_ms(20_000);
    town.server_is(Fate::Drop);
    let anew = |town: &mut Town, number: u8, mac: cosip::net::Mac| {
        let mut phone = town.phone(0, number, "carol");
        phone.call_id = format!("after-its-start-{number}");
        town.world.macs.insert(phone.at.ip(), mac);
        phone
    };
    let mut moved = anew(&mut town, 8, mac);
    registered(&mut town, &mut moved, "200", 2_100);
    town.world.run_ms(3_000);
    assert_eq!(town.verdict(0), "down");
    // Now at once; another device is a stranger.
    let mut again = anew(&mut town, 9, mac);
    registered(&mut town, &mut again, "200", 20);
    let mut other = anew(&mut town, 10, cosip::net::Mac([2, 0, 0, 0, 0, 9]));
    registered(&mut town, &mut other, "503", 20);
    // Behind a repeater it would be another phone: nobody has lost a place.
    let ends = [&carol, &moved, &again].map(|phone| phone.at);
    town.dial(&bob, &carol.aor(), "c1");
    for at in ends {
        let heard = town.world.expect(at, "INVITE", 1_000);
        town.reply(&heard, 486, "b", &[]);
    }
    town.refused(&bob, "486", &carol.aor(), 1_000);
    registered(&mut town, &mut carol, "200", 20);
    registered(&mut town, &mut alice, "200", 20);
    town.world.run_ms(32_000);
    town.finish();
}
