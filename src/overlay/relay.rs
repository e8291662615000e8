//! Relaying the channel's datagrams between two nodes that were introduced to each other.
//!
//! A member relays for clients whose flow it keeps, and for callers whom it introduced to them:
//! bounded in pairs, rate and bytes, and only for proven addresses. At an end, a way through such
//! a member is a *detour* and has an address of its own out of 100::/64, so that the channel needs
//! to know nothing of it: what it sends there is wrapped here, what comes by it is unwrapped.

use super::guard::Bucket;
use super::id::Node;
use super::wire::{Body, NO_TOKEN, Token};
use super::wire_out::Encoder;
use super::{Overlay, reject};
use crate::limits::{
    DETOURS_MAX, INTRODUCTIONS_MAX, INTRODUCTIONS_PER_ADDRESS_MAX, INTRODUCTIONS_PER_CLIENT_MAX,
    RELAY_BURST_BYTES, RELAY_BYTES_PER_S,
};
use crate::net::{NodeId, Rejected, detour};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// A pair that is not heard for so long is forgotten.
const PAIR_IDLE: Duration = Duration::from_secs(120);
/// One caller is introduced to one client at most so often.
const MEET_PAUSE: Duration = Duration::from_secs(1);

/// A caller and a client that were introduced to each other here.
struct Pair {
    client: NodeId,
    guest: Node,
    met: Instant,
    used: Instant,
    bytes: Bucket,
}

/// The pairs that this member serves.
pub(super) struct Pairs(Vec<Pair>);

impl Pairs {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(INTRODUCTIONS_MAX))
    }

    /// Whether `guest` may meet `client`: there is room, also for those who want to meet others,
    /// and it has not just met it.
    pub(super) fn may_meet(&mut self, now: Instant, client: &NodeId, guest: &Node) -> bool {
        self.0.retain(|pair| now.since(pair.used) < PAIR_IDLE);
        if let Some(pair) = self.of(client, &guest.id) {
            return now.since(pair.met) >= MEET_PAUSE || pair.guest.address != guest.address;
        }
        let ip = guest.address.ip();
        let near = self.0.iter().filter(|pair| pair.guest.address.ip() == ip).count();
        let same = self.0.iter().filter(|pair| pair.client == *client).count();
        self.0.len() < INTRODUCTIONS_MAX
            && near < INTRODUCTIONS_PER_ADDRESS_MAX
            && same < INTRODUCTIONS_PER_CLIENT_MAX
    }

    /// Whether `guest` has just been introduced to `client`, from where it asks.
    pub(super) fn has_just_met(&mut self, now: Instant, client: &NodeId, guest: &Node) -> bool {
        self.of(client, &guest.id)
            .is_some_and(|pair| now.since(pair.met) < MEET_PAUSE && pair.guest == *guest)
    }

    /// Notes that `guest`, which may, meets `client`.
    pub(super) fn meet(&mut self, now: Instant, client: NodeId, guest: &Node) {
        if let Some(pair) = self.of(&client, &guest.id) {
            (pair.guest, pair.met, pair.used) = (*guest, now, now);
        } else {
            let bytes = Bucket::new(RELAY_BURST_BYTES, RELAY_BYTES_PER_S, now);
            self.0.push(Pair { client, guest: *guest, met: now, used: now, bytes });
        }
    }

    fn of(&mut self, client: &NodeId, guest: &NodeId) -> Option<&mut Pair> {
        self.0.iter_mut().find(|pair| pair.client == *client && pair.guest.id == *guest)
    }
}

/// A way to a peer through a member that keeps the peer's flow, or ours.
struct Detour {
    peer: NodeId,
    via: SocketAddr,
    token: Token,
    number: u32,
    used: Instant,
    /// Whether the member keeps the peer's flow, so that it can introduce us.
    theirs: bool,
    /// When it last introduced one of both to the other, and where the peer was then heard itself.
    met: Option<Instant>,
    hole: Option<SocketAddr>,
}

/// The ways that this node knows.
pub(super) struct Detours {
    known: Vec<Detour>,
    count: u32,
}

impl Detours {
    pub(super) fn new() -> Self {
        Self { known: Vec::with_capacity(DETOURS_MAX), count: 0 }
    }

    /// Notes a way; returns what proves our address to its member, if anything does, and whether
    /// another way had to make room.
    fn learn(
        &mut self,
        now: Instant,
        peer: NodeId,
        via: SocketAddr,
        theirs: bool,
    ) -> (Token, bool) {
        if let Some(known) = self.find(peer, via) {
            known.used = now;
            known.theirs |= theirs;
            return (known.token, false);
        }
        let full = self.known.len() >= DETOURS_MAX;
        if full {
            let oldest = self.known.iter().enumerate().min_by_key(|(_, detour)| detour.used);
            if let Some((at, _)) = oldest {
                self.known.swap_remove(at);
            }
        }
        // A number is never used twice: a session that remembers one does not find another peer.
        self.count = self.count.wrapping_add(1);
        let token = NO_TOKEN;
        let number = self.count;
        let (met, hole) = (None, None);
        self.known.push(Detour { peer, via, token, number, used: now, theirs, met, hole });
        (token, full)
    }

    /// The member at `via` gave us this proof.
    pub(super) fn prove(&mut self, peer: NodeId, via: SocketAddr, token: Token) {
        if let Some(known) = self.find(peer, via) {
            known.token = token;
        }
    }

    /// The member at `via` has introduced one of both to the other.
    pub(super) fn meet(&mut self, now: Instant, peer: NodeId, via: SocketAddr) {
        if let Some(known) = self.find(peer, via) {
            (known.met, known.hole) = (Some(now), None);
        }
    }

    /// A peer that was met answers from `address`.
    pub(super) fn open_hole(&mut self, peer: NodeId, address: SocketAddr) {
        for known in self.known.iter_mut().filter(|known| known.peer == peer) {
            known.hole = Some(address);
        }
    }

    /// Where a peer that was met since then answers itself.
    pub(super) fn hole(&self, peer: NodeId, since: Instant) -> Option<SocketAddr> {
        let lately = |known: &&Detour| known.met.is_some_and(|met| met >= since);
        self.known.iter().filter(|known| known.peer == peer).filter(lately).find_map(|it| it.hole)
    }

    /// When a peer was last introduced to us, or we to it.
    pub(super) fn met(&self, peer: NodeId) -> Option<Instant> {
        self.known.iter().filter(|known| known.peer == peer).filter_map(|known| known.met).max()
    }

    /// The address that stands for a way.
    pub(super) fn address(&self, peer: NodeId, via: SocketAddr) -> Option<SocketAddr> {
        let known = self.known.iter().find(|known| (known.peer, known.via) == (peer, via))?;
        Some(detour(known.number))
    }

    /// Members that keep a peer's flow, and what proves our address to them; the newest first.
    pub(super) fn of(&self, peer: NodeId) -> impl Iterator<Item = (SocketAddr, Token)> + '_ {
        let known = self.known.iter().rev().filter(move |known| known.peer == peer && known.theirs);
        known.map(|known| (known.via, known.token))
    }

    fn find(&mut self, peer: NodeId, via: SocketAddr) -> Option<&mut Detour> {
        self.known.iter_mut().find(|known| (known.peer, known.via) == (peer, via))
    }
}

impl Overlay {
    /// Notes a way to `peer` through a member that keeps the peer's flow (`theirs`), or ours;
    /// returns what proves our address to that member, if anything does.
    pub(super) fn learn_detour(
        &mut self,
        now: Instant,
        peer: NodeId,
        via: SocketAddr,
        theirs: bool,
    ) -> Token {
        let (token, forgotten) = self.detours.learn(now, peer, via, theirs);
        self.counters.detours_forgotten += u64::from(forgotten);
        token
    }

    /// Sends a datagram of the channel by the way that `to` stands for. False where there is none
    /// (any more), or it is not proven yet: the datagram is lost, as on the way.
    pub fn send_relayed(&mut self, now: Instant, to: SocketAddr, data: &[u8]) -> bool {
        let Self { detours, rendezvous, .. } = self;
        let known = detours.known.iter_mut().find(|known| detour(known.number) == to);
        let Some(known) = known else { return false };
        known.used = now;
        // Where the member keeps our own flow, its newest proof is there.
        let token = rendezvous.token_at(&known.via).unwrap_or(known.token);
        if token == NO_TOKEN {
            return false;
        }
        let (via, peer) = (known.via, known.peer);
        let relay = Encoder::relay(self.me, &token, &peer, data);
        self.send(via, relay);
        true
    }

    /// Passes a datagram of the channel on.
    pub(super) fn relay(
        &mut self,
        now: Instant,
        sender: &Node,
        proven: bool,
        to: &NodeId,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let Self { pairs, keeper, .. } = self;
        let from_client = keeper.keeps(sender) && pairs.of(&sender.id, to).is_some();
        let (pair, target) = if from_client {
            let pair = pairs.of(&sender.id, to);
            let guest = pair.as_ref().map(|pair| pair.guest.address);
            (pair, guest)
        } else {
            (pairs.of(to, &sender.id), keeper.address_of(to))
        };
        let allowed = |pair: &mut Pair| {
            let known = from_client || pair.guest.address == sender.address;
            let allowed = proven && known && pair.bytes.take_many(now, data.len() as u32);
            if allowed {
                pair.used = now;
            }
            allowed
        };
        let Some(target) = target.filter(|_| pair.is_some_and(allowed)) else {
            return Err(reject(&mut self.counters.relay_refused, Rejected::Unauthorized));
        };
        self.counters.relayed += 1;
        self.counters.relayed_bytes += data.len() as u64;
        let relayed = Encoder::relayed(self.me, &sender.id, data);
        self.send(target, relayed);
        Ok(())
    }

    /// Unwraps a relayed datagram of the channel: the address that stands for its way, and what
    /// the channel is to take. [`super::Datagram::of`] says which datagrams are relayed ones.
    ///
    /// # Errors
    /// [`Rejected`] where it was dropped and counted.
    pub fn take_relayed<'a>(
        &mut self,
        from: SocketAddr,
        data: &'a [u8],
    ) -> Result<(SocketAddr, &'a [u8]), Rejected> {
        let from = SocketAddr::new(from.ip().to_canonical(), from.port());
        let frame = self.take_frame(from, data)?;
        let Body::Relayed(peer, inner) = frame.body else { return Err(self.malformed()) };
        match self.detours.address(peer, from) {
            Some(way) => Ok((way, inner)),
            None => Err(reject(&mut self.counters.relay_refused, Rejected::Unknown)),
        }
    }
}
