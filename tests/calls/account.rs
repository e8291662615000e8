//! With credentials the adapter registers by itself; without, the phone's next REGISTER does it.

use crate::acts::gateway;
use crate::net::{Fate, Packet};
use crate::sip::{Msg, answer, uri_of};
use crate::town::{DOMAIN, Phone, Town, at, server};
use cosip::config::{Account, Config, Mode, Secret};
use cosip::net::Mac;
use std::net::SocketAddr;

const PASSWORD: &str = "open";

/// The credentials of one user.
pub(crate) fn account(user: &str) -> Account {
    Account {
        aor: format!("sip:{user}@{DOMAIN}"),
        user: user.into(),
        realm: DOMAIN.into(),
        password: Some(Secret::new(PASSWORD)),
        ..Account::default()
    }
}

fn with_account(config: &mut Config) {
    config.accounts.push(account("alice"));
}

fn md5(text: &str) -> String {
    use md5::Digest;
    md5::Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn parameter<'v>(value: &'v str, name: &str) -> &'v str {
    let (_, rest) = value.split_once(&format!("{name}=")).unwrap_or(("", ""));
    let rest = rest.split(',').next().unwrap_or_default();
    rest.trim_matches('"')
}

/// The value of an Authorization, as RFC 2617 computes it.
fn credentials(method: &str, uri: &str, nonce: &str, password: &str) -> String {
    let ha1 = md5(&format!("alice:{DOMAIN}:{password}"));
    let ha2 = md5(&format!("{method}:{uri}"));
    let response = md5(&format!("{ha1}:{nonce}:00000001:c:auth:{ha2}"));
    format!(
        "Digest username=\"alice\", realm=\"{DOMAIN}\", nonce=\"{nonce}\", uri=\"{uri}\", \
         response=\"{response}\", qop=auth, nc=00000001, cnonce=\"c\""
    )
}

fn is_right(message: &Msg, nonce: &str) -> bool {
    let Some(given) = message.all("Authorization").first().copied() else { return false };
    let part = |name| parameter(given, name);
    let ha1 = md5(&format!("alice:{DOMAIN}:{PASSWORD}"));
    let ha2 = md5(&format!("{}:{}", message.method(), part("uri")));
    let (nc, cnonce) = (part("nc"), part(" cnonce"));
    let wanted = md5(&format!("{ha1}:{nonce}:{nc}:{cnonce}:auth:{ha2}"));
    part("response") == wanted && part(" nonce") == nonce
}

/// What the registrar does beside asking for a password.
#[derive(Clone, Default)]
struct Ways {
    /// Every answer names the next nonce.
    next_nonce: bool,
    /// A nonce is good for this many requests; 0: for all.
    uses: u32,
    /// The shortest registration.
    min_expires_s: u32,
}

/// A registrar that asks for a password.
fn registrar(ways: Ways) -> impl FnMut(&Msg) -> Option<Vec<(SocketAddr, Vec<u8>)>> {
    let (mut serial, mut uses) = (0, 0);
    move |message| {
        let back = |code, extra: &[(&str, &str)]| {
            Some(vec![(message.from, answer(message, code, "srv", extra, ""))])
        };
        match message.method() {
            "OPTIONS" if message.is_request() => return back(200, &[]),
            "REGISTER" if message.is_request() => {}
            _ => return None,
        }
        let nonce = format!("n{serial}");
        if !is_right(message, &nonce) || (ways.uses > 0 && uses >= ways.uses) {
            serial += 1;
            uses = 0;
            let stale = if is_right(message, &nonce) { ", stale=true" } else { "" };
            let offer =
                format!("Digest realm=\"{DOMAIN}\", nonce=\"n{serial}\", qop=\"auth\"{stale}");
            return back(401, &[("WWW-Authenticate", &offer)]);
        }
        uses += 1;
        let contact = message.one("Contact");
        let asked: u32 = contact.rsplit_once("expires=").unwrap().1.parse().unwrap();
        if asked > 0 && asked < ways.min_expires_s {
            return back(423, &[("Min-Expires", &ways.min_expires_s.to_string())]);
        }
        let mut extra = vec![("Contact", contact)];
        let info = format!("nextnonce=\"n{}\", qop=auth", serial + 1);
        if ways.next_nonce {
            (serial, uses) = (serial + 1, 0);
            extra.push(("Authentication-Info", &info));
        }
        if asked == 0 {
            extra.remove(0);
        }
        back(200, &extra)
    }
}

/// REGISTERs that the server was sent: when, from where, what.
fn sent(town: &Town) -> Vec<(u64, Msg)> {
    let is = |p: &&Packet| p.to == server() && p.data.starts_with(b"REGISTER");
    let packets = town.world.log.iter().filter(is);
    packets.map(|packet| (packet.at.millis(), Msg::parse(packet).unwrap())).collect()
}

/// Alice's phone, which knows the password, is registered.
fn registered(town: &mut Town, expires_s: u32) -> Phone {
    let mut alice = town.phone(0, 1, "alice");
    proves(town, &mut alice, expires_s);
    alice
}

/// A phone of hers registers, and is asked for the password.
fn proves(town: &mut Town, alice: &mut Phone, expires_s: u32) {
    town.register(alice, expires_s);
    let challenge = town.world.expect(alice.at, "401 REGISTER", 100);
    let nonce = parameter(challenge.one("WWW-Authenticate"), "nonce").to_owned();
    let value = credentials("REGISTER", &format!("sip:{DOMAIN}"), &nonce, PASSWORD);
    let bytes = Town::register_text(alice, expires_s, &[("Authorization", &value)]);
    town.say(alice, bytes);
    town.world.expect(alice.at, "200 REGISTER", 100);
}

fn town(ways: Ways) -> (Town, Phone) {
    let mut town = Town::with(1, with_account);
    town.world.autos.insert(server(), Box::new(registrar(ways)));
    let alice = registered(&mut town, 3600);
    (town, alice)
}

/// The phone refreshes every minute; whether each time it got a 200 at once.
fn refresh_for(town: &mut Town, alice: &mut Phone, minutes: u32) {
    for _ in 0..minutes {
        town.world.run_ms(60_000);
        town.register(alice, 3600);
        town.world.expect(alice.at, "200 REGISTER", 20);
    }
}

#[test]
fn the_adapter_renews_at_the_half_life_with_its_own_credentials() {
    for ways in [
        Ways::default(),
        Ways { next_nonce: true, ..Ways::default() },
        Ways { uses: 2, ..Ways::default() },
    ] {
        let (mut town, mut alice) = town(ways);
        let before = sent(&town).len();
        refresh_for(&mut town, &mut alice, 150);
        let renewals = sent(&town).split_off(before);
        let times: Vec<u64> = renewals.iter().map(|(at, _)| at / 60_000).collect();
        assert!(
            (5..=9).contains(&renewals.len()),
            "one each half hour, challenges aside: {times:?}"
        );
        let numbers: Vec<u32> = renewals.iter().map(|(_, m)| m.cseq()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] < pair[1]), "{numbers:?}");
        for (_, message) in &renewals {
            assert_eq!(message.one("Call-ID"), renewals[0].1.one("Call-ID"));
            assert_ne!(message.one("Call-ID"), alice.call_id, "the phone's numbers are its own");
            assert_eq!(uri_of(message.one("Contact")), "sip:alice@203.0.113.1:5062");
            assert_eq!(message.one("To"), format!("<sip:alice@{DOMAIN}>"));
        }
        assert_eq!(town.status(0)["counters"]["accounts_refused"], 0);
        town.finish();
    }
}

#[test]
fn a_new_wan_address_costs_seconds_with_credentials_and_half_the_phone_s_time_without() {
    for with in [true, false] {
        let mut town = Town::with(1, |config| {
            if with {
                with_account(config)
            }
        });
        town.world.autos.insert(server(), Box::new(registrar(Ways::default())));
        let mut alice = registered(&mut town, 3600);
        refresh_for(&mut town, &mut alice, 5);
        let before = sent(&town).len();
        let changed = town.world.now.millis();
        town.renumber(0, 77);
        if with {
            town.world.run_ms(5_000);
        } else {
            // The phone refreshes at half of what it was given, here at the worst instant.
            town.world.run_ms(60_000);
            registered_again(&mut town, &mut alice);
        }
        let (at_ms, last) = sent(&town).pop().unwrap();
        assert!(sent(&town).len() > before);
        assert_eq!(uri_of(last.one("Contact")), "sip:alice@203.0.113.77:5062");
        assert_eq!(last.from, at("203.0.113.77:5062"));
        // The server's next call arrives.
        let gateway = gateway(town.routers[0].outside());
        town.dial(&gateway, "sip:alice@203.0.113.77:5062", "g1");
        let heard = town.world.expect(alice.at, "INVITE", 20);
        town.reply(&heard, 486, "a", &[]);
        town.world.expect(server(), "486", 20);
        let took = at_ms + 10 - changed;
        let what = if with { "with" } else { "without" };
        println!("WAN address changed: reachable again after {took} ms {what} credentials");
        assert!(took <= if with { 5_000 } else { 65_000 }, "{took} ms");
        town.finish();
    }
}

/// The phone refreshes, is challenged and answers.
fn registered_again(town: &mut Town, alice: &mut Phone) {
    town.register(alice, 3600);
    let challenge = town.world.expect(alice.at, "401 REGISTER", 100);
    let nonce = parameter(challenge.one("WWW-Authenticate"), "nonce").to_owned();
    let value = credentials("REGISTER", &format!("sip:{DOMAIN}"), &nonce, PASSWORD);
    let bytes = Town::register_text(alice, 3600, &[("Authorization", &value)]);
    town.say(alice, bytes);
    town.world.expect(alice.at, "200 REGISTER", 100);
}

#[test]
fn a_wrong_password_is_told_once_and_the_phone_s_own_goes_on() {
    let mut town = Town::with(1, |config| {
        with_account(config);
        config.accounts[0].password = Some(Secret::new("wrong"));
    });
    town.world.autos.insert(server(), Box::new(registrar(Ways::default())));
    let mut alice = registered(&mut town, 3600);
    refresh_for(&mut town, &mut alice, 29);
    town.world.run_ms(70_000);
    assert_eq!(town.status(0)["counters"]["accounts_refused"], 1);
    let before = sent(&town).len();
    town.world.run_ms(60_000);
    assert_eq!(sent(&town).len(), before, "it is not tried again and again");
    registered_again(&mut town, &mut alice);
    assert_eq!(town.status(0)["phones"][0]["registered"], true);
    town.finish();
}

#[test]
fn the_provider_s_shortest_time_is_kept_to() {
    let ways = Ways { min_expires_s: 600, ..Ways::default() };
    let mut town = Town::with(1, with_account);
    town.world.autos.insert(server(), Box::new(registrar(Ways::default())));
    let mut alice = registered(&mut town, 300);
    town.world.autos.insert(server(), Box::new(registrar(ways)));
    for _ in 0..12 {
        town.world.run_ms(60_000);
        town.register(&mut alice, 300);
        town.world.expect(alice.at, "200 REGISTER", 20);
    }
    let (_, last) = sent(&town).pop().unwrap();
    assert!(last.one("Contact").ends_with("expires=600"), "{}", last.text);
    assert_eq!(town.status(0)["counters"]["accounts_refused"], 0);
    town.finish();
}

#[test]
fn after_a_restart_known_phones_are_registered_before_they_speak() {
    let (mut town, alice) = town(Ways::default());
    town.world.run_ms(3_000);
    let before = sent(&town).len();
    town.restart(0);
    town.world.run_ms(5_000);
    let renewed = sent(&town).split_off(before);
    assert!(!renewed.is_empty());
    assert_eq!(uri_of(renewed[0].1.one("Contact")), "sip:alice@203.0.113.1:5062");
    drop(alice);
    town.finish();
}

#[test]
fn renewals_of_a_dead_server_are_paced_and_go_on_when_it_is_back() {
    let (mut town, mut alice) = town(Ways::default());
    refresh_for(&mut town, &mut alice, 29);
    town.server_is(Fate::Drop);
    let before = sent(&town).len();
    for _ in 0..30 {
        town.world.run_ms(60_000);
        town.register(&mut alice, 3600);
        town.world.expect(alice.at, "200 REGISTER", 20);
    }
    let branches: std::collections::BTreeSet<String> =
        sent(&town).split_off(before).iter().map(|(_, m)| m.one("Via").to_owned()).collect();
    assert!(branches.len() <= 45, "{} in half an hour", branches.len());
    town.world.fates.clear();
    let back = town.world.now.millis();
    refresh_for(&mut town, &mut alice, 20);
    let accepted = |(at, m): &&(u64, Msg)| *at > back && m.has("Authorization");
    assert!(sent(&town).iter().any(|sent| accepted(&sent)), "registered again");
    assert_eq!(town.verdict(0), "up");
    town.finish();
}

/// CALLS §3.7: the late answer of a leg that lost is ended, also where its BYE is challenged.
#[test]
fn a_challenge_to_the_bye_of_a_late_answer_is_answered_by_the_account() {
    let (mut town, alice) = town(Ways::default());
    let bob = town.phone(1, 1, "bob");
    town.world.run_ms(1_000);
    town.world.autos.clear();
    let uri = format!("sip:+4930123@{DOMAIN}");
    town.dial(&alice, &uri, "c1");
    let heard = town.world.expect(server(), "INVITE", 100);
    town.cancel(&alice, &uri, "c1");
    town.refused(&alice, "487", &uri, 100);
    town.accept(&heard, "late", "sip:gw@198.51.100.1:5060");
    town.world.expect(server(), "ACK", 100);
    let bye = town.world.expect(server(), "BYE", 100);
    let offer = format!("Digest realm=\"{DOMAIN}\", nonce=\"b\", qop=\"auth\"");
    town.reply(&bye, 407, "", &[("Proxy-Authenticate", &offer)]);
    let again = town.world.expect(server(), "BYE", 100);
    assert_eq!(again.cseq(), bye.cseq() + 1);
    let given = again.one("Proxy-Authorization");
    let ha1 = md5(&format!("alice:{DOMAIN}:{PASSWORD}"));
    let ha2 = md5(&format!("BYE:{}", parameter(given, "uri")));
    let (nc, cnonce) = (parameter(given, "nc"), parameter(given, " cnonce"));
    assert_eq!(parameter(given, "response"), md5(&format!("{ha1}:b:{nc}:{cnonce}:auth:{ha2}")));
    town.reply(&again, 407, "", &[("Proxy-Authenticate", &offer)]);
    town.world.nothing(server(), "BYE", 2_000);
    drop(bob);
    town.finish();
}

#[test]
fn in_mode_overlay_a_phone_whose_contact_another_device_takes_is_gone() {
    let mut town = Town::with(1, |config| {
        with_account(config);
        config.adapter.mode = Mode::Overlay;
        config.providers[0].server = None;
    });
    for device in [7, 9] {
        let mut alice = town.phone(0, 1, "alice");
        alice.call_id = format!("device-{device}");
        town.world.macs.insert(alice.at.ip(), Mac([2, 0, 0, 0, 0, device]));
        proves(&mut town, &mut alice, 600);
        let phones = town.status(0)["phones"].clone();
        let phones = phones.as_array().unwrap().iter().filter(|phone| phone["registered"] == true);
        let macs: Vec<&str> = phones.map(|phone| phone["mac"].as_str().unwrap()).collect();
        assert_eq!(macs, [format!("02:00:00:00:00:0{device}")]);
    }
    town.finish();
}

/// The server was restarted so fast that nobody noticed, and has forgotten who is where.
#[test]
fn a_server_that_has_lost_its_table_is_told_again_after_the_first_call_that_it_did_not_bring() {
    let (mut town, mut alice) = town(Ways::default());
    let mut asks = registrar(Ways::default());
    town.world.autos.insert(
        server(),
        Box::new(move |message| match message.one("To").contains("bob") {
            true => crate::provider::registrar(message),
            false => asks(message),
        }),
    );
    refresh_for(&mut town, &mut alice, 5);
    let bob = town.registered(1, 1, "bob");
    for (call_id, again) in [("c1", true), ("c2", false)] {
        let before = sent(&town).len();
        town.dial(&bob, &alice.aor(), call_id);
        let at_server = town.world.expect(server(), "INVITE", 100);
        town.reply(&at_server, 404, "s", &[]);
        let at_alice = town.world.expect(alice.at, "INVITE", 1_000);
        town.reply(&at_alice, 486, "a", &[]);
        town.refused(&bob, "486", &alice.aor(), 200);
        town.world.run_ms(3_000);
        assert_eq!(sent(&town).len() > before, again, "{call_id}");
    }
    assert_eq!(town.status(0)["counters"]["registrations_doubted"], 1);
    town.finish();
}

#[test]
fn a_phone_that_its_server_forbids_to_call_is_registered_again() {
    let (mut town, mut alice) = town(Ways::default());
    refresh_for(&mut town, &mut alice, 5);
    let before = sent(&town).len();
    town.dial(&alice, &format!("sip:nobody@{DOMAIN}"), "c1");
    let at_server = town.world.expect(server(), "INVITE", 100);
    town.reply(&at_server, 403, "s", &[]);
    town.refused(&alice, "403", &format!("sip:nobody@{DOMAIN}"), 2_000);
    town.world.run_ms(3_000);
    assert!(sent(&town).len() > before);
    town.finish();
}

/// A server that wants to be left alone for a while.
fn busy(message: &Msg) -> Option<Vec<(SocketAddr, Vec<u8>)>> {
    let refusal = || answer(message, 503, "s", &[("Retry-After", "20")], "");
    message.is_request().then(|| vec![(message.from, refusal())])
}

/// What was granted before it took leave is nothing that anybody keeps up.
#[test]
fn a_phone_that_took_leave_and_is_refused_for_a_while_is_registered_when_the_server_wants() {
    let (mut town, mut alice) = town(Ways::default());
    town.world.run_ms(60_000);
    proves(&mut town, &mut alice, 0);
    let registrar = town.world.autos.insert(server(), Box::new(busy)).unwrap();
    alice.call_id = "anew".into();
    town.register(&mut alice, 3600);
    town.world.expect(alice.at, "200 REGISTER", 100);
    let before = sent(&town).len();
    town.world.autos.insert(server(), registrar);
    town.world.run_ms(80_000);
    proves(&mut town, &mut alice, 3600);
    assert!(sent(&town).len() > before, "nobody asked the server again");
    town.finish();
}

#[test]
fn a_second_that_a_phone_asks_for_while_its_server_is_busy_is_no_goodbye() {
    let (mut town, mut alice) = town(Ways::default());
    town.world.autos.insert(server(), Box::new(busy));
    alice.call_id = "anew".into();
    town.register(&mut alice, 1);
    let answer = town.world.expect(alice.at, "200 REGISTER", 100);
    assert!(answer.one("Contact").ends_with("expires=1"), "{}", answer.one("Contact"));
    town.finish();
}
