//! Hardware addresses of neighbours, as the kernel's tables of routes and neighbours have them
//! (rtnetlink(7)).
//!
//! Two questions: which link leads to a host, and what that link knows of it. A host behind
//! another router is no neighbour. The kernel answers within the call that asks; a neighbour that
//! it does not know yet (one that remembers our address, and we were restarted) is sent an empty
//! datagram, and the kernel looks for it.

use super::netlink::{self, Message, Netlink};
use super::reactor::{Happening, Reactor};
use super::routes;
use crate::net::{Mac, Ticket};
use crate::time::Duration;
use nix::libc;
use nix::sys::socket::SockProtocol;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::rc::Rc;

/// Bytes of `struct ndmsg`, and where in it the link is.
const HEAD: usize = 12;
const LINK: core::ops::Range<usize> = 4..8;

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
    let Ok(netlink) = Netlink::open(SockProtocol::NetlinkRoute) else { return Found::Elsewhere };
    let Some(routes::Hop { link, router: None }) = routes::hop(&netlink, host, None) else {
        return Found::Elsewhere;
    };
    let known = netlink.ask(vec![question(host, link)]).unwrap_or_default();
    known.first().and_then(|known| mac_in(known)).map_or(Found::Unknown, Found::Known)
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

fn question(host: IpAddr, link: u32) -> Message {
    let mut head = [0; HEAD];
    head[0] = routes::family(host);
    head[LINK].copy_from_slice(&link.to_ne_bytes());
    Message::new(libc::RTM_GETNEIGH, 0, &head).address(libc::NDA_DST, host)
}

fn mac_in(neighbour: &[u8]) -> Option<Mac> {
    let value = netlink::find(neighbour.get(HEAD..)?, libc::NDA_LLADDR)?;
    let mac: [u8; 6] = value.try_into().ok()?;
    // The loopback interface has this one.
    (mac != [0; 6]).then_some(Mac(mac))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let message = Message::new(libc::RTM_NEWNEIGH, 0, &[0; HEAD]);
        let message = attributes.iter().fold(message, |m, (kind, value)| m.put(*kind, value));
        message.body().to_vec()
    }

    #[test]
    fn a_mac_is_six_bytes_that_are_not_all_zero() {
        let mac = [2, 0, 0x5e, 0x10, 0, 1];
        let known = message(&[(9, &[1]), (libc::NDA_LLADDR, &mac)]);
        assert_eq!(mac_in(&known), Some(Mac(mac)));
        assert_eq!(mac_in(&message(&[(libc::NDA_LLADDR, &[0; 6])])), None);
        assert_eq!(mac_in(&message(&[(libc::NDA_LLADDR, &[1; 20])])), None, "InfiniBand");
        // The last value's padding carries nothing.
        for len in 0..known.len() - 2 {
            assert_eq!(mac_in(&known[..len]), None);
        }
    }

    #[test]
    fn we_are_no_neighbour_of_ours() {
        assert_eq!(find(IpAddr::from([127, 0, 0, 1])), Found::Elsewhere);
    }
}
