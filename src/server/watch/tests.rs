//! The watch in virtual time, over a town of members that these tests play.

use super::*;
use crate::identity::record::Key;
use crate::identity::statement::{ANY_OWNER, Said};
use crate::identity::{Certificate, Identity};
use crate::server::books::Selector;
use crate::server::desk::tests::{START_S, Scratch};
use crate::server::office::{Office, Order};
use crate::server::show;
use crate::server::text::{from_hex, hex};
use crate::server::{DAY_S, Moment};
use std::collections::BTreeMap;

const MEMBERS: usize = 8;
/// From a question to its answer.
const TRIP: Duration = Duration::from_millis(40);
/// What a receipt promises, and how often an owner puts its record anew.
const PROMISE_S: u32 = 10_200;
const HOUR: Duration = Duration::from_secs(3_600);

/// How a member behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Honest,
    /// Promises, keeps nothing, and denies.
    Liar,
    /// Says nothing to those who ask for records.
    Silent,
    /// Passes on what it signs itself in the name of others: denials, and promises.
    Forger,
    /// Passes on the oldest statement that it heard of the holder.
    Repeater,
    /// Passes on what the holder said about somebody else's record.
    Swapper,
    /// Answers no question of the watch.
    Mute,
}

struct Peer {
    identity: Identity,
    place: NodeId,
    /// Where its own record is kept.
    key: Key,
    manner: Manner,
    /// Start count and number of this start, and when it began.
    start: (u32, u32, Instant),
    kept: BTreeMap<(Key, NodeId), u64>,
    receipts: Vec<Statement>,
    seq: u64,
    /// Every statement that it got as a witness.
    heard: Vec<Statement>,
}

/// Everything around the watch.
struct World {
    now: Instant,
    watch: Watch,
    office: Office,
    network: [u8; 16],
    rng: Rng,
    peers: Vec<Peer>,
    /// Answers on their way.
    flying: VecDeque<(Instant, NodeId, u32, Vec<Statement>)>,
    /// When each member was asked, and by which question.
    asked: Vec<(Instant, NodeId, WatchAsk)>,
    verdicts: Vec<(NodeId, Verdict)>,
    next_put: Instant,
    _scratch: Scratch,
}

/// Whom the overlay of the server knows.
struct Known<'a>(&'a [Peer], &'a mut Rng);

impl Members for Known<'_> {
    fn any(&mut self) -> Option<Member> {
        let at = self.1.below(self.0.len() as u32) as usize;
        let id = self.0.get(at)?.place;
        Some(Member { id, address: self.find(id)? })
    }

    fn find(&self, id: NodeId) -> Option<SocketAddr> {
        let at = self.0.iter().position(|peer| peer.place == id)?;
        Some(([192, 0, 2, at as u8], 5070).into())
    }
}

fn moment_at(now: Instant) -> Moment<'static> {
    Moment { now_s: START_S + now.millis() / 1000, by: "watch" }
}

fn identity(number: usize) -> Identity {
    Identity::from_seed([number as u8 + 1; 32]).unwrap()
}

fn user(number: usize) -> String {
    format!("sip:u{number}@example.net")
}

fn issue(office: &mut Office, now: Instant, number: usize, days: u32) -> Certificate {
    let (adapter, aors) = (identity(number).public(), [user(number)]);
    let order = Order { adapter, aors: &aors, days, second: false };
    office.issue(moment_at(now), &order).unwrap().certificate
}

impl World {
    fn new(name: &str, manners: &[(usize, Manner)]) -> Self {
        let scratch = Scratch::new(&format!("watch-{name}"));
        let (now, mut rng) = (Instant::from_micros(1_000_000), Rng::new([3; 32]));
        let mut office = scratch.office();
        let network = *office.keys.network();
        let peer = |number: usize| {
            let certificate = issue(&mut office, now, number, 14);
            let manner = manners.iter().find(|(at, _)| *at == number);
            Peer {
                identity: identity(number),
                place: certificate.place(),
                key: certificate.keys().next().unwrap(),
                manner: manner.map_or(Manner::Honest, |(_, manner)| *manner),
                start: (1, number as u32, now),
                kept: BTreeMap::new(),
                receipts: Vec::new(),
                seq: 1 << 32,
                heard: Vec::new(),
            }
        };
        let peers = (0..MEMBERS).map(peer).collect();
        let watch = Watch::new(now, [9; 32], &network, WATCH_INTERVAL_S, &mut rng);
        Self {
            now,
            watch,
            office,
            network,
            rng,
            peers,
            flying: VecDeque::new(),
            asked: Vec::new(),
            verdicts: Vec::new(),
            next_put: now,
            _scratch: scratch,
        }
    }

    fn at(&self, id: NodeId) -> usize {
        self.peers.iter().position(|peer| peer.place == id).unwrap()
    }

    /// What a holder signs about a record, with a promise or not.
    fn says(&self, holder: usize, (key, owner): (Key, NodeId), promises: bool) -> Statement {
        let peer = &self.peers[holder];
        let (start, boot, began) = peer.start;
        let under = peer.kept.iter().filter(|((of, _), _)| *of == key);
        let seq = peer.kept.get(&(key, owner)).copied();
        let owner = if under.count() == 0 { ANY_OWNER } else { owner };
        let said_s = self.now.since(began).as_secs() as u32 + 1;
        let until_s = said_s + if promises { PROMISE_S } else { 0 };
        let (place, seq) = (peer.place, seq.unwrap_or(0));
        let holder = peer.identity.public();
        let said = Said { place, holder, key, owner, seq, start, boot, said_s, until_s };
        Statement::sign(&peer.identity, &self.network, &said)
    }

    /// Every owner puts its record to all others, and keeps their receipts.
    fn put_all(&mut self) {
        for owner in 0..self.peers.len() {
            self.peers[owner].seq += 1;
            self.peers[owner].receipts.clear();
            let (of, seq) =
                ((self.peers[owner].key, self.peers[owner].place), self.peers[owner].seq);
            for holder in (0..self.peers.len()).filter(|holder| *holder != owner) {
                self.peers[holder].kept.insert(of, seq);
                let receipt = self.says(holder, of, true);
                if self.peers[holder].manner == Manner::Liar {
                    self.peers[holder].kept.clear();
                }
                self.peers[owner].receipts.push(receipt);
            }
        }
    }

    /// A member loses its power and is back at once: with the same start count, where it could
    /// not write another one down.
    fn cut_power(&mut self, at: usize, counts: bool) {
        let boot = self.rng.next_u32();
        let peer = &mut self.peers[at];
        peer.start = (peer.start.0 + u32::from(counts), boot, self.now);
        peer.kept.clear();
    }

    /// What a member answers to a question of the watch.
    fn answer(&mut self, at: usize, ask: &WatchAsk) -> Vec<Statement> {
        let forger = self.peers[at].manner == Manner::Forger;
        match *ask {
            WatchAsk::Receipts if forger => {
                let promise = |it: &Statement| self.forged(at, it.said());
                self.peers[at].receipts.iter().map(promise).collect()
            }
            WatchAsk::Receipts => self.peers[at].receipts.clone(),
            WatchAsk::Get { key, owner, holder, address } => {
                let holder = self.at(NodeId(holder));
                let known =
                    Known(&self.peers, &mut self.rng.clone()).find(self.peers[holder].place);
                assert_eq!(Some(address), known, "a witness is told where the holder is");
                let (mut key, mut owner) = (Key(key), NodeId(owner));
                let said = self.says(holder, (key, owner), false);
                if forger {
                    return vec![self.forged(at, Said { seq: 0, ..said.said() })];
                }
                if self.peers[holder].manner == Manner::Silent {
                    return Vec::new();
                }
                self.peers[at].heard.push(said);
                let place = self.peers[holder].place;
                let oldest = self.peers[at].heard.iter().find(|it| it.said().place == place);
                match self.peers[at].manner {
                    Manner::Repeater => oldest.copied().into_iter().collect(),
                    Manner::Swapper => {
                        (key, owner) = (Key([0x77; 16]), NodeId([0x77; 16]));
                        vec![self.says(holder, (key, owner), false)]
                    }
                    _ => vec![said],
                }
            }
        }
    }

    /// What a member signs in the name of another.
    fn forged(&self, at: usize, said: Said) -> Statement {
        Statement::sign(&self.peers[at].identity, &self.network, &said)
    }

    fn drain(&mut self) {
        while let Some(wish) = self.watch.poll_wish() {
            match wish {
                Wish::Ask(member, number, ask) => {
                    self.asked.push((self.now, member.id, ask));
                    let at = self.at(member.id);
                    if self.peers[at].manner != Manner::Mute {
                        let statements = self.answer(at, &ask);
                        let due = self.now + TRIP;
                        self.flying.push_back((due, member.id, number, statements));
                    }
                }
                Wish::Judge(contradiction) => {
                    let verdict = self.office.judge(moment_at(self.now), &contradiction).unwrap();
                    self.watch.judged(self.now, &contradiction, &verdict);
                    self.verdicts.push((contradiction.receipt.said().place, verdict));
                }
            }
        }
    }

    /// Lets time pass, and all that is due happen.
    fn pass(&mut self, interval: Duration) {
        let end = self.now + interval;
        loop {
            let flying = self.flying.front().map(|(at, ..)| *at);
            let due = earlier(earlier(self.watch.poll_timeout(), flying), Some(self.next_put));
            let Some(at) = due.filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            if self.next_put <= self.now {
                self.next_put = self.now + HOUR;
                self.put_all();
            }
            let mut known = Known(&self.peers, &mut self.rng);
            while let Some((_, from, number, said)) =
                self.flying.pop_front_if(|(at, ..)| *at <= self.now)
            {
                self.watch.heard(self.now, (from, number), &said, &mut known);
            }
            self.watch.handle_timeout(self.now, &mut known);
            self.drain();
        }
        self.now = end;
    }

    /// The numbers of all members that were revoked.
    fn revoked(&mut self) -> Vec<usize> {
        let all = self.office.books().certificates(&Selector::All, None).unwrap();
        let revoked: Vec<String> =
            all.into_iter().filter(|it| it.is_revoked).map(|it| it.adapter).collect();
        let is = |at: &usize| revoked.contains(&hex(&self.peers[*at].identity.public()));
        (0..self.peers.len()).filter(is).collect()
    }

    /// Nobody was accused of anything.
    fn is_calm(&mut self, what: &str) {
        let counters = self.watch.counters();
        assert_eq!((counters.contradictions, self.verdicts.len()), (0, 0), "{what}: {counters:?}");
        assert_eq!(self.revoked(), [0; 0], "{what}");
        assert!(counters.pairs > 100, "{what}: {counters:?}");
    }
}

/// The statements of an audit's row.
fn evidence(row: &str) -> (Statement, Statement) {
    let after = |word: &str| row.split(word).nth(1).unwrap().split([' ', '\n', '\t']).next();
    let read = |word| Statement::parse(&from_hex(after(word).unwrap()).unwrap()).unwrap();
    (read("receipt "), read("denial "))
}

#[test]
fn a_liar_is_revoked_within_minutes_with_both_statements_in_the_audit_and_nobody_else() {
    let mut world = World::new("liar", &[(3, Manner::Liar)]);
    world.pass(Duration::from_secs(300));
    assert_eq!(world.revoked(), [3]);
    let liar = world.peers[3].identity.public();
    let [(place, Verdict::Revoked(serials))] = &world.verdicts[..] else {
        panic!("{:?}", world.verdicts)
    };
    assert_eq!((*place, serials.len()), (world.peers[3].place, 1));
    let audit = show::audit(world.office.books()).unwrap();
    let rows: Vec<&str> = audit
        .lines()
        .filter(|line| line.contains("\trevoke\t") || line.contains("\tblock\t"))
        .collect();
    assert_eq!(rows.len(), 2, "{audit}");
    for row in rows {
        assert!(row.contains(&hex(&liar)), "{row}");
        let (receipt, denial) = evidence(row);
        assert!(receipt.verify(&world.network) && denial.verify(&world.network));
        assert!(receipt.contradicts(&denial) && receipt.said().holder == liar);
    }
    // It is not certified again, and not judged again.
    let aors = [user(3)];
    let order = Order { adapter: liar, aors: &aors, days: 14, second: false };
    assert!(world.office.issue(moment_at(world.now), &order).is_err());
    world.pass(HOUR);
    assert_eq!((world.verdicts.len(), world.revoked()), (1, vec![3]));
    let counters = world.watch.counters();
    assert_eq!((counters.revoked, counters.doubtful, counters.faulty), (1, 0, 0));
    assert!(counters.contradictions > 1 && counters.statements > 100, "{counters:?}");
}

#[test]
fn who_loses_its_power_is_no_liar_whether_it_counts_its_starts_or_not() {
    let mut world = World::new("power", &[]);
    for minute in 0..120 {
        world.pass(Duration::from_secs(60));
        world.cut_power(minute % MEMBERS, minute % 3 == 0);
    }
    world.is_calm("power");
    assert!(world.watch.counters().excused > 0, "it was seen");
}

#[test]
fn nobody_makes_a_liar_of_somebody_else() {
    let manners = [Manner::Forger, Manner::Repeater, Manner::Swapper, Manner::Silent, Manner::Mute];
    for manner in manners {
        let mut world =
            World::new(&format!("{manner:?}"), &[(1, manner), (2, manner), (6, manner)]);
        // What is held changes meanwhile, and what is not held yet is denied.
        for at in [0, 4] {
            world.pass(Duration::from_secs(1_200));
            world.cut_power(at, false);
        }
        world.pass(2 * HOUR);
        world.is_calm(&format!("{manner:?}"));
        let counters = world.watch.counters();
        match manner {
            Manner::Forger | Manner::Swapper => assert!(counters.faulty > 50, "{counters:?}"),
            Manner::Silent => assert!(counters.silent > 50, "{counters:?}"),
            Manner::Mute => assert!(counters.unanswered > 50, "{counters:?}"),
            _ => assert!(counters.statements > 1_000, "{counters:?}"),
        }
    }
}

#[test]
fn a_witness_is_asked_no_more_than_once_a_second_and_has_to_do_with_nothing_else() {
    let mut world = World::new("pace", &[(2, Manner::Mute)]);
    let mut open = 0;
    for _ in 0..600 {
        world.pass(Duration::from_secs(1));
        open = open.max(world.watch.open());
    }
    assert!((2..=MEMBERS / 2).contains(&open), "{open}");
    let pairs = world.watch.counters().pairs;
    // Each member has to do with one pair at a time: four are at work, for ten seconds each.
    assert!((100..=200).contains(&pairs), "{pairs}");
    let mut last: BTreeMap<NodeId, Instant> = BTreeMap::new();
    for (at, id, ask) in &world.asked {
        let before = last.insert(*id, *at);
        assert!(before.is_none_or(|before| at.since(before) >= WATCH_PAUSE), "{ask:?}");
        if let WatchAsk::Get { owner, holder, .. } = ask {
            assert!(id.0 != *owner && id.0 != *holder && owner != holder);
        }
    }
    // Nobody is watched where that is not wanted, and nothing is asked for where nobody is known.
    world.watch = Watch::new(world.now, [9; 32], &world.network, 0, &mut world.rng);
    assert_eq!(world.watch.poll_timeout(), None);
    world.watch = Watch::new(world.now, [9; 32], &world.network, 1, &mut world.rng);
    let alone = &mut Known(&[], &mut world.rng);
    world.watch.handle_timeout(world.now + HOUR, alone);
    assert_eq!((world.watch.poll_wish(), world.watch.counters().pairs), (None, 0));
}

#[test]
fn only_who_was_asked_answers_and_once() {
    let mut world = World::new("strays", &[]);
    world.next_put = world.now + HOUR;
    world.put_all();
    let now = world.now + Duration::from_secs(3);
    let mut known = Known(&world.peers, &mut world.rng);
    world.watch.handle_timeout(now, &mut known);
    let Some(Wish::Ask(owner, number, WatchAsk::Receipts)) = world.watch.poll_wish() else {
        panic!("an owner is asked")
    };
    let other = world.peers.iter().find(|peer| peer.place != owner.id).unwrap().place;
    let receipts = world.peers[world.at(owner.id)].receipts.clone();
    let known = &mut Known(&world.peers, &mut world.rng);
    for (peer, number) in [(other, number), (owner.id, number.wrapping_sub(1))] {
        world.watch.heard(now, (peer, number), &receipts, known);
        assert_eq!(world.watch.poll_wish(), None);
    }
    world.watch.heard(now, (owner.id, number), &receipts, known);
    assert!(matches!(world.watch.poll_wish(), Some(Wish::Ask(_, _, WatchAsk::Get { .. }))));
    world.watch.heard(now, (owner.id, number), &receipts, known);
    assert_eq!((world.watch.poll_wish(), world.watch.counters().strays), (None, 3));
}

/// A contradiction of one member about the record of another, at this time.
fn contradiction(world: &World, holder: usize, owner: usize) -> Contradiction {
    let peer = &world.peers[holder];
    let receipt = Said {
        place: peer.place,
        holder: peer.identity.public(),
        key: world.peers[owner].key,
        owner: world.peers[owner].place,
        seq: 7,
        start: 1,
        boot: 2,
        said_s: 10,
        until_s: 10_000,
    };
    let denial = Said { seq: 0, said_s: 20, until_s: 20, ..receipt };
    let sign = |said: &Said| Statement::sign(&peer.identity, &world.network, said);
    Contradiction { receipt: sign(&receipt), denial: sign(&denial) }
}

#[test]
fn nobody_is_revoked_who_may_have_dropped_a_record_for_a_good_reason() {
    let mut world = World::new("doubt", &[]);
    let judge = |world: &mut World, holder, owner| {
        let found = contradiction(world, holder, owner);
        world.office.judge(moment_at(world.now), &found).unwrap()
    };
    let revoke = |world: &mut World, which: &Selector| {
        world.office.revoke(moment_at(world.now), which, "stolen").unwrap();
    };
    // Whose certificate is about to end, and then has ended, may be over for others.
    let day = Duration::from_secs(DAY_S);
    let ending = MEMBERS;
    let certificate = issue(&mut world.office, world.now, ending, 1);
    world.peers.push(Peer {
        identity: identity(ending),
        place: certificate.place(),
        key: certificate.keys().next().unwrap(),
        manner: Manner::Honest,
        start: (1, 1, world.now),
        kept: BTreeMap::new(),
        receipts: Vec::new(),
        seq: 0,
        heard: Vec::new(),
    });
    for hours in [21, 2, 2] {
        world.now += hours * HOUR;
        assert_eq!(judge(&mut world, 0, ending), Verdict::Doubtful, "{hours} h later");
    }
    assert!(world.now > Instant::from_micros(1_000_000) + day);
    // It has another one, and the first is over for everybody only hours later.
    issue(&mut world.office, world.now, ending, 14);
    assert_eq!(judge(&mut world, 0, ending), Verdict::Doubtful);
    world.now += 4 * HOUR;
    assert!(matches!(judge(&mut world, 0, ending), Verdict::Revoked(_)));
    // Whose certificate was revoked, one of two even.
    let first = issue(&mut world.office, world.now, 1, 14).serial();
    revoke(&mut world, &Selector::Serial(first));
    assert_eq!(judge(&mut world, 2, 1), Verdict::Doubtful);
    // What is not of the owner's addresses, and whom nobody knows here.
    world.peers[3].key = Key([0x33; 16]);
    assert_eq!(judge(&mut world, 2, 3), Verdict::Doubtful);
    world.peers[3].place = NodeId([0x33; 16]);
    assert_eq!(judge(&mut world, 2, 3), Verdict::Doubtful);
    assert_eq!(judge(&mut world, 3, 4), Verdict::Doubtful, "a holder at another place");
    world.peers[3].identity = identity(99);
    assert_eq!(judge(&mut world, 3, 4), Verdict::Doubtful, "a holder that is not certified");
    assert!(matches!(judge(&mut world, 2, 4), Verdict::Revoked(_)), "and else");
    assert_eq!(judge(&mut world, 2, 4), Verdict::Doubtful, "once");
    assert_eq!(judge(&mut world, 5, 2), Verdict::Doubtful, "as is what a revoked owner has");
    // And if the delegation was revoked by which all were issued.
    let certificate = issue(&mut world.office, world.now, 5, 14);
    let delegation = certificate.delegation_serial().unwrap();
    assert!(matches!(judge(&mut world, 5, 6), Verdict::Revoked(_)));
    revoke(&mut world, &Selector::Serial(delegation));
    assert_eq!(judge(&mut world, 6, 7), Verdict::Doubtful);
}

/// Four a day are the issuing key's to revoke in a town as small as this.
#[test]
fn more_than_the_issuing_key_may_revoke_is_left_to_the_anchor_and_told() {
    let liars: Vec<(usize, Manner)> = (1..=6).map(|at| (at, Manner::Liar)).collect();
    let mut world = World::new("many", &liars);
    // Days are to pass.
    world.watch = Watch::new(world.now, [9; 32], &world.network, 30, &mut world.rng);
    world.office.list(moment_at(world.now), None).unwrap();
    world.pass(2 * HOUR);
    let counters = world.watch.counters();
    assert_eq!((counters.revoked, counters.held_back, world.revoked().len()), (4, 2, 4));
    let audit = show::audit(world.office.books()).unwrap();
    let told: Vec<&str> = audit.lines().filter(|it| it.contains("\tcontradiction\t")).collect();
    assert_eq!(told.len(), 2, "each once");
    assert!(told.iter().all(|row| evidence(row).0.contradicts(&evidence(row).1)));
    assert!(told.iter().all(|row| row.contains(&hex(&evidence(row).0.said().holder))));
    // The list can be made, and on the next day there is room for the others.
    let list = world.office.list(moment_at(world.now), None).unwrap();
    assert_eq!(list.entries, 4);
    world.pass(2 * Duration::from_secs(DAY_S));
    assert_eq!((world.revoked().len(), world.watch.counters().held_back), (6, 2));
    world.office.list(moment_at(world.now), None).unwrap();
}
