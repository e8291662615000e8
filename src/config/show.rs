//! Settings as others may see them, and the one change that is made to them from outside.
//!
//! What is shown are options that the table knows, without passwords and hashes; of those only
//! that they are there. Options that nobody knows may be misspelled passwords and are left out.

use super::schema::section;
use super::uci::{self, Section, Setting};
use super::{Error, Malformed};
use core::fmt::Write;
use serde_json::{Map, Value, json};

/// Credentials of a phone, as they come from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The address that they are for.
    pub aor: String,
    /// Digest user name; empty: the address's user part.
    pub user: String,
    /// Digest realm; empty: the address's domain.
    pub realm: String,
    /// The password.
    pub password: super::Secret,
}

fn read(text: &str, source: &str) -> Result<Vec<Section>, Error> {
    uci::sections(text).map_err(|found| Error {
        file: source.to_owned(),
        line: found.line,
        value: found.value,
        allowed: found.allowed.to_owned(),
    })
}

/// Every section of `text` with what of it may be shown.
///
/// # Errors
/// A text that is not UCI.
pub fn shown(text: &str, source: &str) -> Result<Value, Error> {
    Ok(read(text, source)?.iter().filter_map(show).collect())
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
            options.insert(row.name.into(), values.collect());
        } else {
            options.insert(row.name.into(), values.next_back().unwrap_or_default().into());
        }
    }
    Some(json!({
        "type": known.name, "name": found.name, "options": options, "stored": stored,
    }))
}

/// `text` with `credentials` in the section `account` of their address, or in a new one. Written
/// as `uci commit` would: comments are not kept.
///
/// # Errors
/// A text that is not UCI; credentials that the options do not take.
pub fn with_account(text: &str, source: &str, credentials: &Credentials) -> Result<String, Error> {
    let Credentials { aor, user, realm, password } = credentials;
    let given =
        [("aor", aor.as_str()), ("user", user), ("realm", realm), ("password", password.expose())];
    for (name, value) in given {
        if takes(name, value).is_err() {
            let value = if name == "password" { "(secret)" } else { value };
            let allowed = format!("a value of option '{name}'");
            return Err(Error { file: source.into(), line: 0, value: value.into(), allowed });
        }
    }
    let mut sections = read(text, source)?;
    let is_it = |section: &Section| {
        let same = |s: &Setting| s.name == "aor" && s.values.iter().any(|(_, value)| value == aor);
        section.kind == "account" && section.options.iter().any(same)
    };
    let at = sections.iter().position(is_it).unwrap_or_else(|| {
        let (kind, name) = ("account".to_owned(), String::new());
        sections.push(Section { kind, name, line: 0, options: Vec::new() });
        sections.len() - 1
    });
    if let Some(section) = sections.get_mut(at) {
        // Hashes go before a password, so the old ones must not stay.
        let replaced = ["aor", "user", "realm", "password", "ha1", "ha1_sha256"];
        section.options.retain(|setting| !replaced.contains(&setting.name.as_str()));
        for (name, value) in given.into_iter().filter(|(_, value)| !value.is_empty()) {
            let (name, values) = (name.to_owned(), vec![(0, value.to_owned())]);
            section.options.push(Setting { name, line: 0, list: false, values });
        }
    }
    Ok(write(&sections))
}

fn takes(option: &str, value: &str) -> Result<(), Malformed> {
    let rows = section("account").map_or(&[][..], |account| account.options);
    let row = rows.iter().find(|row| row.name == option).ok_or(Malformed)?;
    if row.kind.takes(value) { Ok(()) } else { Err(Malformed) }
}

fn write(sections: &[Section]) -> String {
    let mut out = String::new();
    for section in sections {
        // Writing to a string does not fail.
        let _ = write!(out, "\nconfig {}", section.kind);
        if !section.name.is_empty() {
            let _ = write!(out, " '{}'", section.name);
        }
        out.push('\n');
        for setting in &section.options {
            let word = if setting.list { "list" } else { "option" };
            for (_, value) in &setting.values {
                let value = value.replace('\'', "'\\''");
                let _ = writeln!(out, "\t{word} {} '{value}'", setting.name);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
