//! Sending: requests that wait for their answer, answers, and what has none.

use super::request::Purpose;
use super::wire::{Claim, Token};
use super::wire_out::Encoder;
use super::{Overlay, Port};
use crate::net::NodeId;
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// How long a member may look into somebody's being reachable.
const VOUCH_PATIENCE: Duration = Duration::from_millis(2500);

/// Hints are in no hurry, and twice is too often.
const SPREAD_PATIENCE: Duration = Duration::from_millis(1500);

impl Overlay {
    /// Sends a request and waits for its answer. False where too many are under way.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        to: SocketAddr,
        node: Option<NodeId>,
        purpose: Purpose,
        pad_to: usize,
        make: impl FnOnce(NodeId, u64) -> Encoder,
    ) -> bool {
        let Some(request) = self.begin(now, to, node, purpose) else { return false };
        let mut encoder = make(self.me, request);
        self.send_request(to, purpose, pad_to, &mut encoder);
        true
    }

    /// Notes a request, and returns its id; `None` where too many are under way.
    fn begin(
        &mut self,
        now: Instant,
        to: SocketAddr,
        node: Option<NodeId>,
        purpose: Purpose,
    ) -> Option<u64> {
        let missed = node.and_then(|id| self.members.get(&id)).map_or(0, |member| member.missed);
        let timeout = match purpose {
            Purpose::Vouch(..) => VOUCH_PATIENCE,
            Purpose::Spread(..) | Purpose::Contact(..) => SPREAD_PATIENCE,
            _ => self.members.timeout(node.as_ref()) * (1 << missed.min(3)),
        };
        let started = self.requests.start(now, &mut self.rng, to, node, purpose, timeout);
        if started.is_none() {
            self.counters.requests_full += 1;
            return None;
        }
        let now_s = self.seconds(now);
        self.upkeep.sent.note(&SocketAddr::new(to.ip(), 0), now_s);
        started
    }

    fn send_request(
        &mut self,
        to: SocketAddr,
        purpose: Purpose,
        pad_to: usize,
        encoder: &mut Encoder,
    ) {
        let second = matches!(purpose, Purpose::SecondPort(_) | Purpose::Errand(_, true));
        let data = encoder.finish(&self.keys, pad_to);
        if matches!(purpose, Purpose::Lookup(..) | Purpose::Spot(_)) {
            self.counters.lookup_bytes += data.len() as u64;
        }
        let via = if second { Port::Second } else { Port::First };
        if !self.outbox.push(via, to, 0, data) {
            self.counters.outbox_full += 1;
        }
    }

    /// Pings: see [`Self::ask`].
    pub(super) fn ping(
        &mut self,
        now: Instant,
        to: SocketAddr,
        node: Option<NodeId>,
        purpose: Purpose,
        token: &Token,
        claim: Claim,
    ) -> bool {
        let start = self.start;
        self.ask(now, to, node, purpose, 0, |me, request| {
            Encoder::ping(me, request, token, start, claim, &to)
        })
    }

    /// The network said that `to` cannot be reached: requests to it fail now.
    pub fn send_failed(&mut self, now: Instant, to: SocketAddr) {
        self.requests.fail(now, SocketAddr::new(to.ip().to_canonical(), to.port()));
    }

    /// Sends what has no answer.
    pub(super) fn send(&mut self, to: SocketAddr, mut encoder: Encoder) {
        if !self.outbox.push(Port::First, to, 0, encoder.finish(&self.keys, 0)) {
            self.counters.outbox_full += 1;
        }
    }

    /// Sends an answer, unless it is larger than the asker may be sent.
    pub(super) fn reply(
        &mut self,
        to: SocketAddr,
        limit: usize,
        pad_to: usize,
        mut encoder: Encoder,
    ) {
        let data = encoder.finish(&self.keys, pad_to);
        if data.len() > limit {
            self.counters.malformed += 1;
        } else if !self.outbox.push(Port::First, to, 0, data) {
            self.counters.outbox_full += 1;
        }
    }
}
