//! The routers of the demo: a `cosip run` each, here or on a machine of its own.

use super::addresses::Addresses;
use super::machine::{Image, Machine};
use super::process::{Process, Usage};
use super::{Error, Interrupt, Options};
use crate::identity::certificate::{CERTIFIED_KEYS_MAX, text};
use crate::identity::network::SecretError;
use crate::identity::record::Key;
use crate::identity::{Identity, NetworkKeys};
use crate::lab::issuer::Issuer;
use core::fmt::Display;
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The domain that the provider of the demo serves.
pub(in crate::lab) const DOMAIN: &str = "lab.example";
/// Phones and calls that the defaults have room for.
const DEFAULT_PHONES: u8 = 32;
const DEFAULT_CALLS: u8 = 16;
/// The router that may run another program.
const SECOND_ROUTER: u8 = 2;
/// The router that the others join the overlay by.
const SEED_ROUTER: u8 = 3;

/// What a router has to have room for.
#[derive(Clone, Copy, Debug)]
pub(in crate::lab) struct Room {
    /// Phones in its home.
    pub(in crate::lab) phones: u8,
    /// Calls at a time.
    pub(in crate::lab) calls: u8,
}

/// A router of the demo.
pub(in crate::lab) struct Router {
    /// Its number, from 1.
    pub(in crate::lab) number: u8,
    addresses: Addresses,
    cosip: PathBuf,
    folder: PathBuf,
    /// The machine that it is to be, if it is one.
    image: Option<Image>,
    daemon: Daemon,
}

/// Where the daemon runs.
enum Daemon {
    /// Nowhere yet.
    Off,
    /// On this machine.
    Here(Process),
    /// On one of its own.
    Machine(Machine),
}

impl Router {
    /// Writes the configuration and the network's secret of a router.
    pub(in crate::lab) fn write(
        number: u8,
        addresses: Addresses,
        folder: &Path,
        options: &Options,
        room: Room,
    ) -> Result<Self, Error> {
        let folder = folder.join(format!("router-{number}"));
        let failed = |error| Error::new(format!("cannot write {}", folder.display()), error);
        fs::create_dir_all(&folder).map_err(failed)?;
        let text = configuration(number, addresses, options, room);
        fs::write(folder.join("config"), text).map_err(failed)?;
        let secret = folder.join("network.key");
        fs::write(&secret, secret_text()).map_err(failed)?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let other = options.second.as_ref().filter(|_| number == SECOND_ROUTER);
        let cosip = other.unwrap_or(&options.cosip).clone();
        let image = options.image_of(number).cloned();
        Ok(Self { number, addresses, cosip, folder, image, daemon: Daemon::Off })
    }

    /// Has the daemon ask for certificates, and gives it some for the addresses of its phones.
    pub(super) fn certify(&self, users: &[String]) -> Result<(), Error> {
        let failed = |error: &dyn Display| {
            Error::new(format!("cannot certify router {}", self.number), error)
        };
        let keys = network_keys().map_err(|error| failed(&error))?;
        let issuer = issuer(&keys)?;
        let identity = Identity::from_seed([self.number; 32]).map_err(|error| failed(&error))?;
        let of = |user: &String| Key::of(&keys.aor_key(&format!("{user}@{DOMAIN}")));
        let listed: Vec<Key> = users.iter().map(of).collect();
        // Who has no phones has a place all the same.
        let some = listed.chunks(CERTIFIED_KEYS_MAX).chain(listed.is_empty().then_some(&[][..]));
        let certificates: Vec<_> = (u64::from(self.number) << 8..)
            .zip(some)
            .map(|(serial, listed)| issuer.certify(serial, &identity, listed))
            .collect();
        let anchor: String = issuer.anchor().iter().map(|byte| format!("{byte:02x}")).collect();
        let write = || -> std::io::Result<()> {
            let key = self.folder.join("adapter.key");
            fs::write(&key, identity.to_text())?;
            fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
            fs::write(self.folder.join("adapter.crt"), text::write(&certificates))?;
            let mut config =
                fs::OpenOptions::new().append(true).open(self.folder.join("config"))?;
            writeln!(config, "\nconfig identity 'identity'\n\tlist trust_anchor '{anchor}'")
        };
        write().map_err(|error| failed(&error))
    }

    /// Starts the daemon, after its machine where it has one; tells the instant before.
    pub(super) fn start(&mut self, interrupt: &Interrupt) -> Result<Instant, Error> {
        let name = format!("router {}", self.number);
        let failed = |error| Error::new(format!("cannot start {name}"), error);
        if let Some(image) = &self.image {
            let place = (self.addresses, self.number);
            let machine = Machine::start(image, place, &self.log_file(), interrupt)?;
            machine.install(&self.folder).map_err(failed)?;
            let started = machine.start_daemon().map_err(failed)?;
            self.daemon = Daemon::Machine(machine);
            return Ok(started);
        }
        let mut command = Command::new(&self.cosip);
        command.arg("run").arg("-c").arg(self.folder.join("config"));
        command.arg("--state").arg(&self.folder).arg("--run").arg(&self.folder);
        let started = Instant::now();
        let start = || Process::start(&name, &mut command, &self.log_file());
        let host = self.addresses.router_host(self.number);
        let process = interrupt.unblocked(|| host.run(start)).map_err(failed)??;
        self.daemon = Daemon::Here(process);
        Ok(started)
    }

    /// Fails where the daemon, or its machine, has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Error> {
        match &mut self.daemon {
            Daemon::Off => Ok(()),
            Daemon::Here(process) => process.check(),
            Daemon::Machine(machine) => machine.check(),
        }
    }

    /// What the daemon has used so far.
    pub(super) fn usage(&self) -> Usage {
        match &self.daemon {
            Daemon::Off => Usage::default(),
            Daemon::Here(process) => process.usage(),
            Daemon::Machine(machine) => machine.usage(),
        }
    }

    /// Its machine, where it is one of its own and runs.
    pub(in crate::lab) fn machine(&self) -> Option<&Machine> {
        match &self.daemon {
            Daemon::Machine(machine) => Some(machine),
            Daemon::Off | Daemon::Here(_) => None,
        }
    }

    /// The process, to be ended with others.
    pub(super) fn take(&mut self) -> Option<Process> {
        match core::mem::replace(&mut self.daemon, Daemon::Off) {
            Daemon::Off => None,
            Daemon::Here(process) => Some(process),
            Daemon::Machine(machine) => Some(machine.into_process()),
        }
    }

    /// Where the daemon's output goes.
    pub(in crate::lab) fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What a command of the daemon prints; None while it does not answer.
    pub(in crate::lab) fn ask(&self, words: &[&str]) -> Option<String> {
        if let Some(machine) = self.machine() {
            return machine.ask(words);
        }
        let output = Command::new(&self.cosip)
            .args(words)
            .arg("--run")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whether the router finds this AOR in the overlay, published by another one.
    pub(in crate::lab) fn finds(&self, aor: &str) -> bool {
        let reply = self.ask(&["lookup", aor, "--json"]).unwrap_or_default();
        let reply: Value = serde_json::from_str(&reply).unwrap_or_default();
        let records = reply["records"].as_array();
        records.is_some_and(|records| records.iter().any(|record| record["here"] != true))
    }

    /// The ladder of the call that the router saw last.
    pub(in crate::lab) fn last_ladder(&self) -> String {
        let ladders = self.ask(&["trace"]).unwrap_or_default();
        ladders.trim_end().rsplit("\n\n").next().unwrap_or("").to_owned()
    }

    /// The daemon's status.
    pub(in crate::lab) fn status(&self) -> Option<Status> {
        Some(Status(serde_json::from_str(&self.ask(&["status", "--json"])?).ok()?))
    }
}

/// What `cosip status --json` told.
pub(in crate::lab) struct Status(Value);

impl Status {
    /// The verdict about the provider's server: up, suspect or down.
    pub(in crate::lab) fn server(&self) -> &str {
        self.0["servers"][0]["state"].as_str().unwrap_or("unknown")
    }

    /// How many members of the overlay the adapter knows.
    pub(in crate::lab) fn peers(&self) -> u64 {
        self.0["overlay"]["peers"].as_u64().unwrap_or(0)
    }

    /// What was counted under this name.
    pub(in crate::lab) fn counter(&self, name: &str) -> u64 {
        self.0["counters"][name].as_u64().unwrap_or(0)
    }

    /// How many calls there are.
    pub(in crate::lab) fn calls(&self) -> Option<usize> {
        self.0["calls"].as_array().map(Vec::len)
    }

    /// How phones are taken that know the server alone; None where they are not.
    pub(in crate::lab) fn interception(&self) -> Option<&str> {
        self.0["interception"]["method"].as_str()
    }
}

/// The secret of a network that lives a minute on one machine.
fn secret_text() -> String {
    format!("{}\n", "5a".repeat(32))
}

/// The keys of that network.
///
/// # Errors
/// None: the secret is one.
pub(in crate::lab) fn network_keys() -> Result<NetworkKeys, SecretError> {
    NetworkKeys::parse(&secret_text(), DOMAIN)
}

/// Who certifies its routers.
pub(in crate::lab) fn issuer(keys: &NetworkKeys) -> Result<Issuer, Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_s = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
    Issuer::new(keys, now_s, false)
        .ok_or_else(|| Error::new("cannot make a provider".to_owned(), "bad keys"))
}

/// The settings of a router. Its phones may call without a rest: that is what is measured.
fn configuration(number: u8, addresses: Addresses, options: &Options, room: Room) -> String {
    let media = &options.media;
    // On a host of this machine it takes root.
    let intercept = u8::from(options.image_of(number).is_some());
    let server = addresses.server();
    let networks = addresses.options(number);
    let overlay = addresses.overlay_options((number != SEED_ROUTER).then_some(SEED_ROUTER));
    let mut size = String::new();
    if room.phones > DEFAULT_PHONES {
        size += &format!("\toption max_phones '{}'\n", room.phones);
    }
    let mut ports = String::new();
    if room.calls > DEFAULT_CALLS {
        size += &format!("\toption max_calls '{}'\n", room.calls);
        ports += &format!("\toption port_max '{}'\n", 29_999 + 6 * u32::from(room.calls));
    }
    format!(
        "config adapter 'adapter'\n\
         \toption enabled '1'\n\
         \toption mode 'cooperative'\n\
         {networks}\
         \toption port_mapping '0'\n\
         \toption intercept '{intercept}'\n\
         {size}\n\
         config provider 'lab'\n\
         \toption domain '{DOMAIN}'\n\
         \toption server 'sip:{server};transport=udp'\n\
         \toption overlay '1'\n\n\
         config overlay 'overlay'\n\
         \toption name '{DOMAIN}'\n\
         \toption secret_file 'network.key'\n\
         {overlay}\n\
         config identity 'identity'\n\
         \toption adapter_calls_per_hour '0'\n\
         \toption caller_calls_per_hour '0'\n\n\
         config media 'media'\n\
         \toption path '{media}'\n\
         {ports}"
    )
}
