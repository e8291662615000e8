//! Routers that ask a CoSIP server for certificates, and challenges that come by the provider's.

use crate::clerk::{Clerk, Heard, Word};
use crate::node::Node;
use crate::provider::registrar;
use crate::sip::{Msg, write};
use crate::town::{DOMAIN, EPOCH_S, Phone, SERVER, Town, at, server};
use cosip::channel::EnrolRefusal;
use cosip::config::{Anchor, HostPort};
use cosip::identity::authority::{Authority, Subject};
use cosip::identity::certificate::text;
use cosip::identity::chain::Validity;
use cosip::identity::enrolment::{Challenge, HEADER, key_hash, sign};
use cosip::identity::record::Key;
use cosip::identity::{Certificate, Identity, NetworkKeys};
use cosip::limits::BUILT_UNIX_S;
use cosip::net::{File, NodeId};

const CLERK: &str = "198.51.100.7:5070";
/// Within this time a router that lacks a certificate has asked, and asked again.
const LOOK_MS: u64 = 310_000;
const DAY_S: u32 = 86_400;

fn anchor() -> Identity {
    Identity::from_seed([77; 32]).unwrap()
}

/// A town whose routers join the overlay through a CoSIP server, and the server's place.
fn town(anchored: bool) -> (Town, usize) {
    let mut town = Town::empty(1);
    town.epoch_s = EPOCH_S.max(BUILT_UNIX_S);
    let clerk = Clerk::new((town.world.now, town.epoch_s), at(CLERK), &town.keys, &anchor());
    let clerk = town.world.add(Node::Clerk(Box::new(clerk)));
    town.world.run_ms(1_000);
    for number in 1..=3 {
        town.add_router(number, |config| {
            let (host, port) = (at(CLERK).ip().to_string(), at(CLERK).port());
            config.overlay.bootstrap = vec![HostPort { host, port }];
            if anchored {
                config.identity.trust_anchor = vec![Anchor(anchor().public())];
            }
        });
    }
    town.world.autos.insert(server(), Box::new(registrar));
    town.world.run_ms(8_000);
    (town, clerk)
}

/// What the provider issues to a router: for these phones, at this place, for so many seconds.
struct Issue<'a> {
    router: usize,
    users: &'a [&'a str],
    place: Option<NodeId>,
    serial: u64,
    life_s: u32,
}

impl Issue<'_> {
    fn by(&self, town: &Town, anchor: Identity, keys: &NetworkKeys) -> Certificate {
        let key = town.routers[self.router].identity.public();
        let now_s = unix_s(town);
        let key_of = |user: &&str| Key::of(&keys.aor_key(&format!("{user}@{DOMAIN}")));
        let keys_of: Vec<Key> = self.users.iter().map(key_of).collect();
        Authority::anchor(anchor, keys.network()).certify(&Subject {
            serial: self.serial,
            key,
            place: self.place.unwrap_or_else(|| town.routers[self.router].identity.id()),
            validity: Validity { from_s: now_s - 60, until_s: now_s - 60 + self.life_s },
            keys: &keys_of,
        })
    }

    fn good(&self, town: &Town) -> Certificate {
        self.by(town, anchor(), &town.keys)
    }
}

fn unix_s(town: &Town) -> u32 {
    (town.epoch_s + town.world.now.millis() / 1000) as u32
}

fn issue<'a>(router: usize, users: &'a [&'a str]) -> Issue<'a> {
    Issue { router, users, place: None, serial: 7, life_s: 14 * DAY_S }
}

impl Town {
    fn asks(&mut self, clerk: usize) -> &[Heard] {
        &self.world.nodes[clerk].clerk().asks
    }

    fn says(&mut self, clerk: usize, word: Word) {
        self.world.nodes[clerk].clerk().word = word;
    }

    /// The next question that is heard.
    fn next_ask(&mut self, clerk: usize, within_ms: u64) -> Heard {
        let before = self.asks(clerk).len();
        for _ in 0..within_ms / 100 {
            self.world.run_ms(100);
            if let Some(ask) = self.asks(clerk).get(before) {
                return ask.clone();
            }
        }
        panic!("no question within {within_ms} ms");
    }

    /// Answers one question.
    fn answers(&mut self, clerk: usize, ask: &Heard, word: &Word) {
        let (from, number) = (ask.from, ask.number);
        self.world.order(clerk, |node, now| node.clerk().tell(now, from, number, word));
        self.world.run_ms(1_000);
    }

    fn counter(&mut self, router: usize, name: &str) -> u64 {
        self.status(router)["counters"][format!("enrolment_{name}")].as_u64().unwrap()
    }

    fn certificate_file(&self, router: usize) -> Option<Vec<Certificate>> {
        let place = self.routers[router].place;
        let file = self.world.files.iter().find(|it| (it.0, it.1) == (place, File::Certificates));
        file.map(|it| text::parse(core::str::from_utf8(&it.2).unwrap()).unwrap())
    }

    /// The provider passes an OPTIONS on to a phone's Contact; the answer that comes.
    fn challenge(&mut self, phone: &Phone, to: &str, name: &str, value: &str) -> Msg {
        let router = (0..3).find(|router| self.routers[*router].proxy() == phone.proxy).unwrap();
        let outside = self.routers[router].outside();
        let call_id = format!("challenge-{:x}", self.world.rng.next_u64());
        let via = format!("SIP/2.0/UDP {SERVER};branch=z9hG4bK{call_id}");
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
        let line = format!("OPTIONS sip:{}@{outside} SIP/2.0", phone.user);
        self.world.send(server(), outside, write(&line, &headers, ""));
        self.world.expect(server(), "OPTIONS", 5_000)
    }
}

fn challenge_of(nonce: u8, key: &Identity) -> String {
    Challenge { nonce: [nonce; 16], key_hash: key_hash(&key.public()) }.to_text()
}

/// What reached a phone.
fn heard_by(town: &Town, phone: &Phone) -> usize {
    let to_phone = town.world.log.iter().filter(|packet| packet.to == phone.at);
    to_phone.filter(|packet| packet.data.starts_with(b"OPTIONS")).count()
}

#[test]
fn without_a_trust_anchor_nothing_is_asked_and_challenges_stay_from_phones_all_the_same() {
    let (mut town, clerk) = town(false);
    let alice = town.registered(0, 1, "alice");
    town.world.run_ms(2 * LOOK_MS);
    assert!(town.asks(clerk).is_empty());
    let own = challenge_of(1, &town.routers[0].identity);
    for value in [own.as_str(), "", "zz", &own[1..]] {
        let answer = town.challenge(&alice, &alice.aor(), HEADER, value);
        assert_eq!(answer.status(), 200);
        assert!(answer.one("Allow").contains("INVITE"));
    }
    let answer = town.challenge(&alice, &alice.aor(), "cosip-challenge", &own);
    assert_eq!(answer.status(), 200);
    assert_eq!(heard_by(&town, &alice), 0);
    assert_eq!([town.counter(0, "malformed"), town.counter(0, "unasked")], [3, 2]);
    assert_eq!([town.counter(0, "proofs"), town.counter(0, "asked")], [0, 0]);
    assert!(town.world.nodes[clerk].clerk().proofs.is_empty());
    town.finish();
}

#[test]
fn a_pending_question_has_its_challenge_answered_once_and_its_certificate_taken() {
    let (mut town, clerk) = town(true);
    let alice = town.registered(0, 1, "alice");
    town.says(clerk, Word::Wait(3_600));
    let ask = town.next_ask(clerk, LOOK_MS);
    assert_eq!(
        (ask.from, &ask.aors[..]),
        (town.routers[0].identity.id(), &["alice@example.net".to_owned()][..])
    );
    assert_eq!(town.status(0)["identity"]["enrolment"], "waiting");
    // A question that waits is not repeated.
    town.world.run_ms(600_000);
    assert_eq!(town.asks(clerk).len(), 1);
    let identity = town.routers[0].identity.clone();
    let aor = alice.aor();
    // Another key, somebody else's address, one that is not registered here: nothing is signed.
    let other = challenge_of(2, &town.routers[1].identity);
    town.challenge(&alice, &aor, HEADER, &other);
    town.challenge(&alice, "sip:bob@example.net", HEADER, &challenge_of(3, &identity));
    town.world.run_ms(1_000);
    assert_eq!(["foreign", "unasked", "proofs"].map(|it| town.counter(0, it)), [1, 1, 0]);
    assert_eq!(town.status(0)["identity"]["foreign_keys"], serde_json::json!([]), "not certified");
    // Its own is answered, once.
    for _ in 0..2 {
        let answer = town.challenge(&alice, &aor, HEADER, &challenge_of(4, &identity));
        assert_eq!(answer.status(), 200);
        town.world.run_ms(1_000);
    }
    assert_eq!(["foreign", "unasked", "proofs"].map(|it| town.counter(0, it)), [1, 2, 1]);
    let signature = sign(&identity, town.keys.network(), "alice@example.net", &[4; 16]);
    let proofs = &town.world.nodes[clerk].clerk().proofs;
    let proofs: Vec<_> = proofs.iter().map(|(from, it)| (*from, it.nonce, it.signature)).collect();
    assert_eq!(proofs, [(identity.id(), [4; 16], signature)]);
    assert_eq!(heard_by(&town, &alice), 0);
    // What came is used and written down; the new place is a new member.
    assert_eq!(town.finds(2, &aor), 0, "nobody reads an uncertified record");
    let place = Authority::place(&[5; 32], &identity.public());
    let good = Issue { place: Some(place), ..issue(0, &["alice"]) }.good(&town);
    town.answers(clerk, &ask, &Word::Certified(good.as_bytes().to_vec()));
    town.world.run_ms(60_000);
    assert_eq!(town.certificate_file(0), Some(vec![good]));
    let status = town.status(0);
    assert_eq!(status["overlay"]["id"], place.to_string());
    let certificate = &status["identity"]["certificates"][0];
    assert_eq!(certificate["aors"], serde_json::json!(["alice@example.net"]));
    assert_eq!(
        (certificate["valid"].as_bool(), &status["identity"]["enrolment"]),
        (Some(true), &"none".into())
    );
    assert_eq!(town.finds(2, &aor), 1);
    assert_eq!(["asked", "taken", "faulty"].map(|it| town.counter(0, it)), [1, 1, 0]);
    // Its answer is no question any more, and what others ask for is seen.
    town.challenge(&alice, &aor, HEADER, &challenge_of(5, &identity));
    town.challenge(&alice, &aor, HEADER, &other);
    assert_eq!(["foreign", "unasked", "proofs"].map(|it| town.counter(0, it)), [2, 3, 1]);
    assert_eq!(town.status(0)["identity"]["foreign_keys"][0]["aor"], "alice@example.net");
    town.world.run_ms(2 * LOOK_MS);
    assert_eq!(town.asks(clerk).len(), 1, "it lasts");
    town.finish();
}

#[test]
fn a_certificate_that_does_not_hold_or_is_somebody_elses_is_refused() {
    let (mut town, clerk) = town(true);
    let _alice = town.registered(0, 1, "alice");
    town.says(clerk, Word::Wait(3_600));
    let mine = issue(0, &["alice"]);
    let other_network = NetworkKeys::new(&[5; 32], "village");
    let forger = Identity::from_seed([78; 32]).unwrap();
    let mut forged = mine.good(&town).as_bytes().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let faulty: [(&str, Vec<u8>); 6] = [
        ("no certificate", vec![1, 2, 3]),
        ("forged", forged),
        ("another anchor", mine.by(&town, forger, &town.keys).as_bytes().to_vec()),
        ("another network", mine.by(&town, anchor(), &other_network).as_bytes().to_vec()),
        ("another key", issue(1, &["alice"]).good(&town).as_bytes().to_vec()),
        ("another address", issue(0, &["bob"]).good(&town).as_bytes().to_vec()),
    ];
    for (number, (what, bytes)) in faulty.into_iter().enumerate() {
        let ask = town.next_ask(clerk, 3 * 3_600_000);
        town.answers(clerk, &ask, &Word::Certified(bytes));
        assert_eq!(town.counter(0, "faulty"), number as u64 + 1, "{what}");
    }
    let ask = town.next_ask(clerk, 3 * 3_600_000);
    let expired = Issue { life_s: 30, ..mine }.good(&town);
    town.answers(clerk, &ask, &Word::Certified(expired.as_bytes().to_vec()));
    assert_eq!([town.counter(0, "faulty"), town.counter(0, "taken")], [7, 0]);
    // An answer to another question counts for nothing, good as it is.
    let ask = town.next_ask(clerk, 3 * 3_600_000);
    let good = Word::Certified(issue(0, &["alice"]).good(&town).as_bytes().to_vec());
    let stray = Heard { number: ask.number ^ 1, ..ask.clone() };
    town.answers(clerk, &stray, &good);
    assert_eq!(["strays", "taken"].map(|it| town.counter(0, it)), [1, 0]);
    assert_eq!(town.certificate_file(0), None);
    town.answers(clerk, &ask, &good);
    assert_eq!(town.counter(0, "taken"), 1);
    town.finish();
}

#[test]
fn half_a_life_before_its_end_a_certificate_is_renewed_by_each_at_a_moment_of_its_own() {
    let (mut town, clerk) = town(true);
    let _alice = town.registered(0, 1, "alice");
    let _bob = town.registered(1, 1, "bob");
    town.says(clerk, Word::Wait(3_600));
    let life_s = 28 * 3_600;
    let mut renewed = Vec::new();
    for _ in 0..2 {
        let ask = town.next_ask(clerk, LOOK_MS);
        let router = usize::from(ask.aors == ["bob@example.net"]);
        let user = ["alice", "bob"][router];
        let users = [user];
        let first = Issue { life_s, ..issue(router, &users) }.good(&town);
        town.answers(clerk, &ask, &Word::Certified(first.as_bytes().to_vec()));
        assert_eq!(town.counter(router, "taken"), 1);
        renewed.push((router, u64::from(first.validity().from_s)));
    }
    let mut moments = Vec::new();
    for _ in 0..2 {
        let ask = town.next_ask(clerk, 15 * 3_600_000);
        let router = usize::from(ask.aors == ["bob@example.net"]);
        let from_s = renewed.iter().find(|it| it.0 == router).unwrap().1;
        let age_s = town.epoch_s + ask.at.millis() / 1000 - from_s;
        let half = u64::from(life_s) / 2;
        assert!((half - 7_200..=half + 310).contains(&age_s), "{age_s}");
        moments.push(age_s);
        let users = [["alice", "bob"][router]];
        let next = Issue { life_s, serial: 8, ..issue(router, &users) }.good(&town);
        town.answers(clerk, &ask, &Word::Certified(next.as_bytes().to_vec()));
        town.world.run_ms(60_000);
        assert_eq!(town.certificate_file(router), Some(vec![next]), "the one before is gone");
    }
    assert!(moments[0].abs_diff(moments[1]) > 300, "{moments:?}");
    let status = town.status(0);
    assert_eq!(status["identity"]["certificates"].as_array().unwrap().len(), 1);
    town.finish();
}

#[test]
fn what_is_refused_is_left_alone_for_a_while_and_the_rest_is_certified() {
    let (mut town, clerk) = town(true);
    for (number, user) in (1..).zip(["alice", "amy", "ann", "ada", "abe"]) {
        town.registered(0, number, user);
    }
    town.says(clerk, Word::Wait(3_600));
    let first = town.next_ask(clerk, LOOK_MS);
    town.world.run_ms(1_000);
    let asks: Vec<Heard> = town.asks(clerk).to_vec();
    let mut sizes: Vec<usize> = asks.iter().map(|ask| ask.aors.len()).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 4], "four at most in one question");
    let four = asks.iter().find(|ask| ask.aors.len() == 4).unwrap().clone();
    let one = asks.iter().find(|ask| ask.aors.len() == 1).unwrap().clone();
    assert_eq!(first.from, four.from);
    // The second of the four is refused; a certificate for the others follows.
    town.answers(clerk, &four, &Word::Refused(0b10, EnrolRefusal::Crowded, 3_600));
    let users: Vec<&str> = four.aors.iter().map(|aor| aor.split('@').next().unwrap()).collect();
    let good = issue(0, &[users[0], users[2], users[3]]).good(&town);
    town.answers(clerk, &four, &Word::Certified(good.as_bytes().to_vec()));
    assert_eq!(["refused", "taken"].map(|it| town.counter(0, it)), [1, 1]);
    let status = town.status(0)["identity"].clone();
    assert_eq!(status["refused"][0]["aor"], four.aors[1]);
    assert_eq!(status["refused"][0]["why"], "crowded");
    assert_eq!(status["certificates"][0]["aors"].as_array().unwrap().len(), 3);
    // The fifth is refused for a minute, which is too short to be believed.
    town.answers(clerk, &one, &Word::Refused(1, EnrolRefusal::Unanswered, 60));
    assert_eq!(town.status(0)["identity"]["enrolment"], "refused");
    let (count, since) = (town.asks(clerk).len(), town.world.now);
    town.world.run_ms(590_000);
    assert_eq!(town.asks(clerk).len(), count);
    let again = town.next_ask(clerk, 500_000);
    assert_eq!(again.aors, one.aors);
    assert!(again.at.since(since).as_secs() >= 600);
    // And the other after its hour.
    town.answers(clerk, &again, &Word::Refused(1, EnrolRefusal::Unanswered, 7_200));
    let again = town.next_ask(clerk, 3_600_000);
    assert_eq!(again.aors, [four.aors[1].clone()]);
    assert!(again.at.since(since).as_secs() >= 3_590);
    town.finish();
}

#[test]
fn nobody_is_asked_while_the_providers_server_is_silent_and_a_silent_clerk_is_left_alone() {
    let (mut town, clerk) = town(true);
    let _alice = town.registered(0, 1, "alice");
    let first = town.next_ask(clerk, LOOK_MS);
    // It says nothing: a few questions, then a pause.
    town.world.run_ms(150_000);
    let count = town.asks(clerk).len();
    assert!((3..=5).contains(&count), "{count}");
    assert!(town.asks(clerk).iter().all(|ask| ask.number == first.number));
    town.world.run_ms(60_000);
    assert_eq!(town.status(0)["identity"]["enrolment"], "no answer");
    town.world.run_ms(3_600_000);
    let later = town.asks(clerk).len();
    assert!((count + 3..=count + 40).contains(&later), "{count} {later}");
    town.server_is(crate::net::Fate::Drop);
    town.world.run_ms(600_000);
    assert_eq!(town.verdict(0), "down");
    let count = town.asks(clerk).len();
    town.world.run_ms(3_600_000);
    assert_eq!(town.asks(clerk).len(), count);
    town.finish();
}
