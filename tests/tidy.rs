//! Holds the sources to the rules of the house: sizes, words, where what may be used.
//!
//! A rule that only a reviewer holds is broken within a month. Each is a function from a file to
//! its faults, so that this file can also show that each finds something.

use std::fs;
use std::path::{Path, PathBuf};

const COLUMNS_MAX: usize = 100;
const FUNCTION_LINES_MAX: usize = 70;
const FILE_LINES_MAX: usize = 400;

/// A file below the root of the project.
struct Source {
    /// With `/` between its parts.
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_below(&self, folders: &[&str]) -> bool {
        folders.iter().any(|folder| self.path.starts_with(folder))
    }

    /// Unit tests live in files and folders of this name beside what they test.
    fn is_test(&self) -> bool {
        !self.is_below(&["src/"])
            || self.path.ends_with("/tests.rs")
            || self.path.contains("/tests/")
    }

    /// What the sans-I/O rule binds: all but the driver, the lab and the programs.
    fn is_core(&self) -> bool {
        let impure = ["src/driver/", "src/lab/", "src/server/", "src/bin/"];
        self.is_rust() && !self.is_test() && !self.is_below(&impure)
    }

    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    fn lines_with(&self, word: &str) -> Vec<String> {
        self.lines()
            .filter(|(_, line)| has_word(line, word))
            .map(|(number, _)| format!("{}:{number}: {word}", self.path))
            .collect()
    }
}

/// Whether `word` is in `line` and no part of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().is_some_and(part);
        let after = line[at + word.len()..].chars().next().is_some_and(part);
        let longer = (before && word.starts_with(part)) || (after && word.ends_with(part));
        !longer
    })
}

fn wide_lines(source: &Source) -> Vec<String> {
    let table = |line: &str| source.path.ends_with(".md") && line.starts_with('|');
    source
        .lines()
        .filter(|(_, line)| line.chars().count() > COLUMNS_MAX && !table(line))
        .map(|(number, _)| format!("{}:{number}: over {COLUMNS_MAX} columns", source.path))
        .collect()
}

fn long_file(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let long = source.is_rust() && !source.is_test() && lines > FILE_LINES_MAX;
    long.then(|| format!("{}: {lines} lines, over {FILE_LINES_MAX}", source.path))
        .into_iter()
        .collect()
}

/// As rustfmt lays them out: a function ends at the brace in the column where it began.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut faults = Vec::new();
    for (first, line) in lines.iter().enumerate().filter(|_| source.is_rust()) {
        let indent = line.len() - line.trim_start().len();
        let words = ["fn ", "pub fn ", "pub(", "const fn ", "pub const fn ", "async fn "];
        let starts = words.iter().any(|word| line.trim_start().starts_with(word));
        if !starts || !has_word(line, "fn ") || line.ends_with(['}', ';']) {
            continue;
        }
        let end = |line: &&str| line.len() > indent && line[indent..].starts_with(['}', ')']);
        let closed = |line: &&str| end(line) && (line.ends_with('}') || line.ends_with(';'));
        let length = lines[first..].iter().position(closed).map_or(0, |last| last + 1);
        if length > FUNCTION_LINES_MAX {
            faults.push(format!("{}:{}: a function of {length} lines", source.path, first + 1));
        }
    }
    faults
}

fn no_essay(source: &Source) -> Vec<String> {
    let missing = source.is_rust() && !source.text.starts_with("//! ");
    missing.then(|| format!("{}: does not open with //!", source.path)).into_iter().collect()
}

fn no_title(source: &Source) -> Vec<String> {
    if !source.path.ends_with(".md") {
        return Vec::new();
    }
    let mut in_code = false;
    let mut titles = 0;
    for (_, line) in source.lines() {
        in_code ^= line.starts_with("```");
        titles += usize::from(!in_code && line.starts_with("# "));
    }
    let good = source.text.starts_with("# ") && titles == 1;
    (!good).then(|| format!("{}: wants one title, first", source.path)).into_iter().collect()
}

fn banned_words(source: &Source) -> Vec<String> {
    let everywhere = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/ho", "me/"),
        concat!("/tmp/", "wt"),
        concat!("issue", " #"),
        concat!("this ", "session"),
    ];
    let in_code = [
        concat!("dbg", "!"),
        concat!("todo", "!"),
        concat!("unimplemented", "!"),
        concat!("allow(", "dead_code"),
        concat!("allow(", "unused"),
    ];
    let code = in_code.into_iter().filter(|_| source.is_rust());
    everywhere.into_iter().chain(code).flat_map(|word| source.lines_with(word)).collect()
}

fn impure_cores(source: &Source) -> Vec<String> {
    if !source.is_core() {
        return Vec::new();
    }
    let impure = [
        "std::time",
        "std::fs",
        "std::net::UdpSocket",
        "std::net::TcpStream",
        "std::thread",
        "std::env",
        "std::process",
        "HashMap",
        "HashSet",
        "f32",
        "f64",
        "AtomicU64",
        "println!",
        "getrandom::fill",
        "smol",
        "nix",
    ];
    impure.into_iter().flat_map(|word| source.lines_with(word)).collect()
}

fn unsafe_code(source: &Source) -> Vec<String> {
    if source.is_test() || source.path == "src/driver/poll.rs" {
        return Vec::new();
    }
    source.lines_with("unsafe")
}

/// What each layer may use of the others, as the essay in lib.rs says.
const LAYERS: [(&str, &[&str]); 12] = [
    ("config", &[]),
    ("observe", &[]),
    ("sip", &[]),
    ("media", &["config"]),
    ("identity", &[]),
    ("overlay", &["identity", "observe"]),
    ("channel", &["identity", "observe"]),
    ("portmap", &["observe"]),
    (
        "adapter",
        &["config", "observe", "sip", "media", "identity", "overlay", "channel", "portmap"],
    ),
    ("control", &["config"]),
    ("driver", &["config", "control", "identity"]),
    ("server", &["adapter", "channel", "config", "driver", "identity", "observe"]),
];

fn crossed_layers(source: &Source) -> Vec<String> {
    let below = source.path.strip_prefix("src/").unwrap_or_default();
    let layer = below.split(['/', '.']).next().unwrap_or_default();
    let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == layer) else {
        return Vec::new();
    };
    let foreign = |name: &&str| *name != layer && !allowed.contains(name);
    let others = LAYERS.iter().map(|(name, _)| *name).chain(["lab"]);
    let code = |line: &str| !line.trim_start().starts_with("//");
    let used = |name: &str| {
        let word = format!("crate::{name}");
        source.lines().any(|(_, line)| code(line) && has_word(line, &word))
    };
    let used = others.filter(foreign).filter(|name| !source.is_test() && used(name));
    used.map(|name| format!("{}: {layer} uses {name}", source.path)).collect()
}

/// A file that no `mod` names is compiled by nobody.
fn orphan(source: &Source, all: &[Source]) -> Vec<String> {
    let Some(path) = source.path.strip_prefix("src/") else { return Vec::new() };
    let path = path.strip_suffix("/mod.rs").or_else(|| path.strip_suffix(".rs")).unwrap_or(path);
    if !source.is_rust() || path == "lib" || path.starts_with("bin/") {
        return Vec::new();
    }
    let (parents, name) = match path.rsplit_once('/') {
        Some((folder, name)) => {
            (vec![format!("src/{folder}.rs"), format!("src/{folder}/mod.rs")], name)
        }
        None => (vec!["src/lib.rs".to_owned()], path),
    };
    let wanted = format!("mod {name};");
    let named = all.iter().any(|s| parents.contains(&s.path) && s.text.contains(&wanted));
    (!named).then(|| format!("{}: no module names it", source.path)).into_iter().collect()
}

fn collect(root: &Path, folder: &Path, sources: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_str().unwrap();
        let skipped = ["target", "dist", "data", "seeds", "corpus", "artifacts", ".git"];
        let text = [".rs", ".md", ".sh", ".toml", "Makefile", "run", "cargo", ".config"];
        if path.is_dir() && !skipped.contains(&name) {
            collect(root, &path, sources);
        } else if path.is_file() && text.iter().any(|end| name.ends_with(end)) {
            let below = path.strip_prefix(root).unwrap().to_str().unwrap();
            sources.push(Source::new(below, &fs::read_to_string(&path).unwrap()));
        }
    }
}

fn project() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    collect(root, root, &mut sources);
    assert!(sources.len() > 100, "the sources are here");
    sources
}

fn hold(rule: impl Fn(&Source) -> Vec<String>) {
    let faults: Vec<String> = project().iter().flat_map(rule).collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn lines_functions_and_files_are_short() {
    hold(|source| [wide_lines(source), long_functions(source), long_file(source)].concat());
}

#[test]
fn every_file_says_what_it_is() {
    hold(|source| [no_essay(source), no_title(source)].concat());
}

#[test]
fn no_banned_word_is_used() {
    hold(banned_words);
}

#[test]
fn cores_are_pure_layers_apart_and_nothing_unsafe_but_the_poll_loop() {
    hold(|source| [impure_cores(source), unsafe_code(source), crossed_layers(source)].concat());
}

#[test]
fn every_source_file_is_compiled() {
    let all = project();
    hold(|source| orphan(source, &all));
}

#[test]
fn every_rule_finds_what_it_is_for() {
    let long_function = format!("//! x\nfn f(\n) {{\n{}}}\n", "    g();\n".repeat(70));
    let fair_function = format!("//! x\nfn f(\n) {{\n{}}}\n", "    g();\n".repeat(67));
    type Rule = fn(&Source) -> Vec<String>;
    let cases: [(Rule, &str, String, usize); 19] = [
        (wide_lines, "src/a.rs", "x".repeat(101), 1),
        (wide_lines, "src/a.rs", "ä".repeat(100), 0),
        (wide_lines, "a.md", format!("| {}", "x".repeat(101)), 0),
        (long_functions, "src/a.rs", long_function, 1),
        (long_functions, "src/a.rs", fair_function, 0),
        (
            long_functions,
            "src/a.rs",
            format!("    pub(super) set: fn(u8),\n{}", "x\n".repeat(99)),
            0,
        ),
        (long_file, "src/a.rs", "\n".repeat(401), 1),
        (long_file, "src/a/tests.rs", "\n".repeat(401), 0),
        (no_essay, "src/a.rs", "use x;\n//! late\n".to_owned(), 1),
        (no_title, "a.md", "# One\n# Two\n".to_owned(), 1),
        (no_title, "a.md", "# One\n```\n# no title\n```\n".to_owned(), 0),
        (banned_words, "src/a.rs", concat!("// TO", "DO: more").to_owned(), 1),
        (banned_words, "src/a.rs", concat!("MASTO", "DON").to_owned(), 0),
        (impure_cores, "src/sip/a.rs", "use std::time::Instant;".to_owned(), 1),
        (impure_cores, "src/driver/a.rs", "use std::time::Instant;".to_owned(), 0),
        (unsafe_code, "src/sip/a.rs", "unsafe { x }".to_owned(), 1),
        (crossed_layers, "src/sip/a.rs", "use crate::media::Media;".to_owned(), 1),
        (crossed_layers, "src/media/a.rs", "use crate::config::Config;".to_owned(), 0),
        (unsafe_code, "src/driver/poll.rs", "unsafe { x }".to_owned(), 0),
    ];
    for (number, (rule, path, text, faults)) in cases.into_iter().enumerate() {
        assert_eq!(rule(&Source::new(path, &text)).len(), faults, "case {number}: {path}");
    }
    let all = [Source::new("src/lib.rs", "pub mod a;"), Source::new("src/a/mod.rs", "mod b;")];
    assert!(orphan(&Source::new("src/a/b.rs", ""), &all).is_empty());
    assert_eq!(orphan(&Source::new("src/a/c.rs", ""), &all).len(), 1);
    assert!(orphan(&all[1], &all).is_empty());
}
