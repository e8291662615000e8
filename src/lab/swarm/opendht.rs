//! OpenDHT put through the same, in the same network: Debian's `dhtnode`, as many of them, and
//! three nodes that take orders, by its Python binding.
//!
//! The nodes cannot be asked as daemons can, so one node puts every key, another gets what users
//! ask for, and a third gets everything once half have vanished. A node cannot bind to one address
//! either: nftables has each leave from an address of its own, by its port.

use super::figures::{Answers, Sent};
use super::memory::Memory;
use super::plan::{Ask, Plan, SEEDS, aors_of};
use super::wait_until;
use super::wire::Wire;
use crate::lab::demo::process::Process;
use crate::lab::demo::{Error, Interrupt};
use crate::lab::hosts;
use core::net::Ipv4Addr;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// The programs that it needs.
pub(super) const PROGRAMS: [&str; 2] = ["dhtnode", "nft"];
/// The network of its nodes.
pub(super) const NETWORK: &str = "12.0.0.0/8";
const PORT: u16 = 10_000;
/// Debian's own, which its modules are for.
const PYTHON: &str = "/usr/bin/python3";
const CLIENT: &str = include_str!("opendht.py");
/// The nodes that take orders.
const CLIENTS: u32 = 3;
const CLIENTS_JOIN: Duration = Duration::from_secs(10);
/// What has not been answered by then never is.
const ANSWER_MAX: Duration = Duration::from_secs(40);

/// What it showed.
#[derive(Clone, Debug, Default)]
pub(super) struct Beside {
    pub(super) memory: Memory,
    pub(super) idle: Sent,
    pub(super) put: Answers,
    pub(super) settled: Answers,
    pub(super) halved: Answers,
}

/// Plays the plan.
pub(super) fn play(
    plan: &Plan,
    wire: &Wire,
    folder: &Path,
    interrupt: &Interrupt,
) -> Result<Beside, Error> {
    let failed = |error: io::Error| Error::new("OpenDHT".to_owned(), error);
    let count = plan.size.routers;
    give_addresses(count + CLIENTS).map_err(failed)?;
    let wait = |interval: Duration| wait_until(Instant::now() + interval, interrupt);
    let mut nodes = BTreeMap::new();
    for number in 0..count {
        let start = || Process::start("dhtnode", &mut node(number), &folder.join("dhtnode.log"));
        nodes.insert(number, interrupt.unblocked(start)?);
        wait(plan.starts(1))?;
    }
    wait(plan.size.settle)?;
    let began = wire.count();
    wait(plan.size.idle)?;
    let idle = wire.count().since(&began);
    let memory: Vec<Memory> = nodes.values().map(|node| Memory::of(node.id())).collect();
    let mut clients = Vec::new();
    for number in count..count + CLIENTS {
        clients.push(interrupt.unblocked(|| Client::start(number)).map_err(failed)?);
    }
    wait(CLIENTS_JOIN)?;
    let keys: Vec<u32> = (0..count).flat_map(aors_of).collect();
    let mut orders: Vec<Order> = keys.iter().map(|key| Order::one_by_one("put", *key)).collect();
    let put = clients[0].carry_out(&orders, interrupt).map_err(failed)?;
    orders =
        plan.asks.iter().take(keys.len()).map(|ask| Order::one_by_one("get", ask.aor)).collect();
    let settled = clients[1].carry_out(&orders, interrupt).map_err(failed)?;
    for victim in &plan.victims {
        nodes.get(victim).into_iter().try_for_each(|node| node.signal(Signal::SIGKILL))?;
    }
    let from = plan.vanish_at();
    let paced = |ask: &Ask| Order { after: Some(ask.at - from), what: "get", key: ask.aor };
    orders = plan.again.iter().map(paced).collect();
    let halved = clients[2].carry_out(&orders, interrupt).map_err(failed)?;
    drop(clients);
    Process::end_all(nodes.into_values().collect());
    Ok(Beside { memory: Memory::mean(&memory), idle, put, settled, halved })
}

fn address(number: u32) -> Ipv4Addr {
    let [_, _, high, low] = (number % 64 + 1).to_be_bytes();
    Ipv4Addr::new(12, (number / 64) as u8, high, low)
}

fn port(number: u32) -> u16 {
    PORT + number as u16
}

fn node(number: u32) -> Command {
    let mut command = Command::new(hosts::find("dhtnode").unwrap_or_else(|| "dhtnode".into()));
    command.args(["-s", "-p", &port(number).to_string()]);
    if number > 0 {
        let seed = number % number.min(SEEDS);
        command.args(["-b", &format!("{}:{}", address(seed), port(seed))]);
    }
    command
}

/// Has what leaves from a node's port leave from the node's address.
fn give_addresses(count: u32) -> io::Result<()> {
    let of_ports: Vec<String> =
        (0..count).map(|number| format!("{} : {}", port(number), address(number))).collect();
    let rules = format!(
        "table ip nodes {{\n \
         map of_port {{ type inet_service : ipv4_addr; elements = {{ {} }} }}\n \
         chain out {{ type filter hook output priority 0; policy accept;\n  \
         ip daddr {NETWORK} ip saddr set udp sport map @of_port\n }}\n}}\n",
        of_ports.join(", ")
    );
    let program = hosts::find("nft").unwrap_or_else(|| "nft".into());
    let mut child = Command::new(program).args(["-f", "-"]).stdin(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(rules.as_bytes())?;
    }
    if child.wait()?.success() { Ok(()) } else { Err(io::Error::other("nft refuses the rules")) }
}

/// Something that a node is to do.
struct Order {
    /// After which time; None: when what was before it is done.
    after: Option<Duration>,
    what: &'static str,
    key: u32,
}

impl Order {
    fn one_by_one(what: &'static str, key: u32) -> Self {
        Self { after: None, what, key }
    }
}

/// A node that takes orders.
struct Client {
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Client {
    fn start(number: u32) -> io::Result<Self> {
        let mut child = Command::new(PYTHON)
            .args(["-c", CLIENT, &port(number).to_string()])
            .args([address(0).to_string(), port(0).to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("no pipes"));
        };
        Ok(Self { child, stdin, stdout })
    }

    fn carry_out(&mut self, orders: &[Order], interrupt: &Interrupt) -> io::Result<Answers> {
        let (began, mut answers) = (Instant::now(), Answers::default());
        let mut open: BTreeMap<usize, Instant> = BTreeMap::new();
        let (mut next, mut heard) = (0, Vec::new());
        while next < orders.len() || !open.is_empty() {
            interrupt.check().map_err(io::Error::other)?;
            while let Some(order) = orders.get(next)
                && order.after.map_or(open.is_empty(), |after| began.elapsed() >= after)
            {
                writeln!(self.stdin, "{} {next} key-{}", order.what, order.key)?;
                open.insert(next, Instant::now());
                next += 1;
            }
            self.hear(&mut heard)?;
            while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = heard.drain(..=end).collect();
                if let Some((tag, found)) = read(&String::from_utf8_lossy(&line))
                    && open.remove(&tag).is_some()
                {
                    take(&mut answers, &orders[tag], found);
                }
            }
            for (tag, _) in open.extract_if(.., |_, since| since.elapsed() > ANSWER_MAX) {
                take(&mut answers, &orders[tag], Err(0));
            }
        }
        Ok(answers)
    }

    /// Takes in what it says within a few milliseconds.
    fn hear(&mut self, heard: &mut Vec<u8>) -> io::Result<()> {
        let mut polled = [PollFd::new(self.stdout.as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, PollTimeout::from(5u8)).unwrap_or(0) > 0 {
            let mut bytes = [0; 4096];
            match self.stdout.read(&mut bytes)? {
                0 => return Err(io::Error::other("a node ended")),
                len => heard.extend(&bytes[..len]),
            }
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Failing means that it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a node says: the order's number, and how long it took to have it done, or to know that
/// there is nothing.
fn read(line: &str) -> Option<(usize, Result<u32, u32>)> {
    let mut words = line.split_whitespace();
    let (tag, result, micros) = (words.next()?, words.next()?, words.next()?.parse().ok()?);
    Some((tag.parse().ok()?, if result == "ok" { Ok(micros) } else { Err(micros) }))
}

fn take(answers: &mut Answers, order: &Order, found: Result<u32, u32>) {
    let is_there = order.what == "put" || order.key < crate::lab::sim::NOBODYS;
    let took_us = found.unwrap_or_else(|none| none);
    answers.take((is_there == found.is_ok(), found.ok()), took_us);
}
