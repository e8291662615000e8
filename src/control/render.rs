//! JSON of the daemon as text for people.
//!
//! Knows no command's fields: an object becomes lines, a list of objects a table, so that what the
//! daemon learns to tell is shown without a change here. Replies quote the network, so control
//! characters never reach a terminal.

use crate::json::{self, Map, Value, json};
use crate::order::order;
use std::fmt::Write;

/// What comes first, in this order; the rest follows by the alphabet.
const FIRST: [&str; 12] = [
    "version", "running", "mode", "uptime_s", "domain", "aor", "state", "reason", "servers",
    "overlay", "phones", "calls",
];

/// The reply of a daemon as text; what is no JSON stays as it is.
pub fn text(reply: &[u8]) -> String {
    let mut out = String::new();
    match json::parse(reply) {
        Some(Value::Object(fields)) => object(&mut out, &fields, 0),
        Some(Value::Array(items)) if items.is_empty() => out.push_str("none\n"),
        Some(Value::Array(items)) => list(&mut out, &items, 0),
        Some(other) => push_line(&mut out, 0, &scalar(&other)),
        None => {
            out = harmless(&String::from_utf8_lossy(reply));
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
    }
    out
}

/// What `status --json` prints without a daemon: the settings' check alone.
pub fn not_running(version: &str, error: Option<&crate::config::Error>) -> String {
    let config = json!({ "error": config_error(error), "restart_pending": [] });
    json!({ "version": version, "running": false, "config": config }).to_string()
}

/// What is wrong with the settings, as the daemon's status has it.
pub fn config_error(error: Option<&crate::config::Error>) -> Value {
    error.map_or(Value::Null, |error| {
        json!({
            "file": error.file, "line": error.line, "value": error.value, "allowed": error.allowed,
        })
    })
}

/// `status` with the driver's counters among its own; as it is where one of them is no object.
pub fn with_driver_counters(status: &[u8], driver: &[u8]) -> Vec<u8> {
    let Some(Value::Object(mut fields)) = json::parse(status) else { return status.to_vec() };
    let counters = fields.entry("counters");
    if *counters == Value::Null {
        *counters = Value::Object(Map::new());
    }
    if let Some(driver) = json::parse(driver) {
        counters.insert("driver", driver);
    }
    Value::Object(fields).to_string().into_bytes()
}

fn object(out: &mut String, fields: &Map, depth: usize) {
    let simple = |value: &Value| value.as_object().is_none() && !is_table(value);
    let mut entries: Vec<(&str, &Value)> = fields.iter().collect();
    order(&mut entries, |(key, value)| (!simple(value), rank(key)));
    let width = entries.iter().filter(|(_, value)| simple(value)).map(|(key, _)| key.len()).max();
    for (key, value) in entries {
        let key = harmless(key);
        match value {
            Value::Object(inner) if inner.is_empty() => {}
            Value::Object(inner) => {
                push_line(out, depth, &format!("{key}:"));
                object(out, inner, depth + 1);
            }
            Value::Array(items) if is_table(value) => {
                push_line(out, depth, &format!("{key}:"));
                list(out, items, depth + 1);
            }
            _ => {
                let width = width.unwrap_or(0);
                push_line(out, depth, &format!("{key:width$}  {}", scalar(value)));
            }
        }
    }
}

fn rank(key: &str) -> usize {
    FIRST.iter().position(|first| *first == key).unwrap_or(FIRST.len())
}

fn is_table(value: &Value) -> bool {
    matches!(value, Value::Array(items) if items.iter().any(|item| item.as_object().is_some()))
}

fn list(out: &mut String, items: &[Value], depth: usize) {
    let objects: Vec<&Map> = items.iter().filter_map(Value::as_object).collect();
    if objects.len() < items.len() {
        items.iter().for_each(|item| push_line(out, depth, &scalar(item)));
        return;
    }
    let mut columns: Vec<&str> = Vec::new();
    for (key, _) in objects.iter().flat_map(|fields| fields.iter()) {
        if !columns.contains(&key) {
            columns.push(key);
        }
    }
    order(&mut columns, |key| rank(key));
    let mut rows = vec![columns.iter().map(|key| harmless(key)).collect::<Vec<String>>()];
    rows.extend(objects.iter().map(|fields| {
        columns.iter().map(|key| scalar(fields.get(key).unwrap_or(&Value::Null))).collect()
    }));
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..columns.len()).map(|column| width(column).unwrap_or(0)).collect();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string does not fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        push_line(out, depth, line.trim_end());
    }
}

/// One value on one line.
fn scalar(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => harmless(text).replace('\n', " "),
        Value::Array(items) if items.is_empty() => "none".into(),
        Value::Array(items) => items.iter().map(scalar).collect::<Vec<_>>().join(", "),
        other => harmless(&other.to_string()),
    }
}

fn push_line(out: &mut String, depth: usize, line: &str) {
    (0..depth).for_each(|_| out.push_str("  "));
    out.push_str(line);
    out.push('\n');
}

fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}
