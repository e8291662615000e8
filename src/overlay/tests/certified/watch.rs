//! What holders say, signed: that the honest never contradict themselves, and who is no use.

use super::super::super::id::Node;
use super::*;
use crate::budget::Budget;
use crate::identity::Statement;
use crate::identity::statement::{ANY_OWNER, Said};
use crate::limits::WORK_FOR_OTHERS_BURST;
use proptest::prelude::*;

fn said(net: &Net, statement: &Statement) -> Said {
    assert!(statement.verify(net.keys.network()), "{statement:?}");
    statement.said()
}

/// The node that a statement is of.
fn holder(net: &Net, said: &Said) -> usize {
    let at = net.peers.iter().position(|peer| peer.node.id() == said.place).unwrap();
    assert_eq!(said.holder, net.peers[at].node.identity.public());
    at
}

/// Has a member ask a holder for a record, and tells what it was told.
fn spot(net: &mut Net, member: usize, holder: usize, of: usize) -> Option<Statement> {
    let (now, key, owner) = (net.now, key(&net.keys, of), Provider::place(of));
    let node = Node { id: net.peers[holder].node.id(), address: net.peers[holder].address };
    assert!(net.with(member, |it| it.spot_get(now, key, owner, node)));
    net.peers[member].events.clear();
    net.run_ms(3000);
    let [OverlayEvent::SpotGot { key: of, holder, statement }] = net.peers[member].events[..]
    else {
        panic!("{:?}", net.peers[member].events)
    };
    assert_eq!((of, holder), (key, node.id));
    statement
}

fn published(seed: u8, n: usize) -> Net {
    let mut net = certified(seed, n);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(4000);
    net
}

/// The holders that have promised node 5 to keep its record.
fn promised(net: &Net) -> Vec<(usize, Statement)> {
    let receipts = net.peers[5].node.receipts();
    receipts.map(|receipt| (holder(net, &said(net, &receipt)), receipt)).collect()
}

#[test]
fn holders_promise_what_they_take_and_say_the_same_to_whoever_asks() {
    let mut net = published(90, 20);
    let receipts = promised(&net);
    assert!(receipts.len() >= 12, "{}", receipts.len());
    for (holder, receipt) in &receipts[..4] {
        let kept = said(&net, receipt);
        assert_eq!((kept.key, kept.owner), (key(&net.keys, 5), Provider::place(5)));
        let life_s = kept.until_s - kept.said_s;
        assert!((10_100..=10_200).contains(&life_s), "three hours less ten minutes: {life_s}");
        let member = (0..20).find(|i| ![5, *holder].contains(i)).unwrap();
        let given = spot(&mut net, member, *holder, 5).unwrap();
        let given_said = said(&net, &given);
        assert_eq!((given_said.owner, given_said.seq), (kept.owner, kept.seq));
        assert!(given_said.until_s > given_said.said_s, "that is a promise as well");
        assert!(!receipt.contradicts(&given));
    }
    // A denial is signed, too, and promises nothing.
    let (holder, _) = receipts[0];
    let member = (0..20).find(|i| ![5, holder].contains(i)).unwrap();
    let denial = spot(&mut net, member, holder, 77).unwrap();
    let denial = said(&net, &denial);
    assert_eq!((denial.owner, denial.seq, denial.until_s), (ANY_OWNER, 0, denial.said_s));
    net.peers[holder].alive = false;
    assert_eq!(spot(&mut net, member, holder, 5), None, "silence");
}

#[test]
fn without_trust_anchors_and_without_the_time_nothing_is_promised() {
    let mut net = Net::joined(91, 14);
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    assert_eq!(net.peers[5].node.receipts().count(), 0);
    assert_eq!(sum(&net, |c| c.stated + c.unstated), 0);
    let mut net = certified(92, 14);
    let unset = Clock { unix_s: None, floor_s: BEGIN_S.into() };
    for i in 0..14 {
        let now = net.now;
        net.with(i, |node| node.set_clock(now, unset));
    }
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(3000);
    assert!(sum(&net, |c| c.stated) >= 12);
    assert_eq!(net.peers[5].node.receipts().count(), 0);
}

#[test]
fn who_forgets_what_it_promised_is_convicted_by_its_own_word_unless_it_says_so() {
    let mut net = published(93, 20);
    let receipts = promised(&net);
    let (liar, receipt) = receipts[0];
    let member = (0..20).find(|i| ![5, liar].contains(i)).unwrap();
    net.peers[liar].node.store.set_certified(true);
    // Whoever drops a record before its time names itself by another number from then on.
    let honest = spot(&mut net, member, liar, 5).unwrap();
    assert_eq!(said(&net, &honest).seq, 0);
    assert!(!receipt.contradicts(&honest));
    let (liar, receipt) = receipts[1];
    let member = (0..20).find(|i| ![5, liar].contains(i)).unwrap();
    net.peers[liar].node.store.set_certified(true);
    assert!(net.peers[liar].node.store.take_forgotten());
    let denial = spot(&mut net, member, liar, 5).unwrap();
    assert!(denial.verify(net.keys.network()) && receipt.contradicts(&denial));
    // So does whoever has lost power.
    let (cut, receipt) = receipts[2];
    let member = (0..20).find(|i| ![5, cut].contains(i)).unwrap();
    net.restart(cut, &[], &[address(0)]);
    let denial = spot(&mut net, member, cut, 5).unwrap();
    assert_eq!(said(&net, &denial).seq, 0);
    assert!(!receipt.contradicts(&denial));
}

#[test]
fn a_holder_that_denies_its_owner_is_passed_over_for_a_day() {
    let mut net = published(94, 24);
    let (liar, _) = promised(&net)[0];
    let id = net.peers[liar].node.id();
    net.peers[liar].node.store.set_certified(true);
    let refresh = |net: &mut Net| {
        let now = net.now;
        // Until the liar's turn comes.
        for _ in 0..200 {
            if net.peers[5].node.is_passed_over(&id) {
                break;
            }
            let publication = net.peers[5].node.publications.iter().next().unwrap().0;
            net.with(5, |owner| owner.spot_own(now, publication));
            net.run_ms(200);
        }
    };
    refresh(&mut net);
    let owner = &net.peers[5].node;
    assert!(owner.is_passed_over(&id));
    assert_eq!((owner.counters().holders_unused, owner.passed_over().count()), (1, 1));
    assert!(owner.holders().all(|holder| holder.id != id));
    // The next closest takes its place.
    net.run_ms(60_000);
    let holds = |net: &Net| net.peers[5].node.holders().map(|it| it.id).collect::<Vec<_>>();
    assert!(holds(&net).len() >= 12 && !holds(&net).contains(&id), "{:?}", holds(&net));
    assert_eq!(held(&net, liar, 5), 0, "nobody gives it the record again");
    net.run_ms(24 * 3_600_000);
    assert!(!net.peers[5].node.is_passed_over(&id), "another chance");
}

#[test]
fn a_member_that_answers_pings_alone_is_passed_over_and_one_that_is_gone_is_not() {
    let mut net = certified(95, 24);
    let closest = {
        let key = key(&net.keys, 5);
        let known = net.peers[5].node.closest_known::<12>(net.now, &key.0, false);
        let at = |node: &Node| net.peers.iter().position(|it| it.address == node.address).unwrap();
        known.iter().map(|named| at(&named.node)).collect::<Vec<_>>()
    };
    let (mute, gone) = (closest[0], closest[1]);
    net.mute = Some(mute);
    net.peers[gone].alive = false;
    net.publish(5, &aor(5), &contact(5));
    net.run_ms(400_000);
    let owner = &net.peers[5].node;
    let passed: Vec<NodeId> = owner.passed_over().collect();
    assert_eq!(passed, [net.peers[mute].node.id()]);
    assert!(owner.holders().count() >= 12);
    // Who asks for the record is not kept waiting by it once it knows.
    let (found, _) = net.resolve(9, &aor(5));
    assert_eq!(found[0].contact, contact(5));
}

#[test]
fn lines_that_lose_one_datagram_in_ten_make_nobody_useless() {
    let mut net = certified(96, 20);
    net.loss_percent = 5;
    for i in 0..20 {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(3 * 3_600_000);
    let passed = sum(&net, |counters| counters.holders_unused);
    // Of some thousand gets and touches.
    assert!(passed <= 4, "{passed}");
}

#[test]
fn answers_wait_for_one_signature_at_a_time_and_never_for_the_budget() {
    let mut net = published(97, 14);
    let (holder, _) = promised(&net)[0];
    let asker = (0..14).find(|i| ![5, holder].contains(i)).unwrap();
    let (keys, key) = (net.keys.clone(), key(&net.keys, 5));
    let sender = net.peers[asker].node.id();
    let token = net.peers[holder].node.guard.token(&address(asker));
    let (now, node) = (net.now, &mut net.peers[holder]);
    let mut answered = [0, 0];
    for request in 0..150 {
        let mut get = Encoder::get(sender, request, &token, &key, None);
        let get = get.finish(&keys, wire::GET_BYTES).to_vec();
        node.node.handle_datagram(now, address(asker), &get).unwrap();
        node.node.handle_datagram(now, address(asker), &get).unwrap();
        while node.node.work(now, &mut node.budget) {}
        let mut buf = [0; crate::limits::OVERLAY_DATAGRAM_BYTES_MAX];
        while let Some(sent) = node.node.poll_transmit(&mut buf) {
            let frame = Frame::parse(&buf[..sent.len], &keys).unwrap();
            if let Body::Value(_, value) = frame.body {
                assert_eq!(sent.len, wire::GET_BYTES);
                assert!(value.record.is_some());
                answered[usize::from(value.stated.is_some())] += 1;
            }
        }
    }
    assert_eq!(answered[0] + answered[1], 300, "all are answered at once");
    // A quarter of what others may take at once, and what they had taken before.
    let most = (WORK_FOR_OTHERS_BURST / 4 / 10).as_millis();
    assert!((most - 10..=most).contains(&answered[1]), "{answered:?} of {most}");
    // Where calls take the processor, nobody waits for long.
    node.budget = Budget::new(now);
    let mut get = Encoder::get(sender, 500, &token, &key, None);
    let get = get.finish(&keys, wire::GET_BYTES).to_vec();
    node.node.handle_datagram(now, address(asker), &get).unwrap();
    assert!(node.node.outbox.is_empty());
    let at = node.node.poll_timeout().unwrap();
    assert!(at.since(now) <= Duration::from_millis(40));
    node.node.handle_timeout(at);
    assert!(!node.node.outbox.is_empty());
}

#[test]
fn members_drawn_by_chance_are_proven_ones_and_nearly_all_of_them_in_time() {
    let mut net = certified(98, 30);
    let now = net.now;
    let mut drawn: Vec<NodeId> = (0..600)
        .filter_map(|_| net.with(0, |node| node.random_member(now)))
        .map(|it| it.id)
        .collect();
    drawn.sort_unstable();
    drawn.dedup();
    // Some lie so close to others that their turn comes late.
    assert!((24..=29).contains(&drawn.len()), "{}", drawn.len());
}

/// What happens to a holder.
#[derive(Clone, Debug)]
enum Event {
    Put { owner: usize, shared: bool, withdrawn: bool },
    Touch { owner: usize, shared: bool },
    Get { shared: usize, of: Option<usize> },
    Wait(u32),
    Revoke(usize),
    Clock(i32),
}

fn events() -> impl Strategy<Value = Event> {
    let owner = 1usize..8;
    prop_oneof![
        4 => (owner.clone(), any::<bool>(), prop::bool::weighted(0.2))
            .prop_map(|(owner, shared, withdrawn)| Event::Put { owner, shared, withdrawn }),
        2 => (owner.clone(), any::<bool>())
            .prop_map(|(owner, shared)| Event::Touch { owner, shared }),
        4 => (0usize..8, prop::option::of(owner.clone()))
            .prop_map(|(shared, of)| Event::Get { shared, of }),
        3 => (1u32..6000).prop_map(Event::Wait),
        1 => owner.prop_map(Event::Revoke),
        1 => (-3600i32..90_000).prop_map(Event::Clock),
    ]
}

/// A holder of little room, and those whose records it is to keep.
struct Held {
    keys: NetworkKeys,
    provider: Provider,
    node: Overlay,
    now: Instant,
    owners: Vec<Identity>,
    request: u64,
    seq: u64,
    /// The newest number of each owner, of its own AOR and of one that all share.
    put: [[u64; 2]; 8],
    /// Whether there is a second provider, who knows nothing of what the first one revokes.
    several: bool,
    /// Else what is dropped with its owner is no broken promise.
    revoked: [bool; 8],
    statements: Vec<Statement>,
}

impl Held {
    fn new(several: bool) -> Self {
        let (keys, provider) = (NetworkKeys::new(&[1; 32], "test"), Provider::new(1));
        let now = Instant::from_micros(1_000_000);
        // Some have to make room for others.
        let limits = Limits { table_kb: 8, store_entries: 3, ..Limits::default() };
        let mut node = Overlay::new(&provider.identity(0, &keys), &keys, limits, 1, [3; 32], now);
        provider.instruct(&mut node, now);
        let until_s = [3600, 2 * 3600, 4 * 3600, DAY_S, 13 * DAY_S];
        let owner = |n: usize| {
            let until_s = BEGIN_S + until_s[n % until_s.len()];
            let validity = Validity { until_s, ..provider.validity };
            Provider { validity, ..Provider::new(1) }.identity(n, &keys)
        };
        let owners = (0..8).map(owner).collect();
        let (request, seq, put, revoked) = (0, 1, [[0; 2]; 8], [false; 8]);
        let statements = Vec::new();
        let mut held = Self {
            keys,
            provider,
            node,
            now,
            owners,
            request,
            seq,
            put,
            several,
            revoked,
            statements,
        };
        held.trust(held.provider.trust());
        held
    }

    fn trust(&mut self, mut trust: Trust) {
        let other = Provider::anchor(2).public();
        trust.anchors.extend(self.several.then_some(other));
        self.node.set_trust(self.now, &trust);
    }

    /// Somebody asks; the statement in the answer is kept, which is about what `about` says.
    fn ask(
        &mut self,
        sender: usize,
        make: impl FnOnce(&Token, u64) -> Encoder,
        about: impl Fn(&Body<'_>) -> Option<Statement>,
    ) {
        self.request += 1;
        let from = address(sender);
        let token = self.node.guard.token(&from);
        let data = make(&token, self.request).finish(&self.keys, wire::GET_BYTES).to_vec();
        let _ = self.node.handle_datagram(self.now, from, &data);
        let mut budget = Budget::new(self.now);
        while self.node.work(self.now, &mut budget) {}
        let mut buf = [0; crate::limits::OVERLAY_DATAGRAM_BYTES_MAX];
        while let Some(sent) = self.node.poll_transmit(&mut buf) {
            let Ok(frame) = Frame::parse(&buf[..sent.len], &self.keys) else { continue };
            if frame.request == self.request {
                self.statements.extend(about(&frame.body));
            }
        }
    }

    fn put(&mut self, owner: usize, shared: bool, withdrawn: bool) {
        self.seq += 1;
        let (id, me) = (self.owners[owner].clone(), self.node.id());
        let contact = contact(owner);
        let contact = (!withdrawn).then_some(&contact);
        let aor_key = aor_key(&self.keys, if shared { SHARED } else { owner });
        let record = Record::sign(&id, self.keys.network(), &aor_key, self.seq, contact);
        self.put[owner][usize::from(shared)] = self.seq;
        let put = |token: &Token, request| {
            Encoder::put_record(id.id(), request, token, record.as_bytes(), None)
        };
        self.ask(owner, put, |body| {
            let Body::Stored(_, _, _, stated) = body else { return None };
            let about = (record.key(), id.id(), record.seq());
            stated.map(|stated| Statement::completed(me, about, &stated))
        });
    }

    fn touch(&mut self, owner: usize, shared: bool) {
        let key = key(&self.keys, if shared { SHARED } else { owner });
        let record = (key, self.put[owner][usize::from(shared)]);
        let touch = wire::Touch { record, address_seq: 0, addresses: None, certificate: None };
        let id = self.owners[owner].id();
        self.ask(owner, |token, request| Encoder::touch(id, request, token, &touch), |_| None);
    }

    fn get(&mut self, shared: usize, of: Option<usize>) {
        let key = key(&self.keys, if shared == 0 { SHARED } else { shared });
        let (of, me) = (of.map(|owner| self.owners[owner].id()), self.node.id());
        let get = |token: &Token, request| Encoder::get(NodeId([9; 16]), request, token, &key, of);
        self.ask(0, get, |body| {
            let Body::Value(_, value) = body else { return None };
            let record = value.record.map(|data| Record::parse(data).unwrap());
            let given = record.map(|it| (it.owner_id(true), it.seq()));
            let given = given.filter(|(owner, _)| of.is_none_or(|of| of == *owner));
            let (owner, seq) = given.unwrap_or_else(|| (of.unwrap_or(ANY_OWNER), 0));
            let complete = |it: &_| Statement::completed(me, (key, owner, seq), it);
            value.stated.as_ref().map(complete)
        });
    }

    fn meet(&mut self, event: &Event) {
        match *event {
            Event::Put { owner, shared, withdrawn } => self.put(owner, shared, withdrawn),
            Event::Touch { owner, shared } => self.touch(owner, shared),
            Event::Get { shared, of } => self.get(shared, of),
            Event::Wait(seconds) => {
                self.now += Duration::from_secs(seconds.into());
                self.node.handle_timeout(self.now);
            }
            Event::Revoke(owner) => {
                self.revoked[owner] = true;
                self.trust(self.provider.revoking(owner, &self.keys));
            }
            Event::Clock(by_s) => {
                let there = u64::from(BEGIN_S) + self.now.millis() / 1000;
                let unix_s = there.checked_add_signed(by_s.into());
                self.node.set_clock(self.now, Clock { unix_s, floor_s: 0 });
            }
        }
    }

    fn is_of_revoked(&self, statement: &Statement) -> bool {
        let place = self.owners.iter().position(|owner| owner.id() == statement.said().owner);
        !self.several && place.is_some_and(|at| self.revoked[at])
    }
}

proptest! {
    #![proptest_config(crate::properties::cases(150))]

    #[test]
    fn an_honest_holder_never_contradicts_itself_while_it_runs(
        events in proptest::collection::vec(events(), 10..60),
        several in any::<bool>(),
    ) {
        let mut held = Held::new(several);
        events.iter().for_each(|event| held.meet(event));
        for (at, denial) in held.statements.iter().enumerate() {
            prop_assert!(denial.verify(held.keys.network()), "{denial:?}");
            for receipt in held.statements[..at].iter().filter(|it| !held.is_of_revoked(it)) {
                prop_assert!(!receipt.contradicts(denial), "{receipt:?} {denial:?}");
            }
        }
    }
}
