//! Members that fell silent: kept for a day and asked now and then whether they are back.
//!
//! A partition looks like the death of everybody on the other side. At most one probe leaves each
//! second, and each suspect is asked less often the longer it is silent, so that routers switched
//! off for the night cost next to nothing. Once one is back the others are asked at full rate.

use super::id::{Node, same};
use crate::limits::OVERLAY_SUSPECTS_MAX;
use crate::net::NodeId;
use std::net::SocketAddr;

const KEPT_S: u32 = 24 * 3600;
const INTERVAL_MIN_S: u32 = 5;
const INTERVAL_MAX_S: u32 = 1800;
/// In the long run one is asked so often, however many there are: when half of a network moves, it
/// is not to be asked where it was.
const PAUSE_S: u32 = 8;

#[derive(Clone, Copy)]
struct Suspect {
    node: Node,
    since_s: u32,
    next_s: u32,
}

/// The silent members, longest silent first.
pub(super) struct Suspects(Vec<Suspect>);

impl Suspects {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(OVERLAY_SUSPECTS_MAX))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds one; the longest silent makes room. True where one had to.
    pub(super) fn add(&mut self, node: Node, now_s: u32) -> bool {
        self.remove(&node.id);
        let full = self.0.len() >= OVERLAY_SUSPECTS_MAX;
        if full {
            self.0.remove(0);
        }
        self.0.push(Suspect { node, since_s: now_s, next_s: now_s + INTERVAL_MIN_S });
        full
    }

    /// Takes `id` out; true where it was a suspect.
    pub(super) fn remove(&mut self, id: &NodeId) -> bool {
        let found = self.0.iter().position(|suspect| same(&suspect.node.id, id));
        found.map(|at| self.0.remove(at)).is_some()
    }

    /// Where `id` fell silent.
    pub(super) fn get(&self, id: &NodeId) -> Option<SocketAddr> {
        let found = self.0.iter().find(|suspect| same(&suspect.node.id, id));
        found.map(|suspect| suspect.node.address)
    }

    /// Whether `id` is silent at this address.
    pub(super) fn contains(&self, node: &Node) -> bool {
        self.get(&node.id) == Some(node.address)
    }

    /// One came back: all the others are due.
    pub(super) fn hurry(&mut self, now_s: u32) {
        self.0.iter_mut().for_each(|suspect| suspect.next_s = now_s);
    }

    /// The suspect to ask now, if one is due. Forgets those that were silent for a day.
    pub(super) fn next(&mut self, now_s: u32) -> Option<Node> {
        self.0.retain(|suspect| now_s.saturating_sub(suspect.since_s) < KEPT_S);
        let least_s = PAUSE_S * self.0.len() as u32;
        let suspect = self.0.iter_mut().min_by_key(|suspect| suspect.next_s)?;
        if suspect.next_s > now_s {
            return None;
        }
        let silent_s = now_s.saturating_sub(suspect.since_s);
        let pause_s = (silent_s / 4).clamp(INTERVAL_MIN_S, INTERVAL_MAX_S).max(least_s);
        suspect.next_s = now_s + pause_s;
        Some(suspect.node)
    }

    /// When one is due next.
    pub(super) fn next_s(&self) -> Option<u32> {
        self.0.iter().map(|suspect| suspect.next_s).min()
    }

    /// Addresses to try when nobody else is left, last heard first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.0.iter().rev().map(|suspect| suspect.node.address)
    }
}
