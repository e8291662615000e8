//! The provider's program: arguments, and nothing else.

use cosip::driver::logger;
use cosip::server::ServerError;
use cosip::server::commands::{self, Said};
use cosip::server::run;
use lexopt::prelude::{Long, Short, Value};
use std::io::{self, Write as _};
use std::process::ExitCode;

const HELP: &str = "\
usage: cosip-server init --settings FILE [--secret FILE] [--offline FILE] [--database URL]
                         [--days N]
       cosip-server run [--metrics ADDRESS:PORT] [--challenges N] [--watch SECONDS]
       cosip-server status
       cosip-server delegate [--days N] [--new-key] [--anchor FILE]
       cosip-server issue --key HEX --aor sip:USER@DOMAIN [--aor ..] [--days N] [--second]
       cosip-server revoke SERIAL|--key HEX|--aor sip:USER@DOMAIN [--reason TEXT]
       cosip-server revocations [--anchor FILE] [--out FILE]
       cosip-server secret [--new [--days N]]
       cosip-server list [--all] [--key HEX] [--aor sip:USER@DOMAIN]
       cosip-server audit
       cosip-server export --out DIR

all take --dir DIR, the folder of the network (/var/lib/cosip-server); those that need the anchor
ask for its passphrase, or take --passphrase-file FILE; run and status take --run DIR, the folder
of the control socket (/run/cosip-server)

init         makes the network's anchor, an issuing key that it delegates to (--days, 90), secrets
             and database; FILE has the routers' settings; --secret: the network has one already;
             --offline: the anchor's key goes there, and you take it away; URL: sqlite:FILE or
             postgresql://USER@HOST/DATABASE
run          serves: adapters join the overlay through it and are certified; its own settings are
             in server.config of the folder; --challenges: to the SIP server, a second (50);
             --watch: a member is checked so often (3), 0 for none
status       what the running server does and knows, as JSON
delegate     has the anchor renew its delegation, --new-key to a new issuing key
issue        prints the certificate of a router (--days, 14): its adapter.crt; --second: another
             router of the same customer has the address, too
revoke       ends certificates before their time: run has routers told; by --key the router is not
             certified again
revocations  makes the signed list of those now, and has run spread it; a long one the anchor has to
             sign; --out: it goes into a file, too
secret       shows the network's secrets by their key ids; --new makes another one, which routers
             are brought with their next certificates and send from --days (15, the least) on
list         who is certified; --all: who was
audit        what was done, when and by whom
export       writes settings and secrets of routers, for make image-overlay
";

/// Wrong usage, as sysexits.h has it.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    logger::init(log::LevelFilter::Warn);
    match command() {
        Ok(said) => {
            // A reader that has gone has what it wanted.
            let _ = io::stdout().write_all(said.result.as_bytes());
            eprint!("{}", said.remark);
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cosip-server: {error}");
            match error {
                ServerError::Arguments(_) => USAGE.into(),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn command() -> Result<Said, ServerError> {
    let mut arguments = lexopt::Parser::from_env();
    match arguments.next()? {
        Some(Value(word)) if word == "init" => commands::init(&mut arguments),
        Some(Value(word)) if word == "run" => {
            logger::set_level(log::LevelFilter::Info);
            run::run(&mut arguments)
        }
        Some(Value(word)) if word == "status" => run::status(&mut arguments),
        Some(Value(word)) if word == "delegate" => commands::delegate(&mut arguments),
        Some(Value(word)) if word == "issue" => commands::issue(&mut arguments),
        Some(Value(word)) if word == "revoke" => commands::revoke(&mut arguments),
        Some(Value(word)) if word == "revocations" => commands::revocations(&mut arguments),
        Some(Value(word)) if word == "secret" => commands::secret(&mut arguments),
        Some(Value(word)) if word == "list" => commands::list(&mut arguments),
        Some(Value(word)) if word == "audit" => commands::audit(&mut arguments),
        Some(Value(word)) if word == "export" => commands::export(&mut arguments),
        Some(Short('h') | Long("help")) => Ok(Said { result: HELP.into(), ..Said::default() }),
        Some(Short('V') | Long("version")) => {
            let result = concat!("cosip-server ", env!("CARGO_PKG_VERSION"), "\n").into();
            Ok(Said { result, ..Said::default() })
        }
        Some(other) => Err(other.unexpected().into()),
        None => Err("which command?".into()),
    }
}
