//! A town: two homes behind routers, one more router, the provider's server, and their phones.
//!
//! All that runs ends with the value, asked politely first.

use super::addresses::Addresses;
use super::process::{Process, Usage};
use super::provider::Provider;
use super::router::{DOMAIN, Room, Router};
use super::{Error, Interrupt, Options};
use crate::lab::phone::{Habits, Phone, Settings};
use crate::lab::report::Fault;
use crate::lab::stage::Stage;
use crate::time::Duration;
use std::fs;
use std::path::Path;

/// The routers: the callers', the callees', and one more member of the overlay.
pub(in crate::lab) const ROUTERS: [u8; 3] = [CALLERS, CALLEES, 3];
/// The router of the callers.
pub(in crate::lab) const CALLERS: u8 = 1;
/// The router of the callees.
pub(in crate::lab) const CALLEES: u8 = 2;
/// Who lives behind which router.
const HOMES: [(&str, u8); 2] = [("alice", CALLERS), ("bob", CALLEES)];
const READY_MAX: Duration = Duration::from_secs(15);
/// How often it is asked whether something has come to pass.
const POLL: Duration = Duration::from_millis(200);

/// How large a town is.
#[derive(Clone, Copy, Debug)]
pub(in crate::lab) struct Size {
    /// What each router has room for. All phones are there, in as many pairs.
    pub(in crate::lab) room: Room,
    /// Whether each half of the phones is behind a router of its own.
    pub(in crate::lab) routers: bool,
    /// Whether the routers ask for certificates, and have some.
    pub(in crate::lab) certified: bool,
}

impl Size {
    /// Two phones, a router each.
    pub(in crate::lab) const SMALL: Self =
        Self { room: Room { phones: 1, calls: 1 }, routers: true, certified: false };
}

/// Everything that takes part in a call.
pub(in crate::lab) struct Town<'o> {
    pub(in crate::lab) addresses: Addresses,
    /// The phones: all callers, then all callees, in pairs.
    pub(in crate::lab) stage: Stage<Phone>,
    /// The routers; none where the phones speak to the server directly.
    pub(in crate::lab) routers: Vec<Router>,
    options: &'o Options,
    interrupt: &'o Interrupt,
    provider: Provider,
    /// The instant before the callers' daemon was started, which comes last.
    pub(in crate::lab) started: std::time::Instant,
}

impl<'o> Town<'o> {
    /// Starts the phones, the server and the routers.
    pub(in crate::lab) fn build(
        addresses: Addresses,
        folder: &Path,
        options: &'o Options,
        interrupt: &'o Interrupt,
        size: Size,
    ) -> Result<Self, Error> {
        let failed = |error| Error::new(format!("cannot make {}", folder.display()), error);
        fs::create_dir_all(folder).map_err(failed)?;
        let mut stage = Stage::new();
        for (name, home) in HOMES {
            for number in 0..size.room.phones {
                let mut settings = settings(name, addresses, (home, number), size.routers);
                // A router that intercepts also has phones that know of no router.
                if options.image_of(home).is_some() && number % 2 == 1 {
                    settings.proxy = addresses.server();
                }
                let host = addresses.home_host(home);
                stage.add_on(
                    host,
                    Phone::new(settings, [home.wrapping_mul(64) ^ number ^ 0x55; 32]),
                );
            }
        }
        let places = if size.routers { &ROUTERS[..] } else { &[] };
        let routers = places
            .iter()
            .map(|number| Router::write(*number, addresses, folder, options, size.room))
            .collect::<Result<Vec<_>, _>>()?;
        for router in routers.iter().filter(|_| size.certified) {
            router.certify(&users_of(router.number, size.room.phones))?;
        }
        let mut town = Self {
            addresses,
            stage,
            routers,
            options,
            interrupt,
            provider: Provider::new(options, addresses, folder),
            started: std::time::Instant::now(),
        };
        town.provider.start(interrupt)?;
        town.await_server()?;
        // The router that the others join the overlay by comes first.
        for router in town.routers.iter_mut().rev() {
            town.started = router.start(interrupt)?;
        }
        Ok(town)
    }

    /// How many pairs of phones there are.
    pub(in crate::lab) fn pairs(&self) -> usize {
        self.stage.len() / 2
    }

    /// Waits until the routers answer.
    pub(in crate::lab) fn await_routers(&mut self) -> Result<(), Error> {
        self.await_that("the routers' status", READY_MAX, |town| {
            town.routers.iter().all(|router| router.status().is_some())
        })
    }

    /// Waits until the callers' router thinks this of the server.
    pub(in crate::lab) fn await_verdict(
        &mut self,
        verdict: &str,
        limit: Duration,
    ) -> Result<(), Error> {
        self.await_that(&format!("the server to be found {verdict}"), limit, |town| {
            town.routers[0].status().is_some_and(|status| status.server() == verdict)
        })
    }

    /// Waits until all phones are registered, and the homes find each other in the overlay.
    pub(in crate::lab) fn get_ready(&mut self) -> Result<(), Error> {
        let ready = |town: &Self| (0..town.stage.len()).all(|at| town.stage.core(at).is_ready());
        if !ready(self) {
            return Err(Error::new("the phones".to_owned(), "their addresses are in use"));
        }
        self.await_routers()?;
        for place in 0..self.stage.len() {
            self.stage.order(place, Phone::register);
            self.stage.run_for(Duration::from_millis(5));
        }
        self.await_that("the phones' registrations", READY_MAX, |town| {
            (0..town.stage.len()).all(|at| town.stage.core(at).registration_status() == 200)
        })?;
        if self.routers.is_empty() {
            return Ok(());
        }
        let pairs = self.pairs();
        self.await_that("the overlay", READY_MAX, |town| {
            let found =
                |home: usize, place| town.routers[home].finds(&town.stage.core(place).aor());
            let joined = |router: &Router| router.status().is_some_and(|it| it.peers() >= 2);
            town.routers[..2].iter().all(joined) && found(0, 2 * pairs - 1) && found(1, 0)
        })
    }

    /// Plays on until `condition` holds, asked again every 200 ms.
    pub(in crate::lab) fn await_that(
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
    pub(in crate::lab) fn check(&mut self) -> Result<(), Error> {
        self.interrupt.check()?;
        self.provider.check()?;
        self.routers.iter_mut().try_for_each(Router::check)
    }

    /// Lets the server fail.
    pub(in crate::lab) fn fail_server(&mut self, fault: Fault) -> Result<(), Error> {
        self.provider.fail(fault)
    }

    /// Lets the server go on, or start anew.
    pub(in crate::lab) fn recover_server(&mut self, fault: Fault) -> Result<(), Error> {
        self.provider.recover(fault, self.interrupt)?;
        self.await_server()
    }

    fn await_server(&mut self) -> Result<(), Error> {
        self.await_that("the server", READY_MAX, |town| town.provider.serves())
    }

    /// What every router has used, in their order.
    pub(in crate::lab) fn usage(&self) -> Vec<Usage> {
        self.routers.iter().map(Router::usage).collect()
    }

    /// What the server told so far.
    pub(in crate::lab) fn server_log(&self) -> Vec<String> {
        self.provider.log()
    }

    /// Writes each router's ladders beside its log, for who keeps the folder.
    pub(in crate::lab) fn keep_ladders(&self) {
        for router in self.routers.iter().filter(|_| self.options.keep) {
            let ladders = router.ask(&["trace"]).unwrap_or_default();
            let status = router.ask(&["status", "--json"]).unwrap_or_default();
            // An extra for the curious; nothing depends on it.
            let _ = fs::write(router.log_file().with_file_name("trace"), ladders);
            let _ = fs::write(router.log_file().with_file_name("status.json"), status);
        }
    }

    /// Prints the last lines of every log.
    pub(in crate::lab) fn show_logs(&self) {
        let logs = self.routers.iter().map(Router::log_file).chain([self.provider.log_file()]);
        for log in logs {
            let Ok(text) = fs::read_to_string(&log) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            eprintln!("-- {}", log.display());
            lines[lines.len().saturating_sub(8)..].iter().for_each(|line| eprintln!("   {line}"));
        }
    }
}

impl Drop for Town<'_> {
    fn drop(&mut self) {
        let routers = self.routers.iter_mut().rev().filter_map(Router::take);
        let mut processes: Vec<Process> = routers.collect();
        processes.extend(self.provider.take());
        Process::end_all(processes);
    }
}

/// The users of the phones behind a router.
fn users_of(router: u8, phones: u8) -> Vec<String> {
    let here = HOMES.into_iter().filter(|(_, home)| *home == router);
    here.flat_map(|(name, _)| (0..phones).map(move |number| user(name, number))).collect()
}

fn user(name: &str, number: u8) -> String {
    if number == 0 { name.to_owned() } else { format!("{name}{number}") }
}

fn settings(name: &str, addresses: Addresses, (home, number): (u8, u8), routers: bool) -> Settings {
    let host = addresses.phone(home, number);
    Settings {
        user: user(name, number),
        domain: DOMAIN.to_owned(),
        sip: (host, 5060).into(),
        media: (host, 4000).into(),
        proxy: if routers { addresses.proxy(home) } else { addresses.server() },
        relay: routers.then(|| addresses.lan(home)),
        password: None,
        ring: Duration::ZERO,
        expires: Duration::from_secs(3600),
        habits: Habits::default(),
    }
}
