//! Meeting adapters that nobody can reach first: between the overlay, which introduces, and the
//! channel, which carries.
//!
//! The channel starts on the way through a rendezvous peer, because that works at once, and moves
//! when a hole is open. Each end that nobody can reach names its rendezvous peers to those whom it
//! has a session with, so that they find back to it after a pause longer than a NAT's memory:
//! the BYE of a long call, the next call.

use super::Adapter;
use crate::channel::{Payload, SessionStatus};
use crate::identity::record::RendezvousList;
use crate::limits::CHANNEL_FRESH;
use crate::net::{NodeId, is_detour};
use crate::overlay::Found;
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// Opens the channel to an adapter that a look-up found. Its neighbours are asked where it is,
    /// too, unless it was heard just now.
    pub(super) fn open_to(&mut self, now: Instant, found: &Found) {
        self.open_ways(now, found);
        let session = self.session_with(found.owner);
        let lately = session.is_some_and(|session| now.since(session.heard) < CHANNEL_FRESH);
        if let Some(overlay) = self.overlay.as_mut().filter(|_| !lately) {
            overlay.seek(now, found.owner);
        }
    }

    /// The session with another adapter, where one stands.
    pub(super) fn session_with(&self, peer: NodeId) -> Option<SessionStatus> {
        self.channel.as_ref()?.sessions().find(|session| session.peer == peer)
    }

    /// Opens the channel at the addresses of a record.
    pub(super) fn open_ways(&mut self, now: Instant, found: &Found) {
        let (Some(overlay), Some(channel)) = (&mut self.overlay, &mut self.channel) else { return };
        let own = found.addresses.iter().filter(|address| !is_detour(address));
        let mut ways: heapless::Vec<SocketAddr, 4> = own.copied().collect();
        if !found.rendezvous.is_empty() {
            ways.extend(overlay.introduce(now, found.owner, &found.rendezvous));
        }
        if let Err(error) = channel.open(now, found.owner, &ways) {
            log::debug!("no channel to {}: {error:?}", found.owner);
        }
    }

    /// The channel does not hear a peer: perhaps the hole towards it has closed.
    pub(super) fn meet_again(&mut self, now: Instant, peer: NodeId) {
        if let Some(overlay) = &mut self.overlay {
            overlay.introduce_again(now, peer);
        }
    }

    /// A peer that was to be met can be heard at this address.
    pub(super) fn peer_reached(&mut self, now: Instant, peer: NodeId, address: SocketAddr) {
        if let Some(channel) = &mut self.channel {
            channel.reachable_at(now, peer, address);
        }
    }

    /// Others keep our flow now: those whom we talk to learn who.
    pub(super) fn rendezvous_changed(&mut self, now: Instant, list: &RendezvousList) {
        let Some(channel) = &mut self.channel else { return };
        let lately = |heard: Instant| now.since(heard) < CHANNEL_FRESH;
        let peers: Vec<NodeId> =
            channel.sessions().filter(|s| lately(s.heard)).map(|s| s.peer).collect();
        for peer in peers {
            // A peer that does not hear of it asks the member that is left.
            let _ = channel.send(now, peer, &Payload::Rendezvous(list.clone()));
        }
    }

    /// A session stands: where nobody can reach us first, the peer learns through whom it can.
    pub(super) fn tell_rendezvous(&mut self, now: Instant, peer: NodeId) {
        let (Some(overlay), Some(channel)) = (&self.overlay, &mut self.channel) else { return };
        let list = overlay.rendezvous();
        if !list.is_empty() {
            let _ = channel.send(now, peer, &Payload::Rendezvous(list));
        }
    }

    /// A session stands: where that is by a detour, a hole may have opened before, when nothing
    /// could use it yet.
    pub(super) fn leave_detour(&mut self, now: Instant, peer: NodeId) {
        let session = self.session_with(peer);
        let (Some(overlay), Some(channel)) = (&self.overlay, &mut self.channel) else { return };
        let by_detour = session.is_some_and(|session| is_detour(&session.address));
        if let Some(hole) = overlay.hole(now, peer).filter(|_| by_detour) {
            channel.reachable_at(now, peer, hole);
        }
    }
}
