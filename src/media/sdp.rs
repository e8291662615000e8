//! Session descriptions (RFC 8866): what a sender wants, and the same text with relay ports.
//!
//! [`Description::read`] takes in one pass what the relay must know; [`write::Rewrite`] copies
//! the text line by line and changes only these:
//! - `o=` and `c=` get the relay's address. A `c=` that means hold (0.0.0.0, `::`, or a name
//!   under `.invalid`) stays, for the far end must see it.
//! - `m=` of a relayed line gets the relay's port; a port count ("/2") goes, since one pair is
//!   relayed. `a=rtcp` (RFC 3605) gets the relay's port and, where it had one, its address.
//! - ICE attributes and `a=altc` of relayed lines go: their addresses would bypass the relay,
//!   and without candidates ICE falls back to `c=` and `m=` (RFC 8839 s4.3).
//!
//! A line is relayed if it is one of the first [`MEDIA_LINES_MAX`], its port is not 0, and it
//! runs on UDP: RTP of every profile, T.38, DTLS. Lines on TCP and later ones keep their port
//! and are given the sender's own address, where they had it from the session. What is not
//! understood is copied. Line ends stay as they are.

pub mod fit;
pub mod origin;
pub mod write;

use crate::limits::MEDIA_LINES_MAX;
use core::fmt;
use std::net::{IpAddr, SocketAddr};

/// Why a body could not be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SdpError {
    /// No such session, or no such leg, is open.
    NoSession,
    /// The side has no local address: its network is not up.
    NoAddress,
    /// No port pair is ready.
    NoPort,
    /// The body would outgrow [`crate::limits::SIP_MESSAGE_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSession => "no such media session or leg",
            Self::NoAddress => "no local address for media on this side",
            Self::NoPort => "no media port is free",
            Self::TooLong => "the rewritten body is too long",
        })
    }
}

impl core::error::Error for SdpError {}

/// Which ways the sender of a description lets media flow (RFC 8866 s6.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// From the sender of the description only.
    SendOnly,
    /// To the sender of the description only.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    fn parse(line: &[u8]) -> Option<Self> {
        Some(match line.trim_ascii_end() {
            b"a=sendrecv" => Self::SendRecv,
            b"a=sendonly" => Self::SendOnly,
            b"a=recvonly" => Self::RecvOnly,
            b"a=inactive" => Self::Inactive,
            _ => return None,
        })
    }
}

/// The address of a `c=` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    /// A literal address.
    Address(IpAddr),
    /// Media are on hold.
    Held,
    /// A host name, or something that is not understood.
    Unknown,
}

impl Connection {
    /// Reads the value of a `c=` line, or the address part of `a=rtcp`.
    fn parse(value: &[u8]) -> Self {
        let Ok(value) = core::str::from_utf8(value) else { return Self::Unknown };
        let Some(host) = value.split_ascii_whitespace().nth(2) else { return Self::Unknown };
        let host = host.split('/').next().unwrap_or(host);
        match host.parse::<IpAddr>() {
            Ok(address) if address.is_unspecified() => Self::Held,
            Ok(address) => Self::Address(address.to_canonical()),
            Err(_) if host.ends_with(".invalid") => Self::Held,
            Err(_) => Self::Unknown,
        }
    }

    fn or(self, fallback: IpAddr) -> Option<IpAddr> {
        match self {
            Self::Address(address) => Some(address),
            Self::Held => None,
            Self::Unknown => Some(fallback),
        }
    }
}

/// One relayed media line, as its sender described it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// Where the sender wants RTP. `None`: on hold.
    pub rtp: Option<SocketAddr>,
    /// Where the sender wants RTCP.
    pub rtcp: Option<SocketAddr>,
    /// Which ways media flow.
    pub direction: Direction,
    /// Whether RTP and RTCP are to use the same port.
    shared: bool,
}

/// What a description says about its first [`MEDIA_LINES_MAX`] media lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// By index of the media line; `None` where a line is not relayed.
    pub lines: [Option<Line>; MEDIA_LINES_MAX],
}

/// What one media section said before its address is known.
struct Section {
    index: usize,
    port: u16,
    connection: Option<Connection>,
    rtcp: Option<(u16, Option<Connection>)>,
    direction: Option<Direction>,
}

impl Description {
    /// Reads `body`. `source` stands in for addresses that are names: the host that the message
    /// came from.
    pub fn read(body: &[u8], source: IpAddr) -> Self {
        let mut found = Self::default();
        let (mut connection, mut direction) = (None, Direction::default());
        let mut section: Option<Section> = None;
        let mut count = 0;
        for line in lines(body) {
            if line.starts_with(b"m=") {
                found.take(section.take(), connection, direction, source);
                section = Media::parse(line).filter(|m| m.relayed(count)).map(|media| Section {
                    index: count,
                    port: media.port,
                    connection: None,
                    rtcp: None,
                    direction: None,
                });
                count += 1;
                continue;
            }
            match (&mut section, count) {
                (Some(section), _) => section.read(line),
                (None, 0) => {
                    if let Some(value) = line.strip_prefix(b"c=") {
                        connection.get_or_insert_with(|| Connection::parse(value));
                    }
                    direction = Direction::parse(line).unwrap_or(direction);
                }
                _ => {}
            }
        }
        found.take(section, connection, direction, source);
        found
    }

    fn take(
        &mut self,
        section: Option<Section>,
        connection: Option<Connection>,
        direction: Direction,
        source: IpAddr,
    ) {
        let Some(section) = section else { return };
        let connection = section.connection.or(connection).unwrap_or(Connection::Unknown);
        let ip = connection.or(source);
        let next = section.port.checked_add(1);
        let (rtcp_port, rtcp_ip) = match section.rtcp {
            Some((port, own)) => {
                (Some(port), own.map_or(ip, |own| ip.and_then(|_| own.or(source))))
            }
            None => (next, ip),
        };
        let line = Line {
            rtp: ip.map(|ip| SocketAddr::new(ip, section.port)),
            rtcp: rtcp_ip.zip(rtcp_port).map(|(ip, port)| SocketAddr::new(ip, port)),
            direction: section.direction.unwrap_or(direction),
            shared: rtcp_port == Some(section.port),
        };
        if let Some(place) = self.lines.get_mut(section.index) {
            *place = Some(line);
        }
    }
}

impl Section {
    fn read(&mut self, line: &[u8]) {
        if let Some(value) = line.strip_prefix(b"c=") {
            self.connection.get_or_insert_with(|| Connection::parse(value));
        } else if let Some(value) = line.strip_prefix(b"a=rtcp:") {
            let rtcp = Rtcp::parse(value).map(|rtcp| (rtcp.port, rtcp.connection));
            self.rtcp = self.rtcp.or(rtcp);
        } else if let Some(direction) = Direction::parse(line) {
            self.direction = Some(direction);
        }
    }
}

/// An `m=` line that is understood.
struct Media {
    port: u16,
    /// The bytes of the port with its count, as a range of the line.
    port_at: usize,
    port_end: usize,
    datagrams: bool,
    /// RTP in any profile: it comes with RTCP.
    rtp: bool,
}

impl Media {
    /// Reads `m=<media> <port>[/<count>] <proto> ...`.
    fn parse(line: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(line).ok()?;
        let mut tokens = text.get(2..)?.split_ascii_whitespace();
        let (_, port, proto) = (tokens.next()?, tokens.next()?, tokens.next()?);
        let port_at = port.as_ptr() as usize - text.as_ptr() as usize;
        let (number, count) = port.split_once('/').unwrap_or((port, "1"));
        count.parse::<u32>().ok()?;
        let family = proto.split('/').next().unwrap_or(proto);
        let datagrams = !["tcp", "sctp", "dccp"].iter().any(|t| family.eq_ignore_ascii_case(t));
        Some(Self {
            port: number.parse().ok()?,
            port_at,
            port_end: port_at + port.len(),
            datagrams,
            rtp: family.eq_ignore_ascii_case("RTP"),
        })
    }

    fn relayed(&self, index: usize) -> bool {
        index < MEDIA_LINES_MAX && self.port != 0 && self.datagrams
    }
}

/// The value of an `a=rtcp` line (RFC 3605).
struct Rtcp {
    port: u16,
    connection: Option<Connection>,
}

impl Rtcp {
    fn parse(value: &[u8]) -> Option<Self> {
        let text = core::str::from_utf8(value).ok()?;
        let (port, address) = text.split_once(' ').unwrap_or((text, ""));
        let port: u16 = port.trim().parse().ok()?;
        // A `c=` line's value has the form of what follows the port here.
        let connection =
            (!address.trim().is_empty()).then(|| Connection::parse(address.as_bytes()));
        (port != 0).then_some(Self { port, connection })
    }
}

/// Splits off the first line: its text, its end (CRLF, LF or nothing) and what follows.
pub(super) fn split_line(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let end = text.iter().position(|byte| *byte == b'\n').map_or(text.len(), |at| at + 1);
    let (line, rest) = text.split_at(end);
    let kept = match line {
        [kept @ .., b'\r', b'\n'] | [kept @ .., b'\n'] => kept.len(),
        _ => line.len(),
    };
    let (line, end) = line.split_at(kept);
    Some((line, end, rest))
}

/// The lines of a text, without their ends.
fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    core::iter::from_fn(move || {
        let (line, _, rest) = split_line(text)?;
        text = rest;
        Some(line)
    })
}

#[cfg(test)]
mod tests;
