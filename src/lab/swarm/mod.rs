//! The swarm: hundreds of real daemons on this machine beside the simulator, both put through the
//! same, to see whether the simulator tells the truth.
//!
//! Each router is a `cosip run` with settings, addresses and phones of its own. They all live in
//! one network namespace, and every packet between them takes its time over a `wire`. Users ask
//! by the daemons' control sockets. What the simulator plays is [`crate::lab::sim`]'s rehearsal of
//! the same `plan`. Limits: root, Linux, IPv4; everything ends with the program.

mod asking;
pub(in crate::lab) mod figures;
mod member;
mod memory;
mod opendht;
pub(in crate::lab) mod plan;
mod puts;
mod report;
#[cfg(test)]
mod tests;
mod wire;

pub use plan::Size;
pub use report::Results;

use super::demo::process::Process;
use super::demo::{Error, Interrupt, Options, Scratch};
use super::sim::rehearse;
use asking::{Asked, ask_all};
use figures::{Answers, Figures};
use member::{Member, NETWORK};
use memory::Memory;
use nix::poll::poll;
use nix::sys::signal::Signal;
use plan::Plan;
use puts::Putter;
use std::time::{Duration, Instant};
use wire::Wire;

/// What a swarm is to be.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How large, and how long.
    pub size: Size,
    /// How long a packet takes from one router to another, in milliseconds.
    pub delay_ms: u64,
    /// What decides the plan, and the simulation.
    pub seed: u64,
    /// Whether OpenDHT is put through the same.
    pub beside: bool,
}

/// What only real processes have.
#[derive(Clone, Debug, Default)]
pub(in crate::lab) struct Costs {
    /// Of a process, on average, when it has been idle.
    memory: Memory,
    /// Milliseconds of the processor that an idle one takes each second.
    idle_cpu_ms_per_s: f64,
    /// What the busiest one sent and received each second.
    busiest_bytes_per_s: f64,
    /// From a command to its answer, look-up included.
    commands_us: Vec<u32>,
    /// Keys that one member more put, one after another.
    puts: Answers,
    /// Packets that the wire had no room for.
    lost: u64,
}

/// Plays a swarm, simulated and real, and writes `summary.json`.
///
/// # Errors
/// [`Error`] where something cannot be set up.
pub fn run(options: &Options, load: Load) -> Result<Results, Error> {
    let scratch = Scratch::make(options)?;
    let interrupt = Interrupt::new()?;
    let plan = Plan::new(load.size, load.seed);
    println!("{} routers, {} ms one way, simulated ...", load.size.routers, load.delay_ms);
    let simulated = rehearse(&plan, load.delay_ms, load.seed);
    println!("{}", report::line(&simulated, load.size.routers));
    println!("the same as processes, {} s ...", plan.ends().as_secs());
    let failed = |error| Error::new("the wire between the routers".to_owned(), error);
    let delay = Duration::from_millis(load.delay_ms);
    let wire = Wire::new(delay, &[NETWORK, opendht::NETWORK]).map_err(failed)?;
    let played = over(&wire, || {
        let swarm = Swarm::new(&plan, &wire, &interrupt);
        let (real, costs) = swarm.play(options, scratch.path())?;
        let beside = if load.beside {
            println!("OpenDHT, put through the same ...");
            Some(opendht::play(&plan, &wire, scratch.path(), &interrupt)?)
        } else {
            None
        };
        Ok::<_, Error>(Results { load, simulated, real, costs, beside })
    });
    let results = played.map_err(failed)??;
    options.write("summary.json", &results.json())?;
    Ok(results)
}

/// Does something while the wire carries.
fn over<T>(wire: &Wire, play: impl FnOnce() -> T) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let carrying = scope.spawn(|| wire.carry());
        let ending = Ending(wire);
        let played = play();
        drop(ending);
        let carried = carrying.join().unwrap_or_else(|_| Err(std::io::Error::other("it ended")));
        carried.map(|()| played)
    })
}

/// Ends the wire even where what it is for fails: its thread would be waited for for ever.
struct Ending<'w>(&'w Wire);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Real processes on their way through a plan.
struct Swarm<'p> {
    plan: &'p Plan,
    wire: &'p Wire,
    interrupt: &'p Interrupt,
    began: Instant,
    /// Those that live, by rising number.
    members: Vec<Member>,
}

impl<'p> Swarm<'p> {
    fn new(plan: &'p Plan, wire: &'p Wire, interrupt: &'p Interrupt) -> Self {
        Self { plan, wire, interrupt, began: Instant::now(), members: Vec::new() }
    }

    fn play(
        mut self,
        options: &Options,
        folder: &std::path::Path,
    ) -> Result<(Figures, Costs), Error> {
        let (plan, nothing) = (self.plan, self.wire.count());
        for number in 0..plan.size.routers {
            self.wait_until(plan.starts(number))?;
            let start = || Member::start(&options.cosip, folder, number);
            self.members.push(self.interrupt.unblocked(start)?);
        }
        for number in 0..plan.size.routers {
            self.wait_until(plan.registers(number))?;
            self.members[number as usize].register()?;
        }
        self.wait_until(plan.idle_from())?;
        let (began, cpu) = (self.wire.count(), self.cpu());
        self.wait_until(plan.idle_until())?;
        let (idled, cpu) = (self.wire.count(), self.cpu().saturating_sub(cpu));
        let memory: Vec<Memory> = self.members.iter().map(Member::memory).collect();
        let since = Instant::now();
        let secret = self.members[0].secret();
        let mut putter = Putter::join(plan.size.routers, &secret, self.interrupt)?;
        let puts = putter.put_all(self.interrupt)?;
        // The plan goes on where it was left.
        self.began += since.elapsed();
        let idled_and_put = self.wire.count();
        let Asked { answers: settled, commands_us } = self.ask(&plan.asks)?;
        self.wait_until(plan.vanish_at())?;
        let asked = self.wire.count();
        let counters = report::counters(self.members.iter().map(Member::status));
        self.vanish()?;
        let halved = self.ask(&plan.again)?.answers;
        let lost = self.wire.count().lost;
        let (joining, idle) = (began.since(&nothing), idled.since(&began));
        let costs = Costs {
            memory: Memory::mean(&memory),
            idle_cpu_ms_per_s: cpu.as_secs_f64() * 1000.0
                / idle.seconds
                / f64::from(plan.size.routers),
            busiest_bytes_per_s: idled.busiest_bytes_per_s(&began),
            commands_us,
            puts,
            lost,
        };
        let asking = asked.since(&idled_and_put);
        Process::end_all(self.members.into_iter().map(Member::into_process).collect());
        Ok((Figures { joining, idle, asking, settled, halved, counters }, costs))
    }

    fn ask(&self, asks: &[plan::Ask]) -> Result<Asked, Error> {
        ask_all(&self.members, asks, self.began, self.interrupt)
    }

    /// Half of them vanish at once, as in a power cut.
    fn vanish(&mut self) -> Result<(), Error> {
        let victims = &self.plan.victims;
        let (dying, living): (Vec<_>, Vec<_>) =
            self.members.drain(..).partition(|member| victims.contains(&member.number));
        self.members = living;
        let dying: Vec<Process> = dying.into_iter().map(Member::into_process).collect();
        dying.iter().try_for_each(|process| process.signal(Signal::SIGKILL))
    }

    fn cpu(&self) -> Duration {
        self.members.iter().map(|member| member.usage().cpu).sum()
    }

    /// Waits until it is so late since the beginning.
    fn wait_until(&self, at: Duration) -> Result<(), Error> {
        wait_until(self.began + at, self.interrupt)
    }
}

/// Does nothing for a while, unless a signal asks to stop.
fn wait_until(end: Instant, interrupt: &Interrupt) -> Result<(), Error> {
    loop {
        interrupt.check()?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        // Sleeps, with nothing to wait for.
        let _ = poll(&mut [], left.as_millis().clamp(1, 50) as u8);
    }
}

/// The programs that a swarm needs beside the daemon.
pub fn programs(load: &Load) -> &'static [&'static str] {
    if load.beside { &opendht::PROGRAMS } else { &[] }
}
