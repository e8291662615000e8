//! Which flows are taken over.

use super::*;
use crate::driver::conntrack::UDP;

const OWN: [&str; 2] = ["192.168.1.1", "203.0.113.1"];

fn flow(from: &str, to: &str, at: &str) -> Tracked {
    let [from, to, at] = [from, to, at].map(|text| text.parse().unwrap());
    Tracked { protocol: UDP, from, to, at, helped: false }
}

#[test]
fn flows_that_begin_or_end_here_are_left_alone() {
    let own = OWN.map(|ip| ip.parse().unwrap());
    let phone = "192.168.1.10:5060";
    for (from, to, taken) in [
        (phone, "198.51.100.1:5060", true),
        (phone, "192.168.1.1:5060", false),
        ("203.0.113.1:5062", "198.51.100.1:5060", false),
        ("127.0.0.1:5060", "127.0.0.2:5060", false),
    ] {
        assert_eq!(passes(&flow(from, to, to), &own), taken, "{from} to {to}");
    }
}

#[test]
fn flows_that_come_to_us_already_go_on() {
    let own = OWN.map(|ip| ip.parse().unwrap());
    let (phone, server) = ("192.168.1.10:5060", "198.51.100.1:5060");
    for (at, taken) in [
        ("192.168.1.1:40000", true),
        ("192.168.1.1:40003", true),
        ("192.168.1.1:40004", false),
        (server, false),
        ("198.51.100.1:40000", false),
    ] {
        assert_eq!(
            is_taken(&flow(phone, server, at), &own, &[(UDP, 40_000..=40_003)]),
            taken,
            "{at}"
        );
        assert!(!is_taken(&flow(phone, server, at), &own, &[(TCP, 40_000..=40_003)]));
    }
}
