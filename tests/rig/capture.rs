//! What goes over cables, as tshark sees it.

use crate::host::Host;
use crate::process::Process;
use crate::town::Town;
use crate::{needs, wait};
use nix::sys::signal::Signal;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// Until tshark listens, or has written everything down.
const SOON: Duration = Duration::from_secs(10);

/// A recording that goes on.
pub(crate) struct Capture {
    process: Process,
    file: PathBuf,
}

/// What one packet carries by UDP or TCP.
pub(crate) struct Packet {
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    pub(crate) payload: Vec<u8>,
}

impl Packet {
    /// Whether these letters are in it, small or large.
    pub(crate) fn names(&self, what: &str) -> bool {
        let same = |part: &[u8]| part.eq_ignore_ascii_case(what.as_bytes());
        self.payload.windows(what.len()).any(same)
    }
}

impl Capture {
    /// Records all between hosts of the internet.
    pub(crate) fn of_internet(town: &Town) -> Self {
        Self::start(town, None, "internet")
    }

    /// Records all that a host sends and is sent.
    pub(crate) fn of_host(town: &Town, host: &Host) -> Self {
        Self::start(town, Some(host), "eth0")
    }

    fn start(town: &Town, host: Option<&Host>, interface: &str) -> Self {
        let name = host.map_or("internet", Host::name);
        let file = town.folder().join(format!("{name}.pcap"));
        let mut command = Command::new(needs::find("tshark").unwrap());
        command.args(["-q", "-n", "-F", "pcap", "-i", interface, "-w"]).arg(&file);
        let log = town.folder().join(format!("tshark-{name}.log"));
        let mut begin = || Process::start("tshark", &mut command, &log);
        let mut process = match host {
            Some(host) => host.on(begin),
            None => begin(),
        };
        wait::until("tshark to listen", SOON, || {
            assert!(process.is_running(), "{}", process.log());
            fs::metadata(&file).is_ok_and(|file| file.len() > 0)
        });
        Self { process, file }
    }

    /// Ends it: all packets with something in them, but for what is no IPv4.
    pub(crate) fn end(mut self) -> Vec<Packet> {
        self.process.signal(Signal::SIGINT);
        self.process.await_end(SOON);
        let mut command = Command::new(needs::find("tshark").unwrap());
        command.args(["-n", "-r"]).arg(&self.file).args(["-T", "fields", "-E", "occurrence=f"]);
        for field in ["ip.src", "ip.dst", "udp.payload", "tcp.payload"] {
            command.args(["-e", field]);
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines().filter_map(packet).collect()
    }
}

fn packet(line: &str) -> Option<Packet> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [from, to, udp, tcp] = fields[..] else { panic!("{line}") };
    let digits = [udp, tcp].concat().replace(':', "");
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let payload: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (!payload.is_empty()).then_some(Packet { from, to, payload })
}
