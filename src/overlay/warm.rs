//! A member as it is after hours in a network that it has got to know, for the lab: thousands of
//! them would join one another for longer than what is to be looked at takes.

use super::Overlay;
use super::bootstrap::Join;
use super::id::Node;
use super::judge::Judge;
use crate::net::NodeId;
use crate::time::Instant;
use std::net::SocketAddr;

/// Of those around its own place so many are known, on either side.
const NEAR: usize = 64;

impl Overlay {
    /// Makes this node, whose addresses were set, a member that has got to know `sorted`, all
    /// members by rising id, as far as its table has room.
    pub fn warm(&mut self, now: Instant, sorted: &[(NodeId, SocketAddr)]) {
        // Nobody is known yet, so nobody is told: they knew it before.
        self.sign_addresses(now);
        let now_s = self.seconds(now);
        let here = sorted.partition_point(|(id, _)| *id < self.me);
        let step = sorted.len().div_ceil(self.members.capacity().saturating_sub(2 * NEAR).max(1));
        let chosen = sorted.iter().enumerate().filter(|(at, (id, _))| {
            let known = at.abs_diff(here) <= NEAR || at % step == here % step;
            known && *id != self.me
        });
        let nodes = chosen.map(|(_, &(id, address))| Node { id, address });
        self.members.fill(nodes, now_s);
        self.join = Join::over();
        self.judge = Judge::known_member();
    }
}
