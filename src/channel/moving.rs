//! Where a peer is: addresses that it may be heard at, and the question that proves one.

use super::session::{Challenge, Session, remember};
use super::{Channel, Route};
use crate::limits::CHANNEL_REPEAT_INTERVAL;
use crate::net::{NodeId, is_detour};
use crate::table::Id;
use crate::time::Instant;
use std::net::SocketAddr;

impl Channel {
    /// The peer can be heard at `address` from now on: a handshake tries it, a session asks there
    /// and moves once the peer answers. A detour does not replace a way of the peer's own.
    pub fn reachable_at(&mut self, now: Instant, peer: NodeId, address: SocketAddr) {
        match self.route(peer) {
            Route::Handshake(id) => self.try_address(id, address),
            Route::Session(id) => {
                let Some(session) = self.sessions.get_mut(id) else { return };
                if session.address == address {
                    return;
                }
                remember(&mut session.others, address);
                match session.doubt.as_ref().map(|doubt| doubt.token) {
                    Some(token) => self.send_control(now, id, address, 0, token),
                    None if is_detour(&address) => {}
                    None => {
                        session.challenge = None;
                        let question = self.challenge(now, id, address);
                        self.send_control(now, id, address, 0, question);
                    }
                }
            }
            Route::None => {}
        }
    }

    /// Sends what waited for an answer to where the peer is now: it may never have arrived.
    pub(super) fn send_again(&mut self, now: Instant, id: Id<Session>) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        let mut waiting = session.backlog.take();
        while let Some((kind, body)) = waiting.pop() {
            // Lost where the outbox is full, as on the way.
            let _queued = self.send_payload(now, id, kind, &body);
        }
    }

    /// The question to put to a new address of the peer, unless one was put just now, there or at
    /// another new address: two ends that each hear the other in two places would ask for ever.
    pub(super) fn challenge(&mut self, now: Instant, id: Id<Session>, at: SocketAddr) -> u64 {
        let token = self.rng.next_u64() | 1;
        let Some(session) = self.sessions.get_mut(id) else { return 0 };
        match &mut session.challenge {
            Some(challenge) if now.since(challenge.sent) < CHANNEL_REPEAT_INTERVAL => 0,
            Some(challenge) if challenge.address == at => {
                challenge.sent = now;
                challenge.token
            }
            other => {
                *other = Some(Challenge { token, address: at, sent: now });
                token
            }
        }
    }
}
