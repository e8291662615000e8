//! One series: readiness, four calls round one failure of the server, and the evidence.

use super::Error;
use super::town::Town;
use crate::lab::dialog::route_address;
use crate::lab::phone::{CallId, Phone, Report};
use crate::lab::report::{CallResult, Expected, Fault, Path as Carrier, Series, Span};
use crate::time::{Duration, Instant};

/// Where the first caller stands on the stage.
const ALICE: usize = 0;
const ANSWER_MAX: Duration = Duration::from_secs(10);
const TALK: Duration = Duration::from_millis(1500);
/// How often alice's adapter is asked for its verdict during a call.
const LOOKS: u32 = 6;
/// Sound is given this time to arrive before the call ends.
const SETTLE: Duration = Duration::from_millis(150);
const END_MAX: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);
const VERDICT_MAX: Duration = Duration::from_secs(25);
/// `hedge_ms` of DESIGN's defaults, which the demo leaves alone.
const HEDGE_MS: f64 = 500.0;

/// A call that is to be made, and what is expected of it.
#[derive(Clone, Copy)]
struct Plan {
    name: &'static str,
    expected: Expected,
    setup_ms_min: f64,
}

impl Plan {
    fn new(name: &'static str, expected: Expected) -> Self {
        Self { name, expected, setup_ms_min: 0.0 }
    }
}

/// One series on its way.
struct Show<'t, 'o> {
    town: &'t mut Town<'o>,
    /// Where alice's callee stands on the stage.
    bob: usize,
    server_since: (Instant, &'static str),
    series: Series,
}

/// Plays one series with the first pair of a town's phones.
pub(in crate::lab) fn play(fault: Fault, town: &mut Town<'_>) -> Result<Series, Error> {
    let series = Series {
        fault,
        calls: Vec::new(),
        server: Vec::new(),
        verdict: Vec::new(),
        ladder: String::new(),
        ghost_rings: 0,
    };
    let (bob, server_since) = (town.pairs(), (town.stage.now(), "running"));
    let mut show = Show { town, bob, server_since, series };
    show.play()?;
    Ok(show.series)
}

impl Show<'_, '_> {
    fn play(&mut self) -> Result<(), Error> {
        let fault = self.series.fault;
        self.town.get_ready()?;
        self.await_verdict("up")?;
        let overlay = Expected::Only(Carrier::Overlay);
        self.call(Plan::new("server-up", Expected::Only(Carrier::Server)))?;
        self.town.fail_server(fault)?;
        self.note_server(fault.name());
        let hedge = if fault == Fault::Stopped { HEDGE_MS } else { 0.0 };
        let first = Plan::new("first-after-failure", overlay);
        self.call(Plan { setup_ms_min: hedge, ..first })?;
        self.series.ladder = self.town.routers[0].last_ladder();
        self.await_verdict("down")?;
        self.call(Plan::new("known-down", overlay))?;
        self.town.recover_server(fault)?;
        self.note_server("running");
        self.await_verdict("up")?;
        self.call(Plan::new("after-recovery", Expected::Either))?;
        self.town.stage.run_for(PAUSE);
        look(self.town, &mut self.series);
        self.note_server("");
        let rings = self.town.stage.core(self.bob).reports().count();
        let called: usize = self.series.calls.iter().map(|call| call.rings).sum();
        self.series.ghost_rings = rings.saturating_sub(called);
        Ok(())
    }

    /// Alice calls bob, both speak, alice hangs up.
    fn call(&mut self, plan: Plan) -> Result<(), Error> {
        self.town.stage.run_for(PAUSE);
        let rung = self.town.stage.core(self.bob).reports().count();
        let aor = self.town.stage.core(self.bob).aor();
        let id = self.town.stage.order(ALICE, |alice, now| alice.call(now, &aor));
        let done = |phones: &mut [Phone]| {
            let report = phones[ALICE].report(id);
            report.answered.is_some() || report.ended.is_some()
        };
        self.town.stage.run_until(ANSWER_MAX, done);
        if self.report(id).answered.is_some() {
            for _ in 0..LOOKS {
                self.town.stage.run_for(TALK / LOOKS);
                look(self.town, &mut self.series);
            }
            [ALICE, self.bob]
                .iter()
                .for_each(|place| self.town.stage.order(*place, |it, _| it.fall_silent()));
            self.town.stage.run_for(SETTLE);
        }
        let log = self.town.server_log();
        self.town.stage.order(ALICE, |alice, now| alice.hang_up(now, id));
        let ended = self.town.stage.run_until(END_MAX, |phones| {
            phones.iter().all(|phone| phone.reports().all(|report| report.ended.is_some()))
        });
        let result = self.judge(plan, id, rung, ended, &log);
        println!("  {}", result.line());
        self.series.calls.push(result);
        self.town.check()
    }

    fn judge(
        &self,
        plan: Plan,
        id: CallId,
        rung: usize,
        ended: bool,
        log: &[String],
    ) -> CallResult {
        let alice = self.report(id);
        let rings: Vec<&Report> = self.town.stage.core(self.bob).reports().skip(rung).collect();
        let silent = Report::default();
        let bob = rings.iter().find(|report| report.answered.is_some()).copied();
        let bob = bob.unwrap_or(&silent);
        let end = alice.ended.unwrap_or_else(|| self.town.stage.now());
        CallResult {
            name: plan.name,
            path: self.carrier(alice, bob, log),
            expected: plan.expected,
            setup_ms: alice.setup().map(millis),
            setup_ms_min: plan.setup_ms_min,
            audio_a_to_b: share(bob.sound.received, alice.sound.sent),
            audio_b_to_a: share(alice.sound.received, bob.sound.sent),
            rings: rings.len(),
            ended,
            began_ms: millis(alice.invited.since(Instant::ZERO)),
            ended_ms: millis(end.since(Instant::ZERO)),
        }
    }

    /// Who carried the answer: the server is on the way that both phones were told, and it
    /// forwarded the 200 and its ACK, or none of that is true.
    fn carrier(&self, alice: &Report, bob: &Report, log: &[String]) -> Carrier {
        if alice.answered.is_none() {
            return Carrier::Nobody;
        }
        let server = Some(self.town.addresses.server());
        let named = |report: &Report| {
            report.record_routes.iter().any(|route| route_address(route) == server)
        };
        let logged = |word: &str| {
            let start = format!("{word} {}", alice.call_id);
            log.iter().any(|line| line.starts_with(&start))
        };
        match [named(alice), named(bob), logged("200"), logged("ACK")] {
            [true, true, true, true] => Carrier::Server,
            [false, false, false, false] => Carrier::Overlay,
            _ => Carrier::Unclear,
        }
    }

    fn report(&self, id: CallId) -> &Report {
        self.town.stage.core(ALICE).report(id)
    }

    /// The server is in a new state from now on.
    fn note_server(&mut self, state: &'static str) {
        let now = self.town.stage.now();
        let (since, old) = core::mem::replace(&mut self.server_since, (now, state));
        self.series.server.push(span(since, now, old));
    }

    fn await_verdict(&mut self, state: &str) -> Result<(), Error> {
        let what = format!("alice's adapter to find the server {state}");
        let Self { town, series, .. } = self;
        town.await_that(&what, VERDICT_MAX, |town| look(town, series) == Some(state.to_owned()))
    }
}

/// Asks alice's adapter what it thinks of the server, and notes it.
fn look(town: &Town<'_>, series: &mut Series) -> Option<String> {
    let state = town.routers[0].status()?.server().to_owned();
    let now = town.stage.now();
    match series.verdict.last_mut() {
        Some(last) if last.state == state => last.to_ms = millis(now.since(Instant::ZERO)),
        _ => series.verdict.push(span(now, now, &state)),
    }
    Some(state)
}

fn span(from: Instant, to: Instant, state: &str) -> Span {
    let ms = |at: Instant| millis(at.since(Instant::ZERO));
    Span { from_ms: ms(from), to_ms: ms(to), state: state.to_owned() }
}

fn millis(interval: Duration) -> f64 {
    interval.as_secs_f64() * 1000.0
}

fn share(received: u32, sent: u32) -> f64 {
    if sent == 0 { 0.0 } else { f64::from(received) / f64::from(sent) }
}
