//! One member that a look-up may ask, and what came of asking it.

use super::id::{Node, Packed};
use super::lookup::REPLICAS;
use super::wire::Token;
use crate::net::NodeId;

/// Questions to one candidate.
pub(super) const ASKS_MAX: u8 = 3;

/// What came of asking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    New,
    Asked,
    Late,
    Answered { no: bool },
    Gone,
}

/// How somebody came to be known to a look-up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    /// How many members were asked one after another until it was named; 0 where it is known here.
    pub(super) hops: u8,
    /// On which path it is asked, see [`super::paths`]; 0 for none.
    pub(super) path: u8,
}

/// A member that may be asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) id: NodeId,
    pub(super) packed: Packed,
    pub(super) token: Token,
    pub(super) state: State,
    pub(super) asks: u8,
    /// How many members were asked one after another until it was asked, and on which path.
    pub(super) way: Way,
    /// Whether it has shown that it is who it says, where it is.
    pub(super) proven: bool,
    /// How long its answer will take, likely.
    pub(super) rtt_us: u32,
}

impl Candidate {
    /// Whether it may be one of the twelve.
    pub(super) fn has_place(&self, wary: bool) -> bool {
        !wary || self.proven || self.way.hops <= 1
    }

    /// It is not who it says: it takes nobody's place, and is asked no more.
    pub(super) fn unmask(&mut self) {
        (self.state, self.asks, self.way.hops) = (State::Gone, ASKS_MAX, u8::MAX);
    }

    /// Whether it is to be asked, or is being asked.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state, State::New | State::Asked)
    }

    /// Whether it is worth another question: it is the `at`th closest.
    pub(super) fn may_hold(&self, at: usize) -> bool {
        at < REPLICAS && self.asks < ASKS_MAX
    }

    pub(super) fn node(&self) -> Node {
        Node { id: self.id, address: self.packed.address() }
    }

    pub(super) fn ask(&mut self) -> (Node, Token) {
        self.state = State::Asked;
        self.asks += 1;
        (self.node(), self.token)
    }
}
