//! Several channels, a network between them with loss, delay and disorder, and virtual time.

use crate::budget::Budget;
use crate::channel::{
    CallKey, Channel, ChannelEvent, Counters, DownReason, Notice, Payload, Route,
};
use crate::identity::{Identity, NetworkKeys};
use crate::limits::{CHANNEL_SESSIONS_MAX, SIP_MESSAGE_BYTES_MAX};
use crate::net::NodeId;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// An event, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Up(NodeId),
    Down(NodeId, DownReason),
    Sip(NodeId, Vec<u8>),
    Notice(NodeId, CallKey),
}

pub(super) struct Node {
    pub(super) channel: Channel,
    pub(super) budget: Budget,
    pub(super) address: SocketAddr,
    pub(super) seen: Vec<Seen>,
}

#[derive(Clone)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

const START: Instant = Instant::from_micros(1_000_000_000);

/// The network and its nodes.
pub(super) struct Net {
    pub(super) now: Instant,
    pub(super) nodes: Vec<Node>,
    pub(super) loss_percent: u32,
    /// One way; twice as long at most, so that datagrams overtake each other.
    pub(super) delay: Duration,
    /// Everything ever sent, lost or not.
    pub(super) sent: Vec<Datagram>,
    flying: BTreeMap<(Instant, u64), Datagram>,
    sequence: u64,
    rng: Rng,
}

pub(super) fn address(node: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, node as u8 + 1], 5070))
}

pub(super) fn identity(node: usize) -> Identity {
    Identity::from_seed([node as u8 + 1; 32]).unwrap()
}

pub(super) fn network() -> NetworkKeys {
    NetworkKeys::new(&[9; 32], "test")
}

pub(super) fn notice(call_id: &str) -> Payload<'_> {
    Payload::Notice(Notice {
        call: CallKey::of(call_id),
        callee: "sip:bob@example.net",
        aliases: heapless::Vec::from_slice(&["sip:alice@example.net"]).unwrap(),
        withheld: false,
        session: None,
        age_ms: 7,
    })
}

impl Node {
    /// When something is to be done.
    fn due(&self) -> Option<Instant> {
        earlier(self.channel.poll_timeout(), self.channel.work_at(&self.budget))
    }
}

impl Channel {
    /// Whether a session with `peer` stands and nothing speaks against its being alive.
    pub(super) fn is_up(&self, peer: NodeId) -> bool {
        match self.route(peer) {
            Route::Session(id) => self.sessions.get(id).is_some_and(|s| s.doubt.is_none()),
            Route::Handshake(_) | Route::None => false,
        }
    }
}

impl Net {
    pub(super) fn new(nodes: usize, seed: u8) -> Self {
        Self::with_sessions(nodes, seed, CHANNEL_SESSIONS_MAX)
    }

    pub(super) fn with_sessions(nodes: usize, seed: u8, sessions_max: usize) -> Self {
        let mut rng = Rng::new([seed; 32]);
        let node = |at: usize| Node {
            channel: Channel::new(&identity(at), &network(), &mut rng, sessions_max),
            budget: Budget::new(START),
            address: address(at),
            seen: Vec::new(),
        };
        let nodes = (0..nodes).map(node).collect();
        Self {
            now: START,
            nodes,
            loss_percent: 0,
            delay: Duration::from_millis(20),
            sent: Vec::new(),
            flying: BTreeMap::new(),
            sequence: 0,
            rng,
        }
    }

    pub(super) fn id(&self, node: usize) -> NodeId {
        self.nodes[node].channel.id()
    }

    /// Where a node has its session with `peer`.
    pub(super) fn whereabouts(&self, node: usize, peer: NodeId) -> Option<SocketAddr> {
        self.nodes[node].channel.sessions().find(|s| s.peer == peer).map(|s| s.address)
    }

    pub(super) fn counters(&self, node: usize) -> Counters {
        self.nodes[node].channel.counters()
    }

    /// The node starts anew: same key, nothing in memory.
    pub(super) fn restart(&mut self, node: usize) {
        let mut rng = self.rng.fork("restart");
        self.nodes[node].channel =
            Channel::new(&identity(node), &network(), &mut rng, CHANNEL_SESSIONS_MAX);
    }

    /// The node forgets its sessions.
    pub(super) fn forget(&mut self, node: usize) {
        let peers: Vec<NodeId> = self.nodes[node].channel.sessions().map(|it| it.peer).collect();
        for peer in peers {
            let session = self.nodes[node].channel.current(peer);
            session.into_iter().for_each(|id| self.nodes[node].channel.remove_session(id));
        }
    }

    pub(super) fn open(&mut self, from: usize, to: usize) {
        let (peer, at) = (self.id(to), self.nodes[to].address);
        self.nodes[from].channel.open(self.now, peer, &[at]).unwrap();
        self.drain(from);
    }

    pub(super) fn send(&mut self, from: usize, to: usize, payload: &Payload<'_>) {
        let peer = self.id(to);
        self.nodes[from].channel.send(self.now, peer, payload).unwrap();
        self.drain(from);
    }

    /// Opens and waits until both ends have the session.
    pub(super) fn connect(&mut self, from: usize, to: usize) {
        self.open(from, to);
        self.run(Duration::from_secs(1));
        assert!(self.nodes[from].channel.is_up(self.id(to)));
        assert!(self.nodes[to].channel.is_up(self.id(from)));
        self.nodes.iter_mut().for_each(|node| node.seen.clear());
    }

    /// Takes what a node wants to send and to tell.
    pub(super) fn drain(&mut self, node: usize) {
        let mut buf = vec![0; SIP_MESSAGE_BYTES_MAX];
        while let Some((to, len)) = self.nodes[node].channel.poll_transmit(&mut buf) {
            assert!(len <= 1200, "a datagram has at most 1200 bytes");
            let from = self.nodes[node].address;
            self.fly(Datagram { from, to, bytes: buf[..len].to_vec() });
        }
        while let Some(event) = self.nodes[node].channel.poll_event(&mut buf) {
            let seen = match event {
                ChannelEvent::Up { peer } => Seen::Up(peer),
                ChannelEvent::Down { peer, reason } => Seen::Down(peer, reason),
                ChannelEvent::Received { peer, payload: Payload::Sip(message) } => {
                    Seen::Sip(peer, message.to_vec())
                }
                ChannelEvent::Received { peer, payload: Payload::Notice(notice) } => {
                    Seen::Notice(peer, notice.call)
                }
                ChannelEvent::Asking { .. } => continue,
                other => panic!("unexpected {other:?}"),
            };
            self.nodes[node].seen.push(seen);
        }
    }

    fn fly(&mut self, datagram: Datagram) {
        self.sent.push(datagram.clone());
        if self.rng.below(100) < self.loss_percent {
            return;
        }
        let at = self.now + self.rng.jitter(self.delay * 2);
        self.sequence += 1;
        self.flying.insert((at, self.sequence), datagram);
    }

    /// Gives a datagram to whoever has the address; true where it was taken.
    pub(super) fn deliver(&mut self, datagram: &Datagram) -> bool {
        let to = self.nodes.iter().position(|node| node.address == datagram.to);
        let Some(to) = to else { return false };
        let channel = &mut self.nodes[to].channel;
        let taken = channel.handle_datagram(self.now, datagram.from, &datagram.bytes).is_ok();
        self.drain(to);
        taken
    }

    /// Lets so many milliseconds pass, in which the first node never sends more than it is sent.
    pub(super) fn run_without_amplification(&mut self, ms: u32) {
        for _ in 0..ms {
            self.run(Duration::from_millis(1));
            let bytes = |to: usize| -> usize {
                let at = self.nodes[to].address;
                self.sent.iter().filter(|d| d.to == at).map(|d| d.bytes.len()).sum()
            };
            assert!(bytes(0) <= bytes(1), "what the callee sent against what was sent to it");
        }
    }

    /// Lets everything happen that happens within `interval`.
    pub(super) fn run(&mut self, interval: Duration) {
        let end = self.now + interval;
        loop {
            let flying = self.flying.keys().next().map(|(at, _)| *at);
            let timeout = self.nodes.iter().filter_map(Node::due).min();
            let Some(next) = earlier(flying, timeout).filter(|at| *at <= end) else {
                self.now = end;
                return;
            };
            self.now = self.now.max(next);
            if flying == Some(next) {
                let (_, datagram) = self.flying.pop_first().unwrap();
                self.deliver(&datagram);
            } else {
                for node in 0..self.nodes.len() {
                    self.timeout(node);
                }
            }
        }
    }

    fn timeout(&mut self, node: usize) {
        let due = self.nodes[node].due().is_some_and(|at| at <= self.now);
        let Node { channel, budget, .. } = &mut self.nodes[node];
        if due {
            let before = channel.counters().public_key_operations;
            channel.handle_timeout(self.now);
            channel.work(self.now, budget);
            let after = channel.counters().public_key_operations;
            assert!(after - before <= 1, "one public-key operation a turn");
        }
        self.drain(node);
    }
}
