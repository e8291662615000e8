//! The routers of the demo: a `cosip run` each, on addresses of 127.0.0.0/8.

use super::process::Process;
use super::{Error, Options};
use serde_json::Value;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The domain that the provider of the demo serves.
pub(in crate::lab) const DOMAIN: &str = "lab.example";
const SIP_PORT: u16 = 5060;
const WAN_SIP_PORT: u16 = 5062;
const OVERLAY_PORT: u16 = 5070;
/// Calls at a time that the defaults have room for.
const DEFAULT_CALLS: u8 = 16;
/// The router that the others join the overlay by.
const SEED_ROUTER: u8 = 3;

/// Who has which address: one /16 of the loopback network for each run of the demo.
#[derive(Clone, Copy, Debug)]
pub(in crate::lab) struct Addresses {
    net: u8,
}

impl Addresses {
    /// The first of the /16 networks, from `start` on, where nobody serves SIP.
    pub(in crate::lab) fn find(start: u32) -> Result<Self, Error> {
        for at in 0..200 {
            let net = Self { net: 1 + ((start + at) % 250) as u8 };
            if std::net::UdpSocket::bind(net.server()).is_ok() {
                return Ok(net);
            }
        }
        Err(Error::new("no free addresses in 127.0.0.0/8".to_owned(), "200 tried"))
    }

    fn host(self, place: u8, host: u8) -> IpAddr {
        IpAddr::V4(Ipv4Addr::new(127, self.net, place, host))
    }

    /// The provider's server.
    pub(in crate::lab) fn server(self) -> SocketAddr {
        SocketAddr::new(self.host(0, 10), SIP_PORT)
    }

    /// A router's address in its home.
    pub(in crate::lab) fn lan(self, router: u8) -> IpAddr {
        self.host(router, 1)
    }

    /// A router's address towards the provider.
    fn wan(self, router: u8) -> IpAddr {
        self.host(router, 2)
    }

    /// Where a router's phone sends SIP to.
    pub(in crate::lab) fn proxy(self, router: u8) -> SocketAddr {
        SocketAddr::new(self.lan(router), SIP_PORT)
    }

    /// The address of a phone behind a router.
    pub(in crate::lab) fn phone(self, router: u8, number: u8) -> IpAddr {
        self.host(router, 10 + number)
    }
}

/// A router of the demo.
pub(in crate::lab) struct Router {
    /// Its number, from 1.
    pub(in crate::lab) number: u8,
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
        phones: u8,
    ) -> Result<Self, Error> {
        let folder = folder.join(format!("router-{number}"));
        let failed = |error| Error::new(format!("cannot write {}", folder.display()), error);
        fs::create_dir_all(&folder).map_err(failed)?;
        let text = configuration(number, addresses, &options.media, phones);
        fs::write(folder.join("config"), text).map_err(failed)?;
        let secret = folder.join("network.key");
        // The secret of a network that lives a minute on one machine.
        fs::write(&secret, format!("{}\n", "5a".repeat(32))).map_err(failed)?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { number, cosip: options.cosip.clone(), folder })
    }

    /// Starts the daemon.
    pub(super) fn start(&self) -> Result<Process, Error> {
        let mut command = Command::new(&self.cosip);
        command.arg("run").arg("-c").arg(self.folder.join("config"));
        command.arg("--state").arg(&self.folder).arg("--run").arg(&self.folder);
        Process::start(&format!("router {}", self.number), &mut command, &self.log_file())
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

fn configuration(number: u8, addresses: Addresses, media: &str, phones: u8) -> String {
    let (lan, wan) = (addresses.lan(number), addresses.wan(number));
    let (server, seed) = (addresses.server(), addresses.wan(SEED_ROUTER));
    let bootstrap = if number == SEED_ROUTER {
        String::new()
    } else {
        format!("\tlist bootstrap '{seed}:{OVERLAY_PORT}'\n")
    };
    let (size, ports) = if phones > DEFAULT_CALLS {
        let size = format!("\toption max_phones '{phones}'\n\toption max_calls '{phones}'\n");
        (size, format!("\toption port_max '{}'\n", 29_999 + 6 * u32::from(phones)))
    } else {
        (String::new(), String::new())
    };
    format!(
        "config adapter 'adapter'\n\
         \toption enabled '1'\n\
         \toption mode 'cooperative'\n\
         \tlist lan '{lan}'\n\
         \tlist wan '{wan}'\n\
         \toption port_mapping '0'\n\
         \toption sip_port '{SIP_PORT}'\n\
         \toption wan_sip_port '{WAN_SIP_PORT}'\n\
         \toption intercept '0'\n\
         {size}\n\
         config provider 'lab'\n\
         \toption domain '{DOMAIN}'\n\
         \toption server 'sip:{server};transport=udp'\n\
         \toption overlay '1'\n\n\
         config overlay 'overlay'\n\
         \toption port '{OVERLAY_PORT}'\n\
         \toption name '{DOMAIN}'\n\
         \toption secret_file 'network.key'\n\
         {bootstrap}\n\
         config media 'media'\n\
         \toption path '{media}'\n\
         {ports}"
    )
}
