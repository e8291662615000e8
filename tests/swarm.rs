//! A small swarm of real routers beside the simulator: both answer everything right, and agree.
//!
//! So few processes on a machine that may be busy show less than `make swarm`, so the bounds are
//! wider than its own; each would still be broken by a link that delays twice, by look-ups that
//! ask everybody, or by a router that never rests. Half a minute after the last phone registered
//! its router has looked twice for members that should hold its records, and rests for a while.
#![cfg(feature = "lab")]

#[path = "rig/needs.rs"]
mod needs;

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn a_small_swarm_answers_everything_right_and_agrees_with_the_simulator() {
    if !needs::are_met("the swarm", &["unshare", "setpriv", "ip"]) {
        return;
    }
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("swarm");
    // Of an earlier run; mostly there is none.
    let _ = std::fs::remove_dir_all(&out);
    let output = Command::new(env!("CARGO_BIN_EXE_cosip-lab"))
        .args(["swarm", "--processes", "40", "--settle", "30", "--idle", "10", "--asks", "200"])
        .args(["--cosip", env!("CARGO_BIN_EXE_cosip")])
        .arg("--out")
        .arg(&out)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}{}", String::from_utf8_lossy(&output.stderr));
    let summary = std::fs::read_to_string(out.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let of = |column: &str, figure: &str| summary[column][figure].as_f64().unwrap();
    for column in ["simulated", "real"] {
        assert_eq!(of(column, "right_percent"), 100.0, "{column}");
        assert!(of(column, "halved_right_percent") >= 99.0, "{column}");
        // There and back.
        assert!(of(column, "found_ms_p50") >= 40.0, "{column}");
    }
    let agrees = |figure: &str, apart: f64| {
        let ratio = of("ratio", figure);
        assert!((1.0 / apart..apart).contains(&ratio), "{figure}: {ratio} times the simulator's");
    };
    agrees("found_ms_p50", 1.25);
    agrees("found_ms_p99", 1.5);
    agrees("absent_ms_p50", 1.25);
    agrees("halved_found_ms_p50", 1.25);
    agrees("lookup_bytes", 1.4);
    agrees("joining_bytes", 1.4);
    // In ten seconds so few hardly send anything: what they send is far below what the users do.
    assert!(of("real", "idle_bytes_per_s") < 100.0);
    assert!(summary["process"]["uss_kb"].as_u64().unwrap() > 0);
}
