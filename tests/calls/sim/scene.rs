//! Plays a plan: builds the town, lets people act, and gathers the evidence.

use super::evidence::{End, Evidence, Seen};
use super::plan::{BOB, CAROL, Diverts, Failure, House, Plan, USERS};
use crate::net::{Fate, Packet};
use crate::node::Node;
use crate::sip::Msg;
use crate::town::{DOMAIN, Town, server};
use cosip::lab::part::Part;
use cosip::lab::phone::{Phone, Report, Settings};
use cosip::lab::server::{Server, b2bua};
use cosip::time::{Duration, Instant};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

/// The house's password.
const PASSWORD: &str = "secret";
/// How long a call may take to be set up or to end, beyond what people take.
const SLACK: Duration = Duration::from_secs(20);
/// How long they talk.
const TALK_MS: u64 = 2_500;
/// Until then what is left of an INVITE that was lost, and of the BYE of its late answer, is gone.
const REST_MS: u64 = 75_000;
/// Until then what was asked of a dead server is answered, once it lives, or timed out (64*T1).
const UPKEEP_MS: u64 = 45_000;

/// What the rule of the network and the scene both know of the server.
#[derive(Default)]
struct Watch {
    /// Messages of calls at the server so far.
    count: u32,
    failed: Option<(Instant, String)>,
}

struct Scene<'p> {
    plan: &'p Plan,
    town: Town,
    server: usize,
    phones: [usize; 3],
    watch: Rc<RefCell<Watch>>,
    log: Vec<String>,
}

/// Plays.
pub(super) fn play(plan: &Plan) -> Evidence {
    let mut scene = Scene::new(plan);
    let started = scene.begin();
    let mark = scene.town.world.log.len();
    scene.set_up(started);
    let first = scene.reports();
    scene.run(TALK_MS);
    let talking = scene.reports();
    scene.hang_up();
    scene.run(4_500);
    let over = scene.reports();
    scene.rest();
    scene.gather(started, mark, [first, talking, over])
}

fn core(plan: &Plan, seed: [u8; 32]) -> Node {
    let password = plan.challenges.then(|| PASSWORD.to_owned());
    let House::B2bua { presentation, pace, dialling, reliable, hasty, diverts, patience } =
        plan.house
    else {
        return Node::Part(Part::Server(Box::new(Server::new(server(), password, seed))));
    };
    let diversion = match diverts {
        Diverts::Never => b2bua::Diversion::None,
        Diverts::ToMailbox => b2bua::Diversion::Mailbox((server().ip(), 20_000).into()),
        Diverts::ToCarol => b2bua::Diversion::Forward(aor(CAROL)),
    };
    let listen = server();
    let settings = b2bua::Settings {
        listen,
        password,
        presentation,
        pace,
        dialling,
        reliable,
        hasty,
        diversion,
        patience,
        anchor: None,
    };
    Node::Part(Part::B2bua(Box::new(b2bua::B2bua::new(settings, seed))))
}

fn aor(phone: usize) -> String {
    format!("sip:{}@{DOMAIN}", USERS[phone])
}

fn phone_sip(plan: &Plan, phone: usize) -> SocketAddr {
    let lan = [192, 168, plan.homes[phone] as u8 + 1, 20 + phone as u8];
    (IpAddr::from(lan), 5060).into()
}

impl<'p> Scene<'p> {
    fn new(plan: &'p Plan) -> Self {
        let mut town = Town::with(plan.seed, |config| {
            config.providers[0].country_code = "49".into();
            config.providers[0].area_code = "89".into();
        });
        let seed = town.world.rng.bytes();
        let server = town.world.add(core(plan, seed));
        let phones = core::array::from_fn(|phone| {
            let sip = phone_sip(plan, phone);
            let router = &town.routers[plan.homes[phone]];
            let settings = Settings {
                user: USERS[phone].into(),
                domain: DOMAIN.into(),
                sip,
                media: (sip.ip(), 4000).into(),
                proxy: router.proxy(),
                relay: Some(router.lan),
                password: plan.challenges.then(|| PASSWORD.to_owned()),
                ring: plan.ring,
                expires: Duration::from_secs(3600),
                habits: plan.habits[phone],
            };
            let seed = town.world.rng.bytes();
            town.world.add(Node::Part(Part::Phone(Box::new(Phone::new(settings, seed)))))
        });
        town.world.run_ms(50);
        for place in phones {
            town.world.order(place, |node, now| node.phone().register(now));
        }
        town.world.run_ms(4_000);
        let watch = Rc::default();
        Self { plan, town, server, phones, watch, log: Vec::new() }
    }

    /// Sets what the network is like from now on.
    fn begin(&mut self) -> Instant {
        let plan = self.plan;
        let places = self.phones;
        for place in places {
            let status = self.town.world.order(place, |n, _| n.phone().registration_status());
            assert_eq!(status, 200, "registered");
        }
        self.town.world.order(places[BOB], |node, _| node.phone().set_manner(plan.bob));
        let world = &mut self.town.world;
        world.jitter = plan.jitter;
        world.loss_percent = plan.loss_percent;
        world.repeat_percent = plan.repeat_percent;
        let (watch, lag, fails) = (Rc::clone(&self.watch), plan.lag, plan.fails);
        world.rule = Some(Box::new(move |packet| {
            let at_server = packet.from == server() || packet.to == server();
            if !at_server {
                return Fate::Deliver;
            }
            let mut watch = watch.borrow_mut();
            if let Some(fails) = fails {
                if let Some((since, _)) = watch.failed {
                    return failed_fate(packet, fails.how, since);
                }
                if let Some(what) = of_a_call(packet) {
                    if watch.count == fails.after {
                        watch.failed = Some((packet.at, format!("before {what}")));
                        return failed_fate(packet, fails.how, packet.at);
                    }
                    watch.count += 1;
                }
            }
            if lag.is_zero() { Fate::Deliver } else { Fate::Delay(lag) }
        }));
        world.now
    }

    fn run(&mut self, ms: u64) {
        let end = self.town.world.now + Duration::from_millis(ms);
        loop {
            let failed = self.watch.borrow().failed.as_ref().map(|(at, _)| *at);
            let left = end.since(self.town.world.now).as_millis() as u64;
            match failed {
                Some(since) => return self.run_failed(since, end),
                None => {
                    let watch = Rc::clone(&self.watch);
                    let fails = move |_: &_| watch.borrow().failed.is_some();
                    if !self.town.world.run_until(left, fails) {
                        return;
                    }
                }
            }
        }
    }

    /// Plays on with a server that has failed: what hangs is deaf, what restarts is another.
    fn run_failed(&mut self, since: Instant, end: Instant) {
        let back = match self.plan.fails.map(|fails| fails.how) {
            Some(Failure::Frozen(hang) | Failure::Restarted(hang)) => since + hang,
            _ => return self.town.world.run_ms(end.since(self.town.world.now).as_millis() as u64),
        };
        let now = self.town.world.now;
        if now < back {
            self.town.world.deaf.insert(self.server);
            let until = back.min(end);
            self.town.world.run_ms(until.since(now).as_millis() as u64);
        }
        let restarts = self.plan.fails.map(|fails| fails.how);
        if self.town.world.now >= back
            && self.town.world.deaf.remove(&self.server)
            && let Some(Failure::Restarted(_)) = restarts
        {
            self.read_log();
            let seed = self.town.world.rng.bytes();
            self.town.world.replace(self.server, core(self.plan, seed));
        }
        let left = end.since(self.town.world.now).as_millis() as u64;
        self.town.world.run_ms(left);
    }

    /// Everybody calls who is to call, and gives up who is to give up, until all callers know.
    fn set_up(&mut self, started: Instant) {
        let plan = self.plan;
        let uri = |national: bool| match national {
            true => format!("sip:0{}@{DOMAIN}", &USERS[BOB][3..]),
            false => aor(BOB),
        };
        let mut due: Vec<(Duration, usize, Option<String>)> = Vec::new();
        for caller in &plan.callers {
            due.push((caller.at, caller.phone, Some(uri(caller.national))));
            due.extend(caller.patience.map(|patience| (caller.at + patience, caller.phone, None)));
        }
        due.sort();
        let last = due.last().map_or(Duration::ZERO, |order| order.0);
        for (at, phone, uri) in due {
            let wait = (started + at).since(self.town.world.now);
            self.run(wait.as_millis() as u64);
            self.town.world.order(self.phones[phone], |node, now| match &uri {
                Some(uri) => {
                    node.phone().call(now, uri);
                }
                // Who talks already does not give up.
                None if node.phone().reports().all(|call| call.answered.is_none()) => {
                    node.phone().hang_up_all(now);
                }
                None => {}
            });
        }
        let end = started + last + plan.ring + SLACK;
        while self.town.world.now < end && !self.is_settled() {
            self.run(100);
        }
        self.run(500);
    }

    /// Whether all callers know what became of their calls, and all who answered that they stand.
    fn is_settled(&mut self) -> bool {
        self.reports().iter().flatten().all(|report| {
            let waits = report.caller || report.answered.is_some();
            !waits || report.confirmed.is_some() || report.ended.is_some()
        })
    }

    fn hang_up(&mut self) {
        let places: Vec<usize> = match self.plan.bob_hangs_up {
            true => vec![self.phones[BOB]],
            false => self.plan.callers.iter().map(|c| self.phones[c.phone]).collect(),
        };
        for place in places {
            self.town.world.order(place, |node, now| node.phone().hang_up_all(now));
        }
    }

    fn reports(&mut self) -> Vec<Vec<Report>> {
        let places = self.phones;
        let world = &mut self.town.world;
        let of = |place| world.order(place, |node, _| node.phone().reports().cloned().collect());
        places.map(of).into()
    }

    /// The network gets well; a server that is to return returns.
    fn rest(&mut self) {
        let world = &mut self.town.world;
        (world.loss_percent, world.repeat_percent) = (0, 0);
        if self.plan.fails.is_none_or(|fails| fails.returns) {
            self.town.world.rule = None;
        }
        let places = self.phones;
        for place in places {
            self.town.world.order(place, |node, now| node.phone().hang_up_all(now));
        }
        self.run(REST_MS);
        // Probes and REGISTERs to a server that is dead would look like something left behind.
        self.town.world.rule = None;
        self.run(UPKEEP_MS);
    }

    fn read_log(&mut self) {
        if let Node::Part(Part::B2bua(house)) = &mut self.town.world.nodes[self.server] {
            self.log.extend(core::iter::from_fn(|| house.poll_log()));
        }
    }

    fn gather(mut self, started: Instant, mark: usize, reports: [Vec<Vec<Report>>; 3]) -> Evidence {
        self.read_log();
        self.town.judge_log();
        let plan = self.plan.clone();
        let [first, talking, over] = reports;
        let ends = first.into_iter().zip(talking).zip(over).enumerate();
        let ends = ends.map(|(phone, ((first, talking), over))| End {
            ip: phone_sip(&plan, phone).ip(),
            first,
            talking,
            over,
        });
        let ends: Vec<End> = ends.collect();
        let mut held = Vec::new();
        for router in 0..self.town.routers.len() {
            let status = self.town.status(router);
            for (what, count) in status["in_use"].as_object().unwrap() {
                held.push((format!("router {router}: {what}"), count.as_u64().unwrap()));
            }
        }
        // A house that was cut off from both ends may not know that its call is over.
        let healthy = self.watch.borrow().failed.is_none();
        if let Node::Part(Part::B2bua(house)) = &self.town.world.nodes[self.server]
            && healthy
        {
            held.push(("house: calls".into(), house.live() as u64));
        }
        let routers: Vec<usize> = self.town.routers.iter().map(|router| router.place).collect();
        let trace = |router| self.town.world.ask(router, &["trace"]);
        let traces = routers.into_iter().map(trace).collect();
        let world = &self.town.world;
        let log = world.log.iter().enumerate().skip(mark);
        let seen = log.filter_map(|(at, packet)| Seen::of(packet, world.lost.contains(&at)));
        let seen = seen.collect();
        let mailbox = |line: &String| {
            let (session, why) = line.strip_prefix("mailbox ")?.split_once(' ')?;
            Some((session.parse().ok()?, why.to_owned()))
        };
        let forward = |line: &String| line.strip_prefix("forward ").map(str::to_owned);
        let mailboxes = self.log.iter().filter_map(mailbox).collect();
        let forwards = self.log.iter().filter_map(forward).collect();
        let failed = self.watch.borrow().failed.clone();
        let server = server();
        Evidence { plan, seen, ends, started, failed, server, mailboxes, forwards, held, traces }
    }
}

/// What becomes of a packet at a server that has failed at `since`.
fn failed_fate(packet: &Packet, how: Failure, since: Instant) -> Fate {
    let inward = packet.to == server();
    match how {
        Failure::Silent => Fate::Drop,
        Failure::Refusing if inward => Fate::Refuse,
        Failure::Refusing => Fate::Drop,
        Failure::Frozen(hang) => match inward && packet.at < since + hang {
            true => Fate::Delay((since + hang).since(packet.at)),
            false => Fate::Deliver,
        },
        Failure::Restarted(gone) if packet.at < since + gone => match inward {
            true => Fate::Refuse,
            false => Fate::Drop,
        },
        Failure::Restarted(_) => Fate::Deliver,
    }
}

/// What a packet at the server is, if it belongs to a call.
fn of_a_call(packet: &Packet) -> Option<String> {
    let msg = Msg::parse(packet)?;
    let aside = ["REGISTER", "OPTIONS"].contains(&msg.method());
    let way = if packet.to == server() { "in" } else { "out" };
    let what = match msg.status() {
        0 => msg.method().to_owned(),
        status => format!("{status} {}", msg.method()),
    };
    (!aside).then(|| format!("{way} {what}"))
}
