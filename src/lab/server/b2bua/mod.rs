//! A provider's back-to-back user agent as a core: every call is two, and nothing of the one is
//! in the other but its sound (RFC 3261 s6).
//!
//! It stands for the exchanges and session border controllers that most providers have: the
//! callee sees another Call-ID, other tags and numbers, and the caller's name in whatever form
//! the house likes, or not at all. It works at its own pace, has a mailbox or forwards calls, and
//! its location table is in memory only. One loop: what the wire brings becomes a `Work` of a
//! session, and is done in order, each after a time that the seed draws. What it did beside plain
//! calls it tells in [`B2bua::poll_log`]. Limits: UDP, literal addresses.

mod anchor;
mod inside;
mod session;
mod settings;
#[cfg(test)]
mod tests;

pub use settings::{Diversion, Presentation, Settings};

use super::registrar::{self, Registrar};
use crate::lab::dialog::tag;
use crate::lab::repeat::Wish;
use crate::net::{
    Answer, Core, Event, Input, Rejected, Request, SocketId, SocketKind, Ticket, Transmit, Via,
};
use crate::rng::Rng;
use crate::sip::transaction::{Flow, Incoming, ServerId, TransactionEvent, Transactions};
use crate::sip::{Message, Method, Name};
use crate::time::{Duration, Instant, earlier};
use anchor::{Anchor, CALLEE, CALLER};
use session::Session;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

const TRANSACTIONS_MAX: usize = 1024;
const BIND_TICKET: Ticket = Ticket(0);
/// The transaction user of requests whose answers nobody waits for.
const NOBODY: u32 = 0;

/// The two ends of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Caller,
    /// By its number among the legs.
    Callee(usize),
}

/// A thing to do in a session.
enum Work {
    Begin,
    Dial(String),
    Response(usize, Vec<u8>),
    Failed(usize),
    Cancelled,
    Acknowledged,
    Request(End, ServerId, Vec<u8>),
}

struct Step {
    at: Instant,
    session: u32,
    work: Work,
}

/// Whose request a client transaction is.
#[derive(Clone, Copy)]
enum Owner {
    /// The INVITE of a leg.
    Leg { session: u32, leg: usize },
    /// A request inside the dialog, passed on for `from`.
    Passed { session: u32, from: End, server: ServerId },
}

/// See the module's text.
pub struct B2bua {
    settings: Settings,
    registrar: Registrar,
    transactions: Transactions,
    socket: Option<SocketId>,
    anchor: Option<Anchor>,
    rng: Rng,
    events: VecDeque<Event>,
    sessions: BTreeMap<u32, Session>,
    /// In the order of their time.
    steps: VecDeque<Step>,
    owners: BTreeMap<u32, Owner>,
    next: u32,
    log: VecDeque<String>,
}

impl B2bua {
    /// A house that has just opened: nobody is registered.
    pub fn new(settings: Settings, seed: [u8; 32]) -> Self {
        let mut rng = Rng::new(seed);
        let bind = Request::Bind { kind: SocketKind::Sip, local: settings.listen };
        let anchor = settings.anchor.map(Anchor::new);
        let media = anchor.iter().flat_map(Anchor::requests);
        let binds = core::iter::once(bind).chain(media);
        Self {
            registrar: Registrar::new(settings.password.clone(), &mut rng),
            transactions: Transactions::new(TRANSACTIONS_MAX, TRANSACTIONS_MAX, &mut rng),
            socket: None,
            rng,
            events: binds.map(|bind| Event::Request(BIND_TICKET, bind)).collect(),
            anchor,
            sessions: BTreeMap::new(),
            steps: VecDeque::new(),
            owners: BTreeMap::new(),
            next: NOBODY + 1,
            log: VecDeque::new(),
            settings,
        }
    }

    /// How many calls stand or are being set up.
    pub fn live(&self) -> usize {
        self.sessions.values().filter(|session| session.forget_at.is_none()).count()
    }

    /// What it did beside plain calls, a line each: `mailbox SESSION REASON`, where SESSION
    /// names the mailbox's end in its session description; `forward REASON`.
    pub fn poll_log(&mut self) -> Option<String> {
        self.log.pop_front()
    }

    fn number(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// A description of one end, as the other reads it.
    fn described(&mut self, session: u32, from: End, body: &[u8]) -> String {
        let body = String::from_utf8_lossy(body).into_owned();
        let end = if from == End::Caller { CALLER } else { CALLEE };
        let anchored = self.anchor.as_mut().map(|anchor| anchor.describe(session, end, &body));
        anchored.unwrap_or(body)
    }

    fn flow(&self, to: SocketAddr) -> Option<Flow> {
        Some(Flow { via: Via::Udp(self.socket?), to })
    }

    fn via(&mut self) -> String {
        let branch = self.transactions.branch();
        format!("SIP/2.0/UDP {};branch={branch};rport", self.settings.listen)
    }

    fn contact(&self) -> String {
        format!("<sip:b2bua@{}>", self.settings.listen)
    }

    /// Puts a thing to do behind all that the session has to do already.
    fn schedule(&mut self, now: Instant, session: u32, extra: Duration, work: Work) {
        let wait = self.draw(self.settings.pace) + extra;
        let Some(known) = self.sessions.get_mut(&session) else { return };
        let at = known.busy_until.max(now + wait);
        known.busy_until = at;
        let place = self.steps.partition_point(|step| step.at <= at);
        self.steps.insert(place, Step { at, session, work });
    }

    /// A time up to `most`.
    fn draw(&mut self, most: Duration) -> Duration {
        let micros = u32::try_from(most.as_micros()).unwrap_or(u32::MAX);
        Duration::from_micros(self.rng.below(micros).into())
    }

    fn reply(&mut self, now: Instant, id: ServerId, request: &[u8], status: u16) {
        self.reply_with(now, id, request, status, &[]);
    }

    fn reply_with(
        &mut self,
        now: Instant,
        id: ServerId,
        request: &[u8],
        status: u16,
        extra: &[(Name, String)],
    ) {
        let Ok(message) = Message::parse(request) else { return };
        let tag = format!("{:08x}", self.rng.next_u32());
        let seen = self.transactions.server_flow(id).map(|flow| flow.to);
        let response = registrar::answer(&message, status, &tag, seen, extra, "");
        self.transactions.respond(now, id, &response);
    }

    /// The session and the end of it that a request inside a dialog comes from.
    fn session_of(&self, message: &Message<'_>) -> Option<(u32, End)> {
        self.sessions.iter().find_map(|(number, session)| {
            let leg = || session.legs.iter().position(|leg| leg.dialog.has_request(message));
            match session.caller.has_request(message) {
                true => Some((*number, End::Caller)),
                false => leg().map(|leg| (*number, End::Callee(leg))),
            }
        })
    }

    fn receive_request(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        flow: Flow,
    ) -> Result<(), Rejected> {
        let incoming =
            self.transactions.receive_request(now, message, flow).map_err(|_| Rejected::Full)?;
        match incoming {
            Incoming::New(id) => self.receive_new(now, id, message),
            Incoming::AckOfSuccess => {
                if let Some((session, _)) = self.session_of(message) {
                    self.schedule(now, session, Duration::ZERO, Work::Acknowledged);
                }
            }
            Incoming::Cancel { id, invite } => {
                let status = if invite.is_some() { 200 } else { 481 };
                self.reply(now, id, message.raw(), status);
                let known = self.sessions.iter().find(|(_, s)| Some(s.invite) == invite);
                if let Some(session) = known.map(|(number, _)| *number) {
                    self.schedule(now, session, Duration::ZERO, Work::Cancelled);
                }
            }
            Incoming::Repeated | Incoming::Ack => {}
        }
        Ok(())
    }

    fn receive_new(&mut self, now: Instant, id: ServerId, message: &Message<'_>) {
        let raw = message.raw();
        if let Some((status, extra)) = self.registrar.challenge(now, message) {
            return self.reply_with(now, id, raw, status, &extra);
        }
        let in_dialog = message.header(Name::To).is_some_and(|to| !tag(to).is_empty());
        match (message.method(), in_dialog) {
            (Method::Register, _) => {
                let (status, contacts) = self.registrar.register(now, message);
                self.reply_with(now, id, raw, status, &contacts);
            }
            (_, true) => match self.session_of(message) {
                Some((session, end)) => {
                    let work = Work::Request(end, id, raw.to_vec());
                    self.schedule(now, session, Duration::ZERO, work);
                }
                None => self.reply(now, id, raw, 481),
            },
            (Method::Invite, false) => {
                let number = self.number();
                let tag = self.rng.next_u32();
                self.sessions.insert(number, Session::new(now, id, message, tag));
                self.schedule(now, number, Duration::ZERO, Work::Begin);
            }
            (Method::Options, false) => self.reply(now, id, raw, 200),
            _ => self.reply(now, id, raw, 501),
        }
    }

    fn receive_response(
        &mut self,
        now: Instant,
        message: &Message<'_>,
        flow: Flow,
    ) -> Result<(), Rejected> {
        let received = self.transactions.receive_response(now, message, flow);
        let (_, user) = received.ok_or(Rejected::Unknown)?;
        match self.owners.get(&user).copied() {
            Some(Owner::Leg { session, leg }) => {
                let work = Work::Response(leg, message.raw().to_vec());
                self.schedule(now, session, Duration::ZERO, work);
            }
            Some(Owner::Passed { session, from, server }) => {
                self.pass_back(now, (session, from), server, message);
            }
            None => {}
        }
        Ok(())
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.transactions.handle_timeout(now);
        while let Some(event) = self.transactions.poll_event() {
            let TransactionEvent::Failed { user, .. } = event else { continue };
            match self.owners.get(&user).copied() {
                Some(Owner::Leg { session, leg }) => {
                    self.schedule(now, session, Duration::ZERO, Work::Failed(leg));
                }
                Some(Owner::Passed { session, server, .. }) => {
                    self.pass_failed(now, session, server);
                }
                None => {}
            }
        }
        while self.steps.front().is_some_and(|step| step.at <= now) {
            let Some(Step { session, work, .. }) = self.steps.pop_front() else { break };
            self.work(now, session, work);
        }
        let numbers: Vec<u32> = self.sessions.keys().copied().collect();
        for number in numbers {
            self.session_due(now, number);
        }
    }

    fn session_due(&mut self, now: Instant, number: u32) {
        let Some(session) = self.sessions.get_mut(&number) else { return };
        if session.forget_at.is_some_and(|at| at <= now) {
            self.sessions.remove(&number);
            self.anchor.iter_mut().for_each(|anchor| anchor.forget(number));
            self.owners.retain(|_, owner| owner.session() != number);
            return;
        }
        let impatient = session.divert_at.take_if(|at| *at <= now).is_some();
        match session.unacknowledged.as_mut().and_then(|repeat| repeat.take_due(now)) {
            Some(Wish::Again) => self.answer_again(now, number),
            Some(Wish::GiveUp) => self.end(now, number, None),
            None => {}
        }
        if impatient {
            self.out_of_patience(now, number);
        }
    }
}

impl Owner {
    fn session(self) -> u32 {
        match self {
            Self::Leg { session, .. } | Self::Passed { session, .. } => session,
        }
    }
}

impl Core for B2bua {
    fn handle_input(&mut self, now: Instant, input: Input<'_>) -> Result<(), Rejected> {
        match input {
            Input::Timeout => self.handle_timeout(now),
            Input::Datagram { socket, from, data, .. } => {
                if self.anchor.as_mut().is_some_and(|anchor| anchor.relay(socket, data)) {
                    return Ok(());
                }
                let message = Message::parse(data).map_err(|_| Rejected::Malformed)?;
                message.check().map_err(|_| Rejected::Malformed)?;
                let flow = Flow { via: Via::Udp(socket), to: from };
                return match message.is_request() {
                    true => self.receive_request(now, &message, flow),
                    false => self.receive_response(now, &message, flow),
                };
            }
            Input::Answer(_, Ok(Answer::Bound(socket, local)))
                if !self.anchor.as_mut().is_some_and(|anchor| anchor.bound(socket, local)) =>
            {
                (self.socket, self.settings.listen) = (Some(socket), local);
            }
            _ => {}
        }
        Ok(())
    }

    fn poll_transmit(&mut self, _now: Instant, buf: &mut [u8]) -> Option<Transmit> {
        let sound = self.anchor.as_mut().and_then(|anchor| anchor.poll_transmit(buf));
        sound.or_else(|| self.transactions.poll_transmit(buf))
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let step = self.steps.front().map(|step| step.at);
        let sessions = self.sessions.values().fold(None, |due, s| earlier(due, s.next_due()));
        earlier(earlier(step, sessions), self.transactions.poll_timeout())
    }
}
