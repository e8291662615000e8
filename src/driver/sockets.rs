//! UDP sockets, served straight from the run loop.
//!
//! One packet costs one `recvmsg` and one `sendto`: the type-of-service byte is set only when it
//! changes. ICMP errors come back through the socket's error queue (`IP_RECVERR`) with the
//! destination that they are about; media sockets go without, their far ends come and go.

use super::intercept::sockets as taking;
use super::poll::{Key, Poll};
use crate::limits::SIGNALLING_SOCKET_BUFFER_BYTES;
use crate::net::{Capture, Failure, SocketId, SocketKind, Via};
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, MsgFlags, SockFlag, SockType, SockaddrIn, SockaddrIn6,
    SockaddrStorage, bind, recvmsg, setsockopt, socket, sockopt,
};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};

/// Room for the control messages of one datagram: type of service, or an error with its sender.
const CONTROL_BYTES: usize = 128;
/// Generations have 15 bits: the topmost bit of a [`SocketId`] marks a listener.
const GENERATION_MAX: u16 = 0x7fff;

/// What happened to UDP sockets, for the operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SocketCounters {
    /// Datagrams that the system did not take: full buffers, no route, a socket that is gone.
    pub send_failed: u32,
    /// Datagrams larger than any that a core takes.
    pub too_large: u32,
    /// Errors that came back by ICMP.
    pub returned: u32,
    /// Sockets that could not be bound.
    pub bind_failed: u32,
}

struct Socket {
    io: UdpSocket,
    kind: SocketKind,
    local: SocketAddr,
    /// How it gets datagrams that are meant for others; none: it gets its own alone.
    method: Option<Capture>,
    tos: u8,
}

/// One place of the table; the generation makes old names of the place invalid.
#[derive(Default)]
struct Place {
    generation: u16,
    socket: Option<Socket>,
}

/// A received datagram; its bytes are in the caller's buffer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Received {
    /// The sender.
    pub(super) from: SocketAddr,
    /// The local address; where it is intercepted, whom it was meant for.
    pub(super) to: SocketAddr,
    /// The type-of-service byte.
    pub(super) tos: u8,
    /// How many bytes.
    pub(super) len: usize,
}

/// An error that came back for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Returned {
    /// How it was sent.
    pub(super) via: Via,
    /// Where to.
    pub(super) to: SocketAddr,
    /// Why.
    pub(super) error: Failure,
}

/// The open UDP sockets.
pub(super) struct Sockets {
    places: Vec<Place>,
    free: Vec<u16>,
    control: Box<[u8]>,
    returned: Vec<Returned>,
    pub(super) counters: SocketCounters,
}

impl Sockets {
    /// No sockets.
    pub(super) fn new() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
            control: vec![0; CONTROL_BYTES].into(),
            returned: Vec::new(),
            counters: SocketCounters::default(),
        }
    }

    /// Binds a socket.
    pub(super) fn bind(
        &mut self,
        poll: &Poll,
        kind: SocketKind,
        local: SocketAddr,
    ) -> Result<(SocketId, SocketAddr), Failure> {
        let opened = open(kind, local, None);
        let (local, io) = opened.map_err(|error| {
            self.counters.bind_failed = self.counters.bind_failed.wrapping_add(1);
            log::debug!("cannot bind {local}: {error}");
            failure(&error)
        })?;
        self.add(poll, Socket { io, kind, local, method: None, tos: 0 })
    }

    /// Binds a socket for datagrams that are meant for others.
    pub(super) fn bind_interceptor(
        &mut self,
        poll: &Poll,
        method: Capture,
        local: SocketAddr,
    ) -> io::Result<(SocketId, SocketAddr)> {
        let kind = SocketKind::Sip;
        let (local, io) = open(kind, local, Some(method))?;
        let socket = Socket { io, kind, local, method: Some(method), tos: 0 };
        self.add(poll, socket).map_err(|error| io::Error::other(error.to_string()))
    }

    fn add(&mut self, poll: &Poll, socket: Socket) -> Result<(SocketId, SocketAddr), Failure> {
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                let place = u16::try_from(self.places.len()).map_err(|_| Failure::System)?;
                self.places.push(Place::default());
                place
            }
        };
        let slot = self.places.get_mut(usize::from(place)).ok_or(Failure::System)?;
        let id = SocketId(u32::from(slot.generation) << 16 | u32::from(place));
        let local = socket.local;
        if let Err(error) = poll.add_level(&socket.io, Key::Udp(socket.kind, id)) {
            self.free.push(place);
            return Err(failure(&error));
        }
        slot.socket = Some(socket);
        Ok((id, local))
    }

    /// Closes a socket. False where there is none of this name.
    pub(super) fn close(&mut self, id: SocketId) -> bool {
        // Nobody else has its descriptor, so closing it takes it out of the poll too.
        if self.place(id).and_then(|place| place.socket.take()).is_none() {
            return false;
        }
        let place = id.0 as u16;
        if let Some(slot) = self.places.get_mut(usize::from(place)) {
            slot.generation = (slot.generation + 1) & GENERATION_MAX;
        }
        self.free.push(place);
        true
    }

    /// Takes one datagram off a socket; `None` where nothing waits or it was dropped.
    pub(super) fn receive(&mut self, id: SocketId, buf: &mut [u8]) -> Option<Received> {
        let place = usize::from(id.0 as u16);
        let socket = self.places.get(place).filter(|slot| slot.generation == (id.0 >> 16) as u16);
        let socket = socket.and_then(|slot| slot.socket.as_ref())?;
        let mut parts = [IoSliceMut::new(buf)];
        let fd = socket.io.as_raw_fd();
        let control = Some(&mut *self.control);
        match recvmsg::<SockaddrStorage>(fd, &mut parts, control, MsgFlags::empty()) {
            Ok(message) if message.flags.contains(MsgFlags::MSG_TRUNC) => {
                self.counters.too_large = self.counters.too_large.wrapping_add(1);
                None
            }
            Ok(message) => {
                let from = message.address.as_ref().and_then(address)?;
                let (mut tos, mut to) = (0, socket.local);
                if let Ok(parts) = message.cmsgs() {
                    for part in parts {
                        match part {
                            ControlMessageOwned::Ipv4Tos(byte) => tos = byte,
                            ControlMessageOwned::Ipv6TClass(class) => tos = class as u8,
                            ControlMessageOwned::Ipv4OrigDstAddr(sin) => to = v4(sin),
                            ControlMessageOwned::Ipv6OrigDstAddr(sin) => to = v6(sin),
                            _ => {}
                        }
                    }
                }
                if socket.method == Some(Capture::Redirect) {
                    to = taking::redirected(from, to);
                }
                Some(Received { from, to, tos, len: message.bytes })
            }
            Err(Errno::EAGAIN | Errno::EINTR) => None,
            // An error that came back shows here once; its details are in the error queue.
            Err(_) => {
                self.read_errors(id);
                None
            }
        }
    }

    /// Sends one datagram from the socket `id`, `via` that or in another's name.
    pub(super) fn send(&mut self, id: SocketId, via: Via, to: SocketAddr, tos: u8, data: &[u8]) {
        // A pending ICMP error of an earlier datagram makes a send fail once: read it, repeat.
        for attempt in 0..2 {
            let Some(socket) = self.place(id).and_then(|place| place.socket.as_mut()) else {
                self.count_unsent();
                return;
            };
            if socket.tos != tos && set_tos(&socket.io, socket.local, tos) {
                socket.tos = tos;
            }
            let sent = match via {
                Via::Intercepted(name) => taking::send_as(&socket.io, name.ip(), to, data),
                _ => socket.io.send_to(data, to),
            };
            let Err(error) = sent else { return };
            let signalling = socket.kind != SocketKind::Media;
            if attempt == 0 && signalling && error.kind() != io::ErrorKind::WouldBlock {
                self.read_errors(id);
                continue;
            }
            self.count_unsent();
            if signalling && error.kind() != io::ErrorKind::WouldBlock {
                let error = failure(&error);
                self.returned.push(Returned { via, to, error });
            }
            return;
        }
    }

    /// A datagram could not be sent.
    pub(super) fn count_unsent(&mut self) {
        self.counters.send_failed = self.counters.send_failed.wrapping_add(1);
    }

    /// Empties a socket's error queue into the list of returned datagrams.
    pub(super) fn read_errors(&mut self, id: SocketId) {
        let Some(socket) = self.place(id).and_then(|place| place.socket.as_ref()) else { return };
        let (fd, own) = (socket.io.as_raw_fd(), socket.local.ip());
        // Clears an error that stands on the socket without an entry in the queue.
        let _ = socket.io.take_error();
        let mut start = [0; 64];
        for _ in 0..crate::limits::SEND_ERRORS_A_TURN_MAX {
            let mut parts = [IoSliceMut::new(&mut start)];
            let control = Some(&mut *self.control);
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let Ok(message) = recvmsg::<SockaddrStorage>(fd, &mut parts, control, flags) else {
                return;
            };
            let Some(to) = message.address.as_ref().and_then(address) else { continue };
            let Some(error) = message.cmsgs().ok().into_iter().flatten().find_map(|part| {
                let (error, reporter) = match part {
                    ControlMessageOwned::Ipv4RecvErr(error, reporter) => (
                        error,
                        reporter.map(|sin| IpAddr::V4(u32::from_be(sin.sin_addr.s_addr).into())),
                    ),
                    ControlMessageOwned::Ipv6RecvErr(error, reporter) => {
                        (error, reporter.map(|sin| IpAddr::from(sin.sin6_addr.s6_addr)))
                    }
                    _ => return None,
                };
                classify(error.ee_errno, error.ee_origin, reporter == Some(own) && own != to.ip())
            }) else {
                continue;
            };
            self.counters.returned = self.counters.returned.wrapping_add(1);
            self.returned.push(Returned { via: Via::Udp(id), to, error });
        }
    }

    /// The next datagram that came back.
    pub(super) fn next_returned(&mut self) -> Option<Returned> {
        if self.returned.is_empty() { None } else { Some(self.returned.remove(0)) }
    }

    /// Whether a datagram came back that the core does not know of.
    pub(super) fn has_returned(&self) -> bool {
        !self.returned.is_empty()
    }

    fn place(&mut self, id: SocketId) -> Option<&mut Place> {
        let place = self.places.get_mut(usize::from(id.0 as u16))?;
        (place.generation == (id.0 >> 16) as u16).then_some(place)
    }
}

/// Opens a socket, and tells the address that it has. A media socket takes few system calls: a
/// call needs four, and they are most of what a call costs.
fn open(
    kind: SocketKind,
    local: SocketAddr,
    method: Option<Capture>,
) -> io::Result<(SocketAddr, UdpSocket)> {
    let family = if local.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let io = UdpSocket::from(socket(family, SockType::Datagram, flags, None)?);
    if local.ip().is_multicast() {
        // Every program of this machine that hears a group has a socket of its own for it.
        setsockopt(&io, sockopt::ReuseAddr, &true)?;
    }
    if let Some(method) = method {
        taking::prepare(&io, method, local)?;
    }
    bind(io.as_raw_fd(), &SockaddrStorage::from(local))?;
    if local.is_ipv4() {
        setsockopt(&io, sockopt::IpRecvTos, &true)?;
    } else {
        setsockopt(&io, sockopt::Ipv6RecvTClass, &true)?;
    }
    if kind != SocketKind::Media {
        if kind != SocketKind::Portmap {
            // The system may grant less; nothing depends on it.
            let _ = setsockopt(&io, sockopt::RcvBuf, &SIGNALLING_SOCKET_BUFFER_BYTES);
            let _ = setsockopt(&io, sockopt::SndBuf, &SIGNALLING_SOCKET_BUFFER_BYTES);
        }
        if local.is_ipv4() {
            setsockopt(&io, sockopt::Ipv4RecvErr, &true)?;
        } else {
            setsockopt(&io, sockopt::Ipv6RecvErr, &true)?;
        }
    }
    let local = if local.port() == 0 { io.local_addr()? } else { local };
    Ok((local, io))
}

/// Sets the type-of-service byte of what `io`, bound to `local`, sends. False where it failed.
pub(super) fn set_tos(io: impl AsFd, local: SocketAddr, tos: u8) -> bool {
    let tos = i32::from(tos);
    match local {
        SocketAddr::V4(_) => setsockopt(&io, sockopt::Ipv4Tos, &tos).is_ok(),
        SocketAddr::V6(_) => setsockopt(&io, sockopt::Ipv6TClass, &tos).is_ok(),
    }
}

pub(super) fn v4(sin: libc::sockaddr_in) -> SocketAddr {
    SocketAddrV4::from(SockaddrIn::from(sin)).into()
}

pub(super) fn v6(sin: libc::sockaddr_in6) -> SocketAddr {
    SocketAddrV6::from(SockaddrIn6::from(sin)).into()
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(sin) = storage.as_sockaddr_in() {
        return Some(SocketAddr::V4(SocketAddrV4::from(*sin)));
    }
    storage.as_sockaddr_in6().map(|sin| SocketAddr::V6(SocketAddrV6::from(*sin)))
}

/// What an entry of the error queue means; `None` for one that is not about reachability.
///
/// An unreachability that our own system reports (`local`: nobody answers ARP for the gateway)
/// says that our link is down; from elsewhere it says that the far end is.
fn classify(errno: u32, origin: u8, local: bool) -> Option<Failure> {
    let errno = Errno::from_raw(i32::try_from(errno).ok()?);
    let by_icmp = origin == libc::SO_EE_ORIGIN_ICMP || origin == libc::SO_EE_ORIGIN_ICMP6;
    match errno {
        Errno::EMSGSIZE => None,
        Errno::ECONNREFUSED => Some(Failure::Refused),
        _ if by_icmp && !local => Some(Failure::Refused),
        _ => Some(Failure::Unreachable),
    }
}

/// The kind of a system error.
pub(super) fn failure(error: &io::Error) -> Failure {
    let Some(errno) = error.raw_os_error().map(Errno::from_raw) else { return Failure::System };
    match errno {
        Errno::EADDRINUSE => Failure::Address,
        Errno::EADDRNOTAVAIL => Failure::NotOurs,
        Errno::ECONNREFUSED | Errno::ECONNRESET => Failure::Refused,
        Errno::ENETUNREACH | Errno::EHOSTUNREACH | Errno::ENETDOWN | Errno::EINVAL => {
            Failure::Unreachable
        }
        Errno::ETIMEDOUT => Failure::TimedOut,
        Errno::ENOENT => Failure::Absent,
        _ => Failure::System,
    }
}
