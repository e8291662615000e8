//! The simulator itself: one seed decides everything, and each oracle notices what it is for.

use super::*;

fn small(seed: u64) -> Options {
    Options {
        routers: 64,
        seed,
        scenarios: vec![Scenario::Steady],
        minutes: Some(1),
        threads: 1,
        stand_in: true,
        tell: false,
        ..Options::default()
    }
}

fn steady(fault: Option<Fault>) -> Measured {
    run(&Options { fault, ..small(3) }).phases.remove(0)
}

#[test]
fn one_seed_decides_everything_however_many_threads_there_are() {
    let of = |seed, threads| {
        let scenarios = vec![Scenario::Steady, Scenario::Clients];
        // More than one pool of addresses has.
        run(&Options { routers: 72, threads, scenarios, ..small(seed) })
    };
    let (one, two, other) = (of(1, 1), of(1, 2), of(2, 1));
    assert_eq!(one.event_hash, two.event_hash);
    assert_ne!(one.event_hash, other.event_hash);
    for (one, two) in one.phases.iter().zip(&two.phases) {
        assert_eq!((one.score, one.meetings), (two.score, two.meetings));
    }
}

#[test]
fn a_sound_network_answers_everything_right() {
    let sound = steady(None);
    assert_eq!(sound.faults, Vec::<String>::new());
    assert!(sound.score.asked > 5 && sound.score.right == sound.score.asked, "{sound:?}");
}

#[test]
fn a_network_of_the_certified_answers_everything_right_at_places_of_its_own() {
    let of = |certified| run(&Options { certified, ..small(3) });
    let (plain, mut certified) = (of(false), of(true));
    assert_ne!(plain.event_hash, certified.event_hash);
    let certified = certified.phases.remove(0);
    assert_eq!(certified.faults, Vec::<String>::new());
    assert!(certified.score.asked > 5, "{certified:?}");
    assert_eq!(certified.score.right, certified.score.asked);
}

#[test]
fn all_the_certified_of_a_full_24_are_listed_again_when_most_have_moved() {
    let of = |options: Options| run(&options).phases.remove(0);
    let scenarios = vec![Scenario::Restart];
    let full = Options {
        routers: 240,
        nets: Some(1),
        certified: true,
        scenarios,
        minutes: Some(6),
        ..small(3)
    };
    let phase = of(full);
    assert_eq!(phase.members(), (240, 240), "{}", phase.line());
}

#[test]
fn round_trip_times_spread_as_they_do_between_hosts_of_the_internet() {
    let mut dice = dice::Dice::new(1, "test", 0);
    let mut rtts: Vec<u32> = (0..20_000)
        .map(|_| {
            let end = |pool: u64| (pool as u32, link::region(1, pool as u32));
            let way_us = link::way_us(1, end(dice.below(300)), end(dice.below(300)));
            let lines = [link::Line::new(&mut dice), link::Line::new(&mut dice)];
            link::rtt_us(way_us, &lines[0], &lines[1]) as u32
        })
        .collect();
    rtts.sort_unstable();
    let ms = |percent| measure::percentile(&rtts, percent) / 1000;
    assert!((70..95).contains(&ms(50)), "the median is {} ms", ms(50));
    assert!((350..650).contains(&ms(99)), "one in a hundred is above {} ms", ms(99));
}

#[test]
fn records_that_do_not_arrive_are_missed() {
    let broken = steady(Some(Fault::LosesValues));
    assert!(broken.score.missing > 0 && !broken.faults.is_empty());
}

#[test]
fn old_records_are_noticed() {
    let broken = run(&Options {
        fault: Some(Fault::TellsTheOld),
        scenarios: vec![Scenario::Avalanche],
        minutes: Some(5),
        ..small(4)
    });
    assert!(broken.phases[0].score.stale > 0);
}

#[test]
fn answers_larger_than_what_a_stranger_asked_are_noticed() {
    is_noticed(&broken(Fault::GrowsAnswers, Scenario::Renumber, 1), "larger than requests");
}

#[test]
fn look_ups_without_an_end_are_noticed() {
    let broken = steady(Some(Fault::ForgetsToEnd));
    assert!(broken.score.endless > 0 && !broken.faults.is_empty());
}

fn broken(fault: Fault, scenario: Scenario, minutes: u64) -> Measured {
    let (scenarios, minutes) = (vec![scenario], Some(minutes));
    run(&Options { fault: Some(fault), scenarios, minutes, ..small(7) }).phases.remove(0)
}

fn is_noticed(broken: &Measured, what: &str) {
    assert!(broken.faults.iter().any(|fault| fault.contains(what)), "{}", broken.line());
}

#[test]
fn wrong_answers_are_noticed_whatever_happens_to_the_network() {
    let scenarios = vec![Scenario::Slow, Scenario::BadRegion, Scenario::Peak];
    let fault = Some(Fault::LosesValues);
    let phases = run(&Options { scenarios, fault, ..small(3) }).phases;
    assert_eq!(phases.len(), 3);
    phases.iter().for_each(|phase| is_noticed(phase, "look-ups right"));
    is_noticed(&broken(Fault::LosesValues, Scenario::Families, 1), "look-ups right");
    is_noticed(&broken(Fault::LosesValues, Scenario::Growth, 2), "look-ups right");
}

#[test]
fn a_router_that_is_crushed_is_noticed() {
    is_noticed(&broken(Fault::Storms, Scenario::Peak, 2), "for one router in a second");
}

#[test]
fn more_traffic_than_planned_is_noticed_in_a_phase_of_its_whole_length() {
    let of =
        |fault, minutes| run(&Options { routers: 16, fault, minutes, ..small(3) }).phases.remove(0);
    assert_eq!(of(None, None).faults, Vec::<String>::new());
    is_noticed(&of(Some(Fault::Chatters), None), "B/s of a router");
    assert_eq!(of(Some(Fault::Chatters), Some(1)).faults, Vec::<String>::new());
}

#[test]
fn carriers_that_forget_flows_are_noticed() {
    is_noticed(&broken(Fault::ForgetsFlows, Scenario::Clients, 6), "callees behind NATs met");
}

#[test]
fn adapters_that_the_older_ones_do_not_understand_are_noticed() {
    is_noticed(&broken(Fault::SpeaksTheNewAlone, Scenario::Upgrade, 2), "look-ups right");
}

/// What certificates are for, and that their lack shows.
#[test]
fn liars_make_a_callee_vanish_where_they_choose_their_places_and_nobody_where_they_cannot() {
    let played = |certified| {
        let scenarios = vec![Scenario::ManyLiars];
        run(&Options { routers: 200, minutes: Some(12), certified, scenarios, ..small(4) })
            .phases
            .remove(0)
    };
    is_noticed(&played(false), "found whom liars make vanish");
    assert_eq!(played(true).faults, Vec::<String>::new());
}

#[test]
fn a_watch_revokes_who_denies_what_it_promised_and_nobody_who_lost_power() {
    let played = |certified, minutes| {
        let (scenarios, minutes) = (vec![Scenario::Watched], Some(minutes));
        run(&Options { routers: 100, minutes, certified, scenarios, ..small(7) }).phases.remove(0)
    };
    // Each has touched its records once.
    let mut phase = played(true, 75);
    assert_eq!(phase.faults, Vec::<String>::new());
    let seen = phase.watched.unwrap();
    assert!(seen.revoked > 2 && seen.revoked == seen.deniers, "{seen:?}");
    assert!(seen.droppers > 1 && seen.unused == seen.droppers, "{seen:?}");
    assert!(seen.power_cuts > 2, "{seen:?}");
    assert_eq!(seen.falsely, 0);
    // What is too little of it is noticed.
    phase.minutes = Scenario::Watched.minutes();
    phase.take_watched(Some(Watched { falsely: 1, revoked: 1, unused: 0, ..seen }));
    for fault in ["1 honest members revoked", "liars revoked", "liars unused"] {
        is_noticed(&phase, fault);
    }
    is_noticed(&played(false, 1), "did not happen");
}

#[test]
fn garbage_that_is_taken_is_noticed() {
    is_noticed(&broken(Fault::TakesAnything, Scenario::Hostile, 3), "should be refused");
}

#[test]
fn what_is_more_than_it_may_be_is_noticed() {
    let mut network = Network::new(&small(5), Population::Members);
    network.plan_publishing();
    network.run_until(network.now + PUBLISHING_US + REST_US);
    assert_eq!(verdict::broken_limits(&network), Vec::<String>::new());
    network.world.common.limits.store_entries = 1;
    assert!(!verdict::broken_limits(&network).is_empty());
}

#[test]
fn few_look_ups_are_judged_by_what_few_can_show_and_many_by_the_share() {
    let of_a_thousand = [100, 700, 5_000, 10_000, 300_000].map(|n| measure::may_fail(n, 999_000));
    assert_eq!(of_a_thousand, [1, 4, 13, 10, 300]);
    let of_ten_thousand = [400, 2_000, 100_000, 300_000].map(|n| measure::may_fail(n, 999_900));
    assert_eq!(of_ten_thousand, [0, 1, 10, 30]);
}

#[test]
fn the_pictures_show_every_phase() {
    let summary = run(&small(6));
    let larger = Summary { routers: 128, ..summary.clone() };
    let traffic = plot::traffic(&[summary.clone(), larger]);
    for svg in [plot::latencies(&summary), plot::success(&summary), traffic] {
        assert!(svg.contains("steady") && svg.contains("<polyline") && svg.ends_with("</svg>\n"));
    }
    let json: serde_json::Value = serde_json::from_str(&summary.json()).unwrap();
    assert_eq!(json["phases"][0]["name"], "steady");
    assert!(json["phases"][0]["bytes_per_s"].as_f64().unwrap() > 0.0);
    // Each knows the 63 others as hints, and is listed with most of them.
    let table = json["phases"][0]["table_bytes"].as_u64().unwrap();
    assert!((63 * 16..63 * (16 + 72) + 1).contains(&table), "{table}");
}
