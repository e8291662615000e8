//! TCP connections as they come and go, and datagrams that came back.

use super::inbound::Source;
use super::names::{Local, Path};
use super::sockets::{Connection, Facing};
use super::ways::Way;
use super::{Adapter, Wish};
use crate::limits::SIP_MESSAGE_BYTES_MAX;
use crate::net::{ConnId, Failure, Rejected, Request, SocketId, SocketKind, Via};
use crate::sip::transaction::Flow;
use crate::sip::{Frame, Framer};
use crate::time::Instant;
use std::net::SocketAddr;

impl Adapter {
    pub(crate) fn connected(&mut self, now: Instant, connection: Connection) {
        let (id, to, phone) = (connection.id, connection.remote, connection.phone);
        let flow = Flow { via: Via::Stream(id), to };
        if !self.sockets.add_connection(connection) {
            self.counters.connections_refused += 1;
            self.wish(Wish::Nothing, Request::CloseConn(id));
            let local = Local::Socket { address: to, tcp: true };
            return self.dialed(now, (to, phone), Way::None(flow, local));
        }
        if let Some(local) = self.local_of(flow) {
            self.registrar.reconnected(to, flow);
            self.dialed(now, (to, phone), Way::Ready(flow, local));
        }
    }

    pub(super) fn connection_opened(
        &mut self,
        id: ConnId,
        on: SocketId,
        local: SocketAddr,
        remote: SocketAddr,
    ) -> Result<(), Rejected> {
        let facing = self.sockets.get(on).map_or(Facing::Lan, |socket| socket.facing);
        let framer = Framer::new();
        let chosen = self.sockets.intercepting.has_listener(on).then_some(local);
        let local = match chosen {
            Some(_) => self.lan_address(remote.ip()),
            None => Some(local),
        };
        let connection = local.map(|local| Connection {
            id,
            facing,
            local,
            remote,
            chosen,
            phone: None,
            framer,
        });
        if let Some(connection) = connection
            && self.sockets.add_connection(connection)
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
        let Some(connection) = self.sockets.connection(id) else { return Err(Rejected::Unknown) };
        let flow = Flow { via: Via::Stream(id), to: connection.remote };
        let path = if connection.facing == Facing::Wan { Path::Server } else { Path::Lan };
        let Some(local) = self.local_of(flow) else { return Err(Rejected::Unknown) };
        let source = Source { path, flow, local };
        while !data.is_empty() {
            let Some(connection) = self.sockets.connection_mut(id) else { return Ok(()) };
            let room = SIP_MESSAGE_BYTES_MAX.saturating_sub(connection.framer.held());
            let (chunk, rest) = data.split_at(data.len().min(room.max(1)));
            data = rest;
            if connection.framer.push(chunk).is_err() {
                return self.hang_up(now, id);
            }
            loop {
                let Some(connection) = self.sockets.connection_mut(id) else { return Ok(()) };
                let message = match connection.framer.next() {
                    Ok(Some(Frame::Message(message))) => message.to_vec(),
                    Ok(Some(Frame::KeepAlive)) => {
                        if path == Path::Lan {
                            self.send(flow, b"\r\n");
                        }
                        continue;
                    }
                    Ok(None) => break,
                    Err(_) => return self.hang_up(now, id),
                };
                let _ = self.handle_sip(now, source, &message);
            }
        }
        Ok(())
    }

    /// Closes a connection that does not speak SIP.
    pub(crate) fn hang_up(&mut self, now: Instant, id: ConnId) -> Result<(), Rejected> {
        self.counters.connections_refused += 1;
        self.wish(Wish::Nothing, Request::CloseConn(id));
        self.connection_lost(now, id);
        Err(Rejected::Malformed)
    }

    pub(super) fn connection_lost(&mut self, now: Instant, id: ConnId) {
        if let Some(connection) = self.sockets.remove_connection(id) {
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
        socket: SocketId,
        to: SocketAddr,
        error: Failure,
    ) {
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
        log::debug!("{to}: {error}");
        // Without a way out of this router nothing is known of the server (CALLS §5).
        self.own_link_failed = !matches!(error, Failure::Refused | Failure::TimedOut);
        self.transactions.transport_failed(now, Flow { via: Via::Udp(socket), to });
    }
}
