//! Whom a port listens to.

use super::*;

fn at(ms: u64) -> Instant {
    Instant::from_micros(ms * 1000)
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

const SIGNALLING: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 9)));

#[test]
fn the_first_allowed_source_closes_the_window_for_all_others() {
    let signalled = addr("203.0.113.10:4000");
    // (source, allowed while the window is open)
    let table = [
        ("203.0.113.10:4000", true),
        ("203.0.113.10:4002", true),
        ("203.0.113.77:9", true),
        ("198.51.100.9:1234", true),
        ("198.51.100.8:1234", false),
        ("203.0.114.10:4000", false),
        ("[2001:db8::1]:4000", false),
    ];
    for (source, allowed) in table {
        let mut pin = Pin::default();
        pin.signal(at(0), Some(signalled));
        assert_eq!(pin.target(), Some(signalled));
        assert_eq!(pin.admit(at(1), addr(source), SIGNALLING), allowed, "{source}");
        if !allowed {
            assert_eq!(pin.target(), Some(signalled));
            continue;
        }
        assert_eq!(pin.target(), Some(addr(source)), "symmetric RTP");
        for (other, _) in table {
            assert_eq!(pin.admit(at(2), addr(other), SIGNALLING), other == source, "{other}");
        }
    }
}

#[test]
fn ipv6_is_pinned_by_its_64() {
    let mut pin = Pin::default();
    pin.signal(at(0), Some(addr("[2001:db8:0:1::5]:4000")));
    assert!(!pin.admit(at(1), addr("[2001:db8:0:2::5]:4000"), None));
    assert!(pin.admit(at(1), addr("[2001:db8:0:1:ffff::1]:6"), None));
}

#[test]
fn before_sdp_only_the_signalling_source_is_heard_and_nobody_is_pinned() {
    let mut pin = Pin::default();
    pin.signal(at(0), None);
    assert!(!pin.admit(at(1), addr("203.0.113.10:4000"), SIGNALLING));
    assert!(pin.admit(at(1), addr("198.51.100.9:4000"), SIGNALLING));
    assert!(pin.admit(at(1), addr("198.51.100.9:4002"), SIGNALLING));
    assert_eq!(pin.target(), None);
}

#[test]
fn a_move_to_a_new_address_is_followed_though_the_old_source_trails() {
    let (old, new) = (addr("203.0.113.10:4000"), addr("203.0.113.10:5000"));
    let mut pin = Pin::default();
    pin.signal(at(0), Some(old));
    assert!(pin.admit(at(1), old, None));
    pin.signal(at(1000), Some(new));
    assert_eq!(pin.target(), Some(new), "the new address is asked for, not the old source");
    assert!(pin.admit(at(1020), old, None), "what is on its way still arrives");
    assert_eq!(pin.target(), Some(new));
    assert!(pin.admit(at(1040), new, None));
    assert!(!pin.admit(at(1060), old, None), "the window is closed again");
    assert_eq!(pin.target(), Some(new));
}

#[test]
fn a_source_that_stays_though_sdp_moved_is_pinned_again_where_it_may() {
    let (old, new) = (addr("203.0.113.10:4000"), addr("203.0.113.10:5000"));
    let mut pin = Pin::default();
    pin.signal(at(0), Some(old));
    assert!(pin.admit(at(1), old, None));
    pin.signal(at(1000), Some(new));
    assert!(pin.admit(at(3001), old, None));
    assert_eq!(pin.target(), Some(old));

    // Another network: the old server has no say once the trail is over.
    pin.signal(at(4000), Some(addr("192.0.2.1:7000")));
    assert!(pin.admit(at(5999), old, None));
    assert!(!pin.admit(at(6000), old, None));
    assert!(pin.admit(at(6001), addr("192.0.2.1:7000"), None));
}

#[test]
fn new_sdp_with_the_same_address_keeps_answering_the_known_source() {
    let (signalled, behind_nat) = (addr("10.0.0.5:4000"), addr("198.51.100.9:61000"));
    let mut pin = Pin::default();
    pin.signal(at(0), Some(signalled));
    assert!(pin.admit(at(1), behind_nat, SIGNALLING));
    pin.signal(at(50), Some(signalled));
    assert_eq!(pin.target(), Some(behind_nat));
    let rebound = addr("198.51.100.9:61999");
    assert!(pin.admit(at(60), rebound, SIGNALLING), "the window is open again");
    assert_eq!(pin.target(), Some(rebound));
    assert!(!pin.admit(at(70), behind_nat, SIGNALLING));
}

#[test]
fn a_silent_source_gives_way_to_the_signalled_address_and_to_no_other() {
    let (signalled, first) = (addr("203.0.113.10:4000"), addr("203.0.113.10:61000"));
    let mut pin = Pin::default();
    pin.signal(at(0), Some(signalled));
    for ms in [1, 21, 41, 61] {
        assert!(pin.admit(at(ms), first, SIGNALLING));
    }
    // Both ends sent at once: the NAT in between uses the opened port only now.
    for ms in [81, 101, 260] {
        assert!(!pin.admit(at(ms), signalled, SIGNALLING), "{ms} ms");
    }
    assert_eq!(pin.target(), Some(first));
    for other in ["203.0.113.10:4002", "203.0.113.11:4000", "198.51.100.9:4000"] {
        assert!(!pin.admit(at(261), addr(other), SIGNALLING), "{other}");
    }
    assert!(pin.admit(at(261), signalled, SIGNALLING));
    assert_eq!(pin.target(), Some(signalled));
    assert!(!pin.admit(at(262), first, SIGNALLING), "one source at a time");
    assert!(!pin.admit(at(90_000), first, SIGNALLING), "whom SDP names gives way to nobody");
}

#[test]
fn a_source_that_goes_on_speaking_keeps_its_place() {
    let (signalled, behind_nat) = (addr("203.0.113.10:4000"), addr("203.0.113.10:61000"));
    let mut pin = Pin::default();
    pin.signal(at(0), Some(signalled));
    // One packet in two is lost, each of 60 ms.
    for ms in (0..2000).step_by(120) {
        assert!(pin.admit(at(ms), behind_nat, SIGNALLING));
        assert!(!pin.admit(at(ms + 119), signalled, SIGNALLING));
    }
    assert_eq!(pin.target(), Some(behind_nat));
}
