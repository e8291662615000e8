//! The provider's CoSIP server, on a host of its own: `cosip-server run`.

use crate::host::Host;
use crate::process::Process;
use crate::provider::{DOMAIN, PASSWORD};
use crate::router::{OVERLAY_PORT, Settings, configuration, write_secret};
use crate::town::{READY_MAX, Town, lay_cables};
use crate::wait;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Its address, where routers join the overlay.
pub(crate) const ADDRESS: &str = "203.0.113.30";

/// The server, and the folder of its network.
pub(crate) struct Clerk {
    host: Host,
    folder: PathBuf,
    process: Option<Process>,
}

impl Clerk {
    /// Makes the anchor of a network whose routers have these settings, and a host for the server.
    fn init(folder: &Path, settings: &Settings) -> Self {
        let folder = folder.join("clerk");
        fs::create_dir_all(&folder).unwrap();
        let host = Town::add_host("clerk", ADDRESS);
        let clerk = Self { host, folder, process: None };
        let path = |name: &str| clerk.folder.join(name);
        write_secret(&path("passphrase"), "correct horse battery");
        write_secret(&path("network.key"), &"5a".repeat(32));
        fs::write(path("provider.config"), configuration(settings)).unwrap();
        let mut init = clerk.command("init");
        init.arg("--settings").arg(path("provider.config"));
        init.arg("--secret").arg(path("network.key"));
        init.arg("--passphrase-file").arg(path("passphrase"));
        said(init.output().unwrap());
        let own = format!(
            "config adapter 'adapter'\n\
             \tlist wan '{ADDRESS}'\n\
             \n\
             config account 'challenges'\n\
             \toption aor 'sip:cosip@{DOMAIN}'\n\
             \toption user 'cosip'\n\
             \toption password '{PASSWORD}'\n"
        );
        fs::write(clerk.network().join("server.config"), own).unwrap();
        clerk
    }

    fn network(&self) -> PathBuf {
        self.folder.join("network")
    }

    fn command(&self, word: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosip-server"));
        command.arg(word).arg("--dir").arg(self.network()).stdin(Stdio::null());
        command
    }

    fn start(&mut self) {
        let mut run = self.command("run");
        run.args(["--run", "/run/clerk"]);
        let log = self.folder.join("log");
        self.process = Some(self.host.on(|| Process::start("cosip-server", &mut run, &log)));
        wait::until("the CoSIP server's record", READY_MAX, || {
            self.status()["adapter"]["overlay"]["published"] == 1
        });
    }

    /// Kills it; its host answers "port unreachable" from then on.
    pub(crate) fn kill(&mut self) {
        self.process.take().expect("the CoSIP server runs").crash();
    }

    /// What routers have to know of it.
    fn sections(&self) -> String {
        let anchor = fs::read_to_string(self.network().join("anchor.pub")).unwrap();
        format!(
            "\nconfig overlay 'overlay'\n\tlist bootstrap '{ADDRESS}:{OVERLAY_PORT}'\n\
             \nconfig identity 'identity'\n\tlist trust_anchor '{}'\n",
            anchor.trim()
        )
    }

    fn status(&self) -> Value {
        let output = self.command("status").args(["--run", "/run/clerk"]).output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    /// What happened at its desk.
    pub(crate) fn counter(&self, name: &str) -> u64 {
        let counter = &self.status()["desk"]["counters"][name];
        counter.as_u64().unwrap_or_else(|| panic!("no counter {name}"))
    }

    /// Revokes what has this key, in hex, and all that it has.
    pub(crate) fn revoke(&self, key: &str) {
        said(self.command("revoke").args(["--key", key, "--reason", "stolen"]).output().unwrap());
    }

    /// How many adapters are certified for a user's address.
    pub(crate) fn certified(&self, user: &str) -> usize {
        let mut list = self.command("list");
        let list = list.args(["--aor", &format!("sip:{user}@{DOMAIN}")]).output().unwrap();
        said(list).matches(" valid ").count()
    }
}

fn said(output: Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

impl Drop for Clerk {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            println!("---- CoSIP server\n{}\n---- log\n{log}", self.status());
        }
    }
}

impl Town {
    /// As [`Self::build`], with a CoSIP server, through which the routers join the overlay. None of
    /// them has a certificate yet, so they are members of nothing.
    pub(crate) fn build_enrolling(folder: &Path, settings: &Settings) -> (Self, Clerk) {
        lay_cables();
        let mut clerk = Clerk::init(folder, settings);
        clerk.start();
        let sections = settings.sections.clone() + &clerk.sections();
        let mut town = Self::start_routers(folder, &Settings { sections, ..settings.clone() });
        town.provider.start();
        for number in [1, 2, 3] {
            wait::until(&format!("router {number} to join"), READY_MAX, || {
                town.router(number).status()["overlay"]["joined"] == true
            });
        }
        (town, clerk)
    }
}
