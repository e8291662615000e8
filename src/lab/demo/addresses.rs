//! Who has which address: on the loopback network, or on hosts of their own.

use super::Error;
use crate::lab::hosts::Host;
use core::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

const SIP_PORT: u16 = 5060;
const WAN_SIP_PORT: u16 = 5062;
const OVERLAY_PORT: u16 = 5070;

/// The addresses of everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::lab) enum Addresses {
    /// One /16 of the loopback network, so that runs do not disturb each other.
    Loopback(u8),
    /// A host for each router and for each home's phones. The homes all use 192.168.1.0/24, as
    /// homes do; the provider and the routers' far sides are in 203.0.113.0/24.
    Hosts,
}

impl Addresses {
    /// The first of the /16 networks, from `start` on, where nobody serves SIP.
    pub(in crate::lab) fn find(start: u32) -> Result<Self, Error> {
        for at in 0..200 {
            let net = Self::Loopback(1 + ((start + at) % 250) as u8);
            if std::net::UdpSocket::bind(net.server()).is_ok() {
                return Ok(net);
            }
        }
        Err(Error::new("no free addresses in 127.0.0.0/8".to_owned(), "200 tried"))
    }

    /// Makes the hosts of `routers` and of their homes, and the network between them. The
    /// provider is on the host that the program is on.
    pub(in crate::lab) fn make_hosts(routers: &[u8]) -> Result<Self, Error> {
        let failed = |error| Error::new("cannot make the network".to_owned(), error);
        let server = Self::Hosts.server().ip();
        let mut lines = format!(
            "link set lo up\nlink add internet type bridge\nlink set internet up\n\
             address add {server}/24 dev internet\n"
        );
        for router in routers {
            // Writing to a String does not fail.
            let _ = write!(
                lines,
                "netns add router-{router}\nnetns add home-{router}\n\
                 link add wan-{router} type veth peer name wan netns router-{router}\n\
                 link set wan-{router} master internet\nlink set wan-{router} up\n\
                 link add lan-{router} type veth peer name lan netns router-{router}\n\
                 link set lan-{router} netns home-{router}\n"
            );
        }
        Host::this().ip(&lines).map_err(failed)?;
        for router in routers {
            let (lan, wan) = (Self::Hosts.lan(*router), Self::Hosts.wan(*router));
            let lines = format!(
                "link set lo up\nlink set wan up\nlink set lan up\n\
                 address add {wan}/24 dev wan\naddress add {lan}/24 dev lan\n"
            );
            Self::Hosts.router_host(*router).ip(&lines).map_err(failed)?;
            let mut lines = format!("link set lo up\nlink set lan-{router} up\n");
            for number in 0..64 {
                let phone = Self::Hosts.phone(*router, number);
                let _ = writeln!(lines, "address add {phone}/24 dev lan-{router}");
            }
            let _ = writeln!(lines, "route add default via {lan}");
            Self::Hosts.home_host(*router).ip(&lines).map_err(failed)?;
        }
        Ok(Self::Hosts)
    }

    /// The host that a router is on.
    pub(in crate::lab) fn router_host(self, router: u8) -> Host {
        self.host(|| format!("router-{router}"))
    }

    /// The host that the phones behind a router are on.
    pub(in crate::lab) fn home_host(self, router: u8) -> Host {
        self.host(|| format!("home-{router}"))
    }

    fn host(self, name: impl FnOnce() -> String) -> Host {
        match self {
            Self::Loopback(_) => Host::this(),
            Self::Hosts => Host::named(name()),
        }
    }

    /// The provider's server.
    pub(in crate::lab) fn server(self) -> SocketAddr {
        let address = match self {
            Self::Loopback(net) => Ipv4Addr::new(127, net, 0, 10),
            Self::Hosts => Ipv4Addr::new(203, 0, 113, 10),
        };
        SocketAddr::from((address, SIP_PORT))
    }

    /// A router's address in its home.
    pub(in crate::lab) fn lan(self, router: u8) -> IpAddr {
        IpAddr::V4(match self {
            Self::Loopback(net) => Ipv4Addr::new(127, net, router, 1),
            Self::Hosts => Ipv4Addr::new(192, 168, 1, 1),
        })
    }

    /// A router's address towards the provider, at first.
    pub(in crate::lab) fn wan(self, router: u8) -> IpAddr {
        IpAddr::V4(match self {
            Self::Loopback(net) => Ipv4Addr::new(127, net, router, 2),
            Self::Hosts => Ipv4Addr::new(203, 0, 113, 100 + router),
        })
    }

    /// Where a router's phone sends SIP to.
    pub(in crate::lab) fn proxy(self, router: u8) -> SocketAddr {
        SocketAddr::new(self.lan(router), SIP_PORT)
    }

    /// The address of a phone behind a router.
    pub(in crate::lab) fn phone(self, router: u8, number: u8) -> IpAddr {
        IpAddr::V4(match self {
            Self::Loopback(net) => Ipv4Addr::new(127, net, router, 10 + number),
            Self::Hosts => Ipv4Addr::new(192, 168, 1, 10 + number),
        })
    }

    /// A router's options that name networks and ports, as lines of the configuration.
    pub(super) fn options(self, router: u8) -> String {
        let (lan, wan) = match self {
            Self::Loopback(_) => (self.lan(router).to_string(), self.wan(router).to_string()),
            // By name, so that an address may change.
            Self::Hosts => ("lan".to_owned(), "wan".to_owned()),
        };
        format!(
            "\tlist lan '{lan}'\n\
             \tlist wan '{wan}'\n\
             \toption sip_port '{SIP_PORT}'\n\
             \toption wan_sip_port '{WAN_SIP_PORT}'\n"
        )
    }

    /// The overlay's port, and the router to join by, as lines of the configuration.
    pub(super) fn overlay_options(self, seed: Option<u8>) -> String {
        let mut lines = format!("\toption port '{OVERLAY_PORT}'\n");
        if let Some(seed) = seed {
            // Writing to a String does not fail.
            let _ = writeln!(lines, "\tlist bootstrap '{}:{OVERLAY_PORT}'", self.wan(seed));
        }
        lines
    }
}
