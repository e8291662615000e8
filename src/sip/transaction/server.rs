//! Server transactions: RFC 3261 s17.2, RFC 6026 s7.1, RFC 4320 s4.
//!
//! An INVITE that is answered 2xx rests in Accepted: repeats of the INVITE are absorbed, and
//! repeats of the 2xx, which its far end makes, pass. A request other than INVITE that has no
//! final response within 64·T1 ends without one: its client has given up, and a 408 would only
//! teach the client's proxies that we are dead.

use super::store::Entry;
use super::{
    Flow, Full, Incoming, LIFE, Pending, Room, ServerId, T1, T2, T4, TransactionEvent, Transactions,
};
use crate::sip::proxy::response_target;
use crate::sip::{Message, Method};
use crate::table::Id;
use crate::time::{Duration, Instant};

/// How long a client's Timer E takes to reach T2: no 100 before that (RFC 4320 s4.1).
const EARLIEST_TRYING: Duration = T1.saturating_mul(7);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// No response yet (INVITE: Proceeding before the 100).
    Trying,
    Proceeding,
    Completed,
    Confirmed,
    Accepted,
}

/// What a server transaction has besides an entry's fields.
pub(super) struct Server {
    state: State,
    invite: bool,
    received_at: Instant,
    /// Until the final response.
    request: Box<[u8]>,
    /// The last one; empty before the first and once nobody can ask for it again.
    response: Box<[u8]>,
}

impl Transactions {
    /// Takes a request off the wire. `flow` is where it came from.
    ///
    /// # Errors
    /// [`Full`] where a new request finds no room; it is not stored.
    pub fn receive_request(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        flow: Flow,
    ) -> Result<Incoming, Full> {
        self.receive_request_in(Room::Usual, now, message, flow)
    }

    /// As [`Self::receive_request`], where a new request may take this room.
    ///
    /// # Errors
    /// [`Full`] where a new request finds no room; it is not stored.
    pub fn receive_request_in(
        &mut self,
        room: Room,
        now: Instant,
        message: &Message<'_>,
        flow: Flow,
    ) -> Result<Incoming, Full> {
        let method = message.method();
        let key = self.keyer.server(message, method);
        if let Some(id) = self.servers.find(key) {
            if method == Method::Ack {
                return Ok(self.receive_ack(now, id));
            }
            self.repeat(id, flow);
            return Ok(Incoming::Repeated);
        }
        if method == Method::Ack {
            return Ok(Incoming::AckOfSuccess);
        }
        let server = Server {
            state: State::Trying,
            invite: method == Method::Invite,
            received_at: now,
            request: message.raw().into(),
            response: Box::default(),
        };
        let invite = server.invite;
        let Some(id) = self.servers.insert(key, response_flow(message, flow), room, server) else {
            self.wire.counters.full += 1;
            return Err(Full);
        };
        if let Some(entry) = self.servers.get_mut(id)
            && !invite
        {
            entry.ends_at = Some(now + LIFE);
            self.servers.arm(id);
        }
        if method != Method::Cancel {
            return Ok(Incoming::New(ServerId(id)));
        }
        let invite = self.servers.find(self.keyer.server(message, Method::Invite)).map(ServerId);
        Ok(Incoming::Cancel { id: ServerId(id), invite })
    }

    /// The request, until its final response has been sent.
    pub fn request(&self, id: ServerId) -> Option<&[u8]> {
        let request = &self.servers.get(id.0)?.inner.request;
        (!request.is_empty()).then_some(request)
    }

    /// Where responses go: RFC 3261 s18.2.2 and RFC 3581 s4, or the request's own connection.
    pub fn server_flow(&self, id: ServerId) -> Option<Flow> {
        Some(self.servers.get(id.0)?.flow)
    }

    /// Sends a response, whose status decides what becomes of the transaction.
    ///
    /// False where the machine forbids it, and nothing was sent: a final response is through
    /// already (a further 2xx to an INVITE passes), the transaction is gone, or RFC 4320 s4 says
    /// so (to other requests no 408, no provisional but 100, and that not before 3.5 s on UDP).
    pub fn respond(&mut self, now: Instant, id: ServerId, response: &[u8]) -> bool {
        let Some(status) = status_of(response) else { return false };
        let Some(entry) = self.servers.get_mut(id.0) else { return false };
        let server = &mut entry.inner;
        match server.state {
            State::Accepted if (200..300).contains(&status) => {
                return self.wire.send(entry.flow, response);
            }
            State::Trying | State::Proceeding => {}
            State::Accepted | State::Completed | State::Confirmed => return false,
        }
        if !server.invite && !is_allowed(status, now.since(server.received_at), entry.flow) {
            return false;
        }
        let (flow, invite) = (entry.flow, server.invite);
        server.response = response.into();
        if status >= 200 {
            server.request = Box::default();
        }
        let unsent = !self.wire.send(flow, response);
        entry.retransmit_at = unsent.then_some(now);
        match (invite, status) {
            (_, 100..200) => {
                server.state = State::Proceeding;
                self.servers.arm(id.0);
            }
            (true, 200..300) => {
                server.state = State::Accepted;
                server.response = Box::default();
                self.finish_server(now, id.0, LIFE);
            }
            (true, _) => {
                server.state = State::Completed;
                entry.interval = T1;
                if !unsent && !flow.is_reliable() {
                    entry.retransmit_at = Some(now + T1);
                }
                entry.ends_at = Some(now + LIFE);
                self.servers.arm(id.0);
            }
            (false, _) => {
                server.state = State::Completed;
                if unsent {
                    self.servers.arm(id.0);
                } else {
                    self.finish_server(now, id.0, rest(flow, LIFE));
                }
            }
        }
        true
    }

    fn receive_ack(&mut self, now: Instant, id: Id<Entry<Server>>) -> Incoming {
        let Some(entry) = self.servers.get_mut(id) else { return Incoming::AckOfSuccess };
        let flow = entry.flow;
        match entry.inner.state {
            State::Accepted => return Incoming::AckOfSuccess,
            State::Completed => {
                entry.inner.state = State::Confirmed;
                entry.inner.response = Box::default();
                self.finish_server(now, id, rest(flow, T4));
            }
            State::Trying | State::Proceeding | State::Confirmed => {}
        }
        Incoming::Ack
    }

    /// Absorbs a repeated request. One that comes on a new connection is answered there.
    fn repeat(&mut self, id: Id<Entry<Server>>, flow: Flow) {
        self.wire.counters.requests_absorbed += 1;
        let Some(entry) = self.servers.get_mut(id) else { return };
        if flow.is_reliable() && entry.flow.is_reliable() {
            entry.flow = flow;
        }
        if !entry.inner.response.is_empty() && self.wire.send(entry.flow, &entry.inner.response) {
            self.wire.counters.responses_retransmitted += 1;
        }
    }

    fn finish_server(&mut self, now: Instant, id: Id<Entry<Server>>, rest: Duration) {
        if self.servers.finish(id, now, rest) {
            self.wire.counters.evicted += 1;
        }
    }

    /// Acts on a deadline. False where the outbox is full and the entry stays due.
    pub(super) fn on_server_due(&mut self, now: Instant, id: Id<Entry<Server>>) -> bool {
        let Some(entry) = self.servers.get_mut(id) else { return true };
        if entry.failed || entry.ends_at.is_some_and(|at| at <= now) {
            self.end_server(id);
            return true;
        }
        if !self.wire.send(entry.flow, &entry.inner.response) {
            entry.retransmit_at = Some(now);
            self.servers.arm(id);
            return false;
        }
        self.wire.counters.responses_retransmitted += 1;
        entry.retransmit_at = None;
        match (entry.inner.state, entry.inner.invite, entry.flow.is_reliable()) {
            (State::Completed, true, false) => {
                entry.interval = (entry.interval * 2).min(T2);
                entry.retransmit_at = Some(now + entry.interval);
            }
            (State::Completed, false, _) => {
                let rest = rest(entry.flow, LIFE);
                self.finish_server(now, id, rest);
            }
            _ => {}
        }
        self.servers.arm(id);
        true
    }

    fn end_server(&mut self, id: Id<Entry<Server>>) {
        let finished = self.servers.is_finished(id);
        let Some(server) = self.servers.remove(id) else { return };
        if finished {
            return;
        }
        self.wire.counters.timeouts += u64::from(server.state == State::Completed);
        if server.invite {
            let event = TransactionEvent::ServerGone { id: ServerId(id) };
            self.events.push_back(Pending { event, request: None });
        }
    }
}

/// RFC 4320 s4.1 and s4.2, for requests other than INVITE.
fn is_allowed(status: u16, age: Duration, flow: Flow) -> bool {
    match status {
        100 => flow.is_reliable() || age >= EARLIEST_TRYING,
        101..200 | 408 => false,
        _ => true,
    }
}

/// How long repeats are waited for: on a stream there are none.
fn rest(flow: Flow, datagram: Duration) -> Duration {
    if flow.is_reliable() { Duration::ZERO } else { datagram }
}

fn status_of(response: &[u8]) -> Option<u16> {
    let digits = response.strip_prefix(b"SIP/2.0 ")?.get(..3)?;
    let status = core::str::from_utf8(digits).ok()?.parse().ok()?;
    (100..700).contains(&status).then_some(status)
}

/// Where the response to a request from `flow` goes: back over its stream, or as its Via says.
fn response_flow(message: &Message<'_>, flow: Flow) -> Flow {
    match message.via() {
        Some(top) if flow.via.is_datagram() => Flow { to: response_target(&top, flow.to), ..flow },
        _ => flow,
    }
}
