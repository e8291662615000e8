//! Keep-alives towards servers: NAT bindings on the way stay open, so that calls come in
//! (CALLS §2.1, RFC 5626 s4.4.1).
//!
//! CRLF on every flow that a registration depends on: one for each target that has accepted a
//! phone of ours over UDP, and each phone's own connection over TCP. Phones of no configured
//! provider are cared for alike: what they send themselves to hold the way open ends here.

use super::Adapter;
use super::registrar::FOREIGN;
use super::sockets::Facing;
use crate::config::Provider;
use crate::net::{SocketKind, Via};
use crate::sip::transaction::Flow;
use crate::time::{Instant, earlier};

impl Adapter {
    /// Sends the keep-alives that are due.
    pub(super) fn keepalives_due(&mut self, now: Instant) {
        for at in 0..self.providers.len() {
            self.keepalive_due(now, at as u8);
        }
        self.keepalive_due(now, FOREIGN);
    }

    /// When the next keep-alive is due.
    pub(super) fn next_keepalive(&self) -> Option<Instant> {
        let times = self.providers.iter().map(|provider| provider.keepalive_at);
        times.fold(self.foreign_keepalive_at, earlier)
    }

    fn keepalive_due(&mut self, now: Instant, at: u8) {
        let interval = match self.config.providers.get(usize::from(at)) {
            Some(options) => options.keepalive,
            None => Provider::default().keepalive,
        };
        let next = now + self.rng.jitter(interval);
        let needed = self.registrar.iter().any(|(_, binding)| binding.provider == at);
        let due = match self.providers.get_mut(usize::from(at)) {
            Some(provider) => &mut provider.keepalive_at,
            None => &mut self.foreign_keepalive_at,
        };
        if !needed {
            *due = None;
            return;
        }
        if due.is_some_and(|due| now < due) {
            return;
        }
        *due = Some(next);
        for flow in self.flows_kept(at) {
            self.send(flow, b"\r\n\r\n");
        }
    }

    /// The flows that registrations with this provider depend on.
    fn flows_kept(&self, provider: u8) -> Vec<Flow> {
        let mut flows: Vec<Flow> = Vec::new();
        for (_, binding) in self.registrar.iter().filter(|(_, b)| b.provider == provider) {
            let Some(to) = binding.accepted_by else { continue };
            let via = match self.sockets.connections.to(to, Some(binding.flow.to)) {
                Some(connection) => Some(Via::Stream(connection.id)),
                None => {
                    let socket = self.sockets.towards(Facing::Wan, SocketKind::Sip, to.ip());
                    socket.map(|(socket, _)| Via::Udp(socket))
                }
            };
            let flow = via.map(|via| Flow { via, to });
            flows.extend(flow.filter(|flow| !flows.contains(flow)));
        }
        flows
    }
}
