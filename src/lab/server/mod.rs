//! The provider: a SIP registrar and record-routing proxy as a core (RFC 3261 s10, s16).
//!
//! It knows nothing of adapters and overlay: it stands for the servers that people have. The
//! location table lives in memory, so a restart empties it, as it does at many providers. What
//! it carried it tells in [`Server::poll_log`], the second witness of the demo. Limits: UDP,
//! literal addresses, parallel forking only.

mod forward;
#[cfg(test)]
mod tests;

use crate::lab::phone::{address, tag, written};
use crate::lab::stage::Stage;
use crate::net::{
    Answer, Core, Event, Input, Rejected, Request, SocketId, SocketKind, Ticket, Transmit, Via,
};
use crate::rng::Rng;
use crate::sip::digest::{Algorithm, Authenticator, Credentials, Secret, Verdict};
use crate::sip::transaction::{Flow, Incoming, ServerId, TransactionEvent, Transactions};
use crate::sip::{Message, Method, Name, NameAddr, Uri, reason_phrase};
use crate::time::{Duration, Instant, earlier};
use forward::Forward;
use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::net::SocketAddr;

const TRANSACTIONS_MAX: usize = 4096;
const BINDINGS_PER_AOR_MAX: usize = 8;
const EXPIRES_MAX: Duration = Duration::from_secs(3600);
/// The realm of its challenges.
const REALM: &str = "lab";
const NONCES: usize = 4096;
const NONCE_LIFETIME: Duration = Duration::from_secs(300);
const BIND_TICKET: Ticket = Ticket(0);

/// A Contact of a registered phone.
#[derive(Clone, Debug)]
struct Binding {
    uri: String,
    expires_at: Instant,
}

/// A registrar and proxy.
pub struct Server {
    listen: SocketAddr,
    password: Option<String>,
    authenticator: Authenticator,
    transactions: Transactions,
    socket: Option<SocketId>,
    rng: Rng,
    events: VecDeque<Event>,
    locations: BTreeMap<String, Vec<Binding>>,
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
            password,
            authenticator: Authenticator::new(NONCES, NONCE_LIFETIME, &mut rng),
            transactions: Transactions::new(TRANSACTIONS_MAX, TRANSACTIONS_MAX * 2, &mut rng),
            socket: None,
            rng,
            events: VecDeque::from([Event::Request(BIND_TICKET, bind)]),
            locations: BTreeMap::new(),
            forwards: BTreeMap::new(),
            next_forward: 0,
            log: VecDeque::new(),
        }
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
        let incoming =
            self.transactions.receive_request(now, message, flow).map_err(|_| Rejected::Full)?;
        match incoming {
            Incoming::New(id) if !self.is_allowed(now, id, message) => {}
            Incoming::New(id) => match message.method() {
                Method::Register => self.register(now, id, message),
                _ => self.route(now, id, message, flow.to),
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

    /// Whether a request needs no credentials, or has them. If not, it is challenged.
    fn is_allowed(&mut self, now: Instant, id: ServerId, message: &Message<'_>) -> bool {
        let Some(password) = self.password.clone() else { return true };
        let in_dialog = message.header(Name::To).is_some_and(|to| !tag(to).is_empty());
        let (status, answered, asked) = match message.method() {
            Method::Register => (401, Name::Authorization, Name::WwwAuthenticate),
            Method::Invite if !in_dialog => {
                (407, Name::ProxyAuthorization, Name::ProxyAuthenticate)
            }
            _ => return true,
        };
        let method = message.method();
        let verdict = message.header(answered).and_then(|value| {
            let credentials = Credentials::parse(value).ok()?;
            let (user, realm) = (credentials.user, REALM);
            let secret = Secret { user, realm, password: Some(&password), ..Secret::default() };
            Some(self.authenticator.verify(now, &credentials, method.as_str(), &secret))
        });
        if verdict == Some(Verdict::Accepted) {
            return true;
        }
        let stale = verdict == Some(Verdict::Stale);
        let offer = self.authenticator.challenge(now, REALM, Algorithm::Md5, stale).to_string();
        self.reply(now, id, message, status, &[(asked, offer)]);
        false
    }

    /// Binds, refreshes and unbinds Contacts (RFC 3261 s10.3).
    fn register(&mut self, now: Instant, id: ServerId, message: &Message<'_>) {
        let aor = message.header(Name::To).and_then(|to| NameAddr::parse(to).ok());
        let Some(key) = aor.and_then(|aor| key(aor.uri)) else {
            return self.reply(now, id, message, 400, &[]);
        };
        let default = message.header(Name::Expires).and_then(|value| value.parse().ok());
        let bindings = self.locations.entry(key.clone()).or_default();
        bindings.retain(|binding| binding.expires_at > now);
        for contact in message.values(Name::Contact) {
            if contact == "*" {
                bindings.clear();
                continue;
            }
            let Ok(contact) = NameAddr::parse(contact) else { continue };
            let own = contact.params.get("expires").and_then(|value| value.parse().ok());
            let asked = own.or(default).map_or(EXPIRES_MAX, Duration::from_secs);
            bindings.retain(|binding| binding.uri != contact.uri);
            if !asked.is_zero() && bindings.len() < BINDINGS_PER_AOR_MAX {
                let expires_at = now + asked.min(EXPIRES_MAX);
                bindings.push(Binding { uri: contact.uri.to_owned(), expires_at });
            }
        }
        let contacts: Vec<(Name, String)> = bindings
            .iter()
            .map(|binding| {
                let seconds = binding.expires_at.since(now).as_secs();
                (Name::Contact, format!("<{}>;expires={seconds}", binding.uri))
            })
            .collect();
        self.log.push_back(format!("REGISTER {key}"));
        self.reply(now, id, message, 200, &contacts);
    }

    /// The Contacts where a Request-URI leads to now.
    fn targets(&self, now: Instant, uri: &str) -> Option<Vec<String>> {
        let bindings = self.locations.get(&key(uri)?)?;
        let live = bindings.iter().filter(|binding| binding.expires_at > now);
        Some(live.map(|binding| binding.uri.clone()).collect())
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
        let new_tag = self.rng.next_u32();
        let from = self.transactions.server_flow(id).map(|flow| flow.to);
        let mut vias = 0;
        let response = written(b"", |writer| {
            writer.status(status, reason_phrase(status));
            for header in message.headers() {
                match header.name {
                    Name::Via => {
                        let value = stamped(header.value, from.filter(|_| vias == 0));
                        writer.header(Name::Via, value);
                        vias += 1;
                    }
                    Name::From | Name::CallId | Name::CSeq => writer.copy(header),
                    Name::To if status == 100 || !tag(header.value).is_empty() => {
                        writer.copy(header);
                    }
                    Name::To => {
                        let to = header.value;
                        writer.header(Name::To, format_args!("{to};tag={new_tag:08x}"));
                    }
                    _ => {}
                }
            }
            extra.iter().for_each(|(name, value)| writer.header(*name, value));
        });
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

/// The key of an AOR in the location table: user and host, the host in lower case.
fn key(uri: &str) -> Option<String> {
    let uri = Uri::parse(uri).ok()?;
    Some(format!("{}@{}", uri.user, uri.host.to_ascii_lowercase())).filter(|_| !uri.user.is_empty())
}

/// A Via with the address that its request came from, where it asks for one (RFC 3581).
fn stamped(value: &str, from: Option<SocketAddr>) -> String {
    match from {
        Some(from) if !value.contains(";rport=") => {
            let seen = format!(";received={};rport={}", from.ip(), from.port());
            value.replacen(";rport", &seen, 1)
        }
        _ => value.to_owned(),
    }
}
