//! Routers that ask a CoSIP server for certificates, and challenges that come by the provider's.

use crate::clerk::{Clerk, Heard, Word};
use crate::net::Fate;
use crate::node::Node;
use crate::provider::registrar;
use crate::sip::{Dialog, write};
use crate::town::{DOMAIN, EPOCH_S, Phone, Town, at, server};
use cosip::channel::{EnrolProof, EnrolRefusal};
use cosip::config::{Anchor, Config, HostPort};
use cosip::identity::authority::{Authority, Subject};
use cosip::identity::certificate::text;
use cosip::identity::chain::Validity;
use cosip::identity::enrolment::{Challenge, HEADER, key_hash, sign};
use cosip::identity::record::Key;
use cosip::identity::{Certificate, Identity, NetworkKeys};
use cosip::limits::BUILT_UNIX_S;
use cosip::net::{File, Input, NodeId};
use cosip::time::{Duration, Instant};
use serde_json::{Value, json};
use std::net::SocketAddr;

const CLERK: &str = "198.51.100.7:5070";
/// Within this time a router that lacks a certificate has asked, and asked again.
pub(crate) const LOOK_MS: u64 = 310_000;
/// So soon after a phone has registered, or the overlay was joined.
const SOON_MS: u64 = 25_000;
const DAY_S: u32 = 86_400;

pub(crate) fn anchor() -> Identity {
    Identity::from_seed([77; 32]).unwrap()
}

/// A town with a CoSIP server, through which its routers join the overlay, and phones that stay
/// registered.
pub(crate) struct Home {
    pub(crate) town: Town,
    pub(crate) clerk: usize,
    phones: Vec<Phone>,
    registered: Instant,
    /// Questions that were looked at.
    heard: usize,
}

fn clerk(town: &Town, seed: u8, address: &str) -> Clerk {
    let unix_s = town.epoch_s + town.world.now.millis() / 1000;
    let clerk = Clerk::new((town.world.now, unix_s), (seed, at(address)), &town.keys, &anchor());
    clerk.joins(at(CLERK))
}

pub(crate) fn settings(config: &mut Config, anchored: bool) {
    let (host, port) = (at(CLERK).ip().to_string(), at(CLERK).port());
    config.overlay.bootstrap = vec![HostPort { host, port }];
    config.overlay.name = "town".into();
    config.adapter.phone_expires = Duration::from_secs(3_600);
    if anchored {
        config.identity.trust_anchor = vec![Anchor(anchor().public())];
    }
}

pub(crate) fn home(anchored: bool) -> Home {
    let mut town = Town::empty(1);
    town.epoch_s = EPOCH_S.max(BUILT_UNIX_S);
    let clerk = clerk(&town, 88, CLERK);
    let clerk = town.world.add(Node::Clerk(Box::new(clerk)));
    town.world.run_ms(1_000);
    for number in 1..=3 {
        town.add_router(number, |config| settings(config, anchored));
    }
    town.world.autos.insert(server(), Box::new(registrar));
    town.world.run_ms(8_000);
    let registered = town.world.now;
    Home { town, clerk, phones: Vec::new(), registered, heard: 0 }
}

/// What the provider issues to a router: for these phones, at this place, for so many seconds.
struct Issue<'a> {
    router: usize,
    users: &'a [&'a str],
    place: Option<NodeId>,
    serial: u64,
    life_s: u32,
    /// It begins so much later.
    late_s: u32,
}

impl Issue<'_> {
    fn by(&self, town: &Town, anchor: Identity, keys: &NetworkKeys) -> Certificate {
        let key = town.routers[self.router].identity.public();
        let from_s = (town.epoch_s + town.world.now.millis() / 1000) as u32 - 60 + self.late_s;
        let key_of = |user: &&str| Key::of(&keys.aor_key(&format!("{user}@{DOMAIN}")));
        let keys_of: Vec<Key> = self.users.iter().map(key_of).collect();
        Authority::anchor(anchor, keys.network()).certify(&Subject {
            serial: self.serial,
            key,
            place: self.place.unwrap_or_else(|| town.routers[self.router].identity.id()),
            validity: Validity { from_s, until_s: from_s + self.life_s },
            keys: &keys_of,
        })
    }

    fn good(&self, town: &Town) -> Certificate {
        self.by(town, anchor(), &town.keys)
    }
}

fn issue<'a>(router: usize, users: &'a [&'a str]) -> Issue<'a> {
    Issue { router, users, place: None, serial: 7, life_s: 14 * DAY_S, late_s: 0 }
}

impl Home {
    pub(crate) fn phone(&mut self, router: usize, user: &str) -> Phone {
        let number = self.phones.len() as u8 + 1;
        self.phones.push(self.town.registered(router, number, user));
        self.phones.last().unwrap().clone()
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        for _ in 0..ms.div_ceil(1_000) {
            if self.town.world.now.since(self.registered).as_secs() > 1_500 {
                self.registered = self.town.world.now;
                self.phones.iter_mut().for_each(|phone| self.town.register(phone, 3_600));
            }
            self.town.world.run_ms(1_000);
        }
    }

    pub(crate) fn clerk(&mut self) -> &mut Clerk {
        self.town.world.nodes[self.clerk].clerk()
    }

    fn asks(&mut self) -> Vec<Heard> {
        self.heard = self.clerk().asks.len();
        self.clerk().asks.clone()
    }

    /// The next question that is heard.
    fn next_ask(&mut self, within_ms: u64) -> Heard {
        for _ in 0..within_ms / 1_000 {
            let heard = self.heard;
            if let Some(ask) = self.clerk().asks.get(heard).cloned() {
                self.heard += 1;
                return ask;
            }
            self.run_ms(1_000);
        }
        panic!("no question within {within_ms} ms");
    }

    /// Answers one question.
    fn answers(&mut self, ask: &Heard, word: &Word) {
        let (from, number) = (ask.from, ask.number);
        self.town.world.order(self.clerk, |node, now| node.clerk().tell(now, from, number, word));
        self.run_ms(1_000);
    }

    fn certifies(&mut self, ask: &Heard, certificate: &Certificate) {
        self.answers(ask, &Word::Certified(certificate.as_bytes().to_vec(), None));
    }

    fn counters<const N: usize>(&mut self, router: usize, names: [&str; N]) -> [u64; N] {
        let counters = self.town.status(router)["counters"].clone();
        names.map(|name| counters[format!("enrolment_{name}")].as_u64().unwrap())
    }

    pub(crate) fn identity(&mut self, router: usize) -> Value {
        self.town.status(router)["identity"].clone()
    }

    fn certificate_file(&self, router: usize) -> Option<Vec<Certificate>> {
        let place = self.town.routers[router].place;
        let mut files = self.town.world.files.iter();
        let file = files.find(|it| (it.0, it.1) == (place, File::Certificates));
        file.map(|it| text::parse(core::str::from_utf8(&it.2).unwrap()).unwrap())
    }

    fn outside(&self, phone: &Phone) -> SocketAddr {
        let mut routers = self.town.routers.iter();
        routers.find(|it| it.proxy() == phone.proxy).unwrap().outside()
    }

    /// The provider passes an OPTIONS on to a phone's Contact.
    fn challenge(&mut self, phone: &Phone, to: &str, header: (&str, &str)) {
        let outside = self.outside(phone);
        let uri = format!("sip:{}@{outside}", phone.user);
        self.options(server(), outside, (&uri, to), header);
    }

    /// An OPTIONS comes to a router, which answers it.
    fn options(
        &mut self,
        from: SocketAddr,
        outside: SocketAddr,
        (uri, to): (&str, &str),
        (name, value): (&str, &str),
    ) {
        let sender = from;
        let call_id = format!("challenge-{:x}", self.town.world.rng.next_u64());
        let via = format!("SIP/2.0/UDP {sender};branch=z9hG4bK{call_id}");
        let (from, to) = (format!("<sip:cosip@{DOMAIN}>;tag=c"), format!("<{to}>"));
        let headers = [
            ("Via", via.as_str()),
            ("Max-Forwards", "70"),
            ("From", &from),
            ("To", &to),
            ("Call-ID", &call_id),
            ("CSeq", "1 OPTIONS"),
            (name, value),
        ];
        let bytes = write(&format!("OPTIONS {uri} SIP/2.0"), &headers, "");
        self.town.world.send(sender, outside, bytes);
        let answer = self.town.world.expect(sender, "200 OPTIONS", 5_000);
        assert!(answer.one("Allow").contains("INVITE"), "the adapter's own");
        self.run_ms(1_000);
    }

    /// How many OPTIONS reached a phone.
    fn heard_by(&self, phone: &Phone) -> usize {
        let to_phone = self.town.world.log.iter().filter(|packet| packet.to == phone.at);
        to_phone.filter(|packet| packet.data.starts_with(b"OPTIONS")).count()
    }
}

fn challenge_of(nonce: u8, key: &Identity) -> String {
    Challenge { nonce: [nonce; 16], key_hash: key_hash(&key.public()) }.to_text()
}

#[test]
fn without_a_trust_anchor_nothing_is_asked_and_challenges_stay_from_phones_all_the_same() {
    let mut home = home(false);
    let alice = home.phone(0, "alice");
    home.run_ms(2 * LOOK_MS);
    assert!(home.asks().is_empty());
    let own = challenge_of(1, &home.town.routers[0].identity);
    for value in [own.as_str(), "zz", &own[1..]] {
        home.challenge(&alice, &alice.aor(), (HEADER, value));
    }
    home.challenge(&alice, &alice.aor(), ("cosip-challenge", &own));
    assert_eq!(home.heard_by(&alice), 0);
    let names = ["malformed", "unasked", "proofs", "asked"];
    assert_eq!(home.counters(0, names), [2, 2, 0, 0]);
    assert!(home.clerk().proofs.is_empty());
    home.town.finish();
}

#[test]
fn only_a_pending_questions_own_challenge_is_answered_and_only_once() {
    let mut home = home(true);
    let alice = home.phone(0, "alice");
    let dave = home.phone(0, "dave");
    home.clerk().word = Word::Wait(3_600);
    let ask = home.next_ask(LOOK_MS);
    let identity = home.town.routers[0].identity.clone();
    assert_eq!((ask.from, ask.aors.len()), (identity.id(), 2));
    let [own, other] = [&identity, &home.town.routers[1].identity].map(|it| challenge_of(1, it));
    let (a, d) = (alice.aor(), dave.aor());
    home.answers(&ask, &Word::Refused(0b10, EnrolRefusal::Crowded, 3_600));
    home.run_ms(6_000);
    let (open, refused) = match &*ask.aors[0] {
        "alice@example.net" => ((&alice, &a), (&dave, &d)),
        _ => ((&dave, &d), (&alice, &a)),
    };
    // Another key; an address that is refused, that is not here, that is not this phone's.
    home.challenge(open.0, open.1, (HEADER, &other));
    home.challenge(refused.0, refused.1, (HEADER, &own));
    home.challenge(open.0, "sip:bob@example.net", (HEADER, &own));
    home.challenge(refused.0, open.1, (HEADER, &own));
    // Another Contact than ours; not by the way that the phone is registered by.
    let outside = home.outside(&alice);
    let elsewhere = format!("sip:{}@203.0.113.99:{}", open.0.user, outside.port());
    home.options(server(), outside, (&elsewhere, open.1), (HEADER, &own));
    let (uri, beside) = (format!("sip:{}@{outside}", open.0.user), at("198.51.100.1:5080"));
    home.options(beside, outside, (&uri, open.1), (HEADER, &own));
    let names = ["foreign", "unasked", "proofs"];
    assert_eq!(home.counters(0, names), [1, 5, 0]);
    // Its own is answered, once.
    for expected in [[1, 5, 1], [1, 6, 1]] {
        home.challenge(open.0, open.1, (HEADER, &own));
        assert_eq!(home.counters(0, names), expected);
    }
    let aor = ask.aors[0].as_str();
    let signature = sign(&identity, home.town.keys.network(), aor, &[1; 16]);
    let proofs: Vec<_> = home.clerk().proofs.drain(..).collect();
    assert_eq!(proofs, [(identity.id(), EnrolProof { nonce: [1; 16], signature })]);
    assert_eq!([home.heard_by(&alice), home.heard_by(&dave)], [0, 0]);
    home.town.finish();
}

#[test]
fn a_new_phone_is_asked_for_soon_and_so_is_one_that_waited_for_the_overlay() {
    let mut home = home(true);
    home.clerk().word = Word::Wait(3_600);
    for (router, user) in [(0, "alice"), (1, "bob")] {
        home.phone(router, user);
        assert_eq!(home.next_ask(SOON_MS).aors, [format!("{user}@{DOMAIN}")]);
    }
    // The phone is known from before the restart. Regular looks are at another moment after each.
    for _ in 0..4 {
        home.town.restart(1);
        assert_eq!(home.next_ask(SOON_MS).aors, ["bob@example.net"]);
    }
    // What is refused is left alone all the same, whoever comes.
    let ask = home.asks().pop().unwrap();
    home.answers(&ask, &Word::Refused(1, EnrolRefusal::Unanswered, 7_200));
    home.phone(1, "ben");
    assert_eq!(home.next_ask(SOON_MS).aors, ["ben@example.net"]);
    home.town.finish();
}

#[test]
fn a_certificate_is_used_at_once_written_down_and_tells_of_who_else_asks() {
    let mut home = home(true);
    let alice = home.phone(0, "alice");
    home.clerk().word = Word::Wait(3_600);
    let ask = home.next_ask(LOOK_MS);
    assert_eq!(home.identity(0)["enrolment"], "waiting");
    home.run_ms(600_000);
    assert_eq!(home.asks().len(), 1, "a question that waits is not repeated");
    let aor = alice.aor();
    let other = challenge_of(2, &home.town.routers[1].identity);
    home.challenge(&alice, &aor, (HEADER, &other));
    assert_eq!(home.identity(0)["foreign_keys"], json!([]), "not certified");
    home.run_ms(10_000);
    assert_eq!(home.clerk().reports, [], "not certified");
    assert_eq!(home.town.finds(2, &aor), 0, "nobody reads an uncertified record");
    // The place is another one: a new member.
    let place = Authority::place(&[5; 32], &home.town.routers[0].identity.public());
    let good = Issue { place: Some(place), ..issue(0, &["alice"]) }.good(&home.town);
    home.certifies(&ask, &good);
    home.run_ms(60_000);
    assert_eq!(home.certificate_file(0), Some(vec![good]));
    let saves = home.town.world.saves;
    assert_eq!(home.town.status(0)["overlay"]["id"], place.to_string());
    let identity = home.identity(0);
    let certificate = &identity["certificates"][0];
    assert_eq!(certificate["aors"], json!(["alice@example.net"]));
    assert_eq!((&certificate["valid"], &identity["enrolment"]), (&json!(true), &json!("none")));
    assert_eq!(home.town.finds(2, &aor), 1);
    assert_eq!(home.counters(0, ["asked", "taken", "faulty"]), [1, 1, 0]);
    home.challenge(&alice, &aor, (HEADER, &other));
    assert_eq!(home.identity(0)["foreign_keys"][0]["aor"], "alice@example.net");
    // The CoSIP server hears of it while the challenge is open, and once of several.
    home.challenge(&alice, &aor, (HEADER, &other));
    home.run_ms(5_000);
    let nonce = Challenge::parse(&other).unwrap().nonce;
    assert_eq!(home.counters(0, ["reported", "foreign"]), [1, 3]);
    assert_eq!(home.clerk().reports, [(place, nonce)]);
    home.run_ms(2 * LOOK_MS);
    assert_eq!(home.asks().len(), 1, "it lasts");
    assert!(home.town.world.saves < saves + 10, "{saves}");
    // It is there after a restart, without a question.
    home.town.restart(0);
    home.run_ms(2 * LOOK_MS);
    assert_eq!(home.town.status(0)["overlay"]["id"], place.to_string());
    assert_eq!(home.asks().len(), 1);
    home.town.finish();
}

#[test]
fn a_certificate_that_does_not_hold_or_is_somebody_elses_is_refused() {
    let mut home = home(true);
    let _alice = home.phone(0, "alice");
    home.clerk().word = Word::Wait(3_600);
    let other_network = NetworkKeys::new(&[5; 32], "village");
    let forger = Identity::from_seed([78; 32]).unwrap();
    for number in 0..7 {
        let ask = home.next_ask(2 * 3_600_000);
        let (town, mine) = (&home.town, issue(0, &["alice"]));
        let (what, certificate) = match number {
            0 => ("forged", forged(&mine.good(town))),
            1 => ("another anchor", mine.by(town, forger.clone(), &town.keys)),
            2 => ("another network", mine.by(town, anchor(), &other_network)),
            3 => ("another key", issue(1, &["alice"]).good(town)),
            4 => ("another address", issue(0, &["bob"]).good(town)),
            5 => ("expired", Issue { life_s: 30, ..mine }.good(town)),
            _ => ("begins later", Issue { late_s: 3_600, ..mine }.good(town)),
        };
        home.certifies(&ask, &certificate);
        assert_eq!(home.counters(0, ["faulty", "taken"]), [number + 1, 0], "{what}");
    }
    let ask = home.next_ask(2 * 3_600_000);
    home.answers(&ask, &Word::Certified(vec![1, 2, 3], None));
    assert_eq!(home.counters(0, ["faulty", "taken"]), [8, 0]);
    // An answer to another question counts for nothing, good as it is.
    let ask = home.next_ask(2 * 3_600_000);
    let good = issue(0, &["alice"]).good(&home.town);
    home.certifies(&Heard { number: ask.number ^ 1, ..ask.clone() }, &good);
    assert_eq!(home.counters(0, ["strays", "taken"]), [1, 0]);
    assert_eq!(home.certificate_file(0), None);
    home.certifies(&ask, &good);
    assert_eq!(home.counters(0, ["taken"]), [1]);
    home.town.finish();
}

/// The same, with a signature that does not hold.
fn forged(certificate: &Certificate) -> Certificate {
    let mut bytes = certificate.as_bytes().to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    Certificate::parse(&bytes).unwrap()
}

#[test]
fn half_a_life_before_its_end_a_certificate_is_renewed_by_each_at_a_moment_of_its_own() {
    let mut home = home(true);
    let _alice = home.phone(0, "alice");
    let _bob = home.phone(1, "bob");
    home.clerk().word = Word::Wait(3_600);
    let life_s = 14 * DAY_S;
    let of = |ask: &Heard| usize::from(ask.aors == ["bob@example.net"]);
    let users = [["alice"], ["bob"]];
    let mut began_s = [0; 2];
    for _ in 0..2 {
        let ask = home.next_ask(2 * LOOK_MS);
        let router = of(&ask);
        let first = Issue { life_s, ..issue(router, &users[router]) }.good(&home.town);
        home.certifies(&ask, &first);
        assert_eq!(home.counters(router, ["taken"]), [1]);
        began_s[router] = u64::from(first.validity().from_s);
    }
    let mut ages_s = [0; 2];
    for _ in 0..2 {
        let ask = home.next_ask(8 * 86_400_000);
        let router = of(&ask);
        ages_s[router] = home.town.epoch_s + ask.at.millis() / 1000 - began_s[router];
        let next = Issue { life_s, serial: 8, ..issue(router, &users[router]) }.good(&home.town);
        home.certifies(&ask, &next);
        home.run_ms(60_000);
        assert_eq!(home.certificate_file(router), Some(vec![next]), "the one before is gone");
        assert_eq!(home.identity(router)["certificates"].as_array().unwrap().len(), 1);
    }
    let half_s = u64::from(life_s) / 2;
    let window = half_s - u64::from(life_s) / 14..=half_s + LOOK_MS / 1_000;
    assert!(ages_s.iter().all(|age| window.contains(age)), "{ages_s:?}");
    assert!(ages_s[0].abs_diff(ages_s[1]) > 600, "{ages_s:?}");
    home.town.finish();
}

/// The place that it named is nobody's then, and whoever comes as one would not be heard.
#[test]
fn a_router_whose_certificate_has_ended_comes_as_whoever_has_its_key_and_is_certified_again() {
    let mut home = home(true);
    home.phone(0, "alice");
    let ask = home.next_ask(LOOK_MS);
    let (own, place) = (home.town.routers[0].identity.id(), NodeId([0x5a; 16]));
    let short = Issue { place: Some(place), life_s: 3_600, ..issue(0, &["alice"]) };
    let short = short.good(&home.town);
    home.certifies(&ask, &short);
    assert_eq!(home.town.status(0)["overlay"]["id"], place.to_string());
    home.run_ms(3_600_000);
    assert_eq!(home.town.status(0)["overlay"]["id"], own.to_string());
    assert!(home.asks().len() > 1, "for as long as it counts it is to be renewed");
    // So it does after a start.
    home.town.restart(0);
    home.run_ms(10_000);
    assert_eq!(home.town.status(0)["overlay"]["id"], own.to_string());
    let again = home.next_ask(3 * LOOK_MS);
    assert_eq!(again.from, own);
    let next = Issue { place: Some(place), serial: 8, ..issue(0, &["alice"]) }.good(&home.town);
    home.certifies(&again, &next);
    assert_eq!(home.town.status(0)["overlay"]["id"], place.to_string());
    home.town.finish();
}

#[test]
fn what_is_refused_is_left_alone_for_a_while_and_the_rest_is_certified() {
    let mut home = home(true);
    for user in ["alice", "amy", "ann", "ada", "abe"] {
        home.phone(0, user);
    }
    home.clerk().word = Word::Wait(3_600);
    home.next_ask(LOOK_MS);
    home.run_ms(3_000);
    let asks = home.asks();
    let of = |count: usize| asks.iter().find(|ask| ask.aors.len() == count).unwrap();
    let (four, one) = (of(4), of(1));
    assert_eq!(asks.len(), 2, "four at most in one question");
    // The second of the four is refused; a certificate for the others follows.
    home.answers(four, &Word::Refused(0b10, EnrolRefusal::Crowded, 3_600));
    let users: Vec<&str> = four.aors.iter().map(|aor| aor.split('@').next().unwrap()).collect();
    let good = issue(0, &[users[0], users[2], users[3]]).good(&home.town);
    home.certifies(four, &good);
    assert_eq!(home.counters(0, ["refused", "taken"]), [1, 1]);
    let identity = home.identity(0);
    assert_eq!(identity["refused"][0]["aor"], four.aors[1]);
    assert_eq!(identity["refused"][0]["why"], "crowded");
    assert_eq!(identity["certificates"][0]["aors"].as_array().unwrap().len(), 3);
    // The fifth is refused for a minute, which is too short to be believed.
    home.answers(one, &Word::Refused(1, EnrolRefusal::Unanswered, 60));
    assert_eq!(home.identity(0)["enrolment"], "refused");
    let since = home.town.world.now;
    let again = home.next_ask(1_000_000);
    assert_eq!(again.aors, one.aors);
    assert!(again.at.since(since).as_secs() >= 599, "{:?}", again.at.since(since));
    // And the other after its hour.
    home.answers(&again, &Word::Refused(1, EnrolRefusal::Unanswered, 7_200));
    let again = home.next_ask(3_900_000);
    assert_eq!(again.aors, [four.aors[1].clone()]);
    assert!(again.at.since(since).as_secs() >= 3_590);
    home.town.finish();
}

#[test]
fn a_silent_server_is_left_alone_and_nobody_asked_while_the_providers_does_not_answer() {
    let mut home = home(true);
    let _alice = home.phone(0, "alice");
    let first = home.next_ask(LOOK_MS);
    // It says nothing: a few questions, then a pause.
    home.run_ms(180_000);
    let asks = home.asks();
    assert!((4..=5).contains(&asks.len()), "{}", asks.len());
    assert!(asks.iter().all(|ask| ask.number == first.number));
    assert_eq!(home.identity(0)["enrolment"], "no answer");
    home.run_ms(3_600_000);
    let later = home.asks().len();
    assert!((asks.len() + 5..=asks.len() + 25).contains(&later), "{later}");
    home.town.server_is(Fate::Drop);
    home.run_ms(1_800_000);
    assert_eq!(home.town.verdict(0), "down");
    let count = home.asks().len();
    home.run_ms(2 * 3_600_000);
    assert_eq!(home.asks().len(), count);
    home.town.finish();
}

#[test]
fn a_server_that_is_silent_is_left_for_another_one() {
    let mut home = home(true);
    let other = clerk(&home.town, 89, "198.51.100.8:5070");
    let clerks = [home.clerk, home.town.world.add(Node::Clerk(Box::new(other)))];
    home.run_ms(10_000);
    let _alice = home.phone(0, "alice");
    let mut asks = [Vec::new(), Vec::new()];
    for _ in 0..(LOOK_MS + 160_000) / 1_000 {
        home.run_ms(1_000);
        asks = clerks.map(|at| home.town.world.nodes[at].clerk().asks.clone());
        if asks.iter().all(|asks| !asks.is_empty()) {
            break;
        }
    }
    assert_eq!(asks[0][0].number, asks[1][0].number, "the same");
    let second = usize::from(asks[1][0].at > asks[0][0].at);
    let good = issue(0, &["alice"]).good(&home.town).as_bytes().to_vec();
    let good = Word::Certified(good, None);
    // Only whoever is asked now can answer.
    home.clerk = clerks[1 - second];
    home.answers(&asks[1 - second][0], &good);
    assert_eq!(home.counters(0, ["strays", "taken"]), [1, 0]);
    home.clerk = clerks[second];
    home.answers(&asks[second][0], &good);
    assert_eq!(home.counters(0, ["strays", "taken"]), [1, 1]);
    home.town.finish();
}

#[test]
fn what_is_of_another_provider_is_asked_of_another_providers_server() {
    let mut home = home(true);
    let other = clerk(&home.town, 89, "198.51.100.8:5070");
    let clerks = [home.clerk, home.town.world.add(Node::Clerk(Box::new(other)))];
    for at in clerks {
        home.town.world.nodes[at].clerk().word = Word::Refused(1, EnrolRefusal::Foreign, 86_400);
    }
    home.run_ms(10_000);
    let _alice = home.phone(0, "alice");
    home.run_ms(LOOK_MS);
    let asks = clerks.map(|at| home.town.world.nodes[at].clerk().asks.clone());
    assert_eq!(asks.each_ref().map(Vec::len), [1, 1]);
    assert_eq!(asks[0][0].number, asks[1][0].number);
    assert_eq!(home.counters(0, ["refused"]), [1]);
    assert_eq!(home.identity(0)["refused"][0]["why"], "foreign");
    home.town.finish();
}

#[test]
fn where_no_further_certificate_fits_one_for_several_takes_the_place_of_theirs() {
    let mut home = home(true);
    home.clerk().word = Word::Wait(3_600);
    let users = ["alice", "amy", "ann", "ada"];
    for (user, count) in users.iter().zip(1..) {
        home.phone(0, user);
        let ask = home.next_ask(2 * LOOK_MS);
        let good = Issue { serial: count, ..issue(0, &[user]) }.good(&home.town);
        home.certifies(&ask, &good);
        assert_eq!(home.counters(0, ["taken"]), [count]);
    }
    home.phone(0, "abe");
    let ask = home.next_ask(2 * LOOK_MS);
    assert_eq!((ask.aors.len(), ask.aors[0].as_str()), (4, "abe@example.net"));
    let users: Vec<&str> = ask.aors.iter().map(|aor| aor.split('@').next().unwrap()).collect();
    // All certificates of one key are for one place; one that adds nothing is not taken.
    let elsewhere = Issue { place: Some(NodeId([9; 16])), ..issue(0, &users) };
    let (mut again, mut faulty) = (ask.clone(), 0);
    for useless in [elsewhere, issue(0, &users[1..])] {
        let useless = useless.good(&home.town);
        home.certifies(&again, &useless);
        faulty += 1;
        assert_eq!(home.counters(0, ["faulty", "taken"]), [faulty, 4]);
        again = home.next_ask(4 * LOOK_MS);
        assert_eq!(again.aors, ask.aors);
    }
    let good = Issue { serial: 5, ..issue(0, &users) }.good(&home.town);
    home.certifies(&again, &good);
    home.run_ms(60_000);
    let file = home.certificate_file(0).unwrap();
    assert_eq!((file.len(), &file[0]), (2, &good));
    home.run_ms(2 * LOOK_MS);
    assert_eq!(home.asks().len(), 7, "all are certified");
    home.town.finish();
}

#[test]
fn a_certificate_is_written_down_once_nobody_speaks() {
    let mut home = home(true);
    let alice = home.phone(0, "alice");
    home.clerk().word = Word::Wait(3_600);
    let ask = home.next_ask(LOOK_MS);
    let town = &mut home.town;
    town.say(&alice, alice.invite("sip:carol@example.net", "speech"));
    let invite = town.world.expect(server(), "INVITE", 3_000);
    town.accept(&invite, "carol", "sip:carol@198.51.100.1:5060");
    let answer = town.world.expect(alice.at, "200 INVITE", 3_000);
    let mut dialog = Dialog::of_answer(&answer, &alice.contact());
    town.say(&alice, dialog.ack(answer.cseq()));
    let good = issue(0, &["alice"]).good(&home.town);
    home.certifies(&ask, &good);
    assert_eq!(home.counters(0, ["taken"]), [1]);
    home.run_ms(10_000);
    assert_eq!(home.certificate_file(0), None);
    // A reload meanwhile does not bring the old file back.
    let (place, config) = (home.town.routers[0].place, home.town.routers[0].config.clone());
    home.town.world.input(place, Input::Config(&config));
    home.run_ms(1_000);
    assert_eq!(home.identity(0)["certificates"].as_array().unwrap().len(), 1);
    let town = &mut home.town;
    town.say(&alice, dialog.request("BYE", &[], ""));
    let bye = town.world.expect(server(), "BYE", 3_000);
    town.reply(&bye, 200, "", &[]);
    home.run_ms(10_000);
    assert_eq!(home.certificate_file(0), Some(vec![good]));
    home.town.finish();
}
