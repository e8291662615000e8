//! What routers take on its way out of a home, and what their drivers say of it to their cores.

use super::{Conn, Packet, World};
use cosip::net::{
    Answer, Beside, Capture, Capturing, ConnId, Core, Input, Interception, Rules, SocketId,
    StreamEvent, Ticket,
};
use std::net::{IpAddr, SocketAddr};

/// A router's driver, as far as it takes what is meant for others.
pub(crate) struct Taking {
    place: usize,
    lan: IpAddr,
    /// How it takes; else why it cannot.
    pub(crate) can: Result<Capture, &'static str>,
    /// The kernel's SIP helper has one of our flows.
    pub(crate) helper: bool,
    /// Hosts that talk to SIP servers over TLS, and how many more there are.
    pub(crate) over_tls: (Vec<IpAddr>, u32),
    /// The kernel has forgotten whom a redirected datagram was meant for.
    pub(crate) forgetful: bool,
    /// Answers wait until this is over.
    pub(crate) held: Option<Vec<(Ticket, Interception)>>,
    /// The ports that were wished for, of every wish; none: nothing is to be taken.
    pub(crate) wishes: Vec<Option<Vec<u16>>>,
    /// What stands: ports, each with the socket and the listener that have its traffic.
    standing: Vec<(u16, SocketId, SocketId)>,
}

impl Taking {
    pub(crate) fn new(place: usize, lan: IpAddr, can: Result<Capture, &'static str>) -> Self {
        Self {
            place,
            lan,
            can,
            helper: false,
            over_tls: (Vec::new(), 0),
            forgetful: false,
            held: None,
            wishes: Vec::new(),
            standing: Vec::new(),
        }
    }

    /// How many ports' traffic is taken.
    pub(crate) fn ports(&self) -> usize {
        self.standing.len()
    }

    fn is_home_of(&self, phone: SocketAddr) -> bool {
        match (self.lan, phone.ip()) {
            (IpAddr::V4(lan), IpAddr::V4(phone)) => lan.octets()[..3] == phone.octets()[..3],
            _ => false,
        }
    }

    /// Whom the kernel says that something was meant for which is taken.
    fn meant(&self, to: SocketAddr) -> SocketAddr {
        if self.forgetful { (self.lan, 49_152).into() } else { to }
    }

    /// What has the traffic of a phone to `to`.
    fn takes(&self, from: SocketAddr, to: SocketAddr) -> Option<(SocketId, SocketId)> {
        let (_, socket, listener) = self.standing.iter().find(|it| it.0 == to.port())?;
        (self.is_home_of(from) && to.ip() != self.lan).then_some((*socket, *listener))
    }
}

impl<C: Core> World<C> {
    /// The driver at a place.
    pub(crate) fn taking(&mut self, place: usize) -> &mut Taking {
        self.takings.iter_mut().find(|it| it.place == place).expect("a driver that may take")
    }

    /// Does what a core wishes; none: the answer waits.
    pub(super) fn take_by(
        &mut self,
        place: usize,
        ticket: Ticket,
        rules: Option<Rules>,
    ) -> Option<Interception> {
        let first = self.id();
        self.next_id += 2 * rules.as_ref().map_or(0, |rules| rules.ports.len() as u32);
        let Some(taking) = self.takings.iter_mut().find(|it| it.place == place) else {
            return Some(Interception::default());
        };
        taking.wishes.push(rules.as_ref().map(|rules| rules.ports.clone()));
        let (method, problem) = match (&rules, taking.can) {
            (None, _) => (None, None),
            (_, Ok(method)) => (Some(method), None),
            (_, Err(why)) => (None, Some(why.to_owned())),
        };
        let ports = rules.filter(|_| method.is_some()).map_or(Vec::new(), |rules| rules.ports);
        if !ports.iter().copied().eq(taking.standing.iter().map(|it| it.0)) {
            let ids = (first..).step_by(2).map(|id| (SocketId(id), SocketId(id + 1)));
            let standing = ports.into_iter().zip(ids);
            taking.standing = standing.map(|(port, (udp, tcp))| (port, udp, tcp)).collect();
        }
        let answer = Interception {
            method,
            sockets: taking.standing.iter().map(capturing).collect(),
            listeners: taking.standing.iter().map(|it| it.2).collect(),
            problem,
            beside: Beside {
                over_tls: taking.over_tls.0.clone(),
                over_tls_untold: taking.over_tls.1,
                helper: taking.helper,
            },
        };
        match &mut taking.held {
            Some(held) => held.push((ticket, answer)),
            None => return Some(answer),
        }
        None
    }

    /// Answers that were held are given.
    pub(crate) fn release(&mut self, place: usize) {
        for (ticket, answer) in self.taking(place).held.take().into_iter().flatten() {
            self.input(place, Input::Answer(ticket, Ok(Answer::Intercepting(&answer))));
        }
    }

    /// What stands goes; it is put up anew, under other names, with the next wish.
    pub(crate) fn take_down(&mut self, place: usize) {
        for taking in self.takings.iter_mut().filter(|it| it.place == place) {
            taking.standing.clear();
        }
    }

    /// The phone of a packet that goes no further than between it and a router that takes what it
    /// says.
    pub(super) fn phone_at_home(&self, packet: &Packet) -> Option<SocketAddr> {
        let Packet { from, to, .. } = *packet;
        let takes = |phone, chosen| self.speaks_as(chosen, phone).map(|_| phone);
        takes(from, to).or_else(|| takes(to, from))
    }

    /// A router takes a datagram. False where it is none's business.
    pub(super) fn taken(&mut self, packet: &Packet) -> bool {
        let Packet { from, to, data, .. } = packet;
        let found = self.takings.iter().find_map(|it| {
            let (socket, _) = it.takes(*from, *to)?;
            Some((it.place, socket, it.meant(*to)))
        });
        let Some((place, socket, to)) = found else { return false };
        self.input(place, Input::Datagram { socket, from: *from, to, tos: 0, data });
        true
    }

    /// A scripted phone connects to a server, and a router takes that.
    pub(super) fn take_connection(&mut self, from: SocketAddr, to: SocketAddr) -> bool {
        let found = self.takings.iter().find_map(|it| {
            let (_, listener) = it.takes(from, to)?;
            Some((it.place, listener, it.meant(to)))
        });
        let Some((node, on, local)) = found else { return false };
        let id = self.id();
        self.conns.push(Conn { id, node, local: to, remote: from });
        let opened = StreamEvent::Opened { on, local, remote: from };
        self.input(node, Input::Stream(ConnId(id), opened));
        true
    }

    /// The router that speaks to a phone in the name of the server that it chose.
    pub(super) fn speaks_as(&self, chosen: SocketAddr, phone: SocketAddr) -> Option<usize> {
        self.takings.iter().find(|it| it.takes(phone, chosen).is_some()).map(|it| it.place)
    }

    /// Only a router that takes what a server is sent speaks in its name.
    pub(super) fn assert_speaks_as(&self, place: usize, chosen: SocketAddr) {
        let taking = self.takings.iter().find(|it| it.place == place).expect("one that may take");
        assert!(taking.standing.iter().any(|it| it.0 == chosen.port()), "{chosen} is not taken");
    }
}

fn capturing((port, socket, _): &(u16, SocketId, SocketId)) -> Capturing {
    Capturing { socket: *socket, port: *port, ipv4: true }
}
