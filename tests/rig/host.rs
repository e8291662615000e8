//! Hosts: network namespaces, and what runs or listens in them.

use crate::needs;
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::process::{Command, Stdio};

/// A host of the world, by the name of its network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Host(String);

impl Host {
    /// The host of this name, which [`crate::town`] makes.
    pub(crate) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        &self.0
    }

    /// Does something on this host: sockets that `action` opens and programs that it starts are
    /// there.
    pub(crate) fn on<T>(&self, action: impl FnOnce() -> T) -> T {
        let here = File::open("/proc/thread-self/ns/net").unwrap();
        let there = File::open(format!("/run/netns/{}", self.0)).unwrap();
        setns(there, CloneFlags::CLONE_NEWNET).unwrap();
        let result = action();
        setns(here, CloneFlags::CLONE_NEWNET).unwrap();
        result
    }

    /// The hardware address of its only cable.
    pub(crate) fn mac(&self) -> String {
        let address = self.on(|| {
            let links = nix::ifaddrs::getifaddrs().unwrap();
            let mut addresses = links.filter(|link| link.interface_name == "eth0");
            addresses.find_map(|link| link.address?.as_link_addr()?.addr())
        });
        cosip::net::Mac(address.expect("a cable")).to_string()
    }

    /// Loses all that comes to its processes, without a word to the sender.
    pub(crate) fn fall_silent(&self) {
        self.nft(
            "add table ip silent; add chain ip silent input { type filter hook input \
                  priority 0; policy drop; }; add chain ip silent output { type filter hook \
                  output priority 0; policy drop; }",
        );
    }

    /// Undoes [`Self::fall_silent`].
    pub(crate) fn speak_again(&self) {
        self.nft("delete table ip silent");
    }

    /// Runs commands of nft here.
    pub(crate) fn nft(&self, commands: &str) {
        self.on(|| run("nft", &[commands]));
    }
}

/// Runs a program to its end.
///
/// # Panics
/// Where it fails, with what it wrote.
pub(crate) fn run(program: &str, arguments: &[&str]) {
    let path = needs::find(program).unwrap_or_else(|| panic!("no {program}"));
    let output = Command::new(path).args(arguments).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
}
