//! A router behind another one that maps nothing: an own modem between it and the internet.

use crate::calls::{call_both_ways_over_the_overlay, two_phones};
use crate::host::Host;
use crate::router::Settings;
use crate::script::Step::*;
use crate::sipp::Sipp;
use crate::town::{FIRST, Town, ip, make_host};
use crate::transport::Transport;
use crate::wait;
use crate::world::inside;
use std::fs;
use std::path::Path;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(180);
/// A new address, a verdict on it, and members that keep a flow.
const SETTLED: Duration = Duration::from_secs(80);

/// Puts a modem between a router and the internet, which translates addresses and lets nobody in
/// unasked. `masquerade` is its rule.
fn put_behind_modem(town: &Town, home: u8, masquerade: &str) {
    let (modem, router) = (format!("modem-{home}"), format!("router-{home}"));
    make_host(&modem);

    ip(&format!("link add to-{modem} type veth peer name wan netns {modem}"));
    ip(&format!("link set to-{modem} master internet up"));
    ip(&format!("-n {modem} address add 203.0.113.{}/24 dev wan", 50 + home));
    ip(&format!("-n {modem} link set wan up"));
    ip(&format!("link set to-{router} netns {modem}"));
    ip(&format!("-n {modem} address add 10.77.0.1/24 dev to-{router}"));
    ip(&format!("-n {modem} link set to-{router} up"));
    let host = Host::new(&modem);
    host.on(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1")).unwrap();
    host.nft(&format!(
        "add table ip front; add chain ip front out {{ type nat hook postrouting priority 100; }}; \
         add rule ip front out oifname wan {masquerade}; \
         add chain ip front in {{ type filter hook input priority 0; policy drop; }}; \
         add chain ip front through {{ type filter hook forward priority 0; policy drop; }}; \
         add rule ip front through iifname != wan accept; \
         add rule ip front through ct state established,related accept"
    ));
    ip(&format!("-n {router} address del 203.0.113.{}/24 dev wan", 20 + home));
    ip(&format!("-n {router} address add 10.77.0.2/24 dev wan"));
    ip(&format!("-n {router} route add default via 10.77.0.1"));
    wait::until("the way through the modem", SETTLED, || {
        let overlay = &town.router(home).status()["overlay"];
        overlay["rendezvous"].as_u64() > Some(0)
    });
}

fn called_and_calling(folder: &Path, masquerade: &str, reachable: &str) {
    let mut town = Town::build(folder, &Settings::default());
    put_behind_modem(&town, 2, masquerade);
    wait::until(&format!("router 2 to be {reachable}"), SETTLED, || {
        town.router(2).status()["overlay"]["reachable"] == reachable
    });
    let (mut alice, mut bob) = two_phones(&town, Transport::Udp);
    town.provider.kill();
    call_both_ways_over_the_overlay(&town, &mut alice, &mut bob);
}

#[test]
fn a_router_behind_a_modem_calls_and_is_called_without_a_server() {
    inside(LIMIT, |folder| called_and_calling(folder, "masquerade", "punched"));
}

#[test]
fn so_does_one_behind_a_modem_that_has_a_port_for_each_peer() {
    inside(LIMIT, |folder| called_and_calling(folder, "masquerade fully-random", "relayed"));
}

/// Nothing relays speech, so that no phone rings for a call that nobody would hear.
#[test]
fn two_behind_such_modems_refuse_what_nobody_would_hear() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &Settings::default());
        for home in [1, 2] {
            put_behind_modem(&town, home, "masquerade fully-random");
        }
        for home in [1, 2] {
            // One router is left that keeps flows, and to say which port it sees.
            wait::until(&format!("router {home} to be known as it is"), SETTLED, || {
                let overlay = &town.router(home).status()["overlay"];
                overlay["rendezvous"] == 1 && overlay["reachable"] == "punched"
            });
        }
        let mut alice = Sipp::start(&town, &town.socket(1, FIRST), "alice");
        let mut bob = Sipp::start(&town, &town.socket(2, FIRST), "bob");
        town.await_record(1, "bob");
        town.await_record(2, "alice");
        town.provider.kill();
        // Until router 3 has noticed where the two are now, they do not meet at all.
        wait::until("a call to be refused for its speech", SETTLED, || {
            let refused = alice.call("bob", &[Dial("480"), AckRefusal]).succeed();
            let mut received = refused.received();
            received.any(|message| message.starts_with("SIP/2.0 480 No Way For Speech"))
        });
        assert!(town.router(2).counter("invites_out_of_earshot") >= 1);
        let calls = bob.call("alice", &[Dial("480"), AckRefusal]).succeed();
        assert_eq!(calls.rings(), 0);
    });
}
