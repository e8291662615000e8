//! A datagram on its way, and what its outside tells the simulator.

use std::net::SocketAddr;

/// A datagram on its way.
pub(super) struct Packet {
    /// The address it seems to come from.
    pub(super) from: SocketAddr,
    /// Where it goes.
    pub(super) to: SocketAddr,
    /// The router that sent it.
    pub(super) sender: u32,
    /// Whether the sender was reached by `to` before, at the address that it has now.
    pub(super) met: bool,
    pub(super) made: Made,
    pub(super) data: Vec<u8>,
}

/// How a datagram came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// An adapter sent it.
    Honestly,
    /// A hostile router did.
    Hostilely,
    /// The same, and it can only be refused.
    Spuriously,
}

/// Bytes of IP and UDP headers before a datagram to `to`.
pub(super) fn header_bytes(to: &SocketAddr) -> u64 {
    if to.is_ipv4() { 28 } else { 48 }
}

/// What the kinds are called, by their byte in wire version 1; the last is all others.
pub(in crate::lab) const KINDS: [&str; 21] = [
    "none",
    "ping",
    "pong",
    "find",
    "nodes",
    "get",
    "value",
    "put",
    "stored",
    "touch",
    "dial",
    "dialed",
    "introduce",
    "introduced",
    "introduction",
    "relay",
    "relayed",
    "hints",
    "who",
    "credentials",
    "other",
];

/// Those of a get and of its answer.
pub(in crate::lab) const LOOKUP_KINDS: [&str; 2] = [KINDS[GET as usize], KINDS[VALUE as usize]];

/// The kind byte of a ping.
pub(super) const PING: u8 = 1;
/// The kind byte of a get, and of its answer.
pub(super) const GET: u8 = 5;
pub(super) const VALUE: u8 = 6;
const FIND: u8 = 3;
const WHO: u8 = 18;
/// Pongs, nodes, values, stored, dialed, introduced and credentials.
const ANSWERS: [u8; 7] = [2, 4, VALUE, 8, 11, 13, 19];

/// What a datagram says it is: its third byte, as the wire format has it.
pub(super) fn kind(data: &[u8]) -> u8 {
    data.get(2).copied().unwrap_or(0)
}

/// What the kind of a datagram is called.
pub(in crate::lab) fn kind_name(data: &[u8]) -> &'static str {
    KINDS[usize::from(kind(data)).min(KINDS.len() - 1)]
}

/// Whether it is a get or the answer to one.
pub(super) fn is_lookup(data: &[u8]) -> bool {
    matches!(kind(data), GET | VALUE)
}

/// Which request an answer answers; `None` for what is none.
pub(super) fn answers(data: &[u8]) -> Option<[u8; 8]> {
    ANSWERS.contains(&kind(data)).then(|| request(data)).flatten()
}

/// The number of a request or of what it answers.
pub(super) fn request(data: &[u8]) -> Option<[u8; 8]> {
    behind_sender(data).and_then(|rest| rest.first_chunk()).copied()
}

/// Whether a request says by which token its sender's address is proven.
pub(super) fn has_token(data: &[u8]) -> bool {
    let token = behind_sender(data).and_then(|rest| rest.get(8..16));
    token.is_some_and(|token| token.iter().any(|byte| *byte != 0))
}

/// What follows kind, length where there is one, and the sender's id: the request's number, and in
/// requests a token.
fn behind_sender(data: &[u8]) -> Option<&[u8]> {
    data.get(if matches!(kind(data), FIND | GET | VALUE | WHO) { 21 } else { 19 }..)
}

/// Packets on their way, in places that are used again.
#[derive(Default)]
pub(super) struct Packets {
    places: Vec<Option<Packet>>,
    free: Vec<u32>,
    /// Buffers of packets that have arrived.
    buffers: Vec<Vec<u8>>,
}

impl Packets {
    /// A buffer that holds `data`.
    pub(super) fn buffer(&mut self, data: &[u8]) -> Vec<u8> {
        let mut buffer = self.buffers.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(data);
        buffer
    }

    pub(super) fn put(&mut self, packet: Packet) -> u32 {
        if let Some(place) = self.free.pop() {
            self.places[place as usize] = Some(packet);
            return place;
        }
        self.places.push(Some(packet));
        self.places.len() as u32 - 1
    }

    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut Packet> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    pub(super) fn take(&mut self, place: u32) -> Option<Packet> {
        let packet = self.places.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(packet)
    }

    /// Takes the buffer of a packet that has arrived. What attacks brought is not kept: few
    /// of their buffers come from here, and some are huge.
    pub(super) fn recycle(&mut self, packet: Packet) {
        if packet.made == Made::Honestly {
            self.buffers.push(packet.data);
        }
    }
}
