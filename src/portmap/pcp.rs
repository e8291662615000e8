//! The datagrams of PCP, version 2 (RFC 6887): MAP and ANNOUNCE.

use super::epoch::Epoch;
use crate::time::{Duration, Instant};
use std::net::{IpAddr, Ipv6Addr};

/// The port that servers of PCP and NAT-PMP listen on (RFC 6887 s19.1).
pub(super) const SERVER_PORT: u16 = 5351;

/// The port that clients hear announcements on (RFC 6887 s19.1), by multicast to 224.0.0.1.
pub(super) const CLIENT_PORT: u16 = 5350;

/// First of the retransmission intervals (RFC 6887 s8.1.1: IRT); each is twice the one before.
pub(super) const FIRST_INTERVAL: Duration = Duration::from_secs(3);

const VERSION: u8 = 2;
const ANNOUNCE: u8 = 0;
const MAP: u8 = 1;
const RESPONSE: u8 = 0x80;
const UDP: u8 = 17;
const HEADER_BYTES: usize = 24;
const MAP_BYTES: usize = 60;
/// RFC 6887 s7: no message is larger.
const MESSAGE_BYTES_MAX: usize = 1100;

/// Ties answers to what was asked, against spoofing (RFC 6887 s11.2.1).
pub(super) type Nonce = [u8; 12];

/// A result code of an answer (RFC 6887 s7.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResultCode(pub(super) u8);

impl ResultCode {
    pub(super) const SUCCESS: Self = Self(0);
    /// The server speaks another version.
    pub(super) const UNSUPPORTED_VERSION: Self = Self(1);

    /// Whether asking again later may help (RFC 6887 s7.4: short lifetime errors).
    pub(super) fn is_passing(self) -> bool {
        // NETWORK_FAILURE, NO_RESOURCES, USER_EX_QUOTA, CANNOT_PROVIDE_EXTERNAL
        matches!(self.0, 7 | 8 | 10 | 11)
    }
}

/// What MAP asks for, and what its answer grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Map {
    pub(super) nonce: Nonce,
    /// 0 deletes.
    pub(super) lifetime_s: u32,
    pub(super) internal_port: u16,
    pub(super) external_port: u16,
    pub(super) external: IpAddr,
}

/// An answer, or an announcement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) result: ResultCode,
    /// Seconds since the server lost its mappings last.
    pub(super) epoch_s: u32,
    /// Absent in an announcement, and where the request was not understood.
    pub(super) map: Option<Map>,
}

/// Writes a MAP request for a UDP port of `client`.
pub(super) fn map(client: IpAddr, map: &Map) -> [u8; MAP_BYTES] {
    let mut out = [0; MAP_BYTES];
    out[..HEADER_BYTES].copy_from_slice(&header(MAP, map.lifetime_s, client));
    out[24..36].copy_from_slice(&map.nonce);
    out[36] = UDP;
    out[40..42].copy_from_slice(&map.internal_port.to_be_bytes());
    out[42..44].copy_from_slice(&map.external_port.to_be_bytes());
    out[44..60].copy_from_slice(&mapped(map.external));
    out
}

/// Writes an ANNOUNCE request: its answer tells the epoch (RFC 6887 s14.1).
pub(super) fn announce(client: IpAddr) -> [u8; HEADER_BYTES] {
    header(ANNOUNCE, 0, client)
}

fn header(opcode: u8, lifetime_s: u32, client: IpAddr) -> [u8; HEADER_BYTES] {
    let mut out = [0; HEADER_BYTES];
    (out[0], out[1]) = (VERSION, opcode);
    out[4..8].copy_from_slice(&lifetime_s.to_be_bytes());
    out[8..24].copy_from_slice(&mapped(client));
    out
}

/// Reads what a server sent. `None` where it is nothing of version 2.
pub(super) fn parse(data: &[u8]) -> Option<Response> {
    let fits = (HEADER_BYTES..=MESSAGE_BYTES_MAX).contains(&data.len());
    let &[VERSION, opcode, _, result, ..] = data else { return None };
    if !fits || !data.len().is_multiple_of(4) || opcode & RESPONSE == 0 {
        return None;
    }
    let word = |at: usize| Some(u32::from_be_bytes(data.get(at..at + 4)?.try_into().ok()?));
    let port = |at: usize| Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?));
    let (lifetime_s, epoch_s) = (word(4)?, word(8)?);
    let result = ResultCode(result);
    let map = match opcode & !RESPONSE {
        ANNOUNCE => None,
        MAP if data.len() >= MAP_BYTES && data.get(36) == Some(&UDP) => Some(Map {
            nonce: data.get(24..36)?.try_into().ok()?,
            lifetime_s,
            internal_port: port(40)?,
            external_port: port(42)?,
            external: address(data.get(44..60)?.try_into().ok()?),
        }),
        MAP if result != ResultCode::SUCCESS => None,
        _ => return None,
    };
    Some(Response { result, epoch_s, map })
}

fn mapped(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn address(octets: [u8; 16]) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
}

/// Whether a server that tells `epoch_s` lost its mappings since `last` (RFC 6887 s8.5).
pub(super) fn was_restarted(last: &Epoch, now: Instant, epoch_s: u32) -> bool {
    if epoch_s.saturating_add(1) < last.told_s {
        return true;
    }
    let client = now.since(last.at).as_secs();
    let server = u64::from(epoch_s.saturating_sub(last.told_s));
    client + 2 < server - server / 16 || server + 2 < client - client / 16
}
