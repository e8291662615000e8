//! Settings: from the text of a UCI file to types, and what is wrong with that text.
//!
//! Pure: the driver reads the file. [`parse`] takes everything that it understands; what it does
//! not know is a [`Warning`], what it knows but cannot take is an [`Error`], and then nothing of
//! the file counts. One table, [`schema`], says what there is.

pub mod account;
mod apply;
pub mod fuzz;
mod reload;
pub mod schema;
pub mod show;
mod table;
mod table_repeated;
#[cfg(test)]
mod tests;
mod types;
mod uci;
mod value;

use core::fmt;
pub use types::{
    Accept, Account, AdapterConfig, Config, Emergency, IdentityConfig, MediaConfig, MediaPath,
    Mode, OverlayConfig, Prefer, Provider,
};
pub use value::{Anchor, HostPort, Malformed, Net, Route, Secret, Server, Transport, is_host};

/// Why a file cannot be used. Exit status 78 (EX_CONFIG) at start; at a reload the running
/// settings stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What stands there.
    pub value: String,
    /// What may stand there.
    pub allowed: String,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, value, allowed } = self;
        write!(f, "{file}:{line}: {value:?} is not allowed here: {allowed}")
    }
}

impl std::error::Error for Error {}

/// Something in a file that has no effect, or less than its writer may think.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The file, as the caller named it.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// What is the matter.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.text)
    }
}

/// Reads the settings out of `text`; `source` names the file in messages.
///
/// # Errors
/// The first thing that is malformed or out of range.
pub fn parse(text: &str, source: &str) -> Result<(Config, Vec<Warning>), Error> {
    apply::Reader::new(source).read(text)
}
