//! What adapters add, in the table.

use super::*;

/// One row of each way, without failures.
pub(in crate::lab::bench) fn rows() -> Vec<Row> {
    let row = |way, setup| Row { setups_us: vec![setup; 3], calls: 4, ..Row::new(way) };
    vec![row(Way::Direct, 400), row(Way::Server, 900), row(Way::Overlay, 1000)]
}

#[test]
fn the_table_tells_what_adapters_add() {
    let load =
        Load { calls: 3, phones: 2, pairs: 1, talk: Duration::from_secs(1), rounds: 1, members: 5 };
    let text = table(&rows(), load);
    let added = text.lines().find(|line| line.starts_with("added to the set-up")).unwrap();
    assert!(added.contains(" 500 us") && added.ends_with(" 600 us"), "{added}");
}
