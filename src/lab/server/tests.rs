//! How the lab's server reads addresses, and what it can bear.

use super::capacity::{Beyond, Capacity, Load};
use super::registrar::{key, national, stamped};
use crate::time::Instant;
use std::net::SocketAddr;

#[test]
fn the_key_of_an_aor_keeps_the_user_s_case_and_drops_port_and_parameters() {
    assert_eq!(key("sip:Bob@EXAMPLE.net:5060;user=phone").as_deref(), Some("Bob@example.net"));
    assert_eq!(key("sip:example.net"), None);
    assert_eq!(key("sip:089123@example.net").as_deref(), Some("+4989123@example.net"));
    assert_eq!(national("+4989123"), "089123");
    assert_eq!(national("bob"), "bob");
}

#[test]
fn a_via_is_stamped_only_where_it_asks() {
    let from: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let asks = "SIP/2.0/UDP h;branch=z9hG4bKa;rport";
    let stamp = "SIP/2.0/UDP h;branch=z9hG4bKa;received=192.0.2.1;rport=9";
    assert_eq!(stamped(asks, Some(from)), stamp);
    assert_eq!(stamped(stamp, Some(from)), stamp);
    assert_eq!(stamped("SIP/2.0/UDP h", Some(from)), "SIP/2.0/UDP h");
    assert_eq!(stamped(asks, None), asks);
}

#[test]
fn what_comes_beyond_the_capacity_of_a_second_fares_as_told() {
    let mut load = Load::default();
    let mut at = |ms: u64| load.beyond(Instant::from_micros(ms * 1000));
    assert_eq!([at(1), at(2), at(3)], [None; 3], "it bears all");
    let beyond = Beyond::Refused(7);
    load.capacity = Some(Capacity { registers_per_s: 2, beyond });
    let mut at = |ms: u64| load.beyond(Instant::from_micros(ms * 1000));
    assert_eq!([at(1_000), at(1_998), at(1_999)], [None, None, Some(beyond)]);
    assert_eq!([at(2_000), at(2_001), at(2_002)], [None, None, Some(beyond)]);
}
