//! What addresses that have proven nothing can be made to receive: never more than somebody has
//! sent for it, headers counted, whatever kind of datagram it was, repeats and later probes
//! included.

use super::certified::certified;
use super::net::{Net, address, aor, contact};
use super::wire::frames;
use crate::identity::NetworkKeys;
use crate::identity::network::TAG_BYTES;
use crate::identity::record::Key;
use crate::overlay::wire::{VERSION, is_padded};
use crate::rng::Rng;
use std::net::SocketAddr;

const KINDS: &str = include_str!("../wire/kind.rs");
const NODES: usize = 6;
const HEADERS: usize = 28;
/// Changed copies of each frame.
const COPIES: u32 = 12;
/// Where a token stands: after head, sender and request; where a length comes first, two later.
const TOKEN_AT: usize = 3 + 16 + 8;

/// The kinds that there are, as their list says.
fn kinds() -> Vec<u8> {
    let lines = KINDS.lines().filter(|line| line.contains("const ") && line.contains(": u8 = "));
    let number = |line: &str| line.rsplit("= ").next()?.trim_end_matches(';').parse().ok();
    lines.filter_map(number).collect()
}

/// How many bytes of a frame its tag covers.
fn covered(frame: &[u8]) -> usize {
    let len = usize::from(u16::from_be_bytes([frame[3], frame[4]]));
    if is_padded(frame[2]) { 5 + len } else { frame.len() - TAG_BYTES }
}

/// The same datagram of the network of `keys`; its tag is good.
fn tagged(frame: &[u8], keys: &NetworkKeys) -> Vec<u8> {
    let mut frame = frame.to_vec();
    (frame[0], frame[1]) = (VERSION, keys.key_id());
    let end = covered(&frame);
    let tag = keys.tag(&frame[..end]);
    frame[end..end + TAG_BYTES].copy_from_slice(&tag);
    frame
}

fn changed(frame: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut frame = frame.to_vec();
    let from = if is_padded(frame[2]) { 5 } else { 3 };
    let end = covered(&frame);
    for _ in 0..=rng.below(3) {
        let at = from + rng.below((end - from) as u32) as usize;
        frame[at] = rng.below(256) as u8;
    }
    frame
}

/// The frame about a record, a node and an address that are there.
fn aimed(frame: &[u8], net: &Net) -> Vec<u8> {
    let key = Key::of(&net.keys.aor_key(&aor(1)));
    let mut frame = frame.to_vec();
    for (placeholder, there) in [([0xc1; 16], key.0), ([0xd2; 16], net.peers[2].node.me.0)] {
        if let Some(at) = frame.windows(16).position(|window| window == placeholder) {
            frame[at..at + 16].copy_from_slice(&there);
        }
    }
    frame
}

/// Networks in which there is something to tell, with and without a trust anchor.
fn networks() -> [Net; 2] {
    [Net::joined(3, NODES), certified(3, NODES)].map(|mut net| {
        (0..NODES).for_each(|at| net.publish(at, &aor(at), &contact(at)));
        net.run_ms(5_000);
        net.record = true;
        net
    })
}

/// Lets a datagram come from `from`, and everything happen that follows; how many bytes went to
/// where no node is.
fn provoked(net: &mut Net, from: SocketAddr, frame: &[u8]) -> usize {
    net.peers.iter_mut().for_each(|peer| peer.keep.clear());
    net.deliver(1, from, address(0), frame);
    net.run_ms(8_000);
    let nobodys = |to: &SocketAddr| !net.peers.iter().any(|peer| peer.address.ip() == to.ip());
    let sent = net.peers.iter().flat_map(|peer| &peer.keep);
    sent.filter(|(to, _)| nobodys(to)).map(|(_, data)| HEADERS + data.len()).sum()
}

#[test]
fn every_kind_has_a_frame_here() {
    let frames = frames();
    assert!(kinds().len() >= 19, "{:?}", kinds());
    for kind in kinds() {
        assert!(frames.iter().any(|(_, frame)| frame[2] == kind), "no frame of kind {kind}");
    }
}

#[test]
fn no_datagram_makes_more_bytes_go_to_an_address_without_proof_than_it_has() {
    let mut rng = Rng::new([6; 32]);
    for (mut net, anchored) in networks().into_iter().zip([false, true]) {
        let keys = net.keys.clone();
        for (number, (name, frame)) in (0u32..).zip(frames()) {
            for copy in 0..=COPIES {
                let from = SocketAddr::from(([203, 0, 113, copy as u8 + 1], 5000 + number as u16));
                let frame = match copy {
                    0 => frame.clone(),
                    1 => aimed(&frame, &net),
                    _ => changed(&frame, &mut rng),
                };
                let mut frame = tagged(&frame, &keys);
                if copy % 2 == 1 && is_padded(frame[2]) {
                    // Who asks with less is answered with less.
                    frame.truncate(covered(&frame) + TAG_BYTES);
                }
                let out = provoked(&mut net, from, &frame);
                let most = HEADERS + frame.len();
                assert!(out <= most, "{name}, anchored {anchored}: {out} B for {most}: {frame:x?}");
            }
        }
    }
}

#[test]
fn no_datagram_of_the_proven_makes_more_bytes_go_to_others_than_it_has() {
    for (mut net, anchored) in networks().into_iter().zip([false, true]) {
        let keys = net.keys.clone();
        let mut asker = address(40);
        for (name, frame) in frames() {
            let mut frame = aimed(&frame, &net);
            asker.set_port(asker.port() + 1);
            let token = net.peers[0].node.guard.token(&asker);
            let at = if is_padded(frame[2]) { TOKEN_AT + 2 } else { TOKEN_AT };
            frame[at..at + 8].copy_from_slice(&token);
            let frame = tagged(&frame, &keys);
            net.peers.iter_mut().for_each(|peer| peer.keep.clear());
            net.deliver(1, asker, address(0), &frame);
            net.run_ms(8_000);
            let peers = &net.peers;
            let known = |to: &SocketAddr| {
                to.ip() == asker.ip() || peers.iter().any(|peer| peer.address.ip() == to.ip())
            };
            let sent = peers.iter().flat_map(|peer| &peer.keep);
            let others = sent.filter(|(to, _)| !known(to));
            let out: usize = others.map(|(_, data)| HEADERS + data.len()).sum();
            let most = HEADERS + frame.len();
            assert!(out <= most, "{name}, anchored {anchored}: {out} B for {most}");
        }
    }
}
