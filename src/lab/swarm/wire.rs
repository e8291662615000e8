//! The network between real processes: a TUN device through which every packet takes as long as
//! any other, with a count of what passes.
//!
//! All addresses are this host's, so the kernel would deliver at once; a routing rule that comes
//! before the kernel's own has what is sent here leave by the device, and what comes back from it
//! is delivered. Nothing is rewritten: a process has one address, inside and out. Limits: IPv4,
//! a network namespace of its own, root.

use super::figures::Sent;
use super::member::OVERLAY_PORT;
use crate::lab::hosts::Host;
use crate::lab::sim::kind_name;
use core::net::Ipv4Addr;
use core::sync::atomic::{AtomicBool, Ordering};
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tappers::{Interface, Tun};

const DEVICE: &str = "delay";
const MTU: usize = 1500;
/// Packets on their way; further ones are lost, and counted.
const PACKETS_MAX: usize = 1 << 16;
/// Packets taken in before those that are due get their turn.
const BURST: usize = 64;
/// No wait is longer, so that the end is noticed.
const WAIT_MAX: Duration = Duration::from_millis(50);
const IP_HEADER: usize = 20;
const HEADERS: usize = IP_HEADER + 8;
const UDP: u8 = 17;

/// What passed so far.
#[derive(Clone, Default)]
pub(super) struct Count {
    at: Option<Instant>,
    packets: u64,
    kinds: BTreeMap<&'static str, u64>,
    /// Bytes that each address sent and received.
    hosts: BTreeMap<Ipv4Addr, (u64, u64)>,
    /// Packets that found no room.
    pub(super) lost: u64,
}

impl Count {
    /// What passed after `before`.
    pub(super) fn since(&self, before: &Self) -> Sent {
        let seconds = self.at.zip(before.at).map_or(0.0, |(at, from)| (at - from).as_secs_f64());
        let more = |(kind, bytes): (&&'static str, &u64)| {
            (*kind, bytes - before.kinds.get(kind).unwrap_or(&0))
        };
        let kinds = self.kinds.iter().map(more).collect();
        Sent { seconds, datagrams: self.packets - before.packets, kinds }
    }

    /// The most that one address sent and received each second after `before`.
    pub(super) fn busiest_bytes_per_s(&self, before: &Self) -> f64 {
        let both = |(sent, received): (u64, u64)| sent + received;
        let more = self
            .hosts
            .iter()
            .map(|(host, now)| both(*now) - before.hosts.get(host).copied().map_or(0, both));
        more.max().unwrap_or(0) as f64 / self.since(before).seconds
    }

    pub(super) fn note(&mut self, packet: &[u8]) {
        let bytes = packet.len() as u64;
        self.packets += 1;
        *self.kinds.entry(kind(packet)).or_default() += bytes;
        self.hosts.entry(address(packet, 12)).or_default().0 += bytes;
        self.hosts.entry(address(packet, 16)).or_default().1 += bytes;
    }
}

fn address(packet: &[u8], at: usize) -> Ipv4Addr {
    let octets: [u8; 4] = packet[at..at + 4].try_into().unwrap_or_default();
    octets.into()
}

fn kind(packet: &[u8]) -> &'static str {
    let port = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    // The other end may be a member's second socket.
    let of_overlay = [IP_HEADER, IP_HEADER + 2].iter().any(|at| port(*at) == OVERLAY_PORT);
    if of_overlay { kind_name(&packet[HEADERS..]) } else { "other" }
}

/// The network.
pub(super) struct Wire {
    tun: Tun,
    delay: Duration,
    over: AtomicBool,
    count: Mutex<Count>,
}

impl Wire {
    /// Makes the device, and has what is sent to these networks leave by it.
    pub(super) fn new(delay: Duration, networks: &[&str]) -> io::Result<Self> {
        let mut tun = Tun::new_named(Interface::new(DEVICE)?)?;
        tun.set_nonblocking(true)?;
        let mut lines = format!(
            "link set lo up\nlink set {DEVICE} mtu {MTU} txqueuelen 20000\nlink set {DEVICE} up\n\
             rule add pref 10 lookup local\nrule del pref 0\n"
        );
        for network in networks {
            lines += &format!(
                "route add local {network} dev lo\nroute add {network} dev {DEVICE} table 100\n\
                 rule add pref 5 iif lo to {network} lookup 100\n"
            );
        }
        for (device, name, value) in
            [(DEVICE, "accept_local", "1"), (DEVICE, "rp_filter", "0"), ("all", "rp_filter", "0")]
        {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{device}/{name}"), value)?;
        }
        // It would greet routers that it has none of.
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{DEVICE}/disable_ipv6"), "1")?;
        Host::this().ip(&lines)?;
        Ok(Self { tun, delay, over: AtomicBool::new(false), count: Mutex::default() })
    }

    /// What passed until now.
    pub(super) fn count(&self) -> Count {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        Count { at: Some(Instant::now()), ..count.clone() }
    }

    /// Has [`Self::carry`] return.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Carries packets, in a thread of its own, until [`Self::end`].
    pub(super) fn carry(&self) -> io::Result<()> {
        let mut waiting: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
        let mut free: Vec<Vec<u8>> = Vec::new();
        while !self.over.load(Ordering::Acquire) {
            let now = Instant::now();
            while let Some((_, packet)) = waiting.pop_front_if(|(due, _)| *due <= now) {
                // Whom it was for is gone: it is lost, as elsewhere.
                let _ = self.tun.send(&packet);
                free.push(packet);
            }
            let due = waiting.front().map_or(WAIT_MAX, |(due, _)| *due - now).min(WAIT_MAX);
            let mut polled = [PollFd::new(self.tun.as_fd(), PollFlags::POLLIN)];
            // An interrupted wait is a short one.
            let _ = ppoll(&mut polled, Some(TimeSpec::from_duration(due)), None);
            for _ in 0..BURST {
                let mut packet = free.pop().unwrap_or_default();
                packet.resize(MTU, 0);
                match self.tun.recv(&mut packet) {
                    Ok(len) => packet.truncate(len),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
                self.take(packet, &mut waiting);
            }
        }
        Ok(())
    }

    fn take(&self, packet: Vec<u8>, waiting: &mut VecDeque<(Instant, Vec<u8>)>) {
        // Of ICMP there is none: who has no power does not say that his port is closed.
        if packet.len() <= HEADERS || packet[0] >> 4 != 4 || packet[9] != UDP {
            return;
        }
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        count.note(&packet);
        if waiting.len() < PACKETS_MAX {
            waiting.push_back((Instant::now() + self.delay, packet));
        } else {
            count.lost += 1;
        }
    }
}
