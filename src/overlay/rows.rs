//! Rows of hints: how one is kept in 16 bytes, or 28, and a sorted list of those of one family.

use super::id::{Named, Node, position, positions_within};
use crate::net::NodeId;
use std::net::{IpAddr, SocketAddr};

/// Bytes of a row, of IPv4 and of IPv6: prefix (8), minute (2), port (2), IP. Port 0: no hint any
/// more.
pub(super) const ROW_BYTES: [usize; 2] = [16, 28];
/// Minutes until a hint that nobody renewed is forgotten: one announcement may be lost.
pub(super) const LIFE_MIN: u16 = 54 * 60;
/// In the minute: it came by gossip.
const BY_GOSSIP: u16 = 1 << 15;
const MINUTE: usize = 8;
/// From here on it is the address.
pub(super) const PORT: usize = 10;
const IP: usize = 12;

/// Hints of one family, sorted by prefix.
pub(super) struct Rows {
    pub(super) bytes: Vec<u8>,
    pub(super) row: usize,
}

impl Rows {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() / self.row
    }

    /// The row at a position.
    pub(super) fn at(&self, index: usize) -> &[u8] {
        self.bytes.get(index * self.row..).and_then(|rest| rest.get(..self.row)).unwrap_or(&[0; 28])
    }

    /// The first position whose prefix is not less.
    fn lower(&self, prefix: u64) -> usize {
        position(self.len(), prefix, &|at| prefix_of(self.at(at)))
    }

    /// The hints whose prefixes share so many bits with `prefix`.
    pub(super) fn within(&self, prefix: u64, bits: u32) -> &[u8] {
        let found = positions_within(self.len(), prefix, bits, &|at| prefix_of(self.at(at)));
        self.bytes.get(found.start * self.row..found.end * self.row).unwrap_or_default()
    }

    /// Where the row of this prefix is, or would be.
    fn place(&self, prefix: u64) -> Result<usize, usize> {
        let at = self.lower(prefix);
        if at < self.len() && prefix_of(self.at(at)) == prefix { Ok(at) } else { Err(at) }
    }

    /// The row of this prefix.
    pub(super) fn get(&self, prefix: u64) -> Option<&[u8]> {
        self.place(prefix).ok().map(|at| self.at(at))
    }

    /// The row of this prefix, to change it.
    pub(super) fn find(&mut self, prefix: u64) -> Option<&mut [u8]> {
        let at = self.place(prefix).ok()? * self.row;
        self.bytes.get_mut(at..)?.get_mut(..self.row)
    }

    /// Inserts a row, or replaces that of the same prefix.
    pub(super) fn put(&mut self, row: &[u8]) {
        match self.place(prefix_of(row)) {
            Ok(at) => self.bytes[at * self.row..][..self.row].copy_from_slice(row),
            Err(at) => {
                self.bytes.extend_from_slice(row);
                self.bytes[at * self.row..].rotate_right(self.row);
            }
        }
    }

    /// Drops the rows that `keep` does not want.
    pub(super) fn retain(&mut self, keep: &mut dyn FnMut(&[u8]) -> bool) {
        let (row, mut to) = (self.row, 0);
        for from in (0..self.bytes.len()).step_by(row) {
            if keep(&self.bytes[from..from + row]) {
                if to != from {
                    self.bytes.copy_within(from..from + row, to);
                }
                to += row;
            }
        }
        self.bytes.truncate(to);
    }

    /// Moves all of `other` in, in one pass from the back; no prefix is in both.
    pub(super) fn weave(&mut self, other: &mut Self) {
        let mut end = self.bytes.len();
        self.bytes.resize(end + other.bytes.len(), 0);
        for left in (0..other.len()).rev() {
            let row = other.at(left);
            let above = position(end / self.row, prefix_of(row), &|at| prefix_of(self.at(at)));
            let at = above * self.row;
            self.bytes.copy_within(at..end, at + (left + 1) * self.row);
            self.bytes[at + left * self.row..][..self.row].copy_from_slice(row);
            end = at;
        }
        other.bytes.clear();
    }
}

/// A hint as it is kept.
pub(super) fn write<'a>(
    row: &'a mut [u8; ROW_BYTES[1]],
    node: &Node,
    minute: u16,
    gossip: bool,
) -> &'a [u8] {
    let minute = if gossip { minute | BY_GOSSIP } else { minute & !BY_GOSSIP };
    row[..MINUTE].copy_from_slice(&node.id.0[..MINUTE]);
    row[MINUTE..PORT].copy_from_slice(&minute.to_be_bytes());
    row[PORT..IP].copy_from_slice(&node.address.port().to_be_bytes());
    match node.address.ip() {
        IpAddr::V4(ip) => {
            row[IP..ROW_BYTES[0]].copy_from_slice(&ip.octets());
            &row[..ROW_BYTES[0]]
        }
        IpAddr::V6(ip) => {
            row[IP..].copy_from_slice(&ip.octets());
            row
        }
    }
}

/// Makes a row no hint any more.
pub(super) fn kill(row: &mut [u8]) {
    row[PORT..IP].fill(0);
}

fn number_at<const N: usize>(row: &[u8], at: usize) -> [u8; N] {
    row.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

/// Of whom it is.
pub(super) fn prefix_of(row: &[u8]) -> u64 {
    u64::from_be_bytes(number_at(row, 0))
}

/// Whether it came by gossip.
pub(super) fn is_by_gossip(row: &[u8]) -> bool {
    u16::from_be_bytes(number_at(row, MINUTE)) & BY_GOSSIP != 0
}

/// How many minutes ago it was news.
pub(super) fn age_of(row: &[u8], minute: u16) -> u16 {
    minute.wrapping_sub(u16::from_be_bytes(number_at(row, MINUTE))) & !BY_GOSSIP
}

/// Whether it is a hint, and not too old.
pub(super) fn is_alive(row: &[u8], minute: u16) -> bool {
    age_of(row, minute) < LIFE_MIN && row[PORT..IP] != [0, 0]
}

/// Where it says that the member is.
pub(super) fn address_of(row: &[u8]) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(number_at(row, PORT));
    let ip = if row.len() == ROW_BYTES[0] {
        IpAddr::from(number_at::<4>(row, IP))
    } else {
        IpAddr::from(number_at::<16>(row, IP))
    };
    (port != 0).then(|| SocketAddr::new(ip, port))
}

/// What two ids may share: an IPv4 address or an IPv6 /56; none on loopback.
pub(super) fn network_of(row: &[u8]) -> Option<u64> {
    match address_of(row)?.ip() {
        ip if ip.is_loopback() => None,
        IpAddr::V4(ip) => Some(u64::from(ip.to_bits())),
        IpAddr::V6(ip) => Some((ip.to_bits() >> 72) as u64 | 1 << 63),
    }
}

/// The hint, if it is one.
pub(super) fn read(row: &[u8], minute: u16) -> Option<Named> {
    let address = address_of(row).filter(|_| is_alive(row, minute))?;
    let mut id = NodeId([0; 16]);
    id.0[..MINUTE].copy_from_slice(&row[..MINUTE]);
    let age_h = age_of(row, minute).div_ceil(60) as u8;
    Some(Named { node: Node { id, address }, age_h })
}
