//! The desk in virtual time, with books in a file and a SIP server that these tests play.

mod outage;

use super::*;
use crate::identity::enrolment::sign;
use crate::identity::record::Key;
use crate::identity::{Certificate, Identity, NetworkKeys};
use crate::net::NodeId;
use crate::server::DAY_S;
use crate::server::books::Selector;
use crate::server::folder::Folder;
use crate::server::setup::{self, Plan};
use crate::server::text::hex;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

const SETTINGS: &str = "\
config provider 'example'
	option domain 'example.net'
	option country_code '49'
";
pub(in crate::server) const START_S: u64 = 1_796_000_000;
const DAY: Duration = Duration::from_secs(DAY_S);

/// A network of its own for one test: in memory where there is such a folder, for the books are
/// written through to the disk.
pub(in crate::server) struct Scratch(PathBuf);

impl Scratch {
    pub(in crate::server) fn new(name: &str) -> Self {
        let memory = Path::new("/dev/shm");
        let base = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path = base.join(format!("cosip-desk-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        let settings = path.join("routers.config");
        fs::write(&settings, SETTINGS).unwrap();
        fs::set_permissions(&settings, fs::Permissions::from_mode(0o600)).unwrap();
        let plan = Plan {
            settings: &settings,
            secret: None,
            offline: None,
            database: None,
            days: 90,
            passphrase: "correct horse battery",
        };
        let moment = Moment { now_s: START_S, by: "alice" };
        setup::init(&Folder::new(path.join("net")), &plan, moment, &mut Rng::new([1; 32])).unwrap();
        Self(path)
    }

    pub(in crate::server) fn office(&self) -> Office {
        Office::open(Folder::new(self.0.join("net"))).unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A desk, its books, and everything around.
struct World {
    now: Instant,
    desk: Desk,
    office: Office,
    /// Challenges that the SIP server has seen: when, number, AOR, what the header says.
    seen: Vec<(Instant, u32, String, Challenge)>,
    heard: Vec<(NodeId, u32, Answer)>,
    _scratch: Scratch,
}

fn identity(number: u32) -> Identity {
    let mut seed = [7; 32];
    seed[..4].copy_from_slice(&number.to_be_bytes());
    Identity::from_seed(seed).unwrap()
}

/// The adapter of this number, each at an address of its own.
fn asker(number: u32) -> Asker {
    let address = IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number));
    Asker { peer: identity(number).id(), key: identity(number).public(), address }
}

fn aor(user: &str) -> String {
    format!("{user}@example.net")
}

impl World {
    fn new(name: &str) -> Self {
        let scratch = Scratch::new(name);
        let now = Instant::from_micros(1_000_000);
        let desk = Desk::new(now, [9; 32], 50, &mut Rng::new([2; 32]));
        let (seen, heard) = (Vec::new(), Vec::new());
        Self { now, desk, office: scratch.office(), seen, heard, _scratch: scratch }
    }

    fn moment(&self) -> Moment<'static> {
        Moment { now_s: START_S + self.now.millis() / 1000, by: "desk" }
    }

    fn ask(&mut self, number: u32, ask: u32, users: &[&str]) {
        let aors: Vec<String> = users.iter().map(|user| aor(user)).collect();
        self.ask_for(&asker(number), ask, &aors);
    }

    fn ask_for(&mut self, asker: &Asker, ask: u32, aors: &[String]) {
        let moment = self.moment();
        self.desk.ask(self.now, moment, &mut self.office, (asker, ask, aors)).unwrap();
        self.drain();
    }

    /// The adapter of this number answers a challenge for this AOR.
    fn prove(&mut self, number: u32, user: &str, nonce: Nonce) {
        let identity = identity(number);
        let signature = sign(&identity, self.office.keys.network(), &aor(user), &nonce);
        self.prove_with(&identity.public(), &EnrolProof { nonce, signature });
    }

    fn prove_with(&mut self, key: &PublicKey, proof: &EnrolProof) {
        let moment = self.moment();
        self.desk.proof(moment, &mut self.office, (key, proof)).unwrap();
        self.drain();
    }

    fn report(&mut self, number: u32, nonce: Nonce) {
        let (moment, key) = (self.moment(), identity(number).public());
        self.desk.report(moment, &mut self.office, (&key, &nonce)).unwrap();
    }

    fn drain(&mut self) {
        while let Some(wish) = self.desk.poll_wish(self.now) {
            match wish {
                Wish::Challenge { number, aor, challenge } => {
                    self.seen.push((self.now, number, aor, challenge));
                }
                Wish::Answer { peer, number, answer } => self.heard.push((peer, number, answer)),
            }
        }
    }

    /// Lets time pass, and all that is due happen.
    fn pass(&mut self, interval: Duration) {
        let end = self.now + interval;
        while let Some(at) = self.desk.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            let moment = self.moment();
            self.desk.handle_timeout(self.now, moment, &mut self.office).unwrap();
            self.drain();
        }
        self.now = end;
    }

    /// The challenges seen since this was asked last.
    fn challenges(&mut self) -> Vec<(u32, String, Challenge)> {
        self.seen.drain(..).map(|(_, number, aor, challenge)| (number, aor, challenge)).collect()
    }

    /// Lets time pass until the next challenge is sent, within a day.
    fn next_challenge(&mut self) -> (String, Challenge) {
        let end = self.now + DAY + Duration::from_secs(31);
        while self.seen.is_empty() {
            self.pass(Duration::from_secs(1));
            assert!(self.now <= end, "within a day");
        }
        let (_, aor, challenge) = self.challenges().remove(0);
        (aor, challenge)
    }

    /// The answers heard since this was asked last, without who and number.
    fn answers(&mut self) -> Vec<Answer> {
        self.heard.drain(..).map(|(_, _, answer)| answer).collect()
    }

    /// One adapter asks for one AOR and is certified, with nobody in the way.
    fn certify(&mut self, number: u32, user: &str) -> Certificate {
        self.ask(number, 1, &[user]);
        self.pass(Duration::from_millis(20));
        let nonce = self.challenges().pop().unwrap().2.nonce;
        self.prove(number, user, nonce);
        certificate(self.answers().pop().unwrap())
    }

    fn covers(&self, certificate: &Certificate, user: &str) -> bool {
        let keys: &NetworkKeys = &self.office.keys;
        keys.aor_keys(&aor(user)).all(|key| certificate.covers(&Key::of(&key)))
    }
}

fn certificate(answer: Answer) -> Certificate {
    match answer {
        Answer::Certified(certificate, _) => *certificate,
        other => panic!("{other:?}"),
    }
}

fn refused(which: u8, why: EnrolRefusal) -> impl Fn(&Answer) -> bool {
    move |answer| {
        matches!(answer, Answer::Refused { which: w, why: y, again_s }
            if (*w, *y) == (which, why) && *again_s > 0)
    }
}

#[test]
fn who_answers_for_each_phone_gets_one_certificate_for_all() {
    let mut world = World::new("one");
    world.ask(1, 7, &["alice", "bob"]);
    assert!(matches!(world.answers()[..], [Answer::Wait(12)]));
    world.pass(Duration::from_millis(20));
    let seen = world.challenges();
    let [(_, first, challenge), (_, second, other)] = seen.as_slice() else { panic!("{seen:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("alice@example.net", "bob@example.net"));
    assert_eq!(challenge.key_hash, key_hash(&identity(1).public()));
    assert_ne!(challenge.nonce, other.nonce);
    world.prove(1, "bob", other.nonce);
    assert_eq!(world.answers(), [], "not all was answered yet");
    world.prove(1, "alice", challenge.nonce);
    assert_eq!(world.heard.len(), 1);
    let (peer, number, answer) = world.heard.remove(0);
    assert_eq!((peer, number), (identity(1).id(), 7));
    let issued = certificate(answer);
    assert!(world.covers(&issued, "alice") && world.covers(&issued, "bob"));
    assert_eq!(issued.key(), identity(1).public());
    assert_eq!(world.desk.in_use().map(|(_, count)| count), [0; 4]);
}

#[test]
fn a_new_secret_of_the_network_goes_to_those_alone_who_are_certified() {
    let mut world = World::new("secret");
    let before = world.certify(1, "alice");
    assert_eq!(world.desk.counters().secrets, 0);
    let moment = world.moment();
    world.office.new_secret(moment, 15, &mut Rng::new([3; 32])).unwrap();
    // What was issued before lists nothing under it, so it is not handed out again.
    world.ask(1, 2, &["alice", "bob"]);
    assert!(matches!(world.answers()[..], [Answer::Wait(_)]));
    world.pass(Duration::from_millis(20));
    let nonce = world.challenges()[0].2.nonce;
    world.prove(1, "alice", nonce);
    world.pass(Duration::from_secs(11));
    let answers = world.answers();
    let [refused, Answer::Certified(issued, secret)] = answers.as_slice() else {
        panic!("{answers:?}")
    };
    assert!(matches!(refused, Answer::Refused { which: 2, .. }));
    assert_eq!(*secret, world.office.newest_secret());
    assert!(secret.is_some_and(|it| u64::from(it.sends_s) == START_S + 1 + 15 * DAY_S));
    assert!(world.covers(issued, "alice") && issued.serial() > before.serial());
    // The same again, with it; and nothing for whoever is not certified.
    world.ask(1, 3, &["alice"]);
    assert!(matches!(&world.answers()[..], [Answer::Certified(_, Some(_))]));
    world.ask(2, 1, &["carol"]);
    world.pass(Duration::from_secs(11));
    let answers = world.answers();
    assert!(matches!(&answers[..], [Answer::Wait(_), Answer::Refused { .. }]), "{answers:?}");
    assert_eq!(world.desk.counters().secrets, 2);
}

#[test]
fn a_challenge_is_good_for_one_key_one_aor_ten_seconds_and_once() {
    let mut world = World::new("nonce");
    world.ask(1, 1, &["alice", "bob"]);
    world.pass(Duration::from_millis(20));
    let seen = world.challenges();
    let (alice, bob) = (seen[0].2.nonce, seen[1].2.nonce);
    // Another key, for itself and with what it is not.
    world.prove(2, "alice", alice);
    let signature = sign(&identity(2), world.office.keys.network(), &aor("alice"), &alice);
    world.prove_with(&identity(1).public(), &EnrolProof { nonce: alice, signature });
    // The right key for another AOR, with another's challenge, in another network.
    world.prove(1, "bob", alice);
    world.prove(1, "alice", bob);
    let signature = sign(&identity(1), &[0; 16], &aor("alice"), &alice);
    world.prove_with(&identity(1).public(), &EnrolProof { nonce: alice, signature });
    assert_eq!(world.desk.counters().proofs_wrong, 5);
    world.prove(1, "alice", [0; 16]);
    world.prove(1, "alice", alice);
    world.prove(1, "alice", alice);
    let counters = world.desk.counters();
    assert_eq!((counters.proofs, counters.proofs_strange), (1, 2));
    world.answers();
    world.pass(Duration::from_millis(9_990));
    assert_eq!(world.answers(), [], "ten seconds from when it was sent");
    world.pass(Duration::from_millis(20));
    let answers = world.answers();
    assert!(refused(2, EnrolRefusal::Unanswered)(&answers[0]), "{answers:?}");
    let issued = certificate(answers[1].clone());
    assert!(world.covers(&issued, "alice") && !world.covers(&issued, "bob"));
    world.prove(1, "bob", bob);
    assert_eq!(world.desk.counters().proofs_strange, 3, "it is over");
    assert_eq!(world.answers(), []);
}

#[test]
fn what_the_sip_server_says_is_passed_on_and_never_enough() {
    for (status, why) in [
        (Some(200), EnrolRefusal::Unanswered),
        (Some(404), EnrolRefusal::Unanswered),
        (Some(408), EnrolRefusal::Unanswered),
        (Some(480), EnrolRefusal::Unanswered),
        (Some(403), EnrolRefusal::Server),
        (Some(407), EnrolRefusal::Server),
        (Some(503), EnrolRefusal::Server),
        (None, EnrolRefusal::Server),
    ] {
        let mut world = World::new("status");
        world.ask(1, 1, &["alice"]);
        world.answers();
        let number = world.challenges()[0].0;
        world.pass(Duration::from_secs(1));
        world.desk.answered(world.now, number, status);
        world.pass(Duration::from_millis(1_990));
        assert_eq!(world.answers(), [], "{status:?}: an adapter may still be heard");
        world.pass(Duration::from_secs(if status == Some(200) { 8 } else { 1 }));
        let answers = world.answers();
        assert!(refused(1, why)(&answers[0]) && answers.len() == 1, "{status:?}: {answers:?}");
    }
    let books = &mut World::new("status").office;
    assert_eq!(books.books().certificates(&Selector::All, None).unwrap(), []);
}

#[test]
fn a_repeated_ask_is_not_challenged_again_and_a_renewal_is() {
    let mut world = World::new("repeat");
    world.ask(1, 1, &["alice"]);
    world.ask(1, 1, &["alice"]);
    world.pass(Duration::from_secs(1));
    let seen = world.challenges();
    assert_eq!(seen.len(), 1, "while it is open");
    world.prove(1, "alice", seen[0].2.nonce);
    let first = certificate(world.answers().pop().unwrap());
    world.pass(6 * DAY);
    world.ask(1, 2, &["alice"]);
    let again = certificate(world.answers().pop().unwrap());
    assert_eq!(again.serial(), first.serial());
    assert!(world.challenges().is_empty());
    world.ask(2, 1, &["alice"]);
    world.pass(Duration::from_millis(20));
    assert_eq!(world.challenges().len(), 1, "of another key");
    world.pass(DAY);
    world.ask(1, 3, &["alice"]);
    world.pass(Duration::from_millis(20));
    let seen = world.challenges();
    assert_eq!(seen.len(), 1, "half of its life is over");
    world.answers();
    world.prove(1, "alice", seen[0].2.nonce);
    let renewed = certificate(world.answers().pop().unwrap());
    assert!(renewed.serial() > first.serial());
    assert_eq!(renewed.place(), first.place());
}

#[test]
fn a_second_key_waits_for_a_second_challenge_over_a_restart() {
    let mut world = World::new("second");
    world.certify(1, "alice");
    world.ask(2, 1, &["alice", "bob"]);
    world.pass(Duration::from_millis(20));
    let seen = world.challenges();
    world.prove(2, "alice", seen[0].2.nonce);
    world.prove(2, "bob", seen[1].2.nonce);
    let answers = world.answers();
    assert!(refused(1, EnrolRefusal::Unanswered)(&answers[1]), "{answers:?}");
    let issued = certificate(answers[2].clone());
    assert!(world.covers(&issued, "bob") && !world.covers(&issued, "alice"));
    // What it lacks alone, and all: it waits, and is not challenged.
    for users in [&["alice"][..], &["alice", "bob"]] {
        world.ask(2, 2, users);
        let answers = world.answers();
        assert!(matches!(answers[..], [Answer::Wait(2_700..=5_400)]), "{answers:?}");
    }
    assert!(world.challenges().is_empty());
    let asked = world.now;
    world.desk = Desk::new(world.now, [9; 32], 50, &mut Rng::new([3; 32]));
    let (name, first) = world.next_challenge();
    assert_eq!((name, first.key_hash), (aor("alice"), key_hash(&identity(2).public())));
    assert!(world.now.since(asked) > Duration::from_secs(60), "at some time of the day");
    // A restart in between: there is another one, at another time, and the first is over.
    world.desk = Desk::new(world.now, [9; 32], 50, &mut Rng::new([4; 32]));
    world.prove(2, "alice", first.nonce);
    assert_eq!(world.desk.counters().proofs_strange, 1);
    let (_, second) = world.next_challenge();
    assert_ne!(second.nonce, first.nonce);
    // Three in all; then it begins anew.
    world.next_challenge();
    world.pass(2 * DAY);
    assert!(world.challenges().is_empty());
    world.answers();
    world.ask(2, 3, &["alice"]);
    world.pass(Duration::from_millis(20));
    assert_eq!(world.challenges().len(), 1);
}

#[test]
fn who_has_an_aor_reports_once_that_another_asks_and_the_audit_has_it() {
    let mut world = World::new("reported");
    world.certify(1, "alice");
    world.certify(3, "carol");
    world.ask(2, 1, &["alice"]);
    world.pass(Duration::from_millis(20));
    let nonce = world.challenges().pop().unwrap().2.nonce;
    // Who asks itself, who has another AOR, and a challenge that is none.
    world.report(2, nonce);
    world.report(3, nonce);
    world.report(1, [9; 16]);
    assert_eq!(world.desk.counters().reports_strange, 3);
    world.report(1, nonce);
    world.report(1, nonce);
    let counters = world.desk.counters();
    assert_eq!((counters.foreign_reported, counters.reports_strange), (1, 4));
    let audit = world.office.books().audit().unwrap();
    let rows: Vec<_> = audit.iter().filter(|row| row.text(3) == "foreign key").collect();
    let [row] = rows[..] else { panic!("{audit:?}") };
    assert_eq!((row.text(5), row.text(6)), (&*hex(&identity(2).public()), &*aor("alice")));
    assert_eq!(row.text(7), format!("reported by {}", hex(&identity(1).public())));
    // It goes on all the same, and a report of what is over is none.
    world.prove(2, "alice", nonce);
    world.report(1, nonce);
    assert_eq!(world.desk.counters().reports_strange, 5);
}

#[test]
fn a_second_challenge_that_is_answered_is_enough_and_is_audited() {
    let mut world = World::new("answered");
    world.certify(1, "alice");
    world.ask(2, 1, &["alice"]);
    world.pass(Duration::from_millis(20));
    let nonce = world.challenges()[0].2.nonce;
    world.prove(2, "alice", nonce);
    world.answers();
    let (_, challenge) = world.next_challenge();
    world.prove(2, "alice", challenge.nonce);
    assert_eq!(world.desk.counters().seconds_proven, 1);
    // Another server of the same books issues it as well.
    world.desk = Desk::new(world.now, [8; 32], 50, &mut Rng::new([3; 32]));
    world.ask(2, 2, &["alice"]);
    let issued = certificate(world.answers().pop().unwrap());
    assert!(world.covers(&issued, "alice"));
    let rows = world.office.books().audit().unwrap();
    let row = rows.last().unwrap();
    assert_eq!((row.text(2), row.text(3)), ("desk", "issue second"));
    assert!(row.text(7).contains("beside"), "{}", row.text(7));
    // Both renew without another day.
    world.pass(8 * DAY);
    for number in [1, 2] {
        world.ask(number, 9, &["alice"]);
        world.pass(Duration::from_millis(20));
        let nonce = world.challenges().pop().unwrap().2.nonce;
        world.prove(number, "alice", nonce);
        certificate(world.answers().pop().unwrap());
    }
}

#[test]
fn what_cannot_be_certified_is_refused_and_never_challenged() {
    let mut world = World::new("refused");
    let foreign = ["alice@example.org", "server@cosip.invalid", "Alice@Example.net", "bob"];
    for text in foreign {
        world.ask_for(&asker(1), 1, &[text.to_owned()]);
        let answers = world.answers();
        assert!(refused(1, EnrolRefusal::Foreign)(&answers[0]), "{text}: {answers:?}");
    }
    // In one spelling alone, for others are the same phone's.
    world.ask(1, 1, &["0049891234567"]);
    assert!(refused(1, EnrolRefusal::Foreign)(&world.answers()[0]));
    for number in 1..=8 {
        let aors = [aor("crowd")];
        let order = (&identity(number).public(), 14);
        let moment = world.moment();
        world.office.certify(moment, order, aors.to_vec(), &|_| true).unwrap();
    }
    world.ask(9, 1, &["crowd"]);
    assert!(refused(1, EnrolRefusal::Crowded)(&world.answers()[0]));
    let moment = world.moment();
    let stolen = Selector::Adapter(identity(3).public());
    world.office.revoke(moment, &stolen, "stolen").unwrap();
    world.ask_for(&asker(3), 1, &[aor("crowd"), String::new(), aor("carol")]);
    assert!(refused(5, EnrolRefusal::Blocked)(&world.answers()[0]));
    assert!(world.challenges().is_empty());
}

#[test]
fn a_delegation_that_is_over_is_told_and_nobody_is_turned_away_for_good() {
    let mut world = World::new("over");
    world.now += 91 * DAY;
    let moment = world.moment();
    let ask = (&asker(1), 1, &[aor("alice")][..]);
    let error = world.desk.ask(world.now, moment, &mut world.office, ask).unwrap_err();
    assert!(error.to_string().contains("cosip-server delegate"), "{error}");
    world.drain();
    assert!(matches!(world.answers()[..], [Answer::Wait(30..=60)]));
}

#[test]
fn aors_keys_and_addresses_have_limits_and_say_when_to_come_again() {
    let mut world = World::new("limits");
    let mut sent = 0;
    // One phone is not bothered, whoever asks.
    for number in 0..20 {
        world.ask(number, 1, &["alice"]);
        world.pass(Duration::from_secs(30));
        sent += world.challenges().len();
    }
    assert!((6..=8).contains(&sent), "{sent} challenges in ten minutes");
    assert!(world.desk.counters().limited_aor >= 12);
    // One address, with a new key each time.
    let (mut sent, mut waits) = (0, 0);
    for number in 100..1_100 {
        let at = Asker { address: Ipv4Addr::new(192, 0, 2, 1).into(), ..asker(number) };
        world.ask_for(&at, 1, &[aor(&format!("u{number}"))]);
        world.pass(Duration::from_millis(25));
        sent += world.challenges().len();
        let limited = |it: &Answer| matches!(it, Answer::Wait(seconds) if *seconds < 10);
        waits += world.answers().iter().filter(|it| limited(it)).count();
    }
    assert!((400..440).contains(&sent), "300 at once and 5 a second: {sent} in 25 s");
    assert!(waits > 100, "{waits}");
    assert!(world.desk.counters().limited_asks_address > 400, "ten asks a second");
    // Others are not held up by that.
    world.ask(2_000, 1, &["zoe"]);
    world.pass(Duration::from_millis(20));
    assert_eq!(world.challenges().pop().unwrap().1, aor("zoe"));
    let one: IpAddr = "2001:db8:1:200::1".parse().unwrap();
    let same: IpAddr = "2001:db8:1:2ff::9".parse().unwrap();
    let other: IpAddr = "2001:db8:1:300::1".parse().unwrap();
    assert_eq!(allowance::place_of(one), allowance::place_of(same));
    assert_ne!(allowance::place_of(one), allowance::place_of(other));
}

#[test]
fn who_asks_too_often_is_put_off_and_costs_the_books_nothing() {
    let mut world = World::new("asks");
    let strange = ["zoe@example.org".to_owned()];
    let put_off = |it: &Answer| matches!(it, Answer::Wait(30..=60));
    // Fresh numbers of one key, from wherever it likes.
    for number in 0..100 {
        let address = Ipv4Addr::from(0xc000_0200 + number).into();
        world.ask_for(&Asker { address, ..asker(1) }, number, &strange);
    }
    assert_eq!(world.desk.counters().refused_foreign, 32);
    assert_eq!(world.answers().iter().filter(|it| put_off(it)).count(), 68);
    // Fresh keys of one customer, whose IPv6 addresses change.
    for number in 100..500 {
        let address = format!("2001:db8:1:2{:02x}::{number:x}", number % 256).parse().unwrap();
        world.ask_for(&Asker { address, ..asker(number) }, 1, &strange);
    }
    let counters = world.desk.counters();
    assert_eq!((counters.limited_asks_key, counters.limited_asks_address), (68, 100));
    assert_eq!(counters.refused_foreign, 332);
    // Neither files nor books are looked at for these.
    let issuing = world.office.folder.file("issuing.key");
    let (text, mode) = (fs::read(&issuing).unwrap(), fs::Permissions::from_mode(0o600));
    fs::remove_file(&issuing).unwrap();
    world.ask(1, 1_000, &["alice"]);
    assert_eq!(world.desk.counters().failed, 0);
    fs::write(&issuing, text).unwrap();
    fs::set_permissions(&issuing, mode).unwrap();
    // After a while it is heard again, and others were all the time.
    world.ask(2, 1, &["bob"]);
    world.pass(Duration::from_secs(11));
    world.answers();
    world.ask(1, 1_001, &["alice"]);
    world.pass(Duration::from_millis(20));
    let seen: Vec<String> = world.challenges().into_iter().map(|(_, aor, _)| aor).collect();
    assert_eq!(seen, [aor("bob"), aor("alice")]);
}

#[test]
fn a_sip_server_that_is_not_found_is_waited_for_and_then_named() {
    let mut world = World::new("nowhere");
    world.ask(1, 1, &["alice"]);
    let first = world.challenges()[0].0;
    world.desk.not_sent(world.now, first);
    world.pass(Duration::from_millis(990));
    assert!(world.challenges().is_empty(), "not at once");
    world.pass(Duration::from_millis(20));
    let second = world.challenges()[0].0;
    assert_ne!(second, first);
    world.answers();
    for _ in 0..40 {
        let Some(number) = world.challenges().pop().map(|it| it.0).or(Some(second)) else { break };
        world.desk.not_sent(world.now, number);
        world.pass(Duration::from_secs(1));
    }
    let answers = world.answers();
    assert!(refused(1, EnrolRefusal::Server)(&answers[0]), "{answers:?}");
    world.pass(Duration::from_secs(60));
    assert_eq!(world.desk.in_use().map(|(_, count)| count), [0; 4]);
}
