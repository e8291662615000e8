//! Telling a new address: to the holders of own records and to the neighbours, at once.
//!
//! Half of the routers change their address daily, within the same minutes of the night. One
//! signature covers the list of addresses; some fifty small datagrams carry it to everybody who
//! would be asked for this node.

use super::Overlay;
use super::event::OverlayEvent;
use super::id::Node;
use super::request::Purpose;
use super::wire::{Hello, NO_TOKEN, Status, Token, Touch};
use super::wire_out::Encoder;
use crate::identity::record::{AddressRecord, Key};
use crate::net::NodeId;
use crate::time::Instant;
use std::net::SocketAddr;

/// Members told at the same time: the holders of several AORs and the neighbours.
pub(super) const ANNOUNCEMENTS_MAX: usize = 160;
/// Closest members told: a small network is told as a whole.
const TOLD_MAX: usize = 96;
/// Neighbours whose view of us is kept exact.
pub(super) const NEIGHBOURS: usize = 16;
const TRIES_MAX: u8 = 4;

/// Somebody to tell our addresses.
pub(super) struct Announcement {
    node: Node,
    token: Token,
    tries: u8,
}

impl Overlay {
    /// Our addresses are others than those signed.
    pub(super) fn addresses_changed(&mut self, _now: Instant) {
        let signed = self.addresses.as_ref().map(AddressRecord::addresses);
        self.addresses_unsigned = signed.unwrap_or_default() != self.reach.addresses();
    }

    /// Signs our addresses and begins to tell them.
    pub(super) fn sign_addresses(&mut self, now: Instant) {
        self.addresses_unsigned = false;
        let seq = self.next_seq();
        let (network, list) = (self.keys.network(), self.reach.addresses());
        let signed = AddressRecord::sign(&self.identity, network, seq, &list);
        self.counters.signed += 1;
        self.work.remember(signed.as_bytes());
        self.store.set_addresses(&self.me, &signed);
        self.addresses = Some(signed);
        self.announcing.clear();
        let closest = self.members.closest::<TOLD_MAX>(&self.me.0, |_| true);
        let mut announcing = core::mem::take(&mut self.announcing);
        // Their proofs of our address are of the old one, most likely.
        for node in self.holders().chain(closest) {
            if announcing.iter().any(|known| known.node.id == node.id) {
                continue;
            }
            if announcing.push(Announcement { node, token: NO_TOKEN, tries: 0 }).is_err() {
                break;
            }
        }
        self.announcing = announcing;
        for at in 0..self.announcing.len() {
            self.announce_to(now, at);
        }
    }

    fn announce_to(&mut self, now: Instant, at: usize) {
        let Some(announcement) = self.announcing.get_mut(at) else { return };
        announcement.tries += 1;
        if announcement.tries > TRIES_MAX {
            self.announcing.swap_remove(at);
            return;
        }
        let (node, token) = (announcement.node, announcement.token);
        let Some(addresses) = self.addresses.clone() else { return };
        let purpose = Purpose::Announce;
        self.ask(now, node.address, Some(node.id), purpose, 0, |me, request| {
            let (record, address_seq) = ((Key([0; 16]), 0), addresses.seq());
            let addresses = Some(addresses.as_bytes());
            Encoder::touch(me, request, &token, &Touch { record, address_seq, addresses })
        });
    }

    /// Somebody took our addresses in, or wants proof of the one that they come from.
    pub(super) fn announce_answered(
        &mut self,
        now: Instant,
        node: &Node,
        hello: &Hello,
        status: Status,
    ) {
        let Some(at) = self.announcing.iter().position(|a| a.node.id == node.id) else { return };
        if status == Status::NoToken {
            self.announcing.get_mut(at).into_iter().for_each(|a| a.token = hello.token);
            self.announce_to(now, at);
        } else {
            self.announcing.swap_remove(at);
            let seq = self.addresses.as_ref().map_or(0, AddressRecord::seq);
            self.holder_told(&node.id, seq);
        }
    }

    /// Somebody did not answer.
    pub(super) fn announce_missed(&mut self, now: Instant, node: NodeId, over: bool) {
        if over {
            return;
        }
        if let Some(at) = self.announcing.iter().position(|a| a.node.id == node) {
            self.announce_to(now, at);
        }
    }

    /// A member reports how it sees us.
    pub(super) fn observed(&mut self, now: Instant, voter: SocketAddr, seen: SocketAddr) {
        let members = self.members.len();
        if let Some(public) = self.reach.observe(voter, seen, members) {
            self.tell(OverlayEvent::PublicAddress(public));
            self.addresses_changed(now);
        }
    }
}
