//! What goes into a core and what comes out of it: the contract between cores and drivers.
//!
//! A core never reads a clock, a socket or a file. Whoever drives it (the daemon's run loop, a
//! test, a fuzzer, the simulator) calls [`Core::handle_input`] once, then drains
//! [`Core::poll_transmit`] and [`Core::poll_event`] until both return `None`, then waits until
//! [`Core::poll_timeout`] or the next input. Every wish of a core is a [`Request`] with a
//! [`Ticket`], answered later by exactly one [`Input::Answer`]: sockets, names and files look
//! alike, and a simulator answers them itself.

mod file;
mod rules;

pub use file::File;
pub use rules::{Beside, Capture, Capturing, Interception, Rules};

use crate::time::Instant;
use core::fmt;
use std::net::{IpAddr, SocketAddr};

/// A bound UDP socket or a listening TCP socket, named by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SocketId(pub u32);

/// A TCP connection, named by the driver; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u32);

/// Another adapter, by its place in the overlay: 128 bits, which move as words.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(align(4))]
pub struct NodeId(pub [u8; 16]);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A hardware address of Ethernet or Wi-Fi (EUI-48).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// An address that stands for a way through another adapter and is nobody's: of the prefix
/// 100::/64, which no router passes on (RFC 6666).
pub fn is_detour(address: &SocketAddr) -> bool {
    matches!(address.ip(), IpAddr::V6(ip) if ip.segments()[..4] == [0x100, 0, 0, 0])
}

/// The address that stands for the way of this number; see [`is_detour`].
pub(crate) fn detour(number: u32) -> SocketAddr {
    let [high, low] = [(number >> 16) as u16, number as u16];
    SocketAddr::from(([0x100, 0, 0, 0, 0, 0, high, low], 9))
}

/// Whether others can use an address as it is: neither private, shared (RFC 6598), local, nor out
/// of a net that is nobody's (RFC 6890).
pub fn is_global(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let shared = a == 100 && b & 0xc0 == 64;
            let benchmarks = a == 198 && b & 0xfe == 18;
            let protocols = (a, b, c) == (192, 0, 0);
            let local = ip.is_private() || ip.is_loopback() || ip.is_link_local() || shared;
            let nobodys = ip.is_documentation() || benchmarks || protocols;
            !(local || nobodys || a == 0 || a >= 224)
        }
        IpAddr::V6(ip) => {
            let [a, b, ..] = ip.segments();
            a & 0xe000 == 0x2000 && (a, b) != (0x2001, 0xdb8)
        }
    }
}

/// Names one request of a core, chosen by the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u32);

/// How bytes leave a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    /// A datagram from this socket.
    Udp(SocketId),
    /// A datagram to a phone that is intercepted, in the name of the server that it chose: from
    /// whichever socket stands for that now.
    Intercepted(SocketAddr),
    /// Bytes on this connection.
    Stream(ConnId),
    /// Through the channel to another adapter. Never leaves [`crate::adapter`].
    Peer(NodeId),
}

impl Via {
    /// Whether it is datagrams on a socket of ours.
    pub fn is_datagram(self) -> bool {
        matches!(self, Self::Udp(_) | Self::Intercepted(_))
    }
}

/// Bytes to send; the bytes themselves are in the buffer that the caller owns. A core that knows
/// less of sockets than a [`Via`] says has words of its own for the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<V = Via> {
    /// How to send.
    pub via: V,
    /// Where to. On a stream: the far end, for the log.
    pub to: SocketAddr,
    /// The IP type-of-service byte to send with.
    pub tos: u8,
    /// How many bytes of the buffer.
    pub len: usize,
}

/// What a socket is for. The driver serves media before SIP, and SIP before the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// A UDP socket for RTP or RTCP.
    Media,
    /// A UDP socket for SIP.
    Sip,
    /// A TCP socket that accepts SIP connections.
    SipListener,
    /// The UDP socket of overlay and channel.
    Overlay,
    /// A UDP socket towards the router in front, or one that hears its multicast.
    Portmap,
}

/// A thing that only the driver can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Bind a socket; port 0 lets the kernel choose. Answered by [`Answer::Bound`].
    Bind {
        /// What the socket is for.
        kind: SocketKind,
        /// The local address.
        local: SocketAddr,
    },
    /// Open a TCP connection. Answered by [`Answer::Connected`].
    Connect {
        /// The local address to leave from.
        from: Option<IpAddr>,
        /// The far end.
        to: SocketAddr,
    },
    /// Close a socket. Answered by [`Answer::Done`].
    CloseSocket(SocketId),
    /// Close a connection once what is queued on it has left. Answered by [`Answer::Done`].
    CloseConn(ConnId),
    /// Ask DNS one question. Answered by [`Answer::Resolved`].
    Resolve {
        /// A host name, or a service name such as `_sip._udp.example.net`.
        name: String,
        /// Which records.
        kind: RecordKind,
    },
    /// Read a file. Answered by [`Answer::Loaded`].
    Load(File),
    /// Replace a file: temporary file, fsync, rename. Answered by [`Answer::Done`].
    Save(File, Vec<u8>),
    /// Read the network's secrets, which people change. Answered by [`Answer::Loaded`].
    Secrets,
    /// Look up the hardware address of a host on one of our links. Answered by
    /// [`Answer::Neighbour`], or [`Failure::Absent`] where it is behind another router.
    Neighbour(IpAddr),
    /// Take the LAN's traffic to SIP servers, or take none; asked again and again, it mends what
    /// others have undone. Answered by [`Answer::Intercepting`].
    Rules(Option<Rules>),
    /// What a command of the control socket prints. Carries the ticket that the command came
    /// with, and is not answered.
    Reply(Vec<u8>),
}

/// Which DNS records a question asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// A and AAAA records of a host.
    Address,
    /// SRV records of a service (RFC 2782).
    Service,
}

/// One DNS record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// An A or AAAA record.
    Address(IpAddr),
    /// An SRV record.
    Service {
        /// Lower values are tried first.
        priority: u16,
        /// Share of the load within one priority.
        weight: u16,
        /// Port of the service.
        port: u16,
        /// Host that offers it.
        target: String,
    },
}

/// The driver's answer to a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The socket and the address that it got.
    Bound(SocketId, SocketAddr),
    /// The connection stands; its local address.
    Connected(ConnId, SocketAddr),
    /// Records with the seconds that they may be kept.
    Resolved(&'a [Record], u32),
    /// The bytes of a file.
    Loaded(&'a [u8]),
    /// The hardware address of a neighbour.
    Neighbour(Mac),
    /// What of the LAN's traffic is taken now, and how.
    Intercepting(&'a Interception),
    /// Done; nothing to tell.
    Done,
}

/// Why the driver could not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The address is in use.
    Address,
    /// The address is not, or not yet, this machine's.
    NotOurs,
    /// Refused by the far end, or by the network on the way (ICMP).
    Refused,
    /// Our own link is down: no route, no carrier.
    Unreachable,
    /// No answer in time.
    TimedOut,
    /// There is no such file, or no such name.
    Absent,
    /// The system refused: no memory, no descriptors, no permission.
    System,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "address in use",
            Self::NotOurs => "not an address of this machine now",
            Self::Refused => "refused",
            Self::Unreachable => "no route from here",
            Self::TimedOut => "no answer in time",
            Self::Absent => "not there",
            Self::System => "refused by the system",
        })
    }
}

/// What happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEvent<'a> {
    /// A far end connected to our listener `on`.
    Opened {
        /// The listening socket.
        on: SocketId,
        /// Our address; where the connection is intercepted, whom it was meant for.
        local: SocketAddr,
        /// The far end's address.
        remote: SocketAddr,
    },
    /// Bytes arrived.
    Data(&'a [u8]),
    /// The connection is gone, by the far end or by an error.
    Closed,
}

/// The networks of the configuration, resolved to what the router has now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// Addresses on the LAN side.
    pub lan: Vec<IpAddr>,
    /// Addresses on the WAN side.
    pub wan: Vec<IpAddr>,
    /// Whether the WAN side has a carrier and a route.
    pub wan_up: bool,
    /// The next hop of the WAN side's default route, where it has one.
    pub gateway: Option<IpAddr>,
    /// Names of networks that the firewall has in no zone: it lets nothing in from them.
    pub shut_out: Vec<String>,
}

/// What is wrong with a network of [`Network::shut_out`], and what to do.
pub(crate) fn without_zone(name: &str) -> String {
    format!("the firewall has network {name} in no zone and lets nothing in from it: add it to one")
}

/// A command of the control socket, already split into words.
pub type Command<'a> = &'a [&'a str];

/// One input of a core. Inputs are handled in the order of their arrival within a class.
#[derive(Clone, Debug)]
pub enum Input<'a> {
    /// The instant that `poll_timeout` named has come.
    Timeout,
    /// A datagram arrived.
    Datagram {
        /// On this socket.
        socket: SocketId,
        /// From this address.
        from: SocketAddr,
        /// To this local address; where it is intercepted, whom it was meant for.
        to: SocketAddr,
        /// With this type-of-service byte.
        tos: u8,
        /// The payload.
        data: &'a [u8],
    },
    /// Something happened to a connection.
    Stream(ConnId, StreamEvent<'a>),
    /// A datagram sent earlier came back as an error (ICMP), or could not be sent.
    SendFailed {
        /// This way.
        via: Via,
        /// To this address.
        to: SocketAddr,
        /// Why.
        error: Failure,
    },
    /// The router's addresses changed, or are told for the first time.
    Network(&'a Network),
    /// Wall-clock time: seconds since 1970. Told at start and when the clock was set.
    Clock(u64),
    /// A new configuration, after a reload.
    Config(&'a crate::config::Config),
    /// A reload failed: the running configuration stays, and status tells why.
    ConfigError(&'a crate::config::Error),
    /// A command; answered by [`Request::Reply`] under the same ticket.
    Command(Ticket, Command<'a>),
    /// The answer to a request.
    Answer(Ticket, Result<Answer<'a>, Failure>),
    /// Stop cleanly: withdraw bindings, end what can be ended. [`Event::Stopped`] follows.
    Stop,
}

/// What a core tells its driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Do this and answer under the ticket.
    Request(Ticket, Request),
    /// The clean stop is done; the process may end.
    Stopped,
}

/// An input that was refused. It has been counted; nothing else happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejected {
    /// Not understood.
    Malformed,
    /// Understood, but not from anyone who may send it.
    Unauthorized,
    /// No room, by a limit of [`crate::limits`].
    Full,
    /// Belongs to nothing that lives.
    Unknown,
}

/// A state machine without input and output of its own. See the module's text for the rule.
pub trait Core {
    /// Takes one input.
    ///
    /// # Errors
    /// [`Rejected`] where hostile or useless input was dropped and counted.
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected>;
    /// Writes the next bytes to send into `buf`, which has room for
    /// [`crate::limits::TRANSMIT_BYTES_MAX`].
    fn poll_transmit(&mut self, now: Instant, buf: &mut [u8]) -> Option<Transmit>;
    /// The next thing to tell the driver.
    fn poll_event(&mut self) -> Option<Event>;
    /// When [`Input::Timeout`] is wanted next, at the latest.
    fn poll_timeout(&self) -> Option<Instant>;
}
