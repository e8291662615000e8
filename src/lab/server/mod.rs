//! The provider: a SIP registrar and record-routing proxy as a core (RFC 3261 s10, s16).
//!
//! It knows nothing of adapters and overlay: it stands for the servers that people have. The
//! location table lives in memory, so a restart empties it, as it does at many providers. What
//! it carried it tells in [`Server::poll_log`], the second witness of the demo. Limits: UDP,
//! literal addresses, parallel forking only.

pub mod b2bua;
mod capacity;
mod forward;
mod registrar;
#[cfg(test)]
mod tests;

pub use capacity::{Beyond, Capacity};

use crate::lab::dialog::address;
use crate::lab::stage::Stage;
use crate::net::{
    Answer, Core, Event, Input, Rejected, Request, SocketId, SocketKind, Ticket, Transmit, Via,
};
use crate::rng::Rng;
use crate::sip::transaction::{Flow, Incoming, ServerId, TransactionEvent, Transactions};
use crate::sip::{Message, Method, Name};
use crate::time::{Instant, earlier};
use capacity::Load;
use forward::Forward;
use registrar::{EXPIRES_MAX, Registrar, Verdicted};
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::SocketAddr;

const TRANSACTIONS_MAX: usize = 4096;
const BIND_TICKET: Ticket = Ticket(0);

/// A registrar and proxy.
pub struct Server {
    listen: SocketAddr,
    registrar: Registrar,
    load: Load,
    transactions: Transactions,
    socket: Option<SocketId>,
    rng: Rng,
    events: VecDeque<Event>,
    forwards: BTreeMap<u32, Forward>,
    next_forward: u32,
    log: VecDeque<String>,
}

impl Server {
    /// A server that asks for the socket `listen`. With a password, every user's, it challenges
    /// REGISTER and INVITE.
    pub fn new(listen: SocketAddr, password: Option<String>, seed: [u8; 32]) -> Self {
        let mut rng = Rng::new(seed);
        let bind = Request::Bind { kind: SocketKind::Sip, local: listen };
        Self {
            listen,
            registrar: Registrar::new(password, &mut rng),
            load: Load::default(),
            transactions: Transactions::new(TRANSACTIONS_MAX, TRANSACTIONS_MAX * 2, &mut rng),
            socket: None,
            rng,
            events: VecDeque::from([Event::Request(BIND_TICKET, bind)]),
            forwards: BTreeMap::new(),
            next_forward: 0,
            log: VecDeque::new(),
        }
    }

    /// Decides what it can bear; as long as nothing is said, it bears all.
    pub fn set_capacity(&mut self, capacity: Capacity) {
        self.load.capacity = Some(capacity);
    }

    /// Whether its socket is open.
    pub fn is_ready(&self) -> bool {
        self.socket.is_some()
    }

    /// The address that it serves.
    pub fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// What it did, a line each: `REGISTER aor`, `INVITE call-id`, `200 call-id to-tag`,
    /// `ACK call-id`, `BYE call-id`.
    pub fn poll_log(&mut self) -> Option<String> {
        self.log.pop_front()
    }

    fn receive_request(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        flow: Flow,
    ) -> Result<(), Rejected> {
        let register = message.method() == Method::Register;
        let beyond = if register { self.load.beyond(now) } else { None };
        if beyond == Some(Beyond::Unheard) {
            return Err(Rejected::Full);
        }
        let incoming =
            self.transactions.receive_request(now, message, flow).map_err(|_| Rejected::Full)?;
        match incoming {
            Incoming::New(id) => match self.first_answer(now, message, beyond) {
                Some((status, extra)) => self.reply(now, id, message, status, &extra),
                None if register => {
                    let (status, contacts) = self.registrar.register(now, message);
                    let aor = registrar::registered(message).unwrap_or_default();
                    self.log.push_back(format!("REGISTER {aor}"));
                    self.reply(now, id, message, status, &contacts);
                }
                None => self.route(now, id, message, flow.to),
            },
            Incoming::AckOfSuccess => self.forward_ack(message, flow.to),
            Incoming::Cancel { id, invite } => {
                let status = if invite.is_some() { 200 } else { 481 };
                self.reply(now, id, message, status, &[]);
                self.cancel(now, invite);
            }
            Incoming::Repeated | Incoming::Ack => {}
        }
        Ok(())
    }

    /// What a request is told before anything is done for it: that there are too many, or who is
    /// it from?
    fn first_answer(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        beyond: Option<Beyond>,
    ) -> Option<Verdicted> {
        match beyond {
            Some(Beyond::Refused(after_s)) => {
                Some((503, vec![(Name::RetryAfter, after_s.to_string())]))
            }
            _ => self.registrar.challenge(now, message),
        }
    }

    /// Whether a Route or Request-URI names this server.
    fn is_own(&self, uri: &str) -> bool {
        address(uri) == Some(self.listen)
    }

    fn reply(
        &mut self,
        now: Instant,
        id: ServerId,
        message: &Message<'_>,
        status: u16,
        extra: &[(Name, String)],
    ) {
        let tag = format!("{:08x}", self.rng.next_u32());
        let seen = self.transactions.server_flow(id).map(|flow| flow.to);
        let response = registrar::answer(message, status, &tag, seen, extra, "");
        self.transactions.respond(now, id, &response);
    }
}

impl Core for Server {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        match input {
            Input::Timeout => {
                self.transactions.handle_timeout(now);
                while let Some(event) = self.transactions.poll_event() {
                    if let TransactionEvent::Failed { id, user, .. } = event {
                        self.branch_failed(now, user, id);
                    }
                }
                self.forget_forwards(now);
                Ok(())
            }
            Input::Datagram { socket, from, data, .. } => {
                let message = Message::parse(data).map_err(|_| Rejected::Malformed)?;
                message.check().map_err(|_| Rejected::Malformed)?;
                let flow = Flow { via: Via::Udp(socket), to: from };
                if message.is_request() {
                    return self.receive_request(now, &message, flow);
                }
                let (id, user) = self
                    .transactions
                    .receive_response(now, &message, flow)
                    .ok_or(Rejected::Unknown)?;
                self.receive_response(now, user, id, &message);
                Ok(())
            }
            Input::Answer(_, Ok(Answer::Bound(socket, local))) => {
                (self.socket, self.listen) = (Some(socket), local);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        self.transactions.poll_transmit(buf)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let forgotten = self.forwards.values().filter_map(Forward::forget_at).min();
        earlier(forgotten, self.transactions.poll_timeout())
    }
}

/// Runs a server for ever, with its log on standard output.
///
/// # Errors
/// Where the socket is not to be had.
pub fn run(listen: SocketAddr, password: Option<String>) -> std::io::Result<()> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut stage = Stage::new();
    let place = stage.add(Server::new(listen, password, seed));
    if !stage.core(place).is_ready() {
        return Err(std::io::ErrorKind::AddrInUse.into());
    }
    loop {
        stage.run_until(EXPIRES_MAX, |servers| {
            let mut out = std::io::stdout().lock();
            for line in core::iter::from_fn(|| servers[place].poll_log()) {
                // The calls matter more than a log that nobody reads.
                let _ = writeln!(out, "{line}").and_then(|()| out.flush());
            }
            false
        });
    }
}
