//! How a CoSIP server has members find out about one another.

use super::DeskEvent;
use crate::adapter::Adapter;
use crate::channel::{Payload, Statements, WatchAsk};
use crate::net::NodeId;
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// Any member of the overlay, by chance.
    pub fn any_member(&mut self, now: Instant) -> Option<(NodeId, SocketAddr)> {
        let node = self.overlay.as_mut()?.random_member(now)?;
        Some((node.id, node.address))
    }

    /// Where a member is, as far as is known here.
    pub fn address_of_member(&self, now: Instant, id: NodeId) -> Option<SocketAddr> {
        self.overlay.as_ref()?.whereabouts(now, id)
    }

    /// Asks a member. [`DeskEvent::Watched`] follows, unless question or answer is lost.
    pub fn ask_watched(
        &mut self,
        now: Instant,
        (peer, address): (NodeId, SocketAddr),
        number: u32,
        ask: &WatchAsk,
    ) {
        let Some(channel) = &mut self.channel else { return };
        let opened = channel.open(now, peer, &[address]).is_ok();
        if !opened || channel.send(now, peer, &Payload::Watch(number, *ask)).is_err() {
            log::debug!("{peer} at {address} cannot be asked about others");
        }
    }

    /// A member has answered.
    pub(in crate::adapter) fn watch_answered(
        &mut self,
        peer: NodeId,
        number: u32,
        statements: Statements<'_>,
    ) {
        if let Some(desk) = &mut self.enrolment.desk {
            let statements = statements.iter().collect();
            desk.hear(DeskEvent::Watched { peer, number, statements });
        }
    }
}
