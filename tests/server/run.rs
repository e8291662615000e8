//! `cosip-server run` as a process, and what is packed around it.

use super::{Scratch, bad, good, hex, key, needs, text, wait};
use cosip::identity::{Certificate, Identity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);
const OWN: &str = "\
config adapter 'adapter'
	list wan '127.0.0.93'
	option public_address '127.0.0.93'

config account 'challenges'
	option aor 'sip:cosip@example.net'
	option password 'open sesame'
";
const METRICS: &str = "127.0.0.93:9273";

/// A running server, ended with the test.
struct Running(Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id() as i32), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A command with the folder of the control socket.
fn in_run(scratch: &Scratch, words: &[&str]) -> Command {
    let mut command = scratch.command(words);
    command.arg("--run").arg(scratch.path("run"));
    command
}

fn start(scratch: &Scratch) -> Running {
    let log = fs::File::create(scratch.path("log")).unwrap();
    let mut command = in_run(scratch, &["run", "--metrics", METRICS]);
    Running(command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
}

fn status(scratch: &Scratch) -> Option<Value> {
    let output = in_run(scratch, &["status"]).output().unwrap();
    serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success())
}

/// The whole answer to one request.
fn get(request: &str) -> Option<String> {
    let mut stream = TcpStream::connect(METRICS).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Some(answer)
}

#[test]
fn a_server_runs_is_certified_and_told_of_and_stops() {
    let scratch = Scratch::new("run");
    good(&scratch.init(&[]));
    let run = || in_run(&scratch, &["run"]).output().unwrap();
    assert!(bad(&run()).contains("server.config: does not say where this server listens"));
    let half = OWN.split("config account").next().unwrap();
    fs::write(scratch.kept("server.config"), half).unwrap();
    assert!(bad(&run()).contains("no SIP account to send challenges from"));
    fs::write(scratch.kept("server.config"), OWN).unwrap();
    let mut server = start(&scratch);
    let log = || fs::read_to_string(scratch.path("log")).unwrap();
    let certified = wait::for_some("its certificate", PATIENCE, || {
        let status = status(&scratch)?;
        let text = fs::read_to_string(scratch.kept("adapter.crt")).ok()?;
        let certificate = Certificate::parse(&super::bytes(text.trim())).ok()?;
        let id = &status["adapter"]["overlay"]["id"];
        (*id == Value::String(certificate.place().to_string())).then_some((status, certificate))
    });
    let (status_now, certificate) = certified;
    let own = Identity::parse(&scratch.read("adapter.key")).unwrap();
    assert_eq!(certificate.key(), own.public());
    assert_eq!(status_now["adapter"]["overlay"]["key"], hex(&own.public()));
    let (anchor, keys) = scratch.trust();
    assert!(certificate.verify(&[anchor], keys.network()));
    assert!(super::covers(&certificate, &keys, "server@cosip.invalid"));
    assert_eq!(status_now["desk"]["asks_open"], 0);
    wait::until("its record", PATIENCE, || {
        status(&scratch).is_some_and(|it| it["adapter"]["overlay"]["published"] == 1)
    });
    let audit = scratch.run(&["audit"]);
    let row = good(&audit).lines().last().unwrap();
    assert!(row.contains("\tcosip-server run\tissue\t") && row.contains("server@cosip.invalid"));
    // Nobody else is given that.
    let name = "sip:server@cosip.invalid";
    let output = scratch.run(&["issue", "--key", &hex(&key(1)), "--aor", name]);
    assert!(bad(&output).contains("of no provider"), "{}", bad(&output));
    check_metrics(&scratch);
    // A secret that was made beside it is taken at the next look, or at a reload.
    good(&scratch.run(&["secret", "--new"]));
    server.signal(Signal::SIGHUP);
    wait::until("a reload", PATIENCE, || log().contains("read again"));
    wait::until("the new secret", PATIENCE, || {
        let status = status(&scratch).unwrap_or_default();
        let secret = &status["adapter"]["secrets"][1];
        secret["state"] == "coming" && secret["from_s"].as_u64().is_some()
    });
    wait::until("its status", PATIENCE, || status(&scratch).is_some());
    assert_eq!(server.0.try_wait().unwrap(), None, "{}", log());
    server.signal(Signal::SIGTERM);
    assert!(server.0.wait().unwrap().success(), "{}", log());
    assert!(log().contains("stopped") && !log().contains("ERROR"), "{}", log());
    assert!(bad(&in_run(&scratch, &["status"]).output().unwrap()).contains("cosip-server: "));
}

fn check_metrics(scratch: &Scratch) {
    // What the books hold is looked at each minute, and once at the start.
    let page = wait::for_some("metrics of the books", PATIENCE, || {
        let answer = get("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")?;
        let (head, page) = answer.split_once("\r\n\r\n")?;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", page.len())), "{head}");
        assert!(head.contains("text/plain; version=0.0.4"));
        page.contains("\ncosip_books_certificates 1\n").then(|| page.to_owned())
    });
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("DELETE /metrics HTTP/1.1\r\n\r\n", "405"),
        ("nonsense\r\n\r\n", "400"),
    ] {
        assert!(get(request).unwrap().starts_with(&format!("HTTP/1.1 {status} ")), "{request}");
    }
    // More than a request has is not read on.
    let mut stream = TcpStream::connect(METRICS).unwrap();
    let _ = stream.write_all(&[b'x'; 20_000]);
    assert!(!matches!(stream.read(&mut [0; 16]), Ok(1..)));
    let names = metric_names(&page);
    let docs = fs::read_to_string(root().join("docs/isp.md")).unwrap();
    for name in &names {
        assert!(docs.contains(&format!("`{name}`")), "docs/isp.md says nothing of {name}");
    }
    let dashboard = fs::read_to_string(root().join("packaging/server/grafana.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let mut shown = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let words = target["expr"]
                .as_str()
                .unwrap()
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            shown.extend(words.filter(|word| word.starts_with("cosip_")).map(str::to_owned));
        }
    }
    assert_eq!(shown, names, "the dashboard shows what there is");
    let samples =
        ["name=\"certified\"", "name=\"channel_handshakes_done\"", "domain=\"example.net\""];
    samples.iter().for_each(|sample| assert!(page.contains(sample), "{sample}"));
    let secrets = [scratch.read("network.key"), "open sesame".to_owned()];
    assert!(secrets.iter().all(|secret| !page.contains(secret.trim())));
}

/// The names on a page, each line of which has to be what Prometheus reads.
fn metric_names(page: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let (mut described, mut typed) = (String::new(), String::new());
    for line in page.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, help] if !help.is_empty() => described = (*name).to_owned(),
            ["#", "TYPE", name, kind] => {
                assert!(["counter", "gauge"].contains(kind) && *name == described, "{line}");
                assert_eq!(*kind == "counter", name.ends_with("_total"), "{line}");
                assert!(names.insert((*name).to_owned()), "{name} twice");
                typed = (*name).to_owned();
            }
            _ => {
                let (sample, value) = line.rsplit_once(' ').unwrap();
                value.parse::<f64>().unwrap();
                let (name, labels) = sample.split_once('{').unwrap_or((sample, "x=\"\"}"));
                assert_eq!(name, typed, "{line}");
                let (label, of) = labels.split_once("=\"").unwrap();
                assert!(label.chars().all(|c| c.is_ascii_lowercase()) && of.ends_with("\"}"));
            }
        }
    }
    names
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_unit_is_one_that_systemd_takes() {
    if !needs::are_met("the_unit_is_one_that_systemd_takes", &["systemd-analyze"]) {
        return;
    }
    let scratch = Scratch::new("unit");
    let unit = fs::read_to_string(root().join("packaging/server/cosip-server.service")).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/cosip-server run "));
    // systemd looks whether the program is there.
    let unit = unit.replace("/usr/bin/cosip-server", env!("CARGO_BIN_EXE_cosip-server"));
    let path = scratch.path("cosip-server.service");
    fs::write(&path, unit).unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    let said = [text(&output.stdout), text(&output.stderr)].concat();
    assert!(output.status.success() && !said.contains("cosip-server.service:"), "{said}");
}

#[test]
fn the_package_has_the_same_bytes_each_time_and_what_it_needs() {
    if !needs::are_met("the_package_has_the_same_bytes_each_time", &["dpkg-deb", "strip"]) {
        return;
    }
    let scratch = Scratch::new("deb");
    let build = |out: &str| {
        let mut command = Command::new("sh");
        command.arg(root().join("scripts/server-deb.sh"));
        command.env("SERVER", env!("CARGO_BIN_EXE_cosip-server")).env("OUT", scratch.path(out));
        let output = command.env("SOURCE_DATE_EPOCH", "1700000000").output().unwrap();
        good(&output).trim().to_owned()
    };
    let (first, second) = (build("one"), build("two"));
    assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
    let said = |words: &[&str]| {
        let output = Command::new("dpkg-deb").args(words).arg(&first).output().unwrap();
        good(&output).to_owned()
    };
    let list = said(&["--contents"]);
    for name in [
        "./usr/bin/cosip-server",
        "./usr/lib/systemd/system/cosip-server.service",
        "./usr/share/cosip-server/grafana.json",
        "./usr/share/doc/cosip-server/isp.md",
    ] {
        assert!(list.lines().any(|line| line.ends_with(name)), "{name}: {list}");
    }
    assert!(list.lines().all(|line| line.contains(" root/root ")), "{list}");
    let control = said(&["--field"]);
    assert!(control.contains(&format!("Version: {}\n", env!("CARGO_PKG_VERSION"))), "{control}");
}
