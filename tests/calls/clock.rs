//! Routers without a clock: they start in 1970, and are told the time later, or never. Nothing that
//! they do depends on it but how long phones are known, and these grow no older by the jump.

use crate::account::account;
use crate::net::{Fate, Packet};
use crate::outages::{phone, reports};
use crate::provider::{Proxy, registrar};
use crate::town::{DOMAIN, EPOCH_S, Phone, Town, server, two};
use cosip::config::Config;
use cosip::net::File;

/// When the first two routers are told the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    AtTheStart,
    Later,
    Never,
    /// At the start, and then that it is 1970.
    Wrong,
}

/// Both phones have accounts: their routers register them by themselves, too.
fn accounts(config: &mut Config) {
    config.accounts = ["alice", "bob"].map(account).into();
}

/// A call that stands for 3 s; whether both ends were heard.
fn call(town: &mut Town, [from, to]: [usize; 2], user: &str) -> bool {
    let aor = format!("sip:{user}@{DOMAIN}");
    town.world.order(from, |node, now| node.phone().call(now, &aor));
    town.world.run_ms(3_000);
    let heard = [from, to].map(|place| {
        let last = reports(town, place).pop();
        last.is_some_and(|it| it.ended.is_none() && it.sound.received > 20)
    });
    town.world.order(from, |node, now| node.phone().hang_up_all(now));
    town.world.run_ms(2_000);
    heard == [true, true]
}

struct Evening {
    /// All that crossed the network.
    packets: Vec<Packet>,
    /// Whether the first router said that it knows the time: before some were told it, and after.
    known: [bool; 2],
}

/// An evening with calls by the server and, when it has died, over the overlay.
fn evening(told: Told) -> Evening {
    let mut town = Town::empty(1);
    let knows = [Told::AtTheStart, Told::Wrong].contains(&told);
    town.epoch_s = if knows { EPOCH_S } else { 0 };
    for number in 1..=3 {
        town.add_router(number, accounts);
    }
    let mut proxy = Proxy::default();
    town.world.autos.insert(server(), Box::new(move |message| proxy.act(message)));
    town.world.run_ms(8_000);
    let phones = [phone(&mut town, 0, "alice"), phone(&mut town, 1, "bob")];
    town.world.run_ms(100_000);
    assert!(call(&mut town, phones, "bob"), "{told:?}: by the server");
    town.server_is(Fate::Drop);
    town.world.run_ms(60_000);
    assert!(call(&mut town, phones, "bob"), "{told:?}: over the overlay");
    town.server_is(Fate::Deliver);
    town.world.run_ms(60_000);
    // Somebody speaks while the clocks jump.
    let aor = format!("sip:bob@{DOMAIN}");
    town.world.order(phones[0], |node, now| node.phone().call(now, &aor));
    town.world.run_ms(5_000);
    let before = town.status(0)["time_known"].as_bool().unwrap();
    if [Told::Later, Told::Wrong].contains(&told) {
        town.epoch_s = EPOCH_S - town.epoch_s;
        (0..2).for_each(|router| town.set_clock(router));
    }
    let after = town.status(0)["time_known"].as_bool().unwrap();
    town.world.run_ms(30_000);
    for place in phones {
        assert!(reports(&mut town, place).pop().unwrap().ended.is_none(), "{told:?}: it goes on");
    }
    town.world.order(phones[1], |node, now| node.phone().hang_up_all(now));
    // What the provider has granted is renewed meanwhile.
    town.world.run_ms(40 * 60_000);
    for router in 0..2 {
        let phones = town.status(router)["phones"].clone();
        assert_eq!(phones.as_array().unwrap().len(), 1, "{told:?}: {phones}");
    }
    town.server_is(Fate::Drop);
    town.world.run_ms(60_000);
    assert!(call(&mut town, [phones[1], phones[0]], "alice"), "{told:?}: and back");
    let packets = town.world.log.clone();
    town.finish();
    Evening { packets, known: [before, after] }
}

#[test]
fn not_a_byte_on_the_network_depends_on_the_time_or_on_a_jump_out_of_1970_or_back() {
    let told = evening(Told::AtTheStart);
    let others = [Told::Later, Told::Never, Told::Wrong].map(evening);
    assert_eq!(told.known, [true, true]);
    let known = others.each_ref().map(|other| other.known);
    assert_eq!(known, [[false, true], [false, false], [true, false]]);
    for other in others.iter().map(|other| &other.packets) {
        let differs = told.packets.iter().zip(other).find(|(one, other)| one != other);
        assert!(differs.is_none(), "{differs:?}");
        assert_eq!(told.packets.len(), other.len());
    }
}

/// A router that starts in 1970, and a phone that it registers there; what its flash or its memory
/// keeps is written then.
fn noted_in_1970() -> (Town, Phone) {
    let mut town = Town::empty(1);
    town.epoch_s = 0;
    for number in 1..=3 {
        town.add_router(number, |_| {});
    }
    town.world.autos.insert(server(), Box::new(registrar));
    town.world.run_ms(8_000);
    let alice = town.registered(0, 1, "alice");
    (town, alice)
}

#[test]
fn what_the_last_run_noted_in_1970_is_no_older_for_a_router_that_starts_with_the_time() {
    let (mut town, alice) = noted_in_1970();
    town.epoch_s = EPOCH_S;
    town.restart(0);
    town.world.run_ms(10_000);
    let phones = town.status(0)["phones"].clone();
    assert_eq!(phones[0]["registered"], true, "{phones}");
    assert_eq!(town.finds(1, &alice.aor()), 1);
    town.finish();
}

#[test]
fn a_phone_that_flash_has_from_1970_is_served_without_its_server_by_a_router_with_the_time() {
    let (mut town, mut alice) = noted_in_1970();
    town.epoch_s = EPOCH_S;
    town.world.files.retain(|(_, file, _)| *file != File::Volatile);
    town.server_is(Fate::Drop);
    town.restart(0);
    // Time enough to forget those that are old.
    town.world.run_ms(10_000);
    alice.call_id = "after-its-start".into();
    town.register(&mut alice, 3600);
    town.world.expect(alice.at, "200 REGISTER", 2_100);
    town.world.run_ms(1_500);
    assert_eq!(town.finds(1, &alice.aor()), 1);
    town.finish();
}

#[test]
fn a_phone_of_the_last_run_is_served_by_a_router_that_is_in_1970_again_and_told_the_time_later() {
    let (mut town, mut alice, _) = two();
    town.world.files.retain(|(_, file, _)| *file != File::Volatile);
    town.server_is(Fate::Drop);
    town.epoch_s = 0;
    town.restart(0);
    town.world.run_ms(10_000);
    alice.call_id = "after-its-start".into();
    town.register(&mut alice, 3600);
    town.world.expect(alice.at, "200 REGISTER", 2_100);
    town.epoch_s = EPOCH_S;
    town.set_clock(0);
    town.world.run_ms(20_000);
    assert_eq!(town.finds(1, &alice.aor()), 1);
    // Its time runs out, and it is known still.
    town.world.run_ms(300_000);
    assert_eq!(town.finds(1, &alice.aor()), 0);
    town.register(&mut alice, 3600);
    town.world.expect(alice.at, "200 REGISTER", 2_100);
    town.finish();
}

/// Whoever is away for longer than `survive_days` is forgotten, also by a router that got the time
/// late: the jump is no excuse for ever.
#[test]
fn a_phone_noted_in_1970_is_forgotten_when_it_has_been_away_for_long_since() {
    let (mut town, mut alice) = noted_in_1970();
    town.epoch_s = EPOCH_S;
    town.set_clock(0);
    town.world.run_ms(300_000);
    assert_eq!(town.status(0)["phones"].as_array().unwrap().len(), 1, "known");
    town.epoch_s += 8 * 86_400;
    town.set_clock(0);
    town.world.run_ms(10_000);
    town.server_is(Fate::Drop);
    town.register(&mut alice, 3600);
    town.world.nothing(alice.at, "200", 5_000);
    town.finish();
}
