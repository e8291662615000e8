//! A town: the internet, a provider, three homes behind routers that translate addresses.
//!
//! The world's first network namespace is the internet's switch. Every home uses 192.168.1.0/24:
//! its router is .1, its phones .10 and .11.

use crate::host::{self, Host};
use crate::modem::{Asked, Modem};
use crate::names;
use crate::process::Process;
use crate::provider::Provider;
use crate::router::{LAN, LAN_V6, Router, Settings};
use crate::wait;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Starting everything, on a machine that has other work.
pub(crate) const READY_MAX: Duration = Duration::from_secs(30);

/// All that there is in a world.
pub(crate) struct Town {
    /// The provider, with its server running but where a test has killed it.
    pub(crate) provider: Provider,
    /// The routers of homes 1, 2 and 3.
    routers: [Router; 3],
    /// The name server, where the provider's servers are found by name.
    _names: Option<Process>,
    ipv6: bool,
    folder: PathBuf,
}

/// Where a phone is plugged in.
#[derive(Clone, Debug)]
pub(crate) struct Socket {
    /// Its host.
    pub(crate) host: Host,
    /// Its address.
    pub(crate) address: &'static str,
}

const PHONES: [&str; 2] = ["192.168.1.10", "192.168.1.11"];
const IPV6_PHONES: [&str; 2] = ["fd00::10", "fd00::11"];

impl Socket {
    /// Whether its address is one of IPv6.
    pub(crate) fn is_ipv6(&self) -> bool {
        self.address.contains(':')
    }

    /// The router's address, as URIs have it.
    pub(crate) fn router(&self) -> &'static str {
        if self.is_ipv6() { LAN_V6 } else { LAN }
    }
}

/// The place of a phone in a home: `FIRST` or `SECOND`.
pub(crate) const FIRST: u8 = 0;
/// The other place.
pub(crate) const SECOND: u8 = 1;

impl Town {
    /// Builds the town and starts the provider's server and the adapters; waits until the
    /// adapters have met.
    pub(crate) fn build(folder: &Path, settings: &Settings) -> Self {
        let mut town = Self::build_without_server(folder, settings);
        town.provider.start();
        town
    }

    /// As [`Self::build`], with nobody at the server's address.
    pub(crate) fn build_without_server(folder: &Path, settings: &Settings) -> Self {
        lay_cables();
        if settings.ipv6 {
            renumber_to_ipv6();
        }
        let town = Self::start_routers(folder, settings);
        for number in [1, 2, 3] {
            town.await_peers(number, 2);
        }
        town
    }

    /// As [`Self::build`], with a modem before home 1 that opens ports when asked so.
    pub(crate) fn build_behind(folder: &Path, settings: &Settings, asked: Asked) -> (Self, Modem) {
        lay_cables();
        let modem = Modem::put_before(1, folder, asked);
        let mut town = Self::start_routers(folder, settings);
        town.provider.start();
        for number in [2, 3] {
            town.await_peers(number, 1);
        }
        // The modem may remember for 30 s whom it kept out before it opened the port.
        wait::until("router 1 to be reached through its modem", 3 * READY_MAX, || {
            town.router(1).status()["overlay"]["reachable"] == "mapped"
        });
        (town, modem)
    }

    /// The provider without its server, and the routers.
    pub(crate) fn start_routers(folder: &Path, settings: &Settings) -> Self {
        let provider = Provider::new(
            (Host::new("provider"), settings.server_address()),
            folder,
            settings.server,
        );
        let routers = [1, 2, 3].map(|number| Router::new(number, folder, settings));
        for (router, name) in routers.iter().flat_map(|r| ["iptables", "ip6tables"].map(|n| (r, n)))
        {
            let path = format!("/proc/sys/net/bridge/bridge-nf-call-{name}");
            let value = if settings.filtered_bridge { "1" } else { "0" };
            // A kernel without it sees no packets of bridges.
            let _ = router.host.on(|| fs::write(path, value));
        }
        let names = settings.named.then(|| {
            let host = Self::add_host("names", names::ADDRESS);
            names::serve(&host, folder)
        });
        let mut town = Self {
            provider,
            routers,
            _names: names,
            ipv6: settings.ipv6,
            folder: folder.to_owned(),
        };
        town.routers.iter_mut().for_each(Router::start);
        town
    }

    /// Waits until a router has met `peers` others and is reached by them.
    pub(crate) fn await_peers(&self, number: u8, peers: u64) {
        wait::until(&format!("router {number} to join"), READY_MAX, || {
            let overlay = &self.router(number).status()["overlay"];
            overlay["peers"].as_u64() >= Some(peers) && overlay["reachable"] == "direct"
        });
    }

    /// The router of a home.
    pub(crate) fn router(&self, number: u8) -> &Router {
        &self.routers[usize::from(number) - 1]
    }

    /// The router of a home, to be stopped or started.
    pub(crate) fn router_mut(&mut self, number: u8) -> &mut Router {
        &mut self.routers[usize::from(number) - 1]
    }

    /// Where to plug in a phone.
    pub(crate) fn socket(&self, home: u8, place: u8) -> Socket {
        let address = if self.ipv6 { IPV6_PHONES } else { PHONES }[usize::from(place)];
        Socket { host: Host::new(&phone_name(home, place)), address }
    }

    /// Connects a further host to the internet.
    pub(crate) fn add_host(name: &str, address: &str) -> Host {
        make_host(name);
        connect("internet", None, (name, "eth0"), &format!("{address}/24"));
        Host::new(name)
    }

    /// The test's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Waits until a router finds a phone of another home in the overlay.
    pub(crate) fn await_record(&self, from: u8, user: &str) {
        let what = format!("{user} in the overlay, seen from home {from}");
        wait::until(&what, READY_MAX, || self.router(from).finds(user) > 0);
    }
}

impl Drop for Town {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.routers.iter().for_each(Router::show);
        }
    }
}

fn phone_name(home: u8, place: u8) -> String {
    format!("phone-{home}{}", ["a", "b"][usize::from(place)])
}

/// Makes all hosts and what connects them.
pub(crate) fn lay_cables() {
    for line in ["link add internet type bridge", "link set internet up"] {
        ip(line);
    }
    make_host("provider");
    connect("internet", None, ("provider", "eth0"), "203.0.113.10/24");
    for home in 1..=3 {
        let router = format!("router-{home}");
        make_host(&router);
        connect("internet", None, (&router, "wan"), &format!("203.0.113.{}/24", 20 + home));
        for line in ["link add lan type bridge", "link set lan up"] {
            ip(&format!("-n {router} {line}"));
        }
        ip(&format!("-n {router} address add {LAN}/24 dev lan"));
        for place in [FIRST, SECOND] {
            let phone = phone_name(home, place);
            make_host(&phone);
            let address = format!("192.168.1.{}/24", 10 + place);
            connect("lan", Some(&router), (&phone, "eth0"), &address);
            ip(&format!("-n {phone} route add default via {LAN}"));
        }
        let host = Host::new(&router);
        host.on(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
        host.nft(
            "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; \
             add rule ip nat out oifname wan ip saddr 192.168.1.0/24 masquerade",
        );
    }
}

/// Gives all hosts IPv6 instead of IPv4: every home uses fd00::/64, of which nobody else knows.
fn renumber_to_ipv6() {
    let renumber = |host: &str, device: &str, address: &str| {
        let setting = format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6");
        Host::new(host).on(|| fs::write(setting, "0")).unwrap();
        ip(&format!("-n {host} -4 address flush dev {device}"));
        ip(&format!("-n {host} address add {address}/64 dev {device} nodad"));
    };
    renumber("provider", "eth0", "2001:db8::10");
    for home in 1..=3 {
        let router = format!("router-{home}");
        renumber(&router, "wan", &format!("2001:db8::2{home}"));
        renumber(&router, "lan", "fd00::1");
        for place in [FIRST, SECOND] {
            let phone = phone_name(home, place);
            renumber(&phone, "eth0", IPV6_PHONES[usize::from(place)]);
            ip(&format!("-n {phone} route add default via fd00::1"));
        }
    }
}

/// Makes a host without a cable.
pub(crate) fn make_host(name: &str) {
    ip(&format!("netns add {name}"));
    let settings = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
    Host::new(name).on(|| fs::write(settings, "1")).unwrap();
    ip(&format!("-n {name} link set lo up"));
}

/// Lays a cable from a switch, on `side` or in the internet, to a host's interface.
pub(crate) fn connect(
    switch: &str,
    side: Option<&str>,
    (host, interface): (&str, &str),
    address: &str,
) {
    let plug = format!("to-{host}");
    let side = side.map(|side| format!("-n {side} ")).unwrap_or_default();
    ip(&format!("{side}link add {plug} type veth peer name {interface} netns {host}"));
    ip(&format!("{side}link set {plug} master {switch} up"));
    ip(&format!("-n {host} address add {address} dev {interface}"));
    ip(&format!("-n {host} link set {interface} up"));
}

/// Runs `ip` with the words of a line.
pub(crate) fn ip(line: &str) {
    let words: Vec<&str> = line.split(' ').collect();
    host::run("ip", &words);
}
