//! Client transactions: RFC 3261 s17.1, RFC 6026 s7.2, and CANCEL (s9.1).
//!
//! An INVITE that has had a provisional response neither retransmits nor times out: Timer C is the
//! user's. After a CANCEL it has 64·T1 for its final response. A 2xx leads to Accepted, where every
//! further 2xx goes to the user too, who acknowledges each. On datagrams an INVITE outlives a
//! transport error: a copy of it may have arrived, and what comes of that must be cancelled, or
//! acknowledged and ended. So does a CANCEL, which the far end may hear once it is back. A
//! provisional response after an error shows that the INVITE is worked on: it may fail anew.

use super::store::Entry;
use super::{
    ClientId, Flow, LIFE, Pending, Room, SendError, T1, T2, T4, TransactionError, TransactionEvent,
    Transactions, make,
};
use crate::limits;
use crate::sip::{Message, Method};
use crate::table::Id;
use crate::time::{Duration, Instant};

/// Timer D on datagrams: at least 32 s, to acknowledge repeated refusals.
const TIMER_D: Duration = Duration::from_secs(32);

/// How many of those that answer one INVITE by 2xx are told apart from their repeats.
const ANSWERERS_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Calling, for an INVITE.
    Trying,
    Proceeding,
    Completed,
    Accepted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cancel {
    No,
    /// Waits for a provisional response: a CANCEL must not overtake its INVITE.
    Wanted,
    Sent,
}

/// What a client transaction has besides an entry's fields.
pub(super) struct Client {
    state: State,
    invite: bool,
    provisional: bool,
    cancel: Cancel,
    /// The user was told that it failed.
    written_off: bool,
    /// None: a CANCEL made here, of which the user hears nothing.
    user: Option<u32>,
    /// Whose 2xx to an INVITE the user has noted, by To-tag.
    answerers: heapless::Vec<u64, ANSWERERS_MAX>,
    /// The request. In Completed: the ACK of an INVITE, else nothing.
    message: Box<[u8]>,
}

impl Transactions {
    /// Sends a request as a new transaction; its first Via carries a [`Self::branch`]. Every
    /// response and event of it brings `user` back.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn send_request(
        &mut self,
        now: Instant,
        flow: Flow,
        request: &[u8],
        user: u32,
    ) -> Result<ClientId, SendError> {
        self.send_request_in(Room::Usual, now, flow, request, user)
    }

    /// As [`Self::send_request`], where the transaction may take this room, and so may the CANCEL
    /// of an INVITE.
    ///
    /// # Errors
    /// [`SendError`]; nothing was sent.
    pub fn send_request_in(
        &mut self,
        room: Room,
        now: Instant,
        flow: Flow,
        request: &[u8],
        user: u32,
    ) -> Result<ClientId, SendError> {
        self.start_client(room, now, flow, request, Some(user))
    }

    fn start_client(
        &mut self,
        room: Room,
        now: Instant,
        flow: Flow,
        request: &[u8],
        user: Option<u32>,
    ) -> Result<ClientId, SendError> {
        if request.len() > limits::SIP_MESSAGE_BYTES_MAX {
            return Err(SendError::Malformed);
        }
        let (method, branch) = make::method_and_branch(request).ok_or(SendError::Malformed)?;
        if method == Method::Ack {
            return Err(SendError::Malformed);
        }
        let client = Client {
            state: State::Trying,
            invite: method == Method::Invite,
            provisional: false,
            cancel: Cancel::No,
            written_off: false,
            user,
            answerers: heapless::Vec::new(),
            message: request.into(),
        };
        let key = self.keyer.client(branch, method);
        let Some(id) = self.clients.insert(key, flow, room, client) else {
            self.wire.counters.full += 1;
            return Err(SendError::Full);
        };
        let sent = self.wire.send(flow, request);
        if let Some(entry) = self.clients.get_mut(id) {
            entry.interval = T1;
            entry.ends_at = Some(now + LIFE);
            entry.retransmit_at = match (sent, flow.is_reliable()) {
                (false, _) => Some(now),
                (true, false) => Some(now + T1),
                (true, true) => None,
            };
        }
        self.clients.arm(id);
        Ok(ClientId(id))
    }

    /// Takes a response off the wire. `flow` is where it came from.
    ///
    /// Returns the transaction and its user's number where the user has to act: provisional
    /// responses, the first final one, and every 2xx to an INVITE for 64·T1 after the first.
    pub fn receive_response(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        flow: Flow,
    ) -> Option<(ClientId, u32)> {
        let Some(id) = self.find_client(message, flow) else {
            self.wire.counters.strays += 1;
            return None;
        };
        let entry = self.clients.get_mut(id)?;
        let client = &mut entry.inner;
        let user = client.user;
        match (client.state, message.status()) {
            (State::Trying | State::Proceeding, 100..200) => {
                let first = !client.provisional;
                client.state = State::Proceeding;
                client.provisional = true;
                let again = core::mem::take(&mut client.written_off);
                if client.invite && (first || again && client.cancel == Cancel::No) {
                    entry.retransmit_at = None;
                    entry.ends_at = None;
                    self.clients.arm(id);
                    self.cancel_if_wanted(now, id);
                }
            }
            (State::Trying | State::Proceeding, 200..300) if client.invite => {
                client.state = State::Accepted;
                self.finish_client(now, id, LIFE);
            }
            (State::Trying | State::Proceeding, _) => self.refuse_client(now, id, message),
            (State::Accepted, 200..300) => {}
            (State::Completed, _) => {
                self.wire.counters.responses_absorbed += 1;
                let acknowledges = client.invite && message.status() >= 300;
                if acknowledges && !client.message.is_empty() {
                    self.wire.send(entry.flow, &client.message);
                }
                return None;
            }
            (State::Accepted, _) => {
                self.wire.counters.responses_absorbed += 1;
                return None;
            }
        }
        user.map(|user| (ClientId(id), user))
    }

    /// The request, until its final response or failure, and while the user acts on that: until
    /// the next response is received or the next event polled. An INVITE that was accepted keeps
    /// it, for the ACKs.
    pub fn client_request(&self, id: ClientId) -> Option<&[u8]> {
        if let Some((spent, request)) = &self.spent
            && *spent == id
        {
            return Some(request);
        }
        let client = &self.clients.get(id.0)?.inner;
        (client.state != State::Completed).then_some(&client.message)
    }

    /// Notes who has answered an INVITE by 2xx, by To-tag. False where that was noted before: the
    /// 2xx is a repeat. One that finds no room among others is always taken for new.
    pub fn note_answerer(&mut self, id: ClientId, tag: &str) -> bool {
        let tag = self.keyer.tag(tag);
        let Some(entry) = self.clients.get_mut(id.0) else { return true };
        let answerers = &mut entry.inner.answerers;
        let new = !answerers.contains(&tag);
        if new {
            let _ = answerers.push(tag);
        }
        new
    }

    /// Where the request went, while the transaction lives.
    pub fn client_flow(&self, id: ClientId) -> Option<Flow> {
        self.clients.get(id.0).map(|entry| entry.flow)
    }

    /// Which room the transaction found, while it lives.
    pub fn client_room(&self, id: ClientId) -> Room {
        self.clients.get(id.0).map(|entry| entry.room).unwrap_or_default()
    }

    /// Whether a provisional response came.
    pub fn had_provisional(&self, id: ClientId) -> bool {
        self.clients.get(id.0).is_some_and(|entry| entry.inner.provisional)
    }

    /// Sends the request no more. The transaction lives on to hear what its copies cause, at most
    /// 64·T1 from its start unless a provisional response comes.
    pub fn stop_retransmitting(&mut self, id: ClientId) {
        let Some(entry) = self.clients.get_mut(id.0) else { return };
        entry.retransmit_at = None;
        self.clients.arm(id.0);
    }

    /// Cancels an INVITE: at once where a provisional response came, else as soon as one comes
    /// (RFC 3261 s9.1); until then the INVITE is not sent again. The CANCEL is a transaction of its
    /// own, of which the user hears nothing. The INVITE's final response is still reported, or
    /// its failure 64·T1 after the CANCEL.
    ///
    /// False where there is nothing to cancel: no such transaction, not an INVITE, or the final
    /// response came. Cancelling twice does no harm.
    pub fn cancel(&mut self, now: Instant, id: ClientId) -> bool {
        let Some(entry) = self.clients.get_mut(id.0) else { return false };
        let client = &mut entry.inner;
        if !client.invite || !matches!(client.state, State::Trying | State::Proceeding) {
            return false;
        }
        if client.cancel == Cancel::No {
            client.cancel = Cancel::Wanted;
            entry.retransmit_at = None;
            self.clients.arm(id.0);
            self.cancel_if_wanted(now, id.0);
        }
        true
    }

    /// Ends a client transaction without an event. Responses that still come are strays.
    pub fn forget(&mut self, id: ClientId) {
        self.clients.remove(id.0);
    }

    fn find_client(&self, message: &Message<'_>, flow: Flow) -> Option<Id<Entry<Client>>> {
        if message.is_request() || !(100..700).contains(&message.status()) {
            return None;
        }
        let via = message.via()?;
        let id = self.clients.find(self.keyer.client(via.branch()?, message.method()))?;
        flow.may_answer(self.clients.get(id)?.flow).then_some(id)
    }

    /// A final response that ends the transaction: every one but the 2xx of an INVITE.
    fn refuse_client(&mut self, now: Instant, id: Id<Entry<Client>>, message: &Message<'_>) {
        let Some(entry) = self.clients.get_mut(id) else { return };
        let (client, flow) = (&mut entry.inner, entry.flow);
        client.state = State::Completed;
        let request = core::mem::take(&mut client.message);
        let mut rest = T4;
        if client.invite {
            rest = TIMER_D;
            if let Some(len) = make::ack(&request, message, &mut self.scratch) {
                let ack = &self.scratch[..len];
                self.wire.send(flow, ack);
                client.message = ack.into();
            }
        }
        if client.user.is_some() {
            self.spent = Some((ClientId(id), request));
        }
        self.finish_client(now, id, if flow.is_reliable() { Duration::ZERO } else { rest });
    }

    fn cancel_if_wanted(&mut self, now: Instant, id: Id<Entry<Client>>) {
        let Some(entry) = self.clients.get_mut(id) else { return };
        let client = &mut entry.inner;
        if client.cancel != Cancel::Wanted || client.state != State::Proceeding {
            return;
        }
        client.cancel = Cancel::Sent;
        entry.ends_at = Some(now + LIFE);
        let (flow, room) = (entry.flow, entry.room);
        let written = make::cancel(&client.message, &mut self.scratch);
        self.clients.arm(id);
        let Some(len) = written else { return };
        // A full table: the INVITE ends by its deadline, and the far end by its own Timer C.
        let scratch = core::mem::take(&mut self.scratch);
        let _ = self.start_client(room, now, flow, &scratch[..len], None);
        self.scratch = scratch;
    }

    fn finish_client(&mut self, now: Instant, id: Id<Entry<Client>>, rest: Duration) {
        if self.clients.finish(id, now, rest) {
            self.wire.counters.evicted += 1;
        }
    }

    /// Acts on a deadline. False where the outbox is full and the entry stays due.
    pub(super) fn on_client_due(&mut self, now: Instant, id: Id<Entry<Client>>) -> bool {
        if self.outlives_failure(now, id) {
            return true;
        }
        let Some(entry) = self.clients.get_mut(id) else { return true };
        if entry.failed || entry.ends_at.is_some_and(|at| at <= now) {
            self.end_client(id);
            return true;
        }
        if !self.wire.send(entry.flow, &entry.inner.message) {
            entry.retransmit_at = Some(now);
            self.clients.arm(id);
            return false;
        }
        self.wire.counters.requests_retransmitted += 1;
        entry.interval = match (entry.inner.invite, entry.inner.state) {
            (true, _) => entry.interval * 2,
            (false, State::Trying) => (entry.interval * 2).min(T2),
            (false, _) => T2,
        };
        entry.retransmit_at = (!entry.flow.is_reliable()).then_some(now + entry.interval);
        self.clients.arm(id);
        true
    }

    /// Where a transport error on datagrams is not the end: of an INVITE the user is told, and what
    /// its copies cause is listened for; a CANCEL is sent again as if it were lost.
    fn outlives_failure(&mut self, now: Instant, id: Id<Entry<Client>>) -> bool {
        let Some(entry) = self.clients.get_mut(id) else { return false };
        let client = &mut entry.inner;
        let open = matches!(client.state, State::Trying | State::Proceeding);
        let (invite, cancel) = (client.invite, client.user.is_none());
        if !(entry.failed && open && entry.flow.via.is_datagram() && (invite || cancel)) {
            return false;
        }
        entry.failed = false;
        if invite {
            entry.retransmit_at = None;
            entry.ends_at.get_or_insert(now + LIFE);
            let first = !core::mem::replace(&mut client.written_off, true);
            if let Some(user) = client.user.filter(|_| first) {
                self.wire.counters.transport_errors += 1;
                let error = TransactionError::Transport;
                let event = TransactionEvent::Failed { id: ClientId(id), user, invite, error };
                self.events.push_back(Pending { event, request: None });
            }
        }
        self.clients.arm(id);
        true
    }

    fn end_client(&mut self, id: Id<Entry<Client>>) {
        let finished = self.clients.is_finished(id);
        let failed = self.clients.get(id).is_some_and(|entry| entry.failed);
        let Some(client) = self.clients.remove(id) else { return };
        if finished || client.written_off {
            return;
        }
        let error = if failed {
            self.wire.counters.transport_errors += 1;
            TransactionError::Transport
        } else {
            self.wire.counters.timeouts += 1;
            TransactionError::TimedOut
        };
        let Some(user) = client.user else { return };
        let id = ClientId(id);
        let event = TransactionEvent::Failed { id, user, invite: client.invite, error };
        self.events.push_back(Pending { event, request: Some((id, client.message)) });
    }
}
