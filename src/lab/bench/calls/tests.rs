//! What adapters add, in the table.

use super::*;

/// One row of each way; perhaps one call has failed.
pub(in crate::lab::bench) fn ways(failed: Option<u16>) -> Ways {
    let load = Load {
        calls: 3,
        phones: 2,
        pairs: 1,
        talk: Duration::from_secs(1),
        rounds: 1,
        members: 5,
        flood_per_s: 20_000,
    };
    let row = |way, setup| Row { setups_us: vec![setup; 3], calls: 4, ..Row::new(way) };
    let mut rows = vec![row(Way::Direct, 400), row(Way::Server, 900), row(Way::Overlay, 1000)];
    failed.into_iter().for_each(|status| rows[2].note_failure(status));
    Ways { load, rows }
}

#[test]
fn the_table_tells_what_adapters_add() {
    let text = ways(None).table();
    let added = text.lines().find(|line| line.starts_with("added to the set-up")).unwrap();
    assert!(added.contains(" 500 us") && added.ends_with(" 600 us"), "{added}");
}
