//! The lab on the developer's machine: arguments, and nothing else.

use cosip::lab::bench::{self, Load};
use cosip::lab::demo::{self, Options, ServerKind};
use cosip::lab::dht_client;
use cosip::lab::hosts;
use cosip::lab::report::Fault;
use cosip::lab::server;
use lexopt::prelude::{Long, Short, Value, ValueExt};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// The series of the demo.
const FAULTS: [Fault; 2] = [Fault::Stopped, Fault::Killed];

const HELP: &str = "\
usage: cosip-lab demo [--server embedded|kamailio] [--series stopped|killed] [--media PATH]
                      [--out DIR] [--cosip FILE] [--keep]
       cosip-lab bench [--out DIR] [--cosip FILE] [--calls N] [--pairs N] [--seconds N] [--keep]
       cosip-lab server --listen ADDRESS:PORT [--password WORD]
       cosip-lab dht-client [--node] --listen ADDRESS:PORT [--bootstrap ADDRESS:PORT]
                            [--secret FILE]

demo        two homes, a provider's server that fails, calls that do not: writes summary.json
            and timeline.svg into DIR (target/demo); --media off shows that it can fail;
            --server kamailio needs root and Debian's kamailio and iproute2
bench       what two adapters cost a call, beside no adapter: writes calls.json into DIR
            (target/bench)
server      a SIP registrar and proxy on UDP; tells on stdout what it carries; with a
            password it challenges every user for that one
dht-client  a member of the overlay; without --node it reads `put KEY VALUE` and `get KEY`
";

fn main() -> ExitCode {
    match command() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cosip-lab: {error}");
            ExitCode::FAILURE
        }
    }
}

fn command() -> Result<ExitCode, Box<dyn Error>> {
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next()? {
        Some(Value(word)) if word == "demo" => run_demo(&mut arguments),
        Some(Value(word)) if word == "bench" => run_bench(&mut arguments),
        Some(Value(word)) if word == "server" => run_server(&mut arguments),
        Some(Value(word)) if word == "dht-client" => run_dht_client(&mut arguments),
        Some(Short('h') | Long("help")) => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => Err(other.unexpected().into()),
        None => Err(HELP.into()),
    }
}

fn options(out: &str) -> std::io::Result<Options> {
    let lab = std::env::current_exe()?;
    let cosip = lab.with_file_name("cosip");
    Ok(Options {
        out: PathBuf::from(out),
        cosip,
        lab,
        server: ServerKind::Embedded,
        media: "user".to_owned(),
        faults: Vec::from(FAULTS),
        keep: false,
    })
}

fn run_bench(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = options("target/bench")?;
    let mut load = Load { calls: 100, pairs: 10, talk: Duration::from_secs(10) };
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("out") => options.out = arguments.value()?.into(),
            Long("cosip") => options.cosip = arguments.value()?.into(),
            Long("calls") => load.calls = arguments.value()?.parse()?,
            Long("pairs") => load.pairs = arguments.value()?.parse::<u8>()?.clamp(1, 64),
            Long("seconds") => load.talk = Duration::from_secs(arguments.value()?.parse()?),
            Long("keep") => options.keep = true,
            other => return Err(other.unexpected().into()),
        }
    }
    print!("\n{}", bench::table(&bench::run(&options, load)?));
    Ok(ExitCode::SUCCESS)
}

fn run_demo(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = options("target/demo")?;
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("out") => options.out = arguments.value()?.into(),
            Long("cosip") => options.cosip = arguments.value()?.into(),
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
    print!("\n{}", summary.table());
    let faults = summary.faults();
    faults.iter().for_each(|fault| eprintln!("cosip-lab: {fault}"));
    println!("\nsummary.json and timeline.svg are in {}", options.out.display());
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run_server(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
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

fn run_dht_client(arguments: &mut lexopt::Parser) -> Result<ExitCode, Box<dyn Error>> {
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
