//! The addresses that the system has now, as the kernel lists them (rtnetlink(7)).

use super::netlink::{DUMP, Message, Netlink, find};
use nix::libc;
use nix::sys::socket::SockProtocol;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

/// Bytes of `struct ifinfomsg` and of `struct ifaddrmsg`, which attributes follow.
const LINK_BODY: usize = 16;
const ADDRESS_BODY: usize = 8;
/// `IFLA_IFNAME`.
const NAME: u16 = 3;
/// `IFA_ADDRESS`: ours, but on a line between two points the other end's; `IFA_LOCAL`: ours.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// Flags of an address: duplicates are looked for, and it may be used all the same.
const TENTATIVE: u8 = 0x40;
const OPTIMISTIC: u8 = 0x04;

/// One address of the system.
pub(super) struct Held {
    pub(super) device: String,
    /// The device's number.
    pub(super) link: u32,
    pub(super) address: IpAddr,
    /// The device has a carrier.
    pub(super) carrier: bool,
}

/// Every address of a device that is up, but for link-local ones, which mean nothing without
/// their link, and IPv6 addresses that nothing can bind to yet.
pub(super) fn held() -> Vec<Held> {
    read().inspect_err(|error| log::debug!("no addresses are listed: {error}")).unwrap_or_default()
}

fn read() -> io::Result<Vec<Held>> {
    let netlink = Netlink::open(SockProtocol::NetlinkRoute)?;
    let links = netlink.ask(vec![Message::new(libc::RTM_GETLINK, DUMP, &[0; LINK_BODY])])?;
    let links: Vec<Link> = links.iter().filter_map(|body| link(body)).collect();
    let addresses = netlink.ask(vec![Message::new(libc::RTM_GETADDR, DUMP, &[0; ADDRESS_BODY])])?;
    let held = addresses.iter().filter_map(|body| {
        let (index, address) = address(body)?;
        let link = links.iter().find(|link| link.index == index && link.up)?;
        Some(Held { device: link.name.clone(), link: index, address, carrier: link.carrier })
    });
    Ok(held.collect())
}

struct Link {
    index: u32,
    name: String,
    up: bool,
    carrier: bool,
}

fn link(body: &[u8]) -> Option<Link> {
    let name = find(body.get(LINK_BODY..)?, NAME)?;
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let has = |flag: libc::c_int| Some(number(body, 8)? & flag as u32 != 0);
    Some(Link {
        index: number(body, 4)?,
        name: String::from_utf8_lossy(name).into_owned(),
        up: has(libc::IFF_UP)?,
        carrier: has(libc::IFF_RUNNING)?,
    })
}

/// The index of its link, and the address, where it can be used.
fn address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let flags = *body.get(2)?;
    let attributes = body.get(ADDRESS_BODY..)?;
    let bytes = find(attributes, LOCAL).or_else(|| find(attributes, ADDRESS))?;
    let address = match bytes.len() {
        4 => IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?),
        _ => IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?),
    };
    let usable = match address {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !is_link_local(ip) && flags & (TENTATIVE | OPTIMISTIC) != TENTATIVE,
    };
    usable.then_some((number(body, 4)?, address))
}

fn is_link_local(ip: Ipv6Addr) -> bool {
    ip.segments()[0] & 0xffc0 == 0xfe80
}

fn number(body: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(body.get(at..at + 4)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(flags: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0, 0, flags, 0];
        bytes.extend(7_u32.to_ne_bytes());
        for (kind, value) in attributes {
            bytes.extend((4 + value.len() as u16).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
        }
        bytes
    }

    #[test]
    fn of_a_line_between_two_points_our_end_counts() {
        let (ours, theirs) = ([192, 0, 2, 1], [192, 0, 2, 254]);
        let line = body(0, &[(ADDRESS, &theirs), (LOCAL, &ours)]);
        assert_eq!(address(&line), Some((7, ours.into())));
        assert_eq!(address(&body(0, &[(ADDRESS, &theirs)])), Some((7, theirs.into())));
        assert_eq!(address(&body(0, &[])), None);
        assert_eq!(address(&body(0, &[(LOCAL, &[1; 5])])), None);
        for len in 0..line.len() {
            let cut = address(&line[..len]);
            assert!(cut.is_none() || cut == Some((7, theirs.into())), "{len} bytes");
        }
    }

    #[test]
    fn an_ipv6_address_counts_once_something_can_bind_to_it() {
        let ip: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let with = |flags| address(&body(flags, &[(ADDRESS, &ip.octets())]));
        let ours = Some((7, IpAddr::V6(ip)));
        assert_eq!((with(0), with(0x80)), (ours, ours));
        assert_eq!((with(TENTATIVE), with(TENTATIVE | OPTIMISTIC)), (None, ours));
        let local: Ipv6Addr = "fe80::1".parse().unwrap();
        assert_eq!(address(&body(0, &[(ADDRESS, &local.octets())])), None);
    }

    #[test]
    fn the_kernel_lists_the_loopback_device() {
        let held = read().unwrap();
        let lo = held.iter().find(|held| held.device == "lo").unwrap();
        assert!(lo.address.is_loopback() && lo.carrier);
    }
}
