//! Phones without an instance, known by their hardware addresses.

use crate::router::Settings;
use crate::script::Step::Register;
use crate::sipp::Sipp;
use crate::town::{FIRST, SECOND, Socket, Town, ip};
use crate::world::inside;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);

/// After a power cut the router is the first that comes back, and gives out its addresses anew.
fn known_after_a_power_cut(folder: &Path, settings: &Settings, new: &'static str) {
    let mut town = Town::build(folder, settings);
    let socket = town.socket(1, FIRST);
    drop(Sipp::start(&town, &socket, "alice"));
    let phones = town.router(1).status()["phones"].clone();
    let mac = phones[0]["mac"].as_str().expect("the MAC of a phone on the router's own link");
    assert_eq!(mac, socket.host.mac(), "{phones}");

    town.router_mut(1).lose_power();
    town.provider.kill();
    let host = socket.host.name();
    let bits = if socket.is_ipv6() { 64 } else { 24 };
    ip(&format!("-n {host} address del {}/{bits} dev eth0", socket.address));
    ip(&format!("-n {host} address add {new}/{bits} dev eth0 nodad"));
    town.router_mut(1).start();
    let renumbered = Socket { host: socket.host, address: new };
    drop(Sipp::start(&town, &renumbered, "alice"));
    // The same address of record at another device waits for the server.
    let mut stranger = Sipp::plug_in(&town, &town.socket(1, SECOND), "alice");
    stranger.follow(&[Register("", "503")]).succeed();
}

#[test]
fn a_renumbered_phone_is_known_by_its_mac() {
    inside(LIMIT, |folder| {
        known_after_a_power_cut(folder, &Settings::default(), "192.168.1.33");
    });
}

#[test]
fn so_is_one_that_has_ipv6() {
    inside(LIMIT, |folder| {
        let settings = Settings { ipv6: true, ..Settings::default() };
        known_after_a_power_cut(folder, &settings, "fd00::33");
    });
}
