//! Members that fell silent: kept for a day and asked now and then whether they are back.
//!
//! A partition looks like the death of everybody on the other side. At most one probe leaves each
//! second, and each suspect is asked less often the longer it is silent, so that routers switched
//! off for the night cost next to nothing. Once one is back the others are asked at full rate.

use super::id::{Node, prefix, same};
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

fn print(id: &NodeId) -> u32 {
    (prefix(id) >> 32) as u32
}

/// The silent members, longest silent first.
pub(super) struct Suspects {
    list: Vec<Suspect>,
    /// The first bytes of their ids, in the same order: each hint is looked for among them.
    prints: Vec<u32>,
}

impl Suspects {
    /// None yet.
    pub(super) fn new() -> Self {
        Self {
            list: Vec::with_capacity(OVERLAY_SUSPECTS_MAX),
            prints: Vec::with_capacity(OVERLAY_SUSPECTS_MAX),
        }
    }

    /// See [`crate::queue::fit`].
    #[cfg(feature = "lab")]
    pub(super) fn fit(&mut self) {
        crate::queue::fit_list(&mut self.list);
        crate::queue::fit_list(&mut self.prints);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Adds one; the longest silent makes room. True where one had to.
    pub(super) fn add(&mut self, node: Node, now_s: u32) -> bool {
        self.remove(&node.id);
        let full = self.list.len() >= OVERLAY_SUSPECTS_MAX;
        if full {
            self.remove_at(0);
        }
        self.list.push(Suspect { node, since_s: now_s, next_s: now_s + INTERVAL_MIN_S });
        self.prints.push(print(&node.id));
        full
    }

    /// Takes `id` out; true where it was a suspect.
    pub(super) fn remove(&mut self, id: &NodeId) -> bool {
        let found = self.position(id);
        found.into_iter().for_each(|at| self.remove_at(at));
        found.is_some()
    }

    fn remove_at(&mut self, at: usize) {
        self.list.remove(at);
        self.prints.remove(at);
    }

    fn position(&self, id: &NodeId) -> Option<usize> {
        let wanted = print(id);
        let alike = (0..).zip(&self.prints).filter(|(_, print)| **print == wanted);
        let mut alike = alike.map(|(at, _)| at);
        alike.find(|at| self.list.get(*at).is_some_and(|suspect| same(&suspect.node.id, id)))
    }

    /// Where `id` fell silent.
    pub(super) fn get(&self, id: &NodeId) -> Option<SocketAddr> {
        self.list.get(self.position(id)?).map(|suspect| suspect.node.address)
    }

    /// Whether `id` is silent at this address.
    pub(super) fn contains(&self, node: &Node) -> bool {
        self.get(&node.id) == Some(node.address)
    }

    /// One came back: all the others are due.
    pub(super) fn hurry(&mut self, now_s: u32) {
        self.list.iter_mut().for_each(|suspect| suspect.next_s = now_s);
    }

    /// The suspect to ask now, if one is due. Forgets those that were silent for a day.
    pub(super) fn next(&mut self, now_s: u32) -> Option<Node> {
        while self.list.first().is_some_and(|first| now_s.saturating_sub(first.since_s) >= KEPT_S) {
            self.remove_at(0);
        }
        let least_s = PAUSE_S * self.list.len() as u32;
        let suspect = self.list.iter_mut().min_by_key(|suspect| suspect.next_s)?;
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
        self.list.iter().map(|suspect| suspect.next_s).min()
    }

    /// Addresses to try when nobody else is left, last heard first.
    pub(super) fn addresses(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.list.iter().rev().map(|suspect| suspect.node.address)
    }
}
