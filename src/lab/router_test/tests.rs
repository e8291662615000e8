//! What is told of a router, and what is a fault of it.

use super::*;
use crate::lab::report::tests;

fn load(by: &'static str) -> Load {
    let talk = Talk { packets_sent: 1000, packets_heard: 990, ..Talk::default() };
    Load { by, talk, memory_kb: 4_500 }
}

fn good() -> Results {
    Results {
        limits: Limits::of(Kind::Malta),
        accepted_ms: 1_000,
        empty_kb: (2_500, 900),
        idle_kb: (3_000, 1_000),
        interception: "tproxy".to_owned(),
        calls: tests::good(),
        loads: vec![load("the server"), load("the overlay")],
        mappings: "900 r-xp /usr/bin/cosip\n".to_owned(),
    }
}

/// The only fault of good results that this was done to.
fn fault(change: impl FnOnce(&mut Results)) -> String {
    let mut results = good();
    change(&mut results);
    assert!(results.json().contains("\"ok\": false"));
    let faults = results.faults();
    assert_eq!(faults.len(), 1, "{faults:?}");
    faults.into_iter().next().unwrap()
}

#[test]
fn a_router_at_its_limits_is_good_enough() {
    assert_eq!(good().faults(), Vec::<String>::new());
    assert!(good().json().contains("\"ok\": true"));
    assert!(good().table().contains("at most 4500 kB"));
}

#[test]
fn each_limit_is_one() {
    assert!(fault(|it| it.accepted_ms += 1).contains("1001 ms"));
    assert!(fault(|it| it.idle_kb.0 += 1).contains("idle: 3001 kB"));
    assert!(fault(|it| it.loads[1].memory_kb += 1).contains("16 calls by the overlay: 4501 kB"));
}

#[test]
fn what_could_not_be_measured_is_no_small_figure() {
    assert!(fault(|it| it.idle_kb = (0, 0)).contains("idle: 0 kB"));
    assert!(fault(|it| it.loads[0].memory_kb = 0).contains("by the server: 0 kB"));
}

#[test]
fn calls_without_answer_or_sound_are_faults() {
    assert!(fault(|it| it.loads[0].talk.failed.push(503)).contains("[503]"));
    assert!(fault(|it| it.loads[0].talk.packets_heard = 949).contains("94.9 %"));
    assert!(fault(|it| it.loads[0].talk = Talk::default()).contains("0.0 %"));
    assert!(fault(|it| it.calls.series.clear()).contains("no call"));
    assert!(fault(|it| it.interception = "redirect".to_owned()).contains("redirect"));
}
