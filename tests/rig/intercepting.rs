//! What routers take of what is for others, and what they leave alone.

use crate::calls::{call, end, two_phones};
use crate::intercepted::{
    LIMIT, REDIRECTED, SOON, ask, await_method, either_way, interception, phone, settings,
    settings_of, strict_town, users,
};
use crate::provider::ADDRESS;
use crate::router::{LAN, OVERLAY_PORT, Router, Settings};
use crate::script::Step::*;
use crate::sipp::Sipp;
use crate::town::{SECOND, Town, ip};
use crate::transport::Transport::Udp;
use crate::wait;
use crate::world::inside;
use serde_json::Value;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

either_way! {
    interception_begins_and_ends_with_the_daemon, redirection_begins_and_ends_with_the_daemon:
        come_and_go;
    without_a_route_phones_are_taken, without_a_route_phones_are_redirected:
        |folder, redirected| without_route(folder, redirected, false);
    without_a_route_on_ipv6_phones_are_taken, without_a_route_on_ipv6_phones_are_redirected:
        |folder, redirected| without_route(folder, redirected, true);
    what_is_not_the_lans_is_never_taken, what_is_not_the_lans_is_never_redirected: not_the_lans;
    many_networks_and_ports_are_taken_together, many_networks_and_ports_are_redirected_together:
        many;
}

fn without_route(folder: &Path, redirected: bool, ipv6: bool) {
    let (settings, method) = settings_of(redirected, ipv6);
    let town = strict_town(folder, &settings, method);
    let mut alice = phone(&town, 1, "alice", Udp);
    let net: &[&str] = if ipv6 {
        &["-6", "route", "del", "2001:db8::/64"]
    } else {
        &["route", "del", "203.0.113.0/24"]
    };
    ask(town.router(1), "ip", &[net, &["dev", "wan"]].concat());
    alice.follow(&[Register("", "200")]).succeed();
}

/// Programs of the router speak to servers themselves, and others may have it as their router.
fn not_the_lans(folder: &Path, redirected: bool) {
    let (settings, method) = settings_of(redirected, false);
    let town = Town::build(folder, &settings);
    await_method(town.router(1), method);
    let server = Town::add_host("server", "203.0.113.60");
    let guest = Town::add_host("guest", "203.0.113.61");
    ip("-n server address add 198.51.100.1/32 dev eth0");
    ip("-n router-1 route add 198.51.100.1 via 203.0.113.60");
    ip("-n guest route add 198.51.100.1 via 203.0.113.21");
    let at = "198.51.100.1:5060";
    let (datagrams, streams) =
        server.on(|| (UdpSocket::bind(at).unwrap(), TcpListener::bind(at).unwrap()));
    datagrams.set_read_timeout(Some(SOON)).unwrap();
    for host in [&town.router(1).host, &guest] {
        host.on(|| {
            let socket = UdpSocket::bind("0.0.0.0:5060").or_else(|_| UdpSocket::bind("0.0.0.0:0"));
            socket.unwrap().send_to(b"OPTIONS", at).unwrap();
            TcpStream::connect_timeout(&at.parse().unwrap(), SOON).unwrap();
        });
        let mut data = [0; 16];
        let (len, from) = datagrams.recv_from(&mut data).unwrap();
        assert_eq!(&data[..len], b"OPTIONS");
        let (_, stream_from) = streams.accept().unwrap();
        assert_eq!(from.ip(), stream_from.ip());
        assert!(from.to_string().starts_with("203.0.113."), "{from}");
    }
    assert_eq!(town.router(1).counter("intercepted_strays"), 0);
}

fn many(folder: &Path, redirected: bool) {
    let (settings, method) = settings_of(redirected, false);
    let vlans = || (1..=60).map(|number| format!("vlan{number}"));
    let ports = [5060, 5062, 5063, 5064, 5065, 5066, 5067, 5068];
    let options = vlans().map(|name| format!("\tlist lan '{name}'\n"));
    let options = options.chain(ports.map(|port| format!("\tlist intercept_port '{port}'\n")));
    let settings = Settings { adapter: options.collect(), ..settings };
    let town = Town::build(folder, &settings);
    for (number, name) in vlans().enumerate() {
        ip(&format!("-n router-1 link add {name} type bridge"));
        ip(&format!("-n router-1 address add 10.0.{number}.1/24 dev {name}"));
        ip(&format!("-n router-1 link set {name} up"));
    }
    await_method(town.router(1), method);
    wait::until("the last network", SOON, || {
        ask(town.router(1), "nft", &["list", "set", "inet", "cosip", "lan"]).contains("vlan60")
    });
    let set = ask(town.router(1), "nft", &["list", "set", "inet", "cosip", "ports"]);
    assert!(ports.iter().all(|port| set.contains(&port.to_string())), "{set}");
    let _alice = phone(&town, 1, "alice", Udp);
    assert_eq!(users(town.router(1)), ["alice"]);
}

#[test]
fn where_the_kernel_cannot_be_asked_phones_reach_their_server_and_the_packages_are_named() {
    inside(LIMIT, |folder| {
        let settings = Settings { without_netfilter: true, ..settings() };
        let town = Town::build(folder, &settings);
        wait::until("a reason", SOON, || interception(town.router(1))["reason"].is_string());
        let told = interception(town.router(1));
        let reason = told["reason"].as_str().unwrap();
        assert_eq!(told["method"], "none");
        for package in ["kmod-nft-tproxy", "kmod-nf-conntrack-netlink"] {
            assert!(reason.contains("install") && reason.contains(package), "{reason}");
        }
        // As without an adapter.
        let _alice = phone(&town, 1, "alice", Udp);
        assert_eq!(users(town.router(1)), [""; 0]);
    });
}

#[test]
fn the_kernels_sip_helper_on_the_way_to_the_server_is_told_of() {
    inside(LIMIT, |folder| {
        let mut town = Town::build(folder, &settings());
        town.router(1).host.nft(
            "add table inet help; add ct helper inet help sip { type \"sip\" protocol udp; }; \
             add chain inet help out { type filter hook output priority -150; }; \
             add rule inet help out udp dport 5060 ct helper set \"sip\"",
        );
        let _alice = phone(&town, 1, "alice", Udp);
        assert_eq!(interception(town.router(1))["warning"], Value::Null);
        // It is looked for once a minute, and at the start.
        town.router_mut(1).stop();
        town.router_mut(1).start();
        wait::until("the warning", SOON, || {
            let warning = interception(town.router(1))["warning"].clone();
            warning.as_str().is_some_and(|it| it.contains("unload nf_conntrack_sip"))
        });
    });
}

/// Packets that the kernel has dropped on their way to the overlay's port.
fn kept_off(router: &Router) -> u64 {
    let rules = ask(router, "nft", &["list", "chain", "inet", "cosip", "input"]);
    let counted = rules.split("counter packets ").skip(1).map(|it| {
        let packets = it.split(' ').next().and_then(|packets| packets.parse::<u64>().ok());
        packets.unwrap_or_else(|| panic!("{rules}"))
    });
    counted.sum()
}

/// Sends from as many ports as fit into ten milliseconds, 20,000 datagrams a second, until told
/// to stop; says how many they were.
fn flood(to: &str, stop: &AtomicBool) -> u64 {
    const A_ROUND: u64 = 200;
    const ROUND: Duration = Duration::from_millis(10);
    let mut sent = 0;
    while !stop.load(Relaxed) {
        let next = Instant::now() + ROUND;
        for _ in 0..A_ROUND {
            let unspecified = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let stranger = UdpSocket::bind(unspecified).unwrap();
            stranger.send_to(&[0xee; 40], to).unwrap();
        }
        sent += A_ROUND;
        wait::pause(next.saturating_duration_since(Instant::now()));
    }
    sent
}

fn calls_go_on_in_a_flood(folder: &Path, ipv6: bool) {
    let (settings, method) = settings_of(false, ipv6);
    let mut town = Town::build(folder, &settings);
    await_method(town.router(1), method);
    let (mut alice, mut bob) = two_phones(&town, Udp);
    town.provider.kill();
    let router = |number| town.router(number);
    let before = router(1).counter("overlay_unknown_version");
    let stop = AtomicBool::new(false);
    let to = format!("{}:{OVERLAY_PORT}", if ipv6 { "[2001:db8::21]" } else { "203.0.113.21" });
    let (sent, took) = std::thread::scope(|threads| {
        let flooding = threads.spawn(|| router(3).host.on(|| flood(&to, &stop)));
        wait::until("the kernel to drop what floods", SOON, || kept_off(router(1)) > 20_000);
        let start = Instant::now();
        call(&mut bob, &mut alice);
        assert_eq!(router(2).call_path(), "overlay");
        end(&mut alice, &mut bob);
        call(&mut alice, &mut bob);
        assert_eq!(router(1).call_path(), "overlay");
        let took = start.elapsed();
        stop.store(true, Relaxed);
        (flooding.join().unwrap(), took)
    });
    let passed = router(1).counter("overlay_unknown_version") - before;
    assert!((1..sent / 20).contains(&passed), "{passed} of {sent} came to the daemon");
    assert!(took < SOON, "{took:?}");
}

#[test]
fn calls_go_on_while_a_stranger_floods_the_overlays_port() {
    inside(LIMIT, |folder| calls_go_on_in_a_flood(folder, false));
}

#[test]
fn calls_go_on_while_a_stranger_floods_the_overlays_port_on_ipv6() {
    inside(LIMIT, |folder| calls_go_on_in_a_flood(folder, true));
}

fn nothing_is_left(router: &Router) {
    assert_eq!(ask(router, "nft", &["list", "table", "inet", "cosip"]), "");
}

/// What LuCI's pages are tested with is what a router says.
fn is_recorded(router: &Router) {
    let recorded: Value = serde_json::from_str(include_str!("../luci/intercepted.json")).unwrap();
    let status = router.status();
    assert_eq!(status["interception"], recorded["interception"]);
    assert!(status["phones"].as_array().unwrap().contains(&recorded["phones"][0]), "{status}");
}

fn come_and_go(folder: &Path, redirected: bool) {
    let (settings, method) = settings_of(redirected, false);
    let mut town = Town::build(folder, &settings);
    await_method(town.router(1), method);

    // Without the daemon the phone reaches its server, by the router's own translation.
    town.router_mut(1).stop();
    nothing_is_left(town.router(1));
    assert!(!has_policy(town.router(1)), "the policy is left");
    let mut alice = phone(&town, 1, "alice", Udp);
    let tls = town.provider.host.on(|| TcpListener::bind("203.0.113.10:5061")).unwrap();
    let socket = town.socket(1, SECOND);
    let secret = socket.host.on(|| TcpStream::connect("203.0.113.10:5061")).unwrap();

    // That flow is older than the daemon, which takes it over; TLS stays as it is.
    town.router_mut(1).start();
    await_method(town.router(1), method);
    alice.follow(&[Register("", "200")]).succeed();
    assert_eq!(users(town.router(1)), ["alice"]);
    wait::until("the phone that cannot be taken", SOON, || {
        let phones = town.router(1).ask(&["phones"]);
        phones.contains("not protected: TLS") && phones.contains(socket.address)
    });
    if !redirected {
        is_recorded(town.router(1));
    }
    drop((tls, secret));

    // A firewall that begins anew takes nothing away for long.
    town.router(1).host.nft(
        "flush ruleset; add table ip nat; add chain ip nat out { type nat hook postrouting \
         priority 100; }; add rule ip nat out oifname wan ip saddr 192.168.1.0/24 masquerade",
    );
    if !redirected {
        ask(town.router(1), "ip", &["rule", "delete", "pref", "60"]);
        wait::until("the policy of routes", SOON, || has_policy(town.router(1)));
    }
    let bob = Sipp::start_to(&town, &town.socket(1, SECOND), "bob", (Udp, ADDRESS));
    assert_eq!(users(town.router(1)).len(), 2);
    drop(bob);

    // What is for the router's own port is its proxy's.
    Sipp::start(&town, &town.socket(1, SECOND), "carol");
    assert_eq!(users(town.router(1)).len(), 3);

    if redirected {
        speak_to_what_redirects(&town);
    }
    town.router_mut(1).lose_power();
    after_a_crash(&mut town, &mut alice, method);
}

fn has_policy(router: &Router) -> bool {
    let told = [["rule", "list"], ["-6", "rule"]].map(|words| ask(router, "ip", &words));
    told.iter().any(|told| told.contains("5060"))
}

/// What nobody has redirected is for nobody else, and counted.
fn speak_to_what_redirects(town: &Town) {
    let router = town.router(1);
    let chain = ask(router, "nft", &["list", "chain", "inet", "cosip", "dstnat"]);
    let rule = chain.lines().find(|line| line.contains("udp"));
    let port = rule.and_then(|rule| rule.rsplit_once(" :")?.1.split('-').next());
    let port = port.unwrap_or_else(|| panic!("{chain}"));
    let to = format!("{LAN}:{port}");
    let speaker = town.socket(1, SECOND).host.on(|| UdpSocket::bind("0.0.0.0:0")).unwrap();
    speaker.send_to(b"OPTIONS sip:x SIP/2.0\r\n\r\n", to).unwrap();
    wait::until("a stray", SOON, || router.counter("intercepted_strays") == 1);
}

/// Of a daemon that was killed no table is left. The policy of routes that may be, takes nothing,
/// and serves the next daemon, or goes with it.
fn after_a_crash(town: &mut Town, alice: &mut Sipp, method: &str) {
    nothing_is_left(town.router(1));
    let tproxy = method == "tproxy";
    assert_eq!(has_policy(town.router(1)), tproxy);
    if tproxy {
        alice.follow(&[Register("", "200")]).succeed();
    }
    town.router_mut(1).start();
    await_method(town.router(1), method);
    assert_eq!(users(town.router(1)), [""; 0]);
    alice.follow(&[Register("", "200")]).succeed();
    assert_eq!(users(town.router(1)), ["alice"]);
}
