//! Phones that follow a script: SIPp.
//!
//! A phone registers by one script and takes or makes a call by the next, at the same address.

use crate::needs;
use crate::process::Process;
use crate::script::{Parties, Step, scenario};
use crate::town::{FIRST, Socket, Town};
use crate::transport::Transport;
use std::collections::HashSet;
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
    transport: Transport,
    /// Where it sends its requests.
    proxy: String,
    port: u16,
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
        Self::start_on(town, socket, user, Transport::Udp)
    }

    /// Alice at the first router, and Bob at the second, whom she would find without a server.
    pub(crate) fn alice_and_bob(town: &Town) -> (Self, Self) {
        let alice = Self::start(town, &town.socket(1, FIRST), "alice");
        let bob = Self::start(town, &town.socket(2, FIRST), "bob");
        town.await_record(1, "bob");
        (alice, bob)
    }

    /// As [`Self::start`], with this transport.
    pub(crate) fn start_on(town: &Town, socket: &Socket, user: &str, transport: Transport) -> Self {
        Self::start_to(town, socket, user, (transport, &format!("{}:5060", socket.router())))
    }

    /// As [`Self::start_on`], set up with the address of a server.
    pub(crate) fn start_to(
        town: &Town,
        socket: &Socket,
        user: &str,
        (transport, server): (Transport, &str),
    ) -> Self {
        let mut phone = Self::plug_in(town, socket, user).with_proxy(server);
        phone.transport = transport;
        phone.follow(&[Step::Register("", "200")]).succeed();
        phone
    }

    /// A phone that registers nowhere.
    pub(crate) fn plug_in(town: &Town, socket: &Socket, user: &str) -> Self {
        let folder = town.folder().join(format!("sipp-{}-{user}", socket.host.name()));
        fs::create_dir_all(&folder).unwrap();
        Self {
            user: user.to_owned(),
            socket: socket.clone(),
            transport: Transport::Udp,
            proxy: format!("{}:5060", socket.router()),
            port: 5060,
            folder,
            scripts: 0,
        }
    }

    /// Lets it send its requests to `server` instead of its router.
    pub(crate) fn with_proxy(mut self, server: &str) -> Self {
        self.proxy = server.to_owned();
        self
    }

    /// Lets it have another port than phones have.
    pub(crate) fn on_port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Calls somebody by these steps.
    pub(crate) fn call(&mut self, callee: &str, steps: &[Step<'_>]) -> Script {
        self.run(callee, steps)
    }

    /// Begins to follow these steps.
    pub(crate) fn follow(&mut self, steps: &[Step<'_>]) -> Script {
        self.run("nobody", steps)
    }

    fn run(&mut self, callee: &str, steps: &[Step<'_>]) -> Script {
        self.scripts += 1;
        let file = |kind: &str| self.folder.join(format!("{}.{kind}", self.scripts));
        let parties = Parties { user: &self.user, callee };
        fs::write(file("xml"), scenario(&parties, steps)).unwrap();
        let mut command = Command::new(needs::find("sipp").unwrap());
        command.arg("-sf").arg(file("xml")).args(["-i", self.socket.address]);
        command.args(["-p", &self.port.to_string()]);
        command.args(["-t", if self.transport == Transport::Tcp { "t1" } else { "u1" }]);
        command.args(["-m", "1", "-nostdin", "-timeout_error"]);
        command.args(["-timeout", &format!("{SCRIPT_S}s")]);
        command.args(["-trace_msg", "-message_file"]).arg(file("messages"));
        command.args(["-trace_err", "-error_file"]).arg(file("errors"));
        command.arg(&self.proxy);
        let name = format!("script {} of {}", self.scripts, self.user);
        let log = file("log");
        let process = self.socket.host.on(|| Process::start(&name, &mut command, &log));
        let script = Script { name, process, messages: file("messages") };
        // Whatever comes before SIPp listens would be lost.
        crate::wait::until(&format!("{} to listen", script.name), Duration::from_secs(5), || {
            let table = format!("/proc/thread-self/net/{}", self.transport);
            let bound = self.socket.host.on(|| fs::read_to_string(table));
            bound.unwrap().contains(&format!(":{:04X} ", self.port)) || script.has_begun()
        });
        script
    }
}

impl Script {
    fn has_begun(&self) -> bool {
        self.messages.exists()
    }

    /// Waits until the script has come to its end, and tells what it sent and received.
    ///
    /// # Panics
    /// Where something else than the script says came, or nothing came in time.
    pub(crate) fn succeed(mut self) -> Messages {
        let status = self.process.await_end(Duration::from_secs(SCRIPT_S + 5));
        let messages = self.messages();
        if !status.success() {
            panic!("{}: {status}\n{}\n{}", self.name, messages.0, self.process.log());
        }
        messages
    }

    /// Waits until it has received something that begins so.
    pub(crate) fn await_received(&mut self, start: &str) {
        let what = format!("{start} for {}", self.name);
        crate::wait::until(&what, Duration::from_secs(SCRIPT_S), || {
            assert!(self.messages().count(start) > 0 || self.process.is_running(), "no {what}");
            self.messages().count(start) > 0
        });
    }

    /// All that it sent and received so far.
    pub(crate) fn messages(&self) -> Messages {
        Messages(fs::read_to_string(&self.messages).unwrap_or_default())
    }
}

/// What a script sent and received.
pub(crate) struct Messages(String);

impl Messages {
    /// Those received, in their order.
    pub(crate) fn received(&self) -> impl Iterator<Item = &str> {
        let parts = self.0.split("message received [").skip(1);
        parts.filter_map(|part| Some(part.split_once("\n\n")?.1.trim_start()))
    }

    /// How many received ones begin so.
    pub(crate) fn count(&self, start: &str) -> usize {
        self.received().filter(|message| message.starts_with(start)).count()
    }

    /// How many calls rang or would have rung the phone: INVITEs outside dialogs, but for
    /// retransmissions.
    pub(crate) fn rings(&self) -> usize {
        let calls = self.received().filter(|message| message.starts_with("INVITE "));
        calls.filter_map(|message| header(message, "Call-ID")).collect::<HashSet<_>>().len()
    }
}

/// A header's value.
pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = message.lines();
    lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}
