//! The server fails at any message of a call: the call is answered all the same, and rings once.

use crate::net::{Fate, Packet};
use crate::node::Node;
use crate::provider::Proxy;
use crate::town::{DOMAIN, Town, server};
use cosip::lab::phone::{Phone, Report, Settings};
use cosip::rng::Rng;
use cosip::time::Duration;

const SEEDS: u64 = 150;

/// How the server fails.
#[derive(Clone, Copy, Debug)]
enum Failure {
    Silent,
    Refusing,
    /// It hangs, and then goes on with all that waited.
    Frozen(Duration),
}

fn phone(town: &mut Town, router: usize, user: &str, ring: Duration) -> usize {
    let lan = std::net::IpAddr::from([192, 168, router as u8 + 1, 20]);
    let settings = Settings {
        user: user.into(),
        domain: DOMAIN.into(),
        sip: (lan, 5060).into(),
        media: (lan, 4000).into(),
        proxy: town.routers[router].proxy(),
        relay: Some(town.routers[router].lan),
        password: None,
        ring,
        expires: Duration::from_secs(3600),
    };
    let seed = town.world.rng.bytes();
    let place = town.world.add(Node::Phone(Box::new(Phone::new(settings, seed))));
    town.world.order(place, |node, now| node.phone().register(now));
    place
}

/// Fails from message `after` of the call on.
fn failing(failure: Failure, after: u32) -> impl FnMut(&Packet) -> Fate {
    let mut seen = 0;
    move |packet| {
        if packet.from != server() && packet.to != server() {
            return Fate::Deliver;
        }
        seen += 1;
        match failure {
            _ if seen <= after => Fate::Deliver,
            Failure::Silent => Fate::Drop,
            Failure::Refusing if packet.to == server() => Fate::Refuse,
            Failure::Refusing => Fate::Drop,
            Failure::Frozen(_) if packet.from == server() => Fate::Deliver,
            Failure::Frozen(more) => Fate::Delay(more),
        }
    }
}

fn reports(town: &mut Town, place: usize) -> Vec<Report> {
    town.world.order(place, |node, _| node.phone().reports().cloned().collect())
}

fn brief(report: &Report) -> String {
    let Report { alerted, answered, confirmed, ended, status, .. } = report;
    format!("{status} {alerted:?} {answered:?} {confirmed:?} {ended:?}")
}

fn play(seed: u64, loss_percent: u32) {
    let mut rng = Rng::new(core::array::from_fn(|at| (seed >> (8 * (at % 2))) as u8));
    let mut town = Town::with(seed, |_| {});
    let mut proxy = Proxy::default();
    town.world.autos.insert(server(), Box::new(move |message| proxy.act(message)));
    let ring = Duration::from_millis(u64::from(rng.below(2_500)));
    let alice = phone(&mut town, 0, "alice", ring);
    let bob = phone(&mut town, 1, "bob", ring);
    town.world.run_ms(4_000);
    let hang = Duration::from_millis(1_000 + u64::from(rng.below(9_000)));
    let failure = match rng.below(3) {
        0 => Failure::Silent,
        1 => Failure::Refusing,
        _ => Failure::Frozen(hang),
    };
    let after = rng.below(14);
    let what =
        format!("seed {seed}, {loss_percent} % lost: {failure:?} after {after}, ring {ring:?}");
    town.world.rule = Some(Box::new(failing(failure, after)));
    town.world.loss_percent = loss_percent;
    town.world.jitter = Duration::from_millis(u64::from(rng.below(30)));
    town.world.order(alice, |node, now| node.phone().call(now, &format!("sip:bob@{DOMAIN}")));
    town.world.run_ms(15_000);
    let caller = reports(&mut town, alice).remove(0);
    let callees = reports(&mut town, bob);
    assert_eq!(callees.len(), 1, "{what}: one ring");
    let callee = &callees[0];
    for (who, report) in [("Alice", &caller), ("Bob", callee)] {
        assert!(report.confirmed.is_some(), "{what}: {who} stands in a call: {}", brief(report));
        assert!(report.ended.is_none(), "{what}: {who} is still in it");
        assert!(report.sound.received > 100, "{what}: {who} hears: {:?}", report.sound.received);
    }
    town.world.loss_percent = 0;
    let setup = caller.setup().unwrap();
    assert!(
        setup < ring + Duration::from_millis(6_500 + u64::from(loss_percent) * 1_000),
        "{what}: answered after {setup:?}"
    );
    let place = if rng.below(2) == 0 { alice } else { bob };
    town.world.order(place, |node, now| node.phone().hang_up_all(now));
    town.world.run_ms(3_000);
    for place in [alice, bob] {
        let report = reports(&mut town, place).remove(0);
        assert!(report.ended.is_some(), "{what}: ended on both sides");
    }
    town.finish_as(&what);
}

#[test]
fn whatever_message_the_server_fails_at_the_call_is_answered_and_rings_once() {
    play_all(0);
}

#[test]
fn the_same_holds_where_packets_are_lost() {
    play_all(2);
}

fn play_all(loss_percent: u32) {
    let failed: Vec<String> = (0..SEEDS)
        .filter_map(|seed| {
            let played = std::panic::catch_unwind(|| play(seed, loss_percent));
            played.err().map(|why| {
                let why = why.downcast_ref::<String>().cloned();
                why.unwrap_or_else(|| "?".into())
            })
        })
        .collect();
    assert!(failed.is_empty(), "{} of {SEEDS}:\n{}", failed.len(), failed.join("\n"));
}
