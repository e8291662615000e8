//! What kind of house it is: what it shows, how it works, what it does with calls nobody takes.

use crate::time::Duration;
use std::net::SocketAddr;

/// How the callee sees who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presentation {
    /// From as the caller wrote it, but for the tag.
    Own,
    /// An anonymous From, and nothing else.
    Withheld,
    /// A number in national spelling.
    National,
    /// An anonymous From, and the caller in P-Asserted-Identity (RFC 3325).
    Asserted,
}

/// What becomes of a call that the callee does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diversion {
    /// The caller hears the refusal.
    None,
    /// A mailbox answers, with its sound at this address.
    Mailbox(SocketAddr),
    /// This URI is called instead.
    Forward(String),
}

/// What kind of house this is.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The address that it serves.
    pub listen: SocketAddr,
    /// Every user's password, where it asks for one.
    pub password: Option<String>,
    /// How the callee sees who calls.
    pub presentation: Presentation,
    /// Every step takes up to this.
    pub pace: Duration,
    /// After its 100, calling a callee takes up to this more.
    pub dialling: Duration,
    /// Ringing is acknowledged, where the phones can do that (RFC 3262).
    pub reliable: bool,
    /// A callee's answer is acknowledged at once, not when the caller's ACK comes.
    pub hasty: bool,
    /// What becomes of a call that the callee does not take.
    pub diversion: Diversion,
    /// How long a callee may ring before that happens.
    pub patience: Duration,
    /// Where its own machine for sound is, if calls go through one.
    pub anchor: Option<SocketAddr>,
}
