//! The figures that are computed, and that a failure shows.

use super::*;

fn results(failed: Option<u16>) -> Results {
    Results {
        load: Load {
            calls: 3,
            phones: 2,
            pairs: 1,
            talk: Duration::from_secs(1),
            rounds: 1,
            members: 5,
            flood_per_s: 20_000,
        },
        figures: vec![
            Box::new(calls::tests::ways(failed)),
            Box::new(failures::FirstCalls::default()),
            Box::new(renumber::Measured(Err("needs root".to_owned()))),
            Box::new(lookups::Lookups::default()),
            Box::new(setups::Setups::default()),
            Box::new(floods::Floods::default()),
            Box::new(puts::Puts::default()),
        ],
    }
}

#[test]
fn quantiles_are_values_that_were_measured() {
    let sorted: Vec<u32> = (1..=100).collect();
    assert_eq!((quantile(&sorted, 50), quantile(&sorted, 99)), (50, 99));
    assert_eq!((quantile(&[7u32], 99), quantile::<u32>(&[], 50)), (7, 0));
}

#[test]
fn what_adapters_add_is_told_beside_the_direct_way() {
    let value: Value = serde_json::from_str(&results(None).json()).unwrap();
    assert_eq!(value["failed"], 0);
    let ways = value["ways"].as_array().unwrap();
    assert_eq!(ways[0]["setup_us_p50"], 400);
    assert_eq!(ways[1]["setup_us_p50"], 900);
    assert_eq!(value["renumbered"]["left_out"], "needs root");
    assert!(results(None).table().contains("left out: needs root"));
}

#[test]
fn one_failed_call_is_told_everywhere() {
    let results = results(Some(480));
    assert_eq!(results.failed(), 1);
    assert!(results.json().contains("\"failed\": 1"));
    assert!(results.table().contains("1 call failed with 480"));
}
