//! Pairs of ports and their order.

use super::*;
use std::collections::{BTreeMap, BTreeSet};

fn ip(last: u8) -> IpAddr {
    IpAddr::from([127, 0, 0, last])
}

#[test]
fn half_a_pair_is_given_back_and_the_other_half_closed() {
    let mut ports = Ports::new(40_000, 40_003, 1, &mut Rng::new([2; 32]));
    ports.set_addresses([ip(1)].into_iter());
    let binds: Vec<_> = core::iter::from_fn(|| ports.poll_request()).collect();
    assert_eq!(binds.len(), 4);
    let now = Instant::ZERO;
    let Request::Bind { local, .. } = binds[0].1 else { panic!() };
    ports.handle_answer(now, binds[0].0, Ok(Answer::Bound(SocketId(7), local)));
    assert_eq!(ports.poll_request(), None);
    ports.handle_answer(now, binds[1].0, Err(Failure::Address));
    let (ticket, request) = ports.poll_request().unwrap();
    assert_eq!(request, Request::CloseSocket(SocketId(7)));
    assert_eq!(ports.take(now, ip(1), Owner::default(), true), None);
    ports.handle_answer(now, ticket, Ok(Answer::Done));
    // Its port is free again and asked for again.
    assert!(
        matches!(ports.poll_request(), Some((_, Request::Bind { local: l, .. })) if l == local)
    );
}

#[test]
fn random_use_never_binds_a_port_twice_and_loses_none() {
    let mut rng = Rng::new([4; 32]);
    for _ in 0..20 {
        let mut ports = Ports::new(40_000, 40_039, 16, &mut rng);
        let mut open: BTreeMap<SocketAddr, SocketId> = BTreeMap::new();
        let mut owed: Vec<(MediaTicket, Request)> = Vec::new();
        let mut used: Vec<PairId> = Vec::new();
        let (mut now, mut next) = (Instant::ZERO, 0);
        for step in 0..2000 {
            now += Duration::from_millis(10);
            match rng.below(8) {
                0 if step < 1500 => {
                    let mask = rng.below(8) as u8;
                    let known = (1..4).filter(|last| mask & (1 << (last - 1)) != 0).map(ip);
                    ports.set_addresses(known);
                }
                1 => {
                    let address = ip(1 + rng.below(3) as u8);
                    used.extend(ports.take(now, address, Owner::default(), true));
                }
                2 if !used.is_empty() => {
                    let pair = used.swap_remove(rng.below(used.len() as u32) as usize);
                    ports.release(now, pair);
                }
                3 => ports.handle_timeout(now),
                _ if !owed.is_empty() => {
                    let at = rng.below(owed.len() as u32) as usize;
                    let (ticket, request) = owed.remove(at);
                    let answer = match request {
                        Request::Bind { .. } if rng.below(10) == 0 => Err(Failure::Address),
                        Request::Bind { local, .. } => {
                            next += 1;
                            assert_eq!(open.insert(local, SocketId(next)), None, "{local}");
                            Ok(Answer::Bound(SocketId(next), local))
                        }
                        Request::CloseSocket(id) => {
                            let before = open.len();
                            open.retain(|_, other| *other != id);
                            assert_eq!(open.len(), before - 1, "closed once");
                            Ok(Answer::Done)
                        }
                        other => panic!("{other:?}"),
                    };
                    ports.handle_answer(now, ticket, answer);
                }
                _ => {}
            }
            owed.extend(core::iter::from_fn(|| ports.poll_request()));
        }
        for pool in &ports.pools {
            let pairs = ports.pairs.iter().filter(|(_, pair)| pair.local.ip() == pool.address);
            let mut all: BTreeSet<u16> = pairs.map(|(_, pair)| pair.local.port()).collect();
            assert!(pool.free.iter().all(|port| all.insert(*port)), "no port is there twice");
            assert_eq!(all, (40_000..40_040).step_by(2).collect(), "and none is lost");
        }
    }
}

/// A pool of one address whose requests are all granted; how many sockets it has open.
struct Granted {
    ports: Ports,
    sockets: u32,
    open: usize,
}

impl Granted {
    fn new(calls: usize) -> Self {
        let mut ports = Ports::new(40_000, 40_999, calls, &mut Rng::new([9; 32]));
        ports.set_addresses([ip(1)].into_iter());
        let mut granted = Self { ports, sockets: 0, open: 0 };
        granted.grant(Instant::ZERO);
        granted
    }

    fn grant(&mut self, now: Instant) {
        while let Some((ticket, request)) = self.ports.poll_request() {
            let answer = match request {
                Request::Bind { local, .. } => {
                    self.sockets += 1;
                    self.open += 1;
                    Answer::Bound(SocketId(self.sockets), local)
                }
                _ => {
                    self.open -= 1;
                    Answer::Done
                }
            };
            self.ports.handle_answer(now, ticket, Ok(answer));
        }
    }

    fn take(&mut self, now: Instant) -> PairId {
        let pair = self.ports.take(now, ip(1), Owner::default(), true).unwrap();
        self.grant(now);
        pair
    }
}

#[test]
fn a_pair_that_came_back_is_held_off_then_used_again_and_closed_when_nobody_wants_it() {
    let mut pool = Granted::new(64);
    let mut now = Instant::ZERO;
    let mut freed: BTreeMap<SocketAddr, Instant> = BTreeMap::new();
    let mut running: VecDeque<PairId> = VecDeque::new();
    // Fifty calls a second, each of a tenth of a second.
    for _ in 0..500 {
        now += Duration::from_millis(20);
        let pair = pool.take(now);
        let (local, sockets) = pool.ports.get(pair).unwrap();
        assert!(freed.get(&local).is_none_or(|at| now >= *at + HOLD_OFF), "{local} rests");
        assert!(pool.ports.find(sockets[0].unwrap()).is_some());
        running.push_back(pair);
        if running.len() == 5 {
            let pair = running.pop_front().unwrap();
            let (local, sockets) = pool.ports.get(pair).unwrap();
            pool.ports.release(now, pair);
            freed.insert(local, now);
            assert_eq!(pool.ports.find(sockets[0].unwrap()), None, "late packets are nobody's");
        }
    }
    let pairs = READY_PAIRS + running.len() + 50 + 1;
    assert!(pool.sockets as usize <= 2 * pairs, "{} sockets for {pairs} pairs", pool.sockets);
    for pair in running {
        pool.ports.release(now, pair);
    }
    while let Some(at) = pool.ports.poll_timeout() {
        now = at;
        pool.ports.handle_timeout(now);
        pool.grant(now);
    }
    assert_eq!(pool.open, 2 * READY_PAIRS, "nobody called for long");
}

#[test]
fn as_many_pairs_are_held_as_there_may_be_calls_and_none_is_refused_for_it() {
    let mut pool = Granted::new(4);
    let now = Instant::ZERO;
    for _ in 0..600 {
        let pair = pool.take(now);
        pool.ports.release(now, pair);
        pool.grant(now);
        assert!(pool.open <= 2 * (READY_PAIRS + 4));
    }
}

#[test]
fn the_last_pairs_are_for_emergency_calls() {
    for (max, pairs, reserved) in [(40_007, 4, 1), (40_199, 100, MEDIA_PAIRS_EMERGENCY)] {
        let mut ports = Ports::new(40_000, max, 200, &mut Rng::new([6; 32]));
        ports.set_addresses([ip(1)].into_iter());
        let mut next = 0;
        let mut take = |urgent: bool| {
            while let Some((ticket, request)) = ports.poll_request() {
                let Request::Bind { local, .. } = request else { panic!() };
                next += 1;
                let bound = Answer::Bound(SocketId(next), local);
                ports.handle_answer(Instant::ZERO, ticket, Ok(bound));
            }
            ports.take(Instant::ZERO, ip(1), Owner::default(), urgent).is_some()
        };
        let usual = (0..200).filter(|_| take(false)).count();
        let urgent = (0..200).filter(|_| take(true)).count();
        assert_eq!((usual, urgent), (pairs - reserved, reserved));
    }
}
