//! The proxy's side of the server: requests on their way, with one branch for each target.

use super::Server;
use super::registrar::stamped;
use crate::lab::dialog::{address, route_address, tag, written};
use crate::net::Via;
use crate::sip::transaction::{ClientId, Flow, ServerId};
use crate::sip::{Message, Method, Name, NameAddr};
use crate::time::{Duration, Instant};
use std::net::SocketAddr;

/// How long a finished INVITE is kept for repeated 2xx: 64*T1 (RFC 6026).
const LINGER: Duration = Duration::from_secs(32);

struct Branch {
    client: ClientId,
    /// The final status, 0 before it.
    status: u16,
}

/// A request on its way.
pub(super) struct Forward {
    server: ServerId,
    branches: Vec<Branch>,
    best: Option<(u16, Vec<u8>)>,
    /// Whether a final response went back.
    answered: bool,
    forget_at: Option<Instant>,
}

impl Forward {
    pub(super) fn forget_at(&self) -> Option<Instant> {
        self.forget_at
    }
}

impl Server {
    /// Decides where a request goes, and sends it there (RFC 3261 s16.5, s16.6).
    pub(super) fn route(
        &mut self,
        now: Instant,
        id: ServerId,
        message: &Message<'_>,
        from: SocketAddr,
    ) {
        let hops = message.header(Name::MaxForwards).and_then(|value| value.parse().ok());
        if hops == Some(0u8) {
            return self.reply(now, id, message, 483, &[]);
        }
        let uri = message.request_uri();
        let targets = match self.registrar.targets(now, uri) {
            Some(contacts) => contacts,
            None if self.next_hop(message).is_some() => vec![uri.to_owned()],
            None if message.method() == Method::Options => {
                return self.reply(now, id, message, 200, &[]);
            }
            None => return self.reply(now, id, message, 404, &[]),
        };
        let invite = message.method() == Method::Invite;
        if invite {
            self.reply(now, id, message, 100, &[]);
        }
        self.log.push_back(format!("{} {}", message.method().as_str(), message.call_id()));
        let number = self.next_forward;
        self.next_forward = self.next_forward.wrapping_add(1);
        let mut forward = Forward {
            server: id,
            branches: Vec::new(),
            best: None,
            answered: false,
            forget_at: None,
        };
        for target in targets {
            let (hop, bytes) = self.write_forward(message, &target, from);
            let Some(flow) = hop.and_then(|to| self.flow(to)) else { continue };
            if let Ok(client) = self.transactions.send_request(now, flow, &bytes, number) {
                forward.branches.push(Branch { client, status: 0 });
            }
        }
        if forward.branches.is_empty() {
            return self.reply(now, id, message, 480, &[]);
        }
        self.forwards.insert(number, forward);
    }

    /// An ACK to a 2xx goes its way without state.
    pub(super) fn forward_ack(&mut self, message: &Message<'_>, from: SocketAddr) {
        self.log.push_back(format!("ACK {}", message.call_id()));
        let (hop, bytes) = self.write_forward(message, message.request_uri(), from);
        if let Some(flow) = hop.and_then(|to| self.flow(to)) {
            // A lost ACK is sent again by its phone.
            let _ = self.transactions.send_stateless(flow, &bytes);
        }
    }

    fn flow(&self, to: SocketAddr) -> Option<Flow> {
        Some(Flow { via: Via::Udp(self.socket?), to })
    }

    /// Where a request goes that no registration decides: by Route, else by Request-URI, but
    /// never back to this server.
    fn next_hop(&self, message: &Message<'_>) -> Option<SocketAddr> {
        let route = self.routes(message).next().and_then(|route| route_address(&route));
        let uri = address(message.request_uri()).filter(|to| *to != self.listen);
        route.or(uri)
    }

    /// The routes that are left without our own on top.
    fn routes<'m>(&'m self, message: &'m Message<'_>) -> impl Iterator<Item = String> + 'm {
        message.values(Name::Route).enumerate().filter_map(|(at, route)| {
            let own = NameAddr::parse(route).is_ok_and(|route| self.is_own(route.uri));
            if at == 0 && own { None } else { Some(route.to_owned()) }
        })
    }

    /// Writes the forwarded request for one target, and says where it goes.
    fn write_forward(
        &mut self,
        message: &Message<'_>,
        target: &str,
        from: SocketAddr,
    ) -> (Option<SocketAddr>, Vec<u8>) {
        let branch = self.transactions.branch();
        let routes: Vec<String> = self.routes(message).collect();
        let hop = routes.first().and_then(|route| route_address(route)).or_else(|| address(target));
        let hops = message.header(Name::MaxForwards).and_then(|value| value.parse().ok());
        let hops = hops.unwrap_or(70u8).saturating_sub(1);
        let listen = self.listen;
        let mut vias = 0;
        let bytes = written(message.body(), |writer| {
            writer.request(message.method().as_str(), target);
            writer.header(Name::Via, format_args!("SIP/2.0/UDP {listen};branch={branch};rport"));
            if message.method() == Method::Invite {
                writer.header(Name::RecordRoute, format_args!("<sip:{listen};lr>"));
            }
            routes.iter().for_each(|route| writer.header(Name::Route, route));
            writer.header(Name::MaxForwards, hops);
            for header in message.headers() {
                match header.name {
                    Name::Via => {
                        let seen = Some(from).filter(|_| vias == 0);
                        writer.header(Name::Via, stamped(header.value, seen));
                        vias += 1;
                    }
                    Name::Route | Name::MaxForwards | Name::ContentLength => {}
                    _ => writer.copy(header),
                }
            }
        });
        (hop, bytes)
    }

    /// Takes a response of one branch (RFC 3261 s16.7).
    pub(super) fn receive_response(
        &mut self,
        now: Instant,
        number: u32,
        client: ClientId,
        message: &Message<'_>,
    ) {
        let status = message.status();
        let Some(forward) = self.forwards.get_mut(&number) else { return };
        if status == 100 {
            return;
        }
        let invite = message.method() == Method::Invite;
        let response = without_own_via(message);
        if status < 300 {
            if status >= 200 {
                forward.answered = true;
                if invite {
                    let to_tag = message.header(Name::To).map_or("", tag);
                    self.log.push_back(format!("{status} {} {to_tag}", message.call_id()));
                }
            }
            let server = forward.server;
            self.transactions.respond(now, server, &response);
        }
        if status >= 200 {
            self.branch_ended(now, number, client, status, response);
        }
    }

    /// A branch ended without an answer.
    pub(super) fn branch_failed(&mut self, now: Instant, number: u32, client: ClientId) {
        self.branch_ended(now, number, client, 408, Vec::new());
    }

    fn branch_ended(
        &mut self,
        now: Instant,
        number: u32,
        client: ClientId,
        status: u16,
        response: Vec<u8>,
    ) {
        let Some(forward) = self.forwards.get_mut(&number) else { return };
        if let Some(branch) = forward.branches.iter_mut().find(|b| b.client == client) {
            branch.status = status;
        }
        let better = forward.best.as_ref().is_none_or(|(best, _)| rank(status) < rank(*best));
        if better && !response.is_empty() {
            forward.best = Some((status, response));
        }
        let (server, answered) = (forward.server, forward.answered);
        if answered || status >= 600 {
            let waiting = forward.branches.iter().filter(|branch| branch.status == 0);
            for client in waiting.map(|branch| branch.client).collect::<Vec<_>>() {
                self.transactions.cancel(now, client);
            }
        }
        let Some(forward) = self.forwards.get_mut(&number) else { return };
        if forward.branches.iter().any(|branch| branch.status == 0) {
            return;
        }
        forward.forget_at = Some(now + LINGER);
        if answered {
            return;
        }
        forward.answered = true;
        match forward.best.take() {
            Some((_, response)) => {
                self.transactions.respond(now, server, &response);
            }
            None => self.reply_timed_out(now, server),
        }
    }

    fn reply_timed_out(&mut self, now: Instant, server: ServerId) {
        let Some(request) = self.transactions.request(server).map(<[u8]>::to_vec) else { return };
        if let Ok(message) = Message::parse(&request) {
            self.reply(now, server, &message, 408, &[]);
        }
    }

    /// The caller gave up: all branches that still ring are cancelled.
    pub(super) fn cancel(&mut self, now: Instant, invite: Option<ServerId>) {
        let Some(invite) = invite else { return };
        let forward = self.forwards.values().find(|forward| forward.server == invite);
        let waiting: Vec<ClientId> = forward
            .into_iter()
            .flat_map(|forward| forward.branches.iter())
            .filter(|branch| branch.status == 0)
            .map(|branch| branch.client)
            .collect();
        waiting.into_iter().for_each(|client| {
            self.transactions.cancel(now, client);
        });
    }

    /// Lets go of what ended long enough ago.
    pub(super) fn forget_forwards(&mut self, now: Instant) {
        self.forwards.retain(|_, forward| forward.forget_at.is_none_or(|at| at > now));
    }
}

/// A response without its topmost Via, which is ours.
fn without_own_via(message: &Message<'_>) -> Vec<u8> {
    let mut own = true;
    written(message.body(), |writer| {
        writer.status(message.status(), message.reason());
        for header in message.headers() {
            match header.name {
                Name::Via if own => own = false,
                Name::ContentLength => {}
                _ => writer.copy(header),
            }
        }
    })
}

/// Which refusal goes back: 6xx first, then the lowest (RFC 3261 s16.7 step 6).
fn rank(status: u16) -> u16 {
    if status >= 600 { 0 } else { status }
}
