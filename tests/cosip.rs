//! The program as its users meet it: arguments, exit statuses, what it prints.

use cosip::identity::Identity;
use cosip::limits::CONFIG_BYTES_MAX;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

/// A folder of its own for one test, gone with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("cosip-bin-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn settings(&self, text: &str) -> PathBuf {
        let path = self.0.join("settings");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Runs `cosip` with its folders in here.
    fn cosip(&self, words: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cosip"))
            .args(words)
            .arg("--state")
            .arg(self.0.join("state"))
            .arg("--run")
            .arg(self.0.join("run"))
            .arg("-c")
            .arg(self.0.join("settings"))
            .output()
            .unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap()
}

const DISABLED: &str = "config adapter 'adapter'\n\toption enabled '0'\n";
const WRONG: &str = "config adapter 'adapter'\n\toption enabled '1'\n\toption sip_port '70000'\n";

#[test]
fn help_and_version_go_to_standard_output_and_misuse_does_not() {
    let scratch = Scratch::new("help");
    let help = scratch.cosip(&["--help"]);
    assert!(help.status.success() && text(&help.stdout).contains("lookup AOR"));
    let version = scratch.cosip(&["--version"]);
    assert_eq!(text(&version.stdout).trim(), concat!("cosip ", env!("CARGO_PKG_VERSION")));
    let misuse = scratch.cosip(&["frobnicate"]);
    assert_eq!(misuse.status.code(), Some(64));
    assert!(misuse.stdout.is_empty() && text(&misuse.stderr).contains("frobnicate"));
}

#[test]
fn check_names_the_line_and_run_refuses_the_same_settings() {
    let scratch = Scratch::new("check");
    scratch.settings(WRONG);
    for words in [&["check"], &["run"]] {
        let refused = scratch.cosip(words);
        assert_eq!(refused.status.code(), Some(78));
        let text = text(&refused.stderr);
        assert!(text.contains("settings:3:") && text.contains("70000"), "{text}");
    }
    scratch.settings(DISABLED);
    assert!(scratch.cosip(&["check"]).status.success());
    let schema = json(&scratch.cosip(&["check", "--schema"]));
    assert!(schema.is_array() || schema.is_object());
}

#[test]
fn a_missing_settings_file_is_an_error_that_names_it() {
    let scratch = Scratch::new("missing");
    let refused = scratch.cosip(&["run"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(text(&refused.stderr).contains("settings"));
}

#[test]
fn settings_of_many_accounts_are_read_up_to_the_limit() {
    let scratch = Scratch::new("large");
    let padded = |bytes: usize| format!("{DISABLED}{}", "# account\n".repeat(bytes / 10));
    scratch.settings(&padded(3 << 20));
    assert!(scratch.cosip(&["check"]).status.success());
    scratch.settings(&padded(CONFIG_BYTES_MAX));
    let refused = scratch.cosip(&["check"]);
    assert_eq!(refused.status.code(), Some(78));
    assert!(text(&refused.stderr).contains("larger than"), "{}", text(&refused.stderr));
}

#[test]
fn disabled_ends_well_with_one_line_and_leaves_nothing() {
    let scratch = Scratch::new("disabled");
    scratch.settings(DISABLED);
    let ended = scratch.cosip(&["run"]);
    assert!(ended.status.success());
    assert_eq!(text(&ended.stdout).lines().count(), 1);
    assert!(ended.stderr.is_empty() && !Path::exists(&scratch.0.join("run")));
}

#[test]
fn a_reader_that_is_gone_stops_nothing() {
    let scratch = Scratch::new("pipe");
    scratch.settings(DISABLED);
    for words in [["run"], ["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let settings = scratch.0.join("settings");
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosip"));
        command.args(words).arg("-c").arg(settings).stdout(writer);
        assert!(command.status().unwrap().success());
    }
}

#[test]
fn status_without_a_daemon_checks_the_settings() {
    let scratch = Scratch::new("status");
    scratch.settings(WRONG);
    let plain = scratch.cosip(&["status"]);
    assert_eq!(plain.status.code(), Some(1));
    assert!(text(&plain.stderr).contains("no daemon answers"));
    let status = scratch.cosip(&["status", "--json"]);
    assert_eq!(status.status.code(), Some(1));
    let status = json(&status);
    assert_eq!(status["running"], false);
    assert_eq!(status["config"]["error"]["line"], 3);
}

/// A running daemon on loopback addresses of its own.
struct Daemon {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Daemon {
    fn start(scratch: &Scratch) -> Self {
        let mut daemon = Self::spawn(scratch);
        daemon.wait_for("LAN 127.99");
        daemon
    }

    fn spawn(scratch: &Scratch) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_cosip"))
            .arg("run")
            .arg("--state")
            .arg(scratch.0.join("state"))
            .arg("--run")
            .arg(scratch.0.join("run"))
            .arg("-c")
            .arg(scratch.0.join("settings"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    /// Reads the log up to a line with `text`. Fails where the daemon ends before.
    fn wait_for(&mut self, text: &str) {
        let mut line = String::new();
        while !line.contains(text) {
            line.clear();
            assert!(self.stdout.read_line(&mut line).unwrap() > 0, "the log ends before {text:?}");
        }
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// Waits for the end; the exit status and what went to standard error.
    fn end(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        let stderr = std::io::read_to_string(self.child.stderr.take().unwrap()).unwrap();
        (status.code(), stderr)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn running(host: u8, more: &str) -> String {
    format!(
        "config adapter 'adapter'\n\toption enabled '1'\n\tlist lan '127.99.1.{host}'\n\tlist \
         wan '127.99.2.{host}'\n\toption mode 'server'\n{more}"
    )
}

#[test]
fn the_daemon_has_one_thread_reloads_and_stops() {
    let scratch = Scratch::new("daemon");
    scratch.settings(&running(1, ""));
    let mut daemon = Daemon::start(&scratch);
    let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.child.id())).unwrap();
    assert_eq!(tasks.count(), 1);
    let status = json(&scratch.cosip(&["status", "--json"]));
    assert_eq!(status["running"], true);
    assert_eq!(status["counters"]["driver"]["bind_failed"], 0);
    let key = std::fs::read_to_string(scratch.0.join("state/adapter.key")).unwrap();
    let public = Identity::parse(&key).unwrap().public();
    let public: String = public.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(status["overlay"]["key"], public.as_str(), "what a provider certifies");
    scratch.settings(&running(1, "\toption sip_port '70000'\n"));
    daemon.signal(Signal::SIGHUP);
    let error = || json(&scratch.cosip(&["status", "--json"]))["config"]["error"].clone();
    // The signal is served before the connection that comes after it, or in the same turn.
    let told = (0..100).map(|_| error()).find(|error| error.is_object()).unwrap();
    assert_eq!((&told["line"], &told["value"]), (&6.into(), &"70000".into()));
    scratch.settings(&running(1, "\toption phone_expires_s '180'\n"));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("read again");
    assert!(error().is_null());
    daemon.signal(Signal::SIGTERM);
    daemon.wait_for("stopped");
    let (status, stderr) = daemon.end();
    assert_eq!(status, Some(0));
    assert!(stderr.contains("70000") && stderr.contains("stay"), "{stderr}");
    assert!(!Path::exists(&scratch.0.join("run/control.sock")));
}

#[test]
fn a_reload_moves_the_adapter_to_other_networks() {
    let scratch = Scratch::new("networks");
    scratch.settings(&running(6, ""));
    let mut daemon = Daemon::start(&scratch);
    scratch.settings(&running(7, ""));
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("LAN 127.99.1.7; WAN 127.99.2.7;");
    let status = json(&scratch.cosip(&["status", "--json"]));
    assert_eq!(status["config"]["restart_pending"], serde_json::json!([]));
    let phone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    phone.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let request = format!(
        "OPTIONS sip:127.99.1.7 SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bK1\r\nMax-Forwards: \
         70\r\nFrom: <sip:a@b.test>;tag=a\r\nTo: <sip:127.99.1.7>\r\nCall-ID: 1\r\nCSeq: 1 \
         OPTIONS\r\n\r\n",
        phone.local_addr().unwrap()
    );
    phone.send_to(request.as_bytes(), "127.99.1.7:5060").unwrap();
    let mut answer = [0; 1500];
    let length = phone.recv(&mut answer).unwrap();
    assert!(text(&answer[..length]).starts_with("SIP/2.0 200 "));
    assert!(std::net::UdpSocket::bind("127.99.1.6:5060").is_ok(), "the old address is free");
}

/// Under a supervisor that allows few descriptors: root raises the limit, others are told.
#[test]
fn as_many_descriptors_are_allowed_as_the_calls_take() {
    let scratch = Scratch::new("descriptors");
    scratch.settings(&running(8, "\toption max_calls '100'\n"));
    let limited = |script: &str| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("ulimit -n 300; {script}"));
        command.arg(env!("CARGO_BIN_EXE_cosip")).arg(scratch.0.join("settings")).arg(&scratch.0);
        command
    };
    let checked = limited("\"$0\" check -c \"$1\"").output().unwrap();
    let run = "\"$0\" run -c \"$1\" --state \"$2/state\" --run \"$2/run\"";
    let mut child = limited(&format!("exec {run}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let mut daemon = Daemon { child, stdout };
    daemon.wait_for("LAN 127.99");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.child.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let limit: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    daemon.signal(Signal::SIGTERM);
    let (_, stderr) = daemon.end();
    let told = "1184 descriptors of at most 300";
    // CAP_SYS_RESOURCE (capabilities(7)), which not every root has.
    let own = std::fs::read_to_string("/proc/self/status").unwrap();
    let effective = own.lines().find_map(|line| line.strip_prefix("CapEff:")).unwrap();
    let may = u64::from_str_radix(effective.trim(), 16).unwrap() & 1 << 24 != 0;
    assert_eq!(limit, if may { 100 * 8 + 128 + 256 } else { 300 });
    assert_eq!(stderr.contains(told), !may, "{stderr}");
    assert_eq!(text(&checked.stderr).contains(told), !may);
}

#[test]
fn a_reload_that_comes_while_the_daemon_starts_waits_for_it() {
    let scratch = Scratch::new("early");
    // Whoever opens a pipe for reading waits for a writer.
    let settings = scratch.0.join("settings");
    nix::unistd::mkfifo(&settings, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut daemon = Daemon::spawn(&scratch);
    let write = |text: String| {
        let mut pipe = std::fs::OpenOptions::new().write(true).open(&settings).unwrap();
        std::io::Write::write_all(&mut pipe, text.as_bytes()).unwrap();
    };
    // The first writer gets through when the daemon reads.
    let mut first = std::fs::OpenOptions::new().write(true).open(&settings).unwrap();
    daemon.signal(Signal::SIGHUP);
    std::io::Write::write_all(&mut first, running(5, "").as_bytes()).unwrap();
    drop(first);
    daemon.wait_for("LAN 127.99");
    write(running(5, "\toption phone_expires_s '180'\n"));
    daemon.wait_for("read again");
    daemon.signal(Signal::SIGTERM);
    assert_eq!(daemon.end().0, Some(0));
}

#[test]
fn a_daemon_without_the_networks_secret_says_so_and_serves() {
    let scratch = Scratch::new("nosecret");
    scratch.settings(&running(2, "").replace("'server'", "'cooperative'"));
    let mut daemon = Daemon::start(&scratch);
    let second = scratch.cosip(&["run"]);
    assert_eq!(second.status.code(), Some(1));
    assert!(text(&second.stderr).contains("another daemon"));
    assert!(scratch.cosip(&["phones"]).status.success());
    scratch.settings(DISABLED);
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for("stopped");
    let (status, stderr) = daemon.end();
    assert_eq!(status, Some(0));
    assert!(stderr.contains("network.key") && stderr.contains("option mode"), "{stderr}");
}

/// Asks the program again and again, each time by a process of its own.
fn until(what: &str, is: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is() {
        assert!(start.elapsed().as_secs() < 60, "waited for: {what}");
    }
}

#[test]
fn a_new_secret_is_taken_live() {
    let keys = |scratch: &Scratch, secrets: &[u8]| {
        let lines: Vec<String> = secrets.iter().map(|secret| format!("{secret:064x}")).collect();
        std::fs::create_dir_all(scratch.0.join("state")).unwrap();
        std::fs::write(scratch.0.join("state/network.key"), lines.join("\n")).unwrap();
    };
    let [first, second] = ["secret-first", "secret-second"].map(Scratch::new);
    let overlay = "config overlay 'overlay'\n\toption name 'test'\n";
    let cooperative = |host| running(host, overlay).replace("'server'", "'cooperative'");
    first.settings(&cooperative(3));
    keys(&first, &[1]);
    second.settings(&format!("{}\tlist bootstrap '127.99.2.77:5070'\n", cooperative(4)));
    keys(&second, &[2]);
    let (mut one, two) = (Daemon::start(&first), Daemon::start(&second));
    // The seed has moved.
    second.settings(&format!("{}\tlist bootstrap '127.99.2.3:5070'\n", cooperative(4)));
    two.signal(Signal::SIGHUP);
    let joined = || json(&second.cosip(&["status", "--json"]))["overlay"]["joined"] == true;
    until("the one turns the other's datagrams away", || {
        let status = json(&first.cosip(&["status", "--json"]));
        status["counters"]["overlay_unauthentic"].as_u64().is_some_and(|count| count > 0)
    });
    assert!(!joined(), "neither hears the other");
    keys(&first, &[1, 2]);
    one.signal(Signal::SIGHUP);
    one.wait_for("secrets changed");
    // The one sends under its old secret, which the other does not hear.
    keys(&first, &[2, 1]);
    one.signal(Signal::SIGHUP);
    one.wait_for("secrets changed");
    until("the second joins through the first", joined);
    drop(two);
}
