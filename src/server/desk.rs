//! The desk: who is certified for what, by challenges through the provider's SIP server.
//!
//! A state machine: time, randomness and the books are arguments; what it wants done waits in
//! [`Desk::poll_wish`]. An ask is answered from the books, refused, told to come again, or
//! challenged: once for each of its AORs, in their turn, for the SIP server is to see no more than
//! it can bear (`pace`). When each challenge was answered or is over, one certificate is issued
//! for the AORs that were (`issue`). Nothing here outlives a restart but what is in the books:
//! an adapter that hears nothing asks again.

mod allowance;
mod issue;
mod pace;
mod report;
mod seconds;
#[cfg(test)]
pub(super) mod tests;
mod wish;

use super::Moment;
use super::error::{Refusal, ServerError};
use super::office::Office;
use crate::adapter::desk::Asker;
use crate::adapter::spelling;
use crate::channel::{EnrolProof, EnrolRefusal};
use crate::identity::PublicKey;
use crate::identity::enrolment::{self, CHALLENGE_LIFE, Challenge, Nonce, key_hash};
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use allowance::{Allowances, Limited};
use pace::Pace;
use seconds::Seconds;
use std::collections::{BTreeSet, HashMap, VecDeque};
pub use wish::{Answer, Counters, Wish};

/// Challenges that a SIP server sees a second, at most.
pub const CHALLENGES_PER_S_MAX: u32 = 50;

/// Asks of one key that are being worked on: it may have more phones than one certificate covers.
const ASKS_PER_KEY_MAX: usize = 4;
/// Until when a challenge that waits for a SIP server which is not found is sent.
const ASK_LIFE: Duration = Duration::from_secs(30);
/// An answer of the SIP server may be here before that of the adapter, which goes another way.
const LATE_PROOF: Duration = Duration::from_secs(2);
/// For which time no challenge is sent where the SIP server is not found.
const PAUSE: Duration = Duration::from_secs(1);
/// Seconds after which an ask that failed is worth repeating: the phone may be on its way, the
/// provider may have added a domain, or somebody has revoked a certificate.
const AGAIN_S: u32 = 600;
const AGAIN_MUCH_LATER_S: u32 = 86_400;
/// And that which the books cannot answer now, or are not asked for.
const AGAIN_SOON_S: u32 = 60;

/// How an AOR of an ask stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Empty, or the same as one before.
    Unused,
    /// It is to be challenged, or was.
    Open,
    /// Its challenge was answered.
    Proven,
    /// So was its second one.
    ProvenTwice,
    /// A second challenge is to come.
    Second,
    /// It is not certified.
    Refused(EnrolRefusal),
}

/// An ask that is being worked on.
struct Ask {
    asker: Asker,
    number: u32,
    aors: Vec<(String, State)>,
    ends: Instant,
}

impl Ask {
    fn those(&self, is: impl Fn(State) -> bool) -> Vec<String> {
        self.aors.iter().filter(|(_, state)| is(*state)).map(|(aor, _)| aor.clone()).collect()
    }

    fn is_open(&self) -> bool {
        self.aors.iter().any(|(_, state)| *state == State::Open)
    }

    /// Which AORs are, and why the first of them.
    fn refused(&self) -> Option<(u8, EnrolRefusal)> {
        let mut all = self.aors.iter().enumerate().filter_map(|(at, (_, state))| match state {
            State::Refused(why) => Some((1 << at, *why)),
            State::Second => Some((1 << at, EnrolRefusal::Unanswered)),
            _ => None,
        });
        let (first, why) = all.next()?;
        Some((all.fold(first, |which, (bit, _)| which | bit), why))
    }
}

/// What a challenge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// The AOR at this place of the ask of this number.
    Ask(u64, usize),
    /// It is the second one.
    Second,
}

/// A challenge that is to be sent, or was.
struct Open {
    key: PublicKey,
    aor: String,
    purpose: Purpose,
}

struct Flight {
    open: Open,
    nonce: Nonce,
    ends: Instant,
    refusal: EnrolRefusal,
    /// Another adapter that has the AOR has reported it.
    reported: bool,
}

/// See the module.
pub struct Desk {
    server: PublicKey,
    rng: Rng,
    pace: Pace,
    allowances: Allowances,
    asks: HashMap<u64, Ask>,
    ask_count: u64,
    queue: VecDeque<Open>,
    flights: HashMap<u32, Flight>,
    by_nonce: HashMap<Nonce, u32>,
    /// When challenges end, and asks that wait for their turn for too long.
    ends: BTreeSet<(Instant, u32)>,
    flight_count: u32,
    seconds: Seconds,
    wishes: VecDeque<Wish>,
    counters: Counters,
}

impl Desk {
    /// A desk of the server with this key, which sends so many challenges a second, at most
    /// [`CHALLENGES_PER_S_MAX`].
    pub fn new(now: Instant, server: PublicKey, per_s: u32, rng: &mut Rng) -> Self {
        Self {
            server,
            rng: rng.fork("desk"),
            pace: Pace::new(now, per_s.clamp(1, CHALLENGES_PER_S_MAX)),
            allowances: Allowances::default(),
            asks: HashMap::new(),
            ask_count: 0,
            queue: VecDeque::new(),
            flights: HashMap::new(),
            by_nonce: HashMap::new(),
            ends: BTreeSet::new(),
            flight_count: 0,
            seconds: Seconds::new(now),
            wishes: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// What happened since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What is being worked on: asks, challenges that wait for their turn, challenges that are not
    /// answered yet, and second challenges to come.
    pub fn in_use(&self) -> [(&'static str, u64); 4] {
        [
            ("asks_open", self.asks.len() as u64),
            ("challenges_queued", self.queue.len() as u64),
            ("challenges_open", self.flights.len() as u64),
            ("seconds_pending", self.seconds.pending),
        ]
    }

    /// An adapter asks.
    ///
    /// # Errors
    /// What keeps the books or keys from being used; the adapter is told to come again.
    pub fn ask(
        &mut self,
        now: Instant,
        moment: Moment<'_>,
        office: &mut Office,
        (asker, number, aors): (&Asker, u32, &[String]),
    ) -> Result<(), ServerError> {
        self.counters.asks += 1;
        if let Err(limited) = self.allowances.take_ask(now, (&asker.key, asker.address)) {
            self.put_off(asker, number, limited);
            return Ok(());
        }
        if let Some(left) = self.known(now, asker, number, aors) {
            self.wait(asker, number, left);
            return Ok(());
        }
        let ask = self.read(now, office, (asker, number, aors));
        self.look(now, moment, office, ask).inspect_err(|_| self.turn_away(asker, number))
    }

    /// An adapter asks, and the books cannot be read.
    pub fn turn_away(&mut self, asker: &Asker, number: u32) {
        self.counters.failed += 1;
        let seconds = self.jittered(AGAIN_SOON_S);
        self.wait(asker, number, seconds);
    }

    /// An adapter asks more often than is looked at: it is answered from here alone.
    fn put_off(&mut self, asker: &Asker, number: u32, limited: Limited) {
        match limited {
            Limited::Key(_) => self.counters.limited_asks_key += 1,
            _ => self.counters.limited_asks_address += 1,
        }
        let seconds = self.jittered(AGAIN_SOON_S);
        self.wait(asker, number, seconds);
    }

    /// An adapter says that it has seen a challenge.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn proof(
        &mut self,
        moment: Moment<'_>,
        office: &mut Office,
        (key, proof): (&PublicKey, &EnrolProof),
    ) -> Result<(), ServerError> {
        let number = self.by_nonce.get(&proof.nonce).copied();
        let Some((number, flight)) = number.and_then(|it| Some((it, self.flights.get(&it)?)))
        else {
            self.counters.proofs_strange += 1;
            return Ok(());
        };
        let (network, aor) = (office.keys.network(), flight.open.aor.as_str());
        let named = flight.open.key == *key;
        if !named || !enrolment::verify(key, network, (aor, &proof.nonce), &proof.signature) {
            self.counters.proofs_wrong += 1;
            return Ok(());
        }
        self.counters.proofs += 1;
        let Some(open) = self.land(number) else { return Ok(()) };
        match open.purpose {
            Purpose::Ask(id, at) => self.settle(moment, office, (id, at), State::Proven),
            Purpose::Second => {
                let proven = self.second_proven(moment, office, &open);
                proven.inspect_err(|_| self.counters.failed += 1)
            }
        }
    }

    /// The SIP server has answered a challenge, with a status or not at all. Whoever it was passed
    /// on to answers by another way.
    pub fn answered(&mut self, now: Instant, number: u32, status: Option<u16>) {
        let Some(flight) = self.flights.get_mut(&number) else { return };
        flight.refusal = match status {
            // Nobody is registered, the phone is silent, or does not know OPTIONS.
            Some(..300 | 404 | 405 | 408 | 410 | 480 | 481 | 486 | 501 | 600 | 603 | 604) => {
                EnrolRefusal::Unanswered
            }
            _ => EnrolRefusal::Server,
        };
        self.counters.challenges_refused += u64::from(flight.refusal == EnrolRefusal::Server);
        if status.is_none_or(|status| status >= 300) {
            let ends = flight.ends.min(now + LATE_PROOF);
            self.ends.remove(&(flight.ends, number));
            flight.ends = ends;
            self.ends.insert((ends, number));
        }
    }

    /// A challenge could not be sent for want of a way to the SIP server: it is sent again.
    pub fn not_sent(&mut self, now: Instant, number: u32) {
        if let Some(open) = self.land(number) {
            self.queue.push_front(open);
            self.counters.challenges -= 1;
            self.pace.pause(now + PAUSE);
        }
    }

    /// Does what is due.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn handle_timeout(
        &mut self,
        now: Instant,
        moment: Moment<'_>,
        office: &mut Office,
    ) -> Result<(), ServerError> {
        let mut done = Ok(());
        while let Some((_, number)) = self.ends.first().copied().filter(|(at, _)| *at <= now) {
            let refusal = self.flights.get(&number).map(|flight| flight.refusal);
            let (Some(open), Some(refusal)) = (self.land(number), refusal) else { continue };
            self.counters.challenges_expired += 1;
            if let Purpose::Ask(id, at) = open.purpose {
                let settled = self.settle(moment, office, (id, at), State::Refused(refusal));
                done = done.and(settled);
            }
        }
        let given_up = self.give_up_old(now, moment, office);
        let seconds = self.seconds_due(now, moment, office);
        self.counters.failed += u64::from(seconds.is_err());
        done.and(given_up).and(seconds)
    }

    /// When [`Self::handle_timeout`] and [`Self::poll_wish`] are wanted.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let send = (!self.queue.is_empty()).then(|| self.pace.next());
        let ends = self.ends.first().map(|(at, _)| *at);
        earlier(earlier(send, ends), Some(self.seconds.due()))
    }

    /// The next thing that is wanted.
    pub fn poll_wish(&mut self, now: Instant) -> Option<Wish> {
        if let Some(wish) = self.wishes.pop_front() {
            return Some(wish);
        }
        while let Some(open) = self.queue.front() {
            // Who asked may have been given up meanwhile.
            if matches!(open.purpose, Purpose::Ask(id, _) if !self.asks.contains_key(&id)) {
                self.queue.pop_front();
                continue;
            }
            if !self.pace.take(now) {
                return None;
            }
            return self.queue.pop_front().map(|open| self.send(now, open));
        }
        None
    }

    fn send(&mut self, now: Instant, open: Open) -> Wish {
        self.counters.challenges += 1;
        // As many as a transaction's owner has room for.
        self.flight_count = self.flight_count.wrapping_add(1) & 0xff_ffff;
        let (number, nonce) = (self.flight_count, self.rng.bytes());
        let challenge = Challenge { nonce, key_hash: key_hash(&open.key) };
        let (aor, ends) = (open.aor.clone(), now + CHALLENGE_LIFE);
        self.by_nonce.insert(nonce, number);
        self.ends.insert((ends, number));
        let refusal = EnrolRefusal::Unanswered;
        self.flights.insert(number, Flight { open, nonce, ends, refusal, reported: false });
        Wish::Challenge { number, aor, challenge }
    }

    /// Ends a challenge: its number is good for nothing more.
    fn land(&mut self, number: u32) -> Option<Open> {
        let flight = self.flights.remove(&number)?;
        self.by_nonce.remove(&flight.nonce);
        self.ends.remove(&(flight.ends, number));
        Some(flight.open)
    }

    /// Where an ask is being worked on already: in how many seconds it will be done.
    fn known(&mut self, now: Instant, asker: &Asker, number: u32, aors: &[String]) -> Option<u32> {
        let same = |ask: &Ask| (ask.asker.key, ask.number) == (asker.key, number);
        let (id, ask) = self.asks.iter_mut().find(|(_, ask)| same(ask))?;
        if !ask.aors.iter().map(|(aor, _)| aor).eq(aors) {
            let id = *id;
            self.asks.remove(&id);
            return None;
        }
        // It may have come by another session, from another place.
        ask.asker = *asker;
        Some(ask.ends.since(now).as_secs() as u32 + 1)
    }

    fn answer(&mut self, asker: &Asker, number: u32, answer: Answer) {
        self.wishes.push_back(Wish::Answer { peer: asker.peer, number, answer });
    }

    fn wait(&mut self, asker: &Asker, number: u32, seconds: u32) {
        self.counters.waits += 1;
        self.answer(asker, number, Answer::Wait(seconds.max(1)));
    }

    /// Half of it to all of it, so that many do not come together.
    fn jittered(&mut self, seconds: u32) -> u32 {
        seconds / 2 + self.rng.below(seconds / 2 + 1)
    }
}
