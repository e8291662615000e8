//! Datagrams: what each kind does, and what it costs before it has proven anything.

use super::handshake::{Handshake, Role, Stage};
use super::progress::repeat_interval;
use super::proof::finish_hash;
use super::session::Session;
use super::wire::{
    self, COOKIE, Cookie, DATA, FINISH, HELLO, Hello, Packet, REPLY, ReplyHead, UNKNOWN, VERSION,
    take,
};
use super::{Channel, find};
use crate::limits::{
    CHANNEL_COOKIE_PERIOD, CHANNEL_DATAGRAM_BYTES_MAX, CHANNEL_GIVE_UP,
    CHANNEL_HANDSHAKES_PER_ADDRESS_MAX, CHANNEL_REPEAT_INTERVAL_MAX,
};
use crate::net::Rejected;
use crate::table::Id;
use crate::time::Instant;
use std::net::{IpAddr, SocketAddr};

impl Channel {
    /// Takes one datagram of the channel that came from `from`.
    ///
    /// # Errors
    /// [`Rejected`] where it was dropped; it is counted, and nothing has changed.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<(), Rejected> {
        self.counters.datagrams_received += 1;
        let result = self.receive(now, from, data);
        if let Err(rejected) = result {
            let counter = match rejected {
                Rejected::Malformed => &mut self.counters.malformed,
                Rejected::Unauthorized => &mut self.counters.unauthorized,
                Rejected::Full => &mut self.counters.full,
                Rejected::Unknown => &mut self.counters.unknown,
            };
            *counter += 1;
        }
        result
    }

    fn receive(&mut self, now: Instant, from: SocketAddr, data: &[u8]) -> Result<(), Rejected> {
        let [VERSION, _, kind, ..] = *data else { return Err(Rejected::Malformed) };
        if data.len() > CHANNEL_DATAGRAM_BYTES_MAX {
            return Err(Rejected::Malformed);
        }
        match kind {
            DATA => self.on_data(now, from, data),
            HELLO => self.on_hello(now, from, data),
            COOKIE => self.on_cookie(now, from, data),
            REPLY => self.on_reply(now, from, data),
            FINISH => self.on_finish(now, data),
            UNKNOWN => self.on_unknown(now, from, data),
            _ => Err(Rejected::Malformed),
        }
    }

    fn on_hello(&mut self, now: Instant, from: SocketAddr, data: &[u8]) -> Result<(), Rejected> {
        let tagged = wire::check(&self.network, data)?;
        let (hello, cookie) = Hello::parse(tagged.body).ok_or(Rejected::Malformed)?;
        if hello.wanted != self.id() || hello.opener == self.id() || self.will_win(now, &hello) {
            return Err(Rejected::Unknown);
        }
        let known = |h: &Handshake| h.role == Role::Responder && h.hello == hello.ephemeral;
        let under_way = find(&self.handshakes, known);
        if under_way.is_none() && self.answered.iter().any(|old| hello.ephemeral.starts_with(old)) {
            return Err(Rejected::Unknown);
        }
        if !self.cookies(now, from, &hello).any(|valid| valid == cookie) {
            self.send_cookie(now, from, &hello);
            return Ok(());
        }
        let Some(id) = under_way else {
            return self.start_responding(now, from, &hello, tagged.place);
        };
        let handshake = self.handshakes.get_mut(id).filter(|h| h.stage == Stage::Await);
        if let Some(handshake) = handshake {
            handshake.address = Some(from);
            self.send_packet(now, id);
        }
        Ok(())
    }

    /// Whether our own attempt to reach the opener will end both: ours is the lower id, and the
    /// attempt is young or has got through.
    fn will_win(&self, now: Instant, hello: &Hello) -> bool {
        self.id() < hello.opener
            && self.handshakes.iter().any(|(_, h)| {
                let young = now.since(h.started) < CHANNEL_REPEAT_INTERVAL_MAX;
                (h.role, h.peer) == (Role::Opener, hello.opener) && (young || h.address.is_some())
            })
    }

    fn start_responding(
        &mut self,
        now: Instant,
        from: SocketAddr,
        hello: &Hello,
        place: usize,
    ) -> Result<(), Rejected> {
        let near = |h: &Handshake| {
            h.role == Role::Responder && h.address.map(|at| at.ip()) == Some(from.ip())
        };
        let neighbours = self.handshakes.iter().filter(|(_, h)| near(h)).count();
        if self.count(Role::Responder) >= self.responders_max
            || neighbours >= CHANNEL_HANDSHAKES_PER_ADDRESS_MAX
        {
            return Err(Rejected::Full);
        }
        let local = self.new_session_id();
        let mut handshake = Handshake::new(now, Role::Responder, hello.opener, local);
        handshake.network = *self.network.channel_key(place).ok_or(Rejected::Unauthorized)?;
        handshake.remote = hello.session;
        handshake.hello = hello.ephemeral;
        handshake.address = Some(from);
        let id = self.handshakes.insert(handshake).map_err(|_| Rejected::Full)?;
        if let Some(first) = hello.ephemeral.first_chunk() {
            self.answered.write(*first);
        }
        self.knocking.retain(|waiting| self.handshakes.get(*waiting).is_some());
        let queued = self.knocking.push(id);
        debug_assert!(queued.is_ok(), "as many may wait as may be under way");
        self.arm_handshake(id);
        Ok(())
    }

    /// The cookies good for this Hello from this address: of this period and of the last one.
    fn cookies(
        &self,
        now: Instant,
        from: SocketAddr,
        hello: &Hello,
    ) -> impl Iterator<Item = Cookie> + use<> {
        let mut hasher = blake3::Hasher::new_keyed(&self.cookie_key);
        match from.ip() {
            IpAddr::V4(ip) => hasher.update(&ip.to_ipv6_mapped().octets()),
            IpAddr::V6(ip) => hasher.update(&ip.octets()),
        };
        hasher.update(&from.port().to_be_bytes());
        hasher.update(&hello.core());
        let period = now.micros() / CHANNEL_COOKIE_PERIOD.as_micros() as u64;
        [period, period.wrapping_sub(1)].into_iter().map(move |period| {
            let mut hasher = hasher.clone();
            hasher.update(&period.to_be_bytes());
            let mut cookie = Cookie::default();
            cookie.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
            cookie
        })
    }

    fn send_cookie(&mut self, now: Instant, to: SocketAddr, hello: &Hello) {
        let Some(cookie) = self.cookies(now, to, hello).next() else { return };
        let mut packet = Packet::new(&self.network, COOKIE);
        packet.put(&hello.session);
        packet.put(&cookie);
        let packet = packet.tag(&self.network);
        self.counters.cookies_sent += 1;
        self.transmit(to, packet.bytes());
    }

    fn on_cookie(&mut self, now: Instant, from: SocketAddr, data: &[u8]) -> Result<(), Rejected> {
        let mut body = wire::check(&self.network, data)?.body;
        let session = take(&mut body).ok_or(Rejected::Malformed)?;
        let cookie: Cookie = take(&mut body).ok_or(Rejected::Malformed)?;
        let (id, handshake) = self.opening(&session, from)?;
        let same = handshake.address == Some(from);
        // A second address answers only after the first has led nowhere.
        if same && handshake.cookie == cookie || handshake.address.is_some() && !handshake.repeated
        {
            return Err(Rejected::Unknown);
        }
        if handshake.address.is_none() {
            handshake.progress = now;
            if !handshake.repeated {
                handshake.rtt = Some(now.since(handshake.sent));
            }
        }
        handshake.interval = repeat_interval(handshake.rtt);
        handshake.repeated = false;
        handshake.address = Some(from);
        handshake.cookie = cookie;
        self.send_hello(now, id);
        Ok(())
    }

    fn on_reply(&mut self, now: Instant, from: SocketAddr, data: &[u8]) -> Result<(), Rejected> {
        let mut body = wire::check(&self.network, data)?.body;
        let head = ReplyHead::take(&mut body).ok_or(Rejected::Malformed)?;
        let work_is_full = self.is_busy();
        let (id, handshake) = self.opening(&head.opener_session, from)?;
        if work_is_full {
            return Err(Rejected::Full);
        }
        handshake.progress = now;
        handshake.address = Some(from);
        handshake.take_reply(&head, body);
        self.enqueue(id);
        self.arm_handshake(id);
        Ok(())
    }

    /// The handshake that we opened as `session` and that waits for an answer from `from`.
    fn opening(
        &mut self,
        session: &wire::SessionId,
        from: SocketAddr,
    ) -> Result<(Id<Handshake>, &mut Handshake), Rejected> {
        let waits = |h: &Handshake| {
            h.role == Role::Opener && h.stage == Stage::Await && h.addresses.contains(&from)
        };
        let id = find(&self.handshakes, |h| h.local == *session && waits(h));
        let id = id.ok_or(Rejected::Unknown)?;
        Ok((id, self.handshakes.get_mut(id).ok_or(Rejected::Unknown)?))
    }

    fn on_finish(&mut self, now: Instant, data: &[u8]) -> Result<(), Rejected> {
        let body = wire::check(&self.network, data)?.body;
        let (session, sealed) = body.split_first_chunk().ok_or(Rejected::Malformed)?;
        let waits = |h: &Handshake| {
            (h.role, h.stage) == (Role::Responder, Stage::Await) && h.local == *session
        };
        let work_is_full = self.is_busy();
        let asked = self.vouching.is_asked();
        let id = find(&self.handshakes, waits);
        if let Some((id, handshake)) = id.and_then(|id| Some((id, self.handshakes.get_mut(id)?))) {
            if work_is_full {
                return Err(Rejected::Full);
            }
            if !handshake.take_finish(session, sealed, asked) {
                return Err(Rejected::Unauthorized);
            }
            handshake.progress = now;
            self.enqueue(id);
            self.arm_handshake(id);
            return Ok(());
        }
        self.repeat_confirmation(now, session, sealed)
    }

    /// A Finish heard again, soon after it was accepted: its confirmation was lost.
    fn repeat_confirmation(
        &mut self,
        now: Instant,
        session: &wire::SessionId,
        sealed: &[u8],
    ) -> Result<(), Rejected> {
        let again = |s: &Session| {
            !s.opened_here
                && s.local == *session
                && now.since(s.established) < CHANNEL_GIVE_UP
                && s.finish == finish_hash(sealed)
        };
        let id = find(&self.sessions, again).ok_or(Rejected::Unknown)?;
        let to = self.sessions.get(id).ok_or(Rejected::Unknown)?.address;
        self.send_control(now, id, to, 0, 0);
        Ok(())
    }
}
