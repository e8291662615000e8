//! The sockets of interception: how they get what is meant for others, know whom it was meant for,
//! and speak in the name of those.

use crate::driver::conntrack;
use crate::driver::privileges::with_net_admin;
use crate::driver::requests::Io;
use crate::driver::sockets::{v4, v6};
use crate::net::{Capture, SocketId};
use nix::libc;
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrStorage, getsockopt, sendmsg, setsockopt, sockopt,
};
use std::io::{self, IoSlice};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

impl Io {
    /// Our address of an accepted connection; where it is intercepted, whom it was meant for.
    pub(in crate::driver) fn local_of(
        &self,
        on: SocketId,
        stream: &TcpStream,
    ) -> io::Result<SocketAddr> {
        let local = stream.local_addr()?;
        if !self.interceptor.redirects(on) {
            return Ok(local);
        }
        Ok(match local {
            SocketAddr::V4(_) => v4(getsockopt(stream, sockopt::OriginalDst)?),
            SocketAddr::V6(_) => v6(getsockopt(stream, sockopt::Ip6tOriginalDst)?),
        })
    }
}

/// Makes a socket ready to get what is meant for others, or (tproxy) to speak in their name.
pub(in crate::driver) fn prepare(
    io: &UdpSocket,
    method: Capture,
    local: SocketAddr,
) -> io::Result<()> {
    if method == Capture::Tproxy {
        // The kernel takes it for IPv6 sockets too.
        setsockopt(io, sockopt::IpTransparent, &true)?;
    }
    match local {
        SocketAddr::V4(_) => setsockopt(io, sockopt::Ipv4OrigDstAddr, &true)?,
        SocketAddr::V6(_) => {
            setsockopt(io, sockopt::Ipv6V6Only, &true)?;
            setsockopt(io, sockopt::Ipv6OrigDstAddr, &true)?;
        }
    }
    Ok(())
}

/// Whom a datagram from `from` was meant for that was redirected to `to`; `to` itself where it was
/// not, or the kernel has forgotten that.
pub(in crate::driver) fn redirected(from: SocketAddr, to: SocketAddr) -> SocketAddr {
    let original = with_net_admin(|| conntrack::original(from, to));
    original.inspect_err(|error| log::debug!("{from}: was not redirected: {error}")).unwrap_or(to)
}

/// Sends a datagram in another host's name, from the socket's port.
pub(in crate::driver) fn send_as(
    io: &UdpSocket,
    from: IpAddr,
    to: SocketAddr,
    data: &[u8],
) -> io::Result<usize> {
    let (parts, to) = ([IoSlice::new(data)], SockaddrStorage::from(to));
    let send = |control: ControlMessage<'_>| {
        sendmsg(io.as_raw_fd(), &parts, &[control], MsgFlags::empty(), Some(&to))
    };
    let sent = match from {
        IpAddr::V4(ip) => send(ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
            ipi_addr: libc::in_addr { s_addr: 0 },
        })),
        IpAddr::V6(ip) => send(ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
            ipi6_ifindex: 0,
        })),
    };
    Ok(sent?)
}
