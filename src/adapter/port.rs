//! The port of overlay and channel, both ways: whose a datagram is, and which socket one leaves
//! from.

use super::Adapter;
use super::sockets::Facing;
use crate::net::{Rejected, SocketKind, Transmit, Via, is_detour};
use crate::overlay::{Datagram, Port};
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// A datagram on the overlay's port: for the overlay or for the channel.
    pub(super) fn handle_overlay_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let (Some(overlay), Some(channel)) = (&mut self.overlay, &mut self.channel) else {
            return Err(Rejected::Unknown);
        };
        match Datagram::of(data) {
            Datagram::Overlay => overlay.handle_datagram(now, from, data),
            Datagram::Channel => channel.handle_datagram(now, from, data),
            Datagram::Relayed => {
                let (way, inner) = overlay.take_relayed(from, data)?;
                channel.handle_datagram(now, way, inner)
            }
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
        while let Some((to, len)) = self.channel.as_mut().and_then(|c| c.poll_transmit(buf)) {
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
        while let Some(Transmit { via, to, tos, len }) = overlay.poll_transmit(buf) {
            let ip = to.ip();
            let first = self.sockets.towards(Facing::Wan, SocketKind::Overlay, ip).map(|s| s.0);
            let second = self.sockets.second_towards(ip).filter(|_| via == Port::Second);
            match second.or(first) {
                Some(id) => return Some(Transmit { via: Via::Udp(id), to, tos, len }),
                None => self.counters.overlay_unsent += 1,
            }
        }
        None
    }
}
