//! Telephones that talk through their provider's machine, and the machine dies.

use crate::net::{Fate, Packet};
use crate::node::Node;
use crate::outages::{phone, reports};
use crate::town::{DOMAIN, Town, server};
use cosip::lab::part::Part;
use cosip::lab::server::b2bua::{B2bua, Diversion, Presentation, Settings};
use cosip::time::Duration;
use std::net::SocketAddr;

const ANCHOR_PORT: u16 = 20_000;

/// A town whose provider is a B2BUA through which all sound goes; its server, Alice, Bob.
fn anchored(presentation: Presentation, homes: [usize; 2]) -> (Town, usize, [usize; 2]) {
    let mut town = Town::with(1, |_| {});
    town.world.autos.remove(&server());
    let settings = Settings {
        listen: server(),
        password: None,
        presentation,
        pace: Duration::ZERO,
        dialling: Duration::ZERO,
        reliable: false,
        hasty: false,
        diversion: Diversion::None,
        patience: Duration::from_secs(60),
        anchor: Some((server().ip(), ANCHOR_PORT).into()),
    };
    let seed = town.world.rng.bytes();
    let house = town.world.add(Node::Part(Part::B2bua(Box::new(B2bua::new(settings, seed)))));
    let phones = [phone(&mut town, homes[0], "alice"), phone(&mut town, homes[1], "bob")];
    // Until each has had a probe answered: before, silence to one proves nothing.
    town.world.run_ms(130_000);
    let call = format!("sip:bob@{DOMAIN}");
    town.world.order(phones[0], |node, now| node.phone().call(now, &call));
    town.world.run_ms(5_000);
    (town, house, phones)
}

/// How many packets each phone has heard.
fn heard(town: &mut Town, phones: [usize; 2]) -> [u32; 2] {
    phones.map(|place| reports(town, place)[0].sound.received)
}

fn counter(town: &mut Town, router: usize, name: &str) -> u64 {
    town.status(router)["counters"][name].as_u64().unwrap()
}

/// Milliseconds until both hear each other again, within `limit_ms`.
fn silence(town: &mut Town, phones: [usize; 2], limit_ms: u64) -> Option<u64> {
    for waited in (0..limit_ms).step_by(100) {
        let before = heard(town, phones);
        town.world.run_ms(100);
        let after = heard(town, phones);
        if (0..2).all(|phone| after[phone] >= before[phone] + 4) {
            return Some(waited);
        }
    }
    None
}

fn hang_up(mut town: Town, house: usize, phones: [usize; 2], what: &str) {
    town.world.order(phones[1], |node, now| node.phone().hang_up_all(now));
    town.world.run_ms(2_500);
    for place in phones {
        assert!(reports(&mut town, place)[0].ended.is_some(), "{what}: over at both ends");
    }
    town.world.deaf.remove(&house);
    town.world.rule = None;
    town.finish_as(what);
}

#[test]
fn speech_goes_on_between_the_routers_when_the_machine_dies_with_its_server() {
    for presentation in [Presentation::Own, Presentation::Asserted, Presentation::Withheld] {
        for homes in [[0, 1], [0, 0]] {
            let what = format!("{presentation:?} {homes:?}");
            let (mut town, house, phones) = anchored(presentation, homes);
            let direct = town.world.log.iter().filter(|packet| between_routers(packet)).count();
            assert!(heard(&mut town, phones).iter().all(|heard| *heard > 100), "{what}");
            assert_eq!(direct, 0, "{what}: the provider has the sound");
            town.world.deaf.insert(house);
            let silence = silence(&mut town, phones, 90_000);
            println!("{what}: silent for {silence:?} ms");
            assert!(silence.is_some_and(|ms| ms < 8_000), "{what}: {silence:?}");
            for router in homes {
                assert_eq!(counter(&mut town, router, "media_moves_refused"), 0, "{what}");
            }
            let before = heard(&mut town, phones);
            town.world.run_ms(10_000);
            let after = heard(&mut town, phones);
            for phone in 0..2 {
                assert!(after[phone] - before[phone] > 490, "{what}: {before:?} {after:?}");
            }
            let moved = [0, 1].map(|router| counter(&mut town, router, "media_moved"));
            assert_eq!(moved.iter().sum::<u64>(), 2, "{what}: one moves, one follows");
            hang_up(town, house, phones, &what);
        }
    }
}

/// Sound on its way from one router to the other.
fn between_routers(packet: &Packet) -> bool {
    let media = |address: &SocketAddr| {
        let outside = matches!(address.ip(), std::net::IpAddr::V4(ip) if ip.octets()[0] == 203);
        outside && (30_000..30_200).contains(&address.port())
    };
    media(&packet.from) && media(&packet.to)
}

#[test]
fn speech_that_flows_is_never_moved_though_the_server_is_down() {
    let (mut town, house, phones) = anchored(Presentation::Own, [0, 1]);
    town.server_is(Fate::Drop);
    // A probe a minute, and then as long as it takes to be sure.
    town.world.run_ms(100_000);
    assert_eq!([town.verdict(0), town.verdict(1)], ["down", "down"]);
    let before = heard(&mut town, phones);
    town.world.run_ms(5_000);
    let after = heard(&mut town, phones);
    assert!((0..2).all(|phone| after[phone] - before[phone] > 240));
    for router in 0..2 {
        assert_eq!(counter(&mut town, router, "media_moved"), 0);
    }
    assert!(!town.world.log.iter().any(between_routers));
    hang_up(town, house, phones, "speech flows");
}

#[test]
fn a_wish_to_move_what_the_other_end_still_hears_is_refused_and_counted() {
    let (mut town, house, phones) = anchored(Presentation::Own, [0, 1]);
    // The server is gone for Alice's router alone, and so is its machine's sound to her.
    let alice = town.routers[0].wan;
    town.world.rule = Some(Box::new(move |packet: &Packet| {
        let gone = packet.to.ip() == alice && packet.from.ip() == server().ip()
            || packet.from.ip() == alice && packet.to == server();
        if gone { Fate::Drop } else { Fate::Deliver }
    }));
    town.world.run_ms(100_000);
    assert_eq!([town.verdict(0), town.verdict(1)], ["down", "up"]);
    let refused = counter(&mut town, 1, "media_moves_refused");
    assert!((1..=10).contains(&refused), "{refused}: asked a few times, refused each time");
    for router in 0..2 {
        assert_eq!(counter(&mut town, router, "media_moved"), 0);
    }
    town.world.rule = None;
    hang_up(town, house, phones, "one end hears");
}

#[test]
fn silence_that_is_the_machines_alone_moves_nothing_and_costs_one_probe() {
    let (mut town, house, phones) = anchored(Presentation::Own, [0, 1]);
    // The server lives and answers: only its sound is gone.
    town.world.rule = Some(Box::new(|packet: &Packet| {
        let sound = packet.from.ip() == server().ip() && packet.from.port() >= ANCHOR_PORT;
        if sound { Fate::Drop } else { Fate::Deliver }
    }));
    let start = town.world.log.len();
    town.world.run_ms(25_000);
    for router in 0..2 {
        assert_eq!(town.verdict(router), "up");
        assert_eq!(counter(&mut town, router, "media_moved"), 0);
        let wan = town.routers[router].wan;
        let probes =
            |packet: &&Packet| packet.from.ip() == wan && packet.data.starts_with(b"OPTIONS");
        let probes = town.world.log[start..].iter().filter(probes).count();
        assert!((1..=2).contains(&probes), "{probes}: once for the silence, and by the clock");
    }
    hang_up(town, house, phones, "the machine is gone");
}
