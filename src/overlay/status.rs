//! What people are told of a node.

use super::Overlay;
use super::event::{Counters, OverlayStatus};

impl Overlay {
    /// The state, for people.
    pub fn status(&self) -> OverlayStatus {
        let own = self.publications.iter().filter(|(_, p)| p.is_stored()).count();
        let (reachable, reason) = self.reachability();
        OverlayStatus {
            id: self.me,
            joined: self.join.joined(),
            peers: self.members.len(),
            hints: self.hints.len(),
            size_estimate: self.size.estimate(),
            size_doubt: self.size.is_doubtful(),
            suspects: self.suspects.len(),
            stored: self.store.len().saturating_sub(own),
            published: self.publications.len(),
            lookups: self.lookups.len(),
            reachable,
            reason,
            rendezvous: self.rendezvous.list().len(),
            clients: self.keeper.len(),
            public_address: self.reach.public(),
        }
    }

    /// What was done and what was dropped.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
