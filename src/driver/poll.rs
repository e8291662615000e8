//! Waiting for descriptors: epoll, level-triggered for datagrams, edge-triggered for tasks.
//!
//! A descriptor is registered once and stays so: no system call but the wait itself is spent on
//! readiness. That is why this is epoll itself and not a portable wrapper: those arm a timer and
//! re-arm a wake-up descriptor around every wait, four system calls more for each RTP packet.
//! Time-outs are in milliseconds and rounded up, so that a wait never ends just before its time.

use crate::net::{SocketId, SocketKind};
use crate::time::Duration;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use std::io;
use std::os::fd::AsFd;

/// The most descriptors that one wait reports; the rest come with the next one.
const EVENTS_MAX: usize = 256;

/// Who is meant by a ready descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A UDP socket of this kind.
    Udp(SocketKind, SocketId),
    /// A task's descriptor, by its place in the reactor.
    Task(u32),
    /// Signals.
    Signals,
    /// Changes of addresses and links.
    Network,
    /// Lines of the line source.
    Lines,
}

impl Key {
    fn pack(self) -> u64 {
        let (class, id) = match self {
            Self::Udp(SocketKind::Media, id) => (0, id.0),
            Self::Udp(SocketKind::Sip, id) => (1, id.0),
            Self::Udp(SocketKind::Portmap, id) => (7, id.0),
            Self::Udp(_, id) => (2, id.0),
            Self::Task(place) => (3, place),
            Self::Signals => (4, 0),
            Self::Network => (5, 0),
            Self::Lines => (6, 0),
        };
        class << 32 | u64::from(id)
    }

    fn unpack(packed: u64) -> Option<Self> {
        let id = packed as u32;
        Some(match packed >> 32 {
            0 => Self::Udp(SocketKind::Media, SocketId(id)),
            1 => Self::Udp(SocketKind::Sip, SocketId(id)),
            2 => Self::Udp(SocketKind::Overlay, SocketId(id)),
            3 => Self::Task(id),
            4 => Self::Signals,
            5 => Self::Network,
            6 => Self::Lines,
            7 => Self::Udp(SocketKind::Portmap, SocketId(id)),
            _ => return None,
        })
    }
}

/// A ready descriptor.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ready {
    /// Who is meant.
    pub(super) key: Key,
    /// Whether an error waits in the socket's error queue.
    pub(super) error: bool,
}

/// The list that a wait fills, reserved once.
pub(super) struct ReadyList {
    events: Vec<EpollEvent>,
    count: usize,
}

impl ReadyList {
    /// An empty list.
    pub(super) fn new() -> Self {
        Self { events: vec![EpollEvent::empty(); EVENTS_MAX], count: 0 }
    }

    /// What the last wait found.
    pub(super) fn iter(&self) -> impl Iterator<Item = Ready> + '_ {
        self.events.iter().take(self.count).filter_map(|event| {
            let error = event.events().contains(EpollFlags::EPOLLERR);
            Key::unpack(event.data()).map(|key| Ready { key, error })
        })
    }
}

/// The set of descriptors waited for.
pub(super) struct Poll {
    epoll: Epoll,
}

impl Poll {
    /// An empty set.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { epoll: Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)? })
    }

    /// Reports `source` for as long as it is readable.
    pub(super) fn add_level(&self, source: impl AsFd, key: Key) -> io::Result<()> {
        self.add(source, EpollFlags::EPOLLIN, key)
    }

    /// Reports `source` once each time that it becomes readable or writable.
    pub(super) fn add_edge(&self, source: impl AsFd, key: Key) -> io::Result<()> {
        let both = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT | EpollFlags::EPOLLRDHUP;
        self.add(source, both | EpollFlags::EPOLLET, key)
    }

    fn add(&self, source: impl AsFd, flags: EpollFlags, key: Key) -> io::Result<()> {
        Ok(self.epoll.add(source, EpollEvent::new(flags, key.pack()))?)
    }

    /// Forgets `source`.
    pub(super) fn delete(&self, source: impl AsFd) {
        // The only failure is a descriptor that is not in the set, which is what is wanted.
        let _ = self.epoll.delete(source);
    }

    /// Waits until something is ready, or until `timeout` has passed (`None`: for ever).
    pub(super) fn wait(&self, list: &mut ReadyList, timeout: Option<Duration>) -> io::Result<()> {
        let timeout = timeout.map_or(EpollTimeout::NONE, |timeout| {
            let millis = (timeout.as_micros() as u64).div_ceil(1000);
            let millis = i32::try_from(millis).unwrap_or(i32::MAX);
            EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
        });
        list.count = 0;
        match self.epoll.wait(&mut list.events, timeout) {
            Ok(count) => list.count = count,
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_packing() {
        let ids = [0, 7, u32::MAX].map(SocketId);
        let kinds = [SocketKind::Media, SocketKind::Sip, SocketKind::Overlay, SocketKind::Portmap];
        for kind in kinds {
            for id in ids {
                let key = Key::Udp(kind, id);
                assert_eq!(Key::unpack(key.pack()), Some(key));
            }
        }
        for key in [Key::Task(u32::MAX), Key::Signals, Key::Network, Key::Lines] {
            assert_eq!(Key::unpack(key.pack()), Some(key));
        }
        assert_eq!(Key::unpack(9 << 32), None);
    }
}
