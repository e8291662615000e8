//! The calls of the soak: begun by dice, played to their end, judged by what both phones saw.

use crate::lab::phone::{CallId, Manner, Phone, Report};
use crate::lab::stage::Stage;
use crate::rng::Rng;
use crate::time::{Duration, Instant};

/// The least share of the sound that counts as sound.
const SHARE_MIN: f64 = 0.95;
/// A call that has not rung, been answered or failed by then has failed.
const SET_UP_MAX: Duration = Duration::from_secs(12);
/// Sound is given this time to arrive before the call ends.
const ARRIVE: Duration = Duration::from_millis(300);
/// A call whose end one phone has not seen by then has no end.
const END_MAX: Duration = Duration::from_secs(5);

/// What a call is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Answered; both speak; the caller hangs up.
    EndedByCaller,
    /// Answered; both speak; the callee hangs up.
    EndedByCallee,
    /// Given up by the caller while it rings.
    GivenUp,
    /// Refused as busy.
    Busy,
    /// Declined.
    Declined,
    /// To a phone that has left.
    Gone,
}

impl Kind {
    pub(super) const ALL: [Self; 6] = [
        Self::EndedByCaller,
        Self::EndedByCallee,
        Self::GivenUp,
        Self::Busy,
        Self::Declined,
        Self::Gone,
    ];

    /// The name in `summary.json`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::EndedByCaller => "ended_by_caller",
            Self::EndedByCallee => "ended_by_callee",
            Self::GivenUp => "given_up",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::Gone => "gone",
        }
    }

    /// For people.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::EndedByCaller => "answered, ended by the caller",
            Self::EndedByCallee => "answered, ended by the callee",
            Self::GivenUp => "given up while ringing",
            Self::Busy => "busy",
            Self::Declined => "declined",
            Self::Gone => "to a phone that had left",
        }
    }

    fn roll(rng: &mut Rng) -> Self {
        match rng.below(100) {
            0..40 => Self::EndedByCaller,
            40..75 => Self::EndedByCallee,
            75..87 => Self::GivenUp,
            87..94 => Self::Busy,
            _ => Self::Declined,
        }
    }

    fn manner(self) -> Manner {
        match self {
            Self::EndedByCaller | Self::EndedByCallee | Self::Gone => Manner::Answer,
            Self::GivenUp => Manner::Ring,
            Self::Busy => Manner::Refuse(486),
            Self::Declined => Manner::Refuse(603),
        }
    }

    /// The final statuses that the caller may see.
    fn statuses(self) -> &'static [u16] {
        match self {
            Self::EndedByCaller | Self::EndedByCallee => &[200],
            Self::GivenUp => &[487],
            Self::Busy => &[486],
            Self::Declined => &[603],
            Self::Gone => &[404, 480, 503],
        }
    }

    fn is_answered(self) -> bool {
        matches!(self, Self::EndedByCaller | Self::EndedByCallee)
    }
}

/// Where a phone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// Here, and others know from this instant on.
    Here(Instant),
    /// Signed off.
    Left,
}

/// How far a call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    SetUp,
    /// It rings, and the caller gives up then.
    Ringing(Instant),
    Talk(Instant),
    Silence(Instant),
    End(Instant),
}

struct Open {
    kind: Kind,
    caller: usize,
    callee: usize,
    id: CallId,
    began: Instant,
    /// How many calls the callee had had before.
    before: usize,
    /// How long they speak, or it rings.
    patience: Duration,
    phase: Phase,
}

/// A call that was played to its end.
#[derive(Clone, Debug)]
pub(super) struct Finished {
    pub(super) kind: Kind,
    /// From INVITE to the first 18x.
    pub(super) alerted_ms: Option<u64>,
    caller: usize,
    callee: usize,
    fault: String,
    call_id: String,
    began: Instant,
}

/// All calls.
pub(super) struct Calls {
    /// Where each phone is.
    pub(super) homes: Vec<Home>,
    open: Vec<Open>,
    finished: Vec<Finished>,
}

impl Calls {
    pub(super) fn new(phones: usize) -> Self {
        let homes = vec![Home::Here(Instant::ZERO); phones];
        Self { homes, open: Vec::new(), finished: Vec::new() }
    }

    /// Calls so far, and how many of them went wrong.
    pub(super) fn count(&self) -> (usize, usize) {
        let wrong = self.finished.iter().filter(|call| !call.fault.is_empty()).count();
        (self.finished.len(), wrong)
    }

    /// The phones of the call that ended last with a fault, after so many others.
    pub(super) fn wrong_after(&self, known: usize) -> Option<(usize, usize)> {
        let wrong = self.finished.iter().filter(|call| !call.fault.is_empty());
        wrong.skip(known).last().map(|call| (call.caller, call.callee))
    }

    pub(super) fn are_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// All calls that have ended.
    pub(super) fn finished(&self) -> Vec<Finished> {
        self.finished.clone()
    }

    /// What went wrong: a line for each call, and one for phones that rang without being called.
    pub(super) fn faults(&self, stage: &Stage<Phone>) -> Vec<String> {
        let wrong = self.finished.iter().filter(|call| !call.fault.is_empty());
        let mut faults: Vec<String> = wrong
            .map(|call| {
                let second = call.began.since(Instant::ZERO).as_secs();
                let (kind, fault, id) = (call.kind.name(), &call.fault, &call.call_id);
                let (caller, callee) = (call.caller, call.callee);
                format!("{second} s: {kind}, phone {caller} to {callee}: {fault} ({id})")
            })
            .collect();
        for place in 0..stage.len() {
            let rang = stage.core(place).reports().filter(|report| !report.caller).count();
            let kind_rings = |call: &&Finished| call.callee == place && call.kind != Kind::Gone;
            let called = self.finished.iter().filter(kind_rings).count();
            if rang > called {
                faults.push(format!("phone {place} rang {rang} times for {called} calls"));
            }
        }
        faults
    }

    /// A phone that has left, and that nobody is calling.
    pub(super) fn left(&self) -> Option<usize> {
        let called = |place: &usize| self.open.iter().any(|call| call.callee == *place);
        let left = |place: &usize| self.homes[*place] == Home::Left && !called(place);
        (0..self.homes.len()).find(left)
    }

    /// A phone that is here and in no call.
    pub(super) fn idle(&self, stage: &Stage<Phone>, rng: &mut Rng) -> Option<usize> {
        let now = stage.now();
        let free = |place: &usize| {
            let here = matches!(self.homes[*place], Home::Here(since) if since <= now);
            let busy = self.open.iter().any(|it| it.caller == *place || it.callee == *place);
            here && !busy && stage.core(*place).registration_status() == 200
        };
        let idle: Vec<usize> = (0..stage.len()).filter(free).collect();
        let at = rng.below(u32::try_from(idle.len().max(1)).unwrap_or(1)) as usize;
        idle.get(at).copied()
    }

    /// Begins a call by dice; none where nobody is free.
    pub(super) fn begin(&mut self, stage: &mut Stage<Phone>, rng: &mut Rng) {
        let Some(caller) = self.idle(stage, rng) else { return };
        let (kind, callee) = match self.left().filter(|_| rng.below(20) == 0) {
            Some(gone) => (Kind::Gone, Some(gone)),
            None => (Kind::roll(rng), self.idle(stage, rng)),
        };
        let Some(callee) = callee.filter(|callee| *callee != caller) else { return };
        let ring = Duration::from_millis(u64::from(200 + rng.below(1500)));
        stage.order(callee, |phone, _| {
            phone.set_manner(kind.manner());
            phone.set_ring(ring);
        });
        let before = stage.core(callee).reports().count();
        let aor = stage.core(callee).aor();
        let began = stage.now();
        let id = stage.order(caller, |phone, now| phone.call(now, &aor));
        let patience = if kind == Kind::GivenUp { 200..1700 } else { 1000..8000 };
        let patience = u64::from(patience.start + rng.below(patience.end - patience.start));
        let patience = Duration::from_millis(patience);
        let phase = Phase::SetUp;
        self.open.push(Open { kind, caller, callee, id, began, before, patience, phase });
    }

    /// Lets every call go on that waits for nothing any more.
    pub(super) fn advance(&mut self, stage: &mut Stage<Phone>) {
        let mut at = 0;
        while at < self.open.len() {
            match self.open[at].advance(stage) {
                Some(finished) => {
                    self.finished.push(finished);
                    self.open.swap_remove(at);
                }
                None => at += 1,
            }
        }
    }

    /// Judges calls that have not ended in time.
    pub(super) fn give_up(&mut self, stage: &Stage<Phone>) {
        for open in self.open.drain(..) {
            self.finished.push(open.finish(stage, "never ended"));
        }
    }
}

impl Open {
    /// Does what is due; the judgement, where the call is over.
    fn advance(&mut self, stage: &mut Stage<Phone>) -> Option<Finished> {
        let now = stage.now();
        let report = stage.core(self.caller).report(self.id);
        let (alerted, answered) = (report.alerted.is_some(), report.answered.is_some());
        let over = report.ended.is_some();
        match self.phase {
            Phase::SetUp if over => self.phase = Phase::End(now + END_MAX),
            Phase::SetUp if answered => self.phase = Phase::Talk(now + self.patience),
            Phase::SetUp if alerted && self.kind == Kind::GivenUp => {
                self.phase = Phase::Ringing(now + self.patience);
            }
            Phase::SetUp if now > self.began + SET_UP_MAX => {
                self.hang_up(stage, self.caller);
                return Some(self.finish(stage, "neither answered nor refused in time"));
            }
            Phase::Ringing(until) if now >= until => {
                self.hang_up(stage, self.caller);
                self.phase = Phase::End(now + END_MAX);
            }
            Phase::Talk(_) | Phase::Silence(_) if over => {
                self.hang_up(stage, self.callee);
                return Some(self.finish(stage, "cut"));
            }
            Phase::Talk(until) if now >= until => {
                for place in [self.caller, self.callee] {
                    stage.order(place, |phone, _| phone.fall_silent());
                }
                self.phase = Phase::Silence(now + ARRIVE);
            }
            Phase::Silence(until) if now >= until => {
                let by_caller = self.kind == Kind::EndedByCaller;
                self.hang_up(stage, if by_caller { self.caller } else { self.callee });
                self.phase = Phase::End(now + END_MAX);
            }
            Phase::End(_) if over && self.callee_is_free(stage) => {
                return Some(self.finish(stage, ""));
            }
            Phase::End(until) if now >= until => {
                self.hang_up(stage, self.caller);
                self.hang_up(stage, self.callee);
                return Some(self.finish(stage, "one phone did not see the end"));
            }
            _ => {}
        }
        None
    }

    fn hang_up(&self, stage: &mut Stage<Phone>, place: usize) {
        stage.order(place, Phone::hang_up_all);
    }

    fn rings<'s>(&self, stage: &'s Stage<Phone>) -> impl Iterator<Item = &'s Report> {
        stage.core(self.callee).reports().skip(self.before)
    }

    fn callee_is_free(&self, stage: &Stage<Phone>) -> bool {
        self.rings(stage).all(|report| report.ended.is_some())
    }

    fn finish(&self, stage: &Stage<Phone>, fault: &str) -> Finished {
        let report = stage.core(self.caller).report(self.id);
        let mut faults: Vec<String> = Vec::new();
        if !fault.is_empty() {
            faults.push(fault.to_owned());
        }
        if !self.kind.statuses().contains(&report.status) {
            faults.push(format!("ended with {}", report.status));
        }
        let expected = usize::from(self.kind != Kind::Gone);
        let rings = self.rings(stage).count();
        if rings != expected {
            faults.push(format!("rang {rings} times"));
        }
        let heard = self.rings(stage).find(|report| report.answered.is_some());
        match (heard, self.kind.is_answered()) {
            (Some(callee), true) => {
                // What the callee says before its answer is through, nobody can hear.
                let late = match (report.answered, callee.answered) {
                    (Some(heard), Some(given)) => heard.since(given).as_millis() / 20,
                    _ => 0,
                };
                let unheard = u32::try_from(late).unwrap_or(u32::MAX);
                let shares = [(report, callee, "caller", 0), (callee, report, "callee", unheard)];
                for (speaker, hearer, whose, unheard) in shares {
                    let sent = speaker.sound.sent.saturating_sub(unheard);
                    let share = share(hearer.sound.received, sent);
                    if share < SHARE_MIN {
                        let percent = share * 100.0;
                        faults.push(format!("{percent:.0} % of the {whose}'s sound arrived"));
                    }
                }
            }
            (Some(_), false) => faults.push("the callee's phone was answered".to_owned()),
            (None, true) => faults.push("the callee's phone was never answered".to_owned()),
            (None, false) => {}
        }
        Finished {
            kind: self.kind,
            alerted_ms: report.alerting().map(|time| time.as_millis() as u64),
            caller: self.caller,
            callee: self.callee,
            fault: faults.join("; "),
            call_id: report.call_id.clone(),
            began: self.began,
        }
    }
}

fn share(received: u32, sent: u32) -> f64 {
    if sent == 0 { 0.0 } else { f64::from(received) / f64::from(sent) }
}
