//! Meeting adapters that nobody can reach first: between the overlay, which introduces, and the
//! channel, which carries.
//!
//! The channel starts on the way through a rendezvous peer, because that works at once, and moves
//! when a hole is open. Each end that nobody can reach names its rendezvous peers to those whom it
//! has a session with, so that they find back to it after a pause longer than a NAT's memory:
//! the BYE of a long call, the next call.

use super::Adapter;
use super::sockets::Facing;
use crate::channel::Payload;
use crate::identity::record::RendezvousList;
use crate::limits::CHANNEL_FRESH;
use crate::net::{NodeId, Rejected, SocketKind, Transmit, Via, is_detour};
use crate::overlay::{Found, SECOND_PORT};
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// Tells another adapter something, or ourselves: phones of one router call each other too.
    pub(super) fn tell_peer(&mut self, now: Instant, peer: NodeId, payload: &Payload<'_>) {
        if peer == self.id {
            self.handle_payload(now, peer, payload);
        } else if let Some(channel) = &mut self.channel {
            // What cannot be sent is lost, as on the way.
            let _ = channel.send(now, peer, payload);
        }
    }

    /// A datagram on the overlay's port: for the overlay or for the channel.
    pub(super) fn handle_overlay_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), Rejected> {
        // What is too short to have a kind, the overlay counts.
        let kind = data.get(2).copied().unwrap_or_default();
        let (Some(overlay), Some(channel)) = (&mut self.overlay, &mut self.channel) else {
            return Err(Rejected::Unknown);
        };
        if crate::overlay::is_relayed(data) {
            let (way, inner) = overlay.take_relayed(from, data)?;
            channel.handle_datagram(now, way, inner)
        } else if !crate::channel::KINDS.contains(&kind) {
            overlay.handle_datagram(now, from, data)
        } else {
            channel.handle_datagram(now, from, data)
        }
    }

    /// Opens the channel to an adapter that a look-up found.
    pub(super) fn open_to(&mut self, now: Instant, found: &Found) {
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

    /// The next datagram of channel or overlay: what the channel sends by a detour, the overlay
    /// wraps.
    pub(super) fn poll_overlay_transmit(
        &mut self,
        now: Instant,
        buf: &mut [u8],
    ) -> Option<Transmit> {
        let overlay = self.overlay.as_mut()?;
        // One that no socket can send is lost, and those behind it go on.
        while let Some((to, len)) = self.channel.as_mut().and_then(|c| c.poll_transmit(now, buf)) {
            if is_detour(&to) {
                let data = buf.get(..len).unwrap_or_default();
                self.counters.detours_missing += u64::from(!overlay.send_relayed(now, to, data));
                continue;
            }
            match self.sockets.towards(Facing::Wan, SocketKind::Overlay, to.ip()) {
                Some((id, _)) => return Some(Transmit { via: Via::Udp(id), to, tos: 0, len }),
                None => self.counters.overlay_unsent += 1,
            }
        }
        while let Some(transmit) = overlay.poll_transmit(buf) {
            let to = transmit.to.ip();
            let first = self.sockets.towards(Facing::Wan, SocketKind::Overlay, to).map(|s| s.0);
            let second = self.sockets.second_towards(to).filter(|_| transmit.via == SECOND_PORT);
            match second.or(first) {
                Some(id) => return Some(Transmit { via: Via::Udp(id), ..transmit }),
                None => self.counters.overlay_unsent += 1,
            }
        }
        None
    }
}
