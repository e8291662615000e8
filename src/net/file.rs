//! Which files a core keeps.

/// The files that a core keeps. The driver knows their paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum File {
    /// Learned bindings, under `--run`: every change at once.
    Volatile,
    /// Learned bindings under `--state`: flash, so at most hourly, on a new AOR, at stop.
    Bindings,
    /// Proven peers under `--state`, at most daily.
    Peers,
    /// What others vouch for: `identity.certificate`.
    Certificates,
    /// The moment than which it is not earlier, under `--state`, at most daily.
    Time,
    /// The list of revocations that counts, under `--state`: soon after it changes, at most hourly.
    Revocations,
    /// Secrets of the network that a CoSIP server has brought, under `--state`.
    Secrets,
}
