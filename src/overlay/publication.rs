//! One AOR that this node keeps in the overlay, and who holds its record.

use super::event::PublishId;
use super::id::{Node, distance};
use super::lookup::REPLICAS;
use super::wire::{NO_TOKEN, Token};
use crate::identity::record::{Contact, Key, Record};
use crate::net::NodeId;
use crate::time::Instant;

/// Holders remembered: those that should hold a record, and a few that should no longer.
pub(super) const HOLDERS_MAX: usize = REPLICAS + 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A put or touch is under way.
    Asked,
    /// It holds the newest record.
    Acknowledged,
    /// It did not answer, or refused.
    Failed,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Holder {
    pub(super) node: Node,
    pub(super) token: Token,
    pub(super) state: State,
    pub(super) tries: u8,
    /// Whether a touch may do, because it held the newest record once.
    pub(super) touch: bool,
}

/// One AOR that this node keeps in the overlay, under one secret of the network.
pub(super) struct Publication {
    pub(super) id: PublishId,
    pub(super) name: [u8; 16],
    pub(super) aor_key: [u8; 32],
    pub(super) key: Key,
    pub(super) contact: Option<Contact>,
    pub(super) seq: u64,
    pub(super) record: Option<Record>,
    pub(super) holders: heapless::Vec<Holder, HOLDERS_MAX>,
    pub(super) placing: bool,
    pub(super) place_wanted: bool,
    pub(super) told: bool,
    pub(super) refresh_at: Instant,
}

impl Publication {
    /// Whether the own store holds it as published, not as withdrawn.
    pub(super) fn is_stored(&self) -> bool {
        self.record.is_some() && self.contact.is_some()
    }

    pub(super) fn acknowledged(&self) -> usize {
        self.holders.iter().filter(|h| h.state == State::Acknowledged).count()
    }

    pub(super) fn is_settled(&self) -> bool {
        !self.placing && !self.place_wanted && self.holders.iter().all(|h| h.state != State::Asked)
    }

    pub(super) fn holder(&mut self, id: &NodeId) -> Option<&mut Holder> {
        self.holders.iter_mut().find(|holder| holder.node.id == *id)
    }

    /// The entry for `node`; where all are taken, the farthest that holds nothing, or else is
    /// farther than `node`, makes room.
    pub(super) fn entry(&mut self, node: Node) -> Option<&mut Holder> {
        let found = self.holders.iter().position(|holder| holder.node.id == node.id);
        let at = match found {
            Some(at) => at,
            None => {
                if self.holders.is_full() {
                    let key = self.key.0;
                    let rank =
                        |h: &Holder| (h.state == State::Failed, distance(&key, &h.node.id.0));
                    let worst = self.holders.iter().enumerate().max_by_key(|(_, h)| rank(h));
                    let (at, worst) = worst?;
                    if rank(worst) < (false, distance(&key, &node.id.0)) {
                        return None;
                    }
                    self.holders.swap_remove(at);
                }
                let (token, state) = (NO_TOKEN, State::Failed);
                let holder = Holder { node, token, state, tries: 0, touch: false };
                self.holders.push(holder).ok()?;
                self.holders.len() - 1
            }
        };
        self.holders.get_mut(at)
    }
}
