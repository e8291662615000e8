//! The lab on the developer's machine: arguments, and nothing else.

use cosip::lab::bench::renumber;
use cosip::lab::commands;
use lexopt::prelude::{Long, Short, Value};
use std::error::Error;
use std::process::ExitCode;

/// Simulated routers that boot anew get memory of those that are gone: here it is of the same kind,
/// or has been given back meanwhile, where another allocator touches anew what tables reserve.
/// Tables begin where a page does (`disable_cache_oblivious`): hardly used ones touch one page, not
/// two. What is freed is given back at once (`.cargo/config.toml`).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const HELP: &str = "\
usage: cosip-lab demo [--server embedded|kamailio] [--series stopped|killed] [--media PATH]
                      [--out DIR] [--cosip FILE] [--second FILE] [--keep]
       cosip-lab bench [--only PART,..] [--phones N] [--pairs N] [--calls N] [--seconds N]
                       [--rounds N] [--members N] [--flood N] [--out DIR] [--cosip FILE]
                       [--second FILE] [--keep]
       cosip-lab soak [--seconds N] [--seed N] [--out DIR] [--cosip FILE] [--keep]
       cosip-lab router-test --triple TRIPLE --machine DIR [--out DIR] [--cosip FILE] [--keep]
       cosip-lab sim [--routers N] [--seed N] [--scenario NAME] [--minutes N] [--table-kb N]
                     [--threads N] [--delay-ms N] [--nets N] [--ipv6] [--out DIR]
       cosip-lab swarm [--processes N] [--delay-ms N] [--settle SECONDS] [--idle SECONDS]
                       [--asks N] [--seed N] [--beside opendht] [--out DIR] [--cosip FILE]
                       [--keep]
       cosip-lab server --listen ADDRESS:PORT [--password WORD]
       cosip-lab dht-client [--node] --listen ADDRESS:PORT [--bootstrap ADDRESS:PORT]
                            [--secret FILE]

demo        two homes, a provider's server that fails, calls that do not: writes summary.json
            and timeline.svg into DIR (target/demo); --media off shows that it can fail;
            --server kamailio needs root and Debian's kamailio and iproute2; --second has the
            second router run another program than the others
bench       what adapters cost a call beside no adapter, and what they save when the server
            fails or an address changes; what floods, puts and certificates cost calls: calls,
            failures, renumber, lookups, setups, floods, puts, desk; --flood says how many
            datagrams come a second; writes summary.json into DIR (target/bench)
soak        an hour of calls a second, of phones that leave and come back, and of a server that
            dies: no call may go wrong and no router may grow; writes summary.json into DIR
            (target/soak)
router-test a router of another processor, a machine that qemu plays: its calls while the server
            dies, its memory, its start; needs root and what cross/machine made in DIR
sim         thousands of routers over virtual time, by one seed: steady, renumber, restart,
            partition, hostile, half-lost, liars and others; writes summary.json and pictures
            into DIR (target/sim); --delay-ms has all packets take so long, and arrive; --nets has
            all be in so many /24s; --ipv6 has routers speak that alone (but for clients, families,
            growth)
swarm       hundreds of real routers on this machine, packets between them delayed, and the same
            simulated: look-ups, traffic, memory, and look-ups when half are killed; fails where
            the two are more than a fifth apart; --beside opendht puts Debian's OpenDHT through
            the same; writes summary.json into DIR (target/swarm);
            needs root
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
        Some(Value(word)) if word == "demo" => commands::demo(&mut arguments),
        Some(Value(word)) if word == "bench" => commands::bench(&mut arguments),
        Some(Value(word)) if word == renumber::COMMAND => commands::bench_renumber(&mut arguments),
        Some(Value(word)) if word == "soak" => commands::soak(&mut arguments),
        Some(Value(word)) if word == "router-test" => commands::router_test(&mut arguments),
        Some(Value(word)) if word == "sim" => commands::sim(&mut arguments),
        Some(Value(word)) if word == "swarm" => commands::swarm(&mut arguments),
        Some(Value(word)) if word == "server" => commands::server(&mut arguments),
        Some(Value(word)) if word == "dht-client" => commands::dht_client(&mut arguments),
        Some(Short('h') | Long("help")) => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        Some(other) => Err(other.unexpected().into()),
        None => Err(HELP.into()),
    }
}
