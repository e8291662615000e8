//! What is said where nothing can be taken.

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
