//! Settings as others may see them.
//!
//! What is shown are options that the table knows, without passwords and hashes; of those only
//! that they are there. Options that nobody knows may be misspelled passwords and are left out.

use super::Error;
use super::schema::section;
use super::uci::{self, Section};
use crate::json::{Map, Value, json};

/// Every section of `text` with what of it may be shown.
///
/// # Errors
/// A text that is not UCI.
pub fn shown(text: &str, source: &str) -> Result<Value, Error> {
    let sections = uci::sections(text).map_err(|found| found.of(source))?;
    Ok(sections.iter().filter_map(show).collect())
}

fn show(found: &Section) -> Option<Value> {
    let known = section(&found.kind)?;
    let (mut options, mut stored) = (Map::new(), Vec::new());
    for setting in &found.options {
        let Some(row) = known.options.iter().find(|row| row.name == setting.name) else { continue };
        let mut values = setting.values.iter().map(|(_, value)| value.as_str());
        if row.kind.is_secret() {
            stored.push(row.name);
        } else if row.list {
            options.insert(row.name, values.collect());
        } else {
            options.insert(row.name, json!(values.next_back().unwrap_or_default()));
        }
    }
    Some(json!({
        "type": known.name, "name": found.name, "options": options, "stored": stored,
    }))
}

#[cfg(test)]
mod tests;
