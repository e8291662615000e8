//! The soak: an hour as a provider's customers have it, on real routers.
//!
//! Phones behind two routers call each other, once a second: calls that are answered, refused,
//! given up, and to phones that are gone. Phones leave and come back, the server stalls and dies
//! again and again. Each call is judged by what its two phones saw, and the routers by their
//! memory, which may not grow once they have seen everything once.

mod calls;
mod memory;
mod report;
#[cfg(test)]
mod tests;

use super::demo::addresses::Addresses;
use super::demo::router::Room;
use super::demo::town::{Size, Town};
use super::demo::{Error, Interrupt, Options, Scratch};
use super::phone::Phone;
use super::report::Fault;
use crate::rng::Rng;
use crate::time::{Duration, Instant};
use calls::{Calls, Home};
use memory::Memory;
pub use report::Results;
use std::fs;
use std::path::{Path, PathBuf};

/// Of how many wrong calls the ladders are kept.
const LADDERS_MAX: usize = 10;
/// How often something is begun, looked at and ended.
const STEP: Duration = Duration::from_millis(20);
/// How often processes and their memory are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the run tells how it goes.
const TELL: Duration = Duration::from_secs(60);
/// How long calls that still run at the end may take to end.
const LAST_CALLS: Duration = Duration::from_secs(40);
/// How long a phone that has come back is left alone, until others can know.
const SETTLE: Duration = Duration::from_secs(3);

/// What the town is put through.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// For how long.
    pub length: Duration,
    /// After which time the routers' memory has to be what it is.
    pub warm_up: Duration,
    /// Phones in each of the two homes.
    pub phones: u8,
    /// Time between two calls.
    pub call_every: Duration,
    /// Time between two phones that leave or come back.
    pub move_every: Duration,
    /// Time between two deaths of the server.
    pub fail_every: Duration,
    /// How long it is dead.
    pub fail_for: Duration,
    /// Where the dice begin.
    pub seed: u64,
}

impl Load {
    /// A load of this length: the server dies twelve times in it, and is dead for a fifth.
    pub fn of(length: Duration, seed: u64) -> Self {
        Self {
            length,
            warm_up: length / 4,
            phones: 12,
            call_every: Duration::from_secs(1),
            move_every: Duration::from_secs(5),
            fail_every: length / 12,
            fail_for: length / 60,
            seed,
        }
    }
}

/// Plays the load and writes `summary.json`.
///
/// # Errors
/// [`Error`] where something cannot be set up, or a router ended.
pub fn run(options: &Options, load: Load) -> Result<Results, Error> {
    let scratch = Scratch::make(options)?;
    let interrupt = Interrupt::new()?;
    let addresses = Addresses::find(std::process::id())?;
    let room = Room { phones: load.phones, calls: load.phones };
    let size = Size { room, routers: true, certified: false };
    let mut town = Town::build(addresses, scratch.path(), options, &interrupt, size)?;
    for number in 1..=LADDERS_MAX {
        // What an earlier run kept; mostly there is none.
        let _ = fs::remove_file(ladders_file(&options.out, number));
    }
    let played = Soak::new(&mut town, load, &options.out).play();
    if played.is_err() {
        town.show_logs();
    }
    town.keep_ladders();
    let results = played?;
    options.write("summary.json", &results.json())?;
    Ok(results)
}

/// A run on its way.
struct Soak<'t, 'o> {
    town: &'t mut Town<'o>,
    load: Load,
    rng: Rng,
    calls: Calls,
    memory: Memory,
    began: Instant,
    next: Next,
    deaths: u32,
    moves: u32,
    /// How many calls are known to have gone wrong.
    wrong: usize,
    out: PathBuf,
}

/// When what is due next.
struct Next {
    call: Instant,
    phone: Instant,
    look: Instant,
    tell: Instant,
    fail: Instant,
    recover: Option<(Instant, Fault)>,
}

impl<'t, 'o> Soak<'t, 'o> {
    fn new(town: &'t mut Town<'o>, load: Load, out: &Path) -> Self {
        let now = town.stage.now();
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&load.seed.to_le_bytes());
        Self {
            calls: Calls::new(town.stage.len()),
            rng: Rng::new(seed),
            memory: Memory::new(town.routers.len()),
            began: now,
            next: Next { call: now, phone: now, look: now, tell: now, fail: now, recover: None },
            deaths: 0,
            moves: 0,
            wrong: 0,
            out: out.to_owned(),
            load,
            town,
        }
    }

    fn play(mut self) -> Result<Results, Error> {
        self.town.get_ready()?;
        self.begin();
        while self.elapsed() < self.load.length {
            self.town.stage.run_for(STEP);
            self.step()?;
        }
        if let Some((_, fault)) = self.next.recover.take() {
            self.town.recover_server(fault)?;
        }
        let end = self.town.stage.now() + LAST_CALLS;
        while self.calls.are_open() && self.town.stage.now() < end {
            self.town.stage.run_for(STEP);
            self.calls.advance(&mut self.town.stage);
        }
        self.calls.give_up(&self.town.stage);
        Ok(Results {
            load: self.load,
            calls: self.calls.finished(),
            faults: self.calls.faults(&self.town.stage),
            memory: self.memory.growth(self.load.warm_up),
            deaths: self.deaths,
            moves: self.moves,
        })
    }

    fn begin(&mut self) {
        let now = self.town.stage.now();
        self.began = now;
        self.next.call = now;
        self.next.phone = now + self.load.move_every;
        self.next.tell = now + TELL;
        self.next.fail = now + self.load.fail_every / 2;
    }

    fn elapsed(&self) -> Duration {
        self.town.stage.now().since(self.began)
    }

    fn step(&mut self) -> Result<(), Error> {
        let now = self.town.stage.now();
        self.calls.advance(&mut self.town.stage);
        self.keep_ladders_of_wrong_calls();
        if now >= self.next.call {
            self.next.call += self.load.call_every;
            self.calls.begin(&mut self.town.stage, &mut self.rng);
        }
        if now >= self.next.phone {
            self.next.phone += self.load.move_every;
            self.move_a_phone();
        }
        if now >= self.next.look {
            self.next.look += LOOK;
            self.town.check()?;
            let usage = self.town.usage().into_iter();
            self.memory.note(self.elapsed(), usage.map(|it| it.memory_kb).collect());
        }
        if now >= self.next.tell {
            self.next.tell += TELL;
            let (calls, wrong) = self.calls.count();
            let (minutes, kb) = (self.elapsed().as_secs() / 60, self.memory.newest());
            println!("{minutes:>4} min  {calls:>5} calls  {wrong:>3} wrong  routers {kb:?} kB");
        }
        self.let_the_server_live_or_die(now)
    }

    fn let_the_server_live_or_die(&mut self, now: Instant) -> Result<(), Error> {
        if let Some((_, fault)) = self.next.recover.take_if(|(at, _)| now >= *at) {
            return self.town.recover_server(fault);
        }
        if now >= self.next.fail {
            self.next.fail += self.load.fail_every;
            let fault = if self.deaths.is_multiple_of(2) { Fault::Stopped } else { Fault::Killed };
            self.deaths += 1;
            self.next.recover = Some((now + self.load.fail_for, fault));
            self.town.fail_server(fault)?;
        }
        Ok(())
    }

    /// Keeps what the routers saw of a call that just went wrong, beside the summary.
    fn keep_ladders_of_wrong_calls(&mut self) {
        let (_, wrong) = self.calls.count();
        let Some((caller, callee)) = self.calls.wrong_after(self.wrong) else { return };
        self.wrong = wrong;
        if wrong > LADDERS_MAX {
            return;
        }
        let aor = |place| self.town.stage.core(place).aor();
        let title = format!("{} calls {}", aor(caller), aor(callee));
        let mut text = String::new();
        for router in &self.town.routers {
            let ladders = router.ask(&["trace"]).unwrap_or_default();
            let of_call = ladders.split("\n\n").filter(|it| it.trim_start().starts_with(&title));
            of_call.for_each(|it| text += &format!("router {}\n{it}\n\n", router.number));
        }
        // An extra for the curious; nothing depends on it.
        let _ = fs::write(ladders_file(&self.out, wrong), text);
    }

    /// A phone leaves, or the one that left comes back.
    fn move_a_phone(&mut self) {
        let now = self.town.stage.now();
        let moved = match self.calls.left() {
            Some(place) => Some((place, Home::Here(now + SETTLE))),
            None => self.calls.idle(&self.town.stage, &mut self.rng).map(|at| (at, Home::Left)),
        };
        let Some((place, home)) = moved else { return };
        let order = if home == Home::Left { Phone::sign_off } else { Phone::register };
        self.town.stage.order(place, order);
        self.calls.homes[place] = home;
        self.moves += 1;
    }
}

fn ladders_file(out: &Path, number: usize) -> PathBuf {
    out.join(format!("wrong-{number}.txt"))
}
