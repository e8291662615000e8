//! Servers that flap, and servers that come back with an empty location table, while calls go on.

use crate::net::{Fate, Packet};
use crate::node::Node;
use crate::provider::Proxy;
use crate::town::{DOMAIN, Town, server};
use cosip::lab::part::Part;
use cosip::lab::phone::{Habits, Phone, Report, Settings};
use cosip::time::Duration;
use std::cell::RefCell;
use std::rc::Rc;

const RING: Duration = Duration::from_millis(400);

/// A telephone of the lab behind a router, which registers.
pub(crate) fn phone(town: &mut Town, router: usize, user: &str) -> usize {
    let host = 20 + town.world.nodes.len() as u8;
    let core = telephone(town, router, host, user);
    let place = town.world.add(core);
    town.world.order(place, |node, now| node.phone().register(now));
    place
}

/// A telephone of the lab behind a router, fresh from its box.
pub(crate) fn telephone(town: &mut Town, router: usize, host: u8, user: &str) -> Node {
    let lan = std::net::IpAddr::from([192, 168, router as u8 + 1, host]);
    let settings = Settings {
        user: user.into(),
        domain: DOMAIN.into(),
        sip: (lan, 5060).into(),
        media: (lan, 4000).into(),
        proxy: town.routers[router].proxy(),
        relay: Some(town.routers[router].lan),
        password: None,
        ring: RING,
        expires: Duration::from_secs(3600),
        habits: Habits::default(),
    };
    let seed = town.world.rng.bytes();
    Node::Part(Part::Phone(Box::new(Phone::new(settings, seed))))
}

pub(crate) fn reports(town: &mut Town, place: usize) -> Vec<Report> {
    town.world.order(place, |node, _| node.phone().reports().cloned().collect())
}

/// Alice and Bob, each at home, and a server that carries calls and can lose its memory.
struct Stage {
    town: Town,
    phones: [usize; 2],
    proxy: Rc<RefCell<Proxy>>,
    /// Calls so far, and those of them that failed.
    calls: usize,
    lost: Vec<String>,
}

impl Stage {
    fn new(seed: u64) -> Self {
        let mut town = Town::with(seed, |_| {});
        let proxy = Rc::new(RefCell::new(Proxy::default()));
        let acting = proxy.clone();
        let act = move |message: &crate::sip::Msg| acting.borrow_mut().act(message);
        town.world.autos.insert(server(), Box::new(act));
        let alice = phone(&mut town, 0, "alice");
        let bob = phone(&mut town, 1, "bob");
        town.world.run_ms(4_000);
        Self { town, phones: [alice, bob], proxy, calls: 0, lost: Vec::new() }
    }

    /// One calls the other, they speak, and one of them hangs up.
    fn call(&mut self) {
        let caller = self.calls % 2;
        let [from, to] = [self.phones[caller], self.phones[1 - caller]];
        let callee = ["bob", "alice"][caller];
        let started = self.town.world.now.millis();
        let before = reports(&mut self.town, to).len();
        self.town
            .world
            .order(from, |node, now| node.phone().call(now, &format!("sip:{callee}@{DOMAIN}")));
        self.town.world.run_ms(3_000);
        let ends = [from, to].map(|place| reports(&mut self.town, place));
        let last = |at: usize| ends[at].last().filter(|report| report.confirmed.is_some());
        let stand = last(0).is_some() && last(1).is_some_and(|r| r.ended.is_none());
        let rings = ends[1].len() - before;
        self.calls += 1;
        let place = self.phones[self.calls / 2 % 2];
        self.town.world.order(place, |node, now| node.phone().hang_up_all(now));
        self.town.world.run_ms(2_500);
        let over = [from, to].map(|place| reports(&mut self.town, place));
        let over = over.iter().all(|all| all.last().is_some_and(|r| r.ended.is_some()));
        if !stand || !over || rings != 1 {
            let caller = ends[0].last().map(|report| report.status);
            let what = format!("at {started}: {caller:?}, stands {stand}, rings {rings}, {over}");
            self.lost.push(what);
        }
    }

    /// Changes between up and down in a router's history; a suspicion is none.
    fn verdicts(&mut self, router: usize) -> Vec<String> {
        let history = self.town.status(router)["servers"][0]["history"].clone();
        let states = history.as_array().unwrap().iter().map(|c| c["state"].as_str().unwrap());
        let mut states: Vec<String> =
            states.filter(|state| *state != "suspect").map(str::to_owned).collect();
        states.dedup();
        states
    }
}

/// 5 s up, 5 s down, for ten minutes.
#[test]
fn a_flapping_server_fails_no_call_and_changes_the_verdict_six_times_at_most() {
    for seed in 1..=3 {
        let mut stage = Stage::new(seed);
        let start = stage.town.world.now;
        let flaps = move |packet: &Packet| {
            let down = packet.at.since(start).as_secs() / 5 % 2 == 1;
            let server = packet.from == server() || packet.to == server();
            if server && down { Fate::Drop } else { Fate::Deliver }
        };
        stage.town.world.rule = Some(Box::new(flaps));
        while stage.town.world.now.since(start) < Duration::from_secs(600) {
            stage.call();
            stage.town.world.run_ms(700);
        }
        let changes = [0, 1].map(|router| stage.verdicts(router).len());
        println!(
            "flapping server, seed {seed}: {} calls, {} failed; changes of verdict {changes:?}",
            stage.calls,
            stage.lost.len()
        );
        assert!(stage.calls > 90, "{}", stage.calls);
        assert!(stage.lost.is_empty(), "{:#?}", stage.lost);
        assert!(changes.iter().all(|changes| *changes <= 6), "{changes:?}");
        stage.town.finish();
    }
}

/// The location table is empty after a restart: of an outage that was seen, and of one that was
/// too short to be seen.
#[test]
fn no_call_is_lost_in_the_hour_after_a_restart_with_an_empty_table() {
    for (seed, outage_ms) in [(1, 0), (2, 12_000), (3, 120_000)] {
        let mut stage = Stage::new(seed);
        stage.call();
        stage.town.server_is(Fate::Drop);
        stage.town.world.run_ms(outage_ms);
        *stage.proxy.borrow_mut() = Proxy::default();
        stage.town.server_is(Fate::Deliver);
        for _ in 0..60 {
            stage.call();
            stage.town.world.run_ms(54_500);
        }
        println!(
            "server restarted empty after {outage_ms} ms: {} calls in the hour after, {} lost",
            stage.calls - 1,
            stage.lost.len()
        );
        assert!(stage.lost.is_empty(), "{:#?}", stage.lost);
        stage.town.finish();
    }
}
