//! A router that translates addresses, or only filters (RFC 4787): how it maps, whom it lets in,
//! and that it forgets. Bindings are refreshed by what goes out alone.

use std::net::{IpAddr, SocketAddr};

/// Whom a binding lets in (RFC 4787 s5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Everybody.
    Open,
    /// The addresses that were sent to, from any port.
    Address,
    /// The addresses and ports that were sent to.
    Port,
}

#[derive(Debug)]
struct Binding {
    inside: SocketAddr,
    outside: SocketAddr,
    /// In a symmetric NAT: the one peer that it is for.
    peer: Option<SocketAddr>,
    sent: Vec<(SocketAddr, u64)>,
}

/// See the module's text.
#[derive(Debug)]
pub struct Nat {
    /// Its own address.
    pub outside: IpAddr,
    filter: Filter,
    symmetric: bool,
    translates: bool,
    preserves: bool,
    life_ms: u64,
    bindings: Vec<Binding>,
    opened: Vec<(SocketAddr, SocketAddr)>,
    next_port: u16,
    /// Who knocked before a port was opened is not let in from there either, until it has not
    /// knocked for half a minute: connection tracking in Linux.
    pub remembers: bool,
    /// Who knocked where in vain, and when last.
    knocks: Vec<(SocketAddr, SocketAddr, u64)>,
}

/// How long a router of Linux remembers a datagram that nothing answered.
const KNOCK_MS: u64 = 30_000;

impl Nat {
    /// A NAT whose bindings live for so many seconds; `symmetric`: a port for each peer.
    pub fn new(outside: IpAddr, filter: Filter, symmetric: bool, life_s: u64) -> Self {
        Self {
            outside,
            filter,
            symmetric,
            translates: true,
            preserves: false,
            life_ms: life_s * 1000,
            bindings: Vec::new(),
            opened: Vec::new(),
            next_port: 20_000,
            remembers: false,
            knocks: Vec::new(),
        }
    }

    /// A firewall: nothing is translated, and nobody gets in unasked.
    pub fn firewall(inside: IpAddr, life_s: u64) -> Self {
        Self { translates: false, ..Self::new(inside, Filter::Port, false, life_s) }
    }

    /// A port outside is the one inside where it is free, as Linux does it.
    pub fn preserving(self) -> Self {
        Self { preserves: true, ..self }
    }

    /// A port is opened for a node inside, from now on for what leaves there, too (RFC 6887 s11).
    pub fn open_port(&mut self, inside: SocketAddr, port: u16) -> SocketAddr {
        let outside = SocketAddr::new(self.outside, port);
        self.bindings.retain(|binding| binding.inside != inside);
        self.opened.push((inside, outside));
        outside
    }

    /// It starts anew: all bindings are gone, and ports are others.
    pub fn restart(&mut self) {
        self.bindings.clear();
    }

    /// What leaves from `inside`: where it seems to come from.
    pub fn leave(&mut self, now_ms: u64, inside: SocketAddr, to: SocketAddr) -> SocketAddr {
        if let Some((_, outside)) = self.opened.iter().find(|(opened, _)| *opened == inside) {
            return *outside;
        }
        let life_ms = self.life_ms;
        self.bindings.retain_mut(|binding| {
            binding.sent.retain(|(_, at_ms)| now_ms < at_ms + life_ms);
            !binding.sent.is_empty()
        });
        let peer = self.symmetric.then_some(to);
        let known = self.bindings.iter().position(|b| b.inside == inside && b.peer == peer);
        let at = known.unwrap_or_else(|| {
            self.next_port += 1;
            let same = SocketAddr::new(self.outside, inside.port());
            let free = self.bindings.iter().all(|binding| binding.outside != same);
            let keeps = !self.translates || self.preserves && free;
            let other = SocketAddr::new(self.outside, self.next_port);
            let outside = if keeps { same } else { other };
            self.bindings.push(Binding { inside, outside, peer, sent: Vec::new() });
            self.bindings.len() - 1
        });
        let binding = &mut self.bindings[at];
        binding.sent.retain(|(sent_to, _)| *sent_to != to);
        binding.sent.push((to, now_ms));
        binding.outside
    }

    /// What arrives for `outside`: where it goes, if it gets in.
    pub fn enter(
        &mut self,
        now_ms: u64,
        from: SocketAddr,
        outside: SocketAddr,
    ) -> Option<SocketAddr> {
        self.knocks.retain(|(.., at_ms)| now_ms < at_ms + KNOCK_MS);
        let knocked = self.knocks.iter_mut().find(|(who, at, _)| (*who, *at) == (from, outside));
        if let Some((.., at_ms)) = knocked {
            *at_ms = now_ms;
            return None;
        }
        let inside = self.let_in(now_ms, from, outside);
        if inside.is_none() && self.remembers {
            self.knocks.push((from, outside, now_ms));
        }
        inside
    }

    fn let_in(&self, now_ms: u64, from: SocketAddr, outside: SocketAddr) -> Option<SocketAddr> {
        if let Some((inside, _)) = self.opened.iter().find(|(_, opened)| *opened == outside) {
            return Some(*inside);
        }
        let binding = self.bindings.iter().find(|b| b.outside == outside)?;
        let lets_in = binding.sent.iter().any(|(to, at_ms)| {
            let alive = now_ms < at_ms + self.life_ms;
            alive
                && match self.filter {
                    Filter::Open => true,
                    Filter::Address => to.ip() == from.ip(),
                    Filter::Port => *to == from,
                }
        });
        lets_in.then_some(binding.inside)
    }
}
