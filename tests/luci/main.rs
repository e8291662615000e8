//! The plugin behind LuCI, and the pages in a browser that talk to it.
//!
//! The pages run in Debian's Chromium against a router that this program plays: our own stand-in
//! for LuCI in the browser (`stub/`), and behind it `cosip rpcd` itself, which is asked anew for
//! each answer. With `LUCI_BASE` set to a checkout of LuCI's module luci-base, the real one takes
//! the stand-in's place. `COSIP_SHOTS` names a folder for pictures of the pages.

#[path = "../rig/needs.rs"]
mod needs;
mod plugin;

use cosip::config::schema::{Kind, sections};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, Once, PoisonError};

/// Held by who plays the town: its addresses are there once.
static TOWN: Mutex<()> = Mutex::new(());

/// The tools are installed.
static TOOLS: Once = Once::new();

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// An empty folder for one test.
fn scratch(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Installs what the lock file names, once for each lock file.
fn install_tools() {
    let (from, to) = (root().join("tests/luci"), root().join("target/tools/luci"));
    std::fs::create_dir_all(&to).unwrap();
    let lock = std::fs::read_to_string(from.join("package-lock.json")).unwrap();
    let installed = to.join("installed");
    if std::fs::read_to_string(&installed).is_ok_and(|before| before == lock) {
        return;
    }
    for file in ["package.json", "package-lock.json"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
    let mut npm = Command::new("npm");
    npm.args(["ci", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(&to);
    assert!(npm.status().unwrap().success(), "npm ci failed");
    std::fs::write(installed, lock).unwrap();
}

/// Runs one file of tests with node.
fn node(file: &str, scratch: &Path, more: &[(&str, &Path)]) {
    TOOLS.call_once(install_tools);
    let mut node = Command::new("node");
    node.args(["--test", "--test-reporter=spec"]).arg(root().join("tests/luci").join(file));
    node.env_remove("LUCI_BASE").env("COSIP", env!("CARGO_BIN_EXE_cosip")).env("SCRATCH", scratch);
    node.envs(more.iter().copied());
    let output = node.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{file} failed");
    assert!(text.lines().any(|line| line.ends_with("fail 0")), "{file} ran no test");
}

/// Runs one file of tests that needs a browser.
fn browse(file: &str, name: &str, more: &[(&str, &Path)]) {
    let _town = TOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let chromium = needs::find("chromium").unwrap();
    let shots = std::env::var_os("COSIP_SHOTS").map(PathBuf::from);
    let mut all = vec![("CHROMIUM", chromium.as_path())];
    all.extend(shots.as_deref().map(|folder| ("SHOTS", folder)));
    all.extend(more);
    node(file, &scratch(name), &all);
}

/// Values that are right for some types of options and wrong for others.
const VALUES: [&str; 88] = [
    "",
    " ",
    "0",
    "1",
    "on",
    "yes",
    "maybe",
    "2",
    "5",
    "60",
    "80",
    "404",
    "1024",
    "5060",
    "65535",
    "65536",
    "70000",
    "0005",
    "-1",
    "+5",
    "1.5",
    "1e3",
    "999999999",
    "1000000000",
    "cooperative",
    "server",
    "user",
    "a",
    "a.b",
    "a-b.example.net",
    "-a",
    "a-",
    "a..b",
    "a.",
    "a_b",
    "1.2.3.4",
    "01.2.3.4",
    "1.2.3",
    "256.1.1.1",
    "::",
    "::1",
    "1::2",
    "1::2::3",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:7::",
    "1:2:3:4:5:6:7:8::",
    "::ffff:1.2.3.4",
    "1:2:3:4:5:6:7:1.2.3.4",
    ":1",
    "1:",
    "fe80::g",
    "12345::",
    "[::1]:5060",
    "[::1]",
    "[1.2.3.4]:1",
    "a:0",
    "a:1",
    "a:65536",
    "a:",
    "1.2.3.0/24",
    "1.2.3.0/33",
    "1.2.3.0/+8",
    "::/128",
    "::/129",
    "::ffff:1.2.3.4/33",
    "1.2.3.4/",
    "1.2.3.0/24/1",
    "sip:a",
    "SIP:A:5060;transport=TCP",
    "sip:a;transport=tls",
    "sip:a;lr",
    "sip:112@a;lr",
    "sip:@a",
    "sip:a@b@c",
    "sip:a b@c",
    "sip:a@[::1]",
    "sip:a@b:1",
    "sip:<a@b",
    "tel:+49(89)1-2",
    "tel:",
    "tel:a",
    "sips:a",
    "+49 (89) 1-2",
    "089/12.3",
    "+",
    "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5",
    "a/b.key",
    "line\nfeed",
];

/// What the daemon takes and what not, option by option.
fn verdicts() -> String {
    let long = |length: usize| "0123456789abcdef".chars().cycle().take(length).collect::<String>();
    let lengths = [8, 9, 32, 33, 64, 65, 128, 129, 253, 254, 256, 257].map(long);
    let more = ["ä".repeat(64), "ä".repeat(65), "\u{7f}".into(), "\u{85}".into(), "*#+-_.".into()];
    let values: Vec<&str> =
        VALUES.into_iter().chain(lengths.iter().chain(&more).map(String::as_str)).collect();
    let rows = sections().iter().flat_map(|s| s.options.iter().map(move |row| (s.name, row)));
    let judge = |(section, row): (&'static str, &'static cosip::config::schema::Row)| {
        let kind: Kind = row.kind;
        let judged = values.iter().map(move |v| json!([section, row.name, v, kind.takes(v)]));
        judged.collect::<Vec<_>>()
    };
    json!(rows.flat_map(judge).collect::<Vec<_>>()).to_string()
}

#[test]
fn scripts_catalogues_and_schema_of_the_pages_are_right() {
    if !needs::are_met("scripts_catalogues_and_schema_of_the_pages", &["node", "npm"]) {
        return;
    }
    let scratch = scratch("luci-scripts");
    let kinds = scratch.join("kinds.json");
    std::fs::write(&kinds, verdicts()).unwrap();
    node("static.test.mjs", &scratch, &[("KINDS", &kinds)]);
}

#[test]
fn the_pages_show_and_change_what_the_daemon_does() {
    if !needs::are_met("the_pages_in_a_browser", &["node", "npm", "chromium"]) {
        return;
    }
    browse("pages.test.mjs", "luci-pages", &[]);
}

#[test]
fn the_real_luci_shows_and_changes_the_same() {
    if let Some(base) = std::env::var_os("LUCI_BASE").map(PathBuf::from) {
        browse("real.test.mjs", "luci-real", &[("LUCI_BASE", &base)]);
    }
}
