//! What was issued, revoked and done: rows of a database.
//!
//! SQLite in a file, or PostgreSQL where several machines serve one network: the address says
//! which. Both are handed the same statements (`schema` and those of this module), so they need
//! little more than a way to execute them: [`Database`]. Whoever changes something is alone at it
//! from the first look to the last write, on all machines ([`Database::begin`]).
//!
//! Serials rise, and so do the numbers of lists. Neither falls behind the clock, so what is issued
//! after a backup was brought back bears no number that was given before.

mod postgres;
mod queries;
mod schema;
mod seconds;
mod secrets;
mod sqlite;

use super::Moment;
use super::error::{DatabaseFault, ServerError};
use super::text::hex;
use crate::identity::PublicKey;
pub use queries::{Ended, Entry, Held, Selector};
pub use seconds::{Due, Second};
pub use secrets::Kept;
use std::path::Path;

/// What a database keeps in one field, where it holds anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(Option<i64>),
    /// A text.
    Text(Option<String>),
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        Self::Number(Some(number as i64))
    }
}

impl From<Option<u64>> for Value {
    fn from(number: Option<u64>) -> Self {
        Self::Number(number.map(|number| number as i64))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

/// What a question is answered with.
#[derive(Clone, Debug)]
pub struct Row(Vec<Value>);

impl Row {
    /// The number of this column, where it holds one.
    pub fn number(&self, column: usize) -> Option<u64> {
        match self.0.get(column) {
            Some(Value::Number(number)) => number.map(|number| number as u64),
            _ => None,
        }
    }

    /// The text of this column, empty where it holds none.
    pub fn text(&self, column: usize) -> &str {
        match self.0.get(column) {
            Some(Value::Text(Some(text))) => text,
            _ => "",
        }
    }
}

/// What executes statements. Places in them are `$1`, `$2` and so on, first named in this order.
pub trait Database {
    /// The statements by which it refuses to change what was written into the audit.
    fn guards(&self) -> &'static str;

    /// Waits until nobody else changes anything; from now on nobody does.
    ///
    /// # Errors
    /// [`ServerError::Database`].
    fn begin(&mut self) -> Result<(), ServerError>;

    /// Executes statements without places.
    ///
    /// # Errors
    /// [`ServerError::Database`].
    fn batch(&mut self, statements: &str) -> Result<(), ServerError>;

    /// Executes one statement; the rows that it gives.
    ///
    /// # Errors
    /// [`ServerError::Database`].
    fn ask(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, ServerError>;
}

/// The address of a database without a password.
fn shown(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else { return address.to_owned() };
    let Some((who, place)) = rest.rsplit_once('@') else { return address.to_owned() };
    let user = who.split_once(':').map_or(who, |(user, _)| user);
    format!("{scheme}://{user}@{place}")
}

/// Opens the database at `address`; a relative SQLite file lies in `folder`.
fn connect(address: &str, folder: &Path) -> Result<Box<dyn Database>, ServerError> {
    match address.split_once(':') {
        Some(("sqlite", file)) if !file.is_empty() => {
            Ok(Box::new(sqlite::Sqlite::open(&folder.join(file))?))
        }
        Some(("postgres" | "postgresql", _)) => Ok(Box::new(postgres::Postgres::open(address)?)),
        _ => Err(ServerError::Database(shown(address), DatabaseFault::Address)),
    }
}

/// A row of the audit before it is written.
#[derive(Debug, Default)]
pub struct Deed<'a> {
    /// What was done, in one or two words.
    pub what: &'a str,
    /// To the certificate, delegation or list of this number.
    pub serial: Option<u64>,
    /// To this adapter.
    pub adapter: Option<&'a PublicKey>,
    /// Concerning these AORs.
    pub aors: &'a [String],
    /// What else there is to say.
    pub detail: &'a str,
}

/// The books of one network.
pub struct Books {
    at: String,
    database: Box<dyn Database>,
}

impl Books {
    /// Opens the database at `address`; a relative SQLite file lies in `folder`. Brings its schema
    /// up to date.
    ///
    /// # Errors
    /// [`ServerError::Database`].
    pub fn open(address: &str, folder: &Path) -> Result<Self, ServerError> {
        let mut books = Self { at: shown(address), database: connect(address, folder)? };
        books.alone(|books| {
            schema::migrate(&books.at, books.database.as_mut(), &schema::MIGRATIONS)
        })?;
        Ok(books)
    }

    /// An error of this database.
    pub(super) fn fault(&self, fault: DatabaseFault) -> ServerError {
        ServerError::Database(self.at.clone(), fault)
    }

    /// Does `what` while nobody else changes anything: all of it, or, where it fails, nothing.
    ///
    /// # Errors
    /// Those of `what`, and what the database says.
    pub fn alone<T>(
        &mut self,
        what: impl FnOnce(&mut Self) -> Result<T, ServerError>,
    ) -> Result<T, ServerError> {
        self.database.begin()?;
        let done = what(self);
        let ended = self.database.batch(if done.is_ok() { "COMMIT" } else { "ROLLBACK" });
        done.and_then(|done| ended.map(|()| done))
    }

    fn ask(&mut self, statement: &str, values: &[Value]) -> Result<Vec<Row>, ServerError> {
        self.database.ask(statement, values)
    }

    fn ask_one(&mut self, statement: &str, values: &[Value]) -> Result<Option<Row>, ServerError> {
        Ok(self.ask(statement, values)?.into_iter().next())
    }

    /// Writes a row into the audit.
    ///
    /// # Errors
    /// What the database says.
    pub fn note(&mut self, moment: Moment<'_>, deed: &Deed<'_>) -> Result<(), ServerError> {
        let last = self.ask_one("SELECT MAX(number) FROM audit", &[])?;
        let values = [
            Value::from(last.and_then(|row| row.number(0)).unwrap_or(0) + 1),
            moment.now_s.into(),
            moment.by.into(),
            deed.what.into(),
            deed.serial.into(),
            deed.adapter.map(|key| hex(key)).into(),
            deed.aors.join(" ").into(),
            deed.detail.into(),
        ];
        let statement = "INSERT INTO audit \
                         (number, at_s, who, what, serial, adapter, aors, detail) \
                         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        self.ask(statement, &values).map(drop)
    }
}

#[cfg(test)]
mod tests;
