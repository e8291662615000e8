//! Keep-alives towards servers: NAT bindings on the way stay open, so that calls come in
//! (CALLS §2.1, RFC 5626 s4.4.1).
//!
//! CRLF on every flow that a registration depends on: one for each target that has accepted a
//! phone of ours over UDP, and each phone's own connection over TCP. Phones of no configured
//! provider are cared for alike: what they send themselves to hold the way open ends here.

use super::Adapter;
use super::providers::ProviderId;
use super::sockets::Facing;
use crate::net::{SocketKind, Via};
use crate::sip::transaction::Flow;
use crate::time::{Instant, earlier};

impl Adapter {
    /// Sends the keep-alives that are due.
    pub(super) fn keepalives_due(&mut self, now: Instant) {
        for id in self.providers.ids() {
            self.keepalive_due(now, Some(id));
        }
        self.keepalive_due(now, None);
    }

    /// When the next keep-alive is due.
    pub(super) fn next_keepalive(&self) -> Option<Instant> {
        let times = self.providers.iter().map(|(_, provider)| provider.keepalive_at);
        times.fold(self.foreign_keepalive_at, earlier)
    }

    fn keepalive_due(&mut self, now: Instant, id: Option<ProviderId>) {
        let next = now + self.rng.jitter(self.providers.options(id).keepalive);
        let needed = self.registrar.iter().any(|(_, binding)| binding.provider == id);
        let due = match self.providers.get_mut(id) {
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
        for flow in self.flows_kept(id) {
            self.send(flow, b"\r\n\r\n");
        }
    }

    /// The flows that registrations with this provider depend on.
    fn flows_kept(&self, provider: Option<ProviderId>) -> Vec<Flow> {
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
