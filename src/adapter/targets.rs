//! The addresses of one provider's servers, and in which order they are tried.
//!
//! A phone stays on the target that accepted its REGISTER; a target that failed is tried after
//! those that did not, the one that failed longest ago first (CALLS §2.1). So whoever asks again
//! and again, as a probe does, asks all of them in turn.

use crate::limits::{SERVER_TARGETS_MAX, SERVERS_MAX, TARGET_FAILED};
use crate::sip::locate::{Targets, Transport};
use crate::time::Instant;
use std::net::SocketAddr;

/// Where to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The address.
    pub(crate) addr: SocketAddr,
    /// Whether over TCP; none: nothing decides, and the phone's own transport is used
    /// (CALLS §1.1).
    pub(crate) tcp: Option<bool>,
}

/// Targets in the order in which they are to be tried.
pub(crate) type Order = heapless::Vec<Target, SERVER_TARGETS_MAX>;

/// All targets of one provider.
#[derive(Default)]
pub(crate) struct TargetList {
    /// By server: the first, then its fallbacks.
    located: [Order; SERVERS_MAX],
    /// Those that phones chose by themselves.
    chosen: heapless::Vec<SocketAddr, SERVER_TARGETS_MAX>,
    /// Those that gave no sign of life since they failed, oldest failure first.
    failed: heapless::Vec<(SocketAddr, Instant), SERVER_TARGETS_MAX>,
}

impl TargetList {
    /// Takes what was found for server number `server`; `decided`: the transport too.
    pub(crate) fn locate(&mut self, server: usize, found: &Targets, decided: bool) {
        let Some(known) = self.located.get_mut(server) else { return };
        *known = found
            .iter()
            .map(|target| Target {
                addr: target.addr,
                tcp: decided.then_some(target.transport == Transport::Tcp),
            })
            .collect();
    }

    /// Takes a server that a phone chose by itself. Of those beyond the limit nothing is kept.
    pub(crate) fn adopt(&mut self, addr: SocketAddr) {
        if !self.chosen.contains(&addr) {
            let _ = self.chosen.push(addr);
        }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Every target once, best first.
    pub(crate) fn all(&self) -> Order {
        let mut all = Order::new();
        let chosen = self.chosen.iter().map(|addr| Target { addr: *addr, tcp: None });
        for target in self.located.iter().flatten().copied().chain(chosen) {
            if all.iter().all(|known| known.addr != target.addr) {
                // More than that are not used.
                let _ = all.push(target);
            }
        }
        all
    }

    /// The order for a phone that `accepted` has registered.
    pub(crate) fn order(&self, now: Instant, accepted: Option<SocketAddr>) -> Order {
        let mut order = self.all();
        let rank = |target: &Target| match self.failure(now, target.addr) {
            Some(at) => 2 + at,
            None => usize::from(Some(target.addr) != accepted),
        };
        crate::order::order(&mut order, rank);
        order
    }

    /// The number of this target.
    pub(crate) fn number(&self, addr: SocketAddr) -> Option<u8> {
        self.all().iter().position(|target| target.addr == addr).map(|at| at as u8)
    }

    /// Whether what is registered there stays there: one of the targets, and no other is better.
    pub(crate) fn serves(&self, now: Instant, addr: SocketAddr) -> bool {
        let fails = |addr| self.fails(now, addr);
        let all = self.all();
        self.number(addr).is_some() && (!fails(addr) || all.iter().all(|t| fails(t.addr)))
    }

    /// Whether it gave no sign of life since it failed.
    pub(crate) fn fails(&self, now: Instant, addr: SocketAddr) -> bool {
        self.failure(now, addr).is_some()
    }

    /// It is silent, or cannot be reached.
    pub(crate) fn failed(&mut self, now: Instant, addr: SocketAddr) {
        self.answered(addr);
        if self.failed.is_full() {
            self.failed.remove(0);
        }
        let _ = self.failed.push((addr, now));
    }

    /// It gave a sign of life.
    pub(crate) fn answered(&mut self, addr: SocketAddr) {
        self.failed.retain(|(known, _)| *known != addr);
    }

    fn failure(&self, now: Instant, addr: SocketAddr) -> Option<usize> {
        let recent = |at: Instant| now.since(at) < TARGET_FAILED;
        self.failed.iter().position(|(known, at)| *known == addr && recent(*at))
    }
}

#[cfg(test)]
mod tests;
