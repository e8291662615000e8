//! Routers that nobody can reach first: behind NATs of every kind, with the server dead, they call
//! and are called, talk, and hang up after a pause longer than a NAT's memory.

use crate::net::Fate;
use crate::sip::Msg;
use crate::town::{Phone, Town, server};
use cosip::lab::nat::{Filter, Nat};
use std::net::{IpAddr, SocketAddr};

/// Shorter than every pause between two messages of a call here.
const LIFE_S: u64 = 30;
/// A short pause in signalling while people talk.
const TALK_S: u64 = 240;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    Nothing,
    Nat(Filter, bool),
    /// A NAT that shows other ports than those inside, the same to every peer.
    Renumbering(Filter),
    Firewall,
}

const CLOSED: [Behind; 5] = [
    Behind::Nat(Filter::Address, false),
    Behind::Nat(Filter::Port, false),
    Behind::Nat(Filter::Address, true),
    Behind::Nat(Filter::Port, true),
    Behind::Firewall,
];

impl Behind {
    fn is_symmetric(self) -> bool {
        matches!(self, Self::Nat(_, true))
    }

    /// Whether it lets in from where was sent to alone.
    fn filters_ports(self) -> bool {
        matches!(self, Self::Nat(Filter::Port, _) | Self::Firewall)
    }

    /// Whether speech has a way to another one.
    fn hears(self, other: Self) -> bool {
        match (self.is_symmetric(), other.is_symmetric()) {
            (true, true) => false,
            (true, false) => !other.filters_ports(),
            (false, true) => !self.filters_ports(),
            (false, false) => true,
        }
    }
}

impl Town {
    /// Adds a router that others can reach.
    fn add_reachable(&mut self, number: u8) {
        self.add_router(number, |_| {});
    }

    /// Adds a router behind a NAT.
    fn add_behind(&mut self, number: u8, nat: Nat) {
        let inside = IpAddr::from([10, 0, number, 2]);
        self.world.nats.push((inside, nat));
        self.behind = Some(inside);
        self.add_router(number, |_| {});
        self.behind = None;
    }
}

/// Three reachable routers, and one more behind each of these; the last two routers are theirs.
fn town(seed: u64, sides: [Behind; 2]) -> Town {
    let mut town = Town::with(seed, |_| {});
    for (number, side) in [(4, sides[0]), (5, sides[1])] {
        let outside = IpAddr::from([198, 51, 100 + number, 9]);
        match side {
            Behind::Nothing => town.add_reachable(number),
            Behind::Nat(filter, symmetric) => {
                town.add_behind(number, Nat::new(outside, filter, symmetric, LIFE_S).preserving());
            }
            Behind::Renumbering(filter) => {
                town.add_behind(number, Nat::new(outside, filter, false, LIFE_S));
            }
            Behind::Firewall => {
                town.add_reachable(number);
                let inside = town.routers.last().unwrap().wan;
                town.world.nats.push((inside, Nat::firewall(inside, LIFE_S)));
            }
        }
    }
    town.world.run_ms(30_000);
    town
}

/// Where a message wants sound to be sent.
fn media_of(message: &Msg) -> SocketAddr {
    let value = |start: &str| {
        let line = message.body().lines().find(|line| line.starts_with(start)).expect(start);
        line.split(' ').nth(if start == "c=" { 2 } else { 1 }).unwrap().to_owned()
    };
    format!("{}:{}", value("c="), value("m=audio")).parse().unwrap()
}

/// One packet of speech.
fn rtp(count: u16) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(count.to_be_bytes());
    packet.extend((u32::from(count) * 160).to_be_bytes());
    packet.extend([1, 2, 3, 4]);
    packet.extend([0xff; 160]);
    packet
}

/// Both talk for so long; how many packets each heard of the other in the last second.
fn talk(town: &mut Town, ends: [(&Phone, SocketAddr); 2], seconds: u64) -> [usize; 2] {
    let mut count = 0;
    let start = town.world.log.len();
    for second in 0..seconds {
        // Speech at full rate only where it is counted.
        let packets = if second + 1 == seconds || second == 0 { 20 } else { 1 };
        for _ in 0..packets {
            count += 1;
            for (phone, to) in ends {
                town.world.send(phone.media(), to, rtp(count));
            }
            town.world.run_ms(1000 / packets);
        }
    }
    let last = count - 20;
    ends.map(|(phone, _)| {
        let heard = town.world.log[start..].iter().filter(|packet| {
            let number = packet.data.get(2..4).map(|n| u16::from_be_bytes([n[0], n[1]]));
            packet.to == phone.media() && number > Some(last)
        });
        heard.count()
    })
}

/// Both phones register again.
fn register(town: &mut Town, number: u32, phones: [&Phone; 2]) {
    for phone in phones {
        let mut again = phone.clone();
        again.cseq += number;
        town.register(&mut again, 3600);
        town.world.expect(phone.at, "200 REGISTER", 5_000);
    }
    town.world.run_ms(2_000);
}

/// A call from the first to the second that nobody could hear, with the server dead: no phone
/// rings, and the caller is told why.
fn call_unheard(town: &mut Town, number: u32, phones: [&Phone; 2], what: &str) {
    register(town, number, phones);
    let [alice, bob] = phones;
    let before = town.world.log.len();
    town.dial(alice, &bob.aor(), &format!("c{number}"));
    let refusal = town.refused(alice, "480", &bob.aor(), 9_000);
    assert!(refusal.text.contains("480 No Way For Speech"), "{what}: {}", refusal.text);
    assert!(refusal.one("Warning").contains("neither router can send"), "{what}");
    town.world.run_ms(40_000);
    let invites =
        |packet: &&crate::net::Packet| packet.to == bob.at && packet.data.starts_with(b"INVITE");
    assert_eq!(town.world.log[before..].iter().filter(invites).count(), 0, "{what}");
}

/// A call from the first to the second, with the server dead.
fn call(town: &mut Town, number: u32, phones: [&Phone; 2], what: &str) {
    register(town, number, phones);
    let [alice, bob] = phones;
    let before = town.world.log.len();
    let call_id = format!("c{number}");
    town.dial(alice, &bob.aor(), &call_id);
    let heard = town.world.expect(bob.at, "INVITE", 3_000);
    town.reply(&heard, 180, "b", &[("Contact", &format!("<{}>", bob.contact()))]);
    town.world.expect(alice.at, "180", 1_000);
    let mut callee = town.accept(&heard, "b", &bob.contact());
    let answer = town.world.expect(alice.at, "200 INVITE", 1_000);
    let mut caller = crate::sip::Dialog::of_answer(&answer, &alice.contact());
    let ack = caller.ack(answer.cseq());
    town.say(alice, ack);
    town.world.expect(bob.at, "ACK", 1_000);
    let ends = [(alice, media_of(&answer)), (bob, media_of(&heard))];
    let counts = talk(town, ends, TALK_S);
    assert!(counts.iter().all(|heard| *heard >= 19), "{what}: {counts:?}");
    let (bye, other) =
        if number.is_multiple_of(2) { (&mut caller, bob) } else { (&mut callee, alice) };
    let request = bye.request("BYE", &[], "");
    town.world.send(bye.at, bye.hop, request);
    let bye_heard = town.world.expect(other.at, "BYE", 5_000);
    town.reply(&bye_heard, 200, "", &[]);
    town.world.expect(bye.at, "200 BYE", 3_000);
    town.world.run_ms(40_000);
    // Ends that hear each other in several places do not go on asking where the other is.
    let of_channel = |kind: u8| (0x0f..=0x10).contains(&kind) || (0x40..=0x45).contains(&kind);
    let crossed = town.world.log[before..].iter().filter(|packet| {
        packet.data.first() == Some(&1) && packet.data.get(2).is_some_and(|k| of_channel(*k))
    });
    let crossed = crossed.count();
    assert!(crossed < 150, "{what}: {crossed} datagrams of the channel");
}

#[test]
fn routers_behind_nats_call_and_are_called_with_the_server_dead() {
    let mut seed = 0;
    for callee in CLOSED {
        for caller in [&[Behind::Nothing][..], &CLOSED].concat() {
            seed += 1;
            let mut town = town(seed, [caller, callee]);
            let what = format!("{caller:?} calls {callee:?}, seed {seed}");
            let alice = town.registered(3, 1, "alice");
            let bob = town.registered(4, 1, "bob");
            town.server_is(Fate::Drop);
            town.world.run_ms(20_000);
            let one = if caller.hears(callee) { call } else { call_unheard };
            one(&mut town, 2, [&alice, &bob], &what);
            one(&mut town, 3, [&bob, &alice], &what);
            town.finish_as(&what);
        }
    }
}

#[test]
fn the_status_says_how_a_router_is_reached_and_why() {
    for (seed, (behind, word, reason)) in [
        (Behind::Nothing, "direct", "own address"),
        (Behind::Nat(Filter::Open, false), "mapped", "the address that others see"),
        (Behind::Nat(Filter::Port, false), "punched", "introduce"),
        (Behind::Firewall, "punched", "firewall"),
        (Behind::Nat(Filter::Port, true), "relayed", "another port"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut town = town(seed as u64 + 100, [behind, Behind::Nothing]);
        let status = town.status(3);
        assert_eq!(status["overlay"]["reachable"], word, "{status}");
        let said = status["overlay"]["reason"].as_str().unwrap();
        assert!(said.contains(reason), "{behind:?}: {said}");
        town.finish();
    }
}

#[test]
fn a_rendezvous_peer_that_dies_in_a_call_does_not_end_it() {
    for seed in 0..20 {
        let mut town = town(200 + seed, [Behind::Nothing, CLOSED[seed as usize % CLOSED.len()]]);
        let what = format!("seed {seed}");
        let alice = town.registered(3, 1, "alice");
        let bob = town.registered(4, 1, "bob");
        town.server_is(Fate::Drop);
        call(&mut town, 2, [&alice, &bob], &what);
        let keeps = |status: serde_json::Value| status["overlay"]["clients"].as_u64() > Some(0);
        let dead = (0..4).find(|router| keeps(town.status(*router))).unwrap();
        if dead < 3 {
            town.world.deaf.insert(town.routers[dead].place);
        }
        call(&mut town, 4, [&alice, &bob], &what);
        call(&mut town, 5, [&bob, &alice], &what);
        town.finish_as(&what);
    }
}

#[test]
fn a_nat_that_starts_anew_between_calls_costs_no_call() {
    for seed in 0..20 {
        let behind = [Behind::Nat(Filter::Address, false), Behind::Nat(Filter::Port, seed % 4 < 2)];
        let mut town = town(300 + seed, [Behind::Nothing, behind[seed as usize % 2]]);
        let what = format!("seed {seed}");
        let alice = town.registered(3, 1, "alice");
        let bob = town.registered(4, 1, "bob");
        town.server_is(Fate::Drop);
        call(&mut town, 2, [&alice, &bob], &what);
        town.world.nats[0].1.restart();
        town.world.run_ms(35_000);
        call(&mut town, 3, [&alice, &bob], &what);
        call(&mut town, 4, [&bob, &alice], &what);
        town.finish_as(&what);
    }
}

#[test]
fn a_port_that_was_opened_by_hand_makes_a_reachable_router() {
    let closed = Behind::Nat(Filter::Port, false);
    let mut town = town(400, [closed, closed]);
    for router in [3, 4] {
        let inside = (town.routers[router].wan, 5070).into();
        town.world.nats[router - 3].1.open_port(inside, 5070);
    }
    town.world.run_ms(900_000);
    for router in [3, 4] {
        assert_eq!(town.status(router)["overlay"]["reachable"], "mapped");
    }
    let alice = town.registered(3, 1, "alice");
    let bob = town.registered(4, 1, "bob");
    town.server_is(Fate::Drop);
    call(&mut town, 2, [&alice, &bob], "opened");
    call(&mut town, 3, [&bob, &alice], "opened");
    town.finish();
}

#[test]
fn a_text_finds_a_router_that_nobody_can_reach_first() {
    for (seed, callee) in CLOSED.into_iter().enumerate() {
        let mut town = town(500 + seed as u64, [Behind::Nat(Filter::Port, false), callee]);
        let alice = town.registered(3, 1, "alice");
        let bob = town.registered(4, 1, "bob");
        town.server_is(Fate::Drop);
        town.world.run_ms(20_000);
        let text = alice.request(("MESSAGE", &bob.aor()), "m1", 1, &[], "hello");
        town.say(&alice, text);
        let text = town.world.expect(bob.at, "MESSAGE", 6_000);
        town.reply(&text, 200, "b", &[]);
        town.world.expect(alice.at, "200 MESSAGE", 1_000);
        town.finish_as(&format!("{callee:?}"));
    }
}

#[test]
fn where_speech_has_no_way_past_the_server_the_server_has_the_last_word() {
    let symmetric = Behind::Nat(Filter::Port, true);
    let mut town = town(600, [symmetric, symmetric]);
    let alice = town.registered(3, 1, "alice");
    let bob = town.registered(4, 1, "bob");
    town.dial(&alice, &bob.aor(), "c1");
    let invite = town.world.expect(server(), "INVITE", 100);
    town.reply(&invite, 100, "", &[]);
    // Longer than it may only work on it: the overlay is tried.
    town.world.run_ms(10_000);
    let callee = town.status(4);
    assert_eq!(callee["counters"]["invites_out_of_earshot"], 1);
    let invited = town
        .world
        .log
        .iter()
        .any(|packet| packet.to == bob.at && packet.data.starts_with(b"INVITE"));
    assert!(!invited, "nothing rings");
    let trace = town.world.ask(town.routers[3].place, &["trace"]);
    assert!(trace.contains("480 No Way For Speech"), "{trace}");
    town.reply(&invite, 486, "srv", &[]);
    town.refused(&alice, "486", invite.uri(), 200);
    town.finish();
}

#[test]
fn two_routers_whose_nats_show_other_ports_refuse_what_nobody_would_hear() {
    let renumbering = |filter| Behind::Renumbering(filter);
    let symmetric = Behind::Nat(Filter::Port, true);
    for (seed, filter) in [Filter::Address, Filter::Port].into_iter().enumerate() {
        for other in [Behind::Nothing, symmetric, renumbering(filter)] {
            let mut town = town(700 + seed as u64, [other, renumbering(filter)]);
            let what = format!("{other:?} calls one that is renumbered, by {filter:?}");
            let alice = town.registered(3, 1, "alice");
            let bob = town.registered(4, 1, "bob");
            town.server_is(Fate::Drop);
            town.world.run_ms(20_000);
            let one = if other == Behind::Nothing { call } else { call_unheard };
            one(&mut town, 2, [&alice, &bob], &what);
            one(&mut town, 3, [&bob, &alice], &what);
            town.finish_as(&what);
        }
    }
}
