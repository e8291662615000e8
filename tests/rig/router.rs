//! The routers: `cosip run` each.

use crate::host::Host;
use crate::process::Process;
use crate::{provider, wait, without};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Each router's address in its home.
pub(crate) const LAN: &str = "192.168.1.1";
/// The same where homes have IPv6, as URIs have it.
pub(crate) const LAN_V6: &str = "[fd00::1]";
/// Where routers serve SIP towards the internet.
pub(crate) const WAN_SIP_PORT: u16 = 5062;
/// Where routers meet.
pub(crate) const OVERLAY_PORT: u16 = 5070;
/// How long a daemon may take to do what takes it a moment.
const SOON: Duration = Duration::from_secs(10);

/// What a world has of its own.
#[derive(Clone)]
pub(crate) struct Settings {
    /// The mode of all adapters.
    pub(crate) mode: &'static str,
    /// What kind of server the provider has: definitions of `tests/data/kamailio`.
    pub(crate) server: &'static [&'static str],
    /// Whether the server is found by its name alone.
    pub(crate) named: bool,
    /// Whether all have IPv6 and nobody has IPv4.
    pub(crate) ipv6: bool,
    /// Whether phones are served that know of no router.
    pub(crate) intercept: bool,
    /// Whether the firewall sees packets that are still in the LAN's bridge: then routers redirect
    /// what they intercept.
    pub(crate) filtered_bridge: bool,
    /// Whether the kernel has nothing of netfilter that a program can ask: no module of it is
    /// loaded.
    pub(crate) without_netfilter: bool,
    /// More options of the adapter's section.
    pub(crate) adapter: String,
    /// More options of the provider's section.
    pub(crate) provider: &'static [(&'static str, &'static str)],
    /// More sections of all adapters' settings.
    pub(crate) sections: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: "cooperative",
            server: &[],
            named: false,
            ipv6: false,
            intercept: false,
            filtered_bridge: false,
            without_netfilter: false,
            adapter: String::new(),
            provider: &[],
            sections: String::new(),
        }
    }
}

impl Settings {
    /// Address and port of the provider's server.
    pub(crate) fn server_address(&self) -> &'static str {
        if self.ipv6 { provider::ADDRESS_V6 } else { provider::ADDRESS }
    }
}

/// A router and its adapter.
pub(crate) struct Router {
    /// Its host.
    pub(crate) host: Host,
    folder: PathBuf,
    run: PathBuf,
    without_netfilter: bool,
    process: Option<Process>,
}

impl Router {
    /// Router `number`, not yet started.
    pub(crate) fn new(number: u8, folder: &Path, settings: &Settings) -> Self {
        let folder = folder.join(format!("router-{number}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("config"), configuration(settings)).unwrap();
        write_secret(&folder.join("network.key"), &"5a".repeat(32));
        let host = Host::new(&format!("router-{number}"));
        // Sockets want a short path; this one is the world's own.
        let run = Path::new("/run").join(host.name());
        let without_netfilter = settings.without_netfilter;
        Self { host, folder, run, without_netfilter, process: None }
    }

    /// Starts the adapter and waits until it serves phones.
    pub(crate) fn start(&mut self) {
        let program = env!("CARGO_BIN_EXE_cosip");
        let mut command = match self.without_netfilter {
            true => without::netfilter(program),
            false => Command::new(program),
        };
        command.arg("run").arg("-c").arg(self.folder.join("config"));
        command.arg("--state").arg(&self.folder).arg("--run").arg(&self.run);
        let log = self.folder.join("log");
        let name = self.host.name().to_owned();
        self.process = Some(self.host.on(|| Process::start(&name, &mut command, &log)));
        wait::until(&format!("the sockets of {name}"), SOON, || {
            let status = self.status();
            status["network"]["lan"][0].is_string() && status["network"]["wan_sip_port"] != 0
        });
    }

    /// Ends the adapter as the system does at a shutdown.
    pub(crate) fn stop(&mut self) {
        let mut process = self.process.take().expect("the adapter runs");
        process.signal(Signal::SIGTERM);
        assert!(process.await_end(SOON).success(), "a clean stop");
    }

    /// Kills the adapter without a chance to say or save anything.
    pub(crate) fn crash(&mut self) {
        self.process.take().expect("the adapter runs").crash();
    }

    /// Loses its power: what is not on flash is gone. What was just learned is on flash.
    pub(crate) fn lose_power(&mut self) {
        wait::until("the learned phones on flash", SOON, || self.folder.join("bindings").exists());
        self.crash();
        fs::remove_dir_all(&self.run).unwrap();
    }

    /// The adapter's process.
    pub(crate) fn process(&mut self) -> &mut Process {
        self.process.as_mut().expect("the adapter runs")
    }

    /// What a command of the daemon prints; empty while it does not answer.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_cosip"))
            .args(words)
            .arg("--run")
            .arg(&self.run)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The daemon's status.
    pub(crate) fn status(&self) -> Value {
        serde_json::from_str(&self.ask(&["status", "--json"])).unwrap_or_default()
    }

    /// The verdict about the provider's server.
    pub(crate) fn server(&self) -> String {
        self.status()["servers"][0]["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits for a verdict about the provider's server.
    pub(crate) fn await_server(&self, state: &str, limit: Duration) {
        let what = format!("the server to be {state} for {}", self.host.name());
        wait::until(&what, limit, || self.server() == state);
    }

    /// Who carries the only call: server or overlay.
    pub(crate) fn call_path(&self) -> String {
        self.status()["calls"][0]["path"].as_str().unwrap_or_default().to_owned()
    }

    /// Where the daemon takes commands.
    pub(crate) fn control(&self) -> PathBuf {
        self.run.join("control.sock")
    }

    /// One of the counters.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.counters(&[name])
    }

    /// The sum of some counters; those of the driver have the prefix `driver.`.
    pub(crate) fn counters(&self, names: &[&str]) -> u64 {
        let counters = &self.status()["counters"];
        let counter = |name: &&str| {
            let counter = match name.strip_prefix("driver.") {
                Some(name) => &counters["driver"][name],
                None => &counters[*name],
            };
            counter.as_u64().unwrap_or_else(|| panic!("no counter {name}"))
        };
        names.iter().map(counter).sum()
    }

    /// How many adapters hold records of the AOR that this router finds.
    pub(crate) fn finds(&self, user: &str) -> usize {
        let aor = format!("sip:{user}@{}", provider::DOMAIN);
        let reply: Value =
            serde_json::from_str(&self.ask(&["lookup", &aor, "--json"])).unwrap_or_default();
        reply["records"].as_array().map_or(0, Vec::len)
    }

    /// Prints what helps to understand a failure.
    pub(crate) fn show(&self) {
        let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        println!("---- {}: status\n{}", self.host.name(), self.ask(&["status", "--json"]));
        println!("---- trace\n{}\n---- log\n{log}", self.ask(&["trace"]));
    }
}

/// Writes one line that others may not read.
pub(crate) fn write_secret(path: &Path, line: &str) {
    fs::write(path, format!("{line}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// The settings file.
pub(crate) fn configuration(settings: &Settings) -> String {
    let Settings { mode, sections, adapter, .. } = settings;
    let intercept = u8::from(settings.intercept);
    let domain = provider::DOMAIN;
    let server = format!("sip:{}", settings.server_address());
    let wan = if settings.ipv6 { "[2001:db8::2" } else { "203.0.113.2" };
    let end = if settings.ipv6 { "]" } else { "" };
    let server = if settings.named { "" } else { &server };
    let option = |(name, value): &(&str, &str)| format!("\toption {name} '{value}'\n");
    let provider: String = settings.provider.iter().map(option).collect();
    format!(
        "config adapter 'adapter'\n\
         \toption enabled '1'\n\
         \toption mode '{mode}'\n\
         \tlist lan 'lan'\n\
         \tlist wan 'wan'\n\
         \toption sip_port '5060'\n\
         \toption wan_sip_port '{WAN_SIP_PORT}'\n\
         \toption intercept '{intercept}'\n\
         {adapter}\
         \n\
         config provider 'town'\n\
         \toption domain '{domain}'\n\
         \toption server '{server}'\n\
         \toption overlay '1'\n\
         \toption country_code '49'\n\
         \toption area_code '89'\n\
         {provider}\
         \n\
         config overlay 'overlay'\n\
         \toption port '{OVERLAY_PORT}'\n\
         \toption name '{domain}'\n\
         \toption secret_file 'network.key'\n\
         \tlist bootstrap '{wan}1{end}:{OVERLAY_PORT}'\n\
         \tlist bootstrap '{wan}2{end}:{OVERLAY_PORT}'\n\
         \tlist bootstrap '{wan}3{end}:{OVERLAY_PORT}'\n\
         {sections}"
    )
}
