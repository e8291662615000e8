//! The kernel's connection tracking, as far as interception has to do with it (ctnetlink): flows
//! that began before it, where a redirected datagram was going, whom the SIP helper has.

use super::netlink::{self, ACK, DUMP, Message, Netlink, find};
use nix::libc;
use nix::sys::socket::SockProtocol;
use std::io;
use std::net::{IpAddr, SocketAddr};

const SUBSYSTEM: u16 = 1;
const GET: u16 = SUBSYSTEM << 8 | 1;
const DELETE: u16 = SUBSYSTEM << 8 | 2;
/// Attributes of a flow.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const HELP: u16 = 5;
/// Attributes of a direction: addresses, and protocol with ports.
const ADDRESSES: u16 = 1;
const PROTOCOL: u16 = 2;

pub(super) const UDP: u8 = libc::IPPROTO_UDP as u8;
pub(super) const TCP: u8 = libc::IPPROTO_TCP as u8;

/// A flow that the kernel tracks, as its first packet was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tracked {
    /// `IPPROTO_UDP` or `IPPROTO_TCP`.
    pub(super) protocol: u8,
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    /// Who answers: `to`, but where it was redirected.
    pub(super) at: SocketAddr,
    /// The kernel's SIP helper reads and rewrites it.
    pub(super) helped: bool,
}

/// All flows, a piece at a time: a router may have more of them than there is memory for, and
/// time at once.
pub(super) struct Flows {
    netlink: Netlink,
    /// What the kernel tells at once is no more than this.
    piece: [u8; 8192],
}

impl Flows {
    /// Asks for them.
    pub(super) fn open() -> io::Result<Self> {
        let netlink = Netlink::open(SockProtocol::NetlinkNetFilter)?;
        netlink.send(vec![Message::new(GET, DUMP, &[0; 4])])?;
        Ok(Self { netlink, piece: [0; 8192] })
    }

    /// Looks at the next piece. False where that was the last.
    pub(super) fn next(&mut self, look: &mut dyn FnMut(&Tracked)) -> io::Result<bool> {
        let mut failed = None;
        let more = self.netlink.read(&mut self.piece, &mut |answer| match answer {
            Ok(body) => body.get(4..).and_then(read).iter().for_each(&mut *look),
            Err(code) => failed = Some(netlink::error(code)),
        })?;
        failed.map_or(Ok(more), Err)
    }
}

/// Forgets a flow: its next packet is a new one.
pub(super) fn forget(flow: &Tracked) -> io::Result<()> {
    let netlink = Netlink::open(SockProtocol::NetlinkNetFilter)?;
    let message = head(DELETE, ACK, flow.to.is_ipv4());
    let message = direction(message, ORIGINAL, flow.protocol, flow.from, flow.to);
    netlink.ask(vec![message]).map(drop)
}

/// Whether it can be asked at all.
///
/// # Errors
/// What the kernel answers that has no ctnetlink, or does not let us ask.
pub(super) fn can_be_asked() -> io::Result<()> {
    let nobody = SocketAddr::from(([127, 0, 0, 1], 1));
    match original(nobody, nobody) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Where a datagram was going that was redirected to `to`.
pub(super) fn original(from: SocketAddr, to: SocketAddr) -> io::Result<SocketAddr> {
    let netlink = Netlink::open(SockProtocol::NetlinkNetFilter)?;
    let message = head(GET, ACK, to.is_ipv4());
    // The kernel expects the answers to come from where the datagram was redirected to.
    let message = direction(message, REPLY, UDP, to, from);
    let bodies = netlink.ask(vec![message])?;
    let flow = bodies.first().and_then(|body| read(body.get(4..)?));
    // It may also be an answer to what we sent from there.
    let flow = flow.filter(|flow| flow.from == from);
    flow.map(|flow| flow.to).ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn head(kind: u16, flags: u16, ipv4: bool) -> Message {
    let family = if ipv4 { libc::AF_INET } else { libc::AF_INET6 };
    Message::new(kind, flags, &[family as u8, 0, 0, 0])
}

fn direction(
    message: Message,
    kind: u16,
    protocol: u8,
    from: SocketAddr,
    to: SocketAddr,
) -> Message {
    message.nest(kind, |it| {
        it.nest(ADDRESSES, |it| match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => it.put(1, &from.octets()).put(2, &to.octets()),
            (IpAddr::V6(from), IpAddr::V6(to)) => it.put(3, &from.octets()).put(4, &to.octets()),
            _ => it,
        })
        .nest(PROTOCOL, |it| {
            it.put(1, &[protocol])
                .put(2, &from.port().to_be_bytes())
                .put(3, &to.port().to_be_bytes())
        })
    })
}

fn read(flow: &[u8]) -> Option<Tracked> {
    let (protocol, from, to) = ends(find(flow, ORIGINAL)?)?;
    let (_, at, _) = ends(find(flow, REPLY)?)?;
    let helper = find(flow, HELP).and_then(|help| find(help, 1)).unwrap_or_default();
    Some(Tracked { protocol, from, to, at, helped: helper.starts_with(b"sip") })
}

/// The protocol of a direction, who sends and who receives.
fn ends(direction: &[u8]) -> Option<(u8, SocketAddr, SocketAddr)> {
    let (addresses, ports) = (find(direction, ADDRESSES)?, find(direction, PROTOCOL)?);
    let port = |kind| Some(u16::from_be_bytes(find(ports, kind)?.try_into().ok()?));
    let address = |v4, v6| match find(addresses, v4) {
        Some(bytes) => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        None => Some(IpAddr::from(<[u8; 16]>::try_from(find(addresses, v6)?).ok()?)),
    };
    let from = (address(1, 3)?, port(2)?).into();
    Some((*find(ports, 1)?.first()?, from, (address(2, 4)?, port(3)?).into()))
}
