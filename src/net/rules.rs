//! Interception: what is wished for, and what the driver makes of it.

use super::SocketId;
#[cfg(doc)]
use super::{Input, StreamEvent};
use std::net::IpAddr;

/// Which of the LAN's traffic the router takes on its way out: UDP and TCP, to any address that is
/// not the router's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The ports that it is for.
    pub ports: Vec<u16>,
    /// The overlay's port, where strangers are limited before they come to us.
    pub overlay_port: Option<u16>,
}

/// How the router takes traffic that is not for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capture {
    /// Transparent sockets, unseen by connection tracking.
    Tproxy,
    /// A translation of destinations.
    Redirect,
}

impl Capture {
    /// Its name, as the status has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tproxy => "tproxy",
            Self::Redirect => "redirect",
        }
    }
}

/// A socket that gets datagrams which are meant for others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capturing {
    /// Its name.
    pub socket: SocketId,
    /// The port that they are meant for.
    pub port: u16,
    /// Their family.
    pub ipv4: bool,
}

/// What became of [`Rules`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interception {
    /// How traffic is taken; none: it is not.
    pub method: Option<Capture>,
    /// The sockets that its datagrams come to: [`Input::Datagram`] says whom they were meant for,
    /// or names an address of this router where nobody knows that any more.
    pub sockets: Vec<Capturing>,
    /// The listeners that its connections come to: [`StreamEvent::Opened`] names that as `local`.
    pub listeners: Vec<SocketId>,
    /// What is wrong, where, and what to do.
    pub problem: Option<String>,
    /// What passes beside it.
    pub beside: Beside,
}

/// What interception cannot take, or is altered by others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beside {
    /// Hosts of the LAN that talk to SIP servers over TLS, which nobody can take.
    pub over_tls: Vec<IpAddr>,
    /// How many connections there are of hosts beyond those that are told of.
    pub over_tls_untold: u32,
    /// The kernel's SIP helper reads and rewrites signalling on this router.
    pub helper: bool,
}
