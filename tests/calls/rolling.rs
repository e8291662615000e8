//! A leaked secret of the network is rolled: another one comes with certificates and takes over by
//! itself, while everybody calls.

use crate::clerk::{Clerk, Word};
use crate::enrolling::{Home, LOOK_MS, anchor, home, settings};
use crate::net::Fate;
use crate::node::Node;
use crate::secrets::reaches;
use crate::town::{Phone, at};
use cosip::identity::NetworkKeys;
use cosip::identity::authority::{Authority, Subject};
use cosip::identity::chain::Validity;
use cosip::identity::network::NetworkSecrets;
use cosip::identity::record::Key;
use cosip::identity::rolling::{NewSecret, Rolled};
use cosip::net::File;
use serde_json::{Value, json};

const DAY_S: u64 = 86_400;
/// The secret that leaks is that of [`crate::town::Town`].
const OLD: [u8; 32] = [5; 32];
const NEW: [u8; 32] = [6; 32];

/// A town, and a CoSIP server that keeps to the rules of the real one.
struct Rolling {
    home: Home,
    file: NetworkSecrets,
    rolled: Rolled,
    newest: Option<NewSecret>,
    answered: usize,
    serial: u64,
    renewed_s: u64,
    calls: u32,
}

fn keys(secrets: &[[u8; 32]]) -> NetworkKeys {
    NetworkKeys::of(&NetworkSecrets::from_slice(secrets).unwrap(), "town").unwrap()
}

fn key_id(secret: [u8; 32]) -> String {
    format!("{:02x}", keys(&[secret]).key_id())
}

impl Rolling {
    fn new() -> Self {
        let home = home(true);
        let mut rolling = Self {
            home,
            file: NetworkSecrets::from_slice(&[OLD]).unwrap(),
            rolled: Rolled::default(),
            newest: None,
            answered: 0,
            serial: 0,
            renewed_s: 0,
            calls: 0,
        };
        rolling.home.clerk().word = Word::Nothing;
        rolling.tend();
        rolling
    }

    fn now_s(&self) -> u64 {
        self.home.town.epoch_s + self.home.town.world.now.millis() / 1000
    }

    /// A new secret is made, to be sent so many days later.
    fn rolls(&mut self, days: u64) {
        let sends_s = (self.now_s() + days * DAY_S) as u32;
        let new = NewSecret { secret: NEW, sends_s };
        assert!(self.rolled.take(&self.file, new));
        self.newest = Some(new);
    }

    /// The CoSIP server does what is due: it follows the secrets, renews its own certificate, and
    /// certifies whoever asks, under each secret.
    fn tend(&mut self) {
        let now_s = self.now_s();
        let secrets = self.rolled.at(now_s, &self.file);
        let keys = keys(&secrets);
        if secrets != self.file || now_s >= self.renewed_s + DAY_S {
            (self.file, self.renewed_s) = (secrets, now_s);
            let clerk = self.home.clerk;
            self.home.town.world.order(clerk, |node, now| {
                node.clerk().takes((now, now_s), &keys, &anchor());
            });
        }
        while let Some(ask) = self.home.clerk().asks.get(self.answered).cloned() {
            self.answered += 1;
            self.serial += 1;
            let routers = &self.home.town.routers;
            let router = routers.iter().find(|it| it.identity.id() == ask.from).unwrap();
            let all = ask.aors.iter().flat_map(|aor| keys.aor_keys(aor));
            let all: Vec<Key> = all.map(|key| Key::of(&key)).collect();
            let certificate = Authority::anchor(anchor(), keys.network()).certify(&Subject {
                serial: self.serial,
                key: router.identity.public(),
                place: router.identity.id(),
                validity: Validity {
                    from_s: now_s as u32 - 3_600,
                    until_s: (now_s + 14 * DAY_S) as u32,
                },
                keys: &all,
            });
            let word = Word::Certified(certificate.as_bytes().to_vec(), self.newest);
            let clerk = self.home.clerk;
            self.home.town.world.order(clerk, |node, now| {
                node.clerk().tell(now, ask.from, ask.number, &word);
            });
        }
    }

    fn run_s(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.home.run_ms(1_000);
            self.tend();
        }
    }

    /// Everybody reaches everybody by the overlay, while the provider's server is silent.
    fn calls(&mut self, phones: &[&Phone]) {
        self.home.town.server_is(Fate::Drop);
        for caller in phones {
            for callee in phones.iter().filter(|it| it.at != caller.at) {
                self.calls += 1;
                reaches(&mut self.home.town, caller, callee, &format!("c{}", self.calls));
            }
        }
        self.home.town.server_is(Fate::Deliver);
    }

    fn secrets(&mut self, router: usize) -> Value {
        self.home.town.status(router)["secrets"].clone()
    }

    /// A router's secrets by their key ids, the one that is sent first.
    fn key_ids(&mut self, router: usize) -> Vec<String> {
        let Value::Array(secrets) = self.secrets(router) else { panic!("no secrets") };
        secrets.iter().map(|it| it["key_id"].as_str().unwrap().to_owned()).collect()
    }

    fn file_of(&self, router: usize, file: File) -> Option<usize> {
        let place = self.home.town.routers[router].place;
        self.home.town.world.files.iter().position(|it| (it.0, it.1) == (place, file))
    }

    /// A router whose image has these secrets in its file.
    fn joins(&mut self, number: u8, image: &[[u8; 32]]) {
        self.home.town.keys = keys(image);
        self.home.town.add_router(number, |config| settings(config, true));
        self.run_s(10);
    }

    /// The power of a router fails for a moment; its file of secrets is that of its image.
    fn reboots(&mut self, router: usize, image: &[[u8; 32]]) {
        self.home.town.keys = keys(image);
        self.home.town.restart(router);
        self.run_s(60);
    }

    /// Somebody who has the leaked secret, and even a certificate, asks the first router, which
    /// does not hear it, or answers under the new one.
    fn thief_hears_nobody(&mut self, last: u8, is_heard: bool) {
        let unheard = |it: &mut Self| {
            it.home.town.status(0)["counters"]["overlay_unauthentic"].as_u64().unwrap()
        };
        let (now, before) = ((self.home.town.world.now, self.now_s()), unheard(self));
        let local = at(&format!("198.51.100.{last}:5070"));
        let thief = Clerk::new(now, (last, local), &keys(&[OLD]), &anchor());
        let thief = thief.joins(at("203.0.113.1:5070"));
        let thief = self.home.town.world.add(Node::Clerk(Box::new(thief)));
        self.run_s(600);
        assert!(!self.home.town.world.nodes[thief].clerk().has_joined());
        assert_eq!(unheard(self) == before, is_heard);
        self.home.town.world.deaf.insert(thief);
    }
}

#[test]
fn a_leaked_secret_is_rolled_in_29_days_and_every_call_goes_through_meanwhile() {
    let mut it = Rolling::new();
    let alice = it.home.phone(0, "alice");
    let bob = it.home.phone(1, "bob");
    let carol = it.home.phone(2, "carol");
    it.run_s(LOOK_MS / 1_000);
    let place = it.home.town.routers[1].place;
    let (mut dave, mut erin) = (None, None);
    let first_s = it.now_s();
    for day in 0..36 {
        match day {
            1 => it.rolls(15),
            // Before anybody has renewed.
            2 => drop(it.home.town.world.deaf.insert(place)),
            // Its certificate has hours left, or has ended.
            12 => {
                it.home.town.world.deaf.remove(&place);
                it.reboots(1, &[OLD]);
                it.run_s(1_800);
            }
            9 => {
                it.joins(4, &[OLD, NEW]);
                dave = Some(it.home.phone(3, "dave"));
                it.run_s(LOOK_MS / 1_000);
            }
            10 | 20 | 33 => it.reboots(2, &[OLD]),
            18 => {
                it.joins(5, &[NEW, OLD]);
                erin = Some(it.home.phone(4, "erin"));
                it.run_s(LOOK_MS / 1_000);
            }
            _ => {}
        }
        let away = (2..12).contains(&day);
        let mut phones = vec![&alice, &carol];
        phones.extend(Some(&bob).filter(|_| !away));
        phones.extend(&dave);
        phones.extend(&erin);
        it.calls(&phones);
        it.run_s(first_s + (day + 1) * DAY_S - it.now_s());
        if day == 8 {
            assert_eq!(it.key_ids(0), [key_id(OLD), key_id(NEW)], "heard before it is sent");
            let sends_s = u64::from(it.newest.unwrap().sends_s);
            assert_eq!(it.secrets(0)[1]["state"], "coming");
            assert_eq!(it.secrets(0)[1]["from_s"], json!(sends_s));
        }
        if day == 16 {
            assert_eq!(it.key_ids(1), [key_id(NEW), key_id(OLD)]);
            let until_s = u64::from(it.newest.unwrap().sends_s) + 14 * DAY_S;
            assert_eq!(it.secrets(1)[1]["until_s"], json!(until_s));
            it.thief_hears_nobody(98, true);
        }
    }
    for router in 0..5 {
        assert_eq!(it.key_ids(router), [key_id(NEW)], "{router}");
    }
    assert_eq!(it.home.town.status(0)["counters"]["enrolment_secrets"], 1);
    let published = it.home.town.status(0)["overlay"]["published"].clone();
    assert_eq!(published, 1, "one record is left: under the old secret it was withdrawn");
    it.thief_hears_nobody(99, false);
    it.home.town.finish();
}

#[test]
fn a_power_cut_leaves_no_certificate_without_the_secret_that_came_with_it() {
    let mut it = Rolling::new();
    let _alice = it.home.phone(0, "alice");
    it.rolls(15);
    while it.key_ids(0).len() < 2 {
        it.run_s(1);
    }
    // Nothing was on flash yet: a router that falls dark then asks again.
    let written = [File::Secrets, File::Certificates];
    it.home.town.world.files.retain(|file| !written.contains(&file.1));
    it.reboots(0, &[OLD]);
    it.run_s(LOOK_MS / 1_000);
    assert_eq!(it.key_ids(0), [key_id(OLD), key_id(NEW)]);
    assert_eq!(it.home.town.status(0)["counters"]["enrolment_secrets"], 1, "brought again");
    let files = written.map(|file| it.file_of(0, file).unwrap());
    assert!(files[0] < files[1], "the secret is written first: {files:?}");
    let saves = it.home.town.world.saves;
    // Between the two: it hears the new one, and asks for what lists its addresses under it.
    it.home.town.world.files.remove(files[1]);
    it.reboots(0, &[OLD]);
    assert_eq!(it.key_ids(0), [key_id(OLD), key_id(NEW)]);
    it.run_s(LOOK_MS / 1_000);
    assert_eq!(it.home.town.status(0)["identity"]["certificates"].as_array().unwrap().len(), 1);
    assert!(it.home.town.world.saves <= saves + 5, "nothing is written twice");
    it.home.town.finish();
}

#[test]
fn a_router_that_does_not_know_the_time_goes_by_the_newest_moment_that_it_has_seen_signed() {
    let mut it = Rolling::new();
    let alice = it.home.phone(0, "alice");
    let bob = it.home.phone(1, "bob");
    it.rolls(15);
    it.run_s(LOOK_MS / 1_000);
    let epoch_s = it.home.town.epoch_s;
    it.home.town.epoch_s = 0;
    it.home.town.restart(0);
    it.home.town.epoch_s = epoch_s;
    it.run_s(60);
    assert_eq!(it.home.town.status(0)["time_known"], false);
    assert_eq!(it.key_ids(0), [key_id(OLD), key_id(NEW)]);
    it.run_s(20 * DAY_S);
    it.calls(&[&alice, &bob]);
    assert_eq!(it.key_ids(0), [key_id(NEW), key_id(OLD)]);
    it.home.town.finish();
}

#[test]
fn a_faulty_certificate_brings_no_secret() {
    let mut it = Rolling::new();
    it.home.phone(0, "alice");
    it.rolls(15);
    let ask = loop {
        if let Some(ask) = it.home.clerk().asks.first().cloned() {
            break ask;
        }
        it.home.run_ms(1_000);
    };
    let clerk = it.home.clerk;
    let word = Word::Certified(vec![1, 2, 3], it.newest);
    it.home.town.world.order(clerk, |node, now| {
        node.clerk().tell(now, ask.from, ask.number, &word);
    });
    it.home.run_ms(10_000);
    assert_eq!(it.key_ids(0), [key_id(OLD)]);
    let counters = it.home.town.status(0)["counters"].clone();
    assert_eq!([&counters["enrolment_faulty"], &counters["enrolment_secrets"]], [1, 0]);
    it.home.town.finish();
}

/// It would keep out all that come after it.
#[test]
fn a_secret_that_is_not_sent_for_years_is_not_taken() {
    let mut it = Rolling::new();
    it.home.phone(0, "alice");
    it.rolls(370);
    it.run_s(900);
    let identity = it.home.identity(0);
    assert_eq!(identity["certificates"].as_array().map(Vec::len), Some(1), "{identity}");
    assert_eq!(it.key_ids(0), [key_id(OLD)]);
    assert_eq!(it.home.town.status(0)["counters"]["enrolment_secrets"], 0);
    it.home.town.finish();
}
