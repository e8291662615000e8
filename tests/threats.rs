//! The threat model of docs/security.md: each of its rows names the tests that show what it says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Tables whose rows are to be shown.
const THREATS: [&str; 2] =
    ["## Threats by members and strangers", "## Threats to the provider's side"];
/// The table that says where.
const TESTS: &str = "## Where each is tested";
/// What takes the place of a test, where there is nothing to show.
const NOTHING: &str = "not protected";

/// The rows of the first table behind a title, without its head, cell by cell.
fn rows(text: &str, title: &str) -> Vec<Vec<String>> {
    let (_, behind) = text.split_once(&format!("\n{title}\n")).expect(title);
    let table = behind.lines().skip_while(|line| !line.starts_with('|'));
    let table = table.take_while(|line| line.starts_with('|')).skip(2);
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    table.map(|line| cells(line)[1..].to_vec()).collect()
}

/// The names of all functions below a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let named = text.lines().filter_map(|line| line.trim().strip_prefix("fn "));
            names.extend(named.filter_map(|rest| Some(rest.split_once('(')?.0.to_owned())));
        }
    }
}

/// What is missing: rows that no test is named for, names of no test, and tests of no row.
fn missing(text: &str, functions: &BTreeSet<String>) -> Vec<String> {
    let tests = rows(text, TESTS);
    let threats: Vec<String> =
        THREATS.iter().flat_map(|title| rows(text, title)).map(|row| row[0].clone()).collect();
    let mut missing = Vec::new();
    for threat in &threats {
        let named = tests.iter().find(|row| row[0] == *threat).map(|row| row[1].as_str());
        let names: Vec<&str> = named.unwrap_or_default().split('`').skip(1).step_by(2).collect();
        if names.is_empty() && named != Some(NOTHING) {
            missing.push(format!("no test is named for: {threat}"));
        }
        let unknown = names.iter().filter(|name| !functions.contains(**name));
        missing.extend(unknown.map(|name| format!("no test is called {name}")));
    }
    let strange = tests.iter().filter(|row| !threats.contains(&row[0]));
    missing.extend(strange.map(|row| format!("no row says: {}", row[0])));
    missing
}

#[test]
fn every_row_of_the_threat_model_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let mut names = BTreeSet::new();
    for folder in ["src", "tests"] {
        functions(&root.join(folder), &mut names);
    }
    assert_eq!(missing(&text, &names), Vec::<String>::new());
}

#[test]
fn a_row_without_tests_and_a_test_that_is_gone_are_found() {
    let text = "\n## Threats by members and strangers\n\n| who | what |\n|---|---|\n\
                | lies | finds nobody |\n| floods | is cut |\n\n\
                ## Threats to the provider's side\n\n| who | can |\n|---|---|\n\
                | guesses | see |\n\n\
                ## Where each is tested\n\n| row | tests |\n|---|---|\n\
                | lies | `a_liar`, `gone` |\n| guesses | not protected |\n| other | `a_liar` |\n";
    let names = BTreeSet::from(["a_liar".to_owned()]);
    assert_eq!(
        missing(text, &names),
        ["no test is called gone", "no test is named for: floods", "no row says: other"]
    );
}
