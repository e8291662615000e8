//! Where the kernel would send what is for a host, as its tables of routes say (rtnetlink(7)).

use super::netlink::{Message, Netlink, find};
use nix::libc;
use nix::sys::socket::SockProtocol;
use std::net::{IpAddr, Ipv4Addr};

/// Bytes of `struct rtmsg`.
const HEAD: usize = 12;
/// Where in it the type of the route is.
const TYPE: usize = 7;
/// A next hop of another family; libc does not name it for every C library.
const RTA_VIA: u16 = 18;
/// Bytes of a `struct rtvia` before its address.
const VIA_HEAD: usize = 2;
/// Somewhere outside: where whoever answers PCP is asked, if nobody nearer is known (RFC 7723 s3).
const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 0, 9));

/// The first step of a way to a host that is neither ourselves nor a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hop {
    /// The link that it goes over.
    pub(super) link: u32,
    /// The router that it goes to. None: the host is on the link itself.
    pub(super) router: Option<IpAddr>,
}

/// The first step of the way to a host, over this link alone where one is named.
pub(super) fn hop(netlink: &Netlink, host: IpAddr, over: Option<u32>) -> Option<Hop> {
    let bits = if host.is_ipv4() { 32 } else { 128 };
    let mut head = [0; HEAD];
    (head[0], head[1]) = (family(host), bits);
    let question = Message::new(libc::RTM_GETROUTE, 0, &head).address(libc::RTA_DST, host);
    let question = match over {
        Some(link) => question.put(libc::RTA_OIF, &link.to_ne_bytes()),
        None => question,
    };
    read(netlink.ask(vec![question]).ok()?.first()?)
}

/// The router that leads outside over one of these links: the one that the kernel prefers.
pub(super) fn gateway(links: &[u32]) -> Option<IpAddr> {
    let netlink = Netlink::open(SockProtocol::NetlinkRoute).ok()?;
    let ways = core::iter::once(None).chain(links.iter().copied().map(Some));
    ways.filter_map(|over| hop(&netlink, OUTSIDE, over))
        .find_map(|hop| hop.router.filter(|_| links.contains(&hop.link)))
}

/// The family of an address, as netlink names it.
pub(super) fn family(host: IpAddr) -> u8 {
    (if host.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }) as u8
}

fn read(route: &[u8]) -> Option<Hop> {
    let attributes = route.get(HEAD..)?;
    if route.get(TYPE) != Some(&libc::RTN_UNICAST) {
        return None;
    }
    let link = u32::from_ne_bytes(find(attributes, libc::RTA_OIF)?.try_into().ok()?);
    let via = find(attributes, RTA_VIA).map(|via| via.get(VIA_HEAD..).unwrap_or_default());
    let router = match find(attributes, libc::RTA_GATEWAY).or(via) {
        Some(address) => Some(ip(address)?),
        None => None,
    };
    Some(Hop { link, router })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(kind: u8, attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut head = [0; HEAD];
        head[TYPE] = kind;
        let message = Message::new(libc::RTM_NEWROUTE, 0, &head);
        let message = attributes.iter().fold(message, |m, (kind, value)| m.put(*kind, value));
        message.body().to_vec()
    }

    #[test]
    fn a_route_names_its_link_and_the_router_that_it_leads_to() {
        let link = 7_u32.to_ne_bytes();
        let to: &[u8] = &[192, 168, 1, 20];
        let v6: IpAddr = "fe80::1".parse().unwrap();
        let IpAddr::V6(octets) = v6 else { unreachable!() };
        let via: Vec<u8> = [10, 0].into_iter().chain(octets.octets()).collect();
        let read = |attributes: &[(u16, &[u8])]| read(&route(libc::RTN_UNICAST, attributes));
        let hop = |router| Some(Hop { link: 7, router });
        assert_eq!(read(&[(libc::RTA_DST, to), (libc::RTA_OIF, &link)]), hop(None));
        let far = read(&[(libc::RTA_OIF, &link), (libc::RTA_GATEWAY, &[192, 168, 1, 1])]);
        assert_eq!(far, hop(Some([192, 168, 1, 1].into())));
        assert_eq!(read(&[(libc::RTA_OIF, &link), (RTA_VIA, &via)]), hop(Some(v6)));
        assert_eq!(read(&[(libc::RTA_OIF, &link), (RTA_VIA, &[1])]), None);
        assert_eq!(read(&[]), None);
    }

    #[test]
    fn what_is_for_ourselves_takes_no_step() {
        let link = 1_u32.to_ne_bytes();
        assert_eq!(read(&route(libc::RTN_LOCAL, &[(libc::RTA_OIF, &link)])), None);
        assert_eq!(read(&[]), None);
        let netlink = Netlink::open(SockProtocol::NetlinkRoute).unwrap();
        assert_eq!(hop(&netlink, [127, 0, 0, 1].into(), None), None);
    }

    /// What `ip route get` says of the machine that the tests run on.
    #[test]
    fn the_gateway_is_the_kernels_choice_and_over_the_wan_alone() {
        let netlink = Netlink::open(SockProtocol::NetlinkRoute).unwrap();
        assert_eq!(gateway(&[]), None);
        let Some(outside) = hop(&netlink, OUTSIDE, None) else { return };
        assert_eq!(gateway(&[outside.link]), outside.router);
        assert_eq!(gateway(&[u32::MAX]), None);
    }
}
