//! TCP connections by their names: how many there may be, and from whom.
//!
//! Each holds up to a message that is not whole yet and a queue of answers, so their number follows
//! `max_phones`. Hosts of the LAN open as many as they like: what they open has a share of its own,
//! of which one host gets half at most. All addresses of a /64 are one host: each host may choose
//! among them.

use super::{Connection, Facing};
use crate::limits::{STREAMS_A_HOST_MAX, streams_max};
use crate::map::Map;
use crate::net::ConnId;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// See the module's text.
pub(crate) struct Connections {
    by_id: Map<ConnId, Connection>,
    /// Of those that far ends have opened.
    accepted_max: usize,
    /// Of all.
    all_max: usize,
}

impl Connections {
    /// None yet. Those to the phones' servers have room, whatever was accepted.
    pub(crate) fn new(max_phones: usize) -> Self {
        let all_max = streams_max(max_phones);
        Self { by_id: Map::new(), accepted_max: all_max - max_phones, all_max }
    }

    /// Adds one. False where there are too many.
    pub(crate) fn add(&mut self, connection: Connection) -> bool {
        let accepted = || self.by_id.values().filter(|other| other.accepted);
        let host = host_of(connection.remote.ip());
        let fits = !connection.accepted
            || (accepted().count() < self.accepted_max
                && accepted().filter(|other| host_of(other.remote.ip()) == host).count()
                    < STREAMS_A_HOST_MAX.min(self.accepted_max / 2));
        if !fits || self.by_id.len() >= self.all_max {
            return false;
        }
        self.by_id.insert(connection.id, connection);
        true
    }

    /// Removes one.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<Connection> {
        self.by_id.remove(&id)
    }

    /// The one of this name.
    pub(crate) fn get(&self, id: ConnId) -> Option<&Connection> {
        self.by_id.get(&id)
    }

    /// The one of this name, to feed its framer.
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.by_id.get_mut(&id)
    }

    /// The one to `remote` that serves `phone`.
    pub(crate) fn to(&self, remote: SocketAddr, phone: Option<SocketAddr>) -> Option<&Connection> {
        self.by_id.values().find(|c| c.remote == remote && c.phone == phone)
    }

    /// Those that hosts of the LAN have opened.
    pub(crate) fn of_lan(&self) -> impl Iterator<Item = &Connection> {
        self.by_id.values().filter(|c| c.accepted && c.facing == Facing::Lan)
    }
}

/// What stands for a host: its address, or the /64 that it is in.
fn host_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests;
