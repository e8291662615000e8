//! The provider fails at the evening's peak: every phone in town calls, no call may fail, and when
//! the provider is back nobody crushes it.

use crate::net::Fate;
use crate::outages::{phone, reports};
use crate::provider::Proxy;
use crate::town::{DOMAIN, Town, server};
use cosip::time::Instant;
use std::collections::BTreeMap;

const ROUTERS: u8 = 16;
const PHONES: usize = 2;
/// Everybody calls within this time.
const PEAK_MS: u64 = 10_000;
/// Datagrams that one router's overlay gets in a second, and REGISTERs that the server gets.
const OVERLAY_MAX: usize = 200;
const REGISTERS_MAX: usize = 4;

struct Evening {
    town: Town,
    phones: Vec<usize>,
}

impl Evening {
    fn new(seed: u64) -> Self {
        let mut town = Town::with(seed, |_| {});
        for number in 4..=ROUTERS {
            town.add_router(number, |_| {});
        }
        let mut proxy = Proxy::default();
        town.world.autos.insert(server(), Box::new(move |message| proxy.act(message)));
        town.world.run_ms(10_000);
        let homes = (0..usize::from(ROUTERS)).flat_map(|router| [router; PHONES]);
        let phones: Vec<_> = (0..)
            .zip(homes)
            .map(|(at, router): (usize, usize)| {
                // Phones are not all switched on at the same moment.
                let pause = town.world.rng.below(4_000);
                town.world.run_ms(u64::from(pause));
                phone(&mut town, router, &format!("u{at}"))
            })
            .collect();
        town.world.run_ms(10_000);
        Self { town, phones }
    }

    /// One half calls the other, each somebody at another router; who was not heard.
    fn everybody_calls(&mut self, callers: usize) -> Vec<String> {
        let half = self.phones.len() / 2;
        let mut failed = Vec::new();
        let pair = |at: usize| {
            let ends = [at, half + (at + 1) % half];
            if callers == 0 { ends } else { [ends[1], ends[0]] }
        };
        for at in 0..half {
            let [from, to] = pair(at);
            let aor = format!("sip:u{to}@{DOMAIN}");
            self.town.world.order(self.phones[from], |node, now| node.phone().call(now, &aor));
            self.town.world.run_ms(PEAK_MS / half as u64);
        }
        self.town.world.run_ms(5_000);
        for at in 0..half {
            let [from, to] = pair(at).map(|end| {
                let last = reports(&mut self.town, self.phones[end]).pop();
                last.filter(|report| report.confirmed.is_some() && report.ended.is_none())
            });
            if from.is_none() || to.is_none() {
                failed.push(format!("{:?}", pair(at)));
            }
        }
        for place in self.phones.clone() {
            self.town.world.order(place, |node, now| node.phone().hang_up_all(now));
        }
        self.town.world.run_ms(3_000);
        failed
    }

    /// The most packets that one end got in one second since `from`, of those that count.
    fn busiest(&self, from: Instant, counts: impl Fn(&crate::net::Packet) -> bool) -> usize {
        let mut seconds = BTreeMap::new();
        for packet in self.town.world.log.iter().filter(|it| it.at >= from && counts(it)) {
            *seconds.entry((packet.to, packet.at.millis() / 1000)).or_insert(0) += 1;
        }
        seconds.into_values().max().unwrap_or(0)
    }
}

#[test]
fn a_provider_that_fails_at_the_peak_costs_no_call_and_is_not_crushed_when_it_is_back() {
    let mut evening = Evening::new(1);
    let began = evening.town.world.now;
    evening.town.server_is(Fate::Drop);
    assert_eq!(evening.everybody_calls(0), Vec::<String>::new());
    assert_eq!(evening.everybody_calls(1), Vec::<String>::new());
    // Half an hour later the server is back, and remembers nobody.
    evening.town.world.run_ms(30 * 60_000);
    let mut proxy = Proxy::default();
    evening.town.world.autos.insert(server(), Box::new(move |message| proxy.act(message)));
    let back = evening.town.world.now;
    evening.town.server_is(Fate::Deliver);
    evening.town.world.run_ms(20 * 60_000);
    assert_eq!(evening.everybody_calls(0), Vec::<String>::new());
    let overlay = evening.busiest(began, |packet| packet.to.port() == 5070);
    let registers =
        |packet: &crate::net::Packet| packet.to == server() && packet.data.starts_with(b"REGISTER");
    let registers = evening.busiest(back, registers);
    println!(
        "at most {overlay} overlay datagrams for a router, {registers} REGISTERs, in a second"
    );
    assert!(overlay <= OVERLAY_MAX && registers <= REGISTERS_MAX && registers > 0);
    evening.town.finish();
}
