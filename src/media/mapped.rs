//! Ports that a router in front opens for ours.

use super::Media;
use std::net::{IpAddr, SocketAddr};

impl Media {
    /// The ports at a local address that a router in front would have to open: those of calls,
    /// and of so many pairs that the next calls get.
    pub fn open_ports(&self, address: IpAddr, ahead: usize) -> impl Iterator<Item = u16> {
        self.ports.open_at(address, ahead)
    }

    /// Whether the ports of [`Media::open_ports`] changed since this was asked last.
    pub fn take_ports_changed(&mut self) -> bool {
        core::mem::take(&mut self.ports.changed)
    }

    /// Tells which ports a router in front opened: our own address, and the one outside, which
    /// goes into SDP towards far sides.
    pub fn set_mapped(&mut self, mapped: Vec<(SocketAddr, SocketAddr)>) {
        self.mapped = mapped;
    }
}
