//! The credentials of a phone as commands for OpenWrt's `uci`.
//!
//! The settings file has one writer, `uci`: it holds the file's lock and keeps what others have
//! changed. This only says what is to be written. Its `batch` mode reads commands in the syntax of
//! UCI files, so that no password stands on a command line.

use super::schema::section;
use super::uci::{self, Section};
use super::{Error, Secret};
use core::fmt::Write;

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
    pub password: Secret,
}

impl Credentials {
    /// The options of the section, and their values. Hashes go before a password, so that those
    /// of another password must not stay.
    fn options(&self) -> [(&'static str, &str); 6] {
        [
            ("aor", &self.aor),
            ("user", &self.user),
            ("realm", &self.realm),
            ("password", self.password.expose()),
            ("ha1", ""),
            ("ha1_sha256", ""),
        ]
    }

    /// Whether the table of options takes every value.
    ///
    /// # Errors
    /// In words, what the first does that is wrong may be; never a password.
    pub fn check(&self) -> Result<(), String> {
        let rows = section("account").map_or(&[][..], |account| account.options);
        let given = self.options();
        let refused = given.iter().take(4).find_map(|(name, value)| {
            rows.iter().find(|row| row.name == *name && !row.kind.takes(value))
        });
        refused.map_or(Ok(()), |row| Err(format!("'{}' is not {}", row.name, row.kind)))
    }

    /// The commands that put these credentials into the section `account` of their address, or
    /// into a new one, and commit `package`, whose text is `settings`. None where they stand
    /// there already. Sections are named by their number, the new one too: where it could not be
    /// added, no other one is changed in its place.
    ///
    /// # Errors
    /// A text that is not UCI.
    pub fn commands(&self, package: &str, settings: &str) -> Result<Option<String>, Error> {
        let sections = uci::sections(settings).map_err(|found| found.of(package))?;
        let accounts = sections.iter().filter(|section| section.kind == "account");
        let count = accounts.clone().count();
        let is_it = |account: &&Section| stored(account, "aor") == Some(&self.aor);
        let found = accounts.enumerate().find(|(_, account)| is_it(account));
        let number = found.map_or(count, |(number, _)| number);
        let mut commands = Vec::new();
        if found.is_none() {
            commands.push(command(&["add", package, "account"]));
        }
        for (name, value) in self.options() {
            let old = found.and_then(|(_, account)| stored(account, name));
            let option = format!("{package}.@account[{number}].{name}");
            if value.is_empty() && old.is_some() {
                commands.push(command(&["delete", &option]));
            } else if old.unwrap_or_default() != value {
                commands.push(command(&["set", &format!("{option}={value}")]));
            }
        }
        if commands.is_empty() {
            return Ok(None);
        }
        commands.push(command(&["commit", package]));
        Ok(Some(commands.concat()))
    }
}

/// The value of an option.
fn stored<'a>(section: &'a Section, option: &str) -> Option<&'a str> {
    let setting = section.options.iter().find(|setting| setting.name == option)?;
    setting.values.last().map(|(_, value)| value.as_str())
}

/// One line, each word quoted. No word has a line's end, which the options do not take.
fn command(words: &[&str]) -> String {
    let mut line = String::new();
    for word in words {
        // Writing to a string does not fail.
        let _ = write!(line, "'{}' ", word.replace('\'', r"'\''"));
    }
    line.truncate(line.trim_end().len());
    line.push('\n');
    line
}

#[cfg(test)]
mod tests;
