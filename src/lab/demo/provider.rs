//! The provider's server of the demo: the lab's own, or Debian's Kamailio.

use super::addresses::Addresses;
use super::process::Process;
use super::{Error, Interrupt, Options};
use crate::lab::hosts;
use crate::lab::report::Fault;
use nix::sys::signal::Signal;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which program serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// `cosip-lab server`.
    Embedded,
    /// Kamailio: a server that real providers run. Needs a world of hosts.
    Kamailio,
}

impl ServerKind {
    /// The name in `summary.json` and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kamailio => "kamailio",
        }
    }
}

/// The server, or its absence.
pub(super) struct Provider {
    kind: ServerKind,
    lab: PathBuf,
    listen: SocketAddr,
    folder: PathBuf,
    process: Option<Process>,
}

impl Provider {
    /// A provider without its server.
    pub(super) fn new(options: &Options, addresses: Addresses, folder: &Path) -> Self {
        Self {
            kind: options.server,
            lab: options.lab.clone(),
            listen: addresses.server(),
            folder: folder.to_owned(),
            process: None,
        }
    }

    /// Starts the server, which knows nobody.
    pub(super) fn start(&mut self, interrupt: &Interrupt) -> Result<(), Error> {
        let listen = self.listen.to_string();
        let log = self.log_file();
        let process = match self.kind {
            ServerKind::Embedded => {
                let mut command = Command::new(&self.lab);
                command.args(["server", "--listen", &listen]);
                interrupt.unblocked(|| Process::start("server", &mut command, &log))?
            }
            ServerKind::Kamailio => {
                let config = self.folder.join("kamailio.cfg");
                fs::write(&config, include_str!("kamailio.cfg")).map_err(|error| {
                    Error::new(format!("cannot write {}", config.display()), error)
                })?;
                let mut command =
                    Command::new(hosts::find("kamailio").unwrap_or_else(|| "kamailio".into()));
                command.args(["-DD", "-E", "-m", "32", "-M", "4", "-l", &format!("udp:{listen}")]);
                command.arg("-f").arg(config).arg("-Y").arg(&self.folder);
                interrupt.unblocked(|| Process::start_group("kamailio", &mut command, &log))?
            }
        };
        self.process = Some(process);
        Ok(())
    }

    /// Whether its socket is open.
    pub(super) fn serves(&self) -> bool {
        let IpAddr::V4(address) = self.listen.ip() else { return false };
        // As proc(5) writes it: the address in the machine's byte order.
        let number = u32::from_ne_bytes(address.octets());
        let name = format!(" {number:08X}:{:04X} ", self.listen.port());
        fs::read_to_string("/proc/net/udp").is_ok_and(|sockets| sockets.contains(&name))
    }

    /// Fails where the server has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        self.process.iter_mut().try_for_each(Process::check)
    }

    /// Lets the server fail.
    pub(super) fn fail(&mut self, fault: Fault) -> Result<(), Error> {
        match fault {
            Fault::Stopped => self.process.iter().try_for_each(|it| it.signal(Signal::SIGSTOP)),
            Fault::Killed => {
                self.process.take().into_iter().for_each(Process::crash);
                Ok(())
            }
        }
    }

    /// Lets the server go on, or start anew.
    pub(super) fn recover(&mut self, fault: Fault, interrupt: &Interrupt) -> Result<(), Error> {
        match fault {
            Fault::Stopped => self.process.iter().try_for_each(|it| it.signal(Signal::SIGCONT)),
            Fault::Killed => self.start(interrupt),
        }
    }

    /// What the server told so far: `200 call-id`, `ACK call-id` and more.
    pub(super) fn log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines = text.lines();
        match self.kind {
            ServerKind::Embedded => lines.map(str::to_owned).collect(),
            ServerKind::Kamailio => {
                let told = lines.filter_map(|line| line.split_once("lab: "));
                told.map(|(_, line)| line.to_owned()).collect()
            }
        }
    }

    /// Where its output goes.
    pub(super) fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// The process, to be ended with others.
    pub(super) fn take(&mut self) -> Option<Process> {
        self.process.take()
    }
}
