//! Verdicts on what a demo saw.

use super::*;

/// A summary in which all is as it should be.
pub(in crate::lab) fn good() -> Summary {
    let call = |name, path, expected, setup_ms, at: f64| CallResult {
        name,
        path,
        expected,
        setup_ms: Some(setup_ms),
        setup_ms_min: 0.0,
        audio_a_to_b: 1.0,
        audio_b_to_a: 1.0,
        rings: 1,
        ended: true,
        began_ms: at,
        ended_ms: at + 2_000.0,
    };
    let overlay = Expected::Only(Path::Overlay);
    let series = |fault| Series {
        fault,
        calls: vec![
            call("server-up", Path::Server, Expected::Only(Path::Server), 9.14, 3_000.0),
            call("first-after-failure", Path::Overlay, overlay, 512.0, 5_500.0),
            call("known-down", Path::Overlay, overlay, 12.0, 8_500.0),
            call("after-recovery", Path::Overlay, Expected::Either, 11.0, 18_000.0),
        ],
        server: [(0.0, 5_000.0, "running"), (5_000.0, 11_000.0, "stopped")]
            .map(|(from_ms, to_ms, state)| Span { from_ms, to_ms, state: state.to_owned() })
            .into(),
        verdict: vec![Span { from_ms: 2_500.0, to_ms: 9_000.0, state: "up".to_owned() }],
        ladder: String::new(),
        ghost_rings: 0,
    };
    Summary { server: "embedded", series: vec![series(Fault::Stopped), series(Fault::Killed)] }
}

#[test]
fn the_summary_has_the_agreed_shape() {
    let value: Value = serde_json::from_str(&good().json()).unwrap();
    assert_eq!(value["server"], "embedded");
    assert_eq!(value["ok"], true);
    let first = json!({
        "name": "server-up", "path": "server", "setup_ms": 9.1,
        "audio_a_to_b": 1.0, "audio_b_to_a": 1.0,
    });
    assert_eq!(value["calls"][0], first);
    let names: Vec<&str> =
        value["calls"].as_array().unwrap().iter().map(|c| c["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["server-up", "first-after-failure", "known-down", "after-recovery"]);
}

#[test]
fn each_fault_of_a_call_alone_fails_the_demo() {
    assert_eq!(good().faults(), Vec::<String>::new());
    let spoil: [fn(&mut CallResult); 8] = [
        |call| call.path = Path::Unclear,
        |call| call.path = Path::Nobody,
        |call| call.audio_a_to_b = 0.9,
        |call| call.audio_b_to_a = 0.0,
        |call| call.setup_ms = None,
        |call| call.setup_ms_min = 10_000.0,
        |call| call.rings = 2,
        |call| call.ended = false,
    ];
    for (number, spoil) in spoil.iter().enumerate() {
        for at in 0..4 {
            let mut summary = good();
            spoil(&mut summary.series[1].calls[at]);
            assert_eq!(summary.faults().len(), 1, "fault {number} of call {at}");
            assert!(summary.json().contains("\"ok\": false"));
        }
    }
}

#[test]
fn the_wrong_path_a_ghost_ring_and_no_call_at_all_are_faults() {
    let mut summary = good();
    summary.series[0].calls[1].path = Path::Server;
    summary.series[0].ghost_rings = 1;
    assert_eq!(summary.faults().len(), 2);
    let nothing = Summary { server: "embedded", series: Vec::new() };
    assert_eq!(nothing.faults().len(), 1);
}
