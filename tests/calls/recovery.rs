//! After an outage: adapters come back to the server one after another, never as a storm.

use crate::account::account;
use crate::net::{Fate, Packet};
use crate::provider::registrar;
use crate::town::{DOMAIN, Phone, Town, server};
use std::collections::BTreeMap;

/// Requests to the server in each whole second, sent again or not.
fn per_second(town: &Town, from_ms: u64, method: &[u8]) -> BTreeMap<u64, usize> {
    let mut seconds = BTreeMap::new();
    let is = |p: &&Packet| p.to == server() && p.data.starts_with(method);
    for packet in town.world.log.iter().filter(is).filter(|p| p.at.millis() >= from_ms) {
        *seconds.entry(packet.at.millis() / 1000).or_default() += 1;
    }
    seconds
}

/// 32 phones at each of three routers, which refresh every minute.
fn homes() -> (Town, Vec<Phone>) {
    let mut town = Town::new();
    town.world.autos.insert(server(), Box::new(registrar));
    let mut phones = Vec::new();
    for router in 0..3 {
        for number in 0..32 {
            let mut phone = town.phone(router, number, &format!("p{router}x{number}"));
            town.register(&mut phone, 3600);
            town.world.expect(phone.at, "200 REGISTER", 100);
            phones.push(phone);
        }
    }
    (town, phones)
}

/// Every phone refreshes once within a minute, and is answered at once.
fn a_minute(town: &mut Town, phones: &mut [Phone]) {
    let gap = 60_000 / phones.len() as u64;
    for phone in phones {
        town.world.run_ms(gap);
        town.register(phone, 3600);
        town.world.expect(phone.at, "200 REGISTER", 2_100);
    }
}

/// A power cut in a district ends the adapters too: they come back while the server is away.
#[test]
fn phones_of_the_last_run_are_registered_over_a_quarter_of_an_hour_too() {
    const PHONES: u8 = 20;
    let user = |number: u8| format!("p{number}");
    let mut town = Town::with(1, |config| {
        config.accounts = (0..PHONES).map(|number| account(&user(number))).collect();
    });
    let mut phones: Vec<Phone> =
        (0..PHONES).map(|number| town.phone(0, number, &user(number))).collect();
    a_minute(&mut town, &mut phones);
    town.world.run_ms(10_000);
    town.server_is(Fate::Drop);
    town.restart(0);
    a_minute(&mut town, &mut phones);
    assert_eq!(town.verdict(0), "down");
    let back = town.world.now.millis();
    town.world.fates.clear();
    for _ in 0..18 {
        a_minute(&mut town, &mut phones);
    }
    assert_eq!(town.verdict(0), "up");
    let seconds = per_second(&town, back, b"REGISTER");
    let (all, most) = (seconds.values().sum::<usize>(), seconds.values().max().unwrap());
    assert!(all >= usize::from(PHONES), "every phone is registered again: {seconds:?}");
    assert!(*most <= 4, "{most} in one second: {seconds:?}");
    town.finish();
}

#[test]
fn while_down_registers_are_paced_and_after_it_they_are_spread() {
    let (mut town, mut phones) = homes();
    a_minute(&mut town, &mut phones);
    // Nobody speaks for a while: the server is probed, and answers.
    town.world.run_ms(80_000);
    let down = town.world.now.millis();
    town.server_is(Fate::Drop);
    // Notice it, as a call would.
    let invite = phones[0].invite(&format!("sip:nobody@{DOMAIN}"), "c1");
    town.say(&phones[0].clone(), invite);
    for _ in 0..30 {
        a_minute(&mut town, &mut phones);
    }
    let asked: usize = per_second(&town, down, b"REGISTER").values().sum();
    let probes: usize = per_second(&town, down, b"OPTIONS").values().sum();
    println!("30 min of outage: {asked} REGISTERs and {probes} OPTIONS, repeats included");
    // Each router asks once in 30 to 60 s, and more often at the beginning alone.
    assert!(asked > 0 && asked + probes <= 3 * 80, "{asked} and {probes}");
    let back = town.world.now.millis();
    town.world.fates.clear();
    for _ in 0..20 {
        a_minute(&mut town, &mut phones);
    }
    assert_eq!([town.verdict(0), town.verdict(1), town.verdict(2)], ["up", "up", "up"]);
    let seconds = per_second(&town, back, b"REGISTER");
    let (all, most) = (seconds.values().sum::<usize>(), seconds.values().max().unwrap());
    println!("after it: {all} REGISTERs of 96 phones, at most {most} in one second");
    assert!(all >= 96, "every phone is registered again");
    let first: Vec<u64> = seconds.keys().copied().collect();
    let span = first.last().unwrap() - first[0];
    assert!(span >= 700, "spread over a quarter of an hour, not {span} s");
    assert!(*most <= 4, "{most} in one second");
    town.finish();
}
