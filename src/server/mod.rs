//! The provider's side: who is certified, and who no longer (feature `server`).
//!
//! A provider keeps an *anchor*: a key whose public half is in every router's settings. It signs
//! little, and can lie in a safe. What it signs is a delegation to an *issuing key*, which works
//! day by day: it signs the certificates that routers carry, and the list of those that were
//! revoked. Routers verify both on their own, with the provider dead for days, and pass the list on
//! among themselves.
//!
//! | module | what it does |
//! |---|---|
//! | [`folder`] | the files of one network: keys, secret, settings |
//! | [`vault`] | the anchor's key under a passphrase |
//! | [`books`] | what was issued, revoked and done: in SQLite, or in PostgreSQL |
//! | [`setup`] | makes all of these, and delegates anew |
//! | [`office`] | issues and revokes |
//! | [`lists`] | the signed list of revocations, and when it takes the anchor |
//! | [`secrets`] | the network's secret, and how another one takes over |
//! | [`export`] | what goes into a router's image |
//! | [`desk`] | who may have a certificate, by challenges through the SIP server |
//! | [`watch`] | which members contradict themselves, and what is done about them |
//! | [`serve`], [`run`] | the running server: an adapter, the desk and the watch |
//! | [`metrics`] | what Prometheus is told |
//! | [`commands`] | arguments, clock, randomness, what is printed |
//!
//! Only [`commands`] and [`run`] read the clock and ask the kernel for randomness; the others are
//! told.

pub mod books;
pub mod commands;
pub mod desk;
pub mod error;
pub mod export;
pub mod folder;
pub mod lists;
pub mod metrics;
pub mod office;
mod passphrase;
pub mod run;
pub mod secrets;
pub mod serve;
mod settings;
pub mod setup;
mod show;
mod text;
pub mod vault;
pub mod watch;

pub use error::ServerError;

/// Seconds of a day.
pub const DAY_S: u64 = 86_400;

/// When something is done, and by whom: what goes into the audit with it.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The time, in seconds of Unix time.
    pub now_s: u64,
    /// Who gave the command.
    pub by: &'a str,
}

impl Moment<'_> {
    /// The time as certificates say it.
    pub(crate) fn stamp(self) -> u32 {
        u32::try_from(self.now_s).unwrap_or(u32::MAX)
    }
}
