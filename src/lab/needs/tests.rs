//! Needs that are met and needs that are not.

use super::*;

#[test]
fn a_program_is_found_in_the_search_path_or_not_at_all() {
    let folder = std::env::temp_dir().join(format!("cosip-needs-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let need = Need::Program("a-program-of-this-test");
    assert!(!need.is_met(folder.as_os_str()));
    std::fs::write(folder.join("a-program-of-this-test"), "").unwrap();
    assert!(need.is_met(folder.as_os_str()));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_is_left_out_is_named_with_its_reason() {
    let folder = std::env::temp_dir().join(format!("cosip-left-out-{}", std::process::id()));
    note(&folder, "calls::by kamailio", Need::Program("kamailio"));
    note(&folder, "rules", Need::Root);
    let mut texts: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    texts.sort();
    let wanted = ["  calls::by kamailio: needs kamailio (make setup)\n", "  rules: needs root\n"];
    assert_eq!(texts, wanted);
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_test_without_needs_runs() {
    assert!(are_met("any", &[]));
}
