//! What the cores of a world ask for, done: sockets, connections, names, files.

use super::{Conn, Fate, Happening, Packet, Socket, World};
use cosip::limits::TRANSMIT_BYTES_MAX;
use cosip::net::{
    Answer, ConnId, Core, Event, Failure, Input, Request, SocketId, SocketKind, StreamEvent,
    Ticket, Via,
};
use std::net::{IpAddr, SocketAddr};

impl<C: Core> World<C> {
    pub(super) fn drain(&mut self, place: usize) {
        let mut buffer = vec![0; TRANSMIT_BYTES_MAX];
        loop {
            while let Some(transmit) = self.nodes[place].poll_transmit(self.now, &mut buffer) {
                let data = buffer[..transmit.len].to_vec();
                let (from, tcp, to) = match transmit.via {
                    Via::Udp(SocketId(id)) => {
                        let own = |s: &&Socket| s.node == place && s.id == id;
                        let mut all = self.sockets.iter();
                        let found = all.find(|(_, socket)| own(socket)).map(|(key, _)| key.0);
                        (found.expect("a bound socket"), false, transmit.to)
                    }
                    Via::Stream(ConnId(id)) => {
                        let conn = self.conns.iter().find(|conn| conn.id == id);
                        let Some(Conn { local, remote, .. }) = conn else { continue };
                        (*local, true, *remote)
                    }
                    Via::Intercepted(chosen) => {
                        self.assert_speaks_as(place, chosen);
                        (chosen, false, transmit.to)
                    }
                    Via::Peer(_) => panic!("the channel's transmissions stay in the core"),
                };
                self.carry(Packet { at: self.now, from, to, tcp, data });
            }
            match self.nodes[place].poll_event() {
                None => return,
                Some(Event::Stopped) => {}
                Some(Event::Request(ticket, request)) => self.serve(place, ticket, request),
            }
        }
    }

    fn serve(&mut self, place: usize, ticket: Ticket, request: Request) {
        let mut loaded = Vec::new();
        let taken;
        let answer = match request {
            Request::Bind { kind, local } => self.bind(place, kind, local),
            Request::Connect { from, to } => {
                let at = self.now + self.one_way * 2;
                let ticket = ticket.0;
                return self.push(at, Happening::Connect { node: place, ticket, from, to });
            }
            Request::CloseSocket(id) => {
                self.sockets.retain(|_, socket| socket.id != id.0);
                Ok(Answer::Done)
            }
            Request::CloseConn(id) => {
                self.close(id.0);
                Ok(Answer::Done)
            }
            Request::Resolve { name, kind } => {
                let found = self.names.iter().find(|(n, k, _)| (n, k) == (&name, &kind)).cloned();
                let answer = match &found {
                    Some((_, _, records)) => Ok(Answer::Resolved(records, 60)),
                    None => Err(Failure::Absent),
                };
                let _ = self.nodes[place].handle_input(self.now, Input::Answer(ticket, answer));
                return;
            }
            Request::Load(file) => {
                let found = self.files.iter().find(|f| (f.0, f.1) == (place, file));
                found
                    .map(|f| loaded.clone_from(&f.2))
                    .ok_or(Failure::Absent)
                    .map(|()| Answer::Loaded(&loaded))
            }
            Request::Save(file, data) => {
                self.files.retain(|f| (f.0, f.1) != (place, file));
                self.files.push((place, file, data));
                self.saves += 1;
                Ok(Answer::Done)
            }
            Request::Secrets => {
                let found = self.secrets.iter().find(|secret| secret.0 == place);
                found
                    .map(|(_, text)| loaded.clone_from(text))
                    .ok_or(Failure::Absent)
                    .map(|()| Answer::Loaded(&loaded))
            }
            Request::Neighbour(host) => {
                self.macs.get(&host).map(|mac| Answer::Neighbour(*mac)).ok_or(Failure::Absent)
            }
            Request::Rules(rules) => {
                let Some(now) = self.take_by(place, ticket, rules) else { return };
                taken = now;
                Ok(Answer::Intercepting(&taken))
            }
            Request::Reply(data) => {
                self.replies.insert(ticket.0, data);
                return;
            }
        };
        let _ = self.nodes[place].handle_input(self.now, Input::Answer(ticket, answer));
    }

    /// Closes a connection; where a core is at its other end, that hears of it.
    fn close(&mut self, id: u32) {
        let Some(at) = self.conns.iter().position(|conn| conn.id == id) else { return };
        let Conn { local, remote, .. } = self.conns.swap_remove(at);
        let twin = self.conns.iter().position(|c| (c.local, c.remote) == (remote, local));
        if let Some(twin) = twin {
            let Conn { id: conn, node, .. } = self.conns.swap_remove(twin);
            self.push(self.now + self.one_way, Happening::Closed { node, conn });
        }
    }

    fn bind(
        &mut self,
        node: usize,
        kind: SocketKind,
        local: SocketAddr,
    ) -> Result<Answer<'static>, Failure> {
        let mut local = local;
        if local.port() == 0 {
            local.set_port(50_000 + self.id() as u16 % 10_000);
        }
        let key = (local, kind == SocketKind::SipListener);
        if self.sockets.contains_key(&key) {
            return Err(Failure::Address);
        }
        let id = self.id();
        self.sockets.insert(key, Socket { node, id });
        Ok(Answer::Bound(SocketId(id), local))
    }

    /// A core connects: to a scripted end, or to another core that listens.
    pub(super) fn connected(
        &mut self,
        node: usize,
        ticket: Ticket,
        from: Option<IpAddr>,
        to: SocketAddr,
    ) {
        let up = matches!(self.fates.get(&to), None | Some(Fate::Deliver));
        let listener = self.sockets.get(&(to, true)).map(|socket| (socket.node, socket.id));
        if !up || (listener.is_none() && !self.listening.contains(&to)) {
            return self.input(node, Input::Answer(ticket, Err(Failure::Refused)));
        }
        let id = self.id();
        let local = SocketAddr::new(from.unwrap_or_else(|| to.ip()), 40_000 + id as u16);
        self.conns.push(Conn { id, node, local, remote: to });
        self.input(node, Input::Answer(ticket, Ok(Answer::Connected(ConnId(id), local))));
        if let Some((listener, on)) = listener {
            let id = self.id();
            self.conns.push(Conn { id, node: listener, local: to, remote: local });
            let (on, local, remote) = (SocketId(on), to, local);
            self.input(
                listener,
                Input::Stream(ConnId(id), StreamEvent::Opened { on, local, remote }),
            );
        }
    }

    /// A datagram passes the NAT in front of its sender, if there is one.
    pub(super) fn leave(&mut self, packet: &mut Packet) {
        let now_ms = self.now.millis();
        let inside = packet.from.ip();
        let nat = self.nats.iter_mut().find(|nat| nat.0 == inside && !packet.tcp);
        if let Some((_, nat)) = nat {
            packet.from = nat.leave(now_ms, packet.from, packet.to);
        }
    }

    /// A datagram comes to the NAT in front of its receiver, if there is one. False where it does
    /// not get in.
    pub(super) fn enters(&mut self, packet: &mut Packet) -> bool {
        let now_ms = self.now.millis();
        let nat = self.nats.iter_mut().find(|nat| nat.1.outside == packet.to.ip());
        let Some((_, nat)) = nat else { return true };
        let inside = nat.enter(now_ms, packet.from, packet.to);
        packet.to = inside.unwrap_or(packet.to);
        inside.is_some()
    }
}
