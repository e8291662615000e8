//! Phones that know nothing of the router: set up with the provider's own address.

use crate::baresip::Baresip;
use crate::calls::{call, call_with_and_without_server, end};
use crate::needs;
use crate::provider::{ADDRESS, ADDRESS_V6};
use crate::router::{Router, Settings};
use crate::script::Step::*;
use crate::script::{CALL, answer};
use crate::sipp::Sipp;
use crate::town::{FIRST, Socket, Town};
use crate::transport::Transport::{self, Tcp, Udp};
use crate::wait;
use crate::world::inside;
use serde_json::Value;
use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// For all that there is to build and to call.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);
/// Interception is looked after every few seconds.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// Of routers that intercept.
pub(crate) fn settings() -> Settings {
    Settings { intercept: true, ..Settings::default() }
}

/// How interception stands.
pub(crate) fn interception(router: &Router) -> Value {
    router.status()["interception"].clone()
}

/// Waits until a router intercepts so.
pub(crate) fn await_method(router: &Router, method: &str) {
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

/// Each case with either method: taken, and redirected.
macro_rules! either_way {
    ($($taken:ident, $redirected:ident: $play:expr;)*) => { $(
        #[test]
        fn $taken() {
            inside(LIMIT, |folder| $play(folder, !REDIRECTED));
        }
        #[test]
        fn $redirected() {
            inside(LIMIT, |folder| $play(folder, REDIRECTED));
        }
    )* };
}
pub(crate) use either_way;

/// A phone of SIPp's, set up with the server's address.
pub(crate) fn phone(town: &Town, home: u8, user: &str, transport: Transport) -> Sipp {
    let socket = town.socket(home, FIRST);
    let server = if socket.is_ipv6() { ADDRESS_V6 } else { ADDRESS };
    Sipp::start_to(town, &socket, user, (transport, server))
}

/// Alice and Bob, each before a router, call each other with and without the server.
fn call_both_ways(folder: &Path, redirected: bool, ipv6: bool) {
    let (settings, method) = settings_of(redirected, ipv6);
    let mut town = strict_town(folder, &settings, method);
    let mut alice = phone(&town, 1, "alice", Udp);
    let mut bob = phone(&town, 2, "bob", Udp);
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
pub(crate) fn strict_town(folder: &Path, settings: &Settings, method: &str) -> Town {
    let town = Town::build(folder, settings);
    for home in [1, 2] {
        await_method(town.router(home), method);
        let_in_only_what_is_taken(town.router(home));
        trust_the_server_alone(&town.socket(home, FIRST));
    }
    town
}

/// As a kernel without tproxy has it.
pub(crate) const REDIRECTED: bool = true;

/// Settings of a method, and its name.
pub(crate) fn settings_of(filtered_bridge: bool, ipv6: bool) -> (Settings, &'static str) {
    let method = if filtered_bridge { "redirect" } else { "tproxy" };
    (Settings { filtered_bridge, ipv6, ..settings() }, method)
}

either_way! {
    a_phone_calls_though_it_knows_the_server_alone, a_redirected_phone_calls_as_well:
        |folder, redirected| call_both_ways(folder, redirected, false);
    on_ipv6_a_phone_calls, on_ipv6_a_redirected_phone_calls_as_well:
        |folder, redirected| call_both_ways(folder, redirected, true);
    over_tcp_phones_hear_each_other, over_tcp_redirected_phones_hear_each_other_as_well:
        |folder, redirected| over_tcp(folder, redirected, false);
    over_tcp_on_ipv6_phones_hear_each_other, over_tcp_on_ipv6_redirected_phones_do_as_well:
        |folder, redirected| over_tcp(folder, redirected, true);
    a_family_that_comes_later_ends_no_call, a_family_that_comes_later_ends_no_redirected_call:
        more_is_taken;
    one_port_of_a_phone_speaks_to_several_servers, one_redirected_port_speaks_to_several_servers:
        several_servers;
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

/// Accounts of one phone at different providers have its port in common.
fn several_servers(folder: &Path, redirected: bool) {
    let (settings, method) = settings_of(redirected, false);
    let town = Town::build(folder, &settings);
    await_method(town.router(1), method);
    let at = |number| format!("203.0.113.6{number}:5060");
    let servers = [0, 1, 2].map(|number| {
        let host = Town::add_host(&format!("server-{number}"), &format!("203.0.113.6{number}"));
        let socket = host.on(|| UdpSocket::bind(at(number))).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(4))).unwrap();
        socket
    });
    let socket = town.socket(1, FIRST);
    let phone = socket.host.on(|| UdpSocket::bind((socket.address, 5060))).unwrap();
    for round in 1..=2 {
        for (number, server) in servers.iter().enumerate() {
            let request = format!(
                "OPTIONS sip:{to} SIP/2.0\r\n\
                 Via: SIP/2.0/UDP {from}:5060;branch=z9hG4bK{round}{number}\r\n\
                 Max-Forwards: 70\r\nFrom: <sip:a@{to}>;tag=a\r\nTo: <sip:{to}>\r\n\
                 Call-ID: {round}{number}\r\nCSeq: 1 OPTIONS\r\n\r\n",
                to = at(number),
                from = socket.address,
            );
            phone.send_to(request.as_bytes(), at(number)).unwrap();
            let mut data = [0; 2048];
            let (len, _) = server.recv_from(&mut data).expect("the request");
            assert!(data[..len].starts_with(b"OPTIONS"));
            let received = String::from_utf8_lossy(&data[..len]);
            assert!(!received.contains(socket.address), "by way of the adapter: {received}");
        }
    }
}

/// The users that a router has registered.
pub(crate) fn users(router: &Router) -> Vec<String> {
    let status = router.status();
    let phones = status["phones"].as_array().cloned().unwrap_or_default();
    let user = |phone: &Value| {
        let aor = phone["aor"].as_str()?.split_once('@')?.0.to_owned();
        Some(aor)
    };
    phones.iter().filter(|phone| phone["registered"] == true).filter_map(user).collect()
}

/// What a program prints on a router.
pub(crate) fn ask(router: &Router, program: &str, words: &[&str]) -> String {
    let path = needs::find(program).unwrap();
    let output = router.host.on(|| Command::new(path).args(words).output()).unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
