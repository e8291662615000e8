//! Which addresses the networks of the settings have now, whether the WAN side is up, and which
//! gateway it has.
//!
//! An entry is a literal address, a network of OpenWrt or a device. The names of networks stand in
//! the file `networks` of the run folder, written by whoever starts the daemon: one a line, a
//! network's name, its device and its firewall zone, divided by spaces; `-` stands for a device or
//! zone that there is not. A name that stands there is a network, though a device have the same:
//! the port `wan` of a switch carries no address while PPPoE runs over it. The kernel tells changes
//! of addresses, links and routes over rtnetlink; what there is now is then read anew, and the file
//! with it. A network that is not up is waited for.

use super::addresses::{Held, held};
use super::netlink::Netlink;
use super::poll::{Key, Poll};
use super::routes;
use crate::limits::{NETWORK_RESCAN, NETWORK_REST};
use crate::net::{Network, without_zone};
use crate::order::order;
use crate::time::{Instant, earlier};
use nix::sys::socket::SockProtocol;
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::PathBuf;

/// Multicast groups of rtnetlink: links, IPv4 addresses, IPv4 routes, IPv6 addresses
/// (rtnetlink(7)).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100;

/// The networks of the settings.
pub(super) struct Networks {
    lan: Vec<String>,
    wan: Vec<String>,
    names: Option<PathBuf>,
    changes: Option<Netlink>,
    known: Option<Network>,
    looked_at: Option<Instant>,
    look_at: Option<Instant>,
}

impl Networks {
    /// The networks `lan` and `wan`, named in the file `names`.
    pub(super) fn new(poll: &Poll, lan: &[String], wan: &[String], names: Option<PathBuf>) -> Self {
        let changes = open_changes(poll)
            .inspect_err(|error| log::debug!("no news of addresses: {error}"))
            .ok();
        let (lan, wan) = (lan.to_vec(), wan.to_vec());
        Self { lan, wan, names, changes, known: None, looked_at: None, look_at: None }
    }

    /// Takes other entries, after a reload.
    pub(super) fn set(&mut self, lan: &[String], wan: &[String]) {
        self.lan = lan.to_vec();
        self.wan = wan.to_vec();
    }

    /// The devices that have addresses of the LAN side and none of the WAN side.
    pub(super) fn lan_devices(&self) -> Vec<String> {
        let Some(known) = &self.known else { return Vec::new() };
        let held = held();
        let with = |addresses: &[IpAddr]| {
            let on = held.iter().filter(|held| addresses.contains(&held.address));
            on.map(|held| held.device.clone()).collect::<Vec<String>>()
        };
        let (mut devices, wan) = (with(&known.lan), with(&known.wan));
        order(&mut devices, |device| device.clone());
        devices.dedup();
        devices.retain(|device| !wan.contains(device) && device != "lo");
        devices
    }

    /// Whether the LAN side has addresses of IPv4, and of IPv6.
    pub(super) fn lan_families(&self) -> [bool; 2] {
        let lan = self.known.iter().flat_map(|known| &known.lan);
        lan.fold([false; 2], |[v4, v6], ip| [v4 || ip.is_ipv4(), v6 || ip.is_ipv6()])
    }

    /// When to look again: because something was told, or because nothing ever is.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.look_at
    }

    /// The kernel told of changes. Only that it did matters, and a router with many routes may
    /// hear of them without an end: it looks now and then.
    pub(super) fn note_changes(&mut self, now: Instant) {
        let rested = self.looked_at.map_or(now, |at| now.max(at + NETWORK_REST));
        self.look_at = earlier(self.look_at, Some(rested));
        self.changes.iter().for_each(Netlink::forget_told);
    }

    /// Looks at the system; the networks where they changed, or are seen for the first time.
    pub(super) fn look(&mut self, now: Instant) -> Option<&Network> {
        let needed = self.changes.is_none() && !(self.lan.is_empty() && self.wan.is_empty());
        self.looked_at = Some(now);
        self.look_at = needed.then(|| now + NETWORK_RESCAN);
        let held = held();
        let names = self.names.as_ref().and_then(|path| std::fs::read_to_string(path).ok());
        let names = names.unwrap_or_default();
        let lan = find(&self.lan, &names, &held);
        let wan = find(&self.wan, &names, &held);
        let on_wan = |held: &&Held| wan.iter().any(|(address, _)| *address == held.address);
        let mut links: Vec<u32> = held.iter().filter(on_wan).map(|held| held.link).collect();
        links.dedup();
        let found = Network {
            gateway: routes::gateway(&links).filter(IpAddr::is_ipv4),
            wan_up: wan.iter().any(|(_, carrier)| *carrier),
            shut_out: shut_out(self.lan.iter().chain(&self.wan), &names),
            lan: lan.into_iter().map(|(address, _)| address).collect(),
            wan: wan.into_iter().map(|(address, _)| address).collect(),
        };
        if self.known.as_ref() == Some(&found) {
            return None;
        }
        if !(self.lan.is_empty() && self.wan.is_empty()) {
            log::info!("{}", Told { found: &found, lan: &self.lan, wan: &self.wan });
            found.shut_out.iter().for_each(|name| log::warn!("{}", without_zone(name)));
        }
        Some(self.known.insert(found))
    }
}

/// What was found of the entries, for the log.
struct Told<'a> {
    found: &'a Network,
    lan: &'a [String],
    wan: &'a [String],
}

impl std::fmt::Display for Told<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Network { lan, wan, wan_up, gateway, .. } = self.found;
        for (name, option, entries, addresses) in
            [("LAN", "lan", self.lan, lan), ("WAN", "wan", self.wan, wan)]
        {
            write!(f, "{name}")?;
            for address in addresses {
                write!(f, " {address}")?;
            }
            if addresses.is_empty() {
                f.write_str(" has no address: bring up")?;
                for entry in entries {
                    write!(f, " {entry}")?;
                }
                write!(f, ", or name another in list {option}")?;
            }
            f.write_str("; ")?;
        }
        if let Some(gateway) = gateway {
            write!(f, "gateway {gateway}; ")?;
        }
        f.write_str(if *wan_up { "WAN is up" } else { "WAN is down" })
    }
}

fn open_changes(poll: &Poll) -> io::Result<Netlink> {
    let changes = Netlink::listen(SockProtocol::NetlinkRoute, GROUPS)?;
    poll.add_level(&changes, Key::Network)?;
    Ok(changes)
}

/// Every address that the system has now.
pub(super) fn own_addresses() -> Vec<IpAddr> {
    held().into_iter().map(|held| held.address).collect()
}

/// The addresses of `entries` and whether their links have a carrier, IPv4 first in each entry.
fn find(entries: &[String], names: &str, held: &[Held]) -> Vec<(IpAddr, bool)> {
    let mut found = Vec::new();
    for entry in entries {
        let start = found.len();
        if let Ok(address) = entry.parse::<IpAddr>() {
            let carrier = held.iter().find(|held| held.address == address);
            // All of 127.0.0.0/8 is ours, though the system lists one address of it.
            if carrier.is_some() || UdpSocket::bind((address, 0)).is_ok() {
                found.push((address, carrier.is_none_or(|held| held.carrier)));
            }
        } else {
            let device = named(names, entry).map_or(entry.as_str(), |(device, _)| device);
            let of_device = held.iter().filter(|held| held.device == device);
            found.extend(of_device.map(|held| (held.address, held.carrier)));
        }
        if let Some(added) = found.get_mut(start..) {
            order(added, |(address, _)| address.is_ipv6());
        }
    }
    let mut seen = Vec::new();
    found.retain(|(address, _)| {
        !seen.contains(address) && {
            seen.push(*address);
            true
        }
    });
    found
}

/// The device and the zone of the network `name`; `None` where no network has this name.
fn named<'a>(names: &'a str, name: &str) -> Option<(&'a str, &'a str)> {
    names.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let found = words.next() == Some(name);
        found.then(|| Some((words.next()?, words.next().unwrap_or("-")))).flatten()
    })
}

/// Those of the entries that are networks without a zone, on a router whose firewall has zones.
fn shut_out<'a>(entries: impl Iterator<Item = &'a String>, names: &str) -> Vec<String> {
    let zone = |name: &str| named(names, name).map(|(_, zone)| zone);
    let mut networks = names.lines().filter_map(|line| line.split_ascii_whitespace().next());
    if !networks.any(|name| zone(name) != Some("-")) {
        return Vec::new();
    }
    entries.filter(|name| zone(name) == Some("-")).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(device: &str, address: [u8; 4], carrier: bool) -> Held {
        Held { device: device.into(), link: 1, address: address.into(), carrier }
    }

    #[test]
    fn many_changes_are_looked_at_once_a_second() {
        let poll = Poll::new().unwrap();
        let mut networks = Networks::new(&poll, &[], &[], None);
        let at = |ms: u64| Instant::from_micros(ms * 1000);
        networks.note_changes(at(1_000));
        assert_eq!(networks.look_at(), Some(at(1_000)), "the first one at once");
        networks.look(at(1_000));
        assert_eq!(networks.look_at(), None);
        for ms in [1_001, 1_500, 1_900] {
            networks.note_changes(at(ms));
            assert_eq!(networks.look_at(), Some(at(2_000)));
        }
        networks.look(at(2_000));
        networks.note_changes(at(9_000));
        assert_eq!(networks.look_at(), Some(at(9_000)));
    }

    #[test]
    fn networks_come_before_devices_and_literal_addresses_stand_for_themselves() {
        let held = [held("br-lan", [192, 0, 2, 1], true), held("wan", [198, 51, 100, 1], false)];
        let entries = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let names = "lan br-lan lan\nwan pppoe-wan wan\n";
        let lan = find(&entries(&["lan"]), names, &held);
        assert_eq!(lan, [([192, 0, 2, 1].into(), true)]);
        // The network `wan` is not up; the device of the same name is not meant.
        assert_eq!(find(&entries(&["wan"]), names, &held), []);
        assert_eq!(find(&entries(&["wan"]), "wan - wan\n", &held), []);
        assert_eq!(find(&entries(&["wan"]), "", &held), [([198, 51, 100, 1].into(), false)]);
        let both = find(&entries(&["127.0.0.9", "127.0.0.9", "192.0.2.1"]), names, &held);
        assert_eq!(both, [([127, 0, 0, 9].into(), true), ([192, 0, 2, 1].into(), true)]);
        assert_eq!(find(&entries(&["203.0.113.77"]), names, &held), []);
    }
    #[test]
    fn a_network_without_a_zone_is_named_where_the_firewall_has_zones() {
        let entries = ["lan", "guest", "br-lan", "192.0.2.1"].map(str::to_owned);
        let without = |names| shut_out(entries.iter(), names);
        assert_eq!(without("lan br-lan lan\nguest br-guest -\n"), ["guest"]);
        assert_eq!(without("lan br-lan lan\nguest - guest\n"), [""; 0], "down, but in a zone");
        assert_eq!(without("lan br-lan -\nguest br-guest -\n"), [""; 0], "no firewall");
        assert_eq!(without(""), [""; 0]);
    }
}
