//! A network of cores and scripted ends over virtual time: delay, loss, ICMP, TCP, files, names.

mod serve;
pub(crate) mod taking;

use crate::sip::Msg;
use cosip::lab::nat::Nat;
use cosip::net::{
    ConnId, Core, Failure, File, Input, Mac, Record, RecordKind, SocketId, StreamEvent, Ticket, Via,
};
use cosip::rng::Rng;
use cosip::time::{Duration, Instant, earlier};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::{IpAddr, SocketAddr};

/// A datagram, or what was written to a TCP connection at once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Packet {
    pub(crate) at: Instant,
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) tcp: bool,
    pub(crate) data: Vec<u8>,
}

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Deliver,
    Drop,
    /// Comes back as ICMP port unreachable; a TCP connection is refused.
    Refuse,
    /// Does not leave the router: no route.
    NoRoute,
    Delay(Duration),
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Happening {
    Packet(Packet),
    /// `socket`: none where what failed was sent in the name of `from`.
    Refused {
        node: usize,
        socket: Option<u32>,
        from: SocketAddr,
        to: SocketAddr,
        here: bool,
    },
    Connect {
        node: usize,
        ticket: u32,
        from: Option<IpAddr>,
        to: SocketAddr,
    },
    Closed {
        node: usize,
        conn: u32,
    },
}

struct Socket {
    node: usize,
    id: u32,
}

struct Conn {
    id: u32,
    node: usize,
    local: SocketAddr,
    remote: SocketAddr,
}

/// What a scripted end does by itself; `None`: the message goes to its inbox.
pub(crate) type Auto = Box<dyn FnMut(&Msg) -> Option<Vec<(SocketAddr, Vec<u8>)>>>;

/// What an end answers that speaks something else than SIP.
pub(crate) type Other = Box<dyn FnMut(Instant, &[u8]) -> Option<Vec<u8>>>;

/// What is sent in the place of a packet, where something else is.
pub(crate) type Bend = Box<dyn FnMut(&Packet) -> Option<Vec<u8>>>;

/// Decides the fate of a packet.
pub(crate) type Rule = Box<dyn FnMut(&Packet) -> Fate>;

/// See the module's text.
pub(crate) struct World<C> {
    pub(crate) now: Instant,
    pub(crate) rng: Rng,
    pub(crate) nodes: Vec<C>,
    /// Nodes that neither hear nor act.
    pub(crate) deaf: BTreeSet<usize>,
    /// Every packet that any end sent, in order.
    pub(crate) log: Vec<Packet>,
    /// Which of them, by their places in the log, the network lost.
    pub(crate) lost: BTreeSet<usize>,
    /// Addresses with a fate of their own.
    pub(crate) fates: BTreeMap<SocketAddr, Fate>,
    /// Looks at what the fates let pass.
    pub(crate) rule: Option<Rule>,
    /// Changes what is sent.
    pub(crate) bend: Option<Bend>,
    pub(crate) one_way: Duration,
    pub(crate) loss_percent: u32,
    /// How many datagrams of a hundred arrive twice.
    pub(crate) repeat_percent: u32,
    pub(crate) jitter: Duration,
    pub(crate) autos: BTreeMap<SocketAddr, Auto>,
    pub(crate) others: BTreeMap<SocketAddr, Other>,
    /// Scripted ends that accept TCP.
    pub(crate) listening: BTreeSet<SocketAddr>,
    /// NATs, each with the address of the router behind it.
    pub(crate) nats: Vec<(IpAddr, Nat)>,
    pub(crate) names: Vec<(String, RecordKind, Vec<Record>)>,
    pub(crate) files: Vec<(usize, File, Vec<u8>)>,
    /// What is in the secret file of a place.
    pub(crate) secrets: Vec<(usize, Vec<u8>)>,
    pub(crate) saves: u32,
    /// What routers know of the hosts on their links.
    pub(crate) macs: BTreeMap<IpAddr, Mac>,
    /// Routers that take what is meant for others.
    pub(crate) takings: Vec<taking::Taking>,
    inbox: Vec<Msg>,
    seen: BTreeSet<(SocketAddr, SocketAddr, Vec<u8>)>,
    sockets: BTreeMap<(SocketAddr, bool), Socket>,
    conns: Vec<Conn>,
    replies: BTreeMap<u32, Vec<u8>>,
    queue: BinaryHeap<core::cmp::Reverse<(Instant, u64, Happening)>>,
    count: u64,
    next_id: u32,
}

impl<C: Core> World<C> {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [7; 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        Self {
            now: Instant::from_micros(1_000_000),
            rng: Rng::new(bytes),
            nodes: Vec::new(),
            deaf: BTreeSet::new(),
            log: Vec::new(),
            lost: BTreeSet::new(),
            fates: BTreeMap::new(),
            rule: None,
            bend: None,
            one_way: Duration::from_millis(5),
            loss_percent: 0,
            repeat_percent: 0,
            jitter: Duration::ZERO,
            autos: BTreeMap::new(),
            others: BTreeMap::new(),
            listening: BTreeSet::new(),
            nats: Vec::new(),
            names: Vec::new(),
            files: Vec::new(),
            secrets: Vec::new(),
            saves: 0,
            macs: BTreeMap::new(),
            takings: Vec::new(),
            inbox: Vec::new(),
            seen: BTreeSet::new(),
            sockets: BTreeMap::new(),
            conns: Vec::new(),
            replies: BTreeMap::new(),
            queue: BinaryHeap::new(),
            count: 0,
            next_id: 0,
        }
    }

    pub(crate) fn add(&mut self, core: C) -> usize {
        self.nodes.push(core);
        let place = self.nodes.len() - 1;
        self.drain(place);
        place
    }

    /// The process at a place ends and another one takes its place; files stay.
    pub(crate) fn replace(&mut self, place: usize, core: C) {
        self.sockets.retain(|_, socket| socket.node != place);
        self.conns.retain(|conn| conn.node != place);
        self.take_down(place);
        self.nodes[place] = core;
        self.drain(place);
    }

    pub(crate) fn input(&mut self, place: usize, input: Input<'_>) {
        // What a core refuses it has counted.
        let _ = self.nodes[place].handle_input(self.now, input);
        self.drain(place);
    }

    #[cfg(feature = "lab")]
    pub(crate) fn order<T>(&mut self, place: usize, order: impl FnOnce(&mut C, Instant) -> T) -> T {
        let result = order(&mut self.nodes[place], self.now);
        self.drain(place);
        result
    }

    /// What a command prints, if it answers at once or within 5 s.
    pub(crate) fn ask(&mut self, place: usize, words: &[&str]) -> String {
        let ticket = 1 << 31 | self.id();
        self.input(place, Input::Command(Ticket(ticket), words));
        for _ in 0..500 {
            if let Some(reply) = self.replies.remove(&ticket) {
                return String::from_utf8(reply).unwrap();
            }
            self.run_ms(10);
        }
        panic!("{words:?} is not answered");
    }

    fn id(&mut self) -> u32 {
        self.next_id += 1;
        self.next_id
    }

    fn push(&mut self, at: Instant, happening: Happening) {
        self.count += 1;
        self.queue.push(core::cmp::Reverse((at, self.count, happening)));
    }

    /// A scripted end sends: on its TCP connection where it has one, else a datagram.
    pub(crate) fn send(&mut self, from: SocketAddr, to: SocketAddr, data: impl AsRef<[u8]>) {
        let tcp = self.conns.iter().any(|c| (c.remote, c.local) == (from, to));
        let data = data.as_ref().to_vec();
        self.carry(Packet { at: self.now, from, to, tcp, data });
    }

    /// A scripted end connects to a listener.
    pub(crate) fn connect(&mut self, from: SocketAddr, to: SocketAddr) {
        if self.take_connection(from, to) {
            return;
        }
        let id = self.id();
        let listener = self.sockets.get(&(to, true)).expect("a listener");
        let (node, on) = (listener.node, SocketId(listener.id));
        self.conns.push(Conn { id, node, local: to, remote: from });
        let opened = StreamEvent::Opened { on, local: to, remote: from };
        self.input(node, Input::Stream(ConnId(id), opened));
    }

    /// The connections of a scripted end break.
    pub(crate) fn disconnect(&mut self, from: SocketAddr) {
        while let Some(at) = self.conns.iter().position(|conn| conn.remote == from) {
            let conn = self.conns.swap_remove(at);
            self.input(conn.node, Input::Stream(ConnId(conn.id), StreamEvent::Closed));
        }
    }

    fn fate(&mut self, packet: &Packet) -> Fate {
        let at_home = self.phone_at_home(packet);
        for end in [packet.from, packet.to] {
            if at_home.is_some_and(|phone| phone != end) {
                continue;
            }
            match self.fates.get(&end) {
                None | Some(Fate::Deliver) => {}
                Some(Fate::Refuse) if end == packet.from => return Fate::Drop,
                Some(fate) => return *fate,
            }
        }
        if at_home.is_some() {
            return Fate::Deliver;
        }
        let fate = self.rule.as_mut().map_or(Fate::Deliver, |rule| rule(packet));
        match fate {
            Fate::Deliver if !packet.tcp && self.rng.below(100) < self.loss_percent => Fate::Drop,
            fate => fate,
        }
    }

    fn carry(&mut self, mut packet: Packet) {
        if let Some(bent) = self.bend.as_mut().and_then(|bend| bend(&packet)) {
            packet.data = bent;
        }
        self.leave(&mut packet);
        self.log.push(packet.clone());
        let fate = self.fate(&packet);
        let at = self.arrival(&packet);
        let twice = !packet.tcp && self.rng.below(100) < self.repeat_percent;
        if let Fate::Deliver | Fate::Delay(_) = fate
            && twice
        {
            let again = self.arrival(&packet);
            self.push(again, Happening::Packet(packet.clone()));
        }
        match fate {
            Fate::Deliver => self.push(at, Happening::Packet(packet)),
            Fate::Delay(more) => self.push(at + more, Happening::Packet(packet)),
            Fate::Refuse | Fate::NoRoute => {
                let here = fate == Fate::NoRoute;
                self.lost.insert(self.log.len() - 1);
                let Packet { from, to, .. } = packet;
                let socket = self.sockets.get(&(from, false)).map(|it| (it.node, Some(it.id)));
                let sender = socket.or_else(|| Some((self.speaks_as(from, to)?, None)));
                if let Some((node, socket)) = sender {
                    self.push(at, Happening::Refused { node, socket, from, to, here });
                }
            }
            Fate::Drop => {
                self.lost.insert(self.log.len() - 1);
            }
        }
    }

    /// When a packet that is sent now arrives; what a connection carries keeps its order.
    fn arrival(&mut self, packet: &Packet) -> Instant {
        let jitter = if packet.tcp { 0 } else { self.jitter.as_micros() as u32 };
        let jitter = if jitter == 0 { 0 } else { self.rng.below(jitter) };
        self.now + self.one_way + Duration::from_micros(u64::from(jitter))
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        self.run_until(ms, |_| false);
    }

    /// Plays on until the condition holds, `ms` at most; whether it held.
    pub(crate) fn run_until(&mut self, ms: u64, mut condition: impl FnMut(&Self) -> bool) -> bool {
        let end = self.now + Duration::from_millis(ms);
        let mut steps = 0;
        loop {
            if condition(self) {
                return true;
            }
            let Some(at) = self.next().filter(|at| *at <= end) else { break };
            steps = if at > self.now { 0 } else { steps + 1 };
            assert!(steps < 20_000, "the cores rest");
            self.now = self.now.max(at);
            self.step();
        }
        self.now = end;
        false
    }

    fn next(&self) -> Option<Instant> {
        let places = (0..self.nodes.len()).filter(|place| !self.deaf.contains(place));
        let due = places.fold(None, |due, at| earlier(due, self.nodes[at].poll_timeout()));
        earlier(self.queue.peek().map(|entry| entry.0.0), due)
    }

    fn step(&mut self) {
        if self.queue.peek().is_some_and(|entry| entry.0.0 <= self.now) {
            let Some(core::cmp::Reverse((_, _, happening))) = self.queue.pop() else { return };
            return self.happen(happening);
        }
        for place in 0..self.nodes.len() {
            let due = self.nodes[place].poll_timeout().is_some_and(|at| at <= self.now);
            if due && !self.deaf.contains(&place) {
                self.input(place, Input::Timeout);
            }
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Packet(packet) => self.deliver(packet),
            Happening::Refused { node, socket, from, to, here } if !self.deaf.contains(&node) => {
                let error = if here { Failure::Unreachable } else { Failure::Refused };
                let own = |id| Via::Udp(SocketId(id));
                let via = socket.map_or(Via::Intercepted(from), own);
                self.input(node, Input::SendFailed { via, to, error });
            }
            Happening::Refused { .. } => {}
            Happening::Connect { node, ticket, from, to } => {
                self.connected(node, Ticket(ticket), from, to);
            }
            Happening::Closed { node, conn } => {
                self.input(node, Input::Stream(ConnId(conn), StreamEvent::Closed));
            }
        }
    }

    fn deliver(&mut self, mut packet: Packet) {
        if !self.enters(&mut packet) {
            return;
        }
        let Packet { from, to, tcp, ref data, .. } = packet;
        if tcp {
            let conn = self.conns.iter().find(|c| (c.remote, c.local) == (from, to));
            if let Some(Conn { id, node, .. }) = conn {
                let (id, node) = (ConnId(*id), *node);
                return self.input(node, Input::Stream(id, StreamEvent::Data(data)));
            }
        } else if let Some(socket) = self.sockets.get(&(to, false)) {
            let (node, socket) = (socket.node, SocketId(socket.id));
            if !self.deaf.contains(&node) {
                self.input(node, Input::Datagram { socket, from, to, tos: 0, data });
            }
            return;
        }
        if tcp || !self.taken(&packet) {
            self.receive(packet);
        }
    }

    /// A scripted end takes a packet.
    fn receive(&mut self, packet: Packet) {
        if let Some(other) = self.others.get_mut(&packet.to) {
            if let Some(answer) = other(self.now, &packet.data) {
                self.send(packet.to, packet.from, answer);
            }
            return;
        }
        let Some(message) = Msg::parse(&packet) else { return };
        if let Some(mut auto) = self.autos.remove(&packet.to) {
            let answers = auto(&message);
            self.autos.insert(packet.to, auto);
            if let Some(answers) = answers {
                for (to, bytes) in answers {
                    self.send(packet.to, to, bytes);
                }
                return;
            }
        }
        if self.seen.insert((packet.from, packet.to, packet.data)) {
            self.inbox.push(message);
        }
    }

    /// Waits for a message at a scripted end, such as `INVITE`, `180`, or `200 BYE`. What is sent
    /// again is not seen again.
    pub(crate) fn expect(&mut self, at: SocketAddr, what: &str, ms: u64) -> Msg {
        let is = |m: &Msg| m.at == at && m.is(what);
        self.run_until(ms, |world| world.inbox.iter().any(is));
        match self.inbox.iter().position(is) {
            Some(place) => self.inbox.remove(place),
            None => panic!("no {what} at {at} within {ms} ms; there: {}", self.waiting(at)),
        }
    }

    /// A message that has come to a scripted end.
    pub(crate) fn take(&mut self, at: SocketAddr, what: &str) -> Option<Msg> {
        let place = self.inbox.iter().position(|m| m.at == at && m.is(what))?;
        Some(self.inbox.remove(place))
    }

    /// Nothing of the kind comes within this time.
    pub(crate) fn nothing(&mut self, at: SocketAddr, what: &str, ms: u64) {
        let is = |m: &Msg| m.at == at && m.is(what);
        self.run_until(ms, |world| world.inbox.iter().any(is));
        if let Some(message) = self.inbox.iter().find(|m| is(m)) {
            panic!("unexpected {what} at {at}:\n{}", message.text);
        }
    }

    /// Whether a message waits at a scripted end.
    pub(crate) fn waits(&self, at: SocketAddr, what: &str) -> bool {
        self.inbox.iter().any(|message| message.at == at && message.is(what))
    }

    /// Forgets what waits at a scripted end.
    pub(crate) fn clear(&mut self, at: SocketAddr) {
        self.inbox.retain(|message| message.at != at);
    }

    fn waiting(&self, at: SocketAddr) -> String {
        let lines = self.inbox.iter().filter(|m| m.at == at).map(|m| m.line().to_owned());
        lines.collect::<Vec<_>>().join(" | ")
    }
}
