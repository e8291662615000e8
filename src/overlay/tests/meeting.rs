//! Meeting clients over lines that lose datagrams.

use super::super::*;
use super::net::{Net, address, aor, contact};
use super::reach::{CLOSED, town};

#[test]
fn a_wish_to_be_introduced_that_is_lost_is_repeated_and_the_client_told_once() {
    let (mut met, mut again) = (0, 0);
    for seed in 0..=255 {
        let (mut net, client) = town(seed, 6, CLOSED[usize::from(seed) % CLOSED.len()]);
        net.publish(client, &aor(1), &contact(1));
        net.run_ms(2000);
        let found = net.resolve(0, &aor(1)).0.pop().unwrap();
        // Of one rendezvous peer only: the other must not make up for it.
        let told = |net: &Net| -> u64 {
            net.peers.iter().map(|peer| peer.node.counters().introductions).sum()
        };
        let before = told(&net);
        net.loss_percent = 15;
        let now = net.now;
        let other = found.rendezvous.iter().copied().find(|at| *at != address(0)).unwrap();
        net.with(0, |node| node.introduce(now, found.owner, &[other]));
        net.run_ms(2000);
        let reached = |event: &OverlayEvent| matches!(event, OverlayEvent::Reached { .. });
        met += u32::from(net.peers[0].events.iter().any(reached));
        again += told(&net).saturating_sub(before + 1);
    }
    assert!(again < 20, "{again} told twice: the answer was lost, and it took a second to notice");
    assert!(met >= 180, "{met} of 256; half of them where none is repeated");
}

#[test]
fn whoever_missed_that_a_node_has_moved_is_told_so_by_those_close_to_it() {
    const MOVED: usize = 5;
    const READER: usize = 12;
    let mut net = Net::joined(71, 30);
    // The reader hears nothing of it.
    net.peers[READER].side = 1;
    net.move_to(MOVED, address(500));
    net.run_ms(500);
    net.peers[READER].side = 0;
    let (now, moved) = (net.now, net.peers[MOVED].node.id());
    assert_eq!(net.peers[READER].node.address_of(moved), Some(address(MOVED)));
    net.with(READER, |node| node.seek(now, moved));
    net.run_ms(100);
    let reached = OverlayEvent::Reached { peer: moved, address: address(500) };
    assert!(net.peers[READER].events.contains(&reached));
    assert_eq!(net.peers[READER].node.counters().neighbours_asked, 2);
}
