//! Calls with real peers: Kamailio, SIPp, baresip and Linphone, on networks of their own.
//!
//! Each test runs in a world that nothing outside can reach: its own network, mounts and
//! processes, all gone with the process that made them. In it, an internet with a provider's
//! server, and three homes, each a router that runs `cosip`, translates addresses and has two
//! phones on the same 192.168.1.0/24 as the other homes; before one of them, a modem
//! may stand that opens ports. What a world needs and this machine
//! lacks is said, and its tests are left out; with `COSIP_TEST_ALL=1` they fail.

mod baresip;
#[cfg(feature = "server")]
mod capture;
#[cfg(feature = "server")]
mod clerk;
mod host;
mod linphone;
mod modem;
mod names;
mod needs;
mod process;
mod provider;
mod router;
mod script;
mod sipp;
mod sound;
mod town;
mod transport;
mod wait;
mod without;
mod world;

mod answers;
mod awkward;
mod behind;
mod calls;
mod closed;
mod deaths;
#[cfg(feature = "server")]
mod enrolling;
mod hostile;
mod intercepted;
mod intercepting;
mod known;
mod mailbox;
mod makes;
mod providers;
mod routers;
mod transports;
