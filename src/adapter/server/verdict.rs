//! The words of a verdict: what is thought of a server, since when, and why.

use crate::time::Instant;
use core::fmt;

/// What is thought of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// It answers, or nothing was asked yet.
    Up,
    /// It may have failed: nobody waits for it, but it has not been given up.
    Suspect,
    /// It has failed.
    Down,
}

impl State {
    /// As the status shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Down => "down",
        }
    }
}

/// Why a state was entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing has been asked yet.
    Start,
    /// One request has had no answer for a hedge.
    Silent,
    /// Two requests had no answer.
    SilentTwice,
    /// One request had no answer for two seconds.
    SilentLong,
    /// A transport error: refused, or unreachable beyond our own link.
    Error,
    /// Transport errors on all targets since the last answer.
    ErrorOnAll,
    /// An answer ended a suspicion.
    Answered,
    /// Enough answers over the hold ended an outage.
    Recovered,
    /// Our own link is down: what was thought before stands.
    OwnLink,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "not asked yet",
            Self::Silent => "no answer",
            Self::SilentTwice => "no answer to two requests",
            Self::SilentLong => "no answer for 2 s",
            Self::Error => "transport error",
            Self::ErrorOnAll => "transport errors on all targets",
            Self::Answered => "answers",
            Self::Recovered => "answers again",
            Self::OwnLink => "our own link is down: nothing is known of the server",
        })
    }
}

/// One change of the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// When.
    pub at: Instant,
    /// What is thought since then.
    pub state: State,
    /// Why.
    pub reason: Reason,
}
