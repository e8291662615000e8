//! Phones that follow a script: SIPp.
//!
//! The scripts in `tests/data/sipp` hold words in `@`, which are replaced for each phone. A phone
//! registers by one script and takes or makes a call by the next, at the same address.

use crate::needs;
use crate::process::Process;
use crate::provider::{DOMAIN, PASSWORD};
use crate::router::LAN;
use crate::town::{Socket, Town};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

/// How long a script may take, in seconds.
const SCRIPT_S: u64 = 20;

/// A phone that is plugged in, between two scripts.
pub(crate) struct Sipp {
    user: String,
    socket: Socket,
    folder: PathBuf,
    scripts: u32,
}

/// A script that is being followed.
pub(crate) struct Script {
    name: String,
    process: Process,
    messages: PathBuf,
}

impl Sipp {
    /// Plugs in a phone and registers it.
    pub(crate) fn start(town: &Town, socket: &Socket, user: &str) -> Self {
        let folder = town.folder().join(format!("sipp-{}", socket.host.name()));
        fs::create_dir_all(&folder).unwrap();
        let mut phone = Self { user: user.to_owned(), socket: socket.clone(), folder, scripts: 0 };
        phone.follow("register", &[]).succeed();
        phone
    }

    /// Starts a script of `tests/data/sipp`, with words replaced.
    pub(crate) fn follow(&mut self, script: &str, words: &[(&str, &str)]) -> Script {
        self.scripts += 1;
        let path = format!("{}/tests/data/sipp/{script}.xml", env!("CARGO_MANIFEST_DIR"));
        let mut text = fs::read_to_string(&path).unwrap();
        let fixed = [("USER", self.user.as_str()), ("DOMAIN", DOMAIN), ("PASSWORD", PASSWORD)];
        for (word, value) in fixed.iter().chain(words) {
            text = text.replace(&format!("@{word}@"), value);
        }
        let file = |kind: &str| self.folder.join(format!("{}-{script}.{kind}", self.scripts));
        fs::write(file("xml"), text).unwrap();
        let mut command = Command::new(needs::find("sipp").unwrap());
        command.arg("-sf").arg(file("xml")).args(["-i", self.socket.address, "-p", "5060"]);
        command.args(["-m", "1", "-nostdin", "-timeout_error"]);
        command.args(["-timeout", &format!("{SCRIPT_S}s")]);
        command.args(["-trace_msg", "-message_file"]).arg(file("messages"));
        command.args(["-trace_err", "-error_file"]).arg(file("errors"));
        command.arg(format!("{LAN}:5060"));
        let name = format!("{script} of {}", self.user);
        let log = file("log");
        let process = self.socket.host.on(|| Process::start(&name, &mut command, &log));
        let script = Script { name, process, messages: file("messages") };
        // Whatever comes before SIPp listens would be lost.
        crate::wait::until(&format!("{} to listen", script.name), Duration::from_secs(5), || {
            let bound = self.socket.host.on(|| fs::read_to_string("/proc/thread-self/net/udp"));
            bound.unwrap().contains(":13C4") || script.has_begun()
        });
        script
    }
}

impl Script {
    fn has_begun(&self) -> bool {
        self.messages.exists()
    }

    /// Waits until the script has come to its end.
    ///
    /// # Panics
    /// Where something else than the script says came, or nothing came in time.
    pub(crate) fn succeed(mut self) {
        let status = self.process.await_end(Duration::from_secs(SCRIPT_S + 5));
        if !status.success() {
            let messages = self.messages();
            panic!("{}: {status}\n{messages}\n{}", self.name, self.process.log());
        }
    }

    /// All that it sent and received so far.
    pub(crate) fn messages(&self) -> String {
        fs::read_to_string(&self.messages).unwrap_or_default()
    }
}
