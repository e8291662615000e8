//! The program as its users meet it: arguments, exit statuses, what it prints.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

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
