//! Phones that know nothing of the router: set up with the provider's own address.

use crate::baresip::Baresip;
use crate::calls::{call, call_with_and_without_server, end};
use crate::needs;
use crate::provider::{ADDRESS, ADDRESS_V6};
use crate::router::{LAN, Router, Settings};
use crate::script::Step::*;
use crate::script::{CALL, answer};
use crate::sipp::Sipp;
use crate::town::{FIRST, SECOND, Socket, Town, ip};
use crate::transport::Transport::{self, Tcp, Udp};
use crate::wait;
use crate::world::inside;
use serde_json::Value;
use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(120);
/// Interception is looked after every few seconds.
const SOON: Duration = Duration::from_secs(15);

fn settings() -> Settings {
    Settings { intercept: true, ..Settings::default() }
}

fn interception(router: &Router) -> Value {
    router.status()["interception"].clone()
}

fn await_method(router: &Router, method: &str) {
    let what = format!("{} to intercept by {method}", router.host.name());
    wait::until(&what, SOON, || interception(router)["method"] == method);
}

/// Makes a phone deaf for SIP from everybody but the provider's server.
fn trust_the_server_alone(socket: &Socket) {
    let (family, server) = match socket.is_ipv6() {
        true => ("ip6", "2001:db8::10"),
        false => ("ip", "203.0.113.10"),
    };
    socket.host.nft(&format!(
        "add table inet strict; add chain inet strict input {{ type filter hook input priority 0; \
         }}; add rule inet strict input meta l4proto {{ udp, tcp }} th dport 5060 {family} saddr \
         != {server} drop; add rule inet strict input meta l4proto {{ udp, tcp }} th sport 5060 \
         {family} saddr != {server} drop"
    ));
}

/// Has a router's firewall let nothing in from its LAN but media, what is for the router's own
/// port, and what the package asks it to let in of what is for others, as fw4 writes that.
fn let_in_only_what_is_taken(router: &Router) {
    let script = include_str!("../../openwrt/net/cosip/files/cosip.init");
    let mark = script.lines().find_map(|line| line.strip_prefix("MARK=")).unwrap();
    let (mark, mask) = mark.split_once('/').unwrap();
    let taken = format!("meta l4proto {{ tcp, udp }} meta mark and {mask} == {mark}");
    let mut commands = "add table inet fw4; add chain inet fw4 input { type filter hook input \
                        priority 0; policy drop; }"
        .to_owned();
    for let_in in [
        "iifname { lo, wan }",
        "ct state established,related",
        "meta l4proto { icmp, ipv6-icmp }",
        "udp dport 30000-30199",
        "fib daddr type local meta l4proto { tcp, udp } th dport 5060",
        &taken,
    ] {
        commands += &format!("; add rule inet fw4 input {let_in} accept");
    }
    router.host.nft(&commands);
}

/// A phone of SIPp's, set up with the server's address.
fn phone(town: &Town, home: u8, user: &str, transport: Transport) -> Sipp {
    let socket = town.socket(home, FIRST);
    let server = if socket.is_ipv6() { ADDRESS_V6 } else { ADDRESS };
    Sipp::start_to(town, &socket, user, (transport, server))
}

/// Alice and Bob, each before a router, call each other with and without the server.
fn call_both_ways(town: &mut Town, transport: Transport) {
    let mut alice = phone(town, 1, "alice", transport);
    let mut bob = phone(town, 2, "bob", transport);
    town.await_record(1, "bob");
    for path in ["server", "overlay"] {
        if path == "overlay" {
            town.provider.kill();
        }
        let answering = bob.follow(&answer(300));
        alice.call("bob", &CALL).succeed();
        assert_eq!(answering.succeed().rings(), 1);
        assert_eq!(town.router(1).counter(&format!("calls_by_{path}")), 1);
    }
}

/// Builds a town whose phones trust nobody but the server, and whose routers take what they say.
fn strict_town(folder: &Path, settings: &Settings, method: &str) -> Town {
    let town = Town::build(folder, settings);
    for home in [1, 2] {
        await_method(town.router(home), method);
        let_in_only_what_is_taken(town.router(home));
        trust_the_server_alone(&town.socket(home, FIRST));
    }
    town
}

const REDIRECTED: bool = true;

fn settings_of(filtered_bridge: bool, ipv6: bool) -> (Settings, &'static str) {
    let method = if filtered_bridge { "redirect" } else { "tproxy" };
    (Settings { filtered_bridge, ipv6, ..settings() }, method)
}

#[test]
fn a_phone_registers_and_calls_though_it_knows_the_server_alone() {
    inside(LIMIT, |folder| {
        let (settings, method) = settings_of(!REDIRECTED, false);
        let mut town = strict_town(folder, &settings, method);
        call_both_ways(&mut town, Udp);
    });
}

#[test]
fn where_packets_can_only_be_redirected_a_phone_calls_as_well() {
    inside(LIMIT, |folder| {
        let (settings, method) = settings_of(REDIRECTED, false);
        let mut town = strict_town(folder, &settings, method);
        call_both_ways(&mut town, Udp);
    });
}

#[test]
fn on_ipv6_a_phone_calls_though_it_knows_the_server_alone() {
    inside(LIMIT, |folder| on_ipv6(folder, !REDIRECTED));
}

#[test]
fn on_ipv6_redirected_a_phone_calls_as_well() {
    inside(LIMIT, |folder| on_ipv6(folder, REDIRECTED));
}

#[test]
fn over_tcp_on_ipv6_a_phone_calls_though_it_knows_the_server_alone() {
    inside(LIMIT, |folder| over_tcp(folder, !REDIRECTED, true));
}

#[test]
fn over_tcp_on_ipv6_redirected_a_phone_calls_as_well() {
    inside(LIMIT, |folder| over_tcp(folder, REDIRECTED, true));
}

fn on_ipv6(folder: &Path, redirected: bool) {
    let (settings, method) = settings_of(redirected, true);
    let mut town = strict_town(folder, &settings, method);
    call_both_ways(&mut town, Udp);
}

#[test]
fn over_tcp_phones_hear_each_other_though_they_know_the_server_alone() {
    inside(LIMIT, |folder| over_tcp(folder, !REDIRECTED, false));
}

#[test]
fn over_tcp_redirected_phones_hear_each_other_as_well() {
    inside(LIMIT, |folder| over_tcp(folder, REDIRECTED, false));
}

fn over_tcp(folder: &Path, redirected: bool, ipv6: bool) {
    let (mut town, mut alice, mut bob) = two_over_tcp(folder, redirected, ipv6);
    call_with_and_without_server(&mut town, &mut alice, &mut bob);
}

fn two_over_tcp(folder: &Path, redirected: bool, ipv6: bool) -> (Town, Baresip, Baresip) {
    let (settings, method) = settings_of(redirected, ipv6);
    let town = Town::build(folder, &settings);
    for home in [1, 2] {
        await_method(town.router(home), method);
        let_in_only_what_is_taken(town.router(home));
    }
    let server = settings.server_address();
    let start =
        |home, user| Baresip::start_at(&town, &town.socket(home, FIRST), user, (Tcp, server));
    let (alice, bob) = (start(1, ("alice", 400)), start(2, ("bob", 700)));
    town.await_record(1, "bob");
    (town, alice, bob)
}

#[test]
fn interception_begins_and_ends_with_the_daemon() {
    inside(LIMIT, |folder| come_and_go(folder, !REDIRECTED));
}

#[test]
fn interception_by_redirection_begins_and_ends_with_the_daemon() {
    inside(LIMIT, |folder| come_and_go(folder, REDIRECTED));
}

#[test]
fn a_family_that_comes_later_ends_no_call() {
    inside(LIMIT, |folder| more_is_taken(folder, !REDIRECTED));
}

#[test]
fn a_family_that_comes_later_ends_no_call_that_is_redirected() {
    inside(LIMIT, |folder| more_is_taken(folder, REDIRECTED));
}

#[test]
fn a_family_that_comes_later_ends_no_connection_that_is_redirected() {
    inside(LIMIT, |folder| {
        let (mut town, mut alice, mut bob) = two_over_tcp(folder, REDIRECTED, false);
        town.provider.kill();
        call(&mut alice, &mut bob);
        add_a_family(&mut town, 2);
        end(&mut alice, &mut bob);
        call(&mut bob, &mut alice);
        end(&mut alice, &mut bob);
    });
}

/// What is taken changes under a call of a phone that trusts its server alone.
fn more_is_taken(folder: &Path, redirected: bool) {
    let (settings, method) = settings_of(redirected, false);
    let mut town = strict_town(folder, &settings, method);
    let mut alice = phone(&town, 1, "alice", Udp);
    let mut bob = phone(&town, 2, "bob", Udp);
    town.await_record(1, "bob");
    town.provider.kill();
    let answering = bob.follow(&answer(300));
    let calling = [Dial("200"), AckAnswer, Pause(4_000), HangUp, Expect("200")];
    let calling = alice.call("bob", &calling);
    wait::until("the call", SOON, || town.router(1).call_path() == "overlay");
    add_a_family(&mut town, 2);
    await_method(town.router(2), method);
    calling.succeed();
    answering.succeed();
}

/// Gives the LAN of a home IPv6 as well, and waits until that is intercepted too.
fn add_a_family(town: &mut Town, home: u8) {
    let host = town.router(home).host.clone();
    host.on(|| fs::write("/proc/sys/net/ipv6/conf/lan/disable_ipv6", "0")).unwrap();
    ask(town.router(home), "ip", &["address", "add", "fd00::1/64", "dev", "lan", "nodad"]);
    wait::until("both families", SOON, || {
        let log = town.router_mut(home).process().log();
        assert!(!log.contains("nothing is intercepted"), "{log}");
        log.matches("are intercepted").count() == 2
    });
}

/// Flows that the kernel forgets at once are as those that phones leave quiet for minutes.
#[test]
fn a_redirected_phone_hears_its_server_after_the_kernel_has_forgotten_it() {
    inside(LIMIT, |folder| {
        let (settings, method) = settings_of(REDIRECTED, false);
        let mut town = strict_town(folder, &settings, method);
        for (home, name) in [1, 2].into_iter().flat_map(|home| [(home, ""), (home, "_stream")]) {
            let path = format!("/proc/sys/net/netfilter/nf_conntrack_udp_timeout{name}");
            town.router(home).host.on(|| fs::write(path, "1")).unwrap();
        }
        let mut alice = phone(&town, 1, "alice", Udp);
        let mut bob = phone(&town, 2, "bob", Udp);
        town.await_record(1, "bob");
        town.provider.kill();
        wait::pause(Duration::from_secs(3));
        let answering = bob.follow(&answer(3_000));
        alice.call("bob", &CALL).succeed();
        assert_eq!(answering.succeed().rings(), 1);

        // And where the daemon began anew: it knows from its files whom the phone meant.
        town.router_mut(2).stop();
        town.router_mut(2).start();
        await_method(town.router(2), method);
        town.await_record(1, "bob");
        let answering = bob.follow(&answer(300));
        alice.call("bob", &CALL).succeed();
        answering.succeed();
    });
}

#[test]
fn without_a_route_to_the_server_phones_are_taken_all_the_same() {
    inside(LIMIT, |folder| without_route(folder, !REDIRECTED, false));
}

#[test]
fn without_a_route_to_the_server_phones_are_redirected_all_the_same() {
    inside(LIMIT, |folder| without_route(folder, REDIRECTED, false));
}

#[test]
fn without_a_route_on_ipv6_phones_are_taken_all_the_same() {
    inside(LIMIT, |folder| without_route(folder, !REDIRECTED, true));
}

#[test]
fn without_a_route_on_ipv6_phones_are_redirected_all_the_same() {
    inside(LIMIT, |folder| without_route(folder, REDIRECTED, true));
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

#[test]
fn what_is_not_the_lans_is_never_taken() {
    inside(LIMIT, |folder| not_the_lans(folder, !REDIRECTED));
}

#[test]
fn what_is_not_the_lans_is_never_redirected() {
    inside(LIMIT, |folder| not_the_lans(folder, REDIRECTED));
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

#[test]
fn many_networks_and_ports_are_taken_together() {
    inside(LIMIT, |folder| many(folder, !REDIRECTED));
}

#[test]
fn many_networks_and_ports_are_redirected_together() {
    inside(LIMIT, |folder| many(folder, REDIRECTED));
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
    let map = ask(town.router(1), "nft", &["list", "map", "inet", "cosip", "tcp4"]);
    assert!(ports.iter().all(|port| map.contains(&format!("{port} : "))), "{map}");
    let _alice = phone(&town, 1, "alice", Udp);
    assert_eq!(users(town.router(1)), ["alice"]);
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

/// The users that a router has registered.
fn users(router: &Router) -> Vec<String> {
    let status = router.status();
    let phones = status["phones"].as_array().cloned().unwrap_or_default();
    let user = |phone: &Value| {
        let aor = phone["aor"].as_str()?.split_once('@')?.0.to_owned();
        Some(aor)
    };
    phones.iter().filter(|phone| phone["registered"] == true).filter_map(user).collect()
}

/// What a program prints on a router.
fn ask(router: &Router, program: &str, words: &[&str]) -> String {
    let path = needs::find(program).unwrap();
    let output = router.host.on(|| Command::new(path).args(words).output()).unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
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
    let map = ask(router, "nft", &["list", "map", "inet", "cosip", "udp4"]);
    let element = map.split_once("5060 : ").unwrap_or_else(|| panic!("{map}")).1;
    let port: String = element.chars().take_while(char::is_ascii_digit).collect();
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
