//! Every script: clean, and of one mind with the schema of the settings.

use crate::{needs, project, run};
use cosip::config::schema;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All files of the project that a shell runs.
fn scripts(folder: &Path, found: &mut Vec<PathBuf>) {
    let skipped = ["target", "dist", ".git", "node_modules", "corpus", "artifacts"];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !skipped.contains(&name) {
            scripts(&path, found);
        } else if path.is_file() {
            let start = fs::read(&path).unwrap();
            let line = String::from_utf8_lossy(start.split(|b| *b == b'\n').next().unwrap());
            let shell = line.starts_with("#!") && (line.contains("/sh") || line.contains("bash"));
            if shell || name.ends_with(".sh") {
                found.push(path);
            }
        }
    }
}

#[test]
fn every_script_passes_shellcheck() {
    if !needs::are_met("every_script_passes_shellcheck", &["shellcheck"]) {
        return;
    }
    let mut found = Vec::new();
    scripts(project(), &mut found);
    assert!(found.len() > 15, "{found:?}");
    // OpenWrt's shell is an ash, which `dash` comes close to; shellcheck does not know rc.common.
    let (init, others): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|path| path.extension().is_some_and(|end| end == "init"));
    assert_eq!(init.len(), 1);
    run(Command::new("shellcheck").args(["--shell", "dash"]).args(init));
    run(Command::new("shellcheck").args(others));
}

/// The options as the schema has them: section, name and default.
fn schema() -> BTreeSet<(String, String, String)> {
    let schema: serde_json::Value = serde_json::from_str(&schema::json()).unwrap();
    let text = |row: &serde_json::Value, name: &str| match &row[name] {
        serde_json::Value::Array(values) => {
            values.iter().filter_map(|v| v.as_str()).collect::<Vec<_>>().join(" ")
        }
        value => value.as_str().unwrap_or_default().to_owned(),
    };
    let rows = schema["options"].as_array().unwrap().iter();
    rows.map(|row| (text(row, "section"), text(row, "option"), text(row, "default"))).collect()
}

#[test]
fn the_init_script_has_the_daemons_options_and_defaults() {
    let path = project().join("openwrt/net/cosip/files/cosip.init");
    let text = fs::read_to_string(path).unwrap();
    let known = schema();
    let read = text.lines().filter_map(|line| line.trim().strip_prefix("read_option "));
    let read: Vec<Vec<&str>> = read.map(|line| line.split(' ').collect()).collect();
    assert!(read.len() >= 9, "{read:?}");
    for words in read {
        let [_, section, name, default] = words[..] else { panic!("{words:?}") };
        let row = (section.to_owned(), name.to_owned(), default.to_owned());
        assert!(known.contains(&row), "not in the schema: {row:?}");
    }
    let (_, rest) = text.split_once("uci_load_validate").unwrap();
    let validated = rest.lines().skip(1).map_while(|line| line.trim().strip_prefix('\''));
    let validated: Vec<&str> = validated.filter_map(|line| line.split(':').next()).collect();
    assert!(validated.len() >= 7, "{validated:?}");
    for name in validated {
        let is_known = known
            .iter()
            .any(|(section, option, _)| (section.as_str(), option.as_str()) == ("adapter", name));
        assert!(is_known, "not in the schema: {name}");
    }
}
