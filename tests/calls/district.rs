//! A district whose homes lose their power: adapters and phones are gone without a goodbye, and
//! come back within seconds.

use crate::account::account;
use crate::net::Packet;
use crate::node::Node;
use crate::outages::{reports, telephone};
use crate::sip::{Msg, uri_of};
use crate::town::{DOMAIN, Town, server};
use cosip::lab::part::Part;
use cosip::lab::phone::{CallId, Report};
use cosip::lab::server::Server;
use cosip::net::File;
use cosip::time::{Duration, Instant};
use std::collections::{BTreeMap, VecDeque};

/// Within this time the routers are back, and each one's phones within as long after it.
const BACK_MS: u32 = 2_000;

/// Milliseconds after the light is back, a home, and one of its phones, or else its router.
pub(crate) type Return = (u32, usize, Option<usize>);

/// A telephone and its place in the world.
pub(crate) struct Telephone {
    place: usize,
    host: u8,
    user: String,
}

pub(crate) struct District {
    pub(crate) town: Town,
    pub(crate) house: usize,
    /// The phones of each router.
    pub(crate) homes: Vec<Vec<Telephone>>,
}

fn user(home: usize, number: usize) -> String {
    format!("u{home}x{number}")
}

impl District {
    /// Homes with so many phones each, all registered; their routers have accounts for them or not.
    pub(crate) fn new(phones: &[usize], accounts: bool) -> Self {
        let mut town = Town::empty(1);
        // The one that the others join the overlay by comes first.
        let numbers = (1..=phones.len() as u8).filter(|number| *number != 3);
        for number in [3].into_iter().chain(numbers) {
            let home = usize::from(number) - 1;
            let users = (0..phones[home]).map(|number| user(home, number));
            town.add_router(number, |config| {
                config.adapter.max_phones = phones[home].max(32) as u16;
                config.accounts =
                    users.clone().filter(|_| accounts).map(|user| account(&user)).collect();
            });
        }
        town.routers.sort_by_key(|router| router.lan);
        let house = Server::new(server(), None, town.world.rng.bytes());
        let house = town.world.add(Node::Part(Part::Server(Box::new(house))));
        town.world.run_ms(10_000);
        let mut district = Self { town, house, homes: Vec::new() };
        for (home, count) in phones.iter().enumerate() {
            district.homes.push(Vec::new());
            for number in 0..*count {
                let (user, host) = (user(home, number), 20 + number as u8);
                let phone = telephone(&mut district.town, home, host, &user);
                let place = district.town.world.add(phone);
                district.homes[home].push(Telephone { place, host, user });
                district.register(home, number);
                district.town.world.run_ms(100);
            }
        }
        // Long enough for the files of peers to be written.
        district.town.world.run_ms(80_000);
        district
    }

    pub(crate) fn aor(&self, (home, number): (usize, usize)) -> String {
        format!("sip:{}@{DOMAIN}", self.homes[home][number].user)
    }

    fn register(&mut self, home: usize, number: usize) {
        let place = self.homes[home][number].place;
        self.town.world.order(place, |node, now| node.phone().register(now));
    }

    /// Three of ten homes go dark.
    pub(crate) fn cut(&mut self) -> Vec<usize> {
        let goes = |home: &usize| [3, 6, 9].contains(&(home % 10));
        let dark: Vec<usize> = (0..self.homes.len()).filter(goes).collect();
        for home in &dark {
            self.town.world.deaf.insert(self.town.routers[*home].place);
            self.town.world.deaf.extend(self.homes[*home].iter().map(|phone| phone.place));
        }
        dark
    }

    /// The most datagrams that one router's overlay got in a second.
    pub(crate) fn busiest_overlay(&self, since: Instant) -> usize {
        let mut seconds = BTreeMap::new();
        let is = |it: &&Packet| it.at >= since && it.to.port() == 5070;
        for packet in self.town.world.log.iter().filter(is) {
            *seconds.entry((packet.to, packet.at.millis() / 1000)).or_insert(0) += 1;
        }
        seconds.into_values().max().unwrap_or(0)
    }

    /// The number of the newest record that the first router finds under an address.
    pub(crate) fn newest(&mut self, aor: &str) -> u64 {
        let reply = self.town.world.ask(self.town.routers[0].place, &["lookup", aor]);
        let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
        let records = reply["records"].as_array().unwrap().iter();
        records.filter_map(|record| record["seq"].as_u64()).max().unwrap_or(0)
    }

    /// What the router of each home has counted.
    pub(crate) fn counted(&mut self, name: &str) -> Vec<u64> {
        let count = |home| self.town.status(home)["counters"][name].as_u64().unwrap();
        (0..self.homes.len()).map(count).collect()
    }

    pub(crate) fn run_until(&mut self, end: Instant) {
        let wait = end.since(self.town.world.now);
        self.town.world.run_ms(wait.as_millis() as u64);
    }

    /// When who is back, in order: routers, and phones by their numbers.
    pub(crate) fn returns(&mut self, dark: &[usize]) -> VecDeque<Return> {
        let mut order = Vec::new();
        for home in dark {
            let router = self.town.world.rng.below(BACK_MS);
            order.push((router, *home, None));
            for number in 0..self.homes[*home].len() {
                let phone = router + 500 + self.town.world.rng.below(BACK_MS);
                order.push((phone, *home, Some(number)));
            }
        }
        order.sort_unstable();
        order.into()
    }

    /// Those come back whose time it is, until `end`.
    pub(crate) fn come_back(
        &mut self,
        returns: &mut VecDeque<Return>,
        back: Instant,
        end: Instant,
    ) {
        while let Some((ms, home, phone)) = returns.pop_front() {
            let at = back + Duration::from_millis(ms.into());
            if at > end {
                returns.push_front((ms, home, phone));
                break;
            }
            self.run_until(at);
            match phone {
                None => self.router_is_back(home),
                Some(number) => self.phone_is_back(home, number),
            }
        }
        self.run_until(end);
    }

    /// A router starts anew, at another address, with what its flash has kept.
    fn router_is_back(&mut self, home: usize) {
        let place = self.town.routers[home].place;
        self.town.world.files.retain(|it| (it.0, it.1) != (place, File::Volatile));
        self.town.world.deaf.remove(&place);
        self.town.routers[home].wan = [203, 0, 113, 100 + home as u8].into();
        self.town.restart(home);
    }

    /// A phone starts anew.
    fn phone_is_back(&mut self, home: usize, number: usize) {
        let Telephone { place, host, ref user } = self.homes[home][number];
        let phone = telephone(&mut self.town, home, host, user);
        self.town.world.replace(place, phone);
        self.town.world.deaf.remove(&place);
        self.register(home, number);
    }

    pub(crate) fn call(&mut self, from: (usize, usize), to: (usize, usize)) -> Talk {
        let ends = [from, to].map(|(home, number)| self.homes[home][number].place);
        let aor = self.aor(to);
        let rung = reports(&mut self.town, ends[1]).len();
        let id = self.town.world.order(ends[0], |node, now| node.phone().call(now, &aor));
        Talk { ends, id, rung }
    }

    /// Ends a call. What was wrong with it, if anything: each end hears the other, and it rang
    /// once.
    pub(crate) fn over(&mut self, talk: &Talk) -> Option<String> {
        let order = |node: &mut Node, now| {
            let report = node.phone().report(talk.id).clone();
            node.phone().hang_up(now, talk.id);
            report
        };
        let mut rang = reports(&mut self.town, talk.ends[1]).into_iter().skip(talk.rung);
        let caller = self.town.world.order(talk.ends[0], order);
        let called = rang.next().unwrap_or_default();
        let stands = |report: &Report| report.confirmed.is_some() && report.ended.is_none();
        let hears = |one: &Report, other: &Report| {
            stands(one) && one.sound.received > 20.max(other.sound.sent * 95 / 100)
        };
        let good = hears(&caller, &called) && hears(&called, &caller);
        let (at, status, more) = (caller.invited.millis(), caller.status, rang.count());
        (!good || more > 0).then(|| format!("{:?} at {at}: {status}, {more} more", talk.ends))
    }
}

/// A call between two places.
pub(crate) struct Talk {
    ends: [usize; 2],
    id: CallId,
    rung: usize,
}

/// What came to the server since some instant, in milliseconds after it.
#[derive(Default)]
pub(crate) struct Seen {
    /// REGISTERs in each second, sent again or not.
    pub(crate) seconds: BTreeMap<u64, usize>,
    /// When each phone was told 200 first.
    pub(crate) accepted: BTreeMap<String, u64>,
    /// When each phone's REGISTERs came, and their branches.
    asked: BTreeMap<String, Vec<(u64, String)>>,
}

impl Seen {
    pub(crate) fn since(town: &Town, back: Instant) -> Self {
        let mut seen = Self::default();
        for packet in town.world.log.iter().filter(|packet| packet.at >= back) {
            let Some(message) = Msg::parse(packet).filter(|it| it.method() == "REGISTER") else {
                continue;
            };
            let aor = uri_of(message.one("To")).to_owned();
            let ms = packet.at.since(back).as_millis() as u64;
            if packet.to == server() {
                *seen.seconds.entry(ms / 1000).or_default() += 1;
                seen.asked.entry(aor).or_default().push((ms, message.one("Via").to_owned()));
            } else if packet.from == server() && message.status() == 200 {
                seen.accepted.entry(aor).or_insert(ms);
            }
        }
        seen
    }

    /// The most in one second of these.
    pub(crate) fn busiest(&self, seconds: core::ops::Range<u64>) -> usize {
        self.seconds.range(seconds).map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// The shortest time between two REGISTERs of a phone that are not the same one again, until it
    /// was accepted: when the server is up again, each is registered anew at any time.
    pub(crate) fn shortest_pause_ms(&self) -> u64 {
        let pauses = self.asked.iter().flat_map(|(aor, asked)| {
            let over = self.accepted.get(aor).copied().unwrap_or(u64::MAX);
            let anew = asked.windows(2).filter(|pair| pair[0].1 != pair[1].1);
            anew.filter(move |pair| pair[1].0 <= over).map(|pair| pair[1].0 - pair[0].0)
        });
        pauses.min().unwrap_or(u64::MAX)
    }
}
