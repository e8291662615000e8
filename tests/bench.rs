//! The bench on real processes, with as little load as tells something.
#![cfg(feature = "lab")]

use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn a_small_bench_measures_every_way_and_loses_nothing() {
    let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench");
    let output = Command::new(env!("CARGO_BIN_EXE_cosip-lab"))
        .args(["bench", "--phones", "2", "--pairs", "1", "--calls", "2", "--seconds", "1"])
        .args(["--rounds", "1", "--members", "5", "--flood", "1000"])
        .args(["--cosip", env!("CARGO_BIN_EXE_cosip")])
        .arg("--out")
        .arg(&out)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{told}");
    let summary = std::fs::read_to_string(out.join("summary.json")).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    assert_eq!(summary["failed"], 0);
    for way in summary["ways"].as_array().unwrap() {
        assert_eq!(way["rtp_lost"], 0, "{way}");
        assert!(way["rtp_packets"].as_u64().unwrap() > 80, "{way}");
    }
    assert_eq!(summary["ways"][1]["router_threads"], 1);
    let first = |name: &str| summary["first_call_ms"][name][0].as_f64().unwrap();
    assert!(first("silent") >= 500.0 && first("refused") < 500.0, "{summary:#}");
    // Of five members each has all records, so that a look-up is instant.
    assert!(summary["overlay"]["put_ms_p50"].as_f64().unwrap() > 0.0);
    let floods = summary["floods"].as_array().unwrap();
    assert_eq!(floods.len(), 2);
    for flood in floods {
        assert!(flood["datagrams_per_s"].as_f64().unwrap() > 500.0, "{flood}");
        assert!(flood["with"]["setup_us_p50"].as_u64().unwrap() > 0, "{flood}");
    }
    // Without the secret nobody is answered.
    assert_eq!(floods[0]["answered"], 0);
    assert!(floods[1]["answered"].as_u64().unwrap() > 0);
    let puts = &summary["puts"];
    assert!(puts["stored"].as_u64().unwrap() > 0 && puts["operation_us"].as_f64().unwrap() > 0.0);
    assert!(summary["setups_certified"]["overlay_first_ms"][0].is_f64());
    assert_eq!(summary["cosip_server"]["handshakes"], 1000);
    let renumbered = &summary["renumbered"];
    assert!(
        renumbered["left_out"].is_string() || renumbered["reached_s"][0].is_f64(),
        "{renumbered}"
    );
}
