//! One series: readiness, four calls round one failure of the server, and the evidence.

use super::process::Process;
use super::router::{Addresses, DOMAIN, Router};
use super::{Error, Interrupt, Options};
use crate::lab::phone::{CallId, Phone, Report, Settings};
use crate::lab::report::{CallResult, Expected, Fault, Path as Carrier, Series, Span};
use crate::lab::stage::Stage;
use crate::time::{Duration, Instant};
use nix::sys::signal::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the phones stand on the stage.
const ALICE: usize = 0;
const BOB: usize = 1;
/// The routers: alice's, bob's, and one more member of the overlay.
const ROUTERS: [u8; 3] = [1, 2, 3];
const READY_MAX: Duration = Duration::from_secs(15);
const ANSWER_MAX: Duration = Duration::from_secs(10);
const TALK: Duration = Duration::from_millis(1500);
/// Sound is given this time to arrive before the call ends.
const SETTLE: Duration = Duration::from_millis(150);
const END_MAX: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(200);
const POLL: Duration = Duration::from_millis(200);
const VERDICT_MAX: Duration = Duration::from_secs(20);
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
struct Show<'o> {
    fault: Fault,
    addresses: Addresses,
    folder: PathBuf,
    options: &'o Options,
    interrupt: &'o Interrupt,
    stage: Stage<Phone>,
    routers: Vec<Router>,
    processes: Vec<Process>,
    server: Option<Process>,
    server_since: (Instant, &'static str),
    series: Series,
}

/// Plays one series.
pub(super) fn play(
    fault: Fault,
    addresses: Addresses,
    folder: &Path,
    options: &Options,
    interrupt: &Interrupt,
) -> Result<Series, Error> {
    let mut show = Show::set_up(fault, addresses, folder, options, interrupt)?;
    let result = show.play();
    let mut processes = core::mem::take(&mut show.processes);
    processes.extend(show.server.take());
    Process::end_all(processes);
    result.map(|()| show.series)
}

/// Prints the last lines of every log of a series that failed.
pub(super) fn show_logs(folder: &Path) {
    for log in ["router-1/log", "router-2/log", "router-3/log", "server.log"] {
        let Ok(text) = fs::read_to_string(folder.join(log)) else { continue };
        let lines: Vec<&str> = text.lines().collect();
        eprintln!("-- {log}");
        lines[lines.len().saturating_sub(8)..].iter().for_each(|line| eprintln!("   {line}"));
    }
}

fn settings(user: &str, addresses: Addresses, router: u8) -> Settings {
    let host = addresses.phone(router);
    Settings {
        user: user.to_owned(),
        domain: DOMAIN.to_owned(),
        sip: (host, 5060).into(),
        media: (host, 4000).into(),
        proxy: addresses.proxy(router),
        relay: Some(addresses.lan(router)),
        password: None,
        ring: Duration::ZERO,
        expires: Duration::from_secs(3600),
    }
}

impl<'o> Show<'o> {
    /// Starts everything.
    fn set_up(
        fault: Fault,
        addresses: Addresses,
        folder: &Path,
        options: &'o Options,
        interrupt: &'o Interrupt,
    ) -> Result<Self, Error> {
        let mut stage = Stage::new();
        for (user, router) in [("alice", ROUTERS[0]), ("bob", ROUTERS[1])] {
            stage.add(Phone::new(settings(user, addresses, router), [router; 32]));
        }
        let routers = ROUTERS
            .iter()
            .map(|number| Router::write(*number, addresses, folder, options))
            .collect::<Result<Vec<_>, _>>()?;
        let series = Series {
            fault,
            calls: Vec::new(),
            server: Vec::new(),
            verdict: Vec::new(),
            ghost_rings: 0,
        };
        let mut show = Self {
            fault,
            addresses,
            folder: folder.to_owned(),
            options,
            interrupt,
            server_since: (stage.now(), "running"),
            stage,
            routers,
            processes: Vec::new(),
            server: None,
            series,
        };
        show.start_server()?;
        // The router that the others join the overlay by comes first.
        for router in show.routers.iter().rev() {
            show.processes.push(interrupt.unblocked(|| router.start())?);
        }
        Ok(show)
    }

    fn play(&mut self) -> Result<(), Error> {
        self.get_ready()?;
        let overlay = Expected::Only(Carrier::Overlay);
        self.call(Plan::new("server-up", Expected::Only(Carrier::Server)))?;
        self.fail_server()?;
        let hedge = if self.fault == Fault::Stopped { HEDGE_MS } else { 0.0 };
        let first = Plan::new("first-after-failure", overlay);
        self.call(Plan { setup_ms_min: hedge, ..first })?;
        self.await_verdict("down")?;
        self.call(Plan::new("known-down", overlay))?;
        self.recover_server()?;
        self.await_verdict("up")?;
        self.call(Plan::new("after-recovery", Expected::Either))?;
        self.stage.run_for(PAUSE);
        self.note_server("");
        let rings = self.stage.core(BOB).reports().count();
        let called: usize = self.series.calls.iter().map(|call| call.rings).sum();
        self.series.ghost_rings = rings.saturating_sub(called);
        Ok(())
    }

    /// Waits until both phones are registered and find each other in the overlay.
    fn get_ready(&mut self) -> Result<(), Error> {
        self.await_that("the routers' status", READY_MAX, |show| {
            show.routers.iter().all(|router| router.status().is_some())
        })?;
        for place in [ALICE, BOB] {
            self.stage.order(place, Phone::register);
        }
        self.await_that("the phones' registrations", READY_MAX, |show| {
            [ALICE, BOB].iter().all(|place| show.stage.core(*place).registration_status() == 200)
        })?;
        self.await_that("the overlay", READY_MAX, |show| {
            let homes = &show.routers[..2];
            let joined = |router: &Router| router.status().is_some_and(|it| it.peers() >= 2);
            let found = |(router, user): (&Router, &str)| {
                router.ask(&["lookup", &format!("sip:{user}@{DOMAIN}")]).is_some()
            };
            homes.iter().all(joined) && homes.iter().zip(["bob", "alice"]).all(found)
        })?;
        self.await_verdict("up")
    }

    /// Alice calls bob, both speak, alice hangs up.
    fn call(&mut self, plan: Plan) -> Result<(), Error> {
        self.stage.run_for(PAUSE);
        let rung = self.stage.core(BOB).reports().count();
        let aor = self.stage.core(BOB).aor();
        let id = self.stage.order(ALICE, |alice, now| alice.call(now, &aor));
        let done = |phones: &mut [Phone]| {
            let report = phones[ALICE].report(id);
            report.answered.is_some() || report.ended.is_some()
        };
        self.stage.run_until(ANSWER_MAX, done);
        if self.report(id).answered.is_some() {
            self.stage.run_for(TALK);
            [ALICE, BOB]
                .iter()
                .for_each(|place| self.stage.order(*place, |it, _| it.fall_silent()));
            self.stage.run_for(SETTLE);
        }
        let log = self.server_log();
        self.stage.order(ALICE, |alice, now| alice.hang_up(now, id));
        let ended = self.stage.run_until(END_MAX, |phones| {
            phones.iter().all(|phone| phone.reports().all(|report| report.ended.is_some()))
        });
        let result = self.judge(plan, id, rung, ended, &log);
        println!("  {}", result.line());
        self.series.calls.push(result);
        self.check()
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
        let rings: Vec<&Report> = self.stage.core(BOB).reports().skip(rung).collect();
        let silent = Report::default();
        let bob = rings.iter().find(|report| report.answered.is_some()).copied();
        let bob = bob.unwrap_or(&silent);
        let end = alice.ended.unwrap_or_else(|| self.stage.now());
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
        let server = self.addresses.server().to_string();
        let named =
            |report: &Report| report.record_routes.iter().any(|route| route.contains(&server));
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
        self.stage.core(ALICE).report(id)
    }

    fn start_server(&mut self) -> Result<(), Error> {
        let mut command = Command::new(&self.options.lab);
        command.arg("server").arg("--listen").arg(self.addresses.server().to_string());
        let log = self.server_log_file();
        let started = self.interrupt.unblocked(|| Process::start("server", &mut command, &log))?;
        self.server = Some(started);
        Ok(())
    }

    fn fail_server(&mut self) -> Result<(), Error> {
        match self.fault {
            Fault::Stopped => self.server.iter().try_for_each(|it| it.signal(Signal::SIGSTOP))?,
            Fault::Killed => self.server.take().into_iter().for_each(Process::crash),
        }
        self.note_server("failed");
        Ok(())
    }

    fn recover_server(&mut self) -> Result<(), Error> {
        match self.fault {
            Fault::Stopped => self.server.iter().try_for_each(|it| it.signal(Signal::SIGCONT))?,
            Fault::Killed => self.start_server()?,
        }
        self.note_server("running");
        Ok(())
    }

    /// The server is in a new state from now on.
    fn note_server(&mut self, state: &'static str) {
        let now = self.stage.now();
        let (since, old) = core::mem::replace(&mut self.server_since, (now, state));
        self.series.server.push(span(since, now, old));
    }

    fn await_verdict(&mut self, state: &str) -> Result<(), Error> {
        let what = format!("alice's adapter to find the server {state}");
        self.await_that(&what, VERDICT_MAX, |show| {
            let Some(status) = show.routers[0].status() else { return false };
            let now = show.stage.now();
            let verdict = status.server();
            match show.series.verdict.last_mut() {
                Some(last) if last.state == verdict => {
                    last.to_ms = millis(now.since(Instant::ZERO));
                }
                _ => show.series.verdict.push(span(now, now, verdict)),
            }
            verdict == state
        })
    }

    /// Plays on until `condition` holds.
    fn await_that(
        &mut self,
        what: &str,
        limit: Duration,
        mut condition: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), Error> {
        let end = self.stage.now() + limit;
        while !condition(self) {
            self.check()?;
            if self.stage.now() > end {
                let seconds = limit.as_secs();
                return Err(Error::new(format!("waited for {what}"), format_args!("{seconds} s")));
            }
            self.stage.run_for(POLL);
        }
        Ok(())
    }

    /// Fails where a process ended, or a signal asks to stop.
    fn check(&mut self) -> Result<(), Error> {
        self.interrupt.check()?;
        self.server.iter_mut().try_for_each(Process::check)?;
        self.processes.iter_mut().try_for_each(Process::check)
    }

    fn server_log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    fn server_log(&self) -> Vec<String> {
        let text = fs::read_to_string(self.server_log_file()).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }
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
