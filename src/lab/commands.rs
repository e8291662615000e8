//! The commands of `cosip-lab`, each with its arguments.

use super::bench::{self, Load, Part};
use super::demo::machine::{Image, Kind};
use super::demo::{self, Options, ServerKind};
use super::report::Fault;
use super::{dht_client, hosts, router_test, server, sim, soak, swarm};
use lexopt::prelude::{Long, ValueExt};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The series of the demo.
const FAULTS: [Fault; 2] = [Fault::Stopped, Fault::Killed];

fn options(out: &str) -> std::io::Result<Options> {
    let lab = std::env::current_exe()?;
    let cosip = lab.with_file_name("cosip");
    Ok(Options {
        out: PathBuf::from(out),
        cosip,
        second: None,
        lab,
        server: ServerKind::Embedded,
        media: "user".to_owned(),
        faults: Vec::from(FAULTS),
        keep: false,
        image: None,
    })
}

/// Tells figures and faults, and where the files are; fails where there are faults.
fn end(options: &Options, table: &str, faults: &[String], files: &str) -> ExitCode {
    print!("\n{table}");
    faults.iter().for_each(|fault| eprintln!("cosip-lab: {fault}"));
    println!("\n{files} in {}", options.out.display());
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// `bench`: measures, and fails where calls failed.
///
/// # Errors
/// What is wrong with the arguments; why it cannot run here.
pub fn bench(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = options("target/bench")?;
    let mut load = Load {
        calls: 100,
        phones: 32,
        pairs: 16,
        talk: Duration::from_secs(10),
        rounds: 3,
        members: 100,
        flood_per_s: 20_000,
    };
    let mut parts: Vec<Part> = Part::ALL.into_iter().map(|(_, part)| part).collect();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("out") => options.out = arguments.value()?.into(),
            Long("cosip") => options.cosip = arguments.value()?.into(),
            Long("calls") => load.calls = arguments.value()?.parse()?,
            Long("phones") => load.phones = arguments.value()?.parse::<u8>()?.clamp(1, 64),
            Long("pairs") => load.pairs = arguments.value()?.parse::<u8>()?.max(1),
            Long("rounds") => load.rounds = arguments.value()?.parse::<u8>()?.min(6),
            Long("members") => load.members = arguments.value()?.parse::<u8>()?.clamp(3, 250),
            Long("seconds") => load.talk = Duration::from_secs(arguments.value()?.parse()?),
            Long("flood") => load.flood_per_s = arguments.value()?.parse()?,
            Long("only") => {
                let names = arguments.value()?.string()?;
                parts = Part::parse(&names).ok_or("--only takes parts of the bench")?;
            }
            Long("second") => options.second = Some(arguments.value()?.into()),
            Long("keep") => options.keep = true,
            other => return Err(other.unexpected().into()),
        }
    }
    load.pairs = load.pairs.min(load.phones);
    let results = bench::run(&options, load, &parts)?;
    print!("\n{}", results.table());
    println!("\nsummary.json is in {}", options.out.display());
    Ok(if results.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The part of the bench that runs enclosed; its result goes to standard output.
///
/// # Errors
/// What is wrong with the arguments; why it cannot run here.
pub fn bench_renumber(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let (mut options, mut rounds) = (options("target/bench")?, 1);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("out") => options.out = arguments.value()?.into(),
            Long("cosip") => options.cosip = arguments.value()?.into(),
            Long("rounds") => rounds = arguments.value()?.parse()?,
            other => return Err(other.unexpected().into()),
        }
    }
    hosts::enclose(&[])?;
    println!("{}", bench::renumber::run(&options, rounds)?.json());
    Ok(ExitCode::SUCCESS)
}

/// `demo`: plays, and fails where a call was not as it should be.
///
/// # Errors
/// What is wrong with the arguments; why it cannot run here.
pub fn demo(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = options("target/demo")?;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("out") => options.out = arguments.value()?.into(),
            Long("cosip") => options.cosip = arguments.value()?.into(),
            Long("second") => options.second = Some(arguments.value()?.into()),
            Long("series") => {
                let name = arguments.value()?.string()?;
                options.faults = FAULTS.into_iter().filter(|fault| fault.name() == name).collect();
                if options.faults.is_empty() {
                    return Err("--series takes stopped or killed".into());
                }
            }
            Long("server") => {
                options.server = match arguments.value()?.string()?.as_str() {
                    "embedded" => ServerKind::Embedded,
                    "kamailio" => ServerKind::Kamailio,
                    _ => return Err("--server takes embedded or kamailio".into()),
                };
            }
            Long("media") => options.media = arguments.value()?.string()?,
            Long("keep") => options.keep = true,
            other => return Err(other.unexpected().into()),
        }
    }
    if options.server == ServerKind::Kamailio {
        hosts::enclose(&["kamailio"])?;
    }
    let summary = demo::run(&options)?;
    Ok(end(&options, &summary.table(), &summary.faults(), "summary.json and timeline.svg are"))
}

/// `soak`: plays, and fails where a call went wrong or a router grew.
///
/// # Errors
/// What is wrong with the arguments; why it cannot run here.
pub fn soak(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = options("target/soak")?;
    let (mut seconds, mut seed) = (3600u64, 1);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("out") => options.out = arguments.value()?.into(),
            Long("cosip") => options.cosip = arguments.value()?.into(),
            Long("seconds") => seconds = arguments.value()?.parse()?,
            Long("seed") => seed = arguments.value()?.parse()?,
            Long("keep") => options.keep = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let length = Duration::from_secs(seconds.clamp(60, 86_400));
    let results = soak::run(&options, soak::Load::of(length, seed))?;
    Ok(end(&options, &results.table(), &results.faults(), "summary.json is"))
}

/// `router-test`: plays, and fails where a call went wrong or a router needs too much.
///
/// # Errors
/// What is wrong with the arguments; why it cannot run here.
pub fn router_test(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = options("target/router-test")?;
    let (mut kind, mut folder) = (None, None);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("out") => options.out = arguments.value()?.into(),
            Long("cosip") => options.cosip = arguments.value()?.into(),
            Long("triple") => kind = Kind::of(&arguments.value()?.string()?),
            Long("machine") => folder = Some(PathBuf::from(arguments.value()?)),
            Long("keep") => options.keep = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let kind = kind.ok_or("router-test needs --triple, one that there is a machine for")?;
    let folder = folder.ok_or("router-test needs --machine FOLDER")?;
    options.image = Some(Image { kind, folder });
    hosts::enclose(&[kind.player()])?;
    let results = router_test::run(&options, kind)?;
    Ok(end(&options, &results.table(), &results.faults(), "summary.json is"))
}

/// `swarm`: plays, and fails where the simulator is wrong about real processes.
///
/// # Errors
/// What is wrong with the arguments; why it cannot run here.
pub fn swarm(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = options("target/swarm")?;
    let seconds = Duration::from_secs;
    // Who has started lately searches for holders again, the more seldom the longer ago that is:
    // after these five minutes nobody does while it is looked at what idle routers send.
    let size = swarm::Size { routers: 200, settle: seconds(300), idle: seconds(120), asks: 1000 };
    let mut load = swarm::Load { size, delay_ms: 20, seed: 1, beside: false };
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("out") => options.out = arguments.value()?.into(),
            Long("cosip") => options.cosip = arguments.value()?.into(),
            Long("processes") => {
                load.size.routers = arguments.value()?.parse::<u32>()?.clamp(8, 1000)
            }
            Long("delay-ms") => load.delay_ms = arguments.value()?.parse::<u64>()?.clamp(4, 1000),
            Long("settle") => load.size.settle = seconds(arguments.value()?.parse()?),
            Long("idle") => load.size.idle = seconds(arguments.value()?.parse::<u64>()?.max(1)),
            Long("beside") => {
                load.beside = match arguments.value()?.string()?.as_str() {
                    "opendht" => true,
                    _ => return Err("--beside takes opendht".into()),
                };
            }
            Long("asks") => load.size.asks = arguments.value()?.parse()?,
            Long("seed") => load.seed = arguments.value()?.parse()?,
            Long("keep") => options.keep = true,
            other => return Err(other.unexpected().into()),
        }
    }
    hosts::enclose(swarm::programs(&load))?;
    let results = swarm::run(&options, load)?;
    Ok(end(&options, &results.table(), &results.faults(), "summary.json is"))
}

/// `server`: serves for ever.
///
/// # Errors
/// What is wrong with the arguments; why it cannot run here.
pub fn server(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let mut listen: Option<SocketAddr> = None;
    let mut password = None;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("listen") => listen = Some(arguments.value()?.parse()?),
            Long("password") => password = Some(arguments.value()?.string()?),
            other => return Err(other.unexpected().into()),
        }
    }
    server::run(listen.ok_or("server needs --listen ADDRESS:PORT")?, password)?;
    Ok(ExitCode::SUCCESS)
}

/// `dht-client`: takes part in an overlay.
///
/// # Errors
/// What is wrong with the arguments; why it cannot run here.
pub fn dht_client(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let (mut listen, mut bootstrap, mut secret, mut node) = (None, None, None, false);
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("listen") => listen = Some(arguments.value()?.parse()?),
            Long("bootstrap") => bootstrap = Some(arguments.value()?.parse()?),
            Long("secret") => secret = Some(std::fs::read_to_string(arguments.value()?)?),
            Long("node") => node = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let listen = listen.ok_or("dht-client needs --listen ADDRESS:PORT")?;
    dht_client::run(&dht_client::Options { listen, bootstrap, secret, node })?;
    Ok(ExitCode::SUCCESS)
}

/// `sim`: simulates a network of routers, and fails where something was wrong.
///
/// # Errors
/// What is wrong with the arguments; why nothing can be written.
pub fn sim(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    // A whole run shows what each phase does to a network at rest; named ones follow one another.
    let mut options = sim::Options { fresh: true, ..sim::Options::default() };
    let mut sizes = vec![options.routers];
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("out") => options.out = arguments.value()?.into(),
            Long("routers") => {
                let words = arguments.value()?.string()?;
                let sizes_of = |word: &str| word.parse::<u32>().map(|size| size.max(16));
                sizes = words.split(',').map(sizes_of).collect::<Result<_, _>>()?;
            }
            Long("seed") => options.seed = arguments.value()?.parse()?,
            Long("scenario") => {
                let names = arguments.value()?.string()?;
                options.scenarios = sim::Scenario::parse(&names).ok_or("no such scenario")?;
                options.fresh = false;
            }
            Long("minutes") => options.minutes = Some(arguments.value()?.parse()?),
            Long("table-kb") => options.table_kb = arguments.value()?.parse()?,
            Long("threads") => options.threads = arguments.value()?.parse()?,
            Long("delay-ms") => {
                options.links = sim::Links::even_ms(arguments.value()?.parse()?);
            }
            Long("nets") => options.nets = Some(arguments.value()?.parse::<u32>()?.max(1)),
            Long("ipv6") => options.ipv6 = true,
            Long("stand-in") => options.stand_in = true,
            Long("certified") => options.certified = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let run = |routers| sim::run(&sim::Options { routers, ..options.clone() });
    let summaries: Vec<_> = sizes.into_iter().map(run).collect();
    sim::write(&summaries, &options.out)?;
    println!("summary.json and pictures are in {}", options.out.display());
    let faults: usize = summaries.iter().map(|summary| summary.faults().len()).sum();
    Ok(if faults == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
