//! Takes what phones send to SIP servers, so that no phone has to know of the router.
//!
//! First choice is tproxy: transparent sockets on the loopback addresses, one for each port, to
//! which the table of [`super::nft`] and the policy of [`super::policy`] bring what is meant for
//! others; answers leave in the name of those. Where the kernel lacks it, or a socket cannot be
//! had, destinations are redirected to a port of the kernel's choice, and its connection tracking
//! tells what they were.
//!
//! Everything here that needs CAP_NET_ADMIN runs inside [`with_net_admin`].

use super::conntrack::{self, Tracked};
use super::netlink::Netlink;
use super::network;
use super::nft::{self, Taken};
use super::policy;
use super::privileges::{has_net_admin, with_net_admin};
use super::requests::Io;
use super::sockets::{v4, v6};
use super::streams;
use crate::limits::{INTERCEPTION_RETRY, INTERCEPTION_SURVEY, OVER_TLS_MAX};
use crate::net::{Capture, Capturing, Interception, Rules, SocketId};
use crate::time::Instant;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockProtocol, SockaddrStorage, getsockopt, sendmsg, setsockopt,
    sockopt,
};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

/// SIP over TLS (RFC 3261 s19.1.2).
const TLS_PORT: u16 = 5061;
const UDP: u8 = libc::IPPROTO_UDP as u8;
const TCP: u8 = libc::IPPROTO_TCP as u8;

/// What is taken now.
#[derive(Default)]
pub(super) struct Interceptor {
    /// The socket that the table belongs to; none: nothing is taken.
    table: Option<Netlink>,
    ports: Vec<u16>,
    devices: Vec<String>,
    families: [bool; 2],
    taken: Vec<Taken>,
    told: Interception,
    surveyed: Option<Instant>,
    /// What a daemon may have left that was killed is gone.
    swept: bool,
    /// What has failed is not tried again before this: the kernel looks for modules each time.
    retry_at: Option<Instant>,
}

impl Io {
    /// Does what rules ask for, or mends it; tells how things stand.
    pub(super) fn apply(&mut self, rules: Option<Rules>) -> Interception {
        let Some(rules) = rules else {
            self.take_down();
            return Interception::default();
        };
        let (devices, families) = (self.networks.lan_devices(), self.networks.lan_families());
        let now = &self.interceptor;
        let same = (&now.ports, &now.devices, now.families) == (&rules.ports, &devices, families);
        let stands = now.table.as_ref().is_some_and(|table| with_net_admin(|| nft::stands(table)));
        let now = self.reactor.now();
        if same && stands {
            self.keep_policy();
        } else if !same || self.interceptor.retry_at.is_none_or(|at| now >= at) {
            self.interceptor.retry_at = Some(now + INTERCEPTION_RETRY);
            self.take_down();
            let before = (rules.ports, devices, families);
            (self.interceptor.ports, self.interceptor.devices, self.interceptor.families) = before;
            self.put_up();
        }
        self.survey();
        self.interceptor.told.clone()
    }

    fn keep_policy(&mut self) {
        if self.interceptor.told.method == Some(Capture::Tproxy)
            && let Err(error) = with_net_admin(|| set_policy(self.interceptor.families))
        {
            log::warn!("interception: the policy of routes: {error}");
        }
    }

    fn put_up(&mut self) {
        let outcome = match self.interceptor.devices.is_empty() {
            true => Err("the LAN side has no device of its own: name it by option lan".to_owned()),
            false => self.put_up_by(Capture::Tproxy).or_else(|why| {
                log::debug!("interception: tproxy: {why}");
                self.close_interceptors();
                with_net_admin(policy::remove);
                // Without it nobody would know where a redirected datagram was going.
                with_net_admin(conntrack::can_be_asked).map_err(|error| {
                    let tproxy = "kmod-nft-tproxy, or kmod-nf-conntrack-netlink";
                    format!("tproxy: {why}; connection tracking: {error}; install {tproxy}")
                })?;
                let redirected = self.put_up_by(Capture::Redirect);
                redirected.map_err(|error| advice(&error, has_net_admin()))
            }),
        };
        let before = self.interceptor.told.problem.take();
        match outcome {
            Ok(method) => {
                (self.interceptor.told.method, self.interceptor.retry_at) = (Some(method), None);
                let (devices, method) = (self.interceptor.devices.join(", "), method.as_str());
                log::info!("phones on {devices} are intercepted by {method}");
                self.forget_flows();
            }
            Err(problem) => {
                self.close_interceptors();
                if before.as_ref() != Some(&problem) {
                    log::error!("nothing is intercepted: {problem}");
                }
                self.interceptor.told.problem = Some(problem);
            }
        }
    }

    fn put_up_by(&mut self, method: Capture) -> io::Result<Capture> {
        if method == Capture::Tproxy && filters_bridges(self.interceptor.families) {
            return Err(io::Error::other(
                "the firewall sees the packets of bridges (br_netfilter)",
            ));
        }
        let (ports, [ipv4, ipv6]) = (self.interceptor.ports.clone(), self.interceptor.families);
        for port in ports {
            for (ip, _) in ends(method).into_iter().zip([ipv4, ipv6]).filter(|(_, here)| *here) {
                self.open_interceptors(method, port, ip)?;
            }
        }
        let interceptor = &mut self.interceptor;
        let table = with_net_admin(|| {
            if method == Capture::Tproxy {
                set_policy(interceptor.families)?;
            }
            let table = Netlink::open(SockProtocol::NetlinkNetFilter)?;
            let tproxy = method == Capture::Tproxy;
            nft::put_up(&table, &interceptor.devices, &interceptor.taken, tproxy)?;
            io::Result::Ok(table)
        })?;
        interceptor.table = Some(table);
        Ok(method)
    }

    /// Opens what takes datagrams and connections for one port in one family.
    fn open_interceptors(&mut self, method: Capture, port: u16, ip: IpAddr) -> io::Result<()> {
        let local = SocketAddr::new(ip, if method == Capture::Tproxy { port } else { 0 });
        let (poll, transparent) = (self.reactor.poll(), method == Capture::Tproxy);
        let (id, at) = with_net_admin(|| self.sockets.bind_interceptor(poll, method, local))?;
        let capturing = Capturing { socket: id, port, ipv4: ip.is_ipv4() };
        self.interceptor.told.sockets.push(capturing);
        self.interceptor.taken.push(Taken { port, protocol: UDP, to: ip, at: at.port() });
        let listener = with_net_admin(|| streams::listen(local, transparent));
        let (id, at) = self.listen(listener)?;
        self.interceptor.told.listeners.push(id);
        self.interceptor.taken.push(Taken { port, protocol: TCP, to: ip, at: at.port() });
        Ok(())
    }

    fn close_interceptors(&mut self) {
        let Interceptor { told, taken, table, .. } = &mut self.interceptor;
        *table = None;
        taken.clear();
        let sockets = std::mem::take(&mut told.sockets).into_iter().map(|it| it.socket);
        let listeners = std::mem::take(&mut told.listeners);
        told.method = None;
        for id in sockets.chain(listeners) {
            self.close_socket(id);
        }
    }

    /// Takes nothing from now on; what was taken goes its own way, unseen by us. The table of an
    /// earlier daemon that was killed went with it; its policy of routes goes now.
    pub(super) fn take_down(&mut self) {
        let method = self.interceptor.told.method;
        self.close_interceptors();
        if method.is_some() {
            self.forget_flows();
        }
        if method == Some(Capture::Tproxy) || !self.interceptor.swept {
            with_net_admin(policy::remove);
            self.interceptor.swept = true;
        }
    }

    /// Has the kernel forget the flows that go another way from now on, so that their next packet
    /// takes it.
    fn forget_flows(&self) {
        let (own, ports) = (network::own_addresses(), &self.interceptor.ports);
        let forgotten = with_net_admin(|| {
            let flows = conntrack::flows()?;
            let ours = flows.iter().filter(|flow| ports.contains(&flow.to.port()));
            let passing = ours.filter(|flow| passes(flow, &own));
            io::Result::Ok(passing.filter(|flow| conntrack::forget(flow).is_ok()).count())
        });
        match forgotten {
            Ok(0) => {}
            Ok(count) => log::info!("interception: {count} flows of phones begin anew"),
            Err(error) => log::debug!("no connection tracking: {error}"),
        }
    }

    /// Looks now and then for what passes beside us.
    fn survey(&mut self) {
        let now = self.reactor.now();
        let recent = |at: Instant| now.since(at) < INTERCEPTION_SURVEY;
        if self.interceptor.surveyed.is_some_and(recent) {
            return;
        }
        self.interceptor.surveyed = Some(now);
        let Ok(flows) = with_net_admin(conntrack::flows) else { return };
        let own = network::own_addresses();
        let tls = |flow: &&Tracked| {
            flow.to.port() == TLS_PORT && flow.protocol == TCP && passes(flow, &own)
        };
        let told = &mut self.interceptor.told;
        told.over_tls = flows.iter().filter(tls).map(|flow| flow.from.ip()).collect();
        told.over_tls.sort();
        told.over_tls.dedup();
        told.over_tls_untold = told.over_tls.len().saturating_sub(OVER_TLS_MAX) as u32;
        told.over_tls.truncate(OVER_TLS_MAX);
        let helper = flows.iter().any(|flow| flow.helped);
        if helper && !told.helper {
            log::warn!("the kernel's SIP helper rewrites signalling here: unload nf_conntrack_sip");
        }
        told.helper = helper;
    }

    /// Our address of an accepted connection; where it is intercepted, whom it was meant for.
    pub(super) fn local_of(&self, on: SocketId, stream: &TcpStream) -> io::Result<SocketAddr> {
        let local = stream.local_addr()?;
        let told = &self.interceptor.told;
        if told.method != Some(Capture::Redirect) || !told.listeners.contains(&on) {
            return Ok(local);
        }
        Ok(match local {
            SocketAddr::V4(_) => v4(getsockopt(stream, sockopt::OriginalDst)?),
            SocketAddr::V6(_) => v6(getsockopt(stream, sockopt::Ip6tOriginalDst)?),
        })
    }
}

/// Whether the firewall sees packets that are still in a bridge: then the kernel forgets which
/// socket they were handed to. OpenWrt has that off.
fn filters_bridges(families: [bool; 2]) -> bool {
    let on = |name: &str| {
        let setting = std::fs::read(format!("/proc/sys/net/bridge/bridge-nf-call-{name}"));
        setting.is_ok_and(|value| value.starts_with(b"1"))
    };
    ["iptables", "ip6tables"].iter().zip(families).any(|(name, here)| here && on(name))
}

/// The addresses that sockets are bound to: a transparent one hears nothing but what the table
/// brings to it.
fn ends(method: Capture) -> [IpAddr; 2] {
    match method {
        Capture::Tproxy => [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        Capture::Redirect => [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
    }
}

fn set_policy([ipv4, ipv6]: [bool; 2]) -> io::Result<()> {
    [(true, ipv4), (false, ipv6)]
        .into_iter()
        .filter(|(_, here)| *here)
        .try_for_each(|(family, _)| policy::set(family))
}

/// What is wrong, where, and what to do. Who `may` change the firewall may not change a table that
/// another process owns.
fn advice(error: &io::Error, may: bool) -> String {
    let what = match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) if !may => "run cosip as root, or with CAP_NET_ADMIN",
        Some(Errno::EPERM | Errno::EBUSY) => "another process owns the table inet cosip: stop it",
        Some(Errno::ENOENT | Errno::EOPNOTSUPP | Errno::EPROTONOSUPPORT) => {
            "install kmod-nft-tproxy or kmod-nft-nat, and kmod-nft-fib"
        }
        _ => "see the log, or set option intercept 0",
    };
    format!("nftables, table inet cosip: {error}; {what}")
}

/// Whether a flow only passes through this router.
fn passes(flow: &Tracked, own: &[IpAddr]) -> bool {
    ![flow.from.ip(), flow.to.ip()].iter().any(|ip| own.contains(ip) || ip.is_loopback())
}

/// Makes a socket ready to get what is meant for others.
pub(super) fn prepare(io: &UdpSocket, method: Capture, local: SocketAddr) -> io::Result<()> {
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
pub(super) fn redirected(from: SocketAddr, to: SocketAddr) -> SocketAddr {
    let original = with_net_admin(|| conntrack::original(from, to));
    original.inspect_err(|error| log::debug!("{from}: was not redirected: {error}")).unwrap_or(to)
}

/// Sends a datagram in another host's name, from the socket's port.
pub(super) fn send_as(
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

#[cfg(test)]
mod tests;
