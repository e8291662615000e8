//! The verdict on a provider's server: up, suspect or down, from what it answers and when.
//!
//! A detector with two speeds. *Suspect* comes at the first silence of a hedge, or with a
//! transport error, and only means that new calls and REGISTERs wait for nobody. *Down* is the
//! verdict: it takes more silence to fall and several answers over a hold to rise again, and the
//! hold doubles where the server flaps. In no state is the server left out: every request still
//! goes to it, and is the best probe there is. Silence counts from the request or from the last
//! sign of life, whichever is later, so that a lost request does not outweigh a live server.
//!
//! Pure: the adapter tells what it sent and heard, and asks when to come back.

mod probe;
mod verdict;

use crate::config::Provider;
use crate::limits::{
    SERVER_DOWN_AFTER, SERVER_DOWN_REQUESTS, SERVER_FLAPPING, SERVER_HISTORY_MAX, SERVER_HOLD_MAX,
    SERVER_HOLD_MIN, SERVER_REQUESTS_MAX, SERVER_RTT_SAMPLES,
};
use crate::order::order;
use crate::rng::Rng;
use crate::time::{Duration, Instant, earlier};
use heapless::{Deque, Vec};
use probe::Prober;
pub use verdict::{Change, Reason, State};

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// A request of a phone, or any other than a probe.
    Request,
    /// An OPTIONS of our own.
    Probe,
}

/// A request without an answer so far.
struct Waiting {
    key: u32,
    sent: Instant,
    kind: Sent,
    /// Whether its silence has been counted.
    counted: bool,
}

/// The verdict on one set of targets.
pub struct ServerState {
    state: State,
    reason: Reason,
    since: Instant,
    reported: State,
    history: Deque<Change, SERVER_HISTORY_MAX>,
    waiting: Vec<Waiting, SERVER_REQUESTS_MAX>,
    last_sign: Instant,
    last_failure: Option<Instant>,
    /// Requests whose silence was counted since the last sign.
    silent: u8,
    targets: u8,
    /// Bit n: target n had an error since the last sign.
    failed_targets: u32,
    link_up: bool,
    rtt: Option<Duration>,
    samples: Vec<Duration, SERVER_RTT_SAMPLES>,
    /// Answers in a row while down, and when the first came.
    answers: u8,
    first_answer: Instant,
    hold: Duration,
    risen: Option<Instant>,
    recovering_until: Option<Instant>,
    prober: Prober,
    hedge: Duration,
    recover_after: u8,
    recover_grace: Duration,
}

impl ServerState {
    /// A server of which nothing is known yet: taken for up, until its first silence.
    pub fn new(now: Instant, provider: &Provider, rng: &mut Rng) -> Self {
        Self {
            state: State::Up,
            reason: Reason::Start,
            since: now,
            reported: State::Up,
            history: Deque::new(),
            waiting: Vec::new(),
            last_sign: now,
            last_failure: None,
            silent: 0,
            targets: 1,
            failed_targets: 0,
            link_up: true,
            rtt: None,
            samples: Vec::new(),
            answers: 0,
            first_answer: now,
            hold: SERVER_HOLD_MIN,
            risen: None,
            recovering_until: None,
            prober: Prober::new(now, provider.probe, rng),
            hedge: provider.hedge,
            recover_after: provider.recover_after,
            recover_grace: provider.recover_grace,
        }
    }

    /// Takes the options of a reload.
    pub fn configure(&mut self, provider: &Provider) {
        self.hedge = provider.hedge;
        self.recover_after = provider.recover_after;
        self.recover_grace = provider.recover_grace;
        self.prober.configure(provider.probe);
    }

    /// Says how many targets there are, at most 32; errors must be seen on each to mean an outage.
    pub fn set_targets(&mut self, targets: u8) {
        let targets = targets.clamp(1, 32);
        if self.targets != targets {
            self.targets = targets;
            self.failed_targets = 0;
        }
    }

    /// When it gave its last sign of life.
    pub fn last_sign(&self) -> Instant {
        self.last_sign
    }

    /// What is thought now.
    pub fn state(&self) -> State {
        self.state
    }

    /// Why.
    pub fn reason(&self) -> Reason {
        if self.link_up { self.reason } else { Reason::OwnLink }
    }

    /// Since when.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The usual time from a request to its first answer, once there was one.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Earlier changes and the last one, oldest first.
    pub fn history(&self) -> impl Iterator<Item = &Change> {
        self.history.iter()
    }

    /// The silence that starts an overlay leg: the option, never under twice the round trip.
    pub fn hedge(&self) -> Duration {
        self.hedge.max(self.rtt.unwrap_or_default() * 2)
    }

    /// Whether an outage ended so lately that the server may not know all phones again.
    pub fn is_recovering(&self, now: Instant) -> bool {
        self.recovering_until.is_some_and(|until| now < until)
    }

    /// Until when [`Self::is_recovering`] holds, where there was an outage.
    pub fn recovering_until(&self) -> Option<Instant> {
        self.recovering_until
    }

    /// Notes that a request left, under a key that the caller does not use twice at a time. Where
    /// too many wait already, the oldest speak for it.
    pub fn on_request_sent(&mut self, now: Instant, key: u32, kind: Sent) {
        if self.link_up {
            let waiting = Waiting { key, sent: now, kind, counted: false };
            self.waiting.push(waiting).unwrap_or_default();
        }
    }

    /// Notes the first response to the request `key`, or a further one.
    pub fn on_response(&mut self, now: Instant, key: u32) {
        let found = self.waiting.iter().position(|waiting| waiting.key == key);
        let answered = found.map(|at| self.waiting.swap_remove(at));
        self.on_heard(now);
        let Some(request) = answered else { return };
        self.measure(now.since(request.sent));
        if request.kind == Sent::Probe {
            self.prober.answered();
        }
        let fresh = self.last_failure.is_none_or(|failure| request.sent > failure);
        if self.state == State::Down && fresh {
            self.count_answer(now);
        }
    }

    /// Notes any other sign of life: a late response.
    pub fn on_heard(&mut self, now: Instant) {
        self.last_sign = now;
        self.silent = 0;
        self.failed_targets = 0;
        // Who lives did not fail the others: what was counted has had its say, and what is old
        // was lost. Younger requests are watched on, from this sign.
        self.waiting
            .retain(|waiting| !waiting.counted && now.since(waiting.sent) < SERVER_DOWN_AFTER);
        self.prober.heard(now);
        if self.state == State::Suspect {
            self.enter(now, State::Up, Reason::Answered);
        }
    }

    /// Notes an error for the request `key` to target number `target`: refused, or unreachable
    /// beyond our own link. A failure of our own link is [`Self::link_down`].
    pub fn on_transport_error(&mut self, now: Instant, key: u32, target: u8) {
        self.waiting.retain(|waiting| waiting.key != key);
        if !self.link_up {
            return;
        }
        self.fail(now);
        self.failed_targets |= 1_u32.checked_shl(u32::from(target)).unwrap_or_default();
        if self.failed_targets.count_ones() >= u32::from(self.targets) {
            self.fall(now, Reason::ErrorOnAll);
        } else {
            self.suspect(now, Reason::Error);
        }
    }

    /// A request could not leave, or came back from our own router: what waits says nothing.
    pub fn own_link_failed(&mut self) {
        self.waiting.clear();
    }

    /// Whether a request that could wait may go to a server that is not up. True as often as a
    /// probe is due, and instead of one.
    pub fn may_ask(&mut self, now: Instant) -> bool {
        self.link_up && self.prober.take_turn(now)
    }

    /// Whether an operator who asks for a probe gets one now.
    pub fn may_probe(&mut self, now: Instant) -> bool {
        self.link_up && self.prober.grant(now)
    }

    /// Whether something that speaks against a server which is up, though it proves nothing, is
    /// looked into by a probe now. True for some and then at the normal rate of probes.
    pub fn may_look_early(&mut self, now: Instant) -> bool {
        self.link_up && self.prober.silence_counts() && self.prober.look_early(now)
    }

    /// Whether it has ever answered an OPTIONS.
    pub fn answers_probes(&self) -> bool {
        self.prober.silence_counts()
    }

    /// Our own link failed: the verdict stays as it is, and silence says nothing.
    pub fn link_down(&mut self) {
        self.link_up = false;
        self.waiting.clear();
    }

    /// Our own link is back.
    pub fn link_up(&mut self, now: Instant) {
        if !self.link_up {
            self.link_up = true;
            self.silent = 0;
            self.prober.restart(now, self.state != State::Up);
        }
    }

    /// Counts the silences that are due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let (hedge, long) = (self.hedge(), self.down_after());
        let mut index = 0;
        while let Some(waiting) = self.waiting.get_mut(index) {
            let silence = now.since(waiting.sent.max(self.last_sign));
            let counts = waiting.kind == Sent::Request || self.prober.silence_counts();
            let first = silence >= hedge && !waiting.counted;
            waiting.counted |= first;
            if silence >= long {
                self.waiting.swap_remove(index);
            } else {
                index += 1;
            }
            if !counts {
                continue;
            }
            if first {
                self.fail(now);
                self.silent = self.silent.saturating_add(1);
                self.suspect(now, Reason::Silent);
            }
            if silence >= long {
                self.fall(now, Reason::SilentLong);
            } else if first && self.silent >= SERVER_DOWN_REQUESTS {
                self.fall(now, Reason::SilentTwice);
            }
        }
    }

    /// When [`Self::handle_timeout`] or [`Self::probe_due`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.link_up {
            return None;
        }
        let (hedge, long) = (self.hedge(), self.down_after());
        let silence = self.waiting.iter().map(|waiting| {
            let from = waiting.sent.max(self.last_sign);
            from + if waiting.counted { long } else { hedge }
        });
        earlier(silence.min(), Some(self.prober.next()))
    }

    /// Whether an OPTIONS is to be sent now. True once; the next time follows by itself, sent or
    /// not.
    pub fn probe_due(&mut self, now: Instant) -> bool {
        self.link_up && self.prober.due(now, self.state != State::Up)
    }

    /// The state, where it has changed since the last call.
    pub fn poll_change(&mut self) -> Option<State> {
        let changed = self.state != self.reported;
        self.reported = self.state;
        changed.then_some(self.state)
    }

    fn down_after(&self) -> Duration {
        SERVER_DOWN_AFTER.max(self.hedge())
    }

    /// The lower median of the last samples: one answer that came only to a retransmission says
    /// nothing about the round trip, a server that is slow every time does.
    fn measure(&mut self, sample: Duration) {
        if self.samples.is_full() {
            self.samples.remove(0);
        }
        self.samples.push(sample.min(SERVER_DOWN_AFTER)).unwrap_or_default();
        let mut sorted = self.samples.clone();
        order(&mut sorted, |sample| *sample);
        self.rtt = sorted.get((sorted.len() - 1) / 2).copied();
    }

    fn fail(&mut self, now: Instant) {
        self.last_failure = Some(now);
        self.answers = 0;
    }

    fn count_answer(&mut self, now: Instant) {
        if self.answers == 0 {
            self.first_answer = now;
            self.prober.restart(now, true);
        }
        self.answers = self.answers.saturating_add(1);
        let held = now.since(self.first_answer) >= self.hold;
        if self.answers >= self.recover_after && held {
            self.risen = Some(now);
            self.recovering_until = Some(now + self.recover_grace);
            self.enter(now, State::Up, Reason::Recovered);
        }
    }

    fn suspect(&mut self, now: Instant, reason: Reason) {
        if self.state == State::Up {
            self.enter(now, State::Suspect, reason);
        }
    }

    fn fall(&mut self, now: Instant, reason: Reason) {
        if self.state != State::Down {
            let flaps = self.risen.is_some_and(|risen| now.since(risen) < SERVER_FLAPPING);
            self.hold = if flaps { (self.hold * 2).min(SERVER_HOLD_MAX) } else { SERVER_HOLD_MIN };
            self.enter(now, State::Down, reason);
        }
    }

    fn enter(&mut self, now: Instant, state: State, reason: Reason) {
        let was_up = self.state == State::Up;
        (self.state, self.reason, self.since) = (state, reason, now);
        if self.history.is_full() {
            self.history.pop_front();
        }
        self.history.push_back(Change { at: now, state, reason }).unwrap_or_default();
        if was_up || state == State::Up {
            self.prober.restart(now, state != State::Up);
        }
    }
}

#[cfg(test)]
mod tests;
