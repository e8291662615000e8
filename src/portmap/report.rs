//! What became of asking, in words and numbers.

use super::{Portmap, Stage};
use core::fmt;

/// How a router in front is asked to open ports, in the order of trying.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// UPnP Internet Gateway Device, version 1 or 2.
    Upnp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

/// What trying a protocol showed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    NotYet,
    Unanswered,
    Refused,
    Serves,
}

crate::observe::counters! {
    /// What happened since the start.
    pub struct Counters {
        /// Mappings opened or renewed.
        granted,
        /// Requests that the router in front refused.
        refused,
        /// Requests that it did not answer.
        unanswered,
        /// Answers that say that it lost its mappings.
        restarts,
        /// Dropped: not from the router in front.
        foreign,
        /// Dropped: shape or content against the format.
        malformed,
        /// Dropped: an answer that nobody waits for.
        unexpected,
        /// Ports that were not asked for: there are too many.
        full,
    }
}

impl Portmap {
    /// The state in words that complete "is (not) reachable because".
    pub fn report(&self) -> String {
        let Some(place) = self.place else { return "no other router is in front".into() };
        let front = format!("the router in front ({})", place.gateway);
        match self.stage {
            Stage::Off | Stage::Opening | Stage::Probing(_) => {
                format!("{front} is being asked to open ports")
            }
            Stage::Serving(protocol) if self.mappings.any_held() => {
                format!("{front} opens ports by {protocol}")
            }
            Stage::Serving(protocol) if !self.may_map() => {
                format!("{front} speaks {protocol}, but has no address on the outside")
            }
            Stage::Serving(protocol) => {
                format!("{front} speaks {protocol}, but has not opened a port yet")
            }
            Stage::Resting(_) => format!("{front} does not open ports: {}", self.attempts()),
        }
    }

    /// Such as "PCP and NAT-PMP unanswered, UPnP refused".
    fn attempts(&self) -> String {
        let results = [(Tried::Unanswered, "unanswered"), (Tried::Refused, "refused")];
        let protocols = [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp];
        let mut said = Vec::new();
        for (tried, word) in results {
            let with: Vec<String> = protocols
                .iter()
                .filter(|protocol| self.tried[**protocol as usize] == tried)
                .map(ToString::to_string)
                .collect();
            match with.as_slice() {
                [] => {}
                [one] => said.push(format!("{one} {word}")),
                [others @ .., last] => {
                    said.push(format!("{} and {last} {word}", others.join(", ")));
                }
            }
        }
        if said.is_empty() { "it could not be asked".into() } else { said.join(", ") }
    }
}
