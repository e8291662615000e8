//! Hosts: network namespaces of this machine, and what is opened or started in them.
//!
//! A world of hosts lives and dies with its program: [`enclose`] runs the program again in new
//! namespaces (network, mounts, processes), and whatever ends it ends all that it started there.
//! Limits: Linux, root, one thread.

use nix::sched::{CloneFlags, setns};
use nix::unistd::geteuid;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Set where the program runs enclosed, to what it would be outside: see [`run_number`].
const ENCLOSED: &str = "COSIP_LAB_ENCLOSED";
/// Where iproute2 keeps the names of network namespaces.
const NAMES: &str = "/run/netns";
/// The Debian package of each program that the lab runs.
const PACKAGES: [(&str, &str); 9] = [
    ("dhtnode", "dhtnode python3-opendht"),
    ("ip", "iproute2"),
    ("kamailio", "kamailio"),
    ("mount", "mount"),
    ("nft", "nftables"),
    ("qemu-system-aarch64", "qemu-system-arm"),
    ("qemu-system-mipsel", "qemu-system-mips"),
    ("setpriv", "util-linux"),
    ("unshare", "util-linux"),
];

/// A host, by the name of its network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host(Option<String>);

impl Host {
    /// The host that the program itself is on.
    pub fn this() -> Self {
        Self(None)
    }

    /// The host of this name.
    pub fn named(name: String) -> Self {
        Self(Some(name))
    }

    /// Does something on this host: sockets that `action` opens and programs that it starts are
    /// there.
    ///
    /// # Errors
    /// Where there is no such host, or no right to enter it.
    pub fn run<T>(&self, action: impl FnOnce() -> T) -> io::Result<T> {
        let Some(name) = &self.0 else { return Ok(action()) };
        let here = File::open("/proc/thread-self/ns/net")?;
        let there = File::open(Path::new(NAMES).join(name))?;
        setns(there, CloneFlags::CLONE_NEWNET)?;
        let result = action();
        setns(here, CloneFlags::CLONE_NEWNET)?;
        Ok(result)
    }

    /// Gives `lines` to `ip -batch` here.
    ///
    /// # Errors
    /// What ip finds wrong with them.
    pub fn ip(&self, lines: &str) -> io::Result<()> {
        let output = self.run(|| -> io::Result<_> {
            let mut child = Command::new(find("ip").unwrap_or_else(|| "ip".into()))
                .args(["-batch", "-"])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(lines.as_bytes())?;
            }
            child.wait_with_output()
        })??;
        if output.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
    }
}

/// Where a program is; also in the folders that only root's PATH names.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

/// What a world of hosts that also needs `programs` lacks here, and how to get it.
pub fn missing(programs: &[&str]) -> Option<String> {
    let needed = ["ip", "mount", "setpriv", "unshare"];
    let lacking = needed.into_iter().chain(programs.iter().copied());
    let lacking = lacking.filter(|program| find(program).is_none());
    let package = |program| PACKAGES.iter().find(|(name, _)| *name == program);
    let mut packages: Vec<&str> =
        lacking.map(|program| package(program).map_or(program, |(_, package)| package)).collect();
    packages.dedup();
    let mut words = Vec::new();
    if !geteuid().is_root() {
        words.push("root, for network namespaces (sudo)".to_owned());
    }
    if !packages.is_empty() {
        let packages = packages.join(" ");
        words.push(format!("Debian's packages {packages} (apt-get install {packages})"));
    }
    (!words.is_empty()).then(|| words.join(" and "))
}

/// Whether the program runs enclosed.
pub fn is_enclosed() -> bool {
    std::env::var_os(ENCLOSED).is_some()
}

/// A number that no other run of the program has: its process id, as it is outside.
pub fn run_number() -> String {
    std::env::var(ENCLOSED).unwrap_or_else(|_| std::process::id().to_string())
}

/// The command that runs this program in a world of its own, still without arguments.
///
/// # Errors
/// Where the program does not know its own file.
pub fn enclosed() -> io::Result<Command> {
    let mut command = Command::new(find("setpriv").unwrap_or_else(|| "setpriv".into()));
    command.args(["--pdeathsig", "KILL", "unshare", "--net", "--mount", "--pid", "--fork"]);
    command.args(["--kill-child", "--mount-proc", "--"]).arg(std::env::current_exe()?);
    command.env(ENCLOSED, run_number());
    Ok(command)
}

/// Runs this program again with the same arguments, in a world of its own, in place of this
/// process; where it is enclosed already, prepares the world for hosts.
///
/// # Errors
/// What is missing here; what the system says.
pub fn enclose(programs: &[&str]) -> io::Result<()> {
    if let Some(words) = missing(programs) {
        return Err(io::Error::other(format!("this needs {words}")));
    }
    if !is_enclosed() {
        return Err(enclosed()?.args(std::env::args_os().skip(1)).exec());
    }
    let mount = find("mount").unwrap_or_else(|| "mount".into());
    // A /run of our own: names of namespaces in the machine's would outlive us.
    let status = Command::new(mount).args(["-t", "tmpfs", "none", "/run"]).status()?;
    if !status.success() {
        return Err(io::Error::other("cannot mount a /run of our own"));
    }
    fs::create_dir_all(NAMES)
}
