//! What comes inside sessions, and what is said about sessions that are gone.

use super::notice::{CONTROL, FRAGMENT};
use super::peers::CONTROL_PACKET_BYTES;
use super::session::{Session, remember};
use super::wire::{self, DATA_HEAD_BYTES, DataHead, Packet, UNKNOWN, take};
use super::{Channel, Route, find};
use crate::limits::{CHANNEL_FRESH, CHANNEL_GIVE_UP};
use crate::net::{NodeId, Rejected, is_detour};
use crate::table::Id;
use crate::time::Instant;
use std::net::SocketAddr;

impl Channel {
    /// Takes a data packet.
    pub(super) fn on_data(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let (head, sealed) = DataHead::parse(data).ok_or(Rejected::Malformed)?;
        let Some(id) = find(&self.sessions, |s| s.local == head.session) else {
            self.tell_unknown(from, &head.session, data.len());
            return Err(Rejected::Unknown);
        };
        let session = self.sessions.get_mut(id).ok_or(Rejected::Unknown)?;
        let mut opened = core::mem::take(&mut self.opened);
        opened.clear();
        opened.extend_from_slice(sealed);
        let associated = data.get(..DATA_HEAD_BYTES).unwrap_or_default();
        let result = match session.open(head.counter, associated, &mut opened) {
            Ok([kind, body @ ..]) => {
                self.on_plain(now, id, from, data.len(), (*kind, body));
                Ok(())
            }
            Ok([]) => Err(Rejected::Malformed),
            Err(rejected) => Err(rejected),
        };
        self.opened = opened;
        result
    }

    /// An authentic packet, seen for the first time. It is answered by one datagram at most.
    fn on_plain(
        &mut self,
        now: Instant,
        id: Id<Session>,
        from: SocketAddr,
        size: usize,
        (kind, body): (u8, &[u8]),
    ) {
        let (echo, ask) = if kind == CONTROL { read_control(body) } else { (0, 0) };
        self.on_echo(now, id, from, echo);
        self.heard(now, id);
        let Some(session) = self.sessions.get_mut(id) else { return };
        let (peer, local, address) = (session.peer, session.local, session.address);
        if from == address {
            session.heard_there = now;
        }
        // A detour is not taken as long as the peer is heard where it is.
        let worse = is_detour(&from) && now.since(session.heard_there) < CHANNEL_FRESH;
        let moves = from != address && !worse && size >= CONTROL_PACKET_BYTES;
        let question = if moves { self.challenge(now, id, from) } else { 0 };
        if ask != 0 || question != 0 {
            self.send_control(now, id, from, ask, question);
        }
        match kind {
            CONTROL => {}
            FRAGMENT => self.on_fragment(now, id, local, body),
            _ => self.deliver(now, id, peer, kind, body),
        }
    }

    fn on_fragment(&mut self, now: Instant, id: Id<Session>, local: wire::SessionId, piece: &[u8]) {
        let Some(peer) = self.sessions.get(id).map(|session| session.peer) else { return };
        match self.reassembly.add(now, local, piece) {
            Ok(None) => {}
            Ok(Some(slot)) => {
                let whole = self.reassembly.take(slot);
                self.deliver(now, id, peer, whole.0, &whole.1);
                self.reassembly.give_back(slot, whole.1);
            }
            Err(()) => self.counters.undecodable += 1,
        }
    }

    fn deliver(&mut self, now: Instant, id: Id<Session>, peer: NodeId, kind: u8, body: &[u8]) {
        if self.deliver_whole(peer, kind, body)
            && let Some(session) = self.sessions.get_mut(id)
        {
            session.carried = true;
            session.used = now;
        }
    }

    /// The peer echoes a question: it hears us at `from`, so that is where it is.
    fn on_echo(&mut self, now: Instant, id: Id<Session>, from: SocketAddr, echo: u64) {
        let Some(session) = self.sessions.get_mut(id).filter(|_| echo != 0) else { return };
        let asked = |token: u64, asked_once: bool, sent: Instant| {
            (token == echo).then_some((asked_once, sent))
        };
        let challenge = session.challenge.filter(|c| c.address == from);
        let challenge = challenge.and_then(|c| asked(c.token, true, c.sent));
        let was_asked = session.address == from || session.others.contains(&from);
        let doubt = session.doubt.as_ref().filter(|_| was_asked);
        let doubt = doubt.and_then(|d| asked(d.token, d.asked == 1, d.sent));
        let Some((asked_once, sent)) = challenge.or(doubt) else { return };
        if asked_once {
            session.measure(now.since(sent));
        }
        if session.address != from {
            let old = core::mem::replace(&mut session.address, from);
            session.heard_there = now;
            session.others.retain(|address| *address != from);
            remember(&mut session.others, old);
            session.challenge = None;
            self.counters.moved += 1;
            self.send_again(now, id);
        }
    }

    /// Tells the sender of a packet for a session that this end made once, that it is gone. Silent
    /// towards whoever made the session id up.
    fn tell_unknown(&mut self, to: SocketAddr, session: &wire::SessionId, size: usize) {
        let opening = self.handshakes.iter().any(|(_, h)| h.local == *session);
        if opening || !self.is_own_session_id(session) {
            return;
        }
        let mut packet = Packet::new(&self.network, UNKNOWN);
        packet.put(session);
        let packet = packet.tag(&self.network);
        if packet.bytes().len() <= size {
            self.counters.unknown_sent += 1;
            self.transmit(to, packet.bytes());
        }
    }

    /// A peer says that it does not hold our session. Believed only where we have just sent
    /// something on it and heard nothing since; the session stays until a handshake has decided.
    pub(super) fn on_unknown(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), Rejected> {
        let mut body = wire::check(&self.network, data)?.body;
        let name: wire::SessionId = take(&mut body).ok_or(Rejected::Malformed)?;
        let plausible = |s: &Session| {
            let recent = now.since(s.sent) < CHANNEL_GIVE_UP && s.sent >= s.heard;
            s.is_current() && recent && (s.address == from || s.others.contains(&from))
        };
        let id = find(&self.sessions, |s| *s.remote() == name && plausible(s));
        let id = id.ok_or(Rejected::Unknown)?;
        let peer = self.sessions.get(id).ok_or(Rejected::Unknown)?.peer;
        if !matches!(self.route(peer), Route::Session(_)) {
            return Err(Rejected::Unknown);
        }
        self.counters.unknown_received += 1;
        self.replace_session(now, id);
        Ok(())
    }
}

fn read_control(mut body: &[u8]) -> (u64, u64) {
    let echo = take(&mut body).map_or(0, u64::from_be_bytes);
    let ask = take(&mut body).map_or(0, u64::from_be_bytes);
    (echo, ask)
}
