//! TCP connections as they come and go, and datagrams that came back.

use super::inbound::Source;
use super::names::Path;
use super::sockets::{Connection, Facing};
use super::{Adapter, Wish};
use crate::limits::{SIP_MESSAGE_BYTES_MAX, STREAM_STRANGER_IDLE};
use crate::net::{ConnId, Failure, Rejected, Request, SocketId, SocketKind, Via};
use crate::sip::Frame;
use crate::sip::transaction::Flow;
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    /// A connection that was asked for stands.
    pub(super) fn connected(&mut self, connection: Connection) {
        let (id, to) = (connection.id, connection.remote);
        if self.sockets.connections.add(connection) {
            self.registrar.reconnected(to, Flow { via: Via::Stream(id), to });
        } else {
            self.counters.connections_refused += 1;
            self.wish(Wish::Nothing, Request::CloseConn(id));
        }
    }

    pub(super) fn connection_opened(
        &mut self,
        now: Instant,
        id: ConnId,
        on: SocketId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(), Rejected> {
        let facing = self.sockets.get(on).map_or(Facing::Lan, |socket| socket.facing);
        let chosen = self.sockets.intercepting.has_listener(on).then_some(local);
        if chosen.is_some_and(|chosen| self.is_ours(chosen.ip())) {
            self.counters.intercepted_strays += 1;
            self.wish(Wish::Nothing, Request::CloseConn(id));
            return Err(Rejected::Unauthorized);
        }
        let local = match chosen {
            Some(_) => self.lan_address(remote.ip()),
            None => Some(local),
        };
        let connection = local.map(|local| Connection {
            chosen,
            ..Connection::accepted(now, id, facing, local, remote)
        });
        if let Some(connection) = connection
            && self.sockets.connections.add(connection)
        {
            return Ok(());
        }
        self.counters.connections_refused += 1;
        self.wish(Wish::Nothing, Request::CloseConn(id));
        Err(Rejected::Full)
    }

    pub(super) fn stream_data(
        &mut self,
        now: Instant,
        id: ConnId,
        mut data: &[u8],
    ) -> Result<(), Rejected> {
        let Some(connection) = self.sockets.connections.get_mut(id) else {
            return Err(Rejected::Unknown);
        };
        connection.heard = now;
        let flow = Flow { via: Via::Stream(id), to: connection.remote };
        let path = if connection.facing == Facing::Wan { Path::Server } else { Path::Lan };
        let Some(local) = self.local_of(flow) else { return Err(Rejected::Unknown) };
        let source = Source { path, flow, local };
        while !data.is_empty() {
            let Some(connection) = self.sockets.connections.get_mut(id) else { return Ok(()) };
            let room = SIP_MESSAGE_BYTES_MAX.saturating_sub(connection.framer.held());
            let (chunk, rest) = data.split_at(data.len().min(room.max(1)));
            data = rest;
            if connection.framer.push(chunk).is_err() {
                return self.refuse_connection(now, id);
            }
            loop {
                let Some(connection) = self.sockets.connections.get_mut(id) else { return Ok(()) };
                let message = match connection.framer.next() {
                    Ok(Some(Frame::Message(message))) => message.to_vec(),
                    Ok(Some(Frame::KeepAlive)) => {
                        if path == Path::Lan {
                            self.send(flow, b"\r\n");
                        }
                        continue;
                    }
                    Ok(None) => break,
                    Err(_) => return self.refuse_connection(now, id),
                };
                let _ = self.handle_sip(now, source, &message);
            }
        }
        Ok(())
    }

    /// Closes a connection that does not speak SIP.
    fn refuse_connection(&mut self, now: Instant, id: ConnId) -> Result<(), Rejected> {
        self.counters.connections_refused += 1;
        self.drop_connection(now, id);
        Err(Rejected::Malformed)
    }

    fn drop_connection(&mut self, now: Instant, id: ConnId) {
        self.wish(Wish::Nothing, Request::CloseConn(id));
        self.connection_lost(now, id);
    }

    /// Closes what hosts of the LAN have opened and left, where no phone is registered on it and
    /// nothing is under way.
    pub(super) fn drop_idle_connections(&mut self, now: Instant) {
        let is_used = |id: ConnId| {
            let on_it = |flow: Flow| flow.via == Via::Stream(id);
            self.registrar.iter().any(|(_, binding)| on_it(binding.flow))
                || self.calls.iter().any(|(_, call)| call.uses(on_it))
                || self.exchanges.iter().any(|(_, exchange)| on_it(exchange.source.flow))
        };
        let idle = self.sockets.connections.of_lan();
        let idle = idle.filter(|connection| now.since(connection.heard) >= STREAM_STRANGER_IDLE);
        let idle: Vec<ConnId> = idle.map(|c| c.id).filter(|id| !is_used(*id)).collect();
        for id in idle {
            self.counters.connections_idle += 1;
            self.drop_connection(now, id);
        }
    }

    pub(super) fn connection_lost(&mut self, now: Instant, id: ConnId) {
        if let Some(connection) = self.sockets.connections.remove(id) {
            let flow = Flow { via: Via::Stream(id), to: connection.remote };
            if let Some(phone) = connection.phone {
                self.registrar.connection_lost(now, phone, connection.remote);
            }
            self.transactions.transport_failed(now, flow);
        }
    }

    /// A datagram came back as an error.
    pub(super) fn handle_send_failed(
        &mut self,
        now: Instant,
        via: Via,
        to: SocketAddr,
        error: Failure,
    ) {
        if let Via::Udp(socket) = via {
            if self.portmap.owns_socket(socket) {
                return self.portmap.handle_send_failed(now, to);
            }
            let Some(kind) = self.sockets.get(socket).map(|s| s.kind) else { return };
            if kind == SocketKind::Overlay {
                if let Some(overlay) = &mut self.overlay {
                    overlay.send_failed(now, to);
                }
                return;
            }
        }
        log::debug!("{to}: {error}");
        // Without a way out of this router nothing is known of the server (CALLS §5).
        self.own_link_failed = !matches!(error, Failure::Refused | Failure::TimedOut);
        self.transactions.transport_failed(now, Flow { via, to });
    }
}
