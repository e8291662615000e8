//! The datagrams of NAT-PMP (RFC 6886), which is PCP's version 0: address and UDP mappings.

use super::epoch::Epoch;
use crate::time::{Duration, Instant};
use std::net::Ipv4Addr;

/// First of the retransmission intervals (RFC 6886 s3.1); each is twice the one before.
pub(super) const FIRST_INTERVAL: Duration = Duration::from_millis(250);

const VERSION: u8 = 0;
const ADDRESS: u8 = 0;
const MAP_UDP: u8 = 1;
const RESPONSE: u8 = 0x80;

/// A result code of an answer (RFC 6886 s3.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResultCode(pub(super) u16);

impl ResultCode {
    pub(super) const SUCCESS: Self = Self(0);

    /// Whether asking again later may help: no address yet, or out of resources.
    pub(super) fn is_passing(self) -> bool {
        matches!(self.0, 3 | 4)
    }
}

/// What an answer tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// The external address.
    Address(Ipv4Addr),
    /// A mapping of a UDP port; lifetime 0: deleted.
    Map { internal_port: u16, external_port: u16, lifetime_s: u32 },
    /// The request was refused; which port it was about, where that is told.
    Refusal { of: Option<u16> },
}

/// An answer, or an announcement of the external address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Response {
    pub(super) result: ResultCode,
    /// Seconds since the gateway lost its mappings last.
    pub(super) epoch_s: u32,
    pub(super) body: Body,
}

/// Asks for the external address.
pub(super) fn address() -> [u8; 2] {
    [VERSION, ADDRESS]
}

/// Asks for a mapping of a UDP port; lifetime 0 deletes it, and the external port is then 0.
pub(super) fn map(internal_port: u16, external_port: u16, lifetime_s: u32) -> [u8; 12] {
    let mut out = [0; 12];
    (out[0], out[1]) = (VERSION, MAP_UDP);
    out[4..6].copy_from_slice(&internal_port.to_be_bytes());
    out[6..8].copy_from_slice(&external_port.to_be_bytes());
    out[8..12].copy_from_slice(&lifetime_s.to_be_bytes());
    out
}

/// Reads what a gateway sent. `None` where it is nothing of version 0.
pub(super) fn parse(data: &[u8]) -> Option<Response> {
    let &[VERSION, opcode, r0, r1, e0, e1, e2, e3, ref rest @ ..] = data else { return None };
    let (result, epoch_s) =
        (ResultCode(u16::from_be_bytes([r0, r1])), u32::from_be_bytes([e0, e1, e2, e3]));
    let body = match (opcode, rest) {
        (_, _) if opcode & RESPONSE == 0 => return None,
        (_, &[i0, i1, ..]) if result != ResultCode::SUCCESS && opcode == MAP_UDP | RESPONSE => {
            Body::Refusal { of: Some(u16::from_be_bytes([i0, i1])) }
        }
        (_, _) if result != ResultCode::SUCCESS => Body::Refusal { of: None },
        (opcode, &[a, b, c, d]) if opcode == ADDRESS | RESPONSE => {
            Body::Address(Ipv4Addr::new(a, b, c, d))
        }
        (opcode, &[i0, i1, x0, x1, l0, l1, l2, l3]) if opcode == MAP_UDP | RESPONSE => Body::Map {
            internal_port: u16::from_be_bytes([i0, i1]),
            external_port: u16::from_be_bytes([x0, x1]),
            lifetime_s: u32::from_be_bytes([l0, l1, l2, l3]),
        },
        _ => return None,
    };
    Some(Response { result, epoch_s, body })
}

/// Whether a gateway that tells `epoch_s` lost its mappings since `last` (RFC 6886 s3.6).
pub(super) fn was_restarted(last: &Epoch, now: Instant, epoch_s: u32) -> bool {
    let expected = u64::from(last.told_s) + now.since(last.at).as_secs() * 7 / 8;
    u64::from(epoch_s) + 2 < expected
}
