//! The impure part: one thread that feeds a [`Core`] and does what it asks for.
//!
//! Everything that touches the system is here: sockets, files, names, signals, the clock. UDP
//! sockets are served straight from the run loop; TCP, the control socket and DNS are tasks of
//! the same thread. A turn of the loop takes one datagram off each ready media socket, then each
//! of SIP, then runs tasks, then takes one off each overlay socket, then serves a time-out that is
//! due; after each input it drains the core. So media waits for nothing longer than one turn.
//!
//! [`Core`]: crate::net::Core

mod addresses;
mod conntrack;
mod control;
mod dns;
pub(crate) mod files;
mod folders;
mod intercept;
mod lines;
pub mod logger;
mod neighbours;
mod netlink;
mod network;
mod nft;
pub mod plugin;
mod policy;
mod poll;
pub mod privileges;
mod program;
mod reactor;
mod requests;
mod resolver;
mod routes;
#[cfg(feature = "server")]
mod scrape;
mod sessions;
mod settings;
mod signals;
mod sockets;
pub mod start;
mod streams;
pub mod tools;
mod turn;
mod uci;

use crate::limits::{SIP_MESSAGE_BYTES_MAX, TRANSMIT_BYTES_MAX};
pub use control::ask;
pub use folders::Folders;
use lines::LineSource;
use poll::ReadyList;
use requests::Io;
pub use settings::{read_or_create_secret, read_secret, read_settings};
pub use signals::hold as hold_signals;
pub use sockets::SocketCounters;
use std::fs::File;
use std::io;
use std::path::PathBuf;
pub use streams::StreamCounters;

/// What a driver offers to its core.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where files and the control socket are. Without: no control socket, no file is there, and
    /// what is saved is forgotten.
    pub folders: Option<Folders>,
    /// The settings file that SIGHUP has read again.
    pub settings: Option<PathBuf>,
    /// Whether it stops where these say, read again, that the adapter is not enabled.
    pub can_be_disabled: bool,
    /// The file of the network's secrets. Without: there is none.
    pub secrets: Option<PathBuf>,
    /// Whether SIGHUP, SIGTERM and SIGINT are listened to. The process must have one thread then.
    pub signals: bool,
    /// Where metrics are told over HTTP. Without: nowhere.
    #[cfg(feature = "server")]
    pub metrics: Option<std::net::SocketAddr>,
    /// Networks, devices or addresses of the LAN side.
    pub lan: Vec<String>,
    /// Networks, devices or addresses of the WAN side.
    pub wan: Vec<String>,
    /// The file that names the name servers, as in resolv.conf(5); the file `resolv.conf` of the
    /// run folder goes before.
    pub resolv_conf: PathBuf,
    /// The file of names that need no name server, as in hosts(5).
    pub hosts: PathBuf,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            folders: None,
            settings: None,
            secrets: None,
            can_be_disabled: true,
            signals: false,
            #[cfg(feature = "server")]
            metrics: None,
            lan: Vec::new(),
            wan: Vec::new(),
            resolv_conf: "/etc/resolv.conf".into(),
            hosts: "/etc/hosts".into(),
        }
    }
}

/// What happened in a driver, for the operator. Each number wraps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// UDP sockets.
    pub sockets: SocketCounters,
    /// TCP connections.
    pub streams: StreamCounters,
    /// Log lines that nobody read in time.
    pub log_lines_lost: u32,
}

impl Counters {
    /// As one JSON object.
    pub fn to_json(&self) -> String {
        let Self { sockets, streams, log_lines_lost } = self;
        crate::json::json!({
            "send_failed": sockets.send_failed,
            "datagram_too_large": sockets.too_large,
            "icmp_returned": sockets.returned,
            "bind_failed": sockets.bind_failed,
            "stream_overflowed": streams.overflowed,
            "stream_turned_away": streams.turned_away,
            "stream_gone": streams.gone,
            "log_lines_lost": log_lines_lost,
        })
        .to_string()
    }
}

/// One thread's sockets, files and clock, around a core.
pub struct Driver {
    io: Io,
    ready: ReadyList,
    receive: Box<[u8]>,
    send: Box<[u8]>,
}

impl Driver {
    /// Opens what `options` names.
    ///
    /// # Errors
    /// What the system says: no permission for a folder, another daemon on the control socket.
    pub fn new(options: Options) -> io::Result<Self> {
        Ok(Self {
            io: Io::new(options)?,
            ready: ReadyList::new(),
            receive: vec![0; SIP_MESSAGE_BYTES_MAX].into(),
            send: vec![0; TRANSMIT_BYTES_MAX].into(),
        })
    }

    /// Takes commands from the lines of `file`, their words divided by spaces, and prints the
    /// replies to standard output. When the lines end and all are answered, the driver stops. One
    /// line source at a time.
    ///
    /// # Errors
    /// Where the descriptor cannot be waited for.
    pub fn add_line_source(&mut self, file: File) -> io::Result<()> {
        self.io.lines = Some(LineSource::open(self.io.reactor.poll(), file)?);
        Ok(())
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        self.io.counters()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.io.remove_control_socket();
        self.io.take_down();
    }
}
