//! The provider's server: Kamailio.

use crate::host::Host;
use crate::needs;
use crate::process::Process;
use nix::sys::signal::Signal;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The domain that it serves.
pub(crate) const DOMAIN: &str = "town.example";
/// Its address and port.
pub(crate) const ADDRESS: &str = "203.0.113.10:5060";
/// The same where all have IPv6.
pub(crate) const ADDRESS_V6: &str = "[2001:db8::10]:5060";
/// That of its second server, where it has one.
pub(crate) const SECOND_ADDRESS: &str = "203.0.113.11:5060";
/// Everybody's password.
pub(crate) const PASSWORD: &str = "secret";

/// Kamailio on a host of its own, or that host alone.
pub(crate) struct Provider {
    /// The host, which stays where the server goes.
    pub(crate) host: Host,
    address: &'static str,
    folder: PathBuf,
    /// What kind of server it is: definitions of its settings file.
    kind: &'static [&'static str],
    process: Option<Process>,
}

impl Provider {
    /// The provider without its server.
    pub(crate) fn new(
        (host, address): (Host, &'static str),
        folder: &Path,
        kind: &'static [&'static str],
    ) -> Self {
        let folder = folder.join(format!("kamailio-{}", host.name()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { host, address, folder, kind, process: None }
    }

    /// Starts the server, with an empty location table, and waits until it serves.
    pub(crate) fn start(&mut self) {
        let settings = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/kamailio/kamailio.cfg");
        let mut command = Command::new(needs::find("kamailio").unwrap());
        command.args(["-DD", "-E", "-m", "32", "-M", "4", "-f", settings]);
        command.args([
            "-l",
            &format!("udp:{}", self.address),
            "-l",
            &format!("tcp:{}", self.address),
        ]);
        command.arg("-Y").arg(&self.folder);
        command.args(self.kind.iter().flat_map(|word| ["-A", word]));
        let log = self.folder.join("log");
        let process = self.host.on(|| Process::start("kamailio", &mut command, &log));
        self.process = Some(process);
        // TCP is served last.
        crate::wait::until("kamailio", Duration::from_secs(10), || {
            let table = if self.address.starts_with('[') { "udp6" } else { "udp" };
            let table = format!("/proc/thread-self/net/{table}");
            let bound = self.host.on(|| std::fs::read_to_string(table));
            bound.unwrap().contains(":13C4") && self.accepts()
        });
    }

    fn accepts(&self) -> bool {
        let address = self.address.parse().unwrap();
        let wait = Duration::from_millis(200);
        self.host.on(|| std::net::TcpStream::connect_timeout(&address, wait).is_ok())
    }

    /// Kills the server; its host answers "port unreachable" from then on.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("kamailio runs").crash();
    }

    /// Stops the server where it is; what comes for it waits.
    pub(crate) fn stall(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets a stalled server go on, with what has come meanwhile.
    pub(crate) fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("kamailio runs").signal(signal);
    }

    /// What the server, and those before it, say they did.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}
