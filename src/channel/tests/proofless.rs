//! What an address that has proven nothing can be made to receive: never more than was sent for it,
//! whatever kind of datagram it was.

use super::certified::town_of_two;
use super::net::{Datagram, Net, network, notice};
use super::seconds;
use crate::channel::wire;
use crate::identity::network::TAG_BYTES;
use crate::rng::Rng;
use crate::time::Duration;
use std::net::SocketAddr;

const KINDS: &str = include_str!("../wire.rs");
/// Changed copies of each datagram.
const COPIES: u32 = 40;

/// The kinds that there are, as their list says.
fn kinds() -> Vec<u8> {
    let number = |line: &str| {
        let digits = line.strip_prefix("pub(super) const ")?.split_once(": u8 = 0x")?.1;
        u8::from_str_radix(digits.trim_end_matches(';'), 16).ok()
    };
    KINDS.lines().filter_map(number).collect()
}

/// One datagram of each kind, of a meeting and of a session that one end has lost.
fn datagrams(net: &mut Net) -> Vec<Datagram> {
    net.open(0, 1);
    net.send(0, 1, &notice("call"));
    net.run(seconds(1));
    net.send(0, 1, &notice("again"));
    net.run(seconds(1));
    let data =
        net.sent.iter().rfind(|it| it.bytes[2] == wire::DATA && it.to == net.nodes[1].address);
    let data = data.unwrap().clone();
    net.forget(1);
    net.deliver(&data);
    net.run(seconds(1));
    let of = |kind: u8| net.sent.iter().find(|it| it.bytes[2] == kind).cloned();
    let found: Vec<_> = kinds().into_iter().map(|kind| (kind, of(kind))).collect();
    assert!(found.len() >= 6, "{found:?}", found = kinds());
    found.into_iter().map(|(kind, it)| it.unwrap_or_else(|| panic!("none of {kind:#x}"))).collect()
}

#[test]
fn no_datagram_makes_more_bytes_go_to_an_address_without_proof_than_it_has() {
    let mut rng = Rng::new([6; 32]);
    for (mut net, anchored) in [(Net::new(2, 3), false), (town_of_two(), true)] {
        for (kind, datagram) in (0u16..).zip(datagrams(&mut net)) {
            for copy in 0..=COPIES {
                let mut bytes = datagram.bytes.clone();
                for _ in 0..copy.min(3) {
                    let at = 3 + rng.below(bytes.len() as u32 - 3) as usize;
                    bytes[at] = rng.below(256) as u8;
                }
                if bytes[2] != wire::DATA {
                    let end = bytes.len() - TAG_BYTES;
                    let tag = network().tag(&bytes[..end]);
                    bytes[end..].copy_from_slice(&tag);
                }
                let port = 1000 * (kind + 1) + copy as u16;
                let from = SocketAddr::from(([203, 0, 113, 1], port));
                let before = net.sent.len();
                let mut sent = 0;
                for to in [net.nodes[0].address, net.nodes[1].address] {
                    sent += bytes.len();
                    net.deliver(&Datagram { from, to, bytes: bytes.clone() });
                }
                net.run(Duration::from_secs(4));
                let there = net.sent[before..].iter().filter(|datagram| datagram.to == from);
                let out: usize = there.map(|datagram| datagram.bytes.len()).sum();
                assert!(out <= sent, "{:#x}, anchored {anchored}: {out} B for {sent}", bytes[2]);
            }
        }
    }
}
