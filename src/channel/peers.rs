//! Which session carries what: sending, doubt, the arrival of new sessions, eviction.

use super::backlog::Backlog;
use super::event::DownReason;
use super::fragment;
use super::handshake::{Handshake, Role, Stage};
use super::notice::{CONTROL, FRAGMENT};
use super::session::{Agreed, Doubt, Session, remember};
use super::wire::{DATA_OVERHEAD_BYTES, SessionId};
use super::{Channel, Route, SendError, find};
use crate::limits::{
    CHANNEL_DATAGRAM_BYTES_MAX, CHANNEL_FRESH, CHANNEL_GIVE_UP, CHANNEL_REPEAT_INTERVAL,
    CHANNEL_SUPERSEDED_LINGER,
};
use crate::net::NodeId;
use crate::table::Id;
use crate::time::Instant;
use std::net::SocketAddr;

/// The longest body that one data packet carries.
const WHOLE_BYTES_MAX: usize = CHANNEL_DATAGRAM_BYTES_MAX - DATA_OVERHEAD_BYTES - 1;
/// The size of a control packet: kind, echo, question.
pub(super) const CONTROL_PACKET_BYTES: usize = DATA_OVERHEAD_BYTES + 1 + 8 + 8;

impl Channel {
    /// The session on which payloads to `peer` are sent.
    pub(super) fn current(&self, peer: NodeId) -> Option<Id<Session>> {
        find(&self.sessions, |s| s.peer == peer && s.is_current())
    }

    /// What carries payloads to `peer`: a handshake that was begun since the peer was last heard
    /// has to end first.
    pub(super) fn route(&self, peer: NodeId) -> Route {
        let opening = self.opening_to(peer);
        let started = opening.and_then(|id| self.handshakes.get(id)).map(|h| h.started);
        let session = self.current(peer).filter(|id| {
            let heard = self.sessions.get(*id).map(|session| session.heard);
            started.is_none() || heard > started
        });
        match (session, opening) {
            (Some(id), _) => Route::Session(id),
            (None, Some(id)) => Route::Handshake(id),
            (None, None) => Route::None,
        }
    }

    /// Our own attempt to reach `peer`.
    pub(super) fn opening_to(&self, peer: NodeId) -> Option<Id<Handshake>> {
        find(&self.handshakes, |h| h.peer == peer && h.role == Role::Opener)
    }

    /// Sends a payload, or lets it wait for the session.
    pub(super) fn dispatch(
        &mut self,
        now: Instant,
        peer: NodeId,
        kind: u8,
        body: &[u8],
    ) -> Result<(), SendError> {
        let id = match self.route(peer) {
            Route::Session(id) => id,
            Route::Handshake(id) => {
                let opening = self.handshakes.get_mut(id).ok_or(SendError::NotOpen)?;
                let taken = opening.backlog.push(kind, body);
                return if taken { Ok(()) } else { Err(SendError::Full) };
            }
            Route::None => return Err(SendError::NotOpen),
        };
        let session = self.sessions.get(id).ok_or(SendError::NotOpen)?;
        if session.doubt.is_none() && now.since(session.heard) >= CHANNEL_FRESH {
            self.start_doubt(now, id);
        }
        let session = self.sessions.get_mut(id).ok_or(SendError::NotOpen)?;
        if session.doubt.is_some() && !session.backlog.push(kind, body) {
            return Err(SendError::Full);
        }
        session.carried = true;
        if self.send_payload(now, id, kind, body) { Ok(()) } else { Err(SendError::Full) }
    }

    /// Sends a payload on a session, in pieces where it is too large for one datagram.
    pub(super) fn send_payload(
        &mut self,
        now: Instant,
        id: Id<Session>,
        kind: u8,
        body: &[u8],
    ) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let to = session.address;
        session.used = now;
        if body.len() <= WHOLE_BYTES_MAX {
            return self.seal_to(now, id, to, &[&[kind], body]);
        }
        session.message = session.message.wrapping_add(1);
        let message = session.message;
        fragment::split(message, kind, body)
            .all(|(head, piece)| self.seal_to(now, id, to, &[&[FRAGMENT], &head, piece]))
    }

    /// Encrypts `parts` into one data packet and queues it. False where it was not queued.
    fn seal_to(&mut self, now: Instant, id: Id<Session>, to: SocketAddr, parts: &[&[u8]]) -> bool {
        let Some(session) = self.sessions.get_mut(id) else { return false };
        let key_id = self.network.key_id();
        let Some(len) = session.seal(now, key_id, parts, &mut self.datagram) else {
            return false;
        };
        let packet = self.datagram.get(..len).unwrap_or_default();
        let queued = self.outbox.push((), to, 0, packet);
        self.counters.datagrams_dropped += u64::from(!queued);
        queued
    }

    /// Sends a control packet: `echo` answers a question of the peer, `ask` is ours; 0 is none.
    pub(super) fn send_control(
        &mut self,
        now: Instant,
        id: Id<Session>,
        to: SocketAddr,
        echo: u64,
        ask: u64,
    ) {
        let (echo, ask) = (echo.to_be_bytes(), ask.to_be_bytes());
        // Lost where the outbox is full, as on the way: whoever asked asks again.
        let _queued = self.seal_to(now, id, to, &[&[CONTROL], &echo, &ask]);
    }

    /// `open` for a peer with a session.
    pub(super) fn open_again(&mut self, now: Instant, id: Id<Session>, others: &[SocketAddr]) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        for address in others.iter().filter(|address| **address != session.address) {
            remember(&mut session.others, *address);
        }
        session.used = now;
        if session.doubt.is_none() && now.since(session.heard) < CHANNEL_FRESH {
            self.events.up(session.peer);
            return;
        }
        session.announce = true;
        match session.doubt.as_ref().map(|doubt| doubt.token) {
            Some(token) => self.ask(now, id, token),
            None => self.start_doubt(now, id),
        }
    }

    /// Asks the peer whether it still holds the session.
    fn start_doubt(&mut self, now: Instant, id: Id<Session>) {
        let token = self.rng.next_u64() | 1;
        let Some(session) = self.sessions.get_mut(id) else { return };
        let deadline = now + CHANNEL_REPEAT_INTERVAL;
        session.doubt = Some(Doubt { token, asked: 1, sent: now, deadline });
        self.events.asking(session.peer);
        self.arm_session(id);
        self.ask(now, id, token);
    }

    /// This adapter is heard from another address now: every peer learns it, asks there, and moves
    /// its session, so that nothing more of it goes where nobody is.
    pub fn tell_new_address(&mut self, now: Instant) {
        let standing = |session: &Session| session.is_current() && session.confirmed;
        let sessions = self.sessions.iter().filter(|(_, session)| standing(session));
        let peers: Vec<_> = sessions.map(|(id, session)| (id, session.address)).collect();
        for (id, to) in peers {
            self.send_control(now, id, to, 0, 0);
        }
    }

    /// Asks at every address at which the peer may be.
    fn ask(&mut self, now: Instant, id: Id<Session>, token: u64) {
        let Some(session) = self.sessions.get(id) else { return };
        let (address, others) = (session.address, session.others.clone());
        for to in core::iter::once(address).chain(others) {
            self.send_control(now, id, to, 0, token);
        }
    }

    /// A session's deadline has come.
    pub(super) fn session_due(&mut self, now: Instant, slot: u32) {
        let Some(id) = self.sessions.id_at(slot) else { return };
        let Some(session) = self.sessions.get_mut(id) else { return };
        if session.superseded.is_some_and(|until| until <= now) {
            self.remove_session(id);
            return;
        }
        match session.doubt.as_mut().filter(|doubt| doubt.deadline <= now) {
            Some(doubt) if doubt.asked == 1 => {
                doubt.asked = 2;
                doubt.deadline = now + CHANNEL_REPEAT_INTERVAL;
                let token = doubt.token;
                self.arm_session(id);
                self.ask(now, id, token);
            }
            Some(_) => self.replace_session(now, id),
            None => self.arm_session(id),
        }
    }

    /// The peer does not seem to hold the session: a handshake decides. What was sent on the
    /// session and perhaps not heard goes along.
    pub(super) fn replace_session(&mut self, now: Instant, id: Id<Session>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.doubt = None;
        let peer = session.peer;
        let mut backlog = session.backlog.take();
        let mut addresses = session.others.clone();
        remember(&mut addresses, session.address);
        self.arm_session(id);
        if self.opening_to(peer).is_none() && self.start_handshake(now, peer, &addresses).is_err() {
            self.remove_session(id);
            self.events.down(peer, DownReason::NoAnswer);
            return;
        }
        if let Route::Handshake(opening) = self.route(peer)
            && let Some(opening) = self.handshakes.get_mut(opening)
        {
            while let Some((kind, body)) = backlog.pop() {
                // The new backlog is empty and as large as the old one.
                let _taken = opening.backlog.push(kind, &body);
            }
        }
    }

    /// The peer was heard on a session: it holds it, and is alive.
    pub(super) fn heard(&mut self, now: Instant, id: Id<Session>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        session.heard = now;
        let peer = session.peer;
        if !session.confirmed {
            session.confirmed = true;
            let done = find(&self.handshakes, |h| h.session == Some(id));
            self.install(now, id);
            let backlog = done.and_then(|done| self.remove_handshake(done));
            self.flush(now, peer, backlog.unwrap_or_default());
            return;
        }
        if session.doubt.take().is_some() {
            session.backlog.take();
            if core::mem::take(&mut session.announce) {
                self.events.up(peer);
            }
            self.arm_session(id);
        }
        if self.current(peer) == Some(id) {
            self.end_opening(now, peer);
        }
    }

    /// Ends our own attempt to reach a peer with whom a session stands. One that has sent its
    /// Finish goes on, because the peer may already rely on it; what waits for it does not.
    fn end_opening(&mut self, now: Instant, peer: NodeId) {
        let Some(id) = self.opening_to(peer) else { return };
        let opening = self.handshakes.get_mut(id);
        let backlog = match opening.filter(|opening| opening.stage == Stage::Confirm) {
            Some(confirming) => Some(confirming.backlog.take()),
            None => self.remove_handshake(id),
        };
        self.flush(now, peer, backlog.unwrap_or_default());
    }

    /// Sends what waited.
    fn flush(&mut self, now: Instant, peer: NodeId, mut backlog: Backlog) {
        let Some(id) = self.current(peer) else { return };
        while let Some((kind, body)) = backlog.pop() {
            if let Some(session) = self.sessions.get_mut(id) {
                session.carried = true;
            }
            // Lost where the outbox is full, as on the way.
            let _queued = self.send_payload(now, id, kind, &body);
        }
    }

    /// A session is confirmed: it takes over from others with the same peer. Where both ends
    /// opened one at the same time, both keep the one of the lower id.
    pub(super) fn install(&mut self, now: Instant, id: Id<Session>) {
        let Some(new) = self.sessions.get(id) else { return };
        let (peer, opened_here) = (new.peer, new.opened_here);
        let own_is_lower = self.id() < peer;
        let until = now + CHANNEL_SUPERSEDED_LINGER;
        let (mut announce, mut yields) = (true, false);
        for (other_id, other) in self.sessions.iter_mut() {
            if other_id == id || other.peer != peer || !other.is_current() {
                continue;
            }
            let age = now.since(other.established);
            if other.opened_here != opened_here && age < 2 * CHANNEL_GIVE_UP {
                announce = false;
                if other.opened_here == own_is_lower {
                    yields = true;
                    continue;
                }
            }
            other.superseded = Some(until);
            other.doubt = None;
            self.session_timers.set(other_id.slot(), until);
        }
        if let Some(new) = self.sessions.get_mut(id).filter(|_| yields) {
            new.superseded = Some(until);
        }
        self.arm_session(id);
        if announce {
            self.events.up(peer);
        }
        self.end_opening(now, peer);
    }

    /// Stores a session; the least worthy makes room: one not in use any more, one that never
    /// carried anything, the least recently used.
    pub(super) fn insert_session(&mut self, now: Instant, agreed: Agreed) -> Option<Id<Session>> {
        if self.sessions.is_full() {
            let worth = |s: &Session| (s.superseded.is_none(), s.carried, s.used);
            let (id, session) = self.sessions.iter().min_by_key(|(_, s)| worth(s))?;
            let (peer, was_current) = (session.peer, session.is_current());
            self.remove_session(id);
            self.counters.evicted += 1;
            if was_current {
                self.events.down(peer, DownReason::Evicted);
            }
        }
        self.sessions.insert(Session::new(now, agreed)).ok()
    }

    /// Forgets a session.
    pub(super) fn remove_session(&mut self, id: Id<Session>) {
        self.session_timers.stop(id.slot());
        if let Some(session) = self.sessions.remove(id) {
            self.reassembly.forget(session.local);
        }
    }

    fn arm_session(&mut self, id: Id<Session>) {
        match self.sessions.get(id).and_then(Session::deadline) {
            Some(at) => self.session_timers.set(id.slot(), at),
            None => self.session_timers.stop(id.slot()),
        }
    }

    /// A new session id that this end recognises as its own even after a restart, when it holds
    /// no session any more: half random, half a keyed hash of the random half.
    pub(super) fn new_session_id(&mut self) -> SessionId {
        loop {
            let random = self.rng.bytes::<4>();
            let id = session_id(&self.session_key, random);
            let taken = self.sessions.iter().any(|(_, s)| s.local == id)
                || self.handshakes.iter().any(|(_, h)| h.local == id);
            if !taken {
                return id;
            }
        }
    }

    /// Whether this end made `id`, now or before a restart.
    pub(super) fn is_own_session_id(&self, id: &SessionId) -> bool {
        let [a, b, c, d, ..] = *id;
        session_id(&self.session_key, [a, b, c, d]) == *id
    }
}

fn session_id(key: &[u8; 32], random: [u8; 4]) -> SessionId {
    let mut id = SessionId::default();
    id[..4].copy_from_slice(&random);
    id[4..].copy_from_slice(&blake3::keyed_hash(key, &random).as_bytes()[..4]);
    id
}
