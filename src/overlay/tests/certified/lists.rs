//! Lists of revocations: how they spread, and what keeps them from it.

use super::super::super::wire::kind;
use super::*;
use crate::identity::network::TAG_BYTES;
use crate::identity::trust::ANCHOR_AHEAD;
use crate::overlay::id::Named;

/// A number as a provider gives it: minutes.
const FIRST: u32 = BEGIN_S / 60;

impl Provider {
    /// Its list of this number, on which these stand since those lists; by the anchor itself where
    /// that is to be.
    fn list(
        &self,
        network: &[u8; 16],
        direct: bool,
        number: u32,
        on: &[(u64, u32)],
    ) -> Revocations {
        let ends_day = (self.validity.until_s / DAY_S) as u16;
        let mut entries: Vec<Revoked> =
            on.iter().map(|&(serial, number)| Revoked { serial, ends_day, number }).collect();
        entries.sort_unstable();
        let authority = if direct {
            Authority::anchor(Self::anchor(self.issuing), network)
        } else {
            Self::authority(self.issuing, network)
        };
        let head = authority.revoke(number, BEGIN_S, &entries);
        Revocations::default().restored(&head, &entries).unwrap()
    }
}

/// So many that nobody has, each of them four minutes after the one before.
fn strangers(count: u64) -> Vec<(u64, u32)> {
    (0..count).map(|n| (1_000_000 + 64 * n, FIRST)).collect()
}

fn list(net: &Net, direct: bool, number: u32, on: &[(u64, u32)]) -> Revocations {
    net.provider.as_ref().unwrap().list(net.keys.network(), direct, number, on)
}

/// Whoever is at `at` gets the list from its own side.
fn offer(net: &mut Net, at: usize, list: &Revocations) -> Result<u32, Rejected> {
    let now = net.now;
    net.with(at, |node| node.offer_list(now, &list.to_bytes()))
}

fn number(net: &Net, at: usize) -> u32 {
    net.peers[at].node.trust().revocations.number()
}

/// Runs until all of `who` go by this list; the seconds that it took.
fn await_list(net: &mut Net, who: core::ops::Range<usize>, wanted: u32, limit_s: u64) -> u64 {
    for second in 0..limit_s {
        if who.clone().all(|at| number(net, at) == wanted) {
            return second;
        }
        net.run_ms(1_000);
    }
    let late: Vec<usize> = who.filter(|at| number(net, *at) != wanted).collect();
    panic!("without list {wanted} after {limit_s} s: {late:?}");
}

fn pieces(net: &Net) -> u64 {
    sum(net, |counters| counters.list_pieces)
}

#[test]
fn a_list_spreads_within_minutes_by_what_was_added_and_whom_it_revokes_is_out() {
    let mut net = certified(96, 60);
    for i in [17, 23] {
        net.publish(i, &aor(i), &contact(i));
    }
    net.run_ms(3_000);
    assert_eq!(net.resolve(5, &aor(17)).0.len(), 1);
    let mut on = strangers(1_500);
    on.push((1_017, FIRST));
    let first = list(&net, true, FIRST, &on);
    assert_eq!(offer(&mut net, 3, &first), Ok(FIRST));
    let took_s = await_list(&mut net, 0..60, FIRST, 180);
    let taken = OverlayEvent::ListTaken;
    for at in 0..60 {
        assert_eq!(net.peers[at].node.trust().revocations, first, "{at}");
        assert_eq!(net.peers[at].events.iter().filter(|it| **it == taken(at == 3)).count(), 1);
    }
    let whole = pieces(&net);
    assert!(
        (59 * 5..59 * 8).contains(&whole),
        "{whole} pieces of {} bytes",
        first.to_bytes().len()
    );
    out(&mut net, 17);
    // What was added is one piece, for all who have the list before.
    on.push((2_000_000, FIRST + 1));
    let second = list(&net, true, FIRST + 1, &on);
    assert_eq!(offer(&mut net, 40, &second), Ok(FIRST + 1));
    let next_s = await_list(&mut net, 0..60, FIRST + 1, 180);
    assert_eq!(net.peers[8].node.trust().revocations, second);
    assert!(pieces(&net) - whole < 59 * 2, "{whole} and {}", pieces(&net) - whole);
    println!(
        "60 nodes: whole {took_s} s, {whole} pieces; added {next_s} s, {}",
        pieces(&net) - whole
    );
    assert_eq!(sum(&net, |counters| counters.lists_failed + counters.lists_refused), 0);
    // Who comes later, with nothing.
    let late = net.add(60, &[address(0)]);
    await_list(&mut net, late..late + 1, FIRST + 1, 60);
    // Nor does it come back by itself.
    net.run_ms(600_000);
    out(&mut net, 17);
    assert_eq!(net.resolve(late, &aor(23)).0.len(), 1);
}

/// A node is kept, given out and listed by nobody.
fn out(net: &mut Net, of: usize) {
    let place = Provider::place(of);
    for at in (0..net.peers.len()).filter(|at| *at != of) {
        assert!(net.peers[at].node.members.get(&place).is_none(), "{at} lists it");
        assert_eq!(held(net, at, of), 0, "{at} keeps it");
    }
    assert_eq!(net.resolve(9, &aor(of)).0, []);
}

#[test]
fn a_member_that_has_renewed_its_certificate_since_is_out_too() {
    let mut net = certified(97, 12);
    let now = net.now;
    let keys = net.keys.clone();
    let mut renewed = Provider::new(1);
    renewed.validity = Validity { from_s: BEGIN_S + 7 * DAY_S, until_s: BEGIN_S + 21 * DAY_S };
    for i in 0..12 {
        let mut certificate = renewed.certificate(i, &keys);
        if i == 7 {
            let network = keys.network();
            certificate = Provider::authority(1, network).certify(&Subject {
                serial: 77,
                key: identity(7).public(),
                place: Provider::place(7),
                validity: renewed.validity,
                keys: &[key(&keys, 7)],
            });
        }
        net.with(i, |node| {
            node.set_clock(now, clock(now, 15));
            assert!(node.set_certificates(now, &[certificate]));
        });
    }
    assert!(net.peers[3].node.members.get(&Provider::place(7)).is_some());
    net.provider = Some(renewed);
    let list = list(&net, true, FIRST, &[(77, FIRST)]);
    offer(&mut net, 0, &list).unwrap();
    // What they are asked at first is lost.
    net.bend = Some(|_, _, data| data[2] != kind::WHO);
    await_list(&mut net, 0..12, FIRST, 60);
    net.run_ms(30_000);
    assert!(net.peers[3].node.members.len() < 10);
    net.bend = None;
    net.run_ms(60_000);
    for at in (0..12).filter(|at| *at != 7) {
        let members = &net.peers[at].node.members;
        assert!(members.get(&Provider::place(7)).is_none(), "{at}");
        assert_eq!(members.len(), 10, "{at}: the others have shown theirs");
    }
}

/// Nodes from this one on say that they have a list which nobody has.
const LIARS: usize = 30;

/// What the liars do with an answer: each third gives what it has, garbage, or nothing.
fn lie(sender: usize, keys: &NetworkKeys, data: &mut [u8]) -> bool {
    let third = data[2];
    let answers = [kind::PONG, kind::NODES, kind::VALUE, kind::STORED, kind::DIALED, kind::PIECE];
    if sender < LIARS || !answers.contains(&third) {
        return true;
    }
    let (at, end) = if third == kind::VALUE {
        (5, 5 + usize::from(u16::from_be_bytes([data[3], data[4]])))
    } else {
        (3, data.len() - TAG_BYTES)
    };
    // Behind sender, request, token, flags and start.
    data[at + 34..at + 38].copy_from_slice(&u32::MAX.to_be_bytes());
    if third == kind::PIECE {
        match sender % 3 {
            0 => {}
            1 => data[at + 48..end].iter_mut().for_each(|byte| *byte ^= 0x55),
            _ => return false,
        }
    }
    let tag = keys.tag(&data[..end]);
    data[end..end + TAG_BYTES].copy_from_slice(&tag);
    true
}

#[test]
fn members_that_claim_what_they_do_not_have_stop_nothing() {
    let mut net = certified(98, 40);
    net.bend = Some(lie);
    net.run_ms(600_000);
    let failed: Vec<u64> =
        (0..LIARS).map(|at| net.peers[at].node.counters().lists_failed).collect();
    // Each is asked once in ten minutes.
    assert!(failed.iter().all(|count| (1..=20).contains(count)), "{failed:?}");
    let first = list(&net, true, FIRST, &strangers(300));
    offer(&mut net, 3, &first).unwrap();
    let took_s = await_list(&mut net, 0..LIARS, FIRST, 300);
    println!("a quarter lies: {took_s} s");
    let (asked, verified) = (sum(&net, |counters| counters.lists_failed), refused(&net)[3]);
    net.run_ms(3_600_000);
    assert_eq!((0..LIARS).map(|at| number(&net, at)).max(), Some(FIRST));
    let asked = sum(&net, |counters| counters.lists_failed) - asked;
    assert!(asked <= (LIARS * 10 * 7) as u64, "{asked} within an hour");
    assert_eq!(refused(&net)[3], verified, "what was not signed costs no operation twice");
}

#[test]
fn an_older_list_is_never_taken() {
    let mut net = certified(99, 8);
    let [older, newer] = [FIRST, FIRST + 1].map(|number| list(&net, true, number, &strangers(3)));
    offer(&mut net, 0, &newer).unwrap();
    await_list(&mut net, 0..8, FIRST + 1, 60);
    for at in 0..8 {
        assert!(offer(&mut net, at, &older).is_err());
        assert!(offer(&mut net, at, &newer).is_err());
    }
    // Who has that alone learns of the newer one by telling of it.
    let late = net.add(8, &[]);
    offer(&mut net, late, &older).unwrap();
    let now = net.now;
    net.with(late, |node| node.set_bootstrap(now, &[address(0)]));
    await_list(&mut net, 0..9, FIRST + 1, 60);
}

#[test]
fn more_than_an_issuing_key_may_revoke_is_taken_from_the_anchor_alone() {
    let mut net = certified(100, 20);
    let taken = |net: &Net, wanted| (0..20).filter(|at| number(net, *at) == wanted).count();
    let many = list(&net, false, FIRST + 1, &strangers(100));
    // Whoever has the issuing key has all that it wants on its own router.
    offer(&mut net, 0, &many).unwrap();
    net.run_ms(600_000);
    assert_eq!((taken(&net, FIRST + 1), taken(&net, 0)), (1, 19));
    let refused = |net: &Net| sum(net, |counters| counters.lists_refused);
    assert!(refused(&net) >= 10 && refused(&net) <= 19, "once an hour: {}", refused(&net));
    let event = OverlayEvent::ListRefused(FIRST + 1);
    assert!(net.peers[1..].iter().any(|peer| peer.events.contains(&event)));
    let signed = list(&net, true, FIRST + 2, &strangers(100));
    offer(&mut net, 7, &signed).unwrap();
    await_list(&mut net, 0..20, FIRST + 2, 120);
}

#[test]
fn without_an_anchor_nobody_asks_answers_or_is_told() {
    let mut net = Net::joined(101, 6);
    net.record = true;
    let keys = net.keys.clone();
    let (me, token) = (net.peers[1].node.id(), net.peers[2].node.guard.token(&address(1)));
    let mut ask = Encoder::list(me, 7, &token, u32::MAX, 0);
    let (now, ask) = (net.now, ask.finish(&keys, 0).to_vec());
    net.with(2, |node| node.handle_datagram(now, address(1), &ask)).unwrap();
    let given = Provider::new(1).list(keys.network(), true, FIRST, &strangers(3));
    assert!(offer(&mut net, 3, &given).is_err());
    net.run_ms(600_000);
    let mut answers = 0;
    for (_, data) in net.peers.iter().flat_map(|peer| &peer.keep) {
        let frame = Frame::parse(data, &keys).unwrap();
        assert!(!matches!(frame.body, Body::List(..) | Body::Piece(..)));
        if let Body::Pong(hello) = frame.body {
            assert_eq!(hello.list, 0);
            answers += 1;
        }
    }
    assert!(answers > 20, "{answers}");
}

/// What whoever has stolen an issuing key signs with it, at this moment.
fn stolen(net: &Net, number: u32, issued_s: u32, entries: &[Revoked]) -> Revocations {
    let head = Provider::authority(1, net.keys.network()).revoke(number, issued_s, entries);
    Revocations::default().restored(&head, entries).unwrap()
}

#[test]
fn the_anchor_outruns_whoever_has_stolen_an_issuing_key() {
    let mut net = certified(102, 20);
    let ends_day = (net.provider.as_ref().unwrap().validity.until_s / DAY_S) as u16;
    let on = |serial, number| Revoked { serial, ends_day, number };
    // As high and as late as routers take it from such a key.
    let late = FIRST + 1_060;
    let first = stolen(&net, late, BEGIN_S + 3_600, &[on(1_004, late)]);
    offer(&mut net, 0, &first).unwrap();
    await_list(&mut net, 0..20, late, 120);
    // The anchor's revokes the delegation of everybody: those who have it are members no longer.
    let wanted = FIRST + ANCHOR_AHEAD;
    let anchor = list(&net, true, wanted, &[(1, wanted)]);
    offer(&mut net, 7, &anchor).unwrap();
    for minute in 1..5 {
        let (number, now_s) = (late + minute, BEGIN_S + 3_600 + 60 * minute);
        let next = stolen(&net, number, now_s, &[on(1_004, late), on(1_005, number)]);
        let _ = offer(&mut net, 0, &next);
        net.run_ms(60_000);
    }
    await_list(&mut net, 0..20, wanted, 60);
    // The thief's numbers are higher now.
    net.run_ms(2 * 3_600_000);
    let past_s = BEGIN_S + 3 * 3_600;
    let last = stolen(&net, past_s / 60 + 1_000, past_s, &[on(1, wanted)]);
    assert!((0..20).all(|at| offer(&mut net, at, &last).is_err()));
}

#[test]
fn what_an_issuing_key_signs_takes_nothing_back() {
    let mut net = certified(103, 8);
    let held = list(&net, true, FIRST, &strangers(3));
    offer(&mut net, 0, &held).unwrap();
    await_list(&mut net, 0..8, FIRST, 60);
    let less = list(&net, false, FIRST + 1, &strangers(2));
    let late = net.add(8, &[]);
    offer(&mut net, late, &less).unwrap();
    let now = net.now;
    net.with(late, |node| node.set_bootstrap(now, &[address(0)]));
    net.run_ms(120_000);
    assert!((0..8).all(|at| number(&net, at) == FIRST));
    assert!(sum(&net, |counters| counters.lists_refused) > 0);
    let anchor = list(&net, true, FIRST + 2, &strangers(2));
    offer(&mut net, 0, &anchor).unwrap();
    await_list(&mut net, 0..9, FIRST + 2, 120);
}

#[test]
fn without_a_clock_no_issuing_key_says_how_late_it_is() {
    let mut net = certified(104, 8);
    let now = net.now;
    let floor_s = u64::from(BEGIN_S - DAY_S);
    let unset = |net: &mut Net, at: usize| {
        net.peers[at].node.vouching = vouching::Vouching::new(now);
        let trust = net.provider.as_ref().unwrap().trust();
        net.with(at, |node| {
            node.set_trust(now, &trust);
            node.set_clock(now, Clock { unix_s: None, floor_s });
        });
    };
    (0..8).for_each(|at| unset(&mut net, at));
    // Whoever has the key dates a list as late as its delegation lasts.
    let future_s = BEGIN_S + 50 * DAY_S;
    let future = stolen(&net, future_s / 60, future_s, &[]);
    offer(&mut net, 0, &future).unwrap();
    net.run_ms(120_000);
    assert_eq!((0..8).filter(|at| number(&net, *at) > 0).count(), 1, "its own router alone");
    for at in 0..8 {
        let passed_s = net.now.since(now).as_secs();
        assert!(net.peers[at].node.time_floor_s(net.now) <= floor_s + passed_s, "{at}");
    }
    // What the anchor has signed is believed.
    unset(&mut net, 0);
    let anchor = list(&net, true, FIRST, &strangers(3));
    offer(&mut net, 3, &anchor).unwrap();
    await_list(&mut net, 0..8, FIRST, 120);
    assert!((0..8).all(|at| net.peers[at].node.time_floor_s(net.now) > floor_s + 22 * 3_600));
}

#[test]
fn who_has_just_joined_knows_how_many_there_are_before_it_takes_a_list() {
    let mut net = certified(105, 60);
    // All others of a larger network are heard of, and silent.
    let (now, mut rng) = (net.now, Rng::new([7; 32]));
    let named: Vec<Named> = (1_000..1_800)
        .map(|n| Named { node: Node { id: NodeId(rng.bytes()), address: address(n) }, age_h: 0 })
        .collect();
    for at in 0..60 {
        net.with(at, |node| {
            let minute = node.minute(now);
            for it in &named {
                node.hints.learn(it, minute, false);
            }
        });
    }
    let held = list(&net, false, FIRST, &strangers(100));
    offer(&mut net, 3, &held).unwrap();
    await_list(&mut net, 0..60, FIRST, 180);
    let late = net.add(60, &[address(0)]);
    let took_s = await_list(&mut net, late..late + 1, FIRST, 240);
    println!("a newcomer: {took_s} s");
    assert_eq!(sum(&net, |counters| counters.lists_refused), 0);
}

#[test]
fn a_flood_of_records_keeps_no_list_back() {
    let mut net = certified(106, 8);
    let keys = net.keys.clone();
    let owner = net.provider.as_ref().unwrap().identity(5, &keys);
    let flood = |net: &mut Net, second: u64| {
        let record = |n| Record::sign(&owner, keys.network(), &aor_key(&keys, 5), n, None);
        let reason = work::Reason::Store {
            from: address(900),
            sender: NodeId([9; 16]),
            request: 1,
            len: 100,
            touched: None,
        };
        let now = net.now;
        for n in 0..crate::limits::OVERLAY_STORE_MAX as u64 {
            let subject = work::Subject::Record(record(1_000 * second + n));
            let job = work::Job { reason, subject, addresses: None };
            for at in 0..8 {
                let _ = net.with(at, |node| node.submit(now, job.clone()));
            }
        }
    };
    flood(&mut net, 1);
    let first = list(&net, true, FIRST, &strangers(300));
    assert_eq!(offer(&mut net, 0, &first), Ok(FIRST));
    for second in 2..20 {
        net.run_ms(1_000);
        flood(&mut net, second);
    }
    await_list(&mut net, 0..8, FIRST, 1);
    assert!(sum(&net, |counters| counters.work_full) > 0);
    assert_eq!(sum(&net, |counters| counters.lists_failed), 0);
}

#[test]
fn who_speaks_in_a_neighbours_name_has_nobody_leave_it_alone() {
    let mut net = certified(107, 2);
    let (now, keys) = (net.now, net.keys.clone());
    let mut ask = Encoder::list(net.peers[0].node.id(), 7, &wire::NO_TOKEN, u32::MAX, 0);
    let ask = ask.finish(&keys, 0).to_vec();
    net.with(1, |node| node.handle_datagram(now, address(0), &ask)).unwrap();
    net.run_ms(5_000);
    assert_eq!(net.peers[1].node.counters().lists_failed, 1);
    let first = list(&net, true, FIRST, &strangers(3));
    offer(&mut net, 0, &first).unwrap();
    await_list(&mut net, 0..2, FIRST, 60);
}
