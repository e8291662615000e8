//! A network of overlay nodes over virtual time: latency, loss, death, partitions. One seed
//! decides everything.

use super::super::*;
use super::certified::Provider;
use crate::budget::Budget;
use crate::identity::record::Contact;
use core::cmp::Reverse;
use std::collections::BinaryHeap;

#[cfg(feature = "lab")]
pub(super) use crate::lab::nat;

#[cfg(not(feature = "lab"))]
#[path = "../../lab/nat.rs"]
#[expect(unreachable_pub, reason = "the lab shows it to others")]
pub(super) mod nat;

pub(super) const SECRET: [u8; 32] = [5; 32];
const LIMITS: Limits =
    Limits { table_kb: 64, store_entries: 256, publish_entries: 16, lookup_entries: 40 };

/// Sender, its address, the address sent to, the bytes.
type Packet = (usize, SocketAddr, SocketAddr, Vec<u8>);
/// What becomes of a datagram of this sender; false: it is lost.
pub(super) type Bend = fn(usize, &NetworkKeys, &mut [u8]) -> bool;
/// When, in which order, what (a wake-up where nothing), at whom.
type Due = (Instant, u64, Option<Packet>, usize);

pub(super) struct Peer {
    pub(super) node: Overlay,
    pub(super) budget: Budget,
    pub(super) address: SocketAddr,
    /// The one of the other family, where it has both.
    pub(super) other: Option<SocketAddr>,
    pub(super) alive: bool,
    pub(super) side: u8,
    /// The NAT that it is behind.
    pub(super) nat: Option<usize>,
    pub(super) found: Vec<(Instant, Found)>,
    pub(super) done: Vec<(Instant, LookupId, u8)>,
    pub(super) events: Vec<OverlayEvent>,
    pub(super) starts: u32,
    /// What came through others, by which way.
    pub(super) relayed: Vec<(SocketAddr, Vec<u8>)>,
    armed: Instant,
    /// Requests and answers to addresses that have proven nothing: bytes in, bytes out.
    pub(super) keep: Vec<(SocketAddr, Vec<u8>)>,
}

pub(super) struct Net {
    pub(super) peers: Vec<Peer>,
    pub(super) nats: Vec<nat::Nat>,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) one_way: Duration,
    pub(super) loss_percent: u32,
    pub(super) keys: NetworkKeys,
    pub(super) record: bool,
    /// Who does not hear what is asked of a holder.
    pub(super) mute: Option<usize>,
    /// Who bends what is sent.
    pub(super) bend: Option<Bend>,
    /// Who vouches for new nodes, if anybody.
    pub(super) provider: Option<Provider>,
    queue: BinaryHeap<Reverse<Due>>,
    count: u64,
}

pub(super) fn address(n: usize) -> SocketAddr {
    SocketAddr::from(([127, 0, (n >> 8) as u8, n as u8], 5070))
}

pub(super) fn identity(n: usize) -> Identity {
    let mut seed = [0x11; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    Identity::from_seed(seed).unwrap()
}

pub(super) fn aor(n: usize) -> String {
    format!("sip:user{n}@example.net")
}

pub(super) fn contact(n: usize) -> Contact {
    Contact::new(&format!("c{n}")).unwrap()
}

pub(super) fn address6(n: usize) -> SocketAddr {
    SocketAddr::from(([0x2001, 0xdb8, n as u16, 0, 0, 0, 0, 1], 5070))
}

fn second_port(first: SocketAddr) -> SocketAddr {
    SocketAddr::new(first.ip(), first.port() + 1)
}

impl Peer {
    /// Does what is due, and one public-key operation.
    pub(super) fn due(&mut self, now: Instant) {
        self.node.handle_timeout(now);
        let verified = self.node.counters().verified;
        self.node.work(now, &mut self.budget);
        assert!(self.node.counters().verified <= verified + 1, "one operation a step");
    }
}

impl Net {
    pub(super) fn new(seed: u8, one_way_ms: u64) -> Self {
        Self {
            peers: Vec::new(),
            nats: Vec::new(),
            now: Instant::from_micros(1_000_000),
            rng: Rng::new([seed; 32]),
            one_way: Duration::from_millis(one_way_ms),
            loss_percent: 0,
            keys: NetworkKeys::new(&SECRET, "test"),
            record: false,
            mute: None,
            bend: None,
            provider: None,
            queue: BinaryHeap::new(),
            count: 0,
        }
    }

    /// A network of `n` nodes that all joined through node 0.
    pub(super) fn joined(seed: u8, n: usize) -> Self {
        Self::new(seed, 20).join(n)
    }

    /// The same, of whoever is made here.
    pub(super) fn join(mut self, n: usize) -> Self {
        let net = &mut self;
        for i in 0..n {
            let bootstrap = [address(0)];
            net.add(i, if i == 0 { &[] } else { &bootstrap });
            net.run_ms(50);
        }
        net.run_ms(15_000);
        self
    }

    pub(super) fn fresh(&mut self, n: usize, starts: u32) -> Overlay {
        let vouched = self.provider.as_ref().map(|provider| provider.identity(n, &self.keys));
        let identity = vouched.unwrap_or_else(|| identity(n));
        let seed = self.rng.bytes();
        let mut node = Overlay::new(&identity, &self.keys, LIMITS, starts, seed, self.now);
        if let Some(provider) = &self.provider {
            provider.instruct(&mut node, self.now);
        }
        node
    }

    pub(super) fn add(&mut self, n: usize, bootstrap: &[SocketAddr]) -> usize {
        let i = self.add_at(n, address(n), None);
        let now = self.now;
        self.with(i, |node| {
            node.set_local(now, &[address(n)], &[]);
            node.set_bootstrap(now, bootstrap);
        });
        i
    }

    /// A node that was told nothing yet.
    pub(super) fn add_at(&mut self, n: usize, address: SocketAddr, nat: Option<usize>) -> usize {
        let node = self.fresh(n, 1);
        self.peers.push(Peer {
            node,
            budget: Budget::new(self.now),
            address,
            other: None,
            alive: true,
            side: 0,
            nat,
            found: Vec::new(),
            done: Vec::new(),
            events: Vec::new(),
            starts: 1,
            relayed: Vec::new(),
            armed: Instant::ZERO,
            keep: Vec::new(),
        });
        self.after(self.peers.len() - 1);
        self.peers.len() - 1
    }

    /// The process ends and starts anew, with what it saved.
    pub(super) fn restart(&mut self, i: usize, peers: &[u8], bootstrap: &[SocketAddr]) {
        self.peers[i].starts += 1;
        let mut node = self.fresh(i, self.peers[i].starts);
        node.set_local(self.now, &[self.peers[i].address], &[]);
        node.set_bootstrap(self.now, bootstrap);
        node.load_peers(self.now, peers);
        self.peers[i].node = node;
        self.peers[i].alive = true;
        self.after(i);
    }

    pub(super) fn move_to(&mut self, i: usize, to: SocketAddr) {
        self.peers[i].address = to;
        let now = self.now;
        self.with(i, |node| node.set_local(now, &[to], &[]));
    }

    pub(super) fn with<R>(&mut self, i: usize, act: impl FnOnce(&mut Overlay) -> R) -> R {
        let result = act(&mut self.peers[i].node);
        self.after(i);
        result
    }

    pub(super) fn publish(&mut self, i: usize, name: &str, contact: &Contact) {
        let now = self.now;
        self.with(i, |node| node.publish(now, name, contact)).unwrap();
    }

    pub(super) fn lookup(&mut self, i: usize, name: &str) -> LookupId {
        let now = self.now;
        self.with(i, |node| node.lookup(now, name))
    }

    /// Looks up and runs until it is over: what was found, how long the first find took.
    pub(super) fn resolve(&mut self, i: usize, name: &str) -> (Vec<Found>, Duration) {
        let start = self.now;
        let id = self.lookup(i, name);
        self.run_ms(1600);
        let peer = &self.peers[i];
        assert!(peer.done.iter().any(|(_, done, _)| *done == id), "a look-up ends in time");
        let of =
            |(at, found): &(Instant, Found)| (found.lookup == id).then(|| (*at, found.clone()));
        let found: Vec<_> = peer.found.iter().filter_map(of).collect();
        let took = found.first().map_or(Duration::MAX, |(at, _)| at.since(start));
        (found.into_iter().map(|(_, found)| found).collect(), took)
    }

    fn push(&mut self, at: Instant, packet: Option<Packet>, to: usize) {
        self.count += 1;
        self.queue.push(Reverse((at, self.count, packet, to)));
    }

    /// Delivers and times out until `ms` milliseconds have passed.
    pub(super) fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        let mut steps = 0u64;
        while self.queue.peek().is_some_and(|Reverse((at, ..))| *at <= end) {
            let Some(Reverse((at, _, packet, to))) = self.queue.pop() else { break };
            steps += 1;
            assert!(steps < 20_000_000, "the network rests");
            self.now = self.now.max(at);
            match packet {
                Some((sender, from, address, data)) => self.deliver(sender, from, address, &data),
                None if self.peers[to].alive && self.peers[to].armed == at => {
                    let now = self.now;
                    self.peers[to].armed = Instant::ZERO;
                    self.peers[to].due(now);
                    self.after(to);
                }
                None => {}
            }
        }
        self.now = end;
    }

    pub(super) fn deliver(
        &mut self,
        sender: usize,
        from: SocketAddr,
        address: SocketAddr,
        data: &[u8],
    ) {
        let now_ms = self.now.millis();
        let nat = self.nats.iter().position(|nat| nat.outside == address.ip());
        let inside = nat.map(|nat| self.nats[nat].enter(now_ms, from, address));
        let Some(address) = inside.unwrap_or(Some(address)) else { return };
        let side = self.peers[sender].side;
        let is = |own: SocketAddr| own == address || second_port(own) == address;
        let at = |p: &Peer| is(p.address) || p.other.is_some_and(is);
        let there = |p: &Peer| at(p) && p.nat == nat && p.side == side && p.alive;
        let Some(to) = self.peers.iter().position(there) else { return };
        let of_holders = matches!(data[2], wire::kind::GET | wire::kind::PUT | wire::kind::TOUCH);
        if self.mute == Some(to) && of_holders {
            return;
        }
        let now = self.now;
        if Datagram::of(data) == Datagram::Relayed {
            if let Ok((way, inner)) = self.peers[to].node.take_relayed(from, data) {
                self.peers[to].relayed.push((way, inner.to_vec()));
            }
        } else {
            let _ = self.peers[to].node.handle_datagram(now, from, data);
        }
        self.after(to);
    }

    /// Drains a node after something happened to it.
    pub(super) fn after(&mut self, i: usize) {
        let mut buf = [0; crate::limits::OVERLAY_DATAGRAM_BYTES_MAX];
        while let Some(Transmit { via, to, len, .. }) = self.peers[i].node.poll_transmit(&mut buf) {
            let Peer { address, other, .. } = self.peers[i];
            let own = other.filter(|other| other.is_ipv6() == to.is_ipv6()).or(Some(address));
            let own = own.filter(|own| own.is_ipv6() == to.is_ipv6());
            let Some(mut from) = own else {
                let now = self.now;
                self.peers[i].node.send_failed(now, to);
                continue;
            };
            if via == Port::Second {
                from = second_port(from);
            }
            if let Some(nat) = self.peers[i].nat {
                from = self.nats[nat].leave(self.now.millis(), from, to);
            }
            if self.record {
                self.peers[i].keep.push((to, buf[..len].to_vec()));
            }
            if !self.peers[i].alive || self.rng.below(100) < self.loss_percent {
                continue;
            }
            let mut data = buf[..len].to_vec();
            if self.bend.is_some_and(|bend| !bend(i, &self.keys, &mut data)) {
                continue;
            }
            let jitter = Duration::from_micros(u64::from(self.rng.below(2000)));
            let when = self.now + self.one_way + jitter;
            self.push(when, Some((i, from, to, data)), i);
        }
        while let Some(event) = self.peers[i].node.poll_event() {
            let now = self.now;
            match event {
                OverlayEvent::Found(found) => self.peers[i].found.push((now, found)),
                OverlayEvent::Done { lookup, found } => {
                    self.peers[i].done.push((now, lookup, found));
                }
                event => self.peers[i].events.push(event),
            }
        }
        let Peer { node, budget, .. } = &self.peers[i];
        if let Some(at) = earlier(node.poll_timeout(), node.work_at(budget)) {
            let at = at.max(self.now + Duration::from_micros(1));
            let armed = self.peers[i].armed;
            if armed == Instant::ZERO || at < armed || armed <= self.now {
                self.peers[i].armed = at;
                self.push(at, None, i);
            }
        }
    }
}
