//! The command line: which words mean what. Reads arguments only, does nothing.

use lexopt::prelude::*;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// What `cosip --help` prints.
pub const HELP: &str = "\
Phone service that keeps working when the provider's SIP server does not.

Usage: cosip COMMAND [OPTIONS]

  run            serve the phones of this router (in the foreground)
  check          check the settings: exit status 78 where they cannot be used
  status         what the running daemon does and knows
  phones         the phones that are registered
  calls          the calls that are running
  peers          the adapters that the overlay knows
  lookup AOR     look a SIP address up in the overlay
  trace          the last calls, message by message
  rpcd           the plugin behind LuCI: list, or call METHOD

Options:
  -c FILE        settings                        [default: /etc/config/cosip]
  --state DIR    keys and what survives a reboot [default: /etc/cosip]
  --run DIR      control socket, volatile state  [default: /var/run/cosip]
  --user NAME    run: give up root for this user, but for CAP_NET_ADMIN
  --service FILE rpcd: the init script           [default: /etc/init.d/cosip]
  --schema       check: print every option, its range and default as JSON
  --json         status, phones, calls, peers, lookup, trace: print JSON
  -h, --help     print this
  -V, --version  print the version
";

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Serve.
    Run {
        /// The user to become.
        user: Option<String>,
    },
    /// Check the settings.
    Check,
    /// Print the schema of the settings.
    Schema,
    /// Ask the daemon.
    Ask {
        /// The words for the control socket.
        words: Vec<String>,
        /// Print the reply as it is.
        json: bool,
    },
    /// Speak to rpcd.
    Rpcd {
        /// What rpcd wants.
        words: Vec<String>,
        /// The init script.
        service: PathBuf,
    },
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// A command line that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invocation {
    /// What is to be done.
    pub action: Action,
    /// The settings file.
    pub settings: PathBuf,
    /// The folder of lasting state, where one is named.
    pub state: Option<PathBuf>,
    /// The folder of volatile state, where one is named.
    pub run: Option<PathBuf>,
}

/// Why a command line was not understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misuse(String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; see cosip --help", self.0)
    }
}

impl std::error::Error for Misuse {}

impl From<lexopt::Error> for Misuse {
    fn from(error: lexopt::Error) -> Self {
        Self(error.to_string())
    }
}

/// The options that were given.
#[derive(Default)]
struct Given {
    settings: Option<PathBuf>,
    state: Option<PathBuf>,
    run: Option<PathBuf>,
    user: Option<String>,
    service: Option<PathBuf>,
    schema: bool,
    json: bool,
}

/// Reads the arguments after the program's name.
///
/// # Errors
/// An unknown command or option, a missing value, an option that the command does not take.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Invocation, Misuse> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut words: Vec<String> = Vec::new();
    let mut given = Given::default();
    let mut shortcut = None;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('c') | Long("config") => given.settings = Some(parser.value()?.into()),
            Long("state") => given.state = Some(parser.value()?.into()),
            Long("run") => given.run = Some(parser.value()?.into()),
            Long("user") => given.user = Some(parser.value()?.string()?),
            Long("service") => given.service = Some(parser.value()?.into()),
            Long("schema") => given.schema = true,
            Long("json") => given.json = true,
            Short('h') | Long("help") => shortcut = Some(Action::Help),
            Short('V') | Long("version") => shortcut = Some(Action::Version),
            Value(word) => words.push(word.string()?),
            _ => return Err(argument.unexpected().into()),
        }
    }
    let action = match shortcut {
        Some(action) => action,
        None => action(&words, &given)?,
    };
    let Given { settings, state, run, .. } = given;
    let settings = settings.unwrap_or_else(|| "/etc/config/cosip".into());
    Ok(Invocation { action, settings, state, run })
}

fn action(words: &[String], given: &Given) -> Result<Action, Misuse> {
    let texts: Vec<&str> = words.iter().map(String::as_str).collect();
    let action = match texts.as_slice() {
        ["run"] => Action::Run { user: given.user.clone() },
        ["check"] if given.schema => Action::Schema,
        ["check"] => Action::Check,
        ["trace"] if given.json => {
            let words = ["trace", "json"].map(str::to_owned).to_vec();
            Action::Ask { words, json: true }
        }
        ["status" | "phones" | "calls" | "peers" | "trace"] | ["lookup", _] => {
            Action::Ask { words: words.to_vec(), json: given.json }
        }
        ["lookup"] => return Err(Misuse("lookup needs a SIP address".into())),
        ["rpcd", rest @ ..] if !rest.is_empty() => {
            let service = given.service.clone().unwrap_or_else(|| "/etc/init.d/cosip".into());
            Action::Rpcd { words: words.get(1..).unwrap_or_default().to_vec(), service }
        }
        ["help"] => Action::Help,
        [] => return Err(Misuse("a command is missing".into())),
        [first, ..] if is_command(first) => {
            return Err(Misuse(format!("too many words after {first:?}")));
        }
        [first, ..] => return Err(Misuse(format!("unknown command {first:?}"))),
    };
    let misplaced = [
        ("--user", given.user.is_some(), matches!(action, Action::Run { .. })),
        ("--schema", given.schema, action == Action::Schema),
        ("--service", given.service.is_some(), matches!(action, Action::Rpcd { .. })),
        ("--json", given.json, matches!(action, Action::Ask { .. })),
    ];
    match misplaced.iter().find(|(_, is_given, fits)| *is_given && !fits) {
        Some((option, ..)) => Err(Misuse(format!("{option} does not go with this command"))),
        None => Ok(action),
    }
}

/// Whether the help names this command.
fn is_command(word: &str) -> bool {
    HELP.lines()
        .any(|line| line.strip_prefix("  ").and_then(|it| it.split(' ').next()) == Some(word))
}
