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
    assert_eq!(ports.take(ip(1), Owner::default()), None);
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
                1 => used.extend(ports.take(ip(1 + rng.below(3) as u8), Owner::default())),
                2 if !used.is_empty() => {
                    let pair = used.swap_remove(rng.below(used.len() as u32) as usize);
                    ports.release(pair);
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
