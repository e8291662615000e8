//! The body of the fuzz target: two channels, and a script of what a network, and a member of it
//! with bad intentions, can do to them.
//!
//! Datagrams that were changed get a good tag again, so that the fuzzer reaches what lies behind
//! the tag; a peer may put any plaintext into its session.

use super::notice::CallKey;
use super::wire::DATA;
use super::{Channel, Payload};
use crate::budget::Budget;
use crate::identity::network::TAG_BYTES;
use crate::identity::{Identity, NetworkKeys};
use crate::limits::{CHANNEL_DATAGRAM_BYTES_MAX, CHANNEL_HANDSHAKES_MAX, SIP_MESSAGE_BYTES_MAX};
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use std::collections::VecDeque;
use std::net::SocketAddr;

const SESSIONS_MAX: usize = 2;
const FLYING_MAX: usize = 64;

struct Bench {
    now: Instant,
    network: NetworkKeys,
    channels: [Channel; 2],
    budgets: [Budget; 2],
    addresses: [SocketAddr; 2],
    /// Source, destination, bytes.
    flying: VecDeque<(SocketAddr, usize, Vec<u8>)>,
    buf: Vec<u8>,
}

/// Runs the script `data`. Panics where a channel does, or where it breaks a bound.
pub fn fuzz(data: &[u8]) {
    let Some(mut bench) = Bench::new() else { return };
    let mut script = data.iter().copied();
    while let Some(operation) = script.next() {
        let Some(argument) = script.next() else { return };
        let node = usize::from(argument & 1);
        match operation % 10 {
            0 => bench.pass(Duration::from_millis(u64::from(argument) * 10)),
            1 => bench.deliver(None),
            2 => bench.deliver(Some(argument)),
            3 => drop(bench.flying.pop_front()),
            4 => bench.flying.rotate_left(bench.flying.len().min(1)),
            5 => bench.change(usize::from(argument), script.next().unwrap_or(1)),
            6 => bench.open(node),
            7 => bench.send(node, usize::from(argument) * 67),
            8 => bench.say(node, &script.by_ref().take(usize::from(argument)).collect::<Vec<_>>()),
            _ => {
                bench.throw(node, &script.by_ref().take(usize::from(argument)).collect::<Vec<_>>())
            }
        }
        bench.check();
    }
}

/// Takes `data` as a kind and a body of what is said inside a session. Panics where what is read is
/// not written so that the same is read again.
pub fn fuzz_payload(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    let Ok(payload) = Payload::decode(*kind, body) else { return };
    let mut buf = vec![0; SIP_MESSAGE_BYTES_MAX];
    let written = payload.encode(&mut buf);
    let (kind, len) = written.expect("what was read is within its bounds");
    let again = Payload::decode(kind, buf.get(..len).unwrap_or_default());
    assert_eq!(again.as_ref(), Ok(&payload));
}

impl Bench {
    fn new() -> Option<Self> {
        let network = NetworkKeys::new(&[1; 32], "fuzz");
        let mut rng = Rng::new([2; 32]);
        let mut channel = |seed: u8| {
            let identity = Identity::from_seed([seed; 32]).ok()?;
            Some(Channel::new(&identity, &network, &mut rng, SESSIONS_MAX))
        };
        let channels = [channel(3)?, channel(4)?];
        let address = |last: u8| SocketAddr::from(([127, 0, 0, last], 5070));
        Some(Self {
            now: Instant::from_micros(1),
            network,
            channels,
            budgets: [(); 2].map(|()| Budget::new(Instant::from_micros(1))),
            addresses: [address(1), address(2)],
            flying: VecDeque::new(),
            buf: vec![0; SIP_MESSAGE_BYTES_MAX],
        })
    }

    fn drain(&mut self) {
        for (node, channel) in self.channels.iter_mut().enumerate() {
            while let Some((to, len)) = channel.poll_transmit(&mut self.buf) {
                assert!(len <= CHANNEL_DATAGRAM_BYTES_MAX, "datagrams are bounded");
                let to = self.addresses.iter().position(|address| *address == to);
                let bytes = self.buf.get(..len).unwrap_or_default().to_vec();
                if let Some(to) = to.filter(|_| self.flying.len() < FLYING_MAX) {
                    self.flying.push_back((self.addresses[node], to, bytes));
                }
            }
            while channel.poll_event(&mut self.buf).is_some() {}
        }
    }

    fn pass(&mut self, interval: Duration) {
        self.now += interval;
        for (channel, budget) in self.channels.iter_mut().zip(&mut self.budgets) {
            let before = channel.counters().public_key_operations;
            channel.handle_timeout(self.now);
            channel.work(self.now, budget);
            let done = channel.counters().public_key_operations - before;
            assert!(done <= 1, "one public-key operation a turn");
        }
        self.drain();
    }

    /// Delivers the oldest datagram, or a copy of it as if from another place.
    fn deliver(&mut self, from_port: Option<u8>) {
        let Some((mut from, to, bytes)) = self.flying.front().cloned() else { return };
        match from_port {
            Some(port) => from.set_port(u16::from(port)),
            None => drop(self.flying.pop_front()),
        }
        let _counted = self.channels[to].handle_datagram(self.now, from, &bytes);
        self.drain();
    }

    fn change(&mut self, at: usize, by: u8) {
        let network = &self.network;
        let Some((_, _, bytes)) = self.flying.front_mut() else { return };
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= by;
        }
        tag_again(network, bytes);
    }

    fn open(&mut self, node: usize) {
        let peer = self.channels[1 - node].id();
        let address = self.addresses[1 - node];
        let _refused = self.channels[node].open(self.now, peer, &[address]);
        self.drain();
    }

    fn send(&mut self, node: usize, len: usize) {
        let peer = self.channels[1 - node].id();
        let message = vec![b'x'; len];
        let payload = match len {
            0 => Payload::CancelCall { call: CallKey([0; 16]) },
            _ => Payload::Sip(&message),
        };
        let _refused = self.channels[node].send(self.now, peer, &payload);
        self.drain();
    }

    /// Any plaintext, inside the session.
    fn say(&mut self, node: usize, plain: &[u8]) {
        let peer = self.channels[1 - node].id();
        if let Some((kind, body)) = plain.split_first() {
            let _refused = self.channels[node].dispatch(self.now, peer, *kind, body);
        }
        self.drain();
    }

    /// Any datagram, with a good tag.
    fn throw(&mut self, node: usize, bytes: &[u8]) {
        let mut bytes = bytes.to_vec();
        tag_again(&self.network, &mut bytes);
        let from = self.addresses[1 - node];
        let _counted = self.channels[node].handle_datagram(self.now, from, &bytes);
        self.drain();
    }

    fn check(&self) {
        for channel in &self.channels {
            assert!(channel.sessions.len() <= SESSIONS_MAX);
            assert!(channel.handshakes.len() <= 2 * CHANNEL_HANDSHAKES_MAX);
        }
    }
}

fn tag_again(network: &NetworkKeys, bytes: &mut [u8]) {
    if let [_, key_id, kind, ..] = bytes
        && *kind != DATA
    {
        *key_id = network.key_id();
        if let Some((covered, tag)) = bytes.split_last_chunk_mut::<TAG_BYTES>() {
            *tag = network.tag(covered);
        }
    }
}
