//! A thousand routers with real signatures, in calm and in trouble: three seeds that never change,
//! and a fresh one.

#![cfg(feature = "lab")]

use cosip::lab::sim::{Options, Scenario, run};

/// Plays scenarios, one after another, in one network; each has to ask `least` times.
fn hold(routers: u32, seed: u64, minutes: u64, scenarios: &[Scenario], least: u64) {
    hold_with(false, routers, seed, minutes, scenarios, least);
}

/// The same, perhaps with routers that a provider has certified.
fn hold_with(
    certified: bool,
    routers: u32,
    seed: u64,
    minutes: u64,
    scenarios: &[Scenario],
    least: u64,
) {
    let names: Vec<_> = scenarios.iter().map(|scenario| scenario.name()).collect();
    println!(
        "to see it again: cosip-lab sim --routers {routers} --minutes {minutes} --seed {seed} \
         --scenario {}{}",
        names.join(","),
        if certified { " --certified" } else { "" }
    );
    let summary = run(&Options {
        routers,
        seed,
        scenarios: scenarios.to_vec(),
        certified,
        minutes: Some(minutes),
        threads: 1,
        tell: false,
        ..Options::default()
    });
    for phase in &summary.phases {
        println!("{}", phase.line());
        assert!(phase.score.asked > least, "there were look-ups");
    }
    assert_eq!(summary.faults(), Vec::<String>::new(), "seed {seed}");
}

#[test]
fn a_thousand_routers_find_everything_when_half_of_them_vanish() {
    hold(1000, 1, 2, &[Scenario::Steady, Scenario::HalfLost], 300);
}

#[test]
fn routers_find_everything_in_a_night_of_changes_and_when_all_of_them_get_other_addresses() {
    hold(250, 3, 10, &[Scenario::Night, Scenario::Renumber], 300);
}

#[test]
fn routers_find_everything_when_most_get_another_address_or_boot() {
    hold(250, 1, 5, &[Scenario::Restart], 100);
}

#[test]
fn a_thousand_routers_find_everything_on_slow_machines_bad_lines_and_at_the_peak() {
    hold(1000, 2, 3, &[Scenario::Slow, Scenario::BadRegion, Scenario::Peak], 300);
}

#[test]
fn a_thousand_routers_find_everything_while_some_attack_the_others() {
    hold(1000, 3, 4, &[Scenario::Hostile], 300);
}

#[test]
fn routers_find_everything_while_their_adapters_are_replaced() {
    hold(150, 1, 30, &[Scenario::Upgrade], 300);
}

#[test]
fn routers_find_everything_when_many_come_back_together_and_halves_find_each_other() {
    hold(250, 2, 15, &[Scenario::Avalanche, Scenario::Partition], 100);
}

#[test]
fn routers_find_and_meet_everybody_behind_carriers_nats() {
    hold(250, 1, 10, &[Scenario::Clients], 100);
}

#[test]
fn routers_of_one_family_and_of_both_find_everything() {
    hold(250, 1, 10, &[Scenario::Families], 100);
}

#[test]
fn routers_find_everything_while_their_network_grows_from_one() {
    hold(250, 1, 15, &[Scenario::Growth], 100);
}

#[test]
fn a_thousand_routers_find_everything_by_a_fresh_seed() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    hold(1000, now.as_micros() as u64, 2, &[Scenario::Steady, Scenario::HalfLost], 300);
}

#[test]
fn certified_routers_find_everything_when_half_of_them_vanish() {
    hold_with(true, 250, 1, 3, &[Scenario::Steady, Scenario::HalfLost], 100);
}

#[test]
fn certified_routers_find_everything_when_most_get_another_address_or_boot() {
    hold_with(true, 250, 2, 5, &[Scenario::Restart], 100);
}

#[test]
fn certified_routers_behind_carriers_nats_find_and_meet_everybody() {
    hold_with(true, 250, 3, 10, &[Scenario::Clients], 100);
}
