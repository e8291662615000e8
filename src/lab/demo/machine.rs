//! A router that is a machine of its own: another processor, played by qemu, with a kernel and a
//! system that `cross/machine` made.
//!
//! Its two network devices hang on bridges of the host that stands for the router, so that homes
//! and internet see no difference. All orders are given to a shell that it offers in its home.
//! Limits: a world of hosts, and one such machine in it.

use super::Error;
use super::Interrupt;
use super::addresses::Addresses;
use super::process::{Process, Usage};
use crate::lab::hosts::{self, Host};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The port of the shell.
const SHELL_PORT: u16 = 7;
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// A command that has not ended by then has failed.
const COMMAND_MAX: Duration = Duration::from_secs(30);
/// From power-on to the shell, at a tenth of the speed that it has on a machine at rest.
const UP_MAX: Duration = Duration::from_secs(180);
const LOOK_AGAIN_MS: u8 = 100;

/// The network devices, in the order in which the kernel finds them, and where they are plugged in.
/// On a Malta these two slots are routed to interrupt lines of their own. On one line the devices
/// fell silent after some traffic, most likely because both had called at the same time.
const SLOTS: [(&str, &str); 2] = [("lan", "0x12"), ("wan", "0x14")];

/// Where the daemon has its files, as OpenWrt's package has them.
const STATE: &str = "/etc/cosip";
const RUN: &str = "/run/cosip";

/// Which machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// MIPS Malta, little-endian: a 24Kf with 48 MB, as in small routers.
    Malta,
    /// ARM's virtual machine: a Cortex-A53 with 128 MB.
    Virt,
}

impl Kind {
    /// That of a target triple.
    pub fn of(triple: &str) -> Option<Self> {
        match triple {
            "mipsel-unknown-linux-musl" => Some(Self::Malta),
            "aarch64-unknown-linux-musl" => Some(Self::Virt),
            _ => None,
        }
    }

    /// The program that plays it.
    pub fn player(self) -> &'static str {
        match self {
            Self::Malta => "qemu-system-mipsel",
            Self::Virt => "qemu-system-aarch64",
        }
    }

    /// Board, processor and memory, as qemu names them; the console, as Linux names it.
    fn hardware(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Malta => (&["-M", "malta", "-cpu", "24Kf", "-m", "48"], "ttyS0"),
            Self::Virt => (&["-M", "virt", "-cpu", "cortex-a53", "-m", "128"], "ttyAMA0"),
        }
    }
}

/// A machine that has not been switched on.
#[derive(Clone, Debug)]
pub struct Image {
    /// Which machine.
    pub kind: Kind,
    /// The folder with its `kernel` and `initramfs`.
    pub folder: PathBuf,
}

/// A machine that runs.
pub(in crate::lab) struct Machine {
    /// Where its shell is reached from.
    home: Host,
    shell: SocketAddr,
    player: Process,
}

impl Machine {
    /// Switches it on in place of a router and waits for its shell. What its console shows goes
    /// to `log`.
    pub(super) fn start(
        image: &Image,
        (addresses, number): (Addresses, u8),
        log: &Path,
        interrupt: &Interrupt,
    ) -> Result<Self, Error> {
        let host = addresses.router_host(number);
        bridge(&host).map_err(|error| Error::new("cannot bridge a machine".to_owned(), error))?;
        let (lan, wan) = (addresses.lan(number), addresses.wan(number));
        let (hardware, console) = image.kind.hardware();
        let program = image.kind.player();
        let mut command = Command::new(hosts::find(program).unwrap_or_else(|| program.into()));
        command.args(hardware).args(["-nodefaults", "-no-reboot", "-display", "none"]);
        command.args(["-serial", "stdio", "-monitor", "none"]);
        command.arg("-kernel").arg(image.folder.join("kernel"));
        command.arg("-initrd").arg(image.folder.join("initramfs"));
        // A kernel that moves to an address of its choice was seen to find no initramfs.
        let settings = format!("console={console} nokaslr loglevel=5 panic=-1");
        let line = format!("{settings} lan={lan}/24 wan={wan}/24");
        command.arg("-append").arg(line);
        for (device, slot) in SLOTS {
            let end = format!("tap,id={device},ifname={device}-tap,script=no,downscript=no");
            command.arg("-netdev").arg(end);
            let card = format!("virtio-net-pci,netdev={device},addr={slot},romfile=");
            command.arg("-device").arg(card);
        }
        let start = || Process::start(program, &mut command, log);
        let player = interrupt
            .unblocked(|| host.run(start))
            .map_err(|error| Error::new(format!("cannot start {program}"), error))??;
        let home = addresses.home_host(number);
        let mut machine = Self { home, shell: (lan, SHELL_PORT).into(), player };
        machine.await_shell(interrupt)?;
        Ok(machine)
    }

    fn await_shell(&mut self, interrupt: &Interrupt) -> Result<(), Error> {
        let end = Instant::now() + UP_MAX;
        while self.run("true").is_none() {
            interrupt.check()?;
            self.check()?;
            if Instant::now() > end {
                let seconds = UP_MAX.as_secs();
                return Err(Error::new("waited for the machine".to_owned(), seconds));
            }
            // A refused connection took no time.
            let _ = nix::poll::poll(&mut [], LOOK_AGAIN_MS);
        }
        Ok(())
    }

    /// Puts the files that a router has in `folder` where the daemon looks for them.
    pub(super) fn install(&self, folder: &Path) -> io::Result<()> {
        let mut lines = format!("mkdir -p {STATE} {RUN}\n");
        for (file, path) in [("config", RUN), ("network.key", STATE)] {
            let text = fs::read_to_string(folder.join(file))?;
            lines += &format!("cat >{path}/{file} <<'END'\n{text}END\nchmod 400 {path}/{file}\n");
        }
        lines += &format!("chown -R cosip:cosip {STATE} {RUN}\nchmod 700 {STATE}\necho done");
        match self.run(&lines) {
            Some(words) if words == "done\n" => Ok(()),
            told => Err(io::Error::other(told.unwrap_or_else(|| "no shell".to_owned()))),
        }
    }

    /// Starts the daemon, and tells the instant before.
    pub(super) fn start_daemon(&self) -> io::Result<Instant> {
        let stream = self.connect()?;
        let mut answers = BufReader::new(&stream);
        // The shell is there before the time counts.
        (&stream).write_all(b"echo ready\n")?;
        answers.read_line(&mut String::new())?;
        let started = Instant::now();
        let files = format!("-c {RUN}/config --state {STATE} --run {RUN}");
        let line = format!("cosip run {files} --user cosip </dev/null >/dev/console 2>&1 &\n");
        (&stream).write_all(line.as_bytes())?;
        Ok(started)
    }

    /// What a command of the daemon prints; None while it does not answer.
    pub(super) fn ask(&self, words: &[&str]) -> Option<String> {
        let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
        let line = format!("cosip {} --run {RUN} 2>/dev/null && echo .", words.join(" "));
        // The point tells that the command succeeded.
        self.run(&line)?.strip_suffix(".\n").map(str::to_owned)
    }

    /// What the daemon has used so far.
    pub(super) fn usage(&self) -> Usage {
        let told = self.run("cd /proc/$(pidof cosip) && cat schedstat status");
        let told = told.unwrap_or_default();
        let (schedstat, status) = told.split_once('\n').unwrap_or_default();
        Usage::read(schedstat, status)
    }

    /// The daemon's memory by what it is of: lines of the file, kB in use.
    pub(in crate::lab) fn mappings(&self) -> String {
        let line = "awk '/^[0-9a-f]+-/ { name = $2 \" \" $6 } /^Rss:/ { kb[name] += $2 } \
                    END { for (name in kb) if (kb[name]) print kb[name], name }' \
                    /proc/$(pidof cosip)/smaps | sort -rn";
        self.run(line).unwrap_or_default()
    }

    /// Fails where the machine has stopped.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        self.player.check()
    }

    /// The process that plays it, to be ended with others.
    pub(super) fn into_process(self) -> Process {
        self.player
    }

    /// What lines of the shell print; None where it is not reached, or does not end in time.
    fn run(&self, lines: &str) -> Option<String> {
        let run = || -> io::Result<String> {
            let mut stream = self.connect()?;
            stream.write_all(format!("{lines}\n").as_bytes())?;
            stream.shutdown(Shutdown::Write)?;
            let mut told = String::new();
            stream.read_to_string(&mut told)?;
            Ok(told)
        };
        run().ok()
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let connect = || TcpStream::connect_timeout(&self.shell, CONNECT_MAX);
        let stream = self.home.run(connect)??;
        stream.set_read_timeout(Some(COMMAND_MAX))?;
        Ok(stream)
    }
}

/// Puts bridges between the cables of a router's host and a machine's devices.
fn bridge(host: &Host) -> io::Result<()> {
    let mut lines = String::new();
    for device in ["lan", "wan"] {
        lines += &format!(
            "address flush dev {device}\n\
             link add {device}-bridge type bridge\nlink set {device}-bridge up\n\
             link set {device} master {device}-bridge\n\
             tuntap add dev {device}-tap mode tap\n\
             link set {device}-tap master {device}-bridge\nlink set {device}-tap up\n"
        );
    }
    host.ip(&lines)
}
