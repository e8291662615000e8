//! The routers of the demo: a `cosip run` each.

use super::addresses::Addresses;
use super::process::Process;
use super::{Error, Options};
use crate::lab::hosts::Host;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    host: Host,
    cosip: PathBuf,
    folder: PathBuf,
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
        let text = configuration(number, addresses, &options.media, room);
        fs::write(folder.join("config"), text).map_err(failed)?;
        let secret = folder.join("network.key");
        // The secret of a network that lives a minute on one machine.
        fs::write(&secret, format!("{}\n", "5a".repeat(32))).map_err(failed)?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        let host = addresses.router_host(number);
        let other = options.second.as_ref().filter(|_| number == SECOND_ROUTER);
        let cosip = other.unwrap_or(&options.cosip).clone();
        Ok(Self { number, host, cosip, folder })
    }

    /// Starts the daemon.
    pub(super) fn start(&self) -> Result<Process, Error> {
        let mut command = Command::new(&self.cosip);
        command.arg("run").arg("-c").arg(self.folder.join("config"));
        command.arg("--state").arg(&self.folder).arg("--run").arg(&self.folder);
        let name = format!("router {}", self.number);
        self.host
            .run(|| Process::start(&name, &mut command, &self.log_file()))
            .map_err(|error| Error::new(format!("cannot start {name}"), error))?
    }

    /// Where the daemon's output goes.
    pub(in crate::lab) fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What a command of the daemon prints; None while it does not answer.
    pub(in crate::lab) fn ask(&self, words: &[&str]) -> Option<String> {
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
}

fn configuration(number: u8, addresses: Addresses, media: &str, room: Room) -> String {
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
         \toption intercept '0'\n\
         {size}\n\
         config provider 'lab'\n\
         \toption domain '{DOMAIN}'\n\
         \toption server 'sip:{server};transport=udp'\n\
         \toption overlay '1'\n\n\
         config overlay 'overlay'\n\
         \toption name '{DOMAIN}'\n\
         \toption secret_file 'network.key'\n\
         {overlay}\n\
         config media 'media'\n\
         \toption path '{media}'\n\
         {ports}"
    )
}
