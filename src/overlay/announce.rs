//! Telling a new address: to the holders of own records and to the neighbours, at once.
//!
//! Routers change their address daily, many of them within the same minutes of the night. One
//! signature covers the list of addresses; some fifty small datagrams carry it to everybody who
//! would be asked for this node.

use super::Overlay;
use super::event::OverlayEvent;
use super::id::Node;
use super::judge::Judged;
use super::reach::{AGREEING, network_of};
use super::request::Purpose;
use super::wire::{Hello, NO_TOKEN, Status, Token, Touch};
use super::wire_out::Encoder;
use crate::identity::Certificate;
use crate::identity::record::{ADDRESSES_MAX, AddressList, AddressRecord, Key, RendezvousList};
use crate::net::NodeId;
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

/// Members told at the same time: the neighbours, the holders of several AORs, and the owners of
/// what is kept here.
pub(super) const ANNOUNCEMENTS_MAX: usize = 160;
/// Closest members told: a small network is told as a whole.
const TOLD_MAX: usize = 96;
/// Neighbours whose view of us is kept exact.
pub(super) const NEIGHBOURS: usize = 16;
const TRIES_MAX: u8 = 4;
/// Members whose networks are compared: in the large, three are soon found.
const NETWORKS_LOOKED_AT: usize = 64;

/// Somebody to tell our addresses.
pub(super) struct Announcement {
    node: Node,
    token: Token,
    tries: u8,
}

impl Overlay {
    /// Our own overlay addresses: those that count as they are, global ones and those that the
    /// operator gave, and `private` ones, of which only others can say how they look from
    /// outside. An unspecified address (0.0.0.0) counts as none. A change is told to holders and
    /// neighbours at once.
    pub fn set_local(&mut self, now: Instant, global: &[SocketAddr], private: &[SocketAddr]) {
        if self.reach.set_local(global, private) {
            self.first_family();
            self.addresses_changed(now);
            self.flows_moved(now);
            self.port_changed(now);
        }
    }

    /// The address at which the router in front opened our port (PCP, NAT-PMP, UPnP-IGD); `None`
    /// where it opens none, or no longer. A change is told to holders and neighbours at once.
    pub fn set_mapped(&mut self, now: Instant, mapped: Option<SocketAddr>) {
        if self.reach.set_mapped(mapped) {
            self.addresses_changed(now);
            self.port_changed(now);
        }
    }

    /// What our address record names: own addresses, and who keeps our flows, for whom room is
    /// left.
    fn addresses_wanted(&self) -> (AddressList, RendezvousList) {
        let (mut own, rendezvous) = (self.reach.addresses(), self.rendezvous.list());
        own.truncate(ADDRESSES_MAX - rendezvous.len());
        (own, rendezvous)
    }

    /// Our addresses may be others than those signed.
    pub(super) fn addresses_changed(&mut self, now: Instant) {
        let signed = self.addresses.as_ref().map(|list| (list.addresses(), list.rendezvous()));
        self.addresses_unsigned = signed.unwrap_or_default() != self.addresses_wanted();
        self.address_is_news(now);
    }

    /// A number for what is signed next.
    pub(super) fn next_seq(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Signs our addresses and begins to tell them.
    pub(super) fn sign_addresses(&mut self, now: Instant) {
        self.addresses_unsigned = false;
        let seq = self.next_seq();
        let (network, (own, met)) = (self.keys.network(), self.addresses_wanted());
        let signed = AddressRecord::sign(&self.identity, network, seq, &own, &met);
        self.counters.signed += 1;
        self.work.remember(signed.as_bytes());
        self.store.set_addresses(&self.me, &signed);
        self.addresses = Some(signed);
        self.announcing.clear();
        let told = if self.is_small() { TOLD_MAX } else { NEIGHBOURS };
        let closest = self.members.closest::<TOLD_MAX>(&self.me.0, |_| true);
        let mut announcing = core::mem::take(&mut self.announcing);
        let mut dropped = 0;
        // Their proofs of our address are of the old one, most likely.
        // Owners would else ask in vain whether we still keep their records, and readers with them.
        let owners = self
            .store
            .owners()
            .map(|owner| self.members.get(&owner.id).map_or(owner, |member| member.node()));
        for node in self.holders().chain(closest.into_iter().take(told)).chain(owners) {
            if announcing.iter().any(|known| known.node.id == node.id) {
                continue;
            }
            if announcing.len() < ANNOUNCEMENTS_MAX {
                announcing.push(Announcement { node, token: NO_TOKEN, tries: 0 });
            } else {
                dropped += 1;
            }
        }
        self.counters.announcements_dropped += dropped;
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
        let certificate = self.own_certificate();
        let purpose = Purpose::Announce(addresses.seq());
        self.ask(now, node.address, Some(node.id), purpose, 0, |me, request| {
            let (record, address_seq) = ((Key([0; 16]), 0), addresses.seq());
            let addresses = Some(addresses.as_bytes());
            // They need not have a record of ours to know our key by.
            let certificate = certificate.as_ref().map(Certificate::as_bytes);
            let touch = Touch { record, address_seq, addresses, certificate };
            Encoder::touch(me, request, &token, &touch)
        });
    }

    /// Somebody took our addresses in, or wants proof of the one that they come from.
    pub(super) fn announce_answered(
        &mut self,
        now: Instant,
        node: &Node,
        hello: &Hello,
        status: Status,
        seq: u64,
    ) {
        // An answer to an older list says nothing about the newest.
        if self.addresses.as_ref().is_none_or(|newest| newest.seq() != seq) {
            return;
        }
        let Some(at) = self.announcing.iter().position(|a| a.node.id == node.id) else { return };
        if status == Status::NoToken {
            self.announcing.get_mut(at).into_iter().for_each(|a| a.token = hello.token);
            self.announce_to(now, at);
        } else {
            self.announcing.swap_remove(at);
            self.holder_told(&node.id, seq);
        }
    }

    /// Somebody did not answer.
    pub(super) fn announce_missed(&mut self, now: Instant, node: NodeId, seq: u64, over: bool) {
        if over || self.addresses.as_ref().is_none_or(|newest| newest.seq() != seq) {
            return;
        }
        if let Some(at) = self.announcing.iter().position(|a| a.node.id == node) {
            self.announce_to(now, at);
        }
    }

    /// In how many networks members are known, as far as that matters.
    fn networks_known(&self) -> usize {
        let mut networks = heapless::Vec::<IpAddr, AGREEING>::new();
        for member in self.members.iter().take(NETWORKS_LOOKED_AT) {
            let network = network_of(member.address().ip());
            if !networks.contains(&network) && networks.push(network).is_err() {
                break;
            }
        }
        networks.len()
    }

    /// A member reports how it sees us.
    pub(super) fn observed(&mut self, now: Instant, voter: SocketAddr, seen: SocketAddr) {
        let voters = AGREEING.min(self.members.len().max(1));
        let voted = self.reach.observe(voter, seen, (voters, self.networks_known().max(1)));
        if self.reach.is_doubtful() {
            self.upkeep.wake(now);
        }
        if let Some(public) = voted.ip {
            self.tell(OverlayEvent::PublicAddress(public));
        }
        if voted.changed {
            self.addresses_changed(now);
            if self.judge.judged() == Judged::Member {
                self.judge_again(now);
            }
        }
    }
}
