//! The demo on real processes: it succeeds with media relayed, and cannot succeed without.
#![cfg(feature = "lab")]

#[path = "rig/needs.rs"]
mod needs;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

/// Plays one series and returns how it ended and its summary.
fn demo(name: &str, server: &str, media: &str) -> (ExitStatus, Value) {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let status = Command::new(env!("CARGO_BIN_EXE_cosip-lab"))
        .args(["demo", "--series", "stopped", "--server", server, "--media", media])
        .args(["--cosip", env!("CARGO_BIN_EXE_cosip")])
        .arg("--out")
        .arg(&out)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let summary = std::fs::read_to_string(out.join("summary.json")).unwrap();
    assert!(std::fs::read_to_string(out.join("timeline.svg")).unwrap().ends_with("</svg>\n"));
    (status, serde_json::from_str(&summary).unwrap())
}

/// Asserts that the calls went the right ways.
fn assert_good(server: &str, status: ExitStatus, summary: &Value) {
    assert!(status.success(), "{summary:#}");
    assert_eq!(summary["ok"], true);
    assert_eq!(summary["server"], server);
    let calls = summary["calls"].as_array().unwrap();
    let paths: Vec<&str> = calls.iter().map(|call| call["path"].as_str().unwrap()).collect();
    assert_eq!(paths[..3], ["server", "overlay", "overlay"]);
    assert!(calls[1]["setup_ms"].as_f64().unwrap() >= 500.0);
    assert!(calls[2]["setup_ms"].as_f64().unwrap() < 500.0);
}

#[test]
fn calls_go_on_while_the_server_is_silent() {
    let (status, summary) = demo("demo-good", "embedded", "user");
    assert_good("embedded", status, &summary);
}

#[test]
fn calls_go_on_while_kamailio_is_silent() {
    let programs = ["kamailio", "ip", "mount", "setpriv", "unshare"];
    if needs::are_met("calls_go_on_while_kamailio_is_silent", &programs) {
        let (status, summary) = demo("demo-kamailio", "kamailio", "user");
        assert_good("kamailio", status, &summary);
    }
}

#[test]
fn without_relayed_media_no_call_has_sound_and_the_demo_fails() {
    let (status, summary) = demo("demo-without-media", "embedded", "off");
    assert!(!status.success());
    assert_eq!(summary["ok"], false);
    for call in summary["calls"].as_array().unwrap() {
        assert_eq!(call["audio_a_to_b"], 0.0, "{call}");
        assert_eq!(call["audio_b_to_a"], 0.0, "{call}");
    }
}
