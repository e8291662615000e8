//! Which address counts, of those that are known.

use super::*;

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn the_operator_comes_before_the_router_in_front_and_that_before_what_others_see() {
    let (sip, other) = (at("192.168.178.20:5062"), at("192.168.178.20:5070"));
    let mut outside = Outside::new(None);
    assert_eq!((outside.address(), outside.of(sip)), (None, sip));
    outside.see(ip("203.0.113.9"));
    assert_eq!(outside.of(sip), at("203.0.113.9:5062"));
    outside.set_mapped(vec![(sip, at("203.0.113.9:40000"))]);
    assert_eq!(outside.of(sip), at("203.0.113.9:40000"));
    assert_eq!(outside.of(other), at("203.0.113.9:5070"));
    assert_eq!(outside.of(at("[2001:db8::1]:5062")), at("[2001:db8::1]:5062"));
    let mut given = Outside::new(Some(ip("198.51.100.1")));
    given.set_mapped(vec![(sip, at("203.0.113.9:40000"))]);
    given.see(ip("203.0.113.9"));
    assert_eq!(given.of(sip), at("198.51.100.1:5062"));
}

#[test]
fn a_router_in_front_that_is_behind_another_one_has_not_opened_the_way() {
    let sip = at("192.168.178.20:5062");
    let mut outside = Outside::new(None);
    outside.set_mapped(vec![(sip, at("100.64.7.7:5062"))]);
    // Nobody has seen us: in a network of private addresses this may be the one.
    assert_eq!(outside.of(sip), at("100.64.7.7:5062"));
    outside.see(ip("203.0.113.9"));
    assert_eq!(outside.of(sip), at("203.0.113.9:5062"));
    outside.see(ip("100.64.7.7"));
    assert_eq!(outside.of(sip), at("100.64.7.7:5062"));
}

#[test]
fn private_addresses_are_those_of_homes_and_of_carriers() {
    for private in ["10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.127.255.254"] {
        assert!(is_private(ip(private)), "{private}");
    }
    for public in ["100.128.0.1", "100.63.255.255", "203.0.113.1", "172.32.0.1", "2001:db8::1"] {
        assert!(!is_private(ip(public)), "{public}");
    }
}
