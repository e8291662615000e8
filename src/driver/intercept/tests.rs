//! What is said where nothing can be taken, and which flows are taken over.

use super::*;

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    for (errno, may, wanted) in [
        (Errno::EPERM, false, "run cosip as root, or with CAP_NET_ADMIN"),
        (Errno::EPERM, true, "another process owns the table inet cosip"),
        (Errno::ENOENT, true, "install kmod-nft-tproxy or kmod-nft-nat"),
        (Errno::EIO, true, "set option intercept 0"),
    ] {
        let told = advice(&errno.into(), may);
        assert!(told.contains(wanted), "{told}");
    }
}

#[test]
fn flows_that_begin_or_end_here_are_left_alone() {
    let flow = |from: &str, to: &str| Tracked {
        protocol: UDP,
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        helped: false,
    };
    let own = ["192.168.1.1".parse().unwrap(), "203.0.113.1".parse().unwrap()];
    let phone = "192.168.1.10:5060";
    for (from, to, taken) in [
        (phone, "198.51.100.1:5060", true),
        (phone, "192.168.1.1:5060", false),
        ("203.0.113.1:5062", "198.51.100.1:5060", false),
        ("127.0.0.1:5060", "127.0.0.2:5060", false),
    ] {
        assert_eq!(passes(&flow(from, to), &own), taken, "{from} to {to}");
    }
}
