//! The policy of routes that brings marked packets to a socket of this router, whatever address
//! they are for: a rule and a table of routes in each family (rtnetlink(7)).

use super::netlink::{ACK, CREATE, EXCLUSIVE, Message, Netlink};
use super::nft::MARK;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::SockProtocol;
use std::io;

/// The number of the table of routes, and the rule's place: after the router's own addresses
/// (0), before those of packages that choose between uplinks.
const TABLE: u32 = 5060;
const PLACE: u32 = 60;
/// The loopback device is the first of every system.
const LOOPBACK: u32 = 1;
/// `FR_ACT_TO_TBL`.
const LOOK_UP: u8 = 1;
/// Attributes of a rule: `FRA_PRIORITY`, `FRA_FWMARK`, `FRA_TABLE`, `FRA_FWMASK`.
const RULE_PLACE: u16 = 6;
const RULE_MARK: u16 = 10;
const RULE_TABLE: u16 = 15;
const RULE_MASK: u16 = 16;

/// Sets the policy for a family, where it does not stand already.
pub(super) fn set(ipv4: bool) -> io::Result<()> {
    let netlink = Netlink::open(SockProtocol::NetlinkRoute)?;
    for message in messages(ipv4, [libc::RTM_NEWROUTE, libc::RTM_NEWRULE], CREATE | EXCLUSIVE) {
        match netlink.ask(vec![message]) {
            Err(error) if error.raw_os_error() != Some(Errno::EEXIST as i32) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Removes what [`set`] has set.
pub(super) fn remove() {
    let Ok(netlink) = Netlink::open(SockProtocol::NetlinkRoute) else { return };
    for ipv4 in [true, false] {
        for message in messages(ipv4, [libc::RTM_DELROUTE, libc::RTM_DELRULE], 0) {
            // What was not set is not there.
            let _ = netlink.ask(vec![message]);
        }
    }
}

fn messages(ipv4: bool, [route, rule]: [u16; 2], flags: u16) -> [Message; 2] {
    let family = (if ipv4 { libc::AF_INET } else { libc::AF_INET6 }) as u8;
    let flags = flags | ACK;
    let (protocol, scope, local) = (libc::RTPROT_STATIC, libc::RT_SCOPE_HOST, libc::RTN_LOCAL);
    // Family, lengths of the prefixes, type of service, then the table's own attribute.
    let route =
        Message::new(route, flags, &[family, 0, 0, 0, 0, protocol, scope, local, 0, 0, 0, 0])
            .put(libc::RTA_TABLE, &TABLE.to_ne_bytes())
            .put(libc::RTA_OIF, &LOOPBACK.to_ne_bytes());
    let rule = Message::new(rule, flags, &[family, 0, 0, 0, 0, 0, 0, LOOK_UP, 0, 0, 0, 0])
        .put(RULE_PLACE, &PLACE.to_ne_bytes())
        .put(RULE_MARK, &MARK.to_ne_bytes())
        .put(RULE_MASK, &MARK.to_ne_bytes())
        .put(RULE_TABLE, &TABLE.to_ne_bytes());
    [route, rule]
}
