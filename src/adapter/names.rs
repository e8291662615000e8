//! The names under which the adapter appears in SIP messages, on each of its three sides.
//!
//! Towards phones it is its LAN address, towards the provider one ordinary phone behind its WAN
//! address, and on the overlay `<id>.cosip.invalid`, a name that never leaves the channel.

use crate::net::{NodeId, Via};
use crate::sip::Uri;
use crate::sip::transaction::Flow;
use core::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What the names of adapters end in (RFC 2606: `invalid` never resolves).
pub(crate) const OVERLAY_SUFFIX: &str = ".cosip.invalid";

/// One of the three sides that a message comes from or goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Path {
    /// A phone on the LAN.
    Lan,
    /// The provider's server, over the WAN.
    Server,
    /// Another adapter, through the channel.
    Peer(NodeId),
}

/// The adapter's own end of a message's way: what Via, Contact and Record-Route name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Local {
    /// An address and whether it is reached over TCP.
    Socket { address: SocketAddr, tcp: bool },
    /// Our place in the overlay.
    Overlay(NodeId),
}

impl Local {
    /// `host` or `host:port` as in a URI.
    pub(crate) fn host(&self) -> Host<'_> {
        Host(self)
    }

    /// The transport as Via writes it (RFC 3261 s20.42).
    pub(crate) fn transport(&self) -> &'static str {
        match self {
            Self::Socket { tcp: true, .. } => "TCP",
            _ => "UDP",
        }
    }

    /// The URI parameter that a Contact or Route over this transport needs.
    pub(crate) fn parameter(&self) -> &'static str {
        match self {
            Self::Socket { tcp: true, .. } => ";transport=tcp",
            _ => "",
        }
    }
}

/// Displays [`Local`] as the host part of a URI.
pub(crate) struct Host<'a>(&'a Local);

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Local::Socket { address, .. } => write!(f, "{address}"),
            Local::Overlay(id) => write!(f, "{id}{OVERLAY_SUFFIX}"),
        }
    }
}

/// Reads the host of a URI of another adapter back.
pub(crate) fn node_of_host(host: &str) -> Option<NodeId> {
    hex_bytes(host.strip_suffix(OVERLAY_SUFFIX)?).map(NodeId)
}

/// Reads 32 hexadecimal digits.
pub(crate) fn hex_bytes(hex: &str) -> Option<[u8; 16]> {
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    let mut bytes = [0; 16];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// The address that a URI's host names literally.
pub(crate) fn uri_address(uri: &str) -> Option<IpAddr> {
    Uri::parse(uri).ok()?.host_ip()
}

/// The user part of a URI, as it is written; empty where it has none.
pub(crate) fn uri_user(uri: &str) -> &str {
    Uri::parse(uri).map_or("", |uri| uri.user)
}

/// The adapter that a URI's host names.
pub(crate) fn uri_node(uri: &str) -> Option<NodeId> {
    node_of_host(Uri::parse(uri).ok()?.host)
}

/// The flow of the channel to another adapter; it has no address of its own.
pub(crate) fn peer_flow(node: NodeId) -> Flow {
    Flow { via: Via::Peer(node), to: (Ipv4Addr::UNSPECIFIED, 0).into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlay_names_are_read_back_and_others_are_not() {
        let id = NodeId([0xa5; 16]);
        let local = Local::Overlay(id);
        assert_eq!(node_of_host(&local.host().to_string()), Some(id));
        assert_eq!(node_of_host("example.net"), None);
        assert_eq!(node_of_host("xyz.cosip.invalid"), None);
        let odd = format!("{}.cosip.invalid", "ä".repeat(16));
        assert_eq!(node_of_host(&odd), None);
    }

    #[test]
    fn ipv6_hosts_carry_brackets() {
        let address = "[2001:db8::1]:5062".parse().unwrap();
        let local = Local::Socket { address, tcp: true };
        assert_eq!(local.host().to_string(), "[2001:db8::1]:5062");
        assert_eq!(local.parameter(), ";transport=tcp");
    }
}
