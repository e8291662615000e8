//! Phones that know the provider's server alone, and routers that take what they say on its way.

use crate::net::taking::Taking;
use crate::net::{Fate, Packet};
use crate::provider::registrar;
use crate::sip::{Dialog, Msg, answer};
use crate::town::{Phone, Town, at, server};
use cosip::config::Config;
use cosip::limits::{MAINTENANCE_INTERVAL, SERVER_TARGETS_MAX};
use cosip::net::{Capture, Input, Network};
use serde_json::Value;

const SOON_MS: u64 = 2 * MAINTENANCE_INTERVAL.as_millis() as u64;
const NO_RIGHT: &str = "nftables, table inet cosip: run cosip as root, or with CAP_NET_ADMIN";

/// A town whose routers take what is meant for others, if they `can`.
fn town_with(can: Result<Capture, &'static str>, change: impl Fn(&mut Config)) -> Town {
    let mut town = Town::with(1, change);
    for router in &town.routers {
        town.world.takings.push(Taking::new(router.place, router.lan, can));
    }
    town.world.run_ms(SOON_MS);
    town
}

fn town(can: Result<Capture, &'static str>) -> Town {
    town_with(can, |_| {})
}

/// A phone that is set up with the server's address, registered.
fn phone(town: &mut Town, router: usize, user: &str) -> Phone {
    let mut phone = town.phone(router, 1, user);
    phone.proxy = server();
    register(town, &mut phone);
    town.world.run_ms(1_500);
    phone
}

/// Registers a phone, which hears from its server alone.
fn register(town: &mut Town, phone: &mut Phone) {
    town.world.clear(phone.at);
    town.register(phone, 3600);
    let answer = town.world.expect(phone.at, "200 REGISTER", 3_000);
    assert_eq!(answer.from, server());
    assert!(answer.one("Contact").contains(&phone.contact()));
}

/// Alice's call comes to Bob over the overlay, as if from his server, and he refuses it.
fn hears_the_server(town: &mut Town, alice: &Phone, bob: &Phone) {
    town.say(alice, alice.invite(&bob.aor(), "c1"));
    let invite = town.world.expect(bob.at, "INVITE", 8_000);
    assert_eq!(invite.from, server(), "bob trusts nobody else");
    let refusal = answer(&invite, 486, "b", &[], "");
    town.world.send(bob.at, invite.from, refusal);
    town.world.expect(alice.at, "486 INVITE", 1_000);
}

fn interception(town: &mut Town) -> Value {
    town.status(0)["interception"].clone()
}

fn counter(town: &mut Town, name: &str) -> u64 {
    town.status(0)["counters"][name].as_u64().unwrap()
}

fn to_server(packet: &&Packet) -> bool {
    packet.to == server() && !packet.data.starts_with(b"SIP")
}

#[test]
fn a_phone_that_knows_the_server_alone_is_served_in_its_name() {
    for method in [Capture::Tproxy, Capture::Redirect] {
        let mut town = town(Ok(method));
        let alice = phone(&mut town, 0, "alice");
        let bob = phone(&mut town, 1, "bob");
        assert_eq!(town.status(0)["phones"][0]["chosen_server"], server().to_string());
        town.server_is(Fate::Drop);
        town.say(&alice, alice.invite(&bob.aor(), "c1"));
        let invite = town.world.expect(bob.at, "INVITE", 2_000);
        assert_eq!(invite.from, server(), "bob trusts nobody else");
        let mut callee = town.accept(&invite, "b", &bob.contact());
        let answer = town.world.expect(alice.at, "200 INVITE", 200);
        assert_eq!(answer.from, server());
        let caller = Dialog::of_answer(&answer, &alice.contact());
        town.world.send(alice.at, alice.proxy, caller.ack(1));
        town.world.expect(bob.at, "ACK", 200);
        town.bye(&mut callee, alice.at);
        town.finish();
    }
}

#[test]
fn a_connection_to_the_server_is_taken_too() {
    let mut town = town(Ok(Capture::Tproxy));
    let mut alice = town.phone(0, 1, "alice");
    (alice.tcp, alice.proxy) = (true, server());
    alice.at.set_port(40_001);
    town.world.connect(alice.at, alice.proxy);
    register(&mut town, &mut alice);
    assert_eq!(town.status(0)["phones"][0]["chosen_server"], server().to_string());
    town.finish();
}

#[test]
fn what_is_refused_is_wished_for_again_and_its_sentence_is_shown() {
    let mut town = town(Err(NO_RIGHT));
    let wishes = town.world.taking(0).wishes.len();
    let told = interception(&mut town);
    assert_eq!((&told["method"], &told["reason"]), (&"none".into(), &NO_RIGHT.into()));
    let mut alice = town.phone(0, 1, "alice");
    alice.proxy = server();
    town.register(&mut alice, 3600);
    let passed = town.world.log.iter().rfind(to_server).map(|packet| packet.from);
    assert_eq!(passed, Some(alice.at), "as without an adapter");
    town.world.run_ms(60_000);
    assert!(town.world.taking(0).wishes.len() >= wishes + 11);
    for (can, method) in [(Capture::Redirect, "redirect"), (Capture::Tproxy, "tproxy")] {
        town.world.taking(0).can = Ok(can);
        town.world.run_ms(SOON_MS);
        let told = interception(&mut town);
        assert_eq!((&told["method"], &told["reason"]), (&method.into(), &Value::Null));
        register(&mut town, &mut alice);
        let passed = town.world.log.iter().rfind(to_server).map(|packet| packet.from);
        assert_eq!(passed, Some(town.routers[0].outside()));
        town.world.run_ms(1_900_000);
    }
    town.finish();
}

#[test]
fn rules_come_and_go_with_the_option_and_go_with_the_daemon() {
    let mut town = town(Ok(Capture::Tproxy));
    let mut config = town.routers[0].config.clone();
    for (intercept, ports) in [(false, 0), (true, 1)] {
        config.adapter.intercept = intercept;
        town.world.input(0, Input::Config(&config));
        assert_eq!(town.world.taking(0).ports(), ports);
    }
    config.adapter.intercept = false;
    town.world.input(0, Input::Config(&config));
    let wishes = town.world.taking(0).wishes.len();
    town.world.run_ms(SOON_MS);
    assert_eq!(town.world.taking(0).wishes.len(), wishes, "nothing is wished for twice");
    assert_eq!(interception(&mut town)["reason"], "option intercept is 0");
    town.routers[0].config = config;
    town.restart(0);
    assert_eq!(town.world.taking(0).wishes.last(), Some(&None), "a killed one may have left some");

    // The end comes while an answer is under way.
    let place = town.routers[1].place;
    town.world.taking(place).held = Some(Vec::new());
    town.world.run_ms(SOON_MS);
    town.world.ask(place, &["status"]);
    town.world.input(place, Input::Stop);
    assert_eq!(town.world.taking(place).ports(), 1);
    town.world.release(place);
    assert_eq!(town.world.taking(place).ports(), 0);
}

#[test]
fn hosts_beyond_the_limit_are_counted_once() {
    let mut town = town(Ok(Capture::Tproxy));
    for (untold, counted) in [(3, 3), (3, 3), (1, 3), (4, 6)] {
        town.world.taking(0).over_tls.1 = untold;
        town.world.run_ms(SOON_MS);
        assert_eq!(counter(&mut town, "tls_hosts_dropped"), counted);
    }
    town.finish();
}

#[test]
fn servers_that_phones_chose_beyond_the_limit_are_counted() {
    let mut town = town_with(Ok(Capture::Tproxy), |config| {
        config.providers[0].server = None;
        config.providers[0].server_net = vec!["198.51.100.0/24".parse().unwrap()];
    });
    for number in 1..=SERVER_TARGETS_MAX as u8 + 2 {
        let chosen = at(&format!("198.51.100.{number}:5060"));
        town.world.autos.insert(chosen, Box::new(registrar));
        let mut alice = town.phone(0, number, &format!("alice{number}"));
        alice.proxy = chosen;
        town.register(&mut alice, 3600);
        let answer = town.world.expect(alice.at, "200 REGISTER", 3_000);
        assert_eq!(answer.from, chosen, "it is served all the same");
    }
    assert_eq!(counter(&mut town, "chosen_servers_dropped"), 2);
    town.finish();
}

#[test]
fn hosts_that_talk_over_tls_and_the_kernels_helper_are_told_of_while_they_are_there() {
    let mut town = town(Ok(Capture::Tproxy));
    let host = at("192.168.1.77:0").ip();
    town.world.taking(0).helper = true;
    town.world.taking(0).over_tls.0 = vec![host];
    town.world.run_ms(SOON_MS);
    let warning = interception(&mut town)["warning"].as_str().unwrap().to_owned();
    assert!(warning.contains("unload nf_conntrack_sip"), "{warning}");
    let phones: Value = serde_json::from_str(&town.world.ask(0, &["phones"])).unwrap();
    let shown = (&phones[0]["address"], &phones[0]["note"]);
    assert_eq!(shown, (&host.to_string().into(), &"not protected: TLS".into()));
    town.world.taking(0).helper = false;
    town.world.taking(0).over_tls.0.clear();
    town.world.run_ms(SOON_MS);
    assert_eq!(interception(&mut town)["warning"], Value::Null);
    assert_eq!(town.status(0)["phones"], Value::Array(Vec::new()));
    town.finish();
}

#[test]
fn networks_that_the_firewall_shuts_out_are_told_of() {
    let mut town = town(Ok(Capture::Tproxy));
    let router = &town.routers[0];
    let (lan, wan) = (vec![router.lan], vec![router.wan]);
    for shut_out in [vec!["guest".to_owned(), "iot".to_owned()], Vec::new()] {
        let told = shut_out.len();
        let (lan, wan) = (lan.clone(), wan.clone());
        let network = Network { lan, wan, wan_up: true, shut_out, ..Network::default() };
        town.world.input(0, Input::Network(&network));
        let warning = interception(&mut town)["warning"].clone();
        let warning = warning.as_str().unwrap_or_default();
        assert_eq!(warning.matches("in no zone").count(), told, "{warning}");
        assert_eq!(warning.contains("network guest"), told > 0);
    }
    town.finish();
}

/// A server behind somebody who writes another address where ours was, in one header.
fn behind_an_alg(message: &Msg, header: &str) -> Option<Vec<(std::net::SocketAddr, Vec<u8>)>> {
    let answers = registrar(message)?;
    let altered = answers.into_iter().map(|(to, bytes)| {
        let text = String::from_utf8(bytes).unwrap();
        let line = |line: &str| match line.starts_with(header) {
            true => line.replace("203.0.113.1", "203.0.113.99"),
            false => line.to_owned(),
        };
        let lines: Vec<String> = text.split("\r\n").map(line).collect();
        (to, lines.join("\r\n").into_bytes())
    });
    Some(altered.collect())
}

#[test]
fn an_alg_in_front_is_told_of_until_it_is_gone() {
    for (header, told) in [("Via", "our Via"), ("Contact", "our Contact")] {
        let mut town = town(Ok(Capture::Tproxy));
        let altering = move |message: &Msg| behind_an_alg(message, header);
        town.world.autos.insert(server(), Box::new(altering));
        let mut alice = town.phone(0, 1, "alice");
        alice.proxy = server();
        town.register(&mut alice, 3600);
        town.world.run_ms(1_000);
        let evidence = town.status(0)["network"]["alg_in_front"].clone();
        let evidence = evidence.as_str().unwrap();
        assert!(evidence.starts_with("ALG in front") && evidence.ends_with(told), "{evidence}");
        // A challenge shows nothing of a Contact; what follows it does.
        let refusal = |m: &Msg| Some(vec![(m.from, answer(m, 401, "srv", &[], ""))]);
        town.world.autos.insert(server(), Box::new(refusal));
        alice.call_id = "another".into();
        town.register(&mut alice, 3600);
        town.world.run_ms(1_000);
        assert_eq!(town.status(0)["network"]["alg_in_front"], evidence);
        town.world.autos.insert(server(), Box::new(registrar));
        register(&mut town, &mut alice);
        assert_eq!(town.status(0)["network"]["alg_in_front"], Value::Null);
        town.finish();
    }
}

#[test]
fn another_phone_of_the_same_address_is_no_alg() {
    let mut town = town(Ok(Capture::Tproxy));
    let mut alice = phone(&mut town, 0, "alice");
    let both = |message: &Msg| {
        let elsewhere = ("Contact", "<sip:alice@192.0.2.7>;expires=60");
        let mut contacts = vec![elsewhere];
        let own = message.all("Contact").into_iter().filter(|value| !value.ends_with("expires=0"));
        contacts.extend(own.map(|value| ("Contact", value)));
        Some(vec![(message.from, answer(message, 200, "srv", &contacts, ""))])
    };
    town.world.autos.insert(server(), Box::new(both));
    for expires_s in [3600, 0] {
        alice.call_id += "again";
        town.register(&mut alice, expires_s);
        town.world.run_ms(1_000);
        assert_eq!(town.status(0)["network"]["alg_in_front"], Value::Null, "{expires_s}");
    }
    town.finish();
}

/// The kernel forgets flows sooner than phones do.
#[test]
fn where_nobody_knows_whom_a_datagram_was_meant_for_it_goes_where_its_phone_went_before() {
    let mut town = town(Ok(Capture::Redirect));
    let mut alice = phone(&mut town, 0, "alice");
    town.world.taking(0).forgetful = true;
    town.world.run_ms(1_801_000);
    register(&mut town, &mut alice);
    assert_eq!(counter(&mut town, "intercepted_strays"), 0);
    let mut stranger = town.phone(0, 2, "stranger");
    stranger.proxy = server();
    town.register(&mut stranger, 3600);
    town.world.nothing(stranger.at, "200", 1_000);
    assert_eq!(counter(&mut town, "intercepted_strays"), 1);
    // A connection to the router itself, at the port where it takes others', is no phone's.
    town.world.connect(at("192.168.1.44:40044"), server());
    assert_eq!(counter(&mut town, "intercepted_strays"), 2);
    town.finish();
}

#[test]
fn a_phone_is_reached_in_the_servers_name_after_what_takes_it_was_put_up_anew() {
    let mut town = town(Ok(Capture::Tproxy));
    let alice = phone(&mut town, 0, "alice");
    let bob = phone(&mut town, 1, "bob");
    let place = town.routers[1].place;
    town.world.take_down(place);
    town.world.run_ms(SOON_MS);
    town.server_is(Fate::Drop);
    hears_the_server(&mut town, &alice, &bob);
    town.finish();
}

/// Alice and Bob, who are intercepted, talk to each other while the server is dead.
fn two_in_a_call(town: &mut Town) -> (Phone, Phone, Dialog, Dialog) {
    let alice = phone(town, 0, "alice");
    let bob = phone(town, 1, "bob");
    town.server_is(Fate::Drop);
    town.say(&alice, alice.invite(&bob.aor(), "c1"));
    let invite = town.world.expect(bob.at, "INVITE", 2_000);
    let callee = town.accept(&invite, "b", &bob.contact());
    let answer = town.world.expect(alice.at, "200 INVITE", 200);
    let caller = Dialog::of_answer(&answer, &alice.contact());
    town.world.send(alice.at, alice.proxy, caller.ack(1));
    town.world.expect(bob.at, "ACK", 200);
    (alice, bob, caller, callee)
}

#[test]
fn a_call_goes_on_in_the_servers_name_after_what_takes_it_was_put_up_anew() {
    let mut town = town(Ok(Capture::Tproxy));
    let (alice, bob, mut caller, _) = two_in_a_call(&mut town);
    town.world.take_down(town.routers[1].place);
    town.world.run_ms(SOON_MS);
    let bye = caller.request("BYE", &[], "");
    town.world.send(alice.at, alice.proxy, bye);
    let bye = town.world.expect(bob.at, "BYE", 1_000);
    assert_eq!(bye.from, server());
    town.reply(&bye, 200, "b", &[]);
    town.world.expect(alice.at, "200 BYE", 3_000);
    town.finish();
}

#[test]
fn a_call_goes_on_from_the_routers_own_address_when_nothing_is_taken_any_more() {
    let mut town = town(Ok(Capture::Tproxy));
    let (alice, bob, mut caller, _) = two_in_a_call(&mut town);
    let mut config = town.routers[1].config.clone();
    config.adapter.intercept = false;
    town.world.input(town.routers[1].place, Input::Config(&config));
    let bye = caller.request("BYE", &[], "");
    town.world.send(alice.at, alice.proxy, bye);
    let bye = town.world.expect(bob.at, "BYE", 1_000);
    assert_eq!(bye.from, town.routers[1].proxy());
    town.reply(&bye, 200, "b", &[]);
    town.world.expect(alice.at, "200 BYE", 3_000);
    town.finish();
}

#[test]
fn a_phone_that_cannot_be_sent_to_fails_its_leg_at_once() {
    for fate in [Fate::NoRoute, Fate::Refuse] {
        let mut town = town(Ok(Capture::Tproxy));
        let alice = phone(&mut town, 0, "alice");
        let bob = phone(&mut town, 1, "bob");
        town.server_is(Fate::Drop);
        town.world.fates.insert(bob.at, fate);
        town.say(&alice, alice.invite(&bob.aor(), "c1"));
        town.world.run_ms(4_000);
        assert_eq!(town.packets(bob.at, "INVITE"), 1, "it is not asked again in vain");
    }
}

/// Nothing but what the phones themselves said tells where the server is.
fn unnamed(config: &mut Config) {
    config.providers[0].server = None;
    config.providers[0].server_net = vec!["198.51.100.0/24".parse().unwrap()];
}

#[test]
fn a_server_that_a_phone_chose_is_known_after_a_reboot_into_an_outage() {
    let mut town = town_with(Ok(Capture::Tproxy), unnamed);
    let alice = phone(&mut town, 0, "alice");
    let mut bob = phone(&mut town, 1, "bob");
    let place = town.routers[1].place;
    town.server_is(Fate::Drop);
    // Power is lost: what is not on flash is gone.
    town.world.files.retain(|file| (file.0, file.1) != (place, cosip::net::File::Volatile));
    town.restart(1);
    town.world.run_ms(SOON_MS);
    let told = town.status(1);
    assert_eq!(told["servers"][0]["address"], server().to_string());
    assert_eq!(told["phones"][0]["chosen_server"], server().to_string());
    let before = town.packets(server(), "REGISTER");
    register(&mut town, &mut bob);
    assert!(town.packets(server(), "REGISTER") > before, "it is asked all the same");
    town.world.run_ms(3_000);
    assert_eq!(town.verdict(1), "down");
    hears_the_server(&mut town, &alice, &bob);
    town.finish();
}

#[test]
fn after_a_restart_a_phone_is_reached_in_the_servers_name_before_it_speaks() {
    let mut town = town_with(Ok(Capture::Tproxy), unnamed);
    let alice = phone(&mut town, 0, "alice");
    let bob = phone(&mut town, 1, "bob");
    town.restart(1);
    town.world.run_ms(SOON_MS);
    town.server_is(Fate::Drop);
    hears_the_server(&mut town, &alice, &bob);
    town.finish();
}
