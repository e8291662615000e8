//! One router of a swarm: a real daemon with a folder and addresses of its own.

use super::memory::Memory;
use super::plan::{SEEDS, aors_of};
use crate::control::encode;
use crate::driver::{Folders, ask};
use crate::lab::demo::Error;
use crate::lab::demo::process::{Process, Usage};
use crate::lab::dht_client::LAB_NETWORK;
use crate::lab::phone::{Habits, Phone, Settings};
use crate::lab::sim::{AORS, NOBODYS};
use crate::lab::stage::Stage;
use crate::time::Duration;
use core::net::{IpAddr, Ipv4Addr};
use serde_json::Value;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The network that the routers' far sides are in; a /16 for each 64, as the simulator has it.
pub(super) const NETWORK: &str = "11.0.0.0/8";
pub(super) const OVERLAY_PORT: u16 = 5070;
const SIP_PORT: u16 = 5060;
const WAN_SIP_PORT: u16 = 5062;
const DOMAIN: &str = "swarm.example";
const PASSWORD: &str = "rings";
const SECRET: &str = "network.key";
/// No phone has to register again while the swarm lives.
const EXPIRES: Duration = Duration::from_secs(3600);
const REGISTERED_MAX: Duration = Duration::from_secs(5);

/// A router.
pub(super) struct Member {
    pub(super) number: u32,
    folders: Folders,
    process: Process,
}

impl Member {
    /// Writes its settings into a folder below `folder`, and starts the daemon.
    pub(super) fn start(cosip: &Path, folder: &Path, number: u32) -> Result<Self, Error> {
        let folder = folder.join(format!("router-{number}"));
        let failed = |error| Error::new(format!("cannot write {}", folder.display()), error);
        write(&folder, number).map_err(failed)?;
        let mut command = Command::new(cosip);
        command.arg("run").arg("-c").arg(folder.join("config"));
        command.arg("--state").arg(&folder).arg("--run").arg(&folder);
        let process =
            Process::start(&format!("router {number}"), &mut command, &folder.join("log"))?;
        Ok(Self { number, folders: Folders::new(folder.clone(), folder), process })
    }

    /// Has its phones register.
    pub(super) fn register(&self) -> Result<(), Error> {
        let mut stage = Stage::new();
        for aor in aors_of(self.number) {
            stage.add(Phone::new(phone(aor), [aor as u8; 32]));
        }
        for place in 0..stage.len() {
            stage.order(place, Phone::register);
        }
        let registered =
            |phones: &mut [Phone]| phones.iter().all(|phone| phone.registration_status() == 200);
        if stage.run_until(REGISTERED_MAX, registered) {
            return Ok(());
        }
        let log = fs::read_to_string(self.folders.run.join("log")).unwrap_or_default();
        Err(Error::new(format!("the phones of router {} do not register", self.number), log))
    }

    /// Gives it a command; its reply is what comes until the end of the stream.
    pub(super) fn open(&self, words: &[&str]) -> io::Result<UnixStream> {
        let mut stream = UnixStream::connect(self.folders.control_socket())?;
        stream.write_all(encode(words).as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(stream)
    }

    /// The network's secret.
    pub(super) fn secret(&self) -> PathBuf {
        self.folders.state.join(SECRET)
    }

    /// Its status.
    pub(super) fn status(&self) -> Value {
        let reply = ask(&self.folders, &["status"]).unwrap_or_default();
        serde_json::from_slice(&reply).unwrap_or_default()
    }

    /// What it has used so far.
    pub(super) fn usage(&self) -> Usage {
        self.process.usage()
    }

    /// The memory that it has now.
    pub(super) fn memory(&self) -> Memory {
        Memory::of(self.process.id())
    }

    /// The process, to be ended with others.
    pub(super) fn into_process(self) -> Process {
        self.process
    }
}

/// A router's far side.
pub(super) fn wan(number: u32) -> Ipv4Addr {
    let [_, _, high, low] = (number % 64 + 1).to_be_bytes();
    Ipv4Addr::new(11, (number / 64) as u8, high, low)
}

fn home(number: u32, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 1 + (number / 200) as u8, 1 + (number % 200) as u8, host)
}

/// The user of an AOR, or of one that nobody has.
fn user(aor: u32) -> String {
    if aor >= NOBODYS { format!("nobody-{}", aor - NOBODYS) } else { format!("phone-{aor}") }
}

/// An AOR, by its number.
pub(super) fn name(aor: u32) -> String {
    format!("sip:{}@{DOMAIN}", user(aor))
}

fn phone(aor: u32) -> Settings {
    let router = aor / AORS;
    let host = IpAddr::from(home(router, 10 + (aor % AORS) as u8));
    Settings {
        user: user(aor),
        domain: DOMAIN.to_owned(),
        sip: (host, SIP_PORT).into(),
        media: (host, 4000).into(),
        proxy: (home(router, 1), SIP_PORT).into(),
        relay: None,
        password: Some(PASSWORD.to_owned()),
        ring: Duration::ZERO,
        expires: EXPIRES,
        habits: Habits::default(),
    }
}

fn write(folder: &PathBuf, number: u32) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
    fs::write(folder.join("config"), settings(number))?;
    let secret = folder.join(SECRET);
    // The secret of a network that lives some minutes on one machine.
    fs::write(&secret, format!("{}\n", "5a".repeat(32)))?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600))
}

fn settings(number: u32) -> String {
    let (lan, wan_ip) = (home(number, 1), wan(number));
    let expires_s = EXPIRES.as_secs();
    let mut text = format!(
        "config adapter 'adapter'\n\
         \toption enabled '1'\n\
         \toption mode 'overlay'\n\
         \tlist lan '{lan}'\n\
         \tlist wan '{wan_ip}'\n\
         \toption port_mapping '0'\n\
         \toption sip_port '{SIP_PORT}'\n\
         \toption wan_sip_port '{WAN_SIP_PORT}'\n\
         \toption intercept '0'\n\
         \toption phone_expires_s '{expires_s}'\n\n\
         config provider 'swarm'\n\
         \toption domain '{DOMAIN}'\n\
         \toption overlay '1'\n\n\
         config media 'media'\n\
         \toption path 'user'\n\n\
         config overlay 'overlay'\n\
         \toption name '{LAB_NETWORK}'\n\
         \toption secret_file '{SECRET}'\n\
         \toption port '{OVERLAY_PORT}'\n"
    );
    // Writing to a String does not fail.
    for seed in 0..SEEDS {
        let _ = writeln!(text, "\tlist bootstrap '{}:{OVERLAY_PORT}'", wan(seed));
    }
    for aor in aors_of(number) {
        let (aor, user) = (name(aor), user(aor));
        let _ = write!(
            text,
            "\nconfig account\n\toption aor '{aor}'\n\toption user '{user}'\n\
             \toption realm '{DOMAIN}'\n\toption password '{PASSWORD}'\n"
        );
    }
    text
}
