//! A thousand routers with real signatures, in calm and when half of them vanish: three seeds
//! that never change, and a fresh one.

#![cfg(feature = "lab")]

use cosip::lab::sim::{Options, Scenario, Summary, run};

fn simulate(seed: u64) -> Summary {
    run(&Options {
        routers: 1000,
        seed,
        scenarios: vec![Scenario::Steady, Scenario::HalfLost],
        minutes: Some(2),
        threads: 1,
        tell: false,
        ..Options::default()
    })
}

fn hold(seed: u64) {
    println!("to see it again: cosip-lab sim --routers 1000 --minutes 2 --seed {seed}");
    let summary = simulate(seed);
    for phase in &summary.phases {
        println!("{}", phase.line());
        assert!(phase.score.asked > 300, "there were look-ups");
    }
    assert_eq!(summary.faults(), Vec::<String>::new(), "seed {seed}");
}

#[test]
fn a_thousand_routers_find_everything_by_the_first_seed() {
    hold(1);
}

#[test]
fn a_thousand_routers_find_everything_by_the_second_seed() {
    hold(2);
}

#[test]
fn a_thousand_routers_find_everything_by_the_third_seed() {
    hold(3);
}

#[test]
fn a_thousand_routers_find_everything_by_a_fresh_seed() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    hold(now.as_micros() as u64);
}
