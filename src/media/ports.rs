//! The port pool: even/odd pairs of sockets, bound before they are needed.
//!
//! Every local address has the whole port range. [`READY_PAIRS`] pairs of each address are kept
//! bound, so that a call never waits for the kernel. A pair that comes back is held, bound as it
//! is: no call gets it for [`HOLD_OFF`], so that late packets of one call do not reach the next.
//! Where calls come fast it is used again then, longest-freed first: opening and closing sockets
//! would cost more than all of the call's SIP. A pair that nobody wants for [`KEEP`] is closed,
//! and its port goes to the end of the queue of its address, of which the port freed longest ago
//! is bound next. The queue starts shuffled, so that ports cannot be guessed. A port that someone
//! else holds goes to the end as well.
//!
//! Limits: [`ADDRESSES_MAX`] local addresses at a time, as many pairs as the calls can use, and
//! as many held ones of each address as there may be calls. The last pairs of each address are
//! for emergency calls.

mod pool;

use crate::limits::{LEGS_MAX, MEDIA_LINES_MAX, MEDIA_PAIRS_EMERGENCY};
use crate::net::{Answer, Failure, Request, SocketId, SocketKind};
use crate::rng::Rng;
use crate::table::{Id, Index, Table};
use crate::time::{Duration, Instant, earlier};
use pool::Pool;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// Pairs of each address that are bound in advance: two calls with video, or eight without.
pub const READY_PAIRS: usize = 8;

/// Local addresses that have ports at a time, both sides and families together.
pub const ADDRESSES_MAX: usize = 8;

/// How long a pair that came back is nobody's: what was on its way to it has come by then.
pub const HOLD_OFF: Duration = Duration::from_secs(1);

/// How long a pair that came back stays bound for the next call.
pub const KEEP: Duration = Duration::from_secs(10);

/// Binds that may fail in a row before the address rests.
const FAILURES_MAX: u32 = 16;

/// How long an address rests whose binds fail: it may be gone, or the process has no descriptors.
const REST: Duration = Duration::from_secs(5);

/// Names one request of the relay to the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MediaTicket(pub u32);

/// Names a pair of ports.
pub type PairId = Id<Pair>;

/// Which port of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The even one.
    Rtp,
    /// The odd one.
    Rtcp,
}

/// What a pair is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Waits for answers to its binds; unusable if one has failed.
    Binding { failed: bool },
    /// Bound, nobody's.
    Ready,
    /// In use.
    Used,
    /// Bound, nobody's, and not long so.
    Held,
    /// Waits for its sockets to be closed.
    Closing,
}

/// Two sockets at neighbouring ports of one address.
pub struct Pair {
    /// The local address and the even port.
    local: SocketAddr,
    sockets: [Option<SocketId>; 2],
    state: State,
    /// Answers that the driver owes.
    waiting: u8,
    /// Whose it is; the owner's own words.
    owner: Owner,
}

/// A place in a session, told by whoever takes a pair: slot of the session, and an index in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The session's slot.
    pub session: u32,
    /// Which side and line, as [`super::relay`] counts them.
    pub place: u8,
}

/// The ports of all addresses.
pub struct Ports {
    range: Vec<u16>,
    /// Held pairs of one address.
    held_max: usize,
    /// Pairs of each address that only emergency calls take.
    reserved: usize,
    pools: Vec<Pool>,
    pairs: Table<Pair>,
    by_socket: Index,
    by_port: Index,
    requests: VecDeque<(MediaTicket, Request)>,
    rng: Rng,
    /// Other ports than before are in use, or next in turn.
    pub(super) changed: bool,
}

impl Ports {
    /// Ports from `min` to `max` for `calls` calls.
    pub fn new(min: u16, max: u16, calls: usize, rng: &mut Rng) -> Self {
        let range: Vec<u16> = (min..max).filter(|port| port.is_multiple_of(2)).collect();
        let capacity = (range.len() * ADDRESSES_MAX)
            .min(calls * (LEGS_MAX + 1) * MEDIA_LINES_MAX + READY_PAIRS * ADDRESSES_MAX);
        Self {
            reserved: MEDIA_PAIRS_EMERGENCY.min(range.len() / 4),
            range,
            held_max: calls,
            pools: Vec::with_capacity(ADDRESSES_MAX),
            pairs: Table::with_capacity(capacity),
            by_socket: Index::with_capacity(2 * capacity, rng),
            by_port: Index::with_capacity(capacity, rng),
            requests: VecDeque::with_capacity(2 * READY_PAIRS * ADDRESSES_MAX),
            rng: rng.fork("media ports"),
            changed: false,
        }
    }

    /// Tells the local addresses. Pairs in use at an address that is gone stay until released.
    pub fn set_addresses(&mut self, addresses: impl Iterator<Item = IpAddr> + Clone) {
        for at in 0..self.pools.len() {
            let active = addresses.clone().any(|address| address == self.pools[at].address);
            self.pools[at].active = active;
            if !active {
                let held = core::mem::take(&mut self.pools[at].held);
                let ready = core::mem::take(&mut self.pools[at].ready);
                ready.into_iter().chain(held.into_iter().map(|held| held.1)).for_each(|pair| {
                    self.unbind(pair);
                });
            }
        }
        for address in addresses {
            if self.pool(address).is_none() {
                self.add_pool(address);
            }
        }
        self.refill();
    }

    fn add_pool(&mut self, address: IpAddr) {
        let pairs = &self.pairs;
        self.pools.retain(|pool| {
            pool.active || pairs.iter().any(|(_, pair)| pair.local.ip() == pool.address)
        });
        if self.pools.iter().filter(|pool| pool.active).count() == ADDRESSES_MAX {
            return;
        }
        let mut free = self.range.clone();
        for at in (1..free.len()).rev() {
            free.swap(at, self.rng.below(at as u32 + 1) as usize);
        }
        self.pools.push(Pool {
            address,
            active: true,
            free: free.into(),
            ready: VecDeque::with_capacity(READY_PAIRS),
            held: VecDeque::new(),
            binding: 0,
            failures: 0,
            rests_until: None,
        });
    }

    fn pool(&mut self, address: IpAddr) -> Option<&mut Pool> {
        self.pools.iter_mut().find(|pool| pool.address == address)
    }

    /// Whether ports of `address` can be had, now or soon.
    pub fn is_active(&self, address: IpAddr) -> bool {
        self.pools.iter().any(|pool| pool.active && pool.address == address)
    }

    /// Takes a ready pair of `address` for `owner`; an `urgent` one may be the last.
    pub fn take(
        &mut self,
        now: Instant,
        address: IpAddr,
        owner: Owner,
        urgent: bool,
    ) -> Option<PairId> {
        let reserved = if urgent { 0 } else { self.reserved };
        let pool = self.pool(address).filter(|pool| pool.active && pool.left() > reserved)?;
        let id = pool.pop_ready(now)?;
        if let Some(pair) = self.pairs.get_mut(id) {
            (pair.state, pair.owner) = (State::Used, owner);
        }
        self.changed = true;
        self.refill();
        Some(id)
    }

    /// Gives a pair back.
    pub fn release(&mut self, now: Instant, id: PairId) {
        let held_max = self.held_max;
        let Some(pair) = self.pairs.get_mut(id) else { return };
        pair.state = State::Held;
        self.changed = true;
        let address = pair.local.ip();
        let surplus = match self.pool(address) {
            Some(pool) if pool.active => {
                pool.held.push_back((now, id));
                let is_full = pool.held.len() > held_max;
                is_full.then(|| pool.held.pop_front()).flatten().map(|oldest| oldest.1)
            }
            _ => Some(id),
        };
        if let Some(surplus) = surplus {
            self.unbind(surplus);
        }
    }

    /// Closes the sockets of a pair.
    fn unbind(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get_mut(id) else { return };
        pair.state = State::Closing;
        self.changed = true;
        for (component, socket) in (0..).zip(core::mem::take(&mut pair.sockets)) {
            let Some(socket) = socket else { continue };
            self.by_socket.remove(&socket, id.slot());
            pair.waiting += 1;
            let ticket = MediaTicket(id.slot() << 1 | component);
            self.requests.push_back((ticket, Request::CloseSocket(socket)));
        }
        if pair.waiting == 0 {
            self.forget(id);
        }
    }

    /// Removes a pair that has no sockets; its port goes to the end of the queue.
    fn forget(&mut self, id: PairId) {
        let Some(pair) = self.pairs.remove(id) else { return };
        self.by_port.remove(&pair.local, id.slot());
        if let Some(pool) = self.pool(pair.local.ip()) {
            pool.free.push_back(pair.local.port());
        }
        self.refill();
    }

    /// Asks for pairs until every address has [`READY_PAIRS`].
    fn refill(&mut self) {
        for pool in self.pools.iter_mut().filter(|pool| pool.active) {
            while pool.rests_until.is_none() && pool.ready.len() + pool.binding < READY_PAIRS {
                let Some(&port) = pool.free.front() else { break };
                let local = SocketAddr::new(pool.address, port);
                let state = State::Binding { failed: false };
                let owner = Owner::default();
                let pair = Pair { local, sockets: [None; 2], state, waiting: 2, owner };
                let Ok(id) = self.pairs.insert(pair) else { return };
                self.by_port.insert(&local, id.slot());
                pool.free.pop_front();
                pool.binding += 1;
                for component in 0..2u16 {
                    let ticket = MediaTicket(id.slot() << 1 | u32::from(component));
                    let local = SocketAddr::new(pool.address, port + component);
                    let bind = Request::Bind { kind: SocketKind::Media, local };
                    self.requests.push_back((ticket, bind));
                }
            }
        }
    }

    /// The next thing that the driver shall do.
    pub fn poll_request(&mut self) -> Option<(MediaTicket, Request)> {
        self.requests.pop_front()
    }

    /// Takes the driver's answer.
    pub fn handle_answer(
        &mut self,
        now: Instant,
        ticket: MediaTicket,
        answer: Result<Answer<'_>, Failure>,
    ) {
        let Some(id) = self.pairs.id_at(ticket.0 >> 1) else { return };
        let Some(pair) = self.pairs.get_mut(id) else { return };
        pair.waiting = pair.waiting.saturating_sub(1);
        if let State::Binding { failed } = &mut pair.state {
            match answer {
                Ok(Answer::Bound(socket, _)) => {
                    pair.sockets[(ticket.0 & 1) as usize] = Some(socket);
                    self.by_socket.insert(&socket, id.slot());
                }
                _ => *failed = true,
            }
        }
        if pair.waiting > 0 {
            return;
        }
        match pair.state {
            State::Binding { failed } => self.bound(now, id, failed),
            State::Closing => self.forget(id),
            State::Ready | State::Used | State::Held => {}
        }
    }

    /// Both binds of a pair have been answered.
    fn bound(&mut self, now: Instant, id: PairId, failed: bool) {
        let Some(pair) = self.pairs.get_mut(id) else { return };
        pair.state = State::Ready;
        let address = pair.local.ip();
        let Some(pool) = self.pool(address) else { return };
        pool.binding -= 1;
        if !failed && pool.active {
            pool.failures = 0;
            pool.ready.push_back(id);
            self.changed = true;
            return;
        }
        if failed {
            pool.failures += 1;
            if pool.failures.is_multiple_of(FAILURES_MAX) {
                pool.rests_until = Some(now + REST);
            }
        }
        self.unbind(id);
    }

    /// Wakes addresses that have rested, and closes pairs that nobody wants.
    pub fn handle_timeout(&mut self, now: Instant) {
        for at in 0..self.pools.len() {
            let pool = &mut self.pools[at];
            pool.rests_until = pool.rests_until.filter(|until| now < *until);
            while let Some(pair) = self.pools[at].pop_held(now, KEEP) {
                self.unbind(pair);
            }
        }
        self.refill();
    }

    /// When [`Ports::handle_timeout`] is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pools.iter().fold(None, |first, pool| {
            let held = pool.held.front().map(|(since, _)| *since + KEEP);
            earlier(first, earlier(pool.rests_until, held))
        })
    }

    /// The pair in use that has `socket`, and which of its ports that is.
    #[inline]
    pub fn find(&self, socket: SocketId) -> Option<(Owner, Component)> {
        self.by_socket.find(&socket).find_map(|slot| {
            let pair = self.pairs.get(self.pairs.id_at(slot)?)?;
            let component = match pair.sockets {
                [Some(rtp), _] if rtp == socket => Component::Rtp,
                [_, Some(rtcp)] if rtcp == socket => Component::Rtcp,
                _ => return None,
            };
            (pair.state == State::Used).then_some((pair.owner, component))
        })
    }

    /// The ports of `address` in use, then those of the `ahead` pairs that are taken next.
    pub fn open_at(&self, address: IpAddr, ahead: usize) -> impl Iterator<Item = u16> {
        let of = move |pair: &&Pair| pair.local.ip() == address;
        let used = self.pairs.iter().map(|(_, pair)| pair).filter(of);
        let used = used.filter(|pair| pair.state == State::Used);
        let pools = self.pools.iter().filter(move |pool| pool.address == address);
        let next = pools.flat_map(Pool::in_turn).filter_map(|id| self.pairs.get(id)).take(ahead);
        used.chain(next).flat_map(|pair| [pair.local.port(), pair.local.port() + 1])
    }

    /// The pair in use that has `local`.
    pub fn find_local(&self, local: SocketAddr) -> Option<(Owner, Component)> {
        let even_port = local.port().is_multiple_of(2);
        let component = if even_port { Component::Rtp } else { Component::Rtcp };
        let even = SocketAddr::new(local.ip(), local.port() & !1);
        self.by_port.find(&even).find_map(|slot| {
            let pair = self.pairs.get(self.pairs.id_at(slot)?)?;
            let found = pair.local == even && pair.state == State::Used;
            found.then_some((pair.owner, component))
        })
    }

    /// The local address, with the even port, and the sockets of a pair in use.
    #[inline]
    pub fn get(&self, id: PairId) -> Option<(SocketAddr, [Option<SocketId>; 2])> {
        self.pairs.get(id).map(|pair| (pair.local, pair.sockets))
    }
}

#[cfg(test)]
mod tests;
