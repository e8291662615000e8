//! The simulator itself: one seed decides everything, and each oracle notices what it is for.

use super::*;

fn small(seed: u64) -> Options {
    Options {
        routers: 140,
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
    let one = run(&small(1));
    let two = run(&Options { threads: 2, ..small(1) });
    let other = run(&small(2));
    assert_eq!(one.event_hash, two.event_hash);
    assert_ne!(one.event_hash, other.event_hash);
    assert_eq!(one.phases[0].score, two.phases[0].score);
}

#[test]
fn a_sound_network_answers_everything_right() {
    let sound = steady(None);
    assert_eq!(sound.faults, Vec::<String>::new());
    assert!(sound.score.asked > 20 && sound.score.right == sound.score.asked, "{sound:?}");
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
    let faults = steady(Some(Fault::GrowsAnswers)).faults;
    assert!(faults.iter().any(|fault| fault.contains("larger than requests")), "{faults:?}");
}

#[test]
fn look_ups_without_an_end_are_noticed() {
    let broken = steady(Some(Fault::ForgetsToEnd));
    assert!(broken.score.endless > 0 && !broken.faults.is_empty());
}

#[test]
fn what_is_more_than_it_may_be_is_noticed() {
    let mut network = Network::warm(&small(5));
    network.plan_publishing();
    network.run_until(network.now + PUBLISHING_US + REST_US);
    assert_eq!(verdict::broken_limits(&network), Vec::<String>::new());
    network.world.common.limits.store_entries = 1;
    assert!(!verdict::broken_limits(&network).is_empty());
}

#[test]
fn the_pictures_show_every_phase() {
    let summary = run(&small(6));
    for svg in [plot::latencies(&summary), plot::success(&summary)] {
        assert!(svg.contains("steady") && svg.contains("<polyline") && svg.ends_with("</svg>\n"));
    }
    let json: serde_json::Value = serde_json::from_str(&summary.json()).unwrap();
    assert_eq!(json["phases"][0]["name"], "steady");
    assert!(json["phases"][0]["bytes_per_s"].as_f64().unwrap() > 1.0);
}
