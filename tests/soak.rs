//! Two minutes of the soak: as many calls, moves and deaths of the server in less time.
#![cfg(feature = "lab")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn two_minutes_of_calls_moves_and_deaths_go_right() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("soak");
    let output = Command::new(env!("CARGO_BIN_EXE_cosip-lab"))
        .args(["soak", "--seconds", "120"])
        .args(["--cosip", env!("CARGO_BIN_EXE_cosip")])
        .arg("--out")
        .arg(&out)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let summary = std::fs::read_to_string(out.join("summary.json")).unwrap_or_default();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{summary}\n{told}\nmore in {}", out.display());
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!((&summary["ok"], &summary["calls_wrong"]), (&true.into(), &0.into()));
    assert!(summary["calls"].as_u64() > Some(80), "{summary:#}");
    assert_eq!(summary["server_deaths"], 12);
}
