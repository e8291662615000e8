//! Hardware addresses of neighbours, as the kernel's tables of routes and neighbours have them
//! (rtnetlink(7)).
//!
//! Two questions: which link leads to a host, and what that link knows of it. A host behind
//! another router is no neighbour. The kernel answers within the call that asks; a neighbour that
//! it does not know yet (one that remembers our address, and we were restarted) is sent an empty
//! datagram, and the kernel looks for it.

use super::reactor::{Happening, Reactor};
use crate::net::{Mac, Ticket};
use crate::time::Duration;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, recv, sendto, socket,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

/// `RTM_GETROUTE` and its answer, `RTM_NEWROUTE`.
const GET_ROUTE: u16 = 26;
const NEW_ROUTE: u16 = 24;
/// `RTM_GETNEIGH` and its answer, `RTM_NEWNEIGH`.
const GET_NEIGHBOUR: u16 = 30;
const NEW_NEIGHBOUR: u16 = 28;
/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// Attributes of a route: `RTA_DST`, `RTA_OIF`, `RTA_GATEWAY`, `RTA_VIA`.
const ROUTE_DESTINATION: u16 = 1;
const ROUTE_LINK: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;
const ROUTE_VIA: u16 = 18;
/// Attributes of a neighbour: `NDA_DST`, `NDA_LLADDR`.
const NEIGHBOUR_ADDRESS: u16 = 1;
const NEIGHBOUR_MAC: u16 = 2;
/// A route to a host that is neither ourselves nor a group: `RTN_UNICAST`.
const UNICAST: u8 = 1;
/// Bytes of `struct nlmsghdr`, and of `struct rtmsg` and `struct ndmsg`, which are as long.
const HEAD: usize = 16;
const BODY: usize = 12;

/// Where datagrams are thrown away (RFC 863).
const DISCARD_PORT: u16 = 9;
/// How often, and how long after each other, the kernel is asked for a neighbour that it looks for.
const TRIES: u32 = 4;
const TRY: Duration = Duration::from_millis(50);

/// What the kernel knows of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A neighbour with this address.
    Known(Mac),
    /// It is on one of our links, and nothing else is known.
    Unknown,
    /// It is no neighbour.
    Elsewhere,
}

/// Looks a host up in the kernel's tables.
pub(super) fn find(host: IpAddr) -> Found {
    let host = host.to_canonical();
    let Some(fd) = open() else { return Found::Elsewhere };
    let route = ask(&fd, &route_question(host), NEW_ROUTE);
    let Some(link) = route.as_deref().and_then(link_to) else { return Found::Elsewhere };
    let neighbour = ask(&fd, &neighbour_question(host, link), NEW_NEIGHBOUR);
    neighbour.as_deref().and_then(mac_in).map_or(Found::Unknown, Found::Known)
}

/// Has the kernel look for a neighbour that it does not know, and reports it under `ticket`.
pub(super) async fn look_for(reactor: Rc<Reactor>, ticket: Ticket, host: IpAddr) {
    let any: IpAddr = match host {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let knocked = UdpSocket::bind((any, 0)).and_then(|s| s.send_to(&[], (host, DISCARD_PORT)));
    let mut mac = None;
    for _ in 0..TRIES {
        if knocked.is_err() || mac.is_some() {
            break;
        }
        reactor.sleep(TRY).await;
        mac = match find(host) {
            Found::Known(mac) => Some(mac),
            Found::Unknown | Found::Elsewhere => None,
        };
    }
    reactor.report(Happening::Neighbour(ticket, mac));
}

fn open() -> Option<OwnedFd> {
    let netlink = SockProtocol::NetlinkRoute;
    socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, netlink).ok()
}

/// The body and the attributes of the kernel's answer.
fn ask(fd: &OwnedFd, question: &[u8], wanted: u16) -> Option<Vec<u8>> {
    let kernel = NetlinkAddr::new(0, 0);
    sendto(fd.as_raw_fd(), question, &kernel, MsgFlags::empty()).ok()?;
    let mut buf = [0; 2048];
    let len = recv(fd.as_raw_fd(), &mut buf, MsgFlags::MSG_DONTWAIT).ok()?;
    let answer = buf.get(..len)?;
    let kind = u16::from_ne_bytes(answer.get(4..6)?.try_into().ok()?);
    (kind == wanted).then(|| answer.get(HEAD..).map(<[u8]>::to_vec))?
}

fn route_question(host: IpAddr) -> Vec<u8> {
    let bits = if host.is_ipv4() { 32 } else { 128 };
    let mut body = [0; BODY];
    (body[0], body[1]) = (family(host), bits);
    question(GET_ROUTE, &body, ROUTE_DESTINATION, host)
}

fn neighbour_question(host: IpAddr, link: u32) -> Vec<u8> {
    let mut body = [0; BODY];
    body[0] = family(host);
    body[4..8].copy_from_slice(&link.to_ne_bytes());
    question(GET_NEIGHBOUR, &body, NEIGHBOUR_ADDRESS, host)
}

fn family(host: IpAddr) -> u8 {
    let family = if host.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    family as u8
}

fn question(kind: u16, body: &[u8; BODY], attribute: u16, host: IpAddr) -> Vec<u8> {
    let address = match host {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let attribute_len = 4 + address.len();
    let len = HEAD + BODY + attribute_len;
    let mut bytes = (len as u32).to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(REQUEST.to_ne_bytes());
    // Sequence number and port: one question is open at a time.
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes.extend((attribute_len as u16).to_ne_bytes());
    bytes.extend(attribute.to_ne_bytes());
    bytes.extend(address);
    bytes
}

/// The link that a route leads over; none where it leads to another router, or to ourselves.
fn link_to(route: &[u8]) -> Option<u32> {
    if route.get(7) != Some(&UNICAST) {
        return None;
    }
    let find = |wanted| attributes(route).find(|(kind, _)| *kind == wanted).map(|(_, value)| value);
    if find(ROUTE_GATEWAY).or_else(|| find(ROUTE_VIA)).is_some() {
        return None;
    }
    Some(u32::from_ne_bytes(find(ROUTE_LINK)?.try_into().ok()?))
}

fn mac_in(neighbour: &[u8]) -> Option<Mac> {
    let (_, value) = attributes(neighbour).find(|(kind, _)| *kind == NEIGHBOUR_MAC)?;
    let mac: [u8; 6] = value.try_into().ok()?;
    // The loopback interface has this one.
    (mac != [0; 6]).then_some(Mac(mac))
}

/// The attributes after a message's body: kind and value, each at a multiple of four bytes.
fn attributes(message: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = message.get(BODY..).unwrap_or_default();
    core::iter::from_fn(move || {
        let len = usize::from(u16::from_ne_bytes(rest.get(..2)?.try_into().ok()?));
        let kind = u16::from_ne_bytes(rest.get(2..4)?.try_into().ok()?);
        let value = rest.get(4..len)?;
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; BODY];
        for (kind, value) in attributes {
            bytes.extend((4 + value.len() as u16).to_ne_bytes());
            bytes.extend(kind.to_ne_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn a_route_over_another_router_leads_to_no_neighbour() {
        let link = 7_u32.to_ne_bytes();
        let unicast = |attributes: &[(u16, &[u8])]| {
            let mut bytes = message(attributes);
            bytes[7] = UNICAST;
            bytes
        };
        let near = unicast(&[(ROUTE_DESTINATION, &[192, 168, 1, 20]), (ROUTE_LINK, &link)]);
        assert_eq!(link_to(&near), Some(7));
        for gateway in [ROUTE_GATEWAY, ROUTE_VIA] {
            let far = unicast(&[(ROUTE_LINK, &link), (gateway, &[192, 168, 1, 1])]);
            assert_eq!(link_to(&far), None);
        }
        assert_eq!(link_to(&unicast(&[])), None);
        assert_eq!(link_to(&message(&[(ROUTE_LINK, &link)])), None, "ourselves");
        assert_eq!(link_to(&[]), None);
    }

    #[test]
    fn a_mac_is_six_bytes_that_are_not_all_zero() {
        let mac = [2, 0, 0x5e, 0x10, 0, 1];
        let known = message(&[(9, &[1]), (NEIGHBOUR_MAC, &mac)]);
        assert_eq!(mac_in(&known), Some(Mac(mac)));
        assert_eq!(mac_in(&message(&[(NEIGHBOUR_MAC, &[0; 6])])), None);
        assert_eq!(mac_in(&message(&[(NEIGHBOUR_MAC, &[1; 20])])), None, "InfiniBand");
        // The last value's padding carries nothing.
        for len in 0..known.len() - 2 {
            assert_eq!(mac_in(&known[..len]), None);
        }
    }

    #[test]
    fn the_kernel_understands_the_question_and_we_are_no_neighbour_of_ours() {
        let host = IpAddr::from([127, 0, 0, 1]);
        let route = ask(&open().unwrap(), &route_question(host), NEW_ROUTE).unwrap();
        assert!(attributes(&route).any(|(kind, _)| kind == ROUTE_LINK));
        assert_eq!(find(host), Found::Elsewhere);
    }
}
